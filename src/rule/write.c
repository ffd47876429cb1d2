/* SPDX-License-Identifier: Apache-2.0 */
/*
 * write - a tree as EQL again, for people who want to see what macros come to.
 *
 * What it writes compiles to what the tree does. Brackets stand where they are needed, or where reading is easier.
 */
#include "rule/expand.h"

enum { LEVEL_OR = 1, LEVEL_AND, LEVEL_NOT, LEVEL_COMPARE, LEVEL_SUM, LEVEL_PRODUCT, LEVEL_VALUE };

static const struct {
	const char *sign;
	int level;
} operators[] = {
	[AST_AND] = { "and", LEVEL_AND },         [AST_OR] = { "or", LEVEL_OR },
	[AST_EQ] = { "==", LEVEL_COMPARE },       [AST_NE] = { "!=", LEVEL_COMPARE },
	[AST_LT] = { "<", LEVEL_COMPARE },        [AST_LE] = { "<=", LEVEL_COMPARE },
	[AST_GT] = { ">", LEVEL_COMPARE },        [AST_GE] = { ">=", LEVEL_COMPARE },
	[AST_ADD] = { "+", LEVEL_SUM },           [AST_SUB] = { "-", LEVEL_SUM },
	[AST_MUL] = { "*", LEVEL_PRODUCT },       [AST_DIV] = { "/", LEVEL_PRODUCT },
	[AST_MOD] = { "%", LEVEL_PRODUCT },       [AST_IN] = { "in", LEVEL_COMPARE },
	[AST_COLON] = { ":", LEVEL_COMPARE },     [AST_LIKE] = { "like", LEVEL_COMPARE },
	[AST_REGEX] = { "regex", LEVEL_COMPARE },
};

static int level_of(const struct ast *a)
{
	if (a->op == AST_NOT)
		return LEVEL_NOT;
	if (a->op < countof(operators) && operators[a->op].level)
		return operators[a->op].level;
	return LEVEL_VALUE;
}

/* ---- words ------------------------------------------------------------------------------- */

/* Regular expressions are full of backslashes: is it better read as it is, between three quotes? */
static bool is_raw(struct str s)
{
	bool any = false;

	for (size_t i = 0; i < s.n; i++) {
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f || (i + 3 <= s.n && !memcmp(s.p + i, "\"\"\"", 3)))
			return false;
		any |= s.p[i] == '\\';
	}
	return any && s.p[s.n - 1] != '"';
}

static void write_string(struct str s, struct buf *out)
{
	static const char plain[] = "\b\t\n\f\r\"\\", letters[] = "btnfr\"\\";

	if (is_raw(s)) {
		buf_printf(out, "\"\"\"%.*s\"\"\"", (int)s.n, s.p);
		return;
	}
	buf_char(out, '"');
	for (size_t i = 0; i < s.n; i++) {
		const char *at = s.p[i] ? strchr(plain, s.p[i]) : NULL;

		if (at)
			buf_printf(out, "\\%c", letters[at - plain]);
		else if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
			buf_printf(out, "\\u{%02x}", (unsigned char)s.p[i]);
		else
			buf_char(out, s.p[i]);
	}
	buf_char(out, '"');
}

static bool is_word(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		const char c = s.p[i];
		const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';

		if (!letter && (i == 0 ? c != '@' || s.n == 1 : c < '0' || c > '9'))
			return false;
		if (i == 1 && s.p[0] == '@' && c >= '0' && c <= '9')
			return false;
	}
	return s.n && !rule_is_reserved(s);
}

static bool is_dotted(struct str s)
{
	for (size_t i = 0, next; i <= s.n; i = next + 1) {
		const char *dot = memchr(s.p + i, '.', s.n - i);

		next = dot ? (size_t)(dot - s.p) : s.n;
		if (!is_word((struct str) { s.p + i, next - i }))
			return false;
	}
	return true;
}

static void write_name(struct str s, struct buf *out)
{
	if (s.n > 2 && !memcmp(s.p, "$.", 2)) {
		buf_char(out, '$');
		s = (struct str) { s.p + 2, s.n - 2 };
	}
	if (is_dotted(s)) {
		buf_add(out, s.p, s.n);
		return;
	}
	buf_char(out, '`');
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '`')
			buf_char(out, '`');
		buf_char(out, s.p[i]);
	}
	buf_char(out, '`');
}

static void write_float(double f, struct buf *out)
{
	char text[40];

	(void)snprintf(text, sizeof(text), "%.17g", f);
	buf_str(out, text);
	if (!strpbrk(text, ".e"))
		buf_str(out, ".0");
}

/* ---- expressions --------------------------------------------------------------------------- */

static void put(const struct ast *a, int least, struct buf *out);

static void write_list(const struct ast *first, struct buf *out)
{
	buf_char(out, '(');
	for (const struct ast *k = first; k; k = k->next) {
		buf_str(out, k == first ? "" : ", ");
		put(k, LEVEL_OR, out);
	}
	buf_char(out, ')');
}

static void write_event(const struct ast_term *t, const char *before_and, struct buf *out);

static void write_lineage(const struct ast *a, struct buf *out)
{
	static const char *const words[] = {
		[IR_CHILD] = "child", [IR_DESCENDANT] = "descendant", [IR_EVENT] = "event"
	};

	buf_printf(out, "%s of [", words[a->lineage]);
	write_event(a->sub->first, " ", out);
	buf_char(out, ']');
}

/* a in (...), a : "x". */
static void write_set(const struct ast *a, struct buf *out)
{
	put(a->kid, LEVEL_VALUE, out);
	buf_printf(out, " %s%s%s ", a->negated ? "not " : "", operators[a->op].sign, a->tilde ? "~" : "");
	if (a->op != AST_IN && a->n == 2)
		put(a->kid->next, LEVEL_VALUE, out);
	else
		write_list(a->kid->next, out);
}

static void write_operator(const struct ast *a, struct buf *out)
{
	const int level = operators[a->op].level;

	for (const struct ast *k = a->kid; k; k = k->next) {
		if (k != a->kid)
			buf_printf(out, " %s ", operators[a->op].sign);
		put(k, level >= LEVEL_COMPARE ? LEVEL_VALUE : level + 1, out);
	}
}

static void write_bare(const struct ast *a, struct buf *out)
{
	switch (a->op) {
	case AST_NULL:
		buf_str(out, "null");
		break;
	case AST_BOOL:
		buf_str(out, a->b ? "true" : "false");
		break;
	case AST_INT:
		buf_printf(out, "%lld", (long long)a->i);
		break;
	case AST_FLOAT:
		write_float(a->f, out);
		break;
	case AST_STR:
		write_string(a->str, out);
		break;
	case AST_FIELD:
		buf_str(out, a->optional ? "?" : "");
		write_name(a->str, out);
		break;
	case AST_ITEM:
		put(a->kid, LEVEL_VALUE, out);
		buf_printf(out, "[%lld]", (long long)a->i);
		break;
	case AST_MEMBER:
		put(a->kid, LEVEL_VALUE, out);
		buf_char(out, '.');
		write_name(a->str, out);
		break;
	case AST_NOT:
		buf_str(out, "not ");
		put(a->kid, LEVEL_NOT, out);
		break;
	case AST_NEG:
		buf_char(out, '-');
		/* -(5) is no constant, and -5 is one. */
		put(a->kid, LEVEL_VALUE + (a->kid->op == AST_INT || a->kid->op == AST_FLOAT), out);
		break;
	case AST_IN:
	case AST_COLON:
	case AST_LIKE:
	case AST_REGEX:
		write_set(a, out);
		break;
	case AST_CALL:
		buf_add(out, a->str.p, a->str.n);
		buf_str(out, a->tilde ? "~" : "");
		write_list(a->kid, out);
		break;
	case AST_LINEAGE:
		write_lineage(a, out);
		break;
	default:
		write_operator(a, out);
		break;
	}
}

/* In brackets where what stands around it binds more. */
static void put(const struct ast *a, int least, struct buf *out)
{
	const bool brackets = level_of(a) < least;

	buf_str(out, brackets ? "(" : "");
	write_bare(a, out);
	buf_str(out, brackets ? ")" : "");
}

void ast_write(const struct ast *a, struct buf *out)
{
	put(a, LEVEL_OR, out);
}

/* ---- queries -------------------------------------------------------------------------------- */

static void write_event(const struct ast_term *t, const char *before_and, struct buf *out)
{
	const struct ast *a = t->condition;

	if (!t->category.p)
		buf_str(out, "any");
	else if (is_word(t->category) && !str_is(t->category, "any"))
		buf_add(out, t->category.p, t->category.n);
	else
		write_string(t->category, out);
	buf_str(out, " where ");
	if (a->op != AST_AND) {
		ast_write(a, out);
		return;
	}
	for (const struct ast *k = a->kid; k; k = k->next) {
		if (k != a->kid)
			buf_printf(out, "%sand ", before_and);
		put(k, LEVEL_AND + 1, out);
	}
}

static void write_keys(const struct ast_keys *keys, struct buf *out)
{
	for (const struct ast *k = keys->first; k; k = k->next) {
		buf_str(out, k == keys->first ? " by " : ", ");
		ast_write(k, out);
	}
}

static void write_term(const struct ast_term *t, struct buf *out)
{
	buf_str(out, t->missing ? "![" : "[");
	write_event(t, "\n    ", out);
	buf_char(out, ']');
	write_keys(&t->keys, out);
	if (t->runs > 1)
		buf_printf(out, " with runs=%u", t->runs);
	if (t->fork)
		buf_str(out, " fork=true");
	if (t->alias.p)
		buf_printf(out, " as %.*s", (int)t->alias.n, t->alias.p);
}

/* In the largest unit that it is a whole number of. */
static void write_span(uint64_t ns, struct buf *out)
{
	static const struct {
		const char *unit;
		uint64_t ns;
	} units[] = {
		{ "h", 3600000000000ULL }, { "m", 60000000000ULL }, { "s", 1000000000ULL }, { "ms", 1000000ULL }
	};
	size_t i = 0;

	while (i + 1 < countof(units) && ns % units[i].ns)
		i++;
	buf_printf(out, " with maxspan=%llu%s", (unsigned long long)(ns / units[i].ns), units[i].unit);
}

static void write_pipes(const struct ast_query *q, struct buf *out)
{
	static const char *const names[] = {
		[PIPE_HEAD] = "head",   [PIPE_TAIL] = "tail",     [PIPE_FILTER] = "filter",
		[PIPE_COUNT] = "count", [PIPE_UNIQUE] = "unique", [PIPE_UNIQUE_COUNT] = "unique_count",
		[PIPE_SORT] = "sort",
	};

	for (const struct ast_pipe *p = q->pipes; p; p = p->next) {
		buf_printf(out, "\n| %s", names[p->kind]);
		for (const struct ast *a = p->first; a; a = a->next) {
			buf_str(out, a == p->first ? " " : ", ");
			ast_write(a, out);
		}
	}
}

void ast_write_query(const struct ast_query *q, struct buf *out)
{
	static const char *const words[] = {
		[QUERY_SEQUENCE] = "sequence", [QUERY_SAMPLE] = "sample", [QUERY_JOIN] = "join"
	};

	if (q->kind == QUERY_CONDITION) {
		ast_write(q->first->condition, out);
	} else if (q->kind == QUERY_EVENT) {
		write_event(q->first, "\n  ", out);
	} else {
		buf_str(out, words[q->kind]);
		write_keys(&q->keys, out);
		if (q->maxspan_ns)
			write_span(q->maxspan_ns, out);
		for (const struct ast_term *t = q->first; t; t = t->next) {
			buf_str(out, "\n  ");
			write_term(t, out);
		}
		if (q->until) {
			buf_str(out, "\nuntil ");
			write_term(q->until, out);
		}
	}
	write_pipes(q, out);
}
