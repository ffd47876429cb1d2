/* SPDX-License-Identifier: Apache-2.0 */
/*
 * queue - records from one producer thread to one consumer thread, in order, without locks.
 *
 * A byte ring: records have their own lengths, and what the producer holds for one (its
 * process) travels beside it. The producer learns at once when there is no room; the consumer
 * sleeps when there is nothing.
 */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include "event/abi.h"

struct queue {
	unsigned char *bytes;
	size_t size; /* a power of two */
	/* The two sides write to lines of their own: sharing one would bounce it on every record. */
	_Alignas(64) _Atomic size_t head; /* next byte that the producer writes */
	size_t tail_seen;                 /* the producer's copy of tail */
	_Alignas(64) _Atomic size_t tail; /* next byte that the consumer reads */
	size_t head_seen;
	_Alignas(64) _Atomic unsigned asleep; /* futex: the consumer waits for it to become 0 */
};

/* What stands before each record, or alone. */
struct queued {
	size_t size; /* of this entry, padding included */
	union {
		void *held;    /* belongs to the entry until the consumer has released it */
		__u64 mark_ns; /* where there is no record: see queue_mark(); 0: padding up to the end of the ring */
	};
	const struct ev_head *rec;
};

int queue_open(struct queue *q, size_t bytes);
void queue_close(struct queue *q);

/* Producer. False: no room while `reserve` bytes are to stay free. */
bool queue_put(struct queue *q, const struct ev_head *rec, void *held, size_t reserve);
/*
 * Producer: an entry without a record, that says a time to the consumer when it has taken all that was put before.
 * Not 0. False: no room.
 */
bool queue_mark(struct queue *q, __u64 mark_ns);
/* Producer: makes a sleeping consumer look. Call once a batch. */
void queue_wake(struct queue *q);
/* Producer or anyone: bytes in use. */
size_t queue_used(const struct queue *q);

/* Consumer. The oldest entry, or NULL; it stays until queue_pop(). */
const struct queued *queue_peek(struct queue *q);
void queue_pop(struct queue *q);
/* Consumer: the entry at or after *at, which begins as `tail`; NULL at the end. For looking without taking. */
const struct queued *queue_at(const struct queue *q, size_t *at);
/* Consumer: sleeps until the producer wakes it or the time is over. Returns at once when something is there. */
void queue_wait(struct queue *q, __u64 max_ns);
