/* SPDX-License-Identifier: Apache-2.0 */
/* nearest - guesses what somebody meant who typed a word that is none of ours. */
#pragma once
#include <stddef.h>

struct nearest {
	const char *word;
	const char *best; /* NULL: nothing is close */
	size_t distance;
};

/* struct nearest n = { .word = typed }; nearest_offer(&n, "events"); ...; n.best */
void nearest_offer(struct nearest *n, const char *candidate);
