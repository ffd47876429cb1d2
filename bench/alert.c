/* SPDX-License-Identifier: Apache-2.0 */
/*
 * alert - what an alert costs: to make, to fold, to store, to write to the log.
 *
 * Of a program that begins, four processes below the first, as a rule of two events finds it: 3 kB of JSON. What is
 * stored and written is counted once it is in the file, at the pace of the queue: nothing is lost.
 */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "alert/alert.h"
#include "base/clock.h"
#include "base/err.h"
#include "event/json_event.h"
#include "senders/sender.h"

extern const struct sender sender_log;

enum { ROUNDS = 5, MADE = 20000, STORED = 100000 };

static const char line[] =
	"{\"@timestamp\":\"2024-05-06T07:08:09.123456789Z\",\"event\":{\"action\":\"exec\",\"category\":[\"process\"],"
	"\"dataset\":\"process.exec\",\"kind\":\"event\",\"module\":\"process\",\"type\":[\"start\"]},\"group\":{"
	"\"id\":1000},"
	"\"process\":{\"args\":[\"/usr/bin/cc\",\"-O2\",\"-g\",\"-Wall\",\"-c\",\"event.c\",\"-o\",\"event.o\"],"
	"\"ancestors\":{\"entity_id\":[\"8f3c2a1b9d4e4f00-100-1\",\"8f3c2a1b9d4e4f00-10-1\",\"8f3c2a1b9d4e4f00-1-1\"],"
	"\"executable\":[\"/usr/bin/make\",\"/usr/bin/bash\",\"/usr/sbin/"
	"init\"],\"name\":[\"make\",\"bash\",\"init\"]},"
	"\"args_count\":8,\"entity_id\":\"8f3c2a1b9d4e4f00-4242-123456789\",\"executable\":\"/usr/bin/"
	"cc\",\"name\":\"cc\","
	"\"parent\":{\"pid\":4200,\"name\":\"make\"},\"pid\":4242,\"thread\":{\"id\":4242},"
	"\"working_directory\":\"/home/someone/code\"},\"user\":{\"id\":1000,\"name\":\"someone\"},"
	"\"shrike\":{\"boot_ns\":123456789012345,\"class\":\"critical\",\"cpu\":1}}";

static bool event_at(const struct finding *f, size_t i, struct event *ret_event)
{
	(void)i;
	*ret_event = *f->event;
	return true;
}

static double cpu_s(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void tell(const char *name, double value, const char *unit)
{
	printf("{\"name\":\"%s\",\"value\":%.0f,\"unit\":\"%s\"}\n", name, value, unit);
	(void)fflush(stdout);
}

static int make_many(struct alert_maker *m, const struct finding *f, struct alert *a)
{
	double best = 0;

	for (int round = 0; round < ROUNDS; round++) {
		const double began = cpu_s();
		double ns;

		for (int i = 0; i < MADE; i++)
			if (alert_make(m, f, a) != ALERT_MADE)
				return err_new(-EINVAL, "no alert was made");
		ns = (cpu_s() - began) / MADE * 1e9;
		best = round && best < ns ? best : ns;
	}
	tell("alert.make", best, "ns");
	tell("alert.bytes", (double)a->body_n, "bytes");
	return 0;
}

/* As in a flood: of many keys, most of them known. */
static int fold_many(struct alert a)
{
	AUTO(alert_folds) folds = NULL;
	double best = 0;
	int r = alert_folds_open(ALERT_FOLDS_MAX, &folds);

	if (r < 0)
		return r;
	a.fold_ns = 60 * NS_PER_S;
	for (int round = 0; round < ROUNDS; round++) {
		const double began = cpu_s();
		double ns;

		for (uint32_t i = 0; i < 1000000; i++) {
			const uint32_t key = i * 2654435761U % 10000;

			memcpy(a.fold_key, &key, sizeof(key));
			a.time_ns += 1000;
			(void)alert_folds_pass(folds, &a);
		}
		ns = (cpu_s() - began) / 1000000 * 1e9;
		best = round && best < ns ? best : ns;
	}
	tell("alert.fold", best, "ns");
	return 0;
}

static void name_it(struct alert *a, unsigned n)
{
	/* Ids come in no order. */
	(void)snprintf(a->id, sizeof(a->id), "%08x%024x", n * 2654435761U, n);
}

static int store_many(const char *folder, struct alert a)
{
	AUTO(alerts) store = NULL;
	struct alerts_stats stats;
	char path[128];
	uint64_t began;
	double cpu;
	int r;

	(void)snprintf(path, sizeof(path), "%s/alerts.db", folder);
	r = alerts_open(&(struct alerts_options) { .path = path }, &store);
	if (r < 0)
		return r;
	began = clock_mono_ns();
	cpu = cpu_s();
	for (unsigned i = 0; i < STORED; i++) {
		name_it(&a, i);
		a.time_ns += 1000;
		/* Who has to wait here would have lost it. */
		while (!alerts_put(store, &a))
			clock_sleep_ns(NS_PER_MS);
	}
	alerts_flush(store);
	alerts_stats(store, &stats);
	if (stats.stored != STORED)
		return err_new(-EIO, "%" PRIu64 " alerts of %d were stored: %s", stats.stored, STORED, stats.error);
	tell("alert.store", STORED / ((double)(clock_mono_ns() - began) / 1e9), "1/s");
	tell("alert.store.cpu", STORED / (cpu_s() - cpu), "1/s of CPU time");
	return 0;
}

static int log_many(const char *folder, struct alert a)
{
	auto_free void *options = calloc(1, sender_log.options_size);
	void *state = NULL;
	char path[128];
	uint64_t began;
	int r = options ? option_defaults(sender_log.options, sender_log.n_options, options) : -ENOMEM;

	(void)snprintf(path, sizeof(path), "%s/alerts.jsonl", folder);
	for (size_t i = 0; r == 0 && i < sender_log.n_options; i++)
		if (!strcmp(sender_log.options[i].name, "path"))
			r = option_set(&sender_log.options[i], path, options);
	if (r == 0)
		r = sender_log.open(&state, options);
	if (r < 0)
		return r;
	began = clock_mono_ns();
	for (unsigned i = 0; i < STORED; i++) {
		name_it(&a, i);
		while (!sender_log.put(state, &a))
			clock_sleep_ns(NS_PER_MS);
	}
	sender_log.close(state);
	tell("alert.log", STORED / ((double)(clock_mono_ns() - began) / 1e9), "1/s");
	options_clear(sender_log.options, sender_log.n_options, options);
	return 0;
}

static int measure(const char *folder)
{
	static const struct value key = { .type = VALUE_UINT, .u = 4242 };
	struct alert_defaults defaults;
	AUTO(alert_maker) m = NULL;
	auto_json_event struct json_event je;
	struct event ev;
	struct finding f = {
		.rule = "bench", .severity = 50, .event_at = event_at, .n_events = 2, .keys = &key, .n_keys = 1
	};
	struct alert a;
	int r = alert_defaults_usual(&defaults);

	json_event_init(&je, false);
	if (r == 0)
		r = alert_maker_open(&defaults, "here", &m);
	if (r == 0)
		r = json_event_parse(&je, line, sizeof(line) - 1);
	if (r < 0)
		return r;
	ev = json_event_as_event(&je);
	f.event = &ev;
	r = make_many(m, &f, &a);
	if (r == 0)
		r = fold_many(a);
	if (r == 0)
		r = store_many(folder, a);
	return r < 0 ? r : log_many(folder, a);
}

int main(void)
{
	char folder[] = "/tmp/shrike-bench-alert-XXXXXX";
	auto_dir DIR *dir = NULL;
	int r;

	if (!mkdtemp(folder))
		return 1;
	r = measure(folder);
	if (r < 0)
		err_print(stderr);
	dir = opendir(folder);
	for (struct dirent *d; dir && (d = readdir(dir));)
		if (d->d_name[0] != '.')
			(void)unlinkat(dirfd(dir), d->d_name, 0);
	(void)rmdir(folder);
	return r < 0;
}
