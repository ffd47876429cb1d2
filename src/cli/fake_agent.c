/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/fake_agent.h"
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include "base/err.h"
#include "base/mem.h"

enum { STEP_MAX = 64 << 10, REQUESTS_MAX = 1 << 20, GIVE_UP_S = 20 };

struct fake_agent {
	pthread_t thread;
	int fd, stop_fd;
	char *script;
	struct buf requests;
};

static void send_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t did = send(fd, p, n, MSG_NOSIGNAL);

		if (did <= 0)
			return;
		p += did;
		n -= (size_t)did;
	}
}

static void take_request(struct fake_agent *a, int fd)
{
	char c = 0;

	while (c != '\n' && recv(fd, &c, 1, 0) == 1)
		buf_char(&a->requests, c);
}

static void giant(int fd, size_t n)
{
	char block[4096];

	memset(block, 'x', sizeof(block));
	for (; n; n -= n < sizeof(block) ? n : sizeof(block))
		send_all(fd, block, n < sizeof(block) ? n : sizeof(block));
}

/* "\xNN" is a byte, so that scripts can hold what editors would not show. Works in place. */
static size_t decode(char *text)
{
	char *to = text;

	for (const char *p = text; *p; p++) {
		if (p[0] == '\\' && p[1] == 'x' && p[2] && p[3]) {
			const char hex[] = { p[2], p[3], 0 };

			*to++ = (char)strtoul(hex, NULL, 16);
			p += 3;
		} else {
			*to++ = *p;
		}
	}
	*to = 0;
	return (size_t)(to - text);
}

/* False: the connection was closed. */
static bool step(struct fake_agent *a, int fd, char *line)
{
	static const uint64_t one = 1;
	size_t n = decode(line);

	if (n == 1 && line[0] == '<')
		take_request(a, fd);
	else if (n > 3 && !strncmp(line, ">> ", 3))
		send_all(fd, line + 3, n - 3);
	else if (n >= 2 && !strncmp(line, "> ", 2)) {
		send_all(fd, line + 2, n - 2);
		send_all(fd, "\n", 1);
	} else if (!strncmp(line, "giant ", 6))
		giant(fd, strtoul(line + 6, NULL, 10));
	else if (!strncmp(line, "sleep ", 6))
		(void)usleep((useconds_t)(strtoul(line + 6, NULL, 10) * 1000));
	else if (n == 4 && !strncmp(line, "stop", 4))
		(void)!write(a->stop_fd, &one, sizeof(one));
	else if (n == 5 && !strncmp(line, "close", 5))
		return false;
	return true;
}

static void *serve(void *arg)
{
	const struct timeval patience = { .tv_sec = GIVE_UP_S };
	struct fake_agent *a = arg;
	int fd = accept(a->fd, NULL, NULL);
	bool open = fd >= 0;
	char rest[256];

	if (fd < 0)
		return NULL;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	for (const char *p = a->script; *p && open;) {
		size_t n = strcspn(p, "\n");

		auto_free char *line = strndup(p, n);

		open = step(a, fd, line);
		p += n + (p[n] == '\n');
	}
	while (open && recv(fd, rest, sizeof(rest), 0) > 0)
		;
	(void)close(fd);
	return NULL;
}

int fake_agent_start(const char *path, const char *script, int stop_fd, struct fake_agent **ret_agent)
{
	const struct timeval patience = { .tv_sec = GIVE_UP_S };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct fake_agent *a = calloc(1, sizeof(*a));

	if (!a)
		return err_new(-ENOMEM, "no memory");
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	(void)unlink(path);
	a->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	a->stop_fd = stop_fd;
	a->script = strdup(script);
	buf_init(&a->requests, REQUESTS_MAX);
	(void)setsockopt(a->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (a->fd < 0 || bind(a->fd, (const struct sockaddr *)(const void *)&address, sizeof(address)) < 0 ||
	    listen(a->fd, 1) < 0 || pthread_create(&a->thread, NULL, serve, a) != 0)
		return err_sys(errno, "fake agent at %s", path);
	*ret_agent = a;
	return 0;
}

char *fake_agent_stop(struct fake_agent *a)
{
	char *requests;

	/* Nobody may have come: then accept() must not wait for its time. */
	(void)shutdown(a->fd, SHUT_RDWR);
	(void)pthread_join(a->thread, NULL);
	fd_closep(&a->fd);
	requests = strdup(buf_text(&a->requests));
	buf_free(&a->requests);
	free(a->script);
	free(a);
	return requests;
}

struct ran cli_ran(struct cli *cli, const char *const *argv)
{
	enum { WORDS_MAX = 64 };
	char *words[WORDS_MAX + 1] = { NULL }; /* args_parse moves them about */
	/* A verb that finds none blocks the signals of this process for good. */
	auto_close int never = cli->stop_fd < 0 ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1;
	struct ran ran = { 0 };
	size_t out_len, err_len;
	FILE *out = cli->out;

	for (size_t i = 0; i < WORDS_MAX && argv[i]; i++)
		words[i] = (char *)(uintptr_t)argv[i];
	if (!out)
		cli->out = open_memstream(&ran.out, &out_len);
	cli->err = open_memstream(&ran.err, &err_len);
	if (never >= 0)
		cli->stop_fd = never;
	ran.code = cli_main(cli, words);
	if (never >= 0)
		cli->stop_fd = -1;
	if (!out)
		file_closep(&cli->out);
	file_closep(&cli->err);
	return ran;
}

void ran_free(struct ran *ran)
{
	free(ran->out);
	free(ran->err);
}
