/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a client's frames: whole or byte by byte they are the same messages. */
#include "api/ws.h"
#include <stdlib.h>
#include "base/hash.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* All that was read, in one number. */
static uint64_t digest(const uint8_t *data, size_t size, size_t step)
{
	struct ws_reader r;
	uint64_t sum = 0;
	size_t at = 0;

	ws_reader_init(&r);
	while (at < size) {
		size_t part = size - at < step ? size - at : step, used = 0;
		enum ws_event e = ws_read(&r, (const char *)data + at, part, &used);

		/* How often there was more to come is no part of it. */
		if (e != WS_MORE)
			sum = hash_2u64(e, sum, 1);
		if (e == WS_TEXT || e == WS_BINARY)
			sum = hash_bytes(buf_text(&r.message), r.message.len, sum);
		if (r.message.len > WS_MESSAGE_MAX || r.n_control > WS_CONTROL_MAX || used > part)
			abort();
		if (e == WS_WRONG || e == WS_CLOSE)
			break;
		at += used;
	}
	ws_reader_free(&r);
	return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (digest(data, size, size ? size : 1) != digest(data, size, 1))
		abort();
	return 0;
}
