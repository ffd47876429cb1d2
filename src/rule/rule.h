/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rule - from the text of a rule to its IR, or to one message that helps.
 *
 * The text is untrusted: bytes, depth, counts and time are bounded (ir.h names the maxima). All that can be
 * known is checked here, before any event: syntax, types, arguments of functions, fields against the schema,
 * regular expressions excepted (who runs them compiles them).
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "base/buf.h"
#include "rule/ir.h"

enum { DIAG_MESSAGE_MAX = 256, DIAG_HINT_MAX = 96, DIAG_WITHIN_MAX = 512 };

/* What is wrong with a rule, and where. */
struct diag {
	unsigned line, column; /* from 1; columns count characters */
	size_t at, len;        /* the same in bytes of the text; len: what the caret underlines, may be 0 */
	bool unknown_call;     /* of a function or a macro that there is not */
	char message[DIAG_MESSAGE_MAX];
	char hint[DIAG_HINT_MAX];     /* the nearest known name, or "" */
	char within[DIAG_WITHIN_MAX]; /* the macro that the place calls and in which it is wrong, with its file; or ""
				       */
	const char *feature; /* a word of docs/rules.md: it may be right, but needs what is not there; or NULL */
};

/*
 * message; did you mean "hint"?; in the macro "x", FILE:LINE:COLUMN
 */
void diag_say(const struct diag *diag, struct buf *out);
/*
 * For people:
 *	NAME:LINE:COLUMN: what diag_say() says
 *	  the line
 *	     ^~~~
 * `name` is what they know the text by. The line is cut around the place when it is long, and control
 * characters in it are shown as blanks.
 */
void diag_write(const struct diag *diag, const char *name, const char *text, size_t n, struct buf *out);

struct rule_schema {
	const void *subject;
	/* Is there such a field, and of what type? NULL: all are known, of RULE_UNKNOWN. */
	bool (*field)(const void *subject, const char *name, size_t n, enum rule_type *ret_type);
	/* The i-th field's name, NULL after the last: for hints. May be NULL. */
	const char *(*name)(const void *subject, size_t i);
	/* Is there such an event category? NULL: all are known. */
	bool (*category)(const void *subject, const char *name, size_t n);
};

struct macros;
/*
 * Events that have to come together: a query for single events becomes one for so many of them. An event that lacks
 * one of the fields is not counted. At most RULE_RUNS_MAX events; or two, of which one field has two values.
 */
struct query_count {
	const char *const *by; /* fields that are equal in all of them */
	size_t n_by;
	uint32_t at_least; /* 1 or more */
	uint64_t span_ns;  /* within so long */
	const char *other; /* a field that is another in the second of two events, or NULL */
};

struct query_options {
	enum rule_dialect dialect;
	const struct rule_schema *schema; /* NULL: everything is known */
	const char *category_field;       /* NULL: event.category; endgame: event_type */
	const char
		*timestamp_field; /* NULL: @timestamp; always RULE_DATE in elastic, when the schema does not know it */
	/* endgame: none of what was added later: : in~ like regex ?field runs ![ sample as $ and raw strings */
	bool strict_endgame;
	bool case_sensitive;      /* endgame: its other mode, in which == and in and functions do not fold */
	bool implied_any;         /* a query may be a bare expression: any where it */
	const char *implicit_key; /* a field that every sequence is joined by, before its own keys; NULL: none */
	/* What may be called like a function, by the dialects elastic and endpoint (macro.h); NULL: none. */
	const struct macros *macros;
	const struct query_count *count; /* of the events that the query finds; NULL: each counts by itself */
};

/*
 * Compiles a whole query: an event query, a sequence, a sample, a join. -EINVAL: *reterr_diag says why;
 * -E2BIG: beyond a maximum, and *reterr_diag says which; -ENOMEM, with a diag too. Every failure leaves a trail
 * of one line as well. `options` NULL: elastic, no schema.
 */
int query_compile(const char *text, size_t n, const struct query_options *options, struct diag *reterr_diag,
		  struct query **ret_query);

/* Compiles a bare expression, such as a filter: kind QUERY_CONDITION, stage[0].condition. */
int condition_compile(const char *text, size_t n, const struct query_options *options, struct diag *reterr_diag,
		      struct query **ret_query);

/*
 * The same, of which only the value counts, as in "7 / 2" or "length(process.name)": no need to be a
 * condition, and IR_TRUTH is set nowhere. What constants come to is for the evaluator.
 */
int expression_compile(const char *text, size_t n, const struct query_options *options, struct diag *reterr_diag,
		       struct query **ret_query);
