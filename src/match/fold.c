/* SPDX-License-Identifier: Apache-2.0 */
#include "match/fold.h"
#include <string.h>
#include "base/hash.h"
#include "base/mem.h"
#include "match/fold_table.h"

uint32_t fold_code_slow(uint32_t code)
{
	size_t low = 0, high = countof(fold_rows);

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (fold_rows[middle].last < code)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == countof(fold_rows) || code < fold_rows[low].first ||
	    (code - fold_rows[low].first) % (uint32_t)fold_rows[low].step)
		return code;
	return (uint32_t)((int32_t)code + fold_rows[low].add);
}

size_t fold_unfold(uint32_t code, uint32_t *ret_codes, size_t max)
{
	size_t n = 0;

	if (code - 'a' < 26 && n < max)
		ret_codes[n++] = code & ~0x20U;
	for (size_t i = 0; i < countof(fold_rows) && n < max; i++) {
		uint32_t from = (uint32_t)((int32_t)code - fold_rows[i].add);

		if (from >= fold_rows[i].first && from <= fold_rows[i].last &&
		    (from - fold_rows[i].first) % (uint32_t)fold_rows[i].step == 0)
			ret_codes[n++] = from;
	}
	return n;
}

uint32_t fold_next_slow(const char **p, const char *end)
{
	const unsigned char *s = (const unsigned char *)*p;
	size_t len = utf8_char(*p, (size_t)(end - *p), NULL);

	*p += len ? len : 1;
	switch (len) {
	case 1:
		return s[0];
	case 2:
		return (s[0] & 0x1fU) << 6 | (s[1] & 0x3fU);
	case 3:
		return (s[0] & 0xfU) << 12 | (s[1] & 0x3fU) << 6 | (s[2] & 0x3fU);
	case 4:
		return (s[0] & 7U) << 18 | (s[1] & 0x3fU) << 12 | (s[2] & 0x3fU) << 6 | (s[3] & 0x3fU);
	default:
		return FOLD_BYTE | s[0];
	}
}

size_t fold_put(uint32_t code, char to[UTF8_MAX])
{
	if ((code & ~0xffU) == FOLD_BYTE) {
		to[0] = (char)(code & 0xff);
		return 1;
	}
	return utf8_put(code, to);
}

size_t fold_text(const char *p, size_t n, char *to)
{
	const char *end = p + n;
	char *at = to;

	/* Eight letters at once, while all are ASCII: a carry into the high bit says from 'A' on, and beyond 'Z'. */
	for (uint64_t w; end - p >= 8; p += 8, at += 8) {
		memcpy(&w, p, 8);
		if (w & 0x8080808080808080ULL)
			break;
		w |= ((w + 0x3f3f3f3f3f3f3f3fULL) & ~(w + 0x2525252525252525ULL) & 0x8080808080808080ULL) >> 2;
		memcpy(at, &w, 8);
	}
	while (p < end) {
		unsigned char c = (unsigned char)*p;

		if (c < 0x80) {
			*at++ = (char)((unsigned)c - 'A' < 26 ? c | 0x20 : c);
			p++;
		} else {
			at += fold_put(fold_code(fold_next_slow(&p, end)), at);
		}
	}
	return (size_t)(at - to);
}

bool fold_starts(const char *a, size_t a_n, const char *b, size_t b_n, size_t *ret_n)
{
	const char *p = a, *a_end = a + a_n, *b_end = b + b_n;

	while (b < b_end) {
		if (p == a_end || fold_code(fold_next(&p, a_end)) != fold_code(fold_next(&b, b_end)))
			return false;
	}
	if (ret_n)
		*ret_n = (size_t)(p - a);
	return true;
}

/* Up to the beginning of a character. A byte after three that only go on begins none and is part of none. */
size_t fold_chunk(const char *p, size_t n, size_t max)
{
	if (n <= max)
		return n;
	for (size_t i = 0; i < UTF8_MAX; i++)
		if (((unsigned char)p[max - i] & 0xc0) != 0x80)
			return max - i;
	return max;
}

bool fold_equal(const char *a, size_t a_n, const char *b, size_t b_n)
{
	size_t n;

	return fold_starts(a, a_n, b, b_n, &n) && n == a_n;
}

int fold_compare(const char *a, size_t a_n, const char *b, size_t b_n)
{
	const char *a_end = a + a_n, *b_end = b + b_n;

	while (a < a_end && b < b_end) {
		uint32_t x = fold_code(fold_next(&a, a_end)), y = fold_code(fold_next(&b, b_end));

		if (x != y)
			return x < y ? -1 : 1;
	}
	return (a < a_end) - (b < b_end);
}

/* The letters of a and b may differ in their lengths, so the end of a is tried from each of its last characters. */
bool fold_ends(const char *a, size_t a_n, const char *b, size_t b_n)
{
	size_t count = 0, skip;

	for (const char *p = b, *end = b + b_n; p < end; count++)
		(void)fold_next(&p, end);
	/* All ASCII in both: the ends are as long as each other. */
	if (count == b_n && b_n <= a_n && fold_equal(a + a_n - b_n, b_n, b, b_n))
		return true;
	skip = 0;
	for (const char *p = a, *end = a + a_n; p < end; skip++)
		(void)fold_next(&p, end);
	if (skip < count)
		return false;
	for (skip -= count; skip; skip--) {
		const char *p = a;

		(void)fold_next(&p, a + a_n);
		a_n -= (size_t)(p - a);
		a = p;
	}
	return fold_equal(a, a_n, b, b_n);
}

size_t fold_find(const char *p, size_t n, const char *part, size_t part_n, size_t *ret_n)
{
	const char *at = p, *end = p + n;
	size_t took = 0;

	for (;;) {
		if (fold_starts(at, (size_t)(end - at), part, part_n, &took)) {
			if (ret_n)
				*ret_n = took;
			return (size_t)(at - p);
		}
		if (at == end)
			return SIZE_MAX;
		(void)fold_next(&at, end);
	}
}

uint64_t fold_hash(const char *p, size_t n, uint64_t seed)
{
	const char *end = p + n;
	char room[64];
	uint64_t h = seed;
	size_t len = 0;

	while (p < end) {
		unsigned char c = (unsigned char)*p;

		if (c < 0x80) {
			room[len++] = (char)((unsigned)c - 'A' < 26 ? c | 0x20 : c);
			p++;
		} else {
			len += fold_put(fold_code(fold_next_slow(&p, end)), room + len);
		}
		if (len > sizeof(room) - UTF8_MAX) {
			h = hash_bytes(room, len, h);
			len = 0;
		}
	}
	return hash_bytes(room, len, h);
}

void fold_each(void (*fn)(void *ctx, uint32_t code, uint32_t folded), void *ctx)
{
	for (uint32_t c = 'A'; c <= 'Z'; c++)
		fn(ctx, c, c | 0x20);
	for (size_t i = 0; i < countof(fold_rows); i++)
		for (uint32_t c = fold_rows[i].first; c <= fold_rows[i].last; c += (uint32_t)fold_rows[i].step)
			fn(ctx, c, (uint32_t)((int32_t)c + fold_rows[i].add));
}
