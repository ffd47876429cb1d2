/* SPDX-License-Identifier: Apache-2.0 */
/*
 * map - a bounded hash table of pointers to items that know their own key.
 *
 * The caller owns the items, hashes the key and says when an item has it, so keys can be
 * anything and an item never moves. Open addressing, linear probing, removal by shifting
 * back (no tombstones): a table that lives for months stays as fast as on its first day.
 *
 * Grows by doubling up to `max` items, then refuses; map_reserve() takes the memory at once
 * for those that must not allocate later. One thread at a time.
 *
 *	struct user { uint32_t uid; char name[32]; };
 *	static bool user_is(const void *item, const void *key)
 *	{
 *		return ((const struct user *)item)->uid == *(const uint32_t *)key;
 *	}
 *	map_init(&users, 1024, user_is);
 *	r = map_put(&users, hash_u64(u->uid, seed), u);
 *	u = map_get(&users, hash_u64(uid, seed), &uid);
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct map_slot {
	uint64_t hash;
	void *item; /* NULL: free */
};

struct map {
	struct map_slot *slots;
	size_t n, mask, max; /* mask + 1 slots once there are any */
	bool (*has_key)(const void *item, const void *key);
};

void map_init(struct map *m, size_t max, bool (*has_key)(const void *item, const void *key));
/* Frees the table, not the items. */
void map_free(struct map *m);
/* Room for n items (at most max) without another allocation. */
int map_reserve(struct map *m, size_t n);
/* Forgets all items; the memory stays. */
void map_clear(struct map *m);

/* The item with this key, or NULL. */
void *map_get(const struct map *m, uint64_t hash, const void *key);
/* Adds an item whose key is not in the table. -ENOSPC when it holds max, -ENOMEM. No trail: this is for hot paths. */
int map_put(struct map *m, uint64_t hash, void *item);
/* Takes the item with this key out; NULL when there is none. */
void *map_remove(struct map *m, uint64_t hash, const void *key);

/*
 * Walks all items: size_t at = 0; while ((item = map_next(&m, &at))) ... The order means
 * nothing. map_remove_at() with the same `at` takes the item just handed out out of the
 * table; the walk goes on, and may show an item twice where the table wraps around.
 */
void *map_next(const struct map *m, size_t *at);
void map_remove_at(struct map *m, size_t *at);
#define auto_map __attribute__((cleanup(map_free)))
