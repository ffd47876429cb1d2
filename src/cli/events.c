/* SPDX-License-Identifier: Apache-2.0 */
/* events - what a running agent sees, as it happens, or what it still holds. */
#include <arpa/inet.h>
#include <errno.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>
#include "agent/control.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/map.h"
#include "cli/client.h"
#include "base/nearest.h"
#include "cli/text.h"
#include "cli/view.h"

enum { LINE_MAX_BYTES = 8 << 20, COMM_MAX = 15, KINDS_COUNTED_MAX = 1024, ALL_HELD = 1000000000 };

struct events_options {
	struct option_list kind;
	uint32_t pid, output;
	bool descendants, count, no_follow;
	char *comm, *container, *path, *address, *socket;
	uint64_t for_ns, last, limit;
};

static const struct verb_option options[] = {
	VERB_OPTION_FULL(events_options, kind, "kind", 'k', "GLOB", OPT_STRS, "",
			 "only kinds that fit: process.exec, 'file.*'", COMPLETE_KIND, .max = ARGS_LIST_MAX),
	VERB_OPTION(events_options, pid, "pid", 'p', "N", OPT_U32, "0", "only what this process does"),
	VERB_FLAG(events_options, descendants, "descendants", 'd', "with --pid: and the processes that come from it"),
	VERB_OPTION(events_options, comm, "comm", 0, "NAME", OPT_STR, "",
		    "only processes of this name, of which the kernel keeps 15 bytes"),
	VERB_OPTION(events_options, container, "container", 0, "NAME", OPT_STR, "",
		    "only this container: its name, or how its id begins"),
	VERB_OPTION(events_options, path, "path", 0, "PREFIX", OPT_PATH, "", "only files whose path begins so"),
	VERB_OPTION(events_options, address, "address", 0, "CIDR", OPT_STR, "",
		    "only connections with such an address at either end: 10.0.0.0/8, ::1"),
	VERB_OPTION(events_options, last, "last", 'n', "N", OPT_U64, "0",
		    "begin with the newest N that the agent still holds", .max = ALL_HELD),
	VERB_FLAG(events_options, no_follow, "no-follow", 0,
		  "end after what the agent holds (all of it, unless --last says how many)"),
	VERB_OPTION(events_options, limit, "limit", 0, "N", OPT_U64, "0", "end after N events"),
	VERB_OPTION(events_options, for_ns, "for", 0, "TIME", OPT_DURATION, "0", "end after this time: 10s, 5m"),
	VERB_FLAG(events_options, count, "count", 'c',
		  "show no events, but at the end how many there were of each kind"),
	OPTION_OUTPUT(events_options, "a line for people, or the whole event as a line of JSON"),
	OPTION_SOCKET(events_options),
};

/* ---- is it asked well? ------------------------------------------------------------------- */

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

static enum exit_code check_kinds(struct cli *cli, const struct option_list *kinds)
{
	for (size_t i = 0; i < kinds->n; i++) {
		struct nearest near = { .word = kinds->items[i] };
		char star[64];

		if (any_kind_fits(kinds->items[i], &near, star, sizeof(star)))
			continue;
		if (near.best)
			return cli_misused(cli, &verb_events, "--kind: no event is called \"%s\"; did you mean '%s'?",
					   kinds->items[i], near.best);
		return cli_misused(cli, &verb_events, "--kind: no event is called \"%s\"", kinds->items[i]);
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

static enum exit_code check_options(struct cli *cli, const struct events_options *o, char **args, size_t n_args)
{
	if (n_args)
		return cli_misused(cli, &verb_events, "\"%s\" is no option; kinds are named by --kind %s", args[0],
				   args[0]);
	if (o->descendants && !o->pid)
		return cli_misused(cli, &verb_events, "--descendants goes with --pid: whose?");
	if (strlen(o->comm) > COMM_MAX)
		return cli_misused(cli, &verb_events, "--comm: the kernel keeps %d bytes of a name; look for \"%.*s\"",
				   COMM_MAX, COMM_MAX, o->comm);
	if (o->address[0] && !is_prefix_of_addresses(o->address))
		return cli_misused(cli, &verb_events,
				   "--address: \"%s\" is neither an address nor a prefix like 10.0.0.0/8", o->address);
	if (o->no_follow && o->for_ns)
		return cli_misused(cli, &verb_events, "--for is how long to follow, and --no-follow says not to");
	return check_kinds(cli, &o->kind);
}

/* ---- the request ---------------------------------------------------------------------------- */

static void text_member(struct buf *out, const char *name, const char *value)
{
	if (!value[0])
		return;
	buf_printf(out, ",\"%s\":", name);
	json_write_str(out, value, strlen(value));
}

static void make_request(const struct events_options *o, struct buf *out)
{
	uint64_t last = o->no_follow && !o->last ? ALL_HELD : o->last;

	buf_printf(out, "{\"cmd\":\"events\",\"follow\":%s,\"last\":%" PRIu64 ",\"filter\":{\"kinds\":[",
		   o->no_follow ? "false" : "true", last);
	for (size_t i = 0; i < o->kind.n; i++) {
		buf_str(out, i ? "," : "");
		json_write_str(out, o->kind.items[i], strlen(o->kind.items[i]));
	}
	buf_char(out, ']');
	if (o->pid)
		buf_printf(out, ",\"pid\":%u", o->pid);
	if (o->descendants)
		buf_str(out, ",\"descendants\":true");
	text_member(out, "comm", o->comm);
	text_member(out, "container", o->container);
	text_member(out, "path", o->path);
	text_member(out, "address", o->address);
	buf_str(out, "}}");
}

/* ---- counting -------------------------------------------------------------------------------- */

struct counted {
	uint64_t n;
	char kind[64];
};

static bool counted_is(const void *item, const void *key)
{
	return !strcmp(((const struct counted *)item)->kind, key);
}

static void count(struct map *counts, const char *kind)
{
	char key[sizeof(((struct counted *)0)->kind)];
	struct counted *c;
	uint64_t hash;

	(void)snprintf(key, sizeof(key), "%s", kind);
	hash = hash_bytes(key, strlen(key), hash_seed());
	c = map_get(counts, hash, key);
	if (!c) {
		c = calloc(1, sizeof(*c));
		if (!c)
			return;
		memcpy(c->kind, key, sizeof(key));
		if (map_put(counts, hash, c) < 0) {
			free(c);
			return;
		}
	}
	c->n++;
}

static void counts_free(struct map *counts)
{
	struct counted *c;
	size_t at = 0;

	while ((c = map_next(counts, &at)))
		free(c);
	map_free(counts);
}

static int more_first(const void *a, const void *b)
{
	const struct counted *x = *(const struct counted *const *)a, *y = *(const struct counted *const *)b;

	return x->n != y->n ? x->n < y->n ? 1 : -1 : strcmp(x->kind, y->kind);
}

static void show_counts(struct cli *cli, const struct map *counts, uint32_t output)
{
	static const char *const titles[] = { ">events", "kind", NULL };
	auto_free const struct counted **sorted = calloc(counts->n + 1, sizeof(const struct counted *));
	auto_table struct table table = { 0 };
	auto_buf struct buf out = { 0 };
	size_t at = 0, n = 0;

	table_init(&table, titles);
	buf_init(&out, LINE_MAX_BYTES);
	if (!sorted)
		return;
	while (n < counts->n && (sorted[n] = map_next(counts, &at)))
		n++;
	qsort(sorted, n, sizeof(const struct counted *), more_first);
	buf_str(&out, output == OUTPUT_JSON ? "{" : "");
	for (size_t i = 0; i < n; i++) {
		table_cell(&table, "%" PRIu64, sorted[i]->n);
		table_cell(&table, "%s", sorted[i]->kind);
		if (output == OUTPUT_JSON) {
			buf_str(&out, i ? "," : "");
			json_write_str(&out, sorted[i]->kind, strlen(sorted[i]->kind));
			buf_printf(&out, ":%" PRIu64, sorted[i]->n);
		}
	}
	if (output == OUTPUT_JSON)
		buf_str(&out, "}\n");
	else if (n)
		table_print(&table, 0, &out);
	(void)cli_write(cli, &out);
}

/* ---- following -------------------------------------------------------------------------------- */

struct session {
	struct cli *cli;
	const struct events_options *o;
	struct client *client;
	struct json_doc doc;
	struct view view;
	struct map counts;
	struct buf out;
	uint64_t shown, lost, unreadable;
	bool ended; /* the agent has said that this is all */
};

/* {"shrike":{"stream":{...}}} among the events. */
static bool take_note(struct session *s, const struct json_node *line)
{
	const struct json_node *shrike = json_get(line, "shrike"), *stream = shrike ? json_get(shrike, "stream") : NULL;
	uint64_t lost;

	if (!stream || line->len != 1)
		return false;
	s->ended = node_bool(stream, "end");
	lost = node_u64(stream, "lost");
	/* The last note has the sum of the ones before it. */
	if (s->ended && lost >= s->lost)
		lost -= s->lost;
	if (lost)
		cli_say(s->cli, "%" PRIu64 " event%s lost here: this reader was too slow", lost, lost == 1 ? "" : "s");
	s->lost += lost;
	return true;
}

/* False when there is nobody to write for. */
static bool take_line(struct session *s, struct str line)
{
	const struct json_node *event, *kind;

	if (json_parse(&s->doc, line.p, line.n, &event) < 0 || event->type != JSON_OBJECT) {
		s->unreadable++;
		return true;
	}
	if (take_note(s, event))
		return true;
	s->shown++;
	if (s->o->count) {
		kind = view_field(event, "event.dataset");
		count(&s->counts, kind && kind->type == JSON_STRING ? kind->s : "(no kind)");
		return true;
	}
	buf_clear(&s->out);
	if (s->o->output == OUTPUT_JSON) {
		text_safe_json(&s->out, line.p, line.n);
		buf_char(&s->out, '\n');
	} else {
		view_event(&s->view, event, &s->out);
	}
	return cli_write(s->cli, &s->out);
}

static int64_t now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* How long to wait for the next line: what is left of --for. */
static int left_ms(const struct session *s, int64_t begun_ms)
{
	int64_t left;

	if (!s->o->for_ns)
		return -1;
	left = begun_ms + (int64_t)(s->o->for_ns / 1000000) - now_ms();
	return left < 0 ? 0 : left > INT32_MAX ? INT32_MAX : (int)left;
}

static enum client_result follow(struct session *s)
{
	int64_t begun_ms = now_ms();

	for (;;) {
		int wait_ms = left_ms(s, begun_ms);
		enum client_result result;
		struct str line;

		/* Lines that are here already must not make --for longer. */
		if (wait_ms == 0)
			return CLIENT_TIMEOUT;
		if (!client_has_line(s->client) && !cli_flush(s->cli))
			return CLIENT_UNREAD;
		result = client_line(s->client, wait_ms, &line);
		if (result != CLIENT_LINE)
			return result;
		if (!take_line(s, line))
			return CLIENT_UNREAD;
		if (s->ended || (s->o->limit && s->shown >= s->o->limit))
			return CLIENT_LINE;
	}
}

/* "12 events, none lost on the way here": closes what ran for a while. */
static void closing_count(const struct session *s)
{
	const char *many = s->shown == 1 ? "" : "s";

	if (s->lost)
		cli_say(s->cli, "%" PRIu64 " event%s, and %" PRIu64 " lost because this reader was too slow", s->shown,
			many, s->lost);
	else
		cli_say(s->cli, "%" PRIu64 " event%s, none lost on the way here", s->shown, many);
}

/* Why a stream ended that was to go on. */
static bool agent_went(struct session *s, enum client_result result)
{
	if (result == CLIENT_FAILED)
		(void)client_gone(s->cli, result);
	else if (result == CLIENT_CLOSED)
		cli_say(s->cli,
			"the agent went away in the middle of the stream; `shrike status` tells whether one runs");
	else if (s->ended && !s->o->no_follow)
		cli_say(s->cli, "the agent has ended");
	else
		return false;
	return true;
}

static enum exit_code finish(struct session *s, enum client_result result)
{
	bool gone;

	/* Who has read enough has been served. */
	if (result == CLIENT_UNREAD)
		return EXIT_OK;
	if (s->o->count)
		show_counts(s->cli, &s->counts, s->o->output);
	if (s->unreadable)
		cli_say(s->cli, "%" PRIu64 " line%s could not be read as events", s->unreadable,
			s->unreadable == 1 ? "" : "s");
	gone = agent_went(s, result);
	if (gone || result == CLIENT_STOPPED || result == CLIENT_TIMEOUT)
		closing_count(s);
	if (gone)
		return EXIT_NO_AGENT;
	return s->shown ? EXIT_OK : EXIT_NO;
}

static enum exit_code session(struct session *s)
{
	const struct json_node *answer;
	auto_buf struct buf request = { 0 };
	enum exit_code code;

	buf_init(&request, CONTROL_LINE_MAX);
	make_request(s->o, &request);
	code = client_ask(s->cli, s->client, buf_text(&request), &s->doc, &answer, NULL);
	if (code != EXIT_OK)
		return code;
	client_watch_output(s->client);
	return finish(s, follow(s));
}

static enum exit_code run(struct cli *cli, const void *opts, char **args, size_t n_args)
{
	const struct events_options *o = opts;
	struct session s = { .cli = cli, .o = o, .view = { .color = cli->color } };
	enum exit_code code = check_options(cli, o, args, n_args);
	AUTO(client) client = NULL;

	if (code != EXIT_OK)
		return code;
	(void)cli_stop_fd(cli);
	code = client_open(cli, o->socket, &client);
	if (code != EXIT_OK)
		return code;
	s.client = client;
	json_init(&s.doc, &client_json_limits);
	map_init(&s.counts, KINDS_COUNTED_MAX, counted_is);
	buf_init(&s.out, LINE_MAX_BYTES);
	code = session(&s);
	buf_free(&s.out);
	counts_free(&s.counts);
	json_free(&s.doc);
	return code;
}

static const struct exit_row exits[] = {
	{ EXIT_OK, "There were events." },
	{ EXIT_NO, "There were none that fit, or something failed and was said on stderr." },
	{ EXIT_USAGE, "Called wrongly." },
	{ EXIT_NO_AGENT, "No agent could be talked to, or it went away." },
};

static const struct verb_example examples[] = {
	{ "shrike events", "all that happens, until Ctrl-C" },
	{ "shrike events --kind process.exec --container web", "programs that start in the container web" },
	{ "shrike events --pid 1234 --descendants --last 100",
	  "a process and what comes from it, with what the agent still holds" },
	{ "shrike events --kind 'file.*' --path /etc/ -o json | jq .process.executable", "which programs touch /etc" },
	{ "shrike events --for 10s --count", "how much there is of what" },
};

const struct verb verb_events = {
	.name = "events",
	.summary = "what the agent sees, as it happens or what it still holds",
	.about = "Follows a running agent and shows each event as a line: local time, kind, process, user, "
		 "container, and what matters for the kind. All conditions that are given must hold; of several "
		 "--kind one is enough.\n\n"
		 "What a process chose (paths, arguments, names) is shown with control characters as \\xNN, so no "
		 "event can write to your terminal. When this reader is too slow for the stream, the agent drops "
		 "events for it and the number is told on stderr.",
	.options = options,
	.n_options = countof(options),
	.options_size = sizeof(struct events_options),
	.examples = examples,
	.n_examples = countof(examples),
	.exits = exits,
	.n_exits = countof(exits),
	.run = run,
};
