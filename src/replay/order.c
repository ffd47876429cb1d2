/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/order.h"
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include "base/buf.h"
#include "base/err.h"

enum { CHUNK_MAX = 1 << 30 };

/* Lines that one thread put between two takes. Freed with the last that is handed out. */
struct chunk {
	struct buf text;
	struct line *lines;
	size_t n, cap, left;
};

struct line {
	struct order_key key;
	int what;
	uint32_t n;
	size_t at; /* in the text */
	struct chunk *chunk;
};

struct thread {
	_Alignas(64) pthread_mutex_t lock;
	struct chunk *chunk; /* NULL: nothing was put since it was taken */
};

struct order {
	unsigned n_threads;
	struct thread *threads;
	_Atomic size_t waiting;
	struct line *lines; /* the taking thread's: from all chunks */
	size_t n, cap;
};

static void chunk_free(struct chunk *c)
{
	if (!c)
		return;
	buf_free(&c->text);
	free(c->lines);
	free(c);
}

int order_open(unsigned threads, struct order **ret_order)
{
	AUTO(order) o = calloc(1, sizeof(*o));

	if (o)
		o->threads = aligned_alloc(64, threads * sizeof(*o->threads));
	if (!o || !o->threads)
		return err_new(-ENOMEM, "no memory to put lines in order");
	memset(o->threads, 0, threads * sizeof(*o->threads));
	for (; o->n_threads < threads; o->n_threads++)
		(void)pthread_mutex_init(&o->threads[o->n_threads].lock, NULL);
	*ret_order = take(o);
	return 0;
}

static void line_done(struct order *o, const struct line *l)
{
	atomic_fetch_sub_explicit(&o->waiting, l->n, memory_order_relaxed);
	if (--l->chunk->left == 0)
		chunk_free(l->chunk);
}

void order_free(struct order *o)
{
	if (!o)
		return;
	for (size_t i = 0; i < o->n; i++)
		line_done(o, &o->lines[i]);
	for (unsigned i = 0; i < o->n_threads; i++) {
		chunk_free(o->threads[i].chunk);
		(void)pthread_mutex_destroy(&o->threads[i].lock);
	}
	free(o->threads);
	free(o->lines);
	free(o);
}

static int grow(struct line **lines, size_t *cap, size_t want)
{
	size_t more = *cap ? *cap * 2 : 256;
	struct line *p;

	if (want <= *cap)
		return 0;
	if (more < want)
		more = want;
	p = realloc(*lines, more * sizeof(*p));
	if (!p)
		return -ENOMEM;
	*lines = p;
	*cap = more;
	return 0;
}

static int chunk_add(struct chunk *c, const struct order_key *key, int what, const char *line, size_t n)
{
	size_t at = c->text.len;

	if (grow(&c->lines, &c->cap, c->n + 1) < 0)
		return -ENOMEM;
	buf_add(&c->text, line, n);
	if (c->text.failed)
		return -ENOMEM;
	c->lines[c->n++] = (struct line) { .key = *key, .what = what, .n = (uint32_t)n, .at = at, .chunk = c };
	c->left++;
	return 0;
}

int order_put(struct order *o, unsigned thread, const struct order_key *key, int what, const char *line, size_t n)
{
	struct thread *t = &o->threads[thread];
	int r = -ENOMEM;

	(void)pthread_mutex_lock(&t->lock);
	if (!t->chunk) {
		t->chunk = calloc(1, sizeof(*t->chunk));
		if (t->chunk)
			buf_init(&t->chunk->text, CHUNK_MAX);
	}
	if (t->chunk)
		r = chunk_add(t->chunk, key, what, line, n);
	(void)pthread_mutex_unlock(&t->lock);
	if (r == 0)
		atomic_fetch_add_explicit(&o->waiting, n, memory_order_relaxed);
	return r;
}

size_t order_waiting(struct order *o)
{
	return atomic_load_explicit(&o->waiting, memory_order_relaxed);
}

static int collect(struct order *o)
{
	for (unsigned i = 0; i < o->n_threads; i++) {
		struct thread *t = &o->threads[i];
		struct chunk *c;

		(void)pthread_mutex_lock(&t->lock);
		c = take(t->chunk);
		(void)pthread_mutex_unlock(&t->lock);
		if (!c)
			continue;
		if (!c->n || grow(&o->lines, &o->cap, o->n + c->n) < 0) {
			size_t n = c->n;

			chunk_free(c);
			if (n)
				return err_new(-ENOMEM, "no memory to put lines in order");
			continue;
		}
		memcpy(o->lines + o->n, c->lines, c->n * sizeof(*c->lines));
		o->n += c->n;
		/* They are the taker's now; the text stays. */
		free(take(c->lines));
	}
	return 0;
}

static const char *text_of(const struct line *l)
{
	return l->chunk->text.data + l->at;
}

static int by_key(const void *a, const void *b)
{
	const struct line *x = a, *y = b;
	int r;

	if (x->key.time_ns != y->key.time_ns)
		return x->key.time_ns < y->key.time_ns ? -1 : 1;
	if (x->key.place != y->key.place)
		return x->key.place < y->key.place ? -1 : 1;
	if (x->key.nth != y->key.nth)
		return x->key.nth < y->key.nth ? -1 : 1;
	r = memcmp(text_of(x), text_of(y), x->n < y->n ? x->n : y->n);
	return r ? r : x->n < y->n ? -1 : x->n > y->n;
}

int order_take(struct order *o, int64_t before_ns,
	       bool (*fn)(void *arg, const struct order_key *key, int what, const char *line, size_t n), void *arg)
{
	size_t ready = 0, i = 0;
	bool more = true;
	int r = collect(o);

	if (r < 0)
		return r;
	/* Those that are old enough to the front. */
	for (; i < o->n; i++)
		if (o->lines[i].key.time_ns < before_ns) {
			struct line l = o->lines[i];

			o->lines[i] = o->lines[ready];
			o->lines[ready++] = l;
		}
	if (ready)
		qsort(o->lines, ready, sizeof(*o->lines), by_key);
	for (i = 0; i < ready && more; i++) {
		const struct line *l = &o->lines[i];

		more = fn(arg, &l->key, l->what, text_of(l), l->n);
		line_done(o, l);
	}
	if (o->n > i)
		memmove(o->lines, o->lines + i, (o->n - i) * sizeof(*o->lines));
	o->n -= i;
	return more ? 0 : 1;
}
