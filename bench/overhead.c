/* SPDX-License-Identifier: Apache-2.0 */
/*
 * overhead - what loops of a system call, exec, files and connects cost more when the agent watches, and when it
 * watches others.
 *
 * Without (A) and with the agent (B) in turn: A B A B ... A. Each loop runs for a fixed CPU time inside the scope, and
 * again outside of it.
 */
#include "base/mem.h"
#include "base/test.h"
#include "bench/bench.h"
#include "bench/load.h"

enum { CYCLES = 5 };

/* Figures of one load at one place. */
struct place {
	struct pairs cpu, wall;
};

static struct place places[LOADS][2]; /* inside, outside */
static struct samples agent_cpu[LOADS], recorded[LOADS];

/* What the kernel side has seen and sent of all kinds. */
static void books(const struct e2e *a, struct json_doc *doc, double *ret_seen, double *ret_sent)
{
	const struct json_node *root;

	*ret_seen = *ret_sent = 0;
	if (!agent_status_of(a, doc, &root))
		return;
	*ret_seen = status_kinds(root, "seen") - status_kinds(root, "filtered");
	*ret_sent = status_kinds(root, "sent");
}

static void measure(const struct sandbox *sb, const struct e2e *agent, struct json_doc *doc, struct account *acc,
		    size_t l, bool outside)
{
	double seen[2], sent[2], cpu = agent ? cpu_of_ns(agent->pid) : 0;
	struct place *p = &places[l][outside];
	int r;

	if (agent)
		books(agent, doc, &seen[0], &sent[0]);
	acc->load = &loads[l];
	r = outside ? outside_run(sb, load_slice, acc) : sandbox_run(sb, load_slice, acc);
	if (r || bench_stopped()) {
		test_fail(T_HERE, "the loop %s ended with %d", loads[l].name, r);
		return;
	}
	samples_add(agent ? &p->cpu.with : &p->cpu.without, acc->cpu / acc->ops);
	samples_add(agent ? &p->wall.with : &p->wall.without, acc->wall / acc->ops);
	if (!agent || outside)
		return;
	bench_sleep_ms(20);
	samples_add(&agent_cpu[l], (cpu_of_ns(agent->pid) - cpu) / acc->wall * 100);
	books(agent, doc, &seen[1], &sent[1]);
	if (seen[1] > seen[0])
		samples_add(&recorded[l], (sent[1] - sent[0]) / (seen[1] - seen[0]) * 100);
}

static void measure_all(const struct sandbox *sb, const struct e2e *agent, struct json_doc *doc, struct account *acc)
{
	for (size_t l = 0; l < LOADS && !bench_stopped(); l++) {
		measure(sb, agent, doc, acc, l, false);
		measure(sb, agent, doc, acc, l, true);
	}
}

static void tell(size_t l, bool outside)
{
	static const char *const names[] = { "inside", "outside" };
	const struct place *p = &places[l][outside];
	const char *load = loads[l].name, *place = names[outside];
	struct samples ratio;

	pairs_ratio(&p->cpu, &ratio);
	figure(&ratio, "ratio", GOAL_NONE, 0, "overhead.%s.%s.cpu_ratio", load, place);
	pairs_ratio(&p->wall, &ratio);
	figure(&ratio, "ratio", GOAL_NONE, 0, "overhead.%s.%s.wall_ratio", load, place);
	figure(&p->cpu.without, "ns of CPU", GOAL_NONE, 0, "overhead.%s.%s.cpu_without", load, place);
	figure(&p->cpu.with, "ns of CPU", GOAL_NONE, 0, "overhead.%s.%s.cpu_with", load, place);
	if (outside)
		return;
	figure(&agent_cpu[l], "percent of a core", GOAL_NONE, 0, "overhead.%s.agent_cpu", load);
	figure(&recorded[l], "percent", GOAL_NONE, 0, "overhead.%s.recorded", load);
}

static void run(void)
{
	static const struct json_limits limits = { 8 << 20, 1 << 20, 16 };
	struct account *acc = bench_shared(sizeof(*acc));
	auto_sandbox struct sandbox sb = { 0 };
	auto_json struct json_doc doc;

	json_init(&doc, &limits);
	if (!sandbox_open(&sb, SANDBOX_NET))
		return;
	for (int c = 0; c < CYCLES && !bench_stopped(); c++) {
		auto_agent struct e2e a = { .err_fd = -1 };

		measure_all(&sb, NULL, &doc, acc);
		if (!bench_stopped() && agent_up(&a, &sb, NULL))
			measure_all(&sb, &a, &doc, acc);
		agent_down(&a);
	}
	measure_all(&sb, NULL, &doc, acc);
	for (size_t l = 0; l < LOADS; l++) {
		tell(l, false);
		tell(l, true);
	}
}

int main(void)
{
	bench_begin();
	run();
	return bench_end();
}
