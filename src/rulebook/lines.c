/* SPDX-License-Identifier: Apache-2.0 */
/* lines - rules as lines of JSON: {"id","query"}, and if wanted "severity", a number from 1 to 100. */
#include <string.h>
#include "base/err.h"
#include "base/hash.h"
#include "base/json.h"
#include "rulebook/maker.h"

enum { LINE_NODES_MAX = 256, LINE_DEPTH_MAX = 8, USUAL_RISK = 50 };

static const uint64_t content_seed = 0x6c696e6573ULL;

static void read_rule(struct maker *m, unsigned line, const struct json_node *root, uint64_t content)
{
	const struct json_node *id = json_get(root, "id"), *text = json_get(root, "query"),
			       *level = json_get(root, "severity");
	const struct place at = { line, 1 };
	struct book_rule rule = { .risk = USUAL_RISK, .version = "1", .content = content, .line = line, .column = 1 };

	if (!id || id->type != JSON_STRING || !id->len || id->len > BOOK_ID_MAX || strlen(id->s) != id->len) {
		maker_problem(m, at, NULL, "\"id\" is to be a text of 1 to %d bytes", BOOK_ID_MAX);
		return;
	}
	if (!text || text->type != JSON_STRING) {
		maker_problem(m, at, id->s, "\"query\" is to be a text");
		return;
	}
	if (level && (level->type != JSON_INT || level->i < 1 || level->i > 100)) {
		maker_problem(m, at, id->s, "\"severity\" is to be a number from 1 to 100");
		return;
	}
	if (level)
		rule.risk = (uint8_t)level->i;
	rule.severity = book_severity_of(rule.risk);
	rule.id = rule.name = maker_str(m, id->s, id->len);
	rule.file = m->file;
	/* The place within the line is that in the query: a line has no other. */
	rule.query = maker_query(m, at, 0, id->s, false, text->s, text->len);
	if (rule.query)
		maker_take(m, &rule);
}

void lines_read(struct maker *m)
{
	static const struct json_limits limits = { .len_max = BOOK_FILE_MAX,
						   .nodes_max = LINE_NODES_MAX,
						   .depth_max = LINE_DEPTH_MAX };
	const char *stop = m->text + m->n;
	auto_json struct json_doc doc;
	unsigned line = 0;

	json_init(&doc, &limits);
	for (const char *p = m->text, *end; p < stop; p = end + 1) {
		const struct json_node *root;
		size_t n;
		int r;

		end = memchr(p, '\n', (size_t)(stop - p));
		end = end ? end : stop;
		n = (size_t)(end - p);
		line++;
		while (n && (*p == ' ' || *p == '\t' || *p == '\r')) {
			p++;
			n--;
		}
		if (!n)
			continue;
		r = json_parse(&doc, p, n, &root);
		if (r == -ENOMEM) {
			m->failed = true;
			return;
		}
		if (r < 0)
			maker_problem(m, (struct place) { line, 1 }, NULL, "%s", err_trail());
		else
			read_rule(m, line, root, hash_bytes(p, n, content_seed));
	}
}
