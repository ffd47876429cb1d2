/* SPDX-License-Identifier: Apache-2.0 */
#include "base/outbox.h"
#include <pthread.h>
#include <time.h>
#include "base/clock.h"
#include "base/err.h"

/* A buffer that a burst made larger is given back. */
enum { KEEP_BYTES = 1 << 20 };

struct head {
	uint32_t n, kind;
};

struct outbox {
	pthread_mutex_t lock;
	pthread_cond_t filled, worked;
	size_t max, begun; /* begun: where the message that is being written begins */
	struct buf waiting, taken;
	uint64_t n_waiting, n_taken;
	uint64_t put, done, refused;
	bool closed, woken;
};

int outbox_open(size_t bytes, struct outbox **ret_outbox)
{
	struct outbox *o = calloc(1, sizeof(*o));
	pthread_condattr_t attr;

	if (!o)
		return err_new(-ENOMEM, "no memory for a queue");
	o->max = bytes;
	/* The last message may be padded. */
	buf_init(&o->waiting, bytes + sizeof(struct head) + 8);
	buf_init(&o->taken, bytes + sizeof(struct head) + 8);
	(void)pthread_mutex_init(&o->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&o->filled, &attr);
	(void)pthread_cond_init(&o->worked, NULL);
	(void)pthread_condattr_destroy(&attr);
	*ret_outbox = o;
	return 0;
}

void outbox_free(struct outbox *o)
{
	if (!o)
		return;
	buf_free(&o->waiting);
	buf_free(&o->taken);
	(void)pthread_cond_destroy(&o->filled);
	(void)pthread_cond_destroy(&o->worked);
	(void)pthread_mutex_destroy(&o->lock);
	free(o);
}

struct buf *outbox_begin(struct outbox *o, unsigned kind, size_t n)
{
	const struct head h = { .kind = kind };

	(void)pthread_mutex_lock(&o->lock);
	if (o->closed || n > o->max || o->waiting.len > o->max - n || !buf_reserve(&o->waiting, sizeof(h) + n + 8)) {
		/* The bytes that are there are whole messages: only the new one has no memory. */
		o->waiting.failed = false;
		o->refused++;
		(void)pthread_mutex_unlock(&o->lock);
		return NULL;
	}
	o->begun = o->waiting.len;
	buf_add(&o->waiting, &h, sizeof(h));
	return &o->waiting;
}

void outbox_end(struct outbox *o)
{
	static const char zeros[8];
	struct buf *b = &o->waiting;
	const uint32_t n = (uint32_t)(b->len - o->begun - sizeof(struct head));

	if (b->failed) {
		/* Longer than was said. */
		b->len = o->begun;
		b->failed = false;
		o->refused++;
	} else {
		memcpy(b->data + o->begun, &n, sizeof(n));
		buf_add(b, zeros, -(size_t)n % 8);
		o->put++;
		if (o->n_waiting++ == 0)
			(void)pthread_cond_signal(&o->filled);
	}
	(void)pthread_mutex_unlock(&o->lock);
}

void outbox_close(struct outbox *o)
{
	(void)pthread_mutex_lock(&o->lock);
	o->closed = true;
	(void)pthread_cond_signal(&o->filled);
	(void)pthread_mutex_unlock(&o->lock);
}

void outbox_wake(struct outbox *o)
{
	(void)pthread_mutex_lock(&o->lock);
	o->woken = true;
	(void)pthread_cond_signal(&o->filled);
	(void)pthread_mutex_unlock(&o->lock);
}

void outbox_settle(struct outbox *o)
{
	uint64_t put;

	(void)pthread_mutex_lock(&o->lock);
	put = o->put;
	while (o->done < put)
		(void)pthread_cond_wait(&o->worked, &o->lock);
	(void)pthread_mutex_unlock(&o->lock);
}

static struct timespec deadline(uint64_t timeout_ns)
{
	struct timespec t;

	/* Not clock_mono_ns(): a test's clock stands still. */
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	timeout_ns += (uint64_t)t.tv_nsec;
	t.tv_sec += (time_t)(timeout_ns / NS_PER_S);
	t.tv_nsec = (long)(timeout_ns % NS_PER_S);
	return t;
}

bool outbox_take(struct outbox *o, uint64_t timeout_ns)
{
	const struct timespec until = deadline(timeout_ns);
	struct buf empty;
	bool goes_on;

	(void)pthread_mutex_lock(&o->lock);
	o->done += o->n_taken;
	if (o->n_taken)
		(void)pthread_cond_broadcast(&o->worked);
	o->n_taken = 0;
	if (o->taken.cap > KEEP_BYTES)
		buf_free(&o->taken);
	buf_clear(&o->taken);
	while (!o->n_waiting && !o->closed && !o->woken)
		if (pthread_cond_timedwait(&o->filled, &o->lock, &until))
			break;
	o->woken = false;
	empty = o->taken;
	o->taken = o->waiting;
	o->waiting = empty;
	o->n_taken = o->n_waiting;
	o->n_waiting = 0;
	goes_on = o->n_taken || !o->closed;
	(void)pthread_mutex_unlock(&o->lock);
	return goes_on;
}

bool outbox_next(const struct outbox *o, size_t *at, struct outbox_message *ret_message)
{
	struct head h;

	if (*at >= o->taken.len)
		return false;
	memcpy(&h, o->taken.data + *at, sizeof(h));
	*ret_message = (struct outbox_message) { h.kind, o->taken.data + *at + sizeof(h), h.n };
	*at += sizeof(h) + (((size_t)h.n + 7) & ~(size_t)7);
	return true;
}

void outbox_counts(struct outbox *o, struct outbox_counts *ret_counts)
{
	(void)pthread_mutex_lock(&o->lock);
	*ret_counts = (struct outbox_counts) { o->put, o->done, o->refused, o->waiting.len };
	(void)pthread_mutex_unlock(&o->lock);
}
