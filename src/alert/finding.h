/* SPDX-License-Identifier: Apache-2.0 */
/*
 * finding - what an engine concludes, before anybody has decided whether it is worth an alert.
 *
 * All of it is borrowed until the sink that it is given to returns.
 */
#pragma once
#include "event/event.h"
#include "rulebook/book.h"

struct finding {
	const char *rule; /* its id */
	__u8 severity;    /* 1 to 100 */
	/* The rule, with all that it says of itself. NULL: the engine's own, such as trouble with a script. */
	const struct book_rule *of;
	/* What happened, where no event tells it. May be NULL. */
	const char *message;
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
