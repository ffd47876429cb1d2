/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks read back bit for bit, and refuse what was changed. */
#include "store/segment/block.h"
#include <stdalign.h>
#include <string.h>
#include "base/crc.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/test.h"
#include "context/context.h"
#include "store/segment/test_records.h"

static void check_block(const struct block_head *head, const char *bytes, __u64 first, size_t n)
{
	AUTO(block) b = NULL;
	static alignas(8) unsigned char got[EV_LEN_MAX];
	struct test_record want;

	require_ok(block_open(&b));
	require_ok(block_read_heads(b, head, bytes));
	require_ok(block_read_bodies(b, bytes + head->heads_size));
	check_int(head->records, n);
	for (unsigned i = 0; i < n; i++) {
		size_t len = block_record(b, i, (struct ev_head *)(void *)got);

		test_record_make(&want, first + i);
		if (len != want.head.len || memcmp(got, &want, len) != 0)
			test_fail(T_HERE, "record %u is not what was put", i);
		check_int(b->time_ns[i], want.head.time_ns);
		check(block_may_have_pid(head, want.head.pid));
		check(block_may_have_comm(head, want.head.comm));
		check(block_may_have_cgroup(head, want.head.cgroup_id));
		check(block_may_have_id(head, want.head.id));
		check(want.head.time_ns >= head->min_ns && want.head.time_ns <= head->max_ns);
	}
}

TEST(records_read_back_bit_for_bit)
{
	AUTO(block_maker) m = NULL;
	auto_buf struct buf out = { .max = 64 << 20 };
	struct test_record rec;
	__u64 first = 0, n = 0;

	test_kinds_register();
	require_ok(block_maker_open(&m));
	while (n < 30000) {
		struct block_head head;

		test_record_make(&rec, n);
		if (block_put(m, &rec.head)) {
			n++;
			continue;
		}
		buf_clear(&out);
		require_ok(block_make(m, 0, 7, &out));
		memcpy(&head, out.data, sizeof(head));
		require(block_head_is_sound(&head));
		check_int(head.lost, 7);
		check_int(out.len, sizeof(head) + head.heads_size + head.bodies_size);
		check_block(&head, out.data + sizeof(head), first, n - first);
		first = n;
	}
	check(first > 0);
}

TEST(a_changed_byte_is_noticed)
{
	AUTO(block_maker) m = NULL;
	AUTO(block) b = NULL;
	auto_buf struct buf out = { .max = 64 << 20 };
	struct test_record rec;

	test_kinds_register();
	require_ok(block_maker_open(&m));
	require_ok(block_open(&b));
	for (__u64 i = 0; i < 50; i++) {
		test_record_make(&rec, i);
		require(block_put(m, &rec.head));
	}
	require_ok(block_make(m, 0, 0, &out));
	for (size_t i = 0; i < out.len; i++) {
		const char *bytes = out.data + sizeof(struct block_head);
		struct block_head head;
		bool sound;

		out.data[i] ^= 0x10;
		memcpy(&head, out.data, sizeof(head));
		sound = block_head_is_sound(&head) && block_read_heads(b, &head, bytes) == 0 &&
			block_read_bodies(b, bytes + head.heads_size) == 0;
		if (sound)
			test_fail(T_HERE, "a change of byte %zu is not noticed", i);
		out.data[i] ^= 0x10;
	}
}

TEST(a_filter_rules_most_others_out)
{
	AUTO(block_maker) m = NULL;
	auto_buf struct buf out = { .max = 64 << 20 };
	struct block_head head;
	unsigned maybe = 0;

	test_kinds_register();
	require_ok(block_maker_open(&m));
	for (__u32 i = 0; i < 500; i++) {
		struct test_record rec;

		test_record_make(&rec, i);
		rec.head.pid = 1000 + i;
		require(block_put(m, &rec.head));
	}
	require_ok(block_make(m, 0, 0, &out));
	memcpy(&head, out.data, sizeof(head));
	for (__u32 pid = 100000; pid < 110000; pid++)
		maybe += block_may_have_pid(&head, pid);
	/* 500 pids of 3 bits in 8192: (0.17)^3, so 0.5 %. */
	check(maybe < 100);
}
