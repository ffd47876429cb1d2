/* SPDX-License-Identifier: Apache-2.0 */
#include "rule/build.h"
#include <stdlib.h>
#include <string.h>
#include "base/err.h"

enum { NODES_FIRST = 64 };

int query_builder_init(struct query_builder *b, enum rule_dialect dialect)
{
	*b = (struct query_builder) { .at = UINT32_MAX };
	b->q = calloc(1, sizeof(*b->q));
	b->nodes = calloc(NODES_FIRST, sizeof(*b->nodes));
	if (!b->q || !b->nodes) {
		query_builder_free(b);
		return err_new(-ENOMEM, "no memory for a rule");
	}
	b->cap = NODES_FIRST;
	b->n = 1; /* 0 is no node */
	b->q->dialect = dialect;
	arena_init(&b->q->arena, RULE_ARENA_MAX);
	return 0;
}

void query_builder_free(struct query_builder *b)
{
	query_free(b->q);
	free(b->nodes);
	b->q = NULL;
	b->nodes = NULL;
	b->n = b->cap = 0;
}

static struct ir_node *node_new(struct query_builder *b, ir_ref *ret_ref)
{
	struct ir_node *more;

	*ret_ref = 0;
	if (b->too_many || b->no_memory)
		return NULL;
	if (b->n >= RULE_NODES_MAX) {
		b->too_many = true;
		return NULL;
	}
	if (b->n == b->cap) {
		more = realloc(b->nodes, 2 * (size_t)b->cap * sizeof(*more));
		if (!more) {
			b->no_memory = true;
			return NULL;
		}
		b->nodes = more;
		b->cap *= 2;
	}
	*ret_ref = b->n;
	b->nodes[b->n] = (struct ir_node) { .at = b->at };
	return &b->nodes[b->n++];
}

static void refused(struct query_builder *b)
{
	if (b->q->arena.taken >= RULE_ARENA_MAX / 2)
		b->too_many = true;
	else
		b->no_memory = true;
}

ir_ref build_null(struct query_builder *b)
{
	ir_ref ref;
	struct ir_node *n = node_new(b, &ref);

	if (n) {
		n->op = IR_NULL;
		n->type = RULE_NULL;
	}
	return ref;
}

ir_ref build_bool(struct query_builder *b, bool v)
{
	ir_ref ref;
	struct ir_node *n = node_new(b, &ref);

	if (n) {
		n->op = IR_BOOL;
		n->type = RULE_BOOLEAN;
		n->b = v;
	}
	return ref;
}

ir_ref build_int(struct query_builder *b, int64_t v)
{
	ir_ref ref;
	struct ir_node *n = node_new(b, &ref);

	if (n) {
		n->op = IR_INT;
		n->type = RULE_NUMBER;
		n->i = v;
	}
	return ref;
}

ir_ref build_float(struct query_builder *b, double v)
{
	ir_ref ref;
	struct ir_node *n = node_new(b, &ref);

	if (n) {
		n->op = IR_FLOAT;
		n->type = RULE_NUMBER;
		n->f = v;
	}
	return ref;
}

ir_ref build_str(struct query_builder *b, const char *p, size_t size)
{
	const char *copy = arena_str(&b->q->arena, p, size);
	ir_ref ref;
	struct ir_node *n;

	if (!copy) {
		refused(b);
		return 0;
	}
	n = node_new(b, &ref);
	if (n) {
		n->op = IR_STR;
		n->type = RULE_KEYWORD;
		n->str = (struct str) { copy, size };
	}
	return ref;
}

ir_ref build_field(struct query_builder *b, const char *name, size_t size, enum rule_type type, unsigned flags)
{
	field_id id = field_intern(name, size);
	ir_ref ref;
	struct ir_node *n;

	if (id == FIELD_NONE) {
		b->no_name = true;
		return 0;
	}
	n = node_new(b, &ref);
	if (n) {
		n->op = IR_FIELD;
		n->type = (uint8_t)type;
		n->flags = (uint16_t)flags;
		n->field = (struct ir_field) { .id = id, .name = field_name(id), .len = (uint16_t)size, .event = -1 };
	}
	return ref;
}

ir_ref build_node(struct query_builder *b, enum ir_op op, unsigned flags, const ir_ref *kids, size_t size)
{
	ir_ref ref, *copy = NULL;
	struct ir_node *n;

	for (size_t i = 0; i < size; i++)
		if (!kids[i])
			return 0;
	if (size) {
		copy = arena_alloc(&b->q->arena, size * sizeof(*copy));
		if (!copy) {
			refused(b);
			return 0;
		}
		memcpy(copy, kids, size * sizeof(*copy));
	}
	n = node_new(b, &ref);
	if (n) {
		n->op = (uint8_t)op;
		n->flags = (uint16_t)flags;
		n->kid = copy;
		n->n = (uint32_t)size;
	}
	return ref;
}

ir_ref build_call(struct query_builder *b, enum ir_fn fn, unsigned flags, const ir_ref *kids, size_t n)
{
	ir_ref ref = build_node(b, IR_CALL, flags, kids, n);

	if (ref)
		b->nodes[ref].fn = (uint8_t)fn;
	return ref;
}

struct ir_node *build_at(struct query_builder *b, ir_ref ref)
{
	return &b->nodes[ref];
}

/* Kids are made before their parents, so one pass is enough. */
static bool is_too_deep(struct query_builder *b)
{
	auto_free uint16_t *depth = calloc(b->n, sizeof(*depth));

	b->no_memory = !depth;
	for (ir_ref i = 1; depth && i < b->n; i++) {
		for (uint32_t k = 0; k < b->nodes[i].n; k++)
			if (depth[b->nodes[i].kid[k]] > depth[i])
				depth[i] = depth[b->nodes[i].kid[k]];
		if (++depth[i] > IR_DEPTH_MAX)
			return true;
	}
	return false;
}

int query_build(struct query_builder *b, struct query **ret_query)
{
	struct ir_node *nodes = NULL;
	int r = 0;

	if (b->no_name)
		r = err_new(-E2BIG, "a field's name is too long, has too many dots, or is one too many");
	else if (b->too_many)
		r = err_new(-E2BIG, "a rule of more than %d parts", RULE_NODES_MAX);
	else if (!b->no_memory && is_too_deep(b))
		r = err_new(-E2BIG, "nodes within each other more than %d deep", IR_DEPTH_MAX);
	else if (b->no_memory || !(nodes = arena_alloc(&b->q->arena, b->n * sizeof(*nodes))))
		r = err_new(-ENOMEM, "no memory for a rule");
	if (!r) {
		memcpy(nodes, b->nodes, b->n * sizeof(*nodes));
		b->q->node = nodes;
		b->q->n_nodes = b->n;
		*ret_query = take(b->q);
	}
	query_builder_free(b);
	return r;
}
