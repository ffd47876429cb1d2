/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cells - memory in cells of 64 bytes, each a line of the cache: taken and given back one by one, never moved,
 * never from malloc after cells_open().
 *
 * One size for all means that nothing is lost to fragments: letting one thing go makes room for another, whatever
 * it is. What is longer than a cell is a chain. A cell is named by a number, 0 is none. The memory is reserved at
 * once and touched only when it is used. One thread at a time.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint32_t cell;
enum {
	CELL_NONE = 0,
	CELL_SIZE = 64,
	CHAIN_BYTES = CELL_SIZE - sizeof(cell), /* in one cell of a chain */
};

struct cells {
	unsigned char *base;
	uint32_t n;     /* cells there are, CELL_NONE included */
	uint32_t fresh; /* from here on never used */
	uint32_t in_use;
	cell free; /* given back */
};

int cells_open(struct cells *c, uint64_t bytes);
void cells_close(struct cells *c);
/* The memory is as it comes: neither zeroed nor what it was. CELL_NONE when there is none. */
cell cells_take(struct cells *c);
void cells_give(struct cells *c, cell at);

static inline void *cell_at(const struct cells *c, cell at)
{
	return c->base + (size_t)at * CELL_SIZE;
}

static inline uint32_t cells_room(const struct cells *c)
{
	return c->n - 1 - c->in_use;
}

/* ---- chains of bytes: a cell's first word names the next ------------------------------------- */

static inline uint32_t chain_cells(size_t n)
{
	return (uint32_t)((n + CHAIN_BYTES - 1) / CHAIN_BYTES);
}

/* There is room: ask cells_room() first. CELL_NONE for no bytes. */
cell chain_write(struct cells *c, const void *bytes, size_t n);
void chain_read(const struct cells *c, cell first, void *ret_bytes, size_t n);
bool chain_equals(const struct cells *c, cell first, const void *bytes, size_t n);
cell chain_next(const struct cells *c, cell at);
void chain_give(struct cells *c, cell first);

/* ---- a table of cells by hash ---------------------------------------------------------------- */

/* Open addressing, fixed size. Who asks compares the keys. */
struct cell_table {
	struct cell_slot {
		uint32_t hash;
		cell at;
	} *slots;
	uint32_t mask, n, max;
};

int cell_table_open(struct cell_table *t, uint32_t max);
void cell_table_close(struct cell_table *t);

static inline bool cell_table_is_full(const struct cell_table *t)
{
	return t->n >= t->max;
}

/*
 * Walks those with this hash:
 *	for (i = hash & t->mask; t->slots[i].at; i = (i + 1) & t->mask)
 *		if (t->slots[i].hash == hash && is_it(t->slots[i].at)) ...
 * There is always a free slot that ends the walk.
 */
void cell_table_put(struct cell_table *t, uint32_t hash, cell at);
void cell_table_remove(struct cell_table *t, uint32_t hash, cell at);
