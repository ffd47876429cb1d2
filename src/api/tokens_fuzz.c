/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a file of tokens and, behind a NUL, as a header: what is taken is written and read back the same. */
#include "api/tokens.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char path[64];
	AUTO(tokens) t = NULL;
	AUTO(tokens) again = NULL;
	const uint8_t *end = memchr(data, 0, size);
	size_t n = end ? (size_t)(end - data) : size;

	if (!path[0])
		(void)snprintf(path, sizeof(path), "/tmp/shrike-tokens-fuzz-%d", (int)getpid());
	if (tokens_parse("fuzz", (const char *)data, n, &t) < 0)
		return 0;
	if (end)
		(void)tokens_find(t, (const char *)end + 1, size - n - 1);
	if (tokens_save(path, t) < 0 || tokens_load(path, &again) < 0 || again->n != t->n)
		abort();
	for (size_t i = 0; i < t->n; i++) {
		const struct token_row *a = &t->rows[i], *b = &again->rows[i];

		if (strcmp(a->name, b->name) != 0 || a->role != b->role || strcmp(a->cn, b->cn) != 0 ||
		    memcmp(a->hash, b->hash, sizeof(a->hash)) != 0 || a->allow.n != b->allow.n ||
		    a->deny.n != b->deny.n)
			abort();
	}
	(void)unlink(path);
	return 0;
}
