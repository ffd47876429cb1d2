/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parse - from words to a tree.
 *
 * Recursive descent with one word of look-ahead. Operators are read by strength in one loop, so that a bracket
 * costs two frames of the stack; brackets are counted against RULE_DEPTH_MAX, and so is the depth of the tree.
 * Words such as like, any or maxspan are names where no operator can stand.
 */
#include "rule/ast.h"
#include <errno.h>
#include <string.h>
#include "base/err.h"
#include "base/mem.h"
#include "base/utf8.h"

struct parser {
	struct lexer lx;
	struct token t, before; /* the word that is looked at, and the one before it */
	const struct query_options *options;
	struct arena *arena;
	unsigned depth, sub_depth, n_subqueries;
};

#define fail_at(p, where_at, where_len, ...)                                                                           \
	diag_at((p)->lx.diag, (p)->lx.text, (p)->lx.n, (where_at), (where_len), __VA_ARGS__)
#define fail_max(p, where_at, where_len, ...)                                                                          \
	diag_fail((p)->lx.diag, -E2BIG, (p)->lx.text, (p)->lx.n, (where_at), (where_len), __VA_ARGS__)
#define fail_here(p, ...) fail_at(p, (p)->t.at, (p)->t.len, __VA_ARGS__)

static int no_memory(struct parser *p)
{
	return diag_fail(p->lx.diag, p->arena->taken >= RULE_ARENA_MAX / 2 ? -E2BIG : -ENOMEM, p->lx.text, p->lx.n,
			 p->t.at, 0, "no memory left for the rule");
}

static bool is_endgame(const struct parser *p)
{
	return p->options->dialect == RULE_ENDGAME;
}

static bool is_strict(const struct parser *p)
{
	return is_endgame(p) && p->options->strict_endgame;
}

/* ---- words ------------------------------------------------------------------------------ */

static int advance(struct parser *p)
{
	p->before = p->t;
	return lex_next(&p->lx, &p->t);
}

static bool at(const struct parser *p, enum token_kind kind)
{
	return p->t.kind == kind;
}

static bool str_is(struct str s, const char *word)
{
	return s.n == strlen(word) && !memcmp(s.p, word, s.n);
}

static bool at_word(const struct parser *p, const char *word)
{
	return at(p, TOK_NAME) && !p->t.tilde && str_is(p->t.str, word);
}

static int expected(struct parser *p, const char *what)
{
	char found[64];

	token_describe(&p->t, p->lx.text, found, sizeof(found));
	return fail_here(p, "expected %s, found %s", what, found);
}

static int expect(struct parser *p, enum token_kind kind, const char *what)
{
	return at(p, kind) ? advance(p) : expected(p, what);
}

/* Words that are no field's name unless they stand in backticks. */
static bool is_reserved(struct str s)
{
	static const char *const words[] = { "and", "by",     "false",    "in",   "join",  "not",   "null", "of",
					     "or",  "sample", "sequence", "true", "until", "where", "with" };

	for (size_t i = 0; i < countof(words); i++)
		if (str_is(s, words[i]))
			return true;
	return false;
}

static bool at_reserved(const struct parser *p)
{
	return at(p, TOK_NAME) &&
	       (is_reserved(p->t.str) || (is_endgame(p) && (str_is(p->t.str, "const") || str_is(p->t.str, "macro"))));
}

/* ---- the tree --------------------------------------------------------------------------- */

static int node_new(struct parser *p, enum ast_op op, const struct token *t, struct ast **ret_node)
{
	struct ast *a = arena_new(p->arena, struct ast);

	if (!a)
		return no_memory(p);
	a->op = op;
	a->depth = 1;
	a->at = t->at;
	a->len = t->len;
	*ret_node = a;
	return 0;
}

static int add_kid(struct parser *p, struct ast *a, struct ast *kid)
{
	if (a->n >= RULE_LIST_MAX)
		return fail_max(p, kid->at, kid->len, "more than %d in one list", RULE_LIST_MAX);
	if (kid->depth >= RULE_DEPTH_MAX)
		return fail_max(p, kid->at, kid->len, "nested deeper than %d", RULE_DEPTH_MAX);
	if (kid->depth >= a->depth)
		a->depth = kid->depth + 1;
	if (a->last)
		a->last->next = kid;
	else
		a->kid = kid;
	a->last = kid;
	a->n++;
	if (kid->at < a->at) {
		a->len += a->at - kid->at;
		a->at = kid->at;
	}
	if (kid->at + kid->len > a->at + a->len)
		a->len = kid->at + kid->len - a->at;
	return 0;
}

static int enter(struct parser *p)
{
	if (++p->depth > RULE_DEPTH_MAX)
		return fail_max(p, p->t.at, p->t.len, "nested deeper than %d", RULE_DEPTH_MAX);
	return 0;
}

static int parse_expression(struct parser *p, struct ast **ret_node);
static int parse_operand(struct parser *p, struct ast **ret_node);
static int parse_event(struct parser *p, struct ast_term *term);

/* ---- names and fields ------------------------------------------------------------------- */

/* One segment of a dotted name is at hand. */
static int name_segment(struct parser *p, struct str *ret_segment)
{
	if (at_reserved(p))
		return fail_here(p,
				 "\"%.*s\" is a word of the language: a field of this name stands in backticks, `%.*s`",
				 (int)p->t.str.n, p->t.str.p, (int)p->t.str.n, p->t.str.p);
	if (!at(p, TOK_QUOTED) && !(at(p, TOK_NAME) && !p->t.tilde))
		return expected(p, "a field's name");
	*ret_segment = p->t.str;
	return advance(p);
}

/* Appends ".segment". Names are short: copying them again for each segment costs nothing. */
static int name_append(struct parser *p, struct str *name, struct str segment)
{
	char *to;

	if (name->n + 1 + segment.n > FIELD_NAME_MAX)
		return fail_max(p, p->before.at, p->before.len, "a field's name of more than %d bytes", FIELD_NAME_MAX);
	to = arena_alloc(p->arena, name->n + segment.n + 2);
	if (!to)
		return no_memory(p);
	memcpy(to, name->p, name->n);
	to[name->n] = '.';
	memcpy(to + name->n + 1, segment.p, segment.n);
	to[name->n + 1 + segment.n] = 0;
	*name = (struct str) { to, name->n + 1 + segment.n };
	return 0;
}

/* .b.c behind the first segment. */
static int name_rest(struct parser *p, struct str *name)
{
	struct str segment;
	int r;

	while (at(p, TOK_DOT)) {
		r = advance(p);
		r = r < 0 ? r : name_segment(p, &segment);
		r = r < 0 ? r : name_append(p, name, segment);
		if (r < 0)
			return r;
	}
	return 0;
}

static void extend(struct parser *p, struct ast *a)
{
	a->len = p->before.at + p->before.len - a->at;
}

/* Is the word after this one a number? Errors are for whoever reads it for good. */
static bool is_item_number(const struct parser *p)
{
	struct lexer ahead = p->lx;
	struct diag ignored;
	struct token next;
	bool found;

	ahead.diag = &ignored;
	found = lex_next(&ahead, &next) >= 0 && next.kind == TOK_INT;
	err_clear();
	return found;
}

/* [1].b[2] behind a name: of the older reference alone. */
static int parse_steps(struct parser *p, struct ast **field)
{
	struct ast *item = NULL, *member = NULL;
	int r;

	while (at(p, TOK_LBRACKET)) {
		/* "by a [process where ...]": a bracket that begins a term. */
		if (!is_item_number(p))
			return 0;
		if (!is_endgame(p))
			return fail_here(
				p, "items of a list cannot be picked by number: a test of a list is true when any "
				   "item passes");
		r = advance(p);
		if (r < 0)
			return r;
		if (p->t.i > INT32_MAX)
			return expected(p, "the number of an item");
		r = node_new(p, AST_ITEM, &p->t, &item);
		if (r < 0)
			return r;
		item->i = p->t.i;
		r = advance(p);
		r = r < 0 ? r : expect(p, TOK_RBRACKET, "\"]\"");
		r = r < 0 ? r : add_kid(p, item, *field);
		if (r < 0)
			return r;
		extend(p, item);
		*field = item;
		if (!at(p, TOK_DOT))
			continue;
		r = node_new(p, AST_MEMBER, &p->t, &member);
		r = r < 0 ? r : advance(p);
		r = r < 0 ? r : name_segment(p, &member->str);
		r = r < 0 ? r : name_rest(p, &member->str);
		r = r < 0 ? r : add_kid(p, member, item);
		if (r < 0)
			return r;
		extend(p, member);
		*field = member;
	}
	return 0;
}

/* A field, or the name of a call whose bracket follows: *ret_is_call, and the node is a call without arguments. */
static int parse_name(struct parser *p, struct ast **ret_node)
{
	bool optional = at(p, TOK_QUESTION), variable = at(p, TOK_DOLLAR), callable;
	struct token begin = p->t;
	struct ast *a = NULL;
	int r;

	if ((optional || variable) && is_strict(p))
		return expected(p, "a value");
	if (optional || variable) {
		r = advance(p);
		if (r < 0)
			return r;
	}
	callable = at(p, TOK_NAME) && !optional && !variable;
	r = node_new(p, AST_FIELD, &begin, &a);
	if (r < 0)
		return r;
	a->optional = optional;
	if (callable && !at_reserved(p)) {
		a->tilde = p->t.tilde;
		a->str = p->t.str;
		r = advance(p);
		if (r < 0)
			return r;
		if (at(p, TOK_LPAREN)) {
			a->op = AST_CALL;
			*ret_node = a;
			return 0;
		}
		if (a->tilde)
			return expected(p, "\"(\"");
	} else {
		r = name_segment(p, &a->str);
		if (r < 0)
			return r;
	}
	if (variable) {
		struct str dollar = { "$", 1 };

		/* "$.name" is no name of a field, so nothing else is called so. */
		r = name_append(p, &dollar, a->str);
		a->str = dollar;
		if (r < 0)
			return r;
	}
	r = name_rest(p, &a->str);
	if (r < 0)
		return r;
	extend(p, a);
	*ret_node = a;
	return parse_steps(p, ret_node);
}

/* ---- values ----------------------------------------------------------------------------- */

static int parse_constant(struct parser *p, enum ast_op op, struct ast **ret_node)
{
	struct ast *a = NULL;
	int r;

	r = node_new(p, op, &p->t, &a);
	if (r < 0)
		return r;
	switch (op) {
	case AST_BOOL:
		a->b = str_is(p->t.str, "true");
		break;
	case AST_INT:
		a->i = p->t.i;
		break;
	case AST_FLOAT:
		a->f = p->t.f;
		break;
	case AST_STR:
		a->str = p->t.str;
		break;
	default:
		break;
	}
	*ret_node = a;
	r = advance(p);
	if (r < 0)
		return r;
	/* 1field: somebody meant a name. */
	if ((op == AST_INT || op == AST_FLOAT) && (at(p, TOK_NAME) || at(p, TOK_FLOAT) || at(p, TOK_INT)) &&
	    p->t.at == p->before.at + p->before.len)
		return fail_at(p, p->before.at, p->before.len + p->t.len,
			       "a number is followed by letters: a name that begins with a digit stands in backticks");
	return 0;
}

/* (a, b, c), at the bracket. The older reference allows a comma behind the last. */
static int parse_list(struct parser *p, struct ast *a)
{
	struct ast *kid = NULL;
	int r;

	r = advance(p);
	while (r >= 0 && !at(p, TOK_RPAREN)) {
		r = parse_expression(p, &kid);
		r = r < 0 ? r : add_kid(p, a, kid);
		if (r < 0)
			return r;
		if (at(p, TOK_RPAREN))
			break;
		if (!at(p, TOK_COMMA))
			return expected(p, "\",\" or \")\"");
		r = advance(p);
		if (r >= 0 && at(p, TOK_RPAREN) && !is_endgame(p))
			return expected(p, "a value");
	}
	r = r < 0 ? r : advance(p);
	if (r >= 0)
		extend(p, a);
	return r;
}

static bool lineage_of(struct str word, enum ir_lineage *ret_lineage)
{
	static const struct {
		const char *word;
		enum ir_lineage lineage;
	} words[] = { { "child", IR_CHILD }, { "descendant", IR_DESCENDANT }, { "event", IR_EVENT } };

	for (size_t i = 0; i < countof(words); i++) {
		if (str_is(word, words[i].word)) {
			*ret_lineage = words[i].lineage;
			return true;
		}
	}
	return false;
}

/* "of [...]" behind a name. */
static int parse_lineage(struct parser *p, struct ast *a)
{
	struct ast_query *sub;
	struct ast_term *term;
	enum ir_lineage lineage;
	int r;

	if (!lineage_of(a->str, &lineage))
		return fail_at(p, a->at, a->len, "expected child, descendant or event before \"of\"");
	if (p->options->dialect == RULE_ELASTIC)
		return fail_at(p, a->at, a->len, "\"%.*s of\" is of the dialects endpoint and endgame", (int)a->str.n,
			       a->str.p);
	if (p->n_subqueries >= RULE_SUBQUERIES_MAX || p->sub_depth >= RULE_SUBQUERY_DEPTH_MAX)
		return fail_max(p, a->at, a->len, "more than %d queries of lineage, or %d within each other",
				RULE_SUBQUERIES_MAX, RULE_SUBQUERY_DEPTH_MAX);
	p->n_subqueries++;
	p->sub_depth++;
	sub = arena_new(p->arena, struct ast_query);
	term = arena_new(p->arena, struct ast_term);
	if (!sub || !term)
		return no_memory(p);
	sub->kind = QUERY_EVENT;
	sub->first = sub->last = term;
	sub->n_terms = 1;
	term->runs = 1;
	r = advance(p);
	r = r < 0 ? r : expect(p, TOK_LBRACKET, "\"[\"");
	sub->at = p->t.at;
	r = r < 0 ? r : parse_event(p, term);
	r = r < 0 ? r : expect(p, TOK_RBRACKET, "\"]\"");
	if (r < 0)
		return r;
	sub->text = (struct str) { p->lx.text + sub->at, p->before.at - sub->at };
	sub->len = 0;
	p->sub_depth--;
	a->op = AST_LINEAGE;
	a->lineage = lineage;
	a->sub = sub;
	a->depth = 2;
	extend(p, a);
	return 0;
}

/* value:length(): the older reference's other way to write length(value). */
static int parse_methods(struct parser *p, struct ast **value)
{
	struct lexer mark;
	struct token colon;
	struct ast *call = NULL;
	int r;

	while (is_endgame(p) && at(p, TOK_COLON)) {
		mark = p->lx;
		colon = p->t;
		r = lex_next(&p->lx, &p->t);
		if (r < 0)
			return r;
		r = node_new(p, AST_CALL, &p->t, &call);
		if (r < 0)
			return r;
		call->str = p->t.str;
		if (at(p, TOK_NAME) && !p->t.tilde && !is_reserved(p->t.str)) {
			struct token name = p->t;

			r = lex_next(&p->lx, &p->t);
			if (r < 0)
				return r;
			/* field : name(...) would be a call as a pattern, which is none. */
			if (at(p, TOK_LPAREN)) {
				p->before = name;
				r = add_kid(p, call, *value);
				r = r < 0 ? r : parse_list(p, call);
				if (r < 0)
					return r;
				*value = call;
				continue;
			}
		}
		p->lx = mark;
		p->t = colon;
		return 0;
	}
	return 0;
}

static int parse_primary(struct parser *p, struct ast **ret_node)
{
	struct ast *a = NULL;
	int r;

	if (at(p, TOK_INT))
		return parse_constant(p, AST_INT, ret_node);
	if (at(p, TOK_FLOAT))
		return parse_constant(p, AST_FLOAT, ret_node);
	if (at(p, TOK_STRING))
		return parse_constant(p, AST_STR, ret_node);
	if (at_word(p, "true") || at_word(p, "false"))
		return parse_constant(p, AST_BOOL, ret_node);
	if (at_word(p, "null"))
		return parse_constant(p, AST_NULL, ret_node);
	if (at(p, TOK_LPAREN)) {
		r = enter(p);
		r = r < 0 ? r : advance(p);
		r = r < 0 ? r : parse_expression(p, &a);
		r = r < 0 ? r : expect(p, TOK_RPAREN, "\")\"");
		if (r < 0)
			return r;
		p->depth--;
		a->bracketed = true;
		*ret_node = a;
		return 0;
	}
	if (!at(p, TOK_NAME) && !at(p, TOK_QUOTED) && !at(p, TOK_QUESTION) && !at(p, TOK_DOLLAR))
		return expected(p, "a value");
	r = parse_name(p, &a);
	if (r < 0)
		return r;
	if (a->op == AST_CALL) {
		r = enter(p);
		r = r < 0 ? r : parse_list(p, a);
		p->depth--;
	} else if (at_word(p, "of") && a->op == AST_FIELD && !a->optional) {
		r = enter(p);
		r = r < 0 ? r : parse_lineage(p, a);
		p->depth--;
	}
	*ret_node = a;
	return r;
}

/* A value with its signs and methods. -5 is one constant. */
static int parse_signed(struct parser *p, struct ast **ret_node)
{
	bool negative = false, constant;
	struct token sign = p->t;
	struct ast *a = NULL, *neg = NULL;
	int signs = 0, r;

	for (; at(p, TOK_MINUS) || at(p, TOK_PLUS); signs++) {
		if (is_endgame(p) && signs)
			return expected(p, "a value behind the sign");
		negative ^= at(p, TOK_MINUS);
		r = advance(p);
		if (r < 0)
			return r;
	}
	constant = at(p, TOK_INT) || at(p, TOK_FLOAT);
	r = parse_primary(p, &a);
	r = r < 0 ? r : parse_methods(p, &a);
	if (r < 0)
		return r;
	*ret_node = a;
	if (!signs)
		return 0;
	if (constant && (a->op == AST_INT || a->op == AST_FLOAT)) {
		/* The lexer's largest is INT64_MAX, so that its negative is an integer too. */
		if (negative && a->op == AST_INT)
			a->i = -a->i;
		else if (negative)
			a->f = -a->f;
		a->len += a->at - sign.at;
		a->at = sign.at;
		/* -9223372036854775808 was too large before its sign. */
		if (a->op == AST_FLOAT && a->f == -0x1p63) {
			a->op = AST_INT;
			a->i = INT64_MIN;
		}
		return 0;
	}
	r = node_new(p, negative ? AST_NEG : AST_ADD, &sign, &neg);
	if (r < 0)
		return r;
	if (!negative) {
		/* +x: 0 + x, which is x and a number. */
		struct ast *zero = NULL;

		r = node_new(p, AST_INT, &sign, &zero);
		r = r < 0 ? r : add_kid(p, neg, zero);
		if (r < 0)
			return r;
	}
	*ret_node = neg;
	return add_kid(p, neg, a);
}

/* ---- operators -------------------------------------------------------------------------- */

/* a in (...), a : "x", a like ("x", "y"): behind the value. */
static int parse_set(struct parser *p, struct ast **value, bool *ret_found)
{
	enum ast_op op;
	struct ast *a = NULL, *kid = NULL;
	struct token begin = p->t;
	bool negated = false;
	int r;

	*ret_found = false;
	if (at_word(p, "not")) {
		struct lexer mark = p->lx;
		struct token not_word = p->t, before = p->before;

		r = advance(p);
		if (r < 0)
			return r;
		negated = at(p, TOK_NAME) && str_is(p->t.str, "in");
		if (!negated) {
			p->lx = mark;
			p->t = not_word;
			p->before = before;
			return 0;
		}
	}
	if (at(p, TOK_COLON))
		op = AST_COLON;
	else if (at(p, TOK_NAME) && str_is(p->t.str, "in"))
		op = AST_IN;
	else if (at(p, TOK_NAME) && str_is(p->t.str, "like"))
		op = AST_LIKE;
	else if (at(p, TOK_NAME) && str_is(p->t.str, "regex"))
		op = AST_REGEX;
	else
		return 0;
	if (is_strict(p) && (op != AST_IN || p->t.tilde))
		return fail_here(p, "this operator is not of the dialect endgame as it was");
	r = node_new(p, op, &begin, &a);
	if (r < 0)
		return r;
	a->tilde = p->t.tilde;
	a->negated = negated;
	r = add_kid(p, a, *value);
	r = r < 0 ? r : advance(p);
	if (r < 0)
		return r;
	if (at(p, TOK_LPAREN)) {
		struct token bracket = p->t;

		r = enter(p);
		r = r < 0 ? r : parse_list(p, a);
		p->depth--;
		if (r >= 0 && a->n < 2)
			return fail_at(p, bracket.at, p->before.at + p->before.len - bracket.at,
				       "expected at least one value between the brackets");
	} else if (op == AST_IN) {
		return expected(p, "\"(\"");
	} else {
		r = parse_signed(p, &kid);
		r = r < 0 ? r : add_kid(p, a, kid);
	}
	if (r < 0)
		return r;
	*ret_found = true;
	*value = a;
	return 0;
}

enum { LEVEL_OR = 1, LEVEL_AND, LEVEL_COMPARE, LEVEL_SUM, LEVEL_PRODUCT };

/* The operator at hand and its strength; 0: none. */
static int operator_at(const struct parser *p, enum ast_op *ret_op)
{
	static const struct {
		enum token_kind kind;
		enum ast_op op;
		int level;
	} operators[] = {
		{ TOK_EQ, AST_EQ, LEVEL_COMPARE },     { TOK_ASSIGN, AST_EQ, LEVEL_COMPARE },
		{ TOK_NE, AST_NE, LEVEL_COMPARE },     { TOK_LT, AST_LT, LEVEL_COMPARE },
		{ TOK_LE, AST_LE, LEVEL_COMPARE },     { TOK_GT, AST_GT, LEVEL_COMPARE },
		{ TOK_GE, AST_GE, LEVEL_COMPARE },     { TOK_PLUS, AST_ADD, LEVEL_SUM },
		{ TOK_MINUS, AST_SUB, LEVEL_SUM },     { TOK_STAR, AST_MUL, LEVEL_PRODUCT },
		{ TOK_SLASH, AST_DIV, LEVEL_PRODUCT }, { TOK_PERCENT, AST_MOD, LEVEL_PRODUCT },
	};

	for (size_t i = 0; i < countof(operators); i++) {
		if (at(p, operators[i].kind)) {
			*ret_op = operators[i].op;
			return operators[i].level;
		}
	}
	if (at_word(p, "and") || at_word(p, "or")) {
		*ret_op = at_word(p, "and") ? AST_AND : AST_OR;
		return at_word(p, "and") ? LEVEL_AND : LEVEL_OR;
	}
	return 0;
}

/* All operators of at least this strength. */
static int parse_level(struct parser *p, int level, struct ast **ret_node)
{
	struct ast *left = NULL, *right = NULL, *a = NULL;
	bool compared = false, found;
	int r, here;

	r = level > LEVEL_COMPARE ? parse_signed(p, &left) : parse_operand(p, &left);
	if (r < 0)
		return r;
	for (;;) {
		enum ast_op op = AST_NULL;

		if (level <= LEVEL_COMPARE && !compared && left->op != AST_NOT) {
			r = parse_set(p, &left, &found);
			if (r < 0)
				return r;
			compared = found;
		}
		here = operator_at(p, &op);
		if (!here || here < level)
			break;
		if (here == LEVEL_COMPARE && compared)
			return fail_here(p, "comparisons do not chain: write (a == b) == c, or use \"and\"");
		if (at(p, TOK_ASSIGN) && !is_endgame(p))
			return fail_here(p, "\"=\" compares in the dialect endgame only: write \"==\"");
		/* and/or of one kind are one node with many kids. */
		if (left->op == op && (op == AST_AND || op == AST_OR) && !left->bracketed) {
			a = left;
		} else {
			r = node_new(p, op, &p->t, &a);
			r = r < 0 ? r : add_kid(p, a, left);
			if (r < 0)
				return r;
		}
		r = advance(p);
		r = r < 0 ? r : parse_level(p, here + 1, &right);
		r = r < 0 ? r : add_kid(p, a, right);
		if (r < 0)
			return r;
		left = a;
		compared = here == LEVEL_COMPARE || (compared && here > LEVEL_COMPARE);
		if (here < LEVEL_COMPARE)
			compared = true;
	}
	*ret_node = left;
	return 0;
}

/* not not a == b: the nots bind less than a comparison and more than "and". */
static int parse_operand(struct parser *p, struct ast **ret_node)
{
	struct ast *a = NULL, *outer = NULL, *inner = NULL;
	unsigned nots = 0;
	int r;

	while (at_word(p, "not")) {
		if (++nots >= RULE_DEPTH_MAX)
			return fail_max(p, p->t.at, p->t.len, "nested deeper than %d", RULE_DEPTH_MAX);
		r = node_new(p, AST_NOT, &p->t, &a);
		r = r < 0 ? r : advance(p);
		if (r < 0)
			return r;
		a->kid = outer; /* a stack for now: the innermost is made last and needed first */
		outer = a;
	}
	if (!nots)
		return parse_signed(p, ret_node);
	r = parse_level(p, LEVEL_COMPARE, &inner);
	while (r >= 0 && outer) {
		a = outer;
		outer = a->kid;
		a->kid = NULL;
		r = add_kid(p, a, inner);
		inner = a;
	}
	*ret_node = inner;
	return r;
}

static int parse_expression(struct parser *p, struct ast **ret_node)
{
	int r;

	r = enter(p);
	r = r < 0 ? r : parse_level(p, LEVEL_OR, ret_node);
	p->depth--;
	return r;
}

/* ---- queries ---------------------------------------------------------------------------- */

/* any where ..., "category" where ... */
static int parse_event(struct parser *p, struct ast_term *term)
{
	int r;

	term->at = p->t.at;
	if (at_reserved(p) || (!at(p, TOK_NAME) && !at(p, TOK_QUOTED) && !at(p, TOK_STRING)) || p->t.tilde)
		return expected(p, "an event category (process, file, any, ...)");
	term->category_at = p->t.at;
	term->category_len = p->t.len;
	if (!at_word(p, "any"))
		term->category = p->t.str;
	r = advance(p);
	if (r < 0)
		return r;
	if (!at_word(p, "where"))
		return expected(p, "\"where\" behind the event category");
	r = advance(p);
	r = r < 0 ? r : parse_expression(p, &term->condition);
	if (r >= 0)
		term->len = p->before.at + p->before.len - term->at;
	return r;
}

/* by a, b: at "by", or nothing. The older reference allows a comma behind the last. */
static int parse_keys(struct parser *p, struct ast_keys *keys)
{
	struct ast *key = NULL;
	int r;

	if (!at_word(p, "by"))
		return 0;
	r = advance(p);
	do {
		r = r < 0 ? r : parse_expression(p, &key);
		if (r < 0)
			return r;
		if (keys->n >= RULE_KEYS_MAX)
			return fail_max(p, key->at, key->len, "more than %d keys to join by", RULE_KEYS_MAX);
		if (keys->last)
			keys->last->next = key;
		else
			keys->first = key;
		keys->last = key;
		keys->n++;
		if (!at(p, TOK_COMMA))
			return 0;
		r = advance(p);
	} while (r < 0 || !is_endgame(p) || (!at(p, TOK_LBRACKET) && !at(p, TOK_END)));
	return 0;
}

/* with runs=3, behind a term; the word "with" is at hand. */
static int parse_runs(struct parser *p, struct ast_term *term)
{
	int r;

	if (is_strict(p))
		return expected(p, "\"[\"");
	r = advance(p);
	if (r < 0)
		return r;
	if (!at_word(p, "runs"))
		return expected(p, "runs=N behind \"with\" (maxspan stands before the first \"[\")");
	r = advance(p);
	r = r < 0 ? r : expect(p, TOK_ASSIGN, "\"=\"");
	if (r < 0)
		return r;
	if (!at(p, TOK_INT) || p->t.i < 1)
		return expected(p, "a number from 1 on");
	if (p->t.i > RULE_RUNS_MAX)
		return fail_max(p, p->t.at, p->t.len, "at most %d runs", RULE_RUNS_MAX);
	term->runs = (unsigned)p->t.i;
	return advance(p);
}

/* fork, fork=true, fork=false */
static int parse_fork(struct parser *p, struct ast_term *term, bool first)
{
	struct token word = p->t;
	int r;

	r = advance(p);
	if (r < 0)
		return r;
	term->fork = true;
	if (at(p, TOK_ASSIGN)) {
		r = advance(p);
		if (r < 0)
			return r;
		if (!at_word(p, "true") && !at_word(p, "false"))
			return expected(p, "true or false");
		term->fork = at_word(p, "true");
		r = advance(p);
	}
	if (r >= 0 && term->fork && first)
		return fail_at(p, word.at, word.len, "the first term has nothing before it to fork from");
	return r;
}

enum term_place { TERM_FIRST, TERM_LATER, TERM_UNTIL };

/* [...], ![...], and what follows: by, with runs, fork, as. */
static int parse_term(struct parser *p, enum query_kind kind, enum term_place place, struct ast_term **ret_term)
{
	struct ast_term *term = arena_new(p->arena, struct ast_term);
	bool is_fork = false;
	int r;

	if (!term)
		return no_memory(p);
	term->runs = 1;
	term->missing = at(p, TOK_MISSING);
	if (term->missing && (kind != QUERY_SEQUENCE || place == TERM_UNTIL || is_strict(p)))
		return fail_here(p, "![...] stands only among the terms of a sequence");
	if (!term->missing && !at(p, TOK_LBRACKET))
		return expected(p, "\"[\"");
	r = advance(p);
	r = r < 0 ? r : parse_event(p, term);
	r = r < 0 ? r : expect(p, TOK_RBRACKET, "an operator or \"]\"");
	/* The references disagree on the order of what follows, so any order is fine. */
	while (r >= 0) {
		if (at_word(p, "by") && !term->keys.n) {
			r = parse_keys(p, &term->keys);
		} else if (at_word(p, "with") && term->runs == 1 && kind == QUERY_SEQUENCE && place != TERM_UNTIL) {
			r = parse_runs(p, term);
		} else if (at_word(p, "fork") && !is_fork && is_endgame(p) && kind == QUERY_SEQUENCE) {
			is_fork = true;
			r = parse_fork(p, term, place == TERM_FIRST);
		} else if (at_word(p, "as") && !term->alias.p && kind == QUERY_SEQUENCE && place != TERM_UNTIL &&
			   !is_strict(p)) {
			r = advance(p);
			if (r >= 0 && (!at(p, TOK_NAME) || at_reserved(p) || p->t.tilde))
				return expected(p, "a name for what the term matches");
			term->alias = p->t.str;
			r = r < 0 ? r : advance(p);
		} else {
			break;
		}
	}
	*ret_term = term;
	return r;
}

/* with maxspan=5m, at "with". */
static int parse_maxspan(struct parser *p, uint64_t *ret_ns)
{
	static const struct {
		const char *unit;
		uint64_t ns;
	} units[] = {
		{ "ms", 1000000ULL },      { "s", 1000000000ULL },     { "m", 60000000000ULL },
		{ "h", 3600000000000ULL }, { "d", 86400000000000ULL },
	};
	struct token number;
	int r;

	r = advance(p);
	if (r < 0)
		return r;
	if (!at_word(p, "maxspan"))
		return expected(p, "maxspan=TIME (runs=N stands behind a term)");
	r = advance(p);
	r = r < 0 ? r : expect(p, TOK_ASSIGN, "\"=\"");
	if (r < 0)
		return r;
	number = p->t;
	if (at(p, TOK_FLOAT))
		return fail_here(p, "maxspan is a whole number of ms, s, m, h or d");
	if (!at(p, TOK_INT) || number.i <= 0)
		return expected(p, "a time such as 30s, 5m, 1h");
	r = advance(p);
	if (r < 0)
		return r;
	for (size_t i = 0; i < countof(units); i++) {
		if (!at_word(p, units[i].unit))
			continue;
		if (__builtin_mul_overflow((uint64_t)number.i, units[i].ns, ret_ns) || *ret_ns > INT64_MAX)
			return fail_at(p, number.at, number.len, "this time is too long");
		return advance(p);
	}
	return expected(p, "a unit of time: ms, s, m, h or d");
}

static int check_missing(struct parser *p, const struct ast_query *q)
{
	unsigned positive = 0, missing = 0;

	for (const struct ast_term *t = q->first; t; t = t->next) {
		positive += !t->missing;
		missing += t->missing;
	}
	if (missing && !q->maxspan_ns)
		return fail_at(p, q->at, q->len,
			       "a sequence with ![...] needs \"with maxspan=...\": how long is missing?");
	if (!positive)
		return fail_at(p, q->at, q->len, "a sequence needs at least one term that is not missing");
	return 0;
}

static int check_keys(struct parser *p, const struct ast_query *q)
{
	const struct ast_term *first = q->first;

	for (const struct ast_term *t = first->next;; t = t->next) {
		if (!t)
			t = q->until;
		if (!t)
			break;
		if (t->keys.n != first->keys.n)
			return fail_at(p, t->at, t->len,
				       "%u join keys here, %u at the first term: every term has as many", t->keys.n,
				       first->keys.n);
		if (t == q->until)
			break;
	}
	if (q->keys.n + first->keys.n > RULE_KEYS_MAX)
		return fail_max(p, first->at, first->len, "more than %d keys to join by", RULE_KEYS_MAX);
	if (q->kind == QUERY_SAMPLE && !is_endgame(p) && !(q->keys.n + first->keys.n))
		return fail_at(p, q->at, q->len, "a sample needs something to join by");
	return 0;
}

/* sequence, sample or join, at its word. */
static int parse_terms(struct parser *p, struct ast_query *q)
{
	enum { SAMPLE_TERMS_MAX = 5 };
	struct ast_term *term;
	unsigned steps = 0;
	int r;

	r = advance(p);
	r = r < 0 ? r : parse_keys(p, &q->keys);
	if (r < 0)
		return r;
	if (at_word(p, "with") && q->kind == QUERY_SEQUENCE) {
		r = parse_maxspan(p, &q->maxspan_ns);
		if (r < 0)
			return r;
		if (at_word(p, "by") && !q->keys.n) {
			if (!is_endgame(p))
				return fail_here(p, "\"by\" stands before \"with maxspan\"");
			r = parse_keys(p, &q->keys);
			if (r < 0)
				return r;
		}
	}
	do {
		r = parse_term(p, q->kind, q->n_terms ? TERM_LATER : TERM_FIRST, &term);
		if (r < 0)
			return r;
		if (q->n_terms >= RULE_STAGES_MAX)
			return fail_max(p, term->at, term->len, "more than %d terms", RULE_STAGES_MAX);
		if (q->last)
			q->last->next = term;
		else
			q->first = term;
		q->last = term;
		q->n_terms++;
		steps += term->runs;
	} while (at(p, TOK_LBRACKET) || at(p, TOK_MISSING));
	if (at_word(p, "until") && q->kind != QUERY_SAMPLE) {
		r = advance(p);
		r = r < 0 ? r : parse_term(p, q->kind, TERM_UNTIL, &q->until);
		if (r < 0)
			return r;
	}
	if (steps < 2)
		return fail_at(p, q->at, q->len, "at least two terms are needed, or one with runs=2");
	if (q->kind == QUERY_SAMPLE && !is_endgame(p) && q->n_terms > SAMPLE_TERMS_MAX)
		return fail_max(p, q->at, q->len, "at most %d terms of a sample", SAMPLE_TERMS_MAX);
	r = check_keys(p, q);
	return r < 0 ? r : check_missing(p, q);
}

/* Arguments stand between commas; in the older reference blanks will do. */
static int parse_pipe_arguments(struct parser *p, struct ast_pipe *pipe)
{
	struct ast *a = NULL;
	int r;

	while (!at(p, TOK_END) && !at(p, TOK_PIPE)) {
		r = parse_expression(p, &a);
		if (r < 0)
			return r;
		if (pipe->n >= RULE_KEYS_MAX)
			return fail_max(p, a->at, a->len, "more than %d arguments of a pipe", RULE_KEYS_MAX);
		if (pipe->last)
			pipe->last->next = a;
		else
			pipe->first = a;
		pipe->last = a;
		pipe->n++;
		if (at(p, TOK_COMMA)) {
			r = advance(p);
			if (r < 0)
				return r;
			if (at(p, TOK_END) || at(p, TOK_PIPE))
				return expected(p, "a value behind \",\"");
		} else if (!is_endgame(p) && !at(p, TOK_END) && !at(p, TOK_PIPE)) {
			return expected(p, "\"|\" or the end");
		}
	}
	return 0;
}

static int parse_pipe(struct parser *p, struct ast_pipe *pipe)
{
	static const struct {
		const char *name;
		enum query_pipe_kind kind;
		unsigned min, max;
		bool elastic;
	} pipes[] = {
		{ "head", PIPE_HEAD, 0, 1, true },
		{ "tail", PIPE_TAIL, 0, 1, true },
		{ "filter", PIPE_FILTER, 1, 1, false },
		{ "count", PIPE_COUNT, 0, RULE_KEYS_MAX, false },
		{ "unique", PIPE_UNIQUE, 1, RULE_KEYS_MAX, false },
		{ "unique_count", PIPE_UNIQUE_COUNT, 1, RULE_KEYS_MAX, false },
		{ "sort", PIPE_SORT, 1, RULE_KEYS_MAX, false },
	};
	int r;

	for (size_t i = 0; i < countof(pipes); i++) {
		if (!at_word(p, pipes[i].name))
			continue;
		if (!pipes[i].elastic && !is_endgame(p))
			return fail_here(p, "the pipe %s is of the dialect endgame; here there are head and tail",
					 pipes[i].name);
		pipe->kind = pipes[i].kind;
		pipe->at = p->t.at;
		pipe->len = p->t.len;
		r = advance(p);
		r = r < 0 ? r : parse_pipe_arguments(p, pipe);
		if (r < 0)
			return r;
		if (pipe->n < pipes[i].min || pipe->n > pipes[i].max || (!is_endgame(p) && pipe->n != 1))
			return fail_at(p, pipe->at, pipe->len, "%s wants %s", pipes[i].name,
				       pipes[i].max == 1 ? "one argument" : "something to look at");
		return 0;
	}
	return expected(p, is_endgame(p) ? "a pipe: head, tail, filter, count, unique, unique_count, sort"
					 : "a pipe: head or tail");
}

static int parse_pipes(struct parser *p, struct ast_query *q)
{
	struct ast_pipe **end = &q->pipes, *pipe;
	int r;

	while (at(p, TOK_PIPE)) {
		if (q->n_pipes >= RULE_PIPES_MAX)
			return fail_max(p, p->t.at, p->t.len, "more than %d pipes", RULE_PIPES_MAX);
		pipe = arena_new(p->arena, struct ast_pipe);
		if (!pipe)
			return no_memory(p);
		r = advance(p);
		r = r < 0 ? r : parse_pipe(p, pipe);
		if (r < 0)
			return r;
		*end = pipe;
		end = &pipe->next;
		q->n_pipes++;
	}
	return 0;
}

/* Does "category where" begin here? Else it is a bare expression. */
static bool looks_like_event(const struct parser *p)
{
	struct lexer ahead = p->lx;
	struct diag ignored;
	struct token next;
	bool found;

	ahead.diag = &ignored;
	found = lex_next(&ahead, &next) >= 0 && next.kind == TOK_NAME && str_is(next.str, "where");
	err_clear();
	return found;
}

static int parse_single(struct parser *p, struct ast_query *q)
{
	struct ast_term *term = arena_new(p->arena, struct ast_term);
	struct token begin = p->t;
	int r;

	if (!term)
		return no_memory(p);
	term->runs = 1;
	q->first = q->last = term;
	q->n_terms = 1;
	if (q->kind == QUERY_CONDITION || (p->options->implied_any && !looks_like_event(p))) {
		term->at = begin.at;
		/* "| head 3": of everything. */
		if (q->kind == QUERY_EVENT && at(p, TOK_PIPE)) {
			r = node_new(p, AST_BOOL, &begin, &term->condition);
			if (r >= 0)
				term->condition->b = true;
			return r;
		}
		r = parse_expression(p, &term->condition);
		term->len = p->before.at + p->before.len - term->at;
		return r;
	}
	return parse_event(p, term);
}

static int parse_query(struct parser *p, bool expression, struct ast_query *q)
{
	int r;

	q->at = p->t.at;
	q->len = p->t.len;
	q->kind = expression                              ? QUERY_CONDITION
		  : at_word(p, "sequence")                ? QUERY_SEQUENCE
		  : at_word(p, "sample") && !is_strict(p) ? QUERY_SAMPLE
		  : at_word(p, "join")                    ? QUERY_JOIN
							  : QUERY_EVENT;
	if (q->kind == QUERY_JOIN && !is_endgame(p))
		return fail_here(p, "\"join\" is of the dialect endgame: write \"sequence\" or \"sample\"");
	if (q->kind == QUERY_CONDITION || q->kind == QUERY_EVENT)
		r = parse_single(p, q);
	else
		r = parse_terms(p, q);
	if (r >= 0 && !expression)
		r = parse_pipes(p, q);
	if (r < 0)
		return r;
	if (!at(p, TOK_END))
		return expected(p, expression ? "an operator or the end" : "an operator, \"|\" or the end");
	return 0;
}

int rule_parse(const char *text, size_t n, bool expression, const struct query_options *options, struct arena *arena,
	       struct diag *diag, struct ast_query **ret_query)
{
	struct parser p = {
		.lx = { .text = text, .n = n, .options = options, .arena = arena, .diag = diag },
		.options = options,
		.arena = arena,
	};
	struct ast_query *q = arena_new(arena, struct ast_query);
	size_t good;
	int r;

	if (n > RULE_TEXT_MAX)
		return fail_max(&p, 0, 0, "a rule of more than %d bytes", RULE_TEXT_MAX);
	good = utf8_good(text, n);
	if (good < n)
		return fail_at(&p, good, 1, "this is no UTF-8");
	if (!q)
		return no_memory(&p);
	r = advance(&p);
	r = r < 0 ? r : parse_query(&p, expression, q);
	if (r < 0)
		return r;
	q->text = (struct str) { text, n };
	*ret_query = q;
	return 0;
}
