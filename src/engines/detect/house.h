/* SPDX-License-Identifier: Apache-2.0 */
/*
 * house - what the shards of one detect share: the rules, and a runner for those that need events of all shards.
 *
 * A shard hands in copies of the events that such a rule looks at. Once every shard has been told that nothing older
 * than a time is to come, the events before that time are run in one order: of time, then of their content. So the
 * order, and with it what is found, does not depend on how many shards there are. Whichever shard was told last does
 * the work, into its own sink, and the others wait only while it takes events out.
 */
#pragma once
#include <pthread.h>
#include "engines/detect/kept.h"
#include "engines/detect/rules.h"
#include "engines/engine.h"
#include "rulebook/watch.h"

enum { HOUSE_SHARDS_MAX = 64, HOUSE_WAITING_MAX = 1 << 16, HOUSE_WHY_MAX = 1024 };

/* What turns matches of a runner into findings. */
struct teller {
	struct kept *kept;
	/* For the events of a finding, for the last of them, and for the one that is being looked at. */
	struct kept_room *room, *last, *now;
	const struct rules_part *part;
	struct script **script;      /* of each rule of the part that has one; NULL: none has */
	const struct event *current; /* that is being looked at */
	const struct engine_sink *sink;
	uint64_t findings;
};
/* `sink` is set before the first match, and a part given. */
int teller_open(struct teller *t, struct kept *kept);
/* Opens the scripts of the part's rules: NULL for a part without. */
int teller_scripts(const struct rules_part *part, struct script ***ret_scripts);
/* From now on matches are of this part, which outlives them; the scripts are the teller's. */
void teller_follow(struct teller *t, const struct rules_part *part, struct script **scripts);
void scripts_free(struct script **scripts, size_t n);
void teller_close(struct teller *t);
/* The runner's sink, with the teller as its context. */
void teller_put(void *teller, const struct runner_match *match);

struct house_options {
	uint64_t memory;
	uint32_t keys_per_rule, keys_per_entity;
	bool watch; /* read the rules again when their files change */
	enum predicate_backend backend;
};

/* An event that waits until all that is older has come. */
struct house_event {
	int64_t time_ns;
	uint64_t content, handle, entity;
};

struct house {
	struct house *next; /* of all houses */
	const void *of;     /* the options it was opened with */
	bool has_shard[HOUSE_SHARDS_MAX];
	unsigned n_shards;
	/* Raised when there are other rules, for shards to see without the lock. */
	_Atomic unsigned version;
	struct house_options options;
	/* Held by who reads rules: one at a time, so that the last to read is the last to have changed. Before `lock`.
	 */
	pthread_mutex_t load_lock;
	char *path;
	struct watch *watch;
	/* What follows belongs to who holds the lock. */
	pthread_mutex_t lock;
	struct rules *rules;
	struct runner *runner; /* NULL: no such rules */
	struct kept kept;
	struct teller teller;
	struct house_event *waiting; /* a heap */
	size_t n_waiting;
	int64_t told_ns[HOUSE_SHARDS_MAX], now_ns;
	uint64_t lost; /* events for which there was no room */
	uint64_t loads, loads_failed;
	uint64_t past_runs, past_stopped; /* of scripts of rules that ran before these */
	char why[HOUSE_WHY_MAX];          /* the last load failed; "": it did not */
};

/*
 * The house of these options that has no such shard yet, or a new one. All shards join before the first event.
 */
int house_join(const void *of, unsigned shard, const struct house_options *options, const char *rules_path,
	       struct house **ret_house);
void house_leave(struct house *h, unsigned shard);

/* Reads the rules, and has them run from now on. Any thread. What is wrong with them changes nothing. */
int house_reload(struct house *h, const char *rules_path, bool watch, enum predicate_backend backend);
/* Rules, and how reading them went, as members of an object that has some already. */
void house_status(struct house *h, struct buf *out);
/* "12 rules from /path", for people. */
void house_describe(struct house *h, struct buf *out);
/* The rules that are to be run now: a reference, and their version. */
struct rules *house_rules(struct house *h, unsigned *ret_version);
/* Has a runner run this set: opens it, swaps its rules, or, for NULL, frees it. What fails changes nothing. */
int house_follow(struct runner **runner, struct ruleset *set, const struct runner_options *options,
		 const struct runner_sink *sink);

/* An event that a rule of the house looks at. */
void house_put(struct house *h, const struct event *ev, int64_t time_ns, uint64_t entity);
/* Nothing older than now_ns is to come from this shard. */
void house_time(struct house *h, unsigned shard, int64_t now_ns, const struct engine_sink *sink);

/* Adds to `sum` what the house's runner has counted; returns the events for which the house had no room. */
uint64_t house_stats(struct house *h, struct runner_stats *sum);
void house_add_stats(struct runner_stats *sum, const struct runner_stats *more);

/* A keeper for a runner whose events are given to `kept` when they are first needed. */
struct runner_keeper house_keeper(struct kept *kept);
