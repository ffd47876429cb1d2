/* SPDX-License-Identifier: Apache-2.0 */
/* hash - the SHA-256 of what a process runs, from the agent: the file itself, whatever its path leads to by now. */
#include <stdlib.h>
#include <string.h>
#include "agent/control.h"
#include "cli/client.h"
#include "cli/text.h"

enum { PID_BITS = 22 }; /* of the kernel's largest */

struct hash_options {
	uint32_t output;
	char *socket;
};

static const struct verb_option options[] = {
	OPTION_OUTPUT(hash_options, "as sha256sum prints it, or the answer of the agent as it is"),
	OPTION_SOCKET(hash_options),
};

static bool is_pid(const char *text, unsigned long *ret_pid)
{
	char *end;

	*ret_pid = strtoul(text, &end, 10);
	return text[0] >= '1' && text[0] <= '9' && !*end && *ret_pid <= 1UL << PID_BITS;
}

static enum exit_code run(struct cli *cli, const void *opts, char **args, size_t n_args)
{
	const struct hash_options *o = opts;
	const struct json_node *answer;
	auto_json struct json_doc doc = { 0 };
	AUTO(client) client = NULL;
	auto_buf struct buf out = { .max = CONTROL_ANSWER_MAX };
	enum exit_code code;
	unsigned long pid;
	char request[64];
	struct str line;

	if (n_args != 1)
		return cli_misused(cli, &verb_hash, n_args ? "one process at a time" : "of which process?");
	if (!is_pid(args[0], &pid))
		return cli_misused(cli, &verb_hash, "\"%s\" is no pid", args[0]);
	json_init(&doc, &client_json_limits);
	code = client_open(cli, o->socket, &client);
	(void)snprintf(request, sizeof(request), "{\"cmd\":\"hash\",\"pid\":%lu}", pid);
	if (code == EXIT_OK)
		code = client_ask(cli, client, request, &doc, &answer, &line);
	if (code != EXIT_OK)
		return code;
	if (o->output == OUTPUT_JSON) {
		text_safe_json(&out, line.p, line.n);
	} else {
		const char *path = node_text(answer, "path");

		buf_printf(&out, "%.64s  ", node_text(answer, "sha256"));
		text_safe(&out, path, strlen(path));
	}
	buf_char(&out, '\n');
	(void)cli_write(cli, &out);
	return EXIT_OK;
}

static const struct verb_example examples[] = {
	{ "shrike hash 4711", "what does this process run?" },
};

const struct verb verb_hash = {
	.name = "hash",
	.summary = "the SHA-256 of what a process runs",
	.usage = "PID",
	.about = "The agent reads the file that the process was started from, also when it was removed or replaced "
		 "since, or "
		 "lies in a container. It keeps what it has read, so asking again costs little while the file stays "
		 "the same.",
	.options = options,
	.n_options = countof(options),
	.options_size = sizeof(struct hash_options),
	.examples = examples,
	.n_examples = countof(examples),
	.run = run,
};
