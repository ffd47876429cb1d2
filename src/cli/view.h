/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view - an event as one line for people: local time, kind, process, user, container, and
 * then what matters for this kind, in words.
 *
 * What matters stands in a table of templates (view.c); a kind without one shows its fields in
 * the order of its table, so a new sensor is shown without a change here. Every byte that an
 * event brings goes through text_safe().
 */
#pragma once
#include "base/json.h"
#include "event/event.h"

struct view {
	bool color;
	int day;         /* of the event shown last; 0: none yet */
	unsigned indent; /* blanks in front of an event's line */
};

/* Appends the line of an event as the agent sends it, and a line with the date in front where the day changes. */
void view_event(struct view *view, const struct json_node *event, struct buf *out);

/* What matters of an event, and nothing else: the end of its line. */
void view_details(const struct json_node *event, struct buf *out);

/* A field by its dotted path, or NULL. */
const struct json_node *view_field(const struct json_node *event, const char *path);
/* All kinds that this build knows, those of the sensors first; NULL after the last. */
const struct event_kind *view_kind_at(size_t i);
/* The one of this name, or NULL. */
const struct event_kind *view_kind(const char *name);

/* For the tests: a row of the table of templates; NULL after the last. */
struct view_template {
	const char *kinds; /* glob */
	const char *text;
};
const struct view_template *view_template_at(size_t i);
