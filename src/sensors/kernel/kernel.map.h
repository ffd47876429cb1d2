/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* kernel.map - what kernel.c sets and kernel.bpf.c reads. */
#pragma once
#include <linux/types.h>

/* Rows of the descriptor's hooks. */
enum kernel_hook {
	HOOK_MODULE_LOAD,
	HOOK_MODULE_FREE,
	HOOK_MODULE_REQUEST,
	HOOK_READ,
	HOOK_BPF,
	HOOK_IORING_CREATE,
	HOOK_IORING_OP,
	HOOK_SYSCTL,
	KERNEL_HOOK_COUNT
};

enum {
	SYSCTL_NAME_MAX = 256,
	SYSCTL_VALUE_MAX = 1024,
	IORING_OPS_MAX = 128, /* operations that can be chosen */
};

struct kernel_config {
	__u8 ioring_ops[IORING_OPS_MAX]; /* 1: record this operation */
};
