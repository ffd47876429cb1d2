/* SPDX-License-Identifier: Apache-2.0 */
/* text - making and releasing the parts that processes share. Internal to context. */
#pragma once
#include "context/process.h"

/* Bytes of all processes, programs and texts of this agent, whoever holds them. */
uint64_t context_bytes(void);

const struct text *text_new(const char *p, size_t n);
const struct text *text_ref(const struct text *t);
void text_unref(const struct text *t);

/* What a program is made of: strings borrow, `args` is a list with a NUL after each but the last. */
struct program_parts {
	uint32_t dev, argc;
	uint64_t inode, exec_ns;
	uint16_t mode;
	bool truncated;
	struct str executable, args;
};
const struct program *program_new(const struct program_parts *parts);
const struct program *program_ref(const struct program *p);
void program_unref(const struct program *p);

const struct cgroup_info *cgroup_info_new(uint64_t id, const char *path, size_t n);
const struct cgroup_info *cgroup_info_ref(const struct cgroup_info *c);
void cgroup_info_unref(const struct cgroup_info *c);

/* A copy with a reference count of one; what it shares is retained. NULL: no memory. */
struct process *process_copy(const struct process *from);
/* A zeroed one. */
struct process *process_new(void);
/* Replaces p's parent, keeping the chain within `max` ancestors. Returns how many were cut, or -ENOMEM. */
int process_set_parent(struct process *p, const struct process *parent, unsigned max);
