/* SPDX-License-Identifier: Apache-2.0 */
#include "sequence/pipes.h"
#include <errno.h>
#include "base/err.h"
#include "base/hash.h"
#include "base/map.h"
#include "sequence/pack.h"

enum { ROWS_MAX = 1 << 26, KEY_TEXT_MAX = 1 << 20, KEY_VALUES_MAX = 64, KEY_ITEMS_MAX = 256 };

/* A row that is kept, in one piece with all that it points to. */
struct kept {
	struct kept *next;
	size_t size, order;
	struct pipe_row row;
	const void *key; /* what it is sorted or counted by, packed exactly */
	size_t key_len;
	const void *folded; /* ... as it is looked up */
	size_t folded_len;
	uint64_t count;
};

struct pipe {
	const struct query_pipe *q;
	struct kept *first, *last;
	struct map map;
	uint64_t n, count; /* kept; let through, or counted */
	bool ended;        /* nothing more is taken */
};

struct pipes {
	struct pipes_options options;
	size_t n_pipes;
	uint64_t used, refused;
	struct buf exact, folded;
	struct pipe pipe[];
};

/* ---- keeping rows ---------------------------------------------------------------------------- */

struct wanted {
	const void *bytes;
	size_t len;
};

static bool has_folded(const void *item, const void *key)
{
	const struct kept *k = item;
	const struct wanted *w = key;

	return k->folded_len == w->len && memcmp(k->folded, w->bytes, w->len) == 0;
}

static size_t room_of(size_t n)
{
	return (n + 15) & ~(size_t)15;
}

static void *copy(char **at, const void *from, size_t n)
{
	char *to = *at;

	if (!n)
		return NULL;
	memcpy(to, from, n);
	*at += room_of(n);
	return to;
}

/* NULL, and counted: no room. The arguments' values are in p->exact and p->folded. */
static struct kept *keep(struct pipes *p, struct pipe *to, const struct pipe_row *row)
{
	size_t size = room_of(sizeof(struct kept)) + room_of(row->n_slots * sizeof(row->slots[0])) +
		      room_of(row->key_len) + room_of(row->n_captures * sizeof(row->captures[0])) +
		      room_of(row->counted_key_len) + room_of(p->exact.len) + room_of(p->folded.len);
	struct machine_capture *captures;
	struct kept *k;
	char *at;

	for (size_t i = 0; i < row->n_captures; i++)
		size += room_of(row->captures[i].n);
	if (size > p->options.memory - p->used || !(k = malloc(size))) {
		p->refused++;
		return NULL;
	}
	at = (char *)k + room_of(sizeof(*k));
	*k = (struct kept) { .size = size, .order = to->n++, .row = *row };
	k->row.slots = copy(&at, row->slots, row->n_slots * sizeof(row->slots[0]));
	k->row.key = copy(&at, row->key, row->key_len);
	captures = copy(&at, row->captures, row->n_captures * sizeof(row->captures[0]));
	k->row.captures = captures;
	for (size_t i = 0; i < row->n_captures; i++)
		captures[i].bytes = copy(&at, row->captures[i].bytes, row->captures[i].n);
	k->row.counted_key = copy(&at, row->counted_key, row->counted_key_len);
	k->key = copy(&at, p->exact.data, k->key_len = p->exact.len);
	k->folded = copy(&at, p->folded.data, k->folded_len = p->folded.len);
	p->used += size;
	if (to->last)
		to->last->next = k;
	else
		to->first = k;
	to->last = k;
	return k;
}

static void drop_first(struct pipes *p, struct pipe *from)
{
	struct kept *k = from->first;

	from->first = k->next;
	if (!from->first)
		from->last = NULL;
	p->used -= k->size;
	free(k);
}

static void drop_all(struct pipes *p, struct pipe *from)
{
	map_clear(&from->map);
	while (from->first)
		drop_first(p, from);
}

/* ---- arguments ------------------------------------------------------------------------------- */

static bool read_args(struct pipes *p, const struct pipe *at, const struct pipe_row *row)
{
	bool ok = true;

	buf_clear(&p->exact);
	buf_clear(&p->folded);
	for (uint32_t i = 0; ok && i < at->q->n_args; i++) {
		struct value v;

		p->options.value(p->options.ctx, at->q->arg[i], row, &v);
		ok = pack_exact(&p->exact, &v) && pack_key(&p->folded, &v, RULE_UNKNOWN, p->options.fold);
	}
	if (!ok)
		p->refused++;
	return ok;
}

static struct kept *find(struct pipes *p, const struct pipe *at, uint64_t *ret_hash)
{
	const struct wanted w = { p->folded.data, p->folded.len };

	*ret_hash = hash_bytes(buf_text(&p->folded), p->folded.len, p->options.seed);
	return map_get(&at->map, *ret_hash, &w);
}

/* ---- order ----------------------------------------------------------------------------------- */

struct order {
	bool by_count;
	bool fold;
};

static int order_keys(const struct kept *a, const struct kept *b, bool fold)
{
	struct value items_a[KEY_ITEMS_MAX], items_b[KEY_ITEMS_MAX], va, vb;
	const unsigned char *ka = a->key, *kb = b->key;
	struct unpack ua = { ka, ka + a->key_len, items_a, 0, KEY_ITEMS_MAX };
	struct unpack ub = { kb, kb + b->key_len, items_b, 0, KEY_ITEMS_MAX };
	int r = 0;

	if (!a->key_len || !b->key_len)
		return 0;
	while (!r && unpack_next(&ua, &va) && unpack_next(&ub, &vb))
		r = value_order(&va, &vb, fold);
	return r;
}

static int order_kept(const void *pa, const void *pb, void *arg)
{
	const struct kept *a = *(struct kept *const *)pa, *b = *(struct kept *const *)pb;
	const struct order *o = arg;
	int r;

	if (o->by_count && a->count != b->count)
		return a->count < b->count ? -1 : 1;
	r = order_keys(a, b, o->fold);
	/* What is equal keeps the order in which it came. */
	return r ? r : a->order < b->order ? -1 : 1;
}

static void sort_kept(struct pipes *p, struct pipe *at, bool by_count)
{
	const struct order order = { by_count, p->options.fold };
	struct kept **list, *k;
	size_t n = 0;

	for (k = at->first; k; k = k->next)
		n++;
	if (n < 2)
		return;
	list = malloc(n * sizeof(*list));
	if (!list) {
		p->refused += n;
		return;
	}
	n = 0;
	for (k = at->first; k; k = k->next)
		list[n++] = k;
	qsort_r(list, n, sizeof(*list), order_kept, (void *)&order);
	at->first = list[0];
	for (size_t i = 0; i < n; i++)
		list[i]->next = i + 1 < n ? list[i + 1] : NULL;
	at->last = list[n - 1];
	free(list);
}

/* ---- the pipes ------------------------------------------------------------------------------- */

static void put(struct pipes *p, size_t i, const struct pipe_row *row);
static void end(struct pipes *p, size_t i);

static void put_counted(struct pipes *p, struct pipe *at, const struct pipe_row *row)
{
	uint64_t hash, n = row->counted ? row->count : 1;
	struct kept *k;

	if (!read_args(p, at, row))
		return;
	k = find(p, at, &hash);
	if (!k) {
		k = keep(p, at, row);
		if (!k)
			return;
		/* What is not in the map is counted again, as another: at worst a row is there twice. */
		if (map_put(&at->map, hash, k) < 0)
			p->refused++;
	}
	k->count += n;
	at->count += n;
}

static void put_unique(struct pipes *p, size_t i, struct pipe *at, const struct pipe_row *row)
{
	const struct pipe_row seen = { 0 };
	struct kept *k;
	uint64_t hash;

	if (!read_args(p, at, row) || find(p, at, &hash))
		return;
	buf_clear(&p->exact);
	k = keep(p, at, &seen);
	if (k && map_put(&at->map, hash, k) < 0)
		p->refused++;
	put(p, i + 1, row);
}

static void put(struct pipes *p, size_t i, const struct pipe_row *row)
{
	struct pipe *at = &p->pipe[i];

	if (i == p->n_pipes) {
		p->options.out(p->options.ctx, row);
		return;
	}
	if (at->ended)
		return;
	switch (at->q->kind) {
	case PIPE_HEAD:
		if (at->count++ < at->q->count)
			put(p, i + 1, row);
		if (at->count >= at->q->count)
			end(p, i);
		break;
	case PIPE_TAIL:
		buf_clear(&p->exact);
		buf_clear(&p->folded);
		if (!at->q->count)
			break;
		if (at->n - at->count == at->q->count && at->first) {
			drop_first(p, at);
			at->count++;
		}
		(void)keep(p, at, row);
		break;
	case PIPE_FILTER:
		if (p->options.test(p->options.ctx, at->q->arg[0], row))
			put(p, i + 1, row);
		break;
	case PIPE_COUNT:
		if (at->q->n_args)
			put_counted(p, at, row);
		else
			at->count += row->counted ? row->count : 1;
		break;
	case PIPE_UNIQUE:
		put_unique(p, i, at, row);
		break;
	case PIPE_UNIQUE_COUNT:
		put_counted(p, at, row);
		break;
	case PIPE_SORT:
		if (read_args(p, at, row)) {
			buf_clear(&p->folded);
			(void)keep(p, at, row);
		}
		break;
	}
}

static void end_count(struct pipes *p, size_t i, struct pipe *at)
{
	if (!at->q->n_args) {
		const struct pipe_row row = { .kind = RUNNER_ROW, .counted = true, .count = at->count, .percent = 1 };

		put(p, i + 1, &row);
		return;
	}
	sort_kept(p, at, true);
	for (const struct kept *k = at->first; k; k = k->next) {
		const struct pipe_row row = { .kind = RUNNER_ROW,
					      .counted = true,
					      .count = k->count,
					      .percent = (double)k->count / (double)at->count,
					      .counted_key = k->key,
					      .counted_key_len = k->key_len };

		put(p, i + 1, &row);
	}
}

static void end_kept(struct pipes *p, size_t i, struct pipe *at, bool counted)
{
	for (struct kept *k = at->first; k; k = k->next) {
		if (counted) {
			k->row.counted = true;
			k->row.count = k->count;
			k->row.percent = (double)k->count / (double)at->count;
		}
		put(p, i + 1, &k->row);
	}
}

static void end(struct pipes *p, size_t i)
{
	struct pipe *at = &p->pipe[i];

	if (i == p->n_pipes || at->ended)
		return;
	at->ended = true;
	if (at->q->kind == PIPE_COUNT)
		end_count(p, i, at);
	else if (at->q->kind == PIPE_SORT)
		sort_kept(p, at, false);
	if (at->q->kind == PIPE_SORT || at->q->kind == PIPE_TAIL)
		end_kept(p, i, at, false);
	else if (at->q->kind == PIPE_UNIQUE_COUNT)
		end_kept(p, i, at, true);
	drop_all(p, at);
	end(p, i + 1);
}

/* ---- outside --------------------------------------------------------------------------------- */

int pipes_new(const struct query *q, const struct pipes_options *options, struct pipes **ret_pipes)
{
	struct pipes *p = calloc(1, sizeof(*p) + q->n_pipes * sizeof(p->pipe[0]));

	if (!p)
		return err_new(-ENOMEM, "no memory for pipes");
	p->options = *options;
	p->n_pipes = q->n_pipes;
	buf_init(&p->exact, KEY_TEXT_MAX);
	buf_init(&p->folded, KEY_TEXT_MAX);
	for (size_t i = 0; i < p->n_pipes; i++) {
		p->pipe[i].q = &q->pipe[i];
		map_init(&p->pipe[i].map, ROWS_MAX, has_folded);
		/* Of nothing at all. */
		if (q->pipe[i].kind == PIPE_HEAD && !q->pipe[i].count)
			end(p, i);
	}
	*ret_pipes = p;
	return 0;
}

void pipes_free(struct pipes *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->n_pipes; i++) {
		drop_all(p, &p->pipe[i]);
		map_free(&p->pipe[i].map);
	}
	buf_free(&p->exact);
	buf_free(&p->folded);
	free(p);
}

void pipes_replace(struct pipes *p, const struct query *q)
{
	for (size_t i = 0; i < p->n_pipes; i++)
		p->pipe[i].q = &q->pipe[i];
}

void pipes_put(struct pipes *p, const struct pipe_row *row)
{
	put(p, 0, row);
}

void pipes_end(struct pipes *p)
{
	end(p, 0);
}

bool pipes_are_closed(const struct pipes *p)
{
	for (size_t i = 0; i < p->n_pipes; i++) {
		/* What waits for an end that can still come is not closed, whatever follows it. */
		if (p->pipe[i].ended)
			return true;
		if (p->pipe[i].q->kind != PIPE_FILTER && p->pipe[i].q->kind != PIPE_UNIQUE &&
		    p->pipe[i].q->kind != PIPE_HEAD)
			return false;
	}
	return false;
}

uint64_t pipes_refused(const struct pipes *p)
{
	return p->refused;
}
