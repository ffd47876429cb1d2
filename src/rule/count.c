/* SPDX-License-Identifier: Apache-2.0 */
#include "rule/count.h"
#include "rule/parse.h"

/* What the first of two events is called: no name that a query can have. */
static const char first[] = "$0";

struct counting {
	struct parser p;
	struct ast_query *q;
	struct token at; /* the query: what is added stands nowhere else */
};

static int field(struct counting *c, const char *event, const char *name, struct ast **ret_node)
{
	const size_t n = strlen(event), len = strlen(name);
	char *whole = arena_alloc(c->p.arena, n + len + 2);
	int r;

	if (!whole)
		return parse_no_memory(&c->p);
	(void)snprintf(whole, n + len + 2, "%s%s%s", event, n ? "." : "", name);
	r = parse_node(&c->p, AST_FIELD, &c->at, ret_node);
	if (r == 0)
		(*ret_node)->str = (struct str) { whole, n + len + (n > 0) };
	return r;
}

/* `op` of the field and null, or of the field now and in the first event, beside the term's condition. */
static int demand(struct counting *c, struct ast_term *term, const char *name, bool is_other)
{
	struct ast *leaf = NULL, *now = NULL, *right = NULL, *not = NULL, *all = NULL;
	int r = field(c, "", name, &now);

	r = r < 0 ? r : is_other ? field(c, first, name, &right) : parse_node(&c->p, AST_NULL, &c->at, &right);
	r = r < 0 ? r : parse_node(&c->p, is_other ? AST_EQ : AST_NE, &c->at, &leaf);
	r = r < 0 ? r : parse_node(&c->p, AST_NOT, &c->at, &not);
	r = r < 0 ? r : parse_node(&c->p, AST_AND, &c->at, &all);
	r = r < 0 ? r : parse_add_kid(&c->p, leaf, now);
	r = r < 0 ? r : parse_add_kid(&c->p, leaf, right);
	if (r == 0 && is_other) {
		r = parse_add_kid(&c->p, not, leaf);
		leaf = not;
	}
	/* The condition is last, for two terms may share it: it has no sister. */
	r = r < 0 ? r : parse_add_kid(&c->p, all, leaf);
	r = r < 0 ? r : parse_add_kid(&c->p, all, term->condition);
	term->condition = all;
	return r;
}

/* Two terms of the same condition, of which the second has another value. */
static int two_values(struct counting *c, const char *name)
{
	struct ast_term *term = c->q->first, *second = arena_new(c->p.arena, struct ast_term);
	int r;

	if (!second)
		return parse_no_memory(&c->p);
	*second = *term;
	term->alias = (struct str) { first, sizeof(first) - 1 };
	term->next = second;
	c->q->last = second;
	c->q->n_terms = 2;
	r = demand(c, term, name, false);
	r = r < 0 ? r : demand(c, second, name, false);
	return r < 0 ? r : demand(c, second, name, true);
}

static int keys(struct counting *c, const struct query_count *count)
{
	struct ast_keys *to = &c->q->keys;
	int r = 0;

	if (count->n_by > RULE_KEYS_MAX)
		return fail_at(&c->p, c->at.at, 0, "events are counted by more than %d fields", RULE_KEYS_MAX);
	for (size_t i = 0; r == 0 && i < count->n_by; i++) {
		struct ast *key = NULL;

		r = field(c, "", count->by[i], &key);
		if (r < 0)
			return r;
		if (to->last)
			to->last->next = key;
		else
			to->first = key;
		to->last = key;
		to->n++;
	}
	return r;
}

int rule_count(struct ast_query *q, const struct query_options *options, struct arena *arena, struct diag *diag)
{
	const struct query_count *count = options->count;
	struct counting c = {
		.p = { .lx = { .text = q->text.p, .n = q->text.n, .options = options, .arena = arena, .diag = diag },
		       .options = options,
		       .arena = arena },
		.q = q,
		.at = { .at = q->at, .len = q->len },
	};
	int r = 0;

	if (q->kind != QUERY_EVENT || q->n_pipes)
		return fail_at(&c.p, q->at, q->len, "only single events are counted: no sequence, and no pipe");
	if (!count->at_least || count->at_least > RULE_RUNS_MAX || (count->other && count->at_least > 2))
		return fail_at(&c.p, q->at, q->len, "counted are 1 to %d events, or two values of a field",
			       RULE_RUNS_MAX);
	if (count->at_least == 1 && !count->other) {
		for (size_t i = 0; r == 0 && i < count->n_by; i++)
			r = demand(&c, q->first, count->by[i], false);
		return r;
	}
	q->kind = QUERY_SEQUENCE;
	q->maxspan_ns = count->span_ns;
	r = keys(&c, count);
	if (r < 0 || count->other)
		return r < 0 ? r : two_values(&c, count->other);
	q->first->runs = count->at_least;
	return 0;
}
