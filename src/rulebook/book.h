/* SPDX-License-Identifier: Apache-2.0 */
/*
 * book - rules as people keep them: one file or a folder of them, each with a query and all that a match must say.
 *
 * Three kinds of files are read: our own (YAML or JSON, docs/rules.md), Sigma (YAML), and Elastic's detection rules
 * (TOML). All lower into the same IR. A book is read whole: what is wrong with a rule is told with its place, and
 * who reads the book says whether it then runs without that rule (import) or not at all (an agent's own folder).
 *
 * Everything in a file is a stranger's: bytes, rules, depth and counts are bounded.
 */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/buf.h"
#include "base/mem.h"
#include "event/event.h"
#include "predicate/script.h"
#include "rule/macro.h"
#include "rule/rule.h"

enum {
	BOOK_FILES_MAX = 65536,
	BOOK_FILE_MAX = 1 << 20, /* bytes of one file */
	BOOK_RULES_MAX = 65536,
	BOOK_ID_MAX = 128,
	BOOK_TEXT_MAX = 8192,        /* bytes of a description and the like */
	BOOK_LIST_MAX = 64,          /* tags, references, techniques, exceptions, tests of one rule */
	BOOK_LIST_ITEMS_MAX = 65536, /* of a list that a script looks values up in */
	BOOK_TEST_EVENTS_MAX = 256,
};

enum book_severity { BOOK_INFORMATIONAL, BOOK_LOW, BOOK_MEDIUM, BOOK_HIGH, BOOK_CRITICAL };
extern const char *const book_severity_names[]; /* NULL-terminated */
/* What a severity means in numbers from 1 to 100 where the rule does not say: 5, 21, 47, 73, 99. */
uint8_t book_risk_of(enum book_severity severity);
/* The other way: the one whose number is nearest. */
enum book_severity book_severity_of(unsigned risk);

enum book_source { BOOK_OWN, BOOK_SIGMA, BOOK_ELASTIC };
extern const char *const book_source_names[];

enum book_mode {
	BOOK_DETECT, /* an alert */
	BOOK_INLINE, /* asked before the action goes on; an alert as well */
	BOOK_OFF,
};
extern const char *const book_mode_names[];

/* A technique of MITRE ATT&CK, as in TA0003, T1053 and T1053.003. Names come from our own table, or the file. */
struct book_attack {
	const char *tactic_id, *tactic;       /* NULL: not said */
	const char *technique_id, *technique; /* NULL: only the tactic */
	const char *sub_id, *sub;             /* NULL: none */
};

/* Alerts of one rule that are equal in all of `by` are folded into the first, for so long. */
struct book_throttle {
	uint64_t for_ns; /* 0: none */
	const field_id *by;
	size_t n_by; /* 0: the rule alone */
};

struct program;
struct book_exception {
	const char *name, *reason;
	struct query *where;     /* QUERY_CONDITION: an event of the match for which it is true makes it no alert */
	struct program *program; /* that works it out: any thread, each with a scratch of its own */
};

struct book_test {
	const char *name;
	const char *const *events; /* JSON, in the order of the file, each with its @timestamp */
	size_t n_events;
	uint32_t matches; /* so many times it must match; 0: it must not */
	unsigned line, column;
};

struct book_rule {
	const char *id, *name;
	const char *version;     /* "1" unless said */
	const char *description; /* any of these NULL: not said */
	const char *author, *license;
	const char *false_positives, *next; /* what an innocent match looks like; what to look at then */
	const char *const *references, *const *tags;
	size_t n_references, n_tags;
	const struct book_attack *attack;
	size_t n_attack;
	const char *const *actions; /* beside the alert: names of responders */
	size_t n_actions;
	enum book_severity severity;
	uint8_t risk; /* 1 to 100 */
	enum book_mode mode;
	enum book_source source;
	struct query *query;
	/* A script has the last word on events that the query found; NULL: the query alone decides. */
	struct script_code *script;
	const char *module; /* the file beside this one that the script is in; NULL: in none */
	struct book_throttle throttle;
	const struct book_exception *exception;
	size_t n_exceptions;
	const struct book_test *test;
	size_t n_tests;
	const char *file; /* and where it begins in it */
	unsigned line, column;
	uint64_t content; /* of all that it means: equal for rules that are the same */
};

/* What is wrong, or worth saying, about a rule of a file. */
struct book_problem {
	const char *file;
	unsigned line, column; /* 0: the file as a whole */
	const char *rule;      /* its id or name, or NULL */
	const char *message;
	const char *feature; /* what is missing in us, a word of docs/rules.md ("new_terms"); NULL: the file is wrong */
	bool is_warning;     /* the rule was loaded all the same */
	bool is_definition;  /* of a macro: these stand before all others, which may follow from them */
};

/* What rules of others need that is not there: each is a row of docs/rules.md. */
struct book_feature {
	const char *name, *doc;
};
extern const struct book_feature book_features[]; /* ends with one that has no name */
const char *book_feature_doc(const char *name);   /* NULL: there is no such feature */

/* Never changes once it is read; holders count references, on any thread. */
struct book {
	atomic_uint refs;
	struct book_rule *rule; /* in the order of ids */
	size_t n_rules;
	struct book_problem *problem; /* in the order of files and lines */
	struct macros *macros;        /* those that were defined */
	size_t n_problems;
	size_t n_wrong; /* problems that are no warnings, those included for which there was no room */
	size_t n_files;
	struct arena arena;
};

struct book_options {
	const struct script_limits *limits; /* of scripts; NULL: the usual ones */
	bool keep_tests;                    /* agents do not need them */
};

/*
 * Reads a file, or a folder with all that is below it (*.yml, *.yaml, *.json, *.ndjson, *.toml; dot files are left
 * out; links to folders are followed where they stand in the folder itself, not further down). Files of macros are
 * those called macros.yml, macros.yaml, macros.json, or NAME.macros.yml and so on: a folder's rules may call all that
 * are defined in it; a file that is named by itself, those beside it and in the folders above. 0 even when rules are
 * wrong: they are among the problems. Negative, with a trail: the path cannot be read, or there is no memory.
 */
int book_read(const char *path, const struct book_options *options, struct book **ret_book);
/* The same from text; `name` is what people know it by, and its ending says what it is. */
int book_read_text(const char *name, const char *text, size_t n, const struct book_options *options,
		   struct book **ret_book);
/* FILE:LINE:COLUMN: RULE: message. */
void book_problem_write(const struct book_problem *problem, struct buf *out);
/* One message that names the first problems and counts the others: -EINVAL with that trail, or 0 when all is well. */
int book_must_be_whole(const struct book *book);
/*
 * Do all events that can take part in one match come to one shard? So it is for single events, and for sequences in
 * which one key is process.entity_id at every stage: the events of one process always share a shard.
 */
bool book_is_local(const struct query *q);
/* The text of a query or condition of the book, with the macros that it calls written out. */
int book_write_out(const struct book *book, const struct query *q, struct buf *out);
const struct book_rule *book_find(const struct book *book, const char *id);
struct book *book_ref(struct book *book);
void book_free(struct book *book); /* one reference */
DEFINE_AUTO(book)
