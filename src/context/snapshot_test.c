/* SPDX-License-Identifier: Apache-2.0 */
/* Who joins late and is told what is known must from then on know what those know who were there all along. */
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "base/mem.h"
#include "base/test.h"
#include "context/context.h"
#include "sensors/process/process.event.h"

#define BOOT "8f3c2a1b-9d4e-4f00-aaaa-bbbbccccdddd"

enum { PIDS = 200, STEPS = 3000, RECORD_MAX = 8192 };

struct made {
	union {
		struct ev_head head;
		struct ev_fork fork;
		struct ev_exec exec;
		struct ev_exit exit;
		struct ev_known known;
		struct ev_cgroup cgroup;
		struct ev_user user;
	};
	char room[RECORD_MAX];
};

static unsigned long long dice_state;

static unsigned dice(unsigned sides)
{
	dice_state = dice_state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned)(dice_state >> 33) % sides;
}

static struct ev_str put(struct made *r, const char *s, size_t n)
{
	struct ev_str at = { .off = r->head.len, .len = (__u16)n };

	memcpy((char *)r + r->head.len, s, n);
	((char *)r)[r->head.len + n] = 0;
	r->head.len = (__u16)(r->head.len + n + 1);
	return at;
}

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

/* ---- a stream of what processes do ----------------------------------------------------------- */

struct life {
	__u64 start;
	__u32 uid;
	__u64 cgroup;
	char comm[16];
	bool alive;
};

struct world {
	struct life lives[PIDS];
	__u64 now;
	struct made rec;
};

static struct made *begin(struct world *w, __u32 pid, __u16 id, size_t size)
{
	const struct life *l = &w->lives[pid];

	memset(&w->rec, 0, size);
	w->rec.head = (struct ev_head) {
		.time_ns = w->now,
		.id = id,
		.len = (__u16)size,
		.pid = pid,
		.tid = pid,
		.start_ns = l->start,
		.ns_pid = pid,
		.uid = l->uid,
		.gid = l->uid,
		.cgroup_id = l->cgroup,
	};
	memcpy(w->rec.head.comm, l->comm, sizeof(l->comm));
	return &w->rec;
}

static struct made *made_exec(struct world *w, __u32 pid)
{
	struct made *r = begin(w, pid, EV_EXEC, sizeof(r->exec));
	char text[64], args[2000];
	size_t n = 0, items = dice(50) ? dice(4) : 700;
	int len;

	(void)snprintf(w->lives[pid].comm, sizeof(w->lives[pid].comm), "c%u", dice(100));
	memcpy(r->head.comm, w->lives[pid].comm, sizeof(r->head.comm));
	len = snprintf(text, sizeof(text), "/bin/%u", dice(1000));
	r->exec.exe = put(r, text, (size_t)len);
	len = snprintf(text, sizeof(text), "/home/%u", dice(10));
	r->exec.cwd = put(r, text, (size_t)len);
	for (size_t i = 0; i < items; i++, n += 2)
		memcpy(args + n, i % 3 ? "a" : "\0", 2);
	if (n)
		r->exec.args = put(r, args, n - 1);
	r->exec.argc = (__u32)items;
	r->exec.inode = 1 + dice(1000);
	r->exec.dev = 8 << 20;
	r->exec.mode = 0100755;
	r->exec.mntns = 4026531840 + dice(2);
	r->exec.pidns = 4026531836;
	return r;
}

static struct made *made_user(struct world *w, __u32 uid)
{
	struct made *r = begin(w, 0, EV_USER, sizeof(r->user));
	char text[64];

	r->head.uid = uid;
	r->user.name = put(r, text, (size_t)snprintf(text, sizeof(text), "user-%u-%u", uid, dice(3)));
	return r;
}

static struct made *made_cgroup(struct world *w, __u64 id)
{
	struct made *r = begin(w, 0, EV_CGROUP, sizeof(r->cgroup));
	char text[64];

	r->head.cgroup_id = id;
	r->cgroup.path = put(r, text, (size_t)snprintf(text, sizeof(text), "/system.slice/s%llu.service", id));
	return r;
}

/* The first process, users 0 to 4 and cgroups 1 to 8. */
static void begin_world(struct world *w, struct context *ctx)
{
	memset(w, 0, sizeof(*w));
	w->now = 1000;
	w->lives[1] = (struct life) { .start = 1, .cgroup = 1, .comm = "init", .alive = true };
	for (__u32 uid = 0; uid < 5; uid++)
		(void)context_apply(ctx, &made_user(w, uid)->head);
	for (__u64 id = 1; id <= 8; id++)
		(void)context_apply(ctx, &made_cgroup(w, id)->head);
}

/* The next record. */
static const struct ev_head *step(struct world *w)
{
	__u32 pid = 1 + dice(PIDS - 1), child;
	struct made *r;
	unsigned what = dice(20);

	w->now += 1 + dice(1000);
	while (!w->lives[pid].alive)
		pid = pid == PIDS - 1 ? 1 : pid + 1;
	child = 2 + dice(PIDS - 2);
	if (what < 6 && !w->lives[child].alive) {
		w->lives[child] = w->lives[pid];
		w->lives[child].start = w->now;
		r = begin(w, pid, EV_FORK, sizeof(r->fork));
		r->fork.child_pid = r->fork.child_ns_pid = child;
		r->fork.child_start_ns = w->now;
		return &r->head;
	}
	if (what < 11)
		return &made_exec(w, pid)->head;
	if (what < 15 && pid != 1) {
		w->lives[pid].alive = false;
		return &begin(w, pid, EV_EXIT, sizeof(r->exit))->head;
	}
	if (what < 16)
		return &made_user(w, dice(5))->head;
	/* Moves to a service of its own as it runs a program: of who only changes its user, see snapshot.c. */
	w->lives[pid].cgroup = 1 + dice(8);
	w->lives[pid].uid = dice(5);
	return &made_exec(w, pid)->head;
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
	static struct made copy;

	if (!event_check(rec, rec->len))
		test_fail(T_HERE, "no sound record");
	memcpy(&copy, rec, rec->len);
	(void)context_apply(arg, &copy.head);
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
		dice_state = seed * 977;
		begin_world(&w, there);
		for (unsigned i = 0; i < STEPS; i++) {
			const struct ev_head *rec = step(&w);

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
	dice_state = 3;
	begin_world(&w, ctx);
	for (unsigned i = 0; i < STEPS; i++)
		(void)context_apply(ctx, step(&w));
	/* Of one that nobody has told of yet only what its records say is known. */
	w.lives[PIDS - 1] = (struct life) { .start = 77, .cgroup = 3, .comm = "stub", .alive = true };
	(void)context_apply(ctx, &begin(&w, PIDS - 1, EV_ID(0x70, 1), sizeof(struct ev_head))->head);
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
	struct made *r;

	require(register_kinds());
	require(ctx && late);
	memset(&w, 0, sizeof(w));
	w.now = 100;
	w.lives[10] = (struct life) { .start = 10, .cgroup = 1, .comm = "sh", .alive = true };
	(void)context_apply(ctx, &made_exec(&w, 10)->head);
	for (__u32 child = 11; child <= 12; child++) {
		r = begin(&w, 10, EV_FORK, sizeof(r->fork));
		r->fork.child_pid = child;
		r->fork.child_start_ns = 20;
		(void)context_apply(ctx, &r->head);
		w.lives[child] = (struct life) { .start = 20, .cgroup = 1, .comm = "sh", .alive = true };
	}
	(void)context_apply(ctx, &begin(&w, 10, EV_EXIT, sizeof(r->exit))->head);
	(void)context_apply(ctx, &begin(&w, 12, EV_EXIT, sizeof(r->exit))->head);
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
