/* SPDX-License-Identifier: Apache-2.0 */
/*
 * procfs - what /proc says of one process: numbers, program, arguments; never its environment.
 *
 * /proc is told by number, and numbers are used again: everything here first checks when the
 * process began, reads, and checks again. Arguments and names are what the process wants
 * them to be.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"
#include "bpf/core.h"
#include "context/context.event.h"

enum { PROC_TICK_NS = 10000000 };
enum { PROC_ARGS_MAX = 8192, PROC_PIDS_MAX = 131072 };

struct proc_stat {
	char comm[16];
	uint32_t ppid, pgrp, session;
	bool kthread, dead;
	uint64_t start_ticks; /* of 10 ms since boot */
};

/* Reads a line of /proc/PID/stat. */
int proc_stat_parse(const char *line, size_t n, struct proc_stat *ret_stat);
int proc_stat(uint32_t pid, struct proc_stat *ret_stat);

/*
 * Makes an ev_known of `pid` in `out`. `start_ns` is its identity if the caller knows it; 0
 * takes the one in ticks and says so. -ESRCH when another process has the number, or none.
 * `base` is a head to begin with; may be NULL.
 */
int proc_known(uint32_t pid, uint64_t start_ns, const struct ev_head *base, struct buf *out);
/* Appends the arguments, each but the last with its NUL; how many bytes. Whose they are is for the caller to check. */
size_t proc_args(uint32_t pid, struct buf *out, bool *ret_truncated);

/* The processes of the scope, and no others are even looked at but where a network namespace is the scope. */
int proc_pids(const struct scope *scope, uint32_t **ret_pids, size_t *ret_n);
