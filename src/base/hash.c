/* SPDX-License-Identifier: Apache-2.0 */
#include "base/hash.h"
#include <stdbool.h>
#include <sys/random.h>
#include <time.h>

uint64_t hash_seed(void)
{
	static uint64_t seed;
	uint64_t now = __atomic_load_n(&seed, __ATOMIC_RELAXED), fresh = 0;

	if (now)
		return now;
	if (getrandom(&fresh, sizeof(fresh), GRND_NONBLOCK) != (ssize_t)sizeof(fresh)) {
		struct timespec ts = { 0 };

		(void)clock_gettime(CLOCK_MONOTONIC, &ts);
		fresh = hash_u64((uint64_t)ts.tv_nsec << 32 ^ (uint64_t)ts.tv_sec, (uint64_t)(uintptr_t)&ts);
	}
	fresh |= 1;
	/* The first thread to get here decides for all. */
	if (__atomic_compare_exchange_n(&seed, &now, fresh, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		return fresh;
	return now;
}
