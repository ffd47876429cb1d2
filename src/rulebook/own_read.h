/* SPDX-License-Identifier: Apache-2.0 */
/* own_read - reading keys as own.h describes them: what is wrong with one is told at its place. */
#pragma once
#include "rulebook/maker.h"
#include "rulebook/own.h"

/* A rule that is being read, or a macro. */
struct own {
	struct maker *m;
	const char *id; /* NULL: not known yet */
	struct book_rule rule;
	bool bad;
};

#define own_wrong(o, node, ...)                                                                                        \
	do {                                                                                                           \
		(o)->bad = true;                                                                                       \
		maker_problem((o)->m, own_place(node), (o)->id, __VA_ARGS__);                                          \
	} while (0)

struct place own_place(const struct yaml_node *n);
/* Is it a mapping that has what it needs, and nothing that nobody knows? */
bool own_check_keys(struct own *o, const struct yaml_node *map, const char *what, const struct own_key *keys);
/* A text within its bounds, or NULL after a message; a copy of it in the book. */
const char *own_text(struct own *o, const struct yaml_node *n, const char *name, unsigned max);
const char *own_copy(struct own *o, const struct yaml_node *n, const char *name, unsigned max);
bool own_word(struct own *o, const struct yaml_node *n, const struct own_key *key, unsigned *ret_index);
/* The items of a list, or the one text that stands in its place. */
bool own_texts(struct own *o, const struct yaml_node *n, const struct own_key *key, const char *const **ret_texts,
	       size_t *ret_n);
/*
 * Where the first character of a text stands in the file, and how far its other lines are moved in: a query's
 * diagnostics are told there.
 */
struct place own_text_place(const struct maker *m, const struct yaml_node *n, unsigned *ret_indent);
/* The documents of the file; NULL after a message. */
struct yaml_node *own_documents(struct maker *m);
