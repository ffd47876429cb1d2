/* SPDX-License-Identifier: Apache-2.0 */
/* What is found is told, stored and counted; nothing of it is lost unseen. */
#include "agent/alerting.h"
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "agent/schema.h"
#include "base/err.h"
#include "base/json.h"
#include "base/test.h"
#include "event/json_event.h"

enum { POLL_US = 5000, POLLS = 4000 };

struct rig {
	char folder[64];
	struct config *config;
	struct alerting *alerting;
};

/* `more` of alerts, and of their log. */
static struct config *config_of(const struct rig *g, const char *more, const char *of_log)
{
	auto_report struct config_report report = { 0 };
	struct config *config = NULL;
	char text[1024];

	(void)snprintf(text, sizeof(text),
		       "alerts: { age: 0s, store: %s/alerts.db%s }\n"
		       "senders: { log: { path: %s/alerts.jsonl%s } }\n",
		       g->folder, more, g->folder, of_log);
	if (config_load_text("test", text, strlen(text), agent_schema(), &config, &report) < 0)
		test_fail(T_HERE, "%s: %s", err_trail(), text);
	return config;
}

static bool rig_open(struct rig *g, unsigned shards, const char *more)
{
	*g = (struct rig) { .folder = "/tmp/shrike-alerting-XXXXXX" };
	if (!mkdtemp(g->folder)) {
		test_fail(T_HERE, "no folder");
		return false;
	}
	g->config = config_of(g, more, "");
	if (g->config && alerting_open(g->config, shards, &g->alerting) == 0)
		return true;
	test_fail(T_HERE, "%s", err_trail());
	return false;
}

static void rig_close(struct rig *g)
{
	auto_dir DIR *dir = opendir(g->folder);

	alerting_free(g->alerting);
	config_free(g->config);
	for (struct dirent *d; dir && (d = readdir(dir));)
		if (d->d_name[0] != '.')
			(void)unlinkat(dirfd(dir), d->d_name, 0);
	(void)rmdir(g->folder);
}
#define auto_rig __attribute__((cleanup(rig_close)))

/* What a rule has found in the n-th event of a process. */
static bool find(struct rig *g, unsigned shard, const struct book_rule *rule, const char *process, unsigned n)
{
	auto_json_event struct json_event je;
	char line[256], id[ALERT_ID_SIZE];
	struct event ev;

	json_event_init(&je, false);
	(void)snprintf(line, sizeof(line),
		       "{\"@timestamp\":\"2024-05-06T12:00:%02uZ\",\"n\":%u,\"process\":{\"entity_id\":\"%s\"}}",
		       n % 60, n, process);
	if (json_event_parse(&je, line, strlen(line)) < 0) {
		test_fail(T_HERE, "%s", err_trail());
		return false;
	}
	ev = json_event_as_event(&je);
	return alerting_found(g->alerting, shard,
			      &(struct finding) { .rule = "r", .severity = 50, .of = rule, .event = &ev }, id);
}

static const char *status(struct rig *g)
{
	static char text[8192];
	auto_buf struct buf out = { .max = sizeof(text) - 1 };

	alerting_status(g->alerting, &out);
	(void)snprintf(text, sizeof(text), "%s", buf_text(&out));
	return text;
}

/* The status comes to have all of the parts. */
static void comes_to(struct rig *g, const char *const *parts)
{
	for (int i = 0; *parts; parts++) {
		while (!strstr(status(g), *parts) && i++ < POLLS)
			(void)usleep(POLL_US);
		check_has(status(g), *parts);
	}
}

static size_t lines_of(const struct rig *g)
{
	char path[128];
	auto_file FILE *f = NULL;
	size_t n = 0;

	(void)snprintf(path, sizeof(path), "%s/alerts.jsonl", g->folder);
	f = fopen(path, "re");
	for (int c; f && (c = getc(f)) != EOF;)
		n += c == '\n';
	return n;
}

static bool keep_folded(void *arg, const struct alert *a)
{
	*(uint64_t *)arg += a->folded;
	return true;
}

TEST(what_is_found_is_told_folded_and_stored)
{
	auto_rig struct rig g;
	uint64_t folded = 0;

	if (!rig_open(&g, 1, ""))
		return;
	check(find(&g, 0, NULL, "a", 1));
	check(!find(&g, 0, NULL, "a", 2));
	check(!find(&g, 0, NULL, "a", 3));
	check(find(&g, 0, NULL, "b", 4));
	alerting_tick(g.alerting);
	comes_to(&g, (const char *const[]) { "\"found\":4,\"excepted\":0,\"folded\":2,\"told\":2,\"failed\":0",
					     "\"stored\":2,", "\"sent\":2,\"waiting\":0", NULL });
	alerts_flush(alerting_store(g.alerting));
	check_int(alerts_list(alerting_store(g.alerting), &(struct alerts_filter) { 0 }, keep_folded, &folded), 2);
	check_int(folded, 2);
	check_int(lines_of(&g), 2);
}

TEST(trouble_without_events_is_an_alert_of_its_own)
{
	auto_rig struct rig g;
	char ids[2][ALERT_ID_SIZE];

	if (!rig_open(&g, 1, ""))
		return;
	check(alerting_found(g.alerting, 0,
			     &(struct finding) { .rule = "shrike-script-disabled", .severity = 60, .message = "one" },
			     ids[0]));
	check(alerting_found(g.alerting, 0,
			     &(struct finding) { .rule = "shrike-script-disabled", .severity = 60, .message = "two" },
			     ids[1]));
	check(strcmp(ids[0], ids[1]) != 0);
	comes_to(&g, (const char *const[]) { "\"told\":2", "\"stored\":2", NULL });
}

TEST(a_reload_changes_how_alerts_are_folded_and_who_is_told)
{
	auto_rig struct rig g;
	AUTO(config) all = NULL;
	AUTO(config) silent = NULL;

	if (!rig_open(&g, 1, ""))
		return;
	all = config_of(&g, ", throttle: 0s", "");
	silent = config_of(&g, "", ", enabled: false");
	check(find(&g, 0, NULL, "a", 1) && !find(&g, 0, NULL, "a", 2));
	require_ok(alerting_reload(g.alerting, g.config, all));
	check(find(&g, 0, NULL, "a", 3) && find(&g, 0, NULL, "a", 4));
	comes_to(&g, (const char *const[]) { "\"sent\":3,\"waiting\":0", NULL });
	require_ok(alerting_reload(g.alerting, all, silent));
	check(find(&g, 0, NULL, "b", 5));
	comes_to(&g, (const char *const[]) { "\"stored\":4", "\"senders\":[]", NULL });
	require_ok(alerting_reload(g.alerting, silent, all));
	check(find(&g, 0, NULL, "c", 6));
	comes_to(&g, (const char *const[]) { "\"sent\":1,\"waiting\":0", NULL });
	check_int(lines_of(&g), 4);
}

struct finder {
	struct rig *g;
	unsigned shard;
	uint64_t told;
};

static void *find_many(void *arg)
{
	struct finder *f = arg;
	char process[32];

	for (unsigned i = 0; i < 300; i++) {
		/* Some of them are other threads' as well. */
		(void)snprintf(process, sizeof(process), "p%u", i % 3 ? i : i + 1000 * f->shard);
		f->told += find(f->g, f->shard, NULL, process, i + 1000 * f->shard);
		if (i % 50 == 0)
			alerting_tick(f->g->alerting);
	}
	return NULL;
}

TEST(shards_find_at_once_and_the_books_agree)
{
	auto_rig struct rig g;
	struct finder f[4];
	pthread_t t[4];
	uint64_t told = 0;
	char want[64];

	if (!rig_open(&g, 4, ""))
		return;
	for (unsigned i = 0; i < 4; i++) {
		f[i] = (struct finder) { .g = &g, .shard = i };
		require(!pthread_create(&t[i], NULL, find_many, &f[i]));
	}
	for (int i = 0; i < 5; i++) {
		check_int(alerting_reload(g.alerting, g.config, g.config), 0);
		(void)status(&g);
	}
	for (unsigned i = 0; i < 4; i++) {
		(void)pthread_join(t[i], NULL);
		told += f[i].told;
	}
	check(told >= 600 && told < 1200);
	(void)snprintf(want, sizeof(want), "\"folded\":%lu,\"told\":%lu,\"failed\":0", 1200 - (unsigned long)told,
		       (unsigned long)told);
	check_has(status(&g), want);
	check_has(status(&g), "{\"found\":1200,");
	(void)snprintf(want, sizeof(want), "\"stored\":%lu,", (unsigned long)told);
	comes_to(&g, (const char *const[]) { want, NULL });
	(void)snprintf(want, sizeof(want), "\"sent\":%lu,\"waiting\":0", (unsigned long)told);
	comes_to(&g, (const char *const[]) { want, NULL });
	check_int(lines_of(&g), told);
}
