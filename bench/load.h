/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load - loops of a system call, exec, files and connects that do nothing else: the worst cases, not what a service
 * feels.
 */
#pragma once
#include "tests/sandbox/sandbox.h"

enum { LOADS = 4, LOAD_SLICE_MS = 120 };

struct load {
	const char *name;
	/* Sets up and returns 0, or an exit code. */
	int (*open)(const struct sandbox *sb);
	int (*once)(void);
	unsigned batch; /* operations between two looks at the clock */
};
extern const struct load loads[LOADS];

/* A child's account of its slice: in memory that it shares with who asks. */
struct account {
	double ops, wall, cpu;
	const struct load *load;
};

/* Runs account.load in a child (sandbox_run(), outside_run()) for LOAD_SLICE_MS of CPU time. */
int load_slice(const struct sandbox *sb, void *account);
