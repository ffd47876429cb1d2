/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sandbox/sandbox.h"
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "base/err.h"
#include "base/mem.h"
#include "base/test.h"
#include "bpf/core.h"

static int number;

static int system_quiet(const char *fmt, const char *a, const char *b)
{
	char cmd[512];

	(void)snprintf(cmd, sizeof(cmd), fmt, a, b);
	return system(cmd);
}

static bool make_net(struct sandbox *sb)
{
	(void)snprintf(sb->netns, sizeof(sb->netns), "shrike-a%d-%d", (int)getpid(), number);
	(void)snprintf(sb->netns_peer, sizeof(sb->netns_peer), "shrike-b%d-%d", (int)getpid(), number);
	return !system_quiet("ip netns add %s && ip netns add %s", sb->netns, sb->netns_peer) &&
	       !system_quiet("ip -n %s link add veth0 type veth peer name veth0 netns %s", sb->netns, sb->netns_peer) &&
	       !system_quiet("ip -n %s addr add 10.211.0.1/24 dev veth0 && ip -n %s addr add 10.211.0.2/24 dev veth0",
			     sb->netns, sb->netns_peer) &&
	       !system_quiet(
		       "ip -n %s addr add fd5a::1/64 dev veth0 nodad && ip -n %s addr add fd5a::2/64 dev veth0 nodad",
		       sb->netns, sb->netns_peer) &&
	       !system_quiet("ip -n %s link set lo up && ip -n %s link set lo up", sb->netns, sb->netns_peer) &&
	       !system_quiet("ip -n %s link set veth0 up && ip -n %s link set veth0 up", sb->netns, sb->netns_peer);
}

bool sandbox_open(struct sandbox *sb, enum sandbox_want want)
{
	*sb = (struct sandbox) { 0 };
	if (geteuid() != 0 || !cgroup_mount()) {
		test_skip("needs-root");
		return false;
	}
	number++;
	(void)snprintf(sb->cgroup, sizeof(sb->cgroup), "%s/shrike-test-%d-%d", cgroup_mount(), (int)getpid(), number);
	(void)snprintf(sb->scope, sizeof(sb->scope), "cgroup:%s", sb->cgroup);
	(void)snprintf(sb->dir, sizeof(sb->dir), "/tmp/shrike-test-XXXXXX");
	if (mkdir(sb->cgroup, 0755) || !mkdtemp(sb->dir)) {
		test_fail(T_HERE, "make the sandbox %s: %s", sb->cgroup, strerror(errno));
		return false;
	}
	if (want == SANDBOX_NET && !make_net(sb)) {
		test_fail(T_HERE, "make the network of the sandbox");
		return false;
	}
	return true;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void sandbox_close(struct sandbox *sb)
{
	/* A child that has just ended may hold its cgroup for a moment. */
	for (int i = 0; sb->cgroup[0] && rmdir(sb->cgroup) && errno != ENOENT; i++) {
		if (errno != EBUSY || i == 200) {
			test_fail(T_HERE, "left behind: %s: %s", sb->cgroup, strerror(errno));
			break;
		}
		(void)usleep(10000);
	}
	if (sb->dir[0])
		(void)nftw(sb->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	if (sb->netns[0] && system_quiet("ip netns del %s; ip netns del %s", sb->netns, sb->netns_peer))
		test_fail(T_HERE, "left behind: %s", sb->netns);
}

static bool write_pid(const char *dir, pid_t pid)
{
	char path[300], text[16];
	auto_close int fd = -1;
	int n;

	(void)snprintf(path, sizeof(path), "%s/cgroup.procs", dir);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	n = snprintf(text, sizeof(text), "%d", (int)pid);
	return fd >= 0 && write(fd, text, (size_t)n) == n;
}

static bool enter_netns(const char *name)
{
	char path[128];
	auto_close int fd = -1;

	(void)snprintf(path, sizeof(path), "/run/netns/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 && !setns(fd, CLONE_NEWNET);
}

static pid_t spawn(const struct sandbox *sb, bool inside, int (*fn)(const struct sandbox *sb, void *arg), void *arg)
{
	pid_t pid;

	(void)fflush(NULL);
	/* Fork twice: the one that acts must not be the agent's child, whose doings are canaries. */
	pid = fork();
	if (pid != 0)
		return pid;
	if ((inside && !write_pid(sb->cgroup, getpid())) || (sb->netns[0] && !enter_netns(sb->netns)))
		_exit(126);
	pid = fork();
	if (pid == 0)
		_exit(fn(sb, arg));
	int status = 0;

	(void)waitpid(pid, &status, 0);
	if (WIFSIGNALED(status))
		_exit(128 + WTERMSIG(status));
	_exit(WEXITSTATUS(status));
}

pid_t sandbox_spawn(const struct sandbox *sb, int (*fn)(const struct sandbox *sb, void *arg), void *arg)
{
	return spawn(sb, true, fn, arg);
}

static int wait_for(pid_t pid)
{
	int status;

	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

int sandbox_run(const struct sandbox *sb, int (*fn)(const struct sandbox *sb, void *arg), void *arg)
{
	return wait_for(spawn(sb, true, fn, arg));
}

int outside_run(const struct sandbox *sb, int (*fn)(const struct sandbox *sb, void *arg), void *arg)
{
	return wait_for(spawn(sb, false, fn, arg));
}
