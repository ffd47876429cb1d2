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
#include "base/log.h"
#include "predicate/lua/hostile.h"
#include "predicate/predicate.h"
#include "predicate/script.h"
#include "rule/rule.h"
#include "sensors/process/process.event.h"
#include "sensors/sensor.h"

enum { ROUNDS = 7, TIMES = 200000, STOPS = 5 };

static struct {
	struct ev_exec exec;
	char text[512];
} rec;
static __u64 sink;

/* CPU time: on a machine that others use, the wall tells of them. */
static double now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void put(struct ev_str *s, const char *p, size_t n)
{
	static size_t at;

	memcpy(rec.text + at, p, n);
	*s = (struct ev_str) { (__u16)((size_t)(rec.text - (char *)&rec) + at), (__u16)n };
	at += n + 1;
}

static struct event record(void)
{
	rec.exec.head = (struct ev_head) {
		.time_ns = 123456789012345,
		.id = EV_EXEC,
		.len = sizeof(rec),
		.start_ns = 123456780000000,
		.pid = 4242,
		.tid = 4242,
		.uid = 1000,
		.gid = 1000,
		.comm = "cc",
	};
	put(&rec.exec.exe, "/usr/bin/x86_64-linux-gnu-gcc-12", 32);
	put(&rec.exec.args, "/usr/bin/cc\0-O2\0-g\0-Wall\0-c\0src/event/event.c\0-o\0event.o", 57);
	return (struct event) { .rec = &rec.exec.head, .kind = event_check(&rec, sizeof(rec)) };
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

/* The same in each language. A runtime that is not there has no figure. */
static const struct {
	const char *name, *eql, *lua;
} conditions[] = {
	{ "nothing", "true", "return function() return true end" },
	{ "number", "process.pid > 4000", "return function(event) return event['process.pid'] > 4000 end" },
	{ "text", "process.executable == \"/usr/bin/bash\"",
	  "return function() return shrike.field_is('process.executable', '/usr/bin/bash') end" },
	{ "text_made", "process.executable == \"/usr/bin/bash\"",
	  "return function(event) return event['process.executable'] == '/usr/bin/bash' end" },
	{ "wildcard", "process.executable like \"*gnu*clang*\"",
	  "local p = shrike.wildcard('*gnu*clang*') return function() return "
	  "shrike.field_matches('process.executable', p) end" },
	{ "any_argument", "process.args == \"-x\"",
	  "return function() return shrike.field_is('process.args', '-x') end" },
	{ "three", "process.pid > 4000 and process.executable like \"/usr/*\" and process.name == \"bash\"",
	  "return function(event) return event['process.pid'] > 4000 and "
	  "shrike.field_starts_with('process.executable', '/usr/') and event['process.name'] == 'bash' end" },
	{ "anew", "process.args == \"-x\"",
	  "local wanted = {'-x', '-y'} return function() for _, w in ipairs(wanted) do if "
	  "shrike.field_is('process.args', w) then return true end end end" },
};

static void one_condition(const struct event *ev)
{
	for (size_t i = 0; i < countof(conditions); i++) {
		double vm = vm_ns(ev, conditions[i].eql), lua = script_ns(ev, SCRIPT_LUA, conditions[i].lua);

		printf("{\"name\":\"script.vm.%s\",\"value\":%.4g,\"unit\":\"ns\"}\n", conditions[i].name, vm);
		printf("{\"name\":\"script.lua.%s\",\"value\":%.4g,\"unit\":\"ns\",\"times_the_vm\":%.2f}\n",
		       conditions[i].name, lua, lua / vm);
	}
}

/* ---- those that mean harm -------------------------------------------------------------------------------------- */

static void hostile_scripts(const struct event *ev)
{
	static const struct script_limits often = { .strikes = UINT32_MAX };
	static const struct script_options options = { .limits = &often };
	double worst = 0;
	const char *which = "";

	log_set_level(LOG_LEVEL_ERROR);
	for (size_t i = 0; i < countof(hostile); i++) {
		AUTO(script_code) code = NULL;
		AUTO(script) s = NULL;
		double best = 1e18;
		char text[1024];
		struct diag d;

		(void)snprintf(text, sizeof(text), "%sfunction match(event) %s end", hostile[i].top, hostile[i].text);
		if (script_compile(SCRIPT_LUA, "bench", text, strlen(text), &options, &d, &code) < 0 ||
		    script_open(code, &s) < 0)
			die();
		/* What else the machine does is no delay of the script's making: the least of some runs. */
		for (int k = 0; k < STOPS; k++) {
			double began = now_ns(), ns;

			sink += script_run(s, ev);
			ns = now_ns() - began;
			best = ns < best ? ns : best;
		}
		if (getenv("BENCH_ALL"))
			printf("{\"name\":\"script.lua.hostile\",\"value\":%.3g,\"unit\":\"ms\",\"script\":\"%s\"}\n",
			       best / 1e6, hostile[i].name);
		if (best > worst) {
			worst = best;
			which = hostile[i].name;
		}
	}
	printf("{\"name\":\"script.lua.stopped_after\",\"value\":%.3g,\"unit\":\"ms\",\"scripts\":%zu,\"worst\":\"%s\"}"
	       "\n",
	       worst / 1e6, countof(hostile), which);
}

static void making(void)
{
	const char *text = conditions[6].lua;
	AUTO(script_code) code = NULL;
	double compile = 1e18, open = 1e18;
	struct diag d;

	for (int i = 0; i < 100; i++) {
		AUTO(script) s = NULL;
		double began = now_ns(), between;

		script_code_free(take(code));
		if (script_compile(SCRIPT_LUA, "bench", text, strlen(text), NULL, &d, &code) < 0)
			die();
		between = now_ns();
		if (script_open(code, &s) < 0)
			die();
		compile = between - began < compile ? between - began : compile;
		open = now_ns() - between < open ? now_ns() - between : open;
	}
	printf("{\"name\":\"script.lua.compile\",\"value\":%.4g,\"unit\":\"us\",\"bytes\":%zu}\n", compile / 1e3,
	       script_size(code));
	printf("{\"name\":\"script.lua.open\",\"value\":%.4g,\"unit\":\"us\"}\n", open / 1e3);
}

int main(void)
{
	struct event ev;

	if (sensor_kinds_register() < 0)
		return 1;
	ev = record();
	if (!ev.kind)
		return 1;
	one_condition(&ev);
	making();
	hostile_scripts(&ev);
	return sink == 1;
}
