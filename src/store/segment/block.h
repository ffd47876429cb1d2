/* SPDX-License-Identifier: Apache-2.0 */
/*
 * block - some thousand records as bytes of a file, and back, bit for bit.
 *
 * Columns, because likes stand beside likes there and pack well. Who acted (56 bytes of the
 * head) is the same for many records: a table of those, and each record has an index. Times are
 * differences. Of each kind, the fixed parts are cut into planes (the first byte of all, then
 * the second of all ...), and what follows them, strings and stacks, is kept as it is.
 *
 * Two parts are compressed apart: the heads (who, when, what), small and enough to answer most
 * of a query, and the bodies. In front of both stands a plain `struct block_head` that says by
 * itself whether a search can find anything here.
 *
 * Reading trusts nothing: every number is held against its bound.
 */
#pragma once
#include <stdbool.h>
#include "base/buf.h"
#include "base/mem.h"
#include "event/abi.h"

enum {
	BLOCK_RECORDS = 4096,
	BLOCK_BYTES = 4 << 20,                    /* of records: a block is full with either */
	BLOCK_PART_MAX = BLOCK_BYTES + (1 << 20), /* of heads or bodies, not compressed */
	BLOCK_KINDS_MAX = 250,
	BLOCK_IDS_MAX = 32,
	BLOCK_WHO = 56, /* bytes of the head from cgroup_id to comm */
};
#define BLOCK_MAGIC 0x4b4c4253U /* "SBLK" */

enum block_flag {
	BLOCK_KNOWN = 1 << 0,    /* what was known when the segment began, not what happened */
	BLOCK_MANY_IDS = 1 << 1, /* more kinds than fit `ids` */
};

/* On disk, and what a search looks at first. */
struct block_head {
	__u32 magic;
	__u32 sum;                     /* of the rest of this */
	__u32 heads_size, bodies_size; /* as they stand in the file, one after the other */
	__u32 heads_raw, bodies_raw;
	__u32 heads_sum, bodies_sum;
	__u32 records, flags;
	__u64 record_bytes;
	__u64 lost; /* records missing before the first */
	__u64 min_ns, max_ns;
	__u16 ids[BLOCK_IDS_MAX]; /* of the kinds in it; 0 after the last */
	/* Bloom filters: a bit that is not set says for certain. */
	__u64 pids[128], comms[16], cgroups[8];
};
_Static_assert(sizeof(struct block_head) == 72 + 64 + 1216, "block_head");

__u64 block_hash(__u64 v);
__u64 block_hash_comm(const char comm[16]);
bool block_may_have_pid(const struct block_head *head, __u32 pid);
bool block_may_have_comm(const struct block_head *head, const char comm[16]);
bool block_may_have_cgroup(const struct block_head *head, __u64 cgroup_id);
bool block_may_have_id(const struct block_head *head, __u16 id);

/* Is this a head, with its sum right and all its numbers within bounds? */
bool block_head_is_sound(const struct block_head *head);

/* ---- writing ---------------------------------------------------------------------------- */

struct block_maker;
int block_maker_open(struct block_maker **ret_maker);
void block_maker_free(struct block_maker *m);
DEFINE_AUTO(block_maker)

/* False: the block is full; block_make() it, then put again. The record has a head at least, and EV_LEN_MAX at most. */
bool block_put(struct block_maker *m, const struct ev_head *rec);
size_t block_records(const struct block_maker *m);
/* Appends head and parts to `out`, and begins anew. */
int block_make(struct block_maker *m, __u32 flags, __u64 lost, struct buf *out);

/* ---- reading ---------------------------------------------------------------------------- */

struct block_kind {
	__u16 id, fixed; /* fixed: size of the kind's fixed part when this was written */
	__u8 class, flags;
	__u32 rows;
};

struct block_who {
	__u64 cgroup_id, start_ns;
	__u32 pid, tid, uid, gid, netns, ns_pid;
	char comm[16];
};
_Static_assert(sizeof(struct block_who) == BLOCK_WHO, "block_who");

/* What a block's heads say, unpacked. */
struct block {
	struct block_head head;
	unsigned n_kinds, n_who;
	struct block_kind kinds[BLOCK_KINDS_MAX];
	struct block_who *who;
	__u64 *time_ns;
	__u8 *kind;
	__u16 *who_of, *cpu;
	/* With the bodies: */
	bool has_bodies;
	__u32 *row;     /* its row among those of its kind */
	__u32 *tail_at; /* where what follows its fixed part stands */
	__u16 *tail_len;
	struct block_reader *reader;
};

int block_open(struct block **ret_block);
void block_free(struct block *b);
DEFINE_AUTO(block)

/* Unpacks heads, then bodies, of a head that is sound. -EBADMSG: they are not what was written. */
int block_read_heads(struct block *b, const struct block_head *head, const void *bytes);
int block_read_bodies(struct block *b, const void *bytes);
/* Record i as it was put, into EV_LEN_MAX bytes aligned to 8. Returns its length. After block_read_bodies(). */
size_t block_record(const struct block *b, unsigned i, struct ev_head *ret_rec);
