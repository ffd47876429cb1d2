/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange - a request and its answer: which route, who asks, what may be, and what http.h promises to handlers.
 */
#include <arpa/inet.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include "api/internal.h"
#include "api/proto.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/nearest.h"
#include "base/utf8.h"

enum { REFUSALS_LOGGED_PER_S = 20, MESSAGE_MAX = 512 };

static struct exchange *of(const struct http_request *req)
{
	return (struct exchange *)(uintptr_t)req;
}

struct exchange *exchange_new(struct conn *c)
{
	struct exchange *x = calloc(1, sizeof(*x));

	if (!x)
		return NULL;
	x->conn = c;
	arena_init(&x->memory, EXCHANGE_BYTES_MAX);
	x->began_ns = x->progress_ns = c->loop->now_ns;
	x->req = (struct http_request) {
		.version = c->protocol == PROTOCOL_HTTP2 ? HTTP_2 : HTTP_1_1,
		.method = "",
		.path = "",
		.query = "",
		.authority = "",
		.headers = x->in,
		.body = "",
		.peer = c->peer.text,
	};
	x->next = c->exchanges;
	if (x->next)
		x->next->prev = x;
	c->exchanges = x;
	c->n_exchanges++;
	return x;
}

/* ---- the end ---------------------------------------------------------------------------------------------- */

static const char *protocol_name(const struct exchange *x)
{
	if (x->conn->protocol == PROTOCOL_WEBSOCKET)
		return "websocket";
	return x->req.version == HTTP_2 ? "http/2" : "http/1.1";
}

static void audit(const struct exchange *x, const char *event)
{
	const struct audit_line line = {
		.event = event,
		.consumer = x->consumer ? x->consumer->name : NULL,
		.role = x->consumer ? role_names[x->consumer->role] : NULL,
		.peer = x->req.peer,
		.method = x->req.method,
		.path = x->req.path,
		.filter = x->filter,
		.protocol = protocol_name(x),
		.status = x->status,
		.records = x->records,
		.lost = x->lost,
		.bytes = x->sent,
		.ms = (x->conn->loop->now_ns - x->began_ns) / NS_PER_MS,
	};

	audit_write(x->conn->api->audit, &line);
}

/* Refusals can be had by anybody, in any number: they must not push the rest out of the log. */
static void audit_end(struct exchange *x)
{
	struct api *api = x->conn->api;
	bool refused = x->status == 401 || x->status == 403 || x->status == 429;

	if (refused && !bucket_take(&api->refusal_bucket, REFUSALS_LOGGED_PER_S, 1, x->conn->loop->now_ns))
		COUNT(api->counters.refusals_unlogged);
	else if (refused)
		audit(x, "refused");
	else if (x->req.route && x->req.route->role != ROLE_NONE)
		audit(x, "end");
}

void exchange_unwait(struct exchange *x)
{
	struct loop *loop = x->conn->loop;

	if (!x->wake_at_ns)
		return;
	x->wake_at_ns = 0;
	if (x->wake_prev)
		x->wake_prev->wake_next = x->wake_next;
	else
		loop->timed = x->wake_next;
	if (x->wake_next)
		x->wake_next->wake_prev = x->wake_prev;
	x->wake_prev = x->wake_next = NULL;
}

static void give_stage_back(struct exchange *x)
{
	struct loop *loop = x->conn->loop;

	if (x->stage && !loop->spare_stage)
		loop->spare_stage = take(x->stage);
	free(take(x->stage));
}

static void tell_stream(struct exchange *x, bool complete)
{
	if (x->stream && x->stream->closed && !x->stream_told) {
		x->stream_told = true;
		x->stream->closed(x->stream_ctx, complete);
	}
}

void exchange_end(struct exchange *x, bool complete)
{
	struct conn *c = x->conn;

	x->state = EXCHANGE_OVER;
	tell_stream(x, complete);
	if (x->canceled && !complete)
		x->canceled(x->canceled_ctx);
	if (x->stream_counted) {
		consumer_stream_end(x->consumer);
		(void)atomic_fetch_sub(&c->api->counters.streams_open, 1);
	}
	audit_end(x);
	exchange_unwait(x);
	if (x->waker)
		x->waker->exchange = NULL;
	http_waker_free(take(x->waker));
	work_drop(take(x->job));
	give_stage_back(x);
	consumer_free(take(x->consumer));
	if (x->prev)
		x->prev->next = x->next;
	else
		c->exchanges = x->next;
	if (x->next)
		x->next->prev = x->prev;
	c->n_exchanges--;
	buf_free(&x->body);
	buf_free(&x->reply);
	arena_free(&x->memory);
	free(x);
}

/* ---- the request ------------------------------------------------------------------------------------------ */

bool exchange_add_header(struct exchange *x, const char *name, size_t n_name, const char *value, size_t n_value)
{
	struct http_header *h = &x->in[x->req.n_headers];

	x->head_bytes += n_name + n_value + 4;
	if (x->req.n_headers == HTTP_HEADERS_MAX || x->head_bytes > x->conn->api->settings.head_bytes)
		return false;
	h->name = arena_str(&x->memory, name, n_name);
	h->value = arena_str(&x->memory, value, n_value);
	if (!h->name || !h->value)
		return false;
	x->req.n_headers++;
	return true;
}

const char *http_header(const struct http_request *req, const char *name)
{
	for (size_t i = 0; i < req->n_headers; i++)
		if (!strcmp(req->headers[i].name, name))
			return req->headers[i].value;
	return NULL;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes %XX (and, in a query, '+'); -1: malformed, or no room. NUL and controls are not taken. */
static ssize_t decode(const char *p, size_t n, bool plus, char *to, size_t size)
{
	size_t k = 0;

	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)p[i];

		if (c == '%') {
			int high = i + 2 < n ? hex_digit(p[i + 1]) : -1, low = i + 2 < n ? hex_digit(p[i + 2]) : -1;

			if (high < 0 || low < 0)
				return -1;
			c = (unsigned char)(high << 4 | low);
			i += 2;
		} else if (c == '+' && plus) {
			c = ' ';
		}
		if (c < 0x20 || c == 0x7f || k + 1 >= size)
			return -1;
		to[k++] = (char)c;
	}
	to[k] = 0;
	return utf8_is_valid(to, k) ? (ssize_t)k : -1;
}

bool http_query(const struct http_request *req, const char *name, char *to, size_t size)
{
	size_t n_name = strlen(name);

	for (const char *p = req->query; *p;) {
		size_t n = strcspn(p, "&"), n_key = strcspn(p, "=&");

		if (n_key == n_name && !memcmp(p, name, n_name)) {
			size_t skip = n_key < n ? n_key + 1 : n_key;

			return decode(p + skip, n - skip, true, to, size) >= 0;
		}
		p += n;
		p += *p == '&';
	}
	return false;
}

bool http_path_value(const struct http_request *req, const char *name, char *to, size_t size)
{
	const char *t = req->route->path, *p = req->path;
	size_t n_name = strlen(name);

	for (; *t && *p; t++, p++) {
		size_t n = strcspn(p, "/");

		if (*t != '{')
			continue;
		if (!strncmp(t + 1, name, n_name) && t[n_name + 1] == '}') {
			if (n >= size)
				return false;
			memcpy(to, p, n);
			to[n] = 0;
			return true;
		}
		/* Both stand before the next '/', or at the end. */
		t += strcspn(t, "/") - 1;
		p += n - 1;
	}
	return false;
}

/* The names of a route's parameters one by one; NULL after the last. */
static const char *param_at(const struct route *route, size_t i)
{
	size_t k = 0;

	for (size_t p = 0; p < route->n_params; p++)
		if (route->params[p].in == PARAM_QUERY && k++ == i)
			return route->params[p].name;
	for (size_t q = 0; q < countof(route->query) && route->query[q]; q++)
		for (size_t p = 0; p < route->query[q]->n_fields; p++)
			if (route->query[q]->fields[p].type != PROTO_MESSAGE && k++ == i)
				return route->query[q]->fields[p].name;
	return NULL;
}

static int unknown_param(const struct http_request *req, const char *name)
{
	struct nearest near = { .word = name };
	const char *one;

	for (size_t i = 0; (one = param_at(req->route, i)); i++)
		nearest_offer(&near, one);
	if (near.best)
		return err_new(-EINVAL, "there is no parameter \"%s\"; did you mean \"%s\"?", name, near.best);
	return err_new(-EINVAL, "there is no parameter \"%s\"", name);
}

static bool takes(const struct route *route, const char *name)
{
	const char *one;

	for (size_t i = 0; (one = param_at(route, i)); i++)
		if (!strcmp(one, name))
			return true;
	return !strcmp(name, "access_token");
}

int http_params(const struct http_request *req, int (*fn)(void *arg, const char *name, const char *value), void *arg)
{
	char name[HTTP_NAME_MAX], value[HTTP_QUERY_MAX];
	int r;

	for (const char *p = req->query; *p; p += *p == '&') {
		size_t n = strcspn(p, "&"), n_name = strcspn(p, "=&"), skip = n_name < n ? n_name + 1 : n_name;

		if (!n)
			continue;
		if (decode(p, n_name, true, name, sizeof(name)) < 0)
			return err_new(-EINVAL, "the name of a parameter cannot be decoded, or is too long");
		if (!takes(req->route, name))
			return unknown_param(req, name);
		if (decode(p + skip, n - skip, true, value, sizeof(value)) < 0)
			return err_new(-EINVAL, "%s: cannot be decoded, or is too long", name);
		/* The token's: for the server alone. */
		r = strcmp(name, "access_token") != 0 ? fn(arg, name, value) : 0;
		if (r < 0)
			return r;
		p += n;
	}
	return 0;
}

/* A segment "." or ".." is refused, not resolved: nobody who means well sends one. */
static bool has_dots(const char *path)
{
	for (const char *p = path; (p = strchr(p, '/'));) {
		p++;
		if (p[0] == '.' && (!p[1] || p[1] == '/' || (p[1] == '.' && (!p[2] || p[2] == '/'))))
			return true;
	}
	return false;
}

/* "/path?query" or "http://host/path?query". */
static bool parse_target(struct exchange *x, const char *target, size_t n)
{
	const char *end = target + n, *question;
	char *path;

	for (size_t i = 0; i < n; i++)
		if ((unsigned char)target[i] <= 0x20 || (unsigned char)target[i] >= 0x7f || target[i] == '#')
			return false;
	if (n && target[0] != '/') {
		size_t scheme = n > 7 && !strncasecmp(target, "http://", 7)    ? 7
				: n > 8 && !strncasecmp(target, "https://", 8) ? 8
									       : 0;
		const char *host = target + scheme, *slash = memchr(host, '/', (size_t)(end - host));

		if (!scheme || !slash || slash == host)
			return false;
		x->req.authority = arena_str(&x->memory, host, (size_t)(slash - host));
		target = slash;
	}
	question = memchr(target, '?', (size_t)(end - target));
	path = arena_alloc(&x->memory, (size_t)(end - target) + 1);
	if (!path || target == end ||
	    decode(target, (size_t)((question ? question : end) - target), false, path, (size_t)(end - target) + 1) < 0)
		return false;
	x->req.path = path;
	if (question)
		x->req.query = arena_str(&x->memory, question + 1, (size_t)(end - question - 1));
	return x->req.query && x->req.authority && !has_dots(path);
}

/* How much of the path is literal, where it fits segment by segment; 0: it does not. */
static size_t fits_template(const char *template, const char *path)
{
	size_t literal = 1;

	while (*template && *path) {
		if (*template == '{') {
			size_t n = strcspn(path, "/");

			if (!n)
				return 0;
			path += n;
			template += strcspn(template, "/");
			continue;
		}
		if (*template ++!= *path++)
			return 0;
		literal++;
	}
	return *template || *path ? 0 : literal;
}

static size_t fits(const struct route *route, const char *path)
{
	size_t n = strlen(route->path);

	if (n > 1 && route->path[n - 1] == '/')
		return strncmp(route->path, path, n) ? 0 : n;
	return fits_template(route->path, path);
}

/* The path that fits best decides, and then the method. */
static unsigned find_route(struct exchange *x)
{
	struct api *api = x->conn->api;
	const char *method = x->is_head_request ? "GET" : x->req.method;
	char allow[64] = "";
	size_t best = 0;

	for (size_t t = 0; t < api->n_tables; t++)
		for (size_t i = 0; i < api->tables[t].n; i++) {
			size_t n = fits(&api->tables[t].routes[i], x->req.path);

			best = n > best ? n : best;
		}
	if (!best)
		return 404;
	for (size_t t = 0; t < api->n_tables; t++)
		for (size_t i = 0; i < api->tables[t].n; i++) {
			const struct route *route = &api->tables[t].routes[i];
			size_t n = strlen(allow);

			if (fits(route, x->req.path) != best)
				continue;
			if (!strcmp(route->method, method)) {
				x->req.route = route;
				x->req.ctx = api->tables[t].ctx;
				return 0;
			}
			(void)snprintf(allow + n, sizeof(allow) - n, "%s%s", n ? ", " : "", route->method);
		}
	(void)http_answer_header(&x->req, "allow", allow);
	return 405;
}

/* ---- may it? ---------------------------------------------------------------------------------------------- */

/* Is the host of this a literal address or "localhost"? Then no name server can have sent a browser here. */
static bool is_literal_host(const char *authority)
{
	char host[64];
	size_t n = strcspn(authority, "]") + 1;
	unsigned char addr[16];

	if (authority[0] == '[')
		return n < sizeof(host) && strlen(authority) >= n;
	(void)snprintf(host, sizeof(host), "%s", authority);
	host[strcspn(host, ":")] = 0;
	return !host[0] || !strcasecmp(host, "localhost") || inet_pton(AF_INET, host, addr) == 1;
}

/* A page of another site may make a browser ask us, with what the browser is let in by. */
static bool is_foreign_origin(const struct http_request *req)
{
	const char *origin = http_header(req, "origin"), *host;

	if (!origin)
		return false;
	host = strstr(origin, "://");
	return !host || strcasecmp(host + 3, req->authority) != 0;
}

static void challenge(struct exchange *x)
{
	(void)http_answer_header(&x->req, "www-authenticate", "Bearer realm=\"shrike\"");
}

static bool identify(struct exchange *x)
{
	struct conn *c = x->conn;
	struct consumer *consumer = NULL;
	const char *why = NULL, *authorization = http_header(&x->req, "authorization");
	struct peer nobody = { 0 };
	unsigned status = access_identify(c->api->access, &c->peer, authorization, c->loop->now_ns, &consumer, &why);

	/* Who asks for what anybody may have need not be known. */
	if (status && x->req.route->role == ROLE_NONE)
		status = access_identify(c->api->access, &nobody, NULL, c->loop->now_ns, &consumer, &why);
	if (status == 401)
		challenge(x);
	if (status) {
		http_refuse(&x->req, status, "%s", why);
		return false;
	}
	x->consumer = consumer;
	x->req.consumer = consumer;
	return true;
}

static bool may_ask(struct exchange *x)
{
	const struct consumer *consumer = x->consumer;
	bool nobody = !strcmp(consumer->name, "anonymous");

	if (x->req.route->role == ROLE_NONE)
		return true;
	if (consumer->role < x->req.route->role && nobody) {
		challenge(x);
		http_refuse(&x->req, 401, "a token is wanted: Authorization: Bearer shr_...");
	} else if (consumer->role < x->req.route->role) {
		http_refuse(&x->req, 403, "this is for the role %s, and %s is %s", role_names[x->req.route->role],
			    consumer->name, role_names[consumer->role]);
	} else if (is_foreign_origin(&x->req) || (nobody && !is_literal_host(x->req.authority))) {
		http_refuse(&x->req, 403, "not for pages of other sites");
	} else if (!bucket_take(&consumer->usage->request_bucket, consumer->requests_per_s, 1, x->conn->loop->now_ns)) {
		(void)atomic_fetch_add(&consumer->usage->rate_limited, 1);
		(void)http_answer_header(&x->req, "retry-after", "1");
		http_refuse(&x->req, 429, "more than %u requests a second", consumer->requests_per_s);
	} else {
		return true;
	}
	return false;
}

bool exchange_route(struct exchange *x, const char *target, size_t n, int64_t length)
{
	const struct route *route;
	unsigned status;

	x->head_end_ns = x->conn->loop->now_ns;
	x->state = EXCHANGE_BODY;
	x->is_head_request = !strcmp(x->req.method, "HEAD");
	COUNT(x->conn->api->counters.requests[x->req.version]);
	if (n > PATH_MAX_BYTES) {
		http_refuse(&x->req, 414, "a target has at most %d bytes", PATH_MAX_BYTES);
		return false;
	}
	if (!parse_target(x, target, n)) {
		x->req.path = x->req.path[0] ? x->req.path : "";
		http_refuse(&x->req, 400, "malformed target");
		return false;
	}
	status = find_route(x);
	if (status) {
		http_refuse(&x->req, status, status == 404 ? "there is nothing at this path" : "not with this method");
		return false;
	}
	route = x->req.route;
	if (!identify(x) || !may_ask(x))
		return false;
	(void)atomic_fetch_add_explicit(&x->consumer->usage->requests, 1, memory_order_relaxed);
	atomic_store_explicit(&x->consumer->usage->seen_ns, x->conn->loop->now_ns, memory_order_relaxed);
	if (!route->data && (length > (int64_t)route->body_max || (length < 0 && !route->body_max))) {
		http_refuse(&x->req, 413, "the body may have %zu bytes at most", route->body_max);
		return false;
	}
	buf_init(&x->body, route->body_max + 1);
	x->body_piecewise = route->data != NULL;
	if (x->body_piecewise) {
		x->state = EXCHANGE_HANDLED;
		route->handle(&x->req);
	}
	return true;
}

/* Who has answered as a whole, or to the end, has heard enough. */
static bool wants_data(const struct exchange *x)
{
	return x->state == EXCHANGE_HANDLED || (x->state == EXCHANGE_STREAM && !x->ended);
}

bool exchange_body(struct exchange *x, const char *bytes, size_t n)
{
	const struct route *route = x->req.route;

	if (x->body_piecewise) {
		if (wants_data(x))
			route->data(&x->req, bytes, n, false);
		return true;
	}
	if (x->state != EXCHANGE_BODY)
		return false;
	if (n > route->body_max - x->body.len) {
		http_refuse(&x->req, 413, "the body may have %zu bytes at most", route->body_max);
		return false;
	}
	buf_add(&x->body, bytes, n);
	if (!x->body.failed)
		return true;
	http_refuse(&x->req, 503, "no memory");
	return false;
}

void exchange_body_end(struct exchange *x)
{
	if (x->body_ended)
		return;
	x->body_ended = true;
	if (x->body_piecewise) {
		if (wants_data(x))
			x->req.route->data(&x->req, NULL, 0, true);
		return;
	}
	if (x->state != EXCHANGE_BODY)
		return;
	x->req.body = buf_text(&x->body);
	x->req.body_len = x->body.len;
	x->state = EXCHANGE_HANDLED;
	x->req.route->handle(&x->req);
}

/* ---- the answer ------------------------------------------------------------------------------------------- */

static bool put_header(struct exchange *x, struct answer_header *to, size_t *n, size_t max, const char *name,
		       const char *value)
{
	if (*n == max)
		return false;
	for (const char *p = value; *p; p++)
		if ((unsigned char)*p < 0x20 || (unsigned char)*p == 0x7f)
			return false;
	to[*n].name = arena_str(&x->memory, name, strlen(name));
	to[*n].value = arena_str(&x->memory, value, strlen(value));
	if (!to[*n].name || !to[*n].value)
		return false;
	++*n;
	return true;
}

bool http_answer_header(struct http_request *req, const char *name, const char *value)
{
	struct exchange *x = of(req);

	return !exchange_has_answer(x) && put_header(x, x->out, &x->n_out, HTTP_ANSWER_HEADERS_MAX - 5, name, value);
}

bool http_trailer(struct http_request *req, const char *name, const char *value)
{
	struct exchange *x = of(req);

	return !x->ended && put_header(x, x->trailers, &x->n_trailers, HTTP_TRAILERS_MAX, name, value);
}

/* The headers that every answer has; there is always room for them. */
static void put_common(struct exchange *x, const char *type)
{
	time_t now = (time_t)(clock_wall_ns() / (int64_t)NS_PER_S);
	char date[40];
	struct tm tm;

	(void)strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &tm));
	(void)put_header(x, x->out, &x->n_out, HTTP_ANSWER_HEADERS_MAX, "date", date);
	if (type)
		(void)put_header(x, x->out, &x->n_out, HTTP_ANSWER_HEADERS_MAX, "content-type", type);
	(void)put_header(x, x->out, &x->n_out, HTTP_ANSWER_HEADERS_MAX, "cache-control", "no-store");
	(void)put_header(x, x->out, &x->n_out, HTTP_ANSWER_HEADERS_MAX, "x-content-type-options", "nosniff");
}

static void count_status(struct exchange *x, unsigned status)
{
	struct api_counters *counters = &x->conn->api->counters;

	x->status = status;
	COUNT(counters->answers[status / 100 % 6]);
	if (status >= 400 && status < 600) {
		COUNT(counters->refused[status]);
		if (x->consumer)
			(void)atomic_fetch_add_explicit(&x->consumer->usage->refused, 1, memory_order_relaxed);
	}
}

void http_reply(struct http_request *req, unsigned status, const char *type, const void *body, size_t n)
{
	struct exchange *x = of(req);
	char length[24];

	if (exchange_has_answer(x))
		return;
	buf_init(&x->reply, REPLY_MAX);
	buf_add(&x->reply, body, n);
	if (x->reply.failed) {
		buf_free(&x->reply);
		buf_init(&x->reply, REPLY_MAX);
		status = 500;
	}
	count_status(x, status);
	put_common(x, type);
	(void)snprintf(length, sizeof(length), "%zu", x->reply.len);
	(void)put_header(x, x->out, &x->n_out, HTTP_ANSWER_HEADERS_MAX, "content-length", length);
	x->state = EXCHANGE_WHOLE;
	x->chunk = buf_text(&x->reply);
	x->n_chunk = x->is_head_request ? 0 : x->reply.len;
	x->ended = !x->n_chunk;
	conn_answer(x);
}

void http_reply_buf(struct http_request *req, unsigned status, const char *type, const struct buf *body)
{
	http_reply(req, body->failed ? 500 : status, type, buf_text(body), body->len);
}

static unsigned grpc_status(unsigned status)
{
	switch (status) {
	case 400:
		return 3; /* INVALID_ARGUMENT */
	case 401:
		return 16; /* UNAUTHENTICATED */
	case 403:
		return 7; /* PERMISSION_DENIED */
	case 404:
	case 405:
	case 501:
		return 12; /* UNIMPLEMENTED */
	case 408:
		return 4; /* DEADLINE_EXCEEDED */
	case 413:
	case 414:
	case 429:
	case 431:
		return 8; /* RESOURCE_EXHAUSTED */
	case 503:
		return 14; /* UNAVAILABLE */
	default:
		return status < 500 ? 9 : 13; /* FAILED_PRECONDITION, INTERNAL */
	}
}

/* To a gRPC client every answer is a 200, and its headers alone say what is wrong. */
static void refuse_grpc(struct exchange *x, unsigned status, const char *message)
{
	char text[16], safe[3 * MESSAGE_MAX + 1];
	size_t k = 0;

	count_status(x, status);
	(void)snprintf(text, sizeof(text), "%u", grpc_status(status));
	for (const char *p = message; *p; p++)
		k += (size_t)(((unsigned char)*p < 0x20 || (unsigned char)*p > 0x7e || *p == '%')
				      ? snprintf(safe + k, sizeof(safe) - k, "%%%02X", (unsigned char)*p)
				      : snprintf(safe + k, sizeof(safe) - k, "%c", *p));
	(void)put_header(x, x->out, &x->n_out, HTTP_ANSWER_HEADERS_MAX, "content-type", "application/grpc");
	(void)put_header(x, x->out, &x->n_out, HTTP_ANSWER_HEADERS_MAX, "grpc-status", text);
	(void)put_header(x, x->out, &x->n_out, HTTP_ANSWER_HEADERS_MAX, "grpc-message", safe);
	x->state = EXCHANGE_WHOLE;
	x->ended = true;
	x->status = 200;
	conn_answer(x);
	x->status = status;
}

void http_refuse(struct http_request *req, unsigned status, const char *fmt, ...)
{
	struct exchange *x = of(req);
	const char *type = http_header(req, "content-type");
	auto_buf struct buf body = { .max = 4096 };
	char message[MESSAGE_MAX];
	va_list ap;

	if (exchange_has_answer(x))
		return;
	va_start(ap, fmt);
	(void)vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	if (req->version == HTTP_2 && type && !strncmp(type, "application/grpc", 16)) {
		refuse_grpc(x, status, message);
		return;
	}
	buf_printf(&body, "{\"error\":{\"status\":%u,\"message\":", status);
	(void)json_write_str(&body, message, strlen(message));
	buf_str(&body, "}}\n");
	http_reply(req, status, "application/json", buf_text(&body), body.len);
}

static bool begin_stream(struct exchange *x, const struct http_stream *stream, void *ctx)
{
	bool taken = !exchange_has_answer(x);

	x->stream = stream;
	x->stream_ctx = ctx;
	if (taken && !consumer_stream_begin(x->consumer)) {
		(void)atomic_fetch_add(&x->consumer->usage->rate_limited, 1);
		(void)http_answer_header(&x->req, "retry-after", "1");
		http_refuse(&x->req, 429, "%s has %u streams open, as many as it may", x->consumer->name,
			    x->consumer->streams_max);
		taken = false;
	}
	if (!taken) {
		tell_stream(x, false);
		return false;
	}
	x->stream_counted = true;
	COUNT(x->conn->api->counters.streams);
	COUNT(x->conn->api->counters.streams_open);
	return true;
}

bool http_stream(struct http_request *req, unsigned status, const char *type, const struct http_stream *stream,
		 void *ctx)
{
	struct exchange *x = of(req);

	if (!begin_stream(x, stream, ctx))
		return false;
	count_status(x, status);
	put_common(x, type);
	x->state = EXCHANGE_STREAM;
	if (x->is_head_request)
		x->ended = true;
	if (req->route->role != ROLE_NONE)
		audit(x, "begin");
	conn_answer(x);
	return true;
}

bool http_wants_websocket(const struct http_request *req)
{
	const char *upgrade = http_header(req, "upgrade"), *connection = http_header(req, "connection");

	return req->version == HTTP_1_1 && upgrade && connection && http1_has_token(upgrade, "websocket") &&
	       http1_has_token(connection, "upgrade");
}

bool http_websocket(struct http_request *req, const char *protocol, const struct http_stream *stream, void *ctx)
{
	struct exchange *x = of(req);
	const char *key = http_header(req, "sec-websocket-key"), *version = http_header(req, "sec-websocket-version");
	char accept[WS_ACCEPT_SIZE];

	if (!version || strcmp(version, "13") != 0) {
		(void)http_answer_header(req, "sec-websocket-version", "13");
		http_refuse(req, version ? 426 : 400, "WebSocket of version 13 is spoken here");
	} else if (!http_wants_websocket(req) || !key || !ws_accept(key, accept)) {
		http_refuse(req, 400, "malformed WebSocket handshake");
	}
	if (!begin_stream(x, stream, ctx))
		return false;
	count_status(x, 101);
	COUNT(x->conn->api->counters.websockets);
	x->state = EXCHANGE_STREAM;
	conn_websocket(x, accept, protocol);
	if (req->route->role != ROLE_NONE)
		audit(x, "begin");
	return true;
}

void http_on_cancel(struct http_request *req, void (*canceled)(void *ctx), void *ctx)
{
	of(req)->canceled = canceled;
	of(req)->canceled_ctx = ctx;
}

void http_reply_from(struct http_request *req, const char *type, unsigned (*make)(void *ctx, struct buf *out),
		     void *ctx)
{
	struct exchange *x = of(req);

	x->job = work_begin(x->conn->api->work, x, type, make, ctx);
	if (!x->job)
		http_refuse(req, 503, "too much to do; try again");
}

void http_work(struct http_request *req, const struct http_work *work, void *ctx)
{
	struct exchange *x = of(req);

	x->job = work_begin_for(x->conn->api->work, x, work, ctx);
	if (!x->job)
		http_refuse(req, 503, "too much to do; try again");
}

bool http_work_alone(struct http_request *req, const struct http_work *work, void *ctx)
{
	struct exchange *x = of(req);

	x->job = work_begin_alone(x, work, ctx);
	return x->job;
}

void http_audit_filter(struct http_request *req, const char *filter, size_t n)
{
	struct exchange *x = of(req);

	n = n < sizeof(x->filter) - 1 ? n : sizeof(x->filter) - 1;
	memcpy(x->filter, filter, n);
	x->filter[utf8_good(x->filter, n)] = 0;
}

void http_audit_records(struct http_request *req, uint64_t records, uint64_t lost)
{
	struct exchange *x = of(req);

	x->records += records;
	x->lost += lost;
	consumer_count(x->consumer, records, lost);
	COUNT_N(x->conn->api->counters.records, records);
	COUNT_N(x->conn->api->counters.records_lost, lost);
}

/* ---- the bytes of an answer ------------------------------------------------------------------------------- */

static enum stage produce(struct exchange *x)
{
	struct loop *loop = x->conn->loop;
	ssize_t n;

	if (!x->stage)
		x->stage = loop->spare_stage ? take(loop->spare_stage) : malloc(HTTP_PRODUCE_MIN);
	if (!x->stage)
		return STAGE_ABORT;
	n = x->stream->produce(x->stream_ctx, x->stage, HTTP_PRODUCE_MIN);
	if (n > 0 && n <= HTTP_PRODUCE_MIN) {
		x->chunk = x->stage;
		x->n_chunk = (size_t)n;
		return STAGE_READY;
	}
	give_stage_back(x);
	if (n == HTTP_IDLE)
		return STAGE_IDLE;
	x->ended = true;
	return n == HTTP_END ? STAGE_END : STAGE_ABORT;
}

enum stage exchange_stage(struct exchange *x)
{
	if (x->n_chunk)
		return STAGE_READY;
	if (x->ended || x->state != EXCHANGE_STREAM) {
		x->ended = true;
		return STAGE_END;
	}
	return produce(x);
}

void exchange_used(struct exchange *x, size_t n)
{
	x->chunk += n;
	x->n_chunk -= n;
	x->sent += n;
	x->progress_ns = x->conn->loop->now_ns;
}

/* ---- waking ----------------------------------------------------------------------------------------------- */

void http_wake_in(struct http_request *req, uint64_t ns)
{
	struct exchange *x = of(req);
	struct loop *loop = x->conn->loop;
	uint64_t at = loop->now_ns + (ns ? ns : 1);

	if (x->wake_at_ns) {
		x->wake_at_ns = at < x->wake_at_ns ? at : x->wake_at_ns;
		return;
	}
	x->wake_at_ns = at;
	x->wake_next = loop->timed;
	if (x->wake_next)
		x->wake_next->wake_prev = x;
	loop->timed = x;
}
