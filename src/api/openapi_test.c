/* SPDX-License-Identifier: Apache-2.0 */
/* The description against the routes: all of them are in it, and its parameters are those that handlers take. */
#include "api/openapi.h"
#include <string.h>
#include "api/alerts_api.h"
#include "api/export.h"
#include "api/grpc_services.h"
#include "api/rig.h"
#include "base/err.h"
#include "base/json.h"
#include "base/test.h"

static const struct json_limits limits = { OPENAPI_MAX, 1 << 20, 64 };

/* All tables that an agent serves. */
static size_t all_tables(struct route_table tables[8])
{
	tables[0] = api_own_routes();
	tables[1] = export_routes(NULL);
	tables[2] = alerts_api_routes(NULL);
	tables[3] = grpc_services_routes(NULL);
	return 4;
}

static const struct json_node *operation_of(const struct json_node *root, const struct route *route)
{
	char method[16] = "";

	for (size_t i = 0; route->method[i] && i + 1 < sizeof(method); i++)
		method[i] = (char)(route->method[i] | 0x20);
	return json_get(json_get(json_get(root, "paths"), route->path), method);
}

static const char *text_of(const struct json_node *object, const char *name)
{
	const struct json_node *v = json_get(object, name);

	return v && v->type == JSON_STRING ? v->s : "";
}

/* Follows what a reference names; a message that nobody describes is a hole in the page. */
static void check_references(const struct json_node *root, const struct json_node *v)
{
	const struct json_node *name, *schemas = json_get(json_get(root, "components"), "schemas");

	if (!json_is_container(v))
		return;
	for (const struct json_node *m = json_first(v, &name); m; m = json_next(v, m, &name)) {
		static const char begin[] = "#/components/schemas/";

		if (name && !strcmp(name->s, "$ref") && !strncmp(m->s, begin, sizeof(begin) - 1) &&
		    !json_get(schemas, m->s + sizeof(begin) - 1))
			test_fail(T_HERE, "%s leads nowhere", m->s);
		check_references(root, m);
	}
}

TEST(every_route_is_described)
{
	struct route_table tables[8];
	auto_buf struct buf out = { .max = OPENAPI_MAX };
	auto_json struct json_doc doc;
	const struct json_node *root, *op;
	size_t n = all_tables(tables);

	openapi_write(tables, n, &out);
	json_init(&doc, &limits);
	check(!out.failed);
	require_ok(json_parse(&doc, buf_text(&out), out.len, &root));
	check_str(text_of(root, "openapi"), "3.1.0");
	for (size_t t = 0; t < n; t++)
		for (size_t i = 0; i < tables[t].n; i++) {
			const struct route *route = &tables[t].routes[i];

			test_row = route->path;
			op = operation_of(root, route);
			require(op);
			check_str(text_of(op, "summary"), route->doc);
			check_str(text_of(op, "x-role"), role_names[route->role]);
			check((json_get(op, "requestBody") != NULL) == (route->body_max != 0));
			check(json_get(json_get(op, "responses"), "200"));
		}
	test_row = NULL;
	check_references(root, root);
}

static bool has_parameter(const struct json_node *op, const char *in, const char *name)
{
	const struct json_node *list = json_get(op, "parameters"), *unused;

	for (const struct json_node *p = list ? json_first(list, &unused) : NULL; p; p = json_next(list, p, &unused))
		if (!strcmp(text_of(p, "in"), in) && !strcmp(text_of(p, "name"), name))
			return true;
	return false;
}

static int seen(void *arg, const char *name, const char *value)
{
	buf_printf(arg, "%s=%s;", name, value);
	return 0;
}

/* http_params() is what handlers read their parameters with: it takes what is described, and nothing else. */
TEST(described_parameters_are_those_that_are_taken)
{
	struct route_table tables[8];
	auto_buf struct buf out = { .max = OPENAPI_MAX };
	auto_json struct json_doc doc;
	const struct json_node *root, *unused;
	size_t n = all_tables(tables), taken = 0;

	openapi_write(tables, n, &out);
	json_init(&doc, &limits);
	require_ok(json_parse(&doc, buf_text(&out), out.len, &root));
	for (size_t t = 0; t < n; t++)
		for (size_t i = 0; i < tables[t].n; i++) {
			const struct route *route = &tables[t].routes[i];
			const struct json_node *op = operation_of(root, route), *list;
			auto_buf struct buf values = { .max = 4096 };
			struct http_request req = { .route = route, .query = "nonsense=1" };

			test_row = route->path;
			check_int(http_params(&req, seen, &values), -EINVAL);
			check_has(err_trail(), "there is no parameter \"nonsense\"");
			for (const char *p = route->path; (p = strchr(p, '{')); p++) {
				char name[64];

				(void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(p + 1, "}"), p + 1);
				check(has_parameter(op, "path", name));
			}
			list = json_get(op, "parameters");
			for (const struct json_node *p = list ? json_first(list, &unused) : NULL; p;
			     p = json_next(list, p, &unused)) {
				char query[128];

				if (strcmp(text_of(p, "in"), "query") != 0)
					continue;
				(void)snprintf(query, sizeof(query), "%s=x%%20y", text_of(p, "name"));
				req.query = query;
				check_int(http_params(&req, seen, &values), 0);
				taken++;
			}
		}
	test_row = NULL;
	check(taken > 10);
}

TEST(a_path_with_a_place_gives_its_value)
{
	static const struct route route = { .path = "/a/{id}/b/{other}" };
	static const struct {
		const char *name, *path, *id, *other;
	} rows[] = {
		{ "both", "/a/1/b/22", "1", "22" },
		{ "long", "/a/0123456789/b/x", "0123456789", "x" },
	};

	for_each_row (r, rows) {
		struct http_request req = { .route = &route, .path = r->path };
		char value[16];

		check(http_path_value(&req, "id", value, sizeof(value)));
		check_str(value, r->id);
		check(http_path_value(&req, "other", value, sizeof(value)));
		check_str(value, r->other);
		check(!http_path_value(&req, "ot", value, sizeof(value)));
		check(!http_path_value(&req, "id", value, 1));
	}
}

static void say_path(struct http_request *req)
{
	char id[64] = "-";

	(void)http_path_value(req, "id", id, sizeof(id));
	http_reply(req, 200, "text/plain", id, strlen(id));
}

TEST(the_most_literal_route_is_taken)
{
	static const struct route rows_of[] = {
		{ .method = "GET", .path = "/x/{id}", .role = ROLE_NONE, .handle = say_path },
		{ .method = "GET", .path = "/x/all", .role = ROLE_NONE, .handle = say_path },
		{ .method = "POST", .path = "/x/{id}/close", .role = ROLE_NONE, .body_max = 10, .handle = say_path },
	};
	static const struct route_table table = { rows_of, countof(rows_of), NULL };
	static const struct {
		const char *name, *line, *says;
	} rows[] = {
		{ "a place", "GET /x/7", "200 OK" },
		{ "its value", "GET /x/abc", "\r\n\r\nabc" },
		{ "the literal one", "GET /x/all", "\r\n\r\n-" },
		{ "below", "POST /x/9/close", "\r\n\r\n9" },
		{ "empty", "GET /x/", "404" },
		{ "too deep", "GET /x/1/2", "404" },
		{ "not with this method", "GET /x/9/close", "405" },
		{ "longer", "POST /x/9/closed", "404" },
	};

	for_each_row (r, rows) {
		auto_rig struct rig rig;
		char text[256];

		require(rig_open(&rig, &table, ROLE_VIEWER, NULL));
		(void)snprintf(text, sizeof(text), "%s HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n",
			       r->line);
		rig_say(&rig, text);
		check_has(buf_text(&rig.got), r->says);
	}
}
