/* SPDX-License-Identifier: Apache-2.0 */
/*
 * grpc_reflection - grpc.reflection.v1 and v1alpha, which are the same but for their name: what services
 * there are, and the descriptors of their files, for clients that were built without them.
 */
#include <stdlib.h>
#include "api/grpc.h"
#include "api/grpc_services.h"
#include "base/clock.h"
#include "base/err.h"

enum { PENDING_MAX = 4 << 20 };

/* ---- the messages --------------------------------------------------------------------------- */

struct reflection_request {
	const char *host, *file_by_filename, *file_containing_symbol, *all_extension_numbers_of_type, *list_services;
	const struct extension_request *file_containing_extension;
};

struct extension_request {
	const char *containing_type;
	int32_t extension_number;
};

static const struct proto_field extension_fields[] = {
	PROTO(extension_request, containing_type, 1, PROTO_STRING, "the message that is extended"),
	PROTO(extension_request, extension_number, 2, PROTO_I32, "by which number"),
};
static const struct proto_message extension_message = {
	.name = "ExtensionRequest",
	.doc = "Extensions are of proto2; there are none.",
	.fields = extension_fields,
	.n_fields = countof(extension_fields),
	.size = sizeof(struct extension_request),
};

static const struct proto_field request_fields[] = {
	PROTO(reflection_request, host, 1, PROTO_STRING, "as the client calls us"),
	PROTO(reflection_request, file_by_filename, 3, PROTO_STRING, "a file by its path", .oneof = true),
	PROTO(reflection_request, file_containing_symbol, 4, PROTO_STRING, "the file that declares this",
	      .oneof = true),
	PROTO(reflection_request, file_containing_extension, 5, PROTO_MESSAGE, "the file with this extension",
	      .oneof = true, .message = &extension_message),
	PROTO(reflection_request, all_extension_numbers_of_type, 6, PROTO_STRING, "what extends this", .oneof = true),
	PROTO(reflection_request, list_services, 7, PROTO_STRING, "what services there are", .oneof = true),
};
static const struct proto_message request_message = {
	.name = "ServerReflectionRequest",
	.doc = "One question.",
	.oneof = "message_request",
	.fields = request_fields,
	.n_fields = countof(request_fields),
	.size = sizeof(struct reflection_request),
};

/* Answers are written by hand; these say what they are. */
#define ROW(n, nr, t, d, ...) { .name = (n), .doc = (d), .number = (nr), .type = (t), ##__VA_ARGS__ }

static const struct proto_field file_fields[] = {
	ROW("file_descriptor_proto", 1, PROTO_BYTES, "FileDescriptorProto each", .repeated = true),
};
static const struct proto_message file_message = { "FileDescriptorResponse", "Files.", NULL, file_fields, 1 };
static const struct proto_field numbers_fields[] = {
	ROW("base_type_name", 1, PROTO_STRING, "the message"),
	ROW("extension_number", 2, PROTO_I32, "numbers", .repeated = true),
};
static const struct proto_message numbers_message = { "ExtensionNumberResponse", "Extensions.", NULL, numbers_fields,
						      2 };
static const struct proto_field service_fields[] = { ROW("name", 1, PROTO_STRING, "full name") };
static const struct proto_message service_message = { "ServiceResponse", "One service.", NULL, service_fields, 1 };
static const struct proto_field list_fields[] = {
	ROW("service", 1, PROTO_MESSAGE, "all there are", .repeated = true, .message = &service_message),
};
static const struct proto_message list_message = { "ListServiceResponse", "Services.", NULL, list_fields, 1 };
static const struct proto_field error_fields[] = {
	ROW("error_code", 1, PROTO_I32, "status as gRPC numbers them"),
	ROW("error_message", 2, PROTO_STRING, "what is wrong"),
};
static const struct proto_message error_message = { "ErrorResponse", "No answer.", NULL, error_fields, 2 };

enum { VALID_HOST = 1, ORIGINAL = 2, FILES = 4, NUMBERS = 5, LIST = 6, ERROR = 7 };

static const struct proto_field response_fields[] = {
	ROW("valid_host", VALID_HOST, PROTO_STRING, "the host of the question"),
	ROW("original_request", ORIGINAL, PROTO_MESSAGE, "the question", .message = &request_message),
	ROW("file_descriptor_response", FILES, PROTO_MESSAGE, "files", .oneof = true, .message = &file_message),
	ROW("all_extension_numbers_response", NUMBERS, PROTO_MESSAGE, "extensions", .oneof = true,
	    .message = &numbers_message),
	ROW("list_services_response", LIST, PROTO_MESSAGE, "services", .oneof = true, .message = &list_message),
	ROW("error_response", ERROR, PROTO_MESSAGE, "no answer", .oneof = true, .message = &error_message),
};
static const struct proto_message response_message = {
	.name = "ServerReflectionResponse",
	.doc = "One answer.",
	.oneof = "message_response",
	.fields = response_fields,
	.n_fields = countof(response_fields),
};

static const struct proto_method methods[] = {
	{ "ServerReflectionInfo", "Answers one question after the other.", &request_message, &response_message, true,
	  true },
};
static const struct proto_service service = { "ServerReflection", "What services and messages there are.", methods, 1 };
static const struct proto_message *const messages[] = {
	&request_message, &extension_message, &response_message, &file_message,
	&numbers_message, &list_message,      &service_message,  &error_message,
};

const struct proto_file reflection_proto_file = {
	"grpc/reflection/v1/reflection.proto", "grpc.reflection.v1", messages, countof(messages), &service,
};
const struct proto_file reflection_alpha_proto_file = {
	"grpc/reflection/v1alpha/reflection.proto", "grpc.reflection.v1alpha", messages, countof(messages), &service,
};

/* ---- what there is ------------------------------------------------------------------------------ */

/* Is `name` "Message", or does it go on with ".member"? */
static const char *member_of(const char *name, const char *of)
{
	size_t n = strlen(of);

	if (strncmp(name, of, n) != 0 || (name[n] && name[n] != '.'))
		return NULL;
	return name[n] ? name + n + 1 : name + n;
}

static bool message_declares(const struct proto_message *m, const char *name)
{
	const char *member = member_of(name, m->name);

	if (!member || !*member)
		return member != NULL;
	for (size_t i = 0; i < m->n_fields; i++)
		if (!strcmp(m->fields[i].name, member))
			return true;
	for (size_t i = 0; i < m->n_enums; i++)
		if (!strcmp(m->enums[i]->name, member))
			return true;
	return false;
}

static bool service_declares(const struct proto_service *s, const char *name)
{
	const char *member = member_of(name, s->name);

	if (!member || !*member)
		return member != NULL;
	for (size_t i = 0; i < s->n_methods; i++)
		if (!strcmp(s->methods[i].name, member))
			return true;
	return false;
}

/* The file that declares a service, method, message, enum or field of this full name; or NULL. */
static const struct proto_file *file_of_symbol(const struct grpc_services *services, const char *name)
{
	const struct proto_file *file;

	for (size_t i = 0; (file = grpc_file_at(services, i)); i++) {
		const char *rest = grpc_within(file, name);

		if (!rest)
			continue;
		if (file->service && service_declares(file->service, rest))
			return file;
		for (size_t k = 0; k < file->n_messages; k++)
			if (message_declares(file->messages[k], rest))
				return file;
	}
	return NULL;
}

/* ---- answers -------------------------------------------------------------------------------------- */

static void add_error(struct buf *out, int status, const char *text)
{
	size_t at;

	proto_begin(out, ERROR, &at);
	proto_add_varint(out, 1, (uint64_t)status);
	proto_add_str(out, 2, text);
	proto_end(out, at);
}

static void add_file(struct buf *out, const struct proto_file *file)
{
	size_t at, file_at;

	if (!file) {
		add_error(out, GRPC_NOT_FOUND, "there is no such file or name");
		return;
	}
	proto_begin(out, FILES, &at);
	proto_begin(out, 1, &file_at);
	proto_descriptor(file, out);
	proto_end(out, file_at);
	proto_end(out, at);
}

static void add_services(const struct grpc_services *services, struct buf *out)
{
	const struct proto_file *file;
	size_t at, service_at;

	proto_begin(out, LIST, &at);
	for (size_t i = 0; (file = grpc_file_at(services, i)); i++) {
		auto_buf struct buf name = { .max = 256 };

		if (!file->service)
			continue;
		buf_printf(&name, "%s.%s", file->package, file->service->name);
		proto_begin(out, 1, &service_at);
		proto_add_str(out, 1, buf_text(&name));
		proto_end(out, service_at);
	}
	proto_end(out, at);
}

static const struct proto_file *file_by_path(const struct grpc_services *services, const char *path)
{
	const struct proto_file *file;

	for (size_t i = 0; (file = grpc_file_at(services, i)); i++)
		if (!strcmp(file->path, path))
			return file;
	return NULL;
}

/* An empty question of a oneof is still a question: which one it was, only the bytes say. */
static uint32_t question_of(struct str bytes)
{
	struct proto_reader r = { (const unsigned char *)bytes.p, (const unsigned char *)bytes.p + bytes.n };
	struct proto_item item;
	uint32_t number = 0;

	while (proto_next(&r, &item) > 0)
		if (item.number >= 3 && item.number <= 7)
			number = item.number;
	return number;
}

static void add_answer(const struct grpc_services *services, const struct reflection_request *asked, uint32_t question,
		       struct buf *out)
{
	switch (question) {
	case 3:
		add_file(out, file_by_path(services, asked->file_by_filename));
		break;
	case 4:
		add_file(out, file_of_symbol(services, asked->file_containing_symbol));
		break;
	case 7:
		add_services(services, out);
		break;
	case 5:
	case 6:
		add_error(out, GRPC_NOT_FOUND, "there are no extensions");
		break;
	default:
		add_error(out, GRPC_INVALID_ARGUMENT, "nothing is asked for");
	}
}

/* One gRPC message to the end of `out`. */
static int answer(const struct grpc_services *services, struct str message, struct buf *out)
{
	auto_arena struct arena arena = { .max = 1 << 20 };
	auto_buf struct buf text = { .max = PENDING_MAX };
	struct reflection_request asked;
	char head[GRPC_HEAD];
	int r = proto_read(&request_message, message.p, message.n, &arena, &asked);

	if (r < 0)
		return r;
	proto_add_str(&text, VALID_HOST, asked.host);
	proto_add_bytes(&text, ORIGINAL, message.p, message.n);
	add_answer(services, &asked, question_of(message), &text);
	grpc_head(head, false, text.len);
	buf_add(out, head, sizeof(head));
	buf_add(out, buf_text(&text), text.len);
	return text.failed || out->failed ? err_new(-E2BIG, "more questions at once than can be answered") : 0;
}

/* ---- the call ---------------------------------------------------------------------------------------- */

struct reflection {
	struct http_request *req;
	struct grpc_parser in;
	struct buf out;
	size_t sent;
	bool ended;
	int error;
	char why[256];
	uint64_t deadline_ns;
};

static ssize_t produce(void *ctx, char *to, size_t room)
{
	struct reflection *r = ctx;
	size_t n = r->out.len - r->sent < room ? r->out.len - r->sent : room;

	if (n) {
		memcpy(to, r->out.data + r->sent, n);
		r->sent += n;
		if (r->sent == r->out.len) {
			buf_clear(&r->out);
			r->sent = 0;
		}
		return (ssize_t)n;
	}
	if (r->error)
		grpc_end(r->req, grpc_status_of(r->error), r->why);
	else if (r->ended)
		grpc_end(r->req, GRPC_OK, NULL);
	else if (r->deadline_ns && clock_boot_ns() >= r->deadline_ns)
		grpc_end(r->req, GRPC_DEADLINE_EXCEEDED, "the time that the call had is over");
	else
		return HTTP_IDLE;
	return HTTP_END;
}

static void closed(void *ctx, bool complete)
{
	struct reflection *r = ctx;

	(void)complete;
	/* What still comes in is nobody's. */
	r->req->data = NULL;
	buf_free(&r->in.bytes);
	buf_free(&r->out);
	free(r);
}

void grpc_reflection(struct http_request *req)
{
	static const struct http_stream stream = { .produce = produce, .closed = closed };
	struct reflection *r;

	if (!grpc_accept(req))
		return;
	r = calloc(1, sizeof(*r));
	if (!r) {
		grpc_fail(req, GRPC_RESOURCE_EXHAUSTED, "no memory for a stream");
		return;
	}
	*r = (struct reflection) { .req = req, .deadline_ns = grpc_deadline(req) };
	buf_init(&r->in.bytes, GRPC_BODY_MAX);
	buf_init(&r->out, PENDING_MAX);
	req->data = r;
	if (http_stream(req, 200, "application/grpc", &stream, r) && r->deadline_ns)
		http_wake_in(req, r->deadline_ns - clock_boot_ns());
}

void grpc_reflection_data(struct http_request *req, const void *bytes, size_t n, bool end)
{
	struct reflection *r = req->data;
	struct str message;
	int more = 0;

	if (!r || r->error || r->ended)
		return;
	grpc_parser_add(&r->in, bytes, n);
	while (!r->error && (more = grpc_parser_next(&r->in, &message)) > 0)
		r->error = answer(req->ctx, message, &r->out);
	if (more < 0)
		r->error = more;
	if (r->error) {
		(void)snprintf(r->why, sizeof(r->why), "%s", err_trail());
		err_clear();
	}
	r->ended = end;
	http_wake_in(req, 0);
}
