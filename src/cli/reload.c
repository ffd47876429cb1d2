/* SPDX-License-Identifier: Apache-2.0 */
/* reload - makes a running agent read its configuration again. */
#include "cli/change.h"

struct reload_options {
	uint32_t output;
	char *socket;
};

static const struct verb_option options[] = {
	OPTION_OUTPUT(reload_options, "for people, or the answer of the agent as it is"),
	OPTION_SOCKET(reload_options),
};

static enum exit_code run(struct cli *cli, const void *opts, char **args, size_t n_args)
{
	const struct reload_options *o = opts;

	if (n_args)
		return cli_misused(cli, &verb_reload, "\"%s\" is one word too many", args[0]);
	return change_ask(cli, o->socket, "{\"cmd\":\"reload\"}", o->output);
}

static const struct verb_example examples[] = {
	{ "shrike check && shrike reload", "look at the configuration first" },
};

const struct verb verb_reload = {
	.name = "reload",
	.summary = "make the agent read its configuration again",
	.about = "The agent looks at the whole configuration first; with a problem anywhere in it, all stays as it "
		 "was. What changed is listed. The same happens on SIGHUP.",
	.options = options,
	.n_options = countof(options),
	.options_size = sizeof(struct reload_options),
	.examples = examples,
	.n_examples = countof(examples),
	.run = run,
};
