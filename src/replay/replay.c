/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/replay.h"
#include <stdatomic.h>
#include <string.h>
#include "base/clock.h"
#include "base/err.h"
#include "event/json_event.h"
#include "replay/order.h"

enum {
	BATCH = 1024,              /* items between two flushes, or: */
	FLUSH_NS = 100000000,      /* event time between two */
	QUEUE_BYTES = 512 << 10,   /* a shard */
	HELD_BYTES_MAX = 64 << 20, /* lines of JSON on their way */
	SLICE_NS = 50000000,       /* of a wait for the time of an event */
	ENGINES_MAX = 64,
};
/* Nothing is lost here: who puts waits for as long as it takes. */
static const __u64 wait_ns = 1ULL << 62;
static const __u64 place_of_timers = UINT64_MAX;
/* Leaves room for sums: no event is of the year 1700. */
static const int64_t wall_min_ns = INT64_MIN + (1LL << 60);

/* Stands behind a record in the queue, whose length it restores. */
struct tail {
	int64_t key_ns;
	__u64 place;
	__u16 len;
	bool is_line; /* what is held is a line, not a process */
	bool is_foreign;
};

/* A line of JSON on its way to its shard. */
struct held_line {
	struct replay *replay;
	const struct process *process;
	size_t n;
	char text[];
};

/* The line's event, for a lens; the process beside it. */
struct line_event {
	struct json_event json;
	const struct process *process;
};

struct shard {
	struct replay *replay;
	unsigned number;
	struct order_key key; /* of what is being worked on */
	struct line_event line;
	struct buf text;
	void *engines[ENGINES_MAX];
	_Atomic __u64 told_ns;
	struct alert_maker *maker;
	uint64_t shown, findings, excepted, foreign;
	uint64_t counts[256 * EV_KIND_MAX];
};

struct replay {
	struct replay_options options;
	struct order *order;
	struct shard *shards;
	size_t n_engines;

	/* Of what is replayed now: one boot of one host. */
	struct context *context;
	struct bus *bus;
	struct input_origin origin;
	struct alert_folds *folds;
	__u64 flushed_ns;

	__u64 place;
	int64_t newest_ns, settled_ns; /* wall time; nothing that counts as older than settled_ns is still to come */
	int64_t released_ns;
	unsigned since_flush;
	int64_t paced_from_ns; /* wall time of the first event, and when it was replayed */
	uint64_t paced_at_ns;
	_Atomic size_t held_bytes;
	_Atomic bool no_memory;
	struct replay_stats stats;
	struct buf alert; /* that is handed out */
	_Alignas(8) unsigned char scratch[EV_LEN_MAX + 8 + sizeof(struct tail)];
};

static size_t padded(size_t n)
{
	return (n + 7) / 8 * 8;
}

/* ---- on the shards ------------------------------------------------------------------------------- */

static void put_line(struct shard *s, enum replay_what what)
{
	struct replay *r = s->replay;

	if (s->text.failed || order_put(r->order, s->number, &s->key, what, s->text.data, s->text.len) < 0)
		r->no_memory = true;
	/* How many others a thread has put for the same time depends on what else is its business. */
	s->key.nth += s->key.place != place_of_timers;
}

/*
 * What shards find out together comes when the last of them has been told the time, and belongs to when it happened:
 * before that time, and not before the one that was told before, up to which all has been handed out.
 */
static struct order_key key_of(const struct shard *s, const struct alert *a)
{
	const int64_t wall_minus_boot = (int64_t)s->replay->origin.wall_minus_boot_ns;
	const int64_t least = (int64_t)atomic_load_explicit(&s->told_ns, memory_order_relaxed) + wall_minus_boot + 1;
	struct order_key key = s->key;

	if (key.place == place_of_timers && a->time_ns < key.time_ns)
		key.time_ns = a->time_ns > least ? a->time_ns : least;
	return key;
}

static void on_finding(void *ctx, const struct finding *f)
{
	struct shard *s = ctx;
	const struct order_key now = s->key;
	struct finding timed = *f;
	struct alert alert;
	int r;

	/* What no event and no engine dates happened at the time that shards were told. */
	if (!timed.time_ns && !timed.event)
		timed.time_ns = (__u64)s->key.time_ns - (__u64)s->replay->origin.wall_minus_boot_ns;
	r = alert_make(s->maker, &timed, &alert);

	s->findings++;
	if (r < 0) {
		s->replay->no_memory = true;
	} else if (r == ALERT_EXCEPTED) {
		s->excepted++;
	} else {
		buf_clear(&s->text);
		alert_pack(&alert, &s->text);
		s->key = key_of(s, &alert);
		put_line(s, REPLAY_ALERT);
		if (now.place == place_of_timers)
			s->key = now;
	}
}

static bool is_descendant(const struct event *ev, __u32 pid)
{
	const struct process *p = ev->lens == &json_event_lens ? ((const struct line_event *)ev->subject)->process
							       : ((const struct context_view *)ev->subject)->process;

	return p && process_is_descendant(p, pid, 0);
}

static bool wants(const struct engine *e, const struct event *ev)
{
	if (!e->wants)
		return true;
	for (const __u16 *w = e->wants; ev->rec && *w; w++)
		if (*w == ev->rec->id)
			return true;
	return false;
}

/* `line`: what the event came from, where it is shown as it was. */
static void judge_and_show(struct shard *s, const struct event *ev, const struct held_line *line)
{
	struct replay *r = s->replay;

	for (size_t i = 0; i < r->n_engines; i++)
		if (wants(r->options.engines[i].engine, ev))
			r->options.engines[i].engine->on_event(s->engines[i], ev);
	if (r->options.no_events || (r->options.filter && !filter_match(r->options.filter, ev, is_descendant)))
		return;
	s->shown++;
	if (r->options.count) {
		if (ev->rec)
			s->counts[EV_ID_SENSOR(ev->rec->id) * EV_KIND_MAX + EV_ID_NUMBER(ev->rec->id)]++;
		else
			s->foreign++;
		return;
	}
	buf_clear(&s->text);
	if (line) {
		buf_add(&s->text, line->text, line->n);
		buf_char(&s->text, '\n');
	} else {
		event_to_json(ev, &s->text);
	}
	put_line(s, REPLAY_EVENT);
}

static void let_go(struct held_line *line)
{
	atomic_fetch_sub_explicit(&line->replay->held_bytes, line->n, memory_order_relaxed);
	process_unref(line->process);
	free(line);
}

static void on_line_record(struct shard *s, const struct ev_head *rec, const struct tail *tail, struct held_line *line)
{
	struct event ev;

	/* It was read once already: only memory can be missing. */
	if (json_event_parse(&s->line.json, line->text, line->n) < 0) {
		s->replay->no_memory = true;
		return;
	}
	s->line.process = line->process;
	ev = json_event_as_event(&s->line.json);
	ev.subject = &s->line;
	if (!tail->is_foreign) {
		ev.rec = rec;
		ev.kind = event_kind_of(rec->id);
	}
	judge_and_show(s, &ev, line);
}

static void on_record(void *ctx, unsigned number, const struct ev_head *rec, void *held)
{
	struct replay *r = ctx;
	struct shard *s = &r->shards[number];
	struct context_view view;
	struct event ev;
	struct tail tail;

	memcpy(&tail, (const char *)rec + rec->len - sizeof(tail), sizeof(tail));
	/* What lies in the queue is this shard's until it has returned. */
	((struct ev_head *)(uintptr_t)rec)->len = tail.len;
	s->key = (struct order_key) { .time_ns = tail.key_ns, .place = tail.place };
	if (tail.is_line) {
		on_line_record(s, rec, &tail, held);
		let_go(held);
		return;
	}
	ev = context_event_of(r->context, held, rec, event_kind_of(rec->id), &view);
	judge_and_show(s, &ev, NULL);
	process_unref(held);
}

static void on_time(void *ctx, unsigned number, __u64 now_ns)
{
	struct replay *r = ctx;
	struct shard *s = &r->shards[number];

	s->key = (struct order_key) { .time_ns = (int64_t)(now_ns + (__u64)r->origin.wall_minus_boot_ns),
				      .place = place_of_timers };
	for (size_t i = 0; i < r->n_engines; i++)
		if (r->options.engines[i].engine->on_time)
			r->options.engines[i].engine->on_time(s->engines[i], now_ns);
	atomic_store_explicit(&s->told_ns, now_ns, memory_order_release);
}

/* ---- one boot of one host --------------------------------------------------------------------------- */

static int open_engines(struct replay *r, struct shard *s)
{
	const struct engine_sink sink = { on_finding, s };

	for (size_t i = 0; i < r->n_engines; i++) {
		const struct replay_engine *e = &r->options.engines[i];
		int result = e->engine->open(&s->engines[i], s->number, e->options, &sink);

		if (result < 0)
			return err_wrap(result, "start the engine %s", e->engine->name);
	}
	return 0;
}

static int begin_boot(struct replay *r)
{
	const struct bus_options options = {
		.shards = r->options.shards, .queue_bytes = QUEUE_BYTES, .wait_ns = wait_ns, .exact = true
	};
	const struct bus_consumer consumer = { on_record, on_time, NULL, r };
	struct context_options context = { .limits = r->options.limits, .offline = true, .boot_id = r->origin.boot_id };
	int result;

	/* An agent that starts anew knows nothing of alerts before. */
	alert_folds_free(take(r->folds));
	result = r->n_engines ? alert_folds_open(ALERT_FOLDS_MAX, &r->folds) : 0;
	if (result < 0)
		return result;
	/* What is cut where memory is short depends on how far behind the shards are. */
	context.limits.memory = UINT64_MAX;
	result = context_open(&context, &r->context);
	for (unsigned i = 0; i < r->options.shards && result == 0; i++) {
		r->shards[i].told_ns = 0;
		result = open_engines(r, &r->shards[i]);
	}
	r->flushed_ns = 0;
	r->settled_ns = r->newest_ns = wall_min_ns;
	return result < 0 ? result : bus_open(&options, &consumer, &r->bus);
}

/* All that was put has been worked on when this is done. */
static void end_boot(struct replay *r)
{
	bus_free(r->bus);
	r->bus = NULL;
	for (unsigned i = 0; r->shards && i < r->options.shards; i++)
		for (size_t e = 0; e < r->n_engines; e++)
			if (r->shards[i].engines[e]) {
				r->options.engines[e].engine->close(r->shards[i].engines[e]);
				r->shards[i].engines[e] = NULL;
			}
	context_free(r->context);
	r->context = NULL;
}

/* ---- what comes out --------------------------------------------------------------------------------- */

/* False: it is folded into another. */
static bool finish_alert(struct replay *r, const char *bytes, size_t n)
{
	struct alert alert;

	if (!alert_unpack(bytes, n, &alert))
		return false;
	if (!alert_folds_pass(r->folds, &alert)) {
		r->stats.folded++;
		return false;
	}
	r->stats.alerts++;
	buf_clear(&r->alert);
	alert_write(&alert, &r->alert);
	buf_char(&r->alert, '\n');
	r->no_memory |= r->alert.failed;
	return true;
}

static bool hand_out(void *arg, const struct order_key *key, int what, const char *line, size_t n)
{
	struct replay *r = arg;

	(void)key;
	if (what == REPLAY_ALERT) {
		if (!finish_alert(r, line, n))
			return true;
		line = r->alert.data;
		n = r->alert.len;
	}
	return !r->options.on_line || r->options.on_line(r->options.arg, what, line, n);
}

static int release(struct replay *r, int64_t before_ns)
{
	if (r->no_memory)
		return err_new(-ENOMEM, "no memory for what is on its way");
	if (before_ns <= r->released_ns)
		return 0;
	r->released_ns = before_ns;
	return order_take(r->order, before_ns, hand_out, r);
}

/* Up to when all shards have done their work. */
static int64_t all_told(const struct replay *r)
{
	__u64 least = UINT64_MAX;

	for (unsigned i = 0; i < r->options.shards; i++) {
		__u64 told = atomic_load_explicit(&r->shards[i].told_ns, memory_order_acquire);

		least = told < least ? told : least;
	}
	return least ? (int64_t)(least + (__u64)r->origin.wall_minus_boot_ns) : INT64_MIN;
}

static void tell(struct replay *r, int64_t wall_ns)
{
	int64_t boot_ns = (int64_t)((__u64)wall_ns - (__u64)r->origin.wall_minus_boot_ns);

	r->settled_ns = wall_ns;
	if (boot_ns > 0 && (__u64)boot_ns > r->flushed_ns) {
		r->flushed_ns = (__u64)boot_ns;
		bus_flush(r->bus, r->flushed_ns);
	}
}

/* Shards hear how far it is, and what is old enough comes out. */
static int flush(struct replay *r)
{
	r->since_flush = 0;
	if (r->newest_ns - REPLAY_LATE_NS > r->settled_ns)
		tell(r, r->newest_ns - REPLAY_LATE_NS);
	if (order_waiting(r->order) <= REPLAY_PENDING_MAX)
		return release(r, all_told(r));
	/* Many of one moment: what is to come is younger, or stands further behind in the input. */
	bus_settle(r->bus);
	r->released_ns = INT64_MIN;
	return release(r, r->settled_ns + 1);
}

/* The last of this boot: its time is told, and all of it comes out. */
static int finish(struct replay *r)
{
	int result;

	if (!r->bus)
		return 0;
	/* Just after the last event: what waits for others is worked on when it is older than what is told. */
	if (r->newest_ns >= r->settled_ns && r->newest_ns > wall_min_ns)
		tell(r, r->newest_ns + 1);
	end_boot(r);
	r->released_ns = INT64_MIN;
	result = release(r, INT64_MAX);
	r->released_ns = INT64_MIN;
	return result;
}

/* ---- what goes in ------------------------------------------------------------------------------------ */

static int change_origin(struct replay *r, const struct input_origin *o)
{
	bool same_boot = r->bus && !strcmp(r->origin.boot_id, o->boot_id);
	int result;

	if (same_boot) {
		/* The clock is all there is to change: nobody may be printing by it. */
		bus_settle(r->bus);
		result = release(r, all_told(r));
		r->origin = *o;
		event_clock_set(o->wall_minus_boot_ns);
		return result;
	}
	result = finish(r);
	if (result)
		return result;
	r->origin = *o;
	event_clock_set(o->wall_minus_boot_ns);
	return begin_boot(r);
}

/* Waits for the event's time, in slices, in which all that is due comes out. */
static int pace(struct replay *r, int64_t wall_ns)
{
	uint64_t now = clock_mono_ns(), due;

	if (!r->paced_at_ns) {
		r->paced_at_ns = now;
		r->paced_from_ns = wall_ns;
	}
	if (wall_ns <= r->paced_from_ns)
		return 0;
	due = r->paced_at_ns + (uint64_t)(wall_ns - r->paced_from_ns) / r->options.speed;
	while ((now = clock_mono_ns()) < due) {
		int result = release(r, all_told(r));

		if (result)
			return result;
		if (r->options.on_progress && !r->options.on_progress(r->options.arg, NULL))
			return 1;
		clock_sleep_ns(due - now < SLICE_NS ? due - now : SLICE_NS);
	}
	return 0;
}

static struct held_line *hold_line(struct replay *r, struct str line, const struct process *p)
{
	struct held_line *held;

	if (atomic_load_explicit(&r->held_bytes, memory_order_relaxed) > HELD_BYTES_MAX)
		bus_settle(r->bus);
	held = malloc(sizeof(*held) + line.n);
	if (!held)
		return NULL;
	*held = (struct held_line) { .replay = r, .process = process_ref(p), .n = line.n };
	memcpy(held->text, line.p, line.n);
	atomic_fetch_add_explicit(&r->held_bytes, line.n, memory_order_relaxed);
	return held;
}

static int put(struct replay *r, const struct input_item *item, const struct process *p)
{
	struct ev_head none = { .len = sizeof(none), .class = EV_NORMAL };
	const struct ev_head *rec = item->rec ?: &none;
	struct ev_head *copy = (struct ev_head *)r->scratch;
	struct tail tail = {
		.key_ns = item->wall_ns > r->settled_ns ? item->wall_ns : r->settled_ns,
		.place = r->place++,
		.len = rec->len,
		.is_line = !item->rec || item->has_context,
		.is_foreign = !item->rec,
	};
	void *held = NULL;

	if (tail.is_line) {
		held = hold_line(r, item->line, p);
		if (!held)
			return err_new(-ENOMEM, "no memory for a line");
	} else {
		held = (void *)(uintptr_t)process_ref(p);
	}
	memcpy(copy, rec, rec->len);
	copy->len = (__u16)(padded(rec->len) + sizeof(tail));
	memcpy(r->scratch + padded(rec->len), &tail, sizeof(tail));
	(void)bus_put(r->bus, p ? p->entity : 0, copy, held);
	return 0;
}

static int feed(struct replay *r, const struct input *in, const struct input_item *item)
{
	const struct process *p = NULL;
	int result = 0;

	if (item->origin_is_new || !r->bus)
		result = change_origin(r, input_origin(in));
	if (result)
		return result;
	if (item->rec)
		p = context_apply(r->context, item->rec);
	/* Before its time range, and when it was learned and not seen, it serves the context alone. */
	if ((item->rec && EV_ID_SENSOR(item->rec->id) == EV_CONTEXT) ||
	    (r->options.from_ns && item->wall_ns < r->options.from_ns) ||
	    (r->options.to_ns && item->wall_ns >= r->options.to_ns))
		return 0;
	if (!r->stats.events && r->options.for_ns && !r->options.to_ns &&
	    __builtin_add_overflow(item->wall_ns, r->options.for_ns, &r->options.to_ns))
		r->options.to_ns = INT64_MAX;
	if (item->wall_ns > r->newest_ns)
		r->newest_ns = item->wall_ns;
	/*
	 * By number and by event time, never by the time that it takes: where shards are told the time decides what
	 * comes out. Before the event: what is due does not wait for one that comes an hour later.
	 */
	if (r->since_flush >= BATCH || r->newest_ns - REPLAY_LATE_NS >= r->settled_ns + FLUSH_NS)
		result = flush(r);
	if (!result && r->options.speed)
		result = pace(r, item->wall_ns);
	if (result)
		return result;
	if (!r->stats.events++)
		r->stats.first_ns = item->wall_ns;
	if (r->stats.events == 1 || item->wall_ns > r->stats.last_ns)
		r->stats.last_ns = item->wall_ns;
	r->since_flush++;
	return put(r, item, p);
}

static int feed_all(struct replay *r, struct input *in)
{
	struct input_item item;
	unsigned looked = 0;
	int result;

	while ((result = input_next(in, &item)) == 1) {
		result = feed(r, in, &item);
		if (result)
			return result;
		if (r->options.on_progress && ++looked % (16 * BATCH) == 0) {
			struct input_stats stats;

			input_stats(in, &stats);
			if (!r->options.on_progress(r->options.arg, &stats))
				return 1;
		}
	}
	return result;
}

int replay_file(struct replay *r, const char *path, struct input_stats *ret_stats)
{
	AUTO(input) in = NULL;
	int result;

	*ret_stats = (struct input_stats) { 0 };
	result = input_open(path, r->options.schema ?: "ecs", &in);
	if (result < 0)
		return result;
	result = feed_all(r, in);
	input_stats(in, ret_stats);
	/* Nobody works on after that: what was counted can be read. */
	if (result)
		end_boot(r);
	return result < 0 ? err_wrap(result, "%s", path) : result;
}

int replay_end(struct replay *r)
{
	return finish(r);
}

/* ---- life ----------------------------------------------------------------------------------------------- */

int replay_open(const struct replay_options *options, struct replay **ret_replay)
{
	AUTO(replay) r = NULL;
	int result;

	if (!options->shards || options->shards > BUS_SHARDS_MAX)
		return err_new(-EINVAL, "%u shards: 1 to %d are possible", options->shards, BUS_SHARDS_MAX);
	r = calloc(1, sizeof(*r));
	if (!r)
		return err_new(-ENOMEM, "out of memory");
	r->options = *options;
	r->released_ns = INT64_MIN;
	buf_init(&r->alert, 2 * ALERT_JSON_MAX);
	r->shards = calloc(options->shards, sizeof(*r->shards));
	if (!r->shards)
		return err_new(-ENOMEM, "no memory for %u shards", options->shards);
	for (unsigned i = 0; i < options->shards; i++) {
		struct shard *s = &r->shards[i];

		s->replay = r;
		s->number = i;
		buf_init(&s->text, ALERT_JSON_MAX + 8 * ALERT_TEXT_MAX);
		json_event_init(&s->line.json, false);
		result = options->engines ? alert_maker_open(&options->alerts, NULL, &s->maker) : 0;
		if (result < 0)
			return result;
	}
	for (const struct replay_engine *e = options->engines; e && e->engine; e++)
		if (++r->n_engines > ENGINES_MAX)
			return err_new(-E2BIG, "more than %d engines", ENGINES_MAX);
	result = order_open(options->shards, &r->order);
	if (result < 0)
		return result;
	*ret_replay = take(r);
	return 0;
}

void replay_free(struct replay *r)
{
	if (!r)
		return;
	end_boot(r);
	for (unsigned i = 0; r->shards && i < r->options.shards; i++) {
		buf_free(&r->shards[i].text);
		json_event_free(&r->shards[i].line.json);
		alert_maker_free(r->shards[i].maker);
	}
	alert_folds_free(r->folds);
	buf_free(&r->alert);
	free(r->shards);
	order_free(r->order);
	free(r);
}

void replay_stats(const struct replay *r, struct replay_stats *ret_stats)
{
	*ret_stats = r->stats;
	for (unsigned i = 0; i < r->options.shards; i++) {
		ret_stats->shown += r->shards[i].shown;
		ret_stats->findings += r->shards[i].findings;
		ret_stats->excepted += r->shards[i].excepted;
	}
}

uint64_t replay_count(const struct replay *r, const struct event_kind *kind)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < r->options.shards; i++)
		sum += kind ? r->shards[i].counts[EV_ID_SENSOR(kind->id) * EV_KIND_MAX + EV_ID_NUMBER(kind->id)]
			    : r->shards[i].foreign;
	return sum;
}
