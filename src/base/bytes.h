/* SPDX-License-Identifier: Apache-2.0 */
/* bytes - most texts of events are short: whether two of them are the same is asked in place, without a call. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t bytes_load(const char *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint32_t bytes_load_half(const char *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline bool bytes_same(const char *a, const char *b, size_t n)
{
	if (n > 16)
		return !memcmp(a, b, n);
	/* Two loads that overlap. */
	if (n >= 8)
		return !((bytes_load(a) ^ bytes_load(b)) | (bytes_load(a + n - 8) ^ bytes_load(b + n - 8)));
	if (n >= 4)
		return !((bytes_load_half(a) ^ bytes_load_half(b)) |
			 (bytes_load_half(a + n - 4) ^ bytes_load_half(b + n - 4)));
	return !n || (a[0] == b[0] && a[n / 2] == b[n / 2] && a[n - 1] == b[n - 1]);
}
