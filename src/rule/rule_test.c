/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include "base/err.h"
#include "base/test.h"
#include "rule/build.h"
#include "rule/rule.h"

enum { OUT_MAX = 1 << 20 };

typedef int compile_fn(const char *text, size_t n, const struct query_options *options, struct diag *reterr_diag,
		       struct query **ret_query);

/* The IR of a condition on one line, or the message. */
static void print_condition(compile_fn *compile, const char *text, const struct query_options *options, struct buf *out)
{
	AUTO(query) q = NULL;
	struct diag d;

	buf_clear(out);
	if (compile(text, strlen(text), options, &d, &q) < 0)
		buf_printf(out, "%u:%u: %s", d.line, d.column, d.message);
	else
		ir_print(q, q->stage->condition, out);
}

struct condition_row {
	const char *name, *ir;
};

#define check_conditions(rows, opts)                                                                                   \
	do {                                                                                                           \
		auto_buf struct buf out_ = { .max = OUT_MAX };                                                         \
		for_each_row (row_, rows) {                                                                            \
			print_condition(condition_compile, row_->name, (opts), &out_);                                 \
			check_str(buf_text(&out_), row_->ir);                                                          \
		}                                                                                                      \
	} while (0)

TEST(elastic_conditions_lower_into_the_ops_that_they_mean)
{
	/* ! null is false here, @ any item of a list, ~ case does not count. */
	static const struct condition_row rows[] = {
		{ "a == 1", "(==@! a 1)" },
		{ "1 == a", "(==@! a 1)" },
		{ "1 < a", "(>@! a 1)" },
		{ "1 >= a", "(<=@! a 1)" },
		{ "a != 1", "(not (==@! a 1))" },
		{ "a != b", "(!=@! a b)" },
		{ "length(a) != 1", "(!=@! (length a) 1)" },
		{ "not a == 1", "(not (==@! a 1))" },
		{ "not not a == 1", "(not (not (==@! a 1)))" },
		{ "a == null", "(is-null a)" },
		{ "null != a", "(not (is-null a))" },
		{ "null == null", "true" },
		{ "null != null", "false" },
		{ "null < a", "null" },
		{ "\"a\" == null", "false" },
		{ "null == \"a\"", "false" },
		{ "substring(a, null, 3) == \"x\"", "(==@! (substring a null 3) \"x\")" },
		{ "substring(null, 0, 3) == \"x\"", "null" },
		{ "a in (null)", "(==@! a null)" },
		{ "length(null) == 3", "null" },
		{ "concat(a, null) == \"x\"", "null" },
		{ "indexOf(a, \"x\", null) == 3", "(==@! (indexOf a \"x\" null) 3)" },
		{ "null == (a > 1)", "(is-null (>@ a 1))" },
		{ "true == (a > 1 and b)", "(==@! (and (>@ a 1) b) true)" },
		{ "a and b or not c", "(or (and a@! b@!) (not c@!))" },
		{ "a and (b and c) and d", "(and a@! b@! c@! d@!)" },
		{ "a or (b or c and d)", "(or a@! b@! (and c@! d@!))" },
		{ "a in (1, 2)", "(in@! a 1 2)" },
		{ "a in (1)", "(==@! a 1)" },
		{ "a not in (1, 2)", "(not (in@! a 1 2))" },
		{ "a in~ (\"X\", \"y\")", "(in~@! a \"X\" \"y\")" },
		{ "a not in~ (\"X\", \"y\")", "(not (in~@! a \"X\" \"y\"))" },
		{ "a : \"x*\"", "(like~@! a \"x*\")" },
		{ "a : (\"x*\", \"y\")", "(like~@! a \"x*\" \"y\")" },
		{ "a : 3", "(==~@! a 3)" },
		{ "a : null", "(is-null a)" },
		{ "a : (\"x\", 3, 4, null)", "(or (like~@! a \"x\") (in~@! a 3 4) (is-null a))" },
		{ "a like \"x?\"", "(like@! a \"x?\")" },
		{ "a like~ (\"x?\", \"y\")", "(like~@! a \"x?\" \"y\")" },
		{ "a regex \"x+\"", "(regex@! a \"x+\")" },
		{ "a regex~ (\"x+\", \"\"\"\\d\"\"\")", "(regex~@! a \"x+\" \"\\\\d\")" },
		{ "a + 1 * 2 == b % 2 - 3 / -c", "(==@! (+ a (* 1 2)) (- (% b 2) (/ 3 (neg c))))" },
		{ "a - 1 - 2 == 0", "(==@! (- (- a 1) 2) 0)" },
		{ "a == - 5", "(==@! a -5)" },
		{ "a == --5", "(==@! a 5)" },
		{ "add(a, 1) == subtract(2, b)", "(==@! (+ a 1) (- 2 b))" },
		{ "StartsWith(a, \"x\") and endswith~(a, \"y\")",
		  "(and (startsWith@! a \"x\") (endsWith~@! a \"y\"))" },
		{ "cidrMatch(a, \"::1\", \"10.0.0.1/8\")", "(cidrMatch@! a \"::1\" \"10.0.0.1/8\")" },
		{ "?a.b == 1", "(==@! ?a.b 1)" },
		{ "`a-b`.c == 1", "(==@! a-b.c 1)" },
		{ "`a``b` == 1", "(==@! a`b 1)" },
		{ "`and` == 1", "(==@! and 1)" },
		{ "`$a`.b == 1", "(==@! $a.b 1)" },
		{ "like == 1 and any like \"x\"", "(and (==@! like 1) (like@! any \"x\"))" },
		{ "@timestamp > \"2024-02-29T00:00:00Z\"", "(>@!/date @timestamp 1709164800000000000)" },
		{ "@timestamp > \"2024-02-29\"", "(>@!/date @timestamp 1709164800000000000)" },
		{ "@timestamp > 1709164800000", "(>@!/date @timestamp 1709164800000000000)" },
		{ "a == 9223372036854775807", "(==@! a 9223372036854775807)" },
		{ "a == -9223372036854775808", "(==@! a -9223372036854775808)" },
		{ "a == .5e1", "(==@! a 5.0)" },
		{ "a == \"\\u{41}\\t\\\"\\u{1F600}\"", "(==@! a \"A\\t\\\"\xf0\x9f\x98\x80\")" },
		{ "a == \"\"\"\\d\"\"\"\"\"", "(==@! a \"\\\\d\\\"\\\"\")" },
		{ "a == 1 // b\n and /* c /* d */ */ e == 2", "(and (==@! a 1) (==@! e 2))" },
		{ "a in (1, 2) == true", "(==@! (in@ a 1 2) true)" },
		{ "true == a : \"x\" and b", "(and (==@! (like~@ a \"x\") true) b@!)" },
		{ "(not a) in (true)", "(==@! (not a) true)" },
		{ "a", "a@!" },
		{ "true", "true" },
	};

	check_conditions(rows, NULL);
}

TEST(endgame_conditions_keep_null_and_fold_case)
{
	static const struct query_options options = { .dialect = RULE_ENDGAME };
	static const struct condition_row rows[] = {
		{ "a = 'x'", "(==~ a \"x\")" },
		{ "a != 'x'", "(!=~ a \"x\")" },
		{ "a == 'x*'", "(like~/star a \"x*\")" },
		{ "'x*' != a", "(not (like~/star a \"x*\"))" },
		{ "a in ('x', b, )", "(in~ a \"x\" b)" },
		{ "wildcard(a, 'x*', 'y')", "(like~/star a \"x*\" \"y\")" },
		{ "match(a, ?'\\d')", "(regex~/prefix/perl a \"\\\\d\")" },
		{ "a:length() > 1", "(>~ (length a) 1)" },
		{ "a and b:concat('x'):length() > 1", "(and a (>~ (length (concat b \"x\")) 1))" },
		{ "a[0].b.c[2] == 1", "(==~ (item 2 (. b.c (item 0 a))) 1)" },
		{ "arraySearch(a, x, x.y == 1 or x.z)", "(arraySearch~ $0 a (or (==~ (. y $0) 1) (. z $0)))" },
		{ "arraySearch(a, x, arrayCount(x.l, y, y == x.k) > 1)",
		  "(arraySearch~ $0 a (>~ (arrayCount~ $1 (. l $0) (==~ $1 (. k $0))) 1))" },
		{ "arraySearch(a, $v, $v.b == 'c')", "(arraySearch~ $0 a (==~ (. b $0) \"c\"))" },
		{ "arrayContains(a, 'x', 1)", "(arrayContains~ a \"x\" 1)" },
		{ "safe(a / 0) == null", "(is-null (/ a 0))" },
		{ "child of [process where a]", "(child-of #0)" },
		{ "not a == null", "(not (is-null a))" },
		{ "a /* b /* c */ == 1", "(==~ a 1)" },
	};
	static const struct query_options sensitive = { .dialect = RULE_ENDGAME, .case_sensitive = true };
	static const struct condition_row sensitive_rows[] = {
		{ "a = 'x' and b in (1, 'c') and startsWith(a, 'x')",
		  "(and (== a \"x\") (in b 1 \"c\") (startsWith a \"x\"))" },
		{ "a == 'x*'", "(like/star a \"x*\")" },
	};

	check_conditions(rows, &options);
	check_conditions(sensitive_rows, &sensitive);
}

/* ---- schemas ------------------------------------------------------------------------------ */

static const struct {
	const char *name;
	enum rule_type type;
} fields[] = {
	{ "user.id", RULE_KEYWORD },        { "process.pid", RULE_NUMBER },    { "process.name", RULE_KEYWORD },
	{ "source.ip", RULE_IP },           { "agent.version", RULE_VERSION }, { "file.created", RULE_DATE },
	{ "process.traced", RULE_BOOLEAN }, { "message", RULE_TEXT },
};

static bool find(const void *subject, const char *name, size_t n, enum rule_type *ret_type)
{
	(void)subject;
	for (size_t i = 0; i < countof(fields); i++) {
		if (strlen(fields[i].name) == n && !memcmp(fields[i].name, name, n)) {
			*ret_type = fields[i].type;
			return true;
		}
	}
	return false;
}

static const char *name_at(const void *subject, size_t i)
{
	(void)subject;
	return i < countof(fields) ? fields[i].name : NULL;
}

static bool is_category(const void *subject, const char *name, size_t n)
{
	(void)subject;
	return n == 7 && !memcmp(name, "process", 7);
}

static const struct rule_schema schema = { .field = find, .name = name_at, .category = is_category };

TEST(constants_take_the_type_of_the_field_beside_them)
{
	static const struct query_options options = { .schema = &schema };
	static const struct condition_row rows[] = {
		{ "user.id == 0", "(==@! user.id \"0\")" },
		{ "user.id in (0, \"x\", true)", "(in@! user.id \"0\" \"x\" \"true\")" },
		{ "user.id : 0", "(==~@! user.id \"0\")" },
		{ "process.pid == \"12\"", "(==@! process.pid 12)" },
		{ "process.pid : (\"12\", 13)", "(in~@! process.pid 12 13)" },
		{ "process.pid == \"1.5\"", "(==@! process.pid 1.5)" },
		{ "process.pid == \"x\"", "1:16: the field holds numbers, and this text is none" },
		{ "process.pid : \"1*\"", "1:1: a pattern needs text, and this is a number" },
		{ "process.pid like \"1*\"", "1:1: a pattern needs text, and this is a number" },
		{ "process.traced == \"true\"", "(==@! process.traced true)" },
		{ "process.traced == 1", "1:19: this is a number, and is compared with true or false" },
		{ "process.traced < true", "1:1: true and false have no order" },
		{ "source.ip == \"10.0.0.1\"", "(==@!/ip source.ip \"10.0.0.1\")" },
		{ "source.ip : \"10.*\"", "(like~@! source.ip \"10.*\")" },
		{ "source.ip : \"::1\"", "(==~@!/ip source.ip \"::1\")" },
		{ "source.ip == \"10.0.0\"",
		  "1:14: this is no address: write \"10.1.2.3\", \"2001:db8::1\" or \"10.0.0.0/8\"" },
		{ "agent.version >= \"1.10\"", "(>=@!/version agent.version \"1.10\")" },
		{ "agent.version == 2", "(==@!/version agent.version \"2\")" },
		{ "file.created < \"2024-02-29\"", "(<@!/date file.created 1709164800000000000)" },
		{ "file.created < \"2024\"", "(<@!/date file.created 1704067200000000000)" },
		{ "file.created < \"2024-02\"", "(<@!/date file.created 1706745600000000000)" },
		{ "file.created < \"2024-02-29T01\"", "(<@!/date file.created 1709168400000000000)" },
		{ "file.created < \"2024-02-29T01:01+01:00\"", "(<@!/date file.created 1709164860000000000)" },
		{ "file.created < \"2024-02-29T00:00:01.5\"", "(<@!/date file.created 1709164801500000000)" },
		{ "file.created < \"2024-02-30\"",
		  "1:16: this is no date: write \"2024-05-06T07:08:09Z\", or ms since 1970" },
		{ "file.created < \"202\"", "1:16: this is no date: write \"2024-05-06T07:08:09Z\", or ms since 1970" },
		{ "file.created < \"soon\"",
		  "1:16: this is no date: write \"2024-05-06T07:08:09Z\", or ms since 1970" },
		{ "process.pid == process.name", "1:16: this is text, and is compared with a number" },
		{ "length(process.pid) == 1", "1:8: length() wants text here, and this is a number" },
		{ "process.name + 1 == 2", "1:1: only numbers can be reckoned with, and this is text" },
		/* A field that no event can have is the literal null, and no leaf makes false of it. */
		{ "not ?none == \"a\"", "(not null)" },
		{ "?none == ?nothing", "true" },
		{ "?none == user.id", "(is-null user.id)" },
		{ "not ?none != \"a\"", "(not null)" },
		{ "?none == null", "true" },
		{ "?none : \"a\" or process.pid == 1", "(or null (==@! process.pid 1))" },
		{ "process.nmae == 1", "1:1: unknown field \"process.nmae\"" },
	};

	check_conditions(rows, &options);
}

TEST(a_message_names_the_nearest_word_field_or_function)
{
	static const struct {
		const char *name, *hint;
		enum rule_dialect dialect;
	} rows[] = {
		{ "any where process.nmae == 1", "process.name" },
		{ "any where user.idd == 1", "user.id" },
		{ "any where leng(user.id) == 1", "length" },
		{ "any where starts_with(user.id, \"a\")", "startsWith" },
		{ "any where wildcard(user.id, \"a\")", "like" },
		{ "any where match(user.id, \"a\")", "regex" },
		{ "any where LENGTH(user.id) == 1", "length", RULE_ENDGAME },
		{ "any where wholly.different == 1", "" },
		{ "process wher user.id == 1", "where" },
		{ "process where user.id lik \"1\"", "like" },
		{ "process where user.id == 1 | haed 1", "head" },
		{ "process where user.id == 1 where", "" },
		{ "sequence wiht maxspan=1s [process where true] [process where true]", "with" },
	};

	for_each_row (r, rows) {
		struct query_options options = { .dialect = r->dialect, .schema = &schema };
		AUTO(query) q = NULL;
		struct diag d;

		check_int(query_compile(r->name, strlen(r->name), &options, &d, &q), -EINVAL);
		check_str(d.hint, r->hint);
	}
}

/* ---- queries ------------------------------------------------------------------------------ */

TEST(queries_print_their_stages_keys_and_pipes)
{
	static const struct {
		const char *name, *want;
		enum rule_dialect dialect;
	} rows[] = {
		{ "process where a", "event\n  0: \"process\" where a@!\n" },
		{ "any where a", "event\n  0: any where a@!\n" },
		{ "\"any\" where a", "event\n  0: \"any\" where a@!\n" },
		{ "`my cat` where a | head 3 | tail 2", "event\n  0: \"my cat\" where a@!\n  | head 3\n  | tail 2\n" },
		{ "sequence by h, ?u with maxspan=90s\n[a where x] by p as e0 with runs=3\n![b where e0.x == y] by ?q\n"
		  "until [c where z] by r",
		  "sequence maxspan 90000000000 ns\n"
		  "  0: \"a\" where x@! by h, ?u, p runs 3 as e0\n"
		  "  1: missing \"b\" where (==@! e0.x y) by h, ?u, ?q\n"
		  "  until: \"c\" where z@! by h, ?u, r\n" },
		{ "sample by h [a where x] by p [b where y] by q",
		  "sample\n  0: \"a\" where x@! by h, p\n  1: \"b\" where y@! by h, q\n" },
		{ "join by length(u), [a where x] [b where y] until [c where z]",
		  "join\n  0: \"a\" where x by (length u) or null\n  1: \"b\" where y by (length u) or null\n"
		  "  until: \"c\" where z by (length u) or null\n",
		  RULE_ENDGAME },
		{ "sequence [a where x] by p [b where y] fork=true by q [c where z] fork=false by r",
		  "sequence\n  0: \"a\" where x by p or null\n  1: \"b\" where y by q or null fork\n"
		  "  2: \"c\" where z by r or null\n",
		  RULE_ENDGAME },
		{ "process where child of [file where event of [dns where x]]",
		  "event\n  0: \"process\" where (child-of #0)\n  #0: \"file\" where (event-of #0)\n", RULE_ENDGAME },
		{ "process where not descendant of [process where a == \"b\"]",
		  "event\n  0: \"process\" where (not (descendant-of #0))\n  #0: \"process\" where (==@! a \"b\")\n",
		  RULE_ENDPOINT },
		{ "sequence [a where x] [b where y] | filter events[1].c == d | unique length(c) e | count c, d | head",
		  "sequence\n  0: \"a\" where x\n  1: \"b\" where y\n  | filter (==~ events[1].c d)\n"
		  "  | unique (length c), e\n  | count c, d\n  | head 50\n",
		  RULE_ENDGAME },
		{ "a where x | count | sort count | unique_count b | filter percent > .5",
		  "event\n  0: \"a\" where x\n  | count\n  | sort count\n  | unique_count b\n"
		  "  | filter (>~ percent 0.5)\n",
		  RULE_ENDGAME },
	};
	auto_buf struct buf out = { .max = OUT_MAX };

	for_each_row (r, rows) {
		struct query_options options = { .dialect = r->dialect };
		AUTO(query) q = NULL;
		struct diag d;

		buf_clear(&out);
		if (query_compile(r->name, strlen(r->name), &options, &d, &q) < 0)
			buf_str(&out, d.message);
		else
			query_print(q, &out);
		check_str(buf_text(&out), r->want);
	}
}

TEST(a_query_of_lineage_is_a_whole_query_with_its_own_text)
{
	static const char text[] = "process where a and child of [ file where b ] ";
	static const struct query_options options = { .dialect = RULE_ENDGAME, .category_field = "kind" };
	AUTO(query) q = NULL;

	require_ok(query_compile(text, strlen(text), &options, NULL, &q));
	check_str(q->text, text);
	require(q->n_subqueries == 1);
	check_str(q->subqueries[0]->text, "file where b ");
	check_int(q->subqueries[0]->kind, QUERY_EVENT);
	check_str(q->subqueries[0]->stage->category, "file");
	check_str(field_name(q->category_field), "kind");
	check(q->fold);
}

TEST(options_add_what_the_text_leaves_out)
{
	static const struct query_options bare = { .implied_any = true };
	static const struct query_options keyed = { .implicit_key = "host.id" };
	static const char sequence[] = "sequence by a [x where b] by c [y where d] by e until [z where f] by g";
	auto_buf struct buf out = { .max = OUT_MAX };
	AUTO(query) q = NULL;
	AUTO(query) single = NULL;
	AUTO(query) joined = NULL;

	require_ok(query_compile("a == 1 | head 1", 15, &bare, NULL, &q));
	query_print(q, &out);
	check_str(buf_text(&out), "event\n  0: any where (==@! a 1)\n  | head 1\n");
	require_ok(query_compile("x where a", 9, &keyed, NULL, &single));
	check_int(single->n_keys, 0);
	require_ok(query_compile(sequence, strlen(sequence), &keyed, NULL, &joined));
	buf_clear(&out);
	query_print(joined, &out);
	check_str(buf_text(&out),
		  "sequence\n  0: \"x\" where b@! by host.id, a, c\n  1: \"y\" where d@! by host.id, a, e\n"
		  "  until: \"z\" where f@! by host.id, a, g\n");
}

/* ---- mistakes ------------------------------------------------------------------------------ */

TEST(mistakes_are_told_with_their_place)
{
	static const struct {
		const char *name, *message;
		unsigned line, column;
		enum rule_dialect dialect;
	} rows[] = {
		{ "", "expected an event category (process, file, any, ...), found the end", 1, 1 },
		{ "process", "expected \"where\" behind the event category, found the end", 1, 8 },
		{ "process wher a", "found \"wher\"", 1, 9 },
		{ "process where", "expected a value, found the end", 1, 14 },
		{ "process where\n  a ==", "expected a value, found the end", 2, 7 },
		{ "process where a b", "expected an operator, \"|\" or the end, found \"b\"", 1, 17 },
		{ "process where (a", "expected \")\", found the end", 1, 17 },
		{ "process where a)", "found \")\"", 1, 16 },
		{ "process where \xc3\xa4 == 1", "unexpected character \"\xc3\xa4\"", 1, 15 },
		{ "process where \"\xc3\xa4\" == a b", "found \"b\"", 1, 24 },
		{ "process where a == \"\xff\"", "this is no UTF-8", 1, 21 },
		{ "process where a\1", "unexpected control character", 1, 16 },
		{ "process where a == \"b\nc\"", "does not end on its line: \" is missing", 1, 20 },
		{ "process where a == \"\"\"b\nc\"\"\"", "does not end on its line: \"\"\" is missing", 1, 20 },
		{ "process where `a\n`", "does not end on its line: ` is missing", 1, 15 },
		{ "process where ``", "expected a name between the backticks", 1, 15 },
		{ "process where a == 'b'", "strings stand in double quotes", 1, 20 },
		{ "process where a == ?\"b\"", "write \"\"\"...\"\"\"", 1, 20 },
		{ "process where a == \"\\x\"", "unknown escape", 1, 21 },
		{ "process where a == \"\\u{4}\"", "2 to 8 hexadecimal digits", 1, 21 },
		{ "process where a == \"\\u{110000}\"", "no character U+110000", 1, 21 },
		{ "process where a == \"\\u{d800}\"", "no character U+D800", 1, 21 },
		{ "process where a /* b", "\"*/\" is missing", 1, 17 },
		{ "process where a = 1", "write \"==\"", 1, 17 },
		{ "process where a == b == c", "comparisons do not chain", 1, 22 },
		{ "process where a[0] == 1", "cannot be picked by number", 1, 16 },
		{ "process where a.by == 1", "in backticks, `by`", 1, 17 },
		{ "process where 1a == 1", "a number is followed by letters", 1, 15 },
		{ "process where a == 1e999", "too large", 1, 20 },
		{ "process where a in 3", "expected \"(\", found \"3\"", 1, 20 },
		{ "process where a in ()", "at least one value", 1, 20 },
		{ "process where a in (1,)", "expected a value", 1, 23 },
		{ "process where a in (1 2)", "expected \",\" or \")\"", 1, 23 },
		{ "process where a like b", "a pattern is a string", 1, 22 },
		{ "process where a : b", "expected a constant", 1, 19 },
		{ "process where length~(a) == 1", "has no form with ~", 1, 15 },
		{ "process where length() == 1", "wants 1 argument, and has 0", 1, 15 },
		{ "process where between(a, \"b\", \"c\", true, 1)", "at most 4 arguments, and has 5", 1, 15 },
		{ "process where between(a, \"b\", \"c\", 1)", "true or false", 1, 36 },
		{ "process where substring(a, \"b\")", "wants a number", 1, 28 },
		{ "process where substring(a, 1.0)", "wants a whole number", 1, 28 },
		{ "process where cidrMatch(a, \"10.0.0.0/33\")", "wants a network", 1, 28 },
		{ "process where cidrMatch(a, b)", "wants a network", 1, 28 },
		{ "process where true < false", "no order", 1, 15 },
		{ "process where 1 == \"1\"", "this is text, and is compared with a number", 1, 20 },
		{ "process where $a == 1", "unknown variable \"$a\"", 1, 15 },
		{ "process where child of [a where b]", "of the dialects endpoint and endgame", 1, 15 },
		{ "process where nephew of [a where b]", "child, descendant or event", 1, 15 },
		{ "process where a | filter b", "of the dialect endgame", 1, 19 },
		{ "process where a | head", "head wants one argument", 1, 19 },
		{ "process where a | head -1", "a whole number from 0 on", 1, 24 },
		{ "process where a | head 1.5", "a whole number from 0 on", 1, 24 },
		{ "process where a |", "expected a pipe", 1, 18 },
		{ "join [a where b] [c where d]", "of the dialect endgame", 1, 1 },
		{ "sequence [a where b]", "at least two terms", 1, 1 },
		{ "sequence [a where b] []", "expected an event category", 1, 23 },
		{ "sequence [a where b] [c where d", "expected an operator or \"]\", found the end", 1, 32 },
		{ "sequence by length(a) [a where b] [c where d]", "joined by fields", 1, 13 },
		{ "sequence [a where b] by c [d where e]", "0 join keys here, 1 at the first", 1, 28 },
		{ "sequence [a where b] [d where e] until [f where g] by h", "1 join keys here", 1, 41 },
		{ "sequence with maxspan=1 [a where b] [c where d]", "a unit of time", 1, 25 },
		{ "sequence with maxspan=1.0s [a where b] [c where d]", "a whole number of ms", 1, 23 },
		{ "sequence with maxspan=0s [a where b] [c where d]", "a time such as 30s", 1, 23 },
		{ "sequence with maxspan=1y [a where b] [c where d]", "a unit of time", 1, 24 },
		{ "sequence with maxspan=9999999999d [a where b] [c where d]", "too long", 1, 23 },
		{ "sequence with maxspan=1s by a [a where b] [c where d]", "before \"with maxspan\"", 1, 26 },
		{ "sequence [a where b] ![c where d]", "needs \"with maxspan=...\"", 1, 1 },
		{ "sequence with maxspan=1s ![a where b] ![c where d]", "at least one term that is not", 1, 1 },
		{ "sequence with maxspan=1s [a where b] [c where d] until ![e where f]", "among the terms", 1, 56 },
		{ "sequence [a where b] with runs=0 [c where d]", "a number from 1 on", 1, 32 },
		{ "sequence [a where b] with runs=101", "at most 100 runs", 1, 32 },
		{ "sequence [a where b] with runs=2 by c", "before \"with runs\"", 1, 34 },
		{ "sequence [a where b] [c where d] until [e where f] with runs=2", "found \"with\"", 1, 52 },
		{ "sequence [a where e1.b] as e0 [c where d] as e1", "is not before this one", 1, 19 },
		{ "sequence [a where x] as e0 [c where e1.d] as e1", "is not before this one", 1, 37 },
		{ "sequence [a where x] as e0 [c where d] as e0", "two terms are called \"e0\"", 1, 29 },
		{ "sequence with maxspan=1s [a where x] ![b where c] as e0 [c where e0.d]", "matches no event", 1, 66 },
		{ "sample [a where b] [c where d]", "something to join by", 1, 1 },
		{ "sample by a ![a where b] [c where d]", "among the terms of a sequence", 1, 13 },
		{ "sequence [a where b] [c where d] fork", "found \"fork\"", 1, 34 },
		{ "sequence [a where b] fork [c where d]", "nothing before it to fork from", 1, 22, RULE_ENDGAME },
		{ "sequence [a where b] [c where d] fork fork", "found \"fork\"", 1, 39, RULE_ENDGAME },
		{ "a where b | unique 3", "the same of every event", 1, 20, RULE_ENDGAME },
		{ "a where b | unique", "wants something to look at", 1, 13, RULE_ENDGAME },
		{ "sequence [a where b] [c where d] | filter events[2].e", "from events[0] on", 1, 43, RULE_ENDGAME },
		{ "a where b | filter child of [c where d]", "a pipe knows nothing of processes", 1, 20, RULE_ENDGAME },
		{ "a where --1 == b", "a value behind the sign", 1, 10, RULE_ENDGAME },
		{ "a where arraySearch(b, c.d, true)", "wants a name for the item", 1, 24, RULE_ENDGAME },
		{ "a where wildcard(b, c)", "wants a pattern", 1, 21, RULE_ENDGAME },
		{ "a where startsWith(1, 'b')", "wants text", 1, 20, RULE_ENDGAME },
		{ "a where -1 != 'b'", "is compared with a number", 1, 15, RULE_ENDGAME },
	};

	for_each_row (r, rows) {
		struct query_options options = { .dialect = r->dialect };
		AUTO(query) q = NULL;
		struct diag d;
		int got = query_compile(r->name, strlen(r->name), &options, &d, &q);

		check(got == -EINVAL || got == -E2BIG);
		check_has(d.message, r->message);
		check_int(d.line, r->line);
		check_int(d.column, r->column);
		check(!q);
	}
}

TEST(the_endgame_dialect_as_it_was_refuses_what_came_later)
{
	static const struct query_options strict = { .dialect = RULE_ENDGAME, .strict_endgame = true };
	static const struct query_options today = { .dialect = RULE_ENDGAME };
	static const struct {
		const char *name;
	} rows[] = {
		{ "a where b : \"c\"" },
		{ "a where b in~ (\"c\", \"d\")" },
		{ "a where b like \"c\"" },
		{ "a where b regex~ \"c\"" },
		{ "a where b == \"\"\"c\"\"\"" },
		{ "a where ?b == \"c\"" },
		{ "a where startsWith~(b, \"c\")" },
		{ "a where arraySearch(b, $c, $c == 1)" },
		{ "a where cidrMatch(b, \"::1\")" },
		{ "sequence [a where b] with runs=2" },
		{ "sequence with maxspan=1s [a where b] ![c where d] [e where f]" },
		{ "sequence [a where b] as e0 [c where d]" },
		{ "sample by a [a where b] [c where d]" },
	};

	for_each_row (r, rows) {
		AUTO(query) q = NULL;
		AUTO(query) none = NULL;
		struct diag d;

		check_int(query_compile(r->name, strlen(r->name), &strict, &d, &none), -EINVAL);
		require_ok(query_compile(r->name, strlen(r->name), &today, &d, &q));
	}
}

TEST(a_message_is_shown_under_its_line)
{
	static const char text[] = "process where\r\n\t\"\xc3\xa4\" == a and b.or == 1\nx";
	auto_buf struct buf out = { .max = OUT_MAX };
	AUTO(query) q = NULL;
	struct diag d;

	check_int(query_compile(text, strlen(text), NULL, &d, &q), -EINVAL);
	diag_write(&d, "rule", text, strlen(text), &out);
	check_str(buf_text(&out),
		  "rule:2:17: expected a name or a value, found the word \"or\": a field of this name stands in "
		  "backticks, `or`\n   \"\xc3\xa4\" == a and b.or == 1\n                  ^~\n");
	(void)snprintf(d.hint, sizeof(d.hint), "xor");
	buf_clear(&out);
	diag_write(&d, "rule", NULL, 0, &out);
	check_has(buf_text(&out), "backticks, `or`; did you mean \"xor\"?\n");
}

TEST(a_long_line_is_cut_around_the_place)
{
	auto_buf struct buf text = { .max = OUT_MAX };
	auto_buf struct buf out = { .max = OUT_MAX };
	AUTO(query) q = NULL;
	struct diag d;
	char *line, *caret;

	buf_str(&text, "any where ");
	for (int i = 0; i < 200; i++)
		buf_str(&text, "aaaa == 1 or ");
	buf_str(&text, "b ! c");
	for (int i = 0; i < 200; i++)
		buf_str(&text, " or aaaa == 1");
	check_int(query_compile(text.data, text.len, NULL, &d, &q), -EINVAL);
	diag_write(&d, "rule", text.data, text.len, &out);
	line = strchr(out.data, '\n') + 1;
	caret = strchr(line, '\n') + 1;
	check(caret - line < 120);
	check(!strncmp(line, "  ...", 5));
	check(line[strchr(caret, '^') - caret] == '!');
}

/* ---- bounds -------------------------------------------------------------------------------- */

static void repeat(struct buf *b, const char *part, size_t times)
{
	for (size_t i = 0; i < times; i++)
		buf_str(b, part);
}

/* Is `head part*times tail` taken? A refusal is -E2BIG or -EINVAL, with a place. */
static bool takes(enum rule_dialect dialect, const char *head, const char *part, size_t times, const char *tail)
{
	struct query_options options = { .dialect = dialect };
	auto_buf struct buf text = { .max = 4 * RULE_TEXT_MAX };
	AUTO(query) q = NULL;
	struct diag d;
	int r;

	buf_str(&text, head);
	repeat(&text, part, times);
	buf_str(&text, tail);
	r = query_compile(text.data, text.len, &options, &d, &q);
	check(r == 0 || r == -E2BIG);
	check(r == 0 || d.message[0]);
	return r == 0;
}

TEST(what_a_rule_may_take_is_bounded)
{
	/* The last that is taken, and the first that is not. */
	static const struct {
		const char *name, *head, *part, *tail;
		size_t most;
		enum rule_dialect dialect;
	} rows[] = {
		{ "brackets", "any where ", "(", "", 0 },
		{ "not", "any where ", "not ", "a", RULE_DEPTH_MAX - 1 },
		{ "sums", "any where 0 == a", " + 1", "", RULE_DEPTH_MAX - 2 },
		{ "and", "any where a", " and b", "", RULE_LIST_MAX - 1 },
		{ "list", "any where a in (0", ", 1", ")", RULE_LIST_MAX - 2 },
		{ "arguments", "any where concat(0", ", 1", ") == \"\"", RULE_LIST_MAX - 1 },
		{ "string", "any where a == \"", "x", "\"", RULE_STRING_MAX },
		{ "name", "any where a", "x", "", FIELD_NAME_MAX - 1 },
		{ "segments", "any where a", ".x", "", FIELD_DEPTH_MAX - 1 },
		{ "terms", "sequence [a where b]", " [a where b]", "", RULE_STAGES_MAX - 1 },
		{ "keys", "sequence by a", ", b", " [a where b] [c where d]", RULE_KEYS_MAX - 1 },
		{ "pipes", "any where a", " | head 1", "", RULE_PIPES_MAX },
		{ "text", "any where a", " ", "", RULE_TEXT_MAX - 11 },
		{ "lineage", "any where a", " or event of [b where c]", "", RULE_SUBQUERIES_MAX, RULE_ENDGAME },
	};

	for_each_row (r, rows) {
		if (r->most)
			check(takes(r->dialect, r->head, r->part, r->most, r->tail));
		check(!takes(r->dialect, r->head, r->part, r->most ? r->most + 1 : 200000, r->tail));
	}
}

TEST(brackets_of_the_depth_that_is_allowed_are_taken)
{
	auto_buf struct buf text = { .max = OUT_MAX };
	AUTO(query) q = NULL;

	repeat(&text, "(", 60);
	buf_str(&text, "a");
	repeat(&text, ")", 60);
	require_ok(condition_compile(text.data, text.len, NULL, NULL, &q));
	check_int(ir_at(q, q->stage->condition)->op, IR_FIELD);
}

/* ---- nodes ---------------------------------------------------------------------------------- */

TEST(nodes_that_mean_the_same_are_the_same)
{
	static const struct {
		const char *name, *other;
		bool same;
	} rows[] = {
		{ "a == 1 and b", "a == 1 and b", true },
		{ "a == 1", "1 == a", true },
		{ "a != 1", "not a == 1", true },
		{ "a in (1)", "a == 1", true },
		{ "?a == 1", "a == 1", true },
		{ "(a and b) and c", "a and (b and c)", true },
		{ "STARTSWITH(a, \"b\")", "startsWith(a, \"b\")", true },
		{ "a == 1", "a == 1.0", false },
		{ "a == \"b\"", "a == \"B\"", false },
		{ "a like \"b\"", "a like~ \"b\"", false },
		{ "a == 1", "b == 1", false },
		{ "a == 1", "(a == 1) == true", false },
		{ "a and b", "a or b", false },
		{ "a and b", "a and b and c", false },
	};

	for_each_row (r, rows) {
		AUTO(query) qa = NULL;
		AUTO(query) qb = NULL;
		ir_ref a, b;

		require_ok(condition_compile(r->name, strlen(r->name), NULL, NULL, &qa));
		require_ok(condition_compile(r->other, strlen(r->other), NULL, NULL, &qb));
		a = qa->stage->condition;
		b = qb->stage->condition;
		check_int(ir_same(qa, a, qb, b), r->same);
		check_int(ir_hash(qa, a) == ir_hash(qb, b), r->same);
	}
}

TEST(a_value_needs_no_condition)
{
	auto_buf struct buf out = { .max = OUT_MAX };

	print_condition(expression_compile, "7 / a", NULL, &out);
	check_str(buf_text(&out), "(/ 7 a)");
	print_condition(expression_compile, "a == 1 and b", NULL, &out);
	check_str(buf_text(&out), "(and (==@ a 1) b)");
}

TEST(a_builder_makes_what_front_ends_lower_into)
{
	struct query_builder b;
	auto_buf struct buf out = { .max = OUT_MAX };
	AUTO(query) q = NULL;
	ir_ref like[2], both[2];

	require_ok(query_builder_init(&b, RULE_ELASTIC));
	like[0] = build_field(&b, "process.name", 12, RULE_KEYWORD, 0);
	like[1] = build_str(&b, "*\\*x", 4);
	both[0] = build_node(&b, IR_LIKE, IR_FOLD | IR_ESCAPE | IR_ANY | IR_TRUTH, like, 2);
	both[1] = build_call(&b, IR_LENGTH, 0, like, 1);
	b.q->n_stages = 1;
	b.q->stage = arena_zeroed(&b.q->arena, 1, sizeof(*b.q->stage));
	require(b.q->stage);
	b.q->stage->condition = build_node(&b, IR_OR, 0, both, 2);
	/* A node with a part that was refused is not made. */
	check_int(build_field(&b, "", 0, RULE_UNKNOWN, 0), 0);
	check_int(build_node(&b, IR_NOT, 0, (ir_ref[]) { 0 }, 1), 0);
	b.no_name = false;
	require_ok(query_build(&b, &q));
	ir_print(q, q->stage->condition, &out);
	check_str(buf_text(&out), "(or (like~/escape@! process.name \"*\\\\*x\") (length process.name))");
}

TEST(a_query_takes_the_memory_of_what_it_has)
{
	static const char text[] =
		"sequence by user.id with maxspan=1m [process where process.name in (\"a\", \"bb\")] by "
		"process.pid [file where file.path like \"/tmp/*\"] by process.pid until [any where "
		"true] by process.pid | head 3";
	AUTO(query) q = NULL;
	struct diag d;
	size_t strings = 0;

	require_ok(query_compile(text, strlen(text), NULL, &d, &q));
	for (uint32_t i = 1; i < q->n_nodes; i++)
		strings += q->node[i].op == IR_STR ? q->node[i].str.n + 1 : 0;
	check(q->arena.taken >= q->n_nodes * sizeof(*q->node) + strings + sizeof(text));
	check(q->arena.taken <= q->n_nodes * sizeof(*q->node) + strings + sizeof(text) + 512);
	check_str(q->stage[1].category, "file");
	check_int(q->node[q->stage[0].key[1].expr].op, IR_FIELD);
	check_str(q->node[q->until->key[1].expr].field.name, "process.pid");
}

TEST(a_builder_that_was_refused_something_says_so)
{
	struct query_builder b;
	AUTO(query) q = NULL;

	require_ok(query_builder_init(&b, RULE_ELASTIC));
	for (unsigned i = 0; i < RULE_NODES_MAX; i++)
		(void)build_null(&b);
	check_int(build_null(&b), 0);
	check_int(query_build(&b, &q), -E2BIG);
	check(!q);
}

TEST(a_builder_refuses_what_would_cost_its_readers_their_stack)
{
	for (unsigned extra = 0; extra < 2; extra++) {
		struct query_builder b;
		AUTO(query) q = NULL;
		ir_ref ref;

		require_ok(query_builder_init(&b, RULE_ELASTIC));
		ref = build_bool(&b, true);
		for (unsigned i = 1; i < IR_DEPTH_MAX + extra; i++)
			ref = build_node(&b, IR_NOT, 0, &ref, 1);
		check_int(query_build(&b, &q), extra ? -E2BIG : 0);
	}
}

/* ---- the manual ------------------------------------------------------------------------------ */

/* The text between the next two backticks, or NULL. */
static char *quoted(char **at)
{
	char *begin = strchr(*at, '`'), *end = begin ? strchr(begin + 1, '`') : NULL;

	if (!end)
		return NULL;
	*end = 0;
	*at = end + 1;
	return begin + 1;
}

/* rule.md says in a table what lowers into what: "| `written` | `lowered` |", after "endgame: " of that dialect. */
TEST(the_manual_tells_what_lowers_into_what)
{
	auto_file FILE *f = fopen(SHRIKE_SOURCE_DIR "/src/rule/rule.md", "re");
	auto_buf struct buf out = { .max = OUT_MAX };
	char line[1024];
	unsigned rows = 0;

	require(f);
	while (fgets(line, sizeof(line), f) && !strstr(line, "| written | lowered |"))
		;
	require(fgets(line, sizeof(line), f));
	while (fgets(line, sizeof(line), f) && line[0] == '|') {
		struct query_options options = { .dialect = strstr(line, "| endgame:") ? RULE_ENDGAME : RULE_ELASTIC };
		char *at = line, *written = quoted(&at), *lowered = quoted(&at);

		require(written && lowered);
		print_condition(condition_compile, written, &options, &out);
		check_str(buf_text(&out), lowered);
		rows++;
	}
	check(rows > 5);
}
