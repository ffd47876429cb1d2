/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_rule - what the fuzz targets share: the first byte chooses dialect and options, the rest is the text. */
#pragma once
#include <stdlib.h>
#include "rule/rule.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define must(e)                                                                                                        \
	do {                                                                                                           \
		if (!(e))                                                                                              \
			abort();                                                                                       \
	} while (0)

static inline struct query_options fuzz_options(uint8_t byte)
{
	return (struct query_options) {
		.dialect = (enum rule_dialect)(byte % 3),
		.strict_endgame = byte & 0x10,
		.case_sensitive = byte & 0x20,
		.implied_any = byte & 0x40,
	};
}

/* A refusal is told with a place in the text. */
static inline void fuzz_check_diag(const struct diag *d, size_t n)
{
	must(d->message[0] && d->line && d->column && d->at <= n && d->len <= n - d->at);
}

static inline bool fuzz_find_field(const void *subject, const char *name, size_t n, enum rule_type *ret_type)
{
	(void)subject;
	/* The last letter says the type, so that all of them are tried. */
	*ret_type = (enum rule_type)((unsigned char)name[n - 1] % (RULE_OBJECT + 1));
	return name[0] != 'x';
}

/* All that it is made of is whole. */
static inline void fuzz_check_query(const struct query *q)
{
	for (ir_ref i = 1; i < q->n_nodes; i++) {
		const struct ir_node *n = ir_at(q, i);

		/* Kids are made before their parent: no walk goes in circles. */
		for (uint32_t k = 0; k < n->n; k++)
			must(n->kid[k] && n->kid[k] < i);
		must(n->op <= IR_LINEAGE && (n->op != IR_LINEAGE || n->sub < q->n_subqueries));
		must(n->op > IR_STR || !(n->flags & IR_TRUTH));
		must(n->op != IR_FIELD || (field_name(n->field.id) && n->field.event < (int)q->n_stages));
	}
	must(q->n_stages);
	for (uint32_t i = 0; i < q->n_stages; i++) {
		must(q->stage[i].condition && q->stage[i].condition < q->n_nodes && q->stage[i].runs);
		for (uint32_t k = 0; k < q->n_keys; k++)
			must(q->stage[i].key[k].expr && q->stage[i].key[k].expr < q->n_nodes);
	}
	for (uint32_t i = 0; i < q->n_subqueries; i++)
		fuzz_check_query(q->subqueries[i]);
}
