/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lineage - which processes stand to a subquery's processes as children, descendants, or are themselves one.
 *
 * Learned from the events alone: an event that matches the subquery makes its process a source; a process that begins
 * with a parent that is one (or descends from one) is a member. A process that has ended is forgotten when the next
 * process event comes, so that its own last event still knows it. Bounded: the oldest go, and are counted.
 *
 * Processes are known by a hash of what the events call them.
 */
#pragma once
#include <stdbool.h>
#include "rule/ir.h"
#include "sequence/cells.h"

enum { LINEAGE_PIDS_MAX = 1 << 16 };

/* A bounded set of processes, oldest out first. */
struct pid_set {
	struct cell_table table; /* of places in `id` */
	uint64_t *id;            /* place 0 is not used; 0: free */
	uint32_t next;
};

struct lineage {
	struct pid_set sources, members;
	uint64_t ended; /* to be forgotten; 0: none */
	uint64_t evicted;
};

/* What an event says of its process: hashes, 0 where it says nothing. */
struct lineage_event {
	uint64_t pid, parent;
	bool is_process; /* an event of processes: those that ended are forgotten then */
	bool begins, ends;
	bool boots; /* the host has started: nobody is left */
};

int lineage_open(struct lineage *l);
void lineage_close(struct lineage *l);
/* In this order for each event: update, then (once the subqueries within are done) match if its condition is true. */
void lineage_update(struct lineage *l, enum ir_lineage kind, const struct lineage_event *ev);
void lineage_match(struct lineage *l, const struct lineage_event *ev);
bool lineage_is(const struct lineage *l, enum ir_lineage kind, const struct lineage_event *ev);
