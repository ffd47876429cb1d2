/* SPDX-License-Identifier: Apache-2.0 */
/* help - `shrike help`, `shrike help VERB`, `shrike VERB --help`; and, hidden, the manual pages. */
#include "cli/help.h"
#include <string.h>
#include "base/nearest.h"
#include "cli/text.h"

enum { INDENT = 2, VERB_COLUMN = 14, OPTION_COLUMN = 26 };

static void row_begin(struct buf *out, size_t begin, size_t column)
{
	size_t width = out->len - begin;

	/* A name that is longer than its column has the sentence on the next line. */
	if (width + 2 > column) {
		buf_char(out, '\n');
		width = 0;
	}
	buf_printf(out, "%*s", (int)(column - width), "");
}

static void exit_rows(const struct exit_row *rows, size_t n, struct buf *out)
{
	for (size_t i = 0; i < n; i++) {
		buf_printf(out, "%*s%d  ", INDENT, "", rows[i].code);
		text_wrap(out, rows[i].doc, INDENT + 3, INDENT + 3);
	}
}

static void sentence(const char *text, struct buf *out)
{
	if (text[0] >= 'a' && text[0] <= 'z') {
		buf_char(out, (char)(text[0] - 'a' + 'A'));
		text++;
	}
	buf_str(out, text);
	if (text[0] && !strchr(".?!", text[strlen(text) - 1]))
		buf_char(out, '.');
}

void help_overview(const struct verb *verb, struct buf *out)
{
	(void)verb;
	buf_str(out, "Usage: shrike VERB [OPTION]...\n"
		     "Watches this host with eBPF: what runs, what it opens, whom it talks to.\n\n");
	for (const struct verb *const *v = verb_table; *v; v++) {
		size_t begin = out->len;

		buf_printf(out, "%*s%s", INDENT, "", (*v)->name);
		row_begin(out, begin, VERB_COLUMN);
		text_wrap(out, (*v)->summary, VERB_COLUMN, VERB_COLUMN);
	}
	buf_str(out, "\n`shrike VERB --help` or `shrike help VERB` tells more. Exit codes:\n");
	exit_rows(exit_codes, exit_codes_n, out);
}

static void option_row(const struct verb_option *row, struct buf *out)
{
	bool list = row->value.type == OPT_STRS || row->value.type == OPT_PATHS;
	auto_buf struct buf text = { 0 };
	size_t begin = out->len;

	buf_init(&text, HELP_MAX);
	buf_printf(out, "%*s%s", INDENT, "", row->letter ? "" : "    ");
	args_show(row, out);
	row_begin(out, begin, OPTION_COLUMN);
	buf_str(&text, row->value.doc);
	if (row->value.type == OPT_ENUM) {
		buf_str(&text, ": ");
		for (size_t i = 0; row->value.names[i]; i++)
			buf_printf(&text, "%s%s", i ? ", " : "", row->value.names[i]);
	}
	if (list)
		buf_str(&text, " (may be given more than once)");
	else if (row->arg && row->value.def[0] && strcmp(row->value.def, "0") != 0)
		buf_printf(&text, " (default: %s)", row->value.def);
	text_wrap(out, buf_text(&text), OPTION_COLUMN, OPTION_COLUMN);
}

void help_verb(const struct verb *verb, struct buf *out)
{
	static const struct verb_option help_row = {
		.value = { .name = "help", .type = OPT_BOOL, .def = "", .doc = "this text" },
		.letter = 'h',
	};

	buf_printf(out, "Usage: shrike %s [OPTION]...%s%s\n", verb->name, verb->usage ? " " : "",
		   verb->usage ? verb->usage : "");
	sentence(verb->summary, out);
	buf_str(out, "\n");
	if (verb->about) {
		buf_char(out, '\n');
		text_wrap(out, verb->about, 0, 0);
	}
	buf_str(out, "\nOptions:\n");
	for (size_t i = 0; i < verb->n_options; i++)
		if (!verb->options[i].hidden)
			option_row(&verb->options[i], out);
	option_row(&help_row, out);
	if (verb->n_examples)
		buf_str(out, "\nExamples:\n");
	for (size_t i = 0; i < verb->n_examples; i++) {
		buf_printf(out, "%*s%s\n", INDENT, "", verb->examples[i].command);
		text_wrap(out, verb->examples[i].what, 0, 6);
	}
	if (verb->n_exits) {
		buf_str(out, "\nExit codes:\n");
		exit_rows(verb->exits, verb->n_exits, out);
	}
}

/* ---- the verb ------------------------------------------------------------------------ */

struct help_options {
	char *man;
};

static const struct verb_option options[] = {
	{ .value = { .name = "man",
		     .type = OPT_STR,
		     .off = offsetof(struct help_options, man),
		     .def = "",
		     .doc = "write the manual pages into a folder" },
	  .arg = "FOLDER",
	  .hidden = true },
};

static enum exit_code run(struct cli *cli, const void *opts, char **args, size_t n_args)
{
	const struct help_options *o = opts;
	const struct verb *verb = NULL;
	auto_buf struct buf out = { 0 };

	buf_init(&out, HELP_MAX);
	if (o->man[0])
		return man_write_all(o->man) < 0 ? cli_failed(cli) : EXIT_OK;
	if (n_args > 1)
		return cli_misused(cli, &verb_help, "one verb at a time");
	if (n_args) {
		verb = verb_find(args[0]);
		if (!verb)
			return verb_unknown(cli, args[0]);
		help_verb(verb, &out);
	} else {
		help_overview(NULL, &out);
	}
	(void)cli_write(cli, &out);
	return EXIT_OK;
}

const struct verb verb_help = {
	.name = "help",
	.summary = "this list, or what a verb does",
	.usage = "[VERB]",
	.options = options,
	.n_options = countof(options),
	.options_size = sizeof(struct help_options),
	.arguments = { { .complete = COMPLETE_VERB } },
	.run = run,
};
