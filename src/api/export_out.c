/* SPDX-License-Identifier: Apache-2.0 */
#include "api/export_out.h"
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>
#include "api/proto_event.h"
#include "base/clock.h"
#include "base/err.h"

enum {
	BATCH_DEFAULT = 4096,
	FRAME_HEAD_MAX = 10,
	FRAME_MAX = 65535,       /* of a WebSocket message in one frame: its length has two bytes */
	TEXT_AROUND = 256,       /* what stands around an event in the forms of JSON */
	PLAIN_ROOM = 40 << 10,   /* before a body is compressed: what becomes of it fits HTTP_PRODUCE_MIN */
	SQUEEZED_ROOM = 1 << 20, /* a message that is longer is not compressed */
	SILENCE_S = 15,          /* server-sent events: a comment after so long, for what stands in between */
	GZIP_WINDOW = 15 + 16,
	LEVEL = 1,
};

struct export_out {
	struct http_request *req;
	struct export_sub *sub;
	enum export_form form;
	bool with_record;
	uint32_t batch;
	uint64_t deadline_ns, said_ns;
	struct buf line; /* an event as JSON */
	size_t bound;    /* of its RawEvent */
	/* A frame that found no room: its bytes, or the payload of a WebSocket message. */
	char *spill;
	size_t spill_at, spill_n;
	/* Compression. */
	enum grpc_coding coding;
	bool has_z;
	z_stream z;
	ZSTD_CCtx *zstd;
	char *squeezed; /* gRPC: a compressed message; else the body before it is compressed */
};

static bool is_grpc(const struct export_out *out)
{
	return out->form == FORM_GRPC || out->form == FORM_GRPC_BATCH;
}

static bool is_websocket(const struct export_out *out)
{
	return out->form == FORM_WS_JSON || out->form == FORM_WS_PROTO;
}

static bool is_json(const struct export_out *out)
{
	return out->form == FORM_WS_JSON || out->form == FORM_SSE || out->form == FORM_LINES;
}

/* ---- one event --------------------------------------------------------------------------------- */

/* The most bytes that put_event() will write; it comes next. */
static size_t measure(struct export_out *out, const struct export_item *item)
{
	if (!is_json(out)) {
		out->bound = proto_event_bound(item->rec, out->with_record);
		return out->bound + FRAME_HEAD_MAX;
	}
	buf_clear(&out->line);
	event_to_json(&out->sub->event, &out->line);
	return out->line.len + TEXT_AROUND;
}

/* An element of RawEventBatch.events. Its length gets the bytes that the bound would need, padded. */
static char *put_element(struct export_out *out, const struct export_item *item, const struct proto_event_meta *meta,
			 char *to)
{
	unsigned n = out->bound < 0x4000 ? 2 : out->bound < 0x200000 ? 3 : 4;
	unsigned char *p = (unsigned char *)to, *start;
	size_t len;

	*p++ = (unsigned char)proto_tag(BATCH_EVENTS, WIRE_BYTES);
	start = p + n;
	to = (char *)proto_event_write(item->rec, meta, start);
	len = (size_t)((unsigned char *)to - start);
	for (unsigned i = 0; i + 1 < n; i++, len >>= 7)
		*p++ = (unsigned char)(len | 0x80);
	*p = (unsigned char)len;
	return to;
}

static char *put_lost(const struct export_out *out, uint64_t cursor, uint64_t lost, char *to)
{
	const char *form = out->form == FORM_SSE ? "event: lost\nid: %llu\ndata: {\"lost\":%llu}\n\n"
						 : "{\"cursor\":\"%llu\",\"lost\":%llu}\n";

	return to + sprintf(to, form, (unsigned long long)cursor, (unsigned long long)lost);
}

static char *put_line(struct export_out *out, char *to)
{
	/* Without the line's end. */
	memcpy(to, out->line.data, out->line.len - 1);
	return to + out->line.len - 1;
}

static char *put_json(struct export_out *out, const struct export_item *item, char *to)
{
	if (item->lost && out->form != FORM_WS_JSON)
		to = put_lost(out, item->cursor, item->lost, to);
	switch (out->form) {
	case FORM_SSE:
		to += sprintf(to, "id: %llu\ndata: ", (unsigned long long)item->cursor);
		to = put_line(out, to);
		return stpcpy(to, "\n\n");
	case FORM_WS_JSON:
		to += sprintf(to, "{\"cursor\":\"%llu\"", (unsigned long long)item->cursor);
		if (item->lost)
			to += sprintf(to, ",\"lost\":%llu", (unsigned long long)item->lost);
		if (item->sampled)
			to += sprintf(to, ",\"sampled\":%u", item->sampled);
		to = stpcpy(to, ",\"event\":");
		to = put_line(out, to);
		return stpcpy(to, "}");
	default:
		to = put_line(out, to);
		return stpcpy(to, "\n");
	}
}

static char *put_event(struct export_out *out, const struct export_item *item, char *to)
{
	const struct proto_event_meta meta = { item->cursor, item->lost, item->sampled, out->with_record };

	if (is_json(out))
		return put_json(out, item, to);
	if (out->form == FORM_GRPC)
		return (char *)proto_event_write(item->rec, &meta, (unsigned char *)to);
	return put_element(out, item, &meta, to);
}

/* What is said when events were lost and none follows. At most TEXT_AROUND bytes. */
static char *put_note(struct export_out *out, uint64_t lost, char *to)
{
	const struct proto_event_meta meta = { .cursor = out->sub->last_cursor, .lost = lost };
	unsigned char *p = (unsigned char *)to;

	if (out->form == FORM_GRPC)
		return (char *)proto_event_note(&meta, p);
	if (is_json(out))
		return put_lost(out, meta.cursor, lost, to) - (out->form == FORM_WS_JSON);
	p[0] = (unsigned char)proto_tag(BATCH_EVENTS, WIRE_BYTES);
	p[1] = (unsigned char)(proto_event_note(&meta, p + 2) - p - 2);
	return to + 2 + p[1];
}

/* ---- frames --------------------------------------------------------------------------------------- */

static size_t head_room(const struct export_out *out)
{
	return is_grpc(out) ? GRPC_HEAD : is_websocket(out) ? 4 : 0;
}

/* One message of a gRPC stream, compressed where that makes it shorter. Returns its new length. */
static size_t squeeze(struct export_out *out, char *bytes, size_t n, bool *ret_squeezed)
{
	size_t len = 0;

	*ret_squeezed = false;
	if (out->coding == GRPC_IDENTITY || n > SQUEEZED_ROOM)
		return n;
	if (out->coding == GRPC_ZSTD) {
		len = ZSTD_compressCCtx(out->zstd, out->squeezed, n, bytes, n, LEVEL);
		if (ZSTD_isError(len))
			return n;
	} else {
		(void)deflateReset(&out->z);
		out->z.next_in = (unsigned char *)bytes;
		out->z.avail_in = (unsigned)n;
		out->z.next_out = (unsigned char *)out->squeezed;
		out->z.avail_out = (unsigned)n;
		if (deflate(&out->z, Z_FINISH) != Z_STREAM_END)
			return n;
		len = n - out->z.avail_out;
	}
	if (len >= n)
		return n;
	memcpy(bytes, out->squeezed, len);
	*ret_squeezed = true;
	return len;
}

/* Writes the head of a frame whose payload lies behind head_room(). Returns where it ends. */
static char *close_frame(struct export_out *out, char *frame, char *end)
{
	size_t room = head_room(out), n = (size_t)(end - frame) - room;
	char head[WS_HEAD_MAX];
	bool squeezed;

	if (is_grpc(out)) {
		n = squeeze(out, frame + room, n, &squeezed);
		grpc_head(frame, squeezed, n);
	} else if (is_websocket(out)) {
		size_t head_n = ws_head(head, out->form == FORM_WS_JSON, n);

		/* A length of less than 126 has one byte. */
		if (head_n < room)
			memmove(frame + head_n, frame + room, n);
		memcpy(frame, head, head_n);
		room = head_n;
	}
	return frame + room + n;
}

/* A frame of one event that has no room, in memory of its own. */
static bool spill(struct export_out *out, const struct export_item *item)
{
	size_t room = is_websocket(out) ? 0 : head_room(out);
	char *end;

	out->spill = malloc(room + measure(out, item));
	if (!out->spill)
		return false;
	end = put_event(out, item, out->spill + room);
	if (is_grpc(out))
		grpc_head(out->spill, false, (size_t)(end - out->spill) - room);
	out->spill_at = 0;
	out->spill_n = (size_t)(end - out->spill);
	return true;
}

/* The next piece of it. A WebSocket message goes in fragments. */
static size_t fill_spilled(struct export_out *out, char *to, size_t room)
{
	size_t head = 0, n = out->spill_n - out->spill_at;

	if (is_websocket(out)) {
		bool first = !out->spill_at, last;

		head = 4;
		n = n < room - head ? n : room - head;
		n = n < FRAME_MAX ? n : FRAME_MAX;
		last = out->spill_at + n == out->spill_n;
		if (n < 126)
			head = 2;
		(void)ws_head(to, out->form == FORM_WS_JSON, n);
		to[0] = (char)((last ? 0x80 : 0) | (first ? to[0] & 0xf : 0));
	} else if (n > room) {
		n = room;
	}
	memcpy(to + head, out->spill + out->spill_at, n);
	out->spill_at += n;
	if (out->spill_at == out->spill_n) {
		free(take(out->spill));
		out->spill_n = 0;
	}
	return head + n;
}

/* One frame. Returns its end, or `to` when there was nothing to put in; *ret_full: or no room for it. */
static char *fill_frame(struct export_out *out, char *to, char *end, bool *ret_full)
{
	char *p = to + head_room(out);
	struct export_item item;
	uint32_t n = 0;

	if (is_websocket(out) && end - p > FRAME_MAX)
		end = p + FRAME_MAX;
	while (n < out->batch && export_sub_next(out->sub, &item)) {
		if (measure(out, &item) > (size_t)(end - p)) {
			export_sub_hold(out->sub, &item);
			*ret_full = true;
			break;
		}
		p = put_event(out, &item, p);
		n++;
	}
	return n ? close_frame(out, to, p) : to;
}

/* As many frames as there is room for. -ENOMEM. */
static ssize_t fill(struct export_out *out, char *to, size_t room)
{
	char *p = to, *end = to + room;
	struct export_item item;
	bool full = false;

	if (out->spill)
		return (ssize_t)fill_spilled(out, to, room);
	export_sub_begin(out->sub);
	while (!full && end - p > FRAME_HEAD_MAX) {
		char *before = p;

		p = fill_frame(out, p, end, &full);
		if (p == before)
			break;
	}
	if (p == to && full && export_sub_next(out->sub, &item))
		return spill(out, &item) ? (ssize_t)fill_spilled(out, to, room) : -ENOMEM;
	if (p == to && !full && out->sub->lost)
		p = close_frame(out, to, put_note(out, export_sub_take_lost(out->sub), to + head_room(out)));
	return p - to;
}

/* ---- the body -------------------------------------------------------------------------------------- */

/* The body compressed, flushed after each round: what was said is read at once. */
static ssize_t fill_squeezed(struct export_out *out, char *to, size_t room)
{
	ssize_t n = fill(out, out->squeezed, PLAIN_ROOM);

	if (n <= 0)
		return n;
	if (out->coding == GRPC_ZSTD) {
		ZSTD_inBuffer in = { out->squeezed, (size_t)n, 0 };
		ZSTD_outBuffer into = { to, room, 0 };

		if (ZSTD_compressStream2(out->zstd, &into, &in, ZSTD_e_flush) != 0)
			return -EIO;
		return (ssize_t)into.pos;
	}
	out->z.next_in = (unsigned char *)out->squeezed;
	out->z.avail_in = (unsigned)n;
	out->z.next_out = (unsigned char *)to;
	out->z.avail_out = (unsigned)room;
	if (deflate(&out->z, Z_SYNC_FLUSH) != Z_OK || out->z.avail_in || !out->z.avail_out)
		return -EIO;
	return (ssize_t)(room - out->z.avail_out);
}

static ssize_t idle(struct export_out *out, char *to)
{
	uint64_t now = clock_boot_ns(), silent = now - out->said_ns, wait = 0;

	if (!export_sub_idle(out->sub)) {
		/* There is more; others first. */
		http_wake_in(out->req, 0);
		return HTTP_IDLE;
	}
	if (out->deadline_ns)
		wait = out->deadline_ns > now ? out->deadline_ns - now : 1;
	if (out->form == FORM_SSE && out->coding == GRPC_IDENTITY) {
		if (silent >= SILENCE_S * NS_PER_S) {
			out->said_ns = now;
			memcpy(to, ":\n\n", 3);
			return 3;
		}
		wait = SILENCE_S * NS_PER_S - silent;
	}
	if (wait)
		http_wake_in(out->req, wait);
	return HTTP_IDLE;
}

static ssize_t produce(void *ctx, char *to, size_t room)
{
	struct export_out *out = ctx;
	struct export_sub *sub = out->sub;
	ssize_t n;

	if (out->deadline_ns && clock_boot_ns() >= out->deadline_ns && !out->spill) {
		grpc_end(out->req, GRPC_DEADLINE_EXCEEDED, "the time that the call had is over");
		return HTTP_END;
	}
	atomic_store_explicit(&sub->idle, false, memory_order_relaxed);
	n = out->coding != GRPC_IDENTITY && !is_grpc(out) ? fill_squeezed(out, to, room) : fill(out, to, room);
	if (sub->sent || sub->lost_all) {
		http_audit_records(out->req, sub->sent, sub->lost_all);
		sub->sent = sub->lost_all = 0;
	}
	if (n < 0)
		return HTTP_ABORT;
	if (!n)
		return idle(out, to);
	if (out->form == FORM_SSE)
		out->said_ns = clock_boot_ns();
	return n;
}

static void out_free(struct export_out *out)
{
	export_sub_free(out->sub);
	buf_free(&out->line);
	if (out->has_z)
		(void)deflateEnd(&out->z);
	ZSTD_freeCCtx(out->zstd);
	free(out->squeezed);
	free(out->spill);
	free(out);
}

static void closed(void *ctx, bool complete)
{
	struct export_out *out = ctx;

	(void)complete;
	out_free(out);
}

static bool open_coding(struct export_out *out)
{
	if (out->coding == GRPC_IDENTITY)
		return true;
	out->squeezed = malloc(is_grpc(out) ? SQUEEZED_ROOM : PLAIN_ROOM);
	if (!out->squeezed)
		return false;
	if (out->coding == GRPC_ZSTD) {
		out->zstd = ZSTD_createCCtx();
		return out->zstd && !ZSTD_isError(ZSTD_CCtx_setParameter(out->zstd, ZSTD_c_compressionLevel, LEVEL));
	}
	out->has_z = deflateInit2(&out->z, LEVEL, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) == Z_OK;
	return out->has_z;
}

int export_out_open(struct http_request *req, struct export_sub *sub, enum export_form form,
		    const struct stream_request *request, enum grpc_coding coding, struct export_out **ret_out)
{
	struct export_out *out = calloc(1, sizeof(*out));

	if (!out) {
		export_sub_free(sub);
		return err_new(-ENOMEM, "no memory for a stream");
	}
	out->req = req;
	out->sub = sub;
	out->form = form;
	out->with_record = request->with_record;
	out->coding = coding;
	out->batch = request->batch ? request->batch : BATCH_DEFAULT;
	if (form == FORM_GRPC || form == FORM_WS_JSON)
		out->batch = 1;
	sub->plain = !is_json(out) && !sub->filter && !sub->context;
	out->said_ns = clock_boot_ns();
	if (is_grpc(out))
		out->deadline_ns = grpc_deadline(req);
	buf_init(&out->line, EVENT_JSON_MAX);
	if (!open_coding(out)) {
		out_free(out);
		return err_new(-ENOMEM, "no memory for a stream");
	}
	*ret_out = out;
	return 0;
}

void export_out_start(struct export_out *out, const char *type)
{
	static const struct http_stream stream = { .produce = produce, .closed = closed };

	if (is_websocket(out))
		(void)http_websocket(out->req, NULL, &stream, out);
	else
		(void)http_stream(out->req, 200, type, &stream, out);
}
