/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine - the contract of a folder in engines/: the records it wants and what it
 * concludes from them.
 *
 * One state a shard: an engine never locks, and never sees events of one entity out of
 * order. It takes the time from the event, so a replay concludes the same.
 */
#pragma once
#include "alert/finding.h"
#include "config/option.h"
#include "event/event.h"

struct engine_sink {
	void (*put)(void *ctx, const struct finding *finding);
	void *ctx;
};

struct engine {
	const char *name, *summary;
	const __u16 *wants; /* EV_IDs, zero-terminated; NULL: all */
	const struct option *options;
	size_t n_options, options_size;
	int (*open)(void **ret_state, unsigned shard, const void *options, const struct engine_sink *sink);
	void (*on_event)(void *state, const struct event *ev);
	/* Event time has reached now_ns with nothing more to come before it: timers may fire. May be NULL. */
	void (*on_time)(void *state, __u64 now_ns);
	/*
	 * Takes these options, and the files that they name as they are now, in the place of those that it was opened
	 * with. Any thread, while the shards run; `state` is any shard's. What is wrong with them is said and changes
	 * nothing; what is under way goes on where it can. NULL: that wants a restart.
	 */
	int (*reload)(void *state, const void *options);
	/*
	 * Appends what it has counted, summed over the states of all shards, as members of a JSON object that has some
	 * already: ,"name":N. Any thread, while the shards run. May be NULL.
	 */
	void (*status)(void *const *states, size_t n, struct buf *out);
	/* What it works with, in a few words for people who start it. `state` is any shard's. May be NULL. */
	void (*describe)(void *state, struct buf *out);
	void (*close)(void *state);
};

extern const struct engine *const engine_table[];
