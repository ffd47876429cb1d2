/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lower - each written form becomes the one op that means it.
 *
 * An expression stands in one of two places. Where a condition is wanted (the root, and below and, or, not)
 * elastic's leaves get IR_TRUTH; where a value is wanted, they stay three-valued. What is known to be null by its
 * text alone (elastic: an optional field that no event can have) becomes the constant, which IR_TRUTH never touches:
 * `not ?unknown == "a"` is null, and matches nothing.
 */
#include "rule/lower.h"
#include <errno.h>
#include <stdio.h>
#include "base/nearest.h"
#include "rule/function.h"

/* Nodes of the leaves: what decides by itself. */
static unsigned leaf_flags(const struct lowering *lo)
{
	return lo->elastic ? IR_ANY : 0;
}

/* ---- comparisons ------------------------------------------------------------------------ */

static void truth(struct lowering *lo, ir_ref ref)
{
	struct ir_node *n = lower_node(lo, ref);

	/* What is never null, or decides by its kids, or is null for good, has no use for it. */
	if (lo->elastic && n->op > IR_STR && n->op != IR_AND && n->op != IR_OR && n->op != IR_NOT &&
	    n->op != IR_IS_NULL && n->op != IR_LINEAGE)
		n->flags |= IR_TRUTH;
}

static int typed(struct lowering *lo, const struct ast *a, ir_ref ref, enum rule_type type, ir_ref *ret_ref)
{
	if (ref)
		lower_node(lo, ref)->type = (uint8_t)type;
	return lower_made(lo, a, ref, ret_ref);
}

static int negate(struct lowering *lo, const struct ast *a, ir_ref kid, ir_ref *ret_ref)
{
	return typed(lo, a, build_node(&lo->b, IR_NOT, 0, &kid, 1), RULE_BOOLEAN, ret_ref);
}

/* x == null, x != null: is there an x? */
static int existence(struct lowering *lo, const struct ast *a, ir_ref kid, bool is_there, ir_ref *ret_ref)
{
	int r;

	if (ir_is_const(lower_node(lo, kid)))
		return lower_made(lo, a, build_bool(&lo->b, lower_is_null(lo, kid) != is_there), ret_ref);
	r = typed(lo, a, build_node(&lo->b, IR_IS_NULL, 0, &kid, 1), RULE_BOOLEAN, ret_ref);
	return r < 0 || !is_there ? r : negate(lo, a, *ret_ref, ret_ref);
}

static unsigned endgame_fold(const struct lowering *lo)
{
	return lo->elastic || lo->options->case_sensitive ? 0 : IR_FOLD;
}

/* endgame: == and != with a * in a literal are wildcards. */
static bool is_star(const struct lowering *lo, const struct ast *a)
{
	return !lo->elastic && a->op == AST_STR && memchr(a->str.p, '*', a->str.n);
}

static int star(struct lowering *lo, const struct ast *a, const struct ast *text, const struct ast *pattern,
		ir_ref *ret_ref)
{
	ir_ref kids[2];
	int r;

	r = lower_value(lo, text, &kids[0]);
	r = r < 0 ? r : lower_value(lo, pattern, &kids[1]);
	if (r < 0)
		return r;
	if (lower_family(lower_node(lo, kids[0])->type) > FAMILY_ANY &&
	    lower_family(lower_node(lo, kids[0])->type) != FAMILY_TEXT)
		return lower_mismatch(lo, pattern, RULE_KEYWORD, lower_node(lo, kids[0])->type);
	r = typed(lo, a, build_node(&lo->b, IR_LIKE, IR_STAR | endgame_fold(lo), kids, 2), RULE_BOOLEAN, ret_ref);
	return r < 0 || a->op == AST_EQ ? r : negate(lo, a, *ret_ref, ret_ref);
}

static enum ir_op swapped(enum ir_op op)
{
	switch (op) {
	case IR_LT:
		return IR_GT;
	case IR_LE:
		return IR_GE;
	case IR_GT:
		return IR_LT;
	case IR_GE:
		return IR_LE;
	default:
		return op;
	}
}

static int compare(struct lowering *lo, const struct ast *a, bool wants_condition, ir_ref *ret_ref)
{
	static const uint8_t ops[] = {
		[AST_EQ] = IR_EQ, [AST_NE] = IR_NE, [AST_LT] = IR_LT,
		[AST_LE] = IR_LE, [AST_GT] = IR_GT, [AST_GE] = IR_GE,
	};
	const struct ast *left = a->kid, *right = a->kid->next;
	enum ir_op op = ops[a->op];
	bool equality = op == IR_EQ || op == IR_NE, not_equal = false;
	ir_ref kids[2];
	uint8_t as;
	int r;

	if (equality && is_star(lo, right))
		return star(lo, a, left, right, ret_ref);
	if (equality && is_star(lo, left))
		return star(lo, a, right, left, ret_ref);
	/* Constants stand on the right. */
	if (lower_is_fixed(left) && !lower_is_fixed(right)) {
		const struct ast *t = left;

		left = right;
		right = t;
		op = swapped(op);
	}
	r = lower_value(lo, left, &kids[0]);
	r = r < 0 ? r : lower_value(lo, right, &kids[1]);
	if (r < 0)
		return r;
	if (equality && lower_is_null(lo, kids[1]))
		return existence(lo, a, kids[0], op == IR_NE, ret_ref);
	/* A field that cannot be there is not asked for by a constant beside it: that is unknown. */
	if (equality && lower_is_null(lo, kids[0]) && (left->op == AST_NULL || !ir_is_const(lower_node(lo, kids[1]))))
		return existence(lo, a, kids[1], op == IR_NE, ret_ref);
	if (lower_is_null(lo, kids[0]) || lower_is_null(lo, kids[1]))
		return lower_made(lo, a, build_null(&lo->b), ret_ref);
	r = lower_agree(lo, left, kids[0], right, kids[1], &as);
	if (r < 0)
		return r;
	if (!equality &&
	    (lower_node(lo, kids[0])->type == RULE_BOOLEAN || lower_node(lo, kids[1])->type == RULE_BOOLEAN))
		return fail_on(lo, a, "true and false have no order");
	/* elastic: field != "x" asks whether no value of it is "x", which is true where there is none. */
	if (lo->elastic && wants_condition && op == IR_NE && lower_node(lo, kids[0])->op == IR_FIELD &&
	    ir_is_const(lower_node(lo, kids[1]))) {
		op = IR_EQ;
		not_equal = true;
	}
	r = typed(lo, a, build_node(&lo->b, op, leaf_flags(lo) | endgame_fold(lo), kids, 2), RULE_BOOLEAN, ret_ref);
	if (r < 0)
		return r;
	lower_node(lo, *ret_ref)->as = as;
	if (!not_equal)
		return 0;
	truth(lo, *ret_ref);
	return negate(lo, a, *ret_ref, ret_ref);
}

/* ---- in, :, like, regex ------------------------------------------------------------------ */

static bool has_wildcard(struct str s)
{
	return memchr(s.p, '*', s.n) || memchr(s.p, '?', s.n);
}

/* Room for a list's values, of the scratch of one rule. */
static ir_ref *kids_new(struct lowering *lo, const struct ast *a, size_t n, int *ret_r)
{
	ir_ref *kids = arena_zeroed(lo->scratch, n, sizeof(*kids));

	*ret_r = kids ? 0 : lower_refused(lo, a);
	return kids;
}

/* kids[0] against all others, which agree with it already: `as` is how they are read. */
static int in_list(struct lowering *lo, const struct ast *a, ir_ref *kids, size_t n, bool folds, uint8_t as,
		   ir_ref *ret_ref)
{
	unsigned flags = leaf_flags(lo) | endgame_fold(lo) | (folds ? IR_FOLD : 0);
	int r;

	if (lower_is_null(lo, kids[0]))
		return lower_made(lo, a, build_null(&lo->b), ret_ref);
	/* In a list of one is equal to it. */
	r = typed(lo, a, build_node(&lo->b, n == 2 ? IR_EQ : IR_IN, flags, kids, n), RULE_BOOLEAN, ret_ref);
	if (r >= 0)
		lower_node(lo, *ret_ref)->as = as;
	return r;
}

/* One more value of a list: *as becomes how all are read. */
static int agree_item(struct lowering *lo, const struct ast *a, ir_ref subject, const struct ast *item, ir_ref ref,
		      uint8_t *as)
{
	uint8_t each;
	int r;

	if (lower_is_null(lo, subject) || lower_is_null(lo, ref))
		return 0;
	r = lower_agree(lo, a->kid, subject, item, ref, &each);
	if (r >= 0 && each)
		*as = each;
	return r;
}

static int set_in(struct lowering *lo, const struct ast *a, ir_ref *ret_ref)
{
	uint8_t as = RULE_UNKNOWN;
	ir_ref *kids;
	size_t n = 0;
	int r;

	kids = kids_new(lo, a, a->n, &r);
	for (const struct ast *k = a->kid; r >= 0 && k; k = k->next, n++) {
		r = lower_value(lo, k, &kids[n]);
		if (r >= 0 && n)
			r = agree_item(lo, a, kids[0], k, kids[n], &as);
	}
	return r < 0 ? r : in_list(lo, a, kids, n, a->tilde, as, ret_ref);
}

/* Checks what patterns are held against. */
static int check_text(struct lowering *lo, const struct ast *a, ir_ref ref)
{
	enum rule_type type = lower_node(lo, ref)->type;

	if (lower_family(type) == FAMILY_BOOLEAN || lower_family(type) == FAMILY_NUMBER)
		return fail_on(lo, a, "a pattern needs text, and this is %s", lower_type_words(type));
	return 0;
}

static int set_pattern(struct lowering *lo, const struct ast *a, enum ir_op op, ir_ref *ret_ref)
{
	ir_ref *kids;
	size_t i = 0;
	int r;

	kids = kids_new(lo, a, a->n, &r);
	for (const struct ast *k = a->kid; r >= 0 && k; k = k->next) {
		if (i && k->op != AST_STR)
			return fail_on(lo, k, "a pattern is a string: \"...\"");
		r = lower_value(lo, k, &kids[i++]);
	}
	r = r < 0 ? r : check_text(lo, a->kid, kids[0]);
	if (r < 0)
		return r;
	if (lower_is_null(lo, kids[0]))
		return lower_made(lo, a, build_null(&lo->b), ret_ref);
	return typed(lo, a, build_node(&lo->b, op, leaf_flags(lo) | (a->tilde ? IR_FOLD : 0) | a->flags, kids, i),
		     RULE_BOOLEAN, ret_ref);
}

/* Is this value behind a `:` a pattern? Beside dates, addresses and numbers only if it has wildcards. */
static bool is_pattern(struct lowering *lo, ir_ref subject, const struct ast *a)
{
	enum rule_type type = lower_node(lo, subject)->type;

	return a->op == AST_STR &&
	       (lower_family(type) == FAMILY_ANY || type == RULE_KEYWORD || type == RULE_TEXT || has_wildcard(a->str));
}

/* `:` is like~ for strings, == for all else, and asks for absence with null; a list may have all of them. */
static int set_colon(struct lowering *lo, const struct ast *a, ir_ref *ret_ref)
{
	ir_ref *like, *in, parts[3], subject;
	size_t n_like = 1, n_in = 1, n = 0;
	uint8_t as = RULE_UNKNOWN;
	bool null = false;
	int r;

	like = kids_new(lo, a, a->n, &r);
	in = r < 0 ? NULL : kids_new(lo, a, a->n, &r);
	r = r < 0 ? r : lower_value(lo, a->kid, &subject);
	if (r < 0)
		return r;
	like[0] = in[0] = subject;
	for (const struct ast *k = a->kid->next; k; k = k->next) {
		if (!lower_is_fixed(k))
			return fail_on(lo, k, "expected a constant behind \":\"");
		if (k->op == AST_NULL) {
			null = true;
		} else if (is_pattern(lo, subject, k)) {
			r = lower_value(lo, k, &like[n_like++]);
		} else {
			r = lower_value(lo, k, &in[n_in]);
			r = r < 0 ? r : agree_item(lo, a, subject, k, in[n_in++], &as);
		}
		if (r < 0)
			return r;
	}
	if (lower_is_null(lo, subject) && !null)
		return lower_made(lo, a, build_null(&lo->b), ret_ref);
	if (n_like > 1) {
		unsigned flags = leaf_flags(lo) | IR_FOLD;

		r = check_text(lo, a->kid, subject);
		r = r < 0 ? r
			  : typed(lo, a, build_node(&lo->b, IR_LIKE, flags, like, n_like), RULE_BOOLEAN, &parts[n++]);
	}
	if (r >= 0 && n_in > 1)
		r = in_list(lo, a, in, n_in, true, as, &parts[n++]);
	if (r >= 0 && null)
		r = existence(lo, a, subject, false, &parts[n++]);
	if (r < 0)
		return r;
	*ret_ref = parts[0];
	return n == 1 ? 0 : typed(lo, a, build_node(&lo->b, IR_OR, 0, parts, n), RULE_BOOLEAN, ret_ref);
}

static int set(struct lowering *lo, const struct ast *a, ir_ref *ret_ref)
{
	switch (a->op) {
	case AST_IN:
		return set_in(lo, a, ret_ref);
	case AST_COLON:
		return set_colon(lo, a, ret_ref);
	case AST_LIKE:
		return set_pattern(lo, a, IR_LIKE, ret_ref);
	default:
		return set_pattern(lo, a, IR_REGEX, ret_ref);
	}
}

/* ---- calls ------------------------------------------------------------------------------ */

static int unknown_function(struct lowering *lo, const struct ast *a)
{
	char word[64];
	struct nearest near = { .word = word };
	const struct rule_function *f;
	const struct macro *m;
	int r;

	(void)snprintf(word, sizeof(word), "%.*s", (int)a->str.n, a->str.p);
	r = fail_part(lo, a, a->str.n, "unknown function \"%s\"", word);
	if (lo->diag)
		lo->diag->unknown_call = true;
	for (size_t i = 0; (f = rule_function_at(i)); i++)
		if (!lo->elastic || !f->endgame_only)
			nearest_offer(&near, f->name);
	for (size_t i = 0; (m = macros_at(lo->options->macros, i)); i++)
		nearest_offer(&near, m->name);
	/* Only the case is wrong: nothing is nearer. */
	f = rule_function_find(a->str.p, a->str.n, false);
	lower_hint(lo, f ? f->name : near.best);
	return r;
}

static int check_argument(struct lowering *lo, const struct rule_function *f, const struct ast *a, ir_ref ref,
			  char want)
{
	const struct ir_node *n = lower_node(lo, ref);
	enum family family = lower_family(n->type);

	switch (want) {
	case 's':
	case 'l':
	case 'A':
		if (family == FAMILY_NUMBER || family == FAMILY_BOOLEAN)
			return fail_on(lo, a, "%s() wants text here, and this is %s", f->name,
				       lower_type_words(n->type));
		return 0;
	case 'i':
		if (lo->elastic && n->op == IR_FLOAT)
			return fail_on(lo, a, "%s() wants a whole number here", f->name);
		__attribute__((fallthrough));
	case 'n':
		if (family == FAMILY_TEXT || family == FAMILY_BOOLEAN)
			return fail_on(lo, a, "%s() wants a number here, and this is %s", f->name,
				       lower_type_words(n->type));
		return 0;
	case 'b':
		if (family == FAMILY_TEXT || family == FAMILY_NUMBER)
			return fail_on(lo, a, "%s() wants true or false here, and this is %s", f->name,
				       lower_type_words(n->type));
		return 0;
	case 'P':
		return n->op == IR_STR ? 0 : fail_on(lo, a, "%s() wants a pattern here: a string", f->name);
	case 'C':
		if (n->op != IR_STR || !lower_is_network(n->str) ||
		    (!lo->elastic && lo->options->strict_endgame && !memchr(n->str.p, '/', n->str.n)))
			return fail_on(lo, a, "%s() wants a network here: \"10.0.0.0/8\", \"fe80::/10\"", f->name);
		return 0;
	default:
		return 0;
	}
}

/* arraySearch(list, x, body): x names an item in the body, and nowhere else. */
static int items(struct lowering *lo, const struct rule_function *f, const struct ast *a, ir_ref *ret_ref)
{
	const struct ast *list = a->kid, *name = list->next, *body = name->next;
	unsigned var = lo->n_vars;
	ir_ref kids[2], ref;
	int r;

	if (name->op != AST_FIELD || lower_head(name->str).n != name->str.n || name->optional)
		return fail_on(lo, name, "%s() wants a name for the item here", f->name);
	if (var >= RULE_VARIABLES_MAX)
		return fail_max(lo, a, "more than %d of arraySearch() and arrayCount() within each other",
				RULE_VARIABLES_MAX);
	r = lower_value(lo, list, &kids[0]);
	r = r < 0 ? r : check_argument(lo, f, list, kids[0], 'l');
	if (r < 0)
		return r;
	lo->vars[lo->n_vars].name = name->str;
	lo->vars[lo->n_vars++].call = name->call;
	r = lower_condition(lo, body, &kids[1]);
	lo->n_vars--;
	if (r < 0)
		return r;
	ref = build_call(&lo->b, f->fn, endgame_fold(lo), kids, 2);
	if (ref)
		lower_node(lo, ref)->var = var;
	return typed(lo, a, ref, f->type, ret_ref);
}

/* Null in an argument that must be there makes the whole null; others, and where to begin, may be null. */
static bool is_fatal_null(const struct rule_function *f, unsigned i)
{
	return f->fn == IR_CONCAT || f->form == FORM_OPERATOR || (i < f->min && f->args[i] != 'i');
}

static int check_arity(struct lowering *lo, const struct rule_function *f, const struct ast *a)
{
	unsigned min = lo->elastic || !f->endgame_min ? f->min : f->endgame_min;

	if (a->n >= min && a->n <= f->max)
		return 0;
	if (min == f->max)
		return fail_on(lo, a, "%s() wants %u argument%s, and has %u", f->name, min, min == 1 ? "" : "s", a->n);
	if (a->n < min)
		return fail_on(lo, a, "%s() wants at least %u argument%s, and has %u", f->name, min,
			       min == 1 ? "" : "s", a->n);
	return fail_on(lo, a, "%s() wants at most %u arguments, and has %u", f->name, f->max, a->n);
}

static int call_flags(struct lowering *lo, const struct rule_function *f, const struct ast *a, unsigned *ret_flags)
{
	*ret_flags = f->flags;
	if (a->tilde && (!f->folds || (!lo->elastic && lo->options->strict_endgame)))
		return fail_part(lo, a, a->str.n + 1, "%s() has no form with ~", f->name);
	if (a->tilde)
		*ret_flags |= IR_FOLD;
	if (f->folds || f->form == FORM_PATTERN || f->fn == IR_ARRAY_CONTAINS)
		*ret_flags |= endgame_fold(lo);
	if (f->type == RULE_BOOLEAN)
		*ret_flags |= leaf_flags(lo);
	return 0;
}

static int call(struct lowering *lo, const struct ast *a, ir_ref *ret_ref)
{
	const struct rule_function *f = rule_function_find(a->str.p, a->str.n, !lo->elastic);
	unsigned flags, i = 0;
	ir_ref *kids, ref;
	bool null = false;
	int r;

	/* The endpoint has arraySearch() too, for lists of objects; the other old ones have operators now. */
	if (f && f->endgame_only && lo->elastic && f->form != FORM_ITEMS) {
		r = fail_part(lo, a, a->str.n, "%s() is of the dialect endgame", f->name);
		lower_hint(lo, f->op == IR_LIKE ? "like" : f->op == IR_REGEX ? "regex" : NULL);
		return r;
	}
	if (!f || (lo->elastic && f->form == FORM_ITEMS && lo->options->dialect != RULE_ENDPOINT))
		return unknown_function(lo, a);
	r = check_arity(lo, f, a);
	r = r < 0 ? r : call_flags(lo, f, a, &flags);
	if (r < 0)
		return r;
	if (f->form == FORM_ITEMS)
		return items(lo, f, a, ret_ref);
	if (f->form == FORM_SELF)
		return lower_value(lo, a->kid, ret_ref);
	kids = kids_new(lo, a, a->n, &r);
	for (const struct ast *k = a->kid; r >= 0 && k; k = k->next, i++) {
		size_t args = strlen(f->args);

		r = lower_value(lo, k, &kids[i]);
		r = r < 0 ? r : check_argument(lo, f, k, kids[i], f->args[i < args ? i : args - 1]);
		null |= r >= 0 && lower_is_null(lo, kids[i]) && is_fatal_null(f, i);
	}
	if (r < 0)
		return r;
	if (null && f->fn != IR_ARRAY_CONTAINS)
		return lower_made(lo, a, build_null(&lo->b), ret_ref);
	ref = f->form == FORM_CALL ? build_call(&lo->b, f->fn, flags, kids, i)
				   : build_node(&lo->b, f->op, flags, kids, i);
	return typed(lo, a, ref, f->type, ret_ref);
}

/* ---- arithmetic ------------------------------------------------------------------------- */

static int arithmetic(struct lowering *lo, const struct ast *a, ir_ref *ret_ref)
{
	static const uint8_t ops[] = {
		[AST_NEG] = IR_NEG, [AST_ADD] = IR_ADD, [AST_SUB] = IR_SUB,
		[AST_MUL] = IR_MUL, [AST_DIV] = IR_DIV, [AST_MOD] = IR_MOD,
	};
	ir_ref kids[2] = { 0 };
	bool null = false;
	size_t i = 0;
	int r;

	for (const struct ast *k = a->kid; k; k = k->next, i++) {
		enum family family;

		r = lower_value(lo, k, &kids[i]);
		if (r < 0)
			return r;
		family = lower_family(lower_node(lo, kids[i])->type);
		if (family == FAMILY_TEXT || family == FAMILY_BOOLEAN)
			return fail_on(lo, k, "only numbers can be reckoned with, and this is %s",
				       lower_type_words(lower_node(lo, kids[i])->type));
		null |= lower_is_null(lo, kids[i]);
	}
	if (null)
		return lower_made(lo, a, build_null(&lo->b), ret_ref);
	return typed(lo, a, build_node(&lo->b, ops[a->op], 0, kids, i), RULE_NUMBER, ret_ref);
}

/* ---- and, or, not ------------------------------------------------------------------------ */

/* How many kids it comes to when those that are of the same op are taken apart: (a and b) and c is one of three. */
static size_t flat_count(struct lowering *lo, enum ir_op op, const ir_ref *kids, size_t n)
{
	size_t flat = 0;

	for (size_t i = 0; i < n; i++)
		flat += lower_node(lo, kids[i])->op == op ? lower_node(lo, kids[i])->n : 1;
	return flat;
}

static int boolean(struct lowering *lo, const struct ast *a, bool wants_condition, ir_ref *ret_ref)
{
	static const uint8_t ops[] = { [AST_AND] = IR_AND, [AST_OR] = IR_OR, [AST_NOT] = IR_NOT };
	enum ir_op op = ops[a->op];
	ir_ref *kids, *flat;
	size_t n = 0, n_flat = 0;
	int r;

	kids = kids_new(lo, a, a->n, &r);
	for (const struct ast *k = a->kid; r >= 0 && k; k = k->next, n++)
		r = wants_condition ? lower_condition(lo, k, &kids[n]) : lower_value(lo, k, &kids[n]);
	if (r < 0)
		return r;
	if (op == IR_NOT)
		return negate(lo, a, kids[0], ret_ref);
	flat = kids_new(lo, a, flat_count(lo, op, kids, n), &r);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		const struct ir_node *kid = lower_node(lo, kids[i]);

		if (kid->op != op)
			flat[n_flat++] = kids[i];
		for (uint32_t k = 0; kid->op == op && k < kid->n; k++)
			flat[n_flat++] = kid->kid[k];
	}
	return typed(lo, a, build_node(&lo->b, op, 0, flat, n_flat), RULE_BOOLEAN, ret_ref);
}

static int lineage(struct lowering *lo, const struct ast *a, ir_ref *ret_ref)
{
	struct query *sub = NULL;
	ir_ref ref;
	int r;

	if (lo->in_pipe)
		return fail_on(lo, a, "a pipe knows nothing of processes: lineage stands in the query");
	if (lo->n_subs >= RULE_SUBQUERIES_MAX)
		return fail_max(lo, a, "more than %d queries of lineage", RULE_SUBQUERIES_MAX);
	r = rule_lower(a->sub, lo->text, lo->n, lo->options, false, lo->scratch, lo->diag, &sub);
	if (r < 0)
		return r;
	ref = build_node(&lo->b, IR_LINEAGE, 0, NULL, 0);
	if (!ref) {
		query_free(sub);
		return lower_refused(lo, a);
	}
	lower_node(lo, ref)->sub = lo->n_subs;
	lower_node(lo, ref)->lineage = a->lineage;
	lo->subs[lo->n_subs++] = sub;
	return typed(lo, a, ref, RULE_BOOLEAN, ret_ref);
}

/* ---- both places -------------------------------------------------------------------------- */

static int constant(struct lowering *lo, const struct ast *a, ir_ref *ret_ref)
{
	switch (a->op) {
	case AST_BOOL:
		return lower_made(lo, a, build_bool(&lo->b, a->b), ret_ref);
	case AST_INT:
		return lower_made(lo, a, build_int(&lo->b, a->i), ret_ref);
	case AST_FLOAT:
		return lower_made(lo, a, build_float(&lo->b, a->f), ret_ref);
	case AST_STR:
		return lower_made(lo, a, build_str(&lo->b, a->str.p, a->str.n), ret_ref);
	default:
		return lower_made(lo, a, build_null(&lo->b), ret_ref);
	}
}

static int lower_any(struct lowering *lo, const struct ast *a, bool wants_condition, ir_ref *ret_ref)
{
	int r;

	lo->b.at = (uint32_t)ast_at(a);
	switch (a->op) {
	case AST_FIELD:
		return lower_field(lo, a, ret_ref);
	case AST_ITEM:
		return lower_item(lo, a, ret_ref);
	case AST_MEMBER:
		return lower_member(lo, a, ret_ref);
	case AST_AND:
	case AST_OR:
	case AST_NOT:
		return boolean(lo, a, wants_condition, ret_ref);
	case AST_EQ:
	case AST_NE:
	case AST_LT:
	case AST_LE:
	case AST_GT:
	case AST_GE:
		return compare(lo, a, wants_condition, ret_ref);
	case AST_NEG:
	case AST_ADD:
	case AST_SUB:
	case AST_MUL:
	case AST_DIV:
	case AST_MOD:
		return arithmetic(lo, a, ret_ref);
	case AST_IN:
	case AST_COLON:
	case AST_LIKE:
	case AST_REGEX:
		r = set(lo, a, ret_ref);
		if (r < 0 || !a->negated)
			return r;
		if (wants_condition)
			truth(lo, *ret_ref);
		return negate(lo, a, *ret_ref, ret_ref);
	case AST_CALL:
		return call(lo, a, ret_ref);
	case AST_LINEAGE:
		return lineage(lo, a, ret_ref);
	case AST_VALUES:
		return lower_made(lo, a, build_node(&lo->b, IR_VALUES, 0, NULL, 0), ret_ref);
	default:
		return constant(lo, a, ret_ref);
	}
}

static int lower(struct lowering *lo, const struct ast *a, bool wants_condition, ir_ref *ret_ref)
{
	const struct ast *outer = lo->in;
	int r;

	lo->in = a;
	r = lower_any(lo, a, wants_condition, ret_ref);
	lo->in = outer;
	return r;
}

int lower_value(struct lowering *lo, const struct ast *a, ir_ref *ret_ref)
{
	return lower(lo, a, false, ret_ref);
}

int lower_condition(struct lowering *lo, const struct ast *a, ir_ref *ret_ref)
{
	int r;

	r = lower(lo, a, true, ret_ref);
	if (r < 0)
		return r;
	/* A field by itself: any item of a list will do, as in other leaves. */
	if (lo->elastic && lower_node(lo, *ret_ref)->op == IR_FIELD)
		lower_node(lo, *ret_ref)->flags |= IR_ANY;
	/* `:` of a mixed list is an or of leaves. */
	if (lower_node(lo, *ret_ref)->op == IR_OR && a->op == AST_COLON)
		for (uint32_t i = 0; i < lower_node(lo, *ret_ref)->n; i++)
			truth(lo, lower_node(lo, *ret_ref)->kid[i]);
	truth(lo, *ret_ref);
	return 0;
}
