/* SPDX-License-Identifier: Apache-2.0 */
/* The API of a real agent: what is let in, what is told, and how it follows changes. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/test.h"
#include "tests/e2e/e2e.h"

enum { ANSWER_MAX = 8 << 20, TRIES_MAX = 100 };

struct api_agent {
	struct e2e e;
	char socket[160], tokens[160], first[160], audit[160];
	char sets[6][224];
	const char *args[16];
	unsigned port;
};

/* One cheap sensor, and the API at a port that nobody else has. */
static void describe(struct api_agent *a, const struct sandbox *sb)
{
	size_t n = 0;

	(void)snprintf(a->socket, sizeof(a->socket), "%s/api.sock", sb->dir);
	(void)snprintf(a->tokens, sizeof(a->tokens), "%s/tokens", sb->dir);
	(void)snprintf(a->first, sizeof(a->first), "%s/first-token", sb->dir);
	(void)snprintf(a->audit, sizeof(a->audit), "%s/audit.log", sb->dir);
	(void)snprintf(a->sets[0], sizeof(a->sets[0]), "api.enabled=true");
	(void)snprintf(a->sets[1], sizeof(a->sets[1]), "api.listen=127.0.0.1:0");
	(void)snprintf(a->sets[2], sizeof(a->sets[2]), "api.socket=%s", a->socket);
	(void)snprintf(a->sets[3], sizeof(a->sets[3]), "api.tokens=%s", a->tokens);
	(void)snprintf(a->sets[4], sizeof(a->sets[4]), "api.audit=%s", a->audit);
	for (size_t i = 0; i < 5; i++) {
		a->args[n++] = "--set";
		a->args[n++] = a->sets[i];
	}
	a->args[n] = NULL;
	e2e_config(&a->e, sb,
		   "sensors:\n  file: {enabled: false}\n  net: {enabled: false}\n  drop: {enabled: false}\n"
		   "  memory: {enabled: false}\n  kernel: {enabled: false}\n");
}

static void remove_files(const struct api_agent *a)
{
	(void)unlink(a->tokens);
	(void)unlink(a->first);
	(void)unlink(a->audit);
}

static void close_agent(struct api_agent *a)
{
	e2e_close(&a->e);
	remove_files(a);
}
#define auto_api __attribute__((cleanup(close_agent)))

/* The port that the status tells; the API opens just after the control socket. */
static bool find_port(struct api_agent *a)
{
	for (unsigned i = 0; i < TRIES_MAX; i++) {
		auto_buf struct buf answer = { .max = ANSWER_MAX };
		const char *listen;

		if (!e2e_ask(&a->e, "{\"cmd\":\"status\"}", &answer))
			return false;
		listen = strstr(buf_text(&answer), "\"listen\":\"127.0.0.1:");
		if (listen) {
			a->port = (unsigned)strtoul(listen + strlen("\"listen\":\"127.0.0.1:"), NULL, 10);
			return a->port > 0;
		}
		(void)usleep(20000);
	}
	test_fail(T_HERE, "the API is not there: %s", buf_text(&a->e.said));
	return false;
}

static int dial_tcp(unsigned port)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

static int dial_unix(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%.100s", path);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

/* One request on a connection of its own. Returns the status. */
static unsigned get(int connected, const char *path, const char *token, struct buf *answer)
{
	const struct timeval patience = { .tv_sec = 30 };
	auto_close int fd = connected;
	char request[512], bytes[16384];
	unsigned status = 0;
	ssize_t n;

	(void)snprintf(request, sizeof(request),
		       "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s%s%s\r\n", path,
		       token ? "Authorization: Bearer " : "", token ? token : "", token ? "\r\n" : "");
	buf_clear(answer);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (fd < 0 || send(fd, request, strlen(request), MSG_NOSIGNAL) < 0)
		return 0;
	while ((n = recv(fd, bytes, sizeof(bytes), 0)) > 0)
		buf_add(answer, bytes, (size_t)n);
	(void)sscanf(buf_text(answer), "HTTP/1.1 %u", &status);
	return status;
}

static bool read_line(const char *path, char *to, int size)
{
	auto_file FILE *f = fopen(path, "re");

	if (!f || !fgets(to, size, f))
		return false;
	to[strcspn(to, "\n")] = 0;
	return true;
}

static void check_is_json(const char *text)
{
	static const struct json_limits limits = { ANSWER_MAX, 1 << 18, 32 };
	auto_json struct json_doc doc;
	const struct json_node *root;

	json_init(&doc, &limits);
	require_ok(json_parse(&doc, text, strlen(text), &root));
}

TEST(the_api_of_an_agent_lets_in_who_has_a_token)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_api struct api_agent a = { 0 };
	struct e2e *e = &a.e;
	auto_buf struct buf answer = { .max = ANSWER_MAX };
	auto_buf struct buf out = { .max = ANSWER_MAX };
	char token[128] = "", line[4096] = "";
	struct stat st;

	if (!sandbox_open(&sb, SANDBOX_PLAIN))
		return;
	describe(&a, &sb);
	if (!e2e_start(e, &sb, a.args) || !find_port(&a))
		return;
	check_int(get(dial_tcp(a.port), "/health", NULL, &answer), 200);
	check_int(get(dial_tcp(a.port), "/readyz", NULL, &answer), 200);
	check_int(get(dial_tcp(a.port), "/metrics", NULL, &answer), 401);
	check_int(get(dial_tcp(a.port), "/metrics", "shr_0123456789ab_x", &answer), 401);

	/* The first start has made a token and put it where only we can read it. */
	check(!stat(a.first, &st) && (st.st_mode & 0777) == 0600);
	require(read_line(a.first, token, sizeof(token)));
	check_int(get(dial_tcp(a.port), "/metrics", token, &answer), 200);
	check_has(buf_text(&answer), "shrike_sensor_state{sensor=\"process\",state=\"running\"} 1\n");
	check_has(buf_text(&answer), "shrike_kind_sent{sensor=\"process\",kind=\"process.exec\"} ");
	check_has(buf_text(&answer), "shrike_api_malformed_total{protocol=\"token\"} 1\n");
	check_int(get(dial_tcp(a.port), "/api/v1/whoami", token, &answer), 200);
	check_has(buf_text(&answer), "{\"name\":\"first\",\"role\":\"admin\"");

	/* Root needs none on the unix socket. */
	check_int(get(dial_unix(a.socket), "/api/v1/whoami", NULL, &answer), 200);
	check_has(buf_text(&answer), "{\"name\":\"uid:0\",\"role\":\"admin\"");

	/* What the command line reads is one whole object. */
	check_int(e2e_shrike(e, &out, (const char *const[]) { "status", "-o", "json", NULL }), 0);
	check_has(buf_text(&out), "\"api\":{\"state\":\"running\"");
	check_int(e2e_shrike(e, &out, (const char *const[]) { "status", NULL }), 0);

	check_int(get(dial_tcp(a.port), "/openapi.json", NULL, &answer), 200);
	check_has(buf_text(&answer), "\"/metrics\": {");
	check_has(buf_text(&answer), "\"/api/v1/ebpf/stream\": {");
	check_is_json(strstr(buf_text(&answer), "\r\n\r\n") + 4);
	require(e2e_ask(e, "{\"cmd\":\"status\"}", &answer));
	check_is_json(buf_text(&answer));
	check_has(buf_text(&answer), "\"consumers\":[{\"name\":\"anonymous\",");

	/* What is taken back is gone within a second or two, without a reload. */
	{
		struct e2e here = { 0 }; /* `token` talks to no agent */
		const char *const revoke[] = { "token", "revoke", "first", "--tokens", a.tokens, NULL };
		unsigned status = 200;

		check_int(e2e_shrike(&here, &out, revoke), 0);
		for (unsigned i = 0; i < TRIES_MAX && status == 200; i++) {
			(void)usleep(100000);
			status = get(dial_tcp(a.port), "/metrics", token, &answer);
		}
		check_int(status, 401);
	}
	check(!stat(a.audit, &st) && (st.st_mode & 0777) == 0600);
	require(read_line(a.audit, line, sizeof(line)));
	check_has(line, "\"event\":\"refused\"");
	check_has(line, "\"path\":\"/metrics\"");
	check_has(line, "\"peer\":\"127.0.0.1:");
	check_int(e2e_stop(e, SIGTERM), 0);
	check(stat(a.socket, &st) != 0);
}

TEST(an_api_that_cannot_be_opened_leaves_the_agent_at_its_work)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_api struct api_agent a = { 0 };
	struct e2e *e = &a.e;
	auto_buf struct buf answer = { .max = ANSWER_MAX };
	auto_close int taken = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(addr);

	require(!bind(taken, (struct sockaddr *)&addr, sizeof(addr)) && !listen(taken, 1) &&
		!getsockname(taken, (struct sockaddr *)&addr, &len));
	if (!sandbox_open(&sb, SANDBOX_PLAIN))
		return;
	describe(&a, &sb);
	(void)snprintf(a.sets[1], sizeof(a.sets[1]), "api.listen=127.0.0.1:%u", ntohs(addr.sin_port));
	if (!e2e_start(e, &sb, a.args))
		return;
	for (unsigned i = 0; i < TRIES_MAX; i++) {
		if (!e2e_ask(e, "{\"cmd\":\"status\"}", &answer) ||
		    strstr(buf_text(&answer), "\"api\":{\"state\":\"failed\""))
			break;
		(void)usleep(20000);
	}
	check_has(buf_text(&answer), "\"api\":{\"state\":\"failed\",\"why\":\"start the API: listen at 127.0.0.1:");
	check_has(buf_text(&answer), "Address already in use");
	/* Once the port is free, a reload finds it so. */
	fd_closep(&taken);
	require(e2e_ask(e, "{\"cmd\":\"reload\"}", &answer));
	require(find_port(&a));
	check_int(a.port, ntohs(addr.sin_port));
	check_int(get(dial_tcp(a.port), "/health", NULL, &answer), 200);
	check_int(e2e_stop(e, SIGTERM), 0);
}

TEST(an_api_beyond_this_host_wants_tls_and_tokens)
{
	static const struct {
		const char *name, *sets[3], *want;
	} rows[] = {
		{ "plain", { "api.listen=0.0.0.0:0" }, "tokens would go there unencrypted" },
		{ "for anybody",
		  { "api.listen=\"[::]:0\"", "api.allow_plain=true", "api.anonymous=viewer" },
		  "nobody may read without a token" },
		{ "half of TLS", { "api.tls_cert=/nowhere.pem" }, "come together" },
		{ "certificates without TLS", { "api.client_ca=/nowhere.pem" }, "client certificates need TLS" },
		{ "no address", { "api.listen=localhost" }, "is no ADDRESS:PORT" },
	};

	for_each_row (r, rows) {
		auto_sandbox struct sandbox sb = { 0 };
		auto_agent struct e2e e = { 0 };
		const char *args[12] = { "--set", "api.enabled=true" };
		size_t n = 2;

		if (!sandbox_open(&sb, SANDBOX_PLAIN))
			return;
		for (size_t i = 0; i < 3 && r->sets[i]; i++) {
			args[n++] = "--set";
			args[n++] = r->sets[i];
		}
		check_int(e2e_run_to_end(&e, &sb, args), 1);
		check_has(buf_text(&e.said), r->want);
		check_has(buf_text(&e.said), "nothing was started");
	}
}
