/* SPDX-License-Identifier: Apache-2.0 */
/* Records as protobuf, held against protoc: what it reads is what the tables say. */
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/wait.h>
#include "api/export_proto.h"
#include "api/proto_event.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/test.h"
#include "event/fuzz_kinds.h"
#include "reference/reference.h"

enum { TEXT_MAX_BYTES = 8 << 20, CLOCK = 1700000000 };

static bool has_protoc(void)
{
	return system("command -v protoc >/dev/null 2>&1") == 0;
}

/* Runs a command with the bytes as its input and gives what it prints. */
static bool run(const char *command, const struct buf *input, struct buf *out)
{
	char path[] = "/tmp/shrike-proto-XXXXXX", line[PATH_MAX * 2], chunk[65536];
	auto_close int fd = mkstemp(path);
	size_t n;
	FILE *f;

	if (fd < 0 || write(fd, buf_text(input), input->len) != (ssize_t)input->len)
		return false;
	(void)snprintf(line, sizeof(line), "%s <%s 2>&1", command, path);
	f = popen(line, "re");
	while (f && (n = fread(chunk, 1, sizeof(chunk), f)))
		buf_add(out, chunk, n);
	(void)unlink(path);
	return f && pclose(f) == 0;
}

/* ---- the file ------------------------------------------------------------------------------ */

static void check_descriptor(const struct proto_file *file)
{
	auto_buf struct buf text = { .max = TEXT_MAX_BYTES }, set = { .max = TEXT_MAX_BYTES },
			    ours = { .max = TEXT_MAX_BYTES }, wrapped = { .max = TEXT_MAX_BYTES };
	char dir[] = "/tmp/shrike-proto-XXXXXX", line[PATH_MAX * 2];
	const char *base = strrchr(file->path, '/') + 1;
	FILE *f;

	test_row = file->path;
	require(mkdtemp(dir));
	require_ok(reference_proto_write(file, &text));
	/* In its folder: the path is part of the descriptor. */
	(void)snprintf(line, sizeof(line), "mkdir -p %s/%.*s", dir, (int)(base - file->path), file->path);
	check_int(system(line), 0);
	(void)snprintf(line, sizeof(line), "%s/%s", dir, file->path);
	f = fopen(line, "we");
	require(f);
	check_int(fwrite(text.data, 1, text.len, f), text.len);
	check_int(fclose(f), 0);
	(void)snprintf(line, sizeof(line), "cd %s && protoc -I. --descriptor_set_out=/dev/stdout %s", dir, file->path);
	if (!run(line, &(struct buf) { 0 }, &set))
		test_fail(T_HERE, "protoc: %s", buf_text(&set));
	proto_descriptor(file, &ours);
	proto_add_bytes(&wrapped, 1, ours.data, ours.len);
	check_int(wrapped.len, set.len);
	check(wrapped.len == set.len && !memcmp(wrapped.data, set.data, set.len));
	(void)snprintf(line, sizeof(line), "rm -r %s", dir);
	check_int(system(line), 0);
	test_row = NULL;
}

TEST(our_descriptor_is_what_protoc_makes_of_our_file)
{
	const struct proto_file *file = export_proto_file();

	if (!has_protoc())
		skip("no-protoc");
	require(file);
	check_descriptor(file);
}

TEST(numbers_are_given_once)
{
	for (size_t i = 0; i < proto_n_numbers; i++)
		for (size_t k = i + 1; k < proto_n_numbers && proto_numbers[k].kind == proto_numbers[i].kind; k++)
			if (proto_numbers[i].number == proto_numbers[k].number ||
			    (!strcmp(proto_numbers[i].field, proto_numbers[k].field) &&
			     !strcmp(proto_numbers[i].type, proto_numbers[k].type)))
				test_fail(T_HERE, "%#x: %s and %s", proto_numbers[i].kind, proto_numbers[i].field,
					  proto_numbers[k].field);
}

/* Some of the first list: clients out there were built with these. */
TEST(numbers_stay_what_they_were)
{
	static const struct proto_number were[] = {
		{ PROTO_HEAD, 3, "@timestamp", "fixed64" },
		{ PROTO_HEAD, 12, "process.name", "string" },
		{ PROTO_HEAD, 18, "process.thread.user_stack", "repeated fixed64" },
		{ 0x0101, 1, "process.child.pid", "uint32" },
		{ 0x0301, 3, "destination.ip", "bytes" },
		{ 0x0301, 11, "event.duration", "uint64" },
	};

	for (size_t w = 0; w < countof(were); w++) {
		bool found = false;

		for (size_t i = 0; i < proto_n_numbers; i++)
			found |= proto_numbers[i].kind == were[w].kind && proto_numbers[i].number == were[w].number &&
				 !strcmp(proto_numbers[i].field, were[w].field) &&
				 !strcmp(proto_numbers[i].type, were[w].type);
		if (!found)
			test_fail(T_HERE, "%#x %u %s", were[w].kind, were[w].number, were[w].field);
	}
}

/* ---- events, against an independent reader ---------------------------------------------------- */

static __u64 seed;

static __u64 draw(void)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return seed >> 20;
}

static void fill_string(struct ev_head *rec, const struct field *f)
{
	static const char long_path[] =
		"/a/rather/long/path/of/more/than/one/hundred/and/twenty-eight/bytes/so/that/its/"
		"length/takes/two/bytes/on/the/wire/and/not/one/as/others";
	static const char *const texts[] = {
		"", "x", "/usr/bin/\xc3\xa9t\xc3\xa9", "a \"quoted\" 'word' \\ \n\t\x01", long_path,
	};
	struct ev_str s = { 0 };
	char *to = (char *)rec + rec->len;
	size_t n = 0;

	switch (draw() % 5 ? f->type : FT_CONST) {
	case FT_STACK:
		rec->len = (__u16)((rec->len + 7) & ~7);
		to = (char *)rec + rec->len;
		n = 8 * (draw() % 4);
		for (size_t i = 0; i < n; i++)
			to[i] = (char)draw();
		break;
	case FT_STRS:
		for (unsigned i = 0, items = 1 + draw() % 4; i < items; i++) {
			const char *text = texts[draw() % countof(texts)];

			memcpy(to + n, text, strlen(text) + 1);
			n += strlen(text) + 1;
		}
		n--;
		break;
	case FT_CONST:
		memcpy((char *)rec + f->off, &s, sizeof(s));
		return;
	default:
		n = strlen(texts[seed % countof(texts)]);
		memcpy(to, texts[seed % countof(texts)], n + 1);
	}
	s = (struct ev_str) { rec->len, (__u16)n };
	memcpy((char *)rec + f->off, &s, sizeof(s));
	rec->len = (__u16)(rec->len + n + 1);
}

static void fill_field(struct ev_head *rec, const struct field *f)
{
	unsigned char *p = (unsigned char *)rec + f->off;

	switch (f->type) {
	case FT_STR:
	case FT_STRS:
	case FT_BYTES:
	case FT_STACK:
		fill_string(rec, f);
		return;
	case FT_BOOL:
		*p = draw() & 1;
		return;
	case FT_CHARS:
		memset(p, 0, f->size);
		memset(p, 'a' + (int)(draw() % 26), draw() % f->size);
		return;
	case FT_ADDR:
		memset(p, 0, 16);
		if (draw() % 3)
			for (size_t i = draw() % 2 ? 0 : 12; i < 16; i++)
				p[i] = (unsigned char)draw();
		if (!p[0] && p[12])
			memset(p + 10, 0xff, 2);
		return;
	default:
		memset(p, 0, f->size);
		/* Of every length, as lengths are what a number on the wire is about. */
		for (size_t i = 0, n = draw() % (f->size + 1U); i < n; i++)
			p[i] = (unsigned char)draw();
	}
}

static void make_record(const struct event_kind *kind, struct ev_head *rec)
{
	memset(rec, 0, EV_LEN_MAX);
	rec->len = (__u16)kind->size;
	for (size_t i = 0; i < kind->n_fields; i++)
		fill_field(rec, &kind->fields[i]);
	for (size_t i = 0; i < event_head_n_fields; i++)
		if (event_head_fields[i].off != offsetof(struct ev_head, class))
			fill_field(rec, &event_head_fields[i]);
	rec->id = kind->id;
	rec->class = (__u8)kind->class;
}

static void text_str(struct buf *out, const char *p, size_t n)
{
	static const char *const escapes = "\nn\rr\tt\"\"''\\\\";

	buf_char(out, '"');
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)p[i];
		const char *e = c ? strchr(escapes, c) : NULL;

		if (e && (e - escapes) % 2 == 0)
			buf_printf(out, "\\%c", e[1]);
		else if (c < 0x20 || c >= 0x7f)
			buf_printf(out, "\\%03o", c);
		else
			buf_char(out, (char)c);
	}
	buf_char(out, '"');
}

static void text_number(struct buf *out, const struct proto_field *f, const struct value *v)
{
	for (size_t i = 0; f->type == PROTO_ENUM && i < f->values->n_values; i++)
		if ((__u64)f->values->values[i].number == v->u) {
			buf_str(out, f->values->values[i].name);
			return;
		}
	if (f->type == PROTO_BOOL)
		buf_str(out, v->b ? "true" : "false");
	else if (v->type == VALUE_INT && f->type != PROTO_FIXED64)
		buf_i64(out, v->i);
	else if (f->type == PROTO_ENUM)
		buf_i64(out, (int32_t)v->u);
	else
		buf_u64(out, v->u);
}

static void text_field(struct buf *out, const char *indent, const struct proto_field *f, const struct value *v)
{
	static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (v->type == VALUE_LIST) {
		for (size_t i = 0; i < v->list.n; i++)
			text_field(out, indent, f, &v->list.items[i]);
		return;
	}
	buf_printf(out, "%s%s: ", indent, f->name);
	if (v->type == VALUE_IP && !memcmp(v->ip.bytes, mapped, sizeof(mapped)))
		text_str(out, (const char *)v->ip.bytes + 12, 4);
	else if (v->type == VALUE_IP)
		text_str(out, (const char *)v->ip.bytes, 16);
	else if (v->type == VALUE_STR)
		text_str(out, v->s.p, v->s.n);
	else
		text_number(out, f, v);
	buf_char(out, '\n');
}

/* Does protobuf leave it out? */
static bool is_nothing(const struct proto_field *f, const struct value *v)
{
	static const struct ev_addr none;

	if (f->optional || f->repeated)
		return false;
	if (v->type == VALUE_STR)
		return !v->s.n;
	if (v->type == VALUE_IP)
		return !memcmp(&v->ip, &none, sizeof(none));
	return v->type == VALUE_BOOL ? !v->b : !v->u;
}

static void text_message(struct buf *out, const char *indent, const struct proto_message *m, const struct ev_head *rec)
{
	static struct event_scratch scratch;

	for (size_t i = 0; i < m->n_fields; i++) {
		const struct field *row = proto_event_field(m, i);
		bool list = row && (row->type == FT_STRS || row->type == FT_STACK);
		struct value v;

		if (row && event_field_value(rec, row, list ? &scratch : NULL, &v) && !is_nothing(&m->fields[i], &v))
			text_field(out, indent, &m->fields[i], &v);
	}
}

static const struct proto_message *message_of(const struct event_kind *kind, const char **ret_name)
{
	for (size_t i = 0; i < proto_raw_event.n_fields; i++)
		if (proto_raw_event.fields[i].number == kind->id) {
			*ret_name = proto_raw_event.fields[i].name;
			return proto_raw_event.fields[i].message;
		}
	return NULL;
}

static void add_event(const struct event_kind *kind, const struct ev_head *rec, struct buf *batch, struct buf *want)
{
	const struct proto_event_meta meta = { .cursor = draw(), .lost = draw() % 3, .sampled = draw() % 3 };
	auto_free unsigned char *bytes = malloc(proto_event_bound(rec, false));
	const struct proto_message *m;
	const char *name;

	require(bytes);
	proto_add_bytes(batch, BATCH_EVENTS, bytes, (size_t)(proto_event_write(rec, &meta, bytes) - bytes));
	m = message_of(kind, &name);
	require(m);
	buf_printf(want, "events {\n  cursor: %llu\n", (unsigned long long)meta.cursor);
	if (meta.lost)
		buf_printf(want, "  lost: %llu\n", (unsigned long long)meta.lost);
	text_message(want, "  ", &proto_raw_event, rec);
	if (meta.sampled)
		buf_printf(want, "  sampled: %u\n", meta.sampled);
	buf_printf(want, "  %s {\n", name);
	text_message(want, "    ", m, rec);
	buf_str(want, "  }\n}\n");
}

static unsigned line_of_difference(const char *a, const char *b)
{
	unsigned line = 1;

	for (; *a && *a == *b; a++, b++)
		line += *a == '\n';
	return line;
}

TEST(protoc_reads_of_every_kind_what_the_tables_say)
{
	static _Alignas(8) char bytes[EV_LEN_MAX];
	auto_buf struct buf batch = { .max = TEXT_MAX_BYTES }, want = { .max = TEXT_MAX_BYTES },
			    got = { .max = TEXT_MAX_BYTES };
	const struct event_kind *kind;
	size_t kinds = 0;

	if (!has_protoc())
		skip("no-protoc");
	fuzz_kinds_register();
	require_ok(proto_event_open());
	event_clock_set((__s64)CLOCK * 1000000000);
	seed = 1;
	for (; proto_event_kind(kinds, &kind); kinds++)
		for (unsigned i = 0; i < 20; i++) {
			struct ev_head *rec = (struct ev_head *)bytes;

			make_record(kind, rec);
			add_event(kind, rec, &batch, &want);
		}
	event_clock_set(0);
	check(kinds > 40);
	check(!batch.failed && !want.failed);
	check(run("protoc -I " SHRIKE_SOURCE_DIR "/proto --decode=shrike.v1.RawEventBatch shrike/v1/export.proto",
		  &batch, &got));
	if (strcmp(buf_text(&got), buf_text(&want)) != 0) {
		unsigned line = line_of_difference(buf_text(&got), buf_text(&want));
		const char *a = buf_text(&got), *b = buf_text(&want);

		for (unsigned i = 1; i + 2 < line; i++) {
			a = strchrnul(a, '\n') + 1;
			b = strchrnul(b, '\n') + 1;
		}
		test_fail(T_HERE, "line %u:\n%.300s\n--- want\n%.300s", line, a, b);
	}
}

/* ---- what no table says ------------------------------------------------------------------------- */

static bool find(const unsigned char *p, const unsigned char *end, uint32_t number, struct proto_item *ret_item)
{
	struct proto_reader r = { p, end };
	int more;

	while ((more = proto_next(&r, ret_item)) > 0)
		if (ret_item->number == number)
			return true;
	check_int(more, 0);
	return false;
}

TEST(text_that_is_not_utf8_is_told_twice)
{
	static _Alignas(8) char bytes[EV_LEN_MAX];
	static const char path[] = "/tmp/\xff\xfe\xc3\xa9/x";
	unsigned char to[4096], *end;
	struct ev_head *rec = (struct ev_head *)bytes;
	struct proto_item item, part;
	const struct event_kind *kind;

	fuzz_kinds_register();
	require_ok(proto_event_open());
	kind = event_kind_by_name("process.exec_failed", strlen("process.exec_failed"));
	require(kind);
	*rec = (struct ev_head) { .id = kind->id, .len = (__u16)(kind->size + sizeof(path)) };
	/* The first field of the record. */
	*(struct ev_str *)(rec + 1) = (struct ev_str) { (__u16)kind->size, sizeof(path) - 1 };
	memcpy(bytes + kind->size, path, sizeof(path));
	require(event_check(rec, rec->len) == kind);
	check(proto_event_bound(rec, false) < sizeof(to));
	end = proto_event_write(rec, &(struct proto_event_meta) { 0 }, to);

	require(find(to, end, kind->id, &item));
	require(find((const unsigned char *)item.bytes.p, (const unsigned char *)item.bytes.p + item.bytes.n, 1,
		     &part));
	check_str(strndupa(part.bytes.p, part.bytes.n), "/tmp/\xef\xbf\xbd\xef\xbf\xbd\xc3\xa9/x");
	require(find(to, end, RAW_EXACT, &item));
	require(find((const unsigned char *)item.bytes.p, (const unsigned char *)item.bytes.p + item.bytes.n, 1,
		     &part));
	check_str(strndupa(part.bytes.p, part.bytes.n), "process.exec.filename");
	require(find((const unsigned char *)item.bytes.p, (const unsigned char *)item.bytes.p + item.bytes.n, 2,
		     &part));
	check_str(strndupa(part.bytes.p, part.bytes.n), path);
}

TEST(a_record_of_a_kind_without_a_table_is_sent_as_it_is)
{
	struct {
		struct ev_head head;
		__u64 more;
	} rec = { .head = { .id = EV_ID(0xfd, 3), .len = sizeof(rec), .pid = 7 }, .more = 5 };
	unsigned char to[4096], *end;
	struct proto_item item;

	require_ok(proto_event_open());
	check(proto_event_bound(&rec.head, false) < sizeof(to));
	end = proto_event_write(&rec.head, &(struct proto_event_meta) { .cursor = 1 }, to);
	require(find(to, end, 8, &item));
	check_int(item.v, 7);
	require(find(to, end, RAW_RECORD, &item));
	check_int(item.bytes.n, sizeof(rec));
	check(!memcmp(item.bytes.p, &rec, sizeof(rec)));
}
