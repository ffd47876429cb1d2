/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pipes - what happens to matches on their way out: head, tail, filter, unique, unique_count, count, sort.
 *
 * head closes early: when it has let through as many as it may, what comes after it is told that this was the end, and
 * nothing more is taken. What has to wait for the end is copied, in bounded memory; what finds no room there is
 * counted and lost.
 */
#pragma once
#include "sequence/machine.h"

/* A match on its way. What it points to is borrowed. */
struct pipe_row {
	enum runner_kind kind;
	const struct runner_slot *slots;
	size_t n_slots;
	int64_t start_ns, end_ns;
	const void *key; /* packed join keys */
	size_t key_len;
	const struct machine_capture *captures; /* what was remembered of its events */
	size_t n_captures;
	bool counted;
	uint64_t count;
	double percent;
	const void *counted_key; /* packed: of RUNNER_ROW, what was counted; NULL: all */
	size_t counted_key_len;
};

struct pipes_options {
	uint64_t memory; /* bytes that may be kept */
	bool fold;       /* keys join without case */
	uint64_t seed;
	/* An argument's value for a row; it lives until the next call. */
	void (*value)(void *ctx, ir_ref arg, const struct pipe_row *row, struct value *ret_value);
	/* Is a filter's argument true? */
	bool (*test)(void *ctx, ir_ref arg, const struct pipe_row *row);
	void (*out)(void *ctx, const struct pipe_row *row);
	void *ctx;
};

struct pipes;
/* Of the query, which is borrowed. -ENOMEM. */
int pipes_new(const struct query *q, const struct pipes_options *options, struct pipes **ret_pipes);
void pipes_free(struct pipes *p);
DEFINE_AUTO(pipes)

/* The query was compiled again: the same pipes, in memory of the new one. */
void pipes_replace(struct pipes *p, const struct query *q);

void pipes_put(struct pipes *p, const struct pipe_row *row);
/* There is no more. Later calls do nothing. */
void pipes_end(struct pipes *p);
/* Nothing that is put changes anything any more. */
bool pipes_are_closed(const struct pipes *p);
/* Rows for which there was no room. */
uint64_t pipes_refused(const struct pipes *p);
