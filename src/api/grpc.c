/* SPDX-License-Identifier: Apache-2.0 */
#include "api/grpc.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>
#include "base/clock.h"
#include "base/err.h"

enum { TEXT_MAX = 1024, GZIP_WINDOW = 15 + 16 };

enum grpc_status grpc_status_of(int r)
{
	switch (r) {
	case -EINVAL:
		return GRPC_INVALID_ARGUMENT;
	case -ERANGE:
	case -ESTALE:
		return GRPC_OUT_OF_RANGE;
	case -ENOENT:
		return GRPC_NOT_FOUND;
	case -EPERM:
	case -EACCES:
		return GRPC_PERMISSION_DENIED;
	case -E2BIG:
	case -EBUSY:
	case -ENOMEM:
		return GRPC_RESOURCE_EXHAUSTED;
	case -EOPNOTSUPP:
		return GRPC_UNIMPLEMENTED;
	case -ENODATA:
	case -EEXIST:
		return GRPC_FAILED_PRECONDITION;
	case -ETIMEDOUT:
		return GRPC_DEADLINE_EXCEEDED;
	default:
		return GRPC_INTERNAL;
	}
}

unsigned http_status_of(int r)
{
	switch (r) {
	case -EINVAL:
		return 400;
	case -ERANGE:
	case -ESTALE:
		return 410;
	case -ENOENT:
		return 404;
	case -EPERM:
	case -EACCES:
		return 403;
	case -E2BIG:
		return 413;
	case -EBUSY:
		return 429;
	case -ENOMEM:
		return 503;
	case -EOPNOTSUPP:
		return 501;
	case -ENODATA:
	case -EEXIST:
		return 409;
	default:
		return 500;
	}
}

const char *grpc_coding_name(enum grpc_coding coding)
{
	static const char *const names[] = { "identity", "gzip", "zstd" };

	return names[coding];
}

/* ---- the status ----------------------------------------------------------------------------- */

/* As gRPC wants it: printable ASCII but '%', the rest as %XX. */
static void percent(const char *text, char *to, size_t size)
{
	size_t n = 0;

	for (; *text && n + 4 < size; text++) {
		unsigned char c = (unsigned char)*text;

		if (c >= 0x20 && c < 0x7f && c != '%')
			to[n++] = (char)c;
		else
			n += (size_t)snprintf(to + n, size - n, "%%%02X", c);
	}
	to[n] = 0;
}

void grpc_end(struct http_request *req, enum grpc_status status, const char *message)
{
	char text[TEXT_MAX], number[16];

	(void)snprintf(number, sizeof(number), "%d", status);
	(void)http_trailer(req, "grpc-status", number);
	if (!message || !*message)
		return;
	percent(message, text, sizeof(text));
	(void)http_trailer(req, "grpc-message", text);
}

void grpc_fail(struct http_request *req, enum grpc_status status, const char *fmt, ...)
{
	char text[TEXT_MAX], encoded[TEXT_MAX], number[16];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	percent(text, encoded, sizeof(encoded));
	(void)snprintf(number, sizeof(number), "%d", status);
	(void)http_answer_header(req, "grpc-status", number);
	(void)http_answer_header(req, "grpc-message", encoded);
	http_reply(req, 200, "application/grpc", "", 0);
}

/* ---- what comes in ----------------------------------------------------------------------------- */

static bool is_grpc(const char *type)
{
	/* "application/grpc", "application/grpc+proto", and parameters; not grpc-web. */
	static const char want[] = "application/grpc";
	size_t n = sizeof(want) - 1;

	return type && !strncasecmp(type, want, n) &&
	       (!type[n] || !strncasecmp(type + n, "+proto", 6) || type[n] == ';');
}

bool grpc_accept(struct http_request *req)
{
	if (!is_grpc(http_header(req, "content-type"))) {
		http_refuse(req, 415, "this is a gRPC method: the content-type must be application/grpc");
		return false;
	}
	if (req->version != HTTP_2) {
		http_refuse(req, 505, "gRPC needs HTTP/2");
		return false;
	}
	return true;
}

static int inflate_all(struct str in, struct buf *out)
{
	z_stream z = { .next_in = (unsigned char *)(uintptr_t)in.p, .avail_in = (unsigned)in.n };
	unsigned char chunk[16384];
	int r = inflateInit2(&z, GZIP_WINDOW);

	if (r != Z_OK)
		return err_new(-ENOMEM, "no memory to inflate a message");
	do {
		z.next_out = chunk;
		z.avail_out = sizeof(chunk);
		r = inflate(&z, Z_NO_FLUSH);
		buf_add(out, chunk, sizeof(chunk) - z.avail_out);
	} while (r == Z_OK && !out->failed && (z.avail_in || !z.avail_out));
	(void)inflateEnd(&z);
	if (out->failed)
		return err_new(-E2BIG, "the message inflates to more than %zu bytes", out->max);
	return r == Z_STREAM_END && !z.avail_in ? 0 : err_new(-EINVAL, "the message is no gzip");
}

static int open_frame(struct str body, const char *coding, struct buf *room, struct str *ret_message)
{
	const unsigned char *p = (const unsigned char *)body.p;
	size_t n;
	int r;

	if (body.n < GRPC_HEAD)
		return err_new(-EINVAL, "the body ends before the message");
	n = (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4];
	if (n > GRPC_MESSAGE_MAX)
		return err_new(-E2BIG, "the message has more than %d bytes", GRPC_MESSAGE_MAX);
	if (n != body.n - GRPC_HEAD)
		return err_new(-EINVAL, n > body.n - GRPC_HEAD ? "the body ends within the message"
							       : "more than one message in the body");
	*ret_message = (struct str) { body.p + GRPC_HEAD, n };
	if (p[0] == 0)
		return 0;
	if (p[0] != 1)
		return err_new(-EINVAL, "the head of the message is none of gRPC's");
	if (!coding || strcmp(coding, "gzip") != 0)
		return err_new(-EOPNOTSUPP, "messages are taken as they are, or with grpc-encoding gzip");
	buf_init(room, GRPC_MESSAGE_MAX);
	r = inflate_all(*ret_message, room);
	*ret_message = (struct str) { buf_text(room), room->len };
	return r;
}

bool grpc_message(struct http_request *req, struct buf *room, struct str *ret_message)
{
	int r = open_frame((struct str) { req->body, req->body_len }, http_header(req, "grpc-encoding"), room,
			   ret_message);

	if (!r)
		return true;
	if (r == -EOPNOTSUPP)
		(void)http_answer_header(req, "grpc-accept-encoding", "identity,gzip");
	grpc_fail(req, grpc_status_of(r), "%s", err_trail());
	err_clear();
	return false;
}

uint64_t grpc_deadline(const struct http_request *req)
{
	static const struct {
		char unit;
		uint64_t ns;
	} units[] = {
		{ 'H', 3600 * NS_PER_S }, { 'M', 60 * NS_PER_S }, { 'S', NS_PER_S },
		{ 'm', NS_PER_MS },       { 'u', NS_PER_US },     { 'n', 1 },
	};
	const char *text = http_header(req, "grpc-timeout");
	unsigned long v;
	char *end;

	/* At most eight digits, so that nothing overflows. */
	if (!text || *text < '0' || *text > '9')
		return 0;
	v = strtoul(text, &end, 10);
	if (end - text > 8)
		return 0;
	for (size_t i = 0; i < countof(units); i++)
		if (end[0] == units[i].unit && !end[1])
			return clock_boot_ns() + v * units[i].ns;
	return 0;
}

bool grpc_takes(const struct http_request *req, enum grpc_coding coding)
{
	const char *list = http_header(req, "grpc-accept-encoding"), *name = grpc_coding_name(coding);
	size_t n = strlen(name);

	if (coding == GRPC_IDENTITY)
		return true;
	for (; list && *list; list += strcspn(list, ","), list += *list == ',') {
		list += strspn(list, " ");
		if (!strncmp(list, name, n) && (!list[n] || list[n] == ',' || list[n] == ' '))
			return true;
	}
	return false;
}

void grpc_parser_add(struct grpc_parser *p, const void *bytes, size_t n)
{
	if (p->taken) {
		memmove(p->bytes.data, p->bytes.data + p->taken, p->bytes.len - p->taken);
		p->bytes.len -= p->taken;
		p->taken = 0;
	}
	if (n)
		buf_add(&p->bytes, bytes, n);
}

int grpc_parser_next(struct grpc_parser *p, struct str *ret_message)
{
	const unsigned char *head;
	size_t have = p->bytes.len - p->taken, n;

	if (p->bytes.failed)
		return err_new(-E2BIG, "the message has more than %d bytes", GRPC_MESSAGE_MAX);
	if (have < GRPC_HEAD)
		return 0;
	head = (const unsigned char *)p->bytes.data + p->taken;
	n = (size_t)head[1] << 24 | (size_t)head[2] << 16 | (size_t)head[3] << 8 | head[4];
	if (n > GRPC_MESSAGE_MAX)
		return err_new(-E2BIG, "the message has more than %d bytes", GRPC_MESSAGE_MAX);
	if (have < GRPC_HEAD + n)
		return 0;
	if (head[0])
		return err_new(-EOPNOTSUPP, "messages of this method are taken as they are, not compressed");
	*ret_message = (struct str) { (const char *)head + GRPC_HEAD, n };
	p->taken += GRPC_HEAD + n;
	return 1;
}

/* ---- one message out ------------------------------------------------------------------------------ */

struct unary {
	struct http_request *req;
	size_t at, len;
	char bytes[];
};

static ssize_t unary_produce(void *ctx, char *to, size_t room)
{
	struct unary *u = ctx;
	size_t n = u->len - u->at < room ? u->len - u->at : room;

	if (!n) {
		grpc_end(u->req, GRPC_OK, NULL);
		return HTTP_END;
	}
	memcpy(to, u->bytes + u->at, n);
	u->at += n;
	return (ssize_t)n;
}

static void unary_closed(void *ctx, bool complete)
{
	(void)complete;
	free(ctx);
}

void grpc_reply(struct http_request *req, const struct buf *message)
{
	static const struct http_stream stream = { .produce = unary_produce, .closed = unary_closed };
	struct unary *u = message->failed ? NULL : malloc(sizeof(*u) + GRPC_HEAD + message->len);

	if (!u) {
		grpc_fail(req, GRPC_RESOURCE_EXHAUSTED, "no memory for the answer");
		return;
	}
	*u = (struct unary) { .req = req, .len = GRPC_HEAD + message->len };
	grpc_head(u->bytes, false, message->len);
	memcpy(u->bytes + GRPC_HEAD, buf_text(message), message->len);
	(void)http_stream(req, 200, "application/grpc", &stream, u);
}
