/* SPDX-License-Identifier: Apache-2.0 */
/* explain - what a query was understood to mean, and how it is looked for: for people, and for Graphviz. */
#pragma once
#include "hunt/hunt.h"

/* After hunt_prepare(). */
void explain_text(const struct hunt *h, size_t i, struct buf *out);
void explain_dot(const struct hunt *h, size_t i, struct buf *out);
