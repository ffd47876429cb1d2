/* SPDX-License-Identifier: Apache-2.0 */
#include "engines/detect/house.h"
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include "base/err.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/log.h"

/* Of an event's bytes: the same in every run, for it decides an order. */
static const uint64_t content_seed = 0x686f757365ULL;

static pthread_mutex_t houses_lock = PTHREAD_MUTEX_INITIALIZER;
static struct house *houses;

/* ---- telling --------------------------------------------------------------------------------- */

struct told {
	struct teller *teller;
	const struct runner_match *match;
};

static bool event_of(struct teller *t, const struct runner_slot *slot, struct kept_room *room, struct event *ret_event)
{
	if (slot->missing)
		return false;
	if (slot->is_current && t->current) {
		*ret_event = *t->current;
		return true;
	}
	return kept_get(t->kept, slot->handle, room, ret_event);
}

static bool event_at(const struct finding *f, size_t i, struct event *ret_event)
{
	const struct told *told = f->events;

	return i < f->n_events && event_of(told->teller, &told->match->slots[i], told->teller->room, ret_event);
}

/* A script that went beyond its limits too often does not run any more: that is worth an alert, once. */
static void tell_disabled(struct teller *t, const struct runner_match *m)
{
	const struct book_rule *of = t->part->of[m->rule];
	struct script_stats stats;
	char reason[256], message[512];

	script_stats(of->script, &stats);
	if (!stats.disabled || atomic_exchange(&t->part->told[m->rule], true))
		return;
	script_reason(of->script, reason, sizeof(reason));
	(void)snprintf(message, sizeof(message),
		       "the script of the rule %s was disabled: %s. It is tried again when rules are read again",
		       of->id, reason);
	t->findings++;
	t->sink->put(t->sink->ctx, &(struct finding) { .rule = "shrike-script-disabled",
						       .severity = book_risk_of(BOOK_MEDIUM),
						       .message = message,
						       .event = t->current,
						       .time_ns = (__u64)m->end_ns });
}

/* The last word on an event that the rule's query has found. */
static bool is_confirmed(struct teller *t, const struct runner_match *m)
{
	enum script_verdict verdict;

	if (!t->part->of[m->rule]->script)
		return true;
	if (!t->current || !t->script || !t->script[m->rule])
		return false;
	verdict = script_run(t->script[m->rule], t->current);
	if (verdict > SCRIPT_YES)
		tell_disabled(t, m);
	return verdict == SCRIPT_YES;
}

void teller_put(void *ctx, const struct runner_match *m)
{
	struct teller *t = ctx;
	const struct told told = { t, m };
	const struct book_rule *of = t->part->of[m->rule];
	struct finding f = { .rule = of->id,
			     .severity = of->risk,
			     .of = of,
			     .time_ns = (__u64)m->end_ns,
			     .event = t->current,
			     .event_at = event_at,
			     .n_events = m->n_slots,
			     .events = &told,
			     .keys = m->keys,
			     .n_keys = m->n_keys };
	bool is_current = false;
	struct event last;

	if (!is_confirmed(t, m))
		return;
	for (size_t i = 0; i < m->n_slots; i++)
		is_current |= m->slots[i].is_current;
	/* Told by time: then the last of its events stands for it. */
	if (!is_current) {
		f.event = NULL;
		for (size_t i = m->n_slots; i-- && !f.event;)
			if (event_of(t, &m->slots[i], t->last, &last))
				f.event = &last;
	}
	t->findings++;
	t->sink->put(t->sink->ctx, &f);
}

int teller_open(struct teller *t, struct kept *kept)
{
	int r;

	*t = (struct teller) { .kept = kept };
	r = kept_room_new(&t->room);
	if (r == 0)
		r = kept_room_new(&t->last);
	return r < 0 ? r : kept_room_new(&t->now);
}

void scripts_free(struct script **scripts, size_t n)
{
	for (size_t i = 0; scripts && i < n; i++)
		script_free(scripts[i]);
	free(scripts);
}

int teller_scripts(const struct rules_part *part, struct script ***ret_scripts)
{
	struct script **scripts = NULL;
	int r = 0;

	for (size_t i = 0; r == 0 && i < part->n; i++) {
		if (!part->of[i]->script)
			continue;
		if (!scripts && !(scripts = calloc(part->n, sizeof(*scripts))))
			r = err_new(-ENOMEM, "no memory for scripts");
		if (r == 0)
			r = script_open(part->of[i]->script, &scripts[i]);
		if (r < 0)
			r = err_wrap(r, "start the script of the rule %s", part->of[i]->id);
	}
	if (r < 0) {
		scripts_free(scripts, part->n);
		return r;
	}
	*ret_scripts = scripts;
	return 0;
}

void teller_follow(struct teller *t, const struct rules_part *part, struct script **scripts)
{
	scripts_free(t->script, t->part ? t->part->n : 0);
	t->part = part;
	t->script = scripts;
}

void teller_close(struct teller *t)
{
	scripts_free(t->script, t->part ? t->part->n : 0);
	t->script = NULL;
	t->part = NULL;
	kept_room_free(t->room);
	kept_room_free(t->last);
	kept_room_free(t->now);
	t->room = t->last = t->now = NULL;
}

/* ---- keeping --------------------------------------------------------------------------------- */

static uint64_t keep(void *ctx, const struct runner_event *ev)
{
	return kept_put(ctx, ev->event);
}

static void share(void *ctx, uint64_t handle)
{
	kept_share(ctx, handle);
}

static void drop(void *ctx, uint64_t handle)
{
	kept_drop(ctx, handle);
}

struct runner_keeper house_keeper(struct kept *kept)
{
	return (struct runner_keeper) { keep, share, drop, kept };
}

/* In the house events are kept already. */
static uint64_t keep_kept(void *ctx, const struct runner_event *ev)
{
	kept_share(ctx, ev->handle);
	return ev->handle;
}

/* ---- houses ---------------------------------------------------------------------------------- */

static void house_free(struct house *h)
{
	if (!h)
		return;
	watch_free(h->watch);
	runner_free(h->runner);
	for (size_t i = 0; i < h->n_waiting; i++)
		kept_drop(&h->kept, h->waiting[i].handle);
	kept_close(&h->kept);
	teller_close(&h->teller);
	rules_free(h->rules);
	free(h->waiting);
	free(h->path);
	(void)pthread_mutex_destroy(&h->load_lock);
	(void)pthread_mutex_destroy(&h->lock);
	free(h);
}
DEFINE_AUTO(house)

int house_follow(struct runner **runner, struct ruleset *set, const struct runner_options *options,
		 const struct runner_sink *sink)
{
	if (set && *runner)
		return runner_swap(*runner, set);
	if (set)
		return runner_open(set, options, sink, runner);
	runner_free(*runner);
	*runner = NULL;
	return 0;
}

/* What events wait in: needed from the first rule of the house on. */
static int open_waiting(struct house *h)
{
	int r;

	h->waiting = malloc(HOUSE_WAITING_MAX * sizeof(*h->waiting));
	if (!h->waiting)
		return err_new(-ENOMEM, "no memory for events");
	r = kept_open(&h->kept, h->options.memory);
	if (r == 0)
		r = teller_open(&h->teller, &h->kept);
	if (r < 0) {
		teller_close(&h->teller);
		kept_close(&h->kept);
		mem_freep(&h->waiting);
	}
	return r;
}

/* Rules go, what their scripts did stays counted. Shards that still run them may add to it; that is not seen. */
static void keep_counts(struct house *h)
{
	const struct book *book = h->rules->book;

	for (size_t i = 0; i < book->n_rules; i++) {
		struct script_stats stats;

		if (!book->rule[i].script)
			continue;
		script_stats(book->rule[i].script, &stats);
		h->past_runs += stats.runs;
		h->past_stopped += stats.too_long + stats.too_much + stats.failed;
	}
}

/* Takes the reference. With the lock held. */
static int run_rules(struct house *h, struct rules *fresh)
{
	const struct runner_options runner = { .memory = h->options.memory,
					       .per_rule = h->options.keys_per_rule,
					       .per_entity = h->options.keys_per_entity,
					       .keeper = { keep_kept, share, drop, &h->kept },
					       .as_they_come = true };
	const struct runner_sink sink = { teller_put, &h->teller };
	AUTO(rules) rules = fresh;
	struct script **scripts = NULL;
	int r = 0;

	if (rules->shared.set && !h->waiting)
		r = open_waiting(h);
	if (r == 0)
		r = teller_scripts(&rules->shared, &scripts);
	if (r == 0)
		r = house_follow(&h->runner, rules->shared.set, &runner, &sink);
	if (r < 0) {
		scripts_free(scripts, rules->shared.n);
		return r;
	}
	teller_follow(&h->teller, &rules->shared, scripts);
	if (h->rules)
		keep_counts(h);
	rules_free(h->rules);
	h->rules = take(rules);
	return 0;
}

/* Reads and runs them, with the load lock held, and notes how it went. */
static int load(struct house *h, const char *path, enum predicate_backend backend)
{
	struct rules *rules = NULL;
	int r = rules_load(path, backend, &rules);

	(void)pthread_mutex_lock(&h->lock);
	if (r == 0)
		r = run_rules(h, rules);
	if (r == 0) {
		h->options.backend = backend;
		h->version++;
	}
	h->loads++;
	h->loads_failed += r < 0;
	(void)snprintf(h->why, sizeof(h->why), "%s", r < 0 ? err_trail() : "");
	(void)pthread_mutex_unlock(&h->lock);
	return r;
}

static void on_change(void *ctx)
{
	struct house *h = ctx;

	(void)pthread_mutex_lock(&h->load_lock);
	if (load(h, h->path, h->options.backend) < 0)
		log_error("changed rules are refused, those of before run on", "path=\"%s\" why=\"%s\"", h->path,
			  err_trail());
	else if (!h->rules->book->n_rules)
		log_warning("changed rules were read, and there is none any more", "path=\"%s\"", h->path);
	else
		log_notice("changed rules were read", "path=\"%s\" rules=%zu", h->path, h->rules->book->n_rules);
	(void)pthread_mutex_unlock(&h->load_lock);
}

/* Who has the path from now on, if all is well. The watch begins before the rules are read: nothing is missed. */
static int load_from(struct house *h, const char *path, bool watch, enum predicate_backend backend)
{
	struct watch *fresh = NULL, *old = NULL;
	auto_free char *copy = strdup(path);
	bool same;
	int r = 0;

	if (!copy)
		return err_new(-ENOMEM, "no memory for rules");
	(void)pthread_mutex_lock(&h->load_lock);
	same = h->path && !strcmp(h->path, path) && watch == !!h->watch;
	if (!same && watch && *path)
		r = watch_open(path, on_change, h, &fresh);
	if (r == 0)
		r = load(h, path, backend);
	if (r == 0 && !same) {
		old = h->watch;
		h->watch = take(fresh);
		free(h->path);
		h->path = take(copy);
	}
	(void)pthread_mutex_unlock(&h->load_lock);
	/* Their threads may be waiting for the lock. */
	watch_free(fresh);
	watch_free(old);
	return r;
}

static int house_new(const struct house_options *options, const char *rules_path, struct house **ret_house)
{
	AUTO(house) h = calloc(1, sizeof(*h));
	int r;

	if (!h)
		return err_new(-ENOMEM, "no memory for rules");
	(void)pthread_mutex_init(&h->lock, NULL);
	(void)pthread_mutex_init(&h->load_lock, NULL);
	h->now_ns = INT64_MIN;
	h->options = *options;
	r = load_from(h, rules_path ? rules_path : "", options->watch, options->backend);
	if (r < 0)
		return r;
	*ret_house = take(h);
	return 0;
}

int house_reload(struct house *h, const char *rules_path, bool watch, enum predicate_backend backend)
{
	return load_from(h, rules_path ? rules_path : "", watch, backend);
}

/* Scripts of all rules together, and which of them are disabled. */
static void scripts_status(const struct house *h, struct buf *out)
{
	auto_buf struct buf off = { .max = HOUSE_WHY_MAX };
	const struct book *book = h->rules->book;
	uint64_t runs = h->past_runs, failed = h->past_stopped, scripts = 0, disabled = 0;

	for (size_t i = 0; i < book->n_rules; i++) {
		const struct book_rule *rule = &book->rule[i];
		struct script_stats stats;

		if (!rule->script || rule->mode == BOOK_OFF)
			continue;
		script_stats(rule->script, &stats);
		scripts++;
		runs += stats.runs;
		failed += stats.too_long + stats.too_much + stats.failed;
		if (stats.disabled)
			buf_printf(&off, "%s%s", disabled++ ? ", " : "", rule->id);
	}
	buf_printf(out,
		   ",\"scripts\":%" PRIu64 ",\"script_runs\":%" PRIu64 ",\"scripts_stopped\":%" PRIu64
		   ",\"scripts_disabled\":%" PRIu64 ",\"disabled\":",
		   scripts, runs, failed, disabled);
	(void)json_write_str(out, buf_text(&off), off.len);
}

/* What runs the conditions, and why; of modules that failed, what was wrong. */
static void backend_status(const struct house *h, struct buf *out)
{
	const struct ruleset *sets[] = { h->rules->local.set, h->rules->shared.set };
	const bool wasm = h->options.backend == PREDICATE_WASM;
	const char *why = h->options.backend == PREDICATE_AUTO
				  ? "auto: of whole sets of rules it is as fast, in less memory"
				  : "as configured";
	char given_up[PREDICATE_WHY_MAX + 64] = "";
	uint64_t failures = 0;

	for (size_t i = 0; i < countof(sets); i++) {
		struct predicate_set_stats stats;

		if (!sets[i])
			continue;
		ruleset_predicates(sets[i], &stats);
		failures += stats.module_failures;
		if (stats.module_is_disabled)
			(void)snprintf(given_up, sizeof(given_up), "%s", stats.module_why);
	}
	buf_printf(out, ",\"backend\":\"%s\",\"backend_why\":", wasm && !given_up[0] ? "wasm" : "vm");
	if (given_up[0])
		why = "the module has failed too often";
	(void)json_write_str(out, why, strlen(why));
	buf_printf(out, ",\"module_failures\":%" PRIu64 ",\"module_given_up\":", failures);
	(void)json_write_str(out, given_up, strlen(given_up));
}

void house_status(struct house *h, struct buf *out)
{
	(void)pthread_mutex_lock(&h->lock);
	buf_printf(out, ",\"rules\":%zu,\"rule_files\":%zu,\"rule_loads\":%" PRIu64 ",\"rule_loads_failed\":%" PRIu64,
		   h->rules->local.n + h->rules->shared.n, h->rules->book->n_files, h->loads, h->loads_failed);
	buf_str(out, ",\"rules_refused\":");
	(void)json_write_str(out, h->why, strlen(h->why));
	backend_status(h, out);
	scripts_status(h, out);
	(void)pthread_mutex_unlock(&h->lock);
}

void house_describe(struct house *h, struct buf *out)
{
	size_t n;

	(void)pthread_mutex_lock(&h->lock);
	n = h->rules->local.n + h->rules->shared.n;
	if (n)
		buf_printf(out, "%zu rule%s from %s", n, n == 1 ? "" : "s", h->path);
	else
		buf_printf(out, "no rules%s%s", h->path[0] ? " in " : "", h->path);
	(void)pthread_mutex_unlock(&h->lock);
}

struct rules *house_rules(struct house *h, unsigned *ret_version)
{
	struct rules *rules;

	(void)pthread_mutex_lock(&h->lock);
	rules = rules_ref(h->rules);
	*ret_version = h->version;
	(void)pthread_mutex_unlock(&h->lock);
	return rules;
}

/* True: it had no such shard, and was not at work yet. */
static bool take_shard(struct house *h, unsigned shard)
{
	bool is_free;

	(void)pthread_mutex_lock(&h->lock);
	is_free = !h->has_shard[shard] && h->now_ns == INT64_MIN;
	if (is_free) {
		h->has_shard[shard] = true;
		h->told_ns[shard] = INT64_MIN;
		h->n_shards++;
	}
	(void)pthread_mutex_unlock(&h->lock);
	return is_free;
}

int house_join(const void *of, unsigned shard, const struct house_options *options, const char *rules_path,
	       struct house **ret_house)
{
	struct house *h;
	int r = 0;

	if (shard >= HOUSE_SHARDS_MAX)
		return err_new(-EINVAL, "shard %u: there are at most %d", shard, HOUSE_SHARDS_MAX);
	(void)pthread_mutex_lock(&houses_lock);
	for (h = houses; h && (h->of != of || !take_shard(h, shard)); h = h->next)
		;
	if (!h) {
		r = house_new(options, rules_path, &h);
		if (r == 0) {
			h->of = of;
			h->next = houses;
			houses = h;
			(void)take_shard(h, shard);
		}
	}
	if (r == 0)
		*ret_house = h;
	(void)pthread_mutex_unlock(&houses_lock);
	return r;
}

void house_leave(struct house *h, unsigned shard)
{
	bool is_empty;

	(void)pthread_mutex_lock(&houses_lock);
	(void)pthread_mutex_lock(&h->lock);
	h->has_shard[shard] = false;
	is_empty = --h->n_shards == 0;
	(void)pthread_mutex_unlock(&h->lock);
	if (is_empty)
		for (struct house **link = &houses; *link; link = &(*link)->next)
			if (*link == h) {
				*link = h->next;
				break;
			}
	(void)pthread_mutex_unlock(&houses_lock);
	if (is_empty)
		house_free(h);
}

/* ---- events in one order --------------------------------------------------------------------- */

static bool is_before(const struct house_event *a, const struct house_event *b)
{
	return a->time_ns != b->time_ns ? a->time_ns < b->time_ns : a->content < b->content;
}

static void push(struct house *h, const struct house_event *e)
{
	size_t i = h->n_waiting++;

	for (; i && is_before(e, &h->waiting[(i - 1) / 2]); i = (i - 1) / 2)
		h->waiting[i] = h->waiting[(i - 1) / 2];
	h->waiting[i] = *e;
}

static struct house_event pop(struct house *h)
{
	const struct house_event first = h->waiting[0], last = h->waiting[--h->n_waiting];
	size_t i = 0;

	for (size_t kid; (kid = 2 * i + 1) < h->n_waiting; i = kid) {
		if (kid + 1 < h->n_waiting && is_before(&h->waiting[kid + 1], &h->waiting[kid]))
			kid++;
		if (!is_before(&h->waiting[kid], &last))
			break;
		h->waiting[i] = h->waiting[kid];
	}
	h->waiting[i] = last;
	return first;
}

void house_put(struct house *h, const struct event *ev, int64_t time_ns, uint64_t entity)
{
	struct house_event e = { .time_ns = time_ns, .entity = entity };

	(void)pthread_mutex_lock(&h->lock);
	e.handle = h->n_waiting < HOUSE_WAITING_MAX ? kept_put(&h->kept, ev) : 0;
	if (e.handle) {
		e.content = kept_hash(&h->kept, e.handle, content_seed);
		push(h, &e);
	} else {
		h->lost++;
	}
	(void)pthread_mutex_unlock(&h->lock);
}

static void run_waiting(struct house *h, int64_t now_ns)
{
	while (h->n_waiting && h->waiting[0].time_ns < now_ns) {
		const struct house_event e = pop(h);
		struct event ev;

		if (kept_get(&h->kept, e.handle, h->teller.now, &ev)) {
			h->teller.current = &ev;
			runner_event(h->runner, &(struct runner_event) { .event = &ev,
									 .time_ns = e.time_ns,
									 .handle = e.handle,
									 .entity = e.entity });
			h->teller.current = NULL;
		} else {
			h->lost++;
		}
		kept_drop(&h->kept, e.handle);
	}
	runner_time(h->runner, now_ns);
}

void house_time(struct house *h, unsigned shard, int64_t now_ns, const struct engine_sink *sink)
{
	int64_t least = INT64_MAX;

	(void)pthread_mutex_lock(&h->lock);
	h->told_ns[shard] = now_ns;
	for (unsigned i = 0; i < HOUSE_SHARDS_MAX; i++)
		if (h->has_shard[i] && h->told_ns[i] < least)
			least = h->told_ns[i];
	if (least > h->now_ns && h->runner) {
		h->now_ns = least;
		h->teller.sink = sink;
		run_waiting(h, least);
	}
	(void)pthread_mutex_unlock(&h->lock);
}

/* ---- books ----------------------------------------------------------------------------------- */

void house_add_stats(struct runner_stats *sum, const struct runner_stats *more)
{
	for (size_t i = 0; i < runner_n_metrics; i++) {
		size_t off = runner_metrics[i].off;

		*(uint64_t *)((char *)sum + off) += *(const uint64_t *)((const char *)more + off);
	}
}

uint64_t house_stats(struct house *h, struct runner_stats *sum)
{
	struct runner_stats own;
	uint64_t lost;

	(void)pthread_mutex_lock(&h->lock);
	if (h->runner) {
		runner_stats(h->runner, &own);
		house_add_stats(sum, &own);
	}
	lost = h->lost;
	(void)pthread_mutex_unlock(&h->lock);
	return lost;
}
