/* SPDX-License-Identifier: Apache-2.0 */
#include "hunt/recording.h"
#include <sys/stat.h>
#include "base/err.h"
#include "context/context.h"
#include "sensors/sensor.h"
#include "store/store.h"

bool recording_is(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && (S_ISDIR(st.st_mode) || (S_ISREG(st.st_mode) && store_is_segment(path)));
}

static int copy(struct store_query *q, struct lines *l)
{
	auto_buf struct buf out = { .max = EVENT_JSON_MAX };
	const struct ev_head *rec;
	int r;

	while ((r = store_query_next(q, &rec)) == 1) {
		event_clock_set(store_query_origin(q)->wall_minus_boot_ns);
		buf_clear(&out);
		event_to_json(store_query_event(q), &out);
		r = out.failed ? 0 : lines_put(l, buf_text(&out), out.len);
		if (r < 0)
			return r;
	}
	return r < 0 ? r : lines_put_end(l);
}

int recording_open(const char *path, struct lines **ret_lines, uint64_t *ret_lost)
{
	const struct store_query_spec all = { .with_context = true };
	__s64 clock = event_clock();
	struct store_query_stats stats;
	AUTO(store_query) q = NULL;
	AUTO(store) store = NULL;
	AUTO(lines) l = NULL;
	int r = sensor_kinds_register();

	r = r < 0 ? r : store_open_named(path, &store);
	r = r < 0 ? r : store_query_open(store, &all, &q);
	r = r < 0 ? r : lines_new(path, &l);
	r = r < 0 ? r : copy(q, l);
	event_clock_set(clock);
	if (r == 0) {
		store_query_stats(q, &stats);
		*ret_lost = stats.lost + stats.damaged;
		*ret_lines = take(l);
	}
	/* The store stays open as long as its queries. */
	store_query_free(take(q));
	return r;
}
