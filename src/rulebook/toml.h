/* SPDX-License-Identifier: Apache-2.0 */
/*
 * toml - the text of one file of TOML 1.0 as a tree whose every node knows its line and column.
 *
 * All of the language is read, and what it forbids is refused: a key twice, a table that is opened again, control
 * characters, what is no UTF-8. Dates are checked for their form alone, and kept as text. Size, depth, nodes and keys
 * are bounded; time is linear in the text but for the keys of one table, of which there are few.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/arena.h"

enum {
	TOML_BYTES_MAX = 1 << 20,
	TOML_DEPTH_MAX = 32,
	TOML_NODES_MAX = 1 << 16,
	TOML_KEYS_MAX = 1024, /* of one table */
	TOML_KEY_MAX = 256,   /* bytes of one part of a key */
	TOML_MEMORY_MAX = 32 << 20,
};

enum toml_type { TOML_TABLE, TOML_ARRAY, TOML_STRING, TOML_INTEGER, TOML_FLOAT, TOML_BOOLEAN, TOML_DATE };

struct toml_node {
	enum toml_type type;
	unsigned line, column; /* of the value; of a table or a list of them, of the key that made it */
	/* Of a string: where its first character stands. Later lines begin at column 1. */
	unsigned text_line, text_column;
	struct toml_node *first, *last, *next;
	size_t n;         /* children */
	const char *key;  /* of a child of a table */
	const char *text; /* of a string, a number, a date: NUL-terminated, and a string may hold NULs */
	size_t len;
	union {
		int64_t i;
		double f;
		bool b;
	};
	/* How it came to be: what may still be added to it. */
	enum { TOML_IMPLIED, TOML_OPENED, TOML_DOTTED, TOML_CLOSED } state;
};

struct toml_error {
	unsigned line, column;
	char message[128];
};

/* Of memory of the arena. -EINVAL and *reterr_error, or -ENOMEM; *ret_root is a table. */
int toml_read(const char *text, size_t n, struct arena *arena, struct toml_error *reterr_error,
	      struct toml_node **ret_root);

/* NULL: there is none, or it is no table. */
const struct toml_node *toml_child(const struct toml_node *table, const char *key);
/* "a text", "a list": for messages. */
const char *toml_type_name(const struct toml_node *node);
