/* SPDX-License-Identifier: Apache-2.0 */
/* Samples against all that there could be: as many as are wanted or possible, each of them right, none twice. */
#include "sequence/sample.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/test.h"
#include "sequence/pack.h"

enum { SLOTS = 4, EVENTS = 14, KEYS = 3, TOLD = 4096 };

struct world {
	uint32_t n_slots, per_key;
	size_t n;
	struct {
		unsigned key, slots; /* a bit a slot that it may fill */
	} ev[EVENTS];
	size_t n_told[KEYS];
	uint64_t told[KEYS][TOLD][SLOTS];
	int64_t last_key;
};

static uint64_t rng;

static unsigned pick(unsigned n)
{
	rng = hash_u64(rng, 0x5a);
	return (unsigned)(rng >> 33) % n;
}

static void tell(void *ctx, const void *key, size_t key_len, const uint64_t *handles)
{
	struct unpack u = { .p = key, .end = (const unsigned char *)key + key_len };
	struct world *w = ctx;
	struct value v;

	require(unpack_next(&u, &v) && v.type == VALUE_INT && v.i >= w->last_key && v.i < KEYS);
	w->last_key = v.i;
	for (uint32_t i = 0; i < w->n_slots; i++) {
		check(handles[i] < w->n && w->ev[handles[i]].key == v.i && w->ev[handles[i]].slots >> i & 1);
		for (uint32_t k = 0; k < i; k++)
			check(handles[k] != handles[i]);
	}
	for (size_t i = 0; i < w->n_told[v.i]; i++)
		check(memcmp(w->told[v.i][i], handles, w->n_slots * sizeof(*handles)) != 0);
	require(w->n_told[v.i] < TOLD);
	memcpy(w->told[v.i][w->n_told[v.i]++], handles, w->n_slots * sizeof(*handles));
}

/* All ways to fill the slots from `slot` on. */
static size_t count(const struct world *w, unsigned key, uint32_t slot, unsigned taken)
{
	size_t n = 0;

	if (slot == w->n_slots)
		return 1;
	for (size_t i = 0; i < w->n; i++)
		if (w->ev[i].key == key && w->ev[i].slots >> slot & 1 && !(taken >> i & 1))
			n += count(w, key, slot + 1, taken | 1U << i);
	return n;
}

TEST(samples_are_as_many_as_are_wanted_or_possible)
{
	static struct world w;

	rng = 1;
	for (unsigned round = 0; round < 2000; round++) {
		struct sampler s;

		w = (struct world) { .n_slots = 1 + pick(SLOTS), .per_key = 1 + pick(8), .n = pick(EVENTS + 1) };
		sampler_init(&s, w.n_slots, 1, w.per_key, 1 << 20, round);
		for (size_t i = 0; i < w.n; i++) {
			auto_buf struct buf key = { .max = 64 };

			w.ev[i].key = pick(KEYS);
			w.ev[i].slots = pick(1U << w.n_slots);
			check(pack_key(&key, &(struct value) { .type = VALUE_INT, .i = w.ev[i].key }, RULE_UNKNOWN,
				       false));
			for (uint32_t k = 0; k < w.n_slots; k++)
				if (w.ev[i].slots >> k & 1)
					sampler_put(&s, k, key.data, key.len, i);
		}
		require_ok(sampler_finish(&s, tell, &w));
		check_int(s.refused, 0);
		for (unsigned key = 0; key < KEYS; key++) {
			size_t all = count(&w, key, 0, 0);

			check_int(w.n_told[key], all < w.per_key ? all : w.per_key);
		}
		sampler_free(&s);
	}
}

TEST(samples_that_find_no_room_are_counted)
{
	struct sampler s;

	sampler_init(&s, 1, 1, 1, 8192, 1);
	for (uint64_t i = 0; i < 1000; i++) {
		auto_buf struct buf key = { .max = 64 };

		check(pack_key(&key, &(struct value) { .type = VALUE_INT, .i = (int64_t)i }, RULE_UNKNOWN, false));
		sampler_put(&s, 0, key.data, key.len, i);
	}
	check(s.refused > 500);
	sampler_free(&s);
}
