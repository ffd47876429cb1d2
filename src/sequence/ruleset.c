/* SPDX-License-Identifier: Apache-2.0 */
#include "sequence/ruleset.h"
#include <errno.h>
#include <string.h>
#include "base/err.h"
#include "base/hash.h"
#include "sequence/sample.h"

enum { RULESET_ARENA_MAX = 1 << 30, PRINT_MAX = 64 << 20 };

/* Of what a rule means: the same in every process, so that it does not depend on the run. */
static const uint64_t same_seed[2] = { 0x5348524b31ULL, 0x5348524b32ULL };

struct builder {
	struct ruleset *set;
	struct predicate_set_builder *predicates;
	struct program_builder *values, *guards, *lineage, *args;
	uint32_t n_values, n_guards, n_lineage, n_args; /* expressions added */
	/* Uses in the order they were found: predicate, rule, stage. */
	struct found {
		uint32_t predicate;
		struct rule_use use;
	} *found;
	size_t n_found, cap_found;
	struct rule_use *always;
	size_t n_always, cap_always;
};

static void builder_close(struct builder *b)
{
	predicate_set_builder_free(b->predicates);
	program_builder_free(b->values);
	program_builder_free(b->guards);
	program_builder_free(b->lineage);
	program_builder_free(b->args);
	free(b->found);
	free(b->always);
}

static int no_memory(void)
{
	return err_new(-ENOMEM, "no memory for the ruleset");
}

static int push(void **items, size_t *n, size_t *cap, size_t size, const void *item)
{
	if (*n == *cap) {
		size_t more = *cap ? *cap * 2 : 64;
		void *grown = reallocarray(*items, more, size);

		if (!grown)
			return no_memory();
		*items = grown;
		*cap = more;
	}
	memcpy((char *)*items + *n * size, item, size);
	++*n;
	return 0;
}

/* ---- expressions ----------------------------------------------------------------------------- */

static int make_expr(struct builder *b, const struct query *q, const struct query_key *key, struct rule_expr *ret)
{
	const struct ir_node *n = ir_at(q, key->expr);
	int r;

	*ret = (struct rule_expr) { .type = n->type, .optional = key->optional };
	if (predicate_uses_events(q, key->expr))
		return err_new(-EINVAL, "a join key cannot ask for events of other stages");
	if (n->op == IR_FIELD) {
		ret->field = n->field.id;
		return 0;
	}
	r = program_add(b->values, q, key->expr, NULL, &ret->index);
	b->n_values += r == 0;
	return r;
}

static bool add_capture(struct arena *a, struct rule_captures *c, field_id id)
{
	for (uint32_t i = 0; i < c->n; i++)
		if (c->field[i] == id)
			return true;
	if (!c->field)
		c->field = arena_zeroed(a, FIELDS_MAX, sizeof(*c->field));
	if (!c->field || c->n == FIELDS_MAX)
		return false;
	c->field[c->n++] = id;
	return true;
}

/* What an expression asks of events that came before, or that are already in a pipe. */
static int find_captures(struct builder *b, struct rule *rule, ir_ref ref, bool in_pipe)
{
	const struct query *q = rule->q.query;
	const struct ir_node *n = ir_at(q, ref);

	for (uint32_t i = 0; i < n->n; i++) {
		int r = find_captures(b, rule, n->kid[i], in_pipe);

		if (r < 0)
			return r;
	}
	if (n->op != IR_FIELD || (n->field.event < 0 && !in_pipe))
		return 0;
	if (n->field.event >= (int)q->n_stages)
		return err_new(-EINVAL, "%s: there are only %u events", n->field.name, q->n_stages);
	rule->captures_any = true;
	if (!add_capture(&b->set->arena, &rule->stage[n->field.event < 0 ? 0 : n->field.event].captures, n->field.id))
		return err_new(-E2BIG, "more than %d fields of one event are asked for later", FIELDS_MAX);
	return 0;
}

/* ---- stages ---------------------------------------------------------------------------------- */

static int use(struct builder *b, uint32_t predicate, uint32_t rule, uint32_t stage)
{
	const struct found f = { predicate, { rule, stage } };

	return push((void **)&b->found, &b->n_found, &b->cap_found, sizeof(f), &f);
}

/* A condition that asks for other events: what does not is looked at first, with all the others. */
static int make_guard(struct builder *b, uint32_t number, uint32_t stage, const struct query_stage *s)
{
	struct rule *rule = &b->set->rule[number];
	const struct query *q = rule->q.query;
	const struct ir_node *root = ir_at(q, s->condition);
	struct rule_stage *to = &rule->stage[stage];
	const struct rule_use at = { number, stage };
	uint32_t *free_ones, n = 0;
	int r = find_captures(b, rule, s->condition, false);

	if (r == 0)
		r = program_add(b->guards, q, s->condition, s->category, &to->guard);
	if (r < 0)
		return r;
	b->n_guards++;
	free_ones = arena_zeroed(&b->set->arena, root->n + 1, sizeof(*free_ones));
	if (!free_ones)
		return no_memory();
	for (uint32_t i = 0; root->op == IR_AND && i < root->n; i++) {
		if (predicate_uses_events(q, root->kid[i]))
			continue;
		r = predicate_set_builder_add(b->predicates, q, root->kid[i], s->category, &free_ones[n]);
		if (r < 0)
			return r;
		n++;
	}
	if (!n)
		return push((void **)&b->always, &b->n_always, &b->cap_always, sizeof(at), &at);
	to->also = free_ones + 1;
	to->n_also = n - 1;
	return use(b, free_ones[0], number, stage);
}

static int make_stage(struct builder *b, uint32_t number, uint32_t stage, const struct query_stage *s)
{
	struct rule *rule = &b->set->rule[number];
	const struct query *q = rule->q.query;
	struct rule_stage *to = &rule->stage[stage];
	uint32_t predicate;
	int r;

	to->guard = NO_INDEX;
	to->key = arena_zeroed(&b->set->arena, q->n_keys + 1, sizeof(*to->key));
	if (!to->key)
		return no_memory();
	for (uint32_t i = 0; i < q->n_keys; i++) {
		r = make_expr(b, q, &s->key[i], &to->key[i]);
		if (r < 0)
			return r;
		/* The older dialect joins what is not there with what is not there. */
		to->key[i].optional |= q->dialect == RULE_ENDGAME;
	}
	if (predicate_uses_events(q, s->condition)) {
		if (q->kind != QUERY_SEQUENCE || s->missing || stage == q->n_stages)
			return err_new(
				-EINVAL,
				"only a stage of a sequence that must be there can ask for other stages' events");
		return make_guard(b, number, stage, s);
	}
	r = predicate_set_builder_add(b->predicates, q, s->condition, s->category, &predicate);
	return r < 0 ? r : use(b, predicate, number, stage);
}

/* Are the keys of all stages the same? Then they are worked out once an event. */
static void find_same_keys(struct rule *rule)
{
	const struct query *q = rule->q.query;

	for (uint32_t s = 1; s < rule->n_stages; s++) {
		const struct query_stage *a = &q->stage[0], *c = s < q->n_stages ? &q->stage[s] : q->until;
		bool same = true;

		for (uint32_t i = 0; i < q->n_keys; i++)
			same &= a->key[i].optional == c->key[i].optional &&
				ir_same(q, a->key[i].expr, q, c->key[i].expr);
		rule->stage[s].same_keys = same;
	}
	rule->stage[0].same_keys = true;
}

static int make_plan(struct ruleset *set, struct rule *rule)
{
	const struct query *q = rule->q.query;
	struct machine_stage_spec *stages = arena_zeroed(&set->arena, q->n_stages, sizeof(*stages));
	const struct machine_spec spec = { .stages = stages,
					   .n_stages = q->n_stages,
					   .until = q->until,
					   .until_first = q->dialect == RULE_ENDGAME,
					   .join = q->kind == QUERY_JOIN,
					   .has_span = q->maxspan_ns != QUERY_NO_SPAN,
					   .maxspan_ns = q->maxspan_ns };
	int r;

	if (!stages)
		return no_memory();
	for (uint32_t i = 0; i < q->n_stages; i++)
		stages[i] = (struct machine_stage_spec) { .missing = q->stage[i].missing,
							  .fork = q->stage[i].fork,
							  .guarded = rule->stage[i].guard != NO_INDEX,
							  .captures = rule->stage[i].captures.n > 0,
							  .runs = q->stage[i].runs };
	r = machine_plan_new(&spec, &rule->plan);
	if (r < 0)
		return r;
	rule->stage_of_slot = arena_zeroed(&set->arena, rule->plan->n_slots, sizeof(*rule->stage_of_slot));
	if (!rule->stage_of_slot)
		return no_memory();
	for (uint32_t i = 0, slot = 0; i < q->n_stages; i++)
		for (uint32_t k = 0; k < q->stage[i].runs; k++)
			rule->stage_of_slot[slot++] = i;
	return 0;
}

/* ---- pipes ----------------------------------------------------------------------------------- */

static bool needs_an_end(enum query_pipe_kind kind)
{
	return kind != PIPE_HEAD && kind != PIPE_FILTER && kind != PIPE_UNIQUE;
}

static int make_pipes(struct builder *b, struct rule *rule)
{
	const struct query *q = rule->q.query;
	uint32_t n = 0;

	for (uint32_t i = 0; i < q->n_pipes; i++) {
		n += q->pipe[i].n_args;
		if (b->set->options.endless && needs_an_end(q->pipe[i].kind))
			return err_new(-EINVAL, "pipe %u gives nothing before the events end, and here they never do",
				       i + 1);
	}
	rule->arg = arena_zeroed(&b->set->arena, n + 1, sizeof(*rule->arg));
	if (!rule->arg)
		return no_memory();
	for (uint32_t i = 0; i < q->n_pipes; i++)
		for (uint32_t k = 0; k < q->pipe[i].n_args; k++) {
			struct rule_arg *arg = &rule->arg[rule->n_args++];
			int r = find_captures(b, rule, q->pipe[i].arg[k], true);

			arg->ref = q->pipe[i].arg[k];
			if (r == 0)
				r = program_add(b->args, q, arg->ref, NULL, &arg->index);
			if (r < 0)
				return err_wrap(r, "pipe %u", i + 1);
			b->n_args++;
		}
	return 0;
}

/* ---- lineage --------------------------------------------------------------------------------- */

static enum ir_lineage kind_of(const struct query *q, uint32_t sub)
{
	for (uint32_t i = 1; i < q->n_nodes; i++)
		if (q->node[i].op == IR_LINEAGE && q->node[i].sub == sub)
			return (enum ir_lineage)q->node[i].lineage;
	return IR_EVENT;
}

static int make_lineage(struct builder *b, struct rule *rule, const struct query *q, struct rule_lineage **ret,
			uint32_t *ret_n)
{
	struct rule_lineage *l = arena_zeroed(&b->set->arena, q->n_subqueries, sizeof(*l));
	int r = 0;

	*ret = l;
	*ret_n = q->n_subqueries;
	if (!q->n_subqueries)
		return 0;
	if (!l)
		return no_memory();
	b->set->has_lineage = true;
	for (uint32_t i = 0; r == 0 && i < q->n_subqueries; i++) {
		const struct query *sub = q->subqueries[i];

		l[i].outer = q;
		l[i].sub = i;
		l[i].kind = kind_of(q, i);
		l[i].number = rule->n_all_lineages++;
		r = program_add(b->lineage, sub, sub->stage[0].condition, sub->stage[0].category, &l[i].match);
		b->n_lineage += r == 0;
		if (r == 0)
			r = make_lineage(b, rule, sub, &l[i].inner, &l[i].n_inner);
	}
	return r;
}

/* ---- rules ----------------------------------------------------------------------------------- */

static int hash_rule(struct rule *rule)
{
	auto_buf struct buf text = { .max = PRINT_MAX };
	const struct query *q = rule->q.query;

	query_print(q, &text);
	buf_printf(&text, "\n%d %d %d %u %u %s", q->kind, q->dialect, q->fold, q->category_field,
		   rule->q.max_samples_per_key, rule->q.id ? rule->q.id : "");
	if (text.failed)
		return err_new(-E2BIG, "too long");
	for (int i = 0; i < 2; i++)
		rule->same[i] = hash_bytes(text.data, text.len, same_seed[i]);
	return 0;
}

static int make_rule(struct builder *b, uint32_t number, const struct runner_query *from)
{
	struct ruleset *set = b->set;
	struct rule *rule = &set->rule[number];
	const struct query *q = from->query;
	int r;

	rule->q = *from;
	rule->n_stages = q->n_stages + (q->until ? 1 : 0);
	rule->stage = arena_zeroed(&set->arena, rule->n_stages, sizeof(*rule->stage));
	if (!rule->stage)
		return no_memory();
	if (q->kind == QUERY_SAMPLE && set->options.endless)
		return err_new(-EINVAL, "a sample is known only when the events end, and here they never do");
	if (q->kind == QUERY_SAMPLE && q->n_stages > SAMPLE_SLOTS_MAX)
		return err_new(-E2BIG, "a sample of more than %d events", SAMPLE_SLOTS_MAX);
	r = hash_rule(rule);
	for (uint32_t i = 0; r == 0 && i < rule->n_stages; i++) {
		r = make_stage(b, number, i, i < q->n_stages ? &q->stage[i] : q->until);
		if (r < 0)
			return err_wrap(r, "stage %u", i + 1);
	}
	find_same_keys(rule);
	if (r == 0)
		r = make_pipes(b, rule);
	if (r == 0 && (q->kind == QUERY_SEQUENCE || q->kind == QUERY_JOIN))
		r = make_plan(set, rule);
	if (r == 0)
		r = make_lineage(b, rule, q, &rule->lineage, &rule->n_lineages);
	if (rule->n_stages > set->max_stages)
		set->max_stages = rule->n_stages;
	return r;
}

static int by_predicate(const void *a, const void *b)
{
	const struct found *fa = a, *fb = b;

	if (fa->predicate != fb->predicate)
		return fa->predicate < fb->predicate ? -1 : 1;
	if (fa->use.rule != fb->use.rule)
		return fa->use.rule < fb->use.rule ? -1 : 1;
	return fa->use.stage < fb->use.stage ? -1 : fa->use.stage > fb->use.stage;
}

static int make_uses(struct builder *b)
{
	struct ruleset *set = b->set;
	uint32_t n = predicate_set_count(set->set);

	set->first_use = arena_zeroed(&set->arena, n + 1, sizeof(*set->first_use));
	set->use = arena_zeroed(&set->arena, b->n_found + 1, sizeof(*set->use));
	set->always = arena_zeroed(&set->arena, b->n_always + 1, sizeof(*set->always));
	if (!set->first_use || !set->use || !set->always)
		return no_memory();
	if (b->n_found)
		qsort(b->found, b->n_found, sizeof(*b->found), by_predicate);
	for (size_t i = 0; i < b->n_found; i++) {
		set->first_use[b->found[i].predicate + 1]++;
		set->use[i] = b->found[i].use;
	}
	for (uint32_t i = 0; i < n; i++)
		set->first_use[i + 1] += set->first_use[i];
	if (b->n_always)
		memcpy(set->always, b->always, b->n_always * sizeof(*set->always));
	set->n_always = (uint32_t)b->n_always;
	return 0;
}

static int build_programs(struct builder *b)
{
	const struct {
		uint32_t n;
		struct program_builder *from;
		struct program **to;
	} programs[] = {
		{ b->n_values, b->values, &b->set->values },
		{ b->n_guards, b->guards, &b->set->guards },
		{ b->n_lineage, b->lineage, &b->set->lineage },
		{ b->n_args, b->args, &b->set->args },
	};

	for (size_t i = 0; i < countof(programs); i++) {
		int r = programs[i].n ? program_build(programs[i].from, programs[i].to) : 0;

		if (r < 0)
			return r;
	}
	return predicate_set_build(b->predicates, &b->set->set);
}

static field_id name(const char *text)
{
	return field_intern(text, strlen(text));
}

static void name_fields(struct ruleset *set)
{
	set->fields = (struct rule_fields) {
		.count = name("count"),
		.percent = name("percent"),
		.key = name("key"),
		.entity_id = name("process.entity_id"),
		.parent_entity_id = name("process.parent.entity_id"),
		.pid = name("unique_pid"),
		.parent = name("unique_ppid"),
		.other_pid = name("pid"),
		.other_parent = name("ppid"),
		.subtype = name("subtype"),
		.opcode = name("opcode"),
		.name = name("process_name"),
		.type = name("event.type"),
	};
}

static int builder_open(struct builder *b, struct ruleset *set, size_t n)
{
	struct program_builder **programs[] = { &b->values, &b->guards, &b->lineage, &b->args };
	int r;

	*b = (struct builder) { .set = set };
	set->rule = arena_zeroed(&set->arena, n + 1, sizeof(*set->rule));
	if (!set->rule)
		return no_memory();
	r = predicate_set_builder_new(&b->predicates);
	if (r == 0)
		predicate_set_builder_backend(b->predicates, set->options.backend);
	for (size_t i = 0; r == 0 && i < countof(programs); i++)
		r = program_builder_new(programs[i]);
	return r;
}

int ruleset_new(const struct runner_query *queries, size_t n, const struct ruleset_options *options,
		struct ruleset **ret_set)
{
	__attribute__((cleanup(builder_close))) struct builder b = { 0 };
	AUTO(ruleset) set = calloc(1, sizeof(*set));
	int r;

	if (!set)
		return no_memory();
	atomic_init(&set->refs, 1);
	arena_init(&set->arena, RULESET_ARENA_MAX);
	if (options)
		set->options = *options;
	if (n > RUNNER_RULES_MAX)
		return err_new(-E2BIG, "%zu queries: at most %d can be run together", n, RUNNER_RULES_MAX);
	r = builder_open(&b, set, n);
	if (r < 0)
		return r;
	name_fields(set);
	for (size_t i = 0; i < n; i++) {
		set->n_rules = i + 1;
		r = make_rule(&b, (uint32_t)i, &queries[i]);
		if (r < 0)
			return err_wrap(r, "query %s", queries[i].id ? queries[i].id : "");
	}
	r = build_programs(&b);
	if (r < 0)
		return r;
	r = make_uses(&b);
	if (r < 0)
		return r;
	*ret_set = take(set);
	return 0;
}

struct ruleset *ruleset_ref(struct ruleset *set)
{
	if (set)
		atomic_fetch_add_explicit(&set->refs, 1, memory_order_relaxed);
	return set;
}

void ruleset_unref(struct ruleset *set)
{
	if (!set || atomic_fetch_sub_explicit(&set->refs, 1, memory_order_acq_rel) > 1)
		return;
	for (size_t i = 0; i < set->n_rules; i++)
		machine_plan_free(set->rule[i].plan);
	predicate_set_free(set->set);
	program_free(set->values);
	program_free(set->guards);
	program_free(set->lineage);
	program_free(set->args);
	arena_free(&set->arena);
	free(set);
}

void ruleset_predicates(const struct ruleset *set, struct predicate_set_stats *ret_stats)
{
	predicate_set_stats(set->set, ret_stats);
}

size_t ruleset_n_rules(const struct ruleset *set)
{
	return set->n_rules;
}

const struct runner_query *ruleset_query(const struct ruleset *set, size_t i)
{
	return &set->rule[i].q;
}
