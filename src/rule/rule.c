/* SPDX-License-Identifier: Apache-2.0 */
#include "rule/rule.h"
#include "base/err.h"
#include "rule/ast.h"
#include "rule/count.h"
#include "rule/expand.h"
#include "rule/kql.h"
#include "rule/lower.h"

enum wanted { WANT_QUERY, WANT_CONDITION, WANT_VALUE };

static bool has_macros(const struct query_options *options)
{
	return (options->dialect == RULE_ELASTIC || options->dialect == RULE_ENDPOINT) && macros_at(options->macros, 0);
}

static int compile(const char *text, size_t n, enum wanted wanted, const struct query_options *options,
		   struct diag *reterr_diag, struct query **ret_query)
{
	static const struct query_options defaults = { .dialect = RULE_ELASTIC };
	auto_arena struct arena scratch;
	struct ast_query *ast;
	struct diag diag;
	uint64_t macros = 0;
	int r;

	if (!options)
		options = &defaults;
	if (!reterr_diag)
		reterr_diag = &diag;
	*reterr_diag = (struct diag) { .line = 1, .column = 1 };
	arena_init(&scratch, RULE_ARENA_MAX);
	r = (options->dialect == RULE_KQL ? kql_parse : rule_parse)(text, n, wanted != WANT_QUERY, options, &scratch,
								    reterr_diag, &ast);
	if (r >= 0 && has_macros(options))
		r = macro_expand(ast, text, n, options, NULL, &scratch, reterr_diag, &macros);
	if (r >= 0 && options->count)
		r = rule_count(ast, options, &scratch, reterr_diag);
	if (r >= 0)
		r = rule_lower(ast, text, n, options, wanted == WANT_VALUE, &scratch, reterr_diag, ret_query);
	if (r >= 0)
		(*ret_query)->macros = macros;
	return r;
}

int query_compile(const char *text, size_t n, const struct query_options *options, struct diag *reterr_diag,
		  struct query **ret_query)
{
	return compile(text, n, WANT_QUERY, options, reterr_diag, ret_query);
}

int condition_compile(const char *text, size_t n, const struct query_options *options, struct diag *reterr_diag,
		      struct query **ret_query)
{
	return compile(text, n, WANT_CONDITION, options, reterr_diag, ret_query);
}

int expression_compile(const char *text, size_t n, const struct query_options *options, struct diag *reterr_diag,
		       struct query **ret_query)
{
	return compile(text, n, WANT_VALUE, options, reterr_diag, ret_query);
}

int macros_write_out(const char *text, size_t n, bool is_condition, const struct query_options *options,
		     struct diag *reterr_diag, struct buf *out)
{
	auto_arena struct arena scratch;
	struct ast_query *ast;
	uint64_t macros;
	int r;

	*reterr_diag = (struct diag) { .line = 1, .column = 1 };
	arena_init(&scratch, RULE_ARENA_MAX);
	r = rule_parse(text, n, is_condition, options, &scratch, reterr_diag, &ast);
	if (r >= 0 && has_macros(options))
		r = macro_expand(ast, text, n, options, NULL, &scratch, reterr_diag, &macros);
	if (r >= 0)
		ast_write_query(ast, out);
	return r;
}
