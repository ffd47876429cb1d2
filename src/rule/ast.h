/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ast - a rule as it is written, before anybody asked what it means. Parser to lowering; nobody else.
 *
 * Nodes live in the compiler's arena. Children are linked, and and/or have any number of them, so that neither
 * the parser nor those who walk the tree recurse along a chain; `depth` bounds what is left.
 */
#pragma once
#include "rule/lex.h"

enum ast_op {
	AST_NULL,
	AST_BOOL,
	AST_INT,
	AST_FLOAT,
	AST_STR,
	AST_FIELD,  /* .str: dotted */
	AST_ITEM,   /* kid[.i] */
	AST_MEMBER, /* kid..str */
	AST_AND,
	AST_OR,
	AST_NOT,
	AST_NEG,
	AST_EQ,
	AST_NE,
	AST_LT,
	AST_LE,
	AST_GT,
	AST_GE,
	AST_ADD,
	AST_SUB,
	AST_MUL,
	AST_DIV,
	AST_MOD,
	AST_IN, /* kid against the others; .negated */
	AST_COLON,
	AST_LIKE,
	AST_REGEX,
	AST_CALL,    /* .str: name */
	AST_LINEAGE, /* .lineage, .sub */
	AST_VALUES,  /* all that the event has: KQL's values without a field */
};

struct ast_query;
struct macro;

/*
 * One use of a macro. What stands in its body has places in the macro's text, and its names mean nothing of what the
 * rule around it calls so.
 */
struct ast_call {
	const struct macro *macro;
	const struct ast_call *outer; /* whose body the call stands in; NULL: the rule's own text */
	size_t at, len;               /* of the call, in the text of that one */
	unsigned depth;
};

struct ast {
	uint8_t op;
	bool tilde;    /* in~, like~, name~() */
	bool negated;  /* not in, not like */
	bool optional; /* ?field */
	bool bracketed;
	uint16_t depth;
	uint16_t flags; /* of AST_LIKE and AST_REGEX: those of the node, beside what lowering gives it */
	uint32_t n;     /* kids */
	size_t at, len;
	struct ast *kid, *last, *next;
	const struct ast_call *call; /* in whose body it stands; NULL: the rule's own text */
	union {
		bool b;
		int64_t i;
		double f;
		struct str str;
		struct {
			enum ir_lineage lineage;
			struct ast_query *sub;
		};
	};
};

struct ast_keys {
	struct ast *first, *last; /* linked by next */
	unsigned n;
};

struct ast_term {
	struct ast_term *next;
	size_t at, len;      /* of what the brackets hold */
	struct str category; /* .p NULL: any */
	size_t category_at, category_len;
	struct ast *condition;
	struct ast_keys keys;
	struct str alias; /* .p NULL: none */
	unsigned runs;
	bool missing, fork;
};

struct ast_pipe {
	struct ast_pipe *next;
	enum query_pipe_kind kind;
	size_t at, len; /* of its name */
	struct ast *first, *last;
	unsigned n;
};

struct ast_query {
	enum query_kind kind;
	size_t at, len;  /* of its first word */
	struct str text; /* all of it */
	struct ast_keys keys;
	uint64_t maxspan_ns;
	struct ast_term *first, *last;
	unsigned n_terms;
	struct ast_term *until;
	struct ast_pipe *pipes;
	unsigned n_pipes;
};

/* What the lexer and the parser take for a word of theirs, in any dialect: no field, macro or parameter is called so.
 */
bool rule_is_reserved(struct str word);

/* What the text says: a query, or a bare expression (kind QUERY_CONDITION). */
int rule_parse(const char *text, size_t n, bool expression, const struct query_options *options, struct arena *arena,
	       struct diag *diag, struct ast_query **ret_query);
