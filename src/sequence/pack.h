/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pack - values as bytes: join keys, and what is remembered of events.
 *
 * Packed as a key, values that join have the same bytes: 1 and 1.0, and, when asked for, letters without their case.
 * Packed exactly, they come back as they were. Bytes are of this process: never for disk.
 */
#pragma once
#include "base/buf.h"
#include "event/value.h"
#include "rule/ir.h"

enum {
	PACK_DEPTH_MAX = 8,    /* lists within lists; deeper ones are null */
	PACK_ITEMS_MAX = 1024, /* of a list; the rest is left out */
};

/* False, and nothing is written or b->failed: there is no room. */
bool pack_exact(struct buf *b, const struct value *v);
/* `type`: dates, addresses and versions join as what they mean, however they are written. */
bool pack_key(struct buf *b, const struct value *v, enum rule_type type, bool fold);

/* Room for the items of lists that are unpacked. */
struct unpack {
	const unsigned char *p, *end;
	struct value *items;
	size_t n_items, max_items;
};

/* The next value; strings borrow from the bytes. False at the end. */
bool unpack_next(struct unpack *u, struct value *ret_value);

/*
 * An order of all values: null, false and true, numbers, addresses, text by code unit (or without case), lists item
 * by item.
 */
int value_order(const struct value *a, const struct value *b, bool fold);
