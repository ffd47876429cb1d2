/* SPDX-License-Identifier: Apache-2.0 */
/* sequence - what an event costs one sequence rule, and what a pending sequence weighs. */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/hash.h"
#include "event/json_event.h"
#include "rule/rule.h"
#include "sequence/machine.h"

enum { ROUNDS = 7, EVENTS = 1 << 20, FEW_KEYS = 1 << 10, MANY_KEYS = 1000000, LINES = 1 << 6 };

static uint64_t told;

static void report(const char *name, double value, const char *unit)
{
	printf("{\"name\":\"sequence.%s\",\"value\":%.1f,\"unit\":\"%s\"}\n", name, value, unit);
}

/* CPU time of this thread: others use this machine, too. */
static uint64_t cpu_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* Memory of this process that is in use. */
static double resident(void)
{
	auto_file FILE *f = fopen("/proc/self/statm", "re");
	unsigned long long all, here = 0;

	if (f && fscanf(f, "%llu %llu", &all, &here) != 2)
		here = 0;
	return (double)here * (double)sysconf(_SC_PAGESIZE);
}

/* ---- the machine alone ----------------------------------------------------------------------- */

static void tell(void *ctx, const struct machine_result *r)
{
	(void)ctx;
	(void)r;
	told++;
}

struct rig {
	struct machine_store *store;
	struct machine machine;
	struct machine_plan *plan;
	struct runner_stats stats;
};

static bool rig_open(struct rig *rig, uint32_t runs, uint64_t memory)
{
	const struct machine_stage_spec stages[] = { { .runs = runs }, { .runs = 1 } };
	const struct machine_spec spec = {
		.stages = stages, .n_stages = 2, .has_span = true, .maxspan_ns = UINT64_C(1) << 40
	};
	const struct machine_store_options options = { .memory = memory, .stats = &rig->stats, .tell = tell };

	return machine_plan_new(&spec, &rig->plan) == 0 && machine_store_open(&options, &rig->store) == 0 &&
	       machine_open(rig->store, &rig->machine, rig->plan, NULL) == 0;
}

static void rig_close(struct rig *rig)
{
	machine_close(rig->store, &rig->machine);
	machine_store_free(rig->store);
	machine_plan_free(rig->plan);
}

static void hit(struct rig *rig, uint32_t stage, uint64_t key, int64_t now_ns)
{
	/* As long as the id of a process. */
	const struct {
		uint64_t key;
		char rest[34];
	} bytes = { .key = key };
	const struct runner_event rev = { .time_ns = now_ns, .handle = key };
	const struct machine_event ev = { &rev, now_ns };
	const struct machine_hit h = { stage, sizeof(bytes), &bytes, hash_bytes(&bytes, sizeof(bytes), 1) };

	machine_event(rig->store, &rig->machine, &ev, &h, 1);
}

/* Each key begins, then completes, in turn; keys in an order that caches do not guess. */
static double machine_ns(uint64_t keys, uint64_t memory)
{
	struct rig rig = { 0 };
	double best = 1e9;

	if (!rig_open(&rig, 1, memory))
		return 0;
	/* All keys are there before time is taken: each event finds its own. */
	for (uint64_t i = 0; i < keys; i++)
		hit(&rig, 0, i, 1);
	for (int round = 0; round < ROUNDS; round++) {
		uint64_t began = cpu_ns();
		double ns;

		for (uint64_t i = 0; i < EVENTS / 2; i++) {
			uint64_t key = i * 0x9e3779b97f4a7c15ULL % keys;

			hit(&rig, 1, key, (int64_t)i + 2);
			hit(&rig, 0, key, (int64_t)i + 2);
		}
		ns = (double)(cpu_ns() - began) / EVENTS;
		best = ns < best ? ns : best;
	}
	rig_close(&rig);
	return best;
}

static void many_keys(void)
{
	struct rig rig = { 0 };
	double before = resident();
	uint64_t began;

	if (!rig_open(&rig, 1, 256 << 20))
		return;
	began = cpu_ns();
	for (uint64_t i = 0; i < MANY_KEYS; i++)
		hit(&rig, 0, i, 1);
	report("key_new", (double)(cpu_ns() - began) / MANY_KEYS, "ns");
	machine_store_gauges(rig.store, &rig.stats);
	report("live_keys", (double)rig.stats.keys, "keys");
	report("pending_memory", (double)rig.stats.bytes / (double)rig.stats.pending, "bytes");
	report("pending_resident", (resident() - before) / (double)rig.stats.pending, "bytes");
	rig_close(&rig);
}

/* ---- all the way: condition, key, state ------------------------------------------------------ */

static void put(void *ctx, const struct runner_match *m)
{
	(void)ctx;
	(void)m;
	told++;
}

static struct json_event lines[LINES];

static double runner_ns(const char *text)
{
	const struct runner_sink sink = { put, NULL };
	AUTO(query) q = NULL;
	AUTO(ruleset) set = NULL;
	AUTO(runner) r = NULL;
	struct runner_query query = { .id = "bench" };
	struct diag diag;
	double best = 1e9;
	int64_t now_ns = 0;

	if (query_compile(text, strlen(text), NULL, &diag, &q) < 0)
		return 0;
	query.query = q;
	if (ruleset_new(&query, 1, NULL, &set) < 0 || runner_open(set, NULL, &sink, &r) < 0)
		return 0;
	for (int round = 0; round < ROUNDS; round++) {
		uint64_t began = cpu_ns();
		double ns;

		for (uint64_t i = 0; i < EVENTS; i++) {
			const struct event ev = json_event_as_event(&lines[i % LINES]);

			runner_event(r, &(struct runner_event) { .event = &ev, .time_ns = now_ns++, .handle = i });
		}
		ns = (double)(cpu_ns() - began) / EVENTS;
		best = ns < best ? ns : best;
	}
	return best;
}

int main(void)
{
	for (int i = 0; i < LINES; i++) {
		char line[256];
		int n = snprintf(line, sizeof(line),
				 "{\"event\":{\"category\":\"%s\"},\"process\":{\"name\":\"sh\",\"entity_id\":\"boot-%"
				 "08x-%020d\"},"
				 "\"user\":{\"id\":%d}}",
				 i & 1 ? "network" : "process", i / 2, i / 2, i);

		json_event_init(&lines[i], false);
		if (json_event_parse(&lines[i], line, (size_t)n) < 0) {
			err_print(stderr);
			return 1;
		}
	}
	report("machine", machine_ns(FEW_KEYS, 64 << 20), "ns");
	report("machine_1m_keys", machine_ns(MANY_KEYS, 256 << 20), "ns");
	many_keys();
	report("rule",
	       runner_ns("sequence by process.entity_id with maxspan=1h [process where process.name == \"sh\"] "
			 "[network where true]"),
	       "ns");
	report("rule_miss",
	       runner_ns("sequence by process.entity_id with maxspan=1h [process where process.name == \"zsh\"] "
			 "[network where process.name == \"zsh\"]"),
	       "ns");
	for (int i = 0; i < LINES; i++)
		json_event_free(&lines[i]);
	return told == 0;
}
