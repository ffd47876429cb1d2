/* SPDX-License-Identifier: Apache-2.0 */
#include "hunt/trial.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "hunt/schema.h"
#include "predicate/predicate.h"
#include "sequence/runner.h"

enum { STATE_BYTES = 8 << 20 };

struct trial {
	const struct book_rule *rule;
	struct schema *schema;
	struct schema_reader reader;
	bool reads;
	struct ruleset *set;
	struct runner_query query;
	struct predicate_scratch *scratch;
	struct script *script; /* NULL: the rule has none */
	/* Of the test that runs: */
	const struct book_test *test;
	size_t at; /* the event that is looked at */
	struct trial_result *result;
	struct json_event event; /* that event; the ones before are read again when an exception is asked about them */
	struct json_event other;
	struct schema_reader other_reader;
};

void trial_result_free(struct trial_result *r)
{
	buf_free(&r->what);
	buf_free(&r->trouble);
}

void trial_free(struct trial *t)
{
	if (!t)
		return;
	predicate_scratch_free(t->scratch);
	script_free(t->script);
	ruleset_unref(t->set);
	json_event_free(&t->event);
	json_event_free(&t->other);
	if (t->reads) {
		schema_reader_free(&t->reader);
		schema_reader_free(&t->other_reader);
	}
	schema_free(t->schema);
	free(t);
}

int trial_new(const struct book_rule *rule, struct trial **ret_trial)
{
	/* As the engine has it: what gives nothing before the end is refused. */
	const struct ruleset_options options = { .endless = true };
	AUTO(trial) t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return err_new(-ENOMEM, "no memory for a rule's tests");
	t->rule = rule;
	json_event_init(&t->event, false);
	json_event_init(&t->other, false);
	r = schema_named("ecs", &t->schema);
	if (r == 0)
		r = schema_reader_init(&t->reader, t->schema, true);
	if (r == 0)
		r = schema_reader_init(&t->other_reader, t->schema, true);
	t->reads = r == 0;
	if (r == 0)
		r = predicate_scratch_new(&t->scratch);
	if (r == 0 && rule->script)
		r = script_open(rule->script, &t->script);
	if (r < 0)
		return r;
	t->query = (struct runner_query) { .id = rule->id, .query = rule->query };
	r = ruleset_new(&t->query, 1, &options, &t->set);
	if (r < 0)
		return r;
	*ret_trial = take(t);
	return 0;
}

static int read_event(struct trial *t, size_t i, struct json_event *je, struct schema_reader *reader)
{
	const char *line = t->test->events[i];
	int r = json_event_parse(je, line, strlen(line));

	if (r == 0)
		schema_apply(reader, je);
	return r;
}

static bool is_excepted(struct trial *t, const struct runner_match *m)
{
	for (size_t s = 0; t->rule->n_exceptions && s < m->n_slots; s++) {
		struct event ev;
		const struct predicate_input in = { .ev = &ev };

		if (m->slots[s].missing || read_event(t, m->slots[s].handle, &t->other, &t->other_reader) < 0)
			continue;
		ev = json_event_as_event(&t->other);
		for (size_t i = 0; i < t->rule->n_exceptions; i++)
			if (predicate_run(t->rule->exception[i].program, &in, t->scratch) == TRUTH_TRUE)
				return true;
	}
	return false;
}

/* What the script says of the event that is looked at. */
static bool is_confirmed(struct trial *t)
{
	const struct event ev = json_event_as_event(&t->event);
	const enum script_verdict verdict = script_run(t->script, &ev);

	if (verdict > SCRIPT_YES)
		buf_printf(&t->result->trouble, "%sevent %zu: %s", t->result->trouble.len ? "; " : "", t->at + 1,
			   verdict == SCRIPT_DISABLED ? "the script is disabled" : script_error(t->script));
	return verdict == SCRIPT_YES;
}

static void put(void *ctx, const struct runner_match *m)
{
	struct trial *t = ctx;
	struct trial_result *result = t->result;

	if (t->script && !is_confirmed(t))
		return;
	if (is_excepted(t, m)) {
		result->excepted++;
		return;
	}
	buf_str(&result->what, result->matches++ ? "; " : "");
	for (size_t i = 0; i < m->n_slots; i++) {
		buf_str(&result->what, i ? "," : "");
		if (m->slots[i].missing)
			buf_char(&result->what, '-');
		else
			buf_u64(&result->what, m->slots[i].handle + 1);
	}
}

int trial_run(struct trial *t, const struct book_test *test, struct trial_result *ret_result)
{
	const struct runner_options options = { .memory = STATE_BYTES, .seed = 1 };
	const struct runner_sink sink = { put, t };
	AUTO(runner) runner = NULL;
	int r = runner_open(t->set, &options, &sink, &runner);

	*ret_result = (struct trial_result) { .what.max = TRIAL_TEXT_MAX, .trouble.max = TRIAL_TEXT_MAX };
	t->test = test;
	t->result = ret_result;
	for (t->at = 0; r == 0 && t->at < test->n_events; t->at++) {
		struct event ev;

		r = read_event(t, t->at, &t->event, &t->reader);
		if (r < 0)
			return err_wrap(r, "event %zu", t->at + 1);
		ev = json_event_as_event(&t->event);
		runner_event(runner,
			     &(struct runner_event) { .event = &ev, .time_ns = t->reader.time_ns, .handle = t->at });
	}
	if (r < 0)
		return r;
	runner_finish(runner);
	ret_result->passed = ret_result->matches == test->matches && !ret_result->trouble.len;
	return 0;
}
