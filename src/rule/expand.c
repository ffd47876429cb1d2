/* SPDX-License-Identifier: Apache-2.0 */
/*
 * expand - each call of a macro becomes a copy of the macro's tree, with the arguments in the place of the parameters.
 *
 * Arguments are expanded where they stand, before they are put in, so that a name always calls what it calls in the
 * text that it stands in. The depth of the tree, of macros within each other and the number of nodes that are made are
 * bounded, whatever the definitions are: nothing here relies on macros_finish() having looked for circles.
 */
#include "rule/expand.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include "base/err.h"
#include "base/hash.h"
#include "rule/function.h"
#include "rule/lower.h"

struct expander {
	const struct query_options *options;
	const struct macro *own; /* whose body the text is; NULL: a rule's */
	struct arena *arena;
	struct diag *diag;
	const char *text;
	size_t n;
	unsigned depth, sub_depth;
	uint32_t made; /* nodes */
	uint64_t content;
};

#define refuse(ex, r, a, ...) macro_fail((ex)->diag, (r), (ex)->text, (ex)->n, (a), (a)->len, NULL, __VA_ARGS__)

/* ---- places ------------------------------------------------------------------------------ */

static const struct ast_call *outermost(const struct ast_call *call)
{
	while (call && call->outer)
		call = call->outer;
	return call;
}

size_t ast_at(const struct ast *a)
{
	return a->call ? outermost(a->call)->at : a->at;
}

/* "in the macro "x", FILE:LINE:COLUMN", and through which other macros it was called. */
static void say_within(struct diag *diag, const struct ast *a)
{
	size_t at = a->at, used = 0;

	for (const struct ast_call *c = a->call; c && used < sizeof(diag->within); at = c->at, c = c->outer) {
		const struct macro *m = c->macro;
		struct diag place;
		int n;

		diag_place(&place, m->text, m->n, at);
		n = snprintf(diag->within + used, sizeof(diag->within) - used, "%s macro \"%s\", %s:%u:%u",
			     used ? ", called by the" : "in the", m->name, m->file, m->text_line + place.line - 1,
			     place.line == 1 ? m->text_column + place.column - 1 : m->indent + place.column);
		used += n > 0 ? (size_t)n : 0;
	}
}

int macro_fail(struct diag *diag, int r, const char *text, size_t n, const struct ast *a, size_t len,
	       const struct ast *in, const char *fmt, ...)
{
	const struct ast_call *c = outermost(a->call);
	va_list ap;

	va_start(ap, fmt);
	r = diag_vfail(diag, r, text, n, c ? c->at : a->at, c ? c->len : len, fmt, ap);
	va_end(ap);
	if (diag)
		say_within(diag, in && in->call ? in : a);
	return r;
}

/* ---- names ------------------------------------------------------------------------------- */

int macro_parameter(const struct macro *macro, struct str name)
{
	for (unsigned i = 0; i < macro->n_parameters; i++)
		if (str_is(name, macro->parameter[i]))
			return (int)i;
	return -1;
}

const struct macro *macro_called(const struct macros *macros, const struct macro *in, struct str name)
{
	if (in && in->replaces && str_is(name, in->name))
		return in->replaced;
	return macros_find(macros, name.p, name.n);
}

/* ---- copies ------------------------------------------------------------------------------ */

static int no_room(struct expander *ex, const struct ast *a)
{
	if (ex->made >= MACRO_PARTS_MAX)
		return refuse(ex, -E2BIG, a, "macros come to more than %d parts here", MACRO_PARTS_MAX);
	return refuse(ex, -ENOMEM, a, "no memory left for the rule");
}

/* The node by itself, without kids. */
static struct ast *copy_node(struct expander *ex, const struct ast *a)
{
	struct ast *to = ex->made < MACRO_PARTS_MAX ? arena_new(ex->arena, struct ast) : NULL;

	if (!to)
		return NULL;
	ex->made++;
	*to = *a;
	to->kid = to->last = to->next = NULL;
	return to;
}

/* A parameter's name before a dot: the argument is a field, and becomes the beginning of a longer name. */
static int copy_member(struct expander *ex, const struct ast *a, const struct ast *call, const struct ast *arg,
		       struct str rest, struct ast **ret_node)
{
	struct ast *to;
	char *name;

	if (arg->op != AST_FIELD)
		return refuse(ex, -EINVAL, arg, "%s() wants a field here", call->call->macro->name);
	if (arg->str.n + 1 + rest.n > FIELD_NAME_MAX)
		return refuse(ex, -E2BIG, arg, "a field's name of more than %d bytes", FIELD_NAME_MAX);
	to = copy_node(ex, arg);
	name = rest.n ? arena_alloc(ex->arena, arg->str.n + rest.n + 2) : NULL;
	if (!to || (rest.n && !name))
		return no_room(ex, arg);
	to->optional |= a->optional;
	if (rest.n) {
		memcpy(name, arg->str.p, arg->str.n);
		name[arg->str.n] = '.';
		memcpy(name + arg->str.n + 1, rest.p, rest.n);
		name[arg->str.n + 1 + rest.n] = 0;
		to->str = (struct str) { name, arg->str.n + 1 + rest.n };
	}
	*ret_node = to;
	return 0;
}

static int copy(struct expander *ex, const struct ast *a, const struct ast *call, struct ast **ret_node);

static int copy_lineage(struct expander *ex, struct ast *to, const struct ast *call)
{
	struct ast_query *sub = arena_new(ex->arena, struct ast_query);
	struct ast_term *term = arena_new(ex->arena, struct ast_term);

	if (!sub || !term)
		return no_room(ex, to);
	*sub = *to->sub;
	*term = *to->sub->first;
	sub->first = sub->last = term;
	to->sub = sub;
	return copy(ex, term->condition, call, &term->condition);
}

static int copy_parameter(struct expander *ex, const struct ast *a, const struct ast *call, int param,
			  struct ast **ret_node)
{
	const size_t head = lower_head(a->str).n;
	const struct ast *arg = call->kid;
	struct str rest = { NULL, 0 };

	while (param-- > 0)
		arg = arg->next;
	if (head == a->str.n && !a->optional)
		return copy(ex, arg, NULL, ret_node);
	if (head < a->str.n)
		rest = (struct str) { a->str.p + head + 1, a->str.n - head - 1 };
	return copy_member(ex, a, call, arg, rest, ret_node);
}

/*
 * A tree: of the body of the macro that `call` calls, with the call's arguments for its parameters; or, when `call` is
 * NULL, as it is.
 */
static int copy(struct expander *ex, const struct ast *a, const struct ast *call, struct ast **ret_node)
{
	const int param = call && a->op == AST_FIELD ? macro_parameter(call->call->macro, lower_head(a->str)) : -1;
	struct ast *to;
	int r = 0;

	if (param >= 0)
		return copy_parameter(ex, a, call, param, ret_node);
	to = copy_node(ex, a);
	if (!to)
		return no_room(ex, a);
	if (call)
		to->call = call->call;
	for (const struct ast *k = a->kid; r >= 0 && k; k = k->next) {
		struct ast *kid = NULL;

		r = copy(ex, k, call, &kid);
		if (r < 0)
			break;
		*(to->last ? &to->last->next : &to->kid) = kid;
		to->last = kid;
	}
	if (r >= 0 && a->op == AST_LINEAGE)
		r = copy_lineage(ex, to, call);
	*ret_node = to;
	return r;
}

struct ast *macro_copy(const struct ast *a, struct arena *arena)
{
	struct diag ignored;
	struct expander ex = { .arena = arena, .diag = &ignored, .text = "" };
	struct ast *to = NULL;

	if (copy(&ex, a, NULL, &to) >= 0)
		return to;
	err_clear();
	return NULL;
}

/* ---- calls ------------------------------------------------------------------------------- */

static int expand(struct expander *ex, struct ast **slot);

static int check_call(struct expander *ex, const struct ast *a, const struct macro *m)
{
	if (m->wrong == m)
		return refuse(ex, -EINVAL, a, "the macro \"%s\" cannot be used, for it is wrong: %s:%u:%u", m->name,
			      m->file, m->line, m->column);
	if (m->wrong)
		return refuse(ex, -EINVAL, a,
			      "the macro \"%s\" cannot be used, for it calls \"%s\", which is wrong: %s:%u:%u", m->name,
			      m->wrong->name, m->wrong->file, m->wrong->line, m->wrong->column);
	if (a->tilde)
		return refuse(ex, -EINVAL, a, "%s() has no form with ~: it is the macro of %s:%u", m->name, m->file,
			      m->line);
	if (a->n != m->n_parameters)
		return refuse(ex, -EINVAL, a, "%s() wants %u argument%s, and has %u: it is the macro of %s:%u", m->name,
			      m->n_parameters, m->n_parameters == 1 ? "" : "s", a->n, m->file, m->line);
	return 0;
}

/* The call, whose arguments are expanded already, becomes the body. */
static int put_in(struct expander *ex, struct ast **slot, const struct macro *m)
{
	struct ast *a = *slot, *body = NULL, call;
	struct ast_call *use;
	int r = check_call(ex, a, m);

	if (r < 0)
		return r;
	if (a->call && a->call->depth >= MACRO_DEPTH_MAX)
		return refuse(ex, -E2BIG, a, "macros within each other deeper than %d", MACRO_DEPTH_MAX);
	use = arena_new(ex->arena, struct ast_call);
	if (!use)
		return no_room(ex, a);
	*use = (struct ast_call) { m, a->call, a->at, a->len, a->call ? a->call->depth + 1 : 1 };
	ex->content = hash_u64(m->content, ex->content);
	call = *a;
	call.call = use;
	r = copy(ex, m->body, &call, &body);
	r = r < 0 ? r : expand(ex, &body);
	if (r < 0)
		return r;
	body->next = a->next;
	*slot = body;
	return 0;
}

/* A macro's name as if it were a field: no event has one of that name, so the rule would silently find nothing. */
static int check_name(struct expander *ex, const struct ast *a)
{
	const struct macro *in = a->call ? a->call->macro : ex->own, *m;

	if (in && macro_parameter(in, lower_head(a->str)) >= 0)
		return 0;
	m = macro_called(ex->options->macros, in, a->str);
	if (!m)
		return 0;
	return refuse(ex, -EINVAL, a, "\"%s\" is a macro: it is called as %s(%s)", m->name, m->name,
		      m->n_parameters ? "..." : "");
}

static int expand_lineage(struct expander *ex, struct ast *a)
{
	int r;

	if (ex->sub_depth >= RULE_SUBQUERY_DEPTH_MAX)
		return refuse(ex, -E2BIG, a, "queries of lineage within each other deeper than %d",
			      RULE_SUBQUERY_DEPTH_MAX);
	ex->sub_depth++;
	r = expand(ex, &a->sub->first->condition);
	ex->sub_depth--;
	return r;
}

static int expand_kids(struct expander *ex, struct ast *a)
{
	int r = 0;

	a->depth = a->op == AST_LINEAGE ? 2 : 1;
	for (struct ast **k = &a->kid; r >= 0 && *k; k = &(*k)->next) {
		r = expand(ex, k);
		if ((*k)->depth >= a->depth)
			a->depth = (*k)->depth + 1;
		a->last = *k;
	}
	return r;
}

static int expand(struct expander *ex, struct ast **slot)
{
	struct ast *a = *slot;
	int r = 0;

	if (++ex->depth > RULE_DEPTH_MAX + MACRO_DEPTH_MAX)
		return refuse(ex, -E2BIG, a, "nested deeper than %d", RULE_DEPTH_MAX);
	if (a->op == AST_FIELD)
		r = check_name(ex, a);
	else if (a->op == AST_LINEAGE)
		r = expand_lineage(ex, a);
	else if (a->kid)
		r = expand_kids(ex, a);
	if (r >= 0 && a->op == AST_CALL) {
		const struct macro *m = macro_called(ex->options->macros, a->call ? a->call->macro : ex->own, a->str);

		if (m)
			r = put_in(ex, slot, m);
	}
	if (r >= 0 && (*slot)->depth > RULE_DEPTH_MAX)
		r = refuse(ex, -E2BIG, *slot, "nested deeper than %d", RULE_DEPTH_MAX);
	ex->depth--;
	return r;
}

int macro_expand(struct ast_query *q, const char *text, size_t n, const struct query_options *options,
		 const struct macro *own, struct arena *arena, struct diag *diag, uint64_t *ret_content)
{
	struct expander ex = { .options = options, .own = own, .arena = arena, .diag = diag, .text = text, .n = n };
	int r = 0;

	for (struct ast_term *t = q->first; r >= 0 && t; t = t->next)
		r = expand(&ex, &t->condition);
	if (r >= 0 && q->until)
		r = expand(&ex, &q->until->condition);
	*ret_content = ex.content;
	return r;
}
