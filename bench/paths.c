/* SPDX-License-Identifier: Apache-2.0 */
/*
 * paths - what it costs to keep the raw ring beside the unified path, of all the CPU time that loops of exec, files and
 * connects take, the kernel's programs and the agent included.
 *
 * The loop of a system call leaves no record: its ratio says how much is chance.
 *
 * The agent without (A) and with its raw ring (B) in turn: A B A B ... A. `raw_ring` measures the user side alone.
 */
#include "base/mem.h"
#include "base/test.h"
#include "bench/bench.h"
#include "bench/load.h"

enum { CYCLES = 5, SLICES = 4, SETTLE_MS = 100, GOAL_PERCENT = 2 };

static const double goal = 1 + GOAL_PERCENT / 100.0;

static struct pairs paths[LOADS];

/* All of it, an operation; 0: it failed. */
static double cost(const struct sandbox *sb, const struct e2e *a, struct account *acc)
{
	double cpu = cpu_of_ns(a->pid), ops = 0, spent = 0;

	for (int i = 0; i < SLICES && !bench_stopped(); i++) {
		int r = sandbox_run(sb, load_slice, acc);

		if (r) {
			test_fail(T_HERE, "the loop %s ended with %d", acc->load->name, r);
			return 0;
		}
		ops += acc->ops;
		spent += acc->cpu;
	}
	/* What is still in the kernel's rings is part of it. */
	bench_sleep_ms(SETTLE_MS);
	return ops > 0 ? (spent + cpu_of_ns(a->pid) - cpu) / ops : 0;
}

static void measure(const struct sandbox *sb, bool raw, struct account *acc)
{
	static const char *const without[] = { "--set", "raw.ring=0", NULL };
	auto_agent struct e2e a = { .err_fd = -1 };

	if (bench_stopped() || !agent_up(&a, sb, raw ? NULL : without))
		return;
	for (size_t l = 0; l < LOADS && !bench_stopped(); l++) {
		double ns;

		acc->load = &loads[l];
		ns = cost(sb, &a, acc);
		if (ns > 0)
			samples_add(raw ? &paths[l].with : &paths[l].without, ns);
	}
	agent_down(&a);
}

static void run(void)
{
	struct account *acc = bench_shared(sizeof(*acc));
	auto_sandbox struct sandbox sb = { 0 };

	if (!sandbox_open(&sb, SANDBOX_NET))
		return;
	for (int c = 0; c < CYCLES; c++) {
		measure(&sb, false, acc);
		measure(&sb, true, acc);
	}
	measure(&sb, false, acc);
	for (size_t l = 0; l < LOADS; l++) {
		struct samples ratio;

		pairs_ratio(&paths[l], &ratio);
		figure(&ratio, "ratio", GOAL_AT_MOST, goal, "paths.%s", loads[l].name);
		figure(&paths[l].without, "ns of CPU", GOAL_NONE, 0, "paths.%s.unified", loads[l].name);
	}
}

int main(void)
{
	bench_begin();
	run();
	return bench_end();
}
