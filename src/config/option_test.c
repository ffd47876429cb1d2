/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"
#include "base/test.h"
#include "config/test_schema.h"

static const struct option *row_named(const char *name)
{
	for (size_t i = 0; i < countof(sample_rows); i++)
		if (!strcmp(sample_rows[i].name, name))
			return &sample_rows[i];
	return NULL;
}

/* Sets one option from text; `want` is how it prints then, or the trail where `bad`. */
struct set_row {
	const char *name, *option, *text, *want;
	bool bad;
};

static const struct set_row set_rows[] = {
	{ "true", "flag", "true", "true" },
	{ "false", "flag", "false", "false" },
	{ "yes is no bool", "flag", "yes", "\"yes\" is neither true nor false", true },
	{ "True is no bool", "flag", "True", "\"True\" is neither true nor false", true },
	{ "empty is no bool", "flag", "", "\"\" is neither true nor false", true },

	{ "lowest count", "count", "5", "5" },
	{ "highest count", "count", "500", "500" },
	{ "below the lowest", "count", "4", "4 is out of range: 5 to 500", true },
	{ "above the highest", "count", "501", "501 is out of range: 5 to 500", true },
	{ "past 32 bits", "count", "4294967301", "4294967301 is out of range: 5 to 500", true },
	{ "past 64 bits", "count", "99999999999999999999", "99999999999999999999 is out of range: 5 to 500", true },
	{ "leading zeros", "count", "0010", "10" },
	{ "negative", "count", "-5", "\"-5\" is not a whole number", true },
	{ "plus sign", "count", "+5", "\"+5\" is not a whole number", true },
	{ "hexadecimal", "count", "0x10", "\"0x10\" is not a whole number", true },
	{ "fraction", "count", "5.5", "\"5.5\" is not a whole number", true },
	{ "exponent", "count", "1e2", "\"1e2\" is not a whole number", true },
	{ "a size for a count", "count", "5KiB", "\"5KiB\" is not a whole number", true },
	{ "space before", "count", " 5", "\" 5\" is not a whole number", true },
	{ "empty number", "count", "", "\"\" is not a whole number", true },

	{ "largest total", "total", "18446744073709551615", "18446744073709551615" },
	{ "one more than the largest", "total", "18446744073709551616", "18446744073709551616 is too large", true },

	{ "bytes without a unit", "size", "4096", "4KiB" },
	{ "bytes with B", "size", "5000B", "5000B" },
	{ "a space before the unit", "size", "64 KiB", "64KiB" },
	{ "MiB", "size", "1MiB", "1MiB" },
	{ "one byte above", "size", "1048577", "1048577 is out of range: 4KiB to 1MiB", true },
	{ "one byte below", "size", "4095", "4095 is out of range: 4KiB to 1MiB", true },
	{ "GiB is known, and too much", "size", "1GiB", "1GiB is out of range: 4KiB to 1MiB", true },
	{ "overflow by the unit", "size", "99999999999999GiB", "99999999999999GiB is out of range: 4KiB to 1MiB",
	  true },
	{ "KB is ambiguous", "size", "64KB", "\"64KB\" is not a size: write a number with B, KiB, MiB or GiB", true },
	{ "k is ambiguous", "size", "64k", "\"64k\" is not a size: write a number with B, KiB, MiB or GiB", true },
	{ "kib is spelled KiB", "size", "64kib", "\"64kib\" is not a size: write a number with B, KiB, MiB or GiB",
	  true },
	{ "a unit alone", "size", "KiB", "\"KiB\" is not a size: write a number with B, KiB, MiB or GiB", true },
	{ "a fraction of a unit", "size", "0.5MiB", "\"0.5MiB\" is not a size: write a number with B, KiB, MiB or GiB",
	  true },

	{ "ns", "pause", "1000000ns", "1ms" },
	{ "us", "pause", "1500us", "1500us" },
	{ "ms", "pause", "1ms", "1ms" },
	{ "s", "pause", "90s", "90s" },
	{ "m", "pause", "2m", "2m" },
	{ "h", "pause", "1h", "1h" },
	{ "a moment too long", "pause", "3600001ms", "3600001ms is out of range: 1ms to 1h", true },
	{ "a day is known, and too long", "pause", "1d", "1d is out of range: 1ms to 1h", true },
	{ "zero needs no unit", "pause", "0", "0 is out of range: 1ms to 1h", true },
	{ "a time without a unit", "pause", "10", "\"10\" is not a time: write a number with ns, us, ms, s, m, h or d",
	  true },
	{ "sec is spelled s", "pause", "10sec", "\"10sec\" is not a time: write a number with ns, us, ms, s, m, h or d",
	  true },
	{ "two units", "pause", "1m30s", "\"1m30s\" is not a time: write a number with ns, us, ms, s, m, h or d",
	  true },
	{ "time past 64 bits", "pause", "999999999999999d", "999999999999999d is out of range: 1ms to 1h", true },

	{ "text", "text", "a.b-c", "a.b-c" },
	{ "empty text", "text", "", "\"\"" },
	{ "text with a space", "text", "a b", "\"a b\"" },
	{ "text with quotes", "text", "say \"x\\\"", "\"say \\\"x\\\\\\\"\"" },
	{ "text with a line end", "text", "a\nb", "\"a\\x0ab\"" },
	{ "text that looks like a comment", "text", "#x", "\"#x\"" },
	{ "text that looks like a mapping", "text", "a:", "\"a:\"" },
	{ "the word null", "text", "null", "\"null\"" },
	{ "UTF-8", "text", "é", "\"é\"" },

	{ "path", "path", "/a/b c", "\"/a/b c\"" },
	{ "no path", "path", "", "\"\"" },
	{ "relative path", "path", "a/b", "\"a/b\" is not an absolute path", true },
	{ "home path", "path", "~/x", "\"~/x\" is not an absolute path", true },

	{ "first of an enum", "mode", "off", "off" },
	{ "last of an enum", "mode", "careful", "careful" },
	{ "an enum is case sensitive", "mode", "Fast", "\"Fast\" is none of: off, fast, careful", true },
	{ "a number is no enum", "mode", "1", "\"1\" is none of: off, fast, careful", true },

	{ "words", "words", "open, read", "[read, open]" },
	{ "no words", "words", "", "[]" },
	{ "a word twice", "words", "open, open", "[open]" },
	{ "an unknown word", "words", "open, close", "\"close\" is none of: read, write, open", true },

	{ "list", "names", "a, b b, c", "[a, \"b b\", c]" },
	{ "empty list", "names", "", "[]" },
	{ "a list too long", "names", "a, b, c, d", "4 items are too many: at most 3", true },
	{ "paths", "paths", "/a, /b", "[/a, /b]" },
	{ "paths too few", "paths", "", "0 items are too few: at least 1", true },
	{ "a relative path in a list", "paths", "/a, b", "\"b\" is not an absolute path", true },

	{ "an empty mapping", "map", "", "{}" },
	{ "a mapping from text", "map", "a: read", "a mapping is not written as text", true },
};

static const char *printed(const struct option *row, const struct sample *s, struct buf *out)
{
	buf_clear(out);
	option_print(row, s, out);
	return buf_text(out);
}

static void set_and_check(const struct set_row *r, struct sample *s, struct buf *out)
{
	const struct option *row = row_named(r->option);
	char before[256];
	int got;

	(void)snprintf(before, sizeof(before), "%s", printed(row, s, out));
	got = option_set(row, r->text, s);
	check_int(got < 0, r->bad);
	if (r->bad) {
		check_str(err_trail(), r->want);
		check_str(printed(row, s, out), before);
	} else {
		check_str(printed(row, s, out), r->want);
	}
}

TEST(every_type_takes_what_it_should_and_says_what_is_wrong)
{
	struct sample s = { 0 };
	auto_buf struct buf out = { .max = 4096 };

	require_ok(option_defaults(sample_rows, countof(sample_rows), &s));
	for_each_row (r, set_rows)
		set_and_check(r, &s, &out);
	options_clear(sample_rows, countof(sample_rows), &s);
}

TEST(texts_and_lists_are_bounded)
{
	struct sample s = { 0 };
	char text[OPTION_TEXT_MAX + 2];
	static const char *many[OPTION_LIST_MAX + 1];

	require_ok(option_defaults(sample_rows, countof(sample_rows), &s));
	memset(text, 'x', sizeof(text));
	text[OPTION_TEXT_MAX + 1] = 0;
	check_int(option_set(row_named("text"), text, &s), -E2BIG);
	check_has(err_trail(), "is longer than 4096 bytes");
	text[OPTION_TEXT_MAX] = 0;
	check_int(option_set(row_named("text"), text, &s), 0);
	for (size_t i = 0; i < countof(many); i++)
		many[i] = "/x";
	check_int(option_set_list(row_named("paths"), many, OPTION_LIST_MAX, &s), 0);
	check_int(option_set_list(row_named("paths"), many, OPTION_LIST_MAX + 1, &s), -ERANGE);
	check_str(err_trail(), "4097 items are too many: at most 4096");
	check_int(s.paths.n, OPTION_LIST_MAX);
	options_clear(sample_rows, countof(sample_rows), &s);
}

TEST(a_mapping_takes_keys_one_by_one)
{
	static const char *const one[] = { "write" }, *const two[] = { "read", "open" }, *const wrong[] = { "x" };
	const struct option *row = row_named("map");
	struct sample s = { 0 };
	auto_buf struct buf out = { .max = 4096 };

	require_ok(option_defaults(sample_rows, countof(sample_rows), &s));
	check_int(option_set_key(row, "a.b", one, 1, &s), 0);
	check_int(option_set_key(row, "c d", two, 2, &s), 0);
	check_int(option_set_key(row, "a.b", two, 0, &s), 0);
	check_str(printed(row, &s, &out), "{a.b: [], \"c d\": [read, open]}");
	check_int(option_set_key(row, "e", one, 1, &s), -ERANGE);
	check_str(err_trail(), "3 keys are too many: at most 2");
	check_int(option_set_key(row, "a.b", wrong, 1, &s), -EINVAL);
	check_str(printed(row, &s, &out), "{a.b: [], \"c d\": [read, open]}");
	options_clear(sample_rows, countof(sample_rows), &s);
}

TEST(values_are_equal_until_one_of_them_changes)
{
	static const char *const words[] = { "write" };
	struct sample a = { 0 }, b = { 0 };

	require_ok(option_defaults(sample_rows, countof(sample_rows), &a));
	require_ok(option_defaults(sample_rows, countof(sample_rows), &b));
	for (size_t i = 0; i < countof(sample_rows); i++) {
		test_row = sample_rows[i].name;
		check(option_equal(&sample_rows[i], &a, &b));
	}
	test_row = NULL;
	require_ok(option_set(row_named("flag"), "true", &a));
	require_ok(option_set(row_named("count"), "11", &a));
	require_ok(option_set(row_named("total"), "7", &a));
	require_ok(option_set(row_named("size"), "4KiB", &a));
	require_ok(option_set(row_named("pause"), "1s", &a));
	require_ok(option_set(row_named("text"), "x", &a));
	require_ok(option_set(row_named("path"), "", &a));
	require_ok(option_set(row_named("mode"), "off", &a));
	require_ok(option_set(row_named("words"), "write", &a));
	require_ok(option_set(row_named("names"), "a", &a));
	require_ok(option_set(row_named("paths"), "/etc, /var", &a));
	require_ok(option_set_key(row_named("map"), "k", words, 1, &a));
	for (size_t i = 0; i < countof(sample_rows); i++) {
		test_row = sample_rows[i].name;
		check(!option_equal(&sample_rows[i], &a, &b));
	}
	test_row = NULL;
	/* Where a mapping has its keys makes no difference. */
	require_ok(option_set_key(row_named("map"), "j", words, 1, &a));
	require_ok(option_set_key(row_named("map"), "j", words, 1, &b));
	require_ok(option_set_key(row_named("map"), "k", words, 1, &b));
	check(option_equal(row_named("map"), &a, &b));
	require_ok(option_set_key(row_named("map"), "k", words, 0, &b));
	check(!option_equal(row_named("map"), &a, &b));
	options_clear(sample_rows, countof(sample_rows), &a);
	options_clear(sample_rows, countof(sample_rows), &b);
}

TEST(rows_say_what_they_want)
{
	static const struct {
		const char *name, *wanted, *bounds;
	} rows[] = {
		{ "flag", "true or false", "" },
		{ "count", "a whole number", "5 to 500" },
		{ "total", "a whole number", "" },
		{ "size", "a size such as 64KiB", "4KiB to 1MiB" },
		{ "pause", "a time such as 10s", "1ms to 1h" },
		{ "text", "a text", "" },
		{ "path", "an absolute path", "" },
		{ "mode", "one of off, fast, careful", "" },
		{ "words", "a list of some of read, write, open", "" },
		{ "names", "a list of texts", "at most 3 items" },
		{ "paths", "a list of absolute paths", "at least 1 item" },
		{ "map", "a mapping to lists of some of read, write, open", "at most 2 keys" },
	};
	auto_buf struct buf out = { .max = 4096 };

	for_each_row (r, rows) {
		buf_clear(&out);
		option_print_wanted(row_named(r->name), &out);
		check_str(buf_text(&out), r->wanted);
		buf_clear(&out);
		(void)option_print_bounds(row_named(r->name), &out);
		check_str(buf_text(&out), r->bounds);
	}
}

TEST(a_bad_default_is_found)
{
	static const struct option bad[] = { OPTION(sample, count, OPT_U32, "4", "", .min = 5) };
	struct sample s = { 0 };

	check_int(option_defaults(bad, 1, &s), -ERANGE);
	check_str(err_trail(), "default of count: 4 is out of range: at least 5");
}
