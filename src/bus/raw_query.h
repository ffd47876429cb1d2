/* SPDX-License-Identifier: Apache-2.0 */
/* raw_query - asks the raw ring what store_query_open() asks of segments: the same words, the same answers. */
#pragma once
#include "bus/raw_ring.h"
#include "store/store.h"

/*
 * What the ring holds now, oldest first; what comes later is for another query, at its cursor. `known` are records
 * of context_snapshot(), one after the other, each padded to 8, which stay until the query ends: needed by filters
 * that ask the context, and by with_known.
 */
int raw_query_open(struct raw_ring *ring, const struct store_origin *origin, const void *known, size_t known_len,
		   const struct store_query_spec *spec, struct store_query **ret_query);
