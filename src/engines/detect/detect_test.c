/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/test.h"
#include "engines/detect/house.h"
#include "sensors/process/process.event.h"

extern const struct engine engine_detect;

enum { SHARDS_MAX = 4, LINES_MAX = 4096, TEXT = 1 << 18, STREAM = 400, MS = 1000000 };

/* ---- engines on some shards, and what they say ----------------------------------------------- */

/* A line, and when it was told: with which event, or with which mark of time. */
struct line {
	uint64_t when;
	char text[160];
};

struct rig {
	char path[64];
	void *options;
	bool watch;          /* the file of rules */
	const char *backend; /* NULL: as it is by default */
	const char *folder;  /* NULL: a file by itself */
	void *shard[SHARDS_MAX];
	unsigned n_shards;
	uint64_t when;
	struct line *line;
	size_t n;
	struct json_event json;
	pthread_mutex_t lock; /* of n: shards may be threads */
};

static uint64_t id_of(const struct event *ev)
{
	struct value v;

	return event_get(ev, field_find("n", 1), NULL, &v) && v.type == VALUE_INT ? (uint64_t)v.i : 9999;
}

static void put(void *ctx, const struct finding *f)
{
	struct rig *rig = ctx;
	struct line *l;
	size_t at;

	(void)pthread_mutex_lock(&rig->lock);
	l = rig->n < LINES_MAX ? &rig->line[rig->n++] : NULL;
	(void)pthread_mutex_unlock(&rig->lock);
	require(l);
	l->when = rig->when;
	at = (size_t)snprintf(l->text, sizeof(l->text), "%s/%u", f->rule, f->severity);
	for (size_t i = 0; i < f->n_events; i++) {
		struct event ev;

		if (f->event_at(f, i, &ev))
			at += (size_t)snprintf(l->text + at, sizeof(l->text) - at, " %llu",
					       (unsigned long long)id_of(&ev));
		else
			at += (size_t)snprintf(l->text + at, sizeof(l->text) - at, " -");
	}
	if (f->message)
		(void)snprintf(l->text + at, sizeof(l->text) - at, " %s", f->message);
	check(f->event);
	check(f->n_keys <= 2);
}

static bool write_rules(struct rig *rig, const char *text)
{
	auto_close int fd = -1;

	(void)snprintf(rig->path, sizeof(rig->path), rig->folder ? "%s/rules.ndjson" : "/tmp/shrike-rules-XXXXXX",
		       rig->folder);
	fd = rig->folder ? creat(rig->path, 0600) : mkstemp(rig->path);
	return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

static int rig_open(struct rig *rig, const char *rules, unsigned shards)
{
	const struct engine_sink sink = { put, rig };
	int r = 0;

	*rig = (struct rig) { .n_shards = shards,
			      .lock = PTHREAD_MUTEX_INITIALIZER,
			      .watch = rig->watch,
			      .folder = rig->folder,
			      .backend = rig->backend };
	json_event_init(&rig->json, false);
	rig->line = calloc(LINES_MAX, sizeof(*rig->line));
	rig->options = calloc(1, engine_detect.options_size);
	if (!rig->line || !rig->options || !write_rules(rig, rules))
		return -ENOMEM;
	(void)field_intern("n", 1);
	r = option_defaults(engine_detect.options, engine_detect.n_options, rig->options);
	for (size_t i = 0; r == 0 && i < engine_detect.n_options; i++)
		if (engine_detect.options[i].type == OPT_PATH)
			r = option_set(&engine_detect.options[i], rig->folder ?: rig->path, rig->options);
		else if (!strcmp(engine_detect.options[i].name, "backend") && rig->backend)
			r = option_set(&engine_detect.options[i], rig->backend, rig->options);
		else if (!strcmp(engine_detect.options[i].name, "watch") && !rig->watch)
			r = option_set(&engine_detect.options[i], "false", rig->options);
	for (unsigned i = 0; r == 0 && i < shards; i++)
		r = engine_detect.open(&rig->shard[i], i, rig->options, &sink);
	return r;
}

static void rig_close(struct rig *rig)
{
	for (unsigned i = 0; i < SHARDS_MAX; i++)
		if (rig->shard[i])
			engine_detect.close(rig->shard[i]);
	if (rig->options)
		options_clear(engine_detect.options, engine_detect.n_options, rig->options);
	free(rig->options);
	free(rig->line);
	json_event_free(&rig->json);
	if (*rig->path)
		(void)unlink(rig->path);
}
#define auto_rig __attribute__((cleanup(rig_close)))

/* An event of a process; those of one process come to one shard. */
static void feed_by(struct rig *rig, struct json_event *room, unsigned n, unsigned ms, unsigned process,
		    const char *rest)
{
	char json[512];
	struct event ev;
	size_t len = (size_t)snprintf(json, sizeof(json),
				      "{\"n\":%u,\"@timestamp\":%u,\"process\":{\"entity_id\":\"p%u\"},%s}", n, ms,
				      process, rest);

	require_ok(json_event_parse(room, json, len));
	ev = json_event_as_event(room);
	engine_detect.on_event(rig->shard[process % rig->n_shards], &ev);
}

static void feed(struct rig *rig, unsigned n, unsigned ms, unsigned process, const char *rest)
{
	rig->when = n;
	feed_by(rig, &rig->json, n, ms, process, rest);
}

static void tell_time(struct rig *rig, unsigned ms)
{
	rig->when = 1000000 + ms;
	for (unsigned i = 0; i < rig->n_shards; i++)
		engine_detect.on_time(rig->shard[i], (__u64)ms * MS);
}

static int by_when(const void *a, const void *b)
{
	const struct line *la = a, *lb = b;

	return la->when != lb->when ? (la->when < lb->when ? -1 : 1) : strcmp(la->text, lb->text);
}

static void write_lines(struct rig *rig, struct buf *out)
{
	qsort(rig->line, rig->n, sizeof(*rig->line), by_when);
	for (size_t i = 0; i < rig->n; i++)
		buf_printf(out, "%s%s", i ? "; " : "", rig->line[i].text);
}

static const char proc[] = "\"event\":{\"category\":\"process\"}";
static const char file[] = "\"event\":{\"category\":\"file\"}";

/* ---- what it finds --------------------------------------------------------------------------- */

TEST(findings_name_their_rule_and_all_their_events)
{
	static const struct {
		const char *name, *rules, *want;
	} rows[] = {
		{ "one event", "{\"id\":\"r\",\"query\":\"file where true\",\"severity\":70}\n", "r/70 2; r/70 4" },
		{ "the usual severity", "{\"id\":\"r\",\"query\":\"file where n == 2\"}\n", "r/50 2" },
		{ "a sequence in one process",
		  "{\"id\":\"r\",\"query\":\"sequence by process.entity_id [process where true] [file where true]\"}\n",
		  "r/50 0 2" },
		{ "a sequence over processes",
		  "{\"id\":\"r\",\"query\":\"sequence [process where n == 0] [file where n == 4]\"}\n", "r/50 0 4" },
		{ "what must be missing",
		  "{\"id\":\"r\",\"query\":\"sequence by process.entity_id with maxspan=3s [file where true] ![any "
		  "where n == 9]\"}\n",
		  "r/50 2 -; r/50 4 -" },
		{ "several, and an empty line",
		  "{\"id\":\"a\",\"query\":\"file where n == 2\"}\n\n{\"id\":\"b\",\"query\":\"any where n == 2\"}\n",
		  "a/50 2; b/50 2" },
		{ "none", "", "" },
	};

	event_clock_set(0);
	for_each_row (r, rows) {
		auto_rig struct rig rig = { 0 };
		auto_buf struct buf got = { .max = TEXT };

		require_ok(rig_open(&rig, r->rules, 2));
		feed(&rig, 0, 1000, 1, proc);
		feed(&rig, 1, 2000, 2, proc);
		feed(&rig, 2, 3000, 1, file);
		feed(&rig, 4, 4000, 3, file);
		tell_time(&rig, 60000);
		write_lines(&rig, &got);
		check_str(buf_text(&got), r->want);
	}
}

/* A rule over processes is run when no shard has anything older, and not before. */
TEST(rules_over_all_shards_wait_for_the_slowest)
{
	auto_rig struct rig rig = { 0 };

	event_clock_set(0);
	require_ok(rig_open(&rig, "{\"id\":\"r\",\"query\":\"sequence [process where true] [file where true]\"}\n", 2));
	feed(&rig, 1, 2000, 1, file);
	engine_detect.on_time(rig.shard[1], 5000ULL * MS);
	check_int(rig.n, 0);
	feed(&rig, 0, 1000, 2, proc);
	engine_detect.on_time(rig.shard[0], 1500ULL * MS);
	check_int(rig.n, 0);
	engine_detect.on_time(rig.shard[0], 2001ULL * MS);
	check_int(rig.n, 1);
	check_str(rig.line[0].text, "r/50 0 1");
}

/* In the place of those that it has. */
static int reload(struct rig *rig, const char *rules)
{
	FILE *f = fopen(rig->path, "we");

	if (!f || fputs(rules, f) < 0 || fclose(f))
		return -EIO;
	return engine_detect.reload(rig->shard[0], rig->options);
}

#define LOCAL  "sequence by process.entity_id [process where true] [file where true]"
#define SHARED "sequence [process where true] [file where true]"

TEST(sequences_outlive_a_reload_when_their_rule_did_not_change)
{
	static const struct {
		const char *name, *before, *after, *want;
	} rows[] = {
		{ "the same", "{\"id\":\"r\",\"query\":\"" LOCAL "\"}\n", "{\"id\":\"r\",\"query\":\"" LOCAL "\"}\n",
		  "r/50 0 2; r/50 1 3" },
		{ "the same over processes", "{\"id\":\"r\",\"query\":\"" SHARED "\"}\n",
		  "{\"id\":\"x\",\"query\":\"any where n == 99\"}\n{\"id\":\"r\",\"query\":\"" SHARED "\"}\n",
		  "r/50 1 2" },
		{ "another severity", "{\"id\":\"r\",\"query\":\"" LOCAL "\"}\n",
		  "{\"id\":\"r\",\"query\":\"" LOCAL "\",\"severity\":7}\n", "r/7 0 2; r/7 1 3" },
		{ "another rule", "{\"id\":\"r\",\"query\":\"" LOCAL "\"}\n",
		  "{\"id\":\"r\",\"query\":\"sequence by process.entity_id [process where n < 9] [file where "
		  "true]\"}\n",
		  "" },
		{ "gone", "{\"id\":\"r\",\"query\":\"" LOCAL "\"}\n", "", "" },
		{ "gone over processes", "{\"id\":\"r\",\"query\":\"" SHARED "\"}\n", "", "" },
		{ "new", "", "{\"id\":\"r\",\"query\":\"file where true\"}\n", "r/50 2; r/50 3" },
		{ "new over processes", "",
		  "{\"id\":\"r\",\"query\":\"sequence [file where n == 2] [file where n == 3]\"}\n", "r/50 2 3" },
	};

	event_clock_set(0);
	for_each_row (r, rows) {
		auto_rig struct rig rig = { 0 };
		auto_buf struct buf got = { .max = TEXT };

		require_ok(rig_open(&rig, r->before, 2));
		feed(&rig, 0, 1000, 1, proc);
		feed(&rig, 1, 1001, 2, proc);
		require_ok(reload(&rig, r->after));
		feed(&rig, 2, 2000, 1, file);
		feed(&rig, 3, 2001, 2, file);
		tell_time(&rig, 60000);
		write_lines(&rig, &got);
		check_str(buf_text(&got), r->want);
	}
}

static bool write_macros(const char *folder, const char *text)
{
	char path[64];
	FILE *f;
	bool good;

	(void)snprintf(path, sizeof(path), "%s/macros.yaml", folder);
	f = fopen(path, "we");
	good = f && fputs(text, f) >= 0;
	return f && !fclose(f) && good;
}

TEST(sequences_outlive_a_change_of_macros_that_changes_nothing_for_them)
{
	static const char rules[] = "{\"id\":\"r\",\"query\":\"sequence by process.entity_id [process where few(n)] "
				    "[file where true]\"}\n";
	static const char before[] = "macros:\n  few: {parameters: x, eql: x < 9}\n";
	static const struct {
		const char *name, *after, *want;
		int result;
	} rows[] = {
		{ "another comes", "macros:\n  few: {parameters: x, eql: x < 9}\n  no: {eql: 'false'}\n",
		  "r/50 0 2; r/50 1 3", 0 },
		{ "it says the same in other words",
		  "macros:\n  few: {parameters: y, eql: 'below(9, y)'}\n  below: {parameters: [b, a], eql: a < b}\n",
		  "r/50 0 2; r/50 1 3", 0 },
		{ "it says something else", "macros:\n  few: {parameters: x, eql: x < 8}\n", "", 0 },
		{ "it is wrong", "macros:\n  few: {parameters: x, eql: x <}\n", "r/50 0 2; r/50 1 3", -EINVAL },
		{ "it is gone", "macros: {}\n", "r/50 0 2; r/50 1 3", -EINVAL },
	};

	event_clock_set(0);
	for_each_row (r, rows) {
		char folder[] = "/tmp/shrike-detect-XXXXXX", path[64];
		auto_rig struct rig rig = { .folder = folder };
		auto_buf struct buf got = { .max = TEXT };

		require(mkdtemp(folder) && write_macros(folder, before));
		check_int(rig_open(&rig, rules, 2), 0);
		feed(&rig, 0, 1000, 1, proc);
		feed(&rig, 1, 1001, 2, proc);
		check(write_macros(folder, r->after));
		check_int(engine_detect.reload(rig.shard[0], rig.options), r->result);
		if (r->result)
			check_has(err_trail(), "few");
		feed(&rig, 2, 2000, 1, file);
		feed(&rig, 3, 2001, 2, file);
		write_lines(&rig, &got);
		check_str(buf_text(&got), r->want);
		(void)snprintf(path, sizeof(path), "%s/macros.yaml", folder);
		(void)unlink(path);
		(void)unlink(rig.path);
		(void)rmdir(folder);
	}
}

TEST(what_is_counted_is_told_for_all_shards_together)
{
	auto_rig struct rig rig = { 0 };
	auto_buf struct buf out = { .max = TEXT };

	event_clock_set(0);
	require_ok(
		rig_open(&rig, "{\"id\":\"r\",\"query\":\"" LOCAL "\"}\n{\"id\":\"s\",\"query\":\"" SHARED "\"}\n", 2));
	feed(&rig, 0, 1000, 1, proc);
	feed(&rig, 1, 1001, 2, proc);
	feed(&rig, 2, 2000, 1, file);
	tell_time(&rig, 60000);
	engine_detect.status(rig.shard, rig.n_shards, &out);
	/* Three events on the shards, and the same three in the house; one sequence on a shard, and one there. */
	check_has(buf_text(&out), ",\"events\":6,");
	check_has(buf_text(&out), ",\"matches\":2,");
	check_has(buf_text(&out), ",\"evicted_memory\":0,");
	check_has(buf_text(&out), ",\"lost_waiting\":0");
	buf_clear(&out);
	engine_detect.describe(rig.shard[0], &out);
	check_has(buf_text(&out), "2 rules from /");
}

TEST(rules_run_as_wasm_find_the_same_and_status_says_so)
{
	auto_rig struct rig rig = { .backend = "wasm" };
	auto_buf struct buf out = { .max = 1 << 16 };
	int r;

	event_clock_set(0);
	r = rig_open(&rig, "{\"id\":\"r\",\"query\":\"" LOCAL "\"}\n{\"id\":\"s\",\"query\":\"" SHARED "\"}\n", 2);
	if (r == -ENOTSUP) {
		check_has(err_trail(), "engines.detect.backend: wasm cannot be had here: ");
		skip("no-wasmtime");
	}
	require_ok(r);
	feed(&rig, 0, 1000, 1, proc);
	feed(&rig, 1, 1001, 2, proc);
	feed(&rig, 2, 2000, 1, file);
	tell_time(&rig, 60000);
	engine_detect.status(rig.shard, rig.n_shards, &out);
	check_has(buf_text(&out), ",\"events\":6,");
	check_has(buf_text(&out), ",\"matches\":2,");
	check_has(buf_text(&out), ",\"backend\":\"wasm\",\"backend_why\":\"as configured\",\"module_failures\":0,"
				  "\"module_given_up\":\"\"");
	/* Changed while it runs. */
	for (size_t i = 0; i < engine_detect.n_options; i++)
		if (!strcmp(engine_detect.options[i].name, "backend"))
			require_ok(option_set(&engine_detect.options[i], "auto", rig.options));
	require_ok(engine_detect.reload(rig.shard[0], rig.options));
	feed(&rig, 0, 61000, 1, proc);
	buf_clear(&out);
	engine_detect.status(rig.shard, rig.n_shards, &out);
	check_has(buf_text(&out), ",\"backend\":\"vm\",\"backend_why\":\"auto: ");
}

TEST(rules_that_cannot_be_read_change_nothing)
{
	auto_rig struct rig rig = { 0 };

	event_clock_set(0);
	require_ok(rig_open(&rig, "{\"id\":\"r\",\"query\":\"" LOCAL "\"}\n", 1));
	feed(&rig, 0, 1000, 1, proc);
	check_int(reload(&rig, "{\"id\":\"r\",\"query\":\"process whree true\"}\n"), -EINVAL);
	check_has(err_trail(), rig.path);
	feed(&rig, 2, 2000, 1, file);
	check_int(rig.n, 1);
	check_str(rig.line[0].text, "r/50 0 2");
}

#define SCRIPT(id, lua) "  - {id: " id ", name: A, severity: low, when: file where true, lua: '" lua "'}\n"

TEST(a_script_has_the_last_word_on_what_the_query_found)
{
	auto_rig struct rig rig = { 0 };
	auto_buf struct buf got = { .max = TEXT };

	event_clock_set(0);
	require_ok(rig_open(&rig, "rules:\n" SCRIPT("even", "return function(e) return e.n % 2 == 0 end"), 2));
	for (unsigned i = 0; i < 6; i++)
		feed(&rig, i, 1000 + i, i, i == 4 ? proc : file);
	write_lines(&rig, &got);
	check_str(buf_text(&got), "even/21 0; even/21 2");
}

TEST(a_script_that_never_ends_is_disabled_and_that_is_told_once)
{
	auto_rig struct rig rig = { 0 };
	auto_buf struct buf status = { .max = TEXT };
	size_t told = 0, found = 0;

	event_clock_set(0);
	require_ok(rig_open(&rig,
			    "rules:\n" SCRIPT("slow", "return function(e) while true do end end")
				    SCRIPT("good", "return function(e) return true end"),
			    1));
	for (unsigned i = 0; i < 15; i++)
		feed(&rig, i, 1000 + i, 1, file);
	for (size_t i = 0; i < rig.n; i++) {
		told += !strncmp(rig.line[i].text, "shrike-script-disabled/47 the script of the rule slow was", 57);
		found += !strncmp(rig.line[i].text, "good/21 ", 8);
	}
	check_int(told, 1);
	check_int(found, 15);
	engine_detect.status(rig.shard, rig.n_shards, &status);
	check_has(buf_text(&status), "\"scripts\":2,");
	check_has(buf_text(&status),
		  "\"script_runs\":25,\"scripts_stopped\":10,\"scripts_disabled\":1,\"disabled\":\"slow\"");
	/* Rules that are read again are tried again, and what was is not forgotten. */
	check_int(reload(&rig, "rules:\n" SCRIPT("good", "return function(e) return true end")), 0);
	feed(&rig, 15, 1015, 1, file);
	buf_clear(&status);
	engine_detect.status(rig.shard, rig.n_shards, &status);
	check_has(buf_text(&status), "\"scripts\":1,\"script_runs\":26,\"scripts_stopped\":10,\"scripts_disabled\":0,");
}

/* Until the engine says so: events of another process go on meanwhile. False: it never did. */
static bool comes_to_say(struct rig *rig, const char *part)
{
	for (unsigned i = 0; i < 600; i++) {
		auto_buf struct buf out = { .max = TEXT };

		engine_detect.status(rig->shard, rig->n_shards, &out);
		if (strstr(buf_text(&out), part))
			return true;
		clock_sleep_ns(50 * NS_PER_MS);
	}
	return false;
}

static bool write_again(const struct rig *rig, const char *rules)
{
	FILE *f = fopen(rig->path, "we");
	bool good = f && fputs(rules, f) >= 0;

	return f && !fclose(f) && good;
}

TEST(a_file_that_changes_is_read_again_and_a_bad_one_is_refused)
{
	auto_rig struct rig rig = { .watch = true };

	event_clock_set(0);
	require_ok(rig_open(&rig, "{\"id\":\"r\",\"query\":\"" LOCAL "\"}\n", 1));
	feed(&rig, 0, 1000, 1, proc);
	require(write_again(&rig, "{\"id\":\"r\",\"query\":\"process whree true\"}\n"));
	check(comes_to_say(&rig, "\"rule_loads\":2,\"rule_loads_failed\":1,\"rules_refused\":\"/tmp/"));
	feed(&rig, 1, 1100, 1, file);
	check_int(rig.n, 1);
	require(write_again(&rig, "{\"id\":\"s\",\"query\":\"file where true\"}\n"
				  "{\"id\":\"t\",\"query\":\"process where false\"}\n"));
	check(comes_to_say(&rig, ",\"rules\":2,"));
	check(comes_to_say(&rig, "\"rules_refused\":\"\""));
	feed(&rig, 2, 1200, 1, file);
	require(rig.n == 2);
	check_str(rig.line[1].text, "s/50 2");
}

/* Nothing is found from then on; a folder that was not mounted looks like this. */
TEST(when_all_rules_have_gone_that_is_a_warning)
{
	char *said = NULL;
	size_t n;
	FILE *log = open_memstream(&said, &n);

	require(log);
	log_set_file(log);
	{
		auto_rig struct rig rig = { .watch = true };

		event_clock_set(0);
		require_ok(rig_open(&rig, "{\"id\":\"r\",\"query\":\"file where true\"}\n", 1));
		require(write_again(&rig, "\n"));
		check(comes_to_say(&rig, ",\"rules\":0,"));
	}
	log_set_file(stderr);
	(void)fclose(log);
	check_has(said, "warning changed rules were read, and there is none any more path=");
	free(said);
}

static const char many_rules[] =
	"{\"id\":\"single\",\"query\":\"file where k == 1\"}\n"
	"{\"id\":\"local\",\"query\":\"sequence by process.entity_id with maxspan=200ms [process where true] [file "
	"where k == 2]\"}\n"
	"{\"id\":\"local-missing\",\"query\":\"sequence by process.entity_id with maxspan=50ms [file where k == 1] "
	"![process where true]\"}\n"
	"{\"id\":\"both-missing\",\"query\":\"sequence by process.entity_id with maxspan=50ms ![file where k == 0] "
	"[file where k == 1] "
	"![process where k == 1]\"}\n"
	"{\"id\":\"over\",\"query\":\"sequence by k with maxspan=100ms [process where true] [file where true] [process "
	"where true]\"}\n"
	"{\"id\":\"over-missing\",\"query\":\"sequence by k with maxspan=60ms [process where true] ![file where "
	"true]\"}\n"
	"{\"id\":\"over-until\",\"query\":\"sequence by k [process where true] [file where true] until [file where k "
	"== 3]\"}\n";

static void run_stream(uint64_t seed, unsigned shards, struct buf *out)
{
	auto_rig struct rig rig = { 0 };
	unsigned ms = 1000, mark = 1000;

	require_ok(rig_open(&rig, many_rules, shards));
	for (unsigned i = 0; i < STREAM; i++) {
		uint64_t h = hash_u64(i, seed);
		char rest[128];

		ms += (unsigned)(h >> 8) % 12;
		/* Marks stand at the same times, whatever the number of shards. */
		for (; mark + 20 <= ms; mark += 20)
			tell_time(&rig, mark + 20);
		(void)snprintf(rest, sizeof(rest), "\"k\":%u,\"event\":{\"category\":\"%s\"}", (unsigned)(h >> 16) % 4,
			       h >> 32 & 1 ? "process" : "file");
		feed(&rig, i, ms, (unsigned)(h >> 40) % 7, rest);
	}
	tell_time(&rig, ms + 1000);
	write_lines(&rig, out);
}

TEST(what_is_found_does_not_depend_on_the_number_of_shards)
{
	event_clock_set(0);
	for (uint64_t seed = 1; seed <= 20; seed++) {
		auto_buf struct buf one = { .max = TEXT }, more = { .max = TEXT };

		run_stream(seed, 1, &one);
		check(one.len > 1000);
		for (unsigned shards = 2; shards <= SHARDS_MAX; shards++) {
			buf_clear(&more);
			run_stream(seed, shards, &more);
			check(strcmp(buf_text(&one), buf_text(&more)) == 0);
		}
	}
}

/* A shard that is a thread: its events of the stream, and all marks of time. */
struct shard_thread {
	struct rig *rig;
	pthread_t thread;
	unsigned number;
	uint64_t seed;
};

static void *run_shard(void *arg)
{
	struct shard_thread *t = arg;
	struct rig *rig = t->rig;
	auto_json_event struct json_event room;
	unsigned ms = 1000, mark = 1000;

	json_event_init(&room, false);
	for (unsigned i = 0; i < STREAM; i++) {
		uint64_t h = hash_u64(i, t->seed);
		unsigned process = (unsigned)(h >> 40) % 7;
		char rest[128];

		ms += (unsigned)(h >> 8) % 12;
		for (; mark + 20 <= ms; mark += 20)
			engine_detect.on_time(rig->shard[t->number], (mark + 20ULL) * MS);
		(void)snprintf(rest, sizeof(rest), "\"k\":%u,\"event\":{\"category\":\"%s\"}", (unsigned)(h >> 16) % 4,
			       h >> 32 & 1 ? "process" : "file");
		if (process % rig->n_shards == t->number)
			feed_by(rig, &room, i, ms, process, rest);
	}
	engine_detect.on_time(rig->shard[t->number], (ms + 1000ULL) * MS);
	return NULL;
}

static void run_threads(uint64_t seed, unsigned shards, struct buf *out)
{
	struct shard_thread thread[SHARDS_MAX];
	auto_rig struct rig rig = { 0 };

	require_ok(rig_open(&rig, many_rules, shards));
	for (unsigned i = 0; i < shards; i++) {
		thread[i] = (struct shard_thread) { .rig = &rig, .number = i, .seed = seed };
		require(pthread_create(&thread[i].thread, NULL, run_shard, &thread[i]) == 0);
	}
	for (unsigned i = 0; i < shards; i++)
		(void)pthread_join(thread[i].thread, NULL);
	write_lines(&rig, out);
}

TEST(shards_that_are_threads_find_the_same_as_one)
{
	event_clock_set(0);
	for (uint64_t seed = 1; seed <= 5; seed++) {
		auto_buf struct buf one = { .max = TEXT }, more = { .max = TEXT };

		run_threads(seed, 1, &one);
		check(one.len > 1000);
		run_threads(seed, SHARDS_MAX, &more);
		check(strcmp(buf_text(&one), buf_text(&more)) == 0);
	}
}

/* ---- typed records --------------------------------------------------------------------------- */

TEST(records_are_kept_with_the_process_that_they_had)
{
	static const char cwd[] = "/there";
	AUTO(context) ctx = NULL;
	AUTO(kept_room) room = NULL;
	struct context_options options = { .offline = true,
					   .boot_id = "01234567-89ab-cdef-0123-456789abcdef",
					   .limits = { .processes = 64, .cgroups = 16, .memory = 1 << 20 } };
	_Alignas(8) struct {
		struct ev_exec e;
		char text[16];
	} rec = { .e = { .head = { .time_ns = 77,
				   .id = EV_EXEC,
				   .len = sizeof(rec),
				   .pid = 5,
				   .tid = 5,
				   .start_ns = 70 } } };
	struct context_view view;
	struct kept kept;
	struct event ev, back;
	uint64_t handle;
	struct value v;

	(void)cwd;
	require_ok(context_open(&options, &ctx));
	require_ok(kept_open(&kept, 1 << 16));
	require_ok(kept_room_new(&room));
	(void)context_apply(ctx, &rec.e.head);
	ev = context_event(ctx, &rec.e.head, event_kind_of(EV_EXEC), &view);
	check(context_view_of(&ev) == &view);
	handle = kept_put(&kept, &ev);
	check(handle);
	kept_share(&kept, handle);
	kept_drop(&kept, handle);
	require(kept_get(&kept, handle, room, &back));
	check(back.rec != ev.rec);
	check_int(memcmp(back.rec, ev.rec, ev.rec->len), 0);
	check(event_get(&back, field_intern("process.entity_id", 17), NULL, &v) && v.type == VALUE_STR);
	kept_drop(&kept, handle);
	check_int(kept.cells.in_use, 0);
	kept_close(&kept);
}

TEST(what_is_kept_is_bounded)
{
	auto_json_event struct json_event json;
	static const char line[] = "{\"n\":1,\"k\":\"some text that takes a cell or two and is copied\"}";
	struct kept kept;
	struct event ev;
	unsigned n = 0;

	json_event_init(&json, false);
	require_ok(json_event_parse(&json, line, sizeof(line) - 1));
	ev = json_event_as_event(&json);
	require_ok(kept_open(&kept, 100 * CELL_SIZE));
	while (n < 1000 && kept_put(&kept, &ev))
		n++;
	check(n > 10 && n < 50);
	kept_close(&kept);
}

/* ---- rules ----------------------------------------------------------------------------------- */

/* The rules run, but who sees only the agent's log is to hear of what is odd with them. */
TEST(warnings_of_rules_are_told_and_bounded)
{
	char folder[] = "/tmp/shrike-detect-XXXXXX", path[64];
	struct rules *rules = NULL;
	char *said = NULL;
	size_t n;
	FILE *log = open_memstream(&said, &n);

	require(log && mkdtemp(folder));
	for (int i = 0; i < 10; i++) {
		(void)snprintf(path, sizeof(path), "%s/%d.yml", folder, i);
		check_int(symlink("/nonexistent", path), 0);
	}
	log_set_file(log);
	check_int(rules_load(folder, PREDICATE_AUTO, &rules), 0);
	log_set_file(stderr);
	(void)fclose(log);
	check_has(said, "warning of the rules what=");
	check_has(said, "/7.yml: warning: a link that leads nowhere");
	check(!strstr(said, "/8.yml"));
	check_has(said, "warnings=2");
	free(said);
	rules_free(rules);
	for (int i = 0; i < 10; i++) {
		(void)snprintf(path, sizeof(path), "%s/%d.yml", folder, i);
		(void)unlink(path);
	}
	(void)rmdir(folder);
}

static int read_lines(const char *text, struct rules **ret_rules)
{
	AUTO(book) book = NULL;
	int r = book_read_text("F", text, strlen(text), NULL, &book);

	if (r == 0)
		r = book_must_be_whole(book);
	return r < 0 ? r : rules_new(book, PREDICATE_AUTO, ret_rules);
}

TEST(a_file_of_rules_that_is_wrong_is_refused_and_says_where)
{
	static const struct {
		const char *name, *text, *want;
	} rows[] = {
		{ "no JSON", "{\"id\":\"a\",\"query\":\"any where true\"}\n{", "F:2" },
		{ "no id", "{\"query\":\"any where true\"}", "\"id\" is to be" },
		{ "an empty id", "{\"id\":\"\",\"query\":\"any where true\"}", "\"id\" is to be" },
		{ "no query", "{\"id\":\"a\"}", "\"query\" is to be" },
		{ "a severity of 0", "{\"id\":\"a\",\"query\":\"any where true\",\"severity\":0}", "1 to 100" },
		{ "a severity of 101", "{\"id\":\"a\",\"query\":\"any where true\",\"severity\":101}", "1 to 100" },
		{ "twice", "{\"id\":\"a\",\"query\":\"any where true\"}\n{\"id\":\"a\",\"query\":\"any where true\"}",
		  "already" },
		{ "a query that is none", "{\"id\":\"a\",\"query\":\"any were true\"}", "F:1:5: a: " },
		{ "a sample", "{\"id\":\"a\",\"query\":\"sample by k [any where true] [any where true]\"}", "never" },
	};

	for_each_row (r, rows) {
		AUTO(rules) rules = NULL;

		check(read_lines(r->text, &rules) < 0);
		check_has(err_trail(), r->want);
		check(!rules);
	}
}

TEST(rules_run_on_the_shards_only_when_one_shard_sees_all)
{
	static const struct {
		const char *name, *query;
		bool want;
	} rows[] = {
		{ "one event", "any where true", true },
		{ "by the process", "sequence by process.entity_id [any where true] [any where true]", true },
		{ "by it and more", "sequence by user.id, process.entity_id [any where true] [any where true]", true },
		{ "by it at each stage",
		  "sequence [any where true] by process.entity_id [any where true] by process.entity_id", true },
		{ "parent and child",
		  "sequence [any where true] by process.entity_id [any where true] by process.parent.entity_id",
		  false },
		{ "an optional one", "sequence by ?process.entity_id [any where true] [any where true]", false },
		{ "by something else", "sequence by user.id [any where true] [any where true]", false },
		{ "by nothing", "sequence [any where true] [any where true]", false },
		{ "until by another",
		  "sequence [any where true] by process.entity_id [any where true] by process.entity_id "
		  "until [any where true] by process.parent.entity_id",
		  false },
		{ "descendants", "any where descendant of [any where true]", false },
		{ "a pipe counts over all", "any where true | head 1", false },
	};

	for_each_row (r, rows) {
		char text[512];
		AUTO(rules) rules = NULL;

		(void)snprintf(text, sizeof(text), "{\"id\":\"a\",\"query\":\"%s\"}", r->query);
		require_ok(read_lines(text, &rules));
		check_int(rules->local.n, r->want);
		check_int(rules->shared.n, !r->want);
	}
}
