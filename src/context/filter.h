/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filter - which events a reader wants to see: a client that follows the agent, an export, a query.
 *
 * Compiled once from the request; matching may run on any thread, and allocates nothing but, once a thread, what a
 * condition is worked out in.
 */
#pragma once
#include "base/mem.h"
#include "event/event.h"

enum { FILTER_KINDS_MAX = 256, FILTER_TEXT_MAX = 4096 };

/* What a request says; zeroed: everything. */
struct filter_spec {
	const char *const *kinds; /* names or globs */
	size_t n_kinds;
	__u32 pid; /* 0: any */
	bool descendants;
	const char *comm, *container, *path, *address; /* NULL or "": any */
	const char *expr; /* an EQL condition: process.args == "-c" and user.id != 0; NULL or "": any */
};

/* What its conditions know: the fields of records and of the context. Kinds are registered before. */
struct rule_schema;
extern const struct rule_schema filter_schema;

struct filter;
/*
 * `kinds` of a spec that match no kind, an address that is none, and a condition that does not compile are refused
 * with a trail. A condition knows the fields of records and of the context, and has at most FILTER_TEXT_MAX bytes.
 */
int filter_compile(const struct filter_spec *spec, struct filter **ret_filter);
void filter_free(struct filter *f);
DEFINE_AUTO(filter)

/* `is_descendant` answers for the pid of the filter; NULL where nobody can tell. */
bool filter_match(const struct filter *f, const struct event *ev,
		  bool (*is_descendant)(const struct event *ev, __u32 pid));

/* Does it ask what only the context knows, which then must be fed every record? */
bool filter_needs_context(const struct filter *f);
/* Could an event of this kind match? */
bool filter_wants_kind(const struct filter *f, __u16 id);
