/* SPDX-License-Identifier: Apache-2.0 */
/*
 * predicate - what a condition costs: one alone, and the conditions of many rules as one set.
 *
 * Rules and events come from ../shared/oracles (or SHRIKE_ORACLES), where they are; without them only the
 * conditions written here are measured. Each figure is the best of several rounds of one thread.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "base/err.h"
#include "bench/hot.h"
#include "event/json_event.h"
#include "predicate/set.h"
#include "rule/rule.h"
#include "sensors/sensor.h"
#include "tests/oracles/oracles.h"

enum { ROUNDS = 5, TIMES = 200000, EVENTS = 1500, RULES_MAX = 512, CONDITIONS_MAX = 2048 };

static struct json_event json[EVENTS];
static size_t n_json;
static struct query *queries[RULES_MAX];
static size_t n_queries;
static __u64 sink;

/* CPU time: on a machine that others use, the wall tells of them. */
static __u64 now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (__u64)t.tv_sec * 1000000000 + (__u64)t.tv_nsec;
}

static void report(const char *name, double value, const char *unit)
{
	printf("{\"name\":\"predicate.%s\",\"value\":%.4g,\"unit\":\"%s\"}\n", name, value, unit);
}

/* ---- one condition ------------------------------------------------------------------------------------ */

static double one(const struct event *ev, const char *text)
{
	struct predicate_input in = { .ev = ev };
	AUTO(predicate_scratch) s = NULL;
	AUTO(program) p = NULL;
	AUTO(query) q = NULL;
	double best = 1e18;
	struct diag d;

	if (condition_compile(text, strlen(text), NULL, &d, &q) < 0 ||
	    predicate_compile(q, q->stage[0].condition, &p) < 0 || predicate_scratch_new(&s) < 0) {
		err_print(stderr);
		exit(1);
	}
	for (int r = 0; r < ROUNDS; r++) {
		__u64 began = now_ns();
		double ns;

		for (int i = 0; i < TIMES; i++)
			sink += predicate_run(p, &in, s);
		ns = (double)(now_ns() - began) / TIMES;
		best = ns < best ? ns : best;
	}
	return best;
}

static void single_conditions(const struct event *ev, const char *of)
{
	static const struct {
		const char *name, *text;
	} rows[] = {
		{ "text", "process.executable == \"/usr/bin/bash\"" },
		{ "number", "process.pid > 4000" },
		{ "in_list", "process.name in (\"bash\", \"sh\", \"dash\", \"zsh\", \"ksh\", \"fish\", \"tcsh\")" },
		{ "wildcard", "process.executable like \"/tmp/*\"" },
		{ "wildcard_middle", "process.executable like \"*gnu*clang*\"" },
		{ "any_argument", "process.args == \"-x\"" },
		{ "regex", "process.executable regex \".*[0-9]{1,3}\\\\.[0-9]{1,3}.*\"" },
		{ "three", "process.pid > 4000 and process.executable like \"/usr/*\" and process.name == \"bash\"" },
		{ "arithmetic", "process.pid % 10 + 1 == 4" },
	};
	char name[64];

	for (size_t i = 0; i < countof(rows); i++) {
		(void)snprintf(name, sizeof(name), "%s.%s", of, rows[i].name);
		report(name, one(ev, rows[i].text), "ns");
	}
}

/* ---- many ------------------------------------------------------------------------------------------------ */

static void add_rules(struct oracle *o, const char *file)
{
	static const struct query_options options = { .dialect = RULE_ENDPOINT };
	const struct json_node *root, *list, *name, *rule;

	if (!oracle_next(o, file) || !(root = oracle_json(o)))
		return;
	list = root->type == JSON_OBJECT ? json_get(root, "rules") : root;
	for (rule = json_first(list, &name); rule && n_queries < RULES_MAX; rule = json_next(list, rule, &name)) {
		const char *text = oracle_string(rule, "query");
		struct diag d;

		if (query_compile(text, strlen(text), &options, &d, &queries[n_queries]) == 0)
			n_queries++;
	}
}

/* The object that a line has under "event": the last member, or followed by none with such a name. */
static void add_event(const char *line, size_t n)
{
	static const char key[] = "\"event\":{";
	const char *at = memmem(line, n, key, strlen(key));
	size_t len;

	if (!at || n_json == EVENTS)
		return;
	at += strlen(key) - 1;
	len = n - (size_t)(at - line) - 1;
	json_event_init(&json[n_json], false);
	if (json_event_parse(&json[n_json], at, len) == 0)
		n_json++;
}

/* Every so many lines, so that events of all rules are there. */
static void add_events(struct oracle *o)
{
	size_t i = 0;

	if (!oracle_next(o, "synth-elastic-single.ndjson"))
		return;
	for (const char *line = o->text, *end; (end = strchr(line, '\n')); line = end + 1)
		if (i++ % 8 == 0)
			add_event(line, (size_t)(end - line));
}

/* The conditions of so many rules, those between the first and the last. */
static struct predicate_set *set_of(size_t n_rules, double *ret_ms)
{
	AUTO(predicate_set_builder) b = NULL;
	AUTO(predicate_set) set = NULL;
	__u64 began = now_ns();
	uint32_t index;

	if (predicate_set_builder_new(&b) < 0)
		exit(1);
	for (size_t i = 0; i < n_rules; i++) {
		const struct query *q = queries[i * n_queries / n_rules];

		for (uint32_t k = 0; k < q->n_stages; k++)
			if (!predicate_uses_events(q, q->stage[k].condition) &&
			    predicate_set_builder_add(b, q, q->stage[k].condition, q->stage[k].category, &index) < 0) {
				err_print(stderr);
				exit(1);
			}
	}
	if (predicate_set_build(b, &set) < 0) {
		err_print(stderr);
		exit(1);
	}
	*ret_ms = (double)(now_ns() - began) / 1e6;
	return take(set);
}

static double run_over(const struct predicate_set *set, const struct event *events, size_t n)
{
	AUTO(predicate_scratch) s = NULL;
	const uint32_t *list;
	double best = 1e18;

	if (predicate_scratch_new(&s) < 0)
		exit(1);
	for (int r = 0; r < ROUNDS; r++) {
		__u64 began = now_ns();
		size_t times = 0;
		double ns;

		while (times < 20000)
			for (size_t i = 0; i < n; i++, times++) {
				struct predicate_input in = { .ev = &events[i] };

				sink += predicate_set_run(set, &in, s, &list);
			}
		ns = (double)(now_ns() - began) / (double)times;
		best = ns < best ? ns : best;
	}
	return best;
}

static void many_conditions(const struct event *typed)
{
	static struct event events[EVENTS];
	const size_t counts[] = { 10, 100, n_queries };
	double first = 0, ms, ns, ns_typed;

	for (size_t i = 0; i < n_json; i++)
		events[i] = json_event_as_event(&json[i]);
	for (size_t i = 0; i < countof(counts); i++) {
		AUTO(predicate_set) set = set_of(counts[i], &ms);
		struct predicate_set_stats stats;
		char name[64];

		predicate_set_stats(set, &stats);
		ns = run_over(set, events, n_json);
		ns_typed = run_over(set, typed, 1);
		first = i ? first : ns;
		(void)snprintf(name, sizeof(name), "rules_%zu", counts[i]);
		printf("{\"name\":\"predicate.%s\",\"value\":%.4g,\"unit\":\"events/s\",\"ns\":%.0f,\"typed_ns\":%.0f,"
		       "\"times_the_first\":%.2f,\"conditions\":%u,\"always\":%u,\"literals\":%u,\"fields\":%u,"
		       "\"bytes\":%zu,\"compile_ms\":%.0f}\n",
		       name, 1e9 / ns, ns, ns_typed, ns / first, stats.predicates, stats.always, stats.literals,
		       stats.fields, stats.bytes, ms);
	}
}

/* Usage: bench_predicate [rules]    rules: only those of the oracles, nothing of single conditions */
int main(int argc, char **argv)
{
	bool all = argc < 2 || strcmp(argv[1], "rules") != 0;
	struct event typed;
	auto_oracle struct oracle o;

	if (sensor_kinds_register() < 0)
		return 1;
	typed = hot_exec();
	if (!typed.kind)
		return 1;
	if (all)
		single_conditions(&typed, "record");
	if (!oracle_open(&o, "elastic-linux-eql.json")) {
		printf("{\"name\":\"predicate.rules\",\"skipped\":\"no oracles here\"}\n");
		return 0;
	}
	add_rules(&o, "elastic-linux-eql.json");
	add_rules(&o, "elastic-endpoint-linux.json");
	add_events(&o);
	if (n_json) {
		struct event first = json_event_as_event(&json[0]);

		if (all)
			single_conditions(&first, "json");
		many_conditions(&typed);
	}
	for (size_t i = 0; i < n_json; i++)
		json_event_free(&json[i]);
	for (size_t i = 0; i < n_queries; i++)
		query_free(queries[i]);
	return sink == 1;
}
