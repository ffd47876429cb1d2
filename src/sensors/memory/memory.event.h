/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* memory.event - the records of memory that becomes code, files without a name, and growth. */
#pragma once
#include "event/abi.h"

enum {
	EV_MEMORY = 0x05,
	EV_MEM_PROTECT = EV_ID(EV_MEMORY, 1),
	EV_MEM_MAP = EV_ID(EV_MEMORY, 2),
	EV_MEM_FD = EV_ID(EV_MEMORY, 3),
	EV_MEM_GROWTH = EV_ID(EV_MEMORY, 4),
};

/* What is mapped there. */
enum mem_kind { MEM_KIND_UNKNOWN, MEM_KIND_ANONYMOUS, MEM_KIND_HEAP, MEM_KIND_STACK, MEM_KIND_FILE };

enum mem_trait {
	MEM_WAS_WRITABLE = 1 << 0,    /* writable until now: W, then X */
	MEM_WRITE_EXEC = 1 << 1,      /* writable and executable from now on */
	MEM_WRITTEN = 1 << 2,         /* private pages of a file that the process has changed */
	MEM_SHARED_WRITABLE = 1 << 3, /* shared, and another mapping of it may write */
	MEM_MEMFD = 1 << 4,
	MEM_DELETED = 1 << 5, /* the file has no name any more */
	MEM_DEVICE = 1 << 6,  /* a character device: /dev/zero, /dev/mem */
};

/* Memory becomes executable: of mprotect and of mmap. */
struct ev_mem_exec {
	struct ev_head head;
	__u64 addr, size; /* addr 0: the hook cannot know it */
	__u64 inode;
	__u32 dev;
	__u16 prot;        /* PROT_* now */
	__u16 prot_before; /* mprotect */
	__u32 map_flags;   /* mmap: MAP_* */
	__u16 kind;        /* enum mem_kind */
	__u16 traits;      /* enum mem_trait */
	struct ev_str file;
};

struct ev_mem_fd {
	struct ev_head head;
	__u64 inode;
	__u32 flags; /* MFD_* */
	__u16 mode;
	__u16 pad;
	struct ev_str name;
};

/* A process has grown by the configured step since its last record of this kind. */
struct ev_mem_growth {
	struct ev_head head;
	__u64 grown_bytes;  /* net: what was mapped less what was unmapped */
	__u64 mapped_bytes; /* gross: the sum of the lengths given to mmap */
	__u64 total_bytes;  /* address space now */
	__u64 interval_ns;
	__u32 mmap_calls, brk_calls;
};
