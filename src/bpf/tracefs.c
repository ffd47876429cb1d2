/* SPDX-License-Identifier: Apache-2.0 */
#include "bpf/tracefs.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/mem.h"

static int mount_private(void)
{
	auto_close int fs = (int)syscall(SYS_fsopen, "tracefs", FSOPEN_CLOEXEC);

	if (fs < 0 || syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		return -1;
	return (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOSUID);
}

static int tracefs_dir(void)
{
	static int dir = -1;

	if (dir < 0) {
		dir = open("/sys/kernel/tracing/events", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (dir < 0) {
			auto_close int root = mount_private();

			if (root >= 0)
				dir = openat(root, "events", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		}
	}
	return dir;
}

static int tracepoint_id(const char *target)
{
	char path[256], digits[32] = { 0 };
	auto_close int fd = -1;

	(void)snprintf(path, sizeof(path), "%s/id", target);
	fd = openat(tracefs_dir(), path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, digits, sizeof(digits) - 1) <= 0)
		return -1;
	return atoi(digits);
}

bool tracefs_has_tracepoint(const char *target, const char **ret_why)
{
	if (tracefs_dir() < 0) {
		*ret_why = "tracefs cannot be read";
		return false;
	}
	*ret_why = "this kernel has no such tracepoint";
	return tracepoint_id(target) > 0;
}

struct bpf_link *tracefs_attach(const struct bpf_program *prog, const char *target)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_TRACEPOINT,
		.size = sizeof(attr),
		.config = (__u64)tracepoint_id(target),
	};
	auto_close int fd = (int)syscall(SYS_perf_event_open, &attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
	struct bpf_link *link;

	if (fd < 0)
		return NULL;
	link = bpf_program__attach_perf_event(prog, fd);
	if (link)
		(void)take_fd(fd);
	return link;
}
