/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sigma_lower - what the parts of the Sigma front end share. Private to it.
 *
 * A compilation has one builder. What is looked at (the rule, its logsource, its selections) is a scope: a
 * correlation goes through the scopes of the rules that it is about, one after the other.
 */
#pragma once
#include "base/arena.h"
#include "rule/build.h"
#include "rule/sigma.h"

enum {
	SIGMA_SELECTIONS_MAX = 256, /* of a rule */
	SIGMA_ARENA_MAX = 32 << 20,
	SIGMA_RULES_MAX = 32, /* that one correlation is about */
};

/* ---- tables (sigma_fields.c) --------------------------------------------------------------- */

/* What a logsource means for events with ECS names. */
struct sigma_source {
	const char *category, *service; /* of the rule; NULL: any. The first row that fits is taken */
	const char *event_category;     /* ECS; NULL: any */
	const char *where;              /* EQL that must be true as well, or NULL */
	bool is_audit, is_log;
	const char *const *fields; /* pairs of names, before those that all have; or NULL */
};
extern const struct sigma_source sigma_sources[];
extern const size_t sigma_n_sources;
/* Pairs as well: of all logsources but logs and the audit system. */
extern const char *const sigma_common_fields[];

/* How a field is looked at. */
enum sigma_look {
	LOOK_FIELD,    /* .name */
	LOOK_ARGUMENT, /* number .i of process.args */
	LOOK_EVENT,    /* any value of the event: keywords */
};

/* What a value of a field means beside that the field has it. */
struct sigma_word {
	const char *word;
	const char *where; /* EQL; NULL: it is always so */
};

struct sigma_field {
	enum sigma_look look;
	struct str name;
	unsigned i;
	const struct sigma_word *words; /* ends with a NULL word; NULL: none */
};

/* Of records of the audit system: what is a selection about? */
enum sigma_call {
	CALL_NONE,   /* a0 and so on are those of a program that begins */
	CALL_RECORD, /* a record of a system call: they are numbers */
	CALL_NAMED,  /* the same, and it says which */
};

/* Which field of an event a rule's field is. */
void sigma_field_of(const struct sigma_source *source, enum sigma_names names, struct str field, enum sigma_call call,
		    struct sigma_field *ret_field);

/* ---- the compilation ------------------------------------------------------------------------ */

struct sigma_selection {
	const struct yaml_node *node; /* a child of `detection` */
	ir_ref ref;                   /* once it was lowered */
};

/* A rule with a detection. */
struct sigma_scope {
	const struct yaml_node *detection;
	const struct sigma_source *source; /* NULL: none */
	struct sigma_selection *selections;
	size_t n_selections;
};

struct sigma {
	struct query_builder b;
	struct arena scratch;
	const struct sigma_options *options;
	struct sigma_problem *problem;
	struct sigma_scope *scope;
	unsigned depth;
};

/* Says what is wrong at a node, and returns -EINVAL. */
int sigma_wrong(struct sigma *s, const struct yaml_node *at, const char *fmt, ...)
	__attribute__((format(printf, 3, 4), cold));
/* The same `offset` characters behind the beginning of a node's text. */
int sigma_wrong_at(struct sigma *s, const struct yaml_node *at, size_t offset, const char *fmt, ...)
	__attribute__((format(printf, 4, 5), cold));
/* The rule may be right, but `feature` is not there. */
int sigma_missing(struct sigma *s, const struct yaml_node *at, const char *feature, const char *fmt, ...)
	__attribute__((format(printf, 4, 5), cold));
/* 0 when a node was made; else what the builder refused. */
int sigma_made(struct sigma *s, const struct yaml_node *at, ir_ref ref, ir_ref *ret_ref);
int sigma_no_memory(struct sigma *s, const struct yaml_node *at);

/* Nodes: nested ones of the same op become one, constants are left out. */
ir_ref sigma_all(struct sigma *s, const ir_ref *refs, size_t n);
ir_ref sigma_any(struct sigma *s, const ir_ref *refs, size_t n);
ir_ref sigma_not(struct sigma *s, ir_ref ref);
/* A node that is true or false (or null, without IR_TRUTH). */
ir_ref sigma_condition(struct sigma *s, enum ir_op op, unsigned flags, const ir_ref *kids, size_t n);
/* A condition of the tables, in EQL. */
int sigma_eql(struct sigma *s, const struct yaml_node *at, const char *where, ir_ref *ret_ref);

/* A selection: what stands in a child of `detection` (sigma_detect.c). */
int sigma_selection(struct sigma *s, const struct yaml_node *node, ir_ref *ret_ref);

/* An older condition's count() after its |. */
struct sigma_aggregation {
	bool is_there;
	struct str field;           /* count(field); n 0: events are counted */
	const struct yaml_node *at; /* the condition */
	struct str by;
	bool at_least; /* >= and not > */
	uint64_t number;
};

/* A condition of `detection` (sigma_cond.c). */
int sigma_parse(struct sigma *s, const struct yaml_node *condition, ir_ref *ret_ref,
		struct sigma_aggregation *ret_aggregation);

/* All that a rule asks of one event, its logsource too. With `with_category`, the category is among it. */
int sigma_rule(struct sigma *s, const struct yaml_node *rule, bool with_category, ir_ref *ret_ref,
	       struct sigma_aggregation *ret_aggregation);
/* Makes the stages of the query, each of which has room for so many keys. */
int sigma_stages(struct sigma *s, const struct yaml_node *at, enum query_kind kind, size_t n, size_t n_keys);
/* A join key: the event's field for a rule's. */
int sigma_key(struct sigma *s, const struct yaml_node *at, struct str field, ir_ref *ret_ref);
/* "5m", "30s" and so on, in ns. */
int sigma_timespan(struct sigma *s, const struct yaml_node *node, uint64_t *ret_ns);

/* A rule about other rules, and an aggregation (sigma_correlate.c). */
int sigma_correlate(struct sigma *s, const struct yaml_node *rule);
int sigma_aggregate(struct sigma *s, const struct yaml_node *rule, ir_ref condition,
		    const struct sigma_aggregation *aggregation);
