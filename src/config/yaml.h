/* SPDX-License-Identifier: Apache-2.0 */
/*
 * yaml - the text of one file as a tree whose every node knows its line and column.
 *
 * A part of YAML is enough for a configuration, and what is not needed is refused with
 * its place: anchors and aliases (so that no file grows while it is read), tags, folded
 * texts (>), more than one document, keys that are not plain words, a key twice. Bytes must
 * be UTF-8 without control characters. Size, depth, nodes, keys and lines of
 * a text are bounded.
 *
 * Files that others wrote for other programs, such as rules, may have more: several documents, folded texts, longer
 * keys and texts. Anchors, aliases and tags are refused there too.
 *
 * Reading goes by parser events: libfyaml never builds a document of its own.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "config/report.h"

enum {
	YAML_BYTES_MAX = 1 << 20, /* of one file */
	YAML_DEPTH_MAX = 16,
	YAML_NODES_MAX = 32768,
	YAML_KEYS_MAX = 512, /* of one mapping */
	YAML_KEY_MAX = 128,  /* bytes of one key */
	YAML_LINES_MAX = 64, /* of one text */
	/* The same for files of others. */
	YAML_DOCUMENTS_MAX = 1024,
	YAML_FOREIGN_NODES_MAX = 1 << 17,
	YAML_FOREIGN_KEY_MAX = 512,
	YAML_FOREIGN_LINES_MAX = 4096, /* of which YAML_LINES_MAX may be blank */
};

enum yaml_type { YAML_NOTHING, YAML_SCALAR, YAML_LIST, YAML_MAP };

struct yaml_node {
	enum yaml_type type;
	unsigned line, column; /* from 1; columns count characters */
	bool plain;            /* of a scalar: without quotes, | and >; a number if it reads as one */
	struct yaml_node *first, *last, *next;
	size_t n;              /* children */
	struct yaml_node *key; /* of a child of a mapping: a scalar */
	size_t len;            /* of text: it may hold a NUL */
	char text[];           /* of a scalar */
};

/*
 * Reads a whole text. Problems go to `report`; *ret_root is NULL for a text that has
 * nothing but comments. `name` is what people know the file by.
 */
int yaml_read(const char *name, const char *text, size_t len, struct config_report *report,
	      struct yaml_node **ret_root);
/* Reads a file of others: *ret_documents is a list with an item for each document. */
int yaml_read_foreign(const char *name, const char *text, size_t len, struct config_report *report,
		      struct yaml_node **ret_documents);
void yaml_node_free(struct yaml_node *node);

struct yaml_node *yaml_child(const struct yaml_node *map, const char *key);
/* "a list", "a mapping", "nothing", "a text". */
const char *yaml_type_name(const struct yaml_node *node);
