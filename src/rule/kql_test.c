/* SPDX-License-Identifier: Apache-2.0 */
#include "rule/kql.h"
#include "base/err.h"
#include "base/test.h"
#include "event/json_event.h"
#include "predicate/set.h"
#include "predicate/tree.h"
#include "rule/kql_words.h"

static bool known(const void *subject, const char *name, size_t n, enum rule_type *ret_type)
{
	static const struct {
		const char *name;
		enum rule_type type;
	} fields[] = {
		{ "process.name", RULE_KEYWORD },    { "process.pid", RULE_NUMBER }, { "process.tty", RULE_BOOLEAN },
		{ "event.start", RULE_DATE },        { "client.ip", RULE_IP },       { "log.line", RULE_TEXT },
		{ "package.version", RULE_VERSION },
	};

	(void)subject;
	for (size_t i = 0; i < countof(fields); i++)
		if (strlen(fields[i].name) == n && !memcmp(fields[i].name, name, n)) {
			*ret_type = fields[i].type;
			return true;
		}
	return false;
}

static const char *name_at(const void *subject, size_t i)
{
	(void)subject;
	return i == 0 ? "process.name" : NULL;
}

static const struct rule_schema strict = { .field = known, .name = name_at };

/* The IR, or line, column, message, hint and the word for what is missing. */
static const char *lowered(const char *text, const struct rule_schema *schema)
{
	const struct query_options options = { .dialect = RULE_KQL, .schema = schema };
	static char shown[1024];
	auto_buf struct buf out = { .max = 1 << 16 };
	AUTO(query) q = NULL;
	struct diag d;

	if (query_compile(text, strlen(text), &options, &d, &q) < 0) {
		err_clear();
		buf_printf(&out, "%u:%u: %s", d.line, d.column, d.message);
		if (d.hint[0])
			buf_printf(&out, " (%s?)", d.hint);
		if (d.feature)
			buf_printf(&out, " [%s]", d.feature);
	} else {
		check(q->kind == QUERY_EVENT && !q->n_pipes);
		if (q->stage[0].category)
			buf_printf(&out, "%s where ", q->stage[0].category);
		ir_print(q, q->stage[0].condition, &out);
	}
	(void)snprintf(shown, sizeof(shown), "%s", buf_text(&out));
	return shown;
}

TEST(kql_becomes_the_form_that_all_rules_have)
{
	static const struct {
		const char *name, *want; /* the query is the name */
	} rows[] = {
		{ "a:b", "(==@! a \"b\")" },
		{ "  a : b  ", "(==@! a \"b\")" },
		{ "a:\"b\"", "(==@! a \"b\")" },
		{ "\"a\":b", "(==@! a \"b\")" },
		{ "a.b:4", "(==@! a.b \"4\")" },
		{ "a:true", "(==@! a \"true\")" },
		{ "a:b c  d", "(==@! a \"b c  d\")" },
		{ "a:*", "(not (is-null a))" },
		{ "a:(not *)", "(is-null a)" },
		{ "not (a:* and b:*)", "(not (and (not (is-null a)) (not (is-null b))))" },
		{ "a:\"*\"", "(==@! a \"*\")" },
		{ "not a:*", "(is-null a)" },
		{ "a:b*", "(like@! a \"b*\")" },
		{ "a:b?*\\**", "(like/escape@! a \"b\\\\?*\\\\**\")" },
		{ "a:*b c*", "(like@! a \"*b c*\")" },
		{ "a:\"b*\"", "(==@! a \"b*\")" },
		{ "a:(b)", "(==@! a \"b\")" },
		{ "a:(b or c)", "(in@! a \"b\" \"c\")" },
		{ "a:(b OR c Or d)", "(in@! a \"b\" \"c\" \"d\")" },
		{ "a:(b* or c?* or d*)", "(like/escape@! a \"b*\" \"c\\\\?*\" \"d*\")" },
		{ "a:(b or c* or d or e*)", "(or (in@! a \"b\" \"d\") (like@! a \"c*\" \"e*\"))" },
		{ "a:(b and c)", "(and (==@! a \"b\") (==@! a \"c\"))" },
		{ "a:(b and not c)", "(and (==@! a \"b\") (not (==@! a \"c\")))" },
		{ "a:(not b)", "(not (==@! a \"b\"))" },
		{ "a:(b or not (c or d))", "(or (==@! a \"b\") (not (in@! a \"c\" \"d\")))" },
		{ "a:((b or c) and d)", "(and (in@! a \"b\" \"c\") (==@! a \"d\"))" },
		{ "a:(b or *)", "(or (==@! a \"b\") (not (is-null a)))" },
		{ "a:b or c:d and e:f", "(or (==@! a \"b\") (and (==@! c \"d\") (==@! e \"f\")))" },
		{ "(a:b or c:d) and e:f", "(and (or (==@! a \"b\") (==@! c \"d\")) (==@! e \"f\"))" },
		{ "not a:b and c:d", "(and (not (==@! a \"b\")) (==@! c \"d\"))" },
		{ "NOT (a:b and c:d)", "(not (and (==@! a \"b\") (==@! c \"d\")))" },
		{ "not not a:b", "(==@! a \"b\")" },
		{ "a:b and (c:d and (e:f))", "(and (==@! a \"b\") (==@! c \"d\") (==@! e \"f\"))" },
		{ "a:notb and b:android", "(and (==@! a \"notb\") (==@! b \"android\"))" },
		{ "a:b nor c", "(==@! a \"b nor c\")" },
		{ "a > 5 and b <= -1.5", "(and (>@! a 5) (<=@! b -1.5))" },
		{ "a>=5 and a<10", "(and (>=@! a 5) (<@! a 10))" },
		{ "a > \"b c\"", "(>@! a \"b c\")" },
		{ "a:\\and or a:x \\or", "(or (==@! a \"and\") (==@! a \"x or\"))" },
		{ "a:\"not\"", "(==@! a \"not\")" },
		{ "a:\\(b\\)\\:\\<\\>\\\"\\{\\}\\\\", "(==@! a \"(b):<>\\\"{}\\\\\")" },
		{ "a:x\\ty\\u00e9\\ud83d\\ude00", "(==@! a \"x\\ty\xc3\xa9\xf0\x9f\x98\x80\")" },
		{ "a:\"x\\\"y\\\\z\\d\\t\"", "(==@! a \"x\\\"y\\\\z\\\\d\\t\")" },
		{ "a:\"two\nlines\"", "(==@! a \"two\\nlines\")" },
		{ "a:\xc3\xa9*", "(like@! a \"\xc3\xa9*\")" },
		{ "*", "true" },
		{ "*:*", "true" },
		{ "b", "(==@! * \"b\")" },
		{ "\"b c\" or d*", "(or (==@! * \"b c\") (like@! * \"d*\"))" },
		{ "*:(b or c)", "(in@! * \"b\" \"c\")" },
		{ "source.ip:(10.0.0.0/8 or \"::1\")", "(in@!/ip source.ip \"10.0.0.0/8\" \"::1\")" },
		{ "source.ip:10.*", "(like@! source.ip \"10.*\")" },
		{ "@timestamp >= \"2024-01-01\"", "(>=@!/date @timestamp 1704067200000000000)" },
		{ "@timestamp:\"2024-01-01T00:00:00Z\"", "(==@!/date @timestamp 1704067200000000000)" },
		{ "@timestamp:1704067200000", "(==@!/date @timestamp 1704067200000000000)" },
		{ "@timestamp > 1704067200000", "(>@!/date @timestamp 1704067200000000000)" },
		{ "@timestamp >= 2024", "(>=@!/date @timestamp 1704067200000000000)" },
		{ "a >= 2024", "(>=@! a 2024)" },
		{ "a >= 1e3 and b < 1.2.3", "(and (>=@! a 1000.0) (<@! b \"1.2.3\"))" },
		{ "event.category:\"\"", "(==@! event.category \"\")" },
		{ "event.category:file", "file where true" },
		{ "event.category:\"file\" and a:b", "file where (==@! a \"b\")" },
		{ "a:b and event.category:file and c:d", "file where (and (==@! a \"b\") (==@! c \"d\"))" },
		{ "a:b and c:d and event.category:(file)", "file where (and (==@! a \"b\") (==@! c \"d\"))" },
		{ "event.category:(file or process)", "(in@! event.category \"file\" \"process\")" },
		{ "event.category:fil*", "(like@! event.category \"fil*\")" },
		{ "event.category:file or a:b", "(or (==@! event.category \"file\") (==@! a \"b\"))" },
		{ "not event.category:file", "(not (==@! event.category \"file\"))" },
		{ "event.category:(file and process)", "file where (==@! event.category \"process\")" },
		{ "message:\"b c\"", "(regex~/search/perl@! message \"(^|\\\\W)b\\\\W+c(\\\\W|$)\")" },
		{ "message:(b* and not 1.2)", "(and (regex~/search/perl@! message \"(^|\\\\W)b\\\\w*(\\\\W|$)\") (not "
					      "(regex~/search/perl@! message \"(^|\\\\W)1\\\\.2(\\\\W|$)\")))" },
		{ "message:b c.", "(regex~/search/perl@! message \"(^|\\\\W)b(\\\\W|$)\" \"(^|\\\\W)c(\\\\W|$)\")" },
		{ "message:\"--\"", "false" },
		{ "message:*", "(not (is-null message))" },
		{ "a.text:b", "(regex~/search/perl@! a \"(^|\\\\W)b(\\\\W|$)\")" },
		{ "a.caseless:(B or C*)", "(or (==~@! a \"B\") (like~@! a \"C*\"))" },
	};

	for_each_row (r, rows)
		check_str(lowered(r->name, NULL), r->want);
}

TEST(kql_constants_take_the_type_of_their_field)
{
	static const struct {
		const char *name, *want; /* the query is the name */
	} rows[] = {
		{ "process.pid:4", "(==@! process.pid 4)" },
		{ "process.pid:(4 or \"5\")", "(in@! process.pid 4 5)" },
		{ "process.pid:x", "1:13: the field holds numbers, and this text is none" },
		{ "process.pid:4*", "1:1: a pattern needs text, and this is a number" },
		{ "process.tty:true", "(==@! process.tty true)" },
		{ "process.name > 5", "(>@! process.name \"5\")" },
		{ "client.ip:10.0.0.0/8", "(==@!/ip client.ip \"10.0.0.0/8\")" },
		{ "client.ip:x", "1:11: this is no address: write \"10.1.2.3\", \"2001:db8::1\" or \"10.0.0.0/8\"" },
		{ "event.start < \"2024-01-01\"", "(<@!/date event.start 1704067200000000000)" },
		{ "log.line:b", "(regex~/search/perl@! log.line \"(^|\\\\W)b(\\\\W|$)\")" },
		{ "package.version >= 1.10", "(>=@!/version package.version \"1.10\")" },
		{ "proces.name:x", "1:1: unknown field \"proces.name\" (process.name?)" },
	};

	for_each_row (r, rows)
		check_str(lowered(r->name, &strict), r->want);
}

TEST(what_is_wrong_with_kql_is_told_at_its_place)
{
	static const struct {
		const char *name, *want; /* the query is the name */
	} rows[] = {
		{ "", "1:1: expected a condition, as in FIELD: VALUE; every event is \"*\"" },
		{ " \n", "2:1: expected a condition, as in FIELD: VALUE; every event is \"*\"" },
		{ "a:", "1:3: expected a value, \"(\" or \"{\", found the end" },
		{ "a:b and", "1:8: expected a field or a value, found the end" },
		{ "a:b\nand or c:d", "2:5: expected a field or a value, found \"or\"" },
		{ "and a:b", "1:1: expected a field or a value, found \"and\"" },
		{ ": b", "1:1: a value with \":\" in it stands in quotes, or has a backslash before the sign" },
		{ "a:b c:d", "1:5: \"and\" or \"or\" is missing before this" },
		{ "(a:b c:d)", "1:6: \"and\" or \"or\" is missing before this" },
		{ "a b:c",
		  "1:3: \"and\" or \"or\" is missing before this (a name with blanks in it stands in quotes)" },
		{ "a:b:c", "1:4: a value with \":\" in it stands in quotes, or has a backslash before the sign" },
		{ "a:(::1)", "1:4: a value with \":\" in it stands in quotes, or has a backslash before the sign" },
		{ "a:\"b\"c:d", "1:6: expected \"and\", \"or\" or the end, found \"c\"" },
		{ "a:(b", "1:5: expected \"and\", \"or\" or \")\", found the end" },
		{ "(a:b", "1:5: expected \"and\", \"or\" or \")\", found the end" },
		{ "a:b)", "1:4: expected \"and\", \"or\" or the end, found \")\"" },
		{ "a:()", "1:4: expected a value, found \")\"" },
		{ "()", "1:2: expected a field or a value, found \")\"" },
		{ "a:not b", "1:3: expected a value, found \"not\", which stands in brackets here: (not ...)" },
		{ "a:>5", "1:3: expected a value, \"(\" or \"{\", found \">\"" },
		{ "a > (5)", "1:5: expected a value, found \"(\"" },
		{ "a > 5*", "1:5: a value with wildcards has no order" },
		{ "a:null", "1:3: null is no value: \"not FIELD: *\" finds what has none, and quotes the word" },
		{ "a:\"b", "1:3: this quote is not closed" },
		{ "a:\"b\\\"", "1:3: this quote is not closed" },
		{ "\"\":b", "1:1: expected the name of a field between the quotes" },
		{ "a:b\\c",
		  "1:4: a backslash stands before one of \\ ( ) : < > \" * { }, before and, or, not, t, r, n or "
		  "uXXXX; itself it is \"\\\\\"" },
		{ "a:\\",
		  "1:3: a backslash stands before one of \\ ( ) : < > \" * { }, before and, or, not, t, r, n or "
		  "uXXXX; itself it is \"\\\\\"" },
		{ "a:\\u12g4", "1:3: expected four digits and letters of hex behind \"\\u\" that name a character" },
		{ "a:\"\\ud800\"",
		  "1:4: expected four digits and letters of hex behind \"\\u\" that name a character" },
		{ "a:{b:c}", "1:3: which values belong to one object of a list is not known here [nested]" },
		{ "a:(b}", "1:5: expected \"and\", \"or\" or \")\", found \"}\"" },
		{ "a.*:b",
		  "1:1: which fields are meant by \"a.*\" is not known here: they are to be named, or \"*\" for all of "
		  "them [field_wildcard]" },
		{ "* > 5", "1:1: values have an order in one field, not in all [field_wildcard]" },
		{ "@timestamp > now-1d", "1:14: dates that are counted from now are not known here [date_math]" },
		{ "a >= now", "1:6: dates that are counted from now are not known here [date_math]" },
		{ "@timestamp:\"2024-01-01\"",
		  "1:12: a whole day or hour is meant by this: write both its ends, with >= and <" },
		{ "@timestamp > \"2024-01-01\"",
		  "1:14: a whole day or hour is meant by this: write both its ends, with >= and <" },
		{ "source.ip:here", "1:11: this is no address: write \"10.1.2.3\", \"2001:db8::1\" or \"10.0.0.0/8\"" },
	};

	for_each_row (r, rows)
		check_str(lowered(r->name, NULL), r->want);
}

/* By walking the tree, by the program and by the set: "yes", "no", or that they disagree. */
static const char *asked(const char *text, const char *line)
{
	static const struct query_options options = { .dialect = RULE_KQL };
	AUTO(predicate_set_builder) builder = NULL;
	AUTO(predicate_scratch) scratch = NULL;
	AUTO(predicate_set) set = NULL;
	AUTO(program) program = NULL;
	AUTO(query) q = NULL;
	auto_json_event struct json_event json;
	auto_arena struct arena arena;
	struct event ev = json_event_as_event(&json);
	struct predicate_input in = { .ev = &ev };
	enum truth slow, middle;
	const uint32_t *hits;
	uint32_t index;
	bool fast;

	json_event_init(&json, false);
	arena_init(&arena, 1 << 22);
	if (query_compile(text, strlen(text), &options, NULL, &q) < 0 ||
	    json_event_parse(&json, line, strlen(line)) < 0 || predicate_set_builder_new(&builder) < 0 ||
	    predicate_scratch_new(&scratch) < 0 ||
	    predicate_set_builder_add(builder, q, q->stage[0].condition, q->stage[0].category, &index) < 0 ||
	    predicate_set_build(builder, &set) < 0 || predicate_compile(q, q->stage[0].condition, &program) < 0)
		return err_trail();
	slow = tree_test(q, q->stage[0].condition, &in, &arena);
	middle = predicate_run(program, &in, scratch);
	fast = predicate_set_run(set, &in, scratch, &hits) == 1;
	if (slow != middle || (!q->stage[0].category && fast != (slow == TRUTH_TRUE)))
		return "they disagree";
	return slow == TRUTH_NULL ? "unknown" : fast ? "yes" : "no";
}

TEST(kql_asks_of_an_event_what_kibana_would)
{
	static const struct {
		const char *name, *query, *event, *want;
	} rows[] = {
		{ "equal", "a:b", "{\"a\":\"b\"}", "yes" },
		{ "case counts", "a:b", "{\"a\":\"B\"}", "no" },
		{ "case counts in quotes", "a:\"b\"", "{\"a\":\"B\"}", "no" },
		{ "case counts in patterns", "a:b*", "{\"a\":\"Bc\"}", "no" },
		{ "the whole value", "a:b", "{\"a\":\"b c\"}", "no" },
		{ "with blanks", "a:b c", "{\"a\":\"b c\"}", "yes" },
		{ "a pattern", "a:b*d", "{\"a\":\"bcd\"}", "yes" },
		{ "a pattern of the whole value", "a:b*d", "{\"a\":\"bcde\"}", "no" },
		{ "a pattern with blanks", "a:* -c *", "{\"a\":\"sh -c id\"}", "yes" },
		{ "? is a letter like others", "a:b?*", "{\"a\":\"bcd\"}", "no" },
		{ "?, there", "a:b?*", "{\"a\":\"b?d\"}", "yes" },
		{ "an escaped star", "a:b\\**", "{\"a\":\"b*d\"}", "yes" },
		{ "an escaped star is none", "a:b\\**", "{\"a\":\"bcd\"}", "no" },
		{ "a star in quotes", "a:\"b*\"", "{\"a\":\"bcd\"}", "no" },
		{ "a backslash before a star", "a:b\\\\*", "{\"a\":\"b\\\\c\"}", "yes" },
		{ "a number", "a:4", "{\"a\":4}", "yes" },
		{ "a number in a text", "a:4", "{\"a\":\"4\"}", "yes" },
		{ "another text of the same number", "a:4", "{\"a\":\"04\"}", "no" },
		{ "a truth", "a:true", "{\"a\":true}", "yes" },
		{ "another truth", "a:true", "{\"a\":false}", "no" },
		{ "missing", "a:b", "{\"c\":1}", "no" },
		{ "null", "a:b", "{\"a\":null}", "no" },
		{ "not of what is missing", "not a:b", "{\"c\":1}", "yes" },
		{ "not in brackets, of what is missing", "a:(not b)", "{\"c\":1}", "yes" },
		{ "there", "a:*", "{\"a\":\"\"}", "yes" },
		{ "there: missing", "a:*", "{\"b\":1}", "no" },
		{ "there: null", "a:*", "{\"a\":null}", "no" },
		{ "there: no items", "a:*", "{\"a\":[]}", "no" },
		{ "not there", "not a:*", "{\"b\":1}", "yes" },
		{ "any item", "a:c", "{\"a\":[\"b\",\"c\"]}", "yes" },
		{ "no item", "not a:c", "{\"a\":[\"b\",\"c\"]}", "no" },
		{ "both items", "a:(b and c)", "{\"a\":[\"b\",\"c\"]}", "yes" },
		{ "one of both items", "a:(b and c)", "{\"a\":\"b\"}", "no" },
		{ "one and not the other", "a:(b and not c)", "{\"a\":[\"b\",\"c\"]}", "no" },
		{ "one of a list", "a:(b or c)", "{\"a\":\"c\"}", "yes" },
		{ "and before or", "a:1 or b:1 and c:1", "{\"a\":1}", "yes" },
		{ "and before or, the other way", "a:1 and b:1 or c:1", "{\"c\":1}", "yes" },
		{ "not before and", "not a:1 and b:1", "{\"a\":1,\"b\":1}", "no" },
		{ "greater", "a > 5", "{\"a\":6}", "yes" },
		{ "not greater", "a > 5", "{\"a\":5}", "no" },
		{ "less, of what is missing", "a < 5", "{}", "no" },
		{ "not less, of what is missing", "not a < 5", "{}", "yes" },
		{ "between", "a >= 5 and a <= 6", "{\"a\":5}", "yes" },
		{ "any item in order", "a > 5", "{\"a\":[1,9]}", "yes" },
		{ "texts in order", "a > b", "{\"a\":\"c\"}", "yes" },
		{ "a date", "@timestamp < \"2024-01-02\"", "{\"@timestamp\":\"2024-01-01T23:00:00Z\"}", "yes" },
		{ "a network", "source.ip:10.0.0.0/8", "{\"source\":{\"ip\":\"10.1.2.3\"}}", "yes" },
		{ "another network", "source.ip:10.0.0.0/8", "{\"source\":{\"ip\":\"11.1.2.3\"}}", "no" },
		{ "not in a network", "not source.ip:(10.0.0.0/8 or \"::1\")", "{\"source\":{\"ip\":\"11.1.2.3\"}}",
		  "yes" },
		{ "an address", "source.ip:\"::1\"", "{\"source\":{\"ip\":\"0:0:0:0:0:0:0:1\"}}", "yes" },
		{ "addresses of a list", "host.ip:10.0.0.0/8", "{\"host\":{\"ip\":[\"::1\",\"10.0.0.1\"]}}", "yes" },
		{ "any field", "b", "{\"x\":{\"y\":\"b\"}}", "yes" },
		{ "any field: the whole value", "b", "{\"x\":{\"y\":\"b c\"}}", "no" },
		{ "any field: a pattern", "b*", "{\"x\":[\"a\",\"bc\"]}", "yes" },
		{ "no field", "not b", "{\"x\":\"b\"}", "no" },
		{ "any event", "*", "{}", "yes" },
		{ "no event", "not *", "{\"a\":1}", "no" },
		{ "words of a text", "message:\"failed password\"", "{\"message\":\"x: Failed password, y\"}", "yes" },
		{ "words in another order", "message:\"password failed\"", "{\"message\":\"failed password\"}", "no" },
		{ "one of the words", "message:password none", "{\"message\":\"failed password\"}", "yes" },
		{ "part of a word", "message:pass", "{\"message\":\"failed password\"}", "no" },
		{ "the beginning of a word", "message:pass*", "{\"message\":\"failed password\"}", "yes" },
		{ "a name with dots", "message:example.com", "{\"message\":\"to www.example.com now\"}", "yes" },
		{ "a second name", "process.name.caseless:SH", "{\"process\":{\"name\":\"sh\"}}", "yes" },
		{ "a category", "event.category:file", "{\"event\":{\"category\":\"file\"}}", "yes" },
		{ "one of its categories", "a:b and event.category:file",
		  "{\"a\":\"b\",\"event\":{\"category\":[\"process\",\"file\"]}}", "yes" },
		{ "both categories", "event.category:(process and file)",
		  "{\"event\":{\"category\":[\"process\",\"file\"]}}", "yes" },
		{ "another category", "event.category:file and a:b",
		  "{\"a\":\"b\",\"event\":{\"category\":\"process\"}}", "no" },
		{ "a category in another case", "event.category:File", "{\"event\":{\"category\":\"file\"}}", "no" },
		{ "no category", "event.category:file", "{}", "no" },
		{ "two objects of a list", "a.b:1 and a.c:4", "{\"a\":[{\"b\":1,\"c\":2},{\"b\":3,\"c\":4}]}", "yes" },
	};

	for_each_row (r, rows)
		check_str(asked(r->query, r->event), r->want);
}

TEST(kql_has_bounds)
{
	static const struct query_options options = { .dialect = RULE_KQL };
	static const struct {
		const char *name, *begin, *part, *middle, *end;
		unsigned n;
		int want;
	} rows[] = {
		{ "brackets", "", "(", "a:b", ")", RULE_DEPTH_MAX - 2, 0 },
		{ "too many brackets", "", "(", "a:b", ")", RULE_DEPTH_MAX + 1, -E2BIG },
		{ "brackets of values", "a:", "(", "b", ")", RULE_DEPTH_MAX + 1, -E2BIG },
		{ "nots need no depth", "", "not ", "a:b", "", 10000, 0 },
		{ "nots in brackets do", "", "not (", "a:b", ")", RULE_DEPTH_MAX, -E2BIG },
		{ "terms", "", "a:b or ", "a:b", "", RULE_LIST_MAX - 1, 0 },
		{ "too many terms", "", "a:b or ", "a:b", "", RULE_LIST_MAX, -E2BIG },
		{ "values", "a:(b", " or c", ")", "", RULE_LIST_MAX - 2, 0 },
		{ "too many values", "a:(b", " or c", ")", "", RULE_LIST_MAX, -E2BIG },
		{ "a text", "a:", "b", "", "", RULE_STRING_MAX, 0 },
		{ "a longer text", "a:", "b", "", "", RULE_STRING_MAX + 1, -E2BIG },
		{ "a name", "", "b", ":c", "", FIELD_NAME_MAX - 1, 0 },
		{ "a longer name", "", "b", ":c", "", FIELD_NAME_MAX + 1, -E2BIG },
		{ "words", "message:", "b ", "", "", KQL_WORDS_MAX, 0 },
		{ "too many words", "message:", "b ", "", "", KQL_WORDS_MAX + 1, -E2BIG },
		{ "bytes", "", " ", "a:b", "", RULE_TEXT_MAX, -E2BIG },
	};

	for_each_row (r, rows) {
		auto_buf struct buf text = { .max = 1 << 20 };
		AUTO(query) q = NULL;
		struct diag d;
		int got;

		buf_str(&text, r->begin);
		for (unsigned i = 0; i < r->n; i++)
			buf_str(&text, r->part);
		buf_str(&text, r->middle);
		for (unsigned i = 0; i < r->n; i++)
			buf_str(&text, r->end);
		got = query_compile(buf_text(&text), text.len, &options, &d, &q);
		check_int(got, r->want);
		err_clear();
	}
}

TEST(kql_takes_no_bytes_that_are_no_text)
{
	static const struct query_options options = { .dialect = RULE_KQL };
	AUTO(query) q = NULL;
	struct diag d;

	check_int(query_compile("a:\xff", 3, &options, &d, &q), -EINVAL);
	check_str(d.message, "this is no UTF-8");
	check_int(query_compile("a:b\0c", 5, &options, &d, &q), -EINVAL);
	check_str(d.message, "a NUL character");
	check_int(d.column, 4);
	err_clear();
}

TEST(a_condition_may_be_written_in_kql)
{
	static const struct query_options options = { .dialect = RULE_KQL };
	AUTO(query) q = NULL;

	require_ok(condition_compile("a:b", 3, &options, NULL, &q));
	check_int(q->kind, QUERY_CONDITION);
}

TEST(what_kql_and_eql_say_alike_is_one_condition)
{
	static const struct query_options kql = { .dialect = RULE_KQL }, eql = { .dialect = RULE_ENDPOINT };
	static const struct {
		const char *name, *eql; /* the name is the same in KQL */
	} rows[] = {
		{ "a:b", "any where a == \"b\"" },
		{ "not a:b", "any where a != \"b\"" },
		{ "a:(b or c)", "any where a in (\"b\", \"c\")" },
		{ "a:(b* or *c)", "any where a like (\"b*\", \"*c\")" },
		{ "a:*", "any where a != null" },
		{ "not a:*", "any where a == null" },
		{ "a > 5 and b:c", "any where a > 5 and b == \"c\"" },
		{ "event.category:file and a:b", "file where a == \"b\"" },
		{ "a.caseless:(b or c)", "any where a in~ (\"b\", \"c\")" },
	};

	for_each_row (r, rows) {
		AUTO(query) a = NULL;
		AUTO(query) b = NULL;

		require_ok(query_compile(r->name, strlen(r->name), &kql, NULL, &a));
		require_ok(query_compile(r->eql, strlen(r->eql), &eql, NULL, &b));
		check(ir_same(a, a->stage[0].condition, b, b->stage[0].condition));
		check_str(a->stage[0].category ?: "any", b->stage[0].category ?: "any");
	}
}
