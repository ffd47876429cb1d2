/* SPDX-License-Identifier: Apache-2.0 */
#include "sequence/runner.h"
#include <errno.h>
#include <string.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/hash.h"
#include "sequence/lineage.h"
#include "sequence/pack.h"
#include "sequence/pipes.h"
#include "sequence/ruleset.h"
#include "sequence/sample.h"

enum {
	MEMORY_DEFAULT = 64 << 20,
	KEYS_TEXT_MAX = 1 << 20, /* packed keys of one event, for one rule */
	ITEMS_MAX = 2048,        /* of lists, when values are unpacked */
	CAPTURE_TEXT_MAX = 1 << 20,
	TRUE_MAX_FIRST = 64,
};

static const uint64_t expire_every_ns = NS_PER_S;
static const int64_t never = INT64_MAX;

/* A rule's state in a stream. */
struct rule_state {
	struct machine machine;
	bool has_machine, is_closed;
	struct sampler *sampler;
	struct pipes *pipes;
	struct lineage *lineage; /* of all its subqueries */
	struct runner *runner;
	uint32_t number; /* of the rule in the ruleset */
};

/* A stage of a rule that an event matches; sorted, they stand by rule, last stage first. */
typedef uint64_t use_code;
static inline use_code use_of(uint32_t rule, uint32_t stage)
{
	return (use_code)rule << 32 | (UINT32_MAX - stage);
}
static inline uint32_t rule_of(use_code u)
{
	return (uint32_t)(u >> 32);
}
static inline uint32_t stage_of(use_code u)
{
	return UINT32_MAX - (uint32_t)u;
}

/* A combination of an event's key values. */
struct tuple {
	size_t at;
	uint32_t len;
	uint64_t hash;
};

/* An event of the past: the fields that were remembered of it. */
struct remembered {
	const struct rule_captures *captures;
	struct value value[FIELDS_MAX];
	const struct pipe_row *row; /* pipes: answers for count, percent and key */
	const struct rule_fields *fields;
	struct value row_key;
};

struct runner {
	struct ruleset *set;
	struct runner_options options;
	struct runner_sink sink;
	struct machine_store *store;
	struct rule_state **rule;
	uint64_t seed;
	int64_t now_ns, next_time_ns, expire_ns;
	bool has_time;
	struct runner_stats stats;

	/* Of the event that is being looked at. */
	const struct runner_event *ev;
	struct predicate_input input, row_input;
	struct predicate_scratch *scratch, *value_scratch, *other_scratch;
	bool values_begun;
	struct event_scratch event_scratch;
	use_code *uses;
	size_t n_uses, cap_uses;
	struct buf keys;
	struct tuple *tuple;
	size_t n_tuples, cap_tuples;
	struct machine_hit *hits;
	size_t n_hits, cap_hits;
	struct lineage_event lineage_ev;

	/* Of what is told. */
	struct remembered *past; /* a stage each */
	struct event *past_event;
	const struct event **past_events;
	size_t cap_past;
	struct buf text;
	struct value *items;
	struct value key_values[RULE_KEYS_MAX];
	struct runner_slot one_slot;
};

const struct runner_metric runner_metrics[] = {
#define METRIC(member, gauge, doc) { #member, doc, offsetof(struct runner_stats, member), gauge }
	METRIC(events, false, "events looked at"),
	METRIC(out_of_order, false, "events older than one before them: taken to happen at its time"),
	METRIC(matches, false, "matches told"),
	METRIC(started, false, "sequences begun"),
	METRIC(replaced, false, "sequences whose place a newer match took"),
	METRIC(expired, false, "join keys for which maxspan has passed"),
	METRIC(too_late, false, "sequences that would have gone on after maxspan"),
	METRIC(ended, false, "sequences ended by until"),
	METRIC(spoiled, false, "sequences in which an event came that must be missing"),
	METRIC(evicted_memory, false, "join keys let go because the memory for state was full"),
	METRIC(evicted_rule, false, "join keys let go because their rule had too many"),
	METRIC(evicted_entity, false, "join keys let go because their entity had too many"),
	METRIC(evicted_waiting, false, "complete sequences let go while they waited for time"),
	METRIC(evicted_samples, false, "events of samples for which there was no room"),
	METRIC(evicted_rows, false, "matches for which there was no room in a pipe"),
	METRIC(evicted_processes, false, "processes forgotten by child of, descendant of and event of"),
	METRIC(keys_too_long, false, "events left out because their join key was too long"),
	METRIC(tuples_cut, false, "combinations of join key values left out"),
	METRIC(keys, true, "join keys now"),
	METRIC(pending, true, "sequences that may go on now"),
	METRIC(waiting, true, "complete sequences that wait for time now"),
	METRIC(bytes, true, "bytes of state in use"),
	METRIC(bytes_max, true, "bytes of state that there are"),
#undef METRIC
};
const size_t runner_n_metrics = countof(runner_metrics);

static const struct rule *rule_at(const struct runner *r, const struct rule_state *rs)
{
	return &r->set->rule[rs->number];
}

/* ---- events of the past ---------------------------------------------------------------------- */

static bool past_row_get(const struct remembered *past, field_id id, struct value *ret_value)
{
	const struct pipe_row *row = past->row;

	if (id == past->fields->count)
		*ret_value = (struct value) { .type = VALUE_INT, .i = (int64_t)row->count };
	else if (id == past->fields->percent)
		*ret_value = (struct value) { .type = VALUE_FLOAT, .f = row->percent };
	else if (id == past->fields->key && row->kind == RUNNER_ROW)
		*ret_value = past->row_key;
	else
		return false;
	return true;
}

static bool past_get(const void *subject, field_id id, struct value *ret_value)
{
	const struct remembered *past = subject;

	if (past->row && past->row->counted && past_row_get(past, id, ret_value))
		return true;
	for (uint32_t i = 0; i < past->captures->n; i++)
		if (past->captures->field[i] == id) {
			*ret_value = past->value[i];
			return past->value[i].type != VALUE_NULL;
		}
	return false;
}

static void past_each(const void *subject, void (*fn)(void *ctx, field_id id, const struct value *v), void *ctx)
{
	const struct remembered *past = subject;
	const bool counted = past->row && past->row->counted;
	const field_id of_row[] = { past->fields->count, past->fields->percent, past->fields->key };
	struct value v;

	for (uint32_t i = 0; i < past->captures->n; i++)
		if (past->value[i].type != VALUE_NULL && !(counted && past_row_get(past, past->captures->field[i], &v)))
			fn(ctx, past->captures->field[i], &past->value[i]);
	/* What the pipes know of it goes before what it had itself, as when it is asked for one field. */
	for (size_t i = 0; counted && i < countof(of_row); i++)
		if (past_row_get(past, of_row[i], &v))
			fn(ctx, of_row[i], &v);
}

static const struct event_lens past_lens = { past_get, past_each };

static void remember_event(struct runner *r, const struct rule_captures *c, struct buf *out)
{
	static const struct value null = { 0 };

	for (uint32_t i = 0; i < c->n; i++) {
		size_t before = out->len;
		struct value v;

		if (!event_get(r->ev->event, c->field[i], &r->event_scratch, &v))
			v = null;
		if (pack_exact(out, &v))
			continue;
		/* Too long: not there. The last byte of the room is left for that. */
		out->len = before;
		out->failed = false;
		if (!pack_exact(out, &null))
			return;
	}
}

/* Makes the events of the past out of what was remembered. */
static void recall(struct runner *r, const struct rule *rule, const struct machine_capture *captures, size_t n,
		   const struct pipe_row *row)
{
	struct unpack u = { .items = r->items, .max_items = ITEMS_MAX };

	for (uint32_t s = 0; s < rule->n_stages; s++) {
		r->past_events[s] = NULL;
		r->past[s].captures = &rule->stage[s].captures;
		r->past[s].row = row;
		r->past[s].fields = &r->set->fields;
	}
	for (size_t i = 0; i < n; i++) {
		uint32_t stage = rule->stage_of_slot ? rule->stage_of_slot[captures[i].slot] : 0;
		struct remembered *past = &r->past[stage];

		/* The newest of a stage that has runs. */
		if (r->past_events[stage])
			continue;
		u.p = captures[i].bytes;
		u.end = u.p + captures[i].n;
		for (uint32_t k = 0; k < past->captures->n; k++)
			if (!unpack_next(&u, &past->value[k]))
				past->value[k] = (struct value) { 0 };
		r->past_event[stage] = (struct event) { .lens = &past_lens, .subject = past };
		r->past_events[stage] = &r->past_event[stage];
	}
}

static enum truth ask_lineage(void *ctx, const struct query *q, const struct ir_node *n, const struct event *ev);

/* May the event take this stage, given those before it? */
static bool allows(void *ctx, struct machine *m, uint32_t stage, const struct machine_capture *captures, size_t n)
{
	struct runner *r = ctx;
	const struct rule *rule = rule_at(r, m->owner);
	struct predicate_input in = { .ev = r->ev->event,
				      .events = r->past_events,
				      .n_events = rule->n_stages,
				      .lineage = ask_lineage,
				      .ctx = r };

	recall(r, rule, captures, n, NULL);
	return program_begin(r->set->guards, &in, r->other_scratch) &&
	       program_test(r->set->guards, rule->stage[stage].guard, r->other_scratch) == TRUTH_TRUE;
}

static void capture(void *ctx, struct machine *m, uint32_t stage, struct buf *out)
{
	struct runner *r = ctx;

	remember_event(r, &rule_at(r, m->owner)->stage[stage].captures, out);
}

/* ---- telling --------------------------------------------------------------------------------- */

static size_t unpack_keys(struct runner *r, const void *key, size_t len, size_t n)
{
	struct unpack u = { .p = key, .end = (const unsigned char *)key + len, r->items, 0, ITEMS_MAX };
	size_t i = 0;

	if (!key)
		return 0;
	while (i < n && i < RULE_KEYS_MAX && unpack_next(&u, &r->key_values[i]))
		i++;
	return i;
}

static void emit(struct runner *r, struct rule_state *rs, const struct pipe_row *row)
{
	const struct rule *rule = rule_at(r, rs);
	struct runner_match m = { .kind = row->kind,
				  .rule = rs->number,
				  .query = &rule->q,
				  .slots = row->slots,
				  .n_slots = row->n_slots,
				  .start_ns = row->start_ns,
				  .end_ns = row->end_ns,
				  .keys = r->key_values,
				  .counted = row->counted,
				  .count = row->count,
				  .percent = row->percent };

	if (row->kind == RUNNER_ROW)
		m.n_keys = unpack_keys(r, row->counted_key, row->counted_key_len, RULE_KEYS_MAX);
	else
		m.n_keys = unpack_keys(r, row->key, row->key_len, rule->q.query->n_keys);
	r->stats.matches++;
	r->sink.put(r->sink.ctx, &m);
}

static void out_of_pipes(void *ctx, const struct pipe_row *row)
{
	struct rule_state *rs = ctx;

	emit(rs->runner, rs, row);
}

static void found(struct runner *r, struct rule_state *rs, const struct pipe_row *row)
{
	if (!rs->pipes) {
		emit(r, rs, row);
		return;
	}
	pipes_put(rs->pipes, row);
	rs->is_closed = pipes_are_closed(rs->pipes);
}

static void tell_sequence(void *ctx, const struct machine_result *result)
{
	struct runner *r = ctx;
	struct rule_state *rs = result->machine->owner;
	const struct pipe_row row = { .kind = RUNNER_SEQUENCE,
				      .slots = result->slots,
				      .n_slots = result->machine->plan->n_slots,
				      .start_ns = result->start_ns,
				      .end_ns = result->end_ns,
				      .key = result->key,
				      .key_len = result->key_len,
				      .captures = result->captures,
				      .n_captures = result->n_captures };

	if (!rs->is_closed)
		found(r, rs, &row);
}

static void tell_event(struct runner *r, struct rule_state *rs)
{
	const struct rule *rule = rule_at(r, rs);
	struct machine_capture c = { 0 };
	struct pipe_row row = {
		.kind = RUNNER_EVENT, .slots = &r->one_slot, .n_slots = 1, .start_ns = r->now_ns, .end_ns = r->now_ns
	};

	r->one_slot = (struct runner_slot) { .is_current = true, .handle = r->ev->handle };
	if (rule->captures_any) {
		buf_clear(&r->text);
		remember_event(r, &rule->stage[0].captures, &r->text);
		c.bytes = buf_text(&r->text);
		c.n = r->text.len;
		row.captures = &c;
		row.n_captures = 1;
	}
	found(r, rs, &row);
}

static uint32_t arg_index(const struct rule *rule, ir_ref ref)
{
	for (uint32_t i = 0; i < rule->n_args; i++)
		if (rule->arg[i].ref == ref)
			return rule->arg[i].index;
	return 0;
}

static bool begin_row(struct rule_state *rs, const struct pipe_row *row)
{
	struct runner *r = rs->runner;
	const struct rule *rule = rule_at(r, rs);
	struct predicate_input in = { .events = r->past_events, .n_events = rule->n_stages };

	recall(r, rule, row->captures, row->n_captures, row);
	if (row->kind == RUNNER_ROW) {
		size_t n = unpack_keys(r, row->counted_key, row->counted_key_len, RULE_KEYS_MAX);

		r->past[0].row_key = n == 1 ? r->key_values[0]
				     : n    ? (struct value) { .type = VALUE_LIST, .list = { r->key_values, n } }
					    : (struct value) { .type = VALUE_STR, .s = { "totals", 6 } };
	}
	/* A field without events[N] is the first one's. */
	if (!r->past_events[0]) {
		for (uint32_t i = 0; i < rule->stage[0].captures.n; i++)
			r->past[0].value[i] = (struct value) { 0 };
		r->past_event[0] = (struct event) { .lens = &past_lens, .subject = &r->past[0] };
		r->past_events[0] = &r->past_event[0];
	}
	in.ev = r->past_events[0];
	/* The program keeps what it is given until it begins again: it is asked once a row. */
	r->row_input = in;
	return program_begin(r->set->args, &r->row_input, r->other_scratch);
}

static void row_value(void *ctx, ir_ref arg, const struct pipe_row *row, struct value *ret_value)
{
	struct rule_state *rs = ctx;
	struct runner *r = rs->runner;

	*ret_value = (struct value) { 0 };
	if (begin_row(rs, row))
		program_value(r->set->args, arg_index(rule_at(r, rs), arg), r->other_scratch, ret_value);
}

static bool row_test(void *ctx, ir_ref arg, const struct pipe_row *row)
{
	struct rule_state *rs = ctx;
	struct runner *r = rs->runner;

	return begin_row(rs, row) &&
	       program_test(r->set->args, arg_index(rule_at(r, rs), arg), r->other_scratch) == TRUTH_TRUE;
}

/* ---- join keys ------------------------------------------------------------------------------- */

static bool more(void **items, size_t *cap, size_t n, size_t size)
{
	size_t to = *cap ? *cap : TRUE_MAX_FIRST;
	void *grown;

	if (n <= *cap)
		return true;
	while (to < n)
		to *= 2;
	/* Grows to what an event took at most, and stays. */
	grown = reallocarray(*items, to, size);
	if (!grown)
		return false;
	*items = grown;
	*cap = to;
	return true;
}

static void expr_value(struct runner *r, const struct rule_expr *e, struct value *ret_value)
{
	if (e->field) {
		if (!event_get(r->ev->event, e->field, &r->event_scratch, ret_value))
			*ret_value = (struct value) { 0 };
		return;
	}
	*ret_value = (struct value) { 0 };
	if (!r->values_begun && !program_begin(r->set->values, &r->input, r->value_scratch))
		return;
	r->values_begun = true;
	program_value(r->set->values, e->index, r->value_scratch, ret_value);
}

static bool add_tuple(struct runner *r, size_t at)
{
	struct tuple *t;

	if (r->keys.failed || r->keys.len - at > RUNNER_KEY_BYTES_MAX) {
		r->keys.failed = false;
		r->keys.len = at;
		r->stats.keys_too_long++;
		return false;
	}
	if (!more((void **)&r->tuple, &r->cap_tuples, r->n_tuples + 1, sizeof(*r->tuple)))
		return false;
	t = &r->tuple[r->n_tuples++];
	t->at = at;
	t->len = (uint32_t)(r->keys.len - at);
	t->hash = hash_bytes(buf_text(&r->keys) + at, t->len, r->seed);
	return true;
}

/*
 * Each tuple so far with each of the list's values, each value once; the old tuples are replaced.
 */
static bool multiply(struct runner *r, const struct rule_expr *e, const struct value *list, size_t first, bool fold,
		     bool with_null)
{
	size_t n_old = r->n_tuples - first, values_at = r->keys.len, n_values = 0, end_of[EVENT_ITEMS];

	for (size_t i = 0; i < list->list.n && n_values < EVENT_ITEMS; i++) {
		size_t at = r->keys.len;
		bool is_new = true;

		if (list->list.items[i].type == VALUE_NULL && !with_null)
			continue;
		if (!pack_key(&r->keys, &list->list.items[i], e->type, fold)) {
			r->keys.failed = false;
			r->stats.keys_too_long++;
			return false;
		}
		for (size_t k = 0, from = values_at; is_new && k < n_values; from = end_of[k++])
			is_new = end_of[k] - from != r->keys.len - at ||
				 memcmp(r->keys.data + from, r->keys.data + at, r->keys.len - at) != 0;
		if (is_new)
			end_of[n_values++] = r->keys.len;
		else
			r->keys.len = at;
	}
	for (size_t old = 0; old < n_old; old++)
		for (size_t k = 0, from = values_at; k < n_values; from = end_of[k++]) {
			size_t at = r->keys.len, len = end_of[k] - from;
			const struct tuple was = r->tuple[first + old];

			if (r->n_tuples - first - n_old >= RUNNER_TUPLES_MAX) {
				r->stats.tuples_cut++;
				continue;
			}
			/* Room first: the bytes are copied from the buffer itself. */
			if (buf_reserve(&r->keys, was.len + len)) {
				buf_add(&r->keys, r->keys.data + was.at, was.len);
				buf_add(&r->keys, r->keys.data + from, len);
			}
			(void)add_tuple(r, at);
		}
	memmove(&r->tuple[first], &r->tuple[first + n_old], (r->n_tuples - first - n_old) * sizeof(*r->tuple));
	r->n_tuples -= n_old;
	return r->n_tuples > first;
}

/* Lists with one item are that item; empty ones, and those of nulls only, are null. */
static void flatten(struct value *v)
{
	size_t n = 0, last = 0;

	if (v->type != VALUE_LIST)
		return;
	for (size_t i = 0; i < v->list.n; i++)
		if (v->list.items[i].type != VALUE_NULL) {
			n++;
			last = i;
		}
	if (n == 0)
		*v = (struct value) { 0 };
	else if (n == 1)
		*v = v->list.items[last];
}

/* The event's keys for a stage: tuples from *ret_first on. False: it has none, and does not take part. */
static bool make_keys(struct runner *r, const struct rule *rule, uint32_t stage, size_t *ret_first)
{
	const struct query *q = rule->q.query;
	const struct rule_stage *s = &rule->stage[stage];
	size_t first = r->n_tuples;
	bool lists = q->dialect != RULE_ENDGAME;

	*ret_first = first;
	if (!add_tuple(r, r->keys.len))
		return false;
	for (uint32_t i = 0; i < q->n_keys; i++) {
		struct value v;

		expr_value(r, &s->key[i], &v);
		if (lists)
			flatten(&v);
		if (v.type == VALUE_NULL && !s->key[i].optional)
			return false;
		/* The usual case: one key, which goes on where it stands. */
		if ((!lists || v.type != VALUE_LIST) && r->n_tuples - first == 1 &&
		    r->tuple[first].at + r->tuple[first].len == r->keys.len) {
			(void)pack_key(&r->keys, &v, s->key[i].type, q->fold);
			r->n_tuples = first;
			if (!add_tuple(r, r->tuple[first].at))
				return false;
		} else {
			const struct value one = { .type = VALUE_LIST, .list = { &v, 1 } };
			bool is_list = lists && v.type == VALUE_LIST;

			if (!multiply(r, &s->key[i], is_list ? &v : &one, first, q->fold, !is_list))
				return false;
		}
	}
	return true;
}

/* ---- an event -------------------------------------------------------------------------------- */

static void put_sample(struct runner *r, struct rule_state *rs, uint32_t stage)
{
	size_t first;

	r->n_tuples = 0;
	buf_clear(&r->keys);
	if (!make_keys(r, rule_at(r, rs), stage, &first))
		return;
	for (size_t i = first; i < r->n_tuples; i++)
		sampler_put(rs->sampler, stage, buf_text(&r->keys) + r->tuple[i].at, r->tuple[i].len, r->ev->handle);
}

static void add_hits(struct runner *r, uint32_t stage, size_t first)
{
	size_t n = r->n_tuples - first;

	if (!more((void **)&r->hits, &r->cap_hits, r->n_hits + n, sizeof(*r->hits)))
		return;
	for (size_t i = 0; i < n; i++) {
		const struct tuple *t = &r->tuple[first + i];

		/* The bytes may move until all are there: for now, where they will be. */
		r->hits[r->n_hits++] = (struct machine_hit) { stage, t->len, (void *)t->at, t->hash };
	}
}

/* All stages of one sequence that the event matches: uses[0..n), last stage first. */
static void put_sequence(struct runner *r, struct rule_state *rs, const use_code *uses, size_t n)
{
	const struct rule *rule = rule_at(r, rs);
	const struct machine_event ev = { r->ev, r->now_ns };
	bool one_key = true, has_keys = false, is_there = true;
	size_t first = 0;

	r->n_hits = r->n_tuples = 0;
	buf_clear(&r->keys);
	for (size_t i = 0; i < n; i++)
		one_key &= rule->stage[stage_of(uses[i])].same_keys;
	for (size_t i = 0; i < n; i++) {
		uint32_t stage = stage_of(uses[i]);

		if (!one_key || !has_keys) {
			is_there = make_keys(r, rule, stage, &first);
			if (!is_there)
				r->n_tuples = first;
			has_keys = true;
		}
		if (is_there)
			add_hits(r, stage, first);
	}
	for (size_t i = 0; i < r->n_hits; i++)
		r->hits[i].key = buf_text(&r->keys) + (size_t)r->hits[i].key;
	machine_event(r->store, &rs->machine, &ev, r->hits, r->n_hits);
	if (rule->plan->has_trailing) {
		int64_t next = machine_next_time(r->store, &rs->machine);

		if (next < r->next_time_ns)
			r->next_time_ns = next;
	}
}

static void put_rule(struct runner *r, const use_code *uses, size_t n)
{
	struct rule_state *rs = r->rule[rule_of(uses[0])];

	if (rs->is_closed)
		return;
	if (rs->has_machine)
		put_sequence(r, rs, uses, n);
	else if (rs->sampler)
		for (size_t i = 0; i < n; i++)
			put_sample(r, rs, stage_of(uses[i]));
	else
		tell_event(r, rs);
}

static int by_code(const void *a, const void *b)
{
	use_code ua = *(const use_code *)a, ub = *(const use_code *)b;

	return ua < ub ? -1 : ua > ub;
}

static void sort_uses(struct runner *r)
{
	/* Mostly there are one or two. */
	if (r->n_uses > 16) {
		qsort(r->uses, r->n_uses, sizeof(*r->uses), by_code);
		return;
	}
	for (size_t i = 1; i < r->n_uses; i++) {
		use_code u = r->uses[i];
		size_t k = i;

		for (; k && r->uses[k - 1] > u; k--)
			r->uses[k] = r->uses[k - 1];
		r->uses[k] = u;
	}
}

static void add_use(struct runner *r, const struct rule_use *u)
{
	const struct ruleset *set = r->set;
	const struct rule_stage *s = &set->rule[u->rule].stage[u->stage];

	for (uint32_t i = 0; i < s->n_also; i++)
		if (program_test(predicate_set_program(set->set), s->also[i], r->scratch) != TRUTH_TRUE)
			return;
	if (more((void **)&r->uses, &r->cap_uses, r->n_uses + 1, sizeof(*r->uses)))
		r->uses[r->n_uses++] = use_of(u->rule, u->stage);
}

/* Which stages of which rules the event matches. */
static void find_uses(struct runner *r)
{
	const struct ruleset *set = r->set;
	const uint32_t *is_true;
	size_t n = predicate_set_run(set->set, &r->input, r->scratch, &is_true);

	r->n_uses = 0;
	for (size_t i = 0; i < n; i++)
		for (uint32_t k = set->first_use[is_true[i]]; k < set->first_use[is_true[i] + 1]; k++)
			add_use(r, &set->use[k]);
	for (uint32_t i = 0; i < set->n_always; i++)
		add_use(r, &set->always[i]);
	sort_uses(r);
}

/* ---- lineage --------------------------------------------------------------------------------- */

static uint64_t process_hash(struct runner *r, const struct event *ev, field_id id)
{
	char room[256];
	struct buf b = { .data = room, .cap = sizeof(room), .max = sizeof(room) - 1 };
	struct value v;
	uint64_t h;

	if (!id || !event_get(ev, id, &r->event_scratch, &v))
		return 0;
	flatten(&v);
	if (v.type == VALUE_NULL || v.type == VALUE_LIST || (v.type == VALUE_STR && v.s.n > 128))
		return 0;
	if (!pack_key(&b, &v, RULE_UNKNOWN, false))
		return 0;
	h = hash_bytes(b.data, b.len, r->seed);
	return h ? h : 1;
}

static bool has_word(struct runner *r, const struct event *ev, field_id id, const char *word)
{
	struct value v, *items = &v;
	size_t n = 1;

	if (!event_get(ev, id, &r->event_scratch, &v))
		return false;
	if (v.type == VALUE_LIST) {
		n = v.list.n;
		items = (struct value *)v.list.items;
	}
	for (size_t i = 0; i < n; i++)
		if (items[i].type == VALUE_STR && items[i].s.n == strlen(word) &&
		    memcmp(items[i].s.p, word, items[i].s.n) == 0)
			return true;
	return false;
}

static int64_t number_at(struct runner *r, const struct event *ev, field_id id, int64_t otherwise)
{
	struct value v;

	if (!event_get(ev, id, &r->event_scratch, &v))
		return otherwise;
	return v.type == VALUE_INT ? v.i : v.type == VALUE_UINT ? (int64_t)v.u : otherwise;
}

/* What the older dialect's events say: process ids of their own, and numbers for what happened. */
static void read_endgame(struct runner *r, const struct event *ev, struct lineage_event *le)
{
	const struct rule_fields *f = &r->set->fields;
	int64_t opcode = number_at(r, ev, f->opcode, 0);
	bool begins = has_word(r, ev, f->subtype, "create") || has_word(r, ev, f->subtype, "fork");
	bool ends = has_word(r, ev, f->subtype, "terminate");

	if (!le->pid)
		le->pid = process_hash(r, ev, f->pid);
	if (!le->parent)
		le->parent = process_hash(r, ev, f->parent);
	if (!le->pid)
		le->pid = process_hash(r, ev, f->other_pid);
	if (!le->parent)
		le->parent = process_hash(r, ev, f->other_parent);
	begins |= opcode == 1 || opcode == 3 || opcode == 9;
	ends |= opcode == 2 || opcode == 4;
	le->begins = le->is_process && begins;
	le->ends = le->is_process && ends && !begins;
	le->boots = le->begins && number_at(r, ev, f->other_pid, 0) == 4 && has_word(r, ev, f->name, "System");
}

static void read_lineage(struct runner *r, const struct query *q, const struct event *ev)
{
	struct lineage_event *le = &r->lineage_ev;
	const struct runner_lineage *given = &r->set->options.lineage;

	*le = (struct lineage_event) { .is_process = has_word(r, ev, q->category_field, "process") };
	le->pid = process_hash(r, ev, given->pid);
	le->parent = process_hash(r, ev, given->parent_pid);
	if (q->dialect == RULE_ENDGAME) {
		read_endgame(r, ev, le);
		return;
	}
	if (!le->pid)
		le->pid = process_hash(r, ev, r->set->fields.entity_id);
	if (!le->parent)
		le->parent = process_hash(r, ev, r->set->fields.parent_entity_id);
	/* Every event tells the parent: whoever is heard of has begun. */
	le->begins = le->pid && le->parent;
	le->ends = le->is_process && has_word(r, ev, r->set->fields.type, "end");
}

static void run_lineage(struct runner *r, struct rule_state *rs, const struct rule_lineage *l, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct lineage *state = &rs->lineage[l[i].number];

		read_lineage(r, l[i].outer, r->ev->event);
		lineage_update(state, l[i].kind, &r->lineage_ev);
		run_lineage(r, rs, l[i].inner, l[i].n_inner);
		if (program_test(r->set->lineage, l[i].match, r->other_scratch) != TRUTH_TRUE)
			continue;
		read_lineage(r, l[i].outer, r->ev->event);
		lineage_match(state, &r->lineage_ev);
	}
}

static const struct rule_lineage *find_lineage(const struct rule_lineage *l, uint32_t n, const struct query *q,
					       uint32_t sub)
{
	for (uint32_t i = 0; i < n; i++) {
		const struct rule_lineage *inner;

		if (l[i].outer == q && l[i].sub == sub)
			return &l[i];
		inner = find_lineage(l[i].inner, l[i].n_inner, q, sub);
		if (inner)
			return inner;
	}
	return NULL;
}

static enum truth ask_lineage(void *ctx, const struct query *q, const struct ir_node *n, const struct event *ev)
{
	struct runner *r = ctx;

	for (size_t i = 0; i < r->set->n_rules; i++) {
		const struct rule *rule = &r->set->rule[i];
		const struct rule_lineage *l = find_lineage(rule->lineage, rule->n_lineages, q, n->sub);

		if (!l)
			continue;
		read_lineage(r, q, ev);
		return lineage_is(&r->rule[i]->lineage[l->number], l->kind, &r->lineage_ev) ? TRUTH_TRUE : TRUTH_FALSE;
	}
	return TRUTH_NULL;
}

/* Who descends from whom, before the conditions that ask for it. */
static void learn_lineage(struct runner *r)
{
	if (!program_begin(r->set->lineage, &r->input, r->other_scratch))
		return;
	for (size_t i = 0; i < r->set->n_rules; i++)
		run_lineage(r, r->rule[i], r->set->rule[i].lineage, r->set->rule[i].n_lineages);
}

/* ---- time ------------------------------------------------------------------------------------ */

/* What waited for time to pass now_ns, in the order of its time. */
static void tell_what_waited(struct runner *r, int64_t now_ns)
{
	while (r->next_time_ns < now_ns) {
		struct rule_state *first = NULL;
		int64_t at = never;

		for (size_t i = 0; i < r->set->n_rules; i++) {
			struct rule_state *rs = r->rule[i];
			int64_t next = rs->has_machine ? machine_next_time(r->store, &rs->machine) : never;

			if (next < at) {
				at = next;
				first = rs;
			}
		}
		r->next_time_ns = at;
		if (!first || at >= now_ns)
			return;
		machine_time(r->store, &first->machine, at + 1);
	}
}

static void expire_all(struct runner *r, int64_t now_ns)
{
	if (now_ns < r->expire_ns)
		return;
	r->expire_ns = now_ns > never - (int64_t)expire_every_ns ? never : now_ns + (int64_t)expire_every_ns;
	for (size_t i = 0; i < r->set->n_rules; i++)
		if (r->rule[i]->has_machine && r->rule[i]->machine.n_keys)
			machine_time(r->store, &r->rule[i]->machine, now_ns);
}

void runner_time(struct runner *r, int64_t now_ns)
{
	if (r->has_time && now_ns < r->now_ns)
		return;
	r->has_time = true;
	r->now_ns = now_ns;
	if (r->next_time_ns < now_ns)
		tell_what_waited(r, now_ns);
	expire_all(r, now_ns);
}

void runner_event(struct runner *r, const struct runner_event *ev)
{
	r->stats.events++;
	if (r->has_time && ev->time_ns < r->now_ns)
		r->stats.out_of_order++;
	else
		r->now_ns = ev->time_ns;
	r->has_time = true;
	if (r->next_time_ns < r->now_ns && !r->options.as_they_come)
		tell_what_waited(r, r->now_ns);
	r->ev = ev;
	r->input = (struct predicate_input) { .ev = ev->event, .lineage = ask_lineage, .ctx = r };
	r->values_begun = false;
	if (r->set->has_lineage)
		learn_lineage(r);
	find_uses(r);
	for (size_t i = 0, end; i < r->n_uses; i = end) {
		for (end = i + 1; end < r->n_uses && rule_of(r->uses[end]) == rule_of(r->uses[i]);)
			end++;
		put_rule(r, &r->uses[i], end - i);
	}
	r->ev = NULL;
}

static void tell_sample(void *ctx, const void *key, size_t key_len, const uint64_t *handles)
{
	struct rule_state *rs = ctx;
	const struct rule *rule = rule_at(rs->runner, rs);
	struct runner_slot slots[SAMPLE_SLOTS_MAX];
	const struct pipe_row row = { .kind = RUNNER_SAMPLE,
				      .slots = slots,
				      .n_slots = rule->q.query->n_stages,
				      .key = key,
				      .key_len = key_len };

	for (uint32_t i = 0; i < rule->q.query->n_stages; i++)
		slots[i] = (struct runner_slot) { .handle = handles[i] };
	if (!rs->is_closed)
		found(rs->runner, rs, &row);
}

void runner_finish(struct runner *r)
{
	for (size_t i = 0; i < r->set->n_rules; i++) {
		struct rule_state *rs = r->rule[i];

		if (rs->has_machine && !rs->is_closed)
			machine_time(r->store, &rs->machine, never);
		if (rs->sampler && sampler_finish(rs->sampler, tell_sample, rs) < 0)
			r->stats.evicted_samples++;
		if (rs->pipes)
			pipes_end(rs->pipes);
		rs->is_closed = true;
	}
	r->next_time_ns = never;
}

bool runner_wants_more(const struct runner *r)
{
	for (size_t i = 0; i < r->set->n_rules; i++)
		if (!r->rule[i]->is_closed)
			return true;
	return false;
}

bool runner_concerns(struct runner *r, const struct event *event)
{
	const uint32_t *is_true;

	if (r->set->has_lineage || r->set->n_always)
		return true;
	r->input = (struct predicate_input) { .ev = event };
	return predicate_set_run(r->set->set, &r->input, r->scratch, &is_true) > 0;
}

size_t runner_judge(struct runner *r, const struct event *event, const struct runner_sink *sink)
{
	const uint32_t *is_true;
	size_t n, count = 0;

	r->input = (struct predicate_input) { .ev = event, .lineage = ask_lineage, .ctx = r };
	r->one_slot = (struct runner_slot) { .is_current = true };
	n = predicate_set_run(r->set->set, &r->input, r->scratch, &is_true);
	for (size_t i = 0; i < n; i++)
		for (uint32_t k = r->set->first_use[is_true[i]]; k < r->set->first_use[is_true[i] + 1]; k++) {
			uint32_t rule = r->set->use[k].rule;
			const struct query *q = r->set->rule[rule].q.query;
			const struct runner_match m = { .kind = RUNNER_EVENT,
							.rule = rule,
							.query = &r->set->rule[rule].q,
							.slots = &r->one_slot,
							.n_slots = 1 };

			if ((q->kind != QUERY_EVENT && q->kind != QUERY_CONDITION) || q->n_pipes)
				continue;
			count++;
			sink->put(sink->ctx, &m);
		}
	return count;
}

/* ---- opening, closing, other rules ----------------------------------------------------------- */

static void rule_state_free(struct runner *r, struct rule_state *rs, const struct rule *rule)
{
	if (!rs)
		return;
	if (rs->has_machine)
		machine_close(r->store, &rs->machine);
	if (rs->sampler)
		sampler_free(rs->sampler);
	free(rs->sampler);
	pipes_free(rs->pipes);
	for (uint32_t i = 0; rs->lineage && i < rule->n_all_lineages; i++)
		lineage_close(&rs->lineage[i]);
	free(rs->lineage);
	free(rs);
}

static int rule_state_open(struct runner *r, const struct rule *rule, struct rule_state *rs)
{
	const struct query *q = rule->q.query;
	const struct pipes_options pipes = { .memory = r->options.memory,
					     .fold = q->fold,
					     .seed = r->seed,
					     .value = row_value,
					     .test = row_test,
					     .out = out_of_pipes,
					     .ctx = rs };
	int res = 0;

	if (rule->plan) {
		res = machine_open(r->store, &rs->machine, rule->plan, rs);
		rs->has_machine = res == 0;
	}
	if (res == 0 && q->kind == QUERY_SAMPLE) {
		uint32_t n = rule->q.max_samples_per_key;

		rs->sampler = malloc(sizeof(*rs->sampler));
		if (!rs->sampler)
			return err_new(-ENOMEM, "no memory for samples");
		sampler_init(rs->sampler, q->n_stages, q->n_keys, n ? n : 1, r->options.memory, r->seed);
	}
	if (res == 0 && q->n_pipes)
		res = pipes_new(q, &pipes, &rs->pipes);
	if (res == 0 && rule->n_all_lineages) {
		rs->lineage = calloc(rule->n_all_lineages, sizeof(*rs->lineage));
		if (!rs->lineage)
			return err_new(-ENOMEM, "no memory for processes");
		for (uint32_t i = 0; res == 0 && i < rule->n_all_lineages; i++)
			res = lineage_open(&rs->lineage[i]);
	}
	if (rs->pipes)
		rs->is_closed = pipes_are_closed(rs->pipes);
	return res;
}

static int rule_state_new(struct runner *r, const struct rule *rule, uint32_t number, struct rule_state **ret)
{
	struct rule_state *rs = calloc(1, sizeof(*rs));
	int res;

	if (!rs)
		return err_new(-ENOMEM, "no memory for a rule");
	rs->runner = r;
	rs->number = number;
	res = rule_state_open(r, rule, rs);
	if (res < 0) {
		rule_state_free(r, rs, rule);
		return res;
	}
	*ret = rs;
	return 0;
}

static int room_for_past(struct runner *r, uint32_t n)
{
	if (n <= r->cap_past)
		return 0;
	free(r->past);
	free(r->past_event);
	free(r->past_events);
	r->cap_past = 0;
	r->past = calloc(n, sizeof(*r->past));
	r->past_event = calloc(n, sizeof(*r->past_event));
	r->past_events = calloc(n, sizeof(*r->past_events));
	if (!r->past || !r->past_event || !r->past_events)
		return err_new(-ENOMEM, "no memory for %u stages", n);
	r->cap_past = n;
	return 0;
}

static int runner_init(struct runner *r, const struct runner_options *options, const struct runner_sink *sink)
{
	struct machine_store_options store = {
		.stats = &r->stats, .tell = tell_sequence, .allows = allows, .capture = capture, .ctx = r
	};
	int res;

	if (options)
		r->options = *options;
	if (!r->options.memory)
		r->options.memory = MEMORY_DEFAULT;
	r->sink = *sink;
	r->seed = r->options.seed ? r->options.seed : hash_seed();
	r->next_time_ns = never;
	r->expire_ns = INT64_MIN;
	buf_init(&r->keys, KEYS_TEXT_MAX);
	buf_init(&r->text, CAPTURE_TEXT_MAX);
	store.memory = r->options.memory;
	store.per_rule = r->options.per_rule;
	store.per_entity = r->options.per_entity;
	store.keeper = r->options.keeper;
	store.seed = r->seed;
	store.as_they_come = r->options.as_they_come;
	r->items = calloc(ITEMS_MAX, sizeof(*r->items));
	if (!r->items)
		return err_new(-ENOMEM, "no memory for a runner");
	res = machine_store_open(&store, &r->store);
	if (res == 0)
		res = predicate_scratch_new(&r->scratch);
	if (res == 0)
		res = predicate_scratch_new(&r->value_scratch);
	if (res == 0)
		res = predicate_scratch_new(&r->other_scratch);
	return res;
}

int runner_open(struct ruleset *set, const struct runner_options *options, const struct runner_sink *sink,
		struct runner **ret_runner)
{
	AUTO(runner) r = calloc(1, sizeof(*r));
	int res;

	if (!r)
		return err_new(-ENOMEM, "no memory for a runner");
	res = runner_init(r, options, sink);
	if (res == 0)
		res = runner_swap(r, set);
	if (res < 0)
		return res;
	*ret_runner = take(r);
	return 0;
}

void runner_free(struct runner *r)
{
	if (!r)
		return;
	for (size_t i = 0; r->set && i < r->set->n_rules; i++)
		rule_state_free(r, r->rule[i], &r->set->rule[i]);
	free(r->rule);
	ruleset_unref(r->set);
	machine_store_free(r->store);
	predicate_scratch_free(r->scratch);
	predicate_scratch_free(r->value_scratch);
	predicate_scratch_free(r->other_scratch);
	free(r->uses);
	free(r->tuple);
	free(r->hits);
	buf_free(&r->keys);
	buf_free(&r->text);
	free(r->past);
	free(r->past_event);
	free(r->past_events);
	free(r->items);
	free(r);
}

/* The old rule that means the same and was not taken yet; SIZE_MAX: none. */
static size_t find_old(const struct runner *r, const struct rule *rule, const bool *taken)
{
	for (size_t i = 0; r->set && i < r->set->n_rules; i++)
		if (!taken[i] && r->set->rule[i].same[0] == rule->same[0] && r->set->rule[i].same[1] == rule->same[1])
			return i;
	return SIZE_MAX;
}

static void take_over(struct rule_state *rs, const struct rule *rule, uint32_t number)
{
	rs->number = number;
	if (rs->has_machine)
		machine_replan(&rs->machine, rule->plan);
	if (rs->pipes)
		pipes_replace(rs->pipes, rule->q.query);
}

int runner_swap(struct runner *r, struct ruleset *set)
{
	size_t n_old = r->set ? r->set->n_rules : 0;
	auto_free struct rule_state **rules = calloc(set->n_rules + 1, sizeof(struct rule_state *));
	auto_free bool *taken = calloc(n_old + 1, sizeof(*taken));
	auto_free size_t *from = calloc(set->n_rules + 1, sizeof(*from));
	int res = rules && taken && from ? 0 : err_new(-ENOMEM, "no memory for %zu rules", set->n_rules);

	if (res == 0)
		res = room_for_past(r, set->max_stages);
	/* First all that can fail. */
	for (size_t i = 0; res == 0 && i < set->n_rules; i++) {
		from[i] = find_old(r, &set->rule[i], taken);
		if (from[i] == SIZE_MAX)
			res = rule_state_new(r, &set->rule[i], (uint32_t)i, &rules[i]);
		else
			taken[from[i]] = true;
	}
	if (res < 0) {
		for (size_t i = 0; rules && i < set->n_rules; i++)
			rule_state_free(r, rules[i], &set->rule[i]);
		return res;
	}
	for (size_t i = 0; i < set->n_rules; i++)
		if (from[i] != SIZE_MAX) {
			rules[i] = r->rule[from[i]];
			take_over(rules[i], &set->rule[i], (uint32_t)i);
		}
	for (size_t i = 0; i < n_old; i++)
		if (!taken[i])
			rule_state_free(r, r->rule[i], &r->set->rule[i]);
	free(r->rule);
	r->rule = take(rules);
	(void)ruleset_ref(set);
	ruleset_unref(r->set);
	r->set = set;
	return 0;
}

void runner_stats(const struct runner *r, struct runner_stats *ret_stats)
{
	struct runner_stats s = r->stats;

	machine_store_gauges(r->store, &s);
	for (size_t i = 0; i < r->set->n_rules; i++) {
		const struct rule_state *rs = r->rule[i];

		if (rs->sampler)
			s.evicted_samples += rs->sampler->refused;
		if (rs->pipes)
			s.evicted_rows += pipes_refused(rs->pipes);
		for (uint32_t k = 0; rs->lineage && k < r->set->rule[i].n_all_lineages; k++)
			s.evicted_processes += rs->lineage[k].evicted;
	}
	*ret_stats = s;
}
