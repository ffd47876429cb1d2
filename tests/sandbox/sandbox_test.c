/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What tests (and users) may rely on: nothing outside the scope is seen, the agent itself is never a record, and
 * closing leaves nothing behind. The process sensor stands for all.
 */
#include <bpf/bpf.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/err.h"
#include "base/mem.h"
#include "base/test.h"
#include "config/option.h"
#include "sensors/process/process.event.h"
#include "sensors/process/process.map.h"
#include "tests/sandbox/observe.h"

extern const struct sensor sensor_process;

/* Without the hooks that no test here looks at. */
static const void *lean(void)
{
	static const char *const off[] = { "credentials", "namespaces", "sessions", "ptrace", "memory_access" };
	static char options[4096] __attribute__((aligned(8)));

	options_clear(sensor_process.options, sensor_process.n_options, options);
	memset(options, 0, sizeof(options));
	if (option_defaults(sensor_process.options, sensor_process.n_options, options) < 0)
		test_fail(T_HERE, "%s", err_trail());
	for (size_t i = 0; i < sensor_process.n_options; i++)
		for (size_t k = 0; k < countof(off); k++)
			if (!strcmp(sensor_process.options[i].name, off[k]) &&
			    option_set(&sensor_process.options[i], "false", options) < 0)
				test_fail(T_HERE, "%s", err_trail());
	return options;
}

static int run_programs(const struct sandbox *sb, void *arg)
{
	static char name[] = "true";
	char *const argv[] = { name, NULL }, *const envp[] = { NULL };
	int status, bad = 0;
	pid_t pid;

	(void)sb;
	for (int i = *(int *)arg; i > 0; i--)
		bad += posix_spawn(&pid, "/bin/true", NULL, NULL, argv, envp) || waitpid(pid, &status, 0) != pid ||
		       status;
	return bad;
}

static int open_files(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	while (dir && readdir(dir))
		n++;
	if (dir)
		(void)closedir(dir);
	return n;
}

enum { IDS_MAX = 256 };
struct ids {
	__u32 prog[IDS_MAX], map[IDS_MAX];
	size_t n_progs, n_maps;
};

static void ids_of(const struct observer *ob, struct ids *ret_ids)
{
	struct bpf_object *bpf = object_libbpf(ob->object);
	struct bpf_program *p;
	struct bpf_map *m;

	*ret_ids = (struct ids) { 0 };
	bpf_object__for_each_program (p, bpf) {
		struct bpf_prog_info info = { 0 };
		__u32 len = sizeof(info);

		if (bpf_program__fd(p) >= 0 && !bpf_obj_get_info_by_fd(bpf_program__fd(p), &info, &len) &&
		    ret_ids->n_progs < IDS_MAX)
			ret_ids->prog[ret_ids->n_progs++] = info.id;
	}
	bpf_object__for_each_map(m, bpf)
	{
		struct bpf_map_info info = { 0 };
		__u32 len = sizeof(info);

		if (bpf_map__fd(m) >= 0 && !bpf_obj_get_info_by_fd(bpf_map__fd(m), &info, &len) &&
		    ret_ids->n_maps < IDS_MAX)
			ret_ids->map[ret_ids->n_maps++] = info.id;
	}
}

/* The kernel frees after a grace period: ten seconds are many of them. */
static bool is_gone(int (*open_by_id)(__u32 id), __u32 id)
{
	for (int i = 0; i < 1000; i++) {
		auto_close int fd = open_by_id(id);

		if (fd < 0)
			return true;
		fd_closep(&fd);
		(void)usleep(10000);
	}
	return false;
}

TEST(closing_leaves_nothing_behind)
{
	char cgroup[256], dir[64], netns[64];
	int programs = 1, files;
	struct ids ids;
	struct stat st;

	/* What is opened once and kept (BTF, tracefs) is not what this test asks about. */
	for (int round = 0; round < 2; round++) {
		auto_sandbox struct sandbox sb = { 0 };
		auto_observer struct observer ob = { 0 };

		files = open_files();
		if (!sandbox_open(&sb, SANDBOX_NET) || !observe_open(&ob, &sb, &sensor_process, NULL))
			return;
		check_int(sandbox_run(&sb, run_programs, &programs), 0);
		ids_of(&ob, &ids);
		(void)snprintf(cgroup, sizeof(cgroup), "%s", sb.cgroup);
		(void)snprintf(dir, sizeof(dir), "%s", sb.dir);
		(void)snprintf(netns, sizeof(netns), "/run/netns/%s", sb.netns);
		check(!stat(cgroup, &st) && !stat(dir, &st) && !stat(netns, &st));
	}
	check_int(open_files(), files);
	check(stat(cgroup, &st) && errno == ENOENT);
	check(stat(dir, &st) && errno == ENOENT);
	check(stat(netns, &st) && errno == ENOENT);
	check(ids.n_progs > 0 && ids.n_maps > 0);
	for (size_t i = 0; i < ids.n_progs; i++)
		check(is_gone(bpf_prog_get_fd_by_id, ids.prog[i]));
	for (size_t i = 0; i < ids.n_maps; i++)
		check(is_gone(bpf_map_get_fd_by_id, ids.map[i]));
}

/* Nothing sent, and nothing even begun: not a hook that fired, not a record that was seen. */
static void check_silent(const struct observer *ob)
{
	for (size_t k = 0; k < ob->sensor->n_kinds; k++) {
		struct ev_counts c;

		test_row = ob->sensor->kinds[k].name;
		require_ok(object_counts(ob->object, EV_ID_NUMBER(ob->sensor->kinds[k].id), &c));
		check_int(c.seen, 0);
	}
	for (size_t h = 0; h < ob->sensor->n_hooks; h++) {
		struct ev_hook_counts c;

		test_row = ob->sensor->hooks[h].name;
		require_ok(object_hook_counts(ob->object, (unsigned)h, &c));
		check_int(c.fired, 0);
	}
	test_row = NULL;
}

TEST(outside_the_cgroup_nothing_is_seen)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_sandbox struct sandbox beside = { 0 };
	auto_observer struct observer ob = { 0 };
	int programs = 5;

	if (!sandbox_open(&sb, SANDBOX_PLAIN) || !sandbox_open(&beside, SANDBOX_PLAIN) ||
	    !observe_open(&ob, &sb, &sensor_process, NULL))
		return;
	check_int(outside_run(&sb, run_programs, &programs), 0);
	check_int(sandbox_run(&beside, run_programs, &programs), 0);
	observe_drain(&ob);
	check_int(ob.n, 0);
	check_silent(&ob);
	/* The silence was not deafness. */
	check_int(sandbox_run(&sb, run_programs, &programs), 0);
	observe_drain(&ob);
	check_int(observe_count(&ob, EV_EXEC), programs);
}

TEST(below_the_cgroup_all_is_seen)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };
	struct sandbox below;
	int programs = 3;

	if (!sandbox_open(&sb, SANDBOX_PLAIN) || !observe_open(&ob, &sb, &sensor_process, lean()))
		return;
	below = sb;
	(void)snprintf(below.cgroup, sizeof(below.cgroup), "%.200s/below", sb.cgroup);
	require(!mkdir(below.cgroup, 0755));
	check_int(sandbox_run(&below, run_programs, &programs), 0);
	observe_drain(&ob);
	check_int(observe_count(&ob, EV_EXEC), programs);
	for (int i = 0; i < 200 && rmdir(below.cgroup) && errno == EBUSY; i++)
		(void)usleep(10000);
}

TEST(a_network_namespace_is_a_scope)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_sandbox struct sandbox beside = { 0 };
	auto_observer struct observer ob = { 0 };
	struct sandbox view;
	const struct ev_exec *e;
	int programs = 3;
	struct stat st;
	char path[64];

	if (!sandbox_open(&sb, SANDBOX_NET) || !sandbox_open(&beside, SANDBOX_PLAIN))
		return;
	view = sb;
	(void)snprintf(view.scope, sizeof(view.scope), "netns:%s", sb.netns);
	if (!observe_open(&ob, &view, &sensor_process, lean()))
		return;
	check_int(sandbox_run(&beside, run_programs, &programs), 0);
	observe_drain(&ob);
	check_int(ob.n, 0);
	check_silent(&ob);

	check_int(outside_run(&sb, run_programs, &programs), 0); /* in the namespace, in no cgroup of ours */
	observe_drain(&ob);
	observe_check_books(&ob);
	check_int(observe_count(&ob, EV_EXEC), programs);
	check_int(observe_count(&ob, EV_EXIT), programs + 1);
	e = observe_find(&ob, EV_EXEC, 0);
	require(e != NULL);
	(void)snprintf(path, sizeof(path), "/run/netns/%s", sb.netns);
	check(!stat(path, &st) && e->head.netns == st.st_ino);
}

TEST(what_the_agent_does_is_a_canary_and_no_record)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };
	struct ev_hook_counts fork_hook, exec_hook;
	int programs = 4;

	if (!sandbox_open(&sb, SANDBOX_PLAIN) || !observe_open(&ob, &sb, &sensor_process, lean()))
		return;
	/* Of the agent, which is outside the scope: its forks, and its child's exec. Of its child inside: one fork. */
	check_int(run_programs(&sb, &programs), 0);
	check_int(sandbox_run(&sb, run_programs, &programs), 0);
	observe_drain(&ob);
	observe_check_books(&ob);
	require_ok(object_hook_counts(ob.object, HOOK_FORK, &fork_hook));
	require_ok(object_hook_counts(ob.object, HOOK_EXEC, &exec_hook));
	check(fork_hook.canary >= (__u64)programs + 2);
	check_int(exec_hook.canary, programs);
	check_int(fork_hook.fired, programs);
	check_int(exec_hook.fired, programs);
	check_int(observe_count(&ob, EV_FORK), programs);
	check_int(observe_count(&ob, EV_EXEC), programs);
}
