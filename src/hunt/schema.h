/* SPDX-License-Identifier: Apache-2.0 */
/*
 * schema - what the fields of foreign events mean: which one is the category, the time and the
 * tiebreaker, which hold dates, addresses, versions, numbers, and what an explicit null stands for.
 *
 * Three are built in, `ecs`, `endgame` and `sigma`, and `none` knows nothing; others are read from small YAML or JSON
 * files, see docs/hunting.md. As in an index that learns its fields from what comes, a field is known when
 * the schema names it or the input has it; ecs takes every name for a known one.
 *
 * Values of an event are brought into their types once, after it was read.
 */
#pragma once
#include "config/report.h"
#include "config/yaml.h"
#include "event/json_event.h"
#include "rule/rule.h"

enum { SCHEMA_FIELDS_MAX = 16384, SCHEMA_FILE_MAX = YAML_BYTES_MAX };

/* What a number in the place of a date counts. */
enum time_unit {
	TIME_AUTO, /* by its size: ms, us, ns since 1970, or 100 ns since 1601 */
	TIME_S,
	TIME_MS,
	TIME_US,
	TIME_NS,
	TIME_FILETIME, /* 100 ns since 1601 */
};
extern const char *const time_unit_names[]; /* NULL-terminated */

struct schema_field {
	char *name;
	field_id id;
	enum rule_type type;
	struct value null_value; /* VALUE_NULL: null stays null. A string is the field's own. */
	char *null_text;
};

struct schema {
	char *category, *timestamp, *tiebreaker; /* NULL: there is none */
	char *no_category;                       /* what an event without one has; NULL: nothing */
	enum time_unit unit;
	bool all_known; /* every name is one of a field */
	bool strict;    /* a field that is not in it is an error */
	bool sigma;     /* fields have the names that Sigma rules have: Image, CommandLine */
	struct schema_field *fields;
	size_t n_fields;
};

/* A built-in one by its name; -ENOENT, with a trail, when there is none. */
int schema_named(const char *name, struct schema **ret_schema);
extern const char *const schema_names[]; /* NULL-terminated */
/* From the text of a file; problems go to `report`, and -EINVAL. */
int schema_read(const char *name, const char *text, size_t n, struct config_report *report, struct schema **ret_schema);
/* From a value in a line of queries: a name, or an object with what a file would have. */
int schema_from_json(const struct json_node *v, struct config_report *report, struct schema **ret_schema);
/* One key of such an object, added to a schema that is there. */
int schema_add(struct schema *s, const char *key, const struct json_node *v, struct config_report *report);
int schema_load(const char *path, struct config_report *report, struct schema **ret_schema);
struct schema *schema_copy(const struct schema *s);
void schema_free(struct schema *s);
DEFINE_AUTO(schema)
/* Do they read events the same way? */
bool schema_equal(const struct schema *a, const struct schema *b);

const struct schema_field *schema_find(const struct schema *s, const char *name, size_t n);

/* Reads events as a schema says. */
struct schema_reader {
	const struct schema *schema;
	field_id category, timestamp, tiebreaker; /* FIELD_NONE: none */
	bool date_too;                            /* the timestamp is a date for rules, too */
	struct arena scratch;

	/* Of the event read last. */
	bool has_time;
	int64_t time_ns; /* since 1970 */
};

/* Interns the names, so that events are read with them. -ENOSPC when there is no room for names. */
int schema_reader_init(struct schema_reader *reader, const struct schema *s, bool date_too);
void schema_reader_free(struct schema_reader *reader);
/* Brings what was read into the schema's types, in place. */
void schema_apply(struct schema_reader *reader, struct json_event *je);

/* Adds a field that it does not have. */
void schema_add_value(struct json_event *je, field_id id, const struct value *v);

/* ---- dates ---------------------------------------------------------------------------------- */

/*
 * Reads a date: RFC 3339, or with parts left out ("2024-05-06", "2024-05-06 07:08"), "06-05-2024", or a number
 * as text. UTC where nothing else is said.
 */
bool time_of_text(const char *p, size_t n, enum time_unit unit, int64_t *ret_ns);
bool time_of_number(int64_t v, enum time_unit unit, int64_t *ret_ns);
