/* SPDX-License-Identifier: Apache-2.0 */
/*
 * raw_ring - what the raw ring costs the thread that writes it.
 *
 * `put` figures compare raw_ring_put() with memcpy() of the same records into as much memory, in turn, by the CPU time
 * of the writing thread: with no reader, with one and with four that read all that comes. `readers` is what one of
 * them reads a second of its own CPU time. `both_paths` is the CPU time of the whole pipeline (context, bus, shard)
 * with a raw ring, divided by that without.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include "agent/pipeline.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/hash.h"
#include "bench/bench.h"
#include "bus/raw_ring.h"

enum { ROUNDS = 15, RECORDS = 400000, POOL = 512, BATCH = 512, RING = 16 << 20, READERS_MAX = 4, PIPE_RECORDS = 60000 };

static unsigned char pool[POOL][512] __attribute__((aligned(8)));
static unsigned char *flat;
static _Atomic bool over;
static __u64 sink;

/* Lengths of real records: a head, a body, often a path. */
static void make_pool(void)
{
	for (unsigned i = 0; i < POOL; i++) {
		struct ev_head *rec = (struct ev_head *)(void *)pool[i];

		rec->id = EV_ID(0x7e, 1 + i % 4);
		rec->len = (__u16)(sizeof(*rec) + 24 + hash_u64(i, 1) % 160);
		rec->class = EV_BULK;
		rec->pid = rec->tid = 100 + i % 50;
		rec->start_ns = 1000 + i % 50;
		rec->cgroup_id = 1;
	}
}

static struct ev_head *record(unsigned i)
{
	return (struct ev_head *)(void *)pool[i % POOL];
}

/* ---- against memcpy ----------------------------------------------------------------------------- */

static double copy_ns(void)
{
	double began = cpu_thread_ns();
	size_t at = 0;

	for (unsigned i = 0; i < RECORDS; i++) {
		const struct ev_head *rec = record(i);

		if (at + rec->len > RING)
			at = 0;
		memcpy(flat + at, rec, rec->len);
		at += (rec->len + 7U) & ~7U;
	}
	sink += flat[at / 2];
	return (cpu_thread_ns() - began) / RECORDS;
}

static double put_ns(struct raw_ring *ring)
{
	double began = cpu_thread_ns();

	for (unsigned i = 0; i < RECORDS; i++) {
		raw_ring_put(ring, record(i));
		if (i % BATCH == BATCH - 1)
			raw_ring_flush(ring, 1);
	}
	return (cpu_thread_ns() - began) / RECORDS;
}

struct reading {
	struct raw_ring *ring;
	double per_s;
	__u64 read, lost;
};

static void *read_all(void *arg)
{
	struct reading *r = arg;
	AUTO(raw_reader) reader = NULL;
	double began = cpu_thread_ns();
	__u64 lost;

	if (raw_reader_open(r->ring, "bench", RAW_FROM_NOW, &reader) < 0)
		return NULL;
	while (!over) {
		const struct ev_head *rec = raw_reader_next(reader, &lost);

		if (!rec) {
			(void)raw_reader_wait(reader, NS_PER_MS);
			continue;
		}
		sink += rec->time_ns;
		r->read++;
		r->lost += lost;
	}
	r->per_s = (double)r->read / (cpu_thread_ns() - began) * 1e9;
	return NULL;
}

static void bench_puts(unsigned readers)
{
	struct samples ratio = { 0 }, rate = { 0 }, reads = { 0 };
	struct reading reading[READERS_MAX] = { 0 };
	pthread_t threads[READERS_MAX];
	AUTO(raw_ring) ring = NULL;

	if (raw_ring_open(RING, &ring) < 0)
		return;
	over = false;
	for (unsigned i = 0; i < readers; i++) {
		reading[i].ring = ring;
		(void)pthread_create(&threads[i], NULL, read_all, &reading[i]);
	}
	(void)copy_ns();
	(void)put_ns(ring);
	for (int i = 0; i < ROUNDS && !bench_stopped(); i++) {
		double copy = copy_ns(), put = put_ns(ring);

		copy = (copy + copy_ns()) / 2;
		samples_add(&ratio, copy / put);
		samples_add(&rate, 1e9 / put);
	}
	over = true;
	for (unsigned i = 0; i < readers; i++) {
		(void)pthread_join(threads[i], NULL);
		samples_add(&reads, reading[i].per_s);
	}
	figure(&ratio, "x", GOAL_AT_LEAST, 0.5, "raw_ring/put_against_memcpy_%u_readers", readers);
	figure(&rate, "records/s", GOAL_AT_LEAST, 1e6, "raw_ring/put_%u_readers", readers);
	figure(&reads, "records/s", GOAL_NONE, 0, "raw_ring/read_each_of_%u", readers);
}

/* ---- both paths -------------------------------------------------------------------------------------- */

static double pipeline_ns(size_t ring)
{
	struct pipeline_options o = {
		.bus = { .shards = 1, .queue_bytes = 8 << 20, .wait_ns = 1000000000 },
		.context = { .limits = { .processes = 1000, .cgroups = 100, .memory = 16 << 20 }, .offline = true },
		.raw_ring_bytes = ring,
	};
	AUTO(pipeline) p = NULL;
	double began;

	if (pipeline_open(NULL, &o, &p) < 0)
		return 0;
	/* The first round touches the memory. */
	for (int round = 0; round < 2; round++) {
		began = cpu_family_ns();
		for (unsigned i = 0; i < PIPE_RECORDS * (round ? 4 : 2); i++) {
			struct ev_head *rec = record(i);

			rec->time_ns = i + 1;
			pipeline_put(p, rec, NULL);
			if (i % BATCH == BATCH - 1)
				pipeline_batch(p, i);
		}
		pipeline_batch(p, 1);
		bench_sleep_ms(20); /* the shard finishes */
	}
	return (cpu_family_ns() - began) / (PIPE_RECORDS * 4);
}

static void bench_both_paths(void)
{
	struct samples unified = { 0 }, both = { 0 }, ratio = { 0 };
	struct pairs pairs = { 0 };

	for (int i = 0; i < ROUNDS && !bench_stopped(); i++) {
		samples_add(&pairs.without, pipeline_ns(0));
		samples_add(&unified, pairs.without.v[pairs.without.n - 1]);
		samples_add(&pairs.with, pipeline_ns(RING));
		samples_add(&both, pairs.with.v[pairs.with.n - 1]);
	}
	samples_add(&pairs.without, pipeline_ns(0));
	pairs_ratio(&pairs, &ratio);
	figure(&unified, "ns", GOAL_NONE, 0, "raw_ring/unified_alone");
	figure(&both, "ns", GOAL_NONE, 0, "raw_ring/unified_and_raw");
	figure(&ratio, "x", GOAL_AT_MOST, 1.02, "raw_ring/both_paths");
}

int main(void)
{
	bench_begin();
	make_pool();
	flat = malloc(RING);
	if (!flat)
		return 1;
	memset(flat, 1, RING);
	bench_puts(0);
	bench_puts(1);
	bench_puts(4);
	bench_both_paths();
	free(flat);
	return bench_end();
}
