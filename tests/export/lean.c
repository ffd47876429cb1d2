/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/export/lean.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "api/proto_event.h"

enum {
	FRAME_HEAD = 9,
	DATA = 0,
	HEADERS = 1,
	RST_STREAM = 3,
	SETTINGS = 4,
	PING = 6,
	GOAWAY = 7,
	WINDOW_UPDATE = 8,
	END_STREAM = 1,
	ACK = 1,
	END_HEADERS = 4,
	WINDOW = 0x7fffffff,
	UPDATE_AFTER = 1 << 29,
	BODY_ROOM = 4 << 20,
};

static bool put(struct lean *l, const void *bytes, size_t n)
{
	const char *p = bytes;

	while (n) {
		ssize_t sent = l->ssl ? SSL_write(l->ssl, p, (int)n) : send(l->fd, p, n, MSG_NOSIGNAL);

		if (sent <= 0)
			return false;
		p += sent;
		n -= (size_t)sent;
	}
	return true;
}

/* ---- HTTP/2 ----------------------------------------------------------------------------------- */

static size_t frame(unsigned char *to, unsigned type, unsigned flags, unsigned stream, const void *payload, size_t n)
{
	to[0] = (unsigned char)(n >> 16);
	to[1] = (unsigned char)(n >> 8);
	to[2] = (unsigned char)n;
	to[3] = (unsigned char)type;
	to[4] = (unsigned char)flags;
	to[5] = to[6] = to[7] = 0;
	to[8] = (unsigned char)stream;
	if (n)
		memcpy(to + FRAME_HEAD, payload, n);
	return FRAME_HEAD + n;
}

static size_t window(unsigned char *to, unsigned stream, unsigned by)
{
	unsigned char n[4] = { (unsigned char)(by >> 24), (unsigned char)(by >> 16), (unsigned char)(by >> 8),
			       (unsigned char)by };

	return frame(to, WINDOW_UPDATE, 0, stream, n, 4);
}

/* A literal header, not indexed and not compressed. */
static size_t header(unsigned char *to, const char *name, const char *value)
{
	size_t n = strlen(name), m = strlen(value);

	to[0] = 0;
	to[1] = (unsigned char)n;
	memcpy(to + 2, name, n);
	to[2 + n] = (unsigned char)m;
	memcpy(to + 3 + n, value, m);
	return 3 + n + m;
}

static bool ask_grpc(struct lean *l, const void *request, size_t n)
{
	static const unsigned char settings[] = { 0, 2, 0, 0, 0, 0, 0, 4, 0x7f, 0xff, 0xff, 0xff };
	unsigned char out[2048], heads[512], message[512];
	size_t at = 0, h = 0;

	memcpy(out, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
	at = 24;
	at += frame(out + at, SETTINGS, 0, 0, settings, sizeof(settings));
	at += window(out + at, 0, WINDOW - 65535);
	h += header(heads + h, ":method", "POST");
	h += header(heads + h, ":scheme", l->ssl ? "https" : "http");
	h += header(heads + h, ":path",
		    l->form == LEAN_EVENTS ? "/shrike.v1.EbpfExport/StreamRawEvents"
					   : "/shrike.v1.EbpfExport/StreamRawEventBatches");
	h += header(heads + h, ":authority", "localhost");
	h += header(heads + h, "content-type", "application/grpc");
	h += header(heads + h, "te", "trailers");
	at += frame(out + at, HEADERS, END_HEADERS, 1, heads, h);
	message[0] = message[1] = message[2] = message[3] = 0;
	message[4] = (unsigned char)n;
	if (n)
		memcpy(message + 5, request, n);
	at += frame(out + at, DATA, END_STREAM, 1, message, 5 + n);
	return put(l, out, at);
}

static void look_at_event(struct lean *l, const unsigned char *p, size_t n)
{
	struct proto_reader r = { p, p + n };
	struct proto_item item;
	bool real = false;

	while (proto_next(&r, &item) > 0) {
		if (item.number == RAW_LOST)
			l->lost += item.v;
		real |= item.number >= RAW_KIND_FIRST;
	}
	l->events += real;
	l->noted += !real;
}

/* The events of a message. A batch has nothing but events in it. */
static void take_message(struct lean *l, const unsigned char *p, size_t n)
{
	const unsigned char *end = p + n;

	if (l->form == LEAN_EVENTS || l->form == LEAN_WS_JSON) {
		if (l->look_inside && l->form == LEAN_EVENTS)
			look_at_event(l, p, n);
		else
			l->events++;
		return;
	}
	while (p < end) {
		size_t len = 0;
		unsigned shift = 0;

		for (p++; *p & 0x80; shift += 7)
			len |= (size_t)(*p++ & 0x7f) << shift;
		len |= (size_t)*p++ << shift;
		if (l->look_inside)
			look_at_event(l, p, len);
		else
			l->events++;
		p += len;
	}
}

/* Bytes of the body: messages, each behind five bytes. Whole ones are looked at where they lie. */
static void take_body(struct lean *l, const unsigned char *p, size_t n)
{
	l->bytes += n;
	if (l->body_n) {
		size_t take = n < BODY_ROOM - l->body_n ? n : BODY_ROOM - l->body_n;

		memcpy(l->body + l->body_n, p, take);
		l->body_n += take;
		p = l->body;
		n = l->body_n;
	}
	while (n >= 5) {
		size_t len = (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4];

		if (n < 5 + len)
			break;
		take_message(l, p + 5, len);
		p += 5 + len;
		n -= 5 + len;
	}
	memmove(l->body, p, n);
	l->body_n = n;
}

static bool take_frame(struct lean *l, const unsigned char *head, size_t n)
{
	unsigned char out[FRAME_HEAD * 2 + 32];

	switch (head[3]) {
	case DATA:
		take_body(l, head + FRAME_HEAD, n);
		l->unacked += n;
		if (l->unacked >= UPDATE_AFTER) {
			size_t at = window(out, 0, (unsigned)l->unacked);

			at += window(out + at, 1, (unsigned)l->unacked);
			l->unacked = 0;
			if (!put(l, out, at))
				return false;
		}
		break;
	case SETTINGS:
		return head[4] & ACK || put(l, out, frame(out, SETTINGS, ACK, 0, NULL, 0));
	case PING:
		return head[4] & ACK || put(l, out, frame(out, PING, ACK, 0, head + FRAME_HEAD, 8));
	case RST_STREAM:
	case GOAWAY:
		l->ended = true;
		break;
	default:
		break;
	}
	if ((head[3] == DATA || head[3] == HEADERS) && head[4] & END_STREAM)
		l->ended = true;
	return true;
}

static size_t take_frames(struct lean *l)
{
	size_t at = 0;

	while (!l->ended && l->n - at >= FRAME_HEAD) {
		const unsigned char *head = l->in + at;
		size_t n = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];

		if (l->n - at < FRAME_HEAD + n)
			break;
		if (!take_frame(l, head, n))
			l->ended = true;
		at += FRAME_HEAD + n;
	}
	return at;
}

/* ---- WebSocket ----------------------------------------------------------------------------------- */

static bool ask_websocket(struct lean *l, const char *query)
{
	char out[1024];
	unsigned char c, end = 0;
	int n = snprintf(out, sizeof(out),
			 "GET /api/v1/ebpf/stream?%s HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
			 "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
			 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
			 query);

	if (!put(l, out, (size_t)n))
		return false;
	/* Up to the empty line. */
	for (unsigned newlines = 0; newlines < 2;) {
		if ((l->ssl ? SSL_read(l->ssl, &c, 1) : recv(l->fd, &c, 1, 0)) != 1)
			return false;
		newlines = c == '\n' ? newlines + 1 : c == '\r' ? newlines : 0;
		end = c;
	}
	return end == '\n';
}

static size_t take_ws_frames(struct lean *l)
{
	size_t at = 0;

	while (l->n - at >= 10) {
		const unsigned char *p = l->in + at;
		size_t n = p[1] & 0x7f, head = 2;

		if (n == 126) {
			n = (size_t)p[2] << 8 | p[3];
			head = 4;
		} else if (n == 127) {
			n = (size_t)p[6] << 24 | (size_t)p[7] << 16 | (size_t)p[8] << 8 | p[9];
			head = 10;
		}
		if (l->n - at < head + n)
			break;
		if ((p[0] & 0xf) == 8)
			l->ended = true;
		else
			take_message(l, p + head, n);
		l->bytes += n;
		at += head + n;
	}
	return at;
}

/* ---- all ------------------------------------------------------------------------------------------ */

bool lean_open(struct lean *l, unsigned port, SSL_CTX *tls, enum lean_form form, const void *request, size_t n)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };

	*l = (struct lean) { .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), .form = form };
	l->in = malloc(LEAN_ROOM);
	l->body = malloc(BODY_ROOM);
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (l->fd < 0 || !l->in || !l->body || connect(l->fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		return false;
	if (tls) {
		static const unsigned char h2[] = "\x02h2", h1[] = "\x08http/1.1";

		l->ssl = SSL_new(tls);
		if (!l->ssl || !SSL_set_fd(l->ssl, l->fd))
			return false;
		if (form == LEAN_WS_JSON || form == LEAN_WS_PROTO)
			(void)SSL_set_alpn_protos(l->ssl, h1, sizeof(h1) - 1);
		else
			(void)SSL_set_alpn_protos(l->ssl, h2, sizeof(h2) - 1);
		if (SSL_connect(l->ssl) != 1)
			return false;
	}
	return form == LEAN_WS_JSON || form == LEAN_WS_PROTO ? ask_websocket(l, request) : ask_grpc(l, request, n);
}

bool lean_read(struct lean *l)
{
	size_t used;
	ssize_t n = l->ssl ? SSL_read(l->ssl, l->in + l->n, (int)(LEAN_ROOM - l->n))
			   : recv(l->fd, l->in + l->n, LEAN_ROOM - l->n, 0);

	if (n <= 0) {
		l->ended |= n == 0 || (errno != EAGAIN && errno != EINTR);
		return false;
	}
	l->n += (size_t)n;
	used = l->form == LEAN_WS_JSON || l->form == LEAN_WS_PROTO ? take_ws_frames(l) : take_frames(l);
	memmove(l->in, l->in + used, l->n - used);
	l->n -= used;
	return !l->ended;
}

void lean_close(struct lean *l)
{
	SSL_free(l->ssl);
	if (l->fd >= 0)
		(void)close(l->fd);
	free(l->in);
	free(l->body);
	*l = (struct lean) { .fd = -1 };
}
