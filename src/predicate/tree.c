/* SPDX-License-Identifier: Apache-2.0 */
#include "predicate/tree.h"
#include <string.h>
#include "base/err.h"
#include "match/regex.h"
#include "predicate/functions.h"
#include "predicate/load.h"

enum { CHOICES_MAX = 16 };

/* A field that holds a list, of which one item is looked at now. */
struct choice {
	field_id id;
	int event;
	struct value list;
	size_t at;
};

struct walk {
	const struct query *q;
	const struct predicate_input *in;
	struct arena *arena;
	struct event_scratch room;
	struct choice choices[CHOICES_MAX];
	size_t n_choices;
	/* Of arraySearch() and the like: the item that is looked at, its place, and the list. */
	struct value vars[RULE_VARIABLES_MAX];
	size_t var_at[RULE_VARIABLES_MAX];
	const struct ir_node *lists[RULE_VARIABLES_MAX];
};

static struct value eval(struct walk *w, ir_ref ref);

static enum truth test(struct walk *w, ir_ref ref)
{
	struct value v = eval(w, ref);

	return value_truth(&v);
}

static struct value field(struct walk *w, int event, field_id id)
{
	struct value v;

	for (size_t i = 0; i < w->n_choices; i++)
		if (w->choices[i].id == id && w->choices[i].event == event)
			return w->choices[i].list.list.items[w->choices[i].at];
	load_field(w->in, event, id, &w->room, w->arena, &v);
	return v;
}

/* IR_VALUES stands among the choices as the field that is none. */
static struct value values(struct walk *w)
{
	struct value v;

	for (size_t i = 0; i < w->n_choices; i++)
		if (w->choices[i].id == FIELD_NONE)
			return w->choices[i].list.list.items[w->choices[i].at];
	load_values(w->in, &w->room, w->arena, &v);
	return v;
}

static struct value item(const struct value *list, int64_t i)
{
	if (list->type != VALUE_LIST)
		return i ? value_null() : *list;
	return i >= 0 && (uint64_t)i < list->list.n ? list->list.items[i] : value_null();
}

static struct value member(struct walk *w, const struct ir_node *n)
{
	int64_t at, var;
	int event;
	field_id id = load_member(w->q, n, w->lists, &event, &at, &var);
	struct value v = id ? field(w, event, id) : value_null();

	if (var >= 0)
		at = (int64_t)w->var_at[var];
	return at >= 0 ? item(&v, at) : v;
}

static enum truth all_or_any(struct walk *w, const struct ir_node *n)
{
	enum truth stop = n->op == IR_AND ? TRUTH_FALSE : TRUTH_TRUE, all = truth_not(stop);

	for (uint32_t i = 0; i < n->n; i++) {
		enum truth t = test(w, n->kid[i]);

		if (t == stop)
			return stop;
		if (t == TRUTH_NULL)
			all = TRUTH_NULL;
	}
	return all;
}

static enum truth in(struct walk *w, const struct ir_node *n)
{
	struct value subject = eval(w, n->kid[0]);
	enum truth any = TRUTH_FALSE;

	if (subject.type == VALUE_NULL)
		return TRUTH_NULL;
	for (uint32_t i = 1; i < n->n; i++) {
		struct value v = eval(w, n->kid[i]);
		enum truth t = value_compare(IR_EQ, &subject, &v, n->as, n->flags & IR_FOLD);

		if (t == TRUTH_TRUE)
			return t;
		if (t == TRUTH_NULL)
			any = TRUTH_NULL;
	}
	return any;
}

static enum truth pattern(struct walk *w, const struct ir_node *n)
{
	struct regex_options o = {
		.syntax = n->op == IR_LIKE     ? REGEX_WILDCARD
			  : n->flags & IR_PERL ? REGEX_PERL
					       : REGEX_LUCENE,
		.fold = n->flags & IR_FOLD,
		.star_only = n->flags & IR_STAR,
		.escape = n->flags & IR_ESCAPE,
		.prefix = n->flags & IR_PREFIX,
		.search = n->flags & IR_SEARCH,
		.no_table = true,
	};
	struct value subject = eval(w, n->kid[0]);
	struct str text;

	if (subject.type == VALUE_NULL || !value_text(&subject, false, w->arena, &text))
		return TRUTH_NULL;
	for (uint32_t i = 1; i < n->n; i++) {
		AUTO(regex) r = NULL;

		if (regex_compile(&ir_at(w->q, n->kid[i])->str, 1, &o, &r) < 0)
			return TRUTH_NULL;
		if (regex_matches(r, text.p, text.n))
			return TRUTH_TRUE;
	}
	return TRUTH_FALSE;
}

/* Of a list of objects there are only the lists of their members: it is as long as the longest of them. */
static size_t objects(struct walk *w, ir_ref ref, uint32_t var)
{
	const struct ir_node *n = ir_at(w->q, ref);
	size_t most = 0;

	if (n->op == IR_MEMBER) {
		int64_t at, of;
		int event;
		field_id id = load_member(w->q, n, w->lists, &event, &at, &of);
		struct value v = id && of == var ? field(w, event, id) : value_null();

		return v.type == VALUE_LIST ? v.list.n : v.type != VALUE_NULL;
	}
	for (uint32_t i = 0; i < n->n; i++) {
		size_t len = objects(w, n->kid[i], var);

		most = len > most ? len : most;
	}
	return most;
}

static struct value search(struct walk *w, const struct ir_node *n)
{
	struct value list = eval(w, n->kid[0]);
	const struct value *items = list.type == VALUE_LIST ? list.list.items : &list;
	size_t n_items = list.type == VALUE_LIST ? list.list.n : 1;
	int64_t count = 0;

	if (n->var >= RULE_VARIABLES_MAX)
		return value_null();
	w->lists[n->var] = ir_at(w->q, n->kid[0]);
	if (list.type == VALUE_NULL)
		n_items = objects(w, n->kid[1], n->var);
	for (size_t i = 0; i < n_items; i++) {
		w->vars[n->var] = list.type == VALUE_NULL ? value_null() : items[i];
		w->var_at[n->var] = i;
		count += test(w, n->kid[1]) == TRUTH_TRUE;
	}
	w->lists[n->var] = NULL;
	w->vars[n->var] = value_null();
	if (!n_items)
		return list;
	if (n->fn == IR_ARRAY_COUNT)
		return (struct value) { .type = VALUE_INT, .i = count };
	return (struct value) { .type = VALUE_BOOL, .b = count > 0 };
}

static struct value call(struct walk *w, const struct ir_node *n)
{
	struct value *args;

	if (n->fn == IR_ARRAY_SEARCH || n->fn == IR_ARRAY_COUNT)
		return search(w, n);
	args = arena_alloc(w->arena, (n->n + 1) * sizeof(*args));
	if (!args)
		return value_null();
	for (uint32_t i = 0; i < n->n; i++)
		args[i] = eval(w, n->kid[i]);
	return value_call(n->fn, args, n->n, n->flags, w->q->dialect, w->arena);
}

static struct value once(struct walk *w, const struct ir_node *n)
{
	struct value a, b;

	switch (n->op) {
	case IR_NULL:
	case IR_BOOL:
	case IR_INT:
	case IR_FLOAT:
	case IR_STR:
		return value_of_const(n);
	case IR_FIELD:
		return field(w, n->field.event, n->field.id);
	case IR_ITEM:
		a = eval(w, n->kid[0]);
		return item(&a, n->i);
	case IR_MEMBER:
		return member(w, n);
	case IR_VALUES:
		return values(w);
	case IR_VAR:
		return (uint64_t)n->i < RULE_VARIABLES_MAX ? w->vars[n->i] : value_null();
	case IR_AND:
	case IR_OR:
		return value_of_truth(all_or_any(w, n));
	case IR_NOT:
		return value_of_truth(truth_not(test(w, n->kid[0])));
	case IR_IS_NULL:
		a = eval(w, n->kid[0]);
		return (struct value) { .type = VALUE_BOOL, .b = value_is_null(&a) };
	case IR_NEG:
		a = eval(w, n->kid[0]);
		return value_reckon(IR_NEG, &a, NULL);
	case IR_EQ:
	case IR_NE:
	case IR_LT:
	case IR_LE:
	case IR_GT:
	case IR_GE:
		a = eval(w, n->kid[0]);
		b = eval(w, n->kid[1]);
		return value_of_truth(value_compare(n->op, &a, &b, n->as, n->flags & IR_FOLD));
	case IR_ADD:
	case IR_SUB:
	case IR_MUL:
	case IR_DIV:
	case IR_MOD:
		a = eval(w, n->kid[0]);
		b = eval(w, n->kid[1]);
		return value_reckon(n->op, &a, &b);
	case IR_IN:
		return value_of_truth(in(w, n));
	case IR_LIKE:
	case IR_REGEX:
		return value_of_truth(pattern(w, n));
	case IR_CALL:
		return call(w, n);
	case IR_LINEAGE:
		return value_of_truth(w->in->lineage ? w->in->lineage(w->in->ctx, w->q, n, w->in->ev) : TRUTH_NULL);
	default:
		return value_null();
	}
}

/* Adds the fields below a node that hold lists, each once. Returns false when there are too many. */
static bool find_lists(struct walk *w, ir_ref ref)
{
	static const struct value nothing; /* an empty list is null */
	const struct ir_node *n = ir_at(w->q, ref);
	struct value v;

	if (n->op == IR_FIELD || n->op == IR_VALUES) {
		bool all = n->op == IR_VALUES;

		v = all ? values(w) : field(w, n->field.event, n->field.id);
		if (v.type != VALUE_LIST)
			return true;
		if (!v.list.n)
			v.list.items = &nothing, v.list.n = 1;
		if (w->n_choices == CHOICES_MAX)
			return false;
		w->choices[w->n_choices++] =
			(struct choice) { all ? FIELD_NONE : n->field.id, all ? -1 : n->field.event, v, 0 };
		return true;
	}
	for (uint32_t i = 0; i < n->n; i++)
		if (!find_lists(w, n->kid[i]))
			return false;
	return true;
}

/* The next choice of items, as an odometer counts; false: that was the last. */
static bool next_choice(struct walk *w, size_t from)
{
	for (size_t i = from; i < w->n_choices; i++) {
		if (++w->choices[i].at < w->choices[i].list.list.n)
			return true;
		w->choices[i].at = 0;
	}
	return false;
}

/* Any item of each list may make it true. */
static struct value any(struct walk *w, ir_ref ref, const struct ir_node *n)
{
	size_t from = w->n_choices, tries = 0;
	struct value v, result = value_null();
	bool first = true;

	if (!find_lists(w, ref) || w->n_choices == from) {
		w->n_choices = from;
		return once(w, n);
	}
	do {
		v = once(w, n);
		if (value_truth(&v) == TRUTH_TRUE) {
			result = v;
			break;
		}
		if (first || v.type == VALUE_NULL)
			result = v;
		first = false;
	} while (next_choice(w, from) && ++tries < PREDICATE_TRIES_MAX);
	w->n_choices = from;
	return result;
}

static struct value eval(struct walk *w, ir_ref ref)
{
	const struct ir_node *n = ir_at(w->q, ref);
	struct value v = n->flags & IR_ANY ? any(w, ref, n) : once(w, n);

	if (v.type == VALUE_NULL && n->flags & IR_TRUTH)
		v = (struct value) { .type = VALUE_BOOL };
	return v;
}

void tree_value(const struct query *q, ir_ref ref, const struct predicate_input *in, struct arena *arena,
		struct value *ret_value)
{
	struct walk *w = arena_new(arena, struct walk);

	*ret_value = value_null();
	if (!w)
		return;
	w->q = q;
	w->in = in;
	w->arena = arena;
	*ret_value = eval(w, ref);
}

enum truth tree_test(const struct query *q, ir_ref ref, const struct predicate_input *in, struct arena *arena)
{
	struct value v;

	tree_value(q, ref, in, arena, &v);
	return value_truth(&v);
}

bool tree_is_of(const struct query *q, const char *category, const struct event *ev)
{
	const struct value want = { .type = VALUE_STR, .s = { category, strlen(category) } };
	struct event_scratch room;
	struct value v;

	if (!event_get(ev, q->category_field, &room, &v))
		return false;
	if (v.type != VALUE_LIST)
		return value_compare(IR_EQ, &v, &want, RULE_UNKNOWN, q->fold) == TRUTH_TRUE;
	for (size_t i = 0; i < v.list.n; i++)
		if (value_compare(IR_EQ, &v.list.items[i], &want, RULE_UNKNOWN, q->fold) == TRUTH_TRUE)
			return true;
	return false;
}
