/* SPDX-License-Identifier: Apache-2.0 */
/*
 * internal - what the files of this folder share. Nobody else includes it.
 *
 * A connection (struct conn) is bytes in, bytes out, and knows no sockets, so that tests and fuzzers can drive it. A
 * loop (struct loop) is a thread with sockets and connections. An exchange is a request with its answer.
 *
 *	socket -> TLS -> conn_feed() -> http1 | http2 | ws -> exchange -> handler
 *	socket <- TLS <- conn_fill() <- http1 | http2 | ws <- exchange <- producer
 */
#pragma once
#include <nghttp2/nghttp2.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include "api/access.h"
#include "api/api.h"
#include "api/audit.h"
#include "api/grpc_services.h"
#include "api/http.h"
#include "api/http1.h"
#include "api/ws.h"
#include "base/arena.h"

enum {
	OUT_HIGH = 128 << 10,          /* bytes that wait to be sent; with more, nothing is produced */
	IN_HIGH = 64 << 10,            /* bytes that wait to be read; with more, the socket is left alone */
	H2_STREAMS_MAX = 128,          /* of a connection */
	H2_WINDOW = 1 << 20,           /* bytes that a client may send without being asked to wait */
	EXCHANGE_BYTES_MAX = 96 << 10, /* memory for the headers of a request and its answer */
	REPLY_MAX = 16 << 20,          /* bytes of a whole answer */
	AUDIT_FILTER_MAX = 1024,
	PATH_MAX_BYTES = 2048, /* of a target; a longer one is refused with 414 */
};

/* ---- counters --------------------------------------------------------------------------------------------- */

struct api_counters {
	_Atomic uint64_t connections; /* accepted */
	_Atomic uint64_t connections_open;
	_Atomic uint64_t connections_refused; /* too many */
	_Atomic uint64_t requests[3];         /* by enum http_version */
	_Atomic uint64_t websockets, streams, streams_open;
	_Atomic uint64_t answers[6];   /* by the first digit of the status */
	_Atomic uint64_t refused[600]; /* by status */
	_Atomic uint64_t bad_http1, bad_http2, bad_websocket, tls_failed;
	_Atomic uint64_t head_timeouts, body_timeouts, idle_timeouts, stall_timeouts;
	_Atomic uint64_t bytes_in, bytes_out, records, records_lost;
	_Atomic uint64_t refusals_unlogged;
};

#define COUNT(counter)      ((void)atomic_fetch_add_explicit(&(counter), 1, memory_order_relaxed))
#define COUNT_N(counter, n) ((void)atomic_fetch_add_explicit(&(counter), (n), memory_order_relaxed))

/* ---- what all connections share --------------------------------------------------------------------------- */

struct tls;
struct work;
struct loop;
enum { LOOPS_MAX = 8, TABLES_MAX = 16 };

struct api {
	struct api_options options;
	struct api_settings settings;  /* numbers alone; the strings are below */
	struct grpc_services services; /* that the tables have */
	struct route_table tables[TABLES_MAX];
	size_t n_tables;
	struct access *access;
	struct audit *audit;
	struct api_counters counters;
	_Atomic uint64_t refusal_bucket; /* lines of refusals in the audit log */
	struct tls *tls;                 /* NULL: plain */
	struct work *work;
	int tcp_fd, unix_fd;
	char address[128], socket_path[108];
	bool unix_bound, made_dir;
	uint64_t socket_ino;
	uint32_t socket_group;
	struct loop *loops[LOOPS_MAX];
	unsigned n_loops;
};

/* The API's own routes: /health and so on. */
extern const struct route api_routes[];
extern const size_t api_n_routes;

/* ---- waking ----------------------------------------------------------------------------------------------- */

/* Where wakers put themselves for a loop; outlives it for as long as a waker has it. */
struct mailbox {
	pthread_mutex_t lock;
	struct http_waker *first, *last;
	int event_fd;
	_Atomic unsigned refs;
};

struct http_waker {
	_Atomic unsigned refs;
	_Atomic bool pending;
	struct mailbox *box;
	struct exchange *exchange; /* of the loop's thread; NULL once it has ended */
	struct http_waker *next;   /* in the mailbox, under its lock */
};

/* ---- exchanges -------------------------------------------------------------------------------------------- */

enum exchange_state {
	EXCHANGE_HEAD, /* the request is coming in */
	EXCHANGE_BODY,
	EXCHANGE_HANDLED, /* its handler was called, and has not answered yet */
	EXCHANGE_WHOLE,   /* the answer is in `reply` */
	EXCHANGE_STREAM,
	EXCHANGE_OVER, /* nothing more comes of it */
};

struct answer_header {
	const char *name, *value;
};

struct exchange {
	struct http_request req; /* first: handlers have a pointer to it */
	struct conn *conn;
	struct exchange *prev, *next; /* of the connection */
	struct arena memory;
	enum exchange_state state;
	struct consumer *consumer;
	struct http_header in[HTTP_HEADERS_MAX];
	size_t head_bytes;
	struct buf body;
	bool body_piecewise, body_ended, is_head_request;
	unsigned refused_early; /* HTTP/2: the status to refuse with once the headers are all there */
	const char *refused_why;
	int32_t stream_id;

	unsigned status;
	struct answer_header out[HTTP_ANSWER_HEADERS_MAX];
	size_t n_out;
	struct answer_header trailers[HTTP_TRAILERS_MAX];
	size_t n_trailers;
	struct buf reply;
	const struct http_stream *stream;
	void *stream_ctx;
	bool stream_counted, stream_told;
	char *stage; /* what was produced and not sent yet */
	const char *chunk;
	size_t n_chunk;
	bool ended, deferred;
	void (*canceled)(void *ctx);
	void *canceled_ctx;

	struct http_waker *waker;
	uint64_t wake_at_ns; /* 0: not */
	struct exchange *wake_prev, *wake_next;

	struct work_job *job; /* whose result is waited for */

	uint64_t began_ns, head_end_ns, progress_ns;
	char filter[AUDIT_FILTER_MAX];
	uint64_t records, lost, sent;
};

struct exchange *exchange_new(struct conn *c);
/* Its stream and whoever waits for it are told; it is audited, and freed. */
void exchange_end(struct exchange *x, bool complete);
/* A header of the request: copied, counted. False: too many or too large. */
bool exchange_add_header(struct exchange *x, const char *name, size_t n_name, const char *value, size_t n_value);
/* Method and headers are there: finds out the path, the route, who asks. Answers itself where that is refused. `length`
 * of the body, or -1 when it is not known. True: go on with the body. */
bool exchange_route(struct exchange *x, const char *target, size_t n, int64_t length);
/* Bytes of the body; false: it was refused. */
bool exchange_body(struct exchange *x, const char *bytes, size_t n);
void exchange_body_end(struct exchange *x);

enum stage { STAGE_READY, STAGE_IDLE, STAGE_END, STAGE_ABORT };
/* Makes sure that x->chunk has bytes, and says what if it has none. */
enum stage exchange_stage(struct exchange *x);
void exchange_used(struct exchange *x, size_t n);
static inline bool exchange_has_answer(const struct exchange *x)
{
	return x->state >= EXCHANGE_WHOLE;
}

/* ---- connections ------------------------------------------------------------------------------------------ */

enum protocol { PROTOCOL_UNKNOWN, PROTOCOL_HTTP1, PROTOCOL_HTTP2, PROTOCOL_WEBSOCKET };

struct conn {
	struct api *api;
	struct loop *loop;
	struct peer peer;
	enum protocol protocol;
	struct exchange *exchanges;
	size_t n_exchanges;
	struct buf in;
	size_t in_at, in_scanned;
	struct buf out;
	size_t out_at;
	bool kicked;            /* has something to send, perhaps; is in the loop's list */
	bool finishing;         /* is to be closed when all is sent */
	bool broken;            /* is to be closed at once */
	bool eof;               /* the client sends no more */
	uint64_t head_began_ns; /* HTTP/1.1: the first byte of the head that is coming in */
	uint64_t active_ns;     /* bytes came */
	uint64_t progress_ns;   /* bytes were sent, or there were none to send */
	struct conn *kick_next;

	/* HTTP/1.1: one exchange at a time */
	struct exchange *current;
	uint64_t body_left;
	bool body_chunked, keep_alive, chunked_answer, closes_body;
	struct http1_chunks chunks;

	/* HTTP/2 */
	nghttp2_session *h2;

	/* WebSocket */
	struct ws_reader ws;
	bool ws_close_sent, ws_close_got;
};

void conn_init(struct conn *c, struct api *api, struct loop *loop, const struct peer *peer);
void conn_clear(struct conn *c);
void conn_set_protocol(struct conn *c, enum protocol protocol);
/* Bytes from the client. */
void conn_feed(struct conn *c, const char *bytes, size_t n);
bool conn_wants_input(const struct conn *c);
/* Makes what can be sent now, up to OUT_HIGH or so. */
void conn_fill(struct conn *c);
static inline size_t conn_pending(const struct conn *c)
{
	return c->out.len - c->out_at;
}
void conn_sent(struct conn *c, size_t n);
/* The client sends no more. */
void conn_eof(struct conn *c);
/* Ends what has lasted too long; called now and then. */
void conn_check_time(struct conn *c, uint64_t now_ns);
/* Is it to be closed now? */
bool conn_is_over(const struct conn *c);
/* It may have something to send. */
void conn_kick(struct conn *c);

/* http2.c */
int http2_begin(struct conn *c);
void http2_feed(struct conn *c, const char *bytes, size_t n);
void http2_fill(struct conn *c);
void http2_answer(struct exchange *x);
void http2_resume(struct exchange *x);
void http2_reset(struct exchange *x);
void http2_end(struct conn *c);
void http2_goaway(struct conn *c);
bool http2_is_done(const struct conn *c);

/* conn.c: the head of an answer goes out. */
void conn_answer(struct exchange *x);
void conn_resume(struct exchange *x);
void conn_websocket(struct exchange *x, const char *accept, const char *protocol);

/* ---- loops ------------------------------------------------------------------------------------------------ */

struct loop {
	struct api *api;
	struct mailbox *box;
	struct conn *kicked;        /* those that may have something to send */
	struct exchange *timed;     /* those that want to be woken at a time */
	char *spare_stage;          /* HTTP_PRODUCE_MIN bytes, or NULL */
	uint64_t now_ns;            /* read once a turn */
	struct server_loop *server; /* sockets; NULL in tests */
};

int loop_init(struct loop *loop, struct api *api);
void loop_clear(struct loop *loop);
/* Those whose wakers were called, and those whose time has come. */
void loop_take_woken(struct loop *loop);
void loop_take_timed(struct loop *loop);
/* When the first of them wants to be woken; 0: none does. */
uint64_t loop_next_ns(const struct loop *loop);
void exchange_unwait(struct exchange *x); /* no longer timed */

/* ---- work that may block ---------------------------------------------------------------------------------- */

struct work_job;
int work_open(struct work **ret_work);
/* Ends its thread. What is begun from then on is refused; the loops may still run. */
void work_stop(struct work *w);
/* After the loops. */
void work_free(struct work *w);
/* Has `make` called for the exchange, which is woken when it is done. NULL: too many wait. */
struct work_job *work_begin(struct work *w, struct exchange *x, const char *type,
			    unsigned (*make)(void *ctx, struct buf *out), void *ctx);
/* The same for http_work(); `ctx` is released in every case. */
struct work_job *work_begin_for(struct work *w, struct exchange *x, const struct http_work *work, void *ctx);
/* Answers if it is done; false if it is not. */
struct work_job *work_begin_alone(struct exchange *x, const struct http_work *work, void *ctx);
bool work_answer(struct work_job *job, struct http_request *req);
/* The exchange wants it no more. */
void work_drop(struct work_job *job);

/* ---- server.c --------------------------------------------------------------------------------------------- */

/* "127.0.0.1:7070", "[::1]:0": literal addresses. */
int server_parse_address(const char *text, struct sockaddr_storage *ret_addr, socklen_t *ret_len);
bool server_is_loopback(const struct sockaddr_storage *addr);
int server_open(struct api *api, const struct api_settings *settings);
void server_close(struct api *api);

/* tls.c */
struct tls_conn;
int tls_open(const struct api_settings *settings, struct tls **ret_tls);
void tls_free(struct tls *t);
/* Reads certificate and keys again; connections that are open keep theirs. */
int tls_reload(struct tls *t);
int tls_conn_open(struct tls *t, int fd, struct tls_conn **ret_conn);
void tls_conn_free(struct tls_conn *c);
enum { TLS_AGAIN = -1, TLS_CLOSED = -2, TLS_FAILED = -3 };
/* 0: done; *ret_wants_write: it waits for room to write. */
int tls_handshake(struct tls_conn *c, bool *ret_wants_write);
ssize_t tls_read(struct tls_conn *c, void *to, size_t n);
ssize_t tls_write(struct tls_conn *c, const void *bytes, size_t n);
void tls_shutdown(struct tls_conn *c);
bool tls_speaks_http2(const struct tls_conn *c);
/* The common name of the client's certificate, if it brought one that is good. */
void tls_peer_cn(const struct tls_conn *c, char *to, size_t size);

/* status.c */
void api_metrics(struct api *api, struct buf *out);
