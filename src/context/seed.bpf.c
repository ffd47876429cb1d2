// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * context_seed - the processes that run already, one record each, read as a file.
 *
 * An iterator, not /proc: it tells when a process began to the nanosecond, which is half of
 * its identity, and looks at a process in one go. Its records are those of the rings, and
 * are copied to the reader whole or not at all. Processes outside the scope are passed over
 * before anything of them is read. Arguments are user memory, which this program may not
 * read: the agent adds them.
 */
#include "bpf/path.bpf.h"
#include "context/context.event.h"

KEEP_BTF(ev_known);

static __always_inline void known_fill(struct ev_known *k, struct task_struct *task)
{
	struct task_struct *parent = task->real_parent;

	k->parent_pid = (__u32)parent->tgid;
	k->parent_start_ns = parent->group_leader->start_boottime;
	k->mntns = task->nsproxy->mnt_ns->ns.inum;
	k->pidns = task->nsproxy->pid_ns_for_children->ns.inum;
	k->group_pid = (__u32)task->signal->pids[PIDTYPE_PGID]->numbers[0].nr;
	k->session_pid = (__u32)task->signal->pids[PIDTYPE_SID]->numbers[0].nr;
	if (task->flags & TASK_KTHREAD)
		k->traits |= KNOWN_KTHREAD;
}

static __always_inline void known_program(struct rec *r, struct ev_known *k, struct task_struct *task)
{
	struct file *file = BPF_CORE_READ(task, mm, exe_file);

	if (file) {
		k->inode = BPF_CORE_READ(file, f_inode, i_ino);
		k->dev = BPF_CORE_READ(file, f_inode, i_sb, s_dev);
		k->mode = BPF_CORE_READ(file, f_inode, i_mode);
		rec_path_for(r, &k->exe, task, &file->f_path);
	}
	rec_path_for(r, &k->cwd, task, &task->fs->pwd);
}

SEC("iter/task")
int seed_task(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task; /* a copy: the verifier forgets the test of a field */
	struct seq_file *seq = ctx->meta->seq;
	struct ev_known *k;
	struct rec *r;
	__u64 len;

	if (!task || task->pid != task->tgid)
		return 0;
	if (!scope_has(task->cgroups->dfl_cgrp, task->nsproxy->net_ns->ns.inum))
		return 0;
	if (!task->signal->live.counter) /* a zombie */
		return 0;
	r = rec_slot();
	if (!r)
		return 1; /* comes again */
	__builtin_memset(r->data, 0, sizeof(*k));
	r->pos = sizeof(*k);
	k = rec_body(r);
	k->head.time_ns = bpf_ktime_get_boot_ns();
	k->head.id = EV_KNOWN;
	k->head.cpu = (__u16)bpf_get_smp_processor_id();
	k->head.class = EV_NORMAL;
	k->head.flags = EV_F_SEEDED;
	head_fill(&k->head, task);
	known_fill(k, task);
	if (!(task->flags & TASK_KTHREAD))
		known_program(r, k, task);
	len = r->pos;
	if (in_range(&len, sizeof(*k), EV_LEN_MAX)) {
		k->head.len = (__u16)len;
		(void)bpf_seq_write(seq, r->data, (__u32)len);
	}
	(void)__sync_lock_test_and_set(&r->busy, 0);
	return 0;
}
