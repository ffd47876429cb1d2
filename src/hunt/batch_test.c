/* SPDX-License-Identifier: Apache-2.0 */
#include "hunt/batch.h"
#include <string.h>
#include "base/err.h"
#include "base/test.h"

TEST(a_line_that_is_wrong_is_a_query_that_is_wrong)
{
	static const struct {
		const char *name, *line, *id, *want; /* NULL: it is right */
	} rows[] = {
		{ "no more than a query", "{\"query\":\"any where true\"}", "null", NULL },
		{ "all there is",
		  "{\"id\":\"a\",\"query\":\"any where true\",\"schema\":{\"category\":\"c\"},\"dialect\":\"endgame\","
		  "\"timestamp\":null,\"tiebreaker\":\"n\",\"category\":\"k\",\"fields\":{\"x\":\"ip\"},\"null_"
		  "values\":{\"x\":\"1\"},"
		  "\"case_sensitive\":true,\"max_samples_per_key\":3,\"limit\":0}",
		  "\"a\"", NULL },
		{ "the other names",
		  "{\"id\":7,\"query\":\"any where true\",\"size\":1,\"types\":{},\"timestamp_field\":\"t\"}", "7",
		  NULL },
		{ "no JSON", "{\"query\":", "null", "line 5: " },
		{ "a list", "[1]", "null", "line 5: wanted an object" },
		{ "no query", "{\"id\":1}", "1", "there is no \"query\"" },
		{ "a number for a query", "{\"query\":1}", "null", "query: wanted a string" },
		{ "a query that is wrong", "{\"id\":1.5,\"query\":\"any where\"}", "1.5", "expected" },
		{ "an unknown member", "{\"query\":\"any where true\",\"shcema\":\"ecs\"}", "null",
		  "no \"shcema\" is known" },
		{ "an unknown schema", "{\"query\":\"any where true\",\"schema\":\"x\"}", "null",
		  "there is no schema \"x\"" },
		{ "an unknown dialect", "{\"query\":\"any where true\",\"dialect\":\"x\"}", "null", "dialect: wanted" },
		{ "a limit below zero", "{\"query\":\"any where true\",\"limit\":-1}", "null", "limit: wanted" },
		{ "a type that is none", "{\"query\":\"any where true\",\"fields\":{\"a\":\"b\"}}", "null",
		  "fields: wanted a type" },
		{ "a schema that is wrong", "{\"query\":\"any where true\",\"schema\":{\"x\":1}}", "null",
		  "schema: no \"x\"" },
	};
	const struct batch_defaults defaults = { .options = { .limit = UINT64_MAX } };

	for_each_row (r, rows) {
		auto_batch struct batch batch = { 0 };
		struct hunt_result result;
		AUTO(hunt) h = NULL;

		require_ok(hunt_new(&h));
		check_int(batch_line(r->line, strlen(r->line), 5, &defaults, h, &batch), r->want != NULL);
		require(hunt_n(h) == 1 && batch.n == 1);
		check_str(batch.ids[0], r->id);
		hunt_result(h, 0, &result);
		check_int(result.wrong != NULL, r->want != NULL);
		if (r->want && result.wrong)
			check_has(result.wrong->message, r->want);
	}
}

TEST(the_command_line_goes_before_the_schema)
{
	struct batch_defaults d = { .category = "kind", .timestamp = "none", .tiebreaker = "" };
	AUTO(schema) s = NULL;
	AUTO(schema) endgame = NULL;

	require_ok(batch_schema(&d, RULE_ELASTIC, &s));
	check_str(s->category, "kind");
	check(!s->timestamp && !s->tiebreaker);
	d = (struct batch_defaults) { 0 };
	require_ok(batch_schema(&d, RULE_ENDGAME, &endgame));
	check_str(endgame->category, "event_type");
}
