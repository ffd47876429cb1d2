/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pipeline - the way of a record in the agent: reader, raw ring, context, bus, and on each
 * shard the engines and the streams.
 *
 * The reader's thread keeps the context and picks the shard; a record travels with the process
 * that it is of, as it was at that moment. The raw ring has the records as the kernel wrote them,
 * and before each one what the agent had to find out by looking to understand it, as records too:
 * who reads them all knows what the agent knew.
 */
#pragma once
#include "agent/alerting.h"
#include "agent/reader.h"
#include "agent/stream.h"
#include "bus/bus.h"
#include "bus/raw_ring.h"
#include "context/context.h"
#include "engines/engine.h"

enum { PIPELINE_ENGINES_MAX = 64 };
/* An engine, and its options as they were read. */
struct pipeline_engine {
	const struct engine *engine;
	const void *options;
};

struct pipeline_options {
	struct bus_options bus;
	struct context_options context; /* its `learned` is the pipeline's */
	size_t raw_ring_bytes;          /* 0: no raw ring */
	const struct pipeline_engine *engines;
	size_t n_engines;
	struct alerting *alerting; /* NULL: findings are counted and no more */
};

struct pipeline;

/* Records may flow from here on; the sensors attach next, then pipeline_start() seeds and drains. */
int pipeline_open(const struct bpf_core *core, const struct pipeline_options *options, struct pipeline **ret_pipeline);
/* Makes older processes known, then begins to drain the rings. */
int pipeline_start(struct pipeline *p);
/* Drains the rings for the last time: nothing is put any more, and nobody may ask. */
void pipeline_settle(struct pipeline *p);
/* Drains, delivers, then ends the threads. */
void pipeline_free(struct pipeline *p);
DEFINE_AUTO(pipeline)

/* Hands the engines their options of now, and they look at the files that those name. The same engines as at the start.
 */
int pipeline_reload(struct pipeline *p, const struct pipeline_engine *engines, size_t n);

struct streams *pipeline_streams(struct pipeline *p);
/* NULL: there is none. */
struct raw_ring *pipeline_raw(struct pipeline *p);

/*
 * Runs fn on the reader's thread between two batches, and returns when it is done. For any
 * other thread; it has come back before pipeline_free() begins. The reader is held up for as
 * long as fn runs.
 */
void pipeline_ask(struct pipeline *p, void (*fn)(void *arg, struct context *ctx), void *arg);

enum { PIPELINE_KNOWN_MAX = 512 << 20 };
/*
 * What is known now, as records one after the other, each padded to 8 (see context_snapshot()),
 * and the number that the next record of the raw ring will have: who begins there with
 * this knowledge misses nothing. -ENOMEM: more than `out` or PIPELINE_KNOWN_MAX bytes.
 */
int pipeline_known(struct pipeline *p, struct buf *out, __u64 *ret_cursor);
/* Are older processes known exactly, or (without an iterator in the kernel) to 10 ms? */
bool pipeline_seed_is_exact(const struct pipeline *p);
/* A line for each engine that has something to say of itself. */
void pipeline_describe(struct pipeline *p, struct buf *out);
/* The "rings", "reader", "raw", "bus", "engines" and "context" members of the status answer. */
void pipeline_status(struct pipeline *p, struct buf *out);

/* For tests and benchmarks: what the reader does with one record and at the end of a batch. */
void pipeline_put(struct pipeline *p, const struct ev_head *rec, const struct event_kind *kind);
void pipeline_batch(struct pipeline *p, __u64 now_ns);
