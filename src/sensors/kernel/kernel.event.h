/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* kernel.event - the records of what changes the kernel itself, or walks around its system calls. */
#pragma once
#include "event/abi.h"

enum {
	EV_KERNEL = 0x06,
	EV_MODULE_LOAD = EV_ID(EV_KERNEL, 1),
	EV_MODULE_FREE = EV_ID(EV_KERNEL, 2),
	EV_MODULE_REQUEST = EV_ID(EV_KERNEL, 3),
	EV_KERNEL_READ = EV_ID(EV_KERNEL, 4),
	EV_BPF_PROG = EV_ID(EV_KERNEL, 5),
	EV_BPF_MAP = EV_ID(EV_KERNEL, 6),
	EV_BPF_LINK = EV_ID(EV_KERNEL, 7),
	EV_IORING_CREATE = EV_ID(EV_KERNEL, 8),
	EV_IORING_OP = EV_ID(EV_KERNEL, 9),
	EV_SYSCTL_WRITE = EV_ID(EV_KERNEL, 10),
};

struct ev_module {
	struct ev_head head;
	__u64 taints;
	struct ev_str name, version, srcversion;
	__u32 pad;
};

struct ev_module_request {
	struct ev_head head;
	struct ev_str name;
};

/* What the kernel takes in. */
enum kernel_read_what {
	KERNEL_READ_UNKNOWN,
	KERNEL_READ_FIRMWARE,
	KERNEL_READ_MODULE,
	KERNEL_READ_KEXEC_IMAGE,
	KERNEL_READ_KEXEC_INITRD,
	KERNEL_READ_POLICY,
	KERNEL_READ_CERTIFICATE,
};

enum kernel_read_from { KERNEL_FROM_FILE, KERNEL_FROM_MEMORY };

struct ev_kernel_read {
	struct ev_head head;
	__u64 inode;
	__u32 dev;
	__u16 what, from;
	struct ev_str file;
	__u32 pad;
};

/* `cmd` is of bpf(2): made, or opened by id or path. */
struct ev_bpf_prog {
	struct ev_head head;
	__u32 cmd, id;
	__u32 type, attach_type;
	__u32 insns;
	struct ev_str name, target, tag;
};

struct ev_bpf_map {
	struct ev_head head;
	__u32 cmd, id;
	__u32 type, flags;
	__u32 key_size, value_size, max_entries;
	struct ev_str name;
};

struct ev_bpf_link {
	struct ev_head head;
	__u32 cmd, id;
	__u32 type, prog_id;
	struct ev_str prog_name;
	__u32 pad;
};

struct ev_ioring_create {
	struct ev_head head;
	__u32 sq_entries, cq_entries;
	__u32 flags; /* IORING_SETUP_* */
	__u32 pad;
};

enum ioring_trait { IORING_FIXED_FILE = 1 << 0, IORING_SQPOLL = 1 << 1 };

struct ev_ioring_op {
	struct ev_head head;
	__u16 opcode; /* IORING_OP_* */
	__u16 traits; /* enum ioring_trait */
	__s32 fd;     /* or the folder's that the path starts from; -1: none */
	struct ev_str path, new_path;
};

struct ev_sysctl_write {
	struct ev_head head;
	struct ev_str name, value, before;
	__u32 pad;
};
