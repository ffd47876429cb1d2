/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/pipeline.h"
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include "base/err.h"
#include "base/log.h"
#include "base/json.h"

/* One engine's state on one shard. */
struct running_engine {
	const struct engine *engine;
	struct alerting *alerting;
	unsigned shard;
	void *state;
	_Atomic __u64 findings;
};

/* Something to do on the reader's thread; stands on the stack of who waits for it. */
struct ask {
	void (*fn)(void *arg, struct context *ctx);
	void *arg;
	struct ask *next;
	bool done;
};

struct pipeline {
	const struct bpf_core *core;
	struct context *context;
	struct raw_ring *raw;
	struct bus *bus;
	struct reader *reader;
	struct streams *streams;
	struct running_engine (*engines)[PIPELINE_ENGINES_MAX]; /* a row a shard */
	size_t n_engines;
	unsigned n_shards;
	struct alerting *alerting;
	__u64 ticked_ns; /* shard 0's */
	bool seed_is_exact;
	/* The context is the reader's alone, so it leaves a copy of its books here. */
	pthread_mutex_t stats_lock;
	struct context_stats stats;
	__u64 stats_at_ns;
	pthread_mutex_t ask_lock;
	pthread_cond_t answered;
	struct ask *asks, **last_ask;
	_Atomic bool asked; /* looked at without the lock, after each batch */
};

/* How old the copy of the context's books may be. */
static const __u64 stats_every_ns = 100000000;
/* How late the store hears what was folded. */
static const __u64 tick_every_ns = 1000000000;

/* ---- the reader's thread ----------------------------------------------------------------------- */

/* What was found out by looking, while the record that made it necessary is being applied. */
static void learned(void *arg, const struct ev_head *rec)
{
	struct pipeline *p = arg;

	if (p->raw)
		raw_ring_put(p->raw, rec);
}

void pipeline_put(struct pipeline *p, const struct ev_head *rec, const struct event_kind *kind)
{
	const struct process *process = context_apply(p->context, rec);

	(void)kind;
	/* After the context: what is learned for this record stands before it. */
	if (p->raw)
		raw_ring_put(p->raw, rec);
	(void)bus_put(p->bus, context_entity(p->context, rec), rec, (void *)(size_t)process_ref(process));
}

static void keep_stats(struct pipeline *p, __u64 now_ns)
{
	if (now_ns - p->stats_at_ns < stats_every_ns)
		return;
	p->stats_at_ns = now_ns;
	(void)pthread_mutex_lock(&p->stats_lock);
	context_stats(p->context, &p->stats);
	(void)pthread_mutex_unlock(&p->stats_lock);
}

/* One after the other, each without the lock. */
static void answer(struct pipeline *p)
{
	(void)pthread_mutex_lock(&p->ask_lock);
	while (p->asks) {
		struct ask *a = p->asks;

		p->asks = a->next;
		if (!p->asks)
			p->last_ask = &p->asks;
		(void)pthread_mutex_unlock(&p->ask_lock);
		a->fn(a->arg, p->context);
		(void)pthread_mutex_lock(&p->ask_lock);
		a->done = true;
		(void)pthread_cond_broadcast(&p->answered);
	}
	atomic_store(&p->asked, false);
	(void)pthread_mutex_unlock(&p->ask_lock);
}

void pipeline_batch(struct pipeline *p, __u64 now_ns)
{
	if (p->raw)
		raw_ring_flush(p->raw, now_ns);
	bus_flush(p->bus, now_ns);
	keep_stats(p, now_ns);
	if (atomic_load_explicit(&p->asked, memory_order_relaxed))
		answer(p);
}

static void read_record(void *ctx, const struct ev_head *rec, const struct event_kind *kind)
{
	pipeline_put(ctx, rec, kind);
}

static void read_batch(void *ctx, __u64 now_ns)
{
	pipeline_batch(ctx, now_ns);
}

/* ---- the shards' threads ------------------------------------------------------------------------- */

static bool wants(const struct engine *e, __u16 id)
{
	if (!e->wants)
		return true;
	for (const __u16 *w = e->wants; *w; w++)
		if (*w == id)
			return true;
	return false;
}

static void on_record(void *ctx, unsigned shard, const struct ev_head *rec, void *held)
{
	struct pipeline *p = ctx;
	const struct process *process = held;
	const struct event_kind *kind = event_kind_of(rec->id);
	struct context_view view;
	struct event ev = context_event_of(p->context, process, rec, kind, &view);

	for (size_t i = 0; i < p->n_engines; i++) {
		const struct running_engine *e = &p->engines[shard][i];

		if (wants(e->engine, rec->id))
			e->engine->on_event(e->state, &ev);
	}
	streams_offer(p->streams, &ev, process);
	process_unref(process);
}

static void on_time(void *ctx, unsigned shard, __u64 now_ns)
{
	struct pipeline *p = ctx;

	for (size_t i = 0; i < p->n_engines; i++) {
		const struct running_engine *e = &p->engines[shard][i];

		if (e->engine->on_time)
			e->engine->on_time(e->state, now_ns);
	}
	if (p->alerting && shard == 0 && now_ns - p->ticked_ns >= tick_every_ns) {
		p->ticked_ns = now_ns;
		alerting_tick(p->alerting);
	}
}

/* One shard's thread at a time counts for an engine; others read. */
static void on_finding(void *ctx, const struct finding *finding)
{
	struct running_engine *e = ctx;
	const struct ev_head *rec = finding->event ? finding->event->rec : NULL;
	char id[ALERT_ID_SIZE] = "";

	atomic_fetch_add_explicit(&e->findings, 1, memory_order_relaxed);
	if (!e->alerting || !alerting_found(e->alerting, e->shard, finding, id))
		return;
	if (finding->message)
		log_warning("trouble of the agent's own", "rule=\"%s\" what=\"%s\" alert=%s", finding->rule,
			    finding->message, id);
	else
		log_notice("a rule matched", "rule=\"%s\" severity=%u pid=%u process=\"%.*s\" events=%zu alert=%s",
			   finding->rule, finding->severity, rec ? rec->pid : 0, rec ? (int)sizeof(rec->comm) : 0,
			   rec ? rec->comm : "", finding->n_events, id);
}

static void release(void *held)
{
	process_unref(held);
}

/* ---- asking the reader's thread ------------------------------------------------------------------- */

void pipeline_ask(struct pipeline *p, void (*fn)(void *arg, struct context *ctx), void *arg)
{
	struct ask a = { .fn = fn, .arg = arg };

	(void)pthread_mutex_lock(&p->ask_lock);
	*p->last_ask = &a;
	p->last_ask = &a.next;
	atomic_store(&p->asked, true);
	if (p->reader)
		reader_wake(p->reader);
	while (!a.done)
		(void)pthread_cond_wait(&p->answered, &p->ask_lock);
	(void)pthread_mutex_unlock(&p->ask_lock);
}

struct known {
	struct pipeline *p;
	struct buf *out;
	__u64 cursor;
	int result;
};

static void add_known(void *arg, const struct ev_head *rec)
{
	static const char zeros[8];
	struct known *k = arg;

	if (k->out->len > PIPELINE_KNOWN_MAX)
		k->out->failed = true;
	buf_add(k->out, rec, rec->len);
	buf_add(k->out, zeros, -(size_t)rec->len % 8);
}

static void tell_known(void *arg, struct context *ctx)
{
	struct raw_ring_metrics metrics = { 0 };
	struct known *k = arg;

	k->result = context_snapshot(ctx, add_known, k);
	if (k->p->raw)
		raw_ring_metrics(k->p->raw, &metrics);
	k->cursor = metrics.puts;
}

int pipeline_known(struct pipeline *p, struct buf *out, __u64 *ret_cursor)
{
	struct known k = { .p = p, .out = out };

	pipeline_ask(p, tell_known, &k);
	if (k.result < 0 || out->failed)
		return err_new(-ENOMEM, "no memory for what is known");
	*ret_cursor = k.cursor;
	return 0;
}

/* ---- opening and closing --------------------------------------------------------------------------- */

static int open_engines(struct pipeline *p, const struct pipeline_options *options)
{
	p->n_shards = options->bus.shards;
	p->engines = calloc(p->n_shards, sizeof(*p->engines));
	if (!p->engines)
		return err_new(-ENOMEM, "no memory for the engines");
	if (options->n_engines > PIPELINE_ENGINES_MAX)
		return err_new(-E2BIG, "%zu engines: at most %d are possible", options->n_engines,
			       PIPELINE_ENGINES_MAX);
	p->n_engines = options->n_engines;
	for (unsigned shard = 0; shard < p->n_shards; shard++)
		for (size_t i = 0; i < p->n_engines; i++) {
			struct running_engine *e = &p->engines[shard][i];
			const struct engine_sink sink = { on_finding, e };
			int r;

			e->engine = options->engines[i].engine;
			e->alerting = options->alerting;
			e->shard = shard;
			r = e->engine->open(&e->state, shard, options->engines[i].options, &sink);
			if (r < 0)
				return err_wrap(r, "start the engine %s", e->engine->name);
		}
	return 0;
}

int pipeline_reload(struct pipeline *p, const struct pipeline_engine *engines, size_t n)
{
	for (size_t i = 0; i < n && i < p->n_engines; i++) {
		const struct running_engine *e = &p->engines[0][i];
		int r = e->engine->reload ? e->engine->reload(e->state, engines[i].options) : 0;

		if (r < 0)
			return err_wrap(r, "reload the engine %s", e->engine->name);
	}
	return 0;
}

static void close_engines(struct pipeline *p)
{
	for (unsigned shard = 0; p->engines && shard < p->n_shards; shard++)
		for (size_t i = 0; i < p->n_engines; i++)
			if (p->engines[shard][i].state)
				p->engines[shard][i].engine->close(p->engines[shard][i].state);
	free(p->engines);
}

int pipeline_open(const struct bpf_core *core, const struct pipeline_options *options, struct pipeline **ret_pipeline)
{
	AUTO(pipeline) p = calloc(1, sizeof(*p));
	const struct bus_consumer consumer = { on_record, on_time, release, p };
	struct context_options context = options->context;
	int r;

	if (!p)
		return err_new(-ENOMEM, "no memory for the pipeline");
	p->core = core;
	p->alerting = options->alerting;
	(void)pthread_mutex_init(&p->stats_lock, NULL);
	(void)pthread_mutex_init(&p->ask_lock, NULL);
	(void)pthread_cond_init(&p->answered, NULL);
	p->last_ask = &p->asks;
	if (options->raw_ring_bytes) {
		r = raw_ring_open(options->raw_ring_bytes, &p->raw);
		if (r < 0)
			return err_wrap(r, "open the raw ring");
	}
	context.learned = learned;
	context.arg = p;
	r = context_open(&context, &p->context);
	if (r < 0)
		return err_wrap(r, "open the context");
	r = streams_open(p->context, &p->streams);
	if (r < 0)
		return r;
	r = open_engines(p, options);
	if (r < 0)
		return r;
	r = bus_open(&options->bus, &consumer, &p->bus);
	if (r < 0)
		return err_wrap(r, "open the bus");
	*ret_pipeline = take(p);
	return 0;
}

int pipeline_start(struct pipeline *p)
{
	const struct reader_sink sink = { read_record, read_batch, p };
	int r;

	r = context_seed(p->context, &p->seed_is_exact);
	if (r < 0)
		return err_wrap(r, "learn which processes there are");
	return reader_open(p->core, &sink, &p->reader);
}

void pipeline_settle(struct pipeline *p)
{
	reader_free(take(p->reader));
}

void pipeline_free(struct pipeline *p)
{
	if (!p)
		return;
	reader_free(p->reader);
	bus_free(p->bus);
	close_engines(p);
	streams_free(p->streams);
	context_free(p->context);
	raw_ring_free(p->raw);
	(void)pthread_cond_destroy(&p->answered);
	(void)pthread_mutex_destroy(&p->ask_lock);
	(void)pthread_mutex_destroy(&p->stats_lock);
	free(p);
}

struct streams *pipeline_streams(struct pipeline *p)
{
	return p->streams;
}

struct raw_ring *pipeline_raw(struct pipeline *p)
{
	return p->raw;
}

bool pipeline_seed_is_exact(const struct pipeline *p)
{
	return p->seed_is_exact;
}

/* ---- telling ------------------------------------------------------------------------------------------ */

static void reader_status(struct pipeline *p, struct buf *out)
{
	struct reader_counts c = { 0 };

	if (p->reader)
		reader_counts(p->reader, &c);
	buf_str(out, "\"rings\":[");
	for (int i = 0; i < RING_COUNT; i++)
		buf_printf(out, "%s{\"name\":\"%s\",\"bytes\":%zu,\"used\":%zu,\"records\":%llu}", i ? "," : "",
			   ring_name((enum core_ring)i), c.bytes[i], c.used[i], c.records[i]);
	buf_printf(out, "],\"reader\":{\"records\":%llu,\"malformed\":%llu,\"wakeups\":%llu,\"latency_max_ns\":%llu}",
		   c.records[RING_CRITICAL] + c.records[RING_BULK] + c.records[RING_PACKET], c.malformed, c.wakeups,
		   c.latency_max_ns);
}

static void raw_readers_status(const struct raw_ring *ring, struct buf *out)
{
	struct raw_reader_metrics m;
	bool any = false;

	for (unsigned i = 0; i < RAW_RING_READERS_MAX; i++) {
		if (!raw_ring_reader_metrics(ring, i, &m))
			continue;
		buf_str(out, any ? ",{\"name\":" : "{\"name\":");
		(void)json_write_str(out, m.name, strlen(m.name));
		buf_printf(out, ",\"cursor\":%llu,\"lag\":%llu,\"read\":%llu,\"lost\":%llu}", m.cursor, m.lag, m.read,
			   m.lost);
		any = true;
	}
}

static void raw_kinds_status(const struct raw_ring *ring, struct buf *out)
{
	const struct event_kind *kind;
	struct raw_kind_metrics m;
	bool any = false;

	for (size_t i = 0; (kind = event_kind_at(i)); i++) {
		raw_ring_kind_metrics(ring, kind->id, &m);
		if (!m.puts)
			continue;
		buf_printf(out, "%s{\"name\":\"%s\",\"puts\":%llu,\"per_s\":%llu}", any ? "," : "", kind->name, m.puts,
			   m.per_s);
		any = true;
	}
}

static void raw_status(struct pipeline *p, struct buf *out)
{
	struct raw_ring_metrics m;

	if (!p->raw) {
		buf_str(out, ",\"raw\":null");
		return;
	}
	raw_ring_metrics(p->raw, &m);
	buf_printf(out,
		   ",\"raw\":{\"capacity\":%llu,\"used\":%llu,\"puts\":%llu,\"put_bytes\":%llu,\"overwritten\":%llu,"
		   "\"per_s\":%llu,\"readers\":[",
		   m.capacity, m.used, m.puts, m.put_bytes, m.overwritten, m.per_s);
	raw_readers_status(p->raw, out);
	buf_str(out, "],\"kinds\":[");
	raw_kinds_status(p->raw, out);
	buf_str(out, "]}");
}

static void bus_status(struct pipeline *p, struct buf *out)
{
	struct bus_counts c;

	bus_counts(p->bus, &c);
	buf_printf(out,
		   ",\"bus\":{\"shards\":%u,\"put\":%llu,\"delivered\":%llu,\"waits\":%llu,\"queued_bytes\":%zu,"
		   "\"queue_bytes\":%zu,\"lost\":{\"critical\":%llu,\"normal\":%llu,\"bulk\":%llu,\"packet\":%llu}}",
		   bus_shards(p->bus), c.put, c.delivered, c.waits, c.queued_bytes, c.queue_bytes, c.lost[EV_CRITICAL],
		   c.lost[EV_NORMAL], c.lost[EV_BULK], c.lost[EV_PACKET]);
}

static void engines_status(struct pipeline *p, struct buf *out)
{
	buf_str(out, ",\"engines\":[");
	for (size_t i = 0; i < p->n_engines; i++) {
		const struct engine *engine = p->engines[0][i].engine;
		void *states[BUS_SHARDS_MAX];
		unsigned long long findings = 0;

		for (unsigned shard = 0; shard < p->n_shards; shard++) {
			states[shard] = p->engines[shard][i].state;
			findings += atomic_load_explicit(&p->engines[shard][i].findings, memory_order_relaxed);
		}
		buf_printf(out, "%s{\"name\":\"%s\",\"findings\":%llu", i ? "," : "", engine->name, findings);
		if (engine->status)
			engine->status(states, p->n_shards, out);
		buf_char(out, '}');
	}
	buf_char(out, ']');
}

void pipeline_describe(struct pipeline *p, struct buf *out)
{
	for (size_t i = 0; i < p->n_engines; i++) {
		const struct engine *engine = p->engines[0][i].engine;

		if (!engine->describe)
			continue;
		buf_printf(out, "  %-8s ", engine->name);
		engine->describe(p->engines[0][i].state, out);
		buf_char(out, '\n');
	}
}

static void context_status(struct pipeline *p, struct buf *out)
{
	struct context_stats stats;

	(void)pthread_mutex_lock(&p->stats_lock);
	stats = p->stats;
	(void)pthread_mutex_unlock(&p->stats_lock);
	buf_printf(out, ",\"context\":{\"exact\":%s", p->seed_is_exact ? "true" : "false");
	for (size_t i = 0; i < context_n_metrics; i++) {
		uint64_t v;

		memcpy(&v, (const char *)&stats + context_metrics[i].off, sizeof(v));
		buf_printf(out, ",\"%s\":%llu", context_metrics[i].name, (unsigned long long)v);
	}
	buf_char(out, '}');
}

void pipeline_status(struct pipeline *p, struct buf *out)
{
	reader_status(p, out);
	raw_status(p, out);
	bus_status(p, out);
	engines_status(p, out);
	context_status(p, out);
}
