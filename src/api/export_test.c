/* SPDX-License-Identifier: Apache-2.0 */
/* The export as stock clients see it: Python's gRPC, which knows only what reflection tells it, and curl. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>
#include "api/export_proto.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/test.h"
#include "context/context.event.h"
#include "sensors/process/process.event.h"
#include "store/store.h"
#include "tests/export/fixture.h"
#include "tests/export/lean.h"

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
		  "v1alpha shrike.v1.EbpfExport grpc.health.v1.Health "
		  "grpc.reflection.v1.ServerReflection "
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
		{ "condition",
		  "stream '{\"start\":1,\"filter\":{\"expr\":\"destination.port == 443 and process.pid > 1002\"}}' 1",
		  "net_connect 1004 p4 0 0\n" },
		{ "sampled", "stream '{\"start\":1,\"sample\":5}' 3",
		  "process_exit 1000 p0 0 5\nfile_open 1005 p5 0 5\nnet_connect 1010 p3 0 5\n" },
		{ "batches", "batches '{\"start\":1,\"filter\":{\"types\":[\"file.open\"]},\"batch\":3}' 4",
		  "file_open 1002 p2 0 0\nfile_open 1005 p5 0 0\nfile_open 1008 p1 0 0\nfile_open 1011 p4 0 0\n" },
		{ "compressed", "batches-gzip '{\"start\":1,\"compression\":\"COMPRESSION_GZIP\"}' 2",
		  "process_exit 1000 p0 0 0\nnet_connect 1001 p1 0 0\n" },
		{ "resumed", "resume '{\"start\":1}' 5", "process_exit 1003 p3 0 0\nnet_connect 1004 p4 0 0\n" },
		{ "deadline", "stream-deadline '{\"start\":0}' 1", "DEADLINE_EXCEEDED | " },
		{ "metrics", "metrics", "records 300 " },
		{ "query by condition",
		  "query '{\"filter\":{\"expr\":\"process.name : \\\"P5\\\" and file.path like "
		  "\\\"/tmp/*\\\"\"},\"limit\":1}'",
		  "file_open 1005 p5 0 0\ncount 1 more True\n" },
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
		{ "no condition", "stream '{\"filter\":{\"expr\":\"process.pid ==\"}}'", "INVALID_ARGUMENT | " },
		{ "no condition in a query", "query '{\"filter\":{\"expr\":\"process.pidd == 1\"}}'",
		  "INVALID_ARGUMENT | " },
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
		  "400 there is no parameter \"type\"; did you mean \"types\"?" },
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

/* The client that docs/export.md shows. */
TEST(the_client_of_the_manual_works)
{
	auto_export struct export_fixture f;
	auto_buf struct buf out = { .max = OUT_MAX };

	if (!has_grpcio())
		skip("no-grpcio");
	if (system("command -v protoc >/dev/null 2>&1") != 0)
		skip("no-protoc");
	if (!export_fixture_open(&f, RING, NULL, false))
		return;
	export_fixture_put(&f, 30);
	check_int(export_run(&out,
			     "cd %s && protoc -I " SHRIKE_SOURCE_DIR "/proto --python_out=. shrike/v1/export.proto && "
			     "sed -n '/^```python/,/^```$/p' " SHRIKE_SOURCE_DIR
			     "/docs/export.md | grep -v '^```' >client.py && "
			     "timeout 20 /usr/bin/python3 client.py 127.0.0.1:%u 3 | cut -d' ' -f2-",
			     f.dir, f.port),
		  0);
	check_str(buf_text(&out), "process_exit 1000 p0\nnet_connect 1001 p1\nprocess_exit 1003 p3\n");
}

TEST(a_body_is_compressed_with_zstd_where_that_is_asked_for)
{
	auto_export struct export_fixture f;
	auto_buf struct buf out = { .max = OUT_MAX };
	char text[4096] = "";
	ZSTD_DCtx *ctx = ZSTD_createDCtx();
	ZSTD_inBuffer in;
	ZSTD_outBuffer to = { text, sizeof(text) - 1, 0 };

	if (!export_fixture_open(&f, RING, NULL, false))
		return;
	export_fixture_put(&f, 3);
	(void)export_run(
		&out,
		"timeout 20 python3 " SHRIKE_SOURCE_DIR "/tests/export/http_client.py %u save "
		"'/api/v1/ebpf/stream?start=oldest&format=lines&compression=zstd' 65536 'accept-encoding: br, zstd'",
		f.port);
	in = (ZSTD_inBuffer) { buf_text(&out), out.len, 0 };
	check(out.len > 0 && !ZSTD_isError(ZSTD_decompressStream(ctx, &to, &in)));
	check_has(text, "\"dataset\":\"process.exit\"");
	check_has(text, "\"dataset\":\"file.open\"");
	(void)ZSTD_freeDCtx(ctx);
}

/* What does not fit into the room of a connection goes in pieces, and what comes after it is whole again. */
TEST(the_longest_records_come_whole_in_every_form)
{
	static const struct {
		const char *name, *client, *words, *says;
	} rows[] = {
		{ "events", "client.py 127.0.0.1:", "stream '{\"start\":1,\"withRecord\":true}' 4",
		  "process_exec 77 long 0 0\nprocess_exit 1000 p0 0 0\nprocess_exec 77 long 0 0\nnet_connect 1001 p1 0 "
		  "0\n" },
		{ "batches", "client.py 127.0.0.1:", "batches '{\"start\":1}' 4",
		  "process_exec 77 long 0 0\nprocess_exit 1000 p0 0 0\nprocess_exec 77 long 0 0\nnet_connect 1001 p1 0 "
		  "0\n" },
		{ "compressed",
		  "client.py 127.0.0.1:", "batches '{\"start\":1,\"compression\":\"COMPRESSION_GZIP\"}' 4",
		  "process_exec 77 long 0 0\nprocess_exit 1000 p0 0 0\nprocess_exec 77 long 0 0\nnet_connect 1001 p1 0 "
		  "0\n" },
		{ "websocket", "http_client.py ", "ws '/api/v1/ebpf/stream?start=oldest' 4",
		  " 0 process.exec 77\n 0 process.exit 1000\n 0 process.exec 77\n 0 net.connect 1001\n" },
		{ "websocket, protobuf", "http_client.py ", "ws '/api/v1/ebpf/stream?start=oldest&format=protobuf' 2",
		  "binary 2 0a True\nbinary 2 0a False\n" },
		{ "server-sent events", "http_client.py ", "sse '/api/v1/ebpf/stream?start=oldest' 4",
		  "process.exec 77\nprocess.exit 1000\nprocess.exec 77\nnet.connect 1001\n" },
		{ "compressed body", "http_client.py ",
		  "lines '/api/v1/ebpf/stream?start=oldest&format=lines&compression=gzip' 4 'accept-encoding: gzip'",
		  "process.exec 77\nprocess.exit 1000\nprocess.exec 77\nnet.connect 1001\n" },
	};
	auto_export struct export_fixture f;
	auto_buf struct buf out = { .max = OUT_MAX };

	if (!has_grpcio())
		skip("no-grpcio");
	if (!export_fixture_open(&f, RING, NULL, false))
		return;
	export_fixture_put_long(&f, 31000, true);
	export_fixture_put(&f, 1);
	export_fixture_put_long(&f, 31000, false);
	export_fixture_put(&f, 1);
	for_each_row (r, rows) {
		buf_clear(&out);
		(void)export_run(&out, "timeout 20 /usr/bin/python3 " SHRIKE_SOURCE_DIR "/tests/export/%s%u %s",
				 r->client, f.port, r->words);
		check_str(buf_text(&out), r->says);
	}
}

/* A recording of another start of a host, whose clock said 2001 then. */
static bool record_three(const char *path)
{
	const struct store_writer_options options = { .path = path };
	const struct store_origin origin = { .boot_id = "00000000-0000-4000-8000-000000000001",
					     .wall_minus_boot_ns = 978307200LL * 1000000000 };
	AUTO(store_writer) w = NULL;
	struct ev_exit rec = { .head = { .id = EV_EXIT, .class = EV_NORMAL, .len = sizeof(rec) } };

	if (store_writer_open(&options, &w) < 0 || store_writer_begin(w, &origin, NULL, 0) < 0)
		return false;
	for (unsigned i = 1; i <= 3; i++) {
		rec.head.pid = i;
		rec.head.time_ns = i * 1000000000ULL;
		if (store_writer_put(w, &rec.head) < 0)
			return false;
	}
	return true;
}

TEST(a_query_looks_into_what_was_recorded)
{
	static const struct {
		const char *name, *body, *says;
	} rows[] = {
		{ "all", "{\"source\":\"SOURCE_RECORDED\"}",
		  "2001-01-01T00:00:01.000000000Z process.exit 1\n2001-01-01T00:00:02.000000000Z process.exit 2\n"
		  "2001-01-01T00:00:03.000000000Z process.exit 3\n200 count=3 more=False\n" },
		{ "from then on", "{\"source\":\"recorded\",\"since\":978307202000000000,\"limit\":1}",
		  "2001-01-01T00:00:02.000000000Z process.exit 2\n200 count=1 more=True\n" },
		{ "count", "{\"source\":1,\"count_only\":true,\"filter\":{\"pid\":3}}", "200 count=1 more=False\n" },
	};
	char dir[] = "/tmp/shrike-export-XXXXXX", path[64];
	const struct export_source source = { .store = path };
	struct export_fixture f;
	auto_buf struct buf out = { .max = OUT_MAX };

	require(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/recorded", dir);
	if (export_fixture_open(&f, RING, &source, false) && record_three(path))
		for_each_row (r, rows) {
			buf_clear(&out);
			(void)export_run(&out,
					 "timeout 20 python3 " SHRIKE_SOURCE_DIR
					 "/tests/export/http_client.py %u post /api/v1/ebpf/query '%s' dates",
					 f.port, r->body);
			check_str(buf_text(&out), r->says);
		}
	else
		test_fail(T_HERE, "%s", err_trail());
	export_fixture_close(&f);
	buf_clear(&out);
	check_int(export_run(&out, "rm -r %s", dir), 0);
}

/* The status says it, so that nobody takes the answer for one without events. */
TEST(a_query_that_fails_has_the_status_of_a_failure)
{
	const struct export_source source = { .store = "/nonexistent/recording" };
	struct export_fixture f;
	auto_buf struct buf out = { .max = OUT_MAX };

	if (export_fixture_open(&f, RING, &source, false)) {
		(void)export_run(&out,
				 "timeout 20 python3 " SHRIKE_SOURCE_DIR "/tests/export/http_client.py %u post "
				 "/api/v1/ebpf/query '{\"source\":\"recorded\"}'",
				 f.port);
		check_str(buf_text(&out), "404 open /nonexistent/recording: No such file or directory\n");
		/* The turn was given back: more than run at once. */
		for (int i = 0; i < 6; i++) {
			buf_clear(&out);
			(void)export_run(&out,
					 "timeout 20 python3 " SHRIKE_SOURCE_DIR "/tests/export/http_client.py %u post "
					 "/api/v1/ebpf/query '{\"source\":\"recorded\",\"count_only\":true}'",
					 f.port);
			check_has(buf_text(&out), "404 open ");
		}
	} else {
		test_fail(T_HERE, "%s", err_trail());
	}
	export_fixture_close(&f);
}

/* ---- what a consumer may ---------------------------------------------------------------------------------- */

static void ask_with_token(const struct export_fixture *f, struct buf *out, const char *words)
{
	buf_clear(out);
	(void)export_run(out, "TOKEN=%s timeout 20 " CLIENT " 127.0.0.1:%u %s", f->token, f->port, words);
}

TEST(a_consumer_gets_what_its_row_allows)
{
	static char process[] = "process.*", file[] = "file.*", *allow[] = { process, file }, *deny[] = { file };
	const struct token_row row = {
		.name = "some", .role = ROLE_VIEWER, .allow = { allow, 2 }, .deny = { deny, 1 }
	};
	auto_export struct export_fixture f;
	auto_buf struct buf out = { .max = OUT_MAX };

	if (!has_grpcio())
		skip("no-grpcio");
	if (!export_fixture_open_for(&f, RING, &row))
		return;
	export_fixture_put(&f, 300);
	ask_with_token(&f, &out, "stream '{\"start\":1}' 2");
	check_str(buf_text(&out), "process_exit 1000 p0 0 0\nprocess_exit 1003 p3 0 0\n");
	ask_with_token(&f, &out, "stream '{\"filter\":{\"types\":[\"file.*\",\"net.*\"]}}' 1");
	check_str(buf_text(&out), "PERMISSION_DENIED | some may read none of these types of events\n");
	ask_with_token(&f, &out, "query '{\"countOnly\":true}'");
	check_str(buf_text(&out), "count 100 more False\n");
}

TEST(a_consumer_gets_so_many_a_second_and_is_told_of_the_rest)
{
	const struct token_row row = { .name = "slow", .role = ROLE_VIEWER, .events_per_s = 10 };
	auto_export struct export_fixture f;
	auto_buf struct buf out = { .max = OUT_MAX };
	unsigned events = 0;
	char *state;

	if (!has_grpcio())
		skip("no-grpcio");
	if (!export_fixture_open_for(&f, RING, &row))
		return;
	export_fixture_put(&f, 300);
	ask_with_token(&f, &out, "stream '{\"start\":1}' 11");
	for (char *line = strtok_r(out.data, "\n", &state); line; line = strtok_r(NULL, "\n", &state)) {
		unsigned lost = 0;

		require(sscanf(line, "%*s %*u %*s %u", &lost) == 1);
		/* The first ones are a second's worth. What is told then is of all that came between. */
		check(events < 10 ? lost == 0 : lost > 100);
		events++;
	}
	check_int(events, 11);
}

/* ---- a lean client ------------------------------------------------------------------------------------- */

/* Begins a stream, and waits until it has its place in the ring. */
static bool open_client(struct export_fixture *f, struct lean *l, enum lean_form form,
			const struct stream_request *request)
{
	auto_buf struct buf bytes = { .max = 512 };
	struct raw_ring_metrics before, now;

	raw_ring_metrics(f->ring, &before);
	proto_write(&stream_request_message, request, &bytes);
	if (!lean_open(l, f->port, NULL, form, buf_text(&bytes), bytes.len)) {
		test_fail(T_HERE, "no connection: %s", strerror(errno));
		return false;
	}
	l->look_inside = true;
	for (unsigned i = 0; i < 5000; i++) {
		raw_ring_metrics(f->ring, &now);
		if (now.readers > before.readers) {
			(void)fcntl(l->fd, F_SETFL, O_NONBLOCK);
			return true;
		}
		(void)usleep(1000);
	}
	test_fail(T_HERE, "no stream");
	lean_close(l);
	return false;
}

/* Until so many have come, or nothing does for long. */
static void read_until(struct lean *l, uint64_t events)
{
	struct pollfd fd = { l->fd, POLLIN, 0 };

	while (!l->ended && l->events + l->lost < events && poll(&fd, 1, 10000) > 0)
		(void)lean_read(l);
}

/* Until nothing has come for a while. */
static void read_until_quiet(struct lean *l)
{
	struct pollfd fd = { l->fd, POLLIN, 0 };

	while (!l->ended && poll(&fd, 1, 300) > 0)
		(void)lean_read(l);
}

/* ---- descendants ------------------------------------------------------------------------------------ */

static struct ev_known known_process(__u32 pid, __u32 parent)
{
	return (struct ev_known) { .head = { .id = EV_KNOWN,
					     .len = sizeof(struct ev_known),
					     .pid = pid,
					     .tid = pid,
					     .start_ns = pid,
					     .time_ns = 1000000,
					     .comm = "known" },
				   .parent_pid = parent,
				   .parent_start_ns = parent };
}

static _Atomic bool told;

/* Before the stream begins: 1 has started 500, which has started 501; 600 is another. */
static int tell_known(void *arg, struct buf *out, __u64 *ret_cursor)
{
	const struct ev_known known[] = { known_process(1, 0), known_process(500, 1), known_process(501, 500),
					  known_process(600, 1) };
	struct raw_ring_metrics m;

	buf_add(out, known, sizeof(known));
	raw_ring_metrics(((struct export_fixture *)arg)->ring, &m);
	*ret_cursor = m.puts;
	told = true;
	return 0;
}

static void put_fork(struct export_fixture *f, __u32 parent, __u32 child)
{
	const struct ev_fork fork = { .head = { .id = EV_FORK,
						.len = sizeof(fork),
						.pid = parent,
						.tid = parent,
						.start_ns = parent,
						.time_ns = 2000000 },
				      .child_pid = child,
				      .child_start_ns = child,
				      .parent_pid = parent,
				      .parent_start_ns = parent };

	raw_ring_put(f->ring, &fork.head);
	raw_ring_flush(f->ring, 1);
}

static void put_exit(struct export_fixture *f, __u32 pid)
{
	const struct ev_exit gone = { .head = { .id = EV_EXIT,
						.len = sizeof(gone),
						.pid = pid,
						.tid = pid,
						.start_ns = pid,
						.time_ns = 3000000,
						.comm = "x" } };

	raw_ring_put(f->ring, &gone.head);
	raw_ring_flush(f->ring, 1);
}

TEST(descendants_are_those_that_were_there_and_those_that_came)
{
	static const char *const types[] = { "process.exit" };
	const struct export_filter filter = { .types = { types, 1 }, .pid = 500, .descendants = true };
	const struct stream_request request = { .filter = &filter };
	struct export_fixture f;
	struct export_source source = { .known = tell_known, .arg = &f };
	struct lean l;

	if (export_fixture_open(&f, RING, &source, false) && open_client(&f, &l, LEAN_EVENTS, &request)) {
		/* It goes on from where what is known ends. */
		for (unsigned i = 0; i < 5000 && !told; i++)
			(void)usleep(1000);
		put_fork(&f, 501, 502);
		put_fork(&f, 600, 601);
		put_fork(&f, 502, 503);
		put_exit(&f, 601);
		put_exit(&f, 503);
		put_exit(&f, 600);
		put_exit(&f, 502);
		put_exit(&f, 500);
		put_exit(&f, 1);
		read_until(&l, 3);
		read_until_quiet(&l);
		check_int(l.events, 3);
		lean_close(&l);
	}
	export_fixture_close(&f);
}

/* ---- clients that do not read -------------------------------------------------------------------------- */

/* So much that it fits into no buffer between the two. */
enum { MANY = 120000, STEP = 1000 };

/* The readers get each lot before the next one comes, so that none loses any, however slow all of it is. */
static void put_many(struct export_fixture *f, struct lean *readers, unsigned n)
{
	for (unsigned i = 0; i < MANY; i += STEP) {
		export_fixture_put(f, STEP);
		for (unsigned k = 0; k < n; k++)
			read_until(&readers[k], i + STEP);
	}
}

TEST(a_client_that_did_not_read_is_told_exactly_what_it_lost)
{
	static const enum lean_form forms[] = { LEAN_EVENTS, LEAN_BATCHES };

	for (size_t i = 0; i < countof(forms); i++) {
		auto_export struct export_fixture f;
		struct lean l;

		if (!export_fixture_open(&f, RAW_RING_BYTES_MIN, NULL, false) ||
		    !open_client(&f, &l, forms[i], &(struct stream_request) { 0 }))
			return;
		put_many(&f, NULL, 0);
		read_until(&l, MANY);
		check(l.lost > 0 && l.events > 1000);
		check_int(l.events + l.lost, MANY);
		lean_close(&l);
	}
}

TEST(clients_that_never_read_cost_the_others_nothing)
{
	enum { CLIENTS = 12, STUCK = 3 };
	auto_export struct export_fixture f;
	struct lean clients[CLIENTS];
	unsigned n = 0;

	if (!export_fixture_open(&f, 4 << 20, NULL, false))
		return;
	while (n < CLIENTS &&
	       open_client(&f, &clients[n], n % 2 ? LEAN_BATCHES : LEAN_EVENTS, &(struct stream_request) { 0 }))
		n++;
	check_int(n, CLIENTS);
	put_many(&f, clients + STUCK, n - STUCK);
	for (unsigned i = STUCK; i < n; i++) {
		check_int(clients[i].events, MANY);
		check_int(clients[i].lost, 0);
	}
	for (unsigned i = 0; i < n; i++)
		lean_close(&clients[i]);
}
