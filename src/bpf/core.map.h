/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* core.map - what every BPF object of ours shares with the agent: rings, scope, budgets, the record scratch. */
#pragma once
#include "event/abi.h"

enum core_scope { SCOPE_HOST, SCOPE_CGROUP, SCOPE_NETNS };

enum core_ring { RING_CRITICAL, RING_BULK, RING_PACKET, RING_COUNT };

enum {
	/*
	 * Records being built at once on one CPU. A program may be preempted by another on its
	 * CPU, and interrupts come on top; where all are taken the event is counted as an error.
	 */
	REC_SLOTS = 4,
	BUDGET_CGROUPS_MAX = 4096,
	CGROUP_DEPTH_MAX = 32, /* levels that are searched for the scope's cgroup from within a cgroup namespace */
};

/* Constants of an object, set before it loads: branches that they rule out are dead code. */
struct core_config {
	__u32 scope;       /* enum core_scope */
	__u32 scope_level; /* depth of the scope's cgroup */
	__u32 scope_netns;
	__u64 scope_cgroup_id;
	__u32 scope_level_is_least; /* the agent lives in a cgroup namespace: the cgroup lies deeper than it can see */
	__u32 agent_tgid;           /* its own doings are canaries, never records */
	__u64 budget_window_ns;
	__u32 budget[EV_CLASS_COUNT]; /* records of a class a cgroup may send in a window; 0: no bound */
	__u64 wake_bytes[RING_COUNT]; /* a ring that holds more wakes a sleeping reader */
	__u8 stacks[EV_KIND_MAX];     /* by record number: STACK_KERNEL, STACK_USER */
};

enum { STACK_KERNEL = 1, STACK_USER = 2 };

/* Written by the reader through a mapping, and by the program that wakes it. */
struct reader_state {
	__u32 sleeping; /* in a long sleep: a critical record must wake it, and so must a ring that fills */
	__u32 pad;
};

struct budget_key {
	__u64 cgroup_id;
	__u32 class;
	__u32 pad;
};

struct budget {
	__u64 window_start_ns;
	__u64 used;
};

/* One record being built. */
struct rec {
	__u32 busy;
	__u32 pos;    /* bytes used in data */
	__u32 number; /* EV_ID_NUMBER */
	__u32 class;
	__u32 slot; /* its own index in the scratch */
	__u32 pad;
	/* A string is appended where `pos` is at most EV_LEN_MAX: the tail is room for it to overrun. */
	__u8 data[EV_LEN_MAX + EV_STR_MAX * 2];
	/* A path grows from the end of the first half towards its start; the rest is room to overrun. */
	__u8 path[EV_STR_MAX * 2];
};
