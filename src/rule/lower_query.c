/* SPDX-License-Identifier: Apache-2.0 */
/* lower_query - terms, keys and pipes around the expressions; and the builder's refusals as messages. */
#include "rule/lower.h"
#include <errno.h>
#include <stdio.h>
#include "base/err.h"

enum { PIPE_DEFAULT = 50 }; /* head and tail without a number, in endgame */

int lower_refused(struct lowering *lo, const struct ast *a)
{
	if (lo->b.no_name)
		return fail_max(lo, a, "this field's name is too long or too deep, or there are too many names");
	if (lo->b.too_many)
		return fail_max(lo, a, "a rule of more than %d parts", RULE_NODES_MAX);
	return macro_fail(lo->diag, -ENOMEM, lo->text, lo->n, a, 0, lo->in, "no memory left for the rule");
}

int lower_made(struct lowering *lo, const struct ast *a, ir_ref ref, ir_ref *ret_ref)
{
	*ret_ref = ref;
	return ref ? 0 : lower_refused(lo, a);
}

static int category(struct lowering *lo, const struct ast_term *t, struct query_stage *stage)
{
	const struct rule_schema *schema = lo->options->schema;

	if (!t->category.p) {
		stage->category = NULL;
		return 0;
	}
	if (schema && schema->category && !schema->category(schema->subject, t->category.p, t->category.n))
		return fail_at(lo, t->category_at, t->category_len, "unknown event category \"%.*s\"",
			       (int)t->category.n, t->category.p);
	if (memchr(t->category.p, 0, t->category.n))
		return fail_at(lo, t->category_at, t->category_len, "an event category has no NUL in it");
	stage->category = arena_str(&lo->b.q->arena, t->category.p, t->category.n);
	return stage->category ? 0 : lower_refused(lo, t->condition);
}

static int join_key(struct lowering *lo, const struct ast *a, struct query_key *key)
{
	int r;

	if (lo->elastic && a->op != AST_FIELD)
		return fail_on(lo, a, "sequences and samples are joined by fields");
	if (a->op <= AST_STR)
		return fail_on(lo, a, "a constant joins nothing");
	r = lower_value(lo, a, &key->expr);
	/* The older reference joins null with null. */
	key->optional = a->optional || !lo->elastic;
	return r;
}

static int implicit_key(struct lowering *lo, const struct ast_term *t, struct query_key *key)
{
	const char *name = lo->options->implicit_key;
	struct ast a = { .op = AST_FIELD, .at = t->at, .len = t->len, .str = { name, strlen(name) } };

	return join_key(lo, &a, key);
}

static int stage(struct lowering *lo, const struct ast_term *t, struct query_stage *to)
{
	struct query *q = lo->b.q;
	uint32_t n = 0;
	int r;

	to->missing = t->missing;
	to->fork = t->fork;
	to->runs = t->runs;
	r = category(lo, t, to);
	if (r < 0)
		return r;
	r = lo->is_value ? lower_value(lo, t->condition, &to->condition)
			 : lower_condition(lo, t->condition, &to->condition);
	if (r < 0)
		return r;
	if (t->alias.p && !(to->alias = arena_str(&q->arena, t->alias.p, t->alias.n)))
		return lower_refused(lo, t->condition);
	if (!q->n_keys)
		return 0;
	to->key = arena_zeroed(&q->arena, q->n_keys, sizeof(*to->key));
	if (!to->key)
		return lower_refused(lo, t->condition);
	if (lo->options->implicit_key)
		r = implicit_key(lo, t, &to->key[n++]);
	for (const struct ast *k = lo->ast->keys.first; r >= 0 && k; k = k->next)
		r = join_key(lo, k, &to->key[n++]);
	for (const struct ast *k = t->keys.first; r >= 0 && k; k = k->next)
		r = join_key(lo, k, &to->key[n++]);
	return r;
}

static int check_alias(struct lowering *lo, const struct ast_term *t)
{
	for (const struct ast_term *e = lo->ast->first; e != t; e = e->next)
		if (t->alias.p && e->alias.p && str_same(e->alias, t->alias))
			return fail_at(lo, t->at, t->len, "two terms are called \"%.*s\"", (int)t->alias.n, t->alias.p);
	return 0;
}

static int stages(struct lowering *lo)
{
	const struct ast_query *ast = lo->ast;
	struct query *q = lo->b.q;
	uint32_t i = 0;
	int r = 0;

	q->n_stages = ast->n_terms;
	q->maxspan_ns = ast->maxspan_ns;
	q->n_keys = ast->keys.n + ast->first->keys.n;
	if (lo->options->implicit_key && ast->kind != QUERY_EVENT && ast->kind != QUERY_CONDITION)
		q->n_keys++;
	q->stage = arena_zeroed(&q->arena, q->n_stages, sizeof(*q->stage));
	if (!q->stage)
		return lower_refused(lo, ast->first->condition);
	for (const struct ast_term *t = ast->first; r >= 0 && t; t = t->next, i++) {
		lo->stage = i;
		r = check_alias(lo, t);
		r = r < 0 ? r : stage(lo, t, &q->stage[i]);
	}
	if (r < 0 || !ast->until)
		return r;
	q->until = arena_new(&q->arena, struct query_stage);
	if (!q->until)
		return lower_refused(lo, ast->until->condition);
	lo->stage = 0; /* it belongs to no place in the sequence, so it sees no other's event */
	return stage(lo, ast->until, q->until);
}

static int pipe_count(struct lowering *lo, const struct ast_pipe *p, struct query_pipe *to)
{
	to->count = PIPE_DEFAULT;
	if (!p->n)
		return 0;
	if (p->first->op != AST_INT || p->first->i < 0)
		return fail_on(lo, p->first, "expected a whole number from 0 on");
	to->count = (uint64_t)p->first->i;
	return 0;
}

static int pipe_arguments(struct lowering *lo, const struct ast_pipe *p, struct query_pipe *to)
{
	uint32_t i = 0;
	int r = 0;

	to->arg = arena_zeroed(&lo->b.q->arena, p->n + 1, sizeof(*to->arg));
	if (!to->arg)
		return lower_refused(lo, p->first);
	to->n_args = p->n;
	for (const struct ast *a = p->first; r >= 0 && a; a = a->next) {
		if (p->kind == PIPE_FILTER) {
			r = lower_condition(lo, a, &to->arg[i++]);
			continue;
		}
		if (lower_is_fixed(a))
			return fail_on(lo, a, "a constant is the same of every event");
		r = lower_value(lo, a, &to->arg[i++]);
	}
	return r;
}

static int pipes(struct lowering *lo)
{
	struct query *q = lo->b.q;
	struct query_pipe *to;
	int r = 0;

	if (!lo->ast->n_pipes)
		return 0;
	q->pipe = to = arena_zeroed(&q->arena, lo->ast->n_pipes, sizeof(*to));
	if (!to)
		return lower_refused(lo, lo->ast->first->condition);
	q->n_pipes = lo->ast->n_pipes;
	lo->in_pipe = true;
	for (const struct ast_pipe *p = lo->ast->pipes; r >= 0 && p; p = p->next, to++) {
		to->kind = p->kind;
		if (p->kind == PIPE_HEAD || p->kind == PIPE_TAIL)
			r = pipe_count(lo, p, to);
		else
			r = pipe_arguments(lo, p, to);
		lo->counted |= p->kind == PIPE_COUNT;
		lo->tallied |= p->kind == PIPE_UNIQUE_COUNT;
	}
	return r;
}

static int names(struct lowering *lo)
{
	const char *name = lo->options->category_field;

	if (!name)
		name = lo->elastic ? "event.category" : "event_type";
	lo->b.q->category_field = field_intern(name, strlen(name));
	if (lo->b.q->category_field == FIELD_NONE)
		return diag_fail(lo->diag, -E2BIG, lo->text, lo->n, 0, 0,
				 "\"%.100s\" cannot be the name of the category's field", name);
	return 0;
}

static int subqueries(struct lowering *lo)
{
	struct query *q = lo->b.q;
	struct query **list = arena_zeroed(&q->arena, lo->n_subs + 1, sizeof(struct query *));

	if (!list)
		return lower_refused(lo, lo->ast->first->condition);
	memcpy(list, lo->subs, lo->n_subs * sizeof(struct query *));
	q->subqueries = list;
	q->n_subqueries = lo->n_subs;
	lo->n_subs = 0; /* the query owns them now */
	return 0;
}

static int text_of(struct lowering *lo)
{
	lo->b.q->text = arena_str(&lo->b.q->arena, lo->ast->text.p, lo->ast->text.n);
	lo->b.q->text_len = lo->ast->text.n;
	return lo->b.q->text ? 0 : lower_refused(lo, lo->ast->first->condition);
}

static int lower_query(struct lowering *lo)
{
	struct query *q = lo->b.q;
	int r;

	q->kind = lo->ast->kind;
	q->fold = !lo->elastic && !lo->options->case_sensitive;
	r = names(lo);
	r = r < 0 ? r : stages(lo);
	r = r < 0 ? r : pipes(lo);
	r = r < 0 ? r : subqueries(lo);
	return r < 0 ? r : text_of(lo);
}

int rule_lower(const struct ast_query *ast, const char *text, size_t n, const struct query_options *options,
	       bool is_value, struct arena *scratch, struct diag *diag, struct query **ret_query)
{
	struct lowering lo = {
		.scratch = scratch,
		.options = options,
		.ast = ast,
		.text = text,
		.n = n,
		.diag = diag,
		.elastic = options->dialect != RULE_ENDGAME,
		.is_value = is_value,
	};
	int r;

	r = query_builder_init(&lo.b, options->dialect);
	if (r < 0)
		return diag_fail(diag, r, text, n, 0, 0, "no memory left for the rule");
	r = lower_query(&lo);
	if (r >= 0) {
		r = query_build(&lo.b, ret_query);
		if (r < 0)
			r = diag_fail(diag, r, text, n, ast->at, ast->len, "a rule of more than %d parts",
				      RULE_NODES_MAX);
	}
	for (uint32_t i = 0; i < lo.n_subs; i++)
		query_free(lo.subs[i]);
	query_builder_free(&lo.b);
	return r;
}
