/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sigma - reads files of Sigma rules: what a rule says of itself here, what it finds in rule/sigma.h.
 *
 * A file has one rule, or several documents of which some are correlations of others. A rule that a correlation is
 * about does not speak for itself, unless the correlation says `generate: true`.
 */
#include <errno.h>
#include <string.h>
#include "base/err.h"
#include "rule/sigma.h"
#include "rulebook/attack.h"
#include "rulebook/maker.h"

static const uint64_t content_seed = 0x7369676d61ULL;

static struct place place_of(const struct yaml_node *n)
{
	return (struct place) { n->line, n->column };
}

/* ---- texts: what has another form than we know is left out, for a rule is none the worse for it -------------- */

static const char *text_of(struct maker *m, const struct yaml_node *n, size_t max)
{
	size_t keep = n && n->type == YAML_SCALAR ? n->len : 0;

	if (!keep || strlen(n->text) != keep)
		return NULL;
	if (keep > max)
		for (keep = max; keep && ((unsigned char)n->text[keep] & 0xc0) == 0x80; keep--)
			;
	return maker_str(m, n->text, keep);
}

static void texts_of(struct maker *m, const struct yaml_node *list, const char *const **ret_texts, size_t *ret_n)
{
	const struct yaml_node *c = list && list->type == YAML_LIST ? list->first : list;
	const char **texts = c ? maker_zeroed(m, BOOK_LIST_MAX, sizeof(*texts)) : NULL;

	*ret_texts = texts;
	for (; c && texts && *ret_n < BOOK_LIST_MAX; c = c->next) {
		texts[*ret_n] = text_of(m, c, BOOK_TEXT_MAX);
		*ret_n += texts[*ret_n] != NULL;
		if (list->type != YAML_LIST)
			break;
	}
}

static const char *joined(struct maker *m, const struct yaml_node *list)
{
	auto_buf struct buf all = { .max = BOOK_TEXT_MAX };
	const char *const *texts = NULL;
	size_t n = 0;

	texts_of(m, list, &texts, &n);
	for (size_t i = 0; i < n; i++)
		buf_printf(&all, "%s%s", i ? "\n" : "", texts[i]);
	return all.len ? maker_str(m, buf_text(&all), all.len) : NULL;
}

/* ---- tags: attack.persistence, attack.t1053.003 ----------------------------------------------------------------- */

static void take_attack(struct maker *m, struct book_rule *rule)
{
	struct book_attack *attack = maker_zeroed(m, BOOK_LIST_MAX, sizeof(*attack));
	const char *tactic = NULL, *id;
	size_t n_tactics = 0;

	rule->attack = attack;
	for (size_t i = 0; attack && i < rule->n_tags; i++) {
		const char *tag = rule->tags[i];
		char upper[16];
		size_t n = 0;

		if (strncmp(tag, "attack.", 7) != 0)
			continue;
		tag += 7;
		for (; tag[n] && n + 1 < sizeof(upper); n++)
			upper[n] = (char)(tag[n] >= 'a' && tag[n] <= 'z' ? tag[n] - 'a' + 'A' : tag[n]);
		upper[n] = 0;
		id = attack_is_tactic(upper) ? upper : attack_tactic_id(tag, strlen(tag));
		if (id) {
			attack_set_tactic(m, &attack[rule->n_attack], id);
			tactic = attack[rule->n_attack++].tactic_id;
			n_tactics++;
		} else if (attack_is_technique(upper)) {
			attack_set_technique(m, &attack[rule->n_attack++], upper);
		}
	}
	/* Of several tactics nobody says which one a technique is for. */
	for (size_t i = 0; n_tactics == 1 && tactic && i < rule->n_attack; i++)
		if (attack[i].technique_id)
			attack_set_tactic(m, &attack[i], tactic);
}

/* ---- a rule ------------------------------------------------------------------------------------------------------ */

struct file {
	const struct yaml_node *documents;
};

static bool is_called(const struct yaml_node *rule, const char *name)
{
	static const char *const keys[] = { "name", "id", "title" };

	for (size_t i = 0; i < countof(keys); i++) {
		const struct yaml_node *n = yaml_child(rule, keys[i]);

		if (n && n->type == YAML_SCALAR && !strcmp(n->text, name))
			return true;
	}
	return false;
}

static const struct yaml_node *find(void *ctx, const char *name)
{
	const struct file *f = ctx;

	for (const struct yaml_node *c = f->documents->first; c; c = c->next)
		if (c->type == YAML_MAP && is_called(c, name))
			return c;
	return NULL;
}

/* Is some correlation of the file about this rule, and the rule only there for it? */
static bool is_part(const struct file *f, const struct yaml_node *rule)
{
	for (const struct yaml_node *c = f->documents->first; c; c = c->next) {
		const struct yaml_node *correlation = c->type == YAML_MAP ? yaml_child(c, "correlation") : NULL;
		const struct yaml_node *rules =
			correlation && correlation->type == YAML_MAP ? yaml_child(correlation, "rules") : NULL;
		const struct yaml_node *generate =
			correlation && correlation->type == YAML_MAP ? yaml_child(correlation, "generate") : NULL;

		if (!rules || c == rule || (generate && !strcmp(generate->text, "true")))
			continue;
		for (const struct yaml_node *r = rules->type == YAML_LIST ? rules->first : rules; r; r = r->next)
			if (r->type == YAML_SCALAR && is_called(rule, r->text))
				return true;
	}
	return false;
}

/* By the file's name, where a rule has no id. */
static const char *slug_of(struct maker *m, const char *file)
{
	const char *slash = strrchr(file, '/'), *p = slash ? slash + 1 : file;
	char slug[BOOK_ID_MAX + 1];
	size_t n = 0;

	for (; *p && *p != '.' && n < BOOK_ID_MAX; p++)
		slug[n++] = (*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') ? *p
			    : *p >= 'A' && *p <= 'Z'                             ? (char)(*p - 'A' + 'a')
										 : '-';
	return maker_str(m, n ? slug : "sigma", n ? n : 5);
}

static bool is_id(const char *id)
{
	return *id && strlen(id) <= BOOK_ID_MAX &&
	       !id[strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")];
}

/* One of Sigma's five words, which are ours as well; some people write them large. */
static void take_level(struct maker *m, struct book_rule *rule, const struct yaml_node *level)
{
	rule->severity = BOOK_MEDIUM;
	for (unsigned i = 0; level && book_severity_names[i]; i++)
		if (level->type == YAML_SCALAR && !strcasecmp(level->text, book_severity_names[i])) {
			rule->severity = (enum book_severity)i;
			level = NULL;
		}
	if (level)
		maker_warning(m, place_of(level), rule->id, "level: is none that we know; medium is taken");
	rule->risk = book_risk_of(rule->severity);
}

static void read_rule(struct maker *m, const struct file *f, const struct yaml_node *node)
{
	const struct yaml_node *modified = yaml_child(node, "modified");
	const char *id = text_of(m, yaml_child(node, "id"), BOOK_ID_MAX + 1);
	struct book_rule rule = { .source = BOOK_SIGMA,
				  .file = m->file,
				  .line = node->line,
				  .column = node->column,
				  .content = maker_content(node, content_seed) };

	rule.id = id && is_id(id) ? id : slug_of(m, m->file);
	rule.name = text_of(m, yaml_child(node, "title"), BOOK_TEXT_MAX);
	rule.name = rule.name ? rule.name : rule.id;
	rule.version = text_of(m, modified ? modified : yaml_child(node, "date"), BOOK_ID_MAX);
	rule.version = rule.version ? rule.version : "1";
	rule.description = text_of(m, yaml_child(node, "description"), BOOK_TEXT_MAX);
	rule.author = text_of(m, yaml_child(node, "author"), BOOK_TEXT_MAX);
	rule.license = text_of(m, yaml_child(node, "license"), BOOK_TEXT_MAX);
	rule.false_positives = joined(m, yaml_child(node, "falsepositives"));
	texts_of(m, yaml_child(node, "references"), &rule.references, &rule.n_references);
	texts_of(m, yaml_child(node, "tags"), &rule.tags, &rule.n_tags);
	take_attack(m, &rule);
	take_level(m, &rule, yaml_child(node, "level"));
	rule.query = maker_sigma(m, place_of(node), rule.id, node, find, (void *)(uintptr_t)f);
	if (rule.query)
		maker_take(m, &rule);
}

struct query *maker_sigma(struct maker *m, struct place at, const char *rule, const struct yaml_node *node,
			  const struct yaml_node *(*find_rule)(void *ctx, const char *name), void *ctx)
{
	const struct sigma_options options = { .names = SIGMA_ECS, .find = find_rule, .ctx = ctx };
	struct sigma_problem problem = { 0 };
	struct query *q = NULL;
	int r = sigma_compile(node, &options, &problem, &q);

	if (r == -ENOMEM) {
		m->failed = true;
		return NULL;
	}
	if (r == 0)
		return q;
	if (problem.diag.line)
		at = (struct place) { problem.diag.line, problem.diag.column };
	if (problem.feature)
		maker_missing(m, at, rule, problem.feature, "%s", problem.diag.message);
	else
		maker_problem(m, at, rule, "%s%s%s%s", problem.diag.message,
			      problem.diag.hint[0] ? "; did you mean \"" : "", problem.diag.hint,
			      problem.diag.hint[0] ? "\"?" : "");
	return NULL;
}

/* An older file in which one document completes the others: none of them is a rule by itself. NULL: it is not so. */
static const struct yaml_node *shared_part(const struct yaml_node *documents)
{
	for (const struct yaml_node *c = documents->first; c; c = c->next) {
		const struct yaml_node *action = c->type == YAML_MAP ? yaml_child(c, "action") : NULL;

		if (action && action->type == YAML_SCALAR && !strcmp(action->text, "global"))
			return c;
	}
	return NULL;
}

bool sigma_read_documents(struct maker *m, const struct yaml_node *documents)
{
	const struct file f = { documents };
	const struct yaml_node *shared;
	bool any = false;

	for (const struct yaml_node *c = documents->first; c && !any; c = c->next)
		any = c->type == YAML_MAP && sigma_is_rule(c);
	if (!any)
		return false;
	shared = shared_part(documents);
	if (shared) {
		maker_missing(m, place_of(yaml_child(shared, "action")->key),
			      text_of(m, yaml_child(shared, "id"), BOOK_ID_MAX), "action",
			      "collections of older rules, of which one part completes another");
		return true;
	}
	for (const struct yaml_node *c = documents->first; c; c = c->next)
		if (c->type == YAML_MAP && sigma_is_rule(c) && !is_part(&f, c))
			read_rule(m, &f, c);
	return true;
}
