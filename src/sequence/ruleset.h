/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ruleset - what a runner knows of its queries before any event: one set of predicates for all stages of all rules,
 * programs for what is asked more rarely, the plans of their sequences, and who uses what. Not for others.
 */
#pragma once
#include <stdatomic.h>
#include "predicate/set.h"
#include "sequence/machine.h"
#include "sequence/runner.h"

enum { NO_INDEX = UINT32_MAX, FIELDS_MAX = 64 };

/* An expression: of a plain field, or an index into `values`. */
struct rule_expr {
	field_id field; /* FIELD_NONE: run it */
	uint32_t index;
	enum rule_type type;
	bool optional;
};

/* Fields of a stage's event that later stages or pipes ask for. */
struct rule_captures {
	field_id *field;
	uint32_t n;
};

struct rule_stage {
	uint32_t guard; /* into `guards`: its condition, where that asks for events of other stages */
	uint32_t *also; /* into the set: what else must be true before it is asked */
	uint32_t n_also;
	bool same_keys; /* as those of the stage before it in the order of work: the next one of the query */
	struct rule_expr *key;
	struct rule_captures captures;
};

/* A subquery of a lineage condition, and those within it. */
struct rule_lineage {
	const struct query *outer; /* whose subquery it is */
	uint32_t sub;
	uint32_t match; /* into `lineage`: its condition */
	enum ir_lineage kind;
	struct rule_lineage *inner;
	uint32_t n_inner;
	uint32_t number; /* in the rule */
};

struct rule_arg {
	ir_ref ref;
	uint32_t index; /* into `args` */
};

struct rule {
	struct runner_query q;
	uint64_t same[2];          /* of what it means: rules for which it is equal may take over each other's state */
	struct machine_plan *plan; /* of sequences and joins */
	uint32_t *stage_of_slot;
	struct rule_stage *stage; /* until is the last */
	uint32_t n_stages;
	struct rule_arg *arg; /* of pipes */
	uint32_t n_args;
	bool captures_any;
	struct rule_lineage *lineage;
	uint32_t n_lineages, n_all_lineages;
};

/* A stage that a predicate is the condition of. */
struct rule_use {
	uint32_t rule, stage;
};

/* Field names that the runner itself asks for. */
struct rule_fields {
	field_id count, percent, key;
	/* Of processes. */
	field_id entity_id, parent_entity_id, pid, parent, other_pid, other_parent, subtype, opcode, type, name;
};

struct ruleset {
	atomic_uint refs;
	struct ruleset_options options;
	struct rule *rule;
	size_t n_rules;
	struct predicate_set *set;
	struct program *values, *guards, *lineage, *args;
	uint32_t *first_use; /* of each predicate, and one beyond */
	struct rule_use *use;
	struct rule_use *always; /* stages whose guard alone decides */
	uint32_t n_always;
	uint32_t max_stages, max_slots;
	bool has_lineage;
	struct rule_fields fields;
	struct arena arena;
};
