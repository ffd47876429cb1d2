/* SPDX-License-Identifier: Apache-2.0 */
#include "api/openapi.h"
#include <ctype.h>
#include <string.h>
#include "api/proto.h"
#include "base/json.h"
#include "base/mem.h"

/* What is written, and which messages have been named and are to be described. */
struct page {
	const struct route_table *tables;
	size_t n_tables;
	struct buf *out;
	const struct proto_message *named[64];
	size_t n_named;
};

static void put_text(struct buf *out, const char *name, const char *text)
{
	buf_printf(out, "\"%s\":", name);
	(void)json_write_str(out, text, strlen(text));
}

/* ---- messages as schemas ---------------------------------------------------------------------------------- */

static void put_reference(struct page *page, const struct proto_message *m)
{
	size_t i = 0;

	while (i < page->n_named && page->named[i] != m)
		i++;
	if (i == page->n_named && i < countof(page->named))
		page->named[page->n_named++] = m;
	buf_printf(page->out, "{\"$ref\":\"#/components/schemas/%s\"}", m->name);
}

/* As protobuf writes JSON: what a double cannot hold is a string. */
static void put_field_type(struct page *page, const struct proto_field *f)
{
	struct buf *out = page->out;

	switch (f->type) {
	case PROTO_BOOL:
		buf_str(out, "{\"type\":\"boolean\"}");
		return;
	case PROTO_U32:
	case PROTO_I32:
	case PROTO_S32:
		buf_printf(out, "{\"type\":\"integer\",\"format\":\"%s\"}", f->type == PROTO_U32 ? "uint32" : "int32");
		return;
	case PROTO_U64:
	case PROTO_I64:
	case PROTO_S64:
	case PROTO_FIXED64:
		buf_printf(out, "{\"type\":\"string\",\"format\":\"%s\"}",
			   f->type == PROTO_I64 || f->type == PROTO_S64 ? "int64" : "uint64");
		return;
	case PROTO_STRING:
		buf_str(out, "{\"type\":\"string\"}");
		return;
	case PROTO_BYTES:
		buf_str(out, "{\"type\":\"string\",\"contentEncoding\":\"base64\"}");
		return;
	case PROTO_ENUM:
		buf_str(out, "{\"type\":\"string\",\"enum\":[");
		for (size_t i = 0; i < f->values->n_values; i++)
			buf_printf(out, "%s\"%s\"", i ? "," : "", f->values->values[i].name);
		buf_str(out, "]}");
		return;
	case PROTO_MESSAGE:
		put_reference(page, f->message);
		return;
	}
}

static void put_message(struct page *page, const struct proto_message *m)
{
	struct buf *out = page->out;

	buf_printf(out, "\"%s\":{\"type\":\"object\",", m->name);
	put_text(out, "description", m->doc);
	buf_str(out, ",\"properties\":{");
	for (size_t i = 0; i < m->n_fields; i++) {
		const struct proto_field *f = &m->fields[i];
		auto_buf struct buf name = { .max = 256 };

		proto_json_name(f->name, &name);
		buf_printf(out, "%s\"%s\":{\"description\":", i ? "," : "", buf_text(&name));
		(void)json_write_str(out, f->doc, strlen(f->doc));
		/* In 3.1 a reference may have siblings; a list of it needs a place of its own. */
		buf_str(out, f->repeated ? ",\"type\":\"array\",\"items\":" : ",\"allOf\":[");
		put_field_type(page, f);
		buf_str(out, f->repeated ? "}" : "]}");
	}
	buf_str(out, "}}");
}

/* ---- operations ------------------------------------------------------------------------------------------- */

static bool is_grpc(const struct route *route)
{
	return !strncmp(route->doc, "gRPC:", 5);
}

static void begin_parameter(struct buf *out, bool *io_first, const char *in, const char *name, const char *doc)
{
	buf_str(out, *io_first ? "{" : ",{");
	*io_first = false;
	put_text(out, "name", name);
	buf_printf(out, ",\"in\":\"%s\",%s", in, !strcmp(in, "path") ? "\"required\":true," : "");
	put_text(out, "description", doc);
	buf_str(out, ",\"schema\":");
}

static void put_values(struct buf *out, const struct route_param *p)
{
	buf_printf(out, "{\"type\":\"%s\"", p->type ? p->type : "string");
	for (size_t i = 0; p->values && p->values[i]; i++)
		buf_printf(out, "%s\"%s\"", i ? "," : ",\"enum\":[", p->values[i]);
	buf_str(out, p->values ? "]}" : "}");
}

static void put_parameters(struct page *page, const struct route *route)
{
	static const char *const places[] = { "query", "path", "header" };
	struct buf *out = page->out;
	bool first = true;

	buf_str(out, ",\"parameters\":[");
	for (size_t i = 0; i < route->n_params; i++) {
		const struct route_param *p = &route->params[i];

		begin_parameter(out, &first, places[p->in], p->name, p->doc);
		buf_str(out, p->repeated ? "{\"type\":\"array\",\"items\":" : "");
		put_values(out, p);
		buf_str(out, p->repeated ? "},\"style\":\"form\",\"explode\":false}" : "}");
	}
	for (size_t i = 0; i < countof(route->query) && route->query[i]; i++)
		for (size_t k = 0; k < route->query[i]->n_fields; k++) {
			const struct proto_field *f = &route->query[i]->fields[k];

			if (f->type == PROTO_MESSAGE)
				continue;
			begin_parameter(out, &first, "query", f->name, f->doc);
			buf_str(out, f->repeated ? "{\"type\":\"array\",\"items\":" : "");
			put_field_type(page, f);
			buf_str(out, f->repeated ? "},\"style\":\"form\",\"explode\":false}" : "}");
		}
	buf_char(out, ']');
}

/* What a body is: a message, a schema of its own, or nothing that is said. */
static void put_content(struct page *page, const char *type, const struct proto_message *m, const char *schema)
{
	struct buf *out = page->out;

	buf_printf(out, "\"%s\":{", type);
	if (m || schema)
		buf_str(out, "\"schema\":");
	if (m)
		put_reference(page, m);
	else if (schema)
		buf_str(out, schema);
	buf_char(out, '}');
}

static void put_responses(struct page *page, const struct route *route)
{
	static const char *const json[] = { "application/json", NULL }, *const grpc[] = { "application/grpc", NULL };
	const char *const *types = route->types ? route->types : is_grpc(route) ? grpc : json;
	struct buf *out = page->out;

	buf_str(out, ",\"responses\":{\"200\":{\"description\":\"the answer\",\"content\":{");
	for (size_t i = 0; types[i]; i++) {
		buf_str(out, i ? "," : "");
		put_content(page, types[i], route->out, route->out_schema);
	}
	buf_str(out, "}},\"default\":{\"$ref\":\"#/components/responses/Refused\"}}");
}

static void put_operation(struct page *page, const struct route *route)
{
	struct buf *out = page->out;

	for (const char *p = route->method; *p; p++)
		buf_char(out, (char)tolower((unsigned char)*p));
	buf_str(out, "\":{");
	put_text(out, "summary", route->doc);
	buf_printf(out, ",\"x-role\":\"%s\",\"security\":[%s]", role_names[route->role],
		   route->role == ROLE_NONE ? "" : "{\"token\":[]}");
	if (route->n_params || route->query[0])
		put_parameters(page, route);
	if (route->body_max) {
		buf_str(out, ",\"requestBody\":{\"content\":{");
		put_content(page, is_grpc(route) ? "application/grpc" : "application/json", route->in,
			    route->in_schema);
		buf_str(out, "}}");
	}
	put_responses(page, route);
	buf_char(out, '}');
}

/* One path may have several methods, which stand together. */
static void put_path(struct page *page, size_t table, size_t at, bool *io_first)
{
	const char *path = page->tables[table].routes[at].path;
	unsigned n = 0;

	for (size_t t = 0; t < page->n_tables; t++)
		for (size_t i = 0; i < page->tables[t].n; i++) {
			const struct route *route = &page->tables[t].routes[i];

			if (strcmp(route->path, path) != 0)
				continue;
			if (!n++ && (t < table || (t == table && i < at)))
				return; /* it was put with the first of them */
			if (n == 1) {
				buf_str(page->out, *io_first ? "" : ",");
				*io_first = false;
				(void)json_write_str(page->out, path, strlen(path));
				buf_char(page->out, ':');
			}
			buf_str(page->out, n == 1 ? "{\"" : ",\"");
			put_operation(page, route);
		}
	buf_char(page->out, '}');
}

/* ---- the page --------------------------------------------------------------------------------------------- */

/* The same JSON with a member a line: people read it, and differences of the page are short. */
static void indent(const struct buf *in, struct buf *out)
{
	unsigned depth = 0;
	bool quoted = false;

	for (const char *p = buf_text(in); *p; p++) {
		bool opens = !quoted && (*p == '{' || *p == '['), closes = !quoted && (*p == '}' || *p == ']');

		if (closes)
			depth--;
		if (closes && p[-1] != '{' && p[-1] != '[') {
			buf_char(out, '\n');
			for (unsigned i = 0; i < depth; i++)
				buf_str(out, "  ");
		}
		buf_char(out, *p);
		if (*p == '"')
			quoted = !quoted;
		else if (quoted && *p == '\\' && p[1])
			buf_char(out, *++p);
		if (!quoted && *p == ':')
			buf_char(out, ' ');
		depth += opens;
		if ((opens && p[1] != '}' && p[1] != ']') || (!quoted && *p == ',')) {
			buf_char(out, '\n');
			for (unsigned i = 0; i < depth; i++)
				buf_str(out, "  ");
		}
	}
	buf_char(out, '\n');
}

void openapi_write(const struct route_table *tables, size_t n, struct buf *out)
{
	auto_buf struct buf text = { .max = OPENAPI_MAX };
	struct page page = { .tables = tables, .n_tables = n, .out = &text };
	bool first = true;

	buf_str(&text, "{\"openapi\":\"3.1.0\",\"info\":{\"title\":\"Shrike\",\"version\":\"" SHRIKE_VERSION
		       "\",\"description\":\"What a running agent answers. docs/api.md says who may ask, and how "
		       "much.\"},\"paths\":{");
	for (size_t t = 0; t < n; t++)
		for (size_t i = 0; i < tables[t].n; i++)
			put_path(&page, t, i, &first);
	buf_str(&text, "},\"components\":{\"securitySchemes\":{\"token\":{\"type\":\"http\",\"scheme\":\"bearer\"}},"
		       "\"responses\":{\"Refused\":{\"description\":\"why not\",\"content\":{\"application/json\":{"
		       "\"schema\":{\"$ref\":\"#/components/schemas/Error\"}}}}},\"schemas\":{"
		       "\"Error\":{\"type\":\"object\",\"properties\":{\"error\":{\"type\":\"object\",\"properties\":{"
		       "\"status\":{\"type\":\"integer\"},\"message\":{\"type\":\"string\"}}}}}");
	/* Those that are named on the way come behind. */
	for (size_t i = 0; i < page.n_named; i++) {
		buf_char(&text, ',');
		put_message(&page, page.named[i]);
	}
	buf_str(&text, "}}}");
	indent(&text, out);
	out->failed |= text.failed;
}
