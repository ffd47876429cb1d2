/* SPDX-License-Identifier: Apache-2.0 */
#include "sequence/sample.h"
#include <errno.h>
#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"
#include "sequence/pack.h"

enum { KEYS_MAX = 1 << 26, EVENTS_IN_BLOCK = 7 };

struct block {
	struct block *next;
	uint64_t event[EVENTS_IN_BLOCK];
};

struct slot {
	struct block *first, *last;
	uint32_t n;
};

struct sample_key {
	const void *bytes;
	size_t len;
	struct value *values; /* for sorting; made at the end */
	struct slot slot[];
};

struct wanted {
	const void *bytes;
	size_t len;
};

static bool has_bytes(const void *item, const void *key)
{
	const struct sample_key *k = item;
	const struct wanted *w = key;

	return k->len == w->len && memcmp(k->bytes, w->bytes, w->len) == 0;
}

void sampler_init(struct sampler *s, uint32_t n_slots, uint32_t n_values, uint32_t per_key, uint64_t max_bytes,
		  uint64_t seed)
{
	*s = (struct sampler) { .n_slots = n_slots, .n_values = n_values, .per_key = per_key, .seed = seed };
	s->per_slot = per_key > UINT32_MAX - n_slots ? UINT32_MAX : per_key + n_slots - 1;
	arena_init(&s->arena, max_bytes);
	map_init(&s->keys, KEYS_MAX, has_bytes);
}

void sampler_free(struct sampler *s)
{
	map_free(&s->keys);
	arena_free(&s->arena);
}

static struct sample_key *key_new(struct sampler *s, uint64_t hash, const struct wanted *w)
{
	struct sample_key *k = arena_zeroed(&s->arena, 1, sizeof(*k) + s->n_slots * sizeof(k->slot[0]));
	void *bytes = arena_alloc(&s->arena, w->len);

	if (!k || !bytes)
		return NULL;
	memcpy(bytes, w->bytes, w->len);
	k->bytes = bytes;
	k->len = w->len;
	return map_put(&s->keys, hash, k) < 0 ? NULL : k;
}

void sampler_put(struct sampler *s, uint32_t slot, const void *key, size_t key_len, uint64_t handle)
{
	const struct wanted w = { key, key_len };
	uint64_t hash = hash_bytes(key, key_len, s->seed);
	struct sample_key *k = map_get(&s->keys, hash, &w);
	struct slot *to;

	if (!k && !(k = key_new(s, hash, &w))) {
		s->refused++;
		return;
	}
	to = &k->slot[slot];
	if (to->n >= s->per_slot)
		return;
	if (to->n % EVENTS_IN_BLOCK == 0) {
		struct block *b = arena_alloc(&s->arena, sizeof(*b));

		if (!b) {
			s->refused++;
			return;
		}
		b->next = NULL;
		if (to->last)
			to->last->next = b;
		else
			to->first = b;
		to->last = b;
	}
	to->last->event[to->n++ % EVENTS_IN_BLOCK] = handle;
}

/* ---- the end --------------------------------------------------------------------------------- */

struct order {
	size_t n_values;
};

static int by_values(const void *a, const void *b, void *arg)
{
	const struct sample_key *ka = *(struct sample_key *const *)a, *kb = *(struct sample_key *const *)b;
	const struct order *o = arg;
	int r = 0;

	for (size_t i = 0; !r && i < o->n_values; i++)
		r = value_order(&ka->values[i], &kb->values[i], false);
	return r;
}

static bool is_full(const struct sampler *s, const struct sample_key *k)
{
	for (uint32_t i = 0; i < s->n_slots; i++)
		if (!k->slot[i].n)
			return false;
	return true;
}

static bool read_values(struct sampler *s, struct sample_key *k)
{
	struct unpack u = { .p = k->bytes, .end = (const unsigned char *)k->bytes + k->len };

	/* Keys hold no lists: an item of one is a key of its own. */
	k->values = malloc((s->n_values ? s->n_values : 1) * sizeof(*k->values));
	for (uint32_t i = 0; k->values && i < s->n_values; i++)
		if (!unpack_next(&u, &k->values[i]))
			k->values[i] = (struct value) { 0 };
	return k->values;
}

/* Where the search stands in one slot. */
struct place {
	const struct block *block;
	uint32_t i;
};

static bool is_taken(const uint64_t *handles, uint32_t n, uint64_t handle)
{
	for (uint32_t i = 0; i < n; i++)
		if (handles[i] == handle)
			return true;
	return false;
}

/* All ways to choose an event for each slot, none twice, until there are enough of them. */
static void choose(struct sampler *s, const struct sample_key *k,
		   void (*tell)(void *ctx, const void *key, size_t key_len, const uint64_t *handles), void *ctx)
{
	struct place at[SAMPLE_SLOTS_MAX];
	uint64_t handles[SAMPLE_SLOTS_MAX];
	uint32_t depth = 0, found = 0;

	at[0] = (struct place) { k->slot[0].first, 0 };
	for (uint32_t steps = 0; steps < SAMPLE_STEPS_MAX; steps++) {
		struct place *p = &at[depth];

		if (p->i >= k->slot[depth].n) {
			if (!depth)
				return;
			depth--;
			continue;
		}
		handles[depth] = p->block->event[p->i % EVENTS_IN_BLOCK];
		if (++p->i % EVENTS_IN_BLOCK == 0)
			p->block = p->block->next;
		if (is_taken(handles, depth, handles[depth]))
			continue;
		if (depth + 1 < s->n_slots) {
			depth++;
			at[depth] = (struct place) { k->slot[depth].first, 0 };
			continue;
		}
		tell(ctx, k->bytes, k->len, handles);
		if (++found >= s->per_key)
			return;
	}
	s->refused++;
}

int sampler_finish(struct sampler *s, void (*tell)(void *ctx, const void *key, size_t key_len, const uint64_t *handles),
		   void *ctx)
{
	struct sample_key **keys = calloc(s->keys.n ? s->keys.n : 1, sizeof(struct sample_key *)), *k;
	struct order order = { s->n_values };
	size_t n = 0, at = 0;
	int r = keys ? 0 : -ENOMEM;

	while (r == 0 && (k = map_next(&s->keys, &at)))
		if (is_full(s, k)) {
			keys[n++] = k;
			if (!read_values(s, k))
				r = -ENOMEM;
		}
	if (r == 0) {
		qsort_r(keys, n, sizeof(*keys), by_values, &order);
		for (size_t i = 0; i < n; i++)
			choose(s, keys[i], tell, ctx);
	}
	for (size_t i = 0; i < n; i++)
		free(keys[i]->values);
	free(keys);
	map_clear(&s->keys);
	arena_reset(&s->arena);
	return r < 0 ? err_new(r, "no memory for samples") : 0;
}
