/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines, each the expression of a macro a(x), b(x), c(x) ..., and a last one that is a condition. What it comes to is
 * whole, written out it compiles to the same without macros, and what is wrong is told with a place.
 */
#include <errno.h>
#include <strings.h>
#include "base/err.h"
#include "rule/fuzz_rule.h"
#include "rule/macro.h"

enum { MACROS = 6 };

static void tell(void *ctx, const struct macro *macro, unsigned line, unsigned column, const char *message)
{
	(void)ctx;
	must(macro->name && line >= macro->line && column && message[0]);
}

/* A name that the text of a body may capture when it is written out: an item's, or one of a macro's parameters. */
static bool may_capture(const char *text, size_t n)
{
	for (size_t i = 0; i + 5 <= n; i++)
		if (!strncasecmp(text + i, "array", 5))
			return true;
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[MACROS] = { "a", "b", "c", "d", "e", "f" };
	static const char *const parameter[] = { "x" };
	auto_buf struct buf out = { .max = 32 << 20 };
	const char *p = (const char *)data, *stop = p + size, *end;
	struct query_options options = { .dialect = RULE_ENDPOINT }, without = options;
	AUTO(macros) ms = NULL;
	AUTO(query) q = NULL;
	AUTO(query) again = NULL;
	struct diag d;
	int r;

	if (macros_new(&ms) < 0)
		return 0;
	for (unsigned i = 0; i < MACROS && (end = memchr(p, '\n', (size_t)(stop - p))); i++, p = end + 1) {
		const struct macro m = { .name = names[i],
					 .parameter = parameter,
					 .n_parameters = 1,
					 .text = p,
					 .n = (size_t)(end - p),
					 .replaces = size % 5 == 0,
					 .file = "f",
					 .line = i + 1,
					 .column = 1,
					 .text_line = i + 1,
					 .text_column = 1 };

		if (macros_add(ms, &m, tell, NULL) < 0)
			return 0;
	}
	if (macros_finish(ms, tell, NULL) < 0)
		return 0;
	options.macros = ms;
	if (condition_compile(p, (size_t)(stop - p), &options, &d, &q) < 0) {
		fuzz_check_diag(&d, (size_t)(stop - p));
		diag_write(&d, "fuzz", p, (size_t)(stop - p), &out);
		err_clear();
		return 0;
	}
	must(macros_write_out(p, (size_t)(stop - p), true, &options, &d, &out) >= 0);
	if (may_capture((const char *)data, size) || out.len > RULE_TEXT_MAX)
		return 0;
	r = condition_compile(buf_text(&out), out.len, &without, &d, &again);
	/* Brackets count in the depth of a text, and not in that of a tree. */
	if (r == -E2BIG) {
		err_clear();
		return 0;
	}
	must(r >= 0);
	must(ir_same(q, q->stage->condition, again, again->stage->condition));
	return 0;
}
