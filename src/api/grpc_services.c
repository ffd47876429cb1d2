/* SPDX-License-Identifier: Apache-2.0 */
#include "api/grpc_services.h"
#include <string.h>
#include "api/grpc.h"

const struct proto_file *grpc_file_at(const struct grpc_services *s, size_t i)
{
	static const struct proto_file *const own[] = { &health_proto_file, &reflection_proto_file,
							&reflection_alpha_proto_file };

	if (i < s->n)
		return s->files[i];
	return i - s->n < countof(own) ? own[i - s->n] : NULL;
}

const char *grpc_within(const struct proto_file *file, const char *name)
{
	size_t n = strlen(file->package);

	return !strncmp(name, file->package, n) && name[n] == '.' ? name + n + 1 : NULL;
}

bool grpc_has_service(const struct grpc_services *s, const char *name)
{
	const struct proto_file *file;

	for (size_t i = 0; (file = grpc_file_at(s, i)); i++) {
		const char *rest = grpc_within(file, name);

		if (rest && file->service && !strcmp(rest, file->service->name))
			return true;
	}
	return false;
}

#define REFLECTION(path_)                                                                                              \
	{ .method = "POST",                                                                                            \
	  .path = (path_),                                                                                             \
	  .role = ROLE_VIEWER,                                                                                         \
	  .body_max = GRPC_BODY_MAX,                                                                                   \
	  .handle = grpc_reflection,                                                                                   \
	  .data = grpc_reflection_data,                                                                                \
	  .doc = "gRPC: what services and messages there are" }

static const struct route routes[] = {
	GRPC_ROUTE("/grpc.health.v1.Health/Check", ROLE_NONE, grpc_health_check, NULL, NULL,
		   "gRPC: is the service there?"),
	GRPC_ROUTE("/grpc.health.v1.Health/Watch", ROLE_NONE, grpc_health_watch, NULL, NULL,
		   "gRPC: the same, and whenever it changes"),
	REFLECTION("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"),
	REFLECTION("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"),
};

struct route_table grpc_services_routes(struct grpc_services *s)
{
	return (struct route_table) { routes, countof(routes), s, NULL };
}
