/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/text.h"
#include <stdlib.h>
#include "base/json.h"
#include "base/mem.h"
#include "base/test.h"

TEST(nothing_that_a_terminal_acts_on_gets_through)
{
	static const struct {
		const char *name, *text, *want;
	} rows[] = {
		{ "plain", "/usr/bin/ls -la", "/usr/bin/ls -la" },
		{ "other scripts", "/tmp/\u00fcber/\u65e5\u672c", "/tmp/\u00fcber/\u65e5\u672c" },
		{ "colour", "a\033[31mb", "a\\x1b[31mb" },
		{ "title of the window", "\033]0;x\007", "\\x1b]0;x\\x07" },
		{ "line ends", "a\nb\r\tc", "a\\nb\\r\\tc" },
		{ "backspace and delete", "a\bb\177", "a\\x08b\\x7f" },
		{ "C1 control in UTF-8",
		  "\xc2\x9b"
		  "31m",
		  "\\x9b31m" },
		{ "C1 control as a byte",
		  "\x9b"
		  "31m",
		  "\\x9b31m" },
		{ "right to left", "a\u202eb\u2066c", "a\\u202eb\\u2066c" },
		{ "what cannot be seen", "a\u200bb\ufeffc\u00add", "a\\u200bb\\ufeffc\\xadd" },
		{ "no UTF-8", "a\xff\xc3", "a\\xff\\xc3" },
		{ "overlong", "\xc0\xaf\xe0\x80\xaf", "\\xc0\\xaf\\xe0\\x80\\xaf" },
		{ "a surrogate", "\xed\xa0\x80", "\\xed\\xa0\\x80" },
		{ "cut in the middle", "\xe6\x97", "\\xe6\\x97" },
		{ "line separator", "a\u2028b", "a\\u2028b" },
		{ "tags", "\U000e0041", "\\ue0041" },
	};
	auto_buf struct buf out = { 0 };

	buf_init(&out, 4096);
	for_each_row (r, rows) {
		buf_clear(&out);
		text_safe(&out, r->text, strlen(r->text));
		check_str(buf_text(&out), r->want);
	}
}

TEST(no_bytes_at_all_get_a_control_character_through)
{
	unsigned seed = 20240229;
	auto_buf struct buf out = { 0 };
	char bytes[64];

	buf_init(&out, 1 << 16);
	for (int round = 0; round < 20000; round++) {
		size_t n = (size_t)rand_r(&seed) % sizeof(bytes);

		for (size_t i = 0; i < n; i++)
			bytes[i] = (char)(rand_r(&seed) % 4 ? rand_r(&seed) : 0xc0 + rand_r(&seed) % 64);
		buf_clear(&out);
		text_safe(&out, bytes, n);
		text_word(&out, bytes, n);
		text_safe_json(&out, bytes, n);
		for (size_t i = 0; i < out.len; i++) {
			unsigned char c = (unsigned char)out.data[i];

			require(c >= 0x20 && c != 0x7f);
			require(!(c == 0xc2 && (unsigned char)out.data[i + 1] < 0xa0));
		}
	}
}

TEST(words_are_quoted_as_a_shell_would_read_them)
{
	static const struct {
		const char *name, *want;
	} rows[] = {
		{ "ls", "ls" },          { "", "''" },
		{ "a b", "'a b'" },      { "it's", "'it'\\''s'" },
		{ "$x", "'$x'" },        { "--a=b,c", "--a=b,c" },
		{ "a\nb", "'a\\nb'" },   { "[kworker/0:1]", "[kworker/0:1]" },
		{ "a\033b", "a\\x1bb" },
	};
	auto_buf struct buf out = { 0 };

	buf_init(&out, 4096);
	for_each_row (r, rows) {
		buf_clear(&out);
		text_word(&out, r->name, strlen(r->name));
		check_str(buf_text(&out), r->want);
	}
}

TEST(json_lines_keep_their_values_without_control_characters)
{
	static const struct json_limits limits = { 4096, 64, 8 };
	static const char line[] = "{\"a\":\"x\xc2\x9by\177z\u202e\"}";
	const struct json_node *root;
	auto_json struct json_doc doc = { 0 };
	auto_buf struct buf out = { 0 };

	json_init(&doc, &limits);
	buf_init(&out, 4096);
	text_safe_json(&out, line, strlen(line));
	check_str(buf_text(&out), "{\"a\":\"x\\u009by\\u007fz\\u202e\"}");
	check_int(json_parse(&doc, out.data, out.len, &root), 0);
	check_str(json_get(root, "a")->s, "x\xc2\x9by\177z\u202e");
}

TEST(paragraphs_are_wrapped_and_verbatim_lines_are_not)
{
	auto_buf struct buf out = { 0 };

	buf_init(&out, 4096);
	text_wrap(&out,
		  "one two three four five six seven eight nine ten eleven twelve thirteen fourteen\nfifteen\n\n"
		  "  shrike a   b\n  shrike c",
		  4, 4);
	check_str(buf_text(&out), "one two three four five six seven eight nine ten eleven twelve thirteen\n"
				  "    fourteen fifteen\n\n"
				  "      shrike a   b\n"
				  "      shrike c\n");
}

TEST(numbers_stay_short)
{
	static const struct {
		const char *name;
		uint64_t v;
		const char *time, *bytes, *number;
	} rows[] = {
		{ "nothing", 0, "0ns", "0 B", "0" },
		{ "small", 999, "999ns", "999 B", "999" },
		{ "thousands", 1500, "1us", "1.5 KiB", "1.5k" },
		{ "millions", 12345678, "12ms", "12 MiB", "12.3M" },
		{ "seconds", 1500000000, "1.5s", "1.4 GiB", "1.5G" },
		{ "minutes", 61000000000, "1m 1s", "57 GiB", "61.0G" },
		{ "hours", 3660000000000, "1h 1m", "3.3 TiB", "3.7T" },
		{ "days", 90000000000000, "1d 1h", "82 TiB", "90.0T" },
		{ "all bits", UINT64_MAX, "213503d 23h", "16777216 TiB", "18446744T" },
	};
	auto_buf struct buf out = { 0 };

	buf_init(&out, 4096);
	for_each_row (r, rows) {
		buf_clear(&out);
		text_duration(&out, r->v);
		check_str(buf_text(&out), r->time);
		buf_clear(&out);
		text_bytes(&out, r->v);
		check_str(buf_text(&out), r->bytes);
		buf_clear(&out);
		text_short(&out, (double)r->v);
		check_str(buf_text(&out), r->number);
	}
}

TEST(columns_are_as_wide_as_their_widest_cell)
{
	static const char *const titles[] = { "name", ">n", "what", NULL };
	auto_table struct table t = { 0 };
	auto_buf struct buf out = { 0 };

	table_init(&t, titles);
	buf_init(&out, 4096);
	table_cell(&t, "a");
	table_cell(&t, "%d", 1000);
	table_cell(&t, "x\ny");
	table_cell(&t, "longer");
	table_cell(&t, "%d", 1);
	table_cell(&t, "%s", "");
	table_print(&t, 1, &out);
	check_str(buf_text(&out), " name       n  what\n"
				  " a       1000  x\\ny\n"
				  " longer     1  -\n");
}
