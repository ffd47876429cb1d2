/* SPDX-License-Identifier: Apache-2.0 */
/* export_http - the export for clients that speak plain HTTP: streams in three forms, queries and figures in JSON. */
#include <ctype.h>
#include <string.h>
#include "api/export_out.h"
#include "base/err.h"

enum { REQUEST_MEMORY = 1 << 20 };

static void refuse(struct http_request *req, int r)
{
	http_refuse(req, http_status_of(r), "%s", err_trail());
	err_clear();
}

/* ---- what is asked for in the query string ------------------------------------------------------- */

/* "net.*,file.open": a list in one value. */
static int read_list(const char *name, char *value, struct arena *arena, struct export_filter *filter)
{
	char *state;
	int r = 0;

	for (char *item = strtok_r(value, ",", &state); item && !r; item = strtok_r(NULL, ",", &state))
		r = proto_read_text(&export_filter_message, name, item, arena, filter);
	return r;
}

struct reading {
	struct arena *arena;
	struct stream_request *request;
	struct export_filter *filter;
};

static int read_parameter(void *arg, const char *name, const char *value)
{
	struct reading *in = arg;
	char list[HTTP_QUERY_MAX];

	/* It says in which form, and is looked at there. */
	if (!strcmp(name, "format"))
		return 0;
	if (!strcmp(name, "types") || !strcmp(name, "skip_types")) {
		(void)snprintf(list, sizeof(list), "%s", value);
		return read_list(name, list, in->arena, in->filter);
	}
	for (size_t i = 0; i < stream_request_message.n_fields; i++)
		if (!strcmp(name, stream_request_message.fields[i].name))
			return proto_read_text(&stream_request_message, name, value, in->arena, in->request);
	return proto_read_text(&export_filter_message, name, value, in->arena, in->filter);
}

static int read_query(const struct http_request *req, struct arena *arena, struct stream_request *request,
		      struct export_filter *filter)
{
	struct reading in = { arena, request, filter };

	request->filter = filter;
	return http_params(req, read_parameter, &in);
}

static int read_last_event(const struct http_request *req, struct arena *arena, struct stream_request *request)
{
	const char *id = http_header(req, "last-event-id");

	return id && *id ? proto_read_text(&stream_request_message, "cursor", id, arena, request) : 0;
}

/* ---- streams ------------------------------------------------------------------------------------------ */

/* Does a list like "gzip, zstd;q=0.5" have it? */
static bool has_word(const char *list, const char *word)
{
	size_t n = strlen(word);

	for (; list && *list; list += strcspn(list, ","), list += *list == ',') {
		list += strspn(list, " ");
		if (!strncasecmp(list, word, n) && strchr(",; ", list[n]))
			return strncmp(list + n, ";q=0", 4) != 0 || list[n + 4] == '.';
	}
	return false;
}

static int form_of(const struct http_request *req, enum export_form *ret_form)
{
	bool websocket = http_wants_websocket(req);
	char format[32];

	*ret_form = websocket                                                      ? FORM_WS_JSON
		    : has_word(http_header(req, "accept"), "application/x-ndjson") ? FORM_LINES
										   : FORM_SSE;
	if (!http_query(req, "format", format, sizeof(format)) || !*format)
		return 0;
	if (!strcmp(format, "protobuf") && websocket)
		*ret_form = FORM_WS_PROTO;
	else if (!strcmp(format, "lines") && !websocket)
		*ret_form = FORM_LINES;
	else if (!strcmp(format, "sse") && !websocket)
		*ret_form = FORM_SSE;
	else if (strcmp(format, "json") != 0 || !websocket)
		return err_new(-EINVAL, "format: wanted json or protobuf over a WebSocket, else sse or lines");
	return 0;
}

static int coding_of(const struct http_request *req, enum export_form form, const struct stream_request *request,
		     enum grpc_coding *ret_coding)
{
	static const enum grpc_coding codings[] = { GRPC_IDENTITY, GRPC_GZIP, GRPC_ZSTD };

	*ret_coding = codings[request->compression];
	if (*ret_coding == GRPC_IDENTITY)
		return 0;
	if (form == FORM_WS_JSON || form == FORM_WS_PROTO)
		return err_new(-EINVAL, "compression: not over a WebSocket");
	if (!has_word(http_header(req, "accept-encoding"), grpc_coding_name(*ret_coding)))
		return err_new(-EINVAL, "compression: the request's accept-encoding has no %s",
			       grpc_coding_name(*ret_coding));
	return 0;
}

static int open_stream(struct http_request *req, struct arena *arena, enum export_form *ret_form,
		       struct export_out **ret_out)
{
	struct stream_request request = { 0 };
	struct export_filter filter = { .comm = "", .container = "", .path = "", .address = "", .expr = "" };
	AUTO(export_sub) sub = NULL;
	enum grpc_coding coding;
	int r;

	r = read_last_event(req, arena, &request);
	r = r < 0 ? r : read_query(req, arena, &request, &filter);
	r = r < 0 ? r : form_of(req, ret_form);
	r = r < 0 ? r : coding_of(req, *ret_form, &request, &coding);
	if (!r && request.batch > EXPORT_BATCH_MAX)
		r = err_new(-EINVAL, "batch: at most %d", EXPORT_BATCH_MAX);
	r = r < 0 ? r : export_sub_open(req->ctx, req, &request, &sub);
	r = r < 0 ? r : export_out_open(req, take(sub), *ret_form, &request, coding, ret_out);
	if (r < 0)
		return r;
	http_audit_filter(req, req->query, strlen(req->query));
	if (coding != GRPC_IDENTITY)
		(void)http_answer_header(req, "content-encoding", grpc_coding_name(coding));
	return 0;
}

void export_http_stream(struct http_request *req)
{
	auto_arena struct arena arena = { .max = REQUEST_MEMORY };
	enum export_form form;
	struct export_out *out;
	int r = open_stream(req, &arena, &form, &out);

	if (r < 0) {
		refuse(req, r);
		return;
	}
	(void)http_answer_header(req, "cache-control", "no-store");
	export_out_start(out, form == FORM_LINES ? "application/x-ndjson" : "text/event-stream");
}

/* ---- figures -------------------------------------------------------------------------------------------- */

void export_http_metrics(struct http_request *req)
{
	auto_arena struct arena arena = { .max = REQUEST_MEMORY };
	auto_buf struct buf answer = { .max = REQUEST_MEMORY };
	struct ring_metrics metrics;
	int r = export_metrics(req->ctx, &arena, &metrics);

	if (r < 0) {
		refuse(req, r);
		return;
	}
	proto_write_json(&ring_metrics_message, &metrics, &answer);
	buf_char(&answer, '\n');
	http_reply_buf(req, 200, "application/json", &answer);
}
