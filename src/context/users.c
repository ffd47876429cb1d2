/* SPDX-License-Identifier: Apache-2.0 */
#include "context/users.h"
#include <fcntl.h>
#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "context/text.h"

static const uint64_t look_every_ns = 1000000000;

void users_init(struct users *u, const char *path)
{
	*u = (struct users) { .path = path };
}

static void clear(struct users *u)
{
	for (size_t i = 0; i < u->n; i++)
		text_unref(u->rows[i].name);
	u->n = 0;
}

void users_free(struct users *u)
{
	clear(u);
	free(u->rows);
	u->rows = NULL;
	u->cap = 0;
}

static int make_room(struct users *u)
{
	size_t cap = u->cap ? u->cap * 2 : 64;
	struct user *rows;

	if (u->n < u->cap)
		return 0;
	if (u->n >= USERS_MAX)
		return -ENOSPC;
	rows = realloc(u->rows, cap * sizeof(*rows));
	if (!rows)
		return -ENOMEM;
	u->rows = rows;
	u->cap = cap;
	return 0;
}

/* The first row whose uid is at least this. */
static size_t lower(const struct users *u, uint32_t uid)
{
	size_t lo = 0, hi = u->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (u->rows[mid].uid < uid)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct user *users_get(struct users *u, uint32_t uid)
{
	size_t at = lower(u, uid);

	return at < u->n && u->rows[at].uid == uid ? &u->rows[at] : NULL;
}

static int add(struct users *u, uint32_t uid, const char *name, size_t n)
{
	const struct text *t;
	int r = make_room(u);

	if (r < 0)
		return r;
	t = text_new(name, n);
	if (!t)
		return -ENOMEM;
	u->rows[u->n] = (struct user) { .uid = uid, .row = (uint32_t)u->n, .name = t };
	u->n++;
	return 0;
}

int users_set(struct users *u, uint32_t uid, const char *name, size_t n)
{
	struct user *row = users_get(u, uid), last;
	size_t at;
	int r;

	if (!n || n > USER_NAME_MAX)
		return -EINVAL;
	if (row) {
		const struct text *t = text_new(name, n);

		if (!t)
			return -ENOMEM;
		text_unref(row->name);
		row->name = t;
		row->told = true;
		return 0;
	}
	at = lower(u, uid);
	r = add(u, uid, name, n);
	if (r < 0)
		return r;
	last = u->rows[u->n - 1];
	last.told = true;
	memmove(u->rows + at + 1, u->rows + at, (u->n - 1 - at) * sizeof(*u->rows));
	u->rows[at] = last;
	return 0;
}

static bool field(const char **at, const char *end, struct str *ret_field)
{
	const char *colon = memchr(*at, ':', (size_t)(end - *at));

	if (!colon)
		return false;
	*ret_field = (struct str) { *at, (size_t)(colon - *at) };
	*at = colon + 1;
	return true;
}

/* Decimal, all of it, and no user id that the kernel would refuse. */
static bool number(struct str s, uint32_t *ret_uid)
{
	uint64_t v = 0;

	if (!s.n || s.n > 10)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		v = v * 10 + (uint64_t)(s.p[i] - '0');
	}
	*ret_uid = (uint32_t)v;
	return v < UINT32_MAX;
}

/* Control characters in a name would let a row of the file forge lines wherever the name is printed. */
static bool printable(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
			return false;
	return s.n > 0 && s.n <= USER_NAME_MAX;
}

static int parse_row(struct users *u, const char *line, const char *end)
{
	struct str name, password, uid_text;
	uint32_t uid;

	/* "+" and "-" rows include a directory service. */
	if (line == end || *line == '#' || *line == '+' || *line == '-')
		return 0;
	if (!field(&line, end, &name) || !field(&line, end, &password) || !field(&line, end, &uid_text) ||
	    !printable(name) || !number(uid_text, &uid)) {
		u->skipped++;
		return 0;
	}
	return add(u, uid, name.p, name.n);
}

static int by_uid_and_row(const void *a, const void *b)
{
	const struct user *x = a, *y = b;

	if (x->uid != y->uid)
		return x->uid < y->uid ? -1 : 1;
	return x->row < y->row ? -1 : x->row > y->row;
}

/* Of the rows of one uid the first in the file counts, as for getpwuid(). */
static void sort_rows(struct users *u)
{
	size_t n = 0;

	if (!u->n)
		return;
	qsort(u->rows, u->n, sizeof(*u->rows), by_uid_and_row);
	for (size_t i = 0; i < u->n; i++) {
		if (n && u->rows[n - 1].uid == u->rows[i].uid)
			text_unref(u->rows[i].name);
		else
			u->rows[n++] = u->rows[i];
	}
	u->n = n;
}

int users_parse(struct users *u, const char *bytes, size_t n)
{
	const char *end = bytes + n;

	clear(u);
	while (bytes < end) {
		const char *nl = memchr(bytes, '\n', (size_t)(end - bytes)), *stop = nl ? nl : end;
		int r = parse_row(u, bytes, stop);

		if (r == -ENOSPC)
			u->skipped++;
		else if (r < 0)
			return err_new(r, "no memory for the names of users");
		bytes = stop + 1;
	}
	sort_rows(u);
	return 0;
}

static int read_file(struct users *u, const struct stat *st, int fd)
{
	auto_buf struct buf b;
	char chunk[16384];
	ssize_t got;

	buf_init(&b, USERS_FILE_MAX);
	while ((got = read(fd, chunk, sizeof(chunk))) > 0)
		buf_add(&b, chunk, (size_t)got);
	if (got < 0)
		return -errno;
	if (b.failed)
		u->skipped++;
	u->seen = *st;
	return users_parse(u, buf_text(&b), b.len);
}

static bool same(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

void users_refresh(struct users *u, uint64_t now_ns)
{
	auto_close int fd = -1;
	struct stat st;

	if (!u->path || (u->looked_ns && now_ns - u->looked_ns < look_every_ns))
		return;
	u->looked_ns = now_ns;
	if (stat(u->path, &st) || same(&st, &u->seen))
		return;
	/* A pipe or device under that name must not block the reader. */
	fd = open(u->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode))
		return;
	(void)read_file(u, &st, fd);
}
