/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/test.h"
#include "event/json_event.h"
#include "predicate/script.h"

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
