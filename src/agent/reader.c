/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/reader.h"
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include "base/clock.h"
#include "base/err.h"
#include "bpf/ring.h"

enum {
	BATCH_MAX = 4096, /* records between two batches: bounds how long ring space stays taken */
	IDLE_LOOKS = 50,  /* empty looks before it sleeps */
	SLEEP_MS = 100,   /* the longest sleep: bulk records do not wake it */
};

static const struct timespec look_interval = { .tv_nsec = 2000000 };

struct reader {
	const struct bpf_core *core;
	struct reader_sink sink;
	struct ring rings[RING_COUNT];
	int epoll, wake_fd;
	__u64 settled_ns; /* the last that the sink was told */
	pthread_t thread;
	bool running;
	_Atomic bool stop;
	_Atomic __u64 records[RING_COUNT], malformed, wakeups, latency_max_ns;
};

const char *ring_name(enum core_ring ring)
{
	static const char *const names[RING_COUNT] = { "critical", "bulk", "packet" };

	return names[ring];
}

/* Which ring to take from: the oldest record's, unless the critical ring is filling. NULL: all are empty. */
static const struct ev_head *next_record(struct reader *r, int *ret_ring, size_t *ret_len)
{
	const struct ev_head *best = NULL;

	for (int i = 0; i < RING_COUNT; i++) {
		size_t len;
		const struct ev_head *rec = ring_peek(&r->rings[i], &len);

		if (!rec || (best && rec->time_ns >= best->time_ns))
			continue;
		best = rec;
		*ret_ring = i;
		*ret_len = len;
		if (i == RING_CRITICAL && ring_used(&r->rings[i]) > r->rings[i].size / 4)
			break;
	}
	return best;
}

/*
 * Up to when all has been handed on: not now_ns where records are left, or one is being written that hides those
 * behind it.
 */
static __u64 settled_until(struct reader *r, __u64 now_ns)
{
	for (int i = 0; i < RING_COUNT; i++) {
		size_t len;
		const struct ev_head *rec = ring_peek(&r->rings[i], &len);

		if (rec && rec->time_ns < now_ns)
			now_ns = rec->time_ns;
		else if (!rec && ring_used(&r->rings[i]))
			now_ns = r->settled_ns;
	}
	/* Rings are in order of their writing, which is not quite that of the times; told time never goes back. */
	if (now_ns > r->settled_ns)
		r->settled_ns = now_ns;
	return r->settled_ns;
}

/* Hands on at most BATCH_MAX records; returns how many. */
static size_t drain(struct reader *r, __u64 now_ns)
{
	const struct ev_head *rec;
	__u64 taken[RING_COUNT] = { 0 }, oldest = 0;
	size_t n = 0, len;
	int ring;

	while (n < BATCH_MAX && (rec = next_record(r, &ring, &len))) {
		const struct event_kind *kind = event_check(rec, len);
		__u64 age = now_ns > rec->time_ns ? now_ns - rec->time_ns : 0;

		if (kind)
			r->sink.on_record(r->sink.ctx, rec, kind);
		else
			r->malformed++;
		if (ring == RING_CRITICAL && age > oldest)
			oldest = age;
		taken[ring]++;
		ring_next(&r->rings[ring]);
		n++;
	}
	for (int i = 0; i < RING_COUNT; i++) {
		ring_release(&r->rings[i]);
		r->records[i] += taken[i];
	}
	if (oldest > r->latency_max_ns)
		r->latency_max_ns = oldest;
	r->sink.on_batch(r->sink.ctx, settled_until(r, now_ns));
	return n;
}

/* Until the kernel finds a record worth waking for, or the time is over. */
static void sleep_until_woken(struct reader *r)
{
	struct epoll_event events[RING_COUNT + 1];
	size_t len;

	__atomic_store_n(&r->core->reader->sleeping, 1, __ATOMIC_SEQ_CST);
	/* A record that came before the kernel could see that we sleep did not wake us. */
	if (!ring_peek(&r->rings[RING_CRITICAL], &len))
		(void)epoll_wait(r->epoll, events, RING_COUNT + 1, SLEEP_MS);
	__atomic_store_n(&r->core->reader->sleeping, 0, __ATOMIC_SEQ_CST);
}

static void *reader_main(void *arg)
{
	struct reader *r = arg;
	unsigned empty = 0;

	for (;;) {
		bool stop = r->stop;
		/* Before the drain: what it does not find has happened later. */
		__u64 now_ns = clock_boot_ns();
		size_t n = drain(r, now_ns);

		r->wakeups++;
		if (n == BATCH_MAX)
			continue;
		if (stop)
			return NULL;
		empty = n ? 0 : empty + 1;
		if (empty > IDLE_LOOKS)
			sleep_until_woken(r);
		else
			(void)nanosleep(&look_interval, NULL);
	}
}

static int watch(struct reader *r, int fd)
{
	struct epoll_event e = { .events = EPOLLIN | EPOLLET };

	if (epoll_ctl(r->epoll, EPOLL_CTL_ADD, fd, &e))
		return err_sys(errno, "watch a kernel ring");
	return 0;
}

static int start(struct reader *r)
{
	int e;

	r->epoll = epoll_create1(EPOLL_CLOEXEC);
	r->wake_fd = eventfd(0, EFD_CLOEXEC);
	if (r->epoll < 0 || r->wake_fd < 0)
		return err_sys(errno, "make the reader's epoll");
	e = watch(r, r->wake_fd);
	for (int i = 0; i < RING_COUNT && e == 0; i++) {
		e = ring_open(r->core->ring_fd[i], r->core->ring_bytes[i], &r->rings[i]);
		if (e == 0)
			e = watch(r, r->core->ring_fd[i]);
	}
	if (e < 0)
		return e;
	e = pthread_create(&r->thread, NULL, reader_main, r);
	if (e)
		return err_sys(e, "start the reader's thread");
	r->running = true;
	(void)pthread_setname_np(r->thread, "reader");
	return 0;
}

int reader_open(const struct bpf_core *core, const struct reader_sink *sink, struct reader **ret_reader)
{
	AUTO(reader) r = calloc(1, sizeof(*r));
	int e;

	if (!r)
		return err_new(-ENOMEM, "no memory for the reader");
	r->core = core;
	r->sink = *sink;
	r->epoll = r->wake_fd = -1;
	e = start(r);
	if (e < 0)
		return e;
	*ret_reader = take(r);
	return 0;
}

void reader_free(struct reader *r)
{
	if (!r)
		return;
	if (r->running) {
		r->stop = true;
		reader_wake(r);
		(void)pthread_join(r->thread, NULL);
	}
	for (int i = 0; i < RING_COUNT; i++)
		ring_close(&r->rings[i]);
	fd_closep(&r->epoll);
	fd_closep(&r->wake_fd);
	free(r);
}

void reader_wake(struct reader *r)
{
	(void)eventfd_write(r->wake_fd, 1);
}

void reader_counts(struct reader *r, struct reader_counts *ret_counts)
{
	for (int i = 0; i < RING_COUNT; i++) {
		ret_counts->records[i] = r->records[i];
		ret_counts->bytes[i] = r->rings[i].size;
		ret_counts->used[i] = ring_taken(&r->rings[i]);
	}
	ret_counts->malformed = r->malformed;
	ret_counts->wakeups = r->wakeups;
	ret_counts->latency_max_ns = atomic_exchange(&r->latency_max_ns, 0);
}
