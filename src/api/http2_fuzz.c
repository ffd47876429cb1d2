/* SPDX-License-Identifier: Apache-2.0 */
/* Any frames behind the preface of HTTP/2: every exchange that they begin is ended, and the connection is bounded. */
#include <stdlib.h>
#include "api/fuzz_routes.h"
#include "base/clock.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_rig struct rig r = { 0 };

	if (!rig_open(&r, &fuzz_table, ROLE_VIEWER, NULL))
		abort();
	conn_set_protocol(&r.conn, PROTOCOL_HTTP2);
	rig_say(&r, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
	for (size_t at = 0; at < size && !r.over; at += 251)
		rig_feed(&r, (const char *)data + at, size - at < 251 ? size - at : 251);
	if (r.conn.n_exchanges > H2_STREAMS_MAX || r.conn.out.len > (2 << 20))
		abort();
	rig_wait(&r, 40 * NS_PER_S);
	rig_wait(&r, 200 * NS_PER_S);
	rig_reconnect(&r);
	if (r.api.counters.streams_open || r.conn.n_exchanges)
		abort();
	return 0;
}
