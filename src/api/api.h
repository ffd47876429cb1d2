/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api - the listener: one TCP address and one unix socket, served by a few threads of its own.
 *
 * It brings /health, /readyz, /metrics, /api/v1/whoami and /api/v1/openapi.json; all else is in the route tables that
 * it is opened with (http.h). docs/api.md is the guide.
 *
 * Refused at start: an address beyond loopback that is served without TLS (unless tls.plain allows it) or to anybody
 * without a token. The first start makes a token for an admin and says where it lies.
 */
#pragma once
#include "api/http.h"
#include "config/config.h"

struct api;

/* Section "api". */
struct api_settings {
	char *listen, *socket, *socket_group;
	char *tls_cert, *tls_key, *client_ca;
	bool allow_plain;
	uint32_t anonymous; /* enum role */
	char *tokens, *audit;
	uint64_t audit_bytes;
	uint32_t audit_files;
	uint32_t threads, connections, streams;
	uint64_t head_bytes;
	uint64_t head_timeout_ns, body_timeout_ns, idle_timeout_ns, stall_timeout_ns;
};

extern const struct config_section api_section;
/* What no single row can tell. */
void api_check(const struct config *config, struct config_report *report);

struct api_options {
	const struct api_settings *settings; /* copied as far as they are needed */
	const struct route_table *tables;    /* copied; their routes and ctx must outlive the API */
	size_t n_tables;
	void *ctx; /* of the following, which another thread calls, and which may take their time */
	/* Adds to what /metrics says; may be NULL. */
	void (*metrics)(void *ctx, struct buf *out);
	/* Is the agent at its work? If not, why. NULL: always. */
	bool (*ready)(void *ctx, struct buf *why);
};

int api_open(const struct api_options *options, struct api **ret_api);
/* Ends all connections; streams' `closed` are called. */
void api_free(struct api *api);
DEFINE_AUTO(api)
/* Reads tokens and certificates again, and opens the audit log again. Connections go on. */
int api_reload(struct api *api);
/* Members of a JSON object: where it listens, its sums, its consumers. Any thread. */
void api_status(struct api *api, struct buf *out);
