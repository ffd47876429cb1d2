/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any text as KQL: a query whose nodes are whole, that comes out the same when it is compiled again and comes to the
 * same of an event by tree and by program; or a refusal that can be shown.
 */
#include <string.h>
#include "base/err.h"
#include "event/json_event.h"
#include "predicate/tree.h"
#include "rule/fuzz_rule.h"

static const char event[] = "{\"a\":\"abc\",\"b\":4,\"c\":true,\"d\":null,\"e\":[\"x\",\"y\"],\"message\":\"x, y\","
			    "\"source\":{\"ip\":\"10.1.2.3\"},\"process\":{\"name\":\"sh\"}}";

static bool find(const void *subject, const char *name, size_t n, enum rule_type *ret_type)
{
	(void)subject;
	/* The last letter says the type, so that all of them are tried. */
	*ret_type = (enum rule_type)((unsigned char)name[n - 1] % (RULE_OBJECT + 1));
	return name[0] != 'x';
}

static const struct rule_schema schema = { .field = find };

static void check_nodes(const struct query *q)
{
	for (ir_ref i = 1; i < q->n_nodes; i++) {
		const struct ir_node *n = ir_at(q, i);

		for (uint32_t k = 0; k < n->n; k++)
			must(n->kid[k] && n->kid[k] < i);
		must(n->op <= IR_LINEAGE);
		must(n->op != IR_FIELD || (field_name(n->field.id) && n->field.event < (int)q->n_stages));
	}
	must(q->n_stages);
	for (uint32_t i = 0; i < q->n_stages; i++) {
		must(q->stage[i].condition && q->stage[i].condition < q->n_nodes && q->stage[i].runs);
		for (uint32_t k = 0; k < q->n_keys; k++)
			must(q->stage[i].key[k].expr && q->stage[i].key[k].expr < q->n_nodes);
	}
}

static void check_event(const struct query *q)
{
	AUTO(predicate_scratch) scratch = NULL;
	AUTO(program) program = NULL;
	auto_json_event struct json_event json;
	auto_arena struct arena arena;
	struct event ev = json_event_as_event(&json);
	const struct predicate_input in = { .ev = &ev };

	json_event_init(&json, true);
	arena_init(&arena, 1 << 22);
	if (json_event_parse(&json, event, sizeof(event) - 1) == 0 && predicate_scratch_new(&scratch) == 0 &&
	    predicate_compile(q, q->stage[0].condition, &program) == 0)
		must(predicate_run(program, &in, scratch) == tree_test(q, q->stage[0].condition, &in, &arena));
	err_clear();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const by[] = { "process.name", "host.id" };
	auto_buf struct buf out = { .max = 32 << 20 };
	struct query_options options = { .dialect = RULE_KQL };
	struct query_count count = { .by = by, .span_ns = 1 };
	const char *text = (const char *)data + 1;
	AUTO(query) q = NULL;
	AUTO(query) again = NULL;
	struct diag d;
	int r;

	if (!size--)
		return 0;
	options.schema = data[0] & 1 ? &schema : NULL;
	count.n_by = data[0] >> 2 & 3 ? 2 : 0;
	count.at_least = data[0] >> 4;
	count.other = data[0] & 8 ? "user.name" : NULL;
	options.count = data[0] & 2 ? &count : NULL;
	r = query_compile(text, size, &options, &d, &q);
	err_clear();
	if (r < 0) {
		fuzz_check_diag(&d, size);
		diag_write(&d, "fuzz", text, size, &out);
		return 0;
	}
	check_nodes(q);
	query_print(q, &out);
	must(query_compile(text, size, &options, &d, &again) == 0);
	must(ir_same(q, q->stage->condition, again, again->stage->condition));
	check_event(q);
	return 0;
}
