/* SPDX-License-Identifier: Apache-2.0 */
/* What the bus promises: order of an entity, no silent loss, bounded waits. Run under ThreadSanitizer too. */
#include "bus/bus.h"
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include "base/err.h"
#include "base/test.h"

enum { ENTITIES = 97, RECORDS = 200000 };

/* Bodies of records: who it is about and how many came before. */
struct numbered {
	struct ev_head head;
	__u32 entity, serial;
	char fill[200];
};

struct seen {
	__u32 next[ENTITIES];
	_Atomic long records, out_of_order, torn, released, late;
	_Atomic __u64 newest_ns;
	_Atomic int slow_us;
	__u64 last_time[BUS_SHARDS_MAX];
};

static void on_record(void *ctx, unsigned shard, const struct ev_head *rec, void *held)
{
	const struct numbered *n = (const void *)rec;
	struct seen *seen = ctx;

	if (held != (void *)(size_t)(n->entity + 1) || n->fill[0] != (char)n->serial)
		seen->torn++;
	if (seen->next[n->entity] > n->serial)
		seen->out_of_order++;
	if (rec->time_ns < seen->last_time[shard])
		seen->late++;
	seen->next[n->entity] = n->serial + 1;
	seen->records++;
	if (seen->slow_us)
		(void)nanosleep(&(struct timespec) { .tv_nsec = seen->slow_us * 1000L }, NULL);
}

static void on_time(void *ctx, unsigned shard, __u64 now_ns)
{
	((struct seen *)ctx)->last_time[shard] = now_ns;
}

static _Atomic long released;

static void release(void *held)
{
	(void)held;
	released++;
}

static struct numbered record(__u32 entity, __u32 serial, enum ev_class class, unsigned extra)
{
	struct numbered n = { .entity = entity, .serial = serial };

	n.head.len = (__u16)(sizeof(n) - sizeof(n.fill) + 1 + extra % sizeof(n.fill));
	n.head.class = class;
	n.head.time_ns = serial + 1;
	n.fill[0] = (char)serial;
	return n;
}

static void order_is_kept(unsigned shards)
{
	static struct seen seen;
	const struct bus_consumer consumer = { on_record, on_time, release, &seen };
	const struct bus_options options = { .shards = shards, .queue_bytes = 1 << 18, .wait_ns = 10000000000 };
	struct bus_counts counts;
	struct bus *bus;

	memset(&seen, 0, sizeof(seen));
	require_ok(bus_open(&options, &consumer, &bus));
	for (__u32 i = 0; i < RECORDS; i++) {
		__u32 entity = i * 7 % ENTITIES;
		struct numbered n = record(entity, i, EV_NORMAL, i * 13);

		check(bus_put(bus, entity, &n.head, (void *)(size_t)(entity + 1)));
		if (i % 512 == 0)
			bus_flush(bus, i);
	}
	bus_flush(bus, RECORDS);
	bus_settle(bus);
	bus_counts(bus, &counts);
	bus_free(bus);
	check_int(counts.put, RECORDS);
	check_int(counts.delivered, RECORDS);
	check_int(seen.records, RECORDS);
	check_int(seen.out_of_order, 0);
	check_int(seen.torn, 0);
	check_int(seen.late, 0);
	for (int c = 0; c < EV_CLASS_COUNT; c++)
		check_int(counts.lost[c], 0);
}

TEST(the_order_of_an_entity_is_kept)
{
	order_is_kept(1);
	order_is_kept(4);
}

TEST(what_finds_no_room_is_counted_and_critical_records_get_the_last_of_it)
{
	static struct seen seen;
	const struct bus_consumer consumer = { on_record, NULL, release, &seen };
	const struct bus_options options = { .shards = 1, .queue_bytes = 1 << 16, .wait_ns = 1000000 };
	struct bus_counts counts;
	struct bus *bus;
	long bulk = 0, critical = 0;

	memset(&seen, 0, sizeof(seen));
	seen.slow_us = 20000;
	released = 0;
	require_ok(bus_open(&options, &consumer, &bus));
	for (__u32 i = 0; i < 2000; i++) {
		struct numbered n = record(1, i, EV_BULK, 150);

		bulk += bus_put(bus, 1, &n.head, (void *)2);
	}
	/* The bulk flood has left an eighth: room for these. */
	for (__u32 i = 0; i < 10; i++) {
		struct numbered n = record(1, 2000 + i, EV_CRITICAL, 150);

		critical += bus_put(bus, 1, &n.head, (void *)2);
	}
	bus_counts(bus, &counts);
	check(bulk < 2000);
	check_int(critical, 10);
	check_int(counts.lost[EV_CRITICAL], 0);
	check_int(counts.lost[EV_BULK], 2000 - bulk);
	check_int(counts.put, 2010);
	check_int(released, 2000 - bulk);
	seen.slow_us = 0;
	bus_free(bus); /* delivers what it took */
	check_int(seen.records, bulk + critical);
}

TEST(a_stuck_shard_stops_the_reader_once_and_not_for_each_record)
{
	static struct seen seen;
	const struct bus_consumer consumer = { on_record, NULL, release, &seen };
	const struct bus_options options = { .shards = 1, .queue_bytes = 1 << 16, .wait_ns = 20000000 };
	struct bus_counts counts;
	struct bus *bus;

	memset(&seen, 0, sizeof(seen));
	seen.slow_us = 500000; /* one record outlasts all that the reader does below */
	require_ok(bus_open(&options, &consumer, &bus));
	for (__u32 i = 0; i < 3000; i++) {
		struct numbered n = record(1, i, EV_BULK, 150);

		(void)bus_put(bus, 1, &n.head, (void *)2);
	}
	bus_counts(bus, &counts);
	check(counts.waits <= 3);
	seen.slow_us = 0;
	bus_free(bus);
}

TEST(a_bus_has_one_shard_at_least)
{
	const struct bus_consumer consumer = { on_record, NULL, NULL, NULL };
	struct bus *bus;

	check_int(bus_open(&(struct bus_options) { .shards = 0 }, &consumer, &bus), -EINVAL);
	check_int(bus_open(&(struct bus_options) { .shards = BUS_SHARDS_MAX + 1 }, &consumer, &bus), -EINVAL);
}
