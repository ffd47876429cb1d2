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

/* ---- time ------------------------------------------------------------------------------------------ */

enum { TIMED = 20000, EARLIER = 64 };

/* Each record knows how many were put before it, and so does each time: `now` is the number of records. */
struct timed {
	__u64 told[BUS_SHARDS_MAX], records[BUS_SHARDS_MAX], times[BUS_SHARDS_MAX];
	_Atomic long too_early, backwards;
	_Atomic bool held_up;
};

static void timed_record(void *ctx, unsigned shard, const struct ev_head *rec, void *held)
{
	struct timed *t = ctx;

	(void)held;
	while (t->held_up)
		(void)nanosleep(&(struct timespec) { .tv_nsec = 100000 }, NULL);
	/* It was told that nothing from before that time is still to come. */
	if (rec->time_ns < t->told[shard])
		t->too_early++;
	t->records[shard]++;
}

static void timed_time(void *ctx, unsigned shard, __u64 now_ns)
{
	struct timed *t = ctx;

	if (now_ns <= t->told[shard])
		t->backwards++;
	t->told[shard] = now_ns;
	t->times[shard]++;
}

/* The queue of the one shard never runs empty: the reader stays a few records ahead of it. */
TEST(a_shard_that_is_always_busy_is_told_the_time)
{
	static struct timed t;
	const struct bus_consumer consumer = { timed_record, timed_time, NULL, &t };
	const struct bus_options options = {
		.shards = 3, .queue_bytes = 1 << 20, .wait_ns = 10000000000, .mark_ns = 50
	};
	struct bus *bus;

	memset(&t, 0, sizeof(t));
	require_ok(bus_open(&options, &consumer, &bus));
	t.held_up = true;
	for (__u32 i = 0; i < 3000; i++) {
		struct numbered n = record(i, i, EV_NORMAL, 1);

		n.head.time_ns = i + 1;
		check(bus_put(bus, i, &n.head, NULL));
		bus_flush(bus, i + 2);
	}
	/* All of it is queued: what they are told from here on stands in the queues. */
	t.held_up = false;
	bus_settle(bus);
	bus_free(bus);
	check_int(t.too_early, 0);
	check_int(t.backwards, 0);
	for (unsigned s = 0; s < 3; s++) {
		check_int(t.told[s], 3001);
		/* Once in 50, and up to two at the ends, when it found its queue empty. */
		check(t.times[s] >= 3000 / 50 - 1);
		check(t.times[s] <= 3000 / 50 + 4);
		check(t.records[s] > 500);
	}
}

/* What each shard was told, in order, with how many of its records had come by then. */
struct sequence_of_times {
	struct {
		__u64 now, records;
	} told[4][400];
	unsigned n[4];
	__u64 records[4];
};

static void exact_record(void *ctx, unsigned shard, const struct ev_head *rec, void *held)
{
	struct sequence_of_times *t = ctx;

	(void)held;
	t->records[shard]++;
	if (rec->time_ns % 97 == 0)
		(void)nanosleep(&(struct timespec) { .tv_nsec = 100000 }, NULL);
}

static void exact_time(void *ctx, unsigned shard, __u64 now_ns)
{
	struct sequence_of_times *t = ctx;

	if (t->n[shard] < 400) {
		t->told[shard][t->n[shard]].now = now_ns;
		t->told[shard][t->n[shard]].records = t->records[shard];
	}
	t->n[shard]++;
}

static void run_exact(struct sequence_of_times *t, long pause_ns)
{
	const struct bus_consumer consumer = { exact_record, exact_time, NULL, t };
	const struct bus_options options = {
		.shards = 4, .queue_bytes = 1 << 16, .wait_ns = 60000000000, .exact = true
	};
	struct bus *bus;

	memset(t, 0, sizeof(*t));
	require_ok(bus_open(&options, &consumer, &bus));
	for (__u32 i = 0; i < 20000; i++) {
		struct numbered n = record(i % 3, i, EV_NORMAL, i);

		check(bus_put(bus, i % 3, &n.head, NULL));
		if (i % 100 != 99)
			continue;
		bus_flush(bus, i);
		if (pause_ns)
			(void)nanosleep(&(struct timespec) { .tv_nsec = pause_ns }, NULL);
	}
	bus_free(bus);
}

TEST(an_exact_bus_tells_each_time_at_the_same_place_however_fast_it_goes)
{
	static struct sequence_of_times fast, slow;

	run_exact(&fast, 0);
	run_exact(&slow, 200000);
	for (int s = 0; s < 4; s++) {
		check_int(fast.n[s], 200);
		check_int(slow.n[s], 200);
	}
	check(!memcmp(&fast, &slow, sizeof(fast)));
}

TEST(a_full_queue_does_not_lose_the_time)
{
	static struct timed t;
	const struct bus_consumer consumer = { timed_record, timed_time, NULL, &t };
	const struct bus_options options = { .shards = 1, .queue_bytes = 1 << 16, .wait_ns = 1 };
	struct bus_counts counts;
	struct bus *bus;
	__u64 now = 0;

	memset(&t, 0, sizeof(t));
	require_ok(bus_open(&options, &consumer, &bus));
	t.held_up = true;
	for (__u32 i = 0; i < TIMED; i++) {
		struct numbered n = record(i, i, EV_CRITICAL, 1);

		n.head.time_ns = ++now;
		(void)bus_put(bus, i, &n.head, NULL);
		bus_flush(bus, now + 1);
	}
	bus_counts(bus, &counts);
	check(counts.lost[EV_CRITICAL] > TIMED / 2);
	t.held_up = false;
	bus_settle(bus);
	bus_free(bus);
	check_int(t.told[0], now + 1);
	check_int(t.too_early, 0);
	check_int(t.backwards, 0);
	check_int(t.records[0] + counts.lost[EV_CRITICAL], TIMED);
}

TEST(the_time_of_many_shards_under_load_is_never_too_early)
{
	static struct timed t;
	const struct bus_consumer consumer = { timed_record, timed_time, NULL, &t };
	const struct bus_options options = {
		.shards = 4, .queue_bytes = 1 << 16, .wait_ns = 10000000000, .mark_ns = 7
	};
	struct bus *bus;

	memset(&t, 0, sizeof(t));
	require_ok(bus_open(&options, &consumer, &bus));
	for (__u32 i = 0; i < 10 * TIMED; i++) {
		struct numbered n = record(i % ENTITIES, i, EV_NORMAL, i);

		/* Out of order by a few, as several rings merged are; the time says so. */
		n.head.time_ns = 1000 + i - i * 7919 % EARLIER;
		check(bus_put(bus, i % ENTITIES, &n.head, NULL));
		if (i % 3 == 0)
			bus_flush(bus, 1000 + i + 1 - EARLIER);
	}
	bus_flush(bus, 1000 + 10 * TIMED);
	bus_free(bus);
	check_int(t.too_early, 0);
	check_int(t.backwards, 0);
	for (unsigned s = 0; s < 4; s++)
		check(t.told[s] == 1000 + 10 * TIMED && t.times[s] > 100);
}

TEST(a_bus_has_one_shard_at_least)
{
	const struct bus_consumer consumer = { on_record, NULL, NULL, NULL };
	struct bus *bus;

	check_int(bus_open(&(struct bus_options) { .shards = 0 }, &consumer, &bus), -EINVAL);
	check_int(bus_open(&(struct bus_options) { .shards = BUS_SHARDS_MAX + 1 }, &consumer, &bus), -EINVAL);
}
