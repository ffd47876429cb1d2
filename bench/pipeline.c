/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pipeline - how many records a second one core takes from a kernel ring to a shard.
 *
 * A BPF program fills the bulk ring, then the time to drain it is taken: the CPU time of the thread that drains,
 * because on a shared machine that alone is ours, and the wall time. Four ways, each with all of the one before:
 *
 *	send	(ns) what a record costs in the kernel, from its making to the ring
 *	ring	stepping over the records
 *	reader	the agent's reader: merging three rings by time, checking each record
 *	bus	putting them onto the bus, where a shard takes them and does nothing
 *	context	keeping the process tree, and on the shard the history of events
 *
 * `shard` figures are the CPU time of the shard's thread a record. `many` is `context` for records of a thousand
 * processes in turn, which are not in the caches as one process is.
 */
#include <errno.h>
#include <string.h>
#include <time.h>
#include "agent/pipeline.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/test.h"
#include "bench/bench.h"
#include "bpf/ring.h"
#include "bus/bus.h"
#include "tests/sandbox/flood.h"
#include "tests/sandbox/observe.h"

enum {
	ROUNDS = 15,
	FLOOD = 120000, /* what fits into the bulk ring */
	RING_BYTES = 16 << 20,
	PROCESSES = 1000,
	BATCH = 4096,
	DRAIN_MS = 20000,
};

struct stage {
	const char *name;
	double goal; /* records/s of CPU time; 0: none */
	struct samples cpu, wall, shard;
};

enum { STAGE_RING, STAGE_READER, STAGE_BUS, STAGE_CONTEXT, STAGE_MANY, STAGE_COUNT };

static struct stage stages[STAGE_COUNT] = {
	{ "ring" }, { "reader" }, { "bus", 10e6 }, { "context", 2e6 }, { "many" },
};

/* One drain, seen from the reader's thread. */
struct drain {
	struct bus *bus;
	struct pipeline *pipeline;
	double cpu_began, wall_began, cpu_ended, wall_ended;
	__u64 n;
	_Atomic __u64 done; /* n, told to the thread that waits */
};

static struct samples send;
static __u64 sink;

/* ---- what takes the records --------------------------------------------------------------------- */

static void begin(struct drain *d)
{
	d->cpu_began = cpu_thread_ns();
	d->wall_began = wall_ns();
}

static void take_record(void *ctx, const struct ev_head *rec, const struct event_kind *kind)
{
	struct drain *d = ctx;

	if (!d->n++)
		begin(d);
	if (d->pipeline)
		pipeline_put(d->pipeline, rec, kind);
	else if (d->bus)
		(void)bus_put(d->bus, rec->pid, rec, NULL);
}

static void take_batch(void *ctx, __u64 now_ns)
{
	struct drain *d = ctx;

	if (d->pipeline)
		pipeline_batch(d->pipeline, now_ns);
	else if (d->bus)
		bus_flush(d->bus, now_ns);
	if (d->n == d->done)
		return;
	d->cpu_ended = cpu_thread_ns();
	d->wall_ended = wall_ns();
	d->done = d->n;
}

static void ignore_record(void *ctx, unsigned shard, const struct ev_head *rec, void *held)
{
	(void)ctx;
	(void)shard;
	(void)held;
	/* The first word of the record is what any consumer reads. */
	sink += rec->time_ns;
}

static void keep(struct stage *s, const struct drain *d)
{
	samples_add(&s->cpu, (double)d->n / (d->cpu_ended - d->cpu_began) * 1e9);
	samples_add(&s->wall, (double)d->n / (d->wall_ended - d->wall_began) * 1e9);
}

/* ---- the ways -------------------------------------------------------------------------------------- */

static bool fill(struct observer *ob)
{
	double began = cpu_thread_ns();

	if (flood_run(ob->object, 0, FLOOD) == 0) {
		samples_add(&send, (cpu_thread_ns() - began) / FLOOD);
		return !bench_stopped();
	}
	test_fail(T_HERE, "%s", err_trail());
	return false;
}

static void drain_ring(struct ring *ring)
{
	struct drain d = { 0 };
	const struct ev_head *rec;
	size_t len;

	begin(&d);
	while ((rec = ring_peek(ring, &len))) {
		sink += rec->time_ns;
		ring_next(ring);
		if (++d.n % BATCH == 0)
			ring_release(ring);
	}
	ring_release(ring);
	d.cpu_ended = cpu_thread_ns();
	d.wall_ended = wall_ns();
	keep(&stages[STAGE_RING], &d);
}

/* The agent's reader, for as long as it takes to drain what is there. */
static bool drain_by_reader(struct observer *ob, struct stage *s, struct drain *d)
{
	const struct reader_sink to = { take_record, take_batch, d };
	double cpu = cpu_family_ns(), own = cpu_thread_ns(), deadline = wall_ns() + DRAIN_MS * 1e6;
	AUTO(reader) reader = NULL;

	if (reader_open(ob->core, &to, &reader) < 0) {
		test_fail(T_HERE, "%s", err_trail());
		return false;
	}
	while (d->done < FLOOD && wall_ns() < deadline && !bench_stopped())
		bench_sleep_ms(1);
	if (d->bus)
		bus_settle(d->bus);
	else if (d->pipeline)
		bench_sleep_ms(100); /* its shard is not ours to ask */
	if (d->done < FLOOD) {
		test_fail(T_HERE, "%s: %llu of %d records came", s->name, d->done, FLOOD);
		return false;
	}
	keep(s, d);
	/* All threads but this one and the reader's: the shard's. */
	if (d->bus || d->pipeline)
		samples_add(&s->shard,
			    (cpu_family_ns() - cpu - (cpu_thread_ns() - own) - (d->cpu_ended - d->cpu_began)) /
				    (double)d->n);
	return true;
}

/* Records of many processes, from memory. */
static void put_many(struct pipeline *pipeline, bool keep_figures)
{
	static struct ev_flood rec;
	struct drain d = { .pipeline = pipeline };

	rec.head = (struct ev_head) { .id = EV_FLOOD_BULK, .len = sizeof(rec), .class = EV_BULK, .cgroup_id = 1 };
	for (int i = 0; i < FLOOD; i++) {
		rec.head.time_ns = 1000000000ULL + (__u64)i;
		rec.head.pid = rec.head.tid = 5000000U + (__u32)(i * 7) % PROCESSES;
		rec.head.start_ns = 1000000ULL * rec.head.pid;
		take_record(&d, &rec.head, event_kind_of(EV_FLOOD_BULK));
		if (i % BATCH == BATCH - 1)
			pipeline_batch(pipeline, rec.head.time_ns);
	}
	d.done = 0;
	take_batch(&d, rec.head.time_ns);
	bench_sleep_ms(100);
	if (keep_figures)
		keep(&stages[STAGE_MANY], &d);
}

/* ---- together ----------------------------------------------------------------------------------------- */

static int open_pipeline(struct observer *ob, struct pipeline **ret_pipeline)
{
	struct pipeline_options options = {
		.bus = { .shards = 1, .queue_bytes = 8 << 20, .wait_ns = 1000000000 },
		.context = { .core = ob->core },
	};
	int r = option_defaults(context_option_rows, context_n_option_rows, &options.context.limits);

	return r < 0 ? r : pipeline_open(ob->core, &options, ret_pipeline);
}

static bool round_of_all(struct observer *ob, struct bus *bus, struct pipeline *pipeline)
{
	struct drain reader = { 0 }, to_bus = { .bus = bus }, to_context = { .pipeline = pipeline };

	if (!fill(ob))
		return false;
	drain_ring(&ob->rings[RING_BULK]);
	if (!fill(ob) || !drain_by_reader(ob, &stages[STAGE_READER], &reader))
		return false;
	if (!fill(ob) || !drain_by_reader(ob, &stages[STAGE_BUS], &to_bus))
		return false;
	if (!fill(ob) || !drain_by_reader(ob, &stages[STAGE_CONTEXT], &to_context))
		return false;
	put_many(pipeline, true);
	/* The others have moved on since; this one has a place of its own in the ring. */
	ob->rings[RING_BULK].at = ob->rings[RING_BULK].visible = *ob->rings[RING_BULK].consumer_pos;
	return !bench_stopped();
}

static void measure(struct observer *ob)
{
	const struct bus_options options = { .shards = 1, .queue_bytes = 8 << 20, .wait_ns = 1000000000 };
	const struct bus_consumer nobody = { .on_record = ignore_record };
	AUTO(pipeline) pipeline = NULL;
	struct bus *bus = NULL;

	if (bus_open(&options, &nobody, &bus) < 0 || open_pipeline(ob, &pipeline) < 0) {
		test_fail(T_HERE, "%s", err_trail());
		bus_free(bus);
		return;
	}
	/* The processes become known. */
	put_many(pipeline, false);
	for (int i = 0; i < ROUNDS && round_of_all(ob, bus, pipeline);)
		i++;
	bus_free(bus);
}

static void tell(const struct stage *s)
{
	figure(&s->cpu, "records/s of CPU time", s->goal ? GOAL_AT_LEAST : GOAL_NONE, s->goal, "pipeline.%s", s->name);
	figure(&s->wall, "records/s", GOAL_NONE, 0, "pipeline.%s.wall", s->name);
	figure(&s->shard, "ns a record", GOAL_NONE, 0, "pipeline.%s.shard", s->name);
}

static void run(void)
{
	const struct core_options core = {
		.ring_bytes = { [RING_CRITICAL] = 1 << 20, [RING_BULK] = RING_BYTES, [RING_PACKET] = 1 << 16 },
	};
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { .scope.cgroup_fd = -1 };

	for (size_t i = 0; i < sensor_flood.n_kinds; i++)
		if (event_kind_register(&sensor_flood.kinds[i]) < 0)
			return;
	if (!sandbox_open(&sb, SANDBOX_PLAIN) || !observe_open_with(&ob, &sb, &sensor_flood, NULL, &core))
		return;
	measure(&ob);
	figure(&send, "ns a record", GOAL_NONE, 0, "pipeline.send");
	for (size_t i = 0; i < STAGE_COUNT; i++)
		tell(&stages[i]);
}

int main(void)
{
	bench_begin();
	run();
	return sink == 1 ? 2 : bench_end();
}
