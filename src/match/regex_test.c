/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/test.h"
#include "match/regex.h"

static int compile(const char *pattern, const struct regex_options *o, struct regex **ret_regex)
{
	struct str s = { pattern, strlen(pattern) };

	return regex_compile(&s, 1, o, ret_regex);
}

/* 1: fits, 0: does not, -1: refused. By table and by states alike. */
static int fits(const char *pattern, const char *text, struct regex_options o)
{
	AUTO(regex) table = NULL;
	AUTO(regex) states = NULL;
	bool fit;

	if (compile(pattern, &o, &table) < 0)
		return -1;
	o.no_table = true;
	if (compile(pattern, &o, &states) < 0)
		return -1;
	fit = regex_matches(table, text, strlen(text));
	check_int(regex_matches(states, text, strlen(text)), fit);
	return fit;
}

TEST(lucene_patterns_fit_whole_texts)
{
	static const struct {
		const char *name, *pattern, *text;
		int want;
	} rows[] = {
		{ "a text", "abc", "abc", 1 },
		{ "not a part", "b", "abc", 0 },
		{ "empty fits empty", "", "", 1 },
		{ "empty fits nothing else", "", "a", 0 },
		{ "any character", "a.c", "a\nc", 1 },
		{ "any character beyond ASCII", "a.c",
		  "a\xc3\xa9"
		  "c",
		  1 },
		{ "a stray byte is one character", "a.c",
		  "a\xe9"
		  "c",
		  1 },
		{ "two stray bytes are two", "a.c",
		  "a\xe9\xe9"
		  "c",
		  0 },
		{ "or", "ab|cd", "cd", 1 },
		{ "optional", "ab?c", "ac", 1 },
		{ "many", "ab*c", "abbbc", 1 },
		{ "one or more", "ab+c", "ac", 0 },
		{ "so many", "a{3}", "aaa", 1 },
		{ "so many, no more", "a{3}", "aaaa", 0 },
		{ "so many at least", "a{2,}", "aaaaa", 1 },
		{ "from so many to so many", "(ab){1,2}", "abab", 1 },
		{ "none to so many", "a{0,2}b", "b", 1 },
		{ "backwards counts fit nothing", "a{2,1}", "aa", 0 },
		{ "class", "[a-c1]+", "abc1", 1 },
		{ "not in class", "[^a-c]", "d", 1 },
		{ "not in class, but is", "[^a-c]", "b", 0 },
		{ "negated class takes other letters", "[^a]", "\xe2\x82\xac", 1 },
		{ "bracket first in class", "[]a]+", "]a", 1 },
		{ "dash last in class", "[a-c-]+", "a-b", 1 },
		{ "dash first in class", "[-a]+", "a-", 1 },
		{ "digits", "\\d+\\D", "123x", 1 },
		{ "words", "\\w+\\W", "a_9-", 1 },
		{ "blanks", "\\s\\S", "\tx", 1 },
		{ "vertical tab is no blank", "\\s", "\v", 0 },
		{ "class in class", "[\\s\\d_]+", "1 _", 1 },
		{ "escaped in class", "[\\-\\]\\\\]+", "-]\\", 1 },
		{ "escaped", "a\\.b", "axb", 0 },
		{ "escaped backslash", "a\\\\b", "a\\b", 1 },
		{ "quoted", "\"a.*b\"", "a.*b", 1 },
		{ "anchors are letters", "^a$", "^a$", 1 },
		{ "empty group", "a()b", "ab", 1 },
		{ "nothing", "a#", "a", 0 },
		{ "anything", "a@b", "a xyz b", 1 },
		{ "complement", "~(abc)", "abd", 1 },
		{ "complement, but is", "~(abc)", "abc", 0 },
		{ "complement of one character", "a~bc", "axyzc", 1 },
		{ "complement of one character, but is", "a~bc", "abc", 0 },
		{ "complement twice", "~~(abc)", "abc", 1 },
		{ "both", "a.*&.*b", "axxb", 1 },
		{ "both, not one", "a.*&.*b", "axx", 0 },
		{ "both and not", ".*x.*&~(.*y.*)", "axb", 1 },
		{ "both and not, but is", ".*x.*&~(.*y.*)", "axyb", 0 },
		{ "and binds stronger than or", "a&b|c", "c", 1 },
		{ "a complement repeated", "(~(ab)c){2}", "xcyc", 1 },
		{ "numbers", "<1-100>", "42", 1 },
		{ "numbers, too large", "<1-100>", "101", 0 },
		{ "numbers with zeros", "<1-100>", "0042", 1 },
		{ "numbers of two digits", "<01-20>", "09", 1 },
		{ "numbers of two digits need two", "<01-20>", "9", 0 },
		{ "numbers backwards", "<100-1>", "7", 1 },
		{ "numbers from zero", "<0-255>", "0", 1 },
		{ "numbers are not empty", "<0-255>", "", 0 },
		{ "octets", "<0-255>(\\.<0-255>){3}", "192.168.0.255", 1 },
		{ "octets, too large", "<0-255>(\\.<0-255>){3}", "192.168.0.256", 0 },
		{ "a bar after a bar is a letter", "a||b", "|b", 1 },
		{ "a star first is a letter", "*a", "*a", 1 },
		{ "starts with a star of groups", "(a|b)*c", "abbac", 1 },
		{ "star of what may be empty", "(a*)*b", "aab", 1 },
		{ "lazy means optional", "a+?b", "b", 1 },
		{ "case counts", "abc", "ABC", 0 },
		{ "a class that has no \"]\"", "[abc", "a", -1 },
		{ "a group without end", "(ab", "ab", -1 },
		{ "an end without a group", "ab)", "ab)", -1 },
		{ "count without number", "a{}", "a", -1 },
		{ "count without end", "a{2", "aa", -1 },
		{ "range backwards", "[z-a]", "a", -1 },
		{ "backslash and letter", "\\n", "\n", -1 },
		{ "backslash at the end", "a\\", "a", -1 },
		{ "bar at the end", "a|", "a", -1 },
		{ "a name that nobody gave", "<name>", "x", -1 },
		{ "numbers without number", "<a-b>", "a", -1 },
		{ "quotation without end", "\"a", "a", -1 },
		{ "written out too large", "((((a{100}){100}){100}){100})", "a", -1 },
	};

	for_each_row (r, rows)
		check_int(fits(r->pattern, r->text, (struct regex_options) { 0 }), r->want);
}

TEST(case_does_not_count_when_folded)
{
	static const struct {
		const char *name, *pattern, *text;
		int want;
	} rows[] = {
		{ "letters", "AbC", "aBc", 1 },
		{ "beyond ASCII", "\xc3\xa9", "\xc3\x89", 1 },
		{ "three letters that are one", "\xe2\x84\xaa", "K", 1 },
		{ "classes", "[a-z]+", "ABC", 1 },
		{ "negated classes", "[^a-z]", "A", 0 },
		{ "quoted", "\"ab\"", "AB", 1 },
		{ "long s", "s", "\xc5\xbf", 1 },
	};

	for_each_row (r, rows)
		check_int(fits(r->pattern, r->text, (struct regex_options) { .fold = true }), r->want);
}

TEST(perl_patterns_have_anchors_and_escapes)
{
	static const struct {
		const char *name, *pattern, *text;
		bool prefix, search;
		int want;
	} rows[] = {
		{ "anywhere", "b+", "abbc", false, true, 1 },
		{ "at the start only", "b+", "abbc", true, false, 0 },
		{ "at the start", "ab", "abbc", true, false, 1 },
		{ "start", "^bc", "abc", false, true, 0 },
		{ "end", "bc$", "abc", false, true, 1 },
		{ "end before a newline", "bc$", "abc\n", false, true, 1 },
		{ "not end", "ab$", "abc", false, true, 0 },
		{ "word edge", "\\bfoo\\b", "a foo b", false, true, 1 },
		{ "no word edge", "\\bfoo\\b", "afoo b", false, true, 0 },
		{ "inside of a word", "\\Bo\\B", "foot", false, true, 1 },
		{ "newline", "a\\nb", "a\nb", false, false, 1 },
		{ "a dot is no newline", "a.b", "a\nb", false, false, 0 },
		{ "unless asked", "(?s)a.b", "a\nb", false, false, 1 },
		{ "flags in the middle of a group", "a(?i)b", "aB", false, false, 1 },
		{ "flags end with their group", "((?i)a)b", "AB", false, false, 0 },
		{ "flags of a group", "(?i:a)b", "Ab", false, false, 1 },
		{ "lines", "(?m)^b$", "a\nb\nc", false, true, 1 },
		{ "hexadecimal", "\\x41", "A", false, false, 1 },
		{ "named group", "(?P<n>a)b", "ab", false, false, 1 },
		{ "lazy", "a+?b", "aab", false, false, 1 },
		{ "nothing beside a bar", "a(b|)c", "ac", false, false, 1 },
		{ "a brace that counts nothing", "a{b}", "a{b}", false, false, 1 },
		{ "tilde is a letter", "~a&b#@", "~a&b#@", false, false, 1 },
		{ "vertical tab is a blank", "\\s", "\v", false, false, 1 },
		{ "reference back", "(a)\\1", "aa", false, false, -1 },
		{ "look-ahead", "(?=a)", "a", false, false, -1 },
		{ "look-behind", "(?<=a)b", "ab", false, false, -1 },
		{ "nothing to repeat", "*a", "a", false, false, -1 },
	};

	for_each_row (r, rows) {
		struct regex_options o = { .syntax = REGEX_PERL, .prefix = r->prefix, .search = r->search };

		check_int(fits(r->pattern, r->text, o), r->want);
	}
}

TEST(wildcards_fit_whole_texts)
{
	static const struct {
		const char *name, *pattern, *text;
		bool star_only, escape;
		int want;
	} rows[] = {
		{ "star crosses everything", "/a/*/c", "/a/b/\nb/c", false, false, 1 },
		{ "star may be empty", "a*b", "ab", false, false, 1 },
		{ "question mark is one", "a?b",
		  "a\xc3\xa9"
		  "b",
		  false, false, 1 },
		{ "question mark is not none", "a?b", "ab", false, false, 0 },
		{ "dots are letters", "a.b*", "axb", false, false, 0 },
		{ "question mark as a letter", "a?b", "a?b", true, false, 1 },
		{ "question mark as a letter only", "a?b", "axb", true, false, 0 },
		{ "escaped star", "a\\*b", "a*b", false, true, 1 },
		{ "escaped star only", "a\\*b", "axb", false, true, 0 },
		{ "backslash before a letter", "a\\b", "a\\b", false, true, 1 },
		{ "backslash not asked for", "a\\*", "a\\x", false, false, 1 },
	};

	for_each_row (r, rows) {
		struct regex_options o = { .syntax = REGEX_WILDCARD, .star_only = r->star_only, .escape = r->escape };

		check_int(fits(r->pattern, r->text, o), r->want);
	}
}

TEST(a_list_fits_when_one_of_it_does)
{
	static char room[400][32];
	static struct str patterns[400];
	struct regex_options o = { .syntax = REGEX_WILDCARD };
	AUTO(regex) r = NULL;

	/* More than one table holds: each pattern has stars of its own in the middle. */
	for (int i = 0; i < 400; i++) {
		int n = snprintf(room[i], sizeof(room[i]), "*a%db*c%dd*", i, 7 * i);

		patterns[i] = (struct str) { room[i], (size_t)n };
	}
	require_ok(regex_compile(patterns, 400, &o, &r));
	check(regex_matches(r, "--a399b--c2793d--", 17));
	check(!regex_matches(r, "--a399b--c2792d--", 17));
	check(regex_matches(r, "a0bc0d", 6));
	check(regex_size(r) > 0 && regex_size(r) < 4 << 20);
}

TEST(an_empty_list_fits_nothing)
{
	AUTO(regex) r = NULL;

	require_ok(regex_compile(NULL, 0, &(struct regex_options) { 0 }, &r));
	check(!regex_matches(r, "", 0));
	check(!regex_matches(r, "a", 1));
}

/* Patterns on which trying all ways would take for ever. */
TEST(time_is_linear_in_the_text)
{
	static const char *const patterns[] = { "(a*)*b", "(a|aa)+b", ".*a.{24}", "(.*a){12}", "(a?){200}a{200}" };
	static char text[200000];

	memset(text, 'a', sizeof(text));
	for (size_t i = 0; i < countof(patterns); i++) {
		AUTO(regex) r = NULL;

		test_row = patterns[i];
		require_ok(compile(patterns[i], &(struct regex_options) { 0 }, &r));
		(void)regex_matches(r, text, sizeof(text));
	}
	test_row = NULL;
}

TEST(what_is_too_complex_is_refused)
{
	AUTO(regex) r = NULL;
	static char text[REGEX_PATTERN_MAX + 2];

	check_int(compile("~(.*a.{20})", &(struct regex_options) { 0 }, &r), -E2BIG);
	check_has(err_trail(), "too complex");
	memset(text, 'a', sizeof(text) - 1);
	check_int(compile(text, &(struct regex_options) { 0 }, &r), -E2BIG);
	memset(text, '(', 200);
	text[200] = 0;
	check_int(compile(text, &(struct regex_options) { 0 }, &r), -E2BIG);
	check_has(err_trail(), "deeper");
}
