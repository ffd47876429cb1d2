/* SPDX-License-Identifier: Apache-2.0 */
/* routes - what the API answers by itself: whether the agent is well, its metrics, who asks, what there is. */
#include <string.h>
#include "api/internal.h"
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

static void put_operation(struct buf *out, const struct route *route)
{
	for (const char *p = route->method; *p; p++)
		buf_char(out, (char)(*p | 0x20));
	buf_str(out, "\":{\"summary\":");
	(void)json_write_str(out, route->doc, strlen(route->doc));
	buf_printf(out, ",\"x-role\":\"%s\",\"security\":[%s]", role_names[route->role],
		   route->role == ROLE_NONE ? "" : "{\"token\":[]}");
	if (route->body_max)
		buf_str(out, ",\"requestBody\":{\"content\":{\"application/json\":{}}}");
	buf_str(out, ",\"responses\":{\"default\":{\"description\":\"the answer, or an error\"}}}");
}

/* One path may have several methods, which stand together. */
static void put_path(struct buf *out, const struct api *api, size_t table, size_t at)
{
	const char *path = api->tables[table].routes[at].path;
	unsigned n = 0;

	for (size_t t = 0; t < api->n_tables; t++)
		for (size_t i = 0; i < api->tables[t].n; i++) {
			const struct route *route = &api->tables[t].routes[i];

			if (strcmp(route->path, path) != 0)
				continue;
			if (!n++ && (t < table || (t == table && i < at)))
				return; /* it was put with the first of them */
			if (n == 1) {
				buf_str(out, out->data[out->len - 1] == '{' ? "" : ",");
				(void)json_write_str(out, path, strlen(path));
				buf_char(out, ':');
			}
			buf_str(out, n == 1 ? "{\"" : ",\"");
			put_operation(out, route);
		}
	buf_char(out, '}');
}

static void openapi(struct http_request *req)
{
	const struct api *api = req->ctx;
	auto_buf struct buf out = { .max = 1 << 20 };

	buf_str(&out, "{\"openapi\":\"3.0.3\",\"info\":{\"title\":\"Shrike\",\"version\":\"" SHRIKE_VERSION "\"},"
		      "\"components\":{\"securitySchemes\":{\"token\":{\"type\":\"http\",\"scheme\":\"bearer\"}}},"
		      "\"paths\":{");
	for (size_t t = 0; t < api->n_tables; t++)
		for (size_t i = 0; i < api->tables[t].n; i++)
			put_path(&out, api, t, i);
	buf_str(&out, "}}\n");
	http_reply_buf(req, 200, "application/json", &out);
}

const struct route api_routes[] = {
	{ .method = "GET",
	  .path = "/health",
	  .role = ROLE_NONE,
	  .handle = health,
	  .doc = "Is the agent's process alive? It is when this answers." },
	{ .method = "GET",
	  .path = "/readyz",
	  .role = ROLE_NONE,
	  .handle = readyz,
	  .doc = "Is the agent at its work? 503 when no sensor runs." },
	{ .method = "GET",
	  .path = "/metrics",
	  .role = ROLE_VIEWER,
	  .handle = metrics,
	  .doc = "All counters, as Prometheus reads them." },
	{ .method = "GET",
	  .path = "/api/v1/whoami",
	  .role = ROLE_VIEWER,
	  .handle = whoami,
	  .doc = "Who the server takes you for, and what you may." },
	{ .method = "GET",
	  .path = "/openapi.json",
	  .role = ROLE_NONE,
	  .handle = openapi,
	  .doc = "This description, made from the tables that serve." },
};
const size_t api_n_routes = countof(api_routes);
