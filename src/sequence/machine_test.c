/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine against a model that is slow and obviously right: it has the whole stream before it, works through it
 * step by step instead of event by event, and keeps every sequence there ever was.
 */
#include "sequence/machine.h"
#include <stdlib.h>
#include "base/err.h"
#include "base/hash.h"
#include "base/test.h"

enum { STAGES = 6, EVENTS = 40, KEYS = 3, STEPS = 20, FOUND = 4096, TEXT = 1 << 16 };

/* ---- streams and specs ----------------------------------------------------------------------- */

struct ev {
	int64_t ts;
	unsigned value;            /* what guards look at */
	unsigned keys[STAGES + 1]; /* of each stage and of until: a bit a key that it matches with; 0: it does not */
};

struct world {
	struct machine_stage_spec stage[STAGES];
	struct machine_spec spec;
	struct ev ev[EVENTS];
	size_t n;
};

static uint64_t rng;

static unsigned pick(unsigned n)
{
	rng = hash_u64(rng, 0x5eed);
	return (unsigned)(rng >> 33) % n;
}

/* ---- the model ------------------------------------------------------------------------------- */

struct seq {
	size_t ev[STEPS];
	uint32_t step;
	bool spoiled, gone;
};

struct model {
	struct seq *list[STEPS]; /* all that ever reached a step, in the order they did */
	size_t n[STEPS];
	struct {
		size_t at;
		unsigned key;
		struct seq seq;
	} found[FOUND];
	size_t n_found;
};

static uint32_t stage_of_step(const struct machine_spec *s, uint32_t step)
{
	for (uint32_t i = 0;; i++) {
		if (s->stages[i].missing)
			continue;
		if (step < s->stages[i].runs)
			return i;
		step -= s->stages[i].runs;
	}
}

static uint32_t steps_of(const struct machine_spec *s)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < s->n_stages; i++)
		n += s->stages[i].missing ? 0 : s->stages[i].runs;
	return n;
}

static bool matches(const struct world *w, size_t i, uint32_t stage, unsigned key)
{
	return w->ev[i].keys[stage] >> key & 1;
}

/* A later stage's condition may depend on the first event. */
static bool guard(const struct world *w, size_t first, size_t now)
{
	return (w->ev[first].value + w->ev[now].value) % 3 != 0;
}

static bool is_ended(const struct world *w, unsigned key, size_t last, size_t now)
{
	if (!w->spec.until)
		return false;
	for (size_t u = 0; u < w->n; u++)
		if (matches(w, u, (uint32_t)w->spec.n_stages, key) &&
		    (w->spec.until_first ? last < u && u <= now : last <= u && u < now))
			return true;
	return false;
}

/* Is there an event that must be missing between these two stages, between these two events? */
static bool is_spoiled(const struct world *w, unsigned key, uint32_t from, uint32_t to, size_t last, size_t now)
{
	for (uint32_t s = from + 1; s < to; s++)
		for (size_t i = 0; i < w->n; i++)
			if (matches(w, i, s, key) && w->ev[last].ts < w->ev[i].ts && w->ev[i].ts < w->ev[now].ts)
				return true;
	return false;
}

static bool ends_are_clear(const struct world *w, unsigned key, const struct seq *q)
{
	const struct machine_spec *s = &w->spec;
	uint32_t first = stage_of_step(s, 0), last = stage_of_step(s, steps_of(s) - 1);
	int64_t start = w->ev[q->ev[0]].ts, end = w->ev[q->ev[steps_of(s) - 1]].ts, lead = INT64_MIN, trail = INT64_MAX;
	bool has_lead = first > 0, has_trail = last + 1 < s->n_stages;

	for (size_t i = 0; i < w->n; i++) {
		for (uint32_t st = 0; st < first; st++)
			if (matches(w, i, st, key) && w->ev[i].ts < start && w->ev[i].ts > lead)
				lead = w->ev[i].ts;
		for (uint32_t st = last + 1; st < s->n_stages; st++)
			if (matches(w, i, st, key) && w->ev[i].ts > end && w->ev[i].ts < trail)
				trail = w->ev[i].ts;
	}
	if ((has_lead && lead == INT64_MIN) || (has_trail && trail == INT64_MAX) || (!has_lead && !has_trail))
		return true;
	return (uint64_t)((has_trail ? trail : end) - (has_lead ? lead : start)) > s->maxspan_ns;
}

static void model_step(struct model *m, const struct world *w, unsigned key, uint32_t step)
{
	const struct machine_spec *s = &w->spec;
	uint32_t stage = stage_of_step(s, step);

	for (size_t i = 0; i < w->n; i++) {
		struct seq *from = NULL, q = { 0 };

		if (!matches(w, i, stage, key))
			continue;
		if (step) {
			for (size_t k = 0; k < m->n[step - 1]; k++)
				if (m->list[step - 1][k].ev[step - 1] < i)
					from = &m->list[step - 1][k];
			if (!from || from->gone || (s->stages[stage].guarded && !guard(w, from->ev[0], i)))
				continue;
			q = *from;
			from->gone = !s->stages[stage].fork;
			if ((s->has_span && (uint64_t)(w->ev[i].ts - w->ev[q.ev[0]].ts) > s->maxspan_ns) ||
			    is_ended(w, key, q.ev[step - 1], i))
				continue;
			q.spoiled |= is_spoiled(w, key, stage_of_step(s, step - 1), stage, q.ev[step - 1], i);
		}
		q.ev[step] = i;
		m->list[step][m->n[step]++] = q;
	}
}

static void model_run(struct model *m, const struct world *w)
{
	uint32_t steps = steps_of(&w->spec);

	m->n_found = 0;
	for (unsigned key = 0; key < KEYS; key++) {
		for (uint32_t step = 0; step < steps; step++) {
			m->n[step] = 0;
			model_step(m, w, key, step);
		}
		for (size_t i = 0; i < m->n[steps - 1]; i++) {
			const struct seq *q = &m->list[steps - 1][i];

			if (q->spoiled || !ends_are_clear(w, key, q) || m->n_found == FOUND)
				continue;
			m->found[m->n_found].at = q->ev[steps - 1];
			m->found[m->n_found].key = key;
			m->found[m->n_found++].seq = *q;
		}
	}
}

/* First to last completed; what one event completes, by key. */
static void model_write(const struct model *m, const struct world *w, struct buf *out)
{
	uint32_t steps = steps_of(&w->spec);

	for (size_t at = 0; at < w->n; at++)
		for (unsigned key = 0; key < KEYS; key++)
			for (size_t i = 0; i < m->n_found; i++) {
				uint32_t step = 0;

				if (m->found[i].at != at || m->found[i].key != key)
					continue;
				buf_printf(out, "%u:", key);
				for (uint32_t s = 0; s < w->spec.n_stages; s++)
					for (uint32_t k = 0; k < w->spec.stages[s].runs; k++)
						if (w->spec.stages[s].missing)
							buf_str(out, " -");
						else
							buf_printf(out, " %zu", m->found[i].seq.ev[step++]);
				buf_printf(out, " (%lld..%lld) of %u\n", (long long)w->ev[m->found[i].seq.ev[0]].ts,
					   (long long)w->ev[at].ts, steps);
			}
}

/* Slots in any order, the first event of each counts. */
static void join_model(const struct world *w, struct buf *out)
{
	size_t slot[KEYS][STAGES];
	unsigned filled[KEYS] = { 0 };

	for (size_t i = 0; i < w->n; i++) {
		for (unsigned key = 0; key < KEYS; key++)
			if (w->spec.until && w->spec.until_first && matches(w, i, (uint32_t)w->spec.n_stages, key))
				filled[key] = 0;
		for (uint32_t s = 0; s < w->spec.n_stages; s++)
			for (unsigned key = KEYS; key--;) {
				int64_t start = INT64_MAX;

				if (!matches(w, i, s, key) || filled[key] >> s & 1)
					continue;
				filled[key] |= 1U << s;
				slot[key][s] = i;
				if (filled[key] + 1 != 1U << w->spec.n_stages)
					continue;
				filled[key] = 0;
				buf_printf(out, "%u:", key);
				for (uint32_t k = 0; k < w->spec.n_stages; k++) {
					buf_printf(out, " %zu", slot[key][k]);
					if (w->ev[slot[key][k]].ts < start)
						start = w->ev[slot[key][k]].ts;
				}
				buf_printf(out, " (%lld..%lld) of %zu\n", (long long)start, (long long)w->ev[i].ts,
					   w->spec.n_stages);
			}
		for (unsigned key = 0; key < KEYS; key++)
			if (w->spec.until && !w->spec.until_first && matches(w, i, (uint32_t)w->spec.n_stages, key))
				filled[key] = 0;
	}
}

/* ---- the machine, told the same -------------------------------------------------------------- */

struct rig {
	struct machine_store *store;
	struct machine machine;
	const struct world *world;
	size_t at;
	struct runner_stats stats;
	struct buf out;
	/* Events that are kept, and how often. */
	bool keeps;
	unsigned refs[EVENTS], held;
	unsigned room; /* events that may be kept at once; 0: any number */
};

static void tell(void *ctx, const struct machine_result *r)
{
	struct rig *rig = ctx;
	uint32_t key;

	check_int(r->key_len, sizeof(key));
	memcpy(&key, r->key, sizeof(key));
	buf_printf(&rig->out, "%u:", key);
	for (uint32_t i = 0; i < r->machine->plan->n_slots; i++)
		if (r->slots[i].missing) {
			buf_str(&rig->out, " -");
		} else {
			uint64_t handle = r->slots[i].handle;

			if (rig->keeps && !r->slots[i].is_current) {
				check(rig->refs[handle - 1] > 0);
				handle--;
			}
			buf_printf(&rig->out, " %llu", (unsigned long long)handle);
		}
	buf_printf(&rig->out, " (%lld..%lld) of %u\n", (long long)r->start_ns, (long long)r->end_ns,
		   r->machine->plan->n_steps);
	for (size_t i = 0; i < r->n_captures; i++)
		check_int(r->captures[i].n, sizeof(size_t));
}

static bool allows(void *ctx, struct machine *m, uint32_t stage, const struct machine_capture *c, size_t n)
{
	struct rig *rig = ctx;
	size_t first;

	(void)m;
	(void)stage;
	for (size_t i = 0; i < n; i++)
		if (c[i].slot == m->plan->slot_of_step[0]) {
			memcpy(&first, c[i].bytes, sizeof(first));
			return guard(rig->world, first, rig->at);
		}
	test_fail(T_HERE, "the first event was not remembered");
	return false;
}

static void capture(void *ctx, struct machine *m, uint32_t stage, struct buf *out)
{
	struct rig *rig = ctx;

	(void)m;
	(void)stage;
	buf_add(out, &rig->at, sizeof(rig->at));
}

static uint64_t keep(void *ctx, const struct runner_event *ev)
{
	struct rig *rig = ctx;

	if (rig->room && rig->held >= rig->room)
		return 0;
	check_int(rig->refs[ev->handle]++, 0);
	rig->held++;
	return ev->handle + 1;
}

static void share(void *ctx, uint64_t handle)
{
	struct rig *rig = ctx;

	check(rig->refs[handle - 1]++ > 0);
}

static void drop(void *ctx, uint64_t handle)
{
	struct rig *rig = ctx;

	check(rig->refs[handle - 1] > 0);
	if (!--rig->refs[handle - 1])
		rig->held--;
}

static bool rig_open(struct rig *rig, const struct world *w, const struct machine_plan *plan,
		     struct machine_store_options options)
{
	*rig = (struct rig) { .world = w, .keeps = options.keeper.keep, .room = rig->room };
	buf_init(&rig->out, TEXT);
	options.memory = options.memory ? options.memory : 1 << 20;
	options.stats = &rig->stats;
	options.tell = tell;
	options.allows = allows;
	options.capture = capture;
	options.ctx = rig;
	options.keeper.ctx = rig;
	if (machine_store_open(&options, &rig->store) < 0)
		return false;
	return machine_open(rig->store, &rig->machine, plan, NULL) == 0;
}

static void rig_close(struct rig *rig)
{
	machine_close(rig->store, &rig->machine);
	machine_store_gauges(rig->store, &rig->stats);
	check_int(rig->stats.bytes, 0);
	check_int(rig->stats.keys + rig->stats.pending + rig->stats.waiting, 0);
	check_int(rig->held, 0);
	machine_store_free(rig->store);
	buf_free(&rig->out);
}

static void feed(struct rig *rig, size_t i, uint64_t entity)
{
	const struct world *w = rig->world;
	struct machine_hit hits[(STAGES + 1) * KEYS];
	uint32_t key_of[(STAGES + 1) * KEYS];
	const struct runner_event rev = { .time_ns = w->ev[i].ts, .handle = i, .entity = entity };
	const struct machine_event ev = { &rev, w->ev[i].ts };
	size_t n = 0;

	rig->at = i;
	for (uint32_t s = (uint32_t)w->spec.n_stages + w->spec.until; s--;)
		for (uint32_t key = 0; key < KEYS; key++)
			if (matches(w, i, s, key)) {
				key_of[n] = key;
				hits[n] = (struct machine_hit) { s, sizeof(key), &key_of[n], hash_u64(key, 1) };
				n++;
			}
	machine_event(rig->store, &rig->machine, &ev, hits, n);
}

/* ---- the two --------------------------------------------------------------------------------- */

static void make_spec(struct world *w, bool join)
{
	struct machine_spec *s = &w->spec;
	size_t positive = 0, steps = 0;

	*s = (struct machine_spec) { .stages = w->stage, .n_stages = 1 + pick(join ? 4 : STAGES), .join = join };
	s->has_span = !join && pick(4) > 0;
	s->maxspan_ns = pick(25);
	s->until = pick(3) == 0;
	s->until_first = pick(2);
	for (size_t i = 0; i < s->n_stages; i++) {
		bool last = i + 1 == s->n_stages;

		w->stage[i] = (struct machine_stage_spec) { .runs = join ? 1 : pick(4) ? 1 : 1 + pick(3) };
		w->stage[i].missing = s->has_span && pick(3) == 0 && (positive || !last);
		if (!w->stage[i].missing) {
			w->stage[i].fork = !join && positive && pick(5) == 0;
			w->stage[i].guarded = !join && positive && pick(5) == 0;
			w->stage[i].captures = !join;
			positive++;
			steps += w->stage[i].runs;
		}
	}
	(void)steps;
}

static void make_stream(struct world *w)
{
	unsigned dense = 1 + pick(5), ties = 1 + pick(6);
	int64_t ts = pick(3);

	w->n = 1 + pick(EVENTS);
	for (size_t i = 0; i < w->n; i++) {
		if (pick(ties))
			ts += pick(4);
		w->ev[i] = (struct ev) { .ts = ts, .value = pick(3) };
		for (size_t s = 0; s < w->spec.n_stages + w->spec.until; s++)
			if (pick(dense + 1) == 0 || pick(3) == 0)
				w->ev[i].keys[s] = pick(8) ? 1U << pick(KEYS) : pick(1U << KEYS);
	}
}

static void print_world(const struct world *w, unsigned round)
{
	fprintf(stderr, "round %u: span %lld until %d first %d join %d\n", round,
		w->spec.has_span ? (long long)w->spec.maxspan_ns : -1, w->spec.until, w->spec.until_first,
		w->spec.join);
	for (size_t i = 0; i < w->spec.n_stages; i++)
		fprintf(stderr, "  stage %zu%s%s%s runs %u\n", i, w->stage[i].missing ? " missing" : "",
			w->stage[i].fork ? " fork" : "", w->stage[i].guarded ? " guarded" : "", w->stage[i].runs);
	for (size_t i = 0; i < w->n; i++) {
		fprintf(stderr, "  %zu at %lld value %u:", i, (long long)w->ev[i].ts, w->ev[i].value);
		for (size_t s = 0; s < w->spec.n_stages + w->spec.until; s++)
			fprintf(stderr, " %x", w->ev[i].keys[s]);
		fprintf(stderr, "\n");
	}
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The same lines in the order of their text. */
static void sort_lines(struct buf *b)
{
	static char *line[FOUND];
	auto_buf struct buf sorted = { .max = TEXT };
	size_t n = 0;

	for (char *p = b->data; p && *p && n < FOUND; p = strchr(p, 0) + 1) {
		char *end = strchr(p, '\n');

		*end = 0;
		line[n++] = p;
	}
	qsort(line, n, sizeof(*line), by_text);
	for (size_t i = 0; i < n; i++)
		buf_printf(&sorted, "%s\n", line[i]);
	buf_clear(b);
	buf_add(b, buf_text(&sorted), sorted.len);
}

/* False: they differ, and it was said how. */
static bool agree(struct world *w, struct model *model, bool keeps, bool as_they_come, unsigned round)
{
	AUTO(machine_plan) plan = NULL;
	auto_buf struct buf want = { .max = TEXT };
	struct rig rig = { 0 };
	struct machine_store_options options = { .as_they_come = as_they_come };
	bool same;

	if (keeps)
		options.keeper = (struct runner_keeper) { keep, share, drop, NULL };
	if (machine_plan_new(&w->spec, &plan) < 0 || !rig_open(&rig, w, plan, options)) {
		test_fail(T_HERE, "%s", err_trail());
		return false;
	}
	for (size_t i = 0; i < w->n; i++) {
		feed(&rig, i, 0);
		if (pick(4) == 0)
			machine_time(rig.store, &rig.machine, w->ev[i].ts);
	}
	machine_time(rig.store, &rig.machine, INT64_MAX);
	if (w->spec.join) {
		join_model(w, &want);
	} else {
		model_run(model, w);
		model_write(model, w, &want);
	}
	if (as_they_come) {
		sort_lines(&want);
		sort_lines(&rig.out);
	}
	same = strcmp(buf_text(&want), buf_text(&rig.out)) == 0;
	if (!same) {
		print_world(w, round);
		test_fail(T_HERE, "round %u: got\n%s want\n%s", round, buf_text(&rig.out), buf_text(&want));
	}
	rig_close(&rig);
	return same;
}

static bool model_open(struct model *m)
{
	for (size_t i = 0; i < STEPS; i++) {
		m->list[i] = calloc(EVENTS, sizeof(struct seq));
		if (!m->list[i])
			return false;
	}
	return true;
}

static void model_close(struct model *m)
{
	for (size_t i = 0; i < STEPS; i++)
		free(m->list[i]);
	free(m);
}

static void rounds(unsigned n, uint64_t seed, bool join, bool as_they_come)
{
	struct model *model = calloc(1, sizeof(*model));
	struct world w;
	size_t found = 0;

	require(model && model_open(model));
	rng = seed;
	for (unsigned i = 0; i < n; i++) {
		w = (struct world) { 0 };
		make_spec(&w, join);
		make_stream(&w);
		if (!agree(&w, model, i % 2, as_they_come, i))
			break;
		found += model->n_found;
	}
	/* Streams in which nothing is ever found would prove nothing. */
	check(join || found > n);
	model_close(model);
}

TEST(sequences_are_what_the_slow_model_finds)
{
	rounds(6000, 1, false, false);
}

TEST(joins_are_what_the_slow_model_finds)
{
	rounds(2000, 2, true, false);
}

TEST(the_same_is_found_as_it_comes_in_another_order)
{
	rounds(3000, 4, false, true);
}

/* ---- cases that say what the rules mean ------------------------------------------------------ */

/* A stream as text: "a1 b2 c2": stages by letter (a first), upper case with key 1, and the time. u is until. */
static size_t read_stream(struct world *w, const char *text)
{
	for (const char *p = text; *p; w->n++) {
		struct ev *ev = &w->ev[w->n];
		char *end;

		*ev = (struct ev) { 0 };
		for (; (*p | 32) >= 'a' && (*p | 32) <= 'z'; p++) {
			unsigned key = *p < 'a' ? 2 : 1;
			size_t stage = (*p | 32) == 'u' ? w->spec.n_stages : (size_t)((*p | 32) - 'a');

			ev->keys[stage] |= key;
		}
		ev->ts = strtol(p, &end, 10);
		p = end + (*end == ' ');
	}
	return w->n;
}

/* Stages as text: "a !b c*2 d&", & forks. */
static void read_stages(struct world *w, const char *text)
{
	w->spec.stages = w->stage;
	for (const char *p = text; *p; w->spec.n_stages++) {
		struct machine_stage_spec *s = &w->stage[w->spec.n_stages];

		s->runs = 1;
		if (*p == '!') {
			s->missing = true;
			p++;
		}
		p++;
		if (*p == '*') {
			s->runs = (uint32_t)(p[1] - '0');
			p += 2;
		}
		if (*p == '&') {
			s->fork = true;
			p++;
		}
		p += *p == ' ';
	}
}

TEST(sequences_mean_what_the_reference_says)
{
	static const struct {
		const char *name, *stages;
		int span;
		const char *stream, *want; /* events by number, - where one is missing */
		bool until, until_first;
	} rows[] = {
		{ "a newer first replaces the older", "a b", -1, "a1 a2 b3", "1 2" },
		{ "an older sequence that went on is replaced too", "a b c", -1, "a1 b2 a3 b4 c5", "2 3 4" },
		{ "a newer first does not touch what went on", "a b c d", -1, "a1 b2 c3 a4 b5 d6 c7 d8",
		  "0 1 2 5,3 4 6 7" },
		{ "advancing takes it away", "a b", -1, "a1 b2 b3", "0 1" },
		{ "an event may end one and begin another", "a b", -1, "ab1 ab2 ab3", "0 1,1 2" },
		{ "but is never twice in one", "a b c", -1, "abc1 abc2", "" },
		{ "keys do not mix", "a b", -1, "a1 B2 A3 b4 B5", "0 3,2 4" },
		{ "maxspan includes its end", "a b", 5, "a1 b6", "0 1" },
		{ "one more is too much", "a b", 5, "a1 b7", "" },
		{ "what was too late is gone", "a b c", 5, "a1 b7 b3", "" },
		{ "equal times are in order of arrival", "a b", 5, "a1 b1", "0 1" },
		{ "... only in that", "a b", 5, "b1 a1", "" },
		{ "runs", "a*3", -1, "a1 a2 a3 a4", "0 1 2,1 2 3" },
		{ "runs, then another", "a*2 b", -1, "a1 a2 a3 b4", "1 2 3" },
		{ "until ends it", "a b", -1, "a1 u2 b3", "", true },
		{ "... also when it is the event itself", "a b", -1, "au1 b2", "", true },
		{ "an until that completes ends nothing", "a b", -1, "a1 bu2", "0 1", true },
		{ "... in the other dialect it does", "a b", -1, "a1 bu2", "", true, true },
		{ "... where a first that is until begins", "a b", -1, "au1 b2", "0 1", true, true },
		{ "until of another key", "a b", -1, "a1 U2 b3", "0 2", true },
		{ "missing between", "a !b c", 9, "a1 c2", "0 - 1" },
		{ "not missing between", "a !b c", 9, "a1 b2 c3", "" },
		{ "not missing, of another key", "a !b c", 9, "a1 B2 c3", "0 - 2" },
		{ "at the time of a neighbour is not between", "a !b c", 9, "a1 b1 c2 a5 b6 c6", "0 - 2,3 - 5" },
		{ "a spoiled one still replaces", "a !b c d", 9, "a1 c2 a3 b4 c5 d6", "" },
		{ "missing before, and nothing was", "!a b", 5, "b9", "- 0" },
		{ "missing before, within the span", "!a b", 5, "a1 b6", "" },
		{ "missing before, beyond the span", "!a b", 5, "a1 b7", "- 1" },
		{ "the span reaches to the end of the sequence", "!a b c", 5, "a1 b2 c7", "- 1 2" },
		{ "missing after, and nothing came", "a !b", 5, "a1", "0 -" },
		{ "missing after, within the span", "a !b", 5, "a1 b6", "" },
		{ "missing after, beyond the span", "a !b", 5, "a1 b7", "0 -" },
		{ "missing after, at the same time", "a !b", 5, "a1 b1", "0 -" },
		{ "missing at both ends: one is enough", "!a b !c", 5, "a1 b2", "- 1 -" },
		{ "... both within the span", "!a b !c", 5, "a1 b2 c6", "" },
		{ "... both, but the span is longer", "!a b !c", 5, "a1 b2 c7", "- 1 -" },
		{ "what waits keeps its order", "a b !c", 9, "a1 A3 B4 b5", "1 2 -,0 3 -" },
		{ "a fork leaves what it moved on", "a b& c", -1, "a1 b2 c3 b4 c5", "0 1 2,0 3 4" },
		{ "a fork is replaced by the next", "a b& c", -1, "a1 b2 b3 c4", "0 2 3" },
		{ "missing twice in a row", "a !b*2 c", 9, "a1 c2", "0 - - 1" },
	};

	for_each_row (r, rows) {
		struct world w = { .spec = { .has_span = r->span >= 0,
					     .maxspan_ns = (uint64_t)(r->span >= 0 ? r->span : 0),
					     .until = r->until,
					     .until_first = r->until_first } };
		AUTO(machine_plan) plan = NULL;
		auto_buf struct buf got = { .max = TEXT };
		struct rig rig = { 0 };

		read_stages(&w, r->stages);
		(void)read_stream(&w, r->stream);
		require_ok(machine_plan_new(&w.spec, &plan));
		require(rig_open(&rig, &w, plan, (struct machine_store_options) { 0 }));
		for (size_t i = 0; i < w.n; i++)
			feed(&rig, i, 0);
		machine_time(rig.store, &rig.machine, INT64_MAX);
		/* "0: 1 - 2 (..) of 2\n" becomes "1 - 2," */
		for (const char *p = buf_text(&rig.out); *p; p = strchr(p, '\n') + 1) {
			const char *from = strchr(p, ' ') + 1, *to = strchr(p, '(') - 1;

			if (got.len)
				buf_char(&got, ',');
			buf_add(&got, from, (size_t)(to - from));
		}
		check_str(buf_text(&got), r->want);
		rig_close(&rig);
	}
}

TEST(what_must_be_missing_at_the_end_is_told_when_time_has_passed)
{
	struct world w = { .spec = { .has_span = true, .maxspan_ns = 5 } };
	AUTO(machine_plan) plan = NULL;
	struct rig rig = { 0 };

	read_stages(&w, "a !b");
	(void)read_stream(&w, "a10 A14");
	require_ok(machine_plan_new(&w.spec, &plan));
	require(rig_open(&rig, &w, plan, (struct machine_store_options) { 0 }));
	check(machine_next_time(rig.store, &rig.machine) == INT64_MAX);
	feed(&rig, 0, 0);
	feed(&rig, 1, 0);
	check_int(machine_next_time(rig.store, &rig.machine), 15);
	machine_time(rig.store, &rig.machine, 15);
	check_str(buf_text(&rig.out), "");
	machine_time(rig.store, &rig.machine, 16);
	check_str(buf_text(&rig.out), "0: 0 - (10..10) of 1\n");
	check_int(machine_next_time(rig.store, &rig.machine), 19);
	machine_store_gauges(rig.store, &rig.stats);
	check_int(rig.stats.waiting, 1);
	rig_close(&rig);
}

TEST(told_as_they_come_nothing_waits_behind_another)
{
	struct world w = { .spec = { .has_span = true, .maxspan_ns = 9 } };
	AUTO(machine_plan) plan = NULL;
	struct rig rig = { 0 };

	/* The first to complete is the last whose time passes; one without anything before it need not wait. */
	read_stages(&w, "!a b c !d");
	(void)read_stream(&w, "a5 A1 b6 c7 B8 C9");
	w.ev[1].ts = 5;
	require_ok(machine_plan_new(&w.spec, &plan));
	require(rig_open(&rig, &w, plan, (struct machine_store_options) { .as_they_come = true }));
	for (size_t i = 0; i < w.n; i++)
		feed(&rig, i, 0);
	check_str(buf_text(&rig.out), "");
	machine_time(rig.store, &rig.machine, 15);
	check_str(buf_text(&rig.out), "0: - 2 3 - (6..7) of 2\n1: - 4 5 - (8..9) of 2\n");
	rig_close(&rig);
}

/* ---- plans ----------------------------------------------------------------------------------- */

TEST(plans_that_make_no_sense_are_refused)
{
	static const struct {
		const char *name;
		struct machine_stage_spec stage[2];
		struct machine_spec spec;
		int want;
	} rows[] = {
		{ "no run", { { .runs = 0 } }, { .n_stages = 1 }, -EINVAL },
		{ "too many runs", { { .runs = RUNNER_SLOTS_MAX + 1 } }, { .n_stages = 1 }, -EINVAL },
		{ "too many events", { { .runs = RUNNER_SLOTS_MAX }, { .runs = 1 } }, { .n_stages = 2 }, -E2BIG },
		{ "nothing but missing",
		  { { .runs = 1, .missing = true } },
		  { .n_stages = 1, .has_span = true },
		  -EINVAL },
		{ "missing without a span",
		  { { .runs = 1 }, { .runs = 1, .missing = true } },
		  { .n_stages = 2 },
		  -EINVAL },
		{ "a join with runs", { { .runs = 2 } }, { .n_stages = 1, .join = true }, -EINVAL },
		{ "as many as there may be", { { .runs = RUNNER_SLOTS_MAX } }, { .n_stages = 1 }, 0 },
	};

	for_each_row (r, rows) {
		AUTO(machine_plan) plan = NULL;
		struct machine_spec spec = r->spec;

		spec.stages = r->stage;
		check_int(machine_plan_new(&spec, &plan), r->want);
	}
}

TEST(a_store_that_is_too_small_is_refused)
{
	struct machine_store_options options = { .memory = 1000 };
	struct machine_store *s = NULL;

	check_int(machine_store_open(&options, &s), -EINVAL);
	check(!s);
}

/* ---- bounds ---------------------------------------------------------------------------------- */

/* Two machines and many keys, over one store. */
struct flood {
	struct machine_store *store;
	struct machine m[2];
	struct runner_stats stats;
	uint64_t told;
};

static void flood_tell(void *ctx, const struct machine_result *r)
{
	(void)r;
	((struct flood *)ctx)->told++;
}

static void flood_hit(struct flood *f, unsigned m, uint32_t stage, uint64_t key, int64_t ts, uint64_t entity)
{
	const struct runner_event rev = { .time_ns = ts, .handle = key, .entity = entity };
	const struct machine_event ev = { &rev, ts };
	const struct machine_hit hit = { stage, sizeof(key), &key, hash_u64(key, 7) };

	machine_event(f->store, &f->m[m], &ev, &hit, 1);
}

static bool flood_open(struct flood *f, const struct machine_plan *plan, struct machine_store_options options)
{
	*f = (struct flood) { 0 };
	options.stats = &f->stats;
	options.tell = flood_tell;
	options.ctx = f;
	return machine_store_open(&options, &f->store) == 0 && machine_open(f->store, &f->m[0], plan, NULL) == 0 &&
	       machine_open(f->store, &f->m[1], plan, NULL) == 0;
}

static void flood_close(struct flood *f)
{
	machine_close(f->store, &f->m[0]);
	machine_close(f->store, &f->m[1]);
	machine_store_gauges(f->store, &f->stats);
	check_int(f->stats.bytes, 0);
	machine_store_free(f->store);
}

static int two_stages(struct machine_plan **ret_plan, uint64_t span)
{
	static const struct machine_stage_spec stages[] = { { .runs = 1 }, { .runs = 1 } };
	const struct machine_spec spec = { .stages = stages, .n_stages = 2, .has_span = span, .maxspan_ns = span };

	return machine_plan_new(&spec, ret_plan);
}

TEST(a_full_store_lets_go_of_the_largest_rules_oldest_keys_and_counts_them)
{
	AUTO(machine_plan) plan = NULL;
	struct flood f;

	require_ok(two_stages(&plan, 0));
	require(flood_open(&f, plan, (struct machine_store_options) { .memory = 1 << 18 }));
	for (uint64_t k = 0; k < 10; k++)
		flood_hit(&f, 1, 0, k, 1, 0);
	for (uint64_t k = 0; k < 100000; k++)
		flood_hit(&f, 0, 0, k, 2, 0);
	machine_store_gauges(f.store, &f.stats);
	check(f.stats.evicted_memory > 90000);
	check_int(f.stats.evicted_memory + f.stats.keys, 100010);
	check(f.stats.bytes <= f.stats.bytes_max);
	check(machine_store_is_sound(f.store));
	/* The small rule kept its own, the large one has its newest. */
	for (uint64_t k = 0; k < 10; k++)
		flood_hit(&f, 1, 1, k, 3, 0);
	check_int(f.told, 10);
	flood_hit(&f, 0, 1, 99999, 3, 0);
	check_int(f.told, 11);
	flood_hit(&f, 0, 1, 0, 3, 0);
	check_int(f.told, 11);
	flood_close(&f);
}

TEST(a_rule_and_an_entity_have_only_so_many_keys)
{
	AUTO(machine_plan) plan = NULL;
	struct flood f;

	require_ok(two_stages(&plan, 0));
	require(flood_open(&f, plan,
			   (struct machine_store_options) { .memory = 1 << 20, .per_rule = 100, .per_entity = 30 }));
	for (uint64_t k = 0; k < 50; k++)
		flood_hit(&f, 0, 0, k, 1, 7);
	check_int(f.stats.evicted_entity, 20);
	for (uint64_t k = 100; k < 110; k++)
		flood_hit(&f, 0, 0, k, 1, 8);
	check_int(f.stats.evicted_entity, 20);
	for (uint64_t k = 200; k < 300; k++)
		flood_hit(&f, 0, 0, k, 1, 0);
	machine_store_gauges(f.store, &f.stats);
	check_int(f.stats.evicted_rule, 40);
	check_int(f.stats.keys, 100);
	check(machine_store_is_sound(f.store));
	flood_close(&f);
}

TEST(a_key_that_was_used_stays_longer)
{
	AUTO(machine_plan) plan = NULL;
	struct flood f;

	require_ok(two_stages(&plan, 0));
	require(flood_open(&f, plan, (struct machine_store_options) { .memory = 1 << 20, .per_rule = 10 }));
	for (uint64_t k = 0; k < 1000; k++) {
		flood_hit(&f, 0, 0, k, 1, 0);
		flood_hit(&f, 0, 0, 0, 1, 0);
	}
	flood_hit(&f, 0, 1, 0, 2, 0);
	check_int(f.told, 1);
	flood_close(&f);
}

TEST(keys_older_than_the_span_go_by_themselves)
{
	AUTO(machine_plan) plan = NULL;
	struct flood f;

	require_ok(two_stages(&plan, 100));
	require(flood_open(&f, plan, (struct machine_store_options) { .memory = 1 << 20 }));
	for (uint64_t k = 0; k < 5000; k++)
		flood_hit(&f, 0, 0, k, (int64_t)k, 0);
	machine_store_gauges(f.store, &f.stats);
	check(f.stats.keys <= 102);
	check_int(f.stats.expired + f.stats.keys, 5000);
	machine_time(f.store, &f.m[0], 100000);
	machine_store_gauges(f.store, &f.stats);
	check_int(f.stats.keys, 0);
	check_int(f.stats.bytes, 0);
	flood_close(&f);
}

/* Whatever is let go in the middle of whatever, the books stay right. */
TEST(a_store_under_pressure_stays_sound)
{
	rng = 3;
	for (unsigned round = 0; round < 300; round++) {
		struct world w = { 0 };
		AUTO(machine_plan) plan = NULL;
		struct rig rig = { .room = 1 + pick(4) };

		make_spec(&w, pick(5) == 0);
		for (size_t i = 0; i < w.spec.n_stages; i++)
			w.stage[i].fork = false;
		make_stream(&w);
		require_ok(machine_plan_new(&w.spec, &plan));
		require(rig_open(&rig, &w, plan,
				 (struct machine_store_options) { .memory = 1 << 18,
								  .per_rule = 1 + pick(3),
								  .per_entity = 1 + pick(2),
								  .keeper = { keep, share, drop, NULL } }));
		for (size_t i = 0; i < w.n; i++) {
			feed(&rig, i, pick(3));
			if (!machine_store_is_sound(rig.store)) {
				test_fail(T_HERE, "round %u, event %zu: %s", round, i, err_trail());
				break;
			}
		}
		rig_close(&rig);
	}
}
