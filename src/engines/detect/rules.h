/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rules - a book made ready to run: parted in the rules of which one shard sees all that matters, and those for which
 * events of all shards have to come together (see detect.md).
 */
#pragma once
#include "rulebook/book.h"
#include "sequence/runner.h"

/* Where `make install` puts the rules that come with Shrike. */
#define RULES_SHIPPED "/usr/share/shrike/rules"

struct rules_part {
	struct runner_query *queries; /* of the ruleset, in its order */
	const struct book_rule **of;
	atomic_bool *told; /* its script was disabled, and that has been told */
	size_t n;
	struct ruleset *set; /* NULL: no rules */
};

/* Never changes once it is made; holders count references. */
struct rules {
	_Atomic unsigned refs;
	struct book *book;
	struct rules_part local, shared;
};

/*
 * From a file or a folder; an empty path: no rules, and so where RULES_SHIPPED is asked for and not there. A rule that
 * is wrong refuses all: -EINVAL with a trail that says file, line and what is wrong. -ENOTSUP: that back end is not
 * here.
 */
int rules_load(const char *path, enum predicate_backend backend, struct rules **ret_rules);
/* Takes a reference of the book. */
int rules_new(struct book *book, enum predicate_backend backend, struct rules **ret_rules);
struct rules *rules_ref(struct rules *r);
void rules_free(struct rules *r); /* one reference */
DEFINE_AUTO(rules)
