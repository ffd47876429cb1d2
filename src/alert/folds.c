/* SPDX-License-Identifier: Apache-2.0 */
/*
 * folds - which alert stands for which, by their keys, in event time.
 *
 * A key begins with an alert that passes, and folds those that come until its time is over. It is kept beyond that,
 * for the next alert to say how many there were, until its place is needed: then the key that began first goes.
 * Memory is taken once.
 */
#include <errno.h>
#include <string.h>
#include "alert/alert.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/map.h"

struct fold {
	unsigned char key[16];
	char id[ALERT_ID_SIZE];
	int64_t first_ns, last_ns;
	uint64_t for_ns;
	uint64_t folded, told;
	bool is_told_later;      /* it is in the list of those that have something to tell */
	uint32_t older, younger; /* in the order in which they began; 0: none, and places count from 1 */
	uint32_t next_to_tell;
};

struct alert_folds {
	struct map map;
	struct fold *fold; /* fold[0] is none */
	uint32_t n, max, oldest, youngest, to_tell;
	uint64_t seed;
	/* What goes before it was told of is told at once when somebody asks. */
	struct fold *gone;
	size_t n_gone;
	struct alert_folds_stats stats;
};

enum { GONE_MAX = 1024 };

static bool has_key(const void *item, const void *key)
{
	return !memcmp(((const struct fold *)item)->key, key, sizeof(((struct fold *)0)->key));
}

int alert_folds_open(size_t max, struct alert_folds **ret_folds)
{
	AUTO(alert_folds) f = calloc(1, sizeof(*f));

	if (!f)
		return err_new(-ENOMEM, "no memory for alerts");
	map_init(&f->map, max, has_key);
	f->max = (uint32_t)max;
	f->seed = hash_seed();
	f->fold = calloc(max + 1, sizeof(*f->fold));
	f->gone = calloc(GONE_MAX, sizeof(*f->gone));
	if (!f->fold || !f->gone || map_reserve(&f->map, max) < 0)
		return err_new(-ENOMEM, "no memory for %zu alerts that fold others", max);
	*ret_folds = take(f);
	return 0;
}

void alert_folds_free(struct alert_folds *f)
{
	if (!f)
		return;
	map_free(&f->map);
	free(f->fold);
	free(f->gone);
	free(f);
}

/* ---- the order of beginning ------------------------------------------------------------------------------------ */

static void unlink_fold(struct alert_folds *f, struct fold *o)
{
	*(o->older ? &f->fold[o->older].younger : &f->oldest) = o->younger;
	*(o->younger ? &f->fold[o->younger].older : &f->youngest) = o->older;
}

static void link_youngest(struct alert_folds *f, uint32_t at)
{
	struct fold *o = &f->fold[at];

	o->older = f->youngest;
	o->younger = 0;
	*(f->youngest ? &f->fold[f->youngest].younger : &f->oldest) = at;
	f->youngest = at;
}

static bool is_within(const struct fold *o, int64_t ns)
{
	/* Threads bring theirs nearly in order: one that is a little older belongs to it as well. */
	return ns < o->first_ns ? (uint64_t)o->first_ns - (uint64_t)ns < o->for_ns
				: (uint64_t)ns - (uint64_t)o->first_ns < o->for_ns;
}

/* ---- what is to be told ------------------------------------------------------------------------------------------ */

/* It begins anew, or goes: what it has not told yet is put by. */
static void put_by(struct alert_folds *f, struct fold *o)
{
	if (o->folded == o->told)
		return;
	if (f->n_gone < GONE_MAX)
		f->gone[f->n_gone++] = *o;
	o->told = o->folded;
}

static void will_tell(struct alert_folds *f, uint32_t at)
{
	struct fold *o = &f->fold[at];

	if (o->is_told_later)
		return;
	o->is_told_later = true;
	o->next_to_tell = f->to_tell;
	f->to_tell = at;
}

void alert_folds_told(struct alert_folds *f, void (*fn)(void *arg, const char *id, uint64_t more, int64_t last_ns),
		      void *arg)
{
	for (size_t i = 0; i < f->n_gone; i++)
		fn(arg, f->gone[i].id, f->gone[i].folded - f->gone[i].told, f->gone[i].last_ns);
	f->n_gone = 0;
	while (f->to_tell) {
		struct fold *o = &f->fold[f->to_tell];

		f->to_tell = o->next_to_tell;
		o->is_told_later = false;
		if (o->folded != o->told)
			fn(arg, o->id, o->folded - o->told, o->last_ns);
		o->told = o->folded;
	}
}

/* ---- passing ------------------------------------------------------------------------------------ */

static uint64_t hash_of(const struct alert_folds *f, const unsigned char key[16])
{
	return hash_bytes(key, 16, f->seed);
}

/* A place that nobody has, or that of the key that began first. */
static uint32_t take_place(struct alert_folds *f, int64_t now_ns)
{
	uint32_t at = f->oldest;
	struct fold *o;

	if (f->n < f->max)
		return ++f->n;
	o = &f->fold[at];
	put_by(f, o);
	f->stats.evicted += is_within(o, now_ns);
	unlink_fold(f, o);
	(void)map_remove(&f->map, hash_of(f, o->key), o->key);
	return at;
}

static void begin(struct fold *o, const struct alert *a)
{
	memcpy(o->key, a->fold_key, sizeof(o->key));
	memcpy(o->id, a->id, sizeof(o->id));
	o->first_ns = o->last_ns = a->time_ns;
	o->for_ns = a->fold_ns;
	o->folded = o->told = 0;
}

bool alert_folds_pass(struct alert_folds *f, struct alert *a)
{
	uint64_t hash;
	struct fold *o;
	uint32_t at;

	if (!a->fold_ns || !f->max) {
		f->stats.passed++;
		return true;
	}
	hash = hash_of(f, a->fold_key);
	o = map_get(&f->map, hash, a->fold_key);
	if (o && is_within(o, a->time_ns)) {
		o->folded++;
		if (a->time_ns > o->last_ns)
			o->last_ns = a->time_ns;
		will_tell(f, (uint32_t)(o - f->fold));
		f->stats.folded++;
		return false;
	}
	f->stats.passed++;
	if (o) {
		if (o->folded) {
			memcpy(a->before_id, o->id, sizeof(a->before_id));
			a->before_folded = o->folded;
		}
		put_by(f, o);
		at = (uint32_t)(o - f->fold);
		unlink_fold(f, o);
		begin(o, a);
		link_youngest(f, at);
		return true;
	}
	at = take_place(f, a->time_ns);
	o = &f->fold[at];
	begin(o, a);
	link_youngest(f, at);
	/* There is room: the table was made for all places. */
	(void)map_put(&f->map, hash, o);
	return true;
}

void alert_folds_stats(const struct alert_folds *f, struct alert_folds_stats *ret_stats)
{
	*ret_stats = f->stats;
	ret_stats->keys = f->n;
}
