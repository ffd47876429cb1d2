/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gen - the conditions of a module, and all that stands around them.
 *
 * A condition is a block with its truth; the jumps of the VM lead out of an `and` or an `or`, which are blocks within.
 * Some conditions together are a function, which jumps to each that the list has, without a call: chunks of them, as
 * the compiler takes long for long functions. What is known to be never null (most leaves of EQL) is kept as plain true
 * and false.
 *
 * Nothing can hang: there are two loops, each over a list of known length, and both go on by at least one of it each
 * time or trap; all other jumps lead forward. So modules do without fuel, which would take a third of their time.
 */
#include "predicate/wasm/gen.h"
#include <string.h>
#include "base/err.h"
#include "predicate/module.h"

enum {
	CHUNK_BITS = 5,
	CHUNK = 1 << CHUNK_BITS, /* conditions of one function */
};
/* Of chunks, after the epoch. */
enum { CHUNK_I = 1, CHUNK_N, CHUNK_OUT, CHUNK_ACC, CHUNK_CONDITION, CHUNK_TRUTH, CHUNK_WHAT, CHUNK_NULLS };
enum { TYPE_LOAD, TYPE_LEAF, TYPE_CHUNK, TYPE_RUN, TYPES };

/* ---- conditions -----------------------------------------------------------------------------------------------------
 */

/* An `and` or `or` that is open. */
struct group {
	uint8_t reg;
	bool init, may_be_null, has_jumped;
	uint32_t n_known; /* slots that are known behind it: those that were before its first jump */
};

/* The result so far: on the stack, or a constant that nobody has needed yet. */
struct result {
	bool is_const, may_be_null;
	int32_t value;
};

static void settle(struct gen *g, struct result *r)
{
	if (r->is_const)
		emit_i32(g->b, r->value);
	r->is_const = false;
}

static void emit_not(struct gen *g, struct result *r)
{
	if (r->is_const) {
		r->value = r->value == TRUTH_NULL ? TRUTH_NULL : !r->value;
		return;
	}
	if (!r->may_be_null) {
		emit_op(g->b, OP_I32_EQZ);
		return;
	}
	emit_op_of(g->b, OP_LOCAL_TEE, g->acc);
	emit_i32(g->b, 1);
	emit_op(g->b, OP_I32_XOR);
	emit_i32(g->b, TRUTH_NULL);
	emit_op_of(g->b, OP_LOCAL_GET, g->acc);
	emit_i32(g->b, TRUTH_NULL);
	emit_op(g->b, OP_I32_NE);
	emit_op(g->b, OP_SELECT);
}

/* A kid of a group has its result: false ends an `and`, true an `or`. */
static void emit_jump(struct gen *g, struct group *at, struct result *r, bool is_and)
{
	settle(g, r);
	if (!at->has_jumped)
		at->n_known = g->n_known;
	at->has_jumped = true;
	emit_op_of(g->b, OP_LOCAL_SET, g->acc);
	if (r->may_be_null) {
		at->may_be_null = true;
		emit_op_of(g->b, OP_LOCAL_GET, g->acc);
		emit_i32(g->b, TRUTH_NULL);
		emit_op(g->b, OP_I32_AND);
		emit_op_of(g->b, OP_LOCAL_GET, CHUNK_NULLS + at->reg);
		emit_op(g->b, OP_I32_OR);
		emit_op_of(g->b, OP_LOCAL_SET, CHUNK_NULLS + at->reg);
	}
	emit_i32(g->b, is_and ? TRUTH_FALSE : TRUTH_TRUE);
	emit_op_of(g->b, OP_LOCAL_GET, g->acc);
	if (is_and) {
		emit_op(g->b, OP_I32_EQZ);
	} else if (r->may_be_null) {
		emit_i32(g->b, TRUTH_TRUE);
		emit_op(g->b, OP_I32_EQ);
	}
	emit_op_of(g->b, OP_BR_IF, 0);
	emit_op(g->b, OP_DROP);
	/* What it was is not asked again. */
	*r = (struct result) { .is_const = true, .value = is_and };
}

static void emit_group_end(struct gen *g, const struct group *at, struct result *r)
{
	if (at->may_be_null) {
		emit_i32(g->b, TRUTH_NULL);
		emit_i32(g->b, at->init);
		emit_op_of(g->b, OP_LOCAL_GET, CHUNK_NULLS + at->reg);
		emit_op(g->b, OP_SELECT);
	} else {
		emit_i32(g->b, at->init);
	}
	emit_op(g->b, OP_END);
	if (at->has_jumped)
		g->n_known = at->n_known;
	*r = (struct result) { .may_be_null = at->may_be_null };
}

/* Ends the condition with it, if it is not true (or is false): no more is to come. */
static void emit_must(struct gen *g, struct result *r, bool unless_false)
{
	settle(g, r);
	emit_op_of(g->b, OP_LOCAL_TEE, g->acc);
	emit_op_of(g->b, OP_LOCAL_GET, g->acc);
	if (unless_false) {
		emit_op(g->b, OP_I32_EQZ);
	} else {
		emit_i32(g->b, TRUTH_TRUE);
		emit_op(g->b, OP_I32_NE);
	}
	emit_op_of(g->b, OP_BR_IF, 0);
	emit_op(g->b, OP_DROP);
	*r = (struct result) { .is_const = true, .value = TRUTH_TRUE };
}

static uint32_t deepest(const struct vm_instr *i)
{
	uint32_t deep = 0;

	for (; i->op != VM_RETURN; i++)
		if (i->op == VM_BEGIN && i->reg >= deep)
			deep = i->reg + 1;
	return deep;
}

/* As a block with its truth. */
static int emit_condition(struct gen *g, const struct vm_instr *i)
{
	struct result r = { .is_const = true, .value = TRUTH_NULL };
	struct group open[VM_DEPTH_MAX + 2];
	uint32_t n_open = 0;

	g->n_known = 0;
	emit_op_of(g->b, OP_BLOCK, EMIT_I32);
	for (; i->op != VM_RETURN; i++) {
		switch (i->op) {
		case VM_LEAF:
			gen_leaf(g, i->arg);
			r = (struct result) { .may_be_null = gen_may_be_null(&g->p->leaves[i->arg]) };
			break;
		case VM_CONST:
			r = (struct result) { .is_const = true,
					      .value = (int32_t)i->arg,
					      .may_be_null = i->arg == TRUTH_NULL };
			break;
		case VM_NOT:
			emit_not(g, &r);
			break;
		case VM_BEGIN:
			if (n_open == countof(open))
				return err_new(-E2BIG, "a condition nested deeper than %d", VM_DEPTH_MAX);
			open[n_open++] = (struct group) { .reg = i->reg, .init = i->arg == TRUTH_TRUE };
			emit_i32(g->b, 0);
			emit_op_of(g->b, OP_LOCAL_SET, CHUNK_NULLS + i->reg);
			emit_op_of(g->b, OP_BLOCK, EMIT_I32);
			break;
		case VM_AND:
		case VM_OR:
			if (n_open && open[n_open - 1].reg == i->reg)
				emit_jump(g, &open[n_open - 1], &r, i->op == VM_AND);
			else if (!n_open && i->op == VM_AND) /* the category, before all else */
				emit_must(g, &r, true);
			else
				return err_new(-EINVAL, "a condition that jumps out of two groups at once");
			break;
		case VM_END:
			emit_group_end(g, &open[--n_open], &r);
			break;
		default:
			emit_must(g, &r, false);
			break;
		}
	}
	settle(g, &r);
	emit_op(g->b, OP_END);
	return 0;
}

/* list[i], or true[i] */
static void emit_at(struct gen *g, uint32_t at, uint32_t local)
{
	emit_i32(g->b, (int32_t)at);
	emit_op_of(g->b, OP_LOCAL_GET, local);
	emit_i32(g->b, 2);
	emit_op(g->b, OP_I32_SHL);
	emit_op(g->b, OP_I32_ADD);
}

/* The condition that is at the top of the blocks ends here: is it true, it is put down; then the next one of the list.
 */
static void emit_next(struct gen *g)
{
	emit_op_of(g->b, OP_LOCAL_SET, CHUNK_TRUTH);
	emit_at(g, g->true_at, CHUNK_OUT);
	emit_op_of(g->b, OP_LOCAL_GET, CHUNK_CONDITION);
	emit_memory(g->b, OP_I32_STORE);
	emit_op_of(g->b, OP_LOCAL_GET, CHUNK_OUT);
	emit_op_of(g->b, OP_LOCAL_GET, CHUNK_TRUTH);
	emit_i32(g->b, TRUTH_TRUE);
	emit_op(g->b, OP_I32_EQ);
	emit_op(g->b, OP_I32_ADD);
	emit_op_of(g->b, OP_LOCAL_SET, CHUNK_OUT);
	emit_op_of(g->b, OP_LOCAL_GET, CHUNK_I);
	emit_i32(g->b, 1);
	emit_op(g->b, OP_I32_ADD);
	emit_op_of(g->b, OP_LOCAL_SET, CHUNK_I);
	emit_op_of(g->b, OP_BR, 0);
}

/*
 * chunk(epoch, i, n, out): runs the conditions of the list from i on, as long as they are of this chunk. Gives i << 32
 * | out. The truth of the last is left at truth_at.
 */
static int emit_chunk(struct gen *g, const struct vm_instr *code, const uint32_t *begins, uint32_t first, uint32_t n)
{
	size_t body = emit_open(g->b);
	uint32_t n_nulls = 0;
	int r = 0;

	for (uint32_t k = 0; k < n; k++) {
		uint32_t deep = deepest(code + begins[first + k]);

		n_nulls = deep > n_nulls ? deep : n_nulls;
	}
	gen_locals(g, CHUNK_WHAT - CHUNK_ACC, 1, n_nulls);
	g->acc = CHUNK_ACC;
	g->what = CHUNK_WHAT;
	emit_op_of(g->b, OP_BLOCK, EMIT_NOTHING);
	emit_op_of(g->b, OP_LOOP, EMIT_NOTHING);
	emit_op_of(g->b, OP_LOCAL_GET, CHUNK_I);
	emit_op_of(g->b, OP_LOCAL_GET, CHUNK_N);
	emit_op(g->b, OP_I32_EQ);
	emit_op_of(g->b, OP_BR_IF, 1);
	emit_op_of(g->b, OP_BLOCK, EMIT_I32);
	for (uint32_t k = 0; k < n; k++)
		emit_op_of(g->b, OP_BLOCK, EMIT_NOTHING);
	emit_at(g, g->list_at, CHUNK_I);
	emit_memory(g->b, OP_I32_LOAD);
	emit_op_of(g->b, OP_LOCAL_TEE, CHUNK_CONDITION);
	emit_i32(g->b, (int32_t)first);
	emit_op(g->b, OP_I32_SUB);
	emit_op_of(g->b, OP_BR_TABLE, n);
	for (uint32_t k = 0; k < n; k++)
		emit_unsigned(g->b, k);
	emit_unsigned(g->b, n + 2); /* of another chunk */
	for (uint32_t k = 0; r == 0 && k < n; k++) {
		emit_op(g->b, OP_END);
		r = emit_condition(g, code + begins[first + k]);
		emit_op_of(g->b, OP_BR, n - 1 - k);
	}
	emit_op(g->b, OP_END);
	emit_next(g);
	emit_op(g->b, OP_END);
	emit_op(g->b, OP_END);
	emit_i32(g->b, (int32_t)g->truth_at);
	emit_op_of(g->b, OP_LOCAL_GET, CHUNK_TRUTH);
	emit_memory(g->b, OP_I32_STORE);
	emit_op_of(g->b, OP_LOCAL_GET, CHUNK_I);
	emit_op(g->b, OP_I64_EXTEND_I32_U);
	emit_i64(g->b, 32);
	emit_op(g->b, OP_I64_SHL);
	emit_op_of(g->b, OP_LOCAL_GET, CHUNK_OUT);
	emit_op(g->b, OP_I64_EXTEND_I32_U);
	emit_op(g->b, OP_I64_OR);
	emit_op(g->b, OP_END);
	emit_close(g->b, body);
	return r;
}

/* run(n, epoch): the list of n conditions at list_at; those that are true are put at true_at, and their number given.
 */
static void emit_run(struct gen *g)
{
	enum { N, EPOCH, I, OUT, NEXT, AT };
	size_t body = emit_open(g->b);

	gen_locals(g, 3, 1, 0);
	emit_op_of(g->b, OP_BLOCK, EMIT_NOTHING);
	emit_op_of(g->b, OP_LOOP, EMIT_NOTHING);
	emit_op_of(g->b, OP_LOCAL_GET, I);
	emit_op_of(g->b, OP_LOCAL_GET, N);
	emit_op(g->b, OP_I32_EQ);
	emit_op_of(g->b, OP_BR_IF, 1);
	emit_op_of(g->b, OP_LOCAL_GET, EPOCH);
	emit_op_of(g->b, OP_LOCAL_GET, I);
	emit_op_of(g->b, OP_LOCAL_GET, N);
	emit_op_of(g->b, OP_LOCAL_GET, OUT);
	emit_at(g, g->list_at, I);
	emit_memory(g->b, OP_I32_LOAD);
	emit_i32(g->b, CHUNK_BITS);
	emit_op(g->b, OP_I32_SHR_U);
	emit_op_of(g->b, OP_CALL_INDIRECT, TYPE_CHUNK);
	emit_byte(g->b, 0);
	emit_op_of(g->b, OP_LOCAL_TEE, AT);
	emit_op(g->b, OP_I32_WRAP_I64);
	emit_op_of(g->b, OP_LOCAL_SET, OUT);
	emit_op_of(g->b, OP_LOCAL_GET, AT);
	emit_i64(g->b, 32);
	emit_op(g->b, OP_I64_SHR_U);
	emit_op(g->b, OP_I32_WRAP_I64);
	/* A chunk that has run nothing is the wrong one, and would be asked for ever. */
	emit_op_of(g->b, OP_LOCAL_TEE, NEXT);
	emit_op_of(g->b, OP_LOCAL_GET, I);
	emit_op(g->b, OP_I32_EQ);
	emit_op_of(g->b, OP_IF, EMIT_NOTHING);
	emit_op(g->b, OP_UNREACHABLE);
	emit_op(g->b, OP_END);
	emit_op_of(g->b, OP_LOCAL_GET, NEXT);
	emit_op_of(g->b, OP_LOCAL_SET, I);
	emit_op_of(g->b, OP_BR, 0);
	emit_op(g->b, OP_END);
	emit_op(g->b, OP_END);
	emit_op_of(g->b, OP_LOCAL_GET, OUT);
	emit_op(g->b, OP_END);
	emit_close(g->b, body);
}

/* ---- the module
 * ------------------------------------------------------------------------------------------------------ */

static void emit_import(struct buf *b, const char *name, uint32_t type)
{
	emit_name(b, "shrike");
	emit_name(b, name);
	emit_byte(b, EMIT_FUNCTION);
	emit_unsigned(b, type);
}

static void emit_export(struct buf *b, const char *name, enum emit_kind kind, uint32_t index)
{
	emit_name(b, name);
	emit_byte(b, kind);
	emit_unsigned(b, index);
}

/* All that is said before the code. */
static void emit_frame(struct gen *g, uint32_t n_leaf_fns, uint32_t n_chunks)
{
	uint32_t first = GEN_FIRST + n_leaf_fns;
	struct buf *b = g->b;
	size_t s;

	emit_head(b);
	s = emit_section(b, EMIT_TYPES);
	emit_unsigned(b, TYPES);
	emit_signature(b, "i", "");
	emit_signature(b, "i", "i");
	emit_signature(b, "iiii", "l");
	emit_signature(b, "ii", "i");
	emit_close(b, s);
	s = emit_section(b, EMIT_IMPORTS);
	emit_unsigned(b, GEN_FIRST);
	emit_import(b, "load", TYPE_LOAD);
	emit_import(b, "leaf", TYPE_LEAF);
	emit_close(b, s);
	s = emit_section(b, EMIT_FUNCTIONS);
	emit_unsigned(b, n_leaf_fns + n_chunks + 1);
	for (uint32_t i = 0; i < n_leaf_fns; i++)
		emit_unsigned(b, TYPE_LEAF);
	for (uint32_t i = 0; i < n_chunks; i++)
		emit_unsigned(b, TYPE_CHUNK);
	emit_unsigned(b, TYPE_RUN);
	emit_close(b, s);
	s = emit_section(b, EMIT_TABLES);
	emit_unsigned(b, 1);
	emit_byte(b, EMIT_FUNCREF);
	emit_byte(b, 1);
	emit_unsigned(b, n_chunks);
	emit_unsigned(b, n_chunks);
	emit_close(b, s);
	s = emit_section(b, EMIT_MEMORIES);
	emit_unsigned(b, 1);
	emit_byte(b, 1);
	emit_unsigned(b, g->pages);
	emit_unsigned(b, g->pages);
	emit_close(b, s);
	s = emit_section(b, EMIT_EXPORTS);
	emit_unsigned(b, 2);
	emit_export(b, "memory", EMIT_MEMORY, 0);
	emit_export(b, "run", EMIT_FUNCTION, first + n_chunks);
	emit_close(b, s);
	s = emit_section(b, EMIT_ELEMENTS);
	emit_unsigned(b, 1);
	emit_unsigned(b, 0);
	emit_i32(b, 0);
	emit_op(b, OP_END);
	emit_unsigned(b, n_chunks);
	for (uint32_t i = 0; i < n_chunks; i++)
		emit_unsigned(b, first + i);
	emit_close(b, s);
}

static int no_memory(void)
{
	return err_new(-ENOMEM, "no memory for a module of conditions");
}

/* Where everything stands in memory. */
static int lay_out(struct gen *g)
{
	size_t at = SLOTS_AT + (size_t)g->p->n_slots * sizeof(struct guest_slot);

	g->leaves_at = (uint32_t)at;
	at += (size_t)g->p->n_leaves * sizeof(uint32_t);
	g->list_at = (uint32_t)at;
	at += (size_t)g->p->n_entries * sizeof(uint32_t);
	g->true_at = (uint32_t)at;
	/* One more is written than may be counted. */
	at += (size_t)(g->p->n_entries + 1) * sizeof(uint32_t);
	g->truth_at = (uint32_t)at;
	at += sizeof(uint32_t);
	g->pages = (uint32_t)((at + PAGE - 1) / PAGE);
	if (at > MODULE_MEMORY_MAX)
		return err_new(-E2BIG, "conditions on more fields than a module has memory for");
	return 0;
}

int gen_module(struct gen *g, const struct vm_instr *code, const uint32_t *begins)
{
	const struct program *p = g->p;
	uint32_t n_leaf_fns = 0, n_chunks = (p->n_entries + CHUNK - 1) / CHUNK;
	size_t section;
	int r = lay_out(g);

	g->uses = arena_zeroed(g->arena, p->n_leaves + 1, sizeof(*g->uses));
	g->leaf_fn = arena_zeroed(g->arena, p->n_leaves + 1, sizeof(*g->leaf_fn));
	g->answers = arena_zeroed(g->arena, p->n_leaves + 1, 1);
	g->known = arena_zeroed(g->arena, p->n_slots + 1, sizeof(*g->known));
	if (r < 0)
		return r;
	if (!g->uses || !g->leaf_fn || !g->answers || !g->known)
		return no_memory();
	for (uint32_t i = 0; i < p->n_entries; i++)
		for (const struct vm_instr *at = code + begins[i]; at->op != VM_RETURN; at++)
			if (at->op == VM_LEAF)
				g->uses[at->arg]++;
	for (uint32_t i = 0; i < p->n_leaves; i++)
		if (gen_wants_function(g, i))
			g->leaf_fn[i] = GEN_FIRST + n_leaf_fns++;
	emit_frame(g, n_leaf_fns, n_chunks);
	section = emit_section(g->b, EMIT_CODE);
	emit_unsigned(g->b, n_leaf_fns + n_chunks + 1);
	for (uint32_t i = 0; i < p->n_leaves; i++)
		if (g->leaf_fn[i])
			gen_leaf_function(g, i);
	for (uint32_t i = 0; r == 0 && i < p->n_entries; i += CHUNK)
		r = emit_chunk(g, code, begins, i, p->n_entries - i < CHUNK ? p->n_entries - i : CHUNK);
	emit_run(g);
	emit_close(g->b, section);
	if (r == 0 && g->arena->failed)
		r = no_memory();
	if (r == 0 && g->b->failed)
		r = err_new(-E2BIG, "conditions that make a module of more than %d MB", MODULE_BINARY_MAX >> 20);
	return r;
}
