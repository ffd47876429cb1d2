/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_main - runs the tests that are linked in, and closes with `N passed, N failed, N skipped`.
 *
 * Usage: unit [-l] [-x PART]... [-a PART]... [PART]...   -l lists, -x leaves out what contains PART.
 *
 * -a: those that contain PART watch a living kernel on a machine that is not theirs alone. Where at most AGAIN_MAX of
 * them fail, each is tried once more when all others are done; one that passes then is told as `again NAME`, is counted
 * as passed, and what it said the first time stays on record. What has to do with nothing but our own code gets no
 * second try: there it would hide a mistake.
 */
#include "base/test.h"
#include "base/clock.h"
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

extern const struct test_case *const __start_test_refs[], *const __stop_test_refs[];
enum { AGAIN_MAX = 4, LONG_S = 5 };
const char *test_row;
static int failures;
static const char *skipped_why;

void test_fail(const char *where, const char *fmt, ...)
{
	va_list ap;

	failures++;
	printf("    %s%s%s%s: ", test_row ? "[" : "", test_row ? test_row : "", test_row ? "] " : "", where);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

void test_skip(const char *reason_id)
{
	skipped_why = reason_id;
}

static bool has_any(const char *full, char *const *parts, int n)
{
	for (int i = 0; i < n; i++)
		if (strstr(full, parts[i]))
			return true;
	return false;
}

/* "base/err.trail_reads_inside_out": the folder and file say where to look. */
static void full_name(const struct test_case *t, char *buf, size_t size)
{
	const char *at = strstr(t->file, "src/");
	const char *file = at ? at + 4 : t->file + strspn(t->file, "./");
	size_t n = strlen(file);

	if (n > 7 && !strcmp(file + n - 7, "_test.c"))
		n -= 7;
	(void)snprintf(buf, size, "%.*s.%s", (int)n, file, t->name);
}

enum verdict { PASSED, FAILED, SKIPPED };

/* What a test leaves blocked would be so in all children of those after it, which could not be ended. */
static void check_signals(const sigset_t *before)
{
	sigset_t now;

	(void)sigprocmask(SIG_SETMASK, before, &now);
	for (int i = 1; i < NSIG; i++)
		if (sigismember(before, i) == 0 && sigismember(&now, i) == 1)
			test_fail(T_HERE, "the test leaves signal %d blocked", i);
}

static enum verdict run_one(const struct test_case *t)
{
	int before = failures;
	sigset_t mask;

	test_row = NULL;
	skipped_why = NULL;
	(void)sigprocmask(SIG_SETMASK, NULL, &mask);
	t->fn();
	check_signals(&mask);
	return failures != before ? FAILED : skipped_why ? SKIPPED : PASSED;
}

/* Returns how many of them pass now. More of them than luck explains are not tried again. */
static int run_again(const struct test_case *const *t, int n)
{
	int passed = 0;

	for (int i = 0; i < n; i++) {
		const bool good = n <= AGAIN_MAX && run_one(t[i]) == PASSED;
		char name[256];

		full_name(t[i], name, sizeof(name));
		printf("%s %s\n", good ? "again" : "FAIL", name);
		passed += good;
	}
	return passed;
}

int main(int argc, char **argv)
{
	int passed = 0, failed = 0, skipped = 0, n_not = 0, n_again = 0, n_unlucky = 0, opt;
	const struct test_case *unlucky[AGAIN_MAX + 1];
	char * not[16], *again[16];
	bool list = false;

	/* Files that tests make have the modes that they ask for, whatever the caller's mask. */
	(void)umask(022);
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	while ((opt = getopt(argc, argv, "lx:a:")) != -1) {
		if (opt == 'l')
			list = true;
		else if (opt == 'x' && n_not < 16)
			not[n_not++] = optarg;
		else if (opt == 'a' && n_again < 16)
			again[n_again++] = optarg;
		else
			return 2;
	}
	for (const struct test_case *const *t = __start_test_refs; t < __stop_test_refs; t++) {
		uint64_t begin_ns, s;
		char name[256];

		full_name(*t, name, sizeof(name));
		if ((optind < argc && !has_any(name, argv + optind, argc - optind)) || has_any(name, not, n_not))
			continue;
		if (list) {
			puts(name);
			continue;
		}
		begin_ns = clock_mono_ns();
		switch (run_one(*t)) {
		case PASSED:
			passed++;
			s = (clock_mono_ns() - begin_ns) / NS_PER_S;
			if (s >= LONG_S)
				printf("ok   %s (%llu s)\n", name, (unsigned long long)s);
			else
				printf("ok   %s\n", name);
			break;
		case SKIPPED:
			skipped++;
			printf("skip %s: %s\n", name, skipped_why);
			break;
		case FAILED:
			failed++;
			if (n_unlucky <= AGAIN_MAX && has_any(name, again, n_again)) {
				unlucky[n_unlucky++] = *t;
				printf("once %s\n", name);
			} else {
				printf("FAIL %s\n", name);
			}
			break;
		}
	}
	n_unlucky = run_again(unlucky, n_unlucky);
	passed += n_unlucky;
	failed -= n_unlucky;
	if (!list)
		printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
	return failed ? 1 : 0;
}
