/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <sys/stat.h>
#include "base/err.h"
#include "base/test.h"
#include "config/settings.h"
#include "config/test_schema.h"
#include "config/yaml.h"

#define TESTS SHRIKE_SOURCE_DIR "/src/config/tests"

enum { FILE_MAX = 1 << 20 };

/* ---- helpers --------------------------------------------------------------------------- */

static bool read_text(const char *path, struct buf *out)
{
	auto_file FILE *f = fopen(path, "re");
	char chunk[4096];
	size_t n;

	buf_clear(out);
	while (f && (n = fread(chunk, 1, sizeof(chunk), f)))
		buf_add(out, chunk, n);
	return f != NULL;
}

static int load_text(const char *text, struct config **ret_config, struct config_report *report)
{
	return config_load_text("x.yaml", text, strlen(text), &sample_schema, ret_config, report);
}

/* What the report says of a text, one line a problem. */
static const char *problems_of(const char *text, struct buf *out)
{
	auto_report struct config_report report = { 0 };
	AUTO(config) config = NULL;

	(void)load_text(text, &config, &report);
	buf_clear(out);
	config_report_write(&report, false, out);
	return buf_text(out);
}

static const struct sample *sample_of(const struct config *config)
{
	return config_section(config, "sensors.sample");
}

/* A folder of our own, with conf.d in it where a file asks for it. */
struct folder {
	char path[64];
	char text[256];
};

static void folder_close(struct folder *f)
{
	char command[128];

	/* The name is ours, made by mkdtemp below /tmp. */
	(void)snprintf(command, sizeof(command), "rm -rf '%s'", f->path);
	if (*f->path && system(command) != 0)
		test_fail(T_HERE, "cannot remove %s", f->path);
}
#define auto_folder __attribute__((cleanup(folder_close)))

static bool folder_open(struct folder *f)
{
	(void)snprintf(f->path, sizeof(f->path), "/tmp/shrike-config.XXXXXX");
	if (!mkdtemp(f->path)) {
		f->path[0] = 0;
		return false;
	}
	(void)snprintf(f->text, sizeof(f->text), "%s/conf.d", f->path);
	return mkdir(f->text, 0755) == 0;
}

static const char *folder_at(struct folder *f, const char *name)
{
	(void)snprintf(f->text, sizeof(f->text), "%s/%s", f->path, name);
	return f->text;
}

static bool folder_write(struct folder *f, const char *name, const char *text)
{
	auto_file FILE *file = fopen(folder_at(f, name), "we");

	return file && fputs(text, file) >= 0;
}

/* Loads the folder's shrike.yaml; what is said of it goes to `said`, with the folder's name taken off. */
static int folder_load(struct folder *f, struct config **ret_config, struct buf *said)
{
	auto_report struct config_report report = { 0 };
	auto_buf struct buf all = { .max = FILE_MAX };
	int r = config_load(folder_at(f, "shrike.yaml"), &sample_schema, ret_config, &report);
	size_t n = strlen(f->path) + 1;

	buf_clear(said);
	config_report_write(&report, false, &all);
	for (const char *p = buf_text(&all); *p; p++) {
		if (!strncmp(p, f->path, n - 1) && p[n - 1] == '/')
			p += n;
		buf_char(said, *p);
	}
	return r;
}

/* ---- what is wrong with a file ----------------------------------------------------------- */

/* A line of the expectation that ends in "..." holds for all that begins so: the rest is libfyaml's, by version. */
static bool matches(const char *got, const char *want)
{
	while (*want) {
		size_t n = strcspn(want, "\n"), m = strcspn(got, "\n");
		bool open = n > 3 && !strncmp(want + n - 3, "...", 3);

		if (open ? m < n - 3 || strncmp(got, want, n - 3) != 0 : m != n || strncmp(got, want, n) != 0)
			return false;
		want += n + (want[n] == '\n');
		got += m + (got[m] == '\n');
	}
	return !*got;
}

static void check_bad_file(const char *name)
{
	auto_buf struct buf text = { .max = FILE_MAX }, want = { .max = FILE_MAX }, got = { .max = FILE_MAX };
	auto_report struct config_report report = { 0 };
	AUTO(config) config = NULL;
	char path[512];

	(void)snprintf(path, sizeof(path), TESTS "/bad/%s", name);
	require(read_text(path, &text));
	(void)snprintf(path + strlen(path) - 4, 16, "expected");
	check_int(config_load_text(name, buf_text(&text), text.len, &sample_schema, &config, &report), -EINVAL);
	check(config == NULL);
	check(report.n_errors > 0);
	config_report_write(&report, false, &got);
	if (!read_text(path, &want) || !matches(buf_text(&got), buf_text(&want)))
		test_fail(T_HERE, "got\n%swant\n%s", buf_text(&got), buf_text(&want));
}

TEST(every_bad_file_is_refused_with_its_message)
{
	auto_dir DIR *dir = opendir(TESTS "/bad");
	size_t n = 0;

	require(dir);
	for (struct dirent *d; (d = readdir(dir));) {
		size_t len = strlen(d->d_name);

		if (len < 6 || strcmp(d->d_name + len - 5, ".yaml") != 0)
			continue;
		test_row = d->d_name;
		check_bad_file(d->d_name);
		n++;
	}
	test_row = NULL;
	check(n >= 40);
}

TEST(problems_show_the_line_and_a_caret)
{
	static const struct {
		const char *name, *text, *want;
	} rows[] = {
		{ "in the middle", "plain:\n  count: x\n",
		  "x.yaml:2:10: plain.count: \"x\" is not a whole number\n"
		  "    2 |   count: x\n"
		  "      |          ^\n" },
		{ "characters, not bytes", "plain: { text: \"été\", count: x }",
		  "x.yaml:1:30: plain.count: \"x\" is not a whole number\n"
		  "    1 | plain: { text: \"été\", count: x }\n"
		  "      |                              ^\n" },
		{ "a tab keeps its width", "plain: {\tcount: x }\r\n",
		  "x.yaml:1:17: plain.count: \"x\" is not a whole number\n"
		  "    1 | plain: {\tcount: x }\n"
		  "      |         \t       ^\n" },
		{ "nothing for a terminal to obey", "plain: \x1b[2J",
		  "x.yaml:1:8: a control character\n"
		  "    1 | plain: ?[2J\n"
		  "      |        ^\n" },
	};
	auto_buf struct buf out = { .max = FILE_MAX };

	for_each_row (r, rows) {
		auto_report struct config_report report = { 0 };
		AUTO(config) config = NULL;

		check_int(load_text(r->text, &config, &report), -EINVAL);
		buf_clear(&out);
		config_report_write(&report, true, &out);
		check_str(buf_text(&out), r->want);
	}
}

TEST(one_problem_stands_in_the_trail)
{
	auto_report struct config_report report = { 0 };
	AUTO(config) config = NULL;

	check_int(load_text("plain:\n  count: x\n", &config, &report), -EINVAL);
	check_str(err_trail(), "x.yaml:2:10: plain.count: \"x\" is not a whole number");
	config_report_clear(&report);
	check_int(load_text("plain:\n  count: x\n  sizes: 1\n", &config, &report), -EINVAL);
	check_str(err_trail(),
		  "2 problems in the configuration, the first: x.yaml:2:10: plain.count: \"x\" is not a whole number");
}

/* ---- bounds ------------------------------------------------------------------------------ */

static void repeat(struct buf *out, const char *piece, size_t n)
{
	for (size_t i = 0; i < n; i++)
		buf_str(out, piece);
}

TEST(depth_is_bounded)
{
	auto_buf struct buf text = { .max = FILE_MAX }, out = { .max = FILE_MAX };

	/* The top, and `plain`, are two of the levels. */
	buf_str(&text, "plain: ");
	repeat(&text, "[", YAML_DEPTH_MAX - 1);
	repeat(&text, "]", YAML_DEPTH_MAX - 1);
	check_str(problems_of(buf_text(&text), &out), "x.yaml:1:8: plain: wants a mapping, found a list\n");
	buf_clear(&text);
	buf_str(&text, "plain: ");
	repeat(&text, "[", YAML_DEPTH_MAX);
	repeat(&text, "]", YAML_DEPTH_MAX);
	check_has(problems_of(buf_text(&text), &out), "nested deeper than 16");
	/* A hundred thousand brackets are refused as quickly. */
	buf_clear(&text);
	repeat(&text, "[", 100000);
	check_has(problems_of(buf_text(&text), &out), "nested deeper than 16");
	buf_clear(&text);
	repeat(&text, "- ", 100000);
	check_has(problems_of(buf_text(&text), &out), "nested deeper than 16");
}

TEST(nodes_are_bounded)
{
	auto_buf struct buf text = { .max = FILE_MAX }, out = { .max = FILE_MAX };

	/* The top, the key and the list are three. */
	buf_str(&text, "plain: [");
	repeat(&text, "1,", YAML_NODES_MAX - 3);
	buf_str(&text, "]");
	check_str(problems_of(buf_text(&text), &out), "x.yaml:1:8: plain: wants a mapping, found a list\n");
	buf_clear(&text);
	buf_str(&text, "plain: [");
	repeat(&text, "1,", YAML_NODES_MAX - 2);
	buf_str(&text, "]");
	check_has(problems_of(buf_text(&text), &out), "more than 32768 nodes");
}

TEST(keys_of_a_mapping_are_bounded)
{
	auto_buf struct buf text = { .max = FILE_MAX }, out = { .max = FILE_MAX };

	for (unsigned i = 0; i < YAML_KEYS_MAX; i++)
		buf_printf(&text, "key%u: 1\n", i);
	check_has(problems_of(buf_text(&text), &out), "and 462 more\n");
	buf_str(&text, "plain: {}\n");
	check_str(problems_of(buf_text(&text), &out), "x.yaml:513:1: a mapping of more than 512 keys\n");
}

TEST(lines_of_a_text_are_bounded)
{
	static const struct {
		const char *name, *start, *end;
	} rows[] = {
		{ "plain", "plain:\n  text: x", "    y\n" },
		{ "single quotes", "plain:\n  text: 'x", "    y'\n" },
		{ "double quotes", "plain:\n  text: \"x", "    y\"\n" },
		{ "literal", "plain:\n  text: |\n    x", "    y\n" },
	};
	auto_buf struct buf text = { .max = 2 << 20 }, out = { .max = FILE_MAX };

	for_each_row (r, rows) {
		buf_clear(&text);
		buf_str(&text, r->start);
		repeat(&text, "\n", YAML_LINES_MAX - 2);
		buf_str(&text, r->end);
		check_str(problems_of(buf_text(&text), &out), "");
		/* A megabyte of them must not take minutes. */
		buf_clear(&text);
		buf_str(&text, r->start);
		repeat(&text, "\n", YAML_BYTES_MAX - 64);
		buf_str(&text, r->end);
		check_has(problems_of(buf_text(&text), &out), "a text of more than 64 lines");
	}
}

TEST(the_size_of_a_file_is_bounded)
{
	auto_buf struct buf text = { .max = 2 << 20 }, out = { .max = FILE_MAX };

	repeat(&text, "#", YAML_BYTES_MAX);
	check_str(problems_of(buf_text(&text), &out), "");
	repeat(&text, "#", 1);
	check_str(problems_of(buf_text(&text), &out), "x.yaml: larger than 1 MiB\n");
}

/* ---- what a good file gives --------------------------------------------------------------- */

static void ignore_change(void *ctx, const struct config_change *change)
{
	(void)ctx;
	(void)change;
}

TEST(a_file_without_a_word_means_defaults)
{
	static const struct {
		const char *name, *text;
	} rows[] = {
		{ "empty", "" },
		{ "a line end", "\n" },
		{ "comments", "# plain:\n#   count: 7\n" },
		{ "a document mark", "---\n" },
		{ "byte order mark", "\xef\xbb\xbf" },
		{ "empty sections", "plain:\nsensors:\n" },
		{ "empty mappings", "plain: {}\nsensors: { sample: {}, quiet: }\n" },
		{ "empty at the top", "{}" },
	};
	AUTO(config) defaults = NULL;

	require_ok(config_load_defaults(&sample_schema, &defaults));
	check_int(sample_of(defaults)->count, 10);
	check(config_is_enabled(defaults, "sensors.sample"));
	check(!config_is_enabled(defaults, "sensors.quiet"));
	check(config_is_enabled(defaults, "plain"));
	check(!config_is_enabled(defaults, "sensors.other"));
	check(config_section(defaults, "sensors.other") == NULL);
	for_each_row (r, rows) {
		auto_report struct config_report report = { 0 };
		AUTO(config) config = NULL;

		require_ok(load_text(r->text, &config, &report));
		check_int(report.n, 0);
		check_int(config_diff(defaults, config, ignore_change, NULL), 0);
	}
}

TEST(values_land_where_they_belong)
{
	auto_report struct config_report report = { 0 };
	auto_buf struct buf text = { .max = FILE_MAX };
	AUTO(config) config = NULL;
	const struct sample *s;
	char origin[128];

	require(read_text(TESTS "/good/all-types.yaml", &text));
	require_ok(load_text(buf_text(&text), &config, &report));
	s = sample_of(config);
	check(s->flag);
	check_int(s->count, 500);
	check_int(s->total, 1234567890123);
	check_int(s->size, 1 << 20);
	check_int(s->pause, 90000000000);
	check_str(s->text, "two words");
	check_str(s->path, "");
	check_int(s->mode, 2);
	check_int(s->words, 1 << 1);
	check_int(s->names.n, 2);
	check_str(s->names.items[1], "b: c");
	check_int(s->paths.n, 1);
	check_str(s->paths.items[0], "/a b");
	check_int(s->map.n, 2);
	check_str(s->map.items[0].key, "file.open");
	check_int(s->map.items[0].words, 1 | 4);
	check_int(s->map.items[1].words, 2);
	check(!config_is_enabled(config, "sensors.sample"));
	check(config_is_enabled(config, "sensors.quiet"));
	check_int(((const struct sample *)config_section(config, "plain"))->count, 10);
	check_str(config_origin(config, "sensors.sample", "count", origin, sizeof(origin)), "x.yaml:7");
	check_str(config_origin(config, "sensors.sample", "enabled", origin, sizeof(origin)), "x.yaml:5");
	check(config_origin(config, "plain", "count", origin, sizeof(origin)) == NULL);
}

TEST(what_is_printed_reads_back_the_same)
{
	auto_buf struct buf text = { .max = FILE_MAX }, printed = { .max = FILE_MAX };
	auto_report struct config_report report = { 0 };
	AUTO(config) config = NULL;
	AUTO(config) again = NULL;

	require(read_text(TESTS "/good/all-types.yaml", &text));
	require_ok(load_text(buf_text(&text), &config, &report));
	config_print(config, &printed);
	check_has(buf_text(&printed), "    count: 500 # x.yaml:7\n");
	require_ok(load_text(buf_text(&printed), &again, &report));
	check_int(config_diff(config, again, ignore_change, NULL), 0);
}

TEST(a_configuration_lives_as_long_as_it_is_held)
{
	struct config *config = NULL, *held;

	require_ok(config_load_defaults(&sample_schema, &config));
	held = config_ref(config);
	config_free(config);
	check_str(sample_of(held)->path, "/etc/passwd");
	config_free(held);
	config_free(NULL);
}

/* ---- files and conf.d ---------------------------------------------------------------------- */

TEST(a_named_file_must_exist)
{
	auto_folder struct folder f = { 0 };
	auto_buf struct buf said = { .max = FILE_MAX };
	AUTO(config) config = NULL;

	require(folder_open(&f));
	check_int(folder_load(&f, &config, &said), -EINVAL);
	check_str(buf_text(&said), "shrike.yaml: No such file or directory\n");
}

TEST(only_files_are_read)
{
	auto_folder struct folder f = { 0 };
	auto_buf struct buf said = { .max = FILE_MAX };
	AUTO(config) config = NULL;

	require(folder_open(&f));
	require(mkdir(folder_at(&f, "shrike.yaml"), 0755) == 0);
	check_int(folder_load(&f, &config, &said), -EINVAL);
	check_str(buf_text(&said), "shrike.yaml: a directory, not a file\n");
	require(rmdir(folder_at(&f, "shrike.yaml")) == 0);
	/* Nobody writes to it: a reader that waits would wait for good. */
	require(mkfifo(folder_at(&f, "shrike.yaml"), 0644) == 0);
	check_int(folder_load(&f, &config, &said), -EINVAL);
	check_str(buf_text(&said), "shrike.yaml: not a file\n");
}

TEST(later_files_win_key_by_key_and_lists_replace)
{
	auto_folder struct folder f = { 0 };
	auto_buf struct buf said = { .max = FILE_MAX };
	AUTO(config) config = NULL;
	const struct sample *s;
	char origin[256];

	require(folder_open(&f));
	require(folder_write(&f, "shrike.yaml",
			     "sensors:\n  sample:\n    count: 100\n    size: 8KiB\n"
			     "    names: [a, b]\n    map: { x: [read], y: [read] }\n"));
	require(folder_write(&f, "conf.d/20-late.yaml", "sensors: { sample: { count: 300, names: [c] } }\n"));
	require(folder_write(
		&f, "conf.d/10-early.yaml",
		"sensors: { sample: { count: 200, total: 5, map: { y: write } }, quiet: { enabled: true } }\n"));
	require(folder_write(&f, "conf.d/.hidden.yaml", "nonsense: [\n"));
	require(folder_write(&f, "conf.d/README", "nonsense: [\n"));
	require_ok(folder_load(&f, &config, &said));
	check_str(buf_text(&said), "");
	s = sample_of(config);
	check_int(s->count, 300);
	check_int(s->size, 8192);
	check_int(s->total, 5);
	check_int(s->names.n, 1);
	check_str(s->names.items[0], "c");
	check_int(s->map.n, 2);
	check_int(s->map.items[0].words, 1);
	check_int(s->map.items[1].words, 2);
	check(config_is_enabled(config, "sensors.quiet"));
	check_has(config_origin(config, "sensors.sample", "count", origin, sizeof(origin)), "conf.d/20-late.yaml:1");
}

TEST(a_mistake_is_found_even_where_a_later_file_covers_it)
{
	auto_folder struct folder f = { 0 };
	auto_buf struct buf said = { .max = FILE_MAX };
	AUTO(config) config = NULL;

	require(folder_open(&f));
	require(folder_write(&f, "shrike.yaml", "plain:\n  count: x\n"));
	require(folder_write(&f, "conf.d/a.yaml", "plain:\n  count: 7\n"));
	require(folder_write(&f, "conf.d/b.yaml", "plain: [\n"));
	require(folder_write(&f, "conf.d/c.yaml", "plain:\n  coutn: 7\n"));
	check_int(folder_load(&f, &config, &said), -EINVAL);
	check(matches(buf_text(&said), "shrike.yaml:2:10: plain.count: \"x\" is not a whole number\n"
				       "conf.d/b.yaml:2:1: not YAML: ...\n"
				       "conf.d/c.yaml:2:3: plain.coutn: unknown; did you mean \"count\"?\n"));
}

TEST(a_check_points_to_the_file_whose_value_counts)
{
	auto_folder struct folder f = { 0 };
	auto_buf struct buf said = { .max = FILE_MAX };
	AUTO(config) config = NULL;

	require(folder_open(&f));
	require(folder_write(&f, "shrike.yaml", "sensors:\n  sample:\n    mode: off\n"));
	require(folder_write(&f, "conf.d/a.yaml", "sensors:\n  sample:\n    text: loud\n"));
	check_int(folder_load(&f, &config, &said), -EINVAL);
	check_str(buf_text(&said), "conf.d/a.yaml:3:11: sensors.sample.text: \"loud\" while mode is off\n");
}

TEST(conf_d_must_be_readable_and_not_anybodys)
{
	auto_folder struct folder f = { 0 };
	auto_buf struct buf said = { .max = FILE_MAX };
	AUTO(config) config = NULL;

	require(folder_open(&f));
	require(folder_write(&f, "shrike.yaml", "plain: { count: 7 }\n"));
	require(folder_write(&f, "conf.d/a.yaml", "plain: { count: 8 }\n"));
	require(folder_write(&f, "conf.d/b.yml", "plain: { count: 9 }\n"));
	require_ok(folder_load(&f, &config, &said));
	check_str(buf_text(&said), "conf.d/b.yml: warning: not read: its name must end with .yaml\n");
	config_free(take(config));

	require(chmod(folder_at(&f, "conf.d/a.yaml"), 0666) == 0);
	check_int(folder_load(&f, &config, &said), -EINVAL);
	check_has(buf_text(&said), "conf.d/a.yaml: anybody may write to it\n");
	require(chmod(folder_at(&f, "conf.d/a.yaml"), 0644) == 0);

	require(chmod(folder_at(&f, "conf.d"), 0777) == 0);
	check_int(folder_load(&f, &config, &said), -EINVAL);
	check_str(buf_text(&said), "conf.d: anybody may write to it\n");
	require(chmod(folder_at(&f, "conf.d"), 0755) == 0);

	/* A file that was named is the choice of who named it. */
	require(chmod(folder_at(&f, "shrike.yaml"), 0666) == 0);
	require_ok(folder_load(&f, &config, &said));
	check_has(buf_text(&said), "shrike.yaml: warning: anybody may write to it\n");
}

TEST(conf_d_that_is_no_folder_is_said)
{
	auto_folder struct folder f = { 0 };
	auto_buf struct buf said = { .max = FILE_MAX };
	AUTO(config) config = NULL;

	require(folder_open(&f));
	require(rmdir(folder_at(&f, "conf.d")) == 0);
	require(folder_write(&f, "shrike.yaml", ""));
	require_ok(folder_load(&f, &config, &said));
	check_str(buf_text(&said), "");
	config_free(take(config));
	require(folder_write(&f, "conf.d", ""));
	check_int(folder_load(&f, &config, &said), -EINVAL);
	check_str(buf_text(&said), "conf.d: Not a directory\n");
}

/* ---- what a reload changes ------------------------------------------------------------------ */

static void note_change(void *ctx, const struct config_change *change)
{
	static const char *const effects[] = { "same", "live", "switch", "reopen", "restart" };
	struct buf *out = ctx;

	buf_printf(out, "%s.%s %s\n", change->section->path, change->row ? change->row->name : "enabled",
		   effects[change->effect]);
}

TEST(a_reload_knows_what_changes_and_what_it_takes)
{
	static const struct {
		const char *name, *before, *after, *want;
		enum config_effect effect;
	} rows[] = {
		{ "nothing", "", "# a comment", "", CONFIG_SAME },
		{ "the default spelled out", "", "sensors: { sample: { count: 10, size: 65536 } }", "", CONFIG_SAME },
		{ "a live option", "", "sensors: { sample: { mode: off } }", "sensors.sample.mode live\n",
		  CONFIG_LIVE },
		{ "an option of a leaf", "", "sensors: { sample: { count: 11 } }", "sensors.sample.count reopen\n",
		  CONFIG_REOPEN },
		{ "both", "sensors: { sample: { names: [a] } }", "sensors: { sample: { count: 11, names: [b] } }",
		  "sensors.sample.count reopen\nsensors.sample.names live\n", CONFIG_REOPEN },
		{ "off", "", "sensors: { sample: { enabled: false, count: 11 } }",
		  "sensors.sample.enabled switch\nsensors.sample.count reopen\n", CONFIG_SWITCH },
		{ "an option of a leaf that stays off", "sensors: { sample: { enabled: false } }",
		  "sensors: { sample: { enabled: false, count: 11 } }", "sensors.sample.count reopen\n", CONFIG_SAME },
		{ "elsewhere", "", "plain: { count: 11, flag: true }", "plain.flag live\nplain.count restart\n",
		  CONFIG_SAME },
	};

	for_each_row (r, rows) {
		auto_report struct config_report report = { 0 };
		auto_buf struct buf said = { .max = FILE_MAX };
		AUTO(config) before = NULL;
		AUTO(config) after = NULL;

		require_ok(load_text(r->before, &before, &report));
		require_ok(load_text(r->after, &after, &report));
		(void)config_diff(before, after, note_change, &said);
		check_str(buf_text(&said), r->want);
		check_int(config_section_effect(before, after, "sensors.sample"), r->effect);
	}
}

TEST(single_settings_lie_on_top_of_the_files)
{
	static const struct {
		const char *name, *set, *want;
	} rows[] = {
		{ "a number", "sensors.sample.count=20", "" },
		{ "a list", "sensors.sample.names=[a, b]", "" },
		{ "an empty text", "sensors.sample.text=", "" },
		{ "at the top", "scope=cgroup:/x", "" },
		{ "no value", "scope", "--set scope: write it as KEY=VALUE, for instance sensors.file.enabled=true\n" },
		{ "no key", "=1", "--set =1: write it as KEY=VALUE, for instance sensors.file.enabled=true\n" },
		{ "an unknown key", "plain.cout=1",
		  "--set plain.cout=1:1:10: plain.cout: unknown; did you mean \"count\"?\n" },
		{ "out of range", "plain.count=1",
		  "--set plain.count=1:1:17: plain.count: 1 is out of range: 5 to 500\n" },
	};
	auto_folder struct folder f = { 0 };
	auto_buf struct buf out = { .max = FILE_MAX };

	require(folder_open(&f));
	require(folder_write(&f, "shrike.yaml", "sensors: { sample: { count: 100, size: 8KiB } }\n"));
	for_each_row (r, rows) {
		auto_report struct config_report report = { 0 };
		AUTO(config) config = NULL;
		int got = config_load_with(folder_at(&f, "shrike.yaml"), &r->set, 1, &sample_schema, &config, &report);

		buf_clear(&out);
		config_report_write(&report, false, &out);
		check_str(buf_text(&out), r->want);
		check_int(got, *r->want ? -EINVAL : 0);
		if (config)
			check_int(sample_of(config)->size, 8192);
		if (config && r == rows)
			check_int(sample_of(config)->count, 20);
	}
}

/* ---- the agent's own sections ----------------------------------------------------------------- */

TEST(the_words_of_the_log_level_are_those_of_the_log)
{
	static const char *const words[] = { "error", "warning", "notice", "info", "debug" };
	const struct config_schema schema = { settings_sections, settings_n_sections, NULL };

	for (size_t i = 0; i < countof(words); i++) {
		auto_report struct config_report report = { 0 };
		AUTO(config) config = NULL;
		enum log_level level;
		char text[64];

		(void)snprintf(text, sizeof(text), "agent: { log_level: %s }", words[i]);
		require_ok(config_load_text("x.yaml", text, strlen(text), &schema, &config, &report));
		require(log_level_parse(words[i], &level));
		check_int(((const struct settings_agent *)config_section(config, "agent"))->log_level, level);
	}
}

TEST(settings_are_checked_as_a_whole)
{
	static const struct {
		const char *name, *text, *want;
	} rows[] = {
		{ "host", "scope: host", "" },
		{ "cgroup", "scope: cgroup:/system.slice/nginx.service", "" },
		{ "netns by name", "scope: netns:blue", "" },
		{ "netns by path", "scope: netns:/proc/1/ns/net", "" },
		{ "no such scope", "scope: all",
		  "x.yaml:1:8: scope: \"all\" is no scope: write host, cgroup:/PATH or netns:NAME\n" },
		{ "cgroup without a path", "scope: 'cgroup:'",
		  "x.yaml:1:8: scope: \"cgroup:\": a cgroup is named by its path below the cgroup mount: "
		  "cgroup:/system.slice\n" },
		{ "netns without a name", "scope: 'netns:'",
		  "x.yaml:1:8: scope: \"netns:\": a network namespace is named as by ip-netns, or by an absolute "
		  "path\n" },
		{ "netns with a folder", "scope: netns:a/b",
		  "x.yaml:1:8: scope: \"netns:a/b\": a network namespace is named as by ip-netns, or by an absolute "
		  "path\n" },
		{ "ring of a power of two", "rings: { bulk: 32MiB }", "" },
		{ "ring of another size", "rings: { bulk: 20MiB }",
		  "x.yaml:1:16: warning: rings.bulk: not a power of two: 32MiB is taken\n" },
		{ "stacks", "stacks: { a.b: [kernel, user], c.d: user, e.f: [] }", "" },
	};
	static config_check_fn *const checks[] = { settings_check, NULL };
	const struct config_schema schema = { settings_sections, settings_n_sections, checks };
	auto_buf struct buf out = { .max = FILE_MAX };

	for_each_row (r, rows) {
		auto_report struct config_report report = { 0 };
		AUTO(config) config = NULL;

		(void)config_load_text("x.yaml", r->text, strlen(r->text), &schema, &config, &report);
		buf_clear(&out);
		config_report_write(&report, false, &out);
		check_str(buf_text(&out), r->want);
	}
}

/* ---- files of others ------------------------------------------------------------------- */

static const char *foreign(const char *text, struct buf *out)
{
	auto_report struct config_report report = { 0 };
	struct yaml_node *documents = NULL;
	int r = yaml_read_foreign("x.yml", text, strlen(text), &report, &documents);

	buf_clear(out);
	config_report_write(&report, false, out);
	for (const struct yaml_node *d = r == 0 ? documents->first : NULL; d; d = d->next) {
		buf_printf(out, "[%s %u:%u]", yaml_type_name(d), d->line, d->column);
		for (const struct yaml_node *v = d->first; v; v = v->next)
			buf_printf(out, " %s=%.*s%s", v->key ? v->key->text : "", (int)v->len, v->text,
				   v->plain ? " plain" : "");
	}
	yaml_node_free(documents);
	return buf_text(out);
}

TEST(files_of_others_have_documents_folded_texts_and_long_keys)
{
	static const struct {
		const char *name, *text, *want;
	} rows[] = {
		{ "nothing", "", "" },
		{ "two documents", "a: 1\n---\nb: '2'\n", "[a mapping 1:1] a=1 plain[a mapping 3:1] b=2" },
		{ "an empty document", "---\n---\na: x\n", "[nothing 1:1][a mapping 3:1] a=x plain" },
		{ "keys with signs", "a|b|all: x\n'|all': y\n", "[a mapping 1:1] a|b|all=x plain |all=y plain" },
		{ "folded", "a: >\n  b c\n  d\n\n  e\nf: 1\n", "[a mapping 1:1] a=b c d\ne\n f=1 plain" },
		{ "folded, no break at the end", "a: >-\n  b\n  c\n\n\n", "[a mapping 1:1] a=b c" },
		{ "folded, lines further in", "a: >\n b\n   c\n  d\n e\n", "[a mapping 1:1] a=b\n  c\n d\ne\n" },
		{ "folded, a comment behind the sign", "a: > # why - not\n  b\n", "[a mapping 1:1] a=b\n" },
		{ "folded, letters of more bytes", "\xc3\xa4: x\na: >-\n  \xc3\xb6 \xe2\x82\xac\n  z\n",
		  "[a mapping 1:1] \xc3\xa4=x plain a=\xc3\xb6 \xe2\x82\xac z" },
		{ "folded, ends of lines as elsewhere", "a: >-\r\n  b\r\n  c\r\n", "[a mapping 1:1] a=b c" },
		{ "literal", "a: |\n  b\n  c\n", "[a mapping 1:1] a=b\nc\n" },
		{ "an alias", "a: &x 1\nb: *x\n", "x.yml:1:4: anchors and aliases are not taken: write it out\n" },
		{ "a tag", "a: !x 1\n", "x.yml:1:4: tags are not taken\n" },
		{ "a key twice", "a: 1\na: 2\n", "x.yml:2:1: a: a key twice, first on line 1\n" },
	};
	auto_buf struct buf out = { .max = 4096 };

	for_each_row (r, rows)
		check_str(foreign(r->text, &out), r->want);
}
