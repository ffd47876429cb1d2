/* SPDX-License-Identifier: Apache-2.0 */
/* What the raw ring promises: order, exact loss, nothing torn. Run under ThreadSanitizer too. */
#include "bus/raw_ring.h"
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/test.h"

enum { SIZE = RAW_RING_BYTES_MIN, BODY_MAX = EV_LEN_MAX - sizeof(struct ev_head) - 16 };

/* A record that can be checked alone: which one it is, and a sum over all of it. */
struct numbered {
	struct ev_head head;
	__u64 serial, sum;
	unsigned char body[BODY_MAX];
};

static struct numbered made;

static __u64 sum_of(const struct numbered *n)
{
	return hash_bytes(n->body, n->head.len - offsetof(struct numbered, body), n->serial + n->head.len);
}

static __u64 next_random(__u64 *state)
{
	*state += HASH_K1;
	return hash_u64(*state, 7);
}

static void make_of(struct numbered *n, __u64 serial, size_t body)
{
	__u64 state = serial;

	memset(&n->head, 0, sizeof(n->head));
	n->head.id = EV_ID(1, 1 + serial % 3);
	n->head.len = (__u16)(offsetof(struct numbered, body) + body);
	n->serial = serial;
	for (size_t i = 0; i < body; i += 8) {
		__u64 v = next_random(&state);

		memcpy(n->body + i, &v, body - i < 8 ? body - i : 8);
	}
	n->sum = sum_of(n);
}

static const struct ev_head *make(__u64 serial, size_t body)
{
	make_of(&made, serial, body);
	return &made.head;
}

/* Lengths as they come: mostly short, now and then the longest that there is. */
static size_t body_of(__u64 serial, __u64 longest_every)
{
	__u64 r = hash_u64(serial, 3);

	return longest_every && r % longest_every == 0 ? BODY_MAX : r % 300;
}

static bool is_sound(const struct ev_head *rec)
{
	const struct numbered *n = (const void *)rec;

	return rec->len >= offsetof(struct numbered, body) && n->sum == sum_of(n);
}

static __u64 serial_of(const struct ev_head *rec)
{
	return ((const struct numbered *)(const void *)rec)->serial;
}

TEST(only_a_power_of_two_makes_a_ring)
{
	static const struct {
		const char *name;
		size_t bytes;
	} rows[] = {
		{ "nothing", 0 },
		{ "too small", RAW_RING_BYTES_MIN / 2 },
		{ "no power of two", RAW_RING_BYTES_MIN + 4096 },
		{ "too large", RAW_RING_BYTES_MAX * 2 },
	};
	struct raw_ring *ring;

	for_each_row (r, rows)
		check_int(raw_ring_open(r->bytes, &ring), -EINVAL);
}

TEST(an_empty_ring_has_nothing_and_says_so)
{
	AUTO(raw_ring) ring = NULL;
	AUTO(raw_reader) reader = NULL;
	struct raw_ring_metrics m;
	__u64 lost = 1;

	require_ok(raw_ring_open(SIZE, &ring));
	require_ok(raw_reader_open(ring, "r", RAW_FROM_OLDEST, &reader));
	check(!raw_reader_next(reader, &lost));
	check_int(lost, 0);
	check(!raw_reader_wait(reader, 1000));
	raw_ring_metrics(ring, &m);
	check_int(m.used, 0);
	check_int(m.puts, 0);
	check_int(m.overwritten, 0);
	check_int(m.readers, 1);
}

/* What was put, in full, and how many bytes since: the slow ring that the fast one is held against. */
struct model {
	size_t *bodies;
	__u64 *bytes_before;
	__u64 n, bytes;
};

static void model_put(struct model *m, size_t body)
{
	m->bodies[m->n] = body;
	m->bytes_before[m->n] = m->bytes;
	m->bytes += 8 + (sizeof(struct ev_head) + 16 + body + 7) / 8 * 8;
	m->n++;
}

/* May record i be gone? A part, and the padding before one of the longest records, may be missing from the size. */
static bool model_may_be_gone(const struct model *m, __u64 i)
{
	return m->bytes - m->bytes_before[i] > SIZE - SIZE / 64 - 3 * (EV_LEN_MAX + 16);
}

/* Must it be gone, for there is no room for all since? */
static bool model_must_be_gone(const struct model *m, __u64 i)
{
	return m->bytes - m->bytes_before[i] > SIZE;
}

static void check_next(const struct model *m, struct raw_reader *reader, __u64 *expected)
{
	static struct numbered want;
	__u64 lost;
	const struct ev_head *rec = raw_reader_next(reader, &lost);

	for (__u64 i = 0; i < lost; i++)
		if (!model_may_be_gone(m, *expected + i))
			test_fail(T_HERE, "record %llu was given up early", *expected + i);
	*expected += lost;
	if (!rec) {
		check_int(*expected, m->n);
		check_int(lost, 0);
		return;
	}
	check(!model_must_be_gone(m, *expected));
	make_of(&want, *expected, m->bodies[*expected]);
	if (rec->len != want.head.len || memcmp(rec, &want, rec->len) != 0)
		test_fail(T_HERE, "record %llu is not what was put", *expected);
	++*expected;
	check_int(raw_reader_cursor(reader), *expected);
}

enum { MODEL_STEPS = 40000, MODEL_READERS = 5 };

static void run_model(__u64 seed, __u64 longest_every)
{
	AUTO(raw_ring) ring = NULL;
	struct raw_reader *readers[MODEL_READERS] = { NULL };
	__u64 expected[MODEL_READERS] = { 0 }, state = seed;
	auto_free size_t *bodies = calloc(MODEL_STEPS, sizeof(*bodies));
	auto_free __u64 *before = calloc(MODEL_STEPS, sizeof(*before));
	struct model m = { bodies, before, 0, 0 };
	struct raw_ring_metrics metrics;

	require(bodies && before);
	require_ok(raw_ring_open(SIZE, &ring));
	for (int i = 0; i < MODEL_READERS; i++)
		require_ok(raw_reader_open(ring, "model", RAW_FROM_OLDEST, &readers[i]));
	for (int step = 0; step < MODEL_STEPS; step++) {
		__u64 r = next_random(&state);
		/* The first reader always keeps up, the last one hardly ever looks. */
		int who = (int)((r >> 8) % MODEL_READERS);

		if (r % 3) {
			size_t body = body_of(m.n, longest_every);

			raw_ring_put(ring, make(m.n, body));
			model_put(&m, body);
		} else if (r % 300 == 0 && who > 0) {
			__u64 to = next_random(&state) % (m.n + 1);

			require_ok(raw_reader_seek(readers[who], to));
			expected[who] = to;
		} else if (who < MODEL_READERS - 1 || r % 1000 == 0) {
			for (int i = 0; i < 1 + 4 * (who == 0); i++)
				check_next(&m, readers[who], &expected[who]);
		}
	}
	raw_ring_metrics(ring, &metrics);
	check_int(metrics.puts, m.n);
	check_int(metrics.capacity, SIZE);
	check(metrics.used <= SIZE);
	check(metrics.overwritten > 0);
	check(!model_must_be_gone(&m, metrics.overwritten));
	check(model_may_be_gone(&m, metrics.overwritten - 1));
	for (int i = 0; i < MODEL_READERS; i++) {
		struct raw_reader_metrics rm;

		while (expected[i] < m.n)
			check_next(&m, readers[i], &expected[i]);
		require(raw_ring_reader_metrics(ring, (unsigned)i, &rm));
		check_str(rm.name, "model");
		check_int(rm.lag, 0);
		check_int(rm.cursor, m.n);
		raw_reader_free(readers[i]);
	}
	check(!raw_ring_reader_metrics(ring, 0, &(struct raw_reader_metrics) { 0 }));
}

TEST(it_agrees_with_a_slow_ring)
{
	for (__u64 seed = 1; seed <= 3; seed++)
		run_model(seed, 0);
}

TEST(it_agrees_with_a_slow_ring_when_the_longest_records_come)
{
	for (__u64 seed = 11; seed <= 13; seed++)
		run_model(seed, 40);
	run_model(21, 1);
}

TEST(a_reader_that_begins_now_sees_what_comes)
{
	AUTO(raw_ring) ring = NULL;
	AUTO(raw_reader) reader = NULL;
	const struct ev_head *rec;
	__u64 lost;

	require_ok(raw_ring_open(SIZE, &ring));
	for (__u64 i = 0; i < 5000; i++)
		raw_ring_put(ring, make(i, body_of(i, 0)));
	require_ok(raw_reader_open(ring, "now", RAW_FROM_NOW, &reader));
	check(!raw_reader_next(reader, &lost));
	raw_ring_put(ring, make(5000, 10));
	rec = raw_reader_next(reader, &lost);
	require(rec);
	check_int(serial_of(rec), 5000);
	check_int(lost, 0);
	check_int(raw_reader_seek(reader, 5002), -EINVAL);
	check_int(raw_reader_cursor(reader), 5001);
}

TEST(rates_and_counts_are_kept_by_type)
{
	AUTO(raw_ring) ring = NULL;
	struct raw_kind_metrics k;
	struct raw_ring_metrics m;

	require_ok(raw_ring_open(SIZE, &ring));
	raw_ring_flush(ring, 5 * NS_PER_S);
	for (__u64 i = 0; i < 300; i++)
		raw_ring_put(ring, make(i, 8));
	raw_ring_flush(ring, 7 * NS_PER_S);
	raw_ring_kind_metrics(ring, EV_ID(1, 2), &k);
	check_int(k.puts, 100);
	check_int(k.per_s, 50);
	raw_ring_metrics(ring, &m);
	check_int(m.per_s, 150);
	check_int(m.put_bytes, 300 * (sizeof(struct ev_head) + 24));
	raw_ring_flush(ring, 8 * NS_PER_S);
	raw_ring_kind_metrics(ring, EV_ID(1, 2), &k);
	check_int(k.per_s, 0);
	check_int(k.puts, 100);
}

TEST(there_are_only_so_many_readers)
{
	AUTO(raw_ring) ring = NULL;
	struct raw_reader *readers[RAW_RING_READERS_MAX] = { NULL }, *more = NULL;

	require_ok(raw_ring_open(SIZE, &ring));
	for (int i = 0; i < RAW_RING_READERS_MAX; i++)
		require_ok(raw_reader_open(ring, "a name that is much longer than there is room for", RAW_FROM_NOW,
					   &readers[i]));
	check_int(raw_reader_open(ring, "more", RAW_FROM_NOW, &more), -EBUSY);
	raw_reader_free(take(readers[7]));
	require_ok(raw_reader_open(ring, "more", RAW_FROM_NOW, &readers[7]));
	for (int i = 0; i < RAW_RING_READERS_MAX; i++)
		raw_reader_free(readers[i]);
}

/* ---- with threads ------------------------------------------------------------------------------ */

enum { STRESS_PUTS = 400000, STRESS_READERS = 4 };

struct stress {
	struct raw_ring *ring;
	_Atomic bool over;
	_Atomic long torn, out_of_order, wrong_sum;
};

/* Every other reader dawdles, so it is overtaken again and again. */
static void *stress_read(void *arg)
{
	struct stress *s = arg;
	AUTO(raw_reader) reader = NULL;
	__u64 first, expected, got = 0, lost_sum = 0, lost;
	bool over = false;

	if (raw_reader_open(s->ring, "stress", RAW_FROM_OLDEST, &reader) < 0)
		return NULL;
	expected = first = raw_reader_cursor(reader);
	for (;;) {
		const struct ev_head *rec = raw_reader_next(reader, &lost);

		if (!rec) {
			if (over)
				break;
			(void)raw_reader_wait(reader, NS_PER_MS);
			over = s->over;
			continue;
		}
		s->torn += !is_sound(rec);
		expected += lost;
		s->out_of_order += serial_of(rec) != expected;
		expected++;
		got++;
		lost_sum += lost;
		if (hash_u64(got, (size_t)reader) % 20000 == 0)
			(void)usleep(2000);
	}
	s->wrong_sum += expected != STRESS_PUTS || first + got + lost_sum != STRESS_PUTS;
	return NULL;
}

TEST(readers_that_are_overtaken_never_see_a_torn_record)
{
	struct stress s = { 0 };
	AUTO(raw_ring) ring = NULL;
	pthread_t threads[STRESS_READERS];
	auto_free struct numbered *pool = calloc(64, sizeof(*pool));

	require(pool);
	require_ok(raw_ring_open(SIZE, &ring));
	s.ring = ring;
	for (int i = 0; i < STRESS_READERS; i++)
		require(pthread_create(&threads[i], NULL, stress_read, &s) == 0);
	for (__u64 i = 0; i < STRESS_PUTS; i++) {
		struct numbered *n = &pool[i % 64];

		/* Making a record costs more than putting it: bodies are used again under new numbers. */
		if (i < 64)
			make_of(n, i, body_of(i, 30));
		n->serial = i;
		n->sum = sum_of(n);
		raw_ring_put(ring, &n->head);
		if (i % 64 == 63)
			raw_ring_flush(ring, clock_boot_ns());
	}
	s.over = true;
	for (int i = 0; i < STRESS_READERS; i++)
		(void)pthread_join(threads[i], NULL);
	check_int(s.torn, 0);
	check_int(s.out_of_order, 0);
	check_int(s.wrong_sum, 0);
}

struct sleeper {
	struct raw_reader *reader;
	_Atomic bool woke;
};

static void *sleep_once(void *arg)
{
	struct sleeper *s = arg;

	s->woke = raw_reader_wait(s->reader, 20 * NS_PER_S);
	return NULL;
}

TEST(a_reader_that_sleeps_is_woken_by_the_flush)
{
	AUTO(raw_ring) ring = NULL;
	AUTO(raw_reader) reader = NULL;
	struct sleeper s = { 0 };
	__u64 began = clock_boot_ns();
	pthread_t thread;

	require_ok(raw_ring_open(SIZE, &ring));
	require_ok(raw_reader_open(ring, "sleeper", RAW_FROM_OLDEST, &reader));
	s.reader = reader;
	require(pthread_create(&thread, NULL, sleep_once, &s) == 0);
	(void)usleep(20000);
	raw_ring_put(ring, make(0, 8));
	raw_ring_flush(ring, clock_boot_ns());
	(void)pthread_join(thread, NULL);
	check(s.woke);
	check(clock_boot_ns() - began < 15 * NS_PER_S);
}
