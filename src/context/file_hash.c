/* SPDX-License-Identifier: Apache-2.0 */
#include "context/file_hash.h"
#include <fcntl.h>
#include <linux/magic.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <time.h>
#include "base/err.h"
#include "base/hash.h"
#include "base/map.h"
#include "context/procfs.h"

enum { CHUNK = 64 << 10 };

static const int64_t second_ns = 1000000000;

/* No padding: it is hashed and compared as bytes. */
struct key {
	uint64_t dev, inode, size;
	int64_t modified_ns, changed_ns;
};
_Static_assert(sizeof(struct key) == 40, "key");

struct entry {
	struct key key;
	unsigned char digest[SHA256_SIZE];
	struct entry *prev, *next; /* by when they were asked for */
};

struct file_hash {
	struct file_hash_limits limits;
	uint64_t seed;
	pthread_mutex_t lock; /* of all below */
	struct map map;
	struct entry *first, *last; /* the first has been asked for the longest ago */
	struct file_hash_stats stats;
};

static bool has_key(const void *item, const void *key)
{
	return !memcmp(&((const struct entry *)item)->key, key, sizeof(struct key));
}

int file_hash_open(const struct file_hash_limits *limits, struct file_hash **ret_hash)
{
	struct file_hash *h = calloc(1, sizeof(*h));

	if (!h)
		return err_new(-ENOMEM, "no memory for digests of files");
	if (limits)
		h->limits = *limits;
	if (!h->limits.kept || h->limits.kept > FILE_HASH_KEPT_MAX)
		h->limits.kept = FILE_HASH_KEPT_MAX;
	if (!h->limits.size_bytes)
		h->limits.size_bytes = FILE_HASH_SIZE_MAX;
	h->seed = hash_seed();
	map_init(&h->map, h->limits.kept, has_key);
	(void)pthread_mutex_init(&h->lock, NULL);
	*ret_hash = h;
	return 0;
}

void file_hash_free(struct file_hash *h)
{
	if (!h)
		return;
	for (struct entry *e = h->first, *next; e; e = next) {
		next = e->next;
		free(e);
	}
	map_free(&h->map);
	(void)pthread_mutex_destroy(&h->lock);
	free(h);
}

/* ---- what is kept ------------------------------------------------------------------------------- */

static struct key key_of(const struct stat *st)
{
	return (struct key) {
		.dev = st->st_dev,
		.inode = st->st_ino,
		.size = (uint64_t)st->st_size,
		.modified_ns = st->st_mtim.tv_sec * second_ns + st->st_mtim.tv_nsec,
		.changed_ns = st->st_ctim.tv_sec * second_ns + st->st_ctim.tv_nsec,
	};
}

static uint64_t hash_key(const struct file_hash *h, const struct key *key)
{
	return hash_bytes(key, sizeof(*key), h->seed);
}

static void append(struct file_hash *h, struct entry *e)
{
	e->prev = h->last;
	e->next = NULL;
	*(h->last ? &h->last->next : &h->first) = e;
	h->last = e;
}

static void unlink_entry(struct file_hash *h, struct entry *e)
{
	*(e->prev ? &e->prev->next : &h->first) = e->next;
	*(e->next ? &e->next->prev : &h->last) = e->prev;
}

/* Finds a digest and makes it the youngest. Under the lock. */
static struct entry *touch(struct file_hash *h, const struct key *key)
{
	struct entry *e = map_get(&h->map, hash_key(h, key), key);

	if (e) {
		unlink_entry(h, e);
		append(h, e);
	}
	return e;
}

static bool is_kept(struct file_hash *h, const struct key *key, unsigned char ret_digest[SHA256_SIZE])
{
	const struct entry *e;

	(void)pthread_mutex_lock(&h->lock);
	e = touch(h, key);
	if (e) {
		memcpy(ret_digest, e->digest, SHA256_SIZE);
		h->stats.hits++;
	} else {
		h->stats.misses++;
	}
	(void)pthread_mutex_unlock(&h->lock);
	return e != NULL;
}

static void evict(struct file_hash *h)
{
	struct entry *e = h->first;

	(void)map_remove(&h->map, hash_key(h, &e->key), &e->key);
	unlink_entry(h, e);
	free(e);
	h->stats.evicted++;
}

/* Without memory it is not kept, which costs time alone. */
static void keep(struct file_hash *h, const struct key *key, const unsigned char digest[SHA256_SIZE])
{
	struct entry *e = malloc(sizeof(*e));

	if (!e)
		return;
	e->key = *key;
	memcpy(e->digest, digest, SHA256_SIZE);
	(void)pthread_mutex_lock(&h->lock);
	/* Another thread may have read the same file meanwhile. */
	if (!touch(h, key)) {
		if (h->map.n == h->limits.kept)
			evict(h);
		if (map_put(&h->map, hash_key(h, key), e) == 0)
			append(h, take(e));
	}
	(void)pthread_mutex_unlock(&h->lock);
	free(e);
}

/* Long enough ago that another change would have another time. A time to come says nothing. */
static bool is_settled(const struct key *key)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	return key->changed_ns < now.tv_sec * second_ns + now.tv_nsec - FILE_HASH_SETTLE_NS;
}

/* ---- reading --------------------------------------------------------------------------------------- */

static int read_digest(int fd, uint64_t max, unsigned char ret_digest[SHA256_SIZE])
{
	auto_free char *chunk = malloc(CHUNK);
	uint64_t total = 0;
	struct sha256 s;
	ssize_t n;

	if (!chunk)
		return err_new(-ENOMEM, "no memory to read a file");
	sha256_init(&s);
	while ((n = read(fd, chunk, CHUNK)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(errno, "read the file");
		total += (uint64_t)n;
		if (total > max)
			return err_new(-EAGAIN, "the file grew while it was read");
		sha256_add(&s, chunk, (size_t)n);
	}
	sha256_end(&s, ret_digest);
	return 0;
}

/* `place` is a descriptor that only names the file: opening a pipe or device for reading could wait, or do things. */
static int reopen(int place)
{
	char path[64];
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", place);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	return fd < 0 ? err_sys(errno, "open the file") : fd;
}

static int hash_place(struct file_hash *h, int place, const struct stat *st, unsigned char ret_digest[SHA256_SIZE])
{
	const struct key key = key_of(st);
	bool settled = is_settled(&key); /* before it is read: later, a change meanwhile could pass for none */
	auto_close int fd = -1;
	struct stat after;
	struct key now;
	int r;

	if (!S_ISREG(st->st_mode))
		return err_new(-EINVAL, "not a regular file");
	if (key.size > h->limits.size_bytes)
		return err_new(-EFBIG, "the file has %llu bytes, and %llu are the most", (unsigned long long)key.size,
			       (unsigned long long)h->limits.size_bytes);
	if (is_kept(h, &key, ret_digest))
		return 0;
	fd = reopen(place);
	if (fd < 0)
		return fd;
	r = read_digest(fd, key.size, ret_digest);
	if (r < 0)
		return r;
	if (fstat(fd, &after))
		return err_sys(errno, "look at the file");
	now = key_of(&after);
	if (memcmp(&now, &key, sizeof(key)) != 0)
		return err_new(-EAGAIN, "the file changed while it was read");
	if (settled)
		keep(h, &key, ret_digest);
	return 0;
}

static int count(struct file_hash *h, int r)
{
	if (r < 0) {
		(void)pthread_mutex_lock(&h->lock);
		h->stats.refused++;
		(void)pthread_mutex_unlock(&h->lock);
	}
	return r;
}

/* ---- processes ------------------------------------------------------------------------------------- */

/* /proc/PID as a descriptor stays with its process: another one with the pid is not behind it. */
static int open_proc(uint32_t pid)
{
	char path[32];
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%u", pid);
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_new(errno == ENOENT ? -ESRCH : -errno, "there is no process %u", pid);
	return fd;
}

static int check_start(int proc, const struct process *p)
{
	auto_close int fd = openat(proc, "stat", O_RDONLY | O_CLOEXEC);
	struct proc_stat st;
	char line[1024];
	ssize_t n = fd < 0 ? -1 : read(fd, line, sizeof(line));

	if (n <= 0 || proc_stat_parse(line, (size_t)n, &st) < 0 || st.start_ticks != p->start_ns / PROC_TICK_NS)
		return err_new(-ESRCH, "process %u has ended", p->pid);
	return 0;
}

static bool is_dev_made_up(int fd)
{
	struct statfs fs;

	return !fstatfs(fd, &fs) && (fs.f_type == BTRFS_SUPER_MAGIC || fs.f_type == OVERLAYFS_SUPER_MAGIC);
}

static int check_program(int exe, const struct stat *st, const struct program *program)
{
	uint32_t dev = major(st->st_dev) << 20 | minor(st->st_dev);

	if (st->st_ino != program->inode || (dev != program->dev && !is_dev_made_up(exe)))
		return err_new(-ESTALE, "the process runs another program by now");
	return 0;
}

/* `p` may be NULL: whatever runs there. The file is only named, see reopen(). */
static int open_exe(uint32_t pid, const struct process *p, struct stat *ret_stat)
{
	auto_close int proc = open_proc(pid), exe = -1;
	int r = proc;

	if (r >= 0 && p)
		r = check_start(proc, p);
	if (r < 0)
		return r;
	exe = openat(proc, "exe", O_PATH | O_CLOEXEC);
	if (exe < 0)
		return err_new(errno == ENOENT ? -ESRCH : -errno, "process %u has no program, or has ended", pid);
	if (fstat(exe, ret_stat))
		return err_sys(errno, "look at what process %u runs", pid);
	if (p)
		r = check_program(exe, ret_stat, p->program);
	return r < 0 ? r : take_fd(exe);
}

static int hash_process(struct file_hash *h, const struct process *p, unsigned char ret_digest[SHA256_SIZE])
{
	auto_close int exe = -1;
	struct stat st;

	if (!p->program || !p->program->inode)
		return err_new(-ENODATA, "what process %u runs is not known", p->pid);
	exe = open_exe(p->pid, p, &st);
	return exe < 0 ? exe : hash_place(h, exe, &st, ret_digest);
}

int file_hash_process(struct file_hash *h, const struct process *p, unsigned char ret_digest[SHA256_SIZE])
{
	return count(h, hash_process(h, p, ret_digest));
}

static int path_of(int place, char *ret_path, size_t size)
{
	char link[64];
	ssize_t n;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", place);
	n = readlink(link, ret_path, size - 1);
	if (n < 0)
		return err_sys(errno, "read the path of the file");
	ret_path[n] = 0;
	return 0;
}

static int hash_pid(struct file_hash *h, uint32_t pid, unsigned char ret_digest[SHA256_SIZE], char *ret_path,
		    size_t path_size)
{
	struct stat st;
	auto_close int exe = open_exe(pid, NULL, &st);
	int r = exe < 0 ? exe : hash_place(h, exe, &st, ret_digest);

	return r < 0 || !ret_path ? r : path_of(exe, ret_path, path_size);
}

int file_hash_pid(struct file_hash *h, uint32_t pid, unsigned char ret_digest[SHA256_SIZE], char *ret_path,
		  size_t path_size)
{
	return count(h, hash_pid(h, pid, ret_digest, ret_path, path_size));
}

/* ---- files ------------------------------------------------------------------------------------------- */

static int hash_path(struct file_hash *h, const char *path, unsigned char ret_digest[SHA256_SIZE])
{
	auto_close int place = open(path, O_PATH | O_CLOEXEC);
	struct stat st;
	int r;

	if (place < 0 || fstat(place, &st))
		return err_sys(errno, "open %s", path);
	r = hash_place(h, place, &st, ret_digest);
	return r < 0 ? err_wrap(r, "digest of %s", path) : 0;
}

int file_hash_path(struct file_hash *h, const char *path, unsigned char ret_digest[SHA256_SIZE])
{
	return count(h, hash_path(h, path, ret_digest));
}

void file_hash_stats(struct file_hash *h, struct file_hash_stats *ret_stats)
{
	(void)pthread_mutex_lock(&h->lock);
	*ret_stats = h->stats;
	ret_stats->kept = h->map.n;
	(void)pthread_mutex_unlock(&h->lock);
}
