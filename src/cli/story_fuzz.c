/* SPDX-License-Identifier: Apache-2.0 */
/* Any JSON as an alert: its story ends, and nothing in it writes to a terminal but letters and the ends of lines. */
#include "cli/story.h"
#include <stdlib.h>
#include <string.h>
#include "base/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 64 << 10, OUT_MAX = 16 << 20 };

static const struct json_limits limits = { INPUT_MAX, 1 << 14, 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_json struct json_doc doc;
	const struct json_node *alert;
	struct story s = { .now_ns = 1709251200000000000, .width = size ? data[0] : 0 };
	auto_buf struct buf out = { .max = OUT_MAX };

	json_init(&doc, &limits);
	if (size > INPUT_MAX || json_parse(&doc, (const char *)data, size, &alert) < 0) {
		err_clear();
		return 0;
	}
	s.ascii = s.width & 1;
	story_write(&s, alert, &out);
	if (out.failed)
		abort();
	for (size_t i = 0; i < out.len; i++)
		if (((unsigned char)out.data[i] < 0x20 && out.data[i] != '\n') || out.data[i] == 0x7f)
			abort();
	return 0;
}
