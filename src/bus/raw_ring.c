/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/raw_ring.h"
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include "base/err.h"

/*
 * The ring is words of 64 bits. Positions count bytes since it was opened and never come back; the place in
 * memory is the position modulo the size. An entry is one word with the record's number, then the record,
 * padded to 8; it never wraps: a number of its own, PADDING, fills the ring up to its end.
 *
 * The size is cut into PARTS. Before the writer puts anything into a part, it announces it: `limit` becomes the
 * end of that part, which gives up all positions below limit - size. `first` has, for each part, where the
 * first entry that begins in it, or after it, stands, and its number: where a reader goes on that was overtaken.
 *
 * All that both sides touch is atomic, the words too: the reader may copy what is just being overwritten, and
 * finds that out when it looks at `limit` again. As in a sequence lock, a fence on each side makes it so that a
 * reader which saw one new word sees the new limit.
 */

enum {
	PARTS = 64,
	ID_COUNT = 256 * EV_KIND_MAX, /* sensor bytes times record numbers */
	READER_NAME_WORDS = RAW_READER_NAME_MAX / 8,
	HEAD_WORDS = 3, /* of an entry, in which the record's length stands */
};
static const __u64 PADDING = ~0ULL;

/* gcc: "not supported with -fsanitize=thread". It loses the order, never invents a race: the words are atomic. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wtsan"
#endif

struct part {
	_Atomic __u64 pos, number;
};

/* A reader as others see it. */
struct slot {
	_Atomic bool taken;
	_Atomic __u64 cursor, read, lost;
	_Atomic __u64 name[READER_NAME_WORDS];
};

struct raw_ring {
	_Atomic __u64 *words;
	__u64 size, part_size;

	/* The writer's own. */
	_Alignas(64) __u64 at; /* where the next entry goes */
	__u64 marked;          /* parts below this one have their `first` */
	__u64 rated_ns;        /* when the rates were last taken */
	__u64 rated_puts;
	__u64 flushed; /* at, when the readers were last woken */
	__u64 *rated;  /* puts of each id then */

	/* Written a record. */
	_Alignas(64) _Atomic __u64 head; /* readers may read up to here */
	_Atomic __u64 next;              /* number of the next record; read after head, it is never behind it */
	_Atomic __u64 put_bytes;
	_Atomic __u64 per_s;

	/* Written a part. */
	_Alignas(64) _Atomic __u64 limit;
	struct part first[PARTS];

	/* Written when readers sleep, come and go. */
	_Alignas(64) _Atomic unsigned sleepers;
	_Atomic unsigned bell; /* futex: another value whenever the writer rang */
	pthread_mutex_t lock;  /* taking of slots */
	struct slot slots[RAW_RING_READERS_MAX];

	_Atomic __u64 *puts;     /* of each id */
	_Atomic __u64 *id_per_s; /* of each id */
};

struct raw_reader {
	struct raw_ring *ring;
	struct slot *slot;
	__u64 pos;    /* of an entry at or before the next record's */
	__u64 number; /* of the next record */
	__u64 head;   /* as last seen: the writer's line is looked at again only when this is reached */
	__u64 words[1 + (EV_LEN_MAX + 7) / 8];
};

#define load(p)     atomic_load_explicit((p), memory_order_relaxed)
#define load_acq(p) atomic_load_explicit((p), memory_order_acquire)
#define store(p, v) atomic_store_explicit((p), (v), memory_order_relaxed)
#define bump(p, n)  store((p), load(p) + (n)) /* of a counter that one thread writes */

static __u64 align_up(__u64 v, __u64 to)
{
	return (v + to - 1) / to * to;
}

static size_t id_index(__u16 id)
{
	return (size_t)EV_ID_SENSOR(id) * EV_KIND_MAX + EV_ID_NUMBER(id) % EV_KIND_MAX;
}

/* ---- opening ------------------------------------------------------------------------------------ */

static void *lazy_memory(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static void lazy_free(void *p, size_t bytes)
{
	if (p)
		(void)munmap(p, bytes);
}

int raw_ring_open(size_t bytes, struct raw_ring **ret_ring)
{
	AUTO(raw_ring) ring = NULL;

	if (bytes < RAW_RING_BYTES_MIN || bytes > RAW_RING_BYTES_MAX || (bytes & (bytes - 1)))
		return err_new(-EINVAL, "a raw ring of %zu bytes: it must be a power of two from %d up", bytes,
			       RAW_RING_BYTES_MIN);
	ring = aligned_alloc(64, sizeof(*ring));
	if (!ring)
		return err_new(-ENOMEM, "no memory for a raw ring");
	memset(ring, 0, sizeof(*ring));
	(void)pthread_mutex_init(&ring->lock, NULL);
	ring->size = bytes;
	ring->part_size = bytes / PARTS;
	/* A mapping, not the heap: its pages cost nothing before they are written, and go back whole. */
	ring->words = lazy_memory(bytes);
	ring->rated = lazy_memory(ID_COUNT * sizeof(*ring->rated));
	ring->puts = lazy_memory(ID_COUNT * sizeof(*ring->puts));
	ring->id_per_s = lazy_memory(ID_COUNT * sizeof(*ring->id_per_s));
	if (!ring->words || !ring->rated || !ring->puts || !ring->id_per_s)
		return err_new(-ENOMEM, "no memory for a raw ring of %zu bytes", bytes);
	*ret_ring = take(ring);
	return 0;
}

void raw_ring_free(struct raw_ring *ring)
{
	if (!ring)
		return;
	lazy_free(ring->words, ring->size);
	lazy_free(ring->rated, ID_COUNT * sizeof(*ring->rated));
	lazy_free(ring->puts, ID_COUNT * sizeof(*ring->puts));
	lazy_free(ring->id_per_s, ID_COUNT * sizeof(*ring->id_per_s));
	(void)pthread_mutex_destroy(&ring->lock);
	free(ring);
}

/* ---- the writer ------------------------------------------------------------------------------------ */

/* The writer is about to write up to `end`, in parts that it has not announced yet. */
static void announce(struct raw_ring *ring, __u64 end)
{
	/* Released: who reads the limit sees the marks of the parts that it leaves. */
	atomic_store_explicit(&ring->limit, align_up(end, ring->part_size), memory_order_release);
	/* No word written after this can be seen without the new limit. */
	atomic_thread_fence(memory_order_release);
}

/* An entry begins at `pos`: it is the first of its part, and of those before that have none. */
static void mark_parts(struct raw_ring *ring, __u64 pos, __u64 number)
{
	__u64 part = pos / ring->part_size;

	for (; ring->marked <= part; ring->marked++) {
		struct part *first = &ring->first[ring->marked % PARTS];

		store(&first->pos, pos);
		store(&first->number, number);
	}
}

static void copy_in(_Atomic __u64 *to, const struct ev_head *rec)
{
	const __u64 *from = (const __u64 *)(const void *)rec;
	size_t n = rec->len / 8, left = rec->len % 8;
	__u64 last = 0;

	for (size_t i = 0; i < n; i++)
		store(&to[i], from[i]);
	if (left) {
		memcpy(&last, from + n, left);
		store(&to[n], last);
	}
}

void raw_ring_put(struct raw_ring *ring, const struct ev_head *rec)
{
	__u64 need = 8 + align_up(rec->len, 8);
	__u64 left = ring->size - (ring->at & (ring->size - 1));
	__u64 number = load(&ring->next), pos = ring->at, end;
	_Atomic __u64 *entry;

	if (left < need)
		pos += left;
	end = pos + need;
	if (end > load(&ring->limit))
		announce(ring, end);
	if (left < need)
		store(&ring->words[(ring->at & (ring->size - 1)) / 8], PADDING);
	if (pos / ring->part_size >= ring->marked)
		mark_parts(ring, pos, number);
	entry = &ring->words[(pos & (ring->size - 1)) / 8];
	store(&entry[0], number);
	copy_in(entry + 1, rec);
	ring->at = end;

	bump(&ring->puts[id_index(rec->id)], 1);
	bump(&ring->put_bytes, rec->len);
	/* `next` first: who has seen this head has seen this next, or a later one. */
	store(&ring->next, number + 1);
	atomic_store_explicit(&ring->head, end, memory_order_release);
}

static void keep_rates(struct raw_ring *ring, __u64 now_ns)
{
	__u64 past = now_ns - ring->rated_ns, puts = load(&ring->next);

	for (size_t i = 0; i < ID_COUNT; i++) {
		__u64 n = load(&ring->puts[i]);

		/* Looking at a page that was never written costs none; writing to it would. */
		if (n != ring->rated[i] || load(&ring->id_per_s[i])) {
			store(&ring->id_per_s[i], (n - ring->rated[i]) * 1000000000 / past);
			ring->rated[i] = n;
		}
	}
	store(&ring->per_s, (puts - ring->rated_puts) * 1000000000 / past);
	ring->rated_puts = puts;
	ring->rated_ns = now_ns;
}

void raw_ring_flush(struct raw_ring *ring, __u64 now_ns)
{
	/* Orders the store of head before the look at the sleepers; raw_reader_wait() does the reverse. */
	atomic_thread_fence(memory_order_seq_cst);
	if (ring->flushed != ring->at && load(&ring->sleepers)) {
		ring->flushed = ring->at;
		(void)atomic_fetch_add(&ring->bell, 1);
		(void)syscall(SYS_futex, &ring->bell, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
	}
	if (now_ns - ring->rated_ns >= 1000000000)
		keep_rates(ring, now_ns);
}

/* ---- readers ------------------------------------------------------------------------------------------ */

/* Is the position given up, or about to be? Called after what stood there was read. */
static bool is_given_up(const struct raw_ring *ring, __u64 pos)
{
	/* If a word was new, so is the limit. */
	atomic_thread_fence(memory_order_acquire);
	return load(&ring->limit) > pos + ring->size;
}

/* The part in which the oldest entries stand that are held. Acquired: its mark is seen as well. */
static __u64 oldest_part(const struct raw_ring *ring)
{
	__u64 limit = load_acq(&ring->limit);

	return limit > ring->size ? (limit - ring->size) / ring->part_size : 0;
}

/* Where the first entry of a part stands, and its number. False: the part is given up. */
static bool read_mark(const struct raw_ring *ring, __u64 part, __u64 *ret_pos, __u64 *ret_number)
{
	const struct part *first = &ring->first[part % PARTS];

	*ret_pos = load(&first->pos);
	*ret_number = load(&first->number);
	return !is_given_up(ring, part * ring->part_size);
}

/* The oldest entry that is held; of a ring that never had any, the first that will be. */
static void find_oldest(const struct raw_ring *ring, __u64 *ret_pos, __u64 *ret_number)
{
	while (!read_mark(ring, oldest_part(ring), ret_pos, ret_number))
		;
}

/* An entry at or before a number from which it is not far; the oldest when it is no longer held. */
static __u64 find_near(const struct raw_ring *ring, __u64 number)
{
	__u64 pos, n, at, oldest;
	__u64 last = load_acq(&ring->head) / ring->part_size;

	find_oldest(ring, &pos, &oldest);
	for (__u64 part = oldest_part(ring); part <= last; part++) {
		/* A mark that is not made yet is that of PARTS ago: its number is below the oldest's. */
		if (!read_mark(ring, part, &at, &n) || n > number)
			break;
		if (n >= oldest && at > pos)
			pos = at;
	}
	return pos;
}

static void slot_take(struct slot *slot, const char *name, __u64 cursor)
{
	__u64 words[READER_NAME_WORDS] = { 0 };

	memcpy(words, name, strnlen(name, sizeof(words) - 1));
	for (size_t i = 0; i < READER_NAME_WORDS; i++)
		store(&slot->name[i], words[i]);
	store(&slot->read, 0);
	store(&slot->lost, 0);
	store(&slot->cursor, cursor);
	atomic_store_explicit(&slot->taken, true, memory_order_release);
}

int raw_reader_open(struct raw_ring *ring, const char *name, enum raw_from from, struct raw_reader **ret_reader)
{
	AUTO(raw_reader) r = malloc(sizeof(*r));

	if (!r)
		return err_new(-ENOMEM, "no memory for a reader of the raw ring");
	r->ring = ring;
	r->slot = NULL;
	r->head = 0;
	if (from == RAW_FROM_NOW) {
		r->number = load_acq(&ring->next);
		r->pos = find_near(ring, r->number);
	} else {
		find_oldest(ring, &r->pos, &r->number);
	}
	(void)pthread_mutex_lock(&ring->lock);
	for (size_t i = 0; i < RAW_RING_READERS_MAX && !r->slot; i++)
		if (!load(&ring->slots[i].taken))
			r->slot = &ring->slots[i];
	if (r->slot)
		slot_take(r->slot, name, r->number);
	(void)pthread_mutex_unlock(&ring->lock);
	if (!r->slot)
		return err_new(-EBUSY, "the raw ring has %d readers already", RAW_RING_READERS_MAX);
	*ret_reader = take(r);
	return 0;
}

void raw_reader_free(struct raw_reader *r)
{
	if (!r)
		return;
	if (r->slot)
		atomic_store_explicit(&r->slot->taken, false, memory_order_release);
	free(r);
}

/* Copies out the entry at r->pos. False: it is given up. *ret_size is its size, with padding up to the end. */
static bool copy_out(struct raw_reader *r, __u64 *ret_size)
{
	const struct raw_ring *ring = r->ring;
	__u64 at = (r->pos & (ring->size - 1)) / 8;
	const _Atomic __u64 *entry = &ring->words[at];
	const struct ev_head *rec = (const struct ev_head *)(const void *)&r->words[1];
	size_t n;

	r->words[0] = load(&entry[0]);
	*ret_size = ring->size - at * 8;
	if (r->words[0] == PADDING)
		return !is_given_up(ring, r->pos);
	/* Padding may be the ring's last words; when something else stands there by now, it is no head. */
	if (at + HEAD_WORDS > ring->size / 8)
		return false;
	r->words[1] = load(&entry[1]);
	r->words[2] = load(&entry[2]);
	/* The length may be of something else by now: bound it before it leads anywhere. */
	n = 1 + ((size_t)rec->len + 7) / 8;
	if (rec->len > EV_LEN_MAX || at + n > ring->size / 8)
		return false;
	for (size_t i = HEAD_WORDS; i < n; i++)
		r->words[i] = load(&entry[i]);
	*ret_size = n * 8;
	return !is_given_up(ring, r->pos);
}

const struct ev_head *raw_reader_next(struct raw_reader *r, __u64 *ret_lost)
{
	__u64 size, number;

	*ret_lost = 0;
	for (;;) {
		if (r->pos >= r->head) {
			r->head = load_acq(&r->ring->head);
			if (r->pos >= r->head)
				return NULL;
		}
		if (!copy_out(r, &size)) {
			/* Overtaken. How many that cost is known when the next record says its number. */
			find_oldest(r->ring, &r->pos, &number);
			continue;
		}
		r->pos += size;
		number = r->words[0];
		/* After a seek, what stands before the record that was asked for is stepped over. */
		if (number == PADDING || number < r->number)
			continue;
		*ret_lost = number - r->number;
		r->number = number + 1;
		bump(&r->slot->lost, *ret_lost);
		bump(&r->slot->read, 1);
		store(&r->slot->cursor, r->number);
		return (const struct ev_head *)(const void *)&r->words[1];
	}
}

__u64 raw_reader_cursor(const struct raw_reader *r)
{
	return r->number;
}

int raw_reader_seek(struct raw_reader *r, __u64 cursor)
{
	if (cursor > load_acq(&r->ring->next))
		return err_new(-EINVAL,
			       "the cursor is of a record that is still to come, or of another run of the agent");
	r->number = cursor;
	r->pos = find_near(r->ring, cursor);
	store(&r->slot->cursor, cursor);
	return 0;
}

bool raw_reader_wait(struct raw_reader *r, __u64 max_ns)
{
	struct timespec limit = { .tv_sec = (time_t)(max_ns / 1000000000), .tv_nsec = (long)(max_ns % 1000000000) };
	struct raw_ring *ring = r->ring;
	unsigned bell = atomic_load(&ring->bell);

	(void)atomic_fetch_add(&ring->sleepers, 1);
	/* Either the writer sees that somebody sleeps, or this look at head sees what it put. */
	atomic_thread_fence(memory_order_seq_cst);
	if (load_acq(&ring->head) <= r->pos)
		(void)syscall(SYS_futex, &ring->bell, FUTEX_WAIT_PRIVATE, bell, &limit, NULL, 0);
	(void)atomic_fetch_sub(&ring->sleepers, 1);
	return load_acq(&ring->head) > r->pos;
}

/* ---- metrics --------------------------------------------------------------------------------------------- */

void raw_ring_metrics(const struct raw_ring *ring, struct raw_ring_metrics *ret_metrics)
{
	__u64 oldest_pos, oldest, head;
	unsigned readers = 0;

	find_oldest(ring, &oldest_pos, &oldest);
	/* Later than the oldest, so never before it. */
	head = load_acq(&ring->head);
	for (size_t i = 0; i < RAW_RING_READERS_MAX; i++)
		readers += load(&ring->slots[i].taken);
	*ret_metrics = (struct raw_ring_metrics) {
		.capacity = ring->size,
		.used = head - oldest_pos,
		.puts = load(&ring->next),
		.put_bytes = load(&ring->put_bytes),
		.overwritten = oldest,
		.per_s = load(&ring->per_s),
		.readers = readers,
	};
}

void raw_ring_kind_metrics(const struct raw_ring *ring, __u16 id, struct raw_kind_metrics *ret_metrics)
{
	ret_metrics->puts = load(&ring->puts[id_index(id)]);
	ret_metrics->per_s = load(&ring->id_per_s[id_index(id)]);
}

bool raw_ring_reader_metrics(const struct raw_ring *ring, unsigned i, struct raw_reader_metrics *ret_metrics)
{
	const struct slot *slot = &ring->slots[i];
	__u64 words[READER_NAME_WORDS], next;

	if (!load_acq(&slot->taken))
		return false;
	for (size_t w = 0; w < READER_NAME_WORDS; w++)
		words[w] = load(&slot->name[w]);
	memcpy(ret_metrics->name, words, sizeof(ret_metrics->name));
	ret_metrics->cursor = load(&slot->cursor);
	next = load_acq(&ring->next);
	ret_metrics->lag = next > ret_metrics->cursor ? next - ret_metrics->cursor : 0;
	ret_metrics->read = load(&slot->read);
	ret_metrics->lost = load(&slot->lost);
	return true;
}
