/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runner - runs compiled queries over a stream of events: single events, sequences, samples, joins and their pipes.
 *
 * A ruleset is made once of all queries, never changes, and is shared by any number of runners. A runner is the
 * state of one stream (of one shard, or of one file): one thread at a time. Events come in order: of time, then of
 * what breaks ties, then as they were found. All is decided in event time, so the same events give the same
 * matches, in the same order.
 *
 *	ruleset_new(queries, n, &options, &diag, &set);
 *	runner_open(set, &options, &sink, &r);
 *	for each event:
 *		runner_event(r, &(struct runner_event) { .event = &ev, .time_ns = t, .handle = i });
 *	runner_finish(r);
 *
 * State is bounded (options), and what the bounds cost is counted (runner_stats()). While events come nothing calls
 * malloc, but for what only ends with the stream: samples, and the pipes tail, sort, count and unique.
 */
#pragma once
#include "base/mem.h"
#include "event/event.h"
#include "predicate/set.h"
#include "rule/ir.h"

enum {
	RUNNER_RULES_MAX = 1 << 16,
	RUNNER_SLOTS_MAX = 4096,  /* events of one sequence: stages times runs */
	RUNNER_TUPLES_MAX = 1024, /* combinations of an event's key values, for one stage */
	RUNNER_KEY_BYTES_MAX = 1 << 16,
};

/* ---- what is run ----------------------------------------------------------------------------- */

struct runner_query {
	const char *id; /* told with each match; need not be unique */
	const struct query *query;
	uint32_t max_samples_per_key; /* 0: one */
};

/* Where events say who their process is, for lineage. FIELD_NONE: what the dialect says. */
struct runner_lineage {
	field_id pid, parent_pid;
};

struct ruleset_options {
	/*
	 * The stream has no end: a query that gives nothing before the end (sample, tail, sort, count, unique_count)
	 * is refused.
	 */
	bool endless;
	struct runner_lineage lineage;
	enum predicate_backend backend; /* what runs conditions; predicate/set.h */
};

struct ruleset;
/*
 * The queries are borrowed: they outlive the ruleset. -EINVAL with a trail that names the query and says why it
 * cannot be run; -E2BIG; -ENOMEM.
 */
int ruleset_new(const struct runner_query *queries, size_t n, const struct ruleset_options *options,
		struct ruleset **ret_set);
/* Counted by references, on any thread. NULL is let through. */
struct ruleset *ruleset_ref(struct ruleset *set);
void ruleset_unref(struct ruleset *set);
static inline void ruleset_free(struct ruleset *set)
{
	ruleset_unref(set);
}
DEFINE_AUTO(ruleset)

size_t ruleset_n_rules(const struct ruleset *set);
/* Of the conditions of all its queries. */
void ruleset_predicates(const struct ruleset *set, struct predicate_set_stats *ret_stats);
const struct runner_query *ruleset_query(const struct ruleset *set, size_t i);

/* ---- a stream -------------------------------------------------------------------------------- */

struct runner_event {
	const struct event *event;
	int64_t time_ns;
	/* What the event is called in matches: its index in the input, or anything. See runner_options.keep. */
	uint64_t handle;
	uint64_t entity; /* whose quota its state counts against; 0: nobody's */
};

struct runner_slot {
	bool missing;    /* the place of ![...]; the rest is not set */
	bool is_current; /* the event that is being looked at: `handle` is what came with it, and was not kept */
	uint64_t handle;
};

enum runner_kind {
	RUNNER_EVENT,    /* one slot */
	RUNNER_SEQUENCE, /* a slot a stage and run; joins too */
	RUNNER_SAMPLE,
	RUNNER_ROW, /* of the pipe count: no slots, but count, percent and key */
};

/* What was found. All of it is borrowed until the sink returns. */
struct runner_match {
	enum runner_kind kind;
	uint32_t rule; /* its index in the ruleset */
	const struct runner_query *query;
	const struct runner_slot *slots;
	size_t n_slots;
	int64_t start_ns, end_ns; /* when the first and the last of its events happened; 0: of samples and rows */
	const struct value *keys; /* join keys; of RUNNER_ROW those that were counted, none: all of them */
	size_t n_keys;
	bool counted; /* of count and unique_count: */
	uint64_t count;
	double percent; /* of 1 */
};

struct runner_sink {
	void (*put)(void *ctx, const struct runner_match *match);
	void *ctx;
};

/*
 * For events that do not outlive the call. `keep` makes a copy and returns what it is called from then on, or 0
 * when there is no room (state is let go, and it is asked again); each handle is then dropped as often as it was
 * kept or shared. Without them handles are numbers and nothing is kept.
 */
struct runner_keeper {
	uint64_t (*keep)(void *ctx, const struct runner_event *ev);
	void (*share)(void *ctx, uint64_t handle);
	void (*drop)(void *ctx, uint64_t handle);
	void *ctx;
};

struct runner_options {
	uint64_t memory;     /* bytes of state; 0: 64 MiB */
	uint32_t per_rule;   /* join keys of one rule; 0: as many as there is memory for */
	uint32_t per_entity; /* join keys of one entity, over all rules; 0: the same */
	uint64_t seed;       /* of the tables; 0: random. Changes no result */
	struct runner_keeper keeper;
	/*
	 * What waited for time is told by runner_time() alone, and makes nothing else wait: so what one key's events
	 * give, and in which call, does not depend on the others. Without: all is told in the order of completion.
	 */
	bool as_they_come;
};

struct runner;
int runner_open(struct ruleset *set, const struct runner_options *options, const struct runner_sink *sink,
		struct runner **ret_runner);
/* Matches that wait for an end are not told: runner_finish() first. */
void runner_free(struct runner *r);
DEFINE_AUTO(runner)

/* One event. Events that come out of order are counted, and taken to happen at the latest time so far. */
void runner_event(struct runner *r, const struct runner_event *ev);
/* Nothing that happened before now_ns is still to come: what waited for that is told. */
void runner_time(struct runner *r, int64_t now_ns);
/* The stream has ended: all that waited for it is told. Nothing more may come. */
void runner_finish(struct runner *r);

/* Would more events change anything? False once every rule has closed (head). */
bool runner_wants_more(const struct runner *r);

/*
 * From now on by another ruleset. Rules that are in both, with the same text and options, keep their state; that of
 * the others goes. Leaves all as it was when it fails.
 */
int runner_swap(struct runner *r, struct ruleset *set);

/* Does any rule look at this event: would runner_event() find a stage for it, or learn from it? Changes nothing. */
bool runner_concerns(struct runner *r, const struct event *ev);

/*
 * A verdict before the action goes on: which rules on single events match, without a trace in any state.
 * Sequences do not take part. Calls `put` of the sink that is given; returns how many matched.
 */
size_t runner_judge(struct runner *r, const struct event *ev, const struct runner_sink *sink);

/* ---- books ----------------------------------------------------------------------------------- */

struct runner_stats {
	uint64_t events, out_of_order;
	uint64_t matches;  /* handed to the sink */
	uint64_t started;  /* sequences that began */
	uint64_t replaced; /* by a newer match of the same stage */
	uint64_t expired;  /* keys whose maxspan has passed */
	uint64_t too_late; /* candidates beyond maxspan */
	uint64_t ended;    /* by until */
	uint64_t spoiled;  /* by an event that must be missing */
	uint64_t evicted_memory, evicted_rule, evicted_entity,
		evicted_waiting;                /* join keys let go: a bound was reached */
	uint64_t evicted_samples, evicted_rows; /* events that found no room */
	uint64_t evicted_processes;             /* of lineage */
	uint64_t keys_too_long, tuples_cut;
	uint64_t keys, pending, waiting; /* now: join keys, sequences that may go on, those that wait for time */
	uint64_t bytes, bytes_max;       /* of state in use, and what there is */
};

struct runner_metric {
	const char *name, *doc;
	size_t off; /* of a uint64_t in struct runner_stats */
	bool is_gauge;
};
extern const struct runner_metric runner_metrics[];
extern const size_t runner_n_metrics;

void runner_stats(const struct runner *r, struct runner_stats *ret_stats);
