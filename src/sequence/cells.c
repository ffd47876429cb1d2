/* SPDX-License-Identifier: Apache-2.0 */
#include "sequence/cells.h"
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include "base/err.h"

/* Reserved, not touched: what is never used costs nothing. Zeroed by the kernel. */
static void *reserve(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

int cells_open(struct cells *c, uint64_t bytes)
{
	uint64_t n = bytes / CELL_SIZE;

	*c = (struct cells) { 0 };
	if (n < 2 || n > UINT32_MAX)
		return err_new(-EINVAL, "%llu bytes of cells: %d to %llu are possible", (unsigned long long)bytes,
			       2 * CELL_SIZE, (unsigned long long)UINT32_MAX * CELL_SIZE);
	c->base = reserve(n * CELL_SIZE);
	if (!c->base)
		return err_sys(errno, "reserve %llu bytes", (unsigned long long)bytes);
	c->n = (uint32_t)n;
	c->fresh = 1;
	return 0;
}

void cells_close(struct cells *c)
{
	if (c->base)
		(void)munmap(c->base, (size_t)c->n * CELL_SIZE);
	*c = (struct cells) { 0 };
}

cell cells_take(struct cells *c)
{
	cell at = c->free;

	if (at)
		memcpy(&c->free, cell_at(c, at), sizeof(c->free));
	else if (c->fresh < c->n)
		at = c->fresh++;
	else
		return CELL_NONE;
	c->in_use++;
	return at;
}

void cells_give(struct cells *c, cell at)
{
	memcpy(cell_at(c, at), &c->free, sizeof(c->free));
	c->free = at;
	c->in_use--;
}

/* ---- chains ---------------------------------------------------------------------------------- */

cell chain_next(const struct cells *c, cell at)
{
	cell next;

	memcpy(&next, cell_at(c, at), sizeof(next));
	return next;
}

cell chain_write(struct cells *c, const void *bytes, size_t n)
{
	const unsigned char *p = bytes;
	cell first = CELL_NONE, last = CELL_NONE;

	while (n) {
		size_t part = n < CHAIN_BYTES ? n : CHAIN_BYTES;
		cell at = cells_take(c), none = CELL_NONE;
		unsigned char *to = cell_at(c, at);

		memcpy(to, &none, sizeof(none));
		memcpy(to + sizeof(cell), p, part);
		if (last)
			memcpy(cell_at(c, last), &at, sizeof(at));
		else
			first = at;
		last = at;
		p += part;
		n -= part;
	}
	return first;
}

void chain_read(const struct cells *c, cell first, void *ret_bytes, size_t n)
{
	unsigned char *p = ret_bytes;

	for (cell at = first; n; at = chain_next(c, at)) {
		size_t part = n < CHAIN_BYTES ? n : CHAIN_BYTES;

		memcpy(p, (unsigned char *)cell_at(c, at) + sizeof(cell), part);
		p += part;
		n -= part;
	}
}

bool chain_equals(const struct cells *c, cell first, const void *bytes, size_t n)
{
	const unsigned char *p = bytes;

	for (cell at = first; n; at = chain_next(c, at)) {
		size_t part = n < CHAIN_BYTES ? n : CHAIN_BYTES;

		if (memcmp((unsigned char *)cell_at(c, at) + sizeof(cell), p, part) != 0)
			return false;
		p += part;
		n -= part;
	}
	return true;
}

void chain_give(struct cells *c, cell first)
{
	while (first) {
		cell next = chain_next(c, first);

		cells_give(c, first);
		first = next;
	}
}

/* ---- the table ------------------------------------------------------------------------------- */

int cell_table_open(struct cell_table *t, uint32_t max)
{
	uint64_t size = 16;

	*t = (struct cell_table) { 0 };
	/* Three quarters full at most. */
	while (size / 4 * 3 < max)
		size *= 2;
	if (size > UINT32_MAX)
		return err_new(-EINVAL, "a table of %u", max);
	t->slots = reserve(size * sizeof(*t->slots));
	if (!t->slots)
		return err_sys(errno, "reserve a table of %u", max);
	t->mask = (uint32_t)size - 1;
	t->max = max;
	return 0;
}

void cell_table_close(struct cell_table *t)
{
	if (t->slots)
		(void)munmap(t->slots, ((size_t)t->mask + 1) * sizeof(*t->slots));
	*t = (struct cell_table) { 0 };
}

void cell_table_put(struct cell_table *t, uint32_t hash, cell at)
{
	uint32_t i = hash & t->mask;

	while (t->slots[i].at)
		i = (i + 1) & t->mask;
	t->slots[i] = (struct cell_slot) { hash, at };
	t->n++;
}

void cell_table_remove(struct cell_table *t, uint32_t hash, cell at)
{
	uint32_t i = hash & t->mask;

	while (t->slots[i].at != at) {
		if (!t->slots[i].at)
			return;
		i = (i + 1) & t->mask;
	}
	/* What stands behind moves back when its own place allows, so that there are no tombstones. */
	for (uint32_t j = (i + 1) & t->mask; t->slots[j].at; j = (j + 1) & t->mask) {
		uint32_t home = t->slots[j].hash & t->mask;

		if (((j - home) & t->mask) >= ((j - i) & t->mask)) {
			t->slots[i] = t->slots[j];
			i = j;
		}
	}
	t->slots[i] = (struct cell_slot) { 0 };
	t->n--;
}
