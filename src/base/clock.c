/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include <stdatomic.h>
#include <string.h>
#include <time.h>

enum { S_PER_DAY = 86400, DAYS_PER_ERA = 146097, DAYS_TO_1970 = 719468 };

static struct {
	_Atomic bool on;
	_Atomic int64_t boot_ns, wall_ns;
} mock;

static int64_t read_ns(clockid_t clock)
{
	struct timespec ts = { 0 };

	if (atomic_load_explicit(&mock.on, memory_order_acquire))
		return clock == CLOCK_REALTIME ? mock.wall_ns : mock.boot_ns;
	(void)clock_gettime(clock, &ts);
	return (int64_t)ts.tv_sec * (int64_t)NS_PER_S + ts.tv_nsec;
}

uint64_t clock_boot_ns(void)
{
	return (uint64_t)read_ns(CLOCK_BOOTTIME);
}

uint64_t clock_mono_ns(void)
{
	return (uint64_t)read_ns(CLOCK_MONOTONIC);
}

int64_t clock_wall_ns(void)
{
	return read_ns(CLOCK_REALTIME);
}

/* Of several readings the one that was disturbed least: a task may be preempted between two clocks. */
int64_t clock_wall_minus_boot_ns(void)
{
	int64_t best = 0, best_gap = INT64_MAX;

	for (int i = 0; i < 5; i++) {
		int64_t before = read_ns(CLOCK_BOOTTIME), wall = clock_wall_ns(), gap;

		gap = read_ns(CLOCK_BOOTTIME) - before;
		if (gap < best_gap) {
			best_gap = gap;
			best = wall - before - gap / 2;
		}
	}
	return best;
}

void clock_sleep_ns(uint64_t ns)
{
	struct timespec left = { .tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S) };

	if (atomic_load_explicit(&mock.on, memory_order_acquire))
		clock_mock_move(ns);
	else
		(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &left, NULL);
}

void clock_mock(uint64_t boot_ns, int64_t wall_ns)
{
	mock.boot_ns = (int64_t)boot_ns;
	mock.wall_ns = wall_ns;
	atomic_store_explicit(&mock.on, true, memory_order_release);
}

void clock_mock_move(uint64_t ns)
{
	mock.boot_ns += (int64_t)ns;
	mock.wall_ns += (int64_t)ns;
}

void clock_mock_end(void)
{
	atomic_store_explicit(&mock.on, false, memory_order_release);
}

static void put_digits(char *to, unsigned n, unsigned v)
{
	while (n--) {
		to[n] = (char)('0' + v % 10);
		v /= 10;
	}
}

/* A year that begins in March ends with the leap day, so months need no cases; 400 such years are one era. */
static void date_of(int64_t days, unsigned *ret_year, unsigned *ret_month, unsigned *ret_day)
{
	int64_t d = days + DAYS_TO_1970, era = (d >= 0 ? d : d - DAYS_PER_ERA + 1) / DAYS_PER_ERA;
	unsigned in_era = (unsigned)(d - era * DAYS_PER_ERA);
	unsigned year = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
	unsigned in_year = in_era - (365 * year + year / 4 - year / 100);
	unsigned month = (5 * in_year + 2) / 153; /* from March */

	*ret_day = in_year - (153 * month + 2) / 5 + 1;
	*ret_month = month < 10 ? month + 3 : month - 9;
	*ret_year = (unsigned)((int64_t)year + era * 400) + (*ret_month <= 2);
}

static int64_t days_of(unsigned year, unsigned month, unsigned day)
{
	unsigned y = year - (month <= 2), in_era = y % 400, m = month > 2 ? month - 3 : month + 9;
	unsigned in_year = (153 * m + 2) / 5 + day - 1;

	return (int64_t)(y / 400) * DAYS_PER_ERA + in_era * 365 + in_era / 4 - in_era / 100 + in_year - DAYS_TO_1970;
}

void clock_format(int64_t wall_ns, char to[CLOCK_TEXT])
{
	int64_t s = wall_ns / (int64_t)NS_PER_S, ns = wall_ns % (int64_t)NS_PER_S, days, rest;
	unsigned year, month, day;

	if (ns < 0) {
		ns += (int64_t)NS_PER_S;
		s--;
	}
	days = s / S_PER_DAY;
	rest = s % S_PER_DAY;
	if (rest < 0) {
		rest += S_PER_DAY;
		days--;
	}
	date_of(days, &year, &month, &day);
	memcpy(to, "0000-00-00T00:00:00.000000000Z", CLOCK_TEXT);
	put_digits(to, 4, year);
	put_digits(to + 5, 2, month);
	put_digits(to + 8, 2, day);
	put_digits(to + 11, 2, (unsigned)(rest / 3600));
	put_digits(to + 14, 2, (unsigned)(rest / 60 % 60));
	put_digits(to + 17, 2, (unsigned)(rest % 60));
	put_digits(to + 20, 9, (unsigned)ns);
}

struct reader {
	const char *p, *end;
	bool bad;
};

static unsigned digits(struct reader *r, unsigned n)
{
	unsigned v = 0;

	while (n--) {
		if (r->p == r->end || *r->p < '0' || *r->p > '9') {
			r->bad = true;
			return 0;
		}
		v = v * 10 + (unsigned)(*r->p++ - '0');
	}
	return v;
}

static bool next_is(struct reader *r, char a, char b)
{
	if (r->p == r->end || (*r->p != a && *r->p != b))
		return false;
	r->p++;
	return true;
}

static void want(struct reader *r, char a, char b)
{
	if (!next_is(r, a, b))
		r->bad = true;
}

static unsigned fraction_ns(struct reader *r)
{
	unsigned ns = 0, scale = 100000000, n = 0;

	for (; r->p < r->end && *r->p >= '0' && *r->p <= '9' && n < 9; n++, scale /= 10)
		ns += (unsigned)(*r->p++ - '0') * scale;
	if (!n)
		r->bad = true;
	return ns;
}

static int offset_s(struct reader *r)
{
	int sign, h, m;

	if (next_is(r, 'Z', 'z'))
		return 0;
	sign = next_is(r, '-', '-') ? -1 : 1;
	if (sign > 0)
		want(r, '+', '+');
	h = (int)digits(r, 2);
	want(r, ':', ':');
	m = (int)digits(r, 2);
	if (h > 23 || m > 59)
		r->bad = true;
	return sign * (h * 3600 + m * 60);
}

static unsigned days_in(unsigned year, unsigned month)
{
	if (month == 2)
		return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0 ? 29 : 28;
	return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
}

bool clock_parse(const char *p, size_t n, int64_t *ret_wall_ns)
{
	struct reader r = { p, p + n, false };
	unsigned year, month, day, h, m, s, ns = 0;
	int64_t sum;

	year = digits(&r, 4);
	want(&r, '-', '-');
	month = digits(&r, 2);
	want(&r, '-', '-');
	day = digits(&r, 2);
	want(&r, 'T', 't');
	h = digits(&r, 2);
	want(&r, ':', ':');
	m = digits(&r, 2);
	want(&r, ':', ':');
	s = digits(&r, 2);
	if (next_is(&r, '.', '.'))
		ns = fraction_ns(&r);
	if (r.bad || year < 1 || month < 1 || month > 12 || day < 1 || day > days_in(year, month) || h > 23 || m > 59 ||
	    s > 60)
		return false;
	sum = days_of(year, month, day) * S_PER_DAY + h * 3600 + m * 60 + s - offset_s(&r);
	if (r.bad || r.p != r.end)
		return false;
	/* Before 1970 the fraction counts up from the second below: multiply the second above, or its least value
	 * overflows. */
	if (sum < 0 && ns) {
		if (__builtin_mul_overflow(sum + 1, (int64_t)NS_PER_S, &sum) ||
		    __builtin_sub_overflow(sum, (int64_t)NS_PER_S - ns, ret_wall_ns))
			return false;
		return true;
	}
	return !__builtin_mul_overflow(sum, (int64_t)NS_PER_S, &sum) && !__builtin_add_overflow(sum, ns, ret_wall_ns);
}
