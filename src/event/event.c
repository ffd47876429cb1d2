/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include "base/buf.h"
#include "base/mem.h"
#include "event/internal.h"

enum { ERRNO_MAX = 134 };

static _Atomic __s64 clock_offset;

void event_clock_set(__s64 wall_minus_boot_ns)
{
	atomic_store_explicit(&clock_offset, wall_minus_boot_ns, memory_order_relaxed);
}

__s64 event_clock(void)
{
	return atomic_load_explicit(&clock_offset, memory_order_relaxed);
}

struct str event_str(const struct ev_head *rec, struct ev_str s)
{
	if (s.off < sizeof(*rec) || (size_t)s.off + s.len > rec->len)
		return (struct str) { NULL, 0 };
	return (struct str) { (const char *)rec + s.off, s.len };
}

const char *errno_name(int e)
{
	return e > 0 ? strerrorname_np(e) : NULL;
}

int errno_of(const char *name, size_t n)
{
	for (int e = 1; e < ERRNO_MAX; e++) {
		const char *is = strerrorname_np(e);

		if (is && strlen(is) == n && !memcmp(is, name, n))
			return e;
	}
	return -1;
}

const char *field_value_name(const struct field *f, __u64 v)
{
	for (const struct field_name *n = f->names; n->name; n++)
		if (n->value == v)
			return n->name;
	return NULL;
}

static struct value of_str(const char *p, size_t n)
{
	return (struct value) { .type = VALUE_STR, .s = { p, n } };
}

static struct value of_uint(__u64 v)
{
	return (struct value) { .type = VALUE_UINT, .u = v };
}

static struct value of_int(__s64 v)
{
	return (struct value) { .type = VALUE_INT, .i = v };
}

static struct value of_items(const struct event_scratch *scratch, size_t n)
{
	return (struct value) { .type = VALUE_LIST, .list = { scratch->items, n } };
}

static struct value value_of_flags(const struct field *f, __u64 v, struct event_scratch *scratch)
{
	size_t n = 0;
	int len;

	for (const struct field_name *name = f->names; name->name && n < countof(scratch->items) - 1; name++)
		if (name->value ? (v & name->value) == name->value : !v) {
			scratch->items[n++] = of_str(name->name, strlen(name->name));
			v &= ~name->value;
		}
	if (v) {
		len = snprintf(scratch->text, sizeof(scratch->text), "%#llx", (unsigned long long)v);
		scratch->items[n++] = of_str(scratch->text, (size_t)len);
	}
	return of_items(scratch, n);
}

static struct value value_of_errno(__s32 e, struct event_scratch *scratch)
{
	const char *name = errno_name(e);

	if (!name)
		return of_int(e);
	scratch->items[0] = of_str(name, strlen(name));
	scratch->items[1] = of_int(e);
	return of_items(scratch, 2);
}

static struct value value_of_const(const struct field *f, struct event_scratch *scratch)
{
	size_t n = 0;

	if (!f->names[1].name)
		return of_str(f->names[0].name, f->names[0].value);
	if (!scratch)
		return (struct value) { 0 };
	for (const struct field_name *name = f->names; name->name; name++)
		scratch->items[n++] = of_str(name->name, name->value);
	return of_items(scratch, n);
}

/* Lists longer than the scratch are cut: conditions look at the first EVENT_ITEMS of them. */
static struct value value_of_strs(struct str s, struct event_scratch *scratch)
{
	const char *end = s.p + s.n;
	size_t n = 0;

	for (const char *p = s.p; n < countof(scratch->items); n++) {
		const char *nul = memchr(p, 0, (size_t)(end - p)), *stop = nul ? nul : end;

		scratch->items[n] = of_str(p, (size_t)(stop - p));
		if (!nul) {
			n++;
			break;
		}
		p = nul + 1;
	}
	return of_items(scratch, n);
}

static struct value value_of_stack(struct str s, struct event_scratch *scratch)
{
	size_t n = s.n / sizeof(__u64);
	__u64 address;

	if (n > countof(scratch->items))
		n = countof(scratch->items);
	for (size_t i = 0; i < n; i++) {
		memcpy(&address, s.p + i * sizeof(address), sizeof(address));
		scratch->items[i] = of_uint(address);
	}
	return of_items(scratch, n);
}

static struct value value_of_list(const struct ev_head *rec, const struct field *f, struct event_scratch *scratch)
{
	struct str s = event_str(rec, field_load_str(rec, f));

	if (!s.p || (f->zero_is_absent && !s.n))
		return (struct value) { 0 };
	if (f->type == FT_STRS)
		return scratch ? value_of_strs(s, scratch) : (struct value) { 0 };
	return scratch ? value_of_stack(s, scratch) : (struct value) { 0 };
}

bool event_field_value(const struct ev_head *rec, const struct field *f, struct event_scratch *scratch,
		       struct value *ret_value)
{
	const char *p = (const char *)rec + f->off, *name;
	/* Made in its place, part by part: a copy of the whole waits until the parts have been written. */
	struct value *v = ret_value;

	*v = (struct value) { 0 };
	if ((size_t)f->off + f->size > rec->len && f->type != FT_CONST)
		return false;
	switch (f->type) {
	case FT_U8:
	case FT_U16:
	case FT_U32:
	case FT_U64:
	case FT_HEX:
	case FT_OCTAL:
	case FT_DURATION:
		v->type = VALUE_UINT;
		v->u = field_load(rec, f);
		break;
	case FT_BOOL:
		v->type = VALUE_BOOL;
		v->b = *p != 0;
		break;
	case FT_I32:
		v->type = VALUE_INT;
		v->i = (__s32)field_load(rec, f);
		break;
	case FT_I64:
		v->type = VALUE_INT;
		v->i = (__s64)field_load(rec, f);
		break;
	case FT_TIME:
		v->type = VALUE_INT;
		v->i = (__s64)(field_load(rec, f) + (__u64)event_clock());
		break;
	case FT_ENUM:
		*v = of_uint(field_load(rec, f));
		name = scratch ? field_value_name(f, v->u) : NULL;
		if (name)
			*v = of_str(name, strlen(name));
		break;
	case FT_FLAGS:
		*v = of_uint(field_load(rec, f));
		if (scratch)
			*v = value_of_flags(f, v->u, scratch);
		break;
	case FT_ERRNO:
		v->type = VALUE_INT;
		v->i = (__s32)field_load(rec, f);
		if (scratch)
			*v = value_of_errno((__s32)v->i, scratch);
		break;
	case FT_CHARS:
		*v = of_str(p, strnlen(p, f->size));
		break;
	case FT_ADDR:
		v->type = VALUE_IP;
		memcpy(&v->ip, p, sizeof(v->ip));
		break;
	case FT_STR:
	case FT_BYTES:
		v->s = event_str(rec, field_load_str(rec, f));
		if (v->s.p && (v->s.n || !f->zero_is_absent))
			v->type = VALUE_STR;
		return v->type != VALUE_NULL;
	case FT_STRS:
	case FT_STACK:
		*v = value_of_list(rec, f, scratch);
		return v->type != VALUE_NULL;
	case FT_CONST:
		*v = value_of_const(f, scratch);
		break;
	}
	if (f->zero_is_absent && field_is_absent(rec, f))
		v->type = VALUE_NULL;
	return v->type != VALUE_NULL;
}

bool field_is_absent(const struct ev_head *rec, const struct field *f)
{
	const char *p = (const char *)rec + f->off;

	if (field_is_ev_str(f)) {
		struct str s = event_str(rec, field_load_str(rec, f));

		return !s.p || (f->zero_is_absent && !s.n);
	}
	if (!f->zero_is_absent)
		return false;
	if (f->type == FT_CHARS)
		return !*p;
	if (f->type == FT_ADDR) {
		static const struct ev_addr none;

		return !memcmp(p, &none, sizeof(none));
	}
	return !field_load(rec, f);
}

bool event_get(const struct event *ev, field_id id, struct event_scratch *scratch, struct value *ret_value)
{
	if (ev->rec) {
		const struct field *f = event_kind_field(ev->kind, id);

		if (f && event_field_value(ev->rec, f, scratch, ret_value))
			return true;
	}
	if (ev->lens && ev->lens->get(ev->subject, id, ret_value))
		return true;
	ret_value->type = VALUE_NULL;
	return false;
}

static bool str_is_sound(const struct ev_head *rec, const struct event_kind *kind, const struct field *f)
{
	struct ev_str s = field_load_str(rec, f);
	size_t end = (size_t)s.off + s.len;

	if (!s.off)
		return !s.len;
	if (s.off < kind->size || end > rec->len)
		return false;
	if (f->type == FT_STACK)
		return s.len % sizeof(__u64) == 0 && s.len <= EV_STACK_MAX * sizeof(__u64);
	return f->type == FT_BYTES || (end < rec->len && !((const char *)rec)[end]);
}

const struct event_kind *event_check(const void *bytes, size_t len)
{
	const struct ev_head *rec = bytes;
	const struct event_kind *kind;
	const struct kind_info *info;
	size_t sum = 0;

	if (len < sizeof(*rec) || len > EV_LEN_MAX)
		return NULL;
	kind = event_kind_of(rec->id);
	info = kind_info(kind);
	if (!info || rec->len != len || len < kind->size || rec->class >= EV_CLASS_COUNT)
		return NULL;
	for (size_t i = 0; i < info->n_strings; i++) {
		if (!str_is_sound(rec, kind, info->strings[i]))
			return NULL;
		sum += field_load_str(rec, info->strings[i]).len;
	}
	/* Strings that share bytes would make more of a record than its length says. */
	return sum <= len - kind->size ? kind : NULL;
}

/* A string of the shorter record, as it stands in the longer one. False: the record is not what it is said to be. */
static bool move_str(struct ev_head *rec, const struct field *f, size_t fixed, size_t grown)
{
	struct ev_str s = field_load_str(rec, f);

	if (!s.off)
		return true;
	if (s.off < fixed || s.off + grown + s.len > rec->len)
		return false;
	s.off = (__u16)(s.off + grown);
	memcpy((char *)rec + f->off, &s, sizeof(s));
	return true;
}

const struct event_kind *event_widen(const void *bytes, size_t len, size_t fixed, void *ret_rec)
{
	const struct event_kind *kind;
	const struct kind_info *info;
	struct ev_head head;
	char *to = ret_rec;
	size_t grown;

	if (len < sizeof(head) || len > EV_LEN_MAX)
		return NULL;
	memcpy(&head, bytes, sizeof(head));
	kind = event_kind_of(head.id);
	info = kind_info(kind);
	if (!info || head.len != len)
		return NULL;
	grown = fixed < kind->size ? kind->size - fixed : 0;
	if (!grown) {
		memcpy(to, bytes, len);
		return event_check(to, len);
	}
	if (fixed < sizeof(head) || fixed > len || len + grown > EV_LEN_MAX)
		return NULL;
	memcpy(to, bytes, fixed);
	memset(to + fixed, 0, grown);
	memcpy(to + fixed + grown, (const char *)bytes + fixed, len - fixed);
	((struct ev_head *)ret_rec)->len = (__u16)(len + grown);
	for (size_t i = 0; i < info->n_in_order; i++) {
		const struct field *f = info->in_order[i];

		/* The shorter part ended between two fields, or it is not one that this kind ever had. */
		if (f->off < fixed && f->off + f->size > fixed)
			return NULL;
		if (f->off < fixed && field_is_ev_str(f) && !move_str(ret_rec, f, fixed, grown))
			return NULL;
	}
	return event_check(ret_rec, len + grown);
}
