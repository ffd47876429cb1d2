/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lower - from what is written to what it means: names resolved, types checked, the dialect's rules made explicit.
 *
 * In four files: lower.c (expressions), lower_field.c (names), lower_type.c (types and constants), lower_query.c
 * (stages, pipes, the whole).
 */
#pragma once
#include <errno.h>
#include "rule/ast.h"
#include "rule/build.h"
#include "rule/expand.h"

int rule_lower(const struct ast_query *ast, const char *text, size_t n, const struct query_options *options,
	       bool is_value, struct arena *scratch, struct diag *diag, struct query **ret_query);

/* ---- between the four files ---------------------------------------------------------------- */

struct lowering {
	struct query_builder b;
	struct arena *scratch; /* gone when the rule is compiled */
	const struct query_options *options;
	const struct ast_query *ast;
	const char *text;
	size_t n;
	struct diag *diag;
	bool elastic;  /* its null rules, lists and letters */
	bool is_value; /* no condition is wanted at the root */
	bool in_pipe;
	bool counted;         /* behind count: events have other fields */
	bool tallied;         /* behind unique_count: they have more */
	uint32_t stage;       /* the term whose condition is lowered */
	const struct ast *in; /* what is lowered just now */
	/* A variable is known where it was written: in the rule, or in one use of one macro. */
	struct {
		struct str name;
		const struct ast_call *call;
	} vars[RULE_VARIABLES_MAX];
	unsigned n_vars;
	struct query *subs[RULE_SUBQUERIES_MAX];
	uint32_t n_subs;
};

#define fail_at(lo, where_at, where_len, ...)                                                                          \
	diag_at((lo)->diag, (lo)->text, (lo)->n, (where_at), (where_len), __VA_ARGS__)
/* The first `n` bytes of a node; all of it; beyond a maximum. */
#define fail_part(lo, a, n_bytes, ...)                                                                                 \
	macro_fail((lo)->diag, -EINVAL, (lo)->text, (lo)->n, (a), (n_bytes), (lo)->in, __VA_ARGS__)
#define fail_on(lo, a, ...)  fail_part(lo, a, (a)->len, __VA_ARGS__)
#define fail_max(lo, a, ...) macro_fail((lo)->diag, -E2BIG, (lo)->text, (lo)->n, (a), (a)->len, (lo)->in, __VA_ARGS__)

static inline struct ir_node *lower_node(struct lowering *lo, ir_ref ref)
{
	return build_at(&lo->b, ref);
}

static inline bool lower_is_null(struct lowering *lo, ir_ref ref)
{
	return lower_node(lo, ref)->op == IR_NULL;
}

/* A constant of the text. */
static inline bool lower_is_fixed(const struct ast *a)
{
	return a->op <= AST_STR;
}

/* What a builder refused, as a message with a place. */
int lower_refused(struct lowering *lo, const struct ast *a);
/* Passes a node on, or says why there is none. */
int lower_made(struct lowering *lo, const struct ast *a, ir_ref ref, ir_ref *ret_ref);

/* An expression where its value counts, and where it is to be true. */
int lower_value(struct lowering *lo, const struct ast *a, ir_ref *ret_ref);
int lower_condition(struct lowering *lo, const struct ast *a, ir_ref *ret_ref);

int lower_field(struct lowering *lo, const struct ast *a, ir_ref *ret_ref);
int lower_item(struct lowering *lo, const struct ast *a, ir_ref *ret_ref);
int lower_member(struct lowering *lo, const struct ast *a, ir_ref *ret_ref);
/* "did you mean", beside the message just made. NULL: nothing is near. */
void lower_hint(struct lowering *lo, const char *best);
/* The first segment of a name. */
struct str lower_head(struct str name);

enum family { FAMILY_ANY, FAMILY_BOOLEAN, FAMILY_NUMBER, FAMILY_TEXT };
enum family lower_family(enum rule_type type);
/* "text", "a number", for messages. */
const char *lower_type_words(enum rule_type type);
int lower_mismatch(struct lowering *lo, const struct ast *a, enum rule_type got, enum rule_type want);
/* "10.0.0.0/8", or one address. */
bool lower_is_network(struct str s);
/*
 * Brings the two sides of a comparison together; *ret_as is how they are read. Constants are bent to fields alone:
 * length(x) == "3" is a mistake.
 */
int lower_agree(struct lowering *lo, const struct ast *aa, ir_ref a, const struct ast *bb, ir_ref b, uint8_t *ret_as);
