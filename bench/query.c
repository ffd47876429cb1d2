/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query - how fast `shrike query` looks through JSON lines on one core: four times the same 256 MiB, so 1 GiB that
 * are in the page cache. MB/s of the input, of CPU time; `share` is the part of the lines that match.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/err.h"
#include "hunt/hunt.h"

enum { TIMES = 4, FILE_BYTES = 256 << 20, ROUNDS = 2 };

static const struct {
	const char *name, *query;
} cases[] = {
	{ "query.rare", "process where process.name == \"needle\"" },
	{ "query.pattern", "process where process.command_line : \"*--needle=*\"" },
	{ "query.list",
	  "process where process.name in (\"needle\", \"ncat\", \"socat\", \"xmrig\") and user.id == \"0\"" },
	{ "query.sequence", "sequence by process.entity_id with maxspan=1m [process where process.name == \"needle\"] "
			    "[file where file.path : \"/etc/needle*\"]" },
	{ "query.each-line", "process where process.pid == 4242" },
};

static int write_file(FILE *f)
{
	static const char *const names[] = { "bash", "ls", "gcc", "python3", "systemd", "cron", "sshd", "grep" };
	size_t n = 0;

	for (unsigned i = 0; n < FILE_BYTES; i++) {
		const char *name = i % 50021 == 17 ? "needle" : names[i * 2654435761U >> 29];
		int len = fprintf(
			f,
			"{\"@timestamp\":\"2024-05-06T%02u:%02u:%02u.%06u000Z\",\"event\":{\"action\":\"exec\","
			"\"category\":[\"process\"],"
			"\"dataset\":\"process.exec\",\"kind\":\"event\",\"type\":[\"start\"]},\"host\":{\"os\":{"
			"\"type\":\"linux\"}},"
			"\"process\":{\"args\":[\"/usr/bin/%s\",\"-O2\",\"-c\",\"src/event/"
			"event%u.c\"],\"command_line\":"
			"\"/usr/bin/%s -O2 -c "
			"src/event/event%u.c%s\",\"entity_id\":\"e-%u\",\"executable\":\"/usr/bin/%s\","
			"\"name\":\"%s\",\"parent\":{\"name\":\"make\",\"pid\":4200},\"pid\":%u,\"working_directory\":"
			"\"/home/someone/code/shrike\"},\"user\":{\"id\":\"1000\",\"name\":\"someone\"}}\n",
			i / 3600000 % 24, i / 60000 % 60, i / 1000 % 60, i % 1000 * 1000, name, i, name, i,
			i % 50021 == 17 ? " --needle=1" : "", i / 2, name, name, i % 65536);

		if (len < 0)
			return err_sys(errno, "write the input");
		n += (size_t)len;
	}
	return fflush(f) ? err_sys(errno, "write the input") : 0;
}

static uint64_t cpu_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static int run(const char *query, const char *path, double *ret_rate, double *ret_share)
{
	struct hunt_options options = { .dialect = RULE_ELASTIC, .limit = UINT64_MAX };
	struct hunt_result result;
	struct hunt_stats stats;
	AUTO(schema) ecs = NULL;
	AUTO(hunt) h = NULL;
	uint64_t began;
	int r = schema_named("ecs", &ecs);

	options.schema = ecs;
	r = r < 0 ? r : hunt_new(&h);
	r = r < 0 ? r : hunt_add(h, query, strlen(query), &options);
	for (int i = 0; i < TIMES && r == 0; i++) {
		struct lines *l = NULL;

		r = lines_open(path, &l);
		r = r < 0 ? r : hunt_input(h, l);
	}
	began = cpu_ns();
	r = r ? r : hunt_run(h);
	if (r)
		return r < 0 ? r : err_new(-EINVAL, "the query is wrong: %s", query);
	hunt_stats(h, &stats);
	hunt_result(h, 0, &result);
	*ret_rate = (double)stats.bytes * 1e3 / (double)(cpu_ns() - began);
	*ret_share = (double)result.found / (double)stats.events;
	return 0;
}

int main(void)
{
	char path[] = "/var/tmp/shrike-bench-XXXXXX";
	int fd = mkstemp(path), r = 0;
	auto_file FILE *f = fd < 0 ? NULL : fdopen(fd, "w");

	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	if (!f || write_file(f) < 0) {
		err_print(stderr);
		(void)unlink(path);
		return 1;
	}
	for (size_t i = 0; i < countof(cases) && r == 0; i++) {
		double best = 0, rate = 0, share = 0;

		for (int round = 0; round < ROUNDS && r == 0; round++) {
			r = run(cases[i].query, path, &rate, &share);
			best = rate > best ? rate : best;
		}
		if (r == 0)
			printf("{\"name\":\"%s\",\"value\":%.0f,\"unit\":\"MB/s\",\"share\":%.6f}\n", cases[i].name,
			       best, share);
	}
	if (r < 0)
		err_print(stderr);
	(void)unlink(path);
	return r < 0;
}
