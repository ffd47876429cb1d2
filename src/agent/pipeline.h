/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pipeline - the way of a record in the agent: reader, context, bus, and on each shard the
 * engines and the streams.
 *
 * The reader's thread keeps the context and picks the shard; a record travels with the process
 * that it is of, as it was at that moment.
 */
#pragma once
#include "agent/reader.h"
#include "agent/stream.h"
#include "bus/bus.h"
#include "context/context.h"

struct pipeline_options {
	struct bus_options bus;
	struct context_options context;
};

struct pipeline;

/* Records may flow from here on; the sensors attach next, then pipeline_start() seeds and drains. */
int pipeline_open(const struct bpf_core *core, const struct pipeline_options *options, struct pipeline **ret_pipeline);
/* Makes older processes known, then begins to drain the rings. */
int pipeline_start(struct pipeline *p);
/* Drains, delivers, then ends the threads. */
void pipeline_free(struct pipeline *p);
DEFINE_AUTO(pipeline)

struct streams *pipeline_streams(struct pipeline *p);
/* Are older processes known exactly, or (without an iterator in the kernel) to 10 ms? */
bool pipeline_seed_is_exact(const struct pipeline *p);
/* The "rings", "reader", "bus" and "context" members of the status answer. */
void pipeline_status(struct pipeline *p, struct buf *out);

/* For tests and benchmarks: what the reader does with one record and at the end of a batch. */
void pipeline_put(struct pipeline *p, const struct ev_head *rec, const struct event_kind *kind);
void pipeline_batch(struct pipeline *p, __u64 now_ns);
