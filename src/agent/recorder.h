/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recorder - writes what the raw ring has into segments: all of it into a folder, as the configuration says,
 * or what a client asks for, to that client.
 *
 * It reads the ring as anybody does, so it costs the reader's thread nothing, and what it loses when the disk is slow
 * is counted exactly and stands in the recording. Each segment begins at a place of the ring for which the agent
 * told what it knew there.
 */
#pragma once
#include "agent/pipeline.h"
#include "config/settings.h"
#include "store/store.h"

/* ---- all of it, on a thread of its own ------------------------------------------------------- */

struct recorder;
/* The pipeline's reader must run: a segment begins with what it knows. */
int recorder_open(struct pipeline *pipeline, const struct settings_record *settings, struct recorder **ret_recorder);
/* From here on it begins no other segment, and so asks the reader nothing. To be called before the reader ends. */
void recorder_settle(struct recorder *r);
/* Writes what the ring still has. */
void recorder_free(struct recorder *r);
DEFINE_AUTO(recorder)
/* An object of figures; `null` of no recorder. */
void recorder_status(struct recorder *r, struct buf *out);

/* ---- for a client, on its thread ---------------------------------------------------------------- */

struct capture_spec {
	struct filter_spec filter;
	__u64 max_ns, max_records;  /* it ends then; 0: no bound */
	bool (*is_over)(void *arg); /* asked some times a second */
	void *arg;
};

/*
 * Writes one segment to `fd`, a socket or a pipe, until one of the bounds, or until nobody reads it any more. Records
 * that tell what the agent knows are part of it whatever the filter says.
 */
int recorder_capture(struct pipeline *pipeline, const struct capture_spec *spec, int fd);
