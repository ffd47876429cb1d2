/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include "base/err.h"
#include "base/test.h"
#include "event/json_event.h"
#include "predicate/functions.h"
#include "predicate/set.h"
#include "predicate/tree.h"
#include "rule/rule.h"

/* One event, and what looks at it. */
struct bench {
	struct json_event json;
	struct event ev;
	struct arena arena;
	struct predicate_scratch *scratch;
};

static void bench_close(struct bench *b)
{
	json_event_free(&b->json);
	arena_free(&b->arena);
	predicate_scratch_free(b->scratch);
}
#define auto_bench __attribute__((cleanup(bench_close)))

static bool bench_open(struct bench *b, const char *line)
{
	json_event_init(&b->json, false);
	arena_init(&b->arena, 1 << 22);
	b->scratch = NULL;
	b->ev = json_event_as_event(&b->json);
	return predicate_scratch_new(&b->scratch) == 0 && json_event_parse(&b->json, line, strlen(line)) == 0;
}

static const char event_line[] =
	"{\"process\":{\"name\":\"bash\",\"pid\":42,\"args\":[\"bash\",\"-c\",\"id\"],\"exit_code\":0,\"empty\":[],"
	"\"nulls\":[null,null],\"ppid\":[7,9]},\"event\":{\"category\":[\"process\",\"file\"],\"type\":\"start\"},"
	"\"user\":{\"id\":\"0\",\"name\":\"R\\u00d6\\u00d6T\"},\"source\":{\"ip\":\"10.1.2.3\"},\"ok\":true,\"off\":"
	"false,"
	"\"ratio\":2.5,\"big\":18446744073709551615,\"objects\":[{\"a\":1,\"b\":\"x\"},{\"a\":2,\"b\":\"y\"}],"
	"\"nothing\":null}";

/* The value of an expression by both; VALUE_LIST and a false: they differ, or it was refused. */
static bool value_of(struct bench *b, const char *text, const struct query_options *o, bool is_condition,
		     struct value *ret_value, char *why, size_t why_size)
{
	struct predicate_input in = { .ev = &b->ev };
	AUTO(program) p = NULL;
	AUTO(query) q = NULL;
	struct value slow;
	struct diag diag;
	int r;

	r = is_condition ? condition_compile(text, strlen(text), o, &diag, &q)
			 : expression_compile(text, strlen(text), o, &diag, &q);
	if (r < 0) {
		(void)snprintf(why, why_size, "%s", diag.message);
		return false;
	}
	r = predicate_compile(q, q->stage[0].condition, &p);
	if (r < 0) {
		(void)snprintf(why, why_size, "%s", err_trail());
		return false;
	}
	arena_reset(&b->arena);
	tree_value(q, q->stage[0].condition, &in, &b->arena, &slow);
	if (!program_begin(p, &in, b->scratch))
		return false;
	program_value(p, 0, b->scratch, ret_value);
	(void)snprintf(why, why_size, "the two disagree");
	if (program_test(p, 0, b->scratch) != value_truth(&slow) || ret_value->type != slow.type)
		return false;
	/* What it borrows must outlive the query: constants are copied. */
	if (ret_value->type == VALUE_STR) {
		static char copy[4096];

		(void)snprintf(copy, sizeof(copy), "%.*s", (int)ret_value->s.n, ret_value->s.p);
		ret_value->s.p = copy;
	}
	why[0] = 0;
	return true;
}

static const char *print(const struct value *v)
{
	static char text[256];

	switch (v->type) {
	case VALUE_NULL:
		return "null";
	case VALUE_BOOL:
		return v->b ? "true" : "false";
	case VALUE_INT:
		(void)snprintf(text, sizeof(text), "%lld", (long long)v->i);
		return text;
	case VALUE_UINT:
		(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)v->u);
		return text;
	case VALUE_FLOAT:
		(void)snprintf(text, sizeof(text), "%g", v->f);
		return text;
	case VALUE_STR:
		(void)snprintf(text, sizeof(text), "\"%.*s\"", (int)v->s.n, v->s.p);
		return text;
	default:
		return "a list";
	}
}

TEST(conditions_mean_what_elasticsearch_means)
{
	static const struct {
		const char *name, *text, *want;
	} rows[] = {
		{ "equal", "process.name == \"bash\"", "true" },
		{ "case counts", "process.name == \"Bash\"", "false" },
		{ "colon folds", "process.name : \"BA*\"", "true" },
		{ "in", "process.name in (\"sh\", \"bash\")", "true" },
		{ "in, hashed", "process.name in (\"a\", \"b\", \"c\", \"d\", \"e\", \"f\", \"bash\")", "true" },
		{ "in, hashed and folded", "process.name in~ (\"a\", \"b\", \"c\", \"d\", \"e\", \"f\", \"BASH\")",
		  "true" },
		{ "in, hashed, not there", "process.name in (\"a\", \"b\", \"c\", \"d\", \"e\", \"f\", \"g\")",
		  "false" },
		{ "in takes no wildcards", "process.name in (\"ba*\")", "false" },
		{ "like", "process.name like \"b?sh\"", "true" },
		{ "like beyond ASCII", "user.name like~ \"r\xc3\xb6*\"", "true" },
		{ "regex", "process.name regex \"[a-z]{4}\"", "true" },
		{ "regex of the whole", "process.name regex \"[a-z]{3}\"", "false" },
		{ "any item", "process.args == \"-c\"", "true" },
		{ "no item", "process.args != \"-c\"", "false" },
		{ "no item has it", "process.args != \"-x\"", "true" },
		{ "not on what is missing", "not missing.field == \"x\"", "true" },
		{ "unequal on what is missing", "missing.field != \"x\"", "true" },
		{ "value position is three-valued", "null == (missing.field > 1)", "true" },
		{ "value position of an empty list", "null == (process.empty > 1)", "true" },
		{ "missing is null", "missing.field == null", "true" },
		{ "empty list is null", "process.empty == null", "true" },
		{ "list of nulls is null", "process.nulls == null", "true" },
		{ "null is null", "nothing == null", "true" },
		{ "not null", "process.args != null", "true" },
		{ "numbers", "process.pid >= 42 and process.pid < 43 and process.pid == 42.0", "true" },
		{ "the largest number", "big > 9223372036854775807", "true" },
		{ "text against number", "user.id == 0", "true" },
		{ "text against number, not equal", "process.name == 0", "false" },
		{ "true", "ok == true and off == false", "true" },
		{ "a field alone", "ok", "true" },
		{ "arithmetic", "process.pid / 4 == 10 and process.pid % 5 == 2", "true" },
		{ "by zero", "process.pid / process.exit_code == 1", "false" },
		{ "by zero is null", "null == process.pid / process.exit_code", "true" },
		{ "floats", "ratio * 2 == 5", "true" },
		{ "a list in arithmetic", "process.ppid + 1 == 10", "true" },
		{ "two lists", "process.ppid + length(process.args) == 11", "true" },
		{ "a function of a list", "startsWith(process.args, \"-\")", "true" },
		{ "folded function", "startsWith~(process.name, \"BA\")", "true" },
		{ "cidr", "cidrMatch(source.ip, \"192.168.0.0/16\", \"10.6.48.157/8\")", "true" },
		{ "cidr, not there", "cidrMatch(source.ip, \"fe80::/10\")", "false" },
		{ "cidr of no address", "cidrMatch(process.name, \"10.0.0.0/8\")", "false" },
		{ "contains", "stringContains~(concat(process.name, \"-\", process.pid), \"SH-4\")", "true" },
		{ "order of texts", "process.name > \"bas\" and process.name < \"bat\"", "true" },
		{ "or with null", "missing.field == 1 or process.pid == 42", "true" },
		{ "nested", "not (process.pid == 42 and not (process.name == \"sh\" or ok))", "true" },
	};
	auto_bench struct bench b;
	char why[512];

	require(bench_open(&b, event_line));
	for_each_row (r, rows) {
		struct value v = { 0 };

		if (value_of(&b, r->text, NULL, true, &v, why, sizeof(why)))
			check_str(print(&v), r->want);
		else
			test_fail(T_HERE, "%s", why);
	}
}

TEST(expressions_have_values)
{
	static const struct {
		const char *name, *text, *want;
	} rows[] = {
		{ "between", "between(\"a-b-c\", \"-\", \"-\")", "\"b\"" },
		{ "between, as much as can be", "between(\"a-b-c-d\", \"-\", \"-\", true)", "\"b-c\"" },
		{ "between, not found", "between(\"abc\", \"x\", \"c\")", "\"\"" },
		{ "between, empty", "between(\"abc\", \"\", \"c\")", "\"abc\"" },
		{ "between, folded", "between~(\"aXbXc\", \"x\", \"x\")", "\"b\"" },
		{ "concat", "concat(\"a\", 1, true, 2.5)", "\"a1true2.5\"" },
		{ "concat of null", "concat(\"a\", null)", "null" },
		{ "index", "indexOf(\"subdomain.split\", \"d\", 4)", "null" },
		{ "index from the start", "indexOf(\"a.b.c\", \".\")", "1" },
		{ "index from there on", "indexOf(\"a.b.c\", \".\", 2)", "3" },
		{ "index in characters", "indexOf(\"\xc3\xb6.b\", \".\")", "1" },
		{ "length in characters", "length(\"\xc3\xb6\xc3\xb6\")", "2" },
		{ "number", "number(\"1337\")", "1337" },
		{ "number, hexadecimal", "number(\"0xdeadbeef\", 16)", "3735928559" },
		{ "number, of a base", "number(\"32\", 16)", "50" },
		{ "number, base null", "number(\"32\", null)", "32" },
		{ "number, none", "number(\"12x\")", "null" },
		{ "string", "string(21.0)", "\"21.0\"" },
		{ "substring", "substring(\"start winword.exe\", 6, 13)", "\"winword\"" },
		{ "substring from the end", "substring(\"start winword.exe\", -4)", "\".exe\"" },
		{ "substring up to before the end", "substring(\"start winword.exe\", 6, -4)", "\"winword\"" },
		{ "substring of characters", "substring(\"\xc3\xb6.b\", 1)", "\".b\"" },
		{ "substring of nothing", "substring(\"abc\", 2, 1)", "\"\"" },
		{ "contains nothing", "stringContains(\"abc\", \"\")", "false" },
		{ "too large", "9223372036854775807 * 9223372036854775807", "null" },
		{ "larger than signed", "9223372036854775807 + 1", "9223372036854775808" },
		{ "negative remainder", "-7 % 3", "-1" },
		{ "negative quotient", "-7 / 2", "-3" },
		{ "a field", "process.pid", "42" },
		{ "a field that is missing", "missing.field", "null" },
	};
	auto_bench struct bench b;
	char why[512];

	require(bench_open(&b, event_line));
	for_each_row (r, rows) {
		struct value v = { 0 };

		if (value_of(&b, r->text, NULL, false, &v, why, sizeof(why)))
			check_str(print(&v), r->want);
		else
			test_fail(T_HERE, "%s", why);
	}
}

TEST(endgame_is_three_valued_and_folds)
{
	static const struct {
		const char *name, *text, *want;
	} rows[] = {
		{ "folds", "process.name == \"BASH\"", "true" },
		{ "a star in equals", "process.name == \"BA*\"", "true" },
		{ "not on what is missing", "not missing.field == \"x\"", "null" },
		{ "and with null", "missing.field == 1 and process.pid == 42", "null" },
		{ "and with null and false", "missing.field == 1 and process.pid == 1", "false" },
		{ "or with null", "missing.field == 1 or process.pid == 42", "true" },
		{ "match is of the beginning", "match(process.name, \"ba\")", "true" },
		{ "array contains", "arrayContains(process.args, \"ID\")", "true" },
		{ "array search", "arraySearch(objects, o, o.a == 2 and o.b == \"Y\")", "true" },
		{ "array search in one object", "arraySearch(objects, o, o.a == 1 and o.b == \"y\")", "false" },
		{ "array count", "arrayCount(objects, o, o.a > 0) == 2", "true" },
		{ "item", "process.args[1] == \"-c\"", "true" },
		{ "item beyond the end", "process.args[9] == null", "true" },
		{ "member of an item", "objects[1].b == \"y\"", "true" },
		{ "length of a list", "length(process.args) == 3", "true" },
	};
	static const struct query_options o = { .dialect = RULE_ENDGAME };
	auto_bench struct bench b;
	char why[512];

	require(bench_open(&b, event_line));
	for_each_row (r, rows) {
		struct value v = { 0 };

		if (value_of(&b, r->text, &o, true, &v, why, sizeof(why)))
			check_str(print(&v), r->want);
		else
			test_fail(T_HERE, "%s", why);
	}
}

TEST(declared_types_decide_how_values_compare)
{
	static const struct {
		const char *name;
		const char *a, *b;
		enum ir_op op;
		enum rule_type as;
		int want;
	} rows[] = {
		{ "versions", "1.10.0", "1.9", IR_GT, RULE_VERSION, TRUTH_TRUE },
		{ "a version before its release", "1.0.0-rc1", "1.0.0", IR_LT, RULE_VERSION, TRUTH_TRUE },
		{ "numbers before words", "1.0.0-1", "1.0.0-a", IR_LT, RULE_VERSION, TRUTH_TRUE },
		{ "builds are no matter", "1.0.0+7", "1.0.0+8", IR_EQ, RULE_VERSION, TRUTH_TRUE },
		{ "addresses are numbers", "10.0.0.9", "10.0.0.10", IR_LT, RULE_IP, TRUTH_TRUE },
		{ "one address, two spellings", "::1", "0:0::1", IR_EQ, RULE_IP, TRUTH_TRUE },
		{ "an address in a network", "10.1.2.3", "10.0.0.0/8", IR_EQ, RULE_IP, TRUTH_TRUE },
		{ "no address", "x", "10.0.0.0/8", IR_EQ, RULE_IP, TRUTH_FALSE },
		{ "no address has no order", "x", "10.0.0.1", IR_LT, RULE_IP, TRUTH_NULL },
		{ "dates", "2024-05-06T07:08:09Z", "2024-05-06T09:08:09+02:00", IR_EQ, RULE_DATE, TRUTH_TRUE },
		{ "a day is its midnight", "2024-05-06", "2024-05-06T00:00:01Z", IR_LT, RULE_DATE, TRUTH_TRUE },
		{ "code units, not code points", "\xf0\x90\x80\x80", "\xef\xbf\xbd", IR_LT, RULE_UNKNOWN, TRUTH_TRUE },
	};

	for_each_row (r, rows) {
		struct value a = { .type = VALUE_STR, .s = { r->a, strlen(r->a) } };
		struct value b = { .type = VALUE_STR, .s = { r->b, strlen(r->b) } };

		check_int(value_compare(r->op, &a, &b, r->as, false), r->want);
	}
}

TEST(a_pattern_that_is_none_is_refused)
{
	static const char text[] = "process.name regex \"[a\"";
	AUTO(program) p = NULL;
	AUTO(query) q = NULL;
	struct diag diag;

	require_ok(condition_compile(text, strlen(text), NULL, &diag, &q));
	check_int(predicate_compile(q, q->stage[0].condition, &p), -EINVAL);
	check_has(err_trail(), "[a");
}

TEST(what_means_the_same_is_one)
{
	static const char *const texts[] = { "process.name == \"a\" and process.pid == 1",
					     "process.name == \"a\" and process.pid == 1", "process.name == \"a\"" };
	AUTO(program_builder) b = NULL;
	AUTO(program) p = NULL;
	struct query *q[3] = { 0 };
	uint32_t index[3], other;
	struct diag diag;

	require_ok(program_builder_new(&b));
	for (int i = 0; i < 3; i++) {
		require_ok(condition_compile(texts[i], strlen(texts[i]), NULL, &diag, &q[i]));
		require_ok(program_add(b, q[i], q[i]->stage[0].condition, NULL, &index[i]));
	}
	require_ok(program_add(b, q[0], q[0]->stage[0].condition, "process", &other));
	check_int(index[0], index[1]);
	check(index[2] != index[0] && other != index[0]);
	require_ok(program_build(b, &p));
	check_int(program_count(p), 3);
	for (int i = 0; i < 3; i++)
		query_free(q[i]);
}

/* Each by its literals, and those without any. */
TEST(a_set_finds_what_is_true_and_nothing_else)
{
	static const struct {
		const char *name, *text, *category;
		bool want;
	} rows[] = {
		{ "by a whole text", "process.name == \"bash\"", NULL, true },
		{ "by another case", "process.name : \"BASH\"", NULL, true },
		{ "the literal is there, its case is not", "process.name == \"BASH\"", NULL, false },
		{ "by a list", "process.name in (\"sh\", \"bash\")", NULL, true },
		{ "by what it begins with", "process.name like \"ba*\"", NULL, true },
		{ "by what it ends with", "process.name like \"*sh\"", NULL, true },
		{ "by what is in it", "process.name like \"*as*\"", NULL, true },
		{ "by the longest part", "process.name like \"?a*sh\"", NULL, true },
		{ "no part of it", "process.name like \"*zsh*\"", NULL, false },
		{ "without a literal", "process.name like \"????\"", NULL, true },
		{ "by an item of a list", "process.args == \"-c\"", NULL, true },
		{ "by a function", "stringContains(process.name, \"as\")", NULL, true },
		{ "of two, one", "process.name == \"x\" or process.pid == 42", NULL, true },
		{ "of two, both", "process.name == \"bash\" and process.args == \"id\"", NULL, true },
		{ "of two, one is missing", "process.name == \"bash\" and process.args == \"ls\"", NULL, false },
		{ "not", "not process.name == \"x\"", NULL, true },
		{ "a number as text", "process.pid == \"42\"", NULL, true },
		{ "a text as number", "user.id == 0", NULL, true },
		{ "its category", "true", "file", true },
		{ "another category", "process.name == \"bash\"", "network", false },
		{ "never", "false", NULL, false },
	};
	AUTO(predicate_set_builder) builder = NULL;
	AUTO(predicate_set) set = NULL;
	struct query *q[countof(rows)] = { 0 };
	uint32_t index[countof(rows)];
	const uint32_t *list;
	auto_bench struct bench b;
	struct predicate_input in = { .ev = &b.ev };
	struct diag diag;
	size_t n;

	require(bench_open(&b, event_line));
	require_ok(predicate_set_builder_new(&builder));
	for (size_t i = 0; i < countof(rows); i++) {
		require_ok(condition_compile(rows[i].text, strlen(rows[i].text), NULL, &diag, &q[i]));
		require_ok(predicate_set_builder_add(builder, q[i], q[i]->stage[0].condition, rows[i].category,
						     &index[i]));
	}
	require_ok(predicate_set_build(builder, &set));
	/* Again and again: what was found for one event says nothing of the next. */
	for (int round = 0; round < 3; round++) {
		n = predicate_set_run(set, &in, b.scratch, &list);
		for (size_t i = 1; i < n; i++)
			check(list[i - 1] < list[i]);
		for_each_row (r, rows) {
			bool found = false;

			for (size_t i = 0; i < n; i++)
				found |= list[i] == index[r - rows];
			check_int(found, r->want);
		}
	}
	for (size_t i = 0; i < countof(rows); i++)
		query_free(q[i]);
}
