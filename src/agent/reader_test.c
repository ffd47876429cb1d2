/* SPDX-License-Identifier: Apache-2.0 */
/* The reader on real kernel rings, which a program fills on demand. */
#include "agent/reader.h"
#include <bpf/bpf.h>
#include <stdatomic.h>
#include <time.h>
#include "base/err.h"
#include "base/test.h"
#include "tests/sandbox/flood.h"
#include "tests/sandbox/observe.h"

enum { SEEN_MAX = 40000 };

/* What a sink was given, in order. */
struct seen {
	__u64 times[SEEN_MAX];
	enum ev_class classes[SEEN_MAX];
	_Atomic size_t n;
	_Atomic size_t before_told; /* records that came although their time had been told to be over */
	__u64 told_ns;
	_Atomic __u64 last_at_ns; /* when the newest was handed on */
};
static struct seen seen;

static __u64 boot_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_BOOTTIME, &t);
	return (__u64)t.tv_sec * 1000000000 + (__u64)t.tv_nsec;
}

static void on_record(void *ctx, const struct ev_head *rec, const struct event_kind *kind)
{
	size_t n = seen.n;

	(void)ctx;
	(void)kind;
	if (n == SEEN_MAX)
		return;
	if (rec->time_ns < seen.told_ns)
		seen.before_told++;
	seen.times[n] = rec->time_ns;
	seen.classes[n] = rec->class;
	seen.last_at_ns = boot_ns();
	seen.n = n + 1;
}

static void on_batch(void *ctx, __u64 now_ns)
{
	(void)ctx;
	seen.told_ns = now_ns;
}

static const struct reader_sink sink = { on_record, on_batch, NULL };

static bool stage(struct observer *ob, struct sandbox *sb, size_t critical_bytes)
{
	const struct core_options core = { .ring_bytes = { critical_bytes, 8 << 20, 1 << 16 } };

	seen = (struct seen) { .n = 0 };
	for (size_t k = 0; k < sensor_flood.n_kinds; k++)
		if (event_kind_register(&sensor_flood.kinds[k]) < 0)
			test_fail(T_HERE, "%s", err_trail());
	return sandbox_open(sb, SANDBOX_PLAIN) && observe_open_with(ob, sb, &sensor_flood, NULL, &core);
}

static bool wait_for(size_t n)
{
	for (int i = 0; i < 5000 && seen.n < n; i++)
		(void)usleep(2000);
	return seen.n >= n;
}

static size_t steps_back(size_t from, size_t to)
{
	size_t n = 0;

	for (size_t i = from + 1; i < to; i++)
		n += seen.times[i] < seen.times[i - 1];
	return n;
}

TEST(rings_are_merged_by_time)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };
	AUTO(reader) r = NULL;
	struct reader_counts c;

	if (!stage(&ob, &sb, 1 << 20))
		return;
	/* Bulk, critical, bulk, critical: whole rings one after the other would step back. */
	require_ok(flood_run(ob.object, 100, 100));
	require_ok(flood_run(ob.object, 100, 100));
	require_ok(reader_open(ob.core, &sink, &r));
	require(wait_for(400));
	check_int(steps_back(0, 400), 0);
	check_int(seen.classes[0], EV_BULK);
	check_int(seen.classes[100], EV_CRITICAL);
	check_int(seen.classes[200], EV_BULK);
	reader_counts(r, &c);
	check_int(c.records[RING_CRITICAL], 200);
	check_int(c.records[RING_BULK], 200);
	check_int(c.malformed, 0);
}

TEST(a_critical_ring_that_is_a_quarter_full_goes_first)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };
	AUTO(reader) r = NULL;
	size_t first = 0;

	if (!stage(&ob, &sb, 1 << 16))
		return;
	require_ok(flood_run(ob.object, 300, 100));
	require_ok(reader_open(ob.core, &sink, &r));
	require(wait_for(400));
	while (first < 400 && seen.classes[first] == EV_CRITICAL)
		first++;
	/* 136 bytes each: down to a quarter of the ring, then by time again. */
	check(first > 150 && first < 200);
	check_int(steps_back(first, 400), 0);
}

TEST(no_record_comes_after_its_time_was_told_to_be_over)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };
	AUTO(reader) r = NULL;

	if (!stage(&ob, &sb, 1 << 20))
		return;
	/* More than one batch. */
	require_ok(flood_run(ob.object, 2000, 20000));
	require_ok(reader_open(ob.core, &sink, &r));
	require(wait_for(22000));
	check_int(seen.before_told, 0);
}

/* Writes 16 bytes of zeros, which are no record. */
static int send_garbage(int ring_fd)
{
	const struct bpf_insn insns[] = {
		{ .code = BPF_ST | BPF_MEM | BPF_DW, .dst_reg = BPF_REG_10, .off = -8 },
		{ .code = BPF_ST | BPF_MEM | BPF_DW, .dst_reg = BPF_REG_10, .off = -16 },
		{ .code = BPF_LD | BPF_DW | BPF_IMM,
		  .dst_reg = BPF_REG_1,
		  .src_reg = BPF_PSEUDO_MAP_FD,
		  .imm = ring_fd },
		{ 0 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_2, .src_reg = BPF_REG_10 },
		{ .code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = BPF_REG_2, .imm = -16 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_3, .imm = 16 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_4, .imm = 0 },
		{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_ringbuf_output },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, o, .prog_flags = BPF_F_SLEEPABLE);
	LIBBPF_OPTS(bpf_test_run_opts, run);
	auto_close int fd = bpf_prog_load(BPF_PROG_TYPE_SYSCALL, "garbage", "GPL", insns, countof(insns), &o);

	return fd < 0 ? -errno : bpf_prog_test_run_opts(fd, &run);
}

TEST(what_is_no_record_is_counted_and_the_next_one_is_read)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };
	AUTO(reader) r = NULL;
	struct reader_counts c;

	if (!stage(&ob, &sb, 1 << 20))
		return;
	check_int(send_garbage(ob.core->ring_fd[RING_CRITICAL]), 0);
	require_ok(flood_run(ob.object, 3, 0));
	require_ok(reader_open(ob.core, &sink, &r));
	require(wait_for(3));
	reader_counts(r, &c);
	check_int(c.malformed, 1);
	check_int(c.records[RING_CRITICAL], 4);
	check_int(seen.n, 3);
}

TEST(a_critical_record_wakes_a_reader_that_sleeps)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };
	AUTO(reader) r = NULL;
	__u64 fastest = ~0ULL;

	if (!stage(&ob, &sb, 1 << 20))
		return;
	require_ok(reader_open(ob.core, &sink, &r));
	for (size_t i = 0; i < 20 && fastest > 5000000; i++) {
		__u64 late;

		/* It looks 50 times every 2 ms before it sleeps, more slowly on a busy machine. */
		for (int k = 0; k < 2000 && !__atomic_load_n(&ob.core->reader->sleeping, __ATOMIC_ACQUIRE); k++)
			(void)usleep(2000);
		require_ok(flood_run(ob.object, 1, 0));
		require(wait_for(i + 1));
		late = seen.last_at_ns - seen.times[i];
		fastest = late < fastest ? late : fastest;
	}
	/* Unwoken, it would be some 50 ms, and seldom less than 5. */
	check(fastest <= 5000000);
}
