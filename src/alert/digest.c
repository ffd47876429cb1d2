/* SPDX-License-Identifier: Apache-2.0 */
/*
 * digest - what is the same of an event wherever it is looked at.
 *
 * Of a typed record: its kind, and the members that its table names, in their place in the record. Not the wall clock,
 * which can be set; not what the context knows, which grows; not members that are zero or empty, so that what a later
 * version adds to a record leaves the ids of older records as they were. The boot stands in process.entity_id; that of
 * records of no process is not told, for nothing else of theirs is wanted of the host.
 *
 * Of other events: all fields, by their names.
 */
#include <stdlib.h>
#include "alert/internal.h"

enum { FIELDS_FIRST = 64 };

void digest_text(struct sha256 *s, const char *p, size_t n)
{
	const uint64_t length = n;
	unsigned char le[8];

	for (unsigned i = 0; i < sizeof(le); i++)
		le[i] = (unsigned char)(length >> 8 * i);
	sha256_add(s, le, sizeof(le));
	sha256_add(s, p, n);
}

static bool is_zero(const unsigned char *p, size_t n)
{
	while (n && !p[n - 1])
		n--;
	return !n;
}

static void digest_field(struct sha256 *s, const struct ev_head *rec, const struct field *f)
{
	const char *at = (const char *)rec + f->off;
	struct str text = { at, f->size };

	if ((size_t)f->off + f->size > rec->len)
		return;
	switch (f->type) {
	case FT_STR:
	case FT_STRS:
	case FT_BYTES:
	case FT_STACK: {
		struct ev_str place;

		memcpy(&place, at, sizeof(place));
		text = event_str(rec, place);
		break;
	}
	case FT_CHARS:
		text.n = strnlen(at, f->size);
		break;
	default:
		if (is_zero((const unsigned char *)at, f->size))
			return;
	}
	if (!text.n)
		return;
	digest_text(s, f->name, strlen(f->name));
	digest_text(s, text.p, text.n);
}

static void digest_record(struct sha256 *s, const struct event *ev)
{
	const struct field *const *fields;
	const size_t n = event_kind_fields(ev->kind, &fields);
	const field_id entity = field_intern("process.entity_id", 17);
	struct value v;

	digest_text(s, ev->kind->name, strlen(ev->kind->name));
	if (event_get(ev, entity, NULL, &v) && v.type == VALUE_STR)
		digest_text(s, v.s.p, v.s.n);
	for (size_t i = 0; i < n; i++)
		/* The time since boot is there under its own name. */
		if (strcmp(fields[i]->name, "@timestamp") != 0)
			digest_field(s, ev->rec, fields[i]);
}

struct named {
	const char *name;
	struct value value;
};

struct fields {
	struct named *of;
	size_t n, room;
	bool failed;
};

static void take_field(void *ctx, field_id id, const struct value *v)
{
	struct fields *f = ctx;

	if (f->n == f->room) {
		const size_t room = f->room ? 2 * f->room : FIELDS_FIRST;
		struct named *more = realloc(f->of, room * sizeof(*more));

		if (!more) {
			f->failed = true;
			return;
		}
		f->of = more;
		f->room = room;
	}
	f->of[f->n++] = (struct named) { field_name(id), *v };
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct named *)a)->name, ((const struct named *)b)->name);
}

/* By their names: their ids are another run's order. */
static bool digest_fields(struct sha256 *s, const struct event *ev)
{
	auto_buf struct buf text = { .max = 6 * EVENT_JSON_MAX };
	struct fields f = { .of = NULL };

	if (!ev->lens)
		return true;
	ev->lens->each(ev->subject, take_field, &f);
	if (f.n)
		qsort(f.of, f.n, sizeof(f.of[0]), by_name);
	for (size_t i = 0; i < f.n; i++) {
		buf_clear(&text);
		value_write(&f.of[i].value, &text);
		digest_text(s, f.of[i].name, strlen(f.of[i].name));
		digest_text(s, buf_text(&text), text.len);
		f.failed |= text.failed;
	}
	free(f.of);
	return !f.failed;
}

bool digest_event(struct sha256 *s, const struct event *ev)
{
	if (!ev->rec)
		return digest_fields(s, ev);
	digest_record(s, ev);
	return true;
}

void digest_id(struct sha256 *s, char ret_id[ALERT_ID_SIZE])
{
	unsigned char digest[SHA256_SIZE];
	char hex[SHA256_HEX_SIZE];

	sha256_end(s, digest);
	sha256_hex(digest, hex);
	(void)snprintf(ret_id, ALERT_ID_SIZE, "%s", hex);
}
