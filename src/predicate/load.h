/* SPDX-License-Identifier: Apache-2.0 */
/* load - fields of an event as values that stay for as long as the event is looked at. */
#pragma once
#include "base/arena.h"
#include "predicate/predicate.h"

/* The field of in->ev, or of one of in->events. `room` is overwritten by the next load; what is in it is copied. */
void load_field(const struct predicate_input *in, int event, field_id id, struct event_scratch *room,
		struct arena *arena, struct value *ret_value);
/* IR_VALUES: all of the event that is looked at, at most PREDICATE_VALUES_MAX; dates and code addresses of records are
 * not among them. */
void load_values(const struct predicate_input *in, struct event_scratch *room, struct arena *arena,
		 struct value *ret_value);
/* Keeps what stands in `room`: for those that read an event themselves. */
void load_keep(const struct event_scratch *room, struct arena *arena, struct value *v);

/*
 * The field that an IR_MEMBER is about: its path with the names of what it is a member of. Items of lists of
 * objects stand in lists of each of their members, so a[1].b is item 1 of a.b; `*ret_item` is the item's number, -1:
 * none is asked for; `*ret_var` the variable whose item it is, -1: none. FIELD_NONE: there is no such name.
 */
field_id load_member(const struct query *q, const struct ir_node *n, const struct ir_node *const *lists, int *ret_event,
		     int64_t *ret_item, int64_t *ret_var);
