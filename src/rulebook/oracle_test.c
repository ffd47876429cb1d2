/* SPDX-License-Identifier: Apache-2.0 */
/* All Linux rules that others have published load: written to a folder as TOML, and as files of our own. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include "base/err.h"
#include "base/test.h"
#include "event/json_event.h"
#include "predicate/module.h"
#include "predicate/set.h"
#include "rulebook/book.h"
#include "tests/oracles/oracles.h"

enum { LINE = 1 << 16 };

/* As a basic string: JSON's is one, but for what TOML calls a control character. */
static void put_text(FILE *f, const char *key, const char *text)
{
	auto_buf struct buf out = { .max = 1 << 20 };

	(void)json_write_str(&out, text, strlen(text));
	(void)fprintf(f, "%s%s\n", key, buf_text(&out));
}

static void write_toml(FILE *f, const struct json_node *rule)
{
	const char *severity = oracle_string(rule, "severity");

	(void)fputs("[metadata]\nmaturity = \"production\"\n\n[rule]\ntype = \"eql\"\nlanguage = \"eql\"\n", f);
	put_text(f, "rule_id = ", oracle_string(rule, "rule_id"));
	put_text(f, "name = ", oracle_string(rule, "name"));
	if (*severity)
		put_text(f, "severity = ", severity);
	if (strstr(oracle_string(rule, "query"), "'''"))
		put_text(f, "query = ", oracle_string(rule, "query"));
	else
		(void)fprintf(f, "query = '''\n%s'''\n", oracle_string(rule, "query"));
}

static void write_own(FILE *f, const struct json_node *rule)
{
	const char *severity = oracle_string(rule, "severity");

	put_text(f, "id: ", oracle_string(rule, "rule_id"));
	put_text(f, "name: ", oracle_string(rule, "name"));
	put_text(f, "severity: ", *severity ? severity : "medium");
	put_text(f, "eql: ", oracle_string(rule, "query"));
}

/* Writes a file for each rule; returns how many. */
static size_t write_folder(const char *folder, const struct json_node *list, bool as_toml)
{
	const struct json_node *name;
	size_t n = 0;

	for (const struct json_node *rule = json_first(list, &name); rule; rule = json_next(list, rule, &name)) {
		char path[128];
		FILE *f;

		(void)snprintf(path, sizeof(path), "%s/%zu.%s", folder, n, as_toml ? "toml" : "yml");
		f = fopen(path, "we");
		if (!f)
			break;
		if (as_toml)
			write_toml(f, rule);
		else
			write_own(f, rule);
		(void)fclose(f);
		n++;
	}
	return n;
}

static void remove_folder(const char *folder, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char path[128];

		(void)snprintf(path, sizeof(path), "%s/%zu.toml", folder, i);
		(void)unlink(path);
		(void)snprintf(path, sizeof(path), "%s/%zu.yml", folder, i);
		(void)unlink(path);
	}
	(void)rmdir(folder);
}

static void check_loads(const struct json_node *list, bool as_toml)
{
	char folder[] = "/tmp/shrike-book-XXXXXX";
	AUTO(book) book = NULL;
	size_t n;

	require(mkdtemp(folder));
	n = write_folder(folder, list, as_toml);
	check(n > 100);
	check(book_read(folder, NULL, &book) == 0);
	remove_folder(folder, n);
	require(book);
	check_int(book->n_rules, n);
	check_int(book->n_files, n);
	for (size_t i = 0; i < book->n_problems; i++) {
		auto_buf struct buf line = { .max = LINE };

		book_problem_write(&book->problem[i], &line);
		test_fail(T_HERE, "%s", buf_text(&line));
	}
}

static void load_all(const char *file)
{
	auto_oracle struct oracle o = { 0 };
	const struct json_node *root, *list;

	if (!oracle_open(&o, file))
		return;
	root = oracle_json(&o);
	list = root && root->type == JSON_OBJECT ? json_get(root, "rules") : root;
	require(list);
	check_loads(list, true);
	check_loads(list, false);
}

TEST(all_published_rules_for_linux_load)
{
	load_all("elastic-linux-eql.json");
}

TEST(all_published_rules_of_the_endpoint_load)
{
	load_all("elastic-endpoint-linux.json");
}

/* As it is parsed: JSON is YAML. */
static void write_sigma(const char *folder, size_t n, const struct json_node *rule, const char *text)
{
	char path[128];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%zu.yml", folder, n);
	f = fopen(path, "we");
	if (!f)
		return;
	put_text(f, "title: ", oracle_string(rule, "title"));
	put_text(f, "id: ", oracle_string(rule, "id"));
	put_text(f, "level: ", oracle_string(rule, "level"));
	put_text(f, "author: ", oracle_string(rule, "author"));
	(void)fprintf(f, "%s\n", text);
	(void)fclose(f);
}

/* *ret_n: how many there are. NULL: something is wrong. */
static struct book *read_sigma(const struct json_node *list, size_t *ret_n)
{
	char folder[] = "/tmp/shrike-book-XXXXXX";
	const struct json_node *name;
	struct book *book = NULL;
	size_t n = 0;

	if (!mkdtemp(folder))
		return NULL;
	for (const struct json_node *rule = json_first(list, &name); rule; rule = json_next(list, rule, &name)) {
		const struct json_node *source = json_get(rule, "logsource"), *detection = json_get(rule, "detection");
		auto_buf struct buf text = { .max = 1 << 20 };

		if (!source || !detection)
			continue;
		buf_str(&text, "logsource: ");
		oracle_put(source, &text);
		buf_str(&text, "\ndetection: ");
		oracle_put(detection, &text);
		write_sigma(folder, n++, rule, buf_text(&text));
	}
	check(book_read(folder, NULL, &book) == 0);
	remove_folder(folder, n);
	*ret_n = n;
	return book;
}

TEST(all_published_sigma_rules_for_linux_load_or_name_what_is_missing)
{
	auto_oracle struct oracle o = { 0 };
	const struct json_node *root, *list;
	AUTO(book) book = NULL;
	size_t n = 0, missing = 0;

	if (!oracle_open(&o, "sigma-linux.json"))
		return;
	root = oracle_json(&o);
	list = root && root->type == JSON_OBJECT ? json_get(root, "rules") : root;
	require(list);
	book = read_sigma(list, &n);
	check(n > 100);
	require(book);
	for (size_t i = 0; i < book->n_problems; i++) {
		auto_buf struct buf line = { .max = LINE };

		missing += book->problem[i].feature != NULL;
		book_problem_write(&book->problem[i], &line);
		if (!book->problem[i].feature)
			test_fail(T_HERE, "%s", buf_text(&line));
	}
	check_int(book->n_rules + missing, n);
}

/* ---- by the program, and by a module ------------------------------------------------------------------------- */

/* The conditions of all stages of a book's rules. */
static int conditions_of(const struct book *book, enum predicate_backend backend, struct predicate_set **ret_set)
{
	AUTO(predicate_set_builder) b = NULL;
	int r = predicate_set_builder_new(&b);
	uint32_t index;

	if (r == 0)
		predicate_set_builder_backend(b, backend);
	for (size_t i = 0; r == 0 && i < book->n_rules; i++) {
		const struct query *q = book->rule[i].query;

		for (uint32_t k = 0; r == 0 && k < q->n_stages; k++)
			if (!predicate_uses_events(q, q->stage[k].condition))
				r = predicate_set_builder_add(b, q, q->stage[k].condition, q->stage[k].category,
							      &index);
	}
	return r < 0 ? r : predicate_set_build(b, ret_set);
}

struct both {
	struct predicate_set *vm, *wasm;
	struct module *whole; /* of all conditions, as they are without the index */
	struct predicate_scratch *a, *b;
};

static void both_close(struct both *b)
{
	module_free(b->whole);
	predicate_set_free(b->vm);
	predicate_set_free(b->wasm);
	predicate_scratch_free(b->a);
	predicate_scratch_free(b->b);
}

static bool same(const struct both *b, const struct event *ev, bool whole)
{
	const struct program *p = predicate_set_program(b->vm);
	struct predicate_input in = { .ev = ev };
	const uint32_t *x, *y;
	size_t n = predicate_set_run(b->vm, &in, b->a, &x), m = predicate_set_run(b->wasm, &in, b->b, &y);

	if (n != m || (n && memcmp(x, y, n * sizeof(*x)) != 0))
		return false;
	if (!whole)
		return true;
	if (!program_begin(p, &in, b->b) || !module_begin(b->whole, b->b))
		return false;
	for (uint32_t i = 0; i < program_count(p); i++) {
		enum truth t;

		if (!module_test(b->whole, b->b, i, &t) || t != program_test(p, i, b->a))
			return false;
	}
	return true;
}

/* Over all events of a file; of one in so many all conditions are asked. 0, or -ENOTSUP: there is no library. */
static int run_both(const struct book *book, struct oracle *o, const char *file, size_t *ret_events)
{
	enum { WHOLE = 16 };
	__attribute__((cleanup(both_close))) struct both b = { 0 };
	auto_json_event struct json_event json = { 0 };
	size_t line_no = 0;
	int r = conditions_of(book, PREDICATE_VM, &b.vm);

	if (r == 0)
		r = conditions_of(book, PREDICATE_WASM, &b.wasm);
	if (r == 0)
		r = module_new(predicate_set_program(b.vm), NULL, NULL, &b.whole);
	if (r == 0)
		r = predicate_scratch_new(&b.a);
	if (r == 0)
		r = predicate_scratch_new(&b.b);
	if (r < 0)
		return r;
	if (!oracle_next(o, file))
		return -ENOENT;
	json_event_init(&json, true);
	for (const char *line = o->text, *stop = o->text + o->n, *end;
	     line && line < stop && (end = memchr(line, '\n', (size_t)(stop - line))); line = end + 1, line_no++) {
		const char *at = memmem(line, (size_t)(end - line), "\"event\":", 8);
		struct event ev = json_event_as_event(&json);

		at = at ? memchr(at, '{', (size_t)(end - at)) : NULL;
		/* The event is the last member of its line. */
		if (!at || json_event_parse(&json, at, (size_t)(end - at) - 1) < 0)
			continue;
		++*ret_events;
		if (same(&b, &ev, line_no % WHOLE == 0))
			continue;
		test_fail(T_HERE, "%s, line %zu", file, line_no + 1);
		return 0;
	}
	return 0;
}

TEST(all_rules_mean_the_same_by_modules)
{
	static const struct {
		const char *name, *rules, *events;
	} rows[] = {
		{ "Elastic's", "elastic-linux-eql.json", "synth-elastic-single.ndjson" },
		{ "the endpoint's", "elastic-endpoint-linux.json", "synth-elastic-single.ndjson" },
		{ "Sigma's", "sigma-linux.json", "synth-sigma.ndjson" },
		{ "our own", NULL, "synth-elastic-single.ndjson" },
	};

	for_each_row (row, rows) {
		auto_oracle struct oracle o = { 0 };
		AUTO(book) book = NULL;
		size_t n = 0, events = 0;
		int r;

		if (!oracle_open(&o, row->rules ?: rows[0].rules))
			skip("no-oracles");
		if (!row->rules) {
			check_int(book_read(SHRIKE_SOURCE_DIR "/rules", NULL, &book), 0);
		} else {
			const struct json_node *root = oracle_json(&o), *list = root && root->type == JSON_OBJECT
											? json_get(root, "rules")
											: root;
			char folder[] = "/tmp/shrike-book-XXXXXX";

			require(list);
			if (!strcmp(row->rules, "sigma-linux.json")) {
				book = read_sigma(list, &n);
			} else if (mkdtemp(folder)) {
				n = write_folder(folder, list, true);
				check_int(book_read(folder, NULL, &book), 0);
				remove_folder(folder, n);
			}
		}
		require(book);
		check(book->n_rules > 100);
		r = run_both(book, &o, row->events, &events);
		if (r == -ENOTSUP)
			skip("no-wasmtime");
		check_int(r, 0);
		check(events > 1000);
	}
}
