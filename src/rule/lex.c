/* SPDX-License-Identifier: Apache-2.0 */
#include "rule/lex.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/utf8.h"

enum { NUMBER_MAX = 64 }; /* letters of a number */

static bool is_digit(int c)
{
	return c >= '0' && c <= '9';
}

static bool is_letter(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_blank(int c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

/* The byte so far ahead, -1 past the end. */
static int peek(const struct lexer *lx, size_t ahead)
{
	return lx->n - lx->at > ahead ? (unsigned char)lx->text[lx->at + ahead] : -1;
}

static bool sees(const struct lexer *lx, const char *what)
{
	size_t n = strlen(what);

	return lx->n - lx->at >= n && !memcmp(lx->text + lx->at, what, n);
}

#define lex_error(lx, at, len, ...) diag_at((lx)->diag, (lx)->text, (lx)->n, (at), (len), __VA_ARGS__)

static int no_memory(struct lexer *lx, size_t at)
{
	return diag_fail(lx->diag, -ENOMEM, lx->text, lx->n, at, 0, "no memory left for the rule");
}

/* Elasticsearch nests comments, the older reference does not. */
static int skip_comment(struct lexer *lx)
{
	bool nests = lx->options->dialect != RULE_ENDGAME;
	size_t begin = lx->at;
	unsigned open = 0;

	do {
		if (lx->at >= lx->n)
			return lex_error(lx, begin, 2, "this comment does not end: \"*/\" is missing");
		if (sees(lx, "/*") && (nests || !open)) {
			open++;
			lx->at += 2;
		} else if (sees(lx, "*/")) {
			open--;
			lx->at += 2;
		} else {
			lx->at++;
		}
	} while (open);
	return 0;
}

static int skip_blanks(struct lexer *lx)
{
	int r;

	for (;;) {
		while (is_blank(peek(lx, 0)))
			lx->at++;
		if (sees(lx, "//")) {
			while (lx->at < lx->n && lx->text[lx->at] != '\n' && lx->text[lx->at] != '\r')
				lx->at++;
		} else if (sees(lx, "/*")) {
			r = skip_comment(lx);
			if (r < 0)
				return r;
		} else {
			return 0;
		}
	}
}

static int hex_digit(int c)
{
	if (is_digit(c))
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* \u{41}, at the backslash. */
static int lex_code_point(struct lexer *lx, char to[UTF8_MAX], size_t *ret_n)
{
	size_t begin = lx->at, digits = 0;
	uint32_t code = 0;

	lx->at += 3;
	for (; hex_digit(peek(lx, 0)) >= 0 && digits <= 8; digits++, lx->at++)
		code = code << 4 | (uint32_t)hex_digit(peek(lx, 0));
	if (digits < 2 || digits > 8 || peek(lx, 0) != '}')
		return lex_error(lx, begin, lx->at - begin,
				 "expected 2 to 8 hexadecimal digits between \"\\u{\" and \"}\"");
	lx->at++;
	if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
		return lex_error(lx, begin, lx->at - begin, "there is no character U+%X", code);
	*ret_n = utf8_put(code, to);
	return 0;
}

/* One escape, at the backslash. */
static int lex_escape(struct lexer *lx, char to[UTF8_MAX], size_t *ret_n)
{
	static const char escapes[] = "btnfr\"'\\", means[] = "\b\t\n\f\r\"'\\";
	int c = peek(lx, 1);
	const char *at;

	if (c == 'u' && peek(lx, 2) == '{')
		return lex_code_point(lx, to, ret_n);
	at = c > 0 ? strchr(escapes, c) : NULL;
	if (!at)
		return lex_error(
			lx, lx->at, 2,
			"unknown escape: a backslash is written \\\\; there are \\b \\t \\n \\f \\r \\\" \\' \\u{...}");
	to[0] = means[at - escapes];
	*ret_n = 1;
	lx->at += 2;
	return 0;
}

/* How many bytes until the quote that ends a string, at most. */
static size_t string_span(const struct lexer *lx, char quote)
{
	const char *p = lx->text + lx->at, *end = memchr(p, '\n', lx->n - lx->at);
	size_t n = end ? (size_t)(end - p) : lx->n - lx->at, i;

	for (i = 0; i < n && p[i] != quote; i++)
		if (p[i] == '\\')
			i++;
	return i < n ? i : n;
}

static int string_done(struct lexer *lx, struct token *t, char *p, size_t n)
{
	if (n > RULE_STRING_MAX)
		return diag_fail(lx->diag, -E2BIG, lx->text, lx->n, t->at, 1, "a string of more than %d bytes",
				 RULE_STRING_MAX);
	t->kind = TOK_STRING;
	t->str = (struct str) { p, n };
	return 0;
}

/* "text" or 'text', at its first letter. No escape makes it longer than it is written. */
static int lex_string(struct lexer *lx, char quote, bool raw, struct token *t)
{
	char *to = arena_alloc(lx->arena, string_span(lx, quote) + 1);
	size_t n = 0, made = 0;
	int c, r;

	if (!to)
		return no_memory(lx, t->at);
	for (;;) {
		c = peek(lx, 0);
		if (c < 0 || c == '\n' || c == '\r')
			return lex_error(lx, t->at, 1, "this string does not end on its line: %c is missing", quote);
		if (c == quote)
			break;
		if (c == '\\' && raw && (peek(lx, 1) == quote || peek(lx, 1) == '\\')) {
			/* In the older reference's raw strings a backslash stays, and what follows it too. */
			to[n++] = (char)c;
			to[n++] = (char)peek(lx, 1);
			lx->at += 2;
		} else if (c == '\\' && !raw) {
			char code[UTF8_MAX];

			r = lex_escape(lx, code, &made);
			if (r < 0)
				return r;
			memcpy(to + n, code, made);
			n += made;
		} else {
			to[n++] = (char)c;
			lx->at++;
		}
	}
	to[n] = 0;
	lx->at++;
	return string_done(lx, t, to, n);
}

/* """text""", at its first letter: nothing is escaped; up to two quotes may stand before the three that end it. */
static int lex_raw(struct lexer *lx, struct token *t)
{
	size_t begin = lx->at;
	char *copy;

	for (;; lx->at++) {
		int c = peek(lx, 0);

		if (c < 0 || c == '\n' || c == '\r')
			return lex_error(lx, t->at, 3, "this string does not end on its line: \"\"\" is missing");
		if (sees(lx, "\"\"\""))
			break;
	}
	for (int i = 0; i < 2 && peek(lx, 3) == '"'; i++)
		lx->at++;
	copy = arena_str(lx->arena, lx->text + begin, lx->at - begin);
	if (!copy)
		return no_memory(lx, t->at);
	t->str.n = lx->at - begin;
	lx->at += 3;
	return string_done(lx, t, copy, t->str.n);
}

/* `name`, behind its first quote; a quote in it is written twice. */
static int lex_quoted(struct lexer *lx, struct token *t)
{
	size_t begin = lx->at, n = 0;
	char *to;

	for (;; lx->at++) {
		int c = peek(lx, 0);

		if (c < 0 || c == '\n' || c == '\r')
			return lex_error(lx, t->at, 1, "this name does not end on its line: ` is missing");
		if (c == '`' && peek(lx, 1) == '`')
			lx->at++;
		else if (c == '`')
			break;
	}
	if (lx->at == begin)
		return lex_error(lx, t->at, 2, "expected a name between the backticks");
	to = arena_alloc(lx->arena, lx->at - begin + 1);
	if (!to)
		return no_memory(lx, t->at);
	for (size_t i = begin; i < lx->at; i++) {
		to[n++] = lx->text[i];
		if (lx->text[i] == '`')
			i++;
	}
	to[n] = 0;
	lx->at++;
	t->kind = TOK_QUOTED;
	t->str = (struct str) { to, n };
	return 0;
}

static int lex_number(struct lexer *lx, struct token *t)
{
	size_t begin = lx->at, n;
	bool is_float = false;
	char copy[NUMBER_MAX + 1];
	char *end;

	while (is_digit(peek(lx, 0)))
		lx->at++;
	if (peek(lx, 0) == '.' && (lx->at > begin || is_digit(peek(lx, 1)))) {
		is_float = true;
		for (lx->at++; is_digit(peek(lx, 0));)
			lx->at++;
	}
	if (peek(lx, 0) == 'e' || peek(lx, 0) == 'E') {
		size_t sign = peek(lx, 1) == '+' || peek(lx, 1) == '-';

		if (is_digit(peek(lx, 1 + sign))) {
			is_float = true;
			for (lx->at += 1 + sign; is_digit(peek(lx, 0));)
				lx->at++;
		}
	}
	n = lx->at - begin;
	if (n > NUMBER_MAX)
		return lex_error(lx, begin, n, "a number of more than %d digits", NUMBER_MAX);
	memcpy(copy, lx->text + begin, n);
	copy[n] = 0;
	if (!is_float) {
		errno = 0;
		t->kind = TOK_INT;
		t->i = strtoll(copy, &end, 10);
		if (!errno)
			return 0;
	}
	t->kind = TOK_FLOAT;
	t->f = strtod(copy, &end);
	if (t->f - t->f != 0)
		return lex_error(lx, begin, n, "this number is too large");
	return 0;
}

static int lex_name(struct lexer *lx, struct token *t)
{
	size_t begin = lx->at;

	for (lx->at++; is_letter(peek(lx, 0)) || is_digit(peek(lx, 0));)
		lx->at++;
	t->kind = TOK_NAME;
	t->str = (struct str) { lx->text + begin, lx->at - begin };
	/* in~ and like~, but not the beginning of something else. */
	if (peek(lx, 0) == '~') {
		t->tilde = true;
		lx->at++;
	}
	return 0;
}

static int lex_sign(struct lexer *lx, struct token *t)
{
	static const struct {
		const char *text;
		enum token_kind kind;
	} signs[] = {
		{ "![", TOK_MISSING }, { "==", TOK_EQ },      { "!=", TOK_NE },    { "<=", TOK_LE },
		{ ">=", TOK_GE },      { "(", TOK_LPAREN },   { ")", TOK_RPAREN }, { "[", TOK_LBRACKET },
		{ "]", TOK_RBRACKET }, { ",", TOK_COMMA },    { ".", TOK_DOT },    { "|", TOK_PIPE },
		{ ":", TOK_COLON },    { "=", TOK_ASSIGN },   { "<", TOK_LT },     { ">", TOK_GT },
		{ "+", TOK_PLUS },     { "-", TOK_MINUS },    { "*", TOK_STAR },   { "/", TOK_SLASH },
		{ "%", TOK_PERCENT },  { "?", TOK_QUESTION }, { "$", TOK_DOLLAR },
	};
	size_t len;

	for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++) {
		if (sees(lx, signs[i].text)) {
			t->kind = signs[i].kind;
			lx->at += strlen(signs[i].text);
			return 0;
		}
	}
	len = utf8_char(lx->text + lx->at, lx->n - lx->at, NULL);
	if (peek(lx, 0) < ' ' || peek(lx, 0) == 0x7f)
		return lex_error(lx, lx->at, 1, "unexpected control character");
	return lex_error(lx, lx->at, len, "unexpected character \"%.*s\"", (int)len, lx->text + lx->at);
}

static int lex_quote(struct lexer *lx, struct token *t)
{
	bool endgame = lx->options->dialect == RULE_ENDGAME;
	bool raw = peek(lx, 0) == '?';
	int quote = peek(lx, raw);

	if (!endgame && raw)
		return lex_error(lx, lx->at, 2,
				 "?%c...%c is of the dialect endgame: write \"\"\"...\"\"\" for a raw string", quote,
				 quote);
	if (!endgame && quote == '\'')
		return lex_error(lx, lx->at, 1, "strings stand in double quotes: \"...\"");
	if (!raw && sees(lx, "\"\"\"") && !lx->options->strict_endgame) {
		lx->at += 3;
		return lex_raw(lx, t);
	}
	lx->at += 1 + raw;
	return lex_string(lx, (char)quote, raw, t);
}

int lex_next(struct lexer *lx, struct token *ret_token)
{
	struct token t = { 0 };
	int r, c;

	r = skip_blanks(lx);
	if (r < 0)
		return r;
	t.at = lx->at;
	c = peek(lx, 0);
	if (c < 0) {
		*ret_token = t;
		return 0;
	}
	if (is_letter(c) || (c == '@' && is_letter(peek(lx, 1))))
		r = lex_name(lx, &t);
	else if (is_digit(c) || (c == '.' && is_digit(peek(lx, 1))))
		r = lex_number(lx, &t);
	else if (c == '"' || c == '\'' || (c == '?' && (peek(lx, 1) == '"' || peek(lx, 1) == '\'')))
		r = lex_quote(lx, &t);
	else if (c == '`')
		lx->at++, r = lex_quoted(lx, &t);
	else
		r = lex_sign(lx, &t);
	if (r < 0)
		return r;
	t.len = lx->at - t.at;
	*ret_token = t;
	return 0;
}

void token_describe(const struct token *t, const char *text, char *to, size_t size)
{
	enum { SHOWN = 40 };
	int len = t->len > SHOWN ? SHOWN : (int)t->len;

	/* Not in the middle of a character. */
	while (len > 0 && (size_t)len < t->len && ((unsigned char)text[t->at + (size_t)len] & 0xc0) == 0x80)
		len--;
	if (t->kind == TOK_END)
		(void)snprintf(to, size, "the end");
	else if (t->kind == TOK_STRING)
		(void)snprintf(to, size, "the string %.*s%s", len, text + t->at, t->len > SHOWN ? "..." : "");
	else
		(void)snprintf(to, size, "\"%.*s%s\"", len, text + t->at, t->len > SHOWN ? "..." : "");
}
