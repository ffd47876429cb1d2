/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any YAML as a Sigma rule: a query whose nodes are whole, that comes out the same when it is compiled again and comes
 * to the same of an event by tree and by program; or a refusal with its place.
 */
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "event/json_event.h"
#include "predicate/tree.h"
#include "rule/fuzz_rule.h"
#include "rule/sigma.h"

/* libfyaml 0.7.12 leaks where a quoted text has many escapes; what we leak ourselves is not below it. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libfyaml.so\n";
}

static const char event[] = "{\"a\":\"abc\",\"b\":4,\"c\":true,\"d\":null,\"e\":[\"x\",\"y\"],\"Image\":\"/bin/"
			    "sh\",\"type\":\"EXECVE\",\"process\":{"
			    "\"args\":[\"sh\",\"-c\",\"id\"],\"executable\":\"/bin/"
			    "sh\"},\"event\":{\"category\":\"process\",\"type\":\"start\"}}";

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
	auto_buf struct buf out = { .max = 32 << 20 };
	struct sigma_options options = { 0 };
	const char *text = (const char *)data + 1;
	struct sigma_problem problem;
	AUTO(query) q = NULL;
	AUTO(query) again = NULL;
	int r;

	if (!size--)
		return 0;
	options.names = data[0] & 1 ? SIGMA_OWN : SIGMA_ECS;
	options.sql = data[0] & 2;
	r = sigma_compile_text(text, size, &options, &problem, &q);
	err_clear();
	if (r < 0) {
		must(problem.diag.line && problem.diag.column && problem.diag.message[0] && problem.diag.at <= size);
		diag_write(&problem.diag, "fuzz", text, size, &out);
		return 0;
	}
	check_nodes(q);
	query_print(q, &out);
	must(sigma_compile_text(text, size, &options, &problem, &again) == 0);
	must(ir_same(q, q->stage->condition, again, again->stage->condition));
	check_event(q);
	return 0;
}
