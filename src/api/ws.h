/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ws - reads what a WebSocket client sends (RFC 6455), frame by frame, into whole messages.
 *
 * Bounded: a message has at most WS_MESSAGE_MAX bytes. Strict: a frame that is not masked, has reserved bits, a length
 * that is longer than it need be, or comes where it may not, ends the connection; so does a text that is no UTF-8.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"

enum { WS_MESSAGE_MAX = 64 << 10, WS_CONTROL_MAX = 125 };

enum ws_event {
	WS_MORE, /* all bytes are used up */
	WS_TEXT,
	WS_BINARY, /* a whole message is in r->message */
	WS_PING,
	WS_PONG,
	WS_CLOSE, /* its payload is in r->control */
	WS_WRONG, /* r->code and r->why say how to close */
};

struct ws_reader {
	unsigned char head[14];
	uint8_t n_head, want_head;
	uint64_t left; /* of the payload */
	uint32_t at;   /* in the payload, for the mask */
	uint8_t opcode, message_opcode;
	bool fin, in_payload;
	struct buf message;
	char control[WS_CONTROL_MAX];
	size_t n_control;
	uint16_t code;
	const char *why;
};

void ws_reader_init(struct ws_reader *r);
void ws_reader_free(struct ws_reader *r);
/* Reads on; *ret_used is how many bytes were used. Call again until it wants more. A message is cleared on the next
 * call. After WS_WRONG, never again. */
enum ws_event ws_read(struct ws_reader *r, const char *bytes, size_t n, size_t *ret_used);

enum { WS_ACCEPT_SIZE = 29 };
/* The answer to a Sec-WebSocket-Key; false when it is none. */
bool ws_accept(const char *key, char ret_accept[WS_ACCEPT_SIZE]);
/* Is this code one that may be in a closing frame? */
bool ws_is_close_code(unsigned code);
