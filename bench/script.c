/* SPDX-License-Identifier: Apache-2.0 */
/*
 * script - what a script costs on one hot event, beside the same condition in EQL; and how long those that mean harm
 * take until they are stopped. Figures are of CPU time, the best of several rounds of one thread; times_the_vm is the
 * ratio to the VM in the same run.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "base/err.h"
#include "bench/hot.h"
#include "base/log.h"
#include "predicate/lua/hostile.h"
#include "predicate/predicate.h"
#include "predicate/script.h"
#include "predicate/wasm/hostile.h"
#include "rule/rule.h"
#include "sensors/sensor.h"

enum { ROUNDS = 7, TIMES = 200000, STOPS = 5 };

static __u64 sink;

/* CPU time: on a machine that others use, the wall tells of them. */
static double now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void die(void)
{
	err_print(stderr);
	exit(1);
}

/* ---- one condition ------------------------------------------------------------------------------------------ */

static double vm_ns(const struct event *ev, const char *text)
{
	struct predicate_input in = { .ev = ev };
	AUTO(predicate_scratch) s = NULL;
	AUTO(program) p = NULL;
	AUTO(query) q = NULL;
	double best = 1e18;
	struct diag d;

	if (condition_compile(text, strlen(text), NULL, &d, &q) < 0 ||
	    predicate_compile(q, q->stage[0].condition, &p) < 0 || predicate_scratch_new(&s) < 0)
		die();
	for (int r = 0; r < ROUNDS; r++) {
		double began = now_ns(), ns;

		for (int i = 0; i < TIMES; i++)
			sink += predicate_run(p, &in, s);
		ns = (now_ns() - began) / TIMES;
		best = ns < best ? ns : best;
	}
	return best;
}

static double script_ns(const struct event *ev, enum script_kind kind, const char *text)
{
	AUTO(script_code) code = NULL;
	AUTO(script) s = NULL;
	double best = 1e18;
	struct diag d;

	if (script_compile(kind, "bench", text, strlen(text), NULL, &d, &code) < 0 || script_open(code, &s) < 0)
		die();
	for (int r = 0; r < ROUNDS; r++) {
		double began = now_ns(), ns;

		for (int i = 0; i < TIMES; i++) {
			enum script_verdict v = script_run(s, ev);

			if (v > SCRIPT_YES) {
				(void)fprintf(stderr, "%s\n", script_error(s));
				exit(1);
			}
			sink += v;
		}
		ns = (now_ns() - began) / TIMES;
		best = ns < best ? ns : best;
	}
	return best;
}

static bool have_wasm(void)
{
	static const char text[] = "(module (func (export \"match\") (result i32) (i32.const 0)))";
	AUTO(script_code) code = NULL;
	struct diag d;

	return script_compile(SCRIPT_WASM, "none", text, strlen(text), NULL, &d, &code) != -ENOTSUP;
}

/* What every module begins with: it names its fields while it is loaded, and `match` asks about them. */
#define WASM(body)                                                                                                     \
	"(module " IMPORT("field", "(param i32 i32) (result i32)") IMPORT(                                             \
		"wildcard", "(param i32 i32) (result i32)") IMPORT("int", "(param i32 i64) (result i64)")              \
		IMPORT("text", "(param i32 i32 i32) (result i32)") IMPORT(                                             \
			"field_is", "(param i32 i32 i32) (result i32)") IMPORT("field_starts_with",                    \
									       "(param i32 i32 i32) (result i32)")     \
			IMPORT("field_matches",                                                                        \
			       "(param i32 i32) (result i32)") "(memory (export \"memory\") 1 1) (data (i32.const 0) " \
							       "\"process.pidprocess.executableprocess.nameprocess."   \
							       "args\")"                                               \
							       "(data (i32.const 100) "                                \
							       "\"/usr/bin/bash*gnu*clang*-x/usr/\")"                  \
							       "(global $pid (mut i32) (i32.const 0)) (global $exe "   \
							       "(mut i32) (i32.const 0))"                              \
							       "(global $name (mut i32) (i32.const 0)) (global $args " \
							       "(mut i32) (i32.const 0))"                              \
							       "(global $gnu (mut i32) (i32.const 0))"                 \
							       "(func (export \"load\") (global.set $pid (call "       \
							       "$field (i32.const 0) (i32.const 11)))"                 \
							       " (global.set $exe (call $field (i32.const 11) "        \
							       "(i32.const 18)))"                                      \
							       " (global.set $name (call $field (i32.const 29) "       \
							       "(i32.const 12)))"                                      \
							       " (global.set $args (call $field (i32.const 41) "       \
							       "(i32.const 12)))"                                      \
							       " (global.set $gnu (call $wildcard (i32.const 113) "    \
							       "(i32.const 11))))" MATCH(body) ")"
#define WASM_NUMBER "(i64.gt_s (call $int (global.get $pid) (i64.const -1)) (i64.const 4000))"
#define WASM_BASH   "(i32.const 109) (i32.const 4)"

/* The same in each language. A runtime that is not there has no figure. */
static const struct {
	const char *name, *eql, *lua, *wasm;
} conditions[] = {
	{ "nothing", "true", "return function() return true end", WASM("(i32.const 1)") },
	{ "number", "process.pid > 4000", "return function(event) return event['process.pid'] > 4000 end",
	  WASM(WASM_NUMBER) },
	{ "text", "process.executable == \"/usr/bin/bash\"",
	  "return function() return shrike.field_is('process.executable', '/usr/bin/bash') end",
	  WASM("(call $field_is (global.get $exe) (i32.const 100) (i32.const 13))") },
	{ "text_made", "process.executable == \"/usr/bin/bash\"",
	  "return function(event) return event['process.executable'] == '/usr/bin/bash' end",
	  WASM("(i32.and (i32.eq (call $text (global.get $exe) (i32.const 200) (i32.const 64)) (i32.const 13))"
	       " (i64.eq (i64.load (i32.const 200)) (i64.load (i32.const 100))))") },
	{ "wildcard", "process.executable like \"*gnu*clang*\"",
	  "local p = shrike.wildcard('*gnu*clang*') return function() return "
	  "shrike.field_matches('process.executable', p) end",
	  WASM("(call $field_matches (global.get $exe) (global.get $gnu))") },
	{ "any_argument", "process.args == \"-x\"",
	  "return function() return shrike.field_is('process.args', '-x') end",
	  WASM("(call $field_is (global.get $args) (i32.const 124) (i32.const 2))") },
	{ "three", "process.pid > 4000 and process.executable like \"/usr/*\" and process.name == \"bash\"",
	  "return function(event) return event['process.pid'] > 4000 and "
	  "shrike.field_starts_with('process.executable', '/usr/') and event['process.name'] == 'bash' end",
	  WASM("(i32.and " WASM_NUMBER
	       " (i32.and (call $field_starts_with (global.get $exe) (i32.const 126) (i32.const 5))"
	       " (call $field_is (global.get $name) " WASM_BASH ")))") },
	{ "anew", "process.args == \"-x\"",
	  "local wanted = {'-x', '-y'} return function() for _, w in ipairs(wanted) do if "
	  "shrike.field_is('process.args', w) then return true end end end",
	  WASM("(i32.store (i32.const 300) (i32.const 1)) (call $field_is (global.get $args) (i32.const 124) "
	       "(i32.const 2))") },
};

static void one_condition(const struct event *ev)
{
	for (size_t i = 0; i < countof(conditions); i++) {
		double vm = vm_ns(ev, conditions[i].eql), lua = script_ns(ev, SCRIPT_LUA, conditions[i].lua);

		printf("{\"name\":\"script.vm.%s\",\"value\":%.4g,\"unit\":\"ns\"}\n", conditions[i].name, vm);
		printf("{\"name\":\"script.lua.%s\",\"value\":%.4g,\"unit\":\"ns\",\"times_the_vm\":%.2f}\n",
		       conditions[i].name, lua, lua / vm);
		if (have_wasm()) {
			double wasm = script_ns(ev, SCRIPT_WASM, conditions[i].wasm);

			printf("{\"name\":\"script.wasm.%s\",\"value\":%.4g,\"unit\":\"ns\",\"times_the_vm\":%.2f}\n",
			       conditions[i].name, wasm, wasm / vm);
		}
	}
}

/* ---- those that mean harm -------------------------------------------------------------------------------------- */

/* The least of some runs, in ms: what else the machine does is no delay of the script's making. */
static double stopped_ms(const struct event *ev, enum script_kind kind, const char *text, uint64_t instructions)
{
	struct script_limits limits = { .instructions = instructions, .strikes = UINT32_MAX };
	struct script_options options = { .limits = &limits };
	AUTO(script_code) code = NULL;
	AUTO(script) s = NULL;
	double best = 1e18;
	struct diag d;

	if (script_compile(kind, "bench", text, strlen(text), &options, &d, &code) < 0 || script_open(code, &s) < 0)
		die();
	for (int k = 0; k < STOPS; k++) {
		double began = now_ns(), ns;

		sink += script_run(s, ev);
		ns = now_ns() - began;
		best = ns < best ? ns : best;
	}
	return best / 1e6;
}

struct worst {
	double ms;
	const char *name;
	size_t n;
};

static void stopped(struct worst *w, const char *language, const char *name, double ms)
{
	if (getenv("BENCH_ALL"))
		printf("{\"name\":\"script.%s.hostile\",\"value\":%.3g,\"unit\":\"ms\",\"script\":\"%s\"}\n", language,
		       ms, name);
	w->n++;
	if (ms > w->ms) {
		w->ms = ms;
		w->name = name;
	}
}

static void report_worst(const struct worst *w, const char *language)
{
	printf("{\"name\":\"script.%s.stopped_after\",\"value\":%.3g,\"unit\":\"ms\",\"scripts\":%zu,\"worst\":\"%s\"}"
	       "\n",
	       language, w->ms, w->n, w->name);
}

static void hostile_scripts(const struct event *ev)
{
	struct worst lua = { 0 }, wasm = { 0 };

	log_set_level(LOG_LEVEL_ERROR);
	for (size_t i = 0; i < countof(hostile); i++) {
		char text[1024];

		(void)snprintf(text, sizeof(text), "%sfunction match(event) %s end", hostile[i].top, hostile[i].text);
		stopped(&lua, "lua", hostile[i].name, stopped_ms(ev, SCRIPT_LUA, text, 0));
	}
	report_worst(&lua, "lua");
	if (!have_wasm())
		return;
	for (size_t i = 0; i < countof(hostile_modules); i++)
		stopped(&wasm, "wasm", hostile_modules[i].name,
			stopped_ms(ev, SCRIPT_WASM, hostile_modules[i].text, hostile_modules[i].instructions));
	report_worst(&wasm, "wasm");
}

static void making(enum script_kind kind, const char *language, const char *text)
{
	AUTO(script_code) code = NULL;
	double compile = 1e18, open = 1e18;
	struct diag d;

	for (int i = 0; i < 100; i++) {
		AUTO(script) s = NULL;
		double began = now_ns(), between;

		script_code_free(take(code));
		if (script_compile(kind, "bench", text, strlen(text), NULL, &d, &code) < 0)
			die();
		between = now_ns();
		if (script_open(code, &s) < 0)
			die();
		compile = between - began < compile ? between - began : compile;
		open = now_ns() - between < open ? now_ns() - between : open;
	}
	printf("{\"name\":\"script.%s.compile\",\"value\":%.4g,\"unit\":\"us\",\"bytes\":%zu}\n", language,
	       compile / 1e3, script_size(code));
	printf("{\"name\":\"script.%s.open\",\"value\":%.4g,\"unit\":\"us\"}\n", language, open / 1e3);
}

int main(void)
{
	struct event ev;

	if (sensor_kinds_register() < 0)
		return 1;
	ev = hot_exec();
	if (!ev.kind)
		return 1;
	one_condition(&ev);
	making(SCRIPT_LUA, "lua", conditions[6].lua);
	if (have_wasm())
		making(SCRIPT_WASM, "wasm", conditions[6].wasm);
	hostile_scripts(&ev);
	return sink == 1;
}
