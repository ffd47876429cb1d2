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
#include <unistd.h>
#include "base/err.h"
#include "bench/hot.h"
#include "event/json_event.h"
#include "predicate/module.h"
#include "predicate/set.h"
#include "rule/rule.h"
#include "rulebook/book.h"
#include "sensors/sensor.h"
#include "tests/oracles/oracles.h"

enum { ROUNDS = 5, TIMES = 200000, EVENTS = 1500, RULES_MAX = 512, CONDITIONS_MAX = 2048 };

static struct json_event json[EVENTS];
static size_t n_json;
static struct query *queries[RULES_MAX]; /* of the oracles, then of our own book, which owns them */
static size_t n_queries;
static __u64 sink;
static bool has_wasm;

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

/* Can modules be made here? */
static bool wasm_is_there(void)
{
	AUTO(predicate_set_builder) b = NULL;
	AUTO(predicate_set) set = NULL;

	if (predicate_set_builder_new(&b) < 0)
		exit(1);
	predicate_set_builder_backend(b, PREDICATE_WASM);
	return predicate_set_build(b, &set) == 0;
}

/* ---- one module ------------------------------------------------------------------------------------- */

enum { IN_MODULE = 64 };

static double vm_round(const struct program *p, const struct predicate_input *in, struct predicate_scratch *s)
{
	__u64 began = now_ns();

	for (int i = 0; i < TIMES / IN_MODULE; i++) {
		if (!program_begin(p, in, s))
			exit(1);
		for (uint32_t k = 0; k < program_count(p); k++)
			sink += program_test(p, k, s);
	}
	return (double)(now_ns() - began) / ((double)(TIMES / IN_MODULE) * program_count(p));
}

static double module_round(const struct program *p, struct module *m, const struct predicate_input *in,
			   struct predicate_scratch *s, const uint32_t *all)
{
	uint32_t is_true[IN_MODULE], n;
	__u64 began = now_ns();

	for (int i = 0; i < TIMES / IN_MODULE; i++) {
		if (!program_begin(p, in, s) || !module_begin(m, s) ||
		    !module_run(m, s, all, program_count(p), is_true, &n))
			exit(1);
		sink += n;
	}
	return (double)(now_ns() - began) / ((double)(TIMES / IN_MODULE) * program_count(p));
}

/* So many conditions of one form, all of them asked of the same event: what one of them costs. */
static void in_one_module(const struct event *ev, const char *name, const char *form)
{
	struct predicate_input in = { .ev = ev };
	AUTO(program_builder) b = NULL;
	AUTO(predicate_scratch) s = NULL;
	AUTO(program) p = NULL;
	AUTO(module) m = NULL;
	struct query *q[IN_MODULE];
	double vm = 1e18, wasm = 1e18;
	uint32_t all[IN_MODULE];
	struct diag d;

	if (program_builder_new(&b) < 0 || predicate_scratch_new(&s) < 0)
		exit(1);
	for (unsigned i = 0; i < IN_MODULE; i++) {
		char text[512];

		(void)snprintf(text, sizeof(text), form, i, i, i);
		if (condition_compile(text, strlen(text), NULL, &d, &q[i]) < 0 ||
		    program_add(b, q[i], q[i]->stage[0].condition, NULL, &all[i]) < 0) {
			err_print(stderr);
			exit(1);
		}
	}
	if (program_build(b, &p) < 0 || module_new(p, NULL, NULL, &m) < 0) {
		err_print(stderr);
		exit(1);
	}
	for (int r = 0; r < ROUNDS; r++) {
		double v = vm_round(p, &in, s), w = module_round(p, m, &in, s, all);

		vm = v < vm ? v : vm;
		wasm = w < wasm ? w : wasm;
	}
	printf("{\"name\":\"predicate.eql_wasm.%s\",\"value\":%.3g,\"unit\":\"ns\",\"vm_ns\":%.3g,"
	       "\"times_the_vm\":%.2f,\"conditions\":%u}\n",
	       name, wasm, vm, wasm / vm, program_count(p));
	for (unsigned i = 0; i < IN_MODULE; i++)
		query_free(q[i]);
}

static void modules(const struct event *ev)
{
	static const struct {
		const char *name, *form;
	} rows[] = {
		{ "text", "process.executable == \"/usr/bin/x86_64-linux-gnu-gcc-%u\"" },
		{ "number", "process.pid > 42%u" },
		{ "in_list", "process.name in (\"bash%u\", \"sh\", \"dash\", \"zsh\", \"ksh\", \"fish\", \"tcsh\")" },
		{ "wildcard", "process.executable like \"/tmp%u/*\"" },
		{ "three", "process.pid > 4%u and process.executable like \"/usr/*\" and process.name == \"bash%u\"" },
		{ "rule", "process.name in (\"curl\", \"wget%u\") and process.pid > %u and process.args == \"-o%u\"" },
	};

	for (size_t i = 0; i < countof(rows); i++)
		in_one_module(ev, rows[i].name, rows[i].form);
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
static struct predicate_set *set_of(size_t n_rules, enum predicate_backend backend, double *ret_ms)
{
	AUTO(predicate_set_builder) b = NULL;
	AUTO(predicate_set) set = NULL;
	__u64 began = now_ns();
	uint32_t index;

	if (predicate_set_builder_new(&b) < 0)
		exit(1);
	predicate_set_builder_backend(b, backend);
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

enum { PAIRS = 31, PAIR_EVENTS = 3000 };

static double round_over(const struct predicate_set *set, struct predicate_scratch *s, const struct event *events,
			 size_t n)
{
	__u64 began = now_ns();
	const uint32_t *list;
	size_t times = 0;

	while (times < PAIR_EVENTS)
		for (size_t i = 0; i < n; i++, times++) {
			struct predicate_input in = { .ev = &events[i] };

			sink += predicate_set_run(set, &in, s, &list);
		}
	return (double)(now_ns() - began) / (double)times;
}

static int by_size(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* The best time of each set, in turns, so that what else the machine does falls on both; and the median of the ratios.
 */
struct times {
	double vm_ns, wasm_ns, ratio;
};

static struct times run_over(const struct predicate_set *vm, const struct predicate_set *wasm,
			     const struct event *events, size_t n)
{
	struct times t = { 1e18, 1e18, 0 };
	AUTO(predicate_scratch) a = NULL;
	AUTO(predicate_scratch) b = NULL;
	double ratio[PAIRS];

	if (predicate_scratch_new(&a) < 0 || predicate_scratch_new(&b) < 0)
		exit(1);
	for (int r = 0; r < PAIRS; r++) {
		double v = round_over(vm, a, events, n), w = wasm ? round_over(wasm, b, events, n) : v;

		t.vm_ns = v < t.vm_ns ? v : t.vm_ns;
		t.wasm_ns = w < t.wasm_ns ? w : t.wasm_ns;
		ratio[r] = w / v;
	}
	qsort(ratio, PAIRS, sizeof(*ratio), by_size);
	t.ratio = ratio[PAIRS / 2];
	return t;
}

static double resident_mb(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	unsigned long pages = 0;

	if (!f || fscanf(f, "%*u %lu", &pages) != 1)
		pages = 0;
	if (f)
		(void)fclose(f);
	return (double)pages * (double)sysconf(_SC_PAGESIZE) / 1e6;
}

/* Returns the time of an event. */
static double rules_of(const char *name, size_t n_rules, const struct event *events, const struct event *typed,
		       double first)
{
	double vm_ms, wasm_ms = 0;
	AUTO(predicate_set) vm = set_of(n_rules, PREDICATE_VM, &vm_ms);
	double before = resident_mb();
	AUTO(predicate_set) wasm = has_wasm ? set_of(n_rules, PREDICATE_WASM, &wasm_ms) : NULL;
	double more = resident_mb() - before;
	struct times many = run_over(vm, wasm, events, n_json), one = run_over(vm, wasm, typed, 1);
	struct predicate_set_stats stats;

	predicate_set_stats(vm, &stats);
	printf("{\"name\":\"predicate.%s_%zu\",\"value\":%.4g,\"unit\":\"events/s\",\"ns\":%.0f,"
	       "\"typed_ns\":%.0f,\"times_the_first\":%.2f,\"conditions\":%u,\"always\":%u,"
	       "\"literals\":%u,\"fields\":%u,\"bytes\":%zu,\"compile_ms\":%.0f}\n",
	       name, n_rules, 1e9 / many.vm_ns, many.vm_ns, one.vm_ns, first > 0 ? many.vm_ns / first : 1,
	       stats.predicates, stats.always, stats.literals, stats.fields, stats.bytes, vm_ms);
	if (has_wasm) {
		struct module_stats m;

		module_stats(predicate_set_module(wasm), &m);
		printf("{\"name\":\"predicate.%s_%zu.wasm\",\"value\":%.4g,\"unit\":\"events/s\",\"ns\":%.0f,"
		       "\"typed_ns\":%.0f,\"times_the_vm\":%.3f,\"typed_times_the_vm\":%.3f,\"leaves\":%u,"
		       "\"answered\":%u,\"more_resident_mb\":%.1f,\"code_bytes\":%zu,\"instance_bytes\":%zu,"
		       "\"compile_ms\":%.0f}\n",
		       name, n_rules, 1e9 / many.wasm_ns, many.wasm_ns, one.wasm_ns, many.ratio, one.ratio, m.leaves,
		       m.inlined, more, m.code_bytes, m.memory, wasm_ms);
	}
	return many.vm_ns;
}

static void many_conditions(const struct event *typed)
{
	static struct event events[EVENTS];
	const size_t counts[] = { 10, 100, n_queries };
	AUTO(book) book = NULL;
	double first = 0;

	for (size_t i = 0; i < n_json; i++)
		events[i] = json_event_as_event(&json[i]);
	for (size_t i = 0; i < countof(counts); i++) {
		double ns = rules_of("rules", counts[i], events, typed, first);

		first = i ? first : ns;
	}
	/* Those that come with it. */
	for (size_t i = 0; i < n_queries; i++)
		query_free(queries[i]);
	n_queries = 0;
	if (book_read(SHRIKE_SOURCE_DIR "/rules", NULL, &book) < 0)
		exit(1);
	for (size_t i = 0; i < book->n_rules && n_queries < RULES_MAX; i++)
		queries[n_queries++] = book->rule[i].query;
	(void)rules_of("own", n_queries, events, typed, 0);
	n_queries = 0;
}

/* Usage: bench_predicate [rules]    rules: only those of the oracles, nothing of single conditions */
int main(int argc, char **argv)
{
	bool all = argc < 2 || strcmp(argv[1], "rules") != 0;
	struct event typed;
	double before;
	auto_oracle struct oracle o;

	if (sensor_kinds_register() < 0)
		return 1;
	before = resident_mb();
	has_wasm = wasm_is_there();
	if (has_wasm)
		printf("{\"name\":\"predicate.wasm_library\",\"value\":%.1f,\"unit\":\"MB\"}\n",
		       resident_mb() - before);
	typed = hot_exec();
	if (!typed.kind)
		return 1;
	if (all)
		single_conditions(&typed, "record");
	if (all && has_wasm)
		modules(&typed);
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
