/* SPDX-License-Identifier: Apache-2.0 */
/*
 * export_sub - one stream's view of the raw ring: which records it wants, what it has lost, where it stands.
 * For the export's own files.
 *
 * Used by one thread, that of its request; only waking comes from another.
 */
#pragma once
#include "api/export.h"
#include "api/export_proto.h"
#include "context/context.h"
#include "context/filter.h"

enum {
	EXPORT_SUBS_MAX = 240,   /* streams at once; the ring has a few readers more */
	EXPORT_SCAN_MAX = 16384, /* records that are looked at before others get their turn */
	EXPORT_CONTEXT_SCAN_MAX = 4096,
	EXPORT_CONTEXT_BYTES = 64 << 20, /* what a stream's own context may take */
	EXPORT_KNOWN_MAX = 256 << 20,    /* of what is known when a stream begins */
	EXPORT_TYPES_MAX = 256,
};

/* One record that a stream gets. */
struct export_item {
	const struct ev_head *rec;
	uint64_t cursor, lost;
	uint32_t sampled;
};

struct export_sub {
	struct export *x;
	struct consumer *consumer;
	struct raw_reader *reader;
	uint32_t kinds[256];   /* a bit a kind, by sensor byte */
	struct filter *filter; /* NULL: the kinds are all */
	struct context *context;
	struct context_view view;
	struct event event;          /* of the last record */
	bool plain;                  /* nobody asks for `event` */
	uint32_t sample, sampled_at; /* one of so many; how many since the last */
	uint64_t lost;               /* to be told */
	uint64_t last_cursor;
	unsigned scan_left;
	struct export_item held; /* given back; rec NULL: none */
	uint64_t sent, lost_all; /* since they were last told to the audit */

	/* Waking. */
	struct http_waker *waker;
	_Atomic bool idle;
	struct export_sub *next, **link; /* in the export's list */
};

/*
 * -EINVAL: what is asked for makes no sense; -EPERM: may not be read; -ERANGE: a cursor of another run;
 * -EBUSY: too many streams. The trail says which.
 */
int export_sub_open(struct export *x, struct http_request *req, const struct stream_request *request,
		    struct export_sub **ret_sub);
void export_sub_free(struct export_sub *sub);
DEFINE_AUTO(export_sub)

/* Before a round of export_sub_next(). */
void export_sub_begin(struct export_sub *sub);
/* The next record that is wanted, valid until the next call; false: none now. */
bool export_sub_next(struct export_sub *sub, struct export_item *ret_item);
/* There was no room for the last one: it comes again. */
void export_sub_hold(struct export_sub *sub, const struct export_item *item);
/* What was lost since the last event; it is told and forgotten. */
uint64_t export_sub_take_lost(struct export_sub *sub);
/* Is there more to look at at once? Otherwise the stream sleeps until the ring wakes it. */
bool export_sub_idle(struct export_sub *sub);

/* What the types of a filter, and what the consumer may read, mean as bits. */
int export_kinds(const struct consumer *consumer, const struct export_filter *filter, uint32_t kinds[256]);
/* The rest of a filter as what the filter's compiler takes; `kinds` stay with the caller. */
struct filter_spec export_filter_spec(const struct export_filter *filter);
int export_filter_compile(const struct export_filter *filter, struct filter **ret_filter);

/* What the files of the export share. */
struct export
{
	struct export_source source;
	uint64_t epoch; /* in the upper bits of cursors: another run's are refused */
	pthread_mutex_t lock;
	struct export_sub *subs;
	unsigned n_subs;
	struct raw_reader *bell; /* of the thread that wakes */
	pthread_t waker;
	_Atomic bool stop;
	_Atomic unsigned queries; /* threads that look for events; they end when their requests do */
	bool started;
};

static inline uint64_t export_cursor(const struct export *x, uint64_t number)
{
	return x->epoch | number;
}

/* The routes' handlers. */
void export_grpc_stream(struct http_request *req);
void export_grpc_batches(struct http_request *req);
void export_grpc_query(struct http_request *req);
void export_grpc_metrics(struct http_request *req);
void export_grpc_unknown(struct http_request *req);
void export_http_stream(struct http_request *req);
void export_http_query(struct http_request *req);
void export_http_metrics(struct http_request *req);
/* Fills the books of the ring; lists lie in the arena. */
int export_metrics(struct export *x, struct arena *arena, struct ring_metrics *ret_metrics);
