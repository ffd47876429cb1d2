/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <limits.h>
#include "agent/schema.h"
#include "base/err.h"
#include "base/json.h"
#include "base/test.h"
#include "reference/reference.h"

enum { FILE_MAX = REFERENCE_PAGE_MAX };

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

/* The first line in which two texts differ. */
static unsigned line_of_difference(const char *a, const char *b)
{
	unsigned line = 1;

	for (; *a && *a == *b; a++, b++)
		line += *a == '\n';
	return line;
}

TEST(generated_pages_are_what_the_tables_give)
{
	for (size_t i = 0; i < reference_n_pages; i++) {
		auto_buf struct buf want = { .max = FILE_MAX }, have = { .max = FILE_MAX };
		char path[PATH_MAX];

		test_row = reference_pages[i].path;
		require_ok(reference_pages[i].write(SHRIKE_SOURCE_DIR, &want));
		check(!want.failed);
		(void)snprintf(path, sizeof(path), SHRIKE_SOURCE_DIR "/%s", reference_pages[i].path);
		if (!read_text(path, &have) || strcmp(buf_text(&have), buf_text(&want)) != 0)
			test_fail(T_HERE, "stale from line %u on: run `make reference`",
				  line_of_difference(buf_text(&have), buf_text(&want)));
	}
	test_row = NULL;
}

static void name_change(void *ctx, const struct config_change *change)
{
	buf_printf(ctx, "%s.%s\n", change->section->path, change->row ? change->row->name : "enabled");
}

static void check_is_defaults(const char *text)
{
	auto_report struct config_report report = { 0 };
	auto_buf struct buf said = { .max = FILE_MAX };
	AUTO(config) defaults = NULL;
	AUTO(config) config = NULL;

	require_ok(config_load_defaults(agent_schema(), &defaults));
	require_ok(config_load_text("shrike.yaml", text, strlen(text), agent_schema(), &config, &report));
	(void)config_diff(defaults, config, name_change, &said);
	check_str(buf_text(&said), "");
	check_int(report.n, 0);
}

/* Takes the sign from "#key: value" and "#  - item", as a person would; "# text" stays. */
static void uncomment(const char *text, struct buf *out)
{
	while (*text) {
		size_t n = strcspn(text, "\n") + 1, blanks = strspn(text, " ");
		const char *sign = text + blanks;

		buf_add(out, text, blanks);
		if (*sign == '#' && (isalpha((unsigned char)sign[1]) || !strncmp(sign + 1, "  - ", 4)))
			sign++;
		buf_add(out, sign, n - (size_t)(sign - text));
		text += n;
	}
}

/* Every option and every switch stands in the text. */
static void check_is_complete(const char *text)
{
	const struct config_schema *schema = agent_schema();
	auto_report struct config_report report = { 0 };
	AUTO(config) config = NULL;
	char origin[PATH_MAX];

	require_ok(config_load_text("shrike.yaml", text, strlen(text), schema, &config, &report));
	for (size_t i = 0; i < schema->n_sections; i++) {
		const struct config_section *s = &schema->sections[i];

		if (s->can_disable && !config_origin(config, s->path, "enabled", origin, sizeof(origin)))
			test_fail(T_HERE, "%s.enabled is not there", s->path);
		for (size_t k = 0; k < s->n_rows; k++)
			if (!config_origin(config, s->path, s->rows[k].name, origin, sizeof(origin)))
				test_fail(T_HERE, "%s.%s is not there", s->path, s->rows[k].name);
	}
}

TEST(the_default_file_means_the_defaults_with_its_options_in_or_out)
{
	auto_buf struct buf text = { .max = FILE_MAX }, live = { .max = FILE_MAX };

	require_ok(reference_config_yaml(SHRIKE_SOURCE_DIR, &text));
	check_is_defaults(buf_text(&text));
	uncomment(buf_text(&text), &live);
	check_is_defaults(buf_text(&live));
	check_is_complete(buf_text(&live));
}

TEST(the_schema_is_json)
{
	static const struct json_limits limits = { FILE_MAX, 1 << 16, 32 };
	auto_buf struct buf text = { .max = FILE_MAX };
	auto_json struct json_doc doc;
	const struct json_node *root, *count;

	json_init(&doc, &limits);
	require_ok(reference_schema_json(SHRIKE_SOURCE_DIR, &text));
	require_ok(json_parse(&doc, buf_text(&text), text.len, &root));
	count = json_get(json_get(json_get(root, "properties"), "bus"), "properties");
	count = count ? json_get(count, "shards") : NULL;
	require(count);
	check_int(json_get(count, "maximum")->i, 64);
}

TEST(every_example_loads)
{
	auto_dir DIR *dir = opendir(SHRIKE_SOURCE_DIR "/config/examples");
	size_t n = 0;

	require(dir);
	for (struct dirent *d; (d = readdir(dir));) {
		auto_report struct config_report report = { 0 };
		auto_buf struct buf said = { .max = FILE_MAX }, text = { .max = FILE_MAX };
		AUTO(config) defaults = NULL;
		AUTO(config) config = NULL;
		char path[PATH_MAX];

		if (!strstr(d->d_name, ".yaml"))
			continue;
		test_row = d->d_name;
		(void)snprintf(path, sizeof(path), SHRIKE_SOURCE_DIR "/config/examples/%s", d->d_name);
		require(read_text(path, &text));
		if (config_load_text(d->d_name, buf_text(&text), text.len, agent_schema(), &config, &report) < 0 ||
		    report.n) {
			config_report_write(&report, true, &said);
			test_fail(T_HERE, "\n%s", buf_text(&said));
			continue;
		}
		require_ok(config_load_defaults(agent_schema(), &defaults));
		check(config_diff(defaults, config, name_change, &said) > 0);
		n++;
	}
	test_row = NULL;
	check(n >= 6);
}
