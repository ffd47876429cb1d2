/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_world - for tests: what processes of a made-up host do, as records.
 *
 * They fork, run programs, change users and cgroups, end, and their pids are used again. The same
 * seed makes the same records.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "context/context.event.h"
#include "sensors/process/process.event.h"

enum { WORLD_PIDS = 200, WORLD_RECORD_MAX = 8192 };

struct world_record {
	union {
		struct ev_head head;
		struct ev_fork fork;
		struct ev_exec exec;
		struct ev_exit exit;
		struct ev_known known;
		struct ev_cgroup cgroup;
		struct ev_user user;
	};
	char room[WORLD_RECORD_MAX];
};

struct world_life {
	__u64 start;
	__u32 uid;
	__u64 cgroup;
	char comm[16];
	bool alive;
};

struct world {
	struct world_life lives[WORLD_PIDS];
	__u64 now;
	__u64 step_ns; /* the most that passes between two records */
	unsigned long long dice;
	struct world_record rec;
};

/* With one process, and records that name users 0 to 4 and cgroups 1 to 8, each handed to `fn`. */
void world_begin(struct world *w, unsigned long long seed, void (*fn)(void *arg, const struct ev_head *rec), void *arg);
/* The next record, until the next call. */
const struct ev_head *world_step(struct world *w);
/* A record of this kind by this process, now. */
struct world_record *world_record(struct world *w, __u32 pid, __u16 id, size_t size);
struct world_record *world_exec(struct world *w, __u32 pid);
