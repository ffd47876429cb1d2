/* SPDX-License-Identifier: Apache-2.0 */
#include "rule/build.h"
#include <stdalign.h>
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

/* ---- packing ------------------------------------------------------------------------------------ */

/* What a query keeps is copied into one piece of just its size: thousands of rules stay in memory for months. */
struct packer {
	char *to; /* NULL: it is counted only */
	size_t n;
};

static void *put(struct packer *k, const void *p, size_t n, size_t align)
{
	char *to = k->to;

	k->n = (k->n + align - 1) & ~(align - 1);
	to = to ? to + k->n : NULL;
	k->n += n;
	return to && n ? memcpy(to, p, n) : to;
}

static char *put_text(struct packer *k, const char *p, size_t n)
{
	char *to;

	if (!p)
		return NULL;
	to = put(k, p, n + 1, 1);
	if (to)
		to[n] = 0;
	return to;
}

#define put_array(k, p, n) ((p) ? put((k), (p), (n) * sizeof(*(p)), alignof(typeof(*(p)))) : NULL)

static void put_stages(struct packer *k, const struct query *q, struct query_stage *stage, uint32_t n, bool texts)
{
	for (uint32_t i = 0; stage && i < n; i++) {
		struct query_stage s = stage[i];

		if (texts && s.category)
			s.category = put_text(k, s.category, strlen(s.category));
		if (texts && s.alias)
			s.alias = put_text(k, s.alias, strlen(s.alias));
		if (!texts)
			s.key = put_array(k, s.key, q->n_keys);
		if (k->to)
			stage[i] = s;
	}
}

static void put_nodes(struct packer *k, struct ir_node *node, uint32_t n, bool texts)
{
	for (uint32_t i = 1; i < n; i++) {
		struct ir_node *to = &node[i];
		struct ir_node made = *to;

		if (texts && made.op == IR_STR)
			made.str.p = put_text(k, made.str.p, made.str.n);
		if (!texts && made.n)
			made.kid = put_array(k, made.kid, made.n);
		if (k->to)
			*to = made;
	}
}

/* First all that has an alignment, then what has none. `q` is changed to what was packed, if there is room. */
static void pack_into(struct packer *k, struct query *q)
{
	struct ir_node *nodes = put_array(k, q->node, q->n_nodes);
	struct query_stage *stages = put_array(k, q->stage, q->n_stages), *until = put_array(k, q->until, 1);
	struct query_pipe *pipes = put_array(k, q->pipe, q->n_pipes);
	struct query *const *subqueries = put_array(k, q->subqueries, q->n_subqueries);

	if (k->to) {
		q->node = nodes;
		q->stage = stages;
		q->until = until;
		q->pipe = pipes;
		q->subqueries = subqueries;
	}
	for (int texts = 0; texts < 2; texts++) {
		char *text;

		put_stages(k, q, q->stage, q->n_stages, texts);
		put_stages(k, q, q->until, 1, texts);
		for (uint32_t i = 0; !texts && i < q->n_pipes; i++) {
			ir_ref *args = put_array(k, q->pipe[i].arg, q->pipe[i].n_args);

			if (k->to)
				q->pipe[i].arg = args;
		}
		put_nodes(k, (struct ir_node *)q->node, q->n_nodes, texts);
		text = texts ? put_text(k, q->text, q->text_len) : NULL;
		if (texts && k->to)
			q->text = text;
	}
}

static bool pack(struct query *q)
{
	struct packer k = { 0 };
	struct arena was = q->arena, packed;

	pack_into(&k, q);
	arena_init(&packed, RULE_ARENA_MAX);
	if (!arena_reserve(&packed, k.n))
		return false;
	k = (struct packer) { .to = arena_alloc(&packed, k.n) };
	pack_into(&k, q);
	q->arena = packed;
	arena_free(&was);
	return true;
}

int query_build(struct query_builder *b, struct query **ret_query)
{
	int r = 0;

	if (b->no_name)
		r = err_new(-E2BIG, "a field's name is too long, has too many dots, or is one too many");
	else if (b->too_many)
		r = err_new(-E2BIG, "a rule of more than %d parts", RULE_NODES_MAX);
	else if (!b->no_memory && is_too_deep(b))
		r = err_new(-E2BIG, "nodes within each other more than %d deep", IR_DEPTH_MAX);
	if (!r) {
		b->q->node = b->nodes;
		b->q->n_nodes = b->n;
		if (b->no_memory || !pack(b->q))
			r = err_new(-ENOMEM, "no memory for a rule");
		else
			*ret_query = take(b->q);
	}
	query_builder_free(b);
	return r;
}
