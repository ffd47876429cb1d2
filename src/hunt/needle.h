/* SPDX-License-Identifier: Apache-2.0 */
/*
 * needle - finds the next place of any of a few texts, far faster than lines can be parsed.
 *
 * What a hunt reads is mostly lines that cannot match. A set of needles holds texts of which a line
 * that matches must have at least one; everything up to the next place of one of them is passed over
 * at the speed of memory. Upper and lower case of ASCII letters can be taken as one.
 *
 * Each needle remembers where it was found last, so a text is searched once a needle, however
 * often it is asked.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NEEDLES_MAX = 12, NEEDLE_BYTES_MAX = 64 };

struct needle {
	char text[NEEDLE_BYTES_MAX]; /* lower case where `fold` says so */
	size_t n;
	bool fold;
	uint8_t rare, other; /* where its two rarest bytes are */
	const char *next;    /* where it is, at or after the place that was asked for last; the end: nowhere */
};

struct needles {
	struct needle items[NEEDLES_MAX];
	size_t n;
	const char *at, *end; /* of the text */
};

/* False when there is no room for it, or it is empty or too long. One that is there already is not added again. */
bool needles_add(struct needles *set, const char *text, size_t n, bool fold);
/* A new text, to be searched from its beginning. */
void needles_begin(struct needles *set, const char *text, const char *end);
/* The first place of any of them at or after `from`, which never goes back; the end of the text when there is none. */
const char *needles_next(struct needles *set, const char *from);

/* One needle of a set, alone; the end when it is not there. */
const char *needle_find(const struct needle *needle, const char *at, const char *end);
/* How many there are of one byte. */
size_t needle_count(const char *at, const char *end, char c);
