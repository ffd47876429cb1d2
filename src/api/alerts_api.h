/* SPDX-License-Identifier: Apache-2.0 */
/*
 * alerts_api - alerts for who may see them: over REST, server-sent events and gRPC; docs/alerts.md says what clients
 *see.
 *
 * A stream reads from the store, by revisions: a client that is slow gets its alerts later, none are lost by it, and
 * it costs others nothing. What the store itself had to drop while a stream was open is told in it.
 *
 * Lists, and what sets a state, run on the thread of the API that may block; streams are filled by a thread of their
 * own. Setting a state wants an operator. A consumer whose types do not take in "alert" sees none.
 *
 *	alerts_api_open(store, &x);
 *	table = alerts_api_routes(x);        for the API to serve
 *	... the API is opened, serves, is closed ...
 *	alerts_api_free(x);
 */
#pragma once
#include "api/http.h"
#include "store/alerts.h"

enum { ALERTS_STREAMS_MAX = 240 };

struct alerts_api;
/* `store` NULL: none are kept, which is what every request is told. */
int alerts_api_open(struct alerts *store, struct alerts_api **ret_api);
/* After the API that served its routes, and before the store. */
void alerts_api_free(struct alerts_api *x);
DEFINE_AUTO(alerts_api)

struct route_table alerts_api_routes(struct alerts_api *x);
