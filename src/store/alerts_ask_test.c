/* SPDX-License-Identifier: Apache-2.0 */
#include "store/alerts_ask.h"
#include <string.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/test.h"
#include "store/test_alerts.h"

static struct alert sample(unsigned n)
{
	static const char body[] = "{\"host\":{\"name\":\"Web-1\"},\"file\":{\"path\":\"/etc/\\\"x\\\"\"},"
				   "\"shrike\":{\"alert\":{\"id\":\"x\"";
	struct alert a = test_alert(n);

	a.time_ns = (int64_t)(1000 + n) * (int64_t)NS_PER_S;
	a.container = "web";
	a.body = body;
	a.body_n = sizeof(body) - 1;
	return a;
}

TEST(words_choose_alerts)
{
	static const struct {
		const char *name, *word, *value;
		bool fits;
	} rows[] = {
		{ "as severe", "severity", "high", true },
		{ "more severe", "severity", "critical", false },
		{ "state", "state", "open", true },
		{ "another state", "state", "closed", false },
		{ "one of two states", "state", "closed,open", true },
		{ "rule", "rule", "odd", true },
		{ "another rule", "rule", "od", false },
		{ "process", "process", "sh", true },
		{ "another process", "process", "s", false },
		{ "user", "user", "ann", true },
		{ "another user", "user", "bob", false },
		{ "container", "container", "web", true },
		{ "another container", "container", "db", false },
		{ "text", "text", "Web-1", true },
		{ "text in other letters", "text", "wEB-1", true },
		{ "text that is not there", "text", "web-2", false },
		{ "text with what JSON escapes", "text", "/etc/\"x\"", true },
		{ "since then", "since", "1970-01-01T00:16:43Z", true },
		{ "since later", "since", "1970-01-01T00:16:44Z", false },
		{ "until then", "until", "1970-01-01T00:16:43Z", false },
		{ "until later", "until", "1970-01-01T00:16:44Z", true },
		{ "of the last hour", "since", "1h", false },
	};
	struct alert a = sample(3);

	for_each_row (r, rows) {
		struct alerts_ask ask = { 0 };

		require_ok(alerts_ask_set(&ask, r->word, r->value));
		check_int(alerts_ask_fits(&ask, &a), r->fits);
	}
}

TEST(words_that_mean_nothing_are_refused)
{
	static const struct {
		const char *name, *word, *value, *says;
	} rows[] = {
		{ "no word", "severities", "high", "alerts are not asked for by \"severities\"" },
		{ "no severity", "severity", "hi", "severity: \"hi\" is none of informational, low" },
		{ "no state", "state", "open,shut", "state: \"shut\" is none of open, acknowledged, closed" },
		{ "nothing", "state", "", "state: \"\" is none of" },
		{ "no time", "since", "yesterday", "\"yesterday\" is no date" },
		{ "no number", "limit", "x", "limit: wanted a number" },
		{ "none at all", "limit", "0", "limit: wanted 1 or more" },
		{ "too many", "limit", "1001", "limit: wanted a number up to 1000" },
		{ "too large", "cursor", "99999999999999999999", "cursor: wanted a number up to" },
		{ "negative", "cursor", "-1", "cursor: wanted a number" },
		{ "empty", "cursor", "", "cursor: wanted a number" },
	};
	char *longest = malloc(ALERT_TEXT_MAX + 2);
	struct alerts_ask ask = { 0 };

	for_each_row (r, rows) {
		check_int(alerts_ask_set(&ask, r->word, r->value), -EINVAL);
		check_has(err_trail(), r->says);
	}
	require(longest);
	memset(longest, 'x', ALERT_TEXT_MAX + 1);
	longest[ALERT_TEXT_MAX + 1] = 0;
	check_int(alerts_ask_set(&ask, "rule", longest), -EINVAL);
	longest[ALERT_TEXT_MAX] = 0;
	check_int(alerts_ask_set(&ask, "rule", longest), 0);
	free(longest);
}

struct taken {
	char text[256];
	size_t room;
};

static bool take_one(void *arg, const struct alert *a)
{
	struct taken *t = arg;
	size_t n = strlen(t->text);

	if (!t->room)
		return false;
	t->room--;
	(void)snprintf(t->text + n, sizeof(t->text) - n, "%.8s ", a->id);
	return true;
}

TEST(pages_join_without_a_gap)
{
	static const struct {
		const char *name, *word, *value;
		size_t limit, room;
		enum alerts_order order;
		const char *pages[4];
	} rows[] = {
		{ "newest first",
		  "limit",
		  "4",
		  4,
		  9,
		  ALERTS_NEWEST,
		  { "00000009 00000008 00000007 00000006 ", "00000005 00000004 00000003 00000002 ",
		    "00000001 00000000 " } },
		{ "the last page is full",
		  "limit",
		  "5",
		  5,
		  9,
		  ALERTS_OLDEST,
		  { "00000000 00000001 00000002 00000003 00000004 ",
		    "00000005 00000006 00000007 00000008 00000009 " } },
		{ "of a rule",
		  "rule",
		  "odd",
		  3,
		  9,
		  ALERTS_OLDEST,
		  { "00000001 00000003 00000005 ", "00000007 00000009 " } },
		{ "of a text",
		  "text",
		  "web-1",
		  6,
		  9,
		  ALERTS_OLDEST,
		  { "00000000 00000001 00000002 00000003 00000004 00000005 ",
		    "00000006 00000007 00000008 00000009 " } },
		{ "no room",
		  "limit",
		  "9",
		  9,
		  4,
		  ALERTS_REVISIONS,
		  { "00000000 00000001 00000002 00000003 ", "00000004 00000005 00000006 00000007 ",
		    "00000008 00000009 " } },
	};
	char path[] = "/tmp/shrike-ask-XXXXXX", file[64];
	AUTO(alerts) store = NULL;
	struct alerts_options on_disk = { 0 };

	require(mkdtemp(path));
	(void)snprintf(file, sizeof(file), "%s/alerts.db", path);
	on_disk.path = file;
	require_ok(alerts_open(&on_disk, &store));
	for (unsigned i = 0; i < 10; i++) {
		struct alert a = sample(i);

		check(alerts_put(store, &a));
	}
	alerts_flush(store);
	for_each_row (r, rows) {
		struct alerts_ask ask = { .order = r->order };
		struct alerts_page page = { .more = true };

		require_ok(alerts_ask_set(&ask, r->word, r->value));
		ask.limit = r->limit;
		for (size_t i = 0; i < countof(r->pages) && r->pages[i]; i++) {
			struct taken t = { .room = r->room };

			check(page.more);
			require_ok(alerts_ask_list(store, &ask, take_one, &t, &page));
			check_str(t.text, r->pages[i]);
			ask.cursor = page.cursor;
		}
		check(!page.more);
	}
	struct alerts_ask ask = { .limit = 3 };
	struct alerts_page page;
	struct taken t = { .room = 9 };
	bool more = false;

	require_ok(alerts_ask_set(&ask, "rule", "odd"));
	check_int(alerts_ask_turn(store, &ask, &more), 3);
	check(more);
	require_ok(alerts_ask_list(store, &ask, take_one, &t, &page));
	check_str(t.text, "00000005 00000007 00000009 ");
	ask = (struct alerts_ask) { .severity_min = 5 };
	check_int(alerts_ask_turn(store, &ask, &more), 0);
	check(!more);
	check_int(alerts_ask_lost(store), 0);
	alerts_free(take(store));
	(void)unlink(file);
	(void)rmdir(path);
}
