/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kql_words - literals of KQL, and the words of a text as regular expressions that find them.
 *
 * What Elasticsearch does to texts is done for ASCII: letters, digits and _ make words, case does not count, and a dot
 * or an apostrophe between two letters or two digits is part of one. All other characters of Unicode are letters.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "rule/ast.h"

enum { KQL_WORDS_MAX = 64 };

struct kql_literal {
	struct str plain;   /* what it says, with NUL */
	struct str pattern; /* the same for IR_LIKE with IR_ESCAPE */
	bool quoted, wild;
	size_t last_at; /* where its last word begins, in the query */
};

/* Stars alone: any value. */
bool kql_is_anything(const struct kql_literal *l);
/*
 * Patterns (IR_PERL, IR_SEARCH, IR_FOLD) of which any may be found: one for all words of a quoted text, in their
 * order, else one for each. -E2BIG: too many; -ENOMEM.
 */
int kql_words(const struct kql_literal *l, struct arena *arena, struct str patterns[KQL_WORDS_MAX], size_t *ret_n);
