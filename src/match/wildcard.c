/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wildcard - patterns taken apart at their stars.
 *
 * Bytes may be compared in place of characters: a piece is well-formed, so it begins at the beginning of a character
 * wherever it stands, and ends at an end. Where case does not count, pieces are folded, and the text is once for all of
 * them; a text that is too long for that is folded part by part, for each pattern.
 *
 * Between head and tail each piece is taken where it stands first: what comes after a star can only gain by that.
 *
 * Patterns are in groups: with a head; with a tail only; with neither ("*a*"). Eight bytes of the head or the tail
 * stand beside the pattern and rule most out. Many of the third group are looked for at once, by the first two bytes.
 */
#include "match/wildcard.h"
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "match/fold.h"

enum {
	FEW = 3,        /* patterns of a group: up to here they are looked for one by one */
	TRIES_MAX = 24, /* of finding a piece by its first byte */
	KEY = 8,
	PAIRS_MAX = 2048, /* of the hash table of first two bytes; a power of two */
};

struct plain {
	unsigned char key[KEY], mask[KEY]; /* of the last bytes of the head, else of the tail */
	uint32_t at;                       /* in bytes: head, tail, and each piece behind its length */
	uint16_t least;                    /* bytes that a text must have */
	uint16_t n_pieces;
	uint8_t head, tail;
	bool star;
	uint16_t next; /* with the same first two bytes: index + 1 */
};

struct wildcards {
	bool fold, all, empty; /* all: any text fits; empty: the empty one does, too */
	uint16_t n_heads, n_tails, n_alone, n_paired;
	uint32_t pair_mask;
	struct plain *plain;
	char *bytes;
	uint16_t *pairs; /* by pair_hash(): index + 1 */
	/* What heads begin and tails end with. */
	uint64_t first[4], last[4];
	struct regex *rest;
	size_t n_rest, size;
};

void wildcards_free(struct wildcards *w)
{
	if (!w)
		return;
	regex_free(w->rest);
	free(w->plain);
	free(w->bytes);
	free(w->pairs);
	free(w);
}

size_t wildcards_in_regex(const struct wildcards *w)
{
	return w->n_rest;
}

size_t wildcards_size(const struct wildcards *w)
{
	return w->size;
}

static unsigned pair_hash(const char *p)
{
	return ((unsigned char)p[0] * 37U) ^ ((unsigned char)p[1] * 5U);
}

static bool has_bit(const uint64_t bits[4], unsigned char c)
{
	return bits[c / 64] >> (c % 64) & 1;
}

static void set_bit(uint64_t bits[4], unsigned char c)
{
	bits[c / 64] |= 1ULL << (c % 64);
}

/* ---- taking apart ------------------------------------------------------------------------------------- */

enum group { GROUP_HEAD, GROUP_TAIL, GROUP_ALONE, GROUP_PAIRED, GROUPS };

struct pieces {
	char bytes[FOLD_ROOM(WILDCARD_PATTERN_MAX)];
	struct {
		uint32_t at, n;
	} piece[WILDCARD_PATTERN_MAX + 1]; /* between stars, empty ones too */
	size_t n;
};

/* False: the pattern is not plain. */
static bool take_apart(struct str s, const struct regex_options *o, struct pieces *ret_pieces)
{
	char raw[WILDCARD_PATTERN_MAX];
	const char *p = s.p, *end = s.p + s.n;
	struct pieces *to = ret_pieces;
	size_t n = 0, used = 0;

	to->n = 0;
	if (s.n > WILDCARD_PATTERN_MAX || !utf8_is_valid(s.p, s.n))
		return false;
	for (;; p++) {
		if (p == end || *p == '*') {
			to->piece[to->n].at = (uint32_t)used;
			to->piece[to->n].n = (uint32_t)(o->fold ? fold_text(raw, n, to->bytes + used) : n);
			if (!o->fold && n)
				memcpy(to->bytes + used, raw, n);
			if (to->piece[to->n].n > WILDCARD_PIECE_MAX)
				return false;
			used += to->piece[to->n++].n;
			n = 0;
			if (p == end)
				return true;
			continue;
		}
		if (*p == '?' && !o->star_only)
			return false;
		if (o->escape && *p == '\\' && p + 1 < end && (p[1] == '*' || p[1] == '?' || p[1] == '\\'))
			p++;
		raw[n++] = *p;
	}
}

/* Several pieces are looked for alone: that the first is there says little, and all from there on would be read again.
 */
static enum group group_of(const struct pieces *pc, bool few)
{
	size_t n = 0, longest = 0;

	if (pc->piece[0].n)
		return GROUP_HEAD;
	if (pc->piece[pc->n - 1].n)
		return GROUP_TAIL;
	for (size_t i = 0; i < pc->n; i++) {
		n += pc->piece[i].n > 0;
		longest = pc->piece[i].n > longest ? pc->piece[i].n : longest;
	}
	return few || n > 1 || longest < 2 ? GROUP_ALONE : GROUP_PAIRED;
}

/* Fits every text, or the empty one only: there is nothing to compare. */
static bool is_trivial(const struct pieces *pc)
{
	for (size_t i = 0; i < pc->n; i++)
		if (pc->piece[i].n)
			return false;
	return true;
}

struct building {
	struct wildcards *w;
	const struct regex_options *options;
	struct pieces pieces;
	uint32_t n[GROUPS], n_bytes, at[GROUPS];
	bool few;
};

static void set_key(struct plain *pl, const char *bytes, size_t n, bool at_end)
{
	size_t most = n < KEY ? n : KEY, to = at_end ? KEY - most : 0;

	memcpy(pl->key + to, bytes + n - most, most);
	memset(pl->mask + to, 0xff, most);
}

static void add_plain(struct building *b, enum group group)
{
	const struct pieces *pc = &b->pieces;
	struct wildcards *w = b->w;
	uint32_t index = b->at[group]++;
	struct plain *pl = &w->plain[index];
	char *to = w->bytes + b->n_bytes;
	const char *head = pc->bytes, *tail = pc->bytes + pc->piece[pc->n - 1].at;

	*pl = (struct plain) { .at = b->n_bytes, .head = (uint8_t)pc->piece[0].n, .star = pc->n > 1 };
	if (pl->star)
		pl->tail = (uint8_t)pc->piece[pc->n - 1].n;
	pl->least = (uint16_t)(pl->head + pl->tail);
	memcpy(to, head, pl->head);
	memcpy(to + pl->head, tail, pl->tail);
	to += pl->head + pl->tail;
	for (size_t i = 1; i + 1 < pc->n; i++) {
		if (!pc->piece[i].n)
			continue;
		*to++ = (char)pc->piece[i].n;
		memcpy(to, pc->bytes + pc->piece[i].at, pc->piece[i].n);
		to += pc->piece[i].n;
		pl->least = (uint16_t)(pl->least + pc->piece[i].n);
		pl->n_pieces++;
	}
	if (group == GROUP_HEAD) {
		set_key(pl, head, pl->head, false);
		set_bit(w->first, (unsigned char)*head);
	} else if (group == GROUP_TAIL) {
		set_key(pl, tail, pl->tail, true);
		set_bit(w->last, (unsigned char)tail[pl->tail - 1]);
	} else if (group == GROUP_PAIRED) {
		uint16_t *slot = &w->pairs[pair_hash(w->bytes + pl->at + 1) & w->pair_mask];

		pl->next = *slot;
		*slot = (uint16_t)(index + 1);
	}
	b->n_bytes = (uint32_t)(to - w->bytes);
}

static int no_memory(void)
{
	return err_new(-ENOMEM, "no memory for a pattern");
}

static int make_room(struct building *b)
{
	struct wildcards *w = b->w;
	uint32_t n = 0, pairs = 64;

	/* Looking for a few together is no gain. */
	b->few = b->n[GROUP_PAIRED] <= FEW;
	if (b->few) {
		b->n[GROUP_ALONE] += b->n[GROUP_PAIRED];
		b->n[GROUP_PAIRED] = 0;
	}
	for (int g = 0; g < GROUPS; g++) {
		b->at[g] = n;
		n += b->n[g];
	}
	w->n_heads = (uint16_t)b->n[GROUP_HEAD];
	w->n_tails = (uint16_t)b->n[GROUP_TAIL];
	w->n_alone = (uint16_t)b->n[GROUP_ALONE];
	w->n_paired = (uint16_t)b->n[GROUP_PAIRED];
	w->plain = calloc(n ? n : 1, sizeof(*w->plain));
	w->bytes = calloc(b->n_bytes ? b->n_bytes : 1, 1);
	if (!w->plain || !w->bytes)
		return no_memory();
	w->size += n * sizeof(*w->plain) + b->n_bytes;
	b->n_bytes = 0;
	if (!w->n_paired)
		return 0;
	while (pairs < 4U * w->n_paired && pairs < PAIRS_MAX)
		pairs *= 2;
	w->pair_mask = pairs - 1;
	w->pairs = calloc(pairs, sizeof(*w->pairs));
	w->size += pairs * sizeof(*w->pairs);
	return w->pairs ? 0 : no_memory();
}

int wildcards_compile(const struct str *patterns, size_t n, const struct regex_options *options,
		      struct wildcards **ret_wildcards)
{
	struct regex_options o = { .syntax = REGEX_WILDCARD,
				   .fold = options->fold,
				   .star_only = options->star_only,
				   .escape = options->escape };
	AUTO(wildcards) w = calloc(1, sizeof(*w));
	auto_free struct building *b = calloc(1, sizeof(*b));
	auto_free struct str *rest = calloc(n ? n : 1, sizeof(*rest));
	int r;

	if (!w || !b || !rest)
		return no_memory();
	if (n > REGEX_PATTERNS_MAX)
		return err_new(-E2BIG, "more than %d patterns", REGEX_PATTERNS_MAX);
	*b = (struct building) { .w = w, .options = &o };
	w->fold = o.fold;
	w->size = sizeof(*w);
	for (size_t i = 0; i < n; i++) {
		if (!take_apart(patterns[i], &o, &b->pieces)) {
			rest[w->n_rest++] = patterns[i];
		} else if (is_trivial(&b->pieces)) {
			w->empty = true;
			w->all |= b->pieces.n > 1;
		} else {
			const struct pieces *pc = &b->pieces;

			b->n[group_of(pc, false)]++;
			/* A length for each piece, at the most. */
			b->n_bytes += pc->piece[pc->n - 1].at + pc->piece[pc->n - 1].n + (uint32_t)pc->n;
		}
	}
	r = make_room(b);
	for (size_t i = 0; r == 0 && i < n; i++)
		if (take_apart(patterns[i], &o, &b->pieces) && !is_trivial(&b->pieces))
			add_plain(b, group_of(&b->pieces, b->few));
	if (r == 0 && w->n_rest) {
		r = regex_compile(rest, w->n_rest, &o, &w->rest);
		if (r == 0)
			w->size += regex_size(w->rest);
	}
	if (r < 0)
		return r;
	*ret_wildcards = take(w);
	return 0;
}

/* ---- matching ------------------------------------------------------------------------------------------- */

/* memmem() sets tables up, which takes longer than most texts; but only it stays linear whatever they are. */
static const char *find(const char *p, const char *end, const char *piece, size_t n)
{
	for (unsigned tries = 0; (size_t)(end - p) >= n; p++) {
		if (tries++ == TRIES_MAX)
			return memmem(p, (size_t)(end - p), piece, n);
		p = memchr(p, *piece, (size_t)(end - p) - n + 1);
		if (!p)
			return NULL;
		if (p[n - 1] == piece[n - 1] && !memcmp(p, piece, n))
			return p;
	}
	return NULL;
}

/* Are the first n of the pieces there, one after the other? */
static bool find_all(const char *p, const char *end, const char *piece, size_t n)
{
	for (; n; n--) {
		size_t len = (unsigned char)*piece++;

		p = find(p, end, piece, len);
		if (!p)
			return false;
		p += len;
		piece += len;
	}
	return true;
}

static const char *pieces_of(const struct wildcards *w, const struct plain *pl)
{
	return w->bytes + pl->at + pl->head + pl->tail;
}

/* Of the text all but the eight bytes that the key is about. */
static bool fits(const struct wildcards *w, const struct plain *pl, const char *p, size_t n)
{
	const char *bytes = w->bytes + pl->at;

	if (!pl->star && n != pl->head)
		return false;
	if (pl->head > KEY && memcmp(p, bytes, pl->head - KEY))
		return false;
	if (pl->tail && memcmp(p + n - pl->tail, bytes + pl->head, pl->tail))
		return false;
	return !pl->n_pieces || find_all(p + pl->head, p + n - pl->tail, pieces_of(w, pl), pl->n_pieces);
}

static inline uint64_t word(const void *p)
{
	uint64_t w;

	memcpy(&w, p, sizeof(w));
	return w;
}

/* The first, or last, bytes of a text that has not that many. */
static uint64_t short_word(const char *p, size_t n, bool at_end)
{
	char room[KEY] = { 0 };

	memcpy(room + (at_end ? KEY - n : 0), p, n);
	return word(room);
}

static bool any_head(const struct wildcards *w, const char *p, size_t n)
{
	uint64_t begin = n >= KEY ? word(p) : short_word(p, n, false);

	if (w->n_heads > FEW && !has_bit(w->first, (unsigned char)*p))
		return false;
	for (const struct plain *pl = w->plain, *end = pl + w->n_heads; pl < end; pl++) {
		if (n < pl->least)
			continue;
		if (((pl->head > KEY ? word(p + pl->head - KEY) : begin) & word(pl->mask)) == word(pl->key) &&
		    fits(w, pl, p, n))
			return true;
	}
	return false;
}

static bool any_tail(const struct wildcards *w, const char *p, size_t n)
{
	uint64_t last = n >= KEY ? word(p + n - KEY) : short_word(p, n, true);

	if (w->n_tails > FEW && !has_bit(w->last, (unsigned char)p[n - 1]))
		return false;
	for (const struct plain *pl = w->plain + w->n_heads, *end = pl + w->n_tails; pl < end; pl++)
		if (n >= pl->least && (last & word(pl->mask)) == word(pl->key) && fits(w, pl, p, n))
			return true;
	return false;
}

static bool any_paired(const struct wildcards *w, uint32_t index, const char *p, size_t n)
{
	while (index) {
		const struct plain *pl = &w->plain[index - 1];

		if (n >= pl->least && !memcmp(p, pieces_of(w, pl) + 1, pl->least))
			return true;
		index = pl->next;
	}
	return false;
}

static bool any_inside(const struct wildcards *w, const char *p, size_t n)
{
	const struct plain *pl = w->plain + w->n_heads + w->n_tails;
	const char *end = p + n;

	for (const struct plain *last = pl + w->n_alone; pl < last; pl++)
		if (n >= pl->least && find_all(p, end, pieces_of(w, pl), pl->n_pieces))
			return true;
	if (!w->n_paired)
		return false;
	for (; p + 1 < end; p++) {
		uint32_t index = w->pairs[pair_hash(p) & w->pair_mask];

		if (index && any_paired(w, index, p, (size_t)(end - p)))
			return true;
	}
	return false;
}

/* ---- long texts in any case -------------------------------------------------------------------------------- */

struct stream {
	const char *p, *end; /* not folded yet */
	size_t at, n;        /* folded, and not looked at */
	char room[WILDCARD_PIECE_MAX + FOLD_ROOM(WILDCARD_CHUNK_MAX)];
};

static bool goes_on(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

static bool stream_find(struct stream *t, const char *piece, size_t n)
{
	for (;;) {
		const char *at = find(t->room + t->at, t->room + t->n, piece, n);
		size_t keep = t->n - t->at < n ? t->n - t->at : n - 1, chunk;

		if (at) {
			t->at = (size_t)(at - t->room) + n;
			return true;
		}
		if (t->p == t->end)
			return false;
		chunk = fold_chunk(t->p, (size_t)(t->end - t->p), WILDCARD_CHUNK_MAX);
		memmove(t->room, t->room + t->n - keep, keep);
		t->n = keep + fold_text(t->p, chunk, t->room + keep);
		t->at = 0;
		t->p += chunk;
	}
}

/* As many characters at the end of the text as the tail has; SIZE_MAX: they are not the tail. */
static size_t tail_at(const char *p, size_t n, const char *tail, size_t tail_n)
{
	size_t at = n;

	for (size_t i = 0; i < tail_n; i++) {
		if (goes_on(tail[i]))
			continue;
		while (at && goes_on(p[at - 1]))
			at--;
		if (!at)
			return SIZE_MAX;
		at--;
	}
	return fold_equal(p + at, n - at, tail, tail_n) ? at : SIZE_MAX;
}

static bool fits_long(const struct wildcards *w, const struct plain *pl, const char *p, size_t n)
{
	const char *bytes = w->bytes + pl->at, *piece = pieces_of(w, pl);
	struct stream t;
	size_t head = 0, tail = n;

	/* It is longer than any piece, however that is written. */
	if (!pl->star || !fold_starts(p, n, bytes, pl->head, &head))
		return false;
	if (pl->tail)
		tail = tail_at(p, n, bytes + pl->head, pl->tail);
	if (tail == SIZE_MAX || tail < head)
		return false;
	t.p = p + head;
	t.end = p + tail;
	t.at = t.n = 0;
	for (size_t i = 0; i < pl->n_pieces; i++) {
		size_t len = (unsigned char)*piece++;

		if (!stream_find(&t, piece, len))
			return false;
		piece += len;
	}
	return true;
}

static bool any_of_long(const struct wildcards *w, const char *p, size_t n)
{
	size_t n_plain = (size_t)w->n_heads + w->n_tails + w->n_alone + w->n_paired;

	for (size_t i = 0; i < n_plain; i++)
		if (fits_long(w, &w->plain[i], p, n))
			return true;
	return false;
}

/* ---- all of them ------------------------------------------------------------------------------------------- */

static bool any_of(const struct wildcards *w, const char *p, size_t n)
{
	return (w->n_heads && any_head(w, p, n)) || (w->n_tails && any_tail(w, p, n)) ||
	       (w->n_alone + w->n_paired && any_inside(w, p, n));
}

/* May a head or a tail have that byte? What is not ASCII may fold to ASCII. */
static bool may_be(const uint64_t bits[4], unsigned char c)
{
	return c >= 0x80 || has_bit(bits, (unsigned char)fold_code(c));
}

/* By itself, so that only who folds has the room on the stack. */
static bool __attribute__((noinline)) any_folded(const struct wildcards *w, const char *p, size_t n)
{
	char folded[FOLD_ROOM(WILDCARD_CHUNK_MAX)];

	if (!(w->n_alone + w->n_paired) && !may_be(w->first, (unsigned char)p[0]) &&
	    !may_be(w->last, (unsigned char)p[n - 1]))
		return false;
	if (n > WILDCARD_CHUNK_MAX)
		return any_of_long(w, p, n);
	return any_of(w, folded, fold_text(p, n, folded));
}

bool wildcards_match(const struct wildcards *w, const char *p, size_t n)
{
	if (!n ? w->empty : w->all || (w->fold ? any_folded(w, p, n) : any_of(w, p, n)))
		return true;
	return w->rest && regex_matches(w->rest, p, n);
}
