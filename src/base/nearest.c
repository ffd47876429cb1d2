/* SPDX-License-Identifier: Apache-2.0 */
#include "base/nearest.h"
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { WORD_MAX = 64 };

static size_t min3(size_t a, size_t b, size_t c)
{
	size_t m = a < b ? a : b;

	return m < c ? m : c;
}

/* Insertions, deletions, changes and swaps of neighbours between two words. */
static size_t distance(const char *a, size_t na, const char *b, size_t nb)
{
	size_t rows[3][WORD_MAX + 1], *before = rows[0], *last = rows[1], *now = rows[2];

	for (size_t j = 0; j <= nb; j++)
		last[j] = j;
	for (size_t i = 1; i <= na; i++) {
		size_t *spare = before;

		now[0] = i;
		for (size_t j = 1; j <= nb; j++) {
			now[j] = min3(last[j] + 1, now[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    before[j - 2] + 1 < now[j])
				now[j] = before[j - 2] + 1;
		}
		before = last;
		last = now;
		now = spare;
	}
	return last[nb];
}

void nearest_offer_n(struct nearest *n, const char *candidate, size_t len)
{
	size_t typed = strlen(n->word), d;

	if (!typed || typed > WORD_MAX || len > WORD_MAX)
		return;
	d = distance(n->word, typed, candidate, len);
	/* The beginning of a word is as good as one wrong letter. */
	if (typed >= 2 && typed < len && !strncmp(n->word, candidate, typed))
		d = 1;
	if (d > (len + 2) / 3 || (n->best && d >= n->distance))
		return;
	n->best = candidate;
	n->best_len = len;
	n->distance = d;
}

void nearest_offer(struct nearest *n, const char *candidate)
{
	nearest_offer_n(n, candidate, strlen(candidate));
}
