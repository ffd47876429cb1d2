/* SPDX-License-Identifier: Apache-2.0 */
/* diag - one message that says where: line, column, the line itself and a caret. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "base/err.h"
#include "base/utf8.h"
#include "rule/lex.h"

enum { LINE_SHOWN = 100, LINE_BEFORE = 60 }; /* characters of a long line, and of those before the place */

static size_t char_at(const char *p, size_t n)
{
	size_t len = utf8_char(p, n, NULL);

	return len ? len : 1;
}

void diag_place(struct diag *diag, const char *text, size_t n, size_t at)
{
	size_t begin = 0;

	diag->line = 1;
	diag->column = 1;
	for (size_t i = 0; i < at && i < n; i++) {
		if (text[i] == '\n') {
			diag->line++;
			begin = i + 1;
		}
	}
	for (size_t i = begin; i < at && i < n; i += char_at(text + i, n - i))
		diag->column++;
}

int diag_vfail(struct diag *diag, int r, const char *text, size_t n, size_t at, size_t len, const char *fmt, va_list ap)
{
	struct diag scratch;

	if (!diag)
		diag = &scratch;
	memset(diag, 0, sizeof(*diag));
	diag->at = at < n ? at : n;
	diag->len = len < n - diag->at ? len : n - diag->at;
	diag_place(diag, text, n, diag->at);
	(void)vsnprintf(diag->message, sizeof(diag->message), fmt, ap);
	/* What was cut off may have been cut within a character. */
	diag->message[utf8_good(diag->message, strlen(diag->message))] = 0;
	return err_new(r, "line %u, column %u: %s", diag->line, diag->column, diag->message);
}

int diag_at(struct diag *diag, const char *text, size_t n, size_t at, size_t len, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = diag_vfail(diag, -EINVAL, text, n, at, len, fmt, ap);
	va_end(ap);
	return r;
}

int diag_fail(struct diag *diag, int r, const char *text, size_t n, size_t at, size_t len, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	r = diag_vfail(diag, r, text, n, at, len, fmt, ap);
	va_end(ap);
	return r;
}

/* The line around the place, and a line below it that points. */
static void write_line(const struct diag *diag, const char *text, size_t n, struct buf *out)
{
	size_t begin = diag->at, end = diag->at, from, column = 0, width = 0, i, len;

	while (begin && text[begin - 1] != '\n')
		begin--;
	while (end < n && text[end] != '\n' && text[end] != '\r')
		end++;
	from = begin;
	for (size_t left = diag->column - 1; left > LINE_BEFORE && from < end; left--)
		from += char_at(text + from, end - from);
	buf_str(out, from > begin ? "  ..." : "  ");
	for (i = from; i < end && width < LINE_SHOWN; i += len, width++) {
		len = char_at(text + i, end - i);
		if (len == 1 && ((unsigned char)text[i] < ' ' || (unsigned char)text[i] >= 0x7f))
			buf_char(out, ' ');
		else
			buf_add(out, text + i, len);
		column += i < diag->at;
	}
	buf_str(out, i < end ? "...\n" : "\n");
	buf_printf(out, "%*s^", (int)(column + (from > begin ? 5 : 2)), "");
	for (i = diag->at; i < end && i < diag->at + diag->len; i += char_at(text + i, end - i))
		if (i > diag->at && column++ < LINE_SHOWN)
			buf_char(out, '~');
	buf_char(out, '\n');
}

void diag_say(const struct diag *diag, struct buf *out)
{
	buf_str(out, diag->message);
	if (diag->hint[0])
		buf_printf(out, "; did you mean \"%s\"?", diag->hint);
	if (diag->within[0])
		buf_printf(out, "; %s", diag->within);
}

void diag_write(const struct diag *diag, const char *name, const char *text, size_t n, struct buf *out)
{
	buf_printf(out, "%s:%u:%u: ", name, diag->line, diag->column);
	diag_say(diag, out);
	buf_char(out, '\n');
	if (text && diag->at <= n)
		write_line(diag, text, n, out);
}
