/* SPDX-License-Identifier: Apache-2.0 */
/* The export as stock clients see it: Python's gRPC, which knows only what reflection tells it, and curl. */
#include <stdlib.h>
#include <string.h>
#include "base/mem.h"
#include "base/test.h"
#include "tests/export/fixture.h"

enum { RING = 1 << 20, OUT_MAX = 1 << 20 };

#define CLIENT "/usr/bin/python3 " SHRIKE_SOURCE_DIR "/tests/export/client.py"

static bool has_grpcio(void)
{
	return system("/usr/bin/python3 -c 'import grpc, google.protobuf' >/dev/null 2>&1") == 0;
}

/* What the client prints, with one case and its arguments. */
static void ask(const struct export_fixture *f, struct buf *out, const char *words)
{
	buf_clear(out);
	(void)export_run(out, "timeout 20 " CLIENT " 127.0.0.1:%u %s", f->port, words);
}

TEST(a_grpc_client_gets_what_it_asks_for)
{
	static const struct {
		const char *name, *words, *says;
	} rows[] = {
		{ "services", "services",
		  "v1 shrike.v1.EbpfExport grpc.health.v1.Health grpc.reflection.v1.ServerReflection "
		  "grpc.reflection.v1alpha.ServerReflection\n"
		  "v1alpha shrike.v1.EbpfExport grpc.health.v1.Health grpc.reflection.v1.ServerReflection "
		  "grpc.reflection.v1alpha.ServerReflection\n" },
		{ "health", "health", "0801 0801\n0803\nNOT_FOUND | there is no such service\n" },
		{ "all", "stream '{\"start\":\"START_OLDEST\"}' 4",
		  "process_exit 1000 p0 0 0\nnet_connect 1001 p1 0 0\nfile_open 1002 p2 0 0\nprocess_exit 1003 p3 0 "
		  "0\n" },
		{ "types",
		  "stream '{\"start\":1,\"filter\":{\"types\":[\"net.*\",\"file.open\"],\"skipTypes\":[\"file.*\"]}}' "
		  "2",
		  "net_connect 1001 p1 0 0\nnet_connect 1004 p4 0 0\n" },
		{ "process", "stream '{\"start\":1,\"filter\":{\"pid\":1007}}' 1", "net_connect 1007 p0 0 0\n" },
		{ "name", "stream '{\"start\":1,\"filter\":{\"comm\":\"p5\"}}' 2",
		  "file_open 1005 p5 0 0\nprocess_exit 1012 p5 0 0\n" },
		{ "address", "stream '{\"start\":1,\"filter\":{\"address\":\"10.1.0.0/16\"}}' 1",
		  "net_connect 1001 p1 0 0\n" },
		{ "path", "stream '{\"start\":1,\"filter\":{\"path\":\"/tmp/some\"}}' 1", "file_open 1002 p2 0 0\n" },
		{ "sampled", "stream '{\"start\":1,\"sample\":5}' 3",
		  "process_exit 1000 p0 0 5\nfile_open 1005 p5 0 5\nnet_connect 1010 p3 0 5\n" },
		{ "batches", "batches '{\"start\":1,\"filter\":{\"types\":[\"file.open\"]},\"batch\":3}' 4",
		  "file_open 1002 p2 0 0\nfile_open 1005 p5 0 0\nfile_open 1008 p1 0 0\nfile_open 1011 p4 0 0\n" },
		{ "compressed", "batches-gzip '{\"start\":1,\"compression\":\"COMPRESSION_GZIP\"}' 2",
		  "process_exit 1000 p0 0 0\nnet_connect 1001 p1 0 0\n" },
		{ "resumed", "resume '{\"start\":1}' 5", "process_exit 1003 p3 0 0\nnet_connect 1004 p4 0 0\n" },
		{ "deadline", "stream-deadline '{\"start\":0}' 1", "DEADLINE_EXCEEDED | " },
		{ "metrics", "metrics", "records 300 " },
		{ "query", "query '{\"limit\":2,\"filter\":{\"types\":[\"net.connect\"]}}' 1",
		  "net_connect 1001 p1 0 0\nnet_connect 1004 p4 0 0\ncount 2 more True\nnet_connect 1007 p0 0 0\n"
		  "net_connect 1010 p3 0 0\n" },
		{ "count", "query '{\"countOnly\":true,\"filter\":{\"types\":[\"file.open\"]}}'",
		  "count 100 more False\n" },
	};
	auto_export struct export_fixture f;
	auto_buf struct buf out = { .max = OUT_MAX };

	if (!has_grpcio())
		skip("no-grpcio");
	if (!export_fixture_open(&f, RING, NULL, false))
		return;
	export_fixture_put(&f, 300);
	for_each_row (r, rows) {
		ask(&f, &out, r->words);
		if (strncmp(buf_text(&out), r->says, strlen(r->says)) != 0)
			test_fail(T_HERE, "got:\n%s--- want:\n%s", buf_text(&out), r->says);
	}
}

TEST(a_grpc_client_is_told_what_is_wrong)
{
	static const struct {
		const char *name, *words, *says;
	} rows[] = {
		{ "no such type", "stream '{\"filter\":{\"types\":[\"no.such\"]}}'",
		  "INVALID_ARGUMENT | no type of event matches \"no.such\"" },
		{ "nothing left", "stream '{\"filter\":{\"types\":[\"net.udp\"],\"skip_types\":[\"net.*\"]}}'",
		  "INVALID_ARGUMENT | the filter leaves no type" },
		{ "no address", "stream '{\"filter\":{\"address\":\"10.1\"}}'",
		  "INVALID_ARGUMENT | \"10.1\" is no address" },
		{ "descendants of nobody", "stream '{\"filter\":{\"descendants\":true}}'",
		  "INVALID_ARGUMENT | descendants: of whom?" },
		{ "cursor of another run", "stream '{\"cursor\":\"12345\"}'",
		  "OUT_OF_RANGE | the cursor is of another run of the agent" },
		{ "batch too large", "batches '{\"batch\":70000}'", "INVALID_ARGUMENT | batch: at most 65536" },
		{ "sample too large", "stream '{\"sample\":2000000}'", "INVALID_ARGUMENT | sample: at most" },
		{ "coding that it does not take", "stream '{\"compression\":\"COMPRESSION_ZSTD\"}'",
		  "INVALID_ARGUMENT | compression: the call's grpc-accept-encoding has no zstd" },
		{ "no recording", "query '{\"source\":\"SOURCE_RECORDED\"}'",
		  "FAILED_PRECONDITION | source: this agent keeps no recording" },
		{ "page too large", "query '{\"limit\":1000000}'", "INVALID_ARGUMENT | limit: at most" },
		{ "bad cursor", "query '{\"cursor\":\"nonsense\"}'", "INVALID_ARGUMENT | " },
		{ "no such method", "raw '/shrike.v1.EbpfExport/Nothing 00'",
		  "UNIMPLEMENTED | there is no method /shrike.v1.EbpfExport/Nothing" },
		{ "no message", "raw '/shrike.v1.EbpfExport/GetRingMetrics 07'",
		  "INVALID_ARGUMENT | RingMetricsRequest: these bytes are no protobuf message" },
	};
	auto_export struct export_fixture f;
	auto_buf struct buf out = { .max = OUT_MAX };

	if (!has_grpcio())
		skip("no-grpcio");
	if (!export_fixture_open(&f, RING, NULL, false))
		return;
	for_each_row (r, rows) {
		ask(&f, &out, r->words);
		if (strncmp(buf_text(&out), r->says, strlen(r->says)) != 0)
			test_fail(T_HERE, "got:\n%s--- want:\n%s", buf_text(&out), r->says);
	}
}

TEST(what_was_overwritten_is_told_exactly)
{
	auto_export struct export_fixture f;
	auto_buf struct buf out = { .max = OUT_MAX };
	struct raw_ring_metrics m;
	char want[128];

	if (!has_grpcio())
		skip("no-grpcio");
	if (!export_fixture_open(&f, RAW_RING_BYTES_MIN, NULL, false))
		return;
	export_fixture_put(&f, 10000);
	raw_ring_metrics(f.ring, &m);
	require(m.overwritten > 1000);
	/* From before the oldest that is left. */
	(void)snprintf(want, sizeof(want), "stream '{\"start\":1}' 1");
	ask(&f, &out, want);
	(void)snprintf(want, sizeof(want), " %llu p%llu 0 0\n", 1000 + (unsigned long long)m.overwritten,
		       (unsigned long long)m.overwritten % 7);
	check_has(buf_text(&out), want);
}

TEST(plain_http_and_websocket_say_the_same)
{
	static const struct {
		const char *name, *words, *says;
	} rows[] = {
		{ "server-sent events", "sse '/api/v1/ebpf/stream?start=oldest&types=net.*,file.open' 3",
		  "net.connect 1001\nfile.open 1002\nnet.connect 1004\n" },
		{ "go on where it stopped", "again '/api/v1/ebpf/stream?start=oldest' 3",
		  "process.exit 1003\nnet.connect 1004\nfile.open 1005\n" },
		{ "lines", "lines '/api/v1/ebpf/stream?start=oldest&format=lines&pid=1005' 1", "file.open 1005\n" },
		{ "lines by type", "lines '/api/v1/ebpf/stream?start=oldest' 1 'accept: application/x-ndjson'",
		  "process.exit 1000\n" },
		{ "compressed", "sse '/api/v1/ebpf/stream?start=oldest&compression=gzip' 2 'accept-encoding: gzip'",
		  "process.exit 1000\nnet.connect 1001\n" },
		{ "websocket", "ws '/api/v1/ebpf/stream?start=oldest&types=net.connect' 2",
		  " 0 net.connect 1001\n 0 net.connect 1004\n" },
		{ "websocket with protobuf", "ws '/api/v1/ebpf/stream?start=oldest&format=protobuf' 1",
		  "binary 2 0a True\n" },
		{ "metrics", "get /api/v1/ebpf/metrics", "200 capacity=1048576 records=300\n" },
		{ "query", "post /api/v1/ebpf/query '{\"filter\":{\"types\":[\"file.open\"]},\"limit\":2}'",
		  "file.open 1002\nfile.open 1005\n200 count=2 more=True\n" },
		{ "count", "post /api/v1/ebpf/query '{\"filter\":{\"pid\":1003},\"count_only\":true}'",
		  "200 count=1 more=False\n" },
		{ "no body", "post /api/v1/ebpf/query ''", "process.exit 1000\n" },
		{ "unknown parameter", "sse '/api/v1/ebpf/stream?type=net.*' 1",
		  "400 there is no \"type\"; there are types" },
		{ "unknown type", "sse '/api/v1/ebpf/stream?types=nt.*' 1", "400 no type of event matches \"nt.*\"" },
		{ "no number", "sse '/api/v1/ebpf/stream?pid=x' 1", "400 pid: wanted a whole number" },
		{ "cursor of another run", "sse '/api/v1/ebpf/stream?cursor=77' 1",
		  "410 the cursor is of another run" },
		{ "unknown form", "sse '/api/v1/ebpf/stream?format=xml' 1", "400 format: wanted" },
		{ "websocket refused", "ws '/api/v1/ebpf/stream?pid=x' 1", "HTTP/1.1 400 " },
		{ "no json", "post /api/v1/ebpf/query '{'", "400 the body: " },
		{ "unknown field", "post /api/v1/ebpf/query '{\"filtre\":1}'",
		  "400 there is no \"filtre\"; there are" },
	};
	auto_export struct export_fixture f;
	auto_buf struct buf out = { .max = OUT_MAX };

	if (!export_fixture_open(&f, RING, NULL, false))
		return;
	export_fixture_put(&f, 300);
	for_each_row (r, rows) {
		buf_clear(&out);
		(void)export_run(&out, "timeout 20 python3 " SHRIKE_SOURCE_DIR "/tests/export/http_client.py %u %s",
				 f.port, r->words);
		if (strncmp(buf_text(&out), r->says, strlen(r->says)) != 0)
			test_fail(T_HERE, "got:\n%s--- want:\n%s", buf_text(&out), r->says);
	}
}
