/* SPDX-License-Identifier: Apache-2.0 */
#include "hunt/lines.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "base/err.h"
#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* Small enough to stay in a core's own cache while it is searched several times. */
enum { ROOM = LINE_BYTES_MAX + (1 << 18), COPY_BYTES = 1 << 16 };

/* ---- opening ------------------------------------------------------------------------------ */

static int temporary_file(void)
{
	const char *dir = getenv("TMPDIR");
	const char *const dirs[] = { dir && dir[0] == '/' ? dir : "/var/tmp", "/var/tmp", "/tmp" };
	int fd = -1;

	for (size_t i = 0; fd < 0 && i < countof(dirs); i++)
		fd = open(dirs[i], O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	return fd < 0 ? err_sys(errno, "make a temporary file in %s", dirs[0]) : fd;
}

static int write_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t did = write(fd, p, n);

		if (did < 0 && errno == EINTR)
			continue;
		if (did <= 0)
			return err_sys(did < 0 ? errno : ENOSPC, "write a temporary file");
		p += did;
		n -= (size_t)did;
	}
	return 0;
}

static int copy_stream(int from, const char *name)
{
	auto_free char *buf = malloc(COPY_BYTES);
	auto_close int fd = -1;

	if (!buf)
		return err_new(-ENOMEM, "out of memory");
	fd = temporary_file();
	while (fd >= 0) {
		ssize_t n = read(from, buf, COPY_BYTES);
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(errno, "read %s", name);
		if (n == 0)
			break;
		r = write_all(fd, buf, (size_t)n);
		if (r < 0)
			return err_wrap(r, "keep a copy of %s", name);
	}
	return take_fd(fd);
}

static int make(const char *name, struct lines **ret_lines)
{
	AUTO(lines) l = calloc(1, sizeof(*l));

	if (!l)
		return err_new(-ENOMEM, "out of memory");
	l->fd = -1;
	l->buf = malloc(ROOM);
	l->name = strdup(name);
	if (!l->buf || !l->name)
		return err_new(-ENOMEM, "out of memory");
	*ret_lines = take(l);
	return 0;
}

int lines_new(const char *name, struct lines **ret_lines)
{
	AUTO(lines) l = NULL;
	int r = make(name, &l);

	if (r < 0)
		return r;
	l->fd = temporary_file();
	if (l->fd < 0)
		return l->fd;
	*ret_lines = take(l);
	return 0;
}

int lines_put_end(struct lines *l)
{
	int r = write_all(l->fd, l->buf, l->len);

	l->size += l->len;
	l->len = 0;
	return r;
}

int lines_put(struct lines *l, const char *p, size_t n)
{
	int r = 0;

	if (n > ROOM - l->len)
		r = lines_put_end(l);
	if (r == 0 && n > ROOM) {
		l->size += n;
		return write_all(l->fd, p, n);
	}
	memcpy(l->buf + l->len, p, n);
	l->len += n;
	return r;
}

int lines_open(const char *path, struct lines **ret_lines)
{
	bool is_stdin = !strcmp(path, "-");
	AUTO(lines) l = NULL;
	struct stat st;
	int r = make(is_stdin ? "stdin" : path, &l);

	if (r < 0)
		return r;
	l->fd = is_stdin ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (l->fd < 0 || fstat(l->fd, &st) < 0)
		return err_sys(errno, "open %s", l->name);
	if (S_ISDIR(st.st_mode))
		return err_new(-EISDIR, "open %s: it is a folder", l->name);
	if (!S_ISREG(st.st_mode)) {
		int fd = copy_stream(l->fd, l->name);

		if (fd < 0)
			return fd;
		(void)close(l->fd);
		l->fd = fd;
		if (fstat(fd, &st) < 0)
			return err_sys(errno, "look at the copy of %s", l->name);
	} else {
		(void)posix_fadvise(l->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	}
	l->size = (uint64_t)st.st_size;
	*ret_lines = take(l);
	return 0;
}

void lines_free(struct lines *l)
{
	if (!l)
		return;
	if (l->fd >= 0)
		(void)close(l->fd);
	free(l->buf);
	free(l->name);
	free(l);
}

void lines_rewind(struct lines *l, struct needles *needles)
{
	l->needles = needles && needles->n ? needles : NULL;
	l->offset = l->index = l->too_long = 0;
	l->at = l->whole = l->len = 0;
	l->ended = l->skipping = false;
}

/* ---- counting what is passed over ------------------------------------------------------------ */

static bool is_blank(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\t' || *p == '\r'))
		p++;
	return p == end;
}

static const char *line_end(const char *p, const char *end)
{
	const char *nl = memchr(p, '\n', (size_t)(end - p));

	return nl ? nl : end;
}

static size_t count_slowly(const char *p, const char *end)
{
	size_t n = 0;

	for (const char *eol; p < end; p = eol + 1) {
		eol = line_end(p, end);
		n += !is_blank(p, eol);
	}
	return n;
}

/* Events in whole lines. Lines that begin with a blank are looked at one by one, only where there are any. */
static size_t count_events(const char *p, const char *end)
{
	const char *begin = p;
	size_t n = p < end && (unsigned char)*p > ' ', lines = p < end;

#ifdef __SSE2__
	const __m128i newline = _mm_set1_epi8('\n'), ink = _mm_set1_epi8('!'), zero = _mm_setzero_si128();

	while (end - p > 16) {
		__m128i all = zero, inked = zero;

		for (int i = 0; i < 255 && end - p > 16; i++, p += 16) {
			__m128i here = _mm_loadu_si128((const __m128i *)(const void *)p);
			__m128i next = _mm_loadu_si128((const __m128i *)(const void *)(p + 1));
			__m128i ends = _mm_cmpeq_epi8(here, newline);

			all = _mm_sub_epi8(all, ends);
			inked = _mm_sub_epi8(inked, _mm_and_si128(ends, _mm_cmpeq_epi8(_mm_max_epu8(next, ink), next)));
		}
		all = _mm_sad_epu8(all, zero);
		inked = _mm_sad_epu8(inked, zero);
		lines += (size_t)_mm_cvtsi128_si64(all) + (size_t)_mm_cvtsi128_si64(_mm_srli_si128(all, 8));
		n += (size_t)_mm_cvtsi128_si64(inked) + (size_t)_mm_cvtsi128_si64(_mm_srli_si128(inked, 8));
	}
#endif
	for (; end - p > 1; p++)
		if (*p == '\n') {
			lines++;
			n += (unsigned char)p[1] > ' ';
		}
	return n == lines ? n : count_slowly(begin, end);
}

/* ---- reading ------------------------------------------------------------------------------------ */

/* Reads on, so that there is a whole line to look at. 0: the input has ended. */
static int refill(struct lines *l)
{
	while (!l->ended) {
		const char *nl;
		ssize_t n;

		memmove(l->buf, l->buf + l->at, l->len - l->at);
		l->offset += l->at;
		l->len -= l->at;
		l->at = l->whole = 0;
		do
			n = pread(l->fd, l->buf + l->len, ROOM - l->len, (off_t)(l->offset + l->len));
		while (n < 0 && errno == EINTR);
		if (n < 0)
			return err_sys(errno, "read %s", l->name);
		l->ended = n == 0;
		l->len += (size_t)n;
		nl = memrchr(l->buf, '\n', l->len);
		l->whole = l->ended ? l->len : nl ? (size_t)(nl - l->buf) + 1 : 0;
		if (l->skipping && l->len) {
			nl = memchr(l->buf, '\n', l->len);
			l->at = nl ? (size_t)(nl - l->buf) + 1 : l->len;
			l->whole = nl ? l->whole : l->len;
			l->skipping = !nl;
		} else if (!l->whole && l->len == ROOM) {
			l->too_long++;
			l->index++;
			l->skipping = true;
			l->at = l->whole = l->len;
		}
		if (l->at < l->whole) {
			if (l->needles)
				needles_begin(l->needles, l->buf + l->at, l->buf + l->whole);
			return 1;
		}
	}
	return 0;
}

int lines_next(struct lines *l, struct line *ret_line)
{
	for (;;) {
		const char *end = l->buf + l->whole, *bol = l->buf + l->at, *eol, *hit = bol;

		if (l->at == l->whole) {
			int r = refill(l);

			if (r <= 0)
				return r;
			continue;
		}
		if (l->needles) {
			const char *before;

			hit = needles_next(l->needles, bol);
			if (hit == end) {
				l->index += count_events(bol, end);
				l->at = l->whole;
				continue;
			}
			before = memrchr(bol, '\n', (size_t)(hit - bol));
			if (before) {
				l->index += count_events(bol, before + 1);
				bol = before + 1;
			}
		}
		eol = line_end(hit, end);
		l->at = eol < end ? (size_t)(eol + 1 - l->buf) : l->whole;
		if (is_blank(bol, eol))
			continue;
		if (eol - bol > LINE_BYTES_MAX) {
			l->too_long++;
			l->index++;
			continue;
		}
		*ret_line = (struct line) { bol, (size_t)(eol - bol), l->index++, l->offset + (size_t)(bol - l->buf) };
		return 1;
	}
}

int lines_reread(const struct lines *l, uint64_t offset, size_t n, char *to)
{
	size_t done = 0;

	while (done < n) {
		ssize_t did = pread(l->fd, to + done, n - done, (off_t)(offset + done));

		if (did < 0 && errno == EINTR)
			continue;
		if (did < 0)
			return err_sys(errno, "read %s again", l->name);
		if (did == 0)
			return err_new(-EIO, "read %s again: it became shorter", l->name);
		done += (size_t)did;
	}
	return 0;
}
