/* SPDX-License-Identifier: Apache-2.0 */
/*
 * multi - an Aho-Corasick automaton with all its moves written out.
 *
 * It reads folded bytes; that the text begins or ends are two more letters, so that literals which
 * must stand there are literals like others. Bytes that no literal has are one letter. A move holds
 * where the next node's row begins, and whether a literal ends there.
 */
#include "match/multi.h"
#include <string.h>
#include "base/err.h"
#include "match/fold.h"

enum { LETTER_OTHER = 0, LETTER_BEGIN, LETTER_END, LETTERS_FIRST };
#define NONE UINT32_MAX
#define HIT  (1U << 31)

struct multi {
	uint8_t letter[256]; /* of bytes; capital letters have that of the small ones */
	uint32_t letters;
	uint32_t n;      /* nodes */
	uint32_t first;  /* row after the beginning of the text, with HIT */
	uint32_t end;    /* row that nothing leads out of, or NONE: literals may stand anywhere */
	uint32_t *next;  /* of each node and letter */
	uint32_t *hits;  /* of each node: where its list begins in `lists` */
	uint32_t *lists; /* literals, then NONE */
	size_t bytes;
};

void multi_free(struct multi *m)
{
	if (!m)
		return;
	free(m->next);
	free(m->hits);
	free(m->lists);
	free(m);
}

size_t multi_size(const struct multi *m)
{
	return m->bytes;
}

/* Literals as they are read: letters of the automaton. */
struct build {
	struct multi *m;
	uint32_t cap;
	uint32_t *fail, *queue;
	uint32_t *own, *own_next; /* of a node: the last literal that ends here; of a literal: the one before it */
	uint8_t *text;            /* folded, of one literal */
	bool anywhere;
};

static void build_close(struct build *b)
{
	free(b->fail);
	free(b->queue);
	free(b->own);
	free(b->own_next);
	free(b->text);
}

static bool literal_is_good(const struct multi_literal *l)
{
	return l->text.n <= MULTI_LITERAL_MAX && (l->text.n || l->where == MULTI_WHOLE);
}

/* Which bytes count, and how many nodes there may be. */
static int measure(struct build *b, const struct multi_literal *literals, size_t n)
{
	struct multi *m = b->m;
	size_t nodes = 2;

	m->letters = LETTERS_FIRST;
	for (size_t i = 0; i < n; i++) {
		size_t len;

		if (!literal_is_good(&literals[i]))
			return literals[i].text.n
				       ? err_new(-E2BIG, "a literal of more than %d bytes", MULTI_LITERAL_MAX)
				       : err_new(-EINVAL, "an empty text is in every text");
		len = fold_text(literals[i].text.p, literals[i].text.n, (char *)b->text);
		for (size_t k = 0; k < len; k++)
			if (!m->letter[b->text[k]])
				m->letter[b->text[k]] = (uint8_t)m->letters++;
		nodes += len + 2;
		if (!(literals[i].where & MULTI_BEGIN))
			b->anywhere = true;
	}
	for (int c = 'A'; c <= 'Z'; c++)
		m->letter[c] = m->letter[c | 0x20];
	b->cap = (uint32_t)nodes;
	if (nodes * m->letters > MULTI_CELLS_MAX)
		return err_new(-E2BIG, "the literals take a table of more than %d cells", MULTI_CELLS_MAX);
	return 0;
}

static int make_room(struct build *b, size_t n_literals)
{
	struct multi *m = b->m;

	m->next = calloc((size_t)b->cap * m->letters, sizeof(*m->next));
	b->fail = calloc(b->cap, sizeof(*b->fail));
	b->queue = calloc(b->cap, sizeof(*b->queue));
	b->own = malloc(b->cap * sizeof(*b->own));
	b->own_next = calloc(n_literals + 1, sizeof(*b->own_next));
	if (!m->next || !b->fail || !b->queue || !b->own || !b->own_next)
		return err_new(-ENOMEM, "no memory for literals");
	memset(b->own, 0xff, b->cap * sizeof(*b->own));
	return 0;
}

static uint32_t down(struct multi *m, uint32_t node, uint32_t letter)
{
	uint32_t *to = &m->next[(size_t)node * m->letters + letter];

	if (!*to)
		*to = m->n++;
	return *to;
}

/* Node 0 is the root: nothing read that could begin a literal. Zero in a row is "no node" until moves are filled. */
static void add_literal(struct build *b, const struct multi_literal *l, uint32_t index)
{
	struct multi *m = b->m;
	size_t len = fold_text(l->text.p, l->text.n, (char *)b->text);
	uint32_t at = 0;

	if (l->where & MULTI_BEGIN)
		at = down(m, at, LETTER_BEGIN);
	for (size_t i = 0; i < len; i++)
		at = down(m, at, m->letter[b->text[i]]);
	if (l->where & MULTI_END)
		at = down(m, at, LETTER_END);
	b->own_next[index] = b->own[at];
	b->own[at] = index;
}

/* Breadth first: a node's moves are its own, or those of the longest other beginning that it ends in. */
static void fill_moves(struct build *b)
{
	struct multi *m = b->m;
	uint32_t head = 0, tail = 0;

	for (uint32_t c = 0; c < m->letters; c++)
		if (m->next[c])
			b->queue[tail++] = m->next[c];
	while (head < tail) {
		uint32_t at = b->queue[head++];
		uint32_t *row = &m->next[(size_t)at * m->letters];
		const uint32_t *other = &m->next[(size_t)b->fail[at] * m->letters];

		for (uint32_t c = 0; c < m->letters; c++) {
			if (!row[c]) {
				row[c] = other[c];
				continue;
			}
			b->fail[row[c]] = other[c];
			b->queue[tail++] = row[c];
		}
	}
}

static uint32_t put_list(const struct build *b, uint32_t node, uint32_t *lists, uint32_t at)
{
	bool any = false;

	for (; node; node = b->fail[node])
		for (uint32_t l = b->own[node]; l != NONE; l = b->own_next[l]) {
			if (lists)
				lists[at] = l;
			at++;
			any = true;
		}
	if (!any)
		return at;
	if (lists)
		lists[at] = NONE;
	return at + 1;
}

/* What ends at each node, its own and that of shorter endings; then moves become places of rows, with HIT. */
static int finish(struct build *b)
{
	struct multi *m = b->m;
	size_t cells = (size_t)m->n * m->letters;
	uint32_t at = 0;
	void *p;

	for (uint32_t i = 0; i < m->n; i++)
		at = put_list(b, i, NULL, at);
	m->hits = malloc(m->n * sizeof(*m->hits));
	m->lists = malloc((at + 1) * sizeof(*m->lists));
	p = realloc(m->next, cells * sizeof(*m->next));
	if (p)
		m->next = p;
	if (!m->hits || !m->lists || !p)
		return err_new(-ENOMEM, "no memory for literals");
	m->bytes = sizeof(*m) + cells * sizeof(*m->next) + (m->n + at) * sizeof(uint32_t);
	at = 0;
	for (uint32_t i = 0; i < m->n; i++) {
		uint32_t end = put_list(b, i, m->lists, at);

		m->hits[i] = end > at ? at : NONE;
		at = end;
	}
	for (size_t i = 0; i < cells; i++)
		m->next[i] = m->next[i] * m->letters | (m->hits[m->next[i]] != NONE ? HIT : 0);
	m->first = m->next[LETTER_BEGIN];
	/* Without literals in the middle the root is where all is lost, but for those that are the end. */
	m->end = b->anywhere ? NONE : 0;
	return 0;
}

int multi_build(const struct multi_literal *literals, size_t n, struct multi **ret_multi)
{
	__attribute__((cleanup(build_close))) struct build b = { 0 };
	AUTO(multi) m = calloc(1, sizeof(*m));
	size_t longest = 0;
	int r;

	if (!m)
		return err_new(-ENOMEM, "no memory for literals");
	if (n > MULTI_LITERALS_MAX)
		return err_new(-E2BIG, "more than %d literals", MULTI_LITERALS_MAX);
	for (size_t i = 0; i < n; i++)
		longest = literals[i].text.n > longest ? literals[i].text.n : longest;
	b.m = m;
	b.text = malloc(FOLD_ROOM(longest));
	if (!b.text)
		return err_new(-ENOMEM, "no memory for literals");
	r = measure(&b, literals, n);
	if (r == 0)
		r = make_room(&b, n);
	if (r < 0)
		return r;
	m->n = 1;
	for (size_t i = 0; i < n; i++)
		add_literal(&b, &literals[i], (uint32_t)i);
	fill_moves(&b);
	r = finish(&b);
	if (r < 0)
		return r;
	*ret_multi = take(m);
	return 0;
}

static void report(const struct multi *m, uint32_t row, size_t end, multi_hit hit, void *ctx)
{
	for (const uint32_t *l = &m->lists[m->hits[(row & ~HIT) / m->letters]]; *l != NONE; l++)
		hit(ctx, *l, end);
}

void multi_scan(const struct multi *m, const char *p, size_t n, multi_hit hit, void *ctx)
{
	const char *begin = p, *end = p + n;
	uint32_t at = m->first;

	while (p < end) {
		unsigned char c = (unsigned char)*p;
		uint32_t row = at & ~HIT;

		if (at & HIT)
			report(m, at, (size_t)(p - begin), hit, ctx);
		if (row == m->end)
			return;
		if (c < 0x80) {
			at = m->next[row + m->letter[c]];
			p++;
		} else {
			char folded[UTF8_MAX];
			size_t len = fold_put(fold_code(fold_next_slow(&p, end)), folded);

			for (size_t i = 0; i < len; i++) {
				/* A literal ends with a character, never within one. */
				at = m->next[(at & ~HIT) + m->letter[(unsigned char)folded[i]]];
			}
		}
	}
	if (at & HIT)
		report(m, at, n, hit, ctx);
	at = m->next[(at & ~HIT) + LETTER_END];
	if (at & HIT)
		report(m, at, n, hit, ctx);
}
