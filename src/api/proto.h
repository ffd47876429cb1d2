/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proto - messages described once, in tables: what protobuf, JSON, the .proto file and the
 * reflection service say of them all comes from here.
 *
 * A row says a field's name and number and where it lies in a C struct. A number is for good:
 * a row may be added, a row that is gone leaves its number unused. Reading is bounded in depth,
 * in items and, through the arena, in bytes; fields that nobody knows are passed over.
 *
 * Strings in C structs are NUL-terminated and never NULL after reading; lists are a pointer
 * and a count; a message within a message is a pointer, NULL when it is not there.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"
#include "event/value.h"

enum {
	PROTO_DEPTH_MAX = 8,
	PROTO_ITEMS_MAX = 1024, /* of a list that is read */
	PROTO_NUMBER_MAX = (1 << 29) - 1,
};

enum proto_type {
	PROTO_BOOL,    /* bool */
	PROTO_U32,     /* uint32_t */
	PROTO_U64,     /* uint64_t */
	PROTO_I32,     /* int32_t; ten bytes where it is negative */
	PROTO_I64,     /* int64_t */
	PROTO_S32,     /* int32_t, short where it is negative */
	PROTO_S64,     /* int64_t */
	PROTO_FIXED64, /* uint64_t */
	PROTO_STRING,  /* const char * */
	PROTO_BYTES,   /* struct str */
	PROTO_ENUM,    /* int32_t */
	PROTO_MESSAGE, /* struct * */
};

struct proto_enum_value {
	int32_t number;
	const char *name;
};

struct proto_enum {
	const char *name, *doc;
	const struct proto_enum_value *values; /* the first is 0 */
	size_t n_values;
};

struct proto_field {
	const char *name, *doc;
	uint32_t number;
	enum proto_type type;
	bool repeated; /* struct proto_list in C */
	bool optional; /* absent is another thing than zero; not for structs that are read */
	bool oneof;    /* a member of the one oneof of the message */
	size_t off;
	const struct proto_message *message;
	const struct proto_enum *values;
};

struct proto_message {
	const char *name, *doc;
	const char *oneof; /* name of the oneof, or NULL */
	const struct proto_field *fields;
	size_t n_fields;
	const struct proto_enum *const *enums; /* declared within */
	size_t n_enums;
	size_t size; /* of the C struct; 0: it has none */
};

/* Items: const char *, struct str, numbers of their type, or structs of the message's size. */
struct proto_list {
	const void *items;
	size_t n;
};

struct proto_method {
	const char *name, *doc;
	const struct proto_message *in, *out;
	bool in_stream, out_stream;
};

struct proto_service {
	const char *name, *doc;
	const struct proto_method *methods;
	size_t n_methods;
};

struct proto_file {
	const char *path, *package;
	const struct proto_message *const *messages;
	size_t n_messages;
	const struct proto_service *service; /* the one of the file */
};

/* PROTO(stream_request, sample, 4, PROTO_U32, "doc", .repeated = ...) */
#define PROTO(s, m, nr, t, d, ...)                                                                                     \
	{ .name = #m, .doc = (d), .number = (nr), .type = (t), .off = offsetof(struct s, m), ##__VA_ARGS__ }

/*
 * Reads a message into a zeroed struct of its table; what it points to lies in the arena.
 * -EINVAL with a trail that says which field and what is wrong with it; -E2BIG beyond a bound.
 */
int proto_read(const struct proto_message *m, const void *bytes, size_t n, struct arena *arena, void *ret_struct);
/*
 * The same from JSON as protobuf writes it: 64-bit numbers may be strings, enums are names or numbers. A name that
 * is no field is refused, because it would filter nothing. Texts, numbers, messages and lists of texts alone.
 */
int proto_read_json(const struct proto_message *m, const struct json_node *json, struct arena *arena, void *ret_struct);
/* Puts one value of text into the field of that name, as in "?pid=12&types=file.*"; lists grow by one. */
int proto_read_text(const struct proto_message *m, const char *name, const char *text, struct arena *arena,
		    void *io_struct);

/* Appends the message; zeros and empty strings are left out. out->failed: no room. */
void proto_write(const struct proto_message *m, const void *s, struct buf *out);
void proto_write_json(const struct proto_message *m, const void *s, struct buf *out);

/* The FileDescriptorProto of a file, as protoc makes it. */
void proto_descriptor(const struct proto_file *file, struct buf *out);
/* "lowerCamel" of "lower_camel": what JSON calls a field. */
void proto_json_name(const char *name, struct buf *out);
const char *proto_type_name(enum proto_type type);

/* ---- the wire -------------------------------------------------------------------------- */

enum proto_wire { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };
enum { PROTO_VARINT_MAX = 10 };

struct proto_reader {
	const unsigned char *p, *end;
};

struct proto_item {
	uint32_t number;
	enum proto_wire wire;
	uint64_t v;
	struct str bytes;
};

/* The next field: 1, 0 at the end, -EINVAL when it is none (groups are none). No trail. */
int proto_next(struct proto_reader *r, struct proto_item *ret_item);

static inline uint32_t proto_tag(uint32_t number, enum proto_wire wire)
{
	return number << 3 | (uint32_t)wire;
}

static inline uint64_t proto_zigzag(int64_t v)
{
	return (uint64_t)v << 1 ^ (uint64_t)(v >> 63);
}

/* Writes at most PROTO_VARINT_MAX bytes and returns where they end. */
static inline unsigned char *proto_put_varint(unsigned char *p, uint64_t v)
{
	while (v >= 0x80) {
		*p++ = (unsigned char)(v | 0x80);
		v >>= 7;
	}
	*p++ = (unsigned char)v;
	return p;
}

void proto_add_varint(struct buf *out, uint32_t number, uint64_t v);
void proto_add_fixed64(struct buf *out, uint32_t number, uint64_t v);
void proto_add_bytes(struct buf *out, uint32_t number, const void *p, size_t n);
void proto_add_str(struct buf *out, uint32_t number, const char *s);
/*
 * A message within a message: what is added between the two calls is its content. The place of
 * the length is kept in *io_at.
 */
void proto_begin(struct buf *out, uint32_t number, size_t *ret_at);
void proto_end(struct buf *out, size_t at);
