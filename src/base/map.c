/* SPDX-License-Identifier: Apache-2.0 */
#include "base/map.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MAP_FIRST = 16 };

void map_init(struct map *m, size_t max, bool (*has_key)(const void *item, const void *key))
{
	*m = (struct map) { .max = max, .has_key = has_key };
}

void map_free(struct map *m)
{
	free(m->slots);
	map_init(m, m->max, m->has_key);
}

void map_clear(struct map *m)
{
	if (m->slots)
		memset(m->slots, 0, (m->mask + 1) * sizeof(*m->slots));
	m->n = 0;
}

static size_t size_of(const struct map *m)
{
	return m->slots ? m->mask + 1 : 0;
}

/* Three quarters full: probes stay short, and there is always a free slot to end them. */
static size_t room_of(size_t size)
{
	return size / 4 * 3;
}

static void place(struct map_slot *slots, size_t mask, uint64_t hash, void *item)
{
	size_t i = hash & mask;

	while (slots[i].item)
		i = (i + 1) & mask;
	slots[i] = (struct map_slot) { hash, item };
}

static int grow(struct map *m, size_t size)
{
	struct map_slot *slots = calloc(size, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	for (size_t i = 0; i < size_of(m); i++)
		if (m->slots[i].item)
			place(slots, size - 1, m->slots[i].hash, m->slots[i].item);
	free(m->slots);
	m->slots = slots;
	m->mask = size - 1;
	return 0;
}

int map_reserve(struct map *m, size_t n)
{
	size_t size = MAP_FIRST;

	if (n > m->max)
		return -ENOSPC;
	while (room_of(size) < n) {
		if (size > SIZE_MAX / 2 / sizeof(*m->slots))
			return -ENOMEM;
		size *= 2;
	}
	return size > size_of(m) ? grow(m, size) : 0;
}

static struct map_slot *find(const struct map *m, uint64_t hash, const void *key)
{
	if (!m->n)
		return NULL;
	for (size_t i = hash & m->mask; m->slots[i].item; i = (i + 1) & m->mask)
		if (m->slots[i].hash == hash && m->has_key(m->slots[i].item, key))
			return &m->slots[i];
	return NULL;
}

void *map_get(const struct map *m, uint64_t hash, const void *key)
{
	const struct map_slot *s = find(m, hash, key);

	return s ? s->item : NULL;
}

int map_put(struct map *m, uint64_t hash, void *item)
{
	if (m->n >= m->max)
		return -ENOSPC;
	if (m->n >= room_of(size_of(m))) {
		int r = grow(m, m->slots ? size_of(m) * 2 : MAP_FIRST);

		if (r < 0)
			return r;
	}
	place(m->slots, m->mask, hash, item);
	m->n++;
	return 0;
}

/* Moves back what stands behind slot i and could not stand nearer to its own place because of it. */
static void close_gap(struct map *m, size_t i)
{
	for (size_t j = (i + 1) & m->mask; m->slots[j].item; j = (j + 1) & m->mask) {
		size_t home = m->slots[j].hash & m->mask;

		/* From its home, is the gap on the way to where it stands? */
		if (((j - home) & m->mask) >= ((j - i) & m->mask)) {
			m->slots[i] = m->slots[j];
			i = j;
		}
	}
	m->slots[i] = (struct map_slot) { 0 };
	m->n--;
}

void *map_remove(struct map *m, uint64_t hash, const void *key)
{
	struct map_slot *s = find(m, hash, key);
	void *item;

	if (!s)
		return NULL;
	item = s->item;
	close_gap(m, (size_t)(s - m->slots));
	return item;
}

void *map_next(const struct map *m, size_t *at)
{
	while (*at < size_of(m))
		if (m->slots[(*at)++].item)
			return m->slots[*at - 1].item;
	return NULL;
}

void map_remove_at(struct map *m, size_t *at)
{
	/* What moves into the gap has not been shown yet, unless it wrapped around: look here again. */
	close_gap(m, --*at);
}
