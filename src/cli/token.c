/* SPDX-License-Identifier: Apache-2.0 */
/* token - who may use the API: makes, lists and takes back tokens, in the file that the agent reads. */
#include "api/tokens.h"
#include <string.h>
#include "base/err.h"
#include "base/json.h"
#include "cli/cli.h"

enum { LIST_MAX = 1 << 20 };

struct token_options {
	char *tokens, *cn;
	uint32_t role, events_per_s, requests_per_s, streams, output;
	struct option_list allow, deny;
};

/* At the index of enum role, but for the first. */
static const char *const roles[] = { "viewer", "operator", "admin", NULL };

static const struct verb_option options[] = {
	VERB_OPTION_FULL(token_options, tokens, "tokens", 0, "FILE", OPT_PATH, TOKENS_PATH,
			 "the file, as api.tokens of the configuration", COMPLETE_FILE),
	VERB_OPTION(token_options, role, "role", 'r', "ROLE", OPT_ENUM, "viewer", "add: what it may", .names = roles),
	VERB_OPTION(token_options, cn, "cn", 0, "NAME", OPT_STR, "",
		    "add: no token, but the client certificate of this common name"),
	VERB_OPTION(token_options, allow, "allow", 0, "TYPE", OPT_STRS, "",
		    "add: an event type that it may read, such as process.* (default: all); may be repeated",
		    .max = CONSUMER_TYPES_MAX),
	VERB_OPTION(token_options, deny, "deny", 0, "TYPE", OPT_STRS, "",
		    "add: an event type that it may not read; may be repeated", .max = CONSUMER_TYPES_MAX),
	VERB_OPTION(token_options, events_per_s, "events-per-s", 0, "N", OPT_U32, "0",
		    "add: events a second that it is sent at most; 0: no bound"),
	VERB_OPTION(token_options, requests_per_s, "requests-per-s", 0, "N", OPT_U32, "0",
		    "add: requests a second that it may make; 0: no bound"),
	VERB_OPTION(token_options, streams, "streams", 0, "N", OPT_U32, "0",
		    "add: streams at a time; 0: as api.streams says"),
	OPTION_OUTPUT(token_options, "list: as a table, or as JSON lines without the hashes"),
};

static int load(const char *path, struct tokens **ret_tokens)
{
	int r = tokens_load(path, ret_tokens);

	if (r != -ENOENT)
		return r;
	*ret_tokens = calloc(1, sizeof(**ret_tokens));
	return *ret_tokens ? 0 : err_new(-ENOMEM, "no memory for tokens");
}

static enum exit_code add_row(struct cli *cli, const struct token_options *o, const char *name)
{
	struct token_row row = { .role = (enum role)(o->role + ROLE_VIEWER),
				 .allow = o->allow,
				 .deny = o->deny,
				 .events_per_s = o->events_per_s,
				 .requests_per_s = o->requests_per_s,
				 .streams = o->streams };
	auto_buf struct buf out = { .max = 4096 };
	AUTO(tokens) t = NULL;
	auto_close int lock = -1;
	char token[TOKEN_TEXT + 1];
	int r;

	if (strlen(name) > CONSUMER_NAME_MAX || strlen(o->cn) > TOKEN_CN_MAX)
		return cli_misused(cli, &verb_token, "a name has at most %d characters, a common name %d",
				   CONSUMER_NAME_MAX, TOKEN_CN_MAX);
	(void)snprintf(row.name, sizeof(row.name), "%s", name);
	(void)snprintf(row.cn, sizeof(row.cn), "%s", o->cn);
	r = tokens_lock(o->tokens, &lock);
	if (r == 0)
		r = load(o->tokens, &t);
	if (r == 0)
		r = tokens_add(t, &row, token);
	if (r == 0)
		r = tokens_save(o->tokens, t);
	if (r < 0)
		return cli_failed(cli);
	if (token[0]) {
		buf_printf(&out, "%s\n", token);
		(void)cli_write(cli, &out);
		if (cli->is_terminal)
			cli_say(cli, "this is the only time it is shown; a running agent takes it within a second");
	}
	explicit_bzero(token, sizeof(token));
	return EXIT_OK;
}

static enum exit_code take_back(struct cli *cli, const struct token_options *o, const char *name)
{
	AUTO(tokens) t = NULL;
	auto_close int lock = -1;
	int r = tokens_lock(o->tokens, &lock);

	if (r == 0)
		r = load(o->tokens, &t);
	if (r == 0)
		r = tokens_revoke(t, name);
	if (r == 0)
		r = tokens_save(o->tokens, t);
	return r < 0 ? cli_failed(cli) : EXIT_OK;
}

static void put_types(struct buf *out, const struct token_row *row)
{
	for (size_t i = 0; i < row->allow.n; i++)
		buf_printf(out, " %s", row->allow.items[i]);
	for (size_t i = 0; i < row->deny.n; i++)
		buf_printf(out, " not:%s", row->deny.items[i]);
	if (row->events_per_s)
		buf_printf(out, " %u/s", row->events_per_s);
}

static void put_json(struct buf *out, const struct token_row *row)
{
	buf_printf(out, "{\"name\":\"%s\",\"role\":\"%s\",\"%s\":", row->name, role_names[row->role],
		   row->cn[0] ? "cn" : "id");
	(void)json_write_str(out, row->cn[0] ? row->cn : row->id, strlen(row->cn[0] ? row->cn : row->id));
	buf_str(out, ",\"created\":");
	(void)json_write_str(out, row->created, strlen(row->created));
	buf_str(out, "}\n");
}

static enum exit_code list_rows(struct cli *cli, const struct token_options *o)
{
	auto_buf struct buf out = { .max = LIST_MAX };
	AUTO(tokens) t = NULL;

	if (load(o->tokens, &t) < 0)
		return cli_failed(cli);
	if (o->output == OUTPUT_TABLE)
		buf_printf(&out, "%-24s %-9s %-20s %s\n", "NAME", "ROLE", "CREATED", "MAY READ");
	for (size_t i = 0; i < t->n; i++) {
		const struct token_row *row = &t->rows[i];

		if (o->output == OUTPUT_JSON) {
			put_json(&out, row);
			continue;
		}
		buf_printf(&out, "%-24s %-9s %-20s%s", row->name, role_names[row->role], row->created,
			   row->allow.n ? "" : " all");
		put_types(&out, row);
		if (row->cn[0])
			buf_str(&out, "  (certificate)");
		buf_char(&out, '\n');
	}
	(void)cli_write(cli, &out);
	return EXIT_OK;
}

static enum exit_code run(struct cli *cli, const void *opts, char **args, size_t n_args)
{
	const struct token_options *o = opts;

	if (n_args == 1 && !strcmp(args[0], "list"))
		return list_rows(cli, o);
	if (n_args == 2 && !strcmp(args[0], "add"))
		return add_row(cli, o, args[1]);
	if (n_args == 2 && !strcmp(args[0], "revoke"))
		return take_back(cli, o, args[1]);
	return cli_misused(cli, &verb_token, "say what to do: add NAME, list, or revoke NAME");
}

static const struct verb_example examples[] = {
	{ "shrike token add grafana", "make a token for a viewer, and print it" },
	{ "shrike token add collector --role operator --allow 'process.*' --events-per-s 10000",
	  "one that may read what processes do, and not too much of it" },
	{ "shrike token add prometheus --cn metrics.example", "let a client certificate in" },
	{ "shrike token revoke grafana", "end it, and what it has open" },
};

static const char *const actions[] = { "add", "list", "revoke", NULL };

const struct verb verb_token = {
	.name = "token",
	.summary = "say who may use the API",
	.usage = "add NAME | list | revoke NAME",
	.about =
		"Changes the file of tokens, which belongs to root; a running agent sees it within a second. Of a "
		"token "
		"only a hash is kept: who loses it makes another one. The first start of an agent makes a token for an "
		"admin, named \"first\", and puts it beside the file.",
	.options = options,
	.n_options = countof(options),
	.options_size = sizeof(struct token_options),
	.examples = examples,
	.n_examples = countof(examples),
	.arguments = { { .words = actions } },
	.run = run,
};
