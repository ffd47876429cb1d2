/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/queue.h"
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "base/err.h"
#include "base/mem.h"

int queue_open(struct queue *q, size_t bytes)
{
	size_t size = 64 << 10; /* room for two of the longest records */

	while (size < bytes)
		size *= 2;
	memset(q, 0, sizeof(*q));
	q->bytes = aligned_alloc(64, size);
	if (!q->bytes)
		return err_new(-ENOMEM, "no memory for a queue of %zu bytes", size);
	q->size = size;
	return 0;
}

void queue_close(struct queue *q)
{
	free(q->bytes);
	q->bytes = NULL;
}

static struct queued *entry_at(const struct queue *q, size_t at)
{
	return (struct queued *)(void *)(q->bytes + (at & (q->size - 1)));
}

/* The place of the next entry of `need` bytes; NULL where fewer than `reserve` bytes would stay free. */
static struct queued *make_room(struct queue *q, size_t need, size_t reserve, size_t *ret_head)
{
	size_t head = atomic_load_explicit(&q->head, memory_order_relaxed);
	size_t left = q->size - (head & (q->size - 1));
	size_t pad = left < need ? left : 0; /* a record never wraps */

	if (head + pad + need - q->tail_seen > q->size - reserve) {
		q->tail_seen = atomic_load_explicit(&q->tail, memory_order_acquire);
		if (head + pad + need - q->tail_seen > q->size - reserve)
			return NULL;
	}
	/* A gap too small for an entry needs no mark: the consumer can tell by its size. */
	if (pad >= sizeof(struct queued))
		*entry_at(q, head) = (struct queued) { .size = pad };
	*ret_head = head + pad + need;
	return entry_at(q, head + pad);
}

bool queue_put(struct queue *q, const struct ev_head *rec, void *held, size_t reserve)
{
	size_t need = (sizeof(struct queued) + rec->len + 7) & ~(size_t)7, head;
	struct queued *e = make_room(q, need, reserve, &head);

	if (!e)
		return false;
	e->size = need;
	e->held = held;
	e->rec = (const struct ev_head *)(const void *)(e + 1);
	memcpy(e + 1, rec, rec->len);
	atomic_store_explicit(&q->head, head, memory_order_release);
	return true;
}

bool queue_mark(struct queue *q, __u64 mark_ns)
{
	size_t head;
	struct queued *e = make_room(q, sizeof(*e), 0, &head);

	if (!e)
		return false;
	*e = (struct queued) { .size = sizeof(*e), .mark_ns = mark_ns };
	atomic_store_explicit(&q->head, head, memory_order_release);
	return true;
}

void queue_wake(struct queue *q)
{
	/* Orders the store of head before the look at `asleep`; queue_wait() does the reverse. */
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_exchange(&q->asleep, 0))
		(void)syscall(SYS_futex, &q->asleep, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

size_t queue_used(const struct queue *q)
{
	size_t tail = atomic_load_explicit(&q->tail, memory_order_acquire);

	return atomic_load_explicit(&q->head, memory_order_acquire) - tail;
}

/* The entry at or after *at, padding stepped over; NULL where `head` is reached. */
static const struct queued *entry_before(const struct queue *q, size_t head, size_t *at)
{
	while (*at != head) {
		size_t left = q->size - (*at & (q->size - 1));
		const struct queued *e = entry_at(q, *at);

		if (left >= sizeof(*e) && (e->rec || e->mark_ns))
			return e;
		*at += left;
	}
	return NULL;
}

const struct queued *queue_at(const struct queue *q, size_t *at)
{
	return entry_before(q, atomic_load_explicit(&q->head, memory_order_acquire), at);
}

const struct queued *queue_peek(struct queue *q)
{
	size_t old = atomic_load_explicit(&q->tail, memory_order_relaxed), tail = old;
	const struct queued *e;

	if (tail == q->head_seen)
		q->head_seen = atomic_load_explicit(&q->head, memory_order_acquire);
	e = entry_before(q, q->head_seen, &tail);
	/* queue_pop() takes the entry from here. */
	if (tail != old)
		atomic_store_explicit(&q->tail, tail, memory_order_release);
	return e;
}

void queue_pop(struct queue *q)
{
	size_t tail = atomic_load_explicit(&q->tail, memory_order_relaxed);

	atomic_store_explicit(&q->tail, tail + entry_at(q, tail)->size, memory_order_release);
}

void queue_wait(struct queue *q, __u64 max_ns)
{
	struct timespec limit = { .tv_sec = (time_t)(max_ns / 1000000000), .tv_nsec = (long)(max_ns % 1000000000) };

	atomic_store(&q->asleep, 1);
	atomic_thread_fence(memory_order_seq_cst);
	if (!queue_peek(q))
		(void)syscall(SYS_futex, &q->asleep, FUTEX_WAIT_PRIVATE, 1, &limit, NULL, 0);
	atomic_store(&q->asleep, 0);
}
