/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a module, binary or text: it is refused with a reason, or runs within its limits and answers the same
 * for the same event. Where the library is absent, only what reads modules before it is tried.
 */
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "event/json_event.h"
#include "predicate/script.h"
#include "predicate/wasm/scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char line[] = "{\"event\":{\"category\":\"process\"},\"process\":{\"name\":\"bash\",\"pid\":42,"
			   "\"args\":[\"bash\",\"-c\",\"id\"]},\"source\":{\"ip\":\"10.1.2.3\"}}";

static bool known(const char *name, size_t n)
{
	(void)name;
	return n < 16;
}

static void scan(const uint8_t *data, size_t size)
{
	struct wasm_shape shape;
	char why[WASM_WHY_MAX];
	bool fine = wasm_scan(data, size, known, &shape, why);

	if (fine && (why[0] || shape.functions > WASM_FUNCTIONS_MAX || shape.imports > shape.functions))
		abort();
	/* What was not understood may do anything. */
	if (!fine && !shape.leaves_traces)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct script_limits limits = { .instructions = 20000, .memory = 4 << 16, .strikes = 1000 };
	static const struct script_options options = { .limits = &limits };
	auto_json_event struct json_event json;
	AUTO(script_code) code = NULL;
	AUTO(script) s = NULL;
	struct event ev;
	struct diag diag;
	enum script_verdict first;
	int r;

	json_event_init(&json, false);
	scan(data, size);
	r = script_compile(SCRIPT_WASM, "fuzz", data, size, &options, &diag, &code);
	if (r < 0) {
		if (r != -EINVAL && r != -ENOTSUP)
			abort();
		if (r == -EINVAL && (!diag.message[0] || strchr(diag.message, '\n')))
			abort();
		return 0;
	}
	/* What it named is known by now. */
	if (script_open(code, &s) < 0 || json_event_parse(&json, line, strlen(line)) < 0)
		return 0;
	ev = json_event_as_event(&json);
	first = script_run(s, &ev);
	for (int i = 0; i < 3; i++) {
		enum script_verdict again = script_run(s, &ev);

		/* Time is no part of an answer. */
		if (again != first && again != SCRIPT_TOO_LONG && first != SCRIPT_TOO_LONG)
			abort();
	}
	return 0;
}
