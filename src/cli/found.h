/* SPDX-License-Identifier: Apache-2.0 */
/*
 * found - what a hunt has found, for people or for programs.
 *
 * json:   {"events":[{"index":N,"event":{…}},…],"sequences":[{"join_keys":[…],"events":[{"index":N},null,…]},…]}
 *         and with ids one such object a query and line, with "id" in front; one that is wrong has "error"
 *         instead. Rows of the pipe count are "rows":[{"key":[…],"count":N,"percent":P},…].
 * ndjson: each match a line: the objects of the lists above, sequences with the events themselves.
 *         With several inputs each event names its "input".
 */
#pragma once
#include "cli/cli.h"
#include "hunt/hunt.h"

enum found_format { FOUND_TABLE, FOUND_JSON, FOUND_NDJSON };
extern const char *const found_format_names[];

/* ids: JSON of each query's id, or NULL for a single query without. Says nothing of a single query that is wrong. */
int found_print(struct cli *cli, const struct hunt *h, char *const *ids, enum found_format format, bool count,
		bool *ret_found);
