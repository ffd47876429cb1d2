/* SPDX-License-Identifier: Apache-2.0 */
/*
 * export_query - looks for events that were kept, in the ring or in recorded segments, over gRPC and HTTP.
 *
 * Looking may take long and read a disk, so each query has a thread of its own, QUERIES_MAX at once; its request waits
 * for it, and answers when all is known: an answer over HTTP has the status that it deserves. A client that has gone
 * ends the query at its next record.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include "api/export_out.h"
#include "api/proto_event.h"
#include "base/clock.h"
#include "base/err.h"
#include "bus/raw_query.h"

enum {
	QUERIES_MAX = 4,
	REQUEST_MEMORY = 1 << 20,
	ANSWER_MAX = 3 << 20, /* gRPC clients take 4 MiB if they are not told otherwise */
	ANSWER_ROOM = ANSWER_MAX + (2 << 20),
	JSON_NODES_MAX = 8192,
};

/* One query. Two hold it: its request, and its thread. */
struct query {
	struct http_request *req; /* the request's thread alone */
	struct export *x;
	struct http_waker *waker;
	bool grpc, needs_context;
	struct arena arena;
	struct query_request request;
	char **kinds; /* names; NULL: all */
	size_t n_kinds;
	uint64_t deadline_ns;
	_Atomic bool canceled, done;
	_Atomic unsigned refs;

	/* The thread's, and the request's when it is done. */
	struct buf answer;
	size_t sent;
	bool begun; /* the head of the message has been sent */
	uint64_t n, lost;
	int error;
	char why[512];
};

static void query_unref(struct query *q)
{
	if (!q || atomic_fetch_sub(&q->refs, 1) != 1)
		return;
	http_waker_free(q->waker);
	arena_free(&q->arena);
	buf_free(&q->answer);
	free(q->kinds);
	free(q);
}

/* ---- looking --------------------------------------------------------------------------------- */

static int open_ring(struct query *q, const struct store_query_spec *spec, struct buf *known,
		     struct store_query **ret_q)
{
	const struct export_source *source = &q->x->source;
	struct store_origin origin;
	__u64 cursor;
	int r;

	if (source->known && q->needs_context) {
		r = source->known(source->arg, known, &cursor);
		if (r < 0)
			return err_wrap(r, "what is known of processes");
	}
	store_origin_here(&origin);
	return raw_query_open(source->ring, &origin, buf_text(known), known->len, spec, ret_q);
}

/* The dates of a record of another boot, so that they read right with the clock of this one. */
static const struct ev_head *with_clock(const struct ev_head *rec, const struct event_kind *kind, int64_t shift,
					char *room)
{
	const struct field *const *fields;
	size_t n = event_kind_fields(kind, &fields);

	if (!shift)
		return rec;
	memcpy(room, rec, rec->len);
	for (size_t i = 0; i < n; i++) {
		uint64_t v;

		if (fields[i]->type != FT_TIME)
			continue;
		memcpy(&v, room + fields[i]->off, sizeof(v));
		v += v || !fields[i]->zero_is_absent ? (uint64_t)shift : 0;
		memcpy(room + fields[i]->off, &v, sizeof(v));
	}
	return (const struct ev_head *)(const void *)room;
}

static void add_json(struct query *q, const struct event *ev, const struct ev_head *rec)
{
	struct event shown = *ev;

	shown.rec = rec;
	if (q->n)
		buf_char(&q->answer, ',');
	event_to_json(&shown, &q->answer);
	/* Its line's end. */
	if (!q->answer.failed)
		q->answer.len--;
}

static void add_proto(struct query *q, const struct ev_head *rec, uint64_t lost)
{
	const struct proto_event_meta meta = { .lost = lost, .with_record = q->request.with_record };
	size_t bound = proto_event_bound(rec, q->request.with_record), at;

	proto_begin(&q->answer, ANSWER_EVENTS, &at);
	if (!buf_reserve(&q->answer, bound))
		return;
	q->answer.len =
		(size_t)((char *)proto_event_write(rec, &meta, (unsigned char *)q->answer.data + at) - q->answer.data);
	proto_end(&q->answer, at);
}

static void finish(struct query *q, bool more, const char *cursor)
{
	if (!q->grpc) {
		buf_printf(&q->answer,
			   "%s,\"count\":%llu,\"lost\":%llu,\"more\":%s,\"cursor\":", q->request.count_only ? "" : "]",
			   (unsigned long long)q->n, (unsigned long long)q->lost, more ? "true" : "false");
		json_write_str(&q->answer, cursor, strlen(cursor));
		buf_str(&q->answer, "}\n");
		return;
	}
	if (q->n)
		proto_add_varint(&q->answer, ANSWER_COUNT, q->n);
	if (more)
		proto_add_varint(&q->answer, ANSWER_MORE, 1);
	if (*cursor)
		proto_add_str(&q->answer, ANSWER_CURSOR, cursor);
}

static bool is_over(const struct query *q)
{
	return atomic_load_explicit(&q->canceled, memory_order_relaxed) ||
	       (q->deadline_ns && clock_boot_ns() >= q->deadline_ns);
}

static int collect(struct query *q, struct store_query *sq, uint64_t limit)
{
	static _Thread_local _Alignas(8) char room[EV_LEN_MAX];
	char cursor[STORE_CURSOR_MAX] = "";
	const struct ev_head *rec;
	bool more = false;
	int r = 0;

	while (!more && (r = store_query_next(sq, &rec)) > 0) {
		const struct event *ev = store_query_event(sq);
		int64_t shift = (int64_t)store_query_origin(sq)->wall_minus_boot_ns - event_clock();

		if (is_over(q))
			return err_new(-ETIMEDOUT, "the time that the query had is over");
		/* Our own clock is told more than once, and differs by what the wall clock was set meanwhile. */
		if (!strcmp(store_query_origin(sq)->boot_id, "") || q->request.source == SOURCE_RING)
			shift = 0;
		q->lost += store_query_lost(sq);
		rec = with_clock(rec, ev->kind, shift, room);
		if (q->grpc)
			add_proto(q, rec, store_query_lost(sq));
		else
			add_json(q, ev, rec);
		q->n++;
		store_query_cursor(sq, cursor);
		more = q->n == limit || q->answer.len >= ANSWER_MAX;
	}
	if (r < 0)
		return r;
	finish(q, more, cursor);
	return q->answer.failed ? err_new(-E2BIG, "the answer is too long: set a smaller limit") : 0;
}

static int look(struct query *q)
{
	const struct export_filter *filter = q->request.filter;
	uint64_t limit = q->request.limit ? q->request.limit : EXPORT_PAGE_DEFAULT;
	struct store_query_spec spec = {
		.from_ns = (__s64)q->request.since,
		.to_ns = (__s64)q->request.until,
		.cursor = q->request.cursor,
	};
	auto_buf struct buf known = { .max = EXPORT_KNOWN_MAX };
	AUTO(store) store = NULL;
	AUTO(store_query) sq = NULL;
	int r;

	if (filter)
		spec.filter = export_filter_spec(filter);
	spec.filter.kinds = (const char *const *)q->kinds;
	spec.filter.n_kinds = q->n_kinds;
	if (q->request.source == SOURCE_RECORDED) {
		r = store_open(q->x->source.store, &store);
		r = r < 0 ? r : store_query_open(store, &spec, &sq);
	} else {
		r = open_ring(q, &spec, &known, &sq);
	}
	if (r < 0)
		return r;
	if (!q->grpc)
		buf_str(&q->answer, q->request.count_only ? "{\"source\":" : "{\"events\":[");
	if (!q->request.count_only)
		return collect(q, sq, limit);
	if (!q->grpc)
		buf_str(&q->answer, q->request.source == SOURCE_RING ? "\"ring\"" : "\"recorded\"");
	r = store_query_count(sq, (__u64 *)&q->n);
	if (r < 0)
		return r;
	finish(q, false, "");
	return 0;
}

static void look_and_note(struct query *q)
{
	q->error = look(q);
	if (q->error < 0) {
		(void)snprintf(q->why, sizeof(q->why), "%s", err_trail());
		err_clear();
	}
}

static void *query_thread(void *arg)
{
	struct query *q = arg;
	struct export *x;

	look_and_note(q);
	atomic_store(&q->done, true);
	http_wake(q->waker);
	x = q->x;
	query_unref(q);
	(void)atomic_fetch_sub(&x->queries, 1);
	return NULL;
}

/* ---- the answer ------------------------------------------------------------------------------------ */

static ssize_t produce(void *ctx, char *to, size_t room)
{
	struct query *q = ctx;
	size_t head = 0, n;

	if (!atomic_load(&q->done))
		return HTTP_IDLE;
	if (q->error) {
		grpc_end(q->req, grpc_status_of(q->error), q->why);
		return HTTP_END;
	}
	if (!q->begun) {
		grpc_head(to, false, q->answer.len);
		head = GRPC_HEAD;
	}
	n = q->answer.len - q->sent;
	if (!n && !head) {
		http_audit_records(q->req, q->n, 0);
		grpc_end(q->req, GRPC_OK, NULL);
		return HTTP_END;
	}
	if (n > room - head)
		n = room - head;
	memcpy(to + head, buf_text(&q->answer) + q->sent, n);
	q->sent += n;
	q->begun = true;
	return (ssize_t)(head + n);
}

static void closed(void *ctx, bool complete)
{
	struct query *q = ctx;

	(void)complete;
	atomic_store(&q->canceled, true);
	query_unref(q);
}

/* ---- the question ------------------------------------------------------------------------------------ */

/* The names of the kinds that are wanted and allowed; none where that is all of them. */
static int keep_kinds(struct query *q)
{
	const struct event_kind *kind;
	uint32_t kinds[256];
	size_t n = 0, all = 0;
	int r = export_kinds(q->req->consumer, q->request.filter, kinds);

	if (r < 0)
		return r;
	while (event_kind_at(all))
		all++;
	q->kinds = calloc(all + 1, sizeof(*q->kinds));
	if (!q->kinds)
		return err_new(-ENOMEM, "no memory for a query");
	for (size_t i = 0; i < all && (kind = event_kind_at(i)); i++)
		if (kinds[EV_ID_SENSOR(kind->id)] >> EV_ID_NUMBER(kind->id) & 1)
			q->kinds[n++] = (char *)(uintptr_t)kind->name;
	q->n_kinds = n < all ? n : 0;
	return 0;
}

static int check_request(struct query *q)
{
	const struct query_request *asked = &q->request;
	AUTO(filter) filter = NULL;
	int r;

	if (asked->limit > EXPORT_PAGE_MAX)
		return err_new(-EINVAL, "limit: at most %d", EXPORT_PAGE_MAX);
	if (asked->since > INT64_MAX || asked->until > INT64_MAX || (asked->until && asked->until < asked->since))
		return err_new(-EINVAL, "since and until: wanted nanoseconds since 1970, the earlier one first");
	if (strlen(asked->cursor) >= STORE_CURSOR_MAX)
		return err_new(-EINVAL, "cursor: none that we gave");
	if (asked->source != SOURCE_RING && asked->source != SOURCE_RECORDED)
		return err_new(-EINVAL, "source: there is no such one");
	if (asked->source == SOURCE_RECORDED && !q->x->source.store)
		return err_new(-ENODATA, "source: this agent keeps no recording");
	if (!asked->filter)
		return 0;
	r = export_filter_compile(asked->filter, &filter);
	q->needs_context = r == 0 && filter_needs_context(filter);
	return r;
}

static int take_turn(struct query *q)
{
	if (atomic_fetch_add(&q->x->queries, 1) < QUERIES_MAX)
		return 0;
	(void)atomic_fetch_sub(&q->x->queries, 1);
	return err_new(-EBUSY, "%d queries run already", QUERIES_MAX);
}

static int start_thread(struct query *q)
{
	pthread_attr_t attr;
	pthread_t thread;
	int r = take_turn(q);

	if (r < 0)
		return r;
	q->waker = http_waker(q->req);
	if (!q->waker) {
		(void)atomic_fetch_sub(&q->x->queries, 1);
		return err_new(-ENOMEM, "no memory for a query");
	}
	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	(void)atomic_fetch_add(&q->refs, 1);
	r = pthread_create(&thread, &attr, query_thread, q);
	(void)pthread_attr_destroy(&attr);
	if (!r)
		return 0;
	(void)atomic_fetch_sub(&q->x->queries, 1);
	(void)atomic_fetch_sub(&q->refs, 1);
	return err_sys(r, "start a thread");
}

static struct query *query_new(struct http_request *req, bool grpc)
{
	struct query *q = calloc(1, sizeof(*q));

	if (!q)
		return NULL;
	q->req = req;
	q->x = req->ctx;
	q->grpc = grpc;
	atomic_store(&q->refs, 1);
	arena_init(&q->arena, REQUEST_MEMORY);
	buf_init(&q->answer, ANSWER_ROOM);
	if (grpc)
		q->deadline_ns = grpc_deadline(req);
	return q;
}

/* Notes what is asked; nobody looks yet. */
static int query_prepare(struct query *q)
{
	auto_buf struct buf text = { .max = 1 << 16 };
	int r = check_request(q);

	r = r < 0 ? r : keep_kinds(q);
	if (r < 0)
		return r;
	proto_write_json(&query_request_message, &q->request, &text);
	http_audit_filter(q->req, buf_text(&text), text.len);
	return 0;
}

void export_grpc_query(struct http_request *req)
{
	static const struct http_stream stream = { .produce = produce, .closed = closed };
	auto_buf struct buf room = { .max = GRPC_MESSAGE_MAX };
	struct str message;
	struct query *q;
	int r;

	if (!grpc_accept(req) || !grpc_message(req, &room, &message))
		return;
	q = query_new(req, true);
	r = q ? proto_read(&query_request_message, message.p, message.n, &q->arena, &q->request)
	      : err_new(-ENOMEM, "no memory for a query");
	r = r < 0 ? r : query_prepare(q);
	r = r < 0 ? r : start_thread(q);
	if (r < 0) {
		grpc_fail(req, grpc_status_of(r), "%s", err_trail());
		err_clear();
		query_unref(q);
		return;
	}
	(void)http_stream(req, 200, "application/grpc", &stream, q);
}

/* ---- over HTTP ----------------------------------------------------------------------------------------- */

static void work_make(void *ctx)
{
	struct query *q = ctx;

	look_and_note(q);
	(void)atomic_fetch_sub(&q->x->queries, 1);
}

static void work_answer_with(void *ctx, struct http_request *req)
{
	const struct query *q = ctx;

	/* The query goes when this has been called, the request when all is sent. */
	http_on_cancel(req, NULL, NULL);
	if (q->error < 0) {
		http_refuse(req, http_status_of(q->error), "%s", q->why);
		return;
	}
	http_audit_records(req, q->n, 0);
	http_reply_buf(req, 200, "application/json", &q->answer);
}

static void work_release(void *ctx)
{
	query_unref(ctx);
}

static void gone(void *ctx)
{
	atomic_store(&((struct query *)ctx)->canceled, true);
}

static int start_work(struct query *q)
{
	static const struct http_work work = { work_make, work_answer_with, work_release };
	int r = take_turn(q);

	if (r < 0)
		return r;
	if (!http_work_alone(q->req, &work, q)) {
		(void)atomic_fetch_sub(&q->x->queries, 1);
		return err_new(-EAGAIN, "no thread for a query");
	}
	/* The request lets go of the work behind this. */
	http_on_cancel(q->req, gone, q);
	return 0;
}

static int read_body(struct query *q)
{
	static const struct json_limits limits = { 64 << 10, JSON_NODES_MAX, 16 };
	auto_json struct json_doc doc;
	const struct json_node *root;
	int r;

	if (!q)
		return err_new(-ENOMEM, "no memory for a query");
	json_init(&doc, &limits);
	r = json_parse(&doc, q->req->body_len ? q->req->body : "{}", q->req->body_len ? q->req->body_len : 2, &root);
	return r < 0 ? err_wrap(r, "the body") : proto_read_json(&query_request_message, root, &q->arena, &q->request);
}

void export_http_query(struct http_request *req)
{
	struct query *q = query_new(req, false);
	int r = read_body(q);

	r = r < 0 ? r : query_prepare(q);
	r = r < 0 ? r : start_work(q);
	if (r < 0) {
		http_refuse(req, http_status_of(r), "%s", err_trail());
		err_clear();
		query_unref(q);
	}
}
