/* SPDX-License-Identifier: Apache-2.0 */
#include "hunt/literal.h"
#include <string.h>
#include "base/mem.h"

enum { DEPTH_MAX = RULE_DEPTH_MAX, GOOD_ENOUGH = 24 };

/* Texts of which one must be there. */
struct choice {
	struct needle items[NEEDLES_MAX];
	size_t n;
	unsigned score; /* how rare the most common of them is thought to be; 0: there is no choice */
};

struct finder {
	const struct query *q;
	const struct schema *schema;
};

/* JSON has no other way to write it but \u, which is a needle of its own. A slash may be written as \/. */
static bool stands_for_itself(char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\' && c != '/';
}

/* One more text, which may be cut: the longest part of it that is written as it is. */
static bool choice_add(struct choice *c, const char *p, size_t n, bool begins, bool ends, bool fold, unsigned worth)
{
	char text[NEEDLE_BYTES_MAX];
	size_t best = 0, best_n = 0, len = 0;
	unsigned score;

	for (size_t i = 0, from = 0; i <= n; i++) {
		if (i < n && stands_for_itself(p[i]))
			continue;
		if (i - from > best_n) {
			best = from;
			best_n = i - from;
		}
		from = i + 1;
	}
	if (!best_n || c->n == NEEDLES_MAX)
		return false;
	/* The quotes around a value are as good as letters. */
	if (begins && best == 0)
		text[len++] = '"';
	ends = ends && best + best_n == n;
	if (best_n > sizeof(text) - len - ends) {
		best_n = sizeof(text) - len;
		ends = false;
	}
	memcpy(text + len, p + best, best_n);
	len += best_n;
	if (ends)
		text[len++] = '"';
	score = (unsigned)len * worth;
	c->score = c->n ? (score < c->score ? score : c->score) : score;
	c->items[c->n] = (struct needle) { .n = len, .fold = fold };
	memcpy(c->items[c->n].text, text, len);
	c->n++;
	return true;
}

/* False: both together are too many. */
static bool choice_join(struct choice *to, const struct choice *from)
{
	if (to->n + from->n > NEEDLES_MAX)
		return false;
	memcpy(to->items + to->n, from->items, from->n * sizeof(*from->items));
	to->score = to->n && to->score < from->score ? to->score : from->score;
	to->n += from->n;
	return true;
}

/* ---- what a condition needs ------------------------------------------------------------------------- */

/* Are all values of an event in its line? What stands for null is not. */
static bool has_all_values(const struct schema *schema)
{
	for (size_t i = 0; i < schema->n_fields; i++)
		if (schema->fields[i].null_value.type != VALUE_NULL)
			return false;
	return !schema->no_category;
}

/* A field whose text stands in the line as it is. */
static bool is_plain_field(const struct finder *f, const struct ir_node *n)
{
	const struct schema_field *known;

	if (n->op == IR_VALUES)
		return has_all_values(f->schema);
	if (n->op != IR_FIELD || n->field.event >= 0 ||
	    (n->type != RULE_UNKNOWN && n->type != RULE_KEYWORD && n->type != RULE_TEXT))
		return false;
	known = schema_find(f->schema, n->field.name, n->field.len);
	return (!known || known->null_value.type == VALUE_NULL) &&
	       !(f->schema->no_category && f->schema->category && !strcmp(f->schema->category, n->field.name));
}

/* Names that nearly every line has with the same few values tell little. */
static unsigned worth_of(const struct ir_node *field)
{
	static const char *const common[] = { "event.", "host.", "agent.", "event_", "opcode", "ecs.", "os." };

	for (size_t i = 0; field->op == IR_FIELD && i < countof(common); i++)
		if (!strncmp(field->field.name, common[i], strlen(common[i])))
			return 1;
	return 4;
}

static bool is_word(const char *p, size_t n, const char *word)
{
	return n == strlen(word) && !strncasecmp(p, word, n);
}

/* Could this be what a number or a boolean reads as? They have no quotes, and are equal to texts that say the same. */
static bool may_be_number(const struct ir_node *field, const char *p, size_t n)
{
	size_t digits = 0, letters = 0;

	while (digits < n && p[digits] && strchr("0123456789+-.eE*?", p[digits]))
		digits++;
	while (letters < n && p[letters] && strchr("truefalsTRUEFALS*?", p[letters]))
		letters++;
	if (field->type == RULE_TEXT)
		return false;
	return digits == n || (letters == n && (memchr(p, '*', n) || memchr(p, '?', n) || is_word(p, n, "true") ||
						is_word(p, n, "false")));
}

static bool of_text(const struct ir_node *field, const struct ir_node *text, unsigned flags, bool begins, bool ends,
		    struct choice *c)
{
	if (text->op != IR_STR || may_be_number(field, text->str.p, text->str.n))
		return false;
	return choice_add(c, text->str.p, text->str.n, begins, ends, flags & IR_FOLD, worth_of(field));
}

/* The longest run of a pattern without a wildcard. */
static bool of_pattern(const struct ir_node *field, const struct ir_node *pattern, unsigned flags, struct choice *c)
{
	const char *p = pattern->str.p;
	size_t n = pattern->str.n, best = 0, best_n = 0, from = 0;

	if (pattern->op != IR_STR || may_be_number(field, p, n))
		return false;
	for (size_t i = 0; i <= n; i++) {
		bool breaks = i == n || p[i] == '*' || (p[i] == '?' && !(flags & IR_STAR)) ||
			      (p[i] == '\\' && (flags & IR_ESCAPE));

		if (!breaks)
			continue;
		if (i - from > best_n) {
			best = from;
			best_n = i - from;
		}
		/* What is escaped is left out as well: simple, and right. */
		i += i < n && p[i] == '\\';
		from = i + 1;
	}
	return choice_add(c, p + best, best_n, best == 0, best + best_n == n, flags & IR_FOLD, worth_of(field));
}

static bool need(const struct finder *f, ir_ref ref, unsigned depth, struct choice *c);

static bool of_and(const struct finder *f, const struct ir_node *n, unsigned depth, struct choice *c)
{
	struct choice best = { 0 };

	for (uint32_t i = 0; i < n->n && best.score < GOOD_ENOUGH * 4; i++) {
		struct choice one = { 0 };

		if (need(f, n->kid[i], depth, &one) && one.score > best.score)
			best = one;
	}
	return best.score && choice_join(c, &best);
}

static bool of_or(const struct finder *f, const struct ir_node *n, unsigned depth, struct choice *c)
{
	for (uint32_t i = 0; i < n->n; i++) {
		struct choice one = { 0 };

		if (!need(f, n->kid[i], depth, &one) || !choice_join(c, &one))
			return false;
	}
	return n->n > 0;
}

static bool of_list(const struct finder *f, const struct ir_node *n, struct choice *c)
{
	const struct ir_node *field = ir_at(f->q, n->kid[0]);

	if (!is_plain_field(f, field))
		return false;
	for (uint32_t i = 1; i < n->n; i++) {
		const struct ir_node *v = ir_at(f->q, n->kid[i]);
		bool good = n->op == IR_LIKE ? of_pattern(field, v, n->flags, c)
					     : of_text(field, v, n->flags, true, true, c);

		if (!good)
			return false;
	}
	return n->n > 1;
}

static bool of_call(const struct finder *f, const struct ir_node *n, struct choice *c)
{
	bool begins = n->fn == IR_STARTS_WITH, ends = n->fn == IR_ENDS_WITH;

	if ((!begins && !ends && n->fn != IR_STRING_CONTAINS) || n->n != 2 ||
	    !is_plain_field(f, ir_at(f->q, n->kid[0])))
		return false;
	return of_text(ir_at(f->q, n->kid[0]), ir_at(f->q, n->kid[1]), n->flags, begins, ends, c);
}

static bool need(const struct finder *f, ir_ref ref, unsigned depth, struct choice *c)
{
	const struct ir_node *n = ir_at(f->q, ref), *a, *b;

	if (depth > DEPTH_MAX)
		return false;
	switch (n->op) {
	case IR_AND:
		return of_and(f, n, depth + 1, c);
	case IR_OR:
		return of_or(f, n, depth + 1, c);
	case IR_EQ:
		a = ir_at(f->q, n->kid[0]);
		b = ir_at(f->q, n->kid[1]);
		if (n->as != RULE_UNKNOWN && n->as != RULE_KEYWORD)
			return false;
		if (a->op == IR_STR)
			return is_plain_field(f, b) && of_text(b, a, n->flags, true, true, c);
		return is_plain_field(f, a) && of_text(a, b, n->flags, true, true, c);
	case IR_IN:
		if (n->as != RULE_UNKNOWN && n->as != RULE_KEYWORD)
			return false;
		return of_list(f, n, c);
	case IR_LIKE:
		return of_list(f, n, c);
	case IR_CALL:
		return of_call(f, n, c);
	default:
		return false;
	}
}

/* ---- what a query needs --------------------------------------------------------------------------------- */

static bool of_stage(const struct finder *f, const struct query_stage *s, struct choice *c)
{
	struct choice condition = { 0 }, category = { 0 };

	if (!need(f, s->condition, 0, &condition))
		condition = (struct choice) { 0 };
	/* A category is a word that many lines have: better than nothing. */
	if (!condition.score && s->category &&
	    !(f->schema->no_category && !strcmp(s->category, f->schema->no_category)))
		(void)choice_add(&category, s->category, strlen(s->category), true, true, f->q->fold, 1);
	return condition.score ? choice_join(c, &condition) : category.score && choice_join(c, &category);
}

bool literal_disguises(struct needles *set)
{
	bool folds = false;

	if (!needles_add(set, "\\u", 2, false))
		return false;
	for (size_t i = 0; i < set->n; i++)
		folds |= set->items[i].fold && (memchr(set->items[i].text, 'k', set->items[i].n) ||
						memchr(set->items[i].text, 's', set->items[i].n));
	/* The Kelvin sign is a k without case, and the long s an s. */
	return !folds || (needles_add(set, "\xe2\x84\xaa", 3, false) && needles_add(set, "\xc5\xbf", 2, false));
}

bool literal_needles(const struct query *q, const struct schema *schema, struct needles *set)
{
	const struct finder f = { q, schema };
	struct choice c = { 0 };

	/* Lineage learns from events that its subqueries never name. */
	if (q->n_subqueries)
		return false;
	for (uint32_t i = 0; i < q->n_stages; i++)
		if (!of_stage(&f, &q->stage[i], &c))
			return false;
	if (q->until && !of_stage(&f, q->until, &c))
		return false;
	for (size_t i = 0; i < c.n; i++)
		if (!needles_add(set, c.items[i].text, c.items[i].n, c.items[i].fold))
			return false;
	return c.n > 0;
}
