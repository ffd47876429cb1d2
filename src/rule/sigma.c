/* SPDX-License-Identifier: Apache-2.0 */
#include "rule/sigma.h"
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "base/utf8.h"
#include "rule/sigma_lower.h"

/* ---- problems --------------------------------------------------------------------------------- */

static int fail(struct sigma *s, const struct yaml_node *at, size_t offset, int r, const char *feature, const char *fmt,
		va_list ap)
{
	struct diag *d = &s->problem->diag;

	memset(d, 0, sizeof(*d));
	s->problem->feature = feature;
	d->line = at->line;
	d->column = at->column;
	/* A text of one line stands where its node does, behind a quote if it has one. */
	if (offset && at->type == YAML_SCALAR && !memchr(at->text, '\n', at->len)) {
		d->column += !at->plain;
		for (size_t i = 0; i < offset && i < at->len; i++)
			d->column += (at->text[i] & 0xc0) != 0x80;
	}
	(void)vsnprintf(d->message, sizeof(d->message), fmt, ap);
	/* What was cut off may have been cut within a character. */
	d->message[utf8_good(d->message, strlen(d->message))] = 0;
	return err_new(r, "line %u, column %u: %s", d->line, d->column, d->message);
}

int sigma_wrong(struct sigma *s, const struct yaml_node *at, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = fail(s, at, 0, -EINVAL, NULL, fmt, ap);
	va_end(ap);
	return r;
}

int sigma_wrong_at(struct sigma *s, const struct yaml_node *at, size_t offset, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = fail(s, at, offset, -EINVAL, NULL, fmt, ap);
	va_end(ap);
	return r;
}

int sigma_missing(struct sigma *s, const struct yaml_node *at, const char *feature, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = fail(s, at, 0, -EINVAL, feature, fmt, ap);
	va_end(ap);
	return r;
}

__attribute__((format(printf, 4, 5))) static int refused(struct sigma *s, const struct yaml_node *at, int r,
							 const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	r = fail(s, at, 0, r, NULL, fmt, ap);
	va_end(ap);
	return r;
}

int sigma_no_memory(struct sigma *s, const struct yaml_node *at)
{
	if (s->scratch.taken >= SIGMA_ARENA_MAX / 2)
		return refused(s, at, -E2BIG, "this rule is too large");
	return refused(s, at, -ENOMEM, "no memory left for the rule");
}

int sigma_made(struct sigma *s, const struct yaml_node *at, ir_ref ref, ir_ref *ret_ref)
{
	*ret_ref = ref;
	if (ref)
		return 0;
	if (s->b.no_name)
		return refused(s, at, -E2BIG, "a field's name is too long or too deep, or there are too many names");
	if (s->b.too_many)
		return refused(s, at, -E2BIG, "a rule of more than %d parts", RULE_NODES_MAX);
	return sigma_no_memory(s, at);
}

/* ---- nodes --------------------------------------------------------------------------------------- */

ir_ref sigma_condition(struct sigma *s, enum ir_op op, unsigned flags, const ir_ref *kids, size_t n)
{
	ir_ref ref = build_node(&s->b, op, flags, kids, n);

	if (ref)
		build_at(&s->b, ref)->type = RULE_BOOLEAN;
	return ref;
}

/* op is IR_AND or IR_OR. */
static ir_ref join(struct sigma *s, enum ir_op op, const ir_ref *refs, size_t n)
{
	bool stop = op == IR_OR;
	ir_ref *flat, ref;
	size_t n_flat = 0, most = n;

	for (size_t i = 0; i < n; i++) {
		if (!refs[i])
			return 0;
		most += s->b.nodes[refs[i]].op == op ? s->b.nodes[refs[i]].n : 0;
	}
	flat = arena_alloc(&s->scratch, (most + 1) * sizeof(*flat));
	if (!flat) {
		s->b.no_memory = true;
		return 0;
	}
	for (size_t i = 0; i < n; i++) {
		const struct ir_node *node = &s->b.nodes[refs[i]];

		if (node->op == IR_BOOL && node->b == stop)
			return refs[i];
		if (node->op == IR_BOOL)
			continue;
		if (node->op != op) {
			flat[n_flat++] = refs[i];
			continue;
		}
		memcpy(flat + n_flat, node->kid, node->n * sizeof(*flat));
		n_flat += node->n;
	}
	if (n_flat > RULE_LIST_MAX) {
		s->b.too_many = true;
		return 0;
	}
	ref = !n_flat ? build_bool(&s->b, !stop) : n_flat == 1 ? flat[0] : sigma_condition(s, op, 0, flat, n_flat);
	return ref;
}

ir_ref sigma_all(struct sigma *s, const ir_ref *refs, size_t n)
{
	return join(s, IR_AND, refs, n);
}

ir_ref sigma_any(struct sigma *s, const ir_ref *refs, size_t n)
{
	return join(s, IR_OR, refs, n);
}

ir_ref sigma_not(struct sigma *s, ir_ref ref)
{
	const struct ir_node *n;

	if (!ref)
		return 0;
	n = &s->b.nodes[ref];
	if (n->op == IR_NOT)
		return n->kid[0];
	if (n->op == IR_BOOL)
		return build_bool(&s->b, !n->b);
	return sigma_condition(s, IR_NOT, 0, &ref, 1);
}

/* Takes a node of another query over. The depth is bounded by that query's. */
static ir_ref copy(struct sigma *s, const struct query *q, ir_ref ref)
{
	const struct ir_node *n = ir_at(q, ref);
	ir_ref *kids, to;

	switch (n->op) {
	case IR_NULL:
		return build_null(&s->b);
	case IR_BOOL:
		return build_bool(&s->b, n->b);
	case IR_INT:
		return build_int(&s->b, n->i);
	case IR_FLOAT:
		return build_float(&s->b, n->f);
	case IR_STR:
		return build_str(&s->b, n->str.p, n->str.n);
	case IR_FIELD:
		return build_field(&s->b, n->field.name, n->field.len, (enum rule_type)n->type, n->flags);
	default:
		break;
	}
	kids = arena_alloc(&s->scratch, (n->n + 1) * sizeof(*kids));
	if (!kids) {
		s->b.no_memory = true;
		return 0;
	}
	for (uint32_t i = 0; i < n->n; i++)
		kids[i] = copy(s, q, n->kid[i]);
	to = build_node(&s->b, (enum ir_op)n->op, n->flags, kids, n->n);
	if (to) {
		struct ir_node *made = build_at(&s->b, to);

		made->type = n->type;
		made->as = n->as;
		made->fn = n->fn;
	}
	return to;
}

int sigma_eql(struct sigma *s, const struct yaml_node *at, const char *where, ir_ref *ret_ref)
{
	const struct query_options options = { .dialect = RULE_ELASTIC, .schema = s->options->schema };
	AUTO(query) q = NULL;
	int r = condition_compile(where, strlen(where), &options, NULL, &q);

	*ret_ref = 0;
	if (r < 0) {
		/* The schema may have types for these fields with which the table's conditions cannot be asked. */
		err_clear();
		return r == -ENOMEM
			       ? sigma_no_memory(s, at)
			       : sigma_wrong(s, at, "the schema does not go with what this logsource means: %s", where);
	}
	return sigma_made(s, at, copy(s, q, q->stage[0].condition), ret_ref);
}

/* ---- logsources -------------------------------------------------------------------------------------- */

static const char *text_of(const struct yaml_node *map, const char *key)
{
	const struct yaml_node *v = map && map->type == YAML_MAP ? yaml_child(map, key) : NULL;

	return v && v->type == YAML_SCALAR && v->len ? v->text : NULL;
}

static bool source_is(const struct sigma_source *row, const char *category, const char *service)
{
	if (!row->category && !row->service)
		return !category && !service;
	if (row->category)
		return category && !strcmp(row->category, category);
	return !category && service && (!strcmp(row->service, "*") || !strcmp(row->service, service));
}

static int find_source(struct sigma *s, const struct yaml_node *rule, const struct sigma_source **ret_source)
{
	const struct yaml_node *source = yaml_child(rule, "logsource");
	const char *product = text_of(source, "product"), *category = text_of(source, "category"),
		   *service = text_of(source, "service");

	*ret_source = NULL;
	if (source && source->type != YAML_MAP)
		return sigma_wrong(s, source, "a logsource is a mapping, not %s", yaml_type_name(source));
	if (s->options->names == SIGMA_OWN)
		return 0;
	if (product && strcasecmp(product, "linux") != 0)
		return sigma_missing(s, yaml_child(source, "product"), "product", "a rule for %.64s, not for linux",
				     product);
	for (size_t i = 0; i < sigma_n_sources; i++)
		if (source_is(&sigma_sources[i], category, service)) {
			*ret_source = &sigma_sources[i];
			return 0;
		}
	return sigma_missing(s, yaml_child(source, "category"), "category",
			     "there are no events of the category \"%.64s\"", category);
}

/* Which program wrote a line of a log. */
static int log_condition(struct sigma *s, const struct yaml_node *at, const char *service, ir_ref *ret_ref)
{
	static const char *const names[] = { "process.name", "log.syslog.appname", "service.name" };
	ir_ref any[countof(names)], both[2], kids[2];
	int r = sigma_eql(s, at, "message != null", &both[0]);

	if (r < 0)
		return r;
	for (size_t i = 0; i < countof(names); i++) {
		kids[0] = build_field(&s->b, names[i], strlen(names[i]), RULE_UNKNOWN, 0);
		kids[1] = build_str(&s->b, service, strlen(service));
		any[i] = sigma_condition(s, IR_EQ, IR_TRUTH | IR_ANY | IR_FOLD, kids, 2);
	}
	both[1] = sigma_any(s, any, countof(any));
	return sigma_made(s, at, sigma_all(s, both, 2), ret_ref);
}

/* *ret_ref is 0 when there is no condition. */
static int source_condition(struct sigma *s, const struct yaml_node *rule, ir_ref *ret_ref)
{
	const struct sigma_source *source = s->scope->source;
	const struct yaml_node *at = source ? yaml_child(rule, "logsource") : NULL;

	*ret_ref = 0;
	if (!source || !at)
		return 0;
	if (source->is_log && !strcmp(source->service, "*"))
		return log_condition(s, at, text_of(at, "service"), ret_ref);
	if (source->is_log)
		return sigma_eql(s, at, "message != null", ret_ref);
	return source->where ? sigma_eql(s, at, source->where, ret_ref) : 0;
}

static int category_condition(struct sigma *s, const struct yaml_node *at, const char *category, ir_ref *ret_ref)
{
	static const char field[] = "event.category";
	ir_ref kids[2] = { build_field(&s->b, field, sizeof(field) - 1, RULE_UNKNOWN, 0),
			   build_str(&s->b, category, strlen(category)) };

	return sigma_made(s, at, sigma_condition(s, IR_EQ, IR_TRUTH | IR_ANY, kids, 2), ret_ref);
}

/* ---- rules ---------------------------------------------------------------------------------------------- */

static bool is_no_selection(const struct yaml_node *v)
{
	return !strcmp(v->key->text, "condition") || !strcmp(v->key->text, "timeframe");
}

/* Opens the scope of a rule: logsource and selections. */
static int open_scope(struct sigma *s, const struct yaml_node *rule)
{
	struct sigma_scope *scope = arena_new(&s->scratch, struct sigma_scope);
	const struct yaml_node *detection = yaml_child(rule, "detection");

	if (!scope)
		return sigma_no_memory(s, rule);
	if (!detection)
		return sigma_wrong(s, rule, "a rule without a detection");
	if (detection->type != YAML_MAP)
		return sigma_wrong(s, detection, "a detection is a mapping, not %s", yaml_type_name(detection));
	if (yaml_child(rule, "action"))
		return sigma_missing(s, yaml_child(rule, "action")->key, "action",
				     "collections of older rules, of which one part completes another");
	if (detection->n > SIGMA_SELECTIONS_MAX)
		return sigma_wrong(s, detection, "more than %d selections", SIGMA_SELECTIONS_MAX);
	scope->detection = detection;
	scope->selections = arena_zeroed(&s->scratch, detection->n + 1, sizeof(*scope->selections));
	if (!scope->selections)
		return sigma_no_memory(s, detection);
	for (const struct yaml_node *v = detection->first; v; v = v->next)
		if (!is_no_selection(v))
			scope->selections[scope->n_selections++].node = v;
	s->scope = scope;
	return find_source(s, rule, &scope->source);
}

int sigma_rule(struct sigma *s, const struct yaml_node *rule, bool with_category, ir_ref *ret_ref,
	       struct sigma_aggregation *ret_aggregation)
{
	const struct yaml_node *condition;
	ir_ref all[3];
	size_t n = 0;
	int r = open_scope(s, rule);

	if (r < 0)
		return r;
	condition = yaml_child(s->scope->detection, "condition");
	if (!condition)
		return sigma_wrong(s, s->scope->detection, "a detection without a condition");
	r = source_condition(s, rule, &all[n]);
	n += all[n] != 0;
	if (r == 0 && with_category && s->scope->source && s->scope->source->event_category) {
		r = category_condition(s, condition, s->scope->source->event_category, &all[n]);
		n++;
	}
	if (r == 0)
		r = sigma_parse(s, condition, &all[n++], ret_aggregation);
	if (r < 0)
		return r;
	/* Selections that no condition names are wrong, too: what is in them was never read. */
	for (size_t i = 0; i < s->scope->n_selections && r == 0; i++) {
		struct sigma_selection *sel = &s->scope->selections[i];

		if (!sel->ref)
			r = sigma_selection(s, sel->node, &sel->ref);
	}
	return r < 0 ? r : sigma_made(s, condition, sigma_all(s, all, n), ret_ref);
}

int sigma_stages(struct sigma *s, const struct yaml_node *at, enum query_kind kind, size_t n, size_t n_keys)
{
	static const char category[] = "event.category";
	struct query *q = s->b.q;

	q->kind = kind;
	q->n_stages = (uint32_t)n;
	q->n_keys = (uint32_t)n_keys;
	q->category_field = field_intern(category, sizeof(category) - 1);
	q->stage = arena_zeroed(&q->arena, n, sizeof(*q->stage));
	if (!q->stage)
		return sigma_no_memory(s, at);
	for (size_t i = 0; i < n; i++) {
		q->stage[i].runs = 1;
		q->stage[i].key = n_keys ? arena_zeroed(&q->arena, n_keys, sizeof(*q->stage[i].key)) : NULL;
		if (n_keys && !q->stage[i].key)
			return sigma_no_memory(s, at);
	}
	return 0;
}

int sigma_key(struct sigma *s, const struct yaml_node *at, struct str name, ir_ref *ret_ref)
{
	struct sigma_field f;

	sigma_field_of(s->scope->source, s->options->names, name, CALL_NONE, &f);
	if (f.look != LOOK_FIELD)
		return sigma_missing(s, at, "group_by", "events cannot be joined by %.*s", (int)name.n, name.p);
	return sigma_made(s, at, build_field(&s->b, f.name.p, f.name.n, RULE_UNKNOWN, 0), ret_ref);
}

int sigma_timespan(struct sigma *s, const struct yaml_node *node, uint64_t *ret_ns)
{
	static const struct {
		char unit;
		uint64_t seconds;
	} units[] = { { 's', 1 },     { 'm', 60 },           { 'h', 3600 },
		      { 'd', 86400 }, { 'w', 7ULL * 86400 }, { 'M', 30ULL * 86400 } };
	unsigned long long v;
	char *end;

	if (node->type != YAML_SCALAR || node->text[0] < '0' || node->text[0] > '9')
		return sigma_wrong(s, node, "wanted a time, as in 30s, 15m or 1h");
	errno = 0;
	v = strtoull(node->text, &end, 10);
	for (size_t i = 0; i < countof(units); i++)
		if (end[0] == units[i].unit && !end[1] && end + 1 == node->text + node->len && !errno && v &&
		    v <= INT64_MAX / 1000000000 / units[i].seconds) {
			*ret_ns = v * units[i].seconds * 1000000000;
			return 0;
		}
	return sigma_wrong(s, node, "wanted a time, as in 30s, 15m or 1h");
}

static int detection(struct sigma *s, const struct yaml_node *rule)
{
	struct sigma_aggregation aggregation;
	const char *category;
	ir_ref condition;
	int r = sigma_rule(s, rule, false, &condition, &aggregation);

	if (r < 0)
		return r;
	if (aggregation.is_there)
		return sigma_aggregate(s, rule, condition, &aggregation);
	r = sigma_stages(s, rule, QUERY_EVENT, 1, 0);
	if (r < 0)
		return r;
	category = s->scope->source ? s->scope->source->event_category : NULL;
	s->b.q->stage[0].category = category;
	s->b.q->stage[0].condition = condition;
	return 0;
}

/*
 * A selection is one node, however often a condition names it; who walks the nodes meets it each time. So the parts
 * are counted as they are met.
 */
static int check_size(struct sigma *s, const struct yaml_node *rule)
{
	uint64_t *size = arena_zeroed(&s->scratch, s->b.n, sizeof(*size));

	if (!size)
		return sigma_no_memory(s, rule);
	for (ir_ref i = 1; i < s->b.n; i++) {
		size[i] = 1;
		/* No sum overflows: each part of it is at most one more than the maximum. */
		for (uint32_t k = 0; k < s->b.nodes[i].n; k++)
			size[i] += size[s->b.nodes[i].kid[k]];
		if (size[i] > RULE_NODES_MAX)
			size[i] = RULE_NODES_MAX + 1;
	}
	for (uint32_t i = 0; i < s->b.q->n_stages; i++)
		if (size[s->b.q->stage[i].condition] > RULE_NODES_MAX)
			return refused(s, rule, -E2BIG, "a rule of more than %d parts", RULE_NODES_MAX);
	return 0;
}

bool sigma_is_rule(const struct yaml_node *rule)
{
	/* One with a logsource alone is meant to be one, and wants to hear what it lacks. */
	return rule && rule->type == YAML_MAP &&
	       (yaml_child(rule, "detection") || yaml_child(rule, "correlation") || yaml_child(rule, "logsource"));
}

int sigma_compile(const struct yaml_node *rule, const struct sigma_options *options,
		  struct sigma_problem *reterr_problem, struct query **ret_query)
{
	static const struct sigma_options defaults = { 0 };
	struct sigma_problem problem;
	struct sigma s = { .options = options ? options : &defaults,
			   .problem = reterr_problem ? reterr_problem : &problem };
	int r = query_builder_init(&s.b, s.options->sql ? RULE_SIGMA_SQL : RULE_SIGMA);

	*s.problem = (struct sigma_problem) { .diag = { .line = rule->line, .column = rule->column } };
	if (r < 0) {
		(void)snprintf(s.problem->diag.message, DIAG_MESSAGE_MAX, "no memory left for the rule");
		return r;
	}
	arena_init(&s.scratch, SIGMA_ARENA_MAX);
	if (rule->type != YAML_MAP)
		r = sigma_wrong(&s, rule, "a rule is a mapping, not %s", yaml_type_name(rule));
	else if (yaml_child(rule, "correlation"))
		r = sigma_correlate(&s, rule);
	else
		r = detection(&s, rule);
	if (r == 0)
		r = check_size(&s, rule);
	if (r == 0) {
		r = query_build(&s.b, ret_query);
		if (r < 0)
			(void)snprintf(s.problem->diag.message, DIAG_MESSAGE_MAX, "%s", err_trail());
	}
	query_builder_free(&s.b);
	arena_free(&s.scratch);
	return r;
}

/* ---- text -------------------------------------------------------------------------------------------------- */

static bool is_called(const struct yaml_node *rule, const char *name)
{
	const char *own = text_of(rule, "name"), *id = text_of(rule, "id");

	return (own && !strcmp(own, name)) || (id && !strcmp(id, name));
}

static const struct yaml_node *find_document(void *ctx, const char *name)
{
	const struct yaml_node *documents = ctx;

	for (const struct yaml_node *d = documents->first; d; d = d->next)
		if (is_called(d, name))
			return d;
	return NULL;
}

/* Where in the text a line and column are: so that the line can be shown. */
static void place(struct diag *d, const char *text, size_t n)
{
	size_t at = 0;

	/* To YAML a carriage return alone ends a line, too. */
	for (unsigned line = 1; line < d->line && at < n; at++)
		line += text[at] == '\n' || (text[at] == '\r' && (at + 1 == n || text[at + 1] != '\n'));
	for (unsigned column = 1; column < d->column && at < n && text[at] != '\n' && text[at] != '\r'; column++) {
		size_t len = utf8_char(text + at, n - at, NULL);

		at += len ? len : 1;
	}
	d->at = at;
}

static int not_yaml(struct sigma_problem *problem, const struct config_report *report)
{
	const struct config_problem *first = report->n ? &report->problems[0] : NULL;

	problem->diag.line = first && first->line ? first->line : 1;
	problem->diag.column = first && first->column ? first->column : 1;
	(void)snprintf(problem->diag.message, sizeof(problem->diag.message), "%s", first ? first->message : "not YAML");
	return err_new(-EINVAL, "line %u, column %u: %s", problem->diag.line, problem->diag.column,
		       problem->diag.message);
}

int sigma_compile_text(const char *text, size_t n, const struct sigma_options *options,
		       struct sigma_problem *reterr_problem, struct query **ret_query)
{
	auto_report struct config_report report = { 0 };
	struct sigma_options with = options ? *options : (struct sigma_options) { 0 };
	struct yaml_node *documents = NULL;
	const struct yaml_node *rule;
	struct sigma_problem problem;
	int r = yaml_read_foreign("rule", text, n, &report, &documents);

	if (!reterr_problem)
		reterr_problem = &problem;
	*reterr_problem = (struct sigma_problem) { 0 };
	if (r < 0) {
		if (r != -ENOMEM)
			r = not_yaml(reterr_problem, &report);
	} else {
		rule = documents->last && yaml_child(documents->last, "correlation") ? documents->last
										     : documents->first;
		if (!with.find) {
			with.find = find_document;
			with.ctx = documents;
		}
		/* An empty file has no node but the list of its documents. */
		r = sigma_compile(rule ? rule : documents, &with, reterr_problem, ret_query);
	}
	place(&reterr_problem->diag, text, n);
	yaml_node_free(documents);
	return r;
}
