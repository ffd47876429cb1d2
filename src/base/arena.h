/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arena - memory that is given back all at once: one bound, one reset, one free.
 *
 * Takes chunks from malloc as it grows, and keeps them over a reset, so that what is done
 * again and again (a record, a request) does not call malloc after the first few times. What
 * it hands out is aligned to 16 and not zeroed, but for arena_new(). One thread at a time.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct arena_chunk;

struct arena {
	struct arena_chunk *first, *at; /* at: the one that is being used */
	char *p, *end;                  /* what is left of it */
	size_t max, taken;              /* bytes of all chunks */
	bool failed;                    /* something was refused since the last reset */
};

/* max: bytes that it may take from malloc. */
void arena_init(struct arena *a, size_t max);
void arena_free(struct arena *a);
/* Everything that was handed out is gone; the memory stays. */
void arena_reset(struct arena *a);
void *arena_alloc_slow(struct arena *a, size_t n);
#define auto_arena __attribute__((cleanup(arena_free)))

/* NULL, and a.failed, when the bound is reached or memory has run out. */
static inline void *arena_alloc(struct arena *a, size_t n)
{
	size_t size = (n + 15) & ~(size_t)15;
	void *p = a->p;

	if (!p || size < n || size > (size_t)(a->end - a->p))
		return arena_alloc_slow(a, n);
	a->p += size;
	return p;
}

/* Room for n bytes at once, in a chunk no larger than they are: for who knows how much there will be. False: as NULL.
 */
bool arena_reserve(struct arena *a, size_t n);
/* n items of such a size, zeroed. */
void *arena_zeroed(struct arena *a, size_t n, size_t size);
/* A NUL-terminated copy. */
char *arena_str(struct arena *a, const char *p, size_t n);
#define arena_new(a, type) ((type *)arena_zeroed((a), 1, sizeof(type)))
