/* SPDX-License-Identifier: Apache-2.0 */
/*
 * multi - which of many literals are in a text? One pass over the text says it for all of them.
 *
 * The case of letters never counts (match/fold.h): who wants exact case looks again at what was found.
 * A literal may have to stand at the beginning, at the end, be the whole text, or anywhere. The cost
 * is a few steps for each byte, nearly whatever the number of literals; where none may stand in the
 * middle only the beginning and the end are looked at.
 *
 * Made once, read from any thread, nothing allocated while scanning.
 */
#pragma once
#include "base/mem.h"
#include "event/value.h"

enum {
	MULTI_LITERAL_MAX = 320, /* bytes */
	MULTI_LITERALS_MAX = 1 << 16,
};

enum multi_where {
	MULTI_ANYWHERE = 0,
	MULTI_BEGIN = 1 << 0,
	MULTI_END = 1 << 1,
	MULTI_WHOLE = MULTI_BEGIN | MULTI_END,
};

struct multi_literal {
	struct str text; /* as fold_text() makes it; not empty, unless it is the whole text */
	enum multi_where where;
};

struct multi;
/*
 * The bytes of the literals are borrowed. -E2BIG: beyond a maximum; -EINVAL: an empty literal; -ENOMEM. Literals may be
 * there twice; each is reported.
 */
int multi_build(const struct multi_literal *literals, size_t n, struct multi **ret_multi);
void multi_free(struct multi *m);
DEFINE_AUTO(multi)

/* Calls hit() with the index of each literal that is there: once or more often, in no order. */
typedef void (*multi_hit)(void *ctx, uint32_t literal);
void multi_scan(const struct multi *m, const char *p, size_t n, multi_hit hit, void *ctx);
/* The same of a text that is folded already. */
void multi_scan_folded(const struct multi *m, const char *p, size_t n, multi_hit hit, void *ctx);
size_t multi_size(const struct multi *m);
