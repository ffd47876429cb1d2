/* SPDX-License-Identifier: Apache-2.0 */
/*
 * soak - does the agent's memory stay where it is when it works for long?
 *
 * The agent records into a folder, its API is open, one client follows its events over the API and one over the
 * control socket, and a process in the sandbox starts others and writes files at an even pace. Resident memory is
 * looked at SAMPLES times; what is told is the last quarter's median over that of the second: what grows for ever
 * shows, what fills up once does not.
 *
 * SOAK_SECONDS in the environment says how long: ten minutes unless told.
 */
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/mem.h"
#include "base/test.h"
#include "bench/bench.h"

enum { SAMPLES = 40, SECONDS = 600, FILES = 50, PAUSE_MS = 20, MORE_S = 60 };

static const double mib = 1 << 20;
static char api_socket[128];
static unsigned seconds;

/* A process and some files, a pause, and again. */
static int work(const struct sandbox *sb, void *arg)
{
	static char name[] = "true";
	char *const argv[] = { name, NULL }, *const envp[] = { NULL };
	double until = wall_ns() + seconds * 1e9;
	char path[128];
	int status;
	pid_t pid;

	(void)arg;
	bench_child(seconds + MORE_S);
	while (wall_ns() < until) {
		if (posix_spawn(&pid, "/bin/true", NULL, NULL, argv, envp) || waitpid(pid, &status, 0) != pid)
			return 1;
		for (int i = 0; i < FILES; i++) {
			auto_close int fd = -1;

			(void)snprintf(path, sizeof(path), "%s/file-%d", sb->dir, i);
			fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
			if (fd < 0 || write(fd, "x", 1) != 1)
				return 1;
		}
		bench_sleep_ms(PAUSE_MS);
	}
	return 0;
}

/* Sends `request` to a unix socket and throws away what comes, until that ends. */
static pid_t follow(const char *socket_path, const char *request)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	static char sink[1 << 16];
	pid_t pid = fork();
	int fd;

	if (pid)
		return pid;
	bench_child(seconds + MORE_S);
	(void)snprintf(to.sun_path, sizeof(to.sun_path), "%s", socket_path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) ||
	    write(fd, request, strlen(request)) != (ssize_t)strlen(request))
		_exit(1);
	while (read(fd, sink, sizeof(sink)) > 0)
		;
	_exit(0);
}

static double number(const struct e2e *a, struct json_doc *doc, const char *object, const char *member)
{
	const struct json_node *root;

	return agent_status_of(a, doc, &root) ? json_number(root, object, member, NULL) : 0;
}

static void look(const struct e2e *a, struct json_doc *doc)
{
	struct samples all = { 0 }, early = { 0 }, late = { 0 }, growth = { 0 }, records = { 0 }, sent = { 0 };

	for (int i = 0; i < SAMPLES && !bench_stopped(); i++) {
		double rss = number(a, doc, "agent", "rss_bytes") / mib;

		samples_add(&all, rss);
		if (i >= SAMPLES / 4 && i < SAMPLES / 2)
			samples_add(&early, rss);
		if (i >= SAMPLES * 3 / 4)
			samples_add(&late, rss);
		bench_sleep_ms(seconds * 1000 / SAMPLES);
	}
	samples_add(&records, number(a, doc, "record", "records"));
	samples_add(&sent, number(a, doc, "api", "records"));
	if (early.n && late.n)
		samples_add(&growth, samples_median(&late) / samples_median(&early));
	figure(&all, "MiB", GOAL_NONE, 0, "soak.rss");
	figure(&growth, "ratio", GOAL_AT_MOST, 1.02, "soak.rss.growth");
	figure(&records, "records", GOAL_NONE, 0, "soak.recorded");
	figure(&sent, "records", GOAL_NONE, 0, "soak.exported");
}

static void run(void)
{
	static const struct json_limits limits = { 8 << 20, 1 << 20, 16 };
	auto_sandbox struct sandbox sb = { 0 };
	struct e2e a = { .err_fd = -1 };
	auto_json struct json_doc doc;
	char sets[5][256];
	/* So many processes are remembered that ended: at this pace the usual number would take an hour to fill up. */
	const char *extra[] = { "--set", sets[0],
				"--set", sets[1],
				"--set", sets[2],
				"--set", sets[3],
				"--set", sets[4],
				"--set", "record.enabled=true",
				"--set", "context.processes=4096",
				NULL };
	pid_t worker, clients[2];
	int status;

	json_init(&doc, &limits);
	if (!sandbox_open(&sb, SANDBOX_PLAIN))
		return;
	(void)snprintf(api_socket, sizeof(api_socket), "%s/api.sock", sb.dir);
	(void)snprintf(sets[0], sizeof(sets[0]), "api.enabled=true");
	(void)snprintf(sets[1], sizeof(sets[1]), "api.listen=127.0.0.1:0");
	(void)snprintf(sets[2], sizeof(sets[2]), "api.socket=%s", api_socket);
	(void)snprintf(sets[3], sizeof(sets[3]), "api.tokens=%s/tokens", sb.dir);
	(void)snprintf(sets[4], sizeof(sets[4]), "record.folder=%s/record", sb.dir);
	if (!agent_up(&a, &sb, extra))
		return;
	worker = sandbox_spawn(&sb, work, NULL);
	clients[0] = follow(api_socket, "GET /api/v1/ebpf/stream?format=lines HTTP/1.1\r\nHost: localhost\r\n\r\n");
	clients[1] = follow(a.socket, "{\"cmd\":\"events\",\"follow\":true}\n");
	look(&a, &doc);
	(void)kill(worker, SIGTERM);
	(void)waitpid(worker, &status, 0);
	agent_down(&a);
	for (size_t i = 0; i < countof(clients); i++) {
		(void)kill(clients[i], SIGTERM);
		(void)waitpid(clients[i], &status, 0);
	}
}

int main(void)
{
	const char *text = getenv("SOAK_SECONDS");

	seconds = text && atoi(text) > 0 ? (unsigned)atoi(text) : SECONDS;
	bench_begin();
	run();
	return bench_end();
}
