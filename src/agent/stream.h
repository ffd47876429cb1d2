/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream - hands events to the clients that follow the agent, and keeps the newest for those
 * who ask later.
 *
 * A client that is slow loses its own events, counted; it never holds up a shard, but for the
 * moment in which one that begins looks through the history (HISTORY_BYTES at most). Records are
 * copied with a reference to their process; turning them into text is the client's business.
 */
#pragma once
#include "context/filter.h"
#include "base/buf.h"
#include "bus/queue.h"
#include "context/context.h"

enum { STREAMS_MAX = 16, STREAM_QUEUE_BYTES = 4 << 20, HISTORY_BYTES = 4 << 20 };

struct streams;
struct stream;

int streams_open(const struct context *context, struct streams **ret_streams);
void streams_free(struct streams *s);
DEFINE_AUTO(streams)

/* Shard threads: one event and its process. */
void streams_offer(struct streams *s, const struct event *ev, const struct process *p);

/*
 * Begins a stream of what matches, with the newest `last` that are still held in front. Takes the filter.
 * -EUSERS when there are STREAMS_MAX already.
 */
int stream_open(struct streams *s, struct filter *filter, size_t last, bool follow, struct stream **ret_stream);
void stream_close(struct stream *st);
/*
 * Appends the next event as a JSON line to `out`. 1: done; 0: none came within max_ms;
 * -ENODATA: without `follow`, all that was held has been told.
 */
int stream_next(struct stream *st, int max_ms, struct buf *out);

struct stream_counts {
	__u64 sent, lost;
};
struct stream_counts stream_counts(struct stream *st);
