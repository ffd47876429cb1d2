/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include "base/err.h"
#include "base/test.h"
#include "match/wildcard.h"

enum { LIST_MAX = 8 };

#define KELVIN "\xe2\x84\xaa" /* folds to k */
#define LONG_S "\xc5\xbf"     /* folds to s */
#define E_UP   "\xc3\x89"
#define E_LOW  "\xc3\xa9"

/* The same list as it is, and as an automaton. */
struct both {
	struct wildcards *w;
	struct regex *r;
};

static void both_close(struct both *b)
{
	wildcards_free(b->w);
	regex_free(b->r);
}

static bool both_of(const struct str *patterns, size_t n, struct regex_options o, struct both *ret_both)
{
	o.syntax = REGEX_WILDCARD;
	return wildcards_compile(patterns, n, &o, &ret_both->w) == 0 &&
	       regex_compile(patterns, n, &o, &ret_both->r) == 0;
}

/* 1, 0; -1: they do not agree. */
static int both_say(const struct both *b, const char *p, size_t n)
{
	bool got = wildcards_match(b->w, p, n);

	return got == regex_matches(b->r, p, n) ? got : -1;
}

#define auto_both __attribute__((cleanup(both_close)))

TEST(wildcards_are_taken_apart_at_their_stars)
{
	static const struct {
		const char *name, *pattern, *text;
		bool fold, star_only, escape;
		int want;
		size_t in_regex;
	} rows[] = {
		{ "the same", "abc", "abc", .want = 1 },
		{ "more than the text", "abcd", "abc" },
		{ "less than the text", "ab", "abc" },
		{ "nothing fits nothing", "", "", .want = 1 },
		{ "nothing fits no letter", "", "a" },
		{ "a star fits nothing", "*", "", .want = 1 },
		{ "a star fits all", "*", "abc", .want = 1 },
		{ "two stars are one", "**", "\xff", .want = 1 },
		{ "a letter is not nothing", "a*", "" },
		{ "head", "ab*", "abc", .want = 1 },
		{ "head alone", "ab*", "ab", .want = 1 },
		{ "another head", "ab*", "aab" },
		{ "head of more than eight", "/usr/local/bin/*", "/usr/local/bin/x", .want = 1 },
		{ "another head of more than eight", "/usr/local/bin/*", "/usr/lokal/bin/x" },
		{ "exact, more than eight", "/usr/local/bin", "/usr/local/bin", .want = 1 },
		{ "tail", "*bc", "abc", .want = 1 },
		{ "tail of a short text", "*.so", ".so", .want = 1 },
		{ "another tail", "*bc", "abcd" },
		{ "tail of more than eight", "*/local/bin/x", "/usr/local/bin/x", .want = 1 },
		{ "another tail of more than eight", "*/lokal/bin/x", "/usr/local/bin/x" },
		{ "inside", "*bc*", "abcd", .want = 1 },
		{ "inside at the begin", "*ab*", "abcd", .want = 1 },
		{ "inside at the end", "*cd*", "abcd", .want = 1 },
		{ "not inside", "*ac*", "abcd" },
		{ "inside at a second try", "*aab*", "aaab", .want = 1 },
		{ "head and tail", "a*d", "abcd", .want = 1 },
		{ "head and tail may not share", "aba*ba", "aba" },
		{ "head and tail side by side", "aba*ba", "ababa", .want = 1 },
		{ "pieces in order", "*a*b*c*", "xaxbxc", .want = 1 },
		{ "pieces out of order", "*a*c*b*", "xaxbxc" },
		{ "pieces may not share", "*aba*aba*", "ababa" },
		{ "pieces side by side", "*aba*aba*", "abaaba", .want = 1 },
		{ "a piece may not share with the head", "ab*b*", "ab" },
		{ "a piece may not share with the tail", "*bc*c", "abc" },
		{ "a piece before the tail", "*c*c", "acc", .want = 1 },
		{ "the first of two may be taken", "a*b*c", "abbc", .want = 1 },
		{ "more pieces than letters", "*a*a*a*", "aa" },
		{ "case", "ABC*", "abcd" },
		{ "case that does not count", "ABC*", "abCd", .fold = true, .want = 1 },
		{ "case inside", "*BC*D", "abCd", .fold = true, .want = 1 },
		{ "a letter beyond ASCII", "*" E_UP "*", "x" E_LOW "x", .fold = true, .want = 1 },
		{ "a letter beyond ASCII, case counts", "*" E_UP "*", "x" E_LOW "x" },
		{ "a text that folds to ASCII", "k*s", KELVIN "x" LONG_S, .fold = true, .want = 1 },
		{ "a pattern that folds to ASCII", KELVIN "*" LONG_S, "KxS", .fold = true, .want = 1 },
		{ "the whole text folds", "sk", LONG_S KELVIN, .fold = true, .want = 1 },
		{ "a text that folds, inside", "*ask*", "xA" LONG_S KELVIN "x", .fold = true, .want = 1 },
		{ "folding not asked for", "k*", KELVIN },
		{ "a stray byte in the text", "a*b",
		  "a\xa9"
		  "b",
		  .want = 1 },
		{ "a stray byte is another letter", "a" E_LOW "b",
		  "a\xc3"
		  "b" },
		{ "half a letter is a letter of its own", "*\xa9", "a" E_LOW, .in_regex = 1 },
		{ "half a letter begins none", "\xc3*", E_LOW, .in_regex = 1 },
		{ "half a letter", "*\xa9", "a\xa9", .want = 1, .in_regex = 1 },
		{ "a letter before a stray byte", "*" E_LOW "*", E_LOW "\xa9", .want = 1 },
		{ "a letter after a stray byte", "*" E_LOW, "\xc3" E_LOW, .want = 1 },
		{ "question mark", "a?c", "abc", .want = 1, .in_regex = 1 },
		{ "question mark as a letter", "a?c*", "a?cd", .star_only = true, .want = 1 },
		{ "question mark as no other letter", "a?c*", "abcd", .star_only = true },
		{ "escaped star", "a\\*b", "a*b", .escape = true, .want = 1 },
		{ "escaped star is no star", "a\\*b", "axb", .escape = true },
		{ "escaped star at the end", "*\\*", "ab*", .escape = true, .want = 1 },
		{ "escaped question mark", "a\\?*", "a?b", .escape = true, .want = 1 },
		{ "escaped question mark is a letter", "a\\?*", "abb", .escape = true },
		{ "escaped backslash, then a star", "a\\\\*", "a\\b", .escape = true, .want = 1 },
		{ "backslash before a letter", "a\\b", "a\\b", .escape = true, .want = 1 },
		{ "backslash at the end", "*a\\", "a\\", .escape = true, .want = 1 },
		{ "backslash not asked for", "a\\*", "a\\x", .want = 1 },
		{ "escape beyond star alone", "a\\?b*", "a?b", .star_only = true, .escape = true, .want = 1 },
	};

	for_each_row (r, rows) {
		struct regex_options o = { .fold = r->fold, .star_only = r->star_only, .escape = r->escape };
		struct str pattern = { r->pattern, strlen(r->pattern) };
		auto_both struct both b = { 0 };

		require(both_of(&pattern, 1, o, &b));
		check_int(both_say(&b, r->text, strlen(r->text)), r->want);
		check_int(wildcards_in_regex(b.w), r->in_regex);
	}
}

TEST(a_list_of_wildcards_fits_when_one_of_it_does)
{
	static const struct {
		const char *name, *pattern[LIST_MAX], *text;
		int want;
	} rows[] = {
		{ "none", { NULL }, "a" },
		{ "none, nothing", { NULL }, "" },
		{ "many inside, the last", { "*ab*", "*bc*", "*cd*", "*de*", "*ef*" }, "xxef", 1 },
		{ "many inside, the first two bytes are the same", { "*aab*", "*aac*", "*aad*", "*aae*" }, "aaae", 1 },
		{ "many inside, none", { "*ab*", "*bc*", "*cd*", "*de*", "*ef*" }, "acebd" },
		{ "many inside and a letter alone", { "*ab*", "*bc*", "*cd*", "*de*", "*x*" }, "x", 1 },
		{ "many inside and several pieces", { "*ab*", "*bc*", "*cd*", "*de*", "*x*y*" }, "-x-y-", 1 },
		{ "the last byte begins no pair", { "*ab*", "*bc*", "*cd*", "*de*" }, "a" },
		{ "heads and tails", { "a*", "b*c", "*d", "*e*f" }, "eef", 1 },
		{ "a head that begins alike", { "/bin/a*", "/bin/b*", "/bin/c" }, "/bin/bx", 1 },
		{ "one with a question mark", { "a*", "b?", "*c" }, "bx", 1 },
		{ "nothing among others", { "a*", "", "*c" }, "", 1 },
		{ "a star among others", { "a*", "*", "*c" }, "x", 1 },
	};

	for_each_row (r, rows) {
		auto_both struct both b = { 0 };
		struct str list[LIST_MAX];
		size_t n = 0;

		for (; n < LIST_MAX && r->pattern[n]; n++)
			list[n] = (struct str) { r->pattern[n], strlen(r->pattern[n]) };
		require(both_of(list, n, (struct regex_options) { 0 }, &b));
		check_int(both_say(&b, r->text, strlen(r->text)), r->want);
	}
}

static uint64_t random_state = 1;

/* The same numbers in every run. */
static unsigned pick(unsigned n)
{
	random_state = random_state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned)(random_state >> 33) % n;
}

static size_t add_letters(char *to, size_t n, bool pattern)
{
	static const char *const letters[] = { "a",   "a",    "b",    "b",        "A",  "k", "s", KELVIN, LONG_S, E_UP,
					       E_LOW, "\xc3", "\xa9", "\xe2\x84", "\\", "?", "*", "*",    "*" };
	size_t at = 0;

	for (size_t i = 0; i < n; i++) {
		const char *l = letters[pick(pattern ? countof(letters) : countof(letters) - 2)];

		memcpy(to + at, l, strlen(l));
		at += strlen(l);
	}
	return at;
}

TEST(wildcards_mean_what_automata_mean)
{
	for (int i = 0; i < 3000; i++) {
		struct regex_options o = { .fold = pick(2), .star_only = pick(2), .escape = pick(2) };
		char room[LIST_MAX][64], text[64];
		struct str list[LIST_MAX];
		auto_both struct both b = { 0 };
		size_t n = 1 + pick(LIST_MAX);

		for (size_t k = 0; k < n; k++)
			list[k] = (struct str) { room[k], add_letters(room[k], pick(7), true) };
		require(both_of(list, n, o, &b));
		for (int k = 0; k < 16; k++)
			require(both_say(&b, text, add_letters(text, pick(14), false)) >= 0);
	}
}

/* Folded part by part: what stands on the seams must be found. */
TEST(long_texts_are_searched_in_parts)
{
	static const char *const patterns[] = { "*needle*",    "*ne" E_UP "dle*ne" KELVIN "t*", "A*needle*END",
						("a*" KELVIN), "*needle*needle*needle*",        "*nEEdle",
						"b*" };
	static const int want[] = { 1, 1, 1, 0, 0, 0, 0 };
	static const char *const letters[] = { "a", E_LOW, KELVIN, "\xa9", "\xe2\x84" };
	static char text[4 * WILDCARD_CHUNK_MAX];

	for (size_t i = 0; i < countof(patterns); i++) {
		struct str pattern = { patterns[i], strlen(patterns[i]) };
		auto_both struct both b = { 0 };

		test_row = patterns[i];
		require(both_of(&pattern, 1, (struct regex_options) { .fold = true }, &b));
		for (size_t k = 0; k < 32 * countof(letters); k++) {
			const char *letter = letters[k % countof(letters)];
			size_t n = 0, len = strlen(letter), at = WILDCARD_CHUNK_MAX - 24 + k / countof(letters);

			text[n++] = 'a';
			for (; n + len <= at; n += len)
				memcpy(text + n, letter, len);
			n += (size_t)snprintf(text + n, 64, "NEEDLE ne" E_LOW "dle");
			for (; n < 2U * WILDCARD_CHUNK_MAX; n += len)
				memcpy(text + n, letter, len);
			n += (size_t)snprintf(text + n, 64, "NEKT end");
			check_int(both_say(&b, text, n), want[i]);
			check(both_say(&b, text, n - 5) >= 0);
			check(both_say(&b, text, n - 8) >= 0);
		}
	}
	test_row = NULL;
}

TEST(plain_wildcards_take_little_memory)
{
	static char room[400][32];
	static struct str patterns[400];
	struct regex_options o = { .fold = true };
	AUTO(wildcards) w = NULL;

	for (int i = 0; i < 400; i++)
		patterns[i] =
			(struct str) { room[i], (size_t)snprintf(room[i], sizeof(room[i]), "*a%db*c%dd*", i, 7 * i) };
	require_ok(wildcards_compile(patterns, 400, &o, &w));
	check_int(wildcards_in_regex(w), 0);
	check(wildcards_size(w) < 400 * 64);
	check(wildcards_match(w, "--A399B--c2793d--", 17));
	check(!wildcards_match(w, "--a399b--c2792d--", 17));
}

TEST(wildcards_are_refused_as_automata_refuse_them)
{
	static char text[REGEX_PATTERN_MAX + 2];
	static struct str many[REGEX_PATTERNS_MAX + 1];
	AUTO(wildcards) w = NULL;
	struct regex_options o = { 0 };

	memset(text, 'a', sizeof(text));
	check_int(wildcards_compile(&(struct str) { text, sizeof(text) }, 1, &o, &w), -E2BIG);
	check_int(wildcards_compile(many, REGEX_PATTERNS_MAX + 1, &o, &w), -E2BIG);
	require_ok(wildcards_compile(&(struct str) { text, WILDCARD_PIECE_MAX + 1 }, 1, &o, &w));
	check_int(wildcards_in_regex(w), 1);
	check(wildcards_match(w, text, WILDCARD_PIECE_MAX + 1));
}
