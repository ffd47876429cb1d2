/* SPDX-License-Identifier: Apache-2.0 */
#include "api/proto_event.h"
#include <ctype.h>
#include <pthread.h>
#include <stdlib.h>
#include "base/err.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "context/context.h"
#include "sensors/sensor.h"

enum {
	KINDS_MAX = 1024,
	FIELDS_MAX = 192, /* of a kind */
	NAME_MAX_BYTES = 128,
	SLACK = 32, /* a step may write so many bytes more than it keeps */
	EXACT_MAX = FIELDS_MAX,
	MEMORY_MAX = 16 << 20,
};

/* ---- the plan -------------------------------------------------------------------------- */

/* In the order in which they are written: what is alike stands together, so that no step has to ask what it is. */
enum step_op {
	STEP_U8,
	STEP_U16,
	STEP_U32,
	STEP_TIME,
	STEP_U64,
	STEP_SIGNED,
	STEP_CHARS,
	STEP_ADDR,
	STEP_STRING,
	STEP_GROUPS,
};

/* How one field is written. */
struct step {
	__u32 tag; /* as its bytes stand on the wire */
	__u16 off, size;
	__u8 op, tag_len, type;
	bool always; /* an empty one is there, too */
	const struct field *field;
};

struct plan {
	__u16 id;
	__u16 ends[STEP_GROUPS]; /* of the steps of each op */
	__u8 tag_len;
	__u32 tag;    /* of the kind in RawEvent */
	size_t fixed; /* of the record, and what its fields need at most without strings */
	size_t most;
	struct step *steps;
	struct proto_message message;
	const struct event_kind *kind;
	const struct field **rows; /* of the fields of the message */
};

size_t proto_event_most;

static struct {
	pthread_once_t once;
	int error;
	char trail[512];
	struct arena arena;
	struct plan head;
	struct plan *plans[KINDS_MAX]; /* in the order of ids */
	size_t n_plans;
	struct plan *by_id[256][EV_KIND_MAX];
	const struct field **raw_rows;
} events = { .once = PTHREAD_ONCE_INIT, .arena = { .max = MEMORY_MAX } };

/* ---- names and numbers ------------------------------------------------------------------- */

/* "process.exec.filename" becomes "process_exec_filename"; "@timestamp", "timestamp". */
static const char *snake(const char *name)
{
	char text[NAME_MAX_BYTES];
	size_t n = 0;

	for (; *name && n < sizeof(text); name++)
		if (isalnum((unsigned char)*name) || *name == '_')
			text[n++] = (char)tolower((unsigned char)*name);
		else if (n)
			text[n++] = '_';
	return arena_str(&events.arena, text, n);
}

/* "process.exec-failed" becomes "ProcessExecFailed". */
static const char *camel(const char *name)
{
	char text[NAME_MAX_BYTES];
	size_t n = 0;
	bool up = true;

	for (; *name && n < sizeof(text); name++) {
		if (!isalnum((unsigned char)*name)) {
			up = true;
			continue;
		}
		text[n++] = (char)(up ? toupper((unsigned char)*name) : *name);
		up = false;
	}
	return arena_str(&events.arena, text, n);
}

/* "PROCESS_OUTCOME" and "half-open": "PROCESS_OUTCOME_HALF_OPEN". */
static const char *value_name(const char *field, const char *name)
{
	char text[2 * NAME_MAX_BYTES];
	size_t n = 0;

	for (; *field && n < NAME_MAX_BYTES; field++)
		text[n++] = (char)toupper((unsigned char)*field);
	text[n++] = '_';
	for (; *name && n < sizeof(text); name++)
		text[n++] = isalnum((unsigned char)*name) ? (char)toupper((unsigned char)*name) : '_';
	return arena_str(&events.arena, text, n);
}

/* The highest number that was ever given in a message. */
static unsigned last_number(__u16 kind)
{
	unsigned last = kind == PROTO_HEAD ? RAW_HEAD_FIRST - 1 : 0;

	for (size_t i = 0; i < proto_n_numbers; i++)
		if (proto_numbers[i].kind == kind && proto_numbers[i].number > last)
			last = proto_numbers[i].number;
	return last;
}

static unsigned known_number(__u16 kind, const char *field, const char *type)
{
	for (size_t i = 0; i < proto_n_numbers; i++)
		if (proto_numbers[i].kind == kind && !strcmp(proto_numbers[i].field, field) &&
		    !strcmp(proto_numbers[i].type, type))
			return proto_numbers[i].number;
	return 0;
}

/* ---- from the tables ------------------------------------------------------------------------ */

static enum proto_type number_type(const struct field *f)
{
	return f->size == 8 ? PROTO_U64 : PROTO_U32;
}

static bool has_enum(const struct field *f)
{
	for (const struct field_name *n = f->names; n->name; n++)
		if (n->value > INT32_MAX)
			return false;
	return true;
}

static enum proto_type type_of(const struct field *f)
{
	switch (f->type) {
	case FT_BOOL:
		return PROTO_BOOL;
	case FT_ERRNO:
		return PROTO_I32;
	case FT_I32:
		return PROTO_S32;
	case FT_I64:
		return PROTO_S64;
	case FT_TIME:
		return PROTO_FIXED64;
	case FT_ENUM:
		return has_enum(f) ? PROTO_ENUM : number_type(f);
	case FT_CHARS:
	case FT_STR:
	case FT_STRS:
		return PROTO_STRING;
	case FT_BYTES:
	case FT_ADDR:
		return PROTO_BYTES;
	case FT_STACK:
		return PROTO_FIXED64;
	default:
		return number_type(f);
	}
}

void proto_event_type(const struct field *f, char *to, size_t size)
{
	bool repeated = f->type == FT_STRS || f->type == FT_STACK;

	(void)snprintf(to, size, "%s%s", repeated ? "repeated " : "", proto_type_name(type_of(f)));
}

static enum step_op op_of(const struct field *f)
{
	switch (f->type) {
	case FT_ERRNO:
	case FT_I32:
	case FT_I64:
		return STEP_SIGNED;
	case FT_TIME:
		return STEP_TIME;
	case FT_CHARS:
		return STEP_CHARS;
	case FT_STR:
	case FT_STRS:
	case FT_BYTES:
	case FT_STACK:
		return STEP_STRING;
	case FT_ADDR:
		return STEP_ADDR;
	default:
		return f->size == 1 ? STEP_U8 : f->size == 2 ? STEP_U16 : f->size == 4 ? STEP_U32 : STEP_U64;
	}
}

static __u32 tag_bytes(unsigned number, enum proto_type type, bool repeated, __u8 *ret_len)
{
	unsigned char bytes[PROTO_VARINT_MAX] = { 0 };
	enum proto_wire wire = type == PROTO_STRING || type == PROTO_BYTES || type == PROTO_MESSAGE || repeated
				       ? WIRE_BYTES
			       : type == PROTO_FIXED64 ? WIRE_FIXED64
						       : WIRE_VARINT;
	__u32 tag;

	*ret_len = (__u8)(proto_put_varint(bytes, proto_tag(number, wire)) - bytes);
	memcpy(&tag, bytes, sizeof(tag));
	return tag;
}

static const struct proto_enum *make_enum(const struct field *f, const char *snake_name)
{
	struct proto_enum *e = arena_new(&events.arena, struct proto_enum);
	struct proto_enum_value *values;
	size_t n = 1;

	for (const struct field_name *name = f->names; name->name; name++)
		n++;
	values = arena_zeroed(&events.arena, n, sizeof(*values));
	if (!e || !values)
		return NULL;
	n = 1;
	for (const struct field_name *name = f->names; name->name; name++)
		if (name->value)
			values[n++] =
				(struct proto_enum_value) { (int32_t)name->value, value_name(snake_name, name->name) };
		else
			values[0].name = value_name(snake_name, name->name);
	if (!values[0].name)
		values[0].name = value_name(snake_name, "unspecified");
	*e = (struct proto_enum) { .name = camel(f->name), .doc = f->doc, .values = values, .n_values = n };
	return e;
}

static int make_field(const struct field *f, unsigned number, struct proto_field *to, struct step *step)
{
	*to = (struct proto_field) {
		.name = snake(f->name),
		.doc = f->doc,
		.number = number,
		.type = type_of(f),
		.repeated = f->type == FT_STRS || f->type == FT_STACK,
		/* A string that is not there is another thing than an empty one; a number always is there. */
		.optional = (f->type == FT_STR || f->type == FT_BYTES) && !f->zero_is_absent,
	};
	*step = (struct step) { .op = (__u8)op_of(f),
				.type = (__u8)f->type,
				.always = to->optional || (f->type == FT_TIME && !f->zero_is_absent),
				.off = f->off,
				.size = f->size,
				.field = f };
	step->tag = tag_bytes(number, to->type, to->repeated, &step->tag_len);
	if (to->type == PROTO_ENUM && !(to->values = make_enum(f, to->name)))
		return err_new(-ENOMEM, "no memory");
	return to->name ? 0 : err_new(-ENOMEM, "no memory");
}

/* The most bytes of a field but for what its string makes of its own. */
static size_t most_of(const struct field *f)
{
	return f->type == FT_CHARS ? 16 + 4 * (size_t)f->size + strlen(f->name) : 40 + strlen(f->name);
}

/* A field and the row that it is of. */
struct made {
	struct proto_field field;
	const struct field *row;
};

static int by_op(const void *a, const void *b)
{
	const struct step *x = a, *y = b;

	return x->op != y->op ? x->op - y->op : x->off - y->off;
}

static void group_steps(struct plan *plan, size_t n)
{
	qsort(plan->steps, n, sizeof(*plan->steps), by_op);
	for (size_t i = 0; i < n; i++)
		for (size_t op = plan->steps[i].op; op < STEP_GROUPS; op++)
			plan->ends[op] = (__u16)(i + 1);
}

static int by_number(const void *a, const void *b)
{
	const struct made *x = a, *y = b;

	return (int)x->field.number - (int)y->field.number;
}

/* Fields come in the order of their numbers, as people read a .proto file. */
static int make_plan(__u16 kind, const struct field *table, size_t n, struct plan *plan, struct proto_field *fields,
		     const struct field **rows)
{
	auto_free struct made *made = calloc(n ? n : 1, sizeof(*made));
	unsigned next = last_number(kind) + 1;

	plan->steps = arena_zeroed(&events.arena, n ? n : 1, sizeof(*plan->steps));
	if (!plan->steps || !made)
		return err_new(-ENOMEM, "no memory");
	for (size_t i = 0; i < n; i++) {
		unsigned number;
		char type[32];
		int r;

		proto_event_type(&table[i], type, sizeof(type));
		number = known_number(kind, table[i].name, type);
		r = make_field(&table[i], number ? number : next++, &made[i].field, &plan->steps[i]);
		if (r < 0)
			return r;
		made[i].row = &table[i];
		plan->most += most_of(&table[i]);
	}
	group_steps(plan, n);
	qsort(made, n, sizeof(*made), by_number);
	for (size_t i = 0; i < n; i++) {
		fields[i] = made[i].field;
		rows[i] = made[i].row;
	}
	return 0;
}

static int collect_enums(struct proto_message *m)
{
	const struct proto_enum **enums = arena_zeroed(&events.arena, m->n_fields + 1, sizeof(*enums));

	if (!enums)
		return err_new(-ENOMEM, "no memory");
	for (size_t i = 0; i < m->n_fields; i++)
		if (m->fields[i].values)
			enums[m->n_enums++] = m->fields[i].values;
	m->enums = enums;
	return 0;
}

static int add_kind(const struct event_kind *kind)
{
	struct plan *plan = arena_new(&events.arena, struct plan);
	struct proto_field *fields = arena_zeroed(&events.arena, kind->n_fields + 1, sizeof(*fields));
	const struct field **rows = arena_zeroed(&events.arena, kind->n_fields + 1, sizeof(*rows));
	int r;

	if (!plan || !fields || !rows || events.n_plans == KINDS_MAX)
		return err_new(-ENOMEM, "no memory");
	/* Protobuf keeps these to itself: such a sensor byte is not to be used. */
	if (kind->id < RAW_KIND_FIRST || (kind->id >= 19000 && kind->id <= 19999))
		return err_new(-EINVAL, "record id %#x can be no field number", kind->id);
	plan->id = kind->id;
	plan->kind = kind;
	plan->fixed = kind->size;
	plan->tag = tag_bytes(kind->id, PROTO_MESSAGE, false, &plan->tag_len);
	r = make_plan(kind->id, kind->fields, kind->n_fields, plan, fields, rows);
	if (r < 0)
		return r;
	plan->rows = rows;
	plan->message = (struct proto_message) {
		.name = camel(kind->name), .doc = kind->summary, .fields = fields, .n_fields = kind->n_fields
	};
	r = collect_enums(&plan->message);
	if (r < 0)
		return r;
	events.by_id[EV_ID_SENSOR(kind->id)][EV_ID_NUMBER(kind->id)] = plan;
	events.plans[events.n_plans++] = plan;
	return 0;
}

/* ---- RawEvent --------------------------------------------------------------------------------- */

static const struct proto_field exact_fields[] = {
	{ .name = "field",
	  .doc = "name of the field, as in docs/reference/events.md",
	  .number = 1,
	  .type = PROTO_STRING },
	{ .name = "value",
	  .doc = "its bytes; the items of a list each with a NUL, but for the last",
	  .number = 2,
	  .type = PROTO_BYTES },
};

const struct proto_message proto_exact_bytes = {
	.name = "ExactBytes",
	.doc = "Text that is not UTF-8. The field itself has U+FFFD where the bytes were none.",
	.fields = exact_fields,
	.n_fields = countof(exact_fields),
};

static const struct proto_field raw_first[] = {
	{ .name = "cursor",
	  .doc = "where this event stands: a request that begins at this cursor goes on behind it",
	  .number = RAW_CURSOR,
	  .type = PROTO_U64 },
	{ .name = "lost",
	  .doc = "events that this stream lost between the one before and this one, because its reader was too slow "
		 "or asked for more a second than it may have; an event with nothing but this and a cursor only tells",
	  .number = RAW_LOST,
	  .type = PROTO_U64 },
};

static const struct proto_field raw_last[] = {
	{ .name = "sampled",
	  .doc = "this event stands for so many: the stream was asked for one of them",
	  .number = RAW_SAMPLED,
	  .type = PROTO_U32 },
	{ .name = "record",
	  .doc = "the record as the kernel side wrote it, where that was asked for",
	  .number = RAW_RECORD,
	  .type = PROTO_BYTES },
	{ .name = "exact",
	  .doc = "text fields that are not UTF-8, byte for byte",
	  .number = RAW_EXACT,
	  .type = PROTO_MESSAGE,
	  .repeated = true,
	  .message = &proto_exact_bytes },
};

struct proto_message proto_raw_event = {
	.name = "RawEvent",
	.doc = "One record of the kernel side: who, where and when, and what. Times are nanoseconds since 1970; a "
	       "number "
	       "that is zero and a text that is empty may stand for \"not known\".",
	.oneof = "event",
};

static int check_names(const struct proto_message *m)
{
	for (size_t i = 0; i < m->n_fields; i++)
		for (size_t k = i + 1; k < m->n_fields; k++)
			if (!strcmp(m->fields[i].name, m->fields[k].name) || m->fields[i].number == m->fields[k].number)
				return err_new(-EEXIST, "%s: fields %s and %s have one name or number", m->name,
					       m->fields[i].name, m->fields[k].name);
	return 0;
}

static int by_id(const void *a, const void *b)
{
	const struct plan *x = *(const struct plan *const *)a, *y = *(const struct plan *const *)b;

	return x->id - y->id;
}

static int make_raw_event(void)
{
	size_t n = countof(raw_first) + event_head_n_fields + countof(raw_last) + events.n_plans, at = 0, most = 0;
	struct proto_field *fields = arena_zeroed(&events.arena, n, sizeof(*fields));
	const struct field **rows = arena_zeroed(&events.arena, n, sizeof(*rows));
	int r;

	if (!fields || !rows)
		return err_new(-ENOMEM, "no memory");
	for (; at < countof(raw_first); at++)
		fields[at] = raw_first[at];
	r = make_plan(PROTO_HEAD, event_head_fields, event_head_n_fields, &events.head, fields + at, rows + at);
	if (r < 0)
		return r;
	at += event_head_n_fields;
	if (fields[at - 1].number > RAW_HEAD_LAST)
		return err_new(-E2BIG, "the head has more fields than numbers");
	for (size_t i = 0; i < countof(raw_last); i++)
		fields[at++] = raw_last[i];
	qsort(events.plans, events.n_plans, sizeof(events.plans[0]), by_id);
	for (size_t i = 0; i < events.n_plans; i++) {
		const struct plan *p = events.plans[i];

		fields[at++] = (struct proto_field) { .name = snake(p->kind->name),
						      .doc = p->message.doc,
						      .number = p->id,
						      .type = PROTO_MESSAGE,
						      .oneof = true,
						      .message = &p->message };
	}
	proto_raw_event.fields = fields;
	proto_raw_event.n_fields = n;
	events.raw_rows = rows;
	r = collect_enums(&proto_raw_event);
	if (r < 0)
		return r;
	for (size_t i = 0; i < events.n_plans; i++) {
		r = check_names(&events.plans[i]->message);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < events.n_plans; i++)
		if (events.plans[i]->most > most)
			most = events.plans[i]->most;
	proto_event_most = PROTO_NOTE_MAX + SLACK + events.head.most + most + 2 * (size_t)16;
	return check_names(&proto_raw_event);
}

static int make_all(void)
{
	int r = 0;

	for (const struct sensor *const *s = sensor_table; *s; s++)
		for (size_t i = 0; !r && i < (*s)->n_kinds; i++)
			r = add_kind(&(*s)->kinds[i]);
	for (size_t i = 0; !r && i < context_n_kinds; i++)
		r = add_kind(&context_kinds[i]);
	return r < 0 ? r : make_raw_event();
}

static void open_once(void)
{
	events.error = make_all();
	if (events.error < 0)
		(void)snprintf(events.trail, sizeof(events.trail), "%s", err_trail());
}

int proto_event_open(void)
{
	(void)pthread_once(&events.once, open_once);
	return events.error < 0 ? err_new(events.error, "messages of events: %s", events.trail) : 0;
}

const struct proto_message *proto_event_kind(size_t i, const struct event_kind **ret_kind)
{
	if (i >= events.n_plans)
		return NULL;
	if (ret_kind)
		*ret_kind = events.plans[i]->kind;
	return &events.plans[i]->message;
}

const struct field *proto_event_field(const struct proto_message *message, size_t i)
{
	if (message == &proto_raw_event)
		return events.raw_rows[i];
	return container_of(message, struct plan, message)->rows[i];
}

/* ---- writing ------------------------------------------------------------------------------------- */

/* Text that was not UTF-8, to be told byte for byte when the fields are done. */
struct exact {
	const struct field *field;
	struct str bytes;
};

struct writer {
	const struct ev_head *rec;
	__u64 clock;
	unsigned char *p;
	unsigned n_exact;
	struct exact exact[EXACT_MAX];
};

static inline unsigned char *put_varint(unsigned char *p, __u64 v)
{
	if (v < 0x80) {
		*p = (unsigned char)v;
		return p + 1;
	}
	if (v < 0x4000) {
		p[0] = (unsigned char)(v | 0x80);
		p[1] = (unsigned char)(v >> 7);
		return p + 2;
	}
	return proto_put_varint(p, v);
}

static inline unsigned char *put_tag(unsigned char *p, __u32 tag, unsigned len)
{
	memcpy(p, &tag, sizeof(tag));
	return p + len;
}

static inline bool is_ascii(const char *p, size_t n)
{
	__u64 high = 0, v;
	size_t i = 0;

	for (; i + sizeof(v) <= n; i += sizeof(v)) {
		memcpy(&v, p + i, sizeof(v));
		high |= v;
	}
	for (; i < n; i++)
		high |= (__u64)(unsigned char)p[i];
	return !(high & 0x8080808080808080ULL);
}

/* With U+FFFD in the place of what is none. Returns the end of it. */
static unsigned char *put_repaired(unsigned char *to, const char *p, size_t n)
{
	while (n) {
		size_t bad, len = utf8_char(p, n, &bad);

		if (len) {
			memcpy(to, p, len);
			to += len;
		} else {
			memcpy(to, UTF8_REPLACEMENT, 3);
			to += 3;
			len = bad;
		}
		p += len;
		n -= len;
	}
	return to;
}

/* False: it was not UTF-8. */
static inline bool put_text(struct writer *w, const struct step *s, const char *text, size_t n)
{
	unsigned char *p = put_tag(w->p, s->tag, s->tag_len), *start;
	size_t len;

	if (is_ascii(text, n) || utf8_is_valid(text, n)) {
		p = put_varint(p, n);
		memcpy(p, text, n);
		w->p = p + n;
		return true;
	}
	/* Three bytes of length, whatever they say: it is not known before the text is written. */
	start = p + 3;
	len = (size_t)(put_repaired(start, text, n) - start);
	p[0] = (unsigned char)(len | 0x80);
	p[1] = (unsigned char)(len >> 7 | 0x80);
	p[2] = (unsigned char)(len >> 14);
	w->p = start + len;
	return false;
}

static void put_strs(struct writer *w, const struct step *s, struct str list)
{
	const char *p = list.p, *end = list.p + list.n;
	bool clean = true;

	for (;;) {
		const char *nul = memchr(p, 0, (size_t)(end - p)), *stop = nul ? nul : end;

		clean &= put_text(w, s, p, (size_t)(stop - p));
		if (!nul)
			break;
		p = nul + 1;
	}
	if (!clean)
		w->exact[w->n_exact++] = (struct exact) { s->field, list };
}

static inline void put_bytes(struct writer *w, const struct step *s, const void *bytes, size_t n)
{
	unsigned char *p = put_tag(w->p, s->tag, s->tag_len);

	p = put_varint(p, n);
	memcpy(p, bytes, n);
	w->p = p + n;
}

static void put_ev_str(struct writer *w, const struct step *s)
{
	struct ev_str place;
	struct str str;

	memcpy(&place, (const char *)w->rec + s->off, sizeof(place));
	if (!place.off)
		return;
	str = event_str(w->rec, place);
	if (!str.p || (!str.n && !s->always && s->type != FT_STRS))
		return;
	switch (s->type) {
	case FT_STR:
		if (!put_text(w, s, str.p, str.n))
			w->exact[w->n_exact++] = (struct exact) { s->field, str };
		break;
	case FT_STRS:
		put_strs(w, s, str);
		break;
	default:
		/* Bytes as they are; a stack is a packed list of fixed64, which is the same. */
		put_bytes(w, s, str.p, str.n);
	}
}

/* The first NUL of eight bytes, counted in bytes; 8: there is none. */
static inline unsigned nul_at(__u64 v)
{
	__u64 found = (v - 0x0101010101010101ULL) & ~v & 0x8080808080808080ULL;

	return found ? (unsigned)__builtin_ctzll(found) / 8 : 8;
}

static void put_chars(struct writer *w, const struct step *s)
{
	const char *text = (const char *)w->rec + s->off;
	size_t n;

	if (s->size == 16) {
		/* The name of a process, which every record has: nearly always plain. */
		__u64 a, b;

		memcpy(&a, text, 8);
		memcpy(&b, text + 8, 8);
		n = nul_at(a);
		n = n == 8 ? 8 + nul_at(b) : n;
		if (!((a | b) & 0x8080808080808080ULL) && n) {
			unsigned char *p = put_tag(w->p, s->tag, s->tag_len);

			*p = (unsigned char)n;
			memcpy(p + 1, text, 16);
			w->p = p + 1 + n;
			return;
		}
	}
	n = strnlen(text, s->size);
	if (n && !put_text(w, s, text, n))
		w->exact[w->n_exact++] = (struct exact) { s->field, { text, n } };
}

static void put_addr(struct writer *w, const struct step *s)
{
	static const unsigned char none[16], mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };
	const char *at = (const char *)w->rec + s->off;

	if (!memcmp(at, mapped, sizeof(mapped)))
		put_bytes(w, s, at + 12, 4);
	else if (memcmp(at, none, sizeof(none)) != 0)
		put_bytes(w, s, at, 16);
}

/* The bytes of a number with so many leading zeros in 32 bits, and the marks in all of them but the last. */
static const struct {
	__u64 marks;
	__u64 n;
} lengths[33] = {
#define LENGTH(n) { 0x8080808080ULL & ((1ULL << (8 * ((n) - 1))) - 1), (n) }
	LENGTH(5), LENGTH(5), LENGTH(5), LENGTH(5), LENGTH(4), LENGTH(4), LENGTH(4), LENGTH(4), LENGTH(4),
	LENGTH(4), LENGTH(4), LENGTH(3), LENGTH(3), LENGTH(3), LENGTH(3), LENGTH(3), LENGTH(3), LENGTH(3),
	LENGTH(2), LENGTH(2), LENGTH(2), LENGTH(2), LENGTH(2), LENGTH(2), LENGTH(2), LENGTH(1), LENGTH(1),
	LENGTH(1), LENGTH(1), LENGTH(1), LENGTH(1), LENGTH(1), LENGTH(1),
#undef LENGTH
};

/*
 * A number of 32 bits, or nothing where it is 0. How long it is no branch asks: it would be guessed wrong too
 * often. Writes twelve bytes, whatever it keeps.
 */
static inline unsigned char *put_u32(unsigned char *p, const struct step *s, __u32 v)
{
	unsigned zeros;
	__u64 spread;

	if (!v)
		return p;
	memcpy(p, &s->tag, sizeof(s->tag));
	p += s->tag_len;
	zeros = (unsigned)__builtin_clz(v);
	spread = (v & 0x7f) | (__u64)(v & 0x3f80) << 1 | (__u64)(v & 0x1fc000) << 2 | (__u64)(v & 0xfe00000) << 3 |
		 (__u64)(v & 0xf0000000) << 4 | lengths[zeros].marks;
	memcpy(p, &spread, sizeof(spread)); /* little-endian, as json_scan.h asserts */
	return p + lengths[zeros].n;
}

static inline unsigned char *put_u16(unsigned char *p, const struct step *s, __u16 v)
{
	unsigned zeros;
	__u32 spread;

	if (!v)
		return p;
	memcpy(p, &s->tag, sizeof(s->tag));
	p += s->tag_len;
	zeros = (unsigned)__builtin_clz(v);
	spread = (v & 0x7fU) | (v & 0x3f80U) << 1 | (v & 0xc000U) << 2 | (__u32)lengths[zeros].marks;
	memcpy(p, &spread, sizeof(spread));
	return p + lengths[zeros].n;
}

static inline unsigned char *put_fixed64(unsigned char *p, const struct step *s, __u64 v, bool there)
{
	memcpy(p, &s->tag, sizeof(s->tag));
	memcpy(p + s->tag_len, &v, sizeof(v));
	return p + (there ? s->tag_len + sizeof(v) : 0);
}

static inline unsigned char *put_u64(unsigned char *p, const struct step *s, __u64 v)
{
	if (v <= UINT32_MAX)
		return put_u32(p, s, (__u32)v);
	return put_varint(put_tag(p, s->tag, s->tag_len), v);
}

static inline __u64 load_signed(const struct ev_head *rec, const struct step *s)
{
	const char *at = (const char *)rec + s->off;
	__s64 v64;
	__s32 v32;

	if (s->size == sizeof(v64)) {
		memcpy(&v64, at, sizeof(v64));
		return proto_zigzag(v64);
	}
	memcpy(&v32, at, sizeof(v32));
	return s->type == FT_ERRNO ? (__u64)(__s64)v32 : proto_zigzag(v32);
}

#define LOAD(type, s)                                                                                                  \
	({                                                                                                             \
		type load_;                                                                                            \
		memcpy(&load_, (const char *)rec + (s)->off, sizeof(load_));                                           \
		load_;                                                                                                 \
	})

static inline void put_steps(struct writer *w, const struct plan *plan)
{
	const struct step *s = plan->steps, *const steps = s;
	const struct ev_head *rec = w->rec;
	unsigned char *p = w->p;

	for (; s < steps + plan->ends[STEP_U8]; s++)
		p = put_u16(p, s, LOAD(__u8, s));
	for (; s < steps + plan->ends[STEP_U16]; s++)
		p = put_u16(p, s, LOAD(__u16, s));
	for (; s < steps + plan->ends[STEP_U32]; s++)
		p = put_u32(p, s, LOAD(__u32, s));
	for (; s < steps + plan->ends[STEP_TIME]; s++) {
		__u64 v = LOAD(__u64, s);

		p = put_fixed64(p, s, v + w->clock, v || s->always);
	}
	for (; s < steps + plan->ends[STEP_U64]; s++)
		p = put_u64(p, s, LOAD(__u64, s));
	for (; s < steps + plan->ends[STEP_SIGNED]; s++)
		p = put_u64(p, s, load_signed(rec, s));
	w->p = p;
	for (; s < steps + plan->ends[STEP_CHARS]; s++)
		put_chars(w, s);
	for (; s < steps + plan->ends[STEP_ADDR]; s++)
		put_addr(w, s);
	for (; s < steps + plan->ends[STEP_STRING]; s++)
		put_ev_str(w, s);
}

static const struct plan *plan_of(const struct ev_head *rec)
{
	const struct plan *p =
		EV_ID_NUMBER(rec->id) < EV_KIND_MAX ? events.by_id[EV_ID_SENSOR(rec->id)][EV_ID_NUMBER(rec->id)] : NULL;

	return p && rec->len >= p->fixed ? p : NULL;
}

static size_t strings_bound(const struct ev_head *rec, size_t fixed)
{
	return PROTO_BYTE_MOST * (rec->len - fixed);
}

static unsigned char *put_meta_varint(unsigned char *p, unsigned number, __u64 v)
{
	return v ? proto_put_varint(proto_put_varint(p, proto_tag(number, WIRE_VARINT)), v) : p;
}

unsigned char *proto_event_note(const struct proto_event_meta *meta, unsigned char *p)
{
	p = put_meta_varint(p, RAW_CURSOR, meta->cursor);
	p = put_meta_varint(p, RAW_LOST, meta->lost);
	return put_meta_varint(p, RAW_SAMPLED, meta->sampled);
}

static void put_exact(struct writer *w)
{
	for (unsigned i = 0; i < w->n_exact; i++) {
		const struct exact *e = &w->exact[i];
		unsigned char head[2 * PROTO_VARINT_MAX];
		size_t name_n = strlen(e->field->name);
		unsigned char *h = proto_put_varint(head, proto_tag(2, WIRE_BYTES));
		size_t head_n = (size_t)(proto_put_varint(h, e->bytes.n) - head);

		w->p = proto_put_varint(w->p, proto_tag(RAW_EXACT, WIRE_BYTES));
		w->p = proto_put_varint(w->p, 2 + name_n + head_n + e->bytes.n);
		w->p = proto_put_varint(w->p, proto_tag(1, WIRE_BYTES));
		w->p = proto_put_varint(w->p, name_n); /* NAME_MAX_BYTES: one byte */
		memcpy(w->p, e->field->name, name_n);
		w->p += name_n;
		memcpy(w->p, head, head_n);
		w->p += head_n;
		memcpy(w->p, e->bytes.p, e->bytes.n);
		w->p += e->bytes.n;
	}
}

/* The fields of the kind, as a message within: as many bytes are kept for its length as it may need. */
static void put_kind(struct writer *w, const struct plan *plan)
{
	size_t most = plan->most + strings_bound(w->rec, plan->fixed), len;
	unsigned len_bytes = most < 0x80 ? 1 : most < 0x4000 ? 2 : 3;
	unsigned char *at;

	w->p = put_tag(w->p, plan->tag, plan->tag_len);
	at = w->p;
	w->p += len_bytes;
	put_steps(w, plan);
	len = (size_t)(w->p - at) - len_bytes;
	for (unsigned i = 0; i + 1 < len_bytes; i++, len >>= 7)
		*at++ = (unsigned char)(len | 0x80);
	*at = (unsigned char)len;
}

unsigned char *proto_event_write(const struct ev_head *rec, const struct proto_event_meta *meta, unsigned char *to)
{
	const struct plan *plan = plan_of(rec);
	struct writer w;

	w.rec = rec;
	w.clock = (__u64)event_clock();
	w.n_exact = 0;
	w.p = proto_event_note(meta, to);
	put_steps(&w, &events.head);
	if (plan)
		put_kind(&w, plan);
	if (w.n_exact)
		put_exact(&w);
	if (meta->with_record || !plan) {
		w.p = proto_put_varint(w.p, proto_tag(RAW_RECORD, WIRE_BYTES));
		w.p = proto_put_varint(w.p, rec->len);
		memcpy(w.p, rec, rec->len);
		w.p += rec->len;
	}
	return w.p;
}
