/* SPDX-License-Identifier: Apache-2.0 */
/* lower_type - do two sides of a comparison fit, and what does a constant beside a field mean? */
#include "rule/lower.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/ip.h"
#include "base/json.h"

enum family lower_family(enum rule_type type)
{
	switch (type) {
	case RULE_BOOLEAN:
		return FAMILY_BOOLEAN;
	case RULE_NUMBER:
		return FAMILY_NUMBER;
	case RULE_KEYWORD:
	case RULE_TEXT:
	case RULE_DATE:
	case RULE_IP:
	case RULE_VERSION:
		return FAMILY_TEXT;
	default:
		return FAMILY_ANY;
	}
}

const char *lower_type_words(enum rule_type type)
{
	switch (type) {
	case RULE_BOOLEAN:
		return "true or false";
	case RULE_NUMBER:
		return "a number";
	case RULE_DATE:
		return "a date";
	case RULE_IP:
		return "an address";
	case RULE_VERSION:
		return "a version";
	case RULE_OBJECT:
		return "an object";
	case RULE_NULL:
		return "null";
	default:
		return "text";
	}
}

int lower_mismatch(struct lowering *lo, const struct ast *a, enum rule_type got, enum rule_type want)
{
	return fail_on(lo, a, "this is %s, and is compared with %s", lower_type_words(got), lower_type_words(want));
}

static int to_number(struct lowering *lo, const struct ast *a, struct ir_node *n)
{
	char copy[64], *end;
	long long i;
	double f;

	if (n->str.n && n->str.n < sizeof(copy) && !memchr(n->str.p, 0, n->str.n)) {
		memcpy(copy, n->str.p, n->str.n + 1);
		errno = 0;
		i = strtoll(copy, &end, 10);
		if (!errno && !*end) {
			n->op = IR_INT;
			n->i = i;
			n->type = RULE_NUMBER;
			return 0;
		}
		f = strtod(copy, &end);
		if (!*end && isfinite(f)) {
			n->op = IR_FLOAT;
			n->f = f;
			n->type = RULE_NUMBER;
			return 0;
		}
	}
	return fail_on(lo, a, "the field holds numbers, and this text is none");
}

static int to_text(struct lowering *lo, const struct ast *a, ir_ref ref)
{
	auto_buf struct buf text = { .max = 64 };
	struct ir_node *n = lower_node(lo, ref);
	const char *copy;

	if (n->op == IR_INT)
		buf_i64(&text, n->i);
	else if (n->op == IR_FLOAT)
		json_write_double(&text, n->f);
	else
		buf_str(&text, n->b ? "true" : "false");
	copy = arena_str(&lo->b.q->arena, buf_text(&text), text.len);
	if (!copy)
		return lower_refused(lo, a);
	n->op = IR_STR;
	n->type = RULE_KEYWORD;
	n->str = (struct str) { copy, text.len };
	return 0;
}

/*
 * A date whose end may be left out: 2024, 2024-05, 2024-05-06, 2024-05-06T07, 2024-05-06T07:08. What is missing is its
 * beginning, and UTC.
 */
static bool date_of_text(struct str s, int64_t *ret_ns)
{
	static const char rest[] = "0000-01-01T00:00:00Z";
	char full[2 * CLOCK_TEXT];
	size_t zone = s.n;

	if (clock_parse(s.p, s.n, ret_ns))
		return true;
	if (s.n >= CLOCK_TEXT + 6)
		return false;
	/* A zone stands behind the time: its sign is none of those of the day. */
	for (size_t i = strlen("2024-05-06"); i < s.n && zone == s.n; i++)
		if (strchr("Zz+-", s.p[i]))
			zone = i;
	/* Parts are left out whole: they end at 4, 7, 10, 13 and 16. */
	if (zone < strlen("2024-05-06T07:08:09") && (zone < 4 || zone % 3 != 1))
		return false;
	memcpy(full, s.p, zone);
	full[zone] = 0;
	if (zone < strlen("2024-05-06T07:08:09")) {
		memcpy(full + zone, rest + zone, sizeof(rest) - zone);
		full[strlen("2024-05-06T07:08:09")] = 0;
	}
	(void)snprintf(full + strlen(full), sizeof(full) - strlen(full), "%s", zone < s.n ? s.p + zone : "Z");
	return clock_parse(full, strlen(full), ret_ns);
}

static int to_date(struct lowering *lo, const struct ast *a, struct ir_node *n)
{
	int64_t ns;

	if (n->op == IR_INT) {
		if (__builtin_mul_overflow(n->i, (int64_t)NS_PER_MS, &ns))
			return fail_on(lo, a, "this date is out of range (it counts ms since 1970)");
	} else if (n->op != IR_STR || !date_of_text(n->str, &ns)) {
		return fail_on(lo, a, "this is no date: write \"2024-05-06T07:08:09Z\", or ms since 1970");
	}
	n->op = IR_INT;
	n->type = RULE_DATE;
	n->i = ns;
	return 0;
}

bool lower_is_network(struct str s)
{
	const char *slash = memchr(s.p, '/', s.n);
	size_t address = slash ? (size_t)(slash - s.p) : s.n, bits = 0;
	uint8_t bytes[16];

	if (!ip_parse(s.p, address, bytes))
		return false;
	if (!slash)
		return true;
	if (s.n - address < 2 || s.n - address > 4)
		return false;
	for (size_t i = address + 1; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		bits = bits * 10 + (size_t)(s.p[i] - '0');
	}
	return bits <= (memchr(s.p, ':', address) ? 128 : 32);
}

/*
 * A constant beside a field whose type is declared becomes a constant of that type: user.id == 0 finds "0" where ids
 * are keywords. What cannot is an error. In endgame types are never bent.
 */
static int coerce(struct lowering *lo, const struct ast *a, ir_ref ref, enum rule_type want)
{
	struct ir_node *n = lower_node(lo, ref);

	if (n->op == IR_NULL || want == RULE_UNKNOWN || want == RULE_NULL || want == RULE_OBJECT)
		return 0;
	if (want == RULE_DATE)
		return to_date(lo, a, n);
	if (want == RULE_IP) {
		if (n->op != IR_STR || !lower_is_network(n->str))
			return fail_on(lo, a,
				       "this is no address: write \"10.1.2.3\", \"2001:db8::1\" or \"10.0.0.0/8\"");
		return 0;
	}
	if (lower_family(n->type) == lower_family(want))
		return 0;
	if (!lo->elastic)
		return lower_mismatch(lo, a, n->type, want);
	if (want == RULE_NUMBER && n->op == IR_STR)
		return to_number(lo, a, n);
	if (want == RULE_BOOLEAN && n->op == IR_STR && (str_is(n->str, "true") || str_is(n->str, "false"))) {
		bool b = str_is(n->str, "true");

		n->op = IR_BOOL;
		n->type = RULE_BOOLEAN;
		n->b = b;
		return 0;
	}
	if (lower_family(want) == FAMILY_TEXT)
		return to_text(lo, a, ref);
	return lower_mismatch(lo, a, n->type, want);
}

static bool is_special(enum rule_type type)
{
	return type == RULE_DATE || type == RULE_IP || type == RULE_VERSION;
}

int lower_agree(struct lowering *lo, const struct ast *aa, ir_ref a, const struct ast *bb, ir_ref b, uint8_t *ret_as)
{
	enum rule_type ta = lower_node(lo, a)->type, tb = lower_node(lo, b)->type;
	bool fixed_a = lower_node(lo, a)->op <= IR_STR, fixed_b = lower_node(lo, b)->op <= IR_STR;
	int r = 0;

	*ret_as = RULE_UNKNOWN;
	if (is_special(ta) || is_special(tb))
		*ret_as = (uint8_t)(is_special(ta) ? ta : tb);
	if (fixed_b && lower_node(lo, a)->op == IR_FIELD)
		r = coerce(lo, bb, b, ta);
	else if (fixed_a && lower_node(lo, b)->op == IR_FIELD)
		r = coerce(lo, aa, a, tb);
	else if (lower_family(ta) && lower_family(tb) && lower_family(ta) != lower_family(tb))
		r = lower_mismatch(lo, bb, tb, ta);
	return r;
}
