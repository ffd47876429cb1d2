/* SPDX-License-Identifier: Apache-2.0 */
/*
 * maker - how the readers of files fill a book. Not for others.
 *
 * A reader is given one file's text and calls maker_take() for each rule that is good, maker_problem() for what is
 * not. What it allocates for the rule stands in the book's arena; queries and scripts it owns until they are taken.
 * When memory runs out the maker knows, and the reading fails as a whole.
 */
#pragma once
#include "config/yaml.h"
#include "rulebook/book.h"

enum {
	BOOK_BYTES_MAX = 512 << 20,  /* of a book's texts */
	BOOK_PROBLEMS_MAX = 1 << 17, /* what comes after is counted alone */
	BOOK_LINES_MAX = 64 << 20,   /* bytes of one file of lines */
	BOOK_FOLDER_DEPTH_MAX = 32,
};

struct maker {
	struct book *book;
	struct book_options options;
	/* Of the file that is being read: */
	const char *file; /* in the arena; also where a script's file is looked for */
	bool is_file;     /* else the text stands for itself */
	const char *text;
	size_t n;
	size_t rules_cap, problems_cap;
	struct macros *macros; /* those that rules may call; the book's in the end */
	bool is_alone;         /* one file was named, and no folder */
	bool failed;           /* no memory */
	bool too_many;         /* rules */
};

int maker_open(struct maker *m, const struct book_options *options);
/* The book, when r is 0 and all went well; else r or what went wrong. The maker is empty afterwards. */
int maker_close(struct maker *m, int r, struct book **ret_book);

struct place {
	unsigned line, column;
};

char *maker_str(struct maker *m, const char *p, size_t n);
void *maker_zeroed(struct maker *m, size_t n, size_t size);

/* `rule` is copied, and may be NULL. */
void maker_problem(struct maker *m, struct place at, const char *rule, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
void maker_warning(struct maker *m, struct place at, const char *rule, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* What we cannot do: `feature` is a word of docs/rules.md. */
void maker_missing(struct maker *m, struct place at, const char *rule, const char *feature, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));

/* The rule is the book's from then on, with what it owns. */
void maker_take(struct maker *m, struct book_rule *rule);
/* Lets go what a rule owns that was not taken. */
void maker_drop(struct book_rule *rule);

/* Compiles what is in a file; `at` is where its first character stands, `indent` what stands before later lines. */
struct query *maker_query(struct maker *m, struct place at, unsigned indent, const char *rule, bool is_condition,
			  const char *text, size_t n);

/* The same in KQL; `count`: how many events have to come together, NULL: each is a match. */
struct query *maker_kql(struct maker *m, struct place at, unsigned indent, const char *rule,
			const struct query_count *count, const char *text, size_t n);
/* The same of a mapping in Sigma; `find` gives other rules, for correlations. */
struct query *maker_sigma(struct maker *m, struct place at, const char *rule, const struct yaml_node *node,
			  const struct yaml_node *(*find)(void *ctx, const char *name), void *ctx);
/* Of a rule's mapping, but for its tests: they are about it, not of it. */
uint64_t maker_content(const struct yaml_node *rule, uint64_t seed);

/* Its name too, where we know it. Copies the id, which is well written. */
void attack_set_tactic(struct maker *m, struct book_attack *a, const char *id);
void attack_set_technique(struct maker *m, struct book_attack *a, const char *id);

/* ---- readers ---------------------------------------------------------------------------------- */

/* Each reads m->text. */
void own_read(struct maker *m);
void lines_read(struct maker *m);
void elastic_read(struct maker *m);
/* Macros: each file of them is read before any rule, then they are put together. */
void definitions_read(struct maker *m);
int definitions_finish(struct maker *m);
/* Is a file one of macros, by its name? */
bool definitions_is(const char *path);
/*
 * The files of macros that a rule file sees that is named by itself: those beside it and in the folders above, in
 * which nobody but their owners may write. Ends with what `each` returns when that is not 0.
 */
int definitions_around(const char *path, int (*each)(void *ctx, const char *file), void *ctx);
/* Are there Sigma rules among them? Then they are read, and all others left out. */
bool sigma_read_documents(struct maker *m, const struct yaml_node *documents);
