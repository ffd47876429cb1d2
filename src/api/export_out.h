/* SPDX-License-Identifier: Apache-2.0 */
/*
 * export_out - the records of one stream as bytes, in the form that the client asked for. For the export's own files.
 *
 * Frames are filled while there is room and there are records. One that does not even fit into the
 * empty room is made in memory of its own and sent in pieces.
 */
#pragma once
#include "api/export_sub.h"
#include "api/grpc.h"
#include "base/buf.h"

enum export_form {
	FORM_GRPC, /* a message an event */
	FORM_GRPC_BATCH,
	FORM_WS_JSON,  /* a text message an event */
	FORM_WS_PROTO, /* binary messages, RawEventBatch each */
	FORM_SSE,
	FORM_LINES, /* JSON lines */
};

struct export_out;
/* `sub` is taken, also where this fails. `coding` is of the messages for gRPC, else of the body. */
int export_out_open(struct http_request *req, struct export_sub *sub, enum export_form form,
		    const struct stream_request *request, enum grpc_coding coding, struct export_out **ret_out);
/* Begins the answer, which frees it in the end. */
void export_out_start(struct export_out *out, const char *type);
