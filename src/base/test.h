/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test - TEST(name) { ... } anywhere in a *_test.c; the runner runs all, or those whose
 * "file.name" contains one of its arguments.
 *
 * check goes on after a failure, require leaves the test. skip() leaves it too and names a
 * row of tests/SKIPS.md: the runner refuses a reason that has no row there.
 */
#pragma once
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct test_case {
	const char *name, *file;
	void (*fn)(void);
};

/* The section holds pointers, never structs: struct entries get padded by gcc. */
#define TEST(n)                                                                                                        \
	static void test_##n(void);                                                                                    \
	static const struct test_case test_case_##n = { #n, __FILE__, test_##n };                                      \
	static const struct test_case *const test_ref_##n __attribute__((used, retain, section("test_refs"))) =        \
		&test_case_##n;                                                                                        \
	static void test_##n(void)

void test_fail(const char *where, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void test_skip(const char *reason_id);
extern const char *test_row; /* label of the table row being run, shown on failure */

#define T_STR_(x) #x
#define T_STR(x)  T_STR_(x)
#define T_HERE    __FILE__ ":" T_STR(__LINE__)

#define check(e)                                                                                                       \
	do {                                                                                                           \
		if (!(e))                                                                                              \
			test_fail(T_HERE, "%s", #e);                                                                   \
	} while (0)
#define require(e)                                                                                                     \
	do {                                                                                                           \
		if (!(e)) {                                                                                            \
			test_fail(T_HERE, "%s", #e);                                                                   \
			return;                                                                                        \
		}                                                                                                      \
	} while (0)
/* For calls that return 0 or a negative errno with a trail: prints the trail when they fail. */
#define require_ok(e)                                                                                                  \
	do {                                                                                                           \
		int r_ = (e);                                                                                          \
		if (r_ < 0) {                                                                                          \
			test_fail(T_HERE, "%s: %d %s", #e, r_, err_trail());                                           \
			return;                                                                                        \
		}                                                                                                      \
	} while (0)
#define check_int(got, want)                                                                                           \
	do {                                                                                                           \
		long long g_ = (long long)(got), w_ = (long long)(want);                                               \
		if (g_ != w_)                                                                                          \
			test_fail(T_HERE, "%s: got %lld, want %lld", #got, g_, w_);                                    \
	} while (0)
#define check_str(got, want)                                                                                           \
	do {                                                                                                           \
		const char *g_ = (got), *w_ = (want);                                                                  \
		if (!g_ || strcmp(g_, w_) != 0)                                                                        \
			test_fail(T_HERE, "%s: got \"%s\", want \"%s\"", #got, g_ ? g_ : "(null)", w_);                \
	} while (0)
#define check_has(got, part)                                                                                           \
	do {                                                                                                           \
		const char *g_ = (got), *w_ = (part);                                                                  \
		if (!g_ || !strstr(g_, w_))                                                                            \
			test_fail(T_HERE, "%s: got \"%s\", want it to contain \"%s\"", #got, g_ ? g_ : "(null)", w_);  \
	} while (0)
#define skip(reason_id)                                                                                                \
	do {                                                                                                           \
		test_skip(reason_id);                                                                                  \
		return;                                                                                                \
	} while (0)
/* Walk a static const table; the row's .name labels its failures. */
#define for_each_row(r, table)                                                                                         \
	for (__typeof__(&(table)[0]) r = (table);                                                                      \
	     r < (table) + sizeof(table) / sizeof((table)[0]) && (test_row = r->name, true); r++, test_row = NULL)
