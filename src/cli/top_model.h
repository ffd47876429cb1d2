/* SPDX-License-Identifier: Apache-2.0 */
/*
 * top_model - what `shrike top` shows: two answers of the agent become rates, and rates
 * become lines of text. Knows no terminal.
 */
#pragma once
#include "base/buf.h"
#include "base/json.h"
#include "cli/health.h"

enum { TOP_HOOKS_MAX = 1024, TOP_RINGS_MAX = 8, TOP_NAME = 40 };

enum top_sort { TOP_BY_CPU, TOP_BY_EVENTS, TOP_BY_COST, TOP_BY_NAME, TOP_SORT_COUNT };
extern const char *const top_sort_names[]; /* NULL-terminated */

struct top_hook {
	char sensor[TOP_NAME], hook[TOP_NAME], via[TOP_NAME];
	uint64_t fired, run_count, run_ns, misses;   /* since the sensor started */
	double fired_s, runs_s, cpu_percent, ns_run; /* since the sample before */
};

struct top_ring {
	char name[TOP_NAME];
	uint64_t bytes, used;
};

struct top_sample {
	int64_t at_ns;
	bool measured; /* the kernel counts run times */
	char version[TOP_NAME], scope[128];
	uint64_t pid, uptime_s, rss_bytes, cpu_ms;
	struct health health;
	struct top_hook *hooks;
	size_t n_hooks, n_hooks_left_out;
	struct top_ring rings[TOP_RINGS_MAX];
	size_t n_rings;
	/* since the sample before */
	double seen_s, sent_s, filtered_s, lost_s, cpu_percent;
};

/* `before` may be NULL: then there are no rates yet. -ENOMEM. */
int top_read(const struct json_node *status, int64_t at_ns, const struct top_sample *before,
	     struct top_sample *ret_sample);
void top_clear(struct top_sample *sample);

struct top_look {
	enum top_sort sort;
	bool paused;
};

/* Lines of text; *ret_title is the number of the one with the titles of the columns. Sorts the hooks. */
void top_render(struct top_sample *sample, const struct top_look *look, struct buf *out, size_t *ret_title);
