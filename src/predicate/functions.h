/* SPDX-License-Identifier: Apache-2.0 */
/*
 * functions - what operators and functions make of values: comparison, arithmetic, text.
 *
 * What is made of null is null. Numbers are exact: an integer is compared with a float as numbers, not as
 * floats; a result that no 64 bits hold is null, like one of a division by zero. A text that reads as a
 * number compares with numbers, one that reads as an address with addresses (a network has its addresses);
 * functions of text take numbers and addresses as they are written. Positions in texts count characters.
 *
 * What is made stands in the arena. When that is full the result is null.
 */
#pragma once
#include "base/arena.h"
#include "predicate/predicate.h"

static inline struct value value_null(void)
{
	return (struct value) { .type = VALUE_NULL };
}

static inline struct value value_of_truth(enum truth t)
{
	return t == TRUTH_NULL ? value_null() : (struct value) { .type = VALUE_BOOL, .b = t == TRUTH_TRUE };
}

/* What a value says as a condition: a number that is not 0, a text that is not empty. */
enum truth value_truth(const struct value *v);
/* Is it null, or a list that has nothing but nulls? */
bool value_is_null(const struct value *v);

static inline enum truth truth_not(enum truth t)
{
	return t == TRUTH_NULL ? TRUTH_NULL : t == TRUTH_TRUE ? TRUTH_FALSE : TRUTH_TRUE;
}

/* Constants of the IR. */
struct value value_of_const(const struct ir_node *n);

/* op: IR_EQ .. IR_GE; as: enum rule_type. */
enum truth value_compare(enum ir_op op, const struct value *a, const struct value *b, enum rule_type as, bool fold);
/* op: IR_ADD .. IR_MOD, and IR_NEG of a alone. */
struct value value_reckon(enum ir_op op, const struct value *a, const struct value *b);
/* The text of a value; false: it has none (null, a list; true and false, unless they are wanted). */
bool value_text(const struct value *v, bool wants_bool, struct arena *arena, struct str *ret_text);
/* All functions but those with a body. */
struct value value_call(enum ir_fn fn, const struct value *args, size_t n, unsigned flags, enum rule_dialect dialect,
			struct arena *arena);
/* Reads an address from a value that is one, or a text. */
bool value_address(const struct value *v, uint8_t ret_bytes[16]);
