/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit - who read what over the API: JSON lines in a file of mode 0600 that rotates by size.
 *
 * A request is a line when it ends; one that streams has a line when it begins too ("event":"begin"), since it may run
 * for months. Lines are written by one write each and may be lost to a full disk, which is counted and told in the
 * next line that could be written. Any thread.
 */
#pragma once
#include <stdint.h>
#include "base/buf.h"
#include "base/mem.h"

struct audit;

struct audit_line {
	const char *event; /* "begin", "end", "refused" */
	const char *consumer, *role, *peer, *method, *path, *filter;
	const char *protocol;
	unsigned status;
	uint64_t records, lost, bytes, ms;
};

/* path "": no audit log; then all else does nothing. `keep`: rotated files, path.1 the newest. */
int audit_open(const char *path, uint64_t bytes_max, unsigned keep, struct audit **ret_audit);
void audit_free(struct audit *a);
DEFINE_AUTO(audit)
void audit_write(struct audit *a, const struct audit_line *line);
/* The file was moved away by somebody else: go on in a new one. */
void audit_reopen(struct audit *a);
/* Lines written, and lines that could not be. */
void audit_sums(struct audit *a, uint64_t *ret_written, uint64_t *ret_failed);
