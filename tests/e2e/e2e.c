/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/e2e/e2e.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "base/mem.h"
#include "base/test.h"

enum { ARGS_MAX = 40, START_MS = 60000, ANSWER_MS = 30000, SHRIKE_S = 60, SAID_MAX = 1 << 20 };

const char *e2e_binary(void)
{
	static char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 16);
	char *slash;

	if (n < 0)
		return "shrike";
	path[n] = 0;
	slash = strrchr(path, '/');
	(void)snprintf(slash + 1, 16, "shrike");
	if (access(path, X_OK))
		(void)snprintf(slash + 1, 16, "../shrike");
	return path;
}

static long now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void e2e_config(struct e2e *a, const struct sandbox *sb, const char *yaml)
{
	auto_file FILE *f = NULL;

	(void)snprintf(a->config, sizeof(a->config), "%s/shrike.yaml", sb->dir);
	f = fopen(a->config, "we");
	if (!f || fputs(yaml, f) < 0)
		test_fail(T_HERE, "write %s", a->config);
}

/* A child whose stderr comes to us. It dies with us, so that a failed test leaves no agent. */
static bool spawn(struct e2e *a, const struct sandbox *sb, const char *const *extra)
{
	char store[sizeof(sb->dir) + 64], log[sizeof(sb->dir) + 64];
	/* Without the API: its port is one for the whole host. A test that wants it says so in `extra`. */
	const char *argv[ARGS_MAX] = { e2e_binary(), "run",     "--scope", sb->scope,
				       "--socket",   a->socket, "--set",   "api.enabled=false",
				       "--set",      store,     "--set",   log };
	size_t n = 12;
	int fds[2];

	(void)snprintf(a->socket, sizeof(a->socket), "%s/shrike.sock", sb->dir);
	(void)snprintf(store, sizeof(store), "alerts.store=%s/alerts.db", sb->dir);
	(void)snprintf(log, sizeof(log), "senders.log.path=%s/alerts.jsonl", sb->dir);
	if (a->config[0]) {
		argv[n++] = "--config";
		argv[n++] = a->config;
	}
	for (; extra && *extra && n < ARGS_MAX - 1; extra++)
		argv[n++] = *extra;
	buf_init(&a->said, SAID_MAX);
	if (pipe2(fds, O_CLOEXEC)) {
		test_fail(T_HERE, "pipe");
		return false;
	}
	(void)fflush(NULL);
	a->pid = fork();
	if (a->pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
		(void)dup2(fds[1], 2);
		(void)execv(argv[0], (char *const *)(size_t)argv);
		_exit(127);
	}
	(void)close(fds[1]);
	a->err_fd = fds[0];
	(void)fcntl(a->err_fd, F_SETFL, O_NONBLOCK);
	return a->pid > 0;
}

static void listen_to(struct e2e *a)
{
	char bytes[4096];
	ssize_t n;

	while (a->err_fd >= 0 && (n = read(a->err_fd, bytes, sizeof(bytes))) > 0)
		buf_add(&a->said, bytes, (size_t)n);
}

static int dial(const struct e2e *a)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", a->socket);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		(void)close(fd);
		fd = -1;
	}
	return fd;
}

bool e2e_start(struct e2e *a, const struct sandbox *sb, const char *const *extra)
{
	long until = now_ms() + START_MS;

	if (!spawn(a, sb, extra))
		return false;
	while (now_ms() < until) {
		auto_close int fd = dial(a);
		int status;

		listen_to(a);
		if (fd >= 0)
			return true;
		if (waitpid(a->pid, &status, WNOHANG) == a->pid) {
			listen_to(a);
			a->pid = 0;
			test_fail(T_HERE, "the agent ended with status %d: %s", status, buf_text(&a->said));
			return false;
		}
		(void)usleep(5000);
	}
	test_fail(T_HERE, "the agent does not answer: %s", buf_text(&a->said));
	return false;
}

/* Bounded: an agent that does not end is killed, and that is a failure. */
static int wait_for_end(struct e2e *a)
{
	long until = now_ms() + START_MS;
	int status = 0;
	pid_t pid = a->pid;

	while (waitpid(pid, &status, WNOHANG) == 0) {
		listen_to(a);
		if (now_ms() > until) {
			test_fail(T_HERE, "the agent does not end");
			(void)kill(pid, SIGKILL);
			(void)waitpid(pid, &status, 0);
			break;
		}
		(void)usleep(5000);
	}
	listen_to(a);
	a->pid = 0;
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

int e2e_run_to_end(struct e2e *a, const struct sandbox *sb, const char *const *extra)
{
	return spawn(a, sb, extra) ? wait_for_end(a) : -1;
}

int e2e_stop(struct e2e *a, int signal)
{
	if (a->pid <= 0)
		return -1;
	(void)kill(a->pid, signal);
	return wait_for_end(a);
}

void e2e_close(struct e2e *a)
{
	if (a->pid > 0)
		(void)e2e_stop(a, SIGTERM);
	if (a->err_fd > 0)
		(void)close(a->err_fd);
	buf_free(&a->said);
}

bool e2e_ask(const struct e2e *a, const char *request, struct buf *answer)
{
	auto_close int fd = dial(a);
	long until = now_ms() + ANSWER_MS;

	if (fd < 0 || send(fd, request, strlen(request), MSG_NOSIGNAL) < 0 || send(fd, "\n", 1, MSG_NOSIGNAL) < 0) {
		test_fail(T_HERE, "ask the agent: %s", strerror(errno));
		return false;
	}
	buf_clear(answer);
	while (now_ms() < until) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		char bytes[65536];
		ssize_t n;

		if (poll(&p, 1, 1000) < 1)
			continue;
		n = recv(fd, bytes, sizeof(bytes), 0);
		if (n <= 0)
			break;
		buf_add(answer, bytes, (size_t)n);
		if (memchr(bytes, '\n', (size_t)n)) {
			*strchr(answer->data, '\n') = 0;
			return true;
		}
	}
	test_fail(T_HERE, "the agent gave no answer to %s", request);
	return false;
}

int e2e_shrike(const struct e2e *a, struct buf *out, const char *const *args)
{
	const char *argv[ARGS_MAX] = { e2e_binary() };
	size_t n = 1;
	int fds[2], status;
	char bytes[65536];
	ssize_t got;
	pid_t pid;

	for (; *args && n < ARGS_MAX - 3; args++)
		argv[n++] = *args;
	if (a->socket[0]) {
		argv[n++] = "--socket";
		argv[n++] = a->socket;
	}
	if (pipe2(fds, O_CLOEXEC))
		return -1;
	(void)fflush(NULL);
	pid = fork();
	if (pid == 0) {
		(void)dup2(fds[1], 1);
		(void)dup2(fds[1], 2);
		(void)alarm(SHRIKE_S);
		(void)execv(argv[0], (char *const *)(size_t)argv);
		_exit(127);
	}
	(void)close(fds[1]);
	while ((got = read(fds[0], bytes, sizeof(bytes))) > 0)
		buf_add(out, bytes, (size_t)got);
	(void)close(fds[0]);
	(void)waitpid(pid, &status, 0);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

int e2e_run_true(const struct sandbox *sb, void *runs)
{
	const struct e2e_runs *r = runs;

	(void)sb;
	for (int i = 0; i < r->n; i++) {
		int status;
		pid_t pid = fork();

		if (pid == 0) {
			(void)execl("/bin/true", "true", r->argument, NULL);
			_exit(1);
		}
		if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
			return 1;
	}
	return 0;
}
