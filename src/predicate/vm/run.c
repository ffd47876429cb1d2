/* SPDX-License-Identifier: Apache-2.0 */
/* run - a program over an event. Nothing is allocated here but in the scratch's arena, which keeps its memory. */
#include <string.h>
#include "base/bytes.h"
#include "base/err.h"
#include "base/hash.h"
#include "match/fold.h"
#include "predicate/functions.h"
#include "predicate/load.h"
#include "predicate/module.h"
#include "predicate/vm/vm.h"

enum { EPOCH_MAX = UINT32_MAX >> 2 };

int predicate_scratch_new(struct predicate_scratch **ret_scratch)
{
	struct predicate_scratch *s = calloc(1, sizeof(*s));

	if (!s)
		return err_new(-ENOMEM, "no memory to look at events");
	arena_init(&s->arena, PREDICATE_SCRATCH_MAX);
	*ret_scratch = s;
	return 0;
}

void predicate_scratch_free(struct predicate_scratch *s)
{
	if (!s)
		return;
	free(s->slots);
	free(s->own_leaves);
	free(s->stack);
	free(s->list);
	free(s->chosen);
	gate_cache_free(s->gates);
	module_instance_free(s->module);
	arena_free(&s->arena);
	free(s);
}

static bool grow(void **array, uint32_t *n, uint32_t want, size_t size)
{
	void *p;

	if (*n >= want)
		return true;
	p = realloc(*array, want * size);
	if (!p)
		return false;
	memset((char *)p + *n * size, 0, (want - *n) * size);
	*array = p;
	*n = want;
	return true;
}

static bool fit(const struct program *p, struct predicate_scratch *s)
{
	return grow((void **)&s->slots, &s->n_slots, p->n_slots, sizeof(*s->slots)) &&
	       grow((void **)&s->own_leaves, &s->n_leaves, p->n_leaves, sizeof(*s->leaves)) &&
	       grow((void **)&s->stack, &s->n_stack, p->stack + 1, sizeof(*s->stack)) &&
	       grow((void **)&s->list, &s->n_list, 2 * p->n_entries + 1, sizeof(*s->list)) &&
	       grow((void **)&s->chosen, &s->n_chosen, p->n_entries, sizeof(*s->chosen));
}

/*
 * Where a kind of record stands among those that a program knows. Their order never changes, so a guess that
 * was right once stays right.
 */
static const struct field *const *row_of(const struct program *p, const struct event *ev)
{
	static uint16_t guess[1 << 16];

	if (ev && ev->rec && ev->kind) {
		uint16_t at = __atomic_load_n(&guess[ev->kind->id], __ATOMIC_RELAXED);

		if (at < p->n_kinds && p->kinds[at] == ev->kind)
			return p->by_kind + (size_t)at * p->n_slots;
		for (uint32_t i = 0; i < p->n_kinds; i++)
			if (p->kinds[i] == ev->kind) {
				__atomic_store_n(&guess[ev->kind->id], (uint16_t)i, __ATOMIC_RELAXED);
				return p->by_kind + (size_t)i * p->n_slots;
			}
	}
	return NULL;
}

static uint32_t slot_of(const struct program *p, field_id id)
{
	if (id < p->n_slot_of)
		return p->slot_of[id];
	for (uint32_t at = vm_slot_hash(id) & p->slot_mask; p->slot_ids[at]; at = (at + 1) & p->slot_mask)
		if (p->slots[p->slot_ids[at] - 1].id == id)
			return p->slot_ids[at];
	return 0;
}

static void take_field(void *ctx, field_id id, const struct value *v)
{
	struct predicate_scratch *s = ctx;
	uint32_t slot = slot_of(s->program, id);

	if (!slot)
		return;
	s->slots[slot - 1].v = *v;
	s->slots[slot - 1].epoch = s->epoch;
}

bool program_begin(const struct program *p, const struct predicate_input *in, struct predicate_scratch *s)
{
	/* By size, not by pointer: another program may stand where one was freed. */
	if (s->n_slots < p->n_slots || s->n_leaves < p->n_leaves || s->n_stack <= p->stack ||
	    s->n_list <= 2 * p->n_entries || s->n_chosen < p->n_entries) {
		if (!fit(p, s))
			return false;
	}
	s->program = p;
	s->leaves = s->own_leaves;
	if (++s->epoch >= EPOCH_MAX) {
		s->epoch = 1;
		s->n_wraps++;
		memset(s->slots, 0, s->n_slots * sizeof(*s->slots));
		memset(s->own_leaves, 0, s->n_leaves * sizeof(*s->own_leaves));
		memset(s->chosen, 0, s->n_chosen * sizeof(*s->chosen));
	}
	s->in = in;
	s->row = row_of(p, in->ev);
	arena_reset(&s->arena);
	/* To ask an event for many fields one by one takes longer than to look at all that it has. */
	s->has_all = p->n_slots >= VM_ALL_MIN && in->ev && !in->ev->rec && in->ev->lens;
	if (s->has_all)
		in->ev->lens->each(in->ev->subject, take_field, s);
	return true;
}

/* ---- fields ----------------------------------------------------------------------------------------- */

static void load_slow(const struct program *p, struct predicate_scratch *s, uint32_t slot, struct value *v)
{
	const struct vm_slot *f = &p->slots[slot];
	const struct event *ev = s->in->ev;

	if (f->id == FIELD_NONE) {
		load_values(s->in, &s->room, &s->arena, v);
		return;
	}
	if (s->has_all && f->event < 0) {
		v->type = VALUE_NULL;
		return;
	}
	/* Of another event, of none, or of a kind of record that was not known when the program was made. */
	if (f->event >= 0 || !ev || (ev->rec && !s->row)) {
		load_field(s->in, f->event, f->id, &s->room, &s->arena, v);
		return;
	}
	if (s->row && s->row[slot] && event_field_value(ev->rec, s->row[slot], &s->room, v)) {
		if (v->type == VALUE_LIST || v->type == VALUE_STR)
			load_keep(&s->room, &s->arena, v);
		return;
	}
	if (!ev->lens || !ev->lens->get(ev->subject, f->id, v))
		v->type = VALUE_NULL;
}

static inline struct value *load(const struct program *p, struct predicate_scratch *s, uint32_t slot)
{
	if (s->slots[slot].epoch != s->epoch) {
		load_slow(p, s, slot, &s->slots[slot].v);
		s->slots[slot].epoch = s->epoch;
	}
	return &s->slots[slot].v;
}

const struct value *vm_load_slow(const struct program *p, struct predicate_scratch *s, uint32_t slot)
{
	return load(p, s, slot);
}

/* ---- leaves -------------------------------------------------------------------------------------------- */

static bool same_text(struct str a, struct str b, bool fold)
{
	if (a.n == b.n && bytes_same(a.p, b.p, a.n))
		return true;
	if (!fold || !a.n || !b.n)
		return false;
	/* Most texts differ in their first letter. */
	if ((unsigned char)(*a.p | *b.p) < 0x80 && fold_code((unsigned char)*a.p) != fold_code((unsigned char)*b.p))
		return false;
	return fold_equal(a.p, a.n, b.p, b.n);
}

/* False: none of them is the text, by a glance. What is not ASCII may fold to ASCII. */
static bool may_have(const struct vm_texts *t, struct str s, bool fold)
{
	unsigned char c;

	if (!fold)
		return t->ends & vm_ends(s);
	if (!s.n || (unsigned char)*s.p >= 0x80)
		return true;
	c = (unsigned char)fold_code((unsigned char)*s.p);
	return t->first[c / 64] >> (c % 64) & 1;
}

static bool in_texts(const struct vm_texts *t, struct str s, bool fold)
{
	/* A folded letter may take three times the bytes. */
	if (s.n > (fold ? 3 * t->longest : t->longest) || !may_have(t, s, fold))
		return false;
	if (!t->mask) {
		for (uint32_t i = 0; i < t->n; i++)
			if (same_text(s, t->texts[i], fold))
				return true;
		return false;
	}
	for (uint32_t at = (uint32_t)(fold ? fold_hash(s.p, s.n, 0) : hash_bytes(s.p, s.n, 0)) & t->mask; t->slots[at];
	     at = (at + 1) & t->mask)
		if (same_text(s, t->texts[t->slots[at] - 1], fold))
			return true;
	return false;
}

static enum truth of_bool(bool b)
{
	return b ? TRUTH_TRUE : TRUTH_FALSE;
}

static enum truth text_leaf_slow(const struct vm_leaf *leaf, const struct value *v)
{
	struct value constant = { .type = VALUE_STR };

	if (leaf->kind == VM_IS_TEXT) {
		constant.s = leaf->text;
		return value_compare(IR_EQ, v, &constant, RULE_UNKNOWN, leaf->fold);
	}
	for (uint32_t i = 0; i < leaf->in_texts->n; i++) {
		constant.s = leaf->in_texts->texts[i];
		if (value_compare(IR_EQ, v, &constant, RULE_UNKNOWN, leaf->fold) == TRUTH_TRUE)
			return TRUTH_TRUE;
	}
	return TRUTH_FALSE;
}

static enum truth in_values(const struct vm_leaf *leaf, const struct value *v)
{
	for (uint32_t i = 0; i < leaf->values.n; i++)
		if (value_compare(IR_EQ, v, &leaf->values.items[i], leaf->as, leaf->fold) == TRUTH_TRUE)
			return TRUTH_TRUE;
	return leaf->has_null ? TRUTH_NULL : TRUTH_FALSE;
}

/* Patterns of what is no text, and addresses: by themselves, as they need room on the stack and are asked for rarely.
 */
static enum truth __attribute__((noinline)) leaf_of_other(const struct vm_leaf *leaf, struct predicate_scratch *s,
							  const struct value *v)
{
	uint8_t address[16];
	struct str text;

	if (leaf->kind == VM_CIDR)
		return of_bool(value_address(v, address) && cidr_set_has(leaf->blocks, address));
	if (!value_text(v, false, &s->arena, &text))
		return TRUTH_NULL;
	return of_bool(leaf->kind == VM_LIKE ? wildcards_match(leaf->like, text.p, text.n)
					     : regex_matches(leaf->pattern, text.p, text.n));
}

/* One value, not a list unless the leaf takes lists as they are. */
static enum truth leaf_one(const struct vm_leaf *leaf, struct predicate_scratch *s, const struct value *v)
{
	if (v->type == VALUE_NULL)
		return TRUTH_NULL;
	switch (leaf->kind) {
	case VM_IS_TEXT:
		if (v->type != VALUE_STR)
			return text_leaf_slow(leaf, v);
		return of_bool(same_text(v->s, leaf->text, leaf->fold));
	case VM_IN_TEXTS:
		if (v->type != VALUE_STR)
			return text_leaf_slow(leaf, v);
		return of_bool(in_texts(leaf->in_texts, v->s, leaf->fold));
	case VM_COMPARE:
		return value_compare(leaf->op, v, &leaf->value, leaf->as, leaf->fold);
	case VM_IN:
		return in_values(leaf, v);
	case VM_PATTERN:
		if (v->type != VALUE_STR)
			return leaf_of_other(leaf, s, v);
		return of_bool(regex_matches(leaf->pattern, v->s.p, v->s.n));
	case VM_LIKE:
		if (v->type != VALUE_STR)
			return leaf_of_other(leaf, s, v);
		return of_bool(wildcards_match(leaf->like, v->s.p, v->s.n));
	default:
		return leaf_of_other(leaf, s, v);
	}
}

static struct value *run_expr(const struct program *p, struct predicate_scratch *s, uint32_t from, uint32_t to,
			      struct value *top);

/* Of a field that is not null, or a leaf that wants to know that. */
static enum truth leaf_of_value(const struct vm_leaf *leaf, struct predicate_scratch *s, const struct value *v)
{
	enum truth any = TRUTH_FALSE;

	if (leaf->kind == VM_IS_NULL)
		return of_bool(value_is_null(v));
	if (v->type != VALUE_LIST || !leaf->any)
		return leaf_one(leaf, s, v);
	if (!v->list.n)
		return TRUTH_NULL;
	for (size_t i = 0; i < v->list.n; i++) {
		enum truth t = leaf_one(leaf, s, &v->list.items[i]);

		if (t == TRUTH_TRUE)
			return t;
		if (t == TRUTH_NULL)
			any = TRUTH_NULL;
	}
	return any;
}

static inline __attribute__((always_inline)) enum truth leaf_test(const struct program *p, uint32_t index,
								  struct predicate_scratch *s)
{
	const struct vm_leaf *leaf = &p->leaves[index];
	const struct value *v;
	enum truth t;

	if (leaf->shared && s->leaves[index] >> 2 == s->epoch)
		return s->leaves[index] & 3;
	if (leaf->kind == VM_EXPR) {
		t = value_truth(run_expr(p, s, leaf->from, leaf->to, s->stack) - 1);
	} else {
		v = load(p, s, leaf->slot);
		/* Most fields that are asked for are not there. */
		if (v->type == VALUE_NULL && leaf->kind != VM_IS_NULL)
			return leaf->truth ? TRUTH_FALSE : TRUTH_NULL;
		t = leaf_of_value(leaf, s, v);
	}
	if (t == TRUTH_NULL && leaf->truth)
		t = TRUTH_FALSE;
	if (leaf->shared)
		s->leaves[index] = s->epoch << 2 | t;
	return t;
}

enum truth vm_leaf_test(const struct program *p, uint32_t leaf, struct predicate_scratch *s)
{
	return leaf_test(p, leaf, s);
}

/* ---- code ------------------------------------------------------------------------------------------------ */

enum truth vm_run_code(const struct program *p, const struct vm_instr *code, uint32_t at, struct predicate_scratch *s)
{
	uint8_t reg[VM_DEPTH_MAX + 2];
	uint32_t acc = TRUTH_NULL;

	for (const struct vm_instr *i = code + at;; i++) {
		switch (i->op) {
		case VM_LEAF:
			acc = leaf_test(p, i->arg, s);
			break;
		case VM_CONST:
			acc = i->arg;
			break;
		case VM_NOT:
			acc = truth_not(acc);
			break;
		case VM_BEGIN:
			reg[i->reg] = (uint8_t)i->arg;
			break;
		case VM_AND:
			if (acc == TRUTH_FALSE)
				i = code + i->target - 1;
			else if (acc == TRUTH_NULL)
				reg[i->reg] = TRUTH_NULL;
			break;
		case VM_OR:
			if (acc == TRUTH_TRUE)
				i = code + i->target - 1;
			else if (acc == TRUTH_NULL)
				reg[i->reg] = TRUTH_NULL;
			break;
		case VM_END:
			acc = reg[i->reg];
			break;
		case VM_MUST:
			if (acc != TRUTH_TRUE)
				return acc;
			break;
		default:
			return acc;
		}
	}
}

enum truth program_test(const struct program *p, uint32_t index, struct predicate_scratch *s)
{
	if (index >= p->n_entries || s->program != p)
		return TRUTH_NULL;
	return vm_run_code(p, p->code, p->entries[index].code, s);
}

void program_value(const struct program *p, uint32_t index, struct predicate_scratch *s, struct value *ret_value)
{
	const struct vm_entry *e;

	*ret_value = value_null();
	if (index >= p->n_entries || s->program != p)
		return;
	e = &p->entries[index];
	if (e->to > e->from)
		*ret_value = run_expr(p, s, e->from, e->to, s->stack)[-1];
	else
		*ret_value = value_of_truth(program_test(p, index, s));
}

/* ---- expressions --------------------------------------------------------------------------------------------- */

static enum truth all_or_any(const struct value *v, uint32_t n, enum truth stop)
{
	enum truth all = truth_not(stop);

	for (uint32_t i = 0; i < n; i++) {
		enum truth t = value_truth(&v[i]);

		if (t == stop)
			return stop;
		if (t == TRUTH_NULL)
			all = TRUTH_NULL;
	}
	return all;
}

static struct value item(const struct value *list, uint64_t i)
{
	if (list->type != VALUE_LIST)
		return i ? value_null() : *list;
	return i < list->list.n ? list->list.items[i] : value_null();
}

static enum truth in(const struct ir_node *n, const struct value *v, uint32_t count)
{
	enum truth any = TRUTH_FALSE;

	if (v[0].type == VALUE_NULL)
		return TRUTH_NULL;
	for (uint32_t i = 1; i < count; i++) {
		enum truth t = value_compare(IR_EQ, &v[0], &v[i], n->as, n->flags & IR_FOLD);

		if (t == TRUTH_TRUE)
			return t;
		if (t == TRUTH_NULL)
			any = TRUTH_NULL;
	}
	return any;
}

static enum truth pattern(const struct vm_expr_op *op, struct predicate_scratch *s, const struct value *v)
{
	struct str text;

	if (v->type == VALUE_NULL || !value_text(v, false, &s->arena, &text))
		return TRUTH_NULL;
	return of_bool(op->op == X_LIKE ? wildcards_match(op->like, text.p, text.n)
					: regex_matches(op->pattern, text.p, text.n));
}

static enum truth lineage(const struct vm_expr_op *op, const struct predicate_scratch *s)
{
	return s->in->lineage ? s->in->lineage(s->in->ctx, op->q, op->node, s->in->ev) : TRUTH_NULL;
}

/* A field that holds a list, of which one item stands in its slot. */
struct choice {
	uint32_t slot;
	struct value was, list; /* list: of one null where there was an empty one */
	size_t at;
};

/* The next ones, as an odometer counts; false: that was the last. */
static bool next_choice(struct choice *c, size_t n, struct predicate_scratch *s)
{
	for (size_t i = 0; i < n; i++) {
		bool more = ++c[i].at < c[i].list.list.n;

		if (!more)
			c[i].at = 0;
		s->slots[c[i].slot].v = c[i].list.list.items[c[i].at];
		if (more)
			return true;
	}
	return false;
}

static struct value *run_any(const struct program *p, struct predicate_scratch *s, const struct vm_expr_op *op,
			     struct value *top)
{
	static const struct value nothing; /* an empty list is null */
	uint32_t from = (uint32_t)(op - p->expr) + 1, to = from + op->skip, tries = 0;
	struct choice c[VM_CHOICES_MAX];
	struct value result = value_null();
	bool first = true;
	size_t n = 0;

	for (uint32_t i = 0; i < op->n; i++) {
		struct value *v = load(p, s, p->any[op->arg + i]);

		if (v->type != VALUE_LIST)
			continue;
		if (n == VM_CHOICES_MAX) {
			/* Too many: none of them is taken apart. */
			while (n--)
				s->slots[c[n].slot].v = c[n].was;
			return run_expr(p, s, from, to, top);
		}
		c[n] = (struct choice) { p->any[op->arg + i], *v, *v, 0 };
		if (!v->list.n)
			c[n].list.list.items = &nothing, c[n].list.list.n = 1;
		*v = c[n].list.list.items[0];
		n++;
	}
	if (!n)
		return run_expr(p, s, from, to, top);
	do {
		(void)run_expr(p, s, from, to, top);
		if (value_truth(top) == TRUTH_TRUE) {
			result = *top;
			break;
		}
		if (first || top->type == VALUE_NULL)
			result = *top;
		first = false;
	} while (next_choice(c, n, s) && ++tries < PREDICATE_TRIES_MAX);
	while (n--)
		s->slots[c[n].slot].v = c[n].was;
	*top = result;
	return top + 1;
}

/* Of a list of objects there are only the lists of their members: it is as long as the longest of them. */
static size_t objects(const struct program *p, struct predicate_scratch *s, const struct vm_expr_op *op)
{
	size_t most = 0;

	for (uint32_t i = 0; i < op->n; i++) {
		const struct value *v = load(p, s, p->any[op->slots + i]);
		size_t n = v->type == VALUE_LIST ? v->list.n : v->type != VALUE_NULL;

		most = n > most ? n : most;
	}
	return most;
}

/* The list stands on top; what is made of it takes its place. */
static void run_search(const struct program *p, struct predicate_scratch *s, const struct vm_expr_op *op,
		       struct value *list)
{
	uint32_t from = (uint32_t)(op - p->expr) + 1, to = from + op->skip, var = op->arg;
	const struct value *items = list->type == VALUE_LIST ? list->list.items : list;
	size_t n = list->type == VALUE_LIST ? list->list.n : 1;
	int64_t count = 0;

	if (list->type == VALUE_NULL) {
		n = objects(p, s, op);
		items = NULL;
	}
	if (!n)
		return;
	for (size_t i = 0; i < n; i++) {
		s->vars[var] = items ? items[i] : value_null();
		s->var_at[var] = i;
		(void)run_expr(p, s, from, to, list + 1);
		count += value_truth(list + 1) == TRUTH_TRUE;
	}
	if (op->node->fn == IR_ARRAY_COUNT)
		*list = (struct value) { .type = VALUE_INT, .i = count };
	else
		*list = (struct value) { .type = VALUE_BOOL, .b = count > 0 };
}

/* Returns the new top: one value more than there was. */
static struct value *run_expr(const struct program *p, struct predicate_scratch *s, uint32_t from, uint32_t to,
			      struct value *top)
{
	for (const struct vm_expr_op *op = p->expr + from, *end = p->expr + to; op < end; op++) {
		const struct ir_node *n = op->node;

		switch (op->op) {
		case X_CONST:
			*top++ = p->constants[op->arg];
			break;
		case X_LOAD:
			*top++ = *load(p, s, op->arg);
			break;
		case X_ITEM:
			top[-1] = item(&top[-1], op->arg);
			break;
		case X_ITEM_OF:
			top[-1] = item(&top[-1], s->var_at[op->arg]);
			break;
		case X_VAR:
			*top++ = s->vars[op->arg];
			break;
		case X_AND:
		case X_OR:
			top -= op->n;
			*top = value_of_truth(all_or_any(top, op->n, op->op == X_AND ? TRUTH_FALSE : TRUTH_TRUE));
			top++;
			break;
		case X_NOT:
			top[-1] = value_of_truth(truth_not(value_truth(&top[-1])));
			break;
		case X_IS_NULL:
			top[-1] = (struct value) { .type = VALUE_BOOL, .b = value_is_null(&top[-1]) };
			break;
		case X_NEG:
			top[-1] = value_reckon(IR_NEG, &top[-1], NULL);
			break;
		case X_COMPARE:
			top--;
			top[-1] = value_of_truth(value_compare(n->op, &top[-1], &top[0], n->as, n->flags & IR_FOLD));
			break;
		case X_RECKON:
			top--;
			top[-1] = value_reckon(n->op, &top[-1], &top[0]);
			break;
		case X_IN:
			top -= op->n;
			*top = value_of_truth(in(n, top, op->n));
			top++;
			break;
		case X_PATTERN:
		case X_LIKE:
			top[-1] = value_of_truth(pattern(op, s, &top[-1]));
			break;
		case X_CALL:
			top -= op->n;
			*top = value_call(n->fn, top, op->n, n->flags, op->q->dialect, &s->arena);
			top++;
			break;
		case X_LINEAGE:
			*top++ = value_of_truth(lineage(op, s));
			break;
		case X_TRUTH:
			if (top[-1].type == VALUE_NULL)
				top[-1] = (struct value) { .type = VALUE_BOOL };
			break;
		case X_ANY:
			top = run_any(p, s, op, top);
			op += op->skip;
			break;
		default:
			run_search(p, s, op, &top[-1]);
			op += op->skip;
			break;
		}
	}
	return top;
}
