/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ir - what a rule means, in one small form that all front ends lower into and all back ends read.
 *
 * A query is an array of nodes (conditions and other expressions), stages that name their nodes by
 * index, and pipes. It never changes once it is compiled; one arena holds all of it, so that it is
 * freed whole and may be read from any thread. rule.md describes it with examples.
 *
 * Meaning in short:
 *  - A value is null, a bool, an integer, a float, a string, an address or a list. What a node makes
 *    of null is null, but where its op says otherwise; and, or, not are three-valued (Kleene).
 *  - IR_TRUTH on a node turns a null result into false. This is the one difference between the
 *    dialects' null rules, made explicit: elastic's leaves carry it, endgame's do not. At the root,
 *    null does not match.
 *  - IR_ANY on a node: of fields that hold a list, any item may satisfy it. It stands on elastic's
 *    leaves. Without it a list is a value like others.
 *  - and, or, not and the root take any value: null is null; false, 0, "" and the empty list are
 *    false, all others true.
 *  - There is one op for one meaning: `a != b` of a plain field is not(a == b), add() is IR_ADD,
 *    wildcard() and `:` are IR_LIKE.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/buf.h"
#include "base/mem.h"
#include "event/event.h"

/* What a stranger's rule may take. The parser says which one was passed. */
enum {
	RULE_TEXT_MAX = 1 << 18, /* bytes of one query */
	RULE_DEPTH_MAX = 128,    /* brackets, not, - and operators within each other; and/or of any length count once */
	IR_DEPTH_MAX = 2 * RULE_DEPTH_MAX + 2, /* nodes within each other: `a != 1` is two of them */
	RULE_NODES_MAX = 1 << 16,              /* of one query; those of lineage have their own */
	RULE_LIST_MAX = 8192,                  /* values of one list, arguments of one call, terms of one and/or */
	RULE_STRING_MAX = 1 << 15,             /* bytes of one string */
	RULE_STAGES_MAX = 64,                  /* of one sequence, sample or join, before runs */
	RULE_RUNS_MAX = 100,                   /* with runs=N */
	RULE_KEYS_MAX = 16,                    /* join keys of a stage */
	RULE_PIPES_MAX = 16,
	RULE_SUBQUERIES_MAX = 32,
	RULE_SUBQUERY_DEPTH_MAX = 8, /* lineage within lineage */
	RULE_VARIABLES_MAX = 8,      /* arraySearch() within each other */
	RULE_ARENA_MAX = 64 << 20,
	MACROS_MAX = 4096,         /* of one folder; what they come to in a rule is bounded by its nodes and depth */
	MACRO_NAME_MAX = 64,       /* bytes; of a parameter's, too */
	MACRO_PARAMETERS_MAX = 8,  /* of one macro */
	MACRO_DEPTH_MAX = 16,      /* macros that call macros */
	MACRO_PARTS_MAX = 1 << 16, /* that macros come to in one query, before it is lowered */
};

enum rule_dialect {
	RULE_ELASTIC,   /* EQL as Elasticsearch means it, and the endpoint's `[...] as e0` with e0.field */
	RULE_ENDGAME,   /* the older reference */
	RULE_ENDPOINT,  /* elastic, and of endgame `descendant of [...]` and its sisters */
	RULE_KQL,       /* no EQL: Kibana's query language, kql.h. Null and lists are as in elastic */
	RULE_SIGMA,     /* no EQL: a rule in YAML, sigma.h. Null is as in elastic */
	RULE_SIGMA_SQL, /* the same as programs read it that make SQL of it */
};

/* What a field is declared to hold, and what an expression results in. */
enum rule_type {
	RULE_UNKNOWN, /* only an event will tell */
	RULE_NULL,    /* the literal */
	RULE_BOOLEAN,
	RULE_NUMBER,  /* integer or float */
	RULE_KEYWORD, /* a string */
	RULE_TEXT,    /* a string in which words are searched; compared like a keyword */
	RULE_DATE,    /* compared as a point in time: ns since 1970 */
	RULE_IP,      /* compared as an address */
	RULE_VERSION, /* compared as 1.10.0 > 1.9 */
	RULE_OBJECT,  /* has fields of its own, no value */
};
const char *rule_type_name(enum rule_type type);

enum ir_op {
	/* Constants. `type` is that of the value. */
	IR_NULL,
	IR_BOOL,  /* .b */
	IR_INT,   /* .i; a date is one with type RULE_DATE, ns since 1970 */
	IR_FLOAT, /* .f */
	IR_STR,   /* .str */

	/* What the event holds. */
	IR_FIELD,  /* .field; `type` is the declared one. IR_OPTIONAL: written ?a.b */
	IR_ITEM,   /* item .i of the list kid 0, from 0; null beyond its end (endgame a[1]) */
	IR_MEMBER, /* .field of the object kid 0: a.b[0].c, or v.c of a variable */
	IR_VAR,    /* .i: the item that arraySearch() or arrayCount() number .i looks at */
	IR_VALUES, /* all texts, numbers and addresses that the event has in any field, as one list */

	/* Of any number of kids, at least two. */
	IR_AND,
	IR_OR,
	/* Of one. */
	IR_NOT,
	IR_IS_NULL, /* true or false, never null; an empty list is null, and one of nulls only */
	IR_NEG,
	/* Of two. IR_FOLD: letters' case does not count. `as` says how the operands are read. */
	IR_EQ,
	IR_NE, /* not IR_EQ, of lists too: no item is equal */
	IR_LT,
	IR_LE,
	IR_GT,
	IR_GE,
	IR_ADD,
	IR_SUB,
	IR_MUL,
	IR_DIV, /* of integers: truncates; by zero: null */
	IR_MOD,
	/* Kid 0 against each of the others, true when any fits. IR_FOLD. */
	IR_IN,    /* equal to one of them. Kids 1.. are constants, mostly */
	IR_LIKE,  /* kids 1.. are IR_STR: patterns of the whole value with * and ?; see IR_STAR, IR_ESCAPE */
	IR_REGEX, /* kids 1.. are IR_STR; of the whole value; see IR_PREFIX, IR_SEARCH */

	IR_CALL,    /* .fn; IR_FOLD */
	IR_LINEAGE, /* .lineage: the event's process stands so to a process of subquery .sub */
};

enum ir_fn {
	IR_FN_NONE,
	IR_BETWEEN,         /* text, left, right[, greedy] */
	IR_CIDR_MATCH,      /* address, block... : constants, checked */
	IR_CONCAT,          /* any... */
	IR_ENDS_WITH,       /* text, end */
	IR_INDEX_OF,        /* text, part[, from] */
	IR_LENGTH,          /* text, or list in endgame */
	IR_NUMBER_OF,       /* number(text[, base]) */
	IR_STARTS_WITH,     /* text, start */
	IR_STRING_OF,       /* string(any) */
	IR_STRING_CONTAINS, /* text, part */
	IR_SUBSTRING,       /* text, from[, to] */
	IR_ARRAY_CONTAINS,  /* endgame: list, value... */
	IR_ARRAY_SEARCH,    /* endgame: list, body; .var is the variable's number: is body true of any item? */
	IR_ARRAY_COUNT,     /* endgame: list, body: of how many? */
	IR_FN_N
};
const char *ir_fn_name(enum ir_fn fn);

enum ir_flag {
	IR_TRUTH = 1 << 0,    /* null reads as false */
	IR_ANY = 1 << 1,      /* any item of a list */
	IR_FOLD = 1 << 2,     /* letters' case does not count (Unicode simple folding) */
	IR_OPTIONAL = 1 << 3, /* of IR_FIELD: need not be known to the schema */
	IR_STAR = 1 << 4,     /* of IR_LIKE: ? is an ordinary letter */
	IR_ESCAPE = 1 << 5,   /* of IR_LIKE: a backslash takes the meaning of *, ? and backslash away */
	IR_PREFIX = 1 << 6,   /* of IR_REGEX: matches when the beginning of the value does (endgame match()) */
	IR_SEARCH = 1 << 7,   /* of IR_REGEX: matches when any part of the value does */
	/* of IR_REGEX: \d \w \s \b ^ $ *? and (?i) as Perl and Python have them, not Lucene's syntax */
	IR_PERL = 1 << 8,
};

enum ir_lineage {
	IR_CHILD,      /* its parent is */
	IR_DESCENDANT, /* its parent is, or one of the parent's is */
	IR_EVENT,      /* itself is: an event of the process */
};

/* Nodes are named by their index; 0 is no node. */
typedef uint32_t ir_ref;

/* A field load: which, of which event. */
struct ir_field {
	const char *name;
	field_id id;
	uint16_t len;
	/*
	 * -1: the event that is looked at. Else, in pipes after a sequence or join, events[N]; in a
	 * stage's condition, the event that stage N took (`as e0`, e0.field): of runs, the newest.
	 */
	int16_t event;
};

struct ir_node {
	uint8_t op;   /* enum ir_op */
	uint8_t type; /* enum rule_type of the result */
	uint8_t as;   /* of IR_EQ .. IR_GE and IR_IN: RULE_DATE, RULE_IP, RULE_VERSION, or RULE_UNKNOWN: as they are */
	uint8_t fn;   /* enum ir_fn of IR_CALL */
	uint16_t flags;
	uint32_t n;        /* kids */
	uint32_t at;       /* where in the text it began: bytes; UINT32_MAX: nowhere */
	const ir_ref *kid; /* of each */
	union {
		bool b;
		int64_t i;
		double f;
		struct str str; /* NUL-terminated too */
		struct ir_field field;
		uint32_t var;
		struct {
			uint32_t sub; /* index into query.subqueries */
			uint32_t lineage;
		};
	};
};

struct query_key {
	ir_ref expr;
	bool optional; /* null is a key like others */
};

struct query_stage {
	const char *category;  /* NULL: any */
	ir_ref condition;      /* never 0 */
	struct query_key *key; /* query.n_keys of them: those of `by` at the head first */
	bool missing;          /* ![...] */
	bool fork;             /* endgame: the state before it is kept */
	uint32_t runs;         /* so many matches one after the other; 1 unless said */
	const char *alias;     /* as NAME, or NULL */
};

enum query_kind {
	QUERY_CONDITION, /* a bare expression: one stage without category */
	QUERY_EVENT,     /* one stage */
	QUERY_SEQUENCE,
	QUERY_SAMPLE,
	QUERY_JOIN, /* endgame */
};

enum query_pipe_kind {
	PIPE_HEAD, /* .count */
	PIPE_TAIL,
	/* endgame; args are expressions over what comes down the pipe */
	PIPE_FILTER, /* one arg */
	PIPE_COUNT,  /* none or more: events {count, percent, key} */
	PIPE_UNIQUE,
	PIPE_UNIQUE_COUNT, /* first event of each, with count and percent added */
	PIPE_SORT,
};

struct query_pipe {
	enum query_pipe_kind kind;
	uint64_t count;
	ir_ref *arg;
	uint32_t n_args;
};

enum { QUERY_NO_SPAN = 0 };

struct query {
	enum query_kind kind;
	enum rule_dialect dialect;
	bool fold; /* endgame: categories and join keys compare without case */

	const struct ir_node *node; /* node[0] is none */
	uint32_t n_nodes;

	struct query_stage *stage;
	uint32_t n_stages;
	uint32_t n_keys;           /* of every stage, and of until */
	struct query_stage *until; /* or NULL */
	uint64_t maxspan_ns;       /* QUERY_NO_SPAN: none */

	struct query_pipe *pipe;
	uint32_t n_pipes;

	struct query *const *subqueries; /* of IR_LINEAGE: QUERY_EVENT each, whole queries of their own */
	uint32_t n_subqueries;

	field_id category_field; /* where the category stands: event.category unless the schema says otherwise */
	const char *text;        /* what it was compiled from, or NULL */
	size_t text_len;
	uint64_t macros; /* of what the macros say that the text calls; 0: it calls none */

	struct arena arena; /* all of the above. Not for readers. */
};

static inline const struct ir_node *ir_at(const struct query *q, ir_ref ref)
{
	return &q->node[ref];
}

/* Is it a constant (IR_NULL .. IR_STR)? */
static inline bool ir_is_const(const struct ir_node *n)
{
	return n->op <= IR_STR;
}

void query_free(struct query *q);
DEFINE_AUTO(query)

/*
 * Two nodes that mean the same, possibly of different queries: what one predicate can answer for both.
 * ir_hash() is equal for such nodes, the same in every process.
 */
bool ir_same(const struct query *qa, ir_ref a, const struct query *qb, ir_ref b);
uint64_t ir_hash(const struct query *q, ir_ref ref);

/* The IR as text, for people and tests: (and (== process.name "sh") (not (is-null user.id))). One line. */
void ir_print(const struct query *q, ir_ref ref, struct buf *out);
/* The whole query, several lines. */
void query_print(const struct query *q, struct buf *out);
