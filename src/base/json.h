/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json - reading and writing JSON (RFC 8259), strictly and within bounds.
 *
 * The reader turns a text into a tape: an array of nodes in the order of the text, in which a
 * container says how many nodes it spans. It owns a copy of the text, so the input may go.
 *
 *  - Integers are exact: int64, else uint64, else double. "-0" is a double.
 *  - A number too large for a double is an error; digits beyond a double's are rounded.
 *  - A lone surrogate (\ud800) is kept as the three bytes that UTF-8 would have for it.
 *    Nothing else that is no UTF-8 is taken.
 *  - Of several members with one name the last one wins; the others are marked and skipped.
 *  - Strings are NUL-terminated; one that has \u0000 in it is longer than it looks.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"

enum { JSON_DEPTH_MAX = 128, JSON_NUMBER_MAX = 512 };

enum json_type {
	JSON_NULL,
	JSON_BOOL,
	JSON_INT,
	JSON_UINT, /* only what does not fit JSON_INT */
	JSON_DOUBLE,
	JSON_STRING,
	JSON_ARRAY,
	JSON_OBJECT,
};

struct json_node {
	uint8_t type;
	bool dead;    /* a name whose member another one of the same name replaced */
	uint32_t len; /* bytes of a string, items of an array, members of an object (dead ones too) */
	union {
		bool b;
		int64_t i;
		uint64_t u;
		double d;
		const char *s;
		uint32_t span; /* nodes of a container, itself included */
	};
};

struct json_limits {
	size_t len_max;     /* bytes of text */
	size_t nodes_max;   /* values and names */
	unsigned depth_max; /* containers within each other; at most JSON_DEPTH_MAX */
};

struct json_doc {
	struct json_limits limits;
	struct json_node *nodes;
	size_t n, cap;
	char *text;
	size_t text_cap;
	uint32_t *seen; /* for finding names that are there twice */
	size_t seen_cap;
};

void json_init(struct json_doc *doc, const struct json_limits *limits);
void json_free(struct json_doc *doc);
#define auto_json __attribute__((cleanup(json_free)))

/*
 * Reads one value, with blanks around it, in the place of what the document held; its memory
 * is used again. -EINVAL: not JSON, and the trail says where and why; -E2BIG: beyond a limit;
 * -ENOMEM. *ret_root borrows from the document.
 */
int json_parse(struct json_doc *doc, const char *p, size_t n, const struct json_node **ret_root);

static inline bool json_is_container(const struct json_node *v)
{
	return v->type >= JSON_ARRAY;
}

/* The value after this one and all that is in it. */
static inline const struct json_node *json_skip(const struct json_node *v)
{
	return v + (json_is_container(v) ? v->span : 1);
}

/*
 * Walks a container: for (v = json_first(c, &name); v; v = json_next(c, v, &name)). `name` is
 * the node of the member's name, and NULL for items of an array.
 */
const struct json_node *json_first(const struct json_node *container, const struct json_node **ret_name);
const struct json_node *json_next(const struct json_node *container, const struct json_node *v,
				  const struct json_node **ret_name);
/* The member of an object, or NULL when there is none, or when it is no object. */
const struct json_node *json_get(const struct json_node *object, const char *name);

/* ---- writing -------------------------------------------------------------------------- */

/*
 * A string with its quotes. Bytes that are no UTF-8 become U+FFFD; false when there were
 * any. (So a lone surrogate that the reader kept does not come out as it came in: most
 * readers refuse it.)
 */
bool json_write_str(struct buf *b, const char *p, size_t n);
/* A double that reads back equal, and as a double; infinities and NaN, which JSON lacks, as null. */
void json_write_double(struct buf *b, double v);
