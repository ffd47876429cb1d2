/* SPDX-License-Identifier: Apache-2.0 */
/*
 * predicate - what an expression of a rule comes to for an event: the contract, and what runs it.
 *
 * A program is made of one or many expressions and runs them over one event after the other. What is
 * the same in several of them is worked out once an event. Fields are found when the program is made:
 * of typed records they are loaded from their place, of other events through the event's lens. Nothing
 * is allocated while it runs, but for the scratch, which grows to what the largest value took and stays.
 *
 * A program may be used from any thread, each with a scratch of its own. The queries that it was made
 * of must live as long as it does.
 *
 * predicate/tree.h means the same by walking the nodes one by one: slow, and plain to see that it is right.
 */
#pragma once
#include "base/mem.h"
#include "event/event.h"
#include "rule/ir.h"

enum {
	PREDICATE_PROGRAM_MAX = 1 << 16, /* expressions of one program */
	PREDICATE_SCRATCH_MAX = 8 << 20, /* bytes of values that are made for one event; what comes after is null */
	PREDICATE_TRIES_MAX = 4096,      /* choices of items, where an expression is about several lists */
	PREDICATE_VALUES_MAX = 4096,     /* of IR_VALUES; what comes after is left out */
};

enum truth { TRUTH_FALSE, TRUTH_TRUE, TRUTH_NULL };

/* What is looked at. */
struct predicate_input {
	const struct event *ev;
	/* Of ir_field.event >= 0: the events that other stages took; one that is NULL has no fields. */
	const struct event *const *events;
	size_t n_events;
	/* Answers IR_LINEAGE; NULL: such a condition is null. */
	enum truth (*lineage)(void *ctx, const struct query *q, const struct ir_node *n, const struct event *ev);
	void *ctx;
};

/* ---- scratch ---------------------------------------------------------------------------------- */

struct predicate_scratch;
int predicate_scratch_new(struct predicate_scratch **ret_scratch);
void predicate_scratch_free(struct predicate_scratch *s);
DEFINE_AUTO(predicate_scratch)

/* ---- programs ----------------------------------------------------------------------------------- */

struct program;
struct program_builder;

int program_builder_new(struct program_builder **ret_builder);
void program_builder_free(struct program_builder *b);
DEFINE_AUTO(program_builder)

/*
 * Adds an expression; *ret_index is its number from 0 on, that of an earlier one if both mean the same. With
 * a category, the event must be of it too (q->category_field; "" and NULL: any). -EINVAL: a pattern is none; -E2BIG:
 * beyond a maximum, or a pattern is too complex; -ENOMEM. The trail says which pattern.
 */
int program_add(struct program_builder *b, const struct query *q, ir_ref ref, const char *category,
		uint32_t *ret_index);
/* The builder is empty afterwards in any case. */
int program_build(struct program_builder *b, struct program **ret_program);
void program_free(struct program *p);
DEFINE_AUTO(program)

/* How many expressions; and bytes that it takes, patterns included. */
uint32_t program_count(const struct program *p);
size_t program_size(const struct program *p);

/*
 * Begins with an event: what was worked out before is forgotten. The input and its events must stay until
 * the next begin. False: no memory for the scratch (only the first time that a scratch meets a larger program).
 */
bool program_begin(const struct program *p, const struct predicate_input *in, struct predicate_scratch *s);
/* Only after program_begin() with the same program and scratch, any number of times. */
enum truth program_test(const struct program *p, uint32_t index, struct predicate_scratch *s);
/* The value of an expression, such as a join key. It lives until the next begin. */
void program_value(const struct program *p, uint32_t index, struct predicate_scratch *s, struct value *ret_value);

/* ---- one expression ------------------------------------------------------------------------------- */

/* A program of one. */
int predicate_compile(const struct query *q, ir_ref ref, struct program **ret_program);

static inline enum truth predicate_run(const struct program *p, const struct predicate_input *in,
				       struct predicate_scratch *s)
{
	return program_begin(p, in, s) ? program_test(p, 0, s) : TRUTH_NULL;
}

/* Does the expression ask for other events than the one that is looked at (e0.field, events[1].field)? */
bool predicate_uses_events(const struct query *q, ir_ref ref);
/* Or for what its process descends from? */
bool predicate_uses_lineage(const struct query *q, ir_ref ref);
