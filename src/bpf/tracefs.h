/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tracefs - classic tracepoints, without needing tracefs to be mounted.
 *
 * The number of a tracepoint stands in tracefs. Where nobody has mounted it, a private mount
 * that is in no directory is opened instead, so nothing on the host changes.
 */
#pragma once
#include <bpf/libbpf.h>
#include <stdbool.h>

/* `target` is "syscalls/sys_enter_openat". */
bool tracefs_has_tracepoint(const char *target, const char **ret_why);
/* NULL with errno set. */
struct bpf_link *tracefs_attach(const struct bpf_program *prog, const char *target);
