/* SPDX-License-Identifier: Apache-2.0 */
/*
 * names - finds the names of fields in the text of a script, so that a run needs not intern any.
 *
 * An event that was read knows only fields that somebody has named before. So a name that a script came upon in a run
 * would be there or not depending on what ran earlier; names are therefore taken from the text: strings that have a
 * dot, or stand in [brackets], and words after a dot, as in event.message. What is no field after all does no harm.
 */
#include <ctype.h>
#include <string.h>
#include "predicate/lua/lua.h"

enum { NAME_MAX_HERE = 128 };

struct scan {
	const char *p, *end;
	struct host *host;
};

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

static bool is_name(const char *p, size_t n, bool needs_dot)
{
	bool dot = false;

	if (!n || n > NAME_MAX_HERE || (!isalpha((unsigned char)p[0]) && p[0] != '@' && p[0] != '_'))
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!is_word(p[i]) && p[i] != '.' && p[i] != '@' && p[i] != '-')
			return false;
		dot |= p[i] == '.';
	}
	return p[n - 1] != '.' && (dot || !needs_dot);
}

static void name(struct scan *s, const char *p, size_t n, bool needs_dot)
{
	if (is_name(p, n, needs_dot))
		(void)host_find_field(s->host, p, n);
}

/* [[ or [==[ at p: the length of the bracket, or 0. */
static size_t long_bracket(const char *p, const char *end)
{
	const char *at = p + 1;

	while (at < end && *at == '=')
		at++;
	return at < end && *at == '[' ? (size_t)(at + 1 - p) : 0;
}

/* Behind what a long bracket of this length begins. */
static const char *after_long(const char *p, const char *end, size_t n)
{
	for (p += n; p < end; p++) {
		size_t i = 1;

		if (*p != ']')
			continue;
		while (i < n - 1 && p + i < end && p[i] == '=')
			i++;
		if (i == n - 1 && p + i < end && p[i] == ']')
			return p + n;
	}
	return end;
}

static bool is_library(const char *p, size_t n)
{
	static const char *const names[] = { "string", "table", "math", "bit", "shrike" };

	for (size_t i = 0; i < countof(names); i++)
		if (strlen(names[i]) == n && !memcmp(names[i], p, n))
			return true;
	return false;
}

static void quoted(struct scan *s, char before)
{
	const char *first = s->p + 1;
	char quote = *s->p++;

	while (s->p < s->end && *s->p != quote && *s->p != '\n')
		s->p += *s->p == '\\' && s->end - s->p > 1 ? 2 : 1;
	/* One with a backslash is no name: is_name() refuses it. */
	name(s, first, (size_t)(s->p - first), before != '[');
	if (s->p < s->end)
		s->p++;
}

static void words(struct scan *s)
{
	bool is_first = true, skips = false;

	for (;;) {
		const char *first = s->p;

		while (s->p < s->end && is_word(*s->p))
			s->p++;
		if (is_first)
			skips = is_library(first, (size_t)(s->p - first));
		else if (!skips)
			name(s, first, (size_t)(s->p - first), false);
		if (s->end - s->p < 2 || s->p[0] != '.' || !is_word(s->p[1]))
			return;
		s->p++;
		is_first = false;
	}
}

void lua_name_fields(const struct lua_code *code, struct host *host)
{
	struct scan s = { code->text, code->text + code->n, host };
	char before = 0;

	while (s.p < s.end) {
		char c = *s.p;
		size_t n;

		if (c == '-' && s.end - s.p > 1 && s.p[1] == '-') {
			s.p += 2;
			n = s.p < s.end && *s.p == '[' ? long_bracket(s.p, s.end) : 0;
			if (n)
				s.p = after_long(s.p, s.end, n);
			else
				while (s.p < s.end && *s.p != '\n')
					s.p++;
			continue;
		}
		if (c == '[' && (n = long_bracket(s.p, s.end)))
			s.p = after_long(s.p, s.end, n);
		else if (c == '"' || c == '\'')
			quoted(&s, before);
		else if (is_word(c))
			words(&s);
		else
			s.p++;
		if (!isspace((unsigned char)c))
			before = c;
	}
}
