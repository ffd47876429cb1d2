/* SPDX-License-Identifier: Apache-2.0 */
/* writer - appends blocks to segments, begins new ones, and removes old ones. */
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include "base/clock.h"
#include "base/err.h"
#include "store/segment/segment.h"

#define SEGMENT_BYTES     (64ULL << 20)
#define SEGMENT_BYTES_MIN (1ULL << 20)
enum { CHECK_EVERY_S = 60, AGE_PARTS = 8 };

struct store_writer {
	char *path;
	bool single_file, stream, begun_once;
	int stream_fd;
	__u64 segment_bytes, max_bytes, max_age_ns;
	int dir, fd; /* fd -1: no segment */
	__u64 number;
	__u64 bytes;      /* of the file: all blocks up to here are whole */
	__u64 block_lost; /* records missing before the block that is being made */
	__u64 newest_ns;  /* of all records so far */
	time_t began_s, checked_s;
	struct block_maker *maker;
	struct buf out;
	struct store_writer_stats stats;
};

/* ---- opening ------------------------------------------------------------------------------------- */

/* One agent a folder: two would remove each other's segments. */
static int open_folder(struct store_writer *w)
{
	auto_free __u64 *numbers = NULL;
	size_t n;
	int r;

	if (mkdir(w->path, 0700) && errno != EEXIST)
		return err_sys(errno, "make the folder %s", w->path);
	w->dir = open(w->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (w->dir < 0)
		return err_sys(errno, "open the folder %s", w->path);
	if (flock(w->dir, LOCK_EX | LOCK_NB))
		return err_new(-EBUSY, "another agent records into %s: give each its own folder", w->path);
	r = segment_list(w->dir, &numbers, &n);
	if (r < 0)
		return r;
	w->number = n ? numbers[n - 1] + 1 : 1;
	return 0;
}

int store_writer_open(const struct store_writer_options *o, struct store_writer **ret_writer)
{
	AUTO(store_writer) w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return err_new(-ENOMEM, "no memory for a recording");
	w->fd = w->dir = -1;
	w->single_file = o->single_file || o->stream;
	w->stream = o->stream;
	w->stream_fd = o->fd;
	w->max_bytes = o->max_bytes;
	w->max_age_ns = o->max_age_ns;
	w->segment_bytes = o->segment_bytes ? o->segment_bytes : SEGMENT_BYTES;
	/* A bound of the folder that is not much more than one segment would be kept by removing all that there is. */
	if (w->max_bytes && w->segment_bytes > w->max_bytes / 8)
		w->segment_bytes = w->max_bytes / 8;
	if (w->segment_bytes < SEGMENT_BYTES_MIN && !o->segment_bytes)
		w->segment_bytes = SEGMENT_BYTES_MIN;
	buf_init(&w->out, (size_t)4 * BLOCK_PART_MAX);
	w->path = strdup(o->path);
	if (!w->path)
		return err_new(-ENOMEM, "no memory for a recording");
	r = block_maker_open(&w->maker);
	if (r == 0 && !w->single_file)
		r = open_folder(w);
	if (r < 0)
		return r;
	*ret_writer = take(w);
	return 0;
}

/* ---- blocks --------------------------------------------------------------------------------------- */

static bool write_all(const struct store_writer *w, const char *p, size_t n)
{
	__u64 at = w->bytes;

	while (n) {
		ssize_t r = w->stream ? write(w->fd, p, n) : pwrite(w->fd, p, n, (off_t)at);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0) {
			errno = r ? errno : ENOSPC;
			return false;
		}
		p += r;
		n -= (size_t)r;
		at += (size_t)r;
	}
	return true;
}

/* What was being put together goes to the file; where the disk has no room it is counted, and the file stays whole. */
static void write_block(struct store_writer *w, __u32 flags)
{
	__u64 n = block_records(w->maker);
	int r;

	if (!n)
		return;
	buf_clear(&w->out);
	r = block_make(w->maker, flags, w->block_lost, &w->out);
	if (r == 0 && w->out.failed)
		r = -ENOMEM;
	if (r == 0 && w->fd >= 0 && write_all(w, w->out.data, w->out.len)) {
		w->bytes += w->out.len;
		w->stats.written_bytes += w->out.len;
		w->stats.blocks++;
		w->block_lost = 0;
		return;
	}
	/* Without a segment, it is what kept one from being begun. */
	if (r < 0 || w->fd >= 0)
		w->stats.last_error = r < 0 ? -r : errno;
	if (w->stream)
		fd_closep(&w->fd);
	else if (w->fd >= 0)
		(void)!ftruncate(w->fd, (off_t)w->bytes);
	if (flags & BLOCK_KNOWN)
		return;
	w->stats.lost_full += n;
	w->block_lost += n;
}

void store_writer_lost(struct store_writer *w, __u64 records)
{
	if (!records)
		return;
	/* A block says what is missing before it, so one begins here. */
	write_block(w, 0);
	w->block_lost += records;
	w->stats.lost_before += records;
}

static int put(struct store_writer *w, const struct ev_head *rec, __u32 flags)
{
	if (rec->len < sizeof(*rec) || rec->len > EV_LEN_MAX)
		return err_new(-EINVAL, "a record of %u bytes", rec->len);
	if (rec->time_ns > w->newest_ns)
		w->newest_ns = rec->time_ns;
	if (block_put(w->maker, rec))
		return 0;
	write_block(w, flags);
	return block_put(w->maker, rec) ? 0 : err_new(-ENOMEM, "no memory for a block");
}

int store_writer_put(struct store_writer *w, const struct ev_head *rec)
{
	int r = put(w, rec, 0);

	if (r < 0)
		return r;
	w->stats.records++;
	w->stats.record_bytes += rec->len;
	return 0;
}

/* ---- segments --------------------------------------------------------------------------------------- */

static void remove_segment(struct store_writer *w, __u64 number)
{
	char name[SEGMENT_NAME_MAX];

	segment_name(number, name);
	if (!unlinkat(w->dir, name, 0))
		w->stats.removed++;
}

/* Removes the oldest segments until the bounds are kept. The one being written stays. */
static void keep_bounds(struct store_writer *w)
{
	auto_free __u64 *numbers = NULL;
	auto_free __u64 *sizes = NULL;
	struct timespec now;
	__u64 sum = w->segment_bytes;
	size_t n;

	if (w->single_file || (!w->max_bytes && !w->max_age_ns) || segment_list(w->dir, &numbers, &n) < 0)
		return;
	sizes = calloc(n + 1, sizeof(*sizes));
	if (!sizes)
		return;
	(void)clock_gettime(CLOCK_REALTIME, &now);
	for (size_t i = 0; i < n; i++) {
		char name[SEGMENT_NAME_MAX];
		struct stat st;

		segment_name(numbers[i], name);
		if ((w->fd >= 0 && numbers[i] == w->number) || fstatat(w->dir, name, &st, AT_SYMLINK_NOFOLLOW))
			continue;
		if (w->max_age_ns && now.tv_sec - st.st_mtim.tv_sec > (time_t)(w->max_age_ns / 1000000000)) {
			remove_segment(w, numbers[i]);
			continue;
		}
		sizes[i] = (__u64)st.st_size;
		sum += sizes[i];
	}
	for (size_t i = 0; i < n && w->max_bytes && sum > w->max_bytes; i++) {
		if (!sizes[i])
			continue;
		remove_segment(w, numbers[i]);
		sum -= sizes[i];
	}
}

void store_writer_flush(struct store_writer *w)
{
	time_t now = time(NULL);

	write_block(w, 0);
	if (now - w->checked_s < CHECK_EVERY_S)
		return;
	w->checked_s = now;
	keep_bounds(w);
}

static void end_segment(struct store_writer *w)
{
	write_block(w, 0);
	if (w->fd < 0)
		return;
	if (!w->stream)
		(void)fdatasync(w->fd);
	fd_closep(&w->fd);
	w->number++;
}

bool store_writer_wants_segment(const struct store_writer *w)
{
	if (w->single_file)
		return !w->begun_once;
	if (w->fd < 0 || w->bytes >= w->segment_bytes)
		return true;
	/* What is to go by its age goes with its whole segment, so that one must not last too long. */
	return w->max_age_ns && (__u64)(time(NULL) - w->began_s) > w->max_age_ns / 1000000000 / AGE_PARTS + 1;
}

static int create(struct store_writer *w)
{
	char name[SEGMENT_NAME_MAX];
	const int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW;

	if (w->stream) {
		w->fd = fcntl(w->stream_fd, F_DUPFD_CLOEXEC, 3);
	} else if (w->single_file) {
		w->fd = open(w->path, flags, 0600);
	} else {
		segment_name(w->number, name);
		w->fd = openat(w->dir, name, flags, 0600);
	}
	if (w->fd < 0 && errno == EEXIST)
		return err_new(-EEXIST, "%s is there already: a recording is never written over", w->path);
	return w->fd < 0 ? err_sys(errno, "make a segment in %s", w->path) : 0;
}

static void take_back(struct store_writer *w)
{
	char name[SEGMENT_NAME_MAX];

	fd_closep(&w->fd);
	if (w->stream)
		return;
	segment_name(w->number, name);
	(void)(w->single_file ? unlink(w->path) : unlinkat(w->dir, name, 0));
}

static void put_known(struct store_writer *w, const char *known, size_t len)
{
	while (len >= sizeof(struct ev_head)) {
		const struct ev_head *rec = (const struct ev_head *)(const void *)known;
		size_t size = (rec->len + 7UL) & ~7UL;

		if (size > len || put(w, rec, BLOCK_KNOWN) < 0)
			break;
		known += size;
		len -= size;
	}
	write_block(w, BLOCK_KNOWN);
}

int store_writer_begin(struct store_writer *w, const struct store_origin *origin, const void *known, size_t known_len)
{
	__u64 now_ns = clock_boot_ns();
	int r;

	end_segment(w);
	keep_bounds(w);
	buf_clear(&w->out);
	r = segment_head_make(origin, now_ns > w->newest_ns ? now_ns : w->newest_ns, &w->out);
	if (r == 0)
		r = create(w);
	if (r < 0) {
		w->stats.last_error = -r;
		return r;
	}
	w->begun_once = true;
	w->began_s = time(NULL);
	w->bytes = 0;
	if (!write_all(w, w->out.data, w->out.len)) {
		w->stats.last_error = errno;
		r = err_sys(errno, "write a segment in %s", w->path);
		take_back(w);
		return r;
	}
	w->bytes = w->out.len;
	w->stats.written_bytes += w->out.len;
	w->stats.segments++;
	/* What was lost since the segment before stands in front of what is known, which is what helps against it. */
	put_known(w, known, known_len);
	return 0;
}

void store_writer_stats(const struct store_writer *w, struct store_writer_stats *ret_stats)
{
	*ret_stats = w->stats;
}

void store_writer_free(struct store_writer *w)
{
	if (!w)
		return;
	if (w->maker)
		end_segment(w);
	if (w->dir >= 0)
		(void)close(w->dir);
	block_maker_free(w->maker);
	buf_free(&w->out);
	free(w->path);
	free(w);
}
