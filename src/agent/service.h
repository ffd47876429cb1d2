/* SPDX-License-Identifier: Apache-2.0 */
/*
 * service - the API of a running agent: what of the agent it serves, and how it follows the configuration.
 *
 * An API that cannot be opened (its port is taken, its certificate is broken) is no reason not to watch the host: it is
 * said in the log and in the status, and a reload tries again.
 */
#pragma once
#include "base/buf.h"
#include "base/mem.h"

struct agent;
struct config;
struct service;

/* Nothing listens before service_start(). */
int service_open(struct agent *agent, struct config *config, struct service **ret_service);
void service_start(struct service *s);
void service_free(struct service *s);
DEFINE_AUTO(service)
/*
 * Takes what the configuration says now. Where that differs, all connections end; where it does not, tokens and
 * certificates are read again and the audit log is opened again. No lock may be held that a status waits for.
 */
void service_follow(struct service *s, struct config *config);
/* A JSON object: {"state":"running|failed|off","why":"..",...} and what api_status() writes. */
void service_status(struct service *s, struct buf *out);
