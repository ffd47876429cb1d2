/* SPDX-License-Identifier: Apache-2.0 */
/*
 * footprint - what the agent itself takes: time to start, memory, CPU time when nothing happens.
 *
 * Resident memory contains the kernel rings, which the agent maps: `rings` says how much of it they are. The flood
 * is of files and processes in the sandbox, as fast as one process can make them.
 */
#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/mem.h"
#include "base/test.h"
#include "bench/bench.h"

enum {
	STARTS = 5,
	IDLE_MS = 3000,
	FLOOD_MS = 4000,
	CHILD_S = 30,
	GOAL_RSS = 40 << 20,
};

static const double mib = 1 << 20;

static int flood(const struct sandbox *sb, void *arg)
{
	static char name[] = "true";
	char *const argv[] = { name, NULL }, *const envp[] = { NULL };
	double until = wall_ns() + FLOOD_MS * 1e6;
	char path[128];
	int status;
	pid_t pid;

	(void)arg;
	bench_child(CHILD_S);
	while (wall_ns() < until) {
		if (posix_spawn(&pid, "/bin/true", NULL, NULL, argv, envp) || waitpid(pid, &status, 0) != pid)
			return 1;
		for (int i = 0; i < 200; i++) {
			int fd;

			(void)snprintf(path, sizeof(path), "%s/file-%d", sb->dir, i);
			fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
			if (fd < 0 || write(fd, "x", 1) != 1 || close(fd))
				return 1;
		}
	}
	return 0;
}

/* Resident kilobytes of the mappings of BPF maps: the rings. */
static double rings_mib(pid_t pid)
{
	char path[64], line[512];
	auto_file FILE *f = NULL;
	bool is_map = false;
	double kib = 0;
	unsigned long n;

	(void)snprintf(path, sizeof(path), "/proc/%d/smaps", (int)pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (strchr(line, '-') && strchr(line, ':') > strchr(line, '-'))
			is_map = strstr(line, "bpf-map") != NULL;
		else if (is_map && sscanf(line, "Rss: %lu", &n) == 1)
			kib += (double)n;
	}
	return kib / 1024;
}

static bool start_once(const struct sandbox *sb, struct samples *wall, struct samples *cpu)
{
	auto_agent struct e2e a = { .err_fd = -1 };
	double began = wall_ns();

	if (bench_stopped() || !e2e_start(&a, sb, NULL))
		return false;
	samples_add(wall, (wall_ns() - began) / 1e6);
	samples_add(cpu, cpu_of_ns(a.pid) / 1e6);
	agent_down(&a);
	return true;
}

static double rss_mib(const struct e2e *a, struct json_doc *doc)
{
	const struct json_node *root;

	return agent_status_of(a, doc, &root) ? json_number(root, "agent", "rss_bytes", NULL) / mib : 0;
}

static void memory(const struct sandbox *sb)
{
	static const struct json_limits limits = { 8 << 20, 1 << 20, 16 };
	struct samples rss = { 0 }, rings = { 0 }, cpu = { 0 }, flooded = { 0 }, after = { 0 };
	auto_agent struct e2e a = { .err_fd = -1 };
	auto_json struct json_doc doc;
	double began, wall;

	json_init(&doc, &limits);
	if (!agent_up(&a, sb, NULL))
		return;
	bench_sleep_ms(1000);
	began = cpu_of_ns(a.pid);
	wall = wall_ns();
	bench_sleep_ms(IDLE_MS);
	samples_add(&cpu, (cpu_of_ns(a.pid) - began) / (wall_ns() - wall) * 100);
	samples_add(&rss, rss_mib(&a, &doc));
	samples_add(&rings, rings_mib(a.pid));
	for (int i = 0; i < 3 && !bench_stopped(); i++) {
		if (sandbox_run(sb, flood, NULL))
			test_fail(T_HERE, "the flood did not end well");
		samples_add(&flooded, rss_mib(&a, &doc));
	}
	bench_sleep_ms(2000);
	samples_add(&after, rss_mib(&a, &doc));
	figure(&rss, "MiB", GOAL_AT_MOST, GOAL_RSS / mib, "footprint.rss.idle");
	figure(&rings, "MiB", GOAL_NONE, 0, "footprint.rss.rings");
	figure(&flooded, "MiB", GOAL_NONE, 0, "footprint.rss.flood");
	figure(&after, "MiB", GOAL_NONE, 0, "footprint.rss.after_flood");
	figure(&cpu, "percent of a core", GOAL_NONE, 0, "footprint.cpu.idle");
}

static void run(void)
{
	struct samples wall = { 0 }, cpu = { 0 };
	auto_sandbox struct sandbox sb = { 0 };

	if (!sandbox_open(&sb, SANDBOX_PLAIN))
		return;
	for (int i = 0; i < STARTS && start_once(&sb, &wall, &cpu);)
		i++;
	figure(&wall, "ms", GOAL_NONE, 0, "footprint.start.wall");
	figure(&cpu, "ms", GOAL_NONE, 0, "footprint.start.cpu");
	memory(&sb);
}

int main(void)
{
	bench_begin();
	run();
	return bench_end();
}
