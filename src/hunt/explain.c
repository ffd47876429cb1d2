/* SPDX-License-Identifier: Apache-2.0 */
#include "hunt/explain.h"
#include <inttypes.h>
#include <string.h>
#include "base/json.h"
#include "predicate/set.h"

static const char *const kind_names[] = {
	[QUERY_CONDITION] = "condition", [QUERY_EVENT] = "event", [QUERY_SEQUENCE] = "sequence",
	[QUERY_SAMPLE] = "sample",       [QUERY_JOIN] = "join",
};

static const char *const dialect_names[] = {
	[RULE_ELASTIC] = "elastic", [RULE_ENDGAME] = "endgame",     [RULE_ENDPOINT] = "endpoint",
	[RULE_SIGMA] = "sigma",     [RULE_SIGMA_SQL] = "sigma-sql", [RULE_KQL] = "kql",
};

static bool is_first_use(const struct query *q, uint32_t at)
{
	for (uint32_t i = 1; i < at; i++)
		if (q->node[i].op == IR_FIELD && q->node[i].field.id == q->node[at].field.id)
			return false;
	return true;
}

static void fields(const struct query *q, struct buf *out)
{
	buf_str(out, "fields:\n");
	for (uint32_t i = 1; i < q->n_nodes; i++) {
		const struct ir_node *n = &q->node[i];

		if (n->op == IR_VALUES)
			buf_str(out, "  any field\n");
		if (n->op == IR_FIELD && is_first_use(q, i))
			buf_printf(out, "  %-40.*s %s%s\n", (int)n->field.len, n->field.name,
				   rule_type_name((enum rule_type)n->type), n->flags & IR_OPTIONAL ? ", optional" : "");
	}
}

static void indented(const char *text, struct buf *out)
{
	while (*text) {
		size_t n = strcspn(text, "\n");

		buf_printf(out, "  %.*s\n", (int)n, text);
		text += n + (text[n] == '\n');
	}
}

static void lines_read(const struct hunt *h, struct buf *out)
{
	const struct needles *needles = hunt_needles(h);

	if (!needles) {
		buf_str(out, "lines: every one is read\n");
		return;
	}
	buf_str(out, "lines: only those are read that have one of\n");
	for (size_t i = 0; i < needles->n; i++) {
		buf_str(out, "  ");
		(void)json_write_str(out, needles->items[i].text, needles->items[i].n);
		buf_str(out, needles->items[i].fold ? " in any case\n" : "\n");
	}
}

static void stage_text(const struct query *q, const struct query_stage *s, struct buf *out)
{
	buf_printf(out, "%s where ", s->category ? s->category : "any");
	ir_print(q, s->condition, out);
	for (uint32_t i = 0; i < q->n_keys; i++) {
		buf_str(out, i ? ", " : " by ");
		ir_print(q, s->key[i].expr, out);
	}
}

static bool has_states(const struct query *q)
{
	return q->kind == QUERY_SEQUENCE || q->kind == QUERY_JOIN || q->kind == QUERY_SAMPLE;
}

/* Runs count as states; missing events are looked for on the way from one state to the next. */
static void states(const struct query *q, struct buf *out)
{
	unsigned state = 0;

	buf_printf(out, "states:%s\n", q->kind == QUERY_SEQUENCE ? "" : " in any order");
	for (uint32_t i = 0; i < q->n_stages; i++) {
		const struct query_stage *s = &q->stage[i];

		for (uint32_t run = 0; run < s->runs; run++) {
			if (s->missing)
				buf_printf(out, "  %u, and nothing like: ", state);
			else
				buf_printf(out, "  %u -> %u: ", state, state + 1);
			state += !s->missing;
			stage_text(q, s, out);
			buf_str(out, s->fork ? ", fork\n" : "\n");
		}
	}
	if (q->until) {
		buf_str(out, "  all -> 0: ");
		stage_text(q, q->until, out);
		buf_char(out, '\n');
	}
	if (q->maxspan_ns)
		buf_printf(out, "  within %" PRIu64 " ms\n", q->maxspan_ns / 1000000);
}

static void head(const struct query *q, struct buf *out)
{
	auto_buf struct buf ir = { .max = 16 << 20 };

	buf_printf(out, "kind: %s, in the dialect %s\n", kind_names[q->kind], dialect_names[q->dialect]);
	fields(q, out);
	query_print(q, &ir);
	buf_str(out, "ir:\n");
	indented(buf_text(&ir), out);
}

void explain_query(const struct query *q, struct buf *out)
{
	head(q, out);
	if (has_states(q))
		states(q, out);
}

static int index_of_stage(const struct query *q, const struct query_stage *s, struct buf *out)
{
	AUTO(predicate_set_builder) b = NULL;
	AUTO(predicate_set) set = NULL;
	size_t before;
	uint32_t index;
	int r;

	if (predicate_uses_events(q, s->condition)) {
		buf_str(out, "asked once the events are there that it speaks of\n");
		return 0;
	}
	r = predicate_set_builder_new(&b);
	if (r == 0)
		r = predicate_set_builder_add(b, q, s->condition, s->category, &index);
	if (r == 0)
		r = predicate_set_build(b, &set);
	if (r < 0)
		return r;
	before = out->len;
	predicate_set_explain(set, index, out);
	if (out->len == before)
		buf_printf(out, "none: asked of every event");
	buf_char(out, '\n');
	return 0;
}

int explain_index(const struct query *q, struct buf *out)
{
	int r = 0;

	buf_str(out, "index:\n");
	for (uint32_t i = 0; r == 0 && i < q->n_stages; i++) {
		if (q->n_stages > 1)
			buf_printf(out, "  %u: ", i + 1);
		else
			buf_str(out, "  ");
		r = index_of_stage(q, &q->stage[i], out);
	}
	if (r == 0 && q->until) {
		buf_str(out, "  until: ");
		r = index_of_stage(q, q->until, out);
	}
	return r;
}

void explain_text(const struct hunt *h, size_t i, struct buf *out)
{
	struct hunt_result result;

	hunt_result(h, i, &result);
	if (!result.query)
		return;
	head(result.query, out);
	lines_read(h, out);
	(void)explain_index(result.query, out); /* a pattern that is none was found when it was made ready */
	if (has_states(result.query))
		states(result.query, out);
}

/* ---- Graphviz ------------------------------------------------------------------------------------------ */

static void dot_label(const struct query *q, const struct query_stage *s, const char *before, struct buf *out)
{
	auto_buf struct buf text = { .max = 1 << 20 };

	buf_str(&text, before);
	stage_text(q, s, &text);
	(void)json_write_str(out, buf_text(&text), text.len);
}

void explain_dot(const struct hunt *h, size_t i, struct buf *out)
{
	struct hunt_result result;
	const struct query *q;
	unsigned state = 0;

	hunt_result(h, i, &result);
	q = result.query;
	if (!q)
		return;
	buf_str(out, "digraph query {\n\trankdir=LR;\n\tnode [shape=circle];\n\t0 [label=\"start\"];\n");
	for (uint32_t at = 0; at < q->n_stages; at++)
		for (uint32_t run = 0; run < q->stage[at].runs; run++) {
			const struct query_stage *s = &q->stage[at];

			buf_printf(out, "\t%u -> %u [label=", state, s->missing ? state : state + 1);
			dot_label(q, s, s->missing ? "nothing like: " : "", out);
			buf_str(out, s->missing ? ", style=dashed];\n" : "];\n");
			state += !s->missing;
		}
	buf_printf(out, "\t%u [shape=doublecircle, label=\"match\"];\n", state);
	if (q->until)
		for (unsigned from = 1; from < state; from++) {
			buf_printf(out, "\t%u -> 0 [color=red, label=", from);
			dot_label(q, q->until, "until: ", out);
			buf_str(out, "];\n");
		}
	buf_str(out, "}\n");
}
