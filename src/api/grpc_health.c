/* SPDX-License-Identifier: Apache-2.0 */
/*
 * grpc_health - grpc.health.v1: is a service there? What is asked for by name serves as long as the agent
 * does, and "" is the agent itself; a watch says so once and then holds on.
 */
#include <stdlib.h>
#include "api/grpc.h"
#include "api/grpc_services.h"
#include "base/clock.h"
#include "base/err.h"

enum { SERVING = 1, SERVICE_UNKNOWN = 3 };

struct health_request {
	const char *service;
};

struct health_response {
	int32_t status;
};

static const struct proto_field request_fields[] = {
	PROTO(health_request, service, 1, PROTO_STRING, "name of a service; empty: the agent"),
};
static const struct proto_message request_message = {
	.name = "HealthCheckRequest",
	.doc = "Which service?",
	.fields = request_fields,
	.n_fields = countof(request_fields),
	.size = sizeof(struct health_request),
};

static const struct proto_enum_value status_values[] = {
	{ 0, "UNKNOWN" }, { SERVING, "SERVING" }, { 2, "NOT_SERVING" }, { SERVICE_UNKNOWN, "SERVICE_UNKNOWN" }
};
static const struct proto_enum status_enum = { "ServingStatus", "how it is", status_values, countof(status_values) };
static const struct proto_enum *const status_enums[] = { &status_enum };
static const struct proto_field response_fields[] = {
	PROTO(health_response, status, 1, PROTO_ENUM, "how it is", .values = &status_enum),
};
static const struct proto_message response_message = {
	.name = "HealthCheckResponse",
	.doc = "How the service is.",
	.fields = response_fields,
	.n_fields = countof(response_fields),
	.enums = status_enums,
	.n_enums = countof(status_enums),
	.size = sizeof(struct health_response),
};

static const struct proto_method methods[] = {
	{ "Check", "How it is now.", &request_message, &response_message, false, false },
	{ "Watch", "How it is now, and whenever that changes.", &request_message, &response_message, false, true },
};
static const struct proto_service service = { "Health", "Whether a service is there.", methods, countof(methods) };
static const struct proto_message *const messages[] = { &request_message, &response_message };

const struct proto_file health_proto_file = {
	"grpc/health/v1/health.proto", "grpc.health.v1", messages, countof(messages), &service,
};

/* False: the call has been answered. */
static bool read_service(struct http_request *req, int32_t *ret_status)
{
	auto_arena struct arena arena = { .max = 1 << 16 };
	auto_buf struct buf room = { .max = GRPC_MESSAGE_MAX };
	struct health_request asked;
	struct str message;
	int r;

	if (!grpc_accept(req) || !grpc_message(req, &room, &message))
		return false;
	r = proto_read(&request_message, message.p, message.n, &arena, &asked);
	if (r < 0) {
		grpc_fail(req, grpc_status_of(r), "%s", err_trail());
		err_clear();
		return false;
	}
	*ret_status = !*asked.service || grpc_has_service(req->ctx, asked.service) ? SERVING : SERVICE_UNKNOWN;
	return true;
}

void grpc_health_check(struct http_request *req)
{
	auto_buf struct buf answer = { .max = 64 };
	struct health_response response;

	if (!read_service(req, &response.status))
		return;
	/* Check says by its status what Watch says in the message. */
	if (response.status != SERVING) {
		grpc_fail(req, GRPC_NOT_FOUND, "there is no such service");
		return;
	}
	proto_write(&response_message, &response, &answer);
	grpc_reply(req, &answer);
}

struct watch {
	struct http_request *req;
	int32_t status;
	bool said;
	uint64_t deadline_ns;
};

static ssize_t watch_produce(void *ctx, char *to, size_t room)
{
	struct watch *w = ctx;
	auto_buf struct buf answer = { .max = 64 };
	const struct health_response response = { w->status };
	uint64_t now = clock_boot_ns();

	(void)room;
	if (w->said && w->deadline_ns && now >= w->deadline_ns) {
		grpc_end(w->req, GRPC_DEADLINE_EXCEEDED, "the time that the call had is over");
		return HTTP_END;
	}
	if (w->said) {
		if (w->deadline_ns)
			http_wake_in(w->req, w->deadline_ns - now);
		return HTTP_IDLE;
	}
	w->said = true;
	proto_write(&response_message, &response, &answer);
	grpc_head(to, false, answer.len);
	memcpy(to + GRPC_HEAD, buf_text(&answer), answer.len);
	return (ssize_t)(GRPC_HEAD + answer.len);
}

static void watch_closed(void *ctx, bool complete)
{
	(void)complete;
	free(ctx);
}

void grpc_health_watch(struct http_request *req)
{
	static const struct http_stream stream = { .produce = watch_produce, .closed = watch_closed };
	struct watch *w;
	int32_t status;

	if (!read_service(req, &status))
		return;
	w = calloc(1, sizeof(*w));
	if (!w) {
		grpc_fail(req, GRPC_RESOURCE_EXHAUSTED, "no memory for a stream");
		return;
	}
	*w = (struct watch) { .req = req, .status = status, .deadline_ns = grpc_deadline(req) };
	(void)http_stream(req, 200, "application/grpc", &stream, w);
}
