/* SPDX-License-Identifier: Apache-2.0 */
/* Modules of conditions: what they answer themselves, at the edges of what they keep of an event; and how they fail. */
#include "predicate/module.h"
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include "base/err.h"
#include "base/test.h"
#include "event/json_event.h"
#include "predicate/set.h"
#include "predicate/vm/vm.h"
#include "rule/rule.h"

enum { CONDITIONS = 16, TEXT_MAX = 8192 };

/* Some conditions as one program, and the module of it. */
struct both {
	struct query *q[CONDITIONS];
	uint32_t n;
	struct program *program;
	struct module *module;
	struct predicate_scratch *s, *other;
	struct json_event json;
	struct event ev;
	struct predicate_input in;
};

static void both_close(struct both *b)
{
	module_free(b->module);
	program_free(b->program);
	for (uint32_t i = 0; i < b->n; i++)
		query_free(b->q[i]);
	predicate_scratch_free(b->s);
	predicate_scratch_free(b->other);
	json_event_free(&b->json);
}
#define auto_both __attribute__((cleanup(both_close)))

static int both_open(struct both *b, const char *const *texts, uint32_t n)
{
	AUTO(program_builder) builder = NULL;
	struct diag d;
	int r;

	*b = (struct both) { 0 };
	json_event_init(&b->json, false);
	r = program_builder_new(&builder);
	for (uint32_t i = 0; r == 0 && i < n; i++) {
		uint32_t index;

		if (condition_compile(texts[i], strlen(texts[i]), NULL, &d, &b->q[i]) < 0) {
			test_fail(T_HERE, "%s: %s", texts[i], d.message);
			return -EINVAL;
		}
		b->n = i + 1;
		r = program_add(builder, b->q[i], b->q[i]->stage[0].condition, NULL, &index);
	}
	if (r == 0)
		r = program_build(builder, &b->program);
	if (r == 0)
		r = predicate_scratch_new(&b->s);
	if (r == 0)
		r = predicate_scratch_new(&b->other);
	return r < 0 ? r : module_new(b->program, NULL, NULL, &b->module);
}

#define OPEN_OR_SKIP(b, texts)                                                                                         \
	do {                                                                                                           \
		int open_r_ = both_open(b, texts, countof(texts));                                                     \
		if (open_r_ == -ENOTSUP)                                                                               \
			skip("no-wasmtime");                                                                           \
		require_ok(open_r_);                                                                                   \
	} while (0)

static bool set_event(struct both *b, const char *line)
{
	if (json_event_parse(&b->json, line, strlen(line)) < 0) {
		test_fail(T_HERE, "%s: %s", line, err_trail());
		return false;
	}
	b->ev = json_event_as_event(&b->json);
	b->in = (struct predicate_input) { .ev = &b->ev };
	return true;
}

/* All conditions come to the same by both; the truth of the first. */
static enum truth ask(struct both *b, const char *line)
{
	enum truth first = TRUTH_NULL;

	if (!set_event(b, line) || !program_begin(b->program, &b->in, b->other) ||
	    !program_begin(b->program, &b->in, b->s) || !module_begin(b->module, b->s)) {
		test_fail(T_HERE, "cannot begin");
		return TRUTH_NULL;
	}
	for (uint32_t i = 0; i < program_count(b->program); i++) {
		enum truth t = TRUTH_NULL, want = program_test(b->program, i, b->other);

		if (!module_test(b->module, b->s, i, &t))
			test_fail(T_HERE, "condition %u: the module failed: %s", i, err_trail());
		else if (t != want)
			test_fail(T_HERE, "condition %u: program %d, module %d: %.*s\n%s", i, want, t,
				  (int)b->q[i]->text_len, b->q[i]->text, line);
		first = i ? first : t;
	}
	return first;
}

/* ---- texts ----------------------------------------------------------------------------------------------------- */

TEST(texts_of_all_lengths_are_compared_as_the_program_does)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghij";

	for (int n = 0; n <= 60; n++) {
		char literal[64], forms[6][256], line[256];
		const char *texts[6];
		auto_both struct both b;

		(void)snprintf(literal, sizeof(literal), "%.*s", n, letters);
		(void)snprintf(forms[0], sizeof(forms[0]), "p.a == \"%s\"", literal);
		(void)snprintf(forms[1], sizeof(forms[1]), "p.a != \"%s\"", literal);
		(void)snprintf(forms[2], sizeof(forms[2]), "p.a in~ (\"%s\", \"x\")", literal);
		(void)snprintf(forms[3], sizeof(forms[3]), "p.a like \"%s*\"", literal);
		(void)snprintf(forms[4], sizeof(forms[4]), "p.a like~ (\"*%s\", \"no*\")", literal);
		(void)snprintf(forms[5], sizeof(forms[5]), "startsWith(p.a, \"%sx\") or endsWith~(p.a, \"x%s\")",
			       literal, literal);
		for (size_t i = 0; i < countof(forms); i++)
			texts[i] = forms[i];
		OPEN_OR_SKIP(&b, texts);
		(void)snprintf(line, sizeof(line), "{\"p.a\":\"%s\"}", literal);
		check_int(ask(&b, line), TRUTH_TRUE);
		/* One byte more, before and behind; one less; each byte another. */
		(void)snprintf(line, sizeof(line), "{\"p.a\":\"%sx\"}", literal);
		check_int(ask(&b, line), TRUTH_FALSE);
		(void)snprintf(line, sizeof(line), "{\"p.a\":\"x%s\"}", literal);
		check_int(ask(&b, line), TRUTH_FALSE);
		for (int at = 0; at < n; at++) {
			int len = snprintf(line, sizeof(line), "{\"p.a\":\"%s\"}", literal);

			line[8 + at] = (char)(line[8 + at] ^ 0x20);
			check_int(ask(&b, line), TRUTH_FALSE);
			line[8 + at] = '!';
			check_int(ask(&b, line), TRUTH_FALSE);
			check_int(len, n + 10);
		}
		if (n) {
			(void)snprintf(line, sizeof(line), "{\"p.a\":\"%.*s\"}", n - 1, literal);
			check_int(ask(&b, line), TRUTH_FALSE);
		}
	}
}

TEST(letters_without_case_are_those_of_the_program)
{
	static const char *const texts[] = { "p.a : \"Kiss\"",
					     "p.a in~ (\"kiss\", \"@[`{\")",
					     "p.a like~ \"kis*\"",
					     "p.a like~ \"*ISS\"",
					     ("p.a : \"stra\xc3\x9f"
					      "e\""),
					     "p.a == \"Kiss\"" };
	static const struct {
		const char *name, *text;
		enum truth want;
	} rows[] = {
		{ "small", "kiss", TRUTH_TRUE },
		{ "capital", "KISS", TRUTH_TRUE },
		{ "what is 0x20 apart from marks", "`{@[", TRUTH_FALSE },
		{ "the marks themselves", "@[`{", TRUTH_FALSE },
		{ "the Kelvin sign", "\xe2\x84\xaaiss", TRUTH_TRUE },
		{ "a long s", "Ki\xc5\xbf\xc5\xbf", TRUTH_TRUE },
		{ "a letter that folds to none of ASCII", "K\xc3\xaess", TRUTH_FALSE },
		{ "sharp s",
		  "STRA\xe1\xba\x9e"
		  "E",
		  TRUTH_FALSE },
		{ "nothing", "", TRUTH_FALSE },
	};
	auto_both struct both b;
	char line[64];

	OPEN_OR_SKIP(&b, texts);
	for_each_row (r, rows) {
		(void)snprintf(line, sizeof(line), "{\"p.a\":\"%s\"}", r->text);
		check_int(ask(&b, line), r->want);
	}
}

TEST(long_texts_are_asked_of_the_program_where_case_does_not_count)
{
	static const char *const texts[] = { "p.a like~ \"AAAAaaaa*\"", "p.a like \"*aaaab\"", "p.a : \"b\"" };
	static char line[TEXT_MAX];
	auto_both struct both b;

	OPEN_OR_SKIP(&b, texts);
	for (size_t n = 500; n < 530; n++) {
		(void)snprintf(line, sizeof(line), "{\"p.a\":\"%0*d\"}", (int)n, 0);
		memset(line + 8, 'a', n);
		check_int(ask(&b, line), TRUTH_TRUE);
		line[8 + n - 1] = 'b';
		check_int(ask(&b, line), TRUTH_TRUE);
	}
}

/* ---- other values -------------------------------------------------------------------------------------------------
 */

TEST(what_is_no_text_means_what_the_program_says)
{
	static const char *const texts[] = {
		"p.a == \"10\"",
		"p.a == 10",
		"p.a > 9",
		"p.a <= -1",
		"p.a == null",
		"p.a != \"10\"",
		"p.a in (\"10\", \"true\", \"x\")",
		"not (p.a == \"10\" or p.b == 1)",
		"p.a like \"1*\"",
		"p.a == \"10.0.0.1\"",
		"p.a >= 9223372036854775807",
		"p.b == p.a",
		"(p.a == 10 and p.b == null) or (p.b == 2 and not p.a == \"x\")",
	};
	static const char *const lines[] = {
		"{\"p.a\":\"10\"}",
		"{\"p.a\":10}",
		"{\"p.a\":10.0}",
		"{\"p.a\":\"1e1\"}",
		"{\"p.a\":-1}",
		"{\"p.a\":0}",
		"{\"p.a\":true}",
		"{\"p.a\":null}",
		"{}",
		"{\"p.a\":[]}",
		"{\"p.a\":[null]}",
		"{\"p.a\":[\"x\",\"10\"]}",
		"{\"p.a\":[10,null],\"p.b\":2}",
		"{\"p.a\":\"x\",\"p.b\":2}",
		"{\"p.a\":18446744073709551615}",
		"{\"p.a\":9223372036854775807}",
		"{\"p.a\":\"9223372036854775807\"}",
		"{\"p.a\":\"10.0.0.1\",\"p.b\":\"10.0.0.1\"}",
		"{\"p.a\":\"\",\"p.b\":1}",
	};
	auto_both struct both b;

	OPEN_OR_SKIP(&b, texts);
	for (size_t i = 0; i < countof(lines); i++)
		(void)ask(&b, lines[i]);
	check_int(ask(&b, "{\"p.a\":10}"), TRUTH_TRUE);
}

TEST(null_stays_null_where_the_dialect_says_so)
{
	static const struct query_options options = { .dialect = RULE_ENDGAME };
	static const char *const texts[] = { "a == \"x\"", "not a == \"x\"", "a == \"x\" or b == 1",
					     "a == \"x\" and b == 1", "not (a == \"x\" and (b == 1 or not c == 2))" };
	static const char *const lines[] = { "{}",        "{\"a\":\"x\"}",         "{\"b\":1}",
					     "{\"b\":2}", "{\"a\":\"y\",\"c\":2}", "{\"a\":\"x\",\"b\":3,\"c\":1}" };
	struct both b __attribute__((cleanup(both_close))) = { 0 };
	AUTO(program_builder) builder = NULL;
	struct diag d;
	int r;

	json_event_init(&b.json, false);
	require_ok(program_builder_new(&builder));
	require_ok(predicate_scratch_new(&b.s));
	require_ok(predicate_scratch_new(&b.other));
	for (uint32_t i = 0; i < countof(texts); i++, b.n++) {
		uint32_t index;

		require_ok(condition_compile(texts[i], strlen(texts[i]), &options, &d, &b.q[i]));
		require_ok(program_add(builder, b.q[i], b.q[i]->stage[0].condition, NULL, &index));
	}
	require_ok(program_build(builder, &b.program));
	r = module_new(b.program, NULL, NULL, &b.module);
	if (r == -ENOTSUP)
		skip("no-wasmtime");
	require_ok(r);
	for (size_t i = 0; i < countof(lines); i++)
		(void)ask(&b, lines[i]);
	check_int(ask(&b, "{}"), TRUTH_NULL);
}

/* ---- runs ---------------------------------------------------------------------------------------------------------
 */

static const char *const three[] = { "p.a == \"x\"", "p.a like \"*y*\"", "p.a == \"y\"" };

TEST(a_run_gives_those_that_are_true_in_their_order)
{
	static const uint32_t all[] = { 2, 0, 1 };
	uint32_t is_true[3], n = 9;
	auto_both struct both b;

	OPEN_OR_SKIP(&b, three);
	require(set_event(&b, "{\"p.a\":\"y\"}"));
	require(program_begin(b.program, &b.in, b.s));
	require(module_begin(b.module, b.s));
	require(module_run(b.module, b.s, all, 3, is_true, &n));
	check_int(n, 2);
	check_int(is_true[0], 2);
	check_int(is_true[1], 1);
	require(module_run(b.module, b.s, all, 0, is_true, &n));
	check_int(n, 0);
	check(!module_run(b.module, b.s, all, 4, is_true, &n));
}

TEST(a_scratch_that_was_used_with_another_program_is_used_again)
{
	auto_both struct both a, b;

	a = (struct both) { 0 };
	OPEN_OR_SKIP(&b, three);
	require_ok(both_open(&a, three + 1, 2));
	for (int i = 0; i < 3; i++) {
		struct predicate_scratch *s = a.s;

		a.s = b.s;
		(void)ask(&a, "{\"p.a\":\"xy\"}");
		a.s = s;
		(void)ask(&b, "{\"p.a\":\"y\"}");
	}
	/* Without a module it is the program's own again. */
	require(program_begin(b.program, &b.in, b.s));
	check(b.s->leaves == b.s->own_leaves);
	check(program_test(b.program, 1, b.s) == TRUTH_TRUE);
}

TEST(what_an_epoch_left_behind_is_not_taken_for_the_next_one)
{
	auto_both struct both b;

	OPEN_OR_SKIP(&b, three);
	check_int(ask(&b, "{\"p.a\":\"x\"}"), TRUTH_TRUE);
	b.s->epoch = (UINT32_MAX >> 2) - 3;
	for (int i = 0; i < 6; i++)
		check_int(ask(&b, i % 2 ? "{\"p.a\":\"x\"}" : "{\"p.a\":\"y\"}"), i % 2 ? TRUTH_TRUE : TRUTH_FALSE);
	check(b.s->epoch < 10);
	check_int(b.s->n_wraps, 1);
}

/* ---- sets ---------------------------------------------------------------------------------------------------------
 */

static int make_set(struct query **q, const char *const *texts, uint32_t n, enum predicate_backend backend,
		    struct predicate_set **ret_set)
{
	AUTO(predicate_set_builder) b = NULL;
	struct diag d;
	uint32_t index;
	int r = predicate_set_builder_new(&b);

	if (r == 0)
		predicate_set_builder_backend(b, backend);
	for (uint32_t i = 0; r == 0 && i < n; i++) {
		r = condition_compile(texts[i], strlen(texts[i]), NULL, &d, &q[i]);
		if (r == 0)
			r = predicate_set_builder_add(b, q[i], q[i]->stage[0].condition, NULL, &index);
	}
	return r < 0 ? r : predicate_set_build(b, ret_set);
}

TEST(a_set_whose_module_fails_finds_the_same_and_gives_it_up)
{
	struct query *q[3] = { 0 };
	AUTO(predicate_set) set = NULL;
	AUTO(predicate_scratch) s = NULL;
	struct predicate_set_stats stats;
	struct json_event json __attribute__((cleanup(json_event_free)));
	struct event ev;
	struct predicate_input in = { .ev = &ev };
	int r;

	json_event_init(&json, false);
	require_ok(predicate_scratch_new(&s));
	r = make_set(q, three, countof(three), PREDICATE_WASM, &set);
	if (r == 0) {
		require_ok(json_event_parse(&json, "{\"p.a\":\"y\"}", 11));
		ev = json_event_as_event(&json);
		for (int i = 0; i < MODULE_FAILURES_MAX + 2; i++) {
			const uint32_t *list;

			if (i)
				module_spoil(predicate_set_module(set), 1);
			check_int((int)predicate_set_run(set, &in, s, &list), 2);
			check_int(list[0], 1);
			check_int(list[1], 2);
			predicate_set_stats(set, &stats);
			check_int((int)stats.module_failures, i < MODULE_FAILURES_MAX ? i : MODULE_FAILURES_MAX);
			check_int(stats.module_is_disabled, i >= MODULE_FAILURES_MAX);
		}
		check_int(stats.backend, PREDICATE_WASM);
		check_has(stats.module_why, "module");
	}
	for (size_t i = 0; i < countof(q); i++)
		query_free(q[i]);
	if (r == -ENOTSUP)
		skip("no-wasmtime");
	check_int(r, 0);
}

TEST(sets_come_and_go_under_one_scratch)
{
	AUTO(predicate_scratch) s = NULL;
	bool absent = false;

	require_ok(predicate_scratch_new(&s));
	for (int i = 0; i < 20 && !absent; i++) {
		struct query *q[3] = { 0 };
		AUTO(predicate_set) set = NULL;
		int r = make_set(q, three + i % 2, 2, PREDICATE_WASM, &set);

		absent = r == -ENOTSUP;
		if (r == 0) {
			struct json_event json __attribute__((cleanup(json_event_free)));
			struct predicate_input in;
			const uint32_t *list;
			struct event ev;

			json_event_init(&json, false);
			check_int(json_event_parse(&json, "{\"p.a\":\"y\"}", 11), 0);
			ev = json_event_as_event(&json);
			in = (struct predicate_input) { .ev = &ev };
			check_int((int)predicate_set_run(set, &in, s, &list), 1 + i % 2);
		}
		predicate_set_free(take(set));
		for (size_t k = 0; k < countof(q); k++)
			query_free(q[k]);
	}
	if (absent)
		skip("no-wasmtime");
}

static void *run_often(void *ctx)
{
	struct both *b = ctx;
	AUTO(predicate_scratch) s = NULL;
	static const uint32_t all[] = { 0, 1, 2 };
	size_t n_true = 0;

	if (predicate_scratch_new(&s) < 0)
		return NULL;
	for (int i = 0; i < 2000; i++) {
		uint32_t is_true[3], n;

		if (!program_begin(b->program, &b->in, s) || !module_begin(b->module, s) ||
		    !module_run(b->module, s, all, 3, is_true, &n))
			return NULL;
		n_true += n;
	}
	return (void *)(uintptr_t)n_true;
}

TEST(threads_share_the_code_and_have_instances_of_their_own)
{
	pthread_t thread[4];
	auto_both struct both b;

	OPEN_OR_SKIP(&b, three);
	require(set_event(&b, "{\"p.a\":\"y\"}"));
	for (size_t i = 0; i < countof(thread); i++)
		require(pthread_create(&thread[i], NULL, run_often, &b) == 0);
	for (size_t i = 0; i < countof(thread); i++) {
		void *n = NULL;

		check(pthread_join(thread[i], &n) == 0);
		check_int((int)(uintptr_t)n, 2 * 2000);
	}
}

TEST(of_a_set_most_leaves_are_answered_by_the_module)
{
	static const char *const texts[] = { "p.a == \"x\" and p.b > 1", "p.a regex \"x.*\"" };
	struct module_stats stats;
	auto_both struct both b;

	OPEN_OR_SKIP(&b, texts);
	module_stats(b.module, &stats);
	check_int(stats.leaves, 3);
	check_int(stats.inlined, 2);
	check_int((int)stats.memory, 1 << 16);
	check(stats.code_bytes > 100);
	check_int((int)stats.failures, 0);
}
