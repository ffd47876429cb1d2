/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any text: a query whose nodes are whole, that prints, and that comes out the same when it is compiled again; or a
 * refusal that can be shown.
 */
#include "rule/fuzz_rule.h"

static bool find(const void *subject, const char *name, size_t n, enum rule_type *ret_type)
{
	(void)subject;
	/* The last letter says the type, so that all of them are tried. */
	*ret_type = (enum rule_type)((unsigned char)name[n - 1] % (RULE_OBJECT + 1));
	return name[0] != 'x';
}

static const char *name_at(const void *subject, size_t i)
{
	static const char *const names[] = { "process.name", "process.pid", "user.id" };

	(void)subject;
	return i < countof(names) ? names[i] : NULL;
}

static const struct rule_schema schema = { .field = find, .name = name_at };

static void check_query(const struct query *q)
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
	for (uint32_t i = 0; i < q->n_stages; i++) {
		must(q->stage[i].condition && q->stage[i].condition < q->n_nodes);
		for (uint32_t k = 0; k < q->n_keys; k++)
			must(q->stage[i].key[k].expr && q->stage[i].key[k].expr < q->n_nodes);
	}
	for (uint32_t i = 0; i < q->n_subqueries; i++)
		check_query(q->subqueries[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_buf struct buf out = { .max = 32 << 20 };
	struct query_options options;
	const char *text = (const char *)data + 1;
	AUTO(query) q = NULL;
	AUTO(query) again = NULL;
	struct diag d;
	int r;

	if (!size--)
		return 0;
	options = fuzz_options(data[0]);
	options.schema = data[0] & 8 ? &schema : NULL;
	r = (data[0] & 0x80 ? condition_compile : query_compile)(text, size, &options, &d, &q);
	if (r < 0) {
		fuzz_check_diag(&d, size);
		diag_write(&d, "fuzz", text, size, &out);
		return 0;
	}
	check_query(q);
	query_print(q, &out);
	must((data[0] & 0x80 ? condition_compile : query_compile)(text, size, &options, &d, &again) == 0);
	must(ir_same(q, q->stage->condition, again, again->stage->condition));
	must(ir_hash(q, q->stage->condition) == ir_hash(again, again->stage->condition));
	return 0;
}
