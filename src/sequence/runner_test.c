/* SPDX-License-Identifier: Apache-2.0 */
#include "sequence/runner.h"
#include <stdlib.h>
#include "base/err.h"
#include "base/hash.h"
#include "base/test.h"
#include "event/json_event.h"
#include "rule/rule.h"

enum { QUERIES = 8, TEXT = 1 << 20 };

/* ---- a runner over events that are written as text ------------------------------------------- */

struct rig {
	struct query *query[QUERIES];
	struct runner_query queries[QUERIES];
	size_t n;
	struct ruleset *set;
	struct runner *runner;
	struct runner_options options;
	struct buf out;
	struct json_event json;
	uint64_t index;
	int64_t time_ns;
	bool with_keys;
};

static void put_value(struct buf *out, const struct value *v)
{
	switch (v->type) {
	case VALUE_NULL:
		buf_str(out, "null");
		break;
	case VALUE_BOOL:
		buf_str(out, v->b ? "true" : "false");
		break;
	case VALUE_INT:
		buf_i64(out, v->i);
		break;
	case VALUE_UINT:
		buf_u64(out, v->u);
		break;
	case VALUE_FLOAT:
		buf_printf(out, "%g", v->f);
		break;
	case VALUE_STR:
		buf_add(out, v->s.p, v->s.n);
		break;
	case VALUE_IP:
		buf_str(out, "ip");
		break;
	case VALUE_LIST:
		buf_str(out, "list");
		break;
	}
}

/* "0 2": an event query's; "[k1,k2] 0 - 2": a sequence's with keys; "7x 0.5 [k]": a counted row. */
static void put(void *ctx, const struct runner_match *m)
{
	struct rig *rig = ctx;

	if (rig->out.len)
		buf_str(&rig->out, "; ");
	if (rig->n > 1)
		buf_printf(&rig->out, "%s: ", m->query->id);
	if (m->counted)
		buf_printf(&rig->out, "%llux %g ", (unsigned long long)m->count, m->percent);
	if (rig->with_keys || m->kind == RUNNER_ROW) {
		buf_char(&rig->out, '[');
		for (size_t i = 0; i < m->n_keys; i++) {
			buf_str(&rig->out, i ? "," : "");
			put_value(&rig->out, &m->keys[i]);
		}
		buf_str(&rig->out, m->n_slots ? "] " : "]");
	}
	for (size_t i = 0; i < m->n_slots; i++)
		if (m->slots[i].missing)
			buf_str(&rig->out, i ? " -" : "-");
		else
			buf_printf(&rig->out, "%s%llu", i ? " " : "", (unsigned long long)m->slots[i].handle);
}

/* Queries are separated by newlines. */
static int rig_queries(struct rig *rig, enum rule_dialect dialect, const char *text, uint32_t samples,
		       const struct ruleset_options *options, struct ruleset **ret_set)
{
	static const char *const ids[QUERIES] = { "q0", "q1", "q2", "q3", "q4", "q5", "q6", "q7" };
	const struct query_options q = { .dialect = dialect, .category_field = "type" };

	for (const char *p = text, *end; *p && rig->n < QUERIES; p = *end ? end + 1 : end) {
		struct diag diag;

		end = strchrnul(p, '\n');
		if (query_compile(p, (size_t)(end - p), &q, &diag, &rig->query[rig->n]) < 0) {
			test_fail(T_HERE, "%.*s: %s", (int)(end - p), p, diag.message);
			return -EINVAL;
		}
		rig->queries[rig->n] = (struct runner_query) { ids[rig->n], rig->query[rig->n], samples };
		rig->n++;
	}
	return ruleset_new(rig->queries, rig->n, options, ret_set);
}

static bool rig_open(struct rig *rig, enum rule_dialect dialect, const char *text, uint32_t samples)
{
	const struct runner_sink sink = { put, rig };

	buf_init(&rig->out, TEXT);
	json_event_init(&rig->json, false);
	rig->options.memory = rig->options.memory ? rig->options.memory : 1 << 20;
	if (rig_queries(rig, dialect, text, samples, NULL, &rig->set) < 0 ||
	    runner_open(rig->set, &rig->options, &sink, &rig->runner) < 0) {
		test_fail(T_HERE, "%s: %s", text, err_trail());
		return false;
	}
	return true;
}

static void rig_close(struct rig *rig)
{
	runner_free(rig->runner);
	ruleset_unref(rig->set);
	for (size_t i = 0; i < QUERIES; i++)
		query_free(rig->query[i]);
	json_event_free(&rig->json);
	buf_free(&rig->out);
}
#define auto_rig __attribute__((cleanup(rig_close)))

/* One event: "a k=1 t=5" is {"type":"a","k":1} at 5 s; without t, a second after the one before. {..} is a list. */
static void feed_one(struct rig *rig, const char *p, size_t n)
{
	auto_buf struct buf json = { .max = TEXT };
	struct event ev;
	const char *end = p + n;
	bool first = true;

	rig->time_ns += 1000000000;
	buf_str(&json, "{\"type\":\"");
	for (; p < end && *p != ' '; p++)
		buf_char(&json, *p);
	buf_char(&json, '"');
	while (p < end) {
		const char *name = ++p, *eq, *stop;

		eq = memchr(p, '=', (size_t)(end - p));
		require(eq);
		stop = memchr(eq, ' ', (size_t)(end - eq));
		p = stop ? stop : end;
		if (eq - name == 1 && *name == 't') {
			rig->time_ns = strtoll(eq + 1, NULL, 10) * 1000000000;
			continue;
		}
		buf_printf(&json, ",\"%.*s\":", (int)(eq - name), name);
		first = true;
		if (eq[1] == '{')
			buf_char(&json, '[');
		for (const char *v = eq[1] == '{' ? eq + 2 : eq + 1; v < p && *v != '}';) {
			const char *to = v;

			while (to < p && *to != ',' && *to != '}')
				to++;
			if (!first)
				buf_char(&json, ',');
			first = false;
			if ((*v >= '0' && *v <= '9') || (to - v == 4 && !memcmp(v, "null", 4)))
				buf_add(&json, v, (size_t)(to - v));
			else
				buf_printf(&json, "\"%.*s\"", (int)(to - v), v);
			v = to + (to < p && *to == ',');
		}
		if (eq[1] == '{')
			buf_char(&json, ']');
	}
	buf_char(&json, '}');
	require_ok(json_event_parse(&rig->json, buf_text(&json), json.len));
	ev = json_event_as_event(&rig->json);
	runner_event(rig->runner,
		     &(struct runner_event) { .event = &ev, .time_ns = rig->time_ns, .handle = rig->index++ });
}

/* Events are separated by "; ". */
static void feed(struct rig *rig, const char *events)
{
	for (const char *p = events; *p;) {
		const char *end = strstr(p, "; ");
		size_t n = end ? (size_t)(end - p) : strlen(p);

		feed_one(rig, p, n);
		p += n + (end ? 2 : 0);
	}
}

/* ---- what queries mean ----------------------------------------------------------------------- */

struct row {
	const char *name, *query, *events, *want;
	enum rule_dialect dialect;
	uint32_t samples;
};

static void run_row(const struct row *r, bool with_keys)
{
	auto_rig struct rig rig = { .with_keys = with_keys };

	if (!rig_open(&rig, r->dialect, r->query, r->samples))
		return;
	feed(&rig, r->events);
	runner_finish(rig.runner);
	check_str(buf_text(&rig.out), r->want);
	check(!runner_wants_more(rig.runner));
}

TEST(single_events_are_told_in_the_order_of_rules)
{
	static const struct row rows[] = {
		{ "one", "a where k == 1", "a k=1; a k=2; b k=1; a k=1", "0; 3" },
		{ "two that share a condition", "a where k == 1\nany where k == 1\na where k == 1", "b k=1; a k=1",
		  "q1: 0; q0: 1; q1: 1; q2: 1" },
		{ "head", "a where true | head 2", "a; a; a", "0; 1" },
		{ "tail", "a where true | tail 2", "a; a; a", "1; 2" },
		{ "tail of fewer", "a where true | tail 5", "a; b", "0" },
		{ "head, then tail", "a where true | head 3 | tail 1", "a; a; a; a", "2" },
		{ "tail, then head", "a where true | tail 3 | head 1", "a; a; a; a", "1" },
	};

	for_each_row (r, rows)
		run_row(r, false);
}

TEST(join_keys_decide_what_belongs_together)
{
	static const struct row rows[] = {
		{ "by one", "sequence by k [a where true] [b where true]", "a k=1; a k=2; b k=1; b k=3", "[1] 0 2" },
		{ "by two", "sequence by k, m [a where true] [b where true]", "a k=1 m=x; b k=1 m=y; b k=1 m=x",
		  "[1,x] 0 2" },
		{ "by each stage's own", "sequence [a where true] by k [b where true] by m", "a k=1; b m=2; b m=1",
		  "[1] 0 2" },
		{ "head's and stage's", "sequence by k [a where true] by x [b where true] by y",
		  "a k=1 x=5; b k=1 y=6; b k=1 y=5", "[1,5] 0 2" },
		{ "case counts", "sequence by k [a where true] [b where true]", "a k=x; b k=X; b k=x", "[x] 0 2" },
		{ "a number is no text", "sequence [a where true] by k [b where true] by k", "a k=1; b k=x; b k=1",
		  "[1] 0 2" },
		{ "one that is not there takes no part", "sequence by k [a where true] [b where true]",
		  "a; b; a k=1; b k=1", "[1] 2 3" },
		{ "an optional one that is not there joins its like", "sequence by ?k [a where true] [b where true]",
		  "a; b k=1; b", "[null] 0 2" },
		{ "a list is each of its values", "sequence by k [a where true] [b where true]",
		  "a k={1,2}; b k={2,3,1}", "[2] 0 1; [1] 0 1" },
		{ "a value twice is once", "sequence by k [a where true] [b where true]", "a k={1,1}; b k={1,1}",
		  "[1] 0 1" },
		{ "nulls in a list are not there", "sequence by k [a where true] [b where true]", "a k={null,1}; b k=1",
		  "[1] 0 1" },
		{ "lists in two keys: each with each", "sequence by k, m [a where true] [b where true]",
		  "a k={1,2} m={x,y}; b k=2 m={y,z}; b k={1,2} m=x", "[2,y] 0 1; [1,x] 0 2; [2,x] 0 2" },
		{ "a list, and one that is optional and not there", "sequence by k, ?m [a where true] [b where true]",
		  "a k={1,2}; b k=2", "[2,null] 0 1" },
		{ "until by its own key", "sequence [a where true] by k [b where true] by k until [c where true] by m",
		  "a k=1; a k=2; c m=1; b k=1; b k=2", "[2] 1 4" },
		{ "runs", "sequence by k with maxspan=1m [a where true] with runs=3 [b where true]",
		  "a k=1; a k=1; a k=2; a k=1; b k=2; b k=1", "[1] 0 1 3 5" },
		{ "missing", "sequence by k with maxspan=1m [a where true] ![b where true] [c where true]",
		  "a k=1; a k=2; b k=1; c k=1; c k=2", "[2] 1 - 4" },
		{ "missing at the end", "sequence by k with maxspan=5s [a where true] ![b where true]",
		  "a k=1 t=1; a k=2 t=2; b k=2 t=7; a k=3 t=20", "[1] 0 -; [3] 3 -" },
		{ "maxspan", "sequence with maxspan=2s [a where true] [b where true]", "a t=1; b t=3; a t=4; b t=7",
		  "[] 0 1" },
	};

	for_each_row (r, rows)
		run_row(r, true);
}

TEST(a_stage_may_ask_for_the_events_before_it)
{
	static const struct row rows[] = {
		{ "of another's field", "sequence by k [a where true] as e0 [b where m != e0.m]",
		  "a k=1 m=x; b k=1 m=x; b k=1 m=y", "0 2" },
		{ "what does not fit leaves it waiting",
		  "sequence by k [a where true] as e0 [b where m == e0.m] [c where true]",
		  "a k=1 m=x; b k=1 m=y; b k=1 m=x; c k=1", "0 2 3" },
		{ "each key has its own", "sequence by k [a where true] as e0 [b where m == e0.m]",
		  "a k=1 m=x; a k=2 m=y; b k=1 m=y; b k=2 m=y; b k=1 m=x", "1 3; 0 4" },
		{ "with a condition beside it",
		  "sequence [a where true] as e0 [b where x == 1 and startsWith(m, e0.m) and y == 2]",
		  "a m=q; b m=qq x=1 y=3; b m=qq x=2 y=2; b m=qq x=1 y=2", "0 3" },
	};

	for_each_row (r, rows)
		run_row(r, false);
}

TEST(samples_come_at_the_end_by_key)
{
	static const struct row rows[] = {
		{ "any order in time", "sample by k [a where true] [b where true]", "b k=1; a k=1", "[1] 1 0" },
		{ "keys ascend", "sample by k [a where true] [b where true]",
		  "a k=2; b k=2; a k=10; b k=10; a k=1; b k=1", "[1] 4 5; [2] 0 1; [10] 2 3" },
		{ "null is first", "sample by ?k [a where true] [b where true]", "a k=1; b k=1; a; b",
		  "[null] 2 3; [1] 0 1" },
		{ "an event fills one slot only", "sample by k [a where true] [a where true]", "a k=1; a k=2; a k=2",
		  "[2] 1 2" },
		{ "one sample a key", "sample by k [a where true] [b where true]", "a k=1; a k=1; b k=1", "[1] 0 2" },
		{ "as many as are wanted", "sample by k [a where true] [b where true]", "a k=1; a k=1; a k=1; b k=1",
		  "[1] 0 3; [1] 1 3", RULE_ELASTIC, 2 },
		{ "no more than there are", "sample by k [a where true] [b where true]", "a k=1; b k=1", "[1] 0 1",
		  RULE_ELASTIC, 9 },
		{ "the other way round is another", "sample by k [a where true] [a where true]", "a k=1; a k=1",
		  "[1] 0 1; [1] 1 0", RULE_ELASTIC, 9 },
		{ "a slot that nothing fills", "sample by k [a where true] [b where true]", "a k=1; b k=2", "" },
		{ "head", "sample by k [a where true] [b where true] | head 1", "a k=1; b k=1; a k=2; b k=2",
		  "[1] 0 1" },
	};

	for_each_row (r, rows)
		run_row(r, true);
}

TEST(the_older_dialect_has_pipes)
{
	static const struct row rows[] = {
		{ "filter", "a where true | filter k == 2", "a k=1; a k=2", "1", RULE_ENDGAME },
		{ "unique", "a where true | unique k", "a k=1; a k=2; a k=1; a k=X; a k=x", "0; 1; 3", RULE_ENDGAME },
		{ "unique by two", "a where true | unique k, m", "a k=1 m=1; a k=1 m=2; a k=1 m=1", "0; 1",
		  RULE_ENDGAME },
		{ "sort", "a where true | sort k", "a k=10; a k=9; a; a k=x", "2; 1; 0; 3", RULE_ENDGAME },
		{ "sort keeps what is equal", "a where true | sort k", "a k=2; a k=1; a k=2; a k=1", "1; 3; 0; 2",
		  RULE_ENDGAME },
		{ "count", "a where true | count", "a; b; a", "2x 1 []", RULE_ENDGAME },
		{ "count of nothing", "a where true | count", "b", "0x 1 []", RULE_ENDGAME },
		{ "count by", "a where true | count k", "a k=x; a k=y; a k=X; a k=z",
		  "1x 0.25 [y]; 1x 0.25 [z]; 2x 0.5 [x]", RULE_ENDGAME },
		{ "count, then filter", "a where true | count k | filter count > 1", "a k=x; a k=y; a k=x",
		  "2x 0.666667 [x]", RULE_ENDGAME },
		{ "unique_count", "a where true | unique_count k", "a k=x; a k=y; a k=x; a k=x", "3x 0.75 0; 1x 0.25 1",
		  RULE_ENDGAME },
		{ "unique_count, then filter", "a where true | unique_count k | filter percent < 0.5 and m == 7",
		  "a k=x m=7; a k=y m=7; a k=x; a k=x", "1x 0.25 1", RULE_ENDGAME },
		{ "head closes", "a where true | head 2 | count", "a; a; a", "2x 1 []", RULE_ENDGAME },
		{ "of a sequence's events", "sequence by k [a where true] [b where true] | filter events[1].m == 5",
		  "a k=1; b k=1 m=4; a k=1; b k=1 m=5", "2 3", RULE_ENDGAME },
		{ "sort of sequences", "sequence by k [a where true] [b where true] | sort events[1].m",
		  "a k=1; b k=1 m=9; a k=1; b k=1 m=5", "2 3; 0 1", RULE_ENDGAME },
	};

	for_each_row (r, rows)
		run_row(r, false);
}

TEST(the_older_dialect_joins_folds_and_forks)
{
	static const struct row rows[] = {
		{ "a join has no order", "join by k [a where true] [b where true]", "b k=1; a k=2; a k=1", "2 0",
		  RULE_ENDGAME },
		{ "the first of each stays", "join by k [a where true] [b where true]", "a k=1; a k=1; b k=1", "0 2",
		  RULE_ENDGAME },
		{ "until empties it", "join by k [a where true] [b where true] until [c where true]",
		  "a k=1; c k=1; b k=1", "", RULE_ENDGAME },
		{ "keys fold", "sequence by k [a where true] [b where true]", "a k=x; b k=X", "0 1", RULE_ENDGAME },
		{ "null joins null", "sequence by k [a where true] [b where true]", "a; b k=1; b", "0 2",
		  RULE_ENDGAME },
		{ "a list is one value", "sequence by k [a where true] [b where true]", "a k={1,2}; b k=1; b k={1,2}",
		  "0 2", RULE_ENDGAME },
		{ "fork", "sequence by k [a where true] [b where true] fork=true [c where true]",
		  "a k=1; b k=1; c k=1; b k=1; c k=1", "0 1 2; 0 3 4", RULE_ENDGAME },
	};

	for_each_row (r, rows)
		run_row(r, false);
}

TEST(lineage_is_learned_from_the_events)
{
	static const char tree[] = "process pid=10 ppid=1 subtype=create name=sh; "
				   "process pid=11 ppid=10 subtype=create name=ls; "
				   "process pid=12 ppid=11 subtype=create name=cat; "
				   "file pid=10; file pid=11; file pid=12; "
				   "process pid=11 ppid=10 subtype=terminate name=ls; file pid=11; "
				   "process pid=13 ppid=11 subtype=create name=late; file pid=13";
	static const struct row rows[] = {
		{ "child", "file where child of [process where name == \"sh\"]", tree, "4; 7", RULE_ENDGAME },
		{ "descendant", "file where descendant of [process where name == \"sh\"]", tree, "4; 5; 7",
		  RULE_ENDGAME },
		{ "event", "file where event of [process where name == \"sh\"]", tree, "3", RULE_ENDGAME },
		{ "not", "file where not descendant of [process where name == \"sh\"]", tree, "3; 9", RULE_ENDGAME },
		{ "within another", "file where child of [process where child of [process where name == \"sh\"]]", tree,
		  "5", RULE_ENDGAME },
		{ "two rules, each its own",
		  "file where child of [process where name == \"sh\"]\nfile where child of [process where name == "
		  "\"ls\"]",
		  tree, "q0: 4; q1: 5; q0: 7", RULE_ENDGAME },
	};

	for_each_row (r, rows)
		run_row(r, false);
}

TEST(descendants_are_known_by_entity_in_the_endpoints_dialect)
{
	static const struct row rows[] = {
		{ "told by any event", "file where descendant of [process where process.name == \"sh\"]",
		  "process process.entity_id=p1 process.name=sh; process process.entity_id=p2 "
		  "process.parent.entity_id=p1; "
		  "file process.entity_id=p3 process.parent.entity_id=p2; file process.entity_id=p4 "
		  "process.parent.entity_id=p0",
		  "2", RULE_ENDPOINT },
	};

	for_each_row (r, rows)
		run_row(r, false);
}

/* ---- rulesets -------------------------------------------------------------------------------- */

TEST(what_gives_nothing_before_the_end_is_refused_where_there_is_none)
{
	static const struct {
		const char *name, *query;
		enum rule_dialect dialect;
		int want;
	} rows[] = {
		{ "sample", "sample by k [a where true] [b where true]", RULE_ELASTIC, -EINVAL },
		{ "tail", "a where true | tail 1", RULE_ELASTIC, -EINVAL },
		{ "head, then tail", "a where true | head 1 | tail 1", RULE_ELASTIC, -EINVAL },
		{ "count", "a where true | count", RULE_ENDGAME, -EINVAL },
		{ "sort", "a where true | sort k", RULE_ENDGAME, -EINVAL },
		{ "head", "a where true | head 1", RULE_ELASTIC, 0 },
		{ "unique", "a where true | unique k", RULE_ENDGAME, 0 },
	};

	for_each_row (r, rows) {
		struct rig rig = { 0 };
		AUTO(ruleset) set = NULL;

		check_int(rig_queries(&rig, r->dialect, r->query, 0, &(struct ruleset_options) { .endless = true },
				      &set),
			  r->want);
		if (r->want < 0)
			check_has(err_trail(), "q0");
		query_free(rig.query[0]);
	}
}

static const char seq_ab[] = "sequence by k [a where true] [b where true]";

/* Runs the first queries, changes to the second ones in the middle, and tells what comes of it. */
static void swap(const char *before, const char *events, const char *after, const char *rest, const char *want)
{
	auto_rig struct rig rig = { 0 };
	struct rig other = { 0 };
	AUTO(ruleset) set = NULL;

	if (!rig_open(&rig, RULE_ELASTIC, before, 0))
		return;
	feed(&rig, events);
	require_ok(rig_queries(&other, RULE_ELASTIC, after, 0, NULL, &set));
	require_ok(runner_swap(rig.runner, set));
	/* What the old rules were made of may go. */
	for (size_t i = 0; i < rig.n; i++)
		query_free(take(rig.query[i]));
	ruleset_unref(take(rig.set));
	feed(&rig, rest);
	runner_finish(rig.runner);
	check_str(buf_text(&rig.out), want);
	runner_free(take(rig.runner));
	ruleset_unref(take(set));
	for (size_t i = 0; i < QUERIES; i++)
		query_free(other.query[i]);
}

TEST(sequences_in_flight_survive_new_rules_when_their_own_is_the_same)
{
	static const struct {
		const char *name, *before, *events, *after, *rest, *want;
	} rows[] = {
		{ "the same", seq_ab, "a k=1", seq_ab, "b k=1", "0 1" },
		{ "written otherwise, meaning the same", seq_ab, "a k=1",
		  "sequence by k [a where true]   [b where true]", "b k=1", "0 1" },
		{ "another", seq_ab, "a k=1", "sequence by k [a where true] [b where m == null]", "b k=1", "" },
		{ "another key", seq_ab, "a k=1 m=1", "sequence by m [a where true] [b where true]", "b k=1 m=1", "" },
		{ "another span", seq_ab, "a k=1", "sequence by k with maxspan=9m [a where true] [b where true]",
		  "b k=1", "" },
		{ "a pipe's count goes on", "a where true | head 2", "a; b", "a where true | head 2", "a; a", "0; 2" },
	};

	for_each_row (r, rows)
		swap(r->before, r->events, r->after, r->rest, r->want);
}

TEST(rules_may_change_places)
{
	auto_rig struct rig rig = { 0 };
	struct rig other = { 0 };
	AUTO(ruleset) set = NULL;

	if (!rig_open(&rig, RULE_ELASTIC,
		      "sequence by k [a where true] [b where true]\nsequence by k [c where true] [d where true]", 0))
		return;
	feed(&rig, "a k=1; c k=2");
	/* Ids are part of what a rule is: under another one it begins anew. */
	require_ok(rig_queries(&other, RULE_ELASTIC,
			       "sequence by k [x where true] [y where true]\n"
			       "sequence by k [c where true] [d where true]\na where true",
			       0, NULL, &set));
	require_ok(runner_swap(rig.runner, set));
	feed(&rig, "b k=1; d k=2; a");
	check_str(buf_text(&rig.out), "q1: 1 3; q2: 4");
	runner_free(take(rig.runner));
	ruleset_unref(take(set));
	for (size_t i = 0; i < QUERIES; i++)
		query_free(other.query[i]);
}

/* ---- the rest -------------------------------------------------------------------------------- */

TEST(a_runner_says_when_more_events_change_nothing)
{
	auto_rig struct rig rig = { 0 };

	if (!rig_open(&rig, RULE_ELASTIC, "a where true | head 1\nb where true | head 1", 0))
		return;
	feed(&rig, "a");
	check(runner_wants_more(rig.runner));
	feed(&rig, "b");
	check(!runner_wants_more(rig.runner));
}

TEST(a_verdict_leaves_no_trace)
{
	auto_rig struct rig rig = { 0 };
	const struct runner_sink sink = { put, &rig };
	struct runner_stats stats;
	static const char json[] = "{\"type\":\"a\",\"k\":1}";
	struct event ev;

	if (!rig_open(&rig, RULE_ELASTIC, "a where k == 1\nsequence by k [a where true] [b where true]\na where k == 2",
		      0))
		return;
	require_ok(json_event_parse(&rig.json, json, sizeof(json) - 1));
	ev = json_event_as_event(&rig.json);
	check_int(runner_judge(rig.runner, &ev, &sink), 1);
	check_str(buf_text(&rig.out), "q0: 0");
	runner_stats(rig.runner, &stats);
	check_int(stats.events, 0);
	check_int(stats.keys, 0);
	feed(&rig, "b k=1");
	check_str(buf_text(&rig.out), "q0: 0");
}

TEST(time_alone_tells_what_waited_for_it)
{
	auto_rig struct rig rig = { 0 };

	if (!rig_open(&rig, RULE_ELASTIC, "sequence by k with maxspan=5s [a where true] ![b where true]", 0))
		return;
	feed(&rig, "a k=1 t=10");
	runner_time(rig.runner, 15000000000);
	check_str(buf_text(&rig.out), "");
	runner_time(rig.runner, 15000000001);
	check_str(buf_text(&rig.out), "0 -");
}

TEST(events_out_of_order_are_counted)
{
	auto_rig struct rig rig = { 0 };
	struct runner_stats stats;

	if (!rig_open(&rig, RULE_ELASTIC, "sequence with maxspan=5s [a where true] [b where true]", 0))
		return;
	feed(&rig, "a t=10; b t=3");
	check_str(buf_text(&rig.out), "0 1");
	runner_stats(rig.runner, &stats);
	check_int(stats.out_of_order, 1);
	check_int(stats.events, 2);
	check_int(stats.matches, 1);
}

/* A key that is too long, and too many combinations of keys. */
TEST(keys_have_bounds)
{
	auto_rig struct rig rig = { .options = { .memory = 16 << 20 } };
	auto_buf struct buf text = { .max = 1 << 20 };
	struct runner_stats stats;

	if (!rig_open(&rig, RULE_ELASTIC, "sequence by k, ?m [a where true] [b where true]", 0))
		return;
	buf_str(&text, "a k=");
	for (int i = 0; i < 70000; i++)
		buf_char(&text, 'x');
	feed_one(&rig, buf_text(&text), text.len);
	runner_stats(rig.runner, &stats);
	check_int(stats.keys_too_long, 1);
	check_int(stats.keys, 0);
	buf_clear(&text);
	buf_str(&text, "a k={0");
	for (int i = 1; i < 60; i++)
		buf_printf(&text, ",%d", i);
	buf_str(&text, "} m={0");
	for (int i = 1; i < 60; i++)
		buf_printf(&text, ",%d", i);
	buf_char(&text, '}');
	feed_one(&rig, buf_text(&text), text.len);
	runner_stats(rig.runner, &stats);
	check_int(stats.tuples_cut, 60 * 60 - RUNNER_TUPLES_MAX);
	check_int(stats.keys, RUNNER_TUPLES_MAX);
}

TEST(the_seed_changes_no_result)
{
	char want[256] = "";

	for (uint64_t seed = 1; seed < 20; seed++) {
		auto_rig struct rig rig = { .options = { .seed = seed * HASH_K1 }, .with_keys = true };

		if (!rig_open(&rig, RULE_ELASTIC,
			      "sequence by k [a where true] [b where true]\nsample by k [a where true] [b where true]",
			      0))
			return;
		feed(&rig, "a k={3,1,2}; a k=9; b k={2,9,1}; b k=3");
		runner_finish(rig.runner);
		if (!*want)
			(void)snprintf(want, sizeof(want), "%s", buf_text(&rig.out));
		check_str(buf_text(&rig.out), want);
	}
	check_has(want, "q0: [2] 0 2; q0: [9] 1 2; q0: [1] 0 2");
}

TEST(metrics_name_each_counter_once)
{
	check_int(runner_n_metrics * sizeof(uint64_t), sizeof(struct runner_stats));
	for (size_t i = 0; i < runner_n_metrics; i++)
		for (size_t k = 0; k < i; k++)
			check(runner_metrics[i].off != runner_metrics[k].off);
}
