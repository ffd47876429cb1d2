/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reader - one thread that drains the kernel rings.
 *
 * Records of the three rings are merged by time, so that what a process did is told in order
 * whatever ring it took. When the critical ring is a quarter full it goes first, whatever the
 * order: late is better than lost. The thread looks every 2 ms while there is something to do;
 * when nothing has come for a while it sleeps, and the kernel wakes it for a critical record or
 * a filling ring.
 */
#pragma once
#include "base/mem.h"
#include "bpf/core.h"
#include "event/event.h"

/* Both run on the reader's thread. */
struct reader_sink {
	void (*on_record)(void *ctx, const struct ev_head *rec, const struct event_kind *kind);
	/* A batch is over: nothing that happened before now_ns is still to come. */
	void (*on_batch)(void *ctx, __u64 now_ns);
	void *ctx;
};

struct reader_counts {
	__u64 records[RING_COUNT];
	__u64 malformed;      /* refused by event_check */
	__u64 wakeups;        /* times that it looked */
	__u64 latency_max_ns; /* oldest record met since the last reader_counts() */
	size_t used[RING_COUNT], bytes[RING_COUNT];
};

struct reader;
int reader_open(const struct bpf_core *core, const struct reader_sink *sink, struct reader **ret_reader);
/* Drains what is there, then ends the thread. */
void reader_free(struct reader *r);
DEFINE_AUTO(reader)
/* Any thread: the next batch comes now, also when there is nothing to read. */
void reader_wake(struct reader *r);
/* Any thread. */
void reader_counts(struct reader *r, struct reader_counts *ret_counts);
const char *ring_name(enum core_ring ring);
