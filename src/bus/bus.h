/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bus - carries records from the reader to the shards, where all that judges or listens runs.
 *
 * One shard is one thread. A record goes to the shard of its entity, so the records of one
 * entity stay in order and its state belongs to one thread. A full shard makes the reader
 * wait a bounded time (the kernel rings fill meanwhile); what then finds no room is counted
 * by class. Bulk records leave the last eighth of a shard's queue to the others.
 *
 * Every shard is told the time, busy or not: a mark stands in its queue behind the records that
 * came before, one each mark_ns of event time. A mark that finds no room is not lost, for the
 * next says more; and a shard that has emptied its queue knows the latest anyway.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "event/abi.h"

enum { BUS_SHARDS_MAX = 64 };

/* Runs on the shard's thread. The same ctx for all shards: state is kept a shard. */
struct bus_consumer {
	/* `held` is the consumer's from here on: it releases it. */
	void (*on_record)(void *ctx, unsigned shard, const struct ev_head *rec, void *held);
	/* Nothing that happened before now_ns is still to come. It never goes back. May be NULL. */
	void (*on_time)(void *ctx, unsigned shard, __u64 now_ns);
	/* For what was counted as lost: give `held` back. May be NULL. */
	void (*release)(void *held);
	void *ctx;
};

struct bus_options {
	unsigned shards;
	size_t queue_bytes; /* a shard */
	__u64 wait_ns;      /* the longest that a record waits for room */
	__u64 mark_ns;      /* event time between two marks in a queue that is never empty */
	/*
	 * Each flush is told to each shard at its place among the records, and no other time is: what the
	 * shards do then does not depend on how fast they are. A mark waits for room as a record does.
	 */
	bool exact;
};

struct bus_counts {
	__u64 put, delivered;
	__u64 lost[EV_CLASS_COUNT]; /* found no room in time */
	__u64 waits;                /* times the reader had to wait */
	size_t queued_bytes, queue_bytes;
};

struct bus;
int bus_open(const struct bus_options *options, const struct bus_consumer *consumer, struct bus **ret_bus);
/* Delivers what is queued, then ends the threads. */
void bus_free(struct bus *bus);

/* Reader thread only. `entity` picks the shard. False: lost, counted, and `held` released. */
bool bus_put(struct bus *bus, __u64 entity, const struct ev_head *rec, void *held);
/* Reader thread only, after each batch: nothing that happened before now_ns is still to come. */
void bus_flush(struct bus *bus, __u64 now_ns);
/* Waits until all that was put has been delivered. For replay and tests. */
void bus_settle(struct bus *bus);

unsigned bus_shards(const struct bus *bus);
/* Any thread; summed over the shards. */
void bus_counts(const struct bus *bus, struct bus_counts *ret_counts);
