/* SPDX-License-Identifier: Apache-2.0 */
/* alerts - what the rules found: lists it, follows it, tells one alert as a story, and says what became of it. */
#include <inttypes.h>
#include <langinfo.h>
#include <string.h>
#include <sys/ioctl.h>
#include "agent/control.h"
#include "base/clock.h"
#include "base/err.h"
#include "cli/alert_source.h"
#include "cli/story.h"
#include "cli/text.h"
#include "cli/view.h"

enum { DATE_WIDTH = 19, AGO_WIDTH = 8, SEVERITY_WIDTH = 13, ID_SHOWN = 8, STATE_WIDTH = 12, RULE_WIDTH = 30 };

enum { AS_TABLE, AS_JSON, AS_NDJSON };
static const char *const formats[] = { "table", "json", "ndjson", NULL };

struct alert_choice {
	char *severity, *rule, *process, *user, *container, *text, *since, *until, *from, *comment, *socket;
	struct option_list state;
	uint32_t limit, output;
	bool follow;
};

#define WORD(m, n, a, sentence) VERB_OPTION(alert_choice, m, n, 0, a, OPT_STR, "", sentence)

static const struct verb_option options[] = {
	VERB_FLAG(alert_choice, follow, "follow", 'f', "and then those that come or change, until Ctrl-C"),
	WORD(severity, "severity", "LEVEL", "only as severe, or more: informational, low, medium, high, critical"),
	VERB_OPTION(alert_choice, state, "state", 's', "STATE", OPT_STRS, "",
		    "only in this state: open, acknowledged, closed; may be repeated", .max = ARGS_LIST_MAX),
	WORD(rule, "rule", "ID", "only of the rule with this id"),
	WORD(process, "process", "NAME", "only those whose last event is of a process of this name"),
	WORD(user, "user", "NAME", "only those whose last event is of this user"),
	WORD(container, "container", "ID", "only those whose last event is of this container"),
	WORD(text, "text", "TEXT", "only with this text anywhere in them, in whatever letters"),
	WORD(since, "since", "TIME", "only from then on: a date (2024-02-29T12:34:56Z), or how long ago (2h)"),
	WORD(until, "until", "TIME", "only before then, said in the same way"),
	VERB_OPTION(alert_choice, limit, "limit", 'n', "N", OPT_U32, "100", "the newest so many", .min = 1,
		    .max = ALERTS_PAGE_MAX),
	VERB_OPTION_FULL(alert_choice, from, "from", 0, "FILE", OPT_STR, "",
			 "read this file, a log of alerts or the store of an agent, and ask no agent; - is stdin",
			 COMPLETE_FILE),
	VERB_OPTION(alert_choice, comment, "comment", 'm', "TEXT", OPT_STR, "", "with ack and close: why"),
	VERB_OPTION(alert_choice, output, "output", 'o', "FORMAT", OPT_ENUM, "table",
		    "for people, one document, or a line an alert", .names = formats),
	OPTION_SOCKET(alert_choice),
};

static struct story world(const struct cli *cli)
{
	struct story s = { .width = STORY_WIDTH, .color = cli->color, .now_ns = clock_wall_ns() };
	struct winsize size;

	if (cli->is_terminal && ioctl(fileno(cli->out), TIOCGWINSZ, &size) == 0 && size.ws_col)
		s.width = size.ws_col;
	s.ascii = cli->is_terminal && strcmp(nl_langinfo(CODESET), "UTF-8") != 0;
	return s;
}

/* ---- lists ---------------------------------------------------------------------------------------------------- */

struct listing {
	struct cli *cli;
	uint32_t output;
	bool cut; /* lines end at the terminal's */
	struct story story;
	struct json_doc doc;
	struct buf out;
	uint64_t shown, unreadable;
};

static void pad_to(struct buf *out, size_t begin, size_t width)
{
	size_t is = text_width(buf_text(out) + begin, out->len - begin);

	for (; is < width + 2; is++)
		buf_char(out, ' ');
}

static void put_safe(struct buf *out, const struct json_node *v)
{
	if (v && v->type == JSON_STRING)
		text_safe(out, v->s, v->len);
	else if (v && v->type == JSON_INT)
		buf_printf(out, "%" PRId64, v->i);
}

static void put_title(struct listing *l)
{
	buf_clear(&l->out);
	buf_printf(&l->out, "%-*s  %-*s  %-*s  %-*s  %-*s  %-*s  %s\n", DATE_WIDTH, "time", AGO_WIDTH, "",
		   SEVERITY_WIDTH, "severity", ID_SHOWN, "id", STATE_WIDTH, "state", RULE_WIDTH, "rule", "of");
	(void)cli_write(l->cli, &l->out);
}

/* "sh[4711] ann web-1", as far as it is known. */
static void put_of(const struct json_node *alert, struct buf *out)
{
	const struct json_node *pid = view_field(alert, "process.pid"), *user = view_field(alert, "user.name");
	const struct json_node *name = view_field(alert, "process.name");
	const struct json_node *container = view_field(alert, "container.name");
	const struct json_node *id = view_field(alert, "container.id"), *folded, *rule = view_field(alert, "rule.id");

	/* Trouble of the agent's own: what it is says more than which process it was busy with. */
	if (rule && rule->type == JSON_STRING && !strncmp(rule->s, "shrike-", 7) && !view_field(alert, "rule.name")) {
		put_safe(out, view_field(alert, "message"));
		return;
	}

	put_safe(out, name ? name : view_field(alert, "process.executable"));
	if (pid) {
		buf_char(out, '[');
		put_safe(out, pid);
		buf_char(out, ']');
	}
	user = user ? user : view_field(alert, "user.id");
	if (user) {
		buf_char(out, ' ');
		put_safe(out, user);
	}
	if (container) {
		buf_str(out, " in ");
		put_safe(out, container);
	} else if (id && id->type == JSON_STRING) {
		buf_str(out, " in ");
		text_safe(out, id->s, id->len < 12 ? id->len : 12);
	}
	folded = view_field(alert, "shrike.alert.folded");
	if (folded && folded->type == JSON_INT && folded->i > 0)
		buf_printf(out, " (and %" PRId64 " more)", folded->i);
}

/* No more than so many columns. */
static void cut_at(struct buf *b, size_t columns)
{
	size_t n = b->len;

	while (n && text_width(b->data, n) > columns)
		do
			n--;
		while (n && ((unsigned char)b->data[n] & 0xc0) == 0x80);
	b->len = n;
}

static void put_row(struct listing *l, const struct json_node *alert)
{
	const struct json_node *at = view_field(alert, "@timestamp"), *own = view_field(alert, "shrike.alert");
	const struct json_node *rule = view_field(alert, "rule.id");
	const char *severity = node_text(own, "severity");
	auto_buf struct buf rest = { .max = 1 << 16 };
	struct buf *out = &l->out;
	size_t begin = out->len, used;
	int64_t ns;

	if (at && at->type == JSON_STRING && clock_parse(at->s, at->len, &ns)) {
		story_date(ns, out);
		pad_to(out, begin, DATE_WIDTH);
		begin = out->len;
		story_ago(ns, l->story.now_ns, out);
		pad_to(out, begin, AGO_WIDTH);
	} else {
		buf_printf(out, "%*s", DATE_WIDTH + AGO_WIDTH + 4, "");
	}
	if (l->story.color)
		buf_printf(out, "\033[%sm", story_color(severity));
	begin = out->len;
	text_safe(out, severity, strlen(severity));
	used = out->len;
	if (l->story.color)
		buf_str(out, "\033[0m");
	for (used = text_width(buf_text(out) + begin, used - begin); used < SEVERITY_WIDTH + 2; used++)
		buf_char(out, ' ');
	begin = out->len;
	text_safe(out, node_text(own, "id"), strnlen(node_text(own, "id"), ID_SHOWN));
	pad_to(out, begin, ID_SHOWN);
	begin = out->len;
	text_safe(out, node_text(own, "state"), strlen(node_text(own, "state")));
	pad_to(out, begin, STATE_WIDTH);
	put_safe(&rest, rule);
	pad_to(&rest, 0, RULE_WIDTH);
	put_of(alert, &rest);
	used = DATE_WIDTH + AGO_WIDTH + SEVERITY_WIDTH + ID_SHOWN + STATE_WIDTH + 5 * 2;
	if (l->cut)
		cut_at(&rest, l->story.width > used + 10 ? l->story.width - used : 10);
	buf_add(out, buf_text(&rest), rest.len);
	while (out->len && out->data[out->len - 1] == ' ')
		out->len--;
	buf_char(out, '\n');
}

static bool list_one(void *arg, struct str line)
{
	struct listing *l = arg;
	const struct json_node *alert;

	buf_clear(&l->out);
	if (l->output != AS_TABLE) {
		if (l->output == AS_JSON)
			buf_str(&l->out, l->shown ? ",\n" : "{\"alerts\":[\n");
		text_safe_json(&l->out, line.p, line.n);
		buf_str(&l->out, l->output == AS_JSON ? "" : "\n");
		l->shown++;
		return cli_write(l->cli, &l->out);
	}
	if (json_parse(&l->doc, line.p, line.n, &alert) < 0 || !view_field(alert, "shrike.alert.id")) {
		err_clear();
		l->unreadable++;
		return true;
	}
	if (!l->shown++)
		put_title(l);
	buf_clear(&l->out);
	l->story.now_ns = clock_wall_ns();
	put_row(l, alert);
	return cli_write(l->cli, &l->out);
}

static void add_word(struct alert_words *words, const char *word, const char *value)
{
	if (!*value)
		return;
	words->word[words->n] = word;
	words->value[words->n++] = value;
}

static void make_words(const struct alert_choice *o, struct buf *states, char limit[16], struct alert_words *words)
{
	for (size_t i = 0; i < o->state.n; i++)
		buf_printf(states, "%s%s", i ? "," : "", o->state.items[i]);
	(void)snprintf(limit, 16, "%u", o->limit);
	add_word(words, "severity", o->severity);
	add_word(words, "state", buf_text(states));
	add_word(words, "rule", o->rule);
	add_word(words, "process", o->process);
	add_word(words, "user", o->user);
	add_word(words, "container", o->container);
	add_word(words, "text", o->text);
	add_word(words, "since", o->since);
	add_word(words, "until", o->until);
	add_word(words, "limit", limit);
}

/* `narrow`: conditions were given. */
static enum exit_code end_list(struct listing *l, bool more, bool follow, bool narrow)
{
	if (l->output == AS_JSON) {
		buf_clear(&l->out);
		buf_printf(&l->out, "%s],\"more\":%s}\n", l->shown ? "\n" : "{\"alerts\":[", more ? "true" : "false");
		(void)cli_write(l->cli, &l->out);
	}
	if (l->unreadable)
		cli_say(l->cli, "%" PRIu64 " alert%s could not be read", l->unreadable, l->unreadable == 1 ? "" : "s");
	if (more && l->output == AS_TABLE && !follow)
		cli_say(l->cli, "there are older ones: --limit and --until show them");
	/* Nothing at all would look as if something were broken. */
	if (!l->shown && !l->unreadable && l->output == AS_TABLE && !follow)
		cli_say(l->cli, "no alert%s", narrow ? " fits that" : "s so far");
	return l->shown ? EXIT_OK : EXIT_NO;
}

static bool is_narrow(const struct alert_choice *o)
{
	return *o->severity || o->state.n || *o->rule || *o->process || *o->user || *o->container || *o->text ||
	       *o->since || *o->until;
}

static enum exit_code list(struct cli *cli, const struct alert_choice *o)
{
	struct listing l = { .cli = cli, .output = o->output, .cut = cli->is_terminal, .story = world(cli) };
	auto_buf struct buf states = { .max = 4096 };
	struct alert_words words = { .n = 0 };
	AUTO(alert_source) source = NULL;
	struct alerts_ask ask;
	enum exit_code code;
	char limit[16];
	bool more;

	make_words(o, &states, limit, &words);
	if (alert_words_read(&words, &ask) < 0)
		return cli_misused(cli, &verb_alerts, "%s", err_trail());
	if (o->follow && *o->from)
		return cli_misused(cli, &verb_alerts, "--follow is for an agent; a file is read once");
	if (o->follow && o->output == AS_JSON)
		return cli_misused(cli, &verb_alerts, "what has no end is no document: -o ndjson");
	if (o->follow)
		(void)cli_stop_fd(cli);
	code = alert_source_open(cli, o->socket, o->from, &source);
	if (code != EXIT_OK)
		return code;
	json_init(&l.doc, &client_json_limits);
	buf_init(&l.out, 4 * CONTROL_ANSWER_MAX);
	code = alert_source_list(source, &words, o->follow, list_one, &l, &more);
	if (code == EXIT_OK)
		code = end_list(&l, more, o->follow, is_narrow(o));
	buf_free(&l.out);
	json_free(&l.doc);
	return code;
}

/* ---- one -------------------------------------------------------------------------------------------------------- */

static bool show_one(void *arg, struct str line)
{
	struct listing *l = arg;
	const struct json_node *alert;

	buf_clear(&l->out);
	if (l->output != AS_TABLE) {
		text_safe_json(&l->out, line.p, line.n);
		buf_char(&l->out, '\n');
	} else if (json_parse(&l->doc, line.p, line.n, &alert) < 0) {
		l->unreadable++;
	} else {
		buf_str(&l->out, l->shown ? "\n\n" : "");
		story_write(&l->story, alert, &l->out);
	}
	l->shown++;
	return cli_write(l->cli, &l->out);
}

static bool say_state(void *arg, struct str line)
{
	struct listing *l = arg;
	const struct json_node *alert, *rule;

	if (l->output != AS_TABLE)
		return show_one(arg, line);
	if (json_parse(&l->doc, line.p, line.n, &alert) < 0) {
		l->unreadable++;
		return true;
	}
	buf_clear(&l->out);
	put_safe(&l->out, view_field(alert, "shrike.alert.id"));
	buf_str(&l->out, " is ");
	put_safe(&l->out, view_field(alert, "shrike.alert.state"));
	rule = view_field(alert, "rule.id");
	if (rule) {
		buf_str(&l->out, " (");
		put_safe(&l->out, rule);
		buf_char(&l->out, ')');
	}
	buf_char(&l->out, '\n');
	return cli_write(l->cli, &l->out);
}

/* `state` NULL: they are shown. All are tried, whatever becomes of one. */
static enum exit_code each(struct cli *cli, const struct alert_choice *o, const char *state, char **ids, size_t n)
{
	struct listing l = { .cli = cli, .output = o->output, .story = world(cli) };
	enum exit_code code = EXIT_OK;

	json_init(&l.doc, &client_json_limits);
	buf_init(&l.out, 4 * CONTROL_ANSWER_MAX);
	for (size_t i = 0; i < n; i++) {
		AUTO(alert_source) source = NULL;
		enum exit_code one = alert_source_open(cli, o->socket, o->from, &source);

		if (one == EXIT_OK)
			one = state ? alert_source_set(source, ids[i], state, o->comment, say_state, &l)
				    : alert_source_get(source, ids[i], show_one, &l);
		code = one != EXIT_OK ? one : code;
		if (one == EXIT_NO_AGENT)
			break;
	}
	if (l.unreadable)
		cli_say(cli, "%" PRIu64 " alert%s could not be read", l.unreadable, l.unreadable == 1 ? "" : "s");
	buf_free(&l.out);
	json_free(&l.doc);
	return l.unreadable && code == EXIT_OK ? EXIT_NO : code;
}

/* ---- the verb ------------------------------------------------------------------------------------------------------
 */

static const char *const words[] = { "list", "show", "ack", "close", NULL };

static enum exit_code run(struct cli *cli, const void *opts, char **args, size_t n_args)
{
	const struct alert_choice *o = opts;
	const char *what = n_args ? args[0] : "list";
	bool sets = !strcmp(what, "ack") || !strcmp(what, "close");

	if (!strcmp(what, "list") && n_args > 1)
		return cli_misused(cli, &verb_alerts, "list takes no id; `shrike alerts show ID` shows one");
	if (!sets && *o->comment)
		return cli_misused(cli, &verb_alerts, "--comment is for ack and close");
	if (!strcmp(what, "list"))
		return list(cli, o);
	if (!sets && strcmp(what, "show") != 0)
		return cli_misused(cli, &verb_alerts, "\"%s\" is nothing to do with alerts: list, show, ack or close",
				   what);
	if (is_narrow(o) || o->follow)
		return cli_misused(cli, &verb_alerts, "%s goes by ids alone; conditions and --follow are for lists",
				   what);
	if (n_args < 2)
		return cli_misused(cli, &verb_alerts, "%s: which one? `shrike alerts` lists them with their ids", what);
	if (sets && *o->from)
		return cli_misused(cli, &verb_alerts, "%s asks the agent; a file is only read", what);
	return each(cli, o, !sets ? NULL : what[0] == 'a' ? "acknowledged" : "closed", args + 1, n_args - 1);
}

static const struct exit_row exits[] = {
	{ EXIT_OK, "There were alerts, or all was done." },
	{ EXIT_NO, "There were none that fit, or something failed and was said on stderr." },
	{ EXIT_USAGE, "Called wrongly." },
	{ EXIT_NO_AGENT, "No agent could be talked to, or it went away." },
};

static const struct verb_example examples[] = {
	{ "shrike alerts", "the newest hundred" },
	{ "shrike alerts --follow --severity high", "those that matter, as they come" },
	{ "shrike alerts show 4f2a91c0",
	  "one of them as a story: what happened, in which order, and what to look at next" },
	{ "shrike alerts ack 4f2a91c0 --comment 'asking the owner'", "say that you look at it" },
	{ "shrike alerts close 4f2a91c0 77e01b2d -m 'the backup job'", "say that nothing more is to be done" },
	{ "shrike alerts --since 24h --state open -o ndjson | jq .rule.id", "the open ones of a day, for a program" },
	{ "shrike alerts --from /var/lib/shrike/alerts.jsonl --rule shell-writes-cron", "what a log has of a rule" },
};

const struct verb verb_alerts = {
	.name = "alerts",
	.summary = "what the rules found, and what became of it",
	.usage = "[list | show ID... | ack ID... | close ID...]",
	.about =
		"Lists the alerts of a running agent, the newest last, with the beginning of their ids; eight digits "
		"of an "
		"id are enough to name one. All conditions that are given must hold; of several --state one is "
		"enough.\n\n"
		"`show` tells one as a story: what was seen and why it matters, who did it, the events in their order, "
		"where the processes come from, what it may be in all innocence, and what to look at next. `ack` says "
		"that somebody looks at it, `close` that nothing more is to be done; both are for root and the agent's "
		"user.\n\n"
		"With --from it reads a file and needs no agent: a log of alerts (JSON lines, as the sender `log` and "
		"`shrike replay --rules` write them) or the file that an agent keeps its alerts in.",
	.options = options,
	.n_options = countof(options),
	.options_size = sizeof(struct alert_choice),
	.arguments = { { .words = words } },
	.examples = examples,
	.n_examples = countof(examples),
	.exits = exits,
	.n_exits = countof(exits),
	.run = run,
};
