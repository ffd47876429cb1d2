/* SPDX-License-Identifier: Apache-2.0 */
/*
 * option - one row an option: name, type, bounds, default, sentence.
 *
 * The reader of the configuration, `check`, the commented default file and the reference
 * pages all read these rows. Values land in a plain struct of the leaf, at the row's
 * offset, so that a leaf never looks up its configuration by name.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"

enum option_type {
	OPT_BOOL,     /* bool */
	OPT_U32,      /* uint32_t */
	OPT_U64,      /* uint64_t */
	OPT_BYTES,    /* uint64_t; "64KiB", "8MiB" */
	OPT_DURATION, /* uint64_t ns; "5ms", "10s", "2h" */
	OPT_STR,      /* char * */
	OPT_PATH,     /* char *, absolute; empty: none */
	OPT_ENUM,     /* uint32_t: index into .names */
	OPT_STRS,     /* struct option_list: a YAML list of strings */
	OPT_PATHS,    /* the same, each absolute */
	OPT_WORDS,    /* uint32_t: a list of some of .names (32 at most), bit i for names[i] */
	OPT_MAP,      /* struct option_map: a YAML mapping of keys to such lists; its default is "" */
};

enum {
	OPTION_TEXT_MAX = 4096, /* bytes of one string */
	OPTION_LIST_MAX = 4096, /* items of a list whose row has no max */
	OPTION_MAP_MAX = 256,   /* keys of a mapping whose row has no max */
};

struct option_list {
	char **items;
	size_t n;
};

struct option_pair {
	char *key;
	uint32_t words;
};

struct option_map {
	struct option_pair *items;
	size_t n;
};

struct option {
	const char *name;
	enum option_type type;
	size_t off;
	const char *def;          /* as one would write it; lists: items separated by ", " */
	uint64_t min, max;        /* of numbers; lists and maps: of their length; max 0 means no bound but the type's */
	const char *const *names; /* OPT_ENUM, OPT_WORDS, OPT_MAP: NULL-terminated */
	const char *unit;         /* for people: "events/s"; OPT_MAP: what its keys are */
	const char *doc;
	bool live; /* a change applies without a restart of the leaf */
	/* Strings, and items of lists: what only the leaf knows of them. 0, or an error with a trail. May be NULL. */
	int (*check)(const char *text);
};

/* OPTION(process_options, args_max, OPT_U32, "4096", "bytes of ...", .min = 64, .max = 8192) */
#define OPTION(s, m, t, d, sentence, ...)                                                                              \
	{ .name = #m, .type = (t), .off = offsetof(struct s, m), .def = (d), .doc = (sentence), ##__VA_ARGS__ }

/*
 * Sets the row's place in `options` from text, as written in YAML. Strings are copied; what
 * stood there is freed. The trail says what is wrong with the text and what is wanted; then
 * the place keeps what it had.
 */
int option_set(const struct option *row, const char *text, void *options);
/* The same for the items of a list. */
int option_set_list(const struct option *row, const char *const *items, size_t n, void *options);
/* Adds one key to an OPT_MAP, or replaces what the key has. */
int option_set_key(const struct option *row, const char *key, const char *const *items, size_t n, void *options);
/* Could `text` be an item of this list? */
int option_check_item(const struct option *row, const char *text);
/* Fills zeroed `options` with the defaults of all rows. */
int option_defaults(const struct option *rows, size_t n, void *options);
/* Frees what option_set() has allocated. */
void options_clear(const struct option *rows, size_t n, void *options);

/* Is the row's value the same in both structs? */
bool option_equal(const struct option *row, const void *a, const void *b);
/* Writes the value as YAML on one line, so that reading it back gives the same. */
void option_print(const struct option *row, const void *options, struct buf *out);
/* The words of an OPT_WORDS value, or of one pair of an OPT_MAP: "[kernel, user]". */
void option_print_words(const struct option *row, uint32_t words, struct buf *out);
/* A number in the largest unit of the row's type that divides it: "64KiB". */
void option_print_number(const struct option *row, uint64_t v, struct buf *out);
/* Text as a YAML scalar, quoted where it must be. */
void option_print_text(const char *text, struct buf *out);
/* "a whole number", "one of host, cgroup": what the row takes. */
void option_print_wanted(const struct option *row, struct buf *out);
/* "64 to 8192", "at least 1s"; nothing where the row has no bounds. False then. */
bool option_print_bounds(const struct option *row, struct buf *out);

static inline bool option_is_list(const struct option *row)
{
	return row->type == OPT_STRS || row->type == OPT_PATHS || row->type == OPT_WORDS;
}
