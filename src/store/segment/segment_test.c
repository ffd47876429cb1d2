/* SPDX-License-Identifier: Apache-2.0 */
/* Recordings: what was written reads back, whatever happened to the file or the disk. */
#include "store/segment/segment.h"
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/test.h"
#include "store/segment/test_records.h"

/* A folder that is gone after the test. */
struct place {
	char dir[64], file[96];
};

static bool place_open(struct place *p)
{
	(void)snprintf(p->dir, sizeof(p->dir), "/tmp/shrike-segment.XXXXXX");
	if (!mkdtemp(p->dir))
		return false;
	(void)snprintf(p->file, sizeof(p->file), "%s/file", p->dir);
	test_kinds_register();
	return true;
}

static void place_close(struct place *p)
{
	char path[512];
	DIR *dir = opendir(p->dir);
	const struct dirent *e;

	while (dir && (e = readdir(dir))) {
		(void)snprintf(path, sizeof(path), "%s/%s", p->dir, e->d_name);
		if (e->d_name[0] != '.')
			(void)unlink(path);
	}
	if (dir)
		(void)closedir(dir);
	(void)rmdir(p->dir);
}
#define auto_place __attribute__((cleanup(place_close)))

static struct store_origin origin = { .boot_id = "11111111-2222-3333-4444-555555555555",
				      .wall_minus_boot_ns = 1700000000000000000,
				      .kernel = "6.1.0-test",
				      .host = "somewhere",
				      .agent = "0" };

static int put_range(struct store_writer *w, __u64 from, __u64 to, __u64 block)
{
	struct test_record rec;
	int r = 0;

	for (__u64 i = from; i < to && r == 0; i++) {
		if (block && i % block == 0)
			store_writer_flush(w);
		test_record_make(&rec, i);
		r = store_writer_put(w, &rec.head);
	}
	return r;
}

static int write_file(const char *path, __u64 records, __u64 block)
{
	const struct store_writer_options options = { .path = path, .single_file = true };
	AUTO(store_writer) w = NULL;
	int r = store_writer_open(&options, &w);

	if (r == 0)
		r = store_writer_begin(w, &origin, NULL, 0);
	return r == 0 ? put_range(w, 0, records, block) : r;
}

/* How many records, in order from `first`, a recording has. -1: some are not what was put. */
static long long read_back(const char *path, __u64 first, struct store_query_stats *ret_stats)
{
	const struct store_query_spec spec = { 0 };
	AUTO(store) s = NULL;
	AUTO(store_query) q = NULL;
	const struct ev_head *rec;
	struct test_record want;
	long long n = 0;
	int r = store_open(path, &s);

	if (r == 0)
		r = store_query_open(s, &spec, &q);
	if (r < 0)
		return r;
	while ((r = store_query_next(q, &rec)) > 0) {
		test_record_make(&want, first + (__u64)n);
		if (rec->len != want.head.len || memcmp(rec, &want, rec->len) != 0)
			return -1;
		n++;
	}
	store_query_stats(q, ret_stats);
	return r < 0 ? r : n;
}

TEST(a_recording_reads_back)
{
	auto_place struct place p = { 0 };
	struct store_query_stats stats;
	struct store_summary sum;
	AUTO(store) s = NULL;

	require(place_open(&p));
	require_ok(write_file(p.file, 20000, 0));
	check_int(read_back(p.file, 0, &stats), 20000);
	check_int(stats.torn_bytes, 0);
	check_int(stats.refused, 0);
	check(store_is_segment(p.file));
	require_ok(store_open(p.file, &s));
	store_summary(s, &sum);
	check_int(sum.records, 20000);
	check_int(sum.segments, 1);
	check_str(sum.origin.kernel, "6.1.0-test");
	check_str(sum.origin.host, "somewhere");
	check_str(sum.origin.boot_id, origin.boot_id);
	check_int(sum.first_ns / 1000000, (origin.wall_minus_boot_ns + 1000000000) / 1000000);
	check_int(write_file(p.file, 1, 0), -EEXIST);
}

TEST(whole_blocks_read_back_wherever_the_file_is_cut)
{
	auto_place struct place p = { 0 };
	struct store_query_stats stats;
	auto_close int fd = -1;
	struct stat st;
	long long last = 0;

	enum { RECORDS = 60, BLOCK = 10 };

	require(place_open(&p));
	require_ok(write_file(p.file, RECORDS, BLOCK));
	fd = open(p.file, O_RDWR | O_CLOEXEC);
	require(fd >= 0 && !fstat(fd, &st));
	check_int(read_back(p.file, 0, &stats), RECORDS);
	last = RECORDS;
	for (off_t size = st.st_size - 1; size >= 0; size--) {
		long long n;

		require(!ftruncate(fd, size));
		n = read_back(p.file, 0, &stats);
		if (n == -EBADMSG) {
			/* Not even the head of the file. */
			check_int(last, 0);
			continue;
		}
		if (n < 0 || n % BLOCK != 0 || n > last || n < last - BLOCK)
			test_fail(T_HERE, "cut to %lld bytes: %lld records", (long long)size, n);
		check(n == last || stats.torn_bytes > 0);
		last = n;
	}
}

TEST(a_writer_that_is_killed_leaves_whole_blocks)
{
	auto_place struct place p = { 0 };
	struct store_query_stats stats;
	int status;
	pid_t pid;

	require(place_open(&p));
	for (int i = 0; i < 5; i++) {
		long long n;

		(void)unlink(p.file);
		pid = fork();
		if (pid == 0) {
			(void)write_file(p.file, 100000000, 100);
			_exit(0);
		}
		require(pid > 0);
		(void)usleep((useconds_t)(20000 + 7000 * i));
		(void)kill(pid, SIGKILL);
		require(waitpid(pid, &status, 0) == pid);
		n = read_back(p.file, 0, &stats);
		check(n >= 0 || n == -ENOENT);
		check(n <= 0 || n % 100 == 0);
	}
}

TEST(a_damaged_block_is_left_out_and_its_records_count_as_lost)
{
	const struct store_query_spec spec = { 0 };
	auto_place struct place p = { 0 };
	AUTO(store) s = NULL;
	AUTO(store_query) q = NULL;
	struct store_query_stats stats;
	const struct ev_head *rec;
	struct segment f;
	__u64 at, n = 0;
	auto_close int fd = -1;
	char byte;

	require(place_open(&p));
	require_ok(write_file(p.file, 300, 100));
	require_ok(segment_open(p.file, &f));
	require(segment_next(&f) && segment_next(&f));
	at = f.block_at + sizeof(f.block) + f.block.heads_size + 5;
	segment_close(&f);
	fd = open(p.file, O_RDWR | O_CLOEXEC);
	require(pread(fd, &byte, 1, (off_t)at) == 1);
	byte ^= 1;
	require(pwrite(fd, &byte, 1, (off_t)at) == 1);
	require_ok(store_open(p.file, &s));
	require_ok(store_query_open(s, &spec, &q));
	for (; store_query_next(q, &rec) > 0; n++) {
		check_int(((const struct test_body *)(const void *)rec)->number, n < 100 ? n : n + 100);
		check_int(store_query_lost(q), n == 100 ? 100 : 0);
	}
	check_int(n, 200);
	store_query_stats(q, &stats);
	check_int(stats.damaged, 1);
	check_int(stats.lost, 100);
}

TEST(what_is_no_recording_is_refused)
{
	auto_place struct place p = { 0 };
	struct store_query_stats stats;
	auto_close int fd = -1;

	require(place_open(&p));
	check_int(read_back("/nowhere/at-all", 0, &stats), -ENOENT);
	check_int(read_back("/dev/null", 0, &stats), -EBADMSG);
	fd = open(p.file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	require(write(fd, "{\"event\":1}\n", 12) == 12);
	check_int(read_back(p.file, 0, &stats), -EBADMSG);
	check_has(err_trail(), "is no recording");
	check(!store_is_segment(p.file));
	/* An empty folder is a recording of nothing. */
	check_int(read_back(p.dir, 0, &stats), 0);
}

TEST(a_format_of_tomorrow_is_named)
{
	auto_place struct place p = { 0 };
	struct store_query_stats stats;
	auto_close int fd = -1;
	__u32 version = 7;

	require(place_open(&p));
	require_ok(write_file(p.file, 10, 0));
	fd = open(p.file, O_RDWR | O_CLOEXEC);
	require(pwrite(fd, &version, 4, offsetof(struct segment_head, version)) == 4);
	check_int(read_back(p.file, 0, &stats), -EBADMSG);
	check_has(err_trail(), "the format 7");
}

/* ---- folders ------------------------------------------------------------------------------------- */

/* Puts records, with a new segment whenever the writer wants one. */
static int put_folder(struct store_writer *w, __u64 from, __u64 to)
{
	int r = 0;

	for (__u64 i = from; i < to && r == 0; i += 100) {
		if (store_writer_wants_segment(w))
			r = store_writer_begin(w, &origin, NULL, 0);
		if (r == 0)
			r = put_range(w, i, i + 100 < to ? i + 100 : to, 0);
	}
	return r;
}

TEST(a_folder_of_segments_reads_as_one)
{
	auto_place struct place p = { 0 };
	const struct store_writer_options options = { .path = p.dir, .segment_bytes = 100000 };
	AUTO(store_writer) w = NULL;
	AUTO(store_writer) second = NULL;
	struct store_query_stats stats;
	struct store_writer_stats ws;

	require(place_open(&p));
	require_ok(store_writer_open(&options, &w));
	check_int(store_writer_open(&options, &second), -EBUSY);
	require_ok(put_folder(w, 0, 50000));
	store_writer_stats(w, &ws);
	check(ws.segments > 3);
	check_int(ws.records, 50000);
	store_writer_free(take(w));
	check_int(read_back(p.dir, 0, &stats), 50000);
	/* The next writer goes on behind the last segment. */
	require_ok(store_writer_open(&options, &w));
	require_ok(put_folder(w, 50000, 60000));
	store_writer_free(take(w));
	check_int(read_back(p.dir, 0, &stats), 60000);
}

/* Those before the range are passed over by what the next one says of itself, whatever the age of what was known. */
TEST(a_range_of_time_is_found_in_its_segment)
{
	auto_place struct place p = { 0 };
	const struct store_writer_options options = { .path = p.dir };
	AUTO(store_writer) w = NULL;
	AUTO(store) s = NULL;
	struct ev_head known = { .time_ns = 5, .id = EV_TEST, .len = sizeof(known) };
	__u64 boot = clock_boot_ns();

	require(place_open(&p));
	require_ok(store_writer_open(&options, &w));
	for (__u64 i = 0; i < 4; i++) {
		struct test_record rec;

		require_ok(store_writer_begin(w, &origin, &known, sizeof(known)));
		test_record_make(&rec, i);
		/* A day apart, and all of them to come: what counts is what was put, not when. */
		rec.head.time_ns = boot + (i + 1) * 86400 * NS_PER_S;
		require_ok(store_writer_put(w, &rec.head));
	}
	store_writer_free(take(w));
	require_ok(store_open(p.dir, &s));
	for (__u64 i = 0; i < 4; i++) {
		const __s64 at = origin.wall_minus_boot_ns + (__s64)(boot + (i + 1) * 86400 * NS_PER_S);
		const struct store_query_spec spec = { .from_ns = at - 1000, .to_ns = at + 1000 };
		AUTO(store_query) q = NULL;
		struct store_query_stats stats;
		const struct ev_head *rec;

		require_ok(store_query_open(s, &spec, &q));
		require(store_query_next(q, &rec) == 1);
		check_int(((const struct test_body *)(const void *)rec)->number, i);
		check_int(store_query_next(q, &rec), 0);
		store_query_stats(q, &stats);
		/* A block of what was known and one of records each, and none of the segments long before. */
		check_int(stats.blocks, 2 * (4 - i));
	}
}

TEST(the_oldest_segments_go_when_the_folder_is_full)
{
	auto_place struct place p = { 0 };
	const struct store_writer_options options = { .path = p.dir, .segment_bytes = 50000, .max_bytes = 600000 };
	AUTO(store_writer) w = NULL;
	struct store_query_stats stats;
	struct store_writer_stats ws;
	struct store_summary sum;
	AUTO(store) s = NULL;

	require(place_open(&p));
	require_ok(store_writer_open(&options, &w));
	require_ok(put_folder(w, 0, 200000));
	store_writer_stats(w, &ws);
	check(ws.removed > 0);
	store_writer_free(take(w));
	require_ok(store_open(p.dir, &s));
	store_summary(s, &sum);
	check(sum.bytes <= 600000);
	check(sum.bytes > 300000);
	/* What is left are the newest, in order and without a gap. */
	check_int(read_back(p.dir, 200000 - sum.records, &stats), (long long)sum.records);
}

TEST(segments_go_by_their_age)
{
	auto_place struct place p = { 0 };
	const struct store_writer_options options = { .path = p.dir,
						      .segment_bytes = 50000,
						      .max_age_ns = 3600000000000 };
	AUTO(store_writer) w = NULL;
	struct store_writer_stats ws;
	struct timespec old[2] = { { .tv_sec = time(NULL) - 7200 }, { .tv_sec = time(NULL) - 7200 } };
	char name[SEGMENT_NAME_MAX], path[256];

	require(place_open(&p));
	require_ok(store_writer_open(&options, &w));
	require_ok(put_folder(w, 0, 30000));
	store_writer_stats(w, &ws);
	check_int(ws.removed, 0);
	segment_name(1, name);
	(void)snprintf(path, sizeof(path), "%s/%s", p.dir, name);
	require(!utimensat(AT_FDCWD, path, old, 0));
	store_writer_flush(w);
	store_writer_stats(w, &ws);
	check_int(ws.removed, 1);
	check(access(path, F_OK) != 0);
}

TEST(what_was_lost_stands_before_the_record_after_it)
{
	auto_place struct place p = { 0 };
	const struct store_writer_options options = { .path = p.file, .single_file = true };
	const struct store_query_spec spec = { 0 };
	AUTO(store_writer) w = NULL;
	AUTO(store) s = NULL;
	AUTO(store_query) q = NULL;
	const struct ev_head *rec;
	__u64 n = 0;

	require(place_open(&p));
	require_ok(store_writer_open(&options, &w));
	require_ok(store_writer_begin(w, &origin, NULL, 0));
	require_ok(put_range(w, 0, 50, 0));
	store_writer_lost(w, 7);
	store_writer_lost(w, 3);
	require_ok(put_range(w, 60, 90, 0));
	store_writer_free(take(w));
	require_ok(store_open(p.file, &s));
	require_ok(store_query_open(s, &spec, &q));
	for (; store_query_next(q, &rec) > 0; n++)
		check_int(store_query_lost(q), n == 50 ? 10 : 0);
	check_int(n, 80);
}

/* ---- a disk that is full ----------------------------------------------------------------------------- */

TEST(a_full_disk_is_counted_and_survived)
{
	auto_place struct place p = { 0 };
	const struct store_writer_options options = { .path = p.file, .single_file = true };
	AUTO(store_writer) w = NULL;
	struct store_writer_stats ws;
	struct store_query_stats stats;
	struct rlimit before, little;
	const struct store_query_spec spec = { 0 };
	AUTO(store) s = NULL;
	AUTO(store_query) q = NULL;
	const struct ev_head *rec;
	__u64 n = 0, lost = 0;

	require(place_open(&p));
	require(!getrlimit(RLIMIT_FSIZE, &before));
	/* The bound of a file's size fails a write as a full disk does: some bytes, then none. */
	(void)signal(SIGXFSZ, SIG_IGN);
	little = before;
	little.rlim_cur = 300000;
	require_ok(store_writer_open(&options, &w));
	require_ok(store_writer_begin(w, &origin, NULL, 0));
	require(!setrlimit(RLIMIT_FSIZE, &little));
	check_int(put_range(w, 0, 30000, 1000), 0);
	store_writer_stats(w, &ws);
	require(!setrlimit(RLIMIT_FSIZE, &before));
	check(ws.lost_full > 0);
	check_int(ws.last_error, EFBIG);
	/* There is room again. */
	check_int(put_range(w, 30000, 30500, 0), 0);
	store_writer_free(take(w));
	require_ok(store_open(p.file, &s));
	require_ok(store_query_open(s, &spec, &q));
	/* What is missing is missing exactly where the recording says so. */
	for (; store_query_next(q, &rec) > 0; n++) {
		lost += store_query_lost(q);
		check_int(((const struct test_body *)(const void *)rec)->number, n + lost);
	}
	store_query_stats(q, &stats);
	check_int(stats.torn_bytes, 0);
	check_int(stats.damaged, 0);
	check_int(lost, ws.lost_full);
	check_int(n + lost, 30500);
}
