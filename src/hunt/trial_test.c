/* SPDX-License-Identifier: Apache-2.0 */
#include "hunt/trial.h"
#include "base/err.h"
#include "base/test.h"

#define HEAD    "id: r\nname: A\nseverity: low\n"
#define PROC(x) "      - {event.category: process, process.name: " x ", process.entity_id: p}\n"
#define FILE_E  "      - {event.category: file, file.path: /x, process.entity_id: p}\n"

TEST(a_rule_is_held_to_what_its_tests_promise)
{
	static const struct {
		const char *name, *rest, *what;
		unsigned matches, excepted;
		bool passed;
	} rows[] = {
		{ "as promised",
		  "eql: process where process.name == \"sh\"\ntests:\n  - name: t\n    match: 1\n    events:\n" PROC(
			  "sh") PROC("ls"),
		  "1", 1, 0, true },
		{ "once too often",
		  "eql: process where true\ntests:\n  - name: t\n    match: 1\n    events:\n" PROC("sh") PROC("ls"),
		  "1; 2", 2, 0, false },
		{ "none, as promised",
		  "eql: file where true\ntests:\n  - name: t\n    match: 0\n    events:\n" PROC("sh"), "", 0, 0, true },
		{ "a sequence",
		  "eql: 'sequence by process.entity_id [process where true] [file where true]'\n"
		  "tests:\n  - name: t\n    match: 1\n    events:\n" PROC("sh") PROC("ls") FILE_E,
		  "2,3", 1, 0, true },
		{ "events are a second apart",
		  "eql: 'sequence by process.entity_id with maxspan=1s [process where process.name == \"sh\"] [file "
		  "where true]'\n"
		  "tests:\n  - name: t\n    match: 0\n    events:\n" PROC("sh") PROC("ls") FILE_E,
		  "", 0, 0, true },
		{ "what must be missing is, at the end",
		  "eql: 'sequence by process.entity_id with maxspan=1s [process where true] ![file where true]'\n"
		  "tests:\n  - name: t\n    match: 1\n    events:\n" PROC("sh"),
		  "1,-", 1, 0, true },
		{ "an exception of one of the events",
		  "eql: 'sequence by process.entity_id [process where true] [file where true]'\n"
		  "exceptions:\n  - {name: e, where: 'process.name == \"ls\"'}\n"
		  "tests:\n  - name: t\n    match: 0\n    events:\n" PROC("ls") FILE_E,
		  "", 0, 1, true },
		{ "a script has the last word",
		  "lua: |\n  function match(e)\n    return e['process.name'] == 'sh'\n  end\n"
		  "when: process where true\ntests:\n  - name: t\n    match: 1\n    events:\n" PROC("ls") PROC("sh"),
		  "2", 1, 0, true },
		{ "an exception of others",
		  "eql: process where true\nexceptions:\n  - {name: e, where: 'process.name == \"id\"'}\n"
		  "tests:\n  - name: t\n    match: 1\n    events:\n" PROC("ls"),
		  "1", 1, 0, true },
	};

	for_each_row (r, rows) {
		const struct book_options options = { .keep_tests = true };
		AUTO(book) book = NULL;
		AUTO(trial) trial = NULL;
		auto_trial struct trial_result result = { 0 };
		char text[2048];

		(void)snprintf(text, sizeof(text), HEAD "%s", r->rest);
		require_ok(book_read_text("f.yml", text, strlen(text), &options, &book));
		require_ok(book_must_be_whole(book));
		require(book->n_rules == 1 && book->rule[0].n_tests == 1);
		require_ok(trial_new(&book->rule[0], &trial));
		require_ok(trial_run(trial, &book->rule[0].test[0], &result));
		check_int(result.matches, r->matches);
		check_int(result.excepted, r->excepted);
		check_int(result.passed, r->passed);
		check_str(buf_text(&result.what), r->what);
	}
}

TEST(what_no_engine_would_run_cannot_be_tried)
{
	static const char text[] = HEAD "eql: 'sample by user.id [any where true] [any where true]'\n";
	AUTO(book) book = NULL;
	AUTO(trial) trial = NULL;

	require_ok(book_read_text("f.yml", text, sizeof(text) - 1, NULL, &book));
	require(book->n_rules == 1);
	check_int(trial_new(&book->rule[0], &trial), -EINVAL);
	check_has(err_trail(), "never");
}
