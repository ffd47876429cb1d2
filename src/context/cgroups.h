/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroups - from the id of a cgroup to its path.
 *
 * The id is the kernel's file handle of the cgroup, so one open_by_handle_at() finds it, however many
 * there are. A cgroup that is gone by then stays unknown, and that is kept too: its id is
 * never used again. Bounded; the cgroup that has been asked for the longest ago goes first.
 */
#pragma once
#include "base/map.h"
#include "context/process.h"

struct cgroup_entry;
struct cgroups {
	struct map map;
	struct cgroup_entry *entries;
	size_t n, max, hand;
	uint64_t seed, evicted, unresolved;
	int mount_fd; /* -1: no looking */
	char mount[256];
	size_t mount_n;
};

int cgroups_open(struct cgroups *c, size_t max, bool offline);
void cgroups_close(struct cgroups *c);
/* NULL: not asked for before. Valid until the next call that adds one. */
const struct cgroup_info *cgroups_get(struct cgroups *c, uint64_t id);
/* The same without asking for it: what is asked for stays longer. */
bool cgroups_has(const struct cgroups *c, uint64_t id);
/* The i-th of c->n. */
const struct cgroup_info *cgroups_at(const struct cgroups *c, size_t i);
/* Remembers a path; "" is a cgroup that is gone. Takes the place of what was known of it. NULL: no memory. */
const struct cgroup_info *cgroups_set(struct cgroups *c, uint64_t id, const char *path, size_t n);
/* Asks the kernel; the length of the path, 0 where it is gone or may not be asked. */
size_t cgroups_resolve(struct cgroups *c, uint64_t id, char *ret_path, size_t size);
