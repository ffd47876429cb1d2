/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proto_descriptor - a table of messages as a FileDescriptorProto: what reflection hands to
 * clients that have no .proto file. Byte for byte what protoc makes of the .proto file.
 */
#include "api/proto.h"

/* Field numbers of google/protobuf/descriptor.proto. */
enum {
	FILE_NAME = 1,
	FILE_PACKAGE = 2,
	FILE_MESSAGE = 4,
	FILE_SERVICE = 6,
	FILE_SYNTAX = 12,

	MESSAGE_NAME = 1,
	MESSAGE_FIELD = 2,
	MESSAGE_ENUM = 4,
	MESSAGE_ONEOF = 8,

	FIELD_NAME = 1,
	FIELD_NUMBER = 3,
	FIELD_LABEL = 4,
	FIELD_TYPE = 5,
	FIELD_TYPE_NAME = 6,
	FIELD_ONEOF_INDEX = 9,
	FIELD_JSON_NAME = 10,
	FIELD_PROTO3_OPTIONAL = 17,

	ENUM_NAME = 1,
	ENUM_VALUE = 2,
	VALUE_NAME = 1,
	VALUE_NUMBER = 2,

	SERVICE_NAME = 1,
	SERVICE_METHOD = 2,
	METHOD_NAME = 1,
	METHOD_IN = 2,
	METHOD_OUT = 3,
	METHOD_IN_STREAM = 5,
	METHOD_OUT_STREAM = 6,

	LABEL_OPTIONAL = 1,
	LABEL_REPEATED = 3,
};

static unsigned type_number(enum proto_type type)
{
	switch (type) {
	case PROTO_BOOL:
		return 8;
	case PROTO_U32:
		return 13;
	case PROTO_U64:
		return 4;
	case PROTO_I32:
		return 5;
	case PROTO_I64:
		return 3;
	case PROTO_S32:
		return 17;
	case PROTO_S64:
		return 18;
	case PROTO_FIXED64:
		return 6;
	case PROTO_STRING:
		return 9;
	case PROTO_BYTES:
		return 12;
	case PROTO_ENUM:
		return 14;
	case PROTO_MESSAGE:
		return 11;
	}
	return 0;
}

static void add_type_name(struct buf *out, uint32_t number, const char *package, const char *within, const char *name)
{
	auto_buf struct buf text = { .max = 1024 };

	buf_printf(&text, ".%s.%s%s%s", package, within ? within : "", within ? "." : "", name);
	proto_add_bytes(out, number, buf_text(&text), text.len);
}

/* `presence` counts the oneofs that stand for "optional", behind the real one. */
static void add_field(const char *package, const struct proto_message *m, const struct proto_field *f,
		      unsigned *presence, struct buf *out)
{
	auto_buf struct buf json = { .max = 1024 };
	size_t at;

	proto_begin(out, MESSAGE_FIELD, &at);
	proto_add_str(out, FIELD_NAME, f->name);
	proto_add_varint(out, FIELD_NUMBER, f->number);
	proto_add_varint(out, FIELD_LABEL, f->repeated ? LABEL_REPEATED : LABEL_OPTIONAL);
	proto_add_varint(out, FIELD_TYPE, type_number(f->type));
	if (f->type == PROTO_MESSAGE)
		add_type_name(out, FIELD_TYPE_NAME, package, NULL, f->message->name);
	if (f->type == PROTO_ENUM)
		add_type_name(out, FIELD_TYPE_NAME, package, m->name, f->values->name);
	if (f->oneof)
		proto_add_varint(out, FIELD_ONEOF_INDEX, 0);
	if (f->optional)
		proto_add_varint(out, FIELD_ONEOF_INDEX, (*presence)++);
	proto_json_name(f->name, &json);
	proto_add_bytes(out, FIELD_JSON_NAME, buf_text(&json), json.len);
	if (f->optional)
		proto_add_varint(out, FIELD_PROTO3_OPTIONAL, 1);
	proto_end(out, at);
}

static void add_enum(const struct proto_enum *e, struct buf *out)
{
	size_t at, value_at;

	proto_begin(out, MESSAGE_ENUM, &at);
	proto_add_str(out, ENUM_NAME, e->name);
	for (size_t i = 0; i < e->n_values; i++) {
		proto_begin(out, ENUM_VALUE, &value_at);
		proto_add_str(out, VALUE_NAME, e->values[i].name);
		proto_add_varint(out, VALUE_NUMBER, (uint64_t)(int64_t)e->values[i].number);
		proto_end(out, value_at);
	}
	proto_end(out, at);
}

static void add_oneof(const char *name, const char *before, struct buf *out)
{
	auto_buf struct buf text = { .max = 1024 };
	size_t at;

	buf_printf(&text, "%s%s", before, name);
	proto_begin(out, MESSAGE_ONEOF, &at);
	proto_add_bytes(out, 1, buf_text(&text), text.len);
	proto_end(out, at);
}

static void add_message(const char *package, const struct proto_message *m, struct buf *out)
{
	unsigned presence = m->oneof != NULL;
	size_t at;

	proto_begin(out, FILE_MESSAGE, &at);
	proto_add_str(out, MESSAGE_NAME, m->name);
	for (size_t i = 0; i < m->n_fields; i++)
		add_field(package, m, &m->fields[i], &presence, out);
	for (size_t i = 0; i < m->n_enums; i++)
		add_enum(m->enums[i], out);
	if (m->oneof)
		add_oneof(m->oneof, "", out);
	for (size_t i = 0; i < m->n_fields; i++)
		if (m->fields[i].optional)
			add_oneof(m->fields[i].name, "_", out);
	proto_end(out, at);
}

static void add_method(const char *package, const struct proto_method *m, struct buf *out)
{
	size_t at;

	proto_begin(out, SERVICE_METHOD, &at);
	proto_add_str(out, METHOD_NAME, m->name);
	add_type_name(out, METHOD_IN, package, NULL, m->in->name);
	add_type_name(out, METHOD_OUT, package, NULL, m->out->name);
	if (m->in_stream)
		proto_add_varint(out, METHOD_IN_STREAM, 1);
	if (m->out_stream)
		proto_add_varint(out, METHOD_OUT_STREAM, 1);
	proto_end(out, at);
}

void proto_descriptor(const struct proto_file *file, struct buf *out)
{
	size_t at;

	proto_add_str(out, FILE_NAME, file->path);
	proto_add_str(out, FILE_PACKAGE, file->package);
	for (size_t i = 0; i < file->n_messages; i++)
		add_message(file->package, file->messages[i], out);
	if (file->service) {
		proto_begin(out, FILE_SERVICE, &at);
		proto_add_str(out, SERVICE_NAME, file->service->name);
		for (size_t i = 0; i < file->service->n_methods; i++)
			add_method(file->package, &file->service->methods[i], out);
		proto_end(out, at);
	}
	proto_add_str(out, FILE_SYNTAX, "proto3");
}
