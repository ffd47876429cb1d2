/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * abi - what crosses from kernel to user, and goes to disk unchanged.
 *
 * Included by BPF programs and by the agent. Fixed-width types only, no pointers, no
 * enums in structs, no implicit padding; sizes are asserted on both sides. Fields are
 * appended, never moved: a record knows its length.
 */
#pragma once
#include <linux/types.h>

/*
 * A record id is <sensor byte, record number>. The sensor owns its byte for good: ids are
 * on disk. event_test.c fails when two kinds claim the same one. Numbers go from 1 to
 * EV_KIND_MAX - 1; they index the sensor's counters in the kernel.
 */
#define EV_ID(sensor, n) ((sensor) << 8 | (n))
#define EV_ID_NUMBER(id) ((id) & 0xff)
#define EV_ID_SENSOR(id) ((id) >> 8)

enum {
	EV_LEN_MAX = 32000, /* bytes of a record, strings included */
	EV_STR_MAX = 4096,  /* bytes of one path or string, NUL included */
	EV_KIND_MAX = 32,   /* record numbers of one sensor */
	EV_HOOK_MAX = 48,   /* hooks of one sensor */
	EV_STACK_MAX = 64,  /* frames of a recorded stack */
};

/* Which kernel ring a record takes, and which loss counter it belongs to. */
enum ev_class {
	EV_CRITICAL, /* rare and telling: never budgeted, its own ring */
	EV_NORMAL,   /* shares the bulk ring, with a budget of its own */
	EV_BULK,     /* may flood: budgeted per cgroup */
	EV_PACKET,   /* packet bytes */
	EV_CLASS_COUNT
};

enum ev_flag {
	EV_F_TRUNCATED = 1 << 0, /* a string or list was cut at its bound */
	EV_F_LATE = 1 << 1,      /* filled in by the agent after the kernel wrote it */
	EV_F_SAMPLED = 1 << 2,   /* stands for several of its kind */
	EV_F_SEEDED = 1 << 3,    /* made from what already was there at start, not observed */
};

/*
 * Bytes at the end of the record, `off` from its start. A NUL that `len` does not count
 * follows strings. off 0: absent. Lists (arguments) are their items, each with its NUL,
 * and `len` counts them all but the last NUL.
 */
struct ev_str {
	__u16 off, len;
};

/* IPv6, or IPv4 mapped into it (::ffff:a.b.c.d), in network order. */
struct ev_addr {
	__u8 bytes[16];
};

/* First in every record. Who and where are those of the process that acted. */
struct ev_head {
	__u64 time_ns; /* CLOCK_BOOTTIME */
	__u16 id;      /* EV_ID */
	__u16 len;     /* whole record */
	__u16 cpu;
	__u8 class; /* enum ev_class */
	__u8 flags; /* enum ev_flag */
	__u64 cgroup_id;
	__u64 start_ns; /* boot time at which the process began: with pid, its identity */
	__u32 pid, tid, uid, gid;
	__u32 netns, ns_pid;
	char comm[16];
	struct ev_str kstack, ustack; /* arrays of __u64 return addresses, innermost first */
};
_Static_assert(sizeof(struct ev_head) == 80, "ev_head");
_Static_assert(sizeof(struct ev_str) == 4, "ev_str");

/* The kernel's books on one record kind: seen = sent + filtered + lost_ring + lost_budget + error. */
struct ev_counts {
	__u64 seen, sent, filtered, lost_ring, lost_budget, error;
};

/* The kernel's books on one hook: how often it fired in scope, and for the agent's own canary. */
struct ev_hook_counts {
	__u64 fired, canary;
};
