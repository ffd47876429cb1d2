/* SPDX-License-Identifier: Apache-2.0 */
/*
 * story - one alert (docs/alerts.md) as a page for people: what was seen and why it matters, who did it, what happened
 * in which order, where the processes come from, what it may be in all innocence, what to look at next, and what
 * became of it.
 *
 * Parts that an alert does not have are left out. All bytes of it go through text_safe().
 */
#pragma once
#include "base/json.h"

enum { STORY_WIDTH_MIN = 40, STORY_WIDTH = 100, STORY_EVENTS_MAX = 1000, STORY_PROCESSES_MAX = 128 };

struct story {
	size_t width; /* of the terminal */
	bool color;
	bool ascii; /* lines of trees without line drawing */
	int64_t now_ns;
};

void story_write(const struct story *s, const struct json_node *alert, struct buf *out);

/* ---- for lists ------------------------------------------------------------------------------------------- */

/* "5m ago", "in 3s" */
void story_ago(int64_t ns, int64_t now_ns, struct buf *out);
/* Local date and time, to the second. */
void story_date(int64_t ns, struct buf *out);
/* The colour of a severity: what stands between "\033[" and "m". */
const char *story_color(const char *severity);
