/* SPDX-License-Identifier: Apache-2.0 */
/*
 * set - which of many predicates are true of an event?
 *
 * A set is one program (predicate.h) and an index over it. For each predicate the builder looks for a choice
 * of literals of which one must be there for the predicate to be true: process.name is "sh" or "bash", say. Of
 * several choices the rarest is taken. For an event, each field that the index asks about is looked up once, and
 * only predicates that one of whose literals is there are run. A predicate without such literals is always run.
 * What many of the predicates ask of the same few fields is asked once for each combination of what stands there, and
 * remembered in the scratch; predicates that are ruled out so are not looked at.
 *
 * Predicates that use other events (predicate_uses_events()) do not belong in a set: what they ask for is null.
 */
#pragma once
#include "predicate/predicate.h"

enum { PREDICATE_WHY_MAX = 256 };

struct module;
struct predicate_set;
struct predicate_set_builder;

int predicate_set_builder_new(struct predicate_set_builder **ret_builder);
void predicate_set_builder_free(struct predicate_set_builder *b);
DEFINE_AUTO(predicate_set_builder)

/*
 * What runs the conditions that the index has chosen: the program itself, or a module made of it (module.h). Auto takes
 * what was measured to be faster for whole sets of rules, which is the program; see docs/figures.md.
 */
enum predicate_backend { PREDICATE_AUTO, PREDICATE_VM, PREDICATE_WASM };
/* Auto, unless said otherwise. With PREDICATE_WASM building fails with -ENOTSUP where there is no such library. */
void predicate_set_builder_backend(struct predicate_set_builder *b, enum predicate_backend backend);

/* As program_add(): predicates that mean the same have one index. */
int predicate_set_builder_add(struct predicate_set_builder *b, const struct query *q, ir_ref condition,
			      const char *category, uint32_t *ret_index);
/* The builder is empty afterwards in any case. */
int predicate_set_build(struct predicate_set_builder *b, struct predicate_set **ret_set);
void predicate_set_free(struct predicate_set *set);
DEFINE_AUTO(predicate_set)

uint32_t predicate_set_count(const struct predicate_set *set);

/* The indexes of all predicates that are true of in->ev, ascending; they stay until the scratch is used again. */
size_t predicate_set_run(const struct predicate_set *set, const struct predicate_input *in, struct predicate_scratch *s,
			 const uint32_t **ret_true);
/* The program of the set, begun by predicate_set_run(): other expressions can be asked for the same event. */
const struct program *predicate_set_program(const struct predicate_set *set);
/* NULL: it is not run by a module. */
struct module *predicate_set_module(const struct predicate_set *set);

struct predicate_set_stats {
	uint32_t predicates, always; /* always: those without literals */
	uint32_t literals, fields;   /* of the index */
	size_t bytes;
	enum predicate_backend backend;     /* that runs it: not auto */
	uint64_t module_failures;           /* runs of the module after which the program was asked */
	char module_why[PREDICATE_WHY_MAX]; /* of the last; "" */
	bool module_is_disabled;            /* after so many that only the program is asked */
};
void predicate_set_stats(const struct predicate_set *set, struct predicate_set_stats *ret_stats);
/* For people: the choice of literals of a predicate, as in process.name is "sh"; "" when there is none. */
void predicate_set_explain(const struct predicate_set *set, uint32_t index, struct buf *out);
