/* SPDX-License-Identifier: Apache-2.0 */
/* From the kernel's ring to a stream: nothing gets lost on the way, and the books say so. */
#include "agent/pipeline.h"
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>
#include "base/err.h"
#include "base/json.h"
#include "base/test.h"
#include "context/procfs.h"
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
	auto_sandbox struct sandbox sb = { 0 };
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
	auto_sandbox struct sandbox sb = { 0 };
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

/* ---- without a kernel ---------------------------------------------------------------------------------- */

static bool open_bare(struct pipeline **ret_pipeline)
{
	struct pipeline_options o = options;

	o.raw_ring_bytes = 1 << 20;
	if (pipeline_open(NULL, &o, ret_pipeline) == 0)
		return true;
	test_fail(T_HERE, "%s", err_trail());
	return false;
}

/* This very test is the process that nobody knows: its own /proc may be read. */
static bool own_record(struct ev_user *ret_rec)
{
	struct proc_stat st;

	if (proc_stat((__u32)getpid(), &st) < 0)
		return false;
	*ret_rec = (struct ev_user) {
		.head = { .time_ns = 1000, .id = EV_USER, .len = sizeof(*ret_rec), .class = EV_NORMAL },
	};
	ret_rec->head.id = EV_ID(0x70, 1);
	ret_rec->head.pid = ret_rec->head.tid = (__u32)getpid();
	ret_rec->head.uid = getuid();
	ret_rec->head.start_ns = st.start_ticks * PROC_TICK_NS + 1234567;
	return true;
}

static void apply_padded(struct context *ctx, const struct buf *records)
{
	for (size_t at = 0; at < records->len;) {
		const struct ev_head *rec = (const struct ev_head *)(records->data + at);

		(void)context_apply(ctx, rec);
		at += (rec->len + 7U) / 8 * 8;
	}
}

static const char *executable_of(struct context *ctx, const struct ev_head *rec)
{
	const struct process *p = context_process(ctx, rec->pid, rec->start_ns);

	return p && p->program ? p->program->executable.p : "";
}

static struct context *open_replay(void)
{
	struct context_options o = { .offline = true, .boot_id = "8f3c2a1b-9d4e-4f00-aaaa-bbbbccccdddd" };
	struct context *ctx = NULL;

	o.limits = options.context.limits;
	if (context_open(&o, &ctx) < 0)
		test_fail(T_HERE, "%s", err_trail());
	return ctx;
}

TEST(what_had_to_be_looked_up_stands_in_the_raw_ring_before_the_record_that_needs_it)
{
	AUTO(pipeline) p = NULL;
	AUTO(raw_reader) reader = NULL;
	AUTO(context) replay = open_replay();
	const struct ev_head *got;
	struct ev_user rec;
	size_t n = 0;
	__u64 lost;

	require(replay && own_record(&rec) && open_bare(&p));
	require_ok(raw_reader_open(pipeline_raw(p), "test", RAW_FROM_OLDEST, &reader));
	pipeline_put(p, &rec.head, NULL);
	pipeline_put(p, &rec.head, NULL);
	pipeline_batch(p, 2000);
	while ((got = raw_reader_next(reader, &lost)) && got->id != rec.head.id) {
		check_int(EV_ID_SENSOR(got->id), EV_CONTEXT);
		(void)context_apply(replay, got);
		n++;
	}
	check(n >= 1);
	require(got != NULL);
	check(got->len == rec.head.len && !memcmp(got, &rec, sizeof(rec)));
	check_has(executable_of(replay, got), "/unit");
	/* Known by now: nothing is learned for the second. */
	got = raw_reader_next(reader, &lost);
	check(got && got->id == rec.head.id);
	check(!raw_reader_next(reader, &lost));
}

struct batching {
	struct pipeline *p;
	_Atomic bool stop;
	pthread_t thread;
};

static void *make_batches(void *arg)
{
	struct batching *b = arg;

	b->thread = pthread_self();
	for (__u64 now = 1; !b->stop; now++)
		pipeline_batch(b->p, now);
	return NULL;
}

struct asked {
	_Atomic int running, most, n;
	struct batching *batching;
	bool elsewhere;
};

static void count_asked(void *arg, struct context *ctx)
{
	struct asked *a = arg;
	int now = ++a->running;

	if (now > a->most)
		a->most = now;
	a->elsewhere |= !pthread_equal(pthread_self(), a->batching->thread);
	a->n += ctx != NULL;
	a->running--;
}

struct asker {
	struct pipeline *p;
	struct asked *asked;
};

static void *ask_often(void *arg)
{
	struct asker *a = arg;

	for (int i = 0; i < 500; i++)
		pipeline_ask(a->p, count_asked, a->asked);
	return NULL;
}

TEST(what_is_asked_runs_between_batches_one_after_the_other)
{
	struct batching b = { 0 };
	struct asked asked = { .batching = &b };
	struct asker asker = { .asked = &asked };
	AUTO(pipeline) p = NULL;
	pthread_t reader, askers[3];

	require(open_bare(&p));
	b.p = asker.p = p;
	require(pthread_create(&reader, NULL, make_batches, &b) == 0);
	for (int i = 0; i < 3; i++)
		require(pthread_create(&askers[i], NULL, ask_often, &asker) == 0);
	for (int i = 0; i < 3; i++)
		require(pthread_join(askers[i], NULL) == 0);
	b.stop = true;
	require(pthread_join(reader, NULL) == 0);
	check_int(asked.n, 1500);
	check_int(asked.most, 1);
	check(!asked.elsewhere);
}

TEST(who_begins_at_the_cursor_with_what_was_known_misses_nothing)
{
	struct batching b = { 0 };
	AUTO(pipeline) p = NULL;
	AUTO(raw_reader) reader = NULL;
	AUTO(context) late = open_replay();
	auto_buf struct buf known = { .max = 1 << 20 };
	struct ev_user rec;
	const struct ev_head *got;
	pthread_t thread;
	__u64 cursor, lost;
	int r;

	require(late && own_record(&rec) && open_bare(&p));
	pipeline_put(p, &rec.head, NULL);
	b.p = p;
	require(pthread_create(&thread, NULL, make_batches, &b) == 0);
	r = pipeline_known(p, &known, &cursor);
	b.stop = true;
	require(pthread_join(thread, NULL) == 0);
	require_ok(r);
	rec.head.time_ns++;
	pipeline_put(p, &rec.head, NULL);
	apply_padded(late, &known);
	check_has(executable_of(late, &rec.head), "/unit");
	require_ok(raw_reader_open(pipeline_raw(p), "late", RAW_FROM_OLDEST, &reader));
	require_ok(raw_reader_seek(reader, cursor));
	got = raw_reader_next(reader, &lost);
	require(got != NULL);
	check_int(got->time_ns, rec.head.time_ns);
	check_int(lost, 0);
}
