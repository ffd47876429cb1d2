/* SPDX-License-Identifier: Apache-2.0 */
/* What holds for all rules that come with Shrike, as far as their own tests cannot say it. */
#include <string.h>
#include "base/err.h"
#include "base/test.h"
#include "cli/fake_agent.h"
#include "rule/ir.h"
#include "rulebook/book.h"

#define RULES SHRIKE_SOURCE_DIR "/rules"

TEST(shipped_rules_ask_for_fields_that_there_are)
{
	struct cli cli = { .stop_fd = -1 };
	auto_ran struct ran ran =
		cli_ran(&cli, (const char *const[]) { "shrike", "rules", "import", "-o", "json", RULES, NULL });
	const char *summary = strstr(ran.out, "{\"files\":");

	check_int(ran.code, EXIT_OK);
	require(summary);
	check_has(summary, "\"refused\":0,\"warnings\":0,");
	check_str(ran.err, "");
}

/* Is this many events, all joined by this field and by nothing else? */
static bool is_many_by(const struct query *q, field_id id)
{
	uint32_t events = 0;

	for (uint32_t i = 0; i < q->n_stages; i++) {
		const struct ir_node *key = q->n_keys == 1 ? ir_at(q, q->stage[i].key[0].expr) : NULL;

		if (!key || key->op != IR_FIELD || key->field.id != id)
			return false;
		events += q->stage[i].runs;
	}
	return events >= 3;
}

/*
 * Each command of a shell is a process of its own, by which alerts are folded when a rule says nothing: fifteen
 * commands that look around would be eleven alerts.
 */
TEST(shipped_rules_on_many_commands_of_one_parent_tell_once)
{
	field_id parent = field_intern("process.parent.entity_id", strlen("process.parent.entity_id"));
	AUTO(book) book = NULL;
	size_t n = 0;

	require_ok(book_read(RULES, NULL, &book));
	for (size_t i = 0; i < book->n_rules; i++) {
		const struct book_rule *rule = &book->rule[i];

		if (!is_many_by(rule->query, parent))
			continue;
		n++;
		if (rule->throttle.n_by != 1 || rule->throttle.by[0] != parent)
			test_fail(T_HERE, "%s: it is to be throttled by what its events have in common", rule->id);
	}
	check_int(n, 4);
}
