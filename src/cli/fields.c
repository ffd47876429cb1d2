/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/fields.h"
#include <stdio.h>
#include "base/nearest.h"
#include "context/filter.h"
#include "rule/rule.h"

enum { NAME_BYTES = 256 };

bool fields_has(const char *name, size_t n)
{
	enum rule_type type;

	return filter_schema.field(filter_schema.subject, name, n, &type);
}

const char *fields_guess(const char *name, size_t n)
{
	char word[NAME_BYTES];
	struct nearest near = { .word = word };
	const char *known;

	(void)snprintf(word, sizeof(word), "%.*s", (int)n, name);
	for (size_t i = 0; (known = filter_schema.name(filter_schema.subject, i)); i++)
		nearest_offer(&near, known);
	return near.best;
}

bool fields_is_unknown(const struct query *q, uint32_t at)
{
	const struct ir_node *n = &q->node[at];

	if (n->op != IR_FIELD || n->flags & IR_OPTIONAL)
		return false;
	for (uint32_t i = 1; i < at; i++)
		if (q->node[i].op == IR_FIELD && q->node[i].field.id == n->field.id)
			return false;
	return !fields_has(n->field.name, n->field.len);
}
