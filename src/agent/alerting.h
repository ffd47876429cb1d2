/* SPDX-License-Identifier: Apache-2.0 */
/*
 * alerting - what becomes of what engines find, in the agent: exceptions, folding, then the store and the senders.
 *
 * Findings come on the threads of shards, which are never held up for longer than it takes to write an alert down:
 * the store and each sender have a queue and a thread of their own. Every finding ends in one number:
 *
 *	found = excepted + folded + told + failed
 *
 * and each alert that was told is put to the store and to every sender, whose books say what became of it there.
 */
#pragma once
#include "alert/alert.h"
#include "config/config.h"

struct alerting;
/* With the sections `alerts` and `senders.*`. */
int alerting_open(const struct config *config, unsigned shards, struct alerting **ret_alerting);
/* Stores and sends what waits. */
void alerting_free(struct alerting *a);
DEFINE_AUTO(alerting)
/* What is wrong with it is said and changes nothing. Files are opened anew. */
int alerting_reload(struct alerting *a, const struct config *before, const struct config *after);

/* On the thread of a shard. True: it was told, and its id is in `ret_id`. */
bool alerting_found(struct alerting *a, unsigned shard, const struct finding *finding, char ret_id[ALERT_ID_SIZE]);
/* Now and then, on any thread: has the store know what was folded since. */
void alerting_tick(struct alerting *a);

/* NULL: alerts are not kept. */
struct alerts *alerting_store(struct alerting *a);
/* An object of figures. */
void alerting_status(struct alerting *a, struct buf *out);
