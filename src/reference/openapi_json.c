/* SPDX-License-Identifier: Apache-2.0 */
/* openapi_json - docs/reference/openapi.json: what an agent with everything on answers at /api/v1/openapi.json. */
#include "api/alerts_api.h"
#include "api/export.h"
#include "api/grpc_services.h"
#include "api/openapi.h"
#include "base/mem.h"
#include "reference/reference.h"

int reference_openapi_json(const char *root, struct buf *out)
{
	const struct route_table tables[] = { api_own_routes(), export_routes(NULL), alerts_api_routes(NULL),
					      grpc_services_routes(NULL) };

	(void)root;
	openapi_write(tables, countof(tables), out);
	return 0;
}
