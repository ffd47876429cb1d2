/* SPDX-License-Identifier: Apache-2.0 */
/* Alerts over the API as stock clients see them: curl, and Python's gRPC, which knows only what reflection tells it. */
#include "api/alerts_api.h"
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "api/alerts_proto.h"
#include "api/api.h"
#include "api/tokens.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/test.h"
#include "tests/export/fixture.h"
#include "store/test_alerts.h"

enum { OUT_MAX = 1 << 20, PATIENCE_S = 20 };

#define FIRST_LINES "timeout 60 /usr/bin/python3 " SHRIKE_SOURCE_DIR "/tests/export/first_lines.py"

struct fixture {
	struct alerts *store;
	struct alerts_api *x;
	struct api *api;
	char dir[64], token[TOKEN_TEXT + 1], narrow[TOKEN_TEXT + 1]; /* of an operator; of who may not read alerts */
	unsigned port;
};

static void put(struct fixture *f, unsigned from, unsigned to)
{
	check(test_alerts_put(f->store, from, to));
}

static int open_api(struct fixture *f)
{
	char tokens[96], audit[96];
	struct api_settings settings = { 0 }, own;
	const struct route_table tables[] = { alerts_api_routes(f->x) };
	const struct api_options options = { .settings = &settings, .tables = tables, .n_tables = countof(tables) };
	const struct token_row rows[] = {
		{ .name = "oper", .role = ROLE_OPERATOR },
		{ .name = "narrow",
		  .role = ROLE_VIEWER,
		  .allow = { (char *[]) { (char *)(uintptr_t)"process.*" }, 1 } },
	};
	AUTO(tokens) t = calloc(1, sizeof(*t));
	int r;

	(void)snprintf(tokens, sizeof(tokens), "%s/tokens", f->dir);
	(void)snprintf(audit, sizeof(audit), "%s/audit.log", f->dir);
	if (!t || tokens_add(t, &rows[0], f->token) < 0 || tokens_add(t, &rows[1], f->narrow) < 0 ||
	    tokens_save(tokens, t) < 0)
		return -EIO;
	r = option_defaults(api_section.rows, api_section.n_rows, &settings);
	own = settings; /* the defaults own their texts */
	settings.listen = (char *)(uintptr_t)"127.0.0.1:0";
	settings.socket = settings.tls_cert = settings.tls_key = (char *)(uintptr_t)"";
	settings.tokens = tokens;
	settings.audit = audit;
	settings.anonymous = ROLE_VIEWER;
	r = r < 0 ? r : api_open(&options, &f->api);
	options_clear(api_section.rows, api_section.n_rows, &own);
	return r;
}

/* `queue_bytes` 0: as usual. */
static bool fixture_open_with(struct fixture *f, bool with_store, uint64_t queue_bytes)
{
	auto_buf struct buf status = { .max = 1 << 16 };
	char file[96];
	const struct alerts_options options = { .path = file, .queue_bytes = queue_bytes };
	const char *at;

	*f = (struct fixture) { .dir = "/tmp/shrike-alerts-api-XXXXXX" };
	if (!mkdtemp(f->dir))
		return false;
	(void)snprintf(file, sizeof(file), "%s/alerts.db", f->dir);
	if ((with_store && alerts_open(&options, &f->store) < 0) || alerts_api_open(f->store, &f->x) < 0 ||
	    open_api(f) < 0) {
		test_fail(T_HERE, "%s", err_trail());
		return false;
	}
	api_status(f->api, &status);
	at = strstr(buf_text(&status), "127.0.0.1:");
	f->port = at ? (unsigned)strtoul(at + strlen("127.0.0.1:"), NULL, 10) : 0;
	return f->port != 0;
}

static bool fixture_open(struct fixture *f, bool with_store)
{
	return fixture_open_with(f, with_store, 0);
}

static void fixture_close(struct fixture *f)
{
	auto_buf struct buf out = { .max = 4096 };

	api_free(f->api);
	alerts_api_free(f->x);
	alerts_free(f->store);
	(void)export_run(&out, "rm -rf %s", f->dir);
}
#define auto_fixture __attribute__((cleanup(fixture_close)))

/* "METHOD PATH[ BODY]" as curl sends it; the answer ends with its status. */
static void curl(const struct fixture *f, const char *token, const char *words, struct buf *out)
{
	const char *path = strchr(words, ' ') + 1, *body = strchr(path, ' ');
	char data[256] = "";

	if (body)
		(void)snprintf(data, sizeof(data), "-d '%s'", body + 1);
	buf_clear(out);
	(void)export_run(out, "curl -s -m %d -w '%%{http_code}' -X %.*s %s%s%s %s 'http://127.0.0.1:%u%.*s'",
			 PATIENCE_S, (int)strcspn(words, " "), words, token ? "-H 'Authorization: Bearer " : "",
			 token ? token : "", token ? "'" : "", data, f->port, (int)strcspn(path, " "), path);
}

TEST(alerts_are_listed_shown_and_set_over_http)
{
	static const struct {
		const char *name, *words;
		bool as_operator;
		const char *says[4];
	} rows[] = {
		{ "the newest first",
		  "GET /api/v1/alerts?limit=2",
		  false,
		  { "{\"alerts\":[{\"event\"", "\"count\":2,\"more\":true,\"cursor\":\"9\"}\n200" } },
		{ "the next page",
		  "GET /api/v1/alerts?limit=2&cursor=2",
		  false,
		  { "\"count\":1,\"more\":false,\"cursor\":\"1\"}\n200" } },
		{ "as severe", "GET /api/v1/alerts?severity=critical", false, { "\"count\":2,\"more\":false" } },
		{ "of a rule", "GET /api/v1/alerts?rule=odd&state=open,closed", false, { "\"count\":5," } },
		{ "of a text", "GET /api/v1/alerts?text=WEB-1&until=2024-05-06T12:53:22Z", false, { "\"count\":2," } },
		{ "none", "GET /api/v1/alerts?text=web-2", false, { "{\"alerts\":[],\"count\":0,\"more\":false" } },
		{ "no such word",
		  "GET /api/v1/alerts?sevrity=high",
		  false,
		  { "did you mean \\\"severity\\\"", "400" } },
		{ "no such severity", "GET /api/v1/alerts?severity=9", false, { "is none of informational", "400" } },
		{ "one",
		  "GET /api/v1/alerts/00000003000000000000000000000000",
		  false,
		  { "\"state\":\"open\"", "200" } },
		{ "by the beginning of its id", "GET /api/v1/alerts/00000003", false, { "\"state\":\"open\"", "200" } },
		{ "no such id", "GET /api/v1/alerts/ffffffff", false, { "there is no alert ffffffff", "404" } },
		{ "no id", "GET /api/v1/alerts/x", false, { "is no alert's id", "404" } },
		{ "a very long id",
		  "GET /api/v1/alerts/00000000000000000000000000000000000000000000",
		  false,
		  { "404" } },
		{ "no parameter", "GET /api/v1/alerts/00000003?x=1", false, { "there is no parameter", "400" } },
		{ "a viewer only reads", "POST /api/v1/alerts/00000003/ack", false, { "a token is wanted", "401" } },
		{ "acknowledged",
		  "POST /api/v1/alerts/00000003/ack {\"comment\":\"I_look\"}",
		  true,
		  { "\"state\":\"acknowledged\"", "\"who\":\"oper\"", "\"comment\":\"I_look\"", "200" } },
		{ "closed", "POST /api/v1/alerts/00000003/close", true, { "\"state\":\"closed\"", "200" } },
		{ "nobody to close", "POST /api/v1/alerts/ffffffff/close", true, { "404" } },
		{ "an unknown member",
		  "POST /api/v1/alerts/00000003/close {\"coment\":\"x\"}",
		  true,
		  { "coment", "400" } },
		{ "no JSON", "POST /api/v1/alerts/00000003/close {", true, { "400" } },
		{ "what is closed", "GET /api/v1/alerts?state=closed", false, { "\"count\":1," } },
		{ "not so", "POST /api/v1/alerts/00000003", true, { "405" } },
	};
	auto_fixture struct fixture f;
	auto_buf struct buf out = { .max = OUT_MAX };

	if (!fixture_open(&f, true))
		return;
	put(&f, 0, 10);
	for_each_row (r, rows) {
		curl(&f, r->as_operator ? f.token : NULL, r->words, &out);
		for (size_t i = 0; i < countof(r->says) && r->says[i]; i++)
			check_has(buf_text(&out), r->says[i]);
	}
	buf_clear(&out);
	(void)export_run(&out, "cat %s/audit.log", f.dir);
	check_has(buf_text(&out), "\"path\":\"/api/v1/alerts/00000003/ack\"");
	check_has(buf_text(&out), "acknowledged 00000003: I_look");
}

TEST(who_may_not_read_alerts_gets_none)
{
	auto_fixture struct fixture f;
	auto_buf struct buf out = { .max = OUT_MAX };

	if (!fixture_open(&f, true))
		return;
	put(&f, 0, 1);
	curl(&f, f.narrow, "GET /api/v1/alerts", &out);
	check_has(buf_text(&out), "narrow may not read alerts");
	check_has(buf_text(&out), "403");
	curl(&f, f.narrow, "POST /api/v1/alerts/00000000/ack", &out);
	check_has(buf_text(&out), "this is for the role operator");
	curl(&f, f.narrow, "GET /api/v1/alerts/00000000", &out);
	check_has(buf_text(&out), "403");
	curl(&f, f.narrow, "GET /api/v1/alerts/stream?start=oldest", &out);
	check_has(buf_text(&out), "403");
}

TEST(an_agent_without_a_store_of_alerts_says_so)
{
	auto_fixture struct fixture f;
	auto_buf struct buf out = { .max = OUT_MAX };

	if (!fixture_open(&f, false))
		return;
	curl(&f, NULL, "GET /api/v1/alerts", &out);
	check_has(buf_text(&out), "this agent keeps no alerts");
	check_has(buf_text(&out), "409");
	curl(&f, NULL, "GET /api/v1/alerts/stream", &out);
	check_has(buf_text(&out), "409");
}

/* Some lines of a stream, and then its client has enough. */
static void stream(const struct fixture *f, const char *query, const char *header, unsigned lines, struct buf *out)
{
	buf_clear(out);
	(void)export_run(out, FIRST_LINES " %u '/api/v1/alerts/stream?%s' %u '%s'", f->port, query, lines, header);
}

static unsigned count(const char *text, const char *part)
{
	unsigned n = 0;

	for (const char *p = text; (p = strstr(p, part)); p += strlen(part))
		n++;
	return n;
}

TEST(a_stream_of_events_begins_and_resumes_where_it_is_told)
{
	auto_fixture struct fixture f;
	auto_buf struct buf out = { .max = OUT_MAX };

	if (!fixture_open(&f, true))
		return;
	put(&f, 0, 10);
	stream(&f, "start=oldest", "x: y", 6, &out);
	check_has(buf_text(&out), "id: 1\ndata: {\"event\":");
	check_has(buf_text(&out), "\"state\":\"open\"");
	check_has(buf_text(&out), "}\n\nid: 2\ndata: ");
	stream(&f, "", "Last-Event-ID: 7", 3, &out);
	check_has(buf_text(&out), "id: 8\ndata: ");
	stream(&f, "cursor=8&rule=odd", "x: y", 3, &out);
	check_has(buf_text(&out), "id: 10\ndata: ");
	/* What changes comes again. */
	require_ok(alerts_set_state(f.store, test_alert(2).id, ALERT_CLOSED, "ann", "no"));
	stream(&f, "cursor=10", "x: y", 3, &out);
	check_has(buf_text(&out), "id: 11\ndata: ");
	check_has(buf_text(&out), "\"comment\":\"no\"");
	stream(&f, "start=oldest&format=lines&severity=critical", "x: y", 2, &out);
	check_int(count(buf_text(&out), "{\"event\":"), 2);
	check(!strstr(buf_text(&out), "data:"));
	stream(&f, "cursor=12", "x: y", 1, &out);
	check_has(buf_text(&out), "this one is of another store");
	stream(&f, "start=never", "x: y", 1, &out);
	check_has(buf_text(&out), "start: wanted now or oldest");
	stream(&f, "format=xml", "x: y", 1, &out);
	check_has(buf_text(&out), "format: wanted sse or lines");
}

TEST(a_stream_of_a_thousand_has_all_in_order)
{
	enum { MANY = 1000 };
	auto_fixture struct fixture f;
	auto_buf struct buf out = { .max = OUT_MAX };
	unsigned want = 1;

	if (!fixture_open(&f, true))
		return;
	put(&f, 0, MANY);
	buf_clear(&out);
	(void)export_run(&out, FIRST_LINES " %u '/api/v1/alerts/stream?start=oldest' %d", f.port, 3 * MANY);
	for (const char *p = buf_text(&out); (p = strstr(p, "id: ")); p++)
		check_int(strtoul(p + 4, NULL, 10), want++);
	check_int(want, MANY + 1);
}

/* Reads until `until` is there. */
static void hear(int fd, const char *until, struct buf *out)
{
	char chunk[4096];

	while (!strstr(buf_text(out), until)) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t n = poll(&p, 1, PATIENCE_S * 1000) == 1 ? recv(fd, chunk, sizeof(chunk), 0) : -1;

		if (n <= 0) {
			test_fail(T_HERE, "\"%s\" did not come: %s", until, buf_text(out));
			return;
		}
		buf_add(out, chunk, (size_t)n);
	}
}

TEST(a_stream_is_told_what_the_store_lost)
{
	static const char request[] = "GET /api/v1/alerts/stream HTTP/1.1\r\nhost: localhost\r\n\r\n";
	static char large[64 << 10];
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	auto_fixture struct fixture f;
	auto_buf struct buf out = { .max = OUT_MAX };
	auto_close int fd = -1;
	struct alert a = test_alert(0);

	if (!fixture_open_with(&f, true, 4096))
		return;
	memset(large, ' ', sizeof(large));
	a.body = large;
	a.body_n = sizeof(large);
	address.sin_port = htons((uint16_t)f.port);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	require(fd >= 0 && connect(fd, (const struct sockaddr *)(const void *)&address, sizeof(address)) == 0);
	require(send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) == (ssize_t)sizeof(request) - 1);
	hear(fd, "text/event-stream", &out);
	check(!alerts_put(f.store, &a));
	put(&f, 1, 2);
	check(!alerts_put(f.store, &a));
	hear(fd, "event: lost\ndata: {\"lost\":", &out);
	hear(fd, "id: 1\ndata: ", &out);
}

static bool has_grpcio(void)
{
	return system("/usr/bin/python3 -c 'import grpc, google.protobuf' >/dev/null 2>&1") == 0;
}

static void ask(const struct fixture *f, const char *token, const char *words, struct buf *out)
{
	buf_clear(out);
	(void)export_run(out,
			 "TOKEN=%s PYTHONDONTWRITEBYTECODE=1 timeout %d /usr/bin/python3 " SHRIKE_SOURCE_DIR
			 "/tests/export/alerts_client.py 127.0.0.1:%u %s",
			 token ? token : "", PATIENCE_S, f->port, words);
}

TEST(a_grpc_client_gets_alerts)
{
	static const struct {
		const char *name, *words;
		bool as_operator;
		const char *says;
	} rows[] = {
		{ "list", "ListAlerts '{\"limit\":2}'", false,
		  "00000009 odd SEVERITY_CRITICAL STATE_OPEN 0 - - open alert\n"
		  "00000008 even SEVERITY_HIGH STATE_OPEN 0 - - open alert\nmore True cursor 9\n" },
		{ "filtered", "ListAlerts '{\"filter\":{\"severity\":4,\"rule\":\"even\",\"states\":[\"open\"]}}'",
		  false, "00000004 even SEVERITY_CRITICAL STATE_OPEN 0 - - open alert\nmore False cursor 5\n" },
		{ "one", "GetAlert '{\"id\":\"00000007\"}'", false,
		  "00000007 odd SEVERITY_MEDIUM STATE_OPEN 0 - - open alert\n" },
		{ "nobody", "GetAlert '{\"id\":\"ffffffff\"}'", false, "NOT_FOUND | there is no alert ffffffff\n" },
		{ "not allowed", "AckAlert '{\"id\":\"00000007\"}'", false, "UNAUTHENTICATED | " },
		{ "acknowledged", "AckAlert '{\"id\":\"00000007\",\"comment\":\"mine\"}'", true,
		  "00000007 odd SEVERITY_MEDIUM STATE_ACKNOWLEDGED 0 oper mine acknowledged alert\n" },
		{ "closed", "CloseAlert '{\"id\":\"00000007\"}'", true,
		  "00000007 odd SEVERITY_MEDIUM STATE_CLOSED 0 oper - closed alert\n" },
		{ "stream of all", "StreamAlerts '{\"start\":1,\"filter\":{\"states\":[\"closed\"]}}' 1", false,
		  "00000007 odd SEVERITY_MEDIUM STATE_CLOSED 0 oper - closed alert\n" },
		{ "resumed", "StreamAlerts '{\"cursor\":\"9\"}' 2", false,
		  "00000009 odd SEVERITY_CRITICAL STATE_OPEN 0 - - open alert\n"
		  "00000007 odd SEVERITY_MEDIUM STATE_CLOSED 0 oper - closed alert\n" },
		{ "nothing new", "StreamAlerts '{}' 1 1", false, "DEADLINE_EXCEEDED | " },
		{ "cursor of another store", "StreamAlerts '{\"cursor\":\"99\"}' 1", false, "OUT_OF_RANGE | cursor: " },
		{ "no such state", "StreamAlerts '{\"filter\":{\"states\":[\"shut\"]}}' 1", false,
		  "INVALID_ARGUMENT | state: \"shut\" is none of" },
		{ "page too large", "ListAlerts '{\"limit\":1001}'", false, "INVALID_ARGUMENT | limit: at most 1000" },
	};
	auto_fixture struct fixture f;
	auto_buf struct buf out = { .max = OUT_MAX };

	if (!has_grpcio())
		skip("no-grpcio");
	if (!fixture_open(&f, true))
		return;
	put(&f, 0, 10);
	for_each_row (r, rows) {
		ask(&f, r->as_operator ? f.token : NULL, r->words, &out);
		if (strncmp(buf_text(&out), r->says, strlen(r->says)) != 0)
			test_fail(T_HERE, "got:\n%s--- want:\n%s", buf_text(&out), r->says);
	}
}

/* The query string and the store have the same words. */
TEST(the_words_of_the_store_are_the_parameters)
{
	const struct route_table table = alerts_api_routes(NULL);
	const struct route *list = &table.routes[0];

	check_int(list->n_params, alerts_ask_n_words);
	for (size_t i = 0; i < alerts_ask_n_words && i < list->n_params; i++) {
		check_str(list->params[i].name, alerts_ask_words[i].name);
		check_str(list->params[i].doc, alerts_ask_words[i].doc);
		check(list->params[i].values == alerts_ask_words[i].values);
		check_int(list->params[i].repeated, alerts_ask_words[i].is_list);
		check_int(list->params[i].type != NULL, alerts_ask_words[i].is_number);
	}
}
