/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rules_fields - does a rule of our own ask for a field that no event has?
 *
 * It loads, for events may come from elsewhere; on a host it never matches, and a slip of the pen is the likely cause:
 * that is a warning. Rules of others are left alone: theirs name fields of many products. So are fields written as
 * ?name.
 */
#include <string.h>
#include "cli/fields.h"
#include "cli/rules.h"
#include "sensors/sensor.h"

enum { MESSAGE_MAX = 600 };

static void warn(struct rules_run *r, const struct book_rule *rule, const char *name, size_t n, const char *what)
{
	const char *meant = fields_guess(name, n);
	char message[MESSAGE_MAX];

	(void)snprintf(message, sizeof(message), "%sno event that we record has a field \"%.*s\"%s%s%s", what, (int)n,
		       name, meant ? "; did you mean \"" : "", meant ? meant : "", meant ? "\"?" : "");
	rules_problem(r, &(struct book_problem) { .file = rule->file,
						  .line = rule->line,
						  .column = rule->column,
						  .rule = rule->id,
						  .message = message,
						  .is_warning = true });
}

static size_t look_at(struct rules_run *r, const struct book_rule *rule, const struct query *q, const char *what)
{
	size_t n_warned = 0;

	for (uint32_t i = 1; i < q->n_nodes; i++) {
		const struct ir_node *n = &q->node[i];

		if (!fields_is_unknown(q, i))
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

			if (fields_has(name, strlen(name)))
				continue;
			warn(r, rule, name, strlen(name), "throttle: ");
			n++;
		}
	}
	return n;
}
