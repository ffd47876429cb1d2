/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segment - recordings: how fast they are written and read, how small they are, and how soon a question is answered.
 *
 * The records are real: the agent records what a shell does in the sandbox that lists, searches, copies and compiles
 * files. They are then written again and again, each time later and by other processes, until there are enough of
 * them. Rates are by the CPU time of the thread; the file is in the page cache.
 */
#include <stdalign.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/test.h"
#include "bench/bench.h"
#include "context/context.h"
#include "sensors/sensor.h"
#include "store/store.h"

enum { RECORDS = 10000000, ROUNDS = 5, QUERIES = 15, POOL_MAX = 256 << 20, WORK_S = 60 };

static struct buf pool; /* records, padded to 8 */
static size_t n_pool;
static __u64 pool_first_ns, pool_last_ns;

/* ---- real activity --------------------------------------------------------------------------------- */

static int work(const struct sandbox *sb, void *arg)
{
	static char script[] =
		"cd \"$1\" && mkdir -p w && cd w && i=0; "
		"while [ $i -lt 200 ]; do i=$((i+1)); mkdir d$i; "
		"for n in one two three $i; do echo $i$n >d$i/$n.txt; cat d$i/$n.txt | tr a-z A-Z | cut -c1-3 "
		">d$i/$n.out; done; "
		"ls -l d$i | wc -l >/dev/null; mv d$i/one.txt d$i/first-$i.txt; cp d$i/two.txt d$i/second; chmod 600 "
		"d$i/second; "
		"grep -rc $i d$i | sort | uniq -c | head -n 2 >/dev/null; id -u >/dev/null; date >d$i/when; "
		"[ $((i % 10)) -ne 0 ] || { "
		"printf '#include <stdio.h>\\n#include <stdlib.h>\\nint main(void){return puts(\"%s\");}\\n' $i "
		">a$i.c; "
		"cc -O1 -o a$i a$i.c && ./a$i >/dev/null; tar cf $i.tar d$i && tar tf $i.tar >/dev/null; }; "
		"done; find /usr/include -name 'std*' >/dev/null; rm -rf d*; true";

	(void)arg;
	bench_child(WORK_S);
	(void)execl("/bin/sh", "sh", "-c", script, "sh", sb->dir, NULL);
	return 127;
}

static bool record(const struct sandbox *sb, const char *folder)
{
	char set[160];
	const char *extra[] = { "--set", "record.enabled=true", "--set", set, NULL };
	struct e2e a;
	bool good;

	(void)snprintf(set, sizeof(set), "record.folder=%s", folder);
	if (!agent_up(&a, sb, extra))
		return false;
	good = sandbox_run(sb, work, NULL) == 0;
	bench_sleep_ms(1500);
	agent_down(&a);
	return good;
}

static bool load(const char *folder)
{
	static const char zeros[8];
	const struct store_query_spec all = { 0 };
	AUTO(store) s = NULL;
	AUTO(store_query) q = NULL;
	const struct ev_head *rec;

	if (store_open(folder, &s) < 0 || store_query_open(s, &all, &q) < 0)
		return false;
	while (store_query_next(q, &rec) > 0 && pool.len < POOL_MAX) {
		if (!n_pool)
			pool_first_ns = rec->time_ns;
		pool_last_ns = rec->time_ns;
		buf_add(&pool, rec, rec->len);
		buf_add(&pool, zeros, -(size_t)rec->len % 8);
		n_pool++;
	}
	return n_pool > 1000;
}

/* ---- writing ----------------------------------------------------------------------------------------- */

/* Writes n records: the pool over and over, each time later. Returns the CPU time. */
static double write_records(const char *path, size_t n, struct store_writer_stats *ret_stats)
{
	const struct store_writer_options options = { .path = path, .single_file = true };
	static alignas(8) unsigned char copy[EV_LEN_MAX];
	struct ev_head *rec = (struct ev_head *)(void *)copy;
	struct store_origin origin;
	AUTO(store_writer) w = NULL;
	double began, spent = 0;
	__u64 shift = 0;
	__u32 pids = 0;

	store_origin_here(&origin);
	(void)unlink(path);
	if (store_writer_open(&options, &w) < 0 || store_writer_begin(w, &origin, NULL, 0) < 0) {
		(void)fprintf(stderr, "bench: %s\n", err_trail());
		return 0;
	}
	began = cpu_thread_ns();
	for (size_t at = 0; n && !bench_stopped(); n--) {
		memcpy(copy, pool.data + at, ((const struct ev_head *)(const void *)(pool.data + at))->len);
		rec->time_ns += shift;
		rec->pid += pids;
		rec->tid += pids;
		(void)store_writer_put(w, rec);
		at += (rec->len + 7UL) & ~7UL;
		if (at < pool.len)
			continue;
		at = 0;
		shift += pool_last_ns - pool_first_ns + 1000000;
		pids += 5000;
	}
	store_writer_flush(w);
	spent = cpu_thread_ns() - began;
	store_writer_stats(w, ret_stats);
	return spent;
}

static void bench_write(const char *path)
{
	struct samples rate = { 0 }, size = { 0 }, raw = { 0 }, once = { 0 }, n = { 0 };
	struct store_writer_stats stats;

	/* What is written again packs better than what is new: the size is that of the first time. */
	if (write_records(path, n_pool, &stats) > 0)
		samples_add(&once, (double)stats.written_bytes / (double)n_pool);
	samples_add(&n, (double)n_pool);

	for (int i = 0; i < ROUNDS && !bench_stopped(); i++) {
		double ns = write_records(path, 500000, &stats);

		samples_add(&rate, 500000 / ns * 1e9);
		samples_add(&size, (double)stats.written_bytes / 500000);
		samples_add(&raw, (double)stats.record_bytes / 500000);
	}
	figure(&rate, "records/s", GOAL_AT_LEAST, 3e6, "segment/write");
	figure(&raw, "bytes", GOAL_NONE, 0, "segment/bytes_in_memory");
	figure(&once, "bytes", GOAL_AT_MOST, 20, "segment/bytes_on_disk");
	figure(&n, "records", GOAL_NONE, 0, "segment/recorded");
	figure(&size, "bytes", GOAL_NONE, 0, "segment/bytes_on_disk_repeated");
}

/* ---- reading ------------------------------------------------------------------------------------------- */

static double ask(struct store *s, const struct store_query_spec *spec, __u64 *ret_n,
		  struct store_query_stats *ret_stats)
{
	AUTO(store_query) q = NULL;
	double began = wall_ns();

	*ret_n = 0;
	if (store_query_open(s, spec, &q) < 0 || store_query_count(q, ret_n) < 0)
		(void)fprintf(stderr, "bench: %s\n", err_trail());
	if (q)
		store_query_stats(q, ret_stats);
	return wall_ns() - began;
}

static void bench_read(const char *path)
{
	struct samples point = { 0 }, range = { 0 }, scan = { 0 }, answers = { 0 }, blocks = { 0 };
	struct store_query_stats stats;
	struct store_query_spec spec = { 0 };
	struct store_summary sum;
	AUTO(store) s = NULL;
	__u64 n;

	if (store_open(path, &s) < 0)
		return;
	store_summary(s, &sum);
	/* A process of the middle, known by nothing but its pid; then the same within a tenth of the time. */
	for (int i = 0; i < QUERIES && !bench_stopped(); i++) {
		__s64 length = (sum.last_ns - sum.first_ns) / 10;
		__u32 round = (__u32)(RECORDS / n_pool / 2);
		const struct ev_head *rec = (const struct ev_head *)(const void *)pool.data;

		for (size_t at = 0, k = 0; k < n_pool / (size_t)(i + 2); k++) {
			rec = (const struct ev_head *)(const void *)(pool.data + at);
			at += (rec->len + 7UL) & ~7UL;
		}
		spec = (struct store_query_spec) { .filter = { .pid = rec->pid + round * 5000 } };
		samples_add(&point, ask(s, &spec, &n, &stats) / 1e6);
		spec.from_ns = sum.first_ns + (sum.last_ns - sum.first_ns) / 2 - length / 2;
		spec.to_ns = spec.from_ns + length;
		samples_add(&range, ask(s, &spec, &n, &stats) / 1e6);
		samples_add(&answers, (double)n);
		samples_add(&blocks, (double)stats.blocks_read);
	}
	spec = (struct store_query_spec) { 0 };
	for (int i = 0; i < 3 && !bench_stopped(); i++) {
		double began = cpu_thread_ns();

		(void)ask(s, &spec, &n, &stats);
		samples_add(&scan, (double)n / (cpu_thread_ns() - began) * 1e9);
	}
	figure(&point, "ms", GOAL_NONE, 0, "segment/query_pid_of_10M");
	figure(&range, "ms", GOAL_AT_MOST, 100, "segment/query_pid_and_time_of_10M");
	figure(&answers, "records", GOAL_NONE, 0, "segment/query_answers");
	figure(&blocks, "blocks", GOAL_NONE, 0, "segment/query_blocks_read");
	figure(&scan, "records/s", GOAL_AT_LEAST, 5e6, "segment/read_all");
}

static void remove_folder(const char *folder)
{
	char path[512];
	DIR *dir = opendir(folder);
	const struct dirent *e;

	while (dir && (e = readdir(dir)))
		if (e->d_name[0] != '.' && snprintf(path, sizeof(path), "%s/%s", folder, e->d_name) < (int)sizeof(path))
			(void)unlink(path);
	if (dir)
		(void)closedir(dir);
	(void)rmdir(folder);
}

int main(void)
{
	auto_sandbox struct sandbox sb = { 0 };
	struct store_writer_stats stats;
	char folder[96], path[96];

	bench_begin();
	(void)sensor_kinds_register();
	buf_init(&pool, POOL_MAX + EV_LEN_MAX);
	if (!sandbox_open(&sb, SANDBOX_PLAIN))
		return bench_end();
	(void)snprintf(folder, sizeof(folder), "%s/recording", sb.dir);
	(void)snprintf(path, sizeof(path), "%s/segment", sb.dir);
	if (record(&sb, folder) && load(folder)) {
		bench_write(path);
		if (!bench_stopped() && write_records(path, RECORDS, &stats) > 0)
			bench_read(path);
	} else {
		(void)fprintf(stderr, "bench: nothing was recorded: %s\n", err_trail());
	}
	(void)unlink(path);
	remove_folder(folder);
	buf_free(&pool);
	return bench_end();
}
