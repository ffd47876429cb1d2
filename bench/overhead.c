/* SPDX-License-Identifier: Apache-2.0 */
/*
 * overhead - what loops of a system call, exec, files and connects cost more when the agent watches, and when it
 * watches others.
 *
 * Without (A) and with the agent (B) in turn: A B A B ... A. Each loop runs for a fixed CPU time inside the scope, and
 * again outside of it. The loops do nothing else, so these are the worst cases, not what a service feels.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <spawn.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/mem.h"
#include "base/test.h"
#include "bench/bench.h"

enum { CYCLES = 5, SLICE_MS = 120, SLICE_WALL_MS = 3000, LOADS = 4, CHILD_S = 20 };

/* A child's account of its slice. */
struct account {
	double ops, wall, cpu;
	const struct load *load;
};

struct load {
	const char *name;
	/* Sets up and returns 0, or an exit code. */
	int (*open)(const struct sandbox *sb);
	int (*once)(void);
	unsigned batch; /* operations between two looks at the clock */
};

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

static const struct load loads[LOADS] = {
	{ "syscall", open_nothing, syscall_once, 512 },
	{ "exec", open_nothing, exec_once, 1 },
	{ "file", file_open, file_once, 64 },
	{ "connect", connect_open, connect_once, 16 },
};

static int slice(const struct sandbox *sb, void *arg)
{
	struct account *a = arg;
	double wall, cpu;

	bench_child(CHILD_S);
	if (a->load->open(sb) || a->load->once())
		return 1;
	wall = wall_ns();
	cpu = cpu_family_ns();
	for (a->ops = 0; cpu_family_ns() < cpu + SLICE_MS * 1e6 && wall_ns() < wall + SLICE_WALL_MS * 1e6;
	     a->ops += a->load->batch)
		for (unsigned i = 0; i < a->load->batch; i++)
			if (a->load->once())
				return 2;
	a->wall = wall_ns() - wall;
	a->cpu = cpu_family_ns() - cpu;
	return 0;
}

/* Figures of one load at one place. */
struct place {
	struct pairs cpu, wall;
};

static struct place places[LOADS][2]; /* inside, outside */
static struct samples agent_cpu[LOADS], recorded[LOADS];

/* What the kernel side has seen and sent of all kinds. */
static void books(const struct e2e *a, struct json_doc *doc, double *ret_seen, double *ret_sent)
{
	const struct json_node *root;

	*ret_seen = *ret_sent = 0;
	if (!agent_status_of(a, doc, &root))
		return;
	*ret_seen = status_kinds(root, "seen") - status_kinds(root, "filtered");
	*ret_sent = status_kinds(root, "sent");
}

static void measure(const struct sandbox *sb, const struct e2e *agent, struct json_doc *doc, struct account *acc,
		    size_t l, bool outside)
{
	double seen[2], sent[2], cpu = agent ? cpu_of_ns(agent->pid) : 0;
	struct place *p = &places[l][outside];
	int r;

	if (agent)
		books(agent, doc, &seen[0], &sent[0]);
	acc->load = &loads[l];
	r = outside ? outside_run(sb, slice, acc) : sandbox_run(sb, slice, acc);
	if (r || bench_stopped()) {
		test_fail(T_HERE, "the loop %s ended with %d", loads[l].name, r);
		return;
	}
	samples_add(agent ? &p->cpu.with : &p->cpu.without, acc->cpu / acc->ops);
	samples_add(agent ? &p->wall.with : &p->wall.without, acc->wall / acc->ops);
	if (!agent || outside)
		return;
	bench_sleep_ms(20);
	samples_add(&agent_cpu[l], (cpu_of_ns(agent->pid) - cpu) / acc->wall * 100);
	books(agent, doc, &seen[1], &sent[1]);
	if (seen[1] > seen[0])
		samples_add(&recorded[l], (sent[1] - sent[0]) / (seen[1] - seen[0]) * 100);
}

static void measure_all(const struct sandbox *sb, const struct e2e *agent, struct json_doc *doc, struct account *acc)
{
	for (size_t l = 0; l < LOADS && !bench_stopped(); l++) {
		measure(sb, agent, doc, acc, l, false);
		measure(sb, agent, doc, acc, l, true);
	}
}

static void tell(size_t l, bool outside)
{
	static const char *const names[] = { "inside", "outside" };
	const struct place *p = &places[l][outside];
	const char *load = loads[l].name, *place = names[outside];
	struct samples ratio;

	pairs_ratio(&p->cpu, &ratio);
	figure(&ratio, "ratio", GOAL_NONE, 0, "overhead.%s.%s.cpu_ratio", load, place);
	pairs_ratio(&p->wall, &ratio);
	figure(&ratio, "ratio", GOAL_NONE, 0, "overhead.%s.%s.wall_ratio", load, place);
	figure(&p->cpu.without, "ns of CPU", GOAL_NONE, 0, "overhead.%s.%s.cpu_without", load, place);
	figure(&p->cpu.with, "ns of CPU", GOAL_NONE, 0, "overhead.%s.%s.cpu_with", load, place);
	if (outside)
		return;
	figure(&agent_cpu[l], "percent of a core", GOAL_NONE, 0, "overhead.%s.agent_cpu", load);
	figure(&recorded[l], "percent", GOAL_NONE, 0, "overhead.%s.recorded", load);
}

static void run(void)
{
	static const struct json_limits limits = { 8 << 20, 1 << 20, 16 };
	struct account *acc = bench_shared(sizeof(*acc));
	auto_sandbox struct sandbox sb = { 0 };
	auto_json struct json_doc doc;

	json_init(&doc, &limits);
	if (!sandbox_open(&sb, SANDBOX_NET))
		return;
	for (int c = 0; c < CYCLES && !bench_stopped(); c++) {
		auto_agent struct e2e a = { .err_fd = -1 };

		measure_all(&sb, NULL, &doc, acc);
		if (!bench_stopped() && agent_up(&a, &sb, NULL))
			measure_all(&sb, &a, &doc, acc);
		agent_down(&a);
	}
	measure_all(&sb, NULL, &doc, acc);
	for (size_t l = 0; l < LOADS; l++) {
		tell(l, false);
		tell(l, true);
	}
}

int main(void)
{
	bench_begin();
	run();
	return bench_end();
}
