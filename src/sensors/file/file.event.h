/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* file.event - the records of files: opened, closed, renamed, removed, linked, their attributes changed, mounted. */
#pragma once
#include "event/abi.h"

enum {
	EV_FILE = 0x02,
	EV_FILE_OPEN = EV_ID(EV_FILE, 1),
	EV_FILE_SENSITIVE = EV_ID(EV_FILE, 2),
	EV_FILE_CLOSE = EV_ID(EV_FILE, 3),
	EV_FILE_RENAME = EV_ID(EV_FILE, 4),
	EV_FILE_UNLINK = EV_ID(EV_FILE, 5),
	EV_FILE_LINK = EV_ID(EV_FILE, 6),
	EV_FILE_SYMLINK = EV_ID(EV_FILE, 7),
	EV_FILE_MKDIR = EV_ID(EV_FILE, 8),
	EV_FILE_MKNOD = EV_ID(EV_FILE, 9),
	EV_FILE_CHMOD = EV_ID(EV_FILE, 10),
	EV_FILE_CHOWN = EV_ID(EV_FILE, 11),
	EV_FILE_XATTR = EV_ID(EV_FILE, 12),
	EV_FILE_TRUNCATE = EV_ID(EV_FILE, 13),
	EV_FILE_MOUNT = EV_ID(EV_FILE, 14),
	EV_FILE_UMOUNT = EV_ID(EV_FILE, 15),
};

/* The top four bits of a mode. 0: not known. */
enum file_type {
	FILE_FIFO = 1,
	FILE_CHAR = 2,
	FILE_DIR = 4,
	FILE_BLOCK = 6,
	FILE_REGULAR = 8,
	FILE_SYMLINK = 10,
	FILE_SOCKET = 12,
};

/* What a file is, from its inode; zeros where only its path is known. */
struct ev_file_node {
	__u64 inode;
	__u64 size;
	__u64 real_inode; /* overlay: of the file in the upper layer */
	__u32 dev;        /* as the kernel counts: major << 20 | minor */
	__u32 real_dev;
	__u32 uid, gid, nlink;
	__u16 mode;
	__u16 type; /* enum file_type */
};

enum file_source {
	FILE_FROM_KERNEL, /* the path of a kernel object */
	FILE_FROM_ARGS,   /* what the process wrote: ".." and symlinks in it are not resolved */
};

/* Every record of a file begins like this. */
struct ev_file {
	struct ev_head head;
	struct ev_file_node node;
	__u32 mntns;
	__u32 source; /* enum file_source, of `path` and the other path */
	struct ev_str path;
	__u32 pad;
};

struct ev_file_open {
	struct ev_file f;
	__u32 flags; /* O_* as given to open */
	__u8 created;
	__u8 pad[3];
};

struct ev_file_sensitive {
	struct ev_file f;
	__u32 flags;
	__u32 matched; /* enum file_match */
};

enum file_match {
	FILE_MATCH_PATH = 1,
	FILE_MATCH_INODE = 2, /* another name of a listed file */
};

struct ev_file_close {
	struct ev_file f;
};

/* `path` is the new one. */
struct ev_file_rename {
	struct ev_file f;
	__u64 replaced_inode; /* of the file that had the new name before */
	struct ev_str old_path;
	__u32 flags; /* RENAME_* */
};

struct ev_file_unlink {
	struct ev_file f;
};

/* `path` is the new name. */
struct ev_file_link {
	struct ev_file f;
	struct ev_str old_path;
	__u32 pad;
};

struct ev_file_symlink {
	struct ev_file f;
	struct ev_str target;
	__u32 pad;
};

struct ev_file_mkdir {
	struct ev_file f;
};

struct ev_file_mknod {
	struct ev_file f;
	__u32 rdev; /* of a device node */
	__u32 pad;
};

struct ev_file_chmod {
	struct ev_file f;
	__u16 old_mode;
	__u16 pad[3];
};

struct ev_file_chown {
	struct ev_file f;
	__u32 old_uid, old_gid;
};

enum file_xattr_op { FILE_XATTR_SET = 1, FILE_XATTR_REMOVE = 2 };

struct ev_file_xattr {
	struct ev_file f;
	__u32 op; /* enum file_xattr_op */
	struct ev_str name;
};

struct ev_file_truncate {
	struct ev_file f;
	__u64 old_size;
};

/* `path` is the mount point. */
struct ev_file_mount {
	struct ev_file f;
	__u64 flags;          /* MS_* */
	struct ev_str origin; /* device or folder, as given */
	struct ev_str fs;     /* "ext4", "overlay" */
	__u32 moved;          /* by move_mount: an existing or detached mount */
	__u32 pad;
};

struct ev_file_umount {
	struct ev_file f;
	struct ev_str origin;
	__u32 flags; /* MNT_*, UMOUNT_NOFOLLOW */
};
