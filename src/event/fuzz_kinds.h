/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_kinds - for the fuzz targets of events: makes all kinds of all sensors known. */
#pragma once
#include <stdlib.h>
#include "sensors/sensor.h"

static inline void fuzz_kinds_register(void)
{
	for (const struct sensor *const *s = sensor_table; *s; s++)
		for (size_t i = 0; i < (*s)->n_kinds; i++)
			if (event_kind_register(&(*s)->kinds[i]) < 0)
				abort();
}

/* A record that event_check() took must print as a line that reads back to a sound record of the same kind. */
static inline void fuzz_round_trip(const struct ev_head *rec, const struct event_kind *kind)
{
	static struct buf line, back, again;
	struct event ev = { .rec = rec, .kind = kind };

	if (!line.max) {
		buf_init(&line, EVENT_JSON_MAX);
		buf_init(&again, EVENT_JSON_MAX);
		buf_init(&back, EV_LEN_MAX);
	}
	buf_clear(&line);
	event_to_json(&ev, &line);
	if (line.failed)
		abort();
	/* Stacks that are aligned, and NULs that were shared, may take more room than they had. */
	if (event_from_json(line.data, line.len, &back) < 0) {
		if (rec->len < EV_LEN_MAX - 1024)
			abort();
		return;
	}
	if (event_check(back.data, back.len) != kind)
		abort();
	ev.rec = (const struct ev_head *)back.data;
	buf_clear(&again);
	event_to_json(&ev, &again);
	if (again.len != line.len || memcmp(again.data, line.data, line.len) != 0)
		abort();
}
