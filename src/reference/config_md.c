/* SPDX-License-Identifier: Apache-2.0 */
/* config_md - docs/reference/config.md: every option in tables, one a section. */
#include "reference/reference.h"

static const char head[] =
	"# Configuration\n"
	"\n"
	"<!-- Written by `make reference` from the tables. Change those, not this. -->\n"
	"\n"
	"The agent reads one YAML file, `/etc/shrike/shrike.yaml` if no other is named, and then every\n"
	"`conf.d/*.yaml` beside it in the order of their names. Later files win key by key; a list replaces the\n"
	"earlier one. What is not written has its default. How files are read, and what is said of mistakes, is in\n"
	"[src/config/config.md](../../src/config/config.md); [config/examples](../../config/examples) shows uses.\n"
	"\n"
	"A change of a running agent's files is taken on `shrike reload`, whole or not at all. The column *change*\n"
	"says what it takes:\n"
	"\n"
	"| change | what happens |\n"
	"|---|---|\n"
	"| applies at once | the running part is told |\n"
	"| opens it again | the sensor or engine is closed and opened with its new options; meanwhile it sees nothing "
	"|\n"
	"| needs a restart | the agent goes on as before, says so, and takes it when it is started again |\n"
	"\n"
	"`enabled` starts and stops a sensor or engine while the agent runs.\n";

static void code(struct buf *out, const char *text)
{
	buf_char(out, '`');
	/* A bar ends a cell even in code. */
	for (; *text; text++)
		buf_printf(out, *text == '|' ? "\\%c" : "%c", *text);
	buf_char(out, '`');
}

static void write_row(const struct config_section *s, const struct option *row, const void *options, struct buf *out)
{
	auto_buf struct buf text = { .max = 1 << 16 };

	buf_printf(out, "| `%s` | ", row->name);
	reference_takes(row, &text);
	reference_md(out, buf_text(&text));
	buf_str(out, " | ");
	buf_clear(&text);
	option_print(row, options, &text);
	code(out, buf_text(&text));
	buf_printf(out, " | %s | ", reference_change(s, row));
	reference_md(out, row->doc);
	buf_str(out, " |\n");
}

static void write_section(const struct config *config, const struct config_section *s, struct buf *out)
{
	auto_buf struct buf text = { .max = 1 << 16 };

	if (*s->path)
		buf_printf(out, "\n## `%s`\n\n", s->path);
	else
		buf_str(out, "\n## The top of the file\n\n");
	reference_sentence(&text, s->summary);
	reference_md(out, buf_text(&text));
	buf_char(out, '\n');
	if (!s->n_rows && !s->can_disable)
		return;
	buf_str(out, "\n| key | takes | default | change | meaning |\n|---|---|---|---|---|\n");
	if (s->can_disable)
		buf_printf(out, "| `enabled` | true or false | `%s` | applies at once | is it on? |\n",
			   s->off_by_default ? "false" : "true");
	for (size_t i = 0; i < s->n_rows; i++)
		write_row(s, &s->rows[i], config_section(config, s->path), out);
}

int reference_config_md(const char *root, struct buf *out)
{
	const struct config_schema *schema;
	AUTO(config) config = NULL;
	int r;

	(void)root;
	r = reference_config(&schema, &config);
	if (r < 0)
		return r;
	buf_str(out, head);
	for (size_t i = 0; i < schema->n_sections; i++)
		write_section(config, &schema->sections[i], out);
	return 0;
}
