/* SPDX-License-Identifier: Apache-2.0 */
#include "api/export.h"
#include <fnmatch.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include "api/export_sub.h"
#include "api/grpc.h"
#include "api/proto_event.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/hash.h"

enum {
	EPOCH_SHIFT = 48,
	WAIT_NS = 100 * 1000 * 1000, /* the longest that the waking thread sleeps: it looks whether it is to end */
	PAUSE_NS = 200 * 1000,       /* between two rounds of waking: many records, one round */
};

/* ---- cursors ------------------------------------------------------------------------------ */

static int cursor_number(const struct export *x, uint64_t cursor, uint64_t *ret_number)
{
	if ((cursor >> EPOCH_SHIFT) != (x->epoch >> EPOCH_SHIFT))
		return err_new(-ERANGE,
			       "the cursor is of another run of the agent: begin at START_OLDEST or START_NOW");
	*ret_number = cursor & ((1ULL << EPOCH_SHIFT) - 1);
	return 0;
}

/* ---- which kinds ------------------------------------------------------------------------------ */

static bool any_glob(const struct proto_list *globs, const char *name)
{
	const char *const *items = globs->items;

	for (size_t i = 0; i < globs->n; i++)
		if (!fnmatch(items[i], name, 0))
			return true;
	return false;
}

static int check_globs(const struct proto_list *globs)
{
	const char *const *items = globs->items;

	if (globs->n > EXPORT_TYPES_MAX)
		return err_new(-E2BIG, "more than %d types", EXPORT_TYPES_MAX);
	for (size_t i = 0; i < globs->n; i++) {
		const struct event_kind *kind;
		size_t k = 0;

		while ((kind = event_kind_at(k)) && fnmatch(items[i], kind->name, 0) != 0)
			k++;
		if (!kind)
			return err_new(-EINVAL,
				       "no type of event matches \"%.64s\": docs/reference/events.md lists them",
				       items[i]);
	}
	return 0;
}

int export_kinds(const struct consumer *consumer, const struct export_filter *filter, uint32_t kinds[256])
{
	const struct event_kind *kind;
	bool any = false, wanted = false;
	int r;

	memset(kinds, 0, 256 * sizeof(kinds[0]));
	if (filter) {
		r = check_globs(&filter->types);
		r = r < 0 ? r : check_globs(&filter->skip_types);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; (kind = event_kind_at(i)); i++) {
		if (filter && ((filter->types.n && !any_glob(&filter->types, kind->name)) ||
			       any_glob(&filter->skip_types, kind->name)))
			continue;
		wanted = true;
		if (!consumer_may_read(consumer, kind->name))
			continue;
		any = true;
		kinds[EV_ID_SENSOR(kind->id)] |= 1U << EV_ID_NUMBER(kind->id);
	}
	if (!wanted)
		return err_new(-EINVAL, "the filter leaves no type of event");
	return any ? 0 : err_new(-EPERM, "%s may read none of these types of events", consumer->name);
}

struct filter_spec export_filter_spec(const struct export_filter *filter)
{
	return (struct filter_spec) {
		.pid = filter->pid,
		.descendants = filter->descendants,
		.comm = filter->comm,
		.container = filter->container,
		.path = filter->path,
		.address = filter->address,
		.expr = filter->expr,
	};
}

/* ---- a stream ---------------------------------------------------------------------------------- */

/* What was known, and for a stream of what comes from now on, where it goes on from there. */
static int learn(struct export_sub *sub, bool from_now)
{
	const struct export_source *source = &sub->x->source;
	auto_buf struct buf known = { .max = EXPORT_KNOWN_MAX };
	uint64_t cursor;
	int r;

	if (!source->known)
		return 0;
	r = source->known(source->arg, &known, (__u64 *)&cursor);
	if (r < 0)
		return err_wrap(r, "what is known of processes");
	for (size_t at = 0; at < known.len;) {
		const struct ev_head *rec = (const struct ev_head *)(const void *)(known.data + at);

		(void)context_apply(sub->context, rec);
		at += (rec->len + 7U) & ~7U;
	}
	return from_now ? raw_reader_seek(sub->reader, cursor) : 0;
}

/* What the filter needs to know beyond the record: a context that lives from the records themselves. */
static int open_context(struct export_sub *sub, bool from_now)
{
	struct context_options options = { .offline = true };
	int r;

	(void)option_defaults(context_option_rows, context_n_option_rows, &options.limits);
	if (options.limits.memory > EXPORT_CONTEXT_BYTES)
		options.limits.memory = EXPORT_CONTEXT_BYTES;
	r = context_open(&options, &sub->context);
	return r < 0 ? r : learn(sub, from_now);
}

int export_filter_compile(const struct export_filter *filter, struct filter **ret_filter)
{
	const struct filter_spec spec = export_filter_spec(filter);

	if (spec.descendants && !spec.pid)
		return err_new(-EINVAL, "descendants: of whom? Set pid, too");
	return filter_compile(&spec, ret_filter);
}

static int open_filter(struct export_sub *sub, const struct export_filter *filter, bool from_now)
{
	int r;

	/* Types are bits already: they alone need no filter. */
	if (!filter || (!filter->pid && !filter->descendants && !*filter->comm && !*filter->container &&
			!*filter->path && !*filter->address && !*filter->expr))
		return 0;
	r = export_filter_compile(filter, &sub->filter);
	if (r < 0)
		return r;
	return filter_needs_context(sub->filter) ? open_context(sub, from_now) : 0;
}

static int open_reader(struct export_sub *sub, const struct stream_request *request)
{
	uint64_t number;
	int r;

	if (request->start != START_NOW && request->start != START_OLDEST)
		return err_new(-EINVAL, "start: there is no such place");
	r = raw_reader_open(sub->x->source.ring, sub->consumer->name,
			    request->start == START_OLDEST ? RAW_FROM_OLDEST : RAW_FROM_NOW, &sub->reader);
	if (r < 0 || !request->cursor)
		return r;
	r = cursor_number(sub->x, request->cursor, &number);
	if (r < 0)
		return r;
	return raw_reader_seek(sub->reader, number) < 0 ? err_wrap(-ERANGE, "cursor") : 0;
}

static int join(struct export_sub *sub)
{
	struct export *x = sub->x;
	int r = 0;

	(void)pthread_mutex_lock(&x->lock);
	if (x->n_subs == EXPORT_SUBS_MAX) {
		r = err_new(-EBUSY, "%d streams are open already", EXPORT_SUBS_MAX);
	} else {
		x->n_subs++;
		sub->next = x->subs;
		if (sub->next)
			sub->next->link = &sub->next;
		sub->link = &x->subs;
		x->subs = sub;
	}
	(void)pthread_mutex_unlock(&x->lock);
	return r;
}

int export_sub_open(struct export *x, struct http_request *req, const struct stream_request *request,
		    struct export_sub **ret_sub)
{
	AUTO(export_sub) sub = NULL;
	int r;

	sub = calloc(1, sizeof(*sub));
	if (!sub)
		return err_new(-ENOMEM, "no memory for a stream");
	sub->x = x;
	sub->consumer = consumer_ref(req->consumer);
	sub->sample = request->sample ? request->sample : 1;
	if (sub->sample > EXPORT_SAMPLE_MAX)
		return err_new(-EINVAL, "sample: at most %d", EXPORT_SAMPLE_MAX);
	r = export_kinds(req->consumer, request->filter, sub->kinds);
	if (r < 0)
		return r;
	/* The reader first: what happens while the context learns is not missed. */
	r = open_reader(sub, request);
	if (r < 0)
		return r;
	r = open_filter(sub, request->filter, request->start == START_NOW && !request->cursor);
	if (r < 0)
		return r;
	sub->last_cursor = export_cursor(x, raw_reader_cursor(sub->reader));
	sub->waker = http_waker(req);
	if (!sub->waker)
		return err_new(-ENOMEM, "no memory for a stream");
	r = join(sub);
	if (r < 0)
		return r;
	*ret_sub = take(sub);
	return 0;
}

static void leave(struct export_sub *sub)
{
	if (!sub->link)
		return;
	(void)pthread_mutex_lock(&sub->x->lock);
	*sub->link = sub->next;
	if (sub->next)
		sub->next->link = sub->link;
	sub->x->n_subs--;
	(void)pthread_mutex_unlock(&sub->x->lock);
}

void export_sub_free(struct export_sub *sub)
{
	if (!sub)
		return;
	leave(sub);
	raw_reader_free(sub->reader);
	filter_free(sub->filter);
	context_free(sub->context);
	http_waker_free(sub->waker);
	consumer_free(sub->consumer);
	free(sub);
}

/* ---- its records ---------------------------------------------------------------------------------- */

static bool is_descendant(const struct event *ev, __u32 pid)
{
	const struct context_view *view = ev->subject;

	return view && view->process && process_is_descendant(view->process, pid, 0);
}

static bool wants_kind(const struct export_sub *sub, __u16 id)
{
	return EV_ID_NUMBER(id) < EV_KIND_MAX && sub->kinds[EV_ID_SENSOR(id)] >> EV_ID_NUMBER(id) & 1;
}

/* The context sees every record, wanted or not: that is what it knows from. */
static bool wants(struct export_sub *sub, const struct ev_head *rec)
{
	if (sub->context)
		(void)context_apply(sub->context, rec);
	if (!wants_kind(sub, rec->id))
		return false;
	if (sub->plain)
		return true;
	sub->event = (struct event) { .rec = rec, .kind = event_kind_of(rec->id) };
	if (sub->context && sub->event.kind)
		sub->event = context_event(sub->context, rec, sub->event.kind, &sub->view);
	if (!sub->filter)
		return true;
	return sub->event.kind && filter_match(sub->filter, &sub->event, sub->context ? is_descendant : NULL);
}

/* One of so many of those that are wanted: the first of each lot. */
static bool is_sampled(struct export_sub *sub)
{
	if (sub->sample == 1)
		return true;
	if (++sub->sampled_at == sub->sample)
		sub->sampled_at = 0;
	return sub->sampled_at == 1;
}

/* More than it may have a second is its loss, as what it was too slow for. */
static bool is_granted(struct export_sub *sub)
{
	if (!sub->consumer->events_per_s || consumer_grant(sub->consumer, 1, clock_boot_ns()))
		return true;
	sub->lost++;
	sub->lost_all++;
	return false;
}

void export_sub_begin(struct export_sub *sub)
{
	sub->scan_left = sub->context ? EXPORT_CONTEXT_SCAN_MAX : EXPORT_SCAN_MAX;
}

bool export_sub_next(struct export_sub *sub, struct export_item *ret_item)
{
	const struct ev_head *rec;
	__u64 lost;

	if (sub->held.rec) {
		*ret_item = sub->held;
		sub->held.rec = NULL;
		sub->lost = 0;
		sub->sent++;
		return true;
	}
	for (; sub->scan_left; sub->scan_left--) {
		rec = raw_reader_next(sub->reader, &lost);
		sub->lost += lost;
		sub->lost_all += lost;
		if (!rec)
			return false;
		if (!wants(sub, rec) || !is_sampled(sub) || !is_granted(sub))
			continue;
		sub->last_cursor = export_cursor(sub->x, raw_reader_cursor(sub->reader));
		*ret_item =
			(struct export_item) { rec, sub->last_cursor, sub->lost, sub->sample > 1 ? sub->sample : 0 };
		sub->lost = 0;
		sub->sent++;
		return true;
	}
	return false;
}

void export_sub_hold(struct export_sub *sub, const struct export_item *item)
{
	sub->held = *item;
	sub->lost = item->lost;
	sub->sent--;
}

uint64_t export_sub_take_lost(struct export_sub *sub)
{
	uint64_t lost = sub->lost;

	sub->lost = 0;
	return lost;
}

bool export_sub_idle(struct export_sub *sub)
{
	struct raw_ring_metrics m;

	if (sub->held.rec || !sub->scan_left)
		return false;
	atomic_store(&sub->idle, true);
	/* Again: what came before the flag was up has woken nobody. */
	raw_ring_metrics(sub->x->source.ring, &m);
	if (m.puts <= raw_reader_cursor(sub->reader))
		return true;
	atomic_store(&sub->idle, false);
	return false;
}

/* ---- waking ---------------------------------------------------------------------------------------- */

static void wake_all(struct export *x)
{
	(void)pthread_mutex_lock(&x->lock);
	for (struct export_sub *sub = x->subs; sub; sub = sub->next)
		if (atomic_load_explicit(&sub->idle, memory_order_relaxed) && atomic_exchange(&sub->idle, false))
			http_wake(sub->waker);
	(void)pthread_mutex_unlock(&x->lock);
}

static void *wake_thread(void *arg)
{
	static const struct timespec pause = { .tv_nsec = PAUSE_NS };
	struct export *x = arg;
	struct raw_ring_metrics m;

	while (!atomic_load(&x->stop)) {
		if (!raw_reader_wait(x->bell, WAIT_NS))
			continue;
		raw_ring_metrics(x->source.ring, &m);
		(void)raw_reader_seek(x->bell, m.puts);
		wake_all(x);
		(void)nanosleep(&pause, NULL);
	}
	return NULL;
}

int export_open(const struct export_source *source, struct export **ret_export)
{
	AUTO(export) x = calloc(1, sizeof(*x));
	int r;

	if (!x)
		return err_new(-ENOMEM, "no memory for the export");
	x->source = *source;
	(void)pthread_mutex_init(&x->lock, NULL);
	/* Never 0: no cursor is 0, which says that there is none. */
	x->epoch = (hash_u64(clock_boot_ns(), hash_seed()) | 1ULL << 63) & ~((1ULL << EPOCH_SHIFT) - 1);
	r = proto_event_open();
	if (r < 0)
		return r;
	r = raw_reader_open(source->ring, "export", RAW_FROM_NOW, &x->bell);
	if (r < 0)
		return r;
	r = pthread_create(&x->waker, NULL, wake_thread, x);
	if (r)
		return err_sys(r, "start a thread");
	x->started = true;
	*ret_export = take(x);
	return 0;
}

void export_free(struct export *x)
{
	if (!x)
		return;
	atomic_store(&x->stop, true);
	if (x->started)
		(void)pthread_join(x->waker, NULL);
	while (atomic_load(&x->queries))
		(void)nanosleep(&(struct timespec) { .tv_nsec = PAUSE_NS }, NULL);
	raw_reader_free(x->bell);
	(void)pthread_mutex_destroy(&x->lock);
	free(x);
}

/* ---- the books --------------------------------------------------------------------------------------- */

static int kind_metrics(struct export *x, struct arena *arena, struct ring_metrics *m)
{
	const struct event_kind *kind;
	struct ring_kind_metrics *kinds;
	struct raw_kind_metrics k;
	size_t n = 0;

	while (event_kind_at(n))
		n++;
	kinds = arena_zeroed(arena, n + 1, sizeof(*kinds));
	if (!kinds)
		return err_new(-ENOMEM, "no memory for the figures");
	m->kinds.items = kinds;
	for (size_t i = 0; i < n && (kind = event_kind_at(i)); i++) {
		raw_ring_kind_metrics(x->source.ring, kind->id, &k);
		if (k.puts)
			kinds[m->kinds.n++] = (struct ring_kind_metrics) { kind->name, k.puts, k.per_s };
	}
	return 0;
}

static int reader_metrics(struct export *x, struct arena *arena, struct ring_metrics *m)
{
	struct ring_reader_metrics *readers = arena_zeroed(arena, RAW_RING_READERS_MAX, sizeof(*readers));
	struct raw_reader_metrics one;

	if (!readers)
		return err_new(-ENOMEM, "no memory for the figures");
	m->readers.items = readers;
	for (unsigned i = 0; i < RAW_RING_READERS_MAX; i++) {
		const char *name;

		if (!raw_ring_reader_metrics(x->source.ring, i, &one))
			continue;
		name = arena_str(arena, one.name, strnlen(one.name, sizeof(one.name)));
		if (!name)
			return err_new(-ENOMEM, "no memory for the figures");
		readers[m->readers.n++] = (struct ring_reader_metrics) { name, export_cursor(x, one.cursor), one.lag,
									 one.read, one.lost };
	}
	return 0;
}

int export_metrics(struct export *x, struct arena *arena, struct ring_metrics *ret_metrics)
{
	struct raw_ring_metrics ring;
	int r;

	raw_ring_metrics(x->source.ring, &ring);
	*ret_metrics = (struct ring_metrics) {
		.capacity = ring.capacity,
		.used = ring.used,
		.records = ring.puts,
		.bytes = ring.put_bytes,
		.overwritten = ring.overwritten,
		.per_second = ring.per_s,
		.oldest = export_cursor(x, ring.overwritten),
		.newest = export_cursor(x, ring.puts),
	};
	r = kind_metrics(x, arena, ret_metrics);
	return r < 0 ? r : reader_metrics(x, arena, ret_metrics);
}

/* ---- routes --------------------------------------------------------------------------------------------- */

static const char *const stream_types[] = { "text/event-stream", "application/x-ndjson", NULL };
static const struct route_param stream_params[] = {
	{ .name = "format",
	  .doc = "sse or lines; over a WebSocket json or protobuf",
	  .values = (const char *const[]) { "sse", "lines", "json", "protobuf", NULL } },
	{ .name = "last-event-id",
	  .in = PARAM_HEADER,
	  .doc = "cursor of the last event that was read, as browsers send it" },
};

static const struct route routes[] = {
	GRPC_ROUTE("/shrike.v1.EbpfExport/StreamRawEvents", ROLE_VIEWER, export_grpc_stream, &stream_request_message,
		   NULL, "gRPC: events as they happen"),
	GRPC_ROUTE("/shrike.v1.EbpfExport/StreamRawEventBatches", ROLE_VIEWER, export_grpc_batches,
		   &stream_request_message, NULL, "gRPC: events as they happen, many in a message"),
	GRPC_ROUTE("/shrike.v1.EbpfExport/QueryRawEvents", ROLE_VIEWER, export_grpc_query, &query_request_message, NULL,
		   "gRPC: events that were kept"),
	GRPC_ROUTE("/shrike.v1.EbpfExport/GetRingMetrics", ROLE_VIEWER, export_grpc_metrics,
		   &ring_metrics_request_message, &ring_metrics_message, "gRPC: the books of the ring"),
	GRPC_ROUTE("/shrike.v1.EbpfExport/", ROLE_VIEWER, export_grpc_unknown, NULL, NULL,
		   "gRPC: says that there is no such method"),
	{ .method = "GET",
	  .path = "/api/v1/ebpf/stream",
	  .role = ROLE_VIEWER,
	  .handle = export_http_stream,
	  .params = stream_params,
	  .n_params = countof(stream_params),
	  .query = { &stream_request_message, &export_filter_message },
	  .types = stream_types,
	  .doc = "events as they happen: over WebSocket, as server-sent events, or as lines of JSON" },
	{ .method = "POST",
	  .path = "/api/v1/ebpf/query",
	  .role = ROLE_VIEWER,
	  .body_max = 64 << 10,
	  .handle = export_http_query,
	  .in = &query_request_message,
	  .out_schema = "{\"type\":\"object\",\"properties\":{\"events\":{\"type\":\"array\",\"items\":{\"type\":"
			"\"object\"}},\"count\":{\"type\":\"integer\"},\"lost\":{\"type\":\"integer\"},\"more\":{"
			"\"type\":\"boolean\"},\"cursor\":{\"type\":\"string\"}}}",
	  .doc = "events that were kept" },
	{ .method = "GET",
	  .path = "/api/v1/ebpf/metrics",
	  .role = ROLE_VIEWER,
	  .handle = export_http_metrics,
	  .out = &ring_metrics_message,
	  .doc = "the books of the ring" },
};

struct route_table export_routes(struct export *x)
{
	return (struct route_table) { routes, countof(routes), x, export_proto_file() };
}
