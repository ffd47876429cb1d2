/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree - what an expression comes to, by walking its nodes: the meaning that programs are held against.
 *
 * Nothing is prepared: patterns are compiled each time, lists are walked. For tests, and for what is worked
 * out once (constants).
 */
#pragma once
#include "predicate/predicate.h"

enum truth tree_test(const struct query *q, ir_ref ref, const struct predicate_input *in, struct arena *arena);
void tree_value(const struct query *q, ir_ref ref, const struct predicate_input *in, struct arena *arena,
		struct value *ret_value);
/* Is the event of the category that a program_add() may name? */
bool tree_is_of(const struct query *q, const char *category, const struct event *ev);
