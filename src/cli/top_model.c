/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/top_model.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "base/mem.h"
#include "cli/client.h"
#include "cli/text.h"

const char *const top_sort_names[] = {
	[TOP_BY_CPU] = "cpu", [TOP_BY_EVENTS] = "events", [TOP_BY_COST] = "cost", [TOP_BY_NAME] = "name", NULL,
};

static void copy_name(char *to, size_t size, const char *from)
{
	(void)snprintf(to, size, "%s", from);
}

/* A counter that went down was begun anew. */
static double rate(uint64_t now, uint64_t before, double seconds)
{
	return seconds > 0 ? (double)(now >= before ? now - before : now) / seconds : 0;
}

static const struct top_hook *same_hook(const struct top_sample *s, const struct top_hook *hook, size_t guess)
{
	static const struct top_hook none;

	/* Hooks come in the same order each time, but they are sorted for showing. */
	for (size_t i = 0; i < s->n_hooks; i++) {
		const struct top_hook *h = &s->hooks[(guess + i) % s->n_hooks];

		if (!strcmp(h->hook, hook->hook) && !strcmp(h->sensor, hook->sensor))
			return h;
	}
	return &none;
}

static void hook_rates(struct top_hook *hook, const struct top_hook *before, double seconds)
{
	double ns_s = rate(hook->run_ns, before->run_ns, seconds);

	hook->fired_s = rate(hook->fired, before->fired, seconds);
	hook->runs_s = rate(hook->run_count, before->run_count, seconds);
	hook->ns_run = hook->runs_s > 0 ? ns_s / hook->runs_s : 0;
	hook->cpu_percent = ns_s / 1e7;
}

static void sample_rates(struct top_sample *s, const struct top_sample *before)
{
	double seconds = (double)(s->at_ns - before->at_ns) / 1e9;
	const struct books *now = &s->health.all, *then = &before->health.all;

	for (size_t i = 0; i < s->n_hooks; i++)
		hook_rates(&s->hooks[i], same_hook(before, &s->hooks[i], i), seconds);
	s->seen_s = rate(now->seen, then->seen, seconds);
	s->sent_s = rate(now->sent, then->sent, seconds);
	s->filtered_s = rate(now->filtered, then->filtered, seconds);
	s->lost_s = rate(now->lost_ring + now->lost_budget + s->health.bus_lost_all,
			 then->lost_ring + then->lost_budget + before->health.bus_lost_all, seconds);
	s->cpu_percent = rate(s->cpu_ms, before->cpu_ms, seconds) / 10;
}

static void read_hook(const char *sensor, const struct json_node *hook, struct top_sample *s)
{
	struct top_hook *h = &s->hooks[s->n_hooks];

	if (strcmp(node_text(hook, "state"), "attached") != 0)
		return;
	if (s->n_hooks == TOP_HOOKS_MAX) {
		s->n_hooks_left_out++;
		return;
	}
	*h = (struct top_hook) {
		.fired = node_u64(hook, "fired"),
		.run_count = node_u64(hook, "run_count"),
		.run_ns = node_u64(hook, "run_ns"),
		.misses = node_u64(hook, "misses"),
	};
	copy_name(h->sensor, sizeof(h->sensor), sensor);
	copy_name(h->hook, sizeof(h->hook), node_text(hook, "name"));
	copy_name(h->via, sizeof(h->via), node_text(hook, "via"));
	s->n_hooks++;
}

int top_read(const struct json_node *status, int64_t at_ns, const struct top_sample *before,
	     struct top_sample *ret_sample)
{
	const struct json_node *agent = json_get(status, "agent");
	struct top_sample s = {
		.at_ns = at_ns,
		.measured = node_bool(agent, "statistics"),
		.pid = node_u64(agent, "pid"),
		.uptime_s = node_u64(agent, "uptime_s"),
		.rss_bytes = node_u64(agent, "rss_bytes"),
		.cpu_ms = node_u64(agent, "cpu_ms"),
	};

	s.hooks = calloc(TOP_HOOKS_MAX + 1, sizeof(*s.hooks));
	if (!s.hooks)
		return err_new(-ENOMEM, "no memory for what top shows");
	copy_name(s.version, sizeof(s.version), node_text(agent, "version"));
	copy_name(s.scope, sizeof(s.scope), node_text(agent, "scope"));
	health_read(status, &s.health);
	for_each_item (sensor, status, "sensors")
		for_each_item (hook, sensor, "hooks")
			read_hook(node_text(sensor, "name"), hook, &s);
	for_each_item (ring, status, "rings") {
		if (s.n_rings == TOP_RINGS_MAX)
			break;
		s.rings[s.n_rings].bytes = node_u64(ring, "bytes");
		s.rings[s.n_rings].used = node_u64(ring, "used");
		copy_name(s.rings[s.n_rings++].name, TOP_NAME, node_text(ring, "name"));
	}
	if (before)
		sample_rates(&s, before);
	*ret_sample = s;
	return 0;
}

void top_clear(struct top_sample *sample)
{
	free(sample->hooks);
	*sample = (struct top_sample) { 0 };
}

/* ---- order ------------------------------------------------------------------------------------- */

static int compare(double a, double b)
{
	return a < b ? 1 : a > b ? -1 : 0;
}

static int by_name(const void *a, const void *b)
{
	const struct top_hook *x = a, *y = b;
	int d = strcmp(x->sensor, y->sensor);

	return d ? d : strcmp(x->hook, y->hook);
}

static int by_events(const void *a, const void *b)
{
	const struct top_hook *x = a, *y = b;
	int d = compare(x->fired_s, y->fired_s);

	return d ? d : by_name(a, b);
}

static int by_cost(const void *a, const void *b)
{
	const struct top_hook *x = a, *y = b;
	int d = compare(x->ns_run, y->ns_run);

	return d ? d : by_name(a, b);
}

static int by_cpu(const void *a, const void *b)
{
	const struct top_hook *x = a, *y = b;
	int d = compare(x->cpu_percent, y->cpu_percent);

	return d ? d : by_events(a, b);
}

static int (*const orders[TOP_SORT_COUNT])(const void *a, const void *b) = {
	[TOP_BY_CPU] = by_cpu,
	[TOP_BY_EVENTS] = by_events,
	[TOP_BY_COST] = by_cost,
	[TOP_BY_NAME] = by_name,
};

/* ---- text -------------------------------------------------------------------------------------- */

static void per_second(struct buf *out, const char *before, double v, const char *after)
{
	buf_str(out, before);
	text_short(out, v);
	buf_str(out, after);
}

static void head(const struct top_sample *s, const struct top_look *look, struct buf *out)
{
	const struct health *h = &s->health;

	buf_str(out, "shrike ");
	text_safe(out, s->version, strlen(s->version));
	buf_str(out, ", ");
	text_safe(out, s->scope, strlen(s->scope));
	buf_printf(out, ", pid %" PRIu64 ", up ", s->pid);
	text_duration(out, s->uptime_s * 1000000000);
	buf_printf(out, ", CPU %.1f%%, memory ", s->cpu_percent);
	text_bytes(out, s->rss_bytes);
	buf_printf(out, ", %u sensor%s", h->running + h->bad, h->running + h->bad == 1 ? "" : "s");
	if (h->bad)
		buf_printf(out, ", %u not well", h->bad);
	buf_str(out, look->paused ? "   [paused]\n" : "\n");
	per_second(out, "events/s: ", s->seen_s, " seen = ");
	per_second(out, "", s->sent_s, " sent + ");
	per_second(out, "", s->filtered_s, " filtered + ");
	per_second(out, "", s->lost_s, " lost");
	buf_printf(out, "   lost since the start: ring %" PRIu64 ", budget %" PRIu64 ", bus %" PRIu64 "\n",
		   h->all.lost_ring, h->all.lost_budget, h->bus_lost_all);
	buf_str(out, "rings:");
	for (size_t i = 0; i < s->n_rings; i++) {
		const struct top_ring *r = &s->rings[i];

		buf_str(out, i ? ", " : " ");
		text_safe(out, r->name, strlen(r->name));
		buf_printf(out, " %.0f%% of ", r->bytes ? 100.0 * (double)r->used / (double)r->bytes : 0.0);
		text_bytes(out, r->bytes);
	}
	buf_char(out, '\n');
	if (!s->measured)
		buf_str(out, "run times are not measured: the agent could not switch that on in the kernel\n");
}

static void cell(struct table *t, double v)
{
	auto_buf struct buf text = { 0 };

	buf_init(&text, 64);
	text_short(&text, v);
	table_cell(t, "%s", buf_text(&text));
}

static void hook_cells(struct table *t, const struct top_sample *s, const struct top_hook *h)
{
	cell(t, h->fired_s);
	if (s->measured) {
		cell(t, h->runs_s);
		table_cell(t, "%.0f", h->ns_run);
		table_cell(t, "%.2f", h->cpu_percent);
	} else {
		for (int i = 0; i < 3; i++)
			table_cell(t, "%s", "");
	}
	table_cell(t, "%" PRIu64, h->misses);
	table_cell(t, "%s", h->via);
}

static size_t lines(const struct buf *out)
{
	size_t n = 0;

	for (size_t i = 0; i < out->len; i++)
		n += out->data[i] == '\n';
	return n;
}

void top_render(struct top_sample *sample, const struct top_look *look, struct buf *out, size_t *ret_title)
{
	static const char *const titles[] = { "SENSOR", "HOOK",    ">EVENTS/S", ">RUNS/S", ">NS/RUN",
					      ">CPU%",  ">MISSES", "VIA",       NULL };
	size_t n = sample->n_hooks + sample->n_hooks_left_out;
	struct top_hook all = { .sensor = "all" };
	auto_table struct table t = { 0 };

	table_init(&t, titles);
	head(sample, look, out);
	buf_char(out, '\n');
	*ret_title = lines(out);
	qsort(sample->hooks, sample->n_hooks, sizeof(*sample->hooks), orders[look->sort]);
	for (size_t i = 0; i < sample->n_hooks; i++) {
		const struct top_hook *h = &sample->hooks[i];

		all.fired_s += h->fired_s;
		all.runs_s += h->runs_s;
		all.cpu_percent += h->cpu_percent;
		all.misses += h->misses;
	}
	all.ns_run = all.runs_s > 0 ? all.cpu_percent * 1e7 / all.runs_s : 0;
	table_cell(&t, "%s", all.sensor);
	table_cell(&t, "%zu hook%s", n, n == 1 ? "" : "s");
	hook_cells(&t, sample, &all);
	for (size_t i = 0; i < sample->n_hooks; i++) {
		table_cell(&t, "%s", sample->hooks[i].sensor);
		table_cell(&t, "%s", sample->hooks[i].hook);
		hook_cells(&t, sample, &sample->hooks[i]);
	}
	table_print(&t, 0, out);
}
