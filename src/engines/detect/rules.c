/* SPDX-License-Identifier: Apache-2.0 */
#include "engines/detect/rules.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include "base/err.h"
#include "base/json.h"
#include "rule/rule.h"

enum { LINE_NODES_MAX = 256, LINE_DEPTH_MAX = 8 };

bool rules_is_local(const struct query *q)
{
	static const char identity[] = "process.entity_id";
	field_id id = field_intern(identity, sizeof(identity) - 1);

	if (q->n_subqueries)
		return false;
	if (q->kind == QUERY_EVENT || q->kind == QUERY_CONDITION)
		return !q->n_pipes;
	if (q->n_pipes)
		return false;
	for (uint32_t k = 0; k < q->n_keys; k++) {
		bool same = true;

		for (uint32_t s = 0; s < q->n_stages + (q->until ? 1 : 0); s++) {
			const struct query_key *key = &(s < q->n_stages ? &q->stage[s] : q->until)->key[k];
			const struct ir_node *n = ir_at(q, key->expr);

			same &= n->op == IR_FIELD && n->field.id == id && n->field.event < 0 && !key->optional;
		}
		if (same)
			return true;
	}
	return false;
}

static int grow(struct rules *r, uint8_t **severity)
{
	struct query **query;
	uint8_t *more;
	char **id;

	/* A power of two each time. */
	if (r->n & (r->n - 1))
		return 0;
	query = reallocarray(r->query, (r->n ? r->n * 2 : 1), sizeof(struct query *));
	if (query)
		r->query = query;
	id = reallocarray(r->id, (r->n ? r->n * 2 : 1), sizeof(char *));
	if (id)
		r->id = id;
	more = reallocarray(*severity, (r->n ? r->n * 2 : 1), 1);
	if (more)
		*severity = more;
	return query && id && more ? 0 : err_new(-ENOMEM, "no memory for rules");
}

static int read_rule(struct rules *r, uint8_t **severity, const struct json_node *root)
{
	const struct query_options options = { .dialect = RULE_ENDPOINT };
	const struct json_node *id = json_get(root, "id"), *text = json_get(root, "query"),
			       *level = json_get(root, "severity");
	struct query *q = NULL;
	struct diag diag;
	int64_t n = RULES_SEVERITY;
	int res;

	if (!id || id->type != JSON_STRING || !id->len || id->len > RULES_ID_MAX)
		return err_new(-EINVAL, "\"id\" is to be a text of 1 to %d bytes", RULES_ID_MAX);
	if (!text || text->type != JSON_STRING)
		return err_new(-EINVAL, "\"query\" is to be a text");
	if (level && (level->type != JSON_INT || (n = level->i) < 1 || n > 100))
		return err_new(-EINVAL, "\"severity\" is to be a number from 1 to 100");
	for (size_t i = 0; i < r->n; i++)
		if (strlen(r->id[i]) == id->len && memcmp(r->id[i], id->s, id->len) == 0)
			return err_new(-EINVAL, "there is a rule \"%s\" already", r->id[i]);
	res = grow(r, severity);
	if (res < 0)
		return res;
	res = query_compile(text->s, text->len, &options, &diag, &q);
	if (res < 0)
		return err_new(res, "%.*s:%u:%u: %s", (int)id->len, id->s, diag.line, diag.column, diag.message);
	r->id[r->n] = strndup(id->s, id->len);
	r->query[r->n] = q;
	(*severity)[r->n++] = (uint8_t)n;
	return r->id[r->n - 1] ? 0 : err_new(-ENOMEM, "no memory for rules");
}

static int make_part(const struct rules *r, struct rules_part *part, bool local, const uint8_t *severity)
{
	const struct ruleset_options options = { .endless = true };

	part->queries = calloc(r->n + 1, sizeof(*part->queries));
	part->severity = calloc(r->n + 1, 1);
	if (!part->queries || !part->severity)
		return err_new(-ENOMEM, "no memory for rules");
	for (size_t i = 0; i < r->n; i++) {
		if (rules_is_local(r->query[i]) != local)
			continue;
		part->severity[part->n] = severity[i];
		part->queries[part->n++] = (struct runner_query) { .id = r->id[i], .query = r->query[i] };
	}
	return part->n ? ruleset_new(part->queries, part->n, &options, &part->set) : 0;
}

int rules_read(const char *name, const char *text, size_t n, struct rules **ret_rules)
{
	static const struct json_limits limits = { .len_max = RULES_FILE_MAX,
						   .nodes_max = LINE_NODES_MAX,
						   .depth_max = LINE_DEPTH_MAX };
	AUTO(rules) r = calloc(1, sizeof(*r));
	auto_free uint8_t *severity = NULL;
	auto_json struct json_doc doc;
	unsigned line = 0;
	int res = 0;

	json_init(&doc, &limits);
	if (!r)
		return err_new(-ENOMEM, "no memory for rules");
	r->refs = 1;
	for (const char *p = text, *end; res == 0 && p < text + n; p = end + 1) {
		const struct json_node *root;
		size_t len;

		end = memchr(p, '\n', (size_t)(text + n - p));
		end = end ? end : text + n;
		len = (size_t)(end - p);
		line++;
		if (strspn(p, " \t\r") >= len)
			continue;
		res = json_parse(&doc, p, len, &root);
		if (res == 0)
			res = read_rule(r, &severity, root);
		if (res < 0)
			return err_wrap(res, "%s:%u", name, line);
	}
	res = make_part(r, &r->local, true, severity);
	if (res == 0)
		res = make_part(r, &r->shared, false, severity);
	if (res < 0)
		return err_wrap(res, "%s", name);
	*ret_rules = take(r);
	return 0;
}

int rules_load(const char *path, struct rules **ret_rules)
{
	auto_close int fd = -1;
	auto_free char *text = NULL;
	struct stat st;
	ssize_t n;

	if (!path || !*path)
		return rules_read("no rules", "", 0, ret_rules);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(errno, "open the rules in %s", path);
	if (!S_ISREG(st.st_mode) || st.st_size > RULES_FILE_MAX)
		return err_new(-EINVAL, "%s: rules are a file of at most %d MiB", path, RULES_FILE_MAX >> 20);
	text = malloc((size_t)st.st_size + 1);
	if (!text)
		return err_new(-ENOMEM, "no memory for %s", path);
	n = read(fd, text, (size_t)st.st_size);
	if (n < 0)
		return err_sys(errno, "read %s", path);
	text[n] = 0;
	return rules_read(path, text, (size_t)n, ret_rules);
}

static void part_free(struct rules_part *part)
{
	ruleset_unref(part->set);
	free(part->queries);
	free(part->severity);
}

struct rules *rules_ref(struct rules *r)
{
	r->refs++;
	return r;
}

void rules_free(struct rules *r)
{
	if (!r || --r->refs)
		return;
	part_free(&r->local);
	part_free(&r->shared);
	for (size_t i = 0; i < r->n; i++) {
		query_free(r->query[i]);
		free(r->id[i]);
	}
	free(r->query);
	free(r->id);
	free(r);
}
