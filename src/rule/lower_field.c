/* SPDX-License-Identifier: Apache-2.0 */
/* lower_field - what a name stands for: a field, an item of a list, what an earlier term matched, a variable. */
#include "rule/lower.h"
#include <errno.h>
#include <stdio.h>
#include "base/nearest.h"
#include "rule/kql.h"

void lower_hint(struct lowering *lo, const char *best)
{
	if (lo->diag && best)
		(void)snprintf(lo->diag->hint, sizeof(lo->diag->hint), "%s", best);
}

static int unknown_field(struct lowering *lo, const struct ast *a, struct str name)
{
	const struct rule_schema *schema = lo->options->schema;
	char word[FIELD_NAME_MAX + 1];
	struct nearest near = { .word = word };
	int r;

	(void)snprintf(word, sizeof(word), "%.*s", (int)name.n, name.p);
	r = fail_on(lo, a, "unknown field \"%s\"", word);
	if (lo->counted || lo->tallied) {
		nearest_offer(&near, "count");
		nearest_offer(&near, "percent");
		nearest_offer(&near, "key");
	}
	for (size_t i = 0; schema && schema->name && schema->name(schema->subject, i); i++)
		nearest_offer(&near, schema->name(schema->subject, i));
	lower_hint(lo, near.best);
	return r;
}

/* Fields that a pipe added. */
static bool is_pipe_field(const struct lowering *lo, struct str name, enum rule_type *ret_type)
{
	if (!lo->in_pipe || (!lo->counted && !lo->tallied))
		return false;
	*ret_type = RULE_NUMBER;
	if (str_is(name, "count") || str_is(name, "percent") || str_is(name, "total_hosts"))
		return true;
	*ret_type = RULE_UNKNOWN;
	return str_is(name, "key") || str_is(name, "hosts");
}

static bool field_type(const struct lowering *lo, struct str name, enum rule_type *ret_type)
{
	const struct rule_schema *schema = lo->options->schema;
	const char *timestamp = lo->options->timestamp_field ? lo->options->timestamp_field : "@timestamp";

	*ret_type = RULE_UNKNOWN;
	if (is_pipe_field(lo, name, ret_type))
		return true;
	/* What a pipe counted has nothing of the events that it counted. */
	if (lo->in_pipe && lo->counted && schema && schema->field)
		return false;
	if (schema && schema->field && !schema->field(schema->subject, name.p, name.n, ret_type))
		return false;
	if (*ret_type == RULE_UNKNOWN && lo->elastic && str_is(name, timestamp))
		*ret_type = RULE_DATE;
	if (*ret_type == RULE_UNKNOWN && lo->options->dialect == RULE_KQL)
		*ret_type = kql_type_of(name);
	return true;
}

static int load(struct lowering *lo, const struct ast *a, struct str name, int event, ir_ref *ret_ref)
{
	enum rule_type type;
	int r;

	if (!field_type(lo, name, &type)) {
		if (lo->elastic && a->optional)
			return lower_made(lo, a, build_null(&lo->b), ret_ref);
		return unknown_field(lo, a, name);
	}
	r = lower_made(lo, a, build_field(&lo->b, name.p, name.n, type, a->optional ? IR_OPTIONAL : 0), ret_ref);
	if (r >= 0)
		lower_node(lo, *ret_ref)->field.event = (int16_t)event;
	return r;
}

static int member(struct lowering *lo, const struct ast *a, ir_ref kid, struct str name, ir_ref *ret_ref)
{
	ir_ref field = build_field(&lo->b, name.p, name.n, RULE_UNKNOWN, 0), ref;
	struct ir_field f;

	if (!field)
		return lower_refused(lo, a);
	f = lower_node(lo, field)->field;
	ref = build_node(&lo->b, IR_MEMBER, 0, &kid, 1);
	if (ref)
		lower_node(lo, ref)->field = f;
	return lower_made(lo, a, ref, ret_ref);
}

static bool is_variable(struct str name)
{
	return name.n > 2 && !memcmp(name.p, "$.", 2);
}

struct str lower_head(struct str name)
{
	/* "$.x" is one segment. */
	size_t skip = is_variable(name) ? 2 : 0;
	const char *dot = memchr(name.p + skip, '.', name.n - skip);

	return (struct str) { name.p, dot ? (size_t)(dot - name.p) : name.n };
}

static int variable(struct lowering *lo, const struct ast *a, unsigned var, struct str rest, ir_ref *ret_ref)
{
	ir_ref ref = build_node(&lo->b, IR_VAR, 0, NULL, 0);

	if (!ref)
		return lower_refused(lo, a);
	lower_node(lo, ref)->i = var;
	if (rest.n)
		return member(lo, a, ref, rest, ret_ref);
	*ret_ref = ref;
	return 0;
}

/* e0.field: of what an earlier term matched. *ret_stage -1: the name begins with no alias. */
static int alias_of(struct lowering *lo, const struct ast *a, struct str head, int *ret_stage)
{
	uint32_t i = 0;

	*ret_stage = -1;
	for (const struct ast_term *t = lo->ast->first; t; t = t->next, i++) {
		if (!t->alias.p || !str_same(t->alias, head))
			continue;
		if (i >= lo->stage || t->missing)
			return fail_on(lo, a, "\"%.*s\" names a term that %s", (int)head.n, head.p,
				       t->missing ? "matches no event" : "is not before this one");
		*ret_stage = (int)i;
		return 0;
	}
	return 0;
}

int lower_field(struct lowering *lo, const struct ast *a, ir_ref *ret_ref)
{
	struct str head = lower_head(a->str), rest = { 0 };
	int stage, r;

	if (head.n < a->str.n)
		rest = (struct str) { a->str.p + head.n + 1, a->str.n - head.n - 1 };
	for (unsigned i = lo->n_vars; i-- > 0;)
		if (lo->vars[i].call == a->call && str_same(lo->vars[i].name, head))
			return variable(lo, a, i, rest, ret_ref);
	if (is_variable(head))
		return fail_on(lo, a, "unknown variable \"$%.*s\": arraySearch() and arrayCount() name theirs",
			       (int)head.n - 2, head.p + 2);
	/* A name in the body of a macro is none that the rule gave to a term. */
	if (rest.n && !a->call && lo->ast->kind == QUERY_SEQUENCE && !lo->in_pipe) {
		r = alias_of(lo, a, head, &stage);
		if (r < 0)
			return r;
		if (stage >= 0)
			return load(lo, a, rest, stage, ret_ref);
	}
	return load(lo, a, a->str, -1, ret_ref);
}

/* events[1].field in a pipe: of the second event. */
static bool is_event_item(const struct lowering *lo, const struct ast *a)
{
	return lo->in_pipe && a->op == AST_ITEM && a->kid->op == AST_FIELD && str_is(a->kid->str, "events");
}

int lower_member(struct lowering *lo, const struct ast *a, ir_ref *ret_ref)
{
	ir_ref kid;
	int r;

	if (is_event_item(lo, a->kid)) {
		if (a->kid->i >= lo->ast->n_terms)
			return fail_on(lo, a->kid, "there are %u events, from events[0] on", lo->ast->n_terms);
		return load(lo, a, a->str, (int)a->kid->i, ret_ref);
	}
	r = lower_value(lo, a->kid, &kid);
	return r < 0 ? r : member(lo, a, kid, a->str, ret_ref);
}

int lower_item(struct lowering *lo, const struct ast *a, ir_ref *ret_ref)
{
	ir_ref kid, ref;
	int r;

	r = lower_value(lo, a->kid, &kid);
	if (r < 0)
		return r;
	ref = build_node(&lo->b, IR_ITEM, 0, &kid, 1);
	if (ref)
		lower_node(lo, ref)->i = a->i;
	return lower_made(lo, a, ref, ret_ref);
}
