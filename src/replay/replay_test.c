/* SPDX-License-Identifier: Apache-2.0 */
/* What comes out of a replay depends on what goes in, and on nothing else. */
#include "replay/replay.h"
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/test.h"
#include "context/test_world.h"
#include "event/fuzz_kinds.h"
#include "hunt/lines.h"
#include "store/store.h"

enum { OUT_MAX = 256 << 20 };
#define STEP_NS (2 * (int64_t)NS_PER_MS)
/* Of the made-up host. Fewer where each look at memory costs ten times as much: what threads may do to each other is
 * the same. */
#ifdef __SANITIZE_THREAD__
enum { STEPS = 1500 };
#else
enum { STEPS = 6000 };
#endif

static const struct store_origin origin = {
	.boot_id = "8f3c2a1b-9d4e-4f00-aaaa-bbbbccccdddd",
	.wall_minus_boot_ns = 1715000000000000000,
	.kernel = "6.1.0",
	.host = "elsewhere",
	.agent = "0.1.0",
};

static bool register_all(void)
{
	fuzz_kinds_register();
	for (size_t i = 0; i < context_n_kinds; i++)
		if (event_kind_register(&context_kinds[i]) < 0)
			return false;
	return true;
}

/* ---- a folder for a test ------------------------------------------------------------------------- */

struct folder {
	char path[64];
};

static bool folder_make(struct folder *f)
{
	(void)snprintf(f->path, sizeof(f->path), "/tmp/shrike-replay-XXXXXX");
	return mkdtemp(f->path) != NULL;
}

static void folder_remove(struct folder *f)
{
	auto_dir DIR *dir = opendir(f->path);

	for (struct dirent *d; dir && (d = readdir(dir));)
		if (d->d_name[0] != '.')
			(void)unlinkat(dirfd(dir), d->d_name, 0);
	(void)rmdir(f->path);
}
#define auto_folder __attribute__((cleanup(folder_remove)))

static const char *path_in(const struct folder *f, const char *name)
{
	static char path[128];

	(void)snprintf(path, sizeof(path), "%s/%s", f->path, name);
	return path;
}

static void write_file(const struct folder *f, const char *name, const void *bytes, size_t n)
{
	auto_file FILE *file = fopen(path_in(f, name), "we");

	if (!file || fwrite(bytes, 1, n, file) != n)
		test_fail(T_HERE, "%s cannot be written", name);
}

/* ---- recordings ------------------------------------------------------------------------------------ */

struct recorder {
	struct store_writer *writer;
	struct context *context;
	struct buf known;
};

static void keep_known(void *arg, const struct ev_head *rec)
{
	static const char zeros[8];
	struct recorder *r = arg;

	buf_add(&r->known, rec, rec->len);
	buf_add(&r->known, zeros, -(size_t)rec->len % 8);
}

/* As the agent records: a segment begins with all that is known by then. */
static void record(void *arg, const struct ev_head *rec)
{
	struct recorder *r = arg;
	_Alignas(8) static char copy[EV_LEN_MAX];

	if (store_writer_wants_segment(r->writer)) {
		buf_clear(&r->known);
		if (context_snapshot(r->context, keep_known, r) < 0 ||
		    store_writer_begin(r->writer, &origin, r->known.data, r->known.len) < 0)
			test_fail(T_HERE, "%s", err_trail());
	}
	memcpy(copy, rec, rec->len);
	(void)context_apply(r->context, (const struct ev_head *)copy);
	if (store_writer_put(r->writer, (const struct ev_head *)copy) < 0)
		test_fail(T_HERE, "%s", err_trail());
}

static struct context_limits limits(void)
{
	struct context_limits l = { 0 };

	(void)option_defaults(context_option_rows, context_n_option_rows, &l);
	l.processes = 4096;
	l.cgroups = 256;
	return l;
}

/* Forks, programs, ends, pids used again; seconds of them. */
static bool make_recording(const char *path, bool single_file, uint64_t segment_bytes, unsigned long long seed)
{
	struct store_writer_options o = { .path = path, .single_file = single_file, .segment_bytes = segment_bytes };
	const struct context_options c = { .limits = limits(), .offline = true, .boot_id = origin.boot_id };
	struct recorder r = { .known = { .max = 16 << 20 } };
	static struct world w;
	bool ok = store_writer_open(&o, &r.writer) == 0 && context_open(&c, &r.context) == 0;

	if (ok) {
		world_begin(&w, seed, record, &r);
		w.step_ns = STEP_NS;
		for (int i = 0; i < STEPS; i++) {
			record(&r, world_step(&w));
			/* A segment can end where a block does. */
			if (i % 500 == 0)
				store_writer_flush(r.writer);
		}
	} else {
		test_fail(T_HERE, "%s", err_trail());
	}
	store_writer_free(r.writer);
	context_free(r.context);
	buf_free(&r.known);
	return ok;
}

/* ---- an engine that depends on order and time -------------------------------------------------------- */

enum { SILENT_NS = 3000000 };

/* Says which program a process was silent in, for SILENT_NS after it began to run it. */
struct silent {
	struct engine_sink sink;
	size_t n;
	struct {
		__u32 pid;
		__u64 start, due;
		char exe[32];
	} lives[STEPS];
};

static int silent_open(void **ret_state, unsigned shard, const void *options, const struct engine_sink *sink)
{
	struct silent *s = calloc(1, sizeof(*s));

	(void)shard;
	(void)options;
	if (!s)
		return -ENOMEM;
	s->sink = *sink;
	*ret_state = s;
	return 0;
}

static void silent_event(void *state, const struct event *ev)
{
	struct silent *s = state;
	size_t i = 0;
	struct value v;

	if (!ev->rec || !ev->rec->pid)
		return;
	while (i < s->n && (s->lives[i].pid != ev->rec->pid || s->lives[i].start != ev->rec->start_ns))
		i++;
	if (i == STEPS)
		return;
	s->n += i == s->n;
	s->lives[i].pid = ev->rec->pid;
	s->lives[i].start = ev->rec->start_ns;
	s->lives[i].due = 0;
	if (ev->rec->id != EV_EXEC || !event_get(ev, field_find("process.executable", 18), NULL, &v))
		return;
	s->lives[i].due = ev->rec->time_ns + SILENT_NS;
	(void)snprintf(s->lives[i].exe, sizeof(s->lives[i].exe), "%.*s", (int)v.s.n, v.s.p);
}

static void silent_time(void *state, __u64 now_ns)
{
	struct silent *s = state;

	for (size_t i = 0; i < s->n; i++) {
		char rule[96];

		if (!s->lives[i].due || s->lives[i].due > now_ns)
			continue;
		(void)snprintf(rule, sizeof(rule), "silent %u %s %llu", s->lives[i].pid, s->lives[i].exe,
			       s->lives[i].due);
		s->sink.put(s->sink.ctx, &(struct finding) { .rule = rule, .severity = 5 });
		s->lives[i].due = 0;
	}
}

/* A finding with its event, for each end of a process. */
static void ends_event(void *state, const struct event *ev)
{
	struct silent *s = state;

	s->sink.put(s->sink.ctx, &(struct finding) { .rule = "ended", .severity = 1, .event = ev });
}

static const __u16 ends_wants[] = { EV_EXIT, 0 };
static const struct engine engine_silent = {
	.name = "silent", .open = silent_open, .on_event = silent_event, .on_time = silent_time, .close = free
};
static const struct engine engine_ends = {
	.name = "ends", .wants = ends_wants, .open = silent_open, .on_event = ends_event, .close = free
};
static const struct replay_engine engines[] = { { &engine_silent, NULL }, { &engine_ends, NULL }, { NULL, NULL } };

/* ---- replaying ------------------------------------------------------------------------------------------ */

static bool keep_line(void *arg, enum replay_what what, const char *line, size_t n)
{
	(void)what;
	buf_add(arg, line, n);
	return true;
}

static struct replay_options options_to(struct buf *out, unsigned shards)
{
	return (struct replay_options) {
		.shards = shards, .limits = limits(), .on_line = keep_line, .arg = out, .engines = engines
	};
}

static int replay_files(const struct replay_options *o, const char *const *paths, struct input_stats *ret_input,
			struct replay_stats *ret_stats)
{
	AUTO(replay) r = NULL;
	struct input_stats in = { 0 };
	struct replay_stats stats;
	int result = replay_open(o, &r);

	for (; result == 0 && *paths; paths++)
		result = replay_file(r, *paths, &in);
	if (result == 0)
		result = replay_end(r);
	if (r)
		replay_stats(r, &stats);
	if (r && ret_stats)
		*ret_stats = stats;
	if (ret_input)
		*ret_input = in;
	event_clock_set(0);
	return result;
}

static void replay_into(const char *path, unsigned shards, struct buf *out)
{
	struct replay_options o = options_to(out, shards);

	buf_clear(out);
	if (replay_files(&o, (const char *const[]) { path, NULL }, NULL, NULL) != 0)
		test_fail(T_HERE, "%s", err_trail());
}

/* The next place of `part` from p on. Not strstr(): a sanitizer's reads to the end of the text at each call. */
static const char *next_in(const struct buf *b, const char *p, const char *part)
{
	return p ? memmem(p, (size_t)(b->data + b->len - p), part, strlen(part)) : NULL;
}

static size_t lines_in(const struct buf *b, const char *part)
{
	size_t n = 0;

	for (const char *p = b->data; (p = next_in(b, p, part)); p++)
		n++;
	return n;
}

static bool same(const struct buf *a, const struct buf *b)
{
	return a->len == b->len && (!a->len || !memcmp(a->data, b->data, a->len));
}

TEST(two_runs_are_the_same_to_the_byte_whatever_the_number_of_shards)
{
	static const unsigned shards[] = { 1, 1, 2, 3, 8 };
	auto_folder struct folder f = { "" };
	auto_buf struct buf first = { .max = OUT_MAX }, out = { .max = OUT_MAX };
	char path[80];

	require(register_all() && folder_make(&f));
	(void)snprintf(path, sizeof(path), "%s/recording", f.path);
	for (unsigned long long seed = 1; seed <= 2; seed++) {
		(void)unlink(path);
		require(make_recording(path, true, 0, seed));
		for (size_t i = 0; i < countof(shards); i++) {
			replay_into(path, shards[i], i ? &out : &first);
			if (i && !same(&first, &out))
				test_fail(T_HERE, "seed %llu: %u shards say something else", seed, shards[i]);
		}
		/* It is no comparison of nothing with nothing. */
		check(lines_in(&first, "\"dataset\":\"process.exec\"") > STEPS / 3);
		check(lines_in(&first, "\"name\":\"silent ") > STEPS / 300);
		check(lines_in(&first, "\"name\":\"ended\"") > STEPS / 30);
		check(lines_in(&first, "\"user\":{\"id\":3,\"name\":\"user-3-") > STEPS / 300);
		check(lines_in(&first, "8f3c2a1b9d4e4f00-") > STEPS / 3);
	}
}

static size_t count_alerts(const char *path, unsigned shards, const struct alert_defaults *alerts, struct buf *out,
			   struct replay_stats *ret_stats)
{
	struct replay_options o = options_to(out, shards);

	buf_clear(out);
	o.alerts = *alerts;
	o.no_events = true;
	if (replay_files(&o, (const char *const[]) { path, NULL }, NULL, ret_stats) != 0)
		test_fail(T_HERE, "%s", err_trail());
	return lines_in(out, "\"kind\":\"alert\"");
}

TEST(alerts_are_folded_alike_whatever_the_number_of_shards)
{
	static const unsigned shards[] = { 1, 2, 3, 8 };
	auto_folder struct folder f = { "" };
	auto_buf struct buf first = { .max = OUT_MAX }, out = { .max = OUT_MAX };
	/* Processes of all shards fall into one: who comes first decides. */
	struct alert_defaults alerts = { .fold_ns = 20 * NS_PER_MS, .n_fold_by = 1 };
	struct replay_stats stats;
	char path[80];
	size_t all;

	require(register_all() && folder_make(&f));
	alerts.fold_by[0] = field_intern("process.name", 12);
	(void)snprintf(path, sizeof(path), "%s/recording", f.path);
	require(make_recording(path, true, 0, 3));
	all = count_alerts(path, 1, &(struct alert_defaults) { 0 }, &out, &stats);
	check_int(stats.alerts, all);
	check_int(stats.folded, 0);
	for (size_t i = 0; i < countof(shards); i++) {
		const size_t n = count_alerts(path, shards[i], &alerts, i ? &out : &first, &stats);

		if (i && !same(&first, &out))
			test_fail(T_HERE, "%u shards fold otherwise", shards[i]);
		check(n > 10 && n < all - 10);
		check_int(stats.alerts, n);
		check_int(stats.findings, stats.alerts + stats.folded + stats.excepted);
		check_int(stats.findings, all);
	}
	check(lines_in(&first, "\"before\":{\"id\":\"") > 5);
}

/* The ids of alerts, one a line, sorted by where they stand. */
static void ids_of(const struct buf *lines, struct buf *ret_ids)
{
	static const char mark[] = "\"shrike\":{\"alert\":{\"id\":\"";

	buf_clear(ret_ids);
	for (const char *p = lines->data; (p = next_in(lines, p, mark)); p++) {
		buf_add(ret_ids, p + sizeof(mark) - 1, 32);
		buf_char(ret_ids, '\n');
	}
}

TEST(an_alert_has_the_same_id_from_a_recording_and_from_lines)
{
	auto_folder struct folder f = { "" };
	auto_buf struct buf lines = { .max = OUT_MAX }, out = { .max = OUT_MAX };
	auto_buf struct buf ids = { .max = OUT_MAX }, again = { .max = OUT_MAX };
	struct replay_options o = options_to(&lines, 2);
	static const struct replay_engine none[] = { { NULL, NULL } },
					  ends[] = { { &engine_ends, NULL }, { NULL, NULL } };
	char path[80];

	require(register_all() && folder_make(&f));
	(void)snprintf(path, sizeof(path), "%s/recording", f.path);
	require(make_recording(path, true, 0, 4));
	/* The lines that an agent would print, and the alerts of a recording. */
	o.engines = none;
	require(replay_files(&o, (const char *const[]) { path, NULL }, NULL, NULL) == 0);
	write_file(&f, "lines", lines.data, lines.len);
	o.engines = ends;
	o.no_events = true;
	o.arg = &out;
	require(replay_files(&o, (const char *const[]) { path, NULL }, NULL, NULL) == 0);
	ids_of(&out, &ids);
	buf_clear(&out);
	require(replay_files(&o, (const char *const[]) { path_in(&f, "lines"), NULL }, NULL, NULL) == 0);
	ids_of(&out, &again);
	check(ids.len > 33 * 100);
	check(same(&ids, &again));
}

TEST(lines_come_in_the_order_in_which_it_happened)
{
	auto_folder struct folder f = { "" };
	auto_buf struct buf out = { .max = OUT_MAX };
	char path[80], last[40] = "";
	size_t n = 0;

	require(register_all() && folder_make(&f));
	(void)snprintf(path, sizeof(path), "%s/recording", f.path);
	require(make_recording(path, true, 0, 7));
	replay_into(path, 3, &out);
	for (const char *p = out.data; (p = next_in(&out, p, "{\"@timestamp\":\"")); p++) {
		char now[40];

		/* Those within alerts stand where the alert does. */
		if (p > out.data && p[-1] != '\n')
			continue;
		(void)snprintf(now, sizeof(now), "%.30s", p + 15);
		check(strcmp(last, now) <= 0);
		memcpy(last, now, sizeof(last));
		n++;
	}
	check(n > STEPS * 2 / 3);
}

/* Segments that each say anew what is known must not make a difference to who reads them all. */
TEST(a_recording_in_many_segments_says_what_one_segment_says)
{
	auto_folder struct folder one = { "" }, many = { "" };
	auto_buf struct buf a = { .max = OUT_MAX }, b = { .max = OUT_MAX };
	struct store_summary sum;
	AUTO(store) store = NULL;
	char path[80];

	require(register_all() && folder_make(&one) && folder_make(&many));
	(void)snprintf(path, sizeof(path), "%s/recording", one.path);
	require(make_recording(path, true, 0, 11));
	require(make_recording(many.path, false, STEPS * 4, 11));
	require_ok(store_open(many.path, &store));
	store_summary(store, &sum);
	check(sum.segments >= 3);
	replay_into(path, 2, &a);
	replay_into(many.path, 3, &b);
	check(a.len > STEPS * 166);
	check(same(&a, &b));
}

TEST(a_time_range_shows_its_events_with_what_was_known_before)
{
	auto_folder struct folder f = { "" };
	auto_buf struct buf all = { .max = OUT_MAX }, part = { .max = OUT_MAX };
	struct replay_options o = options_to(&part, 2);
	const int64_t begin_ns = origin.wall_minus_boot_ns, from = begin_ns + STEPS * STEP_NS / 6,
		      to = begin_ns + STEPS * STEP_NS / 4;
	char path[80], first[64], end[CLOCK_TEXT];
	const char *begin, *stop;

	require(register_all() && folder_make(&f));
	(void)snprintf(path, sizeof(path), "%s/recording", f.path);
	require(make_recording(path, true, 0, 5));
	o.engines = NULL;
	o.from_ns = from;
	o.to_ns = to;
	require(replay_files(&o, (const char *const[]) { path, NULL }, NULL, NULL) == 0);
	o.from_ns = o.to_ns = 0;
	o.arg = &all;
	require(replay_files(&o, (const char *const[]) { path, NULL }, NULL, NULL) == 0);
	/* The very lines that all of it has there. */
	(void)snprintf(first, sizeof(first), "%.60s", buf_text(&part));
	begin = strstr(all.data, first);
	require(begin != NULL && part.len > STEPS && begin > all.data);
	check((size_t)(all.data + all.len - begin) > part.len && !memcmp(begin, part.data, part.len));
	stop = begin + part.len;
	clock_format(to, end);
	check(memcmp(stop + strlen("{\"@timestamp\":\""), end, CLOCK_TEXT) >= 0);
}

TEST(events_may_be_counted_and_filtered)
{
	const struct filter_spec spec = { .kinds = (const char *const[]) { "process.ex*" }, .n_kinds = 1 };
	auto_folder struct folder f = { "" };
	auto_buf struct buf out = { .max = OUT_MAX };
	struct replay_options o = options_to(&out, 3);
	AUTO(filter) filter = NULL;
	AUTO(replay) r = NULL;
	struct replay_stats stats;
	struct input_stats in;
	char path[80];

	require(register_all() && folder_make(&f));
	(void)snprintf(path, sizeof(path), "%s/recording", f.path);
	require(make_recording(path, true, 0, 5));
	require_ok(filter_compile(&spec, &filter));
	o.filter = filter;
	o.engines = NULL;
	o.count = true;
	require_ok(replay_open(&o, &r));
	check_int(replay_file(r, path, &in), 0);
	check_int(replay_end(r), 0);
	replay_stats(r, &stats);
	event_clock_set(0);
	check_int(out.len, 0);
	check_int(replay_count(r, event_kind_of(EV_FORK)), 0);
	check_int(replay_count(r, event_kind_of(EV_EXEC)) + replay_count(r, event_kind_of(EV_EXIT)), stats.shown);
	check(stats.shown > STEPS / 3 && stats.shown < stats.events);
	check_int(in.items, in.done);
}

/* ---- other inputs -------------------------------------------------------------------------------------------- */

/* What was replayed, replayed: the context is in the lines by now, and they come out as they are. */
TEST(lines_that_a_replay_has_printed_replay_to_themselves)
{
	auto_folder struct folder f = { "" };
	auto_buf struct buf out = { .max = OUT_MAX }, again = { .max = OUT_MAX };
	struct replay_options o = options_to(&out, 2);
	char path[80];

	require(register_all() && folder_make(&f));
	(void)snprintf(path, sizeof(path), "%s/recording", f.path);
	require(make_recording(path, true, 0, 3));
	o.engines = NULL;
	require(replay_files(&o, (const char *const[]) { path, NULL }, NULL, NULL) == 0);
	write_file(&f, "lines", out.data, out.len);
	o.arg = &again;
	o.shards = 3;
	require(replay_files(&o, (const char *const[]) { path_in(&f, "lines"), NULL }, NULL, NULL) == 0);
	check(out.len > STEPS * 166);
	check(same(&out, &again));
}

/* Lines of the bare records, as a recording is turned into text: the context is made again from them. */
TEST(lines_of_bare_records_replay_as_the_recording)
{
	auto_folder struct folder f = { "" };
	auto_buf struct buf lines = { .max = OUT_MAX }, a = { .max = OUT_MAX }, b = { .max = OUT_MAX };
	const struct store_query_spec all = { .with_known = true };
	AUTO(store) store = NULL;
	AUTO(store_query) q = NULL;
	const struct ev_head *rec;
	char path[80];

	require(register_all() && folder_make(&f));
	(void)snprintf(path, sizeof(path), "%s/recording", f.path);
	require(make_recording(path, true, 0, 4));
	require_ok(store_open(path, &store));
	require_ok(store_query_open(store, &all, &q));
	event_clock_set(origin.wall_minus_boot_ns);
	buf_printf(&lines, "{\"shrike\":{\"recording\":{\"boot_id\":\"%s\"}}}\n", origin.boot_id);
	buf_str(&lines, "{\"shrike\":{\"recording\":{\"lost\":3}}}\n{\"shrike\":{\"recording\":{\"known\":5}}}\n");
	while (store_query_next(q, &rec) == 1)
		event_to_json(&(struct event) { .rec = rec, .kind = event_kind_of(rec->id) }, &lines);
	event_clock_set(0);
	write_file(&f, "lines", lines.data, lines.len);
	replay_into(path, 2, &a);
	replay_into(path_in(&f, "lines"), 3, &b);
	check(a.len > STEPS * 166);
	check(same(&a, &b));
}

/* An alert among an agent's lines does not make it another host. */
TEST(lines_of_an_agent_and_others_may_stand_in_one_file)
{
	auto_folder struct folder f = { "" };
	auto_buf struct buf lines = { .max = OUT_MAX }, out = { .max = OUT_MAX };
	struct replay_options o = options_to(&lines, 2);
	char path[80];
	size_t found;

	require(register_all() && folder_make(&f));
	(void)snprintf(path, sizeof(path), "%s/recording", f.path);
	require(make_recording(path, true, 0, 6));
	require(replay_files(&o, (const char *const[]) { path, NULL }, NULL, NULL) == 0);
	found = lines_in(&lines, "\"event\":{\"kind\":\"alert\"");
	write_file(&f, "lines", lines.data, lines.len);
	o.arg = &out;
	require(replay_files(&o, (const char *const[]) { path_in(&f, "lines"), NULL }, NULL, NULL) == 0);
	/* The engines find the same once more, beside what they found before. */
	check(found > 200);
	check_int(lines_in(&out, "\"event\":{\"kind\":\"alert\""), 2 * found);
}

static const char foreign[] = "{\"@timestamp\":\"2024-05-06T12:00:01Z\",\"event\":{\"category\":\"process\"},"
			      "\"process\":{\"pid\":5,\"name\":\"a\"}}\n"
			      "\n"
			      "{\"@timestamp\":\"2024-05-06T12:00:03Z\",\"x\":3}\n"
			      "{\"@timestamp\":\"2024-05-06T12:00:03Z\",\"x\":4}\n"
			      "no json\n"
			      "{\"x\":5}\n"
			      "{\"@timestamp\":\"2024-05-06T12:00:02.9Z\",\"x\":2}\n";

TEST(events_of_other_schemas_come_out_as_they_are_in_order)
{
	const struct filter_spec spec = { .pid = 5, .comm = "a" };
	auto_folder struct folder f = { "" };
	auto_buf struct buf out = { .max = OUT_MAX };
	struct replay_options o = options_to(&out, 3);
	AUTO(filter) filter = NULL;
	struct input_stats in;

	require(register_all() && folder_make(&f));
	write_file(&f, "lines", foreign, sizeof(foreign) - 1);
	require(replay_files(&o, (const char *const[]) { path_in(&f, "lines"), NULL }, &in, NULL) == 0);
	/* One that is a moment late goes to its place; one without a time stays behind the one before it. */
	check_str(buf_text(&out), "{\"@timestamp\":\"2024-05-06T12:00:01Z\",\"event\":{\"category\":\"process\"},"
				  "\"process\":{\"pid\":5,\"name\":\"a\"}}\n"
				  "{\"@timestamp\":\"2024-05-06T12:00:02.9Z\",\"x\":2}\n"
				  "{\"@timestamp\":\"2024-05-06T12:00:03Z\",\"x\":3}\n"
				  "{\"@timestamp\":\"2024-05-06T12:00:03Z\",\"x\":4}\n"
				  "{\"x\":5}\n");
	check_int(in.items, 5);
	check_int(in.unreadable, 1);

	require_ok(filter_compile(&spec, &filter));
	o.filter = filter;
	buf_clear(&out);
	require(replay_files(&o, (const char *const[]) { path_in(&f, "lines"), NULL }, NULL, NULL) == 0);
	check_int(lines_in(&out, "\n"), 1);
	check_has(buf_text(&out), "\"name\":\"a\"");
}

TEST(packets_of_a_capture_are_events)
{
	static const unsigned char
		capture[] = {
			0xd4, 0xc3, 0xb2, 0xa1, 2,  0,    4,    0, 0,  0,  0, 0, 0,   0, 0, 0, 0,
			0,    4,    0,    101,  0,  0,    0,                                   /* raw IP */
			0xe0, 0xc4, 0x38, 0x66, 7,  0,    0,    0, 28, 0,  0, 0, 60,  0, 0, 0, /* a time in May 2024 */
			0x45, 0,    0,    28,   0,  0,    0,    0, 64, 17, 0, 0, 192, 0, 2, 1, 192,
			0,    2,    2,    0,    53, 0x30, 0x39, 0, 8,  0,  0,
		};
	auto_folder struct folder f = { "" };
	auto_buf struct buf out = { .max = OUT_MAX };
	struct replay_options o = options_to(&out, 2);
	struct input_stats in;

	require(register_all() && folder_make(&f));
	write_file(&f, "capture", capture, sizeof(capture));
	require(replay_files(&o, (const char *const[]) { path_in(&f, "capture"), NULL }, &in, NULL) == 0);
	check_has(buf_text(&out), "\"dataset\":\"packet.captured\"");
	check_has(buf_text(&out), "{\"@timestamp\":\"2024-05-06T11:54:08.000007000Z\"");
	check_has(buf_text(&out), "\"source\":{\"ip\":\"192.0.2.1\",\"port\":53}");
	check_has(buf_text(&out), "\"transport\":\"udp\"");
	check_has(buf_text(&out), "\"packet\":\"4500001c");
	check_has(buf_text(&out), "\"flags\":[\"truncated\"]");
	check_int(in.torn_bytes, 0);
	write_file(&f, "capture", capture, sizeof(capture) - 1);
	buf_clear(&out);
	require(replay_files(&o, (const char *const[]) { path_in(&f, "capture"), NULL }, &in, NULL) == 0);
	check_int(out.len, 0);
	check_int(in.torn_bytes, 43);
}

TEST(what_is_no_recording_is_refused)
{
	auto_folder struct folder f = { "" };
	auto_buf struct buf out = { .max = OUT_MAX };
	struct replay_options o = options_to(&out, 1);
	static const struct {
		const char *name, *bytes, *says;
	} rows[] = {
		{ "text", "hello", "neither a recording, nor JSON lines, nor a capture" },
		{ "a capture of another version", "\xd4\xc3\xb2\xa1\x03\0\0\0", "ends in its header" },
	};

	require(register_all() && folder_make(&f));
	for_each_row (r, rows) {
		write_file(&f, "file", r->bytes, r->bytes[0] == 'h' ? 5 : 8);
		check(replay_files(&o, (const char *const[]) { path_in(&f, "file"), NULL }, NULL, NULL) < 0);
		check_has(err_trail(), r->says);
		check_has(err_trail(), path_in(&f, "file"));
	}
	check(replay_files(&o, (const char *const[]) { path_in(&f, "none"), NULL }, NULL, NULL) == -ENOENT);
	write_file(&f, "file", "", 0);
	check_int(replay_files(&o, (const char *const[]) { path_in(&f, "file"), NULL }, NULL, NULL), 0);
}

/* ---- pace, ends, boots -------------------------------------------------------------------------------------- */

TEST(at_its_own_pace_it_takes_as_long_as_it_took)
{
	static const struct {
		const char *name;
		unsigned speed;
		uint64_t least_ns, most_ns;
	} rows[] = {
		{ "as fast as it goes", 0, 0, 0 },
		{ "as it happened", 1, 1900000000, 2100000000 },
		{ "ten times that", 10, 190000000, 210000000 },
	};
	auto_folder struct folder f = { "" };
	auto_buf struct buf first = { .max = OUT_MAX }, out = { .max = OUT_MAX };

	require(register_all() && folder_make(&f));
	write_file(&f, "lines", foreign, sizeof(foreign) - 1);
	for_each_row (r, rows) {
		struct replay_options o = options_to(r->speed ? &out : &first, 2);
		uint64_t took;

		o.speed = r->speed;
		buf_clear(&out);
		clock_mock(1000, 5);
		check_int(replay_files(&o, (const char *const[]) { path_in(&f, "lines"), NULL }, NULL, NULL), 0);
		took = clock_mono_ns() - 1000;
		clock_mock_end();
		check(took >= r->least_ns && took <= r->most_ns);
		if (r->speed)
			check(same(&first, &out));
	}
}

struct few {
	struct buf *out;
	int left;
};

static bool take_few(void *arg, enum replay_what what, const char *line, size_t n)
{
	struct few *few = arg;

	(void)what;
	buf_add(few->out, line, n);
	return --few->left > 0;
}

TEST(who_has_enough_is_not_told_more)
{
	auto_folder struct folder f = { "" };
	auto_buf struct buf all = { .max = OUT_MAX }, out = { .max = OUT_MAX };
	struct few few = { &out, 10 };
	struct replay_options o = options_to(&all, 3);
	char path[80];

	require(register_all() && folder_make(&f));
	(void)snprintf(path, sizeof(path), "%s/recording", f.path);
	require(make_recording(path, true, 0, 2));
	require(replay_files(&o, (const char *const[]) { path, NULL }, NULL, NULL) == 0);
	o.on_line = take_few;
	o.arg = &few;
	check_int(replay_files(&o, (const char *const[]) { path, NULL }, NULL, NULL), 1);
	check_int(lines_in(&out, "\n"), 10);
	check(all.len > out.len && !memcmp(all.data, out.data, out.len));
}

TEST(a_recording_of_another_boot_begins_anew)
{
	auto_folder struct folder f = { "" };
	auto_buf struct buf a = { .max = OUT_MAX }, twice = { .max = OUT_MAX };
	struct replay_options o = options_to(&twice, 2);
	struct replay_stats stats;
	char path[80], capture[80];

	require(register_all() && folder_make(&f));
	(void)snprintf(path, sizeof(path), "%s/recording", f.path);
	(void)snprintf(capture, sizeof(capture), "%s/foreign", f.path);
	require(make_recording(path, true, 0, 2));
	write_file(&f, "foreign", "{\"@timestamp\":\"2024-05-06T12:00:01Z\"}\n", 38);
	replay_into(path, 2, &a);
	require(replay_files(&o, (const char *const[]) { path, capture, path, NULL }, NULL, &stats) == 0);
	/* The same again: nothing of the first is known, or waited for, in the second. */
	require(twice.len == 2 * a.len + 38);
	check(!memcmp(twice.data, a.data, a.len));
	check(!memcmp(twice.data + a.len + 38, a.data, a.len));
}
