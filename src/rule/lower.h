/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lower - from what is written to what it means: names resolved, types checked, the dialect's rules made explicit.
 */
#pragma once
#include "rule/ast.h"

int rule_lower(const struct ast_query *ast, const char *text, size_t n, const struct query_options *options,
	       bool is_value, struct diag *diag, struct query **ret_query);
