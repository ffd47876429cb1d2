/* SPDX-License-Identifier: Apache-2.0 */
/* Rings, budgets and books under more records than they can hold. */
#include "tests/sandbox/flood.h"
#include <string.h>
#include <sys/epoll.h>
#include "base/err.h"
#include "base/mem.h"
#include "base/test.h"
#include "tests/sandbox/observe.h"

static void books_add_up(const struct observer *ob, unsigned number, struct ev_counts *ret_counts)
{
	require_ok(object_counts(ob->object, number, ret_counts));
	check_int(ret_counts->seen, ret_counts->sent + ret_counts->filtered + ret_counts->lost_ring +
					    ret_counts->lost_budget + ret_counts->error);
}

TEST(a_flood_of_bulk_loses_no_critical_record)
{
	const struct core_options small = { .ring_bytes = { [RING_CRITICAL] = 1 << 20, [RING_BULK] = 1 << 16 } };
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };
	struct ev_counts bulk, critical;

	if (!sandbox_open(&sb, SANDBOX_PLAIN) || !observe_open_with(&ob, &sb, &sensor_flood, NULL, &small))
		return;
	require_ok(flood_run(ob.object, 5000, 500000));
	observe_drain(&ob);
	books_add_up(&ob, EV_ID_NUMBER(EV_FLOOD_BULK), &bulk);
	books_add_up(&ob, EV_ID_NUMBER(EV_FLOOD_CRITICAL), &critical);
	check_int(bulk.seen, 500000);
	check(bulk.lost_ring > 400000);
	check_int(bulk.sent, observe_count(&ob, EV_FLOOD_BULK));
	check_int(critical.sent, 5000);
	check_int(critical.lost_ring, 0);
	check_int(observe_count(&ob, EV_FLOOD_CRITICAL), 5000);
}

TEST(a_full_critical_ring_is_counted_and_what_it_holds_is_whole)
{
	const struct core_options small = { .ring_bytes = { [RING_CRITICAL] = 1 << 16, [RING_BULK] = 1 << 16 } };
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };
	struct ev_counts c;

	if (!sandbox_open(&sb, SANDBOX_PLAIN) || !observe_open_with(&ob, &sb, &sensor_flood, NULL, &small))
		return;
	require_ok(flood_run(ob.object, 10000, 0));
	observe_drain(&ob);
	books_add_up(&ob, EV_ID_NUMBER(EV_FLOOD_CRITICAL), &c);
	check_int(c.seen, 10000);
	check(c.lost_ring > 9000);
	check_int(c.sent, observe_count(&ob, EV_FLOOD_CRITICAL));
	for (size_t i = 0; i < c.sent; i++)
		check_int(((const struct ev_flood *)observe_find(&ob, EV_FLOOD_CRITICAL, i))->serial, i);
}

/* The flood again, by a process of the sandbox: what a cgroup may send is its own affair. */
static int flood_from(const struct sandbox *sb, void *arg)
{
	(void)sb;
	return flood_run(arg, 100, 100000) ? 1 : 0;
}

TEST(a_cgroup_that_has_spent_its_budget_is_counted_and_others_are_not_touched)
{
	const struct core_options budgeted = {
		.ring_bytes = { [RING_CRITICAL] = 1 << 20, [RING_BULK] = 1 << 24 },
		.budget_per_s = { [EV_BULK] = 10000 },
	};
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };
	struct ev_counts c, before;

	if (!sandbox_open(&sb, SANDBOX_PLAIN) || !observe_open_with(&ob, &sb, &sensor_flood, NULL, &budgeted))
		return;
	check_int(sandbox_run(&sb, flood_from, ob.object), 0);
	books_add_up(&ob, EV_ID_NUMBER(EV_FLOOD_BULK), &before);
	check_int(before.seen, 100000);
	check_int(before.lost_ring, 0);
	/* A window is a tenth of a second, and the flood may have met the edge of a few. */
	check(before.sent >= 1000);
	check(before.lost_budget > 0);
	check_int(before.sent + before.lost_budget, 100000);
	/* This process is of another cgroup. */
	require_ok(flood_run(ob.object, 0, 900));
	books_add_up(&ob, EV_ID_NUMBER(EV_FLOOD_BULK), &c);
	check_int(c.sent - before.sent, 900);
	/* Critical records have no budget. */
	books_add_up(&ob, EV_ID_NUMBER(EV_FLOOD_CRITICAL), &c);
	check_int(c.sent, 100);
}

/* Did the kernel wake whoever waits for this ring since the last call? */
static bool was_woken(int epoll)
{
	struct epoll_event e;

	return epoll_wait(epoll, &e, 1, 50) == 1;
}

TEST(a_sleeping_reader_is_woken_once_and_one_that_is_awake_never)
{
	const struct core_options small = { .ring_bytes = { [RING_CRITICAL] = 1 << 20, [RING_BULK] = 1 << 20 } };
	struct epoll_event bulk = { .events = EPOLLIN | EPOLLET }, critical = bulk;
	auto_close int epoll = epoll_create1(EPOLL_CLOEXEC);
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };
	volatile struct reader_state *reader;

	if (!sandbox_open(&sb, SANDBOX_PLAIN) || !observe_open_with(&ob, &sb, &sensor_flood, NULL, &small))
		return;
	reader = ob.core->reader;
	check_int(epoll_ctl(epoll, EPOLL_CTL_ADD, ob.core->ring_fd[RING_BULK], &bulk), 0);
	check_int(epoll_ctl(epoll, EPOLL_CTL_ADD, ob.core->ring_fd[RING_CRITICAL], &critical), 0);

	/* Awake: neither by what is critical nor by a ring that fills. */
	require_ok(flood_run(ob.object, 10, 1 << 12));
	check(!was_woken(epoll));
	observe_drain(&ob);
	/* Asleep: not by a little that can wait, by the first that is critical, and by that alone. */
	reader->sleeping = 1;
	require_ok(flood_run(ob.object, 0, 10));
	check(!was_woken(epoll));
	check_int(reader->sleeping, 1);
	require_ok(flood_run(ob.object, 10, 0));
	check(was_woken(epoll));
	check_int(reader->sleeping, 0);
	require_ok(flood_run(ob.object, 10, 0));
	check(!was_woken(epoll));
	/* Asleep: by a ring that is a quarter full. */
	reader->sleeping = 1;
	require_ok(flood_run(ob.object, 0, 1 << 12));
	check(was_woken(epoll));
	check_int(reader->sleeping, 0);
}

TEST(records_that_wrap_around_the_end_of_a_ring_are_whole)
{
	enum { LAPS = 60, EACH = 400 };
	const struct core_options small = { .ring_bytes = { [RING_CRITICAL] = 1 << 16, [RING_BULK] = 1 << 16 } };
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };
	const struct ev_flood *first;

	if (!sandbox_open(&sb, SANDBOX_PLAIN) || !observe_open_with(&ob, &sb, &sensor_flood, NULL, &small))
		return;
	/* 136 bytes each: the end of the ring cuts them at every multiple of 8. */
	for (int lap = 0; lap < LAPS; lap++) {
		require_ok(flood_run(ob.object, 0, EACH));
		observe_drain(&ob);
	}
	require(observe_count(&ob, EV_FLOOD_BULK) == LAPS * EACH);
	first = observe_find(&ob, EV_FLOOD_BULK, 0);
	for (size_t i = 0; i < ob.n; i++) {
		const struct ev_flood *e = (const struct ev_flood *)ob.records[i];

		check_int(e->serial, i % EACH);
		check_int(e->head.len, sizeof(*e));
		check_int(e->head.start_ns, first->head.start_ns);
		check(!memcmp(&e->head.pid, &first->head.pid, sizeof(e->head) - offsetof(struct ev_head, pid)));
		check(!memcmp(e->fill, first->fill, sizeof(e->fill)));
	}
}
