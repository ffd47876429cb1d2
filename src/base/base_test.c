/* SPDX-License-Identifier: Apache-2.0 */
/* buf, err and mem: the first things that everything else stands on. */
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/test.h"

TEST(buf_keeps_what_fits_and_drops_the_rest)
{
	static const struct {
		const char *name;
		size_t max, parts[4];
		size_t want_len;
		bool failed;
	} rows[] = {
		{ "nothing", 10, { 0 }, 0, false },
		{ "up to the limit", 10, { 4, 6 }, 10, false },
		{ "one more", 10, { 4, 7 }, 4, true },
		{ "beyond the limit within the first memory", 100, { 50, 60 }, 50, true },
		{ "after a failure nothing", 10, { 11, 1 }, 0, true },
		{ "growing", 5000, { 1000, 2000, 2000 }, 5000, false },
		{ "growing beyond", 5000, { 1000, 2000, 2000, 1 }, 5000, true },
		{ "more than there is", 10, { 1, SIZE_MAX }, 1, true },
	};
	static const char bytes[2000];

	for_each_row (r, rows) {
		auto_buf struct buf b;

		buf_init(&b, r->max);
		for (size_t i = 0; i < countof(r->parts); i++)
			if (buf_reserve(&b, r->parts[i]))
				buf_add(&b, bytes, r->parts[i]);
		check_int(b.len, r->want_len);
		check(b.failed == r->failed);
		check(!b.data || !b.data[b.len]);
		buf_clear(&b);
		buf_str(&b, "ab");
		check_str(buf_text(&b), "ab");
	}
}

TEST(buf_writes_numbers)
{
	auto_buf struct buf b;

	buf_init(&b, 200);
	check_str(buf_text(&b), "");
	buf_u64(&b, 0);
	buf_char(&b, ' ');
	buf_u64(&b, UINT64_MAX);
	buf_char(&b, ' ');
	buf_i64(&b, INT64_MIN);
	buf_char(&b, ' ');
	buf_i64(&b, 42);
	buf_printf(&b, " %s=%d", "x", -1);
	check_str(buf_text(&b), "0 18446744073709551615 -9223372036854775808 42 x=-1");
	buf_printf(&b, "%0*d", 300, 1);
	check(b.failed);
}

static int inner(int r)
{
	return err_new(r, "open %s", "file");
}

static int outer(int r)
{
	return err_wrap(inner(r), "read settings");
}

TEST(err_trail_reads_from_the_outside_in)
{
	check_int(outer(-ENOENT), -ENOENT);
	check_str(err_trail(), "read settings: open file");
	/* A new error starts a new trail. */
	check_int(err_sys(EACCES, "bind"), -EACCES);
	check_has(err_trail(), "bind: Permission");
	err_clear();
	check_str(err_trail(), "");
}

TEST(err_results_are_negative_whatever_was_given)
{
	check_int(err_new(EINVAL, "positive"), -EINVAL);
	check_int(err_new(0, "zero"), -EIO);
	check_int(err_wrap(7, "wrapped"), -7);
}

TEST(err_keeps_the_innermost_frames)
{
	char trail[4096];

	(void)err_new(-EIO, "the cause");
	for (int i = 0; i < 100; i++)
		err_add(ERR_HERE, "frame %d", i);
	(void)snprintf(trail, sizeof(trail), "%s", err_trail());
	check_has(trail, "frame 0: the cause");
	check(!strstr(trail, "frame 99"));
	err_clear();
}

static void close_early(int *ret_fd)
{
	auto_close int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	auto_free char *text = strdup("x");

	*ret_fd = fd;
	if (text)
		text[0] = 'y';
}

TEST(what_is_owned_is_closed_and_what_is_taken_is_not)
{
	auto_close int kept = -1;
	int fd = -1;

	close_early(&fd);
	require(fd >= 0);
	check(fcntl(fd, F_GETFD) < 0);
	{
		auto_close int local = open("/dev/null", O_RDONLY | O_CLOEXEC);

		fd = local;
		kept = take_fd(local);
		check_int(local, -1);
	}
	check(kept == fd && fcntl(fd, F_GETFD) >= 0);
}

/* ---- the runner of tests -------------------------------------------------------------------------------- */

/* Fails as often as the environment says: for the test below, which runs this program once more. */
TEST(bad_luck)
{
	static int left = -1;
	const char *times = getenv("SHRIKE_BAD_LUCK");

	if (left < 0)
		left = times ? atoi(times) : 0;
	check(left-- <= 0);
}

TEST(who_has_bad_luck_once_is_tried_again_and_who_has_it_twice_has_failed)
{
	static const struct {
		const char *name, *luck, *options, *says;
		int code;
	} rows[] = {
		{ "good luck", "0", "-a base/", "ok   base/base.bad_luck\n1 passed, 0 failed", 0 },
		{ "once", "1", "-a base/", "once base/base.bad_luck\nagain base/base.bad_luck\n1 passed, 0 failed", 0 },
		{ "twice", "2", "-a base/", "FAIL base/base.bad_luck\n0 passed, 1 failed", 1 },
		{ "once, where there is no second try", "1", "", "FAIL base/base.bad_luck\n0 passed, 1 failed", 1 },
		{ "once, where others have one", "1", "-a sensors/", "FAIL base/base.bad_luck\n0 passed, 1 failed", 1 },
	};
	char self[PATH_MAX] = "";

	require(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
	for_each_row (r, rows) {
		auto_buf struct buf said = { .max = 4096 };
		char command[PATH_MAX + 128], bytes[512];
		FILE *f;
		int code;

		(void)snprintf(command, sizeof(command), "SHRIKE_BAD_LUCK=%s '%s' %s base/base.bad_luck", r->luck, self,
			       r->options);
		f = popen(command, "re");
		require(f);
		/* What a check says of its value is left out: its place changes. */
		while (fgets(bytes, sizeof(bytes), f))
			if (*bytes != ' ')
				buf_str(&said, bytes);
		code = pclose(f);
		check_has(buf_text(&said), r->says);
		check_int(WEXITSTATUS(code), r->code);
	}
}

TEST(bytes_are_the_same_when_all_of_them_are)
{
	char a[40], b[40];

	for (size_t n = 0; n < sizeof(a); n++) {
		memset(a, 'a', sizeof(a));
		memset(b, 'a', sizeof(b));
		b[n] = 'b';
		check(bytes_same(a, b, n));
		for (size_t i = 0; i < n; i++) {
			b[i] ^= 1;
			check(!bytes_same(a, b, n));
			b[i] ^= 1;
		}
	}
}
