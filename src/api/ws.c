/* SPDX-License-Identifier: Apache-2.0 */
#include "api/ws.h"
#include <openssl/evp.h>
#include <string.h>
#include "base/utf8.h"

enum { OP_CONTINUE = 0, OP_TEXT = 1, OP_BINARY = 2, OP_CLOSE = 8, OP_PING = 9, OP_PONG = 10 };

void ws_reader_init(struct ws_reader *r)
{
	*r = (struct ws_reader) { .want_head = 2 };
	buf_init(&r->message, WS_MESSAGE_MAX);
}

void ws_reader_free(struct ws_reader *r)
{
	buf_free(&r->message);
}

static enum ws_event wrong(struct ws_reader *r, uint16_t code, const char *why)
{
	r->code = code;
	r->why = why;
	return WS_WRONG;
}

static bool is_control(unsigned opcode)
{
	return opcode & 8;
}

/* The first two bytes say how many more there are. */
static enum ws_event look_at_start(struct ws_reader *r)
{
	unsigned length = r->head[1] & 0x7f;

	r->fin = r->head[0] & 0x80;
	r->opcode = r->head[0] & 0x0f;
	if (r->head[0] & 0x70)
		return wrong(r, 1002, "reserved bits are set");
	if (!(r->head[1] & 0x80))
		return wrong(r, 1002, "a client's frames are masked");
	if (r->opcode > OP_PONG || (r->opcode > OP_BINARY && r->opcode < OP_CLOSE))
		return wrong(r, 1002, "unknown opcode");
	if (is_control(r->opcode) && (!r->fin || length > WS_CONTROL_MAX))
		return wrong(r, 1002, "a control frame is short and whole");
	if (!is_control(r->opcode) && (r->opcode == OP_CONTINUE) != (r->message_opcode != 0))
		return wrong(r, 1002, "a frame that does not continue what was begun");
	r->want_head = (uint8_t)(2 + 4 + (length == 126 ? 2 : length == 127 ? 8 : 0));
	return WS_MORE;
}

/* The whole head is there. */
static enum ws_event look_at_head(struct ws_reader *r)
{
	unsigned length = r->head[1] & 0x7f, bytes = length == 126 ? 2 : length == 127 ? 8 : 0;

	r->left = bytes ? 0 : length;
	for (unsigned i = 0; i < bytes; i++)
		r->left = r->left << 8 | r->head[2 + i];
	if ((length == 126 && r->left < 126) || (length == 127 && (r->left <= 0xffff || r->left >> 63)))
		return wrong(r, 1002, "a length that is longer than it need be");
	if (!is_control(r->opcode) && r->left > WS_MESSAGE_MAX - r->message.len)
		return wrong(r, 1009, "the message is too long");
	if (!is_control(r->opcode) && r->opcode != OP_CONTINUE)
		r->message_opcode = r->opcode;
	r->at = 0;
	r->n_control = 0;
	r->in_payload = true;
	return WS_MORE;
}

static bool take_payload(struct ws_reader *r, const char *bytes, size_t n)
{
	const unsigned char *mask = r->head + r->want_head - 4;
	char *to;

	if (is_control(r->opcode)) {
		to = r->control + r->n_control;
		r->n_control += n;
	} else {
		if (!buf_reserve(&r->message, n))
			return false;
		to = r->message.data + r->message.len;
		r->message.len += n;
		r->message.data[r->message.len] = 0;
	}
	for (size_t i = 0; i < n; i++)
		to[i] = (char)((unsigned char)bytes[i] ^ mask[r->at++ & 3]);
	r->left -= n;
	return true;
}

bool ws_is_close_code(unsigned code)
{
	return (code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006) ||
	       (code >= 3000 && code <= 4999);
}

static enum ws_event end_close(struct ws_reader *r)
{
	const unsigned char *p = (const unsigned char *)r->control;

	if (r->n_control == 1 || (r->n_control >= 2 && !ws_is_close_code((unsigned)p[0] << 8 | p[1])))
		return wrong(r, 1002, "malformed close");
	if (r->n_control > 2 && !utf8_is_valid(r->control + 2, r->n_control - 2))
		return wrong(r, 1007, "the reason is no UTF-8");
	return WS_CLOSE;
}

static enum ws_event end_frame(struct ws_reader *r)
{
	bool text = r->message_opcode == OP_TEXT;

	r->in_payload = false;
	r->n_head = 0;
	r->want_head = 2;
	if (r->opcode == OP_CLOSE)
		return end_close(r);
	if (is_control(r->opcode))
		return r->opcode == OP_PING ? WS_PING : WS_PONG;
	if (!r->fin)
		return WS_MORE;
	r->message_opcode = 0;
	if (text && !utf8_is_valid(buf_text(&r->message), r->message.len))
		return wrong(r, 1007, "the text is no UTF-8");
	return text ? WS_TEXT : WS_BINARY;
}

static enum ws_event take_head_byte(struct ws_reader *r, char byte)
{
	enum ws_event e = WS_MORE;

	/* The last message was handed out; a control frame may stand between the parts of one. */
	if (!r->n_head && !r->message_opcode)
		buf_clear(&r->message);
	r->head[r->n_head++] = (unsigned char)byte;
	if (r->n_head == 2)
		e = look_at_start(r);
	else if (r->n_head == r->want_head)
		e = look_at_head(r);
	return e;
}

enum ws_event ws_read(struct ws_reader *r, const char *bytes, size_t n, size_t *ret_used)
{
	enum ws_event e;
	size_t at = 0;

	while (at < n || (r->in_payload && !r->left)) {
		if (r->in_payload) {
			size_t part = r->left < n - at ? (size_t)r->left : n - at;

			if (!take_payload(r, bytes + at, part))
				return wrong(r, 1011, "no memory");
			at += part;
			e = r->left ? WS_MORE : end_frame(r);
		} else {
			e = take_head_byte(r, bytes[at++]);
		}
		if (e != WS_MORE) {
			*ret_used = at;
			return e;
		}
	}
	*ret_used = at;
	return WS_MORE;
}

/* ---- handshake -------------------------------------------------------------------------------------------- */

/* 16 bytes in base64: 22 characters, then "==". */
static bool is_key(const char *key)
{
	if (strlen(key) != 24 || strcmp(key + 22, "==") != 0)
		return false;
	return strspn(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") == 22;
}

bool ws_accept(const char *key, char ret_accept[WS_ACCEPT_SIZE])
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	char text[64];

	if (!is_key(key))
		return false;
	(void)snprintf(text, sizeof(text), "%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
	if (!EVP_Digest(text, strlen(text), digest, &n, EVP_sha1(), NULL) || n != 20)
		return false;
	(void)EVP_EncodeBlock((unsigned char *)ret_accept, digest, 20);
	return true;
}
