/* SPDX-License-Identifier: Apache-2.0 */
/*
 * build - making a query node by node: what front ends lower with.
 *
 * A builder that ran out of memory or of room says so once at the end; until then its functions may be called
 * on without looking (they return 0, and a node with a kid 0 is not made). query_build() hands the query over.
 */
#pragma once
#include "rule/ir.h"

struct query_builder {
	struct query *q; /* being made: stages, pipes and the like are set by the caller, in q->arena */
	struct ir_node *nodes;
	uint32_t n, cap;
	bool too_many; /* RULE_NODES_MAX or RULE_ARENA_MAX */
	bool no_memory;
	bool no_name; /* the registry of names is full, or the name is none */
	uint32_t at;  /* given to nodes that are made from now on */
};

int query_builder_init(struct query_builder *b, enum rule_dialect dialect);
void query_builder_free(struct query_builder *b);
#define auto_builder __attribute__((cleanup(query_builder_free)))

ir_ref build_null(struct query_builder *b);
ir_ref build_bool(struct query_builder *b, bool v);
ir_ref build_int(struct query_builder *b, int64_t v);
ir_ref build_float(struct query_builder *b, double v);
ir_ref build_str(struct query_builder *b, const char *p, size_t n);
ir_ref build_field(struct query_builder *b, const char *name, size_t n, enum rule_type type, unsigned flags);
/* Any other op; type and all else are left to the caller, through build_at(). */
ir_ref build_node(struct query_builder *b, enum ir_op op, unsigned flags, const ir_ref *kids, size_t n);
ir_ref build_call(struct query_builder *b, enum ir_fn fn, unsigned flags, const ir_ref *kids, size_t n);
/* Valid until the next node is made. */
struct ir_node *build_at(struct query_builder *b, ir_ref ref);

/* -E2BIG or -ENOMEM with a trail when something was refused; the builder is empty afterwards in any case. */
int query_build(struct query_builder *b, struct query **ret_query);
