/* SPDX-License-Identifier: Apache-2.0 */
/* A client of libnghttp2's against the connection, without sockets between them. */
#include <string.h>
#include "api/rig.h"
#include "base/clock.h"
#include "base/test.h"

enum { STREAMS_MAX = 8, BIG = 1 << 20 };

struct got {
	int32_t id;
	char status[8], grpc_status[8], trailer[32];
	size_t n; /* bytes of the body */
	char body[64];
	bool closed;
	uint32_t error;
};

struct client {
	struct rig *rig;
	nghttp2_session *session;
	struct got streams[STREAMS_MAX];
	bool goaway;
	const char *upload;
	size_t upload_n;
};

static struct got *got_of(struct client *c, int32_t id)
{
	for (size_t i = 0; i < STREAMS_MAX; i++)
		if (c->streams[i].id == id || !c->streams[i].id) {
			c->streams[i].id = id;
			return &c->streams[i];
		}
	return &c->streams[STREAMS_MAX - 1];
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t n_name,
		     const uint8_t *value, size_t n_value, uint8_t flags, void *user)
{
	struct got *g = got_of(user, frame->hd.stream_id);

	(void)session;
	(void)flags;
	if (n_name == 7 && !memcmp(name, ":status", 7))
		(void)snprintf(g->status, sizeof(g->status), "%.*s", (int)n_value, (const char *)value);
	else if (n_name == 11 && !memcmp(name, "grpc-status", 11))
		(void)snprintf(g->grpc_status, sizeof(g->grpc_status), "%.*s", (int)n_value, (const char *)value);
	else if (frame->headers.cat == NGHTTP2_HCAT_HEADERS)
		(void)snprintf(g->trailer, sizeof(g->trailer), "%.*s=%.*s", (int)n_name, (const char *)name,
			       (int)n_value, (const char *)value);
	return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t n, void *user)
{
	struct got *g = got_of(user, id);

	(void)session;
	(void)flags;
	for (size_t i = 0; i < n && g->n + i < sizeof(g->body) - 1; i++)
		g->body[g->n + i] = (char)data[i];
	g->n += n;
	return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t error, void *user)
{
	struct got *g = got_of(user, id);

	(void)session;
	g->closed = true;
	g->error = error;
	return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct client *c = user;

	(void)session;
	c->goaway |= frame->hd.type == NGHTTP2_GOAWAY;
	return 0;
}

static void client_open(struct client *c, struct rig *rig, uint32_t window)
{
	const nghttp2_settings_entry settings[] = { { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window } };
	nghttp2_session_callbacks *cb;
	nghttp2_option *options;

	*c = (struct client) { .rig = rig };
	(void)nghttp2_session_callbacks_new(&cb);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
	(void)nghttp2_option_new(&options);
	/* A client that reads slowly: one that says itself when there is room again. */
	nghttp2_option_set_no_auto_window_update(options, window != BIG);
	(void)nghttp2_session_client_new2(&c->session, cb, c, options);
	nghttp2_option_del(options);
	nghttp2_session_callbacks_del(cb);
	(void)nghttp2_submit_settings(c->session, 0, settings, countof(settings));
}

static void client_close(struct client *c)
{
	nghttp2_session_del(c->session);
}
#define auto_client __attribute__((cleanup(client_close)))

static ssize_t upload(nghttp2_session *session, int32_t id, uint8_t *to, size_t room, uint32_t *flags,
		      nghttp2_data_source *source, void *user)
{
	struct client *c = user;
	size_t n = c->upload_n < room ? c->upload_n : room;

	(void)session;
	(void)id;
	(void)source;
	memset(to, 'x', n);
	c->upload_n -= n;
	if (!c->upload_n)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)n;
}

#define NV(n, v) { (uint8_t *)(uintptr_t)(n), (uint8_t *)(uintptr_t)(v), strlen(n), strlen(v), 0 }

static int32_t ask(struct client *c, const char *method, const char *path, const char *name, const char *value)
{
	const nghttp2_nv nv[] = { NV(":method", method), NV(":path", path), NV(":scheme", "http"),
				  NV(":authority", "localhost"), NV(name ? name : "x", name ? value : "y") };
	const nghttp2_data_provider body = { .read_callback = upload };

	return nghttp2_submit_request(c->session, NULL, nv, countof(nv), c->upload_n ? &body : NULL, NULL);
}

/* Carries bytes both ways until nobody has any more to say. */
static void carry(struct client *c)
{
	for (unsigned i = 0; i < 10000; i++) {
		const uint8_t *bytes;
		ssize_t n = nghttp2_session_mem_send(c->session, &bytes);

		if (n > 0)
			rig_feed(c->rig, (const char *)bytes, (size_t)n);
		else
			rig_run(c->rig);
		if (n <= 0 && !c->rig->got.len)
			return;
		if (c->rig->got.len)
			(void)nghttp2_session_mem_recv(c->session, (const uint8_t *)c->rig->got.data, c->rig->got.len);
		buf_clear(&c->rig->got);
	}
}

/* ---- handlers ------------------------------------------------------------------------------------------------- */

static void hello(struct http_request *req)
{
	http_reply(req, 200, "text/plain", "hello", 5);
}

static void echo(struct http_request *req)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "%zu", req->body_len);
	http_reply(req, 200, "text/plain", text, strlen(text));
}

struct source {
	size_t left; /* bytes to produce */
	bool end;
	unsigned produced, closed, complete;
	struct http_request *req;
	size_t received;
	bool received_end;
};

static ssize_t produce(void *ctx, char *to, size_t room)
{
	struct source *s = ctx;
	size_t n = s->left < room ? s->left : room;

	s->produced++;
	memset(to, 'a', n);
	s->left -= n;
	if (n)
		return (ssize_t)n;
	if (!s->end)
		return HTTP_IDLE;
	(void)http_trailer(s->req, "grpc-status", "0");
	return HTTP_END;
}

static void closed(void *ctx, bool complete)
{
	struct source *s = ctx;

	s->closed++;
	s->complete += complete;
}

static const struct http_stream source_stream = { .produce = produce, .closed = closed };

static void stream(struct http_request *req)
{
	struct source *s = req->ctx;

	s->req = req;
	(void)http_stream(req, 200, "application/grpc", &source_stream, s);
}

static void stream_data(struct http_request *req, const void *bytes, size_t n, bool end)
{
	struct source *s = req->ctx;

	(void)bytes;
	s->received += n;
	s->received_end |= end;
}

static const struct route routes[] = {
	{ .method = "GET", .path = "/hello", .role = ROLE_NONE, .handle = hello },
	{ .method = "POST", .path = "/echo", .role = ROLE_NONE, .body_max = 100000, .handle = echo },
	{ .method = "GET", .path = "/stream", .role = ROLE_VIEWER, .handle = stream },
	{ .method = "POST", .path = "/stream", .role = ROLE_VIEWER, .handle = stream, .data = stream_data },
	{ .method = "GET", .path = "/admin", .role = ROLE_ADMIN, .handle = hello },
};

static bool open_rig(struct rig *r, struct source *s)
{
	const struct route_table table = { routes, countof(routes), s };

	return rig_open(r, &table, ROLE_VIEWER, NULL);
}

/* ---- tests ------------------------------------------------------------------------------------------------------ */

TEST(requests_of_http2_are_answered_side_by_side)
{
	auto_rig struct rig r = { 0 };
	auto_client struct client c;
	struct source s = { .left = 3 };
	int32_t ids[4];

	require(open_rig(&r, &s));
	client_open(&c, &r, BIG);
	ids[0] = ask(&c, "GET", "/stream", NULL, NULL);
	ids[1] = ask(&c, "GET", "/hello", NULL, NULL);
	ids[2] = ask(&c, "HEAD", "/hello", NULL, NULL);
	ids[3] = ask(&c, "GET", "/nothing", NULL, NULL);
	carry(&c);
	check_str(got_of(&c, ids[0])->body, "aaa");
	check(!got_of(&c, ids[0])->closed);
	check_str(got_of(&c, ids[1])->status, "200");
	check_str(got_of(&c, ids[1])->body, "hello");
	check_str(got_of(&c, ids[2])->status, "200");
	check_int(got_of(&c, ids[2])->n, 0);
	check(got_of(&c, ids[2])->closed);
	check_str(got_of(&c, ids[3])->status, "404");
	check_int(r.api.counters.requests[HTTP_2], 4);
}

TEST(a_stream_of_http2_ends_with_trailers)
{
	auto_rig struct rig r = { 0 };
	auto_client struct client c;
	struct source s = { .left = 200000 };
	AUTO(http_waker) waker = NULL;
	int32_t id;

	require(open_rig(&r, &s));
	client_open(&c, &r, BIG);
	c.upload_n = 7;
	id = ask(&c, "POST", "/stream", NULL, NULL);
	carry(&c);
	check_int(got_of(&c, id)->n, 200000);
	check_int(s.received, 7);
	check(s.received_end);
	waker = http_waker(s.req);
	s.left = 5;
	s.end = true;
	http_wake(waker);
	carry(&c);
	check_int(got_of(&c, id)->n, 200005);
	check_str(got_of(&c, id)->grpc_status, "0");
	check(got_of(&c, id)->closed);
	check_int(got_of(&c, id)->error, NGHTTP2_NO_ERROR);
	check_int(s.complete, 1);
}

TEST(a_window_that_is_small_holds_the_producer_back)
{
	auto_rig struct rig r = { 0 };
	auto_client struct client c;
	struct source s = { .left = 10 << 20 };
	int32_t id;

	require(open_rig(&r, &s));
	client_open(&c, &r, 10);
	id = ask(&c, "GET", "/stream", NULL, NULL);
	carry(&c);
	check_int(got_of(&c, id)->n, 10);
	check_int(s.produced, 1);
	(void)nghttp2_submit_rst_stream(c.session, 0, id, NGHTTP2_CANCEL);
	carry(&c);
	check_int(s.closed, 1);
	check_int(s.complete, 0);
	check_int(r.api.counters.streams_open, 0);
	check_int(r.conn.n_exchanges, 0);
}

TEST(refusals_of_http2_have_a_status)
{
	auto_rig struct rig r = { 0 };
	auto_client struct client c;
	struct source s = { 0 };
	int32_t id;

	require(open_rig(&r, &s));
	client_open(&c, &r, BIG);
	id = ask(&c, "GET", "/admin", NULL, NULL);
	carry(&c);
	check_str(got_of(&c, id)->status, "401");
	id = ask(&c, "GET", "/hello", "authorization", "Bearer nonsense");
	carry(&c);
	check_str(got_of(&c, id)->status, "200"); /* for anybody */
	id = ask(&c, "GET", "/stream", "authorization", "Bearer nonsense");
	carry(&c);
	check_str(got_of(&c, id)->status, "401");
	c.upload_n = 50000;
	id = ask(&c, "POST", "/echo", NULL, NULL);
	carry(&c);
	check_str(got_of(&c, id)->body, "50000");
	c.upload_n = 3 << 20;
	id = ask(&c, "POST", "/echo", NULL, NULL);
	carry(&c);
	check_str(got_of(&c, id)->status, "413");
	check(got_of(&c, id)->closed);
	/* To gRPC a refusal is a status of its own. */
	c.upload_n = 5;
	id = ask(&c, "POST", "/nothing", "content-type", "application/grpc+proto");
	carry(&c);
	check_str(got_of(&c, id)->status, "200");
	check_str(got_of(&c, id)->grpc_status, "12");
	check_int(r.api.counters.refused[404], 1);
}

TEST(headers_of_http2_are_bounded)
{
	auto_rig struct rig r = { 0 };
	auto_client struct client c;
	char big[5000];
	int32_t id;

	require(open_rig(&r, NULL));
	client_open(&c, &r, BIG);
	memset(big, 'x', sizeof(big));
	big[sizeof(big) - 1] = 0;
	id = ask(&c, "GET", "/hello", "big", big);
	carry(&c);
	check_str(got_of(&c, id)->status, "431");
	big[0] = '/';
	big[3000] = 0;
	id = ask(&c, "GET", big, NULL, NULL);
	carry(&c);
	check_str(got_of(&c, id)->status, "414");
}

TEST(what_is_no_http2_ends_the_connection)
{
	static const struct {
		const char *name, *bytes;
		size_t n;
	} rows[] = {
#define ROW(label, b) { label, b, sizeof(b) - 1 }
		ROW("data on a stream that is none", "\0\0\1\0\0\0\0\0\1x"),
		ROW("a frame that is too long", "\xff\xff\xff\0\0\0\0\0\1"),
		ROW("settings of an odd length", "\0\0\1\4\0\0\0\0\0x"),
		ROW("headers on stream 0", "\0\0\1\1\4\0\0\0\0\x82"),
		ROW("a broken header block", "\0\0\3\1\5\0\0\0\1\xff\xff\xff"),
		ROW("a window update of nothing", "\0\0\4\x08\0\0\0\0\0\0\0\0\0"),
#undef ROW
	};

	for_each_row (row, rows) {
		auto_rig struct rig r = { 0 };

		require(open_rig(&r, NULL));
		rig_feed(&r, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 33);
		check(!r.over);
		rig_feed(&r, row->bytes, row->n);
		check(r.over);
		check(r.api.counters.bad_http2 > 0);
	}
}

TEST(who_resets_stream_after_stream_is_sent_away)
{
	/* GET http / localhost, from the static table but for the last. */
	static const char block[] = "\x82\x86\x84\x01\x09localhost";
	auto_rig struct rig r = { 0 };
	struct source s = { 0 };
	unsigned i;

	require(open_rig(&r, &s));
	rig_feed(&r, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 33);
	for (i = 0; i < 2000 && !r.over; i++) {
		uint32_t id = 2 * i + 1;
		char frames[64] = { 0, 0, sizeof(block) - 1, NGHTTP2_HEADERS, 5 };
		size_t n = 9 + sizeof(block) - 1;

		frames[7] = (char)(id >> 8);
		frames[8] = (char)id;
		memcpy(frames + 9, block, sizeof(block) - 1);
		memcpy(frames + n, "\0\0\4\3\0\0\0", 7);
		frames[n + 7] = (char)(id >> 8);
		frames[n + 8] = (char)id;
		memcpy(frames + n + 9, "\0\0\0\x08", 4);
		rig_feed(&r, frames, n + 13);
	}
	check(r.over);
	check(i > 100 && i < 1000);
}

TEST(a_stream_whose_consumer_was_revoked_ends)
{
	auto_rig struct rig r = { 0 };
	auto_client struct client c;
	struct source s = { .left = 3 };
	int32_t id;

	require(open_rig(&r, &s));
	client_open(&c, &r, BIG);
	id = ask(&c, "GET", "/stream", NULL, NULL);
	carry(&c);
	((struct exchange *)s.req)->consumer->revoked = true;
	rig_wait(&r, NS_PER_S);
	carry(&c);
	check(got_of(&c, id)->closed);
	check_int(got_of(&c, id)->error, NGHTTP2_CANCEL);
	check_int(s.closed, 1);
	check(!r.over);
}

TEST(an_http2_client_that_has_nothing_to_do_is_sent_away_after_a_while)
{
	auto_rig struct rig r = { 0 };
	auto_client struct client c;

	require(open_rig(&r, NULL));
	client_open(&c, &r, BIG);
	carry(&c);
	rig_wait(&r, 121 * NS_PER_S);
	carry(&c);
	check(c.goaway);
	check(r.over);
}
