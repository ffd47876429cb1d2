/* SPDX-License-Identifier: Apache-2.0 */
/*
 * container - who a cgroup belongs to, read from its path alone.
 *
 * Knows how Docker, containerd, CRI-O, Podman, LXC, systemd-nspawn and the kubelet name cgroups,
 * with the systemd driver and with cgroupfs, on cgroup v1 and v2. The outermost container
 * counts: what runs inside can make cgroups below its own, and must not choose its name.
 *
 * A path is a claim of who could make that cgroup: root of the host, usually.
 */
#pragma once
#include <stddef.h>

enum container_runtime {
	RUNTIME_NONE,
	RUNTIME_UNKNOWN, /* a container id under the kubelet, but nothing says whose */
	RUNTIME_DOCKER,
	RUNTIME_CONTAINERD,
	RUNTIME_CRIO,
	RUNTIME_PODMAN,
	RUNTIME_LXC,
	RUNTIME_NSPAWN,
	RUNTIME_COUNT
};
extern const char *const container_runtime_names[RUNTIME_COUNT];

enum { CONTAINER_ID_MAX = 64, CONTAINER_UNIT_MAX = 128 };

struct container_info {
	enum container_runtime runtime;
	char id[CONTAINER_ID_MAX + 1];     /* 64 hex digits; names for LXC and nspawn; "": no container */
	char pod_uid[36 + 1];              /* with dashes; "": no pod */
	char unit[CONTAINER_UNIT_MAX + 1]; /* innermost systemd service, scope, or else slice, outside the container */
	char user_uid[10 + 1];             /* of user-UID.slice: whose session it is */
	char session[32 + 1];              /* of session-N.scope */
};

/* Fills *ret_info (empty strings where the path says nothing). Never fails; a hostile path is no container. */
void container_of_path(const char *path, size_t n, struct container_info *ret_info);
