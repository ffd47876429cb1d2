/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file_hash - SHA-256 of what a process runs, or of a file, when somebody asks.
 *
 * Never on the way of a record: it reads a whole file, which takes a second where the file is large, and
 * without end where its file system (network, FUSE) does not answer. Call it on a thread that
 * may wait; the lock is not held while a file is read.
 *
 * A process's program is read through /proc/PID/exe, which leads to the very file that runs,
 * replaced or deleted as it may be. That it still is that process is decided by when it
 * began, and that it still runs that program by the file's inode and device. On btrfs and overlayfs stat() makes up
 * device numbers, so there the inode alone counts.
 *
 * Digests are kept by device, inode, size and times of last change, the asked-for longest ago out first. The change
 * time counts too because the modification time can be set to anything. A file that was
 * changed less than FILE_HASH_SETTLE_NS ago is not kept: a second change within the same tick
 * of the file system's clock would show in none of these. Who writes to the disk beneath a
 * file system is not noticed.
 */
#pragma once
#include "base/mem.h"
#include "base/sha256.h"
#include "context/process.h"

enum { FILE_HASH_KEPT_MAX = 4096, FILE_HASH_SETTLE_NS = 100000000 };
#define FILE_HASH_SIZE_MAX (256ULL << 20)

struct file_hash_limits {
	size_t kept;         /* digests; 0: FILE_HASH_KEPT_MAX, which is also the most */
	uint64_t size_bytes; /* of a file; 0: FILE_HASH_SIZE_MAX */
};

struct file_hash_stats {
	uint64_t hits, misses;
	uint64_t refused; /* too large, not regular, changed meanwhile, another process or program, not readable */
	uint64_t evicted, kept;
};

struct file_hash;
/* NULL: the usual limits. */
int file_hash_open(const struct file_hash_limits *limits, struct file_hash **ret_hash);
void file_hash_free(struct file_hash *h);
DEFINE_AUTO(file_hash)

/*
 * All of these, on any thread: 0, or
 *  -ESRCH     the process is gone, or another has its pid, or it has no program (a thread of the kernel);
 *  -ESTALE    it runs another file than `p` says;
 *  -ENODATA   what `p` runs is not known;
 *  -EFBIG     larger than the limit;
 *  -EINVAL    not a regular file;
 *  -EAGAIN    changed while it was read;
 * or what open() and read() said.
 */
int file_hash_process(struct file_hash *h, const struct process *p, unsigned char ret_digest[SHA256_SIZE]);
/* Of whoever has this pid now. `ret_path` is the file's path as the agent sees it, with " (deleted)" after it where it
 * is; may be NULL. */
int file_hash_pid(struct file_hash *h, uint32_t pid, unsigned char ret_digest[SHA256_SIZE], char *ret_path,
		  size_t path_size);
/* Follows symbolic links. */
int file_hash_path(struct file_hash *h, const char *path, unsigned char ret_digest[SHA256_SIZE]);

void file_hash_stats(struct file_hash *h, struct file_hash_stats *ret_stats);
