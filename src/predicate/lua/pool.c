/* SPDX-License-Identifier: Apache-2.0 */
#include "predicate/lua/pool.h"
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include "base/err.h"

enum {
	SMALL = 512,              /* up to here, blocks are multiples of 16 */
	FIRST_LARGE = SMALL / 16, /* the first class beyond */
	KEPT = 256 << 10,         /* bytes that stay when all is thrown away */
};

#define LOW_FIRST ((uintptr_t)1 << 44)
#define LOW_END   ((uintptr_t)1 << 46)
#define LOW_STEP  ((uintptr_t)1 << 21)
#define LOW_LIMIT ((uintptr_t)1 << 47)
enum { LOW_TRIES = 64 };

/* The class, and how large its blocks are. */
static unsigned class_of(size_t n, size_t *ret_size)
{
	unsigned power, class;
	size_t size;

	if (n <= SMALL) {
		*ret_size = n ? (n + 15) & ~(size_t)15 : 16;
		return (unsigned)(*ret_size / 16 - 1);
	}
	power = 63 - (unsigned)__builtin_clzll(n - 1);
	/* 2^power < n <= 2^(power + 1): 1.5 times the power, or twice. */
	size = (size_t)3 << (power - 1);
	class = FIRST_LARGE + (power - 9) * 2;
	if (n > size) {
		size = (size_t)2 << power;
		class ++;
	}
	*ret_size = size;
	return class;
}

/*
 * LuaJIT keeps pointers in 47 bits, and some machines map beyond that unless they are asked to map elsewhere. The
 * kernel takes the address that it is asked for where there is room; each pool asks for another.
 */
static char *map_low(size_t bytes)
{
	static _Atomic uintptr_t next = LOW_FIRST;

	for (unsigned i = 0; i < LOW_TRIES; i++) {
		uintptr_t want =
			atomic_fetch_add_explicit(&next, LOW_STEP + bytes / LOW_STEP * LOW_STEP, memory_order_relaxed);
		char *base = mmap((void *)(LOW_FIRST + want % (LOW_END - LOW_FIRST)), bytes, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		if (base == MAP_FAILED || (uintptr_t)base + bytes <= LOW_LIMIT)
			return base;
		(void)munmap(base, bytes);
	}
	errno = ENOMEM;
	return MAP_FAILED;
}

int pool_open(struct pool *p, size_t bytes)
{
	char *base = map_low(bytes);

	if (base == MAP_FAILED)
		return err_sys(errno, "no memory for a script");
	*p = (struct pool) { .base = base, .at = base, .end = base + bytes };
	return 0;
}

void pool_close(struct pool *p)
{
	if (p->base)
		(void)munmap(p->base, (size_t)(p->end - p->base));
	*p = (struct pool) { 0 };
}

void pool_reset(struct pool *p)
{
	if (p->at - p->base > KEPT)
		(void)madvise(p->base + KEPT, (size_t)(p->end - p->base) - KEPT, MADV_DONTNEED);
	p->at = p->base;
	memset((void *)p->free, 0, sizeof(p->free));
}

void *pool_alloc(struct pool *p, size_t n)
{
	unsigned class;
	size_t size;
	void *block;

	if (n > POOL_BLOCK_MAX)
		return NULL;
	class = class_of(n, &size);
	block = p->free[class];
	if (block) {
		memcpy((void *)&p->free[class], block, sizeof(block));
		return block;
	}
	if (size > (size_t)(p->end - p->at))
		return NULL;
	block = p->at;
	p->at += size;
	return block;
}

void pool_free(struct pool *p, void *block, size_t n)
{
	unsigned class;
	size_t size;

	if (!block)
		return;
	class = class_of(n, &size);
	memcpy(block, (void *)&p->free[class], sizeof(block));
	p->free[class] = block;
}

bool pool_same(size_t a, size_t b)
{
	size_t x, y;

	return class_of(a, &x) == class_of(b, &y);
}
