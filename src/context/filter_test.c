/* SPDX-License-Identifier: Apache-2.0 */
/* What a client asked to see, and nothing else. */
#include "context/filter.h"
#include <string.h>
#include "base/err.h"
#include "base/test.h"
#include "sensors/process/process.event.h"
#include "sensors/sensor.h"

static void register_all(void)
{
	for (const struct sensor *const *s = sensor_table; *s; s++)
		for (size_t k = 0; k < (*s)->n_kinds; k++)
			(void)event_kind_register(&(*s)->kinds[k]);
}

static bool of_five(const struct event *ev, __u32 pid)
{
	(void)ev;
	return pid == 5;
}

TEST(a_filter_passes_what_was_asked_for)
{
	static const char *const exec[] = { "process.exec" }, *const glob[] = { "process.*" },
				 *const exit[] = { "process.exit" };
	static const struct {
		const char *name;
		struct filter_spec spec;
		bool want;
	} rows[] = {
		{ "everything", { 0 }, true },
		{ "its kind", { .kinds = exec, .n_kinds = 1 }, true },
		{ "a glob of kinds", { .kinds = glob, .n_kinds = 1 }, true },
		{ "another kind", { .kinds = exit, .n_kinds = 1 }, false },
		{ "its pid", { .pid = 77 }, true },
		{ "another pid", { .pid = 5 }, false },
		{ "another pid, and its descendants", { .pid = 5, .descendants = true }, true },
		{ "a stranger, and its descendants", { .pid = 6, .descendants = true }, false },
		{ "its name", { .comm = "cat" }, true },
		{ "half of its name", { .comm = "ca" }, false },
		{ "a path above", { .path = "/usr/bin/" }, true },
		{ "a path beside", { .path = "/usr/sbin/" }, false },
		{ "no container", { .container = "abc" }, false },
		{ "no address in it", { .address = "10.0.0.0/8" }, false },
		{ "a condition", { .expr = "process.executable like \"/usr/*\" and process.pid == 77" }, true },
		{ "a condition that is false", { .expr = "process.pid == 78" }, false },
		{ "a condition on what is not there", { .expr = "container.id == \"abc\"" }, false },
		{ "a condition on the category", { .expr = "event.category == \"process\"" }, true },
		{ "a condition and another kind", { .kinds = exit, .n_kinds = 1, .expr = "true" }, false },
		{ "two that hold", { .pid = 77, .comm = "cat" }, true },
		{ "one that does not", { .pid = 77, .comm = "dog" }, false },
	};
	static const char exe[] = "/usr/bin/cat";
	struct {
		struct ev_exec e;
		char text[32];
	} rec = { 0 };
	struct event ev = { .rec = &rec.e.head };

	register_all();
	rec.e.head = (struct ev_head) { .id = EV_EXEC, .len = sizeof(rec), .pid = 77, .comm = "cat" };
	rec.e.exe = (struct ev_str) { offsetof(__typeof__(rec), text), sizeof(exe) - 1 };
	memcpy(rec.text, exe, sizeof(exe));
	ev.kind = event_kind_of(EV_EXEC);
	for_each_row (r, rows) {
		AUTO(filter) f = NULL;

		require_ok(filter_compile(&r->spec, &f));
		check_int(filter_match(f, &ev, of_five), r->want);
	}
}

TEST(a_filter_that_cannot_match_is_refused)
{
	static const char *const none[] = { "proces.exec" };
	static const struct {
		const char *name;
		struct filter_spec spec;
		const char *want;
	} rows[] = {
		{ "no such kind", { .kinds = none, .n_kinds = 1 }, "no kind of event matches \"proces.exec\"" },
		{ "no address", { .address = "localhost" }, "\"localhost\" is no address" },
		{ "prefix too long", { .address = "10.0.0.0/33" }, "the prefix is a number from 0 to 32" },
		{ "no condition", { .expr = "process.pid ==" }, "condition, line 1, column" },
		{ "no such field", { .expr = "process.pidd == 1" }, "did you mean \"process.pid\"?" },
		{ "no pattern", { .expr = "process.name regex \"[a\"" }, "[a" },
		{ "prefix of nothing", { .address = "::1/" }, "the prefix is a number from 0 to 128" },
	};

	register_all();
	for_each_row (r, rows) {
		AUTO(filter) f = NULL;

		check_int(filter_compile(&r->spec, &f), -EINVAL);
		check_has(err_trail(), r->want);
	}
}
