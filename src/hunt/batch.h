/* SPDX-License-Identifier: Apache-2.0 */
/*
 * batch - a file of queries: one JSON object a line, {"id":…,"query":"…"} and whatever is to be other than for
 * the rest: "schema" (a name, or an object as in a schema file), "dialect", "case_sensitive", "category",
 * "timestamp", "tiebreaker", "fields", "null_values", "max_samples_per_key", "limit".
 *
 * A line that is wrong is a query that is wrong: its result says why, and the others run.
 */
#pragma once
#include "hunt/hunt.h"

enum { BATCH_BYTES_MAX = 256 << 20, BATCH_LINE_MAX = 1 << 20 };

/* What holds where a line says nothing else. */
struct batch_defaults {
	const struct schema *schema;                   /* NULL: endgame for that dialect, else ecs */
	const char *category, *timestamp, *tiebreaker; /* instead of the schema's; NULL: leave it; "": none */
	enum rule_dialect dialect;
	struct hunt_options options; /* .schema and .dialect are not looked at */
};

/* The schema to use: free it. */
int batch_schema(const struct batch_defaults *d, enum rule_dialect dialect, struct schema **ret_schema);

struct batch {
	char **ids; /* JSON of each query's id; "null" where it has none */
	size_t n, cap;
};
void batch_free(struct batch *b);
#define auto_batch __attribute__((cleanup(batch_free)))

/* Adds all of them; 1: some are wrong. An error: the file cannot be read, or memory. */
int batch_load(const char *path, const struct batch_defaults *d, struct hunt *h, struct batch *b);
/* The same of one line. */
int batch_line(const char *line, size_t n, unsigned number, const struct batch_defaults *d, struct hunt *h,
	       struct batch *b);
