/* SPDX-License-Identifier: Apache-2.0 */
#include "base/outbox.h"
#include <pthread.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/test.h"

enum { THREADS = 4, EACH = 20000 };

static bool put(struct outbox *o, unsigned kind, const void *bytes, size_t n)
{
	struct buf *b = outbox_begin(o, kind, n);

	if (!b)
		return false;
	buf_add(b, bytes, n);
	outbox_end(o);
	return true;
}

TEST(messages_come_as_they_were_put)
{
	AUTO(outbox) o = NULL;
	struct outbox_message m;
	size_t at = 0;

	require_ok(outbox_open(4096, &o));
	check(put(o, 1, "one", 3));
	check(put(o, 2, "", 0));
	check(put(o, 3, "a longer one", 12));
	require(outbox_take(o, 0));
	require(outbox_next(o, &at, &m));
	check(m.kind == 1 && m.n == 3 && !memcmp(m.bytes, "one", 3));
	require(outbox_next(o, &at, &m));
	check(m.kind == 2 && m.n == 0);
	require(outbox_next(o, &at, &m));
	check(m.kind == 3 && m.n == 12 && !memcmp(m.bytes, "a longer one", 12));
	check_int((uintptr_t)m.bytes % 8, 0);
	check(!outbox_next(o, &at, &m));
	outbox_close(o);
	check(!put(o, 1, "late", 4));
	check(!outbox_take(o, NS_PER_S));
}

TEST(what_finds_no_room_is_refused_and_counted)
{
	static const char bytes[300];
	AUTO(outbox) o = NULL;
	struct outbox_counts c;
	unsigned n = 0;

	require_ok(outbox_open(1000, &o));
	check(!outbox_begin(o, 0, 1001));
	while (put(o, 0, bytes, sizeof(bytes)))
		n++;
	check_int(n, 3);
	/* A small one still fits, and after the others were taken there is room again. */
	check(put(o, 0, bytes, 8));
	check(outbox_take(o, 0));
	check(put(o, 0, bytes, sizeof(bytes)));
	outbox_counts(o, &c);
	check_int(c.put, 5);
	check_int(c.done, 0);
	check_int(c.refused, 2);
	check(outbox_take(o, 0));
	outbox_counts(o, &c);
	check_int(c.done, 4);
}

TEST(a_message_longer_than_was_said_does_no_harm)
{
	static const char bytes[4000];
	AUTO(outbox) o = NULL;
	struct outbox_message m;
	struct buf *b;
	size_t at = 0;

	require_ok(outbox_open(1000, &o));
	check(put(o, 1, "before", 6));
	b = outbox_begin(o, 2, 10);
	require(b);
	buf_add(b, bytes, sizeof(bytes));
	outbox_end(o);
	check(put(o, 3, "after", 5));
	require(outbox_take(o, 0));
	check(outbox_next(o, &at, &m) && m.kind == 1);
	check(outbox_next(o, &at, &m) && m.kind == 3 && m.n == 5 && !memcmp(m.bytes, "after", 5));
	check(!outbox_next(o, &at, &m));
}

struct many {
	struct outbox *o;
	uint64_t number;
	uint64_t refused;
	uint64_t last[THREADS], seen, wrong;
};

static void *put_many(void *arg)
{
	struct many *m = arg;

	for (uint64_t i = 1; i <= EACH; i++) {
		const uint64_t message[2] = { m->number, i };

		m->refused += !put(m->o, 0, message, sizeof(message));
	}
	return NULL;
}

static void *take_many(void *arg)
{
	struct many *all = arg;
	struct outbox_message m;

	while (outbox_take(all->o, NS_PER_S))
		for (size_t at = 0; outbox_next(all->o, &at, &m);) {
			const uint64_t *message = m.bytes;

			all->wrong += message[1] <= all->last[message[0]];
			all->last[message[0]] = message[1];
			all->seen++;
		}
	return NULL;
}

TEST(many_threads_put_and_each_one_s_order_is_kept)
{
	AUTO(outbox) o = NULL;
	struct many one[THREADS], all = { 0 };
	pthread_t putting[THREADS], taking;
	uint64_t refused = 0;

	require_ok(outbox_open(64 << 10, &o));
	all.o = o;
	require(!pthread_create(&taking, NULL, take_many, &all));
	for (uint64_t i = 0; i < THREADS; i++) {
		one[i] = (struct many) { .o = o, .number = i };
		require(!pthread_create(&putting[i], NULL, put_many, &one[i]));
	}
	for (unsigned i = 0; i < THREADS; i++) {
		(void)pthread_join(putting[i], NULL);
		refused += one[i].refused;
	}
	outbox_settle(o);
	outbox_close(o);
	(void)pthread_join(taking, NULL);
	check_int(all.wrong, 0);
	check_int(all.seen + refused, THREADS * EACH);
	check(all.seen > 0);
}
