/* SPDX-License-Identifier: Apache-2.0 */
/* expand - puts the bodies of macros where they are called. Between the parser and the lowering; nobody else. */
#pragma once
#include "rule/ast.h"
#include "rule/macro.h"

/*
 * Each call in the query's conditions becomes the body of its macro; *ret_content is a hash of what was put in, 0:
 * nothing. `own`: the query is the body of this macro, whose parameters stand for themselves; else NULL.
 */
int macro_expand(struct ast_query *q, const char *text, size_t n, const struct query_options *options,
		 const struct macro *own, struct arena *arena, struct diag *diag, uint64_t *ret_content);
/* A copy of a tree in the arena; NULL: no memory, or more than RULE_NODES_MAX. */
struct ast *macro_copy(const struct ast *a, struct arena *arena);

/* Which parameter of a macro is called so; -1: none. */
int macro_parameter(const struct macro *macro, struct str name);
/* Whom a name calls within the body of `in` (NULL: in a rule). */
const struct macro *macro_called(const struct macros *macros, const struct macro *in, struct str name);

/* Where something stands in the rule's own text: of what is in the body of a macro, where that is called. */
size_t ast_at(const struct ast *a);
/*
 * diag_fail() for a node wherever it stands. In the body of a macro, the place is that of the call in the rule's text,
 * and diag->within says which macro, and where in it. `in`: who refuses it (the node or the one above it), or NULL.
 */
int macro_fail(struct diag *diag, int r, const char *text, size_t n, const struct ast *a, size_t len,
	       const struct ast *in, const char *fmt, ...) __attribute__((format(printf, 8, 9), cold));

/* write.c: a tree as EQL. */
void ast_write(const struct ast *a, struct buf *out);
void ast_write_query(const struct ast_query *q, struct buf *out);
