/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/tally.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "base/hash.h"
#include "base/json.h"
#include "cli/text.h"

enum { KINDS_MAX = 1024, OUT_MAX = 1 << 20 };

struct counted {
	uint64_t n;
	char kind[64];
};

static bool counted_is(const void *item, const void *key)
{
	return !strcmp(((const struct counted *)item)->kind, key);
}

void tally_init(struct tally *t)
{
	map_init(&t->kinds, KINDS_MAX, counted_is);
}

void tally_add(struct tally *t, const char *kind, uint64_t n)
{
	char key[sizeof(((struct counted *)0)->kind)];
	struct counted *c;
	uint64_t hash;

	(void)snprintf(key, sizeof(key), "%s", kind);
	hash = hash_bytes(key, strlen(key), hash_seed());
	c = map_get(&t->kinds, hash, key);
	if (!c) {
		c = calloc(1, sizeof(*c));
		if (!c)
			return;
		memcpy(c->kind, key, sizeof(key));
		if (map_put(&t->kinds, hash, c) < 0) {
			free(c);
			return;
		}
	}
	c->n += n;
}

void tally_free(struct tally *t)
{
	struct counted *c;
	size_t at = 0;

	while ((c = map_next(&t->kinds, &at)))
		free(c);
	map_free(&t->kinds);
}

static int more_first(const void *a, const void *b)
{
	const struct counted *x = *(const struct counted *const *)a, *y = *(const struct counted *const *)b;

	return x->n != y->n ? x->n < y->n ? 1 : -1 : strcmp(x->kind, y->kind);
}

void tally_show(struct cli *cli, const struct tally *t, uint32_t output)
{
	static const char *const titles[] = { ">events", "kind", NULL };
	auto_free const struct counted **sorted = calloc(t->kinds.n + 1, sizeof(const struct counted *));
	auto_table struct table table = { 0 };
	auto_buf struct buf out = { 0 };
	size_t at = 0, n = 0;

	table_init(&table, titles);
	buf_init(&out, OUT_MAX);
	if (!sorted)
		return;
	while (n < t->kinds.n && (sorted[n] = map_next(&t->kinds, &at)))
		n++;
	qsort(sorted, n, sizeof(const struct counted *), more_first);
	buf_str(&out, output == OUTPUT_JSON ? "{" : "");
	for (size_t i = 0; i < n; i++) {
		table_cell(&table, "%" PRIu64, sorted[i]->n);
		table_cell(&table, "%s", sorted[i]->kind);
		if (output == OUTPUT_JSON) {
			buf_str(&out, i ? "," : "");
			json_write_str(&out, sorted[i]->kind, strlen(sorted[i]->kind));
			buf_printf(&out, ":%" PRIu64, sorted[i]->n);
		}
	}
	if (output == OUTPUT_JSON)
		buf_str(&out, "}\n");
	else if (n)
		table_print(&table, 0, &out);
	(void)cli_write(cli, &out);
}
