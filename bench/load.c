/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/load.h"
#include <fcntl.h>
#include <netinet/in.h>
#include <spawn.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/mem.h"
#include "bench/bench.h"

enum { SLICE_WALL_MS = 3000, CHILD_S = 20 };

static char path[128];
static int listener = -1;
static unsigned connects;

static int open_nothing(const struct sandbox *sb)
{
	(void)sb;
	return 0;
}

/* Does nothing and is observed by nobody: what the tracing of system calls costs all the others. */
static int syscall_once(void)
{
	return syscall(SYS_getppid) < 0;
}

static int exec_once(void)
{
	static char name[] = "true";
	char *const argv[] = { name, NULL }, *const envp[] = { NULL };
	int status;
	pid_t pid;

	if (posix_spawn(&pid, "/bin/true", NULL, NULL, argv, envp) || waitpid(pid, &status, 0) != pid)
		return 1;
	return status != 0;
}

static int file_open(const struct sandbox *sb)
{
	(void)snprintf(path, sizeof(path), "%s/file", sb->dir);
	return 0;
}

static int file_once(void)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, "x", 1) != 1)
		return 1;
	return close(fd);
}

static int connect_open(const struct sandbox *sb)
{
	const struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(4000) };
	int one = 1;

	(void)sb;
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    bind(listener, (const struct sockaddr *)&any, sizeof(any)) || listen(listener, 16))
		return 1;
	connects = (unsigned)getpid() * 4096U;
	return 0;
}

/* To another address of the loopback net each time: one alone would run out of ports. */
static int connect_once(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(4000) };
	auto_close int a = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), b = -1;

	to.sin_addr.s_addr = htonl(0x7f000001U + (connects++ & 0xffffffU) % 0xfffffdU);
	if (a < 0 || connect(a, (const struct sockaddr *)&to, sizeof(to)))
		return 1;
	b = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	return b < 0;
}

const struct load loads[LOADS] = {
	{ "syscall", open_nothing, syscall_once, 512 },
	{ "exec", open_nothing, exec_once, 1 },
	{ "file", file_open, file_once, 64 },
	{ "connect", connect_open, connect_once, 16 },
};

int load_slice(const struct sandbox *sb, void *arg)
{
	struct account *a = arg;
	double wall, cpu;

	bench_child(CHILD_S);
	if (a->load->open(sb) || a->load->once())
		return 1;
	wall = wall_ns();
	cpu = cpu_family_ns();
	for (a->ops = 0; cpu_family_ns() < cpu + LOAD_SLICE_MS * 1e6 && wall_ns() < wall + SLICE_WALL_MS * 1e6;
	     a->ops += a->load->batch)
		for (unsigned i = 0; i < a->load->batch; i++)
			if (a->load->once())
				return 2;
	a->wall = wall_ns() - wall;
	a->cpu = cpu_family_ns() - cpu;
	return 0;
}
