/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool - all the memory that one instance has, in one mapping: what it cannot hold is refused.
 *
 * Blocks are of so many bytes that are powers of two or halfway between, and a block that was given back is used again
 * for its size alone; nothing is searched for, so that each call takes the same time. Throwing all of it away takes no
 * time. Pages are the machine's until they are written to. One thread at a time.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { POOL_CLASSES = 64, POOL_BLOCK_MAX = (1 << 20) + (1 << 19) };

struct pool {
	char *base, *at, *end;
	void *free[POOL_CLASSES];
};

int pool_open(struct pool *p, size_t bytes);
void pool_close(struct pool *p);
/* Everything that was handed out is gone. */
void pool_reset(struct pool *p);
/* NULL: there is no room, or the block would be larger than POOL_BLOCK_MAX. */
void *pool_alloc(struct pool *p, size_t n);
void pool_free(struct pool *p, void *block, size_t n);
/* Are so many bytes of either size in a block of the same size? */
bool pool_same(size_t a, size_t b);
