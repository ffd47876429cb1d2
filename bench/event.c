/* SPDX-License-Identifier: Apache-2.0 */
/* event - what it costs to print a record, to read it back, and to ask for one of its fields. */
#include <stdio.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/err.h"
#include "bench/hot.h"
#include "event/event.h"
#include "event/json_event.h"
#include "sensors/sensor.h"

enum { ROUNDS = 10, TIMES = 20000, LENS_FIELDS = 12 };

static struct event event;
static struct buf line, back;
static struct json_event json;
static struct event_scratch scratch;
static field_id ids[4], lens_ids[LENS_FIELDS];
static __u64 sink;

static void lens_each(const void *subject, void (*fn)(void *ctx, field_id id, const struct value *v), void *ctx)
{
	static const struct value v = { .type = VALUE_STR, .s = { "something", 9 } };

	(void)subject;
	for (int i = 0; i < LENS_FIELDS; i++)
		fn(ctx, lens_ids[i], &v);
}

static bool lens_get(const void *subject, field_id id, struct value *ret_value)
{
	(void)subject;
	(void)id;
	ret_value->type = VALUE_NULL;
	return false;
}

static void do_print(void)
{
	buf_clear(&line);
	event_to_json(&event, &line);
}

static void do_read(void)
{
	if (event_from_json(line.data, line.len, &back) < 0) {
		err_print(stderr);
		exit(1);
	}
}

static void do_parse(void)
{
	if (json_event_parse(&json, line.data, line.len) < 0)
		exit(1);
}

static void do_get(void)
{
	struct value v;

	for (int i = 0; i < 4; i++) {
		(void)event_get(&event, ids[i], &scratch, &v);
		sink += (__u64)v.i;
	}
}

static void do_check(void)
{
	sink += event_check(event.rec, event.rec->len) != NULL;
}

static double ns_each(void (*fn)(void))
{
	double best = 1e18;

	for (int r = 0; r < ROUNDS; r++) {
		__u64 began = clock_boot_ns();
		double ns;

		for (int i = 0; i < TIMES; i++)
			fn();
		ns = (double)(clock_boot_ns() - began) / TIMES;
		best = ns < best ? ns : best;
	}
	return best;
}

static void report(const char *name, double value, const char *unit)
{
	printf("{\"name\":\"event.%s\",\"value\":%.1f,\"unit\":\"%s\"}\n", name, value, unit);
}

int main(void)
{
	static const struct event_lens lens = { lens_get, lens_each };
	static const char *const names[4] = { "process.pid", "process.executable", "event.action", "user.id" };
	double ns;

	if (sensor_kinds_register() < 0)
		return 1;
	event = hot_exec();
	if (!event.kind)
		return 1;
	for (int i = 0; i < 4; i++)
		ids[i] = field_intern(names[i], strlen(names[i]));
	for (int i = 0; i < LENS_FIELDS; i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "%s.lens%d.name", i % 3 ? "process" : "container", i);
		lens_ids[i] = field_intern(name, strlen(name));
	}
	event_clock_set(clock_wall_minus_boot_ns());
	buf_init(&line, EVENT_JSON_MAX);
	buf_init(&back, EV_LEN_MAX);
	json_event_init(&json, false);

	ns = ns_each(do_print);
	report("to_json", 1e9 / ns, "lines/s");
	report("to_json_rate", (double)line.len * 1e3 / ns, "MB/s");
	ns = ns_each(do_read);
	report("from_json", 1e9 / ns, "lines/s");
	ns = ns_each(do_parse);
	report("json_event", 1e9 / ns, "lines/s");
	report("json_event_rate", (double)line.len * 1e3 / ns, "MB/s");
	event.lens = &lens;
	report("to_json_with_lens", 1e9 / ns_each(do_print), "lines/s");
	event.lens = NULL;
	report("get", ns_each(do_get) / 4, "ns");
	report("check", ns_each(do_check), "ns");
	json_event_free(&json);
	buf_free(&line);
	buf_free(&back);
	return sink == 1;
}
