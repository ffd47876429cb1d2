/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a script in Lua: it is refused with a reason in one line, or runs within its limits and answers the same
 * for the same event.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "base/log.h"
#include "event/json_event.h"
#include "predicate/script.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char line[] = "{\"event\":{\"category\":\"process\"},\"process\":{\"name\":\"bash\",\"pid\":42,"
			   "\"args\":[\"bash\",\"-c\",\"id\"]},\"source\":{\"ip\":\"10.1.2.3\"}}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct script_limits limits = { .instructions = 5000, .memory = 1 << 20, .strikes = 1000 };
	static const struct script_options options = { .limits = &limits };
	auto_json_event struct json_event json;
	AUTO(script_code) code = NULL;
	AUTO(script) s = NULL;
	enum script_verdict first = SCRIPT_NO, again;
	struct event ev;
	struct diag diag;
	int r;

	json_event_init(&json, false);
	log_set_level(LOG_LEVEL_ERROR);
	r = script_compile(SCRIPT_LUA, "fuzz", data, size, &options, &diag, &code);
	if (r < 0) {
		if (r != -EINVAL || !diag.message[0] || strpbrk(diag.message, "\n\r\t"))
			abort();
		return 0;
	}
	if (script_open(code, &s) < 0 || json_event_parse(&json, line, strlen(line)) < 0)
		abort();
	ev = json_event_as_event(&json);
	for (int i = 0; i < 3; i++, first = again) {
		again = script_run(s, &ev);
		if (again >= SCRIPT_TOO_LONG && !*script_error(s))
			abort();
		/* What comes near a limit may be on either side of it. */
		if (i && first <= SCRIPT_YES && again <= SCRIPT_YES && first != again)
			abort();
	}
	return 0;
}
