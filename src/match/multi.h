/* SPDX-License-Identifier: Apache-2.0 */
/*
 * multi - which of many literals are in a text? One pass over the text says it for all of them.
 *
 * The case of letters never counts (match/fold.h): who wants exact case looks again at what was found.
 * A literal may have to stand at the beginning, at the end, be the whole text, or anywhere. The cost
 * is one step of a table for each byte, whatever the number of literals; where none may stand in the
 * middle the scan ends as soon as the beginning rules all of them out.
 *
 * Made once, read from any thread, nothing allocated while scanning.
 */
#pragma once
#include "base/mem.h"
#include "event/value.h"

enum {
	MULTI_LITERAL_MAX = 1 << 15, /* bytes */
	MULTI_LITERALS_MAX = 1 << 16,
	MULTI_CELLS_MAX = 1 << 24, /* of the table: 4 bytes each */
};

enum multi_where {
	MULTI_ANYWHERE = 0,
	MULTI_BEGIN = 1 << 0,
	MULTI_END = 1 << 1,
	MULTI_WHOLE = MULTI_BEGIN | MULTI_END,
};

struct multi_literal {
	struct str text; /* not empty, unless it is the whole text */
	enum multi_where where;
};

struct multi;
/* -E2BIG: beyond a maximum; -EINVAL: an empty literal; -ENOMEM. Literals may be there twice; each is reported. */
int multi_build(const struct multi_literal *literals, size_t n, struct multi **ret_multi);
void multi_free(struct multi *m);
DEFINE_AUTO(multi)

/* Calls hit() with the index of each literal that is there, and where it ends: once or more often, in no order. */
typedef void (*multi_hit)(void *ctx, uint32_t literal, size_t end);
void multi_scan(const struct multi *m, const char *p, size_t n, multi_hit hit, void *ctx);
size_t multi_size(const struct multi *m);
