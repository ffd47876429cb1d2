/* SPDX-License-Identifier: Apache-2.0 */
#include "hunt/lines.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/err.h"
#include "base/test.h"

/* A file that is gone once it is open. */
static struct lines *lines_of(const char *text, size_t n)
{
	char path[] = "/tmp/shrike-lines-XXXXXX";
	struct lines *l = NULL;
	int fd = mkstemp(path);

	if (fd < 0 || write(fd, text, n) != (ssize_t)n || lines_open(path, &l) < 0)
		test_fail(T_HERE, "%s cannot be made", path);
	(void)close(fd);
	(void)unlink(path);
	return l;
}

/* "0:{a}@0 1:{b}@4": each line with its index and its place. */
static const char *all_of(struct lines *l, struct buf *out)
{
	struct line line;
	int r;

	buf_clear(out);
	while ((r = lines_next(l, &line)) == 1)
		buf_printf(out, "%s%zu:%.*s@%zu", out->len ? " " : "", (size_t)line.index, (int)line.n, line.p,
			   (size_t)line.offset);
	check_int(r, 0);
	return buf_text(out);
}

TEST(lines_are_counted_whether_or_not_they_are_handed_out)
{
	static const struct {
		const char *name, *text, *needle, *want;
	} rows[] = {
		{ "nothing", "", NULL, "" },
		{ "one without an end", "{a}", NULL, "0:{a}@0" },
		{ "two", "{a}\n{b}\n", NULL, "0:{a}@0 1:{b}@4" },
		{ "blank lines are none", "\n \t\r\n{a}\n\n\r\n {b}\n", NULL, "0:{a}@5 1: {b}@12" },
		{ "only with the needle", "{a}\n{bx}\n{c}\n{dx}", "x", "1:{bx}@4 3:{dx}@13" },
		{ "a needle twice in a line", "{xx}\n{x}\n", "x", "0:{xx}@0 1:{x}@5" },
		{ "blank lines among those passed over", "{aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}\n\n\n  \n {b}\n{cx}\n",
		  "x", "2:{cx}@45" },
		{ "no line has it", "{a}\n{b}\n", "x", "" },
	};
	auto_buf struct buf out = { .max = 4096 };

	for_each_row (r, rows) {
		AUTO(lines) l = lines_of(r->text, strlen(r->text));
		struct needles needles = { 0 };

		if (!l)
			continue;
		if (r->needle)
			require(needles_add(&needles, r->needle, strlen(r->needle), false));
		lines_rewind(l, &needles);
		check_str(all_of(l, &out), r->want);
	}
}

/* More than a buffer full, so that lines stand across its ends; counted both ways. */
TEST(a_long_input_is_the_same_with_and_without_needles)
{
	auto_buf struct buf text = { .max = 16 << 20 };
	struct needles needles = { 0 };
	struct line line = { 0 };
	size_t hits = 0, n = 0;

	for (unsigned i = 0; text.len < 5 << 20; i++)
		buf_printf(&text, "{\"n\":%u,\"pad\":\"%.*s\"%s}\n%s", i, (int)(i * 7919 % 700), "",
			   i % 1000 == 17 ? ",\"needle\":1" : "", i % 37 ? "" : "\n");
	AUTO(lines) l = lines_of(buf_text(&text), text.len);
	require(l);
	while (lines_next(l, &line) == 1)
		n++;
	check_int((long)line.index + 1, (long)n);
	check_int((long)lines_done(l), (long)l->size);
	require(needles_add(&needles, "needle", 6, false));
	lines_rewind(l, &needles);
	while (lines_next(l, &line) == 1) {
		char copy[64] = "", want[32];

		hits++;
		check_int((long)(line.index % 1000), 17);
		(void)snprintf(want, sizeof(want), "{\"n\":%zu,", (size_t)line.index);
		check(line.n < sizeof(copy) && lines_reread(l, line.offset, line.n, copy) == 0);
		check_int(strncmp(copy, want, strlen(want)), 0);
	}
	check_int((long)hits, (long)((n - 18) / 1000 + 1));
	check_int((long)l->index, (long)n);
}

TEST(a_line_without_end_is_passed_over_and_counted)
{
	static const size_t sizes[] = { LINE_BYTES_MAX, LINE_BYTES_MAX + 1, LINE_BYTES_MAX * 3 + 5 };

	for (size_t i = 0; i < countof(sizes); i++) {
		size_t size = sizes[i];
		auto_buf struct buf text = { .max = 8 << 20 };
		struct line line;

		buf_str(&text, "{first}\n");
		require(buf_reserve(&text, size));
		memset(text.data + text.len, 'x', size);
		text.len += size;
		buf_str(&text, "\n{last}\n");
		AUTO(lines) l = lines_of(buf_text(&text), text.len);
		require(l);
		check_int(lines_next(l, &line), 1);
		check_int(lines_next(l, &line), 1);
		if (size == LINE_BYTES_MAX) {
			check_int((long)line.n, LINE_BYTES_MAX);
			check_int(lines_next(l, &line), 1);
		}
		check_int((long)line.index, 2);
		check_int((long)line.n, 6);
		check_int(lines_next(l, &line), 0);
		check_int((long)l->too_long, size > LINE_BYTES_MAX);
	}
}

TEST(what_is_no_input_is_said)
{
	struct lines *l = NULL;

	check_int(lines_open("/tmp", &l), -EISDIR);
	check_int(lines_open("/tmp/there/is/no/such/file", &l), -ENOENT);
	check(!l);
}
