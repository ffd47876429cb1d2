/* SPDX-License-Identifier: Apache-2.0 */
/* `shrike run` from start to end: what it says, what it refuses, what it leaves behind. */
#include <bpf/bpf.h>
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/mem.h"
#include "base/test.h"
#include "tests/e2e/e2e.h"

enum { PROGS_MAX = 512 };

/* Ids of the BPF programs behind the links that a process holds. */
static size_t progs_of(pid_t pid, __u32 *ret_ids)
{
	char path[64];
	auto_dir DIR *dir = NULL;
	size_t n = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/fdinfo", (int)pid);
	dir = opendir(path);
	for (struct dirent *d; dir && (d = readdir(dir)) && n < PROGS_MAX;) {
		auto_file FILE *f = NULL;
		char file[400], line[256];

		(void)snprintf(file, sizeof(file), "%s/%s", path, d->d_name);
		f = fopen(file, "re");
		while (f && fgets(line, sizeof(line), f))
			if (n < PROGS_MAX && sscanf(line, "prog_id: %u", &ret_ids[n]) == 1)
				n++;
	}
	return n;
}

static size_t still_there(const __u32 *ids, size_t n)
{
	size_t there = 0;

	for (size_t i = 0; i < n; i++) {
		int fd = bpf_prog_get_fd_by_id(ids[i]);

		if (fd >= 0) {
			there++;
			(void)close(fd);
		}
	}
	return there;
}

/* Freed programs go after a grace period of the kernel. */
static void check_gone(const __u32 *ids, size_t n)
{
	for (int i = 0; i < 200 && still_there(ids, n); i++)
		(void)usleep(25000);
	check_int(still_there(ids, n), 0);
}

static void ends_without_a_trace(int signal, int want)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_agent struct e2e a = { 0 };
	__u32 ids[PROGS_MAX];
	size_t n;

	if (!sandbox_open(&sb, SANDBOX_PLAIN) || !e2e_start(&a, &sb, NULL))
		return;
	n = progs_of(a.pid, ids);
	check(n > 0);
	check_int(still_there(ids, n), n);
	check_int(e2e_stop(&a, signal), want);
	check_gone(ids, n);
	if (signal == SIGKILL)
		return;
	check_has(buf_text(&a.said), "shrike ends");
	check(access(a.socket, F_OK) != 0);
}

TEST(ctrl_c_leaves_nothing_behind)
{
	ends_without_a_trace(SIGINT, 0);
}

TEST(sigterm_leaves_nothing_behind)
{
	ends_without_a_trace(SIGTERM, 0);
}

TEST(after_kill_9_nothing_stays_attached)
{
	ends_without_a_trace(SIGKILL, -SIGKILL);
}

TEST(a_socket_that_a_dead_agent_left_is_taken_over)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_agent struct e2e a = { 0 }, b = { 0 };

	if (!sandbox_open(&sb, SANDBOX_PLAIN) || !e2e_start(&a, &sb, NULL))
		return;
	check_int(e2e_stop(&a, SIGKILL), -SIGKILL);
	check_int(access(a.socket, F_OK), 0);
	require(e2e_start(&b, &sb, NULL));
	check_int(e2e_stop(&b, SIGINT), 0);
}

TEST(it_says_in_a_few_lines_what_it_watches)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_agent struct e2e a = { 0 };

	if (!sandbox_open(&sb, SANDBOX_PLAIN) || !e2e_start(&a, &sb, NULL))
		return;
	check_int(e2e_stop(&a, SIGINT), 0);
	check_has(buf_text(&a.said), "watches cgroup:");
	check_has(buf_text(&a.said), "process");
	check_has(buf_text(&a.said), "shrike events");
}

TEST(a_second_agent_at_the_same_socket_is_refused)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_agent struct e2e a = { 0 }, b = { 0 };
	auto_buf struct buf answer;

	buf_init(&answer, 1 << 20);
	if (!sandbox_open(&sb, SANDBOX_PLAIN) || !e2e_start(&a, &sb, NULL))
		return;
	check_int(e2e_run_to_end(&b, &sb, NULL), 1);
	check_has(buf_text(&b.said), "another agent answers at");
	check(e2e_ask(&a, "{\"cmd\":\"status\"}", &answer)); /* the first one is unharmed */
}

TEST(what_cannot_be_started_is_refused_with_one_message)
{
	static const struct {
		const char *name;
		const char *args[4];
		const char *want;
	} rows[] = {
		{ "no such cgroup", { "--scope", "cgroup:/no/such/cgroup" }, "no such cgroup" },
		{ "no such netns", { "--scope", "netns:no-such-netns" }, "no such network namespace" },
		{ "no scope", { "--scope", "everything" }, "is no scope: write host, cgroup:/PATH or netns:NAME" },
		{ "no such key", { "--set", "sensors.process.args_maxx=1" }, "args_max" },
		{ "no such file", { "--config", "/no/such/file.yaml" }, "/no/such/file.yaml" },
		{ "socket in no folder", { "--socket", "/no/such/folder/x.sock" }, "/no/such/folder" },
		{ "socket path is a file", { "--socket", "/etc/passwd" }, "is no socket" },
	};
	auto_sandbox struct sandbox sb = { 0 };

	if (!sandbox_open(&sb, SANDBOX_PLAIN))
		return;
	for_each_row (r, rows) {
		auto_agent struct e2e a = { 0 };

		check_int(e2e_run_to_end(&a, &sb, r->args), 1);
		check_has(buf_text(&a.said), r->want);
	}
}

/* A copy in memory: nobody may have no way to the folder that it was built in. */
static int copy_of_binary(void)
{
	auto_close int from = open(e2e_binary(), O_RDONLY | O_CLOEXEC);
	int fd = memfd_create("shrike", 0);
	struct stat st;

	if (from < 0 || fd < 0 || fstat(from, &st) || fchmod(fd, 0755))
		return -1;
	for (off_t at = 0; at < st.st_size;)
		if (sendfile(fd, from, &at, (size_t)(st.st_size - at)) <= 0)
			return -1;
	return fd;
}

/* What makes a host unfit, in a child that then runs the agent. 0, or -1. */
static int become_nobody(void)
{
	return setgid(65534) || setuid(65534) ? -1 : 0;
}

static int get_an_old_kernel(void)
{
	return personality(UNAME26) < 0 ? -1 : 0;
}

static int lose_btf(void)
{
	return unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
			       mount("none", "/sys/kernel/btf", "tmpfs", 0, NULL)
		       ? -1
		       : 0;
}

static int run_unfit(const struct sandbox *sb, void *unfit)
{
	const char *const argv[] = {
		"shrike", "run", "--scope", sb->scope, "--socket", "/tmp/shrike-unfit.sock", NULL
	};
	int fd = copy_of_binary();

	if (fd < 0 || (*(int (**)(void))unfit)())
		return 99;
	(void)dup2(1, 2);
	(void)fexecve(fd, (char *const *)argv, environ);
	return 98;
}

TEST(a_host_that_is_not_fit_is_told_what_is_missing)
{
	static const struct {
		const char *name;
		int (*unfit)(void);
		const char *want;
	} rows[] = {
		{ "no root", become_nobody, "run as root" },
		{ "an old kernel", get_an_old_kernel, "is too old: Shrike needs 6.1 or newer" },
		{ "no BTF", lose_btf, "CONFIG_DEBUG_INFO_BTF=y" },
	};
	auto_sandbox struct sandbox sb = { 0 };

	if (!sandbox_open(&sb, SANDBOX_PLAIN))
		return;
	for_each_row (r, rows) {
		int (*unfit)(void) = r->unfit;
		char path[128], text[2048] = "";
		auto_close int out = -1;
		int saved, status;

		(void)snprintf(path, sizeof(path), "%s/out", sb.dir);
		out = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		(void)fflush(NULL);
		saved = dup(1);
		(void)dup2(out, 1);
		status = sandbox_run(&sb, run_unfit, &unfit);
		(void)dup2(saved, 1);
		(void)close(saved);
		check(pread(out, text, sizeof(text) - 1, 0) > 0);
		check_int(status, 1);
		check_has(text, r->want);
	}
}

TEST(sighup_with_a_bad_file_changes_nothing)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_agent struct e2e a = { 0 };
	auto_buf struct buf answer;

	buf_init(&answer, 1 << 20);
	if (!sandbox_open(&sb, SANDBOX_PLAIN))
		return;
	e2e_config(&a, &sb, "sensors:\n  process: { args_max: 128 }\n");
	if (!e2e_start(&a, &sb, NULL))
		return;
	e2e_config(&a, &sb, "sensors:\n  process: { args_mx: 128, enabled: false }\n");
	check_int(kill(a.pid, SIGHUP), 0);
	(void)usleep(300000);
	require(e2e_ask(&a, "{\"cmd\":\"reload\"}", &answer));
	check_has(buf_text(&answer), "\"ok\":false");
	check_has(buf_text(&answer), "shrike.yaml:2:");
	check_has(buf_text(&answer), "args_max");
	require(e2e_ask(&a, "{\"cmd\":\"status\"}", &answer));
	check_has(buf_text(&answer), "\"reloads\":0");
	e2e_config(&a, &sb, "sensors:\n  process: { args_max: 256 }\n");
	require(e2e_ask(&a, "{\"cmd\":\"reload\"}", &answer));
	check_has(buf_text(&answer), "\"option\":\"sensors.process.args_max\"");
	check_int(e2e_stop(&a, SIGINT), 0);
	check_has(buf_text(&a.said), "the configuration was not changed");
}

static int exec_true(const struct sandbox *sb, void *arg)
{
	(void)sb;
	(void)arg;
	(void)execl("/bin/true", "true", NULL);
	return 98;
}

TEST(stacks_that_were_asked_for_come_with_names)
{
	static const char *const stacks[] = { "--set", "stacks={process.exec: [kernel, user]}", NULL };
	static const char *const ask[] = { "events", "-o", "json", "--kind", "process.exec", "--no-follow", NULL };
	auto_sandbox struct sandbox sb = { 0 };
	auto_agent struct e2e a = { 0 };
	auto_buf struct buf out = { .max = 1 << 20 };

	if (!sandbox_open(&sb, SANDBOX_PLAIN) || !e2e_start(&a, &sb, stacks))
		return;
	check_int(sandbox_run(&sb, exec_true, NULL), 0);
	(void)usleep(300000);
	check_int(e2e_shrike(&a, &out, ask), 0);
	check_has(buf_text(&out), "\"kernel_stack\":[\"0x");
	check_has(buf_text(&out), "\"kernel_stack_symbols\":[\"");
	check_has(buf_text(&out), "execve+0x"); /* do_execve..., __x64_sys_execve: some name of it on every kernel */
}
