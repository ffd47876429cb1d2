/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics - the numbers of the agent's status as Prometheus reads them.
 *
 * Made of the status itself, so that a number which is added there is a metric at once: {"bus":{"put":1}} becomes
 * shrike_bus_put, and of a list each item's name becomes a label: shrike_kind_sent{sensor="file",kind="file.open"}.
 * The state of a thing is a metric of value 1 that has it as a label.
 */
#pragma once
#include "base/buf.h"

/* Writes nothing where the text is no status. */
void metrics_of_status(const char *status, size_t n, struct buf *out);
