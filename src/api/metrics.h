/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics - writes numbers as Prometheus reads them (text format 0.0.4).
 *
 *	metric(out, "shrike_bus_records_total", METRIC_COUNTER, "records that the bus has taken");
 *	sample(out, "shrike_bus_records_total", n, "shard", "0", NULL);
 */
#pragma once
#include <stdint.h>
#include "base/buf.h"

enum metric_type { METRIC_COUNTER, METRIC_GAUGE };

void metric(struct buf *out, const char *name, enum metric_type type, const char *help);
/* Labels: name, value, ... NULL. */
void sample(struct buf *out, const char *name, uint64_t value, ...) __attribute__((sentinel));
