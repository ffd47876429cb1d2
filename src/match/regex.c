/* SPDX-License-Identifier: Apache-2.0 */
/*
 * regex - from read patterns to automata.
 *
 * All characters that no pattern tells apart are one class. The nodes become states with moves on
 * classes and without (an NFA); sets of states that can be reached together become rows of a table
 * (a DFA), while it stays within REGEX_TABLE_MAX cells. A list of patterns that does not fit into one
 * table is halved and tried again; one pattern that does not is run on the NFA.
 *
 * Complement and intersection need the table of what they are about; its rows then become states.
 */
#include "match/regex.h"
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "base/hash.h"
#include "match/fold.h"
#include "match/regex_ast.h"

enum {
	CLASSES_MAX = 2048,
	BOUNDS_MAX = 1 << 16,
	/* Steps of building one table. */
	WORK_MAX = 1 << 19,
	DFA_MAX = 8192, /* states, while a table is being made */
	EMIT_DEPTH_MAX = 4 * REGEX_DEPTH_MAX,
	/* The first rows of a table. */
	DEAD = 0, /* nothing that follows can fit */
	SURE = 1, /* whatever follows fits */
};

enum op {
	OP_SET,  /* a character of class mask `mask`, then out[0] */
	OP_FORK, /* out[0] or out[1] */
	OP_GO,   /* out[0] */
	OP_ACCEPT,
	OP_STOP,
	OP_PLACE, /* out[0], if the place is `mask` (enum re_kind) */
};

struct state {
	uint8_t op;
	uint16_t mask;
	uint16_t out[2];
};

/* What a character means beyond its class, where a pattern asks for places. */
enum side { SIDE_EDGE, SIDE_WORD, SIDE_LINE, SIDE_OTHER, SIDE_N };

struct classes {
	uint16_t ascii[128];
	uint32_t *from; /* beyond ASCII: where the i-th run begins, and its class */
	uint16_t *of;
	uint32_t n_runs;
	uint32_t n;
	uint8_t *side; /* of each class; NULL: no places */
};

/* One automaton: a table, or states. */
struct automaton {
	uint16_t *table;    /* of DEAD, SURE and the other rows: where the next row begins */
	uint32_t first;     /* where its first row begins */
	uint32_t accepting; /* from here on rows accept */

	struct state *states;
	uint32_t n_states, start;
	size_t bytes;
};

struct regex {
	struct classes classes;
	uint64_t *masks; /* words_each a mask */
	uint32_t words_each, n_masks;
	bool has_places;
	size_t n, bytes;
	struct automaton *automata;
};

static void automaton_close(struct automaton *a)
{
	free(a->table);
	free(a->states);
}

void regex_free(struct regex *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->n; i++)
		automaton_close(&r->automata[i]);
	free(r->automata);
	free(r->classes.from);
	free(r->classes.of);
	free(r->classes.side);
	free(r->masks);
	free(r);
}

bool regex_is_table(const struct regex *r)
{
	for (size_t i = 0; i < r->n; i++)
		if (!r->automata[i].table)
			return false;
	return true;
}

size_t regex_size(const struct regex *r)
{
	return r->bytes;
}

/* ---- classes ------------------------------------------------------------------------------------------ */

static uint32_t class_of(const struct classes *c, uint32_t code)
{
	uint32_t low = 0, high = c->n_runs;

	if (code < 128)
		return c->ascii[code];
	while (high - low > 1) {
		uint32_t middle = (low + high) / 2;

		if (c->from[middle] <= code)
			low = middle;
		else
			high = middle;
	}
	return c->of[low];
}

static int by_code(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static bool is_word(uint32_t code)
{
	return (code | 0x20) - 'a' < 26 || code - '0' < 10 || code == '_';
}

/* Where characters begin to differ. */
static int find_bounds(const struct re_ast *ast, uint32_t **ret_bounds, uint32_t *ret_n)
{
	static const uint32_t places[] = { '\n', '\n' + 1, '0', '9' + 1, 'A', 'Z' + 1, '_', '_' + 1, 'a', 'z' + 1 };
	auto_free uint32_t *bounds = NULL;
	size_t n = 1 + countof(places);
	uint32_t used = 0;

	for (uint32_t i = 0; i < ast->n_sets; i++)
		n += 2 * (size_t)ast->sets[i].n;
	bounds = calloc(n, sizeof(*bounds));
	if (!bounds)
		return err_new(-ENOMEM, "no memory for a pattern");
	n = 1;
	for (size_t i = 0; ast->has_places && i < countof(places); i++)
		bounds[n++] = places[i];
	for (uint32_t i = 0; i < ast->n_sets; i++)
		for (uint32_t k = 0; k < ast->sets[i].n; k++) {
			bounds[n++] = ast->sets[i].ranges[k].lo;
			if (ast->sets[i].ranges[k].hi < FOLD_CODE_MAX)
				bounds[n++] = ast->sets[i].ranges[k].hi + 1;
		}
	qsort(bounds, n, sizeof(*bounds), by_code);
	for (size_t i = 0; i < n; i++)
		if (!used || bounds[used - 1] != bounds[i])
			bounds[used++] = bounds[i];
	if (used > BOUNDS_MAX)
		return err_new(-E2BIG, "a pattern with too many different characters");
	*ret_bounds = take(bounds);
	*ret_n = used;
	return 0;
}

static uint32_t run_at(const uint32_t *bounds, uint32_t n, uint32_t code)
{
	const uint32_t *at = bsearch(&code, bounds, n, sizeof(code), by_code);

	return at ? (uint32_t)(at - bounds) : n;
}

/* Parts the runs between bounds by who is in which set. */
static int part_runs(const struct re_ast *ast, const uint32_t *bounds, uint32_t n, uint32_t *of, uint32_t *ret_n)
{
	/* A set may split every class there is, so there are never more than twice as many as runs. */
	size_t size = 2 * (size_t)n + 2;
	auto_free uint32_t *twin = calloc(size, 2 * sizeof(*twin));
	uint32_t *stamp, n_classes = 1;

	if (!twin)
		return err_new(-ENOMEM, "no memory for a pattern");
	/* twin[c]: the class that what is in this set and was of class c now has; stamp: for which set that holds. */
	stamp = twin + size;
	for (uint32_t s = 0; s < ast->n_sets; s++) {
		const struct re_set *set = &ast->sets[s];

		for (uint32_t k = 0; k < set->n; k++) {
			uint32_t first = run_at(bounds, n, set->ranges[k].lo);
			uint32_t last =
				set->ranges[k].hi < FOLD_CODE_MAX ? run_at(bounds, n, set->ranges[k].hi + 1) : n;

			for (uint32_t i = first; i < last; i++) {
				if (stamp[of[i]] != s + 1) {
					stamp[of[i]] = s + 1;
					twin[of[i]] = n_classes++;
				}
				of[i] = twin[of[i]];
			}
		}
		/* Classes that nobody is left in lose their numbers. */
		if (n_classes > n / 2 || s + 1 == ast->n_sets) {
			memset(twin, 0, size * 2 * sizeof(*twin));
			n_classes = 0;
			for (uint32_t i = 0; i < n; i++) {
				if (!twin[of[i]])
					twin[of[i]] = ++n_classes;
				of[i] = twin[of[i]] - 1;
			}
			memset(twin, 0, size * 2 * sizeof(*twin));
		}
	}
	*ret_n = n_classes;
	return 0;
}

static enum side side_of(uint32_t code)
{
	return code == '\n' ? SIDE_LINE : is_word(code) ? SIDE_WORD : SIDE_OTHER;
}

/* With places, a class is of one side: the bounds keep sides apart, and here classes of several sides are split. */
static void part_by_side(const uint32_t *bounds, uint32_t n, uint32_t *of, uint32_t *n_classes, uint32_t *room)
{
	uint32_t n_new = 0;

	memset(room, 0, (size_t)*n_classes * SIDE_N * sizeof(*room));
	for (uint32_t i = 0; i < n; i++) {
		uint32_t *to = &room[of[i] * SIDE_N + side_of(bounds[i])];

		if (!*to)
			*to = ++n_new;
		of[i] = *to - 1;
	}
	*n_classes = n_new;
}

static int make_classes(struct regex *r, const struct re_ast *ast)
{
	auto_free uint32_t *bounds = NULL, *of = NULL, *room = NULL;
	struct classes *c = &r->classes;
	uint32_t n;
	int e = find_bounds(ast, &bounds, &n);

	if (e < 0)
		return e;
	of = calloc(n, sizeof(*of));
	if (!of)
		return err_new(-ENOMEM, "no memory for a pattern");
	c->n = 1;
	if (ast->n_sets)
		e = part_runs(ast, bounds, n, of, &c->n);
	if (e < 0)
		return e;
	if (ast->has_places) {
		room = calloc((size_t)c->n * SIDE_N, sizeof(*room));
		if (!room)
			return err_new(-ENOMEM, "no memory for a pattern");
		part_by_side(bounds, n, of, &c->n, room);
	}
	if (c->n > CLASSES_MAX)
		return err_new(-E2BIG, "a pattern with more than %d different characters", CLASSES_MAX);
	c->from = calloc(n, sizeof(*c->from));
	c->of = calloc(n, sizeof(*c->of));
	c->side = ast->has_places ? calloc(c->n, 1) : NULL;
	if (!c->from || !c->of || (ast->has_places && !c->side))
		return err_new(-ENOMEM, "no memory for a pattern");
	for (uint32_t i = 0; i < n; i++) {
		c->from[i] = bounds[i];
		c->of[i] = (uint16_t)of[i];
		if (c->side)
			c->side[of[i]] = (uint8_t)side_of(bounds[i]);
		for (uint32_t code = bounds[i]; code < 128 && (i + 1 == n || code < bounds[i + 1]); code++)
			c->ascii[code] = (uint16_t)of[i];
	}
	c->n_runs = n;
	r->bytes += n * (sizeof(*c->from) + sizeof(*c->of));
	return 0;
}

/* A mask of classes for each set, and, as they are needed, for the moves of tables that became states. */
static int make_masks(struct regex *r, const struct re_ast *ast)
{
	r->words_each = (r->classes.n + 63) / 64;
	r->n_masks = ast->n_sets;
	r->masks = calloc((size_t)r->words_each * (r->n_masks ? r->n_masks : 1), sizeof(*r->masks));
	if (!r->masks)
		return err_new(-ENOMEM, "no memory for a pattern");
	for (uint32_t s = 0; s < ast->n_sets; s++)
		for (uint32_t k = 0; k < ast->sets[s].n; k++)
			for (uint32_t i = run_at(r->classes.from, r->classes.n_runs, ast->sets[s].ranges[k].lo);
			     i < r->classes.n_runs && r->classes.from[i] <= ast->sets[s].ranges[k].hi; i++)
				r->masks[(size_t)s * r->words_each + r->classes.of[i] / 64] |= 1ULL
											       << r->classes.of[i] % 64;
	return 0;
}

static int add_mask(struct regex *r, const uint64_t *mask, uint16_t *ret_mask)
{
	size_t size = r->words_each * sizeof(*mask);
	void *p;

	for (uint32_t i = 0; i < r->n_masks; i++)
		if (!memcmp(r->masks + (size_t)i * r->words_each, mask, size)) {
			*ret_mask = (uint16_t)i;
			return 0;
		}
	if (r->n_masks == UINT16_MAX)
		return err_new(-E2BIG, "regular expression: too complex");
	p = realloc(r->masks, (r->n_masks + 1) * size);
	if (!p)
		return err_new(-ENOMEM, "no memory for a pattern");
	r->masks = p;
	memcpy(r->masks + (size_t)r->n_masks * r->words_each, mask, size);
	*ret_mask = (uint16_t)r->n_masks++;
	return 0;
}

static bool mask_has(const struct regex *r, uint16_t mask, uint32_t class)
{
	return r->masks[(size_t)mask * r->words_each + class / 64] >> class % 64 & 1;
}

static bool mask_is_full(const struct regex *r, uint16_t mask)
{
	const uint64_t *m = r->masks + (size_t)mask * r->words_each;
	uint32_t left = r->classes.n;

	for (; left >= 64; left -= 64)
		if (~*m++)
			return false;
	return !left || *m == (1ULL << left) - 1;
}

/* ---- states ------------------------------------------------------------------------------------------------- */

struct nfa {
	struct regex *r;
	struct state *states;
	uint32_t n;
	int error;
};

static uint16_t add_state(struct nfa *nfa, enum op op, uint32_t mask, uint16_t a, uint16_t b)
{
	if (nfa->n == REGEX_STATES_MAX) {
		if (!nfa->error)
			nfa->error =
				err_new(-E2BIG, "regular expression: too large: written out it has more than %d places",
					REGEX_STATES_MAX);
		return 0;
	}
	nfa->states[nfa->n] = (struct state) { (uint8_t)op, (uint16_t)mask, { a, b } };
	return (uint16_t)nfa->n++;
}

/* A table while it is made: which row follows which, for each class. */
struct dfa {
	uint32_t n, n_classes;
	uint16_t *next; /* DFA_MAX rows at the most */
	uint8_t *accepts;
};

static void dfa_close(struct dfa *d)
{
	free(d->next);
	free(d->accepts);
}
#define auto_dfa __attribute__((cleanup(dfa_close)))

static int determinise(const struct regex *r, const struct state *states, uint32_t n_states, uint32_t start,
		       size_t cells_max, struct dfa *ret_dfa);

static uint16_t emit(struct nfa *nfa, const struct re_node *n, uint16_t next, unsigned depth);

static uint16_t emit_repeat(struct nfa *nfa, const struct re_node *n, uint16_t next, unsigned depth)
{
	uint16_t to = next;

	if (n->max == RE_MANY) {
		uint16_t loop = add_state(nfa, OP_FORK, 0, 0, next);

		if (!nfa->error)
			nfa->states[loop].out[0] = emit(nfa, n->first, loop, depth);
		to = loop;
	} else {
		for (uint32_t i = n->min; i < n->max && !nfa->error; i++)
			to = add_state(nfa, OP_FORK, 0, emit(nfa, n->first, to, depth), next);
	}
	for (uint32_t i = 0; i < n->min && !nfa->error; i++)
		to = emit(nfa, n->first, to, depth);
	return to;
}

/* Kids from the last to the first, for each has to know what follows it. */
static uint16_t emit_cat(struct nfa *nfa, const struct re_node *n, uint16_t next, unsigned depth)
{
	auto_free const struct re_node **kids = NULL;
	size_t count = 0, i = 0;

	for (const struct re_node *k = n->first; k; k = k->next)
		count++;
	kids = calloc(count ? count : 1, sizeof(const struct re_node *));
	if (!kids) {
		nfa->error = err_new(-ENOMEM, "no memory for a pattern");
		return 0;
	}
	for (const struct re_node *k = n->first; k; k = k->next)
		kids[i++] = k;
	while (i && !nfa->error)
		next = emit(nfa, kids[--i], next, depth);
	return next;
}

static uint16_t emit_alt(struct nfa *nfa, const struct re_node *n, uint16_t next, unsigned depth)
{
	uint16_t first = 0, fork = 0;

	if (!n->first)
		return add_state(nfa, OP_STOP, 0, 0, 0);
	for (const struct re_node *k = n->first; k && !nfa->error; k = k->next) {
		uint16_t to;

		if (!k->next) {
			to = emit(nfa, k, next, depth);
			if (k == n->first)
				return to;
			nfa->states[fork].out[1] = to;
			break;
		}
		to = add_state(nfa, OP_FORK, 0, 0, 0);
		if (k == n->first)
			first = to;
		else
			nfa->states[fork].out[1] = to;
		fork = to;
		to = emit(nfa, k, next, depth);
		nfa->states[fork].out[0] = to;
	}
	return first;
}

/* The rows of a table as states. Which rows accept: those that do, or, for a complement, those that do not. */
static uint16_t emit_dfa(struct nfa *nfa, const struct dfa *d, bool negate, uint16_t next)
{
	struct regex *r = nfa->r;
	auto_free uint64_t *mask = calloc(r->words_each, sizeof(*mask));
	auto_free uint16_t *rows = calloc(d->n, sizeof(*rows));

	if (!mask || !rows) {
		nfa->error = err_new(-ENOMEM, "no memory for a pattern");
		return 0;
	}
	for (uint32_t i = 0; i < d->n && !nfa->error; i++)
		rows[i] = add_state(nfa, OP_GO, 0, 0, 0);
	for (uint32_t i = 0; i < d->n && !nfa->error; i++) {
		const uint16_t *row = d->next + (size_t)i * d->n_classes;
		uint16_t at = add_state(nfa, OP_STOP, 0, 0, 0), number;

		if (!!d->accepts[i] != negate)
			at = add_state(nfa, OP_FORK, 0, at, next);
		for (uint32_t c = 0; c < d->n_classes && !nfa->error; c++) {
			bool seen = false;

			for (uint32_t b = 0; b < c && !seen; b++)
				seen = row[b] == row[c];
			if (seen)
				continue;
			memset(mask, 0, r->words_each * sizeof(*mask));
			for (uint32_t b = c; b < d->n_classes; b++)
				if (row[b] == row[c])
					mask[b / 64] |= 1ULL << b % 64;
			nfa->error = add_mask(r, mask, &number);
			if (!nfa->error)
				at = add_state(nfa, OP_FORK, 0, at, add_state(nfa, OP_SET, number, rows[row[c]], 0));
		}
		nfa->states[rows[i]].out[0] = at;
	}
	return d->n ? rows[0] : 0;
}

static int dfa_of(struct nfa *nfa, const struct re_node *n, struct dfa *ret_dfa, unsigned depth)
{
	uint32_t before = nfa->n;
	uint16_t accept = add_state(nfa, OP_ACCEPT, 0, 0, 0);
	uint16_t start = emit(nfa, n, accept, depth);
	int e = nfa->error;

	if (!e)
		e = determinise(nfa->r, nfa->states, nfa->n, start, REGEX_TABLE_MAX, ret_dfa);
	if (e == -E2BIG && !nfa->error)
		e = err_new(-E2BIG,
			    "regular expression: what \"~\" or \"&\" is about is too complex; write it simpler");
	nfa->n = before;
	nfa->error = e;
	return e;
}

static uint16_t emit_not(struct nfa *nfa, const struct re_node *n, uint16_t next, unsigned depth)
{
	auto_dfa struct dfa d = { 0 };

	return dfa_of(nfa, n->first, &d, depth) ? 0 : emit_dfa(nfa, &d, true, next);
}

/* Both at once: a row for each pair of rows that can be reached. */
static int intersect(const struct dfa *a, const struct dfa *b, struct dfa *ret_dfa)
{
	uint32_t k = a->n_classes;
	size_t max = REGEX_TABLE_MAX / k < DFA_MAX ? REGEX_TABLE_MAX / k : DFA_MAX;
	auto_free uint32_t *pairs = calloc(max, sizeof(*pairs));
	auto_free uint16_t *number = calloc((size_t)a->n * b->n, sizeof(*number)); /* of a pair, plus 1 */
	auto_dfa struct dfa d = { .n_classes = k };

	d.next = calloc(max * k, sizeof(*d.next));
	d.accepts = calloc(max, 1);
	if (!pairs || !number || !d.next || !d.accepts)
		return err_new(-ENOMEM, "no memory for a pattern");
	if (max)
		d.n = number[0] = 1;
	for (uint32_t i = 0; i < d.n; i++) {
		uint32_t x = pairs[i] / b->n, y = pairs[i] % b->n;

		d.accepts[i] = a->accepts[x] && b->accepts[y];
		for (uint32_t c = 0; c < k; c++) {
			uint32_t pair = (uint32_t)a->next[(size_t)x * k + c] * b->n + b->next[(size_t)y * k + c];

			if (!number[pair]) {
				if (d.n == max)
					return err_new(-E2BIG, "regular expression: what \"&\" joins is too complex");
				pairs[d.n] = pair;
				number[pair] = (uint16_t)++d.n;
			}
			d.next[(size_t)i * k + c] = number[pair] - 1;
		}
	}
	*ret_dfa = d;
	d = (struct dfa) { 0 };
	return 0;
}

static uint16_t emit_and(struct nfa *nfa, const struct re_node *n, uint16_t next, unsigned depth)
{
	auto_dfa struct dfa all = { 0 };

	if (dfa_of(nfa, n->first, &all, depth))
		return 0;
	for (const struct re_node *k = n->first->next; k; k = k->next) {
		auto_dfa struct dfa one = { 0 };
		struct dfa both = { 0 };

		if (dfa_of(nfa, k, &one, depth))
			return 0;
		nfa->error = intersect(&all, &one, &both);
		if (nfa->error)
			return 0;
		dfa_close(&all);
		all = both;
	}
	return emit_dfa(nfa, &all, false, next);
}

/* The states of a node, where `next` is what follows it. Each node makes one state at least, so repeats are bounded. */
static uint16_t emit(struct nfa *nfa, const struct re_node *n, uint16_t next, unsigned depth)
{
	if (nfa->error)
		return 0;
	if (depth > EMIT_DEPTH_MAX) {
		nfa->error = err_new(-E2BIG, "regular expression: nested too deep");
		return 0;
	}
	switch (n->kind) {
	case RE_EMPTY:
		return add_state(nfa, OP_GO, 0, next, 0);
	case RE_NOTHING:
		return add_state(nfa, OP_STOP, 0, 0, 0);
	case RE_SET:
		return add_state(nfa, OP_SET, n->set, next, 0);
	case RE_CAT:
		return emit_cat(nfa, n, add_state(nfa, OP_GO, 0, next, 0), depth + 1);
	case RE_ALT:
		return emit_alt(nfa, n, next, depth + 1);
	case RE_REPEAT:
		return emit_repeat(nfa, n, add_state(nfa, OP_GO, 0, next, 0), depth + 1);
	case RE_NOT:
		return emit_not(nfa, n, next, depth + 1);
	case RE_AND:
		return emit_and(nfa, n, next, depth + 1);
	default:
		return add_state(nfa, OP_PLACE, n->kind, next, 0);
	}
}

/* ---- sets of states ------------------------------------------------------------------------------------------- */

static bool place_is(enum re_kind kind, enum side before, enum side after)
{
	bool word = (before == SIDE_WORD) != (after == SIDE_WORD);

	switch (kind) {
	case RE_LINE_BEGIN:
		return before == SIDE_EDGE || before == SIDE_LINE;
	case RE_LINE_END:
		return after == SIDE_EDGE || after == SIDE_LINE;
	case RE_BEGIN:
		return before == SIDE_EDGE;
	case RE_END:
		return after == SIDE_EDGE;
	case RE_WORD:
		return word;
	default:
		return !word;
	}
}

/* Room for following the moves that take no character. */
struct spread {
	uint16_t stack[REGEX_STATES_MAX];
	uint16_t sets[REGEX_STATES_MAX]; /* OP_SET states that were reached */
	uint64_t seen[REGEX_STATES_MAX / 64];
	uint32_t n_sets;
	bool accepts;
};

/* Fills `sets` and `accepts` with what the given states reach; returns the steps it took. */
static uint32_t spread(const struct state *states, uint32_t n_states, const uint16_t *from, uint32_t n,
		       enum side before, enum side after, struct spread *s)
{
	uint32_t top = 0, steps = 0;

	memset(s->seen, 0, (n_states + 63) / 64 * sizeof(s->seen[0]));
	s->n_sets = 0;
	s->accepts = false;
	for (uint32_t i = 0; i < n; i++) {
		s->stack[top++] = from[i];
		s->seen[from[i] / 64] |= 1ULL << from[i] % 64;
	}
	while (top) {
		uint16_t at = s->stack[--top];
		const struct state *st = &states[at];
		int n_out = 0;

		steps++;
		switch (st->op) {
		case OP_SET:
			s->sets[s->n_sets++] = at;
			break;
		case OP_ACCEPT:
			s->accepts = true;
			break;
		case OP_GO:
			n_out = 1;
			break;
		case OP_FORK:
			n_out = 2;
			break;
		case OP_PLACE:
			n_out = place_is(st->mask, before, after);
			break;
		default:
			break;
		}
		for (int k = 0; k < n_out; k++) {
			uint16_t to = st->out[k];

			if (s->seen[to / 64] >> to % 64 & 1)
				continue;
			s->seen[to / 64] |= 1ULL << to % 64;
			s->stack[top++] = to;
		}
	}
	return steps;
}

/* ---- tables -------------------------------------------------------------------------------------------------------
 */

/* Rows by the states that they stand for: those that the last character led to, and on which side of a word it was. */
struct rows {
	uint16_t *members;
	size_t n_members, cap_members;
	struct {
		uint32_t at, n;
		uint32_t side;
	} *row;
	uint32_t n, max;
	uint32_t *slots, mask;
};

static void rows_close(struct rows *rows)
{
	free(rows->members);
	free(rows->row);
	free(rows->slots);
}

/* The number of a row, a new one if there is none; UINT32_MAX: no room. */
static uint32_t row_of(struct rows *rows, const uint16_t *members, uint32_t n, enum side side)
{
	uint32_t at = (uint32_t)hash_bytes(members, n * sizeof(*members), side) & rows->mask;

	for (; rows->slots[at]; at = (at + 1) & rows->mask) {
		uint32_t i = rows->slots[at] - 1;

		if (rows->row[i].n == n && rows->row[i].side == side &&
		    !memcmp(rows->members + rows->row[i].at, members, n * sizeof(*members)))
			return i;
	}
	if (rows->n == rows->max)
		return UINT32_MAX;
	if (rows->n_members + n > rows->cap_members) {
		size_t cap = 2 * rows->cap_members + n + 256;
		void *p = realloc(rows->members, cap * sizeof(*rows->members));

		if (!p)
			return UINT32_MAX;
		rows->members = p;
		rows->cap_members = cap;
	}
	memcpy(rows->members + rows->n_members, members, n * sizeof(*members));
	rows->row[rows->n].at = (uint32_t)rows->n_members;
	rows->row[rows->n].n = n;
	rows->row[rows->n].side = side;
	rows->n_members += n;
	rows->slots[at] = ++rows->n;
	return rows->n - 1;
}

/* Where each class leads to from the rows that are looked at: a set of states for each, and one for all of them. */
struct moves {
	uint64_t *to; /* words a class */
	uint64_t *all;
	bool *differs; /* has the class more than `all`? */
	uint32_t words;
};

static inline void set_add(uint64_t *set, uint32_t i)
{
	set[i / 64] |= 1ULL << i % 64;
}

/* Adds what the states in s->sets lead to, for the classes on a side (SIDE_N: for all). Returns the steps it took. */
static uint32_t add_moves(const struct regex *r, const struct state *states, const struct spread *s, enum side side,
			  struct moves *m)
{
	uint32_t steps = 0;

	for (uint32_t i = 0; i < s->n_sets; i++) {
		const struct state *st = &states[s->sets[i]];
		const uint64_t *mask = r->masks + (size_t)st->mask * r->words_each;

		if (side == SIDE_N && mask_is_full(r, st->mask)) {
			set_add(m->all, st->out[0]);
			steps += r->classes.n;
			continue;
		}
		for (uint32_t w = 0; w < r->words_each; w++)
			for (uint64_t bits = mask[w]; bits; bits &= bits - 1, steps++) {
				uint32_t c = w * 64 + (uint32_t)__builtin_ctzll(bits);

				if (side == SIDE_N || r->classes.side[c] == side) {
					set_add(m->to + (size_t)c * m->words, st->out[0]);
					m->differs[c] = true;
				}
			}
	}
	return steps;
}

static void moves_close(struct moves *m)
{
	free(m->to);
	free(m->all);
	free(m->differs);
}

static void moves_clear(struct moves *m, uint32_t n_classes)
{
	memset(m->to, 0, (size_t)n_classes * m->words * sizeof(*m->to));
	memset(m->all, 0, m->words * sizeof(*m->all));
	memset(m->differs, 0, n_classes);
}

static uint32_t members_of(const uint64_t *set, uint32_t words, uint16_t *to)
{
	uint32_t n = 0;

	for (uint32_t w = 0; w < words; w++)
		for (uint64_t bits = set[w]; bits; bits &= bits - 1)
			to[n++] = (uint16_t)(w * 64 + (uint32_t)__builtin_ctzll(bits));
	return n;
}

/* -E2BIG without a trail when it takes more than so many cells, or too long: the caller may know another way. */
static int determinise(const struct regex *r, const struct state *states, uint32_t n_states, uint32_t start,
		       size_t cells_max, struct dfa *ret_dfa)
{
	uint32_t k = r->classes.n;
	size_t max = cells_max / k < DFA_MAX ? cells_max / k : DFA_MAX;
	__attribute__((cleanup(rows_close))) struct rows rows = { .max = (uint32_t)max, .mask = 4 * DFA_MAX - 1 };
	auto_free struct spread *s = malloc(sizeof(*s));
	auto_free uint16_t *to = calloc(REGEX_STATES_MAX, sizeof(*to));
	__attribute__((cleanup(moves_close))) struct moves m = { .words = (n_states + 63) / 64 };
	auto_dfa struct dfa d = { .n_classes = k };
	uint64_t work = 0;
	uint16_t first = (uint16_t)start;

	if (max < 2)
		return -E2BIG;
	rows.row = calloc(max, sizeof(*rows.row));
	rows.slots = calloc(4 * DFA_MAX, sizeof(*rows.slots));
	d.next = calloc(max * k, sizeof(*d.next));
	d.accepts = calloc(max, 1);
	m.to = calloc((size_t)k * m.words, sizeof(*m.to));
	m.all = calloc(m.words, sizeof(*m.all));
	m.differs = calloc(k, sizeof(*m.differs));
	if (!s || !to || !rows.row || !rows.slots || !d.next || !d.accepts || !m.to || !m.all || !m.differs)
		return err_new(-ENOMEM, "no memory for a pattern");
	(void)row_of(&rows, &first, 1, SIDE_EDGE);
	for (uint32_t i = 0; i < rows.n; i++) {
		enum side before = rows.row[i].side;
		uint32_t n = rows.row[i].n, plain = UINT32_MAX, row = 0;
		const uint64_t *last = NULL;

		moves_clear(&m, k);
		work += spread(states, n_states, rows.members + rows.row[i].at, n, before, SIDE_EDGE, s);
		d.accepts[i] = s->accepts;
		if (!r->has_places)
			work += add_moves(r, states, s, SIDE_N, &m);
		/* How far states reach depends on what stands after them only where places are asked for. */
		for (int side = 0; r->has_places && side < SIDE_N; side++) {
			work += spread(states, n_states, rows.members + rows.row[i].at, n, before, (enum side)side, s);
			work += add_moves(r, states, s, (enum side)side, &m);
		}
		work += (size_t)k * m.words / 8;
		for (uint32_t c = 0; c < k; c++) {
			uint64_t *set = m.to + (size_t)c * m.words;
			uint32_t n_to;

			/* Most classes lead where the others do: look that up once. */
			if (!m.differs[c] && plain != UINT32_MAX) {
				d.next[(size_t)i * k + c] = (uint16_t)plain;
				continue;
			}
			for (uint32_t w = 0; w < m.words; w++)
				set[w] |= m.all[w];
			if (r->has_places || !last || memcmp(last, set, m.words * sizeof(*set)) != 0) {
				n_to = members_of(set, m.words, to);
				row = row_of(&rows, to, n_to,
					     r->has_places && n_to ? (enum side)r->classes.side[c] : SIDE_OTHER);
				work += n_to / 4;
			}
			if (row == UINT32_MAX || work > WORK_MAX)
				return -E2BIG;
			last = set;
			if (!m.differs[c])
				plain = row;
			d.next[(size_t)i * k + c] = (uint16_t)row;
		}
	}
	d.n = rows.n;
	*ret_dfa = d;
	d = (struct dfa) { 0 };
	return 0;
}

/* From which rows is there a way to one that accepts (or, want false, to one that does not)? */
static void reaching(const struct dfa *d, bool want, uint8_t *ret_reaches)
{
	bool changed = true;

	for (uint32_t i = 0; i < d->n; i++)
		ret_reaches[i] = !!d->accepts[i] == want;
	while (changed) {
		changed = false;
		for (uint32_t i = d->n; i-- > 0;) {
			const uint16_t *row = d->next + (size_t)i * d->n_classes;

			for (uint32_t c = 0; c < d->n_classes && !ret_reaches[i]; c++)
				if (ret_reaches[row[c]])
					ret_reaches[i] = changed = true;
		}
	}
}

/* The table as matching reads it: no rows but DEAD for what can fit no more, and SURE for what cannot fail. */
static int pack(const struct dfa *d, struct automaton *a)
{
	auto_free uint8_t *can = calloc(d->n, 1), *cannot = calloc(d->n, 1);
	auto_free uint32_t *row = calloc(d->n, sizeof(*row));
	uint32_t k = d->n_classes, n = 2;

	if (!can || !cannot || !row)
		return err_new(-ENOMEM, "no memory for a pattern");
	reaching(d, true, can);
	reaching(d, false, cannot);
	/* Rows that do not accept come first: then a comparison says whether one does. */
	for (uint32_t i = 0; i < d->n; i++)
		row[i] = !can[i] ? DEAD : !cannot[i] ? SURE : !d->accepts[i] ? n++ : 0;
	a->accepting = n * k;
	for (uint32_t i = 0; i < d->n; i++)
		if (can[i] && cannot[i] && d->accepts[i])
			row[i] = n++;
	if ((size_t)n * k > REGEX_TABLE_MAX)
		return -E2BIG;
	a->table = calloc((size_t)n * k, sizeof(*a->table));
	if (!a->table)
		return err_new(-ENOMEM, "no memory for a pattern");
	for (uint32_t c = 0; c < k; c++)
		a->table[k + c] = (uint16_t)k;
	for (uint32_t i = 0; i < d->n; i++) {
		if (row[i] < 2)
			continue;
		for (uint32_t c = 0; c < k; c++)
			a->table[(size_t)row[i] * k + c] = (uint16_t)(row[d->next[(size_t)i * k + c]] * k);
	}
	a->first = row[0] * k;
	a->bytes = (size_t)n * k * sizeof(*a->table);
	return 0;
}

/* ---- compiling
 * ------------------------------------------------------------------------------------------------------- */

struct compiling {
	struct regex *r;
	struct re_ast ast;
	struct re_node **nodes;
	const struct regex_options *options;
	struct nfa nfa;
};

static struct re_node *joined(struct compiling *c, size_t from, size_t n)
{
	struct re_node *alt = re_node(&c->ast, RE_ALT), *all, **at = &alt->first;

	for (size_t i = 0; i < n; i++) {
		c->nodes[from + i]->next = i + 1 < n ? c->nodes[from + i + 1] : NULL;
		if (!i)
			*at = c->nodes[from];
	}
	if (!c->options->prefix && !c->options->search)
		return alt;
	all = re_node(&c->ast, RE_CAT);
	at = &all->first;
	if (c->options->search) {
		*at = re_any_text(&c->ast);
		at = &(*at)->next;
	}
	*at = alt;
	alt->next = re_any_text(&c->ast);
	return all;
}

static int keep(struct regex *r, struct automaton *a)
{
	void *p = realloc(r->automata, (r->n + 1) * sizeof(*r->automata));

	if (!p) {
		automaton_close(a);
		return err_new(-ENOMEM, "no memory for a pattern");
	}
	r->automata = p;
	r->bytes += a->bytes;
	r->automata[r->n++] = *a;
	return 0;
}

static int compile_some(struct compiling *c, size_t from, size_t n)
{
	auto_dfa struct dfa d = { 0 };
	struct automaton a = { 0 };
	uint16_t start;
	int e;

	c->nfa.n = 0;
	start = emit(&c->nfa, joined(c, from, n), add_state(&c->nfa, OP_ACCEPT, 0, 0, 0), 0);
	if (c->ast.arena.failed)
		return err_new(-E2BIG, "a pattern takes more memory than a pattern may");
	/* What does not fit together may fit in halves. */
	e = c->nfa.error;
	c->nfa.error = 0;
	if (e == -E2BIG && n > 1)
		goto halves;
	if (e < 0)
		return e;
	e = c->options->no_table ? -E2BIG : determinise(c->r, c->nfa.states, c->nfa.n, start, REGEX_TABLE_MAX, &d);
	if (e == 0)
		e = pack(&d, &a);
	if (e == 0)
		return keep(c->r, &a);
	automaton_close(&a);
	if (e != -E2BIG)
		return e;
	if (n > 1)
		goto halves;
	a = (struct automaton) { .n_states = c->nfa.n, .start = start };
	a.bytes = a.n_states * sizeof(*a.states);
	a.states = malloc(a.bytes);
	if (!a.states)
		return err_new(-ENOMEM, "no memory for a pattern");
	memcpy(a.states, c->nfa.states, a.bytes);
	return keep(c->r, &a);

halves:
	e = compile_some(c, from, n / 2);
	return e < 0 ? e : compile_some(c, from + n / 2, n - n / 2);
}

static int compile_all(struct compiling *c, const struct str *patterns, size_t n)
{
	int e;

	for (size_t i = 0; i < n; i++) {
		e = re_parse(&c->ast, patterns[i], c->options, &c->nodes[i]);
		if (e < 0)
			return e;
	}
	if (c->options->prefix || c->options->search)
		(void)re_any_text(&c->ast); /* its set must be known before the classes are made */
	e = make_classes(c->r, &c->ast);
	if (e == 0)
		e = make_masks(c->r, &c->ast);
	c->r->has_places = c->ast.has_places;
	return e < 0 ? e : compile_some(c, 0, n);
}

int regex_compile(const struct str *patterns, size_t n, const struct regex_options *options, struct regex **ret_regex)
{
	AUTO(regex) r = calloc(1, sizeof(*r));
	auto_free struct re_node **nodes = calloc(n ? n : 1, sizeof(struct re_node *));
	auto_free struct state *states = calloc(REGEX_STATES_MAX, sizeof(*states));
	struct compiling c = { .r = r, .nodes = nodes, .options = options, .nfa = { .r = r, .states = states } };
	int e;

	if (!r || !nodes || !states)
		return err_new(-ENOMEM, "no memory for a pattern");
	if (n > REGEX_PATTERNS_MAX)
		return err_new(-E2BIG, "more than %d patterns", REGEX_PATTERNS_MAX);
	r->bytes = sizeof(*r);
	re_ast_init(&c.ast);
	e = compile_all(&c, patterns, n);
	re_ast_free(&c.ast);
	if (e < 0)
		return e;
	*ret_regex = take(r);
	return 0;
}

/* ---- matching
 * ---------------------------------------------------------------------------------------------------------- */

static bool run_table(const struct regex *r, const struct automaton *a, const char *p, size_t n)
{
	const uint16_t *table = a->table, *ascii = r->classes.ascii;
	const char *end = p + n;
	uint32_t at = a->first, k = r->classes.n;

	while (p < end) {
		unsigned char c = (unsigned char)*p;

		if (at <= k)
			break;
		if (c < 0x80) {
			at = table[at + ascii[c]];
			p++;
		} else {
			at = table[at + class_of(&r->classes, fold_next_slow(&p, end))];
		}
	}
	return at == k || at >= a->accepting;
}

/* The same with the set of states that could have been reached. */
static bool run_states(const struct regex *r, const struct automaton *a, const char *p, size_t n)
{
	static _Thread_local struct spread s;
	static _Thread_local uint16_t at[REGEX_STATES_MAX];
	const char *end = p + n;
	enum side before = SIDE_EDGE;
	uint32_t n_at = 1;

	at[0] = (uint16_t)a->start;
	while (n_at) {
		uint32_t class = p < end ? class_of(&r->classes, fold_next(&p, end)) : UINT32_MAX, n_next = 0;
		enum side after = class != UINT32_MAX && r->has_places ? r->classes.side[class] : SIDE_EDGE;

		(void)spread(a->states, a->n_states, at, n_at, before, after, &s);
		if (class == UINT32_MAX)
			return s.accepts;
		/* Marks are used again: a state is entered once. */
		memset(s.seen, 0, (a->n_states + 63) / 64 * sizeof(s.seen[0]));
		for (uint32_t i = 0; i < s.n_sets; i++) {
			const struct state *st = &a->states[s.sets[i]];
			uint16_t to = st->out[0];

			if (!mask_has(r, st->mask, class) || s.seen[to / 64] >> to % 64 & 1)
				continue;
			s.seen[to / 64] |= 1ULL << to % 64;
			at[n_next++] = to;
		}
		n_at = n_next;
		before = after;
	}
	return false;
}

bool regex_matches(const struct regex *r, const char *p, size_t n)
{
	for (size_t i = 0; i < r->n; i++) {
		const struct automaton *a = &r->automata[i];

		if (a->table ? run_table(r, a, p, n) : run_states(r, a, p, n))
			return true;
	}
	return false;
}
