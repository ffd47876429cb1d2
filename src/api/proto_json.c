/* SPDX-License-Identifier: Apache-2.0 */
/* proto_json - messages of tables from JSON, from the query string, and as JSON. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include "api/proto.h"
#include "base/err.h"
#include "base/mem.h"

static int read_object(const struct proto_message *m, const struct json_node *json, struct arena *arena, unsigned depth,
		       void *s);

static int wrong(const struct proto_field *f, const char *wanted)
{
	return err_new(-EINVAL, "%s: wanted %s", f->name, wanted);
}

/* ---- one value ------------------------------------------------------------------------------ */

static int set_number(const struct proto_field *f, uint64_t v, void *at)
{
	uint32_t v32 = (uint32_t)v;

	if (f->type == PROTO_U64 || f->type == PROTO_FIXED64) {
		memcpy(at, &v, sizeof(v));
		return 0;
	}
	if (v > UINT32_MAX)
		return wrong(f, "a number of 32 bits");
	memcpy(at, &v32, sizeof(v32));
	return 0;
}

static int number_of_text(const struct proto_field *f, const char *text, void *at)
{
	char *end;
	unsigned long long v;

	errno = 0;
	v = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno)
		return wrong(f, "a whole number that is not negative");
	return set_number(f, v, at);
}

/* "START_OLDEST", "oldest" and 1 are the same. */
static int enum_of_text(const struct proto_field *f, const char *text, void *at)
{
	auto_buf struct buf names = { .max = 1024 };
	int32_t v;

	for (size_t i = 0; i < f->values->n_values; i++) {
		const char *name = f->values->values[i].name, *tail = strrchr(name, '_');

		if (!strcasecmp(name, text) || (tail && !strcasecmp(tail + 1, text))) {
			v = f->values->values[i].number;
			memcpy(at, &v, sizeof(v));
			return 0;
		}
		buf_printf(&names, "%s%s", i ? ", " : "", name);
	}
	return err_new(-EINVAL, "%s: wanted one of %s", f->name, buf_text(&names));
}

static int enum_of_number(const struct proto_field *f, int64_t number, void *at)
{
	for (size_t i = 0; i < f->values->n_values; i++)
		if (f->values->values[i].number == number) {
			int32_t v = (int32_t)number;

			memcpy(at, &v, sizeof(v));
			return 0;
		}
	return wrong(f, "a number that has a name");
}

static int set_text(const struct proto_field *f, const char *p, size_t n, struct arena *arena, void *at)
{
	char *copy;

	if (memchr(p, 0, n))
		return wrong(f, "text without NULs");
	copy = arena_str(arena, p, n);
	if (!copy)
		return err_new(-E2BIG, "the request needs too much memory");
	*(const char **)at = copy;
	return 0;
}

static int value_of_json(const struct proto_field *f, const struct json_node *v, struct arena *arena, unsigned depth,
			 void *at)
{
	void *s;
	int r;

	switch (f->type) {
	case PROTO_BOOL:
		if (v->type != JSON_BOOL)
			return wrong(f, "true or false");
		*(bool *)at = v->b;
		return 0;
	case PROTO_U32:
	case PROTO_U64:
	case PROTO_FIXED64:
		if (v->type == JSON_STRING)
			return number_of_text(f, v->s, at);
		if ((v->type == JSON_INT && v->i >= 0) || v->type == JSON_UINT)
			return set_number(f, v->u, at);
		return wrong(f, "a whole number that is not negative");
	case PROTO_STRING:
		return v->type == JSON_STRING ? set_text(f, v->s, v->len, arena, at) : wrong(f, "text");
	case PROTO_ENUM:
		if (v->type == JSON_STRING)
			return enum_of_text(f, v->s, at);
		return v->type == JSON_INT ? enum_of_number(f, v->i, at) : wrong(f, "a name");
	case PROTO_MESSAGE:
		if (f->repeated)
			break;
		s = arena_zeroed(arena, 1, f->message->size);
		if (!s)
			return err_new(-E2BIG, "the request needs too much memory");
		r = read_object(f->message, v, arena, depth + 1, s);
		if (r < 0)
			return err_wrap(r, "%s", f->name);
		*(void **)at = s;
		return 0;
	default:
		break;
	}
	return err_new(-EINVAL, "%s: cannot be told in JSON", f->name);
}

/* Only texts: that is what lists of requests are made of. */
static int append_text(const struct proto_field *f, const char *p, size_t n, struct arena *arena,
		       struct proto_list *list)
{
	const char **items;
	int r;

	if (f->type != PROTO_STRING)
		return err_new(-EINVAL, "%s: cannot be told so", f->name);
	if (list->n == PROTO_ITEMS_MAX)
		return err_new(-E2BIG, "%s: more than %d items", f->name, PROTO_ITEMS_MAX);
	if (!(list->n & (list->n - 1))) {
		items = arena_zeroed(arena, list->n ? 2 * list->n : 1, sizeof(*items));
		if (!items)
			return err_new(-E2BIG, "the request needs too much memory");
		if (list->n)
			memcpy(items, list->items, list->n * sizeof(*items));
		list->items = items;
	}
	items = (const char **)(uintptr_t)list->items;
	r = set_text(f, p, n, arena, &items[list->n]);
	list->n += r == 0;
	return r;
}

static int list_of_json(const struct proto_field *f, const struct json_node *v, struct arena *arena,
			struct proto_list *list)
{
	const struct json_node *name;

	if (v->type != JSON_ARRAY)
		return wrong(f, "a list of texts");
	for (const struct json_node *item = json_first(v, &name); item; item = json_next(v, item, &name)) {
		int r = item->type == JSON_STRING ? append_text(f, item->s, item->len, arena, list)
						  : wrong(f, "a list of texts");

		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- messages ----------------------------------------------------------------------------------- */

/* By its name as the table has it, or as protobuf's JSON does. */
static const struct proto_field *by_name(const struct proto_message *m, const char *name)
{
	for (size_t i = 0; i < m->n_fields; i++) {
		auto_buf struct buf json = { .max = 256 };

		if (!strcmp(m->fields[i].name, name))
			return &m->fields[i];
		proto_json_name(m->fields[i].name, &json);
		if (!strcmp(buf_text(&json), name))
			return &m->fields[i];
	}
	return NULL;
}

static int no_field(const struct proto_message *m, const char *name)
{
	auto_buf struct buf names = { .max = 1024 };

	for (size_t i = 0; i < m->n_fields; i++)
		buf_printf(&names, "%s%s", i ? ", " : "", m->fields[i].name);
	return err_new(-EINVAL, "there is no \"%.64s\"; there are %s", name, buf_text(&names));
}

static void fill_texts(const struct proto_message *m, void *s)
{
	for (size_t i = 0; i < m->n_fields; i++) {
		const char **at = (const char **)(void *)((char *)s + m->fields[i].off);

		if (m->fields[i].type == PROTO_STRING && !m->fields[i].repeated && !*at)
			*at = "";
	}
}

static int read_object(const struct proto_message *m, const struct json_node *json, struct arena *arena, unsigned depth,
		       void *s)
{
	const struct json_node *name;

	if (json->type != JSON_OBJECT)
		return err_new(-EINVAL, "wanted an object");
	if (depth > PROTO_DEPTH_MAX)
		return err_new(-E2BIG, "objects within each other, deeper than %d", PROTO_DEPTH_MAX);
	for (const struct json_node *v = json_first(json, &name); v; v = json_next(json, v, &name)) {
		const struct proto_field *f = by_name(m, name->s);
		int r;

		if (!f)
			return no_field(m, name->s);
		if (v->type == JSON_NULL)
			continue;
		r = f->repeated ? list_of_json(f, v, arena, (struct proto_list *)(void *)((char *)s + f->off))
				: value_of_json(f, v, arena, depth, (char *)s + f->off);
		if (r < 0)
			return r;
	}
	fill_texts(m, s);
	return 0;
}

int proto_read_json(const struct proto_message *m, const struct json_node *json, struct arena *arena, void *ret_struct)
{
	memset(ret_struct, 0, m->size);
	return read_object(m, json, arena, 1, ret_struct);
}

int proto_read_text(const struct proto_message *m, const char *name, const char *text, struct arena *arena,
		    void *io_struct)
{
	const struct proto_field *f = by_name(m, name);
	void *at;

	if (!f || f->type == PROTO_MESSAGE)
		return no_field(m, name);
	at = (char *)io_struct + f->off;
	fill_texts(m, io_struct);
	if (f->repeated)
		return append_text(f, text, strlen(text), arena, at);
	switch (f->type) {
	case PROTO_BOOL:
		if (strcmp(text, "true") != 0 && strcmp(text, "1") != 0 && *text && strcmp(text, "false") != 0 &&
		    strcmp(text, "0") != 0)
			return wrong(f, "true or false");
		/* "?descendants" alone says yes. */
		*(bool *)at = strcmp(text, "false") != 0 && strcmp(text, "0") != 0;
		return 0;
	case PROTO_STRING:
		return set_text(f, text, strlen(text), arena, at);
	case PROTO_ENUM:
		return enum_of_text(f, text, at);
	case PROTO_U32:
	case PROTO_U64:
	case PROTO_FIXED64:
		return number_of_text(f, text, at);
	default:
		return err_new(-EINVAL, "%s: cannot be told so", f->name);
	}
}

/* ---- writing ------------------------------------------------------------------------------------ */

static void write_value(const struct proto_field *f, const void *at, struct buf *out)
{
	const char *text;
	uint32_t v32;
	uint64_t v64;

	switch (f->type) {
	case PROTO_BOOL:
		buf_str(out, *(const bool *)at ? "true" : "false");
		break;
	case PROTO_STRING:
		text = *(const char *const *)at;
		json_write_str(out, text ? text : "", text ? strlen(text) : 0);
		break;
	case PROTO_MESSAGE:
		proto_write_json(f->message, at, out);
		break;
	case PROTO_U32:
	case PROTO_ENUM:
		memcpy(&v32, at, sizeof(v32));
		buf_u64(out, v32);
		break;
	case PROTO_I32:
	case PROTO_S32:
		memcpy(&v32, at, sizeof(v32));
		buf_i64(out, (int32_t)v32);
		break;
	case PROTO_I64:
	case PROTO_S64:
		memcpy(&v64, at, sizeof(v64));
		buf_i64(out, (int64_t)v64);
		break;
	case PROTO_U64:
	case PROTO_FIXED64:
		memcpy(&v64, at, sizeof(v64));
		buf_u64(out, v64);
		break;
	case PROTO_BYTES:
		buf_str(out, "null"); /* no message that is written as JSON has any */
		break;
	}
}

static void write_list(const struct proto_field *f, const struct proto_list *list, struct buf *out)
{
	size_t size = f->type == PROTO_MESSAGE  ? f->message->size
		      : f->type == PROTO_STRING ? sizeof(const char *)
						: sizeof(uint64_t);

	buf_char(out, '[');
	for (size_t i = 0; i < list->n; i++) {
		if (i)
			buf_char(out, ',');
		write_value(f, (const char *)list->items + i * size, out);
	}
	buf_char(out, ']');
}

void proto_write_json(const struct proto_message *m, const void *s, struct buf *out)
{
	buf_char(out, '{');
	for (size_t i = 0; i < m->n_fields; i++) {
		const struct proto_field *f = &m->fields[i];
		const void *at = (const char *)s + f->off;

		if (f->type == PROTO_MESSAGE && !f->repeated && !*(const void *const *)at)
			continue;
		if (buf_text(out)[out->len - 1] != '{')
			buf_char(out, ',');
		json_write_str(out, f->name, strlen(f->name));
		buf_char(out, ':');
		if (f->repeated)
			write_list(f, at, out);
		else
			write_value(f, f->type == PROTO_MESSAGE ? *(const void *const *)at : at, out);
	}
	buf_char(out, '}');
}
