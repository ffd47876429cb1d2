/* SPDX-License-Identifier: Apache-2.0 */
/*
 * context - what a record means on this host: whose it is, what runs there, who made it,
 * in which container, as which user.
 *
 * One thread (the reader) feeds it every record, in order, and gets the process that acted.
 * That process is an object that never changes (see process.h): with a reference to it, any
 * thread can read an event's context later, as it was when the record was applied.
 *
 *	reader:	p = context_apply(ctx, rec);
 *		bus_put(bus, context_entity(ctx, rec), rec, (void *)process_ref(p));
 *	shard:	ev = context_event_of(ctx, p, rec, kind, &view);
 *		... event_get(&ev, field, ...) ...
 *		process_unref(p);
 *
 * Bounded in processes, cgroups, bytes and looks at /proc a second; what the bounds cost is counted.
 * Attach the sensors, then seed, then drain the rings: the other way round, what happens
 * between the two is never known.
 */
#pragma once
#include "bpf/core.h"
#include "config/option.h"
#include "context/context.event.h"
#include "context/process.h"
#include "event/event.h"

/* The `context` section of the configuration. */
struct context_limits {
	uint32_t processes, cgroups, late_per_s;
	uint64_t memory;
};
extern const struct option context_option_rows[];
extern const size_t context_n_option_rows;

struct context_options {
	struct context_limits limits; /* of option_defaults() */
	/* Its scope bounds what is looked at. NULL: the whole host, and no iterator in the kernel. */
	const struct bpf_core *core;
	bool no_iterator; /* seed from /proc alone */
	/* Replay: never looks at this host; all knowledge comes in records. */
	bool offline;
	/* 36 characters, as the kernel writes it; NULL: this host's. A recording keeps it. */
	const char *boot_id;
	const char *passwd_path; /* NULL: /etc/passwd */
	/*
	 * Called with each record of context.event.h as it is learned, before the call that made
	 * it necessary returns: put it into the stream there, and replay knows what we knew.
	 */
	void (*learned)(void *arg, const struct ev_head *rec);
	void *arg;
};

struct context;
int context_open(const struct context_options *options, struct context **ret_ctx);
/* Processes that somebody holds live on. */
void context_free(struct context *ctx);
DEFINE_AUTO(context)

extern const struct event_kind context_kinds[];
extern const size_t context_n_kinds;

/* ---- the reader's thread ---------------------------------------------------------------- */

/*
 * Makes the processes known that are older than the agent. With an iterator in the kernel
 * their identity is exact; without, *ret_exact is false: see context.md. May be NULL.
 */
int context_seed(struct context *ctx, bool *ret_exact);

/*
 * Keeps the tree up to date. Returns the process that acted, as it is from now on: valid
 * until the next call, or process_ref() it. NULL: nobody did (pid 0), or no memory.
 */
const struct process *context_apply(struct context *ctx, const struct ev_head *rec);

/*
 * The entity that a record belongs to, after context_apply(): which shard. It is decided
 * once in the life of a process, and is
 *  - its container, where its cgroup said so when it first was seen; else
 *  - its own, where it begins a tree: its parent is not known, or is the first process of
 *    the host or of the kernel's threads, or it is itself the first of a pid namespace; else
 *  - its parent's.
 * So a service, a login session and a container are one entity each. 0: of no process.
 */
uint64_t context_entity(const struct context *ctx, const struct ev_head *rec);

/* What is known now, alive or gone; NULL when nothing is. Valid until the next context_apply(). */
const struct process *context_process(struct context *ctx, uint32_t pid, uint64_t start_ns);
/* The youngest that has this pid. */
const struct process *context_process_by_pid(struct context *ctx, uint32_t pid);
bool context_is_alive(struct context *ctx, uint32_t pid, uint64_t start_ns);

/*
 * Tells all that is known now as records of context.event.h: for the beginning of a recording,
 * or for a reader who joins late. Who applies them, and then what comes after this moment, knows
 * what this context knows of the processes that live, their ancestors, cgroups and users. Who
 * knows all that already, having read on from before, is not changed by them. A record is gone
 * after its call of `fn`, which asks the context nothing. -ENOMEM: some are missing.
 */
int context_snapshot(struct context *ctx, void (*fn)(void *arg, const struct ev_head *rec), void *arg);

/* ---- any thread --------------------------------------------------------------------------- */

/* Room for the values that an event's context must make. */
struct context_view {
	const struct context *ctx;
	const struct process *process; /* NULL: nothing is known */
	const struct ev_head *rec;
	uint32_t parent_pid; /* of this record: an exec tells it anew */
	uint64_t parent_start_ns;
	char ids[3][PROCESS_ENTITY_ID_MAX];
	char ancestor_ids[PROCESS_ANCESTORS_MIN][PROCESS_ENTITY_ID_MAX];
	struct value ancestors[3][PROCESS_ANCESTORS_MIN];
};

/* The event of a record whose process was p. Both, and the view, outlive the event. */
struct event context_event_of(const struct context *ctx, const struct process *p, const struct ev_head *rec,
			      const struct event_kind *kind, struct context_view *view);

/* The view of an event that context_event_of() made; NULL: another made it. */
const struct context_view *context_view_of(const struct event *ev);

/* The same on the reader's thread, just after context_apply(). */
struct event context_event(struct context *ctx, const struct ev_head *rec, const struct event_kind *kind,
			   struct context_view *view);

/* The fields that the context adds to events, for the reference pages. */
struct context_field {
	const char *name, *doc;
	enum value_type type;
};
extern const struct context_field context_fields[];
extern const size_t context_n_fields;

/* ---- books ---------------------------------------------------------------------------------- */

struct context_stats {
	uint64_t processes, exited, seeded;
	uint64_t evicted_exited, evicted_alive;
	uint64_t misses, late, late_refused, late_failed;
	uint64_t exits_missed, out_of_order;
	uint64_t cgroups, cgroups_unresolved, cgroups_evicted;
	uint64_t users, users_skipped;
	uint64_t args_cut, ancestors_cut, no_memory;
	uint64_t bytes; /* of processes and programs, in whoever's hands */
};

struct context_metric {
	const char *name, *doc;
	size_t off; /* of a uint64_t in struct context_stats */
	bool is_gauge;
};
extern const struct context_metric context_metrics[];
extern const size_t context_n_metrics;

/* Reader thread. */
void context_stats(const struct context *ctx, struct context_stats *ret_stats);
