/* SPDX-License-Identifier: Apache-2.0 */
/* json_scan - finding the end of a plain run in a string, eight bytes at a time. For json's own files. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the first byte of a word is its lowest");

#define SCAN_ONES  0x0101010101010101ULL
#define SCAN_HIGHS 0x8080808080808080ULL

/*
 * A high bit for each byte that does not stand for itself in a JSON string: controls, quote,
 * backslash, and all beyond ASCII. Bits above the first are not to be trusted: borrows run up.
 */
static inline uint64_t json_scan_word(uint64_t w)
{
	uint64_t quote = w ^ SCAN_ONES * '"', back = w ^ SCAN_ONES * '\\';

	return (((w - SCAN_ONES * 0x20) & ~w) | ((quote - SCAN_ONES) & ~quote) | ((back - SCAN_ONES) & ~back) | w) &
	       SCAN_HIGHS;
}

static inline bool json_is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

/* Copies the plain run at p; *to needs room for eight bytes more than the run. Returns where it ends. */
static inline const char *json_copy_plain(const char *p, const char *end, char **to)
{
	char *at = *to;
	uint64_t w, stop;

	for (; (size_t)(end - p) >= sizeof(w); p += sizeof(w), at += sizeof(w)) {
		memcpy(&w, p, sizeof(w));
		stop = json_scan_word(w);
		memcpy(at, &w, sizeof(w));
		if (stop) {
			unsigned n = (unsigned)__builtin_ctzll(stop) / 8;

			*to = at + n;
			return p + n;
		}
	}
	while (p < end && json_is_plain((unsigned char)*p))
		*at++ = *p++;
	*to = at;
	return p;
}
