// SPDX-License-Identifier: Apache-2.0
//
// grpcpp - a client of the export as anybody would write it with grpc++ and what protoc makes of the schema.
//
//	grpcpp PORT CERTIFICATE FORM COUNT     FORM: events or batches; CERTIFICATE "-": without TLS
//
// Reads COUNT events from the oldest on, every field of them parsed, on one stream, and prints how many it got, in
// how many nanoseconds, and how many of its own CPU time that took. It is not a part of the build: `tools/bench grpcpp`
// compiles it where grpc++ is installed.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <sstream>
#include <string>
#include <google/protobuf/arena.h>
#include <grpcpp/grpcpp.h>
#include "shrike/v1/export.grpc.pb.h"

namespace v1 = shrike::v1;
using steady = std::chrono::steady_clock;

static long long cpu_ns()
{
	timespec t = {};

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static uint64_t read_events(v1::EbpfExport::Stub &stub, grpc::ClientContext &context, uint64_t wanted)
{
	v1::StreamRequest request;
	v1::RawEvent event;
	uint64_t n = 0;

	request.set_start(v1::StreamRequest::START_OLDEST);
	auto stream = stub.StreamRawEvents(&context, request);
	while (n < wanted && stream->Read(&event))
		n += event.event_case() != v1::RawEvent::EVENT_NOT_SET; // else it only tells of a loss
	return n;
}

static uint64_t read_batches(v1::EbpfExport::Stub &stub, grpc::ClientContext &context, uint64_t wanted)
{
	v1::StreamRequest request;
	google::protobuf::Arena arena;
	uint64_t n = 0;

	request.set_start(v1::StreamRequest::START_OLDEST);
	auto stream = stub.StreamRawEventBatches(&context, request);
	for (; n < wanted; arena.Reset()) {
		auto *batch = google::protobuf::Arena::CreateMessage<v1::RawEventBatch>(&arena);

		if (!stream->Read(batch))
			break;
		for (const auto &event : batch->events())
			n += event.event_case() != v1::RawEvent::EVENT_NOT_SET; // else it only tells of a loss
	}
	return n;
}

int main(int argc, char **argv)
{
	if (argc != 5 || (strcmp(argv[3], "events") != 0 && strcmp(argv[3], "batches") != 0)) {
		fprintf(stderr, "grpcpp PORT CERTIFICATE events|batches COUNT\n");
		return 2;
	}
	std::shared_ptr<grpc::ChannelCredentials> credentials = grpc::InsecureChannelCredentials();
	if (strcmp(argv[2], "-") != 0) {
		std::stringstream pem;

		pem << std::ifstream(argv[2]).rdbuf();
		credentials = grpc::SslCredentials({ pem.str(), "", "" });
	}
	grpc::ChannelArguments arguments;
	arguments.SetMaxReceiveMessageSize(-1);
	auto channel = grpc::CreateCustomChannel(std::string("localhost:") + argv[1], credentials, arguments);
	if (!channel->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(10))) {
		fprintf(stderr, "grpcpp: no connection\n");
		return 1;
	}
	auto stub = v1::EbpfExport::NewStub(channel);
	grpc::ClientContext context;
	const uint64_t wanted = strtoull(argv[4], nullptr, 10);
	const auto began = steady::now();
	const long long cpu = cpu_ns();
	const uint64_t n = strcmp(argv[3], "events") == 0 ? read_events(*stub, context, wanted)
							  : read_batches(*stub, context, wanted);
	const auto took = std::chrono::duration_cast<std::chrono::nanoseconds>(steady::now() - began).count();

	printf("%llu %lld %lld\n", (unsigned long long)n, (long long)took, cpu_ns() - cpu);
	return n < wanted;
}
