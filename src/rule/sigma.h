/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sigma - from a Sigma rule to its IR: the front end beside EQL's.
 *
 * What is read: `logsource` and `detection` of a rule, with all modifiers, conditions, keywords and the older
 * aggregations; or `correlation` of a rule about other rules. What else a rule says (title, id, level, tags, author,
 * references, falsepositives) is for who reads rule files: it stands in the same tree. docs/sigma.md says what each
 * thing means and which are refused.
 *
 * The tree is a stranger's: what passes a maximum of ir.h is refused with its place. Diagnostics carry the line and
 * the column of the tree's nodes; `at` and `len` are 0 but from sigma_compile_text(), for a tree does not keep its
 * text.
 */
#pragma once
#include "config/yaml.h"
#include "rule/rule.h"

/* Which names events have. A rule's own are those of Sigma's taxonomy: Image, CommandLine, a0. */
enum sigma_names {
	SIGMA_ECS, /* events of ours and others with ECS names: fields are mapped, logsources are conditions */
	SIGMA_OWN, /* events with the names that rules have: fields are taken as they are written, logsources not at all
		    */
};

struct sigma_options {
	enum sigma_names names;
	/*
	 * As databases read rules that were made SQL: a text is equal only in the same case, but for those with a
	 * wildcard of Sigma or SQL (* ? % _) in them; and what is said of a missing field is neither true nor false,
	 * also behind `not`. The specification says otherwise.
	 */
	bool sql;
	const struct rule_schema *schema; /* types of fields; NULL: nothing is known of them */
	/* The rule of that name or id, for correlations; NULL, or a result of NULL: there is none. */
	const struct yaml_node *(*find)(void *ctx, const char *name);
	void *ctx;
};

/* What is wrong with a rule. */
struct sigma_problem {
	struct diag diag;
	/* A word of docs/sigma.md ("expand"): the rule may be right, but needs what is not there; NULL: it is wrong. */
	const char *feature;
};

/* Does a mapping look like a Sigma rule: is there a `detection` or a `correlation` in it? */
bool sigma_is_rule(const struct yaml_node *rule);

/*
 * Compiles a rule: a mapping with `detection` (and, mostly, `logsource`), or with `correlation`. -EINVAL: it is wrong,
 * or needs what is missing, and *reterr_problem says which; -E2BIG: beyond a maximum, with a problem too; -ENOMEM.
 * Every failure leaves a trail of one line as well. `options` NULL: ECS, no schema, no other rules.
 */
int sigma_compile(const struct yaml_node *rule, const struct sigma_options *options,
		  struct sigma_problem *reterr_problem, struct query **ret_query);
/* The same from the text of a file: the first document, or the last when that is a correlation of the others. */
int sigma_compile_text(const char *text, size_t n, const struct sigma_options *options,
		       struct sigma_problem *reterr_problem, struct query **ret_query);
