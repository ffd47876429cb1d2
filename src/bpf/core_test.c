/* SPDX-License-Identifier: Apache-2.0 */
/* Scopes that are what they say, and who the agent is to the kernel. */
#include "bpf/core.h"
#include <sched.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/err.h"
#include "base/test.h"
#include "bpf/kernel_probe.h"

TEST(what_is_no_scope_is_refused)
{
	static const struct {
		const char *name, *text;
		int want;
		const char *why;
	} rows[] = {
		{ "nothing", "", -EINVAL, "is none of" },
		{ "a word", "everything", -EINVAL, "is none of" },
		{ "a cgroup without a name", "cgroup:", -EINVAL, "is none of" },
		{ "no such cgroup", "cgroup:/no/such/cgroup", -ENOENT, "no such cgroup" },
		{ "out of the mount", "cgroup:/../../..", -EINVAL, "not in the unified hierarchy" },
		{ "no such namespace", "netns:no-such-netns", -ENOENT, "no such network namespace" },
		{ "an ordinary file", "netns:/etc/passwd", -EINVAL, "is something else" },
		{ "another kind of namespace", "netns:/proc/self/ns/mnt", -EINVAL, "is something else" },
	};

	if (!cgroup_mount())
		skip("needs-root");
	for_each_row (r, rows) {
		struct scope s = SCOPE_NONE;

		check_int(scope_parse(r->text, &s), r->want);
		check_has(err_trail(), r->why);
	}
}

TEST(scopes_are_found)
{
	struct scope s;
	char folder[300];

	if (!cgroup_mount())
		skip("needs-root");
	require_ok(scope_parse("host", &s));
	check_int(s.kind, SCOPE_HOST);
	check_int(s.cgroup_fd, -1);
	require_ok(scope_parse("netns:/proc/self/ns/net", &s));
	check_int(s.kind, SCOPE_NETNS);
	check(s.netns != 0);
	check(s.netns_fd >= 0);
	scope_close(&s);
	check_int(s.netns_fd, -1);
	/* The root by both of its names. */
	(void)snprintf(folder, sizeof(folder), "cgroup:%s", cgroup_mount());
	for (int i = 0; i < 2; i++) {
		require_ok(scope_parse(i ? folder : "cgroup:/", &s));
		check_int(s.kind, SCOPE_CGROUP);
		check_int(s.cgroup_level, 0);
		check(s.cgroup_fd >= 0);
		scope_close(&s);
	}
}

TEST(a_small_budget_is_not_no_budget)
{
	const struct core_options options = {
		.ring_bytes = { 1 << 16, 1 << 16, 1 << 16 },
		.budget_per_s = { [EV_NORMAL] = 3, [EV_BULK] = 20000 },
	};
	const struct scope host = { .kind = SCOPE_HOST, .cgroup_fd = -1, .netns_fd = -1 };
	AUTO(bpf_core) core = NULL;

	if (geteuid() != 0)
		skip("needs-root");
	require_ok(bpf_core_open(&options, &host, &core));
	check_int(core->config.budget[EV_CRITICAL], 0);
	check_int(core->config.budget[EV_NORMAL], 1);
	check_int(core->config.budget[EV_BULK], 2000);
	check_int(core->config.agent_tgid, getpid());
}

TEST(in_a_pid_namespace_the_agent_knows_what_the_kernel_calls_it)
{
	__u32 from_inside = 0;
	int fds[2], status;
	pid_t outer;

	if (geteuid() != 0)
		skip("needs-root");
	require(!pipe(fds));
	(void)fflush(NULL);
	outer = fork();
	if (outer == 0) {
		/* Not this process, but its next child is in the namespace; the parent here learns its outer pid. */
		if (unshare(CLONE_NEWPID))
			_exit(2);
		pid_t inner = fork();

		if (inner == 0) {
			__u32 tgid = 0;

			_exit(getpid() != 1 || kernel_tgid(&tgid) || write(fds[1], &tgid, 4) != 4);
		}
		_exit(waitpid(inner, &status, 0) != inner || status ||
		      write(fds[1], &(__u32) { (__u32)inner }, 4) != 4);
	}
	(void)close(fds[1]);
	(void)waitpid(outer, &status, 0);
	check_int(status, 0);
	if (status == 0) {
		__u32 from_outside = 0;

		check_int(read(fds[0], &from_inside, 4), 4);
		check_int(read(fds[0], &from_outside, 4), 4);
		check_int(from_inside, from_outside);
	}
	(void)close(fds[0]);
}
