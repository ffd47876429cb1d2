/* SPDX-License-Identifier: Apache-2.0 */
#include "predicate/wasm/emit.h"

enum { SIZE_BYTES = 5 };

void emit_unsigned(struct buf *b, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		emit_byte(b, (unsigned)(v & 0x7f) | 0x80);
	emit_byte(b, (unsigned)v);
}

void emit_signed(struct buf *b, int64_t v)
{
	/* The last byte's bit 6 is the sign. */
	for (; v < -0x40 || v >= 0x40; v >>= 7)
		emit_byte(b, (unsigned)(v & 0x7f) | 0x80);
	emit_byte(b, (unsigned)(v & 0x7f));
}

void emit_head(struct buf *b)
{
	buf_add(b, "\0asm\1\0\0\0", 8);
}

size_t emit_open(struct buf *b)
{
	size_t at = b->len;

	buf_add(b, "\0\0\0\0\0", SIZE_BYTES);
	return at;
}

void emit_close(struct buf *b, size_t opened)
{
	size_t n;

	if (b->failed)
		return;
	n = b->len - opened - SIZE_BYTES;
	for (size_t i = 0; i < SIZE_BYTES; i++, n >>= 7)
		b->data[opened + i] = (char)((n & 0x7f) | (i + 1 < SIZE_BYTES ? 0x80 : 0));
}

size_t emit_section(struct buf *b, enum emit_section s)
{
	emit_byte(b, s);
	return emit_open(b);
}

void emit_name(struct buf *b, const char *name)
{
	emit_unsigned(b, strlen(name));
	buf_str(b, name);
}

static void emit_types(struct buf *b, const char *letters)
{
	emit_unsigned(b, strlen(letters));
	for (; *letters; letters++)
		emit_byte(b, *letters == 'l' ? EMIT_I64 : EMIT_I32);
}

void emit_signature(struct buf *b, const char *params, const char *results)
{
	emit_byte(b, EMIT_FUNC);
	emit_types(b, params);
	emit_types(b, results);
}
