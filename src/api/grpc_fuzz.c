/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as the body of a call, in pieces whose lengths the first byte chooses: the messages are those that stand
 * there, whatever the pieces, and each is read as a question to reflection and to health.
 */
#include <stdlib.h>
#include "api/grpc.h"
#include "api/grpc_services.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_message(const struct proto_message *m, struct str message)
{
	static struct arena arena = { .max = 1 << 20 };
	static _Alignas(16) char room[256];

	arena_reset(&arena);
	if (m->size > sizeof(room))
		abort();
	(void)proto_read(m, message.p, message.n, &arena, room);
}

/* What the pieces gave, one after the other: each message behind its length. */
static int split(const uint8_t *data, size_t size, size_t piece, struct buf *out)
{
	struct grpc_parser p = { .bytes = { .max = GRPC_BODY_MAX } };
	struct str message;
	int r = 0;

	buf_clear(out);
	for (size_t at = 0; at < size && r >= 0; at += piece) {
		grpc_parser_add(&p, data + at, size - at < piece ? size - at : piece);
		while ((r = grpc_parser_next(&p, &message)) > 0) {
			buf_add(out, &message.n, sizeof(message.n));
			buf_add(out, message.p, message.n);
			read_message(reflection_proto_file.messages[0], message);
			read_message(health_proto_file.messages[0], message);
		}
	}
	buf_free(&p.bytes);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct buf whole = { .max = 1 << 20 }, pieces = { .max = 1 << 20 };

	if (size < 2)
		return 0;
	if (split(data + 1, size - 1, size - 1, &whole) != split(data + 1, size - 1, 1 + data[0] % 32, &pieces))
		abort();
	if (whole.len != pieces.len || (whole.len && memcmp(whole.data, pieces.data, whole.len) != 0))
		abort();
	return 0;
}
