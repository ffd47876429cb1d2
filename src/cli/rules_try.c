/* SPDX-License-Identifier: Apache-2.0 */
/* rules_try - shrike rules test: runs the tests that rules have, and says of each rule whether it kept its word. */
#include <string.h>
#include "base/err.h"
#include "cli/rules.h"
#include "hunt/trial.h"

struct tally {
	size_t rules, failed_rules, untested, tests, failed;
};

/* One thing that is wrong with a rule: `test` NULL: with the rule itself. */
static void put_failure(struct rules_run *r, const struct book_rule *rule, const struct book_test *test,
			const char *why)
{
	unsigned line = test ? test->line : rule->line, column = test ? test->column : rule->column;

	if (r->o->output == OUTPUT_JSON) {
		buf_str(&r->out, "{\"result\":\"failed\"");
		rules_member(r, "rule", rule->id);
		rules_member(r, "test", test ? test->name : NULL);
		rules_member(r, "why", why);
		rules_member(r, "file", rule->file);
		buf_printf(&r->out, ",\"line\":%u,\"column\":%u}\n", line, column);
	} else if (test) {
		rules_line(r, "FAILED %s: %s: %s (%s:%u:%u)", rule->id, test->name, why, rule->file, line, column);
	} else {
		rules_line(r, "FAILED %s: %s (%s:%u:%u)", rule->id, why, rule->file, line, column);
	}
}

static bool try_test(struct rules_run *r, struct trial *trial, const struct book_rule *rule,
		     const struct book_test *test)
{
	auto_trial struct trial_result result = { 0 };
	auto_buf struct buf why = { .max = 2 * TRIAL_TEXT_MAX };

	if (trial_run(trial, test, &result) < 0) {
		put_failure(r, rule, test, err_trail());
		err_clear();
		return false;
	}
	if (result.passed)
		return true;
	buf_printf(&why, "matched %u time%s", result.matches, result.matches == 1 ? "" : "s");
	if (result.matches)
		buf_printf(&why, " (events %s)", buf_text(&result.what));
	buf_printf(&why, ", not %u", test->matches);
	if (result.trouble.len)
		buf_printf(&why, "; %s", buf_text(&result.trouble));
	if (result.excepted)
		buf_printf(&why, "; %u left out by exceptions", result.excepted);
	put_failure(r, rule, test, buf_text(&why));
	return false;
}

static void try_rule(struct rules_run *r, const struct book_rule *rule, struct tally *tally)
{
	AUTO(trial) trial = NULL;
	size_t failed = 0;

	tally->rules++;
	tally->untested += !rule->n_tests;
	if (trial_new(rule, &trial) < 0) {
		put_failure(r, rule, NULL, err_trail());
		err_clear();
		tally->failed_rules++;
		return;
	}
	for (size_t i = 0; i < rule->n_tests; i++)
		failed += !try_test(r, trial, rule, &rule->test[i]);
	tally->tests += rule->n_tests;
	tally->failed += failed;
	tally->failed_rules += failed > 0;
	if (failed)
		return;
	if (r->o->output == OUTPUT_JSON) {
		buf_printf(&r->out, "{\"result\":\"%s\"", rule->n_tests ? "ok" : "untested");
		rules_member(r, "rule", rule->id);
		buf_printf(&r->out, ",\"tests\":%zu", rule->n_tests);
		rules_member(r, "file", rule->file);
		buf_str(&r->out, "}\n");
	} else if (rule->n_tests) {
		rules_line(r, "ok     %s: %zu test%s", rule->id, rule->n_tests, rule->n_tests == 1 ? "" : "s");
	} else {
		rules_line(r, "-      %s: it has no tests", rule->id);
	}
}

enum exit_code rules_test(struct rules_run *r)
{
	const struct book *b = r->book;
	struct tally t = { 0 };

	for (size_t i = 0; i < b->n_problems; i++)
		rules_problem(r, &b->problem[i]);
	(void)rules_fields(r);
	for (size_t i = 0; i < b->n_rules && !r->cli->write_error; i++)
		try_rule(r, &b->rule[i], &t);
	if (r->o->output == OUTPUT_JSON)
		buf_printf(&r->out,
			   "{\"rules\":%zu,\"failed_rules\":%zu,\"untested\":%zu,\"tests\":%zu,\"failed\":%zu,"
			   "\"problems\":%zu}\n",
			   t.rules, t.failed_rules, t.untested, t.tests, t.failed, b->n_wrong);
	else
		rules_line(r,
			   "%zu rule%s, %zu failed, %zu without tests; %zu test%s, %zu failed; %zu problem%s in files",
			   t.rules, t.rules == 1 ? "" : "s", t.failed_rules, t.untested, t.tests,
			   t.tests == 1 ? "" : "s", t.failed, b->n_wrong, b->n_wrong == 1 ? "" : "s");
	return t.failed_rules || b->n_wrong ? EXIT_NO : EXIT_OK;
}
