/* SPDX-License-Identifier: Apache-2.0 */
#include "context/cgroups.h"
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"
#include "bpf/core.h"
#include "context/text.h"

/* What the kernel calls the handle of a kernfs node: FILEID_KERNFS. */
enum { HANDLE_KERNFS = 0xfe };

struct cgroup_entry {
	uint64_t id;
	const struct cgroup_info *info;
	bool asked; /* since the hand last passed */
};

static bool has_id(const void *item, const void *key)
{
	return ((const struct cgroup_entry *)item)->id == *(const uint64_t *)key;
}

int cgroups_open(struct cgroups *c, size_t max, bool offline)
{
	int r;

	*c = (struct cgroups) { .max = max, .mount_fd = -1, .seed = hash_seed() };
	map_init(&c->map, max, has_id);
	c->entries = calloc(max, sizeof(*c->entries));
	if (!c->entries)
		return err_new(-ENOMEM, "no memory for %zu cgroups", max);
	r = map_reserve(&c->map, max);
	if (r < 0)
		return err_new(r, "no memory for %zu cgroups", max);
	if (offline || !cgroup_mount())
		return 0;
	(void)snprintf(c->mount, sizeof(c->mount), "%s", cgroup_mount());
	c->mount_n = strlen(c->mount);
	/* Without it paths are not known, and all else is as good. */
	c->mount_fd = open(c->mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return 0;
}

void cgroups_close(struct cgroups *c)
{
	for (size_t i = 0; c->entries && i < c->n; i++)
		cgroup_info_unref(c->entries[i].info);
	free(c->entries);
	c->entries = NULL;
	if (c->map.has_key)
		map_free(&c->map);
	fd_closep(&c->mount_fd);
}

const struct cgroup_info *cgroups_get(struct cgroups *c, uint64_t id)
{
	struct cgroup_entry *e = map_get(&c->map, hash_u64(id, c->seed), &id);

	if (!e)
		return NULL;
	e->asked = true;
	return e->info;
}

bool cgroups_has(const struct cgroups *c, uint64_t id)
{
	return map_get(&c->map, hash_u64(id, c->seed), &id) != NULL;
}

const struct cgroup_info *cgroups_at(const struct cgroups *c, size_t i)
{
	return c->entries[i].info;
}

/* A free entry. The hand goes round and takes the first that nobody asked for since it came by. */
static struct cgroup_entry *make_room(struct cgroups *c)
{
	struct cgroup_entry *e;

	if (c->n < c->max)
		return &c->entries[c->n++];
	for (;;) {
		e = &c->entries[c->hand];
		c->hand = (c->hand + 1) % c->max;
		if (!e->asked)
			break;
		e->asked = false;
	}
	(void)map_remove(&c->map, hash_u64(e->id, c->seed), &e->id);
	cgroup_info_unref(e->info);
	c->evicted++;
	return e;
}

const struct cgroup_info *cgroups_set(struct cgroups *c, uint64_t id, const char *path, size_t n)
{
	struct cgroup_entry *e = map_get(&c->map, hash_u64(id, c->seed), &id);
	const struct cgroup_info *info = cgroup_info_new(id, path, n);

	if (!info)
		return NULL;
	if (e) {
		cgroup_info_unref(e->info);
		e->info = info;
		return info;
	}
	e = make_room(c);
	*e = (struct cgroup_entry) { .id = id, .info = info };
	(void)map_put(&c->map, hash_u64(id, c->seed), e); /* room was reserved */
	if (!n)
		c->unresolved++;
	return info;
}

size_t cgroups_resolve(struct cgroups *c, uint64_t id, char *ret_path, size_t size)
{
	struct {
		struct file_handle head;
		uint64_t id;
	} handle = { .head = { .handle_bytes = sizeof(id), .handle_type = HANDLE_KERNFS }, .id = id };
	char link[64], path[PATH_MAX];
	auto_close int fd = -1;
	ssize_t n;

	if (c->mount_fd < 0)
		return 0;
	fd = open_by_handle_at(c->mount_fd, &handle.head, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return 0;
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n < (ssize_t)c->mount_n || memcmp(path, c->mount, c->mount_n) != 0)
		return 0;
	path[n] = 0;
	if ((size_t)n == c->mount_n)
		return (size_t)snprintf(ret_path, size, "/");
	/* Gone while we looked: its handle still opens for a moment, its name says so. */
	if (path[c->mount_n] != '/' || (n > 10 && !strcmp(path + n - 10, " (deleted)")) ||
	    (size_t)n - c->mount_n >= size)
		return 0;
	memcpy(ret_path, path + c->mount_n, (size_t)n - c->mount_n + 1);
	return (size_t)n - c->mount_n;
}
