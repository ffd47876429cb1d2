/* SPDX-License-Identifier: Apache-2.0 */
/* state - what a context is made of. Internal to context. */
#pragma once
#include "base/buf.h"
#include "base/map.h"
#include "context/cgroups.h"
#include "context/context.h"
#include "context/text.h"
#include "context/users.h"

enum {
	LIVES_MAX = 8,             /* processes kept that had the same pid, one after the other */
	SEED_BYTES_MAX = 64 << 20, /* of the records of a seed */
	PID_INIT = 1,
	PID_KTHREADD = 2,
};

/* Where a process stands: all that changes about it. */
struct node {
	uint32_t pid;
	bool exited, asked;
	uint64_t start_ns;
	const struct process *now;
	struct node *older;       /* an earlier life of the pid */
	struct node *prev, *next; /* of the alive by their coming, or of the exited by their end */
};

struct list {
	struct node *first, *last;
	size_t n;
};

struct context {
	struct context_limits limits;
	const struct bpf_core *core;
	bool no_iterator, offline, host_scope;
	uint64_t boot; /* the first 64 bits of the boot's id */
	void (*learned)(void *arg, const struct ev_head *rec);
	void *arg;

	uint64_t now_ns; /* latest event time */
	uint64_t seed;
	struct map by_pid; /* the youngest life of each pid */
	struct node *nodes, *free;
	size_t n_nodes; /* taken at least once */
	struct list alive, exited;
	uint64_t late_from_ns;
	uint32_t late_used;

	struct cgroups cgroups;
	struct users users;
	struct buf scratch;
	struct context_stats stats;
};

/* How what is to be known of a process itself stands in its record. */
enum { KNOWN_FLAGS = 5 };
extern const struct known_flag {
	enum known_trait trait;
	enum process_flag flag;
} known_flags[KNOWN_FLAGS];

/* Hands what was learned to the stream, and applies it. */
void context_learn(struct context *ctx, const struct ev_head *rec);
/* The life of a pid that began then; the youngest for a start of 0. */
struct node *context_node(struct context *ctx, uint32_t pid, uint64_t start_ns);
/* /proc names a parent by number alone: of those known, the youngest with the number, if it is older. */
void context_find_parent(struct context *ctx, struct ev_known *k);
int lens_open(void);
