/* SPDX-License-Identifier: Apache-2.0 */
/*
 * export_proto - what a client of the export says and is told, but for the events themselves.
 *
 * One table a message: gRPC, the JSON of the HTTP routes, the query string, the .proto file and
 * reflection all come from it.
 */
#pragma once
#include "api/proto.h"

enum { EXPORT_SAMPLE_MAX = 1 << 20, EXPORT_BATCH_MAX = 65536, EXPORT_PAGE_MAX = 100000, EXPORT_PAGE_DEFAULT = 1000 };

struct export_filter {
	struct proto_list types, skip_types; /* const char * */
	uint32_t pid;
	bool descendants;
	const char *comm, *container, *path, *address, *expr;
};

enum export_start { START_NOW, START_OLDEST };

enum export_source_of { SOURCE_RING, SOURCE_RECORDED };

enum export_compression { COMPRESSION_NONE, COMPRESSION_GZIP, COMPRESSION_ZSTD };

struct stream_request {
	const struct export_filter *filter;
	int32_t start; /* enum export_start */
	uint64_t cursor;
	uint32_t sample;
	int32_t compression; /* enum export_compression */
	bool with_record;
	uint32_t batch;
};

struct query_request {
	const struct export_filter *filter;
	uint64_t since, until;
	uint32_t limit;
	const char *cursor;
	bool count_only, with_record;
	int32_t source; /* enum export_source_of */
};

struct ring_metrics_request {
	char none;
};

struct ring_kind_metrics {
	const char *type;
	uint64_t records, per_second;
};

struct ring_reader_metrics {
	const char *name;
	uint64_t cursor, lag, read, lost;
};

struct ring_metrics {
	uint64_t capacity, used, records, bytes, overwritten, per_second;
	uint64_t oldest, newest; /* cursors */
	struct proto_list kinds, readers;
};

extern const struct proto_message export_filter_message, stream_request_message, query_request_message,
	ring_metrics_request_message, ring_metrics_message;

/* The numbers of QueryResponse and RawEventBatch, which are written by hand. */
enum { BATCH_EVENTS = 1, ANSWER_EVENTS = 1, ANSWER_COUNT = 2, ANSWER_MORE = 3, ANSWER_CURSOR = 4 };

extern const struct proto_service export_service;
/* proto/shrike/v1/export.proto. NULL: proto_event_open() has failed. */
const struct proto_file *export_proto_file(void);
