/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* drop.map - what drop.c sets and drop.bpf.c reads. */
#pragma once
#include <linux/types.h>

/* Rows of the descriptor's hooks. */
enum drop_hook { HOOK_DROP, DROP_HOOK_COUNT };

enum {
	DROP_REASONS_MAX =
		512, /* the core's; those of modules (Open vSwitch, Wi-Fi) have larger numbers and no name here */
	DROP_NAME_MAX = 56,
};

/* By the number of the reason. */
struct drop_reason {
	char name[DROP_NAME_MAX]; /* without its SKB_DROP_REASON_ */
	__u8 ignored;
	__u8 pad[7];
};

struct drop_config {
	__u8 loopback;
	__u8 pad[7];
};
