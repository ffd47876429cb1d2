/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host - Host API v1: what a script may ask of us, whatever it is written in.
 *
 * One table declares every function: its name, arguments, result and a sentence. The bindings of Lua, the imports of
 * Wasm and docs/reference/host-api.md are made from it. Functions are never taken away or changed; new ones are added.
 *
 * What a script names (fields, patterns, blocks, lists) it names while it is loaded, and gets a handle; a run looks
 * nothing up by name and compiles nothing. All instances of a script share what was named: it is made while the script
 * is compiled, by loading it once, and never changes after that. Handles are numbers that carry their kind, so one
 * that was made up, or is of another kind, is refused.
 *
 * Nothing here trusts its caller: texts and handles are checked, counts are bounded, and no function takes longer than
 * its texts are long (patterns are automata that are tables, or are refused). Functions do not allocate while an event
 * is looked at.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/mem.h"
#include "event/event.h"
#include "match/cidr.h"
#include "match/regex.h"

enum {
	HOST_ARGS_MAX = 3,
	HOST_FIELDS_MAX = 256, /* of each kind of handle, in one script */
	HOST_PATTERNS_MAX = 64,
	HOST_BLOCKS_MAX = 16,
	HOST_LISTS_MAX = 64,
	HOST_PATTERN_MAX = 1024,  /* bytes of a pattern */
	HOST_NAMED_MAX = 1 << 20, /* bytes of a text that blocks or a list are made of */
	HOST_PART_MAX = 1024,     /* characters of a part that is searched without regard to case */
	HOST_TEXT_MAX = 1 << 20,  /* bytes of any other text: the longest that an event can hold */
	HOST_MADE_MAX = 256,      /* bytes of a text that we make (a number as it is written); longer ones are absent */
	HOST_LOG_MAX = 512,       /* bytes of a line of the log; the rest is left out */
	HOST_ERROR_MAX = 256,
};

/* ---- types ---------------------------------------------------------------------------------------------- */

/*
 * In Lua: true and false, numbers, strings; handles are numbers. Absent is nil.
 *
 * In Wasm (imports of the module "shrike"): HOST_BOOL and handles are i32, HOST_INT i64, HOST_FLOAT f64, HOST_TEXT as
 * an argument two i32 (where in memory, bytes). A HOST_TEXT as a result is two more i32 arguments (where to, room) and
 * the result i32: the length of the whole text, of which as much is written as there is room for. Where a result may be
 * absent: of a text the length is -1, of a bool the result is -1, and for a number one more argument of its type says
 * what the result is then. A call that is refused (HOST_REFUSED) stops the run.
 */
enum host_type {
	HOST_NONE,
	HOST_BOOL,
	HOST_INT,
	HOST_FLOAT,
	HOST_TEXT,
	HOST_FIELD, /* handles from here on */
	HOST_PATTERN,
	HOST_BLOCKS,
	HOST_LIST,
};

union host_value {
	bool b;
	int64_t i;
	double f;
	struct str s; /* borrowed: of an argument for the call, of a result until the next call */
	uint32_t handle;
};

enum host_result {
	HOST_OK,
	HOST_ABSENT,  /* only where .may_be_absent */
	HOST_REFUSED, /* the script did what it may not, and host.error says what: the run has failed */
};

/* ---- what scripts have named ------------------------------------------------------------------------------- */

/* A list that the rule's file gives its script. */
struct host_named_list {
	const char *name;
	const char *const *items;
	size_t n;
};

/* What one script has named: made while it is compiled, shared by its instances from then on. */
struct host_code;
/* Both are looked at until it is sealed. */
int host_code_new(const struct host_named_list *lists, size_t n_lists, struct host_code **ret_code);
/* From now on names are looked up, and new ones refused. */
void host_code_seal(struct host_code *code);
void host_code_free(struct host_code *code);
DEFINE_AUTO(host_code)
/* Bytes that it takes. */
size_t host_code_size(const struct host_code *code);

/* ---- one instance ------------------------------------------------------------------------------------------ */

/* Belongs to one thread. */
struct host {
	struct host_code *code;
	const char *name;       /* of the script, for the log */
	const struct event *ev; /* NULL while the script is loaded */
	uint64_t work;          /* bytes and items that calls have looked at: runtimes hold them against their limits */
	char error[HOST_ERROR_MAX];
	char made[HOST_MADE_MAX];
	uint32_t part[HOST_PART_MAX];
	uint16_t back[HOST_PART_MAX];
	struct event_scratch room;
	struct {
		const struct event_kind *kind;
		const struct field *field;
	} row[HOST_FIELDS_MAX]; /* where a field stands in records of the kind that was met last */
};

void host_init(struct host *h, struct host_code *code, const char *name);
static inline void host_begin(struct host *h, const struct event *ev)
{
	h->ev = ev;
	h->work = 0;
}

/* ---- functions --------------------------------------------------------------------------------------------- */

struct host_arg {
	const char *name;
	enum host_type type;
};

enum host_when {
	HOST_NAMES,   /* makes a handle: while the script is loaded; later only for what it has named by then */
	HOST_LOOKS,   /* looks at the event: only in a run */
	HOST_ANYTIME, /* looks at its arguments alone */
};

struct host_function {
	const char *name;
	enum host_when when;
	struct host_arg arg[HOST_ARGS_MAX]; /* ends with HOST_NONE */
	enum host_type result;
	bool may_be_absent;
	enum host_result (*call)(struct host *h, const union host_value *arg, union host_value *ret_value);
	const char *doc;
};

extern const struct host_function host_functions[];
extern const size_t host_n_functions;

/* Calls one: the arguments are of its types. */
enum host_result host_call(struct host *h, const struct host_function *f, const union host_value *arg,
			   union host_value *ret_value);

/* The field that a handle stands for; FIELD_NONE: none. */
field_id host_field(const struct host *h, uint32_t handle);
/* The handle of a field, by its name: as host_call(field), without an error. 0: it cannot be had any more. */
uint32_t host_find_field(struct host *h, const char *name, size_t n);
/* Any value of the event, for languages that have types of their own. False: it has no such field. */
bool host_get(struct host *h, uint32_t handle, struct value *ret_value);
/* A scalar as it is written, in h->made unless it is a text already. False: it has no text. */
bool host_text_of(struct host *h, const struct value *v, struct str *ret_text);
/* Records what was wrong; returns HOST_REFUSED. */
enum host_result host_refuse(struct host *h, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
