/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store - records on disk, and one way to ask for records wherever they are.
 *
 * A recording is a folder of segments, or a single segment file. A segment can be understood
 * alone: it says which boot of which kernel it is of and how long each kind's fixed part was,
 * and begins with what the agent knew then (processes, cgroups, users), as records of context.event.h.
 *
 * A query is answered by segments (store_query_open()) or by the raw ring (bus/raw_query.h), with the
 * same records in the same order where both hold the data. It feeds a context of its own when it
 * needs one, so that containers, descendants and paths mean what they meant when it happened.
 *
 * Files are append-only blocks with sums: what is complete reads back, whatever happened to the
 * writer; a torn end is left out, and told. Everything in a file is treated as a stranger's.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "base/mem.h"
#include "context/filter.h"
#include "event/event.h"

enum {
	STORE_CURSOR_MAX = 64,     /* bytes of a cursor, NUL included */
	STORE_SEGMENTS_MAX = 4096, /* files of one folder */
	STORE_TEXT_MAX = 65,
};

/* Where and when records were made. */
struct store_origin {
	char boot_id[37];
	__s64 wall_minus_boot_ns; /* what turns time_ns into wall time */
	char kernel[STORE_TEXT_MAX];
	char host[STORE_TEXT_MAX];
	char agent[STORE_TEXT_MAX]; /* version */
};
/* Of this host, now. */
void store_origin_here(struct store_origin *ret_origin);

/* ---- asking ------------------------------------------------------------------------------------- */

/* Zeroed: everything. */
struct store_query_spec {
	__s64 from_ns, to_ns; /* wall time, `to_ns` excluded; 0: open */
	struct filter_spec filter;
	__u64 limit;        /* records at most; 0: no bound */
	const char *cursor; /* go on after the last record of an earlier query of the same words; NULL or "": from the
			       start */
	bool with_context;  /* store_query_event() has a lens even when the filter needs none */
	/*
	 * For replay: what was known at the beginning, and after each gap, is handed out as well, before the
	 * records, whatever the filter says. Without, such records are used and not shown.
	 */
	bool with_known;
};

struct store_query_stats {
	__u64 matched, looked_at;  /* records */
	__u64 blocks, blocks_read; /* that there are, and that the index could not rule out */
	__u64 damaged;             /* blocks that did not read back, and were left out */
	__u64 torn_bytes;          /* at the ends of files */
	__u64 refused;             /* records that are none, or of kinds that nobody knows */
	__u64 lost;                /* records that the writer said it had lost, in the segments that were read */
};

struct store_query;
/*
 * 1 and the next record, valid until the next call; 0 at the end, or when the limit is reached; or an error
 * with a trail. A record has passed event_check(), and is as long as its kind is today.
 */
int store_query_next(struct store_query *q, const struct ev_head **ret_rec);
/* The event of the last record; with a lens when the filter or with_context made one necessary. */
const struct event *store_query_event(struct store_query *q);
/* Of the last record. The clock of `@timestamp` is the process's: event_clock_set() it when this changes. */
const struct store_origin *store_query_origin(const struct store_query *q);
/* Does the last record tell what was known (with_known), not what happened? */
bool store_query_is_known(const struct store_query *q);
/* How many records were lost between the last record and the one before it. */
__u64 store_query_lost(const struct store_query *q);
/* Where to go on after the last record. */
void store_query_cursor(const struct store_query *q, char ret_cursor[STORE_CURSOR_MAX]);
/* Counts what is still to come, at most up to the limit, without handing it out. */
int store_query_count(struct store_query *q, __u64 *ret_count);
void store_query_stats(const struct store_query *q, struct store_query_stats *ret_stats);
void store_query_free(struct store_query *q);
DEFINE_AUTO(store_query)

/* ---- reading segments ----------------------------------------------------------------------------- */

struct store;
/* A folder or a file. It sees what was there when it was opened. Event kinds are registered before. */
int store_open(const char *path, struct store **ret_store);
/* The same of what a person named: a folder without any segment is a mistake then, and -ENOENT. */
int store_open_named(const char *path, struct store **ret_store);
void store_free(struct store *store);
DEFINE_AUTO(store)

/* The store stays open as long as its queries. */
int store_query_open(struct store *store, const struct store_query_spec *spec, struct store_query **ret_query);

struct store_summary {
	size_t segments;
	__u64 records, bytes, blocks, torn_bytes, lost;
	__s64 first_ns, last_ns;    /* wall time */
	struct store_origin origin; /* of the first segment */
};
void store_summary(const struct store *store, struct store_summary *ret_summary);
/* Is this a segment file, by its first bytes? */
bool store_is_segment(const char *path);

/* ---- writing segments ------------------------------------------------------------------------------- */

struct store_writer_options {
	const char *path; /* a folder, which is made, or with single_file a file, which must not exist */
	bool single_file;
	bool stream; /* one segment goes to `fd`, a pipe or socket, which stays the caller's; path is only its name */
	int fd;
	__u64 segment_bytes; /* a file ends when it is so long; 0: 64 MiB */
	__u64 max_bytes;     /* of the folder: the oldest segments go; 0: no bound */
	__u64 max_age_ns;    /* since a segment ended; 0: no bound */
};

struct store_writer_stats {
	__u64 records, record_bytes;
	__u64 written_bytes, blocks, segments, removed; /* removed: segments, by size and age */
	__u64 lost_full;                                /* records of blocks that the disk did not take */
	__u64 lost_before;                              /* records that store_writer_lost() told of */
	int last_error;                                 /* of writing: errno, or 0 */
};

struct store_writer;
int store_writer_open(const struct store_writer_options *options, struct store_writer **ret_writer);
/* Writes what is left, and ends the segment. */
void store_writer_free(struct store_writer *w);
DEFINE_AUTO(store_writer)

/* Is a segment to begin before the next record: there is none yet, or it is full? */
bool store_writer_wants_segment(const struct store_writer *w);
/*
 * Ends the segment and begins another. `known` are records one after the other, each padded to 8: what
 * the agent knew before the next record.
 */
int store_writer_begin(struct store_writer *w, const struct store_origin *origin, const void *known, size_t known_len);
/* A record that is too short or long to be one is -EINVAL. What the disk does not take is counted, and no error. */
int store_writer_put(struct store_writer *w, const struct ev_head *rec);
/* So many records are missing before the next. */
void store_writer_lost(struct store_writer *w, __u64 records);
/* What was put so far goes to the file. A block this makes is short: once a second is enough. */
void store_writer_flush(struct store_writer *w);
void store_writer_stats(const struct store_writer *w, struct store_writer_stats *ret_stats);
