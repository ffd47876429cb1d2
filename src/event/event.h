/* SPDX-License-Identifier: Apache-2.0 */
/*
 * event - the vocabulary: record kinds, their fields, and one way to read a field of
 * any event.
 *
 * A field table names the fields of a record in ECS terms. Rules, JSON, storage, replay
 * and the reference pages all read it, so a new sensor teaches them all by describing
 * its struct once. Events from elsewhere (JSON lines) answer through the same accessor.
 *
 * Field names are interned once to small numbers; reading the registry takes no lock.
 */
#pragma once
#include "base/buf.h"
#include "event/abi.h"
#include "event/value.h"

enum field_type {
	FT_BOOL, /* __u8 */
	FT_U8,
	FT_U16,
	FT_U32,
	FT_U64,
	FT_I32,
	FT_I64,
	FT_HEX,      /* unsigned of any width, printed as "0x..." */
	FT_OCTAL,    /* unsigned of any width, printed as "0755": file modes */
	FT_TIME,     /* __u64 CLOCK_BOOTTIME ns, printed as a date */
	FT_DURATION, /* __u64 ns */
	FT_ENUM,     /* unsigned of any width with names */
	FT_FLAGS,    /* unsigned of any width with names a bit, printed as a list */
	FT_CHARS,    /* char[n], NUL-padded */
	FT_STR,      /* struct ev_str */
	FT_STRS,     /* struct ev_str: a list of strings */
	FT_BYTES,    /* struct ev_str, printed as hex */
	FT_STACK,    /* struct ev_str: return addresses */
	FT_ADDR,     /* struct ev_addr */
	FT_ERRNO,    /* __s32: 0 or a positive errno, printed as ["ECONNREFUSED",111] */
	FT_CONST,    /* the same in every record of a kind: event.dataset and the like; not for tables */
};

struct field_name {
	__u64 value;
	const char *name;
};

struct field {
	const char *name; /* ECS where ECS has one */
	enum field_type type;
	__u16 off, size;
	const char *doc;
	const struct field_name *names; /* FT_ENUM, FT_FLAGS: ends with a NULL name */
	bool zero_is_absent;            /* 0 (or an empty string) means: not known, and is not printed */
};

/* .names and .zero_is_absent may follow: FIELD(ev_x, m, "a.b", FT_ENUM, "doc", .names = x_names) */
#define FIELD(s, m, n, t, d, ...)                                                                                      \
	{ .name = (n),                                                                                                 \
	  .type = (t),                                                                                                 \
	  .off = offsetof(struct s, m),                                                                                \
	  .size = sizeof(((struct s *)0)->m),                                                                          \
	  .doc = (d),                                                                                                  \
	  ##__VA_ARGS__ }

struct event_kind {
	__u16 id;
	const char *name;        /* "process.exec": event.dataset */
	const char *struct_name; /* in the BTF of the object */
	size_t size;             /* of the fixed part, head included */
	enum ev_class class;
	const char *category; /* event.category, ECS; several with commas: "network,process" */
	const char *type;     /* event.type, ECS; several with commas */
	const char *action;   /* event.action: one word or a hyphenated few */
	const char *summary;
	const struct field *fields;
	size_t n_fields;
};

/*
 * The fields of struct ev_head, the same for every kind. Every kind also answers for
 * event.kind, event.module, event.dataset, event.category, event.type and event.action.
 */
extern const struct field event_head_fields[];
extern const size_t event_head_n_fields;

/* ---- the registry of kinds -------------------------------------------------------- */

/*
 * Makes a kind known, for good; registering it again changes nothing. Ids and names are
 * unique, and so are a kind's field names, none of which is the parent of another.
 */
int event_kind_register(const struct event_kind *kind);
const struct event_kind *event_kind_of(__u16 id);
const struct event_kind *event_kind_by_name(const char *name, size_t n);
/* All kinds in the order of their registration; NULL after the last. */
const struct event_kind *event_kind_at(size_t i);

/* ---- the registry of field names -------------------------------------------------- */

typedef uint32_t field_id;
enum {
	FIELD_NONE = 0,
	FIELD_MAX = 65536,
	FIELD_FOREIGN_MAX = 49152, /* names from outside leave room for those of tables and rules */
	FIELD_NAME_MAX = 512,
	FIELD_DEPTH_MAX = 16, /* segments between dots */
};

/*
 * Interns a dotted name, for good. FIELD_NONE when it is empty, too long or too deep, no
 * UTF-8, or when the registry is full.
 */
field_id field_intern(const char *name, size_t n);
/* The same for names that a stranger chose: refuses earlier. */
field_id field_intern_foreign(const char *name, size_t n);
/* Looks one up without adding it. Takes no lock. */
field_id field_find(const char *name, size_t n);
/* NULL when there is no such id. */
const char *field_name(field_id id);
/* Ids below this one have names. */
size_t field_count(void);

/*
 * The table row that answers for a name in records of a kind, or NULL: what a program of
 * conditions resolves once, to call event_field_value() or to load directly from then on.
 */
const struct field *event_kind_field(const struct event_kind *kind, field_id id);
/* All rows of a kind that stand in the record, those of the head first. Returns their number. */
size_t event_kind_fields(const struct event_kind *kind, const struct field *const **ret_fields);

/* ---- events ------------------------------------------------------------------------ */

/* What answers for fields that are not in the record: context, or a parsed JSON line. */
struct event_lens {
	/* True when the subject has the field; *ret_value borrows from it. */
	bool (*get)(const void *subject, field_id id, struct value *ret_value);
	/*
	 * Calls fn for each field it has, in the order of field ids, each once. What the values
	 * point to stays until the subject changes: the caller may look at all of them together.
	 */
	void (*each)(const void *subject, void (*fn)(void *ctx, field_id id, const struct value *v), void *ctx);
};

struct event {
	const struct ev_head *rec;     /* NULL: an event that is not a typed record */
	const struct event_kind *kind; /* of rec */
	const struct event_lens *lens; /* may be NULL */
	const void *subject;
};

enum { EVENT_SCRATCH = 256, EVENT_ITEMS = 512 };
/* Room for values that must be made (names of enums, lists); one value at a time. */
struct event_scratch {
	char text[EVENT_SCRATCH];
	struct value items[EVENT_ITEMS]; /* a list has at most so many; what comes after is left out */
};

/*
 * The value of one field: the record's, else the lens's. False, and VALUE_NULL, when the
 * event has no such field (a lens may have a field that is null: true, and VALUE_NULL).
 *
 * Unsigned fields, durations, hex and modes are VALUE_UINT; dates are VALUE_INT, wall time
 * in ns; enums VALUE_STR, or VALUE_UINT when the number has no name; flags and arguments
 * lists of VALUE_STR; stacks lists of VALUE_UINT; an errno the list of its name and number;
 * bytes VALUE_STR as they are. `scratch` may be NULL: then enums, flags and errnos read as
 * their numbers and other lists as VALUE_NULL.
 */
bool event_get(const struct event *ev, field_id id, struct event_scratch *scratch, struct value *ret_value);

/* The value of a table row in a record of its kind. Safe on records from disk: out-of-bounds strings read as absent. */
bool event_field_value(const struct ev_head *rec, const struct field *f, struct event_scratch *scratch,
		       struct value *ret_value);

/*
 * Is this a whole, well-formed record of a known kind? Returns the kind, or NULL. The bytes
 * are aligned to 8. Everything else here trusts a record that has passed, or that a sensor made.
 */
const struct event_kind *event_check(const void *bytes, size_t len);

/*
 * A record of an older agent, made one of today. `fixed` is what the size of its kind was when
 * it was written. Fields are appended, never moved: those that came later are zero or absent,
 * and strings stand behind them. Written to `ret_rec`, EV_LEN_MAX bytes that are aligned to 8
 * and do not overlap the record. Returns the kind, or NULL where this is no sound record of
 * such a kind or becomes too long. A kind that has not grown, or was larger, is copied as it
 * is: what a newer agent appended is not known here, and does no harm.
 */
const struct event_kind *event_widen(const void *bytes, size_t len, size_t fixed, void *ret_rec);

/* A string of the record, bounds-checked; {NULL, 0} when absent. */
struct str event_str(const struct ev_head *rec, struct ev_str s);

/* ---- JSON --------------------------------------------------------------------------- */

enum {
	EVENT_JSON_MAX = 1 << 20,    /* bytes of a line that is read back, and more than any record makes */
	EVENT_LENS_FIELDS_MAX = 1024 /* of a lens that are printed */
};

/*
 * One ECS line, newline included. Bytes that are not UTF-8 print as U+FFFD, and the exact
 * bytes stand in hex under shrike.bytes."<field>", so that the line reads back equal.
 * An event without a record prints what its lens has. Safe on any record that event_check()
 * took. `out->failed` is set when the line does not fit.
 */
void event_to_json(const struct event *ev, struct buf *out);
/* One value as JSON, in the same way. */
void value_write(const struct value *v, struct buf *out);

/*
 * Reads a line that event_to_json wrote back into a record, which it puts in the place of
 * what was in the buffer; fields of the lens are left out. The record is canonical: strings
 * in the order of the table, stacks aligned to 8, no gaps but that. -EINVAL with a trail
 * when it is no such line.
 */
int event_from_json(const char *line, size_t n, struct buf *out_record);

/* Wall clock minus boot time: what turns time_ns into @timestamp. Set at start; replay sets the recording's. */
void event_clock_set(__s64 wall_minus_boot_ns);
__s64 event_clock(void);
