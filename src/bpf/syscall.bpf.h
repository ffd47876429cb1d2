/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * syscall.bpf - what the system call that a task is in was given.
 *
 * The registers were saved by the kernel on entry: other threads cannot change them, unlike the
 * memory that they point to. 64-bit calls only: of a 32-bit process on a 64-bit kernel the order
 * of the registers differs (and the syscalls tracepoints do not fire for it at all).
 */
#pragma once
#include "bpf/core.bpf.h"

/* The contexts of tp/syscalls/sys_enter_* and sys_exit_*. */
struct sys_enter {
	__u64 common;
	long nr;
	unsigned long args[6];
};

struct sys_exit {
	__u64 common;
	long nr, ret;
};

#if defined(__TARGET_ARCH_arm64)
#define SYSCALL_FUNC(name) "__arm64_sys_" name
struct pt_regs___saved {
	__u64 regs[31];
	__u64 orig_x0;
} __attribute__((preserve_access_index));
#else
#define SYSCALL_FUNC(name) "__x64_sys_" name
struct pt_regs___saved {
	unsigned long di, si, dx, r10, r8, r9;
} __attribute__((preserve_access_index));
#endif

/* Argument `n` (from 0, a constant) of the system call that `task` is in. */
static __always_inline unsigned long sys_arg(struct task_struct *task, int n)
{
	struct pt_regs___saved *regs = (struct pt_regs___saved *)bpf_task_pt_regs(task);

#if defined(__TARGET_ARCH_arm64)
	return n ? regs->regs[n] : regs->orig_x0;
#else
	return n == 0   ? regs->di
	       : n == 1 ? regs->si
	       : n == 2 ? regs->dx
	       : n == 3 ? regs->r10
	       : n == 4 ? regs->r8
			: regs->r9;
#endif
}

/* The file behind a descriptor of the task, or NULL: what the kernel would find if it looked now. */
static __always_inline struct file *file_of_fd(struct task_struct *task, long fd)
{
	struct fdtable *table = task->files->fdt;
	struct file *file = NULL, **files = table->fd;

	if (fd < 0 || fd >= table->max_fds)
		return NULL;
	if (bpf_probe_read_kernel(&file, sizeof(file), files + fd))
		return NULL;
	return file;
}
