/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hunt - runs queries over inputs of JSON lines, all of them in one pass.
 *
 * Queries with the same schema and dialect share a group: one reader of events, one ruleset, one runner. Inputs
 * need not be in order: a group reads on as long as they are, and when an event comes that belongs before the one
 * that was read last, its events are sorted (at most EVENTS_MAX of them) and read again. Queries on single events
 * need no order, only their matches do. Dialect endgame has the order of the input, as its reference.
 *
 * Events order by time, then by tiebreaker (those without one last; texts by their first eight bytes), then
 * as they stand in the input. One without a time has that of the event before it.
 *
 *	hunt_new(&h); hunt_add(h, ...); hunt_input(h, "events.ndjson"); hunt_run(h); hunt_result(h, i)
 */
#pragma once
#include "hunt/lines.h"
#include "hunt/schema.h"
#include "sequence/runner.h"

enum {
	HUNT_QUERIES_MAX = 1 << 16,
	HUNT_INPUTS_MAX = 1024,
	HUNT_EVENTS_MAX = 1 << 25,  /* of a group that has sequences, samples or pipes, or needs sorting */
	HUNT_MATCHES_MAX = 1 << 26, /* events in matches, of all queries */
};

struct hunt_options {
	const struct schema *schema; /* copied */
	enum rule_dialect dialect;
	bool case_sensitive; /* endgame: its other mode */
	uint32_t max_samples_per_key;
	uint64_t limit;              /* matches that are kept; UINT64_MAX: all */
	bool count_only;             /* none is kept */
	const struct macros *macros; /* that queries in elastic and endpoint may call, or NULL; they outlive the hunt */
};

/* Where an event stands. */
struct hunt_event {
	uint64_t index, offset;
	uint32_t len;
	uint32_t input; /* UINT32_MAX: the slot of a missing event */
};

/* What events are sorted by. */
struct hunt_when {
	int64_t time_ns, tiebreaker;
	uint8_t tie; /* what kind of tiebreaker it has: those of one kind stand together */
};

struct hunt_match {
	struct hunt_when when; /* of an event */
	size_t first_event, n_events, first_key;
	size_t keys_len; /* JSON: what stands between [ and ] */
	enum runner_kind kind;
	bool counted;
	uint64_t count;
	double percent;
};

/* What a query found. */
struct hunt_result {
	const struct query *query; /* NULL: `wrong` says why */
	const struct diag *wrong;
	const struct hunt_match *matches;
	size_t n;       /* that were kept */
	uint64_t found; /* all of them */
	const struct hunt_event *events;
	const char *keys;
};

struct hunt_stats {
	uint64_t bytes, events; /* looked at */
	uint64_t parsed, unreadable, too_long, sorted;
	struct runner_stats runner; /* sums over the groups */
};

struct hunt;
int hunt_new(struct hunt **ret_hunt);
void hunt_free(struct hunt *h);
DEFINE_AUTO(hunt)

/*
 * One more query; the text is copied. What is wrong with it is part of its result, and no error here: 1 then.
 * Its number is how many were added before.
 */
int hunt_add(struct hunt *h, const char *text, size_t n, const struct hunt_options *options);
/* One that cannot even be tried. */
int hunt_add_wrong(struct hunt *h, const struct diag *why);
/* Owned from then on. */
int hunt_input(struct hunt *h, struct lines *input);

/* Called now and then with how far it is; false ends the run, with -ECANCELED. */
void hunt_progress(struct hunt *h, bool (*fn)(void *ctx, uint64_t done, uint64_t all), void *ctx);
int hunt_run(struct hunt *h);

size_t hunt_n(const struct hunt *h);
void hunt_result(const struct hunt *h, size_t i, struct hunt_result *ret_result);
void hunt_stats(const struct hunt *h, struct hunt_stats *ret_stats);
/* The line of an event, at most LINE_BYTES_MAX bytes. */
int hunt_text(const struct hunt *h, const struct hunt_event *e, char *to);
const char *hunt_input_name(const struct hunt *h, size_t i);
size_t hunt_n_inputs(const struct hunt *h);
/* The texts of which a line must have one, before anything else is looked at; NULL: all lines are read. */
const struct needles *hunt_needles(const struct hunt *h);
/* Makes ready to run: hunt_run() does it as well. What is wrong with a query may be found only here. */
int hunt_prepare(struct hunt *h);
