/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any text as KQL: a query whose nodes are whole, that comes out the same when it is compiled again and comes to the
 * same of an event by tree and by program; or a refusal that can be shown.
 */
#include <string.h>
#include "rule/fuzz_event.h"

static const char event[] = "{\"a\":\"abc\",\"b\":4,\"c\":true,\"d\":null,\"e\":[\"x\",\"y\"],\"message\":\"x, y\","
			    "\"source\":{\"ip\":\"10.1.2.3\"},\"process\":{\"name\":\"sh\"}}";

static const struct rule_schema schema = { .field = fuzz_find_field };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const by[] = { "process.name", "host.id" };
	auto_buf struct buf out = { .max = 32 << 20 };
	struct query_options options = { .dialect = RULE_KQL };
	struct query_count count = { .by = by, .span_ns = 1 };
	const char *text = (const char *)data + 1;
	AUTO(query) q = NULL;
	AUTO(query) again = NULL;
	struct diag d;
	int r;

	if (!size--)
		return 0;
	options.schema = data[0] & 1 ? &schema : NULL;
	count.n_by = data[0] >> 2 & 3 ? 2 : 0;
	count.at_least = data[0] >> 4;
	count.other = data[0] & 8 ? "user.name" : NULL;
	options.count = data[0] & 2 ? &count : NULL;
	r = query_compile(text, size, &options, &d, &q);
	err_clear();
	if (r < 0) {
		fuzz_check_diag(&d, size);
		diag_write(&d, "fuzz", text, size, &out);
		return 0;
	}
	fuzz_check_query(q);
	query_print(q, &out);
	must(query_compile(text, size, &options, &d, &again) == 0);
	must(ir_same(q, q->stage->condition, again, again->stage->condition));
	fuzz_check_event(q, event, sizeof(event) - 1);
	return 0;
}
