/* SPDX-License-Identifier: Apache-2.0 */
/* Macros of folders: where they are found, what is wrong with their files, what rules make of them. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/test.h"
#include "rulebook/book.h"
#include "rulebook/own.h"
#include "rulebook/watch.h"

enum { TEXT = 1 << 16, FILES_MAX = 6 };

#define RULE(id, eql) "id: " id "\nname: A rule\nseverity: low\neql: " eql "\n"
#define SHELL         "macros:\n  is_shell:\n    parameters: path\n    eql: path in (\"/bin/sh\", \"/bin/bash\")\n"

struct file {
	const char *path, *text; /* below the folder */
};

struct place_to_be {
	char folder[32];
	const struct file *file;
};

static void write_file(const struct place_to_be *at, const char *path, const char *text)
{
	char full[256];
	FILE *f;

	(void)snprintf(full, sizeof(full), "%s/%s", at->folder, path);
	for (char *p = full + strlen(at->folder) + 1; (p = strchr(p, '/')); p++) {
		*p = 0;
		(void)mkdir(full, 0755);
		*p = '/';
	}
	f = fopen(full, "we");
	check(f && fputs(text, f) >= 0);
	if (f)
		(void)fclose(f);
}

static void folder_open(struct place_to_be *at, const struct file *file)
{
	strcpy(at->folder, "/tmp/shrike-macros-XXXXXX");
	check(mkdtemp(at->folder));
	at->file = file;
	for (const struct file *f = file; f->path; f++)
		write_file(at, f->path, f->text);
}

static void folder_close(struct place_to_be *at)
{
	for (const struct file *f = at->file; f && f->path; f++) {
		char full[256];

		(void)snprintf(full, sizeof(full), "%s/%s", at->folder, f->path);
		(void)unlink(full);
		while (strrchr(full, '/') > full + strlen(at->folder)) {
			*strrchr(full, '/') = 0;
			(void)rmdir(full);
		}
	}
	(void)rmdir(at->folder);
}
#define auto_folder __attribute__((cleanup(folder_close)))

/* What is wrong, without the name of the folder; or the condition of the rule `r`. */
static void say(const struct place_to_be *at, const char *path, struct buf *out)
{
	const size_t n = strlen(at->folder);
	AUTO(book) b = NULL;
	auto_buf struct buf all = { .max = TEXT };
	char full[256];

	(void)snprintf(full, sizeof(full), "%s%s%s", at->folder, *path ? "/" : "", path);
	check(book_read(full, NULL, &b) == 0);
	for (size_t i = 0; b && i < b->n_problems; i++) {
		buf_str(&all, i ? "\n" : "");
		book_problem_write(&b->problem[i], &all);
	}
	if (b && !b->n_problems && book_find(b, "r"))
		ir_print(book_find(b, "r")->query, book_find(b, "r")->query->stage[0].condition, &all);
	for (const char *p = buf_text(&all); *p;)
		if (!strncmp(p, at->folder, n))
			p += n + (p[n] == '/');
		else
			buf_char(out, *p++);
}

TEST(a_folder_has_the_macros_of_all_its_files)
{
	static const struct {
		const char *name, *read, *want;
		struct file file[FILES_MAX];
	} rows[] = {
		{ "beside the rule",
		  "",
		  "(in@! a \"/bin/sh\" \"/bin/bash\")",
		  { { "macros.yaml", SHELL }, { "r.yml", RULE("r", "any where is_shell(a)") } } },
		{ "in another folder",
		  "",
		  "(in@! a \"/bin/sh\" \"/bin/bash\")",
		  { { "z/of-mine.macros.yml", SHELL }, { "a/r.yml", RULE("r", "any where is_shell(a)") } } },
		{ "as JSON",
		  "",
		  "(==@! a 1)",
		  { { "macros.json", "{\"macros\":{\"one\":{\"parameters\":[\"x\"],\"eql\":\"x == 1\"}}}" },
		    { "r.yml", RULE("r", "any where one(a)") } } },
		{ "of lines",
		  "",
		  "(==@! a 1)",
		  { { "macros.yml", "macros: {one: {parameters: [x], eql: x == 1}}\n" },
		    { "r.ndjson", "{\"id\":\"r\",\"query\":\"any where one(a)\"}\n" } } },
		{ "one replaces another's",
		  "",
		  "(or (in@! a \"/bin/sh\" \"/bin/bash\") (==@! a \"/bin/odd\"))",
		  { { "z/macros.yaml", SHELL },
		    { "a/macros.yaml", "macros:\n  is_shell:\n    parameters: [p]\n    replaces: true\n    eql: "
				       "is_shell(p) or p == \"/bin/odd\"\n" },
		    { "r.yml", RULE("r", "any where is_shell(a)") } } },
		{ "twice",
		  "",
		  "b.macros.yaml:2:3: macro is_shell: there is a macro \"is_shell\" already, in a.macros.yaml:2: to "
		  "stand in its place, this one says \"replaces: true\"",
		  { { "a.macros.yaml", SHELL }, { "b.macros.yaml", SHELL } } },
		{ "a rule by itself, below",
		  "a/b/r.yml",
		  "(in@! a \"/bin/sh\" \"/bin/bash\")",
		  { { "macros.yaml", SHELL }, { "a/b/r.yml", RULE("r", "any where is_shell(a)") } } },
		{ "a rule by itself, beside",
		  "a/r.yml",
		  "a/r.yml:4:16: r: unknown function \"is_shell\"; of a file by itself, macros are looked for beside "
		  "it "
		  "and in the folders above it",
		  { { "b/macros.yaml", SHELL }, { "a/r.yml", RULE("r", "any where is_shell(a)") } } },
		{ "a rule without its macros",
		  "",
		  "r.yml:4:16: r: unknown function \"is_shell\"; no file called macros.yaml or NAME.macros.yaml in the "
		  "folder defines it as a macro",
		  { { "r.yml", RULE("r", "any where is_shell(a)") } } },
		{ "macros by themselves", "macros.yaml", "", { { "macros.yaml", SHELL } } },
		{ "an exception, and a script's when",
		  "",
		  "(in@! a \"/bin/sh\" \"/bin/bash\")",
		  { { "macros.yaml", SHELL },
		    { "r.yml", "id: r\nname: R\nseverity: low\nwhen: any where is_shell(a)\n"
			       "lua: 'return function() end'\n"
			       "exceptions: [{name: x, where: 'is_shell(process.executable)'}]\n" } } },
	};

	for_each_row (r, rows) {
		auto_folder struct place_to_be at = { 0 };
		auto_buf struct buf got = { .max = TEXT };

		folder_open(&at, r->file);
		say(&at, r->read, &got);
		check_str(buf_text(&got), r->want);
	}
}

TEST(what_is_wrong_with_a_file_of_macros_is_told_at_its_place)
{
	static const struct {
		const char *name, *text, *want;
	} rows[] = {
		{ "nothing wrong", SHELL, "" },
		{ "no macros", "rules: []\n",
		  "f.macros.yml:1:1: a file of this name defines macros: a mapping under \"macros\"" },
		{ "a list", "macros: []\n", "f.macros.yml:1:9: macros: is to be a mapping of names, not a list" },
		{ "something beside them", SHELL "rules: []\n",
		  "f.macros.yml:5:1: rules: nothing stands beside the macros" },
		{ "a key that nobody knows", "macros:\n  f: {eql: 'true', param: x}\n",
		  "f.macros.yml:2:20: macro f: param: no such key" },
		{ "no expression", "macros:\n  f: {parameters: x}\n",
		  "f.macros.yml:2:6: macro f: a macro: \"eql\" is missing" },
		{ "no mapping", "macros:\n  f: a == 1\n",
		  "f.macros.yml:2:6: macro f: a macro: is to be a mapping, not a text" },
		{ "a truth that is none", "macros:\n  f: {eql: 'true', replaces: perhaps}\n",
		  "f.macros.yml:2:30: macro f: replaces: is to be one of false, true" },
		{ "on its line", "macros:\n  f:\n    parameters: [a]\n    eql: a == == 1\n",
		  "f.macros.yml:4:15: macro f: expected a value, found \"==\"" },
		{ "as a block",
		  "macros:\n  f:\n    parameters: [a]\n    eql: |\n      a == 1\n        or lenght(a) > 1\n",
		  "f.macros.yml:6:12: macro f: unknown function \"lenght\"; did you mean \"length\"?" },
		{ "a name twice", "macros:\n  f: {eql: 'true'}\n  f: {eql: 'true'}\n", "f.macros.yml:3:3: " },
		{ "a name with a hyphen", "macros:\n  is-shell: {eql: 'true'}\n",
		  "f.macros.yml:2:3: macro is-shell: the name of a macro is made of letters, digits and _" },
		{ "a circle", "macros:\n  f: {eql: g()}\n  g: {eql: f()}\n",
		  "f.macros.yml:2:3: macro f: macros that call each other in a circle: f -> g -> f" },
	};

	for_each_row (r, rows) {
		AUTO(book) b = NULL;
		auto_buf struct buf got = { .max = TEXT };

		require_ok(book_read_text("f.macros.yml", r->text, strlen(r->text), NULL, &b));
		for (size_t i = 0; i < b->n_problems; i++)
			book_problem_write(&b->problem[i], &got);
		if (*r->want)
			check_has(buf_text(&got), r->want);
		else
			check_str(buf_text(&got), "");
	}
}

/* Whoever reads the first message is to see why, and not what follows from it. */
TEST(what_is_wrong_with_a_macro_is_told_before_the_rules_that_call_it)
{
	static const struct file file[] = {
		{ "a.yml", RULE("a", "any where f(x)") },
		{ "b.yml", RULE("b", "any where x == 1 and f(5)") },
		{ "macros.yaml", "macros:\n  f: {parameters: a, eql: 'a == '}\n" },
		{ NULL, NULL },
	};
	auto_folder struct place_to_be at = { 0 };
	auto_buf struct buf got = { .max = TEXT };

	folder_open(&at, file);
	say(&at, "", &got);
	check_str(buf_text(&got), "macros.yaml:2:33: macro f: expected a value, found the end\n"
				  "a.yml:4:16: a: the macro \"f\" cannot be used, for it is wrong: macros.yaml:2:3\n"
				  "b.yml:4:27: b: the macro \"f\" cannot be used, for it is wrong: macros.yaml:2:3");
}

TEST(an_error_in_a_call_names_both_places)
{
	static const struct file file[] = {
		{ "a.yml", RULE("a", "any where x == 1 and g(5)") },
		{ "macros.yaml", "macros:\n  f: {parameters: a, eql: length(a) > 1}\n  g:\n    parameters: b\n    eql: "
				 "|\n      f(b)\n" },
		{ NULL, NULL },
	};
	auto_folder struct place_to_be at = { 0 };
	auto_buf struct buf got = { .max = TEXT };

	folder_open(&at, file);
	say(&at, "", &got);
	check_str(buf_text(&got), "a.yml:4:29: a: length() wants text here, and this is a number; in the macro \"f\", "
				  "macros.yaml:2:27, called by the macro \"g\", macros.yaml:6:7");
}

TEST(the_guide_has_all_keys_of_a_macro)
{
	char page[32768] = "", row[512];
	FILE *f = fopen(SHRIKE_SOURCE_DIR "/docs/rules.md", "re");

	require(f);
	check(fread(page, 1, sizeof(page) - 1, f) > 0);
	(void)fclose(f);
	for (const struct own_key *k = own_macro_keys; k->name; k++) {
		(void)snprintf(row, sizeof(row), "| `%s` | %s |", k->name, k->doc);
		check_has(page, row);
	}
}

TEST(macros_stand_in_files_of_their_own)
{
	AUTO(book) b = NULL;
	auto_buf struct buf got = { .max = TEXT };

	require_ok(book_read_text("f.yml", SHELL, strlen(SHELL), NULL, &b));
	require(b->n_problems == 1);
	book_problem_write(&b->problem[0], &got);
	check_str(buf_text(&got), "f.yml:1:1: macros: they stand in a file of their own, called macros.yaml or "
				  "NAME.macros.yaml");
}

TEST(a_rule_is_another_when_a_macro_that_it_calls_is)
{
	static const struct file file[] = {
		{ "a.yml", RULE("a", "any where is_shell(x)") },
		{ "b.yml", RULE("b", "any where x == 1") },
		{ "macros.yaml", SHELL },
		{ NULL, NULL },
	};
	auto_folder struct place_to_be at = { 0 };
	AUTO(book) before = NULL;
	AUTO(book) after = NULL;

	folder_open(&at, file);
	require_ok(book_read(at.folder, NULL, &before));
	write_file(&at, "macros.yaml", "macros: {is_shell: {parameters: path, eql: path == \"/bin/sh\"}}\n");
	require_ok(book_read(at.folder, NULL, &after));
	require(before->n_rules == 2 && after->n_rules == 2);
	check(before->rule[0].content != after->rule[0].content);
	check(before->rule[1].content == after->rule[1].content);
}

static void count(void *ctx)
{
	atomic_fetch_add((atomic_uint *)ctx, 1);
}

TEST(a_file_by_itself_is_read_again_when_its_macros_change)
{
	static const struct file file[] = {
		{ "below/a.yml", RULE("a", "any where is_shell(x)") },
		{ "macros.yaml", SHELL },
		{ NULL, NULL },
	};
	auto_folder struct place_to_be at = { 0 };
	atomic_uint told = 0;
	char path[64];
	AUTO(watch) w = NULL;

	folder_open(&at, file);
	(void)snprintf(path, sizeof(path), "%s/below/a.yml", at.folder);
	require_ok(watch_open(path, count, &told, &w));
	write_file(&at, "macros.yaml", SHELL "# another\n");
	for (unsigned i = 0; i < 600 && !atomic_load(&told); i++)
		clock_sleep_ns(50 * NS_PER_MS);
	check(atomic_load(&told));
}
