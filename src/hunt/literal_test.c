/* SPDX-License-Identifier: Apache-2.0 */
#include "hunt/literal.h"
#include <string.h>
#include "base/err.h"
#include "base/test.h"
#include "rule/rule.h"

/* The needles of a query, one after the other; upper case says that case does not count. "all" when there are none. */
static void show(const char *text, enum rule_dialect dialect, struct buf *out)
{
	const struct query_options options = { .dialect = dialect };
	auto_report struct config_report report = { 0 };
	static const char schema_text[] =
		"category: event.category\nfields:\n  n: {null_value: hidden, type: keyword}\n";
	struct needles set = { 0 };
	struct diag diag = { 0 };
	AUTO(schema) schema = NULL;
	AUTO(query) q = NULL;

	buf_clear(out);
	require_ok(schema_read("s", schema_text, strlen(schema_text), &report, &schema));
	if (query_compile(text, strlen(text), &options, &diag, &q) < 0) {
		buf_str(out, diag.message);
		return;
	}
	if (!literal_needles(q, schema, &set)) {
		buf_str(out, "all");
		return;
	}
	for (size_t i = 0; i < set.n; i++)
		buf_printf(out, "%s%.*s%s", i ? " " : "", (int)set.items[i].n, set.items[i].text,
			   set.items[i].fold ? "~" : "");
}

TEST(a_line_needs_what_the_query_cannot_do_without)
{
	static const struct {
		const char *name, *query, *want;
	} rows[] = {
		{ "a value with its quotes", "any where a == \"curl\"", "\"curl\"" },
		{ "on the other side", "any where \"curl\" == a", "\"curl\"" },
		{ "in any case", "any where a : \"Curl\"", "\"curl\"~" },
		{ "one of a list", "any where a in (\"curl\", \"wget\")", "\"curl\" \"wget\"" },
		{ "the longest part of a pattern", "any where a like \"/tmp/*secret?.x\"", "secret" },
		{ "the beginning of a pattern", "any where a like \"begin*e\"", "\"begin" },
		{ "a pattern of wildcards", "any where a like \"*?*\"", "all" },
		{ "the rarest of what must all hold", "any where a == \"x\" and b == \"longer\" and c > 1",
		  "\"longer\"" },
		{ "all of what may hold", "any where a == \"one\" or b == \"two\"", "\"one\" \"two\"" },
		{ "one branch may be anything", "any where a == \"one\" or b > 2", "all" },
		{ "what must not be", "any where not a == \"one\"", "all" },
		{ "what must not be equal", "any where a != \"one\"", "all" },
		{ "a number may be written in many ways", "any where a == 4242", "all" },
		{ "a slash may be escaped", "any where a == \"/usr/bin/nc\"", "usr" },
		{ "quotes are escaped", "any where a == \"say \\\"hello\\\"\"", "hello" },
		{ "letters beyond ASCII may be escaped", "any where a == \"stra\xc3\x9f\x65n\"", "\"stra" },
		{ "nothing is left", "any where a == \"/\"", "all" },
		{ "a function with a text", "any where startsWith(a, \"abc\")", "\"abc" },
		{ "the end of a text", "any where endsWith~(a, \"ABC\")", "abc\"~" },
		{ "part of a text", "any where stringContains(a, \"abc\")", "abc" },
		{ "a field that null has a value for", "any where n == \"hidden\"", "all" },
		{ "the category, where there is nothing else", "process where true", "\"process\"" },
		{ "a name that all lines have is worth little", "process where event.type == \"start\" and a == \"nc\"",
		  "\"nc\"" },
		{ "each stage has its own", "sequence [a where x == \"one\"] [b where true]", "\"one\" \"b\"" },
		{ "a stage of anything", "sequence [a where x == \"one\"] [any where true]", "all" },
		{ "until counts, too", "sequence [a where true] [b where true] until [any where true]", "all" },
		{ "no null", "any where a == null", "all" },
		{ "an address may be written in many ways", "any where cidrMatch(a, \"10.0.0.0/8\")", "all" },
	};
	auto_buf struct buf out = { .max = 4096 };

	for_each_row (r, rows) {
		show(r->query, RULE_ELASTIC, &out);
		check_str(buf_text(&out), r->want);
	}
}

TEST(the_older_dialect_takes_case_for_the_same)
{
	auto_buf struct buf out = { .max = 4096 };

	show("process where name == \"Cmd*.exe\"", RULE_ENDGAME, &out);
	check_str(buf_text(&out), ".exe\"~");
	show("process where child of [process where name == \"a\"]", RULE_ENDGAME, &out);
	check_str(buf_text(&out), "all");
}

TEST(what_hides_a_letter_is_a_needle_too)
{
	struct needles set = { 0 };

	require(needles_add(&set, "curl", 4, true) && literal_disguises(&set));
	check_int((long)set.n, 2);
	set.n = 0;
	require(needles_add(&set, "Kill", 4, true) && literal_disguises(&set));
	check_int((long)set.n, 4);
	set.n = 0;
	require(needles_add(&set, "Kill", 4, false) && literal_disguises(&set));
	check_int((long)set.n, 2);
}
