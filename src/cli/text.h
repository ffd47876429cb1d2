/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text - putting words on a terminal: safe, wrapped, in columns.
 *
 * Whatever comes from an event was chosen by whoever it reports on. text_safe() lets through
 * what is printable and writes the rest as \xNN or \uNNNN: no control characters, no escape
 * sequences, nothing that turns the direction of writing or that cannot be seen.
 */
#pragma once
#include "base/buf.h"
#include "event/value.h"

void text_safe(struct buf *out, const char *p, size_t n);
/* The same, quoted as a shell would read it where it has blanks or quotes in it, or is empty. */
void text_word(struct buf *out, const char *p, size_t n);
/* A line of JSON: what a terminal would act on, or what is no UTF-8, becomes \uNNNN. The value stays the same. */
void text_safe_json(struct buf *out, const char *p, size_t n);

/* Columns that a terminal needs for it. */
size_t text_width(const char *p, size_t n);

/*
 * Paragraphs ("\n\n" between them), wrapped at TEXT_WIDTH and indented. `at` says in which
 * column the first line begins. A line that begins with a blank is left as it is.
 */
enum { TEXT_WIDTH = 80 };
void text_wrap(struct buf *out, const char *text, size_t at, size_t indent);

/* The same, wrapped at `width` columns. */
void text_wrap_at(struct buf *out, const char *text, size_t at, size_t indent, size_t width);

/* "1.5s", "320ms", "12us": three digits or so, for people. */
void text_duration(struct buf *out, uint64_t ns);
/* "1.5 MiB" */
void text_bytes(struct buf *out, uint64_t bytes);
/* "12.3k": a number that must stay short. */
void text_short(struct buf *out, double v);

/* ---- columns ------------------------------------------------------------------------- */

enum { TABLE_COLUMNS_MAX = 16, TABLE_BYTES_MAX = 4 << 20 };

/* Cells are given row by row; widths are found when it is printed. A title that begins with '>' aligns right. */
struct table {
	const char *const *titles; /* NULL-terminated */
	size_t columns, cells;
	struct buf text; /* cells, each with its NUL */
	size_t width[TABLE_COLUMNS_MAX];
};

void table_init(struct table *t, const char *const *titles);
void table_free(struct table *t);
/* Made safe; an empty cell prints as "-". */
void table_cell(struct table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void table_print(const struct table *t, size_t indent, struct buf *out);
#define auto_table __attribute__((cleanup(table_free)))
