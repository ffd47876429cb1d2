/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any pattern against any text: the table, the run of states and a slow matcher that tries all ways
 * to part the text agree. The first byte chooses the options; a NUL ends the pattern.
 */
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "match/fold.h"
#include "match/regex_ast.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TEXT_MAX = 24, STEPS_MAX = 200000 };

struct slow {
	const struct re_ast *ast;
	uint32_t text[TEXT_MAX];
	size_t n;
	long steps; /* it is exponential: given up when it has taken too many */
};

static bool fits(struct slow *s, const struct re_node *n, size_t from, size_t to);

static bool in_set(const struct re_set *set, uint32_t c)
{
	for (uint32_t i = 0; i < set->n; i++)
		if (c >= set->ranges[i].lo && c <= set->ranges[i].hi)
			return true;
	return false;
}

static bool cat_fits(struct slow *s, const struct re_node *kid, size_t from, size_t to)
{
	if (!kid)
		return from == to;
	for (size_t at = from; at <= to; at++)
		if (fits(s, kid, from, at) && cat_fits(s, kid->next, at, to))
			return true;
	return false;
}

static bool times_fit(struct slow *s, const struct re_node *n, uint32_t done, size_t from, size_t to)
{
	if (from == to && done >= n->min)
		return true;
	if (done >= n->max)
		return false;
	/* Empty turns are of use only to come to the least number, and then all that are missing may be empty. */
	if (done < n->min && fits(s, n->first, from, from) && from == to)
		return true;
	if (done < n->min && fits(s, n->first, from, from) && times_fit(s, n, n->min, from, to))
		return true;
	for (size_t at = from + 1; at <= to; at++)
		if (fits(s, n->first, from, at) && times_fit(s, n, done + 1, at, to))
			return true;
	return false;
}

static bool is_word(const struct slow *s, size_t at)
{
	uint32_t c = at < s->n ? s->text[at] : 0;

	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static bool place_fits(const struct slow *s, enum re_kind kind, size_t at)
{
	bool word = (at && is_word(s, at - 1)) != is_word(s, at);

	switch (kind) {
	case RE_BEGIN:
		return at == 0;
	case RE_END:
		return at == s->n;
	case RE_LINE_BEGIN:
		return at == 0 || s->text[at - 1] == '\n';
	case RE_LINE_END:
		return at == s->n || s->text[at] == '\n';
	case RE_WORD:
		return word;
	default:
		return !word;
	}
}

static bool fits(struct slow *s, const struct re_node *n, size_t from, size_t to)
{
	if (s->steps-- < 0)
		return false;
	switch (n->kind) {
	case RE_EMPTY:
		return from == to;
	case RE_NOTHING:
		return false;
	case RE_SET:
		return to == from + 1 && in_set(&s->ast->sets[n->set], s->text[from]);
	case RE_CAT:
		return cat_fits(s, n->first, from, to);
	case RE_ALT:
		for (const struct re_node *k = n->first; k; k = k->next)
			if (fits(s, k, from, to))
				return true;
		return false;
	case RE_AND:
		for (const struct re_node *k = n->first; k; k = k->next)
			if (!fits(s, k, from, to))
				return false;
		return true;
	case RE_NOT:
		return !fits(s, n->first, from, to);
	case RE_REPEAT:
		return times_fit(s, n, 0, from, to);
	default:
		return from == to && place_fits(s, n->kind, from);
	}
}

static bool part_fits(struct slow *s, const struct re_node *n, const struct regex_options *o)
{
	for (size_t from = 0; from <= (o->search ? s->n : 0); from++)
		for (size_t to = o->search || o->prefix ? from : s->n; to <= s->n; to++)
			if (fits(s, n, from, to))
				return true;
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *nul = size > 1 ? memchr(data + 1, 0, size - 1) : NULL;
	struct regex_options o = { 0 };
	AUTO(regex) table = NULL;
	AUTO(regex) states = NULL;
	auto_re_ast struct re_ast ast = { 0 };
	struct slow s = { .ast = &ast, .steps = STEPS_MAX };
	const char *text, *end, *p;
	struct re_node *node;
	struct str pattern;
	bool want, fit;

	if (!nul)
		return 0;
	o.syntax = (enum regex_syntax)(data[0] % 3);
	o.fold = data[0] & 0x40;
	o.search = data[0] & 0x20;
	o.prefix = data[0] & 0x10;
	o.escape = data[0] & 0x80;
	pattern = (struct str) { (const char *)data + 1, (size_t)(nul - data) - 1 };
	text = p = (const char *)nul + 1;
	end = (const char *)data + size;
	re_ast_init(&ast);
	if (re_parse(&ast, pattern, &o, &node) < 0) {
		if (regex_compile(&pattern, 1, &o, &table) == 0)
			abort();
		return 0;
	}
	if (regex_compile(&pattern, 1, &o, &table) < 0)
		return 0;
	o.no_table = true;
	if (regex_compile(&pattern, 1, &o, &states) < 0)
		abort();
	fit = regex_matches(table, text, (size_t)(end - text));
	if (regex_matches(states, text, (size_t)(end - text)) != fit)
		abort();
	for (s.n = 0; p < end; s.n++) {
		if (s.n == TEXT_MAX)
			return 0;
		s.text[s.n] = fold_next(&p, end);
	}
	want = part_fits(&s, node, &o);
	if (s.steps >= 0 && want != fit)
		abort();
	return 0;
}
