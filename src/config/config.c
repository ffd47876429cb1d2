/* SPDX-License-Identifier: Apache-2.0 */
#include "config/config.h"
#include <ctype.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include "base/err.h"
#include "base/nearest.h"
#include "config/yaml.h"

enum { PATH_TEXT_MAX = 512, PATH_NAME_MAX = 4096, WANTED_MAX = 512 };

/* Where a value came from. file 0: it is the default. */
struct place {
	unsigned file, line, column;
};

struct section_state {
	void *options;
	struct place *places; /* a row each, and the last for `enabled` */
	bool enabled;
};

/* `text` and `root` are here only while the configuration is being read and checked. */
struct file {
	char *name;
	char *text;
	size_t len;
	struct yaml_node *root;
};

struct config {
	atomic_uint refs;
	const struct config_schema *schema;
	struct section_state *sections;
	struct file files[CONFIG_FILES_MAX + 1]; /* from 1 */
	size_t n_files;
};

/* What a walk through one file needs at every step. */
struct walk {
	struct config *config;
	unsigned file;
	struct config_report *report;
};

static const struct option enabled_row = { .name = "enabled", .type = OPT_BOOL, .def = "true" };

/* ---- life ---------------------------------------------------------------------------- */

static void file_forget_text(struct file *f)
{
	mem_freep(&f->text);
	yaml_node_free(f->root);
	f->root = NULL;
	f->len = 0;
}

struct config *config_ref(struct config *config)
{
	atomic_fetch_add_explicit(&config->refs, 1, memory_order_relaxed);
	return config;
}

void config_free(struct config *config)
{
	if (!config || atomic_fetch_sub_explicit(&config->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; config->sections && i < config->schema->n_sections; i++) {
		const struct config_section *s = &config->schema->sections[i];

		if (config->sections[i].options)
			options_clear(s->rows, s->n_rows, config->sections[i].options);
		free(config->sections[i].options);
		free(config->sections[i].places);
	}
	for (size_t i = 1; i <= config->n_files; i++) {
		file_forget_text(&config->files[i]);
		free(config->files[i].name);
	}
	free(config->sections);
	free(config);
}

static int section_open(const struct config_section *s, struct section_state *state)
{
	state->enabled = !s->off_by_default;
	/* A section may be without rows: still there is something to point to. */
	state->options = calloc(1, s->size ? s->size : 1);
	state->places = calloc(s->n_rows + 1, sizeof(*state->places));
	if (!state->options || !state->places)
		return err_new(-ENOMEM, "no memory for a configuration");
	return option_defaults(s->rows, s->n_rows, state->options);
}

static int config_new(const struct config_schema *schema, struct config **ret_config)
{
	AUTO(config) c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return err_new(-ENOMEM, "no memory for a configuration");
	atomic_init(&c->refs, 1);
	c->schema = schema;
	if (schema->n_sections > CONFIG_SECTIONS_MAX)
		return err_new(-E2BIG, "a schema of more than %d sections", CONFIG_SECTIONS_MAX);
	c->sections = calloc(schema->n_sections + 1, sizeof(*c->sections));
	if (!c->sections)
		return err_new(-ENOMEM, "no memory for a configuration");
	for (size_t i = 0; i < schema->n_sections; i++) {
		r = section_open(&schema->sections[i], &c->sections[i]);
		if (r < 0)
			return err_wrap(r, "section %s", schema->sections[i].path);
	}
	*ret_config = take(c);
	return 0;
}

/* ---- problems ------------------------------------------------------------------------ */

static struct config_spot spot_at(const struct config *c, unsigned file, unsigned line, unsigned column)
{
	const struct file *f = &c->files[file];

	return (struct config_spot) { f->name, f->text, f->len, line, column };
}

#define PROBLEM(w, node, ...)                                                                                          \
	do {                                                                                                           \
		struct config_spot spot_ = spot_at((w)->config, (w)->file, (node)->line, (node)->column);              \
		config_report_add((w)->report, false, &spot_, __VA_ARGS__);                                            \
	} while (0)

/* "sensors.file" and "paths" make "sensors.file.paths"; the top of the file has no name. Cut where it is too long. */
static const char *join(const char *path, const char *key, char *buf, size_t size)
{
	(void)snprintf(buf, size, "%s%s%s", path, *path && *key ? "." : "", key);
	return buf;
}

/* ---- "did you mean" ------------------------------------------------------------------- */

/* If `path` lies below `above`, the name of its next step; else NULL. */
static const char *step_below(const char *path, const char *above, size_t *ret_len)
{
	size_t n = strlen(above);

	if (strncmp(path, above, n) != 0 || !path[n] || (n && path[n] != '.'))
		return NULL;
	path += n + (n != 0);
	*ret_len = strcspn(path, ".");
	return path;
}

/* Every name that may stand in the mapping at `path`. */
static void consider_names(const struct config_schema *schema, const char *path, struct nearest *near)
{
	for (size_t i = 0; i < schema->n_sections; i++) {
		const struct config_section *s = &schema->sections[i];
		size_t len = 0;
		const char *step = step_below(s->path, path, &len);

		if (step)
			nearest_offer_n(near, step, len);
		if (strcmp(s->path, path) != 0)
			continue;
		if (s->can_disable)
			nearest_offer(near, enabled_row.name);
		for (size_t k = 0; k < s->n_rows; k++)
			nearest_offer(near, s->rows[k].name);
	}
}

static bool is_section_or_above(const struct config_schema *schema, const char *path)
{
	size_t len;

	for (size_t i = 0; i < schema->n_sections; i++)
		if (!strcmp(schema->sections[i].path, path) || step_below(schema->sections[i].path, path, &len))
			return true;
	return false;
}

/* An option or section of exactly this name that stands elsewhere, and only there. */
static const char *find_elsewhere(const struct config_schema *schema, const char *key, char *buf, size_t size)
{
	size_t found = 0;

	for (size_t i = 0; i < schema->n_sections; i++) {
		const struct config_section *s = &schema->sections[i];
		const char *last = strrchr(s->path, '.');

		if (last && !strcmp(last + 1, key) && !found++)
			(void)snprintf(buf, size, "%s", s->path);
		for (size_t k = 0; k < s->n_rows; k++)
			if (!strcmp(s->rows[k].name, key) && !found++)
				join(s->path, key, buf, size);
	}
	return found == 1 ? buf : NULL;
}

static void unknown_key(struct walk *w, const char *path, const struct yaml_node *key)
{
	struct nearest near = { .word = key->text };
	char full[PATH_TEXT_MAX], other[PATH_TEXT_MAX];

	join(path, key->text, full, sizeof(full));
	consider_names(w->config->schema, path, &near);
	if (strchr(key->text, '.') && is_section_or_above(w->config->schema, full))
		PROBLEM(w, key, "%s: a dot does not nest: write each name on a line of its own, indented", full);
	else if (near.best)
		PROBLEM(w, key, "%s: unknown; did you mean \"%.*s\"?", full, (int)near.best_len, near.best);
	else if (find_elsewhere(w->config->schema, key->text, other, sizeof(other)))
		PROBLEM(w, key, "%s: unknown here; did you mean %s?", full, other);
	else
		PROBLEM(w, key, "%s: unknown", full);
}

/* ---- from the tree to the options ------------------------------------------------------ */

static void wrong_type(struct walk *w, const char *path, const struct option *row, const struct yaml_node *node)
{
	auto_buf struct buf wanted = { .max = WANTED_MAX };

	option_print_wanted(row, &wanted);
	PROBLEM(w, node, "%s: wants %s, found %s%s", path, buf_text(&wanted), yaml_type_name(node),
		option_is_list(row) && node->type == YAML_SCALAR ? ": put it in [ ]" : "");
}

/* A NUL inside would silently cut the text. */
static bool is_whole_text(struct walk *w, const char *path, const struct yaml_node *node)
{
	if (strlen(node->text) == node->len)
		return true;
	PROBLEM(w, node, "%s: a text with a NUL character", path);
	return false;
}

/* The texts of a list of scalars. NULL when anything is wrong with it, which then was said. */
static const char **list_items(struct walk *w, const char *path, const struct option *row, const struct yaml_node *list)
{
	const char **items = calloc(list->n + 1, sizeof(*items));
	bool good = true;
	size_t n = 0;

	if (!items) {
		PROBLEM(w, list, "%s: no memory", path);
		return NULL;
	}
	for (const struct yaml_node *c = list->first; c; c = c->next) {
		if (c->type != YAML_SCALAR) {
			PROBLEM(w, c, "%s: wants a text as item %zu, found %s", path, n + 1, yaml_type_name(c));
			good = false;
		} else if (!is_whole_text(w, path, c)) {
			good = false;
		} else if (option_check_item(row, c->text) < 0) {
			PROBLEM(w, c, "%s: %s", path, err_trail());
			good = false;
		}
		items[n++] = c->text;
	}
	if (!good)
		mem_freep(&items);
	return items;
}

static bool set_list(struct walk *w, const char *path, const struct option *row, const struct yaml_node *node,
		     void *options)
{
	auto_free const char **items = NULL;

	if (node->type != YAML_LIST) {
		wrong_type(w, path, row, node);
		return false;
	}
	items = list_items(w, path, row, node);
	if (!items)
		return false;
	if (option_set_list(row, items, node->n, options) < 0) {
		PROBLEM(w, node, "%s: %s", path, err_trail());
		return false;
	}
	return true;
}

/* A single word may stand for a list of one: `process.exec: kernel`. */
static bool set_pair(struct walk *w, const char *path, const struct option *row, const struct yaml_node *node,
		     void *options)
{
	char full[PATH_TEXT_MAX];
	auto_free const char **items = NULL;
	const char *one[1] = { node->text };
	int r;

	join(path, node->key->text, full, sizeof(full));
	if (node->type == YAML_SCALAR) {
		r = is_whole_text(w, full, node) ? option_set_key(row, node->key->text, one, 1, options) : -EALREADY;
	} else if (node->type == YAML_LIST) {
		items = list_items(w, full, row, node);
		r = items ? option_set_key(row, node->key->text, items, node->n, options) : -EALREADY;
	} else {
		PROBLEM(w, node, "%s: wants a list, found %s", full, yaml_type_name(node));
		return false;
	}
	if (r < 0 && r != -EALREADY)
		PROBLEM(w, node, "%s: %s", full, err_trail());
	return r == 0;
}

static bool set_map(struct walk *w, const char *path, const struct option *row, const struct yaml_node *node,
		    void *options)
{
	bool good = true;

	if (node->type == YAML_NOTHING)
		return true;
	if (node->type != YAML_MAP) {
		wrong_type(w, path, row, node);
		return false;
	}
	for (const struct yaml_node *c = node->first; c; c = c->next)
		good &= set_pair(w, path, row, c, options);
	return good;
}

static bool set_scalar(struct walk *w, const char *path, const struct option *row, const struct yaml_node *node,
		       void *options)
{
	if (node->type != YAML_SCALAR) {
		wrong_type(w, path, row, node);
		return false;
	}
	if (!is_whole_text(w, path, node))
		return false;
	if (option_set(row, node->text, options) < 0) {
		PROBLEM(w, node, "%s: %s", path, err_trail());
		return false;
	}
	return true;
}

static void set_option(struct walk *w, const char *path, const struct option *row, const struct yaml_node *node,
		       void *options, struct place *place)
{
	char full[PATH_TEXT_MAX];
	bool good;

	join(path, row->name, full, sizeof(full));
	if (row->type == OPT_MAP)
		good = set_map(w, full, row, node, options);
	else if (option_is_list(row))
		good = set_list(w, full, row, node, options);
	else
		good = set_scalar(w, full, row, node, options);
	if (good)
		*place = (struct place) { w->file, node->key->line, node->key->column };
}

/* Takes the key if the section at `path` has it. */
static bool set_in_section(struct walk *w, size_t index, const struct yaml_node *node)
{
	const struct config_section *s = &w->config->schema->sections[index];
	struct section_state *state = &w->config->sections[index];

	if (s->can_disable && !strcmp(node->key->text, enabled_row.name)) {
		set_option(w, s->path, &enabled_row, node, &state->enabled, &state->places[s->n_rows]);
		return true;
	}
	for (size_t i = 0; i < s->n_rows; i++)
		if (!strcmp(s->rows[i].name, node->key->text)) {
			set_option(w, s->path, &s->rows[i], node, state->options, &state->places[i]);
			return true;
		}
	return false;
}

/* Calls itself no deeper than the schema's paths have steps. */
static void walk_map(struct walk *w, const char *path, const struct yaml_node *map)
{
	const struct config_schema *schema = w->config->schema;

	if (map->type == YAML_NOTHING)
		return; /* a section whose options are all commented out */
	if (map->type != YAML_MAP) {
		PROBLEM(w, map, "%s%swants a mapping, found %s", path, *path ? ": " : "the file ", yaml_type_name(map));
		return;
	}
	for (const struct yaml_node *c = map->first; c; c = c->next) {
		char below[PATH_TEXT_MAX];
		bool taken = false;

		for (size_t i = 0; i < schema->n_sections && !taken; i++)
			taken = !strcmp(schema->sections[i].path, path) && set_in_section(w, i, c);
		if (taken)
			continue;
		/* A dot in a key is no step: it would name a section in a way that no reader expects. */
		join(path, c->key->text, below, sizeof(below));
		if (!strchr(c->key->text, '.') && is_section_or_above(schema, below))
			walk_map(w, below, c);
		else
			unknown_key(w, path, c->key);
	}
}

/* ---- files ---------------------------------------------------------------------------- */

static void file_problem(struct config_report *report, bool warning, const char *name, const char *message)
{
	const struct config_spot spot = { .file = name };

	config_report_add(report, warning, &spot, "%s", message);
}

/* Takes `text`. */
static int take_text(struct config *c, const char *name, char *text, size_t len, struct config_report *report)
{
	struct walk w = { c, 0, report };
	struct file *f;
	int r;

	if (c->n_files == CONFIG_FILES_MAX) {
		free(text);
		return err_new(-E2BIG, "more than %d configuration files", CONFIG_FILES_MAX);
	}
	f = &c->files[++c->n_files];
	f->text = text;
	f->len = len;
	f->name = strdup(name);
	if (!f->name)
		return err_new(-ENOMEM, "no memory for a configuration");
	w.file = (unsigned)c->n_files;
	r = yaml_read(name, text, len, report, &f->root);
	if (r < 0)
		return r == -EINVAL ? 0 : r; /* the report has it */
	if (f->root)
		walk_map(&w, "", f->root);
	return 0;
}

/*
 * What an agent with all rights reads must not be anybody's to write. A file that was named
 * is the caller's choice and only warned of; one that was found lying in conf.d is refused.
 */
static bool is_trusted(const struct stat *st, bool found, const char *name, struct config_report *report)
{
	const char *why = NULL;

	if (st->st_mode & S_IWOTH)
		why = "anybody may write to it";
	else if (st->st_uid != 0 && st->st_uid != geteuid())
		why = "its owner is neither root nor the user of the agent";
	if (!why)
		return true;
	file_problem(report, !found, name, why);
	return !found;
}

static int read_all(int fd, size_t max, char **ret_text, size_t *ret_len)
{
	auto_free char *text = malloc(max + 1);
	size_t len = 0;
	ssize_t n;

	if (!text)
		return err_new(-ENOMEM, "no memory for a configuration");
	do {
		n = read(fd, text + len, max - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		len += (size_t)n;
	} while (n && len < max);
	text[len] = 0;
	*ret_text = take(text);
	*ret_len = len;
	return 0;
}

/* One file. Trouble with it is a problem of the report; a negative result, one of ours. */
static int take_file(struct config *c, const char *path, bool may_miss, bool found, struct config_report *report)
{
	/* Without O_NONBLOCK a FIFO would hold us. */
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	char *text = NULL;
	size_t len = 0;
	int r;

	if (fd < 0 && errno == ENOENT && may_miss)
		return 0;
	if (fd < 0 || fstat(fd, &st) < 0) {
		file_problem(report, false, path, strerror(errno));
		return 0;
	}
	if (!S_ISREG(st.st_mode)) {
		file_problem(report, false, path, S_ISDIR(st.st_mode) ? "a directory, not a file" : "not a file");
		return 0;
	}
	if (!is_trusted(&st, found, path, report))
		return 0;
	/* One byte more than may be, so that yaml_read() sees that it is too large. */
	r = read_all(fd, YAML_BYTES_MAX + 1, &text, &len);
	if (r == -ENOMEM)
		return r;
	if (r < 0) {
		file_problem(report, false, path, strerror(-r));
		return 0;
	}
	return take_text(c, path, text, len, report);
}

static bool has_ending(const char *name, const char *ending)
{
	size_t n = strlen(name), m = strlen(ending);

	return n > m && !strcmp(name + n - m, ending);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

struct names {
	char *items[CONFIG_FILES_MAX];
	size_t n;
};

static void names_clear(struct names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->items[i]);
	names->n = 0;
}

static int list_dir(DIR *dir, const char *path, struct names *names, struct config_report *report)
{
	struct dirent *d;

	while ((d = readdir(dir))) {
		char full[PATH_NAME_MAX];

		if (snprintf(full, sizeof(full), "%s/%s", path, d->d_name) >= (int)sizeof(full))
			continue; /* could not be opened either */
		if (d->d_name[0] != '.' && has_ending(d->d_name, ".yml"))
			file_problem(report, true, full, "not read: its name must end with .yaml");
		if (d->d_name[0] == '.' || !has_ending(d->d_name, ".yaml"))
			continue;
		if (names->n == CONFIG_FILES_MAX - 1) {
			file_problem(report, false, path, "more than 255 files");
			return 0;
		}
		names->items[names->n] = strdup(full);
		if (!names->items[names->n])
			return err_new(-ENOMEM, "no memory for a configuration");
		names->n++;
	}
	qsort(names->items, names->n, sizeof(*names->items), compare_names);
	return 0;
}

/* conf.d beside `main_path`, if there is one. */
static int take_conf_d(struct config *c, const char *main_path, struct config_report *report)
{
	__attribute__((cleanup(names_clear))) struct names names = { .n = 0 };
	const char *slash = strrchr(main_path, '/');
	auto_dir DIR *dir = NULL;
	char path[PATH_NAME_MAX];
	struct stat st;
	int r;

	(void)snprintf(path, sizeof(path), "%.*sconf.d", slash ? (int)(slash - main_path + 1) : 0, main_path);
	dir = opendir(path);
	if (!dir) {
		if (errno != ENOENT)
			file_problem(report, false, path, strerror(errno));
		return 0;
	}
	if (fstat(dirfd(dir), &st) == 0 && !is_trusted(&st, true, path, report))
		return 0;
	r = list_dir(dir, path, &names, report);
	for (size_t i = 0; r >= 0 && i < names.n; i++)
		r = take_file(c, names.items[i], false, true, report);
	return r;
}

/* ---- loading --------------------------------------------------------------------------- */

/* For who has only the trail: the first problem stands for all. */
static int raise_first(const char *name, const struct config_report *report, size_t n)
{
	char place[32] = "";

	for (size_t i = 0; i < report->n; i++) {
		const struct config_problem *p = &report->problems[i];

		if (p->warning)
			continue;
		if (p->line)
			(void)snprintf(place, sizeof(place), ":%u:%u", p->line, p->column);
		if (n > 1)
			return err_new(-EINVAL, "%zu problems in the configuration, the first: %s%s: %s", n, p->file,
				       place, p->message);
		return err_new(-EINVAL, "%s%s: %s", p->file, place, p->message);
	}
	return err_new(-EINVAL, "%s: not a valid configuration", name);
}

static int finish(struct config *c, const char *name, struct config_report *report, size_t errors_before)
{
	/* Checks may rely on every value being good by itself. */
	if (report->n_errors == errors_before)
		for (config_check_fn *const *fn = c->schema->checks; fn && *fn; fn++)
			(*fn)(c, report);
	for (size_t i = 1; i <= c->n_files; i++)
		file_forget_text(&c->files[i]);
	if (report->n_errors == errors_before)
		return 0;
	return raise_first(name, report, report->n_errors - errors_before);
}

/* "sensors.file.enabled=true" is the text "{sensors: {file: {enabled: true}}}", a file of its own. */
static int take_set(struct config *c, const char *set, struct config_report *report)
{
	const char *equals = strchr(set, '=');
	char name[OPTION_TEXT_MAX + 16];
	unsigned depth = 1;
	struct buf text;

	(void)snprintf(name, sizeof(name), "--set %s", set);
	if (!equals || equals == set) {
		file_problem(report, false, name, "write it as KEY=VALUE, for instance sensors.file.enabled=true");
		return 0;
	}
	buf_init(&text, OPTION_TEXT_MAX * 2);
	buf_char(&text, '{');
	for (const char *at = set; at < equals; at++) {
		if (*at == '.') {
			buf_str(&text, ": {");
			depth++;
		} else {
			buf_char(&text, *at);
		}
	}
	buf_printf(&text, ": %s", equals[1] ? equals + 1 : "\"\"");
	while (depth--)
		buf_char(&text, '}');
	if (text.failed) {
		buf_free(&text);
		return err_new(-E2BIG, "%.64s...: too long", name);
	}
	return take_text(c, name, text.data, text.len, report);
}

int config_load(const char *path, const struct config_schema *schema, struct config **ret_config,
		struct config_report *report)
{
	return config_load_with(path, NULL, 0, schema, ret_config, report);
}

int config_load_with(const char *path, const char *const *sets, size_t n_sets, const struct config_schema *schema,
		     struct config **ret_config, struct config_report *report)
{
	const char *name = path ? path : CONFIG_PATH;
	size_t errors_before = report->n_errors;
	AUTO(config) c = NULL;
	int r;

	r = config_new(schema, &c);
	if (r >= 0)
		r = take_file(c, name, !path, false, report);
	if (r >= 0)
		r = take_conf_d(c, name, report);
	for (size_t i = 0; i < n_sets && r >= 0; i++)
		r = take_set(c, sets[i], report);
	if (r < 0)
		return err_wrap(r, "read %s", name);
	r = finish(c, name, report, errors_before);
	if (r < 0)
		return r;
	*ret_config = take(c);
	return 0;
}

int config_load_text(const char *name, const char *text, size_t len, const struct config_schema *schema,
		     struct config **ret_config, struct config_report *report)
{
	size_t errors_before = report->n_errors;
	AUTO(config) c = NULL;
	char *copy;
	int r;

	r = config_new(schema, &c);
	if (r < 0)
		return err_wrap(r, "read %s", name);
	copy = malloc(len + 1);
	if (!copy)
		return err_new(-ENOMEM, "no memory for a configuration");
	memcpy(copy, text, len);
	copy[len] = 0;
	r = take_text(c, name, copy, len, report);
	if (r < 0)
		return err_wrap(r, "read %s", name);
	r = finish(c, name, report, errors_before);
	if (r < 0)
		return r;
	*ret_config = take(c);
	return 0;
}

int config_load_defaults(const struct config_schema *schema, struct config **ret_config)
{
	auto_report struct config_report report = { 0 };

	return config_load_text("defaults", "", 0, schema, ret_config, &report);
}

/* ---- asking ---------------------------------------------------------------------------- */

static ssize_t find_section(const struct config *config, const char *path)
{
	for (size_t i = 0; i < config->schema->n_sections; i++)
		if (!strcmp(config->schema->sections[i].path, path))
			return (ssize_t)i;
	return -1;
}

const void *config_section(const struct config *config, const char *path)
{
	ssize_t i = find_section(config, path);

	return i < 0 ? NULL : config->sections[i].options;
}

bool config_is_enabled(const struct config *config, const char *path)
{
	ssize_t i = find_section(config, path);

	return i >= 0 && config->sections[i].enabled;
}

const struct config_schema *config_schema_of(const struct config *config)
{
	return config->schema;
}

static struct place find_place(const struct config *config, const char *path, const char *key)
{
	ssize_t i = find_section(config, path);
	const struct config_section *s;

	if (i < 0)
		return (struct place) { 0 };
	s = &config->schema->sections[i];
	if (s->can_disable && !strcmp(key, enabled_row.name))
		return config->sections[i].places[s->n_rows];
	for (size_t k = 0; k < s->n_rows; k++)
		if (!strcmp(s->rows[k].name, key))
			return config->sections[i].places[k];
	return (struct place) { 0 };
}

static const char *print_place(const struct config *config, const struct place *p, char *buf, size_t size)
{
	if (!p->file)
		return NULL;
	(void)snprintf(buf, size, "%s:%u", config->files[p->file].name, p->line);
	return buf;
}

const char *config_origin(const struct config *config, const char *path, const char *key, char *buf, size_t size)
{
	struct place p = find_place(config, path, key);

	return print_place(config, &p, buf, size);
}

/* The value at path.key in one file's tree. */
static const struct yaml_node *find_node(const struct yaml_node *root, const char *path, const char *key)
{
	char step[PATH_TEXT_MAX];

	while (root && *path) {
		size_t n = strcspn(path, ".");

		(void)snprintf(step, sizeof(step), "%.*s", (int)n, path);
		root = yaml_child(root, step);
		path += n + (path[n] == '.');
	}
	return yaml_child(root, key);
}

static const struct yaml_node *find_inner(const struct yaml_node *node, const char *inner)
{
	if (node && node->type == YAML_MAP) {
		node = yaml_child(node, inner);
		return node ? node->key : NULL;
	}
	for (const struct yaml_node *c = node ? node->first : NULL; c; c = c->next)
		if (!strcmp(c->text, inner))
			return c;
	return NULL;
}

/* The last file that has it is the one whose value counts. */
static struct config_spot find_spot(const struct config *config, const char *path, const char *key, const char *inner)
{
	for (size_t i = config->n_files; i > 0; i--) {
		const struct yaml_node *node = find_node(config->files[i].root, path, key);

		if (node && inner)
			node = find_inner(node, inner);
		if (node)
			return spot_at(config, (unsigned)i, node->line, node->column);
	}
	if (config->n_files)
		return spot_at(config, 1, 0, 0);
	return (struct config_spot) { .file = CONFIG_PATH };
}

static void problem(const struct config *config, struct config_report *report, bool warning, const char *path,
		    const char *key, const char *inner, const char *fmt, va_list ap)
{
	struct config_spot spot = find_spot(config, path, key, inner);
	char full[PATH_TEXT_MAX], fuller[PATH_TEXT_MAX];
	auto_buf struct buf text = { .max = PATH_NAME_MAX };

	buf_vprintf(&text, fmt, ap);
	join(path, key, full, sizeof(full));
	join(full, inner ? inner : "", fuller, sizeof(fuller));
	config_report_add(report, warning, &spot, "%s: %s", fuller, buf_text(&text));
}

void config_problem(const struct config *config, struct config_report *report, bool warning, const char *path,
		    const char *key, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	problem(config, report, warning, path, key, NULL, fmt, ap);
	va_end(ap);
}

void config_problem_in(const struct config *config, struct config_report *report, bool warning, const char *path,
		       const char *key, const char *inner, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	problem(config, report, warning, path, key, inner, fmt, ap);
	va_end(ap);
}

/* ---- what a reload changes -------------------------------------------------------------- */

static enum config_effect effect_of(const struct config_section *s, const struct option *row)
{
	if (!row)
		return CONFIG_SWITCH;
	if (row->live)
		return CONFIG_LIVE;
	return s->can_disable ? CONFIG_REOPEN : CONFIG_RESTART;
}

static size_t diff_section(const struct config *before, const struct config *after, size_t i,
			   void (*fn)(void *ctx, const struct config_change *change), void *ctx)
{
	const struct config_section *s = &after->schema->sections[i];
	struct config_change change = { s, NULL, CONFIG_SWITCH, before->sections[i].options,
					after->sections[i].options };
	size_t n = 0;

	if (before->sections[i].enabled != after->sections[i].enabled) {
		fn(ctx, &change);
		n++;
	}
	for (size_t k = 0; k < s->n_rows; k++) {
		if (option_equal(&s->rows[k], change.before, change.after))
			continue;
		change.row = &s->rows[k];
		change.effect = effect_of(s, change.row);
		fn(ctx, &change);
		n++;
	}
	return n;
}

size_t config_diff(const struct config *before, const struct config *after,
		   void (*fn)(void *ctx, const struct config_change *change), void *ctx)
{
	size_t n = 0;

	for (size_t i = 0; before->schema == after->schema && i < after->schema->n_sections; i++)
		n += diff_section(before, after, i, fn, ctx);
	return n;
}

static void keep_worst(void *ctx, const struct config_change *change)
{
	enum config_effect *worst = ctx;

	if (change->effect > *worst)
		*worst = change->effect;
}

enum config_effect config_section_effect(const struct config *before, const struct config *after, const char *path)
{
	enum config_effect worst = CONFIG_SAME;
	ssize_t i = find_section(after, path);

	if (i < 0 || before->schema != after->schema)
		return CONFIG_SAME;
	(void)diff_section(before, after, (size_t)i, keep_worst, &worst);
	/* What is switched on or off is opened or closed with its new options anyway. */
	if (before->sections[i].enabled != after->sections[i].enabled)
		return CONFIG_SWITCH;
	/* A leaf that is off has nothing to be told. */
	if (!after->sections[i].enabled)
		return CONFIG_SAME;
	return worst;
}

/* ---- printing --------------------------------------------------------------------------- */

static void indent(struct buf *out, unsigned depth)
{
	for (unsigned i = 0; i < depth; i++)
		buf_str(out, "  ");
}

/* Opens the mappings that lead to `path` and that `last` has not opened. Returns how deep that is. */
static unsigned open_path(const char *path, const char *last, struct buf *out)
{
	unsigned depth = 0;
	bool same = true;

	while (*path) {
		size_t n = strcspn(path, "."), m = strcspn(last, ".");

		if (!same || n != m || strncmp(path, last, n) != 0) {
			same = false;
			indent(out, depth);
			buf_printf(out, "%.*s:\n", (int)n, path);
		}
		path += n + (path[n] == '.');
		last += m + (last[m] == '.');
		depth++;
	}
	return depth;
}

static void print_origin(const struct config *config, const struct place *p, struct buf *out)
{
	char text[PATH_NAME_MAX];

	if (print_place(config, p, text, sizeof(text)))
		buf_printf(out, " # %s", text);
	buf_char(out, '\n');
}

void config_print(const struct config *config, struct buf *out)
{
	const char *last = "";

	for (size_t i = 0; i < config->schema->n_sections; i++) {
		const struct config_section *s = &config->schema->sections[i];
		const struct section_state *state = &config->sections[i];
		unsigned depth;

		if (!s->n_rows && !s->can_disable)
			continue;
		depth = open_path(s->path, last, out);
		last = s->path;
		if (s->can_disable) {
			indent(out, depth);
			buf_printf(out, "enabled: %s", state->enabled ? "true" : "false");
			print_origin(config, &state->places[s->n_rows], out);
		}
		for (size_t k = 0; k < s->n_rows; k++) {
			indent(out, depth);
			buf_printf(out, "%s: ", s->rows[k].name);
			option_print(&s->rows[k], state->options, out);
			print_origin(config, &state->places[k], out);
		}
	}
}
