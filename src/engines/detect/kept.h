/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kept - events that outlive the call: copies of their records, with a reference to the process as it was.
 *
 * In cells of bounded memory, counted by references, one thread at a time. An event that is no typed record with this
 * host's context is kept as its line of JSON, with its record where it has one.
 */
#pragma once
#include "context/context.h"
#include "event/json_event.h"
#include "sequence/cells.h"

struct kept {
	struct cells cells;
	struct buf text;
};

int kept_open(struct kept *k, uint64_t bytes);
/* All events have been dropped. */
void kept_close(struct kept *k);
/* 0: no room, or an event that cannot be kept. */
uint64_t kept_put(struct kept *k, const struct event *ev);
void kept_share(struct kept *k, uint64_t handle);
void kept_drop(struct kept *k, uint64_t handle);

/* Of the event's bytes. */
uint64_t kept_hash(const struct kept *k, uint64_t handle, uint64_t seed);

/* Room for one event that is made again. */
struct kept_room {
	_Alignas(8) unsigned char rec[EV_LEN_MAX];
	struct buf text;
	struct context_view view;
	struct json_event json;
};
int kept_room_new(struct kept_room **ret_room);
void kept_room_free(struct kept_room *room);
DEFINE_AUTO(kept_room)

/* False: its line cannot be read again (no memory). */
bool kept_get(const struct kept *k, uint64_t handle, struct kept_room *room, struct event *ret_event);
