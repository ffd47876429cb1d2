/* SPDX-License-Identifier: Apache-2.0 */
/*
 * emit - the binary format of Wasm, as far as modules are made here.
 *
 * All of it goes into one buffer, which is born with its limit: whoever writes asks buf.failed once at the end. What
 * is preceded by its size is opened and closed; the size is written in five bytes, which the format allows.
 */
#pragma once
#include <stdint.h>
#include "base/buf.h"

enum emit_section {
	EMIT_TYPES = 1,
	EMIT_IMPORTS = 2,
	EMIT_FUNCTIONS = 3,
	EMIT_TABLES = 4,
	EMIT_MEMORIES = 5,
	EMIT_EXPORTS = 7,
	EMIT_ELEMENTS = 9,
	EMIT_CODE = 10,
};
enum emit_kind { EMIT_FUNCTION = 0, EMIT_TABLE = 1, EMIT_MEMORY = 2 };
enum emit_type { EMIT_I32 = 0x7f, EMIT_I64 = 0x7e, EMIT_FUNCREF = 0x70, EMIT_NOTHING = 0x40, EMIT_FUNC = 0x60 };

enum emit_op {
	OP_UNREACHABLE = 0x00,
	OP_BLOCK = 0x02,
	OP_LOOP = 0x03,
	OP_IF = 0x04,
	OP_ELSE = 0x05,
	OP_END = 0x0b,
	OP_BR = 0x0c,
	OP_BR_IF = 0x0d,
	OP_BR_TABLE = 0x0e,
	OP_RETURN = 0x0f,
	OP_CALL = 0x10,
	OP_CALL_INDIRECT = 0x11,
	OP_DROP = 0x1a,
	OP_SELECT = 0x1b,
	OP_LOCAL_GET = 0x20,
	OP_LOCAL_SET = 0x21,
	OP_LOCAL_TEE = 0x22,
	OP_I32_LOAD = 0x28,
	OP_I64_LOAD = 0x29,
	OP_I32_STORE = 0x36,
	OP_I32_CONST = 0x41,
	OP_I64_CONST = 0x42,
	OP_I32_EQZ = 0x45,
	OP_I32_EQ = 0x46,
	OP_I32_NE = 0x47,
	OP_I32_LT_U = 0x49,
	OP_I64_EQZ = 0x50,
	OP_I64_EQ = 0x51,
	OP_I64_NE = 0x52,
	OP_I64_LT_S = 0x53,
	OP_I64_GT_S = 0x55,
	OP_I64_LE_S = 0x57,
	OP_I64_GE_S = 0x59,
	OP_I32_ADD = 0x6a,
	OP_I32_SUB = 0x6b,
	OP_I32_AND = 0x71,
	OP_I32_OR = 0x72,
	OP_I32_XOR = 0x73,
	OP_I32_SHL = 0x74,
	OP_I32_SHR_U = 0x76,
	OP_I64_AND = 0x83,
	OP_I64_OR = 0x84,
	OP_I64_XOR = 0x85,
	OP_I64_SHL = 0x86,
	OP_I64_SHR_U = 0x88,
	OP_I32_WRAP_I64 = 0xa7,
	OP_I64_EXTEND_I32_U = 0xad,
};

/* LEB128 */
void emit_unsigned(struct buf *b, uint64_t v);
void emit_signed(struct buf *b, int64_t v);

/* The first eight bytes of a module. */
void emit_head(struct buf *b);
/* What is preceded by its size: from here on, up to emit_close(). */
size_t emit_open(struct buf *b);
void emit_close(struct buf *b, size_t opened);
size_t emit_section(struct buf *b, enum emit_section s);
void emit_name(struct buf *b, const char *name);
/* A type of functions, of letters: 'i' i32, 'l' i64. */
void emit_signature(struct buf *b, const char *params, const char *results);

static inline void emit_byte(struct buf *b, unsigned v)
{
	buf_char(b, (char)v);
}

static inline void emit_op(struct buf *b, enum emit_op op)
{
	emit_byte(b, op);
}

/* With an index, a depth of jumps, or a type of blocks. */
static inline void emit_op_of(struct buf *b, enum emit_op op, uint32_t of)
{
	emit_byte(b, op);
	emit_unsigned(b, of);
}

static inline void emit_i32(struct buf *b, int32_t v)
{
	emit_byte(b, OP_I32_CONST);
	emit_signed(b, v);
}

static inline void emit_i64(struct buf *b, int64_t v)
{
	emit_byte(b, OP_I64_CONST);
	emit_signed(b, v);
}

/* Of the address on top of the stack; it is aligned to what is loaded. */
static inline void emit_memory(struct buf *b, enum emit_op op)
{
	emit_byte(b, op);
	emit_unsigned(b, op == OP_I64_LOAD ? 3 : 2);
	emit_unsigned(b, 0);
}

static inline void emit_load(struct buf *b, enum emit_op op, uint32_t at)
{
	emit_i32(b, (int32_t)at);
	emit_memory(b, op);
}
