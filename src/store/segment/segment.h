/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segment - one file of a recording: a head, then blocks.
 *
 * The head says whose records these are and what the agent that wrote them took them for. Nothing in a
 * file is ever changed after it was written, so all that a crash can do is to leave a part of a block at the end.
 */
#pragma once
#include "store/segment/block.h"
#include "store/store.h"

#define SEGMENT_MAGIC  "SHRIKSEG"
#define SEGMENT_SUFFIX ".shrike"

enum {
	SEGMENT_VERSION = 1,
	SEGMENT_KINDS_MAX = 2048,
	SEGMENT_NAME_MAX = 64,
};

/* A kind as the writer knew it. */
struct segment_kind {
	__u16 id, size;
	__u32 table_sum; /* of its field table: the same sum, the same fields */
};

/* On disk; the kinds follow. */
struct segment_head {
	char magic[8];
	__u32 version;
	__u32 sum;  /* of the rest, kinds included */
	__u32 size; /* of the head, kinds included: where the first block stands */
	__u32 n_kinds;
	__s64 wall_minus_boot_ns;
	__u64 began_ns; /* boot time: nothing in the segments before it is later */
	char boot_id[40];
	char kernel[72], host[72], agent[72];
};
_Static_assert(sizeof(struct segment_head) == 40 + 40 + 216, "segment_head");

/* Appends head and kinds. */
int segment_head_make(const struct store_origin *origin, __u64 began_ns, struct buf *out);

/* A file that is being read, block after block. */
struct segment {
	int fd;
	__u64 bytes; /* of the file, when it was opened */
	struct segment_head head;
	struct store_origin origin;
	bool other_kinds; /* some kind had other fields when this was written */
	__u64 at;         /* of the block after `block` */
	__u64 block_at;
	struct block_head block;
	__u64 torn_bytes;
	struct buf bytes_of; /* of a block's parts */
};

/* -EBADMSG: it is no segment, or of a version that this one cannot read. */
int segment_open(const char *path, struct segment *ret_segment);
void segment_close(struct segment *s);
/* Goes to the next block and reads its head: 1; 0 at the end, and torn_bytes are what does not make a block there. */
int segment_next(struct segment *s);
/* Unpacks the block's heads; then its bodies. -EBADMSG: damaged. */
int segment_read_heads(struct segment *s, struct block *b);
int segment_read_bodies(struct segment *s, struct block *b);

/* "00000000000000000042.shrike" is number 42. Files with other names are no segments of a folder. */
bool segment_number(const char *name, __u64 *ret_number);
void segment_name(__u64 number, char ret_name[SEGMENT_NAME_MAX]);
/* The numbers of a folder's segments, in order; the caller frees. */
int segment_list(int dir, __u64 **ret_numbers, size_t *ret_n);
