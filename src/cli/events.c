/* SPDX-License-Identifier: Apache-2.0 */
/* events - what a running agent sees, as it happens, or what it still holds. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>
#include "agent/control.h"
#include "base/err.h"
#include "cli/choice.h"
#include "cli/client.h"
#include "cli/tally.h"
#include "cli/text.h"
#include "cli/view.h"

enum { LINE_MAX_BYTES = 8 << 20, ALL_HELD = 1000000000 };

struct events_options {
	struct choice choice;
	uint32_t output;
	bool count, no_follow;
	char *socket;
	uint64_t for_ns, last, limit;
};

static const struct verb_option options[] = {
	CHOICE_OPTIONS(events_options),
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

static enum exit_code check_options(struct cli *cli, const struct events_options *o, char **args, size_t n_args)
{
	if (n_args)
		return cli_misused(cli, &verb_events, "\"%s\" is no option; kinds are named by --kind %s", args[0],
				   args[0]);
	if (o->no_follow && o->for_ns)
		return cli_misused(cli, &verb_events, "--for is how long to follow, and --no-follow says not to");
	return choice_check(cli, &verb_events, &o->choice);
}

/* ---- the request ---------------------------------------------------------------------------- */

static void make_request(const struct events_options *o, struct buf *out)
{
	uint64_t last = o->no_follow && !o->last ? ALL_HELD : o->last;

	buf_printf(out, "{\"cmd\":\"events\",\"follow\":%s,\"last\":%" PRIu64 ",\"filter\":",
		   o->no_follow ? "false" : "true", last);
	choice_write(&o->choice, out);
	buf_char(out, '}');
}

/* ---- following -------------------------------------------------------------------------------- */

struct session {
	struct cli *cli;
	const struct events_options *o;
	struct client *client;
	struct json_doc doc;
	struct view view;
	struct tally tally;
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
		tally_add(&s->tally, kind && kind->type == JSON_STRING ? kind->s : "(no kind)", 1);
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
		tally_show(s->cli, &s->tally, s->o->output);
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
	tally_init(&s.tally);
	buf_init(&s.out, LINE_MAX_BYTES);
	code = session(&s);
	buf_free(&s.out);
	tally_free(&s.tally);
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
