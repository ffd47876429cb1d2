/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_event - what a query comes to of an event: the same by tree and by program. */
#pragma once
#include "base/err.h"
#include "event/json_event.h"
#include "predicate/tree.h"
#include "rule/fuzz_rule.h"

static inline void fuzz_check_event(const struct query *q, const char *event, size_t n)
{
	AUTO(predicate_scratch) scratch = NULL;
	AUTO(program) program = NULL;
	auto_json_event struct json_event json;
	auto_arena struct arena arena;
	struct event ev = json_event_as_event(&json);
	const struct predicate_input in = { .ev = &ev };

	json_event_init(&json, true);
	arena_init(&arena, 1 << 22);
	if (json_event_parse(&json, event, n) == 0 && predicate_scratch_new(&scratch) == 0 &&
	    predicate_compile(q, q->stage[0].condition, &program) == 0)
		must(predicate_run(program, &in, scratch) == tree_test(q, q->stage[0].condition, &in, &arena));
	err_clear();
}
