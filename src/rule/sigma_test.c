/* SPDX-License-Identifier: Apache-2.0 */
#include "rule/sigma.h"
#include <string.h>
#include "base/err.h"
#include "base/test.h"
#include "event/json_event.h"
#include "hunt/hunt.h"
#include "predicate/set.h"
#include "predicate/tree.h"
#include "rule/sigma_lower.h"

static int compile(const char *text, const struct sigma_options *options, struct sigma_problem *problem,
		   struct query **ret_query)
{
	int r = sigma_compile_text(text, strlen(text), options, problem, ret_query);

	err_clear();
	return r;
}

/* ---- what a rule asks of an event ---------------------------------------------------------------- */

/* By walking the tree, by the program and by the set: "yes", "no", or that they disagree. */
static const char *verdict_of(const struct query *q, const char *line)
{
	AUTO(predicate_set_builder) builder = NULL;
	AUTO(predicate_scratch) scratch = NULL;
	AUTO(predicate_set) set = NULL;
	auto_json_event struct json_event json;
	auto_arena struct arena arena;
	struct event ev = json_event_as_event(&json);
	struct predicate_input in = { .ev = &ev };
	const uint32_t *hits;
	uint32_t index;
	bool slow, fast;

	json_event_init(&json, false);
	arena_init(&arena, 1 << 22);
	if (json_event_parse(&json, line, strlen(line)) < 0)
		return "no event";
	if (predicate_set_builder_new(&builder) < 0 || predicate_scratch_new(&scratch) < 0 ||
	    predicate_set_builder_add(builder, q, q->stage[0].condition, q->stage[0].category, &index) < 0 ||
	    predicate_set_build(builder, &set) < 0)
		return err_trail();
	slow = tree_test(q, q->stage[0].condition, &in, &arena) == TRUTH_TRUE;
	fast = predicate_set_run(set, &in, scratch, &hits) == 1;
	if (!q->stage[0].category && slow != fast)
		return "the two disagree";
	return fast ? "yes" : "no";
}

static const char *asked(const char *detection, const struct sigma_options *options, const char *line)
{
	static char why[DIAG_MESSAGE_MAX + 32];
	struct sigma_problem problem;
	AUTO(query) q = NULL;

	if (compile(detection, options, &problem, &q) < 0) {
		(void)snprintf(why, sizeof(why), "%u:%u: %s", problem.diag.line, problem.diag.column,
			       problem.diag.message);
		return why;
	}
	return verdict_of(q, line);
}

#define S(selection) "detection:\n  s:\n    " selection "\n  condition: s\n"

TEST(values_and_modifiers_mean_what_the_specification_says)
{
	static const struct {
		const char *name, *rule, *event, *want;
	} rows[] = {
		{ "case does not count", S("a: Word"), "{\"a\":\"wORD\"}", "yes" },
		{ "the whole value", S("a: word"), "{\"a\":\"words\"}", "no" },
		{ "a list is any", S("a: [x, y]"), "{\"a\":\"Y\"}", "yes" },
		{ "a map is all", S("{a: x, b: y}"), "{\"a\":\"x\",\"b\":\"z\"}", "no" },
		{ "a list of maps is any", S("- a: x\n    - b: y"), "{\"b\":\"y\"}", "yes" },
		{ "any item of an event's list", S("a: x"), "{\"a\":[\"w\",\"x\"]}", "yes" },
		{ "*", S("a: '*end'"), "{\"a\":\"at the end\"}", "yes" },
		{ "?", S("a: w?rd"), "{\"a\":\"word\"}", "yes" },
		{ "? is one letter", S("a: w?rd"), "{\"a\":\"wrd\"}", "no" },
		{ "an escaped star", S("a: 'x\\*'"), "{\"a\":\"x*\"}", "yes" },
		{ "an escaped star is no wildcard", S("a: 'x\\*'"), "{\"a\":\"xy\"}", "no" },
		{ "an escaped backslash before a star", S("a: 'x\\\\*'"), "{\"a\":\"x\\\\yz\"}", "yes" },
		{ "a backslash alone", S("a: 'c:\\dir'"), "{\"a\":\"C:\\\\Dir\"}", "yes" },
		{ "a backslash at the end of what contains", S("a|contains: 'dir\\'"), "{\"a\":\"c:\\\\dir\\\\x\"}",
		  "yes" },
		{ "two backslashes are one", S("a|startswith: 'c:\\\\d'"), "{\"a\":\"c:\\\\dir\"}", "yes" },
		{ "contains", S("a|contains: B"), "{\"a\":\"abc\"}", "yes" },
		{ "contains, with a wildcard in it", S("a|contains: 'b*d'"), "{\"a\":\"abcde\"}", "yes" },
		{ "startswith", S("a|startswith: ab"), "{\"a\":\"xab\"}", "no" },
		{ "endswith", S("a|endswith: [.sh, .py]"), "{\"a\":\"/x/Y.PY\"}", "yes" },
		{ "all", S("a|contains|all: [x, y]"), "{\"a\":\"y and x\"}", "yes" },
		{ "all: one is not there", S("a|contains|all: [x, y]"), "{\"a\":\"x\"}", "no" },
		{ "all, over the items of a list", S("a|all: [x, y]"), "{\"a\":[\"x\",\"y\"]}", "yes" },
		{ "cased", S("a|cased: Word"), "{\"a\":\"word\"}", "no" },
		{ "contains and cased", S("a|contains|cased: Wo"), "{\"a\":\"Word\"}", "yes" },
		{ "neq", S("a|neq: x"), "{\"a\":\"y\"}", "yes" },
		{ "neq of a list", S("a|neq: [x, y]"), "{\"a\":\"y\"}", "no" },
		{ "a number", S("a: 4"), "{\"a\":4}", "yes" },
		{ "a number in an event's text", S("a: 4"), "{\"a\":\"4\"}", "yes" },
		{ "a number's text", S("a: '4'"), "{\"a\":4}", "yes" },
		{ "a number in hex", S("a: 0x10"), "{\"a\":16}", "yes" },
		{ "zeros in front are a text", S("a: 0755"), "{\"a\":\"0755\"}", "yes" },
		{ "another number", S("a: 4"), "{\"a\":40}", "no" },
		{ "contains a number", S("a|contains: 40"), "{\"a\":\"x=1400\"}", "yes" },
		{ "a truth", S("a: true"), "{\"a\":true}", "yes" },
		{ "a truth in a text", S("a: 'true'"), "{\"a\":\"True\"}", "yes" },
		{ "another truth", S("a: false"), "{\"a\":true}", "no" },
		{ "null: missing", S("a: null"), "{\"b\":1}", "yes" },
		{ "null: there", S("a: null"), "{\"a\":\"\"}", "no" },
		{ "nothing is null", S("a:"), "{\"a\":null}", "yes" },
		{ "an empty text", S("a: ''"), "{\"a\":\"\"}", "yes" },
		{ "an empty text is not null", S("a: ''"), "{\"b\":1}", "no" },
		{ "null or a text", S("a: [null, x]"), "{\"a\":\"x\"}", "yes" },
		{ "any value at all", S("a: '*'"), "{\"a\":7}", "yes" },
		{ "any value at all: none", S("a: '*'"), "{\"b\":7}", "no" },
		{ "exists", S("a|exists: true"), "{\"a\":\"\"}", "yes" },
		{ "exists not", S("a|exists: false"), "{\"a\":\"\"}", "no" },
		{ "lt", S("a|lt: 5"), "{\"a\":4}", "yes" },
		{ "lte", S("a|lte: 5"), "{\"a\":5.5}", "no" },
		{ "gt", S("a|gt: 5"), "{\"a\":5}", "no" },
		{ "gte of a number in a text", S("a|gte: 5"), "{\"a\":\"5\"}", "yes" },
		{ "lt of what is missing", S("a|lt: 5"), "{\"b\":1}", "no" },
		{ "re searches", S("a|re: 'b[0-9]+c'"), "{\"a\":\"ab12cd\"}", "yes" },
		{ "re counts case", S("a|re: 'B'"), "{\"a\":\"abc\"}", "no" },
		{ "re|i", S("a|re|i: 'B'"), "{\"a\":\"abc\"}", "yes" },
		{ "re, a flag within", S("a|re: '(?i)B'"), "{\"a\":\"abc\"}", "yes" },
		{ "re|m", S("a|re|m: '^b$'"), "{\"a\":\"a\\nb\\nc\"}", "yes" },
		{ "re without m", S("a|re: '^b$'"), "{\"a\":\"a\\nb\\nc\"}", "no" },
		{ "re|s", S("a|re|s: 'a.b'"), "{\"a\":\"a\\nb\"}", "yes" },
		{ "re without s", S("a|re: 'a.b'"), "{\"a\":\"a\\nb\"}", "no" },
		{ "re keeps backslashes", S("a|re: '\\.\\d+\\\\'"), "{\"a\":\"x.12\\\\y\"}", "yes" },
		{ "cidr", S("a|cidr: [10.0.0.0/8, 'fd00::/8']"), "{\"a\":\"10.9.8.7\"}", "yes" },
		{ "cidr, version 6", S("a|cidr: 'fd00::/8'"), "{\"a\":\"fd12::1\"}", "yes" },
		{ "cidr of no address", S("a|cidr: 10.0.0.0/8"), "{\"a\":\"10.\"}", "no" },
		{ "base64", S("a|base64|contains: hello"), "{\"a\":\"x aGVsbG8= y\"}", "yes" },
		{ "base64offset, none before", S("a|base64offset|contains: http://"), "{\"a\":\"aHR0cDovL2E=\"}",
		  "yes" },
		{ "base64offset, one before", S("a|base64offset|contains: http://"), "{\"a\":\"eGh0dHA6Ly9h\"}",
		  "yes" },
		{ "base64offset, two before", S("a|base64offset|contains: http://"), "{\"a\":\"eHhodHRwOi8vYQ==\"}",
		  "yes" },
		{ "base64offset: it is not there", S("a|base64offset|contains: http://"), "{\"a\":\"aHR0cHM6Ly9h\"}",
		  "no" },
		{ "wide", S("a|wide|base64offset|contains: ping"), "{\"a\":\"cABpAG4AZwAgAA==\"}", "yes" },
		{ "utf16be", S("a|utf16be|base64: hi"), "{\"a\":\"AGgAaQ==\"}", "yes" },
		{ "utf16", S("a|utf16|base64: hi"), "{\"a\":\"//5oAGkA\"}", "yes" },
		{ "wide, beyond 16 bits", S("a|wide|base64: \xf0\x9f\x98\x80"), "{\"a\":\"PdgA3g==\"}", "yes" },
		{ "windash: a slash", S("a|windash|contains: ' -f '"), "{\"a\":\"x /F y\"}", "yes" },
		{ "windash: a long dash", S("a|windash|contains: ' -f '"),
		  "{\"a\":\"x \xe2\x80\x94"
		  "f y\"}",
		  "yes" },
		{ "windash: within a word", S("a|windash|contains: 'x-y'"), "{\"a\":\"x/y\"}", "no" },
		{ "windash and signs", S("a|windash|startswith: '-a.(b)'"), "{\"a\":\"/a.(b)c\"}", "yes" },
		{ "fieldref", S("a|fieldref: b"), "{\"a\":\"X\",\"b\":\"x\"}", "yes" },
		{ "fieldref, startswith", S("a|fieldref|startswith: b"), "{\"a\":\"xyz\",\"b\":\"x\"}", "yes" },
		{ "fieldref, another", S("a|fieldref|endswith: b"), "{\"a\":\"xyz\",\"b\":\"x\"}", "no" },
		{ "fieldref, missing", S("a|fieldref: b"), "{\"a\":\"X\"}", "no" },
	};
	static const struct sigma_options own = { .names = SIGMA_OWN };

	for_each_row (r, rows)
		check_str(asked(r->rule, &own, r->event), r->want);
}

TEST(keywords_are_looked_for_in_all_fields)
{
	static const struct {
		const char *name, *rule, *event, *want;
	} rows[] = {
		{ "in any field", S("- needle\n    - other"), "{\"x\":{\"y\":\"a Needle!\"}}", "yes" },
		{ "in a list", S("[needle]"), "{\"x\":[\"a\",[\"needle\"]]}", "yes" },
		{ "nowhere", S("[needle]"), "{\"needle\":\"x\"}", "no" },
		{ "in an event without fields", S("[needle]"), "{}", "no" },
		{ "one alone", S("needle"), "{\"x\":\"needles\"}", "yes" },
		{ "with a wildcard", S("['a*c']"), "{\"x\":\"xx a b c xx\"}", "yes" },
		{ "all, in several fields", S("'|all': [one, two]"), "{\"x\":\"one\",\"y\":\"two\"}", "yes" },
		{ "all, one missing", S("'|all': [one, two]"), "{\"x\":\"one\"}", "no" },
		{ "endswith", S("'|endswith': .sh"), "{\"x\":\"a.sh b\"}", "no" },
		{ "re", S("'|re': 'a[0-9]'"), "{\"x\":\"bA1 a7\"}", "yes" },
		{ "cased", S("'|cased': ['Ab']"), "{\"x\":\"ab\"}", "no" },
		{ "a number is a word", S("[6]"), "{\"x\":\"init 6\"}", "yes" },
		{ "a number in a number", S("[6]"), "{\"x\":\"init 16\"}", "no" },
		{ "a number of the event", S("[6]"), "{\"x\":6}", "yes" },
		{ "keywords and fields", S("- a: x\n    - needle"), "{\"b\":\"needle\"}", "yes" },
		{ "beside fields", S("{a: x, '': needle}"), "{\"a\":\"x\",\"b\":\"needle\"}",
		  "3:12: a key without a name" },
	};
	static const struct sigma_options own = { .names = SIGMA_OWN };

	for_each_row (r, rows)
		check_str(asked(r->rule, &own, r->event), r->want);
}

#define C(condition)                                                                                                   \
	"detection:\n  sel_a: {a: 1}\n  sel_b: {b: 1}\n  other: {c: 1}\n  _d: {d: 1}\n  condition: " condition "\n"

TEST(conditions_join_selections)
{
	static const struct {
		const char *name, *rule, *event, *want;
	} rows[] = {
		{ "one", C("sel_a"), "{\"a\":1}", "yes" },
		{ "and", C("sel_a and sel_b"), "{\"a\":1}", "no" },
		{ "or", C("sel_a or sel_b"), "{\"b\":1}", "yes" },
		{ "not", C("sel_a and not sel_b"), "{\"a\":1}", "yes" },
		{ "not not", C("not not sel_a"), "{\"a\":1}", "yes" },
		{ "and before or", C("sel_a or sel_b and other"), "{\"a\":1}", "yes" },
		{ "not before and", C("not sel_a and sel_b"), "{\"b\":1}", "yes" },
		{ "brackets", C("(sel_a or sel_b) and other"), "{\"a\":1}", "no" },
		{ "capitals", C("sel_a AND NOT sel_b"), "{\"a\":1}", "yes" },
		{ "1 of", C("1 of sel*"), "{\"b\":1}", "yes" },
		{ "any of", C("any of sel_*"), "{\"c\":1}", "no" },
		{ "all of", C("all of sel_*"), "{\"a\":1,\"b\":1}", "yes" },
		{ "all of: one is missing", C("all of sel_*"), "{\"a\":1}", "no" },
		{ "1 of them", C("1 of them"), "{\"c\":1}", "yes" },
		{ "them are not those with _", C("1 of them"), "{\"d\":1}", "no" },
		{ "all of them", C("all of them"), "{\"a\":1,\"b\":1,\"c\":1}", "yes" },
		{ "not 1 of", C("other and not 1 of sel_*"), "{\"c\":1}", "yes" },
		{ "a star in the middle", C("1 of s*_b"), "{\"b\":1}", "yes" },
		{ "one by its name", C("1 of sel_a"), "{\"a\":1}", "yes" },
		{ "a list of conditions", C("[sel_a, other]"), "{\"c\":1}", "yes" },
		{ "brackets without blanks", C("(sel_a)or(sel_b)"), "{\"b\":1}", "yes" },
	};
	static const struct sigma_options own = { .names = SIGMA_OWN };

	for_each_row (r, rows)
		check_str(asked(r->rule, &own, r->event), r->want);
}

TEST(sql_counts_case_and_knows_no_missing_field)
{
	static const struct {
		const char *name, *rule, *event, *spec, *sql;
	} rows[] = {
		{ "equal", S("a: x"), "{\"a\":\"X\"}", "yes", "no" },
		{ "one of a list", S("a: [x, y]"), "{\"a\":\"Y\"}", "yes", "no" },
		{ "with a wildcard", S("a: 'x*'"), "{\"a\":\"X\"}", "yes", "yes" },
		{ "with a wildcard of SQL", S("a: x_y"), "{\"a\":\"X_Y\"}", "yes", "yes" },
		{ "which stands for itself", S("a: x_y"), "{\"a\":\"xxy\"}", "no", "no" },
		{ "contains", S("a|contains: x"), "{\"a\":\"AXA\"}", "yes", "yes" },
		{ "not of a missing field", C("sel_a and not sel_b"), "{\"a\":1}", "yes", "no" },
		{ "not of another value", C("sel_a and not sel_b"), "{\"a\":1,\"b\":2}", "yes", "yes" },
		{ "a missing one beside a true one", C("sel_a or sel_b"), "{\"a\":1}", "yes", "yes" },
		{ "null", S("a: null"), "{\"b\":1}", "yes", "yes" },
	};
	static const struct sigma_options own = { .names = SIGMA_OWN }, sql = { .names = SIGMA_OWN, .sql = true };

	for_each_row (r, rows) {
		check_str(asked(r->rule, &own, r->event), r->spec);
		check_str(asked(r->rule, &sql, r->event), r->sql);
	}
}

/* ---- what they are lowered into ----------------------------------------------------------------------- */

#define L(source) "logsource: {product: linux, " source "}\n"

TEST(rules_are_lowered_for_ecs)
{
	static const struct {
		const char *name, *rule, *want;
	} rows[] = {
		{ "a program begins",
		  L("category: process_creation") S("{Image|endswith: /nc, CommandLine: [a, 'b*']}"),
		  "event\n  0: \"process\" where (and (==@! event.type \"start\") (not (in~@! event.action \"fork\" "
		  "\"clone\" "
		  "\"vfork\" \"thread\")) (like~/escape@! process.executable \"*/nc\") (or (==~@! process.command_line "
		  "\"a\") (like~/escape@! process.command_line \"b*\")))\n" },
		{ "a file is made", L("category: file_delete") S("{TargetFilename: /x, Unknown: y}"),
		  "event\n  0: \"file\" where (and (==@! event.type \"deletion\") (==~@! file.path \"/x\") (==~@! "
		  "Unknown "
		  "\"y\"))\n" },
		{ "a name is asked for", L("category: dns_query") S("QueryName|endswith: .onion"),
		  "event\n  0: \"network\" where (and (not (is-null dns.question.name)) (like~/escape@! "
		  "dns.question.name "
		  "\"*.onion\"))\n" },
		{ "who began", L("category: network_connection") S("Initiated: 'true'"),
		  "event\n  0: \"network\" where (and (in@! event.type \"start\" \"connection\") (not (in~@! "
		  "event.action "
		  "\"listen\" \"bind\" \"unix-socket\")) (or (in~@! network.direction \"egress\" \"outgoing\" "
		  "\"outbound\") "
		  "(==~@! Initiated \"true\")))\n" },
		{ "a line of a log", L("service: sudo") S("USER: x"),
		  "event\n  0: any where (and (not (is-null message)) (or (==~@! process.name \"sudo\") (==~@! "
		  "log.syslog.appname \"sudo\") (==~@! service.name \"sudo\")) (==~@! USER \"x\"))\n" },
		{ "any line of a log", L("service: syslog") S("[x, y]"),
		  "event\n  0: any where (and (not (is-null message)) (like~/escape@! * \"*x*\" \"*y*\"))\n" },
		{ "any event", "logsource: {product: linux}\n" S("[x]"),
		  "event\n  0: any where (like~/escape@! * \"*x*\")\n" },
		{ "no logsource", S("CommandLine: x"), "event\n  0: any where (==~@! process.command_line \"x\")\n" },
		{ "arguments by their number", L("service: auditd") S("{a0: x, a12|contains: y}"),
		  "event\n  0: any where (and (==~@! process.args \"x\") (==~! (item 0 process.args) \"x\") "
		  "(like~/escape@! process.args \"*y*\") (like~/escape! (item 12 process.args) \"*y*\"))\n" },
		{ "records of files", L("service: auditd") S("{type: PATH, name: /x}"),
		  "event\n  0: any where (and (or (==@! event.category \"file\") (==~@! type \"PATH\")) (==~@! "
		  "file.path "
		  "\"/x\"))\n" },
		{ "a system call that a sensor sees", L("service: auditd") S("{type: SYSCALL, SYSCALL: mknod, a1: 5}"),
		  "event\n  0: any where (and (or (and (==@! event.category \"file\") (==@! event.action \"mknod\")) "
		  "(==~@! SYSCALL \"mknod\")) (==@! a1 5))\n" },
		{ "a system call that none sees", L("service: auditd") S("{type: SYSCALL, syscall: sysinfo}"),
		  "event\n  0: any where (==~@! syscall \"sysinfo\")\n" },
	};
	auto_buf struct buf out = { .max = 1 << 16 };

	for_each_row (r, rows) {
		struct sigma_problem problem;
		AUTO(query) q = NULL;

		buf_clear(&out);
		if (compile(r->rule, NULL, &problem, &q) < 0)
			buf_printf(&out, "%s", problem.diag.message);
		else
			query_print(q, &out);
		check_str(buf_text(&out), r->want);
	}
}

TEST(arguments_are_asked_for_by_their_number)
{
	static const char yes[] =
		"{\"event\":{\"category\":\"process\",\"type\":\"start\",\"action\":\"exec\"},\"process\":{\"args\":"
		"[\"tar\",\"-c\",\"x\"]}}";
	static const struct {
		const char *name, *rule, *want;
	} rows[] = {
		{ "all where they should be", L("service: auditd") S("{type: EXECVE, a0: TAR, a1|contains: -c}"),
		  "yes" },
		{ "one place further", L("service: auditd") S("{type: EXECVE, a1: tar}"), "no" },
		{ "beyond the last", L("service: auditd") S("{a3: x}"), "no" },
		{ "one that is not there", L("service: auditd") S("{a2: x, a3: null}"), "yes" },
		{ "a pattern", L("service: auditd") S("a1|re: '^-[a-z]$'"), "yes" },
		{ "keywords beside it",
		  L("service: auditd") "detection: {e: {type: EXECVE}, k: [-c], condition: e and k}\n", "yes" },
	};

	for_each_row (r, rows)
		check_str(asked(r->rule, NULL, yes), r->want);
}

static bool field_is(const void *subject, const char *name, size_t n, enum rule_type *ret_type)
{
	(void)subject;
	*ret_type = n == 14 && !memcmp(name, "destination.ip", 14) ? RULE_IP : RULE_UNKNOWN;
	return true;
}

TEST(addresses_are_compared_as_such_where_the_schema_knows_them)
{
	static const struct rule_schema schema = { .field = field_is };
	static const struct sigma_options options = { .schema = &schema };
	static const char rule[] = L("category: firewall") S("DestinationIp: [10.0.0.0/8, '::1']");
	auto_buf struct buf out = { .max = 4096 };
	AUTO(query) q = NULL;

	require_ok(compile(rule, &options, NULL, &q));
	query_print(q, &out);
	check_str(buf_text(&out), "event\n  0: \"network\" where (in~@!/ip destination.ip \"10.0.0.0/8\" \"::1\")\n");
}

/* ---- what is refused ------------------------------------------------------------------------------------ */

static bool read_page(struct buf *out)
{
	auto_file FILE *f = fopen(SHRIKE_SOURCE_DIR "/docs/sigma.md", "re");
	char chunk[4096];
	size_t n;

	while (f && (n = fread(chunk, 1, sizeof(chunk), f)))
		buf_add(out, chunk, n);
	return f && !out->failed;
}

static void check_pairs(const struct buf *page, const char *const *pairs)
{
	char row[256];

	for (; pairs && pairs[0]; pairs += 2) {
		(void)snprintf(row, sizeof(row), "| `%s` | `%s` |", pairs[0], pairs[1]);
		check_has(buf_text(page), row);
	}
}

TEST(the_page_has_all_rows_of_the_tables)
{
	auto_buf struct buf page = { .max = 1 << 20 };
	char word[128];

	require(read_page(&page));
	check_pairs(&page, sigma_common_fields);
	for (size_t i = 0; i < sigma_n_sources; i++) {
		const struct sigma_source *s = &sigma_sources[i];

		check_pairs(&page, s->fields);
		if (!s->category)
			continue;
		(void)snprintf(word, sizeof(word), "`category: %s`", s->category);
		check_has(buf_text(&page), word);
	}
}

TEST(what_is_wrong_is_told_with_its_place)
{
	static const struct {
		const char *name, *rule, *want;
	} rows[] = {
		{ "no rule", "", "1:1: a rule is a mapping, not a list" },
		{ "a text", "x", "1:1: a rule is a mapping, not a text" },
		{ "not YAML", "a: [", "2:1: not YAML" },
		{ "no detection", "title: x", "1:1: a rule without a detection" },
		{ "no condition", "detection:\n  s: {a: 1}\n", "2:3: a detection without a condition" },
		{ "an unknown modifier", S("a|b: 1"), "3:5: there is no modifier \"b\"" },
		{ "two kinds of matching", S("a|contains|re: x"),
		  "3:5: \"re\" beside another modifier that says how to compare" },
		{ "a placeholder", S("a|expand: '%x%'"),
		  "3:5: modifier \"expand\": placeholders, whose values come from "
		  "elsewhere, are not known here [expand]" },
		{ "a part of a date", S("a|hour: 3"),
		  "3:5: modifier \"hour\": parts of a date cannot be asked for [time_parts]" },
		{ "flags of nothing", S("a|i: x"), "3:5: \"i\" stands behind \"re\"" },
		{ "wide alone", S("a|wide: x"),
		  "3:5: a text in UTF-16 is searched in base64 only: add base64 or base64offset" },
		{ "no regex", S("a|re: '(x'"), "3:11: " },
		{ "look-around", S("a|re: 'x(?!y)'"),
		  "3:11: look-around is not in these regular expressions [look_around]" },
		{ "a back reference", S("a|re: '(x)\\1'"),
		  "3:11: back references are not in these regular expressions [back_references]" },
		{ "no network", S("a|cidr: 10.0.0"), "3:13: wanted a network, as in 10.0.0.0/8" },
		{ "no number", S("a|gt: x"), "3:11: wanted a number to compare with" },
		{ "no truth", S("a|exists: x"), "3:15: exists: wanted true or false" },
		{ "a map for a value", S("a: {b: c}"), "3:8: a value is no mapping" },
		{ "an empty list", S("a: []"), "3:8: an empty list: nothing would ever match" },
		{ "an empty map", "detection:\n  s: {}\n  condition: s\n", "2:6: an empty mapping asks for nothing" },
		{ "an empty selection", "detection:\n  s:\n  condition: s\n", "2:3: an empty selection" },
		{ "wildcards in base64", S("a|base64: 'x*'"), "3:15: a text with wildcards has no base64" },
		{ "an unknown selection", C("sel_a and selb"), "6:24: there is no selection \"selb\"" },
		{ "... in a quoted condition", C("'sel_a and selb'"), "6:25: there is no selection \"selb\"" },
		{ "none of a pattern", C("1 of x*"), "6:19: no selection is called \"x*\"" },
		{ "two of", C("2 of sel*"), "6:14: \"2 of\": only 1, any and all are known [n_of]" },
		{ "an open bracket", C("(sel_a"), "6:20: wanted a closing bracket" },
		{ "nothing behind and", C("sel_a and"), "6:23: the condition ends where a selection is wanted" },
		{ "two selections", C("sel_a sel_b"), "6:20: wanted \"and\", \"or\" or the end, not \"sel_b\"" },
		{ "near", C("sel_a | near sel_b"),
		  "6:14: \"near\" of older rules: only count() is known [aggregation]" },
		{ "a count below", C("sel_a | count() < 3"),
		  "6:14: a count that must stay below a number [count_below]" },
		{ "a count without a time", C("sel_a | count() > 3"), "6:14: a count() has a timeframe" },
		{ "another system", "logsource: {product: windows}\n" S("a: 1"),
		  "1:22: a rule for windows, not for linux [product]" },
		{ "a category that is not there", L("category: registry_set") S("a: 1"),
		  "1:39: there are no events of the category \"registry_set\" [category]" },
		{ "a collection of older rules", "action: global\n" S("a: 1"),
		  "1:1: collections of older rules, of which one part completes another [action]" },
		{ "a correlation of nothing",
		  "correlation: {type: event_count, rules: [x], timespan: 1m, condition: {gte: 2}}\n",
		  "1:42: there is no rule \"x\" beside this one" },
	};
	auto_buf struct buf out = { .max = 4096 }, page = { .max = 1 << 20 };
	char row[64];

	require(read_page(&page));
	for_each_row (r, rows) {
		struct sigma_problem problem;
		AUTO(query) q = NULL;

		buf_clear(&out);
		check_int(compile(r->rule, NULL, &problem, &q), -EINVAL);
		buf_printf(&out, "%u:%u: %s", problem.diag.line, problem.diag.column, problem.diag.message);
		if (problem.feature) {
			buf_printf(&out, " [%s]", problem.feature);
			(void)snprintf(row, sizeof(row), "\n| `%s` |", problem.feature);
			check_has(buf_text(&page), row);
		}
		/* What another library says is only begun. */
		if (r->want[strlen(r->want) - 1] != ' ' && strcmp(r->name, "not YAML") != 0)
			check_str(buf_text(&out), r->want);
		else
			check(!strncmp(buf_text(&out), r->want, strlen(r->want)));
	}
}

TEST(what_passes_a_maximum_is_refused)
{
	auto_buf struct buf text = { .max = 1 << 20 };
	struct sigma_problem problem;
	AUTO(query) q = NULL;

	/* One selection of 200 patterns, named more often than a rule may have parts. */
	buf_str(&text, "detection:\n  x: {c: 1}\n  s:\n");
	for (int i = 0; i < 100; i++)
		buf_printf(&text, "    f%d|contains: v\n", i);
	buf_str(&text, "  condition: x");
	for (int i = 0; i < 400; i++)
		buf_str(&text, " or (x and not s)");
	buf_char(&text, '\n');
	check_int(compile(buf_text(&text), NULL, &problem, &q), -E2BIG);
	check_has(problem.diag.message, "more than 65536 parts");

	buf_clear(&text);
	buf_str(&text, "detection:\n  s: {a: 1}\n  condition: ");
	for (int i = 0; i <= RULE_DEPTH_MAX; i++)
		buf_char(&text, '(');
	check_int(compile(buf_text(&text), NULL, &problem, &q), -EINVAL);
	check_has(problem.diag.message, "brackets more than 128 deep");

	buf_clear(&text);
	buf_str(&text, "detection:\n  s:\n    a|contains: ");
	for (int i = 0; i < RULE_STRING_MAX / 2; i++)
		buf_char(&text, 'x');
	buf_str(&text, "\n  condition: s\n");
	check_int(compile(buf_text(&text), NULL, &problem, &q), -EINVAL);
	check_has(problem.diag.message, "a text of more than");

	buf_clear(&text);
	buf_str(&text, "detection:\n  s:\n    a: [0");
	for (int i = 0; i < RULE_LIST_MAX / 4; i++)
		buf_str(&text, ",1");
	buf_str(&text, "]\n  condition: s\n");
	check_int(compile(buf_text(&text), NULL, &problem, &q), -EINVAL);
	check_has(problem.diag.message, "a list of more than 2048 values");
}

/* ---- rules about rules -------------------------------------------------------------------------------- */

#define A_AND_B                                                                                                        \
	"name: a\nlogsource: {product: linux}\ndetection: {s: {k: a}, condition: s}\n---\n"                            \
	"name: b\nlogsource: {product: linux}\ndetection: {s: {k: b}, condition: s}\n---\n"

/* Events "a u1 v1 t3" are {"k":"a","u":"u1","v":"v1"} three seconds after the first. */
static bool put_events(struct lines *l, const char *events)
{
	while (*events) {
		char k[8], u[8], v[8], line[160];
		int at, n = 0;

		if (sscanf(events, "%7s %7s %7s t%d%n", k, u, v, &at, &n) != 4)
			return false;
		(void)snprintf(line, sizeof(line),
			       "{\"@timestamp\":\"2024-01-01T00:%02d:%02dZ\",\"k\":\"%s\",\"u\":\"%s\",\"v\":\"%s\"}\n",
			       at / 60, at % 60, k, u, v);
		if (lines_put(l, line, strlen(line)) < 0)
			return false;
		events += n;
		events += strspn(events, "; ");
	}
	return lines_put_end(l) == 0;
}

/* The events of each match: "0 1, 3 4". */
static void found(const char *rule, const char *events, struct buf *out)
{
	struct hunt_options options = { .dialect = RULE_SIGMA, .max_samples_per_key = 1, .limit = UINT64_MAX };
	struct hunt_result result;
	AUTO(schema) schema = NULL;
	struct lines *l = NULL;
	AUTO(hunt) h = NULL;

	buf_clear(out);
	if (schema_named("sigma", &schema) < 0 || hunt_new(&h) < 0 || lines_new("events", &l) < 0)
		return;
	options.schema = schema;
	if (!put_events(l, events) || hunt_add(h, rule, strlen(rule), &options) < 0 || hunt_input(h, l) < 0 ||
	    hunt_run(h) < 0) {
		buf_str(out, err_trail());
		return;
	}
	hunt_result(h, 0, &result);
	if (result.wrong)
		buf_printf(out, "%u:%u: %s", result.wrong->line, result.wrong->column, result.wrong->message);
	for (size_t m = 0; m < result.n; m++) {
		buf_str(out, m ? ", " : "");
		for (size_t e = 0; e < result.matches[m].n_events; e++)
			buf_printf(out, "%s%llu", e ? " " : "",
				   (unsigned long long)result.events[result.matches[m].first_event + e].index);
	}
}

TEST(correlations_count_and_follow_events)
{
	static const struct {
		const char *name, *rule, *events, *want;
	} rows[] = {
		{ "so many events",
		  A_AND_B "correlation: {type: event_count, rules: a, group-by: [u], timespan: 10s, "
			  "condition: {gte: 3}}",
		  "a x - t0; a y - t1; a x - t2; b x - t3; a x - t4", "0 2 4" },
		{ "more than so many",
		  A_AND_B "correlation: {type: event_count, rules: [a], timespan: 10s, "
			  "condition: {gt: 1}}",
		  "a x - t0; a y - t1", "0 1" },
		{ "too slow", A_AND_B "correlation: {type: event_count, rules: [a], timespan: 5s, condition: {gte: 2}}",
		  "a x - t0; a y - t6", "" },
		{ "one is enough",
		  A_AND_B "correlation: {type: event_count, rules: [a], group-by: u, timespan: 5s, "
			  "condition: {gte: 1}}",
		  "a x - t0; b y - t6", "0" },
		{ "of two rules",
		  A_AND_B "correlation: {type: event_count, rules: [a, b], group-by: [u], timespan: 1m, "
			  "condition: {gte: 2}}",
		  "a x - t0; b x - t6; b y - t7", "0 1" },
		{ "two values",
		  A_AND_B "correlation: {type: value_count, rules: [a], group-by: [u], timespan: 1m, "
			  "condition: {field: v, gte: 2}}",
		  "a x p t0; a x p t1; a y q t2; a x q t3", "1 3" },
		{ "one after the other",
		  A_AND_B "correlation: {type: temporal_ordered, rules: [a, b], group-by: [u], "
			  "timespan: 1m}",
		  "b x - t0; a x - t1; b y - t2; b x - t3", "1 3" },
		{ "in any order", A_AND_B "correlation: {type: temporal, rules: [a, b], group-by: [u], timespan: 1m}",
		  "b x - t0; a y - t1; a x - t2", "2 0" },
		{ "in any order, too slow", A_AND_B "correlation: {type: temporal, rules: [a, b], timespan: 1m}",
		  "b x - t0; a y - t61", "" },
		{ "another name in each",
		  A_AND_B "correlation: {type: temporal_ordered, rules: [a, b], group-by: [who], "
			  "timespan: 1m, aliases: {who: {a: u, b: v}}}",
		  "a x - t0; b x - t1; b y x t2", "0 2" },
		{ "more than two values",
		  A_AND_B "correlation: {type: value_count, rules: [a], timespan: 1m, "
			  "condition: {field: v, gte: 3}}",
		  "a x p t0", "9:21: more than two different values within a time" },
		{ "a count below",
		  A_AND_B "correlation: {type: event_count, rules: [a], timespan: 1m, condition: {lt: 3}}", "a x p t0",
		  "9:72: a count that must stay below a number, or be exactly one" },
		{ "an unknown rule", A_AND_B "correlation: {type: temporal, rules: [a, c], timespan: 1m}", "a x p t0",
		  "9:42: there is no rule \"c\" beside this one" },
		{ "an unknown type", A_AND_B "correlation: {type: value_sum, rules: [a], timespan: 1m}", "a x p t0",
		  "9:21: correlations of the type \"value_sum\"" },
		{ "no time", A_AND_B "correlation: {type: temporal, rules: [a, b]}", "a x p t0",
		  "9:14: a correlation has a timespan" },
		{ "a time of nothing", A_AND_B "correlation: {type: temporal, rules: [a, b], timespan: 0s}", "a x p t0",
		  "9:56: wanted a time, as in 30s, 15m or 1h" },
		{ "count()", "detection: {s: {k: a}, timeframe: 10s, condition: s | count() by u > 1}",
		  "a x - t0; a y - t1; a x - t2", "0 2" },
		{ "count() of a field", "detection: {s: {k: a}, timeframe: 10s, condition: s | count(v) by u >= 2}",
		  "a x p t0; a x p t1; a x q t2", "1 2" },
		{ "count() without a key", "detection: {s: {k: a}, timeframe: 10s, condition: s | count() >= 2}",
		  "a x p t0; a y p t1", "0 1" },
	};
	auto_buf struct buf out = { .max = 4096 };

	for_each_row (r, rows) {
		found(r->rule, r->events, &out);
		check_str(buf_text(&out), r->want);
	}
}
