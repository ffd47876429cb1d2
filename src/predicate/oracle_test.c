/* SPDX-License-Identifier: Apache-2.0 */
/* What others' cases say expressions come to, and which rules an event fires: by the index and without it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "base/test.h"
#include "event/json_event.h"
#include "predicate/set.h"
#include "rule/rule.h"
#include "tests/oracles/oracles.h"

enum { RULES_MAX = 512, SHOWN = 12, IDS_MAX = 64 };

/* ---- expressions ------------------------------------------------------------------------------------ */

/* A value for a parameter, by its type. */
static const char *sample_of(const char *type)
{
	return !strcmp(type, "bool")     ? "true"
	       : !strcmp(type, "int")    ? "1"
	       : !strcmp(type, "float")  ? "1.5"
	       : !strcmp(type, "string") ? "\"text\""
					 : "null";
}

static void expression_of(const struct json_node *c, struct buf *out)
{
	const struct json_node *params = json_get(c, "params"), *name, *p = params ? json_first(params, &name) : NULL;
	const char *text = oracle_string(c, "expression"), *at;

	buf_clear(out);
	if (p)
		for (; (at = strstr(text, "$value")); text = at + 6) {
			buf_add(out, text, (size_t)(at - text));
			buf_str(out, sample_of(oracle_string(p, "type")));
		}
	buf_str(out, text);
}

static bool is_value(const struct json_node *want, const struct value *v)
{
	switch (want->type) {
	case JSON_NULL:
		return v->type == VALUE_NULL;
	case JSON_BOOL:
		return v->type == VALUE_BOOL && v->b == want->b;
	case JSON_INT:
		return v->type == VALUE_INT ? v->i == want->i : v->type == VALUE_FLOAT && v->f == (double)want->i;
	case JSON_DOUBLE:
		return v->type == VALUE_FLOAT ? v->f == want->d : v->type == VALUE_INT && (double)v->i == want->d;
	case JSON_STRING:
		return v->type == VALUE_STR && v->s.n == want->len && !memcmp(v->s.p, want->s, want->len);
	default:
		return false;
	}
}

static bool fold_is(const struct json_node *c, bool sensitive, const char *text, char *why, size_t why_size)
{
	const struct query_options o = { .dialect = RULE_ENDGAME, .case_sensitive = sensitive };
	static const struct event none;
	const struct predicate_input in = { .ev = &none };
	AUTO(predicate_scratch) s = NULL;
	AUTO(program) p = NULL;
	AUTO(query) q = NULL;
	struct diag d = { 0 };
	struct value v;

	(void)snprintf(why, why_size, "another value");
	if (expression_compile(text, strlen(text), &o, &d, &q) < 0) {
		(void)snprintf(why, why_size, "%s", d.message);
		return false;
	}
	if (predicate_compile(q, q->stage[0].condition, &p) < 0 || predicate_scratch_new(&s) < 0 ||
	    !program_begin(p, &in, s))
		return false;
	program_value(p, 0, s, &v);
	return is_value(json_get(c, "expected"), &v);
}

TEST(constants_come_to_what_the_older_reference_says)
{
	auto_buf struct buf text = { .max = 1 << 16 };
	auto_oracle struct oracle o;
	const struct json_node *root, *cases, *name, *c, *mode, *modes;
	unsigned right = 0, shown = 0;
	char why[256];

	if (!oracle_open(&o, "eql-python-cases.json"))
		skip("no-oracles");
	root = oracle_json(&o);
	require(root);
	cases = json_get(root, "fold");
	require(cases);
	for (c = json_first(cases, &name); c; c = json_next(cases, c, &name)) {
		modes = json_get(c, "modes");
		expression_of(c, &text);
		for (mode = json_first(modes, &name); mode; mode = json_next(modes, mode, &name)) {
			bool is = fold_is(c, !strcmp(mode->s, "sensitive"), buf_text(&text), why, sizeof(why));

			right += is;
			if (!is && shown++ < SHOWN)
				test_fail(T_HERE, "%s (%s): %s: %s", oracle_string(c, "id"), mode->s, buf_text(&text),
					  why);
		}
	}
	check(right > 0);
}

/* ---- rules ------------------------------------------------------------------------------------------- */

struct rules {
	struct query *query[RULES_MAX];
	char *id[RULES_MAX];
	uint32_t index[RULES_MAX];
	struct program *alone[RULES_MAX];
	size_t n;
	size_t n_labelled; /* the first so many are those that the events say something of */
	struct predicate_set_builder *builder;
	struct predicate_set *set;
};

static void rules_close(struct rules *r)
{
	predicate_set_free(r->set);
	predicate_set_builder_free(r->builder);
	for (size_t i = 0; i < r->n; i++) {
		program_free(r->alone[i]);
		query_free(r->query[i]);
		free(r->id[i]);
	}
}
#define auto_rules __attribute__((cleanup(rules_close)))

/* Rules that are one event each. */
static void add_rules(struct rules *r, struct oracle *o)
{
	static const struct query_options options = { .dialect = RULE_ENDPOINT };
	const struct json_node *root = oracle_json(o), *list = root, *name, *rule;

	if (root && root->type == JSON_OBJECT)
		list = json_get(root, "rules");
	for (rule = list ? json_first(list, &name) : NULL; rule; rule = json_next(list, rule, &name)) {
		const char *text = oracle_string(rule, "query");
		AUTO(query) q = NULL;
		struct diag d;

		if (r->n == RULES_MAX || query_compile(text, strlen(text), &options, &d, &q) < 0 ||
		    q->kind != QUERY_EVENT)
			continue;
		if (predicate_set_builder_add(r->builder, q, q->stage[0].condition, q->stage[0].category,
					      &r->index[r->n]) < 0 ||
		    predicate_compile(q, q->stage[0].condition, &r->alone[r->n]) < 0) {
			test_fail(T_HERE, "%s: %s", oracle_string(rule, "name"), err_trail());
			continue;
		}
		r->id[r->n] = strdup(oracle_string(rule, "rule_id"));
		r->query[r->n++] = take(q);
	}
}

/* The object that a line has under "event". */
static struct str event_text(const char *line, size_t n)
{
	static const char key[] = "\"event\":{";
	const char *at = memmem(line, n, key, strlen(key)), *p;
	int depth = 0;
	bool quoted = false;

	if (!at)
		return (struct str) { "", 0 };
	at += strlen(key) - 1;
	for (p = at; p < line + n; p++) {
		if (quoted && *p == '\\')
			p++;
		else if (*p == '"')
			quoted = !quoted;
		else if (!quoted && *p == '{')
			depth++;
		else if (!quoted && *p == '}' && !--depth)
			return (struct str) { at, (size_t)(p + 1 - at) };
	}
	return (struct str) { "", 0 };
}

static bool is_listed(const struct json_node *matches, const char *id)
{
	const struct json_node *name, *m;

	for (m = json_first(matches, &name); m; m = json_next(matches, m, &name))
		if (!strcmp(m->s, id))
			return true;
	return false;
}

static bool found(const uint32_t *list, size_t n, uint32_t index)
{
	for (size_t i = 0; i < n; i++)
		if (list[i] == index)
			return true;
	return false;
}

static void check_line(const struct rules *r, const struct json_node *line, const struct event *ev,
		       struct predicate_scratch *s, unsigned *right, unsigned *wrong, unsigned *apart)
{
	const struct json_node *matches = json_get(line, "matches");
	struct predicate_input in = { .ev = ev };
	uint32_t hits[RULES_MAX];
	const uint32_t *list;
	size_t n = predicate_set_run(r->set, &in, s, &list);

	memcpy(hits, list, n * sizeof(*list));
	for (size_t i = 0; i < r->n; i++) {
		bool is = found(hits, n, r->index[i]), want = is_listed(matches, r->id[i]);
		bool alone = predicate_run(r->alone[i], &in, s) == TRUTH_TRUE;

		/* Without the index; it alone knows of the category. */
		if (is && !alone && (*apart)++ < SHOWN)
			test_fail(T_HERE, "%s: the set finds what the rule alone does not", r->id[i]);
		if (!is && alone && (want || !r->query[i]->stage[0].category) && (*apart)++ < SHOWN)
			test_fail(T_HERE, "%s: the set misses what the rule alone finds", r->id[i]);
		if (i >= r->n_labelled)
			continue;
		if (is == want) {
			(*right)++;
			continue;
		}
		if ((*wrong)++ < SHOWN)
			test_fail(T_HERE, "event %lld (%s): %s %s", (long long)json_get(line, "id")->i,
				  oracle_string(line, "kind"), r->id[i], is ? "fires" : "does not fire");
	}
}

TEST(events_fire_the_rules_that_they_should)
{
	static const struct json_limits limits = { .len_max = 1 << 20, .nodes_max = 1 << 16, .depth_max = 64 };
	auto_json_event struct json_event json;
	auto_rules struct rules r = { 0 };
	auto_oracle struct oracle o;
	auto_json struct json_doc doc;
	AUTO(predicate_scratch) s = NULL;
	unsigned right = 0, wrong = 0, apart = 0;
	const struct json_node *root;
	struct event ev;

	json_init(&doc, &limits);
	json_event_init(&json, false);
	if (!oracle_open(&o, "elastic-linux-eql.json"))
		skip("no-oracles");
	require_ok(predicate_set_builder_new(&r.builder));
	require_ok(predicate_scratch_new(&s));
	add_rules(&r, &o);
	r.n_labelled = r.n;
	require(oracle_next(&o, "elastic-endpoint-linux.json"));
	add_rules(&r, &o);
	check(r.n > 250);
	require_ok(predicate_set_build(r.builder, &r.set));
	require(oracle_next(&o, "synth-elastic-single.ndjson"));
	ev = json_event_as_event(&json);
	/* Not with strchr(): under the address sanitizer that looks at all that follows. */
	for (char *line = o.text, *stop = o.text + o.n, *end;
	     line && line < stop && (end = memchr(line, '\n', (size_t)(stop - line))); line = end + 1) {
		struct str text = event_text(line, (size_t)(end - line));

		require_ok(json_parse(&doc, line, (size_t)(end - line), &root));
		require_ok(json_event_parse(&json, text.p, text.n));
		check_line(&r, root, &ev, s, &right, &wrong, &apart);
	}
	if (wrong)
		test_fail(T_HERE, "%u right, %u wrong", right, wrong);
	check(right > 0);
}
