/* SPDX-License-Identifier: Apache-2.0 */
/* man - the manual pages, as roff, from the verb rows. `shrike help --man FOLDER` writes them; they are kept in
 * docs/man. */
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include "base/err.h"
#include "cli/help.h"
#include "cli/text.h"

/* Moved by hand when what the pages say changes much: pages must not differ from build to build. */
#define MAN_DATE "2026-11-21"

/* Text in roff: a backslash and a dash mean something, and so does a dot that begins a line. */
static void roff(struct buf *out, const char *text)
{
	bool begins = true;

	for (const char *p = text; *p; p++) {
		if (begins && (*p == '.' || *p == '\''))
			buf_str(out, "\\&");
		begins = *p == '\n';
		if (*p == '\\')
			buf_str(out, "\\e");
		else if (*p == '-')
			buf_str(out, "\\-");
		else if (*p == '\'')
			buf_str(out, "\\(aq");
		else if (*p == '^')
			buf_str(out, "\\(ha");
		else if (*p == '~')
			buf_str(out, "\\(ti");
		else if (*p == '`')
			buf_str(out, "\\(ga");
		else
			buf_char(out, *p);
	}
}

/* One paragraph, in lines of a length that one can read in the source, too. */
static void prose(struct buf *out, const char *text)
{
	auto_buf struct buf lines = { 0 };

	buf_init(&lines, HELP_MAX);
	text_wrap(&lines, text, 0, 0);
	roff(out, buf_text(&lines));
}

/* Paragraphs; a line that begins with a blank is shown as it is. */
static void paragraphs(struct buf *out, const char *text)
{
	bool verbatim = false;

	for (const char *p = text; *p;) {
		size_t n = strcspn(p, "\n");
		char line[2048];

		(void)snprintf(line, sizeof(line), "%.*s", (int)n, p);
		if (!n) {
			buf_str(out, verbatim ? ".EE\n" : "");
			verbatim = false;
			buf_str(out, p[1] == ' ' ? "" : ".PP\n");
		} else {
			if (line[0] == ' ' && !verbatim) {
				buf_str(out, ".PP\n.EX\n");
				verbatim = true;
			}
			if (verbatim) {
				roff(out, line);
				buf_char(out, '\n');
			} else {
				prose(out, line);
			}
		}
		p += n + (p[n] == '\n');
	}
	if (verbatim)
		buf_str(out, ".EE\n");
}

static void title(struct buf *out, const char *page, const char *what)
{
	char upper[64];
	size_t n = 0;

	for (; page[n] && n + 1 < sizeof(upper); n++)
		upper[n] = page[n] >= 'a' && page[n] <= 'z' ? (char)(page[n] - 'a' + 'A') : page[n];
	upper[n] = 0;
	buf_str(out, ".\\\" Written by `shrike help --man`: do not edit.\n.TH ");
	roff(out, upper);
	buf_printf(out, " 1 %s \"Shrike %s\" \"User commands\"\n.SH NAME\n", MAN_DATE, SHRIKE_VERSION);
	roff(out, page);
	buf_str(out, " \\- ");
	roff(out, what);
	buf_char(out, '\n');
}

static void option_sentence(const struct verb_option *row, struct buf *out)
{
	auto_buf struct buf text = { 0 };

	buf_init(&text, HELP_MAX);
	buf_str(&text, row->value.doc);
	for (size_t w = 0; row->value.type == OPT_ENUM && row->value.names[w]; w++)
		buf_printf(&text, "%s%s", w ? ", " : ": ", row->value.names[w]);
	buf_char(&text, '.');
	prose(out, buf_text(&text));
}

static void option_rows(const struct verb *verb, struct buf *out)
{
	for (size_t i = 0; i < verb->n_options; i++) {
		const struct verb_option *row = &verb->options[i];
		bool list = row->value.type == OPT_STRS || row->value.type == OPT_PATHS;

		if (row->hidden)
			continue;
		buf_str(out, ".TP\n.B ");
		if (row->letter)
			buf_printf(out, "\\-%c\\fR,\\fB ", row->letter);
		buf_str(out, "\\-\\-");
		roff(out, row->value.name);
		if (row->arg)
			buf_printf(out, row->implied ? "\\fR[=\\fI%s\\fR]" : "\\fR \\fI%s", row->arg);
		buf_str(out, "\\fR\n");
		option_sentence(row, out);
		if (list)
			buf_str(out, "May be given more than once.\n");
		else if (row->arg && row->value.def[0] && strcmp(row->value.def, "0") != 0) {
			buf_str(out, "Default: ");
			roff(out, row->value.def);
			buf_str(out, ".\n");
		}
	}
	buf_str(out, ".TP\n.B \\-h\\fR,\\fB \\-\\-help\\fR\nTells how the verb is called.\n");
}

static void exit_rows(const struct exit_row *rows, size_t n, struct buf *out)
{
	buf_str(out, ".SH \"EXIT STATUS\"\n");
	for (size_t i = 0; i < n; i++) {
		buf_printf(out, ".TP\n.B %d\n", rows[i].code);
		prose(out, rows[i].doc);
	}
}

static void overview(struct buf *out)
{
	title(out, "shrike", "watches a Linux host with eBPF");
	buf_str(out, ".SH SYNOPSIS\n.B shrike\n.I VERB\n[\\fIOPTION\\fR]...\n.SH DESCRIPTION\n"
		     "Shrike watches what runs on a host, what it opens and whom it talks to.\n"
		     "One program is the agent that watches and the command line that asks it.\n"
		     "The verbs, each with a page of its own:\n");
	for (const struct verb *const *v = verb_table; *v; v++) {
		buf_printf(out, ".TP\n.B %s\n", (*v)->name);
		prose(out, (*v)->summary);
	}
	exit_rows(exit_codes, exit_codes_n, out);
	buf_str(out, ".SH ENVIRONMENT\n.TP\n.B NO_COLOR\nWhen set and not empty, nothing is coloured.\n"
		     ".TP\n.B SHRIKE_TRACE\nWhen set, an error of the agent tells the places in its source, too.\n"
		     ".SH FILES\n.TP\n.I " CLI_SOCKET "\nWhere the agent listens.\n"
		     ".SH \"SEE ALSO\"\n");
	for (const struct verb *const *v = verb_table; *v; v++)
		buf_printf(out, ".BR shrike\\-%s (1)%s\n", (*v)->name, v[1] ? "," : "");
}

void man_page(const struct verb *verb, struct buf *out)
{
	char page[64];

	if (!verb) {
		overview(out);
		return;
	}
	(void)snprintf(page, sizeof(page), "shrike-%s", verb->name);
	title(out, page, verb->summary);
	buf_printf(out, ".SH SYNOPSIS\n.B shrike %s\n[\\fIOPTION\\fR]...\n", verb->name);
	if (verb->usage) {
		roff(out, verb->usage);
		buf_char(out, '\n');
	}
	if (verb->about) {
		buf_str(out, ".SH DESCRIPTION\n");
		paragraphs(out, verb->about);
	}
	buf_str(out, ".SH OPTIONS\n");
	option_rows(verb, out);
	exit_rows(verb->n_exits ? verb->exits : exit_codes, verb->n_exits ? verb->n_exits : exit_codes_n, out);
	if (verb->n_examples)
		buf_str(out, ".SH EXAMPLES\n");
	for (size_t i = 0; i < verb->n_examples; i++) {
		buf_str(out, ".TP\n.B ");
		roff(out, verb->examples[i].command);
		buf_char(out, '\n');
		prose(out, verb->examples[i].what);
	}
	buf_str(out, ".SH \"SEE ALSO\"\n.BR shrike (1)\n");
}

static int write_page(const char *folder, const struct verb *verb)
{
	auto_buf struct buf out = { 0 };
	auto_file FILE *f = NULL;
	char path[4096];

	buf_init(&out, HELP_MAX);
	man_page(verb, &out);
	(void)snprintf(path, sizeof(path), "%s/shrike%s%s.1", folder, verb ? "-" : "", verb ? verb->name : "");
	f = fopen(path, "we");
	if (!f)
		return err_sys(errno, "open %s", path);
	if (fwrite(buf_text(&out), 1, out.len, f) != out.len || fflush(f) != 0)
		return err_sys(errno, "write %s", path);
	return 0;
}

int man_write_all(const char *folder)
{
	int r = write_page(folder, NULL);

	for (const struct verb *const *v = verb_table; *v && r == 0; v++)
		r = write_page(folder, *v);
	return r;
}
