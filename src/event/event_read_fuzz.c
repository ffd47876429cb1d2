/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a line that event_to_json() is said to have written. */
#include <stdlib.h>
#include "event/fuzz_kinds.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct buf rec;
	const struct event_kind *kind;

	if (!rec.max) {
		fuzz_kinds_register();
		buf_init(&rec, EV_LEN_MAX);
	}
	if (event_from_json((const char *)data, size, &rec) < 0)
		return 0;
	kind = event_check(rec.data, rec.len);
	if (!kind)
		abort();
	fuzz_round_trip((const struct ev_head *)rec.data, kind);
	return 0;
}
