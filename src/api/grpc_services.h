/* SPDX-License-Identifier: Apache-2.0 */
/*
 * grpc_services - what gRPC clients ask any server: which services it has, what their messages are (reflection), and
 * whether one is there (health). The API serves this beside its tables, of which each tells its own service.
 */
#pragma once
#include "api/http.h"
#include "api/proto.h"

enum { GRPC_SERVICES_MAX = 16 };

struct grpc_services {
	const struct proto_file *files[GRPC_SERVICES_MAX];
	size_t n;
};

/* They must stay as long as the routes are served; NULL: for descriptions of the routes alone. */
struct route_table grpc_services_routes(struct grpc_services *s);

/* Those that are told, and then health and reflection themselves; NULL beyond the last. */
const struct proto_file *grpc_file_at(const struct grpc_services *s, size_t i);
/* What stands behind "shrike.v1." of a name; NULL: it is not of the file's package. */
const char *grpc_within(const struct proto_file *file, const char *name);
/* Is there a service of this full name ("shrike.v1.EbpfExport")? */
bool grpc_has_service(const struct grpc_services *s, const char *name);

extern const struct proto_file health_proto_file, reflection_proto_file, reflection_alpha_proto_file;

void grpc_health_check(struct http_request *req);
void grpc_health_watch(struct http_request *req);
void grpc_reflection(struct http_request *req);
void grpc_reflection_data(struct http_request *req, const void *bytes, size_t n, bool end);
