/* SPDX-License-Identifier: Apache-2.0 */
#include "api/export_proto.h"
#include "api/proto.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/test.h"

enum { ARENA_MAX = 1 << 20, JSON_NODES = 4096 };

static int read_request(const char *bytes, size_t n, struct arena *arena, struct stream_request *ret_request)
{
	return proto_read(&stream_request_message, bytes, n, arena, ret_request);
}

TEST(a_request_reads_back_as_it_was_written)
{
	static const char *const types[] = { "process.*", "net.connect", "file.open" };
	const struct export_filter filter = {
		.types = { types, countof(types) },
		.pid = UINT32_MAX,
		.descendants = true,
		.expr = "process.name == \"\xc3\xa9\"",
	};
	const struct stream_request wrote = {
		.filter = &filter, .cursor = UINT64_MAX, .sample = 300, .compression = 2
	};
	auto_arena struct arena arena = { .max = ARENA_MAX };
	auto_buf struct buf out = { .max = 4096 };
	struct stream_request got;

	proto_write(&stream_request_message, &wrote, &out);
	require_ok(read_request(out.data, out.len, &arena, &got));
	require(got.filter);
	check_int(got.filter->types.n, 3);
	check_str(((const char *const *)got.filter->types.items)[2], "file.open");
	check_int(got.filter->pid, UINT32_MAX);
	check(got.filter->descendants);
	check_str(got.filter->expr, filter.expr);
	check_str(got.filter->comm, "");
	check(got.cursor == UINT64_MAX);
	check_int(got.sample, 300);
	check_int(got.compression, 2);
}

TEST(nothing_at_all_is_a_request_for_all)
{
	auto_arena struct arena arena = { .max = ARENA_MAX };
	struct stream_request got;

	require_ok(read_request("", 0, &arena, &got));
	check(!got.filter && !got.cursor && !got.sample);
}

TEST(what_is_no_request_is_refused_with_its_reason)
{
	static const struct {
		const char *name, *bytes;
		size_t n;
		const char *says;
	} rows[] = {
		{ "ends in a tag", "\x80", 1, "no protobuf message" },
		{ "ends in a number", "\x18\x80", 2, "no protobuf message" },
		{ "eleven bytes of a number", "\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12,
		  "no protobuf message" },
		{ "65 bits", "\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11, "no protobuf message" },
		{ "field 0", "\x00\x01", 2, "no protobuf message" },
		{ "a group", "\x0b\x0c", 2, "no protobuf message" },
		{ "longer than it is", "\x0a\x05\x18\x01", 4, "no protobuf message" },
		{ "a number for a message", "\x08\x01", 2, "another type" },
		{ "text for a number", "\x1a\x01x", 3, "another type" },
		{ "a NUL in a text",
		  "\x0a\x05\x2a\x03"
		  "a\0b",
		  7, "comm: wanted text" },
		{ "no UTF-8", "\x0a\x03\x2a\x01\xff", 5, "comm: wanted text" },
	};

	for_each_row (r, rows) {
		auto_arena struct arena arena = { .max = ARENA_MAX };
		struct stream_request got;

		check(read_request(r->bytes, r->n, &arena, &got) < 0);
		check_has(err_trail(), r->says);
	}
}

TEST(fields_of_a_newer_client_are_passed_over)
{
	static const char bytes[] = "\xf8\x3f\x07" /* 1023: a number */
				    "\xfa\x3f\x03" /* 1023: bytes */
				    "abc"
				    "\xf9\x3f"
				    "12345678" /* 1023: eight bytes */
				    "\xfd\x3f"
				    "1234"      /* 1023: four */
				    "\x18\x2a"; /* the cursor */
	auto_arena struct arena arena = { .max = ARENA_MAX };
	struct stream_request got;

	require_ok(read_request(bytes, sizeof(bytes) - 1, &arena, &got));
	check_int(got.cursor, 42);
}

TEST(lists_and_memory_of_a_request_are_bounded)
{
	auto_arena struct arena arena = { .max = ARENA_MAX }, small = { .max = 4096 };
	auto_buf struct buf filter = { .max = 1 << 16 }, out = { .max = 1 << 16 };
	struct stream_request got;

	for (int i = 0; i < PROTO_ITEMS_MAX; i++)
		proto_add_str(&filter, 1, "a.b");
	proto_add_bytes(&out, 1, filter.data, filter.len);
	require_ok(read_request(out.data, out.len, &arena, &got));
	check_int(got.filter->types.n, PROTO_ITEMS_MAX);
	check_int(read_request(out.data, out.len, &small, &got), -E2BIG);
	proto_add_str(&filter, 1, "a.b");
	buf_clear(&out);
	proto_add_bytes(&out, 1, filter.data, filter.len);
	check_int(read_request(out.data, out.len, &arena, &got), -E2BIG);
}

static int request_of_json(const char *text, struct arena *arena, struct stream_request *ret_request)
{
	static const struct json_limits limits = { 1 << 16, JSON_NODES, 16 };
	auto_json struct json_doc doc;
	const struct json_node *root;
	int r;

	json_init(&doc, &limits);
	r = json_parse(&doc, text, strlen(text), &root);
	return r < 0 ? r : proto_read_json(&stream_request_message, root, arena, ret_request);
}

TEST(json_says_the_same_as_protobuf)
{
	auto_arena struct arena arena = { .max = ARENA_MAX };
	struct stream_request got;

	require_ok(request_of_json("{\"filter\":{\"types\":[\"net.*\",\"file.open\"],\"pid\":7,\"descendants\":true,"
				   "\"skipTypes\":[\"net.udp\"]},\"start\":\"START_OLDEST\","
				   "\"cursor\":\"18446744073709551615\",\"with_record\":true}",
				   &arena, &got));
	check_int(got.filter->types.n, 2);
	check_str(((const char *const *)got.filter->skip_types.items)[0], "net.udp");
	check_int(got.filter->pid, 7);
	check_str(got.filter->expr, "");
	check_int(got.start, START_OLDEST);
	check(got.cursor == UINT64_MAX && got.with_record);
}

TEST(json_that_asks_for_what_there_is_not_is_refused)
{
	static const struct {
		const char *name, *json, *says;
	} rows[] = {
		{ "no such field", "{\"filtre\":{}}", "there is no \"filtre\"; there are filter, start" },
		{ "no such field within", "{\"filter\":{\"pids\":1}}", "filter: there is no \"pids\"" },
		{ "negative", "{\"cursor\":-1}", "cursor: wanted a whole number" },
		{ "too large", "{\"sample\":4294967296}", "sample: wanted a number of 32 bits" },
		{ "text for a number", "{\"cursor\":\"x\"}", "cursor: wanted a whole number" },
		{ "no list", "{\"filter\":{\"types\":\"x\"}}", "types: wanted a list" },
		{ "list of numbers", "{\"filter\":{\"types\":[1]}}", "types: wanted a list" },
		{ "unknown name", "{\"start\":\"LATER\"}", "start: wanted one of START_NOW, START_OLDEST" },
		{ "unknown number", "{\"start\":7}", "start: wanted a number that has a name" },
		{ "no object", "[]", "wanted an object" },
	};

	for_each_row (r, rows) {
		auto_arena struct arena arena = { .max = ARENA_MAX };
		struct stream_request got;

		check(request_of_json(r->json, &arena, &got) < 0);
		check_has(err_trail(), r->says);
	}
}

TEST(a_query_string_fills_fields_one_by_one)
{
	auto_arena struct arena arena = { .max = ARENA_MAX };
	struct stream_request got = { 0 };
	struct export_filter filter = { 0 };

	require_ok(proto_read_text(&export_filter_message, "types", "net.*", &arena, &filter));
	require_ok(proto_read_text(&export_filter_message, "types", "file.*", &arena, &filter));
	require_ok(proto_read_text(&export_filter_message, "descendants", "", &arena, &filter));
	require_ok(proto_read_text(&stream_request_message, "start", "oldest", &arena, &got));
	check_int(filter.types.n, 2);
	check(filter.descendants);
	check_str(filter.path, "");
	check_int(got.start, START_OLDEST);
	check(proto_read_text(&stream_request_message, "cursor", "1x", &arena, &got) < 0);
	check(proto_read_text(&stream_request_message, "filter", "x", &arena, &got) < 0);
	check(proto_read_text(&export_filter_message, "pid", "4294967296", &arena, &filter) < 0);
}

TEST(metrics_are_the_same_in_json)
{
	static const struct ring_kind_metrics kinds[] = { { "a.b", 3, 1 }, { "c.d", UINT64_MAX, 0 } };
	const struct ring_metrics m = { .capacity = 4096, .newest = 9, .kinds = { kinds, 2 } };
	auto_buf struct buf out = { .max = 4096 };

	proto_write_json(&ring_metrics_message, &m, &out);
	check_str(buf_text(&out),
		  "{\"capacity\":4096,\"used\":0,\"records\":0,\"bytes\":0,\"overwritten\":0,"
		  "\"per_second\":0,\"oldest\":0,\"newest\":9,\"kinds\":["
		  "{\"type\":\"a.b\",\"records\":3,\"per_second\":1},"
		  "{\"type\":\"c.d\",\"records\":18446744073709551615,\"per_second\":0}],\"readers\":[]}");
}
