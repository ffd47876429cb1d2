/* SPDX-License-Identifier: Apache-2.0 */
/* What other implementations take and refuse: tests/oracles/oracles.h says where the cases are. */
#include "base/err.h"
#include "base/test.h"
#include "rule/rule.h"
#include "tests/oracles/oracles.h"

enum { SHOWN = 25 };

static bool is_true(const struct json_node *object, const char *name)
{
	const struct json_node *v = object ? json_get(object, name) : NULL;

	return v && v->type == JSON_BOOL && v->b;
}

/* The list of this name; NULL: the file is a list itself. */
static const struct json_node *cases_of(struct oracle *o, const char *name)
{
	const struct json_node *root = oracle_json(o);

	return root && name ? json_get(root, name) : root;
}

struct tally {
	unsigned right, wrong;
};

static void tell(struct tally *t, const char *id, const char *text, bool accepted, bool wanted, const struct diag *d)
{
	if (accepted == wanted) {
		t->right++;
		return;
	}
	if (t->wrong++ < SHOWN)
		test_fail(T_HERE, "%s: %s, wanted %s: %.160s [%s]", id, accepted ? "accepted" : "refused",
			  wanted ? "accepted" : "refused", text, accepted ? "" : d->message);
}

typedef int compile_fn(const char *text, size_t n, const struct query_options *options, struct diag *reterr_diag,
		       struct query **ret_query);

static void try(struct tally *t, const char *id, const char *text, compile_fn *compile,
		const struct query_options *options, bool wanted)
{
	AUTO(query) q = NULL;
	struct diag d = { 0 };
	int r = compile(text, strlen(text), options, &d, &q);

	tell(t, id, text, r >= 0, wanted, &d);
	if (r < 0 && (!d.line || !d.column || !d.message[0]))
		test_fail(T_HERE, "%s: a message without place: %s", id, text);
}

TEST(the_parse_cases_of_elasticsearch_are_taken_and_refused_alike)
{
	struct query_options options = { .dialect = RULE_ELASTIC };
	auto_oracle struct oracle o;
	const struct json_node *name, *cases, *c;
	struct tally t = { 0 };

	if (!oracle_open(&o, "eql-es-parse-cases.json"))
		skip("no-oracles");
	cases = cases_of(&o, "cases");
	require(cases);
	for (c = json_first(cases, &name); c; c = json_next(cases, c, &name))
		try(&t, oracle_string(c, "id"), oracle_string(c, "query"), query_compile, &options,
		    is_true(c, "accept"));
	check(t.right > 0);
}

TEST(the_queries_of_elasticsearch_compile)
{
	struct query_options options = { .dialect = RULE_ELASTIC };
	auto_oracle struct oracle o;
	const struct json_node *name, *cases, *c;
	struct tally t = { 0 };

	if (!oracle_open(&o, "eql-es-cases.json"))
		skip("no-oracles");
	cases = cases_of(&o, "cases");
	require(cases);
	for (c = json_first(cases, &name); c; c = json_next(cases, c, &name))
		try(&t, oracle_string(c, "id"), oracle_string(c, "query"), query_compile, &options, true);
	check(t.right > 0);
}

static void all_rules(const char *file, const char *list, const struct query_options *options)
{
	auto_oracle struct oracle o;
	const struct json_node *name, *rules, *rule;
	struct tally t = { 0 };

	if (!oracle_open(&o, file))
		skip("no-oracles");
	rules = cases_of(&o, list);
	require(rules);
	for (rule = json_first(rules, &name); rule; rule = json_next(rules, rule, &name))
		try(&t, oracle_string(rule, "name"), oracle_string(rule, "query"), query_compile, options, true);
	check(t.right > 0);
}

TEST(all_detection_rules_for_linux_compile)
{
	struct query_options options = { .dialect = RULE_ELASTIC };

	all_rules("elastic-linux-eql.json", "rules", &options);
}

TEST(all_endpoint_rules_for_linux_compile)
{
	struct query_options options = { .dialect = RULE_ENDPOINT };

	all_rules("elastic-endpoint-linux.json", NULL, &options);
}

/* NAME(...): a macro of somebody's own, for functions of the language are never all capitals. */
static bool has_macro(const char *text)
{
	for (const char *p = strchr(text, '('); p; p = strchr(p + 1, '(')) {
		const char *begin = p;

		while (begin > text && ((begin[-1] >= 'A' && begin[-1] <= 'Z') || begin[-1] == '_' ||
					(begin[-1] >= '0' && begin[-1] <= '9')))
			begin--;
		if (begin < p && *begin >= 'A')
			return true;
	}
	return false;
}

/*
 * A case of the older reference's parser says which of its switches were on. Left out: what needs macros, definitions
 * or functions of somebody's own; schemas that the case does not show; and what was refused only because its switch
 * for samples was off.
 */
static bool is_of_the_language(const struct json_node *c)
{
	const struct json_node *flags = json_get(c, "flags"), *functions = json_get(flags, "check_functions");
	const char *start = oracle_string(c, "start"), *error = oracle_string(c, "error"),
		   *text = oracle_string(c, "text");

	if (strcmp(start, "expr") != 0 && strcmp(start, "piped_query") != 0)
		return false;
	if (is_true(c, "with_preprocessor") || strstr(error, "SchemaError") || strstr(error, "CompileError"))
		return false;
	if (is_true(c, "with_schema") && !is_true(c, "ok") && !strstr(error, "SyntaxError"))
		return false;
	if (is_true(flags, "enable_enum") || is_true(flags, "strict_fields") || has_macro(text))
		return false;
	return !(functions && functions->type == JSON_BOOL && !functions->b);
}

TEST(the_parse_cases_of_the_older_reference_are_taken_and_refused_alike)
{
	auto_oracle struct oracle o;
	const struct json_node *name, *cases, *c;
	struct tally t = { 0 };

	if (!oracle_open(&o, "eql-python-cases.json"))
		skip("no-oracles");
	cases = cases_of(&o, "parse");
	require(cases);
	for (c = json_first(cases, &name); c; c = json_next(cases, c, &name)) {
		const struct json_node *flags = json_get(c, "flags");
		struct query_options options = {
			.dialect = RULE_ENDGAME,
			.strict_endgame = !is_true(flags, "elasticsearch_syntax"),
			.implied_any = is_true(flags, "implied_any"),
		};

		if (is_of_the_language(c))
			try(&t, oracle_string(c, "id"), oracle_string(c, "text"),
			    strcmp(oracle_string(c, "start"), "expr") == 0 ? condition_compile : query_compile,
			    &options, is_true(c, "ok"));
	}
	check(t.right > 0);
}

static void python(const char *list, const char *text, compile_fn *compile, bool wanted)
{
	struct query_options options = { .dialect = RULE_ENDGAME, .strict_endgame = true };
	auto_oracle struct oracle o;
	const struct json_node *name, *cases, *c;
	struct tally t = { 0 };

	if (!oracle_open(&o, "eql-python-cases.json"))
		skip("no-oracles");
	cases = cases_of(&o, list);
	require(cases);
	for (c = json_first(cases, &name); c; c = json_next(cases, c, &name))
		if (!strchr(oracle_string(c, text), '$'))
			try(&t, oracle_string(c, "id"), oracle_string(c, text), compile, &options, wanted);
	check(t.right > 0);
}

TEST(the_queries_of_the_older_reference_compile)
{
	python("queries", "query", query_compile, true);
}

TEST(the_expressions_that_the_older_reference_folds_compile)
{
	python("fold", "expression", expression_compile, true);
}

TEST(what_the_older_reference_s_verifier_refuses_is_refused)
{
	python("verifier_must_reject", "expression", condition_compile, false);
}

/* Two ways to write one thing lower into the same IR. */
TEST(what_the_older_reference_calls_equivalent_lowers_alike)
{
	struct query_options options = { .dialect = RULE_ENDGAME };
	auto_oracle struct oracle o;
	const struct json_node *name, *cases, *c;

	if (!oracle_open(&o, "eql-python-cases.json"))
		skip("no-oracles");
	cases = cases_of(&o, "equivalent");
	require(cases);
	for (c = json_first(cases, &name); c; c = json_next(cases, c, &name)) {
		const char *a = oracle_string(c, "expression"), *b = oracle_string(c, "alternate");
		AUTO(query) qa = NULL;
		AUTO(query) qb = NULL;

		require_ok(condition_compile(a, strlen(a), &options, NULL, &qa));
		require_ok(condition_compile(b, strlen(b), &options, NULL, &qb));
		if (!ir_same(qa, qa->stage->condition, qb, qb->stage->condition))
			test_fail(T_HERE, "%s is not %s", a, b);
		check(ir_hash(qa, qa->stage->condition) == ir_hash(qb, qb->stage->condition));
	}
}
