/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kernel_probe - what this kernel can do, found out by trying once; the answers are kept.
 *
 * Not by version: distributions backport and forbid. Loading a two-instruction program of the
 * kind asks the kernel itself, its policy included.
 */
#pragma once
#include <linux/types.h>
#include <stdbool.h>

/* Where false is returned, *ret_why is a sentence for people. */
bool kernel_has_lsm(const char **ret_why);
bool kernel_has_fentry(const char **ret_why);
bool kernel_has_kprobe(const char **ret_why);
/* Does the kernel's BTF know this function, struct member, or tracepoint? */
bool kernel_has_func(const char *name);
bool kernel_has_member(const char *type, const char *member);
bool kernel_has_tracepoint_btf(const char *name);
/* How many arguments a function, or a program on a tracepoint, gets here; -1: there is no such thing. */
int kernel_func_args(const char *name);
int kernel_tracepoint_args(const char *name);
/* This process's pid as the kernel's programs see it: in a pid namespace, not what getpid() says. */
int kernel_tgid(__u32 *ret_tgid);
/* Frees the kernel's BTF (6 MB), which is read again when it is asked for next. The answers stay. Not while others ask.
 */
void kernel_forget(void);
/* 0, or -errno with a trail that says what is missing and what would help: BTF, rights, an old kernel. */
int kernel_check(void);
