/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay - recorded events on the same way as live ones: context, bus, engines; in event time.
 *
 * What comes out depends on the input alone: not on the number of shards, not on how fast they
 * are, not on this host. Shards make alerts; which of them are folded into others is decided in their order. Events go
 * to the shard of their entity, are judged and printed there, and are put in order again by the time when they
 * happened, then by their place in the input. An event that is told later than REPLAY_LATE_NS after younger ones counts
 * as that old and no older.
 *
 * Records of what an agent learned by looking feed the context and are not shown. Files are
 * replayed one after the other. Where a file, or what follows in it, is of another boot of a host,
 * everything begins anew there: processes, engines and time.
 */
#pragma once
#include "alert/alert.h"
#include "bus/bus.h"
#include "context/context.h"
#include "context/filter.h"
#include "engines/engine.h"
#include "replay/input.h"

enum { REPLAY_LATE_NS = 200000000, REPLAY_PENDING_MAX = 64 << 20 };

enum replay_what {
	REPLAY_EVENT, /* a line of JSON, as an agent prints it */
	REPLAY_ALERT, /* what engines found, as a line of JSON: docs/alerts.md */
};

/* An engine with its options, as they were read; NULL after the last. */
struct replay_engine {
	const struct engine *engine;
	const void *options;
};

struct replay_options {
	unsigned shards;
	unsigned speed;                      /* 1: as it happened; 10: ten times that; 0: as fast as it goes */
	int64_t for_ns;                      /* event time, from the first event in the range on; 0: no bound */
	int64_t from_ns, to_ns;              /* wall time, `to_ns` excluded; 0: open */
	const struct filter *filter;         /* NULL: all */
	bool no_events;                      /* only alerts */
	bool count;                          /* no events, but how many there are of each kind: replay_count() */
	const char *schema;                  /* of foreign lines; one of schema_names[] */
	struct context_limits limits;        /* but for the memory, which only the number of processes bounds */
	const struct replay_engine *engines; /* NULL: none */
	struct alert_defaults alerts;
	/* The caller's thread: what comes out, in order. False: it is enough. */
	bool (*on_line)(void *arg, enum replay_what what, const char *line, size_t n);
	/* The caller's thread, now and then; while it waits for the time of an event, without stats. False: end here.
	 * May be NULL. */
	bool (*on_progress)(void *arg, const struct input_stats *stats);
	void *arg;
};

struct replay_stats {
	uint64_t events, shown;
	uint64_t findings, excepted, folded, alerts; /* findings = excepted + folded + alerts, when all has come out */
	int64_t first_ns, last_ns;                   /* wall time of the events; 0: there were none */
};

struct replay;
int replay_open(const struct replay_options *options, struct replay **ret_replay);
void replay_free(struct replay *r);
DEFINE_AUTO(replay)
/*
 * Replays a file, and says in *ret_stats how much of it could be read, also when it fails. 0; 1 when on_line
 * or on_progress had enough; or an error with a trail. After the last two nothing more can be replayed.
 */
int replay_file(struct replay *r, const char *path, struct input_stats *ret_stats);
/* After the last: what is still to come out. As replay_file(). */
int replay_end(struct replay *r);
/* When it has ended, in either way. */
void replay_stats(const struct replay *r, struct replay_stats *ret_stats);
/* With `count`: the events of a kind that were shown; NULL: those of other schemas. */
uint64_t replay_count(const struct replay *r, const struct event_kind *kind);
