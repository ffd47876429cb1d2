/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rules_fields - does a rule of our own ask for a field that no event has?
 *
 * It loads, for events may come from elsewhere; on a host it never matches, and a slip of the pen is the likely cause:
 * that is a warning. Rules of others are left alone: theirs name fields of many products. So are fields written as
 * ?name.
 */
#include <string.h>
#include "base/nearest.h"
#include "cli/rules.h"
#include "context/filter.h"
#include "rule/ir.h"
#include "rule/rule.h"
#include "sensors/sensor.h"

enum { NAME_BYTES = 256, MESSAGE_MAX = 600 };

static bool is_known(const char *name, size_t n)
{
	enum rule_type type;

	return filter_schema.field(filter_schema.subject, name, n, &type);
}

static void warn(struct rules_run *r, const struct book_rule *rule, const char *name, size_t n, const char *what)
{
	char word[NAME_BYTES], message[MESSAGE_MAX];
	struct nearest near = { .word = word };
	const char *known;

	(void)snprintf(word, sizeof(word), "%.*s", (int)n, name);
	for (size_t i = 0; (known = filter_schema.name(filter_schema.subject, i)); i++)
		nearest_offer(&near, known);
	(void)snprintf(message, sizeof(message), "%sno event that we record has a field \"%s\"%s%s%s", what, word,
		       near.best ? "; did you mean \"" : "", near.best ? near.best : "", near.best ? "\"?" : "");
	rules_problem(r, &(struct book_problem) { .file = rule->file,
						  .line = rule->line,
						  .column = rule->column,
						  .rule = rule->id,
						  .message = message,
						  .is_warning = true });
}

static bool is_first_use(const struct query *q, uint32_t at)
{
	for (uint32_t i = 1; i < at; i++)
		if (q->node[i].op == IR_FIELD && q->node[i].field.id == q->node[at].field.id)
			return false;
	return true;
}

static size_t look_at(struct rules_run *r, const struct book_rule *rule, const struct query *q, const char *what)
{
	size_t n_warned = 0;

	for (uint32_t i = 1; i < q->n_nodes; i++) {
		const struct ir_node *n = &q->node[i];

		if (n->op != IR_FIELD || n->flags & IR_OPTIONAL || !is_first_use(q, i) ||
		    is_known(n->field.name, n->field.len))
			continue;
		warn(r, rule, n->field.name, n->field.len, what);
		n_warned++;
	}
	for (uint32_t i = 0; i < q->n_subqueries; i++)
		n_warned += look_at(r, rule, q->subqueries[i], what);
	return n_warned;
}

size_t rules_fields(struct rules_run *r)
{
	size_t n = 0;

	if (sensor_kinds_register() < 0)
		return 0;
	for (size_t i = 0; i < r->book->n_rules; i++) {
		const struct book_rule *rule = &r->book->rule[i];

		if (rule->source != BOOK_OWN || (r->id && strcmp(r->id, rule->id) != 0))
			continue;
		n += look_at(r, rule, rule->query, "");
		for (size_t k = 0; k < rule->n_exceptions; k++)
			n += look_at(r, rule, rule->exception[k].where, "exceptions: ");
		for (size_t k = 0; k < rule->throttle.n_by; k++) {
			const char *name = field_name(rule->throttle.by[k]);

			if (is_known(name, strlen(name)))
				continue;
			warn(r, rule, name, strlen(name), "throttle: ");
			n++;
		}
	}
	return n;
}
