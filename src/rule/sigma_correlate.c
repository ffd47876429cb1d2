/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sigma_correlate - rules about other rules, and count() of older ones, as sequences.
 *
 *	event_count, at least N		one stage with runs N
 *	value_count, at least 2		two stages, of which the second has another value than the first
 *	temporal			a join: the rules in any order
 *	temporal_ordered		a sequence
 *
 * What a sequence cannot say is refused: counts that must stay below a number or be exactly one, more than two
 * different values, rules about rules about rules.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "rule/sigma_lower.h"

enum kind { EVENT_COUNT, VALUE_COUNT, TEMPORAL, TEMPORAL_ORDERED, KIND_N };

static const char *const kinds[KIND_N] = { "event_count", "value_count", "temporal", "temporal_ordered" };

/* A correlation as it is read. */
struct correlation {
	const struct yaml_node *node, *type, *by, *aliases;
	enum kind kind;
	const struct yaml_node *rules[SIGMA_RULES_MAX]; /* that it is about */
	const struct yaml_node *names[SIGMA_RULES_MAX]; /* as it names them */
	size_t n_rules;
	uint64_t span_ns, at_least;
	struct str field; /* of VALUE_COUNT */
};

static struct str text_of(const struct yaml_node *v)
{
	return (struct str) { v->text, v->len };
}

static int add_rule(struct sigma *s, struct correlation *c, const struct yaml_node *name)
{
	const struct yaml_node *rule;

	if (name->type != YAML_SCALAR || !name->len)
		return sigma_wrong(s, name, "wanted the name or the id of a rule");
	if (c->n_rules == SIGMA_RULES_MAX)
		return sigma_wrong(s, name, "a correlation of more than %d rules", SIGMA_RULES_MAX);
	rule = s->options->find ? s->options->find(s->options->ctx, name->text) : NULL;
	if (!rule)
		return sigma_wrong(s, name, "there is no rule \"%.64s\" beside this one", name->text);
	if (yaml_child(rule, "correlation"))
		return sigma_missing(s, name, "nested_correlation", "a correlation of correlations");
	c->names[c->n_rules] = name;
	c->rules[c->n_rules++] = rule;
	return 0;
}

static int read_rules(struct sigma *s, struct correlation *c)
{
	const struct yaml_node *rules = yaml_child(c->node, "rules");
	int r = 0;

	if (!rules || rules->type == YAML_MAP || rules->type == YAML_NOTHING || (rules->type == YAML_LIST && !rules->n))
		return sigma_wrong(s, rules ? rules : c->node, "a correlation names its rules in a list");
	if (rules->type == YAML_SCALAR)
		return add_rule(s, c, rules);
	for (const struct yaml_node *v = rules->first; v && r == 0; v = v->next)
		r = add_rule(s, c, v);
	return r;
}

static int read_type(struct sigma *s, struct correlation *c)
{
	c->type = yaml_child(c->node, "type");
	if (!c->type || c->type->type != YAML_SCALAR)
		return sigma_wrong(s, c->type ? c->type : c->node, "a correlation has a type");
	for (c->kind = 0; c->kind < KIND_N; c->kind++)
		if (!strcmp(c->type->text, kinds[c->kind]))
			return 0;
	return sigma_missing(s, c->type, "correlation_type", "correlations of the type \"%.64s\"", c->type->text);
}

static int read_number(struct sigma *s, const struct yaml_node *v, bool more, uint64_t *ret_n)
{
	char *end;

	errno = 0;
	*ret_n = v->type == YAML_SCALAR && v->text[0] >= '0' && v->text[0] <= '9' ? strtoull(v->text, &end, 10) : 0;
	if (v->type != YAML_SCALAR || v->text[0] < '0' || v->text[0] > '9' || *end || errno || *ret_n > UINT32_MAX)
		return sigma_wrong(s, v, "wanted a whole number");
	*ret_n += more;
	return 0;
}

static int read_condition(struct sigma *s, struct correlation *c)
{
	const struct yaml_node *condition = yaml_child(c->node, "condition");
	int r = 0;

	if (c->kind >= TEMPORAL)
		return condition ? sigma_missing(s, condition->key, "temporal_condition",
						 "a condition of a correlation in time: all of its rules must match")
				 : 0;
	if (!condition || condition->type != YAML_MAP)
		return sigma_wrong(s, condition ? condition : c->node, "a count has a condition, as in {gte: 10}");
	for (const struct yaml_node *v = condition->first; v && r == 0; v = v->next) {
		const char *key = v->key->text;

		if (!strcmp(key, "gte") || !strcmp(key, "gt"))
			r = read_number(s, v, key[2] == 0, &c->at_least);
		else if (!strcmp(key, "field") && v->type == YAML_SCALAR && v->len)
			c->field = text_of(v);
		else if (!strcmp(key, "lt") || !strcmp(key, "lte") || !strcmp(key, "eq") || !strcmp(key, "neq"))
			r = sigma_missing(s, v->key, "count_below",
					  "a count that must stay below a number, or be exactly one");
		else
			r = sigma_wrong(s, v->key, "a count's condition has no \"%.64s\"", key);
	}
	if (r == 0 && !c->at_least)
		r = sigma_wrong(s, condition, "wanted a number of at least 1 under gte or gt");
	if (r == 0 && (c->kind == VALUE_COUNT) != (c->field.n > 0))
		r = sigma_wrong(s, condition,
				c->field.n ? "events are counted without a field"
					   : "whose values are counted? \"field\" says it");
	return r;
}

static int read_correlation(struct sigma *s, const struct yaml_node *rule, struct correlation *c)
{
	const struct yaml_node *span;
	int r;

	*c = (struct correlation) { .node = yaml_child(rule, "correlation") };
	if (c->node->type != YAML_MAP)
		return sigma_wrong(s, c->node, "a correlation is a mapping, not %s", yaml_type_name(c->node));
	span = yaml_child(c->node, "timespan");
	span = span ? span : yaml_child(c->node, "timeframe");
	c->by = yaml_child(c->node, "group-by");
	c->aliases = yaml_child(c->node, "aliases");
	r = read_type(s, c);
	if (r == 0)
		r = read_rules(s, c);
	if (r == 0)
		r = span ? sigma_timespan(s, span, &c->span_ns)
			 : sigma_wrong(s, c->node, "a correlation has a timespan");
	return r < 0 ? r : read_condition(s, c);
}

/* ---- keys -------------------------------------------------------------------------------------------- */

static size_t n_keys(const struct correlation *c)
{
	return !c->by || c->by->type == YAML_NOTHING ? 0 : c->by->type == YAML_LIST ? c->by->n : 1;
}

/* An alias has another name for each rule. */
static struct str key_name(const struct correlation *c, const struct yaml_node *key, size_t rule)
{
	const struct yaml_node *alias = c->aliases ? yaml_child(c->aliases, key->text) : NULL;
	const struct yaml_node *own = alias ? yaml_child(alias, c->names[rule]->text) : NULL;

	return text_of(own && own->type == YAML_SCALAR ? own : key);
}

/* Keys of a stage that rule `rule` matches, in whose scope we are. The second rule of a stage has to agree. */
static int add_keys(struct sigma *s, const struct correlation *c, size_t stage, size_t rule)
{
	const struct yaml_node *v = c->by && c->by->type == YAML_LIST ? c->by->first : c->by;
	int r = 0;

	for (size_t i = 0; i < s->b.q->n_keys && r == 0; i++, v = v->next) {
		struct query_key *key = &s->b.q->stage[stage].key[i];
		ir_ref before = key->expr;

		if (v->type != YAML_SCALAR || !v->len)
			return sigma_wrong(s, v, "wanted the name of a field");
		r = sigma_key(s, v, key_name(c, v, rule), &key->expr);
		if (r == 0 && before && s->b.nodes[before].field.id != s->b.nodes[key->expr].field.id)
			r = sigma_missing(s, v, "group_by",
					  "rules that are counted together have this in different fields");
	}
	return r;
}

/* ---- stages ----------------------------------------------------------------------------------------------- */

static int read_rule(struct sigma *s, const struct correlation *c, size_t i, ir_ref *ret_ref)
{
	struct sigma_aggregation aggregation;
	int r = sigma_rule(s, c->rules[i], true, ret_ref, &aggregation);

	if (r == 0 && aggregation.is_there)
		return sigma_missing(s, c->names[i], "nested_correlation", "a correlation of a rule that counts");
	return r;
}

/* Has it a value, and another than the first event had? */
static int another_value(struct sigma *s, const struct yaml_node *at, struct str name, bool another, ir_ref condition,
			 ir_ref *ret_ref)
{
	ir_ref all[3] = { condition }, kids[2];
	struct sigma_field f;

	sigma_field_of(s->scope->source, s->options->names, name, CALL_NONE, &f);
	if (f.look != LOOK_FIELD)
		return sigma_missing(s, at, "group_by", "values of %.*s cannot be counted", (int)name.n, name.p);
	kids[0] = build_field(&s->b, f.name.p, f.name.n, RULE_UNKNOWN, 0);
	all[1] = sigma_not(s, sigma_condition(s, IR_IS_NULL, 0, kids, 1));
	if (another) {
		kids[1] = build_field(&s->b, f.name.p, f.name.n, RULE_UNKNOWN, 0);
		if (kids[1])
			build_at(&s->b, kids[1])->field.event = 0;
		all[2] = sigma_not(s, sigma_condition(s, IR_EQ, IR_TRUTH | IR_ANY, kids, 2));
	}
	return sigma_made(s, at, sigma_all(s, all, another ? 3 : 2), ret_ref);
}

/* So many events, or two values: the keys of the first stage are there, and s->scope is the counted rule's. */
static int count(struct sigma *s, const struct yaml_node *at, ir_ref condition, struct str field, uint64_t at_least)
{
	struct query *q = s->b.q;
	int r = 0;

	if (field.n && at_least > 2)
		return sigma_missing(s, at, "value_count", "more than two different values within a time");
	if (!field.n && at_least > RULE_RUNS_MAX)
		return sigma_missing(s, at, "event_count", "a count of more than %d", RULE_RUNS_MAX);
	if (at_least == 1) {
		q->kind = QUERY_EVENT;
		q->n_keys = 0;
		q->maxspan_ns = QUERY_NO_SPAN;
	}
	q->n_stages = field.n && at_least == 2 ? 2 : 1;
	for (uint32_t i = 0; i < q->n_stages && r == 0; i++) {
		q->stage[i].category = q->stage[0].category;
		q->stage[i].condition = condition;
		if (i && q->n_keys)
			memcpy(q->stage[i].key, q->stage[0].key, q->n_keys * sizeof(struct query_key));
		if (field.n)
			r = another_value(s, at, field, i > 0, condition, &q->stage[i].condition);
	}
	q->stage[0].runs = field.n ? 1 : (uint32_t)at_least;
	return r;
}

/* Events of any of the rules. */
static int count_rules(struct sigma *s, const struct correlation *c)
{
	ir_ref any[SIGMA_RULES_MAX], condition;
	int r = sigma_stages(s, c->node, QUERY_SEQUENCE, 2, n_keys(c));

	for (size_t i = 0; i < c->n_rules && r == 0; i++) {
		r = read_rule(s, c, i, &any[i]);
		if (r == 0)
			r = add_keys(s, c, 0, i);
	}
	if (r == 0)
		r = sigma_made(s, c->node, sigma_any(s, any, c->n_rules), &condition);
	s->b.q->maxspan_ns = c->span_ns;
	return r < 0 ? r : count(s, c->type, condition, c->field, c->at_least);
}

/* Each rule is a stage. */
static int all_rules(struct sigma *s, const struct correlation *c)
{
	bool ordered = c->kind == TEMPORAL_ORDERED, alone = c->n_rules == 1;
	int r = sigma_stages(s, c->node,
			     alone     ? QUERY_EVENT
			     : ordered ? QUERY_SEQUENCE
				       : QUERY_JOIN,
			     c->n_rules, alone ? 0 : n_keys(c));

	for (size_t i = 0; i < c->n_rules && r == 0; i++) {
		r = read_rule(s, c, i, &s->b.q->stage[i].condition);
		if (r == 0)
			r = add_keys(s, c, i, i);
	}
	if (!alone)
		s->b.q->maxspan_ns = c->span_ns;
	return r;
}

int sigma_correlate(struct sigma *s, const struct yaml_node *rule)
{
	struct correlation c;
	int r = read_correlation(s, rule, &c);

	if (r == 0 && n_keys(&c) > RULE_KEYS_MAX)
		r = sigma_wrong(s, c.by, "more than %d fields to group by", RULE_KEYS_MAX);
	if (r < 0)
		return r;
	return c.kind <= VALUE_COUNT ? count_rules(s, &c) : all_rules(s, &c);
}

int sigma_aggregate(struct sigma *s, const struct yaml_node *rule, ir_ref condition,
		    const struct sigma_aggregation *aggregation)
{
	const struct yaml_node *span = yaml_child(yaml_child(rule, "detection"), "timeframe");
	uint64_t at_least = aggregation->number + !aggregation->at_least;
	int r;

	if (!span)
		return sigma_wrong(s, aggregation->at, "a count() has a timeframe");
	if (!at_least)
		return sigma_wrong(s, aggregation->at, "a count of at least 0 is always there");
	r = sigma_stages(s, aggregation->at, QUERY_SEQUENCE, 2, aggregation->by.n > 0);
	if (r == 0)
		r = sigma_timespan(s, span, &s->b.q->maxspan_ns);
	if (r == 0 && aggregation->by.n)
		r = sigma_key(s, aggregation->at, aggregation->by, &s->b.q->stage[0].key[0].expr);
	if (r < 0)
		return r;
	s->b.q->stage[0].category = s->scope->source ? s->scope->source->event_category : NULL;
	return count(s, aggregation->at, condition, aggregation->field, at_least);
}
