/* SPDX-License-Identifier: Apache-2.0 */
/* rules - what the parts of the verb `rules` share. */
#pragma once
#include "cli/cli.h"
#include "rulebook/book.h"

struct rules_options {
	uint32_t output;
	char *into;
};

/* One call: a book, and what is written about it. */
struct rules_run {
	struct cli *cli;
	const struct rules_options *o;
	struct book *book;
	const char *path, *id; /* the arguments; NULL: not given */
	struct buf out;
};

/* Writes what there is, once it is this much. */
void rules_flush(struct rules_run *r, size_t at);
/* ,"name":"text", where there is one. */
void rules_member(struct rules_run *r, const char *name, const char *text);
/* A line, made safe for a terminal. */
void rules_line(struct rules_run *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void rules_problem(struct rules_run *r, const struct book_problem *p);

/* "event", "sequence", "lua": what a rule is made of. */
const char *rules_kind(const struct book_rule *rule);

/* Warns of fields that no event has, in rules of our own; of one rule, where an id was given. How many there were. */
size_t rules_fields(struct rules_run *r);

struct rules_copied {
	size_t fresh, same, other; /* files: that are there now; that were, with these contents; with others */
};
/* Files whose rules are all good, into the folder of the options. `can_run`: of each rule of the book. */
int rules_copy(struct rules_run *r, const bool *can_run, struct rules_copied *ret_copied);

enum exit_code rules_test(struct rules_run *r);
enum exit_code rules_import(struct rules_run *r);
enum exit_code rules_list(struct rules_run *r);
enum exit_code rules_show(struct rules_run *r);
enum exit_code rules_explain(struct rules_run *r);
