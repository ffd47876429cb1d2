/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hooks - nanoseconds that each hook's programs take, when they have nothing to say and when they report.
 *
 * The kernel measures (BPF run statistics, which the agent switches on for a client that asks). The figures contain
 * the kernel's own clock reading, which `hooks.floor` tells of a program that does nothing.
 *
 *	out	out of scope, each hook made to fire the way its sensor's canary does: much else happens between
 *		two runs, so that a good part of the time is waiting for memory
 *	hot	out of scope, in loops of the system calls that programs make often: what a busy neighbour pays
 *	in	in scope: a record is made and sent
 *
 * What the rest of the machine does runs through the same programs and is out of scope: it belongs to the first
 * two, and is taken out of the last by what was measured while only it ran.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/err.h"
#include "base/mem.h"
#include "base/test.h"
#include "bench/bench.h"
#include "sensors/sensor.h"

enum {
	ROUNDS = 5,
	REPEAT = 20,
	RUNS_MIN = 10,
	HOT_TIMES = 3000,
	HOT_RUNS_MIN = 2000,
	HOOKS_MAX = 256,
	CHILD_S = 60,
	GOAL_OUT_NS = 100,
	FLOOR_RUNS = 2000,
};

struct hook_figures {
	const char *sensor, *hook;
	char via[32];
	struct samples out, hot, in;
	double runs, ns; /* at the last look */
};

static struct hook_figures hooks[HOOKS_MAX];
static size_t n_hooks;

/* The way of a child: makes every hook fire that can be made to. */
static int exercise_all(const struct sandbox *sb, void *arg)
{
	(void)sb;
	(void)arg;
	bench_child(CHILD_S);
	for (const struct sensor *const *s = sensor_table; *s; s++)
		for (size_t h = 0; h < (*s)->n_hooks && (*s)->exercise; h++)
			for (int i = 0; i < REPEAT; i++)
				if ((*s)->exercise(h) == -EOPNOTSUPP)
					break;
	return 0;
}

/* ---- loops of one thing ------------------------------------------------------------------------- */

static int hot_file(const struct sandbox *sb)
{
	char a[128], b[128];
	int fd;

	(void)snprintf(a, sizeof(a), "%s/hot-a", sb->dir);
	(void)snprintf(b, sizeof(b), "%s/hot-b", sb->dir);
	for (int i = 0; i < HOT_TIMES; i++) {
		fd = open(a, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		if (fd < 0 || write(fd, "x", 1) != 1 || close(fd))
			return 1;
	}
	for (int i = 0; i < HOT_TIMES; i++)
		if (rename(i % 2 ? b : a, i % 2 ? a : b))
			return 1;
	for (int i = 0; i < HOT_TIMES; i++)
		if (chmod(a, 0600))
			return 1;
	for (int i = 0; i < HOT_TIMES; i++)
		if (truncate(a, 1))
			return 1;
	return unlink(a);
}

static int hot_memory(const struct sandbox *sb)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *p;

	(void)sb;
	for (int i = 0; i < HOT_TIMES; i++) {
		p = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p == MAP_FAILED || mprotect(p, page, PROT_READ) || munmap(p, page))
			return 1;
	}
	return 0;
}

static int hot_signal(const struct sandbox *sb)
{
	(void)sb;
	for (int i = 0; i < HOT_TIMES; i++)
		if (kill(getpid(), SIGURG))
			return 1;
	return 0;
}

static int hot_connect(const struct sandbox *sb)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	auto_close int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(to);

	(void)sb;
	if (listener < 0 || bind(listener, (struct sockaddr *)&to, len) ||
	    getsockname(listener, (struct sockaddr *)&to, &len) || listen(listener, 16))
		return 1;
	for (int i = 0; i < HOT_TIMES; i++) {
		auto_close int a = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), b = -1;

		if (a < 0 || connect(a, (struct sockaddr *)&to, len))
			return 1;
		b = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	}
	return 0;
}

static int hot(const struct sandbox *sb, void *arg)
{
	(void)arg;
	bench_child(CHILD_S);
	return hot_file(sb) || hot_memory(sb) || hot_signal(sb) || hot_connect(sb);
}

/* ---- what the kernel has counted ---------------------------------------------------------------- */

struct delta {
	double runs, ns;
};

static struct hook_figures *figures_of(const char *sensor, const char *hook, const char *via)
{
	struct hook_figures *h;

	for (size_t i = 0; i < n_hooks; i++)
		if (!strcmp(hooks[i].sensor, sensor) && !strcmp(hooks[i].hook, hook))
			return &hooks[i];
	if (n_hooks == HOOKS_MAX)
		return NULL;
	h = &hooks[n_hooks++];
	h->sensor = strdup(sensor);
	h->hook = strdup(hook);
	(void)snprintf(h->via, sizeof(h->via), "%s", via ? via : "");
	return h;
}

static const char *text_of(const struct json_node *object, const char *name)
{
	const struct json_node *v = json_get(object, name);

	return v && v->type == JSON_STRING ? v->s : "";
}

/* What came since the last look, at the index of `hooks`. */
static bool look(const struct e2e *a, struct json_doc *doc, struct delta ret_deltas[HOOKS_MAX])
{
	const struct json_node *root, *sensors, *name;

	if (!agent_status_of(a, doc, &root))
		return false;
	sensors = json_get(root, "sensors");
	for (const struct json_node *s = json_first(sensors, &name); s; s = json_next(sensors, s, &name)) {
		const struct json_node *list = json_get(s, "hooks");

		for (const struct json_node *h = json_first(list, &name); h; h = json_next(list, h, &name)) {
			struct hook_figures *f = figures_of(text_of(s, "name"), text_of(h, "name"), text_of(h, "via"));
			double runs = json_number(h, "run_count", NULL), ns = json_number(h, "run_ns", NULL);

			if (!f)
				continue;
			ret_deltas[f - hooks] = (struct delta) { runs - f->runs, ns - f->ns };
			f->runs = runs;
			f->ns = ns;
		}
	}
	return true;
}

/* A connection that wants run statistics for as long as it lives. */
static int want_statistics(const struct e2e *a)
{
	static const char request[] = "{\"cmd\":\"statistics\",\"on\":true}\n";
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char answer[256] = "";

	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", a->socket);
	if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)) ||
	    send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) < 0 || recv(fd, answer, sizeof(answer) - 1, 0) < 1 ||
	    !strstr(answer, "\"ok\":true")) {
		test_fail(T_HERE, "switch run statistics on: %s %s", strerror(errno), answer);
		return -1;
	}
	return take_fd(fd);
}

/* ---- a program that does nothing ------------------------------------------------------------------- */

static void measure_floor(void)
{
	const struct bpf_insn nothing[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	auto_close int fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "shrike_nothing", "GPL", nothing, countof(nothing), NULL);
	unsigned char packet[64] = { 0 };
	LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = packet, .data_size_in = sizeof(packet), .repeat = FLOOR_RUNS);
	struct samples floor = { 0 };

	if (fd < 0)
		return;
	for (int i = 0; i < ROUNDS; i++) {
		struct bpf_prog_info before = { 0 }, after = { 0 };
		__u32 len = sizeof(before);

		if (bpf_obj_get_info_by_fd(fd, &before, &len) || bpf_prog_test_run_opts(fd, &o) ||
		    bpf_obj_get_info_by_fd(fd, &after, &len) || after.run_cnt == before.run_cnt)
			return;
		samples_add(&floor, (double)(after.run_time_ns - before.run_time_ns) /
					    (double)(after.run_cnt - before.run_cnt));
	}
	figure(&floor, "ns", GOAL_NONE, 0, "hooks.floor");
}

/* ---- rounds --------------------------------------------------------------------------------------------- */

/* Out of scope, rarely and often, then the machine alone for as long, then in scope. */
static bool measure(const struct sandbox *sb, const struct e2e *a, struct json_doc *doc)
{
	static struct delta out[HOOKS_MAX], often[HOOKS_MAX], idle[HOOKS_MAX], in[HOOKS_MAX];
	double began, idle_wall, in_wall;

	if (!look(a, doc, out) || outside_run(sb, exercise_all, NULL) || !look(a, doc, out) ||
	    outside_run(sb, hot, NULL) || !look(a, doc, often))
		return false;
	began = wall_ns();
	bench_sleep_ms(500);
	if (!look(a, doc, idle))
		return false;
	idle_wall = wall_ns() - began;
	began = wall_ns();
	if (sandbox_run(sb, exercise_all, NULL) || !look(a, doc, in))
		return false;
	in_wall = wall_ns() - began;
	for (size_t i = 0; i < n_hooks; i++) {
		double others = in_wall / idle_wall;
		double runs = in[i].runs - idle[i].runs * others, ns = in[i].ns - idle[i].ns * others;

		if (out[i].runs >= RUNS_MIN)
			samples_add(&hooks[i].out, out[i].ns / out[i].runs);
		if (often[i].runs >= HOT_RUNS_MIN)
			samples_add(&hooks[i].hot, often[i].ns / often[i].runs);
		if (runs >= RUNS_MIN && ns > 0)
			samples_add(&hooks[i].in, ns / runs);
	}
	return !bench_stopped();
}

/* The medians of a column, and its worst hook. */
static void tell_column(const char *column, size_t off)
{
	const struct hook_figures *worst = NULL;
	struct samples all = { 0 };
	double most = 0;

	for (size_t i = 0; i < n_hooks; i++) {
		const struct samples *s = (const struct samples *)(const void *)((const char *)&hooks[i] + off);
		double median = samples_median(s);

		if (!s->n)
			continue;
		samples_add(&all, median);
		if (median > most) {
			most = median;
			worst = &hooks[i];
		}
	}
	figure(&all, "ns", GOAL_AT_MOST, GOAL_OUT_NS, "hooks.all.%s", column);
	if (worst)
		figure((const struct samples *)(const void *)((const char *)worst + off), "ns", GOAL_AT_MOST,
		       GOAL_OUT_NS, "hooks.worst.%s.%s.%s", worst->sensor, worst->hook, column);
}

static void tell(void)
{
	for (size_t i = 0; i < n_hooks; i++) {
		const struct hook_figures *h = &hooks[i];

		figure(&h->out, "ns", GOAL_AT_MOST, GOAL_OUT_NS, "hooks.%s.%s.out", h->sensor, h->hook);
		figure(&h->hot, "ns", GOAL_AT_MOST, GOAL_OUT_NS, "hooks.%s.%s.hot", h->sensor, h->hook);
		figure(&h->in, "ns", GOAL_NONE, 0, "hooks.%s.%s.in", h->sensor, h->hook);
	}
	tell_column("out", offsetof(struct hook_figures, out));
	tell_column("hot", offsetof(struct hook_figures, hot));
}

static void run(void)
{
	/* The agent's own canaries would add runs of a third sort. */
	static const char *const extra[] = { "--set", "health.canary=0", NULL };
	static const struct json_limits limits = { 8 << 20, 1 << 20, 16 };
	auto_sandbox struct sandbox sb = { 0 };
	auto_agent struct e2e a = { .err_fd = -1 };
	auto_close int statistics = -1;
	auto_json struct json_doc doc;

	json_init(&doc, &limits);
	if (!sandbox_open(&sb, SANDBOX_NET) || !agent_up(&a, &sb, extra))
		return;
	statistics = want_statistics(&a);
	if (statistics < 0)
		return;
	measure_floor();
	for (int i = 0; i < ROUNDS && !bench_stopped(); i++)
		if (!measure(&sb, &a, &doc)) {
			test_fail(T_HERE, "a round did not end well");
			break;
		}
	tell();
}

int main(void)
{
	bench_begin();
	run();
	return bench_end();
}
