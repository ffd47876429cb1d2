/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* file.map - what file.c sets and file.bpf.c reads: what is wanted, and which paths. */
#pragma once
#include <linux/types.h>

/* Rows of the descriptor's hooks. */
enum file_hook {
	HOOK_OPEN,
	HOOK_CLOSE,
	HOOK_RENAME,
	HOOK_UNLINK,
	HOOK_LINK,
	HOOK_MKDIR,
	HOOK_CHMOD,
	HOOK_CHOWN,
	HOOK_XATTR,
	HOOK_TRUNCATE,
	HOOK_MOUNT,
	FILE_HOOK_COUNT
};

enum {
	FILE_PATTERNS_MAX = 64, /* of one option; a pattern with a `*` in its middle takes two rows of the map */
	FILE_GROUPS_MAX = 32,   /* folders that such a pattern begins with */
	FILE_INODES_MAX = 256,
	FILE_KEY_MAX = 256, /* what a longest-prefix map can hold */
	FILE_PATTERN_MAX = FILE_KEY_MAX - 2,
};

struct file_config {
	__u8 writes;    /* records of opens for writing are wanted */
	__u8 sensitive; /* `sensitive` has rows */
	__u8 inodes;    /* `sensitive_inodes` has rows */
	__u8 rules;     /* `rules` has rows */
	__u8 pseudo;    /* files of proc, sysfs and their like are wanted too */
	__u8 pad[3];
};

/*
 * A path in a longest-prefix map. A whole path is listed with the NUL that ends it, a prefix without,
 * so one lookup answers both. `group` 0 is the path from its start; another is what follows the `*`
 * of the patterns that begin alike.
 */
struct file_key {
	__u32 bits;
	__u8 group;
	__u8 text[FILE_KEY_MAX - 1];
};

enum file_verdict { FILE_NONE, FILE_HIT, FILE_EXCLUDE, FILE_INCLUDE };

struct file_row {
	__u8 verdict; /* enum file_verdict */
	__u8 group;   /* skip one component after the first `skip` bytes and go on here; 0: no */
	__u16 skip;
};

struct file_inode_key {
	__u64 inode;
	__u32 dev;
	__u32 pad;
};
