/* SPDX-License-Identifier: Apache-2.0 */
/*
 * outbox - messages from any thread to one that works them off.
 *
 * Who puts never waits: what finds no room is refused at once. The other side takes all that is there, and works on
 * it while the next messages come. A message is bytes with a number for its kind, aligned to 8.
 *
 * Memory is what waits, at most `bytes` on each side, and is given back after a burst.
 *
 *	struct buf *b = outbox_begin(o, KIND, n);        struct outbox_message m;
 *	if (!b)                                          size_t at = 0;
 *		lost++;                                  while (outbox_take(o, timeout_ns))
 *	else {                                                   while (outbox_next(o, &at, &m))
 *		buf_add(b, p, n);                                        ...
 *		outbox_end(o);
 *	}
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/mem.h"

struct outbox;
int outbox_open(size_t bytes, struct outbox **ret_outbox);
void outbox_free(struct outbox *o);
DEFINE_AUTO(outbox)

/*
 * Room for a message of at most n bytes: the caller appends them, and calls outbox_end() soon, for all others wait.
 * NULL: there is no room (counted), or it is closed.
 */
struct buf *outbox_begin(struct outbox *o, unsigned kind, size_t n);
void outbox_end(struct outbox *o);
/* Nothing more is taken in; outbox_take() returns what is there, then false. */
void outbox_close(struct outbox *o);
/* Has outbox_take() return, if with nothing. */
void outbox_wake(struct outbox *o);
/* Waits until all that was put before has been worked off. */
void outbox_settle(struct outbox *o);

struct outbox_message {
	unsigned kind;
	const void *bytes;
	size_t n;
};
/*
 * The working thread: what was taken before is done with. Waits for messages, at most for so long. False: it is closed,
 * and nothing is left.
 */
bool outbox_take(struct outbox *o, uint64_t timeout_ns);
/* Walks what was taken, from *at = 0 on. */
bool outbox_next(const struct outbox *o, size_t *at, struct outbox_message *ret_message);

struct outbox_counts {
	uint64_t put, done, refused; /* messages; put - done wait or are being worked on */
	size_t bytes;                /* that wait */
};
void outbox_counts(struct outbox *o, struct outbox_counts *ret_counts);
