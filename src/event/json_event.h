/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_event - an event of any schema, from a line of JSON.
 *
 * The line becomes a sparse list of fields, sorted by id, that answers as a lens. Paths are
 * dotted; {"a":{"b":1}} and {"a.b":1} are the same field. As in Elasticsearch, an array is
 * the list of its values however deep they are nested, nulls left out, and objects in an
 * array lend each of their members a list; a name that is there in both spellings has the
 * values of both. Empty objects are not there.
 *
 * Made once and used for line after line: memory is kept, and within its limits.
 */
#pragma once
#include "base/json.h"
#include "event/event.h"

enum {
	JSON_EVENT_NODES_MAX = 1 << 17, /* values and names in a line */
	JSON_EVENT_DEPTH_MAX = 32,
};

struct json_field {
	field_id id;
	struct value value;
};

struct json_event {
	struct json_doc doc;
	bool known_only;
	struct json_field *fields; /* sorted by id */
	size_t n_fields;
	size_t unnamed; /* values that were left out: their names could not be interned (or, known_only, are not known)
			 */

	/* Values as they were found, and as they are sorted. */
	uint64_t *keys, *keys_room;
	struct json_leaf *leaves;
	struct value *items;
	field_id *hints; /* what the names of the last line were: those of the next mostly come in the same order */
	size_t n_leaves, n_lookups, cap;
};

/* known_only: leaves out fields whose names nobody has interned, rather than interning them. */
void json_event_init(struct json_event *je, bool known_only);
void json_event_free(struct json_event *je);
#define auto_json_event __attribute__((cleanup(json_event_free)))

/*
 * Reads one object in the place of what was there before. -EINVAL: not JSON, or no object;
 * -E2BIG: more than EVENT_JSON_MAX bytes, or beyond a limit; -ENOMEM. After an error it has no fields.
 */
int json_event_parse(struct json_event *je, const char *line, size_t n);
/* NULL when it has no such field; one that is null is VALUE_NULL. */
const struct value *json_event_find(const struct json_event *je, field_id id);

/* Its subject is a struct json_event. */
extern const struct event_lens json_event_lens;

static inline struct event json_event_as_event(const struct json_event *je)
{
	return (struct event) { .lens = &json_event_lens, .subject = je };
}
