/* SPDX-License-Identifier: Apache-2.0 */
/* regex_ast - patterns, read: what the parsers of regex.h's syntaxes hand to the automaton. Private to match/. */
#pragma once
#include "base/arena.h"
#include "match/regex.h"

enum re_kind {
	RE_EMPTY,   /* the empty text */
	RE_NOTHING, /* no text at all */
	RE_SET,     /* one character of .set */
	RE_CAT,     /* kids one after the other */
	RE_ALT,
	RE_AND,
	RE_NOT,
	RE_REPEAT, /* the kid, min to max times */
	/* Places, not characters. */
	RE_BEGIN,
	RE_END,
	RE_LINE_BEGIN,
	RE_LINE_END,
	RE_WORD, /* between a word's character and another */
	RE_NO_WORD,
};

#define RE_MANY UINT32_MAX

struct re_node {
	enum re_kind kind;
	uint32_t set, min, max;
	struct re_node *first, *next; /* kids, and the sibling after this one */
};

struct re_range {
	uint32_t lo, hi;
};

/* Sorted, without overlaps. */
struct re_set {
	struct re_range *ranges;
	uint32_t n;
};

struct re_ast {
	struct arena arena;
	struct re_set *sets; /* each different one once */
	uint32_t n_sets, cap_sets;
	uint32_t *set_slots; /* hash table of n + 1 */
	uint32_t n_slots;
	bool has_places;
};

void re_ast_init(struct re_ast *ast);
void re_ast_free(struct re_ast *ast);
#define auto_re_ast __attribute__((cleanup(re_ast_free)))

int re_parse(struct re_ast *ast, struct str pattern, const struct regex_options *options, struct re_node **ret_node);
struct re_node *re_node(struct re_ast *ast, enum re_kind kind);
/* `.` of Lucene, then a node that takes any number of them. */
struct re_node *re_any_text(struct re_ast *ast);
