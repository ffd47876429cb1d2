/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proto_event - records as protobuf: the message of each kind, and one fast way to write it.
 *
 * The messages are made from the field tables, so that a new field of a sensor is exported without
 * anybody's doing. Numbers are for good: proto_numbers.c lists all that were ever given, `make
 * reference` appends to it, and a field that is not in it yet gets the number that it would get there.
 *
 * RawEvent has the fields of the head, and one of a oneof for each kind, whose number is the kind's
 * record id. Names are those of the table with dots as underscores.
 *
 * A record is written by a plan that is made once a kind: which bytes are which field, with its tag
 * ready. Strings must be UTF-8 in protobuf: other bytes are written as U+FFFD, and as they are
 * in RawEvent.exact.
 */
#pragma once
#include "api/proto.h"
#include "event/event.h"

/* The fields of RawEvent that are not of a record, and their bounds. */
enum {
	RAW_CURSOR = 1,
	RAW_LOST = 2,
	RAW_HEAD_FIRST = 3, /* fields of the head, from here */
	RAW_HEAD_LAST = 99,
	RAW_SAMPLED = 100,
	RAW_RECORD = 101,
	RAW_EXACT = 102,
	RAW_KIND_FIRST = 256, /* record ids, from here */

	PROTO_HEAD = 0, /* stands for the head where a kind's id stands */
};

struct proto_number {
	__u16 kind; /* record id, or PROTO_HEAD */
	__u16 number;
	const char *field, *type;
};
extern const struct proto_number proto_numbers[];
extern const size_t proto_n_numbers;

/* Makes the messages and plans, once; any thread. Fails only where tables are wrong, or memory is out. */
int proto_event_open(void);
extern struct proto_message proto_raw_event;
extern const struct proto_message proto_exact_bytes;
/* The messages of the kinds in the order of record ids; the i-th's kind goes to *ret_kind. NULL after the last. */
const struct proto_message *proto_event_kind(size_t i, const struct event_kind **ret_kind);
/* The row of the table behind a field of such a message; NULL: of none. `message` may be that of RawEvent. */
const struct field *proto_event_field(const struct proto_message *message, size_t i);

/* What the list of numbers says of a field's type: another type is another number. */
void proto_event_type(const struct field *f, char *to, size_t size);

/* What is said of a record beside what is in it. Zeros are left out. */
struct proto_event_meta {
	__u64 cursor, lost;
	__u32 sampled;
	bool with_record;
};

/*
 * A byte of a string becomes at most eight: an empty argument is a NUL and becomes a tag and a length, a byte
 * that is no UTF-8 three and once more itself.
 */
enum { PROTO_BYTE_MOST = 8 };
extern size_t proto_event_most; /* of all fields of any kind, without what their strings hold */

/* The most bytes that a record of this length becomes, whatever its kind. */
static inline size_t proto_event_bound(const struct ev_head *rec, bool with_record)
{
	return proto_event_most + (PROTO_BYTE_MOST + (size_t)with_record) * rec->len;
}

/*
 * Writes the content of a RawEvent, at most proto_event_bound() bytes, and returns its end. The record
 * has passed event_check(), or a sensor made it; of a kind without a table, the head and the record itself are written.
 */
unsigned char *proto_event_write(const struct ev_head *rec, const struct proto_event_meta *meta, unsigned char *to);
/* The same without a record: what is to be said when nothing follows. */
unsigned char *proto_event_note(const struct proto_event_meta *meta, unsigned char *to);
enum { PROTO_NOTE_MAX = 64 };
