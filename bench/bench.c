/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/bench.h"
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include "base/err.h"
#include "base/test.h"

enum { STATUS_MAX = 4 << 20, SETTLE_MS = 300, AGENT_WORDS_MAX = 24 };

static volatile sig_atomic_t stopped;
static int failures;
const char *test_row;

/* ---- what the sandbox and the end-to-end helpers say ---------------------------------------------- */

void test_fail(const char *where, const char *fmt, ...)
{
	va_list ap;

	/* What Ctrl-C ended has not failed. */
	if (stopped)
		return;
	failures++;
	(void)fprintf(stderr, "bench: %s: ", where);
	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap);
	va_end(ap);
	(void)fputc('\n', stderr);
}

void test_skip(const char *reason_id)
{
	(void)fprintf(stderr, "bench: not measured here: %s\n", reason_id);
}

/* ---- a program ------------------------------------------------------------------------------------- */

static void on_signal(int sig)
{
	(void)sig;
	stopped = 1;
}

void bench_begin(void)
{
	/* Waits go on after it: what they wait for is bounded, or got the signal too. */
	const struct sigaction act = { .sa_handler = on_signal, .sa_flags = SA_RESTART };

	(void)sigaction(SIGINT, &act, NULL);
	(void)sigaction(SIGTERM, &act, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
}

int bench_end(void)
{
	return failures || stopped ? 1 : 0;
}

bool bench_stopped(void)
{
	return stopped;
}

void bench_child(unsigned seconds)
{
	(void)signal(SIGINT, SIG_DFL);
	(void)signal(SIGTERM, SIG_DFL);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)alarm(seconds);
}

/* ---- figures ----------------------------------------------------------------------------------------- */

void samples_add(struct samples *s, double v)
{
	if (s->n < SAMPLES_MAX)
		s->v[s->n++] = v;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void sorted(const struct samples *s, double ret_v[SAMPLES_MAX])
{
	memcpy(ret_v, s->v, s->n * sizeof(*s->v));
	qsort(ret_v, s->n, sizeof(*ret_v), by_value);
}

double samples_median(const struct samples *s)
{
	double v[SAMPLES_MAX];

	if (!s->n)
		return 0;
	sorted(s, v);
	return s->n % 2 ? v[s->n / 2] : (v[s->n / 2 - 1] + v[s->n / 2]) / 2;
}

static void print_number(const char *name, double v)
{
	printf(",\"%s\":%.*f", name, v >= 1000 || v <= -1000 ? 0 : v >= 10 ? 1 : 4, v);
}

void figure(const struct samples *s, const char *unit, enum goal goal, double limit, const char *name_fmt, ...)
{
	double v[SAMPLES_MAX], median = samples_median(s);
	va_list ap;

	if (!s->n || stopped)
		return;
	sorted(s, v);
	printf("{\"name\":\"");
	va_start(ap, name_fmt);
	(void)vprintf(name_fmt, ap);
	va_end(ap);
	printf("\"");
	print_number("value", median);
	printf(",\"unit\":\"%s\"", unit);
	if (goal != GOAL_NONE) {
		print_number(goal == GOAL_AT_MOST ? "goal_at_most" : "goal_at_least", limit);
		printf(",\"met\":%s", (goal == GOAL_AT_MOST ? median <= limit : median >= limit) ? "true" : "false");
	}
	printf(",\"runs\":%zu", s->n);
	print_number("min", v[0]);
	print_number("max", v[s->n - 1]);
	printf("}\n");
}

void pairs_ratio(const struct pairs *p, struct samples *ret_ratio)
{
	ret_ratio->n = 0;
	for (size_t i = 0; i < p->with.n && i < p->without.n; i++) {
		double after = p->without.v[i + 1 < p->without.n ? i + 1 : i];

		samples_add(ret_ratio, p->with.v[i] / ((p->without.v[i] + after) / 2));
	}
}

/* ---- clocks and memory --------------------------------------------------------------------------------- */

static double clock_ns(clockid_t clock)
{
	struct timespec t;

	if (clock_gettime(clock, &t))
		return 0;
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

double wall_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

double cpu_thread_ns(void)
{
	return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

static double usage_ns(int who)
{
	struct rusage u;

	(void)getrusage(who, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e9 +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e3;
}

double cpu_family_ns(void)
{
	return clock_ns(CLOCK_PROCESS_CPUTIME_ID) + usage_ns(RUSAGE_CHILDREN);
}

double cpu_of_ns(pid_t pid)
{
	clockid_t clock;

	return clock_getcpuclockid(pid, &clock) ? 0 : clock_ns(clock);
}

void *bench_shared(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED) {
		(void)fprintf(stderr, "bench: no memory to share\n");
		exit(1);
	}
	return p;
}

void bench_sleep_ms(unsigned ms)
{
	struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000 };

	/* A signal ends the sleep: then it is time to go. */
	(void)nanosleep(&t, NULL);
}

/* ---- the agent -------------------------------------------------------------------------------------------- */

/* `extra`, and then the words of BENCH_AGENT. */
static const char *const *agent_words(const char *const *extra)
{
	static const char *words[AGENT_WORDS_MAX + 1];
	static char text[1024];
	const char *more = getenv("BENCH_AGENT");
	size_t n = 0;

	(void)snprintf(text, sizeof(text), "%s", more ? more : "");
	while (extra && *extra && n < AGENT_WORDS_MAX)
		words[n++] = *extra++;
	for (char *at = NULL, *w = strtok_r(text, " ", &at); w && n < AGENT_WORDS_MAX; w = strtok_r(NULL, " ", &at))
		words[n++] = w;
	words[n] = NULL;
	return words;
}

bool agent_up(struct e2e *a, const struct sandbox *sb, const char *const *extra)
{
	*a = (struct e2e) { .err_fd = -1 };
	if (!e2e_start(a, sb, agent_words(extra)))
		return false;
	bench_sleep_ms(SETTLE_MS);
	return !stopped;
}

void agent_down(struct e2e *a)
{
	if (a->pid > 0)
		(void)e2e_stop(a, SIGTERM);
	e2e_close(a);
	*a = (struct e2e) { .err_fd = -1 };
	/* The kernel frees programs after a grace period. */
	bench_sleep_ms(SETTLE_MS);
}

bool agent_status_of(const struct e2e *a, struct json_doc *doc, const struct json_node **ret_root)
{
	auto_buf struct buf answer;

	buf_init(&answer, STATUS_MAX);
	if (!e2e_ask(a, "{\"cmd\":\"status\"}", &answer))
		return false;
	if (json_parse(doc, buf_text(&answer), strlen(buf_text(&answer)), ret_root) < 0) {
		test_fail(T_HERE, "read the status: %s", err_trail());
		return false;
	}
	return true;
}

static double number_of(const struct json_node *v)
{
	if (!v)
		return 0;
	return v->type == JSON_INT      ? (double)v->i
	       : v->type == JSON_UINT   ? (double)v->u
	       : v->type == JSON_DOUBLE ? v->d
					: 0;
}

double json_number(const struct json_node *v, ...)
{
	const char *name;
	va_list ap;

	va_start(ap, v);
	while (v && (name = va_arg(ap, const char *)))
		v = json_get(v, name);
	va_end(ap);
	return number_of(v);
}

double status_kinds(const struct json_node *root, const char *member)
{
	const struct json_node *sensors = json_get(root, "sensors"), *name;
	double sum = 0;

	for (const struct json_node *s = sensors ? json_first(sensors, &name) : NULL; s;
	     s = json_next(sensors, s, &name)) {
		const struct json_node *kinds = json_get(s, "kinds");

		for (const struct json_node *k = kinds ? json_first(kinds, &name) : NULL; k;
		     k = json_next(kinds, k, &name))
			sum += json_number(k, member, NULL);
	}
	return sum;
}
