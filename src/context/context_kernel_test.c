/* SPDX-License-Identifier: Apache-2.0 */
/* Processes that ran before the agent looked: found in the kernel, and the same as their later records say. */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/err.h"
#include "base/test.h"
#include "context/context.h"
#include "sensors/process/process.event.h"
#include "tests/sandbox/observe.h"

extern const struct sensor sensor_process;

#define SCRIPT  "read line <gate; /bin/true with arguments; exit 7"
#define WAITING "sh -c " SCRIPT " waiting"

/* A shell that waits at a pipe, then runs another program as its child, and ends. */
static int wait_and_act(const struct sandbox *sb, void *arg)
{
	(void)arg;
	if (chdir(sb->dir))
		return 99;
	(void)execl("/bin/sh", "sh", "-c", SCRIPT, "waiting", NULL);
	return 98;
}

static bool wait_for_reader(const char *path, int *ret_fd)
{
	/* Opening fails with ENXIO until the shell has the other end: then it has run exec and waits. */
	for (int i = 0; i < 500; i++) {
		*ret_fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
		if (*ret_fd >= 0)
			return true;
		(void)usleep(10000);
	}
	return false;
}

static int take_limits(struct context_options *o)
{
	return option_defaults(context_option_rows, context_n_option_rows, &o->limits);
}

static const struct process *find_by_args(struct context *ctx, const struct observer *ob, const char *line)
{
	for (size_t i = 0; i < ob->n; i++) {
		const struct process *p = context_process(ctx, ob->records[i]->pid, ob->records[i]->start_ns);

		if (p && p->program && !strcmp(p->program->command_line.p, line))
			return p;
	}
	return NULL;
}

static void seeded_and_seen(bool no_iterator)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };
	AUTO(context) ctx = NULL;
	struct context_options options = { .no_iterator = no_iterator, .passwd_path = "/nonexistent" };
	const struct process *before, *child;
	struct context_stats stats;
	bool exact = no_iterator;
	auto_close int gate = -1;
	char path[128];
	int status;
	pid_t pid;

	if (!sandbox_open(&sb, SANDBOX_PLAIN))
		return;
	(void)snprintf(path, sizeof(path), "%s/gate", sb.dir);
	require(mkfifo(path, 0600) == 0);
	pid = sandbox_spawn(&sb, wait_and_act, NULL);
	require(pid > 0);
	if (!wait_for_reader(path, &gate)) {
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, &status, 0);
		check(!"the shell has come to its gate");
		return;
	}
	if (!observe_open(&ob, &sb, &sensor_process, NULL))
		return; /* the gate closes, and the shell ends */
	require_ok(take_limits(&options));
	options.core = ob.core;
	require_ok(context_open(&options, &ctx));
	require_ok(context_seed(ctx, &exact));
	check(exact != no_iterator);
	context_stats(ctx, &stats);
	/* The one that waits, and the one that spawned it: nothing else is in the sandbox. */
	check_int(stats.seeded, 2);
	check_int(stats.processes, 2);

	check_int(write(gate, "go\n", 3), 3);
	require(waitpid(pid, &status, 0) == pid);
	check_int(WEXITSTATUS(status), 7);
	observe_drain(&ob);
	for (size_t i = 0; i < ob.n; i++)
		(void)context_apply(ctx, ob.records[i]);
	context_stats(ctx, &stats);
	check_int(stats.misses, 0);

	before = find_by_args(ctx, &ob, WAITING);
	require(before != NULL);
	check(before->flags & PROCESS_SEEDED);
	check(!(before->flags & PROCESS_TICKS));
	check_str(before->cwd->bytes, sb.dir);
	check_has(before->program->executable.p, "/bin/");
	check_int(before->program->n_args, 4);
	check(!context_is_alive(ctx, before->pid, before->start_ns));
	check(before->parent != NULL);
	require(before->cgroup != NULL);
	check_str(before->cgroup->path, sb.cgroup + strlen(cgroup_mount()));

	child = find_by_args(ctx, &ob, "/bin/true with arguments");
	require(child != NULL);
	require(child->parent != NULL);
	check_int(child->parent->pid, before->pid);
	check(child->parent->start_ns == before->start_ns);
	check(child->entity == before->entity);
	check(process_is_descendant(child, before->pid, before->start_ns));
}

TEST(what_ran_before_is_known_by_the_identity_that_its_records_carry)
{
	seeded_and_seen(false);
}

TEST(without_an_iterator_proc_tells_and_records_make_it_exact)
{
	seeded_and_seen(true);
}
