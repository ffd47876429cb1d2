/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes from a client that speaks HTTP/1.1 or WebSocket: whole or byte by byte, they are the same requests and
 * get the same answers, and nothing is left behind.
 */
#include <stdlib.h>
#include "api/fuzz_routes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 16 << 10 };

static void run(struct rig *r, const uint8_t *data, size_t size, size_t step)
{
	if (!rig_open(r, &fuzz_table, ROLE_VIEWER, NULL))
		abort();
	for (size_t at = 0; at < size && !r->over; at += step)
		rig_feed(r, (const char *)data + at, size - at < step ? size - at : step);
	/* Streams that had nothing to say for once end, so that what stands behind them is read. */
	for (int i = 0; i < 16 && !r->over; i++)
		rig_run(r);
	if (!r->over) {
		conn_eof(&r->conn);
		rig_run(r);
	}
	/* A connection ends when its client does, at the latest. */
	if (!r->over)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_rig struct rig one = { 0 };
	auto_rig struct rig many = { 0 };

	if (size > INPUT_MAX)
		return 0;
	run(&one, data, size, size ? size : 1);
	run(&many, data, size, 1);
	/* A stream that ends before its request does closes the connection, and that depends on when bytes come. */
	for (size_t i = 0; i < countof(one.api.counters.refused) && !many.api.counters.streams; i++)
		if (one.api.counters.refused[i] != many.api.counters.refused[i])
			abort();
	for (size_t i = 0; i < countof(one.api.counters.answers) && !many.api.counters.streams; i++)
		if (one.api.counters.answers[i] != many.api.counters.answers[i])
			abort();
	rig_reconnect(&one);
	if (one.api.counters.streams_open || one.conn.n_exchanges)
		abort();
	return 0;
}
