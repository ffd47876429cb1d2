/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* memory.map - what memory.c sets and memory.bpf.c reads. */
#pragma once
#include <linux/types.h>

/* Rows of the descriptor's hooks. */
enum memory_hook { HOOK_PROTECT, HOOK_MAP, HOOK_MEMFD, HOOK_GROWTH, MEMORY_HOOK_COUNT };

enum {
	MEMORY_IGNORED_MAX = 64,   /* executables that may make code */
	MEMORY_PENDING_MAX = 4096, /* mprotect calls under way, of the variant that needs two hooks */
	MEMORY_GROWING_MAX = 4096, /* processes whose growth is followed; the least recently grown is forgotten */
};

struct memory_config {
	__u64 growth_bytes; /* a record each time a process has grown by so much; 0: none */
	__u32 page_bytes;
	__u32 n_ignored;
};

/* A file as the kernel numbers it. */
struct file_key {
	__u64 inode;
	__u32 dev; /* major << 20 | minor */
	__u32 pad;
};

struct growth {
	__u64 start_ns; /* of the process: tells a reused pid */
	__u64 base_pages, since_ns, mapped_bytes;
	__u32 mmap_calls, brk_calls;
};
