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
		{ "in another language",
		  "kql: |\n  event.category:process and not process.name:(ls or x*)\ntests:\n  - name: t\n    match: "
		  "1\n"
		  "    events:\n" PROC("sh") PROC("ls") PROC("xz") FILE_E,
		  "1", 1, 0, true },
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

#define RULE        "[rule]\nrule_id = \"r\"\nlanguage = \"kuery\"\nquery = \"event.action:login and not user.name:root\"\n"
#define COUNT(more) RULE "type = \"threshold\"\nfrom = \"now-1m\"\n" more

/* A login: so many seconds after the first one, of whom, from where. "-": no such field. */
struct login {
	unsigned s;
	const char *user, *ip;
};

static void write_login(const struct login *l, struct buf *out)
{
	buf_printf(out, "{\"@timestamp\":\"2024-05-06T07:%02u:%02uZ\",\"event\":{\"action\":\"login\"}", l->s / 60,
		   l->s % 60);
	if (*l->user != '-')
		buf_printf(out, ",\"user\":{\"name\":\"%s\"}", l->user);
	if (*l->ip != '-')
		buf_printf(out, ",\"source\":{\"ip\":\"%s\"}", l->ip);
	buf_str(out, "}");
}

TEST(elastics_rules_on_numbers_of_matches_count)
{
	static const struct {
		const char *name, *rule, *what;
		struct login logins[9];
	} rows[] = {
		{ "a query",
		  RULE "type = \"query\"\n",
		  "1; 3",
		  { { 1, "a", "-" }, { 2, "root", "-" }, { 3, "-", "-" } } },
		{ "three of them",
		  COUNT("[rule.threshold]\nfield = []\nvalue = 3\n"),
		  "1,2,4",
		  { { 1, "a", "-" }, { 2, "b", "-" }, { 3, "root", "-" }, { 4, "-", "-" } } },
		{ "three of one field",
		  COUNT("[rule.threshold]\nfield = [\"source.ip\"]\nvalue = 3\n"),
		  "1,3,5",
		  { { 1, "a", "10.0.0.1" },
		    { 2, "b", "10.0.0.2" },
		    { 3, "c", "10.0.0.1" },
		    { 4, "d", "-" },
		    { 5, "e", "10.0.0.1" } } },
		{ "a field that is a text",
		  COUNT("[rule.threshold]\nfield = \"user.name\"\nvalue = 2\n"),
		  "1,3",
		  { { 1, "a", "-" }, { 2, "b", "-" }, { 3, "a", "-" } } },
		{ "of two fields",
		  COUNT("[rule.threshold]\nfield = [\"source.ip\", \"user.name\"]\nvalue = 2\n"),
		  "1,4",
		  { { 1, "a", "10.0.0.1" }, { 2, "b", "10.0.0.1" }, { 3, "a", "10.0.0.2" }, { 4, "a", "10.0.0.1" } } },
		{ "too far apart",
		  COUNT("[rule.threshold]\nvalue = 3\n"),
		  "",
		  { { 1, "a", "-" }, { 40, "a", "-" }, { 70, "a", "-" } } },
		{ "any time of that length",
		  COUNT("[rule.threshold]\nvalue = 3\n"),
		  "2,3,4",
		  { { 1, "a", "-" }, { 40, "a", "-" }, { 70, "a", "-" }, { 90, "a", "-" } } },
		{ "each one more is a match",
		  COUNT("[rule.threshold]\nvalue = 2\n"),
		  "1,2; 2,3; 3,4; 4,5",
		  { { 1, "a", "-" }, { 2, "a", "-" }, { 3, "a", "-" }, { 4, "a", "-" }, { 5, "a", "-" } } },
		{ "one is enough",
		  COUNT("[rule.threshold]\nvalue = 1\nfield = [\"source.ip\"]\n"),
		  "2",
		  { { 1, "a", "-" }, { 2, "a", "10.0.0.1" } } },
		{ "two values",
		  COUNT("[rule.threshold]\nvalue = 1\nfield = [\"source.ip\"]\n"
			"[[rule.threshold.cardinality]]\nfield = \"user.name\"\nvalue = 2\n"),
		  "1,4",
		  { { 1, "a", "10.0.0.1" }, { 2, "b", "10.0.0.2" }, { 3, "-", "10.0.0.1" }, { 4, "b", "10.0.0.1" } } },
		{ "one value twice",
		  COUNT("[rule.threshold]\nvalue = 2\n"
			"[[rule.threshold.cardinality]]\nfield = \"user.name\"\nvalue = 2\n"),
		  "",
		  { { 1, "a", "-" }, { 2, "a", "-" } } },
		{ "an hour",
		  RULE "type = \"threshold\"\nfrom = \"now-1h\"\n[rule.threshold]\nvalue = 2\n",
		  "1,2",
		  { { 1, "a", "-" }, { 3000, "a", "-" } } },
		{ "six minutes, where it is not said",
		  RULE "type = \"threshold\"\n[rule.threshold]\nvalue = 2\n",
		  "2,3",
		  { { 1, "a", "-" }, { 400, "a", "-" }, { 700, "a", "-" } } },
	};

	for_each_row (r, rows) {
		struct book_test test = { .name = "t" };
		auto_trial struct trial_result result = { 0 };
		const char *events[countof(r->logins)];
		char lines[countof(r->logins)][160];
		AUTO(book) book = NULL;
		AUTO(trial) trial = NULL;

		for (size_t i = 0; i < countof(r->logins) && r->logins[i].s; i++) {
			auto_buf struct buf out = { .max = sizeof(lines[i]) - 1 };

			write_login(&r->logins[i], &out);
			require(!out.failed);
			(void)snprintf(lines[i], sizeof(lines[i]), "%s", buf_text(&out));
			events[test.n_events++] = lines[i];
		}
		test.events = events;
		require_ok(book_read_text("f.toml", r->rule, strlen(r->rule), NULL, &book));
		require_ok(book_must_be_whole(book));
		require(book->n_rules == 1);
		require_ok(trial_new(&book->rule[0], &trial));
		require_ok(trial_run(trial, &test, &result));
		check_str(buf_text(&result.what), r->what);
	}
}
