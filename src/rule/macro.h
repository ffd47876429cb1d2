/* SPDX-License-Identifier: Apache-2.0 */
/*
 * macro - conditions that have a name: what many rules say in the same sense is written once, and called.
 *
 *	is_shell(path): path in ("/bin/sh", "/bin/bash")
 *	process where is_shell(process.executable) and not is_shell(process.parent.executable)
 *
 * A macro is an expression with parameters. Where it is called, a copy of its tree stands with the arguments in the
 * place of the parameters: what is compiled is what it would be written out, so that all that is done with conditions
 * (index, sharing, explaining) knows nothing of macros. It is a tree that is put in and not a text, so brackets are
 * never needed around an argument, and names in the body mean nothing of the rule around it: no term's `as` name, no
 * variable of arraySearch().
 *
 * Macros may call each other, but not in a circle. What one says of itself may replace what another file says, and then
 * its own name in its body calls the one that it replaces.
 *
 * Sets are made once, by one thread, and never change after macros_finish().
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/mem.h"
#include "rule/rule.h"

struct macros;
struct ast;

struct macro {
	const char *name, *description; /* NULL: not said */
	const char *const *parameter;
	unsigned n_parameters;
	const char *text; /* the expression */
	size_t n;
	bool replaces;              /* stands in the place of another of its name */
	const char *file;           /* what people know the place by; */
	unsigned line, column;      /* of its name in there, */
	unsigned text_line, indent; /* of the text's first line, and how far the others are moved in; */
	unsigned text_column;       /* of the text's first character */

	/* Not for those who add one: */
	const struct ast *body;
	const struct macro *replaced; /* NULL: none */
	uint64_t content;             /* of what it says by itself */
	const struct macro *wrong;    /* it was told of: the macro itself, or one that it calls; NULL: all is well */
	uint8_t mark, height;         /* of macros within it, while circles are looked for */
};

/* What is wrong with one of them, with its place in the file. */
typedef void macro_wrong_fn(void *ctx, const struct macro *macro, unsigned line, unsigned column, const char *message);

int macros_new(struct macros **ret_macros);
void macros_free(struct macros *m);
DEFINE_AUTO(macros)

/* Copies it. What is wrong with it is told, and no failure; -E2BIG, -ENOMEM with a trail. */
int macros_add(struct macros *m, const struct macro *macro, macro_wrong_fn *wrong, void *ctx);
/* All are there: looks for twins, circles, and calls that cannot be. Failures as above. */
int macros_finish(struct macros *m, macro_wrong_fn *wrong, void *ctx);

/* In the order of names; NULL after the last. */
const struct macro *macros_at(const struct macros *m, size_t i);
/* The one that is called by this name; NULL: there is none. */
const struct macro *macros_find(const struct macros *m, const char *name, size_t n);

/*
 * The text of a query or a condition with all that it calls written out, for people. It compiles without macros to
 * what `text` compiles to with them, but for names that only a body may use (see above).
 */
int macros_write_out(const char *text, size_t n, bool is_condition, const struct query_options *options,
		     struct diag *reterr_diag, struct buf *out);
