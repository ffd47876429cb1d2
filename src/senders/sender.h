/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sender - the contract of a folder in senders/: one way to tell alerts to somebody.
 *
 * put() is called on the threads that find: it never waits, for nobody. A sender has a queue and a thread of its own,
 * and counts what it loses by reason: put = sent + lost_... + waiting.
 */
#pragma once
#include "base/buf.h"
#include "config/option.h"
#include "store/alerts.h"

struct sender {
	const char *name, *summary;
	const struct option *options;
	size_t n_options, options_size;
	bool off_by_default;
	int (*open)(void **ret_state, const void *options);
	/* Any thread. False: lost, and counted. */
	bool (*put)(void *state, const struct alert *alert);
	/*
	 * Any thread: these options from now on; files are opened anew, for those who moved them away. What is wrong
	 * with them is said and changes nothing.
	 */
	int (*reload)(void *state, const void *options);
	/* Appends what it has counted, as members of a JSON object that has some already: ,"name":N. Any thread. */
	void (*status)(void *state, struct buf *out);
	/* Sends what waits, as far as that takes no more than seconds. */
	void (*close)(void *state);
};

extern const struct sender *const sender_table[];
