/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trial - runs rules over the events that their own files give: what matches, and is it what was promised?
 *
 * Each test is a stream of its own, run as the engine would: sequences, scripts, exceptions. Events are read with the
 * schema `ecs`. A match that an exception takes away does not count.
 */
#pragma once
#include "base/buf.h"
#include "rulebook/book.h"

enum { TRIAL_TEXT_MAX = 4096 };

struct trial_result {
	uint32_t matches;  /* that count */
	uint32_t excepted; /* that an exception took away */
	bool passed;
	struct buf what;    /* the events of each match, from 1: "1,3; 2,4" */
	struct buf trouble; /* what went wrong in a script; "": nothing */
};
void trial_result_free(struct trial_result *r);
#define auto_trial __attribute__((cleanup(trial_result_free)))

/* A rule made ready to be tried. The book stays until it is freed. */
struct trial;
/* -EINVAL with a trail: the engine would refuse this rule. */
int trial_new(const struct book_rule *rule, struct trial **ret_trial);
void trial_free(struct trial *t);
DEFINE_AUTO(trial)

/* `test` is one of the rule's. -EINVAL with a trail: an event cannot be read. */
int trial_run(struct trial *t, const struct book_test *test, struct trial_result *ret_result);
