/* SPDX-License-Identifier: Apache-2.0 */
/* run - the agent itself. It stays in the foreground: a service manager keeps it, and Ctrl-C ends it. */
#include <string.h>
#include "agent/agent.h"
#include "base/err.h"
#include "cli/cli.h"
#include "config/config.h"

struct run_options {
	char *config, *scope, *socket;
	struct option_list set;
	bool foreground, quiet;
};

static const struct verb_option options[] = {
	VERB_OPTION_FULL(run_options, config, "config", 'c', "FILE", OPT_STR, "",
			 "the configuration, with the conf.d beside it (default: " CONFIG_PATH
			 ", which may be missing)",
			 COMPLETE_FILE),
	VERB_OPTION(run_options, scope, "scope", 0, "SCOPE", OPT_STR, "",
		    "what is watched: host, cgroup:/PATH, netns:NAME (default: what the configuration says)"),
	VERB_OPTION_FULL(run_options, socket, "socket", 0, "PATH", OPT_PATH, "",
			 "where to listen (default: what the configuration says, else " CLI_SOCKET ")", COMPLETE_FILE),
	VERB_OPTION(run_options, set, "set", 0, "KEY=VALUE", OPT_STRS, "",
		    "one value on top of the configuration: sensors.file.enabled=false", .max = ARGS_LIST_MAX),
	VERB_FLAG(run_options, quiet, "quiet", 'q', "no words at the start on what is watched"),
	VERB_FLAG(run_options, foreground, "foreground", 'f', "stay in the foreground, as it always does"),
};

/* --scope and --socket are values of the configuration like any other. */
static bool add_set(const char **sets, size_t *n, const char *key, const char *value, char *room, size_t size)
{
	if (!value[0])
		return true;
	sets[(*n)++] = room;
	return (size_t)snprintf(room, size, "%s=%s", key, value) < size;
}

static enum exit_code run(struct cli *cli, const void *opts, char **args, size_t n_args)
{
	const struct run_options *o = opts;
	const char *sets[ARGS_LIST_MAX + 2];
	char scope[4096], socket[4096];
	size_t n = 0;

	if (n_args)
		return cli_misused(cli, &verb_run, "\"%s\" is one word too many; values are given as --set %s", args[0],
				   args[0]);
	for (; n < o->set.n; n++) {
		if (!strchr(o->set.items[n], '='))
			return cli_misused(cli, &verb_run, "--set: \"%s\" is not KEY=VALUE", o->set.items[n]);
		sets[n] = o->set.items[n];
	}
	if (!add_set(sets, &n, "scope", o->scope, scope, sizeof(scope)) ||
	    !add_set(sets, &n, "agent.socket", o->socket, socket, sizeof(socket)))
		return cli_misused(cli, &verb_run, "a path has at most 4,000 bytes");
	const struct agent_options agent = {
		.config_path = o->config[0] ? o->config : NULL,
		.sets = sets,
		.n_sets = n,
		.quiet = o->quiet,
	};

	return agent_run(&agent) < 0 ? cli_failed(cli) : EXIT_OK;
}

static const struct exit_row exits[] = {
	{ EXIT_OK, "It was asked to end, and did." },
	{ EXIT_NO, "It could not start, or failed later; stderr says why." },
	{ EXIT_USAGE, "Called wrongly." },
};

static const struct verb_example examples[] = {
	{ "shrike run", "watch this host" },
	{ "shrike run --scope cgroup:/system.slice/nginx.service --set sensors.file.enabled=false",
	  "watch one service, and not its files" },
};

const struct verb verb_run = {
	.name = "run",
	.summary = "run the agent: watch this host",
	.about = "Loads its programs into the kernel, which needs root, and listens on a socket for the other verbs. "
		 "It ends on SIGINT and SIGTERM and leaves nothing behind; on SIGHUP it reads its configuration again.",
	.options = options,
	.n_options = countof(options),
	.options_size = sizeof(struct run_options),
	.examples = examples,
	.n_examples = countof(examples),
	.exits = exits,
	.n_exits = countof(exits),
	.run = run,
};
