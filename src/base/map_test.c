/* SPDX-License-Identifier: Apache-2.0 */
#include "base/map.h"
#include <errno.h>
#include <stdlib.h>
#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/test.h"

struct item {
	uint64_t key;
	bool in;
};

static bool item_is(const void *item, const void *key)
{
	return ((const struct item *)item)->key == *(const uint64_t *)key;
}

/* A hash with very few values: long runs, wrapped runs, shifted runs. */
static uint64_t poor(uint64_t key)
{
	return key % 7 + (key % 3 ? 0 : UINT64_MAX - 8);
}

static uint64_t good(uint64_t key)
{
	return hash_u64(key, 1);
}

static size_t walk(const struct map *m, const struct item *items)
{
	struct item *it;
	size_t at = 0, n = 0;

	while ((it = map_next(m, &at))) {
		check(it->in && it == &items[it->key]);
		n++;
	}
	return n;
}

TEST(map_holds_what_a_plain_array_holds)
{
	static const struct {
		const char *name;
		uint64_t (*hash)(uint64_t);
		size_t keys, steps;
	} rows[] = { { "good hash", good, 1000, 20000 }, { "poor hash", poor, 60, 20000 } };

	for_each_row (r, rows) {
		auto_free struct item *items = calloc(r->keys, sizeof(*items));
		auto_map struct map m;
		size_t in = 0;
		unsigned seed = 1;

		map_init(&m, r->keys, item_is);
		require(items != NULL);
		for (size_t s = 0; s < r->steps; s++) {
			uint64_t key = (uint64_t)rand_r(&seed) % r->keys;
			struct item *it = &items[key];
			void *got = map_get(&m, r->hash(key), &key);

			it->key = key;
			require(got == (it->in ? it : NULL));
			if (it->in) {
				require(map_remove(&m, r->hash(key), &key) == it);
				in--;
			} else {
				require(map_put(&m, r->hash(key), it) == 0);
				in++;
			}
			it->in = !it->in;
			check_int(m.n, in);
		}
		check_int(walk(&m, items), in);
		map_clear(&m);
		check_int(m.n, 0);
	}
}

TEST(map_refuses_more_than_its_maximum)
{
	auto_map struct map m;
	struct item items[4] = { { .key = 0 }, { .key = 1 }, { .key = 2 }, { .key = 3 } };

	map_init(&m, 3, item_is);
	check_int(map_reserve(&m, 4), -ENOSPC);
	check_int(map_reserve(&m, 3), 0);
	for (uint64_t i = 0; i < 3; i++)
		check_int(map_put(&m, good(i), &items[i]), 0);
	check_int(map_put(&m, good(3), &items[3]), -ENOSPC);
	check(map_get(&m, good(3), &items[3].key) == NULL);
}

TEST(a_walk_may_take_items_out)
{
	struct item items[500], *it;
	auto_map struct map m;
	size_t at = 0;

	map_init(&m, countof(items), item_is);
	for (uint64_t i = 0; i < countof(items); i++) {
		items[i] = (struct item) { .key = i, .in = true };
		require(map_put(&m, poor(i), &items[i]) == 0);
	}
	while ((it = map_next(&m, &at)))
		if (it->key % 2) {
			it->in = false;
			map_remove_at(&m, &at);
		}
	check_int(walk(&m, items), countof(items) / 2);
	for (uint64_t i = 0; i < countof(items); i++)
		check(!map_get(&m, poor(i), &i) == !items[i].in);
}

TEST(hash_depends_on_every_byte_and_on_the_seed)
{
	unsigned char bytes[64];

	for (size_t n = 1; n <= sizeof(bytes); n++) {
		uint64_t h;

		memset(bytes, 0, sizeof(bytes));
		h = hash_bytes(bytes, n, 7);
		check(h != hash_bytes(bytes, n - 1, 7));
		check(h != hash_bytes(bytes, n, 8));
		for (size_t i = 0; i < n; i++) {
			bytes[i] = 1;
			check(hash_bytes(bytes, n, 7) != h);
			bytes[i] = 0;
		}
	}
	check(hash_seed() == hash_seed());
}

/* Close keys must fall into different slots: the low bits choose the slot. */
TEST(hash_spreads_numbers_in_a_row)
{
	static unsigned short hits[4096];
	unsigned most = 0;

	for (uint64_t i = 0; i < 4096; i++)
		hits[hash_u64(i << 12, 3) % 4096]++;
	for (size_t i = 0; i < 4096; i++)
		most = hits[i] > most ? hits[i] : most;
	check(most < 12);
}
