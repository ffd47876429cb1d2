/* SPDX-License-Identifier: Apache-2.0 */
#include "base/utf8.h"
#include <string.h>

#define HIGH_BITS 0x8080808080808080ULL

static size_t length_of(unsigned char first)
{
	return first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
}

/* What the second byte may be depends on the first: this is where overlong forms and surrogates are refused. */
static bool second_is_good(unsigned char first, unsigned char second)
{
	unsigned char min = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
	unsigned char max = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;

	return second >= min && second <= max;
}

size_t utf8_char(const char *p, size_t n, size_t *ret_bad)
{
	const unsigned char *s = (const unsigned char *)p;
	size_t len = length_of(s[0]), have = 1;

	if (len > 1 && n > 1 && second_is_good(s[0], s[1]))
		for (have = 2; have < len && have < n && (s[have] & 0xc0) == 0x80;)
			have++;
	if (len && have == len)
		return len;
	if (ret_bad)
		*ret_bad = have;
	return 0;
}

size_t utf8_good(const char *p, size_t n)
{
	size_t i = 0;

	while (i < n) {
		size_t len;

		for (uint64_t w; n - i >= sizeof(w); i += sizeof(w)) {
			memcpy(&w, p + i, sizeof(w));
			if (w & HIGH_BITS)
				break;
		}
		if (i == n)
			break;
		len = utf8_char(p + i, n - i, NULL);
		if (!len)
			return i;
		i += len;
	}
	return n;
}

size_t utf8_put(uint32_t code, char to[UTF8_MAX])
{
	if (code < 0x80) {
		to[0] = (char)code;
		return 1;
	}
	if (code < 0x800) {
		to[0] = (char)(0xc0 | code >> 6);
		to[1] = (char)(0x80 | (code & 0x3f));
		return 2;
	}
	if (code < 0x10000) {
		to[0] = (char)(0xe0 | code >> 12);
		to[1] = (char)(0x80 | (code >> 6 & 0x3f));
		to[2] = (char)(0x80 | (code & 0x3f));
		return 3;
	}
	to[0] = (char)(0xf0 | (code >> 18 & 7));
	to[1] = (char)(0x80 | (code >> 12 & 0x3f));
	to[2] = (char)(0x80 | (code >> 6 & 0x3f));
	to[3] = (char)(0x80 | (code & 0x3f));
	return 4;
}
