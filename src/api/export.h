/* SPDX-License-Identifier: Apache-2.0 */
/*
 * export - hands records to whoever may read them: over gRPC, WebSocket, server-sent events and plain HTTP.
 *
 * Each stream has a reader of the raw ring of its own, so a client that is slow or stuck is overtaken and
 * loses its own events, which are counted and told; it costs the agent and the others nothing.
 * Filters run before a byte is written. A stream whose filter needs to know more than a record says
 * (descendants, containers, expressions) follows with a context of its own.
 *
 *	export_open(&source, &x);
 *	table = export_routes(x);        for the API to serve
 *	... the API is opened, serves, is closed ...
 *	export_free(x);
 *
 * docs/export.md says what clients see.
 */
#pragma once
#include "api/http.h"
#include "bus/raw_ring.h"

/* What there is to hand out. */
struct export_source {
	struct raw_ring *ring;
	const char *store; /* folder of recorded segments; NULL: queries look at the ring alone */
	/*
	 * Adds what is known of processes, cgroups and users now, as records one after the other, each padded to 8,
	 * and tells the number that the next record of the ring will have: a stream that joins late begins with them.
	 * Called on the threads of the API, and may take some milliseconds. NULL: nothing is known.
	 */
	int (*known)(void *arg, struct buf *out, __u64 *ret_cursor);
	void *arg;
};

struct export;
int export_open(const struct export_source *source, struct export **ret_export);
/* After the API that served its routes. */
void export_free(struct export *x);
DEFINE_AUTO(export)

struct route_table export_routes(struct export *x);
