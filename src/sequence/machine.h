/* SPDX-License-Identifier: Apache-2.0 */
/*
 * machine - the state of sequences and joins, apart from what an event is and how a condition is decided.
 *
 * It is told which stages an event matches, with which join keys, and keeps for each rule and key the sequences that
 * may go on:
 *  - At most one waits at each step. A newer one that gets there takes its place.
 *  - An event moves sequences on from the last step to the first, so it is never twice in one.
 *  - maxspan is looked at whenever a sequence would go on, and includes its end. A sequence that is too old then, is
 * gone.
 *  - until ends what waits for its keys, after the event itself has moved sequences on (endgame: before).
 *  - An event that must be missing spoils the sequences that were between its neighbours then: later in time than the
 * one, earlier than the other. A spoiled sequence goes on, and takes the place of others, but is never told.
 *  - What must be missing before the first or after the last is decided by the span from the last such event before to
 *    the first such after (where there is none: from the first or to the last of the sequence): only if it is
 *    longer than maxspan is the sequence told. This waits for time to pass, and what completes later waits behind it.
 *
 * All state is in one store of bounded memory, shared by the machines of a runner. When it is full, keys of the
 * machine that has most go first, and of those the ones that were not used of late: a key that was used since it was
 * last looked at is let off once. The same for a machine or an entity that has as many keys as it may.
 */
#pragma once
#include "base/buf.h"
#include "base/mem.h"
#include "sequence/cells.h"
#include "sequence/runner.h"

/* ---- plans: what does not change ------------------------------------------------------------- */

struct machine_stage_spec {
	bool missing;
	bool fork;     /* what it moves on stays as well */
	bool guarded;  /* store.allows() is asked before it moves a sequence on */
	bool captures; /* store.capture() is asked for what to remember of its event */
	uint32_t runs; /* 1 or more */
};

struct machine_spec {
	const struct machine_stage_spec *stages;
	size_t n_stages;
	bool until;       /* hits of stage n_stages are those of until */
	bool until_first; /* it ends sequences before its event moves them on */
	bool join;        /* stages in any order, first come; no missing, runs or fork */
	bool has_span;
	uint64_t maxspan_ns;
};

enum machine_gap { GAP_NONE, GAP_LEADING, GAP_MIDDLE, GAP_TRAILING };

struct machine_stage {
	enum machine_gap gap;
	bool fork, guarded, captures;
	uint32_t first_step, n_steps; /* of one that must be missing: how many steps come before */
};

struct machine_plan {
	struct machine_stage *stage;
	uint32_t n_stages, n_steps, n_slots; /* a step is a slot that an event fills */
	uint32_t *slot_of_step;
	bool until, until_first, join, has_span, has_leading, has_trailing;
	uint64_t maxspan_ns;
};

/* -EINVAL with a trail when the spec makes no sense; -E2BIG. */
int machine_plan_new(const struct machine_spec *spec, struct machine_plan **ret_plan);
void machine_plan_free(struct machine_plan *plan);
DEFINE_AUTO(machine_plan)

/* ---- machines: one a rule -------------------------------------------------------------------- */

struct machine {
	const struct machine_plan *plan;
	uint32_t id;         /* in the store */
	cell newest, oldest; /* of its keys */
	uint32_t n_keys;
	cell wait_first, wait_last; /* sequences that wait for time, in the order they completed */
	void *owner;
};

struct machine_event {
	const struct runner_event *ev;
	int64_t time_ns; /* never less than before */
};

struct machine_hit {
	uint32_t stage;
	uint32_t key_len;
	const void *key; /* the bytes of the join keys: equal keys have equal bytes */
	uint64_t hash;   /* of them */
};

/* What is remembered of the events of a sequence: for conditions of later stages, and for pipes. */
struct machine_capture {
	uint32_t slot;
	size_t n;
	const void *bytes;
};

struct machine_result {
	struct machine *machine;
	const struct runner_slot *slots;
	const void *key;
	size_t key_len;
	int64_t start_ns, end_ns;
	const struct machine_capture *captures; /* newest first */
	size_t n_captures;
};

struct machine_store_options {
	uint64_t memory;
	uint32_t per_rule, per_entity; /* 0: no bound but memory */
	uint64_t seed;
	bool as_they_come; /* see runner_options */
	struct runner_keeper keeper;
	struct runner_stats *stats;
	/* A sequence has completed. */
	void (*tell)(void *ctx, const struct machine_result *result);
	/* May the event that is being looked at take this stage, given what was remembered? */
	bool (*allows)(void *ctx, struct machine *m, uint32_t stage, const struct machine_capture *captures, size_t n);
	/* Writes what to remember of the event that is being looked at, as one that takes this stage. */
	void (*capture)(void *ctx, struct machine *m, uint32_t stage, struct buf *out);
	void *ctx;
};

struct machine_store;
int machine_store_open(const struct machine_store_options *options, struct machine_store **ret_store);
/* Its machines are closed, or are never used again. */
void machine_store_free(struct machine_store *store);
DEFINE_AUTO(machine_store)

/* `m` stays where it is until it is closed. Makes room for its plan; -ENOMEM. */
int machine_open(struct machine_store *store, struct machine *m, const struct machine_plan *plan, void *owner);
/* Forgets all its state. */
void machine_close(struct machine_store *store, struct machine *m);

/* Another plan that means the same: after a reload. */
static inline void machine_replan(struct machine *m, const struct machine_plan *plan)
{
	m->plan = plan;
}

/* Last stages first; of one stage, no key twice; until anywhere. */
void machine_event(struct machine_store *store, struct machine *m, const struct machine_event *ev,
		   const struct machine_hit *hits, size_t n);
/* All events before now_ns have been: tells what waited for that, and lets old keys go. */
void machine_time(struct machine_store *store, struct machine *m, int64_t now_ns);
/* When machine_time() will have something to tell: some time after this; INT64_MAX: not waiting. */
int64_t machine_next_time(const struct machine_store *store, const struct machine *m);

/* Fills keys, pending, waiting, bytes and bytes_max. */
void machine_store_gauges(const struct machine_store *store, struct runner_stats *stats);
/* Walks all state and checks that all adds up; false and a trail when not. For tests. */
bool machine_store_is_sound(const struct machine_store *store);
