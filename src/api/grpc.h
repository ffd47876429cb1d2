/* SPDX-License-Identifier: Apache-2.0 */
/*
 * grpc - gRPC over the streams of http.h: a message in, messages out, and a status at the end.
 *
 * A call is a POST whose body is messages, each behind five bytes: is it compressed, and how long. The
 * status stands in the trailers; a call that fails before it has said anything has it in the headers.
 * Requests may be compressed with gzip; what is inflated is bounded like what is not.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "api/http.h"
#include "base/buf.h"
#include "event/value.h"

enum {
	GRPC_HEAD = 5,
	GRPC_MESSAGE_MAX = 1 << 20, /* bytes of a request */
	GRPC_BODY_MAX = GRPC_MESSAGE_MAX + GRPC_HEAD,
};

/* As gRPC numbers them. */
enum grpc_status {
	GRPC_OK = 0,
	GRPC_CANCELLED = 1,
	GRPC_INVALID_ARGUMENT = 3,
	GRPC_DEADLINE_EXCEEDED = 4,
	GRPC_NOT_FOUND = 5,
	GRPC_PERMISSION_DENIED = 7,
	GRPC_RESOURCE_EXHAUSTED = 8,
	GRPC_FAILED_PRECONDITION = 9,
	GRPC_OUT_OF_RANGE = 11,
	GRPC_UNIMPLEMENTED = 12,
	GRPC_INTERNAL = 13,
	GRPC_UNAVAILABLE = 14,
};

enum grpc_coding { GRPC_IDENTITY, GRPC_GZIP, GRPC_ZSTD };

/* What a negative errno of ours means to a gRPC client, and to one of HTTP. */
enum grpc_status grpc_status_of(int r);
unsigned http_status_of(int r);

/*
 * Is it a gRPC call that we can answer? False: it has been refused. For routes with a whole body, the one
 * message it holds goes to *ret_message; it lies in the request, or inflated in `room`.
 */
bool grpc_accept(struct http_request *req);
bool grpc_message(struct http_request *req, struct buf *room, struct str *ret_message);
/* Ends a call that has not answered yet. */
void grpc_fail(struct http_request *req, enum grpc_status status, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Answers a call with one message. */
void grpc_reply(struct http_request *req, const struct buf *message);
/* Before `produce` returns HTTP_END. `message` may be NULL. */
void grpc_end(struct http_request *req, enum grpc_status status, const char *message);

/* Boot time at which the caller stops waiting (grpc-timeout); 0: never. */
uint64_t grpc_deadline(const struct http_request *req);
/* Does the caller take messages in this coding (grpc-accept-encoding)? */
bool grpc_takes(const struct http_request *req, enum grpc_coding coding);
const char *grpc_coding_name(enum grpc_coding coding);

static inline void grpc_head(char to[GRPC_HEAD], bool compressed, size_t n)
{
	to[0] = compressed;
	to[1] = (char)(n >> 24);
	to[2] = (char)(n >> 16);
	to[3] = (char)(n >> 8);
	to[4] = (char)n;
}

/*
 * Takes messages out of a body that comes in pieces, for calls whose caller goes on talking. Returns 1 and the
 * next message, 0 when there is none yet, or a negative errno with a trail.
 */
struct grpc_parser {
	struct buf bytes; /* .max = GRPC_BODY_MAX */
	size_t taken;
};
void grpc_parser_add(struct grpc_parser *p, const void *bytes, size_t n);
int grpc_parser_next(struct grpc_parser *p, struct str *ret_message);

/* A row of a table of routes: a method, what it takes and what it answers with (NULL: described elsewhere). */
#define GRPC_ROUTE(path_, role_, fn, in_, out_, sentence)                                                              \
	{ .method = "POST",                                                                                            \
	  .path = (path_),                                                                                             \
	  .role = (role_),                                                                                             \
	  .body_max = GRPC_BODY_MAX,                                                                                   \
	  .handle = (fn),                                                                                              \
	  .in = (in_),                                                                                                 \
	  .out = (out_),                                                                                               \
	  .doc = (sentence) }
