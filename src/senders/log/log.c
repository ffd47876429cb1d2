/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log - alerts as lines of JSON in a file that rotates by size and age.
 *
 * Each line is one write, and one that did not fit on the disk is taken back: the file holds whole lines, but for
 * those of a machine that lost its power. Rotated files are PATH.1, the newest, to PATH.N. Where the file cannot be
 * opened it is tried again every few seconds; what comes until then is lost and counted.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "base/outbox.h"
#include "base/state_file.h"
#include "senders/sender.h"

enum { KEEP_MAX = 1000 };
static const uint64_t retry_ns = 5 * NS_PER_S;

struct log_options {
	char *path;
	uint64_t size, age, queue;
	uint32_t keep;
};

static int check_path(const char *path)
{
	return *path ? 0 : err_new(-EINVAL, "a path is wanted; `enabled: false` switches the log off");
}

static const struct option options[] = {
	OPTION(log_options, path, OPT_PATH, "/var/lib/shrike/alerts.jsonl",
	       "file that gets a line of JSON for each alert; opened again with SIGHUP", .live = true,
	       .check = check_path),
	OPTION(log_options, size, OPT_BYTES, "64MiB", "a file that is so long is rotated; 0: never", .live = true),
	OPTION(log_options, age, OPT_DURATION, "1d", "so is one that is so old; 0: never", .live = true),
	OPTION(log_options, keep, OPT_U32, "14", "rotated files that are kept", .max = KEEP_MAX, .live = true),
	OPTION(log_options, queue, OPT_BYTES, "8MiB",
	       "memory for alerts that wait to be written; what finds no room is counted as lost", .min = 64 << 10,
	       .max = 1 << 30),
};

struct stats {
	uint64_t put, sent, lost_full, lost_closed, lost_disk, rotated, bytes;
	char error[160];
};

struct log {
	struct outbox *outbox;
	pthread_t thread;
	bool has_thread;

	pthread_mutex_t lock;   /* of what follows */
	struct log_options now; /* what holds; the path is ours */
	int next_fd;            /* a file that takes the place of the one that is written; -1: none */
	struct stats stats;

	/* The thread's. */
	int fd;
	uint64_t size, tried_ns;
	int64_t born_ns; /* wall time */
	bool told;       /* of trouble, since the last line that went well */
	struct buf line;
	char *path; /* of what is written */
};

/* ---- trouble ---------------------------------------------------------------------------------------------- */

static void keep_error(struct log *l, const char *text)
{
	(void)pthread_mutex_lock(&l->lock);
	(void)snprintf(l->stats.error, sizeof(l->stats.error), "%s", text);
	(void)pthread_mutex_unlock(&l->lock);
}

static void tell_trouble(struct log *l, const char *text)
{
	keep_error(l, text);
	if (!l->told)
		log_error("alerts cannot be written to their log", "file=%s why=\"%s\"", l->path, text);
	l->told = true;
}

/* ---- the file ----------------------------------------------------------------------------------------------- */

/* When the file was made: by that it is too old, also after a restart. */
static int64_t born_at(int fd)
{
	struct statx st;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_BTIME, &st) || !(st.stx_mask & STATX_BTIME))
		return clock_wall_ns();
	return st.stx_btime.tv_sec * (int64_t)NS_PER_S + st.stx_btime.tv_nsec;
}

static void use(struct log *l, int fd)
{
	struct stat st;

	fd_closep(&l->fd);
	l->fd = fd;
	l->size = fstat(fd, &st) ? 0 : (uint64_t)st.st_size;
	/* One without lines begins with its first. */
	l->born_ns = l->size ? born_at(fd) : clock_wall_ns();
}

static int open_file(const char *path)
{
	return state_file_open(path, O_WRONLY | O_APPEND);
}

static bool is_open(struct log *l)
{
	const uint64_t now = clock_mono_ns();
	int fd;

	if (l->fd >= 0)
		return true;
	if (l->tried_ns && now - l->tried_ns < retry_ns)
		return false;
	l->tried_ns = now;
	fd = open_file(l->path);
	if (fd < 0) {
		tell_trouble(l, err_trail());
		return false;
	}
	use(l, fd);
	return true;
}

/* path.1 becomes path.2 and so on; the last one falls off. */
static void rotate(struct log *l, uint32_t keep)
{
	char from[PATH_MAX + 16], to[PATH_MAX + 16];

	for (uint32_t i = keep; i > 0; i--) {
		(void)snprintf(to, sizeof(to), "%s.%u", l->path, i);
		if (i == 1)
			(void)snprintf(from, sizeof(from), "%s", l->path);
		else
			(void)snprintf(from, sizeof(from), "%s.%u", l->path, i - 1);
		(void)rename(from, to);
	}
	if (!keep)
		(void)unlink(l->path);
	fd_closep(&l->fd);
	l->tried_ns = 0;
	(void)pthread_mutex_lock(&l->lock);
	l->stats.rotated++;
	(void)pthread_mutex_unlock(&l->lock);
}

static void rotate_if_due(struct log *l, size_t more)
{
	uint64_t size, age;
	uint32_t keep;

	(void)pthread_mutex_lock(&l->lock);
	size = l->now.size;
	age = l->now.age;
	keep = l->now.keep;
	(void)pthread_mutex_unlock(&l->lock);
	if (l->fd < 0 || !l->size)
		return;
	if ((size && l->size + more > size) || (age && age < INT64_MAX && clock_wall_ns() - l->born_ns >= (int64_t)age))
		rotate(l, keep);
}

/* One that was opened by a reload. */
static void follow(struct log *l)
{
	char *path = NULL;
	int fd;

	(void)pthread_mutex_lock(&l->lock);
	fd = l->next_fd;
	l->next_fd = -1;
	if (fd >= 0)
		path = strdup(l->now.path);
	(void)pthread_mutex_unlock(&l->lock);
	if (fd < 0)
		return;
	if (path) {
		free(l->path);
		l->path = path;
	}
	use(l, fd);
}

/* ---- lines ----------------------------------------------------------------------------------------------------- */

/* 0, or a negative errno. */
static int write_line(struct log *l)
{
	ssize_t n = write(l->fd, l->line.data, l->line.len);
	const int error = n < 0 ? errno : ENOSPC;

	if (n == (ssize_t)l->line.len) {
		l->size += l->line.len;
		return 0;
	}
	/* Half a line would spoil the next. */
	if (n > 0 && ftruncate(l->fd, (off_t)l->size))
		l->size += (uint64_t)n;
	return -error;
}

static void send_one(struct log *l, const struct outbox_message *m)
{
	uint64_t *counter = &l->stats.sent;
	struct alert a;
	int r = 0;

	if (!alert_unpack(m->bytes, m->n, &a))
		return;
	buf_clear(&l->line);
	alert_write(&a, &l->line);
	buf_char(&l->line, '\n');
	rotate_if_due(l, l->line.len);
	if (is_open(l))
		r = l->line.failed ? -ENOMEM : write_line(l);
	if (l->fd < 0) {
		counter = &l->stats.lost_closed;
	} else if (r < 0) {
		tell_trouble(l, strerror(-r));
		counter = &l->stats.lost_disk;
	} else if (l->told) {
		l->told = false;
		keep_error(l, "");
	}
	(void)pthread_mutex_lock(&l->lock);
	(*counter)++;
	l->stats.bytes = l->size;
	(void)pthread_mutex_unlock(&l->lock);
}

static void *work(void *arg)
{
	struct log *l = arg;
	struct outbox_message m;

	while (outbox_take(l->outbox, NS_PER_S)) {
		follow(l);
		for (size_t at = 0; outbox_next(l->outbox, &at, &m);)
			send_one(l, &m);
		/* Also where nothing comes. */
		rotate_if_due(l, 0);
		(void)is_open(l);
	}
	return NULL;
}

/* ---- the sender -------------------------------------------------------------------------------------------------- */

static bool log_put(void *state, const struct alert *a)
{
	struct log *l = state;
	struct buf *b = outbox_begin(l->outbox, 0, alert_packed_size(a));

	if (b) {
		alert_pack(a, b);
		outbox_end(l->outbox);
	}
	(void)pthread_mutex_lock(&l->lock);
	l->stats.put++;
	l->stats.lost_full += !b;
	(void)pthread_mutex_unlock(&l->lock);
	return b != NULL;
}

static int log_reload(void *state, const void *opts)
{
	const struct log_options *o = opts;
	struct log *l = state;
	auto_free char *path = strdup(o->path);
	auto_close int fd = path ? open_file(o->path) : err_new(-ENOMEM, "no memory for a path");

	if (fd < 0)
		return fd;
	(void)pthread_mutex_lock(&l->lock);
	free(l->now.path);
	l->now = *o;
	l->now.path = take(path);
	fd_closep(&l->next_fd);
	l->next_fd = take_fd(fd);
	(void)pthread_mutex_unlock(&l->lock);
	outbox_wake(l->outbox);
	return 0;
}

static void log_status(void *state, struct buf *out)
{
	struct log *l = state;
	struct outbox_counts c;
	struct stats s;

	/* The queue first: what has left it by then is counted below. */
	outbox_counts(l->outbox, &c);
	(void)pthread_mutex_lock(&l->lock);
	s = l->stats;
	buf_str(out, ",\"path\":");
	(void)json_write_str(out, l->now.path, strlen(l->now.path));
	(void)pthread_mutex_unlock(&l->lock);
	buf_printf(out,
		   ",\"put\":%" PRIu64 ",\"sent\":%" PRIu64 ",\"waiting\":%" PRIu64 ",\"lost_full\":%" PRIu64
		   ",\"lost_closed\":%" PRIu64 ",\"lost_disk\":%" PRIu64 ",\"rotated\":%" PRIu64 ",\"bytes\":%" PRIu64
		   ",\"error\":",
		   s.put, s.sent, s.put - s.sent - s.lost_full - s.lost_closed - s.lost_disk, s.lost_full,
		   s.lost_closed, s.lost_disk, s.rotated, s.bytes);
	(void)json_write_str(out, s.error, strlen(s.error));
}

static void log_close(void *state)
{
	struct log *l = state;

	if (!l)
		return;
	if (l->outbox)
		outbox_close(l->outbox);
	if (l->has_thread)
		(void)pthread_join(l->thread, NULL);
	outbox_free(l->outbox);
	fd_closep(&l->fd);
	fd_closep(&l->next_fd);
	free(l->now.path);
	free(l->path);
	buf_free(&l->line);
	(void)pthread_mutex_destroy(&l->lock);
	free(l);
}

static int log_open(void **ret_state, const void *opts)
{
	const struct log_options *o = opts;
	struct log *l = calloc(1, sizeof(*l));
	int r = l ? 0 : err_new(-ENOMEM, "no memory for the log of alerts");

	if (r < 0)
		return r;
	l->fd = l->next_fd = -1;
	(void)pthread_mutex_init(&l->lock, NULL);
	buf_init(&l->line, 2 * ALERT_JSON_MAX);
	l->now = *o;
	l->now.path = strdup(o->path);
	l->path = strdup(o->path);
	if (!l->now.path || !l->path)
		r = err_new(-ENOMEM, "no memory for the log of alerts");
	if (r == 0)
		r = outbox_open(o->queue, &l->outbox);
	if (r == 0) {
		/* Here, so that whoever starts it sees at once what is wrong. */
		(void)is_open(l);
		r = pthread_create(&l->thread, NULL, work, l);
		l->has_thread = r == 0;
		r = r ? err_sys(r, "start the thread of the log of alerts") : 0;
	}
	if (r < 0) {
		log_close(l);
		return r;
	}
	*ret_state = l;
	return 0;
}

const struct sender sender_log = {
	.name = "log",
	.summary = "alerts as lines of JSON in a file",
	.options = options,
	.n_options = countof(options),
	.options_size = sizeof(struct log_options),
	.open = log_open,
	.put = log_put,
	.reload = log_reload,
	.status = log_status,
	.close = log_close,
};
