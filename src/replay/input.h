/* SPDX-License-Identifier: Apache-2.0 */
/*
 * input - what is replayed, one item after the other, whatever file it is in: a recording (a
 * segment or a folder of them), JSON lines, or a capture of packets.
 *
 * A line of JSON that an agent printed becomes the record that it was; another one stays an
 * event of its own schema. Nothing is asked of this host: boot, clock, names come from the input,
 * or are not known.
 */
#pragma once
#include "base/mem.h"
#include "event/event.h"

struct input_origin {
	char boot_id[37];
	__s64 wall_minus_boot_ns;
};

struct input_item {
	const struct ev_head *rec; /* NULL: an event of another schema */
	struct str line;           /* of JSON input */
	bool has_context;          /* the line says itself what a context would */
	int64_t wall_ns;           /* when it happened; where the event does not say, when the one before it did */
	bool origin_is_new;        /* the item and those after it are of input_origin() as it is now */
};

enum input_format { INPUT_RECORDING, INPUT_JSON, INPUT_CAPTURE };

struct input_stats {
	uint64_t items;
	uint64_t unreadable; /* lines that are no event, records that are none */
	uint64_t too_long;   /* lines */
	uint64_t torn_bytes; /* at the end: left out */
	uint64_t damaged;    /* blocks that were left out */
	uint64_t lost;       /* records that the recorder said it had lost */
	uint64_t done, size; /* bytes, for showing how far it is; size 0: not known */
};

struct input;
/* "-" is stdin, with JSON lines. `schema` is one of schema_names[], for events of others. */
int input_open(const char *path, const char *schema, struct input **ret_input);
void input_free(struct input *in);
DEFINE_AUTO(input)
enum input_format input_format(const struct input *in);
const struct input_origin *input_origin(const struct input *in);
/* 1 and an item, which stays until the next call; 0 at the end; or an error with a trail. */
int input_next(struct input *in, struct input_item *ret_item);
void input_stats(const struct input *in, struct input_stats *ret_stats);
