/* SPDX-License-Identifier: Apache-2.0 */
/* parse_query - single events, sequences, samples, joins, and the pipes behind them. */
#include "rule/parse.h"
#include "base/utf8.h"

/* any where ..., "category" where ... */
int parse_event(struct parser *p, struct ast_term *term)
{
	int r;

	term->at = p->t.at;
	if (parse_at_reserved(p) || (!at(p, TOK_NAME) && !at(p, TOK_QUOTED) && !at(p, TOK_STRING)) || p->t.tilde)
		return parse_expected(p, "an event category (process, file, any, ...)");
	term->category_at = p->t.at;
	term->category_len = p->t.len;
	if (!at_word(p, "any"))
		term->category = p->t.str;
	r = parse_advance(p);
	if (r < 0)
		return r;
	if (!at_word(p, "where"))
		return parse_expected(p, "\"where\" behind the event category");
	r = parse_advance(p);
	r = r < 0 ? r : parse_expression(p, &term->condition);
	if (r >= 0)
		term->len = p->before.at + p->before.len - term->at;
	return r;
}

/* by a, b: at "by", or nothing. The older reference allows a comma behind the last. */
static int parse_keys(struct parser *p, struct ast_keys *keys)
{
	struct ast *key = NULL;
	int r;

	if (!at_word(p, "by"))
		return 0;
	r = parse_advance(p);
	do {
		r = r < 0 ? r : parse_expression(p, &key);
		if (r < 0)
			return r;
		if (keys->n >= RULE_KEYS_MAX)
			return fail_max(p, key->at, key->len, "more than %d keys to join by", RULE_KEYS_MAX);
		if (keys->last)
			keys->last->next = key;
		else
			keys->first = key;
		keys->last = key;
		keys->n++;
		if (!at(p, TOK_COMMA))
			return 0;
		r = parse_advance(p);
	} while (r < 0 || !is_endgame(p) || (!at(p, TOK_LBRACKET) && !at(p, TOK_END)));
	return 0;
}

/* with runs=3, behind a term; the word "with" is at hand. */
static int parse_runs(struct parser *p, struct ast_term *term)
{
	int r;

	if (is_strict(p))
		return parse_expected(p, "\"[\"");
	r = parse_advance(p);
	if (r < 0)
		return r;
	if (!at_word(p, "runs"))
		return parse_expected(p, "runs=N behind \"with\" (maxspan stands before the first \"[\")");
	r = parse_advance(p);
	r = r < 0 ? r : parse_expect(p, TOK_ASSIGN, "\"=\"");
	if (r < 0)
		return r;
	if (!at(p, TOK_INT) || p->t.i < 1)
		return parse_expected(p, "a number from 1 on");
	if (p->t.i > RULE_RUNS_MAX)
		return fail_max(p, p->t.at, p->t.len, "at most %d runs", RULE_RUNS_MAX);
	term->runs = (unsigned)p->t.i;
	return parse_advance(p);
}

/* fork, fork=true, fork=false */
static int parse_fork(struct parser *p, struct ast_term *term, bool first)
{
	struct token word = p->t;
	int r;

	r = parse_advance(p);
	if (r < 0)
		return r;
	term->fork = true;
	if (at(p, TOK_ASSIGN)) {
		r = parse_advance(p);
		if (r < 0)
			return r;
		if (!at_word(p, "true") && !at_word(p, "false"))
			return parse_expected(p, "true or false");
		term->fork = at_word(p, "true");
		r = parse_advance(p);
	}
	if (r >= 0 && term->fork && first)
		return fail_at(p, word.at, word.len, "the first term has nothing before it to fork from");
	return r;
}

enum term_place { TERM_FIRST, TERM_LATER, TERM_UNTIL };

/* [...], ![...], and what follows: by, with runs, fork, as. */
static int parse_term(struct parser *p, enum query_kind kind, enum term_place place, struct ast_term **ret_term)
{
	struct ast_term *term = arena_new(p->arena, struct ast_term);
	bool is_fork = false;
	int r;

	if (!term)
		return parse_no_memory(p);
	term->runs = 1;
	term->missing = at(p, TOK_MISSING);
	if (term->missing && (kind != QUERY_SEQUENCE || place == TERM_UNTIL || is_strict(p)))
		return fail_here(p, "![...] stands only among the terms of a sequence");
	if (!term->missing && !at(p, TOK_LBRACKET))
		return parse_expected(p, "\"[\"");
	r = parse_advance(p);
	r = r < 0 ? r : parse_event(p, term);
	r = r < 0 ? r : parse_expect(p, TOK_RBRACKET, "an operator or \"]\"");
	/* The older reference takes these in any order. */
	while (r >= 0) {
		if (at_word(p, "by") && !term->keys.n) {
			if (term->runs > 1 && !is_endgame(p))
				return fail_here(p, "\"by\" stands before \"with runs\"");
			r = parse_keys(p, &term->keys);
		} else if (at_word(p, "with") && term->runs == 1 && kind == QUERY_SEQUENCE && place != TERM_UNTIL) {
			r = parse_runs(p, term);
		} else if (at_word(p, "fork") && !is_fork && is_endgame(p) && kind == QUERY_SEQUENCE) {
			is_fork = true;
			r = parse_fork(p, term, place == TERM_FIRST);
		} else if (at_word(p, "as") && !term->alias.p && kind == QUERY_SEQUENCE && place != TERM_UNTIL &&
			   !is_strict(p)) {
			r = parse_advance(p);
			if (r >= 0 && (!at(p, TOK_NAME) || parse_at_reserved(p) || p->t.tilde))
				return parse_expected(p, "a name for what the term matches");
			term->alias = p->t.str;
			r = r < 0 ? r : parse_advance(p);
		} else {
			break;
		}
	}
	*ret_term = term;
	return r;
}

/* with maxspan=5m, at "with". */
static int parse_maxspan(struct parser *p, uint64_t *ret_ns)
{
	static const struct {
		const char *unit;
		uint64_t ns;
	} units[] = {
		{ "ms", 1000000ULL },      { "s", 1000000000ULL },     { "m", 60000000000ULL },
		{ "h", 3600000000000ULL }, { "d", 86400000000000ULL },
	};
	struct token number;
	int r;

	r = parse_advance(p);
	if (r < 0)
		return r;
	if (!at_word(p, "maxspan"))
		return parse_expected(p, "maxspan=TIME (runs=N stands behind a term)");
	r = parse_advance(p);
	r = r < 0 ? r : parse_expect(p, TOK_ASSIGN, "\"=\"");
	if (r < 0)
		return r;
	number = p->t;
	if (at(p, TOK_FLOAT))
		return fail_here(p, "maxspan is a whole number of ms, s, m, h or d");
	if (!at(p, TOK_INT) || number.i <= 0)
		return parse_expected(p, "a time such as 30s, 5m, 1h");
	r = parse_advance(p);
	if (r < 0)
		return r;
	for (size_t i = 0; i < countof(units); i++) {
		if (!at_word(p, units[i].unit))
			continue;
		if (__builtin_mul_overflow((uint64_t)number.i, units[i].ns, ret_ns) || *ret_ns > INT64_MAX)
			return fail_at(p, number.at, number.len, "this time is too long");
		return parse_advance(p);
	}
	return parse_expected(p, "a unit of time: ms, s, m, h or d");
}

static int check_missing(struct parser *p, const struct ast_query *q)
{
	unsigned positive = 0, missing = 0;

	for (const struct ast_term *t = q->first; t; t = t->next) {
		positive += !t->missing;
		missing += t->missing;
	}
	if (missing && !q->maxspan_ns)
		return fail_at(p, q->at, q->len,
			       "a sequence with ![...] needs \"with maxspan=...\": how long is missing?");
	if (!positive)
		return fail_at(p, q->at, q->len, "a sequence needs at least one term that is not missing");
	return 0;
}

static int check_keys(struct parser *p, const struct ast_query *q)
{
	const struct ast_term *first = q->first;

	for (const struct ast_term *t = first->next;; t = t->next) {
		if (!t)
			t = q->until;
		if (!t)
			break;
		if (t->keys.n != first->keys.n)
			return fail_at(p, t->at, t->len,
				       "%u join keys here, %u at the first term: every term has as many", t->keys.n,
				       first->keys.n);
		if (t == q->until)
			break;
	}
	if (q->keys.n + first->keys.n > RULE_KEYS_MAX)
		return fail_max(p, first->at, first->len, "more than %d keys to join by", RULE_KEYS_MAX);
	if (q->kind == QUERY_SAMPLE && !is_endgame(p) && !(q->keys.n + first->keys.n))
		return fail_at(p, q->at, q->len, "a sample needs something to join by");
	return 0;
}

/* sequence, sample or join, at its word. */
static int parse_terms(struct parser *p, struct ast_query *q)
{
	enum { SAMPLE_TERMS_MAX = 5 };
	struct ast_term *term;
	unsigned steps = 0;
	int r;

	r = parse_advance(p);
	r = r < 0 ? r : parse_keys(p, &q->keys);
	if (r < 0)
		return r;
	if (at_word(p, "with") && q->kind == QUERY_SEQUENCE) {
		r = parse_maxspan(p, &q->maxspan_ns);
		if (r < 0)
			return r;
		if (at_word(p, "by") && !q->keys.n) {
			if (!is_endgame(p))
				return fail_here(p, "\"by\" stands before \"with maxspan\"");
			r = parse_keys(p, &q->keys);
			if (r < 0)
				return r;
		}
	}
	do {
		r = parse_term(p, q->kind, q->n_terms ? TERM_LATER : TERM_FIRST, &term);
		if (r < 0)
			return r;
		if (q->n_terms >= RULE_STAGES_MAX)
			return fail_max(p, term->at, term->len, "more than %d terms", RULE_STAGES_MAX);
		if (q->last)
			q->last->next = term;
		else
			q->first = term;
		q->last = term;
		q->n_terms++;
		steps += term->runs;
	} while (at(p, TOK_LBRACKET) || at(p, TOK_MISSING));
	if (at_word(p, "until") && q->kind != QUERY_SAMPLE) {
		r = parse_advance(p);
		r = r < 0 ? r : parse_term(p, q->kind, TERM_UNTIL, &q->until);
		if (r < 0)
			return r;
	}
	if (steps < 2)
		return fail_at(p, q->at, q->len, "at least two terms are needed, or one with runs=2");
	if (q->kind == QUERY_SAMPLE && !is_endgame(p) && q->n_terms > SAMPLE_TERMS_MAX)
		return fail_max(p, q->at, q->len, "at most %d terms of a sample", SAMPLE_TERMS_MAX);
	r = check_keys(p, q);
	return r < 0 ? r : check_missing(p, q);
}

/* Arguments stand between commas; in the older reference blanks will do. */
static int parse_pipe_arguments(struct parser *p, struct ast_pipe *pipe)
{
	struct ast *a = NULL;
	int r;

	while (!at(p, TOK_END) && !at(p, TOK_PIPE)) {
		r = parse_expression(p, &a);
		if (r < 0)
			return r;
		if (pipe->n >= RULE_KEYS_MAX)
			return fail_max(p, a->at, a->len, "more than %d arguments of a pipe", RULE_KEYS_MAX);
		if (pipe->last)
			pipe->last->next = a;
		else
			pipe->first = a;
		pipe->last = a;
		pipe->n++;
		if (at(p, TOK_COMMA)) {
			r = parse_advance(p);
			if (r < 0)
				return r;
			if (at(p, TOK_END) || at(p, TOK_PIPE))
				return parse_expected(p, "a value behind \",\"");
		} else if (!is_endgame(p) && !at(p, TOK_END) && !at(p, TOK_PIPE)) {
			return parse_expected(p, "\"|\" or the end");
		}
	}
	return 0;
}

static int parse_pipe(struct parser *p, struct ast_pipe *pipe)
{
	static const struct {
		const char *name;
		enum query_pipe_kind kind;
		unsigned min, max;
		bool elastic;
	} pipes[] = {
		{ "head", PIPE_HEAD, 0, 1, true },
		{ "tail", PIPE_TAIL, 0, 1, true },
		{ "filter", PIPE_FILTER, 1, 1, false },
		{ "count", PIPE_COUNT, 0, RULE_KEYS_MAX, false },
		{ "unique", PIPE_UNIQUE, 1, RULE_KEYS_MAX, false },
		{ "unique_count", PIPE_UNIQUE_COUNT, 1, RULE_KEYS_MAX, false },
		{ "sort", PIPE_SORT, 1, RULE_KEYS_MAX, false },
	};
	int r;

	for (size_t i = 0; i < countof(pipes); i++) {
		if (!at_word(p, pipes[i].name))
			continue;
		if (!pipes[i].elastic && !is_endgame(p))
			return fail_here(p, "the pipe %s is of the dialect endgame; here there are head and tail",
					 pipes[i].name);
		pipe->kind = pipes[i].kind;
		pipe->at = p->t.at;
		pipe->len = p->t.len;
		r = parse_advance(p);
		r = r < 0 ? r : parse_pipe_arguments(p, pipe);
		if (r < 0)
			return r;
		if (pipe->n < pipes[i].min || pipe->n > pipes[i].max || (!is_endgame(p) && pipe->n != 1))
			return fail_at(p, pipe->at, pipe->len, "%s wants %s", pipes[i].name,
				       pipes[i].max == 1 ? "one argument" : "something to look at");
		return 0;
	}
	return parse_expected(p, is_endgame(p) ? "a pipe: head, tail, filter, count, unique, unique_count, sort"
					       : "a pipe: head or tail");
}

static int parse_pipes(struct parser *p, struct ast_query *q)
{
	struct ast_pipe **end = &q->pipes, *pipe;
	int r;

	while (at(p, TOK_PIPE)) {
		if (q->n_pipes >= RULE_PIPES_MAX)
			return fail_max(p, p->t.at, p->t.len, "more than %d pipes", RULE_PIPES_MAX);
		pipe = arena_new(p->arena, struct ast_pipe);
		if (!pipe)
			return parse_no_memory(p);
		r = parse_advance(p);
		r = r < 0 ? r : parse_pipe(p, pipe);
		if (r < 0)
			return r;
		*end = pipe;
		end = &pipe->next;
		q->n_pipes++;
	}
	return 0;
}

/* Does "category where" begin here? Else it is a bare expression. */
static bool looks_like_event(const struct parser *p)
{
	struct lexer ahead = p->lx;
	struct diag ignored;
	struct token next;
	bool found;

	ahead.diag = &ignored;
	found = lex_next(&ahead, &next) >= 0 && next.kind == TOK_NAME && str_is(next.str, "where");
	err_clear();
	return found;
}

static int parse_single(struct parser *p, struct ast_query *q)
{
	struct ast_term *term = arena_new(p->arena, struct ast_term);
	struct token begin = p->t;
	int r;

	if (!term)
		return parse_no_memory(p);
	term->runs = 1;
	q->first = q->last = term;
	q->n_terms = 1;
	if (q->kind == QUERY_CONDITION || (p->options->implied_any && !looks_like_event(p))) {
		term->at = begin.at;
		/* "| head 3": of everything. */
		if (q->kind == QUERY_EVENT && at(p, TOK_PIPE)) {
			r = parse_node(p, AST_BOOL, &begin, &term->condition);
			if (r >= 0)
				term->condition->b = true;
			return r;
		}
		r = parse_expression(p, &term->condition);
		term->len = p->before.at + p->before.len - term->at;
		return r;
	}
	return parse_event(p, term);
}

static int parse_query(struct parser *p, bool expression, struct ast_query *q)
{
	int r;

	q->at = p->t.at;
	q->len = p->t.len;
	q->kind = expression                              ? QUERY_CONDITION
		  : at_word(p, "sequence")                ? QUERY_SEQUENCE
		  : at_word(p, "sample") && !is_strict(p) ? QUERY_SAMPLE
		  : at_word(p, "join")                    ? QUERY_JOIN
							  : QUERY_EVENT;
	if (q->kind == QUERY_JOIN && !is_endgame(p))
		return fail_here(p, "\"join\" is of the dialect endgame: write \"sequence\" or \"sample\"");
	if (q->kind == QUERY_CONDITION || q->kind == QUERY_EVENT)
		r = parse_single(p, q);
	else
		r = parse_terms(p, q);
	if (r >= 0 && !expression)
		r = parse_pipes(p, q);
	if (r < 0)
		return r;
	if (!at(p, TOK_END))
		return parse_expected(p, expression ? "an operator or the end" : "an operator, \"|\" or the end");
	return 0;
}

int rule_parse(const char *text, size_t n, bool expression, const struct query_options *options, struct arena *arena,
	       struct diag *diag, struct ast_query **ret_query)
{
	struct parser p = {
		.lx = { .text = text, .n = n, .options = options, .arena = arena, .diag = diag },
		.options = options,
		.arena = arena,
	};
	struct ast_query *q = arena_new(arena, struct ast_query);
	size_t good;
	int r;

	if (n > RULE_TEXT_MAX)
		return fail_max(&p, 0, 0, "a rule of more than %d bytes", RULE_TEXT_MAX);
	good = utf8_good(text, n);
	if (good < n)
		return fail_at(&p, good, 1, "this is no UTF-8");
	if (!q)
		return parse_no_memory(&p);
	r = parse_advance(&p);
	r = r < 0 ? r : parse_query(&p, expression, q);
	if (r < 0)
		return r;
	q->text = (struct str) { text, n };
	*ret_query = q;
	return 0;
}
