/* SPDX-License-Identifier: Apache-2.0 */
/* What the ring had is in the folder, segment after segment, with what was known and what was lost. */
#include "agent/recorder.h"
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/test.h"
#include "sensors/process/process.event.h"
#include "store/segment/test_records.h"

struct bench {
	struct pipeline *p;
	char dir[64];
	pthread_t thread;
	_Atomic bool stop;
	_Atomic __u64 records; /* that the thread puts, then it only makes batches */
	_Atomic __u64 put;
};

/* The reader's thread: puts records, and answers what it is asked. */
static void *be_reader(void *arg)
{
	struct bench *b = arg;
	struct test_record rec;

	while (!b->stop) {
		for (int i = 0; i < 500 && b->put < b->records; i++) {
			test_record_make(&rec, b->put);
			pipeline_put(b->p, &rec.head, NULL);
			b->put++;
		}
		pipeline_batch(b->p, clock_boot_ns());
		(void)usleep(1000);
	}
	return NULL;
}

static bool bench_open(struct bench *b, __u64 records, size_t ring)
{
	struct pipeline_options o = {
		.bus = { .shards = 1, .queue_bytes = 4 << 20, .wait_ns = 0 },
		.context = { .limits = { .processes = 1000, .cgroups = 100, .memory = 16 << 20 }, .offline = true },
		.raw_ring_bytes = ring,
	};

	test_kinds_register();
	(void)snprintf(b->dir, sizeof(b->dir), "/tmp/shrike-recorder.XXXXXX");
	b->records = records;
	return mkdtemp(b->dir) && pipeline_open(NULL, &o, &b->p) == 0 &&
	       !pthread_create(&b->thread, NULL, be_reader, b);
}

static void bench_close(struct bench *b)
{
	DIR *dir = opendir(b->dir);
	const struct dirent *e;

	b->stop = true;
	(void)pthread_join(b->thread, NULL);
	pipeline_free(b->p);
	while (dir && (e = readdir(dir)))
		if (e->d_name[0] != '.')
			(void)unlinkat(dirfd(dir), e->d_name, 0);
	if (dir)
		(void)closedir(dir);
	(void)rmdir(b->dir);
}

static void wait_for_puts(struct bench *b)
{
	for (int i = 0; i < 1000 && b->put < b->records; i++)
		(void)usleep(10000);
	check_int(b->put, b->records);
}

/* Everything that happened, in order; *ret_known counts what was known. Returns the number of records, lost ones
 * included. */
static __u64 read_all(const char *path, bool with_known, __u64 *ret_known, __u64 *ret_lost)
{
	const struct store_query_spec spec = { .with_known = with_known };
	AUTO(store) s = NULL;
	AUTO(store_query) q = NULL;
	const struct ev_head *rec;
	__u64 n = 0;

	*ret_known = *ret_lost = 0;
	if (store_open(path, &s) < 0 || store_query_open(s, &spec, &q) < 0) {
		test_fail(T_HERE, "%s", err_trail());
		return 0;
	}
	while (store_query_next(q, &rec) > 0) {
		n += store_query_lost(q);
		*ret_lost += store_query_lost(q);
		if (EV_ID_SENSOR(rec->id) == EV_CONTEXT) {
			++*ret_known;
			continue;
		}
		check_int(((const struct test_body *)(const void *)rec)->number, n);
		n++;
	}
	return n;
}

TEST(all_that_the_ring_had_is_recorded_across_segments)
{
	struct bench b = { 0 };
	char dir[64] = "";
	const struct settings_record settings = { .folder = dir, .size = 1ULL << 30, .segment = 100000 };
	__u64 known, lost;
	AUTO(recorder) r = NULL;
	auto_buf struct buf status = { .max = 4096 };

	require(bench_open(&b, 0, 16 << 20));
	(void)snprintf(dir, sizeof(dir), "%s", b.dir);
	require_ok(recorder_open(b.p, &settings, &r));
	b.records = 40000;
	wait_for_puts(&b);
	recorder_settle(r);
	recorder_free(take(r));
	recorder_status(NULL, &status);
	check_str(buf_text(&status), "null");
	check_int(read_all(b.dir, false, &known, &lost), 40000);
	check_int(lost, 0);
	check_int(known, 0);
	/* The first segment began before anything was known; nothing was lost, so no later one tells it again. */
	check_int(read_all(b.dir, true, &known, &lost), 40000);
	check_int(known, 0);
	/* A later segment can be read alone. */
	{
		char second[128];

		(void)snprintf(second, sizeof(second), "%s/00000000000000000002.shrike", b.dir);
		check(store_is_segment(second));
		const struct store_query_spec spec = { .with_known = true };
		AUTO(store) s = NULL;
		AUTO(store_query) q = NULL;
		const struct ev_head *rec;

		require_ok(store_open(second, &s));
		require_ok(store_query_open(s, &spec, &q));
		for (known = 0; store_query_next(q, &rec) > 0 && EV_ID_SENSOR(rec->id) == EV_CONTEXT;)
			known += rec->id == EV_KNOWN;
		check_int(known, 40);
	}
	bench_close(&b);
}

/* A disk that stops for a while: the writer's thread does not get to the ring. */
TEST(what_the_recorder_loses_is_counted_to_the_record)
{
	struct bench b = { 0 };
	char dir[64] = "";
	const struct settings_record settings = { .folder = dir, .size = 1ULL << 30, .segment = 64 << 20 };
	__u64 known, lost, n;
	AUTO(recorder) r = NULL;
	auto_buf struct buf status = { .max = 4096 };
	char want[64];

	require(bench_open(&b, 0, RAW_RING_BYTES_MIN));
	(void)snprintf(dir, sizeof(dir), "%s", b.dir);
	require_ok(recorder_open(b.p, &settings, &r));
	b.stop = true;
	(void)pthread_join(b.thread, NULL);
	/* Far more than the ring holds, at once. */
	for (__u64 i = 0; i < 50000; i++) {
		struct test_record rec;

		test_record_make(&rec, i);
		pipeline_put(b.p, &rec.head, NULL);
	}
	pipeline_batch(b.p, clock_boot_ns());
	(void)usleep(1300000);
	recorder_status(r, &status);
	recorder_settle(r);
	recorder_free(take(r));
	n = read_all(b.dir, false, &known, &lost);
	check_int(n, 50000);
	check(lost > 0);
	(void)snprintf(want, sizeof(want), "\"lost_ring\":%llu,", lost);
	check_has(buf_text(&status), want);
	require(!pthread_create(&b.thread, NULL, be_reader, &b));
	bench_close(&b);
}

/* ---- for a client ----------------------------------------------------------------------------------- */

static bool over_after_a_while(void *arg)
{
	return clock_boot_ns() - *(const __u64 *)arg > 300 * NS_PER_MS;
}

struct client {
	int fd;
	const char *path;
};

static void *save(void *arg)
{
	struct client *c = arg;
	auto_close int out = open(c->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	char bytes[65536];
	ssize_t n;

	while ((n = read(c->fd, bytes, sizeof(bytes))) > 0)
		if (write(out, bytes, (size_t)n) != n)
			break;
	return NULL;
}

TEST(a_client_gets_a_segment_of_what_it_asked_for)
{
	static const struct {
		const char *name;
		struct filter_spec filter;
		__u64 max;
		__u32 pid; /* that all have; 0: any */
	} rows[] = {
		{ .name = "everything" },
		{ .name = "ten", .max = 10 },
		{ .name = "one process", .filter = { .pid = 1003 }, .pid = 1003 },
		{ .name = "a condition", .filter = { .expr = "process.pid == 1003" }, .pid = 1003 },
		{ .name = "one process and below", .filter = { .pid = 1003, .descendants = true }, .pid = 1003 },
	};

	for_each_row (row, rows) {
		struct bench b = { 0 };
		__u64 began = clock_boot_ns();
		const struct capture_spec spec = {
			.filter = row->filter,
			.max_records = row->max,
			.is_over = over_after_a_while,
			.arg = &began,
		};
		const struct store_query_spec all = { 0 };
		AUTO(store) s = NULL;
		AUTO(store_query) q = NULL;
		const struct ev_head *rec;
		char path[96];
		int fds[2];
		struct client c;
		pthread_t thread;
		__u64 n = 0;

		require(bench_open(&b, 3000, 16 << 20));
		(void)snprintf(path, sizeof(path), "%s/got", b.dir);
		require(!pipe(fds));
		c = (struct client) { fds[0], path };
		require(!pthread_create(&thread, NULL, save, &c));
		wait_for_puts(&b);
		b.records = 6000;
		require_ok(recorder_capture(b.p, &spec, fds[1]));
		(void)close(fds[1]);
		(void)pthread_join(thread, NULL);
		(void)close(fds[0]);
		require_ok(store_open(path, &s));
		require_ok(store_query_open(s, &all, &q));
		for (; store_query_next(q, &rec) > 0; n++)
			check(!row->pid || rec->pid == row->pid);
		check(n > 0);
		if (row->max)
			check_int(n, row->max);
		bench_close(&b);
	}
}
