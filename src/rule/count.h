/* SPDX-License-Identifier: Apache-2.0 */
/* count - a query for single events becomes one for a number of them (struct query_count): a sequence with runs. */
#pragma once
#include "rule/ast.h"

/* Changes the tree before it is lowered. -EINVAL: it is no query for single events, or counts what cannot be. */
int rule_count(struct ast_query *q, const struct query_options *options, struct arena *arena, struct diag *diag);
