/* SPDX-License-Identifier: Apache-2.0 */
/* nearest - guesses what somebody meant who typed a word that is none of ours. */
#pragma once
#include <stddef.h>

struct nearest {
	const char *word;
	const char *best; /* NULL: nothing is close */
	size_t best_len;
	size_t distance;
};

/* struct nearest n = { .word = typed }; nearest_offer(&n, "events"); ...; n.best */
void nearest_offer(struct nearest *n, const char *candidate);
/* The same for a part of a text; `best` then ends at `best_len`. */
void nearest_offer_n(struct nearest *n, const char *candidate, size_t len);
