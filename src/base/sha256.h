/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sha256 - the digest of FIPS 180-4, for naming files by what is in them.
 *
 * Portable C without tables that depend on data; some 200 MB/s. A library of cryptography would
 * be one more thing to load into a process that has all rights, for this one function.
 *
 *	sha256_init(&s); sha256_add(&s, p, n); ... sha256_end(&s, digest);
 */
#pragma once
#include <stddef.h>
#include <stdint.h>

enum { SHA256_SIZE = 32, SHA256_BLOCK = 64, SHA256_HEX_SIZE = 2 * SHA256_SIZE + 1 };

struct sha256 {
	uint32_t state[8];
	uint64_t n; /* bytes so far */
	unsigned char block[SHA256_BLOCK];
};

void sha256_init(struct sha256 *s);
void sha256_add(struct sha256 *s, const void *bytes, size_t n);
/* Nothing can be added afterwards, until another sha256_init(). */
void sha256_end(struct sha256 *s, unsigned char ret_digest[SHA256_SIZE]);
/* Lower case, with a NUL. */
void sha256_hex(const unsigned char digest[SHA256_SIZE], char ret_hex[SHA256_HEX_SIZE]);
