/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/change.h"
#include <string.h>
#include "agent/control.h"
#include "cli/client.h"
#include "cli/health.h"
#include "cli/text.h"

/* What the agent did about an option that is new, by the word it uses. */
static const struct {
	const char *effect, *means;
} effects[] = {
	{ "live", "applied" },
	{ "switch", "switched" },
	{ "reopen", "applied; the sensor was started anew" },
	{ "restart", "takes effect when the agent is started again" },
};

static const char *meaning(const char *effect)
{
	for (size_t i = 0; i < countof(effects); i++)
		if (!strcmp(effects[i].effect, effect))
			return effects[i].means;
	return effect;
}

static void tell(const struct json_node *answer, struct buf *out)
{
	size_t n = 0;

	for_each_item (change, answer, "changed") {
		const char *option = node_text(change, "option"), *means = meaning(node_text(change, "effect"));

		text_safe(out, option, strlen(option));
		buf_str(out, ": ");
		text_safe(out, means, strlen(means));
		buf_char(out, '\n');
		n++;
	}
	if (!n)
		buf_str(out, "nothing changed: it was so already\n");
}

enum exit_code change_ask(struct cli *cli, const char *socket, const char *request, uint32_t output)
{
	const struct json_node *answer;
	auto_json struct json_doc doc = { 0 };
	AUTO(client) client = NULL;
	auto_buf struct buf out = { 0 };
	enum exit_code code;
	struct str line;

	json_init(&doc, &client_json_limits);
	buf_init(&out, 4 * CONTROL_ANSWER_MAX);
	code = client_open(cli, socket, &client);
	if (code == EXIT_OK)
		code = client_ask(cli, client, request, &doc, &answer, &line);
	if (code != EXIT_OK)
		return code;
	if (output == OUTPUT_JSON) {
		text_safe_json(&out, line.p, line.n);
		buf_char(&out, '\n');
	} else {
		tell(answer, &out);
	}
	(void)cli_write(cli, &out);
	return EXIT_OK;
}
