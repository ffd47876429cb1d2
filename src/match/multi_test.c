/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "base/err.h"
#include "base/test.h"
#include "match/fold.h"
#include "match/multi.h"

enum { MOST = 16 };

struct found {
	bool is[MOST];
	size_t end[MOST];
};

static void hit(void *ctx, uint32_t literal, size_t end)
{
	((struct found *)ctx)->is[literal] = true;
	((struct found *)ctx)->end[literal] = end;
}

static const struct multi_literal literals[] = {
	{ { "he", 2 }, MULTI_ANYWHERE }, { { "she", 3 }, MULTI_ANYWHERE }, { { "HERS", 4 }, MULTI_ANYWHERE },
	{ { "us", 2 }, MULTI_BEGIN },    { { "us", 2 }, MULTI_END },       { { "us", 2 }, MULTI_WHOLE },
	{ { "", 0 }, MULTI_WHOLE },      { { "us", 2 }, MULTI_END },       { { "\xc3\x89t", 3 }, MULTI_ANYWHERE },
};

TEST(one_scan_finds_all_literals)
{
	static const struct {
		const char *name, *text, *want; /* one digit for each that is there */
	} rows[] = {
		{ "within each other", "ushers", "0123" },
		{ "whole, begin and end", "US", "3457" },
		{ "at the end", "bus", "47" },
		{ "at the begin", "usa", "3" },
		{ "empty", "", "6" },
		{ "none", "x", "" },
		{ "beyond ASCII", "\xc3\xa9T\xc3\xa9", "8" },
	};
	AUTO(multi) m = NULL;

	require_ok(multi_build(literals, countof(literals), &m));
	for_each_row (r, rows) {
		struct found f = { 0 };

		multi_scan(m, r->text, strlen(r->text), hit, &f);
		for (size_t i = 0; i < countof(literals); i++)
			check_int(f.is[i], strchr(r->want, (int)('0' + i)) != NULL);
	}
}

TEST(literals_at_the_begin_alone_are_found_too)
{
	AUTO(multi) m = NULL;
	struct found f = { 0 };

	require_ok(multi_build(literals + 3, 1, &m));
	multi_scan(m, "user", 4, hit, &f);
	check(f.is[0]);
	f.is[0] = false;
	multi_scan(m, "xus", 3, hit, &f);
	check(!f.is[0]);
}

TEST(it_is_said_where_a_literal_ends)
{
	AUTO(multi) m = NULL;
	struct found f = { 0 };

	require_ok(multi_build(literals, countof(literals), &m));
	multi_scan(m, "ushersXus", 9, hit, &f);
	check_int(f.end[0], 4);
	check_int(f.end[2], 6);
	check_int(f.end[3], 2);
	check_int(f.end[4], 9);
}

TEST(an_empty_literal_is_refused)
{
	static const struct multi_literal empty = { { "", 0 }, MULTI_BEGIN };
	AUTO(multi) m = NULL;

	check_int(multi_build(&empty, 1, &m), -EINVAL);
	require_ok(multi_build(NULL, 0, &m));
	multi_scan(m, "abc", 3, hit, NULL);
}

/* Against looking for each on its own. */
TEST(random_literals_are_found_like_one_by_one)
{
	static char room[64][8];
	struct multi_literal l[MOST];
	unsigned seed = 1;

	for (int round = 0; round < 3000; round++) {
		char text[24];
		size_t n = (size_t)(seed >> 8) % sizeof(text);
		AUTO(multi) m = NULL;
		struct found f = { 0 };

		for (int i = 0; i < MOST; i++) {
			size_t len = 1 + (seed = seed * 1103515245 + 12345, (seed >> 16) % 4);

			for (size_t k = 0; k < len; k++)
				room[i][k] = "abAB"[(seed = seed * 1103515245 + 12345, (seed >> 16) % 4)];
			l[i] = (struct multi_literal) { { room[i], len }, (enum multi_where)(i % 4) };
		}
		for (size_t k = 0; k < n; k++)
			text[k] = "abAB"[(seed = seed * 1103515245 + 12345, (seed >> 16) % 4)];
		require_ok(multi_build(l, MOST, &m));
		multi_scan(m, text, n, hit, &f);
		for (int i = 0; i < MOST; i++) {
			const char *p = l[i].text.p;
			size_t len = l[i].text.n;
			bool want = l[i].where == MULTI_WHOLE   ? fold_equal(text, n, p, len)
				    : l[i].where == MULTI_BEGIN ? fold_starts(text, n, p, len, NULL)
				    : l[i].where == MULTI_END   ? fold_ends(text, n, p, len)
								: fold_find(text, n, p, len, NULL) != SIZE_MAX;

			check_int(f.is[i], want);
		}
	}
}
