/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sample - events that share a join key, whatever their order in time: one for each slot, no event twice.
 *
 * Known only at the end. Of each key and slot so many events are kept that leaving out the others cannot cost a
 * sample: as many as samples are wanted, and one for each other slot. Memory is bounded; what finds no room is counted.
 * At the end keys come in ascending order, null first; of each at most so many samples as are wanted.
 */
#pragma once
#include "base/arena.h"
#include "base/map.h"

enum {
	SAMPLE_SLOTS_MAX = 64,
	SAMPLE_STEPS_MAX = 1 << 16, /* choices tried for one key */
};

struct sampler {
	struct arena arena;
	struct map keys;
	uint32_t n_slots, n_values, per_key, per_slot;
	uint64_t seed, refused;
};

/* n_values: of a key. */
void sampler_init(struct sampler *s, uint32_t n_slots, uint32_t n_values, uint32_t per_key, uint64_t max_bytes,
		  uint64_t seed);
void sampler_free(struct sampler *s);
/* An event for a slot; the key is packed. */
void sampler_put(struct sampler *s, uint32_t slot, const void *key, size_t key_len, uint64_t handle);
/* Tells all samples. -ENOMEM. */
int sampler_finish(struct sampler *s, void (*tell)(void *ctx, const void *key, size_t key_len, const uint64_t *handles),
		   void *ctx);
