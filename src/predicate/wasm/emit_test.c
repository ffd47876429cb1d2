/* SPDX-License-Identifier: Apache-2.0 */
#include "predicate/wasm/emit.h"
#include <stdio.h>
#include "base/test.h"

static const char *hex(const struct buf *b)
{
	static char text[256];
	size_t n = 0;

	text[0] = 0;
	for (size_t i = 0; i < b->len && n + 3 < sizeof(text); i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%02x", (unsigned char)b->data[i]);
	return text;
}

TEST(numbers_are_written_in_as_few_bytes_as_they_need)
{
	static const struct {
		const char *name;
		int64_t v;
		const char *as_unsigned, *as_signed;
	} rows[] = {
		{ "nothing", 0, "00", "00" },
		{ "the last of one byte with a sign", 63, "3f", "3f" },
		{ "one more", 64, "40", "c000" },
		{ "the last of one byte", 127, "7f", "ff00" },
		{ "one more", 128, "8001", "8001" },
		{ "of the format's description", 624485, "e58e26", "e58e26" },
		{ "all bits of 32", 0xffffffff, "ffffffff0f", "ffffffff0f" },
		{ "minus one", -1, "ffffffffffffffffff01", "7f" },
		{ "minus 64", -64, "c0ffffffffffffffff01", "40" },
		{ "minus 65", -65, "bfffffffffffffffff01", "bf7f" },
		{ "the least", INT64_MIN, "80808080808080808001", "8080808080808080807f" },
		{ "the most", INT64_MAX, "ffffffffffffffff7f", "ffffffffffffffffff00" },
	};

	for_each_row (r, rows) {
		auto_buf struct buf b = { .max = 64 };

		emit_unsigned(&b, (uint64_t)r->v);
		check_str(hex(&b), r->as_unsigned);
		buf_clear(&b);
		emit_signed(&b, r->v);
		check_str(hex(&b), r->as_signed);
	}
}

TEST(what_has_a_size_says_it_when_it_is_closed)
{
	auto_buf struct buf b = { .max = 1 << 16 };
	size_t section, body;

	section = emit_section(&b, EMIT_CODE);
	body = emit_open(&b);
	emit_i32(&b, -2);
	emit_op(&b, OP_END);
	emit_close(&b, body);
	emit_close(&b, section);
	check_str(hex(&b), "0a"
			   "8880808000"
			   "8380808000"
			   "417e0b");
	buf_clear(&b);
	section = emit_open(&b);
	for (int i = 0; i < 200; i++)
		emit_byte(&b, 0);
	emit_close(&b, section);
	check_int((unsigned char)b.data[0], 0xc8);
	check_int((unsigned char)b.data[1], 0x81);
}

TEST(instructions_are_what_the_format_says)
{
	auto_buf struct buf b = { .max = 256 };

	emit_head(&b);
	check_str(hex(&b), "0061736d01000000");
	buf_clear(&b);
	emit_signature(&b, "il", "i");
	check_str(hex(&b), "60027f7e017f");
	buf_clear(&b);
	emit_name(&b, "run");
	check_str(hex(&b), "0372756e");
	buf_clear(&b);
	emit_load(&b, OP_I32_LOAD, 100);
	emit_load(&b, OP_I64_LOAD, 0);
	check_str(hex(&b), "41e400"
			   "280200"
			   "4100"
			   "290300");
	buf_clear(&b);
	emit_op_of(&b, OP_BLOCK, EMIT_I32);
	emit_i64(&b, 0x6873);
	emit_op_of(&b, OP_BR_IF, 200);
	check_str(hex(&b), "027f"
			   "42f3d001"
			   "0dc801");
}

TEST(a_full_buffer_says_so_and_is_not_written_behind)
{
	auto_buf struct buf b = { .max = 8 };
	size_t section = emit_section(&b, EMIT_CODE);

	for (int i = 0; i < 100; i++)
		emit_i64(&b, INT64_MIN);
	emit_close(&b, section);
	check(b.failed);
}
