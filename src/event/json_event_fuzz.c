/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as an event of any schema: what is taken answers for every field it lists, and
 * prints as JSON that is taken again with as many fields.
 */
#include "event/json_event.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct asked {
	const struct event *ev;
	field_id last;
};

static void ask(void *ctx, field_id id, const struct value *v)
{
	struct asked *a = ctx;
	struct value got;

	if (id <= a->last || !event_get(a->ev, id, NULL, &got) || got.type != v->type)
		abort();
	a->last = id;
}

/* Members of "shrike.bytes" are not printed from a lens; and only so many. */
static bool prints_whole(const struct json_event *je)
{
	for (size_t i = 0; i < je->n_fields; i++)
		if (!strncmp(field_name(je->fields[i].id), "shrike.bytes", 12))
			return false;
	return je->n_fields <= EVENT_LENS_FIELDS_MAX;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct json_event first, second;
	static struct buf line;
	struct event ev = json_event_as_event(&first);
	struct asked asked = { .ev = &ev };

	if (!line.max) {
		json_event_init(&first, false);
		json_event_init(&second, false);
		buf_init(&line, 8 * EVENT_JSON_MAX);
	}
	if (json_event_parse(&first, (const char *)data, size) < 0)
		return 0;
	json_event_lens.each(&first, ask, &asked);
	buf_clear(&line);
	event_to_json(&ev, &line);
	if (line.failed || !prints_whole(&first))
		return 0;
	if (line.len <= EVENT_JSON_MAX &&
	    (json_event_parse(&second, line.data, line.len) < 0 || second.n_fields != first.n_fields))
		abort();
	return 0;
}
