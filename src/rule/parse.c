/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parse - from words to a tree.
 *
 * Recursive descent with one word of look-ahead. Operators are read by strength in one loop, so that a bracket
 * costs two frames of the stack; brackets are counted against RULE_DEPTH_MAX, and so is the depth of the tree.
 * Words such as like, any or maxspan are names where no operator can stand.
 */
#include "rule/parse.h"
#include <stdio.h>
#include "base/nearest.h"

int parse_no_memory(struct parser *p)
{
	return diag_fail(p->lx.diag, p->arena->taken >= RULE_ARENA_MAX / 2 ? -E2BIG : -ENOMEM, p->lx.text, p->lx.n,
			 p->t.at, 0, "no memory left for the rule");
}

/* ---- words ------------------------------------------------------------------------------ */

int parse_advance(struct parser *p)
{
	p->before = p->t;
	return lex_next(&p->lx, &p->t);
}

/* Somebody who wrote "wher" meant a word of the language. */
static void hint_word(struct parser *p)
{
	static const char *const words[] = { "and",    "as",           "by",       "false", "filter", "head",
					     "in",     "like",         "maxspan",  "not",   "null",   "or",
					     "regex",  "runs",         "sequence", "sort",  "tail",   "true",
					     "unique", "unique_count", "until",    "where", "with" };
	char word[32];
	struct nearest near = { .word = word };

	if (!at(p, TOK_NAME) || p->t.str.n >= sizeof(word))
		return;
	(void)snprintf(word, sizeof(word), "%.*s", (int)p->t.str.n, p->t.str.p);
	for (size_t i = 0; i < countof(words); i++)
		nearest_offer(&near, words[i]);
	/* The word itself, in a place where it cannot be, is no help. */
	if (p->lx.diag && near.best && strcmp(near.best, word) != 0)
		(void)snprintf(p->lx.diag->hint, sizeof(p->lx.diag->hint), "%s", near.best);
}

int parse_expected(struct parser *p, const char *what)
{
	char found[64];
	int r;

	token_describe(&p->t, p->lx.text, found, sizeof(found));
	r = fail_here(p, "expected %s, found %s", what, found);
	hint_word(p);
	return r;
}

int parse_expect(struct parser *p, enum token_kind kind, const char *what)
{
	return at(p, kind) ? parse_advance(p) : parse_expected(p, what);
}

/* Words that are no field's name unless they stand in backticks. */
bool rule_is_reserved(struct str s)
{
	static const char *const words[] = { "and", "by",     "false",    "in",   "join",  "not",   "null", "of",
					     "or",  "sample", "sequence", "true", "until", "where", "with" };

	for (size_t i = 0; i < countof(words); i++)
		if (str_is(s, words[i]))
			return true;
	return false;
}

bool parse_at_reserved(const struct parser *p)
{
	return at(p, TOK_NAME) && (rule_is_reserved(p->t.str) ||
				   (is_endgame(p) && (str_is(p->t.str, "const") || str_is(p->t.str, "macro"))));
}

/* ---- the tree --------------------------------------------------------------------------- */

int parse_node(struct parser *p, enum ast_op op, const struct token *t, struct ast **ret_node)
{
	struct ast *a = arena_new(p->arena, struct ast);

	if (!a)
		return parse_no_memory(p);
	a->op = op;
	a->depth = 1;
	a->at = t->at;
	a->len = t->len;
	*ret_node = a;
	return 0;
}

int parse_add_kid(struct parser *p, struct ast *a, struct ast *kid)
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

static int parse_operand(struct parser *p, struct ast **ret_node);

/* ---- names and fields ------------------------------------------------------------------- */

/* One segment of a dotted name is at hand. */
static int name_segment(struct parser *p, struct str *ret_segment)
{
	if (parse_at_reserved(p))
		return fail_here(p,
				 "expected a name or a value, found the word \"%.*s\": a field of this name stands in "
				 "backticks, `%.*s`",
				 (int)p->t.str.n, p->t.str.p, (int)p->t.str.n, p->t.str.p);
	if (!at(p, TOK_QUOTED) && !(at(p, TOK_NAME) && !p->t.tilde))
		return parse_expected(p, "a field's name");
	*ret_segment = p->t.str;
	return parse_advance(p);
}

/* Appends ".segment". Names are short: copying them again for each segment costs nothing. */
static int name_append(struct parser *p, struct str *name, struct str segment)
{
	char *to;

	if (name->n + 1 + segment.n > FIELD_NAME_MAX)
		return fail_max(p, p->before.at, p->before.len, "a field's name of more than %d bytes", FIELD_NAME_MAX);
	to = arena_alloc(p->arena, name->n + segment.n + 2);
	if (!to)
		return parse_no_memory(p);
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
		r = parse_advance(p);
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
		r = parse_advance(p);
		if (r < 0)
			return r;
		if (p->t.i > INT32_MAX)
			return parse_expected(p, "the number of an item");
		r = parse_node(p, AST_ITEM, &p->t, &item);
		if (r < 0)
			return r;
		item->i = p->t.i;
		r = parse_advance(p);
		r = r < 0 ? r : parse_expect(p, TOK_RBRACKET, "\"]\"");
		r = r < 0 ? r : parse_add_kid(p, item, *field);
		if (r < 0)
			return r;
		extend(p, item);
		*field = item;
		if (!at(p, TOK_DOT))
			continue;
		r = parse_node(p, AST_MEMBER, &p->t, &member);
		r = r < 0 ? r : parse_advance(p);
		r = r < 0 ? r : name_segment(p, &member->str);
		r = r < 0 ? r : name_rest(p, &member->str);
		r = r < 0 ? r : parse_add_kid(p, member, item);
		if (r < 0)
			return r;
		extend(p, member);
		*field = member;
	}
	return 0;
}

/* A field; or a call without its arguments yet, when a bracket follows the name. */
static int parse_name(struct parser *p, struct ast **ret_node)
{
	bool optional = at(p, TOK_QUESTION), variable = at(p, TOK_DOLLAR), callable;
	struct token begin = p->t;
	struct ast *a = NULL;
	int r;

	if ((optional || variable) && is_strict(p))
		return parse_expected(p, "a value");
	if (optional || variable) {
		r = parse_advance(p);
		if (r < 0)
			return r;
	}
	callable = at(p, TOK_NAME) && !optional && !variable;
	r = parse_node(p, AST_FIELD, &begin, &a);
	if (r < 0)
		return r;
	a->optional = optional;
	if (callable && !parse_at_reserved(p)) {
		a->tilde = p->t.tilde;
		a->str = p->t.str;
		r = parse_advance(p);
		if (r < 0)
			return r;
		if (at(p, TOK_LPAREN)) {
			a->op = AST_CALL;
			*ret_node = a;
			return 0;
		}
		if (a->tilde)
			return parse_expected(p, "\"(\"");
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

	r = parse_node(p, op, &p->t, &a);
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
	r = parse_advance(p);
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

	r = parse_advance(p);
	while (r >= 0 && !at(p, TOK_RPAREN)) {
		r = parse_expression(p, &kid);
		r = r < 0 ? r : parse_add_kid(p, a, kid);
		if (r < 0)
			return r;
		if (at(p, TOK_RPAREN))
			break;
		if (!at(p, TOK_COMMA))
			return parse_expected(p, "\",\" or \")\"");
		r = parse_advance(p);
		if (r >= 0 && at(p, TOK_RPAREN) && !is_endgame(p))
			return parse_expected(p, "a value");
	}
	r = r < 0 ? r : parse_advance(p);
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
		return parse_no_memory(p);
	sub->kind = QUERY_EVENT;
	sub->first = sub->last = term;
	sub->n_terms = 1;
	term->runs = 1;
	r = parse_advance(p);
	r = r < 0 ? r : parse_expect(p, TOK_LBRACKET, "\"[\"");
	sub->at = p->t.at;
	r = r < 0 ? r : parse_event(p, term);
	r = r < 0 ? r : parse_expect(p, TOK_RBRACKET, "\"]\"");
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
		r = parse_node(p, AST_CALL, &p->t, &call);
		if (r < 0)
			return r;
		call->str = p->t.str;
		if (at(p, TOK_NAME) && !p->t.tilde && !rule_is_reserved(p->t.str)) {
			struct token name = p->t;

			r = lex_next(&p->lx, &p->t);
			if (r < 0)
				return r;
			/* field : name(...) would be a call as a pattern, which is none. */
			if (at(p, TOK_LPAREN)) {
				p->before = name;
				r = parse_add_kid(p, call, *value);
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
		r = r < 0 ? r : parse_advance(p);
		r = r < 0 ? r : parse_expression(p, &a);
		r = r < 0 ? r : parse_expect(p, TOK_RPAREN, "\")\"");
		if (r < 0)
			return r;
		p->depth--;
		a->bracketed = true;
		*ret_node = a;
		return 0;
	}
	if (!at(p, TOK_NAME) && !at(p, TOK_QUOTED) && !at(p, TOK_QUESTION) && !at(p, TOK_DOLLAR))
		return parse_expected(p, "a value");
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
			return parse_expected(p, "a value behind the sign");
		negative ^= at(p, TOK_MINUS);
		r = parse_advance(p);
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
	r = parse_node(p, negative ? AST_NEG : AST_ADD, &sign, &neg);
	if (r < 0)
		return r;
	if (!negative) {
		/* +x: 0 + x, which is x and a number. */
		struct ast *zero = NULL;

		r = parse_node(p, AST_INT, &sign, &zero);
		r = r < 0 ? r : parse_add_kid(p, neg, zero);
		if (r < 0)
			return r;
	}
	*ret_node = neg;
	return parse_add_kid(p, neg, a);
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

		r = parse_advance(p);
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
	r = parse_node(p, op, &begin, &a);
	if (r < 0)
		return r;
	a->tilde = p->t.tilde;
	a->negated = negated;
	r = parse_add_kid(p, a, *value);
	r = r < 0 ? r : parse_advance(p);
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
		return parse_expected(p, "\"(\"");
	} else {
		r = parse_signed(p, &kid);
		r = r < 0 ? r : parse_add_kid(p, a, kid);
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

		if (level <= LEVEL_COMPARE && !compared && (left->op != AST_NOT || left->bracketed)) {
			r = parse_set(p, &left, &found);
			if (r < 0)
				return r;
			/* elastic: a in (1, 2) == true. */
			compared = found && is_endgame(p);
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
			r = parse_node(p, op, &p->t, &a);
			r = r < 0 ? r : parse_add_kid(p, a, left);
			if (r < 0)
				return r;
		}
		r = parse_advance(p);
		r = r < 0 ? r : parse_level(p, here + 1, &right);
		if (r >= 0 && here == LEVEL_COMPARE && !is_endgame(p))
			r = parse_set(p, &right, &found);
		r = r < 0 ? r : parse_add_kid(p, a, right);
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
		r = parse_node(p, AST_NOT, &p->t, &a);
		r = r < 0 ? r : parse_advance(p);
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
		r = parse_add_kid(p, a, inner);
		inner = a;
	}
	*ret_node = inner;
	return r;
}

int parse_expression(struct parser *p, struct ast **ret_node)
{
	int r;

	r = enter(p);
	r = r < 0 ? r : parse_level(p, LEVEL_OR, ret_node);
	p->depth--;
	return r;
}
