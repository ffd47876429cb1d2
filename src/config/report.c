/* SPDX-License-Identifier: Apache-2.0 */
#include "config/report.h"
#include <ctype.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/mem.h"

enum { SOURCE_MAX = 160, REPORT_MAX = 1 << 20 };

/* The line of the spot, without its end. */
static char *source_line(const struct config_spot *spot)
{
	const char *p = spot->text, *end = spot->text + spot->len, *stop;

	for (unsigned l = 1; p && l < spot->line; l++) {
		p = memchr(p, '\n', (size_t)(end - p));
		if (p)
			p++;
	}
	if (!p || p >= end)
		return NULL;
	stop = memchr(p, '\n', (size_t)(end - p));
	if (!stop)
		stop = end;
	if (stop > p && stop[-1] == '\r')
		stop--;
	if (stop - p > SOURCE_MAX)
		stop = p + SOURCE_MAX;
	return strndup(p, (size_t)(stop - p));
}

static void problem_clear(struct config_problem *p)
{
	free(p->file);
	free(p->message);
	free(p->source);
	*p = (struct config_problem) { 0 };
}

/* In the order of the lines, where problems of one file follow each other. */
static void insert(struct config_report *report, const struct config_problem *p)
{
	size_t i = report->n++;

	for (; i > 0; i--) {
		const struct config_problem *above = &report->problems[i - 1];

		if (strcmp(above->file, p->file) != 0 || above->line < p->line ||
		    (above->line == p->line && above->column <= p->column))
			break;
		report->problems[i] = *above;
	}
	report->problems[i] = *p;
}

void config_report_add(struct config_report *report, bool warning, const struct config_spot *spot, const char *fmt, ...)
{
	struct config_problem p = { .warning = warning, .line = spot->line, .column = spot->column };
	va_list ap;

	report->n_errors += !warning;
	if (report->n == CONFIG_PROBLEMS_MAX) {
		report->n_left_out++;
		return;
	}
	p.file = strdup(spot->file);
	va_start(ap, fmt);
	if (vasprintf(&p.message, fmt, ap) < 0)
		p.message = NULL;
	va_end(ap);
	if (spot->text && spot->line)
		p.source = source_line(spot);
	/* Without memory for the words, the count still says that something is wrong. */
	if (!p.file || !p.message) {
		problem_clear(&p);
		report->n_left_out++;
		return;
	}
	insert(report, &p);
}

void config_report_clear(struct config_report *report)
{
	for (size_t i = 0; i < report->n; i++)
		problem_clear(&report->problems[i]);
	*report = (struct config_report) { 0 };
}

/* What a terminal could take for a command is shown as "?". */
static void write_source(const struct config_problem *p, struct buf *out)
{
	const char *s = p->source;

	buf_printf(out, "%5u | ", p->line);
	for (; *s; s++)
		buf_char(out, iscntrl((unsigned char)*s) && *s != '\t' ? '?' : *s);
	buf_str(out, "\n      | ");
	s = p->source;
	/* Columns count characters, not bytes; a tab keeps its width. */
	for (unsigned col = 1; col < p->column && *s; col++) {
		buf_char(out, *s == '\t' ? '\t' : ' ');
		for (s++; ((unsigned char)*s & 0xc0) == 0x80; s++)
			;
	}
	buf_str(out, "^\n");
}

void config_report_write(const struct config_report *report, bool source, struct buf *out)
{
	for (size_t i = 0; i < report->n; i++) {
		const struct config_problem *p = &report->problems[i];

		buf_str(out, p->file);
		if (p->line)
			buf_printf(out, ":%u:%u", p->line, p->column);
		buf_printf(out, ": %s%s\n", p->warning ? "warning: " : "", p->message);
		if (source && p->source)
			write_source(p, out);
	}
	if (report->n_left_out)
		buf_printf(out, "and %zu more\n", report->n_left_out);
}

void config_report_print(const struct config_report *report, FILE *out)
{
	auto_buf struct buf text = { .max = REPORT_MAX };

	config_report_write(report, isatty(fileno(out)) == 1, &text);
	(void)fputs(buf_text(&text), out);
}
