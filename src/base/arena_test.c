/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"
#include <stdint.h>
#include "base/test.h"

TEST(arena_hands_out_memory_that_does_not_overlap)
{
	auto_arena struct arena a;
	char *parts[200];

	arena_init(&a, 1 << 20);
	for (int round = 0; round < 3; round++) {
		size_t taken = a.taken;

		for (size_t i = 0; i < 200; i++) {
			size_t n = i * 7 % 300;

			parts[i] = arena_alloc(&a, n);
			require(parts[i] != NULL);
			check((uintptr_t)parts[i] % 16 == 0);
			memset(parts[i], (int)i, n);
		}
		for (size_t i = 0; i < 200; i++)
			for (size_t k = 0; k < i * 7 % 300; k++)
				require(parts[i][k] == (char)i);
		/* The second round uses what the first has taken. */
		check(round == 0 || a.taken == taken);
		arena_reset(&a);
	}
}

TEST(arena_keeps_within_its_bound)
{
	auto_arena struct arena a;

	arena_init(&a, 10000);
	check(arena_alloc(&a, 10001) == NULL);
	check(a.failed);
	arena_reset(&a);
	check(!a.failed);
	check(arena_alloc(&a, 9984) != NULL);
	check(arena_alloc(&a, 100) == NULL);
	check(arena_alloc(&a, SIZE_MAX) == NULL);
	check(arena_zeroed(&a, SIZE_MAX / 2, 3) == NULL);
	check(arena_str(&a, "x", SIZE_MAX) == NULL);
	check(a.taken <= a.max);
}

TEST(arena_takes_just_what_is_reserved)
{
	auto_arena struct arena a;

	arena_init(&a, 10000);
	check(arena_reserve(&a, 100));
	check_int(a.taken, 112);
	check(arena_alloc(&a, 100) != NULL);
	check_int(a.taken, 112);
	/* What is left of a chunk is enough for this. */
	check(arena_alloc(&a, 1) != NULL);
	check(arena_reserve(&a, 16));
	check(a.taken > 112 && !a.failed);
	check(!arena_reserve(&a, 10000) && a.failed);
	check(!arena_reserve(&a, SIZE_MAX));
}

TEST(arena_that_grows_leaves_only_a_part_unused)
{
	auto_arena struct arena a;
	size_t used = 0;

	arena_init(&a, 64 << 20);
	for (size_t i = 0; i < 100000; i++) {
		require(arena_alloc(&a, 48) != NULL);
		used += 48;
		if (used > 32768)
			require(a.taken <= used + used / 3);
	}
}

TEST(arena_copies_and_clears)
{
	auto_arena struct arena a;
	const char *s;
	uint64_t *zeros;

	arena_init(&a, 1 << 16);
	memset(arena_alloc(&a, 4000), 0xff, 4000);
	arena_reset(&a);
	zeros = arena_zeroed(&a, 100, sizeof(*zeros));
	require(zeros != NULL);
	for (int i = 0; i < 100; i++)
		check(zeros[i] == 0);
	s = arena_str(&a, "abcdef", 3);
	check_str(s, "abc");
	check_str(arena_str(&a, NULL, 0), "");
}
