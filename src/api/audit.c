/* SPDX-License-Identifier: Apache-2.0 */
#include "api/audit.h"
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"

enum { LINE_BYTES_MAX = 32 << 10, PATH_BYTES_MAX = 4096 };

struct audit {
	pthread_mutex_t lock;
	char *path;
	int fd;
	uint64_t size, bytes_max;
	unsigned keep;
	uint64_t written, failed, untold; /* untold: failed, and no line has said so yet */
	struct buf line;
};

static int open_file(struct audit *a)
{
	struct stat st;
	int fd = open(a->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK, 0600);

	if (fd < 0)
		return err_sys(errno, "open the audit log %s", a->path);
	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_mode & 077) {
		(void)close(fd);
		return err_new(-EPERM, "the audit log %s is no file, or others can read it: chmod 600", a->path);
	}
	fd_closep(&a->fd);
	a->fd = fd;
	a->size = (uint64_t)st.st_size;
	return 0;
}

static int make_dir(const char *path)
{
	char dir[PATH_BYTES_MAX], *slash;

	if ((size_t)snprintf(dir, sizeof(dir), "%s", path) >= sizeof(dir) - 16)
		return err_new(-ENAMETOOLONG, "the audit log's path is too long");
	slash = strrchr(dir, '/');
	if (!slash || slash == dir)
		return 0;
	*slash = 0;
	if (mkdir(dir, 0700) && errno != EEXIST)
		return err_sys(errno, "make the folder %s of the audit log", dir);
	return 0;
}

int audit_open(const char *path, uint64_t bytes_max, unsigned keep, struct audit **ret_audit)
{
	AUTO(audit) a = NULL;
	int r;

	*ret_audit = NULL;
	if (!path[0])
		return 0;
	a = calloc(1, sizeof(*a));
	if (!a)
		return err_new(-ENOMEM, "no memory for the audit log");
	a->fd = -1;
	a->bytes_max = bytes_max;
	a->keep = keep;
	(void)pthread_mutex_init(&a->lock, NULL);
	buf_init(&a->line, LINE_BYTES_MAX);
	a->path = strdup(path);
	if (!a->path)
		return err_new(-ENOMEM, "no memory for the audit log");
	r = make_dir(path);
	if (r == 0)
		r = open_file(a);
	if (r < 0)
		return r;
	*ret_audit = take(a);
	return 0;
}

void audit_free(struct audit *a)
{
	if (!a)
		return;
	fd_closep(&a->fd);
	buf_free(&a->line);
	free(a->path);
	(void)pthread_mutex_destroy(&a->lock);
	free(a);
}

/* path.1 becomes path.2 and so on; the last one falls off. */
static void rotate(struct audit *a)
{
	char from[PATH_BYTES_MAX], to[PATH_BYTES_MAX];

	for (unsigned i = a->keep; i > 0; i--) {
		(void)snprintf(to, sizeof(to), "%s.%u", a->path, i);
		if (i == 1)
			(void)snprintf(from, sizeof(from), "%s", a->path);
		else
			(void)snprintf(from, sizeof(from), "%s.%u", a->path, i - 1);
		(void)rename(from, to);
	}
	if (!a->keep)
		(void)unlink(a->path);
	if (open_file(a) < 0)
		log_error("audit log not rotated", "why=\"%s\"", err_trail());
}

static void put_text(struct buf *out, const char *name, const char *text)
{
	if (!text || !text[0])
		return;
	buf_printf(out, ",\"%s\":", name);
	(void)json_write_str(out, text, strlen(text));
}

static void put_number(struct buf *out, const char *name, uint64_t v)
{
	buf_printf(out, ",\"%s\":", name);
	buf_u64(out, v);
}

static void make_line(struct buf *out, const struct audit_line *l, uint64_t untold)
{
	char now[CLOCK_TEXT];

	clock_format(clock_wall_ns(), now);
	buf_clear(out);
	buf_printf(out, "{\"time\":\"%.*s\",\"event\":\"%s\"", CLOCK_TEXT, now, l->event);
	put_text(out, "consumer", l->consumer);
	put_text(out, "role", l->role);
	put_text(out, "peer", l->peer);
	put_text(out, "protocol", l->protocol);
	put_text(out, "method", l->method);
	put_text(out, "path", l->path);
	put_text(out, "filter", l->filter);
	put_number(out, "status", l->status);
	if (l->event[0] == 'e') {
		put_number(out, "records", l->records);
		put_number(out, "lost", l->lost);
		put_number(out, "bytes", l->bytes);
		put_number(out, "ms", l->ms);
	}
	if (untold)
		put_number(out, "lines_lost", untold);
	buf_str(out, "}\n");
}

void audit_write(struct audit *a, const struct audit_line *line)
{
	if (!a)
		return;
	(void)pthread_mutex_lock(&a->lock);
	make_line(&a->line, line, a->untold);
	if (a->size && a->size + a->line.len > a->bytes_max)
		rotate(a);
	if (!a->line.failed && write(a->fd, a->line.data, a->line.len) == (ssize_t)a->line.len) {
		a->size += a->line.len;
		a->written++;
		a->untold = 0;
	} else {
		a->failed++;
		a->untold++;
	}
	(void)pthread_mutex_unlock(&a->lock);
}

void audit_reopen(struct audit *a)
{
	if (!a)
		return;
	(void)pthread_mutex_lock(&a->lock);
	if (open_file(a) < 0)
		log_error("audit log not opened again", "why=\"%s\"", err_trail());
	(void)pthread_mutex_unlock(&a->lock);
}

void audit_sums(struct audit *a, uint64_t *ret_written, uint64_t *ret_failed)
{
	*ret_written = *ret_failed = 0;
	if (!a)
		return;
	(void)pthread_mutex_lock(&a->lock);
	*ret_written = a->written;
	*ret_failed = a->failed;
	(void)pthread_mutex_unlock(&a->lock);
}
