/* SPDX-License-Identifier: Apache-2.0 */
/*
 * regex - does a text fit one of some patterns? Regular expressions and wildcards, as automata.
 *
 * Time is linear in the text whatever the pattern: a pattern becomes a table of states when that
 * stays small, and else is run as the set of places where it could be. Nothing is allocated while
 * matching, and one automaton may be used from any thread.
 *
 * Text is UTF-8; a byte that is no part of a character counts as one character of its own. The whole
 * text must fit, unless an option says otherwise.
 *
 * REGEX_LUCENE is the syntax of Lucene's RegExp with all of its flags:
 *	. ? * + {n} {n,} {n,m} | () [a-z] [^a-z] \d \D \s \S \w \W "as it stands"
 *	~ (not the next) & (both) # (nothing) @ (anything) <n-m> (numbers)
 * There are no anchors, back references or look-around in it; a backslash before another letter than
 * those above is an error. REGEX_PERL is what is regular of Perl's and Python's: ^ $ \A \Z \b \B and
 * lazy marks (which mean nothing where only a yes counts), \n \t \xHH, (?:...) (?P<name>...) (?i) (?s) (?m).
 * REGEX_WILDCARD: * is any text, ? any character.
 */
#pragma once
#include "base/mem.h"
#include "event/value.h"

enum {
	REGEX_PATTERN_MAX = 1 << 15, /* bytes of one */
	REGEX_PATTERNS_MAX = 8192,
	REGEX_DEPTH_MAX = 128,    /* brackets within each other */
	REGEX_STATES_MAX = 16384, /* of the automaton with repeats written out */
	REGEX_TABLE_MAX = 65536,  /* cells of a table */
};

enum regex_syntax { REGEX_LUCENE, REGEX_PERL, REGEX_WILDCARD };

struct regex_options {
	enum regex_syntax syntax;
	bool fold;      /* letters' case does not count */
	bool star_only; /* of wildcards: ? is an ordinary letter */
	bool escape;    /* of wildcards: a backslash takes the meaning of *, ? and backslash away */
	bool prefix;    /* the beginning of the text may fit */
	bool search;    /* any part of the text may fit */
	bool no_table;  /* for tests: run it as a set of places */
};

struct regex;
/*
 * -EINVAL: no pattern, and the trail says where and why; -E2BIG: beyond a maximum; -ENOMEM. A complement
 * or an intersection must fit into a table, or is refused as too complex (-E2BIG).
 */
int regex_compile(const struct str *patterns, size_t n, const struct regex_options *options, struct regex **ret_regex);
void regex_free(struct regex *r);
DEFINE_AUTO(regex)

bool regex_matches(const struct regex *r, const char *p, size_t n);
/* Is one byte of text one step, whatever the pattern? Else it may be one for each place where the pattern could be. */
bool regex_is_table(const struct regex *r);
/* Bytes that it takes. */
size_t regex_size(const struct regex *r);
