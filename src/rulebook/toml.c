/* SPDX-License-Identifier: Apache-2.0 */
#include "rulebook/toml.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/utf8.h"

struct reader {
	const char *p, *end, *line_start;
	unsigned line, depth;
	size_t nodes;
	struct arena *arena;
	struct toml_error *error;
	struct toml_node *root;
	struct buf text; /* of the string that is being read */
	int r;           /* the first failure */
};

/* ---- the tree --------------------------------------------------------------------------------- */

const struct toml_node *toml_child(const struct toml_node *table, const char *key)
{
	if (!table || table->type != TOML_TABLE)
		return NULL;
	for (const struct toml_node *c = table->first; c; c = c->next)
		if (!strcmp(c->key, key))
			return c;
	return NULL;
}

const char *toml_type_name(const struct toml_node *node)
{
	static const char *const names[] = {
		[TOML_TABLE] = "a table",    [TOML_ARRAY] = "a list",   [TOML_STRING] = "a text",
		[TOML_INTEGER] = "a number", [TOML_FLOAT] = "a number", [TOML_BOOLEAN] = "true or false",
		[TOML_DATE] = "a date",
	};

	return names[node->type];
}

/* ---- places and failures ---------------------------------------------------------------------- */

/* In characters. */
static unsigned column_at(const struct reader *t, const char *p)
{
	unsigned column = 1;

	for (const char *c = t->line_start; c < p; c++)
		column += ((unsigned char)*c & 0xc0) != 0x80;
	return column;
}

__attribute__((format(printf, 3, 4))) static bool wrong(struct reader *t, const char *at, const char *fmt, ...)
{
	va_list ap;

	if (t->r < 0)
		return false;
	t->r = -EINVAL;
	t->error->line = t->line;
	t->error->column = column_at(t, at);
	va_start(ap, fmt);
	(void)vsnprintf(t->error->message, sizeof(t->error->message), fmt, ap);
	va_end(ap);
	return false;
}

static bool no_memory(struct reader *t)
{
	if (t->r == 0)
		t->r = -ENOMEM;
	return false;
}

static struct toml_node *node_new(struct reader *t, enum toml_type type, const char *at)
{
	struct toml_node *n;

	if (++t->nodes > TOML_NODES_MAX) {
		(void)wrong(t, at, "more than %d values", TOML_NODES_MAX);
		return NULL;
	}
	n = arena_new(t->arena, struct toml_node);
	if (!n) {
		(void)no_memory(t);
		return NULL;
	}
	n->type = type;
	n->line = t->line;
	n->column = column_at(t, at);
	return n;
}

static void append(struct toml_node *in, struct toml_node *n)
{
	if (in->last)
		in->last->next = n;
	else
		in->first = n;
	in->last = n;
	in->n++;
}

/* ---- characters ------------------------------------------------------------------------------- */

static int peek(const struct reader *t)
{
	return t->p < t->end ? (unsigned char)*t->p : -1;
}

static bool is_at(const struct reader *t, const char *text)
{
	size_t n = strlen(text);

	return (size_t)(t->end - t->p) >= n && !memcmp(t->p, text, n);
}

static void skip_blanks(struct reader *t)
{
	while (t->p < t->end && (*t->p == ' ' || *t->p == '\t'))
		t->p++;
}

/* Past the end of a line; false: we are at none. */
static bool skip_newline(struct reader *t)
{
	if (is_at(t, "\r\n"))
		t->p++;
	else if (peek(t) != '\n')
		return false;
	t->p++;
	t->line++;
	t->line_start = t->p;
	return true;
}

static void skip_comment(struct reader *t)
{
	if (peek(t) == '#')
		while (t->p < t->end && *t->p != '\n' && !is_at(t, "\r\n"))
			t->p++;
}

/* Blanks, comments and empty lines. */
static void skip_lines(struct reader *t)
{
	do {
		skip_blanks(t);
		skip_comment(t);
	} while (skip_newline(t));
}

static bool end_line(struct reader *t)
{
	skip_blanks(t);
	skip_comment(t);
	return t->p == t->end || skip_newline(t) || wrong(t, t->p, "expected the end of the line");
}

/* ---- strings ---------------------------------------------------------------------------------- */

static bool is_hex(int c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool take_code(struct reader *t, unsigned digits)
{
	const char *at = t->p;
	char utf8[UTF8_MAX], hex[9] = "";
	unsigned long code;

	for (unsigned i = 0; i < digits; i++) {
		if (!is_hex(peek(t)))
			return wrong(t, at, "%u hexadecimal digits are to follow", digits);
		hex[i] = *t->p++;
	}
	code = strtoul(hex, NULL, 16);
	if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
		return wrong(t, at, "U+%lX is no character", code);
	buf_add(&t->text, utf8, utf8_put((uint32_t)code, utf8));
	return true;
}

/* Behind a backslash. In texts of many lines one at the end of a line joins it with the next word. */
static bool take_escape(struct reader *t, bool many_lines)
{
	static const char from[] = "btnfr\"\\", to[] = "\b\t\n\f\r\"\\";
	const char *at = t->p - 1, *found;
	int c = peek(t);

	if (c == 'u' || c == 'U') {
		t->p++;
		return take_code(t, c == 'u' ? 4 : 8);
	}
	found = c > 0 ? strchr(from, c) : NULL;
	if (found) {
		buf_char(&t->text, to[found - from]);
		t->p++;
		return true;
	}
	if (many_lines) {
		skip_blanks(t);
		if (skip_newline(t)) {
			do
				skip_blanks(t);
			while (skip_newline(t));
			return true;
		}
	}
	return wrong(t, at, "no such escape");
}

/* The characters up to the quotes that end it. */
static bool take_string(struct reader *t, struct toml_node *n)
{
	const char quote = *t->p, three[] = { quote, quote, quote, 0 };
	const bool many_lines = is_at(t, three);
	const char *at = t->p;

	buf_clear(&t->text);
	t->p += many_lines ? 3 : 1;
	if (many_lines)
		(void)skip_newline(t);
	n->text_line = t->line;
	n->text_column = column_at(t, t->p);
	for (;;) {
		int c = peek(t);

		if (c < 0)
			return wrong(t, at < t->line_start ? t->p : at, "a text without an end");
		if (c == quote && !many_lines) {
			t->p++;
			break;
		}
		if (c == quote && is_at(t, three)) {
			t->p += 3;
			/* Up to two quotes may stand before those that end it. */
			for (unsigned i = 0; i < 2 && peek(t) == quote; i++, t->p++)
				buf_char(&t->text, quote);
			break;
		}
		if (c == '\\' && quote == '"') {
			t->p++;
			if (!take_escape(t, many_lines))
				return false;
		} else if (c == '\n' || is_at(t, "\r\n")) {
			if (!many_lines)
				return wrong(t, at, "a text without an end");
			buf_char(&t->text, '\n');
			(void)skip_newline(t);
		} else {
			buf_char(&t->text, (char)c);
			t->p++;
		}
	}
	n->text = arena_str(t->arena, buf_text(&t->text), t->text.len);
	n->len = t->text.len;
	return (n->text && !t->text.failed) || no_memory(t);
}

/* ---- keys ------------------------------------------------------------------------------------- */

static bool is_bare(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

/* One part of a key. NULL: it is none. */
static const char *take_part(struct reader *t)
{
	const char *at = t->p;
	struct toml_node n = { 0 };
	const char *key;

	if (peek(t) == '"' || peek(t) == '\'') {
		if (is_at(t, "\"\"\"") || is_at(t, "'''")) {
			(void)wrong(t, at, "a key is on one line");
			return NULL;
		}
		if (!take_string(t, &n))
			return NULL;
		if (strlen(n.text) != n.len) {
			(void)wrong(t, at, "a key with a NUL character");
			return NULL;
		}
		key = n.text;
	} else {
		while (is_bare(peek(t)))
			t->p++;
		if (t->p == at) {
			(void)wrong(t, at, "expected a key");
			return NULL;
		}
		n.len = (size_t)(t->p - at);
		key = arena_str(t->arena, at, n.len);
		if (!key)
			(void)no_memory(t);
	}
	if (n.len > TOML_KEY_MAX) {
		(void)wrong(t, at, "a key of more than %d bytes", TOML_KEY_MAX);
		return NULL;
	}
	return key;
}

/* Puts a new value under a key that the table has not yet. */
static bool put(struct reader *t, struct toml_node *table, const char *key, struct toml_node *n, const char *at)
{
	const struct toml_node *twin = toml_child(table, key);

	if (twin)
		return wrong(t, at, "%.64s: a key twice, first on line %u", key, twin->line);
	if (table->n == TOML_KEYS_MAX)
		return wrong(t, at, "a table of more than %d keys", TOML_KEYS_MAX);
	n->key = key;
	append(table, n);
	return true;
}

/*
 * The table under a key, made if there is none. `state`: how it may have come to be, and does now: a table that was
 * opened by its header is not added to by dotted keys, and the other way round.
 */
static struct toml_node *table_under(struct reader *t, struct toml_node *table, const char *key, bool dotted,
				     const char *at)
{
	struct toml_node *n = (struct toml_node *)(uintptr_t)toml_child(table, key);

	if (!n) {
		n = node_new(t, TOML_TABLE, at);
		if (!n || !put(t, table, key, n, at))
			return NULL;
		n->state = dotted ? TOML_DOTTED : TOML_IMPLIED;
		return n;
	}
	/* A header speaks of the last of a list of tables. */
	if (n->type == TOML_ARRAY && n->state == TOML_OPENED && !dotted)
		return n->last;
	if (n->type == TOML_TABLE && (dotted ? n->state == TOML_DOTTED : n->state != TOML_CLOSED))
		return n;
	(void)wrong(t, at, "%.64s: there is %s of this name already, on line %u", key, toml_type_name(n), n->line);
	return NULL;
}

/* Walks all parts of a dotted key but the last. Returns where the last belongs, or NULL. */
static struct toml_node *take_key(struct reader *t, struct toml_node *table, bool dotted, const char **ret_key,
				  const char **ret_at)
{
	for (unsigned depth = 0;; depth++) {
		const char *at = t->p, *key = take_part(t);

		if (!key)
			return NULL;
		skip_blanks(t);
		if (peek(t) != '.') {
			*ret_key = key;
			*ret_at = at;
			return table;
		}
		t->p++;
		skip_blanks(t);
		if (depth == TOML_DEPTH_MAX) {
			(void)wrong(t, at, "nested deeper than %d", TOML_DEPTH_MAX);
			return NULL;
		}
		table = table_under(t, table, key, dotted, at);
		if (!table)
			return NULL;
	}
}

/* ---- numbers and dates ------------------------------------------------------------------------ */

/* Copies digits without their underscores, each of which stands between two digits. 0: it is written wrongly. */
static size_t digits_of(const char *p, size_t n, char *to, size_t size)
{
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		if (p[i] == '_') {
			if (!i || i + 1 == n || !is_hex((unsigned char)p[i - 1]) || !is_hex((unsigned char)p[i + 1]))
				return 0;
			continue;
		}
		if (len + 1 == size)
			return 0;
		to[len++] = p[i];
	}
	to[len] = 0;
	return len;
}

static bool matches(const char *p, const char *form)
{
	for (; *form; form++, p++)
		if (*form == '0' ? *p < '0' || *p > '9' : *form == 'T' ? !strchr("Tt ", *p) || !*p : *p != *form)
			return false;
	return true;
}

/* 1979-05-27T07:32:00.5Z, and its parts. */
static bool is_date(const char *p)
{
	if (matches(p, "0000-00-00")) {
		p += 10;
		if (!*p)
			return true;
		if (!strchr("Tt ", *p))
			return false;
		p++;
		if (!matches(p, "00:00:00"))
			return false;
		p += 8;
		if (*p == '.')
			for (p++; *p >= '0' && *p <= '9'; p++)
				;
		if (*p == 'Z' || *p == 'z')
			return !p[1];
		return !*p || ((*p == '+' || *p == '-') && matches(p + 1, "00:00") && !p[6]);
	}
	if (!matches(p, "00:00:00"))
		return false;
	p += 8;
	if (*p == '.')
		for (p++; *p >= '0' && *p <= '9'; p++)
			;
	return !*p;
}

static bool is_float(const char *p)
{
	const char *start;

	p += *p == '+' || *p == '-';
	if (!strcmp(p, "inf") || !strcmp(p, "nan"))
		return true;
	if (*p == '0' && p[1] >= '0' && p[1] <= '9')
		return false;
	for (start = p; *p >= '0' && *p <= '9'; p++)
		;
	if (p == start)
		return false;
	if (*p == '.') {
		for (start = ++p; *p >= '0' && *p <= '9'; p++)
			;
		if (p == start)
			return false;
	}
	if (*p == 'e' || *p == 'E') {
		p++;
		p += *p == '+' || *p == '-';
		for (start = p; *p >= '0' && *p <= '9'; p++)
			;
		if (p == start)
			return false;
	}
	return !*p;
}

static bool take_integer(const char *p, int64_t *ret_i)
{
	static const struct {
		char prefix[3];
		int base;
		const char *digits;
	} bases[] = { { "0x", 16, "0123456789abcdefABCDEF" }, { "0o", 8, "01234567" }, { "0b", 2, "01" } };
	const char *digits;
	char *end;

	for (size_t i = 0; i < countof(bases); i++)
		if (!strncmp(p, bases[i].prefix, 2)) {
			if (!p[2] || strspn(p + 2, bases[i].digits) != strlen(p + 2))
				return false;
			errno = 0;
			*ret_i = strtoll(p + 2, &end, bases[i].base);
			return !errno;
		}
	digits = p + (*p == '+' || *p == '-');
	if (!*digits || strspn(digits, "0123456789") != strlen(digits) || (*digits == '0' && digits[1]))
		return false;
	errno = 0;
	*ret_i = strtoll(p, &end, 10);
	return !errno;
}

/* What is written without quotes. */
static bool take_word(struct reader *t, struct toml_node *n)
{
	const char *at = t->p;
	char text[128];
	size_t len;

	while (t->p < t->end && (is_bare((unsigned char)*t->p) || strchr("+.:", *t->p)) && *t->p)
		t->p++;
	/* A date and its time of day may have a blank between them. */
	if (t->p - at == 10 && peek(t) == ' ' && t->end - t->p > 3 && t->p[1] >= '0' && t->p[1] <= '9' &&
	    t->p[3] == ':')
		for (t->p++;
		     t->p < t->end && (is_bare((unsigned char)*t->p) || *t->p == '+' || *t->p == '.' || *t->p == ':');)
			t->p++;
	len = (size_t)(t->p - at);
	if (!len)
		return wrong(t, at, "expected a value");
	if (len >= sizeof(text))
		return wrong(t, at, "a text without quotes");
	memcpy(text, at, len);
	text[len] = 0;
	n->text = arena_str(t->arena, at, len);
	n->len = len;
	if (!n->text)
		return no_memory(t);
	if (!strcmp(text, "true") || !strcmp(text, "false")) {
		n->type = TOML_BOOLEAN;
		n->b = *text == 't';
		return true;
	}
	if (is_date(text)) {
		n->type = TOML_DATE;
		return true;
	}
	if (!digits_of(at, len, text, sizeof(text)))
		return wrong(t, at, "an underscore stands between digits");
	if (take_integer(text, &n->i)) {
		n->type = TOML_INTEGER;
		return true;
	}
	if (is_float(text) && strpbrk(text, ".eEn")) {
		n->type = TOML_FLOAT;
		n->f = strtod(text, NULL);
		return true;
	}
	return wrong(t, at, "\"%.40s\" is no value: texts want quotes", n->text);
}

/* ---- values ----------------------------------------------------------------------------------- */

static struct toml_node *take_value(struct reader *t);

static bool take_pair(struct reader *t, struct toml_node *table)
{
	const char *key, *at;
	struct toml_node *in = take_key(t, table, true, &key, &at), *value;

	if (!in)
		return false;
	if (peek(t) != '=')
		return wrong(t, t->p, "expected \"=\" behind the key");
	t->p++;
	skip_blanks(t);
	value = take_value(t);
	return value && put(t, in, key, value, at);
}

static bool take_array(struct reader *t, struct toml_node *array)
{
	t->p++;
	for (;;) {
		struct toml_node *item;

		skip_lines(t);
		if (peek(t) == ']')
			break;
		item = take_value(t);
		if (!item)
			return false;
		append(array, item);
		skip_lines(t);
		if (peek(t) == ',')
			t->p++;
		else if (peek(t) != ']')
			return wrong(t, t->p, "expected \",\" or \"]\"");
	}
	t->p++;
	array->state = TOML_CLOSED;
	return true;
}

static void close_tables(struct toml_node *table)
{
	table->state = TOML_CLOSED;
	for (struct toml_node *c = table->first; c; c = c->next)
		if (c->type == TOML_TABLE && c->state != TOML_CLOSED)
			close_tables(c);
}

static bool take_inline(struct reader *t, struct toml_node *table)
{
	t->p++;
	skip_blanks(t);
	if (peek(t) != '}')
		for (;;) {
			skip_blanks(t);
			if (!take_pair(t, table))
				return false;
			skip_blanks(t);
			if (peek(t) != ',')
				break;
			t->p++;
		}
	if (peek(t) != '}')
		return wrong(t, t->p, "expected \",\" or \"}\"");
	t->p++;
	/* Nothing is added to it later, nor to what dotted keys made in it. */
	close_tables(table);
	return true;
}

/* Calls itself for what is in it: the depth is bounded. */
static struct toml_node *take_value(struct reader *t)
{
	const char *at = t->p;
	struct toml_node *n;
	bool good;

	if (t->depth == TOML_DEPTH_MAX) {
		(void)wrong(t, at, "nested deeper than %d", TOML_DEPTH_MAX);
		return NULL;
	}
	n = node_new(t, TOML_STRING, at);
	if (!n)
		return NULL;
	t->depth++;
	switch (peek(t)) {
	case '"':
	case '\'':
		good = take_string(t, n);
		break;
	case '[':
		n->type = TOML_ARRAY;
		good = take_array(t, n);
		break;
	case '{':
		n->type = TOML_TABLE;
		n->state = TOML_DOTTED;
		good = take_inline(t, n);
		break;
	default:
		good = take_word(t, n);
	}
	t->depth--;
	return good ? n : NULL;
}

/* ---- headers ---------------------------------------------------------------------------------- */

/* [a.b] */
static struct toml_node *open_table(struct reader *t, struct toml_node *in, const char *key, const char *at)
{
	struct toml_node *n = (struct toml_node *)(uintptr_t)toml_child(in, key);

	if (n && (n->type != TOML_TABLE || n->state != TOML_IMPLIED)) {
		(void)wrong(t, at, "%.64s: there is %s of this name already, on line %u", key, toml_type_name(n),
			    n->line);
		return NULL;
	}
	if (!n) {
		n = node_new(t, TOML_TABLE, at);
		if (!n || !put(t, in, key, n, at))
			return NULL;
	}
	n->line = t->line;
	n->state = TOML_OPENED;
	return n;
}

/* [[a.b]] */
static struct toml_node *open_item(struct reader *t, struct toml_node *in, const char *key, const char *at)
{
	struct toml_node *list = (struct toml_node *)(uintptr_t)toml_child(in, key), *n;

	if (list && (list->type != TOML_ARRAY || list->state != TOML_OPENED)) {
		(void)wrong(t, at, "%.64s: there is %s of this name already, on line %u", key, toml_type_name(list),
			    list->line);
		return NULL;
	}
	if (!list) {
		list = node_new(t, TOML_ARRAY, at);
		if (!list || !put(t, in, key, list, at))
			return NULL;
		list->state = TOML_OPENED;
	}
	n = node_new(t, TOML_TABLE, at);
	if (n) {
		n->state = TOML_OPENED;
		append(list, n);
	}
	return n;
}

static struct toml_node *take_header(struct reader *t)
{
	const bool is_item = is_at(t, "[[");
	struct toml_node *in, *n;
	const char *key, *at;

	t->p += is_item ? 2 : 1;
	skip_blanks(t);
	in = take_key(t, t->root, false, &key, &at);
	if (!in)
		return NULL;
	if (!is_at(t, is_item ? "]]" : "]")) {
		(void)wrong(t, t->p, "expected \"%s\"", is_item ? "]]" : "]");
		return NULL;
	}
	t->p += is_item ? 2 : 1;
	n = is_item ? open_item(t, in, key, at) : open_table(t, in, key, at);
	return n && end_line(t) ? n : NULL;
}

/* Is it UTF-8, without control characters but for blanks and ends of lines? */
static bool check_bytes(struct reader *t)
{
	const char *start = t->p;

	while (t->p < t->end) {
		const unsigned char c = (unsigned char)*t->p;
		size_t n = utf8_char(t->p, (size_t)(t->end - t->p), NULL);

		if (!n)
			return wrong(t, t->p, "not UTF-8");
		if (c == 0x7f || (c < 0x20 && c != '\t' && c != '\n' && !is_at(t, "\r\n")))
			return wrong(t, t->p, "a control character");
		if (!skip_newline(t))
			t->p += n;
	}
	t->p = t->line_start = start;
	t->line = 1;
	return true;
}

static void read_all(struct reader *t)
{
	struct toml_node *table = t->root;

	for (skip_lines(t); table && t->p < t->end; skip_lines(t)) {
		if (peek(t) == '[')
			table = take_header(t);
		else if (!take_pair(t, table) || !end_line(t))
			return;
	}
}

int toml_read(const char *text, size_t n, struct arena *arena, struct toml_error *reterr_error,
	      struct toml_node **ret_root)
{
	struct reader t = { .p = text,
			    .end = text + n,
			    .line_start = text,
			    .line = 1,
			    .arena = arena,
			    .error = reterr_error,
			    .text = { .max = TOML_BYTES_MAX + 1 } };

	if (n > TOML_BYTES_MAX) {
		(void)wrong(&t, text, "larger than %d MiB", TOML_BYTES_MAX >> 20);
		return t.r;
	}
	/* A byte order mark says nothing. */
	if (is_at(&t, "\xef\xbb\xbf"))
		t.line_start = t.p += 3;
	t.root = node_new(&t, TOML_TABLE, t.p);
	if (t.root && check_bytes(&t)) {
		t.root->state = TOML_OPENED;
		read_all(&t);
	}
	buf_free(&t.text);
	if (t.r == 0)
		*ret_root = t.root;
	return t.r;
}
