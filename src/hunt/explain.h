/* SPDX-License-Identifier: Apache-2.0 */
/* explain - what a query was understood to mean, and how it is looked for: for people, and for Graphviz. */
#pragma once
#include "hunt/hunt.h"
#include "rule/ir.h"

/* Its kind, its fields, its IR, and the states of a sequence. */
void explain_query(const struct query *q, struct buf *out);
/*
 * How an engine with many rules finds the events of each stage: the texts of which one must be there before a condition
 * is looked at. -EINVAL, with a trail, for a pattern that is none.
 */
int explain_index(const struct query *q, struct buf *out);

/* After hunt_prepare(). */
void explain_text(const struct hunt *h, size_t i, struct buf *out);
void explain_dot(const struct hunt *h, size_t i, struct buf *out);
