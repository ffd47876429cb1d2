/* SPDX-License-Identifier: Apache-2.0 */
/*
 * detect - runs rules over the events of the bus: single events, and sequences of them.
 *
 * See detect.md: which rules run on the shards, which in one place, and in what order.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "engines/detect/house.h"

enum { SCOUT_BYTES = 1 << 18 };
/* How old the copy of a shard's books may be. */
static const __u64 stats_every_ns = 100 * NS_PER_MS;

struct detect_options {
	char *rules;
	bool watch;
	uint64_t memory;
	uint32_t keys_per_rule, keys_per_entity;
	uint32_t backend; /* enum predicate_backend */
};

/* In the order of enum predicate_backend. */
static const char *const backends[] = { "auto", "vm", "wasm", NULL };

static const struct option options[] = {
	OPTION(detect_options, rules, OPT_PATH, RULES_SHIPPED,
	       "file or folder of rules (docs/rules.md), read again when the configuration is; unless said otherwise "
	       "those that came with Shrike, if they are there; empty: none",
	       .live = true),
	OPTION(detect_options, watch, OPT_BOOL, "true", "read the rules again when a file of them changes",
	       .live = true),
	OPTION(detect_options, backend, OPT_ENUM, "auto",
	       "what runs the conditions of rules: Shrike's own interpreter (vm), or machine code that is made of them "
	       "(wasm, where "
	       "its library is); auto takes the one that was measured to be better, which is vm",
	       .names = backends, .live = true),
	OPTION(detect_options, memory, OPT_BYTES, "32MiB",
	       "state of sequences, and as much again for the events that they hold; of each shard, and once for all "
	       "of them",
	       .min = 1 << 20, .max = 1ULL << 36),
	OPTION(detect_options, keys_per_rule, OPT_U32, "100000",
	       "join keys that one rule may follow at once, on one shard", .min = 1, .max = 1 << 28),
	OPTION(detect_options, keys_per_entity, OPT_U32, "10000",
	       "join keys that all rules may follow at once for one entity (a service, a container, a login)", .min = 1,
	       .max = 1 << 28),
};

/* Of one shard. */
struct detect {
	unsigned shard;
	struct engine_sink sink;
	struct house *house;
	struct rules *rules; /* those that it runs: the house may have others by now */
	unsigned version;
	struct runner_options state;
	struct kept kept;
	struct teller teller;
	struct runner *runner; /* of the rules that need no other shard; NULL: there are none */
	struct runner *scout;  /* knows what the house's rules look at; NULL: it has none */
	field_id timestamp;
	/* A copy of the runner's books for others: the runner is the shard's alone. */
	pthread_mutex_t stats_lock;
	struct runner_stats stats;
	__u64 stats_at_ns;
};

static void detect_close(void *state)
{
	struct detect *d = state;

	if (!d)
		return;
	runner_free(d->runner);
	runner_free(d->scout);
	teller_close(&d->teller);
	rules_free(d->rules);
	kept_close(&d->kept);
	if (d->house)
		house_leave(d->house, d->shard);
	(void)pthread_mutex_destroy(&d->stats_lock);
	free(d);
}

static void scout_put(void *ctx, const struct runner_match *m)
{
	(void)ctx;
	(void)m;
}

/* Runs the house's rules of now. Where that fails it goes on with those that it has. */
static int follow_rules(struct detect *d)
{
	const struct runner_options scout = { .memory = SCOUT_BYTES };
	const struct runner_sink put = { teller_put, &d->teller }, none = { scout_put, NULL };
	AUTO(rules) rules = house_rules(d->house, &d->version);
	struct script **scripts = NULL;
	int r = teller_scripts(&rules->local, &scripts);

	if (r == 0)
		r = house_follow(&d->runner, rules->local.set, &d->state, &put);
	if (r < 0) {
		scripts_free(scripts, rules->local.n);
		return r;
	}
	teller_follow(&d->teller, &rules->local, scripts);
	r = house_follow(&d->scout, rules->shared.set, &scout, &none);
	if (r < 0) {
		/* It must not look for rules that are gone. */
		runner_free(d->scout);
		d->scout = NULL;
	}
	rules_free(d->rules);
	d->rules = take(rules);
	return r;
}

static int open_runners(struct detect *d, const struct detect_options *o)
{
	int r = kept_open(&d->kept, o->memory);

	if (r == 0)
		r = teller_open(&d->teller, &d->kept);
	if (r < 0)
		return r;
	d->teller.sink = &d->sink;
	d->state = (struct runner_options) { .memory = o->memory,
					     .per_rule = o->keys_per_rule,
					     .per_entity = o->keys_per_entity,
					     .keeper = house_keeper(&d->kept),
					     .as_they_come = true };
	return follow_rules(d);
}

static int detect_open(void **ret_state, unsigned shard, const void *opts, const struct engine_sink *sink)
{
	const struct detect_options *o = opts;
	const struct house_options house = { .memory = o->memory,
					     .keys_per_rule = o->keys_per_rule,
					     .keys_per_entity = o->keys_per_entity,
					     .watch = o->watch,
					     .backend = (enum predicate_backend)o->backend };
	struct detect *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return err_new(-ENOMEM, "no memory for detect");
	(void)pthread_mutex_init(&d->stats_lock, NULL);
	d->shard = shard;
	d->sink = *sink;
	d->timestamp = field_intern("@timestamp", 10);
	r = house_join(o, shard, &house, o->rules, &d->house);
	if (r == 0)
		r = open_runners(d, o);
	if (r < 0) {
		detect_close(d);
		return r;
	}
	*ret_state = d;
	return 0;
}

/* On the clock of records: since boot. */
static int64_t time_of(const struct detect *d, const struct event *ev)
{
	struct value v;
	int64_t ns;

	if (ev->rec)
		return (int64_t)ev->rec->time_ns;
	if (!event_get(ev, d->timestamp, NULL, &v))
		return INT64_MIN;
	if (v.type == VALUE_STR && clock_parse(v.s.p, v.s.n, &ns))
		return ns - event_clock();
	/* Milliseconds, as Elasticsearch counts them. */
	if (v.type == VALUE_INT && v.i < INT64_MAX / (int64_t)NS_PER_MS && v.i > INT64_MIN / (int64_t)NS_PER_MS)
		return v.i * (int64_t)NS_PER_MS - event_clock();
	return INT64_MIN;
}

/* Between two events the rules may have changed. */
static void keep_up(struct detect *d)
{
	if (atomic_load_explicit(&d->house->version, memory_order_relaxed) == d->version)
		return;
	if (follow_rules(d) < 0)
		log_error("new rules do not run on one shard", "shard=%u why=\"%s\"", d->shard, err_trail());
}

static void detect_event(void *state, const struct event *ev)
{
	struct detect *d = state;
	const struct context_view *view = context_view_of(ev);
	const uint64_t entity = view && view->process ? view->process->entity : 0;
	const int64_t now_ns = time_of(d, ev);

	keep_up(d);
	if (d->runner) {
		d->teller.current = ev;
		runner_event(d->runner, &(struct runner_event) { .event = ev, .time_ns = now_ns, .entity = entity });
		d->teller.current = NULL;
	}
	if (d->scout && runner_concerns(d->scout, ev))
		house_put(d->house, ev, now_ns, entity);
}

static void keep_stats(struct detect *d, __u64 now_ns)
{
	if (now_ns - d->stats_at_ns < stats_every_ns)
		return;
	d->stats_at_ns = now_ns;
	(void)pthread_mutex_lock(&d->stats_lock);
	if (d->runner)
		runner_stats(d->runner, &d->stats);
	else
		d->stats = (struct runner_stats) { 0 };
	(void)pthread_mutex_unlock(&d->stats_lock);
}

static void detect_time(void *state, __u64 now_ns)
{
	struct detect *d = state;

	keep_up(d);
	if (d->runner)
		runner_time(d->runner, (int64_t)now_ns);
	house_time(d->house, d->shard, (int64_t)now_ns, &d->sink);
	keep_stats(d, now_ns);
}

static void detect_status(void *const *states, size_t n, struct buf *out)
{
	struct runner_stats sum = { 0 };
	uint64_t lost = 0;

	for (size_t i = 0; i < n; i++) {
		struct detect *d = states[i];

		(void)pthread_mutex_lock(&d->stats_lock);
		house_add_stats(&sum, &d->stats);
		(void)pthread_mutex_unlock(&d->stats_lock);
		if (i == 0)
			lost = house_stats(d->house, &sum);
	}
	for (size_t i = 0; i < runner_n_metrics; i++)
		buf_printf(out, ",\"%s\":%" PRIu64, runner_metrics[i].name,
			   *(const uint64_t *)((const char *)&sum + runner_metrics[i].off));
	buf_printf(out, ",\"lost_waiting\":%" PRIu64, lost);
	if (n)
		house_status(((struct detect *)states[0])->house, out);
}

static void detect_describe(void *state, struct buf *out)
{
	house_describe(((struct detect *)state)->house, out);
}

static int detect_reload(void *state, const void *opts)
{
	const struct detect *d = state;

	const struct detect_options *o = opts;

	return house_reload(d->house, o->rules, o->watch, (enum predicate_backend)o->backend);
}

const struct engine engine_detect = {
	.name = "detect",
	.summary = "rules on single events and on sequences of them",
	.options = options,
	.n_options = countof(options),
	.options_size = sizeof(struct detect_options),
	.open = detect_open,
	.on_event = detect_event,
	.on_time = detect_time,
	.reload = detect_reload,
	.status = detect_status,
	.describe = detect_describe,
	.close = detect_close,
};
