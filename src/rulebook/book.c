/* SPDX-License-Identifier: Apache-2.0 */
#include "rulebook/book.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "base/err.h"
#include "predicate/predicate.h"
#include "rulebook/attack.h"
#include "rulebook/maker.h"

enum { MESSAGE_MAX = 1024, NAMED_PROBLEMS = 5 };

const char *const book_severity_names[] = {
	[BOOK_INFORMATIONAL] = "informational",
	[BOOK_LOW] = "low",
	[BOOK_MEDIUM] = "medium",
	[BOOK_HIGH] = "high",
	[BOOK_CRITICAL] = "critical",
	NULL,
};
const char *const book_source_names[] = {
	[BOOK_OWN] = "own",
	[BOOK_SIGMA] = "sigma",
	[BOOK_ELASTIC] = "elastic",
	NULL,
};
const char *const book_mode_names[] = {
	[BOOK_DETECT] = "detect",
	[BOOK_INLINE] = "inline",
	[BOOK_OFF] = "off",
	NULL,
};

static const uint8_t risks[] = { 5, 21, 47, 73, 99 };

uint8_t book_risk_of(enum book_severity severity)
{
	return risks[severity];
}

/* The one whose number is nearest. */
enum book_severity book_severity_of(unsigned risk)
{
	size_t i = 0;

	while (i + 1 < countof(risks) && 2 * risk >= (unsigned)risks[i] + risks[i + 1])
		i++;
	return (enum book_severity)i;
}

/* ---- making ----------------------------------------------------------------------------------- */

char *maker_str(struct maker *m, const char *p, size_t n)
{
	char *s = arena_str(&m->book->arena, p, n);

	m->failed |= !s;
	return s;
}

void *maker_zeroed(struct maker *m, size_t n, size_t size)
{
	void *p = arena_zeroed(&m->book->arena, n, size);

	m->failed |= !p;
	return p;
}

/* Room for one more; the array grows by half. False: no memory. */
static bool grow(struct maker *m, void **array, size_t n, size_t size, size_t *cap)
{
	size_t more = *cap + *cap / 2 + 16;
	void *p;

	if (n < *cap)
		return true;
	p = reallocarray(*array, more, size);
	if (!p) {
		m->failed = true;
		return false;
	}
	*array = p;
	*cap = more;
	return true;
}

static void add_problem(struct maker *m, struct place at, const char *rule, const char *feature, bool is_warning,
			const char *fmt, va_list ap)
{
	struct book *b = m->book;
	char message[MESSAGE_MAX];

	if (!is_warning)
		b->n_wrong++;
	if (b->n_problems == BOOK_PROBLEMS_MAX ||
	    !grow(m, (void **)&b->problem, b->n_problems, sizeof(*b->problem), &m->problems_cap))
		return;
	(void)vsnprintf(message, sizeof(message), fmt, ap);
	b->problem[b->n_problems++] = (struct book_problem) {
		.file = m->file,
		.line = at.line,
		.column = at.column,
		.rule = rule ? maker_str(m, rule, strlen(rule)) : NULL,
		.message = maker_str(m, message, strlen(message)),
		/* Copied: it may be a word of the file. */
		.feature = feature ? maker_str(m, feature, strlen(feature)) : NULL,
		.is_warning = is_warning,
		.is_definition = definitions_is(m->file),
	};
}

void maker_problem(struct maker *m, struct place at, const char *rule, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add_problem(m, at, rule, NULL, false, fmt, ap);
	va_end(ap);
}

void maker_warning(struct maker *m, struct place at, const char *rule, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add_problem(m, at, rule, NULL, true, fmt, ap);
	va_end(ap);
}

void maker_missing(struct maker *m, struct place at, const char *rule, const char *feature, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add_problem(m, at, rule, feature, false, fmt, ap);
	va_end(ap);
}

void maker_drop(struct book_rule *rule)
{
	query_free(rule->query);
	script_code_free(rule->script);
	for (size_t i = 0; i < rule->n_exceptions; i++) {
		program_free(rule->exception[i].program);
		query_free(rule->exception[i].where);
	}
	*rule = (struct book_rule) { 0 };
}

void maker_take(struct maker *m, struct book_rule *rule)
{
	struct book *b = m->book;

	m->too_many |= b->n_rules == BOOK_RULES_MAX;
	if (m->too_many || !grow(m, (void **)&b->rule, b->n_rules, sizeof(*b->rule), &m->rules_cap)) {
		maker_drop(rule);
		return;
	}
	b->rule[b->n_rules++] = *rule;
	*rule = (struct book_rule) { 0 };
}

int book_write_out(const struct book *book, const struct query *q, struct buf *out)
{
	const struct query_options options = { .dialect = RULE_ENDPOINT, .macros = book->macros };
	struct diag d;

	return macros_write_out(q->text, q->text_len, q->kind == QUERY_CONDITION, &options, &d, out);
}

static struct query *compile(struct maker *m, struct place at, unsigned indent, const char *rule, bool is_condition,
			     const struct query_options *options, const char *text, size_t n)
{
	struct query *q = NULL;
	struct diag d = { 0 };
	int r = is_condition ? condition_compile(text, n, options, &d, &q) : query_compile(text, n, options, &d, &q);

	if (r == -ENOMEM) {
		m->failed = true;
		return NULL;
	}
	if (r < 0) {
		auto_buf struct buf said = { .max = MESSAGE_MAX };
		struct place place = { at.line + d.line - 1,
				       d.line == 1 ? at.column + d.column - 1 : indent + d.column };

		diag_say(&d, &said);
		/* Perhaps the rule was taken without its macros, or they stand in a part of the folder that was not
		 * read. */
		if (d.unknown_call && m->is_alone)
			buf_str(&said, "; of a file by itself, macros are looked for beside it and in the folders "
				       "above it");
		else if (d.unknown_call && m->is_file && !d.hint[0])
			buf_str(&said, "; no file called macros.yaml or NAME.macros.yaml in the folder defines it as a "
				       "macro");
		if (d.feature)
			maker_missing(m, place, rule, d.feature, "%s", buf_text(&said));
		else
			maker_problem(m, place, rule, "%s", buf_text(&said));
		return NULL;
	}
	return q;
}

struct query *maker_query(struct maker *m, struct place at, unsigned indent, const char *rule, bool is_condition,
			  const char *text, size_t n)
{
	const struct query_options options = { .dialect = RULE_ENDPOINT, .macros = m->macros };

	return compile(m, at, indent, rule, is_condition, &options, text, n);
}

struct query *maker_kql(struct maker *m, struct place at, unsigned indent, const char *rule,
			const struct query_count *count, const char *text, size_t n)
{
	const struct query_options options = { .dialect = RULE_KQL, .count = count };

	return compile(m, at, indent, rule, false, &options, text, n);
}

void attack_set_tactic(struct maker *m, struct book_attack *a, const char *id)
{
	a->tactic_id = maker_str(m, id, strlen(id));
	a->tactic = attack_tactic_name(id);
}

void attack_set_technique(struct maker *m, struct book_attack *a, const char *id)
{
	char whole[6];

	(void)snprintf(whole, sizeof(whole), "%s", id);
	a->technique_id = maker_str(m, whole, strlen(whole));
	a->technique = attack_technique_name(whole);
	if (id[strlen(whole)]) {
		a->sub_id = maker_str(m, id, strlen(id));
		a->sub = attack_technique_name(id);
	}
}

/* ---- the whole -------------------------------------------------------------------------------- */

static int by_id(const void *a, const void *b)
{
	const struct book_rule *ra = a, *rb = b;
	int r = strcmp(ra->id, rb->id);

	if (r == 0)
		r = strcmp(ra->file, rb->file);
	return r ? r : (ra->line > rb->line) - (ra->line < rb->line);
}

static int by_place(const void *a, const void *b)
{
	const struct book_problem *pa = a, *pb = b;
	int r = pb->is_definition - pa->is_definition;

	if (r == 0)
		r = strcmp(pa->file, pb->file);
	if (r == 0)
		r = (pa->line > pb->line) - (pa->line < pb->line);
	return r ? r : (pa->column > pb->column) - (pa->column < pb->column);
}

/* Of rules with one id the first stays. */
static void refuse_twins(struct maker *m)
{
	struct book *b = m->book;
	size_t n = 0;

	for (size_t i = 0; i < b->n_rules; i++) {
		struct book_rule *rule = &b->rule[i];

		if (n && !strcmp(b->rule[n - 1].id, rule->id)) {
			m->file = rule->file;
			maker_problem(m, (struct place) { rule->line, rule->column }, rule->id,
				      "there is a rule \"%s\" already, in %s:%u", rule->id, b->rule[n - 1].file,
				      b->rule[n - 1].line);
			maker_drop(rule);
			continue;
		}
		if (n != i) {
			b->rule[n] = *rule;
			*rule = (struct book_rule) { 0 };
		}
		n++;
	}
	b->n_rules = n;
}

int maker_open(struct maker *m, const struct book_options *options)
{
	int r;

	*m = (struct maker) { .options = options ? *options : (struct book_options) { 0 } };
	m->book = calloc(1, sizeof(*m->book));
	if (!m->book)
		return err_new(-ENOMEM, "no memory for rules");
	m->book->refs = 1;
	arena_init(&m->book->arena, BOOK_BYTES_MAX);
	r = macros_new(&m->book->macros);
	if (r < 0) {
		book_free(m->book);
		return r;
	}
	m->macros = m->book->macros;
	return 0;
}

int maker_close(struct maker *m, int r, struct book **ret_book)
{
	AUTO(book) b = take(m->book);

	if (r == 0 && b->n_rules) {
		qsort(b->rule, b->n_rules, sizeof(*b->rule), by_id);
		m->book = b;
		refuse_twins(m);
		m->book = NULL;
	}
	if (r == 0 && m->failed)
		r = err_new(-ENOMEM, "no memory for rules");
	if (r == 0 && m->too_many)
		r = err_new(-E2BIG, "more than %d rules", BOOK_RULES_MAX);
	if (r < 0)
		return r;
	if (b->n_problems)
		qsort(b->problem, b->n_problems, sizeof(*b->problem), by_place);
	*ret_book = take(b);
	return 0;
}

/* ---- for readers ------------------------------------------------------------------------------ */

void book_problem_write(const struct book_problem *p, struct buf *out)
{
	buf_str(out, p->file);
	if (p->line)
		buf_printf(out, ":%u:%u", p->line, p->column);
	buf_str(out, p->is_warning ? ": warning: " : ": ");
	if (p->rule)
		buf_printf(out, "%s: ", p->rule);
	buf_str(out, p->message);
}

int book_must_be_whole(const struct book *book)
{
	auto_buf struct buf text = { .max = NAMED_PROBLEMS * (2 * MESSAGE_MAX) };
	size_t named = 0;

	if (!book->n_wrong)
		return 0;
	for (size_t i = 0; i < book->n_problems && named < NAMED_PROBLEMS; i++) {
		if (book->problem[i].is_warning)
			continue;
		buf_str(&text, named++ ? "; " : "");
		book_problem_write(&book->problem[i], &text);
	}
	if (book->n_wrong > named)
		buf_printf(&text, "; and %zu more", book->n_wrong - named);
	return err_new(-EINVAL, "%s", buf_text(&text));
}

bool book_is_local(const struct query *q)
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

const struct book_rule *book_find(const struct book *book, const char *id)
{
	size_t low = 0, high = book->n_rules;

	while (low < high) {
		size_t at = low + (high - low) / 2;
		int r = strcmp(id, book->rule[at].id);

		if (r == 0)
			return &book->rule[at];
		if (r < 0)
			high = at;
		else
			low = at + 1;
	}
	return NULL;
}

struct book *book_ref(struct book *book)
{
	atomic_fetch_add_explicit(&book->refs, 1, memory_order_relaxed);
	return book;
}

void book_free(struct book *book)
{
	if (!book || atomic_fetch_sub_explicit(&book->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < book->n_rules; i++)
		maker_drop(&book->rule[i]);
	free(book->rule);
	free(book->problem);
	macros_free(book->macros);
	arena_free(&book->arena);
	free(book);
}
