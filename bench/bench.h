/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench - what the benchmarks of the whole agent share: figures, pairs, shared memory, stopping.
 *
 * A figure is one JSON line: the median of its samples, how many there were, and the least and
 * the greatest. Costs are told as ratios of two things that were measured in turn, in one run:
 * on a machine that others use, nothing else can be compared.
 *
 * All that acts does so in a sandbox. On SIGINT and SIGTERM what runs comes to its bounded end
 * and everything is taken down again.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include "base/json.h"
#include "tests/e2e/e2e.h"
#include "tests/sandbox/sandbox.h"

/* ---- a program ------------------------------------------------------------------------------- */

void bench_begin(void);
/* The exit code: 0, or 1 when something failed. What cannot be measured here is said and is no failure. */
int bench_end(void);
/* Somebody wants it to end: true from then on. Asked before each step. */
bool bench_stopped(void);
/* First thing in a child that acts: it ends with its parent, by Ctrl-C, and at the latest after `seconds`. */
void bench_child(unsigned seconds);

/* ---- figures --------------------------------------------------------------------------------- */

enum { SAMPLES_MAX = 256 };

struct samples {
	double v[SAMPLES_MAX];
	size_t n;
};

void samples_add(struct samples *s, double v);
/* 0 when there are none. */
double samples_median(const struct samples *s);

enum goal { GOAL_NONE, GOAL_AT_MOST, GOAL_AT_LEAST };

/* Prints nothing when there are no samples. */
void figure(const struct samples *s, const char *unit, enum goal goal, double limit, const char *name_fmt, ...)
	__attribute__((format(printf, 5, 6)));

/* ---- pairs ----------------------------------------------------------------------------------- */

/*
 * Samples taken in turn, without (A) and with (B): A B A B A. Each B is divided by the mean of the A before
 * and the A after it, which takes out what drifts.
 */
struct pairs {
	struct samples without, with;
};

void pairs_ratio(const struct pairs *p, struct samples *ret_ratio);

/* ---- clocks and memory ------------------------------------------------------------------------ */

double wall_ns(void);
/* CPU time of this thread; of this process and its children that have ended; of another process. */
double cpu_thread_ns(void);
double cpu_family_ns(void);
double cpu_of_ns(pid_t pid);
/* Zeroed memory that children share. For the life of the program. */
void *bench_shared(size_t bytes);
void bench_sleep_ms(unsigned ms);

/* ---- the agent --------------------------------------------------------------------------------- */

/*
 * Starts it on this sandbox and lets it settle. False: said why. The words of BENCH_AGENT in the environment are
 * arguments too: BENCH_AGENT="--set sensors.net.udp=false" tells what a part of it costs.
 */
bool agent_up(struct e2e *a, const struct sandbox *sb, const char *const *extra);
void agent_down(struct e2e *a);
/* Its status; *ret_root borrows from the document. */
bool agent_status_of(const struct e2e *a, struct json_doc *doc, const struct json_node **ret_root);
/* A number somewhere below: json_number(root, "agent", "rss_bytes", NULL). 0 when it is not there. */
double json_number(const struct json_node *v, ...) __attribute__((sentinel));
/* Sum of a member ("seen", "sent") over all kinds of all sensors. */
double status_kinds(const struct json_node *root, const char *member);
