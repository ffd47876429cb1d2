/* SPDX-License-Identifier: Apache-2.0 */
/* events_md - docs/reference/events.md: every kind of event and every field. */
#include <inttypes.h>
#include "base/err.h"
#include "context/context.h"
#include "reference/reference.h"
#include "sensors/sensor.h"

static const char head[] =
	"# Events\n"
	"\n"
	"<!-- Written by `make reference` from the tables. Change those, not this. -->\n"
	"\n"
	"Every event is one record that the kernel wrote, read through the names below; rules, filters, JSON and\n"
	"recordings all use them. Names follow the Elastic Common Schema where it has one. In JSON a dotted name is\n"
	"a member of nested objects. A field whose value is not known is left out; fields marked *may be absent* are\n"
	"also left out where they are zero or empty.\n"
	"\n"
	"The class says which ring a record takes, and which loss counter it belongs to: `critical` records are never\n"
	"budgeted, `normal` and `bulk` ones are, each for itself (`budgets` in the configuration).\n";

static const char *const class_names[] = {
	[EV_CRITICAL] = "critical",
	[EV_NORMAL] = "normal",
	[EV_BULK] = "bulk",
	[EV_PACKET] = "packet",
};

static const char *type_name(const struct field *f)
{
	switch (f->type) {
	case FT_BOOL:
		return "true or false";
	case FT_U8:
	case FT_U16:
	case FT_U32:
	case FT_U64:
		return "number";
	case FT_I32:
	case FT_I64:
		return "signed number";
	case FT_HEX:
		return "number in hex: `\"0x1f\"`";
	case FT_OCTAL:
		return "number in octal: `\"0755\"`";
	case FT_TIME:
		return "time";
	case FT_DURATION:
		return "duration in ns";
	case FT_ENUM:
		return "one of these";
	case FT_FLAGS:
		return "list of these";
	case FT_CHARS:
	case FT_STR:
		return "text";
	case FT_STRS:
		return "list of texts";
	case FT_BYTES:
		return "bytes in hex";
	case FT_STACK:
		return "list of addresses";
	case FT_ADDR:
		return "IP address";
	case FT_ERRNO:
		return "error: its name and number";
	default:
		return "text";
	}
}

static void write_field(const struct field *f, struct buf *out)
{
	buf_printf(out, "| `%s` | %s | ", f->name, type_name(f));
	reference_md(out, f->doc);
	if (f->zero_is_absent)
		buf_str(out, "; may be absent");
	if (f->names) {
		buf_str(out, ": ");
		for (const struct field_name *n = f->names; n->name; n++)
			buf_printf(out, "%s`%s`", n == f->names ? "" : ", ", n->name);
	}
	buf_str(out, " |\n");
}

static void write_fields(const struct field *fields, size_t n, struct buf *out)
{
	buf_str(out, "\n| field | type | meaning |\n|---|---|---|\n");
	for (size_t i = 0; i < n; i++)
		write_field(&fields[i], out);
}

static void write_kind(const struct event_kind *k, struct buf *out)
{
	auto_buf struct buf text = { .max = 1 << 16 };

	buf_printf(out, "\n### `%s`\n\n", k->name);
	reference_sentence(&text, k->summary);
	reference_md(out, buf_text(&text));
	buf_printf(out, "\n\nId `0x%04x`, class %s, `event.category` %s, `event.type` %s, `event.action` %s.\n", k->id,
		   class_names[k->class], k->category, k->type, k->action);
	if (k->n_fields)
		write_fields(k->fields, k->n_fields, out);
}

static const char *value_name(enum value_type type)
{
	switch (type) {
	case VALUE_BOOL:
		return "true or false";
	case VALUE_INT:
	case VALUE_UINT:
	case VALUE_FLOAT:
		return "number";
	case VALUE_IP:
		return "IP address";
	case VALUE_LIST:
		return "list of texts";
	default:
		return "text";
	}
}

static void write_context(struct buf *out)
{
	buf_str(out, "\n## Fields that the agent adds\n\n"
		     "What the agent knows about the process that acted, from records before this one. A field of the "
		     "record\n"
		     "itself goes before one of these of the same name.\n"
		     "\n| field | type | meaning |\n|---|---|---|\n");
	for (size_t i = 0; i < context_n_fields; i++) {
		buf_printf(out, "| `%s` | %s | ", context_fields[i].name, value_name(context_fields[i].type));
		reference_md(out, context_fields[i].doc);
		buf_str(out, " |\n");
	}
}

static void write_context_kinds(struct buf *out)
{
	buf_str(out,
		"\n## The agent's own\n\n"
		"What the agent found out by looking, as records of their own: processes that were there before it,\n"
		"paths of cgroups, names of users; and packets of a capture that is replayed.\n");
	for (size_t i = 0; i < context_n_kinds; i++)
		write_kind(&context_kinds[i], out);
}

static void write_sensor(const struct sensor *s, struct buf *out)
{
	auto_buf struct buf text = { .max = 1 << 16 };

	buf_printf(out, "\n## Sensor %s\n\n", s->name);
	reference_sentence(&text, s->summary);
	reference_md(out, buf_text(&text));
	buf_printf(out, " [Options](config.md#sensors%s), [hooks](hooks.md#%s).\n", s->name, s->name);
	for (size_t i = 0; i < s->n_kinds; i++)
		write_kind(&s->kinds[i], out);
}

static void write_link(const struct event_kind *k, struct buf *out)
{
	buf_printf(out, "| [`%s`](#", k->name);
	/* The anchor that a heading of this name gets: its dots go. */
	for (const char *p = k->name; *p; p++)
		if (*p != '.')
			buf_char(out, *p);
	buf_printf(out, ") | %s | ", class_names[k->class]);
	reference_md(out, k->summary);
	buf_str(out, " |\n");
}

static void write_links(struct buf *out)
{
	buf_str(out, "\n| event | class | meaning |\n|---|---|---|\n");
	for (const struct sensor *const *s = sensor_table; *s; s++)
		for (size_t i = 0; i < (*s)->n_kinds; i++)
			write_link(&(*s)->kinds[i], out);
	for (size_t i = 0; i < context_n_kinds; i++)
		write_link(&context_kinds[i], out);
}

int reference_events_md(const char *root, struct buf *out)
{
	(void)root;
	buf_str(out, head);
	write_links(out);
	buf_str(out,
		"\n## Fields of every event\n\n"
		"Who acted, where and when. Beside these, every event has `event.kind` (`event`), `event.module` (the\n"
		"sensor), `event.dataset` (the name below), `event.category`, `event.type` and `event.action`.\n");
	write_fields(event_head_fields, event_head_n_fields, out);
	write_context(out);
	for (const struct sensor *const *s = sensor_table; *s; s++)
		write_sensor(*s, out);
	write_context_kinds(out);
	return 0;
}
