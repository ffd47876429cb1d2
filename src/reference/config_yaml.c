/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config_yaml - config/shrike.yaml: every option with its sentence, its bounds and its default.
 *
 * Options are commented out as "#key: value", without a blank, and sentences as "# text". So
 * who installs the file takes no default for good, and removing one sign sets an option.
 */
#include "reference/reference.h"

enum { WIDTH = 100 };

static const char head[] =
	"# yaml-language-server: $schema=./shrike.schema.json\n"
	"#\n"
	"# The configuration of Shrike. Every option stands here with its default: remove the # in front\n"
	"# of one, and of nothing else, to change it. Files in conf.d beside this one are read after it, in\n"
	"# the order of their names; they win key by key, and a list replaces the earlier list.\n"
	"#\n"
	"# `shrike check FILE` says what is wrong with a file, with line and column. A running agent reads its\n"
	"# files again on `shrike reload`; a file with a mistake changes nothing. What is marked \"needs a\n"
	"# restart\" waits until the agent is started again; \"opens it again\" means that the part it stands in\n"
	"# is closed and opened, which takes a moment in which that part sees nothing.\n"
	"#\n"
	"# Sizes are written with B, KiB, MiB or GiB, times with ns, us, ms, s, m, h or d.\n";

static void indent(struct buf *out, unsigned depth)
{
	for (unsigned i = 0; i < depth; i++)
		buf_str(out, "  ");
}

static void comment(struct buf *out, unsigned depth, const char *text)
{
	char prefix[64] = "";

	(void)snprintf(prefix, sizeof(prefix), "%*s# ", (int)depth * 2, "");
	reference_wrap(out, prefix, WIDTH, text);
}

static void write_list(const struct option_list *list, unsigned depth, struct buf *out)
{
	for (size_t i = 0; i < list->n; i++) {
		buf_char(out, '\n');
		indent(out, depth);
		buf_str(out, "#  - ");
		option_print_text(list->items[i], out);
	}
	buf_char(out, '\n');
}

static void write_option(const struct config_section *s, const struct option *row, const void *options, unsigned depth,
			 struct buf *out)
{
	auto_buf struct buf text = { .max = 1 << 16 };

	buf_char(out, '\n');
	reference_sentence(&text, row->doc);
	comment(out, depth, buf_text(&text));
	buf_clear(&text);
	reference_takes(row, &text);
	buf_printf(&text, "; %s", reference_change(s, row));
	comment(out, depth, buf_text(&text));
	buf_clear(&text);
	option_print(row, options, &text);
	indent(out, depth);
	buf_printf(out, "#%s:", row->name);
	if ((row->type == OPT_STRS || row->type == OPT_PATHS) && text.len + depth * 2 + strlen(row->name) + 3 > WIDTH)
		write_list((const struct option_list *)(const void *)((const char *)options + row->off), depth, out);
	else
		buf_printf(out, " %s\n", buf_text(&text));
}

static void write_section(const struct config *config, const struct config_section *s, struct buf *out)
{
	const char *name = strrchr(s->path, '.') ? strrchr(s->path, '.') + 1 : s->path;
	auto_buf struct buf text = { .max = 1 << 16 };
	unsigned depth = 0;

	for (const char *p = s->path; *p; p++)
		depth += *p == '.';
	if (*s->path) {
		reference_sentence(&text, s->summary);
		buf_char(out, '\n');
		comment(out, depth, buf_text(&text));
		indent(out, depth);
		buf_printf(out, "%s:\n", name);
		depth++;
	}
	if (s->can_disable) {
		indent(out, depth);
		buf_printf(out, "#enabled: %s\n", s->off_by_default ? "false" : "true");
	}
	for (size_t i = 0; i < s->n_rows; i++)
		write_option(s, &s->rows[i], config_section(config, s->path), depth, out);
}

int reference_config_yaml(const char *root, struct buf *out)
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
