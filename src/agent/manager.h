/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manager - the one place that opens, attaches, starts, stops and reloads leaves.
 *
 * A leaf that fails is isolated: it says why and what would help, and the others run on. Its
 * health is looked after (see manager_check), and what fails again and again ends in a stated
 * fallback instead of a loop.
 *
 * All functions may be called from any thread; they take the manager's lock.
 */
#pragma once
#include "base/buf.h"
#include "base/mem.h"
#include "bpf/object.h"
#include "sensors/sensor.h"

enum leaf_state {
	LEAF_OFF,
	LEAF_RUNNING,
	LEAF_DEGRADED, /* runs, but a hook is missing, silent, or loses too much */
	LEAF_FAILED,   /* does not run; will be tried again */
	LEAF_FALLBACK, /* given up on after repeated failure, whole or in part, until it is switched on again */
};

enum { LEAF_WHY_MAX = 1024 };

struct manager;

/* `core` must outlive the manager. Every sensor of the table becomes a leaf, switched off. */
int manager_open(const struct bpf_core *core, const struct sensor *const *sensors, struct manager **ret_manager);
void manager_free(struct manager *m);
DEFINE_AUTO(manager)

/*
 * Brings a leaf to the wanted state with these options, which must live until they are replaced.
 * A running leaf with new options is replaced: the new programs attach before the old ones go, so
 * nothing is missed, and a record of that moment may come twice. When the new ones fail to load, the
 * old ones run on and the error is returned.
 */
int manager_set(struct manager *m, const char *name, bool wanted, const void *options, const __u8 stacks[EV_KIND_MAX]);
bool manager_has(const struct manager *m, const char *name);

/* When leaves have been set, for now: gives back the memory that loading took. */
void manager_rest(struct manager *m);

/* Makes each hook see something (sensor->exercise) and notes which fired. Also the self-test at start. */
void manager_exercise(struct manager *m);

struct health_options {
	unsigned silent_max;   /* canaries in a row that a hook may miss before its leaf is restarted */
	unsigned restarts_max; /* restarts in a row before the leaf falls back */
	unsigned loss_percent; /* of what was seen since the last check: more makes it degraded */
};
/* One round of health checks: canaries, loss rates, retries of what failed. */
void manager_check(struct manager *m, const struct health_options *options);

enum leaf_state manager_state(struct manager *m, const char *name);
/* {running, degraded, failed, fallback, off} -> number of leaves. */
void manager_summary(struct manager *m, unsigned ret_counts[LEAF_FALLBACK + 1]);

/* The "sensors" member of the status answer (agent/control.h), without its name. */
void manager_status(struct manager *m, struct buf *out);
/* What a person wants to see at start: a line a leaf. */
void manager_describe(struct manager *m, struct buf *out);
const char *leaf_state_name(enum leaf_state state);

/* For tests: takes the programs of one hook off the kernel while the leaf believes them attached. */
void manager_deafen(struct manager *m, const char *name, size_t hook);
