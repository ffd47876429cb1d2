/* SPDX-License-Identifier: Apache-2.0 */
#include "bpf/ring.h"
#include <linux/bpf.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/err.h"
#include "base/mem.h"

int ring_open(int map_fd, size_t size, struct ring *ret_ring)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct ring r = { .fd = map_fd, .size = size, .mask = size - 1 };
	auto_free unsigned char *wrapped = malloc(RING_RECORD_MAX);
	void *consumer, *producer;

	if (!wrapped)
		return err_new(-ENOMEM, "no memory for a record of a ring");
	consumer = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, map_fd, 0);
	if (consumer == MAP_FAILED)
		return err_sys(errno, "map the consumer page of a ring");
	producer = mmap(NULL, page + size, PROT_READ, MAP_SHARED, map_fd, (off_t)page);
	if (producer == MAP_FAILED) {
		int e = errno;

		(void)munmap(consumer, page);
		return err_sys(e, "map the data of a ring");
	}
	r.consumer_pos = consumer;
	r.producer_pos = producer;
	r.data = (const unsigned char *)producer + page;
	r.wrapped = take(wrapped);
	r.at = r.visible = *r.consumer_pos;
	*ret_ring = r;
	return 0;
}

void ring_close(struct ring *r)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	if (!r->data)
		return;
	(void)munmap((void *)r->consumer_pos, page);
	(void)munmap((void *)r->producer_pos, page + r->size);
	free(r->wrapped);
	*r = (struct ring) { .fd = -1 };
}

static __u32 record_head(const struct ring *r)
{
	return __atomic_load_n((const __u32 *)(const void *)(r->data + (r->at & r->mask)), __ATOMIC_ACQUIRE);
}

/*
 * The bytes of a record, which follow its head. Heads stand at multiples of 8 and so never wrap. What is not handed
 * back is less than a lap, so at most one record of it wraps, and its copy is good until ring_release().
 */
static const void *record_bytes(const struct ring *r, size_t *len)
{
	size_t at = (r->at & r->mask) + BPF_RINGBUF_HDR_SZ, first = r->size - at;

	if (*len <= first)
		return r->data + at;
	if (*len > RING_RECORD_MAX)
		*len = RING_RECORD_MAX;
	if (*len <= first)
		return r->data + at;
	memcpy(r->wrapped, r->data + at, first);
	memcpy(r->wrapped + first, r->data, *len - first);
	return r->wrapped;
}

const void *ring_peek(struct ring *r, size_t *ret_len)
{
	for (;;) {
		__u32 head;

		if (r->at >= r->visible) {
			r->visible = __atomic_load_n(r->producer_pos, __ATOMIC_ACQUIRE);
			if (r->at >= r->visible)
				return NULL;
		}
		head = record_head(r);
		if (head & BPF_RINGBUF_BUSY_BIT)
			return NULL;
		if (!(head & BPF_RINGBUF_DISCARD_BIT)) {
			*ret_len = head & ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);
			return record_bytes(r, ret_len);
		}
		ring_next(r);
	}
}

void ring_next(struct ring *r)
{
	__u32 len = record_head(r) & ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);

	r->at += (len + BPF_RINGBUF_HDR_SZ + 7) & ~7U;
}

void ring_release(struct ring *r)
{
	__atomic_store_n(r->consumer_pos, r->at, __ATOMIC_RELEASE);
}

size_t ring_used(const struct ring *r)
{
	return __atomic_load_n(r->producer_pos, __ATOMIC_ACQUIRE) - r->at;
}

size_t ring_taken(const struct ring *r)
{
	/* In this order: the other way round, the consumer could overtake. */
	unsigned long from = __atomic_load_n(r->consumer_pos, __ATOMIC_ACQUIRE);

	return __atomic_load_n(r->producer_pos, __ATOMIC_ACQUIRE) - from;
}
