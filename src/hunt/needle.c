/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A place where the first and the last byte are right is looked at whole; sixteen places are tried at a
 * time. Two bytes that far apart are rarely both right in text, so the looking costs little; that a
 * stranger can make it cost much (lines of one letter) is bounded by the length of a needle.
 */
#include "hunt/needle.h"
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_here(const char *at, const char *text, size_t n, bool fold)
{
	if (!fold)
		return memcmp(at, text, n) == 0;
	for (size_t i = 0; i < n; i++)
		if (lower(at[i]) != text[i])
			return false;
	return true;
}

const char *needle_find(const char *at, const char *end, const char *text, size_t n, bool fold)
{
	/* Setting 0x20 makes a letter small, and nothing else a letter that was none... but for a check that follows.
	 */
	char fold_first = fold && is_letter(text[0]) ? 0x20 : 0;
	char fold_last = fold && is_letter(text[n - 1]) ? 0x20 : 0;
	const char *last; /* where it may begin */

	if ((size_t)(end - at) < n)
		return end;
	last = end - n;
#ifdef __SSE2__
	{
		const __m128i first_want = _mm_set1_epi8(text[0]), last_want = _mm_set1_epi8(text[n - 1]);
		const __m128i first_set = _mm_set1_epi8(fold_first), last_set = _mm_set1_epi8(fold_last);

		for (; last - at >= 15; at += 16) {
			__m128i a = _mm_loadu_si128((const __m128i *)(const void *)at);
			__m128i b = _mm_loadu_si128((const __m128i *)(const void *)(at + n - 1));
			__m128i both = _mm_and_si128(_mm_cmpeq_epi8(_mm_or_si128(a, first_set), first_want),
						     _mm_cmpeq_epi8(_mm_or_si128(b, last_set), last_want));

			for (unsigned bits = (unsigned)_mm_movemask_epi8(both); bits; bits &= bits - 1) {
				const char *here = at + __builtin_ctz(bits);

				if (is_here(here, text, n, fold))
					return here;
			}
		}
	}
#endif
	for (; at <= last; at++)
		if ((*at | fold_first) == text[0] && (at[n - 1] | fold_last) == text[n - 1] &&
		    is_here(at, text, n, fold))
			return at;
	return end;
}

size_t needle_count(const char *at, const char *end, char c)
{
	size_t count = 0;

#ifdef __SSE2__
	const __m128i want = _mm_set1_epi8(c), zero = _mm_setzero_si128();

	while (end - at >= 16) {
		__m128i sum = zero;

		/* A byte holds up to 255 of them before they must be added up. */
		for (int i = 0; i < 255 && end - at >= 16; i++, at += 16)
			sum = _mm_sub_epi8(sum,
					   _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)(const void *)at), want));
		sum = _mm_sad_epu8(sum, zero);
		count += (size_t)_mm_cvtsi128_si64(sum) + (size_t)_mm_cvtsi128_si64(_mm_srli_si128(sum, 8));
	}
#endif
	for (; at < end; at++)
		count += *at == c;
	return count;
}

bool needles_add(struct needles *set, const char *text, size_t n, bool fold)
{
	struct needle *needle;

	if (!n || n > NEEDLE_BYTES_MAX)
		return false;
	for (size_t i = 0; i < set->n; i++) {
		needle = &set->items[i];
		if (needle->n == n && needle->fold == fold && is_here(text, needle->text, n, fold))
			return true;
	}
	if (set->n == NEEDLES_MAX)
		return false;
	needle = &set->items[set->n++];
	*needle = (struct needle) { .n = n, .fold = fold };
	for (size_t i = 0; i < n; i++)
		needle->text[i] = fold ? lower(text[i]) : text[i];
	return true;
}

void needles_begin(struct needles *set, const char *text, const char *end)
{
	set->at = text;
	set->end = end;
	for (size_t i = 0; i < set->n; i++)
		set->items[i].next = NULL;
}

const char *needles_next(struct needles *set, const char *from)
{
	const char *best = set->end;

	for (size_t i = 0; i < set->n; i++) {
		struct needle *needle = &set->items[i];

		if (!needle->next || needle->next < from)
			needle->next = needle_find(from, set->end, needle->text, needle->n, needle->fold);
		if (needle->next < best)
			best = needle->next;
	}
	return best;
}
