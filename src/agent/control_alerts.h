/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control_alerts - what the control socket says of alerts: {"cmd":"alerts"}, "alert" and "alert_state" of control.h.
 *
 * On the thread of a client, which may block. Each answers by itself; negative: the connection is over. `store` NULL:
 * no alerts are kept, which the client is told.
 */
#pragma once
#include "agent/talk.h"
#include "base/json.h"
#include "store/alerts.h"

int control_alerts_list(struct talk_peer peer, struct alerts *store, const struct json_node *request);
int control_alerts_one(struct talk_peer peer, struct alerts *store, const struct json_node *request);
/* Whether the client may is for the caller to say. */
int control_alerts_set(struct talk_peer peer, struct alerts *store, const struct json_node *request);
