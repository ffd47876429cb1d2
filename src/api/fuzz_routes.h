/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_routes - one route of each shape, for fuzz targets that drive a connection. */
#pragma once
#include <string.h>
#include "api/rig.h"

static void fuzz_whole(struct http_request *req)
{
	char value[64] = "";

	(void)http_query(req, "q", value, sizeof(value));
	http_audit_filter(req, value, strlen(value));
	http_reply(req, 200, "text/plain", req->body, req->body_len);
}

/* A few bytes, then the end. */
struct fuzz_source {
	unsigned left;
	struct http_request *req;
};

static inline ssize_t fuzz_produce(void *ctx, char *to, size_t room)
{
	struct fuzz_source *s = ctx;

	(void)room;
	if (!s->left)
		return HTTP_ABORT;
	if (--s->left == 0) {
		(void)http_trailer(s->req, "x-end", "1");
		return HTTP_END;
	}
	memcpy(to, "\x82\x01x", 3); /* a whole frame, where it is a WebSocket */
	return s->left == 2 ? HTTP_IDLE : 3;
}

static inline void fuzz_message(void *ctx, bool text, const char *bytes, size_t n)
{
	struct fuzz_source *s = ctx;

	(void)text;
	s->left += n && bytes[0] == '+';
}

static inline void fuzz_closed(void *ctx, bool complete)
{
	(void)complete;
	free(ctx);
}

static const struct http_stream fuzz_stream_ops = { fuzz_produce, fuzz_message, fuzz_closed };

static void fuzz_stream(struct http_request *req)
{
	struct fuzz_source *s = calloc(1, sizeof(*s));

	s->req = req;
	s->left = 5;
	req->data = s;
	if (http_wants_websocket(req))
		(void)http_websocket(req, NULL, &fuzz_stream_ops, s);
	else
		(void)http_stream(req, 200, "text/plain", &fuzz_stream_ops, s);
}

static void fuzz_data(struct http_request *req, const void *bytes, size_t n, bool end)
{
	(void)bytes;
	(void)end;
	http_audit_records(req, n, 0);
}

static void fuzz_refuse(struct http_request *req)
{
	http_refuse(req, 409, "%s", req->path);
}

static const struct route fuzz_route_rows[] = {
	{ .method = "GET", .path = "/", .role = ROLE_NONE, .handle = fuzz_whole },
	{ .method = "POST", .path = "/", .role = ROLE_VIEWER, .body_max = 64, .handle = fuzz_whole },
	{ .method = "GET", .path = "/s", .role = ROLE_VIEWER, .handle = fuzz_stream },
	{ .method = "POST", .path = "/s", .role = ROLE_VIEWER, .handle = fuzz_stream, .data = fuzz_data },
	{ .method = "GET", .path = "/r", .role = ROLE_VIEWER, .handle = fuzz_refuse },
	{ .method = "GET", .path = "/a", .role = ROLE_ADMIN, .handle = fuzz_whole },
};
static const struct route_table fuzz_table = { fuzz_route_rows, countof(fuzz_route_rows), NULL };
