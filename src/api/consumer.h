/* SPDX-License-Identifier: Apache-2.0 */
/*
 * consumer - who reads over the API, and how much they may.
 *
 * A consumer is a token, a client certificate, a peer of the unix socket, or (on loopback, when that is allowed)
 * anybody. What it may do never changes once it is made: a reload makes new ones, and holders keep theirs by reference.
 * What it has done so far (struct consumer_usage) is kept by name over reloads.
 */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/mem.h"
#include "config/option.h"

enum role { ROLE_NONE, ROLE_VIEWER, ROLE_OPERATOR, ROLE_ADMIN };

enum { CONSUMER_NAME_MAX = 64, CONSUMER_TYPES_MAX = 64 };

extern const char *const role_names[]; /* at the index of enum role; ends with NULL */
bool role_parse(const char *name, enum role *ret_role);

/* What a consumer has done. Lives as long as the API; any thread. */
struct consumer_usage {
	char name[CONSUMER_NAME_MAX + 1];
	_Atomic uint32_t streams; /* open now */
	_Atomic uint64_t requests, refused, records, lost, rate_limited;
	_Atomic uint64_t event_bucket, request_bucket; /* of bucket_take() */
	_Atomic uint64_t seen_ns;                      /* boot time of the last request */
};

struct consumer {
	char name[CONSUMER_NAME_MAX + 1];
	enum role role;
	struct option_list allow, deny; /* globs of event kinds, "process.*"; an empty allow is all. deny wins */
	uint32_t events_per_s;          /* 0: no bound */
	uint32_t requests_per_s;        /* 0: no bound */
	uint32_t streams_max;           /* 0: the bound of the listener */
	struct consumer_usage *usage;
	_Atomic bool revoked; /* its row has gone or changed: what it has open ends */
	_Atomic unsigned refs;
};

/*
 * A bucket that fills at per_s and holds a second's worth: takes up to n and says how many. per_s 0: all. *at_ns is the
 * bucket, 0 at first; any number of threads may take.
 */
uint64_t bucket_take(_Atomic uint64_t *at_ns, uint64_t per_s, uint64_t n, uint64_t now_ns);

/* Lists of event types. A copy that fails is to be cleared all the same. */
bool types_copy(const struct option_list *from, struct option_list *to);
void types_clear(struct option_list *list);

struct consumer *consumer_ref(const struct consumer *c);
void consumer_free(struct consumer *c); /* one reference */
DEFINE_AUTO(consumer)

/* May it read events of this kind ("process.exec")? To be asked once a kind and stream, not once an event. */
bool consumer_may_read(const struct consumer *c, const char *kind);
/* Takes one of its places for streams; false: it has as many as it may. http_stream() and http_websocket() do this. */
bool consumer_stream_begin(const struct consumer *c);
void consumer_stream_end(const struct consumer *c);
/*
 * How many of n events it may be sent now, at most n; what is not granted is the consumer's loss, to be counted
 * with consumer_count(). A second's worth may come at once.
 */
uint64_t consumer_grant(const struct consumer *c, uint64_t n, uint64_t now_ns);
/* Once a batch, not once an event. */
void consumer_count(const struct consumer *c, uint64_t records, uint64_t lost);
