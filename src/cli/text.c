/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/text.h"
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <wchar.h>

/* The code point at p and its length, or 0 for bytes that are no UTF-8. */
static size_t decode(const char *p, size_t n, uint32_t *ret_cp)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const unsigned char *b = (const unsigned char *)p;
	size_t len = b[0] < 0x80 ? 1 : b[0] < 0xc2 ? 0 : b[0] < 0xe0 ? 2 : b[0] < 0xf0 ? 3 : b[0] < 0xf5 ? 4 : 0;
	uint32_t cp;

	if (!len || len > n)
		return 0;
	cp = len == 1 ? b[0] : b[0] & (0x7fU >> len);
	for (size_t i = 1; i < len; i++) {
		if ((b[i] & 0xc0) != 0x80)
			return 0;
		cp = cp << 6 | (b[i] & 0x3f);
	}
	if (cp < least[len] || cp > 0x10ffff || (cp >= 0xd800 && cp < 0xe000))
		return 0;
	*ret_cp = cp;
	return len;
}

/* What a terminal acts on, what cannot be seen, and what changes the order of what is seen. */
static bool is_unsafe(uint32_t cp)
{
	static const struct {
		uint32_t first, last;
	} ranges[] = {
		{ 0, 0x1f },          { 0x7f, 0x9f },       { 0xad, 0xad },        { 0x061c, 0x061c },
		{ 0x115f, 0x1160 },   { 0x17b4, 0x17b5 },   { 0x180b, 0x180f },    { 0x200b, 0x200f },
		{ 0x2028, 0x202e },   { 0x2060, 0x206f },   { 0x3164, 0x3164 },    { 0xe000, 0xf8ff },
		{ 0xfe00, 0xfe0f },   { 0xfeff, 0xfeff },   { 0xffa0, 0xffa0 },    { 0xfff0, 0xfffb },
		{ 0x1d173, 0x1d17a }, { 0xe0000, 0xe0fff }, { 0xf0000, 0x10ffff },
	};

	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
		if (cp >= ranges[i].first && cp <= ranges[i].last)
			return true;
	return (cp & 0xfffe) == 0xfffe;
}

static void escape(struct buf *out, uint32_t cp)
{
	if (cp == '\n')
		buf_str(out, "\\n");
	else if (cp == '\t')
		buf_str(out, "\\t");
	else if (cp == '\r')
		buf_str(out, "\\r");
	else if (cp < 0x100)
		buf_printf(out, "\\x%02x", cp);
	else
		buf_printf(out, "\\u%04x", cp);
}

void text_safe(struct buf *out, const char *p, size_t n)
{
	size_t plain = 0, at = 0;

	while (at < n) {
		uint32_t cp = 0;
		size_t len = decode(p + at, n - at, &cp);

		if (len && !is_unsafe(cp)) {
			at += len;
			continue;
		}
		buf_add(out, p + plain, at - plain);
		if (len)
			escape(out, cp);
		else
			buf_printf(out, "\\x%02x", (unsigned char)p[at]);
		at += len ? len : 1;
		plain = at;
	}
	buf_add(out, p + plain, at - plain);
}

void text_word(struct buf *out, const char *p, size_t n)
{
	bool plain = n > 0;

	for (size_t i = 0; i < n && plain; i++)
		plain = !strchr(" \t\n\r'\"\\$`;&|<>()*?#", p[i]) || !p[i];
	if (plain) {
		text_safe(out, p, n);
		return;
	}
	buf_char(out, '\'');
	for (size_t from = 0, i = 0; i <= n; i++) {
		if (i < n && p[i] != '\'')
			continue;
		text_safe(out, p + from, i - from);
		if (i < n)
			buf_str(out, "'\\''");
		from = i + 1;
	}
	buf_char(out, '\'');
}

void text_safe_json(struct buf *out, const char *p, size_t n)
{
	size_t plain = 0, at = 0;

	while (at < n) {
		uint32_t cp = 0;
		size_t len = decode(p + at, n - at, &cp);

		if (len && (!is_unsafe(cp) || cp >= 0xe000)) {
			at += len;
			continue;
		}
		buf_add(out, p + plain, at - plain);
		buf_printf(out, "\\u%04x", len ? cp : 0xfffd);
		at += len ? len : 1;
		plain = at;
	}
	buf_add(out, p + plain, at - plain);
}

size_t text_width(const char *p, size_t n)
{
	size_t width = 0;

	for (size_t at = 0; at < n;) {
		uint32_t cp = 0;
		size_t len = decode(p + at, n - at, &cp);
		int w = len > 1 ? wcwidth((wchar_t)cp) : 1;

		width += w < 0 ? 1 : (size_t)w;
		at += len ? len : 1;
	}
	return width;
}

static void indent_by(struct buf *out, size_t n)
{
	for (; n; n--)
		buf_char(out, ' ');
}

/* One paragraph; returns what follows it. */
static const char *wrap_paragraph(struct buf *out, const char *p, size_t at, size_t indent, size_t width)
{
	bool first = true;

	while (*p && *p != '\n') {
		size_t word = strcspn(p, " \n");

		if (!first && at + 1 + text_width(p, word) > width) {
			buf_char(out, '\n');
			indent_by(out, indent);
			at = indent;
			first = true;
		}
		if (!first) {
			buf_char(out, ' ');
			at++;
		}
		buf_add(out, p, word);
		at += text_width(p, word);
		p += word;
		first = false;
		if (*p == '\n' && p[1] && p[1] != '\n' && p[1] != ' ')
			p++;
		p += strspn(p, " ");
	}
	return p;
}

void text_wrap_at(struct buf *out, const char *text, size_t at, size_t indent, size_t width)
{
	const char *p = text;

	while (*p) {
		if (*p == ' ') {
			size_t n = strcspn(p, "\n");

			indent_by(out, indent);
			buf_add(out, p, n);
			p += n;
		} else {
			if (at < indent) {
				indent_by(out, indent - at);
				at = indent;
			}
			p = wrap_paragraph(out, p, at, indent, width);
		}
		while (*p == '\n') {
			buf_char(out, '\n');
			p++;
			at = 0;
		}
	}
	buf_char(out, '\n');
}

void text_wrap(struct buf *out, const char *text, size_t at, size_t indent)
{
	text_wrap_at(out, text, at, indent, TEXT_WIDTH);
}

void text_duration(struct buf *out, uint64_t ns)
{
	uint64_t s = ns / 1000000000;

	if (ns < 1000)
		buf_printf(out, "%" PRIu64 "ns", ns);
	else if (ns < 1000000)
		buf_printf(out, "%" PRIu64 "us", ns / 1000);
	else if (ns < 1000000000)
		buf_printf(out, "%" PRIu64 "ms", ns / 1000000);
	else if (s < 60)
		buf_printf(out, "%" PRIu64 ".%" PRIu64 "s", s, ns / 100000000 % 10);
	else if (s < 3600)
		buf_printf(out, "%" PRIu64 "m %" PRIu64 "s", s / 60, s % 60);
	else if (s < 86400)
		buf_printf(out, "%" PRIu64 "h %" PRIu64 "m", s / 3600, s / 60 % 60);
	else
		buf_printf(out, "%" PRIu64 "d %" PRIu64 "h", s / 86400, s / 3600 % 24);
}

void text_bytes(struct buf *out, uint64_t bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	double v = (double)bytes;
	size_t u = 0;

	while (v >= 1024 && u + 1 < sizeof(units) / sizeof(units[0])) {
		v /= 1024;
		u++;
	}
	buf_printf(out, u && v < 10 ? "%.1f %s" : "%.0f %s", v, units[u]);
}

void text_short(struct buf *out, double v)
{
	static const char units[] = " kMGT";
	size_t u = 0;

	while (v >= 1000 && u + 2 < sizeof(units)) {
		v /= 1000;
		u++;
	}
	if (!u)
		buf_printf(out, v < 10 && v > (double)(uint64_t)v ? "%.1f" : "%.0f", v);
	else
		buf_printf(out, v < 100 ? "%.1f%c" : "%.0f%c", v, units[u]);
}

/* ---- columns ------------------------------------------------------------------------- */

static const char *title_text(const char *title)
{
	return title[0] == '>' ? title + 1 : title;
}

void table_init(struct table *t, const char *const *titles)
{
	*t = (struct table) { .titles = titles };
	buf_init(&t->text, TABLE_BYTES_MAX);
	for (; titles[t->columns] && t->columns < TABLE_COLUMNS_MAX; t->columns++)
		t->width[t->columns] = strlen(title_text(titles[t->columns]));
}

void table_free(struct table *t)
{
	buf_free(&t->text);
}

void table_cell(struct table *t, const char *fmt, ...)
{
	size_t begin = t->text.len, column = t->cells % t->columns, width;
	char raw[1024];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(raw, sizeof(raw), fmt, ap);
	va_end(ap);
	text_safe(&t->text, raw[0] ? raw : "-", raw[0] ? strlen(raw) : 1);
	width = text_width(buf_text(&t->text) + begin, t->text.len - begin);
	if (width > t->width[column])
		t->width[column] = width;
	buf_char(&t->text, 0);
	t->cells++;
}

static void print_cell(const struct table *t, size_t column, const char *text, struct buf *out)
{
	size_t width = text_width(text, strlen(text)), pad = t->width[column] > width ? t->width[column] - width : 0;
	bool right = t->titles[column][0] == '>', last = column + 1 == t->columns;

	if (right)
		indent_by(out, pad);
	buf_str(out, text);
	if (!right && !last)
		indent_by(out, pad);
	buf_str(out, last ? "\n" : "  ");
}

void table_print(const struct table *t, size_t indent, struct buf *out)
{
	const char *cell = buf_text(&t->text);

	indent_by(out, indent);
	for (size_t c = 0; c < t->columns; c++)
		print_cell(t, c, title_text(t->titles[c]), out);
	if (t->text.failed)
		return;
	for (size_t i = 0; i < t->cells; i++) {
		if (i % t->columns == 0)
			indent_by(out, indent);
		print_cell(t, i % t->columns, cell, out);
		cell += strlen(cell) + 1;
	}
}
