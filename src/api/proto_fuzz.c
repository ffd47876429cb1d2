/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a request: what is taken reads back the same from what is written of it. And any
 * bytes as a record: what event_check() takes is written within its bound, as sound protobuf.
 */
#include <stdlib.h>
#include "api/export_proto.h"
#include "api/proto_event.h"
#include "event/fuzz_kinds.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_twice(const struct proto_message *m, void *one, void *two, const uint8_t *data, size_t size)
{
	static struct arena arena = { .max = 1 << 20 };
	static struct buf out = { .max = 1 << 20 }, again = { .max = 1 << 20 };

	arena_reset(&arena);
	if (proto_read(m, data, size, &arena, one) < 0)
		return;
	buf_clear(&out);
	buf_clear(&again);
	proto_write(m, one, &out);
	if (out.failed)
		return;
	if (proto_read(m, buf_text(&out), out.len, &arena, two) < 0) {
		if (!arena.failed)
			abort();
		return;
	}
	proto_write(m, two, &again);
	if (again.len != out.len || (out.len && memcmp(again.data, out.data, out.len) != 0))
		abort();
}

static void write_record(const uint8_t *data, size_t size)
{
	static _Alignas(8) unsigned char bytes[EV_LEN_MAX];
	static unsigned char to[16 * EV_LEN_MAX + 65536];
	const struct proto_event_meta meta = {
		.cursor = UINT64_MAX, .lost = UINT64_MAX, .sampled = UINT32_MAX, .with_record = size & 1
	};
	struct ev_head *head = (struct ev_head *)bytes;
	struct proto_item item;
	struct proto_reader r;
	size_t n, bound;
	int more;

	if (size < sizeof(*head) || size > sizeof(bytes))
		return;
	memcpy(bytes, data, size);
	head->len = (__u16)size;
	if (!event_check(bytes, size))
		return;
	bound = proto_event_bound(head, meta.with_record);
	if (bound > sizeof(to))
		abort();
	memset(to + bound, 0x5a, 8);
	n = (size_t)(proto_event_write(head, &meta, to) - to);
	if (n > bound || memcmp(to + bound, "\x5a\x5a\x5a\x5a\x5a\x5a\x5a\x5a", 8) != 0)
		abort();
	for (r = (struct proto_reader) { to, to + n }; (more = proto_next(&r, &item)) > 0;) {
		struct proto_reader in;
		struct proto_item field;
		int within;

		if (item.number < RAW_KIND_FIRST)
			continue;
		in = (struct proto_reader) { (const unsigned char *)item.bytes.p,
					     (const unsigned char *)item.bytes.p + item.bytes.n };
		while ((within = proto_next(&in, &field)) > 0)
			;
		if (within < 0)
			abort();
	}
	if (more < 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct stream_request streams[2];
	struct query_request queries[2];

	if (!event_kind_at(0))
		fuzz_kinds_register();
	if (proto_event_open() < 0)
		abort();
	read_twice(&stream_request_message, &streams[0], &streams[1], data, size);
	read_twice(&query_request_message, &queries[0], &queries[1], data, size);
	write_record(data, size);
	return 0;
}
