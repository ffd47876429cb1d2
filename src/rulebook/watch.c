/* SPDX-License-Identifier: Apache-2.0 */
#include "rulebook/watch.h"
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/hash.h"
#include "rulebook/maker.h"

enum { SETTLE_MS = 150, SETTLE_MOST_MS = 3000, POLL_MS = 2000, SELDOM_MS = 15000, EVENTS_BYTES = 1 << 14 };

static const uint32_t mask = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_CLOSE_WRITE | IN_MODIFY |
			     IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF;

struct watch {
	char *path;
	void (*changed)(void *ctx);
	void *ctx;
	pthread_t thread;
	int stop_fd, inotify_fd; /* inotify_fd: -1: there is none */
	bool sees_all;           /* inotify watches all folders */
	uint64_t stamp;
	size_t n_files;
};

/* ---- what is there ---------------------------------------------------------------------------- */

static uint64_t stamp_of(const char *name, const struct stat *st)
{
	uint64_t h = hash_bytes(name, strlen(name), (uint64_t)st->st_mode);

	h = hash_2u64((uint64_t)st->st_ino, (uint64_t)st->st_size, h);
	h = hash_2u64((uint64_t)st->st_mtim.tv_sec, (uint64_t)st->st_mtim.tv_nsec, h);
	return hash_2u64((uint64_t)st->st_ctim.tv_sec, (uint64_t)st->st_ctim.tv_nsec, h);
}

/* Watching a folder twice is watching it once, so all are added each time. */
static void watch_folder(struct watch *w, const char *path)
{
	if (w->inotify_fd < 0 || inotify_add_watch(w->inotify_fd, path, mask) < 0)
		w->sees_all = false;
}

/* The sum of the stamps of all that is there: the order in which a folder lists it does not matter. */
static uint64_t look_into(struct watch *w, const char *folder, unsigned depth)
{
	auto_dir DIR *dir = NULL;
	const struct dirent *e;
	uint64_t sum = 0;

	/* First watch, then look: what changes in between is seen by one of them. */
	watch_folder(w, folder);
	dir = depth <= BOOK_FOLDER_DEPTH_MAX ? opendir(folder) : NULL;
	while (dir && (e = readdir(dir)) && w->n_files < BOOK_FILES_MAX) {
		char path[PATH_MAX];
		struct stat st;

		if (*e->d_name == '.' || snprintf(path, sizeof(path), "%s/%s", folder, e->d_name) >= (int)sizeof(path))
			continue;
		/* As book_read() goes through it. */
		if ((depth ? lstat : stat)(path, &st) < 0)
			continue;
		if (S_ISDIR(st.st_mode)) {
			sum += look_into(w, path, depth + 1);
		} else if (stat(path, &st) == 0) {
			sum += stamp_of(path, &st);
			w->n_files++;
		}
	}
	return sum;
}

/* The folder of a file, which is replaced more often than written: its folder sees both. */
static void watch_folder_of(struct watch *w, const char *path)
{
	char folder[PATH_MAX], *slash;

	(void)snprintf(folder, sizeof(folder), "%s", path);
	slash = strrchr(folder, '/');
	if (slash)
		slash[slash == folder] = 0;
	watch_folder(w, slash ? folder : ".");
}

struct around {
	struct watch *w;
	uint64_t sum;
};

static int look_at_macros(void *ctx, const char *path)
{
	struct around *a = ctx;
	struct stat st;

	watch_folder_of(a->w, path);
	if (stat(path, &st) == 0)
		a->sum += stamp_of(path, &st);
	return 0;
}

static uint64_t look(struct watch *w)
{
	struct around around = { w, 0 };
	struct stat st;

	w->sees_all = w->inotify_fd >= 0;
	w->n_files = 0;
	if (stat(w->path, &st) == 0 && S_ISDIR(st.st_mode))
		return look_into(w, w->path, 0);
	watch_folder_of(w, w->path);
	(void)definitions_around(w->path, look_at_macros, &around);
	return around.sum + (stat(w->path, &st) == 0 ? stamp_of(w->path, &st) : 0);
}

/* ---- the thread ------------------------------------------------------------------------------- */

/* Waits for something to happen, at most so long. False: it is to stop. */
static bool wait_for(const struct watch *w, int ms, bool *ret_happened)
{
	struct pollfd fds[] = { { .fd = w->stop_fd, .events = POLLIN }, { .fd = w->inotify_fd, .events = POLLIN } };
	char bytes[EVENTS_BYTES] __attribute__((aligned(8)));

	*ret_happened = false;
	if (poll(fds, countof(fds), ms) <= 0)
		return true;
	if (fds[0].revents)
		return false;
	/* What it says does not matter: we look ourselves. */
	*ret_happened = fds[1].revents && read(w->inotify_fd, bytes, sizeof(bytes)) > 0;
	return true;
}

static void *run(void *ctx)
{
	struct watch *w = ctx;
	bool happened;

	while (wait_for(w, w->sees_all ? SELDOM_MS : POLL_MS, &happened)) {
		const uint64_t since = clock_mono_ns();
		uint64_t stamp;

		while (happened && clock_mono_ns() - since < SETTLE_MOST_MS * NS_PER_MS)
			if (!wait_for(w, SETTLE_MS, &happened))
				return NULL;
		stamp = look(w);
		if (stamp == w->stamp)
			continue;
		w->stamp = stamp;
		w->changed(w->ctx);
	}
	return NULL;
}

static int start(struct watch *w)
{
	sigset_t all, before;
	int e;

	/* Signals are for those who wait for them. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	e = pthread_create(&w->thread, NULL, run, w);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return e ? err_sys(e, "start a thread that watches %s", w->path) : 0;
}

int watch_open(const char *path, void (*changed)(void *ctx), void *ctx, struct watch **ret_watch)
{
	struct watch *w = calloc(1, sizeof(*w));
	int r = 0;

	if (!w)
		return err_new(-ENOMEM, "no memory to watch %s", path);
	w->changed = changed;
	w->ctx = ctx;
	w->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	w->stop_fd = eventfd(0, EFD_CLOEXEC);
	w->path = strdup(path);
	if (w->stop_fd < 0 || !w->path)
		r = err_new(-ENOMEM, "no memory to watch %s", path);
	/* One slash at the end is one too many for the names below it. */
	for (size_t n = r == 0 ? strlen(w->path) : 0; n > 1 && w->path[n - 1] == '/'; n--)
		w->path[n - 1] = 0;
	if (r == 0) {
		w->stamp = look(w);
		r = start(w);
	}
	if (r < 0) {
		fd_closep(&w->stop_fd);
		fd_closep(&w->inotify_fd);
		free(w->path);
		free(w);
		return r;
	}
	*ret_watch = w;
	return 0;
}

void watch_free(struct watch *w)
{
	const uint64_t one = 1;

	if (!w)
		return;
	while (write(w->stop_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
	(void)pthread_join(w->thread, NULL);
	fd_closep(&w->stop_fd);
	fd_closep(&w->inotify_fd);
	free(w->path);
	free(w);
}

const char *watch_path(const struct watch *w)
{
	return w->path;
}
