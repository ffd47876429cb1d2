/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/stream.h"
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include "agent/stack_names.h"
#include "base/err.h"

struct stream {
	struct streams *all;
	struct filter *filter;
	bool follow;
	pthread_mutex_t lock; /* of what follows: shards put, the client takes */
	pthread_cond_t more;
	struct queue queue;
	struct stream_counts counts;
	struct stack_view stacks; /* the client's */
};

struct streams {
	const struct context *context;
	struct stack_names *stack_names;
	pthread_rwlock_t lock; /* of the list: shards read it, clients that come and go write it */
	struct stream *list[STREAMS_MAX];
	_Atomic unsigned n;
	pthread_mutex_t history_lock;
	struct queue history;
};

int streams_open(const struct context *context, struct streams **ret_streams)
{
	struct streams *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return err_new(-ENOMEM, "no memory for streams");
	s->context = context;
	(void)pthread_rwlock_init(&s->lock, NULL);
	(void)pthread_mutex_init(&s->history_lock, NULL);
	r = queue_open(&s->history, HISTORY_BYTES);
	if (r == 0)
		r = stack_names_open(&s->stack_names);
	if (r < 0) {
		streams_free(s);
		return err_wrap(r, "open the history of events");
	}
	*ret_streams = s;
	return 0;
}

static void queue_drop(struct queue *q)
{
	const struct queued *e;

	while (q->bytes && (e = queue_peek(q))) {
		process_unref(e->held);
		queue_pop(q);
	}
	queue_close(q);
}

void streams_free(struct streams *s)
{
	if (!s)
		return;
	queue_drop(&s->history);
	stack_names_free(s->stack_names);
	(void)pthread_mutex_destroy(&s->history_lock);
	(void)pthread_rwlock_destroy(&s->lock);
	free(s);
}

/* Takes a reference when it is queued. */
static bool put(struct queue *q, const struct ev_head *rec, const struct process *p)
{
	if (!queue_put(q, rec, (void *)(size_t)p, 0))
		return false;
	(void)process_ref(p);
	return true;
}

/* New overwrites old. With the history's lock held. */
static void remember(struct streams *s, const struct ev_head *rec, const struct process *p)
{
	while (!put(&s->history, rec, p)) {
		process_unref(queue_peek(&s->history)->held);
		queue_pop(&s->history);
	}
}

static bool is_descendant(const struct event *ev, __u32 pid)
{
	const struct context_view *view = ev->subject;

	return view && view->process && process_is_descendant(view->process, pid, 0);
}

static void offer_to(struct stream *st, const struct event *ev, const struct process *p)
{
	if (!filter_match(st->filter, ev, is_descendant))
		return;
	(void)pthread_mutex_lock(&st->lock);
	if (put(&st->queue, ev->rec, p))
		(void)pthread_cond_signal(&st->more);
	else
		st->counts.lost++;
	(void)pthread_mutex_unlock(&st->lock);
}

void streams_offer(struct streams *s, const struct event *ev, const struct process *p)
{
	bool followed;

	(void)pthread_mutex_lock(&s->history_lock);
	remember(s, ev->rec, p);
	/* Before the history is let go: who begins to follow gets this event from there, or here, and never twice. */
	followed = s->n > 0;
	if (followed)
		(void)pthread_rwlock_rdlock(&s->lock);
	(void)pthread_mutex_unlock(&s->history_lock);
	if (!followed)
		return;
	for (unsigned i = 0; i < STREAMS_MAX; i++)
		if (s->list[i])
			offer_to(s->list[i], ev, p);
	(void)pthread_rwlock_unlock(&s->lock);
}

/* Puts the newest `last` of the history that match into a stream that nobody else sees yet. Its lock is held. */
static void replay_history(struct stream *st, size_t last)
{
	struct streams *s = st->all;
	size_t matching = 0, tail, skip;
	const struct queued *e;

	tail = atomic_load(&s->history.tail);
	/* Twice over the same entries: first to count, then, all but the newest skipped, to take. */
	for (int pass = 0; pass < 2; pass++) {
		size_t seen = 0;

		skip = matching > last ? matching - last : 0;
		for (size_t at = tail; (e = queue_at(&s->history, &at)); at += e->size) {
			struct context_view view;
			const struct event_kind *kind = event_kind_of(e->rec->id);
			struct event ev = context_event_of(s->context, e->held, e->rec, kind, &view);

			if (!filter_match(st->filter, &ev, is_descendant))
				continue;
			if (pass == 0)
				matching++;
			else if (seen++ >= skip && !put(&st->queue, e->rec, e->held))
				st->counts.lost++;
		}
	}
}

/* Makes the shards see the stream. False: there are as many as there may be. */
static bool enlist(struct streams *s, struct stream *st)
{
	unsigned slot = 0;

	(void)pthread_rwlock_wrlock(&s->lock);
	while (slot < STREAMS_MAX && s->list[slot])
		slot++;
	if (slot < STREAMS_MAX) {
		s->list[slot] = st;
		s->n++;
	}
	(void)pthread_rwlock_unlock(&s->lock);
	return slot < STREAMS_MAX;
}

int stream_open(struct streams *s, struct filter *filter, size_t last, bool follow, struct stream **ret_stream)
{
	struct stream *st = calloc(1, sizeof(*st));
	pthread_condattr_t clock;
	bool enlisted = true;
	int r;

	if (!st) {
		filter_free(filter);
		return err_new(-ENOMEM, "no memory for a stream");
	}
	st->all = s;
	st->filter = filter;
	st->follow = follow;
	stack_view_init(&st->stacks);
	(void)pthread_mutex_init(&st->lock, NULL);
	(void)pthread_condattr_init(&clock);
	(void)pthread_condattr_setclock(&clock, CLOCK_MONOTONIC); /* somebody may set the other one back */
	(void)pthread_cond_init(&st->more, &clock);
	(void)pthread_condattr_destroy(&clock);
	r = queue_open(&st->queue, STREAM_QUEUE_BYTES);
	if (r < 0) {
		stream_close(st);
		return r;
	}
	/* In one: between the past and what is followed there is neither a gap nor an overlap. */
	(void)pthread_mutex_lock(&s->history_lock);
	if (last)
		replay_history(st, last);
	if (follow)
		enlisted = enlist(s, st);
	(void)pthread_mutex_unlock(&s->history_lock);
	if (!enlisted) {
		stream_close(st);
		return err_new(-EUSERS, "%d clients follow events already: no more at once", STREAMS_MAX);
	}
	*ret_stream = st;
	return 0;
}

void stream_close(struct stream *st)
{
	struct streams *s;

	if (!st)
		return;
	s = st->all;
	(void)pthread_rwlock_wrlock(&s->lock);
	for (unsigned i = 0; i < STREAMS_MAX; i++)
		if (s->list[i] == st) {
			s->list[i] = NULL;
			s->n--;
		}
	(void)pthread_rwlock_unlock(&s->lock);
	queue_drop(&st->queue);
	stack_view_free(&st->stacks);
	filter_free(st->filter);
	(void)pthread_cond_destroy(&st->more);
	(void)pthread_mutex_destroy(&st->lock);
	free(st);
}

static const struct queued *wait_for_one(struct stream *st, int max_ms)
{
	const struct queued *e = queue_peek(&st->queue);
	struct timespec until;

	if (e || !st->follow)
		return e;
	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += (max_ms % 1000) * 1000000L;
	until.tv_sec += max_ms / 1000 + until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	(void)pthread_cond_timedwait(&st->more, &st->lock, &until);
	return queue_peek(&st->queue);
}

int stream_next(struct stream *st, int max_ms, struct buf *out)
{
	const struct queued *e;

	(void)pthread_mutex_lock(&st->lock);
	e = wait_for_one(st, max_ms);
	(void)pthread_mutex_unlock(&st->lock);
	if (!e)
		return st->follow ? 0 : -ENODATA;

	/* Only this thread takes from the queue, so the entry stays while no lock is held. */
	struct context_view view;
	struct event ev = context_event_of(st->all->context, e->held, e->rec, event_kind_of(e->rec->id), &view);

	struct event named = stack_names_of(st->all->stack_names, &ev, &st->stacks);

	event_to_json(&named, out);
	(void)pthread_mutex_lock(&st->lock);
	process_unref(e->held);
	queue_pop(&st->queue);
	st->counts.sent++;
	(void)pthread_mutex_unlock(&st->lock);
	return 1;
}

struct stream_counts stream_counts(struct stream *st)
{
	struct stream_counts c;

	(void)pthread_mutex_lock(&st->lock);
	c = st->counts;
	(void)pthread_mutex_unlock(&st->lock);
	return c;
}
