/* SPDX-License-Identifier: Apache-2.0 */
/*
 * observe - one sensor at work in a sandbox: what its hooks recorded while a test acted.
 *
 *	auto_sandbox struct sandbox sb = { 0 };
 *	auto_observer struct observer ob;
 *	if (!sandbox_open(&sb, SANDBOX_PLAIN) || !observe_open(&ob, &sb, &sensor_file, NULL))
 *		return;
 *	check_int(sandbox_run(&sb, act, NULL), 0);
 *	observe_drain(&ob);
 *	e = observe_find(&ob, EV_FILE_RENAME, 0);
 */
#pragma once
#include "bpf/object.h"
#include "bpf/ring.h"
#include "sensors/sensor.h"
#include "tests/sandbox/sandbox.h"

enum { OBSERVED_MAX = 65536 };

struct observer {
	const struct sensor *sensor;
	struct scope scope;
	struct bpf_core *core;
	struct object *object;
	struct object_spec spec;
	void *defaults; /* options, where none were given */
	struct hook_state states[EV_HOOK_MAX];
	struct ring rings[RING_COUNT];
	struct ev_head **records; /* copies, in the order of their time */
	size_t n;
};

/* `options` is the sensor's options struct; NULL: its defaults. False: the test has failed (or is skipped). */
bool observe_open(struct observer *ob, const struct sandbox *sb, const struct sensor *sensor, const void *options);
/* Small rings: for tests of loss. */
bool observe_open_with(struct observer *ob, const struct sandbox *sb, const struct sensor *sensor, const void *options,
		       const struct core_options *core);
/*
 * With one hook held to one variant, so that every variant gets tested wherever the kernel takes it.
 * False, without a failure, where this kernel does not take that variant.
 */
bool observe_open_variant(struct observer *ob, const struct sandbox *sb, const struct sensor *sensor,
			  const void *options, const char *hook, unsigned variant);
/* The same, and every kind carries the stacks of this sum of STACK_KERNEL and STACK_USER. */
bool observe_open_stacks(struct observer *ob, const struct sandbox *sb, const struct sensor *sensor, const char *hook,
			 unsigned variant, __u8 stacks);
void observe_close(struct observer *ob);
#define auto_observer __attribute__((cleanup(observe_close)))

/* Takes what the rings hold. */
void observe_drain(struct observer *ob);
/*
 * The same until there are so many of a kind, 10 s at most: for what the kernel does in its own time, which on a busy
 * machine is long. Returns how many there are.
 */
size_t observe_await(struct observer *ob, __u16 id, size_t n);
/* The nth (from 0) record of a kind, or NULL. */
const void *observe_find(const struct observer *ob, __u16 id, size_t nth);
size_t observe_count(const struct observer *ob, __u16 id);
/* A string field of a record, NUL-terminated; "" when absent. */
const char *observe_str(const void *rec, struct ev_str s);
/* Is hook `name` attached, and by which variant ("tp_btf", "lsm", ...)? NULL: not attached. */
const char *observe_via(const struct observer *ob, const char *hook);
/* Fails the test unless the books of every kind add up and nothing was lost. */
void observe_check_books(const struct observer *ob);
