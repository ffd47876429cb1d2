/* SPDX-License-Identifier: Apache-2.0 */
/*
 * script - predicates that a query language cannot say, written in Lua or compiled to Wasm: the contract of the
 * runtimes, and what all of them share: limits, books, and the end of those that go beyond.
 *
 * Code is compiled once, never changes and may be used from any thread; an instance of it belongs to one thread.
 * A script sees one event through Host API v1 (predicate/host.h) and answers yes or no. It keeps nothing from one event
 * to the next that could make its answer depend on them: what it stores is forgotten.
 *
 * A run that goes beyond a limit, or fails, is stopped: the answer is no, it is counted, and after `strikes` of them in
 * all instances together the script is disabled for good, which status() says and an alert tells.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/mem.h"
#include "event/event.h"
#include "predicate/host.h"
#include "rule/rule.h"

struct script_limits {
	uint64_t instructions; /* of one run: Lua's VM instructions, Wasm's fuel */
	uint64_t memory;       /* bytes of one instance */
	uint64_t time_ns; /* of one run: where instructions say too little. A thread that was made to wait is not blamed
			   */
	uint32_t strikes; /* runs that failed before it is disabled */
};
extern const struct script_limits script_limits_usual; /* 500,000, 8 MiB, 3 ms, 10 */

enum {
	SCRIPT_TEXT_MAX = 1 << 20, /* bytes of a script */
	SCRIPT_NAME_MAX = 256,
};

struct script_options {
	const struct script_limits *limits; /* NULL: the usual ones; so is each that is 0 */
	/* Lists that the script may look values up in. They are copied. */
	const struct host_named_list *lists;
	size_t n_lists;
};

enum script_verdict {
	SCRIPT_NO,
	SCRIPT_YES,
	SCRIPT_TOO_LONG, /* instructions or time */
	SCRIPT_TOO_MUCH, /* memory */
	SCRIPT_FAILED,   /* an error of its own; script_error() says which */
	SCRIPT_DISABLED, /* it was not run */
};

struct script_code; /* counted by references */
struct script;      /* one thread's */

enum script_kind { SCRIPT_LUA, SCRIPT_WASM };

/*
 * -EINVAL: *reterr_diag says where and why; -ENOTSUP: this machine has no such runtime, and the trail says what to do.
 * Every failure leaves a trail of one line. Wasm: the binary format, or its text. `options` NULL: the usual limits, no
 * lists. Fields that the script names are interned here: events that are read later have them.
 */
int script_compile(enum script_kind kind, const char *name, const void *text, size_t n,
		   const struct script_options *options, struct diag *reterr_diag, struct script_code **ret_code);
struct script_code *script_code_ref(struct script_code *code);
void script_code_free(struct script_code *code);
DEFINE_AUTO(script_code)

int script_open(struct script_code *code, struct script **ret_script);
void script_free(struct script *s);
DEFINE_AUTO(script)

/* Never longer than the limits allow; allocates nothing outside of the instance's own memory. */
enum script_verdict script_run(struct script *s, const struct event *ev);
/* Of the last run that failed: valid until the next. */
const char *script_error(const struct script *s);

struct script_stats {
	uint64_t runs, matches, too_long, too_much, failed;
	uint64_t ns; /* one run in SCRIPT_TIMED is timed, and counts for all of them */
	bool disabled;
};
enum { SCRIPT_TIMED = 64 };
/* Of all instances, from any thread. */
void script_stats(struct script_code *code, struct script_stats *ret_stats);
/* Why it was disabled: the error of its last strike. "" when it was not. */
void script_reason(struct script_code *code, char *to, size_t size);
/* Bytes that the code takes, instances left out. */
size_t script_size(const struct script_code *code);
