/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gen - makes modules of programs (predicate/module.h), and runs them.
 *
 * A module is made from the code of the VM, not from the conditions anew: so leaves that several conditions share,
 * constants that were worked out, and what a set has split off stay what they are.
 *
 * A condition is a block with its truth; the jumps of the VM lead out of an `and` or an `or`, which are blocks within.
 * Some conditions together are a function, which jumps to each that the list has, without a call: chunks of them, as
 * the compiler takes long for long functions. What is known to be never null (most leaves of EQL) is kept as plain true
 * and false.
 *
 * Nothing can hang: there are two loops, each over a list of known length, and both go on by at least one of it each
 * time or trap; all other jumps lead forward. So modules do without fuel, which would take a third of their time.
 *
 * In memory stand a stretch for each field (struct guest_slot), what leaves came to, the list of conditions to be run,
 * and those that were true. All but the list is valid by its epoch, so nothing is cleared for an event. Every address
 * but those of the lists is constant and inside of the memory, which does not grow: it is not checked when it runs.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "predicate/module.h"
#include "predicate/vm/vm.h"
#include "predicate/wasm/emit.h"
#include "predicate/wasm/wasmtime.h"

enum {
	HEAD_WORDS = 5, /* of a text: so many are kept, of 8 bytes */
	HEAD_MAX = 8 * HEAD_WORDS,
	TAIL_MAX = 8,
	FOLDED_MAX = 512, /* bytes of a text that is looked at for whether it is ASCII */
	ITEMS_MAX = 64,   /* of a list whose items are looked at */
	TEXTS_MAX = 256,  /* of a list that the module compares itself */
	INLINE_MAX = 4,   /* literals of a leaf that is written out wherever it is asked; longer ones have a function */
	CHUNK_BITS = 5,
	CHUNK = 1 << CHUNK_BITS, /* conditions of one function */
	PAGE = 1 << 16,
	STACK_MAX = 1 << 18,
};

/* What stands in a field, by one bit each: those from GUEST_INT on are asked of the program. */
enum {
	GUEST_NULL = 0,
	GUEST_TEXT = 1,
	GUEST_INT = 2,
	GUEST_OTHER = 4,
	GUEST_LIST = 8, /* of texts, at least one */
	GUEST_ASK = GUEST_INT | GUEST_OTHER | GUEST_LIST,
};

/*
 * The bytes of a text, in words whose rest is 0. Of all that is no text the first and the last are 0. Of lists the
 * others say which literals no item is: bits of both ends and the length, and of each end.
 */
enum { LIST_WHOLE = 1, LIST_BEGINS, LIST_ENDS };
struct guest_text {
	uint64_t what; /* length << 8 | GUEST_... */
	uint64_t head[HEAD_WORDS];
	uint64_t tail; /* the last 8 bytes, at the upper end */
};
struct guest_slot {
	uint32_t epoch, unused;
	struct guest_text text;
	int64_t number;           /* GUEST_INT */
	struct guest_text folded; /* in small letters; GUEST_OTHER: it is not all ASCII */
};
_Static_assert(sizeof(struct guest_slot) == 128, "stretches are aligned to lines of the cache");

enum { SLOTS_AT = 128 }; /* nothing stands at 0 */

enum { FN_LOAD, FN_LEAF, FN_FIRST };       /* imported, then our own */
enum { LOCAL_EPOCH, LEAF_ACC, LEAF_WHAT }; /* of leaves */
/* Of chunks, after the epoch. */
enum { CHUNK_I = 1, CHUNK_N, CHUNK_OUT, CHUNK_ACC, CHUNK_CONDITION, CHUNK_TRUTH, CHUNK_WHAT, CHUNK_NULLS };
enum { TYPE_LOAD, TYPE_LEAF, TYPE_CHUNK, TYPE_RUN, TYPES };

/* ---- what of a leaf the module can answer -------------------------------------------------------------------- */

enum literal_where { WHOLE, BEGINS, ENDS };
struct literal {
	struct str text;
	enum literal_where where;
};

enum { BY_MODULE = 1, BY_PROGRAM };

struct literals {
	struct literal *items;
	uint32_t n;
};

struct gen {
	const struct program *p;
	struct buf *b;
	struct arena *arena;
	uint32_t leaves_at, list_at, true_at, truth_at, pages;
	uint32_t acc, what; /* locals of the function that is being made */
	uint32_t *uses;     /* of each leaf */
	uint32_t *leaf_fn;  /* of each leaf: its function, or 0 */
	uint32_t *known;    /* slots that were loaded on every way here */
	uint32_t n_known;
	uint8_t *folds;   /* of each slot: it is asked without case */
	uint8_t *answers; /* of each leaf: who does */
};

static bool is_ascii(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] >= 0x80)
			return false;
	return true;
}

static char small(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
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

/* One bit for texts that begin and end alike and are as long. */
static uint64_t list_ends(char first, char last, size_t n)
{
	return 1ULL << ((5U * (unsigned char)first + 11U * (unsigned char)last + n) % 64);
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
	emit_op_of(g->b, OP_LOCAL_GET, LOCAL_EPOCH);
	emit_load(g->b, OP_I32_LOAD, slot_at(slot, offsetof(struct guest_slot, epoch)));
	emit_op(g->b, OP_I32_NE);
	emit_op_of(g->b, OP_IF, EMIT_NOTHING);
	emit_i32(g->b, (int32_t)slot);
	emit_op_of(g->b, OP_CALL, FN_LOAD);
	emit_op(g->b, OP_END);
}

/* What a leaf came to before, if it did. Leaves a block open, of which that is the result. */
static void emit_memo(struct gen *g, uint32_t leaf)
{
	emit_load(g->b, OP_I32_LOAD, g->leaves_at + 4 * leaf);
	emit_op_of(g->b, OP_LOCAL_TEE, g->acc);
	emit_i32(g->b, 2);
	emit_op(g->b, OP_I32_SHR_U);
	emit_op_of(g->b, OP_LOCAL_GET, LOCAL_EPOCH);
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
	emit_op_of(g->b, OP_CALL, FN_LEAF);
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
	emit_op_of(g->b, OP_IF, EMIT_NOTHING);
	/* What is kept is equal: it may still differ behind that. */
	if (n > HEAD_MAX)
		emit_ask(g, leaf);
	else
		emit_i32(g->b, TRUTH_TRUE);
	emit_op_of(g->b, OP_BR, 2);
	emit_op(g->b, OP_END);
	/* Of no other length; but it may begin or end with what follows. */
	if (l->items[l->n - 1].where == WHOLE) {
		emit_i32(g->b, TRUTH_FALSE);
		emit_op_of(g->b, OP_BR, 1);
	}
	emit_op(g->b, OP_END);
	return i;
}

static uint64_t bit_of(char c)
{
	return 1ULL << ((unsigned char)c % 64);
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
	if (g->p->leaves[leaf].truth) {
		emit_i32(g->b, TRUTH_FALSE);
	} else {
		emit_i32(g->b, TRUTH_FALSE);
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

static bool may_be_null(const struct vm_leaf *leaf)
{
	return !leaf->truth && leaf->kind != VM_IS_NULL;
}

static void emit_leaf(struct gen *g, uint32_t leaf)
{
	if (g->leaf_fn[leaf]) {
		emit_op_of(g->b, OP_LOCAL_GET, LOCAL_EPOCH);
		emit_op_of(g->b, OP_CALL, g->leaf_fn[leaf]);
		return;
	}
	emit_leaf_inline(g, leaf);
}

/* Is it worth a function? Long ones that several conditions ask for are, and then what they came to is kept. */
static bool wants_function(struct gen *g, uint32_t leaf)
{
	const struct vm_leaf *of = &g->p->leaves[leaf];
	struct literals l;
	uint32_t slot;

	return g->uses[leaf] > 1 && of->shared && has_literals(of) && literals_of(g, of, &l, &slot) && l.n > INLINE_MAX;
}

/* Locals beside the parameters. */
static void emit_locals(struct gen *g, uint32_t n_i32, uint32_t n_i64, uint32_t n_nulls)
{
	emit_unsigned(g->b, 3);
	emit_unsigned(g->b, n_i32);
	emit_byte(g->b, EMIT_I32);
	emit_unsigned(g->b, n_i64);
	emit_byte(g->b, EMIT_I64);
	emit_unsigned(g->b, n_nulls);
	emit_byte(g->b, EMIT_I32);
}

static void emit_leaf_function(struct gen *g, uint32_t leaf)
{
	size_t body = emit_open(g->b);

	emit_locals(g, 1, 1, 0);
	g->acc = LEAF_ACC;
	g->what = LEAF_WHAT;
	g->n_known = 0;
	emit_memo(g, leaf);
	emit_leaf_inline(g, leaf);
	emit_op_of(g->b, OP_LOCAL_SET, g->acc);
	emit_i32(g->b, (int32_t)(g->leaves_at + 4 * leaf));
	emit_op_of(g->b, OP_LOCAL_GET, LOCAL_EPOCH);
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
			emit_leaf(g, i->arg);
			r = (struct result) { .may_be_null = may_be_null(&g->p->leaves[i->arg]) };
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
	emit_locals(g, CHUNK_WHAT - CHUNK_ACC, 1, n_nulls);
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

	emit_locals(g, 3, 1, 0);
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
	uint32_t first = FN_FIRST + n_leaf_fns;
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
	emit_unsigned(b, FN_FIRST);
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

static int emit_module(struct gen *g, const struct vm_instr *code, const uint32_t *begins)
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
		if (wants_function(g, i))
			g->leaf_fn[i] = FN_FIRST + n_leaf_fns++;
	emit_frame(g, n_leaf_fns, n_chunks);
	section = emit_section(g->b, EMIT_CODE);
	emit_unsigned(g->b, n_leaf_fns + n_chunks + 1);
	for (uint32_t i = 0; i < p->n_leaves; i++)
		if (g->leaf_fn[i])
			emit_leaf_function(g, i);
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

/* ---- running
 * ------------------------------------------------------------------------------------------------------------ */

struct module {
	uint64_t serial; /* no other module has it, now or later */
	const struct program *p;
	const struct wt *wt;
	struct wt_module *code;
	uint8_t *folds;
	uint32_t leaves_at, list_at, true_at, truth_at;
	size_t memory, binary_bytes;
	uint32_t n_used, n_inlined;
	_Atomic uint64_t failures;
	atomic_uint n_spoiled;
	atomic_bool is_disabled;
	pthread_mutex_t lock;
	char why[MODULE_WHY_MAX]; /* under the lock */
};

struct module_instance {
	uint64_t serial;
	const struct module *m; /* of the run that goes on */
	struct predicate_scratch *s;
	const struct wt *wt;
	struct wt_store *store;
	struct wt_context *context;
	struct wt_func run;
	uint8_t *base;
	uint32_t n_wraps;
};

static struct {
	pthread_mutex_t lock;
	const struct wt *wt;
	struct wt_engine *engine;
} machine = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* Under the lock. */
static int machine_make(void)
{
	/* Neither fuel nor epochs: see above. */
	static const struct wt_engine_options options = { .stack_max = STACK_MAX };
	/* A function that does nothing: where memory may not be made executable, we hear of it here. */
	static const char probe[] = "\0asm\1\0\0\0\1\4\1\140\0\0\3\2\1\0\12\4\1\2\0\13";
	struct wt_module *module = NULL;
	struct wt_engine *engine = NULL;
	const struct wt *wt;
	int r = wt_load(&wt);

	if (r == 0)
		r = wt_engine_new(wt, &options, &engine);
	if (r < 0)
		return r;
	if (wt_module_new(wt, engine, probe, sizeof(probe) - 1, &module) < 0) {
		wt->wasm_engine_delete(engine);
		return err_new(-ENOTSUP, "this process cannot compile Wasm: may it make memory executable?");
	}
	wt->wasmtime_module_delete(module);
	machine.wt = wt;
	machine.engine = engine;
	return 0;
}

static int machine_get(void)
{
	int r = 0;

	(void)pthread_mutex_lock(&machine.lock);
	if (!machine.engine)
		r = machine_make();
	(void)pthread_mutex_unlock(&machine.lock);
	return r;
}

void module_free(struct module *m)
{
	if (!m)
		return;
	if (m->code)
		m->wt->wasmtime_module_delete(m->code);
	(void)pthread_mutex_destroy(&m->lock);
	free(m->folds);
	free(m);
}

static int compile(struct module *m, struct gen *g, const struct vm_instr *code, const uint32_t *begins)
{
	int r = emit_module(g, code, begins);

	if (r == 0)
		r = wt_module_new(m->wt, machine.engine, g->b->data, g->b->len, &m->code);
	if (r < 0)
		return r;
	m->leaves_at = g->leaves_at;
	m->list_at = g->list_at;
	m->true_at = g->true_at;
	m->truth_at = g->truth_at;
	m->memory = (size_t)g->pages * PAGE;
	m->binary_bytes = g->b->len;
	for (uint32_t i = 0; i < m->p->n_leaves; i++) {
		m->n_used += g->answers[i] != 0;
		m->n_inlined += g->answers[i] == BY_MODULE;
	}
	return 0;
}

int module_new(const struct program *p, const struct vm_instr *code, const uint32_t *begins, struct module **ret_module)
{
	static _Atomic uint64_t serials;
	auto_buf struct buf b = { .max = MODULE_BINARY_MAX };
	auto_arena struct arena arena;
	struct gen g = { .p = p, .b = &b, .arena = &arena };
	auto_free uint32_t *own = NULL;
	struct module *m;
	int r;

	arena_init(&arena, VM_ARENA_MAX);
	r = machine_get();
	if (r < 0)
		return r;
	m = calloc(1, sizeof(*m));
	if (!m)
		return no_memory();
	(void)pthread_mutex_init(&m->lock, NULL);
	m->serial = atomic_fetch_add(&serials, 1) + 1;
	m->p = p;
	m->wt = machine.wt;
	m->folds = calloc(p->n_slots + 1, 1);
	own = calloc(p->n_entries + 1, sizeof(*own));
	g.folds = m->folds;
	if (!m->folds || !own) {
		r = no_memory();
	} else {
		for (uint32_t i = 0; i < p->n_entries; i++)
			own[i] = p->entries[i].code;
		r = compile(m, &g, begins ? code : p->code, begins ? begins : own);
	}
	if (r < 0) {
		module_free(m);
		return r;
	}
	*ret_module = m;
	return 0;
}

static void copy_text(struct guest_text *to, const char *p, size_t n)
{
	size_t tail = n < TAIL_MAX ? n : TAIL_MAX, head = n < HEAD_MAX ? n : HEAD_MAX;

	memset(to, 0, sizeof(*to));
	to->what = (uint64_t)n << 8 | GUEST_TEXT;
	if (!n)
		return;
	memcpy(to->head, p, head);
	memcpy((char *)&to->tail + TAIL_MAX - tail, p + n - tail, tail);
}

/* Words of ASCII in small letters. */
static uint64_t small_word(uint64_t w)
{
	/* Bit 7 of each byte: it is no less than A; it is more than Z. */
	uint64_t from = w + 0x3f3f3f3f3f3f3f3fULL, behind = w + 0x2525252525252525ULL;

	return w | ((from & ~behind & 0x8080808080808080ULL) >> 2);
}

static bool all_ascii(const char *p, size_t n)
{
	uint64_t any = 0, w;

	if (n > FOLDED_MAX)
		return false;
	for (; n >= 8; p += 8, n -= 8) {
		memcpy(&w, p, 8);
		any |= w;
	}
	for (; n; p++, n--)
		any |= (unsigned char)*p;
	return !(any & 0x8080808080808080ULL);
}

static void copy_folded(struct guest_text *to, const struct guest_text *from, const char *p, size_t n)
{
	memset(to, 0, sizeof(*to));
	if (!all_ascii(p, n)) {
		to->what = GUEST_OTHER;
		return;
	}
	to->what = from->what;
	for (size_t i = 0; i < HEAD_WORDS; i++)
		to->head[i] = small_word(from->head[i]);
	to->tail = small_word(from->tail);
}

static void list_add(struct guest_text *to, char first, char last, size_t n)
{
	to->head[LIST_WHOLE] |= list_ends(first, last, n);
	if (!n)
		return;
	to->head[LIST_BEGINS] |= bit_of(first);
	to->head[LIST_ENDS] |= bit_of(last);
}

static void copy_list(struct guest_slot *g, const struct value *v, bool folds)
{
	memset(&g->text, 0, sizeof(g->text));
	g->text.what = GUEST_OTHER;
	g->folded = g->text;
	if (!v->list.n || v->list.n > ITEMS_MAX)
		return;
	for (size_t i = 0; i < v->list.n; i++)
		if (v->list.items[i].type != VALUE_STR)
			return;
	g->text.what = g->folded.what = GUEST_LIST;
	for (size_t i = 0; i < v->list.n; i++) {
		struct str s = v->list.items[i].s;
		char first = s.n ? s.p[0] : 0, last = s.n ? s.p[s.n - 1] : 0;

		list_add(&g->text, first, last, s.n);
		if (!folds)
			continue;
		list_add(&g->folded, small(first), small(last), s.n);
		if (!all_ascii(s.p, s.n))
			g->folded.what = GUEST_OTHER;
	}
}

static void write_slot(struct module_instance *i, uint32_t slot)
{
	struct guest_slot *g = (struct guest_slot *)(i->base + SLOTS_AT) + slot;
	const struct value *v = vm_load(i->m->p, i->s, slot);

	g->epoch = i->s->epoch;
	if (v->type == VALUE_STR) {
		copy_text(&g->text, v->s.p, v->s.n);
		if (i->m->folds[slot])
			copy_folded(&g->folded, &g->text, v->s.p, v->s.n);
		return;
	}
	if (v->type == VALUE_LIST) {
		copy_list(g, v, i->m->folds[slot]);
		return;
	}
	memset(&g->text, 0, sizeof(g->text));
	if (v->type == VALUE_INT || (v->type == VALUE_UINT && v->u <= INT64_MAX)) {
		g->text.what = GUEST_INT;
		g->number = v->type == VALUE_INT ? v->i : (int64_t)v->u;
	} else if (v->type != VALUE_NULL) {
		g->text.what = GUEST_OTHER;
	}
	g->folded = g->text;
}

static struct wt_trap *refuse(const struct module_instance *i)
{
	static const char message[] = "it asked for what is not there";

	return i->wt->wasmtime_trap_new(message, sizeof(message) - 1);
}

static struct wt_trap *on_load(void *ctx, struct wt_caller *caller, union wt_value *v, size_t n)
{
	struct module_instance *i = ctx;

	(void)caller;
	(void)n;
	if ((uint32_t)v[0].i32 >= i->m->p->n_slots)
		return refuse(i);
	write_slot(i, (uint32_t)v[0].i32);
	return NULL;
}

static struct wt_trap *on_leaf(void *ctx, struct wt_caller *caller, union wt_value *v, size_t n)
{
	struct module_instance *i = ctx;

	(void)caller;
	(void)n;
	if ((uint32_t)v[0].i32 >= i->m->p->n_leaves)
		return refuse(i);
	v[0].i32 = (int32_t)vm_leaf_test(i->m->p, (uint32_t)v[0].i32, i->s);
	return NULL;
}

void module_instance_free(struct module_instance *i)
{
	if (!i)
		return;
	if (i->store)
		i->wt->wasmtime_store_delete(i->store);
	free(i);
}

static int open_instance(struct module *m, struct module_instance *i)
{
	const struct wt_store_limits limits = { .memory = m->memory, .elements = PREDICATE_PROGRAM_MAX };
	const struct wt *wt = m->wt;
	struct wt_linker *linker;
	struct wt_instance instance;
	struct wt_memory memory;
	struct wt_trap *trap = NULL;
	struct wt_error *e;
	int r = wt_store_new(wt, machine.engine, &limits, &i->store);

	if (r < 0)
		return r;
	i->context = wt->wasmtime_store_context(i->store);
	linker = wt->wasmtime_linker_new(machine.engine);
	r = wt_define(wt, linker, "shrike", "load", "i", "", on_load, i);
	if (r == 0)
		r = wt_define(wt, linker, "shrike", "leaf", "i", "i", on_leaf, i);
	if (r == 0) {
		e = wt->wasmtime_linker_instantiate(linker, i->context, m->code, &instance, &trap);
		if (e || trap)
			r = wt_fail(wt, e, trap, "make an instance of a module of conditions");
	}
	wt->wasmtime_linker_delete(linker);
	if (r == 0)
		r = wt_export_func(wt, i->context, &instance, "run", &i->run);
	if (r == 0)
		r = wt_export_memory(wt, i->context, &instance, "memory", &memory);
	if (r < 0)
		return r;
	i->base = wt->wasmtime_memory_data(i->context, &memory);
	return 0;
}

static void failed(struct module *m, const char *why)
{
	(void)pthread_mutex_lock(&m->lock);
	(void)snprintf(m->why, sizeof(m->why), "%s", why);
	(void)pthread_mutex_unlock(&m->lock);
	if (atomic_fetch_add(&m->failures, 1) + 1 >= MODULE_FAILURES_MAX)
		atomic_store(&m->is_disabled, true);
}

static bool make_instance(struct module *m, struct predicate_scratch *s)
{
	struct module_instance *i = calloc(1, sizeof(*i));

	module_instance_free(s->module);
	s->module = NULL;
	if (!i) {
		failed(m, "no memory for an instance");
		return false;
	}
	*i = (struct module_instance) { .serial = m->serial, .wt = m->wt, .s = s, .n_wraps = s->n_wraps };
	if (open_instance(m, i) < 0) {
		failed(m, err_trail());
		module_instance_free(i);
		return false;
	}
	s->module = i;
	return true;
}

bool module_begin(struct module *m, struct predicate_scratch *s)
{
	struct module_instance *i = s->module;

	if (atomic_load_explicit(&m->is_disabled, memory_order_relaxed))
		return false;
	if (!i || i->serial != m->serial) {
		if (!make_instance(m, s))
			return false;
		i = s->module;
	}
	if (i->n_wraps != s->n_wraps) {
		memset(i->base, 0, m->list_at);
		i->n_wraps = s->n_wraps;
	}
	i->m = m;
	s->leaves = (uint32_t *)(i->base + m->leaves_at);
	return true;
}

/* Runs n conditions of the list that stands in its memory. */
static bool run(struct module *m, struct predicate_scratch *s, uint32_t n, uint32_t *ret_n)
{
	struct module_instance *i = s->module;
	union wt_value v[2] = { { .i64 = 0 }, { .i64 = 0 } };
	struct wt_trap *trap = NULL;
	struct wt_error *e;

	v[0].i32 = (int32_t)n;
	v[1].i32 = (int32_t)s->epoch;
	e = m->wt->wasmtime_func_call_unchecked(i->context, &i->run, v, countof(v), &trap);
	if (!e && !trap) {
		*ret_n = (uint32_t)v[0].i32;
		return true;
	}
	(void)wt_fail(m->wt, e, trap, "a module of conditions failed");
	failed(m, err_trail());
	/* What it has left behind in its memory is not looked at any more. */
	s->leaves = s->own_leaves;
	module_instance_free(i);
	s->module = NULL;
	return false;
}

static bool is_ready(const struct module *m, const struct predicate_scratch *s)
{
	return s->module && s->module->serial == m->serial && s->program == m->p;
}

bool module_run(struct module *m, struct predicate_scratch *s, const uint32_t *list, uint32_t n, uint32_t *ret_true,
		uint32_t *ret_n)
{
	static const uint32_t nobody = UINT32_MAX;
	uint32_t n_true;

	if (!is_ready(m, s) || n > m->p->n_entries)
		return false;
	*ret_n = 0;
	if (!n)
		return true;
	memcpy(s->module->base + m->list_at, list, n * sizeof(*list));
	if (atomic_load_explicit(&m->n_spoiled, memory_order_relaxed)) {
		atomic_fetch_sub(&m->n_spoiled, 1);
		memcpy(s->module->base + m->list_at, &nobody, sizeof(nobody));
	}
	if (!run(m, s, n, &n_true))
		return false;
	memcpy(ret_true, s->module->base + m->true_at, n_true * sizeof(*ret_true));
	*ret_n = n_true;
	return true;
}

bool module_test(struct module *m, struct predicate_scratch *s, uint32_t index, enum truth *ret_truth)
{
	uint32_t t;

	if (!is_ready(m, s) || index >= m->p->n_entries)
		return false;
	memcpy(s->module->base + m->list_at, &index, sizeof(index));
	if (!run(m, s, 1, &t))
		return false;
	memcpy(&t, s->module->base + m->truth_at, sizeof(t));
	*ret_truth = (enum truth)t;
	return true;
}

void module_spoil(struct module *m, unsigned n)
{
	atomic_store(&m->n_spoiled, n);
}

void module_stats(struct module *m, struct module_stats *ret_stats)
{
	*ret_stats = (struct module_stats) {
		.failures = m->failures,
		.binary_bytes = m->binary_bytes,
		.memory = m->memory,
		.leaves = m->n_used,
		.inlined = m->n_inlined,
		.is_disabled = m->is_disabled,
	};
	(void)pthread_mutex_lock(&m->lock);
	memcpy(ret_stats->why, m->why, sizeof(ret_stats->why));
	(void)pthread_mutex_unlock(&m->lock);
}
