/* SPDX-License-Identifier: Apache-2.0 */
/* What every kind of record promises, checked on all that the sensors declare, with random content. */
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/test.h"
#include "sensors/sensor.h"

static bool register_all(void)
{
	for (const struct sensor *const *s = sensor_table; *s; s++)
		for (size_t i = 0; i < (*s)->n_kinds; i++) {
			int r = event_kind_register(&(*s)->kinds[i]);

			if (r < 0) {
				test_fail(T_HERE, "%s", err_trail());
				return false;
			}
		}
	return true;
}

/* ---- a kind with a field of every type ---------------------------------------------------- */

struct ev_sample {
	struct ev_head head;
	__u64 u64, hex, time, duration, flags;
	__s64 i64;
	__u32 u32, mode;
	__s32 i32, error;
	__u16 u16, kind;
	__u8 u8, yes;
	char chars[10];
	struct ev_addr addr, other_addr;
	struct ev_str str, strs, bytes, stack, empty;
};

enum { EV_SAMPLE = EV_ID(0xfe, 1) };

static const struct field_name sample_kinds[] = { { 0, "none" }, { 1, "one" }, { 7, "seven" }, { 0, NULL } };
static const struct field_name sample_flags[] = {
	{ 1, "a" }, { 2, "b" }, { 1ULL << 63, "top" }, { 0x30, "pair" }, { 0, NULL },
};

static const struct field sample_fields[] = {
	FIELD(ev_sample, u64, "sample.u64", FT_U64, "any"),
	FIELD(ev_sample, hex, "sample.hex", FT_HEX, "any"),
	FIELD(ev_sample, time, "sample.at.time", FT_TIME, "any"),
	FIELD(ev_sample, duration, "event.duration", FT_DURATION, "any"),
	FIELD(ev_sample, flags, "sample.flags", FT_FLAGS, "any", .names = sample_flags),
	FIELD(ev_sample, i64, "sample.i64", FT_I64, "any"),
	FIELD(ev_sample, u32, "sample.u32", FT_U32, "any"),
	FIELD(ev_sample, mode, "sample.mode", FT_OCTAL, "any"),
	FIELD(ev_sample, i32, "sample.i32", FT_I32, "any", .zero_is_absent = true),
	FIELD(ev_sample, error, "sample.error", FT_ERRNO, "any"),
	FIELD(ev_sample, u16, "zebra", FT_U16, "any"),
	FIELD(ev_sample, kind, "sample.kind", FT_ENUM, "any", .names = sample_kinds),
	FIELD(ev_sample, u8, "aaa.u8", FT_U8, "any"),
	FIELD(ev_sample, yes, "sample.deep.er.yes", FT_BOOL, "any"),
	FIELD(ev_sample, chars, "sample.chars", FT_CHARS, "any"),
	FIELD(ev_sample, addr, "source.ip", FT_ADDR, "any"),
	FIELD(ev_sample, other_addr, "destination.ip", FT_ADDR, "any", .zero_is_absent = true),
	FIELD(ev_sample, str, "sample.deep.str", FT_STR, "any"),
	FIELD(ev_sample, strs, "sample.strs", FT_STRS, "any"),
	FIELD(ev_sample, bytes, "sample.bytes", FT_BYTES, "any"),
	FIELD(ev_sample, stack, "sample.stack", FT_STACK, "any"),
	FIELD(ev_sample, empty, "sample.empty", FT_STR, "any", .zero_is_absent = true),
};

static const struct event_kind sample = {
	.id = EV_SAMPLE,
	.name = "sample.all",
	.size = sizeof(struct ev_sample),
	.class = EV_NORMAL,
	.category = "network,process",
	.type = "info",
	.action = "sampled",
	.summary = "a field of every type",
	.fields = sample_fields,
	.n_fields = countof(sample_fields),
};

static field_id id_of(const char *name)
{
	return field_find(name, strlen(name));
}

/* ---- random records ------------------------------------------------------------------------- */

static __u64 random_state;

static __u64 any(__u64 below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return below ? (random_state >> 8) % below : random_state;
}

/* Numbers near the edges more often than chance would have it. */
static __u64 any_number(void)
{
	switch (any(6)) {
	case 0:
		return 0;
	case 1:
		return any(20);
	case 2:
		return UINT64_MAX - any(3);
	case 3:
		return (1ULL << 63) - any(3) + 1;
	case 4:
		return 1ULL << any(64);
	default:
		return any(0);
	}
}

/* Text, text beyond ASCII, controls, and bytes that are no text. */
static void any_text(char *to, size_t n, bool nul_too)
{
	static const char *const pieces[] = { "usr",  "/",           "\xc3\xa9", "\xff",     "\xed\xa0\x80",     "\"",
					      "\\",   "\n",          "\x01",     "\xe2\x82", "\xf0\x9f\x98\x80", " ",
					      "\x7f", "\xef\xbf\xbd" };
	size_t kinds = any(2) ? 2 : countof(pieces);

	for (size_t i = 0; i < n;) {
		const char *piece = pieces[any(kinds)];

		for (; *piece && i < n; piece++)
			to[i++] = *piece;
		if (nul_too && any(20) == 0 && i < n)
			to[i++] = 0;
	}
}

struct record {
	_Alignas(8) char bytes[EV_LEN_MAX];
};

static struct ev_head *head_of(struct record *rec)
{
	return (struct ev_head *)rec->bytes;
}

static void add_str(struct record *rec, const struct field *f)
{
	struct ev_head *head = head_of(rec);
	size_t n = any(4) ? any(40) : any(3), room = EV_LEN_MAX - head->len - 8U;
	char *to = rec->bytes + head->len;
	struct ev_str s = { 0 };

	if (any(5) && n + 1 < room) {
		if (f->type == FT_STACK) {
			n = 8 * any(5);
			for (size_t i = 0; i < n; i++)
				to[i] = (char)any(256);
		} else {
			any_text(to, n, f->type != FT_STR || any(3) == 0);
		}
		s = (struct ev_str) { head->len, (__u16)n };
		to[n] = 0;
		head->len = (__u16)(head->len + n + 1);
	}
	memcpy(rec->bytes + f->off, &s, sizeof(s));
}

static void any_record(struct record *rec, const struct event_kind *kind)
{
	const struct field *const *fields;
	size_t n = event_kind_fields(kind, &fields);
	struct ev_head *head = head_of(rec);

	memset(rec->bytes, 0, kind->size);
	for (size_t i = 0; i < n; i++) {
		const struct field *f = fields[i];
		__u64 v = any_number();

		if (f->type == FT_CHARS)
			any_text(rec->bytes + f->off, any(f->size + 1U), false);
		else if (f->type == FT_ADDR)
			memcpy(rec->bytes + f->off,
			       (__u64[]) { any(2) ? any(0) : 0, any(2) ? any_number() : 0xffff0000ULL | any(0) << 32 },
			       16);
		else if (f->size <= 8 && f->type < FT_CHARS)
			memcpy(rec->bytes + f->off, &v, f->size);
		else if (f->type == FT_ERRNO)
			memcpy(rec->bytes + f->off, &(__s32) { (__s32)(any(2) ? any(140) : v) }, 4);
	}
	head->id = kind->id;
	head->class = (__u8)any(EV_CLASS_COUNT);
	head->len = (__u16)kind->size;
	for (size_t i = 0; i < n; i++)
		if (fields[i]->type == FT_STR || fields[i]->type == FT_STRS || fields[i]->type == FT_BYTES ||
		    fields[i]->type == FT_STACK)
			add_str(rec, fields[i]);
}

/* ---- comparing --------------------------------------------------------------------------------- */

static bool same_value(const struct value *a, const struct value *b)
{
	if (a->type != b->type)
		return false;
	switch (a->type) {
	case VALUE_STR:
		return a->s.n == b->s.n && !memcmp(a->s.p, b->s.p, a->s.n);
	case VALUE_IP:
		return !memcmp(&a->ip, &b->ip, sizeof(a->ip));
	case VALUE_BOOL:
		return a->b == b->b;
	case VALUE_LIST:
		if (a->list.n != b->list.n)
			return false;
		for (size_t i = 0; i < a->list.n; i++)
			if (!same_value(&a->list.items[i], &b->list.items[i]))
				return false;
		return true;
	default:
		return a->u == b->u;
	}
}

static void check_same(const struct event_kind *kind, const struct ev_head *a, const struct ev_head *b)
{
	static struct event_scratch scratch_a, scratch_b;
	const struct field *const *fields;
	size_t n = event_kind_fields(kind, &fields);

	for (size_t i = 0; i < n; i++) {
		struct value x, y;
		bool there = event_field_value(a, fields[i], &scratch_a, &x);

		if (there != event_field_value(b, fields[i], &scratch_b, &y) || (there && !same_value(&x, &y)))
			test_fail(T_HERE, "%s: %s is not the same", kind->name, fields[i]->name);
	}
}

static void print(const struct event_kind *kind, const void *rec, struct buf *out)
{
	const struct event ev = { .rec = rec, .kind = kind };

	buf_clear(out);
	event_to_json(&ev, out);
}

static void check_round_trip(const struct event_kind *kind, struct record *rec)
{
	auto_buf struct buf line, again, back, canonical;

	buf_init(&line, EVENT_JSON_MAX);
	buf_init(&again, EVENT_JSON_MAX);
	buf_init(&back, EV_LEN_MAX);
	buf_init(&canonical, EV_LEN_MAX);
	require(event_check(rec, head_of(rec)->len) == kind);
	print(kind, rec, &line);
	require(!line.failed && line.data[line.len - 1] == '\n');
	if (event_from_json(line.data, line.len, &back) < 0) {
		test_fail(T_HERE, "%s: %s\n%s", kind->name, err_trail(), line.data);
		return;
	}
	require(event_check(back.data, back.len) == kind);
	check_same(kind, head_of(rec), (const struct ev_head *)back.data);
	print(kind, back.data, &again);
	check_str(buf_text(&again), buf_text(&line));
	/* What was read is canonical: it reads back to the same bytes. */
	require_ok(event_from_json(again.data, again.len, &canonical));
	check(canonical.len == back.len && !memcmp(canonical.data, back.data, back.len));
}

TEST(every_kind_prints_and_reads_back)
{
	static struct record rec;
	const struct event_kind *kind;

	random_state = 88172645463325252ULL;
	require(register_all());
	require_ok(event_kind_register(&sample));
	event_clock_set(1715000000123456789);
	for (size_t k = 0; (kind = event_kind_at(k)); k++)
		for (int i = 0; i < (kind == &sample ? 3000 : 200); i++) {
			any_record(&rec, kind);
			check_round_trip(kind, &rec);
		}
	event_clock_set(0);
}

TEST(a_line_reads_back_whatever_the_clock_says_by_then)
{
	static struct record rec;
	auto_buf struct buf line, back;

	random_state = 42;
	require_ok(event_kind_register(&sample));
	buf_init(&line, EVENT_JSON_MAX);
	buf_init(&back, EV_LEN_MAX);
	any_record(&rec, &sample);
	head_of(&rec)->start_ns = 5;
	event_clock_set(1715000000123456789);
	print(&sample, &rec, &line);
	event_clock_set(77);
	require_ok(event_from_json(line.data, line.len, &back));
	check_same(&sample, head_of(&rec), (const struct ev_head *)back.data);
	event_clock_set(0);
}

TEST(a_record_prints_as_nested_ecs)
{
	struct {
		struct ev_sample s;
		char text[64];
	} rec = { .s = { .head = { .time_ns = 1000000001,
				   .id = EV_SAMPLE,
				   .len = sizeof(rec),
				   .class = EV_BULK,
				   .flags = EV_F_SEEDED | 0x80,
				   .pid = 5,
				   .cgroup_id = UINT64_MAX,
				   .comm = "a\"\xff" },
			 .u64 = UINT64_MAX,
			 .hex = 0xdeadbeefcafe,
			 .mode = 0100755,
			 .flags = 0x35 | 1ULL << 63,
			 .error = 111,
			 .kind = 9,
			 .i64 = INT64_MIN,
			 .addr = { .bytes = { [10] = 0xff, 0xff, 192, 0, 2, 1 } },
			 .other_addr = { .bytes = { 0x20, 1, 0xd, 0xb8, [15] = 1 } },
			 .yes = 1,
			 .str = { offsetof(struct ev_sample, empty) + 4, 0 } } };
	static const char want[] =
		"{\"@timestamp\":\"1970-01-01T00:00:01.000000001Z\",\"aaa\":{\"u8\":0},\"destination\":{\"ip\":\"2001:"
		"db8::1\"},"
		"\"event\":{\"action\":\"sampled\",\"category\":[\"network\",\"process\"],\"dataset\":\"sample.all\","
		"\"duration\":0,\"kind\":\"event\",\"module\":\"sample\",\"type\":[\"info\"]},\"group\":{\"id\":0},"
		"\"process\":{"
		"\"cgroup\":{\"id\":18446744073709551615},\"name\":\"a\\\"\xef\xbf\xbd\",\"pid\":5,\"thread\":{\"id\":"
		"0}},"
		"\"sample\":{\"at\":{\"time\":\"1970-01-01T00:00:00.000000000Z\"},\"bytes\":\"ff00\",\"chars\":\"\","
		"\"deep\":{\"er\":{\"yes\":true},\"str\":\"x\"},\"error\":[\"ECONNREFUSED\",111],"
		"\"flags\":[\"a\",\"top\",\"pair\",\"0x4\"],\"hex\":\"0xdeadbeefcafe\",\"i64\":-9223372036854775808,"
		"\"kind\":9,"
		"\"mode\":\"0100755\",\"strs\":[\"\",\"b\"],\"u32\":0,\"u64\":18446744073709551615},"
		"\"source\":{\"ip\":\"192.0.2.1\"},\"user\":{\"id\":0},\"zebra\":0,\"shrike\":{\"boot_ns\":1000000001,"
		"\"class\":\"bulk\",\"cpu\":0,\"flags\":[\"seeded\",\"0x80\"],\"bytes\":{\"process.name\":\"6122ff\"}}}"
		"\n";
	auto_buf struct buf b;

	require_ok(event_kind_register(&sample));
	memcpy(rec.text, "x\0\0b\0\xff\0", 7);
	rec.s.str = (struct ev_str) { offsetof(typeof(rec), text), 1 };
	rec.s.strs = (struct ev_str) { offsetof(typeof(rec), text) + 2, 2 };
	rec.s.bytes = (struct ev_str) { offsetof(typeof(rec), text) + 5, 2 };
	buf_init(&b, EVENT_JSON_MAX);
	check(event_check(&rec, sizeof(rec)) == &sample);
	print(&sample, &rec, &b);
	check_str(buf_text(&b), want);
}

TEST(lines_that_no_record_made_are_refused)
{
#define LINE(rest) "{\"@timestamp\":\"2024-01-02T03:04:05Z\",\"event\":{\"dataset\":\"sample.all\"}," rest "}"
	static const struct {
		const char *name, *line, *want;
	} rows[] = {
		{ "not JSON", "{", "not JSON" },
		{ "no object", "[]", "an event is a JSON object" },
		{ "no kind", "{\"@timestamp\":\"2024-01-02T03:04:05Z\"}", "event.dataset" },
		{ "unknown kind", "{\"event.dataset\":\"no.such\"}", "event.dataset" },
		{ "no time", "{\"event.dataset\":\"sample.all\"}", "@timestamp" },
		{ "number too large", LINE("\"aaa\":{\"u8\":256}"), "aaa.u8: the number is too large" },
		{ "negative", LINE("\"aaa.u8\":-1"), "aaa.u8: wanted a number that is not negative" },
		{ "double", LINE("\"aaa.u8\":1.0"), "aaa.u8: wanted a number" },
		{ "signed too large", LINE("\"sample.i32\":2147483648"), "too large" },
		{ "signed and unsigned", LINE("\"sample.i64\":9223372036854775808"), "wanted a whole number" },
		{ "hex", LINE("\"sample.hex\":\"12\""), "sample.hex" },
		{ "hex too large", LINE("\"sample.hex\":\"0x10000000000000000\""), "sample.hex" },
		{ "octal", LINE("\"sample.mode\":\"0789\""), "sample.mode" },
		{ "date", LINE("\"sample.at.time\":\"yesterday\""), "wanted a date" },
		{ "enum", LINE("\"sample.kind\":\"two\""), "no such name" },
		{ "flag", LINE("\"sample.flags\":[\"z\"]"), "no such flag" },
		{ "errno", LINE("\"sample.error\":\"ENOSUCH\""), "no such error" },
		{ "long chars", LINE("\"sample.chars\":\"01234567890\""), "wanted a string that fits" },
		{ "address", LINE("\"source.ip\":\"1.2.3\""), "wanted an address" },
		{ "string", LINE("\"sample.deep.str\":[\"a\",\"b\"]"), "wanted a string" },
		{ "strings", LINE("\"sample.strs\":[\"a\",1]"), "wanted a list of strings" },
		{ "NUL in strings", LINE("\"sample.strs\":[\"a\\u0000b\"]"), "wanted a list of strings" },
		{ "bytes", LINE("\"sample.bytes\":\"0g\""), "wanted hex digits" },
		{ "half a byte", LINE("\"sample.bytes\":\"0\""), "wanted hex digits" },
		{ "exact bytes", LINE("\"shrike\":{\"bytes\":{\"sample.chars\":\"xx\"}}"), "wanted hex digits" },
		{ "class", LINE("\"shrike.class\":200"), "no sound record" },
	};
	auto_buf struct buf b;

	require_ok(event_kind_register(&sample));
	buf_init(&b, EV_LEN_MAX);
	for_each_row (r, rows) {
		check_int(event_from_json(r->line, strlen(r->line), &b), -EINVAL);
		check_has(err_trail(), r->want);
	}
	require_ok(event_from_json(LINE("\"aaa.u8\":255"), sizeof(LINE("\"aaa.u8\":255")) - 1, &b));
	check_int(((const struct ev_sample *)b.data)->u8, 255);
}

/* ---- reading fields ------------------------------------------------------------------------------ */

static void show_value(char *to, size_t size, const struct value *v)
{
	static const char *const types[] = { "null", "bool", "int", "uint", "float", "str", "ip", "list" };
	size_t n = (size_t)snprintf(to, size, "%s", types[v->type]);

	switch (v->type) {
	case VALUE_BOOL:
		(void)snprintf(to + n, size - n, " %d", v->b);
		break;
	case VALUE_INT:
		(void)snprintf(to + n, size - n, " %lld", (long long)v->i);
		break;
	case VALUE_UINT:
		(void)snprintf(to + n, size - n, " %llu", (unsigned long long)v->u);
		break;
	case VALUE_FLOAT:
		(void)snprintf(to + n, size - n, " %g", v->f);
		break;
	case VALUE_STR:
		(void)snprintf(to + n, size - n, " %.*s", (int)v->s.n, v->s.p);
		break;
	case VALUE_LIST:
		for (size_t i = 0; i < v->list.n; i++) {
			n += (size_t)snprintf(to + n, size - n, "%s", i ? ", " : " ");
			show_value(to + n, size - n, &v->list.items[i]);
			n += strlen(to + n);
		}
		break;
	default:
		break;
	}
}

TEST(fields_read_by_name)
{
	static const struct {
		const char *name, *want, *bare; /* bare: without scratch */
	} rows[] = {
		{ "@timestamp", "int 1500", "int 1500" },
		{ "shrike.boot_ns", "uint 500", "uint 500" },
		{ "event.dataset", "str sample.all", "str sample.all" },
		{ "event.category", "list str network, str process", "null" },
		{ "process.pid", "uint 5", "uint 5" },
		{ "process.name", "str abc", "str abc" },
		{ "process.start", "null", "null" },
		{ "sample.flags", "list str a, str 0x4", "uint 5" },
		{ "sample.error", "list str EPERM, int 1", "int 1" },
		{ "sample.kind", "str seven", "uint 7" },
		{ "sample.i32", "null", "null" },
		{ "sample.i64", "int -1", "int -1" },
		{ "sample.deep.er.yes", "bool 1", "bool 1" },
		{ "source.ip", "ip", "ip" },
		{ "destination.ip", "null", "null" },
		{ "sample.strs", "list str x, str , str y", "null" },
		{ "sample.deep.str", "null", "null" },
		{ "no.such.field", "null", "null" },
	};
	static struct event_scratch scratch;
	struct {
		struct ev_sample s;
		char text[8];
	} rec = { .s = { .head = { .time_ns = 500, .id = EV_SAMPLE, .len = sizeof(rec), .pid = 5, .comm = "abc" },
			 .flags = 5,
			 .error = 1,
			 .kind = 7,
			 .i64 = -1,
			 .yes = 1,
			 .strs = { sizeof(struct ev_sample), 4 } },
		  .text = "x\0\0y" };
	struct event ev = { .rec = &rec.s.head, .kind = &sample };
	char text[256];
	struct value v;

	require_ok(event_kind_register(&sample));
	require(offsetof(typeof(rec), text) == sizeof(struct ev_sample));
	event_clock_set(1000);
	for_each_row (r, rows) {
		check(event_get(&ev, id_of(r->name), &scratch, &v) == (strcmp(r->want, "null") != 0));
		show_value(text, sizeof(text), &v);
		check_str(text, r->want);
		(void)event_get(&ev, id_of(r->name), NULL, &v);
		show_value(text, sizeof(text), &v);
		check_str(text, r->bare);
	}
	event_clock_set(0);
	check(event_kind_field(&sample, id_of("sample.kind")) == &sample_fields[11]);
	check(event_kind_field(&sample, FIELD_NONE) == NULL);
}

/* ---- a lens --------------------------------------------------------------------------------------- */

struct fake {
	struct {
		const char *name, *value;
	} rows[8];
};

static bool fake_get(const void *subject, field_id id, struct value *ret_value)
{
	const struct fake *f = subject;

	for (size_t i = 0; i < countof(f->rows) && f->rows[i].name; i++)
		if (id_of(f->rows[i].name) == id) {
			*ret_value = (struct value) { .type = VALUE_STR,
						      .s = { f->rows[i].value, strlen(f->rows[i].value) } };
			return true;
		}
	return false;
}

static void fake_each(const void *subject, void (*fn)(void *ctx, field_id id, const struct value *v), void *ctx)
{
	for (field_id id = 1; id < field_count(); id++) {
		struct value v;

		if (fake_get(subject, id, &v))
			fn(ctx, id, &v);
	}
}

TEST(what_a_lens_adds_is_merged_at_its_place)
{
	static const struct event_lens lens = { fake_get, fake_each };
	static const struct {
		const char *name;
		struct fake fake;
		const char *want[3], *not;
	} rows[] = {
		{ "between others",
		  { { { "process.parent.name", "sh" }, { "process.args_count", "2" } } },
		  { "\"process\":{\"args_count\":\"2\",\"parent\":{\"name\":\"sh\"},\"pid\":0" } },
		{ "first and last",
		  { { { "aaa", "1" }, { "zzz", "2" } } },
		  { "{\"@timestamp\"", "\"aaa\":\"1\"", "\"zzz\":\"2\",\"shrike\":{" } },
		{ "the record goes first", { { { "process.pid", "fake" } } }, { "\"pid\":0" }, "fake" },
		{ "what the record has not", { { { "process.start", "fake" } } }, { "\"start\":\"fake\"" } },
		{ "a value where the record has an object",
		  { { { "process.thread", "value" } } },
		  { "\"thread\":\"value\",\"thread.id\":0}" } },
		{ "a value above, and one beside",
		  { { { "process", "value" }, { "process.thread.z", "z" } } },
		  { "\"process\":\"value\",\"process.pid\":0,",
		    "\"process.thread.id\":0,\"process.thread.z\":\"z\",\"user\":{" } },
		{ "a member where the record has a value",
		  { { { "process.pid.more", "value" } } },
		  { "\"pid\":0,\"pid.more\":\"value\",\"thread\":{" } },
		{ "reserved", { { { "shrike.bytes.x", "fake" } } }, { "\"shrike\":" }, "fake" },
		{ "names that need quoting", { { { "a\"b.c", "1" } } }, { "\"a\\\"b\":{\"c\":\"1\"}" } },
	};
	struct ev_sample rec = { .head = { .id = EV_SAMPLE, .len = sizeof(rec) } };
	static const struct event_kind bare = { .id = EV_ID(0xfe, 2),
						.name = "sample.bare",
						.size = sizeof(struct ev_head),
						.category = "process",
						.type = "info",
						.action = "sampled",
						.summary = "only a head" };

	require_ok(event_kind_register(&bare));
	rec.head.id = bare.id;
	for_each_row (r, rows) {
		struct event ev = { .rec = &rec.head, .kind = &bare, .lens = &lens, .subject = &r->fake };
		auto_buf struct buf first, second, back;
		auto_json struct json_doc doc;
		const struct json_node *root;

		json_init(&doc, &(struct json_limits) { 1 << 16, 1000, 20 });
		buf_init(&first, 1 << 16);
		buf_init(&second, 1 << 16);
		buf_init(&back, EV_LEN_MAX);
		for (size_t i = 0; r->fake.rows[i].name; i++)
			(void)field_intern(r->fake.rows[i].name, strlen(r->fake.rows[i].name));
		event_to_json(&ev, &first);
		for (size_t i = 0; i < countof(r->want) && r->want[i]; i++)
			check_has(buf_text(&first), r->want[i]);
		check(!r->not|| !strstr(buf_text(&first), r->not));
		require_ok(json_parse(&doc, first.data, first.len, &root));
		/* From the order that was remembered. */
		event_to_json(&ev, &second);
		check_str(buf_text(&second), buf_text(&first));
		/* Fields that the record can have are taken for its own; those here are none, but for the date. */
		if (strcmp(r->name, "what the record has not") != 0 &&
		    strcmp(r->name, "a value above, and one beside") != 0)
			check_int(event_from_json(first.data, first.len, &back), 0);
	}
}

/* ---- tables ------------------------------------------------------------------------------------------ */

static const struct btf_type *skip_names(const struct btf *btf, __u32 id)
{
	const struct btf_type *t = btf__type_by_id(btf, id);

	while (t && (btf_is_mod(t) || btf_is_typedef(t)))
		t = btf__type_by_id(btf, t->type);
	return t;
}

/* Is there a member at this offset that is so large, here or in a struct within? */
static bool has_member(const struct btf *btf, const struct btf_type *t, __u32 off, __u32 size)
{
	const struct btf_member *m = btf_members(t);

	for (int i = 0; i < btf_vlen(t); i++) {
		__u32 at = btf_member_bit_offset(t, (__u32)i) / 8;
		__s64 is = btf__resolve_size(btf, m[i].type);
		const struct btf_type *in = skip_names(btf, m[i].type);

		if (at == off && is == size)
			return true;
		if (in && btf_is_composite(in) && off >= at && off < at + is && has_member(btf, in, off - at, size))
			return true;
	}
	return false;
}

static void check_against_btf(const struct btf *btf, const struct event_kind *kind)
{
	__s32 id = btf__find_by_name_kind(btf, kind->struct_name, BTF_KIND_STRUCT);
	const struct btf_type *t = id > 0 ? btf__type_by_id(btf, (__u32)id) : NULL;
	const struct field *const *fields;
	size_t n = event_kind_fields(kind, &fields);

	if (!t) {
		test_fail(T_HERE, "%s: the object has no struct %s (KEEP_BTF?)", kind->name, kind->struct_name);
		return;
	}
	check_int(t->size, kind->size);
	for (size_t i = 0; i < n; i++)
		if (!has_member(btf, t, fields[i]->off, fields[i]->size))
			test_fail(T_HERE, "%s: %s: struct %s has no member of %u bytes at %u", kind->name,
				  fields[i]->name, kind->struct_name, fields[i]->size, fields[i]->off);
}

TEST(every_table_agrees_with_the_object)
{
	require(register_all());
	for (const struct sensor *const *s = sensor_table; *s; s++) {
		struct bpf_object *obj;

		if (!(*s)->image)
			continue;
		obj = bpf_object__open_mem((*s)->image->start, (size_t)((*s)->image->end - (*s)->image->start), NULL);
		require(obj != NULL);
		test_row = (*s)->name;
		for (size_t i = 0; i < (*s)->n_kinds; i++)
			if ((*s)->kinds[i].struct_name)
				check_against_btf(bpf_object__btf(obj), &(*s)->kinds[i]);
		bpf_object__close(obj);
	}
}

static bool is_dotted_name(const char *name)
{
	size_t ok = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.@");

	return !name[ok] && name[0] != '.' && name[ok - 1] != '.' && !strstr(name, "..");
}

TEST(every_field_is_named_and_documented)
{
	require(register_all());
	for (const struct sensor *const *s = sensor_table; *s; s++)
		for (size_t k = 0; k < (*s)->n_kinds; k++) {
			const struct event_kind *kind = &(*s)->kinds[k];
			const struct field *const *fields;
			size_t n = event_kind_fields(kind, &fields);

			test_row = kind->name;
			check_int(EV_ID_SENSOR(kind->id), (*s)->byte);
			check(is_dotted_name(kind->name) && !strncmp(kind->name, (*s)->name, strlen((*s)->name)));
			check(strlen(kind->summary) > 5);
			for (size_t i = 0; i < n; i++) {
				if (!is_dotted_name(fields[i]->name) || strlen(fields[i]->doc) < 3)
					test_fail(T_HERE, "%s: a dotted name and a sentence are wanted",
						  fields[i]->name);
				check(event_kind_field(kind, id_of(fields[i]->name)) == fields[i]);
			}
		}
}

TEST(what_two_tables_cannot_share_is_refused)
{
	static const struct field twice[] = {
		FIELD(ev_sample, u64, "sample.x", FT_U64, "any"),
		FIELD(ev_sample, hex, "sample.x", FT_U64, "any"),
	};
	static const struct field parent[] = {
		FIELD(ev_sample, u64, "sample.x", FT_U64, "any"),
		FIELD(ev_sample, hex, "sample.x.y", FT_U64, "any"),
	};
	static const struct field of_head[] = { FIELD(ev_sample, u64, "process.pid", FT_U64, "any") };
	static const struct field narrow[] = { FIELD(ev_sample, u8, "sample.x", FT_U64, "any") };
	static const struct field mute[] = { FIELD(ev_sample, u64, "sample.x", FT_U64, "") };
	static const struct field reserved[] = { FIELD(ev_sample, u64, "shrike.bytes.x", FT_U64, "any") };
	static const struct field nameless[] = { FIELD(ev_sample, u16, "sample.x", FT_ENUM, "any") };
	static const struct field_name same[] = { { 1, "a" }, { 2, "a" }, { 0, NULL } };
	static const struct field ambiguous[] = { FIELD(ev_sample, u16, "sample.x", FT_ENUM, "any", .names = same) };
#define KIND(f)                                                                                                        \
	{ EV_ID(0xfe, 9), "sample.bad", NULL, sizeof(struct ev_sample), EV_NORMAL, "a", "b", "c", "d", f, countof(f) }
	static const struct {
		const char *name;
		struct event_kind kind;
		const char *want;
	} rows[] = {
		{ "a name twice", KIND(twice), "two fields are named sample.x" },
		{ "a field and its parent", KIND(parent), "sample.x is a field and the parent of sample.x.y" },
		{ "a name of the head", KIND(of_head), "two fields are named process.pid" },
		{ "a size that does not fit", KIND(narrow), "do not fit" },
		{ "no sentence", KIND(mute), "without a sentence" },
		{ "a reserved name", KIND(reserved), "reserved" },
		{ "an enum without names", KIND(nameless), "enums and flags have names" },
		{ "an ambiguous name", KIND(ambiguous), "are the same" },
		{ "an id that is taken",
		  { EV_SAMPLE, "sample.other", NULL, sizeof(struct ev_sample), EV_NORMAL, "a", "b", "c", "d", NULL, 0 },
		  "belongs to sample.all" },
		{ "a name that is taken",
		  { EV_ID(0xfe, 9), "sample.all", NULL, sizeof(struct ev_sample), EV_NORMAL, "a", "b", "c", "d", NULL,
		    0 },
		  "another kind has that name" },
		{ "a number too large",
		  { EV_ID(0xfe, EV_KIND_MAX), "sample.x", NULL, sizeof(struct ev_head), EV_NORMAL, "a", "b", "c", "d",
		    NULL, 0 },
		  "its number is not" },
		{ "no category",
		  { EV_ID(0xfe, 9), "sample.bad", NULL, sizeof(struct ev_head), EV_NORMAL, "", "b", "c", "d", NULL, 0 },
		  "event.category" },
	};

	require_ok(event_kind_register(&sample));
	for_each_row (r, rows) {
		check(event_kind_register(&r->kind) < 0);
		check_has(err_trail(), r->want);
	}
	check(event_kind_of(EV_ID(0xfe, 9)) == NULL);
	check(event_kind_of(EV_SAMPLE) == &sample);
	check(event_kind_by_name("sample.bad", 10) == NULL);
}

/* ---- hostile records -------------------------------------------------------------------------------------- */

TEST(event_check_takes_only_whole_records)
{
	static struct record rec;
	struct ev_head *head = head_of(&rec);
	struct ev_sample *s = (struct ev_sample *)rec.bytes;
	__u16 len = sizeof(*s) + 8;
	static const struct {
		const char *name;
		struct ev_str str, strs, stack, bytes;
		bool sound;
	} rows[] = {
#define AT(n) (__u16)(sizeof(struct ev_sample) + (n))
		{ "none", .sound = true },
		{ "in its place", .str = { AT(0), 3 }, .sound = true },
		{ "up to the last byte", .str = { AT(0), 7 }, .sound = true },
		{ "without room for its NUL", .str = { AT(0), 8 } },
		{ "beyond the end", .str = { AT(0), 9 } },
		{ "far beyond", .str = { 0xffff, 0xffff } },
		{ "within the fixed part", .str = { AT(-1), 2 } },
		{ "length without a place", .str = { 0, 2 } },
		{ "no NUL", .str = { AT(0), 1 } },
		{ "list without its NUL", .strs = { AT(0), 1 } },
		{ "stack in whole frames", .stack = { AT(0), 8 }, .sound = true },
		{ "stack in parts", .stack = { AT(0), 7 } },
		{ "bytes to the end", .bytes = { AT(0), 8 }, .sound = true },
		{ "strings that share their bytes", .str = { AT(0), 7 }, .bytes = { AT(0), 2 } },
		{ "bytes beyond the end", .bytes = { AT(1), 8 } },
	};

	require_ok(event_kind_register(&sample));
	for_each_row (r, rows) {
		memset(&rec, 0, sizeof(rec));
		memcpy(rec.bytes + sizeof(*s), "abc\0def", 8);
		*head = (struct ev_head) { .id = EV_SAMPLE, .len = len };
		s->str = r->str;
		s->strs = r->strs;
		s->stack = r->stack;
		s->bytes = r->bytes;
		check((event_check(&rec, len) == &sample) == r->sound);
	}
	memset(&rec, 0, sizeof(rec));
	*head = (struct ev_head) { .id = EV_SAMPLE, .len = len };
	check(event_check(&rec, len) == &sample);
	check(event_check(&rec, len - 1) == NULL);
	check(event_check(&rec, 0) == NULL);
	head->class = EV_CLASS_COUNT;
	check(event_check(&rec, len) == NULL);
	*head = (struct ev_head) { .id = 0xfeff, .len = len };
	check(event_check(&rec, len) == NULL);
	*head = (struct ev_head) { .id = EV_SAMPLE, .len = sizeof(*s) - 1 };
	check(event_check(&rec, sizeof(*s) - 1) == NULL);
}

/* What event_check() refuses must still not bring down who looks at a field of it. */
TEST(hostile_records_do_not_crash)
{
	static struct record rec;
	static struct event_scratch scratch;
	const struct field *const *fields;
	size_t n, sound = 0;
	auto_buf struct buf b;

	require_ok(event_kind_register(&sample));
	random_state = 7;
	n = event_kind_fields(&sample, &fields);
	buf_init(&b, EVENT_JSON_MAX);
	for (int i = 0; i < 3000; i++) {
		struct ev_head *head = head_of(&rec);
		__u16 len;

		any_record(&rec, &sample);
		len = head->len;
		for (__u64 k = any(8); k; k--)
			rec.bytes[any(sizeof(struct ev_sample))] ^= (char)any(256);
		head->id = EV_SAMPLE;
		head->len = any(4) ? len : (__u16)any(len);
		for (size_t f = 0; f < n; f++) {
			struct value v;

			(void)event_field_value(head, fields[f], &scratch, &v);
		}
		print(&sample, &rec, &b);
		sound += event_check(&rec, len) != NULL;
	}
	check(sound > 100 && sound < 2900);
}

/* ---- records of older agents -------------------------------------------------------------------------------- */

static bool ends_between_fields(const struct event_kind *kind, size_t fixed)
{
	const struct field *const *fields;
	size_t n = event_kind_fields(kind, &fields);

	for (size_t i = 0; i < n; i++)
		if (fields[i]->off < fixed && fields[i]->off + fields[i]->size > fixed)
			return false;
	return true;
}

/*
 * What an agent would have written whose kind ended after `fixed` bytes, into `ret_old`. The fields that came later
 * become zero in `rec` too, so that it is what the old one must turn into.
 */
static void grow_younger(struct record *rec, const struct event_kind *kind, size_t fixed, struct record *ret_old)
{
	const struct field *const *fields;
	size_t n = event_kind_fields(kind, &fields), grown = kind->size - fixed;
	struct ev_head *head = head_of(rec);

	memset(rec->bytes + fixed, 0, grown);
	memcpy(ret_old->bytes, rec->bytes, fixed);
	memcpy(ret_old->bytes + fixed, rec->bytes + kind->size, head->len - kind->size);
	head_of(ret_old)->len = (__u16)(head->len - grown);
	for (size_t i = 0; i < n; i++) {
		const struct field *f = fields[i];
		struct ev_str s;

		if (f->off >= fixed ||
		    (f->type != FT_STR && f->type != FT_STRS && f->type != FT_BYTES && f->type != FT_STACK))
			continue;
		memcpy(&s, ret_old->bytes + f->off, sizeof(s));
		s.off = s.off ? (__u16)(s.off - grown) : 0;
		memcpy(ret_old->bytes + f->off, &s, sizeof(s));
	}
}

TEST(a_record_of_an_older_agent_becomes_one_of_today)
{
	static struct record rec, old, wide;
	const struct event_kind *kind;
	size_t shorter = 0;

	random_state = 1234567;
	require(register_all());
	require_ok(event_kind_register(&sample));
	for (size_t k = 0; (kind = event_kind_at(k)); k++)
		for (size_t fixed = sizeof(struct ev_head); fixed <= kind->size; fixed++) {
			if (!ends_between_fields(kind, fixed))
				continue;
			any_record(&rec, kind);
			grow_younger(&rec, kind, fixed, &old);
			require(event_check(&rec, head_of(&rec)->len) == kind);
			if (event_widen(&old, head_of(&old)->len, fixed, &wide) != kind) {
				test_fail(T_HERE, "%s of %zu bytes was refused", kind->name, fixed);
				continue;
			}
			check_int(head_of(&wide)->len, head_of(&rec)->len);
			check(!memcmp(&wide, &rec, head_of(&rec)->len));
			shorter += fixed < kind->size;
		}
	check(shorter > 100);
}

TEST(what_no_older_agent_wrote_is_not_widened)
{
	static struct record rec, wide;
	struct ev_sample *s = (struct ev_sample *)rec.bytes;
	const size_t full = sizeof(*s), fixed = offsetof(struct ev_sample, strs);
	static const struct {
		const char *name;
		size_t fixed;
		struct ev_str str;
		size_t len; /* said and given */
		bool sound;
	} rows[] = {
#define OLD(n) (__u16)(offsetof(struct ev_sample, strs) + (n))
		{ "as it was", OLD(0), { OLD(0), 3 }, OLD(4), true },
		{ "no string", OLD(0), { 0, 0 }, OLD(4), true },
		{ "a length without a place", OLD(0), { 0, 3 }, OLD(4), false },
		{ "a string in the fixed part", OLD(0), { OLD(-1), 3 }, OLD(4), false },
		{ "a string beyond the end", OLD(0), { OLD(0), 5 }, OLD(4), false },
		{ "a place that would come round to the beginning", OLD(0), { 0xffff, 0 }, OLD(4), false },
		{ "a fixed part that ends in a field", OLD(-2), { OLD(0), 3 }, OLD(4), false },
		{ "a fixed part that is no whole head", sizeof(struct ev_head) - 1, { 0, 0 }, OLD(4), false },
		{ "nothing", 0, { 0, 0 }, OLD(4), false },
		{ "a fixed part beyond the end", OLD(4), { 0, 0 }, OLD(0), false },
		{ "too long once it is widened", OLD(0), { 0, 0 }, EV_LEN_MAX - 4, false },
		{ "a kind that was larger",
		  sizeof(struct ev_sample) + 8,
		  { 0, 0 },
		  sizeof(struct ev_sample) + 8,
		  true },
		{ "a kind that was larger, cut", sizeof(struct ev_sample) + 8, { 0, 0 }, OLD(0), false },
	};

	require_ok(event_kind_register(&sample));
	for_each_row (r, rows) {
		memset(&rec, 0, sizeof(rec));
		s->head = (struct ev_head) { .id = EV_SAMPLE, .len = (__u16)r->len };
		s->str = r->str;
		memcpy(rec.bytes + fixed, "abc", 4);
		if (r->fixed > full)
			memset(&s->strs, 0, full - fixed);
		check((event_widen(&rec, r->len, r->fixed, &wide) == &sample) == r->sound);
		if (r->sound && r->str.off) {
			struct str text = event_str(head_of(&wide), ((struct ev_sample *)wide.bytes)->str);

			check(text.n == 3 && !memcmp(text.p, "abc", 3));
		}
	}
	s->head = (struct ev_head) { .id = EV_SAMPLE, .len = OLD(4) };
	check(event_widen(&rec, OLD(3), OLD(0), &wide) == NULL);
	s->head.id = 0xfeff;
	check(event_widen(&rec, OLD(4), OLD(0), &wide) == NULL);
	check(event_widen(&rec, 0, OLD(0), &wide) == NULL);
}
