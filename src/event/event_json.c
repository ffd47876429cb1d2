/* SPDX-License-Identifier: Apache-2.0 */
/*
 * event_json - an event as one line of ECS JSON.
 *
 * Fields are dotted paths, JSON is nested, so rows are printed in the order of their paths
 * and each says how many parents it shares with the one before. For a kind that order is
 * worked out when it is registered. What a lens adds is merged in; as a lens nearly always
 * has the same fields for the same kind, each thread remembers the merged orders it made.
 */
#include <pthread.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/hash.h"
#include "base/ip.h"
#include "base/mem.h"
#include "event/internal.h"

enum {
	ORDER_LENS_MAX = 64, /* lens fields of an order worth remembering */
	ORDER_SLOTS = 128,
	ORDER_ROWS_MAX = KIND_FIELDS_MAX + EVENT_LENS_FIELDS_MAX,
};

/* One step of a merged order: a row of the kind, or a field of the lens. */
struct step {
	__u16 at;
	bool of_lens;
	__u8 common; /* segments shared with the step before */
};

struct order {
	const struct kind_info *info;
	size_t n_ids, n_steps;
	field_id ids[ORDER_LENS_MAX];
	struct step steps[KIND_FIELDS_MAX + ORDER_LENS_MAX];
};

/* What a thread needs to print events with a lens. */
struct printer {
	size_t n;
	field_id ids[EVENT_LENS_FIELDS_MAX];
	struct value values[EVENT_LENS_FIELDS_MAX];
	__u16 sorted[EVENT_LENS_FIELDS_MAX], sort_room[EVENT_LENS_FIELDS_MAX];
	struct step steps[ORDER_ROWS_MAX]; /* of an order that is not remembered */
	struct order orders[ORDER_SLOTS];
};

/* A line in the making. */
struct line {
	struct buf *out;
	const struct field_path *before; /* the last that was printed */
	unsigned open;                   /* objects open within the outermost */
	unsigned scalar;                 /* segments of a printed field that is the parent of what comes; 0: none */
	size_t n_bytes;
	__u16 bytes_rows[KIND_FIELDS_MAX]; /* rows whose text is not all there was */
};

static const char hex_digits[] = "0123456789abcdef";

/* ---- members ---------------------------------------------------------------------------- */

static void close_to(struct line *l, unsigned open)
{
	static const char braces[FIELD_DEPTH_MAX + 1] = "}}}}}}}}}}}}}}}}";

	buf_add(l->out, braces, l->open - open);
	l->open = open;
}

/*
 * "process.exec" was printed as a value, and here comes "process.exec.mode": an object cannot
 * take its place, so the name keeps its dots: "exec.mode". It reads back as the same path.
 */
static void begin_dotted(struct line *l, const struct field_path *path)
{
	const char *name = path->name;

	close_to(l, l->scalar - 1);
	for (unsigned i = 0; i < l->scalar - 1; i++)
		name = strchr(name, '.') + 1;
	buf_char(l->out, ',');
	json_write_str(l->out, name, strlen(name));
	buf_char(l->out, ':');
}

/* Opens and closes objects as needed and writes the name. `common`: segments shared with the field printed before. */
static inline void begin_member(struct line *l, const struct field_path *path, unsigned common)
{
	unsigned parents = path->depth - 1U, shared = common < parents ? common : parents;

	if (!l->before) {
		shared = 0;
		buf_char(l->out, '{');
	} else {
		if (common < l->scalar)
			l->scalar = 0;
		if (!l->scalar && common == l->before->depth)
			l->scalar = common;
		if (l->scalar) {
			begin_dotted(l, path);
			l->before = path;
			return;
		}
		if (shared > l->open)
			shared = l->open;
		close_to(l, shared);
		buf_char(l->out, ',');
	}
	buf_add(l->out, path->text + path->at[shared], path->text_len - (size_t)path->at[shared]);
	l->open = parents;
	l->before = path;
}

/* ---- values ------------------------------------------------------------------------------ */

static void put_hex(struct buf *out, __u64 v)
{
	char text[20];
	size_t i = sizeof(text);

	text[--i] = '"';
	do
		text[--i] = hex_digits[v & 15];
	while (v >>= 4);
	text[--i] = 'x';
	text[--i] = '0';
	text[--i] = '"';
	buf_add(out, text + i, sizeof(text) - i);
}

static void put_octal(struct buf *out, __u64 v)
{
	char text[26];
	size_t i = sizeof(text);

	text[--i] = '"';
	for (; v; v >>= 3)
		text[--i] = (char)('0' + (v & 7));
	text[--i] = '0';
	text[--i] = '"';
	buf_add(out, text + i, sizeof(text) - i);
}

static void put_bytes(struct buf *out, const char *p, size_t n)
{
	char *to;

	if (!buf_reserve(out, 2 * n + 2))
		return;
	to = out->data + out->len;
	*to++ = '"';
	for (size_t i = 0; i < n; i++) {
		*to++ = hex_digits[(unsigned char)p[i] >> 4];
		*to++ = hex_digits[p[i] & 15];
	}
	*to++ = '"';
	*to = 0;
	out->len += 2 * n + 2;
}

static void put_time(struct buf *out, __s64 wall_ns)
{
	char text[CLOCK_TEXT + 2];

	text[0] = text[CLOCK_TEXT + 1] = '"';
	clock_format(wall_ns, text + 1);
	buf_add(out, text, sizeof(text));
}

static void put_ip(struct buf *out, const __u8 bytes[16])
{
	char text[IP_TEXT + 2];
	size_t n = ip_format(bytes, text + 1);

	text[0] = text[n + 1] = '"';
	buf_add(out, text, n + 2);
}

static void put_name(struct buf *out, const char *name)
{
	json_write_str(out, name, strlen(name));
}

static void put_flags(struct buf *out, const struct field *f, __u64 v)
{
	char before = '[';

	for (const struct field_name *n = f->names; n->name; n++)
		if (n->value ? (v & n->value) == n->value : !v) {
			buf_char(out, before);
			before = ',';
			put_name(out, n->name);
			v &= ~n->value;
		}
	if (v || before == '[')
		buf_char(out, before);
	if (v)
		put_hex(out, v);
	buf_char(out, ']');
}

static void put_errno(struct buf *out, __s32 e)
{
	const char *name = errno_name(e);

	if (!name) {
		buf_i64(out, e);
		return;
	}
	buf_char(out, '[');
	put_name(out, name);
	buf_char(out, ',');
	buf_i64(out, e);
	buf_char(out, ']');
}

static bool put_strs(struct buf *out, struct str s)
{
	const char *p = s.p, *end = s.p + s.n, *nul;
	bool clean = true;

	buf_char(out, '[');
	while ((nul = memchr(p, 0, (size_t)(end - p)))) {
		clean &= json_write_str(out, p, (size_t)(nul - p));
		buf_char(out, ',');
		p = nul + 1;
	}
	clean &= json_write_str(out, p, (size_t)(end - p));
	buf_char(out, ']');
	return clean;
}

static void put_stack(struct buf *out, struct str s)
{
	__u64 address;

	buf_char(out, '[');
	for (size_t i = 0; i + sizeof(address) <= s.n; i += sizeof(address)) {
		memcpy(&address, s.p + i, sizeof(address));
		if (i)
			buf_char(out, ',');
		put_hex(out, address);
	}
	buf_char(out, ']');
}

/* False: the text is not all there is, because some bytes were no UTF-8. */
static bool put_ev_str(struct buf *out, const struct ev_head *rec, const struct field *f)
{
	struct str s = event_str(rec, field_load_str(rec, f));

	if (f->type == FT_STRS)
		return put_strs(out, s);
	if (f->type == FT_STR)
		return json_write_str(out, s.p, s.n);
	if (f->type == FT_STACK)
		put_stack(out, s);
	else
		put_bytes(out, s.p, s.n);
	return true;
}

static void put_enum(struct buf *out, const struct field *f, __u64 v)
{
	const char *name = field_value_name(f, v);

	if (name)
		put_name(out, name);
	else
		buf_u64(out, v);
}

/* False as in put_ev_str(). */
static bool put_field(struct buf *out, const struct ev_head *rec, const struct plan_row *row)
{
	const struct field *f = row->field;
	const char *p = (const char *)rec + f->off;

	switch (f->type) {
	case FT_CONST:
		buf_add(out, row->fixed_text, row->fixed_len);
		return true;
	case FT_U8:
	case FT_U16:
	case FT_U32:
	case FT_U64:
	case FT_DURATION:
		buf_u64(out, field_load(rec, f));
		return true;
	case FT_BOOL:
		if ((__u8)*p > 1)
			buf_u64(out, (__u8)*p);
		else
			buf_str(out, *p ? "true" : "false");
		return true;
	case FT_I32:
		buf_i64(out, (__s32)field_load(rec, f));
		return true;
	case FT_I64:
		buf_i64(out, (__s64)field_load(rec, f));
		return true;
	case FT_HEX:
		put_hex(out, field_load(rec, f));
		return true;
	case FT_OCTAL:
		put_octal(out, field_load(rec, f));
		return true;
	case FT_TIME:
		put_time(out, (__s64)(field_load(rec, f) + (__u64)event_clock()));
		return true;
	case FT_ENUM:
		put_enum(out, f, field_load(rec, f));
		return true;
	case FT_FLAGS:
		put_flags(out, f, field_load(rec, f));
		return true;
	case FT_ERRNO:
		put_errno(out, (__s32)field_load(rec, f));
		return true;
	case FT_CHARS:
		return json_write_str(out, p, strnlen(p, f->size));
	case FT_ADDR:
		put_ip(out, (const __u8 *)p);
		return true;
	case FT_STR:
	case FT_STRS:
	case FT_BYTES:
	case FT_STACK:
		return put_ev_str(out, rec, f);
	}
	return true;
}

static void put_value(struct buf *out, const struct value *v, unsigned depth)
{
	switch (v->type) {
	case VALUE_NULL:
		buf_str(out, "null");
		break;
	case VALUE_BOOL:
		buf_str(out, v->b ? "true" : "false");
		break;
	case VALUE_INT:
		buf_i64(out, v->i);
		break;
	case VALUE_UINT:
		buf_u64(out, v->u);
		break;
	case VALUE_FLOAT:
		json_write_double(out, v->f);
		break;
	case VALUE_STR:
		json_write_str(out, v->s.p, v->s.n);
		break;
	case VALUE_IP:
		put_ip(out, v->ip.bytes);
		break;
	case VALUE_LIST:
		buf_char(out, '[');
		/* Lists hold plain values; one that holds itself must not bring us down. */
		for (size_t i = 0; i < v->list.n && depth < FIELD_DEPTH_MAX; i++) {
			if (i)
				buf_char(out, ',');
			put_value(out, &v->list.items[i], depth + 1);
		}
		buf_char(out, ']');
		break;
	}
}

void value_write(const struct value *v, struct buf *out)
{
	put_value(out, v, 0);
}

/* ---- fields of a record -------------------------------------------------------------------- */

static void print_row(struct line *l, const struct ev_head *rec, const struct kind_info *info, size_t r,
		      unsigned common)
{
	const struct plan_row *row = &info->rows[r];

	begin_member(l, row->path, common);
	if (!put_field(l->out, rec, row))
		l->bytes_rows[l->n_bytes++] = (__u16)r;
}

static bool row_is_there(const struct ev_head *rec, const struct field *f)
{
	if (f->type == FT_CONST)
		return true;
	if ((size_t)f->off + f->size > rec->len)
		return false;
	return !(f->zero_is_absent || field_is_ev_str(f)) || !field_is_absent(rec, f);
}

static void print_record(struct line *l, const struct ev_head *rec, const struct kind_info *info)
{
	unsigned common = 0;

	for (size_t r = 0; r < info->n_rows; r++) {
		if (info->rows[r].common < common)
			common = info->rows[r].common;
		if (!row_is_there(rec, info->rows[r].field))
			continue;
		print_row(l, rec, info, r, common);
		common = FIELD_DEPTH_MAX;
	}
}

static struct str bytes_of(const struct ev_head *rec, const struct field *f)
{
	const char *p = (const char *)rec + f->off;

	return field_is_ev_str(f) ? event_str(rec, field_load_str(rec, f)) : (struct str) { p, strnlen(p, f->size) };
}

/* The exact bytes of the fields whose text is not all. The object "shrike" is open: it is printed last. */
static void print_bytes(struct line *l, const struct ev_head *rec, const struct kind_info *info)
{
	if (!l->n_bytes)
		return;
	close_to(l, 1);
	buf_str(l->out, ",\"bytes\":{");
	for (size_t i = 0; i < l->n_bytes; i++) {
		const struct plan_row *row = &info->rows[l->bytes_rows[i]];
		struct str s = bytes_of(rec, row->field);

		if (i)
			buf_char(l->out, ',');
		json_write_str(l->out, row->path->name, row->path->len);
		buf_char(l->out, ':');
		put_bytes(l->out, s.p, s.n);
	}
	buf_char(l->out, '}');
}

/* ---- fields of a lens ----------------------------------------------------------------------- */

static pthread_key_t printer_key;
static pthread_once_t printer_once = PTHREAD_ONCE_INIT;

static void printer_make_key(void)
{
	(void)pthread_key_create(&printer_key, free);
}

/* Made when a thread first prints a lens, and freed with the thread. */
static struct printer *printer_of_thread(void)
{
	struct printer *p;

	(void)pthread_once(&printer_once, printer_make_key);
	p = pthread_getspecific(printer_key);
	if (!p) {
		p = calloc(1, sizeof(*p));
		if (p && pthread_setspecific(printer_key, p))
			free(take(p));
	}
	return p;
}

static bool is_reserved(const struct field_path *path)
{
	static const char bytes[] = "shrike.bytes";
	size_t n = sizeof(bytes) - 1;

	return path->len >= n && !memcmp(path->name, bytes, n) && (path->len == n || path->name[n] == '.');
}

static void collect(void *ctx, field_id id, const struct value *v)
{
	struct printer *p = ctx;
	const struct field_path *path = field_path(id);

	if (p->n == EVENT_LENS_FIELDS_MAX || !path || is_reserved(path))
		return;
	p->ids[p->n] = id;
	p->values[p->n++] = *v;
}

/* Sorts p->sorted, which holds places in p->ids, by path. Merging is used because a thousand names may be a stranger's.
 */
static void sort_by_path(struct printer *p)
{
	__u16 *from = p->sorted, *to = p->sort_room;

	for (size_t i = 0; i < p->n; i++)
		from[i] = (__u16)i;
	for (size_t run = 1; run < p->n; run *= 2) {
		for (size_t at = 0; at < p->n; at += 2 * run) {
			size_t a = at, a_end = at + run < p->n ? at + run : p->n;
			size_t b = a_end, b_end = a_end + run < p->n ? a_end + run : p->n;

			for (size_t k = at; k < b_end; k++) {
				bool take_b = a == a_end ||
					      (b < b_end && field_path_compare(field_path(p->ids[from[b]]),
									       field_path(p->ids[from[a]])) < 0);

				to[k] = from[take_b ? b++ : a++];
			}
		}
		for (size_t i = 0; i < p->n; i++)
			from[i] = to[i];
	}
}

static size_t merge(struct printer *p, const struct kind_info *info, struct step *steps)
{
	const struct field_path *before = NULL;
	size_t n = 0, r = 0, s = 0, n_rows = info ? info->n_rows : 0;

	sort_by_path(p);
	while (r < n_rows || s < p->n) {
		const struct field_path *row = r < n_rows ? info->rows[r].path : NULL;
		const struct field_path *lens = s < p->n ? field_path(p->ids[p->sorted[s]]) : NULL;
		bool of_lens = !row || (lens && field_path_compare(lens, row) < 0);
		const struct field_path *path = of_lens ? lens : row;

		steps[n].of_lens = of_lens;
		steps[n].at = of_lens ? p->sorted[s++] : (__u16)r++;
		steps[n++].common = before ? (__u8)field_path_common(before, path) : 0;
		before = path;
	}
	return n;
}

static const struct step *order_of(struct printer *p, const struct kind_info *info, size_t *ret_n)
{
	struct order *o;
	__u64 hash;

	if (p->n > ORDER_LENS_MAX) {
		*ret_n = merge(p, info, p->steps);
		return p->steps;
	}
	hash = hash_bytes(p->ids, p->n * sizeof(p->ids[0]), (__u64)(uintptr_t)info);
	o = &p->orders[hash % ORDER_SLOTS];
	if (o->info != info || o->n_ids != p->n || !o->n_steps || memcmp(o->ids, p->ids, p->n * sizeof(p->ids[0]))) {
		o->info = info;
		o->n_ids = p->n;
		memcpy(o->ids, p->ids, p->n * sizeof(p->ids[0]));
		o->n_steps = merge(p, info, o->steps);
	}
	*ret_n = o->n_steps;
	return o->steps;
}

static void print_merged(struct line *l, const struct event *ev, const struct kind_info *info)
{
	struct printer *p = printer_of_thread();
	const struct step *steps;
	unsigned common = 0;
	size_t n;

	if (!p) {
		l->out->failed = true;
		return;
	}
	p->n = 0;
	ev->lens->each(ev->subject, collect, p);
	steps = order_of(p, info, &n);
	for (size_t i = 0; i < n; i++) {
		const struct field_path *path;

		if (steps[i].common < common)
			common = steps[i].common;
		if (!steps[i].of_lens) {
			if (!row_is_there(ev->rec, info->rows[steps[i].at].field))
				continue;
			print_row(l, ev->rec, info, steps[i].at, common);
		} else {
			path = field_path(p->ids[steps[i].at]);
			/* The record has it: that goes before what is known from elsewhere. */
			if (path == l->before)
				continue;
			begin_member(l, path, common);
			put_value(l->out, &p->values[steps[i].at], 0);
		}
		common = FIELD_DEPTH_MAX;
	}
}

void event_to_json(const struct event *ev, struct buf *out)
{
	const struct kind_info *info = ev->rec ? kind_info(ev->kind) : NULL;
	struct line l = { .out = out };

	if (ev->lens && ev->lens->each)
		print_merged(&l, ev, info);
	else if (info)
		print_record(&l, ev->rec, info);
	if (info)
		print_bytes(&l, ev->rec, info);
	if (!l.before)
		buf_char(out, '{');
	close_to(&l, 0);
	buf_str(out, "}\n");
}
