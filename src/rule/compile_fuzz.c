/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any text: a query whose nodes are whole, that prints, and that comes out the same when it is compiled again; or a
 * refusal that can be shown.
 */
#include "rule/fuzz_rule.h"

static const char *name_at(const void *subject, size_t i)
{
	static const char *const names[] = { "process.name", "process.pid", "user.id" };

	(void)subject;
	return i < countof(names) ? names[i] : NULL;
}

static const struct rule_schema schema = { .field = fuzz_find_field, .name = name_at };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_buf struct buf out = { .max = 32 << 20 };
	struct query_options options;
	const char *text = (const char *)data + 1;
	AUTO(query) q = NULL;
	AUTO(query) again = NULL;
	struct diag d;
	int r;

	if (!size--)
		return 0;
	options = fuzz_options(data[0]);
	options.schema = data[0] & 8 ? &schema : NULL;
	r = (data[0] & 0x80 ? condition_compile : query_compile)(text, size, &options, &d, &q);
	if (r < 0) {
		fuzz_check_diag(&d, size);
		diag_write(&d, "fuzz", text, size, &out);
		return 0;
	}
	fuzz_check_query(q);
	query_print(q, &out);
	must((data[0] & 0x80 ? condition_compile : query_compile)(text, size, &options, &d, &again) == 0);
	must(ir_same(q, q->stage->condition, again, again->stage->condition));
	must(ir_hash(q, q->stage->condition) == ir_hash(again, again->stage->condition));
	return 0;
}
