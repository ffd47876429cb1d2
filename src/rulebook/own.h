/* SPDX-License-Identifier: Apache-2.0 */
/*
 * own - the keys of our own rule files, one row each: the reader, the JSON Schema and the messages read these rows.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>

enum own_type {
	OWN_ID,
	OWN_TEXT,   /* a text of at most `max` bytes */
	OWN_TEXTS,  /* one of them, or a list */
	OWN_NUMBER, /* from `min` to `max` */
	OWN_WORD,   /* one of `words` */
	OWN_TRUTH,  /* false or true */
	OWN_DURATION,
	OWN_MAP,     /* a mapping with `keys` */
	OWN_MAPS,    /* a list of them */
	OWN_ANY_MAP, /* what is in it is read elsewhere */
	OWN_ANY_MAPS,
};

struct own_key {
	const char *name, *doc;
	enum own_type type;
	bool required;
	unsigned min, max;
	unsigned most;              /* OWN_TEXTS: so many of them; 0: BOOK_LIST_MAX */
	const char *const *words;   /* NULL-terminated */
	const struct own_key *keys; /* until one without a name */
	size_t off;                 /* OWN_TEXT, OWN_TEXTS: where it goes in struct book_rule */
};

extern const struct own_key own_rule_keys[];
extern const struct own_key own_macro_keys[];
/* Those of which a rule has exactly one: what it looks for. */
extern const char *const own_query_keys[];
