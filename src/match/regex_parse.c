/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "base/hash.h"
#include "match/fold.h"
#include "match/regex_ast.h"

enum { ARENA_MAX = 16 << 20, RANGES_MAX = 4096, REPEAT_MAX = 1 << 20 };

struct parser {
	struct re_ast *ast;
	const struct regex_options *options;
	const char *text, *p, *end;
	unsigned depth;
	bool fold, any_line, dot_all; /* any_line: ^ and $ at every line */
	int error;
};

void re_ast_init(struct re_ast *ast)
{
	*ast = (struct re_ast) { 0 };
	arena_init(&ast->arena, ARENA_MAX);
}

void re_ast_free(struct re_ast *ast)
{
	arena_free(&ast->arena);
	free(ast->sets);
	free(ast->set_slots);
}

/* ---- sets ------------------------------------------------------------------------------------------ */

/* One that is being made. */
struct ranges {
	struct re_range at[RANGES_MAX];
	uint32_t n;
	bool full;
};

static void ranges_add(struct ranges *r, uint32_t lo, uint32_t hi)
{
	if (r->n && r->at[r->n - 1].hi + 1 == lo)
		r->at[r->n - 1].hi = hi;
	else if (r->n == RANGES_MAX)
		r->full = true;
	else
		r->at[r->n++] = (struct re_range) { lo, hi };
}

static int by_lo(const void *a, const void *b)
{
	const struct re_range *x = a, *y = b;

	return x->lo < y->lo ? -1 : x->lo > y->lo;
}

static void ranges_sort(struct ranges *r)
{
	uint32_t n = 0;

	qsort(r->at, r->n, sizeof(r->at[0]), by_lo);
	for (uint32_t i = 0; i < r->n; i++) {
		if (n && r->at[i].lo <= r->at[n - 1].hi + 1) {
			if (r->at[i].hi > r->at[n - 1].hi)
				r->at[n - 1].hi = r->at[i].hi;
		} else {
			r->at[n++] = r->at[i];
		}
	}
	r->n = n;
}

static bool ranges_have(const struct re_range *at, uint32_t n, uint32_t code)
{
	uint32_t low = 0, high = n;

	while (low < high) {
		uint32_t middle = (low + high) / 2;

		if (at[middle].hi < code)
			low = middle + 1;
		else
			high = middle;
	}
	return low < n && at[low].lo <= code;
}

struct folding {
	struct ranges *to;
	const struct re_range *from;
	uint32_t n;
};

static void fold_pair(void *ctx, uint32_t code, uint32_t folded)
{
	struct folding *f = ctx;
	uint32_t others[FOLD_CLASS_MAX];
	size_t n;

	if (!ranges_have(f->from, f->n, code) && !ranges_have(f->from, f->n, folded))
		return;
	ranges_add(f->to, folded, folded);
	n = fold_unfold(folded, others, FOLD_CLASS_MAX);
	for (size_t i = 0; i < n; i++)
		ranges_add(f->to, others[i], others[i]);
}

static void add_one_folded(struct ranges *r, uint32_t code)
{
	uint32_t others[FOLD_CLASS_MAX], folded = fold_code(code);
	size_t n = fold_unfold(folded, others, FOLD_CLASS_MAX);

	ranges_add(r, folded, folded);
	for (size_t i = 0; i < n; i++)
		ranges_add(r, others[i], others[i]);
}

static void ranges_fold(struct parser *ps, struct ranges *r)
{
	struct re_range *from;
	uint32_t n;

	ranges_sort(r);
	n = r->n;
	if (n == 1 && r->at[0].hi - r->at[0].lo < 4) {
		struct re_range one = r->at[0];

		for (uint32_t c = one.lo; c <= one.hi; c++)
			add_one_folded(r, c);
		return;
	}
	from = arena_alloc(&ps->ast->arena, (n ? n : 1) * sizeof(*from));
	if (!from)
		return;
	memcpy(from, r->at, n * sizeof(*from));
	fold_each(fold_pair, &(struct folding) { r, from, n });
}

static void ranges_negate(struct ranges *r)
{
	uint32_t next = 0, n = 0, count = r->n;
	struct re_range last = { 0 };

	for (uint32_t i = 0; i < count; i++) {
		last = r->at[i];
		if (last.lo > next)
			r->at[n++] = (struct re_range) { next, last.lo - 1 };
		next = last.hi + 1;
	}
	r->n = n;
	if (next <= FOLD_CODE_MAX)
		ranges_add(r, next, FOLD_CODE_MAX);
}

static bool grow_slots(struct re_ast *ast)
{
	uint32_t n = ast->n_slots ? 2 * ast->n_slots : 256;
	uint32_t *slots = calloc(n, sizeof(*slots));

	if (!slots)
		return false;
	for (uint32_t i = 0; i < ast->n_sets; i++) {
		const struct re_set *s = &ast->sets[i];
		uint32_t at = (uint32_t)hash_bytes(s->ranges, s->n * sizeof(*s->ranges), 0) & (n - 1);

		while (slots[at])
			at = (at + 1) & (n - 1);
		slots[at] = i + 1;
	}
	free(ast->set_slots);
	ast->set_slots = slots;
	ast->n_slots = n;
	return true;
}

/* The number of the set; each different one is kept once. */
static uint32_t intern_set(struct parser *ps, struct ranges *r)
{
	struct re_ast *ast = ps->ast;
	size_t size;
	uint32_t at;
	void *p;

	ranges_sort(r);
	size = r->n * sizeof(r->at[0]);
	if (2 * (ast->n_sets + 1) > ast->n_slots && !grow_slots(ast))
		goto no_memory;
	at = (uint32_t)hash_bytes(r->at, size, 0) & (ast->n_slots - 1);
	for (; ast->set_slots[at]; at = (at + 1) & (ast->n_slots - 1)) {
		const struct re_set *s = &ast->sets[ast->set_slots[at] - 1];

		if (s->n == r->n && !memcmp(s->ranges, r->at, size))
			return ast->set_slots[at] - 1;
	}
	if (ast->n_sets == ast->cap_sets) {
		uint32_t cap = ast->cap_sets ? 2 * ast->cap_sets : 64;

		p = realloc(ast->sets, cap * sizeof(*ast->sets));
		if (!p)
			goto no_memory;
		ast->sets = p;
		ast->cap_sets = cap;
	}
	p = arena_alloc(&ast->arena, size ? size : 1);
	if (!p)
		goto no_memory;
	memcpy(p, r->at, size);
	ast->sets[ast->n_sets] = (struct re_set) { p, r->n };
	ast->set_slots[at] = ++ast->n_sets;
	return ast->n_sets - 1;

no_memory:
	ast->arena.failed = true;
	return 0;
}

/* ---- nodes ------------------------------------------------------------------------------------------- */

struct re_node *re_node(struct re_ast *ast, enum re_kind kind)
{
	static struct re_node none;
	struct re_node *n = arena_new(&ast->arena, struct re_node);

	/* The parser asks once, at the end; until then there is something to write to. */
	if (!n) {
		none = (struct re_node) { 0 };
		return &none;
	}
	n->kind = kind;
	return n;
}

static struct re_node *node_with(struct re_ast *ast, enum re_kind kind, struct re_node *kid)
{
	struct re_node *n = re_node(ast, kind);

	n->first = kid;
	return n;
}

static struct re_node *repeat(struct re_ast *ast, struct re_node *kid, uint32_t min, uint32_t max)
{
	struct re_node *n = node_with(ast, max < min ? RE_NOTHING : RE_REPEAT, kid);

	n->min = min;
	n->max = max;
	return n;
}

static struct re_node *set_node(struct parser *ps, struct ranges *r)
{
	struct re_node *n = re_node(ps->ast, RE_SET);

	n->set = intern_set(ps, r);
	return n;
}

static struct re_node *range_node(struct parser *ps, uint32_t lo, uint32_t hi, bool fold)
{
	static _Thread_local struct ranges r;

	r.n = 0;
	ranges_add(&r, lo, hi);
	if (fold)
		ranges_fold(ps, &r);
	return set_node(ps, &r);
}

static struct re_node *char_node(struct parser *ps, uint32_t code)
{
	return range_node(ps, code, code, ps->fold);
}

static struct re_node *any_char(struct parser *ps)
{
	return range_node(ps, 0, FOLD_CODE_MAX, false);
}

struct re_node *re_any_text(struct re_ast *ast)
{
	struct parser ps = { .ast = ast };

	return repeat(ast, any_char(&ps), 0, RE_MANY);
}

/* ---- reading ------------------------------------------------------------------------------------------- */

static bool more(const struct parser *ps)
{
	return ps->p < ps->end && !ps->error;
}

static bool peek(const struct parser *ps, const char *chars)
{
	return more(ps) && *ps->p && strchr(chars, *ps->p);
}

static bool take_char(struct parser *ps, char c)
{
	if (!more(ps) || *ps->p != c)
		return false;
	ps->p++;
	return true;
}

static bool take_word(struct parser *ps, const char *word)
{
	size_t n = strlen(word);

	if (ps->error || (size_t)(ps->end - ps->p) < n || memcmp(ps->p, word, n) != 0)
		return false;
	ps->p += n;
	return true;
}

#define fail(ps, ...) ((ps)->error ? (void)0 : (void)((ps)->error = err_new(-EINVAL, __VA_ARGS__)))

static size_t position(const struct parser *ps)
{
	return (size_t)(ps->p - ps->text) + 1;
}

static uint32_t next_char(struct parser *ps)
{
	if (!more(ps)) {
		fail(ps, "regular expression: it ends where a character is missing");
		return 0;
	}
	return fold_next(&ps->p, ps->end);
}

static uint32_t number(struct parser *ps, uint32_t max)
{
	uint64_t v = 0;

	if (!peek(ps, "0123456789"))
		fail(ps, "regular expression: a number is missing at byte %zu", position(ps));
	while (peek(ps, "0123456789")) {
		v = v * 10 + (uint64_t)(*ps->p++ - '0');
		if (v > max) {
			fail(ps, "regular expression: the number at byte %zu is larger than %u", position(ps), max);
			break;
		}
	}
	return (uint32_t)v;
}

static bool enter(struct parser *ps)
{
	if (++ps->depth > REGEX_DEPTH_MAX && !ps->error)
		ps->error = err_new(-E2BIG, "regular expression: nested deeper than %d", REGEX_DEPTH_MAX);
	return !ps->error;
}

static struct re_node *parse_union(struct parser *ps);

/* ---- numbers from n to m ---------------------------------------------------------------------------------- */

static struct re_node *cat2(struct parser *ps, struct re_node *a, struct re_node *b)
{
	struct re_node *n = node_with(ps->ast, RE_CAT, a);

	a->next = b;
	return n;
}

static struct re_node *digits(struct parser *ps, char lo, char hi)
{
	return range_node(ps, (uint32_t)lo, (uint32_t)hi, false);
}

/* All texts of as many digits as lo and hi have, from lo (or from zeros) to hi (or to nines). */
static struct re_node *digits_between(struct parser *ps, const char *lo, const char *hi, size_t n, bool has_lo,
				      bool has_hi)
{
	char first = has_lo ? *lo : '0', last = has_hi ? *hi : '9';
	struct re_node *alt, **at;

	if (!n)
		return re_node(ps->ast, RE_EMPTY);
	if (!has_lo && !has_hi)
		return repeat(ps->ast, digits(ps, '0', '9'), (uint32_t)n, (uint32_t)n);
	if (first == last)
		return cat2(ps, digits(ps, first, last), digits_between(ps, lo + 1, hi + 1, n - 1, has_lo, has_hi));
	alt = re_node(ps->ast, RE_ALT);
	at = &alt->first;
	if (has_lo) {
		*at = cat2(ps, digits(ps, first, first), digits_between(ps, lo + 1, hi + 1, n - 1, true, false));
		at = &(*at)->next;
		first++;
	}
	if (has_hi) {
		*at = cat2(ps, digits(ps, last, last), digits_between(ps, lo + 1, hi + 1, n - 1, false, true));
		at = &(*at)->next;
		last--;
	}
	if (first <= last)
		*at = cat2(ps, digits(ps, first, last), digits_between(ps, lo + 1, hi + 1, n - 1, false, false));
	return alt;
}

/* <n-m>: both of one length means exactly so many digits; else any number of zeros may come first. */
static struct re_node *parse_interval(struct parser *ps)
{
	const char *first = ps->p, *dash, *close = memchr(ps->p, '>', (size_t)(ps->end - ps->p));
	char lo[16], hi[16];
	uint32_t a, b;
	size_t width;

	if (!close) {
		fail(ps, "regular expression: the \"<\" at byte %zu has no \">\"", position(ps) - 1);
		return NULL;
	}
	dash = memchr(first, '-', (size_t)(close - first));
	if (!dash) {
		fail(ps, "regular expression: \"<%.*s>\" is not known; numbers are written <1-100>",
		     (int)(close - first > 32 ? 32 : close - first), first);
		return NULL;
	}
	a = number(ps, INT32_MAX);
	if (ps->p != dash)
		fail(ps, "regular expression: \"<\" starts two numbers, as in <1-100>; write \\< for the character");
	ps->p = dash + 1;
	b = number(ps, INT32_MAX);
	if (ps->p != close)
		fail(ps, "regular expression: \"<\" starts two numbers, as in <1-100>; write \\< for the character");
	ps->p = close + 1;
	if (ps->error)
		return NULL;
	width = dash - first == close - dash - 1 ? (size_t)(dash - first) : 0;
	if (width >= sizeof(lo)) {
		fail(ps, "regular expression: a number of more than %zu digits", sizeof(lo) - 1);
		return NULL;
	}
	if (a > b) {
		uint32_t t = a;

		a = b;
		b = t;
	}
	(void)snprintf(hi, sizeof(hi), "%0*u", (int)width, b);
	if (!width)
		width = strlen(hi);
	(void)snprintf(lo, sizeof(lo), "%0*u", (int)width, a);
	if (dash - first == close - dash - 1)
		return digits_between(ps, lo, hi, width, true, true);
	/* 0* and then: of each length, what lies between. */
	{
		struct re_node *alt = re_node(ps->ast, RE_ALT), **at = &alt->first;
		uint64_t from = a, power = 1;

		for (size_t n = 1; n <= width; n++) {
			uint64_t most = power * 10 - 1 < b ? power * 10 - 1 : b;

			if (from <= most) {
				(void)snprintf(lo, sizeof(lo), "%0*llu", (int)n, (unsigned long long)from);
				(void)snprintf(hi, sizeof(hi), "%0*llu", (int)n, (unsigned long long)most);
				*at = digits_between(ps, lo, hi, n, true, true);
				at = &(*at)->next;
				from = most + 1;
			}
			power *= 10;
		}
		return cat2(ps, repeat(ps->ast, digits(ps, '0', '0'), 0, RE_MANY), alt);
	}
}

/* ---- classes ------------------------------------------------------------------------------------------------ */

/* \d and the like; a capital letter means all the others. */
static bool add_class(const struct parser *ps, struct ranges *r, char letter)
{
	static const struct {
		char letter, lo, hi;
	} rows
		[] = {
			{ 'd', '0', '9' },   { 'w', '0', '9' },   { 'w', 'A', 'Z' }, { 'w', '_', '_' },
			{ 'w', 'a', 'z' },   { 's', '\t', '\n' }, { 's', ' ', ' ' }, { 's', '\r', '\r' },
			{ 'p', '\v', '\f' }, /* Perl's blanks have these two as well */
		};
	char small = letter | 0x20;
	uint32_t next = 0;
	bool perl = ps->options->syntax == REGEX_PERL;
	struct re_range own[8];
	uint32_t n = 0;

	if (!letter || !strchr("dDwWsS", letter))
		return false;
	for (size_t i = 0; i < countof(rows); i++)
		if (rows[i].letter == small || (perl && small == 's' && rows[i].letter == 'p'))
			own[n++] = (struct re_range) { (uint32_t)rows[i].lo, (uint32_t)rows[i].hi };
	qsort(own, n, sizeof(own[0]), by_lo);
	for (uint32_t i = 0; i < n; i++) {
		if (small == letter)
			ranges_add(r, own[i].lo, own[i].hi);
		else if (own[i].lo > next)
			ranges_add(r, next, own[i].lo - 1);
		next = own[i].hi + 1;
	}
	if (small != letter)
		ranges_add(r, next, FOLD_CODE_MAX);
	return true;
}

static uint32_t hex(struct parser *ps, int n)
{
	uint32_t v = 0;

	for (int i = 0; i < n; i++) {
		char c = more(ps) ? *ps->p : 0;
		int digit = c >= '0' && c <= '9'                     ? c - '0'
			    : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10
								     : -1;

		if (digit < 0) {
			fail(ps, "regular expression: %d hexadecimal digits are missing at byte %zu", n, position(ps));
			return 0;
		}
		v = v << 4 | (uint32_t)digit;
		ps->p++;
	}
	return v <= FOLD_CODE_MAX ? v : 0;
}

/* The character after a backslash that names no class. */
static uint32_t escaped_char(struct parser *ps)
{
	size_t at = position(ps);
	uint32_t c = next_char(ps);

	if (!((c | 0x20) - 'a' < 26))
		return c;
	if (ps->options->syntax == REGEX_PERL) {
		switch (c) {
		case 'n':
			return '\n';
		case 't':
			return '\t';
		case 'r':
			return '\r';
		case 'f':
			return '\f';
		case 'v':
			return '\v';
		case 'a':
			return '\a';
		case 'e':
			return 0x1b;
		case 'x':
			return hex(ps, 2);
		case 'u':
			return hex(ps, 4);
		default:
			break;
		}
	}
	fail(ps, "regular expression: \"\\%c\" at byte %zu means nothing%s", (char)c, at - 1,
	     ps->options->syntax == REGEX_LUCENE ? " (classes are \\d \\D \\s \\S \\w \\W)" : "");
	return c;
}

static struct re_node *parse_class(struct parser *ps)
{
	static _Thread_local struct ranges r;
	bool negate, first = true;

	r.n = 0;
	r.full = false;
	negate = take_char(ps, '^');
	/* The first character stands for itself even if it is the bracket. */
	for (; !ps->error && (first || !peek(ps, "]")); first = false) {
		uint32_t lo, hi;
		bool escaped = take_char(ps, '\\');

		if (escaped && more(ps) && add_class(ps, &r, *ps->p)) {
			ps->p++;
			continue;
		}
		lo = escaped ? ps->options->syntax == REGEX_PERL && take_char(ps, 'b') ? '\b' : escaped_char(ps)
			     : next_char(ps);
		hi = lo;
		if (peek(ps, "-") && !(ps->options->syntax == REGEX_PERL && ps->p + 1 < ps->end && ps->p[1] == ']')) {
			ps->p++;
			if (take_char(ps, '\\'))
				hi = ps->options->syntax == REGEX_PERL ? escaped_char(ps) : next_char(ps);
			else
				hi = next_char(ps);
		}
		if (lo > hi)
			fail(ps, "regular expression: the range before byte %zu runs backwards", position(ps));
		else
			ranges_add(&r, lo, hi);
	}
	if (!take_char(ps, ']'))
		fail(ps, "regular expression: a \"[\" has no \"]\"");
	if (ps->fold)
		ranges_fold(ps, &r);
	ranges_sort(&r);
	if (negate)
		ranges_negate(&r);
	if (r.full && !ps->error)
		ps->error = err_new(-E2BIG, "regular expression: a class of more than %d ranges", RANGES_MAX);
	return ps->error ? NULL : set_node(ps, &r);
}

/* ---- one thing ------------------------------------------------------------------------------------------------ */

static struct re_node *class_node(struct parser *ps, char letter)
{
	static _Thread_local struct ranges r;

	r.n = 0;
	(void)add_class(ps, &r, letter);
	return set_node(ps, &r);
}

static struct re_node *place(struct parser *ps, enum re_kind kind)
{
	ps->ast->has_places = true;
	return re_node(ps->ast, kind);
}

static struct re_node *parse_escape(struct parser *ps)
{
	bool perl = ps->options->syntax == REGEX_PERL;

	if (peek(ps, "dDwWsS"))
		return class_node(ps, *ps->p++);
	if (perl && take_char(ps, 'b'))
		return place(ps, RE_WORD);
	if (perl && take_char(ps, 'B'))
		return place(ps, RE_NO_WORD);
	if (perl && take_char(ps, 'A'))
		return place(ps, RE_BEGIN);
	if (perl && (take_char(ps, 'Z') || take_char(ps, 'z')))
		return place(ps, RE_END);
	if (perl && peek(ps, "0123456789")) {
		fail(ps, "regular expression: a reference back to a group is not regular, and not supported");
		return NULL;
	}
	return char_node(ps, escaped_char(ps));
}

static struct re_node *parse_quoted(struct parser *ps)
{
	struct re_node *cat = re_node(ps->ast, RE_CAT), **at = &cat->first;

	while (more(ps) && *ps->p != '"') {
		*at = char_node(ps, next_char(ps));
		at = &(*at)->next;
	}
	if (!take_char(ps, '"'))
		fail(ps, "regular expression: a quotation mark has no other; write \\\" for the character");
	return cat;
}

/* (?i) and the like hold to the end of the group that they stand in. True: there was a colon, so a group follows. */
static bool parse_flags(struct parser *ps)
{
	bool on = true;

	for (; more(ps) && !peek(ps, ":)"); ps->p++) {
		switch (*ps->p) {
		case '-':
			on = false;
			break;
		case 'i':
			ps->fold = on;
			break;
		case 's':
			ps->dot_all = on;
			break;
		case 'm':
			ps->any_line = on;
			break;
		case 'u':
		case 'a':
			break;
		default:
			fail(ps, "regular expression: \"(?%c\" at byte %zu is not supported", *ps->p, position(ps));
			return false;
		}
	}
	return take_char(ps, ':');
}

static void skip_name(struct parser *ps)
{
	const char *close = more(ps) ? memchr(ps->p, '>', (size_t)(ps->end - ps->p)) : NULL;

	if (close)
		ps->p = close + 1;
	else
		fail(ps, "regular expression: the name of a group has no \">\"");
}

static struct re_node *parse_group(struct parser *ps)
{
	bool fold = ps->fold, any_line = ps->any_line, dot_all = ps->dot_all;
	struct re_node *n;

	if (ps->options->syntax == REGEX_PERL) {
		bool look_behind = ps->end - ps->p > 2 && ps->p[1] == '<' && (ps->p[2] == '=' || ps->p[2] == '!');

		if (take_word(ps, "?P<") || (!look_behind && take_word(ps, "?<")))
			skip_name(ps);
		else if (take_word(ps, "?") && !parse_flags(ps)) {
			/* Flags alone: the group is empty, and what follows has them. */
			if (!take_char(ps, ')'))
				fail(ps, "regular expression: a bracket that starts flags is not closed");
			return re_node(ps->ast, RE_EMPTY);
		}
	}
	if (take_char(ps, ')'))
		return re_node(ps->ast, RE_EMPTY);
	if (!enter(ps))
		return NULL;
	n = parse_union(ps);
	ps->depth--;
	if (!take_char(ps, ')'))
		fail(ps, "regular expression: a \"(\" has no \")\"; expected at byte %zu", position(ps));
	ps->fold = fold;
	ps->any_line = any_line;
	ps->dot_all = dot_all;
	return n;
}

static struct re_node *parse_lucene_only(struct parser *ps)
{
	if (take_char(ps, '#'))
		return re_node(ps->ast, RE_NOTHING);
	if (take_char(ps, '@'))
		return re_any_text(ps->ast);
	if (take_char(ps, '"'))
		return parse_quoted(ps);
	if (take_char(ps, '<'))
		return parse_interval(ps);
	return NULL;
}

/* $ is also before a newline that ends the text. */
static struct re_node *dollar(struct parser *ps)
{
	if (ps->any_line)
		return place(ps, RE_LINE_END);
	return cat2(ps, repeat(ps->ast, range_node(ps, '\n', '\n', false), 0, 1), place(ps, RE_END));
}

static struct re_node *parse_perl_only(struct parser *ps)
{
	if (take_char(ps, '^'))
		return place(ps, ps->any_line ? RE_LINE_BEGIN : RE_BEGIN);
	if (take_char(ps, '$'))
		return dollar(ps);
	if (peek(ps, "?*+"))
		fail(ps, "regular expression: \"%c\" at byte %zu has nothing to repeat", *ps->p, position(ps));
	return NULL;
}

static struct re_node *dot(struct parser *ps)
{
	static _Thread_local struct ranges r;

	if (ps->options->syntax == REGEX_LUCENE || ps->dot_all)
		return any_char(ps);
	r.n = 0;
	ranges_add(&r, 0, '\n' - 1);
	ranges_add(&r, '\n' + 1, FOLD_CODE_MAX);
	return set_node(ps, &r);
}

static struct re_node *parse_simple(struct parser *ps)
{
	struct re_node *n;

	if (take_char(ps, '['))
		return parse_class(ps);
	if (take_char(ps, '.'))
		return dot(ps);
	if (take_char(ps, '('))
		return parse_group(ps);
	n = ps->options->syntax == REGEX_LUCENE ? parse_lucene_only(ps) : parse_perl_only(ps);
	if (n || ps->error)
		return n;
	if (take_char(ps, '\\'))
		return parse_escape(ps);
	return char_node(ps, next_char(ps));
}

static struct re_node *parse_complement(struct parser *ps)
{
	unsigned n = 0;
	struct re_node *node;

	while (ps->options->syntax == REGEX_LUCENE && take_char(ps, '~'))
		n++;
	node = parse_simple(ps);
	/* Two of them are none. */
	return n % 2 ? node_with(ps->ast, RE_NOT, node) : node;
}

/* {n}, {n,}, {n,m}. In Perl a brace that starts none of these is a letter. */
static bool is_count(const struct parser *ps)
{
	const char *p = ps->p + 1;

	if (ps->options->syntax == REGEX_LUCENE)
		return true;
	if (p == ps->end || *p < '0' || *p > '9')
		return false;
	while (p < ps->end && ((*p >= '0' && *p <= '9') || *p == ','))
		p++;
	return p < ps->end && *p == '}';
}

static struct re_node *parse_count(struct parser *ps, struct re_node *kid)
{
	uint32_t min, max;

	ps->p++;
	max = min = number(ps, REPEAT_MAX);
	if (take_char(ps, ','))
		max = peek(ps, "0123456789") ? number(ps, REPEAT_MAX) : RE_MANY;
	if (!take_char(ps, '}'))
		fail(ps, "regular expression: a \"{\" has no \"}\"; expected at byte %zu", position(ps));
	return repeat(ps->ast, kid, min, max);
}

static struct re_node *parse_repeat(struct parser *ps)
{
	struct re_node *n = parse_complement(ps);
	unsigned marks = 0;

	while (!ps->error && peek(ps, "?*+{") && (*ps->p != '{' || is_count(ps))) {
		if (++marks > REGEX_DEPTH_MAX) {
			ps->error = err_new(-E2BIG, "regular expression: more than %d repeats of one thing",
					    REGEX_DEPTH_MAX);
			break;
		}
		if (take_char(ps, '?'))
			n = repeat(ps->ast, n, 0, 1);
		else if (take_char(ps, '*'))
			n = repeat(ps->ast, n, 0, RE_MANY);
		else if (take_char(ps, '+'))
			n = repeat(ps->ast, n, 1, RE_MANY);
		else
			n = parse_count(ps, n);
		/* Lazy or possessive: the same texts fit (possessive: nearly). */
		if (ps->options->syntax == REGEX_PERL)
			(void)take_char(ps, '?');
	}
	return n;
}

/* Kids joined by a sign, or by nothing; one alone is itself. */
static struct re_node *chain(struct parser *ps, enum re_kind kind, struct re_node *(*part)(struct parser *ps),
			     bool (*goes_on)(struct parser *ps))
{
	struct re_node *first = part(ps), *last = first, *n;

	if (ps->error || !goes_on(ps))
		return first;
	n = node_with(ps->ast, kind, first);
	do {
		struct re_node *next = part(ps);

		if (ps->error)
			return NULL;
		/* One node may stand in two places only if it is the one for no memory. */
		last->next = next;
		last = next;
	} while (goes_on(ps) && !ps->ast->arena.failed);
	return n;
}

static bool goes_on_cat(struct parser *ps)
{
	return more(ps) && !peek(ps, ps->options->syntax == REGEX_LUCENE ? ")|&" : ")|");
}

static bool goes_on_and(struct parser *ps)
{
	return ps->options->syntax == REGEX_LUCENE && take_char(ps, '&');
}

static bool goes_on_alt(struct parser *ps)
{
	return take_char(ps, '|');
}

static struct re_node *parse_concat(struct parser *ps)
{
	/* In Perl there may be nothing before a bar; in Lucene the bar itself is then a letter. */
	if (ps->options->syntax == REGEX_PERL && !goes_on_cat(ps))
		return re_node(ps->ast, RE_EMPTY);
	return chain(ps, RE_CAT, parse_repeat, goes_on_cat);
}

static struct re_node *parse_and(struct parser *ps)
{
	return chain(ps, RE_AND, parse_concat, goes_on_and);
}

static struct re_node *parse_union(struct parser *ps)
{
	return chain(ps, RE_ALT, parse_and, goes_on_alt);
}

static struct re_node *parse_wildcard(struct parser *ps)
{
	struct re_node *cat = re_node(ps->ast, RE_CAT), **at = &cat->first;

	while (more(ps) && !ps->ast->arena.failed) {
		if (take_char(ps, '*')) {
			while (take_char(ps, '*'))
				;
			*at = re_any_text(ps->ast);
		} else if (!ps->options->star_only && take_char(ps, '?')) {
			*at = any_char(ps);
		} else {
			if (ps->options->escape && *ps->p == '\\' && ps->p + 1 < ps->end && ps->p[1] &&
			    strchr("*?\\", ps->p[1]))
				ps->p++;
			*at = char_node(ps, next_char(ps));
		}
		at = &(*at)->next;
	}
	return cat;
}

int re_parse(struct re_ast *ast, struct str pattern, const struct regex_options *options, struct re_node **ret_node)
{
	struct parser ps = { .ast = ast,
			     .options = options,
			     .text = pattern.p,
			     .p = pattern.p,
			     .end = pattern.p + pattern.n,
			     .fold = options->fold };
	struct re_node *n;

	if (pattern.n > REGEX_PATTERN_MAX)
		return err_new(-E2BIG, "a pattern of more than %d bytes", REGEX_PATTERN_MAX);
	if (!pattern.n)
		n = re_node(ast, RE_EMPTY);
	else if (options->syntax == REGEX_WILDCARD)
		n = parse_wildcard(&ps);
	else
		n = parse_union(&ps);
	if (!ps.error && ps.p < ps.end)
		fail(&ps, "regular expression: it could end before byte %zu, but goes on", position(&ps));
	if (ps.error)
		return ps.error;
	if (ast->arena.failed)
		return err_new(-E2BIG, "a pattern takes more memory than a pattern may");
	*ret_node = n;
	return 0;
}
