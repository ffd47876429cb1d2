/* SPDX-License-Identifier: Apache-2.0 */
/*
 * report - what is wrong with a configuration: all of it, not only the first.
 *
 * A problem says where (file, line, column), what, and shows the line. The list is
 * bounded (CONFIG_PROBLEMS_MAX); what does not fit is counted. Warnings do not make a
 * configuration invalid.
 */
#pragma once
#include <stdbool.h>
#include <stdio.h>
#include "base/buf.h"

enum { CONFIG_PROBLEMS_MAX = 50 };

struct config_problem {
	bool warning;
	char *file;            /* never NULL */
	unsigned line, column; /* from 1; line 0: the file as a whole */
	char *message;         /* never NULL */
	char *source;          /* the line itself, or NULL */
};

struct config_report {
	struct config_problem problems[CONFIG_PROBLEMS_MAX];
	size_t n;
	size_t n_errors;   /* also those left out */
	size_t n_left_out; /* did not fit */
};

/* A place in a file whose text is at hand: `text` may be NULL. */
struct config_spot {
	const char *file;
	const char *text;
	size_t len;
	unsigned line, column;
};

void config_report_add(struct config_report *report, bool warning, const struct config_spot *spot, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
void config_report_clear(struct config_report *report);
#define auto_report __attribute__((cleanup(config_report_clear)))

/*
 * "FILE:LINE:COL: message" a problem; warnings say so. With `source`, the line and a caret
 * follow, as people want to see it on a terminal.
 */
void config_report_write(const struct config_report *report, bool source, struct buf *out);
/* The same to a stream; shows the lines when it is a terminal. */
void config_report_print(const struct config_report *report, FILE *out);
