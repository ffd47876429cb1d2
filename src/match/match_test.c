/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "base/err.h"
#include "base/ip.h"
#include "base/test.h"
#include "match/cidr.h"
#include "match/fold.h"

TEST(folding_is_one_character_for_one)
{
	static const struct {
		const char *name, *text, *want;
	} rows[] = {
		{ "ASCII", "Az@[`{09", "az@[`{09" },
		{ "Latin", "\xc3\x89", "\xc3\xa9" },
		{ "Greek, the last sigma too", "\xce\xa3\xcf\x82", "\xcf\x83\xcf\x83" },
		{ "sharp s stays", "\xc3\x9f", "\xc3\x9f" },
		{ "large sharp s", "\xe1\xba\x9e", "\xc3\x9f" },
		{ "Kelvin", "\xe2\x84\xaa", "k" },
		{ "grows", "\xc8\xba", "\xe2\xb1\xa5" },
		{ "stray bytes", "A\xff\xc3", "a\xff\xc3" },
		{ "Deseret", "\xf0\x90\x90\x80", "\xf0\x90\x90\xa8" },
	};
	char to[64];

	for_each_row (r, rows) {
		size_t n = fold_text(r->text, strlen(r->text), to);

		to[n] = 0;
		check_str(to, r->want);
		check(fold_equal(r->text, strlen(r->text), r->want, strlen(r->want)));
		check(fold_hash(r->text, strlen(r->text), 7) == fold_hash(r->want, strlen(r->want), 7));
	}
}

TEST(every_fold_is_undone)
{
	for (uint32_t c = 0; c < 0x20000; c++) {
		uint32_t others[FOLD_CLASS_MAX];
		size_t n = fold_unfold(fold_code(c), others, FOLD_CLASS_MAX);
		bool found = fold_code(c) == c;

		for (size_t i = 0; i < n; i++)
			found |= others[i] == c;
		check(found && n < FOLD_CLASS_MAX);
		check(fold_code(fold_code(c)) == fold_code(c));
	}
}

TEST(parts_are_found_without_case)
{
	size_t n;

	check_int((long long)fold_find("xx\xe2\x84\xaa"
				       "elvin",
				       10, "KEL", 3, &n),
		  2);
	check_int((long long)n, 5);
	check(fold_find("abc", 3, "d", 1, NULL) == SIZE_MAX);
	check_int((long long)fold_find("abc", 3, "", 0, NULL), 0);
	check(fold_ends("TEMP\xe2\x84\xaa", 7, "pk", 2));
	check(fold_ends("pk", 2, "\xe2\x84\xaa", 3));
	check(!fold_ends("a", 1, "aa", 2));
	check(fold_compare("a", 1, "B", 1) < 0);
	check(fold_compare("A", 1, "a", 1) == 0);
	check(fold_compare("ab", 2, "a", 1) > 0);
}

TEST(blocks_of_addresses)
{
	static const struct {
		const char *name, *blocks[4], *address;
		int want; /* -1: refused */
	} rows[] = {
		{ "inside", { "10.0.0.0/8" }, "10.255.255.255", 1 },
		{ "one past", { "10.0.0.0/8" }, "11.0.0.0", 0 },
		{ "host bits set", { "10.6.48.157/8" }, "10.1.2.3", 1 },
		{ "odd prefix", { "119.176.118.112/29" }, "119.176.118.119", 1 },
		{ "odd prefix, one past", { "119.176.118.112/29" }, "119.176.118.120", 0 },
		{ "an address alone", { "::1" }, "::1", 1 },
		{ "an address alone, another", { "::1" }, "::2", 0 },
		{ "IPv6", { "2001:db8::/32" }, "2001:0db8:0000:0000:0000:0000:0000:0001", 1 },
		{ "IPv4 is not in IPv6", { "fe80::/10" }, "10.0.0.1", 0 },
		{ "several", { "192.168.0.0/16", "fe80::/10", "10.0.0.0/8" }, "fe80::1", 1 },
		{ "within each other", { "10.0.0.0/8", "10.1.0.0/16" }, "10.200.0.1", 1 },
		{ "all of IPv4", { "0.0.0.0/0" }, "255.255.255.255", 1 },
		{ "all of IPv4 has no IPv6", { "0.0.0.0/0" }, "::2", 0 },
		{ "none", { 0 }, "10.0.0.1", 0 },
		{ "prefix too long", { "10.0.0.0/33" }, "10.0.0.0", -1 },
		{ "prefix of IPv6 too long", { "::/129" }, "::", -1 },
		{ "no prefix", { "10.0.0.0/" }, "10.0.0.0", -1 },
		{ "no address", { "10.0.0/8" }, "10.0.0.0", -1 },
	};

	for_each_row (r, rows) {
		AUTO(cidr_set) set = NULL;
		struct str blocks[4];
		uint8_t address[16];
		size_t n = 0;
		int e;

		for (; n < 4 && r->blocks[n]; n++)
			blocks[n] = (struct str) { r->blocks[n], strlen(r->blocks[n]) };
		e = cidr_set_build(blocks, n, &set);
		check_int(e, r->want < 0 ? -EINVAL : 0);
		require(ip_parse(r->address, strlen(r->address), address));
		if (e == 0)
			check_int(cidr_set_has(set, address), r->want);
	}
}
