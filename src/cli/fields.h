/* SPDX-License-Identifier: Apache-2.0 */
/* fields - has any event that we record such a field, and which was meant? Kinds are registered before. */
#pragma once
#include "rule/ir.h"

bool fields_has(const char *name, size_t n);
/* The nearest name; NULL: nothing is close. */
const char *fields_guess(const char *name, size_t n);
/* Is node `at` the first use of a field that no event has, and not written as ?name? */
bool fields_is_unknown(const struct query *q, uint32_t at);
