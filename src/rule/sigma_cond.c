/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sigma_cond - what stands under `condition`: selections, and, or, not, brackets, 1 of, all of; and the count() of
 * older rules behind a |.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "rule/sigma_lower.h"

struct parser {
	struct sigma *s;
	const struct yaml_node *node;
	size_t at;       /* behind the word */
	size_t word_at;  /* where it begins */
	struct str word; /* n 0: the end */
	unsigned depth;
};

static bool is(struct str s, const char *word)
{
	return s.n == strlen(word) && !strncasecmp(s.p, word, s.n);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void next(struct parser *p)
{
	const char *text = p->node->text;
	size_t n = p->node->len;

	while (p->at < n && is_blank(text[p->at]))
		p->at++;
	p->word_at = p->at;
	if (p->at < n && text[p->at] && strchr("()|", text[p->at]))
		p->at++;
	else
		while (p->at < n && !is_blank(text[p->at]) && !(text[p->at] && strchr("()|", text[p->at])))
			p->at++;
	p->word = (struct str) { text + p->word_at, p->at - p->word_at };
}

__attribute__((format(printf, 2, 3))) static int fail(struct parser *p, const char *fmt, ...)
{
	char message[DIAG_MESSAGE_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	return sigma_wrong_at(p->s, p->node, p->word_at, "%s", message);
}

static int any(struct parser *p, ir_ref *ret_ref);

/* ---- selections --------------------------------------------------------------------------------- */

static int use(struct parser *p, struct sigma_selection *sel, ir_ref *ret_ref)
{
	int r = 0;

	if (!sel->ref)
		r = sigma_selection(p->s, sel->node, &sel->ref);
	*ret_ref = sel->ref;
	return r;
}

static struct sigma_selection *find(const struct parser *p, struct str name)
{
	const struct sigma_scope *scope = p->s->scope;

	for (size_t i = 0; i < scope->n_selections; i++)
		if (scope->selections[i].node->key->len == name.n &&
		    !memcmp(scope->selections[i].node->key->text, name.p, name.n))
			return &scope->selections[i];
	return NULL;
}

/* A star is any text. Names are short, so trying all will do. */
static bool fits(struct str pattern, struct str name)
{
	size_t i = 0, k = 0, star = SIZE_MAX, back = 0;

	while (k < name.n) {
		if (i < pattern.n && pattern.p[i] == '*') {
			star = i++;
			back = k;
		} else if (i < pattern.n && pattern.p[i] == name.p[k]) {
			i++;
			k++;
		} else if (star != SIZE_MAX) {
			i = star + 1;
			k = ++back;
		} else {
			return false;
		}
	}
	while (i < pattern.n && pattern.p[i] == '*')
		i++;
	return i == pattern.n;
}

/* Behind `1 of` or `all of`. Names that begin with _ are not among `them`, nor what a pattern finds that does not. */
static int of(struct parser *p, bool all, ir_ref *ret_ref)
{
	const struct sigma_scope *scope = p->s->scope;
	ir_ref *refs = arena_zeroed(&p->s->scratch, scope->n_selections + 1, sizeof(*refs));
	struct str pattern = p->word;
	size_t n = 0;
	int r = 0;

	if (!refs)
		return sigma_no_memory(p->s, p->node);
	if (!pattern.n || strchr("()|", pattern.p[0]))
		return fail(p, "wanted \"them\" or the names of selections, as in selection_*");
	if (is(pattern, "them"))
		pattern = (struct str) { "*", 1 };
	for (size_t i = 0; i < scope->n_selections && r == 0; i++) {
		struct sigma_selection *sel = &scope->selections[i];
		struct str name = { sel->node->key->text, sel->node->key->len };

		if (fits(pattern, name) && (name.p[0] != '_' || pattern.p[0] == '_'))
			r = use(p, sel, &refs[n++]);
	}
	if (r < 0)
		return r;
	if (!n)
		return fail(p, "no selection is called \"%.*s\"", (int)(pattern.n > 64 ? 64 : pattern.n), pattern.p);
	*ret_ref = all ? sigma_all(p->s, refs, n) : sigma_any(p->s, refs, n);
	next(p);
	return sigma_made(p->s, p->node, *ret_ref, ret_ref);
}

/* ---- the language ---------------------------------------------------------------------------------- */

static bool is_number(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	return s.n > 0;
}

static int primary(struct parser *p, ir_ref *ret_ref)
{
	struct parser before = *p;
	struct sigma_selection *sel;
	struct str word = p->word;
	int r;

	if (!word.n)
		return fail(p, "the condition ends where a selection is wanted");
	if (is(word, "(")) {
		next(p);
		r = any(p, ret_ref);
		if (r < 0)
			return r;
		if (!is(p->word, ")"))
			return fail(p, "wanted a closing bracket");
		next(p);
		return 0;
	}
	next(p);
	if (is(p->word, "of") && (is_number(word) || is(word, "all") || is(word, "any"))) {
		if (is_number(word) && !is(word, "1"))
			return sigma_missing(p->s, p->node, "n_of", "\"%.*s of\": only 1, any and all are known",
					     (int)(word.n > 20 ? 20 : word.n), word.p);
		next(p);
		return of(p, is(word, "all"), ret_ref);
	}
	sel = find(p, word);
	if (sel) {
		return use(p, sel, ret_ref);
	}
	*p = before;
	return fail(p, "there is no selection \"%.*s\"", (int)(word.n > 64 ? 64 : word.n), word.p);
}

static int negated(struct parser *p, ir_ref *ret_ref)
{
	bool not = false;
	int r;

	/* A chain of nots needs no depth. */
	while (is(p->word, "not")) {
		not = !not;
		next(p);
	}
	r = primary(p, ret_ref);
	if (r == 0 && not)
		r = sigma_made(p->s, p->node, sigma_not(p->s, *ret_ref), ret_ref);
	return r;
}

/* Terms with `word` between them; each is what `term` reads. */
static int chain(struct parser *p, const char *word, int (*term)(struct parser *, ir_ref *),
		 ir_ref (*join)(struct sigma *, const ir_ref *, size_t), ir_ref *ret_ref)
{
	ir_ref *refs = NULL;
	size_t n = 0, cap = 0;
	int r;

	for (;;) {
		if (n == cap) {
			ir_ref *more = arena_zeroed(&p->s->scratch, cap ? 2 * cap : 4, sizeof(*refs));

			if (!more)
				return sigma_no_memory(p->s, p->node);
			if (n)
				memcpy(more, refs, n * sizeof(*refs));
			refs = more;
			cap = cap ? 2 * cap : 4;
		}
		r = term(p, &refs[n++]);
		if (r < 0)
			return r;
		if (!is(p->word, word))
			break;
		if (n == RULE_LIST_MAX)
			return fail(p, "more than %d terms", RULE_LIST_MAX);
		next(p);
	}
	return sigma_made(p->s, p->node, join(p->s, refs, n), ret_ref);
}

static int all(struct parser *p, ir_ref *ret_ref)
{
	return chain(p, "and", negated, sigma_all, ret_ref);
}

static int any(struct parser *p, ir_ref *ret_ref)
{
	int r;

	if (++p->depth > RULE_DEPTH_MAX)
		return fail(p, "brackets more than %d deep", RULE_DEPTH_MAX);
	r = chain(p, "or", all, sigma_any, ret_ref);
	p->depth--;
	return r;
}

/* ---- count() ------------------------------------------------------------------------------------------ */

static int bracketed_field(struct parser *p, struct str *ret_field)
{
	next(p);
	if (!is(p->word, "("))
		return fail(p, "wanted count() or count(FIELD)");
	next(p);
	*ret_field = (struct str) { 0 };
	if (!is(p->word, ")")) {
		*ret_field = p->word;
		next(p);
	}
	if (!p->word.n || !is(p->word, ")"))
		return fail(p, "wanted a closing bracket");
	next(p);
	return 0;
}

static int aggregation(struct parser *p, struct sigma_aggregation *to)
{
	static const char *const others[] = { "near", "min", "max", "avg", "sum" };
	char *end, number[32];
	int r;

	for (size_t i = 0; i < countof(others); i++)
		if (is(p->word, others[i]))
			return sigma_missing(p->s, p->node, "aggregation",
					     "\"%s\" of older rules: only count() is known", others[i]);
	if (!is(p->word, "count"))
		return fail(p, "behind | only count() is known");
	r = bracketed_field(p, &to->field);
	if (r < 0)
		return r;
	if (is(p->word, "by")) {
		next(p);
		to->by = p->word;
		if (!to->by.n || strchr("()|<>=", to->by.p[0]))
			return fail(p, "wanted the name of a field");
		next(p);
	}
	if (!is(p->word, ">") && !is(p->word, ">="))
		return is(p->word, "<") || is(p->word, "<=") || is(p->word, "=") || is(p->word, "==")
			       ? sigma_missing(p->s, p->node, "count_below", "a count that must stay below a number")
			       : fail(p, "wanted > or >= and a number");
	to->at_least = is(p->word, ">=");
	next(p);
	if (!is_number(p->word) || p->word.n >= sizeof(number))
		return fail(p, "wanted a number");
	memcpy(number, p->word.p, p->word.n);
	number[p->word.n] = 0;
	errno = 0;
	to->number = strtoull(number, &end, 10);
	if (errno)
		return fail(p, "this number is too large");
	next(p);
	to->is_there = true;
	to->at = p->node;
	return 0;
}

static int parse(struct sigma *s, const struct yaml_node *node, ir_ref *ret_ref, struct sigma_aggregation *aggregated)
{
	struct parser p = { .s = s, .node = node };
	int r;

	if (node->type != YAML_SCALAR)
		return sigma_wrong(s, node, "a condition is a text, not %s", yaml_type_name(node));
	next(&p);
	r = any(&p, ret_ref);
	if (r == 0 && is(p.word, "|")) {
		next(&p);
		r = aggregation(&p, aggregated);
	}
	if (r == 0 && p.word.n)
		return fail(&p, "wanted \"and\", \"or\" or the end, not \"%.*s\"", (int)(p.word.n > 64 ? 64 : p.word.n),
			    p.word.p);
	return r;
}

int sigma_parse(struct sigma *s, const struct yaml_node *condition, ir_ref *ret_ref,
		struct sigma_aggregation *ret_aggregation)
{
	ir_ref *refs;
	size_t n = 0;
	int r = 0;

	*ret_aggregation = (struct sigma_aggregation) { 0 };
	if (condition->type != YAML_LIST)
		return parse(s, condition, ret_ref, ret_aggregation);
	if (!condition->n)
		return sigma_wrong(s, condition, "an empty list of conditions");
	refs = arena_zeroed(&s->scratch, condition->n, sizeof(*refs));
	if (!refs)
		return sigma_no_memory(s, condition);
	for (const struct yaml_node *v = condition->first; v && r == 0; v = v->next) {
		r = parse(s, v, &refs[n++], ret_aggregation);
		if (r == 0 && ret_aggregation->is_there && condition->n > 1)
			r = sigma_missing(s, v, "aggregation", "count() in one of several conditions");
	}
	return r < 0 ? r : sigma_made(s, condition, sigma_any(s, refs, n), ret_ref);
}
