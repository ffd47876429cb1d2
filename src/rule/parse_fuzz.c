/* SPDX-License-Identifier: Apache-2.0 */
/* Any text: a tree whose nodes lie within the text and no deeper than is allowed, or a refusal with a place. */
#include "rule/ast.h"
#include "rule/fuzz_rule.h"

static void walk(const struct ast *a, size_t n)
{
	unsigned kids = 0;

	must(a->at <= n && a->len <= n - a->at && a->depth <= RULE_DEPTH_MAX + 1);
	if (a->op == AST_LINEAGE) {
		must(a->sub && a->sub->n_terms == 1);
		return;
	}
	for (const struct ast *k = a->kid; k; k = k->next, kids++) {
		must(k->depth < a->depth);
		walk(k, n);
	}
	must(kids == a->n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_arena struct arena arena;
	struct query_options options;
	struct ast_query *q;
	struct diag d;
	unsigned terms = 0;

	if (!size)
		return 0;
	options = fuzz_options(data[0]);
	arena_init(&arena, RULE_ARENA_MAX);
	if (rule_parse((const char *)data + 1, size - 1, data[0] & 0x80, &options, &arena, &d, &q) < 0) {
		fuzz_check_diag(&d, size - 1);
		return 0;
	}
	for (const struct ast_term *t = q->first; t; t = t->next, terms++) {
		must(t->runs >= 1 && t->runs <= RULE_RUNS_MAX && t->keys.n == q->first->keys.n);
		walk(t->condition, size - 1);
	}
	must(terms == q->n_terms && terms <= RULE_STAGES_MAX);
	for (const struct ast_pipe *p = q->pipes; p; p = p->next)
		for (const struct ast *a = p->first; a; a = a->next)
			walk(a, size - 1);
	return 0;
}
