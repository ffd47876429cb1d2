/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hash - 64 bits from bytes, seeded.
 *
 * For tables in memory: fast, every bit depends on every byte, and who does not know the
 * seed cannot choose keys that collide. No cryptography, and never for disk: values differ
 * between byte orders and may change with any release.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Odd words with about as many ones as zeros: without them a key of zeros would hash to zero. */
#define HASH_K0 0xa24baed4963ee407ULL
#define HASH_K1 0x9fb21c651e98df25ULL
#define HASH_K2 0xd6e8feb86659fd93ULL

/* Random, drawn once a process. Whoever iterates a table must not let its order be seen in results. */
uint64_t hash_seed(void);

/* The two halves of the product, folded: all bits of both factors reach all bits of the result. */
static inline uint64_t hash_fold(uint64_t a, uint64_t b)
{
	__uint128_t product = (__uint128_t)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t hash_u64(uint64_t v, uint64_t seed)
{
	return hash_fold(hash_fold(v ^ HASH_K0, seed ^ HASH_K1) ^ v, HASH_K2);
}

/* For keys of two numbers, such as a pid and when it began. */
static inline uint64_t hash_2u64(uint64_t a, uint64_t b, uint64_t seed)
{
	return hash_u64(b, hash_u64(a, seed));
}

static inline uint64_t hash_load(const unsigned char *p, size_t n)
{
	uint64_t v = 0;

	memcpy(&v, p, n);
	return v;
}

static inline uint64_t hash_bytes(const void *bytes, size_t n, uint64_t seed)
{
	const unsigned char *p = bytes;
	uint64_t h = seed ^ HASH_K0, a, b;
	size_t left = n;

	for (; left > 16; p += 16, left -= 16)
		h = hash_fold(hash_load(p, 8) ^ HASH_K1, hash_load(p + 8, 8) ^ h);
	/* The last 16 bytes or fewer; two loads that overlap are cheaper than a loop. */
	if (left >= 8) {
		a = hash_load(p, 8);
		b = hash_load(p + left - 8, 8);
	} else if (left >= 4) {
		a = hash_load(p, 4);
		b = hash_load(p + left - 4, 4);
	} else if (left) {
		a = (uint64_t)p[0] << 16 | (uint64_t)p[left / 2] << 8 | p[left - 1];
		b = 0;
	} else {
		a = b = 0;
	}
	return hash_fold(hash_fold(a ^ HASH_K1, b ^ h) ^ n, HASH_K2 ^ h);
}
