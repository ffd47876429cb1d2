/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kql - Kibana's query language: the front end beside EQL's and Sigma's, for conditions on single events.
 *
 * The parser makes the same tree as EQL's, so that names, types and messages are the same: query_compile() and
 * condition_compile() with the dialect RULE_KQL lead here. docs/kql.md says what each thing means and what is
 * refused; `feature` of the diag names what would be right but is not there.
 */
#pragma once
#include "rule/ast.h"

/* What a query, or a bare condition, says: one term without a category. */
int kql_parse(const char *text, size_t n, bool expression, const struct query_options *options, struct arena *arena,
	      struct diag *diag, struct ast_query **ret_query);

/*
 * What a field holds of which no schema says it: names of ECS that end in ip are addresses. RULE_UNKNOWN: anything.
 * In EQL cidrMatch() says that addresses are meant; KQL leaves it to the field.
 */
enum rule_type kql_type_of(struct str name);
