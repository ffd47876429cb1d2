/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include "base/err.h"
#include "base/test.h"
#include "match/fold.h"
#include "match/multi.h"

enum { MOST = 16 };

struct found {
	bool is[MOST];
};

static void hit(void *ctx, uint32_t literal)
{
	((struct found *)ctx)->is[literal] = true;
}

static const struct multi_literal literals[] = {
	{ { "he", 2 }, MULTI_ANYWHERE }, { { "she", 3 }, MULTI_ANYWHERE }, { { "hers", 4 }, MULTI_ANYWHERE },
	{ { "us", 2 }, MULTI_BEGIN },    { { "us", 2 }, MULTI_END },       { { "us", 2 }, MULTI_WHOLE },
	{ { "", 0 }, MULTI_WHOLE },      { { "us", 2 }, MULTI_END },       { { "\xc3\xa9t", 3 }, MULTI_ANYWHERE },
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

TEST(an_empty_literal_is_refused)
{
	static const struct multi_literal empty = { { "", 0 }, MULTI_BEGIN };
	AUTO(multi) m = NULL;

	check_int(multi_build(&empty, 1, &m), -EINVAL);
	require_ok(multi_build(NULL, 0, &m));
	multi_scan(m, "abc", 3, hit, NULL);
}

static unsigned seed;

static unsigned next_random(unsigned n)
{
	seed = seed * 1103515245 + 12345;
	return (seed >> 16) % n;
}

/* The last is a letter of three bytes that folds to k. */
static size_t random_text(char *to, size_t letters)
{
	static const char *const all[] = { "a", "b", "A", "B", "k", "\xc3\xa9", "\xc3\x89", "\xe2\x84\xaa" };
	unsigned kinds = next_random(2) ? countof(all) : 3;
	size_t n = 0;

	while (letters--) {
		const char *letter = all[next_random(kinds)];

		memcpy(to + n, letter, strlen(letter));
		n += strlen(letter);
	}
	return n;
}

/* Against looking for each on its own. Now and then a text is as long as several parts that are folded. */
TEST(random_literals_are_found_like_one_by_one)
{
	static char room[MOST][MULTI_LITERAL_MAX], raw[3 * 4000], text[3 * 4000];
	struct multi_literal l[MOST];

	seed = 1;
	for (int round = 0; round < 4000; round++) {
		size_t n = random_text(text, round % 50 == 0 ? 1000 + next_random(3000) : next_random(24));
		AUTO(multi) m = NULL;
		struct found f = { 0 };

		for (unsigned i = 0; i < MOST; i++) {
			size_t len = random_text(raw, 1 + next_random(i == 0 ? 60 : 7));

			/* Some are there for certain, where they must be. */
			if (next_random(4) == 0 && n > 40)
				memcpy(i % 4 & MULTI_BEGIN ? text : text + n - len, raw, i < 4 && len < n ? len : 0);
			l[i] = (struct multi_literal) { { room[i], fold_text(raw, len, room[i]) },
							(enum multi_where)(i % 4) };
		}
		if (!utf8_is_valid(text, n))
			continue;
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

/* Of every place in a long text, those where parts that are folded meet among them. */
TEST(a_literal_is_found_wherever_it_stands)
{
	static const struct multi_literal needle = { { "needle with \xc3\xa9", 14 }, MULTI_ANYWHERE };
	static char text[2600];
	AUTO(multi) m = NULL;

	require_ok(multi_build(&needle, 1, &m));
	for (size_t at = 0; at + needle.text.n <= sizeof(text); at++) {
		struct found f = { 0 };

		memset(text, at % 2 ? 'x' : 'X', sizeof(text));
		memcpy(text + at, "Needle WITH \xc3\x89", needle.text.n);
		multi_scan(m, text, sizeof(text), hit, &f);
		require(f.is[0]);
	}
}

TEST(literals_beyond_their_bounds_are_refused)
{
	static char text[MULTI_LITERAL_MAX + 1];
	struct multi_literal l = { { text, sizeof(text) }, MULTI_ANYWHERE };
	AUTO(multi) m = NULL;

	memset(text, 'a', sizeof(text));
	check_int(multi_build(&l, 1, &m), -E2BIG);
	l.text.n--;
	require_ok(multi_build(&l, 1, &m));
	check(multi_size(m) > 0);
}
