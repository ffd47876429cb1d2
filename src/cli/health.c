/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/health.h"
#include <string.h>
#include "cli/client.h"

const char *const health_classes[EV_CLASS_COUNT] = {
	[EV_CRITICAL] = "critical",
	[EV_NORMAL] = "normal",
	[EV_BULK] = "bulk",
	[EV_PACKET] = "packet",
};

const struct json_node *items_first(const struct json_node *object, const char *name)
{
	const struct json_node *list = json_get(object, name), *unused;

	return list && list->type == JSON_ARRAY ? json_first(list, &unused) : NULL;
}

const struct json_node *items_next(const struct json_node *object, const char *name, const struct json_node *v)
{
	const struct json_node *list = json_get(object, name), *unused;

	return json_next(list, v, &unused);
}

static void add_kind(const struct json_node *kind, struct books *b)
{
	b->seen += node_u64(kind, "seen");
	b->sent += node_u64(kind, "sent");
	b->filtered += node_u64(kind, "filtered");
	b->lost_ring += node_u64(kind, "lost_ring");
	b->lost_budget += node_u64(kind, "lost_budget");
	b->error += node_u64(kind, "error");
}

void health_books(const struct json_node *sensor, struct books *books)
{
	for_each_item (kind, sensor, "kinds")
		add_kind(kind, books);
}

int64_t books_missing(const struct books *b)
{
	return (int64_t)(b->seen - (b->sent + b->filtered + b->lost_ring + b->lost_budget + b->error));
}

bool state_is_bad(const char *state)
{
	return strcmp(state, "running") != 0 && strcmp(state, "off") != 0;
}

static void add_sensor(const struct json_node *sensor, struct health *h)
{
	const char *state = node_text(sensor, "state");

	h->running += !strcmp(state, "running");
	h->off += !strcmp(state, "off");
	h->bad += state_is_bad(state);
	health_books(sensor, &h->all);
	for_each_item (kind, sensor, "kinds")
		for (size_t c = 0; c < EV_CLASS_COUNT; c++)
			if (!strcmp(node_text(kind, "class"), health_classes[c]))
				add_kind(kind, &h->by_class[c]);
}

void health_read(const struct json_node *status, struct health *ret_health)
{
	const struct json_node *bus = json_get(status, "bus"), *lost = bus ? json_get(bus, "lost") : NULL;
	struct health h = { 0 };

	for_each_item (sensor, status, "sensors")
		add_sensor(sensor, &h);
	for (size_t c = 0; c < EV_CLASS_COUNT; c++) {
		h.bus_lost[c] = node_u64(lost, health_classes[c]);
		h.bus_lost_all += h.bus_lost[c];
	}
	*ret_health = h;
}
