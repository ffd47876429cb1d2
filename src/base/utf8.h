/* SPDX-License-Identifier: Apache-2.0 */
/* utf8 - is it well-formed UTF-8 (RFC 3629: nothing overlong, no surrogates, at most U+10FFFF)? */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { UTF8_MAX = 4 };
#define UTF8_REPLACEMENT "\xef\xbf\xbd"

/*
 * The bytes of the character at p, of which n > 0 are there: 1 to 4, or 0 when it is not
 * well-formed; *ret_bad (may be NULL) is then how many bytes one U+FFFD stands for, as
 * Unicode recommends: the longest start of a well-formed character, at least 1.
 */
size_t utf8_char(const char *p, size_t n, size_t *ret_bad);
/* How many of the bytes, from the first, are well-formed; n when all are. */
size_t utf8_good(const char *p, size_t n);
/* Writes one code point (surrogates too) and returns its length. */
size_t utf8_put(uint32_t code, char to[UTF8_MAX]);

static inline bool utf8_is_valid(const char *p, size_t n)
{
	return utf8_good(p, n) == n;
}
