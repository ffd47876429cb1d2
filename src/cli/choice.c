/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/choice.h"
#include <arpa/inet.h>
#include <fnmatch.h>
#include <string.h>
#include "base/json.h"
#include "base/nearest.h"
#include "cli/view.h"
#include "rule/rule.h"

enum { COMM_MAX = 15 };

/* Also offers what may be meant: "process" for "process.*". */
static bool any_kind_fits(const char *glob, struct nearest *near, char *star, size_t star_size)
{
	const struct event_kind *kind;

	for (size_t i = 0; (kind = view_kind_at(i)); i++) {
		size_t stem = strcspn(kind->name, ".");

		if (fnmatch(glob, kind->name, 0) == 0)
			return true;
		nearest_offer(near, kind->name);
		if (strlen(glob) == stem && !strncmp(glob, kind->name, stem)) {
			(void)snprintf(star, star_size, "%.*s.*", (int)stem, kind->name);
			*near = (struct nearest) { .word = glob, .best = star };
		}
	}
	return false;
}

static enum exit_code check_kinds(struct cli *cli, const struct verb *verb, const struct option_list *kinds)
{
	for (size_t i = 0; i < kinds->n; i++) {
		struct nearest near = { .word = kinds->items[i] };
		char star[64];

		if (any_kind_fits(kinds->items[i], &near, star, sizeof(star)))
			continue;
		if (near.best)
			return cli_misused(cli, verb, "--kind: no event is called \"%s\"; did you mean '%s'?",
					   kinds->items[i], near.best);
		return cli_misused(cli, verb, "--kind: no event is called \"%s\"", kinds->items[i]);
	}
	return EXIT_OK;
}

static bool is_prefix_of_addresses(const char *text)
{
	const char *slash = strchr(text, '/');
	unsigned char bytes[16];
	char address[64], *end;
	int family;
	long bits;

	(void)snprintf(address, sizeof(address), "%.*s", (int)(slash ? slash - text : 63), text);
	family = strchr(address, ':') ? AF_INET6 : AF_INET;
	if (inet_pton(family, address, bytes) != 1)
		return false;
	if (!slash)
		return true;
	bits = strtol(slash + 1, &end, 10);
	return slash[1] >= '0' && slash[1] <= '9' && !*end && bits <= (family == AF_INET ? 32 : 128);
}

/* Only whether it is a condition: which fields there are, the agent knows that is asked. */
static enum exit_code check_where(struct cli *cli, const struct verb *verb, const char *text)
{
	AUTO(query) q = NULL;
	struct diag d = { 0 };

	if (strlen(text) > FILTER_TEXT_MAX)
		return cli_misused(cli, verb, "--where: more than %d bytes", FILTER_TEXT_MAX);
	if (condition_compile(text, strlen(text), NULL, &d, &q) < 0)
		return cli_misused(cli, verb, "--where, column %u: %s%s%s%s", d.column, d.message,
				   d.hint[0] ? "; did you mean \"" : "", d.hint, d.hint[0] ? "\"?" : "");
	return EXIT_OK;
}

enum exit_code choice_check(struct cli *cli, const struct verb *verb, const struct choice *c)
{
	if (c->descendants && !c->pid)
		return cli_misused(cli, verb, "--descendants goes with --pid: whose?");
	if (strlen(c->comm) > COMM_MAX)
		return cli_misused(cli, verb, "--comm: the kernel keeps %d bytes of a name; look for \"%.*s\"",
				   COMM_MAX, COMM_MAX, c->comm);
	if (c->address[0] && !is_prefix_of_addresses(c->address))
		return cli_misused(cli, verb, "--address: \"%s\" is neither an address nor a prefix like 10.0.0.0/8",
				   c->address);
	if (c->where[0] && check_where(cli, verb, c->where) != EXIT_OK)
		return EXIT_USAGE;
	return check_kinds(cli, verb, &c->kind);
}

struct filter_spec choice_spec(const struct choice *c)
{
	return (struct filter_spec) {
		.kinds = (const char *const *)c->kind.items,
		.n_kinds = c->kind.n,
		.pid = c->pid,
		.descendants = c->descendants,
		.comm = c->comm,
		.container = c->container,
		.path = c->path,
		.address = c->address,
		.expr = c->where,
	};
}

static void text_member(struct buf *out, const char *name, const char *value)
{
	if (!value[0])
		return;
	buf_printf(out, ",\"%s\":", name);
	json_write_str(out, value, strlen(value));
}

void choice_write(const struct choice *c, struct buf *out)
{
	buf_str(out, "{\"kinds\":[");
	for (size_t i = 0; i < c->kind.n; i++) {
		buf_str(out, i ? "," : "");
		json_write_str(out, c->kind.items[i], strlen(c->kind.items[i]));
	}
	buf_char(out, ']');
	if (c->pid)
		buf_printf(out, ",\"pid\":%u", c->pid);
	if (c->descendants)
		buf_str(out, ",\"descendants\":true");
	text_member(out, "comm", c->comm);
	text_member(out, "container", c->container);
	text_member(out, "path", c->path);
	text_member(out, "address", c->address);
	text_member(out, "expr", c->where);
	buf_char(out, '}');
}
