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

/* What an engine concludes. It borrows from the event it was given. */
struct finding {
	const char *rule;
	__u8 severity; /* 1 to 100 */
	const struct event *event;
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
	void (*close)(void *state);
};

extern const struct engine *const engine_table[];
