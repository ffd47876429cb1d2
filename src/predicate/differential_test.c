/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All that runs conditions comes to the same: the tree, a program, a set, and modules of both, over rules and events
 * that are made up.
 */
#include <stdarg.h>
#include <stdio.h>
#include "base/err.h"
#include "base/test.h"
#include "event/json_event.h"
#include "predicate/module.h"
#include "predicate/set.h"
#include "predicate/tree.h"
#include "rule/rule.h"
#include "sensors/process/process.event.h"
#include "sensors/sensor.h"

enum { SETS = 6, RULES = 60, EVENTS = 400, TEXT_MAX = 4096 };

static uint64_t random_state;

/* The same numbers in every run, so that a failure can be looked at. */
static unsigned pick(unsigned n)
{
	random_state = random_state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned)(random_state >> 33) % n;
}

/* Few fields and few words, so that they meet. Some differ only in case, or fold from or to ASCII. */
static const char *const fields[] = { "event.category", "event.type",   "event.action",        "host.os.type",
				      "process.name",   "process.args", "process.parent.name", "file.path",
				      "user.id",        "process.title" };
static const char *const words[] = { "process",
				     "file",
				     "start",
				     "end",
				     "exec",
				     "Exec",
				     "EXEC",
				     "fork",
				     "linux",
				     "Linux",
				     "bash",
				     "BASH",
				     "sh",
				     "bsh",
				     "python3",
				     "/tmp/x",
				     "/tmp/a.sh",
				     "/TMP/Y",
				     "/dev/shm/k",
				     "\xe2\x84\xaa",
				     "k",
				     ("\xc5\xbf"
				      "h"),
				     "0",
				     "10",
				     "1e1",
				     "true",
				     "10.0.0.1",
				     "-c",
				     "",
				     "curl -o x",
				     "a_rather_long_word_of_no_meaning_at_all" };
static const char *const wildcards[] = { "*sh",
					 "/tmp/*",
					 "*tmp*",
					 "b?sh",
					 "*",
					 "exec*",
					 "*a*h",
					 "/dev/*/k",
					 "EX*",
					 "?",
					 "py*on*",
					 "*\xe2\x84\xaa*",
					 "curl*",
					 "a_rather_long_word_of_no_*",
					 "*_long_word_of_no_meaning_at_all",
					 "fork",
					 "/tmp/x",
					 "BASH" };
static const char *const regexes[] = { "/tmp/.*", "[a-z]+sh", "ba?sh",    "/dev/(shm|x)/k", "py.*[0-9]",
				       "-c",      "exe.*",    ".*curl.*", "1{2}0?" };

static void add(char *to, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(char *to, const char *format, ...)
{
	size_t n = strlen(to);
	va_list args;

	va_start(args, format);
	(void)vsnprintf(to + n, TEXT_MAX - n, format, args);
	va_end(args);
}

#define one_of(list) ((list)[pick(countof(list))])

static void add_list(char *to, const char *const *list, unsigned n)
{
	unsigned many = 1 + pick(9);

	add(to, "(");
	for (unsigned i = 0; i < many; i++)
		add(to, "%s\"%s\"", i ? ", " : "", list[pick(n)]);
	add(to, ")");
}

/* The first fields are asked for most often, as in real rules. */
static const char *a_field(void)
{
	return fields[pick(2) ? pick(4) : pick(countof(fields))];
}

static void add_condition(char *to, unsigned depth)
{
	const char *field = a_field();
	unsigned kind = pick(depth < 2 ? 16 : 13);

	switch (kind) {
	case 0:
	case 1:
	case 2:
		add(to, "%s == \"%s\"", field, one_of(words));
		break;
	case 3:
		add(to, "%s : \"%s\"", field, one_of(words));
		break;
	case 4:
		add(to, "%s != \"%s\"", field, one_of(words));
		break;
	case 5:
	case 6:
		add(to, "%s in%s ", field, pick(2) ? "~" : "");
		add_list(to, words, countof(words));
		break;
	case 7:
	case 8:
		add(to, "%s like%s ", field, pick(2) ? "~" : "");
		add_list(to, wildcards, countof(wildcards));
		break;
	case 9:
		add(to, "%s regex%s ", field, pick(2) ? "~" : "");
		add_list(to, regexes, countof(regexes));
		break;
	case 10:
		add(to, "%s %s null", field, pick(2) ? "==" : "!=");
		break;
	case 11:
		add(to, "%s%s(%s, \"%s\")",
		    pick(2)   ? "startsWith"
		    : pick(2) ? "endsWith"
			      : "stringContains",
		    pick(2) ? "~" : "", field, pick(2) ? "s" : "/tmp");
		break;
	case 12:
		add(to, "process.pid %s %u", pick(2) ? ">" : "==", pick(20));
		break;
	case 13:
		add(to, "not (");
		add_condition(to, depth + 1);
		add(to, ")");
		break;
	default:
		add(to, "(");
		for (unsigned i = 0, n = 2 + pick(2); i < n; i++) {
			add(to, "%s", i ? kind == 14 ? " or " : " and " : "");
			add_condition(to, depth + 1);
		}
		add(to, ")");
		break;
	}
}

static void add_value(char *to)
{
	switch (pick(12)) {
	case 0:
		add(to, "null");
		break;
	case 1:
		add(to, "%u", pick(12));
		break;
	case 2:
		add(to, "1e1");
		break;
	case 3:
		add(to, "true");
		break;
	default:
		add(to, "\"%s\"", one_of(words));
		break;
	}
}

static void make_event(char *to)
{
	*to = 0;
	add(to, "{\"process.pid\":%u", pick(20));
	for (size_t i = 0; i < countof(fields); i++) {
		unsigned kind = pick(6);

		if (kind == 0)
			continue;
		add(to, ",\"%s\":%s", fields[i], kind == 1 ? "[" : "");
		if (kind != 1)
			add_value(to);
		for (unsigned k = 0, n = kind == 1 ? pick(pick(20) ? 4 : 40) : 0; k < n; k++) {
			add(to, "%s", k ? "," : "");
			add_value(to);
		}
		add(to, "%s", kind == 1 ? "]" : "");
	}
	add(to, "}");
}

struct rules {
	struct query *q[RULES];
	uint32_t index[RULES];
	const char *category[RULES];
	struct predicate_set *set;
	struct predicate_set *by_module; /* the same rules */
	struct module *module;           /* of the program of `set`, whole */
};

static void rules_close(struct rules *r)
{
	for (size_t i = 0; i < RULES; i++)
		query_free(r->q[i]);
	module_free(r->module);
	predicate_set_free(r->set);
	predicate_set_free(r->by_module);
}

static bool make_rules(struct rules *r)
{
	AUTO(predicate_set_builder) b = NULL;
	char text[TEXT_MAX];
	struct diag diag;

	if (predicate_set_builder_new(&b) < 0)
		return false;
	for (size_t i = 0; i < RULES; i++) {
		*text = 0;
		for (unsigned k = 0, n = 1 + pick(4); k < n; k++) {
			add(text, "%s", k ? " and " : "");
			add_condition(text, 0);
		}
		r->category[i] = pick(2) ? "process" : NULL;
		if (condition_compile(text, strlen(text), NULL, &diag, &r->q[i]) < 0) {
			test_fail(T_HERE, "%s: %s", text, diag.message);
			return false;
		}
		if (predicate_set_builder_add(b, r->q[i], r->q[i]->stage[0].condition, r->category[i], &r->index[i]) <
		    0)
			return false;
	}
	return predicate_set_build(b, &r->set) == 0;
}

/* -ENOTSUP: there is no library. */
static int make_modules(struct rules *r)
{
	AUTO(predicate_set_builder) b = NULL;
	uint32_t index;
	int e = predicate_set_builder_new(&b);

	if (e < 0)
		return e;
	predicate_set_builder_backend(b, PREDICATE_WASM);
	for (size_t i = 0; e == 0 && i < RULES; i++)
		e = predicate_set_builder_add(b, r->q[i], r->q[i]->stage[0].condition, r->category[i], &index);
	if (e == 0)
		e = predicate_set_build(b, &r->by_module);
	return e < 0 ? e : module_new(predicate_set_program(r->set), NULL, NULL, &r->module);
}

/* Sets that are run by either find the same; and each condition comes to the same, null included. */
static bool modules_agree(const struct rules *r, const struct predicate_input *in, struct predicate_scratch *a,
			  struct predicate_scratch *b, const char *what)
{
	const struct program *p = predicate_set_program(r->set);
	const uint32_t *x, *y;
	size_t n = predicate_set_run(r->set, in, a, &x), m = predicate_set_run(r->by_module, in, b, &y);

	if (n != m || (n && memcmp(x, y, n * sizeof(*x)) != 0)) {
		test_fail(T_HERE, "%zu are true by the program, %zu by the module: %s", n, m, what);
		return false;
	}
	if (!program_begin(p, in, b) || !module_begin(r->module, b))
		return false;
	for (uint32_t i = 0; i < program_count(p); i++) {
		enum truth t = TRUTH_NULL, want = program_test(p, i, a);

		if (!module_test(r->module, b, i, &t)) {
			test_fail(T_HERE, "the module failed");
			return false;
		}
		if (t == want)
			continue;
		for (size_t k = 0; k < RULES; k++)
			if (r->index[k] == i)
				test_fail(T_HERE, "program %d, module %d: %.*s\n%s", want, t, (int)r->q[k]->text_len,
					  r->q[k]->text, what);
		return false;
	}
	return true;
}

TEST(modules_agree_with_programs)
{
	struct json_event json __attribute__((cleanup(json_event_free)));
	AUTO(predicate_scratch) a = NULL;
	AUTO(predicate_scratch) b = NULL;
	char line[TEXT_MAX];

	json_event_init(&json, false);
	require_ok(predicate_scratch_new(&a));
	require_ok(predicate_scratch_new(&b));
	random_state = 20250102;
	for (int s = 0; s < SETS; s++) {
		__attribute__((cleanup(rules_close))) struct rules r = { 0 };
		int e;

		require(make_rules(&r));
		e = make_modules(&r);
		if (e == -ENOTSUP)
			skip("no-wasmtime");
		require_ok(e);
		for (int i = 0; i < EVENTS; i++) {
			struct event ev = json_event_as_event(&json);
			struct predicate_input in = { .ev = &ev };

			make_event(line);
			require_ok(json_event_parse(&json, line, strlen(line)));
			if (!modules_agree(&r, &in, a, b, line))
				return;
		}
	}
}

struct record {
	struct ev_exec exec;
	char text[512];
};

static size_t put_text(struct record *r, size_t at, struct ev_str *s, unsigned n)
{
	size_t from = at;

	for (unsigned i = 0; i < n; i++) {
		/* Now and then bytes that are no UTF-8. */
		const char *word = pick(12) ? one_of(words)
					    : "b\xff"
					      "sh";

		memcpy(r->text + at, word, strlen(word) + 1);
		at += strlen(word) + 1;
	}
	if (n)
		*s = (struct ev_str) { (__u16)(offsetof(struct record, text) + from), (__u16)(at - from - 1) };
	return at;
}

static struct event make_record(struct record *r)
{
	size_t at = 0;

	*r = (struct record) {
		.exec.head = { .time_ns = 1, .id = EV_EXEC, .len = sizeof(*r), .pid = pick(20), .uid = pick(12) }
	};
	(void)snprintf(r->exec.head.comm, sizeof(r->exec.head.comm), "%s", one_of(words));
	at = put_text(r, at, &r->exec.exe, pick(3) != 0);
	at = put_text(r, at, &r->exec.filename, pick(3) != 0);
	(void)put_text(r, at, &r->exec.args, pick(8));
	return (struct event) { .rec = &r->exec.head, .kind = event_check(r, sizeof(*r)) };
}

TEST(modules_agree_with_programs_over_records)
{
	AUTO(predicate_scratch) a = NULL;
	AUTO(predicate_scratch) b = NULL;
	struct record record __attribute__((aligned(8)));

	require_ok(sensor_kinds_register());
	require_ok(predicate_scratch_new(&a));
	require_ok(predicate_scratch_new(&b));
	random_state = 20250103;
	for (int s = 0; s < SETS; s++) {
		__attribute__((cleanup(rules_close))) struct rules r = { 0 };
		int e;

		require(make_rules(&r));
		e = make_modules(&r);
		if (e == -ENOTSUP)
			skip("no-wasmtime");
		require_ok(e);
		for (int i = 0; i < EVENTS; i++) {
			struct event ev = make_record(&record);
			struct predicate_input in = { .ev = &ev };

			require(ev.kind);
			if (!modules_agree(&r, &in, a, b, record.exec.head.comm))
				return;
		}
	}
}

TEST(sets_programs_and_trees_agree)
{
	struct json_event json __attribute__((cleanup(json_event_free)));
	AUTO(predicate_scratch) scratch = NULL;
	auto_arena struct arena arena;
	char line[TEXT_MAX];
	size_t n_true = 0;

	json_event_init(&json, false);
	arena_init(&arena, 1 << 22);
	require_ok(predicate_scratch_new(&scratch));
	random_state = 20240506;
	/* One scratch for all: what it remembers of one set says nothing of another. */
	for (int s = 0; s < SETS; s++) {
		__attribute__((cleanup(rules_close))) struct rules r = { 0 };

		require(make_rules(&r));
		for (int e = 0; e < EVENTS; e++) {
			struct event ev = json_event_as_event(&json);
			struct predicate_input in = { .ev = &ev };
			const uint32_t *list;
			size_t n;

			make_event(line);
			require_ok(json_event_parse(&json, line, strlen(line)));
			n = predicate_set_run(r.set, &in, scratch, &list);
			n_true += n;
			for (size_t i = 0; i < RULES; i++) {
				bool listed = false, is_category = true;
				enum truth slow, fast;

				for (size_t k = 0; k < n; k++)
					listed |= list[k] == r.index[i];
				arena_reset(&arena);
				slow = tree_test(r.q[i], r.q[i]->stage[0].condition, &in, &arena);
				if (r.category[i])
					is_category = tree_is_of(r.q[i], r.category[i], &ev);
				fast = program_test(predicate_set_program(r.set), r.index[i], scratch);
				if (listed == (slow == TRUTH_TRUE && is_category) && listed == (fast == TRUTH_TRUE))
					continue;
				test_fail(T_HERE, "set %d, event %d: tree %d, program %d, set %d: %.*s\n%s", s, e, slow,
					  fast, listed, (int)r.q[i]->text_len, r.q[i]->text, line);
				return;
			}
		}
	}
	/* Not all of them are false. */
	check(n_true > SETS * EVENTS);
}
