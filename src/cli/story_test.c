/* SPDX-License-Identifier: Apache-2.0 */
/* The page of one alert: small alerts, and what is to be read of them. tests/alerts.txt has large ones. */
#include "cli/story.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/test.h"
#include "cli/text.h"

enum { OUT_MAX = 1 << 20 };

static const struct json_limits limits = { 1 << 20, 1 << 16, 64 };

static void tell(const char *json, const struct story *s, struct buf *out)
{
	auto_json struct json_doc doc;
	const struct json_node *alert;

	json_init(&doc, &limits);
	require_ok(json_parse(&doc, json, strlen(json), &alert));
	(void)setenv("TZ", "UTC", 1);
	tzset();
	story_write(s, alert, out);
	check(!out->failed);
}

#define HEAD "{\"@timestamp\":\"2024-02-29T12:00:00Z\",\"rule\":{\"id\":\"r\",\"name\":\"A rule\"},"
#define OWN  "\"shrike\":{\"alert\":{\"id\":\"1234\",\"severity\":\"low\",\"state\":\"open\""

TEST(a_story_has_what_the_alert_has)
{
	static const struct {
		const char *name, *json, *has, *has_not;
	} rows[] = {
		{ "nothing", "{}", "What became of it", "What happened" },
		{ "head", HEAD OWN "}}}", "LOW  A rule  [open]\nrule r\n2024-02-29 12:00:00, 1m ago; alert 1234\n",
		  "MITRE" },
		{ "words are wrapped",
		  HEAD "\"x\":1," OWN ",\"next\":\"aaaaaaaaaa bbbbbbbbbb cccccccccc dddddddddd eeeee\"}}}",
		  "What to look at next\n  aaaaaaaaaa bbbbbbbbbb cccccccccc\n  dddddddddd eeeee\n", NULL },
		{ "paragraphs stay", HEAD "\"x\":1," OWN ",\"false_positives\":\"a\\n\\nb\\n\"}}}",
		  "What it may be in all innocence\n  a\n\n  b\n", NULL },
		{ "a message that says more", "{\"message\":\"stopped\",\"rule\":{\"name\":\"A rule\"}}",
		  "What was seen, and why it matters\n  stopped\n", NULL },
		{ "techniques",
		  "{\"threat\":{\"tactic\":{\"id\":[\"TA1\",\"TA2\"],\"name\":[\"One\",\"TA2\"]},\"technique\":{\"id\":"
		  "[\"T1\"]}}}",
		  "MITRE ATT&CK\n  TA1 One, TA2, T1\n", NULL },
		{ "one event",
		  HEAD OWN
		  ",\"events\":[{\"@timestamp\":\"2024-02-29T11:59:59.5Z\",\"event\":{\"dataset\":\"file.open\"},"
		  "\"process\":{\"name\":\"sh\",\"pid\":7},\"file\":{\"path\":\"/etc/x\"}}]}}}",
		  "What happened\n  2024-02-29 11:59:59.500\n   1    +0.000s  file.open        sh[7]\n       /etc/x\n",
		  "in this order" },
		{ "times go on from the first",
		  HEAD OWN
		  ",\"events\":[{\"@timestamp\":\"2024-02-29T12:00:00Z\"},{\"@timestamp\":\"2024-02-29T12:00:01.25Z\"},"
		  "{\"@timestamp\":\"2024-02-29T12:30:00Z\"},{\"@timestamp\":\"2024-02-29T11:59:59Z\"}]}}}",
		  "   2    +1.250s", NULL },
		{ "long ones are rounded",
		  HEAD OWN ",\"events\":[{\"@timestamp\":\"2024-02-29T12:00:00Z\"},{\"@timestamp\":\"2024-02-29T12:30:"
			   "00Z\"}]}}}",
		  "+30m 0s", NULL },
		{ "what was missing", HEAD OWN ",\"events\":[null]}}}",
		  "1             (did not happen, or is not kept)", NULL },
		{ "history", HEAD OWN ",\"folded\":2,\"last\":\"2024-02-29T12:00:05Z\"}}}",
		  "2024-02-29 12:00:00  found\n  2024-02-29 12:00:05  the last of 2 more like it", "by" },
		{ "a state",
		  "{\"shrike\":{\"alert\":{\"state\":\"closed\",\"changed\":\"2024-02-29T12:00:30Z\",\"who\":\"ann\","
		  "\"comment\":\"no\"}}}",
		  "2024-02-29 12:00:30  closed by ann: no\n", NULL },
	};
	const struct story s = { .width = 40, .now_ns = 1709208060 * (int64_t)NS_PER_S };

	for_each_row (r, rows) {
		auto_buf struct buf out = { .max = OUT_MAX };

		tell(r->json, &s, &out);
		check_has(buf_text(&out), r->has);
		if (r->has_not && strstr(buf_text(&out), r->has_not))
			test_fail(T_HERE, "has \"%s\":\n%s", r->has_not, buf_text(&out));
	}
}

#define P(id, parent)                                                                                                  \
	"{\"process\":{\"entity_id\":\"" id "\",\"name\":\"" id "\",\"parent\":{\"entity_id\":\"" parent "\"}}}"
#define LINE(id) "{\"entity_id\":\"" id "\",\"name\":\"" id "\"}"

TEST(processes_stand_in_a_tree)
{
	static const struct {
		const char *name, *process, *ancestry, *events, *want;
	} rows[] = {
		{ "a line", "a", LINE("b") "," LINE("c"), "", "  c\n  └─ b\n     └─ a\n" },
		{ "children of one", "a", LINE("p"), P("b", "p") "," P("c", "b") "," P("d", "p"),
		  "  p\n  ├─ a\n  ├─ b\n  │  └─ c\n  └─ d\n" },
		{ "two families", "a", LINE("b"), P("x", "y"), "  b\n  └─ a\n  (unknown)\n  └─ x\n" },
		{ "one alone", "a", "", "", NULL },
		{ "its own parent", "a", LINE("a"), P("b", "a"), "  a\n  └─ b\n" },
		{ "a ring", "a", LINE("b") "," LINE("c") "," LINE("a"), "", "  c\n  └─ b\n     └─ a\n" },
		{ "parents of each other", "a", "", P("a", "b") "," P("b", "a"), "  b\n  └─ a\n" },
	};
	struct story s = { .width = 60 };

	for_each_row (r, rows) {
		auto_buf struct buf out = { .max = OUT_MAX }, json = { .max = OUT_MAX };
		const char *begin, *end;

		buf_printf(&json,
			   "{\"process\":{\"entity_id\":\"%s\",\"name\":\"%s\"},"
			   "\"shrike\":{\"alert\":{\"ancestry\":[%s],\"events\":[%s]}}}",
			   r->process, r->process, r->ancestry, r->events);
		tell(buf_text(&json), &s, &out);
		begin = strstr(buf_text(&out), "Where the processes come from\n");
		check((begin != NULL) == (r->want != NULL));
		if (!begin || !r->want)
			continue;
		begin = strchr(begin, '\n') + 1;
		end = strstr(begin, "\n\n");
		require(end);
		if (strlen(r->want) != (size_t)(end + 1 - begin) || memcmp(begin, r->want, strlen(r->want)) != 0)
			test_fail(T_HERE, "got:\n%.*s\nwant:\n%s", (int)(end + 1 - begin), begin, r->want);
	}
}

/* However deep and wide it is said to be, and however narrow the terminal. */
TEST(large_families_are_bounded)
{
	struct story s = { .width = 10, .ascii = true };
	auto_buf struct buf json = { .max = OUT_MAX }, out = { .max = OUT_MAX };
	unsigned lines = 0;

	buf_str(&json, "{\"process\":{\"entity_id\":\"0\"},\"shrike\":{\"alert\":{\"ancestry\":[");
	for (unsigned i = 1; i <= 2 * STORY_PROCESSES_MAX; i++)
		buf_printf(&json, "%s{\"entity_id\":\"%u\",\"name\":\"%u\"}", i > 1 ? "," : "", i, i);
	buf_str(&json, "],\"events\":[");
	for (unsigned i = 0; i < STORY_EVENTS_MAX + 5; i++)
		buf_str(&json, i ? ",{}" : "{}");
	buf_str(&json, "]}}}");
	tell(buf_text(&json), &s, &out);
	check_has(buf_text(&out), "...\n");
	check_has(buf_text(&out), "... and 5 more");
	for (const char *p = buf_text(&out); (p = strchr(p, '\n')); p++)
		lines++;
	check(lines < 2 * STORY_EVENTS_MAX + 2 * STORY_PROCESSES_MAX);
}

TEST(a_story_fits_the_terminal)
{
	static const char json[] = HEAD
		"\"process\":{\"entity_id\":\"a\",\"name\":\"sh\",\"pid\":7,\"command_line\":\"sh -c "
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaäääääääääääääääääääääääääääääääääääääääääää\"}," OWN
		",\"ancestry\":[" LINE("b") "]}}}";

	for (size_t width = 40; width < 200; width += 7) {
		const struct story s = { .width = width };
		auto_buf struct buf out = { .max = OUT_MAX };
		const char *tree;

		tell(json, &s, &out);
		tree = strstr(buf_text(&out), "Where the");
		require(tree);
		while (*tree) {
			size_t n = strcspn(tree, "\n");

			check(text_width(tree, n) <= width);
			tree += n + (tree[n] == '\n');
		}
	}
}

TEST(colours_are_there_only_where_they_are_wanted)
{
	static const char json[] = HEAD OWN "}}}";
	auto_buf struct buf plain = { .max = OUT_MAX }, colored = { .max = OUT_MAX };
	struct story s = { .width = 80 };

	tell(json, &s, &plain);
	s.color = true;
	tell(json, &s, &colored);
	check(!strchr(buf_text(&plain), '\033'));
	check_has(buf_text(&colored), "\033[36mLOW\033[0m");
}

TEST(times_ago_are_short)
{
	static const struct {
		const char *name;
		int64_t s;
		const char *want;
	} rows[] = {
		{ "now", 0, "0s ago" },        { "seconds", 59, "59s ago" },  { "minutes", 3599, "59m ago" },
		{ "hours", 86399, "23h ago" }, { "days", 864000, "10d ago" }, { "to come", -60, "in 1m" },
	};

	for_each_row (r, rows) {
		auto_buf struct buf out = { .max = 64 };

		story_ago(1000 * (int64_t)NS_PER_S, (1000 + r->s) * (int64_t)NS_PER_S, &out);
		check_str(buf_text(&out), r->want);
	}
}
