/* SPDX-License-Identifier: Apache-2.0 */
#include "hunt/batch.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "base/json.h"

static int no_memory(void)
{
	return err_new(-ENOMEM, "out of memory");
}

void batch_free(struct batch *b)
{
	for (size_t i = 0; i < b->n; i++)
		free(b->ids[i]);
	free(b->ids);
	*b = (struct batch) { 0 };
}

static int set_name(char **to, const char *text)
{
	char *copy = text[0] && strcmp(text, "none") != 0 ? strdup(text) : NULL;

	if (text[0] && strcmp(text, "none") != 0 && !copy)
		return no_memory();
	free(*to);
	*to = copy;
	return 0;
}

int batch_schema(const struct batch_defaults *d, enum rule_dialect dialect, struct schema **ret_schema)
{
	AUTO(schema) s = NULL;
	int r = 0;

	if (d->schema)
		s = schema_copy(d->schema);
	else
		r = schema_named(dialect == RULE_ENDGAME ? "endgame" : "ecs", &s);
	if (r == 0 && !s)
		r = no_memory();
	if (r == 0 && d->category)
		r = set_name(&s->category, d->category);
	if (r == 0 && d->timestamp)
		r = set_name(&s->timestamp, d->timestamp);
	if (r == 0 && d->tiebreaker)
		r = set_name(&s->tiebreaker, d->tiebreaker);
	if (r < 0)
		return r;
	*ret_schema = take(s);
	return 0;
}

/* ---- one line ------------------------------------------------------------------------------------------ */

/* What is being made of a line. */
struct making {
	struct batch_defaults d;
	struct schema *schema; /* the line's own */
	const struct json_node *query, *fields, *null_values;
	struct diag wrong;
	unsigned number;
};

__attribute__((format(printf, 2, 3))) static int wrong(struct making *m, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	m->wrong = (struct diag) { .line = 1, .column = 1 };
	(void)vsnprintf(m->wrong.message, sizeof(m->wrong.message), fmt, ap);
	va_end(ap);
	return -EINVAL;
}

static int take_number(struct making *m, const char *name, const struct json_node *v, uint64_t max, uint64_t *to)
{
	if (v->type != JSON_INT || v->i < 0 || (uint64_t)v->i > max)
		return wrong(m, "%s: wanted a whole number that is not negative", name);
	*to = (uint64_t)v->i;
	return 0;
}

static int take_name(struct making *m, const char *name, const struct json_node *v, const char **to)
{
	if (v->type != JSON_STRING && v->type != JSON_NULL)
		return wrong(m, "%s: wanted the name of a field, or null", name);
	*to = v->type == JSON_NULL ? "" : v->s;
	return 0;
}

static int take_dialect(struct making *m, const struct json_node *v)
{
	if (v->type == JSON_STRING && (!strcmp(v->s, "elastic") || !strcmp(v->s, "elasticsearch")))
		m->d.dialect = RULE_ELASTIC;
	else if (v->type == JSON_STRING && !strcmp(v->s, "endgame"))
		m->d.dialect = RULE_ENDGAME;
	else if (v->type == JSON_STRING && !strcmp(v->s, "endpoint"))
		m->d.dialect = RULE_ENDPOINT;
	else if (v->type == JSON_STRING && !strcmp(v->s, "kql"))
		m->d.dialect = RULE_KQL;
	else if (v->type == JSON_STRING && !strcmp(v->s, "sigma"))
		m->d.dialect = RULE_SIGMA;
	else if (v->type == JSON_STRING && !strcmp(v->s, "sigma-sql"))
		m->d.dialect = RULE_SIGMA_SQL;
	else
		return wrong(m, "dialect: wanted elastic, endgame, endpoint, kql, sigma or sigma-sql");
	return 0;
}

static int take_schema(struct making *m, const struct json_node *v)
{
	auto_report struct config_report report = { 0 };
	int r;

	schema_free(m->schema);
	m->schema = NULL;
	r = schema_from_json(v, &report, &m->schema);
	if (r == -ENOMEM)
		return r;
	if (r < 0)
		return wrong(m, "schema: %s", report.n ? report.problems[0].message : err_trail());
	m->d.schema = m->schema;
	return 0;
}

static bool is(const struct json_node *name, const char *a, const char *b, const char *c)
{
	return !strcmp(name->s, a) || (b && !strcmp(name->s, b)) || (c && !strcmp(name->s, c));
}

static int take_member(struct making *m, const struct json_node *name, const struct json_node *v)
{
	uint64_t n = 0;
	int r = 0;

	if (is(name, "query", NULL, NULL)) {
		m->query = v;
	} else if (is(name, "schema", NULL, NULL)) {
		r = take_schema(m, v);
	} else if (is(name, "dialect", NULL, NULL)) {
		r = take_dialect(m, v);
	} else if (is(name, "category", "category_field", "event_category_field")) {
		r = take_name(m, "category", v, &m->d.category);
	} else if (is(name, "timestamp", "timestamp_field", NULL)) {
		r = take_name(m, "timestamp", v, &m->d.timestamp);
	} else if (is(name, "tiebreaker", "tiebreaker_field", NULL)) {
		r = take_name(m, "tiebreaker", v, &m->d.tiebreaker);
	} else if (is(name, "fields", "types", NULL)) {
		m->fields = v;
	} else if (is(name, "null_values", NULL, NULL)) {
		m->null_values = v;
	} else if (is(name, "case_sensitive", NULL, NULL)) {
		m->d.options.case_sensitive = v->type == JSON_BOOL && v->b;
		r = v->type == JSON_BOOL ? 0 : wrong(m, "case_sensitive: wanted true or false");
	} else if (is(name, "max_samples_per_key", NULL, NULL)) {
		r = take_number(m, "max_samples_per_key", v, UINT32_MAX, &n);
		m->d.options.max_samples_per_key = (uint32_t)n;
	} else if (is(name, "limit", "size", NULL)) {
		r = take_number(m, "limit", v, INT64_MAX, &m->d.options.limit);
	} else if (!is(name, "id", "name", NULL)) {
		r = wrong(m, "no \"%.64s\" is known in a line of queries", name->s);
	}
	return r;
}

/* Types that the line adds to its schema. */
static int add_fields(struct making *m, struct schema *schema)
{
	auto_report struct config_report report = { 0 };
	int r = 0;

	if (m->fields)
		r = schema_add(schema, "fields", m->fields, &report);
	if (r == 0 && m->null_values)
		r = schema_add(schema, "null_values", m->null_values, &report);
	return r < 0 && r != -ENOMEM ? wrong(m, "fields: %s", report.n ? report.problems[0].message : err_trail()) : r;
}

static int add_query(struct making *m, const struct json_node *object, struct hunt *h)
{
	AUTO(schema) schema = NULL;
	struct hunt_options options;
	const struct json_node *v, *name;
	int r = 0;

	for (v = json_first(object, &name); v && r == 0; v = json_next(object, v, &name))
		r = take_member(m, name, v);
	if (r == 0 && (!m->query || m->query->type != JSON_STRING))
		r = wrong(m, m->query ? "query: wanted a string" : "there is no \"query\"");
	if (r == 0)
		r = batch_schema(&m->d, m->d.dialect, &schema);
	if (r == 0)
		r = add_fields(m, schema);
	if (r < 0)
		return r;
	options = m->d.options;
	options.schema = schema;
	options.dialect = m->d.dialect;
	return hunt_add(h, m->query->s, m->query->len, &options);
}

static char *id_text(const struct json_node *object)
{
	const struct json_node *id = object ? json_get(object, "id") : NULL;
	auto_buf struct buf text = { .max = BATCH_LINE_MAX };

	if (id && id->type == JSON_STRING)
		(void)json_write_str(&text, id->s, id->len);
	else if (id && id->type == JSON_INT)
		buf_i64(&text, id->i);
	else if (id && id->type == JSON_DOUBLE)
		json_write_double(&text, id->d);
	else
		buf_str(&text, "null");
	return text.failed ? NULL : take(text.data);
}

int batch_line(const char *line, size_t n, unsigned number, const struct batch_defaults *d, struct hunt *h,
	       struct batch *b)
{
	static const struct json_limits limits = { BATCH_LINE_MAX, 1 << 17, 32 };
	struct making m = { .d = *d, .number = number };
	auto_json struct json_doc doc;
	const struct json_node *root = NULL;
	int r;

	json_init(&doc, &limits);
	if (b->n == b->cap) {
		size_t cap = b->cap ? b->cap * 2 : 16;
		char **ids = realloc(b->ids, cap * sizeof(*ids));

		if (!ids)
			return no_memory();
		b->ids = ids;
		b->cap = cap;
	}
	r = json_parse(&doc, line, n, &root);
	if (r < 0 && r != -ENOMEM)
		r = wrong(&m, "line %u: %s", number, err_trail());
	else if (r == 0 && root->type != JSON_OBJECT)
		r = wrong(&m, "line %u: wanted an object with an id and a query", number);
	b->ids[b->n] = id_text(r == 0 ? root : NULL);
	if (!b->ids[b->n])
		return no_memory();
	b->n++;
	if (r == 0)
		r = add_query(&m, root, h);
	schema_free(m.schema);
	if (r >= 0 || !m.wrong.line)
		return r;
	err_clear();
	r = hunt_add_wrong(h, &m.wrong);
	return r < 0 ? r : 1;
}

int batch_load(const char *path, const struct batch_defaults *d, struct hunt *h, struct batch *b)
{
	AUTO(lines) l = NULL;
	struct line line;
	bool any_wrong = false;
	int r = lines_open(path, &l);

	if (r < 0)
		return r;
	if (l->size > BATCH_BYTES_MAX)
		return err_new(-E2BIG, "%s has more than %d bytes", path, BATCH_BYTES_MAX);
	lines_rewind(l, NULL);
	for (unsigned number = 1; (r = lines_next(l, &line)) == 1; number++) {
		r = batch_line(line.p, line.n, number, d, h, b);
		if (r < 0)
			return r;
		any_wrong |= r == 1;
	}
	if (r == 0 && l->too_long)
		return err_new(-E2BIG, "%s: a line of more than %d bytes", path, LINE_BYTES_MAX);
	return r < 0 ? r : any_wrong;
}
