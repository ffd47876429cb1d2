/* SPDX-License-Identifier: Apache-2.0 */
/* Streams and the history behind them. Run under ThreadSanitizer too. */
#include "agent/stream.h"
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include "base/err.h"
#include "base/test.h"
#include "tests/sandbox/flood.h"

struct stage {
	struct context *context;
	struct streams *streams;
};

static void stage_close(struct stage *s)
{
	streams_free(s->streams);
	context_free(s->context);
}
#define auto_stage __attribute__((cleanup(stage_close)))

static bool stage_open(struct stage *s)
{
	const struct context_options options = {
		.offline = true,
		.boot_id = "01234567-89ab-cdef-0123-456789abcdef",
		.limits = { .processes = 64, .cgroups = 64, .late_per_s = 1, .memory = 1 << 20 },
	};

	*s = (struct stage) { 0 };
	for (size_t k = 0; k < sensor_flood.n_kinds; k++)
		if (event_kind_register(&sensor_flood.kinds[k]) < 0)
			test_fail(T_HERE, "%s", err_trail());
	if (context_open(&options, &s->context) < 0 || streams_open(s->context, &s->streams) < 0) {
		test_fail(T_HERE, "set the stage: %s", err_trail());
		return false;
	}
	return true;
}

static void offer(struct stage *s, __u64 serial, __u32 pid)
{
	struct ev_flood rec = { .serial = serial };
	struct context_view view;
	struct event ev;

	rec.head = (struct ev_head) {
		.id = EV_FLOOD_CRITICAL,
		.len = sizeof(rec),
		.class = EV_CRITICAL,
		.time_ns = serial + 1,
		.pid = pid,
	};
	ev = context_event_of(s->context, NULL, &rec.head, event_kind_of(rec.head.id), &view);
	streams_offer(s->streams, &ev, NULL);
}

static struct stream *follow(struct stage *s, __u32 pid, size_t last, bool on)
{
	const struct filter_spec spec = { .pid = pid };
	struct stream *st = NULL;
	struct filter *f;

	if (filter_compile(&spec, &f) < 0 || stream_open(s->streams, f, last, on, &st) < 0)
		test_fail(T_HERE, "%s", err_trail());
	return st;
}

/* The serial of the next event; -1: none came, -2: there are no more. */
static long next(struct stream *st, int max_ms)
{
	auto_buf struct buf line;
	const char *at;
	int r;

	buf_init(&line, 1 << 16);
	r = stream_next(st, max_ms, &line);
	if (r != 1)
		return r == 0 ? -1 : -2;
	at = strstr(buf_text(&line), "serial\":");
	return at ? strtol(at + 8, NULL, 10) : -3;
}

TEST(last_gives_the_newest_that_match_in_their_order)
{
	static const struct {
		const char *name;
		__u32 pid;
		size_t last;
		long first, n;
	} rows[] = {
		{ "of all", 0, 3, 97, 3 },
		{ "of one process", 7, 2, 83, 2 }, /* every tenth is of process 7 */
		{ "more than there are", 7, 1000, 3, 10 },
		{ "of nobody", 99, 5, 0, 0 },
	};
	auto_stage struct stage s;

	require(stage_open(&s));
	for (__u64 i = 0; i < 100; i++)
		offer(&s, i, i % 10 == 3 ? 7 : 1);
	for_each_row (r, rows) {
		struct stream *st = follow(&s, r->pid, r->last, false);
		long step = r->pid ? 10 : 1;

		require(st != NULL);
		for (long i = 0; i < r->n; i++)
			check_int(next(st, 0), r->first + i * step);
		check_int(next(st, 0), -2);
		stream_close(st);
	}
}

TEST(new_events_push_the_oldest_out_of_the_history)
{
	auto_stage struct stage s;
	struct stream *st;
	long first, n = 1;

	require(stage_open(&s));
	for (__u64 i = 0; i < 100000; i++)
		offer(&s, i, 1);
	st = follow(&s, 0, 100000, false);
	require(st != NULL);
	first = next(st, 0);
	while (next(st, 0) >= 0)
		n++;
	stream_close(st);
	check(first > 0);
	check_int(first + n, 100000);
}

TEST(a_slow_client_loses_its_own_events_and_they_are_counted)
{
	enum { EVENTS = 60000 }; /* more than a stream's queue holds */
	auto_stage struct stage s;
	struct stream *slow, *narrow;
	struct stream_counts c;
	long n = 0;

	require(stage_open(&s));
	slow = follow(&s, 0, 0, true);
	narrow = follow(&s, 7, 0, true);
	require(slow && narrow);
	for (__u64 i = 0; i < EVENTS; i++)
		offer(&s, i, i % 100 ? 1 : 7);
	while (next(slow, 0) >= 0)
		n++;
	c = stream_counts(slow);
	check(c.lost > 0);
	check_int(c.sent, n);
	check_int(c.sent + c.lost, EVENTS);
	for (n = 0; next(narrow, 0) >= 0; n++)
		;
	check_int(n, EVENTS / 100);
	check_int(stream_counts(narrow).lost, 0);
	stream_close(slow);
	stream_close(narrow);
}

TEST(only_so_many_may_follow_at_once)
{
	struct stream *all[STREAMS_MAX], *more = NULL;
	const struct filter_spec spec = { 0 };
	auto_stage struct stage s;
	struct filter *f;

	require(stage_open(&s));
	for (int i = 0; i < STREAMS_MAX; i++)
		all[i] = follow(&s, 0, 0, true);
	require_ok(filter_compile(&spec, &f));
	check_int(stream_open(s.streams, f, 0, true, &more), -EUSERS);
	stream_close(all[3]);
	all[3] = follow(&s, 0, 0, true);
	check(all[3] != NULL);
	for (int i = 0; i < STREAMS_MAX; i++)
		stream_close(all[i]);
}

struct producer {
	struct stage *s;
	_Atomic bool stop;
	_Atomic __u64 made;
};

static void *produce(void *arg)
{
	struct producer *p = arg;

	while (!p->stop) {
		offer(p->s, p->made, 1);
		p->made++;
		if (p->made % 16 == 0)
			(void)usleep(100);
	}
	return NULL;
}

TEST(between_the_past_and_what_is_followed_nothing_is_missing_and_nothing_comes_twice)
{
	auto_stage struct stage s;
	struct producer p = { .s = &s };
	pthread_t thread;

	require(stage_open(&s));
	require(!pthread_create(&thread, NULL, produce, &p));
	while (p.made < 1000)
		(void)usleep(1000);
	for (int round = 0; round < 100; round++) {
		struct stream *st = follow(&s, 0, 10, true);
		long at = next(st, 1000), torn = 0;

		for (int i = 0; i < 40; i++) {
			long serial = next(st, 1000);

			torn += serial != at + 1;
			at = serial;
		}
		stream_close(st);
		check_int(torn, 0);
	}
	p.stop = true;
	(void)pthread_join(thread, NULL);
}
