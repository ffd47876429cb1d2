/* SPDX-License-Identifier: Apache-2.0 */
#include "rule/kql_words.h"
#include <errno.h>

bool kql_is_anything(const struct kql_literal *l)
{
	for (size_t i = 0; i < l->plain.n; i++)
		if (l->plain.p[i] != '*')
			return false;
	return l->wild;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c & 0x80);
}

/* The pattern: wildcards are told from stars that were escaped. */
struct reader {
	struct str s;
	size_t at;
	bool wild; /* stars of the literal are wildcards */
};

/* The character at hand; *ret_star: it is a wildcard. `skip` is how many bytes it takes. */
static char peek(const struct reader *r, size_t at, bool *ret_star, size_t *ret_skip)
{
	bool escaped = r->s.p[at] == '\\' && at + 1 < r->s.n;

	*ret_star = !escaped && r->wild && r->s.p[at] == '*';
	*ret_skip = escaped ? 2 : 1;
	return r->s.p[at + escaped];
}

/* A dot or an apostrophe, with letters or digits on both sides. */
static bool is_joint(const struct reader *r, size_t at, char c, char before)
{
	size_t skip;
	bool star;
	char after;

	if ((c != '.' && c != '\'') || at + 1 >= r->s.n)
		return false;
	after = peek(r, at + 1, &star, &skip);
	return (is_letter(before) && is_letter(after)) || (is_digit(before) && is_digit(after));
}

/* Reads over one word, writing it; 0: there is none at hand. */
static size_t word(struct reader *r, char *to)
{
	size_t n = 0, skip;
	char before = 0;

	for (; r->at < r->s.n; r->at += skip) {
		bool star;
		char c = peek(r, r->at, &star, &skip);

		if (star) {
			memcpy(to + n, "\\w*", 3);
			n += 3;
		} else if (is_joint(r, r->at, c, before)) {
			to[n++] = '\\';
			to[n++] = c;
		} else if (is_letter(c) || is_digit(c)) {
			to[n++] = c;
		} else {
			break;
		}
		before = c;
	}
	return n;
}

/* The words as one pattern: all of them, one behind the other. */
static int wrap(struct arena *arena, const struct str *words, size_t n, struct str *ret_pattern)
{
	static const char begin[] = "(^|\\W)", end[] = "(\\W|$)", between[] = "\\W+";
	size_t len = sizeof(begin) + sizeof(end);
	char *pattern, *to;

	for (size_t i = 0; i < n; i++)
		len += words[i].n + sizeof(between);
	pattern = to = arena_alloc(arena, len);
	if (!pattern)
		return -ENOMEM;
	to = stpcpy(to, begin);
	for (size_t i = 0; i < n; i++) {
		to = stpcpy(to, i ? between : "");
		to = mempcpy(to, words[i].p, words[i].n);
	}
	to = stpcpy(to, end);
	*ret_pattern = (struct str) { pattern, (size_t)(to - pattern) };
	return 0;
}

int kql_words(const struct kql_literal *l, struct arena *arena, struct str patterns[KQL_WORDS_MAX], size_t *ret_n)
{
	/* A star is three bytes, all else is at most as long as it was. */
	char *to = arena_alloc(arena, 3 * l->pattern.n + 1);
	struct reader in = { .s = l->pattern, .wild = l->wild };
	struct str words[KQL_WORDS_MAX];
	size_t n = 0, skip;
	bool star;
	int r = 0;

	if (!to)
		return -ENOMEM;
	while (in.at < in.s.n) {
		size_t len = word(&in, to);

		if (!len) {
			(void)peek(&in, in.at, &star, &skip);
			in.at += skip;
			continue;
		}
		if (n == KQL_WORDS_MAX)
			return -E2BIG;
		words[n++] = (struct str) { to, len };
		to += len;
	}
	*ret_n = l->quoted && n ? 1 : n;
	for (size_t i = 0; i < *ret_n && r == 0; i++)
		r = l->quoted ? wrap(arena, words, n, &patterns[0]) : wrap(arena, &words[i], 1, &patterns[i]);
	return r;
}
