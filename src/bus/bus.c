/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/bus.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "bus/queue.h"

/* How long an idle shard sleeps before it looks at the time again. */
static const __u64 idle_ns = 100000000;
/* Between two looks for room. */
static const struct timespec room_pause = { .tv_nsec = 50000 };

struct shard {
	struct queue queue;
	pthread_t thread;
	bool running;
	unsigned number;
	struct bus *bus;
	/* The reader's own. */
	bool choked;     /* a wait was in vain, so none is made until there is room again */
	__u64 marked_ns; /* the last mark in the queue */
	__u64 told_ns;   /* the shard's own: the last time that the consumer was told */
	_Atomic __u64 put, delivered, waits, lost[EV_CLASS_COUNT];
};

struct bus {
	struct bus_options options;
	struct bus_consumer consumer;
	struct shard *shards;
	_Atomic __u64 now_ns;
	_Atomic bool stop;
};

/* Only one thread writes a counter; others read it. */
static void bump(_Atomic __u64 *counter)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1, memory_order_release);
}

static void tell_time(struct shard *s, __u64 now_ns)
{
	const struct bus_consumer *c = &s->bus->consumer;

	if (now_ns <= s->told_ns || !c->on_time)
		return;
	s->told_ns = now_ns;
	c->on_time(c->ctx, s->number, now_ns);
}

static void *shard_main(void *arg)
{
	struct shard *s = arg;
	struct bus *bus = s->bus;

	for (;;) {
		/* Read before the queue is found empty: then nothing older can be in it. */
		__u64 now_ns = atomic_load_explicit(&bus->now_ns, memory_order_acquire);
		bool stop = atomic_load_explicit(&bus->stop, memory_order_acquire);
		const struct queued *e = queue_peek(&s->queue);

		if (e && !e->rec) {
			tell_time(s, e->mark_ns);
			queue_pop(&s->queue);
			continue;
		}
		if (e) {
			bus->consumer.on_record(bus->consumer.ctx, s->number, e->rec, e->held);
			/* In this order: what bus_settle() has waited for is in the books. */
			bump(&s->delivered);
			queue_pop(&s->queue);
			continue;
		}
		if (!bus->options.exact)
			tell_time(s, now_ns);
		if (stop)
			return NULL;
		queue_wait(&s->queue, idle_ns);
	}
}

static int shard_start(struct bus *bus, unsigned number)
{
	struct shard *s = &bus->shards[number];
	char name[16];
	int r;

	s->bus = bus;
	s->number = number;
	r = queue_open(&s->queue, bus->options.queue_bytes);
	if (r < 0)
		return r;
	r = pthread_create(&s->thread, NULL, shard_main, s);
	if (r)
		return err_sys(r, "start shard %u", number);
	s->running = true;
	(void)snprintf(name, sizeof(name), "shard-%u", number);
	(void)pthread_setname_np(s->thread, name);
	return 0;
}

int bus_open(const struct bus_options *options, const struct bus_consumer *consumer, struct bus **ret_bus)
{
	struct bus *bus;

	if (!options->shards || options->shards > BUS_SHARDS_MAX)
		return err_new(-EINVAL, "%u shards: 1 to %d are possible", options->shards, BUS_SHARDS_MAX);
	bus = calloc(1, sizeof(*bus));
	if (!bus)
		return err_new(-ENOMEM, "no memory for the bus");
	bus->options = *options;
	bus->consumer = *consumer;
	bus->shards = aligned_alloc(64, options->shards * sizeof(*bus->shards));
	if (!bus->shards) {
		free(bus);
		return err_new(-ENOMEM, "no memory for %u shards", options->shards);
	}
	memset(bus->shards, 0, options->shards * sizeof(*bus->shards));
	for (unsigned i = 0; i < options->shards; i++) {
		int r = shard_start(bus, i);

		if (r < 0) {
			bus_free(bus);
			return r;
		}
	}
	*ret_bus = bus;
	return 0;
}

void bus_free(struct bus *bus)
{
	if (!bus)
		return;
	atomic_store(&bus->stop, true);
	for (unsigned i = 0; i < bus->options.shards; i++) {
		struct shard *s = &bus->shards[i];

		if (s->running) {
			queue_wake(&s->queue);
			(void)pthread_join(s->thread, NULL);
		}
		queue_close(&s->queue);
	}
	free(bus->shards);
	free(bus);
}

/* Room did not come at once: wake the shard and wait, as long as the options say. */
static bool put_waiting(struct shard *s, const struct ev_head *rec, void *held, size_t reserve)
{
	__u64 until = clock_mono_ns() + s->bus->options.wait_ns;

	bump(&s->waits);
	do {
		queue_wake(&s->queue);
		(void)nanosleep(&room_pause, NULL);
		if (queue_put(&s->queue, rec, held, reserve))
			return true;
	} while (clock_mono_ns() < until);
	return false;
}

static bool mark_waiting(struct shard *s, __u64 now_ns)
{
	__u64 until = clock_mono_ns() + s->bus->options.wait_ns;

	do {
		queue_wake(&s->queue);
		(void)nanosleep(&room_pause, NULL);
		if (queue_mark(&s->queue, now_ns))
			return true;
	} while (clock_mono_ns() < until);
	return false;
}

bool bus_put(struct bus *bus, __u64 entity, const struct ev_head *rec, void *held)
{
	/* The upper bits of the product depend on all bits of the entity. */
	struct shard *s = &bus->shards[(entity * 0x9e3779b97f4a7c15ULL >> 32) % bus->options.shards];
	size_t reserve = rec->class == EV_CRITICAL ? 0 : s->queue.size / 8;

	bump(&s->put);
	if (queue_put(&s->queue, rec, held, reserve) || (!s->choked && put_waiting(s, rec, held, reserve))) {
		s->choked = false;
		return true;
	}
	/* One full wait says that the shard is stuck: waiting again for each record would only stop the reader. */
	s->choked = true;
	bump(&s->lost[rec->class < EV_CLASS_COUNT ? rec->class : EV_BULK]);
	if (bus->consumer.release)
		bus->consumer.release(held);
	return false;
}

void bus_flush(struct bus *bus, __u64 now_ns)
{
	atomic_store_explicit(&bus->now_ns, now_ns, memory_order_release);
	for (unsigned i = 0; i < bus->options.shards; i++) {
		struct shard *s = &bus->shards[i];

		if (!bus->options.exact && !queue_used(&s->queue))
			continue;
		if (now_ns > s->marked_ns && (bus->options.exact || now_ns - s->marked_ns >= bus->options.mark_ns) &&
		    (queue_mark(&s->queue, now_ns) || (bus->options.exact && mark_waiting(s, now_ns))))
			s->marked_ns = now_ns;
		queue_wake(&s->queue);
	}
}

void bus_settle(struct bus *bus)
{
	static const struct timespec pause = { .tv_nsec = 100000 };

	for (unsigned i = 0; i < bus->options.shards; i++)
		while (queue_used(&bus->shards[i].queue)) {
			queue_wake(&bus->shards[i].queue);
			(void)nanosleep(&pause, NULL);
		}
}

unsigned bus_shards(const struct bus *bus)
{
	return bus->options.shards;
}

void bus_counts(const struct bus *bus, struct bus_counts *ret_counts)
{
	struct bus_counts sum = { 0 };

	for (unsigned i = 0; i < bus->options.shards; i++) {
		const struct shard *s = &bus->shards[i];

		/* Delivered first: then it never exceeds what was put. */
		sum.delivered += atomic_load_explicit(&s->delivered, memory_order_acquire);
		sum.put += atomic_load_explicit(&s->put, memory_order_acquire);
		sum.waits += atomic_load_explicit(&s->waits, memory_order_acquire);
		for (int c = 0; c < EV_CLASS_COUNT; c++)
			sum.lost[c] += atomic_load_explicit(&s->lost[c], memory_order_acquire);
		sum.queued_bytes += queue_used(&s->queue);
		sum.queue_bytes += s->queue.size;
	}
	*ret_counts = sum;
}
