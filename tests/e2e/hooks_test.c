/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which way of observing each hook the running kernel takes, with all hooks asked for. The lines
 * that begin with "hook " are what docs/reference/hooks-<kernel>.txt is made of (tools/hooks).
 */
#include "base/json.h"
#include "base/test.h"
#include "tests/e2e/e2e.h"

static const char *text_of(const struct json_node *object, const char *name)
{
	const struct json_node *v = json_get(object, name);

	return v && v->type == JSON_STRING ? v->s : "-";
}

static void hook_line(const char *sensor, const struct json_node *hook)
{
	const struct json_node *variant = json_get(hook, "variant");

	test_row = text_of(hook, "name");
	check(strcmp(text_of(hook, "state"), "failed") != 0);
	printf("hook %s %s %s %d %s\n", sensor, test_row, text_of(hook, "state"), variant ? (int)variant->i : -1,
	       text_of(hook, "via"));
}

TEST(every_hook_that_is_no_extra_can_be_had_on_this_kernel)
{
	static const char *const all[] = { "--set", "sensors.net.unix_sockets=true",
					   "--set", "sensors.process.threads=true",
					   "--set", "sensors.memory.growth=64MiB",
					   NULL };
	static const struct json_limits limits = { 4 << 20, 1 << 16, 16 };
	const struct json_node *root, *sensors, *hooks, *name;
	auto_sandbox struct sandbox sb = { 0 };
	auto_agent struct e2e a = { 0 };
	auto_buf struct buf answer = { .max = 4 << 20 };
	auto_json struct json_doc doc;

	json_init(&doc, &limits);
	if (!sandbox_open(&sb, SANDBOX_PLAIN) || !e2e_start(&a, &sb, all) ||
	    !e2e_ask(&a, "{\"cmd\":\"status\"}", &answer))
		return;
	require(json_parse(&doc, buf_text(&answer), answer.len - 1, &root) == 0);
	sensors = json_get(root, "sensors");
	require(sensors != NULL);
	for (const struct json_node *s = json_first(sensors, &name); s; s = json_next(sensors, s, &name)) {
		check_str(text_of(s, "state"), "running");
		hooks = json_get(s, "hooks");
		require(hooks != NULL);
		for (const struct json_node *h = json_first(hooks, &name); h; h = json_next(hooks, h, &name))
			hook_line(text_of(s, "name"), h);
	}
	test_row = NULL;
	check_int(e2e_stop(&a, SIGINT), 0);
}
