/* SPDX-License-Identifier: Apache-2.0 */
/* Who joins late and is told what is known must from then on know what those know who were there all along. */
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "base/mem.h"
#include "base/test.h"
#include "context/context.h"
#include "context/test_world.h"

#define BOOT "8f3c2a1b-9d4e-4f00-aaaa-bbbbccccdddd"

enum { PIDS = WORLD_PIDS, STEPS = 3000 };

static struct context *opened(uint32_t processes)
{
	struct context_options o = { .offline = true, .boot_id = BOOT };
	struct context *ctx = NULL;

	if (option_defaults(context_option_rows, context_n_option_rows, &o.limits) < 0)
		return NULL;
	o.limits.processes = processes;
	if (context_open(&o, &ctx) < 0)
		test_fail(T_HERE, "%s", err_trail());
	return ctx;
}

/* ---- comparing ----------------------------------------------------------------------------------- */

static void print(const struct context *ctx, const struct process *p, struct buf *out)
{
	struct context_view view;
	struct ev_head none = { .pid = p->pid, .start_ns = p->start_ns };
	struct event ev = context_event_of(ctx, p, &none, NULL, &view);

	ev.rec = NULL;
	event_to_json(&ev, out);
	buf_printf(out, "%s %u %u %u %u %x %llx %llu\n", p->name, p->ns_pid, p->gid, p->mntns, p->pidns, p->flags,
		   (unsigned long long)p->entity, (unsigned long long)p->since_ns);
	if (p->program)
		buf_printf(out, "%llu %o %d %llu\n", (unsigned long long)p->program->inode, p->program->mode,
			   p->program->truncated, (unsigned long long)p->program->exec_ns);
}

static void check_same(const struct world *w, struct context *a, struct context *b)
{
	for (__u32 pid = 1; pid < PIDS; pid++) {
		auto_buf struct buf x = { .max = 1 << 20 }, y = { .max = 1 << 20 };
		const struct process *p, *q;

		if (!w->lives[pid].alive)
			continue;
		p = context_process(a, pid, w->lives[pid].start);
		q = context_process(b, pid, w->lives[pid].start);
		require(p != NULL && q != NULL);
		print(a, p, &x);
		print(b, q, &y);
		check_str(buf_text(&y), buf_text(&x));
		if (strcmp(buf_text(&y), buf_text(&x)) != 0)
			return;
	}
}

static void learn(void *arg, const struct ev_head *rec)
{
	static struct world_record copy;

	if (!event_check(rec, rec->len))
		test_fail(T_HERE, "no sound record");
	memcpy(&copy, rec, rec->len);
	(void)context_apply(arg, &copy.head);
}

static void apply(void *arg, const struct ev_head *rec)
{
	(void)context_apply(arg, rec);
}

static bool register_kinds(void)
{
	for (size_t i = 0; i < context_n_kinds; i++)
		if (event_kind_register(&context_kinds[i]) < 0)
			return false;
	return true;
}

TEST(who_joins_late_knows_what_the_others_know)
{
	static struct world w;

	require(register_kinds());
	for (unsigned long long seed = 1; seed <= 8; seed++) {
		AUTO(context) there = opened(65536);
		AUTO(context) late = opened(65536);
		unsigned joins = 500 + 300 * (unsigned)seed;

		require(there && late);
		world_begin(&w, seed * 977, apply, there);
		for (unsigned i = 0; i < STEPS; i++) {
			const struct ev_head *rec = world_step(&w);

			(void)context_apply(there, rec);
			if (i == joins) {
				require_ok(context_snapshot(there, learn, late));
				check_same(&w, there, late);
			} else if (i > joins) {
				(void)context_apply(late, rec);
			}
		}
		check_same(&w, there, late);
	}
}

static const struct process *known[PIDS];

TEST(who_knows_all_is_not_changed_by_hearing_it_again)
{
	AUTO(context) ctx = opened(65536);
	static struct world w;

	require(register_kinds());
	require(ctx != NULL);
	world_begin(&w, 3, apply, ctx);
	for (unsigned i = 0; i < STEPS; i++)
		(void)context_apply(ctx, world_step(&w));
	/* Of one that nobody has told of yet only what its records say is known. */
	w.lives[PIDS - 1] = (struct world_life) { .start = 77, .cgroup = 3, .comm = "seen", .alive = true };
	(void)context_apply(ctx, &world_record(&w, PIDS - 1, EV_ID(0x70, 1), sizeof(struct ev_head))->head);
	for (__u32 pid = 1; pid < PIDS; pid++)
		known[pid] = context_process_by_pid(ctx, pid);
	require_ok(context_snapshot(ctx, learn, ctx));
	for (__u32 pid = 1; pid < PIDS; pid++)
		check(!w.lives[pid].alive || context_process_by_pid(ctx, pid) == known[pid]);
}

struct counted {
	size_t n, known, users, cgroups, exited;
};

static void count(void *arg, const struct ev_head *rec)
{
	struct counted *c = arg;

	c->n++;
	c->known += rec->id == EV_KNOWN;
	c->users += rec->id == EV_USER;
	c->cgroups += rec->id == EV_CGROUP;
	if (rec->id == EV_KNOWN)
		c->exited += !!(((const struct ev_known *)rec)->traits & KNOWN_EXITED);
}

TEST(an_ancestor_that_has_ended_is_told_and_one_that_nobody_needs_is_not)
{
	AUTO(context) ctx = opened(1024);
	AUTO(context) late = opened(1024);
	static struct world w;
	struct counted c = { 0 };
	struct world_record *r;

	require(register_kinds());
	require(ctx && late);
	memset(&w, 0, sizeof(w));
	w.now = 100;
	w.lives[10] = (struct world_life) { .start = 10, .cgroup = 1, .comm = "sh", .alive = true };
	(void)context_apply(ctx, &world_exec(&w, 10)->head);
	for (__u32 child = 11; child <= 12; child++) {
		r = world_record(&w, 10, EV_FORK, sizeof(r->fork));
		r->fork.child_pid = child;
		r->fork.child_start_ns = 20;
		(void)context_apply(ctx, &r->head);
		w.lives[child] = (struct world_life) { .start = 20, .cgroup = 1, .comm = "sh", .alive = true };
	}
	(void)context_apply(ctx, &world_record(&w, 10, EV_EXIT, sizeof(r->exit))->head);
	(void)context_apply(ctx, &world_record(&w, 12, EV_EXIT, sizeof(r->exit))->head);
	require_ok(context_snapshot(ctx, count, &c));
	check_int(c.known, 2);
	check_int(c.exited, 1);
	check_int(c.cgroups, 0);
	require_ok(context_snapshot(ctx, learn, late));
	check(context_is_alive(late, 11, 20));
	check(!context_is_alive(late, 10, 10));
	check(!context_process(late, 12, 20));
	check_str(context_process(late, 11, 20)->parent->name, context_process(ctx, 11, 20)->parent->name);
}
