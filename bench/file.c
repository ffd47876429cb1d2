/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file - what the file sensor costs: a system call more, an open and close more, and each hook's programs.
 *
 * Rounds without and with the sensor take turns, so that both meet the same neighbours; the figures are
 * medians. Acts only in a sandbox of its own. Needs root.
 */
#include <bpf/bpf.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/mem.h"
#include "base/test.h"
#include "sensors/file/file.event.h"
#include "tests/sandbox/observe.h"

enum { ROUNDS = 7, TIMES = 3000 };

extern const struct sensor sensor_file;
const char *test_row;
static char options[1024] __attribute__((aligned(8)));

void test_fail(const char *where, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)fprintf(stderr, "%s: ", where);
	(void)vfprintf(stderr, fmt, ap);
	(void)fputc('\n', stderr);
	va_end(ap);
}

void test_skip(const char *reason_id)
{
	(void)fprintf(stderr, "skipped: %s\n", reason_id);
}

enum act { ACT_GETPPID, ACT_OPEN_WRITE, ACT_OPEN_READ, ACT_COUNT };

static const char *const act_names[] = { "getppid", "open-write-close", "open-read-close" };

struct turn {
	enum act act;
	double *ns; /* shared with the child */
};

static int take_turn(const struct sandbox *sb, void *arg)
{
	const struct turn *t = arg;
	char path[100];
	uint64_t began;

	(void)snprintf(path, sizeof(path), "%s/file", sb->dir);
	began = clock_boot_ns();
	for (int i = 0; i < TIMES; i++) {
		if (t->act == ACT_GETPPID)
			(void)syscall(SYS_getppid);
		else
			(void)close(open(path, (t->act == ACT_OPEN_WRITE ? O_WRONLY : O_RDONLY) | O_CLOEXEC));
	}
	*t->ns = (double)(clock_boot_ns() - began) / TIMES;
	return 0;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(double *values)
{
	qsort(values, ROUNDS, sizeof(*values), by_value);
	return values[ROUNDS / 2];
}

static void say(const char *what, const char *detail, double value)
{
	printf("{\"name\":\"file.%s.%s\",\"value\":%.0f,\"unit\":\"ns\"}\n", what, detail, value);
}

static void say_hooks(struct observer *ob)
{
	for (size_t h = 0; h < sensor_file.n_hooks; h++) {
		struct hook_cost cost;

		if (object_hook_cost(ob->object, (unsigned)h, &cost) == 0 && cost.run_count > 100)
			say(observe_via(ob, sensor_file.hooks[h].name), sensor_file.hooks[h].name,
			    (double)cost.run_ns / (double)cost.run_count);
	}
}

/* Only open and close: attaching the others takes seconds, and nothing here calls them. */
static bool only_open_and_close(void)
{
	static const char *const off[] = { "rename", "unlink", "link",     "mkdir", "chmod",
					   "chown",  "xattr",  "truncate", "mount" };

	if (option_defaults(sensor_file.options, sensor_file.n_options, options) < 0)
		return false;
	for (size_t i = 0; i < countof(off); i++)
		for (size_t o = 0; o < sensor_file.n_options; o++)
			if (!strcmp(sensor_file.options[o].name, off[i]) &&
			    option_set(&sensor_file.options[o], "false", options) < 0)
				return false;
	return true;
}

static void drop_all(struct observer *ob)
{
	observe_drain(ob);
	for (size_t i = 0; i < ob->n; i++)
		free(ob->records[i]);
	ob->n = 0;
}

static bool with_hooks(const struct sandbox *sb, enum act act, bool in_scope, double *ns)
{
	static double off[ROUNDS], on[ROUNDS], more[ROUNDS];
	struct turn t = { .act = act, .ns = ns };

	for (int i = 0; i < ROUNDS; i++) {
		auto_observer struct observer ob = { 0 };

		(void)outside_run(sb, take_turn, &t);
		off[i] = *ns;
		if (!observe_open(&ob, sb, &sensor_file, options))
			return false;
		if (in_scope)
			(void)sandbox_run(sb, take_turn, &t);
		else
			(void)outside_run(sb, take_turn, &t);
		on[i] = *ns;
		more[i] = on[i] - off[i];
		drop_all(&ob);
	}
	say(act_names[act], "without", median(off));
	say(act_names[act], in_scope ? "in-scope" : "out-of-scope", median(on));
	say(act_names[act], in_scope ? "in-scope-more" : "out-of-scope-more", median(more));
	return true;
}

int main(void)
{
	auto_sandbox struct sandbox sb = { 0 };
	double *ns = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	auto_close int stats = -1;
	char path[100];

	if (ns == MAP_FAILED || !only_open_and_close() || !sandbox_open(&sb, SANDBOX_PLAIN))
		return 1;
	(void)snprintf(path, sizeof(path), "%s/file", sb.dir);
	(void)close(creat(path, 0600));
	for (int act = 0; act < ACT_COUNT; act++)
		if (!with_hooks(&sb, (enum act)act, false, ns) || !with_hooks(&sb, (enum act)act, true, ns))
			return 1;

	/*
	 * Counting costs as well, so the programs are measured by themselves. System call tracepoints run
	 * for the whole machine: what others do, which ends at the scope, is in their mean.
	 */
	stats = bpf_enable_stats(BPF_STATS_RUN_TIME);
	for (int act = ACT_OPEN_WRITE; act < ACT_COUNT; act++) {
		auto_observer struct observer ob = { 0 };
		struct turn t = { .act = (enum act)act, .ns = ns };

		if (stats < 0 || !observe_open(&ob, &sb, &sensor_file, options))
			return 1;
		(void)sandbox_run(&sb, take_turn, &t);
		printf("{\"name\":\"file.programs\",\"act\":\"%s\"}\n", act_names[act]);
		say_hooks(&ob);
	}
	return 0;
}
