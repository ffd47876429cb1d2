/* SPDX-License-Identifier: Apache-2.0 */
#include "api/alerts_api.h"
#include <stdlib.h>
#include <string.h>
#include "api/alerts_feed.h"
#include "api/grpc.h"
#include "base/err.h"
#include "base/json.h"
#include "rulebook/book.h"

enum {
	REQUEST_MEMORY = 1 << 16,
	BODY_MAX = 32 << 10,
	BODY_NODES_MAX = 64,
	WHY_MAX = 512,
	/* gRPC clients take 4 MiB if they are not told otherwise; an alert may have as much by itself. */
	ANSWER_MAX = 3 << 20,
	ANSWER_ROOM = ANSWER_MAX + 2 * ALERT_JSON_MAX,
	AUDIT_MAX = 1024,
};

int alerts_api_may(const struct http_request *req)
{
	const struct alerts_api *x = req->ctx;

	if (!x->store)
		return err_new(-ENODATA, "this agent keeps no alerts: set alerts.store in its configuration");
	if (!consumer_may_read(req->consumer, "alert"))
		return err_new(-EPERM, "%s may not read alerts: its types leave out \"alert\"", req->consumer->name);
	return 0;
}

int alerts_api_param(void *arg, const char *name, const char *value)
{
	return alerts_ask_set(arg, name, value);
}

/* ---- one question ------------------------------------------------------------------------------------------- */

/* Made by its request, worked off on the thread that may block, answered by the request. */
struct call {
	struct alerts *store;
	bool grpc, is_list, sets;
	struct alerts_ask ask;
	char id[ALERT_ID_SIZE + 1]; /* one more shows that it is too long */
	enum alert_state state;
	char who[CONSUMER_NAME_MAX + 1];
	char *comment;
	struct buf answer, json;
	size_t n;
	int error;
	char why[WHY_MAX];
};

static void call_free(struct call *c)
{
	if (!c)
		return;
	buf_free(&c->answer);
	buf_free(&c->json);
	free(c->comment);
	free(c);
}
DEFINE_AUTO(call)

static void release(void *ctx)
{
	call_free(ctx);
}

static struct call *call_new(const struct http_request *req, bool grpc)
{
	const struct alerts_api *x = req->ctx;
	struct call *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->store = x->store;
	c->grpc = grpc;
	memcpy(c->who, req->consumer->name, sizeof(c->who));
	buf_init(&c->answer, ANSWER_ROOM);
	buf_init(&c->json, ALERT_JSON_MAX + (64 << 10));
	return c;
}

/* An alert of a list, while there is room. */
static bool add(void *arg, const struct alert *a)
{
	struct call *c = arg;
	size_t before = c->answer.len, at;

	if (c->grpc) {
		proto_begin(&c->answer, ALERTS_ANSWER_ALERTS, &at);
		alerts_proto_write(a, &c->json, &c->answer);
		proto_end(&c->answer, at);
	} else {
		buf_str(&c->answer, c->n ? ",\n" : "");
		alert_write(a, &c->answer);
	}
	if (c->answer.len > ANSWER_MAX && c->n) {
		c->answer.len = before;
		return false;
	}
	c->n++;
	return true;
}

static bool put(void *arg, const struct alert *a)
{
	struct call *c = arg;

	if (c->grpc) {
		alerts_proto_write(a, &c->json, &c->answer);
	} else {
		alert_write(a, &c->answer);
		buf_char(&c->answer, '\n');
	}
	c->n = 1;
	return true;
}

/* The whole id of one of which the beginning is known. */
static bool take_id(void *arg, const struct alert *a)
{
	memcpy(arg, a->id, ALERT_ID_SIZE);
	return true;
}

static int list(struct call *c)
{
	struct alerts_page page;
	int r;

	if (!c->grpc)
		buf_str(&c->answer, "{\"alerts\":[");
	r = alerts_ask_list(c->store, &c->ask, add, c, &page);
	if (r < 0)
		return r;
	if (!c->grpc) {
		buf_printf(&c->answer, "],\"count\":%zu,\"more\":%s,\"cursor\":\"%llu\"}\n", page.n,
			   page.more ? "true" : "false", (unsigned long long)page.cursor);
		return 0;
	}
	if (page.more)
		proto_add_varint(&c->answer, ALERTS_ANSWER_MORE, 1);
	if (page.cursor)
		proto_add_varint(&c->answer, ALERTS_ANSWER_CURSOR, page.cursor);
	return 0;
}

static int get_or_set(struct call *c)
{
	char id[ALERT_ID_SIZE];
	int r = 0;

	if (c->sets) {
		r = alerts_get(c->store, c->id, take_id, id);
		r = r < 0 ? r : alerts_set_state(c->store, id, c->state, c->who, c->comment ? c->comment : "");
	}
	return r < 0 ? r : alerts_get(c->store, c->sets ? id : c->id, put, c);
}

static void make(void *ctx)
{
	struct call *c = ctx;

	c->error = c->is_list ? list(c) : get_or_set(c);
	if (c->error >= 0 && c->answer.failed)
		c->error = err_new(-E2BIG, "the answer is too large");
	if (c->error >= 0)
		return;
	(void)snprintf(c->why, sizeof(c->why), "%s", err_trail());
	err_clear();
}

static void answer(void *ctx, struct http_request *req)
{
	struct call *c = ctx;

	http_audit_records(req, c->n, 0);
	if (c->error < 0 && c->grpc)
		grpc_fail(req, grpc_status_of(c->error), "%s", c->why);
	else if (c->error < 0)
		http_refuse(req, http_status_of(c->error), "%s", c->why);
	else if (c->grpc)
		grpc_reply(req, &c->answer);
	else
		http_reply_buf(req, 200, "application/json", &c->answer);
}

static void begin(struct http_request *req, struct call *c)
{
	static const struct http_work work = { .make = make, .answer = answer, .release = release };

	http_work(req, &work, c);
}

/* ---- REST ------------------------------------------------------------------------------------------------------- */

static void refuse(struct http_request *req, int r)
{
	http_refuse(req, http_status_of(r), "%s", err_trail());
	err_clear();
}

static void http_list(struct http_request *req)
{
	AUTO(call) c = call_new(req, false);
	int r = c ? alerts_api_may(req) : err_new(-ENOMEM, "no memory for the answer");

	r = r < 0 ? r : http_params(req, alerts_api_param, &c->ask);
	if (r < 0) {
		refuse(req, r);
		return;
	}
	http_audit_filter(req, req->query, strlen(req->query));
	c->is_list = true;
	begin(req, take(c));
}

static int no_param(void *arg, const char *name, const char *value)
{
	(void)arg;
	(void)name;
	(void)value;
	return 0;
}

static int read_id(const struct http_request *req, struct call *c)
{
	int r = http_params(req, no_param, NULL);

	if (r == 0 && !http_path_value(req, "id", c->id, sizeof(c->id)))
		return err_new(-ENOENT, "there is no alert of such a long id");
	return r;
}

static void http_get(struct http_request *req)
{
	AUTO(call) c = call_new(req, false);
	int r = c ? alerts_api_may(req) : err_new(-ENOMEM, "no memory for the answer");

	r = r < 0 ? r : read_id(req, c);
	if (r < 0) {
		refuse(req, r);
		return;
	}
	begin(req, take(c));
}

/* What is asked for, for the audit log: in the path of REST, and in no path of gRPC. */
static int set_comment(struct http_request *req, struct call *c, const char *comment)
{
	char text[AUDIT_MAX];

	if (strlen(comment) > ALERT_COMMENT_MAX)
		return err_new(-EINVAL, "comment: more than %d bytes", ALERT_COMMENT_MAX);
	c->sets = true;
	c->comment = strdup(comment);
	if (!c->comment)
		return err_new(-ENOMEM, "no memory for the comment");
	(void)snprintf(text, sizeof(text), "%s %s: %s", alert_state_names[c->state], c->id, comment);
	http_audit_filter(req, text, strlen(text));
	return 0;
}

static int read_comment(struct http_request *req, struct call *c)
{
	static const struct json_limits limits = { BODY_MAX, BODY_NODES_MAX, 4 };
	auto_arena struct arena arena = { .max = REQUEST_MEMORY };
	struct alert_state_request said = { .comment = "" };
	auto_json struct json_doc doc;
	const struct json_node *root;
	int r = 0;

	json_init(&doc, &limits);
	if (req->body_len) {
		r = json_parse(&doc, req->body, req->body_len, &root);
		r = r < 0 ? err_wrap(r, "the body") : proto_read_json(&alert_comment_message, root, &arena, &said);
	}
	return r < 0 ? r : set_comment(req, c, said.comment);
}

static void http_set(struct http_request *req, enum alert_state state)
{
	AUTO(call) c = call_new(req, false);
	int r = c ? alerts_api_may(req) : err_new(-ENOMEM, "no memory for the answer");

	r = r < 0 ? r : read_id(req, c);
	if (r == 0) {
		c->state = state;
		r = read_comment(req, c);
	}
	if (r < 0) {
		refuse(req, r);
		return;
	}
	begin(req, take(c));
}

static void http_ack(struct http_request *req)
{
	http_set(req, ALERT_ACKNOWLEDGED);
}

static void http_close(struct http_request *req)
{
	http_set(req, ALERT_CLOSED);
}

/* ---- gRPC ------------------------------------------------------------------------------------------------------- */

static void fail(struct http_request *req, int r)
{
	grpc_fail(req, grpc_status_of(r), "%s", err_trail());
	err_clear();
}

/* NULL: the call has been answered. */
static struct call *read_call(struct http_request *req, const struct proto_message *m, struct arena *arena,
			      void *ret_request)
{
	auto_buf struct buf room = { .max = GRPC_MESSAGE_MAX };
	struct str message;
	struct call *c;
	int r;

	if (!grpc_accept(req) || !grpc_message(req, &room, &message))
		return NULL;
	c = call_new(req, true);
	r = c ? proto_read(m, message.p, message.n, arena, ret_request) : err_new(-ENOMEM, "no memory for the answer");
	r = r < 0 ? r : alerts_api_may(req);
	if (r < 0) {
		fail(req, r);
		call_free(c);
		return NULL;
	}
	return c;
}

static void grpc_list(struct http_request *req)
{
	auto_arena struct arena arena = { .max = REQUEST_MEMORY };
	auto_buf struct buf text = { .max = REQUEST_MEMORY };
	struct alerts_list_request asked;
	AUTO(call) c = read_call(req, &alerts_list_request_message, &arena, &asked);
	int r;

	if (!c)
		return;
	r = asked.filter ? alerts_proto_ask(asked.filter, &c->ask) : 0;
	if (r == 0 && (asked.limit > ALERTS_PAGE_MAX || asked.cursor > INT64_MAX))
		r = err_new(-EINVAL, "limit: at most %d; cursor: one that we gave", ALERTS_PAGE_MAX);
	if (r < 0) {
		fail(req, r);
		return;
	}
	c->ask.limit = asked.limit;
	c->ask.cursor = asked.cursor;
	c->is_list = true;
	proto_write_json(&alerts_list_request_message, &asked, &text);
	http_audit_filter(req, buf_text(&text), text.len);
	begin(req, take(c));
}

static void grpc_get(struct http_request *req)
{
	auto_arena struct arena arena = { .max = REQUEST_MEMORY };
	struct alert_get_request asked;
	AUTO(call) c = read_call(req, &alert_get_request_message, &arena, &asked);

	if (!c)
		return;
	(void)snprintf(c->id, sizeof(c->id), "%s", asked.id);
	http_audit_filter(req, c->id, strlen(c->id));
	begin(req, take(c));
}

static void grpc_set(struct http_request *req, const struct proto_message *m, enum alert_state state)
{
	auto_arena struct arena arena = { .max = REQUEST_MEMORY };
	struct alert_state_request asked;
	AUTO(call) c = read_call(req, m, &arena, &asked);
	int r;

	if (!c)
		return;
	(void)snprintf(c->id, sizeof(c->id), "%s", asked.id);
	c->state = state;
	r = set_comment(req, c, asked.comment);
	if (r < 0) {
		fail(req, r);
		return;
	}
	begin(req, take(c));
}

static void grpc_ack(struct http_request *req)
{
	grpc_set(req, &alert_ack_request_message, ALERT_ACKNOWLEDGED);
}

static void grpc_close(struct http_request *req)
{
	grpc_set(req, &alert_close_request_message, ALERT_CLOSED);
}

static void grpc_unknown(struct http_request *req)
{
	if (grpc_accept(req))
		grpc_fail(req, GRPC_UNIMPLEMENTED, "there is no method %s", req->path);
}

/* ---- routes ----------------------------------------------------------------------------------------------------- */

static const char *const stream_types[] = { "text/event-stream", "application/x-ndjson", NULL };

/* The words of a store's question (alerts_ask_words, which a test holds this against). */
#define FILTER_PARAMS                                                                                                  \
	{ .name = "severity", .values = book_severity_names, .doc = "those that are as severe, or more" },             \
		{ .name = "state",                                                                                     \
		  .values = alert_state_names,                                                                         \
		  .repeated = true,                                                                                    \
		  .doc = "those in this state, or in one of these" },                                                  \
		{ .name = "rule", .doc = "those of the rule with this id" },                                           \
		{ .name = "process", .doc = "those whose last event is of a process of this name" },                   \
		{ .name = "user", .doc = "those whose last event is of this user" },                                   \
		{ .name = "container", .doc = "those whose last event is of this container" },                         \
		{ .name = "text",                                                                                      \
		  .doc = "those with this text anywhere in them, in whatever letters: a host, a path, an address" },   \
		{ .name = "since",                                                                                     \
		  .doc = "those from this time on: a date (2024-02-29T12:34:56Z), or how long ago (2h)" },             \
		{ .name = "until", .doc = "those before this time, said in the same way" }

static const struct route_param list_params[] = {
	FILTER_PARAMS,
	{ .name = "limit", .type = "integer", .doc = "how many at most; 100 unless said, 1000 at most" },
	{ .name = "cursor", .type = "integer", .doc = "of the answer before: goes on behind it" },
};

static const struct route_param stream_params[] = {
	FILTER_PARAMS,
	{ .name = "cursor", .type = "integer", .doc = "goes on behind the alert that had this id of an event" },
	{ .name = "start",
	  .values = (const char *const[]) { "now", "oldest", NULL },
	  .doc = "what comes from here on (unless said otherwise), or what is kept, too" },
	{ .name = "format",
	  .values = (const char *const[]) { "sse", "lines", NULL },
	  .doc = "server-sent events, or lines of JSON" },
	{ .name = "last-event-id", .in = PARAM_HEADER, .doc = "as cursor; browsers send it by themselves" },
};

static const struct route_param id_params[] = {
	{ .name = "id", .in = PARAM_PATH, .doc = "the alert's id, or the first eight digits of it or more" },
};

#define ALERT_SCHEMA "{\"type\":\"object\",\"description\":\"the alert as ECS JSON: docs/alerts.md tells its members\"}"

static const struct route routes[] = {
	{ .method = "GET",
	  .path = "/api/v1/alerts",
	  .role = ROLE_VIEWER,
	  .handle = http_list,
	  .params = list_params,
	  .n_params = countof(list_params),
	  .out_schema = "{\"type\":\"object\",\"properties\":{\"alerts\":{\"type\":\"array\",\"items\":" ALERT_SCHEMA
			"},\"count\":{\"type\":\"integer\"},\"more\":{\"type\":\"boolean\"},\"cursor\":{\"type\":"
			"\"string\"}}}",
	  .doc = "alerts that were kept, the newest first, in pages" },
	{ .method = "GET",
	  .path = "/api/v1/alerts/stream",
	  .role = ROLE_VIEWER,
	  .handle = alerts_http_stream,
	  .params = stream_params,
	  .n_params = countof(stream_params),
	  .types = stream_types,
	  .doc = "alerts as they come and as they change" },
	{ .method = "GET",
	  .path = "/api/v1/alerts/{id}",
	  .role = ROLE_VIEWER,
	  .handle = http_get,
	  .params = id_params,
	  .n_params = countof(id_params),
	  .out_schema = ALERT_SCHEMA,
	  .doc = "one alert" },
	{ .method = "POST",
	  .path = "/api/v1/alerts/{id}/ack",
	  .role = ROLE_OPERATOR,
	  .body_max = BODY_MAX,
	  .handle = http_ack,
	  .params = id_params,
	  .n_params = countof(id_params),
	  .in = &alert_comment_message,
	  .out_schema = ALERT_SCHEMA,
	  .doc = "says that somebody looks at it; answers with the alert as it is then" },
	{ .method = "POST",
	  .path = "/api/v1/alerts/{id}/close",
	  .role = ROLE_OPERATOR,
	  .body_max = BODY_MAX,
	  .handle = http_close,
	  .params = id_params,
	  .n_params = countof(id_params),
	  .in = &alert_comment_message,
	  .out_schema = ALERT_SCHEMA,
	  .doc = "says that nothing more is to be done; answers with the alert as it is then" },
	GRPC_ROUTE("/shrike.v1.Alerts/StreamAlerts", ROLE_VIEWER, alerts_grpc_stream, &alerts_stream_request_message,
		   &alert_message_message, "gRPC: alerts as they come and as they change"),
	GRPC_ROUTE("/shrike.v1.Alerts/ListAlerts", ROLE_VIEWER, grpc_list, &alerts_list_request_message,
		   &alerts_answer_message, "gRPC: alerts that were kept, the newest first, in pages"),
	GRPC_ROUTE("/shrike.v1.Alerts/GetAlert", ROLE_VIEWER, grpc_get, &alert_get_request_message,
		   &alert_message_message, "gRPC: one alert"),
	GRPC_ROUTE("/shrike.v1.Alerts/AckAlert", ROLE_OPERATOR, grpc_ack, &alert_ack_request_message,
		   &alert_message_message, "gRPC: says that somebody looks at it"),
	GRPC_ROUTE("/shrike.v1.Alerts/CloseAlert", ROLE_OPERATOR, grpc_close, &alert_close_request_message,
		   &alert_message_message, "gRPC: says that nothing more is to be done"),
	GRPC_ROUTE("/shrike.v1.Alerts/", ROLE_VIEWER, grpc_unknown, NULL, NULL,
		   "gRPC: says that there is no such method"),
};

struct route_table alerts_api_routes(struct alerts_api *x)
{
	return (struct route_table) { routes, countof(routes), x, &alerts_proto_file };
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

int alerts_api_open(struct alerts *store, struct alerts_api **ret_api)
{
	AUTO(alerts_api) x = calloc(1, sizeof(*x));
	int r;

	if (!x)
		return err_new(-ENOMEM, "no memory for the API of alerts");
	x->store = store;
	r = alerts_feed_start(x);
	if (r < 0)
		return r;
	*ret_api = take(x);
	return 0;
}

void alerts_api_free(struct alerts_api *x)
{
	if (!x)
		return;
	alerts_feed_stop(x);
	free(x);
}
