/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http2 - HTTP/2 by libnghttp2, which reads frames and keeps windows; here they become exchanges.
 *
 * The bytes of an answer are not copied into the library's frames: it asks for so many, and then they are put behind
 * the frame's head in the connection's output at once. A window that is smaller than what was produced leaves the
 * rest in the exchange, and nothing is produced before it is gone.
 */
#include <errno.h>
#include <string.h>
#include "api/internal.h"

enum { FRAME_MAX = 64 << 10, RESETS_BURST = 200, RESETS_PER_S = 50, ACKS_MAX = 256, SETTINGS_MAX = 16 };

static struct exchange *exchange_of(nghttp2_session *session, int32_t stream_id)
{
	return nghttp2_session_get_stream_user_data(session, stream_id);
}

/* ---- requests --------------------------------------------------------------------------------------------- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct conn *c = user;
	struct exchange *x;

	if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	x = exchange_new(c);
	if (!x)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	x->stream_id = frame->hd.stream_id;
	return nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, x);
}

static void refuse_later(struct exchange *x, unsigned status, const char *why)
{
	if (!x->refused_early) {
		x->refused_early = status;
		x->refused_why = why;
	}
}

static void take_pseudo(struct exchange *x, const char *name, const char *value, size_t n)
{
	char *copy;

	if (n > PATH_MAX_BYTES) {
		refuse_later(x, 414, "a target is too long");
		return;
	}
	copy = arena_str(&x->memory, value, n);
	if (!copy || strlen(copy) != n)
		refuse_later(x, 400, "malformed header");
	else if (!strcmp(name, ":method"))
		x->req.method = copy;
	else if (!strcmp(name, ":path"))
		x->req.path = copy; /* as sent, until it is routed */
	else if (!strcmp(name, ":authority"))
		x->req.authority = copy;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t n_name,
		     const uint8_t *value, size_t n_value, uint8_t flags, void *user)
{
	struct exchange *x = exchange_of(session, frame->hd.stream_id);

	(void)flags;
	(void)user;
	if (!x || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0; /* trailers tell us nothing */
	if (n_name && name[0] == ':')
		take_pseudo(x, (const char *)name, (const char *)value, n_value);
	else if (!exchange_add_header(x, (const char *)name, n_name, (const char *)value, n_value))
		refuse_later(x, 431, "too many headers, or too large");
	return 0;
}

static void headers_are_there(struct exchange *x, bool end)
{
	const char *target = x->req.path, *length = http_header(&x->req, "content-length");
	const char *host = http_header(&x->req, "host");

	x->req.path = "";
	if (!x->req.authority[0] && host)
		x->req.authority = host;
	x->body_ended = false;
	if (x->refused_early) {
		x->state = EXCHANGE_BODY;
		http_refuse(&x->req, x->refused_early, "%s", x->refused_why);
		return;
	}
	/* nghttp2 has seen to it that a length is a number and that the body has it. */
	if (exchange_route(x, target, strlen(target), end ? 0 : length ? strtoll(length, NULL, 10) : -1) && end)
		exchange_body_end(x);
	x->body_ended |= end;
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct exchange *x = exchange_of(session, frame->hd.stream_id);
	bool end = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;

	(void)user;
	if (!x)
		return 0;
	if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
		headers_are_there(x, end);
	else if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) && end)
		exchange_body_end(x);
	return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream_id, const uint8_t *data, size_t n,
		   void *user)
{
	struct exchange *x = exchange_of(session, stream_id);

	(void)flags;
	(void)user;
	if (x)
		(void)exchange_body(x, (const char *)data, n);
	return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t stream_id, uint32_t error, void *user)
{
	struct exchange *x = exchange_of(session, stream_id);

	(void)user;
	if (!x)
		return 0;
	(void)nghttp2_session_set_stream_user_data(session, stream_id, NULL);
	exchange_end(x, x->ended && !x->n_chunk && (error == NGHTTP2_NO_ERROR || !x->body_ended));
	return 0;
}

/* ---- answers ---------------------------------------------------------------------------------------------- */

static bool is_full(const struct conn *c)
{
	return conn_pending(c) >= OUT_HIGH || c->out.failed;
}

static ssize_t on_send(nghttp2_session *session, const uint8_t *bytes, size_t n, int flags, void *user)
{
	struct conn *c = user;

	(void)session;
	(void)flags;
	if (is_full(c))
		return NGHTTP2_ERR_WOULDBLOCK;
	buf_add(&c->out, bytes, n);
	return (ssize_t)n;
}

static int on_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head, size_t n,
			nghttp2_data_source *source, void *user)
{
	struct exchange *x = source->ptr;
	struct conn *c = user;

	(void)session;
	(void)frame;
	if (is_full(c))
		return NGHTTP2_ERR_WOULDBLOCK;
	buf_add(&c->out, head, 9);
	buf_add(&c->out, x->chunk, n);
	exchange_used(x, n);
	return 0;
}

static ssize_t on_frame_size(nghttp2_session *session, uint8_t type, int32_t stream_id, int32_t session_window,
			     int32_t stream_window, uint32_t frame_max, void *user)
{
	int64_t n = frame_max < FRAME_MAX ? frame_max : FRAME_MAX;

	(void)session;
	(void)type;
	(void)stream_id;
	(void)user;
	n = session_window < n ? session_window : n;
	return (ssize_t)(stream_window < n ? stream_window : n);
}

static int submit_trailers(nghttp2_session *session, struct exchange *x)
{
	nghttp2_nv nv[HTTP_TRAILERS_MAX];

	for (size_t i = 0; i < x->n_trailers; i++)
		nv[i] = (nghttp2_nv) { (uint8_t *)(uintptr_t)x->trailers[i].name,
				       (uint8_t *)(uintptr_t)x->trailers[i].value, strlen(x->trailers[i].name),
				       strlen(x->trailers[i].value), NGHTTP2_NV_FLAG_NONE };
	return nghttp2_submit_trailer(session, x->stream_id, nv, x->n_trailers);
}

static ssize_t end_of_data(nghttp2_session *session, struct exchange *x, uint32_t *flags)
{
	*flags |= NGHTTP2_DATA_FLAG_EOF;
	if (!x->n_trailers)
		return 0;
	*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
	return submit_trailers(session, x) ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static ssize_t on_read(nghttp2_session *session, int32_t stream_id, uint8_t *to, size_t room, uint32_t *flags,
		       nghttp2_data_source *source, void *user)
{
	struct exchange *x = source->ptr;

	(void)stream_id;
	(void)to;
	(void)user;
	switch (exchange_stage(x)) {
	case STAGE_IDLE:
		x->deferred = true;
		return NGHTTP2_ERR_DEFERRED;
	case STAGE_END:
		return end_of_data(session, x, flags);
	case STAGE_ABORT:
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	case STAGE_READY:
		break;
	}
	*flags |= NGHTTP2_DATA_FLAG_NO_COPY;
	return (ssize_t)(x->n_chunk < room ? x->n_chunk : room);
}

/* Does the frame say that the client has broken the rules? We reset streams for other reasons, too. */
static bool is_complaint(const nghttp2_frame *frame)
{
	if (frame->hd.type == NGHTTP2_GOAWAY)
		return frame->goaway.error_code != NGHTTP2_NO_ERROR;
	return frame->hd.type == NGHTTP2_RST_STREAM && frame->rst_stream.error_code != NGHTTP2_NO_ERROR &&
	       frame->rst_stream.error_code != NGHTTP2_CANCEL && frame->rst_stream.error_code != NGHTTP2_INTERNAL_ERROR;
}

static int on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct conn *c = user;
	struct exchange *x = exchange_of(session, frame->hd.stream_id);

	if (is_complaint(frame))
		COUNT(c->api->counters.bad_http2);
	/* Who has its answer need not send the rest of its body. */
	if (x && !x->body_ended && (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
	    frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
		return nghttp2_submit_rst_stream(session, 0, frame->hd.stream_id, NGHTTP2_NO_ERROR);
	return 0;
}

void http2_answer(struct exchange *x)
{
	nghttp2_nv nv[HTTP_ANSWER_HEADERS_MAX + 1];
	nghttp2_data_provider provider = { .source.ptr = x, .read_callback = on_read };
	char status[8];
	bool has_body = !x->is_head_request && !(x->ended && x->state == EXCHANGE_WHOLE);

	(void)snprintf(status, sizeof(status), "%u", x->status);
	nv[0] = (nghttp2_nv) { (uint8_t *)(uintptr_t)":status", (uint8_t *)status, 7, strlen(status), 0 };
	for (size_t i = 0; i < x->n_out; i++)
		nv[1 + i] = (nghttp2_nv) { (uint8_t *)(uintptr_t)x->out[i].name, (uint8_t *)(uintptr_t)x->out[i].value,
					   strlen(x->out[i].name), strlen(x->out[i].value), NGHTTP2_NV_FLAG_NONE };
	if (nghttp2_submit_response(x->conn->h2, x->stream_id, nv, x->n_out + 1, has_body ? &provider : NULL))
		x->conn->broken = true;
}

void http2_resume(struct exchange *x)
{
	if (!x->deferred)
		return;
	x->deferred = false;
	(void)nghttp2_session_resume_data(x->conn->h2, x->stream_id);
}

void http2_reset(struct exchange *x)
{
	(void)nghttp2_submit_rst_stream(x->conn->h2, 0, x->stream_id, NGHTTP2_CANCEL);
	conn_kick(x->conn);
}

/* ---- the session ------------------------------------------------------------------------------------------ */

static nghttp2_session_callbacks *make_callbacks(void)
{
	nghttp2_session_callbacks *cb = NULL;

	if (nghttp2_session_callbacks_new(&cb))
		return NULL;
	nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame_recv);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
	nghttp2_session_callbacks_set_send_callback(cb, on_send);
	nghttp2_session_callbacks_set_send_data_callback(cb, on_send_data);
	nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_sent);
	nghttp2_session_callbacks_set_data_source_read_length_callback(cb, on_frame_size);
	return cb;
}

static nghttp2_option *make_options(void)
{
	nghttp2_option *o = NULL;

	if (nghttp2_option_new(&o))
		return NULL;
	/* What one client can make us do for nothing: reset streams, acknowledge pings and settings. */
	nghttp2_option_set_stream_reset_rate_limit(o, RESETS_BURST, RESETS_PER_S);
	nghttp2_option_set_max_outbound_ack(o, ACKS_MAX);
	nghttp2_option_set_max_settings(o, SETTINGS_MAX);
	nghttp2_option_set_no_closed_streams(o, 1);
	return o;
}

int http2_begin(struct conn *c)
{
	const nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, H2_STREAMS_MAX },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, H2_WINDOW },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)c->api->settings.head_bytes },
	};
	nghttp2_session_callbacks *cb = make_callbacks();
	nghttp2_option *options = make_options();
	int r = cb && options ? nghttp2_session_server_new2(&c->h2, cb, c, options) : NGHTTP2_ERR_NOMEM;

	nghttp2_session_callbacks_del(cb);
	nghttp2_option_del(options);
	if (r == 0)
		r = nghttp2_submit_settings(c->h2, 0, settings, countof(settings));
	if (r == 0)
		r = nghttp2_session_set_local_window_size(c->h2, 0, 0, H2_WINDOW);
	return r ? -ENOMEM : 0;
}

void http2_feed(struct conn *c, const char *bytes, size_t n)
{
	ssize_t used = nghttp2_session_mem_recv(c->h2, (const uint8_t *)bytes, n);

	if (used >= 0)
		return;
	/* Says why, if it can, and then nothing more. */
	(void)nghttp2_session_terminate_session(c->h2, NGHTTP2_PROTOCOL_ERROR);
	http2_fill(c);
	c->finishing = true;
}

void http2_fill(struct conn *c)
{
	if (nghttp2_session_send(c->h2))
		c->broken = true;
}

bool http2_is_done(const struct conn *c)
{
	return !nghttp2_session_want_read(c->h2) && !nghttp2_session_want_write(c->h2);
}

void http2_goaway(struct conn *c)
{
	(void)nghttp2_session_terminate_session(c->h2, NGHTTP2_NO_ERROR);
}

/* The library tells nobody of the streams that end with the session: the connection ends their exchanges. */
void http2_end(struct conn *c)
{
	nghttp2_session_del(c->h2);
	c->h2 = NULL;
}
