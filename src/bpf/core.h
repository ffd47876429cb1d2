/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core - the maps that every BPF object of ours shares: rings, scratch, budgets, scope.
 *
 * Made once at start; objects borrow them. Closing the last descriptor frees all: nothing is
 * pinned, so nothing outlives the agent, however it ends.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include "base/mem.h"
#include "bpf/core.map.h"

/* A scope as people write it: "host", "cgroup:/path", "netns:NAME" or "netns:/path". */
struct scope {
	enum core_scope kind;
	__u64 cgroup_id;
	__u32 cgroup_level;
	bool level_is_least; /* the mount does not begin at the true root: the cgroup lies deeper by what cannot be seen
			      */
	int cgroup_fd;       /* -1 but for SCOPE_CGROUP */
	__u32 netns;
	int netns_fd; /* -1 but for SCOPE_NETNS; while it is open, nobody else gets the namespace's number */
	char text[512];
};

/* Of nothing: what scope_close() may get. */
#define SCOPE_NONE ((struct scope) { .cgroup_fd = -1, .netns_fd = -1 })

int scope_parse(const char *text, struct scope *ret_scope);
void scope_close(struct scope *scope);
/* Where the unified cgroup hierarchy is mounted: "/sys/fs/cgroup", or ".../unified" on hybrid hosts. NULL: nowhere. */
const char *cgroup_mount(void);

struct core_options {
	size_t ring_bytes[RING_COUNT];      /* rounded up to a power of two of pages */
	__u32 budget_per_s[EV_CLASS_COUNT]; /* a cgroup, a second; 0: no bound */
	bool no_syscall_hooks;              /* see bpf_core */
};

struct bpf_core {
	int ring_fd[RING_COUNT], scratch_fd, budgets_fd, reader_fd, scope_fd, sock_marks_fd;
	size_t ring_bytes[RING_COUNT];
	struct reader_state *reader; /* mapped */
	struct core_config config;   /* what objects get as constants */
	const struct scope *scope;   /* borrowed */
	/* No variant that sits at system calls: every such program slows all of them, in the scope or not. */
	bool no_syscall_hooks;
};

/* `scope` must outlive the core. */
int bpf_core_open(const struct core_options *options, const struct scope *scope, struct bpf_core **ret_core);
void bpf_core_free(struct bpf_core *core);
DEFINE_AUTO(bpf_core)
