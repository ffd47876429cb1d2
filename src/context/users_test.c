/* SPDX-License-Identifier: Apache-2.0 */
#include "context/users.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/err.h"
#include "base/test.h"

static const char *name_of(struct users *u, uint32_t uid)
{
	const struct user *row = users_get(u, uid);

	return row ? row->name->bytes : "";
}

static const struct {
	const char *name, *file;
	uint32_t uid;
	const char *want;
	int n, skipped;
} rows[] = {
	{ "a usual file", "root:x:0:0:root:/root:/bin/sh\nada:x:1000:1000::/home/ada:/bin/sh\n", 1000, "ada", 2, 0 },
	{ "no newline at the end", "ada:x:1000:1000", 1000, "ada", 1, 0 },
	{ "the first of two names counts", "toor:x:0:0:\nroot:x:0:0:\n", 0, "toor", 1, 0 },
	{ "nothing", "", 0, "", 0, 0 },
	{ "only newlines", "\n\n\n", 0, "", 0, 0 },
	{ "comments", "# root:x:0:0:\n", 0, "", 0, 0 },
	{ "rows of a directory service", "+::::::\n-ada:x:1:1:\n+@net:x:2:2:\n", 1, "", 0, 0 },
	{ "uid with a sign", "ada:x:-1:0:\n", 0, "", 0, 1 },
	{ "uid with letters", "ada:x:10a:0:\n", 10, "", 0, 1 },
	{ "uid empty", "ada:x::0:\n", 0, "", 0, 1 },
	{ "uid that is all ones", "ada:x:4294967295:0:\n", 4294967295U, "", 0, 1 },
	{ "largest uid", "ada:x:4294967294:0:\n", 4294967294U, "ada", 1, 0 },
	{ "uid that overflows", "ada:x:4294967296:0:\n", 0, "", 0, 1 },
	{ "uid of many digits", "ada:x:00000000000000000001:0:\n", 1, "", 0, 1 },
	{ "no colons", "ada\n", 0, "", 0, 1 },
	{ "empty name", ":x:7:7:\n", 7, "", 0, 1 },
	{ "a name that forges a line", "a\rroot:x:7:7:\n", 7, "", 0, 1 },
	{ "a name with an escape", "\x1b[31mred:x:7:7:\n", 7, "", 0, 1 },
	{ "colons within the uid's place", "ada:x:7:8:9:10:11:12\n", 7, "ada", 1, 0 },
};

TEST(rows_of_a_passwd_file_give_names)
{
	for_each_row (r, rows) {
		struct users u;

		users_init(&u, NULL);
		require_ok(users_parse(&u, r->file, strlen(r->file)));
		check_str(name_of(&u, r->uid), r->want);
		check_int(u.n, r->n);
		check_int(u.skipped, r->skipped);
		users_free(&u);
	}
}

TEST(a_name_with_a_nul_or_too_long_is_skipped)
{
	static const char nul[] = "a\0b:x:7:7:\n";
	struct users u;
	char line[600];

	users_init(&u, NULL);
	require_ok(users_parse(&u, nul, sizeof(nul) - 1));
	check_int(u.n, 0);
	memset(line, 'a', sizeof(line));
	memcpy(line + 300, ":x:7:7:\n", 8);
	require_ok(users_parse(&u, line, 308));
	check_int(u.n, 0);
	check_int(u.skipped, 2);
	users_free(&u);
}

TEST(more_rows_than_the_bound_are_counted)
{
	size_t size = (size_t)(USERS_MAX + 10) * 24, n = 0;
	char *file = malloc(size);
	struct users u;

	require(file != NULL);
	for (int i = 0; i < USERS_MAX + 10; i++)
		n += (size_t)snprintf(file + n, size - n, "u%d:x:%d:0:\n", i, USERS_MAX + 10 - i);
	users_init(&u, NULL);
	require_ok(users_parse(&u, file, n));
	check_int(u.n, USERS_MAX);
	check_int(u.skipped, 10);
	check_str(name_of(&u, USERS_MAX + 10), "u0");
	users_free(&u);
	free(file);
}

TEST(a_changed_file_is_read_again_and_a_device_never)
{
	char path[] = "/tmp/shrike-users-XXXXXX";
	int fd = mkstemp(path);
	struct users u;

	require(fd >= 0);
	check_int(write(fd, "ada:x:1000:1000:\n", 17), 17);
	users_init(&u, path);
	users_refresh(&u, 1);
	check_str(name_of(&u, 1000), "ada");
	check_int(write(fd, "bob:x:1001:1001:\n", 17), 17);
	users_refresh(&u, 2);
	check_str(name_of(&u, 1001), "");
	users_refresh(&u, 2000000000);
	check_str(name_of(&u, 1001), "bob");
	check_int(unlink(path), 0);
	users_refresh(&u, 4000000000);
	check_str(name_of(&u, 1001), "bob");
	users_free(&u);
	users_init(&u, "/dev/zero");
	users_refresh(&u, 1);
	check_int(u.n, 0);
	users_free(&u);
	(void)close(fd);
}

TEST(names_that_records_tell_are_kept_in_order)
{
	struct users u;

	users_init(&u, NULL);
	check_int(users_set(&u, 7, "seven", 5), 0);
	check_int(users_set(&u, 3, "three", 5), 0);
	check_int(users_set(&u, 5, "five", 4), 0);
	check_int(users_set(&u, 5, "fifth", 5), 0);
	check_int(users_set(&u, 5, "", 0), -EINVAL);
	check_str(name_of(&u, 3), "three");
	check_str(name_of(&u, 5), "fifth");
	check_str(name_of(&u, 7), "seven");
	check_int(u.n, 3);
	users_free(&u);
}
