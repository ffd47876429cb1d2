/* SPDX-License-Identifier: Apache-2.0 */
#include "hunt/hunt.h"
#include <string.h>
#include "base/err.h"
#include "base/test.h"

enum { LINES_MAX = 64 };

/* An input of these lines. */
static void add_input(struct hunt *h, const char *text)
{
	struct lines *l = NULL;

	require_ok(lines_new("lines", &l));
	require_ok(lines_put(l, text, strlen(text)));
	require_ok(lines_put_end(l));
	require_ok(hunt_input(h, l));
}

static struct schema *schema_of(const char *text)
{
	auto_report struct config_report report = { 0 };
	struct schema *s = NULL;

	if (schema_read("s", text, strlen(text), &report, &s) < 0)
		test_fail(T_HERE, "%s", err_trail());
	return s;
}

/* "1 3 (0 - 2 by "a",7)": events, and of sequences what they are made of. */
static void show(const struct hunt *h, size_t i, struct buf *out)
{
	struct hunt_result result;

	hunt_result(h, i, &result);
	buf_clear(out);
	if (result.wrong)
		buf_printf(out, "%u:%u: %s", result.wrong->line, result.wrong->column, result.wrong->message);
	for (size_t m = 0; m < result.n; m++) {
		const struct hunt_match *match = &result.matches[m];

		buf_str(out, m ? " " : "");
		buf_str(out, match->kind == RUNNER_EVENT ? "" : "(");
		for (size_t e = 0; e < match->n_events; e++) {
			const struct hunt_event *ev = &result.events[match->first_event + e];

			buf_str(out, e ? " " : "");
			if (ev->input == UINT32_MAX)
				buf_char(out, '-');
			else
				buf_u64(out, ev->index);
			if (ev->input != UINT32_MAX && ev->input)
				buf_printf(out, "/%u", ev->input);
		}
		if (match->keys_len)
			buf_printf(out, " by %.*s", (int)match->keys_len, result.keys + match->first_key);
		buf_str(out, match->kind == RUNNER_EVENT ? "" : ")");
	}
}

/* What one query finds in up to two inputs. */
static const char *found(const char *query, const struct schema *schema, const char *a, const char *b, uint64_t limit,
			 struct buf *out)
{
	const struct hunt_options options = { .schema = schema, .limit = limit, .max_samples_per_key = 1 };
	struct hunt *h = NULL;

	if (hunt_new(&h) < 0 || hunt_add(h, query, strlen(query), &options) < 0)
		test_fail(T_HERE, "%s", err_trail());
	add_input(h, a);
	if (b)
		add_input(h, b);
	if (hunt_run(h) < 0)
		test_fail(T_HERE, "%s", err_trail());
	show(h, 0, out);
	hunt_free(h);
	return buf_text(out);
}

#define SCHEMA "category: k\ntimestamp: t\ntiebreaker: n\n"
#define IN_ORDER                                                                                                       \
	"{\"k\":\"a\",\"t\":1,\"u\":1}\n{\"k\":\"b\",\"t\":2,\"u\":1}\n{\"k\":\"a\",\"t\":3,\"u\":2}\n{\"k\":\"b\","   \
	"\"t\":4,\"u\":2}\n"
#define OUT_OF_ORDER                                                                                                   \
	"{\"k\":\"b\",\"t\":4,\"u\":2}\n{\"k\":\"b\",\"t\":2,\"u\":1}\n{\"k\":\"a\",\"t\":3,\"u\":2}\n{\"k\":\"a\","   \
	"\"t\":1,\"u\":1}\n"

TEST(matches_come_in_the_order_of_time_however_the_input_stands)
{
	static const struct {
		const char *name, *query, *a, *b, *want;
	} rows[] = {
		{ "events", "a where true", IN_ORDER, NULL, "0 2" },
		{ "events out of order", "a where true", OUT_OF_ORDER, NULL, "3 2" },
		{ "the first of them", "any where true | head 1", OUT_OF_ORDER, NULL, "3" },
		{ "the last of them", "any where true | tail 1", OUT_OF_ORDER, NULL, "0" },
		{ "sequences", "sequence by u [a where true] [b where true]", IN_ORDER, NULL, "(0 1 by 1) (2 3 by 2)" },
		{ "sequences out of order", "sequence by u [a where true] [b where true]", OUT_OF_ORDER, NULL,
		  "(3 1 by 1) (2 0 by 2)" },
		{ "over two inputs", "sequence by u [a where true] [b where true]",
		  "{\"k\":\"a\",\"t\":1,\"u\":1}\n{\"k\":\"b\",\"t\":4,\"u\":1}\n", "{\"k\":\"a\",\"t\":2,\"u\":1}\n",
		  "(0/1 1 by 1)" },
		{ "ties", "any where true", "{\"t\":1,\"n\":2}\n{\"t\":1}\n{\"t\":1,\"n\":1}\n", NULL, "2 0 1" },
		{ "ties of texts", "any where true", "{\"t\":1,\"n\":\"b\"}\n{\"t\":1,\"n\":\"a\"}\n", NULL, "1 0" },
		{ "as they stand", "any where true", "{\"t\":1}\n{\"t\":1}\n{\"t\":1}\n", NULL, "0 1 2" },
		{ "without a time", "any where true", "{\"t\":5,\"u\":1}\n{\"u\":2}\n{\"t\":4,\"u\":3}\n", NULL,
		  "2 0 1" },
		{ "a missing event has a slot",
		  "sequence with maxspan=10s [a where u == 1] ![b where u == 9] [b where u == 2]", IN_ORDER, NULL,
		  "(0 - 3)" },
		{ "what is no event is counted and passed over", "a where true",
		  "{\"k\":\"a\",\"t\":1}\nnonsense\n\n[1]\n{\"k\":\"a\",\"t\":2}\n", NULL, "0 3" },
		{ "addresses in keys", "sequence by ip [a where true] [b where true]",
		  "{\"k\":\"a\",\"t\":1,\"ip\":\"::1\"}\n{\"k\":\"b\",\"t\":2,\"ip\":\"0:0:0:0:0:0:0:1\"}\n", NULL,
		  "(0 1 by \"::1\")" },
		{ "dates in keys", "sequence by d [a where true] [b where true]",
		  "{\"k\":\"a\",\"t\":1,\"d\":86400000}\n{\"k\":\"b\",\"t\":2,\"d\":\"1970-01-02\"}\n", NULL,
		  "(0 1 by \"1970-01-02T00:00:00.000Z\")" },
	};
	AUTO(schema) schema = schema_of(SCHEMA "fields: {d: date, ip: ip}\n");
	auto_buf struct buf out = { .max = 1 << 16 };

	for_each_row (r, rows)
		check_str(found(r->query, schema, r->a, r->b, UINT64_MAX, &out), r->want);
}

TEST(a_limit_cuts_after_sorting)
{
	AUTO(schema) schema = schema_of(SCHEMA);
	auto_buf struct buf out = { .max = 1 << 16 };

	check_str(found("any where true", schema, OUT_OF_ORDER, NULL, 2, &out), "3 1");
	check_str(found("any where true", schema, IN_ORDER, NULL, 0, &out), "");
	check_str(found("sequence by u [a where true] [b where true]", schema, OUT_OF_ORDER, NULL, 1, &out),
		  "(3 1 by 1)");
}

TEST(an_optional_field_that_nothing_has_is_null)
{
	static const char in[] = "{\"k\":\"a\",\"t\":1,\"x\":{\"y\":\"v\"}}\n{\"k\":\"a\",\"t\":2}\n";
	static const struct {
		const char *name, *query, *want;
	} rows[] = {
		{ "two unknown ones are equal", "any where ?p == ?q", "0 1" },
		{ "a known one and an unknown one", "any where ?x.y == ?q", "1" },
		{ "not of an unknown one is null", "any where not ?q == \"v\"", "" },
		{ "not of a known one", "any where not ?x.y == \"v\"", "1" },
	};
	AUTO(schema) learns = schema_of(SCHEMA);
	auto_buf struct buf out = { .max = 1 << 16 };

	for_each_row (r, rows)
		check_str(found(r->query, learns, in, NULL, UINT64_MAX, &out), r->want);
	AUTO(schema) all = schema_of(SCHEMA "all_known: true\n");
	check_str(found("any where not ?q == \"v\"", all, in, NULL, UINT64_MAX, &out), "0 1");
	AUTO(schema) named = schema_of(SCHEMA "fields: {q: keyword}\n");
	check_str(found("any where not ?q == \"v\"", named, in, NULL, UINT64_MAX, &out), "0 1");
}

TEST(a_strict_schema_refuses_a_field_that_it_does_not_name)
{
	AUTO(schema) strict = schema_of(SCHEMA "strict: true\nfields: {user: keyword}\n");
	auto_buf struct buf out = { .max = 1 << 16 };

	check_has(found("any where usr == \"x\"", strict, IN_ORDER, NULL, UINT64_MAX, &out), "1:11: ");
	check_str(found("a where user == \"x\" or t > 0", strict, IN_ORDER, NULL, UINT64_MAX, &out), "0 2");
}

/* Queries with their own idea of an event run side by side, and one that is wrong does not stop the others. */
TEST(many_queries_run_in_one_pass)
{
	static const char *const queries[] = { "a where true", "any where",
					       "sequence by u [a where true] [b where true]", "y where true" };
	static const char *const want[] = { "0 2", NULL, "(0 1 by 1) (2 3 by 2)", "1" };
	AUTO(schema) schema = schema_of(SCHEMA);
	AUTO(schema) other = schema_of("category: c\n");
	auto_buf struct buf out = { .max = 1 << 16 };
	AUTO(hunt) h = NULL;

	require_ok(hunt_new(&h));
	for (size_t i = 0; i < countof(queries); i++) {
		const struct hunt_options options = { .schema = i == 3 ? other : schema, .limit = UINT64_MAX };

		check_int(hunt_add(h, queries[i], strlen(queries[i]), &options), !want[i]);
	}
	add_input(h, "{\"k\":\"a\",\"t\":1,\"u\":1}\n{\"k\":\"b\",\"t\":2,\"u\":1,\"c\":\"y\"}\n"
		     "{\"k\":\"a\",\"t\":3,\"u\":2}\n{\"k\":\"b\",\"t\":4,\"u\":2}\n");
	require_ok(hunt_run(h));
	for (size_t i = 0; i < countof(queries); i++) {
		show(h, i, &out);
		if (want[i])
			check_str(buf_text(&out), want[i]);
		else
			check_has(buf_text(&out), "1:10: ");
	}
}

/* The same events in any order give the same sequences: each line carries its place in time. */
TEST(sorting_changes_nothing_but_the_indexes)
{
	AUTO(schema) schema = schema_of(SCHEMA);
	auto_buf struct buf want = { .max = 1 << 16 };
	uint32_t random = 12345;

	for (int round = 0; round < 20; round++) {
		auto_buf struct buf text = { .max = 1 << 16 }, out = { .max = 1 << 16 };
		const char query[] = "sequence by u with maxspan=20ms [a where true] [b where true] [a where true]";
		const struct hunt_options options = { .schema = schema, .limit = UINT64_MAX };
		struct hunt_result result;
		unsigned place[LINES_MAX];
		AUTO(hunt) h = NULL;

		for (unsigned i = 0; i < LINES_MAX; i++)
			place[i] = i;
		for (unsigned i = LINES_MAX - 1; round && i; i--) {
			unsigned with = (random = random * 1103515245 + 12345) / 65536 % (i + 1), swap = place[i];

			place[i] = place[with];
			place[with] = swap;
		}
		for (unsigned i = 0; i < LINES_MAX; i++)
			buf_printf(&text, "{\"k\":\"%s\",\"t\":%u,\"n\":%u,\"u\":%u}\n",
				   place[i] * 7919 % 5 < 3 ? "a" : "b", place[i] / 3, place[i], place[i] * 31 % 4);
		require_ok(hunt_new(&h));
		require_ok(hunt_add(h, query, strlen(query), &options));
		add_input(h, buf_text(&text));
		require_ok(hunt_run(h));
		hunt_result(h, 0, &result);
		for (size_t m = 0; m < result.n; m++)
			for (size_t e = 0; e < 3; e++)
				buf_printf(&out, "%u ", place[result.events[result.matches[m].first_event + e].index]);
		if (!round)
			buf_str(&want, buf_text(&out));
		check(want.len > 20);
		check_str(buf_text(&out), buf_text(&want));
	}
}
