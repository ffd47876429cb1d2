/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lex - the words of a rule, one after the other, each with its place. Strings are decoded into the arena.
 *
 * What the dialects write differently is told apart here: quotes, raw strings, comments.
 */
#pragma once
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "base/arena.h"
#include "rule/rule.h"

enum token_kind {
	TOK_END,
	TOK_NAME,   /* .str; .tilde when a ~ follows at once: like~ */
	TOK_QUOTED, /* `name`, without its quotes: .str */
	TOK_INT,    /* .i */
	TOK_FLOAT,  /* .f; also an integer that is too large for TOK_INT */
	TOK_STRING, /* .str */
	TOK_LPAREN,
	TOK_RPAREN,
	TOK_LBRACKET,
	TOK_RBRACKET,
	TOK_MISSING, /* ![ */
	TOK_COMMA,
	TOK_DOT,
	TOK_PIPE,
	TOK_COLON,
	TOK_ASSIGN, /* = */
	TOK_EQ,
	TOK_NE,
	TOK_LT,
	TOK_LE,
	TOK_GT,
	TOK_GE,
	TOK_PLUS,
	TOK_MINUS,
	TOK_STAR,
	TOK_SLASH,
	TOK_PERCENT,
	TOK_QUESTION,
	TOK_DOLLAR,
};

struct token {
	enum token_kind kind;
	bool tilde;
	size_t at, len; /* bytes of the text */
	union {
		struct str str;
		int64_t i;
		double f;
	};
};

struct lexer {
	const char *text;
	size_t n, at;
	const struct query_options *options;
	struct arena *arena;
	struct diag *diag;
};

static inline bool str_is(struct str s, const char *word)
{
	return s.n == strlen(word) && !memcmp(s.p, word, s.n);
}

static inline bool str_same(struct str a, struct str b)
{
	return a.n == b.n && !memcmp(a.p, b.p, a.n);
}

/* The next word. A negative errno: the diag says what is wrong. */
int lex_next(struct lexer *lx, struct token *ret_token);

/* "name", "`]`", "the end": what people call it in "expected ..., found ...". */
void token_describe(const struct token *t, const char *text, char *to, size_t size);

/* ---- messages (diag.c) -------------------------------------------------------------------- */

/* Says what is wrong at a place, and returns -EINVAL (or what diag_fail() is given). */
int diag_at(struct diag *diag, const char *text, size_t n, size_t at, size_t len, const char *fmt, ...)
	__attribute__((format(printf, 6, 7), cold));
int diag_fail(struct diag *diag, int r, const char *text, size_t n, size_t at, size_t len, const char *fmt, ...)
	__attribute__((format(printf, 7, 8), cold));
int diag_vfail(struct diag *diag, int r, const char *text, size_t n, size_t at, size_t len, const char *fmt, va_list ap)
	__attribute__((format(printf, 7, 0), cold));
/* Line and column of a byte of the text, and nothing else of *diag. */
void diag_place(struct diag *diag, const char *text, size_t n, size_t at);
