/* SPDX-License-Identifier: Apache-2.0 */
/*
 * openapi - the OpenAPI 3.1 description of all that the listener serves, made from its route tables.
 *
 * It is what the agent answers at /api/v1/openapi.json, and docs/reference/openapi.json.
 */
#pragma once
#include "api/http.h"

enum { OPENAPI_MAX = 4 << 20 };

/* Indented, with a line's end; equal for equal tables. out->failed: no room. */
void openapi_write(const struct route_table *tables, size_t n, struct buf *out);
/* The routes that the listener has by itself, without a context: to be described, not served. */
struct route_table api_own_routes(void);
