/* SPDX-License-Identifier: Apache-2.0 */
/* All Linux rules that others have published load: written to a folder as TOML, and as files of our own. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include "base/err.h"
#include "base/test.h"
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

TEST(all_published_sigma_rules_for_linux_load_or_name_what_is_missing)
{
	char folder[] = "/tmp/shrike-book-XXXXXX";
	auto_oracle struct oracle o = { 0 };
	const struct json_node *root, *list, *name;
	AUTO(book) book = NULL;
	size_t n = 0, missing = 0;

	if (!oracle_open(&o, "sigma-linux.json"))
		return;
	root = oracle_json(&o);
	list = root && root->type == JSON_OBJECT ? json_get(root, "rules") : root;
	require(list && mkdtemp(folder));
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
	check(n > 100);
	check(book_read(folder, NULL, &book) == 0);
	remove_folder(folder, n);
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
