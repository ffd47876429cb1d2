/* SPDX-License-Identifier: Apache-2.0 */
#include "rule/macro.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/err.h"
#include "base/hash.h"
#include "base/nearest.h"
#include "rule/expand.h"
#include "rule/function.h"
#include "rule/lower.h"

enum { MESSAGE_MAX = 1024 };
/* While circles are looked for. */
enum { MARK_NEW, MARK_OPEN, MARK_DONE };

static const uint64_t content_seed = 0x6d6163726fULL;

struct macros {
	struct macro **macro; /* as they were added; in the order of names once they are finished */
	size_t n, cap;
	bool finished;
	struct arena arena; /* of all texts and trees */
};

/* Who is told, and of what. */
struct telling {
	macro_wrong_fn *wrong;
	void *ctx;
};

int macros_new(struct macros **ret_macros)
{
	struct macros *m = calloc(1, sizeof(*m));

	if (!m)
		return err_new(-ENOMEM, "no memory for macros");
	arena_init(&m->arena, RULE_ARENA_MAX);
	*ret_macros = m;
	return 0;
}

void macros_free(struct macros *m)
{
	if (!m)
		return;
	arena_free(&m->arena);
	free(m->macro);
	free(m);
}

const struct macro *macros_at(const struct macros *m, size_t i)
{
	return m && i < m->n ? m->macro[i] : NULL;
}

static int compare_name(const struct macro *m, const char *name, size_t n)
{
	const size_t len = strlen(m->name);
	int r = memcmp(m->name, name, len < n ? len : n);

	return r ? r : (len > n) - (len < n);
}

const struct macro *macros_find(const struct macros *m, const char *name, size_t n)
{
	size_t low = 0, high = m ? m->n : 0;

	while (low < high) {
		const size_t at = low + (high - low) / 2;
		const int r = compare_name(m->macro[at], name, n);

		if (r == 0)
			return m->macro[at];
		if (r < 0)
			low = at + 1;
		else
			high = at;
	}
	return NULL;
}

/* ---- what is wrong ------------------------------------------------------------------------ */

static void tell(const struct telling *t, struct macro *m, unsigned line, unsigned column, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));

static void tell(const struct telling *t, struct macro *m, unsigned line, unsigned column, const char *fmt, ...)
{
	char message[MESSAGE_MAX];
	va_list ap;

	m->wrong = m;
	va_start(ap, fmt);
	(void)vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	t->wrong(t->ctx, m, line, column, message);
}

/* What the compiler said of its text. -ENOMEM is a failure, all else is told. */
static int tell_diag(const struct telling *t, struct macro *m, int r, const struct diag *d)
{
	auto_buf struct buf message = { .max = MESSAGE_MAX };

	if (r == -ENOMEM)
		return r;
	err_clear();
	diag_say(d, &message);
	tell(t, m, m->text_line + d->line - 1, d->line == 1 ? m->text_column + d->column - 1 : m->indent + d->column,
	     "%s", buf_text(&message));
	return 0;
}

/* ---- adding ------------------------------------------------------------------------------- */

static bool is_name(const char *name)
{
	const size_t n = strlen(name);

	for (size_t i = 0; i < n; i++) {
		const char c = name[i];
		const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';

		if (!letter && (i == 0 || c < '0' || c > '9'))
			return false;
	}
	return n && n <= MACRO_NAME_MAX && !rule_is_reserved((struct str) { name, n });
}

static void check_names(const struct telling *t, struct macro *m)
{
	if (!is_name(m->name))
		tell(t, m, m->line, m->column,
		     "the name of a macro is made of letters, digits and _, begins with no digit, has at most %d "
		     "bytes, "
		     "and is no word of the language",
		     MACRO_NAME_MAX);
	else if (rule_function_find(m->name, strlen(m->name), false))
		tell(t, m, m->line, m->column, "there is a function of this name: another name for the macro");
	if (m->n_parameters > MACRO_PARAMETERS_MAX)
		tell(t, m, m->line, m->column, "more than %d parameters", MACRO_PARAMETERS_MAX);
	for (unsigned i = 0; i < m->n_parameters; i++) {
		const struct str name = { m->parameter[i], strlen(m->parameter[i]) };

		if (!is_name(name.p))
			tell(t, m, m->line, m->column,
			     "\"%s\" is no name for a parameter: letters, digits and _, at most %d, and no word of the "
			     "language",
			     name.p, MACRO_NAME_MAX);
		if (macro_parameter(m, name) < (int)i)
			tell(t, m, m->line, m->column, "two parameters are called \"%s\"", name.p);
	}
}

static int parse_body(struct macros *ms, const struct telling *t, struct macro *m)
{
	static const struct query_options options = { .dialect = RULE_ENDPOINT };
	struct ast_query *q = NULL;
	struct diag d = { .line = 1, .column = 1 };
	int r = rule_parse(m->text, m->n, true, &options, &ms->arena, &d, &q);

	if (r < 0)
		return tell_diag(t, m, r, &d);
	m->body = q->first->condition;
	return 0;
}

static bool copy_texts(struct macros *ms, struct macro *m, const struct macro *from)
{
	struct arena *a = &ms->arena;
	const char **parameter = arena_zeroed(a, from->n_parameters + 1, sizeof(*parameter));

	for (unsigned i = 0; parameter && i < from->n_parameters; i++) {
		parameter[i] = arena_str(a, from->parameter[i], strlen(from->parameter[i]));
		if (!parameter[i])
			return false;
	}
	m->parameter = parameter;
	m->name = arena_str(a, from->name, strlen(from->name));
	m->file = arena_str(a, from->file, strlen(from->file));
	m->text = arena_str(a, from->text, from->n);
	if (from->description)
		m->description = arena_str(a, from->description, strlen(from->description));
	return parameter && m->name && m->file && m->text && (!from->description || m->description);
}

static uint64_t content_of(const struct macro *m)
{
	uint64_t h = hash_bytes(m->name, strlen(m->name), content_seed);

	for (unsigned i = 0; i < m->n_parameters; i++)
		h = hash_bytes(m->parameter[i], strlen(m->parameter[i]), h);
	return hash_bytes(m->text, m->n, h);
}

int macros_add(struct macros *ms, const struct macro *macro, macro_wrong_fn *wrong, void *ctx)
{
	const struct telling t = { wrong, ctx };
	struct macro *m;

	if (ms->n == MACROS_MAX)
		return err_new(-E2BIG, "more than %d macros", MACROS_MAX);
	if (ms->n == ms->cap) {
		const size_t cap = ms->cap ? 2 * ms->cap : 64;
		struct macro **more = reallocarray(ms->macro, cap, sizeof(*more));

		if (!more)
			return err_new(-ENOMEM, "no memory for macros");
		ms->macro = more;
		ms->cap = cap;
	}
	m = arena_new(&ms->arena, struct macro);
	if (m)
		*m = *macro;
	if (!m || !copy_texts(ms, m, macro))
		return err_new(-ENOMEM, "no memory for macros");
	m->content = content_of(m);
	ms->macro[ms->n++] = m;
	check_names(&t, m);
	return parse_body(ms, &t, m);
}

/* ---- twins -------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
	const struct macro *const *ma = a, *const *mb = b;
	int r = strcmp((*ma)->name, (*mb)->name);

	/* Those that replace others stand behind them; then as files are read. */
	if (r == 0)
		r = (*ma)->replaces - (*mb)->replaces;
	if (r == 0)
		r = strcmp((*ma)->file, (*mb)->file);
	return r ? r : ((*ma)->line > (*mb)->line) - ((*ma)->line < (*mb)->line);
}

/* Of those of one name: which is called? */
static struct macro *choose(const struct telling *t, struct macro **twin, size_t n)
{
	struct macro *plain = NULL, *other = NULL;

	for (size_t i = 0; i < n; i++) {
		struct macro **one = twin[i]->replaces ? &other : &plain;

		if (*one && twin[i]->replaces)
			tell(t, twin[i], twin[i]->line, twin[i]->column,
			     "there is one that replaces the macro \"%s\" already, in %s:%u", twin[i]->name,
			     (*one)->file, (*one)->line);
		else if (*one)
			tell(t, twin[i], twin[i]->line, twin[i]->column,
			     "there is a macro \"%s\" already, in %s:%u: to stand in its place, this one says "
			     "\"replaces: true\"",
			     twin[i]->name, (*one)->file, (*one)->line);
		else
			*one = twin[i];
	}
	if (!other)
		return plain;
	other->replaced = plain;
	if (!plain)
		tell(t, other, other->line, other->column, "there is no macro \"%s\" that it could replace",
		     other->name);
	else if (plain->n_parameters != other->n_parameters)
		tell(t, other, other->line, other->column,
		     "it has %u parameters, and the one that it replaces has %u, in %s:%u", other->n_parameters,
		     plain->n_parameters, plain->file, plain->line);
	return other;
}

static void choose_all(struct macros *ms, const struct telling *t)
{
	size_t n = 0;

	if (ms->n)
		qsort(ms->macro, ms->n, sizeof(*ms->macro), by_name);
	for (size_t i = 0, next; i < ms->n; i = next) {
		for (next = i + 1; next < ms->n && !strcmp(ms->macro[i]->name, ms->macro[next]->name);)
			next++;
		ms->macro[n++] = choose(t, ms->macro + i, next - i);
	}
	ms->n = n;
}

/* ---- bodies ------------------------------------------------------------------------------- */

/* A parameter where only a constant can be, which any call has to give: one that is a text, a pattern and a network. */
static void fill(const struct macro *m, struct ast *a)
{
	static const char constant[] = "10.0.0.0/8";

	if (a->op == AST_FIELD && !a->call && macro_parameter(m, a->str) >= 0) {
		a->op = AST_STR;
		a->str = (struct str) { constant, sizeof(constant) - 1 };
	}
}

static int fill_constants(const struct telling *t, struct macro *m, struct ast *a)
{
	const struct rule_function *f = a->op == AST_CALL ? rule_function_find(a->str.p, a->str.n, false) : NULL;
	const size_t args = f ? strlen(f->args) : 0;
	size_t i = 0;

	if (f && f->form == FORM_ITEMS && a->n > 1 && a->kid->next->op == AST_FIELD && !a->call &&
	    macro_parameter(m, a->kid->next->str) >= 0) {
		tell(t, m, m->line, m->column, "\"%.*s\" is a parameter: the item of %s() needs another name",
		     (int)a->kid->next->str.n, a->kid->next->str.p, f->name);
		return -EINVAL;
	}
	for (struct ast *k = a->kid; k; k = k->next, i++) {
		const char want = args ? f->args[i < args ? i : args - 1] : 0;

		if (fill_constants(t, m, k) < 0)
			return -EINVAL;
		if ((i && (a->op == AST_LIKE || a->op == AST_REGEX || a->op == AST_COLON)) || want == 'P' ||
		    want == 'C')
			fill(m, k);
	}
	return a->op == AST_LINEAGE ? fill_constants(t, m, a->sub->first->condition) : 0;
}

/* Compiles it once with parameters that are fields of any type: what is wrong in any case is told here. */
static int try_body(const struct macros *ms, const struct telling *t, struct macro *m)
{
	const struct query_options options = { .dialect = RULE_ENDPOINT, .macros = ms };
	auto_arena struct arena scratch;
	struct ast_term term = { .runs = 1 };
	struct ast_query q = { .kind = QUERY_CONDITION, .first = &term, .last = &term, .n_terms = 1 };
	struct diag d = { .line = 1, .column = 1 };
	AUTO(query) query = NULL;
	uint64_t content;
	int r;

	arena_init(&scratch, RULE_ARENA_MAX);
	q.text = (struct str) { m->text, m->n };
	q.len = m->n;
	term.condition = macro_copy(m->body, &scratch);
	if (!term.condition)
		return err_new(-ENOMEM, "no memory for macros");
	r = macro_expand(&q, m->text, m->n, &options, m, &scratch, &d, &content);
	if (r >= 0 && fill_constants(t, m, term.condition) < 0)
		return 0;
	if (r >= 0)
		r = rule_lower(&q, m->text, m->n, &options, true, &scratch, &d, &query);
	return r < 0 ? tell_diag(t, m, r, &d) : 0;
}

/* ---- circles ------------------------------------------------------------------------------ */

struct chain {
	const struct macros *ms;
	const struct telling *t;
	int r; /* 0, or why no more is looked at */
	struct macro *link[MACRO_DEPTH_MAX + 1];
	unsigned n;
};

static void tell_chain(struct chain *c, unsigned from, const struct macro *last, const char *what)
{
	auto_buf struct buf names = { .max = MESSAGE_MAX };
	struct macro *m = c->link[from];

	for (unsigned i = from; i < c->n; i++)
		buf_printf(&names, "%s -> ", c->link[i]->name);
	tell(c->t, m, m->line, m->column, "%s: %s%s", what, buf_text(&names), last->name);
}

static void visit(struct chain *c, struct macro *m);

static void visit_calls(struct chain *c, struct macro *m, const struct ast *a)
{
	for (const struct ast *k = a->kid; k; k = k->next)
		visit_calls(c, m, k);
	if (a->op == AST_LINEAGE)
		visit_calls(c, m, a->sub->first->condition);
	if (a->op == AST_CALL) {
		struct macro *called = (struct macro *)macro_called(c->ms, m, a->str);

		if (!called)
			return;
		visit(c, called);
		/* One message is enough for all who call what is wrong. */
		m->wrong = m->wrong ?: called->wrong;
		if (called->height >= m->height)
			m->height = called->height + 1;
	}
}

static void visit(struct chain *c, struct macro *m)
{
	if (m->mark == MARK_OPEN) {
		unsigned from = 0;

		while (c->link[from] != m)
			from++;
		if (!m->wrong)
			tell_chain(c, from, m, "macros that call each other in a circle");
		return;
	}
	if (m->mark == MARK_DONE)
		return;
	if (c->n > MACRO_DEPTH_MAX) {
		tell_chain(c, 0, m, "macros within each other are too many");
		return;
	}
	m->mark = MARK_OPEN;
	m->height = 1;
	c->link[c->n++] = m;
	if (m->body)
		visit_calls(c, m, m->body);
	c->n--;
	m->mark = MARK_DONE;
	if (m->height > MACRO_DEPTH_MAX && !m->wrong)
		tell(c->t, m, m->line, m->column, "macros within each other deeper than %d", MACRO_DEPTH_MAX);
	/* Those that it calls have been tried. */
	if (c->r == 0 && !m->wrong)
		c->r = try_body(c->ms, c->t, m);
}

/* ---- all ---------------------------------------------------------------------------------- */

int macros_finish(struct macros *ms, macro_wrong_fn *wrong, void *ctx)
{
	const struct telling t = { wrong, ctx };
	struct chain c = { .ms = ms, .t = &t };

	choose_all(ms, &t);
	/* One that is replaced is no longer found by its name, but still called. */
	for (size_t i = 0; i < ms->n; i++)
		for (const struct macro *m = ms->macro[i]; m; m = m->replaced)
			visit(&c, (struct macro *)m);
	return c.r;
}
