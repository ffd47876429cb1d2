/* SPDX-License-Identifier: Apache-2.0 */
#include "rulebook/watch.h"
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/test.h"

static void count(void *ctx)
{
	atomic_fetch_add((atomic_uint *)ctx, 1);
}

/* Until it has been told more often than `before`. */
static bool is_told(atomic_uint *told, unsigned before)
{
	for (unsigned i = 0; i < 600 && atomic_load(told) == before; i++)
		clock_sleep_ns(50 * NS_PER_MS);
	return atomic_load(told) > before;
}

static bool write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");
	bool good = f && fputs(text, f) >= 0;

	return f && !fclose(f) && good;
}

TEST(what_happens_in_a_folder_and_below_is_told)
{
	char folder[] = "/tmp/shrike-watch-XXXXXX", path[128], below[96];
	atomic_uint told = 0;
	unsigned before;
	AUTO(watch) w = NULL;

	require(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/a.yml", folder);
	(void)snprintf(below, sizeof(below), "%s/below", folder);
	require_ok(watch_open(folder, count, &told, &w));
	check_str(watch_path(w), folder);
	check(write_file(path, "1") && is_told(&told, 0));
	/* An empty folder is no change; what is then written in it is. */
	check(mkdir(below, 0700) == 0);
	(void)snprintf(path, sizeof(path), "%s/b.yml", below);
	before = atomic_load(&told);
	check(write_file(path, "2") && is_told(&told, before));
	before = atomic_load(&told);
	check(unlink(path) == 0 && is_told(&told, before));
	(void)rmdir(below);
	(void)snprintf(path, sizeof(path), "%s/a.yml", folder);
	(void)unlink(path);
	(void)rmdir(folder);
}
