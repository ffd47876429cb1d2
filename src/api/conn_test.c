/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "api/rig.h"
#include "base/clock.h"
#include "base/test.h"

/* ---- handlers ------------------------------------------------------------------------------------------------- */

static void hello(struct http_request *req)
{
	char name[32] = "nobody", text[64];

	(void)http_query(req, "name", name, sizeof(name));
	(void)snprintf(text, sizeof(text), "hello %s", name);
	http_reply(req, 200, "text/plain", text, strlen(text));
}

static void echo(struct http_request *req)
{
	http_reply(req, 200, "text/plain", req->body, req->body_len);
}

/* A stream that is fed by hand. */
struct source {
	char text[256];
	bool end, aborts;
	unsigned produced, closed, complete, canceled;
	uint64_t poll_ns;
	struct http_request *req;
	char message[64];
};

static ssize_t source_produce(void *ctx, char *to, size_t room)
{
	struct source *s = ctx;
	size_t n = strlen(s->text);

	s->produced++;
	if (n && n <= room) {
		memcpy(to, s->text, n);
		s->text[0] = 0;
		return (ssize_t)n;
	}
	if (s->aborts)
		return HTTP_ABORT;
	if (s->end) {
		(void)http_trailer(s->req, "x-end", "yes");
		return HTTP_END;
	}
	if (s->poll_ns)
		http_wake_in(s->req, s->poll_ns);
	return HTTP_IDLE;
}

static void source_message(void *ctx, bool text, const char *bytes, size_t n)
{
	struct source *s = ctx;

	(void)snprintf(s->message, sizeof(s->message), "%s:%.*s", text ? "text" : "binary", (int)n, bytes);
}

static void source_closed(void *ctx, bool complete)
{
	struct source *s = ctx;

	s->closed++;
	s->complete += complete;
}

static const struct http_stream source_stream = { source_produce, source_message, source_closed };

static void stream(struct http_request *req)
{
	struct source *s = req->ctx;

	s->req = req;
	if (http_wants_websocket(req))
		(void)http_websocket(req, NULL, &source_stream, s);
	else
		(void)http_stream(req, 200, "text/plain", &source_stream, s);
}

static const struct route routes[] = {
	{ .method = "GET", .path = "/hello", .role = ROLE_NONE, .handle = hello },
	{ .method = "GET", .path = "/read", .role = ROLE_VIEWER, .handle = hello },
	{ .method = "GET", .path = "/admin/", .role = ROLE_ADMIN, .handle = hello },
	{ .method = "POST", .path = "/echo", .role = ROLE_NONE, .body_max = 64, .handle = echo },
	{ .method = "GET", .path = "/stream", .role = ROLE_VIEWER, .handle = stream },
};

static bool open_rig(struct rig *r, struct source *s, enum role anonymous)
{
	const struct route_table table = { routes, countof(routes), s };

	return rig_open(r, &table, anonymous, NULL);
}

static unsigned status_of(const struct rig *r)
{
	unsigned status = 0;

	(void)sscanf(buf_text(&r->got), "HTTP/1.1 %u ", &status);
	return status;
}

/* ---- HTTP/1.1 -------------------------------------------------------------------------------------------------- */

TEST(requests_are_answered_or_refused_with_a_status)
{
	static const struct {
		const char *name, *request;
		unsigned want;
		const char *has;
	} rows[] = {
		{ "plain", "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n", 200, "hello nobody" },
		{ "query", "GET /hello?x=1&name=J%C3%B6rg+B HTTP/1.1\r\nHost: a\r\n\r\n", 200, "hello J\xc3\xb6rg B" },
		{ "absolute form", "GET http://b/hello HTTP/1.1\r\nHost: a\r\n\r\n", 200, "hello nobody" },
		{ "HEAD has the length alone", "HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n", 200,
		  "content-length: 12\r\n" },
		{ "HTTP/1.0", "GET /hello HTTP/1.0\r\n\r\n", 200, "connection: close" },
		{ "body", "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", 200, "\r\n\r\nabc" },
		{ "chunked body",
		  "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
		  200, "\r\n\r\nabc" },
		{ "no body is an empty body", "POST /echo HTTP/1.1\r\nHost: a\r\n\r\n", 200, "content-length: 0" },
		{ "nothing there", "GET /nope HTTP/1.1\r\nHost: a\r\n\r\n", 404, "nothing at this path" },
		{ "wrong method", "DELETE /echo HTTP/1.1\r\nHost: a\r\n\r\n", 405, "allow: POST\r\n" },
		{ "no token", "GET /read HTTP/1.1\r\nHost: a\r\n\r\n", 401, "www-authenticate: Bearer" },
		{ "below a path", "GET /admin/x/y HTTP/1.1\r\nHost: a\r\n\r\n", 401, "" },
		{ "wrong token", "GET /read HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer x\r\n\r\n", 401, "not valid" },
		{ "not a bearer", "GET /read HTTP/1.1\r\nHost: a\r\nAuthorization: Basic eDp5\r\n\r\n", 401,
		  "not valid" },
		{ "body too large", "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 65\r\n\r\n", 413,
		  "connection: close" },
		{ "chunked body too large",
		  "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
		  "41\r\n01234567890123456789012345678901234567890123456789012345678901234\r\n0\r\n\r\n",
		  413, "" },
		{ "body where none is taken", "GET /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", 413, "" },
		{ "dots", "GET /admin/../hello HTTP/1.1\r\nHost: a\r\n\r\n", 400, "" },
		{ "dots in disguise", "GET /admin/%2e%2e/hello HTTP/1.1\r\nHost: a\r\n\r\n", 400, "" },
		{ "NUL in the path", "GET /hello%00 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "" },
		{ "half an escape", "GET /hello%4 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "" },
		{ "not UTF-8", "GET /hello%ff HTTP/1.1\r\nHost: a\r\n\r\n", 400, "" },
		{ "unknown expectation", "GET /hello HTTP/1.1\r\nHost: a\r\nExpect: wonders\r\n\r\n", 417, "" },
	};

	for_each_row (row, rows) {
		auto_rig struct rig r = { 0 };

		require(open_rig(&r, NULL, ROLE_NONE));
		rig_say(&r, row->request);
		check_int(status_of(&r), row->want);
		check_has(buf_text(&r.got), row->has);
	}
}

TEST(a_request_may_come_byte_by_byte)
{
	static const char text[] = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
				   "3\r\nabc\r\n0\r\n\r\nGET /hello HTTP/1.1\r\nHost: a\r\n\r\n";
	auto_rig struct rig r = { 0 };

	require(open_rig(&r, NULL, ROLE_NONE));
	for (size_t i = 0; i < sizeof(text) - 1; i++)
		rig_feed(&r, text + i, 1);
	check_has(buf_text(&r.got), "\r\n\r\nabcHTTP/1.1 200 OK");
	check_has(buf_text(&r.got), "hello nobody");
	check(!r.over);
}

TEST(requests_that_are_sent_ahead_are_answered_in_turn)
{
	auto_rig struct rig r = { 0 };

	require(open_rig(&r, NULL, ROLE_NONE));
	rig_say(&r, "GET /hello?name=1 HTTP/1.1\r\nHost: a\r\n\r\nGET /hello?name=2 HTTP/1.1\r\nHost: a\r\n\r\n"
		    "GET /hello?name=3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /hello?name=4 HTTP/1.1\r\n");
	check_has(buf_text(&r.got), "hello 1");
	check(strstr(buf_text(&r.got), "hello 1") < strstr(buf_text(&r.got), "hello 2"));
	check_has(buf_text(&r.got), "hello 3");
	check(!strstr(buf_text(&r.got), "hello 4"));
	check(r.over);
}

TEST(who_expects_to_be_asked_for_the_body_is)
{
	auto_rig struct rig r = { 0 };

	require(open_rig(&r, NULL, ROLE_NONE));
	rig_say(&r, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
	check_str(buf_text(&r.got), "HTTP/1.1 100 Continue\r\n\r\n");
	rig_say(&r, "abc");
	check_has(buf_text(&r.got), "HTTP/1.1 200 OK");
}

TEST(what_takes_too_long_is_ended)
{
	auto_rig struct rig r = { 0 };

	require(open_rig(&r, NULL, ROLE_NONE));
	/* A head that comes drop by drop has no more time than another. */
	rig_say(&r, "GET /hello HTTP/1.1\r\n");
	for (int i = 0; i < 3; i++) {
		rig_wait(&r, 4 * NS_PER_S);
		if (!r.over)
			rig_say(&r, "X: y\r\n");
	}
	check_int(status_of(&r), 408);
	check(r.over);
	check_int(r.api.counters.head_timeouts, 1);

	rig_reconnect(&r);
	rig_say(&r, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na");
	rig_wait(&r, 29 * NS_PER_S);
	check_int(status_of(&r), 0);
	rig_wait(&r, 2 * NS_PER_S);
	check_int(status_of(&r), 408);
	check(r.over);

	/* Who says nothing at all is not answered. */
	rig_reconnect(&r);
	rig_wait(&r, 11 * NS_PER_S);
	check(r.over && !r.got.len);

	rig_reconnect(&r);
	rig_say(&r, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
	rig_wait(&r, 100 * NS_PER_S);
	check(!r.over);
	rig_wait(&r, 21 * NS_PER_S);
	check(r.over);
	check_int(r.api.counters.idle_timeouts, 1);
}

TEST(a_head_that_is_too_large_is_refused)
{
	auto_rig struct rig r = { 0 };
	auto_buf struct buf text = { .max = 64 << 10 };

	require(open_rig(&r, NULL, ROLE_NONE));
	buf_str(&text, "GET /hello HTTP/1.1\r\nHost: a\r\nX: ");
	while (text.len < 5000)
		buf_char(&text, 'x');
	rig_say(&r, buf_text(&text));
	check_int(status_of(&r), 431);
	check(r.over);

	rig_reconnect(&r);
	buf_clear(&text);
	buf_str(&text, "GET /hello HTTP/1.1\r\nHost: a\r\n");
	for (int i = 0; i < HTTP_HEADERS_MAX; i++)
		buf_str(&text, "a: b\r\n");
	buf_str(&text, "\r\n");
	rig_say(&r, buf_text(&text));
	check_int(status_of(&r), 431);

	rig_reconnect(&r);
	buf_clear(&text);
	buf_str(&text, "GET /");
	while (text.len < 3000)
		buf_char(&text, 'x');
	buf_str(&text, " HTTP/1.1\r\nHost: a\r\n\r\n");
	rig_say(&r, buf_text(&text));
	check_int(status_of(&r), 414);
}

TEST(pages_of_other_sites_get_nothing)
{
	static const struct {
		const char *name, *headers;
		unsigned want;
	} rows[] = {
		{ "no browser", "Host: localhost:7070\r\n", 200 },
		{ "own page", "Host: 127.0.0.1:7070\r\nOrigin: http://127.0.0.1:7070\r\n", 200 },
		{ "other page", "Host: 127.0.0.1:7070\r\nOrigin: http://evil.example\r\n", 403 },
		{ "a name that was bent to this address", "Host: evil.example:7070\r\n", 403 },
		{ "no origin at all", "Host: 127.0.0.1:7070\r\nOrigin: null\r\n", 403 },
	};

	for_each_row (row, rows) {
		auto_rig struct rig r = { 0 };
		char text[256];

		require(open_rig(&r, NULL, ROLE_VIEWER));
		(void)snprintf(text, sizeof(text), "GET /read HTTP/1.1\r\n%s\r\n", row->headers);
		rig_say(&r, text);
		check_int(status_of(&r), row->want);
	}
}

/* ---- streams ----------------------------------------------------------------------------------------------------- */

TEST(a_stream_is_pulled_and_woken)
{
	auto_rig struct rig r = { 0 };
	struct source s = { .text = "one" };
	AUTO(http_waker) waker = NULL;
	unsigned before;

	require(open_rig(&r, &s, ROLE_VIEWER));
	rig_say(&r, "GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n");
	check_has(buf_text(&r.got), "transfer-encoding: chunked\r\n");
	check_has(buf_text(&r.got), "3\r\none\r\n");
	waker = http_waker(s.req);
	before = s.produced;
	rig_run(&r);
	check_int(s.produced, before + 1); /* a rig asks each time; a server only who was kicked */
	(void)snprintf(s.text, sizeof(s.text), "two");
	http_wake(waker);
	http_wake(waker);
	rig_run(&r);
	check_has(buf_text(&r.got), "3\r\ntwo\r\n");
	s.end = true;
	http_wake(waker);
	rig_run(&r);
	check_has(buf_text(&r.got), "0\r\nx-end: yes\r\n\r\n");
	check_int(s.closed, 1);
	check_int(s.complete, 1);
	http_wake(waker); /* nobody is there any more */
	rig_run(&r);
	check_int(r.api.counters.streams_open, 0);
}

TEST(a_stream_is_asked_again_when_its_time_has_come)
{
	auto_rig struct rig r = { 0 };
	struct source s = { .poll_ns = 5 * NS_PER_MS };
	unsigned before;

	require(open_rig(&r, &s, ROLE_VIEWER));
	rig_say(&r, "GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n");
	check_int(loop_next_ns(&r.loop), r.loop.now_ns + 5 * NS_PER_MS);
	before = s.produced;
	r.loop.now_ns += 5 * NS_PER_MS;
	loop_take_timed(&r.loop);
	check(r.loop.kicked == &r.conn);
	rig_run(&r);
	check(s.produced > before);
}

TEST(a_client_that_goes_away_ends_its_stream)
{
	auto_rig struct rig r = { 0 };
	struct source s = { .text = "one" };

	require(open_rig(&r, &s, ROLE_VIEWER));
	rig_say(&r, "GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n");
	conn_eof(&r.conn);
	rig_run(&r);
	check(r.over);
	rig_reconnect(&r);
	check_int(s.closed, 1);
	check_int(s.complete, 0);
}

TEST(a_stream_that_cannot_go_on_lacks_its_last_chunk)
{
	auto_rig struct rig r = { 0 };
	struct source s = { .text = "one", .aborts = true };

	require(open_rig(&r, &s, ROLE_VIEWER));
	rig_say(&r, "GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n");
	check_has(buf_text(&r.got), "one\r\n");
	check(!strstr(buf_text(&r.got), "0\r\n\r\n"));
	check(r.over);
	check_int(s.closed, 1);
	check_int(s.complete, 0);
}

TEST(a_client_that_does_not_read_is_given_up_after_a_while)
{
	auto_rig struct rig r = { 0 };
	struct source s = { .text = "one" };

	require(open_rig(&r, &s, ROLE_VIEWER));
	conn_feed(&r.conn, "GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n", 42);
	conn_fill(&r.conn);
	check(conn_pending(&r.conn) > 0);
	r.loop.now_ns += 121 * NS_PER_S;
	conn_check_time(&r.conn, r.loop.now_ns);
	check(conn_is_over(&r.conn));
	check_int(r.api.counters.stall_timeouts, 1);
}

TEST(a_consumer_has_so_many_streams_and_no_more)
{
	auto_rig struct rig r = { 0 };
	struct source s = { .text = "one" };
	struct conn others[4];
	const struct peer peer = { .text = "192.0.2.1:1" };

	require(open_rig(&r, &s, ROLE_VIEWER));
	for (size_t i = 0; i < countof(others); i++) {
		conn_init(&others[i], &r.api, &r.loop, &peer);
		conn_feed(&others[i], "GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n", 42);
	}
	rig_say(&r, "GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n");
	check_int(status_of(&r), 429);
	check_has(buf_text(&r.got), "retry-after: 1");
	check_int(s.closed, 1);
	for (size_t i = 0; i < countof(others); i++)
		conn_clear(&others[i]);
	rig_reconnect(&r);
	rig_say(&r, "GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n");
	check_int(status_of(&r), 200);
}

/* ---- WebSocket -----------------------------------------------------------------------------------------------------
 */

#define UPGRADE                                                                                                        \
	"GET /stream HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"         \
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

TEST(a_websocket_carries_frames_both_ways)
{
	auto_rig struct rig r = { 0 };
	struct source s = { .text = "\x81\x03one" };

	require(open_rig(&r, &s, ROLE_VIEWER));
	/* The client's first message comes with its handshake. */
	rig_say(&r, UPGRADE "\x81\x82\x01\x02\x03\x04"
			    "ik");
	check_int(status_of(&r), 101);
	/* The example of RFC 6455. */
	check_has(buf_text(&r.got), "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n");
	check_has(buf_text(&r.got), "\r\n\r\n\x81\x03one");
	check_str(s.message, "text:hi");
	buf_clear(&r.got);
	rig_feed(&r, "\x89\x81\x01\x01\x01\x01p", 7);
	check_str(buf_text(&r.got), "\x8a\x01q");
	buf_clear(&r.got);
	rig_feed(&r, "\x88\x82\0\0\0\0\x03\xe9", 8);
	check(r.got.len == 4 && !memcmp(r.got.data, "\x88\x02\x03\xe9", 4));
	check(r.over);
	check_int(s.closed, 1);
}

TEST(a_websocket_that_breaks_the_rules_is_closed_with_a_code)
{
	auto_rig struct rig r = { 0 };
	struct source s = { 0 };

	require(open_rig(&r, &s, ROLE_VIEWER));
	rig_say(&r, UPGRADE);
	buf_clear(&r.got);
	rig_say(&r, "\x81\x02hi"); /* not masked */
	check(r.got.len > 4 && !memcmp(r.got.data + 2, "\x03\xea", 2));
	check_int(r.api.counters.bad_websocket, 1);
	check(r.over);
}

TEST(a_server_that_ends_a_websocket_says_so)
{
	auto_rig struct rig r = { 0 };
	struct source s = { .end = true };

	require(open_rig(&r, &s, ROLE_VIEWER));
	rig_say(&r, UPGRADE);
	check(r.got.len > 4 && !memcmp(r.got.data + r.got.len - 4, "\x88\x02\x03\xe8", 4));
	check_int(s.complete, 1);
	check(r.over);
}

TEST(a_websocket_handshake_must_be_whole)
{
	static const struct {
		const char *name, *headers;
		unsigned want;
	} rows[] = {
		{ "no version", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", 400 },
		{ "old version", "Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", 426 },
		{ "no key", "Sec-WebSocket-Version: 13\r\n", 400 },
		{ "short key", "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: abc=\r\n", 400 },
	};

	for_each_row (row, rows) {
		auto_rig struct rig r = { 0 };
		struct source s = { 0 };
		char text[512];

		require(open_rig(&r, &s, ROLE_VIEWER));
		(void)snprintf(text, sizeof(text),
			       "GET /stream HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
			       "Connection: Upgrade\r\n%s\r\n",
			       row->headers);
		rig_say(&r, text);
		check_int(status_of(&r), row->want);
		check_int(s.closed, 1);
	}
}
