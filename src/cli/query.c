/* SPDX-License-Identifier: Apache-2.0 */
/* query - looks through events that were recorded: files of JSON lines, or what a running agent still holds. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "agent/control.h"
#include "base/err.h"
#include "cli/client.h"
#include "cli/fields.h"
#include "cli/found.h"
#include "hunt/batch.h"
#include "hunt/explain.h"
#include "hunt/recording.h"
#include "rulebook/book.h"
#include "sensors/sensor.h"

enum {
	BAR_WIDTH = 30,
	BAR_AFTER_MS = 500,
	BAR_EVERY_MS = 100,
	ALL_HELD = 1000000000,
	EXPLAIN_MAX = 32 << 20,
	PROBLEM_MAX = 1 << 16,
};

enum explain { EXPLAIN_NO, EXPLAIN_TEXT, EXPLAIN_DOT };
static const char *const explain_names[] = { "no", "text", "dot", NULL };
static const char *const dialect_names[] = { [RULE_ELASTIC] = "elastic",
					     [RULE_ENDGAME] = "endgame",
					     [RULE_ENDPOINT] = "endpoint",
					     [RULE_KQL] = "kql",
					     [RULE_SIGMA] = "sigma",
					     [RULE_SIGMA_SQL] = "sigma-sql",
					     NULL };

struct query_options_cli {
	char *file, *schema, *macros, *category, *timestamp, *tiebreaker, *limit, *socket;
	uint32_t format, dialect, explain, max_samples;
	bool count, case_sensitive;
};

#define ROW(m, n, l, a, t, d, sentence, ...) VERB_OPTION(query_options_cli, m, n, l, a, t, d, sentence, ##__VA_ARGS__)

static const struct verb_option options[] = {
	VERB_OPTION_FULL(query_options_cli, file, "file", 'f', "FILE", OPT_STR, "",
			 "many queries in one pass: a file with one JSON object a line, {\"id\":...,\"query\":\"...\"}",
			 COMPLETE_FILE),
	ROW(format, "format", 0, "FORMAT", OPT_ENUM, "table",
	    "lines for people, one JSON object for all, or one a match", .names = found_format_names),
	VERB_OPTION_FULL(
		query_options_cli, schema, "schema", 's', "NAME|FILE", OPT_STR, "",
		"what fields mean: ecs, endgame, sigma, none, or a YAML or JSON file that says it (default: ecs, and "
		"endgame for that dialect)",
		COMPLETE_FILE),
	VERB_OPTION_FULL(
		query_options_cli, macros, "macros", 0, "PATH", OPT_STR, "",
		"what the query may call: a file of macros, or a folder of rules that has some (docs/rules.md)",
		COMPLETE_FILE),
	ROW(category, "category", 0, "FIELD", OPT_STR, "",
	    "the field with the event's category, instead of the schema's"),
	ROW(timestamp, "timestamp", 0, "FIELD", OPT_STR, "",
	    "the field with the event's time; none: the order of the input counts"),
	ROW(tiebreaker, "tiebreaker", 0, "FIELD", OPT_STR, "", "the field that orders events of the same time"),
	ROW(dialect, "dialect", 0, "NAME", OPT_ENUM, "elastic",
	    "the language of the query: a kind of EQL, kql, or sigma or sigma-sql: the YAML of a rule",
	    .names = dialect_names),
	{ .value = { .name = "case-sensitive",
		     .type = OPT_BOOL,
		     .off = offsetof(struct query_options_cli, case_sensitive),
		     .def = "false",
		     .doc = "dialect endgame: upper and lower case are different" } },
	ROW(max_samples, "max-samples-per-key", 0, "N", OPT_U32, "1", "samples that are told of each join key",
	    .min = 1, .max = 100000),
	VERB_FLAG(query_options_cli, count, "count", 'c', "tell only how many matches there are"),
	ROW(limit, "limit", 0, "N", OPT_STR, "all", "tell at most N matches of each query"),
	{ .value = { .name = "explain",
		     .type = OPT_ENUM,
		     .off = offsetof(struct query_options_cli, explain),
		     .def = "no",
		     .names = explain_names,
		     .doc = "look for nothing, and tell how the query is understood; dot: its states for Graphviz" },
	  .arg = "HOW",
	  .implied = "text" },
	OPTION_SOCKET(query_options_cli),
};

/* A run of the verb. */
struct asking {
	struct cli *cli;
	const struct query_options_cli *o;
	struct batch_defaults defaults;
	struct schema *schema; /* from --schema, or NULL */
	struct book *book;     /* from --macros, or NULL */
	struct hunt *hunt;
	struct batch batch;
	bool any_wrong;
	struct timespec begun;
	int64_t shown_ms;
};

/* ---- what is asked ------------------------------------------------------------------------------------ */

static enum exit_code failed(struct cli *cli)
{
	(void)cli_failed(cli);
	return EXIT_USAGE;
}

static bool is_built_in(const char *name)
{
	for (size_t i = 0; schema_names[i]; i++)
		if (!strcmp(schema_names[i], name))
			return true;
	return false;
}

static enum exit_code take_schema(struct asking *a)
{
	auto_report struct config_report report = { 0 };
	auto_buf struct buf out = { .max = PROBLEM_MAX };
	const char *name = a->o->schema;
	int r;

	if (!name[0])
		return EXIT_OK;
	r = is_built_in(name) ? schema_named(name, &a->schema) : schema_load(name, &report, &a->schema);
	a->defaults.schema = a->schema;
	if (r == 0)
		return EXIT_OK;
	if (!report.n) {
		if (r == -ENOENT && !strchr(name, '/') && !strchr(name, '.'))
			return cli_misused(a->cli, &verb_query,
					   "--schema: \"%s\" is neither ecs, endgame, sigma, none nor a file", name);
		return failed(a->cli);
	}
	config_report_write(&report, true, &out);
	(void)fputs(buf_text(&out), a->cli->err);
	return EXIT_USAGE;
}

/* The rules that stand beside the macros may be wrong: they are not what is asked for. */
static enum exit_code take_macros(struct asking *a)
{
	auto_buf struct buf out = { .max = PROBLEM_MAX };

	if (!a->o->macros[0])
		return EXIT_OK;
	if (book_read(a->o->macros, NULL, &a->book) < 0)
		return failed(a->cli);
	for (size_t i = 0; i < a->book->n_problems; i++)
		if (a->book->problem[i].is_definition && !a->book->problem[i].is_warning) {
			book_problem_write(&a->book->problem[i], &out);
			buf_char(&out, '\n');
		}
	(void)fputs(buf_text(&out), a->cli->err);
	if (out.len)
		return EXIT_USAGE;
	if (!macros_at(a->book->macros, 0))
		return cli_misused(a->cli, &verb_query, "--macros: there are none in %s", a->o->macros);
	a->defaults.options.macros = a->book->macros;
	return EXIT_OK;
}

static bool take_limit(const char *text, uint64_t *ret_limit)
{
	char *end;

	*ret_limit = UINT64_MAX;
	if (!strcmp(text, "all"))
		return true;
	errno = 0;
	*ret_limit = strtoull(text, &end, 10);
	return text[0] >= '0' && text[0] <= '9' && !*end && !errno;
}

static enum exit_code take_options(struct asking *a)
{
	const struct query_options_cli *o = a->o;
	enum exit_code code;

	if (o->macros[0] && o->dialect != RULE_ELASTIC && o->dialect != RULE_ENDPOINT)
		return cli_misused(a->cli, &verb_query, "--macros goes with the dialects elastic and endpoint");
	a->defaults = (struct batch_defaults) {
		.category = o->category[0] ? o->category : NULL,
		.timestamp = o->timestamp[0] ? o->timestamp : NULL,
		.tiebreaker = o->tiebreaker[0] ? o->tiebreaker : NULL,
		.dialect = (enum rule_dialect)o->dialect,
		.options = { .case_sensitive = o->case_sensitive,
			     .max_samples_per_key = o->max_samples,
			     .count_only = o->count },
	};
	if (!take_limit(o->limit, &a->defaults.options.limit))
		return cli_misused(a->cli, &verb_query, "--limit: \"%s\" is neither a whole number nor all", o->limit);
	code = take_macros(a);
	return code == EXIT_OK ? take_schema(a) : code;
}

/* One query on the command line: what is wrong with it is the answer. */
static enum exit_code tell_wrong(struct asking *a, const char *text)
{
	auto_buf struct buf out = { .max = PROBLEM_MAX };
	struct hunt_result result;

	hunt_result(a->hunt, 0, &result);
	if (!result.wrong)
		return EXIT_OK;
	diag_write(result.wrong, "query", text, strlen(text), &out);
	(void)fputs(buf_text(&out), a->cli->err);
	return EXIT_USAGE;
}

static enum exit_code take_query(struct asking *a, const char *text)
{
	struct hunt_options with = a->defaults.options;
	AUTO(schema) schema = NULL;
	int r = batch_schema(&a->defaults, a->defaults.dialect, &schema);

	with.schema = schema;
	with.dialect = a->defaults.dialect;
	if (r == 0)
		r = hunt_add(a->hunt, text, strlen(text), &with);
	return r < 0 ? failed(a->cli) : r == 1 ? tell_wrong(a, text) : EXIT_OK;
}

/* ---- where events come from ---------------------------------------------------------------------------- */

/* {"shrike":{"stream":{"end":true,...}}}; what else the line says is for `shrike events`. */
static bool is_note(const struct json_node *line, bool *ret_end)
{
	const struct json_node *shrike = json_get(line, "shrike"), *stream = shrike ? json_get(shrike, "stream") : NULL;

	if (!stream || line->len != 1)
		return false;
	*ret_end = node_bool(stream, "end");
	return true;
}

static enum exit_code read_agent(struct asking *a, struct client *client, struct lines *l)
{
	struct json_doc doc;
	enum client_result result;
	bool end = false;
	struct str line;
	int r = 0;

	json_init(&doc, &client_json_limits);
	while (!end && r == 0 && (result = client_line(client, a->cli->patience_ms, &line)) == CLIENT_LINE) {
		const struct json_node *node;

		if (json_parse(&doc, line.p, line.n, &node) < 0 || node->type != JSON_OBJECT || is_note(node, &end))
			continue;
		r = lines_put(l, line.p, line.n);
		r = r < 0 ? r : lines_put(l, "\n", 1);
	}
	json_free(&doc);
	r = r < 0 ? r : lines_put_end(l);
	if (r < 0)
		return failed(a->cli);
	return end ? EXIT_OK : client_gone(a->cli, result);
}

static enum exit_code ask_agent(struct asking *a)
{
	static const char text[] = "{\"cmd\":\"events\",\"follow\":false,\"last\":1000000000,\"filter\":{}}";
	const struct json_node *answer;
	AUTO(client) client = NULL;
	AUTO(lines) l = NULL;
	struct json_doc doc;
	enum exit_code code;

	(void)cli_stop_fd(a->cli);
	code = client_open(a->cli, a->o->socket, &client);
	if (code != EXIT_OK)
		return code;
	if (lines_new("the agent", &l) < 0)
		return failed(a->cli);
	json_init(&doc, &client_json_limits);
	code = client_ask(a->cli, client, text, &doc, &answer, NULL);
	json_free(&doc);
	if (code == EXIT_OK)
		code = read_agent(a, client, l);
	if (code == EXIT_OK && hunt_input(a->hunt, take(l)) < 0)
		code = failed(a->cli);
	return code;
}

static enum exit_code open_inputs(struct asking *a, char **files, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct lines *l = NULL;
		uint64_t lost = 0;
		int r = recording_is(files[i]) ? recording_open(files[i], &l, &lost) : lines_open(files[i], &l);

		if (r < 0 || hunt_input(a->hunt, l) < 0)
			return failed(a->cli);
		if (lost)
			cli_say(a->cli, "%s: %" PRIu64 " records or blocks are missing in the recording", files[i],
				lost);
	}
	return n ? EXIT_OK : ask_agent(a);
}

/* ---- how far it is ----------------------------------------------------------------------------------------- */

static int64_t ms_since(const struct timespec *begun)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)(t.tv_sec - begun->tv_sec) * 1000 + (t.tv_nsec - begun->tv_nsec) / 1000000;
}

static bool bar(void *ctx, uint64_t done, uint64_t all)
{
	struct asking *a = ctx;
	int64_t ms = ms_since(&a->begun);
	unsigned full;

	if (ms < BAR_AFTER_MS || ms - a->shown_ms < BAR_EVERY_MS)
		return true;
	a->shown_ms = ms;
	done = done < all ? done : all;
	full = all ? (unsigned)(done * BAR_WIDTH / all) : 0;
	(void)fprintf(a->cli->err, "\r[%.*s%*s] %3u %%  %" PRIu64 " MB/s ", (int)full, "##############################",
		      (int)(BAR_WIDTH - full), "", all ? (unsigned)(done * 100 / all) : 0, done / 1000 / (uint64_t)ms);
	(void)fflush(a->cli->err);
	return true;
}

static void bar_away(struct asking *a)
{
	if (a->shown_ms)
		(void)fprintf(a->cli->err, "\r%*s\r", BAR_WIDTH + 24, "");
}

/* ---- telling ------------------------------------------------------------------------------------------------- */

static void tell_losses(struct asking *a)
{
	struct hunt_stats stats;
	uint64_t evicted;

	hunt_stats(a->hunt, &stats);
	if (stats.unreadable || stats.too_long)
		cli_say(a->cli, "%" PRIu64 " of %" PRIu64 " lines could not be read as events",
			stats.unreadable + stats.too_long, stats.events);
	evicted = stats.runner.evicted_memory + stats.runner.evicted_samples + stats.runner.evicted_rows +
		  stats.runner.keys_too_long + stats.runner.tuples_cut;
	if (evicted)
		cli_say(a->cli, "matches may be missing: there was no room for %" PRIu64 " join keys or events",
			evicted);
}

/* Nothing was found: a name that is nearly one of ours was perhaps not meant so. Events may come from anywhere. */
static void tell_slips(struct asking *a)
{
	struct hunt_result result;

	if (a->o->file[0] || !hunt_n(a->hunt) || sensor_kinds_register() < 0)
		return;
	hunt_result(a->hunt, 0, &result);
	for (uint32_t i = 1; result.query && i < result.query->n_nodes; i++) {
		const struct ir_node *n = &result.query->node[i];
		const char *meant;

		if (!fields_is_unknown(result.query, i))
			continue;
		meant = fields_guess(n->field.name, n->field.len);
		if (meant)
			cli_say(a->cli, "no event that we record has a field \"%.*s\"; did you mean \"%s\"?",
				(int)n->field.len, n->field.name, meant);
	}
}

static enum exit_code explain(struct asking *a)
{
	auto_buf struct buf out = { .max = EXPLAIN_MAX };

	for (size_t i = 0; i < hunt_n(a->hunt); i++)
		(a->o->explain == EXPLAIN_DOT ? explain_dot : explain_text)(a->hunt, i, &out);
	(void)cli_write(a->cli, &out);
	return EXIT_OK;
}

static enum exit_code look(struct asking *a, char **files, size_t n)
{
	enum exit_code code = a->o->explain && !n ? EXIT_OK : open_inputs(a, files, n);
	bool found;
	int r;

	if (code != EXIT_OK)
		return code;
	if (hunt_prepare(a->hunt) < 0)
		return failed(a->cli);
	if (a->o->explain)
		return explain(a);
	(void)clock_gettime(CLOCK_MONOTONIC, &a->begun);
	if (isatty(fileno(a->cli->err)) == 1)
		hunt_progress(a->hunt, bar, a);
	r = hunt_run(a->hunt);
	bar_away(a);
	if (r < 0)
		return failed(a->cli);
	r = found_print(a->cli, a->hunt, a->o->file[0] ? a->batch.ids : NULL, (enum found_format)a->o->format,
			a->o->count, &found);
	if (r < 0)
		return failed(a->cli);
	tell_losses(a);
	if (!found)
		tell_slips(a);
	return found ? EXIT_OK : EXIT_NO;
}

static enum exit_code ask(struct asking *a, char **args, size_t n)
{
	bool many = a->o->file[0];
	enum exit_code code;
	int r = 0;

	if (!many && !n)
		return cli_misused(a->cli, &verb_query, "what is to be looked for? shrike query 'process where ...'");
	code = take_options(a);
	if (code != EXIT_OK)
		return code;
	if (hunt_new(&a->hunt) < 0)
		return failed(a->cli);
	if (many)
		r = batch_load(a->o->file, &a->defaults, a->hunt, &a->batch);
	else
		code = take_query(a, args[0]);
	if (r < 0)
		return failed(a->cli);
	if (code != EXIT_OK)
		return code;
	code = look(a, args + !many, n - !many);
	if (!many && code != EXIT_USAGE && tell_wrong(a, args[0]) != EXIT_OK)
		return EXIT_USAGE;
	for (size_t i = 0; i < hunt_n(a->hunt) && many; i++) {
		struct hunt_result result;

		hunt_result(a->hunt, i, &result);
		a->any_wrong |= result.wrong != NULL;
	}
	return a->any_wrong && code <= EXIT_NO ? EXIT_USAGE : code;
}

static enum exit_code run(struct cli *cli, const void *opts, char **args, size_t n_args)
{
	struct asking a = { .cli = cli, .o = opts };
	enum exit_code code = ask(&a, args, n_args);

	hunt_free(a.hunt);
	book_free(a.book);
	schema_free(a.schema);
	batch_free(&a.batch);
	/* A hunt ends with matches, without, or with an error, whatever kind of error it was. */
	return code == EXIT_NO_AGENT ? EXIT_USAGE : code;
}

static const struct exit_row exits[] = {
	{ EXIT_OK, "There were matches, or the query was explained." },
	{ EXIT_NO, "There were none." },
	{ EXIT_USAGE,
	  "Called wrongly, a query is wrong, an input cannot be read, or no FILE was named and no agent could be "
	  "talked to." },
};

static const struct verb_example examples[] = {
	{ "shrike query 'process where process.name == \"nc\"' events.ndjson", "each event that matches" },
	{ "shrike query 'sequence by process.entity_id with maxspan=5s [file where file.Ext.open.created == true] "
	  "[network where true]' monday.ndjson tuesday.ndjson",
	  "what makes a file and then talks, within five seconds" },
	{ "zcat events.gz | shrike query --format ndjson 'any where user.id == \"0\"' - | jq .event.process.name",
	  "from a pipe, for another program" },
	{ "shrike query -f rules.ndjson --format json events.ndjson", "many queries in one pass" },
	{ "shrike query --macros /usr/share/shrike/rules 'process where is_shell(process.executable)' events.ndjson",
	  "with what the shipped rules have names for" },
	{ "shrike query --explain=dot 'sequence [file where true] [process where true]' | dot -Tsvg",
	  "its states as a picture" },
};

const struct verb verb_query = {
	.name = "query",
	.summary = "look through recorded events with EQL",
	.usage = "EQL [FILE...]",
	.about =
		"Runs a query in EQL over events and shows those that match, or of a sequence the events it is made "
		"of. "
		"FILE has an event a line in JSON; - is stdin. Without a FILE it asks a running agent for what it "
		"still holds. Events need not be in order.\n\n"
		"With --file all words are inputs, and each line of that file is a query: an object with \"query\", an "
		"\"id\" that comes back with the result, and any of schema, dialect, category, timestamp, tiebreaker, "
		"fields, "
		"null_values, max_samples_per_key, limit and case_sensitive. A query that is wrong has an \"error\" in "
		"the "
		"place of its result, and the others run.\n\n"
		"An index counts the events of its input from zero; null stands where an event had to be missing.",
	.options = options,
	.n_options = countof(options),
	.options_size = sizeof(struct query_options_cli),
	.examples = examples,
	.n_examples = countof(examples),
	.arguments = { { 0 }, { .complete = COMPLETE_FILE }, { .complete = COMPLETE_FILE } },
	.exits = exits,
	.n_exits = countof(exits),
	.run = run,
};
