/* SPDX-License-Identifier: Apache-2.0 */
/* routes - what the API answers by itself: whether the agent is well, its metrics, who asks, what there is. */
#include <string.h>
#include "api/internal.h"
#include "api/openapi.h"
#include "base/json.h"

static void health(struct http_request *req)
{
	static const char text[] = "{\"status\":\"ok\",\"version\":\"" SHRIKE_VERSION "\"}\n";

	http_reply(req, 200, "application/json", text, sizeof(text) - 1);
}

static unsigned make_readyz(void *ctx, struct buf *out)
{
	struct api *api = ctx;
	auto_buf struct buf why = { .max = 4096 };
	bool ready = !api->options.ready || api->options.ready(api->options.ctx, &why);

	buf_printf(out, "{\"status\":\"%s\"", ready ? "ready" : "not ready");
	if (why.len) {
		buf_str(out, ",\"why\":");
		(void)json_write_str(out, buf_text(&why), why.len);
	}
	buf_str(out, "}\n");
	return ready ? 200 : 503;
}

static void readyz(struct http_request *req)
{
	http_reply_from(req, "application/json", make_readyz, req->ctx);
}

static unsigned make_metrics(void *ctx, struct buf *out)
{
	struct api *api = ctx;

	if (api->options.metrics)
		api->options.metrics(api->options.ctx, out);
	api_metrics(api, out);
	return 200;
}

static void metrics(struct http_request *req)
{
	http_reply_from(req, "text/plain; version=0.0.4; charset=utf-8", make_metrics, req->ctx);
}

static void put_list(struct buf *out, const char *name, const struct option_list *list)
{
	buf_printf(out, ",\"%s\":[", name);
	for (size_t i = 0; i < list->n; i++) {
		buf_str(out, i ? "," : "");
		(void)json_write_str(out, list->items[i], strlen(list->items[i]));
	}
	buf_char(out, ']');
}

static void whoami(struct http_request *req)
{
	const struct consumer *c = req->consumer;
	auto_buf struct buf out = { .max = 64 << 10 };

	buf_str(&out, "{\"name\":");
	(void)json_write_str(&out, c->name, strlen(c->name));
	buf_printf(&out, ",\"role\":\"%s\"", role_names[c->role]);
	put_list(&out, "allow", &c->allow);
	put_list(&out, "deny", &c->deny);
	buf_printf(&out, ",\"events_per_s\":%u,\"requests_per_s\":%u,\"streams\":%u,\"streams_open\":%u}\n",
		   c->events_per_s, c->requests_per_s, c->streams_max, c->usage->streams);
	http_reply_buf(req, 200, "application/json", &out);
}

/* ---- the description of all routes ------------------------------------------------------------------------ */

static void openapi(struct http_request *req)
{
	const struct api *api = req->ctx;
	auto_buf struct buf out = { .max = OPENAPI_MAX };

	openapi_write(api->tables, api->n_tables, &out);
	http_reply_buf(req, 200, "application/json", &out);
}

/* Schemas of what is answered. */
#define TEXT_MEMBER(n, d)   "\"" n "\":{\"type\":\"string\",\"description\":\"" d "\"}"
#define NUMBER_MEMBER(n, d) "\"" n "\":{\"type\":\"integer\",\"description\":\"" d "\"}"
#define LIST_MEMBER(n, d)   "\"" n "\":{\"type\":\"array\",\"items\":{\"type\":\"string\"},\"description\":\"" d "\"}"
#define OBJECT(members)     "{\"type\":\"object\",\"properties\":{" members "}}"

static const char *const prometheus[] = { "text/plain", NULL };

#define CONSUMER_NAME    TEXT_MEMBER("name", "of the consumer") "," TEXT_MEMBER("role", "viewer, operator or admin")
#define CONSUMER_TYPES   LIST_MEMBER("allow", "event types it may read") "," LIST_MEMBER("deny", "those it may not")
#define CONSUMER_RATES   NUMBER_MEMBER("events_per_s", "0: no bound") "," NUMBER_MEMBER("requests_per_s", "0: no bound")
#define CONSUMER_STREAMS NUMBER_MEMBER("streams", "at a time") "," NUMBER_MEMBER("streams_open", "now")

const struct route api_routes[] = {
	{ .method = "GET",
	  .path = "/health",
	  .role = ROLE_NONE,
	  .handle = health,
	  .out_schema = OBJECT(TEXT_MEMBER("status", "ok") "," TEXT_MEMBER("version", "of the agent")),
	  .doc = "Is the agent's process alive? It is when this answers." },
	{ .method = "GET",
	  .path = "/readyz",
	  .role = ROLE_NONE,
	  .handle = readyz,
	  .out_schema = OBJECT(TEXT_MEMBER("status", "ready, or not ready") "," TEXT_MEMBER("why", "it is not")),
	  .doc = "Is the agent at its work? 503 when no sensor runs." },
	{ .method = "GET",
	  .path = "/metrics",
	  .role = ROLE_VIEWER,
	  .handle = metrics,
	  .types = prometheus,
	  .doc = "All counters, as Prometheus reads them." },
	{ .method = "GET",
	  .path = "/api/v1/whoami",
	  .role = ROLE_VIEWER,
	  .handle = whoami,
	  .out_schema = OBJECT(CONSUMER_NAME "," CONSUMER_TYPES "," CONSUMER_RATES "," CONSUMER_STREAMS),
	  .doc = "Who the server takes you for, and what you may." },
	{ .method = "GET",
	  .path = "/api/v1/openapi.json",
	  .role = ROLE_NONE,
	  .handle = openapi,
	  .out_schema = "{\"type\":\"object\"}",
	  .doc = "This description, made from the tables that serve." },
	{ .method = "GET",
	  .path = "/openapi.json",
	  .role = ROLE_NONE,
	  .handle = openapi,
	  .out_schema = "{\"type\":\"object\"}",
	  .doc = "The same description." },
};
const size_t api_n_routes = countof(api_routes);

struct route_table api_own_routes(void)
{
	return (struct route_table) { api_routes, api_n_routes, NULL };
}
