/* SPDX-License-Identifier: Apache-2.0 */
/* internal - what the files of event/ share and nobody else needs. */
#pragma once
#include <stdatomic.h>
#include "base/json.h"
#include "base/utf8.h"
#include "event/event.h"

/* A name, and how it begins a member in nested JSON: "process.pid" is `"process":{"pid":`. */
struct field_path {
	const char *name, *text;
	__u16 len, text_len;
	__u16 depth;               /* segments */
	__u16 at[FIELD_DEPTH_MAX]; /* where in text each segment begins */
};

/* NULL when there is no such id. */
const struct field_path *field_path(field_id id);
/* How many leading segments two paths have in common. */
unsigned field_path_common(const struct field_path *a, const struct field_path *b);
/*
 * The order of printing: objects stay together, a parent before its members, and what is
 * under "shrike" last, because by then it is known which bytes must be added there.
 */
int field_path_compare(const struct field_path *a, const struct field_path *b);

/* One field in the printing plan of a kind. */
struct plan_row {
	const struct field *field;
	const struct field_path *path;
	field_id id;
	field_id bytes_id;      /* of "shrike.bytes.<name>"; FIELD_NONE where bytes can hold no text */
	const char *fixed_text; /* FT_CONST: its value in JSON */
	size_t fixed_len;
	__u8 common; /* segments that it shares with the row before */
};

enum { KIND_FIELDS_MAX = 192 };

/* What is worked out once for each kind. */
struct kind_info {
	const struct event_kind *kind;
	size_t n_rows;
	struct plan_row *rows;         /* in the order of printing */
	const struct field **in_order; /* all that are stored, in the order of the tables, head first */
	const struct plan_row **in_order_rows;
	size_t n_in_order;
	const struct field **strings; /* of these, the ones that point to bytes behind the fixed part */
	size_t n_strings;
	struct {
		field_id id;
		__u16 row;
	} *by_id; /* open addressing */
	unsigned id_mask;
};

const struct kind_info *kind_info(const struct event_kind *kind);
const struct plan_row *kind_row(const struct kind_info *info, field_id id);

static inline bool field_is_ev_str(const struct field *f)
{
	return f->type == FT_STR || f->type == FT_STRS || f->type == FT_BYTES || f->type == FT_STACK;
}

/* An unsigned of the field's width. */
static inline __u64 field_load(const struct ev_head *rec, const struct field *f)
{
	const char *p = (const char *)rec + f->off;
	__u64 v64;
	__u32 v32;
	__u16 v16;

	switch (f->size) {
	case 1:
		return (__u8)*p;
	case 2:
		memcpy(&v16, p, sizeof(v16));
		return v16;
	case 4:
		memcpy(&v32, p, sizeof(v32));
		return v32;
	default:
		memcpy(&v64, p, sizeof(v64));
		return v64;
	}
}

static inline struct ev_str field_load_str(const struct ev_head *rec, const struct field *f)
{
	struct ev_str s;

	memcpy(&s, (const char *)rec + f->off, sizeof(s));
	return s;
}

/* Is the value one that is not known, and so not there? */
bool field_is_absent(const struct ev_head *rec, const struct field *f);
const char *field_value_name(const struct field *f, __u64 v);
/* "ECONNREFUSED", or NULL; and back, -1 when there is none of that name. */
const char *errno_name(int e);
int errno_of(const char *name, size_t n);
