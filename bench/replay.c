/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay - how fast recordings and lines of JSON are replayed.
 *
 * A made-up host: of ten records one is a fork, a program that begins, or an end, and nine are files that are
 * opened and connections, by processes that live. The file is in the page cache. A rate is of the CPU time of the
 * thread that reads, keeps the context and feeds the shards: as fast as it goes where a shard has a processor of its
 * own. `wall` is by the clock on the wall, and `cpu` what a record costs all threads together.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/err.h"
#include "bench/bench.h"
#include "context/test_world.h"
#include "replay/replay.h"
#include "sensors/sensor.h"
#include "store/store.h"

enum { RECORDS = 2000000, LINES = 200000, ROUNDS = 5 };

static const struct store_origin origin = {
	.boot_id = "8f3c2a1b-9d4e-4f00-aaaa-bbbbccccdddd",
	.wall_minus_boot_ns = 1715000000000000000,
	.kernel = "made up",
	.host = "made up",
	.agent = "0",
};

static bool failed(void)
{
	err_print(stderr);
	return false;
}

static void put(void *writer, const struct ev_head *rec)
{
	(void)store_writer_put(writer, rec);
}

/* Of a kind that carries a path of some length, or of one that has only numbers. */
static const struct ev_head *plain(struct world *w, __u32 pid, unsigned i)
{
	static const char path[] = "/usr/lib/x86_64-linux-gnu/libexample.so.1.2.3";
	const struct event_kind *kind = event_kind_by_name(i % 3 ? "file.open" : "net.connect", i % 3 ? 9 : 11);
	struct world_record *r = world_record(w, pid, kind->id, kind->size);

	for (size_t f = 0; f < kind->n_fields && i % 3; f++)
		if (kind->fields[f].type == FT_STR) {
			struct ev_str s = { .off = r->head.len, .len = sizeof(path) - 1 };

			memcpy((char *)r + r->head.len, path, sizeof(path));
			memcpy((char *)r + kind->fields[f].off, &s, sizeof(s));
			r->head.len = (__u16)(r->head.len + sizeof(path));
			break;
		}
	r->head.class = EV_NORMAL;
	return &r->head;
}

static bool record(const char *path, size_t records)
{
	const struct store_writer_options o = { .path = path, .single_file = true, .segment_bytes = 1ULL << 40 };
	AUTO(store_writer) writer = NULL;
	static struct world w;

	if (store_writer_open(&o, &writer) < 0 || store_writer_begin(writer, &origin, "", 0) < 0)
		return failed();
	world_begin(&w, 1, put, writer);
	for (size_t i = 0; i < records && !bench_stopped(); i++) {
		__u32 pid = (__u32)(1 + i * 7 % (WORLD_PIDS - 1));

		while (!w.lives[pid].alive)
			pid = pid == WORLD_PIDS - 1 ? 1 : pid + 1;
		w.now += 500;
		if (i % 10 == 0)
			put(writer, world_step(&w));
		else
			put(writer, plain(&w, pid, (unsigned)i));
	}
	return true;
}

static bool write_line(void *arg, enum replay_what what, const char *line, size_t n)
{
	(void)what;
	return !arg || fwrite_unlocked(line, 1, n, arg) == n;
}

/* What a run took. */
struct took {
	double wall_s, thread_s, cpu_ns;
	__u64 n;
};

static bool run(const char *path, unsigned shards, bool count, FILE *to, struct took *ret_took)
{
	struct replay_options o = { .shards = shards, .count = count, .on_line = write_line, .arg = to };
	AUTO(replay) r = NULL;
	struct replay_stats stats;
	struct input_stats in;
	double began = wall_ns(), thread = cpu_thread_ns(), cpu = cpu_family_ns();

	if (option_defaults(context_option_rows, context_n_option_rows, &o.limits) < 0 || replay_open(&o, &r) < 0 ||
	    replay_file(r, path, &in) != 0 || replay_end(r) != 0)
		return failed();
	ret_took->wall_s = (wall_ns() - began) / 1e9;
	ret_took->thread_s = (cpu_thread_ns() - thread) / 1e9;
	ret_took->cpu_ns = cpu_family_ns() - cpu;
	replay_stats(r, &stats);
	ret_took->n = stats.shown;
	return true;
}

static bool measure(const char *path, const char *name, unsigned shards, bool count, double goal)
{
	struct samples rate = { 0 }, wall = { 0 }, cost = { 0 };

	for (int i = 0; i < ROUNDS && !bench_stopped(); i++) {
		struct took t;

		if (!run(path, shards, count, NULL, &t))
			return false;
		samples_add(&rate, (double)t.n / t.thread_s);
		samples_add(&wall, (double)t.n / t.wall_s);
		samples_add(&cost, t.cpu_ns / (double)t.n);
	}
	figure(&rate, "records/s", goal > 0 ? GOAL_AT_LEAST : GOAL_NONE, goal, "replay.%s.shards_%u", name, shards);
	figure(&wall, "records/s", GOAL_NONE, 0, "replay.%s.wall.shards_%u", name, shards);
	figure(&cost, "ns of CPU", GOAL_NONE, 0, "replay.%s.cpu.shards_%u", name, shards);
	return true;
}

/* What reading alone takes, of which a replay can be no faster. */
static bool measure_reading(const char *path)
{
	const struct store_query_spec all = { .with_known = true };
	struct samples rate = { 0 };
	const struct ev_head *rec;

	for (int i = 0; i < ROUNDS && !bench_stopped(); i++) {
		AUTO(store) store = NULL;
		AUTO(store_query) q = NULL;
		double cpu = cpu_thread_ns();
		size_t n = 0;

		if (store_open(path, &store) < 0 || store_query_open(store, &all, &q) < 0)
			return failed();
		while (store_query_next(q, &rec) == 1)
			n++;
		samples_add(&rate, (double)n / ((cpu_thread_ns() - cpu) / 1e9));
	}
	figure(&rate, "records/s", GOAL_NONE, 0, "replay.read");
	return true;
}

static bool measure_all(const char *folder)
{
	char recording[128], few[128], lines[128];
	struct took t;
	FILE *f;
	bool good;

	(void)snprintf(recording, sizeof(recording), "%s/recording", folder);
	(void)snprintf(few, sizeof(few), "%s/few", folder);
	(void)snprintf(lines, sizeof(lines), "%s/lines", folder);
	good = record(recording, RECORDS) && record(few, LINES) && measure_reading(recording) &&
	       measure(recording, "count", 1, true, 5e6) && measure(recording, "count", 2, true, 5e6) &&
	       measure(few, "json", 1, false, 0) && measure(few, "json", 2, false, 0);
	f = good ? fopen(lines, "we") : NULL;
	if (f) {
		good = run(few, 2, false, f, &t);
		(void)fclose(f);
	}
	good = good && f && measure(lines, "lines", 1, true, 0) && measure(lines, "lines", 2, true, 0);
	(void)unlink(recording);
	(void)unlink(few);
	(void)unlink(lines);
	return good;
}

int main(void)
{
	char folder[] = "/tmp/shrike-bench-replay-XXXXXX";
	bool good;

	bench_begin();
	(void)sensor_kinds_register();
	if (!mkdtemp(folder)) {
		perror("mkdtemp");
		return 1;
	}
	good = measure_all(folder);
	(void)rmdir(folder);
	return bench_end() || !good;
}
