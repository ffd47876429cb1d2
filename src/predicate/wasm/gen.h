/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gen - makes the binary of a module from a program (predicate/module.h): what its parts, and who runs it, agree on.
 * Not for others.
 *
 * A module is made from the code of the VM, not from the conditions anew: so leaves that several conditions share,
 * constants that were worked out, and what a set has split off stay what they are.
 *
 * In memory stand a stretch for each field (struct guest_slot), what leaves came to, the list of conditions to be run,
 * and those that were true. All but the list is valid by its epoch, so nothing is cleared for an event. Every address
 * but those of the lists is constant and inside of the memory, which does not grow: it is not checked when it runs.
 */
#pragma once
#include "predicate/vm/vm.h"
#include "predicate/wasm/emit.h"

enum {
	HEAD_WORDS = 5, /* of a text: so many are kept, of 8 bytes */
	HEAD_MAX = 8 * HEAD_WORDS,
	TAIL_MAX = 8,
	PAGE = 1 << 16,
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

/* Functions of a module: imported ones, then its own. */
enum { GEN_LOAD, GEN_LEAF, GEN_FIRST };
enum { GEN_EPOCH }; /* the first local of each */

/* Who answers a leaf; 0: nobody asks it. */
enum { BY_MODULE = 1, BY_PROGRAM };

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

static inline char small(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* One bit for texts that begin and end alike and are as long. */
static inline uint64_t list_ends(char first, char last, size_t n)
{
	return 1ULL << ((5U * (unsigned char)first + 11U * (unsigned char)last + n) % 64);
}

static inline uint64_t bit_of(char c)
{
	return 1ULL << ((unsigned char)c % 64);
}

/* gen.c: the module, in g->b. What runs it finds in g where everything stands. */
int gen_module(struct gen *g, const struct vm_instr *code, const uint32_t *begins);

/* gen_leaf.c: a leaf leaves its truth on the stack. */
void gen_leaf(struct gen *g, uint32_t leaf);
bool gen_may_be_null(const struct vm_leaf *leaf);
/* Is it worth a function of its own? Long ones that several conditions ask for are, and then what they came to is kept.
 */
bool gen_wants_function(struct gen *g, uint32_t leaf);
void gen_leaf_function(struct gen *g, uint32_t leaf);
/* Locals beside the parameters: so many of each type, and then more i32. */
void gen_locals(struct gen *g, uint32_t n_i32, uint32_t n_i64, uint32_t n_more);
