/* SPDX-License-Identifier: Apache-2.0 */
#include "api/proto.h"
#include "base/err.h"
#include "base/utf8.h"

/* ---- the wire -------------------------------------------------------------------------- */

static bool get_varint(struct proto_reader *r, uint64_t *ret_v)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 64 && r->p < r->end; shift += 7) {
		unsigned char c = *r->p++;

		/* The tenth byte has room for one bit. */
		if (shift == 63 && c > 1)
			return false;
		v |= (uint64_t)(c & 0x7f) << shift;
		if (c < 0x80) {
			*ret_v = v;
			return true;
		}
	}
	return false;
}

static bool get_fixed(struct proto_reader *r, size_t n, uint64_t *ret_v)
{
	uint64_t v = 0;

	if ((size_t)(r->end - r->p) < n)
		return false;
	for (size_t i = 0; i < n; i++)
		v |= (uint64_t)r->p[i] << (8 * i);
	r->p += n;
	*ret_v = v;
	return true;
}

static bool get_bytes(struct proto_reader *r, struct str *ret_s)
{
	uint64_t n;

	if (!get_varint(r, &n) || n > (size_t)(r->end - r->p))
		return false;
	*ret_s = (struct str) { (const char *)r->p, (size_t)n };
	r->p += n;
	return true;
}

int proto_next(struct proto_reader *r, struct proto_item *ret_item)
{
	uint64_t tag;
	bool ok;

	if (r->p == r->end)
		return 0;
	if (!get_varint(r, &tag) || tag >> 3 == 0 || tag >> 3 > PROTO_NUMBER_MAX)
		return -EINVAL;
	*ret_item = (struct proto_item) { .number = (uint32_t)(tag >> 3), .wire = (enum proto_wire)(tag & 7) };
	switch (ret_item->wire) {
	case WIRE_VARINT:
		ok = get_varint(r, &ret_item->v);
		break;
	case WIRE_FIXED64:
		ok = get_fixed(r, 8, &ret_item->v);
		break;
	case WIRE_BYTES:
		ok = get_bytes(r, &ret_item->bytes);
		break;
	case WIRE_FIXED32:
		ok = get_fixed(r, 4, &ret_item->v);
		break;
	default:
		ok = false;
	}
	return ok ? 1 : -EINVAL;
}

void proto_add_varint(struct buf *out, uint32_t number, uint64_t v)
{
	unsigned char bytes[2 * PROTO_VARINT_MAX];
	unsigned char *p = proto_put_varint(bytes, proto_tag(number, WIRE_VARINT));

	p = proto_put_varint(p, v);
	buf_add(out, bytes, (size_t)(p - bytes));
}

void proto_add_fixed64(struct buf *out, uint32_t number, uint64_t v)
{
	unsigned char bytes[PROTO_VARINT_MAX + 8];
	unsigned char *p = proto_put_varint(bytes, proto_tag(number, WIRE_FIXED64));

	for (unsigned i = 0; i < 8; i++)
		*p++ = (unsigned char)(v >> (8 * i));
	buf_add(out, bytes, (size_t)(p - bytes));
}

void proto_add_bytes(struct buf *out, uint32_t number, const void *bytes, size_t n)
{
	unsigned char head[2 * PROTO_VARINT_MAX];
	unsigned char *p = proto_put_varint(head, proto_tag(number, WIRE_BYTES));

	p = proto_put_varint(p, n);
	buf_add(out, head, (size_t)(p - head));
	if (n)
		buf_add(out, bytes, n);
}

void proto_add_str(struct buf *out, uint32_t number, const char *s)
{
	proto_add_bytes(out, number, s, strlen(s));
}

void proto_begin(struct buf *out, uint32_t number, size_t *ret_at)
{
	unsigned char tag[PROTO_VARINT_MAX];

	buf_add(out, tag, (size_t)(proto_put_varint(tag, proto_tag(number, WIRE_BYTES)) - tag));
	*ret_at = out->len;
}

void proto_end(struct buf *out, size_t at)
{
	unsigned char head[PROTO_VARINT_MAX];
	size_t n = out->len - at, size = (size_t)(proto_put_varint(head, n) - head);

	if (!buf_reserve(out, size))
		return;
	memmove(out->data + at + size, out->data + at, n + 1);
	memcpy(out->data + at, head, size);
	out->len += size;
}

/* ---- values in C ------------------------------------------------------------------------- */

static size_t size_of(const struct proto_field *f)
{
	switch (f->type) {
	case PROTO_BOOL:
		return sizeof(bool);
	case PROTO_U32:
	case PROTO_I32:
	case PROTO_S32:
	case PROTO_ENUM:
		return sizeof(uint32_t);
	case PROTO_U64:
	case PROTO_I64:
	case PROTO_S64:
	case PROTO_FIXED64:
		return sizeof(uint64_t);
	case PROTO_STRING:
		return sizeof(const char *);
	case PROTO_BYTES:
		return sizeof(struct str);
	case PROTO_MESSAGE:
		return f->message->size;
	}
	return 0;
}

static bool is_packable(const struct proto_field *f)
{
	return f->type != PROTO_STRING && f->type != PROTO_BYTES && f->type != PROTO_MESSAGE;
}

/* The number that a scalar is on the wire. */
static uint64_t load(const struct proto_field *f, const void *at)
{
	int32_t v32;
	uint64_t v64;

	switch (f->type) {
	case PROTO_BOOL:
		return *(const bool *)at;
	case PROTO_U32:
		memcpy(&v32, at, sizeof(v32));
		return (uint32_t)v32;
	case PROTO_I32:
	case PROTO_ENUM:
		memcpy(&v32, at, sizeof(v32));
		return (uint64_t)(int64_t)v32;
	case PROTO_S32:
		memcpy(&v32, at, sizeof(v32));
		return proto_zigzag(v32);
	case PROTO_S64:
		memcpy(&v64, at, sizeof(v64));
		return proto_zigzag((int64_t)v64);
	default:
		memcpy(&v64, at, sizeof(v64));
		return v64;
	}
}

static void store(const struct proto_field *f, void *at, uint64_t v)
{
	uint32_t v32 = (uint32_t)v;

	switch (f->type) {
	case PROTO_BOOL:
		*(bool *)at = v != 0;
		break;
	case PROTO_S32:
		v32 = (uint32_t)(v >> 1) ^ -(uint32_t)(v & 1);
		memcpy(at, &v32, sizeof(v32));
		break;
	case PROTO_U32:
	case PROTO_I32:
	case PROTO_ENUM:
		memcpy(at, &v32, sizeof(v32));
		break;
	case PROTO_S64:
		v = v >> 1 ^ -(v & 1);
		memcpy(at, &v, sizeof(v));
		break;
	default:
		memcpy(at, &v, sizeof(v));
	}
}

static const struct proto_field *by_number(const struct proto_message *m, uint32_t number)
{
	for (size_t i = 0; i < m->n_fields; i++)
		if (m->fields[i].number == number)
			return &m->fields[i];
	return NULL;
}

/* What is not told is an empty string, so that nobody has to look for NULL. */
static void clear(const struct proto_message *m, void *s)
{
	memset(s, 0, m->size);
	for (size_t i = 0; i < m->n_fields; i++)
		if (m->fields[i].type == PROTO_STRING && !m->fields[i].repeated)
			*(const char **)((char *)s + m->fields[i].off) = "";
}

static int no_memory(void)
{
	return err_new(-E2BIG, "the request needs too much memory");
}

/* Room for one more item of a list. The array doubles when its number is a power of two. */
static int append(const struct proto_field *f, struct arena *arena, struct proto_list *list, void **ret_at)
{
	size_t size = size_of(f);

	if (list->n == PROTO_ITEMS_MAX)
		return err_new(-E2BIG, "%s: more than %d items", f->name, PROTO_ITEMS_MAX);
	if (!(list->n & (list->n - 1)) || !list->n) {
		void *items = arena_zeroed(arena, list->n ? 2 * list->n : 1, size);

		if (!items)
			return no_memory();
		if (list->n)
			memcpy(items, list->items, list->n * size);
		list->items = items;
	}
	*ret_at = (char *)(uintptr_t)list->items + list->n++ * size;
	return 0;
}

static int set_text(const struct proto_field *f, struct str s, struct arena *arena, void *at)
{
	char *copy;

	if (memchr(s.p, 0, s.n) || !utf8_is_valid(s.p, s.n))
		return err_new(-EINVAL, "%s: wanted text in UTF-8 without NULs", f->name);
	copy = arena_str(arena, s.p, s.n);
	if (!copy)
		return no_memory();
	*(const char **)at = copy;
	return 0;
}

static int set_bytes(struct str s, struct arena *arena, void *at)
{
	char *copy = arena_str(arena, s.n ? s.p : "", s.n);

	if (!copy)
		return no_memory();
	*(struct str *)at = (struct str) { copy, s.n };
	return 0;
}

/* Where a message goes: into the struct itself in a list, else into one that is made when it is first told. */
static int message_room(const struct proto_field *f, struct arena *arena, void *at, void **ret_s)
{
	if (f->repeated) {
		clear(f->message, at);
		*ret_s = at;
		return 0;
	}
	*ret_s = *(void **)at;
	if (*ret_s)
		return 0;
	*ret_s = arena_alloc(arena, f->message->size);
	if (!*ret_s)
		return no_memory();
	clear(f->message, *ret_s);
	*(void **)at = *ret_s;
	return 0;
}

/* ---- reading ---------------------------------------------------------------------------------- */

static int read_fields(const struct proto_message *m, struct str bytes, struct arena *arena, unsigned depth, void *s);

static enum proto_wire wire_of(const struct proto_field *f)
{
	if (!is_packable(f))
		return WIRE_BYTES;
	return f->type == PROTO_FIXED64 ? WIRE_FIXED64 : WIRE_VARINT;
}

static int read_value(const struct proto_field *f, const struct proto_item *item, struct arena *arena, unsigned depth,
		      void *at)
{
	void *s;
	int r;

	switch (f->type) {
	case PROTO_STRING:
		return set_text(f, item->bytes, arena, at);
	case PROTO_BYTES:
		return set_bytes(item->bytes, arena, at);
	case PROTO_MESSAGE:
		r = message_room(f, arena, at, &s);
		if (r < 0)
			return r;
		r = read_fields(f->message, item->bytes, arena, depth + 1, s);
		return r < 0 ? err_wrap(r, "%s", f->name) : 0;
	default:
		store(f, at, item->v);
		return 0;
	}
}

static int read_packed(const struct proto_field *f, struct str bytes, struct arena *arena, struct proto_list *list)
{
	struct proto_reader r = { (const unsigned char *)bytes.p, (const unsigned char *)bytes.p + bytes.n };
	uint64_t v;
	void *at;
	int err;

	while (r.p < r.end) {
		if (!(f->type == PROTO_FIXED64 ? get_fixed(&r, 8, &v) : get_varint(&r, &v)))
			return err_new(-EINVAL, "%s: a list of numbers that ends within one", f->name);
		err = append(f, arena, list, &at);
		if (err < 0)
			return err;
		store(f, at, v);
	}
	return 0;
}

static int read_field(const struct proto_field *f, const struct proto_item *item, struct arena *arena, unsigned depth,
		      void *s)
{
	void *at = (char *)s + f->off;
	int r;

	if (f->repeated && is_packable(f) && item->wire == WIRE_BYTES)
		return read_packed(f, item->bytes, arena, at);
	if (item->wire != wire_of(f))
		return err_new(-EINVAL, "%s: field %u has another type", f->name, f->number);
	if (f->repeated) {
		r = append(f, arena, at, &at);
		if (r < 0)
			return r;
	}
	return read_value(f, item, arena, depth, at);
}

static int read_fields(const struct proto_message *m, struct str bytes, struct arena *arena, unsigned depth, void *s)
{
	struct proto_reader r = { (const unsigned char *)bytes.p, (const unsigned char *)bytes.p + bytes.n };
	struct proto_item item;
	int more;

	if (depth > PROTO_DEPTH_MAX)
		return err_new(-E2BIG, "messages within each other, deeper than %d", PROTO_DEPTH_MAX);
	while ((more = proto_next(&r, &item)) > 0) {
		const struct proto_field *f = by_number(m, item.number);
		int err = f ? read_field(f, &item, arena, depth, s) : 0;

		if (err < 0)
			return err;
	}
	return more < 0 ? err_new(-EINVAL, "%s: these bytes are no protobuf message", m->name) : 0;
}

int proto_read(const struct proto_message *m, const void *bytes, size_t n, struct arena *arena, void *ret_struct)
{
	clear(m, ret_struct);
	return n ? read_fields(m, (struct str) { bytes, n }, arena, 1, ret_struct) : 0;
}

/* ---- writing ---------------------------------------------------------------------------------- */

static void write_scalar(const struct proto_field *f, const void *at, struct buf *out)
{
	uint64_t v = load(f, at);

	if (f->type == PROTO_FIXED64)
		proto_add_fixed64(out, f->number, v);
	else
		proto_add_varint(out, f->number, v);
}

static void write_packed(const struct proto_field *f, const struct proto_list *list, struct buf *out)
{
	unsigned char bytes[PROTO_VARINT_MAX];
	size_t at;

	proto_begin(out, f->number, &at);
	for (size_t i = 0; i < list->n; i++) {
		uint64_t v = load(f, (const char *)list->items + i * size_of(f));

		if (f->type == PROTO_FIXED64)
			buf_add(out, &v, sizeof(v)); /* little-endian, as json_scan.h asserts */
		else
			buf_add(out, bytes, (size_t)(proto_put_varint(bytes, v) - bytes));
	}
	proto_end(out, at);
}

static void write_message(const struct proto_field *f, const void *s, struct buf *out)
{
	size_t at;

	proto_begin(out, f->number, &at);
	proto_write(f->message, s, out);
	proto_end(out, at);
}

static void write_value(const struct proto_field *f, const void *at, struct buf *out)
{
	const struct str *bytes = at;
	const char *text;

	switch (f->type) {
	case PROTO_STRING:
		text = *(const char *const *)at;
		proto_add_str(out, f->number, text ? text : "");
		break;
	case PROTO_BYTES:
		proto_add_bytes(out, f->number, bytes->p, bytes->n);
		break;
	case PROTO_MESSAGE:
		write_message(f, at, out);
		break;
	default:
		write_scalar(f, at, out);
	}
}

static void write_list(const struct proto_field *f, const struct proto_list *list, struct buf *out)
{
	if (!list->n)
		return;
	if (is_packable(f)) {
		write_packed(f, list, out);
		return;
	}
	for (size_t i = 0; i < list->n; i++)
		write_value(f, (const char *)list->items + i * size_of(f), out);
}

/* Is it what protobuf leaves out? */
static bool is_empty(const struct proto_field *f, const void *at)
{
	const char *const *text = at;

	switch (f->type) {
	case PROTO_STRING:
		return !*text || !**text;
	case PROTO_BYTES:
		return !((const struct str *)at)->n;
	case PROTO_MESSAGE:
		return !*(const void *const *)at;
	default:
		return !load(f, at);
	}
}

void proto_write(const struct proto_message *m, const void *s, struct buf *out)
{
	for (size_t i = 0; i < m->n_fields; i++) {
		const struct proto_field *f = &m->fields[i];
		const void *at = (const char *)s + f->off;

		if (f->repeated)
			write_list(f, at, out);
		else if (!is_empty(f, at))
			write_value(f, f->type == PROTO_MESSAGE ? *(const void *const *)at : at, out);
	}
}

/* ---- names ------------------------------------------------------------------------------------- */

void proto_json_name(const char *name, struct buf *out)
{
	bool up = false;

	for (; *name; name++) {
		if (*name == '_') {
			up = true;
			continue;
		}
		buf_char(out, up && *name >= 'a' && *name <= 'z' ? (char)(*name - 'a' + 'A') : *name);
		up = false;
	}
}

const char *proto_type_name(enum proto_type type)
{
	static const char *const names[] = {
		[PROTO_BOOL] = "bool",     [PROTO_U32] = "uint32",  [PROTO_U64] = "uint64", [PROTO_I32] = "int32",
		[PROTO_I64] = "int64",     [PROTO_S32] = "sint32",  [PROTO_S64] = "sint64", [PROTO_FIXED64] = "fixed64",
		[PROTO_STRING] = "string", [PROTO_BYTES] = "bytes", [PROTO_ENUM] = "enum",  [PROTO_MESSAGE] = "message",
	};

	return names[type];
}
