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
