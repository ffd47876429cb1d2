/* SPDX-License-Identifier: Apache-2.0 */
#include "hunt/needle.h"
#include <stdlib.h>
#include <string.h>
#include "base/mem.h"
#include "base/test.h"

static const char *slowly(const char *at, const char *end, const char *text, size_t n, bool fold)
{
	for (; at + n <= end; at++)
		if (fold ? !strncasecmp(at, text, n) : !memcmp(at, text, n))
			return at;
	return end;
}

/* Every place that a text can begin at, in haystacks around the width of a step, held against looking byte by byte. */
static const char *find(const char *at, const char *end, const char *text, size_t n, bool fold)
{
	struct needles set = { 0 };

	return needles_add(&set, text, n, fold) ? needle_find(&set.items[0], at, end) : NULL;
}

TEST(needles_are_found_wherever_they_begin)
{
	static const char *const texts[] = { "a", "ab", "zq", "needle", "a-long-needle-of-33-letters-it-is", "@[`{" };
	char hay[128];

	for (size_t i = 0; i < countof(texts); i++) {
		const char *text = texts[i];
		size_t n = strlen(text);

		for (size_t len = 0; len < 90; len++)
			for (size_t at = 0; at + n <= len; at++)
				for (int fold = 0; fold < 2; fold++) {
					const char *want;

					memset(hay, 'x', sizeof(hay));
					memcpy(hay + at, text, n);
					if (fold)
						hay[at] ^= hay[at] >= 'a' && hay[at] <= 'z' ? 0x20 : 0;
					/* What looks nearly the same comes first. */
					if (at > n)
						hay[at - n - 1] = text[0], hay[at - 2] = text[n - 1];
					want = slowly(hay, hay + len, text, n, fold);
					if (find(hay, hay + len, text, n, fold) != want)
						test_fail(T_HERE, "\"%s\" at %zu of %zu, fold %d", text, at, len, fold);
				}
	}
	/* 0x20 more does not make a letter of everything. */
	hay[0] = 1;
	check(find(hay, hay + 1, "!", 1, true) == hay + 1);
	memcpy(hay, "[\\]^_@", 6);
	check(find(hay, hay + 6, "{", 1, true) == hay + 6);
	check(find(hay, hay + 6, "`", 1, true) == hay + 6);
}

TEST(the_nearest_of_several_needles_is_next)
{
	static const char text[] = "one two THREE two four one";
	const char *end = text + sizeof(text) - 1;
	struct needles set = { 0 };

	require(needles_add(&set, "three", 5, true) && needles_add(&set, "one", 3, false) &&
		needles_add(&set, "two", 3, false));
	check(needles_add(&set, "Three", 5, true));
	check_int((long)set.n, 3);
	check(!needles_add(&set, "", 0, false));
	needles_begin(&set, text, end);
	check_int(needles_next(&set, text) - text, 0);
	check_int(needles_next(&set, text + 1) - text, 4);
	check_int(needles_next(&set, text + 5) - text, 8);
	check_int(needles_next(&set, text + 9) - text, 14);
	check_int(needles_next(&set, text + 15) - text, 23);
	check(needles_next(&set, text + 24) == end);
	for (size_t i = 0; i < NEEDLES_MAX; i++)
		(void)needles_add(&set, (const char[]) { 'k', (char)('a' + i) }, 2, false);
	check_int((long)set.n, NEEDLES_MAX);
	check(!needles_add(&set, "another", 7, false));
}
