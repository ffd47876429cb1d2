/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lines - an input of JSON lines: which lines it has, and where.
 *
 * A line that is not blank is an event, and its index counts them from zero, whether or not it can be
 * read. Lines in which no needle is found are passed over unread, but counted.
 *
 * Files are read, not mapped: one that is cut short meanwhile ends early and does no harm. What cannot be
 * read twice (a pipe) is first copied to a file without a name in $TMPDIR, or /var/tmp.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/mem.h"
#include "hunt/needle.h"

enum { LINE_BYTES_MAX = 1 << 20 }; /* longer ones are passed over, and counted */

struct line {
	const char *p; /* until the next call */
	size_t n;
	uint64_t index, offset;
};

struct lines {
	char *name; /* as people know it */
	int fd;
	uint64_t size;     /* when it was opened: for showing how far it is */
	uint64_t offset;   /* of buf[0] */
	uint64_t index;    /* of the next event */
	uint64_t too_long; /* lines */
	char *buf;
	size_t at, whole, len; /* next to look at; end of the lines that are whole; end of what was read */
	bool ended, skipping;  /* skipping: the rest of a line that is too long */
	struct needles *needles;
};

/* "-" is stdin. */
int lines_open(const char *path, struct lines **ret_lines);
void lines_free(struct lines *l);
DEFINE_AUTO(lines)

/* An input that is written first: lines that come from elsewhere. Each is put with its end. */
int lines_new(const char *name, struct lines **ret_lines);
int lines_put(struct lines *l, const char *p, size_t n);
/* After the last one. */
int lines_put_end(struct lines *l);

/* Begins again. From now on only lines with one of the needles are handed out; NULL: all. */
void lines_rewind(struct lines *l, struct needles *needles);
/* 1: here is one; 0: that was all; or an error. */
int lines_next(struct lines *l, struct line *ret_line);
/* The bytes of a line that was handed out before. -EIO when they are gone. */
int lines_reread(const struct lines *l, uint64_t offset, size_t n, char *to);
/* How many bytes have been looked at. */
static inline uint64_t lines_done(const struct lines *l)
{
	return l->offset + l->at;
}
