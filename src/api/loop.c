/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop - who wants to be woken: by other threads, through a mailbox that outlives the loop, or by time.
 *
 * Those that wait for a time are a list without order: they are as many as streams that are idle, hundreds at most,
 * and are walked when the earliest is due.
 */
#include <string.h>
#include <sys/eventfd.h>
#include "api/internal.h"
#include "base/clock.h"
#include "base/err.h"

/* ---- mailboxes -------------------------------------------------------------------------------------------- */

static void box_free(struct mailbox *box)
{
	if (atomic_fetch_sub_explicit(&box->refs, 1, memory_order_acq_rel) != 1)
		return;
	fd_closep(&box->event_fd);
	(void)pthread_mutex_destroy(&box->lock);
	free(box);
}

struct http_waker *http_waker(struct http_request *req)
{
	struct exchange *x = (struct exchange *)req;

	if (!x->waker) {
		struct http_waker *w = calloc(1, sizeof(*w));

		if (!w)
			return NULL;
		w->refs = 1;
		w->exchange = x;
		w->box = x->conn->loop->box;
		(void)atomic_fetch_add_explicit(&w->box->refs, 1, memory_order_relaxed);
		x->waker = w;
	}
	return http_waker_ref(x->waker);
}

struct http_waker *http_waker_ref(struct http_waker *w)
{
	(void)atomic_fetch_add_explicit(&w->refs, 1, memory_order_relaxed);
	return w;
}

void http_waker_free(struct http_waker *w)
{
	if (!w || atomic_fetch_sub_explicit(&w->refs, 1, memory_order_acq_rel) != 1)
		return;
	box_free(w->box);
	free(w);
}

void http_wake(struct http_waker *w)
{
	const uint64_t one = 1;
	bool was_empty;

	if (atomic_exchange(&w->pending, true))
		return;
	(void)http_waker_ref(w);
	w->next = NULL;
	(void)pthread_mutex_lock(&w->box->lock);
	was_empty = !w->box->first;
	if (was_empty)
		w->box->first = w;
	else
		w->box->last->next = w;
	w->box->last = w;
	/* Under the lock, so that a loop that ends and empties its box has nobody left who writes. */
	if (was_empty && write(w->box->event_fd, &one, sizeof(one)) < 0)
		was_empty = false; /* the counter is full: it is readable */
	(void)pthread_mutex_unlock(&w->box->lock);
}

static struct http_waker *take_all(struct mailbox *box)
{
	struct http_waker *first;
	uint64_t n;

	(void)pthread_mutex_lock(&box->lock);
	(void)!read(box->event_fd, &n, sizeof(n));
	first = take(box->first);
	box->last = NULL;
	(void)pthread_mutex_unlock(&box->lock);
	return first;
}

void loop_take_woken(struct loop *loop)
{
	struct http_waker *next;

	for (struct http_waker *w = take_all(loop->box); w; w = next) {
		next = w->next;
		/* From here on it can be woken again, and whoever does has its news seen by what follows. */
		atomic_store(&w->pending, false);
		if (w->exchange)
			conn_resume(w->exchange);
		http_waker_free(w);
	}
}

/* ---- time ------------------------------------------------------------------------------------------------- */

uint64_t loop_next_ns(const struct loop *loop)
{
	uint64_t next = 0;

	for (const struct exchange *x = loop->timed; x; x = x->wake_next)
		if (!next || x->wake_at_ns < next)
			next = x->wake_at_ns;
	return next;
}

void loop_take_timed(struct loop *loop)
{
	struct exchange *next;

	for (struct exchange *x = loop->timed; x; x = next) {
		next = x->wake_next;
		if (x->wake_at_ns > loop->now_ns)
			continue;
		exchange_unwait(x);
		conn_resume(x);
	}
}

/* ---- opening and closing ---------------------------------------------------------------------------------- */

int loop_init(struct loop *loop, struct api *api)
{
	*loop = (struct loop) { .api = api, .now_ns = clock_boot_ns() };
	loop->box = calloc(1, sizeof(*loop->box));
	if (!loop->box)
		return err_new(-ENOMEM, "no memory for a loop");
	loop->box->refs = 1;
	(void)pthread_mutex_init(&loop->box->lock, NULL);
	loop->box->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->box->event_fd < 0)
		return err_sys(errno, "make an eventfd");
	return 0;
}

void loop_clear(struct loop *loop)
{
	struct http_waker *next;

	if (!loop->box)
		return;
	for (struct http_waker *w = take_all(loop->box); w; w = next) {
		next = w->next;
		http_waker_free(w);
	}
	box_free(take(loop->box));
	free(take(loop->spare_stage));
}
