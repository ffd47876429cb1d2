/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the agent told is what a replay of its recording tells: the same alerts, under the same ids; and its log goes
 * on in a new file when the old one was moved away.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/err.h"
#include "base/mem.h"
#include "base/test.h"
#include "store/alerts.h"
#include "tests/e2e/e2e.h"

enum { RUNS = 5, ALERTS = 2 * 2 * RUNS, IDS_MAX = 64, POLL_US = 20000, POLLS = 1500 };

static const char rules[] =
	"rules:\n"
	"  - id: began\n"
	"    name: A program of the test began\n"
	"    severity: low\n"
	"    eql: process where event.dataset == \"process.exec\" and process.args == \"of-the-test\"\n"
	"  - id: began-and-ended\n"
	"    name: It ended as well\n"
	"    severity: medium\n"
	"    eql: |\n"
	"      sequence by process.entity_id with maxspan=5m\n"
	"        [process where event.dataset == \"process.exec\" and process.args == \"of-the-test\"]\n"
	"        [process where event.dataset == \"process.exit\"]\n";

struct ids {
	char id[IDS_MAX][ALERT_ID_SIZE];
	size_t n;
};

static int by_text(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* Adds those of the lines of a file, and sorts: live, alerts of different threads may come in another order. */
static void read_ids(FILE *f, struct ids *ret_ids)
{
	static const char mark[] = "\"shrike\":{\"alert\":{\"id\":\"";
	auto_free char *line = NULL;
	size_t room = 0;

	while (getline(&line, &room, f) > 0) {
		const char *at = strstr(line, mark);

		if (!at || ret_ids->n == IDS_MAX) {
			test_fail(T_HERE, "no alert, or too many: %.200s", line);
			return;
		}
		(void)snprintf(ret_ids->id[ret_ids->n++], ALERT_ID_SIZE, "%s", at + sizeof(mark) - 1);
	}
	qsort(ret_ids->id, ret_ids->n, ALERT_ID_SIZE, by_text);
}

static void read_log(const char *path, struct ids *ret_ids)
{
	auto_file FILE *f = fopen(path, "re");

	if (f)
		read_ids(f, ret_ids);
	else
		test_fail(T_HERE, "there is no %s", path);
}

/* As programs do that rotate the logs of others. */
static bool move_log_away(const struct e2e *a, const char *path, const char *moved)
{
	if (rename(path, moved) || kill(a->pid, SIGHUP))
		return false;
	for (int i = 0; i < POLLS && access(path, F_OK) != 0; i++)
		(void)usleep(POLL_US);
	return access(path, F_OK) == 0;
}

static bool write_rules(const char *path)
{
	auto_file FILE *f = fopen(path, "we");

	return f && fputs(rules, f) >= 0;
}

static bool is_stored(void *arg, const struct alert *a)
{
	const struct ids *ids = arg;

	for (size_t i = 0; i < ids->n; i++)
		if (!strcmp(ids->id[i], a->id))
			return true;
	test_fail(T_HERE, "%s was stored and not told", a->id);
	return true;
}

TEST(a_replay_of_what_was_recorded_tells_the_same_alerts)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_agent struct e2e a = { 0 };
	AUTO(alerts) store = NULL;
	char config[2048], path[PATH_MAX], command[PATH_MAX];
	struct ids live = { .n = 0 };
	char moved[PATH_MAX];
	FILE *f;

	if (!sandbox_open(&sb, SANDBOX_PLAIN))
		return;
	(void)snprintf(path, sizeof(path), "%s/rules.yaml", sb.dir);
	require(write_rules(path));
	(void)snprintf(config, sizeof(config),
		       "sensors:\n"
		       "  file: { enabled: false }\n"
		       "  net: { enabled: false }\n"
		       "  drop: { enabled: false }\n"
		       "  memory: { enabled: false }\n"
		       "  kernel: { enabled: false }\n"
		       "bus: { shards: 2 }\n"
		       "record: { enabled: true, folder: %s/recording }\n"
		       "engines:\n  detect: { rules: %s }\n",
		       sb.dir, path);
	e2e_config(&a, &sb, config);
	if (!e2e_start(&a, &sb, NULL))
		return;
	check_int(sandbox_run(&sb, e2e_run_true, &(struct e2e_runs) { RUNS, "of-the-test" }), 0);
	(void)snprintf(path, sizeof(path), "%s/alerts.jsonl", sb.dir);
	(void)snprintf(moved, sizeof(moved), "%s/alerts.moved", sb.dir);
	check(move_log_away(&a, path, moved));
	check_int(sandbox_run(&sb, e2e_run_true, &(struct e2e_runs) { RUNS, "of-the-test" }), 0);
	/* What came before the end is judged and recorded by the end. */
	check_int(e2e_stop(&a, SIGTERM), 0);

	read_log(path, &live);
	check(live.n >= 2 * RUNS);
	read_log(moved, &live);
	check_int(live.n, ALERTS);
	for (unsigned shards = 1; shards <= 2; shards++) {
		struct ids again = { .n = 0 };

		(void)snprintf(command, sizeof(command),
			       "'%s' replay --shards %u --rules '%s/rules.yaml' '%s/recording'", e2e_binary(), shards,
			       sb.dir, sb.dir);
		f = popen(command, "re");
		require(f != NULL);
		read_ids(f, &again);
		check_int(pclose(f), 0);
		check_int(again.n, live.n);
		check(!memcmp(live.id, again.id, live.n * ALERT_ID_SIZE));
	}
	(void)snprintf(path, sizeof(path), "%s/alerts.db", sb.dir);
	require_ok(alerts_open(&(struct alerts_options) { .path = path }, &store));
	check_int(alerts_list(store, &(struct alerts_filter) { 0 }, is_stored, &live), ALERTS);
}
