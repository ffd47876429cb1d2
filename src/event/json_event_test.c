/* SPDX-License-Identifier: Apache-2.0 */
#include "event/json_event.h"
#include <stdlib.h>
#include "base/err.h"
#include "base/mem.h"
#include "base/test.h"

static void show(struct buf *b, const struct value *v)
{
	switch (v->type) {
	case VALUE_NULL:
		buf_str(b, "null");
		break;
	case VALUE_BOOL:
		buf_str(b, v->b ? "true" : "false");
		break;
	case VALUE_INT:
		buf_printf(b, "i%lld", (long long)v->i);
		break;
	case VALUE_UINT:
		buf_printf(b, "u%llu", (unsigned long long)v->u);
		break;
	case VALUE_FLOAT:
		buf_printf(b, "f%g", v->f);
		break;
	case VALUE_STR:
		buf_printf(b, "'%.*s'", (int)v->s.n, v->s.p);
		break;
	case VALUE_IP:
		buf_str(b, "ip");
		break;
	case VALUE_LIST:
		buf_char(b, '[');
		for (size_t i = 0; i < v->list.n; i++) {
			buf_str(b, i ? " " : "");
			show(b, &v->list.items[i]);
		}
		buf_char(b, ']');
	}
}

TEST(any_json_answers_by_dotted_name)
{
	static const struct {
		const char *name, *line, *field, *want;
	} rows[] = {
		{ "plain", "{\"a\":1}", "a", "i1" },
		{ "nested", "{\"a\":{\"b\":{\"c\":\"x\"}}}", "a.b.c", "'x'" },
		{ "dotted", "{\"a.b.c\":\"x\"}", "a.b.c", "'x'" },
		{ "half and half", "{\"a.b\":{\"c\":\"x\"}}", "a.b.c", "'x'" },
		{ "both spellings", "{\"a.b\":1,\"a\":{\"b\":2}}", "a.b", "[i1 i2]" },
		{ "an object is no value", "{\"a\":{\"b\":1}}", "a", "none" },
		{ "a value and a member", "{\"a\":1,\"a.b\":2}", "a", "i1" },
		{ "an empty object", "{\"a\":{}}", "a", "none" },
		{ "null is there", "{\"a\":null}", "a", "null" },
		{ "missing", "{\"a\":1}", "zz", "none" },
		{ "array", "{\"a\":[1,\"x\",true,2.5]}", "a", "[i1 'x' true f2.5]" },
		{ "array of one", "{\"a\":[1]}", "a", "[i1]" },
		{ "empty array", "{\"a\":[]}", "a", "[]" },
		{ "nulls in arrays", "{\"a\":[null,1,null]}", "a", "[i1]" },
		{ "only nulls", "{\"a\":[null]}", "a", "[]" },
		{ "arrays in arrays", "{\"a\":[1,[2,[3,[]]],4]}", "a", "[i1 i2 i3 i4]" },
		{ "array of objects", "{\"a\":[{\"b\":1,\"c\":2},{\"b\":3}]}", "a.b", "[i1 i3]" },
		{ "array of one object", "{\"a\":[{\"b\":1}]}", "a.b", "[i1]" },
		{ "objects and values in one array", "{\"a\":[{\"b\":1},2]}", "a", "[i2]" },
		{ "null in an object of an array", "{\"a\":[{\"b\":null},{\"b\":1}]}", "a.b", "[i1]" },
		{ "arrays in objects in arrays", "{\"a\":[{\"b\":[1,2]},{\"b\":[3]}]}", "a.b", "[i1 i2 i3]" },
		{ "greatest int64", "{\"a\":9223372036854775807}", "a", "i9223372036854775807" },
		{ "uint64", "{\"a\":18446744073709551615}", "a", "u18446744073709551615" },
		{ "double", "{\"a\":1e3}", "a", "f1000" },
		{ "the last of a name wins", "{\"a\":1,\"a\":2}", "a", "i2" },
		{ "whole objects win", "{\"a\":{\"b\":1},\"a\":{\"c\":2}}", "a.b", "none" },
		{ "an empty name within", "{\"a\":{\"\":1}}", "a.", "i1" },
		{ "escapes", "{\"\\u0061\":\"\\n\"}", "a", "'\n'" },
		{ "text beyond ASCII", "{\"\xc3\xa9\":1}", "\xc3\xa9", "i1" },
	};

	for_each_row (r, rows) {
		auto_json_event struct json_event je;
		auto_buf struct buf b;
		struct event ev;
		struct value v;

		json_event_init(&je, false);
		buf_init(&b, 4096);
		require_ok(json_event_parse(&je, r->line, strlen(r->line)));
		ev = json_event_as_event(&je);
		if (event_get(&ev, field_intern(r->field, strlen(r->field)), NULL, &v))
			show(&b, &v);
		else
			buf_str(&b, "none");
		check_str(buf_text(&b), r->want);
	}
}

static void count_in_order(void *ctx, field_id id, const struct value *v)
{
	field_id *last = ctx;

	check(id > last[0] && v->type <= VALUE_LIST);
	last[0] = id;
	last[1]++;
}

/* Names in an order that has nothing to do with their ids, and more of them than insertion sorts. */
TEST(many_fields_are_sorted_and_found)
{
	enum { N = 1000 };
	auto_json_event struct json_event je;
	auto_buf struct buf b;
	field_id seen[2] = { 0 };

	json_event_init(&je, false);
	buf_init(&b, 1 << 20);
	for (unsigned i = 0; i < N; i++)
		(void)field_intern("many", 4), buf_printf(&b, "many.n%u", i), (void)field_intern(b.data, b.len),
			buf_clear(&b);
	for (unsigned i = 0; i < N; i++)
		buf_printf(&b, "%s\"n%u\":[%u,%u]", i ? "," : "{\"many\":{", i * 367 % N, i * 367 % N, i);
	buf_str(&b, "}}");
	require_ok(json_event_parse(&je, b.data, b.len));
	check_int(je.n_fields, N);
	for (unsigned i = 0; i < N; i++) {
		char name[32];
		const struct value *v;

		(void)snprintf(name, sizeof(name), "many.n%u", i);
		v = json_event_find(&je, field_find(name, strlen(name)));
		require(v && v->type == VALUE_LIST && v->list.n == 2);
		check_int(v->list.items[0].i, i);
	}
	json_event_lens.each(&je, count_in_order, seen);
	check_int(seen[1], N);
}

TEST(an_event_keeps_within_its_limits)
{
	auto_json_event struct json_event je;
	auto_buf struct buf b;
	size_t before;

	json_event_init(&je, false);
	buf_init(&b, 4 << 20);
	check_int(json_event_parse(&je, "[1]", 3), -EINVAL);
	check_int(je.n_fields, 0);

	buf_printf(&b, "{\"%0*d\":1,\"a\":{\"%0*d\":1},\"x\\u0000y\":2,\"\":3}", FIELD_NAME_MAX + 1, 0, FIELD_NAME_MAX,
		   0);
	require_ok(json_event_parse(&je, b.data, b.len));
	check_int(je.n_fields, 0);
	check_int(je.unnamed, 4);

	buf_clear(&b);
	for (int i = 0; i <= FIELD_DEPTH_MAX; i++)
		buf_str(&b, "{\"d\":");
	buf_str(&b, "1");
	for (int i = 0; i <= FIELD_DEPTH_MAX; i++)
		buf_char(&b, '}');
	require_ok(json_event_parse(&je, b.data, b.len));
	check_int(je.unnamed, 1);

	buf_clear(&b);
	for (int i = 0; i < JSON_EVENT_NODES_MAX; i++)
		buf_str(&b, i ? ",0" : "{\"a\":[0");
	buf_str(&b, "]}");
	check_int(json_event_parse(&je, b.data, b.len), -E2BIG);

	json_event_free(&je);
	json_event_init(&je, true);
	before = field_count();
	require_ok(json_event_parse(&je, "{\"nobody.knows.this\":1,\"many\":2}", 32));
	check_int(field_count(), before);
	check(je.unnamed >= 1);
}

/* What another program wrote prints again with the same meaning. */
TEST(an_event_without_a_record_prints)
{
	static const struct {
		const char *name, *line, *want;
	} rows[] = {
		{ "nothing", "{}", "{}\n" },
		{ "sorted and nested", "{\"b\":{\"d\":1},\"a\":[1,2.5,null],\"b.c\":\"x\"}",
		  "{\"a\":[1,2.5],\"b\":{\"c\":\"x\",\"d\":1}}\n" },
		{ "a value and a member", "{\"q\":1,\"q.b\":2,\"q.b.c\":3,\"r\":4}",
		  "{\"q\":1,\"q.b\":2,\"q.b.c\":3,\"r\":4}\n" },
		{ "deeper", "{\"x\":{\"q\":1,\"q.b\":{\"c\":2,\"d\":3}},\"y\":{\"z\":0}}",
		  "{\"x\":{\"q\":1,\"q.b.c\":2,\"q.b.d\":3},\"y\":{\"z\":0}}\n" },
	};

	for_each_row (r, rows) {
		auto_json_event struct json_event je;
		auto_buf struct buf b;
		struct event ev;

		json_event_init(&je, false);
		buf_init(&b, 4096);
		require_ok(json_event_parse(&je, r->line, strlen(r->line)));
		ev = json_event_as_event(&je);
		event_to_json(&ev, &b);
		check_str(buf_text(&b), r->want);
	}
}
