/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * context.event - what the agent found out by looking, as records.
 *
 * All that context learns from elsewhere than the sensors' records (processes older than the
 * agent, paths of cgroups, names of users) becomes a record before it is used. A recording
 * that keeps them can be replayed anywhere, and means there what it meant here.
 */
#pragma once
#include "event/abi.h"

enum {
	EV_CONTEXT = 0xf0,
	EV_KNOWN = EV_ID(EV_CONTEXT, 1),
	EV_CGROUP = EV_ID(EV_CONTEXT, 2),
	EV_USER = EV_ID(EV_CONTEXT, 3),
};

/*
 * A process as it was found. The head is its own; time_ns is when it was looked at. With KNOWN_TOLD it is not news: it
 * repeats what earlier records said, for who begins to read here, and a reader who knows all that passes it by.
 */
struct ev_known {
	struct ev_head head;
	__u64 inode;
	__u64 parent_start_ns; /* 0: not known */
	__u32 parent_pid;
	__u32 dev; /* major << 20 | minor, as the kernel counts */
	__u32 mntns, pidns;
	__u32 group_pid, session_pid; /* leaders of its process group and session; not known with KNOWN_STUB */
	__u16 mode;
	__u16 traits; /* enum known_trait */
	__u32 argc;
	struct ev_str exe;
	struct ev_str cwd;
	struct ev_str args;
	__u32 pad;
	/* Of KNOWN_TOLD alone. */
	__u64 since_ns; /* from when on it was so */
	__u64 exec_ns;  /* when it began to run its program; 0: not known */
	__u64 entity;   /* see context_entity() */
};

enum known_trait {
	KNOWN_KTHREAD = 1 << 0, /* a thread of the kernel: it has no program */
	KNOWN_TICKS = 1 << 1,   /* start_ns is known to 10 ms only */
	KNOWN_TOLD = 1 << 2,    /* repeats what was said before */
	KNOWN_EXITED = 1 << 3,  /* it has ended: an ancestor of one that lives */
	KNOWN_STUB = 1 << 4,    /* its program is not known */
	KNOWN_BORN = 1 << 5,    /* its birth was seen */
	KNOWN_CUT = 1 << 6,     /* it had more ancestors */
};

/* The path of the cgroup head.cgroup_id. */
struct ev_cgroup {
	struct ev_head head;
	struct ev_str path; /* below the cgroup mount; "/" is the root; absent: it is gone */
	__u32 pad;
};

/* The name of the user head.uid. */
struct ev_user {
	struct ev_head head;
	struct ev_str name;
	__u32 pad;
};
_Static_assert(sizeof(struct ev_known) == 80 + 88, "ev_known");
_Static_assert(sizeof(struct ev_cgroup) == 88 && sizeof(struct ev_user) == 88, "ev_cgroup, ev_user");
