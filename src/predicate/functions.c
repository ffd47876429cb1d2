/* SPDX-License-Identifier: Apache-2.0 */
#include "predicate/functions.h"
#include <errno.h>
#include <math.h>
#include <string.h>
#include "base/clock.h"
#include "base/ip.h"
#include "base/json.h"
#include "match/cidr.h"
#include "match/fold.h"

enum { NUMBER_TEXT_MAX = 64 };

/* ---- values --------------------------------------------------------------------------------------- */

enum truth value_truth(const struct value *v)
{
	switch (v->type) {
	case VALUE_NULL:
		return TRUTH_NULL;
	case VALUE_BOOL:
		return v->b ? TRUTH_TRUE : TRUTH_FALSE;
	case VALUE_INT:
	case VALUE_UINT:
		return v->u ? TRUTH_TRUE : TRUTH_FALSE;
	case VALUE_FLOAT:
		return v->f != 0 ? TRUTH_TRUE : TRUTH_FALSE;
	case VALUE_STR:
		return v->s.n ? TRUTH_TRUE : TRUTH_FALSE;
	case VALUE_LIST:
		return value_is_null(v) ? TRUTH_NULL : TRUTH_TRUE;
	default:
		return TRUTH_TRUE;
	}
}

bool value_is_null(const struct value *v)
{
	if (v->type != VALUE_LIST)
		return v->type == VALUE_NULL;
	for (size_t i = 0; i < v->list.n; i++)
		if (!value_is_null(&v->list.items[i]))
			return false;
	return true;
}

struct value value_of_const(const struct ir_node *n)
{
	switch (n->op) {
	case IR_BOOL:
		return (struct value) { .type = VALUE_BOOL, .b = n->b };
	case IR_INT:
		return (struct value) { .type = VALUE_INT, .i = n->i };
	case IR_FLOAT:
		return (struct value) { .type = VALUE_FLOAT, .f = n->f };
	case IR_STR:
		return (struct value) { .type = VALUE_STR, .s = n->str };
	default:
		return value_null();
	}
}

static struct value of_int(__int128 v)
{
	if (v >= INT64_MIN && v <= INT64_MAX)
		return (struct value) { .type = VALUE_INT, .i = (int64_t)v };
	if (v > 0 && v <= UINT64_MAX)
		return (struct value) { .type = VALUE_UINT, .u = (uint64_t)v };
	return value_null();
}

static struct value of_float(double v)
{
	return isfinite(v) ? (struct value) { .type = VALUE_FLOAT, .f = v } : value_null();
}

static struct value of_bool(bool b)
{
	return (struct value) { .type = VALUE_BOOL, .b = b };
}

static struct value of_text(const char *p, size_t n)
{
	return (struct value) { .type = VALUE_STR, .s = { p, n } };
}

static bool is_whole(const struct value *v)
{
	return v->type == VALUE_INT || v->type == VALUE_UINT;
}

static bool is_number(const struct value *v)
{
	return is_whole(v) || v->type == VALUE_FLOAT;
}

static __int128 whole(const struct value *v)
{
	return v->type == VALUE_UINT ? (__int128)v->u : (__int128)v->i;
}

static double as_float(const struct value *v)
{
	return v->type == VALUE_FLOAT ? v->f : v->type == VALUE_UINT ? (double)v->u : (double)v->i;
}

/* ---- numbers in texts ------------------------------------------------------------------------------- */

static int digit_of(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'z' ? (c | 0x20) - 'a' + 10 : 99;
}

/* A whole number with a sign, all of the text. */
static bool read_whole(struct str s, int base, struct value *ret_value)
{
	bool minus = s.n && s.p[0] == '-';
	size_t i = minus || (s.n && s.p[0] == '+');
	__int128 v = 0;

	if (i == s.n)
		return false;
	for (; i < s.n; i++) {
		if (digit_of(s.p[i]) >= base)
			return false;
		v = v * base + digit_of(s.p[i]);
		if (v > UINT64_MAX)
			return false;
	}
	*ret_value = of_int(minus ? -v : v);
	return ret_value->type != VALUE_NULL;
}

static bool read_float(struct str s, struct value *ret_value)
{
	char text[NUMBER_TEXT_MAX], *end;

	/* strtod() would take blanks, hexadecimals, "inf" and "nan" too. */
	if (!s.n || s.n >= sizeof(text))
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!s.p[i] || !strchr("0123456789+-.eE", s.p[i]))
			return false;
	memcpy(text, s.p, s.n);
	text[s.n] = 0;
	*ret_value = of_float(strtod(text, &end));
	return end != text && !*end && ret_value->type != VALUE_NULL;
}

static bool read_number(struct str s, struct value *ret_value)
{
	/* Most texts that are held against numbers are none. */
	if (!s.n || (digit_of(s.p[0]) > 9 && !strchr("+-.", s.p[0])))
		return false;
	return read_whole(s, 10, ret_value) || read_float(s, ret_value);
}

static bool number_of(const struct value *v, struct value *ret_value)
{
	*ret_value = *v;
	return is_number(v) || (v->type == VALUE_STR && read_number(v->s, ret_value));
}

/* ---- order ---------------------------------------------------------------------------------------------- */

/* long double holds all of int64 and uint64 exactly, on x86_64 and on arm64. */
static int order_numbers(const struct value *a, const struct value *b)
{
	if (is_whole(a) && is_whole(b)) {
		__int128 x = whole(a), y = whole(b);

		return x < y ? -1 : x > y;
	}
	{
		long double x = a->type == VALUE_FLOAT ? (long double)a->f : (long double)whole(a);
		long double y = b->type == VALUE_FLOAT ? (long double)b->f : (long double)whole(b);

		return x < y ? -1 : x > y;
	}
}

/* By code unit of UTF-16: what needs two of them stands before U+E000. Of bytes, only the first can tell. */
static unsigned code_unit_rank(unsigned char byte)
{
	return byte == 0xee || byte == 0xef ? byte + 0x10U : byte;
}

static int order_texts(struct str a, struct str b)
{
	size_t n = a.n < b.n ? a.n : b.n;

	for (size_t i = 0; i < n; i++)
		if (a.p[i] != b.p[i]) {
			unsigned x = code_unit_rank((unsigned char)a.p[i]), y = code_unit_rank((unsigned char)b.p[i]);

			return x < y ? -1 : 1;
		}
	return a.n < b.n ? -1 : a.n > b.n;
}

static struct str next_part(struct str *s, char end)
{
	const char *at = s->n ? memchr(s->p, end, s->n) : NULL;
	struct str part = { s->p, at ? (size_t)(at - s->p) : s->n };

	s->p += part.n + (at != NULL);
	s->n -= part.n + (at != NULL);
	return part;
}

static struct str cut_at(struct str *s, char c)
{
	const char *at = s->n ? memchr(s->p, c, s->n) : NULL;
	struct str rest = { NULL, 0 };

	if (at) {
		rest = (struct str) { at + 1, s->n - (size_t)(at + 1 - s->p) };
		s->n = (size_t)(at - s->p);
	}
	return rest;
}

static bool all_digits(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	return s.n > 0;
}

/* Numbers by their size, and before words. */
static int order_version_parts(struct str a, struct str b)
{
	bool x = all_digits(a), y = all_digits(b);

	if (!x || !y)
		return x != y ? (x ? -1 : 1) : order_texts(a, b);
	for (; a.n > 1 && *a.p == '0'; a.n--)
		a.p++;
	for (; b.n > 1 && *b.p == '0'; b.n--)
		b.p++;
	return a.n != b.n ? (a.n < b.n ? -1 : 1) : order_texts(a, b);
}

static int order_version_lists(struct str a, struct str b)
{
	while (a.n && b.n) {
		int r = order_version_parts(next_part(&a, '.'), next_part(&b, '.'));

		if (r)
			return r;
	}
	return (a.n > 0) - (b.n > 0);
}

/* 1.2.3-alpha.1+build: what is before the dash counts first; something behind it comes before nothing; build is no
 * matter. */
static int order_versions(struct str a, struct str b)
{
	struct str pre_a, pre_b;
	int r;

	(void)cut_at(&a, '+');
	(void)cut_at(&b, '+');
	pre_a = cut_at(&a, '-');
	pre_b = cut_at(&b, '-');
	r = order_version_lists(a, b);
	if (r || (!pre_a.p && !pre_b.p))
		return r;
	if (!pre_a.p || !pre_b.p)
		return pre_a.p ? -1 : 1;
	return order_version_lists(pre_a, pre_b);
}

static bool date_of(const struct value *v, struct value *ret_value)
{
	char text[CLOCK_TEXT + 16];
	int64_t ns;

	*ret_value = *v;
	if (is_number(v))
		return true;
	if (v->type != VALUE_STR || v->s.n > CLOCK_TEXT)
		return false;
	/* 2024-05-06 is its midnight, and without a zone it is UTC. */
	(void)snprintf(text, sizeof(text), "%.*s%s", (int)v->s.n, v->s.p, v->s.n == 10 ? "T00:00:00Z" : "Z");
	if (!clock_parse(v->s.p, v->s.n, &ns) && !clock_parse(text, strlen(text), &ns))
		return false;
	*ret_value = (struct value) { .type = VALUE_INT, .i = ns };
	return true;
}

bool value_address(const struct value *v, uint8_t ret_bytes[16])
{
	if (v->type == VALUE_IP) {
		memcpy(ret_bytes, v->ip.bytes, 16);
		return true;
	}
	return v->type == VALUE_STR && ip_parse(v->s.p, v->s.n, ret_bytes);
}

static bool in_network(const struct value *address, const struct value *network)
{
	uint8_t bytes[16], first[16], last[16];

	return network->type == VALUE_STR && value_address(address, bytes) && cidr_parse(network->s, first, last) &&
	       memcmp(first, bytes, 16) <= 0 && memcmp(bytes, last, 16) <= 0;
}

enum { ORDER_NONE = 2, ORDER_DIFFERENT }; /* no order, and not known to be equal; not equal */

static int order_addresses(const struct value *a, const struct value *b)
{
	uint8_t x[16], y[16];
	int r;

	if (value_address(a, x) && value_address(b, y)) {
		r = memcmp(x, y, 16);
		return r < 0 ? -1 : r > 0;
	}
	return in_network(a, b) || in_network(b, a) ? 0 : ORDER_DIFFERENT;
}

static int order_lists(const struct value *a, const struct value *b, bool fold);

static int order_values(const struct value *a, const struct value *b, bool fold)
{
	struct value x, y;

	if (a->type == VALUE_STR && b->type == VALUE_STR)
		return fold ? fold_compare(a->s.p, a->s.n, b->s.p, b->s.n) : order_texts(a->s, b->s);
	if (is_number(a) && is_number(b))
		return order_numbers(a, b);
	if (a->type == VALUE_BOOL && b->type == VALUE_BOOL)
		return a->b == b->b ? 0 : ORDER_DIFFERENT;
	if (a->type == VALUE_IP || b->type == VALUE_IP)
		return order_addresses(a, b);
	if (a->type == VALUE_LIST && b->type == VALUE_LIST)
		return order_lists(a, b, fold);
	if ((is_number(a) || is_number(b)) && number_of(a, &x) && number_of(b, &y))
		return order_numbers(&x, &y);
	if (a->type == VALUE_BOOL && b->type == VALUE_STR)
		return a->b == (b->s.n == 4 && !memcmp(b->s.p, "true", 4)) &&
				       (a->b || (b->s.n == 5 && !memcmp(b->s.p, "false", 5)))
			       ? 0
			       : ORDER_DIFFERENT;
	if (b->type == VALUE_BOOL && a->type == VALUE_STR)
		return order_values(b, a, fold);
	return ORDER_DIFFERENT;
}

/* Equal item by item, or different. */
static int order_lists(const struct value *a, const struct value *b, bool fold)
{
	if (a->list.n != b->list.n)
		return ORDER_DIFFERENT;
	for (size_t i = 0; i < a->list.n; i++)
		if (order_values(&a->list.items[i], &b->list.items[i], fold) != 0)
			return ORDER_DIFFERENT;
	return 0;
}

static int order_as(const struct value *a, const struct value *b, enum rule_type as, bool fold)
{
	struct value x, y;

	switch (as) {
	case RULE_DATE:
		if (date_of(a, &x) && date_of(b, &y))
			return order_numbers(&x, &y);
		return ORDER_DIFFERENT;
	case RULE_IP:
		return order_addresses(a, b);
	case RULE_VERSION:
		if (a->type == VALUE_STR && b->type == VALUE_STR)
			return order_versions(a->s, b->s);
		return order_values(a, b, fold);
	default:
		return order_values(a, b, fold);
	}
}

enum truth value_compare(enum ir_op op, const struct value *a, const struct value *b, enum rule_type as, bool fold)
{
	bool is;
	int order;

	if (a->type == VALUE_NULL || b->type == VALUE_NULL)
		return TRUTH_NULL;
	order = order_as(a, b, as, fold);
	if (op != IR_EQ && op != IR_NE && order > 1)
		return TRUTH_NULL;
	switch (op) {
	case IR_EQ:
		is = order == 0;
		break;
	case IR_NE:
		is = order != 0;
		break;
	case IR_LT:
		is = order < 0;
		break;
	case IR_LE:
		is = order <= 0;
		break;
	case IR_GT:
		is = order > 0;
		break;
	default:
		is = order >= 0;
		break;
	}
	return is ? TRUTH_TRUE : TRUTH_FALSE;
}

/* ---- arithmetic -------------------------------------------------------------------------------------------- */

static struct value reckon_whole(enum ir_op op, __int128 a, __int128 b)
{
	switch (op) {
	case IR_ADD:
		return of_int(a + b);
	case IR_SUB:
		return of_int(a - b);
	case IR_MUL:
		/* Of two factors of 64 bits; the largest product is below 2^128, but not below 2^127. */
		if (a && (a > 0 ? a : -a) > ((__int128)1 << 126) / (b ? (b > 0 ? b : -b) : 1))
			return value_null();
		return of_int(a * b);
	case IR_DIV:
		return b ? of_int(a / b) : value_null();
	default:
		return b ? of_int(a % b) : value_null();
	}
}

static struct value reckon_float(enum ir_op op, double a, double b)
{
	switch (op) {
	case IR_ADD:
		return of_float(a + b);
	case IR_SUB:
		return of_float(a - b);
	case IR_MUL:
		return of_float(a * b);
	case IR_DIV:
		return b != 0 ? of_float(a / b) : value_null();
	default:
		return b != 0 ? of_float(fmod(a, b)) : value_null();
	}
}

struct value value_reckon(enum ir_op op, const struct value *a, const struct value *b)
{
	struct value x, y = { .type = VALUE_INT, .i = 0 };

	if (!number_of(a, &x) || (op != IR_NEG && !number_of(b, &y)))
		return value_null();
	if (op == IR_NEG)
		return is_whole(&x) ? of_int(-whole(&x)) : of_float(-x.f);
	if (is_whole(&x) && is_whole(&y))
		return reckon_whole(op, whole(&x), whole(&y));
	return reckon_float(op, as_float(&x), as_float(&y));
}

/* ---- text ------------------------------------------------------------------------------------------------------ */

bool value_text(const struct value *v, bool wants_bool, struct arena *arena, struct str *ret_text)
{
	char text[NUMBER_TEXT_MAX], *copy;
	size_t n;

	switch (v->type) {
	case VALUE_STR:
		*ret_text = v->s;
		return true;
	case VALUE_BOOL:
		*ret_text = v->b ? (struct str) { "true", 4 } : (struct str) { "false", 5 };
		return wants_bool;
	case VALUE_INT:
		n = (size_t)snprintf(text, sizeof(text), "%lld", (long long)v->i);
		break;
	case VALUE_UINT:
		n = (size_t)snprintf(text, sizeof(text), "%llu", (unsigned long long)v->u);
		break;
	case VALUE_FLOAT: {
		/* Room for all that it writes: it never asks for memory. */
		struct buf b = { .data = text, .cap = sizeof(text), .max = sizeof(text) - 1 };

		json_write_double(&b, v->f);
		n = b.len;
		break;
	}
	case VALUE_IP:
		n = ip_format(v->ip.bytes, text);
		break;
	default:
		return false;
	}
	copy = arena_alloc(arena, n);
	if (!copy)
		return false;
	memcpy(copy, text, n);
	*ret_text = (struct str) { copy, n };
	return true;
}

/* Where the i-th character begins, in bytes; the end of the text when there are fewer. */
static size_t place_of(struct str s, int64_t i)
{
	const char *p = s.p, *end = s.p + s.n;

	while (i-- > 0 && p < end)
		(void)fold_next(&p, end);
	return (size_t)(p - s.p);
}

static int64_t length_of(const char *p, size_t n)
{
	const char *end = p + n;
	int64_t count = 0;

	for (; p < end; count++)
		(void)fold_next(&p, end);
	return count;
}

/* Where part stands first in bytes from `from` on, and in how many; SIZE_MAX: nowhere. */
static size_t find(struct str s, size_t from, struct str part, bool fold, size_t *ret_n)
{
	const char *at;
	size_t i;

	*ret_n = part.n;
	if (fold) {
		i = fold_find(s.p + from, s.n - from, part.p, part.n, ret_n);
		return i == SIZE_MAX ? i : from + i;
	}
	if (!part.n)
		return from;
	at = s.n > from ? memmem(s.p + from, s.n - from, part.p, part.n) : NULL;
	return at ? (size_t)(at - s.p) : SIZE_MAX;
}

static size_t find_last(struct str s, size_t from, struct str part, bool fold)
{
	size_t last = SIZE_MAX, n, at;

	/* An empty one is behind the last character. */
	if (!part.n)
		return s.n;
	while ((at = find(s, from, part, fold, &n)) != SIZE_MAX) {
		const char *next = s.p + at;

		last = at;
		(void)fold_next(&next, s.p + s.n);
		from = (size_t)(next - s.p);
	}
	return last;
}

/* elastic: "" where one of the two is not found, and the text itself where one of the three is empty; endgame: null. */
static struct value between(const struct str *s, const struct value *greedy, bool fold, bool elastic)
{
	struct value none = elastic ? of_text("", 0) : value_null();
	size_t n, from, to;

	if (elastic && (!s[0].n || !s[1].n || !s[2].n))
		return of_text(s[0].p, s[0].n);
	from = find(s[0], 0, s[1], fold, &n);
	if (from == SIZE_MAX)
		return none;
	from += n;
	if (greedy && value_truth(greedy) == TRUTH_TRUE)
		to = find_last(s[0], from, s[2], fold);
	else
		to = find(s[0], from, s[2], fold, &n);
	return to == SIZE_MAX ? none : of_text(s[0].p + from, to - from);
}

static struct value concat(const struct value *args, size_t n, struct arena *arena)
{
	size_t len = 0, at = 0;
	struct str s;
	char *to;

	for (size_t i = 0; i < n; i++) {
		if (!value_text(&args[i], true, arena, &s))
			return value_null();
		len += s.n;
	}
	to = arena_alloc(arena, len ? len : 1);
	if (!to)
		return value_null();
	for (size_t i = 0; i < n && value_text(&args[i], true, arena, &s); i++) {
		if (s.n > len - at)
			return value_null();
		if (s.n)
			memcpy(to + at, s.p, s.n);
		at += s.n;
	}
	return of_text(to, at);
}

static bool whole_argument(const struct value *args, size_t n, size_t i, int64_t *ret_v)
{
	struct value v;

	if (i >= n || !number_of(&args[i], &v))
		return false;
	if (v.type == VALUE_FLOAT)
		v.i = v.f >= 9e18 ? INT64_MAX : v.f <= -9e18 ? INT64_MIN : (int64_t)v.f;
	else if (v.type == VALUE_UINT && v.u > INT64_MAX)
		v.i = INT64_MAX;
	*ret_v = v.i;
	return true;
}

static struct value index_of(const struct str *s, const struct value *args, size_t n, bool fold)
{
	int64_t from = 0;
	size_t at, took;

	(void)whole_argument(args, n, 2, &from);
	if (from > 0 && from > length_of(s[0].p, s[0].n))
		return value_null();
	at = find(s[0], place_of(s[0], from), s[1], fold, &took);
	return at == SIZE_MAX ? value_null() : of_int(length_of(s[0].p, at));
}

static struct value substring(struct str s, const struct value *args, size_t n, bool elastic)
{
	int64_t from = 0, length = length_of(s.p, s.n), to = length;
	size_t begin, end;

	if (!whole_argument(args, n, 1, &from) && elastic)
		return of_text(s.p, s.n);
	(void)whole_argument(args, n, 2, &to);
	from = from < -length ? 0 : from < 0 ? from + length : from;
	to = to < -length ? 0 : to < 0 ? to + length : to > length ? length : to;
	if (from >= to)
		return of_text("", 0);
	begin = place_of(s, from);
	end = place_of(s, to);
	return of_text(s.p + begin, end - begin);
}

static struct value number_from(const struct value *args, size_t n)
{
	int64_t base = 10;
	bool has_base = whole_argument(args, n, 1, &base), hex;
	struct value v = value_null();
	struct str s;

	if (args[0].type != VALUE_STR)
		return is_number(&args[0]) ? args[0] : value_null();
	s = args[0].s;
	hex = s.n > 2 && s.p[0] == '0' && (s.p[1] | 0x20) == 'x';
	if (hex && (!has_base || base == 16)) {
		s.p += 2;
		s.n -= 2;
		base = 16;
	}
	if (base < 2 || base > 36)
		return value_null();
	if (base == 10 ? read_whole(s, 10, &v) || read_float(s, &v) : read_whole(s, (int)base, &v))
		return v;
	return value_null();
}

static bool ends_with(const struct str *s, bool fold)
{
	if (fold)
		return fold_ends(s[0].p, s[0].n, s[1].p, s[1].n);
	return s[0].n >= s[1].n && (!s[1].n || !memcmp(s[0].p + s[0].n - s[1].n, s[1].p, s[1].n));
}

static bool starts_with(const struct str *s, bool fold)
{
	if (fold)
		return fold_starts(s[0].p, s[0].n, s[1].p, s[1].n, NULL);
	return s[0].n >= s[1].n && (!s[1].n || !memcmp(s[0].p, s[1].p, s[1].n));
}

static struct value cidr_match(const struct value *args, size_t n)
{
	uint8_t bytes[16];

	if (args[0].type == VALUE_NULL)
		return value_null();
	if (!value_address(&args[0], bytes))
		return of_bool(false);
	for (size_t i = 1; i < n; i++)
		if (in_network(&args[0], &args[i]))
			return of_bool(true);
	return of_bool(false);
}

static struct value array_contains(const struct value *args, size_t n, bool fold)
{
	if (args[0].type == VALUE_NULL)
		return value_null();
	for (size_t i = 1; i < n; i++) {
		const struct value *items = args[0].type == VALUE_LIST ? args[0].list.items : &args[0];
		size_t n_items = args[0].type == VALUE_LIST ? args[0].list.n : 1;

		for (size_t k = 0; k < n_items; k++)
			if (value_compare(IR_EQ, &items[k], &args[i], RULE_UNKNOWN, fold) == TRUTH_TRUE)
				return of_bool(true);
	}
	return of_bool(false);
}

struct value value_call(enum ir_fn fn, const struct value *args, size_t n, unsigned flags, enum rule_dialect dialect,
			struct arena *arena)
{
	bool fold = flags & IR_FOLD, elastic = dialect != RULE_ENDGAME;
	struct str s[3] = { 0 };
	size_t texts = 0, found_n;

	switch (fn) {
	case IR_BETWEEN:
		texts = 3;
		break;
	case IR_ENDS_WITH:
	case IR_STARTS_WITH:
	case IR_STRING_CONTAINS:
	case IR_INDEX_OF:
		texts = 2;
		break;
	case IR_SUBSTRING:
		texts = 1;
		break;
	default:
		break;
	}
	for (size_t i = 0; i < texts; i++)
		if (i >= n || !value_text(&args[i], false, arena, &s[i]))
			return value_null();
	switch (fn) {
	case IR_BETWEEN:
		return between(s, n > 3 ? &args[3] : NULL, fold, elastic);
	case IR_CIDR_MATCH:
		return cidr_match(args, n);
	case IR_CONCAT:
		return concat(args, n, arena);
	case IR_ENDS_WITH:
		return of_bool(ends_with(s, fold));
	case IR_STARTS_WITH:
		return of_bool(starts_with(s, fold));
	case IR_STRING_CONTAINS:
		/* elastic: nothing contains an empty text. */
		return of_bool((!elastic || (s[0].n && s[1].n)) && find(s[0], 0, s[1], fold, &found_n) != SIZE_MAX);
	case IR_INDEX_OF:
		return index_of(s, args, n, fold);
	case IR_LENGTH:
		if (args[0].type == VALUE_LIST)
			return of_int((__int128)args[0].list.n);
		return args[0].type == VALUE_STR ? of_int(length_of(args[0].s.p, args[0].s.n)) : value_null();
	case IR_NUMBER_OF:
		return number_from(args, n);
	case IR_STRING_OF:
		return value_text(&args[0], true, arena, &s[0]) ? of_text(s[0].p, s[0].n) : value_null();
	case IR_SUBSTRING:
		return substring(s[0], args, n, elastic);
	case IR_ARRAY_CONTAINS:
		return array_contains(args, n, fold);
	default:
		return value_null();
	}
}
