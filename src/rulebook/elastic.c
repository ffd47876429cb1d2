/* SPDX-License-Identifier: Apache-2.0 */
/*
 * elastic - reads Elastic's rules as they are published: detection rules, and those of its endpoint. One a file.
 *
 * What a rule says beside its query is taken where we have a place for it. A rule whose type we cannot run is refused
 * by the name of what is missing.
 */
#include <errno.h>
#include <string.h>
#include "base/clock.h"
#include "base/hash.h"
#include "base/utf8.h"
#include "rulebook/attack.h"
#include "rulebook/maker.h"
#include "rulebook/toml.h"

static const uint64_t content_seed = 0x656c6173746963ULL;

struct elastic {
	struct maker *m;
	const struct toml_node *rule;
	struct book_rule out;
	bool bad;
};

static struct place place_of(const struct toml_node *n)
{
	return (struct place) { n->line, n->column };
}

#define wrong(e, node, ...)                                                                                            \
	do {                                                                                                           \
		(e)->bad = true;                                                                                       \
		maker_problem((e)->m, place_of(node), (e)->out.id, __VA_ARGS__);                                       \
	} while (0)

/* It may be right, but needs what we have not: `feature` is a word of docs/rules.md. */
#define missing(e, node, feature, ...)                                                                                 \
	do {                                                                                                           \
		(e)->bad = true;                                                                                       \
		maker_missing((e)->m, place_of(node), (e)->out.id, feature, __VA_ARGS__);                              \
	} while (0)

/* ---- texts ------------------------------------------------------------------------------------ */

/* A text that is not empty, or NULL; something else is said to be wrong. */
static const struct toml_node *text_at(struct elastic *e, const struct toml_node *in, const char *key)
{
	const struct toml_node *n = toml_child(in, key);

	if (n && n->type != TOML_STRING) {
		wrong(e, n, "%s: is to be a text, not %s", key, toml_type_name(n));
		return NULL;
	}
	if (n && strlen(n->text) != n->len) {
		wrong(e, n, "%s: a NUL character", key);
		return NULL;
	}
	return n && n->len ? n : NULL;
}

/* Cut where it is longer than we keep: guides can be. */
static const char *kept(struct elastic *e, const char *text, size_t n)
{
	size_t keep = n;

	if (keep > BOOK_TEXT_MAX) {
		keep = BOOK_TEXT_MAX;
		while (keep && ((unsigned char)text[keep] & 0xc0) == 0x80)
			keep--;
	}
	return maker_str(e->m, text, keep);
}

static const char *copy_at(struct elastic *e, const struct toml_node *in, const char *key)
{
	const struct toml_node *n = text_at(e, in, key);

	return n ? kept(e, n->text, n->len) : NULL;
}

/* The texts of a list; what is none is said to be wrong. */
static void texts_at(struct elastic *e, const struct toml_node *in, const char *key, const char *const **ret_texts,
		     size_t *ret_n)
{
	const struct toml_node *list = toml_child(in, key);
	const char **texts;

	if (!list)
		return;
	if (list->type != TOML_ARRAY || list->n > BOOK_LIST_MAX) {
		wrong(e, list, "%s: is to be a list of at most %d texts", key, BOOK_LIST_MAX);
		return;
	}
	texts = maker_zeroed(e->m, list->n + 1, sizeof(*texts));
	*ret_texts = texts;
	for (const struct toml_node *c = list->first; c && texts; c = c->next) {
		if (c->type != TOML_STRING || strlen(c->text) != c->len) {
			wrong(e, c, "%s: is to be a list of texts", key);
			return;
		}
		texts[(*ret_n)++] = kept(e, c->text, c->len);
	}
}

/* A list of texts as one. */
static const char *joined_at(struct elastic *e, const struct toml_node *in, const char *key, const char *between)
{
	auto_buf struct buf all = { .max = TOML_BYTES_MAX };
	const char *const *texts = NULL;
	size_t n = 0;

	if (toml_child(in, key) && toml_child(in, key)->type == TOML_STRING)
		return copy_at(e, in, key);
	texts_at(e, in, key, &texts, &n);
	for (size_t i = 0; i < n && texts[i]; i++) {
		buf_str(&all, i ? between : "");
		buf_str(&all, texts[i]);
	}
	return all.len ? kept(e, buf_text(&all), all.len) : NULL;
}

/* ---- threat ----------------------------------------------------------------------------------- */

/* By our table, or as the file has it. */
static void take_ids(struct elastic *e, struct book_attack *a, const struct toml_node *tactic,
		     const struct toml_node *technique)
{
	const struct toml_node *id;

	if (tactic && (id = text_at(e, tactic, "id")) && attack_is_tactic(id->text)) {
		attack_set_tactic(e->m, a, id->text);
		if (!a->tactic)
			a->tactic = copy_at(e, tactic, "name");
	}
	if (technique && (id = text_at(e, technique, "id")) && attack_is_technique(id->text)) {
		attack_set_technique(e->m, a, id->text);
		if (a->sub_id && !a->sub)
			a->sub = copy_at(e, technique, "name");
		else if (!a->sub_id && !a->technique)
			a->technique = copy_at(e, technique, "name");
	}
}

/* One entry for each tactic, technique or part of one that is said. */
static void take_technique(struct elastic *e, struct book_attack *attack, const struct toml_node *tactic,
			   const struct toml_node *technique)
{
	const struct toml_node *subs = technique ? toml_child(technique, "subtechnique") : NULL;
	const struct toml_node *sub = subs && subs->type == TOML_ARRAY ? subs->first : NULL;

	do {
		if (e->out.n_attack == BOOK_LIST_MAX)
			return;
		take_ids(e, &attack[e->out.n_attack++], tactic, sub ? sub : technique);
	} while (sub && (sub = sub->next));
}

static void take_threats(struct elastic *e, const struct toml_node *in)
{
	const struct toml_node *threats = toml_child(in, "threat");
	struct book_attack *attack;

	if (!threats || threats->type != TOML_ARRAY)
		return;
	attack = maker_zeroed(e->m, BOOK_LIST_MAX, sizeof(*attack));
	e->out.attack = attack;
	for (const struct toml_node *t = threats->first; t && attack; t = t->next) {
		const struct toml_node *tactic = toml_child(t, "tactic"), *list = toml_child(t, "technique");
		const struct toml_node *technique = list && list->type == TOML_ARRAY ? list->first : NULL;

		do
			take_technique(e, attack, tactic, technique);
		while (technique && (technique = technique->next));
	}
}

/* ---- what it finds ---------------------------------------------------------------------------- */

/* The names as fields; NULL: one of them is none, or there is no memory. */
static const field_id *intern(struct elastic *e, const struct toml_node *at, const char *const *names, size_t n)
{
	field_id *ids = maker_zeroed(e->m, n + 1, sizeof(*ids));

	for (size_t i = 0; ids && i < n && names[i]; i++) {
		ids[i] = field_intern(names[i], strlen(names[i]));
		if (!ids[i]) {
			wrong(e, at, "%s: \"%.64s\" is not the name of a field", at->key, names[i]);
			return NULL;
		}
	}
	return ids;
}

/* Alerts that are equal in some fields are one, for a while. */
static void take_suppression(struct elastic *e)
{
	const struct toml_node *s = toml_child(e->rule, "alert_suppression"), *duration = toml_child(s, "duration"),
			       *value = toml_child(duration, "value"), *unit = toml_child(duration, "unit");
	const char *const *names = NULL;
	size_t n = 0;
	const field_id *ids;

	if (!value || value->type != TOML_INTEGER || value->i < 1 || value->i > 366 * 24 * 60 || !unit ||
	    unit->type != TOML_STRING || unit->len != 1 || !strchr("smh", *unit->text))
		return;
	texts_at(e, s, "group_by", &names, &n);
	ids = intern(e, s, names, n);
	e->out.throttle = (struct book_throttle) {
		.for_ns = (uint64_t)value->i * NS_PER_S *
			  (*unit->text == 's'   ? 1
			   : *unit->text == 'm' ? 60
						: 3600),
		.by = ids,
		.n_by = ids ? n : 0,
	};
}

enum finding { FIND_EQL, FIND_KQL, FIND_COUNT };

static const struct {
	const char *type;
	enum finding finding;
	const char *missing; /* a word of docs/rules.md: we cannot run it */
} types[] = {
	{ "eql", FIND_EQL, NULL },
	{ "query", FIND_KQL, NULL },
	{ "threshold", FIND_COUNT, NULL },
	{ "saved_query", FIND_KQL, "saved_query" },
	{ "new_terms", FIND_KQL, "new_terms" },
	{ "machine_learning", FIND_KQL, "machine_learning" },
	{ "esql", FIND_KQL, "esql" },
	{ "threat_match", FIND_KQL, "threat_match" },
};

/* How does it say what it finds? What we cannot run is told. */
static enum finding take_type(struct elastic *e)
{
	const struct toml_node *type = text_at(e, e->rule, "type"), *language = text_at(e, e->rule, "language"), *n;
	enum finding finding = FIND_EQL;
	size_t i = 0;

	while (type && i < countof(types) && strcmp(type->text, types[i].type) != 0)
		i++;
	if (type && i == countof(types))
		wrong(e, type, "type: \"%.40s\" is none that we know", type->text);
	else if (type && types[i].missing)
		missing(e, type, types[i].missing, "type: rules of the type %s cannot be run", type->text);
	else if (type)
		finding = types[i].finding;
	if (e->bad)
		return finding;
	n = text_at(e, e->rule, "event_category_override");
	if (finding == FIND_EQL && n && strcmp(n->text, "event.category") != 0)
		missing(e, n, "event_category_override",
			"event_category_override: the category is always event.category");
	if (finding != FIND_EQL && language && !strcmp(language->text, "lucene"))
		missing(e, language, "lucene", "language: queries in lucene cannot be run");
	else if (finding != FIND_EQL && language && strcmp(language->text, "kuery") != 0)
		wrong(e, language, "language: \"%.40s\" is none of rules of this type", language->text);
	n = toml_child(e->rule, "filters");
	if (n && n->first)
		missing(e, n->first, "filters", "filters: are not known, and without them it would find more");
	return finding;
}

/* "now-9m": how long ago that is. */
static uint64_t take_lookback(struct elastic *e)
{
	static const struct {
		char letter;
		uint64_t s;
	} units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 }, { 'w', 7 * 86400 } };
	static const uint64_t usual_s = 6 * 60, most_s = 366 * 86400;
	const struct toml_node *from = text_at(e, e->rule, "from"), *to = text_at(e, e->rule, "to");
	uint64_t v = 0;
	const char *p;

	if (to && strcmp(to->text, "now") != 0)
		missing(e, to, "date_math", "to: only events until now are counted");
	if (!from)
		return usual_s * NS_PER_S;
	if (!strncmp(from->text, "now-", 4)) {
		for (p = from->text + 4; *p >= '0' && *p <= '9' && v <= most_s; p++)
			v = v * 10 + (uint64_t)(*p - '0');
		for (size_t i = 0; i < countof(units); i++)
			if (v && v * units[i].s <= most_s && p[0] == units[i].letter && !p[1])
				return v * units[i].s * NS_PER_S;
	}
	missing(e, from, "date_math", "from: is to be a time before now, as in now-9m, of at most a year");
	return 0;
}

/* Two values of a field in two events is all that a sequence can count. */
static void take_cardinality(struct elastic *e, const struct toml_node *list, struct query_count *count)
{
	const struct toml_node *c = list->type == TOML_ARRAY ? list->first : list;
	const struct toml_node *field = c ? toml_child(c, "field") : NULL, *value = c ? toml_child(c, "value") : NULL;

	if (!c)
		return;
	if (!field || field->type != TOML_STRING || !value || value->type != TOML_INTEGER || value->i < 1) {
		wrong(e, c, "cardinality: has a field, and a value of at least 1");
		return;
	}
	if ((list->type == TOML_ARRAY && c->next) || value->i != 2 || count->at_least > 2) {
		missing(e, value, "value_count",
			"cardinality: only two values of one field in two events can be counted");
		return;
	}
	count->other = kept(e, field->text, field->len);
	(void)intern(e, field, &count->other, 1);
}

/* How many matches there have to be. */
static void take_threshold(struct elastic *e, struct query_count *count)
{
	const struct toml_node *t = toml_child(e->rule, "threshold"), *field = toml_child(t, "field"),
			       *value = toml_child(t, "value"), *cardinality = toml_child(t, "cardinality");
	const field_id *by;

	if (!value || value->type != TOML_INTEGER || value->i < 1) {
		wrong(e, value ? value : t ? t : e->rule, "threshold: has a value, a number of at least 1");
		return;
	}
	if (value->i > RULE_RUNS_MAX) {
		missing(e, value, "event_count", "threshold: a count of more than %d", RULE_RUNS_MAX);
		return;
	}
	count->at_least = (uint32_t)value->i;
	if (field && field->type == TOML_STRING && field->len) {
		const char **one = maker_zeroed(e->m, 1, sizeof(*one));

		if (one)
			one[count->n_by++] = kept(e, field->text, field->len);
		count->by = one;
	} else if (field && field->type != TOML_STRING) {
		texts_at(e, t, "field", &count->by, &count->n_by);
	}
	if (count->n_by > RULE_KEYS_MAX)
		wrong(e, field, "field: more than %d", RULE_KEYS_MAX);
	if (cardinality)
		take_cardinality(e, cardinality, count);
	count->span_ns = take_lookback(e);
	by = field ? intern(e, field, count->by, count->n_by) : NULL;
	/* One more event is one more match, but Kibana tells of a group once at a time. */
	if (!e->out.throttle.for_ns)
		e->out.throttle.for_ns = count->span_ns;
	if (by && !e->out.throttle.n_by) {
		e->out.throttle.by = by;
		e->out.throttle.n_by = count->n_by;
	}
}

static void take_query(struct elastic *e, enum finding finding)
{
	const struct toml_node *query = text_at(e, e->rule, "query");
	struct query_count count = { 0 };
	struct place at;

	if (!query) {
		wrong(e, e->rule, "query: the rule has none");
		return;
	}
	if (finding == FIND_COUNT)
		take_threshold(e, &count);
	if (e->bad || e->m->failed)
		return;
	at = (struct place) { query->text_line, query->text_column };
	if (finding == FIND_EQL)
		e->out.query = maker_query(e->m, at, 0, e->out.id, false, query->text, query->len);
	else
		e->out.query = maker_kql(e->m, at, 0, e->out.id, finding == FIND_COUNT ? &count : NULL, query->text,
					 query->len);
	e->bad |= !e->out.query;
}

/* ---- what it says ----------------------------------------------------------------------------- */

static bool take_id(struct elastic *e)
{
	const struct toml_node *id = text_at(e, e->rule, "rule_id");

	if (!id)
		id = text_at(e, e->rule, "id");
	if (!id) {
		wrong(e, e->rule, "rule_id: the rule has none");
		return false;
	}
	if (id->len > BOOK_ID_MAX ||
	    strspn(id->text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != id->len) {
		wrong(e, id, "rule_id: is to be at most %d letters, digits and hyphens", BOOK_ID_MAX);
		return false;
	}
	e->out.id = maker_str(e->m, id->text, id->len);
	return e->out.id;
}

static void take_severity(struct elastic *e)
{
	const struct toml_node *word = text_at(e, e->rule, "severity"), *risk = toml_child(e->rule, "risk_score");
	unsigned i = 0;

	e->out.severity = BOOK_MEDIUM;
	if (word) {
		while (book_severity_names[i] && strcmp(word->text, book_severity_names[i]) != 0)
			i++;
		if (book_severity_names[i])
			e->out.severity = (enum book_severity)i;
		else
			wrong(e, word, "severity: \"%.40s\" is none", word->text);
	}
	e->out.risk = book_risk_of(e->out.severity);
	if (risk && risk->type == TOML_INTEGER && risk->i >= 0 && risk->i <= 100)
		e->out.risk = risk->i ? (uint8_t)risk->i : 1;
	else if (risk)
		wrong(e, risk, "risk_score: is to be a number from 0 to 100");
}

/* What the endpoint would do about it is not done here. */
static void tell_actions(struct elastic *e, const struct toml_node *root)
{
	const struct toml_node *actions = toml_child(root, "actions");

	if (actions && actions->type == TOML_ARRAY && actions->first)
		maker_warning(e->m, place_of(actions->first), e->out.id,
			      "actions: are not done: the rule tells, and no more");
}

static void take_rule(struct elastic *e, const struct toml_node *root)
{
	const char *version = copy_at(e, e->rule, "version");
	struct book_rule *o = &e->out;

	o->name = copy_at(e, e->rule, "name");
	if (!o->name)
		o->name = o->id;
	o->version = version ? version : "1";
	o->description = copy_at(e, e->rule, "description");
	o->author = joined_at(e, e->rule, "author", ", ");
	o->license = copy_at(e, e->rule, "license");
	o->false_positives = joined_at(e, e->rule, "false_positives", "\n");
	o->next = copy_at(e, e->rule, "note");
	texts_at(e, e->rule, toml_child(e->rule, "references") ? "references" : "reference", &o->references,
		 &o->n_references);
	texts_at(e, e->rule, "tags", &o->tags, &o->n_tags);
	take_severity(e);
	take_threats(e, toml_child(e->rule, "threat") ? e->rule : root);
	take_suppression(e);
	tell_actions(e, root);
}

void elastic_read(struct maker *m)
{
	struct toml_error error = { 0 };
	struct elastic e = { .m = m };
	struct toml_node *root = NULL;
	auto_arena struct arena arena;
	enum finding finding;
	int r;

	arena_init(&arena, TOML_MEMORY_MAX);
	r = toml_read(m->text, m->n, &arena, &error, &root);
	if (r == -ENOMEM)
		m->failed = true;
	else if (r < 0)
		maker_problem(m, (struct place) { error.line, error.column }, NULL, "%s", error.message);
	if (r < 0)
		return;
	e.rule = toml_child(root, "rule");
	if (!e.rule || e.rule->type != TOML_TABLE) {
		maker_warning(m, (struct place) { 0 }, NULL, "there is no rule in it");
		return;
	}
	e.out = (struct book_rule) { .source = BOOK_ELASTIC,
				     .file = m->file,
				     .line = e.rule->line,
				     .column = e.rule->column,
				     .content = hash_bytes(m->text, m->n, content_seed) };
	if (!take_id(&e))
		return;
	finding = take_type(&e);
	if (e.bad)
		return;
	take_rule(&e, root);
	take_query(&e, finding);
	if (e.bad || m->failed)
		maker_drop(&e.out);
	else
		maker_take(m, &e.out);
}
