/* SPDX-License-Identifier: Apache-2.0 */
/* Any text: a tree whose nodes lie within the text and whose keys are unique, or a refusal with a place. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "rulebook/toml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define must(e)                                                                                                        \
	do {                                                                                                           \
		if (!(e))                                                                                              \
			abort();                                                                                       \
	} while (0)

static void walk(const struct toml_node *n, unsigned lines, unsigned depth)
{
	size_t kids = 0;

	must(n->line >= 1 && n->line <= lines && n->column >= 1 && depth <= 3 * TOML_DEPTH_MAX);
	if (n->type == TOML_STRING)
		must(n->text && n->text_line >= n->line && !n->text[n->len]);
	for (const struct toml_node *c = n->first; c; c = c->next, kids++) {
		must((n->type == TOML_TABLE) == (c->key != NULL));
		must(!c->key || toml_child(n, c->key) == c);
		walk(c, lines, depth + 1);
	}
	must(kids == n->n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct toml_error error = { 0 };
	struct toml_node *root = NULL;
	auto_arena struct arena arena;
	unsigned lines = 1;
	int r;

	arena_init(&arena, TOML_MEMORY_MAX);
	for (size_t i = 0; i < size; i++)
		lines += data[i] == '\n';
	r = toml_read((const char *)data, size, &arena, &error, &root);
	if (r == 0)
		walk(root, lines, 0);
	else
		must(r == -ENOMEM || (error.message[0] && error.line >= 1 && error.line <= lines && error.column >= 1));
	return 0;
}
