/* SPDX-License-Identifier: Apache-2.0 */
/*
 * convert - turns a recording into JSON lines, and back.
 *
 * What a recording says beside its events stands in lines of their own, which have "shrike" alone:
 *
 *	{"shrike":{"recording":{"boot_id":..,"wall_minus_boot_ns":..,"kernel":..,"host":..,"agent":..}}}
 *	{"shrike":{"recording":{"known":N}}}	the next N lines are what was known, not what happened
 *	{"shrike":{"recording":{"lost":N}}}	N events are missing here
 */
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/view.h"
#include "context/context.event.h"
#include "store/store.h"
#include "sensors/sensor.h"

enum { KNOWN_MAX = 256 << 20, OUT_AT_ONCE = 64 << 10 };

struct convert_options {
	char *file;
	bool context;
};

static const struct verb_option options[] = {
	VERB_OPTION_FULL(
		convert_options, file, "output", 'o', "FILE", OPT_STR, "",
		"where it goes: JSON lines to stdout unless named, a recording to a file that is not there yet",
		COMPLETE_FILE),
	VERB_FLAG(convert_options, context, "context", 0,
		  "with what the agent knew of each event: executable, ancestors, container, user"),
};

/* ---- to JSON ----------------------------------------------------------------------------------- */

static void text_member(struct buf *out, const char *before, const char *name, const char *text)
{
	buf_printf(out, "%s\"%s\":", before, name);
	(void)json_write_str(out, text, strlen(text));
}

static void write_origin(const struct store_origin *o, struct buf *out)
{
	text_member(out, "{\"shrike\":{\"recording\":{", "boot_id", o->boot_id);
	buf_printf(out, ",\"wall_minus_boot_ns\":%lld", o->wall_minus_boot_ns);
	text_member(out, ",", "kernel", o->kernel);
	text_member(out, ",", "host", o->host);
	text_member(out, ",", "agent", o->agent);
	buf_str(out, "}}}\n");
}

/* What stands before the happenings: lines are held back until it is known how many they are. */
struct to_json {
	struct cli *cli;
	FILE *file;
	struct buf out, known;
	uint64_t n_known;
	struct store_origin origin;
	bool begun;
};

static bool flush(struct to_json *t)
{
	bool good = !t->out.failed && fwrite(buf_text(&t->out), 1, t->out.len, t->file) == t->out.len;

	buf_clear(&t->out);
	return good;
}

static void end_known(struct to_json *t)
{
	if (!t->n_known)
		return;
	buf_printf(&t->out, "{\"shrike\":{\"recording\":{\"known\":%" PRIu64 "}}}\n", t->n_known);
	buf_add(&t->out, buf_text(&t->known), t->known.len);
	buf_clear(&t->known);
	t->n_known = 0;
}

/* False: nobody reads any more, or it cannot be written. */
static bool write_event(struct to_json *t, struct store_query *q, bool known)
{
	const struct store_origin *o = store_query_origin(q);

	if (!t->begun || memcmp(o, &t->origin, sizeof(*o)) != 0) {
		end_known(t);
		t->origin = *o;
		t->begun = true;
		event_clock_set(o->wall_minus_boot_ns);
		write_origin(o, &t->out);
	}
	if (known) {
		event_to_json(store_query_event(q), &t->known);
		t->n_known++;
		return !t->known.failed;
	}
	end_known(t);
	if (store_query_lost(q))
		buf_printf(&t->out, "{\"shrike\":{\"recording\":{\"lost\":%llu}}}\n", store_query_lost(q));
	event_to_json(store_query_event(q), &t->out);
	return t->out.len < OUT_AT_ONCE || flush(t);
}

static void tell_damage(struct cli *cli, const struct store_query *q)
{
	struct store_query_stats s;

	store_query_stats(q, &s);
	if (s.torn_bytes)
		cli_say(cli,
			"%" PRIu64 " bytes at the end make no whole block and were left out: the writer was stopped",
			(uint64_t)s.torn_bytes);
	if (s.damaged)
		cli_say(cli, "%" PRIu64 " damaged block%s left out", (uint64_t)s.damaged,
			s.damaged == 1 ? " was" : "s were");
	if (s.refused)
		cli_say(cli, "%" PRIu64 " record%s that this shrike does not know left out", (uint64_t)s.refused,
			s.refused == 1 ? " was" : "s were");
}

static enum exit_code to_json(struct cli *cli, const struct convert_options *o, const char *input)
{
	const struct store_query_spec spec = { .with_known = true, .with_context = o->context };
	auto_file FILE *file = NULL;
	struct to_json t = { .cli = cli, .file = cli->out };
	AUTO(store) store = NULL;
	AUTO(store_query) q = NULL;
	const struct ev_head *rec;
	bool good = true;
	int r;

	r = store_open_named(input, &store);
	if (r == 0)
		r = store_query_open(store, &spec, &q);
	if (r < 0)
		return cli_failed(cli);
	if (o->file[0] && strcmp(o->file, "-") != 0) {
		t.file = file = fopen(o->file, "wxe");
		if (!file) {
			(void)err_sys(errno, "make %s", o->file);
			return cli_failed(cli);
		}
	}
	buf_init(&t.out, OUT_AT_ONCE + KNOWN_MAX + 2 * EVENT_JSON_MAX);
	buf_init(&t.known, KNOWN_MAX);
	while (good && (r = store_query_next(q, &rec)) > 0)
		good = write_event(&t, q, store_query_is_known(q));
	end_known(&t);
	good = good && flush(&t) && fflush(t.file) == 0;
	if (!good && errno != EPIPE)
		(void)err_sys(errno, "write the lines");
	buf_free(&t.out);
	buf_free(&t.known);
	if (r < 0 || (!good && errno != EPIPE))
		return cli_failed(cli);
	tell_damage(cli, q);
	return EXIT_OK;
}

/* ---- to a recording ------------------------------------------------------------------------------ */

struct from_json {
	struct store_writer *writer;
	struct store_origin origin;
	struct buf known, record;
	uint64_t n_known; /* lines that are still to come */
	bool begun, has_origin;
	uint64_t line, lost;
};

/* Is it one of our own lines? Then it is done with, or *ret_error is why not. */
static bool take_note(struct from_json *f, struct json_doc *doc, const char *line, size_t n, int *ret_error)
{
	static const char start[] = "{\"shrike\":{\"recording\":";
	const struct json_node *root, *note, *clock;
	struct store_origin *o = &f->origin;

	*ret_error = 0;
	if (n < sizeof(start) - 1 || memcmp(line, start, sizeof(start) - 1) != 0)
		return false;
	*ret_error = json_parse(doc, line, n, &root);
	if (*ret_error < 0)
		return true;
	note = json_get(json_get(root, "shrike"), "recording");
	f->lost += node_u64(note, "lost");
	f->n_known += node_u64(note, "known");
	if (!json_get(note, "boot_id"))
		return true;
	if (f->begun) {
		*ret_error = err_new(-EINVAL, "several boots or hosts in one input: convert each part by itself");
		return true;
	}
	(void)snprintf(o->boot_id, sizeof(o->boot_id), "%s", node_text(note, "boot_id"));
	(void)snprintf(o->kernel, sizeof(o->kernel), "%s", node_text(note, "kernel"));
	(void)snprintf(o->host, sizeof(o->host), "%s", node_text(note, "host"));
	(void)snprintf(o->agent, sizeof(o->agent), "%s", node_text(note, "agent"));
	clock = json_get(note, "wall_minus_boot_ns");
	o->wall_minus_boot_ns = clock && clock->type == JSON_INT ? clock->i : 0;
	event_clock_set(o->wall_minus_boot_ns);
	f->has_origin = true;
	return true;
}

/* Lines of a running agent have no such line in front: of its clock, the first event tells. */
static int guess_origin(struct from_json *f, struct json_doc *doc, const char *line, size_t n)
{
	const struct json_node *root, *wall, *boot;
	int64_t wall_ns;
	int r = json_parse(doc, line, n, &root);

	if (r < 0)
		return r;
	wall = view_field(root, "@timestamp");
	boot = view_field(root, "shrike.boot_ns");
	if (!wall || wall->type != JSON_STRING || !clock_parse(wall->s, wall->len, &wall_ns) || !boot ||
	    boot->type != JSON_INT)
		return err_new(-EINVAL, "no event of shrike: it has no @timestamp, or no shrike.boot_ns");
	f->origin.wall_minus_boot_ns = wall_ns - boot->i;
	event_clock_set(f->origin.wall_minus_boot_ns);
	f->has_origin = true;
	return 0;
}

static int begin(struct from_json *f)
{
	int r = f->begun ? 0 : store_writer_begin(f->writer, &f->origin, buf_text(&f->known), f->known.len);

	f->begun = true;
	return r;
}

static int take_line(struct from_json *f, struct json_doc *doc, const char *line, size_t n)
{
	static const char zeros[8];
	int r;

	if (!n)
		return 0;
	if (take_note(f, doc, line, n, &r))
		return r;
	r = f->has_origin ? 0 : guess_origin(f, doc, line, n);
	if (r == 0)
		r = event_from_json(line, n, &f->record);
	if (r < 0)
		return r;
	if (f->n_known) {
		f->n_known--;
		/* What was known after a gap is known as well, and the file has one place for it: its beginning. */
		if (f->begun)
			return store_writer_put(f->writer, (const struct ev_head *)(const void *)f->record.data);
		buf_add(&f->known, f->record.data, f->record.len);
		buf_add(&f->known, zeros, -f->record.len % 8);
		return f->known.failed ? err_new(-E2BIG, "more was known than fits into memory") : 0;
	}
	r = begin(f);
	if (r < 0)
		return r;
	store_writer_lost(f->writer, f->lost);
	f->lost = 0;
	return store_writer_put(f->writer, (const struct ev_head *)(const void *)f->record.data);
}

static int read_lines(struct from_json *f, FILE *in)
{
	static const struct json_limits limits = { EVENT_JSON_MAX, 1 << 16, 32 };
	auto_free char *line = NULL;
	auto_json struct json_doc doc;
	size_t cap = 0;
	ssize_t n;
	int r = 0;

	json_init(&doc, &limits);
	while (r == 0 && (n = getline(&line, &cap, in)) >= 0) {
		f->line++;
		if (n && line[n - 1] == '\n')
			n--;
		if (n > EVENT_JSON_MAX)
			r = err_new(-E2BIG, "more than %d bytes", EVENT_JSON_MAX);
		else
			r = take_line(f, &doc, line, (size_t)n);
	}
	if (r < 0)
		return err_wrap(r, "line %" PRIu64, f->line);
	if (ferror(in))
		return err_sys(errno, "read the lines");
	return begin(f);
}

static enum exit_code from_json(struct cli *cli, const struct convert_options *o, const char *input)
{
	const struct store_writer_options options_of = { .path = o->file, .single_file = true };
	bool is_stdin = !strcmp(input, "-");
	auto_file FILE *opened = is_stdin ? NULL : fopen(input, "re");
	struct store_writer_stats stats = { 0 };
	struct from_json f = { 0 };
	AUTO(store_writer) writer = NULL;
	int r;

	if (!o->file[0] || !strcmp(o->file, "-"))
		return cli_misused(cli, &verb_convert,
				   "these are JSON lines; name the recording to make: --output FILE");
	if (!is_stdin && !opened) {
		(void)err_sys(errno, "open %s", input);
		return cli_failed(cli);
	}
	buf_init(&f.known, KNOWN_MAX);
	buf_init(&f.record, EV_LEN_MAX + 1);
	event_clock_set(0);
	if (access(o->file, F_OK) == 0)
		r = err_new(-EEXIST, "%s is there already: a recording is never written over", o->file);
	else
		r = store_writer_open(&options_of, &writer);
	f.writer = writer;
	if (r == 0)
		r = read_lines(&f, is_stdin ? stdin : opened);
	if (r == 0) {
		store_writer_flush(writer);
		store_writer_stats(writer, &stats);
		if (stats.last_error)
			r = err_sys(stats.last_error, "write %s", o->file);
	} else if (r != -EEXIST) {
		(void)unlink(o->file);
	}
	buf_free(&f.known);
	buf_free(&f.record);
	return r < 0 ? cli_failed(cli) : EXIT_OK;
}

/* ---- the verb ---------------------------------------------------------------------------------------- */

/* A recording through a pipe is kept in an unnamed file first: it is read by its places. */
static int keep_stdin(char *ret_path, size_t size)
{
	auto_file FILE *file = tmpfile();
	char bytes[65536];
	size_t n;

	if (!file)
		return err_sys(errno, "make a file for what comes in");
	while ((n = fread(bytes, 1, sizeof(bytes), stdin)) > 0)
		if (fwrite(bytes, 1, n, file) != n)
			return err_sys(errno, "keep what comes in");
	if (fflush(file))
		return err_sys(errno, "keep what comes in");
	n = (size_t)snprintf(ret_path, size, "/proc/self/fd/%d", fcntl(fileno(file), F_DUPFD_CLOEXEC, 3));
	return n < size ? 0 : -ENAMETOOLONG;
}

static enum exit_code run(struct cli *cli, const void *opts, char **args, size_t n_args)
{
	const struct convert_options *o = opts;
	const char *input = n_args ? args[0] : "";
	char kept[64];
	struct stat st;

	if (n_args != 1)
		return cli_misused(cli, &verb_convert, "which recording, or file of JSON lines? Name one");
	if (sensor_kinds_register() < 0)
		return cli_failed(cli);
	if (!strcmp(input, "-")) {
		if (keep_stdin(kept, sizeof(kept)) < 0)
			return cli_failed(cli);
		input = kept;
	}
	if (stat(input, &st)) {
		(void)err_sys(errno, "open %s", input);
		return cli_failed(cli);
	}
	if (S_ISDIR(st.st_mode) || store_is_segment(input))
		return to_json(cli, o, input);
	return from_json(cli, o, input);
}

static const struct exit_row exits[] = {
	{ EXIT_OK, "Converted. What a damaged recording lacks was said on stderr." },
	{ EXIT_NO, "It could not be read or written, and why was said on stderr." },
	{ EXIT_USAGE, "Called wrongly." },
};

static const struct verb_example examples[] = {
	{ "shrike convert capture.shrike | jq -r .process.name | sort | uniq -c", "a recording as JSON lines" },
	{ "shrike convert --context capture.shrike -o events.json",
	  "with executables, ancestors, containers and users as they were" },
	{ "shrike convert events.json -o capture.shrike", "and back: the same recording, no more than it said" },
	{ "shrike convert /var/lib/shrike/record", "all that the agent keeps" },
};

const struct verb verb_convert = {
	.name = "convert",
	.summary = "turn a recording into JSON lines, or back",
	.usage = "INPUT",
	.about =
		"INPUT is a segment, a folder of segments, or a file of JSON lines as `shrike convert` and `shrike "
		"events "
		"-o json` write them; - is stdin. What it is, its first bytes say.\n\n"
		"Nothing is lost either way: bytes that are no text are kept beside the text, and lines that have "
		"\"shrike\" alone keep what is no event: boot and clock, what was known at the beginning, and how many "
		"events are missing where.",
	.options = options,
	.n_options = countof(options),
	.options_size = sizeof(struct convert_options),
	.examples = examples,
	.n_examples = countof(examples),
	.arguments = { { .complete = COMPLETE_FILE } },
	.exits = exits,
	.n_exits = countof(exits),
	.run = run,
};
