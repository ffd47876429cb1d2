/* SPDX-License-Identifier: Apache-2.0 */
#include "api/export_proto.h"
#include <pthread.h>
#include "api/proto_event.h"
#include "base/mem.h"

static const struct proto_field filter_fields[] = {
	PROTO(export_filter, types, 1, PROTO_STRING,
	      "kinds of events, or globs: \"process.exec\", \"file.*\"; none: all that the caller may read",
	      .repeated = true),
	PROTO(export_filter, skip_types, 2, PROTO_STRING, "kinds, or globs, that are left out of those",
	      .repeated = true),
	PROTO(export_filter, pid, 3, PROTO_U32, "only what this process does"),
	PROTO(export_filter, descendants, 4, PROTO_BOOL, "and what the processes do that it started, and they"),
	PROTO(export_filter, comm, 5, PROTO_STRING, "the name of the process"),
	PROTO(export_filter, container, 6, PROTO_STRING, "how the id or the name of the container begins"),
	PROTO(export_filter, path, 7, PROTO_STRING,
	      "how the path begins of the file that is acted on, or of the program that runs"),
	PROTO(export_filter, address, 8, PROTO_STRING, "an address or network at either end: \"10.0.0.0/8\""),
	PROTO(export_filter, expr, 9, PROTO_STRING, "a condition: process.name == \"sh\" and process.parent.pid > 1"),
};
const struct proto_message export_filter_message = {
	.name = "Filter",
	.doc = "Which events are wanted: those to which all of this applies. What is not set applies to all.",
	.fields = filter_fields,
	.n_fields = countof(filter_fields),
	.size = sizeof(struct export_filter),
};

static const struct proto_enum_value start_values[] = {
	{ START_NOW, "START_NOW" },
	{ START_OLDEST, "START_OLDEST" },
};
static const struct proto_enum start_enum = { "Start", "where a stream begins", start_values, countof(start_values) };

static const struct proto_enum_value compression_values[] = {
	{ COMPRESSION_NONE, "COMPRESSION_NONE" },
	{ COMPRESSION_GZIP, "COMPRESSION_GZIP" },
	{ COMPRESSION_ZSTD, "COMPRESSION_ZSTD" },
};
static const struct proto_enum compression_enum = { "Compression", "how messages are compressed", compression_values,
						    countof(compression_values) };

static const struct proto_field stream_fields[] = {
	PROTO(stream_request, filter, 1, PROTO_MESSAGE, "which events are wanted; none: all that the caller may read",
	      .message = &export_filter_message),
	PROTO(stream_request, start, 2, PROTO_ENUM, "what is in the ring already, or what comes from here on",
	      .values = &start_enum),
	PROTO(stream_request, cursor, 3, PROTO_U64,
	      "goes on behind the event that had this cursor; what was overwritten meanwhile is told as lost"),
	PROTO(stream_request, sample, 4, PROTO_U32,
	      "one event of so many, counted after the filter; 0 and 1: every one"),
	PROTO(stream_request, compression, 5, PROTO_ENUM,
	      "of each message; the call must say in grpc-accept-encoding that it takes this",
	      .values = &compression_enum),
	PROTO(stream_request, with_record, 6, PROTO_BOOL, "the record as the kernel side wrote it, too"),
	PROTO(stream_request, batch, 7, PROTO_U32,
	      "events in one message at most, for StreamRawEventBatches; 0: 4096. What is there is not held back"),
};
static const struct proto_enum *const stream_enums[] = { &start_enum, &compression_enum };
const struct proto_message stream_request_message = {
	.name = "StreamRequest",
	.doc = "What to stream, and from where on.",
	.fields = stream_fields,
	.n_fields = countof(stream_fields),
	.enums = stream_enums,
	.n_enums = countof(stream_enums),
	.size = sizeof(struct stream_request),
};

static const struct proto_enum_value source_values[] = {
	{ SOURCE_RING, "SOURCE_RING" },
	{ SOURCE_RECORDED, "SOURCE_RECORDED" },
};
static const struct proto_enum source_enum = { "Source", "where to look", source_values, countof(source_values) };

static const struct proto_field query_fields[] = {
	PROTO(query_request, filter, 1, PROTO_MESSAGE, "which events are wanted; none: all that the caller may read",
	      .message = &export_filter_message),
	PROTO(query_request, since, 2, PROTO_U64, "nothing before this time, in nanoseconds since 1970"),
	PROTO(query_request, until, 3, PROTO_U64, "nothing from this time on, in nanoseconds since 1970; 0: no end"),
	PROTO(query_request, limit, 4, PROTO_U32, "events in one answer at most; 0: 1000"),
	PROTO(query_request, cursor, 5, PROTO_STRING, "of the answer before: goes on behind it"),
	PROTO(query_request, count_only, 6, PROTO_BOOL, "counts, and sends no events"),
	PROTO(query_request, with_record, 7, PROTO_BOOL, "the record as the kernel side wrote it, too"),
	PROTO(query_request, source, 8, PROTO_ENUM, "in the ring, or in what was recorded on disk",
	      .values = &source_enum),
};
static const struct proto_enum *const query_enums[] = { &source_enum };
const struct proto_message query_request_message = {
	.name = "QueryRequest",
	.doc = "What to look for among the events that were kept.",
	.enums = query_enums,
	.n_enums = countof(query_enums),
	.fields = query_fields,
	.n_fields = countof(query_fields),
	.size = sizeof(struct query_request),
};

/* Written by hand: they hold events, which are not C structs. */
static const struct proto_field batch_fields[] = {
	{ .name = "events",
	  .doc = "in the order in which they happened",
	  .number = BATCH_EVENTS,
	  .type = PROTO_MESSAGE,
	  .repeated = true,
	  .message = &proto_raw_event },
};
static const struct proto_message batch_message = {
	.name = "RawEventBatch",
	.doc = "Events that were there together.",
	.fields = batch_fields,
	.n_fields = countof(batch_fields),
};

static const struct proto_field answer_fields[] = {
	{ .name = "events",
	  .doc = "in the order in which they happened",
	  .number = ANSWER_EVENTS,
	  .type = PROTO_MESSAGE,
	  .repeated = true,
	  .message = &proto_raw_event },
	{ .name = "count", .doc = "events that the filter took", .number = ANSWER_COUNT, .type = PROTO_U64 },
	{ .name = "more",
	  .doc = "there may be more: ask again with the cursor",
	  .number = ANSWER_MORE,
	  .type = PROTO_BOOL },
	{ .name = "cursor", .doc = "where this answer ends", .number = ANSWER_CURSOR, .type = PROTO_STRING },
};
static const struct proto_message answer_message = {
	.name = "QueryResponse",
	.doc = "What was found.",
	.fields = answer_fields,
	.n_fields = countof(answer_fields),
};

const struct proto_message ring_metrics_request_message = {
	.name = "RingMetricsRequest",
	.doc = "Nothing is asked but the figures.",
	.size = sizeof(struct ring_metrics_request),
};

static const struct proto_field kind_fields[] = {
	PROTO(ring_kind_metrics, type, 1, PROTO_STRING, "kind of event"),
	PROTO(ring_kind_metrics, records, 2, PROTO_U64, "records since the agent was started"),
	PROTO(ring_kind_metrics, per_second, 3, PROTO_U64, "records of the last whole second"),
};
static const struct proto_message kind_message = {
	.name = "RingKindMetrics",
	.doc = "The records of one kind.",
	.fields = kind_fields,
	.n_fields = countof(kind_fields),
	.size = sizeof(struct ring_kind_metrics),
};

static const struct proto_field reader_fields[] = {
	PROTO(ring_reader_metrics, name, 1, PROTO_STRING, "whose it is"),
	PROTO(ring_reader_metrics, cursor, 2, PROTO_U64, "where it stands"),
	PROTO(ring_reader_metrics, lag, 3, PROTO_U64, "records that it has not read yet"),
	PROTO(ring_reader_metrics, read, 4, PROTO_U64, "records that it has read"),
	PROTO(ring_reader_metrics, lost, 5, PROTO_U64, "records that were overwritten before it read them"),
};
static const struct proto_message reader_message = {
	.name = "RingReaderMetrics",
	.doc = "One reader of the ring.",
	.fields = reader_fields,
	.n_fields = countof(reader_fields),
	.size = sizeof(struct ring_reader_metrics),
};

static const struct proto_field metrics_fields[] = {
	PROTO(ring_metrics, capacity, 1, PROTO_U64, "bytes of the ring"),
	PROTO(ring_metrics, used, 2, PROTO_U64, "bytes that hold records"),
	PROTO(ring_metrics, records, 3, PROTO_U64, "records since the agent was started"),
	PROTO(ring_metrics, bytes, 4, PROTO_U64, "bytes of those"),
	PROTO(ring_metrics, overwritten, 5, PROTO_U64, "records that made room for newer ones"),
	PROTO(ring_metrics, per_second, 6, PROTO_U64, "records of the last whole second"),
	PROTO(ring_metrics, oldest, 7, PROTO_U64, "cursor before the oldest record that the ring holds"),
	PROTO(ring_metrics, newest, 8, PROTO_U64, "cursor of the newest record"),
	PROTO(ring_metrics, kinds, 9, PROTO_MESSAGE, "by kind, those that there were", .repeated = true,
	      .message = &kind_message),
	PROTO(ring_metrics, readers, 10, PROTO_MESSAGE, "who reads", .repeated = true, .message = &reader_message),
};
const struct proto_message ring_metrics_message = {
	.name = "RingMetrics",
	.doc = "The books of the ring that holds the newest records.",
	.fields = metrics_fields,
	.n_fields = countof(metrics_fields),
	.size = sizeof(struct ring_metrics),
};

static const struct proto_method methods[] = {
	{ "StreamRawEvents", "Events as they happen, a message each, until the caller ends it.",
	  &stream_request_message, &proto_raw_event, false, true },
	{ "StreamRawEventBatches", "The same, many in a message: several times cheaper for both sides.",
	  &stream_request_message, &batch_message, false, true },
	{ "QueryRawEvents", "Events that were kept, oldest first, in pages.", &query_request_message, &answer_message,
	  false, false },
	{ "GetRingMetrics", "The books of the ring.", &ring_metrics_request_message, &ring_metrics_message, false,
	  false },
};
const struct proto_service export_service = { "EbpfExport",
					      "Everything that the kernel side said, as it said it. A reader that is "
					      "slow loses its own events: how many is told "
					      "in RawEvent.lost.",
					      methods, countof(methods) };

/* ---- the file ------------------------------------------------------------------------------ */

static const struct proto_message *const first[] = {
	&export_filter_message, &stream_request_message, &batch_message,
	&query_request_message, &answer_message,         &ring_metrics_request_message,
	&ring_metrics_message,  &kind_message,           &reader_message,
	&proto_raw_event,       &proto_exact_bytes,
};

enum { MESSAGES_MAX = 1024 };

static struct {
	pthread_once_t once;
	const struct proto_message *messages[MESSAGES_MAX];
	struct proto_file file;
} made = { .once = PTHREAD_ONCE_INIT };

static void make_file(void)
{
	const struct proto_message *m;
	size_t n = 0;

	if (proto_event_open() < 0)
		return;
	for (size_t i = 0; i < countof(first); i++)
		made.messages[n++] = first[i];
	for (size_t i = 0; n < MESSAGES_MAX && (m = proto_event_kind(i, NULL)); i++)
		made.messages[n++] = m;
	made.file = (struct proto_file) {
		.path = "shrike/v1/export.proto",
		.package = "shrike.v1",
		.messages = made.messages,
		.n_messages = n,
		.service = &export_service,
	};
}

const struct proto_file *export_proto_file(void)
{
	(void)pthread_once(&made.once, make_file);
	return made.file.path ? &made.file : NULL;
}
