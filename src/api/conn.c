/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn - one connection: finds out what is spoken, and speaks HTTP/1.1 and WebSocket itself (HTTP/2 is in http2.c).
 *
 * HTTP/1.1 has one exchange at a time. What a client sends ahead waits in `in`, and when that is full, in the socket.
 */
#include <string.h>
#include "api/internal.h"
#include "base/clock.h"

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
enum { OUT_MAX = 2 << 20 };

void conn_init(struct conn *c, struct api *api, struct loop *loop, const struct peer *peer)
{
	*c = (struct conn) { .api = api, .loop = loop, .peer = *peer };
	c->head_began_ns = c->active_ns = c->progress_ns = loop->now_ns;
	buf_init(&c->in, api->settings.head_bytes + 2 * IN_HIGH);
	buf_init(&c->out, OUT_MAX);
	ws_reader_init(&c->ws);
}

void conn_clear(struct conn *c)
{
	struct conn **at = &c->loop->kicked;

	http2_end(c);
	while (c->exchanges)
		exchange_end(c->exchanges, false);
	while (*at && *at != c)
		at = &(*at)->kick_next;
	if (*at)
		*at = c->kick_next;
	ws_reader_free(&c->ws);
	buf_free(&c->in);
	buf_free(&c->out);
}

void conn_kick(struct conn *c)
{
	if (c->kicked)
		return;
	c->kicked = true;
	c->kick_next = c->loop->kicked;
	c->loop->kicked = c;
}

bool conn_is_over(const struct conn *c)
{
	if (c->broken || c->out.failed)
		return true;
	return !conn_pending(c) && (c->finishing || (c->protocol == PROTOCOL_HTTP2 && http2_is_done(c)));
}

bool conn_wants_input(const struct conn *c)
{
	return !c->eof && !c->finishing && !c->broken && conn_pending(c) < OUT_HIGH && c->in.len - c->in_at < IN_HIGH;
}

/* ---- HTTP/1.1: the answer's head -------------------------------------------------------------------------- */

static const char *reason(unsigned status)
{
	static const struct {
		unsigned status;
		const char *text;
	} rows[] = {
		{ 100, "Continue" },
		{ 101, "Switching Protocols" },
		{ 200, "OK" },
		{ 201, "Created" },
		{ 204, "No Content" },
		{ 400, "Bad Request" },
		{ 401, "Unauthorized" },
		{ 403, "Forbidden" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 408, "Request Timeout" },
		{ 409, "Conflict" },
		{ 413, "Content Too Large" },
		{ 414, "URI Too Long" },
		{ 415, "Unsupported Media Type" },
		{ 417, "Expectation Failed" },
		{ 426, "Upgrade Required" },
		{ 429, "Too Many Requests" },
		{ 431, "Request Header Fields Too Large" },
		{ 500, "Internal Server Error" },
		{ 501, "Not Implemented" },
		{ 503, "Service Unavailable" },
		{ 505, "HTTP Version Not Supported" },
	};

	for (size_t i = 0; i < countof(rows); i++)
		if (rows[i].status == status)
			return rows[i].text;
	return "Status";
}

static void put_status_line(struct conn *c, unsigned status)
{
	buf_printf(&c->out, "HTTP/1.1 %u %s\r\n", status, reason(status));
}

static void put_headers(struct conn *c, const struct answer_header *headers, size_t n)
{
	for (size_t i = 0; i < n; i++)
		buf_printf(&c->out, "%s: %s\r\n", headers[i].name, headers[i].value);
}

static void answer_http1(struct exchange *x)
{
	struct conn *c = x->conn;

	/* Who has not sent all of its body has no way to know where the next request begins. */
	if (!x->body_ended && !x->body_piecewise)
		c->keep_alive = false;
	put_status_line(c, x->status);
	put_headers(c, x->out, x->n_out);
	c->chunked_answer = x->state == EXCHANGE_STREAM && x->req.version == HTTP_1_1 && !x->is_head_request;
	if (c->chunked_answer)
		buf_str(&c->out, "transfer-encoding: chunked\r\n");
	else if (x->state == EXCHANGE_STREAM && !x->is_head_request)
		c->keep_alive = false;
	if (!c->keep_alive)
		buf_str(&c->out, "connection: close\r\n");
	buf_str(&c->out, "\r\n");
}

void conn_answer(struct exchange *x)
{
	if (x->conn->protocol == PROTOCOL_HTTP2)
		http2_answer(x);
	else
		answer_http1(x);
	conn_kick(x->conn);
}

void conn_resume(struct exchange *x)
{
	if (x->job && work_answer(x->job, &x->req)) {
		work_drop(take(x->job));
		return;
	}
	if (x->conn->protocol == PROTOCOL_HTTP2)
		http2_resume(x);
	conn_kick(x->conn);
}

/* ---- WebSocket -------------------------------------------------------------------------------------------- */

static void put_control(struct conn *c, unsigned opcode, const char *bytes, size_t n)
{
	buf_char(&c->out, (char)(0x80 | opcode));
	buf_char(&c->out, (char)n);
	buf_add(&c->out, bytes, n);
}

static void put_close(struct conn *c, unsigned code, const char *why)
{
	char payload[WS_CONTROL_MAX] = { (char)(code >> 8), (char)code };
	int n = snprintf(payload + 2, sizeof(payload) - 2, "%s", why);

	if (!c->ws_close_sent)
		put_control(c, 8, payload, 2 + (size_t)(n < 0 ? 0 : n));
	c->ws_close_sent = true;
	c->finishing = true;
}

static void end_websocket(struct conn *c, bool complete)
{
	if (c->current)
		exchange_end(take(c->current), complete);
	conn_kick(c);
}

static void take_close(struct conn *c)
{
	const unsigned char *p = (const unsigned char *)c->ws.control;

	c->ws_close_got = true;
	put_close(c, c->ws.n_control >= 2 ? (unsigned)p[0] << 8 | p[1] : 1000, "");
	end_websocket(c, false);
}

static void feed_websocket(struct conn *c, const char *bytes, size_t n)
{
	enum ws_event e = WS_TEXT;
	size_t used;

	while (c->current && !c->finishing && (e = ws_read(&c->ws, bytes, n, &used)) != WS_MORE) {
		const struct http_stream *s = c->current->stream;

		if (e == WS_WRONG) {
			COUNT(c->api->counters.bad_websocket);
			put_close(c, c->ws.code, c->ws.why);
			end_websocket(c, false);
			return;
		}
		bytes += used;
		n -= used;
		if (e == WS_PING)
			put_control(c, 10, c->ws.control, c->ws.n_control);
		else if (e == WS_CLOSE)
			take_close(c);
		else if (e != WS_PONG && s->message)
			s->message(c->current->stream_ctx, e == WS_TEXT, buf_text(&c->ws.message), c->ws.message.len);
	}
	conn_kick(c);
}

void conn_websocket(struct exchange *x, const char *accept, const char *protocol)
{
	struct conn *c = x->conn;

	put_status_line(c, 101);
	put_headers(c, x->out, x->n_out);
	buf_printf(&c->out, "upgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: %s\r\n", accept);
	if (protocol)
		buf_printf(&c->out, "sec-websocket-protocol: %s\r\n", protocol);
	buf_str(&c->out, "\r\n");
	c->protocol = PROTOCOL_WEBSOCKET;
	conn_kick(c);
}

static void fill_websocket(struct conn *c)
{
	while (c->current && !c->finishing && conn_pending(c) < OUT_HIGH) {
		struct exchange *x = c->current;

		switch (exchange_stage(x)) {
		case STAGE_READY:
			buf_add(&c->out, x->chunk, x->n_chunk);
			exchange_used(x, x->n_chunk);
			break;
		case STAGE_IDLE:
			return;
		case STAGE_END:
			put_close(c, 1000, "");
			end_websocket(c, true);
			return;
		case STAGE_ABORT:
			put_close(c, 1011, "");
			end_websocket(c, false);
			return;
		}
	}
}

/* ---- HTTP/1.1: requests ----------------------------------------------------------------------------------- */

static void consume(struct conn *c, size_t n)
{
	c->in_at += n;
	if (c->in_at == c->in.len) {
		buf_clear(&c->in);
		c->in_at = 0;
	}
}

/* What cannot be understood as a request: one answer, and the end. */
static void refuse_http1(struct conn *c, unsigned status, const char *why)
{
	struct exchange *x = c->current ? c->current : exchange_new(c);

	c->keep_alive = false;
	c->current = x;
	if (!x)
		c->broken = true;
	else if (exchange_has_answer(x))
		c->broken = true;
	else
		http_refuse(&x->req, status, "%s", why);
}

static void refuse_malformed(struct conn *c, unsigned status, const char *why)
{
	COUNT(c->api->counters.bad_http1);
	refuse_http1(c, status, why);
}

static bool copy_head(struct exchange *x, const struct http1_head *head)
{
	x->req.version = head->version;
	x->req.method = arena_str(&x->memory, head->method, strlen(head->method));
	if (head->host)
		x->req.authority = arena_str(&x->memory, head->host, strlen(head->host));
	for (size_t i = 0; i < head->n_headers; i++)
		if (!exchange_add_header(x, head->headers[i].name, strlen(head->headers[i].name),
					 head->headers[i].value, strlen(head->headers[i].value)))
			return false;
	return x->req.method && x->req.authority;
}

static void begin_http1(struct conn *c, size_t n)
{
	struct http1_head head;
	struct exchange *x;
	const char *why = "";
	unsigned status = http1_parse(c->in.data + c->in_at, n, &head, &why);
	bool goes_on;

	if (status) {
		refuse_malformed(c, status, why);
		return;
	}
	x = exchange_new(c);
	c->current = x;
	c->keep_alive = head.keep_alive;
	c->body_left = head.length;
	c->body_chunked = head.chunked;
	c->chunks = (struct http1_chunks) { 0 };
	if (!x || !copy_head(x, &head)) {
		refuse_http1(c, 431, "the headers are too large");
		return;
	}
	x->body_ended = !head.length && !head.chunked;
	/* Without a body there is no more to come, so that an answer made here may keep the connection. */
	goes_on = exchange_route(x, head.target, strlen(head.target), head.chunked ? -1 : (int64_t)head.length);
	if (goes_on && x->body_ended) {
		x->body_ended = false;
		exchange_body_end(x);
	} else if (goes_on && head.expects_continue && !exchange_has_answer(x)) {
		buf_str(&c->out, "HTTP/1.1 100 Continue\r\n\r\n");
		conn_kick(c);
	}
}

static bool seek_head(struct conn *c)
{
	size_t n = c->in.len - c->in_at;
	ssize_t end = http1_find_end(c->in.data + c->in_at, n, &c->in_scanned);

	if (end < 0) {
		refuse_malformed(c, (unsigned)-end, "lines end with CR LF");
	} else if (end > (ssize_t)c->api->settings.head_bytes ||
		   (end == HTTP1_MORE && n > c->api->settings.head_bytes)) {
		refuse_malformed(c, 431, "the request's head is too large");
	} else if (end == HTTP1_MORE) {
		return false;
	} else {
		c->in_scanned = 0;
		begin_http1(c, (size_t)end);
		consume(c, (size_t)end);
	}
	return true;
}

/* Some of the body; false: more must come first. */
static bool take_body(struct conn *c)
{
	const char *p = c->in.data + c->in_at, *data;
	size_t n = c->in.len - c->in_at, used = 0, n_data;

	if (!n)
		return false;
	if (!c->body_chunked) {
		used = n < c->body_left ? n : (size_t)c->body_left;
		c->body_left -= used;
		(void)exchange_body(c->current, p, used);
		consume(c, used);
		if (!c->body_left)
			exchange_body_end(c->current);
		return true;
	}
	switch (http1_chunk(&c->chunks, p, n, &used, &data, &n_data)) {
	case HTTP1_CHUNK_DATA:
		(void)exchange_body(c->current, data, n_data);
		break;
	case HTTP1_CHUNK_END:
		exchange_body_end(c->current);
		break;
	case HTTP1_CHUNK_WRONG:
		refuse_malformed(c, 400, "malformed chunk");
		return false;
	case HTTP1_CHUNK_MORE:
		break;
	}
	consume(c, used);
	return true;
}

static bool wants_body(const struct exchange *x)
{
	return !x->body_ended && (x->state == EXCHANGE_BODY || x->body_piecewise);
}

static void advance_http1(struct conn *c)
{
	while (c->protocol == PROTOCOL_HTTP1 && !c->broken && !c->finishing && c->in.len > c->in_at) {
		if (!c->current ? !seek_head(c) : !wants_body(c->current) || !take_body(c))
			break;
	}
	if (c->protocol == PROTOCOL_WEBSOCKET && c->in.len > c->in_at) {
		feed_websocket(c, c->in.data + c->in_at, c->in.len - c->in_at);
		consume(c, c->in.len - c->in_at);
	}
}

static void end_http1(struct conn *c, struct exchange *x)
{
	bool again = c->keep_alive && x->body_ended;

	c->current = NULL;
	exchange_end(x, true);
	c->head_began_ns = c->active_ns = c->loop->now_ns;
	if (again)
		advance_http1(c);
	else
		c->finishing = true;
}

static void put_chunk(struct conn *c, struct exchange *x)
{
	size_t n = x->n_chunk < OUT_HIGH ? x->n_chunk : OUT_HIGH;

	if (c->chunked_answer)
		buf_printf(&c->out, "%zx\r\n", n);
	buf_add(&c->out, x->chunk, n);
	if (c->chunked_answer)
		buf_add(&c->out, "\r\n", 2);
	exchange_used(x, n);
}

static void put_last_chunk(struct conn *c, const struct exchange *x)
{
	if (!c->chunked_answer)
		return;
	buf_str(&c->out, "0\r\n");
	put_headers(c, x->trailers, x->n_trailers);
	buf_str(&c->out, "\r\n");
}

static void fill_http1(struct conn *c)
{
	while (c->current && exchange_has_answer(c->current) && conn_pending(c) < OUT_HIGH && !c->finishing) {
		struct exchange *x = c->current;

		switch (exchange_stage(x)) {
		case STAGE_READY:
			put_chunk(c, x);
			break;
		case STAGE_IDLE:
			return;
		case STAGE_END:
			put_last_chunk(c, x);
			end_http1(c, x);
			break;
		case STAGE_ABORT:
			/* Without the last chunk the client knows that something is missing. */
			c->finishing = true;
			c->current = NULL;
			exchange_end(x, false);
			return;
		}
	}
}

/* ---- all protocols ---------------------------------------------------------------------------------------- */

void conn_set_protocol(struct conn *c, enum protocol protocol)
{
	c->protocol = protocol;
	if (protocol == PROTOCOL_HTTP2 && http2_begin(c) < 0)
		c->broken = true;
}

/* The first bytes tell: no request of HTTP/1 begins like HTTP/2's preface. */
static bool detect(struct conn *c)
{
	size_t n = c->in.len < sizeof(PREFACE) - 1 ? c->in.len : sizeof(PREFACE) - 1;

	if (memcmp(c->in.data, PREFACE, n) != 0)
		conn_set_protocol(c, PROTOCOL_HTTP1);
	else if (n == sizeof(PREFACE) - 1)
		conn_set_protocol(c, PROTOCOL_HTTP2);
	return c->protocol != PROTOCOL_UNKNOWN;
}

void conn_feed(struct conn *c, const char *bytes, size_t n)
{
	COUNT_N(c->api->counters.bytes_in, n);
	c->active_ns = c->loop->now_ns;
	if (c->finishing || c->broken)
		return;
	if (c->protocol == PROTOCOL_HTTP2) {
		http2_feed(c, bytes, n);
		conn_kick(c);
		return;
	}
	if (c->protocol == PROTOCOL_WEBSOCKET) {
		feed_websocket(c, bytes, n);
		return;
	}
	if (!c->current && c->in.len == c->in_at)
		c->head_began_ns = c->loop->now_ns;
	if (c->in_at) {
		memmove(c->in.data, c->in.data + c->in_at, c->in.len - c->in_at);
		c->in.len -= c->in_at;
		c->in_at = 0;
	}
	buf_add(&c->in, bytes, n);
	if (c->in.failed) {
		c->broken = true;
		return;
	}
	if (c->protocol == PROTOCOL_UNKNOWN && !detect(c))
		return;
	if (c->protocol == PROTOCOL_HTTP2) {
		http2_feed(c, c->in.data, c->in.len);
		consume(c, c->in.len);
	} else {
		advance_http1(c);
	}
	conn_kick(c);
}

void conn_fill(struct conn *c)
{
	if (c->broken || (c->finishing && c->protocol == PROTOCOL_HTTP2))
		return;
	if (c->protocol == PROTOCOL_HTTP2)
		http2_fill(c);
	else if (c->protocol == PROTOCOL_WEBSOCKET)
		fill_websocket(c);
	else
		fill_http1(c);
}

void conn_sent(struct conn *c, size_t n)
{
	COUNT_N(c->api->counters.bytes_out, n);
	c->out_at += n;
	c->progress_ns = c->loop->now_ns;
	if (c->out_at == c->out.len) {
		buf_clear(&c->out);
		c->out_at = 0;
	}
}

/* A whole answer that is on its way still goes out; a stream has lost its reader. */
void conn_eof(struct conn *c)
{
	bool on_its_way = c->protocol == PROTOCOL_HTTP1 && c->current &&
			  (c->current->state == EXCHANGE_HANDLED || c->current->state == EXCHANGE_WHOLE);

	c->eof = true;
	c->keep_alive = false;
	if (c->n_exchanges && !on_its_way)
		c->broken = true;
	else if (!c->n_exchanges)
		c->finishing = true;
	conn_kick(c);
}

/* ---- time ------------------------------------------------------------------------------------------------- */

/* Sends what can still be said, and ends. */
static void give_up(struct conn *c, _Atomic uint64_t *counter, unsigned status, const char *why)
{
	COUNT(*counter);
	if (status && c->protocol <= PROTOCOL_HTTP1)
		refuse_http1(c, status, why);
	else if (c->protocol == PROTOCOL_HTTP2)
		http2_goaway(c);
	else
		c->finishing = true;
	conn_kick(c);
}

static void check_exchange(struct exchange *x, uint64_t now_ns)
{
	const struct api_settings *s = &x->conn->api->settings;
	struct conn *c = x->conn;

	if (x->consumer && x->consumer->revoked) {
		if (c->protocol == PROTOCOL_HTTP2)
			http2_reset(x);
		else
			c->broken = true;
	} else if (x->state <= EXCHANGE_BODY && now_ns - x->began_ns > s->body_timeout_ns) {
		COUNT(c->api->counters.body_timeouts);
		if (c->protocol == PROTOCOL_HTTP2 && x->state == EXCHANGE_HEAD)
			http2_reset(x);
		else
			http_refuse(&x->req, 408, "the body takes too long");
	} else if (x->n_chunk && now_ns - x->progress_ns > s->stall_timeout_ns) {
		COUNT(c->api->counters.stall_timeouts);
		if (c->protocol == PROTOCOL_HTTP2)
			http2_reset(x);
		else
			c->broken = true;
	}
}

void conn_check_time(struct conn *c, uint64_t now_ns)
{
	const struct api_settings *s = &c->api->settings;
	bool some = c->in.len > c->in_at;
	bool waits_for_head = c->protocol <= PROTOCOL_HTTP1 && !c->current && (some || !c->protocol);

	if (!conn_pending(c)) {
		c->progress_ns = now_ns;
		buf_free(&c->out); /* the memory of who is quiet */
		buf_init(&c->out, OUT_MAX);
		c->out_at = 0;
	}
	for (struct exchange *x = c->exchanges, *next; x; x = next) {
		next = x->next;
		check_exchange(x, now_ns);
	}
	if (now_ns - c->progress_ns > s->stall_timeout_ns) {
		COUNT(c->api->counters.stall_timeouts);
		c->broken = true;
	} else if (waits_for_head && now_ns - c->head_began_ns > s->head_timeout_ns) {
		give_up(c, &c->api->counters.head_timeouts, some ? 408 : 0, "the request's head takes too long");
	} else if (!c->n_exchanges && !conn_pending(c) && now_ns - c->active_ns > s->idle_timeout_ns) {
		give_up(c, &c->api->counters.idle_timeouts, 0, "");
	}
	if (c->broken || c->finishing)
		conn_kick(c);
}
