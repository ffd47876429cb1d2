/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes: what the JSON reader takes can be walked, and its strings read back as they were written. */
#include "base/json.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk(const struct json_node *v, struct buf *b)
{
	const struct json_node *name, *item;

	if (v->type == JSON_STRING && (v->s[v->len] || !json_write_str(b, v->s, v->len)))
		buf_clear(b);
	if (v->type == JSON_DOUBLE)
		json_write_double(b, v->d);
	for (item = json_first(v, &name); item; item = json_next(v, item, &name)) {
		if (name && name->type != JSON_STRING)
			abort();
		walk(item, b);
	}
	if (json_is_container(v) && !v->span)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct json_limits limits = { .len_max = 1 << 20, .nodes_max = 1 << 16, .depth_max = 64 };
	auto_json struct json_doc doc;
	auto_buf struct buf b;
	const struct json_node *root;

	json_init(&doc, &limits);
	buf_init(&b, 1 << 20);
	if (!json_parse(&doc, (const char *)data, size, &root))
		walk(root, &b);
	return 0;
}
