/* SPDX-License-Identifier: Apache-2.0 */
#include "predicate/load.h"
#include <string.h>

static bool stands_in(const void *p, const void *room, size_t n)
{
	return (uintptr_t)p >= (uintptr_t)room && (uintptr_t)p < (uintptr_t)room + n;
}

static bool keep_text(const struct event_scratch *room, struct arena *arena, struct value *v)
{
	char *copy;

	if (v->type != VALUE_STR || !stands_in(v->s.p, room->text, sizeof(room->text)))
		return true;
	copy = arena_alloc(arena, v->s.n ? v->s.n : 1);
	if (copy) {
		memcpy(copy, v->s.p, v->s.n);
		v->s.p = copy;
	}
	return copy != NULL;
}

void load_keep(const struct event_scratch *room, struct arena *arena, struct value *v)
{
	bool kept = keep_text(room, arena, v);

	if (kept && v->type == VALUE_LIST && stands_in(v->list.items, room->items, sizeof(room->items))) {
		struct value *items = arena_alloc(arena, (v->list.n ? v->list.n : 1) * sizeof(*items));

		kept = items != NULL;
		for (size_t i = 0; kept && i < v->list.n; i++) {
			items[i] = v->list.items[i];
			kept = keep_text(room, arena, &items[i]);
		}
		v->list.items = items;
	}
	if (!kept)
		v->type = VALUE_NULL;
}

void load_field(const struct predicate_input *in, int event, field_id id, struct event_scratch *room,
		struct arena *arena, struct value *ret_value)
{
	const struct event *ev = in->ev;

	if (event >= 0)
		ev = (size_t)event < in->n_events ? in->events[event] : NULL;
	if (!ev || !event_get(ev, id, room, ret_value)) {
		*ret_value = (struct value) { .type = VALUE_NULL };
		return;
	}
	load_keep(room, arena, ret_value);
}

/* ---- all values ------------------------------------------------------------------------------- */

struct values {
	struct arena *arena;
	struct value *items;
	size_t n, cap;
};

static void add_value(struct values *to, const struct value *v)
{
	struct value *more;

	if (v->type == VALUE_LIST) {
		for (size_t i = 0; i < v->list.n; i++)
			add_value(to, &v->list.items[i]);
		return;
	}
	if (v->type == VALUE_NULL || v->type == VALUE_BOOL || to->n == PREDICATE_VALUES_MAX)
		return;
	if (to->n == to->cap) {
		size_t cap = to->cap ? 2 * to->cap : 64;

		more = arena_alloc(to->arena, cap * sizeof(*more));
		if (!more)
			return;
		if (to->n)
			memcpy(more, to->items, to->n * sizeof(*more));
		to->items = more;
		to->cap = cap;
	}
	to->items[to->n++] = *v;
}

static void add_field(void *ctx, field_id id, const struct value *v)
{
	(void)id;
	add_value(ctx, v);
}

/* Times and addresses in programs are numbers in a record that nobody would search for. */
static bool is_searched(const struct field *f)
{
	return f->type != FT_TIME && f->type != FT_DURATION && f->type != FT_STACK;
}

void load_values(const struct predicate_input *in, struct event_scratch *room, struct arena *arena,
		 struct value *ret_value)
{
	struct values to = { .arena = arena };
	const struct event *ev = in->ev;
	const struct field *const *fields;
	size_t n = ev && ev->rec && ev->kind ? event_kind_fields(ev->kind, &fields) : 0;

	for (size_t i = 0; i < n; i++) {
		struct value v;

		if (!is_searched(fields[i]) || !event_field_value(ev->rec, fields[i], room, &v))
			continue;
		load_keep(room, arena, &v);
		add_value(&to, &v);
	}
	if (ev && ev->lens)
		ev->lens->each(ev->subject, add_field, &to);
	*ret_value = (struct value) { .type = VALUE_LIST, .list = { to.items, to.n } };
}

field_id load_member(const struct query *q, const struct ir_node *n, const struct ir_node *const *lists, int *ret_event,
		     int64_t *ret_item, int64_t *ret_var)
{
	char path[FIELD_NAME_MAX];
	size_t at = sizeof(path);

	*ret_event = -1;
	*ret_item = *ret_var = -1;
	for (;;) {
		if (n->op == IR_MEMBER || n->op == IR_FIELD) {
			bool is_last = at == sizeof(path);

			if ((size_t)n->field.len + !is_last > at)
				return FIELD_NONE;
			if (!is_last)
				path[--at] = '.';
			at -= n->field.len;
			memcpy(path + at, n->field.name, n->field.len);
			if (n->op == IR_FIELD) {
				*ret_event = n->field.event;
				return field_intern(path + at, sizeof(path) - at);
			}
		} else if (n->op == IR_ITEM) {
			if (*ret_item >= 0 || *ret_var >= 0)
				return FIELD_NONE;
			*ret_item = n->i;
		} else if (n->op == IR_VAR && (uint64_t)n->i < RULE_VARIABLES_MAX && lists[n->i]) {
			if (*ret_item >= 0 || *ret_var >= 0)
				return FIELD_NONE;
			*ret_var = n->i;
			n = lists[n->i];
			continue;
		} else {
			return FIELD_NONE;
		}
		n = ir_at(q, n->kid[0]);
	}
}
