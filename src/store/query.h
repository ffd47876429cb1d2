/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query - what every kind of query has in common, for those that make one: segments and the raw ring.
 *
 * A maker embeds `struct store_query` and walks its records in order. It tells the query all of them that may
 * matter (query_learn() what was known, query_test() each record), and hands out those that are wanted.
 */
#pragma once
#include "context/context.h"
#include "store/store.h"

struct store_query_ops {
	/* As store_query_next(), without its limit. */
	int (*next)(struct store_query *q, const struct ev_head **ret_rec);
	void (*cursor)(const struct store_query *q, char ret_cursor[STORE_CURSOR_MAX]);
	void (*free)(struct store_query *q);
};

struct store_query {
	const struct store_query_ops *ops;
	__u64 limit, left; /* left: of the limit */
	__u64 lost;        /* before the last record */
	bool is_known;     /* the last record tells what was known */
	struct store_origin origin;
	struct store_query_stats stats;

	/* What is asked for. */
	struct filter *filter;
	__s64 from_ns, to_ns;
	__u32 pid; /* that a record must have; 0: any */
	bool has_comm;
	char comm[16];
	bool with_known, with_context;
	/* Context answers: every record that teaches it something must pass query_test(). */
	bool needs_context;
	struct context *context;
	struct context_view view;
	struct event event;
};

/* Fills a zeroed query; query_close() gives back what it took, also after a failure. */
int query_init(struct store_query *q, const struct store_query_ops *ops, const struct store_query_spec *spec);
void query_close(struct store_query *q);

/* Records of another origin follow: forgets what was known of the one before, unless it is the same boot. */
int query_begin(struct store_query *q, const struct store_origin *origin);
/* What was known before the records. */
void query_learn(struct store_query *q, const struct ev_head *rec);
/* Is the record wanted? Makes q->event, and teaches the context. */
bool query_test(struct store_query *q, const struct ev_head *rec, const struct event_kind *kind);

/* Before a record is made whole: is its time in the range? */
static inline bool query_wants_time(const struct store_query *q, __u64 time_ns)
{
	__s64 at = (__s64)(time_ns + (__u64)q->origin.wall_minus_boot_ns);

	return at >= q->from_ns && at < q->to_ns;
}
/* Could the context learn from records of this kind? */
bool query_teaches(__u16 id);
/* Looks at the head of a record alone: could it be in the answer? */
bool query_wants_head(const struct store_query *q, const struct ev_head *rec);
