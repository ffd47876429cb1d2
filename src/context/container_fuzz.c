/* SPDX-License-Identifier: Apache-2.0 */
/*
 * container_fuzz - any bytes as a cgroup's path: what is read from it is bounded, whole, and
 * not for what stands below the container to choose.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "base/mem.h"
#include "context/container.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char below[] = "/docker/ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff/lxc/x";

static void check_text(const char *text, size_t size)
{
	if (strnlen(text, size) == size || strchr(text, '/'))
		abort();
}

static void check_info(const struct container_info *info)
{
	if ((unsigned)info->runtime >= RUNTIME_COUNT || !info->id[0] != !info->runtime)
		abort();
	/* What stands behind the NUL is copied with it, and must not be the stack's. */
	for (size_t i = strnlen(info->id, sizeof(info->id)); i < sizeof(info->id); i++)
		if (info->id[i])
			abort();
	check_text(info->id, sizeof(info->id));
	check_text(info->pod_uid, sizeof(info->pod_uid));
	check_text(info->unit, sizeof(info->unit));
	check_text(info->user_uid, sizeof(info->user_uid));
	check_text(info->session, sizeof(info->session));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct container_info info, again;
	auto_free char *path = malloc(size + sizeof(below));

	if (!path)
		return 0;
	if (size)
		memcpy(path, data, size);
	container_of_path((const char *)data, size, &info);
	check_info(&info);
	/* Who is in a container can make folders below it, and stays who he was. */
	memcpy(path + size, below, sizeof(below));
	container_of_path(path, size + strlen(below), &again);
	check_info(&again);
	if (info.runtime && size && data[size - 1] != '/' && memcmp(&info, &again, sizeof(info)) != 0)
		abort();
	return 0;
}
