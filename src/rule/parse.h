/* SPDX-License-Identifier: Apache-2.0 */
/* parse - what the two halves of the parser share: parse.c reads expressions, parse_query.c what stands around them. */
#pragma once
#include <errno.h>
#include "base/err.h"
#include "base/mem.h"
#include "rule/ast.h"

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

static inline bool is_endgame(const struct parser *p)
{
	return p->options->dialect == RULE_ENDGAME;
}

static inline bool is_strict(const struct parser *p)
{
	return is_endgame(p) && p->options->strict_endgame;
}

static inline bool at(const struct parser *p, enum token_kind kind)
{
	return p->t.kind == kind;
}

static inline bool at_word(const struct parser *p, const char *word)
{
	return at(p, TOK_NAME) && !p->t.tilde && str_is(p->t.str, word);
}

int parse_no_memory(struct parser *p);
int parse_advance(struct parser *p);
/* "expected WHAT, found ..." */
int parse_expected(struct parser *p, const char *what);
int parse_expect(struct parser *p, enum token_kind kind, const char *what);
/* A word of the language is at hand, which is no field's name. */
bool parse_at_reserved(const struct parser *p);
int parse_node(struct parser *p, enum ast_op op, const struct token *t, struct ast **ret_node);
int parse_add_kid(struct parser *p, struct ast *a, struct ast *kid);

int parse_expression(struct parser *p, struct ast **ret_node);
/* any where ..., "category" where ... */
int parse_event(struct parser *p, struct ast_term *term);
