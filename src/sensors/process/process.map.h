/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* process.map - what process.c sets and process.bpf.c reads. */
#pragma once
#include "sensors/process/process.event.h"

/* Rows of the descriptor's hooks. */
enum process_hook {
	HOOK_FORK,
	HOOK_EXEC,
	HOOK_EXIT,
	HOOK_EXEC_CREDS,
	HOOK_THREAD,
	HOOK_CREDENTIALS,
	HOOK_NAMESPACE,
	HOOK_SESSION,
	HOOK_PTRACE,
	HOOK_VM_ACCESS,
	HOOK_SIGNAL,
	HOOK_EXEC_FAILED,
	PROCESS_HOOK_COUNT
};

enum {
	PROCESS_ARGS_MAX = 8192,
	/* Threads that end at the same instant, on kernels that do not say which of them was the last. */
	PROCESS_ENDING_MAX = 4096,
	/* Threads between the start of an exec and its end. */
	PROCESS_EXECS_MAX = 4096,
};

struct process_config {
	__u32 args_max;
	__u32 page_size;
	__u64 signals; /* bit n - 1: signal n is recorded */
};

struct process_exec_before {
	__u64 permitted;
	__u32 euid, egid;
};

/* What a task was before the system call that it is in. */
struct process_before {
	struct process_creds creds;
	struct process_namespaces ns;
	__u32 has_creds, has_ns;
};

struct process_key {
	__u64 start_ns;
	__u32 pid, pad;
};
