/* SPDX-License-Identifier: Apache-2.0 */
/* function - the table of functions: names, arguments, what they lower into. */
#pragma once
#include "rule/ir.h"

enum function_form {
	FORM_CALL,     /* IR_CALL */
	FORM_OPERATOR, /* an arithmetic op */
	FORM_PATTERN,  /* IR_LIKE or IR_REGEX over what follows the first argument */
	FORM_ITEMS,    /* (list, variable, body) */
	FORM_SELF,     /* safe(x): x, for null is what an error comes to here anyway */
};

/*
 * Letters of `args`, one an argument, the last one again for those that follow:
 *	s text   n number   i whole number   b boolean   l text or list   a anything   A address or text
 *	P pattern, C network: constants
 */
struct rule_function {
	const char *name;
	const char *args;
	unsigned min, max;
	unsigned endgame_min; /* 0: the same */
	enum function_form form;
	uint8_t op; /* enum ir_op */
	uint8_t fn; /* enum ir_fn */
	uint8_t type;
	bool folds; /* name~() is allowed */
	bool endgame_only;
	uint16_t flags;
};

/* NULL: none. `exact`: letters' case counts. */
const struct rule_function *rule_function_find(const char *name, size_t n, bool exact);
/* NULL after the last. */
const struct rule_function *rule_function_at(size_t i);
