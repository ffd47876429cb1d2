/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/client.h"
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include "agent/control.h"
#include "base/err.h"
#include "cli/text.h"

enum { READ_BYTES = 64 << 10, NODES_MAX = 1 << 20 };

struct client {
	struct cli *cli;
	int fd;
	int out_fd; /* watched for its reader going away; -1: not yet, or it is no pipe */
	struct buf in;
	size_t begin;   /* of what has not been handed out */
	size_t scanned; /* there is no line end before it */
	bool closed;
};

const struct json_limits client_json_limits = {
	.len_max = CONTROL_ANSWER_MAX,
	.nodes_max = NODES_MAX,
	.depth_max = 32,
};

/* ---- connecting ------------------------------------------------------------------------ */

static int pipe_of(FILE *out)
{
	int fd = fileno(out);
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode)) ? fd : -1;
}

/* Why there is no agent, and what to do. */
static void nobody(struct cli *cli, const char *socket, int error)
{
	switch (error) {
	case ENOENT:
	case ENOTDIR:
		cli_say(cli,
			"no agent runs here: there is no socket at %s\nStart one with `shrike run`, or name its "
			"socket with --socket.",
			socket);
		break;
	case ECONNREFUSED:
		cli_say(cli,
			"no agent answers at %s: the one that made the socket is gone\n"
			"Start one with `shrike run`; it takes the socket over.",
			socket);
		break;
	case EACCES:
	case EPERM:
		cli_say(cli,
			"you may not talk to the agent at %s\n"
			"Do it as root, or as a member of the group that `agent.socket_group` names.",
			socket);
		break;
	case EAGAIN:
		cli_say(cli, "the agent at %s is busy with others; try again", socket);
		break;
	default:
		cli_say(cli, "cannot connect to %s: %s", socket, strerror(error));
	}
}

enum exit_code client_open(struct cli *cli, const char *socket_path, struct client **ret_client)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	AUTO(client) c = NULL;

	if (strlen(socket_path) >= sizeof(address.sun_path)) {
		cli_say(cli, "the path of a socket has at most %zu bytes: %s", sizeof(address.sun_path) - 1,
			socket_path);
		return EXIT_USAGE;
	}
	memcpy(address.sun_path, socket_path, strlen(socket_path) + 1);
	c = calloc(1, sizeof(*c));
	if (!c) {
		cli_say(cli, "out of memory");
		return EXIT_NO;
	}
	c->cli = cli;
	buf_init(&c->in, CONTROL_ANSWER_MAX + READ_BYTES);
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || connect(c->fd, (const struct sockaddr *)(const void *)&address, sizeof(address)) < 0) {
		nobody(cli, socket_path, errno);
		return EXIT_NO_AGENT;
	}
	c->out_fd = -1;
	*ret_client = take(c);
	return EXIT_OK;
}

void client_free(struct client *client)
{
	if (!client)
		return;
	fd_closep(&client->fd);
	buf_free(&client->in);
	free(client);
}

void client_watch_output(struct client *client)
{
	client->out_fd = pipe_of(client->cli->out);
}

/* ---- lines ------------------------------------------------------------------------------ */

int client_send(struct client *client, const char *request, size_t n)
{
	auto_buf struct buf line = { 0 };
	size_t sent = 0;

	buf_init(&line, CONTROL_LINE_MAX);
	buf_add(&line, request, n);
	buf_char(&line, '\n');
	if (line.failed)
		return err_new(-E2BIG, "the request has more than %d bytes, which the agent would not take",
			       CONTROL_LINE_MAX);
	while (sent < line.len) {
		ssize_t did = send(client->fd, line.data + sent, line.len - sent, MSG_NOSIGNAL);

		if (did < 0 && errno == EINTR)
			continue;
		if (did < 0)
			return err_sys(errno, "send to the agent");
		sent += (size_t)did;
	}
	return 0;
}

static int64_t now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

bool client_has_line(struct client *client)
{
	const char *end = NULL;

	if (client->in.len > client->scanned)
		end = memchr(client->in.data + client->scanned, '\n', client->in.len - client->scanned);
	client->scanned = end ? (size_t)(end - client->in.data) : client->in.len;
	return end;
}

/* What was handed out goes; what is left moves to the front. */
static void forget(struct client *client)
{
	if (!client->begin)
		return;
	client->in.len -= client->begin;
	memmove(client->in.data, client->in.data + client->begin, client->in.len);
	client->scanned -= client->begin;
	client->begin = 0;
}

/* Reads what is there. */
static enum client_result fill(struct client *client)
{
	ssize_t got;

	forget(client);
	if (client->in.len > CONTROL_ANSWER_MAX || !buf_reserve(&client->in, READ_BYTES)) {
		(void)err_new(-EPROTO, "the agent sent a line of more than %d MiB; is this the socket of an agent?",
			      CONTROL_ANSWER_MAX >> 20);
		return CLIENT_FAILED;
	}
	got = recv(client->fd, client->in.data + client->in.len, READ_BYTES, MSG_DONTWAIT);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return CLIENT_TIMEOUT;
	if (got < 0 && errno != ECONNRESET) {
		(void)err_sys(errno, "read from the agent");
		return CLIENT_FAILED;
	}
	if (got <= 0)
		return CLIENT_CLOSED; /* a line without its end is no line */
	client->in.len += (size_t)got;
	return CLIENT_LINE;
}

static enum client_result wait_for_input(struct client *client, int64_t left_ms)
{
	struct pollfd fds[] = {
		{ .fd = client->fd, .events = POLLIN },
		{ .fd = client->cli->stop_fd, .events = POLLIN },
		{ .fd = client->out_fd, .events = 0 },
	};
	int n = poll(fds, countof(fds), left_ms > INT32_MAX ? INT32_MAX : (int)left_ms);

	if (n < 0 && errno != EINTR) {
		(void)err_sys(errno, "wait for the agent");
		return CLIENT_FAILED;
	}
	if (n <= 0)
		return CLIENT_TIMEOUT;
	if (fds[1].revents)
		return CLIENT_STOPPED;
	if (fds[2].revents & (POLLERR | POLLHUP))
		return CLIENT_UNREAD;
	return fds[0].revents ? CLIENT_LINE : CLIENT_TIMEOUT;
}

/* One step of waiting until end_ms. CLIENT_LINE: something more is here. */
static enum client_result wait_and_fill(struct client *client, int timeout_ms, int64_t end_ms)
{
	int64_t left = timeout_ms < 0 ? -1 : end_ms - now_ms();
	enum client_result result = wait_for_input(client, timeout_ms >= 0 && left < 0 ? 0 : left);

	return result == CLIENT_LINE ? fill(client) : result;
}

static int64_t end_of(int timeout_ms)
{
	return timeout_ms < 0 ? INT64_MAX : now_ms() + timeout_ms;
}

enum client_result client_line(struct client *client, int timeout_ms, struct str *ret_line)
{
	int64_t end_ms = end_of(timeout_ms);

	while (!client_has_line(client)) {
		enum client_result result = wait_and_fill(client, timeout_ms, end_ms);

		if (result == CLIENT_TIMEOUT && (timeout_ms < 0 || now_ms() < end_ms))
			continue;
		if (result != CLIENT_LINE)
			return result;
	}
	*ret_line = (struct str) { client->in.data + client->begin, client->scanned - client->begin };
	client->in.data[client->scanned] = 0;
	client->begin = ++client->scanned;
	return CLIENT_LINE;
}

enum client_result client_bytes(struct client *client, int timeout_ms, struct str *ret_bytes)
{
	int64_t end_ms = end_of(timeout_ms);

	while (client->in.len == client->begin) {
		enum client_result result = wait_and_fill(client, timeout_ms, end_ms);

		if (result == CLIENT_TIMEOUT && (timeout_ms < 0 || now_ms() < end_ms))
			continue;
		if (result != CLIENT_LINE)
			return result;
	}
	*ret_bytes = (struct str) { client->in.data + client->begin, client->in.len - client->begin };
	client->begin = client->scanned = client->in.len;
	return CLIENT_LINE;
}

void client_enough(struct client *client)
{
	(void)shutdown(client->fd, SHUT_WR);
}

/* ---- question and answer ---------------------------------------------------------------- */

enum exit_code client_gone(struct cli *cli, enum client_result result)
{
	switch (result) {
	case CLIENT_TIMEOUT:
		cli_say(cli, "the agent did not answer within %g seconds; it may be overloaded or stuck",
			cli->patience_ms / 1000.0);
		return EXIT_NO_AGENT;
	case CLIENT_CLOSED:
		cli_say(cli, "the agent closed the connection; it may have ended, or not let you in\n"
			     "`shrike status` tells whether it still runs.");
		return EXIT_NO_AGENT;
	case CLIENT_FAILED:
		(void)cli_failed(cli);
		return EXIT_NO_AGENT;
	case CLIENT_STOPPED:
	case CLIENT_UNREAD:
	case CLIENT_LINE:
		break;
	}
	return EXIT_NO;
}

/* What is wrong with the configuration, a line each. */
static void problems(struct cli *cli, const char *text)
{
	while (*text) {
		size_t n = strcspn(text, "\n");
		auto_buf struct buf line = { 0 };

		buf_init(&line, 4 * CONTROL_ANSWER_MAX);
		text_safe(&line, text, n);
		(void)fprintf(cli->err, "%s\n", buf_text(&line));
		text += n + (text[n] == '\n');
	}
}

enum exit_code client_ask(struct cli *cli, struct client *client, const char *request, struct json_doc *doc,
			  const struct json_node **ret_answer, struct str *ret_line)
{
	const struct json_node *answer;
	enum client_result result;
	struct str line;

	if (client_send(client, request, strlen(request)) < 0) {
		(void)cli_failed(cli);
		return EXIT_NO_AGENT;
	}
	result = client_line(client, cli->patience_ms, &line);
	if (result != CLIENT_LINE)
		return client_gone(cli, result);
	if (json_parse(doc, line.p, line.n, &answer) < 0 || answer->type != JSON_OBJECT || !json_get(answer, "ok")) {
		cli_say(cli, "what answers there is no agent of ours: it sent \"%.60s\"", line.p);
		return EXIT_NO_AGENT;
	}
	if (!node_bool(answer, "ok")) {
		const char *error = node_text(answer, "error");

		cli_say(cli, "the agent says: %s", error[0] ? error : "no, without a reason");
		problems(cli, node_text(answer, "problems"));
		return EXIT_NO;
	}
	*ret_answer = answer;
	if (ret_line)
		*ret_line = line;
	return EXIT_OK;
}

/* ---- reading answers -------------------------------------------------------------------- */

uint64_t node_u64(const struct json_node *object, const char *name)
{
	const struct json_node *v = object ? json_get(object, name) : NULL;

	if (!v)
		return 0;
	if (v->type == JSON_INT)
		return v->i < 0 ? 0 : (uint64_t)v->i;
	return v->type == JSON_UINT ? v->u : 0;
}

double node_double(const struct json_node *object, const char *name)
{
	const struct json_node *v = object ? json_get(object, name) : NULL;

	return v && v->type == JSON_DOUBLE ? v->d : (double)node_u64(object, name);
}

bool node_bool(const struct json_node *object, const char *name)
{
	const struct json_node *v = object ? json_get(object, name) : NULL;

	return v && v->type == JSON_BOOL && v->b;
}

const char *node_text(const struct json_node *object, const char *name)
{
	const struct json_node *v = object ? json_get(object, name) : NULL;

	return v && v->type == JSON_STRING ? v->s : "";
}
