/* SPDX-License-Identifier: Apache-2.0 */
/* sensor - switches the sensors of a running agent, and sets their options. */
#include "sensors/sensor.h"
#include <string.h>
#include "agent/control.h"
#include "base/err.h"
#include "cli/change.h"
#include "cli/client.h"
#include "cli/health.h"
#include "base/nearest.h"
#include "cli/text.h"

struct sensor_options {
	uint32_t output;
	char *socket;
};

static const struct verb_option options[] = {
	OPTION_OUTPUT(sensor_options, "for people, or the answer of the agent as it is"),
	OPTION_SOCKET(sensor_options),
};

static const struct sensor *find(const char *name)
{
	for (const struct sensor *const *s = sensor_table; *s; s++)
		if (!strcmp((*s)->name, name))
			return *s;
	return NULL;
}

static enum exit_code unknown_sensor(struct cli *cli, const char *name)
{
	struct nearest near = { .word = name };

	for (const struct sensor *const *s = sensor_table; *s; s++)
		nearest_offer(&near, (*s)->name);
	if (near.best)
		return cli_misused(cli, &verb_sensor, "there is no sensor \"%s\"; did you mean \"%s\"?", name,
				   near.best);
	return cli_misused(cli, &verb_sensor, "there is no sensor \"%s\"; `shrike sensor list` lists them", name);
}

/* ---- list ------------------------------------------------------------------------------------ */

static void list_rows(struct cli *cli, const struct json_node *status)
{
	static const char *const titles[] = { "sensor", "state", ">hooks", "what it watches", NULL };
	auto_table struct table t = { 0 };
	auto_buf struct buf out = { 0 };

	table_init(&t, titles);
	buf_init(&out, CONTROL_ANSWER_MAX);
	for_each_item (sensor, status, "sensors") {
		unsigned attached = 0, all = 0;

		for_each_item (hook, sensor, "hooks") {
			attached += !strcmp(node_text(hook, "state"), "attached");
			/* What nobody asked for is not missing. */
			all += strcmp(node_text(hook, "state"), "off") != 0;
		}
		table_cell(&t, "%s", node_text(sensor, "name"));
		table_cell(&t, "%s", node_text(sensor, "state"));
		table_cell(&t, "%u/%u", attached, all);
		table_cell(&t, "%s", node_text(sensor, "summary"));
	}
	table_print(&t, 0, &out);
	(void)cli_write(cli, &out);
}

static enum exit_code list(struct cli *cli, const struct sensor_options *o)
{
	const struct json_node *status;
	auto_json struct json_doc doc = { 0 };
	AUTO(client) client = NULL;
	enum exit_code code;
	struct str line;

	json_init(&doc, &client_json_limits);
	code = client_open(cli, o->socket, &client);
	if (code == EXIT_OK)
		code = client_ask(cli, client, "{\"cmd\":\"status\"}", &doc, &status, &line);
	if (code != EXIT_OK)
		return code;
	if (o->output == OUTPUT_JSON) {
		auto_buf struct buf out = { 0 };

		buf_init(&out, 4 * CONTROL_ANSWER_MAX);
		text_safe_json(&out, line.p, line.n);
		buf_char(&out, '\n');
		(void)cli_write(cli, &out);
	} else {
		list_rows(cli, status);
	}
	return EXIT_OK;
}

/* ---- on, off, set ------------------------------------------------------------------------------- */

/* Looks at key=value here, so that a slip is told before the agent is asked. */
static enum exit_code check_pair(struct cli *cli, const struct sensor *sensor, const char *pair, size_t *ret_key)
{
	const char *is = strchr(pair, '=');
	auto_free void *scratch = calloc(1, sensor->options_size + 1);
	struct nearest near = { 0 };
	char key[64];
	int r;

	if (!is || is == pair)
		return cli_misused(cli, &verb_sensor, "\"%s\" is not key=value", pair);
	if (!scratch)
		return cli_misused(cli, &verb_sensor, "out of memory");
	*ret_key = (size_t)(is - pair);
	(void)snprintf(key, sizeof(key), "%.*s", (int)(*ret_key < sizeof(key) ? *ret_key : sizeof(key) - 1), pair);
	near.word = key;
	for (size_t i = 0; i < sensor->n_options; i++) {
		const struct option *row = &sensor->options[i];

		nearest_offer(&near, row->name);
		if (strcmp(row->name, key) != 0)
			continue;
		r = option_set(row, is + 1, scratch);
		options_clear(row, 1, scratch);
		return r < 0 ? cli_misused(cli, &verb_sensor, "%s: %s", key, err_trail()) : EXIT_OK;
	}
	if (near.best)
		return cli_misused(cli, &verb_sensor, "%s has no option \"%s\"; did you mean \"%s\"?", sensor->name,
				   key, near.best);
	return cli_misused(cli, &verb_sensor, "%s has no option \"%s\"", sensor->name, key);
}

static enum exit_code make_set(struct cli *cli, const struct sensor *sensor, char **pairs, size_t n, struct buf *out)
{
	buf_str(out, "{\"cmd\":\"set\",\"sensor\":");
	json_write_str(out, sensor->name, strlen(sensor->name));
	buf_str(out, ",\"options\":{");
	for (size_t i = 0; i < n; i++) {
		size_t key = 0;
		enum exit_code code = check_pair(cli, sensor, pairs[i], &key);

		if (code != EXIT_OK)
			return code;
		buf_str(out, i ? "," : "");
		json_write_str(out, pairs[i], key);
		buf_char(out, ':');
		json_write_str(out, pairs[i] + key + 1, strlen(pairs[i] + key + 1));
	}
	buf_str(out, "}}");
	return EXIT_OK;
}

static enum exit_code change(struct cli *cli, const struct sensor_options *o, char **args, size_t n_args)
{
	const struct sensor *sensor = find(args[1]);
	bool is_set = !strcmp(args[0], "set");
	auto_buf struct buf request = { 0 };

	buf_init(&request, CONTROL_LINE_MAX);
	if (!sensor)
		return unknown_sensor(cli, args[1]);
	if (is_set) {
		enum exit_code code = make_set(cli, sensor, args + 2, n_args - 2, &request);

		if (code != EXIT_OK)
			return code;
	} else {
		buf_printf(&request, "{\"cmd\":\"%s\",\"sensor\":", args[0]);
		json_write_str(&request, sensor->name, strlen(sensor->name));
		buf_char(&request, '}');
	}
	return change_ask(cli, o->socket, buf_text(&request), o->output);
}

/* ---- the verb ------------------------------------------------------------------------------------ */

static enum exit_code run(struct cli *cli, const void *opts, char **args, size_t n_args)
{
	static const struct {
		const char *name, *call;
		size_t least, most;
	} actions[] = {
		{ "list", "shrike sensor list", 1, 1 },
		{ "on", "shrike sensor on NAME", 2, 2 },
		{ "off", "shrike sensor off NAME", 2, 2 },
		{ "set", "shrike sensor set NAME KEY=VALUE...", 3, SIZE_MAX },
	};
	const struct sensor_options *o = opts;
	struct nearest near = { .word = n_args ? args[0] : "" };

	if (!n_args)
		return cli_misused(cli, &verb_sensor, "say what to do: list, on, off or set");
	for (size_t i = 0; i < countof(actions); i++) {
		nearest_offer(&near, actions[i].name);
		if (strcmp(actions[i].name, args[0]) != 0)
			continue;
		if (n_args < actions[i].least || n_args > actions[i].most)
			return cli_misused(cli, &verb_sensor, "it is called so: %s", actions[i].call);
		return n_args == 1 ? list(cli, o) : change(cli, o, args, n_args);
	}
	if (near.best)
		return cli_misused(cli, &verb_sensor, "there is no \"%s\"; did you mean \"%s\"?", args[0], near.best);
	return cli_misused(cli, &verb_sensor, "there is no \"%s\": it is list, on, off or set", args[0]);
}

static const char *const actions[] = { "list", "on", "off", "set", NULL };

static const struct verb_example examples[] = {
	{ "shrike sensor off net", "stop watching the network, until the agent starts again" },
	{ "shrike sensor set process args_max=8192", "keep longer command lines" },
};

const struct verb verb_sensor = {
	.name = "sensor",
	.summary = "list the sensors, switch one on or off, set its options",
	.usage = "list | on NAME | off NAME | set NAME KEY=VALUE...",
	.about = "Changes the running agent, not its configuration file: a restart forgets it. What a sensor takes "
		 "stands in the configuration under sensors.NAME; values are written as there.",
	.options = options,
	.n_options = countof(options),
	.options_size = sizeof(struct sensor_options),
	.examples = examples,
	.n_examples = countof(examples),
	.arguments = { { .words = actions }, { .complete = COMPLETE_SENSOR }, { .complete = COMPLETE_SENSOR_KEY } },
	.run = run,
};
