/* SPDX-License-Identifier: Apache-2.0 */
/* All Linux rules that others have published load: written to a folder as TOML, and as files of our own. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "base/err.h"
#include "base/test.h"
#include "event/json_event.h"
#include "predicate/lua/from_ir.h"
#include "predicate/module.h"
#include "predicate/script.h"
#include "predicate/set.h"
#include "predicate/tree.h"
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

/* ---- the same, whatever runs them ------------------------------------------------------------------------------ */

struct condition {
	const struct query *q;
	ir_ref ref;
	const char *category;
	uint32_t index;
	/* NULL: it cannot be said there. */
	struct script_code *code;
	struct script *lua;
};

/* All that runs conditions; of a machine without the runtime of Wasm, all but that. */
struct runners {
	struct condition *conditions; /* of all stages of a book's rules */
	size_t n, n_lua, n_true;
	struct predicate_set *vm, *wasm;
	struct module *module; /* of all conditions, as they are without the index */
	struct predicate_scratch *a, *b;
	struct arena arena;
};

static void runners_close(struct runners *r)
{
	for (size_t i = 0; i < r->n; i++) {
		script_free(r->conditions[i].lua);
		script_code_free(r->conditions[i].code);
	}
	free(r->conditions);
	module_free(r->module);
	predicate_set_free(r->vm);
	predicate_set_free(r->wasm);
	predicate_scratch_free(r->a);
	predicate_scratch_free(r->b);
	arena_free(&r->arena);
}

static int find_conditions(struct runners *r, const struct book *book)
{
	for (size_t i = 0; i < book->n_rules; i++)
		r->n += book->rule[i].query->n_stages;
	r->conditions = calloc(r->n + 1, sizeof(*r->conditions));
	r->n = 0;
	for (size_t i = 0; r->conditions && i < book->n_rules; i++) {
		const struct query *q = book->rule[i].query;

		for (uint32_t k = 0; k < q->n_stages; k++)
			if (!predicate_uses_events(q, q->stage[k].condition))
				r->conditions[r->n++] = (struct condition) {
					.q = q,
					.ref = q->stage[k].condition,
					.category = q->stage[k].category && *q->stage[k].category ? q->stage[k].category
												  : NULL,
				};
	}
	return r->conditions ? 0 : -ENOMEM;
}

static int set_of(struct runners *r, enum predicate_backend backend, struct predicate_set **ret_set)
{
	AUTO(predicate_set_builder) b = NULL;
	int e = predicate_set_builder_new(&b);

	if (e == 0)
		predicate_set_builder_backend(b, backend);
	for (size_t i = 0; e == 0 && i < r->n; i++) {
		struct condition *c = &r->conditions[i];

		e = predicate_set_builder_add(b, c->q, c->ref, c->category, &c->index);
	}
	return e < 0 ? e : predicate_set_build(b, ret_set);
}

/* A pattern that a script may not have is a reason to leave one out, nothing else is. */
static int say_in_lua(struct runners *r, struct condition *c)
{
	auto_buf struct buf text = { .max = 1 << 20 };
	struct diag diag;

	if (!lua_from_ir(c->q, c->ref, &text))
		return 0;
	if (script_compile(SCRIPT_LUA, "the same", buf_text(&text), text.len, NULL, &diag, &c->code) < 0)
		return strstr(diag.message, "too complex") ? 0 : -EINVAL;
	r->n_lua++;
	return script_open(c->code, &c->lua);
}

static int runners_open(struct runners *r, const struct book *book)
{
	int e = find_conditions(r, book);

	arena_init(&r->arena, 1 << 22);
	if (e == 0)
		e = set_of(r, PREDICATE_VM, &r->vm);
	if (e == 0)
		e = set_of(r, PREDICATE_WASM, &r->wasm);
	if (e == 0)
		e = module_new(predicate_set_program(r->vm), NULL, NULL, &r->module);
	if (e == -ENOTSUP)
		e = 0;
	if (e == 0)
		e = predicate_scratch_new(&r->a);
	if (e == 0)
		e = predicate_scratch_new(&r->b);
	for (size_t i = 0; e == 0 && i < r->n; i++)
		e = say_in_lua(r, &r->conditions[i]);
	return e;
}

/* What each says of one condition, of the event that both scratches have begun with. */
static bool condition_agrees(struct runners *r, const struct condition *c, const struct predicate_input *in)
{
	const struct program *p = predicate_set_program(r->vm);
	enum truth program = program_test(p, c->index, r->a), module = program, tree;
	enum script_verdict lua = SCRIPT_NO;
	bool is_of = !c->category || tree_is_of(c->q, c->category, in->ev), failed;

	arena_reset(&r->arena);
	tree = tree_test(c->q, c->ref, in, &r->arena);
	failed = r->module && !module_test(r->module, r->b, c->index, &module);
	if (c->lua)
		lua = script_run(c->lua, in->ev);
	r->n_true += tree == TRUTH_TRUE;
	if (!failed && module == program && (program == TRUTH_TRUE) == (is_of && tree == TRUTH_TRUE) &&
	    (!c->lua || lua == (tree == TRUTH_TRUE ? SCRIPT_YES : SCRIPT_NO)))
		return true;
	test_fail(T_HERE, "tree %d%s, program %d, module %d%s, Lua %d %s: %.*s", tree,
		  is_of ? "" : " of another category", program, module, failed ? " that failed" : "",
		  c->lua ? (int)lua : -1, c->lua ? script_error(c->lua) : "", (int)c->q->text_len, c->q->text);
	return false;
}

static bool event_agrees(struct runners *r, const struct event *ev, bool whole)
{
	const struct program *p = predicate_set_program(r->vm);
	struct predicate_input in = { .ev = ev };
	const uint32_t *x, *y;
	size_t n = predicate_set_run(r->vm, &in, r->a, &x), m;

	if (r->wasm) {
		m = predicate_set_run(r->wasm, &in, r->b, &y);
		if (n != m || (n && memcmp(x, y, n * sizeof(*x)) != 0)) {
			test_fail(T_HERE, "%zu are true by the program, %zu by the module", n, m);
			return false;
		}
	}
	if (!whole)
		return true;
	if (r->module && (!program_begin(p, &in, r->b) || !module_begin(r->module, r->b)))
		return false;
	for (size_t i = 0; i < r->n; i++)
		if (!condition_agrees(r, &r->conditions[i], &in))
			return false;
	return true;
}

/* All events of a file; of one in so many all is asked of all. */
static void check_agree(struct runners *r, const struct oracle *o, const char *file)
{
	enum { WHOLE = 16 };
	auto_json_event struct json_event json;
	size_t line_no = 0, events = 0;

	json_event_init(&json, true);
	/* Not with strchr(): under the address sanitizer that looks at all that follows. */
	for (const char *line = o->text, *stop = o->text + o->n, *end;
	     line && line < stop && (end = memchr(line, '\n', (size_t)(stop - line))); line = end + 1, line_no++) {
		const char *at = memmem(line, (size_t)(end - line), "\"event\":", 8);
		struct event ev = json_event_as_event(&json);

		at = at ? memchr(at, '{', (size_t)(end - at)) : NULL;
		/* The event is the last member of its line. */
		if (!at || json_event_parse(&json, at, (size_t)(end - at) - 1) < 0)
			continue;
		events++;
		if (!event_agrees(r, &ev, line_no % WHOLE == 0)) {
			test_fail(T_HERE, "%s, line %zu", file, line_no + 1);
			return;
		}
	}
	check(events > 1000);
	/* Enough of them are true, and many can be said in Lua. */
	check(r->n_true > 10);
	check(3 * r->n_lua > r->n);
}

TEST(all_rules_mean_the_same_whatever_runs_them)
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
		__attribute__((cleanup(runners_close))) struct runners r = { 0 };
		auto_oracle struct oracle o = { 0 };
		AUTO(book) book = NULL;
		size_t n = 0;

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
		require_ok(runners_open(&r, book));
		require(oracle_next(&o, row->events));
		check_agree(&r, &o, row->events);
	}
}
