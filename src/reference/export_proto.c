/* SPDX-License-Identifier: Apache-2.0 */
/*
 * export_proto - proto/shrike/v1/export.proto and alerts.proto, for clients that want to generate their code, and the
 * list of field numbers (src/api/proto_numbers.c), which only ever grows.
 */
#include "api/alerts_proto.h"
#include "api/export_proto.h"
#include "api/proto_event.h"
#include "base/err.h"
#include "reference/reference.h"

enum { WIDTH = 110 };

static void comment(struct buf *out, const char *prefix, const char *text)
{
	auto_buf struct buf sentence = { .max = 1 << 16 };

	reference_sentence(&sentence, text);
	reference_wrap(out, prefix, WIDTH, buf_text(&sentence));
}

/* What the values of a number mean, where it is no enum: flags, and enums whose values are too large for one. */
static void names_comment(struct buf *out, const struct field *row)
{
	auto_buf struct buf text = { .max = 1 << 16 };

	for (const struct field_name *n = row->names; n->name; n++)
		buf_printf(&text, "%s%#llx %s", n == row->names ? "" : ", ", (unsigned long long)n->value, n->name);
	comment(out, row->type == FT_FLAGS ? "  //   flags: " : "  //   ", buf_text(&text));
}

static void write_field(const struct proto_message *m, size_t i, const struct field *row, const char *indent,
			struct buf *out)
{
	const struct proto_field *f = &m->fields[i];
	auto_buf struct buf prefix = { .max = 256 };
	const char *type = f->type == PROTO_MESSAGE ? f->message->name
			   : f->type == PROTO_ENUM  ? f->values->name
						    : proto_type_name(f->type);

	buf_printf(&prefix, "%s// ", indent);
	comment(out, buf_text(&prefix), f->doc);
	if (row && row->names && f->type != PROTO_ENUM)
		names_comment(out, row);
	if (row && row->type == FT_TIME)
		buf_printf(out, "%s//   nanoseconds since 1970\n", indent);
	if (row && row->type == FT_ADDR)
		buf_printf(out, "%s//   4 bytes, or 16 of IPv6\n", indent);
	buf_printf(out, "%s%s%s %s = %u;\n", indent,
		   f->repeated   ? "repeated "
		   : f->optional ? "optional "
				 : "",
		   type, f->name, f->number);
}

static void write_enum(const struct proto_enum *e, struct buf *out)
{
	buf_printf(out, "  enum %s {\n", e->name);
	for (size_t i = 0; i < e->n_values; i++)
		buf_printf(out, "    %s = %d;\n", e->values[i].name, e->values[i].number);
	buf_str(out, "  }\n");
}

/* Numbers that were given once, and are of no field any more. */
static void write_reserved(const struct proto_message *m, __u16 kind, struct buf *out)
{
	for (size_t i = 0; i < proto_n_numbers; i++) {
		bool used = false;

		if (proto_numbers[i].kind != kind)
			continue;
		for (size_t k = 0; k < m->n_fields; k++)
			used |= m->fields[k].number == proto_numbers[i].number;
		if (!used)
			buf_printf(out, "  reserved %u; // %s %s\n", proto_numbers[i].number, proto_numbers[i].type,
				   proto_numbers[i].field);
	}
}

static void write_message(const struct proto_message *m, bool of_events, __u16 kind, struct buf *out)
{
	buf_char(out, '\n');
	comment(out, "// ", m->doc);
	buf_printf(out, "message %s {\n", m->name);
	if (of_events)
		write_reserved(m, kind, out);
	for (size_t i = 0; i < m->n_enums; i++)
		write_enum(m->enums[i], out);
	for (size_t i = 0; i < m->n_fields; i++)
		if (!m->fields[i].oneof)
			write_field(m, i, of_events ? proto_event_field(m, i) : NULL, "  ", out);
	if (m->oneof) {
		buf_printf(out, "  oneof %s {\n", m->oneof);
		for (size_t i = 0; i < m->n_fields; i++)
			if (m->fields[i].oneof)
				write_field(m, i, NULL, "    ", out);
		buf_str(out, "  }\n");
	}
	buf_str(out, "}\n");
}

static void write_service(const struct proto_service *s, struct buf *out)
{
	buf_char(out, '\n');
	comment(out, "// ", s->doc);
	buf_printf(out, "service %s {\n", s->name);
	for (size_t i = 0; i < s->n_methods; i++) {
		const struct proto_method *m = &s->methods[i];

		comment(out, "  // ", m->doc);
		buf_printf(out, "  rpc %s(%s%s) returns (%s%s);\n", m->name, m->in_stream ? "stream " : "", m->in->name,
			   m->out_stream ? "stream " : "", m->out->name);
	}
	buf_str(out, "}\n");
}

int reference_proto_write(const struct proto_file *file, struct buf *out)
{
	buf_str(out, "// SPDX-License-Identifier: Apache-2.0\n"
		     "//\n"
		     "// Written by `make reference` from the tables. Change those, not this.\n"
		     "syntax = \"proto3\";\n\n");
	buf_printf(out, "package %s;\n", file->package);
	if (file->service)
		write_service(file->service, out);
	for (size_t i = 0; i < file->n_messages; i++) {
		const struct proto_message *m = file->messages[i], *of;
		const struct event_kind *kind;
		bool found = m == &proto_raw_event;
		__u16 id = PROTO_HEAD;

		for (size_t k = 0; !found && (of = proto_event_kind(k, &kind)); k++)
			if (of == m) {
				found = true;
				id = kind->id;
			}
		write_message(m, found, id, out);
	}
	return 0;
}

int reference_export_proto(const char *root, struct buf *out)
{
	const struct proto_file *file = export_proto_file();

	(void)root;
	return file ? reference_proto_write(file, out) : err_wrap(proto_event_open(), "the messages of events");
}

int reference_alerts_proto(const char *root, struct buf *out)
{
	(void)root;
	return reference_proto_write(&alerts_proto_file, out);
}

/* ---- the list of numbers -------------------------------------------------------------------- */

static void write_number(__u16 kind, unsigned number, const char *field, const char *type, struct buf *out)
{
	buf_printf(out, "\t{ 0x%04x, %u, \"%s\", \"%s\" },\n", kind, number, field, type);
}

static bool is_listed(__u16 kind, unsigned number)
{
	for (size_t i = 0; i < proto_n_numbers; i++)
		if (proto_numbers[i].kind == kind && proto_numbers[i].number == number)
			return true;
	return false;
}

/* What the list has of a kind, and what it lacks; m NULL: the kind is no more. */
static void write_numbers(__u16 kind, const struct proto_message *m, struct buf *out)
{
	for (size_t i = 0; i < proto_n_numbers; i++)
		if (proto_numbers[i].kind == kind)
			write_number(kind, proto_numbers[i].number, proto_numbers[i].field, proto_numbers[i].type, out);
	for (size_t i = 0; m && i < m->n_fields; i++) {
		const struct field *row = proto_event_field(m, i);
		char type[32];

		if (!row || is_listed(kind, m->fields[i].number))
			continue;
		proto_event_type(row, type, sizeof(type));
		write_number(kind, m->fields[i].number, row->name, type, out);
	}
}

int reference_proto_numbers(const char *root, struct buf *out)
{
	const struct proto_message *m;
	const struct event_kind *kind;
	size_t k = 0;

	(void)root;
	if (!export_proto_file())
		return err_wrap(proto_event_open(), "the messages of events");
	buf_str(out,
		"/* SPDX-License-Identifier: Apache-2.0 */\n"
		"/* clang-format off */\n"
		"/*\n"
		" * proto_numbers - the field numbers of RawEvent (0x0000) and of each kind's message.\n"
		" *\n"
		" * Written by `make reference`, which appends what is new. A number is for good, so that a client of\n"
		" * any age reads what it knows: rows are never changed or removed, not even when a field is.\n"
		" */\n"
		"#include \"api/proto_event.h\"\n"
		"\n"
		"const struct proto_number proto_numbers[] = {\n");
	write_numbers(PROTO_HEAD, &proto_raw_event, out);
	/* Kinds in the order of their ids, those among them that are in the list alone. */
	for (unsigned id = RAW_KIND_FIRST; id <= UINT16_MAX; id++) {
		m = proto_event_kind(k, &kind);
		if (m && kind->id == id)
			k++;
		else
			m = NULL;
		write_numbers((__u16)id, m, out);
	}
	buf_str(out, "};\n"
		     "const size_t proto_n_numbers = sizeof(proto_numbers) / sizeof(proto_numbers[0]);\n");
	return 0;
}
