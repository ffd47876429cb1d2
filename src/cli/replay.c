/* SPDX-License-Identifier: Apache-2.0 */
/* replay - recorded events once more, as an agent would see them. */
#include "replay/replay.h"
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/err.h"
#include "cli/choice.h"
#include "cli/client.h"
#include "cli/tally.h"
#include "cli/text.h"
#include "cli/view.h"
#include "hunt/schema.h"
#include "sensors/sensor.h"

enum {
	LINE_MAX_BYTES = 8 << 20,
	SHARDS_MAX = 16, /* that are made without being asked for */
	SPEED_MAX = 1000,
	LOOK_EVERY = 64,    /* lines between two looks whether somebody wants to end */
	PROCESSES = 131072, /* a replay forgets later than an agent: what an agent forgot is told again */
	CGROUPS = 65536,
};
static const uint64_t progress_every_ns = 250 * NS_PER_MS;

struct replay_verb_options {
	struct choice choice;
	uint32_t output, shards;
	uint64_t limit, for_ns;
	bool count;
	char *speed, *from, *to, *schema, *rules;
};

static const struct verb_option options[] = {
	CHOICE_OPTIONS(replay_verb_options),
	VERB_OPTION(replay_verb_options, from, "from", 0, "DATE", OPT_STR, "",
		    "only what happened from then on: 2024-05-06T12:00:00Z, 2024-05-06"),
	VERB_OPTION(replay_verb_options, to, "to", 0, "DATE", OPT_STR, "", "only what happened before then"),
	VERB_OPTION(replay_verb_options, for_ns, "for", 0, "TIME", OPT_DURATION, "0",
		    "only so much of what happened, from --from or the first event on: 10s, 5m"),
	VERB_OPTION(replay_verb_options, limit, "limit", 0, "N", OPT_U64, "0", "end after N events"),
	VERB_OPTION(replay_verb_options, speed, "speed", 0, "N", OPT_STR, "max",
		    "how fast: 1x as it happened, 10x ten times that, max"),
	VERB_OPTION(replay_verb_options, shards, "shards", 0, "N", OPT_U32, "0",
		    "threads that work on events, which changes nothing of what comes out; 0: as many as processors",
		    .max = BUS_SHARDS_MAX),
	VERB_OPTION(replay_verb_options, schema, "schema", 0, "NAME", OPT_STR, "ecs",
		    "of JSON lines that no agent wrote: ecs, endgame, none"),
	VERB_OPTION_FULL(
		replay_verb_options, rules, "rules", 0, "PATH", OPT_STR, "",
		"not the events, but the alerts that the rules of this file or folder give on them, as lines of JSON",
		COMPLETE_FILE),
	VERB_FLAG(replay_verb_options, count, "count", 'c', "show no events, but how many there were of each kind"),
	OPTION_OUTPUT(replay_verb_options, "a line for people, or the whole event as a line of JSON"),
};

struct session {
	struct cli *cli;
	const struct replay_verb_options *o;
	struct replay *replay;
	struct json_doc doc;
	struct view view;
	struct tally tally;
	struct buf out;
	uint64_t shown, since_look, told_ns;
	bool stopped; /* the user wants to end */
	bool unread;  /* nobody reads what is written */
	bool shows_progress;
	bool has_progress; /* a line of it stands there */
};

/* ---- is it asked well? ---------------------------------------------------------------------------- */

static enum exit_code read_speed(struct cli *cli, const char *text, unsigned *ret_speed)
{
	char *end;
	unsigned long v;

	*ret_speed = 0;
	if (!strcmp(text, "max"))
		return EXIT_OK;
	v = strtoul(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || (strcmp(end, "x") != 0 && *end) || !v || v > SPEED_MAX)
		return cli_misused(cli, &verb_replay, "--speed: \"%s\" is neither 1x to %dx nor max", text, SPEED_MAX);
	*ret_speed = (unsigned)v;
	return EXIT_OK;
}

static enum exit_code read_date(struct cli *cli, const char *option, const char *text, int64_t *ret_ns)
{
	if (text[0] && !time_of_text(text, strlen(text), TIME_AUTO, ret_ns))
		return cli_misused(cli, &verb_replay, "%s: \"%s\" is no date like 2024-05-06T12:00:00Z", option, text);
	return EXIT_OK;
}

static enum exit_code check_options(struct cli *cli, const struct replay_verb_options *o, size_t n_args,
				    struct replay_options *ret_options)
{
	struct replay_options *r = ret_options;
	enum exit_code code = EXIT_OK;
	bool known = false;

	if (!n_args)
		return cli_misused(cli, &verb_replay, "of what? A recording, JSON lines, or a capture of packets");
	for (const char *const *name = schema_names; *name; name++)
		known |= !strcmp(*name, o->schema);
	if (!known)
		return cli_misused(cli, &verb_replay, "--schema: none is called \"%s\"", o->schema);
	code = read_speed(cli, o->speed, &r->speed);
	if (code == EXIT_OK)
		code = read_date(cli, "--from", o->from, &r->from_ns);
	if (code == EXIT_OK)
		code = read_date(cli, "--to", o->to, &r->to_ns);
	if (code != EXIT_OK)
		return code;
	if (o->rules[0] && o->count)
		return cli_misused(cli, &verb_replay, "--count counts events, and with --rules there are none");
	if (o->for_ns && o->to[0])
		return cli_misused(cli, &verb_replay, "--for and --to both say where to end");
	if (o->from[0] && o->to[0] && r->from_ns >= r->to_ns)
		return cli_misused(cli, &verb_replay, "--to is not later than --from");
	r->for_ns = (int64_t)(o->for_ns < INT64_MAX ? o->for_ns : INT64_MAX);
	if (r->for_ns && o->from[0] && __builtin_add_overflow(r->from_ns, r->for_ns, &r->to_ns))
		r->to_ns = INT64_MAX;
	return choice_check(cli, &verb_replay, &o->choice);
}

static unsigned default_shards(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n < 1 ? 1 : n > SHARDS_MAX ? SHARDS_MAX : (unsigned)n;
}

/* ---- rules ------------------------------------------------------------------------------------------ */

/* The engine that runs rules, with its options. */
struct judge {
	struct replay_engine engines[2]; /* NULL after it */
	void *options;
};

static void judge_close(struct judge *j)
{
	if (j->options)
		options_clear(j->engines[0].engine->options, j->engines[0].engine->n_options, j->options);
	free(j->options);
}
#define auto_judge __attribute__((cleanup(judge_close)))

static int judge_open(const char *file, struct judge *ret_judge)
{
	const struct engine *const *e = engine_table;
	auto_free char *path = realpath(file, NULL);

	if (!path)
		return err_sys(errno, "open the rules in %s", file);
	while (*e && strcmp((*e)->name, "detect") != 0)
		e++;
	ret_judge->options = *e ? calloc(1, (*e)->options_size) : NULL;
	if (!ret_judge->options)
		return err_new(-ENOMEM, "no memory for rules");
	ret_judge->engines[0] = (struct replay_engine) { *e, ret_judge->options };
	if (option_defaults((*e)->options, (*e)->n_options, ret_judge->options) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < (*e)->n_options; i++) {
		const struct option *row = &(*e)->options[i];
		int r = 0;

		/* One replay has one set of rules from end to end. */
		if (!strcmp(row->name, "watch"))
			r = option_set(row, "false", ret_judge->options);
		else if (!strcmp(row->name, "rules"))
			r = option_set(row, path, ret_judge->options);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- what comes out ---------------------------------------------------------------------------------- */

static void clear_progress(struct session *s)
{
	if (s->has_progress)
		(void)fputs("\r\033[K", s->cli->err);
	s->has_progress = false;
}

static bool wants_to_end(struct session *s)
{
	struct pollfd fd = { .fd = cli_stop_fd(s->cli), .events = POLLIN };

	s->stopped |= fd.fd >= 0 && poll(&fd, 1, 0) == 1;
	return s->stopped;
}

static bool take_line(void *arg, enum replay_what what, const char *line, size_t n)
{
	const struct json_node *event;
	struct session *s = arg;

	if (++s->since_look % LOOK_EVERY == 0 && wants_to_end(s))
		return false;
	buf_clear(&s->out);
	if (s->o->output == OUTPUT_JSON || what == REPLAY_ALERT || json_parse(&s->doc, line, n, &event) < 0) {
		text_safe_json(&s->out, line, n - 1);
		buf_char(&s->out, '\n');
	} else {
		view_event(&s->view, event, &s->out);
	}
	clear_progress(s);
	if (!cli_write(s->cli, &s->out)) {
		s->unread = true;
		return false;
	}
	s->shown++;
	return !s->o->limit || s->shown < s->o->limit;
}

static bool take_progress(void *arg, const struct input_stats *in)
{
	struct session *s = arg;
	uint64_t now;

	if (wants_to_end(s))
		return false;
	/* What came out is seen while it goes slowly. */
	if (!in && !cli_flush(s->cli)) {
		s->unread = true;
		return false;
	}
	if (!s->shows_progress || !in || !in->size)
		return true;
	now = clock_mono_ns();
	if (now - s->told_ns < progress_every_ns)
		return true;
	s->told_ns = now;
	s->has_progress = true;
	(void)fprintf(s->cli->err, "\r%3d%% %" PRIu64 " events\033[K",
		      (int)(in->done < in->size ? in->done * 100 / in->size : 100), in->items);
	(void)fflush(s->cli->err);
	return true;
}

static void say_losses(struct session *s, const char *file, const struct input_stats *in)
{
	if (in->torn_bytes)
		cli_say(s->cli, "%s: it ends in the middle: the last %" PRIu64 " byte%s were left out", file,
			in->torn_bytes, in->torn_bytes == 1 ? "" : "s");
	if (in->damaged)
		cli_say(s->cli, "%s: %" PRIu64 " damaged block%s left out", file, in->damaged,
			in->damaged == 1 ? " was" : "s were");
	if (in->lost)
		cli_say(s->cli, "%s: %" PRIu64 " record%s lost when it was recorded", file, in->lost,
			in->lost == 1 ? " was" : "s were");
	if (in->unreadable)
		cli_say(s->cli, "%s: %" PRIu64 " could not be read as %s", file, in->unreadable,
			in->unreadable == 1 ? "an event" : "events");
	if (in->too_long)
		cli_say(s->cli, "%s: %" PRIu64 " line%s passed over, too long to be events", file, in->too_long,
			in->too_long == 1 ? " was" : "s were");
}

/* ---- the verb ------------------------------------------------------------------------------------------ */

static void show_counts(struct session *s)
{
	const struct event_kind *kind;
	uint64_t n;

	for (size_t i = 0; (kind = view_kind_at(i)); i++) {
		n = replay_count(s->replay, kind);
		if (n)
			tally_add(&s->tally, kind->name, n);
		s->shown += n;
	}
	n = replay_count(s->replay, NULL);
	if (n)
		tally_add(&s->tally, "(no kind)", n);
	s->shown += n;
	tally_show(s->cli, &s->tally, s->o->output);
}

static enum exit_code replay_all(struct session *s, const struct replay_options *r, char **files, size_t n_files)
{
	auto_free struct input_stats *in = calloc(n_files, sizeof(*in));
	enum exit_code code = EXIT_OK;
	int result = in ? replay_open(r, &s->replay) : err_new(-ENOMEM, "out of memory");
	size_t n = 0;

	for (; result == 0 && n < n_files; n++)
		result = replay_file(s->replay, files[n], &in[n]);
	if (result == 0)
		result = replay_end(s->replay);
	clear_progress(s);
	/* Who has enough before the end is not told how far it had been read by then: that depends on the threads. */
	for (size_t i = 0; result != 1 && i < n; i++)
		say_losses(s, files[i], &in[i]);
	if (result < 0)
		code = cli_failed(s->cli);
	if (s->o->count && s->replay && result >= 0)
		show_counts(s);
	return code != EXIT_OK ? code : s->shown || s->unread ? EXIT_OK : EXIT_NO;
}

static enum exit_code run(struct cli *cli, const void *opts, char **args, size_t n_args)
{
	const struct replay_verb_options *o = opts;
	struct session s = { .cli = cli, .o = o, .view = { .color = cli->color } };
	struct replay_options r = { .on_line = take_line, .on_progress = take_progress, .arg = &s };
	const struct filter_spec spec = choice_spec(&o->choice);
	AUTO(filter) filter = NULL;
	auto_judge struct judge judge = { 0 };
	enum exit_code code = check_options(cli, o, n_args, &r);

	if (code != EXIT_OK)
		return code;
	if (sensor_kinds_register() < 0 || filter_compile(&spec, &filter) < 0 ||
	    option_defaults(context_option_rows, context_n_option_rows, &r.limits) < 0 ||
	    alert_defaults_usual(&r.alerts) < 0)
		return cli_failed(cli);
	if (o->rules[0] && judge_open(o->rules, &judge) < 0)
		return cli_failed(cli);
	r.engines = judge.options ? judge.engines : NULL;
	r.no_events = judge.options != NULL;
	r.limits.processes = PROCESSES;
	r.limits.cgroups = CGROUPS;
	r.filter = filter;
	r.count = o->count;
	r.schema = o->schema;
	r.shards = o->shards ?: default_shards();
	s.shows_progress = isatty(fileno(cli->err)) && (!cli->is_terminal || o->count);
	json_init(&s.doc, &client_json_limits);
	tally_init(&s.tally);
	buf_init(&s.out, LINE_MAX_BYTES);
	(void)cli_stop_fd(cli);
	code = replay_all(&s, &r, args, n_args);
	replay_free(s.replay);
	buf_free(&s.out);
	tally_free(&s.tally);
	json_free(&s.doc);
	return code;
}

static const struct exit_row exits[] = {
	{ EXIT_OK, "There were events; with --rules, something was found." },
	{ EXIT_NO, "There were none that fit, or a file could not be read, which was said on stderr." },
	{ EXIT_USAGE, "Called wrongly." },
};

static const struct verb_example examples[] = {
	{ "shrike replay /var/lib/shrike/recording --from 2024-05-06T12:00:00Z --for 5m",
	  "five minutes of a recording" },
	{ "shrike replay events.jsonl --kind process.exec -o json", "programs that began, from lines of JSON" },
	{ "shrike replay capture.pcap --speed 1x", "the packets of a capture, as they came" },
	{ "shrike replay recording --count", "how much there is of what" },
	{ "shrike replay recording --rules /usr/share/shrike/rules", "what rules would have found" },
};

const struct verb verb_replay = {
	.name = "replay",
	.summary = "recorded events once more, as an agent would see them",
	.usage = "FILE...",
	.about =
		"Replays recordings (a folder of segments, or one), JSON lines as `shrike events -o json` prints them "
		"or of other schemas (- is stdin), and captures of packets (pcap, pcapng), one after the other. Needs "
		"no agent and no privileges, and asks nothing of this host: processes, containers and names are "
		"those that were recorded.\n\n"
		"Events come in the order in which they happened, and two runs print the same. All conditions that are "
		"given must hold; of several --kind one is enough. What happened before --from is not shown, but "
		"what it tells of processes is known.",
	.options = options,
	.n_options = countof(options),
	.options_size = sizeof(struct replay_verb_options),
	.examples = examples,
	.n_examples = countof(examples),
	.arguments = { { .complete = COMPLETE_FILE }, { .complete = COMPLETE_FILE }, { .complete = COMPLETE_FILE } },
	.exits = exits,
	.n_exits = countof(exits),
	.run = run,
};
