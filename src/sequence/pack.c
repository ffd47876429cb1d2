/* SPDX-License-Identifier: Apache-2.0 */
#include "sequence/pack.h"
#include <math.h>
#include <string.h>
#include "base/clock.h"
#include "base/ip.h"
#include "match/fold.h"

enum tag {
	TAG_NULL = 'n',
	TAG_BOOL = 'b',
	TAG_INT = 'i',
	TAG_UINT = 'u',
	TAG_FLOAT = 'f',
	TAG_STR = 's',
	TAG_IP = 'a',
	TAG_LIST = 'l'
};

static bool put(struct buf *b, enum tag tag, const void *p, size_t n)
{
	if (!buf_reserve(b, n + 1))
		return false;
	b->data[b->len] = (char)tag;
	if (n)
		memcpy(b->data + b->len + 1, p, n);
	b->len += n + 1;
	return true;
}

static bool put_str(struct buf *b, const char *p, size_t n)
{
	uint32_t len = (uint32_t)n;

	if (n > b->max || !buf_reserve(b, 1 + sizeof(len) + n))
		return false;
	(void)put(b, TAG_STR, &len, sizeof(len));
	buf_add(b, p, n);
	return true;
}

static bool put_folded(struct buf *b, const char *p, size_t n)
{
	uint32_t len;
	size_t at = b->len;

	if (n > b->max || !buf_reserve(b, 1 + sizeof(len) + FOLD_ROOM(n)))
		return false;
	(void)put(b, TAG_STR, &(uint32_t) { 0 }, sizeof(len));
	len = (uint32_t)fold_text(p, n, b->data + b->len);
	memcpy(b->data + at + 1, &len, sizeof(len));
	b->len += len;
	return true;
}

static bool put_int(struct buf *b, int64_t i)
{
	return put(b, TAG_INT, &i, sizeof(i));
}

static bool put_float(struct buf *b, double f, bool exact)
{
	static const double whole_max = 9007199254740992.0; /* 2^53: beyond, not every integer is a double */

	if (!exact && f >= -whole_max && f <= whole_max && f == (double)(int64_t)f)
		return put_int(b, (int64_t)f);
	if (isnan(f))
		f = NAN;
	return put(b, TAG_FLOAT, &f, sizeof(f));
}

static bool put_value(struct buf *b, const struct value *v, bool exact, bool fold, unsigned depth)
{
	uint32_t n;

	switch (v->type) {
	case VALUE_BOOL:
		return put(b, TAG_BOOL, &v->b, 1);
	case VALUE_INT:
		return put_int(b, v->i);
	case VALUE_UINT:
		if (!exact && v->u <= INT64_MAX)
			return put_int(b, (int64_t)v->u);
		return put(b, TAG_UINT, &v->u, sizeof(v->u));
	case VALUE_FLOAT:
		return put_float(b, v->f, exact);
	case VALUE_STR:
		return fold ? put_folded(b, v->s.p, v->s.n) : put_str(b, v->s.p, v->s.n);
	case VALUE_IP:
		return put(b, TAG_IP, v->ip.bytes, sizeof(v->ip.bytes));
	case VALUE_LIST:
		if (depth >= PACK_DEPTH_MAX)
			break;
		n = v->list.n < PACK_ITEMS_MAX ? (uint32_t)v->list.n : PACK_ITEMS_MAX;
		if (!put(b, TAG_LIST, &n, sizeof(n)))
			return false;
		for (uint32_t i = 0; i < n; i++)
			if (!put_value(b, &v->list.items[i], exact, fold, depth + 1))
				return false;
		return true;
	case VALUE_NULL:
		break;
	}
	return put(b, TAG_NULL, NULL, 0);
}

bool pack_exact(struct buf *b, const struct value *v)
{
	return put_value(b, v, true, false, 0);
}

bool pack_key(struct buf *b, const struct value *v, enum rule_type type, bool fold)
{
	struct ev_addr ip;
	int64_t ns;

	if (v->type == VALUE_STR && type == RULE_IP && ip_parse(v->s.p, v->s.n, ip.bytes))
		return put(b, TAG_IP, ip.bytes, sizeof(ip.bytes));
	if (v->type == VALUE_STR && type == RULE_DATE && clock_parse(v->s.p, v->s.n, &ns))
		return put_int(b, ns);
	return put_value(b, v, false, fold, 0);
}

/* ---- back ------------------------------------------------------------------------------------ */

static bool get(struct unpack *u, void *to, size_t n)
{
	if ((size_t)(u->end - u->p) < n)
		return false;
	memcpy(to, u->p, n);
	u->p += n;
	return true;
}

static bool get_list(struct unpack *u, struct value *ret_value)
{
	struct value *items = u->items + u->n_items;
	uint32_t n, kept;

	if (!get(u, &n, sizeof(n)) || n > PACK_ITEMS_MAX)
		return false;
	kept = u->max_items - u->n_items < n ? (uint32_t)(u->max_items - u->n_items) : n;
	u->n_items += kept;
	for (uint32_t i = 0; i < n; i++) {
		struct value v;

		if (!unpack_next(u, &v))
			return false;
		if (i < kept)
			items[i] = v;
	}
	*ret_value = (struct value) { .type = VALUE_LIST, .list = { items, kept } };
	return true;
}

bool unpack_next(struct unpack *u, struct value *ret_value)
{
	struct value v = { 0 };
	uint32_t n;

	if (u->p == u->end)
		return false;
	switch ((enum tag) * u->p++) {
	case TAG_NULL:
		break;
	case TAG_BOOL:
		v.type = VALUE_BOOL;
		if (!get(u, &v.b, 1))
			return false;
		break;
	case TAG_INT:
		v.type = VALUE_INT;
		if (!get(u, &v.i, sizeof(v.i)))
			return false;
		break;
	case TAG_UINT:
		v.type = VALUE_UINT;
		if (!get(u, &v.u, sizeof(v.u)))
			return false;
		break;
	case TAG_FLOAT:
		v.type = VALUE_FLOAT;
		if (!get(u, &v.f, sizeof(v.f)))
			return false;
		break;
	case TAG_STR:
		if (!get(u, &n, sizeof(n)) || (size_t)(u->end - u->p) < n)
			return false;
		v.type = VALUE_STR;
		v.s = (struct str) { (const char *)u->p, n };
		u->p += n;
		break;
	case TAG_IP:
		v.type = VALUE_IP;
		if (!get(u, v.ip.bytes, sizeof(v.ip.bytes)))
			return false;
		break;
	case TAG_LIST:
		return get_list(u, ret_value);
	default:
		return false;
	}
	*ret_value = v;
	return true;
}

/* ---- order ----------------------------------------------------------------------------------- */

static int rank_of(const struct value *v)
{
	switch (v->type) {
	case VALUE_NULL:
		return 0;
	case VALUE_BOOL:
		return 1;
	case VALUE_INT:
	case VALUE_UINT:
	case VALUE_FLOAT:
		return 2;
	case VALUE_IP:
		return 3;
	case VALUE_STR:
		return 4;
	case VALUE_LIST:
		break;
	}
	return 5;
}

static int sign(bool less, bool more)
{
	return more - less;
}

/* A double holds 64 bits, so no integer is rounded; not a number comes first. */
static long double number_of(const struct value *v)
{
	if (v->type == VALUE_FLOAT)
		return isnan(v->f) ? -INFINITY : v->f;
	return v->type == VALUE_INT ? (long double)v->i : (long double)v->u;
}

int value_order(const struct value *a, const struct value *b, bool fold)
{
	int ra = rank_of(a), rb = rank_of(b), r = 0;

	if (ra != rb)
		return sign(ra<rb, ra> rb);
	switch (ra) {
	case 1:
		return sign(a->b<b->b, a->b> b->b);
	case 2:
		return sign(number_of(a) < number_of(b), number_of(a) > number_of(b));
	case 3:
		return memcmp(a->ip.bytes, b->ip.bytes, sizeof(a->ip.bytes));
	case 4:
		if (fold)
			return fold_compare(a->s.p, a->s.n, b->s.p, b->s.n);
		r = memcmp(a->s.p ? a->s.p : "", b->s.p ? b->s.p : "", a->s.n < b->s.n ? a->s.n : b->s.n);
		return r ? r : sign(a->s.n<b->s.n, a->s.n> b->s.n);
	case 5:
		for (size_t i = 0; !r && i < a->list.n && i < b->list.n; i++)
			r = value_order(&a->list.items[i], &b->list.items[i], fold);
		return r ? r : sign(a->list.n<b->list.n, a->list.n> b->list.n);
	default:
		return 0;
	}
}
