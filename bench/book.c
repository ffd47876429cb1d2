/* SPDX-License-Identifier: Apache-2.0 */
/*
 * book - what it takes to load rules: CPU time from files to a set that runs, and memory a rule.
 *
 * Of the rules that come with Shrike, and, where they are at hand, of all published ones for Linux: Elastic's and the
 * endpoint's in EQL, and Sigma's, a file each.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "base/err.h"
#include "rulebook/book.h"
#include "sensors/sensor.h"
#include "sequence/runner.h"
#include "tests/oracles/oracles.h"

enum { ROUNDS = 5, GOAL_MS = 2000, GOAL_BYTES = 16 << 10 };

static int by_value(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double cpu_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static size_t in_use(void)
{
	const struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
}

/* From the files to a set; how many rules, 0 when it fails. */
static size_t load(const char *folder, struct book **ret_book, struct ruleset **ret_set)
{
	auto_free struct runner_query *queries = NULL;
	size_t n;

	if (book_read(folder, NULL, ret_book) < 0)
		return 0;
	n = (*ret_book)->n_rules;
	queries = calloc(n + 1, sizeof(*queries));
	for (size_t i = 0; queries && i < n; i++)
		queries[i] =
			(struct runner_query) { .id = (*ret_book)->rule[i].id, .query = (*ret_book)->rule[i].query };
	if (!queries || ruleset_new(queries, n, NULL, ret_set) < 0)
		return 0;
	return n;
}

static bool measure(const char *name, const char *folder)
{
	double ms[ROUNDS], bytes = 0;
	size_t n = 0, refused = 0;

	for (size_t i = 0; i < ROUNDS; i++) {
		AUTO(book) book = NULL;
		AUTO(ruleset) set = NULL;
		const size_t before = in_use();
		const double begin_ms = cpu_ms();

		n = load(folder, &book, &set);
		if (!n) {
			(void)fprintf(stderr, "bench: %s\n", err_trail());
			return false;
		}
		ms[i] = cpu_ms() - begin_ms;
		bytes = (double)(in_use() - before) / (double)n;
		refused = book->n_problems;
	}
	qsort(ms, ROUNDS, sizeof(*ms), by_value);
	printf("{\"name\":\"book.%s.load\",\"value\":%.1f,\"unit\":\"ms\",\"goal_at_most\":%d,\"met\":%s,\"rules\":%zu,"
	       "\"problems\":%zu,\"runs\":%d,\"min\":%.1f,\"max\":%.1f}\n",
	       name, ms[ROUNDS / 2], GOAL_MS, ms[ROUNDS / 2] <= GOAL_MS ? "true" : "false", n, refused, ROUNDS, ms[0],
	       ms[ROUNDS - 1]);
	printf("{\"name\":\"book.%s.memory\",\"value\":%.0f,\"unit\":\"bytes a "
	       "rule\",\"goal_at_most\":%d,\"met\":%s}\n",
	       name, bytes, GOAL_BYTES, bytes <= GOAL_BYTES ? "true" : "false");
	return true;
}

static void put_member(struct buf *out, const struct json_node *rule, const char *name, const char *as)
{
	const struct json_node *v = json_get(rule, name);

	if (!v)
		return;
	buf_printf(out, "%s: ", as);
	oracle_put(v, out);
	buf_char(out, '\n');
}

/* A file each: one of ours around EQL, or Sigma's own. */
static size_t write_rules(const char *folder, size_t n, struct oracle *o, bool eql)
{
	static const char *const members[][2][2] = {
		{ { "title", "title" }, { "rule_id", "id" } },
		{ { "id", "id" }, { "name", "name" } },
		{ { "logsource", "logsource" }, { "severity", "severity" } },
		{ { "detection", "detection" }, { "query", "eql" } },
	};
	const struct json_node *root = oracle_json(o), *name;
	const struct json_node *list = root && root->type == JSON_OBJECT ? json_get(root, "rules") : root;

	if (!list)
		return n;
	for (const struct json_node *rule = json_first(list, &name); rule; rule = json_next(list, rule, &name)) {
		auto_buf struct buf out = { .max = BOOK_FILE_MAX };
		auto_file FILE *f = NULL;
		char path[128];

		for (size_t i = 0; i < countof(members); i++)
			put_member(&out, rule, members[i][eql][0], members[i][eql][1]);
		if (eql && !strstr(buf_text(&out), "\nseverity: "))
			buf_str(&out, "severity: medium\n");
		(void)snprintf(path, sizeof(path), "%s/%zu.yml", folder, n++);
		f = fopen(path, "we");
		if (!f || fwrite(out.data, 1, out.len, f) != out.len)
			return 0;
	}
	return n;
}

static bool measure_published(void)
{
	char folder[] = "/tmp/shrike-bench-XXXXXX", path[128];
	auto_oracle struct oracle o = { 0 };
	bool good;
	size_t n;

	if (!oracle_open(&o, "elastic-linux-eql.json")) {
		printf("{\"name\":\"book.published\",\"skipped\":\"no oracles here\"}\n");
		return true;
	}
	if (!mkdtemp(folder))
		return false;
	n = write_rules(folder, 0, &o, true);
	if (oracle_next(&o, "elastic-endpoint-linux.json"))
		n = write_rules(folder, n, &o, true);
	if (oracle_next(&o, "sigma-linux.json"))
		n = write_rules(folder, n, &o, false);
	good = n > 0 && measure("published", folder);
	while (n--) {
		(void)snprintf(path, sizeof(path), "%s/%zu.yml", folder, n);
		(void)unlink(path);
	}
	(void)rmdir(folder);
	return good;
}

int main(void)
{
	if (sensor_kinds_register() < 0)
		return 1;
	return measure("shipped", SHRIKE_SOURCE_DIR "/rules") && measure_published() ? 0 : 1;
}
