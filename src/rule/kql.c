/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kql - from the text of a query to the tree that EQL's parser makes, too.
 *
 * A literal is what stands between two signs or words of the language, blanks within it included. Whether it is a
 * field or a value is known by what follows. Brackets are counted against RULE_DEPTH_MAX; chains of and, or and not
 * are loops.
 */
#include "rule/kql.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/utf8.h"
#include "rule/kql_words.h"
#include "rule/parse.h"

enum kind { END, LITERAL, AND, OR, NOT, OPEN, CLOSE, BEGIN, STOP, COLON, ORDER };

static const char signs[] = "():<>\"{}";        /* end an unquoted literal */
static const char escapable[] = "\\():<>\"*{}"; /* are themselves behind a backslash */

struct kql {
	struct parser p; /* p.t: where the word at hand stands */
	enum kind kind;
	enum ast_op order; /* of ORDER */
	struct kql_literal literal;
};

/* A field that is asked about. */
struct subject {
	struct str name; /* n 0: any value of the event */
	size_t at, len;
	enum rule_type type;
	bool is_text;  /* its words are searched */
	bool caseless; /* letters' case does not count */
};

/* It may be right, but `name`, a word of docs/rules.md, is not there. */
#define missing_at(k, name, where_at, where_len, ...)                                                                  \
	(fail_at(&(k)->p, where_at, where_len, __VA_ARGS__), (k)->p.lx.diag->feature = (name), -EINVAL)

/* ---- words ------------------------------------------------------------------------------------ */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_sign(char c)
{
	return c && strchr(signs, c);
}

static const struct {
	const char *word;
	size_t n;
	enum kind kind;
} keywords[] = { { "and", 3, AND }, { "or", 2, OR }, { "not", 3, NOT } };

/* A word of the language, in any case, that ends where it does; LITERAL: none. */
static enum kind keyword_at(const struct kql *k, size_t at, size_t *ret_n)
{
	const struct lexer *lx = &k->p.lx;

	for (size_t i = 0; i < countof(keywords); i++) {
		size_t end = at + keywords[i].n;

		if (end > lx->n || strncasecmp(lx->text + at, keywords[i].word, keywords[i].n) != 0)
			continue;
		if (end < lx->n && !is_blank(lx->text[end]) && lx->text[end] != '(' && lx->text[end] != ')' &&
		    lx->text[end] != '}')
			continue;
		*ret_n = keywords[i].n;
		return keywords[i].kind;
	}
	return LITERAL;
}

/* Where an unquoted literal ends that begins at `at`; *ret_last is where its last word does begin. */
static size_t unquoted_end(const struct kql *k, size_t at, size_t *ret_last)
{
	const struct lexer *lx = &k->p.lx;
	bool begins = true;
	size_t end = at, n;

	for (; at < lx->n && !is_sign(lx->text[at]); at++) {
		if (is_blank(lx->text[at])) {
			begins = true;
			continue;
		}
		if (begins && keyword_at(k, at, &n) != LITERAL)
			break;
		if (begins)
			*ret_last = at;
		begins = false;
		if (lx->text[at] == '\\' && at + 1 < lx->n)
			at++;
		end = at + 1;
	}
	return end;
}

static bool hex4(const struct lexer *lx, size_t at, uint32_t *ret_code)
{
	uint32_t code = 0;

	if (at + 5 > lx->n || lx->text[at] != 'u')
		return false;
	for (size_t i = at + 1; i < at + 5; i++) {
		char c = lx->text[i];
		int digit = c >= '0' && c <= '9'                 ? c - '0'
			    : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
								 : -1;

		if (digit < 0)
			return false;
		code = code << 4 | (uint32_t)digit;
	}
	*ret_code = code;
	return true;
}

/* \uXXXX at `at`, behind its backslash; two of them for one that UTF-16 has in two halves. 0: it is no character. */
static size_t unicode(const struct lexer *lx, size_t at, char to[UTF8_MAX], size_t *ret_n)
{
	uint32_t code, low;
	size_t n = 5;

	if (!hex4(lx, at, &code))
		return 0;
	if (code >= 0xd800 && code < 0xdc00 && at + 6 < lx->n && lx->text[at + 5] == '\\' && hex4(lx, at + 6, &low) &&
	    low >= 0xdc00 && low < 0xe000) {
		code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
		n = 11;
	}
	if (!code || (code >= 0xd800 && code < 0xe000))
		return 0;
	*ret_n = utf8_put(code, to);
	return n;
}

static void add(struct kql_literal *l, const char *p, size_t n)
{
	char *plain = (char *)(uintptr_t)l->plain.p, *pattern = (char *)(uintptr_t)l->pattern.p;

	for (size_t i = 0; i < n; i++) {
		plain[l->plain.n++] = p[i];
		if (p[i] == '*' || p[i] == '?' || p[i] == '\\')
			pattern[l->pattern.n++] = '\\';
		pattern[l->pattern.n++] = p[i];
	}
}

/* What stands behind the backslash at `at`; *ret_at is what comes after. */
static int escape(struct kql *k, size_t at, size_t end, bool begins, size_t *ret_at)
{
	struct kql_literal *l = &k->literal;
	const struct lexer *lx = &k->p.lx;
	char c = at + 1 < end ? lx->text[at + 1] : 0, utf8[UTF8_MAX];
	size_t n = 0, taken;

	*ret_at = at + 2;
	if (!l->quoted && begins && keyword_at(k, at + 1, &n) != LITERAL) {
		add(l, lx->text + at + 1, n);
		*ret_at = at + 1 + n;
	} else if (c == 't' || c == 'n' || c == 'r') {
		add(l, c == 't' ? "\t" : c == 'n' ? "\n" : "\r", 1);
	} else if (c && (l->quoted ? c == '"' || c == '\\' : strchr(escapable, c) != NULL)) {
		add(l, &c, 1);
	} else if ((taken = unicode(lx, at + 1, utf8, &n))) {
		add(l, utf8, n);
		*ret_at = at + 1 + taken;
	} else if (l->quoted && c != 'u') {
		/* In quotes it is an ordinary character before all others. */
		add(l, "\\", 1);
		*ret_at = at + 1;
	} else if (c == 'u') {
		return fail_at(&k->p, at, 2,
			       "expected four digits and letters of hex behind \"\\u\" that name a character");
	} else {
		return fail_at(
			&k->p, at, 1,
			"a backslash stands before one of \\ ( ) : < > \" * { }, before and, or, not, t, r, n or "
			"uXXXX; itself it is \"\\\\\"");
	}
	return 0;
}

static int decode(struct kql *k, size_t at, size_t end)
{
	struct kql_literal *l = &k->literal;
	const struct lexer *lx = &k->p.lx;
	bool begins = true;
	int r = 0;

	l->plain.p = arena_alloc(k->p.arena, end - at + UTF8_MAX);
	l->pattern.p = arena_alloc(k->p.arena, 2 * (end - at) + 2 * UTF8_MAX);
	if (!l->plain.p || !l->pattern.p)
		return parse_no_memory(&k->p);
	while (r == 0 && at < end) {
		char c = lx->text[at];

		if (c == '\\') {
			r = escape(k, at, end, begins, &at);
		} else if (c == '*' && !l->quoted) {
			l->wild = true;
			((char *)(uintptr_t)l->plain.p)[l->plain.n++] = c;
			((char *)(uintptr_t)l->pattern.p)[l->pattern.n++] = c;
			at++;
		} else {
			add(l, &c, 1);
			at++;
		}
		begins = is_blank(c);
	}
	((char *)(uintptr_t)l->plain.p)[l->plain.n] = 0;
	((char *)(uintptr_t)l->pattern.p)[l->pattern.n] = 0;
	if (r == 0 && l->pattern.n > RULE_STRING_MAX)
		return fail_max(&k->p, k->p.t.at, k->p.t.len, "a text of more than %d bytes", RULE_STRING_MAX);
	return r;
}

static int quoted(struct kql *k)
{
	const struct lexer *lx = &k->p.lx;
	size_t at = k->p.t.at + 1;

	while (at < lx->n && lx->text[at] != '"')
		at += lx->text[at] == '\\' ? 2 : 1;
	if (at >= lx->n)
		return fail_at(&k->p, k->p.t.at, 1, "this quote is not closed");
	k->literal.quoted = true;
	k->p.t.len = at + 1 - k->p.t.at;
	return decode(k, k->p.t.at + 1, at);
}

static int literal(struct kql *k)
{
	struct token *t = &k->p.t;
	size_t end, last = t->at;

	k->kind = LITERAL;
	k->literal = (struct kql_literal) { 0 };
	if (k->p.lx.text[t->at] == '"')
		return quoted(k);
	end = unquoted_end(k, t->at, &last);
	t->len = end - t->at;
	k->literal.last_at = last;
	return decode(k, t->at, end);
}

static int next(struct kql *k)
{
	static const struct {
		char sign;
		enum kind kind;
	} kinds[] = { { '(', OPEN }, { ')', CLOSE }, { '{', BEGIN }, { '}', STOP }, { ':', COLON } };
	struct lexer *lx = &k->p.lx;
	struct token *t = &k->p.t;
	int r = 0;

	k->p.before = *t;
	while (lx->at < lx->n && is_blank(lx->text[lx->at]))
		lx->at++;
	*t = (struct token) { .at = lx->at, .len = 0 };
	k->kind = END;
	if (lx->at == lx->n)
		return 0;
	t->len = 1;
	for (size_t i = 0; i < countof(kinds); i++)
		if (lx->text[lx->at] == kinds[i].sign)
			k->kind = kinds[i].kind;
	if (lx->text[lx->at] == '<' || lx->text[lx->at] == '>') {
		bool equal = lx->at + 1 < lx->n && lx->text[lx->at + 1] == '=', less = lx->text[lx->at] == '<';

		k->kind = ORDER;
		k->order = less ? (equal ? AST_LE : AST_LT) : (equal ? AST_GE : AST_GT);
		t->len += equal;
	} else if (k->kind == END) {
		k->kind = keyword_at(k, lx->at, &t->len);
		if (k->kind == LITERAL)
			r = literal(k);
	}
	lx->at = t->at + t->len;
	return r;
}

/* A colon where there is none: behind what was meant as a field, or within a value. */
static int stray_colon(struct kql *k)
{
	const struct token *before = &k->p.before;
	const size_t last = k->literal.last_at;

	if (before->len && !k->literal.quoted && last > before->at && last < before->at + before->len)
		return fail_at(&k->p, last, before->at + before->len - last,
			       "\"and\" or \"or\" is missing before this");
	return fail_here(&k->p, "a value with \":\" in it stands in quotes, or has a backslash before the sign");
}

static int expected(struct kql *k, const char *what)
{
	const struct token *t = &k->p.t;

	if (k->kind == COLON)
		return stray_colon(k);
	if (k->kind == END)
		return fail_here(&k->p, "expected %s, found the end", what);
	return fail_here(&k->p, "expected %s, found \"%.*s\"", what, (int)(t->len > 40 ? 40 : t->len),
			 k->p.lx.text + t->at);
}

/* ---- the tree --------------------------------------------------------------------------------- */

static int node(struct kql *k, enum ast_op op, size_t at, size_t len, struct ast **ret_node)
{
	const struct token t = { .at = at, .len = len };

	return parse_node(&k->p, op, &t, ret_node);
}

static int text_node(struct kql *k, struct str text, size_t at, size_t len, struct ast **ret_node)
{
	int r = node(k, AST_STR, at, len, ret_node);

	if (r == 0)
		(*ret_node)->str = text;
	return r;
}

static int subject_node(struct kql *k, const struct subject *s, struct ast **ret_node)
{
	int r = node(k, s->name.n ? AST_FIELD : AST_VALUES, s->at, s->len, ret_node);

	if (r == 0)
		(*ret_node)->str = s->name;
	return r;
}

/* An op of the field and one more. */
static int leaf(struct kql *k, enum ast_op op, const struct subject *s, struct ast *value, struct ast **ret_node)
{
	struct ast *field = NULL, *a = NULL;
	int r = subject_node(k, s, &field);

	r = r < 0 ? r : node(k, op, s->at, s->len, &a);
	r = r < 0 ? r : parse_add_kid(&k->p, a, field);
	r = r < 0 ? r : parse_add_kid(&k->p, a, value);
	*ret_node = a;
	return r;
}

/* ---- fields ----------------------------------------------------------------------------------- */

enum rule_type kql_type_of(struct str name)
{
	if (name.n > 3 && (!memcmp(name.p + name.n - 3, ".ip", 3) || !memcmp(name.p + name.n - 3, "_ip", 3)))
		return RULE_IP;
	return RULE_UNKNOWN;
}

static enum rule_type type_of(const struct kql *k, struct str name)
{
	const struct rule_schema *schema = k->p.options->schema;
	const char *timestamp = k->p.options->timestamp_field ?: "@timestamp";
	enum rule_type type = RULE_UNKNOWN;

	if (schema && schema->field)
		(void)schema->field(schema->subject, name.p, name.n, &type);
	if (type == RULE_UNKNOWN)
		type = str_is(name, timestamp) ? RULE_DATE : kql_type_of(name);
	return type;
}

static bool take_end(struct str *name, const char *end)
{
	size_t n = strlen(end);

	if (name->n <= n || memcmp(name->p + name->n - n, end, n) != 0)
		return false;
	name->n -= n;
	return true;
}

/* Where no schema says more, names tell how a text is searched: ECS has one of them, and second names of others. */
static void by_name(struct subject *s)
{
	s->is_text = take_end(&s->name, ".text") || str_is(s->name, "message") || str_is(s->name, "error.message");
	s->caseless = !s->is_text && take_end(&s->name, ".caseless");
}

/* The literal is a field's name: `t` says where it stands. */
static int take_field(struct kql *k, const struct kql_literal *l, const struct token *t, struct subject *s)
{
	*s = (struct subject) { .name = l->plain, .at = t->at, .len = t->len };
	if (!l->plain.n)
		return fail_at(&k->p, t->at, t->len, "expected the name of a field between the quotes");
	if (!l->quoted && l->last_at > t->at)
		return fail_at(&k->p, l->last_at, t->at + t->len - l->last_at,
			       "\"and\" or \"or\" is missing before this (a name with blanks in it stands in quotes)");
	if (l->wild && kql_is_anything(l)) {
		s->name.n = 0;
		return 0;
	}
	if (l->wild)
		return missing_at(
			k, "field_wildcard", t->at, t->len,
			"which fields are meant by \"%.*s\" is not known here: they are to be named, or \"*\" "
			"for all of them",
			(int)(t->len > 64 ? 64 : t->len), k->p.lx.text + t->at);
	s->type = type_of(k, s->name);
	if (s->type == RULE_UNKNOWN)
		by_name(s);
	s->is_text |= s->type == RULE_TEXT;
	return 0;
}

/* ---- values ----------------------------------------------------------------------------------- */

static int exists(struct kql *k, const struct subject *s, struct ast **ret_node)
{
	struct ast *null = NULL;
	int r;

	if (!s->name.n) {
		r = node(k, AST_BOOL, s->at, s->len, ret_node);
		if (r == 0)
			(*ret_node)->b = true;
		return r;
	}
	r = node(k, AST_NULL, k->p.before.at, k->p.before.len, &null);
	return r < 0 ? r : leaf(k, AST_NE, s, null, ret_node);
}

/* A text that says a number becomes one. */
static void number(struct ast *a)
{
	const struct str s = a->str;
	int64_t i;
	char *end;
	double f;

	if (!s.n || s.n > 64 || s.p[strspn(s.p, "0123456789+-.eE")])
		return;
	errno = 0;
	i = strtoll(s.p, &end, 10);
	if (!errno && !*end) {
		a->op = AST_INT;
		a->i = i;
		return;
	}
	f = strtod(s.p, &end);
	if (!*end && isfinite(f)) {
		a->op = AST_FLOAT;
		a->f = f;
	}
}

/* ms since 1970: four digits are a year. */
static bool is_ms(struct str s)
{
	return s.n > 4 && strspn(s.p, "0123456789") == s.n;
}

/* A day is all of it here, and its beginning elsewhere. `t` is where the value stands. */
static int check_date(struct kql *k, const struct subject *s, enum ast_op op, const struct kql_literal *l,
		      const struct token *t)
{
	struct str v = l->plain;
	int64_t ns;

	if (s->type != RULE_DATE && s->type != RULE_UNKNOWN)
		return 0;
	if ((v.n == 3 || (v.n > 3 && strchr("+-/", v.p[3]))) && !memcmp(v.p, "now", 3) &&
	    (s->type == RULE_DATE || op != AST_IN))
		return missing_at(k, "date_math", t->at, t->len, "dates that are counted from now are not known here");
	if (s->type == RULE_DATE && op != AST_GE && op != AST_LT && !is_ms(v) && !clock_parse(v.p, v.n, &ns))
		return fail_at(&k->p, t->at, t->len,
			       "a whole day or hour is meant by this: write both its ends, with >= and <");
	return 0;
}

/* The words of a text: one of them, or in quotes all of them in this order. */
static int words(struct kql *k, const struct subject *s, const struct kql_literal *l, const struct token *t,
		 struct ast **ret_node)
{
	struct str patterns[KQL_WORDS_MAX];
	struct ast *a = NULL, *field = NULL, *value = NULL;
	size_t n;
	int r = kql_words(l, k->p.arena, patterns, &n);

	if (r == -E2BIG)
		return fail_max(&k->p, t->at, t->len, "more than %d words", KQL_WORDS_MAX);
	if (r < 0)
		return parse_no_memory(&k->p);
	/* A text without a word is found nowhere. */
	r = node(k, n ? AST_REGEX : AST_BOOL, s->at, s->len, &a);
	if (r < 0 || !n) {
		*ret_node = a;
		return r;
	}
	a->flags = IR_PERL | IR_SEARCH;
	a->tilde = true;
	r = subject_node(k, s, &field);
	r = r < 0 ? r : parse_add_kid(&k->p, a, field);
	for (size_t i = 0; r == 0 && i < n; i++) {
		r = text_node(k, patterns[i], t->at, t->len, &value);
		r = r < 0 ? r : parse_add_kid(&k->p, a, value);
	}
	*ret_node = a;
	return r;
}

/* The literal that was read before is a value of the field. */
static int value(struct kql *k, const struct subject *s, const struct kql_literal *l, const struct token *t,
		 struct ast **ret_node)
{
	struct ast *v = NULL;
	int r;

	if (kql_is_anything(l))
		return exists(k, s, ret_node);
	if (!l->quoted && str_is(l->plain, "null"))
		return fail_at(&k->p, t->at, t->len,
			       "null is no value: \"not FIELD: *\" finds what has none, and quotes the word");
	if (s->is_text)
		return words(k, s, l, t, ret_node);
	r = l->wild ? 0 : check_date(k, s, AST_IN, l, t);
	r = r < 0 ? r : text_node(k, l->wild ? l->pattern : l->plain, t->at, t->len, &v);
	if (r == 0 && s->type == RULE_DATE && is_ms(l->plain))
		number(v);
	r = r < 0 ? r : leaf(k, l->wild ? AST_LIKE : AST_IN, s, v, ret_node);
	if (r < 0)
		return r;
	/* Without one it is the pattern that EQL has, and is the same condition. */
	(*ret_node)->flags = l->wild && memchr(l->pattern.p, '\\', l->pattern.n) ? IR_ESCAPE : 0;
	(*ret_node)->tilde = s->caseless;
	return 0;
}

static int range(struct kql *k, const struct subject *s, enum ast_op op, struct ast **ret_node)
{
	const struct kql_literal l = k->literal;
	const struct token t = k->p.t;
	struct ast *v = NULL;
	int r;

	if (k->kind != LITERAL)
		return expected(k, "a value");
	if (!s->name.n)
		return missing_at(k, "field_wildcard", s->at, s->len, "values have an order in one field, not in all");
	if (l.wild)
		return fail_here(&k->p, "a value with wildcards has no order");
	r = check_date(k, s, op, &l, &t);
	r = r < 0 ? r : next(k);
	r = r < 0 ? r : text_node(k, l.plain, t.at, t.len, &v);
	if (r < 0)
		return r;
	/* 1.10 is a number only where numbers may be. */
	if (s->type == RULE_UNKNOWN || s->type == RULE_NUMBER || (s->type == RULE_DATE && is_ms(l.plain)))
		number(v);
	return leaf(k, op, s, v, ret_node);
}

/* ---- and, or, not ----------------------------------------------------------------------------- */

static int any(struct kql *k, const struct subject *s, struct ast **ret_node);

/* What is in brackets. */
static int bracketed(struct kql *k, const struct subject *s, struct ast **ret_node)
{
	const struct token begin = k->p.t;
	int r;

	if (++k->p.depth > RULE_DEPTH_MAX)
		return fail_max(&k->p, begin.at, begin.len, "nested deeper than %d", RULE_DEPTH_MAX);
	r = next(k);
	r = r < 0 ? r : any(k, s, ret_node);
	k->p.depth--;
	if (r < 0)
		return r;
	if (k->kind != CLOSE)
		return expected(k, "\"and\", \"or\" or \")\"");
	return next(k);
}

/* What stands behind the colon. */
static int field_value(struct kql *k, const struct subject *s, struct ast **ret_node)
{
	const struct kql_literal l = k->literal;
	const struct token t = k->p.t;
	int r;

	if (k->kind == OPEN)
		return bracketed(k, s, ret_node);
	if (k->kind == BEGIN)
		/* Events have lists of values, and not of objects: which of them belong together is not known. */
		return missing_at(k, "nested", k->p.t.at, k->p.t.len,
				  "which values belong to one object of a list is not known here");
	if (k->kind == NOT)
		return fail_here(&k->p, "expected a value, found \"not\", which stands in brackets here: (not ...)");
	if (k->kind != LITERAL)
		return expected(k, "a value, \"(\" or \"{\"");
	r = next(k);
	return r < 0 ? r : value(k, s, &l, &t, ret_node);
}

/* A literal is at hand: the name of a field, or a value of any. */
static int condition(struct kql *k, struct ast **ret_node)
{
	struct subject s = { .at = k->p.t.at, .len = k->p.t.len };
	const struct kql_literal l = k->literal;
	const struct token t = k->p.t;
	enum ast_op order;
	int r = next(k);

	if (r < 0)
		return r;
	order = k->order;
	if (k->kind != COLON && k->kind != ORDER)
		return value(k, &s, &l, &t, ret_node);
	r = take_field(k, &l, &t, &s);
	if (r < 0)
		return r;
	if (k->kind == COLON) {
		r = next(k);
		return r < 0 ? r : field_value(k, &s, ret_node);
	}
	r = next(k);
	return r < 0 ? r : range(k, &s, order, ret_node);
}

static int primary(struct kql *k, const struct subject *s, struct ast **ret_node)
{
	if (k->kind == OPEN)
		return bracketed(k, s, ret_node);
	if (k->kind != LITERAL)
		return expected(k, s ? "a value" : "a field or a value");
	return s ? field_value(k, s, ret_node) : condition(k, ret_node);
}

static int negated(struct kql *k, const struct subject *s, struct ast **ret_node)
{
	const struct token begin = k->p.t;
	bool is_not = false;
	struct ast *a = NULL;
	int r = 0;

	for (; r == 0 && k->kind == NOT; is_not = !is_not)
		r = next(k);
	r = r < 0 ? r : primary(k, s, ret_node);
	if (r < 0 || !is_not)
		return r;
	/* Not there: one condition, and not the opposite of one that is an opposite itself. */
	if ((*ret_node)->op == AST_NE) {
		(*ret_node)->op = AST_EQ;
		return 0;
	}
	r = node(k, AST_NOT, begin.at, begin.len, &a);
	r = r < 0 ? r : parse_add_kid(&k->p, a, *ret_node);
	*ret_node = a;
	return r;
}

/* Values of one field that are asked for in one way are one list. True: `kid` is part of one of `all` now. */
static int merge(struct kql *k, struct ast *all, struct ast *kid, bool *ret_merged)
{
	struct ast *to = all->kid, *v, *after;
	int r = 0;

	*ret_merged = false;
	if (kid->op != AST_IN && kid->op != AST_LIKE && kid->op != AST_REGEX)
		return 0;
	while (to && to->op != kid->op)
		to = to->next;
	if (!to)
		return 0;
	for (v = kid->kid->next; v && r == 0; v = after) {
		after = v->next;
		v->next = NULL;
		r = parse_add_kid(&k->p, to, v);
	}
	to->flags |= kid->flags;
	*ret_merged = true;
	return r;
}

/* Terms with `word` between them. `s`: values of this field are listed; NULL: conditions are. */
static int chain(struct kql *k, const struct subject *s, enum kind word, struct ast **ret_node)
{
	struct ast *all = NULL, *kid = NULL;
	bool merged, more = true;
	int r = 0;

	while (r == 0 && more) {
		r = word == OR ? chain(k, s, AND, &kid) : negated(k, s, &kid);
		more = r == 0 && k->kind == word;
		if (r == 0 && !all && !more) {
			*ret_node = kid;
			return 0;
		}
		if (r == 0 && !all)
			r = node(k, word == OR ? AST_OR : AST_AND, kid->at, kid->len, &all);
		merged = false;
		if (r == 0 && s && word == OR)
			r = merge(k, all, kid, &merged);
		if (r == 0 && !merged)
			r = parse_add_kid(&k->p, all, kid);
		if (r == 0 && more)
			r = next(k);
	}
	if (r < 0)
		return r;
	*ret_node = all->n == 1 ? all->kid : all;
	return 0;
}

static int any(struct kql *k, const struct subject *s, struct ast **ret_node)
{
	return chain(k, s, OR, ret_node);
}

/* ---- the category ----------------------------------------------------------------------------- */

/* FIELD:VALUE of the field in which an event's category stands; NULL: it is something else. */
static const struct ast *category_of(const struct kql *k, const struct ast *a)
{
	const char *name = k->p.options->category_field ?: "event.category";

	if (a->op != AST_IN || a->n != 2 || a->tilde || a->kid->op != AST_FIELD || !str_is(a->kid->str, name))
		return NULL;
	return a->last->str.n ? a->last : NULL;
}

/* A category that has to be there stands where EQL has it, by which events are told apart before all else. */
static int lift_category(struct kql *k, struct ast_term *term)
{
	struct ast *a = term->condition, *before = NULL, *kid = a->op == AST_AND ? a->kid : a;
	const struct ast *value = NULL;
	int r = 0;

	for (; kid && !(value = category_of(k, kid)); kid = kid->next)
		before = kid;
	if (!value)
		return 0;
	term->category = value->str;
	term->category_at = value->at;
	term->category_len = value->len;
	if (kid == a) {
		r = node(k, AST_BOOL, a->at, a->len, &term->condition);
		if (r == 0)
			term->condition->b = true;
		return r;
	}
	if (before)
		before->next = kid->next;
	else
		a->kid = kid->next;
	a->last = a->last == kid ? before : a->last;
	if (--a->n == 1)
		term->condition = a->kid;
	return 0;
}

/* ---- the whole -------------------------------------------------------------------------------- */

static int whole(struct kql *k, struct ast_term *term)
{
	int r = next(k);

	term->runs = 1;
	term->at = k->p.t.at;
	if (r == 0 && k->kind == END)
		return fail_here(&k->p, "expected a condition, as in FIELD: VALUE; every event is \"*\"");
	r = r < 0 ? r : any(k, NULL, &term->condition);
	if (r < 0)
		return r;
	if (k->kind != END)
		return expected(k, "\"and\", \"or\" or the end");
	term->len = k->p.before.at + k->p.before.len - term->at;
	return 0;
}

int kql_parse(const char *text, size_t n, bool expression, const struct query_options *options, struct arena *arena,
	      struct diag *diag, struct ast_query **ret_query)
{
	struct kql k = { .p = { .lx = { .text = text, .n = n, .options = options, .arena = arena, .diag = diag },
				.options = options,
				.arena = arena } };
	struct ast_query *q = arena_new(arena, struct ast_query);
	struct ast_term *term = arena_new(arena, struct ast_term);
	const char *nul = n <= RULE_TEXT_MAX ? memchr(text, 0, n) : NULL;
	size_t good;
	int r;

	if (n > RULE_TEXT_MAX)
		return fail_max(&k.p, 0, 0, "a rule of more than %d bytes", RULE_TEXT_MAX);
	good = utf8_good(text, n);
	if (good < n)
		return fail_at(&k.p, good, 1, "this is no UTF-8");
	if (nul)
		return fail_at(&k.p, (size_t)(nul - text), 1, "a NUL character");
	if (!q || !term)
		return parse_no_memory(&k.p);
	r = whole(&k, term);
	if (r == 0 && !expression)
		r = lift_category(&k, term);
	if (r < 0)
		return r;
	q->kind = expression ? QUERY_CONDITION : QUERY_EVENT;
	q->at = term->at;
	q->len = term->len;
	q->text = (struct str) { text, n };
	q->first = q->last = term;
	q->n_terms = 1;
	*ret_query = q;
	return 0;
}
