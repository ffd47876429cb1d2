/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_main - runs the tests that are linked in, and closes with `N passed, N failed, N skipped`.
 *
 * Usage: unit [-l] [-x PART]... [PART]...   -l lists, -x leaves out what contains PART.
 */
#include "base/test.h"
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

extern const struct test_case *const __start_test_refs[], *const __stop_test_refs[];
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

int main(int argc, char **argv)
{
	int passed = 0, failed = 0, skipped = 0, n_not = 0, opt;
	bool list = false;
	char * not[16];

	/* Files that tests make have the modes that they ask for, whatever the caller's mask. */
	(void)umask(022);
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	while ((opt = getopt(argc, argv, "lx:")) != -1) {
		if (opt == 'l')
			list = true;
		else if (opt == 'x' && n_not < 16)
			not[n_not++] = optarg;
		else
			return 2;
	}
	for (const struct test_case *const *t = __start_test_refs; t < __stop_test_refs; t++) {
		char name[256];
		int before = failures;

		full_name(*t, name, sizeof(name));
		if ((optind < argc && !has_any(name, argv + optind, argc - optind)) || has_any(name, not, n_not))
			continue;
		if (list) {
			puts(name);
			continue;
		}
		test_row = NULL;
		skipped_why = NULL;
		(*t)->fn();
		if (failures != before) {
			failed++;
			printf("FAIL %s\n", name);
		} else if (skipped_why) {
			skipped++;
			printf("skip %s: %s\n", name, skipped_why);
		} else {
			passed++;
			printf("ok   %s\n", name);
		}
	}
	if (!list)
		printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
	return failed ? 1 : 0;
}
