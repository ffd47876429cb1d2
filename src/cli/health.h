/* SPDX-License-Identifier: Apache-2.0 */
/* health - what a status answer (agent/control.h) adds up to; `status` and `top` both ask it. */
#pragma once
#include "base/json.h"
#include "event/abi.h"

/* The kernel's books, summed over kinds. */
struct books {
	uint64_t seen, sent, filtered, lost_ring, lost_budget, error;
};

struct health {
	unsigned running, off, bad; /* sensors; bad: degraded, failed, fallback */
	struct books all, by_class[EV_CLASS_COUNT];
	uint64_t bus_lost[EV_CLASS_COUNT], bus_lost_all;
};

extern const char *const health_classes[EV_CLASS_COUNT];

void health_read(const struct json_node *status, struct health *ret_health);
/* Adds the kinds of one sensor. */
void health_books(const struct json_node *sensor, struct books *books);
/* What of `seen` has no place in the sum: not 0 when the books are wrong, or records are under way. */
int64_t books_missing(const struct books *b);
bool state_is_bad(const char *state);

/* for_each_item(v, object, "sensors"): the items of a member that is a list; none when it is not there. */
const struct json_node *items_first(const struct json_node *object, const char *name);
const struct json_node *items_next(const struct json_node *object, const char *name, const struct json_node *v);
#define for_each_item(v, object, name)                                                                                 \
	for (const struct json_node *(v) = items_first(object, name); (v); (v) = items_next(object, name, v))
