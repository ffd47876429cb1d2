/* SPDX-License-Identifier: Apache-2.0 */
/* An alert of a real agent by every way that leads to it: the verb, HTTP, server-sent events and gRPC. */
#include <limits.h>
#include <poll.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "base/mem.h"
#include "base/test.h"
#include "tests/e2e/e2e.h"
#include "tests/export/fixture.h"

enum { OUT_MAX = 4 << 20, PATIENCE_S = 60, LOOK_US = 50000 };

static int run_true(const struct sandbox *sb, void *arg)
{
	static char name[] = "true";
	char *const argv[] = { name, NULL }, *const envp[] = { NULL };
	int status;
	pid_t pid;

	(void)sb;
	(void)arg;
	return posix_spawn(&pid, "/bin/true", NULL, NULL, argv, envp) || waitpid(pid, &status, 0) != pid || status;
}

static int dial(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (fd >= 0 && connect(fd, (const struct sockaddr *)(const void *)&address, sizeof(address)) == 0)
		return fd;
	fd_closep(&fd);
	return -1;
}

/* Sends a request and reads until `until` is there. False: it did not come. */
static bool http(const char *socket, const char *request, const char *until, struct buf *out)
{
	time_t end = time(NULL) + PATIENCE_S;
	auto_close int fd = -1;
	char chunk[4096];

	buf_clear(out);
	/* The API opens a little later than the agent says that it runs. */
	while ((fd = dial(socket)) < 0 && time(NULL) < end)
		(void)usleep(LOOK_US);
	if (fd < 0 || send(fd, request, strlen(request), MSG_NOSIGNAL) != (ssize_t)strlen(request))
		return false;
	while (!strstr(buf_text(out), until) && time(NULL) < end) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t n;

		if (poll(&p, 1, 1000) <= 0)
			continue;
		n = recv(fd, chunk, sizeof(chunk), 0);
		if (n <= 0)
			break;
		buf_add(out, chunk, (size_t)n);
	}
	return strstr(buf_text(out), until) != NULL;
}

#define HOST " HTTP/1.1\r\nhost: localhost\r\n"

/* The id of the one alert, once it is there. */
static bool find_id(const struct e2e *a, char id[33])
{
	time_t end = time(NULL) + PATIENCE_S;

	do {
		auto_buf struct buf out = { .max = OUT_MAX };
		const char *at;

		if (!e2e_shrike(a, &out, (const char *const[]) { "alerts", "-o", "ndjson", NULL }) &&
		    (at = strstr(buf_text(&out), "\"shrike\":{\"alert\":{\"id\":\""))) {
			(void)snprintf(id, 33, "%s", at + strlen("\"shrike\":{\"alert\":{\"id\":\""));
			return true;
		}
		(void)usleep(LOOK_US);
	} while (time(NULL) < end);
	return false;
}

static void says(const struct e2e *a, const char *const *args, const char *const *parts)
{
	auto_buf struct buf out = { .max = OUT_MAX };

	test_row = args[1];
	check_int(e2e_shrike(a, &out, args), 0);
	for (; *parts; parts++)
		check_has(buf_text(&out), *parts);
	test_row = NULL;
}
#define WORDS(...) ((const char *const[]) { __VA_ARGS__, NULL })

static const char config_text[] = "sensors:\n"
				  "  file: { enabled: false }\n"
				  "  net: { enabled: false }\n"
				  "  drop: { enabled: false }\n"
				  "  memory: { enabled: false }\n"
				  "  kernel: { enabled: false }\n"
				  "engines:\n"
				  "  detect: { rules: %s }\n";

static const char rule_text[] = "id: something-runs\n"
				"name: Something runs\n"
				"description: A program was started, which is all this rule asks for.\n"
				"severity: high\n"
				"attack:\n"
				"  - {tactic: TA0002, technique: T1059}\n"
				"false_positives: Everything.\n"
				"next: Look at what it was.\n"
				"eql: process where event.action == \"exec\"\n";

static void write_text(const char *path, const char *text)
{
	auto_file FILE *f = fopen(path, "we");

	require(f && fputs(text, f) >= 0);
}

TEST(an_alert_is_seen_by_every_way_and_its_state_is_set)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_agent struct e2e a = { 0 };
	auto_buf struct buf out = { .max = OUT_MAX };
	char socket[160], sets[3][224], rules[160], config[1024], id[33], shown[9], request[512];
	const char *const args[] = { "--set", "api.enabled=true", "--set", sets[0], "--set", sets[1], "--set", sets[2],
				     "--set", "api.listen=",      NULL };

	if (!sandbox_open(&sb, SANDBOX_PLAIN))
		return;
	(void)snprintf(socket, sizeof(socket), "%s/api.sock", sb.dir);
	(void)snprintf(sets[0], sizeof(sets[0]), "api.socket=%s", socket);
	(void)snprintf(sets[1], sizeof(sets[1]), "api.tokens=%s/tokens", sb.dir);
	(void)snprintf(sets[2], sizeof(sets[2]), "api.audit=%s/audit.log", sb.dir);
	(void)snprintf(rules, sizeof(rules), "%s/rule.yaml", sb.dir);
	(void)snprintf(config, sizeof(config), config_text, rules);
	write_text(rules, rule_text);
	e2e_config(&a, &sb, config);
	if (!e2e_start(&a, &sb, args))
		return;
	check_int(sandbox_run(&sb, run_true, NULL), 0);
	require(find_id(&a, id));
	(void)snprintf(shown, sizeof(shown), "%.8s", id);

	says(&a, WORDS("alerts"), WORDS(shown, "high", "open", "something-runs"));
	says(&a, WORDS("alerts", "show", shown),
	     WORDS("HIGH  Something runs  [open]", "A program was started", "What happened", "process.exec", "true[",
		   "Where the processes come from", "T1059", "Everything.", "Look at what it was."));

	/* Over HTTP, as whoever owns the socket. */
	check(http(socket, "GET /api/v1/alerts?rule=something-runs&severity=high" HOST "\r\n", "\"more\":false", &out));
	check_has(buf_text(&out), id);
	(void)snprintf(request, sizeof(request),
		       "POST /api/v1/alerts/%s/ack" HOST "content-length: 18\r\n\r\n{\"comment\":\"mine\"}", shown);
	check(http(socket, request, "\"comment\":\"mine\"", &out));
	check_has(buf_text(&out), "\"state\":\"acknowledged\"");
	/* A stream from the start has it as it is now. */
	check(http(socket, "GET /api/v1/alerts/stream?start=oldest" HOST "\r\n", "\n\n", &out));
	check_has(buf_text(&out), "\ndata: {\"@timestamp\"");
	check_has(buf_text(&out), "\"state\":\"acknowledged\"");

	says(&a, WORDS("alerts", "close", id, "--comment", "known"), WORDS(id, "is closed"));
	says(&a, WORDS("alerts", "show", id), WORDS("[closed]", "closed by uid:0: known"));
	if (system("/usr/bin/python3 -c 'import grpc, google.protobuf' >/dev/null 2>&1") == 0) {
		buf_clear(&out);
		(void)export_run(&out,
				 "PYTHONDONTWRITEBYTECODE=1 timeout %d /usr/bin/python3 " SHRIKE_SOURCE_DIR
				 "/tests/export/alerts_client.py unix:%s StreamAlerts '{\"start\":1}' 1",
				 PATIENCE_S, socket);
		(void)snprintf(request, sizeof(request),
			       "%s something-runs SEVERITY_HIGH STATE_CLOSED 0 uid:0 known closed alert\n", shown);
		check_str(buf_text(&out), request);
	}
	check_int(e2e_stop(&a, SIGTERM), 0);

	/* What is left in its folder can be read without it. */
	(void)snprintf(config, sizeof(config), "%s/alerts.db", sb.dir);
	says(&a, WORDS("alerts", "--from", config), WORDS(shown, "closed", "something-runs"));
	(void)snprintf(config, sizeof(config), "%s/alerts.jsonl", sb.dir);
	says(&a, WORDS("alerts", "show", id, "--from", config), WORDS("HIGH  Something runs", "process.exec"));
}
