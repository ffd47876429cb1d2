/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rules - the queries of a file, one JSON object a line: {"id","query"} and, if wanted, "severity" (1 to 100).
 *
 * Read whole or not at all; every line that is wrong is told. Rules are parted in two: those of which one shard sees
 * all that matters, and those for which events of all shards have to come together (see detect.md).
 */
#pragma once
#include "sequence/runner.h"

enum { RULES_FILE_MAX = 64 << 20, RULES_SEVERITY = 50, RULES_ID_MAX = 256 };

struct rules_part {
	struct runner_query *queries; /* of the ruleset, in its order */
	uint8_t *severity;
	size_t n;
	struct ruleset *set; /* NULL: no rules */
};

/* Never changes once it is read; holders count references. */
struct rules {
	_Atomic unsigned refs;
	struct query **query;
	char **id;
	size_t n;
	struct rules_part local, shared;
};

/* An empty path: no rules. -EINVAL with a trail that says file, line and what is wrong. */
int rules_load(const char *path, struct rules **ret_rules);
/* The same from text; `name` is what people know it by. */
int rules_read(const char *name, const char *text, size_t n, struct rules **ret_rules);
struct rules *rules_ref(struct rules *r);
void rules_free(struct rules *r); /* one reference */
DEFINE_AUTO(rules)

/*
 * Do all events that can take part in one match come to one shard? So it is for single events, and for sequences in
 * which one key is process.entity_id at every stage: the events of one process always share a shard.
 */
bool rules_is_local(const struct query *q);
