/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http - how a module serves requests: a table of routes, a request, an answer.
 *
 * One listener speaks HTTP/1.1, HTTP/2 and WebSocket, over TCP, TLS and a unix socket; a handler sees no difference but
 * in req->version. Before a handler is called, the request was parsed within bounds, its sender is known
 * (req->consumer), and its role suffices for the route.
 *
 * All callbacks of a request run on one thread, that of the loop which has its connection, and must not block: they
 * hold up the other connections of that loop. Other threads may only use a waker.
 *
 * An answer is either whole (http_reply) or a stream that is pulled: `produce` is called when the connection has taken
 * what there was, with room for HTTP_PRODUCE_MIN bytes or more, so that a producer fills large buffers and one call
 * costs little a record. A client that does not read is never asked for: its producer is just not called, and what it
 * misses is between the two of them.
 *
 *	static void hello(struct http_request *req)
 *	{
 *		http_reply(req, 200, "text/plain", "hello\n", 6);
 *	}
 *	static const struct route routes[] = {
 *		{ .method = "GET", .path = "/hello", .role = ROLE_VIEWER, .handle = hello, .doc = "says hello" },
 *	};
 *	const struct route_table table = { routes, countof(routes), my_ctx };
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "api/consumer.h"
#include "base/buf.h"

enum {
	HTTP_PRODUCE_MIN = 64 << 10, /* bytes of room that a producer may count on */
	HTTP_HEADERS_MAX = 64,       /* of a request */
	HTTP_ANSWER_HEADERS_MAX = 16,
	HTTP_TRAILERS_MAX = 8,
	HTTP_QUERY_MAX = 4096, /* bytes of one value of the query string, decoded */
	HTTP_NAME_MAX = 64,    /* and of its name */
};

struct http_request;

/* ---- routes ----------------------------------------------------------------------------------------------- */

enum param_place { PARAM_QUERY, PARAM_PATH, PARAM_HEADER };

/* What a request may bring beside its body. */
struct route_param {
	const char *name, *doc;
	enum param_place in;
	const char *type;          /* of JSON Schema; NULL: "string" */
	const char *const *values; /* that it may have: NULL-terminated. NULL: any */
	bool repeated;             /* may be there several times, or be a list with commas */
};

struct proto_message;

struct route {
	const char *method; /* "GET" (which serves HEAD too), "POST" */
	/*
	 * "/health"; one that ends with "/" takes all below it too; a segment "{id}" takes any that is not empty. Of
	 * those that fit, the one with the most that is literal wins.
	 */
	const char *path;
	enum role role;  /* ROLE_NONE: anybody, without a token */
	size_t body_max; /* bytes of a request's body; 0: none is taken */
	/* The request is there with its whole body; or, when `data` is set, with its headers. */
	void (*handle)(struct http_request *req);
	/*
	 * The next bytes of the body; `end`: these are the last (n may be 0). For bodies that never end, as those of
	 * gRPC; body_max is then no bound of the sum. Not called any more once the request is closed.
	 */
	void (*data)(struct http_request *req, const void *bytes, size_t n, bool end);
	const char *doc; /* one sentence; the reference and the OpenAPI description are made of these */

	/* What the OpenAPI description says beyond that, and http_params() holds requests to. */
	const struct route_param *params;
	size_t n_params;
	const struct proto_message *query[2]; /* whose fields are parameters of the query string, too */
	const struct proto_message *in, *out; /* of the body, and of the answer. Else: */
	const char *in_schema, *out_schema;   /* JSON Schema of them; NULL: nothing is said */
	const char *const *types;             /* of the answer; NULL-terminated. NULL: JSON, or gRPC */
};

struct proto_file;

/* The tables that the API is opened with; `ctx` is every request's req->ctx. */
struct route_table {
	const struct route *routes;
	size_t n;
	void *ctx;
	const struct proto_file
		*proto; /* of the gRPC service among them, for clients that ask what there is; or NULL */
};

/* ---- requests --------------------------------------------------------------------------------------------- */

struct http_header {
	const char *name, *value; /* the name in lower case */
};

enum http_version { HTTP_1_0, HTTP_1_1, HTTP_2 };

struct http_request {
	enum http_version version;
	const char *method;
	const char *path;      /* decoded, begins with '/', has no "." or ".." in it */
	const char *query;     /* as sent, without the '?'; never NULL */
	const char *authority; /* "" where none was sent */
	const struct http_header *headers;
	size_t n_headers;
	const char *body; /* whole, NUL-terminated; never NULL */
	size_t body_len;
	const char *peer;                /* "127.0.0.1:4711", "pid:17 uid:0" */
	const struct consumer *consumer; /* never NULL; keep it with consumer_ref() */
	const struct route *route;
	void *ctx;  /* of the route table */
	void *data; /* the handler's own */
};

/* NULL where there is none. `name` in lower case. */
const char *http_header(const struct http_request *req, const char *name);
/* The decoded value of a name in the query string; false: it is not there, cannot be decoded, or has no room. */
bool http_query(const struct http_request *req, const char *name, char *to, size_t size);
/* What stands in the place of "{id}" of the route's path; false: nothing, or it has no room. */
bool http_path_value(const struct http_request *req, const char *name, char *to, size_t size);
/*
 * Calls fn for each parameter of the query string, decoded, in its order, and returns what it returns where that is
 * negative. -EINVAL for one that the route's table does not have: a slip would otherwise filter nothing.
 */
int http_params(const struct http_request *req, int (*fn)(void *arg, const char *name, const char *value), void *arg);

/* ---- answers ---------------------------------------------------------------------------------------------- */

/* Adds a header (or, after it has begun, nothing: false) to the answer. `name` in lower case; both are copied. */
bool http_answer_header(struct http_request *req, const char *name, const char *value);
/* The whole answer; the bytes are copied. `type` is the content-type. */
void http_reply(struct http_request *req, unsigned status, const char *type, const void *body, size_t n);
void http_reply_buf(struct http_request *req, unsigned status, const char *type, const struct buf *body);
/* {"error":{"status":400,"message":"..."}}; to a gRPC client the grpc-status that corresponds. Counted by status. */
void http_refuse(struct http_request *req, unsigned status, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/*
 * Answers with what `make` writes into `out` (at most 16 MiB). It runs on another thread, one at a time, and may block;
 * it returns the status. `ctx` must live as long as the API.
 */
void http_reply_from(struct http_request *req, const char *type, unsigned (*make)(void *ctx, struct buf *out),
		     void *ctx);

/*
 * The same for what belongs to one request: `make` runs on the other thread, then `answer` on the request's, unless its
 * client has gone, and `release` once in the end, on any thread.
 */
struct http_work {
	void (*make)(void *ctx);
	void (*answer)(void *ctx, struct http_request *req);
	void (*release)(void *ctx);
};
void http_work(struct http_request *req, const struct http_work *work, void *ctx);
/*
 * On a thread of its own, for what may take long: how many there are is the caller's affair. `make` runs in any case,
 * also when the client has gone. False: there is no thread; nothing is called, and nothing is answered yet.
 */
bool http_work_alone(struct http_request *req, const struct http_work *work, void *ctx);

enum {
	HTTP_IDLE = 0,   /* nothing now: call again after a wake */
	HTTP_END = -1,   /* the body is complete; trailers follow */
	HTTP_ABORT = -2, /* the body cannot be completed: the client is told by a reset */
};

struct http_stream {
	/* Fills at most `room` bytes (at least HTTP_PRODUCE_MIN) and returns how many, or one of the above. */
	ssize_t (*produce)(void *ctx, char *to, size_t room);
	/* WebSocket only: a whole message of the client's, text or binary (UTF-8 is checked). */
	void (*message)(void *ctx, bool text, const char *bytes, size_t n);
	/*
	 * Called once, whatever happens: `complete` when all was sent, else the client has gone (or the server ends).
	 * Nothing is called after it, and the request is no more.
	 */
	void (*closed)(void *ctx, bool complete);
};

/*
 * Begins a streamed answer: headers go out now, `produce` is called as soon as there is room. `closed` is called in
 * every case, also when this is refused (false), as when its consumer has as many streams as it may.
 */
bool http_stream(struct http_request *req, unsigned status, const char *type, const struct http_stream *stream,
		 void *ctx);
/* Sent after the body: HTTP/2 and chunked HTTP/1.1. To be set before `produce` returns HTTP_END. */
bool http_trailer(struct http_request *req, const char *name, const char *value);
/* For a handler that answers nothing at once and no stream either: told when the client has gone. */
void http_on_cancel(struct http_request *req, void (*canceled)(void *ctx), void *ctx);

/*
 * Waking. http_wake_in(): loop thread; produce is called again after so long, at the latest. A waker may be used by
 * any thread at any time, also when its request is long gone: then it does nothing. Waking what is awake costs one
 * atomic exchange.
 */
void http_wake_in(struct http_request *req, uint64_t ns);
struct http_waker;
struct http_waker *http_waker(struct http_request *req); /* a reference; NULL: no memory */
void http_wake(struct http_waker *waker);
struct http_waker *http_waker_ref(struct http_waker *waker);
void http_waker_free(struct http_waker *waker); /* one reference */
DEFINE_AUTO(http_waker)

/* What the audit log says of this request when it ends. The filter as the client wrote it; it is cut where too long. */
void http_audit_filter(struct http_request *req, const char *filter, size_t n);
/* Adds to what the request has read, and to its consumer's sums. Once a batch. */
void http_audit_records(struct http_request *req, uint64_t records, uint64_t lost);

/* ---- WebSocket -------------------------------------------------------------------------------------------- */

/* Does the request ask for an upgrade that http_websocket() could grant? */
bool http_wants_websocket(const struct http_request *req);
/*
 * Grants it; `protocol` is the Sec-WebSocket-Protocol that is chosen, or NULL. `produce` then writes whole frames:
 * each call may write any number of them, but none in part. Pings and closing are answered without it.
 */
bool http_websocket(struct http_request *req, const char *protocol, const struct http_stream *stream, void *ctx);

enum { WS_HEAD_MAX = 10 };
/* Writes the head of a frame from the server, text or binary, with n bytes of payload to follow; returns its size. */
static inline size_t ws_head(char to[WS_HEAD_MAX], bool text, uint64_t n)
{
	to[0] = (char)(0x80 | (text ? 1 : 2));
	if (n < 126) {
		to[1] = (char)n;
		return 2;
	}
	if (n <= 0xffff) {
		to[1] = 126;
		to[2] = (char)(n >> 8);
		to[3] = (char)n;
		return 4;
	}
	to[1] = 127;
	for (int i = 0; i < 8; i++)
		to[2 + i] = (char)(n >> (56 - 8 * i));
	return 10;
}
