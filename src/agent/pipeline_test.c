/* SPDX-License-Identifier: Apache-2.0 */
/* From the kernel's ring to a stream: nothing gets lost on the way, and the books say so. */
#include "agent/pipeline.h"
#include <string.h>
#include "base/err.h"
#include "base/json.h"
#include "base/test.h"
#include "tests/sandbox/flood.h"
#include "tests/sandbox/observe.h"

static const struct pipeline_options options = {
	.bus = { .shards = 3, .queue_bytes = 1 << 20, .wait_ns = 5000000000 },
	.context = { .limits = { .processes = 1024, .cgroups = 64, .late_per_s = 1, .memory = 8 << 20 } },
};

/* A number of the status, by the names on the way to it. */
static long long status_of(struct pipeline *p, const char *part, const char *name)
{
	static const struct json_limits limits = { 1 << 20, 65536, 16 };
	auto_json struct json_doc doc;
	auto_buf struct buf text;
	const struct json_node *root, *v;

	buf_init(&text, 1 << 20);
	buf_char(&text, '{');
	pipeline_status(p, &text);
	buf_char(&text, '}');
	json_init(&doc, &limits);
	if (json_parse(&doc, buf_text(&text), text.len, &root) < 0) {
		test_fail(T_HERE, "%s: %s", err_trail(), buf_text(&text));
		return -1;
	}
	v = json_get(root, part);
	v = v ? json_get(v, name) : NULL;
	return v && v->type == JSON_INT ? v->i : -1;
}

TEST(what_the_kernel_sends_reaches_those_who_follow)
{
	const struct core_options core = { .ring_bytes = { 1 << 20, 1 << 20, 1 << 16 } };
	const struct filter_spec all = { 0 };
	auto_sandbox struct sandbox sb;
	auto_observer struct observer ob = { 0 };
	AUTO(pipeline) p = NULL;
	struct pipeline_options o = options;
	struct stream *st = NULL;
	struct filter *f;
	size_t n = 0;

	for (size_t k = 0; k < sensor_flood.n_kinds; k++)
		require_ok(event_kind_register(&sensor_flood.kinds[k]));
	if (!sandbox_open(&sb, SANDBOX_PLAIN) || !observe_open_with(&ob, &sb, &sensor_flood, NULL, &core))
		return;
	o.context.core = ob.core;
	require_ok(pipeline_open(ob.core, &o, &p));
	require_ok(filter_compile(&all, &f));
	require_ok(stream_open(pipeline_streams(p), f, 0, true, &st));
	require_ok(pipeline_start(p));
	require_ok(flood_run(ob.object, 500, 2000));
	for (int i = 0; i < 100 && n < 2500; i++) {
		auto_buf struct buf line;

		buf_init(&line, 1 << 24);
		while (stream_next(st, 100, &line) == 1)
			n++;
	}
	check_int(n, 2500);
	check_int(stream_counts(st).lost, 0);
	stream_close(st);
	check_int(status_of(p, "reader", "records"), 2500);
	check_int(status_of(p, "reader", "malformed"), 0);
	check_int(status_of(p, "bus", "put"), 2500);
	check_int(status_of(p, "bus", "shards"), 3);
}

TEST(nothing_is_left_in_the_rings_at_the_end)
{
	const struct core_options core = { .ring_bytes = { 1 << 20, 1 << 20, 1 << 16 } };
	auto_sandbox struct sandbox sb;
	auto_observer struct observer ob = { 0 };
	struct pipeline_options o = options;
	struct pipeline *p;

	if (!sandbox_open(&sb, SANDBOX_PLAIN) || !observe_open_with(&ob, &sb, &sensor_flood, NULL, &core))
		return;
	o.context.core = ob.core;
	require_ok(pipeline_open(ob.core, &o, &p));
	require_ok(pipeline_start(p));
	require_ok(flood_run(ob.object, 1000, 1000));
	pipeline_free(p);
	for (int i = 0; i < RING_COUNT; i++) {
		struct ring ring;

		require_ok(ring_open(ob.core->ring_fd[i], ob.core->ring_bytes[i], &ring));
		check_int(ring_taken(&ring), 0);
		ring_close(&ring);
	}
}
