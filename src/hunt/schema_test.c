/* SPDX-License-Identifier: Apache-2.0 */
#include "hunt/schema.h"
#include <string.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/test.h"

TEST(dates_are_read_as_people_and_programs_write_them)
{
	static const struct {
		const char *name, *text;
		enum time_unit unit;
		const char *want; /* NULL: none */
	} rows[] = {
		{ "RFC 3339", "2024-02-29T12:34:56.5Z", TIME_AUTO, "2024-02-29T12:34:56.500000000Z" },
		{ "with an offset", "2024-02-29T12:34:56+02:00", TIME_AUTO, "2024-02-29T10:34:56.000000000Z" },
		{ "an offset without a colon", "2024-02-29T12:34:56-0130", TIME_AUTO,
		  "2024-02-29T14:04:56.000000000Z" },
		{ "an offset in hours", "2024-02-29 12:34+02", TIME_AUTO, "2024-02-29T10:34:00.000000000Z" },
		{ "no zone", "2024-02-29 12:34:56.001", TIME_AUTO, "2024-02-29T12:34:56.001000000Z" },
		{ "minutes", "2024-02-29T12:34", TIME_AUTO, "2024-02-29T12:34:00.000000000Z" },
		{ "hours", "2024-02-29T12Z", TIME_AUTO, "2024-02-29T12:00:00.000000000Z" },
		{ "a day", "2024-02-29", TIME_AUTO, "2024-02-29T00:00:00.000000000Z" },
		{ "the day first", "29-02-2024", TIME_AUTO, "2024-02-29T00:00:00.000000000Z" },
		{ "no such day", "2023-02-29", TIME_AUTO, NULL },
		{ "half a time", "2024-02-29T1", TIME_AUTO, NULL },
		{ "something behind", "2024-02-29x", TIME_AUTO, NULL },
		{ "words", "yesterday", TIME_AUTO, NULL },
		{ "empty", "", TIME_AUTO, NULL },
		{ "a sign alone", "-", TIME_AUTO, NULL },
		{ "zero", "0", TIME_AUTO, "1970-01-01T00:00:00.000000000Z" },
		{ "a small number: milliseconds", "1500", TIME_AUTO, "1970-01-01T00:00:01.500000000Z" },
		{ "before 1970", "-1", TIME_AUTO, "1969-12-31T23:59:59.999000000Z" },
		{ "milliseconds", "1709210096500", TIME_AUTO, "2024-02-29T12:34:56.500000000Z" },
		{ "microseconds", "1709210096500001", TIME_AUTO, "2024-02-29T12:34:56.500001000Z" },
		{ "nanoseconds", "1709210096500000001", TIME_AUTO, "2024-02-29T12:34:56.500000001Z" },
		{ "100 ns since 1601", "133536836965000001", TIME_AUTO, "2024-02-29T12:34:56.500000100Z" },
		{ "the first of those", "116444736000000000", TIME_AUTO, "1970-01-01T00:00:00.000000000Z" },
		{ "seconds", "1709210096", TIME_S, "2024-02-29T12:34:56.000000000Z" },
		{ "seconds with a point", "1709210096.5", TIME_S, "2024-02-29T12:34:56.500000000Z" },
		{ "a unit that is said", "1500", TIME_US, "1970-01-01T00:00:00.001500000Z" },
		{ "past what time can be", "9223372036854775807", TIME_MS, NULL },
		{ "past any number", "99999999999999999999", TIME_AUTO, NULL },
		{ "two points", "1.2.3", TIME_AUTO, NULL },
	};

	for_each_row (r, rows) {
		char text[CLOCK_TEXT + 1] = "";
		int64_t ns;
		bool good = time_of_text(r->text, strlen(r->text), r->unit, &ns);

		check_int(good, r->want != NULL);
		if (!good || !r->want)
			continue;
		clock_format(ns, text);
		check_str(text, r->want);
	}
}

/* What it says to a bad one, or NULL. */
static const char *problem_of(const char *text, struct buf *out)
{
	auto_report struct config_report report = { 0 };
	AUTO(schema) s = NULL;
	int r = schema_read("s.yaml", text, strlen(text), &report, &s);

	buf_clear(out);
	config_report_write(&report, false, out);
	check_int(r < 0, report.n_errors > 0);
	return r < 0 ? buf_text(out) : NULL;
}

TEST(a_schema_that_is_wrong_is_refused_with_its_place)
{
	static const struct {
		const char *name, *text, *want;
	} rows[] = {
		{ "no mapping", "- a\n", "s.yaml:1:1: a schema is a mapping" },
		{ "an unknown key", "category: c\ntimestmap: t\n", "s.yaml:2:1: no \"timestmap\" is known here" },
		{ "a type that is none", "fields:\n  a: dates\n", "s.yaml:2:6: wanted a type" },
		{ "a list for a name", "category: [a]\n", "s.yaml:1:11: wanted the name of a field, or null" },
		{ "a member that a field has not", "fields:\n  a: {kind: ip}\n",
		  "a field has a type and a null_value" },
		{ "a null that is no number", "fields: {a: {type: number, null_value: x}}\n", "wanted a number" },
		{ "a null that is no date", "fields: {a: {type: date, null_value: x}}\n", "wanted a date" },
		{ "a unit that is none", "unit: hours\n", "s.yaml:1:7: wanted auto" },
		{ "neither true nor false", "strict: maybe\n", "s.yaml:1:9: wanted true or false" },
		{ "fields in a list", "fields: [a, b]\n", "s.yaml:1:9: wanted a mapping of fields" },
		{ "a key twice", "unit: ms\nunit: s\n", "a key twice" },
		{ "no YAML", "{", "not YAML" },
	};
	auto_buf struct buf out = { .max = 1 << 16 };

	for_each_row (r, rows)
		check_has(problem_of(r->text, &out), r->want);
}

static void check_schema(const struct schema *s)
{
	const struct schema_field *f;

	check_str(s->category, "kind");
	check_str(s->timestamp, "when");
	check(!s->tiebreaker);
	check_int((long)s->n_fields, 3);
	f = schema_find(s, "a.b", 3);
	check(f && f->type == RULE_IP);
	f = schema_find(s, "note", 4);
	check(f && f->type == RULE_KEYWORD && f->null_value.type == VALUE_STR);
	check_str(f ? f->null_text : NULL, "none");
	f = schema_find(s, "n", 1);
	check(f && f->type == RULE_NUMBER && f->null_value.type == VALUE_INT && f->null_value.i == -1);
	check(!schema_find(s, "a", 1) && !schema_find(s, "a.bc", 4));
}

TEST(a_schema_is_yaml_or_json_with_short_or_long_names)
{
	static const struct {
		const char *name, *text;
	} rows[] = {
		{ "YAML", "category: kind\ntimestamp: when\ntiebreaker: null\nfields:\n  a.b: ip\n  note:\n"
			  "    type: keyword\n    null_value: none\n  n: {null_value: -1, type: number}\n" },
		{ "JSON", "{\"category_field\":\"kind\",\"timestamp_field\":\"when\",\"tiebreaker_field\":null,\"id_"
			  "field\":\"id\","
			  "\"types\":{\"a.b\":[\"ip\"],\"note\":\"keyword\",\"n\":\"number\"},"
			  "\"null_values\":{\"note\":\"none\",\"n\":-1}}" },
	};

	for_each_row (r, rows) {
		auto_report struct config_report report = { 0 };
		AUTO(schema) s = NULL;
		AUTO(schema) copy = NULL;

		require_ok(schema_read("s", r->text, strlen(r->text), &report, &s));
		check_schema(s);
		copy = schema_copy(s);
		require(copy);
		check_schema(copy);
		check(schema_equal(s, copy));
		copy->fields[0].type = RULE_DATE;
		check(!schema_equal(s, copy));
	}
}

/* An event read with the schema, as "field=value ..." in the order of ids. */
static void show(struct buf *out, const struct json_event *je, const char *name)
{
	const struct value *v = json_event_find(je, field_find(name, strlen(name)));
	const struct value one = v ? *v : (struct value) { 0 };
	const struct value *items = one.type == VALUE_LIST ? one.list.items : &one;

	buf_clear(out);
	for (size_t i = 0; i < (one.type == VALUE_LIST ? one.list.n : 1); i++) {
		const struct value *x = &items[i];

		buf_str(out, i ? "," : "");
		if (x->type == VALUE_STR)
			buf_printf(out, "\"%.*s\"", (int)x->s.n, x->s.p);
		else if (x->type == VALUE_INT)
			buf_i64(out, x->i);
		else if (x->type == VALUE_FLOAT)
			buf_printf(out, "%g", x->f);
		else
			buf_str(out, v ? "null" : "-");
	}
}

TEST(values_are_brought_into_their_types)
{
	static const char text[] =
		"category: kind\ntimestamp: when\ndefault_category: other\nfields:\n  d: date\n  n: number\n"
		"  k: keyword\n  z: {type: keyword, null_value: nil}\n";
	static const struct {
		const char *name, *line, *field, *want;
	} rows[] = {
		{ "a date", "{\"d\":\"1970-01-01T00:00:01Z\"}", "d", "1000000000" },
		{ "a date as a number", "{\"d\":2}", "d", "2000000" },
		{ "several dates", "{\"d\":[\"1\",\"1970-01-02\"]}", "d", "1000000,86400000000000" },
		{ "no date stays", "{\"d\":\"soon\"}", "d", "\"soon\"" },
		{ "the timestamp is a date, too", "{\"when\":\"3\"}", "when", "3000000" },
		{ "a number as text", "{\"n\":\"42\"}", "n", "42" },
		{ "a fraction as text", "{\"n\":\"4.5\"}", "n", "4.5" },
		{ "no number stays", "{\"n\":\"4x\"}", "n", "\"4x\"" },
		{ "a keyword as a number", "{\"k\":[7,\"x\",-2.5]}", "k", "\"7\",\"x\",\"-2.5\"" },
		{ "an explicit null", "{\"z\":null}", "z", "\"nil\"" },
		{ "null without a value for it", "{\"k\":null}", "k", "null" },
		{ "what is missing stays missing", "{}", "z", "-" },
		{ "no category", "{\"k\":1}", "kind", "\"other\"" },
		{ "a null category", "{\"kind\":null}", "kind", "\"other\"" },
		{ "a category", "{\"kind\":\"file\"}", "kind", "\"file\"" },
	};
	auto_report struct config_report report = { 0 };
	auto_json_event struct json_event je;
	auto_buf struct buf out = { .max = 4096 };
	struct schema_reader reader;
	AUTO(schema) s = NULL;

	json_event_init(&je, true);
	require_ok(schema_read("s", text, strlen(text), &report, &s));
	require_ok(schema_reader_init(&reader, s, true));
	for_each_row (r, rows) {
		check_int(json_event_parse(&je, r->line, strlen(r->line)), 0);
		schema_apply(&reader, &je);
		show(&out, &je, r->field);
		check_str(buf_text(&out), r->want);
		check_int(reader.has_time, !strcmp(r->field, "when"));
	}
	schema_reader_free(&reader);
}

TEST(the_built_in_schemas_say_where_things_stand)
{
	AUTO(schema) ecs = NULL;
	AUTO(schema) endgame = NULL;
	AUTO(schema) none = NULL;
	struct schema *no_such = NULL;

	require_ok(schema_named("ecs", &ecs));
	check_str(ecs->category, "event.category");
	check_str(ecs->timestamp, "@timestamp");
	check_str(ecs->tiebreaker, "event.sequence");
	check(schema_find(ecs, "source.ip", 9) && schema_find(ecs, "process.start", 13));
	require_ok(schema_named("endgame", &endgame));
	check_str(endgame->category, "event_type");
	require_ok(schema_named("none", &none));
	check(!none->category && !none->timestamp && !none->tiebreaker);
	check_int(schema_named("ESC", &no_such), -ENOENT);
	check(!no_such);
}
