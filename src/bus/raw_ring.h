/* SPDX-License-Identifier: Apache-2.0 */
/*
 * raw_ring - the newest records, as the kernel wrote them, for any number of readers.
 *
 * Fixed memory, one writer that never waits, and readers that cost it nothing: the new
 * overwrites the old. A record has a number, counted from 0 since the ring was opened, and
 * numbers are what cursors are made of: 64 bits, absolute, never used again.
 *
 *  - A reader gets every record in order, or learns exactly how many it lost.
 *  - It never sees a torn record: it copies one out, then looks whether the writer has
 *    meanwhile announced that it is about to write there.
 *  - The ring gives up its oldest records 1/64 of its size at a time, so it holds between
 *    63/64 of its size and all of it. That is what keeps the writer's announcement, and the line
 *    that readers look at, still for most records.
 *  - Nobody is woken by a put. Readers sleep in raw_reader_wait(), and raw_ring_flush(), once
 *    a batch, wakes them when there are any.
 *
 * Memory is touched as it is first written: an idle host keeps little of it.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "base/mem.h"
#include "event/abi.h"

enum {
	RAW_RING_BYTES_MIN = 256 << 10,
	RAW_RING_READERS_MAX = 256,
	RAW_READER_NAME_MAX = 32, /* NUL included; a longer name is cut */
};
#define RAW_RING_BYTES_MAX (64ULL << 30)

struct raw_ring;
/* A power of two from RAW_RING_BYTES_MIN to RAW_RING_BYTES_MAX, or -EINVAL. */
int raw_ring_open(size_t bytes, struct raw_ring **ret_ring);
/* After its readers. */
void raw_ring_free(struct raw_ring *ring);
DEFINE_AUTO(raw_ring)

/* ---- the writer: one thread --------------------------------------------------------------- */

/* `rec` is aligned to 8, and its len is at least a head's and at most EV_LEN_MAX. */
void raw_ring_put(struct raw_ring *ring, const struct ev_head *rec);
/* After each batch: wakes readers that sleep, and keeps the rates. */
void raw_ring_flush(struct raw_ring *ring, __u64 now_ns);

/* ---- readers: each is one thread's ---------------------------------------------------------- */

enum raw_from {
	RAW_FROM_OLDEST, /* what the ring still holds */
	RAW_FROM_NOW,    /* what comes from here on */
};

struct raw_reader;
/* `name` says in the metrics whose it is. -EBUSY: RAW_RING_READERS_MAX are there. Any thread. */
int raw_reader_open(struct raw_ring *ring, const char *name, enum raw_from from, struct raw_reader **ret_reader);
void raw_reader_free(struct raw_reader *reader);
DEFINE_AUTO(raw_reader)

/*
 * The next record, aligned to 8, valid until the next call; NULL when there is none yet.
 * *ret_lost is how many were overwritten between the one before and this one.
 */
const struct ev_head *raw_reader_next(struct raw_reader *reader, __u64 *ret_lost);

/* The cursor: the number of the record that raw_reader_next() would hand out now. */
__u64 raw_reader_cursor(const struct raw_reader *reader);
/*
 * Goes to a cursor of before, of this reader or another one of this ring. One that is
 * overwritten counts as lost what lies between, at the next call; one that never was handed out, being
 * greater than the number of the next record, is -EINVAL and changes nothing.
 */
int raw_reader_seek(struct raw_reader *reader, __u64 cursor);

/* Sleeps until there is something to read, or the time is over. True: there is. */
bool raw_reader_wait(struct raw_reader *reader, __u64 max_ns);

/* ---- metrics: any thread ---------------------------------------------------------------------- */

struct raw_ring_metrics {
	__u64 capacity, used; /* bytes */
	__u64 puts, put_bytes;
	__u64 overwritten; /* records that the ring has given up; the oldest it holds has this number */
	__u64 per_s;       /* records of the last whole second that had a flush */
	unsigned readers;
};
void raw_ring_metrics(const struct raw_ring *ring, struct raw_ring_metrics *ret_metrics);

struct raw_kind_metrics {
	__u64 puts, per_s;
};
/* Of the records of one id. */
void raw_ring_kind_metrics(const struct raw_ring *ring, __u16 id, struct raw_kind_metrics *ret_metrics);

struct raw_reader_metrics {
	char name[RAW_READER_NAME_MAX];
	__u64 cursor; /* number of the next record */
	__u64 lag;    /* records that it has not read yet, overwritten ones included */
	__u64 read, lost;
};
/* The reader in a slot below RAW_RING_READERS_MAX; false when there is none. */
bool raw_ring_reader_metrics(const struct raw_ring *ring, unsigned slot, struct raw_reader_metrics *ret_metrics);
