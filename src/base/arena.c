/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"
#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>

enum { CHUNK_FIRST = 4096, CHUNK_MOST = 1 << 20, CHUNK_PART = 4 };

struct arena_chunk {
	struct arena_chunk *next;
	size_t size;
	alignas(16) char bytes[];
};

void arena_init(struct arena *a, size_t max)
{
	*a = (struct arena) { .max = max };
}

void arena_free(struct arena *a)
{
	for (struct arena_chunk *c = a->first, *next; c; c = next) {
		next = c->next;
		free(c);
	}
	arena_init(a, a->max);
}

static void use(struct arena *a, struct arena_chunk *c)
{
	a->at = c;
	a->p = c ? c->bytes : NULL;
	a->end = c ? c->bytes + c->size : NULL;
}

void arena_reset(struct arena *a)
{
	use(a, a->first);
	a->failed = false;
}

static struct arena_chunk *chunk_add_of(struct arena *a, size_t size)
{
	struct arena_chunk *c = malloc(sizeof(*c) + size);

	if (!c)
		return NULL;
	c->size = size;
	c->next = a->at ? a->at->next : NULL;
	if (a->at)
		a->at->next = c;
	else
		a->first = c;
	a->taken += size;
	return c;
}

/*
 * A chunk is a part of all that was taken before it, up to a bound: what is left over in the end is a small part. One
 * thing that is larger gets a chunk of its own size.
 */
static struct arena_chunk *chunk_add(struct arena *a, size_t n)
{
	size_t size = a->taken / CHUNK_PART & ~(size_t)(CHUNK_FIRST - 1), left = a->max - a->taken;

	if (size < CHUNK_FIRST)
		size = CHUNK_FIRST;
	if (size > CHUNK_MOST)
		size = CHUNK_MOST;
	if (size < n)
		size = n;
	if (size > left)
		size = left & ~(size_t)15;
	return size < n ? NULL : chunk_add_of(a, size);
}

bool arena_reserve(struct arena *a, size_t n)
{
	size_t size = (n + 15) & ~(size_t)15;
	struct arena_chunk *c = NULL;

	if (a->p && size >= n && size <= (size_t)(a->end - a->p))
		return true;
	if (size >= n && size <= a->max - a->taken)
		c = chunk_add_of(a, size);
	if (!c) {
		a->failed = true;
		return false;
	}
	use(a, c);
	return true;
}

void *arena_alloc_slow(struct arena *a, size_t n)
{
	size_t size = (n + 15) & ~(size_t)15;
	struct arena_chunk *c;
	void *p;

	/* After a reset the next chunks are there already; one too small for this is left out this time. */
	for (c = a->at ? a->at->next : NULL; c && c->size < size; c = c->next)
		;
	if (!c && size >= n)
		c = chunk_add(a, size);
	if (!c) {
		a->failed = true;
		return NULL;
	}
	use(a, c);
	p = a->p;
	a->p += size;
	return p;
}

void *arena_zeroed(struct arena *a, size_t n, size_t size)
{
	size_t sum;
	void *p;

	if (__builtin_mul_overflow(n, size, &sum)) {
		a->failed = true;
		return NULL;
	}
	p = arena_alloc(a, sum);
	return p ? memset(p, 0, sum) : NULL;
}

char *arena_str(struct arena *a, const char *p, size_t n)
{
	char *copy = n < SIZE_MAX ? arena_alloc(a, n + 1) : NULL;

	if (!copy)
		return NULL;
	if (n)
		memcpy(copy, p, n);
	copy[n] = 0;
	return copy;
}
