/* SPDX-License-Identifier: Apache-2.0 */
/* check - is the configuration good? Reads it as the agent would, and starts nothing. */
#include <string.h>
#include <unistd.h>
#include "agent/schema.h"
#include "base/err.h"
#include "cli/cli.h"
#include "config/config.h"
#include "sensors/sensor.h"

enum { REPORT_BYTES_MAX = 1 << 20 };

struct check_options {
	char *config;
	bool print;
};

static const struct verb_option options[] = {
	VERB_OPTION_FULL(check_options, config, "config", 'c', "FILE", OPT_STR, "",
			 "the same as FILE (default: " CONFIG_PATH ")", COMPLETE_FILE),
	VERB_FLAG(check_options, print, "print", 'p', "print all options as they would be, and where each was set"),
};

static bool is_on(const struct config *config, const struct sensor *sensor)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "sensors.%s", sensor->name);
	return config_is_enabled(config, path);
}

/* "3 sensors on (file, net, process)" */
static void list(struct cli *cli, const struct config *config, bool on)
{
	auto_buf struct buf names = { 0 };
	unsigned n = 0;

	buf_init(&names, REPORT_BYTES_MAX);
	for (const struct sensor *const *s = sensor_table; *s; s++)
		if (is_on(config, *s) == on)
			buf_printf(&names, "%s%s", n++ ? ", " : " (", (*s)->name);
	(void)fprintf(cli->out, "%u sensor%s %s%s%s", n, n == 1 ? "" : "s", on ? "on" : "off", buf_text(&names),
		      n ? ")" : "");
}

/* Problems are the answer to the question, so they go to stdout; warnings beside an "ok" are a note. */
static void tell(struct cli *cli, const struct config_report *report, bool good)
{
	auto_buf struct buf out = { 0 };

	buf_init(&out, REPORT_BYTES_MAX);
	config_report_write(report, true, &out);
	if (good)
		(void)fprintf(cli->err, "%s", buf_text(&out));
	else
		(void)cli_write(cli, &out);
}

static enum exit_code run(struct cli *cli, const void *opts, char **args, size_t n_args)
{
	const struct check_options *o = opts;
	const char *file = n_args ? args[0] : o->config;
	const struct config_schema *schema = agent_schema();
	auto_report struct config_report report = { 0 };
	AUTO(config) config = NULL;
	int r;

	if (n_args > 1 || (n_args && o->config[0]))
		return cli_misused(cli, &verb_check, "one file at a time: not \"%s\", too", args[n_args - 1]);
	if (!schema) {
		cli_say(cli, "there are more sensors and engines than the configuration can name");
		return EXIT_NO;
	}
	r = config_load(file[0] ? file : NULL, schema, &config, &report);
	tell(cli, &report, r == 0);
	if (r < 0) {
		/* Where the report is empty the file itself could not be read. */
		if (!report.n)
			return cli_failed(cli);
		(void)fprintf(cli->out, "%zu problem%s\n", report.n_errors, report.n_errors == 1 ? "" : "s");
		return EXIT_NO;
	}
	if (o->print) {
		auto_buf struct buf out = { 0 };

		buf_init(&out, REPORT_BYTES_MAX);
		config_print(config, &out);
		(void)cli_write(cli, &out);
		return EXIT_OK;
	}
	if (!file[0] && access(CONFIG_PATH, F_OK))
		cli_say(cli, "there is no " CONFIG_PATH ": all options have their defaults");
	(void)fputs("ok: ", cli->out);
	list(cli, config, true);
	(void)fputs(", ", cli->out);
	list(cli, config, false);
	(void)fputc('\n', cli->out);
	return EXIT_OK;
}

static const struct exit_row exits[] = {
	{ EXIT_OK, "The configuration is good; there may be warnings on stderr." },
	{ EXIT_NO, "It has problems, which are listed, or cannot be read." },
	{ EXIT_USAGE, "Called wrongly." },
};

static const struct verb_example examples[] = {
	{ "shrike check ./shrike.yaml", "is this file good?" },
};

const struct verb verb_check = {
	.name = "check",
	.summary = "is the configuration good?",
	.usage = "[FILE]",
	.about = "Reads FILE, with the conf.d beside it, as the agent would and starts nothing; needs no privileges. "
		 "Each problem is told with its file, line and column.",
	.options = options,
	.n_options = countof(options),
	.options_size = sizeof(struct check_options),
	.examples = examples,
	.n_examples = countof(examples),
	.arguments = { { .complete = COMPLETE_FILE } },
	.exits = exits,
	.n_exits = countof(exits),
	.run = run,
};
