/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wasm: what modules may do, and how those end that do more.
 *
 * Modules are written in the text format, but for those that compilers make, in sdk_test.c.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/test.h"
#include "event/json_event.h"
#include "predicate/script.h"
#include "predicate/wasm/hostile.h"

static const char event_line[] = "{\"event\":{\"category\":\"process\"},\"process\":{\"name\":\"bash\",\"pid\":42,"
				 "\"executable\":\"/usr/bin/bash\"},\"source\":{\"ip\":\"10.1.2.3\"}}";

struct bench {
	struct json_event json;
	struct event ev;
	struct script_code *code;
	struct script *script;
};

static void bench_close(struct bench *b)
{
	script_free(b->script);
	script_code_free(b->code);
	json_event_free(&b->json);
}
#define auto_bench __attribute__((cleanup(bench_close)))

static int bench_event(struct bench *b, const char *line)
{
	int r = json_event_parse(&b->json, line, strlen(line));

	b->ev = json_event_as_event(&b->json);
	return r;
}

static int bench_open(struct bench *b, const void *text, size_t n, const struct script_options *o, struct diag *diag)
{
	int r;

	*b = (struct bench) { 0 };
	json_event_init(&b->json, false);
	r = script_compile(SCRIPT_WASM, "a.wasm", text, n, o, diag, &b->code);
	if (r < 0)
		return r;
	r = script_open(b->code, &b->script);
	return r < 0 ? r : bench_event(b, event_line);
}

/* Leaves the test where the library is absent, or fails it where the module is refused. */
#define OPEN_OR_SKIP(b, text, options)                                                                                 \
	do {                                                                                                           \
		struct diag open_diag_;                                                                                \
		int open_r_ = bench_open(b, text, strlen(text), options, &open_diag_);                                 \
		if (open_r_ == -ENOTSUP)                                                                               \
			skip("no-wasmtime");                                                                           \
		require_ok(open_r_);                                                                                   \
	} while (0)

/* ---- what works ----------------------------------------------------------------------------------------------------
 */

TEST(a_module_reads_fields_and_answers)
{
	/* Names two fields while it is loaded; asks for a number and compares a text. */
	static const char text[] = "(module " FIELD_IMPORT IMPORT("int", "(param i32 i64) (result i64)") IMPORT(
		"field_is",
		"(param i32 i32 i32) (result i32)") "(memory (export \"memory\") 1 1) (data (i32.const 16) "
						    "\"process.pidprocess.namebash\")"
						    "(global $pid (mut i32) (i32.const 0)) (global $name (mut i32) "
						    "(i32.const 0))"
						    "(func (export \"load\")"
						    " (global.set $pid (call $field (i32.const 16) (i32.const 11)))"
						    " (global.set $name (call $field (i32.const 27) (i32.const 12))))"
						    "(func (export \"match\") (result i32)"
						    " (i32.and (i64.eq (call $int (global.get $pid) (i64.const -1)) "
						    "(i64.const 42))"
						    "  (call $field_is (global.get $name) (i32.const 39) (i32.const "
						    "4)))))";
	struct script_stats stats;
	auto_bench struct bench b;

	OPEN_OR_SKIP(&b, text, NULL);
	check_int(script_run(b.script, &b.ev), SCRIPT_YES);
	require_ok(bench_event(&b, "{\"process\":{\"name\":\"sh\",\"pid\":42}}"));
	check_int(script_run(b.script, &b.ev), SCRIPT_NO);
	require_ok(bench_event(&b, "{\"process\":{\"name\":\"bash\"}}"));
	check_int(script_run(b.script, &b.ev), SCRIPT_NO);
	script_stats(b.code, &stats);
	check_int(stats.runs, 3);
	check_int(stats.matches, 1);
	check_int(stats.failed + stats.too_long + stats.too_much, 0);
	check(script_size(b.code) > sizeof(text) / 4 && script_size(b.code) < 100000);
}

TEST(texts_come_into_the_memory_cut_at_its_room)
{
	static const char text[] =
		"(module " FIELD_IMPORT TEXT_IMPORT
		"(memory (export \"memory\") 1) (data (i32.const 16) \"process.executable\")"
		"(global $f (mut i32) (i32.const 0))"
		"(func $start (global.set $f (call $field (i32.const 16) (i32.const 18)))) (start $start)"
		"(func (export \"match\") (result i32)"
		/* The whole length is told, four bytes are written, and the one behind them is as it was. */
		" (i32.and (i32.eq (call $text (global.get $f) (i32.const 65528) (i32.const 4)) (i32.const 13))"
		"  (i64.eq (i64.load (i32.const 65528)) (i64.const 0x7273752f)))))"; /* "/usr" */
	auto_bench struct bench b;

	OPEN_OR_SKIP(&b, text, NULL);
	check_int(script_run(b.script, &b.ev), SCRIPT_YES);
	require_ok(bench_event(&b, "{\"process\":{\"pid\":1}}"));
	check_int(script_run(b.script, &b.ev), SCRIPT_NO);
}

static int verdicts(struct bench *b, char *to, int n)
{
	for (int i = 0; i < n; i++)
		to[i] = "ny"[script_run(b->script, &b->ev) == SCRIPT_YES];
	to[n] = 0;
	return n;
}

TEST(nothing_stays_from_one_event_to_the_next)
{
	static const struct {
		const char *name, *text;
	} rows[] = {
		{ "a global",
		  "(module (global $n (mut i32) (i32.const 0)) (func (export \"match\") (result i32)"
		  " (global.set $n (i32.add (global.get $n) (i32.const 1))) (i32.eq (global.get $n) (i32.const 1))))" },
		{ "a global of 64 bits, in a function that is called",
		  "(module (global $n (mut i64) (i64.const 1)) (func $f (global.set $n (i64.const 2)))"
		  " (func (export \"match\") (result i32) (i64.eq (global.get $n) (i64.const 1)) (call $f)))" },
		{ "one of two globals",
		  "(module (global $m (mut i32) (i32.const 0)) (global $n (mut i32) (i32.const 0))"
		  " (func (export \"match\") (result i32) (global.set $m (i32.const 1)) (i32.eqz (global.get $n))"
		  " (global.set $n (i32.const 1))))" },
		{ "a global that refers to a function",
		  "(module (global $g (mut funcref) (ref.null func)) (func $f) (elem declare func $f)"
		  " (func (export \"match\") (result i32) (ref.is_null (global.get $g)) (global.set $g (ref.func "
		  "$f))))" },
		{ "a global that load has set",
		  "(module (global $g (mut i32) (i32.const 0)) (func (export \"load\") (global.set $g (i32.const 7)))"
		  " (func (export \"match\") (result i32) (i32.eq (global.get $g) (i32.const 7)) (global.set $g "
		  "(i32.const 8))))" },
		{ "memory", "(module (memory 1) (func (export \"match\") (result i32)"
			    " (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))"
			    " (i32.eq (i32.load (i32.const 0)) (i32.const 1))))" },
		{ "memory, in a function that is called",
		  "(module (memory 1) (func $f (i32.store8 (i32.const 0) (i32.const 1)))"
		  " (func (export \"match\") (result i32) (i32.load (i32.const 0)) (call $f) (i32.eqz)))" },
		{ "memory, through a table", "(module (memory 1) (table 1 funcref) (elem (i32.const 0) $f)"
					     " (func $f (i32.store8 (i32.const 0) (i32.const 1)))"
					     " (func (export \"match\") (result i32) (i32.load (i32.const 0))"
					     "  (call_indirect (i32.const 0)) (i32.eqz)))" },
		{ "how large memory is", "(module (memory 1) (func (export \"match\") (result i32)"
					 " (i32.eq (memory.grow (i32.const 1)) (i32.const 1))))" },
		{ "memory that was filled",
		  "(module (memory 1) (func (export \"match\") (result i32) (i32.load (i32.const 8))"
		  " (memory.fill (i32.const 0) (i32.const 255) (i32.const 100)) (i32.eqz)))" },
		{ "a table",
		  "(module (table $t 1 funcref) (func $f) (elem declare func $f) (func (export \"match\") (result i32)"
		  " (ref.is_null (table.get $t (i32.const 0))) (table.set $t (i32.const 0) (ref.func $f))))" },
		{ "a data segment", "(module (memory 1) (data $d \"abcd\") (func (export \"match\") (result i32)"
				    " (memory.init $d (i32.const 0) (i32.const 0) (i32.const 4)) (data.drop $d)"
				    " (i32.load (i32.const 0))))" },
		{ "what the host wrote",
		  "(module " TEXT_IMPORT FIELD_IMPORT
		  "(memory (export \"memory\") 1 1) (data (i32.const 16) \"process.name\")"
		  "(global $f (mut i32) (i32.const 0))"
		  "(func (export \"load\") (global.set $f (call $field (i32.const 16) (i32.const 12))))"
		  "(func (export \"match\") (result i32) (i32.and (i32.eqz (i32.load (i32.const 100)))"
		  " (i32.eq (i32.load8_u (i32.const 27)) (i32.const 0x65)))" /* as the data says */
		  " (drop (call $text (global.get $f) (i32.const 100) (i32.const 9)))"
		  " (drop (call $text (global.get $f) (i32.const 25) (i32.const 9)))))" },
		{ "what the host wrote to many places",
		  "(module " TEXT_IMPORT FIELD_IMPORT
		  "(memory (export \"memory\") 1 1) (data (i32.const 16) \"process.name\")"
		  "(global $f (mut i32) (i32.const 0))"
		  "(func (export \"load\") (global.set $f (call $field (i32.const 16) (i32.const 12))))"
		  "(func (export \"match\") (result i32) (local $i i32) (local $sum i32)"
		  " (loop $again"
		  "  (local.set $sum (i32.add (local.get $sum)"
		  "   (i32.load8_u (i32.add (i32.const 200) (i32.mul (local.get $i) (i32.const 100))))))"
		  "  (drop (call $text (global.get $f) (i32.add (i32.const 200) (i32.mul (local.get $i) (i32.const "
		  "100)))"
		  "   (i32.const 4)))"
		  "  (br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 50))))"
		  " (i32.eqz (local.get $sum))))" },
	};

	for_each_row (r, rows) {
		auto_bench struct bench b;
		char got[8];

		OPEN_OR_SKIP(&b, r->text, NULL);
		verdicts(&b, got, 4);
		check_str(got,
			  strstr(r->name, "how large") || strstr(r->name, "segment") || !strstr(got, "n") ? got : "");
		check_str(got, "yyyy");
	}
}

/* ---- what is refused -----------------------------------------------------------------------------------------------
 */

TEST(modules_that_are_none_of_ours_are_refused_and_say_why)
{
	static const struct {
		const char *name, *text;
		size_t n; /* 0: of a text */
		const char *want;
	} rows[] = {
		{ "nothing", "", 0, "expected at least one module field" },
		{ "no text of a module", "(module\n (func)", 0, "expected" },
		{ "a text that is none", "hello", 0, "expected" },
		{ "only the beginning", "\0asm", 4, "compile" },
		{ "another version", "\0asm\2\0\0\0", 8, "compile" },
		{ "a section that is cut", "\0asm\1\0\0\0\1\177", 10, "compile" },
		{ "no match", "(module (func (export \"load\")))", 0, "exports no function \"match\"" },
		{ "match with an argument", "(module (func (export \"match\") (param i32) (result i32) (i32.const 1)))",
		  0, "must take nothing" },
		{ "match without a result", "(module (func (export \"match\")))", 0, "must take nothing" },
		{ "match that is a memory", "(module (memory (export \"match\") 1))", 0, "exports no function" },
		{ "load with a result",
		  "(module (func (export \"match\") (result i32) (i32.const 1))"
		  " (func (export \"load\") (result i32) (i32.const 1)))",
		  0, "\"load\" must take nothing" },
		{ "an import of another module",
		  "(module (import \"wasi_snapshot_preview1\" \"fd_write\" (func (param i32 i32 i32 i32) (result i32)))"
		  " (func (export \"match\") (result i32) (i32.const 1)))",
		  0, "\"wasi_snapshot_preview1\".\"fd_write\"" },
		{ "a function that there is not",
		  "(module (import \"shrike\" \"exec\" (func)) (func (export \"match\") (result i32) (i32.const 1)))",
		  0, "\"shrike\".\"exec\", which is not of Host API v1" },
		{ "a function of another type",
		  "(module (import \"shrike\" \"field\" (func (param i64)))"
		  " (func (export \"match\") (result i32) (i32.const 1)))",
		  0, "field" },
		{ "an imported memory",
		  "(module (import \"shrike\" \"memory\" (memory 1)) (func (export \"match\") (result i32) (i32.const "
		  "1)))",
		  0, "which is no function" },
		{ "more memory than there may be",
		  "(module (memory 129) (func (export \"match\") (result i32) (i32.const 1)))", 0, "bytes of memory" },
		{ "all the memory there is",
		  "(module (memory 65536) (func (export \"match\") (result i32) (i32.const 1)))", 0,
		  "bytes of memory" },
		{ "a huge table", "(module (table 10001 funcref) (func (export \"match\") (result i32) (i32.const 1)))",
		  0, "one table" },
		{ "memory of 64 bits", "(module (memory i64 1) (func (export \"match\") (result i32) (i32.const 1)))",
		  0, "memory64" },
		{ "threads", "(module (memory 1 1 shared) (func (export \"match\") (result i32) (i32.const 1)))", 0,
		  "threads" },
		{ "vectors",
		  "(module (func (export \"match\") (result i32) (i8x16.extract_lane_s 0 (v128.const i64x2 0 0))))", 0,
		  "SIMD" },
		{ "data outside of memory",
		  "(module (memory 1) (data (i32.const 65535) \"ab\") (func (export \"match\") (result i32) (i32.const "
		  "1)))",
		  0, "while it was loaded: it went outside of its memory" },
		{ "a start that fails",
		  "(module (start $f) (func $f (unreachable)) (func (export \"match\") (result i32) (i32.const 1)))", 0,
		  "while it was loaded: it came to where it said it never would" },
		{ "a start without end",
		  "(module (start $f) (func $f (loop (br 0))) (func (export \"match\") (result i32) (i32.const 1)))", 0,
		  "while it was loaded: it ran too many instructions" },
		{ "a load without end",
		  "(module (func (export \"load\") (loop (br 0))) (func (export \"match\") (result i32) (i32.const "
		  "1)))",
		  0, "while it was loaded: it ran too many instructions" },
		{ "a load that asks for the event",
		  "(module (import \"shrike\" \"time\" (func $t (param i64) (result i64)))"
		  " (func (export \"load\") (drop (call $t (i64.const 0))))"
		  " (func (export \"match\") (result i32) (i32.const 1)))",
		  0, "no event while the script is loaded" },
		{ "a pattern that is none",
		  "(module (import \"shrike\" \"regex\" (func $r (param i32 i32) (result i32)))"
		  " (memory (export \"memory\") 1) (data (i32.const 0) \"a(\")"
		  " (func (export \"load\") (drop (call $r (i32.const 0) (i32.const 2))))"
		  " (func (export \"match\") (result i32) (i32.const 1)))",
		  0, "while it was loaded: " },
	};

	for_each_row (r, rows) {
		auto_bench struct bench b;
		struct diag diag;
		int got = bench_open(&b, r->text, r->n ? r->n : strlen(r->text), NULL, &diag);

		if (got == -ENOTSUP)
			skip("no-wasmtime");
		check_int(got, -EINVAL);
		check_has(diag.message, r->want);
		check(!strchr(diag.message, '\n'));
		check(!strchr(err_trail(), '\n'));
	}
}

TEST(what_is_wrong_with_a_text_has_its_place)
{
	static const char text[] = "(module\n (func (nonsense)))";
	auto_bench struct bench b;
	struct diag diag;
	int r = bench_open(&b, text, strlen(text), NULL, &diag);

	if (r == -ENOTSUP)
		skip("no-wasmtime");
	check_int(r, -EINVAL);
	check_int(diag.line, 2);
	check_int(diag.column, 9);
	check_has(err_trail(), "a.wasm:2: ");
	check(!strstr(diag.message, "-->"));
}

/* A module of so many functions, or so many bytes of data. */
static void write_module(struct buf *b, unsigned functions, unsigned data)
{
	buf_str(b, "(module (memory 32) (func (export \"match\") (result i32) (i32.const 1))");
	for (unsigned i = 1; i < functions; i++)
		buf_printf(b, "(func(drop(i32.const %u)))", i);
	if (data > 0) {
		buf_str(b, "(data(i32.const 0)\"");
		for (unsigned i = 0; i < data; i++)
			buf_char(b, 'a');
		buf_str(b, "\")");
	}
	buf_char(b, ')');
}

TEST(large_modules_end_at_the_limits)
{
	static const struct {
		const char *name;
		unsigned functions, data;
		const char *want; /* NULL: it runs */
	} rows[] = {
		{ "thousands of functions", 9999, 0, NULL },
		{ "too many functions", 10001, 0, "more than 10000 functions" },
		{ "much data", 1, 1000000, NULL },
		{ "too much data", 1, 1 << 20, "at most 1048576" },
	};

	for_each_row (r, rows) {
		auto_buf struct buf text = { .max = 1 << 21 };
		auto_bench struct bench b;
		struct diag diag;
		int got;

		write_module(&text, r->functions, r->data);
		require(!text.failed);
		got = bench_open(&b, text.data, text.len, NULL, &diag);
		if (got == -ENOTSUP)
			skip("no-wasmtime");
		if (r->want) {
			check_int(got, -EINVAL);
			check_has(diag.message, r->want);
		} else {
			require_ok(got);
			check_int(script_run(b.script, &b.ev), SCRIPT_YES);
		}
	}
}

/* ---- what goes too far
 * ----------------------------------------------------------------------------------------------- */

TEST(a_run_that_goes_too_far_is_stopped)
{
	for_each_row (r, hostile_modules) {
		struct script_limits limits = { .instructions = r->instructions };
		struct script_options options = { .limits = &limits };
		auto_bench struct bench b;

		OPEN_OR_SKIP(&b, r->text, &options);
		/* The second time as well: what was stopped is as good as new. */
		for (int i = 0; i < 2; i++) {
			check_int(script_run(b.script, &b.ev), r->want);
			check_has(script_error(b.script), r->error);
		}
	}
}

TEST(a_run_that_fails_leaves_nothing_behind_either)
{
	/* Fails where the global is as it was made; a run that finds it changed would say yes. */
	static const char text[] =
		"(module (global $n (mut i32) (i32.const 0)) (func (export \"match\") (result i32)"
		" (if (i32.eqz (global.get $n)) (then (global.set $n (i32.const 1)) (unreachable))) (i32.const 1)))";
	auto_bench struct bench b;

	OPEN_OR_SKIP(&b, text, NULL);
	for (int i = 0; i < 3; i++)
		check_int(script_run(b.script, &b.ev), SCRIPT_FAILED);
}

TEST(memory_grows_to_its_limit_and_no_further)
{
	/* Grows by a page until it may not, and says yes if that was at 128 of them. */
	static const char text[] = "(module (memory 1)" MATCH("(block $end (loop $l (br_if $end (i32.lt_s"
							      " (memory.grow (i32.const 1)) (i32.const 0))) (br $l)))"
							      " (i32.eq (memory.size) (i32.const 128))") ")";
	auto_bench struct bench b;

	OPEN_OR_SKIP(&b, text, NULL);
	check_int(script_run(b.script, &b.ev), SCRIPT_YES);
	check_int(script_run(b.script, &b.ev), SCRIPT_YES);
}

TEST(after_its_strikes_a_script_is_disabled_and_others_go_on)
{
	static const char bad[] = "(module " MATCH(LOOP("")) ")", good[] = "(module " MATCH("(i32.const 7)") ")";
	struct script_limits limits = { .strikes = 3 };
	struct script_options options = { .limits = &limits };
	auto_bench struct bench b = { 0 };
	auto_bench struct bench g = { 0 };
	struct script_stats stats;
	char reason[256];

	OPEN_OR_SKIP(&b, bad, &options);
	OPEN_OR_SKIP(&g, good, &options);
	for (int i = 0; i < 5; i++) {
		check_int(script_run(b.script, &b.ev), i < 3 ? SCRIPT_TOO_LONG : SCRIPT_DISABLED);
		check_int(script_run(g.script, &g.ev), SCRIPT_YES);
	}
	script_stats(b.code, &stats);
	check(stats.disabled);
	check_int(stats.too_long, 3);
	script_reason(b.code, reason, sizeof(reason));
	check_str(reason, "it ran too many instructions");
}

/* ---- threads
 * ----------------------------------------------------------------------------------------------------------- */

struct worker {
	struct script_code *code;
	int wrong;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	struct bench b = { 0 };

	json_event_init(&b.json, false);
	w->wrong = script_open(w->code, &b.script) < 0 || bench_event(&b, event_line) < 0;
	for (int i = 0; !w->wrong && i < 2000; i++)
		w->wrong = script_run(b.script, &b.ev) != SCRIPT_YES;
	bench_close(&b);
	return NULL;
}

TEST(instances_of_one_module_run_on_threads_of_their_own)
{
	static const struct {
		const char *name, *text;
	} rows[] = {
		{ "instances that stay", "(module " IMPORT("time", "(param i64) (result i64)")
						 MATCH("(i64.eq (call $time (i64.const -7)) (i64.const -7))") ")" },
		{ "instances that are made anew",
		  "(module (memory 1)" MATCH(
			  "(i32.eqz (i32.load (i32.const 0))) (i32.store (i32.const 0) (i32.const 1))") ")" },
	};

	for_each_row (r, rows) {
		pthread_t thread[3];
		struct worker w[3];
		auto_bench struct bench b;

		OPEN_OR_SKIP(&b, r->text, NULL);
		for (size_t i = 0; i < countof(w); i++) {
			w[i] = (struct worker) { .code = b.code };
			require(pthread_create(&thread[i], NULL, work, &w[i]) == 0);
		}
		for (size_t i = 0; i < countof(w); i++) {
			(void)pthread_join(thread[i], NULL);
			check_int(w[i].wrong, 0);
		}
	}
}

TEST(the_pool_of_instances_has_an_end_that_is_told)
{
	static const char text[] = "(module (memory 1)" MATCH("(i32.const 1)") ")";
	static struct script *many[1100];
	auto_bench struct bench b;
	size_t n = 0;
	int r = 0;

	OPEN_OR_SKIP(&b, text, NULL);
	while (n < countof(many) && r == 0) {
		r = script_open(b.code, &many[n]);
		n += r == 0;
	}
	check(r < 0);
	check(n > 900 && n < 1024);
	check_has(err_trail(), "limit");
	check_int(script_run(b.script, &b.ev), SCRIPT_YES);
	for (size_t i = 0; i < n; i++)
		script_free(many[i]);
	require_ok(script_open(b.code, &many[0]));
	script_free(many[0]);
}
