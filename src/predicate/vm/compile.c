/* SPDX-License-Identifier: Apache-2.0 */
/* compile - from nodes to code: leaves that ask one field about constants, and expressions for the rest. */
#include <pthread.h>
#include <string.h>
#include "base/err.h"
#include "base/hash.h"
#include "base/map.h"
#include "match/fold.h"
#include "predicate/functions.h"
#include "predicate/load.h"
#include "predicate/tree.h"
#include "predicate/vm/vm.h"

/* A growing array of the builder; what it ends as is copied into the program's arena. */
struct vec {
	void *items;
	uint32_t n, cap;
};

struct program_builder {
	struct program *p;
	struct vec entries, slots, leaves, code, expr, any, constants, patterns, likes, blocks;
	struct map slot_map, leaf_map, entry_map;
	uint32_t depth; /* of the stack, while an expression is made */
	const struct ir_node *lists[RULE_VARIABLES_MAX];
	struct arena tree; /* for constants that are worked out */
};

struct slot_item {
	struct vm_slot slot;
	uint32_t index;
};

struct node_item {
	const struct query *q;
	ir_ref ref;
	const char *category;
	uint32_t index;
};

static int no_memory(void)
{
	return err_new(-ENOMEM, "no memory for a program of conditions");
}

static void *push(struct vec *v, const void *item, size_t size)
{
	if (v->n == v->cap) {
		uint32_t cap = v->cap ? 2 * v->cap : 16;
		void *p = realloc(v->items, cap * size);

		if (!p)
			return NULL;
		v->items = p;
		v->cap = cap;
	}
	memcpy((char *)v->items + v->n * size, item, size);
	return (char *)v->items + v->n++ * size;
}

#define vec_at(v, type, i) (((type *)(v)->items) + (i))

static bool slot_is(const void *item, const void *key)
{
	const struct slot_item *s = item;
	const struct vm_slot *k = key;

	return s->slot.id == k->id && s->slot.event == k->event;
}

static bool node_is(const void *item, const void *key)
{
	const struct node_item *a = item, *b = key;

	if ((a->q->dialect == RULE_ENDGAME) != (b->q->dialect == RULE_ENDGAME))
		return false;
	if (!a->category != !b->category || (a->category && strcmp(a->category, b->category) != 0))
		return false;
	if (a->category && (a->q->category_field != b->q->category_field || a->q->fold != b->q->fold))
		return false;
	/* Lineage names subqueries of its own query. */
	return (a->q == b->q && a->ref == b->ref) ||
	       (ir_same(a->q, a->ref, b->q, b->ref) && !predicate_uses_lineage(a->q, a->ref));
}

int program_builder_new(struct program_builder **ret_builder)
{
	AUTO(program_builder) b = calloc(1, sizeof(*b));

	if (!b)
		return no_memory();
	b->p = calloc(1, sizeof(*b->p));
	if (!b->p)
		return no_memory();
	arena_init(&b->p->arena, VM_ARENA_MAX);
	arena_init(&b->tree, PREDICATE_SCRATCH_MAX);
	map_init(&b->slot_map, VM_SLOTS_MAX, slot_is);
	map_init(&b->leaf_map, VM_CODE_MAX, node_is);
	map_init(&b->entry_map, PREDICATE_PROGRAM_MAX, node_is);
	*ret_builder = take(b);
	return 0;
}

void program_builder_free(struct program_builder *b)
{
	if (!b)
		return;
	if (b->p) {
		/* What program_free() looks at is still in the builder. */
		b->p->patterns = b->patterns.items;
		b->p->n_patterns = b->patterns.n;
		b->p->likes = b->likes.items;
		b->p->n_likes = b->likes.n;
		b->p->blocks = b->blocks.items;
		b->p->n_blocks = b->blocks.n;
		program_free(b->p);
	}
	free(b->patterns.items);
	free(b->likes.items);
	free(b->blocks.items);
	free(b->entries.items);
	free(b->slots.items);
	free(b->leaves.items);
	free(b->code.items);
	free(b->expr.items);
	free(b->any.items);
	free(b->constants.items);
	map_free(&b->slot_map);
	map_free(&b->leaf_map);
	map_free(&b->entry_map);
	arena_free(&b->tree);
	free(b);
}

void program_free(struct program *p)
{
	if (!p)
		return;
	for (uint32_t i = 0; i < p->n_patterns; i++)
		regex_free(p->patterns[i]);
	for (uint32_t i = 0; i < p->n_likes; i++)
		wildcards_free(p->likes[i]);
	for (uint32_t i = 0; i < p->n_blocks; i++)
		cidr_set_free(p->blocks[i]);
	arena_free(&p->arena);
	free(p);
}

uint32_t program_count(const struct program *p)
{
	return p->n_entries;
}

size_t program_size(const struct program *p)
{
	return sizeof(*p) + p->arena.taken + p->bytes;
}

/* ---- parts ------------------------------------------------------------------------------------------ */

static int slot_of(struct program_builder *b, field_id id, int event, uint32_t *ret_slot)
{
	struct vm_slot key = { id, event };
	uint64_t hash = hash_2u64(id, (uint64_t)(int64_t)event, 0);
	struct slot_item *item = map_get(&b->slot_map, hash, &key);

	if (!item) {
		item = arena_new(&b->p->arena, struct slot_item);
		if (!item)
			return no_memory();
		*item = (struct slot_item) { key, b->slots.n };
		if (map_put(&b->slot_map, hash, item) < 0)
			return err_new(-E2BIG, "conditions on more than %d fields", VM_SLOTS_MAX);
		if (!push(&b->slots, &key, sizeof(key)))
			return no_memory();
	}
	*ret_slot = item->index;
	return 0;
}

static int constant(struct program_builder *b, const struct value *v, uint32_t *ret_index)
{
	*ret_index = b->constants.n;
	return push(&b->constants, v, sizeof(*v)) ? 0 : no_memory();
}

static int bad_pattern(int e, const struct str *texts, const struct ir_node *n)
{
	return err_wrap(e, "pattern \"%.*s\"%s", (int)(texts[0].n > 100 ? 100 : texts[0].n), texts[0].p,
			n->n > 2 ? " and others" : "");
}

/* Of wildcards *ret_like, of expressions *ret_pattern. */
static int compile_pattern(struct program_builder *b, const struct query *q, const struct ir_node *n,
			   struct regex **ret_pattern, struct wildcards **ret_like)
{
	struct regex_options o = {
		.syntax = n->flags & IR_PERL ? REGEX_PERL : REGEX_LUCENE,
		.fold = n->flags & IR_FOLD,
		.star_only = n->flags & IR_STAR,
		.escape = n->flags & IR_ESCAPE,
		.prefix = n->flags & IR_PREFIX,
		.search = n->flags & IR_SEARCH,
	};
	auto_free struct str *texts = calloc(n->n, sizeof(*texts));
	AUTO(regex) r = NULL;
	AUTO(wildcards) w = NULL;
	int e;

	if (!texts)
		return no_memory();
	for (uint32_t i = 1; i < n->n; i++)
		texts[i - 1] = ir_at(q, n->kid[i])->str;
	if (n->op == IR_LIKE) {
		e = wildcards_compile(texts, n->n - 1, &o, &w);
		if (e < 0)
			return bad_pattern(e, texts, n);
		if (!push(&b->likes, &w, sizeof(struct wildcards *)))
			return no_memory();
		b->p->bytes += wildcards_size(w);
		*ret_like = take(w);
		return 0;
	}
	e = regex_compile(texts, n->n - 1, &o, &r);
	if (e < 0)
		return bad_pattern(e, texts, n);
	if (!push(&b->patterns, &r, sizeof(struct regex *)))
		return no_memory();
	b->p->bytes += regex_size(r);
	*ret_pattern = take(r);
	return 0;
}

static bool all_const(const struct query *q, ir_ref ref)
{
	const struct ir_node *n = ir_at(q, ref);

	if (ir_is_const(n))
		return true;
	if (n->op == IR_FIELD || n->op == IR_VAR || n->op == IR_MEMBER || n->op == IR_LINEAGE || !n->n)
		return false;
	for (uint32_t i = 0; i < n->n; i++)
		if (!all_const(q, n->kid[i]))
			return false;
	return true;
}

/* A value that was worked out, for as long as the program lives. */
static int keep(struct program_builder *b, struct value *v)
{
	if (v->type == VALUE_STR) {
		const char *copy = arena_str(&b->p->arena, v->s.p, v->s.n);

		if (!copy)
			return no_memory();
		v->s.p = copy;
	}
	return 0;
}

static int fold_const(struct program_builder *b, const struct query *q, ir_ref ref, struct value *ret_value)
{
	static const struct event none;
	struct predicate_input in = { .ev = &none };

	arena_reset(&b->tree);
	tree_value(q, ref, &in, &b->tree, ret_value);
	return keep(b, ret_value);
}

/* ---- expressions ------------------------------------------------------------------------------------- */

static int expr(struct program_builder *b, const struct query *q, ir_ref ref);

static int emit(struct program_builder *b, struct vm_expr_op op, int pushes)
{
	b->depth = (uint32_t)((int)b->depth + pushes);
	if (b->depth > b->p->stack)
		b->p->stack = b->depth;
	if (b->depth > VM_STACK_MAX)
		return err_new(-E2BIG, "an expression with more than %d values at once", VM_STACK_MAX);
	return push(&b->expr, &op, sizeof(op)) ? 0 : no_memory();
}

static int emit_const(struct program_builder *b, struct value v)
{
	uint32_t index;
	int r = constant(b, &v, &index);

	return r < 0 ? r : emit(b, (struct vm_expr_op) { .op = X_CONST, .arg = index }, 1);
}

static int emit_load(struct program_builder *b, field_id id, int event)
{
	uint32_t slot;
	int r = slot_of(b, id, event, &slot);

	return r < 0 ? r : emit(b, (struct vm_expr_op) { .op = X_LOAD, .arg = slot }, 1);
}

static int expr_member(struct program_builder *b, const struct query *q, const struct ir_node *n)
{
	int64_t at, var;
	int event, r;
	field_id id = load_member(q, n, b->lists, &event, &at, &var);

	if (!id)
		return emit_const(b, value_null());
	r = emit_load(b, id, event);
	if (r == 0 && var >= 0)
		r = emit(b, (struct vm_expr_op) { .op = X_ITEM_OF, .arg = (uint32_t)var }, 0);
	else if (r == 0 && at >= 0)
		r = emit(b, (struct vm_expr_op) { .op = X_ITEM, .arg = at > UINT32_MAX ? UINT32_MAX : (uint32_t)at },
			 0);
	return r;
}

static int kids(struct program_builder *b, const struct query *q, const struct ir_node *n)
{
	for (uint32_t i = 0; i < n->n; i++) {
		int r = expr(b, q, n->kid[i]);

		if (r < 0)
			return r;
	}
	return 0;
}

/* The kids, and then an op that makes one value of them. */
static int expr_of_kids(struct program_builder *b, const struct query *q, const struct ir_node *n, enum vm_x op)
{
	int r = kids(b, q, n);

	return r < 0 ? r
		     : emit(b, (struct vm_expr_op) { .op = (uint8_t)op, .n = n->n, .node = n, .q = q }, 1 - (int)n->n);
}

static int expr_pattern(struct program_builder *b, const struct query *q, const struct ir_node *n)
{
	struct wildcards *like = NULL;
	struct regex *pattern = NULL;
	int r = expr(b, q, n->kid[0]);

	if (r == 0)
		r = compile_pattern(b, q, n, &pattern, &like);
	if (r == 0 && like)
		return emit(b, (struct vm_expr_op) { .op = X_LIKE, .node = n, .like = like }, 0);
	return r < 0 ? r : emit(b, (struct vm_expr_op) { .op = X_PATTERN, .node = n, .pattern = pattern }, 0);
}

/* The members of the items of variable var that the body asks for. */
static int add_members(struct program_builder *b, const struct query *q, ir_ref ref, uint32_t var)
{
	const struct ir_node *n = ir_at(q, ref);
	int64_t at, of;
	uint32_t slot;
	int event, r;

	if (n->op == IR_MEMBER) {
		field_id id = load_member(q, n, b->lists, &event, &at, &of);

		if (!id || of != var)
			return 0;
		r = slot_of(b, id, event, &slot);
		return r < 0 ? r : push(&b->any, &slot, sizeof(slot)) ? 0 : no_memory();
	}
	for (uint32_t i = 0; i < n->n; i++) {
		r = add_members(b, q, n->kid[i], var);
		if (r < 0)
			return r;
	}
	return 0;
}

static int expr_search(struct program_builder *b, const struct query *q, const struct ir_node *n)
{
	const struct ir_node *before;
	uint32_t at, first;
	int r;

	if (n->var >= RULE_VARIABLES_MAX)
		return emit_const(b, value_null());
	r = expr(b, q, n->kid[0]);
	if (r < 0)
		return r;
	at = b->expr.n;
	first = b->any.n;
	before = b->lists[n->var];
	b->lists[n->var] = ir_at(q, n->kid[0]);
	r = add_members(b, q, n->kid[1], n->var);
	if (r == 0)
		r = emit(b,
			 (struct vm_expr_op) {
				 .op = X_SEARCH, .arg = n->var, .node = n, .n = b->any.n - first, .slots = first },
			 0);
	r = r < 0 ? r : expr(b, q, n->kid[1]);
	b->lists[n->var] = before;
	if (r < 0)
		return r;
	b->depth--;
	vec_at(&b->expr, struct vm_expr_op, at)->skip = b->expr.n - at - 1;
	return 0;
}

static int expr_once(struct program_builder *b, const struct query *q, const struct ir_node *n)
{
	int r;

	switch (n->op) {
	case IR_FIELD:
		return emit_load(b, n->field.id, n->field.event);
	case IR_VALUES:
		return emit_load(b, FIELD_NONE, -1);
	case IR_ITEM:
		r = expr(b, q, n->kid[0]);
		return r < 0 ? r : emit(b, (struct vm_expr_op) { .op = X_ITEM, .arg = (uint32_t)n->i }, 0);
	case IR_MEMBER:
		return expr_member(b, q, n);
	case IR_VAR:
		return (uint64_t)n->i < RULE_VARIABLES_MAX
			       ? emit(b, (struct vm_expr_op) { .op = X_VAR, .arg = (uint32_t)n->i }, 1)
			       : emit_const(b, value_null());
	case IR_AND:
		return expr_of_kids(b, q, n, X_AND);
	case IR_OR:
		return expr_of_kids(b, q, n, X_OR);
	case IR_NOT:
		return expr_of_kids(b, q, n, X_NOT);
	case IR_IS_NULL:
		return expr_of_kids(b, q, n, X_IS_NULL);
	case IR_NEG:
		return expr_of_kids(b, q, n, X_NEG);
	case IR_EQ:
	case IR_NE:
	case IR_LT:
	case IR_LE:
	case IR_GT:
	case IR_GE:
		return expr_of_kids(b, q, n, X_COMPARE);
	case IR_ADD:
	case IR_SUB:
	case IR_MUL:
	case IR_DIV:
	case IR_MOD:
		return expr_of_kids(b, q, n, X_RECKON);
	case IR_IN:
		return expr_of_kids(b, q, n, X_IN);
	case IR_LIKE:
	case IR_REGEX:
		return expr_pattern(b, q, n);
	case IR_CALL:
		if (n->fn == IR_ARRAY_SEARCH || n->fn == IR_ARRAY_COUNT)
			return expr_search(b, q, n);
		return expr_of_kids(b, q, n, X_CALL);
	case IR_LINEAGE:
		return emit(b, (struct vm_expr_op) { .op = X_LINEAGE, .node = n, .q = q }, 1);
	default:
		return emit_const(b, value_of_const(n));
	}
}

static int add_any(struct program_builder *b, const struct query *q, ir_ref ref, uint32_t from)
{
	const struct ir_node *n = ir_at(q, ref);
	uint32_t slot;
	int r;

	if (n->op == IR_FIELD || n->op == IR_VALUES) {
		r = n->op == IR_VALUES ? slot_of(b, FIELD_NONE, -1, &slot)
				       : slot_of(b, n->field.id, n->field.event, &slot);
		if (r < 0)
			return r;
		for (uint32_t i = from; i < b->any.n; i++)
			if (*vec_at(&b->any, uint32_t, i) == slot)
				return 0;
		return push(&b->any, &slot, sizeof(slot)) ? 0 : no_memory();
	}
	for (uint32_t i = 0; i < n->n; i++) {
		r = add_any(b, q, n->kid[i], from);
		if (r < 0)
			return r;
	}
	return 0;
}

static int expr(struct program_builder *b, const struct query *q, ir_ref ref)
{
	const struct ir_node *n = ir_at(q, ref);
	uint32_t at = b->expr.n, from = b->any.n;
	bool any = false;
	int r = 0;

	if (!ir_is_const(n) && all_const(q, ref)) {
		struct value v;

		r = fold_const(b, q, ref, &v);
		return r < 0 ? r : emit_const(b, v);
	}
	if (n->flags & IR_ANY) {
		r = add_any(b, q, ref, from);
		any = b->any.n > from;
		if (r == 0 && any)
			r = emit(b, (struct vm_expr_op) { .op = X_ANY, .arg = from, .n = b->any.n - from }, 0);
	}
	if (r == 0)
		r = expr_once(b, q, n);
	if (r == 0 && any)
		vec_at(&b->expr, struct vm_expr_op, at)->skip = b->expr.n - at - 1;
	if (r == 0 && n->flags & IR_TRUTH)
		r = emit(b, (struct vm_expr_op) { .op = X_TRUTH }, 0);
	return r;
}

static int expr_range(struct program_builder *b, const struct query *q, ir_ref ref, uint32_t *ret_from,
		      uint32_t *ret_to)
{
	int r;

	b->depth = 0;
	*ret_from = b->expr.n;
	r = expr(b, q, ref);
	*ret_to = b->expr.n;
	return r;
}

/* ---- leaves --------------------------------------------------------------------------------------------- */

static void add_first(struct vm_texts *t, struct str s)
{
	char folded[UTF8_MAX];
	const char *p = s.p;

	t->ends |= vm_ends(s);
	if (!s.n)
		return;
	(void)fold_put(fold_code(fold_next(&p, s.p + s.n)), folded);
	if ((unsigned char)folded[0] < 0x80)
		t->first[folded[0] / 64] |= 1ULL << (folded[0] % 64);
}

static int texts_of(struct program_builder *b, const struct query *q, const struct ir_node *n, bool fold,
		    struct vm_texts **ret_texts)
{
	struct vm_texts *t = arena_new(&b->p->arena, struct vm_texts);
	uint32_t n_slots = 16;

	if (!t)
		return no_memory();
	t->n = n->n - 1;
	t->texts = arena_zeroed(&b->p->arena, t->n, sizeof(*t->texts));
	if (!t->texts)
		return no_memory();
	for (uint32_t i = 0; i < t->n; i++) {
		t->texts[i] = ir_at(q, n->kid[i + 1])->str;
		t->longest = t->texts[i].n > t->longest ? t->texts[i].n : t->longest;
		add_first(t, t->texts[i]);
	}
	if (t->n >= VM_HASHED_MIN) {
		while (n_slots < 2 * t->n)
			n_slots *= 2;
		t->slots = arena_zeroed(&b->p->arena, n_slots, sizeof(*t->slots));
		if (!t->slots)
			return no_memory();
		t->mask = n_slots - 1;
	}
	for (uint32_t i = 0; t->mask && i < t->n; i++) {
		struct str s = t->texts[i];
		uint32_t at = (uint32_t)(fold ? fold_hash(s.p, s.n, 0) : hash_bytes(s.p, s.n, 0)) & t->mask;

		while (t->slots[at])
			at = (at + 1) & t->mask;
		t->slots[at] = i + 1;
	}
	*ret_texts = t;
	return 0;
}

static bool kids_are_texts(const struct query *q, const struct ir_node *n)
{
	for (uint32_t i = 1; i < n->n; i++)
		if (ir_at(q, n->kid[i])->op != IR_STR)
			return false;
	return true;
}

static bool kids_are_const(const struct query *q, const struct ir_node *n)
{
	for (uint32_t i = 1; i < n->n; i++)
		if (!ir_is_const(ir_at(q, n->kid[i])))
			return false;
	return true;
}

static int leaf_in(struct program_builder *b, const struct query *q, const struct ir_node *n, struct vm_leaf *leaf)
{
	struct value *items;

	if (kids_are_texts(q, n) && n->as == RULE_UNKNOWN) {
		leaf->kind = VM_IN_TEXTS;
		return texts_of(b, q, n, leaf->fold, &leaf->in_texts);
	}
	leaf->kind = VM_IN;
	items = arena_zeroed(&b->p->arena, n->n, sizeof(*items));
	if (!items)
		return no_memory();
	for (uint32_t i = 1; i < n->n; i++) {
		items[i - 1] = value_of_const(ir_at(q, n->kid[i]));
		leaf->has_null |= items[i - 1].type == VALUE_NULL;
	}
	leaf->values.items = items;
	leaf->values.n = n->n - 1;
	return 0;
}

static int leaf_cidr(struct program_builder *b, const struct query *q, const struct ir_node *n, struct vm_leaf *leaf)
{
	auto_free struct str *texts = calloc(n->n, sizeof(*texts));
	AUTO(cidr_set) set = NULL;
	int r;

	if (!texts)
		return no_memory();
	for (uint32_t i = 1; i < n->n; i++)
		texts[i - 1] = ir_at(q, n->kid[i])->str;
	r = cidr_set_build(texts, n->n - 1, &set);
	if (r < 0)
		return r;
	if (!push(&b->blocks, &set, sizeof(struct cidr_set *)))
		return no_memory();
	leaf->kind = VM_CIDR;
	leaf->blocks = take(set);
	return 0;
}

/* 1: it asks one field about constants, and the leaf does; 0: it needs an expression. */
static int leaf_direct(struct program_builder *b, const struct query *q, const struct ir_node *n, struct vm_leaf *leaf)
{
	const struct ir_node *subject = n->n ? ir_at(q, n->kid[0]) : NULL;
	int r;

	if (!subject || (subject->op != IR_FIELD && subject->op != IR_VALUES) || !kids_are_const(q, n))
		return 0;
	switch (n->op) {
	case IR_EQ:
	case IR_NE:
	case IR_LT:
	case IR_LE:
	case IR_GT:
	case IR_GE:
		leaf->kind = VM_COMPARE;
		leaf->value = value_of_const(ir_at(q, n->kid[1]));
		if (n->op == IR_EQ && leaf->value.type == VALUE_STR && n->as == RULE_UNKNOWN) {
			leaf->kind = VM_IS_TEXT;
			leaf->text = ir_at(q, n->kid[1])->str;
		}
		r = 0;
		break;
	case IR_IN:
		r = leaf_in(b, q, n, leaf);
		break;
	case IR_LIKE:
	case IR_REGEX:
		leaf->kind = n->op == IR_LIKE ? VM_LIKE : VM_PATTERN;
		r = compile_pattern(b, q, n, &leaf->pattern, &leaf->like);
		break;
	case IR_IS_NULL:
		leaf->kind = VM_IS_NULL;
		r = 0;
		break;
	case IR_CALL:
		if (n->fn != IR_CIDR_MATCH || !kids_are_texts(q, n))
			return 0;
		r = leaf_cidr(b, q, n, leaf);
		break;
	default:
		return 0;
	}
	if (r == 0 && subject->op == IR_VALUES)
		r = slot_of(b, FIELD_NONE, -1, &leaf->slot);
	else if (r == 0)
		r = slot_of(b, subject->field.id, subject->field.event, &leaf->slot);
	return r < 0 ? r : 1;
}

static int leaf_of(struct program_builder *b, const struct query *q, ir_ref ref, uint32_t *ret_leaf)
{
	const struct ir_node *n = ir_at(q, ref);
	struct node_item key = { .q = q, .ref = ref }, *item;
	uint64_t hash = ir_hash(q, ref);
	struct vm_leaf leaf = { .op = n->op,
				.as = n->as,
				.any = n->flags & IR_ANY,
				.truth = n->flags & IR_TRUTH,
				.fold = n->flags & IR_FOLD,
				.q = q,
				.ref = ref };
	int r;

	item = map_get(&b->leaf_map, hash, &key);
	if (item) {
		vec_at(&b->leaves, struct vm_leaf, item->index)->shared = true;
		*ret_leaf = item->index;
		return 0;
	}
	r = leaf_direct(b, q, n, &leaf);
	if (r == 0) {
		leaf.kind = VM_EXPR;
		r = expr_range(b, q, ref, &leaf.from, &leaf.to);
	}
	if (r < 0)
		return r;
	item = arena_new(&b->p->arena, struct node_item);
	if (!item)
		return no_memory();
	*item = key;
	item->index = *ret_leaf = b->leaves.n;
	if (map_put(&b->leaf_map, hash, item) < 0 || !push(&b->leaves, &leaf, sizeof(leaf)))
		return no_memory();
	return 0;
}

/* ---- code -------------------------------------------------------------------------------------------------- */

static int code(struct program_builder *b, enum vm_op op, unsigned reg, uint32_t arg)
{
	struct vm_instr i = { .op = (uint8_t)op, .reg = (uint8_t)reg, .arg = arg };

	if (b->code.n == VM_CODE_MAX)
		return err_new(-E2BIG, "conditions of more than %d parts", VM_CODE_MAX);
	return push(&b->code, &i, sizeof(i)) ? 0 : no_memory();
}

/* About how long a condition takes: what is short is asked first. */
static unsigned cost_of(const struct query *q, ir_ref ref)
{
	const struct ir_node *n = ir_at(q, ref);
	const struct ir_node *subject = n->n ? ir_at(q, n->kid[0]) : NULL;
	bool direct = subject && subject->op == IR_FIELD;
	unsigned cost = 0;

	if (subject && subject->op == IR_VALUES)
		return 400;
	switch (n->op) {
	case IR_AND:
	case IR_OR:
	case IR_NOT:
		for (uint32_t i = 0; i < n->n; i++)
			cost += cost_of(q, n->kid[i]);
		return cost;
	case IR_IS_NULL:
	case IR_EQ:
	case IR_NE:
	case IR_LT:
	case IR_LE:
	case IR_GT:
	case IR_GE:
		return direct ? 2 : 40;
	case IR_IN:
		return direct ? 3 : 50;
	case IR_LIKE:
		return direct ? 20 : 60;
	case IR_REGEX:
		return direct ? 40 : 80;
	case IR_LINEAGE:
		return 500;
	default:
		return n->op <= IR_STR ? 0 : 40;
	}
}

struct ordered {
	unsigned cost;
	uint32_t at;
	ir_ref ref;
};

static int by_cost(const void *a, const void *b)
{
	const struct ordered *x = a, *y = b;

	if (x->cost != y->cost)
		return x->cost < y->cost ? -1 : 1;
	return x->at < y->at ? -1 : x->at > y->at;
}

static int condition(struct program_builder *b, const struct query *q, ir_ref ref, unsigned reg);

static int all_or_any(struct program_builder *b, const struct query *q, const struct ir_node *n, unsigned reg)
{
	auto_free struct ordered *order = calloc(n->n, sizeof(*order));
	uint32_t first = b->code.n;
	int r;

	if (!order)
		return no_memory();
	if (reg >= VM_DEPTH_MAX)
		return err_new(-E2BIG, "a condition nested deeper than %d", VM_DEPTH_MAX);
	for (uint32_t i = 0; i < n->n; i++)
		order[i] = (struct ordered) { cost_of(q, n->kid[i]), i, n->kid[i] };
	qsort(order, n->n, sizeof(*order), by_cost);
	r = code(b, VM_BEGIN, reg, n->op == IR_AND ? TRUTH_TRUE : TRUTH_FALSE);
	for (uint32_t i = 0; r == 0 && i < n->n; i++) {
		r = condition(b, q, order[i].ref, reg + 1);
		if (r == 0)
			r = code(b, n->op == IR_AND ? VM_AND : VM_OR, reg, 0);
	}
	if (r == 0)
		r = code(b, VM_END, reg, 0);
	for (uint32_t i = first; r == 0 && i < b->code.n; i++) {
		struct vm_instr *in = vec_at(&b->code, struct vm_instr, i);

		if ((in->op == VM_AND || in->op == VM_OR) && in->reg == reg && !in->target)
			in->target = b->code.n;
	}
	return r;
}

static int condition(struct program_builder *b, const struct query *q, ir_ref ref, unsigned reg)
{
	const struct ir_node *n = ir_at(q, ref);
	struct value v;
	uint32_t leaf = 0;
	int r;

	if (all_const(q, ref)) {
		r = fold_const(b, q, ref, &v);
		return r < 0 ? r : code(b, VM_CONST, 0, value_truth(&v));
	}
	if ((n->op == IR_AND || n->op == IR_OR) && !(n->flags & (IR_TRUTH | IR_ANY)))
		return all_or_any(b, q, n, reg);
	if (n->op == IR_NOT && !(n->flags & (IR_TRUTH | IR_ANY))) {
		r = condition(b, q, n->kid[0], reg);
		return r < 0 ? r : code(b, VM_NOT, 0, 0);
	}
	r = leaf_of(b, q, ref, &leaf);
	return r < 0 ? r : code(b, VM_LEAF, 0, leaf);
}

/* The event must be of a category: a leaf of which there is no node. Found again by its text. */
static int category_leaf(struct program_builder *b, const struct query *q, const char *category, uint32_t *ret_leaf)
{
	struct vm_leaf leaf = { .kind = VM_IS_TEXT, .op = IR_EQ, .any = true, .truth = true, .fold = q->fold, .q = q };
	int r = slot_of(b, q->category_field, -1, &leaf.slot);

	if (r < 0)
		return r;
	leaf.text = (struct str) { category, strlen(category) };
	for (uint32_t i = 0; i < b->leaves.n; i++) {
		struct vm_leaf *l = vec_at(&b->leaves, struct vm_leaf, i);

		if (l->kind == VM_IS_TEXT && !l->ref && l->slot == leaf.slot && l->fold == leaf.fold &&
		    l->text.n == leaf.text.n && !memcmp(l->text.p, leaf.text.p, leaf.text.n)) {
			l->shared = true;
			*ret_leaf = i;
			return 0;
		}
	}
	*ret_leaf = b->leaves.n;
	return push(&b->leaves, &leaf, sizeof(leaf)) ? 0 : no_memory();
}

static int entry_code(struct program_builder *b, const struct query *q, ir_ref ref, const char *category)
{
	uint32_t leaf = 0, jump = 0;
	int r = 0;

	if (category) {
		r = category_leaf(b, q, category, &leaf);
		if (r == 0)
			r = code(b, VM_LEAF, 0, leaf);
		jump = b->code.n;
		if (r == 0)
			r = code(b, VM_AND, 0, 0);
	}
	if (r == 0)
		r = condition(b, q, ref, 1);
	if (r == 0 && category)
		vec_at(&b->code, struct vm_instr, jump)->target = b->code.n;
	return r < 0 ? r : code(b, VM_RETURN, 0, 0);
}

int program_add(struct program_builder *b, const struct query *q, ir_ref ref, const char *category, uint32_t *ret_index)
{
	struct node_item key = { .q = q, .ref = ref, .category = category && *category ? category : NULL }, *item;
	uint64_t hash = ir_hash(q, ref);
	struct vm_entry entry = { .code = b->code.n, .q = q, .ref = ref, .category = key.category };
	int r;

	item = map_get(&b->entry_map, hash, &key);
	if (item) {
		*ret_index = item->index;
		return 0;
	}
	if (b->entries.n == PREDICATE_PROGRAM_MAX)
		return err_new(-E2BIG, "more than %d conditions in one program", PREDICATE_PROGRAM_MAX);
	r = entry_code(b, q, ref, key.category);
	if (r < 0)
		return r;
	/* The same for its value. What is a condition by its kind is asked for as one. */
	if (ir_at(q, ref)->type != RULE_BOOLEAN || ir_at(q, ref)->op == IR_FIELD) {
		r = expr_range(b, q, ref, &entry.from, &entry.to);
		if (r < 0)
			return r;
	}
	item = arena_new(&b->p->arena, struct node_item);
	if (!item)
		return no_memory();
	*item = key;
	item->index = b->entries.n;
	if (map_put(&b->entry_map, hash, item) < 0 || !push(&b->entries, &entry, sizeof(entry)))
		return no_memory();
	*ret_index = item->index;
	return 0;
}

/* ---- the end -------------------------------------------------------------------------------------------------- */

static void *moved(struct program *p, struct vec *v, size_t size, uint32_t *ret_n)
{
	void *to = arena_alloc(&p->arena, (v->n ? v->n : 1) * size);

	if (to && v->n)
		memcpy(to, v->items, v->n * size);
	*ret_n = v->n;
	return to;
}

/* For each kind of record that is known now, the rows of its table that the slots ask for. */
static int find_rows(struct program *p)
{
	while (event_kind_at(p->n_kinds))
		p->n_kinds++;
	p->kinds = arena_zeroed(&p->arena, p->n_kinds + 1, sizeof(*p->kinds));
	p->by_kind = arena_zeroed(&p->arena, (size_t)p->n_kinds * p->n_slots + 1, sizeof(*p->by_kind));
	if (!p->kinds || !p->by_kind)
		return no_memory();
	for (uint32_t k = 0; k < p->n_kinds; k++) {
		p->kinds[k] = event_kind_at(k);
		for (uint32_t i = 0; i < p->n_slots; i++)
			p->by_kind[(size_t)k * p->n_slots + i] = event_kind_field(p->kinds[k], p->slots[i].id);
	}
	return 0;
}

/* Which slot is of a field, for events that tell all that they have. */
static int index_slots(struct program *p)
{
	uint32_t size = 16;

	while (size < 2 * p->n_slots)
		size *= 2;
	p->slot_ids = arena_zeroed(&p->arena, size, sizeof(*p->slot_ids));
	if (!p->slot_ids)
		return no_memory();
	p->slot_mask = size - 1;
	for (uint32_t i = 0; i < p->n_slots; i++)
		if (p->slots[i].id >= p->n_slot_of)
			p->n_slot_of = p->slots[i].id + 1;
	if (p->n_slot_of > VM_SLOT_OF_MAX)
		p->n_slot_of = VM_SLOT_OF_MAX;
	/* A few of them are hashed as quickly, and slots must have numbers that are short enough. */
	if (p->n_slots < VM_ALL_MIN || p->n_slots >= UINT16_MAX)
		p->n_slot_of = 0;
	p->slot_of = arena_zeroed(&p->arena, p->n_slot_of + 1, sizeof(*p->slot_of));
	if (!p->slot_of)
		return no_memory();
	for (uint32_t i = 0; i < p->n_slots; i++) {
		uint32_t at = vm_slot_hash(p->slots[i].id) & p->slot_mask;

		if (p->slots[i].event >= 0 || p->slots[i].id == FIELD_NONE)
			continue;
		if (p->slots[i].id < p->n_slot_of)
			p->slot_of[p->slots[i].id] = (uint16_t)(i + 1);
		while (p->slot_ids[at])
			at = (at + 1) & p->slot_mask;
		p->slot_ids[at] = i + 1;
	}
	return 0;
}

int program_build(struct program_builder *b, struct program **ret_program)
{
	struct program *p = b->p;
	uint32_t n_code, n_expr;
	int r;

	p->entries = moved(p, &b->entries, sizeof(*p->entries), &p->n_entries);
	p->slots = moved(p, &b->slots, sizeof(*p->slots), &p->n_slots);
	p->leaves = moved(p, &b->leaves, sizeof(*p->leaves), &p->n_leaves);
	p->code = moved(p, &b->code, sizeof(*p->code), &n_code);
	p->expr = moved(p, &b->expr, sizeof(*p->expr), &n_expr);
	p->any = moved(p, &b->any, sizeof(*p->any), &p->n_any);
	p->constants = moved(p, &b->constants, sizeof(*p->constants), &p->n_constants);
	p->patterns = moved(p, &b->patterns, sizeof(*p->patterns), &p->n_patterns);
	p->likes = moved(p, &b->likes, sizeof(*p->likes), &p->n_likes);
	p->blocks = moved(p, &b->blocks, sizeof(*p->blocks), &p->n_blocks);
	p->n_code = n_code;
	p->n_expr = n_expr;
	r = p->arena.failed ? no_memory() : find_rows(p);
	if (r == 0)
		r = index_slots(p);
	if (r < 0)
		return r;
	/* They belong to the program now. */
	b->patterns.n = b->likes.n = b->blocks.n = 0;
	b->p = NULL;
	*ret_program = p;
	return 0;
}

int predicate_compile(const struct query *q, ir_ref ref, struct program **ret_program)
{
	AUTO(program_builder) b = NULL;
	uint32_t index;
	int r = program_builder_new(&b);

	if (r == 0)
		r = program_add(b, q, ref, NULL, &index);
	return r < 0 ? r : program_build(b, ret_program);
}

static bool uses(const struct query *q, ir_ref ref, bool lineage)
{
	const struct ir_node *n = ir_at(q, ref);

	if (lineage ? n->op == IR_LINEAGE : n->op == IR_FIELD && n->field.event >= 0)
		return true;
	for (uint32_t i = 0; i < n->n; i++)
		if (uses(q, n->kid[i], lineage))
			return true;
	return false;
}

bool predicate_uses_events(const struct query *q, ir_ref ref)
{
	return uses(q, ref, false);
}

bool predicate_uses_lineage(const struct query *q, ir_ref ref)
{
	return uses(q, ref, true);
}
