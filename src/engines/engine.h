/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine - the contract of a folder in engines/: the records it wants and what it
 * concludes from them.
 *
 * One state a shard: an engine never locks, and never sees events of one entity out of
 * order. It takes the time from the event, so a replay concludes the same.
 */
#pragma once
#include "config/option.h"
#include "event/event.h"

/* What an engine concludes. All of it is borrowed until the sink returns. */
struct finding {
	const char *rule;
	__u8 severity; /* 1 to 100 */
	/* What completed it: mostly the event that the engine was given. NULL: nothing but time. */
	const struct event *event;
	__u64 time_ns; /* event time at which it was decided; 0: that of the event */
	/*
	 * Where it is made of several: the events, in the order of the rule. NULL with n_events 0 otherwise. False: one
	 * that must be missing, and is. The event lives until the next call.
	 */
	bool (*event_at)(const struct finding *finding, size_t i, struct event *ret_event);
	size_t n_events;
	const void *events;       /* the engine's own */
	const struct value *keys; /* what they have in common */
	size_t n_keys;
};

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
	void (*close)(void *state);
};

extern const struct engine *const engine_table[];
