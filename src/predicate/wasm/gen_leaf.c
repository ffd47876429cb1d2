/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gen_leaf - the leaves of a module: those that it answers itself, and how it asks the program for the others.
 *
 * A text is equal to a constant when its type and length are, in one word, and then so many words of its beginning. One
 * that begins or ends with a constant has it in words that are masked. Without case, the same words in small letters
 * are looked at, which are there when all of the text is ASCII; a text that is not may fold to ASCII, and is asked of
 * the program. So are lists, but for those of which no item begins and ends as one of the constants.
 */
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "predicate/wasm/gen.h"

enum {
	TEXTS_MAX = 256, /* of a list that the module compares itself */
	INLINE_MAX = 4,  /* literals of a leaf that is written out wherever it is asked; longer ones have a function */
};
enum { LEAF_ACC = GEN_EPOCH + 1, LEAF_WHAT };

/* ---- what of a leaf the module can answer -------------------------------------------------------------------- */

enum literal_where { WHOLE, BEGINS, ENDS };
struct literal {
	struct str text;
	enum literal_where where;
};

struct literals {
	struct literal *items;
	uint32_t n;
};

static bool is_ascii(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] >= 0x80)
			return false;
	return true;
}

/* Only such literals are found by words whose rest is 0, and folded byte by byte. */
static bool literal_fits(const struct literal *l, bool fold)
{
	if (fold && !is_ascii(l->text))
		return false;
	if (l->where == WHOLE)
		return true;
	return l->text.n && l->text.n <= (l->where == BEGINS ? HEAD_MAX : TAIL_MAX) && is_ascii(l->text) &&
	       !memchr(l->text.p, 0, l->text.n);
}

/* A wildcard that is a text, or one with a star before or behind it. */
static bool literal_of_wildcard(struct str s, unsigned flags, struct literal *ret)
{
	size_t stars = 0;

	for (size_t i = 0; i < s.n; i++) {
		stars += s.p[i] == '*';
		if ((s.p[i] == '?' && !(flags & IR_STAR)) || (s.p[i] == '\\' && flags & IR_ESCAPE))
			return false;
	}
	if (!is_ascii(s) || stars > 1 || (stars && s.p[0] != '*' && s.p[s.n - 1] != '*'))
		return false;
	*ret = (struct literal) { s, WHOLE };
	if (!stars)
		return true;
	ret->where = s.p[0] == '*' ? ENDS : BEGINS;
	ret->text = (struct str) { s.p + (ret->where == ENDS), s.n - 1 };
	return true;
}

static bool slot_of(const struct program *p, field_id id, uint32_t *ret_slot)
{
	for (uint32_t i = 0; i < p->n_slots; i++)
		if (p->slots[i].id == id && p->slots[i].event < 0) {
			*ret_slot = i;
			return true;
		}
	return false;
}

/* The literals of a leaf of which one must be there. False: it is about something else. *ret_slot: of which field. */
static bool literals_of(struct gen *g, const struct vm_leaf *leaf, struct literals *ret, uint32_t *ret_slot)
{
	const struct ir_node *n = leaf->ref ? ir_at(leaf->q, leaf->ref) : NULL;
	uint32_t count = leaf->kind == VM_IN_TEXTS ? leaf->in_texts->n : n && n->n > 1 ? n->n - 1 : 1;
	bool call = leaf->kind == VM_EXPR && n && n->op == IR_CALL && n->n == 2 &&
		    (n->fn == IR_STARTS_WITH || n->fn == IR_ENDS_WITH);

	*ret_slot = leaf->slot;
	if (count > TEXTS_MAX || (leaf->kind != VM_IS_TEXT && leaf->kind != VM_IN_TEXTS && leaf->kind != VM_LIKE &&
				  !call && !(leaf->kind == VM_COMPARE && leaf->op == IR_NE)))
		return false;
	ret->items = arena_alloc(g->arena, count * sizeof(*ret->items));
	ret->n = count;
	if (!ret->items)
		return false;
	for (uint32_t i = 0; i < count; i++) {
		struct literal *l = &ret->items[i];

		*l = (struct literal) { .where = WHOLE };
		if (leaf->kind == VM_IS_TEXT)
			l->text = leaf->text;
		else if (leaf->kind == VM_COMPARE)
			l->text = leaf->value.s;
		else if (leaf->kind == VM_IN_TEXTS)
			l->text = leaf->in_texts->texts[i];
		else if (leaf->kind == VM_LIKE && !literal_of_wildcard(ir_at(leaf->q, n->kid[i + 1])->str, n->flags, l))
			return false;
		if (call) {
			const struct ir_node *field = ir_at(leaf->q, n->kid[0]), *part = ir_at(leaf->q, n->kid[1]);

			if (field->op != IR_FIELD || field->field.event >= 0 || part->op != IR_STR ||
			    !slot_of(g->p, field->field.id, ret_slot))
				return false;
			*l = (struct literal) { part->str, n->fn == IR_STARTS_WITH ? BEGINS : ENDS };
		}
		if (!literal_fits(l, leaf->fold))
			return false;
	}
	return true;
}

static bool is_whole_number(const struct value *v)
{
	return v->type == VALUE_INT || (v->type == VALUE_UINT && v->u <= INT64_MAX);
}

static bool has_literals(const struct vm_leaf *leaf)
{
	return leaf->kind != VM_COMPARE ||
	       (leaf->as == RULE_UNKNOWN && leaf->value.type == VALUE_STR && leaf->op == IR_NE);
}

/* ---- leaves -------------------------------------------------------------------------------------------------------
 */

static uint32_t slot_at(uint32_t slot, size_t member)
{
	return (uint32_t)(SLOTS_AT + slot * sizeof(struct guest_slot) + member);
}

static void ensure_loaded(struct gen *g, uint32_t slot)
{
	for (uint32_t i = 0; i < g->n_known; i++)
		if (g->known[i] == slot)
			return;
	g->known[g->n_known++] = slot;
	emit_op_of(g->b, OP_LOCAL_GET, GEN_EPOCH);
	emit_load(g->b, OP_I32_LOAD, slot_at(slot, offsetof(struct guest_slot, epoch)));
	emit_op(g->b, OP_I32_NE);
	emit_op_of(g->b, OP_IF, EMIT_NOTHING);
	emit_i32(g->b, (int32_t)slot);
	emit_op_of(g->b, OP_CALL, GEN_LOAD);
	emit_op(g->b, OP_END);
}

/* What a leaf came to before, if it did. Leaves a block open, of which that is the result. */
static void emit_memo(struct gen *g, uint32_t leaf)
{
	emit_load(g->b, OP_I32_LOAD, g->leaves_at + 4 * leaf);
	emit_op_of(g->b, OP_LOCAL_TEE, g->acc);
	emit_i32(g->b, 2);
	emit_op(g->b, OP_I32_SHR_U);
	emit_op_of(g->b, OP_LOCAL_GET, GEN_EPOCH);
	emit_op(g->b, OP_I32_EQ);
	emit_op_of(g->b, OP_IF, EMIT_I32);
	emit_op_of(g->b, OP_LOCAL_GET, g->acc);
	emit_i32(g->b, 3);
	emit_op(g->b, OP_I32_AND);
	emit_op(g->b, OP_ELSE);
}

/* The program answers. */
static void emit_ask(struct gen *g, uint32_t leaf)
{
	bool shared = g->p->leaves[leaf].shared;

	if (shared)
		emit_memo(g, leaf);
	emit_i32(g->b, (int32_t)leaf);
	emit_op_of(g->b, OP_CALL, GEN_LEAF);
	if (shared)
		emit_op(g->b, OP_END);
}

static uint64_t word_of(struct str s, size_t at, bool fold)
{
	unsigned char bytes[8] = { 0 };
	uint64_t w;

	for (size_t i = 0; i < 8 && at + i < s.n; i++)
		bytes[i] = (unsigned char)(fold ? small(s.p[at + i]) : s.p[at + i]);
	memcpy(&w, bytes, sizeof(w));
	return w;
}

static uint64_t mask_of(size_t n)
{
	return n >= 8 ? UINT64_MAX : (1ULL << (8 * n)) - 1;
}

/* 0: the word, or as much of it as the mask says, is the same. */
static void emit_word(struct gen *g, uint32_t at, uint64_t word, uint64_t mask)
{
	emit_load(g->b, OP_I64_LOAD, at);
	if (mask != UINT64_MAX) {
		emit_i64(g->b, (int64_t)mask);
		emit_op(g->b, OP_I64_AND);
	}
	emit_i64(g->b, (int64_t)word);
	emit_op(g->b, OP_I64_XOR);
}

/* Are the words that are kept the same? Of whole texts the length is known to be right. */
static void emit_words(struct gen *g, const struct literal *l, uint32_t text_at, bool fold)
{
	size_t n = l->text.n < HEAD_MAX ? l->text.n : HEAD_MAX;

	if (!n)
		emit_i64(g->b, 0);
	for (size_t at = 0; at < n; at += 8) {
		/* A whole text's rest is 0 in both. */
		emit_word(g, (uint32_t)(text_at + offsetof(struct guest_text, head) + at), word_of(l->text, at, fold),
			  l->where == WHOLE ? UINT64_MAX : mask_of(n - at));
		if (at)
			emit_op(g->b, OP_I64_OR);
	}
	emit_op(g->b, OP_I64_EQZ);
}

static void emit_tail(struct gen *g, const struct literal *l, uint32_t text_at, bool fold)
{
	size_t missing = TAIL_MAX - l->text.n;

	emit_word(g, (uint32_t)(text_at + offsetof(struct guest_text, tail)),
		  word_of(l->text, 0, fold) << (8 * missing), ~mask_of(missing));
	emit_op(g->b, OP_I64_EQZ);
}

static int by_length(const void *a, const void *b)
{
	const struct literal *x = a, *y = b;

	if (x->where != y->where)
		return x->where < y->where ? -1 : 1;
	return x->text.n < y->text.n ? -1 : x->text.n > y->text.n;
}

/* Of whole texts of one length, from `from` on, in the block of the leaf. Returns where the next ones begin. */
static uint32_t emit_length(struct gen *g, uint32_t leaf, const struct literals *l, uint32_t from, uint32_t text_at)
{
	size_t n = l->items[from].text.n;
	bool fold = g->p->leaves[leaf].fold;
	uint32_t i = from;

	emit_op_of(g->b, OP_LOCAL_GET, g->what);
	emit_i64(g->b, (int64_t)((uint64_t)n << 8 | GUEST_TEXT));
	emit_op(g->b, OP_I64_EQ);
	emit_op_of(g->b, OP_IF, EMIT_NOTHING);
	for (; i < l->n && l->items[i].where == WHOLE && l->items[i].text.n == n; i++) {
		emit_words(g, &l->items[i], text_at, fold);
		if (i > from)
			emit_op(g->b, OP_I32_OR);
	}
	/* Of no other length; but it may begin or end with what follows. */
	if (n <= HEAD_MAX && l->items[l->n - 1].where == WHOLE) {
		emit_op_of(g->b, OP_BR, 1);
		emit_op(g->b, OP_END);
		return i;
	}
	emit_op_of(g->b, OP_IF, EMIT_NOTHING);
	/* What is kept is equal: it may still differ behind that. */
	if (n > HEAD_MAX)
		emit_ask(g, leaf);
	else
		emit_i32(g->b, TRUTH_TRUE);
	emit_op_of(g->b, OP_BR, 2);
	emit_op(g->b, OP_END);
	if (l->items[l->n - 1].where == WHOLE) {
		emit_i32(g->b, TRUTH_FALSE);
		emit_op_of(g->b, OP_BR, 1);
	}
	emit_op(g->b, OP_END);
	return i;
}

/* What is set in the words of a list, if an item may be one of the literals. */
static void bits_of(const struct literals *l, bool fold, uint64_t ret_bits[HEAD_WORDS])
{
	memset(ret_bits, 0, HEAD_WORDS * sizeof(*ret_bits));
	for (uint32_t i = 0; i < l->n; i++) {
		struct str s = l->items[i].text;
		char ends[2] = { s.n ? s.p[0] : 0, s.n ? s.p[s.n - 1] : 0 };

		if (fold) {
			ends[0] = small(ends[0]);
			ends[1] = small(ends[1]);
		}
		if (l->items[i].where == WHOLE)
			ret_bits[LIST_WHOLE] |= list_ends(ends[0], ends[1], s.n);
		else if (l->items[i].where == BEGINS)
			ret_bits[LIST_BEGINS] |= bit_of(ends[0]);
		else
			ret_bits[LIST_ENDS] |= bit_of(ends[1]);
	}
}

/* Is it no list, or a list of which an item may be one of the literals? */
static void emit_may_have(struct gen *g, const struct literals *l, uint32_t text_at, bool fold)
{
	uint64_t bits[HEAD_WORDS];

	bits_of(l, fold, bits);
	emit_op_of(g->b, OP_LOCAL_GET, g->what);
	emit_i64(g->b, GUEST_LIST);
	emit_op(g->b, OP_I64_AND);
	emit_op(g->b, OP_I64_EQZ);
	for (uint32_t i = LIST_WHOLE; i <= LIST_ENDS; i++) {
		if (!bits[i])
			continue;
		emit_load(g->b, OP_I64_LOAD, (uint32_t)(text_at + offsetof(struct guest_text, head) + 8 * i));
		emit_i64(g->b, (int64_t)bits[i]);
		emit_op(g->b, OP_I64_AND);
		emit_op(g->b, OP_I64_EQZ);
		emit_op(g->b, OP_I32_EQZ);
		emit_op(g->b, OP_I32_OR);
	}
}

/*
 * The end of a leaf's block: of what it is when it is no text (or number) that fits. `l`, which may be NULL: what one
 * of the items of a list is to be.
 */
static void emit_rest(struct gen *g, uint32_t leaf, const struct literals *l, uint32_t text_at)
{
	bool lists = l && g->p->leaves[leaf].any;

	emit_op_of(g->b, OP_LOCAL_GET, g->what);
	emit_op(g->b, OP_I32_WRAP_I64);
	emit_i32(g->b, GUEST_ASK);
	emit_op(g->b, OP_I32_AND);
	emit_op_of(g->b, OP_IF, EMIT_I32);
	if (lists) {
		emit_may_have(g, l, text_at, g->p->leaves[leaf].fold);
		emit_op_of(g->b, OP_IF, EMIT_I32);
	}
	emit_ask(g, leaf);
	if (lists) {
		emit_op(g->b, OP_ELSE);
		emit_i32(g->b, TRUTH_FALSE);
		emit_op(g->b, OP_END);
	}
	emit_op(g->b, OP_ELSE);
	emit_i32(g->b, TRUTH_FALSE);
	if (!g->p->leaves[leaf].truth) {
		emit_i32(g->b, TRUTH_NULL);
		emit_op_of(g->b, OP_LOCAL_GET, g->what);
		emit_op(g->b, OP_I32_WRAP_I64);
		emit_i32(g->b, GUEST_TEXT);
		emit_op(g->b, OP_I32_AND);
		emit_op(g->b, OP_SELECT);
	}
	emit_op(g->b, OP_END);
}

static void emit_what(struct gen *g, uint32_t text_at)
{
	emit_load(g->b, OP_I64_LOAD, (uint32_t)(text_at + offsetof(struct guest_text, what)));
	emit_op_of(g->b, OP_LOCAL_SET, g->what);
}

static void emit_texts(struct gen *g, uint32_t leaf, const struct literals *l, uint32_t slot)
{
	const struct vm_leaf *of = &g->p->leaves[leaf];
	uint32_t text_at =
		slot_at(slot, of->fold ? offsetof(struct guest_slot, folded) : offsetof(struct guest_slot, text));

	qsort(l->items, l->n, sizeof(*l->items), by_length);
	g->folds[slot] |= of->fold;
	emit_op_of(g->b, OP_BLOCK, EMIT_I32);
	ensure_loaded(g, slot);
	emit_what(g, text_at);
	for (uint32_t i = 0; i < l->n;) {
		if (l->items[i].where == WHOLE) {
			i = emit_length(g, leaf, l, i, text_at);
			continue;
		}
		emit_i32(g->b, TRUTH_TRUE);
		if (l->items[i].where == BEGINS)
			emit_words(g, &l->items[i], text_at, of->fold);
		else
			emit_tail(g, &l->items[i], text_at, of->fold);
		emit_op_of(g->b, OP_BR_IF, 0);
		emit_op(g->b, OP_DROP);
		i++;
	}
	emit_rest(g, leaf, l, text_at);
	emit_op(g->b, OP_END);
}

/* Of one text. It is asked as if it were for being equal. */
static void emit_not_text(struct gen *g, uint32_t leaf, const struct literal *l, uint32_t slot)
{
	const struct vm_leaf *of = &g->p->leaves[leaf];
	uint32_t text_at =
		slot_at(slot, of->fold ? offsetof(struct guest_slot, folded) : offsetof(struct guest_slot, text));

	g->folds[slot] |= of->fold;
	emit_op_of(g->b, OP_BLOCK, EMIT_I32);
	ensure_loaded(g, slot);
	emit_what(g, text_at);
	emit_op_of(g->b, OP_LOCAL_GET, g->what);
	emit_i64(g->b, (int64_t)((uint64_t)l->text.n << 8 | GUEST_TEXT));
	emit_op(g->b, OP_I64_EQ);
	emit_op_of(g->b, OP_IF, EMIT_NOTHING);
	emit_words(g, l, text_at, of->fold);
	if (l->text.n > HEAD_MAX) {
		emit_op_of(g->b, OP_IF, EMIT_I32);
		emit_ask(g, leaf);
		emit_op(g->b, OP_ELSE);
		emit_i32(g->b, TRUTH_TRUE);
		emit_op(g->b, OP_END);
	} else {
		emit_op(g->b, OP_I32_EQZ);
	}
	emit_op_of(g->b, OP_BR, 1);
	emit_op(g->b, OP_END);
	/* Another text is not this one. */
	emit_i32(g->b, TRUTH_TRUE);
	emit_op_of(g->b, OP_LOCAL_GET, g->what);
	emit_op(g->b, OP_I32_WRAP_I64);
	emit_i32(g->b, GUEST_TEXT);
	emit_op(g->b, OP_I32_AND);
	emit_op_of(g->b, OP_BR_IF, 0);
	emit_op(g->b, OP_DROP);
	emit_rest(g, leaf, NULL, 0);
	emit_op(g->b, OP_END);
}

static void emit_number(struct gen *g, uint32_t leaf)
{
	static const struct {
		enum ir_op op;
		enum emit_op emit;
	} ops[] = {
		{ IR_EQ, OP_I64_EQ },   { IR_NE, OP_I64_NE },   { IR_LT, OP_I64_LT_S },
		{ IR_LE, OP_I64_LE_S }, { IR_GT, OP_I64_GT_S }, { IR_GE, OP_I64_GE_S },
	};
	const struct vm_leaf *of = &g->p->leaves[leaf];

	emit_op_of(g->b, OP_BLOCK, EMIT_I32);
	ensure_loaded(g, of->slot);
	emit_load(g->b, OP_I64_LOAD, slot_at(of->slot, offsetof(struct guest_slot, text.what)));
	emit_op_of(g->b, OP_LOCAL_TEE, g->what);
	emit_i64(g->b, GUEST_INT);
	emit_op(g->b, OP_I64_EQ);
	emit_op_of(g->b, OP_IF, EMIT_NOTHING);
	emit_load(g->b, OP_I64_LOAD, slot_at(of->slot, offsetof(struct guest_slot, number)));
	emit_i64(g->b, of->value.type == VALUE_INT ? of->value.i : (int64_t)of->value.u);
	for (size_t i = 0; i < countof(ops); i++)
		if (ops[i].op == of->op)
			emit_op(g->b, ops[i].emit);
	emit_op_of(g->b, OP_BR, 1);
	emit_op(g->b, OP_END);
	/* A text may read as a number. */
	emit_op_of(g->b, OP_LOCAL_GET, g->what);
	emit_op(g->b, OP_I64_EQZ);
	emit_op_of(g->b, OP_IF, EMIT_I32);
	emit_i32(g->b, of->truth ? TRUTH_FALSE : TRUTH_NULL);
	emit_op(g->b, OP_ELSE);
	emit_ask(g, leaf);
	emit_op(g->b, OP_END);
	emit_op(g->b, OP_END);
}

static void emit_is_null(struct gen *g, uint32_t leaf)
{
	const struct vm_leaf *of = &g->p->leaves[leaf];

	ensure_loaded(g, of->slot);
	emit_what(g, slot_at(of->slot, offsetof(struct guest_slot, text)));
	emit_op_of(g->b, OP_LOCAL_GET, g->what);
	emit_op(g->b, OP_I32_WRAP_I64);
	emit_i32(g->b, GUEST_OTHER); /* it may be a list of nulls */
	emit_op(g->b, OP_I32_AND);
	emit_op_of(g->b, OP_IF, EMIT_I32);
	emit_ask(g, leaf);
	emit_op(g->b, OP_ELSE);
	emit_op_of(g->b, OP_LOCAL_GET, g->what);
	emit_op(g->b, OP_I64_EQZ);
	emit_op(g->b, OP_END);
}

/* A leaf written out: its truth is on the stack. */
static void emit_leaf_inline(struct gen *g, uint32_t leaf)
{
	const struct vm_leaf *of = &g->p->leaves[leaf];
	struct literals l;
	uint32_t slot;

	g->answers[leaf] = BY_MODULE;
	if (has_literals(of) && literals_of(g, of, &l, &slot)) {
		if (of->kind == VM_COMPARE)
			emit_not_text(g, leaf, l.items, slot);
		else
			emit_texts(g, leaf, &l, slot);
		return;
	}
	if (of->kind == VM_COMPARE && of->as == RULE_UNKNOWN && is_whole_number(&of->value)) {
		emit_number(g, leaf);
		return;
	}
	if (of->kind == VM_IS_NULL) {
		emit_is_null(g, leaf);
		return;
	}
	g->answers[leaf] = BY_PROGRAM;
	emit_ask(g, leaf);
}

bool gen_may_be_null(const struct vm_leaf *leaf)
{
	return !leaf->truth && leaf->kind != VM_IS_NULL;
}

void gen_leaf(struct gen *g, uint32_t leaf)
{
	if (g->leaf_fn[leaf]) {
		emit_op_of(g->b, OP_LOCAL_GET, GEN_EPOCH);
		emit_op_of(g->b, OP_CALL, g->leaf_fn[leaf]);
		return;
	}
	emit_leaf_inline(g, leaf);
}

bool gen_wants_function(struct gen *g, uint32_t leaf)
{
	const struct vm_leaf *of = &g->p->leaves[leaf];
	struct literals l;
	uint32_t slot;

	return g->uses[leaf] > 1 && of->shared && has_literals(of) && literals_of(g, of, &l, &slot) && l.n > INLINE_MAX;
}

void gen_locals(struct gen *g, uint32_t n_i32, uint32_t n_i64, uint32_t n_nulls)
{
	emit_unsigned(g->b, 3);
	emit_unsigned(g->b, n_i32);
	emit_byte(g->b, EMIT_I32);
	emit_unsigned(g->b, n_i64);
	emit_byte(g->b, EMIT_I64);
	emit_unsigned(g->b, n_nulls);
	emit_byte(g->b, EMIT_I32);
}

void gen_leaf_function(struct gen *g, uint32_t leaf)
{
	size_t body = emit_open(g->b);

	gen_locals(g, 1, 1, 0);
	g->acc = LEAF_ACC;
	g->what = LEAF_WHAT;
	g->n_known = 0;
	emit_memo(g, leaf);
	emit_leaf_inline(g, leaf);
	emit_op_of(g->b, OP_LOCAL_SET, g->acc);
	emit_i32(g->b, (int32_t)(g->leaves_at + 4 * leaf));
	emit_op_of(g->b, OP_LOCAL_GET, GEN_EPOCH);
	emit_i32(g->b, 2);
	emit_op(g->b, OP_I32_SHL);
	emit_op_of(g->b, OP_LOCAL_GET, g->acc);
	emit_op(g->b, OP_I32_OR);
	emit_memory(g->b, OP_I32_STORE);
	emit_op_of(g->b, OP_LOCAL_GET, g->acc);
	emit_op(g->b, OP_END);
	emit_op(g->b, OP_END);
	emit_close(g->b, body);
}
