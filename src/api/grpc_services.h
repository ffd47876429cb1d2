/* SPDX-License-Identifier: Apache-2.0 */
/* grpc_services - the files of messages and services that clients may learn of: what reflection and health look in. */
#pragma once
#include "api/proto.h"

extern const struct proto_file alerts_proto_file, health_proto_file, reflection_proto_file, reflection_alpha_proto_file;

enum { GRPC_FILES = 5 };
/* NULL beyond the last. */
const struct proto_file *grpc_file_at(size_t i);
/* Is there a service of this full name ("shrike.v1.EbpfExport")? */
bool grpc_has_service(const char *name);
/* The file that declares a service, method, message, enum or field of this full name; or NULL. */
const struct proto_file *grpc_file_of_symbol(const char *name);
