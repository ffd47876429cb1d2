/* SPDX-License-Identifier: Apache-2.0 */
#include "context/test_world.h"
#include <stdio.h>
#include <string.h>

static unsigned dice(struct world *w, unsigned sides)
{
	w->dice = w->dice * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned)(w->dice >> 33) % sides;
}

static struct ev_str put(struct world_record *r, const char *s, size_t n)
{
	struct ev_str at = { .off = r->head.len, .len = (__u16)n };

	memcpy((char *)r + r->head.len, s, n);
	((char *)r)[r->head.len + n] = 0;
	r->head.len = (__u16)(r->head.len + n + 1);
	return at;
}

struct world_record *world_record(struct world *w, __u32 pid, __u16 id, size_t size)
{
	const struct world_life *l = &w->lives[pid];

	memset(&w->rec, 0, size);
	w->rec.head = (struct ev_head) {
		.time_ns = w->now,
		.id = id,
		.len = (__u16)size,
		.pid = pid,
		.tid = pid,
		.start_ns = l->start,
		.ns_pid = pid,
		.uid = l->uid,
		.gid = l->uid,
		.cgroup_id = l->cgroup,
	};
	memcpy(w->rec.head.comm, l->comm, sizeof(l->comm));
	return &w->rec;
}

struct world_record *world_exec(struct world *w, __u32 pid)
{
	struct world_record *r = world_record(w, pid, EV_EXEC, sizeof(r->exec));
	char text[64], args[2000];
	size_t n = 0, items = dice(w, 50) ? dice(w, 4) : 700;
	int len;

	(void)snprintf(w->lives[pid].comm, sizeof(w->lives[pid].comm), "c%u", dice(w, 100));
	memcpy(r->head.comm, w->lives[pid].comm, sizeof(r->head.comm));
	len = snprintf(text, sizeof(text), "/bin/%u", dice(w, 1000));
	r->exec.exe = put(r, text, (size_t)len);
	len = snprintf(text, sizeof(text), "/home/%u", dice(w, 10));
	r->exec.cwd = put(r, text, (size_t)len);
	for (size_t i = 0; i < items; i++, n += 2)
		memcpy(args + n, i % 3 ? "a" : "\0", 2);
	if (n)
		r->exec.args = put(r, args, n - 1);
	r->exec.argc = (__u32)items;
	r->exec.inode = 1 + dice(w, 1000);
	r->exec.dev = 8 << 20;
	r->exec.mode = 0100755;
	r->exec.mntns = 4026531840 + dice(w, 2);
	r->exec.pidns = 4026531836;
	return r;
}

static struct world_record *made_user(struct world *w, __u32 uid)
{
	struct world_record *r = world_record(w, 0, EV_USER, sizeof(r->user));
	char text[64];

	r->head.uid = uid;
	r->user.name = put(r, text, (size_t)snprintf(text, sizeof(text), "user-%u-%u", uid, dice(w, 3)));
	return r;
}

static struct world_record *made_cgroup(struct world *w, __u64 id)
{
	struct world_record *r = world_record(w, 0, EV_CGROUP, sizeof(r->cgroup));
	char text[64];

	r->head.cgroup_id = id;
	r->cgroup.path = put(r, text, (size_t)snprintf(text, sizeof(text), "/system.slice/s%llu.service", id));
	return r;
}

void world_begin(struct world *w, unsigned long long seed, void (*fn)(void *arg, const struct ev_head *rec), void *arg)
{
	memset(w, 0, sizeof(*w));
	w->now = 1000;
	w->step_ns = 1000;
	w->dice = seed;
	w->lives[1] = (struct world_life) { .start = 1, .cgroup = 1, .comm = "init", .alive = true };
	for (__u32 uid = 0; uid < 5; uid++)
		fn(arg, &made_user(w, uid)->head);
	for (__u64 id = 1; id <= 8; id++)
		fn(arg, &made_cgroup(w, id)->head);
}

const struct ev_head *world_step(struct world *w)
{
	__u32 pid = 1 + dice(w, WORLD_PIDS - 1), child;
	struct world_record *r;
	unsigned what = dice(w, 20);

	w->now += 1 + dice(w, (unsigned)w->step_ns);
	while (!w->lives[pid].alive)
		pid = pid == WORLD_PIDS - 1 ? 1 : pid + 1;
	child = 2 + dice(w, WORLD_PIDS - 2);
	if (what < 6 && !w->lives[child].alive) {
		w->lives[child] = w->lives[pid];
		w->lives[child].start = w->now;
		r = world_record(w, pid, EV_FORK, sizeof(r->fork));
		r->fork.child_pid = r->fork.child_ns_pid = child;
		r->fork.child_start_ns = w->now;
		return &r->head;
	}
	if (what < 11)
		return &world_exec(w, pid)->head;
	if (what < 15 && pid != 1) {
		w->lives[pid].alive = false;
		return &world_record(w, pid, EV_EXIT, sizeof(r->exit))->head;
	}
	if (what < 16)
		return &made_user(w, dice(w, 5))->head;
	/* Together with a program: of who only changes its user, see snapshot.c. */
	w->lives[pid].cgroup = 1 + dice(w, 8);
	w->lives[pid].uid = dice(w, 5);
	return &world_exec(w, pid)->head;
}
