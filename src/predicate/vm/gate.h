/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gate - what the conditions of a set ask of the few fields that nearly all of them ask. Private to its folder.
 *
 * Most rules begin alike: the category, type and action of the event, the system it is from. Events have only few
 * combinations of these. So they are asked once for each combination, and remembered: which conditions are still
 * possible, which fields their literals are of, and which of them have no literals. What is left of a condition is
 * its `rest`.
 *
 * A combination is what the fields' texts are among the literals that are asked for: all others are one. What is
 * remembered is bounded, and belongs to the scratch; a new combination takes the place of an old one.
 */
#pragma once
#include "predicate/vm/vm.h"

enum {
	GATE_MIN = 32,    /* conditions of a set: below it is not worth it */
	GATE_FIELDS = 6,  /* fields of the gate */
	GATE_TEXTS = 160, /* different literals of one: more of them make too many combinations */
	GATE_CODES = 23,  /* of a combination: an event with longer lists is asked each time */
	GATE_CACHED = 512,
	GATE_CACHE_MAX = 1 << 20, /* bytes of what one scratch remembers */
};

struct gate_field;

struct gate {
	uint64_t serial; /* no other set has it, now or later */
	uint32_t n_fields;
	struct gate_field *fields;
	struct vm_instr *code;
	/* Of each condition, in `code`. Without a gate of its own it is possible always. */
	struct gate_split {
		uint32_t gate, rest;
		bool has_gate;
	} *splits;
	size_t stride; /* of what is remembered of a combination */
	uint32_t n_cached, words;
};

/* What is known of a combination. */
struct gate_known {
	uint32_t n_codes, n_always, n_index;
	uint16_t codes[GATE_CODES + 1];
	/* Bits; then the numbers of those to be run always, and the fields to be looked up: number << 2 | GATE_WHOLE |
	   GATE_PARTS. */
	uint64_t possible[];
};
enum { GATE_WHOLE = 1, GATE_PARTS = 2 };

static inline bool gate_possible(const struct gate_known *k, uint32_t condition)
{
	return k->possible[condition / 64] >> (condition % 64) & 1;
}

static inline const uint32_t *gate_always(const struct gate *g, const struct gate_known *k)
{
	return (const uint32_t *)(k->possible + g->words);
}

static inline const uint32_t *gate_index(const struct gate *g, const struct gate_known *k)
{
	return gate_always(g, k) + k->n_always;
}

/* Is the slot one of the gate's? */
bool gate_has(const struct gate *g, uint32_t slot);
/* Chooses the fields and splits the conditions. n_fields 0: it is not worth it, and all is as without. */
int gate_build(const struct program *p, struct arena *arena, struct gate *ret_gate);

/* What the set adds for those that are possible. */
struct gate_set {
	const struct program *program;
	const struct gate *gate;
	const uint32_t *always; /* conditions without literals */
	uint32_t n_always;
	/*
	 * Of each field of the index, the conditions that have literals of it: bits, gate->words of each; first of
	 * those that must be the whole text or that it is there, then of those that must be part of it.
	 */
	const uint64_t *asked;
	uint32_t n_index;
};
/* How much is to be remembered: once n_always and n_index of the set are known. */
void gate_measure(struct gate *g, const struct gate_set *set);
/* What is known of the event that was begun; NULL: no memory. */
const struct gate_known *gate_look(const struct gate_set *set, struct predicate_scratch *s);
