/* SPDX-License-Identifier: Apache-2.0 */
#include "hunt/hunt.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "base/err.h"
#include "hunt/literal.h"
#include "rule/sigma.h"

enum {
	PROGRESS_EVERY = 4096, /* lines that were read */
	STATE_BYTES_MAX = 1 << 30,
	KEYS_BYTES_MAX = 1 << 30,
	NO_INPUT = UINT32_MAX,
	LEARN_MAX = 4096, /* optional fields */
};
enum tie { TIE_NUMBER, TIE_TEXT, TIE_NONE };

struct one {
	char *text;
	size_t len;
	struct hunt_options options; /* .schema: the group's */
	size_t group;
	struct query *query;
	struct diag wrong;
	bool is_wrong;

	struct hunt_match *matches;
	size_t n, cap;
	struct hunt_event *events;
	size_t n_events, events_cap;
	struct buf keys;
	uint64_t found;
};

struct sortable {
	struct hunt_when when;
	struct hunt_event event;
};

struct group {
	struct schema *schema;
	enum rule_dialect dialect;
	bool case_sensitive;
	struct schema_reader reader;
	struct runner_query *queries;
	size_t *ones; /* of each of them */
	size_t n;
	struct ruleset *set;
	struct runner *runner;
	bool by_time;      /* events have an order of their own */
	bool needs_order;  /* some query is not on single events alone */
	bool out_of_order; /* of what was read so far */
	struct hunt_when last;
	bool any;

	/* Names that its queries ask for, where an object is a value: it is there. */
	field_id *asked;
	size_t n_asked;

	/* The event that is looked at. */
	struct hunt_event now;
	struct hunt_when now_when;
	/* All that were given to the runner, which may come back to them: an event's handle is its place here. */
	struct hunt_event *given;
	size_t n_given, given_cap;
	struct hunt *hunt;
};

/* Optional fields: are they in the input at all? */
struct learned {
	char *own;
	size_t len;
	field_id id;
	bool seen;
};

struct hunt {
	struct one *ones;
	size_t n, cap;
	struct group **groups;
	size_t n_groups;
	struct lines **inputs;
	size_t n_inputs;
	struct json_event je;
	struct needles needles;
	bool use_needles, prepared;
	struct learned *learned;
	size_t n_learned;
	uint64_t events_kept;
	bool full;
	struct hunt_stats stats;
	bool (*progress)(void *ctx, uint64_t done, uint64_t all);
	void *progress_ctx;
	uint64_t bytes_before, bytes_all;
};

static int no_memory(void)
{
	return err_new(-ENOMEM, "out of memory");
}

/* Room for one more; doubles. */
static bool room(void **array, size_t n, size_t *cap, size_t size)
{
	size_t want = *cap ? *cap * 2 : 16;
	void *p;

	if (n < *cap)
		return true;
	p = realloc(*array, want * size);
	if (!p)
		return false;
	*array = p;
	*cap = want;
	return true;
}

int hunt_new(struct hunt **ret_hunt)
{
	struct hunt *h = calloc(1, sizeof(*h));

	if (!h)
		return no_memory();
	json_event_init(&h->je, true);
	*ret_hunt = h;
	return 0;
}

static void group_free(struct group *g)
{
	if (!g)
		return;
	runner_free(g->runner);
	ruleset_unref(g->set);
	if (g->reader.schema)
		schema_reader_free(&g->reader);
	schema_free(g->schema);
	free(g->queries);
	free(g->ones);
	free(g->given);
	free(g->asked);
	free(g);
}

void hunt_free(struct hunt *h)
{
	if (!h)
		return;
	for (size_t i = 0; i < h->n_groups; i++)
		group_free(h->groups[i]);
	for (size_t i = 0; i < h->n; i++) {
		query_free(h->ones[i].query);
		free(h->ones[i].text);
		free(h->ones[i].matches);
		free(h->ones[i].events);
		buf_free(&h->ones[i].keys);
	}
	for (size_t i = 0; i < h->n_inputs; i++)
		lines_free(h->inputs[i]);
	for (size_t i = 0; i < h->n_learned; i++)
		free(h->learned[i].own);
	free(h->learned);
	free(h->inputs);
	free(h->groups);
	free(h->ones);
	json_event_free(&h->je);
	free(h);
}

/* ---- compiling ------------------------------------------------------------------------------------ */

struct known {
	const struct hunt *hunt;
	const struct schema *schema;
};

static struct learned *learned_find(const struct hunt *h, const char *name, size_t n)
{
	for (size_t i = 0; i < h->n_learned; i++)
		if (h->learned[i].len == n && !memcmp(h->learned[i].own, name, n))
			return &h->learned[i];
	return NULL;
}

static bool is_own_field(const struct schema *s, const char *name, size_t n)
{
	const char *const own[] = { s->category, s->timestamp, s->tiebreaker };

	for (size_t i = 0; i < countof(own); i++)
		if (own[i] && strlen(own[i]) == n && !memcmp(own[i], name, n))
			return true;
	return false;
}

static bool field_is_known(const void *subject, const char *name, size_t n, enum rule_type *ret_type)
{
	const struct known *k = subject;
	const struct schema_field *f = schema_find(k->schema, name, n);
	const struct learned *l;

	*ret_type = f ? f->type : RULE_UNKNOWN;
	if (f || k->schema->all_known || is_own_field(k->schema, name, n))
		return true;
	if (k->schema->strict)
		return false;
	/* Nothing was learned of names that are not optional: they are taken for known. */
	l = learned_find(k->hunt, name, n);
	return !l || l->seen;
}

static const char *field_at(const void *subject, size_t i)
{
	const struct known *k = subject;

	return i < k->schema->n_fields ? k->schema->fields[i].name : NULL;
}

static int compile(const struct hunt *h, struct one *one)
{
	const struct group *g = h->groups[one->group];
	const struct known known = { h, g->schema };
	const struct rule_schema schema = { .subject = &known, .field = field_is_known, .name = field_at };
	const struct query_options options = {
		.dialect = g->dialect,
		.schema = &schema,
		.category_field = g->schema->category,
		.timestamp_field = g->schema->timestamp,
		.case_sensitive = g->case_sensitive,
		.macros = one->options.macros,
	};
	const struct sigma_options sigma = { .names = g->schema->sigma ? SIGMA_OWN : SIGMA_ECS,
					     .sql = g->dialect == RULE_SIGMA_SQL,
					     .schema = &schema };
	struct sigma_problem problem = { 0 };
	struct query *q = NULL;
	int r;

	if (g->dialect >= RULE_SIGMA) {
		r = sigma_compile_text(one->text, one->len, &sigma, &problem, &q);
		one->wrong = problem.diag;
	} else {
		r = query_compile(one->text, one->len, &options, &one->wrong, &q);
	}

	query_free(one->query);
	one->query = q;
	one->is_wrong = r < 0;
	return r == -ENOMEM ? r : 0;
}

static int group_of(struct hunt *h, const struct hunt_options *o, size_t *ret_group)
{
	struct group **groups, *g;

	for (size_t i = 0; i < h->n_groups; i++) {
		g = h->groups[i];
		if (g->dialect == o->dialect && g->case_sensitive == o->case_sensitive &&
		    schema_equal(g->schema, o->schema)) {
			*ret_group = i;
			return 0;
		}
	}
	groups = realloc(h->groups, (h->n_groups + 1) * sizeof(struct group *));
	if (!groups)
		return no_memory();
	h->groups = groups;
	g = calloc(1, sizeof(*g));
	if (!g)
		return no_memory();
	groups[h->n_groups] = g;
	*ret_group = h->n_groups++;
	g->hunt = h;
	g->dialect = o->dialect;
	g->case_sensitive = o->case_sensitive;
	g->schema = schema_copy(o->schema);
	if (!g->schema)
		return no_memory();
	g->by_time = g->schema->timestamp && g->dialect != RULE_ENDGAME;
	return schema_reader_init(&g->reader, g->schema, g->dialect != RULE_ENDGAME);
}

static int add(struct hunt *h, struct one **ret_one)
{
	if (h->n == HUNT_QUERIES_MAX)
		return err_new(-E2BIG, "more than %d queries", HUNT_QUERIES_MAX);
	if (!room((void **)&h->ones, h->n, &h->cap, sizeof(*h->ones)))
		return no_memory();
	*ret_one = &h->ones[h->n++];
	**ret_one = (struct one) { 0 };
	buf_init(&(*ret_one)->keys, KEYS_BYTES_MAX);
	return 0;
}

int hunt_add(struct hunt *h, const char *text, size_t n, const struct hunt_options *options)
{
	struct one *one;
	int r = add(h, &one);

	if (r < 0)
		return r;
	one->text = strndup(text, n);
	one->len = n;
	one->options = *options;
	if (!one->text)
		return no_memory();
	r = group_of(h, options, &one->group);
	if (r < 0)
		return r;
	one->options.schema = h->groups[one->group]->schema;
	r = compile(h, one);
	return r < 0 ? r : one->is_wrong;
}

int hunt_add_wrong(struct hunt *h, const struct diag *why)
{
	struct one *one;
	int r = add(h, &one);

	if (r < 0)
		return r;
	one->wrong = *why;
	one->is_wrong = true;
	return 0;
}

int hunt_input(struct hunt *h, struct lines *input)
{
	struct lines **inputs = NULL;

	if (h->n_inputs < HUNT_INPUTS_MAX)
		inputs = realloc(h->inputs, (h->n_inputs + 1) * sizeof(struct lines *));
	if (!inputs) {
		lines_free(input);
		return h->n_inputs < HUNT_INPUTS_MAX ? no_memory()
						     : err_new(-E2BIG, "more than %d inputs", HUNT_INPUTS_MAX);
	}
	h->inputs = inputs;
	h->inputs[h->n_inputs++] = input;
	h->bytes_all += input->size;
	return 0;
}

void hunt_progress(struct hunt *h, bool (*fn)(void *ctx, uint64_t done, uint64_t all), void *ctx)
{
	h->progress = fn;
	h->progress_ctx = ctx;
}

static bool go_on(const struct hunt *h, const struct lines *l)
{
	return !h->progress || h->progress(h->progress_ctx, h->bytes_before + lines_done(l), h->bytes_all);
}

/* ---- which optional fields are there ---------------------------------------------------------------- */

static int learn_of(struct hunt *h, const struct one *one)
{
	const struct schema *s = h->groups[one->group]->schema;

	for (uint32_t i = 1; i < one->query->n_nodes; i++) {
		const struct ir_node *n = &one->query->node[i];
		struct learned *p;

		if (n->op != IR_FIELD || !(n->flags & IR_OPTIONAL) || schema_find(s, n->field.name, n->field.len) ||
		    is_own_field(s, n->field.name, n->field.len) || learned_find(h, n->field.name, n->field.len))
			continue;
		if (h->n_learned == LEARN_MAX)
			return err_new(-E2BIG, "more than %d optional fields", LEARN_MAX);
		p = realloc(h->learned, (h->n_learned + 1) * sizeof(*p));
		if (!p)
			return no_memory();
		h->learned = p;
		p = &h->learned[h->n_learned];
		*p = (struct learned) { .own = strndup(n->field.name, n->field.len),
					.len = n->field.len,
					.id = n->field.id };
		if (!p->own)
			return no_memory();
		h->n_learned++;
	}
	return 0;
}

/* Only lines with the last part of such a name are of interest. */
static void learn_needles(const struct hunt *h, struct needles *set)
{
	*set = (struct needles) { 0 };
	for (size_t i = 0; i < h->n_learned; i++) {
		const char *dot = memrchr(h->learned[i].own, '.', h->learned[i].len);
		const char *last = dot ? dot + 1 : h->learned[i].own;
		char text[NEEDLE_BYTES_MAX];
		int n = snprintf(text, sizeof(text), "%s\"", last);

		if (h->learned[i].seen)
			continue;
		if (n < 2 || n >= (int)sizeof(text) || strpbrk(last, "\\/\"") ||
		    !needles_add(set, text, (size_t)n, false)) {
			set->n = 0;
			return;
		}
	}
	if (!needles_add(set, "\\u", 2, false))
		set->n = 0;
}

static size_t learn_from(struct hunt *h, const struct line *line)
{
	size_t missing = 0;

	if (json_event_parse(&h->je, line->p, line->n) < 0)
		err_clear();
	for (size_t i = 0; i < h->n_learned; i++) {
		const struct value *v = json_event_find(&h->je, h->learned[i].id);

		h->learned[i].seen |= v && v->type != VALUE_NULL;
		missing += !h->learned[i].seen;
	}
	return missing;
}

/* Ends as soon as all have been seen. */
static int learn(struct hunt *h)
{
	size_t missing = h->n_learned;
	struct needles set;
	struct line line;
	int r = 0;

	learn_needles(h, &set);
	for (size_t i = 0; missing && i < h->n_inputs; i++) {
		lines_rewind(h->inputs[i], &set);
		while (missing && (r = lines_next(h->inputs[i], &line)) == 1)
			missing = learn_from(h, &line);
		if (r < 0)
			return r;
	}
	return 0;
}

/* An optional field that nothing has is no field but null, which is another thing in `not ?a == 1`. */
static int learn_optional(struct hunt *h)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < h->n; i++) {
		const struct one *one = &h->ones[i];
		const struct group *g = one->is_wrong ? NULL : h->groups[one->group];

		if (g && g->dialect != RULE_ENDGAME && !g->schema->all_known)
			r = learn_of(h, one);
	}
	if (r < 0 || !h->n_learned || !h->n_inputs)
		return r;
	r = learn(h);
	for (size_t i = 0; r == 0 && i < h->n; i++) {
		struct one *one = &h->ones[i];
		const struct group *g = one->is_wrong ? NULL : h->groups[one->group];

		if (g && g->dialect != RULE_ENDGAME && !g->schema->all_known)
			r = compile(h, one);
	}
	return r;
}

/* ---- matches ------------------------------------------------------------------------------------------- */

/* Dates as Elasticsearch writes them: to the millisecond, where that says it all. */
static void key_json(struct buf *out, const struct value *v, enum rule_type type)
{
	char date[CLOCK_TEXT];

	if (v->type == VALUE_LIST) {
		buf_char(out, '[');
		for (size_t i = 0; i < v->list.n; i++) {
			buf_str(out, i ? "," : "");
			key_json(out, &v->list.items[i], type);
		}
		buf_char(out, ']');
		return;
	}
	if (v->type != VALUE_INT || type != RULE_DATE) {
		value_write(v, out);
		return;
	}
	clock_format(v->i, date);
	buf_printf(out, "\"%.*sZ\"", v->i % 1000000 ? CLOCK_TEXT - 1 : CLOCK_TEXT - 7, date);
}

static enum rule_type key_type(const struct query *q, size_t i)
{
	return q->n_stages && i < q->n_keys ? ir_at(q, q->stage[0].key[i].expr)->type : RULE_UNKNOWN;
}

static struct hunt_event event_of(const struct group *g, const struct runner_slot *slot)
{
	if (slot->missing)
		return (struct hunt_event) { .input = NO_INPUT };
	return g->needs_order ? g->given[slot->handle] : g->now;
}

static bool match_store(struct hunt *h, struct group *g, struct one *one, const struct runner_match *m)
{
	struct hunt_match *match;

	if (h->events_kept + m->n_slots > HUNT_MATCHES_MAX || one->keys.failed ||
	    !room((void **)&one->matches, one->n, &one->cap, sizeof(*one->matches)))
		return false;
	match = &one->matches[one->n];
	*match = (struct hunt_match) {
		.when = g->now_when,
		.first_event = one->n_events,
		.n_events = m->n_slots,
		.first_key = one->keys.len,
		.kind = m->kind,
		.counted = m->counted,
		.count = m->count,
		.percent = m->percent,
	};
	for (size_t i = 0; i < m->n_slots; i++) {
		if (!room((void **)&one->events, one->n_events, &one->events_cap, sizeof(*one->events)))
			return false;
		one->events[one->n_events++] = event_of(g, &m->slots[i]);
	}
	for (size_t i = 0; i < m->n_keys; i++) {
		buf_str(&one->keys, i ? "," : "");
		key_json(&one->keys, &m->keys[i], m->kind == RUNNER_ROW ? RULE_UNKNOWN : key_type(one->query, i));
	}
	match->keys_len = one->keys.len - match->first_key;
	h->events_kept += m->n_slots;
	one->n++;
	return true;
}

static void put(void *ctx, const struct runner_match *m)
{
	struct group *g = ctx;
	struct hunt *h = g->hunt;
	struct one *one = &h->ones[g->ones[m->rule]];
	/* What comes in another order than it will be told is cut off at the end. */
	bool cut = one->n >= one->options.limit && (!g->by_time || g->needs_order);

	one->found++;
	if (!one->options.count_only && !cut && !match_store(h, g, one, m))
		h->full = true;
}

/* ---- making ready ------------------------------------------------------------------------------------ */

static bool is_alone(const struct query *q)
{
	return q->kind <= QUERY_EVENT && !q->n_pipes && !q->n_subqueries;
}

/* A ruleset takes all or nothing, so a query that it refuses is found by trying it alone. */
static int try_alone(struct one *one)
{
	const struct runner_query q = { .id = "query",
					.query = one->query,
					.max_samples_per_key = one->options.max_samples_per_key };
	const struct ruleset_options options = { 0 };
	struct ruleset *set = NULL;
	int r = ruleset_new(&q, 1, &options, &set);

	ruleset_unref(set);
	if (r == -ENOMEM)
		return r;
	if (r < 0) {
		one->is_wrong = true;
		one->wrong = (struct diag) { .line = 1, .column = 1 };
		(void)snprintf(one->wrong.message, sizeof(one->wrong.message), "%s", err_trail());
		err_clear();
	}
	return 0;
}

static int open_runner(struct group *g)
{
	const struct runner_options options = { .memory = STATE_BYTES_MAX, .seed = 1 };
	const struct runner_sink sink = { put, g };

	runner_free(g->runner);
	g->runner = NULL;
	g->n_given = 0;
	g->any = false;
	return runner_open(g->set, &options, &sink, &g->runner);
}

static int make_ruleset(struct hunt *h, struct group *g)
{
	const struct ruleset_options options = { 0 };

	g->n = 0;
	for (size_t i = 0; i < h->n; i++) {
		const struct one *one = &h->ones[i];

		if (one->is_wrong || h->groups[one->group] != g)
			continue;
		g->ones[g->n] = i;
		g->queries[g->n++] = (struct runner_query) { .id = "query",
							     .query = one->query,
							     .max_samples_per_key = one->options.max_samples_per_key };
	}
	return g->n ? ruleset_new(g->queries, g->n, &options, &g->set) : 0;
}

static int ask_for(struct group *g, field_id id)
{
	field_id *p;

	for (size_t i = 0; i < g->n_asked; i++)
		if (g->asked[i] == id)
			return 0;
	p = realloc(g->asked, (g->n_asked + 1) * sizeof(*p));
	if (!p)
		return no_memory();
	g->asked = p;
	g->asked[g->n_asked++] = id;
	return 0;
}

static int ask_for_all(struct group *g, const struct query *q)
{
	int r = 0;

	for (uint32_t i = 1; i < q->n_nodes && r == 0; i++)
		if (q->node[i].op == IR_FIELD)
			r = ask_for(g, q->node[i].field.id);
	for (uint32_t i = 0; i < q->n_subqueries && r == 0; i++)
		r = ask_for_all(g, q->subqueries[i]);
	return r;
}

static int prepare_group(struct hunt *h, struct group *g)
{
	int r;

	g->queries = calloc(h->n, sizeof(*g->queries));
	g->ones = calloc(h->n, sizeof(*g->ones));
	if (!g->queries || !g->ones)
		return no_memory();
	r = make_ruleset(h, g);
	if (r == -ENOMEM)
		return r;
	if (r < 0) {
		for (size_t i = 0; i < g->n; i++) {
			r = try_alone(&h->ones[g->ones[i]]);
			if (r < 0)
				return r;
		}
		r = make_ruleset(h, g);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < g->n; i++) {
		g->needs_order |= !is_alone(g->queries[i].query);
		r = g->dialect == RULE_ENDGAME ? ask_for_all(g, g->queries[i].query) : 0;
		if (r < 0)
			return r;
	}
	return g->n ? open_runner(g) : 0;
}

static bool find_needles(struct hunt *h)
{
	for (size_t i = 0; i < h->n; i++)
		if (!h->ones[i].is_wrong &&
		    !literal_needles(h->ones[i].query, h->groups[h->ones[i].group]->schema, &h->needles))
			return false;
	return h->needles.n && literal_disguises(&h->needles);
}

/* Keywords are looked for in all fields, also in those that no query names. */
static bool asks_for_all_values(const struct query *q)
{
	for (uint32_t i = 1; i < q->n_nodes; i++)
		if (q->node[i].op == IR_VALUES)
			return true;
	return false;
}

int hunt_prepare(struct hunt *h)
{
	int r = h->prepared ? 0 : learn_optional(h);

	if (r < 0 || h->prepared)
		return r;
	for (size_t i = 0; i < h->n; i++)
		if (!h->ones[i].is_wrong && asks_for_all_values(h->ones[i].query))
			h->je.known_only = false;
	for (size_t i = 0; r == 0 && i < h->n_groups; i++)
		r = prepare_group(h, h->groups[i]);
	h->use_needles = r == 0 && find_needles(h);
	h->prepared = r == 0;
	return r;
}

/* ---- running ------------------------------------------------------------------------------------------ */

static int64_t first_bytes(struct str s)
{
	uint64_t v = 0;

	for (size_t i = 0; i < 8; i++)
		v = v << 8 | (i < s.n ? (unsigned char)s.p[i] : 0);
	return (int64_t)(v ^ 1ULL << 63);
}

/* Doubles that are whole are the same as integers; others go between them by rounding down. */
static void take_tiebreaker(const struct value *v, struct hunt_when *when)
{
	when->tie = TIE_NUMBER;
	if (v && v->type == VALUE_LIST && v->list.n)
		v = v->list.items;
	if (v && v->type == VALUE_INT)
		when->tiebreaker = v->i;
	else if (v && v->type == VALUE_UINT)
		when->tiebreaker = INT64_MAX;
	else if (v && v->type == VALUE_FLOAT)
		when->tiebreaker = v->f > -9.2e18 && v->f < 9.2e18 ? (int64_t)v->f : v->f < 0 ? INT64_MIN : INT64_MAX;
	else if (v && v->type == VALUE_STR)
		when->tie = TIE_TEXT, when->tiebreaker = first_bytes(v->s);
	else
		when->tie = TIE_NONE, when->tiebreaker = 0;
}

static int when_order(const struct hunt_when *a, const struct hunt_when *b)
{
	if (a->time_ns != b->time_ns)
		return a->time_ns < b->time_ns ? -1 : 1;
	if (a->tie != b->tie)
		return a->tie < b->tie ? -1 : 1;
	return a->tiebreaker != b->tiebreaker ? (a->tiebreaker < b->tiebreaker ? -1 : 1) : 0;
}

static int place_order(const struct hunt_event *a, const struct hunt_event *b)
{
	if (a->input != b->input)
		return a->input < b->input ? -1 : 1;
	return a->index != b->index ? (a->index < b->index ? -1 : 1) : 0;
}

static bool is_object(const struct json_node *at, const char *name)
{
	char part[FIELD_NAME_MAX + 1];

	while (at && at->type == JSON_OBJECT && *name) {
		size_t n = strcspn(name, ".");

		memcpy(part, name, n);
		part[n] = 0;
		at = json_get(at, part);
		name += n + (name[n] == '.');
	}
	return at && at->type == JSON_OBJECT && at->len;
}

/* In the older dialect an object is a value like others: it is not null. */
static void add_objects(const struct group *g, struct json_event *je)
{
	for (size_t i = 0; i < g->n_asked; i++) {
		field_id id = g->asked[i];

		if (!json_event_find(je, id) && is_object(je->doc.nodes, field_name(id)))
			schema_add_value(je, id, &(struct value) { .type = VALUE_BOOL, .b = true });
	}
}

/* Reads the line for a group: what the event is and when. False: it is none. */
static bool read_event(struct hunt *h, struct group *g, const char *p, size_t n)
{
	if (json_event_parse(&h->je, p, n) < 0) {
		err_clear();
		return false;
	}
	schema_apply(&g->reader, &h->je);
	if (g->n_asked)
		add_objects(g, &h->je);
	g->now_when = (struct hunt_when) { .time_ns = g->reader.has_time ? g->reader.time_ns
						      : g->any           ? g->last.time_ns
									 : 0 };
	take_tiebreaker(g->reader.tiebreaker ? json_event_find(&h->je, g->reader.tiebreaker) : NULL, &g->now_when);
	return true;
}

static int feed(struct hunt *h, struct group *g)
{
	const struct event ev = json_event_as_event(&h->je);
	const struct runner_event given = { .event = &ev, .time_ns = g->now_when.time_ns, .handle = g->n_given };

	g->last = g->now_when;
	g->any = true;
	if (g->needs_order) {
		if (g->n_given == HUNT_EVENTS_MAX)
			return err_new(-E2BIG, "more than %d events matter to a sequence; narrow its conditions",
				       HUNT_EVENTS_MAX);
		if (!room((void **)&g->given, g->n_given, &g->given_cap, sizeof(*g->given)))
			return no_memory();
		g->given[g->n_given++] = g->now;
	}
	runner_event(g->runner, &given);
	return h->full ? err_new(-E2BIG, "more than %d events match; narrow the query, or --count them",
				 HUNT_MATCHES_MAX)
		       : 0;
}

/* 1: it is no event. */
static int take_line(struct hunt *h, struct group *g, const struct line *line, uint32_t input)
{
	if (!g->n || (g->out_of_order && g->needs_order))
		return 0;
	if (!read_event(h, g, line->p, line->n))
		return 1;
	g->now = (struct hunt_event) { line->index, line->offset, (uint32_t)line->n, input };
	if (g->by_time && g->any && when_order(&g->last, &g->now_when) > 0) {
		g->out_of_order = true;
		if (g->needs_order)
			return 0;
	}
	return feed(h, g);
}

static int read_input(struct hunt *h, uint32_t input)
{
	struct lines *l = h->inputs[input];
	struct line line;
	int r;

	lines_rewind(l, h->use_needles ? &h->needles : NULL);
	while ((r = lines_next(l, &line)) == 1) {
		int taken = 0;

		h->stats.parsed++;
		for (size_t i = 0; i < h->n_groups && taken == 0; i++)
			taken = take_line(h, h->groups[i], &line, input);
		if (taken < 0)
			return taken;
		h->stats.unreadable += (uint64_t)taken;
		if (h->stats.parsed % PROGRESS_EVERY == 0 && !go_on(h, l))
			return err_new(-ECANCELED, "ended before the input did");
	}
	h->stats.bytes += lines_done(l);
	h->stats.events += l->index;
	h->stats.too_long += l->too_long;
	h->bytes_before += l->size;
	return r;
}

/* ---- sorting ------------------------------------------------------------------------------------------- */

static int sortable_order(const void *a, const void *b)
{
	const struct sortable *x = a, *y = b;
	int order = when_order(&x->when, &y->when);

	return order ? order : place_order(&x->event, &y->event);
}

static int collect(struct hunt *h, struct group *g, uint32_t input, struct sortable **list, size_t *n, size_t *cap)
{
	struct lines *l = h->inputs[input];
	struct line line;
	int r;

	lines_rewind(l, h->use_needles ? &h->needles : NULL);
	while ((r = lines_next(l, &line)) == 1) {
		if (!read_event(h, g, line.p, line.n))
			continue;
		g->last = g->now_when;
		g->any = true;
		if (*n == HUNT_EVENTS_MAX)
			return err_new(-E2BIG,
				       "the input is not in order, and more than %d events of it matter: sort it first",
				       HUNT_EVENTS_MAX);
		if (!room((void **)list, *n, cap, sizeof(**list)))
			return no_memory();
		(*list)[(*n)++] =
			(struct sortable) { g->now_when, { line.index, line.offset, (uint32_t)line.n, input } };
	}
	return r;
}

static void forget_matches(struct hunt *h, struct group *g)
{
	for (size_t i = 0; i < g->n; i++) {
		struct one *one = &h->ones[g->ones[i]];

		h->events_kept -= one->n_events;
		one->n = one->n_events = one->found = 0;
		buf_clear(&one->keys);
	}
}

static int run_sorted(struct hunt *h, struct group *g)
{
	auto_free struct sortable *list = NULL;
	auto_free char *text = malloc(LINE_BYTES_MAX);
	size_t n = 0, cap = 0;
	int r = text ? 0 : no_memory();

	forget_matches(h, g);
	g->any = false;
	for (uint32_t i = 0; r == 0 && i < h->n_inputs; i++)
		r = collect(h, g, i, &list, &n, &cap);
	if (r < 0)
		return r;
	if (n)
		qsort(list, n, sizeof(*list), sortable_order);
	h->stats.sorted += n;
	r = open_runner(g);
	for (size_t i = 0; r == 0 && i < n; i++) {
		r = lines_reread(h->inputs[list[i].event.input], list[i].event.offset, list[i].event.len, text);
		if (r < 0 || !read_event(h, g, text, list[i].event.len))
			continue; /* it was an event when it was read first: the input changes */
		g->now = list[i].event;
		g->now_when = list[i].when;
		r = feed(h, g);
	}
	return r;
}

/* The matches of queries on single events, brought into the order of the events. */
static const struct one *ordering;
static int match_order(const void *a, const void *b)
{
	const struct hunt_match *x = a, *y = b;
	int order = when_order(&x->when, &y->when);

	return order ? order : place_order(&ordering->events[x->first_event], &ordering->events[y->first_event]);
}

static void sort_matches(struct hunt *h, const struct group *g)
{
	for (size_t i = 0; i < g->n; i++) {
		struct one *one = &h->ones[g->ones[i]];

		ordering = one;
		if (one->n > 1)
			qsort(one->matches, one->n, sizeof(*one->matches), match_order);
	}
}

static void add_stats(struct hunt *h, const struct runner *r)
{
	struct runner_stats one;

	runner_stats(r, &one);
	for (size_t i = 0; i < runner_n_metrics; i++) {
		size_t off = runner_metrics[i].off;

		*(uint64_t *)((char *)&h->stats.runner + off) += *(const uint64_t *)((const char *)&one + off);
	}
}

int hunt_run(struct hunt *h)
{
	int r = hunt_prepare(h);

	for (uint32_t i = 0; r == 0 && i < h->n_inputs; i++)
		r = read_input(h, i);
	for (size_t i = 0; r == 0 && i < h->n_groups; i++) {
		struct group *g = h->groups[i];

		if (!g->n)
			continue;
		if (g->out_of_order && g->needs_order)
			r = run_sorted(h, g);
		if (r == 0)
			runner_finish(g->runner);
		if (g->out_of_order && !g->needs_order)
			sort_matches(h, g);
		add_stats(h, g->runner);
	}
	for (size_t i = 0; i < h->n; i++)
		if (h->ones[i].n > h->ones[i].options.limit)
			h->ones[i].n = h->ones[i].options.limit;
	return r;
}

/* ---- results --------------------------------------------------------------------------------------------- */

size_t hunt_n(const struct hunt *h)
{
	return h->n;
}

void hunt_result(const struct hunt *h, size_t i, struct hunt_result *ret_result)
{
	const struct one *one = &h->ones[i];

	*ret_result = (struct hunt_result) {
		.query = one->is_wrong ? NULL : one->query,
		.wrong = one->is_wrong ? &one->wrong : NULL,
		.matches = one->matches,
		.n = one->n,
		.found = one->found,
		.events = one->events,
		.keys = buf_text(&one->keys),
	};
}

void hunt_stats(const struct hunt *h, struct hunt_stats *ret_stats)
{
	*ret_stats = h->stats;
}

int hunt_text(const struct hunt *h, const struct hunt_event *e, char *to)
{
	return lines_reread(h->inputs[e->input], e->offset, e->len, to);
}

const char *hunt_input_name(const struct hunt *h, size_t i)
{
	return h->inputs[i]->name;
}

size_t hunt_n_inputs(const struct hunt *h)
{
	return h->n_inputs;
}

const struct needles *hunt_needles(const struct hunt *h)
{
	return h->use_needles ? &h->needles : NULL;
}
