/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * path.bpf - the full path of a file, from the kernel's own objects.
 *
 * Walks dentries and mounts from the file up to the root directory of the acting process,
 * as d_path does, so that the path reads as the process sees it, in a container too. Works
 * in every program type; bpf_d_path() is only for a few hooks. Cost: about 30 ns a component.
 *
 * Bounds: PATH_DEPTH_MAX steps and EV_STR_MAX - 1 bytes; a longer path keeps its end, begins
 * without a slash, and marks the record as truncated.
 */
#pragma once
#include "bpf/core.bpf.h"

enum { PATH_DEPTH_MAX = 96 };

struct path_walk {
	struct dentry *dentry, *root_dentry;
	struct mount *mnt, *root_mnt;
	__u32 slot; /* of the scratch: pointers into maps do not survive bpf_loop() on old kernels */
	__u32 start;
	__u32 done;
	__u32 pad;
};

static __always_inline struct mount *mount_of(struct vfsmount *m)
{
	return m ? (struct mount *)((char *)m - bpf_core_field_offset(struct mount, mnt)) : NULL;
}

static long path_step(__u32 i, void *ctx)
{
	struct path_walk *w = ctx;
	struct dentry *dentry = w->dentry, *parent = BPF_CORE_READ(dentry, d_parent);
	struct mount *mnt = w->mnt;
	struct dentry *mnt_root = BPF_CORE_READ(mnt, mnt.mnt_root);
	const unsigned char *name;
	struct rec *r;
	__u32 at, len;

	(void)i;
	if (dentry == w->root_dentry && mnt == w->root_mnt) {
		w->done = 1;
		return 1;
	}
	if (dentry == mnt_root) {
		struct mount *up = BPF_CORE_READ(mnt, mnt_parent);

		if (up == mnt) { /* the top of the namespace: a root that the process has left, or was moved out of */
			w->done = 1;
			return 1;
		}
		w->dentry = BPF_CORE_READ(mnt, mnt_mountpoint);
		w->mnt = up;
		return 0;
	}
	len = BPF_CORE_READ(dentry, d_name.len);
	name = BPF_CORE_READ(dentry, d_name.name);
	at = w->start;
	r = bpf_map_lookup_elem(&scratch, &w->slot);
	if (!r || len > 255 || at < len + 1 || at > EV_STR_MAX - 1)
		return 1;
	at -= len + 1;
	r->path[at & (EV_STR_MAX - 1)] = '/';
	if (bpf_probe_read_kernel(&r->path[(at + 1) & (EV_STR_MAX - 1)], len & 255, name))
		return 1;
	w->start = at;
	if (parent == dentry) { /* no parent and no mount: a memfd, a deleted root; its name is all there is */
		w->done = 1;
		return 1;
	}
	w->dentry = parent;
	return 0;
}

/*
 * Writes the path of (dentry, mnt), as `task` would, to the end of r->path's first half and
 * returns where it begins; a NUL follows it. EV_STR_MAX - 1: there is none.
 */
static __always_inline __u32 path_build_for(struct rec *r, struct task_struct *task, struct dentry *dentry,
					    struct vfsmount *mnt)
{
	struct path_walk w = {
		.dentry = dentry,
		.mnt = mount_of(mnt),
		.root_dentry = BPF_CORE_READ(task, fs, root.dentry),
		.root_mnt = mount_of(BPF_CORE_READ(task, fs, root.mnt)),
		.slot = r->slot,
		.start = EV_STR_MAX - 1,
	};
	__u32 start;

	if (!dentry || !mnt)
		return EV_STR_MAX - 1;
	bpf_loop(PATH_DEPTH_MAX, path_step, &w, 0);
	start = w.start;
	if (start == EV_STR_MAX - 1 && w.done) { /* the root itself */
		start--;
		r->path[EV_STR_MAX - 2] = '/';
	}
	if (!w.done) {
		rec_mark(r, EV_F_TRUNCATED);
		if (start < EV_STR_MAX - 1) /* what looks like a whole path would be taken for one */
			start++;
	}
	r->path[EV_STR_MAX - 1] = 0;
	return start;
}

static __always_inline __u32 path_build(struct rec *r, struct dentry *dentry, struct vfsmount *mnt)
{
	return path_build_for(r, bpf_get_current_task_btf(), dentry, mnt);
}

/* Appends the path that path_build() wrote. */
static __always_inline void rec_built(struct rec *r, struct ev_str *s, __u32 start)
{
	__u64 n = EV_STR_MAX - 1 - start;
	__u8 *to = rec_room(r, EV_STR_MAX);

	if (!to || !in_range(&n, 1, EV_STR_MAX - 1))
		return;
	if (bpf_probe_read_kernel(to, n, &r->path[start & (EV_STR_MAX - 1)]))
		return;
	to[n] = 0;
	rec_take(r, s, n + 1, true);
}

/* Appends the path of (dentry, mnt) as the current process would write it. */
static __always_inline void rec_dentry(struct rec *r, struct ev_str *s, struct dentry *dentry, struct vfsmount *mnt)
{
	rec_built(r, s, path_build(r, dentry, mnt));
}

static __always_inline void rec_path(struct rec *r, struct ev_str *s, struct path *path)
{
	struct dentry *dentry = BPF_CORE_READ(path, dentry);
	struct vfsmount *mnt = BPF_CORE_READ(path, mnt);

	rec_dentry(r, s, dentry, mnt);
}

/* As another process would write it. */
static __always_inline void rec_path_for(struct rec *r, struct ev_str *s, struct task_struct *task, struct path *path)
{
	struct dentry *dentry = BPF_CORE_READ(path, dentry);
	struct vfsmount *mnt = BPF_CORE_READ(path, mnt);

	rec_built(r, s, path_build_for(r, task, dentry, mnt));
}
