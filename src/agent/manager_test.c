/* SPDX-License-Identifier: Apache-2.0 */
/* The program manager with the real process sensor in a sandbox: isolation, swaps, health, fallback. */
#include "agent/manager.h"
#include <string.h>
#include <sys/wait.h>
#include "base/err.h"
#include "base/json.h"
#include "base/test.h"
#include "tests/sandbox/sandbox.h"

extern const struct sensor sensor_process;

static const struct health_options health = { .silent_max = 2, .restarts_max = 3, .loss_percent = 10 };
static const __u8 no_stacks[EV_KIND_MAX];

struct stage {
	struct sandbox sb;
	struct scope scope;
	struct bpf_core *core;
	struct manager *manager;
	void *options;
};

static void stage_close(struct stage *s)
{
	manager_free(s->manager);
	bpf_core_free(s->core);
	scope_close(&s->scope);
	if (s->options)
		options_clear(sensor_process.options, sensor_process.n_options, s->options);
	free(s->options);
	sandbox_close(&s->sb);
}
#define auto_stage __attribute__((cleanup(stage_close)))

static bool stage_open(struct stage *s, const struct sensor *const *sensors)
{
	const struct core_options core = { .ring_bytes = { 1 << 20, 1 << 20, 1 << 16 } };

	*s = (struct stage) { .scope = SCOPE_NONE };
	if (!sandbox_open(&s->sb, SANDBOX_PLAIN))
		return false;
	s->options = calloc(1, sensor_process.options_size);
	if (option_defaults(sensor_process.options, sensor_process.n_options, s->options) < 0 ||
	    scope_parse(s->sb.scope, &s->scope) < 0 || bpf_core_open(&core, &s->scope, &s->core) < 0 ||
	    manager_open(s->core, sensors, &s->manager) < 0) {
		test_fail(T_HERE, "set the stage: %s", err_trail());
		return false;
	}
	return true;
}

/* A child that ends at once: a fork and an exit of the agent's own. */
static int fork_a_child(size_t hook)
{
	pid_t pid;

	if (hook > 2 || strcmp(sensor_process.hooks[hook].name, "exec") == 0)
		return -EOPNOTSUPP;
	pid = fork();
	if (pid == 0)
		_exit(0);
	(void)waitpid(pid, NULL, 0);
	return 0;
}

static struct sensor process_with_canary(void)
{
	struct sensor s = sensor_process;

	s.exercise = fork_a_child;
	return s;
}

static int index_of_hook(const char *name)
{
	for (size_t h = 0; h < sensor_process.n_hooks; h++)
		if (!strcmp(sensor_process.hooks[h].name, name))
			return (int)h;
	return -1;
}

/* A number or text of the status of the first leaf: by "member" or "hooks", row, member. */
static bool status_has(struct manager *m, const char *part)
{
	auto_buf struct buf out;

	buf_init(&out, 1 << 20);
	manager_status(m, &out);
	return strstr(buf_text(&out), part) != NULL;
}

TEST(a_leaf_that_cannot_load_says_why_and_the_others_run)
{
	static const unsigned char garbage[64] = "no object";
	const struct bpf_image image = { "broken", garbage, garbage + sizeof(garbage) };
	const struct sensor broken = { .name = "broken",
				       .summary = "b",
				       .byte = 0xee,
				       .hooks = sensor_process.hooks,
				       .n_hooks = 1,
				       .image = &image };
	const struct sensor *const sensors[] = { &broken, &sensor_process, NULL };
	unsigned states[LEAF_FALLBACK + 1];
	auto_stage struct stage s;

	if (!stage_open(&s, sensors))
		return;
	check(manager_set(s.manager, "broken", true, NULL, no_stacks) < 0);
	check_has(err_trail(), "start sensor broken");
	require_ok(manager_set(s.manager, "process", true, s.options, no_stacks));
	check_int(manager_state(s.manager, "broken"), LEAF_FAILED);
	check_int(manager_state(s.manager, "process"), LEAF_RUNNING);
	manager_summary(s.manager, states);
	check_int(states[LEAF_FAILED], 1);
	check_int(states[LEAF_RUNNING], 1);
	check(status_has(s.manager, "open the BPF object"));
}

TEST(a_sensor_that_does_not_exist_is_refused)
{
	const struct sensor *const sensors[] = { &sensor_process, NULL };
	auto_stage struct stage s;

	if (!stage_open(&s, sensors))
		return;
	check_int(manager_set(s.manager, "proces", true, s.options, no_stacks), -ENOENT);
	check_has(err_trail(), "proces");
}

static int do_nothing(const struct sandbox *sb, void *arg)
{
	(void)sb;
	(void)arg;
	return 0;
}

TEST(books_go_on_when_a_leaf_is_replaced_and_stop_when_it_is_off)
{
	const struct sensor *const sensors[] = { &sensor_process, NULL };
	auto_stage struct stage s;

	if (!stage_open(&s, sensors))
		return;
	require_ok(manager_set(s.manager, "process", true, s.options, no_stacks));
	check_int(sandbox_run(&s.sb, do_nothing, NULL), 0);
	check(status_has(s.manager, "\"name\":\"process.exit\",\"class\":\"critical\",\"seen\":1,\"sent\":1,"));
	require_ok(manager_set(s.manager, "process", true, s.options, no_stacks));
	check_int(sandbox_run(&s.sb, do_nothing, NULL), 0);
	check(status_has(s.manager, "\"name\":\"process.exit\",\"class\":\"critical\",\"seen\":2,\"sent\":2,"));
	require_ok(manager_set(s.manager, "process", false, s.options, no_stacks));
	check_int(manager_state(s.manager, "process"), LEAF_OFF);
	check_int(sandbox_run(&s.sb, do_nothing, NULL), 0);
	check(status_has(s.manager, "\"name\":\"process.exit\",\"class\":\"critical\",\"seen\":2,\"sent\":2,"));
	check(status_has(s.manager, "\"state\":\"off\""));
}

TEST(a_canary_tells_silence_from_deafness)
{
	const struct sensor sensor = process_with_canary();
	const struct sensor *const sensors[] = { &sensor, NULL };
	auto_stage struct stage s;

	if (!stage_open(&s, sensors))
		return;
	require_ok(manager_set(s.manager, "process", true, s.options, no_stacks));
	check(!status_has(s.manager, "\"firing\":true"));
	manager_exercise(s.manager);
	check(status_has(s.manager, "\"firing\":true"));
	for (int i = 0; i < 4; i++)
		manager_check(s.manager, &health);
	check_int(manager_state(s.manager, "process"), LEAF_RUNNING);
}

TEST(a_deaf_leaf_is_restarted_and_hears_again)
{
	const struct sensor sensor = process_with_canary();
	const struct sensor *const sensors[] = { &sensor, NULL };
	auto_stage struct stage s;

	if (!stage_open(&s, sensors))
		return;
	require_ok(manager_set(s.manager, "process", true, s.options, no_stacks));
	manager_deafen(s.manager, "process", (size_t)index_of_hook("fork"));
	manager_check(s.manager, &health);
	check_int(manager_state(s.manager, "process"), LEAF_RUNNING); /* once may be chance */
	manager_check(s.manager, &health);
	check_int(manager_state(s.manager, "process"), LEAF_DEGRADED);
	check(status_has(s.manager, "restarted: hook fork is silent"));
	manager_check(s.manager, &health);
	check_int(manager_state(s.manager, "process"), LEAF_RUNNING);
}

TEST(what_fails_again_and_again_ends_in_a_stated_fallback)
{
	const struct sensor sensor = process_with_canary();
	const struct sensor *const sensors[] = { &sensor, NULL };
	auto_stage struct stage s;
	int rounds = 0;

	if (!stage_open(&s, sensors))
		return;
	require_ok(manager_set(s.manager, "process", true, s.options, no_stacks));
	while (manager_state(s.manager, "process") != LEAF_FALLBACK && rounds++ < 20) {
		manager_deafen(s.manager, "process", (size_t)index_of_hook("fork"));
		manager_check(s.manager, &health);
	}
	check_int(manager_state(s.manager, "process"), LEAF_FALLBACK);
	check(rounds < 12);
	check(status_has(s.manager, "given up after 3 restarts, its other hooks go on"));
	/* Switching it on again is a fresh start. */
	require_ok(manager_set(s.manager, "process", true, s.options, no_stacks));
	check_int(manager_state(s.manager, "process"), LEAF_RUNNING);
}

TEST(a_swap_that_fails_leaves_the_old_programs_running)
{
	static struct sensor sensor;
	const struct sensor *const sensors[] = { &sensor, NULL };
	auto_stage struct stage s;

	sensor = sensor_process;
	if (!stage_open(&s, sensors))
		return;
	require_ok(manager_set(s.manager, "process", true, s.options, no_stacks));
	sensor.image = &(const struct bpf_image) { "broken", (const unsigned char *)"x", (const unsigned char *)"x" };
	check(manager_set(s.manager, "process", true, s.options, no_stacks) < 0);
	check_int(manager_state(s.manager, "process"), LEAF_RUNNING);
	check_int(sandbox_run(&s.sb, do_nothing, NULL), 0);
	check(status_has(s.manager, "\"name\":\"process.exit\",\"class\":\"critical\",\"seen\":1,"));
}
