/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cidr - is an address in one of some blocks?
 *
 * Blocks are "10.0.0.0/8", "fd00::/8", or an address alone; bits behind the prefix may be set and do not
 * count. IPv4 is kept mapped into IPv6, so "::/0" has all addresses. Blocks that touch or overlap are one
 * range; a look-up is a binary search.
 */
#pragma once
#include "base/mem.h"
#include "event/value.h"

enum { CIDR_BLOCKS_MAX = 1 << 20 };

struct cidr_set;
/* -EINVAL: a text is no block, and the trail says which; -E2BIG; -ENOMEM. */
int cidr_set_build(const struct str *blocks, size_t n, struct cidr_set **ret_set);
void cidr_set_free(struct cidr_set *set);
DEFINE_AUTO(cidr_set)

bool cidr_set_has(const struct cidr_set *set, const uint8_t address[16]);
/* Reads one block: its first and last address. False: it is none. */
bool cidr_parse(struct str text, uint8_t ret_first[16], uint8_t ret_last[16]);
