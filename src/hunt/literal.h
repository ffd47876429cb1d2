/* SPDX-License-Identifier: Apache-2.0 */
/*
 * literal - which texts a line of JSON must have to matter to a query.
 *
 * Found in the IR: of conditions joined by `and` the best one counts, of those joined by `or` all. What a text
 * might hide behind in JSON (escapes, a letter that folds to an ASCII one) is among the needles, so a line without
 * any of them cannot match, for certain.
 */
#pragma once
#include "hunt/needle.h"
#include "hunt/schema.h"
#include "rule/ir.h"

/* Adds what a query needs. False: any line may matter to it, or there is no room; the set is of no use then. */
bool literal_needles(const struct query *q, const struct schema *schema, struct needles *set);
/* What `set` may not be without: how a text can be there and not be seen. False: no room. */
bool literal_disguises(struct needles *set);
