/* SPDX-License-Identifier: Apache-2.0 */
#include "store/segment/block.h"
#include <string.h>
#include <zstd.h>
#include "base/crc.h"
#include "base/err.h"
#include "base/hash.h"
#include "event/event.h"

/*
 * Heads, not compressed:	n_kinds u16, n_who u16, kinds, who (planes), times (zigzag varints of differences),
 *				kind u8 of each record, who u16 of each (planes), cpu u16 of each (planes)
 * Bodies, for each kind:	the words from the head's stacks to the end of the fixed part (planes), how much
 *				follows u16 (planes), and that.
 * Numbers are little-endian, as on all machines that we build for.
 */
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "segments are written as they lie in memory"
#endif

enum {
	LEVEL = 1,
	BODY = offsetof(struct ev_head, kstack), /* where a body begins */
	WHO = offsetof(struct ev_head, cgroup_id),
	WHO_SLOTS = 2 * BLOCK_RECORDS,
	KIND_SLOTS = 1024,
	VARINT_MAX = 10,
};
_Static_assert(BODY - WHO == BLOCK_WHO && BODY == 72, "who stands between the first words and the stacks");

/* ---- what stands in front: sums and filters ---------------------------------------------------- */

/* For the disk, so these may never change. */
__u64 block_hash(__u64 v)
{
	v = (v ^ v >> 30) * 0xbf58476d1ce4e5b9ULL;
	v = (v ^ v >> 27) * 0x94d049bb133111ebULL;
	return v ^ v >> 31;
}

__u64 block_hash_comm(const char comm[16])
{
	__u64 half[2];

	memcpy(half, comm, sizeof(half));
	return block_hash(block_hash(half[0] + 1) + half[1]);
}

/* Three bits of a filter whose bits are a power of two. */
static void filter_add(__u64 *words, unsigned bits, __u64 hash)
{
	for (int i = 0; i < 3; i++, hash >>= 16)
		words[(hash & (bits - 1)) / 64] |= 1ULL << (hash & 63);
}

static bool filter_has(const __u64 *words, unsigned bits, __u64 hash)
{
	for (int i = 0; i < 3; i++, hash >>= 16)
		if (!(words[(hash & (bits - 1)) / 64] & 1ULL << (hash & 63)))
			return false;
	return true;
}

enum {
	PID_BITS = 8 * sizeof(((struct block_head *)0)->pids),
	COMM_BITS = 8 * sizeof(((struct block_head *)0)->comms),
	CGROUP_BITS = 8 * sizeof(((struct block_head *)0)->cgroups),
};

bool block_may_have_pid(const struct block_head *head, __u32 pid)
{
	return filter_has(head->pids, PID_BITS, block_hash(pid));
}

bool block_may_have_comm(const struct block_head *head, const char comm[16])
{
	return filter_has(head->comms, COMM_BITS, block_hash_comm(comm));
}

bool block_may_have_cgroup(const struct block_head *head, __u64 cgroup_id)
{
	return filter_has(head->cgroups, CGROUP_BITS, block_hash(cgroup_id));
}

bool block_may_have_id(const struct block_head *head, __u16 id)
{
	if (head->flags & BLOCK_MANY_IDS)
		return true;
	for (unsigned i = 0; i < BLOCK_IDS_MAX && head->ids[i]; i++)
		if (head->ids[i] == id)
			return true;
	return false;
}

static __u32 head_sum(const struct block_head *head)
{
	static const size_t from = offsetof(struct block_head, heads_size);

	return crc32c((const char *)head + from, sizeof(*head) - from);
}

bool block_head_is_sound(const struct block_head *head)
{
	return head->magic == BLOCK_MAGIC && head->sum == head_sum(head) && head->records &&
	       head->records <= BLOCK_RECORDS && head->heads_raw <= BLOCK_PART_MAX &&
	       head->bodies_raw <= BLOCK_PART_MAX && head->heads_size <= ZSTD_COMPRESSBOUND(BLOCK_PART_MAX) &&
	       head->bodies_size <= ZSTD_COMPRESSBOUND(BLOCK_PART_MAX) && head->min_ns <= head->max_ns;
}

/* ---- planes ---------------------------------------------------------------------------------------- */

static __u64 load_word(const void *p)
{
	__u64 v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static void swap_bits(__u64 *a, __u64 *b, unsigned shift, __u64 mask)
{
	__u64 t = (*a >> shift ^ *b) & mask;

	*b ^= t;
	*a ^= t << shift;
}

/* Eight words as a square of bytes, turned over its diagonal. */
static void turn(__u64 v[8])
{
	static const __u64 halves = 0x00000000ffffffffULL, quarters = 0x0000ffff0000ffffULL,
			   eighths = 0x00ff00ff00ff00ffULL;

	/* Without loops: so the compiler keeps the words in registers. */
	swap_bits(&v[0], &v[4], 32, halves);
	swap_bits(&v[1], &v[5], 32, halves);
	swap_bits(&v[2], &v[6], 32, halves);
	swap_bits(&v[3], &v[7], 32, halves);
	swap_bits(&v[0], &v[2], 16, quarters);
	swap_bits(&v[1], &v[3], 16, quarters);
	swap_bits(&v[4], &v[6], 16, quarters);
	swap_bits(&v[5], &v[7], 16, quarters);
	swap_bits(&v[0], &v[1], 8, eighths);
	swap_bits(&v[2], &v[3], 8, eighths);
	swap_bits(&v[4], &v[5], 8, eighths);
	swap_bits(&v[6], &v[7], 8, eighths);
}

/* n rows of `size` bytes, a multiple of 8, to as many planes of n bytes; and back. */
static void to_planes(const unsigned char *rows, size_t n, size_t size, unsigned char *planes)
{
	for (size_t w = 0; w < size; w += 8) {
		size_t i = 0;

		for (; i + 8 <= n; i += 8) {
			__u64 v[8];

			for (size_t k = 0; k < 8; k++)
				v[k] = load_word(rows + (i + k) * size + w);
			turn(v);
			for (size_t k = 0; k < 8; k++)
				memcpy(planes + (w + k) * n + i, &v[k], 8);
		}
		for (; i < n; i++)
			for (size_t k = 0; k < 8; k++)
				planes[(w + k) * n + i] = rows[i * size + w + k];
	}
}

static void from_planes(const unsigned char *planes, size_t n, size_t size, unsigned char *rows)
{
	for (size_t w = 0; w < size; w += 8) {
		size_t i = 0;

		for (; i + 8 <= n; i += 8) {
			__u64 v[8];

			for (size_t k = 0; k < 8; k++)
				v[k] = load_word(planes + (w + k) * n + i);
			turn(v);
			for (size_t k = 0; k < 8; k++)
				memcpy(rows + (i + k) * size + w, &v[k], 8);
		}
		for (; i < n; i++)
			for (size_t k = 0; k < 8; k++)
				rows[i * size + w + k] = planes[(w + k) * n + i];
	}
}

/* The same for a column of 16-bit numbers. */
static void u16_to_planes(const __u16 *v, size_t n, unsigned char *planes)
{
	for (size_t i = 0; i < n; i++) {
		planes[i] = (unsigned char)v[i];
		planes[n + i] = (unsigned char)(v[i] >> 8);
	}
}

static void u16_from_planes(const unsigned char *planes, size_t n, __u16 *v)
{
	for (size_t i = 0; i < n; i++)
		v[i] = (__u16)(planes[i] | planes[n + i] << 8);
}

/* ---- writing ------------------------------------------------------------------------------------------ */

struct maker_kind {
	__u16 id, fixed;
	__u8 class, flags;
	__u32 rows, row_size;
	struct buf fixed_parts, tails;
	__u16 *tail_len;
};

struct block_maker {
	struct block_head head;
	unsigned n_kinds, n_who;
	struct maker_kind kinds[BLOCK_KINDS_MAX];
	__u8 kind_slots[KIND_SLOTS]; /* 1 + index */
	__u16 who_slots[WHO_SLOTS];  /* 1 + index */
	struct block_who who[BLOCK_RECORDS];
	__u64 last_ns;
	unsigned char times[BLOCK_RECORDS * VARINT_MAX];
	size_t times_len;
	__u8 kind[BLOCK_RECORDS];
	__u16 who_of[BLOCK_RECORDS], cpu[BLOCK_RECORDS];
	struct buf raw;
	ZSTD_CCtx *zstd;
};

int block_maker_open(struct block_maker **ret_maker)
{
	AUTO(block_maker) m = calloc(1, sizeof(*m));

	if (!m)
		return err_new(-ENOMEM, "no memory for a block");
	for (size_t i = 0; i < BLOCK_KINDS_MAX; i++) {
		buf_init(&m->kinds[i].fixed_parts, BLOCK_PART_MAX);
		buf_init(&m->kinds[i].tails, BLOCK_PART_MAX);
	}
	buf_init(&m->raw, BLOCK_PART_MAX + 1);
	m->zstd = ZSTD_createCCtx();
	if (!m->zstd)
		return err_new(-ENOMEM, "no memory for a block");
	*ret_maker = take(m);
	return 0;
}

void block_maker_free(struct block_maker *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < BLOCK_KINDS_MAX; i++) {
		buf_free(&m->kinds[i].fixed_parts);
		buf_free(&m->kinds[i].tails);
		free(m->kinds[i].tail_len);
	}
	buf_free(&m->raw);
	(void)ZSTD_freeCCtx(m->zstd);
	free(m);
}

size_t block_records(const struct block_maker *m)
{
	return m->head.records;
}

/* How much of a record is columns: the fixed part of its kind, cut to whole words. */
static __u16 fixed_size(const struct ev_head *rec)
{
	const struct event_kind *kind = event_kind_of(rec->id);

	return kind && kind->size <= rec->len ? (__u16)kind->size : (__u16)sizeof(*rec);
}

static __u32 row_size(__u16 fixed)
{
	return (__u32)(fixed - BODY) & ~7U;
}

static void note_id(struct block_head *head, __u16 id)
{
	for (unsigned i = 0; i < BLOCK_IDS_MAX; i++) {
		if (head->ids[i] == id)
			return;
		if (!head->ids[i]) {
			head->ids[i] = id;
			return;
		}
	}
	head->flags |= BLOCK_MANY_IDS;
}

/* The kind of a record in this block, or -1 when there are as many as there may be. */
static int find_kind(struct block_maker *m, const struct ev_head *rec)
{
	__u16 fixed = fixed_size(rec);
	__u64 key = (__u64)rec->id << 32 | (__u64)fixed << 16 | (__u64)rec->class << 8 | rec->flags;
	struct maker_kind *k;

	for (size_t at = block_hash(key) % KIND_SLOTS;; at = (at + 1) % KIND_SLOTS) {
		if (!m->kind_slots[at]) {
			if (m->n_kinds == BLOCK_KINDS_MAX)
				return -1;
			k = &m->kinds[m->n_kinds++];
			k->id = rec->id;
			k->fixed = fixed;
			k->class = rec->class;
			k->flags = rec->flags;
			k->rows = 0;
			k->row_size = row_size(fixed);
			note_id(&m->head, rec->id);
			m->kind_slots[at] = (__u8)m->n_kinds;
			return (int)m->n_kinds - 1;
		}
		k = &m->kinds[m->kind_slots[at] - 1];
		if (k->id == rec->id && k->fixed == fixed && k->class == rec->class && k->flags == rec->flags)
			return m->kind_slots[at] - 1;
	}
}

static __u16 find_who(struct block_maker *m, const struct ev_head *rec)
{
	const struct block_who *who = (const struct block_who *)(const void *)((const char *)rec + WHO);
	size_t at = hash_bytes(who, sizeof(*who), 1) % WHO_SLOTS;

	for (; m->who_slots[at]; at = (at + 1) % WHO_SLOTS)
		if (!memcmp(&m->who[m->who_slots[at] - 1], who, sizeof(*who)))
			return m->who_slots[at] - 1;
	m->who[m->n_who++] = *who;
	m->who_slots[at] = (__u16)m->n_who;
	filter_add(m->head.pids, PID_BITS, block_hash(who->pid));
	filter_add(m->head.comms, COMM_BITS, block_hash_comm(who->comm));
	filter_add(m->head.cgroups, CGROUP_BITS, block_hash(who->cgroup_id));
	return (__u16)(m->n_who - 1);
}

static void put_time(struct block_maker *m, __u64 time_ns)
{
	__s64 d = (__s64)(time_ns - m->last_ns);
	__u64 v = (__u64)d << 1 ^ (__u64)(d >> 63);

	m->last_ns = time_ns;
	for (; v >= 0x80; v >>= 7)
		m->times[m->times_len++] = (unsigned char)(v | 0x80);
	m->times[m->times_len++] = (unsigned char)v;
}

bool block_put(struct block_maker *m, const struct ev_head *rec)
{
	struct block_head *head = &m->head;
	unsigned i = head->records;
	struct maker_kind *k;
	int kind;

	if (i == BLOCK_RECORDS || head->record_bytes + rec->len > BLOCK_BYTES)
		return false;
	kind = find_kind(m, rec);
	if (kind < 0)
		return false;
	k = &m->kinds[kind];
	if (!k->tail_len) {
		k->tail_len = malloc(BLOCK_RECORDS * sizeof(*k->tail_len));
		if (!k->tail_len)
			return false;
	}
	if (!i)
		head->min_ns = rec->time_ns;
	if (rec->time_ns < head->min_ns)
		head->min_ns = rec->time_ns;
	if (rec->time_ns > head->max_ns)
		head->max_ns = rec->time_ns;
	put_time(m, rec->time_ns);
	m->kind[i] = (__u8)kind;
	m->cpu[i] = rec->cpu;
	m->who_of[i] = find_who(m, rec);
	k->tail_len[k->rows++] = (__u16)(rec->len - BODY - k->row_size);
	buf_add(&k->fixed_parts, (const char *)rec + BODY, k->row_size);
	buf_add(&k->tails, (const char *)rec + BODY + k->row_size, rec->len - BODY - k->row_size);
	head->records++;
	head->record_bytes += rec->len;
	return true;
}

static void clear(struct block_maker *m)
{
	for (unsigned i = 0; i < m->n_kinds; i++) {
		buf_clear(&m->kinds[i].fixed_parts);
		buf_clear(&m->kinds[i].tails);
	}
	memset(&m->head, 0, sizeof(m->head));
	memset(m->kind_slots, 0, sizeof(m->kind_slots));
	memset(m->who_slots, 0, sizeof(m->who_slots));
	m->n_kinds = m->n_who = 0;
	m->times_len = 0;
	m->last_ns = 0;
}

/* Room for n bytes at the end of `raw`; NULL, and failed, when there is none. */
static unsigned char *grow(struct buf *raw, size_t n)
{
	unsigned char *p;

	if (!buf_reserve(raw, n))
		return NULL;
	p = (unsigned char *)raw->data + raw->len;
	raw->len += n;
	return p;
}

static void lay_heads(struct block_maker *m)
{
	__u16 counts[2] = { (__u16)m->n_kinds, (__u16)m->n_who };
	unsigned n = m->head.records;
	unsigned char *p;

	buf_clear(&m->raw);
	buf_add(&m->raw, counts, sizeof(counts));
	for (unsigned i = 0; i < m->n_kinds; i++) {
		const struct maker_kind *k = &m->kinds[i];
		const struct block_kind row = { k->id, k->fixed, k->class, k->flags, k->rows };

		buf_add(&m->raw, &row, sizeof(row));
	}
	p = grow(&m->raw, (size_t)m->n_who * BLOCK_WHO);
	if (p)
		to_planes((const unsigned char *)m->who, m->n_who, BLOCK_WHO, p);
	buf_add(&m->raw, m->times, m->times_len);
	buf_add(&m->raw, m->kind, n);
	p = grow(&m->raw, (size_t)4 * n);
	if (p) {
		u16_to_planes(m->who_of, n, p);
		u16_to_planes(m->cpu, n, p + 2 * n);
	}
}

static void lay_bodies(struct block_maker *m)
{
	buf_clear(&m->raw);
	for (unsigned i = 0; i < m->n_kinds; i++) {
		struct maker_kind *k = &m->kinds[i];
		unsigned char *p = grow(&m->raw, (size_t)k->rows * (k->row_size + 2));

		m->raw.failed |= k->fixed_parts.failed || k->tails.failed;
		if (!p)
			return;
		to_planes((const unsigned char *)k->fixed_parts.data, k->rows, k->row_size, p);
		u16_to_planes(k->tail_len, k->rows, p + (size_t)k->rows * k->row_size);
		buf_add(&m->raw, buf_text(&k->tails), k->tails.len);
	}
}

/* Appends `raw` to `out`, compressed. */
static int pack(struct block_maker *m, struct buf *out, __u32 *ret_raw, __u32 *ret_size, __u32 *ret_sum)
{
	size_t bound = ZSTD_compressBound(m->raw.len), size;
	size_t at = out->len;
	unsigned char *p = m->raw.failed ? NULL : grow(out, bound);

	if (!p)
		return err_new(-ENOMEM, "no memory for a block");
	size = ZSTD_compressCCtx(m->zstd, p, bound, buf_text(&m->raw), m->raw.len, LEVEL);
	if (ZSTD_isError(size))
		return err_new(-ENOMEM, "compress a block: %s", ZSTD_getErrorName(size));
	out->len = at + size;
	*ret_raw = (__u32)m->raw.len;
	*ret_size = (__u32)size;
	*ret_sum = crc32c(p, size);
	return 0;
}

int block_make(struct block_maker *m, __u32 flags, __u64 lost, struct buf *out)
{
	size_t at = out->len;
	int r;

	buf_add(out, &m->head, sizeof(m->head));
	lay_heads(m);
	r = pack(m, out, &m->head.heads_raw, &m->head.heads_size, &m->head.heads_sum);
	if (r == 0) {
		lay_bodies(m);
		r = pack(m, out, &m->head.bodies_raw, &m->head.bodies_size, &m->head.bodies_sum);
	}
	if (r == 0) {
		m->head.magic = BLOCK_MAGIC;
		m->head.flags |= flags;
		m->head.lost = lost;
		m->head.sum = head_sum(&m->head);
		memcpy(out->data + at, &m->head, sizeof(m->head));
	} else {
		out->len = at;
	}
	clear(m);
	return r;
}

/* ---- reading -------------------------------------------------------------------------------------------- */

struct block_reader {
	ZSTD_DCtx *zstd;
	unsigned char *heads, *bodies; /* BLOCK_PART_MAX each */
	unsigned char *rows;           /* fixed parts, row after row, kind after kind */
	size_t rows_at[BLOCK_KINDS_MAX];
};

/* Bytes that are still to be read. */
struct cursor {
	const unsigned char *p;
	size_t left;
};

static const unsigned char *next_bytes(struct cursor *c, size_t n)
{
	const unsigned char *p = c->p;

	if (n > c->left)
		return NULL;
	c->p += n;
	c->left -= n;
	return p;
}

int block_open(struct block **ret_block)
{
	AUTO(block) b = calloc(1, sizeof(*b));
	struct block_reader *r;

	if (!b)
		return err_new(-ENOMEM, "no memory for a block");
	b->reader = r = calloc(1, sizeof(*r));
	b->who = malloc(BLOCK_RECORDS * sizeof(*b->who));
	b->time_ns = malloc(BLOCK_RECORDS * sizeof(*b->time_ns));
	b->kind = malloc(BLOCK_RECORDS * sizeof(*b->kind));
	b->who_of = malloc(BLOCK_RECORDS * sizeof(*b->who_of));
	b->cpu = malloc(BLOCK_RECORDS * sizeof(*b->cpu));
	b->row = malloc(BLOCK_RECORDS * sizeof(*b->row));
	b->tail_at = malloc(BLOCK_RECORDS * sizeof(*b->tail_at));
	b->tail_len = malloc(BLOCK_RECORDS * sizeof(*b->tail_len));
	if (r) {
		r->zstd = ZSTD_createDCtx();
		r->heads = malloc(BLOCK_PART_MAX);
		r->bodies = malloc(BLOCK_PART_MAX);
		r->rows = malloc(BLOCK_PART_MAX);
	}
	if (!r || !r->zstd || !r->heads || !r->bodies || !r->rows || !b->who || !b->time_ns || !b->kind || !b->who_of ||
	    !b->cpu || !b->row || !b->tail_at || !b->tail_len)
		return err_new(-ENOMEM, "no memory for a block");
	*ret_block = take(b);
	return 0;
}

void block_free(struct block *b)
{
	if (!b)
		return;
	if (b->reader) {
		(void)ZSTD_freeDCtx(b->reader->zstd);
		free(b->reader->heads);
		free(b->reader->bodies);
		free(b->reader->rows);
		free(b->reader);
	}
	free(b->who);
	free(b->time_ns);
	free(b->kind);
	free(b->who_of);
	free(b->cpu);
	free(b->row);
	free(b->tail_at);
	free(b->tail_len);
	free(b);
}

static int broken(const char *what)
{
	return err_new(-EBADMSG, "a block's %s are not what was written", what);
}

static int unpack(struct block *b, const void *bytes, __u32 size, __u32 sum, unsigned char *to, __u32 raw,
		  const char *what)
{
	if (crc32c(bytes, size) != sum || ZSTD_decompressDCtx(b->reader->zstd, to, raw, bytes, size) != raw)
		return broken(what);
	return 0;
}

static bool read_kinds(struct block *b, struct cursor *c)
{
	__u64 rows = 0;
	const unsigned char *p = next_bytes(c, b->n_kinds * sizeof(b->kinds[0]));

	if (!p)
		return false;
	memcpy(b->kinds, p, b->n_kinds * sizeof(b->kinds[0]));
	for (unsigned i = 0; i < b->n_kinds; i++) {
		if (b->kinds[i].fixed < sizeof(struct ev_head) || b->kinds[i].fixed > EV_LEN_MAX)
			return false;
		rows += b->kinds[i].rows;
	}
	return rows == b->head.records;
}

static bool read_times(struct block *b, struct cursor *c)
{
	__u64 last = 0;

	for (unsigned i = 0; i < b->head.records; i++) {
		__u64 v = 0;
		unsigned shift = 0;
		unsigned char byte;

		do {
			if (!c->left || shift > 63)
				return false;
			byte = *c->p++;
			c->left--;
			v |= (__u64)(byte & 0x7f) << shift;
			shift += 7;
		} while (byte & 0x80);
		last += v >> 1 ^ -(v & 1);
		b->time_ns[i] = last;
	}
	return true;
}

static bool read_columns(struct block *b, struct cursor *c)
{
	__u32 n = b->head.records, rows[BLOCK_KINDS_MAX] = { 0 };
	const unsigned char *kind = next_bytes(c, n), *who = next_bytes(c, (size_t)2 * n),
			    *cpu = next_bytes(c, (size_t)2 * n);

	if (!kind || !who || !cpu || c->left)
		return false;
	memcpy(b->kind, kind, n);
	u16_from_planes(who, n, b->who_of);
	u16_from_planes(cpu, n, b->cpu);
	for (__u32 i = 0; i < n; i++) {
		if (b->kind[i] >= b->n_kinds || b->who_of[i] >= b->n_who)
			return false;
		b->row[i] = rows[b->kind[i]]++;
	}
	for (unsigned i = 0; i < b->n_kinds; i++)
		if (rows[i] != b->kinds[i].rows)
			return false;
	return true;
}

int block_read_heads(struct block *b, const struct block_head *head, const void *bytes)
{
	struct cursor c = { b->reader->heads, head->heads_raw };
	const unsigned char *who, *p;
	__u16 counts[2];
	int r;

	b->head = *head;
	b->has_bodies = false;
	r = unpack(b, bytes, head->heads_size, head->heads_sum, b->reader->heads, head->heads_raw, "heads");
	if (r < 0)
		return r;
	p = next_bytes(&c, sizeof(counts));
	if (!p)
		return broken("heads");
	memcpy(counts, p, sizeof(counts));
	b->n_kinds = counts[0];
	b->n_who = counts[1];
	if (b->n_kinds > BLOCK_KINDS_MAX || b->n_who > head->records || !read_kinds(b, &c))
		return broken("heads");
	who = next_bytes(&c, (size_t)b->n_who * BLOCK_WHO);
	if (!who)
		return broken("heads");
	from_planes(who, b->n_who, BLOCK_WHO, (unsigned char *)b->who);
	return read_times(b, &c) && read_columns(b, &c) ? 0 : broken("heads");
}

int block_read_bodies(struct block *b, const void *bytes)
{
	const struct block_head *head = &b->head;
	struct block_reader *rd = b->reader;
	struct cursor c = { rd->bodies, head->bodies_raw };
	auto_free __u16 *len = NULL;
	__u32 first[BLOCK_KINDS_MAX], done = 0;
	auto_free __u32 *at = NULL;
	size_t rows_at = 0;
	int r;

	if (b->has_bodies)
		return 0;
	r = unpack(b, bytes, head->bodies_size, head->bodies_sum, rd->bodies, head->bodies_raw, "bodies");
	if (r < 0)
		return r;
	len = malloc(BLOCK_RECORDS * sizeof(*len));
	at = malloc(BLOCK_RECORDS * sizeof(*at));
	if (!len || !at)
		return err_new(-ENOMEM, "no memory for a block");
	for (unsigned k = 0; k < b->n_kinds; k++) {
		__u32 rows = b->kinds[k].rows, size = row_size(b->kinds[k].fixed);
		const unsigned char *fixed = next_bytes(&c, (size_t)rows * size),
				    *lengths = next_bytes(&c, (size_t)2 * rows);

		if (!fixed || !lengths)
			return broken("bodies");
		from_planes(fixed, rows, size, rd->rows + rows_at);
		rd->rows_at[k] = rows_at;
		rows_at += (size_t)rows * size;
		u16_from_planes(lengths, rows, len + done);
		first[k] = done;
		for (__u32 i = 0; i < rows; i++, done++) {
			at[done] = (__u32)(c.p - rd->bodies);
			if (BODY + size + len[done] > EV_LEN_MAX || BODY + size + len[done] < sizeof(struct ev_head) ||
			    !next_bytes(&c, len[done]))
				return broken("bodies");
		}
	}
	if (c.left)
		return broken("bodies");
	for (__u32 i = 0; i < head->records; i++) {
		b->tail_at[i] = at[first[b->kind[i]] + b->row[i]];
		b->tail_len[i] = len[first[b->kind[i]] + b->row[i]];
	}
	b->has_bodies = true;
	return 0;
}

size_t block_record(const struct block *b, unsigned i, struct ev_head *rec)
{
	const struct block_kind *k = &b->kinds[b->kind[i]];
	__u32 size = row_size(k->fixed);

	rec->time_ns = b->time_ns[i];
	rec->id = k->id;
	rec->len = (__u16)(BODY + size + b->tail_len[i]);
	rec->cpu = b->cpu[i];
	rec->class = k->class;
	rec->flags = k->flags;
	memcpy((char *)rec + WHO, &b->who[b->who_of[i]], BLOCK_WHO);
	memcpy((char *)rec + BODY, b->reader->rows + b->reader->rows_at[b->kind[i]] + (size_t)b->row[i] * size, size);
	memcpy((char *)rec + BODY + size, b->reader->bodies + b->tail_at[i], b->tail_len[i]);
	return rec->len;
}
