/* SPDX-License-Identifier: Apache-2.0 */
/* export_grpc - the methods of shrike.v1.EbpfExport. */
#include "api/export_out.h"
#include "api/proto_event.h"
#include "base/err.h"

enum { REQUEST_MEMORY = 1 << 20 };

static void fail(struct http_request *req, int r)
{
	grpc_fail(req, grpc_status_of(r), "%s", err_trail());
	err_clear();
}

/* The filter as it is asked for, for the audit log. */
static void audit(struct http_request *req, const struct export_filter *filter)
{
	auto_buf struct buf text = { .max = 1 << 16 };

	if (!filter)
		return;
	proto_write_json(&export_filter_message, filter, &text);
	http_audit_filter(req, buf_text(&text), text.len);
}

/* False: the call has been answered. */
static bool read_request(struct http_request *req, const struct proto_message *m, struct arena *arena,
			 void *ret_request)
{
	auto_buf struct buf room = { .max = GRPC_MESSAGE_MAX };
	struct str message;
	int r;

	if (!grpc_accept(req) || !grpc_message(req, &room, &message))
		return false;
	r = proto_read(m, message.p, message.n, arena, ret_request);
	if (r < 0)
		fail(req, r);
	return r == 0;
}

static int coding_of(struct http_request *req, int32_t compression, enum grpc_coding *ret_coding)
{
	static const enum grpc_coding codings[] = {
		[COMPRESSION_NONE] = GRPC_IDENTITY, [COMPRESSION_GZIP] = GRPC_GZIP, [COMPRESSION_ZSTD] = GRPC_ZSTD
	};

	if (compression < 0 || (size_t)compression >= countof(codings))
		return err_new(-EINVAL, "compression: there is no such one");
	*ret_coding = codings[compression];
	if (!grpc_takes(req, *ret_coding))
		return err_new(-EINVAL, "compression: the call's grpc-accept-encoding has no %s",
			       grpc_coding_name(*ret_coding));
	return 0;
}

static void stream(struct http_request *req, enum export_form form)
{
	auto_arena struct arena arena = { .max = REQUEST_MEMORY };
	struct stream_request request;
	AUTO(export_sub) sub = NULL;
	enum grpc_coding coding;
	struct export_out *out;
	int r;

	if (!read_request(req, &stream_request_message, &arena, &request))
		return;
	r = coding_of(req, request.compression, &coding);
	if (!r && request.batch > EXPORT_BATCH_MAX)
		r = err_new(-EINVAL, "batch: at most %d", EXPORT_BATCH_MAX);
	r = r < 0 ? r : export_sub_open(req->ctx, req, &request, &sub);
	r = r < 0 ? r : export_out_open(req, take(sub), form, &request, coding, &out);
	if (r < 0) {
		fail(req, r);
		return;
	}
	audit(req, request.filter);
	if (coding != GRPC_IDENTITY)
		(void)http_answer_header(req, "grpc-encoding", grpc_coding_name(coding));
	export_out_start(out, "application/grpc");
}

void export_grpc_stream(struct http_request *req)
{
	stream(req, FORM_GRPC);
}

void export_grpc_batches(struct http_request *req)
{
	stream(req, FORM_GRPC_BATCH);
}

void export_grpc_metrics(struct http_request *req)
{
	auto_arena struct arena arena = { .max = REQUEST_MEMORY };
	auto_buf struct buf answer = { .max = REQUEST_MEMORY };
	struct ring_metrics_request request;
	struct ring_metrics metrics;
	int r;

	if (!read_request(req, &ring_metrics_request_message, &arena, &request))
		return;
	r = export_metrics(req->ctx, &arena, &metrics);
	if (r < 0) {
		fail(req, r);
		return;
	}
	proto_write(&ring_metrics_message, &metrics, &answer);
	grpc_reply(req, &answer);
}

void export_grpc_unknown(struct http_request *req)
{
	if (grpc_accept(req))
		grpc_fail(req, GRPC_UNIMPLEMENTED, "there is no method %s", req->path);
}
