/* SPDX-License-Identifier: Apache-2.0 */
#include "base/crc.h"
#include <pthread.h>
#include <string.h>

/* table[k][b]: what byte b does to the sum when k more zero bytes follow it. Eight bytes are looked up at once. */
static uint32_t table[8][256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void fill(void)
{
	for (uint32_t b = 0; b < 256; b++) {
		uint32_t v = b;

		for (int bit = 0; bit < 8; bit++)
			v = v >> 1 ^ (v & 1 ? 0x82f63b78 : 0);
		table[0][b] = v;
	}
	for (uint32_t b = 0; b < 256; b++)
		for (int k = 1; k < 8; k++)
			table[k][b] = table[k - 1][b] >> 8 ^ table[0][table[k - 1][b] & 0xff];
}

uint32_t crc32c(const void *bytes, size_t n)
{
	const unsigned char *p = bytes;
	uint32_t v = ~0U;

	(void)pthread_once(&once, fill);
	for (; n >= 8; p += 8, n -= 8) {
		uint32_t low, high;

		memcpy(&low, p, 4);
		memcpy(&high, p + 4, 4);
		low ^= v;
		v = table[7][low & 0xff] ^ table[6][low >> 8 & 0xff] ^ table[5][low >> 16 & 0xff] ^
		    table[4][low >> 24] ^ table[3][high & 0xff] ^ table[2][high >> 8 & 0xff] ^
		    table[1][high >> 16 & 0xff] ^ table[0][high >> 24];
	}
	for (; n; p++, n--)
		v = v >> 8 ^ table[0][(v ^ *p) & 0xff];
	return ~v;
}
