/* SPDX-License-Identifier: Apache-2.0 */
/*
 * multi - literals that are looked for by three of their bytes.
 *
 * Of each literal three bytes are chosen that few of the others have. The three bytes at each place of the text are
 * hashed: a map of bits says of nearly all places that they belong to no literal; else the few that have them are
 * compared whole. A literal of one or two bytes is looked for by its first.
 *
 * That takes a tenth of the memory of an automaton, and no step waits for the one before it.
 */
#include "match/multi.h"
#include <stdlib.h>
#include <string.h>
#include "base/bytes.h"
#include "base/err.h"
#include "match/fold.h"

enum {
	GRAM = 3,
	FIRSTS = 4,    /* so many bytes are looked for one by one */
	BITS_MIN = 10, /* of the hash: the map has two to the power of so many bits, */
	BITS_MAX = 20,
	BITS_EACH = 32, /* and so many for each literal */
	/* Bytes of text that are folded at once. A letter may fold to a third of its bytes: what all must begin with
	   stands in the first. */
	CHUNK = 1024,
};

/* Of the hash of three bytes. */
#define MULTIPLIER 0x9e3779b1U

_Static_assert(3 * MULTI_LITERAL_MAX <= CHUNK - UTF8_MAX, "what all must begin with stands in the first part");

struct literal {
	const char *p;
	uint16_t n, at; /* at: where in it the three bytes stand */
	uint32_t gram;  /* those */
	uint32_t next;  /* that is found in the same place: index + 1 */
	uint8_t where;
};

struct multi {
	struct literal *literals;
	uint32_t n;
	unsigned shift; /* of the hash */
	uint64_t *bits;
	uint32_t *grams, mask; /* hash table: index + 1 */
	/* Of one or two bytes, by the first: index + 1; those that may stand anywhere, and the others. NULL: none. */
	uint32_t *shorts, *edges;
	bool anywhere, short_end;
	unsigned char firsts[FIRSTS]; /* of the short ones that may stand anywhere: what they begin with, */
	unsigned n_firsts;            /* more than FIRSTS: any byte of the table */
	size_t head, tail;            /* where none may stand anywhere: bytes that are looked at */
	size_t longest;
	size_t bytes;
};

void multi_free(struct multi *m)
{
	if (!m)
		return;
	free(m->literals);
	free(m->bits);
	free(m->grams);
	free(m->shorts);
	free(m->edges);
	free(m);
}

size_t multi_size(const struct multi *m)
{
	return m->bytes;
}

static uint32_t gram_at(const char *p)
{
	return (uint32_t)(unsigned char)p[0] | (uint32_t)(unsigned char)p[1] << 8 | (uint32_t)(unsigned char)p[2] << 16;
}

static uint32_t hash_of(const struct multi *m, uint32_t gram)
{
	return gram * MULTIPLIER >> m->shift;
}

static int no_memory(void)
{
	return err_new(-ENOMEM, "no memory for literals");
}

static int take_literals(struct multi *m, const struct multi_literal *literals, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct multi_literal *l = &literals[i];

		if (l->text.n > MULTI_LITERAL_MAX)
			return err_new(-E2BIG, "a literal of more than %d bytes", MULTI_LITERAL_MAX);
		if (!l->text.n && l->where != MULTI_WHOLE)
			return err_new(-EINVAL, "an empty text is in every text");
		m->literals[i] = (struct literal) { .p = l->text.p, .n = (uint16_t)l->text.n, .where = l->where };
		m->longest = l->text.n > m->longest ? l->text.n : m->longest;
	}
	return 0;
}

static int make_room(struct multi *m, size_t n)
{
	unsigned bits = BITS_MIN;
	size_t size = 16;

	while (bits < BITS_MAX && (size_t)1 << bits < n * BITS_EACH)
		bits++;
	while (size < n)
		size *= 2;
	m->shift = 32 - bits;
	m->mask = (uint32_t)size - 1;
	m->literals = calloc(n + 1, sizeof(*m->literals));
	m->bits = calloc(((size_t)1 << bits) / 64, sizeof(*m->bits));
	m->grams = calloc(size, sizeof(*m->grams));
	m->bytes = sizeof(*m) + (n + 1) * sizeof(*m->literals) + ((size_t)1 << bits) / 8 + size * sizeof(*m->grams);
	return m->literals && m->bits && m->grams ? 0 : no_memory();
}

/* How many of the literals have each three bytes, by their hash. */
static void count_grams(const struct multi *m, uint32_t *counts)
{
	for (uint32_t i = 0; i < m->n; i++)
		for (size_t at = 0; at + GRAM <= m->literals[i].n; at++)
			counts[hash_of(m, gram_at(m->literals[i].p + at))]++;
}

static void choose_gram(struct multi *m, uint32_t index, const uint32_t *counts)
{
	struct literal *l = &m->literals[index];
	uint32_t best = UINT32_MAX, hash;

	for (size_t at = 0; at + GRAM <= l->n; at++) {
		uint32_t gram = gram_at(l->p + at);

		if (counts[hash_of(m, gram)] < best) {
			best = counts[hash_of(m, gram)];
			l->gram = gram;
			l->at = (uint16_t)at;
		}
	}
	hash = hash_of(m, l->gram);
	m->bits[hash / 64] |= 1ULL << (hash % 64);
	l->next = m->grams[hash & m->mask];
	m->grams[hash & m->mask] = index + 1;
	m->anywhere |= l->where == MULTI_ANYWHERE;
	if (l->where & MULTI_BEGIN && (size_t)l->at + GRAM > m->head)
		m->head = (size_t)l->at + GRAM;
	if (l->where == MULTI_END && (size_t)l->n - l->at > m->tail)
		m->tail = (size_t)l->n - l->at;
}

static void add_first(struct multi *m, unsigned char c)
{
	if (m->n_firsts > FIRSTS || memchr(m->firsts, c, m->n_firsts))
		return;
	if (m->n_firsts < FIRSTS)
		m->firsts[m->n_firsts] = c;
	m->n_firsts++;
}

static int add_short(struct multi *m, uint32_t index)
{
	struct literal *l = &m->literals[index];
	uint32_t **table;

	/* The empty one is asked for by itself. */
	if (!l->n)
		return 0;
	table = l->where == MULTI_ANYWHERE ? &m->shorts : &m->edges;
	if (!*table) {
		*table = calloc(256, sizeof(**table));
		m->bytes += 256 * sizeof(**table);
	}
	if (!*table)
		return no_memory();
	l->next = (*table)[(unsigned char)*l->p];
	(*table)[(unsigned char)*l->p] = index + 1;
	m->short_end |= l->where == MULTI_END;
	if (l->where == MULTI_ANYWHERE)
		add_first(m, (unsigned char)*l->p);
	return 0;
}

int multi_build(const struct multi_literal *literals, size_t n, struct multi **ret_multi)
{
	AUTO(multi) m = calloc(1, sizeof(*m));
	auto_free uint32_t *counts = NULL;
	int r;

	if (!m)
		return no_memory();
	if (n > MULTI_LITERALS_MAX)
		return err_new(-E2BIG, "more than %d literals", MULTI_LITERALS_MAX);
	r = make_room(m, n);
	if (r == 0)
		r = take_literals(m, literals, n);
	if (r < 0)
		return r;
	m->n = (uint32_t)n;
	counts = calloc((size_t)1 << (32 - m->shift), sizeof(*counts));
	if (!counts)
		return no_memory();
	count_grams(m, counts);
	for (uint32_t i = 0; r == 0 && i < m->n; i++) {
		if (m->literals[i].n >= GRAM)
			choose_gram(m, i, counts);
		else
			r = add_short(m, i);
	}
	if (r < 0)
		return r;
	*ret_multi = take(m);
	return 0;
}

/* ---- scanning ------------------------------------------------------------------------------------------ */

struct scan {
	const struct multi *m;
	const char *p; /* folded: all of the text, or a part of it, */
	size_t n;
	bool begins, ends; /* which is where that begins, and ends */
	multi_hit hit;
	void *ctx;
};

/* Is it there, its byte number l->at at place `at`? */
static bool is_there(const struct scan *s, const struct literal *l, size_t at)
{
	size_t begin = at - l->at;

	if (at < l->at || s->n - begin < l->n)
		return false;
	if ((l->where & MULTI_BEGIN && (begin || !s->begins)) ||
	    (l->where & MULTI_END && (begin + l->n != s->n || !s->ends)))
		return false;
	return bytes_same(s->p + begin, l->p, l->n);
}

static void __attribute__((noinline)) compare(const struct scan *s, uint32_t gram, uint32_t hash, size_t at)
{
	const struct literal *l;

	for (uint32_t k = s->m->grams[hash & s->m->mask]; k; k = l->next) {
		l = &s->m->literals[k - 1];
		if (l->gram == gram && is_there(s, l, at))
			s->hit(s->ctx, k - 1);
	}
}

/* Three bytes of four, that may be read at once. */
static inline uint32_t gram_of_four(const char *p)
{
	uint32_t four;

	if (__BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__)
		return gram_at(p);
	memcpy(&four, p, sizeof(four));
	return four & 0xffffff;
}

static void scan_range(const struct scan *s, size_t from, size_t to)
{
	const uint64_t *bits = s->m->bits;
	const unsigned shift = s->m->shift;
	const char *p = s->p + from, *last = s->p + to - GRAM;
	uint32_t gram, hash;

	if (to - from < GRAM)
		return;
	for (; p <= last; p++) {
		gram = p < last ? gram_of_four(p) : gram_at(p);
		hash = gram * MULTIPLIER >> shift;
		if (bits[hash / 64] >> (hash % 64) & 1)
			compare(s, gram, hash, (size_t)(p - s->p));
	}
}

static void look_for_shorts(const struct scan *s, const uint32_t *table, size_t at)
{
	const struct literal *l;

	for (uint32_t k = table[(unsigned char)s->p[at]]; k; k = l->next) {
		l = &s->m->literals[k - 1];
		if (is_there(s, l, at))
			s->hit(s->ctx, k - 1);
	}
}

static void scan_shorts(const struct scan *s)
{
	const struct multi *m = s->m;
	const char *end = s->p + s->n;

	if (m->n_firsts > FIRSTS) {
		for (size_t at = 0; at < s->n; at++)
			if (m->shorts[(unsigned char)s->p[at]])
				look_for_shorts(s, m->shorts, at);
		return;
	}
	for (unsigned i = 0; i < m->n_firsts; i++)
		for (const char *p = s->p; (p = memchr(p, m->firsts[i], (size_t)(end - p))); p++)
			look_for_shorts(s, m->shorts, (size_t)(p - s->p));
}

/* Those that must be the beginning or the end, or both. */
static void scan_edges(const struct scan *s)
{
	look_for_shorts(s, s->m->edges, 0);
	for (size_t i = 1; s->m->short_end && i < GRAM && i < s->n; i++)
		look_for_shorts(s, s->m->edges, s->n - i);
}

static inline void scan(const struct scan *s)
{
	const struct multi *m = s->m;
	size_t n = s->n;

	if (m->anywhere || m->head + m->tail >= n) {
		scan_range(s, 0, n);
	} else {
		if (s->begins)
			scan_range(s, 0, m->head);
		if (s->ends)
			scan_range(s, n - m->tail, n);
	}
	if (m->shorts)
		scan_shorts(s);
	if (m->edges)
		scan_edges(s);
}

void multi_scan_folded(const struct multi *m, const char *p, size_t n, multi_hit hit, void *ctx)
{
	const struct scan s = { m, p, n, true, true, hit, ctx };

	if (n) {
		scan(&s);
		return;
	}
	for (uint32_t i = 0; i < m->n; i++)
		if (!m->literals[i].n)
			hit(ctx, i);
}

void multi_scan(const struct multi *m, const char *p, size_t n, multi_hit hit, void *ctx)
{
	char room[MULTI_LITERAL_MAX + FOLD_ROOM(CHUNK)];
	struct scan s = { .m = m, .p = room, .begins = true, .hit = hit, .ctx = ctx };
	size_t chunk, keep;

	if (!n) {
		multi_scan_folded(m, p, n, hit, ctx);
		return;
	}
	/* Of each part the end is kept in which a literal may have begun that goes on in the next. */
	for (; !s.ends; s.begins = false) {
		chunk = fold_chunk(p, n, CHUNK);
		s.n += fold_text(p, chunk, room + s.n);
		p += chunk;
		n -= chunk;
		s.ends = !n;
		scan(&s);
		keep = m->longest ? m->longest - 1 : 0;
		keep = keep < s.n ? keep : s.n;
		memmove(room, room + s.n - keep, keep);
		s.n = keep;
	}
}
