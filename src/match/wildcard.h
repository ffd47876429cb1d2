/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wildcard - does a text fit one of a list of patterns with stars? Without automata, where that will do.
 *
 * Means what a regex of REGEX_WILDCARD means, in a hundredth of its memory. A pattern that is plain (letters and
 * stars, well-formed UTF-8, of at most WILDCARD_PATTERN_MAX bytes) is a head, a tail and pieces between, which are
 * compared as bytes; the others of the list share one regex. Time is linear in the text for each pattern. Nothing
 * is allocated while matching, and a list may be used from any thread.
 */
#pragma once
#include "match/regex.h"

enum {
	WILDCARD_PATTERN_MAX = 1024,
	WILDCARD_PIECE_MAX = 255,  /* bytes between stars, folded */
	WILDCARD_CHUNK_MAX = 1024, /* bytes of text that are folded at once */
};

struct wildcards;
/* Of the options only fold, star_only and escape count. As regex_compile(): -EINVAL, -E2BIG, -ENOMEM. */
int wildcards_compile(const struct str *patterns, size_t n, const struct regex_options *options,
		      struct wildcards **ret_wildcards);
void wildcards_free(struct wildcards *w);
DEFINE_AUTO(wildcards)

bool wildcards_match(const struct wildcards *w, const char *p, size_t n);
/* How many of them needed the regex. */
size_t wildcards_in_regex(const struct wildcards *w);
/* Bytes that it takes. */
size_t wildcards_size(const struct wildcards *w);
