/* SPDX-License-Identifier: Apache-2.0 */
/* utf8, clock and ip: bytes and numbers as text. */
#include "base/clock.h"
#include "base/ip.h"
#include "base/test.h"
#include "base/utf8.h"

TEST(utf8_knows_what_is_well_formed)
{
	static const struct {
		const char *name, *text;
		size_t good, bad; /* well-formed bytes; bytes that the first mark stands for */
	} rows[] = {
		{ "empty", "", 0, 0 },
		{ "ASCII", "hello, world, this is long", 26, 0 },
		{ "two bytes", "\xc2\x80\xdf\xbf", 4, 0 },
		{ "three bytes", "\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf", 12, 0 },
		{ "four bytes", "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", 8, 0 },
		{ "after eight", "01234567\xff", 8, 1 },
		{ "alone", "a\x80", 1, 1 },
		{ "overlong two", "\xc1\xbf", 0, 1 },
		{ "overlong three", "\xe0\x9f\xbf", 0, 1 },
		{ "overlong four", "\xf0\x8f\xbf\xbf", 0, 1 },
		{ "surrogate", "\xed\xa0\x80", 0, 1 },
		{ "too great", "\xf4\x90\x80\x80", 0, 1 },
		{ "five bytes", "\xf8\x88\x80\x80\x80", 0, 1 },
		{ "cut after two", "\xe2\x82", 0, 2 },
		{ "cut after three", "x\xf0\x9f\x98", 1, 3 },
		{ "cut by another", "\xf0\x9f\x98z", 0, 3 },
	};

	for_each_row (r, rows) {
		size_t n = strlen(r->text), bad = 0;

		check_int(utf8_good(r->text, n), r->good);
		if (r->good < n) {
			check_int(utf8_char(r->text + r->good, n - r->good, &bad), 0);
			check_int(bad, r->bad);
		}
	}
}

TEST(utf8_writes_what_it_reads)
{
	for (uint32_t code = 0; code < 0x110000; code += code < 0x1000 ? 1 : 77) {
		char text[UTF8_MAX];
		size_t n = utf8_put(code, text);
		bool surrogate = code >= 0xd800 && code < 0xe000;

		check_int(utf8_char(text, n, NULL), surrogate ? 0 : n);
	}
}

TEST(dates_are_read_and_written)
{
	static const struct {
		const char *name, *text;
		int64_t ns;
		const char *canonical; /* NULL: the text */
	} rows[] = {
		{ "epoch", "1970-01-01T00:00:00.000000000Z", 0, NULL },
		{ "one before", "1969-12-31T23:59:59.999999999Z", -1, NULL },
		{ "leap day", "2024-02-29T12:34:56.000000001Z", 1709210096000000001, NULL },
		{ "century that is none", "2100-03-01T00:00:00.000000000Z", 4107542400000000000, NULL },
		{ "century that is one", "2000-02-29T00:00:00.000000000Z", 951782400000000000, NULL },
		{ "last", "2262-04-11T23:47:16.854775807Z", INT64_MAX, NULL },
		{ "first", "1677-09-21T00:12:43.145224192Z", INT64_MIN, NULL },
		{ "no fraction", "1970-01-01T00:00:01Z", 1000000000, "1970-01-01T00:00:01.000000000Z" },
		{ "millis", "1970-01-01T00:00:00.25Z", 250000000, "1970-01-01T00:00:00.250000000Z" },
		{ "offset", "1970-01-01T01:00:00+01:00", 0, "1970-01-01T00:00:00.000000000Z" },
		{ "other offset", "1969-12-31T18:30:00.5-05:30", 500000000, "1970-01-01T00:00:00.500000000Z" },
		{ "small letters", "1970-01-01t00:00:00z", 0, "1970-01-01T00:00:00.000000000Z" },
		{ "leap second", "1969-12-31T23:59:60Z", 0, "1970-01-01T00:00:00.000000000Z" },
	};

	for_each_row (r, rows) {
		char text[CLOCK_TEXT + 1] = "";
		int64_t ns = 7;

		check(clock_parse(r->text, strlen(r->text), &ns));
		check_int(ns, r->ns);
		clock_format(ns, text);
		check_str(text, r->canonical ? r->canonical : r->text);
	}
}

TEST(what_is_no_date_is_refused)
{
	static const struct {
		const char *name, *text;
	} rows[] = {
		{ "empty", "" },
		{ "words", "yesterday" },
		{ "only a day", "2024-01-01" },
		{ "no zone", "2024-01-01T00:00:00" },
		{ "space", "2024-01-01 00:00:00Z" },
		{ "month", "2024-13-01T00:00:00Z" },
		{ "day", "2023-02-29T00:00:00Z" },
		{ "hour", "2024-01-01T24:00:00Z" },
		{ "second", "2024-01-01T00:00:61Z" },
		{ "point without digits", "2024-01-01T00:00:00.Z" },
		{ "ten digits", "2024-01-01T00:00:00.0000000001Z" },
		{ "more", "2024-01-01T00:00:00Zx" },
		{ "offset", "2024-01-01T00:00:00+24:00" },
		{ "too late", "2262-04-11T23:47:16.854775808Z" },
		{ "too early", "1677-09-21T00:12:43.145224191Z" },
		{ "far", "9999-12-31T23:59:59Z" },
	};

	for_each_row (r, rows) {
		int64_t ns;

		check(!clock_parse(r->text, strlen(r->text), &ns));
	}
}

TEST(dates_go_there_and_back)
{
	uint64_t state = 12345;

	for (int i = 0; i < 20000; i++) {
		char text[CLOCK_TEXT];
		int64_t ns, back;

		state = state * 6364136223846793005ULL + 1442695040888963407ULL;
		ns = (int64_t)state;
		clock_format(ns, text);
		require(clock_parse(text, sizeof(text), &back) && back == ns);
	}
}

TEST(a_mocked_clock_stands_still_until_it_is_moved)
{
	uint64_t boot = clock_boot_ns(), mono = clock_mono_ns();

	clock_mock(5000000000, 1715000000000000000);
	check_int(clock_boot_ns(), 5000000000);
	check_int(clock_mono_ns(), 5000000000);
	check_int(clock_wall_minus_boot_ns(), 1714999995000000000);
	clock_mock_move(1000);
	clock_sleep_ns(3600 * NS_PER_S); /* or this test takes an hour */
	check_int(clock_boot_ns(), 3605000001000);
	check_int(clock_wall_ns(), 1715003600000001000);
	clock_mock_end();
	check(clock_boot_ns() >= boot && clock_boot_ns() - boot < 60 * NS_PER_S);
	check(clock_mono_ns() >= mono);
}

TEST(clocks_agree)
{
	int64_t off = clock_wall_minus_boot_ns() - (clock_wall_ns() - (int64_t)clock_boot_ns());

	check(off < 1000000000 && off > -1000000000);
}

TEST(addresses_are_read_and_written)
{
	static const struct {
		const char *name, *text, *canonical;
	} rows[] = {
		{ "v4", "192.0.2.1", "192.0.2.1" },
		{ "v4 edges", "0.10.100.255", "0.10.100.255" },
		{ "mapped", "::ffff:192.0.2.1", "192.0.2.1" },
		{ "none", "::", "::" },
		{ "loopback", "::1", "::1" },
		{ "zeros at the end", "2001:db8::", "2001:db8::" },
		{ "longest run", "2001:0:0:1:0:0:0:1", "2001:0:0:1::1" },
		{ "first of equals", "2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1" },
		{ "one zero is no run", "2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1" },
		{ "small letters", "2001:DB8::ABCD", "2001:db8::abcd" },
		{ "full", "1111:2222:3333:4444:5555:6666:7777:8888", "1111:2222:3333:4444:5555:6666:7777:8888" },
		{ "compatible", "::1.2.3.4", "::102:304" },
		{ "zeros in front", "::1:2:3:4:5:6:7", "0:1:2:3:4:5:6:7" },
	};

	for_each_row (r, rows) {
		uint8_t bytes[16], again[16];
		char text[IP_TEXT];

		require(ip_parse(r->text, strlen(r->text), bytes));
		check_int(ip_format(bytes, text), strlen(text));
		check_str(text, r->canonical);
		check(ip_parse(text, strlen(text), again) && !memcmp(bytes, again, 16));
	}
}

TEST(what_is_no_address_is_refused)
{
	static const struct {
		const char *name, *text;
	} rows[] = {
		{ "empty", "" },
		{ "three parts", "1.2.3" },
		{ "five parts", "1.2.3.4.5" },
		{ "too great", "1.2.3.256" },
		{ "two gaps", "1::2::3" },
		{ "zone", "fe80::1%eth0" },
		{ "prefix", "10.0.0.0/8" },
		{ "a name", "localhost" },
		{ "letters", "::g" },
		{ "long", "11111:2222:3333:4444:5555:6666:7777:8888:9999:0000:1111" },
	};

	for_each_row (r, rows) {
		uint8_t bytes[16];

		check(!ip_parse(r->text, strlen(r->text), bytes));
	}
}
