/* SPDX-License-Identifier: Apache-2.0 */
/*
 * event_read - a line of ECS JSON back into a record.
 *
 * The line is read as an event of any schema, of which only the names are known that tables
 * use; then each row of the kind's table asks for its value. A field that the line lacks is
 * zero or absent, so that lines of an older agent still read.
 */
#include <pthread.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/ip.h"
#include "base/mem.h"
#include "event/internal.h"
#include "event/json_event.h"

/* A record in the making. */
struct maker {
	struct json_event line;
	__s64 clock; /* wall minus boot time when the line was written */
	size_t len;
	_Alignas(8) char bytes[EV_LEN_MAX];
};

static const char hex_error[] = "wanted hex digits, two a byte";

static int wrong(const struct field *f, const char *what)
{
	return err_new(-EINVAL, "%s: %s", f->name, what);
}

/* ---- numbers -------------------------------------------------------------------------------- */

static bool value_uint(const struct value *v, __u64 *ret_v)
{
	if (v->type != VALUE_UINT && (v->type != VALUE_INT || v->i < 0))
		return false;
	*ret_v = v->u;
	return true;
}

/* "0x1f" with base 16, "017" with base 8. */
static bool text_uint(struct str s, unsigned base, __u64 *ret_v)
{
	size_t i = base == 16 ? 2 : 1;
	__u64 v = 0;

	if (s.n < (base == 16 ? 3 : 1) || s.n > 24 || s.p[0] != '0' || (base == 16 && s.p[1] != 'x'))
		return false;
	for (; i < s.n; i++) {
		char c = s.p[i];
		unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
				 : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10)
							: 16;

		if (digit >= base || v > (UINT64_MAX - digit) / base)
			return false;
		v = v * base + digit;
	}
	*ret_v = v;
	return true;
}

static int store(struct maker *m, const struct field *f, __u64 v)
{
	char *p = m->bytes + f->off;

	if (f->size < sizeof(v) && v >> (8 * f->size))
		return wrong(f, "the number is too large");
	/* Little-endian, as json_scan.h asserts: the low bytes come first. */
	memcpy(p, &v, f->size);
	return 0;
}

static int store_signed(struct maker *m, const struct field *f, const struct value *v)
{
	if (v->type != VALUE_INT)
		return wrong(f, "wanted a whole number");
	if (f->size == 4 && (v->i < INT32_MIN || v->i > INT32_MAX))
		return wrong(f, "the number is too large");
	memcpy(m->bytes + f->off, &v->i, f->size);
	return 0;
}

static int store_uint(struct maker *m, const struct field *f, const struct value *v, unsigned text_base)
{
	__u64 n;

	if (!value_uint(v, &n) && !(text_base && v->type == VALUE_STR && text_uint(v->s, text_base, &n)))
		return wrong(f, "wanted a number that is not negative");
	return store(m, f, n);
}

static int store_bool(struct maker *m, const struct field *f, const struct value *v)
{
	return v->type == VALUE_BOOL ? store(m, f, v->b) : store_uint(m, f, v, 0);
}

static int store_time(struct maker *m, const struct field *f, const struct value *v)
{
	int64_t wall_ns;

	if (v->type != VALUE_STR || !clock_parse(v->s.p, v->s.n, &wall_ns))
		return wrong(f, "wanted a date");
	return store(m, f, (__u64)wall_ns - (__u64)m->clock);
}

static bool name_value(const struct field *f, struct str name, __u64 *ret_v)
{
	for (const struct field_name *n = f->names; n->name; n++)
		if (strlen(n->name) == name.n && !memcmp(n->name, name.p, name.n)) {
			*ret_v = n->value;
			return true;
		}
	return false;
}

static int store_enum(struct maker *m, const struct field *f, const struct value *v)
{
	__u64 n;

	if (v->type != VALUE_STR)
		return store_uint(m, f, v, 0);
	if (!name_value(f, v->s, &n))
		return wrong(f, "no such name");
	return store(m, f, n);
}

/* The items of a list, or the one value that is none. */
static const struct value *items_of(const struct value *v, size_t *ret_n)
{
	*ret_n = v->type == VALUE_LIST ? v->list.n : 1;
	return v->type == VALUE_LIST ? v->list.items : v;
}

static int store_flags(struct maker *m, const struct field *f, const struct value *v)
{
	size_t n;
	const struct value *items = items_of(v, &n);
	__u64 sum = 0, one;

	for (size_t i = 0; i < n; i++, sum |= one)
		if (items[i].type != VALUE_STR ||
		    (!name_value(f, items[i].s, &one) && !text_uint(items[i].s, 16, &one)))
			return wrong(f, "no such flag");
	return store(m, f, sum);
}

static int store_errno(struct maker *m, const struct field *f, const struct value *v)
{
	size_t n;
	const struct value *items = items_of(v, &n);
	struct value number = { .type = VALUE_INT };

	for (size_t i = 0; i < n; i++)
		if (items[i].type == VALUE_INT)
			return store_signed(m, f, &items[i]);
	if (n == 1 && items[0].type == VALUE_STR)
		number.i = errno_of(items[0].s.p, items[0].s.n);
	if (number.i <= 0)
		return wrong(f, "no such error");
	return store_signed(m, f, &number);
}

/* ---- strings ----------------------------------------------------------------------------------- */

/* Room for n bytes at the end of the record, aligned; NULL when it would become too long. */
static char *take_room(struct maker *m, size_t n, size_t align)
{
	size_t at = (m->len + align - 1) / align * align;

	if (at > EV_LEN_MAX || n > EV_LEN_MAX - at)
		return NULL;
	memset(m->bytes + m->len, 0, at - m->len);
	m->len = at + n;
	return m->bytes + at;
}

static int store_ev_str(struct maker *m, const struct field *f, const char *p, size_t n, bool nul)
{
	struct ev_str s;
	char *to = take_room(m, n + nul, f->type == FT_STACK ? sizeof(__u64) : 1);

	if (!to)
		return wrong(f, "the record becomes too long");
	if (n)
		memcpy(to, p, n);
	if (nul)
		to[n] = 0;
	s = (struct ev_str) { (__u16)(to - m->bytes), (__u16)n };
	memcpy(m->bytes + f->off, &s, sizeof(s));
	return 0;
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* In place: what it stands for is half as long. */
static bool unhex(char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int high = hex_digit(bytes[2 * i]), low = hex_digit(bytes[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		bytes[i] = (char)(high << 4 | low);
	}
	return true;
}

static int store_hex(struct maker *m, const struct field *f, const struct value *v, bool nul)
{
	char bytes[EV_LEN_MAX * 2];
	size_t n;

	if (v->type != VALUE_STR || v->s.n % 2)
		return wrong(f, hex_error);
	if (v->s.n > sizeof(bytes))
		return wrong(f, "the record becomes too long");
	n = v->s.n / 2;
	memcpy(bytes, v->s.p, v->s.n);
	if (!unhex(bytes, n))
		return wrong(f, hex_error);
	if (f->type != FT_CHARS)
		return store_ev_str(m, f, bytes, n, nul);
	if (n > f->size)
		return wrong(f, "longer than its place");
	memcpy(m->bytes + f->off, bytes, n);
	return 0;
}

static int store_chars(struct maker *m, const struct field *f, const struct value *v)
{
	if (v->type != VALUE_STR || v->s.n > f->size || memchr(v->s.p, 0, v->s.n))
		return wrong(f, "wanted a string that fits");
	memcpy(m->bytes + f->off, v->s.p, v->s.n);
	return 0;
}

static int store_strs(struct maker *m, const struct field *f, const struct value *v)
{
	size_t n, start = m->len;
	const struct value *items = items_of(v, &n);
	struct ev_str s;

	if (!n)
		return 0;
	for (size_t i = 0; i < n; i++) {
		char *to;

		if (items[i].type != VALUE_STR || memchr(items[i].s.p, 0, items[i].s.n))
			return wrong(f, "wanted a list of strings");
		to = take_room(m, items[i].s.n + 1, 1);
		if (!to)
			return wrong(f, "the record becomes too long");
		memcpy(to, items[i].s.p, items[i].s.n);
		to[items[i].s.n] = 0;
	}
	s = (struct ev_str) { (__u16)start, (__u16)(m->len - start - 1) };
	memcpy(m->bytes + f->off, &s, sizeof(s));
	return 0;
}

static int store_stack(struct maker *m, const struct field *f, const struct value *v)
{
	__u64 addresses[EV_STACK_MAX];
	size_t n;
	const struct value *items = items_of(v, &n);

	if (n > EV_STACK_MAX)
		return wrong(f, "a stack of too many frames");
	for (size_t i = 0; i < n; i++)
		if (items[i].type != VALUE_STR || !text_uint(items[i].s, 16, &addresses[i]))
			return wrong(f, "wanted a list of addresses");
	return store_ev_str(m, f, (const char *)addresses, n * sizeof(addresses[0]), false);
}

static int store_str(struct maker *m, const struct field *f, const struct value *v)
{
	return v->type == VALUE_STR ? store_ev_str(m, f, v->s.p, v->s.n, true) : wrong(f, "wanted a string");
}

static int store_addr(struct maker *m, const struct field *f, const struct value *v)
{
	struct ev_addr addr;

	if (v->type != VALUE_STR || !ip_parse(v->s.p, v->s.n, addr.bytes))
		return wrong(f, "wanted an address");
	memcpy(m->bytes + f->off, &addr, sizeof(addr));
	return 0;
}

static int store_field(struct maker *m, const struct field *f, const struct value *v)
{
	switch (f->type) {
	case FT_BOOL:
		return store_bool(m, f, v);
	case FT_U8:
	case FT_U16:
	case FT_U32:
	case FT_U64:
	case FT_DURATION:
		return store_uint(m, f, v, 0);
	case FT_I32:
	case FT_I64:
		return store_signed(m, f, v);
	case FT_HEX:
		return store_uint(m, f, v, 16);
	case FT_OCTAL:
		return store_uint(m, f, v, 8);
	case FT_TIME:
		return store_time(m, f, v);
	case FT_ENUM:
		return store_enum(m, f, v);
	case FT_FLAGS:
		return store_flags(m, f, v);
	case FT_ERRNO:
		return store_errno(m, f, v);
	case FT_CHARS:
		return store_chars(m, f, v);
	case FT_ADDR:
		return store_addr(m, f, v);
	case FT_STR:
		return store_str(m, f, v);
	case FT_STRS:
		return store_strs(m, f, v);
	case FT_BYTES:
		return store_hex(m, f, v, false);
	case FT_STACK:
		return store_stack(m, f, v);
	case FT_CONST:
		break;
	}
	return 0;
}

/* ---- the record ----------------------------------------------------------------------------------- */

static int store_row(struct maker *m, const struct plan_row *row)
{
	const struct value *bytes = row->bytes_id ? json_event_find(&m->line, row->bytes_id) : NULL;
	const struct value *v = json_event_find(&m->line, row->id);

	if (bytes)
		return store_hex(m, row->field, bytes, true);
	return v && v->type != VALUE_NULL ? store_field(m, row->field, v) : 0;
}

/* The line says both times of its event: the difference is the clock by which its other dates were made. */
static int read_clock(struct maker *m)
{
	static const char wall_name[] = "@timestamp", boot_name[] = "shrike.boot_ns";
	const struct value *wall = json_event_find(&m->line, field_find(wall_name, sizeof(wall_name) - 1));
	const struct value *boot = json_event_find(&m->line, field_find(boot_name, sizeof(boot_name) - 1));
	int64_t wall_ns;
	__u64 boot_ns;

	m->clock = event_clock();
	if (!wall || wall->type != VALUE_STR || !clock_parse(wall->s.p, wall->s.n, &wall_ns))
		return err_new(-EINVAL, "@timestamp: wanted a date");
	if (boot && value_uint(boot, &boot_ns))
		m->clock = (__s64)((__u64)wall_ns - boot_ns);
	return 0;
}

static int make(struct maker *m, const char *line, size_t n)
{
	static const char dataset_name[] = "event.dataset";
	const struct kind_info *info = NULL;
	const struct value *dataset;
	struct ev_head *head = (struct ev_head *)m->bytes;
	int r;

	r = json_event_parse(&m->line, line, n);
	if (r < 0)
		return r;
	dataset = json_event_find(&m->line, field_find(dataset_name, sizeof(dataset_name) - 1));
	if (dataset && dataset->type == VALUE_STR)
		info = kind_info(event_kind_by_name(dataset->s.p, dataset->s.n));
	if (!info)
		return err_new(-EINVAL, "event.dataset: no such kind of record");
	r = read_clock(m);
	if (r < 0)
		return r;
	m->len = info->kind->size;
	memset(m->bytes, 0, m->len);
	head->id = info->kind->id;
	head->class = (__u8)info->kind->class;
	for (size_t i = 0; i < info->n_in_order; i++) {
		r = store_row(m, info->in_order_rows[i]);
		if (r < 0)
			return r;
	}
	head->len = (__u16)m->len;
	return event_check(m->bytes, m->len) ? 0 : err_new(-EINVAL, "the fields make no sound record");
}

static pthread_key_t maker_key;
static pthread_once_t maker_once = PTHREAD_ONCE_INIT;

static void maker_free(void *p)
{
	struct maker *m = p;

	json_event_free(&m->line);
	free(m);
}

static void maker_make_key(void)
{
	(void)pthread_key_create(&maker_key, maker_free);
}

/* Made when a thread first reads a line, and freed with the thread. */
static struct maker *maker_of_thread(void)
{
	struct maker *m;

	(void)pthread_once(&maker_once, maker_make_key);
	m = pthread_getspecific(maker_key);
	if (m)
		return m;
	m = calloc(1, sizeof(*m));
	if (!m)
		return NULL;
	json_event_init(&m->line, true);
	if (pthread_setspecific(maker_key, m))
		maker_free(take(m));
	return m;
}

int event_from_json(const char *line, size_t n, struct buf *out_record)
{
	struct maker *m = maker_of_thread();
	int r;

	if (!m)
		return err_new(-ENOMEM, "out of memory");
	r = make(m, line, n);
	if (r < 0)
		return err_wrap(r, "read an event from JSON");
	buf_clear(out_record);
	buf_add(out_record, m->bytes, m->len);
	return out_record->failed ? err_new(-ENOMEM, "no room for a record of %zu bytes", m->len) : 0;
}
