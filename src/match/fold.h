/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fold - text without the case of its letters, by Unicode's simple folding: one character for one.
 *
 * Text is UTF-8, or meant to be. A byte that is no part of a well-formed character counts as one character
 * of its own (FOLD_BYTE and the byte), which folds to itself and equals no other.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/utf8.h"

/* Surrogates are no characters of UTF-8, so these codes are free. */
enum { FOLD_BYTE = 0xdc00, FOLD_CODE_MAX = 0x10ffff };

/* Beyond ASCII. */
uint32_t fold_code_slow(uint32_t code);
/* The code points that fold to `code`, other than itself; at most max are written, their number is returned. */
size_t fold_unfold(uint32_t code, uint32_t *ret_codes, size_t max);
enum { FOLD_CLASS_MAX = 8 };

static inline uint32_t fold_code(uint32_t code)
{
	if (code < 0x80)
		return code - 'A' < 26 ? code | 0x20 : code;
	return fold_code_slow(code);
}

/* The character at *p < end, past which *p moves. */
uint32_t fold_next_slow(const char **p, const char *end);

static inline uint32_t fold_next(const char **p, const char *end)
{
	unsigned char c = (unsigned char)**p;

	if (c < 0x80) {
		++*p;
		return c;
	}
	return fold_next_slow(p, end);
}

/* Writes a character as fold_next() would read it again. */
size_t fold_put(uint32_t code, char to[UTF8_MAX]);

/* Bytes that n bytes of text fold into, at the most. */
#define FOLD_ROOM(n) ((n) + (n) / 2 + 1)
size_t fold_text(const char *p, size_t n, char *to);
/* How many of n bytes, at most max (UTF8_MAX or more), can be folded without those that come after them. */
size_t fold_chunk(const char *p, size_t n, size_t max);
bool fold_equal(const char *a, size_t a_n, const char *b, size_t b_n);
/* The order of the folded texts by code point: negative, 0 or positive. */
int fold_compare(const char *a, size_t a_n, const char *b, size_t b_n);
/* Does a begin (end) with b? *ret_n, which may be NULL: the bytes of a that did. */
bool fold_starts(const char *a, size_t a_n, const char *b, size_t b_n, size_t *ret_n);
bool fold_ends(const char *a, size_t a_n, const char *b, size_t b_n);
/* Where part stands in text first, and in how many bytes of it; SIZE_MAX: nowhere. */
size_t fold_find(const char *p, size_t n, const char *part, size_t part_n, size_t *ret_n);
/* Equal for texts that are fold_equal(). */
uint64_t fold_hash(const char *p, size_t n, uint64_t seed);

/* Calls fn for each code point that folds to another one, ASCII's too. */
void fold_each(void (*fn)(void *ctx, uint32_t code, uint32_t folded), void *ctx);
