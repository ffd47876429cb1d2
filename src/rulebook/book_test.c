/* SPDX-License-Identifier: Apache-2.0 */
#include "rulebook/book.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/err.h"
#include "base/test.h"
#include "event/json_event.h"
#include "rulebook/maker.h"

enum { TEXT = 1 << 16 };

#define HEAD "id: r\nname: A rule\nseverity: low\n"
#define GOOD HEAD "eql: any where true\n"

static void write_problems(const struct book *b, struct buf *out)
{
	for (size_t i = 0; i < b->n_problems; i++) {
		buf_str(out, i ? "\n" : "");
		book_problem_write(&b->problem[i], out);
	}
}

static struct book *read_text(const char *name, const char *text)
{
	const struct book_options options = { .keep_tests = true };
	struct book *b = NULL;

	check(book_read_text(name, text, strlen(text), &options, &b) == 0);
	return b;
}

TEST(what_is_wrong_with_a_rule_file_is_told_at_its_place)
{
	static const struct {
		const char *name, *text, *want;
	} rows[] = {
		{ "nothing wrong", GOOD, "" },
		{ "no rule at all", "# nothing\n", "f.yml: warning: there is no rule in it" },
		{ "something else", "site_name: X\nnav:\n  - a.md\n", "f.yml:1:1: warning: there is no rule in it" },
		{ "not YAML", "id: [\n", "f.yml:" },
		{ "a list of nothing", "rules: x\n", "f.yml:1:8: rules: is to be a list, not a text" },
		{ "beside a list", "rules: []\nid: r\n", "f.yml:2:1: id: nothing stands beside a list of rules" },
		{ "a key that nobody knows", GOOD "severty: low\n",
		  "f.yml:5:1: r: severty: no such key; did you mean \"severity\"?" },
		{ "no id", "name: A rule\nseverity: low\neql: any where true\n",
		  "f.yml:1:1: a rule: \"id\" is missing" },
		{ "an id with capitals", "id: Rule\nname: A rule\nseverity: low\neql: any where true\n",
		  "f.yml:1:5: id: \"Rule\": small letters, digits and hyphens" },
		{ "a severity of its own", "id: r\nname: A\nseverity: terrible\neql: any where true\n",
		  "f.yml:3:11: r: severity: is to be one of informational, low, medium, high, critical" },
		{ "a risk too high", GOOD "risk: 101\n", "f.yml:5:7: r: risk: is to be a number from 1 to 100" },
		{ "a risk of none", GOOD "risk: 0\n", "f.yml:5:7: r: risk: is to be a number from 1 to 100" },
		{ "nothing to look for", HEAD,
		  "f.yml:1:1: r: one of eql, kql, sigma, lua and wasm is to say what the rule looks for" },
		{ "KQL that is none, in a block", "id: r\nname: N\nseverity: low\nkql: |\n  a:b and\n  c:d e:f\n",
		  "f.yml:6:7: r: \"and\" or \"or\" is missing before this" },
		{ "KQL and EQL", "id: r\nname: N\nseverity: low\nkql: 'a:b'\neql: any where true\n",
		  "f.yml:4:1: r: kql: the rule has \"eql\" already; one of them" },
		{ "a list of objects in KQL", "id: r\nname: N\nseverity: low\nkql: 'a:{b:c}'\n",
		  "f.yml:4:9: r: which values belong to one object of a list is not known here" },
		{ "two things to look for", GOOD "sigma: {}\n",
		  "f.yml:5:1: r: sigma: the rule has \"eql\" already; one of them" },
		{ "a query on its line", HEAD "eql: any whre true\n", "f.yml:4:10: r: " },
		{ "a query in quotes", HEAD "eql: \"any whre true\"\n", "f.yml:4:11: r: " },
		{ "a query with a colon", HEAD "eql: file where user.name : \"\u00e4\"\n",
		  "f.yml:4:27: not YAML: a second colon in this line: put the text in quotes" },
		{ "a query with a colon behind letters", HEAD "eql: \u00e4\u00f6 where b : c\n",
		  "f.yml:4:17: not YAML: a second" },
		{ "a query as a block", HEAD "eql: |\n\n  any where true and\n    !!\n", "f.yml:7:5: r: " },
		{ "no such tactic", GOOD "attack: [{tactic: TA9999}]\n",
		  "f.yml:5:19: r: tactic: \"TA9999\" is none: ids are written as in TA0003" },
		{ "no such id of a technique", GOOD "attack: [{technique: T1.2}]\n",
		  "f.yml:5:22: r: technique: \"T1.2\" is none: ids are written as in T1053 or T1053.003" },
		{ "an action that nobody does", GOOD "actions: [alert, explode]\n",
		  "f.yml:5:10: r: actions: there is no responder \"explode\"" },
		{ "a throttle without a time", GOOD "throttle: {by: user.id}\n",
		  "f.yml:5:11: r: throttle: \"for\" is missing" },
		{ "a throttle for some time", GOOD "throttle: {for: long}\n",
		  "f.yml:5:17: r: for: is to be a time such as 30s, 10m or 1h" },
		{ "an exception that is no condition", GOOD "exceptions:\n  - {name: a, where: 'user.id =='}\n",
		  "f.yml:6:" },
		{ "an exception with a pattern that is none",
		  GOOD "exceptions:\n  - {name: a, where: 'user.name regex \"(\"'}\n", "f.yml:6:22: r: where: " },
		{ "an exception about descent",
		  GOOD "exceptions:\n  - {name: a, where: 'descendant of [process where true]'}\n",
		  "f.yml:6:22: r: where: what a process descends from cannot make an exception" },
		{ "a test without events", GOOD "tests:\n  - {name: t, match: 1, events: []}\n",
		  "f.yml:6:33: r: events: is to be a list of events" },
		{ "a test that is after and at",
		  GOOD
		  "tests:\n  - {name: t, match: 1, events: [{after: 1s, \"@timestamp\": \"2024-01-01T00:00:00Z\"}]}\n",
		  "f.yml:6:35: r: after: the event has its @timestamp already" },
		{ "Sigma without a detection", HEAD "sigma: {logsource: {product: linux}}\n", "f.yml:4:" },
		{ "a script that is none", HEAD "lua: |\n  function match(e)\n    return ==\n  end\n", "f.yml:6:" },
		{ "a module from elsewhere", HEAD "wasm: ../x.wasm\n",
		  "f.yml:4:7: r: wasm: is to be a file beside this one, or the text of a module" },
		{ "a script about a sequence",
		  HEAD "lua: 'return function() end'\nwhen: 'sequence [any where true] [any where true]'\n",
		  "f.yml:5:7: r: when: a script is asked about single events: no sequence, and no pipe" },
		{ "a list without items", HEAD "lua: 'return function() end'\nlists: [{name: x}]\n", "f.yml:5:" },
		{ "a list that the script does not find",
		  HEAD "lua: 'local l = shrike.list(\"y\") return function() end'\nlists: [{name: x, items: [a]}]\n",
		  "the rule has no list \"y\"" },
		{ "a query with lists", GOOD "lists: [{name: x, items: [a]}]\n",
		  "f.yml:5:1: r: lists: only a script looks values up in them" },
		{ "a query with a when", GOOD "when: any where true\n",
		  "f.yml:5:1: r: when: only a script is asked of some events alone" },
		{ "two of one id",
		  "rules:\n  - {id: r, name: A, severity: low, eql: any where true}\n"
		  "  - {id: r, name: B, severity: low, eql: any where false}\n",
		  "f.yml:3:5: r: there is a rule \"r\" already, in f.yml:2" },
	};

	for_each_row (r, rows) {
		AUTO(book) b = read_text("f.yml", r->text);
		auto_buf struct buf got = { .max = TEXT };

		require(b);
		write_problems(b, &got);
		if (*r->want)
			check_has(buf_text(&got), r->want);
		else
			check_str(buf_text(&got), "");
	}
}

TEST(a_script_has_the_lists_of_its_rule)
{
	static const char text[] = "id: r\nname: R\nseverity: low\n"
				   "lists:\n  - {name: shells, items: [sh, bash]}\n  - {name: one, items: zsh}\n"
				   "lua: |\n"
				   "  local shells, one = shrike.list('shells'), shrike.list('one')\n"
				   "  function match(e)\n"
				   "    return shrike.field_in('process.name', shells) and shrike.in_list('zsh', one)\n"
				   "  end\n";
	auto_json_event struct json_event je = { 0 };
	AUTO(book) b = read_text("f.yml", text);
	auto_buf struct buf got = { .max = TEXT };
	static const struct {
		const char *name, *line;
		enum script_verdict want;
	} rows[] = {
		{ "in it", "{\"process\":{\"name\":\"bash\"}}", SCRIPT_YES },
		{ "not in it", "{\"process\":{\"name\":\"zsh\"}}", SCRIPT_NO },
	};
	AUTO(script) s = NULL;
	struct event ev;

	require(b);
	write_problems(b, &got);
	check_str(buf_text(&got), "");
	require(b->n_rules == 1 && b->rule[0].script);
	require_ok(script_open(b->rule[0].script, &s));
	json_event_init(&je, false);
	ev = json_event_as_event(&je);
	for_each_row (r, rows) {
		require_ok(json_event_parse(&je, r->line, strlen(r->line)));
		check_int(script_run(s, &ev), r->want);
	}
}

TEST(a_rule_has_all_that_its_file_says)
{
	static const char text[] =
		"id: shell-1\nname: A shell\nversion: 1.2\ndescription: What.\nseverity: high\nrisk: 80\nauthor: Us\n"
		"license: MIT\nattack:\n  - {tactic: TA0003, technique: T1053.003}\n  - {technique: T9999}\n"
		"references: https://example.org/\ntags: [a, b]\nfalse_positives: Few.\nnext: Look.\nmode: inline\n"
		"eql: any where process.pid == 1\nactions: [alert]\nthrottle: {by: [user.id, host.id], for: 10m}\n"
		"exceptions:\n  - {name: x, reason: y, where: 'user.id == \"0\"'}\n"
		"tests:\n  - name: t\n    match: 2\n    events:\n"
		"      - {process.pid: 1, user: {id: \"5\", ok: true}, l: [a, ~, -1.5], s: 'true', v: 01}\n"
		"      - {after: 5s}\n      - {}\n";
	AUTO(book) b = read_text("f.yaml", text);
	const struct book_rule *r;
	auto_buf struct buf got = { .max = TEXT };

	require(b);
	write_problems(b, &got);
	check_str(buf_text(&got), "");
	require(b->n_rules == 1);
	r = book_find(b, "shell-1");
	require(r);
	check_str(r->name, "A shell");
	check_str(r->version, "1.2");
	check_str(r->description, "What.");
	check_int(r->severity, BOOK_HIGH);
	check_int(r->risk, 80);
	check_str(r->author, "Us");
	check_str(r->license, "MIT");
	require(r->n_attack == 2);
	check_str(r->attack[0].tactic, "Persistence");
	check_str(r->attack[0].technique_id, "T1053");
	check_str(r->attack[0].technique, "Scheduled Task/Job");
	check_str(r->attack[0].sub_id, "T1053.003");
	check_str(r->attack[0].sub, "Cron");
	check_str(r->attack[1].technique_id, "T9999");
	check(!r->attack[1].technique && !r->attack[1].tactic_id && !r->attack[1].sub_id);
	require(r->n_references == 1 && r->n_tags == 2 && r->n_actions == 1);
	check_str(r->references[0], "https://example.org/");
	check_str(r->tags[1], "b");
	check_str(r->false_positives, "Few.");
	check_str(r->next, "Look.");
	check_int(r->mode, BOOK_INLINE);
	check_int(r->throttle.for_ns, 600000000000);
	require(r->throttle.n_by == 2);
	check_str(field_name(r->throttle.by[1]), "host.id");
	require(r->n_exceptions == 1);
	check_str(r->exception[0].name, "x");
	check_int(r->exception[0].where->kind, QUERY_CONDITION);
	require(r->n_tests == 1 && r->test[0].n_events == 3);
	check_int(r->test[0].matches, 2);
	check_str(r->test[0].events[0], "{\"@timestamp\":\"2024-01-01T00:00:00.000000000Z\",\"process.pid\":1,\"user\":"
					"{\"id\":\"5\",\"ok\":true},"
					"\"l\":[\"a\",null,-1.5],\"s\":\"true\",\"v\":\"01\"}");
	check_str(r->test[0].events[1], "{\"@timestamp\":\"2024-01-01T00:00:05.000000000Z\"}");
	check_str(r->test[0].events[2], "{\"@timestamp\":\"2024-01-01T00:00:06.000000000Z\"}");
	check_int(r->line, 1);
}

TEST(a_sigma_rule_has_what_its_file_says)
{
	static const char text[] =
		"title: Shells\nid: 6f7f1a2c-0000-4000-8000-000000000001\nlevel: high\nauthor: A, B\n"
		"date: 2024-01-02\nmodified: 2024-05-06\ndescription: What.\n"
		"references: [https://example.org/]\nfalsepositives: [Admins, Tests]\n"
		"tags: [attack.execution, attack.t1059.004, cve.2024-1]\n"
		"logsource: {product: linux, category: process_creation}\n"
		"detection:\n  sel:\n    Image|endswith: /sh\n  condition: sel\n";
	AUTO(book) b = read_text("f.yml", text);
	const struct book_rule *r;
	auto_buf struct buf got = { .max = TEXT };

	require(b);
	write_problems(b, &got);
	check_str(buf_text(&got), "");
	require(b->n_rules == 1);
	r = &b->rule[0];
	check_int(r->source, BOOK_SIGMA);
	check_str(r->id, "6f7f1a2c-0000-4000-8000-000000000001");
	check_str(r->name, "Shells");
	check_str(r->version, "2024-05-06");
	check_str(r->author, "A, B");
	check_str(r->false_positives, "Admins\nTests");
	check_int(r->severity, BOOK_HIGH);
	check_int(r->risk, 73);
	check_int(r->n_tags, 3);
	require(r->n_attack == 2);
	check_str(r->attack[0].tactic_id, "TA0002");
	check_str(r->attack[1].sub, "Unix Shell");
	check_str(r->attack[1].tactic, "Execution");
}

TEST(an_elastic_rule_has_what_its_file_says)
{
	static const char text[] =
		"[metadata]\nmaturity = \"production\"\n[rule]\nauthor = [\"A\", \"B\"]\nrule_id = \"r-1\"\nname = "
		"\"N\"\n"
		"severity = \"low\"\nrisk_score = 21\nlicense = \"L\"\ntype = \"eql\"\nnote = \"Look.\"\n"
		"false_positives = [\"x\", \"y\"]\nreferences = [\"u\"]\ntags = [\"t\"]\n"
		"query = '''\nany where\n  process.pid == 1\n'''\n"
		"[[rule.threat]]\nframework = \"MITRE ATT&CK\"\n[[rule.threat.technique]]\nid = \"T1053\"\n"
		"[[rule.threat.technique.subtechnique]]\nid = \"T1053.003\"\n[[rule.threat.technique.subtechnique]]\n"
		"id = \"T1053.999\"\nname = \"New\"\n[rule.threat.tactic]\nid = \"TA0003\"\n"
		"[rule.alert_suppression]\ngroup_by = [\"user.id\"]\nduration = { value = 5, unit = \"m\" }\n";
	AUTO(book) b = read_text("f.toml", text);
	const struct book_rule *r;
	auto_buf struct buf got = { .max = TEXT };

	require(b);
	write_problems(b, &got);
	check_str(buf_text(&got), "");
	require(b->n_rules == 1);
	r = &b->rule[0];
	check_int(r->source, BOOK_ELASTIC);
	check_str(r->author, "A, B");
	check_str(r->false_positives, "x\ny");
	check_str(r->next, "Look.");
	check_int(r->risk, 21);
	check_int(r->throttle.for_ns, 300000000000);
	require(r->n_attack == 2 && r->throttle.n_by == 1);
	check_str(r->attack[0].tactic, "Persistence");
	check_str(r->attack[0].sub, "Cron");
	check_str(r->attack[1].technique, "Scheduled Task/Job");
	check_str(r->attack[1].sub, "New");
}

#define KUERY     "[rule]\nrule_id = \"r\"\ntype = \"query\"\n"
#define THRESHOLD "[rule]\nrule_id = \"r\"\ntype = \"threshold\"\nquery = \"a:b\"\n"

TEST(what_is_wrong_with_an_elastic_rule_is_told_at_its_place)
{
	static const struct {
		const char *name, *text, *want, *feature;
	} rows[] = {
		{ "no rule", "a = 1\n", "f.toml: warning: there is no rule in it", NULL },
		{ "no TOML", "[rule\n", "f.toml:1:6: expected \"]\"", NULL },
		{ "no id", "[rule]\n", "f.toml:1:2: rule_id: the rule has none", NULL },
		{ "no query", "[rule]\nrule_id = \"r\"\n", "f.toml:1:2: r: query: the rule has none", NULL },
		{ "a query that is none", "[rule]\nrule_id = \"r\"\nquery = '''\n\nany\n  whre true\n'''",
		  "f.toml:6:3: r: ", NULL },
		{ "a query on its line", "[rule]\nrule_id = \"r\"\nquery = \"any whre true\"",
		  "f.toml:3:14: r: ", NULL },
		{ "another language", "[rule]\nrule_id = \"r\"\ntype = \"query\"\nlanguage = \"lucene\"\n",
		  "f.toml:4:12: r: language: queries in lucene cannot be run", "lucene" },
		{ "a language of its own", "[rule]\nrule_id = \"r\"\ntype = \"query\"\nlanguage = \"x\"\n",
		  "f.toml:4:12: r: language: \"x\" is none of rules of this type", NULL },
		{ "another type", "[rule]\nrule_id = \"r\"\ntype = \"new_terms\"\n",
		  "f.toml:3:8: r: type: rules of the type new_terms cannot be run", "new_terms" },
		{ "KQL that is none", KUERY "query = \"a:b c:d\"\n",
		  "f.toml:4:14: r: \"and\" or \"or\" is missing before this", NULL },
		{ "KQL that is none, on a later line", KUERY "query = '''\na:b and\n  c:(d\n'''\n",
		  "f.toml:7:1: r: expected \"and\", \"or\" or \")\", found the end", NULL },
		{ "KQL that needs what is not there", KUERY "query = \"a.*:b\"\n", "f.toml:4:10: r: which fields",
		  "field_wildcard" },
		{ "filters", KUERY "query = \"a:b\"\n[[rule.filters]]\n[rule.filters.meta]\nnegate = false\n",
		  "f.toml:5:8: r: filters: ", "filters" },
		{ "no threshold", THRESHOLD, "f.toml:1:2: r: threshold: has a value", NULL },
		{ "a threshold without a value", THRESHOLD "[rule.threshold]\nfield = [\"a\"]\n",
		  "f.toml:5:7: r: threshold: has a value", NULL },
		{ "a threshold of none", THRESHOLD "[rule.threshold]\nvalue = 0\n",
		  "f.toml:6:9: r: threshold: has a value", NULL },
		{ "a threshold of too many", THRESHOLD "[rule.threshold]\nvalue = 101\n",
		  "f.toml:6:9: r: threshold: a count of more than 100", "event_count" },
		{ "a threshold by no field", THRESHOLD "[rule.threshold]\nvalue = 5\nfield = [\"\"]\n",
		  "f.toml:7:9: r: field: \"\" is not the name of a field", NULL },
		{ "values among too many events",
		  THRESHOLD "[rule.threshold]\nvalue = 3\n[[rule.threshold.cardinality]]\nfield = \"b\"\nvalue = 2\n",
		  "f.toml:9:9: r: cardinality: only two values", "value_count" },
		{ "too many values",
		  THRESHOLD "[rule.threshold]\nvalue = 1\n[[rule.threshold.cardinality]]\nfield = \"b\"\nvalue = 3\n",
		  "f.toml:9:9: r: cardinality: only two values", "value_count" },
		{ "a cardinality of nothing",
		  THRESHOLD "[rule.threshold]\nvalue = 1\n[[rule.threshold.cardinality]]\nvalue = 3\n",
		  "f.toml:7:18: r: cardinality: has a field", NULL },
		{ "an unknown beginning", THRESHOLD "from = \"now/d\"\n[rule.threshold]\nvalue = 5\n",
		  "f.toml:5:8: r: from: is to be a time before now", "date_math" },
		{ "no time before now", THRESHOLD "from = \"1234567m\"\n[rule.threshold]\nvalue = 5\n",
		  "f.toml:5:8: r: from: is to be a time before now", "date_math" },
		{ "more than a year", THRESHOLD "from = \"now-53w\"\n[rule.threshold]\nvalue = 5\n",
		  "f.toml:5:8: r: from: is to be a time before now", "date_math" },
		{ "an end before now", THRESHOLD "from = \"now-9m\"\nto = \"now-1m\"\n[rule.threshold]\nvalue = 5\n",
		  "f.toml:6:6: r: to: only events until now", "date_math" },
		{ "a type of its own", "[rule]\nrule_id = \"r\"\ntype = \"magic\"\n",
		  "f.toml:3:8: r: type: \"magic\" is none that we know", NULL },
	};

	for_each_row (r, rows) {
		AUTO(book) b = read_text("f.toml", r->text);
		auto_buf struct buf got = { .max = TEXT };

		require(b && b->n_problems);
		check_int(b->n_rules, 0);
		write_problems(b, &got);
		check_has(buf_text(&got), r->want);
		check_str(b->problem[0].feature ? b->problem[0].feature : "", r->feature ? r->feature : "");
	}
}

TEST(a_folder_may_be_made_of_links_to_others)
{
	static const char rule[] = "id: mine\nname: Mine\nseverity: low\neql: any where true\n";
	char folder[] = "/tmp/shrike-book-XXXXXX", other[] = "/tmp/shrike-book-XXXXXX", path[64], link[64], loop[64];
	AUTO(book) book = NULL;
	FILE *f;

	require(mkdtemp(folder) && mkdtemp(other));
	(void)snprintf(path, sizeof(path), "%s/mine.yml", other);
	(void)snprintf(link, sizeof(link), "%s/others", folder);
	(void)snprintf(loop, sizeof(loop), "%s/back", other);
	f = fopen(path, "we");
	require(f);
	(void)fputs(rule, f);
	check(fclose(f) == 0 && symlink(other, link) == 0 && symlink(folder, loop) == 0);
	check_int(book_read(folder, NULL, &book), 0);
	(void)unlink(path);
	(void)unlink(link);
	(void)unlink(loop);
	(void)rmdir(folder);
	(void)rmdir(other);
	require(book);
	check_int(book->n_rules, 1);
	check_int(book->n_problems, 0);
}

/* One file of a checkout is no reason to say nothing of the others. */
TEST(what_cannot_be_read_in_a_folder_is_a_problem_of_its_own)
{
	char folder[] = "/tmp/shrike-book-XXXXXX", path[4][64];
	auto_buf struct buf got = { .max = TEXT };
	AUTO(book) book = NULL;
	FILE *f;

	require(mkdtemp(folder));
	(void)snprintf(path[0], sizeof(path[0]), "%s/a.yml", folder);
	(void)snprintf(path[1], sizeof(path[1]), "%s/b.yml", folder);
	(void)snprintf(path[2], sizeof(path[2]), "%s/c.yml", folder);
	(void)snprintf(path[3], sizeof(path[3]), "%s/shipped", folder);
	f = fopen(path[0], "we");
	require(f);
	/* Larger than any file of rules may be, but nothing of it is on the disk. */
	check(ftruncate(fileno(f), (off_t)1 << 30) == 0 && fclose(f) == 0);
	f = fopen(path[1], "we");
	require(f);
	(void)fputs(GOOD, f);
	check(fclose(f) == 0 && symlink("/nonexistent/c.yml", path[2]) == 0 && symlink("/nonexistent", path[3]) == 0);
	check_int(book_read(folder, NULL, &book), 0);
	for (size_t i = 0; i < countof(path); i++)
		(void)unlink(path[i]);
	(void)rmdir(folder);
	require(book);
	check_int(book->n_rules, 1);
	check_int(book->n_wrong, 1);
	write_problems(book, &got);
	check_has(buf_text(&got), "/a.yml: File too large\n");
	check_has(buf_text(&got), "/c.yml: warning: a link that leads nowhere\n");
	check_has(buf_text(&got), "/shipped: warning: a link that leads nowhere");
}

/* A reader may take the word from the file, which is gone when somebody asks. */
TEST(the_name_of_what_is_missing_outlives_the_file)
{
	char word[] = "wasm";
	AUTO(book) book = NULL;
	struct maker m;

	require(maker_open(&m, NULL) == 0);
	m.file = "f.yml";
	maker_missing(&m, (struct place) { 1, 1 }, "r", word, "not here");
	memset(word, 'x', sizeof(word) - 1);
	check_int(maker_close(&m, 0, &book), 0);
	require(book && book->n_problems == 1);
	check_str(book->problem[0].feature, "wasm");
}

TEST(sigma_files_as_people_have_them)
{
#define BODY "logsource: {product: linux}\ndetection: {s: {a: b}, condition: s}\n"
	static const struct {
		const char *name, *text, *want;
		size_t n_rules;
	} rows[] = {
		{ "a level in large letters", "title: T\nid: a\nlevel: HIGH\n" BODY, "", 1 },
		{ "another level", "title: T\nid: a\nlevel: huge\n" BODY, "f.yml:3:8: warning: a: level: is none", 1 },
		{ "no detection", "title: T\nid: a\nlogsource: {product: linux}\n",
		  "f.yml:1:1: a: a rule without a detection", 0 },
		{ "shared parts before rules",
		  "action: global\ntitle: T\nid: a\nlogsource: {product: linux}\n---\n" BODY,
		  "f.yml:1:1: a: collections of older rules", 0 },
		{ "shared parts with a detection", "action: global\ntitle: T\n" BODY "---\n" BODY,
		  "f.yml:1:1: collections of older rules", 0 },
	};
#undef BODY

	for_each_row (r, rows) {
		AUTO(book) b = read_text("f.yml", r->text);
		auto_buf struct buf got = { .max = TEXT };

		require(b);
		write_problems(b, &got);
		check_int(b->n_problems, r->want[0] != 0);
		check_has(buf_text(&got), r->want);
		check_int(b->n_rules, r->n_rules);
		if (b->n_rules && !r->want[0])
			check_int(b->rule[0].severity, BOOK_HIGH);
	}
}

TEST(alerts_of_elastics_counts_are_folded_by_what_is_counted)
{
	static const struct {
		const char *name, *rest;
		uint64_t for_s;
		size_t n_by;
	} rows[] = {
		{ "for as long as it looks back", "from = \"now-9m\"\n[rule.threshold]\nvalue = 5\nfield = [\"a\"]\n",
		  540, 1 },
		{ "all together", "[rule.threshold]\nvalue = 5\n", 360, 0 },
		{ "as it says itself",
		  "[rule.threshold]\nvalue = 5\nfield = [\"a\", \"b\"]\n[rule.alert_suppression]\nduration = { value = "
		  "2, "
		  "unit = \"h\" }\n",
		  7200, 2 },
	};

	for_each_row (r, rows) {
		char text[512];
		AUTO(book) b = NULL;

		(void)snprintf(text, sizeof(text), THRESHOLD "%s", r->rest);
		b = read_text("f.toml", text);
		require(b && b->n_rules == 1);
		check_int(b->rule[0].throttle.for_ns, r->for_s * 1000000000);
		check_int(b->rule[0].throttle.n_by, r->n_by);
	}
}

/* What is missing is looked up there, by the name that import gives it. */
TEST(every_feature_that_is_missing_is_in_the_guide)
{
	auto_file FILE *f = fopen(SHRIKE_SOURCE_DIR "/docs/rules.md", "re");
	char page[TEXT] = "", row[96];

	require(f && fread(page, 1, sizeof(page) - 1, f) > 0);
	for (const struct book_feature *b = book_features; b->name; b++) {
		(void)snprintf(row, sizeof(row), "| `%s` | ", b->name);
		check_has(page, row);
		check_has(page, b->doc);
	}
}

/* A word that a reader gives is one of the table. */
TEST(what_is_missing_has_a_name_that_is_known)
{
	static const struct {
		const char *name, *file, *text;
	} rows[] = {
		{ "an action", "f.yml", GOOD "actions: [kill]\n" },
		{ "a wildcard in KQL", "f.toml", "[rule]\nrule_id = \"r\"\ntype = \"query\"\nquery = \"a*:b\"\n" },
		{ "an object in KQL", "f.toml", "[rule]\nrule_id = \"r\"\ntype = \"query\"\nquery = \"a:{b:c}\"\n" },
		{ "now in KQL", "f.toml", "[rule]\nrule_id = \"r\"\ntype = \"query\"\nquery = \"a > now-1d\"\n" },
		{ "filters", "f.toml", "[rule]\nrule_id = \"r\"\nfilters = [{a = 1}]\n" },
		{ "a query of Kibana's", "f.toml", "[rule]\nrule_id = \"r\"\ntype = \"saved_query\"\n" },
		{ "Lucene", "f.toml", "[rule]\nrule_id = \"r\"\ntype = \"query\"\nlanguage = \"lucene\"\n" },
		{ "ES|QL", "f.toml", "[rule]\nrule_id = \"r\"\ntype = \"esql\"\n" },
		{ "new terms", "f.toml", "[rule]\nrule_id = \"r\"\ntype = \"new_terms\"\n" },
		{ "indicators", "f.toml", "[rule]\nrule_id = \"r\"\ntype = \"threat_match\"\n" },
		{ "models", "f.toml", "[rule]\nrule_id = \"r\"\ntype = \"machine_learning\"\n" },
		{ "another category", "f.toml", "[rule]\nrule_id = \"r\"\nevent_category_override = \"x\"\n" },
		{ "another system", "f.yml",
		  "title: T\nid: a\nlogsource: {product: windows}\ndetection: {s: {a: b}, condition: s}\n" },
	};

	for_each_row (r, rows) {
		AUTO(book) b = read_text(r->file, r->text);

		require(b && b->n_problems && b->problem[0].feature);
		check(book_feature_doc(b->problem[0].feature));
	}
}
