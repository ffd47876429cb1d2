/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redis - how much a server that does nothing but system calls loses when the agent watches it.
 *
 * redis-server and redis-benchmark run in the sandbox, on its loopback device, without (A) and with the agent (B) in
 * turn: A B A B ... A. GET and SET, one request at a time and 16 at once. Two ratios: throughput, which is what
 * people feel and what the neighbours of a shared machine disturb, and the server's CPU time a request, which they
 * do not.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/mem.h"
#include "base/test.h"
#include "bench/bench.h"

enum { CYCLES = 5, CHILD_S = 300, CLIENT_S = 60, READY_MS = 5000 };

struct load {
	const char *name, *test, *pipeline, *requests;
	struct pairs rate, cpu;
};

static struct load loads[] = {
	{ "set", "set", "1", "120000" },
	{ "get", "get", "1", "120000" },
	{ "set.pipelined", "set", "16", "1500000" },
	{ "get.pipelined", "get", "16", "1500000" },
};

static struct samples worst_seen;

/* What children and parent share. */
struct shared {
	pid_t server;
	double rate;
	const struct load *load;
};

/* Debian's redis-tools has the server under another name, which it asks for when it starts. */
static const char *server_path(void)
{
	static const char *const paths[] = { "/usr/bin/redis-server", "/usr/local/bin/redis-server",
					     "/usr/bin/redis-check-rdb" };

	for (size_t i = 0; i < countof(paths); i++)
		if (access(paths[i], X_OK) == 0)
			return paths[i];
	return NULL;
}

static int serve(const struct sandbox *sb, void *arg)
{
	struct shared *shared = arg;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	bench_child(CHILD_S);
	if (chdir(sb->dir))
		return 1;
	(void)dup2(null, 0);
	(void)dup2(null, 1);
	(void)dup2(null, 2);
	shared->server = getpid();
	(void)execl(server_path(), "redis-server", "--port", "6379", "--bind", "127.0.0.1", "--save", "",
		    "--appendonly", "no", "--daemonize", "no", NULL);
	return 127;
}

static double rate_of(FILE *csv)
{
	char line[512];

	/* "test","rps",... and then "SET","12345.67",... */
	while (fgets(line, sizeof(line), csv)) {
		char *second = strstr(line, "\",\"");

		if (second && strtod(second + 3, NULL) > 0)
			return strtod(second + 3, NULL);
	}
	return 0;
}

static int ask(const struct sandbox *sb, void *arg)
{
	struct shared *shared = arg;
	const struct load *l = shared->load;
	auto_file FILE *csv = NULL;
	int fds[2], status;
	pid_t pid;

	(void)sb;
	bench_child(CLIENT_S);
	if (pipe2(fds, O_CLOEXEC))
		return 1;
	pid = fork();
	if (pid == 0) {
		bench_child(CLIENT_S);
		(void)dup2(fds[1], 1);
		(void)execlp("redis-benchmark", "redis-benchmark", "-h", "127.0.0.1", "-t", l->test, "-n", l->requests,
			     "-P", l->pipeline, "-c", "20", "--csv", NULL);
		_exit(127);
	}
	(void)close(fds[1]);
	csv = fdopen(fds[0], "r");
	shared->rate = csv ? rate_of(csv) : 0;
	if (waitpid(pid, &status, 0) != pid || status)
		return 2;
	return shared->rate > 0 ? 0 : 3;
}

static bool is_ready(const struct sandbox *sb, struct shared *shared)
{
	static const struct load ping = { "ping", "ping_mbulk", "1", "1" };
	double until = wall_ns() + READY_MS * 1e6;

	while (wall_ns() < until && !bench_stopped()) {
		shared->load = &ping;
		if (shared->server && sandbox_run(sb, ask, shared) == 0)
			return true;
		bench_sleep_ms(50);
	}
	return false;
}

static void measure(const struct sandbox *sb, struct shared *shared, bool with)
{
	for (size_t i = 0; i < countof(loads) && !bench_stopped(); i++) {
		struct load *l = &loads[i];
		double cpu = cpu_of_ns(shared->server);

		shared->load = l;
		if (sandbox_run(sb, ask, shared)) {
			test_fail(T_HERE, "redis-benchmark did not end well");
			return;
		}
		cpu = cpu_of_ns(shared->server) - cpu;
		samples_add(with ? &l->rate.with : &l->rate.without, shared->rate);
		samples_add(with ? &l->cpu.with : &l->cpu.without, cpu / strtod(l->requests, NULL));
	}
}

static void tell(const struct load *l)
{
	struct samples ratio, lost = { 0 };

	pairs_ratio(&l->rate, &ratio);
	for (size_t i = 0; i < ratio.n; i++)
		samples_add(&lost, (1 - ratio.v[i]) * 100);
	figure(&lost, "percent", GOAL_AT_MOST, 3, "redis.%s.lost", l->name);
	figure(&l->rate.without, "requests/s", GOAL_NONE, 0, "redis.%s.without", l->name);
	figure(&l->rate.with, "requests/s", GOAL_NONE, 0, "redis.%s.with", l->name);
	pairs_ratio(&l->cpu, &ratio);
	figure(&ratio, "ratio", GOAL_NONE, 0, "redis.%s.cpu_ratio", l->name);
	if (lost.n)
		samples_add(&worst_seen, samples_median(&lost));
}

static void run_with_server(const struct sandbox *sb, struct shared *shared)
{
	if (!is_ready(sb, shared)) {
		test_fail(T_HERE, "redis-server does not answer");
		return;
	}
	for (int c = 0; c < CYCLES && !bench_stopped(); c++) {
		auto_agent struct e2e a = { .err_fd = -1 };

		measure(sb, shared, false);
		if (!bench_stopped() && agent_up(&a, sb, NULL))
			measure(sb, shared, true);
		agent_down(&a);
	}
	measure(sb, shared, false);
}

static void run(void)
{
	struct shared *shared = bench_shared(sizeof(*shared));
	auto_sandbox struct sandbox sb = { 0 };
	pid_t outer;
	int status;

	if (!server_path() || system("command -v redis-benchmark >/dev/null")) {
		test_skip("redis is not installed (tools/deps bench)");
		return;
	}
	if (!sandbox_open(&sb, SANDBOX_NET))
		return;
	outer = sandbox_spawn(&sb, serve, shared);
	run_with_server(&sb, shared);
	if (shared->server)
		(void)kill(shared->server, SIGKILL);
	(void)waitpid(outer, &status, 0);
	for (size_t i = 0; i < countof(loads); i++)
		tell(&loads[i]);
	figure(&worst_seen, "percent", GOAL_AT_MOST, 3, "redis.lost");
}

int main(void)
{
	bench_begin();
	run();
	return bench_end();
}
