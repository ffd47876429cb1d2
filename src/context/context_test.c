/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree, from records made by hand: in order, out of order, too many, and against a slow
 * and obvious model.
 */
#include "context/context.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/err.h"
#include "base/test.h"
#include "context/procfs.h"
#include "sensors/process/process.event.h"

#define BOOT "8f3c2a1b-9d4e-4f00-aaaa-bbbbccccdddd"

/* A record with room for its strings. */
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
	char room[1024];
};

static struct made rec;

static struct ev_str put(const char *s, size_t n)
{
	struct ev_str at = { .off = rec.head.len, .len = (__u16)n };

	memcpy((char *)&rec + rec.head.len, s, n);
	((char *)&rec)[rec.head.len + n] = 0;
	rec.head.len = (__u16)(rec.head.len + n + 1);
	return at;
}

static struct made *head(__u16 id, size_t size, __u64 time_ns, __u32 pid, __u64 start_ns)
{
	memset(&rec, 0, sizeof(rec));
	rec.head = (struct ev_head) {
		.time_ns = time_ns,
		.id = id,
		.len = (__u16)size,
		.pid = pid,
		.tid = pid,
		.start_ns = start_ns,
		.cgroup_id = 1,
		.comm = "task",
	};
	return &rec;
}

static const struct process *fork_of(struct context *ctx, __u64 time_ns, __u32 pid, __u64 start_ns, __u32 child,
				     __u64 child_start_ns)
{
	struct made *r = head(EV_FORK, sizeof(r->fork), time_ns, pid, start_ns);

	r->fork.child_pid = r->fork.child_ns_pid = child;
	r->fork.child_start_ns = child_start_ns;
	return context_apply(ctx, &r->head);
}

static struct made *make_exec(__u64 time_ns, __u32 pid, __u64 start_ns, const char *exe)
{
	struct made *r = head(EV_EXEC, sizeof(r->exec), time_ns, pid, start_ns);

	r->exec.exe = put(exe, strlen(exe));
	r->exec.args = put("a\0b c\0", 6);
	r->exec.args.len = 6;
	r->exec.cwd = put("/home", 5);
	r->exec.argc = 3;
	return r;
}

static const struct process *exec_of(struct context *ctx, __u64 time_ns, __u32 pid, __u64 start_ns, const char *exe)
{
	return context_apply(ctx, &make_exec(time_ns, pid, start_ns, exe)->head);
}

static const struct process *exit_of(struct context *ctx, __u64 time_ns, __u32 pid, __u64 start_ns)
{
	return context_apply(ctx, &head(EV_EXIT, sizeof(rec.exit), time_ns, pid, start_ns)->head);
}

static const struct process *other_of(struct context *ctx, __u64 time_ns, __u32 pid, __u64 start_ns)
{
	return context_apply(ctx, &head(EV_ID(0x70, 1), sizeof(rec.head), time_ns, pid, start_ns)->head);
}

static uint64_t entity_of(struct context *ctx, __u32 pid, __u64 start_ns)
{
	return context_entity(ctx, &head(EV_EXIT, sizeof(rec.exit), 0, pid, start_ns)->head);
}

static bool open_with(struct context **ret_ctx, uint32_t processes, void (*on)(void *, const struct ev_head *),
		      void *arg)
{
	struct context_options o = { .offline = true, .boot_id = BOOT, .learned = on, .arg = arg };

	if (option_defaults(context_option_rows, context_n_option_rows, &o.limits) == 0) {
		o.limits.processes = processes;
		if (context_open(&o, ret_ctx) == 0)
			return true;
	}
	test_fail(T_HERE, "%s", err_trail());
	return false;
}

static bool open_small(struct context **ret_ctx, uint32_t processes)
{
	return open_with(ret_ctx, processes, NULL, NULL);
}

static const char *exe_of(const struct process *p)
{
	return p && p->program ? p->program->executable.p : "";
}

static struct context_stats stats_of(struct context *ctx)
{
	struct context_stats s;

	context_stats(ctx, &s);
	return s;
}

/* ---- the tree --------------------------------------------------------------------------------- */

TEST(a_child_is_what_its_parent_is_until_it_runs_another_program)
{
	AUTO(context) ctx = NULL;
	const struct process *p;

	require(open_small(&ctx, 64));
	(void)exec_of(ctx, 100, 10, 50, "/bin/sh");
	(void)fork_of(ctx, 110, 10, 50, 11, 109);
	p = context_process(ctx, 11, 109);
	require(p != NULL);
	check_str(exe_of(p), "/bin/sh");
	check_str(p->cwd->bytes, "/home");
	check_str(exe_of(p->parent), "/bin/sh");
	check_int(p->parent_pid, 10);
	(void)exec_of(ctx, 120, 11, 109, "/bin/ls");
	p = context_process(ctx, 11, 109);
	check_str(exe_of(p), "/bin/ls");
	check_str(p->program->command_line.p, "a b c ");
	check_int(p->program->n_args, 3);
	check_str(exe_of(context_process(ctx, 10, 50)), "/bin/sh");
	check_int(stats_of(ctx).misses, 1);
}

TEST(an_exec_tells_its_session_and_what_follows_knows_it)
{
	AUTO(context) ctx = NULL;
	struct made *r;
	const struct process *p;

	require(open_small(&ctx, 64));
	r = make_exec(100, 10, 50, "/bin/sh");
	r->exec.sid = 7;
	r->exec.pgid = 8;
	(void)context_apply(ctx, &r->head);
	(void)fork_of(ctx, 110, 10, 50, 11, 109);
	p = other_of(ctx, 120, 11, 109);
	require(p != NULL);
	check_int(p->session_pid, 7);
	check_int(p->group_pid, 8);
	/* A record that does not say takes nothing back. */
	(void)exec_of(ctx, 130, 11, 109, "/bin/ls");
	check_int(context_process(ctx, 11, 109)->session_pid, 7);
}

TEST(a_pid_used_again_is_another_process)
{
	AUTO(context) ctx = NULL;

	require(open_small(&ctx, 64));
	(void)exec_of(ctx, 100, 10, 50, "/bin/first");
	(void)exit_of(ctx, 200, 10, 50);
	(void)exec_of(ctx, 300, 10, 250, "/bin/second");
	check_str(exe_of(context_process(ctx, 10, 50)), "/bin/first");
	check_str(exe_of(context_process(ctx, 10, 250)), "/bin/second");
	check_str(exe_of(context_process_by_pid(ctx, 10)), "/bin/second");
	check(context_process(ctx, 10, 251) == NULL);
	check(!context_is_alive(ctx, 10, 50));
	check(context_is_alive(ctx, 10, 250));
	check_int(stats_of(ctx).exits_missed, 0);
}

TEST(a_pid_used_again_shows_an_end_that_was_lost)
{
	AUTO(context) ctx = NULL;

	require(open_small(&ctx, 64));
	(void)exec_of(ctx, 100, 10, 50, "/bin/first");
	(void)exec_of(ctx, 300, 10, 250, "/bin/second");
	check(!context_is_alive(ctx, 10, 50));
	check_int(stats_of(ctx).exits_missed, 1);
	/* A late record of the first life does not bring it back, nor hide the second. */
	(void)other_of(ctx, 310, 10, 50);
	check_str(exe_of(context_process_by_pid(ctx, 10)), "/bin/second");
	check(!context_is_alive(ctx, 10, 50));
}

TEST(many_lives_of_one_pid_are_bounded)
{
	AUTO(context) ctx = NULL;

	require(open_small(&ctx, 1024));
	for (__u64 i = 1; i <= 500; i++)
		(void)other_of(ctx, i * 10, 10, i);
	check(stats_of(ctx).processes <= 8);
	check(context_process(ctx, 10, 500) != NULL);
	check(context_process(ctx, 10, 1) == NULL);
	/* The other way round, too: a stream may tell the past. */
	for (__u64 i = 500; i > 0; i--)
		(void)other_of(ctx, i * 10, 11, i);
	check(stats_of(ctx).processes <= 17);
	check(context_process(ctx, 11, 500) != NULL);
}

TEST(an_exec_told_before_the_fork_stays)
{
	AUTO(context) ctx = NULL;
	const struct process *p;
	uint64_t entity;

	require(open_small(&ctx, 64));
	(void)exec_of(ctx, 90, 10, 50, "/bin/sh");
	(void)exec_of(ctx, 120, 11, 109, "/bin/ls");
	entity = entity_of(ctx, 11, 109);
	(void)fork_of(ctx, 110, 10, 50, 11, 109);
	p = context_process(ctx, 11, 109);
	check_str(exe_of(p), "/bin/ls");
	require(p->parent != NULL);
	check_int(p->parent->pid, 10);
	check(entity_of(ctx, 11, 109) == entity);
	check_int(stats_of(ctx).out_of_order, 1);
}

TEST(an_exit_told_before_the_fork_is_an_exit)
{
	AUTO(context) ctx = NULL;

	require(open_small(&ctx, 64));
	(void)exec_of(ctx, 90, 10, 50, "/bin/sh");
	(void)exit_of(ctx, 120, 11, 109);
	(void)fork_of(ctx, 110, 10, 50, 11, 109);
	check(!context_is_alive(ctx, 11, 109));
	check_str(exe_of(context_process(ctx, 11, 109)), "/bin/sh");
}

TEST(an_older_exec_does_not_undo_a_newer)
{
	AUTO(context) ctx = NULL;

	require(open_small(&ctx, 64));
	(void)exec_of(ctx, 200, 10, 50, "/bin/new");
	(void)exec_of(ctx, 150, 10, 50, "/bin/old");
	check_str(exe_of(context_process(ctx, 10, 50)), "/bin/new");
	check_int(stats_of(ctx).out_of_order, 1);
}

TEST(a_parent_is_shown_as_it_was_when_the_child_began)
{
	AUTO(context) ctx = NULL;
	const struct process *p;

	require(open_small(&ctx, 64));
	(void)exec_of(ctx, 100, 10, 50, "/bin/sh");
	(void)fork_of(ctx, 110, 10, 50, 11, 109);
	(void)exec_of(ctx, 120, 10, 50, "/bin/innocent");
	p = other_of(ctx, 130, 11, 109);
	check_str(exe_of(p->parent), "/bin/sh");
	p = exec_of(ctx, 140, 11, 109, "/bin/evil");
	check_str(exe_of(p->parent), "/bin/innocent");
}

TEST(a_snapshot_that_is_held_never_changes)
{
	AUTO(context) ctx = NULL;
	const struct process *held;

	require(open_small(&ctx, 64));
	held = process_ref(exec_of(ctx, 100, 10, 50, "/bin/sh"));
	(void)exec_of(ctx, 120, 10, 50, "/bin/other");
	for (__u32 i = 0; i < 1000; i++)
		(void)other_of(ctx, 200 + i, 1000 + i, 190 + i);
	check_str(exe_of(held), "/bin/sh");
	context_free(take(ctx));
	check_str(exe_of(held), "/bin/sh");
	process_unref(held);
}

TEST(a_process_that_changes_its_user_or_cgroup_is_seen_to)
{
	AUTO(context) ctx = NULL;
	const struct process *p;
	struct made *r;

	require(open_small(&ctx, 64));
	r = head(EV_USER, sizeof(r->user), 1, 0, 0);
	r->head.uid = 33;
	r->user.name = put("www", 3);
	check(context_apply(ctx, &r->head) == NULL);
	r = head(EV_CGROUP, sizeof(r->cgroup), 1, 0, 0);
	r->head.cgroup_id = 77;
	r->cgroup.path = put("/system.slice/web.service", 25);
	check(context_apply(ctx, &r->head) == NULL);
	(void)exec_of(ctx, 100, 10, 50, "/bin/sh");
	r = head(EV_ID(0x70, 1), sizeof(r->head), 110, 10, 50);
	r->head.uid = 33;
	r->head.cgroup_id = 77;
	p = context_apply(ctx, &r->head);
	check_int(p->uid, 33);
	require(p->user != NULL && p->cgroup != NULL);
	check_str(p->user->bytes, "www");
	check_str(p->cgroup->path, "/system.slice/web.service");
	check_str(p->cgroup->container.unit, "web.service");
	check_str(exe_of(p), "/bin/sh");
}

/* ---- entities ----------------------------------------------------------------------------------- */

static void tell_cgroup(struct context *ctx, __u64 id, const char *path)
{
	struct made *r = head(EV_CGROUP, sizeof(r->cgroup), 1, 0, 0);

	r->head.cgroup_id = id;
	r->cgroup.path = put(path, strlen(path));
	(void)context_apply(ctx, &r->head);
}

TEST(a_tree_is_one_entity_and_services_are_several)
{
	AUTO(context) ctx = NULL;

	require(open_small(&ctx, 64));
	(void)exec_of(ctx, 1, 1, 1, "/sbin/init");
	(void)fork_of(ctx, 10, 1, 1, 100, 9);
	(void)fork_of(ctx, 11, 1, 1, 200, 10);
	(void)fork_of(ctx, 12, 100, 9, 101, 11);
	(void)fork_of(ctx, 13, 101, 11, 102, 12);
	check(entity_of(ctx, 100, 9) != entity_of(ctx, 1, 1));
	check(entity_of(ctx, 100, 9) != entity_of(ctx, 200, 10));
	check(entity_of(ctx, 101, 11) == entity_of(ctx, 100, 9));
	check(entity_of(ctx, 102, 12) == entity_of(ctx, 100, 9));
	/* For its whole life: neither the end of the parent nor another program changes it. */
	(void)exit_of(ctx, 14, 101, 11);
	(void)exec_of(ctx, 15, 102, 12, "/bin/other");
	check(entity_of(ctx, 102, 12) == entity_of(ctx, 100, 9));
	check(entity_of(ctx, 999, 9) == 0);
	check(entity_of(ctx, 0, 0) == 0);
}

TEST(a_container_is_one_entity_whoever_put_a_process_there)
{
	AUTO(context) ctx = NULL;
	struct made *r;

	require(open_small(&ctx, 64));
	tell_cgroup(ctx, 5, "/docker/3f4ba3c1d2e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f");
	(void)exec_of(ctx, 10, 100, 9, "/usr/bin/shim");
	/* Two that the shim puts into the container, and a child of the second. */
	for (__u32 pid = 101; pid <= 102; pid++) {
		r = head(EV_FORK, sizeof(r->fork), 20 + pid, 100, 9);
		r->head.cgroup_id = 5;
		r->fork.child_pid = pid;
		r->fork.child_start_ns = pid;
		(void)context_apply(ctx, &r->head);
	}
	r = head(EV_FORK, sizeof(r->fork), 300, 102, 102);
	r->head.cgroup_id = 5;
	r->fork.child_pid = 103;
	r->fork.child_start_ns = 299;
	(void)context_apply(ctx, &r->head);
	check(entity_of(ctx, 101, 101) == entity_of(ctx, 102, 102));
	check(entity_of(ctx, 103, 299) == entity_of(ctx, 102, 102));
	check(entity_of(ctx, 100, 9) != entity_of(ctx, 102, 102));
	check(context_process(ctx, 103, 299)->user == NULL);
}

TEST(the_first_of_a_pid_namespace_begins_an_entity)
{
	AUTO(context) ctx = NULL;
	struct made *r;

	require(open_small(&ctx, 64));
	(void)exec_of(ctx, 10, 100, 9, "/usr/bin/unshare");
	r = head(EV_FORK, sizeof(r->fork), 20, 100, 9);
	r->fork.child_pid = 101;
	r->fork.child_ns_pid = 1;
	r->fork.child_start_ns = 19;
	(void)context_apply(ctx, &r->head);
	check(entity_of(ctx, 101, 19) != entity_of(ctx, 100, 9));
}

/* ---- bounds --------------------------------------------------------------------------------------- */

TEST(a_storm_of_forks_stays_within_the_bound_and_ended_ones_go_first)
{
	AUTO(context) ctx = NULL;
	struct context_stats s;

	require(open_small(&ctx, 64));
	(void)exec_of(ctx, 1, 10, 1, "/bin/bomb");
	for (__u32 i = 0; i < 30; i++)
		(void)fork_of(ctx, 10 + i, 10, 1, 100 + i, 10 + i);
	for (__u32 i = 0; i < 5000; i++) {
		(void)fork_of(ctx, 1000 + i, 10, 1, 1000 + i, 1000 + i);
		(void)exit_of(ctx, 1000 + i, 1000 + i, 1000 + i);
	}
	s = stats_of(ctx);
	check_int(s.processes, 64);
	check_int(s.evicted_alive, 0);
	check_int(s.evicted_exited, 5031 - 64);
	check_int(s.misses, 1);
	/* All of the living are still known. */
	for (__u32 i = 0; i < 30; i++)
		check(context_process(ctx, 100 + i, 10 + i) != NULL);
}

TEST(more_living_than_the_bound_keeps_those_that_act)
{
	AUTO(context) ctx = NULL;
	struct context_stats s;

	require(open_small(&ctx, 64));
	(void)exec_of(ctx, 1, 1, 1, "/sbin/init");
	for (__u32 i = 0; i < 5000; i++) {
		(void)fork_of(ctx, 1000 + i, 1, 1, 1000 + i, 1000 + i);
		(void)other_of(ctx, 1000 + i, 1, 1);
	}
	s = stats_of(ctx);
	check_int(s.processes, 64);
	check_int(s.evicted_alive, 5001 - 64);
	check_int(s.misses, 1);
	check_str(exe_of(context_process(ctx, 1, 1)), "/sbin/init");
}

TEST(a_line_of_forks_that_never_ends_keeps_some_ancestors)
{
	AUTO(context) ctx = NULL;
	const struct process *p;
	uint64_t before;

	require(open_small(&ctx, 64));
	before = stats_of(ctx).bytes;
	(void)exec_of(ctx, 1, 10, 1, "/bin/worm");
	for (__u32 i = 0; i < 20000; i++) {
		unsigned n = 0;

		(void)fork_of(ctx, 10 + i, 10 + i, 1 + i, 11 + i, 2 + i);
		(void)exit_of(ctx, 10 + i, 10 + i, 1 + i);
		p = context_process(ctx, 11 + i, 2 + i);
		require(p != NULL);
		for (const struct process *a = p->parent; a; a = a->parent) {
			check_int(a->pid, 10 + i - n);
			n++;
		}
		require(n == p->depth && n <= PROCESS_ANCESTORS_MAX);
		require(n >= (i + 1 < PROCESS_ANCESTORS_MIN ? i + 1 : PROCESS_ANCESTORS_MIN));
	}
	check(stats_of(ctx).ancestors_cut > 0);
	/* The bound holds for what hangs on the known ones, too. */
	check(stats_of(ctx).bytes - before < 64 * 3 * sizeof(struct process) * 2);
	check_int(stats_of(ctx).misses, 1);
}

TEST(where_memory_is_short_command_lines_and_ancestors_are_cut)
{
	struct context_options o = { .offline = true, .boot_id = BOOT };
	AUTO(context) ctx = NULL;
	const struct process *p;
	struct made *r;
	char args[800];

	require_ok(option_defaults(context_option_rows, context_n_option_rows, &o.limits));
	o.limits.memory = 1;
	require_ok(context_open(&o, &ctx));
	(void)exec_of(ctx, 1, 10, 1, "/bin/sh");
	memset(args, 'x', sizeof(args));
	r = head(EV_EXEC, sizeof(r->exec), 10, 10, 1);
	r->exec.args = put(args, sizeof(args));
	p = context_apply(ctx, &r->head);
	check_int(p->program->command_line.n, 256);
	check(p->program->truncated);
	for (__u32 i = 0; i < 10; i++)
		(void)fork_of(ctx, 20 + i, 10 + i, i ? 19 + i : 1, 11 + i, 20 + i);
	check_int(context_process(ctx, 20, 29)->depth, 1);
	check(stats_of(ctx).args_cut > 0);
}

TEST(everything_is_given_back)
{
	AUTO(context) ctx = NULL;
	uint64_t before;

	require(open_small(&ctx, 64));
	before = stats_of(ctx).bytes;
	for (__u32 i = 0; i < 300; i++) {
		(void)fork_of(ctx, 10 + i, 10 + i / 3, 1 + i / 3, 11 + i, 2 + i);
		(void)exec_of(ctx, 10 + i, 11 + i, 2 + i, "/bin/x");
	}
	check(stats_of(ctx).bytes > before);
	context_free(take(ctx));
	require(open_small(&ctx, 64));
	check_int(stats_of(ctx).bytes, before);
}

/* ---- hostile records --------------------------------------------------------------------------------- */

TEST(records_that_make_no_sense_do_no_harm)
{
	AUTO(context) ctx = NULL;
	struct made *r;

	require(open_small(&ctx, 64));
	check(other_of(ctx, 1, 0, 0) == NULL);
	/* A process that makes itself, or its own parent. */
	(void)fork_of(ctx, 10, 10, 5, 10, 5);
	(void)fork_of(ctx, 11, 10, 5, 11, 6);
	(void)fork_of(ctx, 12, 11, 6, 10, 5);
	(void)fork_of(ctx, 13, 11, 6, 0, 0);
	(void)fork_of(ctx, 13, 11, 6, 12, 0);
	for (const struct process *p = context_process(ctx, 10, 5); p; p = p->parent)
		check(p->depth <= PROCESS_ANCESTORS_MAX);
	/* The child has the parent's pid. */
	for (__u32 i = 0; i < 200; i++)
		(void)fork_of(ctx, 20 + i, 10, 5 + i, 10, 6 + i);
	/* Records that are shorter than their kind. */
	r = head(EV_EXEC, sizeof(r->head), 300, 20, 5);
	check(context_apply(ctx, &r->head) == NULL);
	r = head(EV_FORK, sizeof(r->head), 300, 20, 5);
	(void)context_apply(ctx, &r->head);
	r = head(EV_KNOWN, sizeof(r->head), 300, 20, 5);
	(void)context_apply(ctx, &r->head);
	r = head(EV_USER, sizeof(r->head), 300, 0, 0);
	(void)context_apply(ctx, &r->head);
	r = head(EV_CGROUP, sizeof(r->cgroup), 300, 0, 0);
	(void)context_apply(ctx, &r->head);
	/* Strings that point outside. */
	r = make_exec(310, 30, 5, "/bin/x");
	r->exec.args = (struct ev_str) { .off = 0xfff0, .len = 0xfff0 };
	r->exec.exe.len = 0xffff;
	(void)context_apply(ctx, &r->head);
	check_str(exe_of(context_process(ctx, 30, 5)), "");
	check(stats_of(ctx).processes <= 64);
}

/* ---- lens ------------------------------------------------------------------------------------------------ */

static struct value get(const struct event *ev, const char *name)
{
	struct value v;

	(void)ev->lens->get(ev->subject, field_find(name, strlen(name)), &v);
	return v;
}

static void check_text(const struct event *ev, const char *name, const char *want)
{
	struct value v = get(ev, name);
	char text[256] = "";

	if (v.type == VALUE_STR)
		(void)snprintf(text, sizeof(text), "%.*s", (int)v.s.n, v.s.p);
	if (strcmp(text, want) != 0)
		test_fail(T_HERE, "%s: got \"%s\", want \"%s\"", name, text, want);
}

static void count_field(void *ctx, field_id id, const struct value *v)
{
	field_id *last = ctx;

	check(id > last[0]);
	check(v->type != VALUE_NULL);
	last[0] = id;
	last[1]++;
}

TEST(an_event_answers_for_its_process)
{
	AUTO(context) ctx = NULL;
	struct context_view view;
	struct event ev;
	struct value v;
	field_id seen[2] = { 0 };

	require(open_small(&ctx, 64));
	tell_cgroup(ctx, 1,
		    "/kubepods.slice/kubepods-pod0f1e2d3c_4b5a_6978_8796_a5b4c3d2e1f0.slice/"
		    "cri-containerd-3f4ba3c1d2e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f.scope");
	(void)exec_of(ctx, 90, 9, 40, "/sbin/entry");
	(void)fork_of(ctx, 95, 9, 40, 10, 50);
	(void)exec_of(ctx, 100, 10, 50, "/bin/sh");
	(void)fork_of(ctx, 110, 10, 50, 11, 109);
	(void)exec_of(ctx, 120, 11, 109, "/bin/ls");
	(void)other_of(ctx, 130, 11, 109);
	ev = context_event(ctx, &rec.head, NULL, &view);
	check_text(&ev, "process.executable", "/bin/ls");
	check_text(&ev, "process.command_line", "a b c ");
	check_text(&ev, "process.working_directory", "/home");
	check_text(&ev, "process.entity_id", "8f3c2a1b9d4e4f00-b-6d");
	check_text(&ev, "process.parent.executable", "/bin/sh");
	check_text(&ev, "process.parent.name", "task");
	check_text(&ev, "process.parent.entity_id", "8f3c2a1b9d4e4f00-a-32");
	check_text(&ev, "container.id", "3f4ba3c1d2e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f");
	check_text(&ev, "container.runtime", "containerd");
	check_text(&ev, "orchestrator.type", "kubernetes");
	check_text(&ev, "kubernetes.pod.uid", "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0");
	check_text(&ev, "user.name", "");
	v = get(&ev, "process.args");
	require(v.type == VALUE_LIST && v.list.n == 3);
	check_int(v.list.items[1].s.n, 3);
	check(!memcmp(v.list.items[1].s.p, "b c", 3));
	v = get(&ev, "process.ancestors.executable");
	require(v.type == VALUE_LIST && v.list.n == 2);
	check(!strcmp(v.list.items[0].s.p, "/bin/sh") && !strcmp(v.list.items[1].s.p, "/sbin/entry"));
	v = get(&ev, "process.parent.pid");
	check(v.type == VALUE_UINT && v.u == 10);
	v = get(&ev, "process.nothing");
	check(v.type == VALUE_NULL);
	ev.lens->each(ev.subject, count_field, seen);
	check(seen[1] >= 15);
	/* Of another cgroup than the process is known to be in: nothing is said of it. */
	rec.head.cgroup_id = 99;
	check_text(&ev, "container.id", "");
}

TEST(an_exec_of_an_orphan_speaks_of_the_parent_that_it_names)
{
	AUTO(context) ctx = NULL;
	struct context_view view;
	struct event ev;
	struct made *r;

	require(open_small(&ctx, 64));
	(void)exec_of(ctx, 100, 10, 50, "/bin/sh");
	(void)fork_of(ctx, 110, 10, 50, 11, 109);
	(void)exit_of(ctx, 115, 10, 50);
	r = make_exec(120, 11, 109, "/bin/daemon");
	r->exec.parent_pid = 1;
	r->exec.parent_start_ns = 2;
	(void)context_apply(ctx, &r->head);
	ev = context_event(ctx, &r->head, NULL, &view);
	check_text(&ev, "process.parent.entity_id", "8f3c2a1b9d4e4f00-1-2");
	check_text(&ev, "process.parent.executable", "");
	/* Who made it is not forgotten. */
	check_int(get(&ev, "process.ancestors.executable").list.n, 1);
	check(process_is_descendant(view.process, 10, 50));
	check(!process_is_descendant(view.process, 10, 51));
	check(!process_is_descendant(view.process, 12, 0));
}

/* What an init started that made no session of its own is in session 0, as the record of its exec says. */
TEST(session_0_is_a_session_and_a_stub_has_none)
{
	AUTO(context) ctx = NULL;
	struct context_view view;
	struct event ev;

	require(open_small(&ctx, 64));
	(void)exec_of(ctx, 100, 10, 50, "/bin/sh");
	(void)fork_of(ctx, 110, 10, 50, 11, 109);
	for (uint32_t pid = 10; pid <= 11; pid++) {
		ev = context_event(ctx, &head(EV_ID(0x70, 1), sizeof(rec.head), 120, pid, pid == 10 ? 50 : 109)->head,
				   NULL, &view);
		check(get(&ev, "process.session_leader.pid").type == VALUE_UINT);
		check(get(&ev, "process.group_leader.pid").type == VALUE_UINT);
	}
	(void)other_of(ctx, 130, 12, 129);
	ev = context_event(ctx, &head(EV_ID(0x70, 1), sizeof(rec.head), 140, 12, 129)->head, NULL, &view);
	check(get(&ev, "process.session_leader.pid").type == VALUE_NULL);
}

TEST(a_child_that_was_seen_before_its_birth_is_of_the_session_of_its_parent)
{
	AUTO(context) ctx = NULL;
	struct made *r;

	require(open_small(&ctx, 64));
	r = make_exec(100, 10, 50, "/bin/sh");
	r->exec.sid = 7;
	(void)context_apply(ctx, &r->head);
	(void)other_of(ctx, 120, 11, 109);
	(void)fork_of(ctx, 110, 10, 50, 11, 109);
	check_int(context_process(ctx, 11, 109)->session_pid, 7);
}

TEST(an_event_of_nobody_answers_nothing)
{
	AUTO(context) ctx = NULL;
	struct context_view view;
	struct event ev;
	field_id seen[2] = { 0 };

	require(open_small(&ctx, 64));
	ev = context_event(ctx, &head(EV_ID(0x70, 1), sizeof(rec.head), 1, 0, 0)->head, NULL, &view);
	ev.lens->each(ev.subject, count_field, seen);
	check_int(seen[1], 0);
	check(get(&ev, "process.executable").type == VALUE_NULL);
}

/* ---- records of knowledge ------------------------------------------------------------------------------- */

struct kept {
	struct made records[16];
	size_t n;
};

static void keep(void *arg, const struct ev_head *r)
{
	struct kept *k = arg;

	if (k->n < 16)
		memcpy(&k->records[k->n++], r, r->len);
}

/* This very test is the process that is not known: its own /proc may be read. */
TEST(what_is_learned_late_stands_in_the_stream_before_it_is_needed)
{
	static struct kept kept;
	struct context_options o = { .boot_id = BOOT, .learned = keep, .arg = &kept };
	AUTO(context) live = NULL;
	AUTO(context) replay = NULL;
	const struct process *a, *b;
	struct proc_stat st;
	uint64_t start;
	struct made *r;

	kept.n = 0;
	require_ok(proc_stat((__u32)getpid(), &st));
	start = st.start_ticks * PROC_TICK_NS + 1234567;
	require_ok(option_defaults(context_option_rows, context_n_option_rows, &o.limits));
	require_ok(context_open(&o, &live));
	r = head(EV_ID(0x70, 1), sizeof(r->head), 1000, (__u32)getpid(), start);
	r->head.uid = getuid();
	a = context_apply(live, &r->head);
	require(a != NULL);
	check(a->flags & PROCESS_LATE);
	check(!(a->flags & PROCESS_STUB));
	check_has(exe_of(a), "/unit");
	check_int(stats_of(live).late, 1);
	check_int(stats_of(live).misses, 1);
	require(kept.n >= 1);

	require(open_small(&replay, 64));
	for (size_t i = 0; i < kept.n; i++)
		(void)context_apply(replay, &kept.records[i].head);
	r = head(EV_ID(0x70, 1), sizeof(r->head), 1000, (__u32)getpid(), start);
	r->head.uid = getuid();
	b = context_apply(replay, &r->head);
	check_int(stats_of(replay).misses, 0);
	check_str(exe_of(b), exe_of(a));
	require(b->cwd != NULL && b->program != NULL);
	check_str(b->cwd->bytes, a->cwd->bytes);
	check_str(b->program->command_line.p, a->program->command_line.p);
	check((a->user == NULL) == (b->user == NULL));
	check(a->entity == b->entity);
	/* The number, but of another process: nothing of this one is said of it. */
	a = other_of(live, 2000, (__u32)getpid(), start + 5000000000);
	check(a->flags & PROCESS_STUB);
	check_str(exe_of(a), "");
	check_int(stats_of(live).late_failed, 1);
}

TEST(looking_is_bounded_by_time)
{
	struct context_options o = { .boot_id = BOOT };
	AUTO(context) ctx = NULL;

	require_ok(option_defaults(context_option_rows, context_n_option_rows, &o.limits));
	o.limits.late_per_s = 10;
	require_ok(context_open(&o, &ctx));
	/* Numbers that no process can have. */
	for (__u32 i = 0; i < 100; i++)
		(void)other_of(ctx, 1000000000 + i, 0x7f000000 + i, 5);
	check_int(stats_of(ctx).late_failed, 10);
	check_int(stats_of(ctx).late_refused, 90);
	(void)other_of(ctx, 3000000000, 0x7e000000, 5);
	check_int(stats_of(ctx).late_failed, 11);
}

/* ---- references on other threads ------------------------------------------------------------------------- */

enum { HELD = 4096 };
static const struct process *held_by_threads[HELD];

static void *release_all(void *arg)
{
	size_t first = (size_t)(uintptr_t)arg;

	for (size_t i = first; i < HELD; i += 4) {
		const struct process *p = __atomic_load_n(&held_by_threads[i], __ATOMIC_ACQUIRE);

		while (!p)
			p = __atomic_load_n(&held_by_threads[i], __ATOMIC_ACQUIRE);
		if (p->parent)
			check(process_is_descendant(p, p->parent->pid, p->parent->start_ns));
		process_unref(p);
	}
	return NULL;
}

TEST(processes_may_be_let_go_on_any_thread)
{
	AUTO(context) ctx = NULL;
	pthread_t threads[4];
	uint64_t before;

	memset(held_by_threads, 0, sizeof(held_by_threads));
	require(open_small(&ctx, 64));
	before = stats_of(ctx).bytes;
	for (size_t i = 0; i < 4; i++)
		require(pthread_create(&threads[i], NULL, release_all, (void *)(uintptr_t)i) == 0);
	for (__u32 i = 0; i < HELD; i++) {
		(void)fork_of(ctx, 10 + i, 10 + i / 2, 1 + i / 2, 11 + i, 2 + i);
		__atomic_store_n(&held_by_threads[i], process_ref(exec_of(ctx, 10 + i, 11 + i, 2 + i, "/bin/x")),
				 __ATOMIC_RELEASE);
	}
	for (size_t i = 0; i < 4; i++)
		require(pthread_join(threads[i], NULL) == 0);
	context_free(take(ctx));
	require(open_small(&ctx, 64));
	check_int(stats_of(ctx).bytes, before);
}

/* ---- a model ------------------------------------------------------------------------------------------------ */

enum { MODEL_MAX = 4000, MODEL_PIDS = 300, MODEL_STEPS = 20000 };

struct modelled {
	__u32 pid;
	__u64 start;
	int parent; /* -1: none */
	int exe, parent_exe;
	bool alive;
};

static struct modelled model[MODEL_MAX];
static int model_n;

static unsigned long long dice_state;
static unsigned dice(unsigned sides)
{
	dice_state = dice_state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned)(dice_state >> 33) % sides;
}

static int model_alive(void)
{
	for (int tries = 0; tries < 50; tries++) {
		int i = (int)dice((unsigned)model_n);

		if (model[i].alive)
			return i;
	}
	return 0; /* never ends */
}

static bool model_has_pid(__u32 pid)
{
	for (int i = 0; i < model_n; i++)
		if (model[i].alive && model[i].pid == pid)
			return true;
	return false;
}

static int model_root(int i)
{
	while (model[i].parent > 0)
		i = model[i].parent;
	return i;
}

static void model_check(struct context *ctx, int i)
{
	const struct modelled *m = &model[i];
	const struct process *p = context_process(ctx, m->pid, m->start);
	char exe[32];

	if (!p)
		return; /* one of its pid's earlier lives, let go */
	check(p->pid == m->pid && p->start_ns == m->start);
	check(context_is_alive(ctx, m->pid, m->start) == m->alive);
	(void)snprintf(exe, sizeof(exe), "/bin/%d", m->exe);
	check_str(exe_of(p), exe);
	if (m->parent < 0)
		return;
	require(p->parent != NULL);
	check(p->parent->pid == model[m->parent].pid && p->parent->start_ns == model[m->parent].start);
	(void)snprintf(exe, sizeof(exe), "/bin/%d", m->parent_exe);
	check_str(exe_of(p->parent), exe);
	check(p->entity == entity_of(ctx, model[model_root(i)].pid, model[model_root(i)].start) ||
	      !context_process(ctx, model[model_root(i)].pid, model[model_root(i)].start));
}

static void model_step(struct context *ctx, __u64 now)
{
	int i = model_alive();
	struct modelled *m = &model[i];
	unsigned what = dice(10);
	char exe[32];

	if (what < 4 && model_n < MODEL_MAX) {
		__u32 pid = 2 + dice(MODEL_PIDS);

		if (model_has_pid(pid) || pid == 2)
			return;
		model[model_n++] = (struct modelled) { pid, now, i, m->exe, m->exe, true };
		(void)fork_of(ctx, now, m->pid, m->start, pid, now);
	} else if (what < 7) {
		m->exe = (int)dice(100000);
		/* The parent is looked at anew, as long as it is known. */
		if (m->parent >= 0 && context_process(ctx, model[m->parent].pid, model[m->parent].start))
			m->parent_exe = model[m->parent].exe;
		(void)snprintf(exe, sizeof(exe), "/bin/%d", m->exe);
		(void)exec_of(ctx, now, m->pid, m->start, exe);
	} else if (what < 8 && i) {
		m->alive = false;
		(void)exit_of(ctx, now, m->pid, m->start);
	} else {
		(void)other_of(ctx, now, m->pid, m->start);
	}
}

static void run_model(unsigned long long seed)
{
	AUTO(context) ctx = NULL;

	dice_state = seed;
	require(open_small(&ctx, MODEL_MAX * 2));
	model_n = 1;
	model[0] = (struct modelled) { 1, 1, -1, 0, 0, true };
	(void)exec_of(ctx, 1, 1, 1, "/bin/0");
	for (__u64 step = 0; step < MODEL_STEPS; step++) {
		model_step(ctx, 10 + step);
		model_check(ctx, (int)dice((unsigned)model_n));
	}
	for (int i = 0; i < model_n; i++)
		model_check(ctx, i);
	check_int(stats_of(ctx).misses, 1);
	check_int(stats_of(ctx).exits_missed, 0);
	check_int(stats_of(ctx).evicted_alive, 0);
}

TEST(random_streams_agree_with_a_slow_model)
{
	for (unsigned long long seed = 1; seed <= 5; seed++)
		run_model(seed * 0x9e3779b97f4a7c15ULL);
}

/* Anything, in any order, with few numbers so that all collide: nothing breaks and the bounds hold. */
TEST(random_records_keep_the_bounds)
{
	AUTO(context) ctx = NULL;

	dice_state = 42;
	require(open_small(&ctx, 64));
	for (int i = 0; i < 200000; i++) {
		__u64 now = dice(5000) + 1, start = dice(40), child_start = dice(40);
		__u32 pid = dice(30), child = dice(30);

		switch (dice(5)) {
		case 0:
			(void)fork_of(ctx, now, pid, start, child, child_start);
			break;
		case 1:
			(void)exec_of(ctx, now, pid, start, "/bin/x");
			break;
		case 2:
			(void)exit_of(ctx, now, pid, start);
			break;
		default:
			(void)other_of(ctx, now, pid, start);
			break;
		}
		if (i % 1000 == 0)
			check(stats_of(ctx).processes <= 64);
	}
	for (__u32 pid = 1; pid < 30; pid++) {
		unsigned n = 0;

		for (const struct process *p = context_process_by_pid(ctx, pid); p; p = p->parent)
			require(++n <= PROCESS_ANCESTORS_MAX + 1);
	}
}

/* ---- /proc -------------------------------------------------------------------------------------------------- */

TEST(lines_of_proc_stat_are_read_whatever_the_name)
{
#define REST " 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20"
	static const struct {
		const char *name, *line, *comm;
		bool ok;
	} rows[] = {
		{ "usual", "7 (sh) S" REST, "sh", true },
		{ "brackets in the name", "7 (a) R (b) S" REST, "a) R (b", true },
		{ "a name that looks like a line", "7 (x) S 1 1 1 1) S" REST, "x) S 1 1 1 1", true },
		{ "no name", "7 () S" REST, "", true },
		{ "a long name", "7 (abcdefghijklmnopqrstuvwxyz) S" REST, "abcdefghijklmno", true },
		{ "too short", "7 (sh) S 1 2 3", "", false },
		{ "no brackets", "7 sh S" REST, "", false },
		{ "brackets the wrong way", "7 )sh( S" REST, "", false },
		{ "nothing", "", "", false },
		{ "ends at the bracket", "7 (sh)", "", false },
	};

	for_each_row (r, rows) {
		struct proc_stat st = { 0 };
		int ret = proc_stat_parse(r->line, strlen(r->line), &st);

		check((ret == 0) == r->ok);
		check_str(st.comm, r->comm);
		if (r->ok) {
			check_int(st.ppid, 1);
			check_int(st.start_ticks, 19);
		}
	}
}
