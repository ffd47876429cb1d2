/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A place where the two rarest bytes are right is looked at whole; sixteen places are tried at a time. In most
 * texts both are rarely right, so the looking costs little; what a stranger can make it cost (lines of one
 * letter) is bounded by the length of a needle.
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

/* How common a byte is in lines of JSON: those in front most; those that are not here hardly ever. */
static size_t rarity(char c)
{
	static const char common[] = "\"e,:tsnoiarlcdup/m.10h23f{}4b5g6789vyw-k_ []xzjq";
	const char *at = memchr(common, c, sizeof(common) - 1);

	return at ? (size_t)(at - common) : sizeof(common);
}

static void choose_probes(struct needle *needle)
{
	size_t rare = 0, other;

	for (size_t i = 1; i < needle->n; i++)
		if (rarity(needle->text[i]) > rarity(needle->text[rare]))
			rare = i;
	other = rare ? 0 : needle->n - 1;
	for (size_t i = 0; i < needle->n; i++)
		if (i != rare && rarity(needle->text[i]) > rarity(needle->text[other]))
			other = i;
	needle->rare = (uint8_t)rare;
	needle->other = (uint8_t)other;
}

const char *needle_find(const struct needle *needle, const char *at, const char *end)
{
	const char rare = needle->text[needle->rare], other = needle->text[needle->other];
	/* Setting 0x20 makes a letter small. What else it makes a letter is found out when the whole is looked at. */
	const char fold_rare = needle->fold && is_letter(rare) ? 0x20 : 0;
	const char fold_other = needle->fold && is_letter(other) ? 0x20 : 0;
	const char *last; /* where it may begin */

	if ((size_t)(end - at) < needle->n)
		return end;
	last = end - needle->n;
#ifdef __SSE2__
	{
		const __m128i rare_want = _mm_set1_epi8(rare), other_want = _mm_set1_epi8(other);
		const __m128i rare_set = _mm_set1_epi8(fold_rare), other_set = _mm_set1_epi8(fold_other);

		for (; last - at >= 15; at += 16) {
			__m128i a = _mm_loadu_si128((const __m128i *)(const void *)(at + needle->rare));
			__m128i b = _mm_loadu_si128((const __m128i *)(const void *)(at + needle->other));
			__m128i both = _mm_and_si128(_mm_cmpeq_epi8(_mm_or_si128(a, rare_set), rare_want),
						     _mm_cmpeq_epi8(_mm_or_si128(b, other_set), other_want));

			for (unsigned bits = (unsigned)_mm_movemask_epi8(both); bits; bits &= bits - 1) {
				const char *here = at + __builtin_ctz(bits);

				if (is_here(here, needle->text, needle->n, needle->fold))
					return here;
			}
		}
	}
#endif
	for (; at <= last; at++)
		if ((at[needle->rare] | fold_rare) == rare && (at[needle->other] | fold_other) == other &&
		    is_here(at, needle->text, needle->n, needle->fold))
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
	choose_probes(needle);
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
			needle->next = needle_find(needle, from, set->end);
		if (needle->next < best)
			best = needle->next;
	}
	return best;
}
