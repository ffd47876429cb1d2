// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * process - kernel side.
 *
 * Every program reads what the kernel decided on (tasks, credentials, files), never what the
 * caller's pointers say, so nobody can change it under us. The one exception is the argument
 * block of an exec, read from the new program's memory before that runs its first instruction.
 *
 * Where a change is seen only after the fact (a system call returns, exec has committed), a
 * first program keeps what was before and a second one compares.
 *
 * Loss: a full ring is counted in lost_ring; nothing here ever blocks. Each program fails open:
 * it observes, and cannot refuse anything.
 */
#include "bpf/path.bpf.h"
#include "sensors/process/process.map.h"

const volatile struct process_config config = { .args_max = 4096, .page_size = 4096 };

KEEP_BTF(ev_fork);
KEEP_BTF(ev_exec);
KEEP_BTF(ev_exit);
KEEP_BTF(ev_thread);
KEEP_BTF(ev_creds);
KEEP_BTF(ev_namespace);
KEEP_BTF(ev_session);
KEEP_BTF(ev_access);
KEEP_BTF(ev_signal);
KEEP_BTF(ev_exec_failed);

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct process_before);
} before SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, PROCESS_ENDING_MAX);
	__type(key, struct process_key);
	__type(value, __u8);
} ended SEC(".maps");

/*
 * Of threads in exec, by their number. Not in task storage: most tasks exec once, and making a storage costs 1.5 us.
 * An exec that fails leaves its row, which the thread's next one takes, or the least recently used makes room.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, PROCESS_EXECS_MAX);
	__type(key, __u32);
	__type(value, struct process_exec_before);
} exec_before SEC(".maps");

/* Where they are missing, calls of them are dead code. */
extern struct task_struct *bpf_task_from_vpid(__s32 vpid) __ksym __weak;
extern void bpf_task_release(struct task_struct *task) __ksym __weak;

/* What the kernel writes for a program on a system call's tracepoint. */
struct sys_exit_ctx {
	__u64 common;
	long nr;
	long ret;
};

/* ---- the system call that current is in: the kernel's copy of its registers --------------------- */

static __always_inline struct pt_regs *current_regs(void)
{
	return (struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());
}

#if defined(__TARGET_ARCH_x86)
enum { X32_BIT = 0x40000000 };
static __always_inline int current_syscall(void)
{
	return (int)BPF_CORE_READ(current_regs(), orig_ax) & ~X32_BIT;
}
#define ARG1(regs) BPF_CORE_READ(regs, di)
#define ARG2(regs) BPF_CORE_READ(regs, si)
/* Of the native and of the 32-bit numbers: among the calls that reach a hook of ours they never collide. */
static __always_inline bool is_vm_read(int nr)
{
	return nr == 310 || nr == 347 || nr == 539;
}
static __always_inline bool is_vm_write(int nr)
{
	return nr == 311 || nr == 348 || nr == 540;
}
static __always_inline bool is_setns(int nr)
{
	return nr == 308 || nr == 346;
}
static __always_inline bool is_sigqueue(int nr)
{
	return nr == 129 || nr == 297 || nr == 178 || nr == 335 || nr == 424 || nr == 524 || nr == 536;
}
#elif defined(__TARGET_ARCH_arm64)
static __always_inline int current_syscall(void)
{
	return BPF_CORE_READ(current_regs(), syscallno);
}
#define ARG1(regs) BPF_CORE_READ(regs, orig_x0)
#define ARG2(regs) BPF_CORE_READ(regs, regs[1])
static __always_inline bool is_vm_read(int nr)
{
	return nr == 270 || nr == 376;
}
static __always_inline bool is_vm_write(int nr)
{
	return nr == 271 || nr == 377;
}
static __always_inline bool is_setns(int nr)
{
	return nr == 268 || nr == 375;
}
static __always_inline bool is_sigqueue(int nr)
{
	return nr == 138 || nr == 240 || nr == 178 || nr == 363 || nr == 424;
}
#endif

enum { NR_PIDFD_GETFD = 438 }; /* everywhere */

/* The arguments of a probed function. */
#if defined(__TARGET_ARCH_x86)
#define PROBED_ARG1(ctx) ((ctx)->di)
#define PROBED_ARG2(ctx) ((ctx)->si)
#define PROBED_RET(ctx)  ((ctx)->ax)
#elif defined(__TARGET_ARCH_arm64)
#define PROBED_ARG1(ctx) ((ctx)->regs[0])
#define PROBED_ARG2(ctx) ((ctx)->regs[1])
#define PROBED_RET(ctx)  ((ctx)->regs[0])
#endif

/* ---- who --------------------------------------------------------------------------------------- */

static __always_inline __u32 pid_number(struct pid *pid)
{
	return (__u32)BPF_CORE_READ(pid, numbers[0].nr);
}

/* The number of a task's thread in its own pid namespace. */
static __always_inline __u32 thread_ns_pid(struct task_struct *task)
{
	struct pid *pid = BPF_CORE_READ(task, thread_pid);
	unsigned int level = BPF_CORE_READ(pid, level);
	int nr = 0;

	(void)bpf_probe_read_kernel(&nr, sizeof(nr), &pid->numbers[level & 31].nr);
	return (__u32)nr;
}

static __always_inline __u32 task_pidns(struct task_struct *task)
{
	struct pid *pid = BPF_CORE_READ(task, thread_pid);
	unsigned int level = BPF_CORE_READ(pid, level);
	struct pid_namespace *ns = NULL;

	(void)bpf_probe_read_kernel(&ns, sizeof(ns), &pid->numbers[level & 31].ns);
	return BPF_CORE_READ(ns, ns.inum);
}

/* The number of `task` as the process `viewer` writes it; 0: it is not to be seen from there. */
static __always_inline __u32 pid_seen_by(struct task_struct *task, struct task_struct *viewer)
{
	struct pid *pid = BPF_CORE_READ(task, thread_pid);
	unsigned int level = BPF_CORE_READ(viewer, thread_pid, level);
	int nr = 0;

	if (level <= BPF_CORE_READ(pid, level))
		(void)bpf_probe_read_kernel(&nr, sizeof(nr), &pid->numbers[level & 31].nr);
	return (__u32)nr;
}

/* ---- fork -------------------------------------------------------------------------------------- */

static __always_inline int fork_send(void *ctx, struct task_struct *child, __u64 clone_flags)
{
	struct ev_fork *e;
	struct rec *r;

	if (child->tgid != child->pid || !hook_enter(HOOK_FORK)) /* threads are not processes */
		return 0;
	r = rec_open(EV_FORK, EV_CRITICAL, sizeof(*e));
	if (!r)
		return 0;
	e = rec_body(r);
	e->child_pid = (__u32)child->tgid;
	e->child_ns_pid = task_ns_pid(child);
	e->child_start_ns = child->start_boottime;
	e->child_cgroup_id = child->cgroups->dfl_cgrp->kn->id;
	e->parent_pid = (__u32)child->real_parent->tgid;
	e->parent_start_ns = child->real_parent->group_leader->start_boottime;
	e->clone_flags = clone_flags;
	rec_stacks(ctx, r);
	return rec_send(r);
}

/* Fires once the child is whole and before it can run: its own records come after this one. */
SEC("tp_btf/task_newtask")
int BPF_PROG(fork_newtask, struct task_struct *child, unsigned long clone_flags)
{
	return fork_send(ctx, child, clone_flags);
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(fork_sched, struct task_struct *parent, struct task_struct *child)
{
	return fork_send(ctx, child, 0);
}

SEC("tp_btf/task_newtask")
int BPF_PROG(thread_newtask, struct task_struct *child, unsigned long clone_flags)
{
	struct ev_thread *e;
	struct rec *r;

	if (child->tgid == child->pid || !hook_enter(HOOK_THREAD))
		return 0;
	r = rec_open(EV_THREAD, EV_NORMAL, sizeof(*e));
	if (!r)
		return 0;
	e = rec_body(r);
	e->child_tid = (__u32)child->pid;
	e->child_ns_tid = thread_ns_pid(child);
	e->clone_flags = clone_flags;
	rec_stacks(ctx, r);
	return rec_send(r);
}

/* ---- credentials and namespaces, read from their kernel objects ------------------------------------ */

static __always_inline void creds_read(struct process_creds *to, const struct cred *cred)
{
	/* Eight bytes on every kernel, though their type has changed. */
	(void)bpf_core_read(&to->permitted, sizeof(__u64), &cred->cap_permitted);
	(void)bpf_core_read(&to->effective, sizeof(__u64), &cred->cap_effective);
	(void)bpf_core_read(&to->inheritable, sizeof(__u64), &cred->cap_inheritable);
	(void)bpf_core_read(&to->bounding, sizeof(__u64), &cred->cap_bset);
	(void)bpf_core_read(&to->ambient, sizeof(__u64), &cred->cap_ambient);
	to->uid = BPF_CORE_READ(cred, uid.val);
	to->euid = BPF_CORE_READ(cred, euid.val);
	to->suid = BPF_CORE_READ(cred, suid.val);
	to->fsuid = BPF_CORE_READ(cred, fsuid.val);
	to->gid = BPF_CORE_READ(cred, gid.val);
	to->egid = BPF_CORE_READ(cred, egid.val);
	to->sgid = BPF_CORE_READ(cred, sgid.val);
	to->fsgid = BPF_CORE_READ(cred, fsgid.val);
	to->userns = BPF_CORE_READ(cred, user_ns, ns.inum);
	to->securebits = BPF_CORE_READ(cred, securebits);
}

static __always_inline void namespaces_read(struct process_namespaces *to, struct nsproxy *ns, const struct cred *cred)
{
	to->mnt = BPF_CORE_READ(ns, mnt_ns, ns.inum);
	to->pid = BPF_CORE_READ(ns, pid_ns_for_children, ns.inum);
	to->net = BPF_CORE_READ(ns, net_ns, ns.inum);
	to->uts = BPF_CORE_READ(ns, uts_ns, ns.inum);
	to->ipc = BPF_CORE_READ(ns, ipc_ns, ns.inum);
	to->cgroup = BPF_CORE_READ(ns, cgroup_ns, ns.inum);
	to->time = BPF_CORE_READ(ns, time_ns_for_children, ns.inum);
	to->user = BPF_CORE_READ(cred, user_ns, ns.inum);
}

static __always_inline struct process_before *before_of(struct task_struct *task, bool make)
{
	return bpf_task_storage_get(&before, task, NULL, make ? BPF_LOCAL_STORAGE_GET_F_CREATE : 0);
}

/* ---- exec -------------------------------------------------------------------------------------- */

static __always_inline int exec_creds_keep(struct task_struct *task)
{
	struct process_exec_before b = {};
	const struct cred *cred;
	__u32 tid;

	if (!hook_enter(HOOK_EXEC_CREDS))
		return 0;
	tid = (__u32)task->pid;
	cred = task->real_cred;
	b.euid = cred->euid.val;
	b.egid = cred->egid.val;
	(void)bpf_core_read(&b.permitted, sizeof(__u64), &cred->cap_permitted);
	(void)bpf_map_update_elem(&exec_before, &tid, &b, BPF_ANY);
	return 0;
}

/* Just before the point of no return: the credentials are still the old ones. */
SEC("tp_btf/sched_prepare_exec")
int BPF_PROG(exec_creds_prepare, struct task_struct *task, struct linux_binprm *bprm)
{
	return exec_creds_keep(bpf_get_current_task_btf());
}

/* Older kernels: exec renames the task before it commits the credentials. */
SEC("tp_btf/task_rename")
int BPF_PROG(exec_creds_rename, struct task_struct *renamed, const char *comm)
{
	struct task_struct *task = bpf_get_current_task_btf();

	if (renamed->pid != task->pid || !BPF_CORE_READ_BITFIELD_PROBED(task, in_execve))
		return 0;
	return exec_creds_keep(task);
}

/* A name alone is no proof: anybody may call a file so. A memfd lives on a mount that only the kernel has. */
static __always_inline bool is_memfd(struct file *file)
{
	char name[6] = {};

	(void)bpf_probe_read_kernel(name, sizeof(name), file->f_path.dentry->d_name.name);
	return (BPF_CORE_READ(file, f_path.mnt, mnt_flags) & KERNEL_MNT_INTERNAL) && name[0] == 'm' && name[1] == 'e' &&
	       name[2] == 'm' && name[3] == 'f' && name[4] == 'd' && name[5] == ':';
}

static __always_inline __u16 traits_of(struct linux_binprm *bprm)
{
	struct inode *inode = bprm->file->f_inode;
	struct dentry *dentry = bprm->file->f_path.dentry;
	__u16 mode = inode->i_mode, traits = 0;

	if (mode & KERNEL_S_ISUID)
		traits |= EXEC_SETUID;
	if (mode & KERNEL_S_ISGID)
		traits |= EXEC_SETGID;
	if (is_memfd(bprm->file))
		traits |= EXEC_MEMFD;
	else if (!inode->i_nlink || (!dentry->d_hash.pprev && dentry->d_parent != dentry))
		traits |= EXEC_DELETED;
	if (BPF_CORE_READ_BITFIELD_PROBED(bprm, secureexec))
		traits |= EXEC_PRIVILEGED;
	return traits;
}

/* A thread that is not the first takes the first one's number on the way: before or after the look, by the variant. */
static __always_inline void exec_creds(struct ev_exec *e, const struct cred *cred, __u32 old_tid, __u32 tid)
{
	struct process_exec_before *b = bpf_map_lookup_elem(&exec_before, &old_tid);

	if (b)
		tid = old_tid;
	else
		b = bpf_map_lookup_elem(&exec_before, &tid);
	(void)bpf_core_read(&e->cap_effective, sizeof(__u64), &cred->cap_effective);
	(void)bpf_core_read(&e->cap_permitted, sizeof(__u64), &cred->cap_permitted);
	e->euid = cred->euid.val;
	e->egid = cred->egid.val;
	e->old_euid = e->old_egid = -1;
	if (!b)
		return;
	e->old_euid = b->euid;
	e->old_egid = b->egid;
	e->cap_gained = e->cap_permitted & ~b->permitted;
	(void)bpf_map_delete_elem(&exec_before, &tid);
}

static __always_inline void exec_session(struct ev_exec *e, struct task_struct *task)
{
	struct tty_struct *tty = task->signal->tty;

	e->sid = pid_number(task->signal->pids[PIDTYPE_SID]);
	e->pgid = pid_number(task->signal->pids[PIDTYPE_PGID]);
	if (!tty)
		return;
	e->has_tty = 1;
	e->tty_major = (__u32)BPF_CORE_READ(tty, driver, major);
	e->tty_minor = (__u32)(BPF_CORE_READ(tty, driver, minor_start) + BPF_CORE_READ(tty, index));
}

static __always_inline void exec_args(struct rec *r, struct ev_exec *e, struct mm_struct *mm)
{
	__u64 start = mm->arg_start, end = mm->arg_end, n = end - start;

	if (end <= start)
		return;
	if (n > config.args_max) {
		rec_mark(r, EV_F_TRUNCATED);
		n = config.args_max;
	}
	rec_ustrs(r, &e->args, (void *)start, (__u32)n, PROCESS_ARGS_MAX);
}

/* After the point of no return and before the new program's first instruction. */
SEC("tp_btf/sched_process_exec")
int BPF_PROG(exec_tp, struct task_struct *task, pid_t old_pid, struct linux_binprm *bprm)
{
	struct file *file = bprm->file;
	const char *filename, *interp;
	struct ev_exec *e;
	struct rec *r;

	if (!hook_enter(HOOK_EXEC))
		return 0;
	r = rec_open(EV_EXEC, EV_CRITICAL, sizeof(*e));
	if (!r)
		return 0;
	e = rec_body(r);
	e->inode = file->f_inode->i_ino;
	e->dev = file->f_inode->i_sb->s_dev;
	e->mode = file->f_inode->i_mode;
	e->file_uid = file->f_inode->i_uid.val;
	e->file_gid = file->f_inode->i_gid.val;
	e->traits = traits_of(bprm);
	e->parent_pid = (__u32)task->real_parent->tgid;
	e->parent_start_ns = task->real_parent->group_leader->start_boottime;
	e->argc = (__u32)bprm->argc;
	e->mntns = task->nsproxy->mnt_ns->ns.inum;
	e->pidns = task_pidns(task);
	e->from_tid = old_pid == task->pid ? 0 : (__u32)old_pid;
	exec_session(e, task);
	exec_creds(e, task->real_cred, (__u32)old_pid, (__u32)task->pid);
	rec_path(r, &e->exe, &file->f_path);
	rec_path(r, &e->cwd, &task->fs->pwd);
	filename = bprm->filename;
	interp = bprm->interp;
	rec_kstr(r, &e->filename, filename, EV_STR_MAX);
	if (interp != filename)
		rec_kstr(r, &e->interp, interp, EV_STR_MAX);
	exec_args(r, e, task->mm);
	rec_stacks(ctx, r);
	return rec_send(r);
}

/* Not for ENOENT: every search along PATH ends in a few of them. */
static __always_inline int exec_failed(void *ctx, struct linux_binprm *bprm, int ret)
{
	enum { KERNEL_ENOENT = 2 };
	const char *filename = bprm->filename;
	struct ev_exec_failed *e;
	struct rec *r;

	if (!ret || ret == -KERNEL_ENOENT || !hook_enter(HOOK_EXEC_FAILED))
		return 0;
	r = rec_open(EV_EXEC_FAILED, EV_NORMAL, sizeof(*e));
	if (!r)
		return 0;
	e = rec_body(r);
	e->error = -ret;
	rec_kstr(r, &e->filename, filename, EV_STR_MAX);
	if (bprm->file)
		rec_path(r, &e->exe, &bprm->file->f_path);
	rec_stacks(ctx, r);
	return rec_send(r);
}

SEC("fexit/bprm_execve")
int BPF_PROG(exec_failed_fexit, struct linux_binprm *bprm, int ret)
{
	return exec_failed(ctx, bprm, ret);
}

SEC("fexit/bprm_execve")
int BPF_PROG(exec_failed_fexit4, struct linux_binprm *bprm, int fd, void *filename, int flags, int ret)
{
	return exec_failed(ctx, bprm, ret);
}

/* ---- exit -------------------------------------------------------------------------------------- */

static __always_inline int exit_send(void *ctx, struct task_struct *task)
{
	struct signal_struct *sig = task->signal;
	struct ev_exit *e;
	struct rec *r;
	int code;

	if (!hook_enter(HOOK_EXIT))
		return 0;
	r = rec_open(EV_EXIT, EV_CRITICAL, sizeof(*e));
	if (!r)
		return 0;
	e = rec_body(r);
	code = sig->group_exit_code; /* what wait() will report: set before the last thread gets here */
	e->code = (__u32)(code >> 8) & 0xff;
	e->signal = (__u32)code & 0x7f;
	e->core_dumped = code >> 7 & 1;
	e->run_ns = e->head.time_ns - e->head.start_ns;
	e->max_rss_bytes = sig->maxrss * config.page_size;
	rec_stacks(ctx, r);
	return rec_send(r);
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(exit_dead, struct task_struct *task, bool group_dead)
{
	return group_dead ? exit_send(ctx, task) : 0;
}

/*
 * Older kernels do not say which thread was the last, and two that end at once both see none
 * alive: whoever comes first speaks. By the time the other gets here the first may be gone, and
 * the process look as if it had had one thread only: the map remembers.
 */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(exit_live, struct task_struct *task)
{
	struct process_key key = { .start_ns = task->group_leader->start_boottime, .pid = (__u32)task->tgid };
	__u8 one = 1;

	if (task->signal->live.counter)
		return 0;
	if (task->signal->nr_threads > 1 ? bpf_map_update_elem(&ended, &key, &one, BPF_NOEXIST) != 0
					 : bpf_map_lookup_elem(&ended, &key) != NULL)
		return 0;
	return exit_send(ctx, task);
}

/* ---- credentials --------------------------------------------------------------------------------- */

static __always_inline __u16 creds_kind(const struct process_creds *a, const struct process_creds *b)
{
	if (a->uid != b->uid || a->euid != b->euid || a->suid != b->suid || a->fsuid != b->fsuid)
		return EV_UID_CHANGE;
	if (a->gid != b->gid || a->egid != b->egid || a->sgid != b->sgid || a->fsgid != b->fsgid)
		return EV_GID_CHANGE;
	if (a->effective != b->effective || a->permitted != b->permitted || a->inheritable != b->inheritable ||
	    a->bounding != b->bounding || a->ambient != b->ambient || a->securebits != b->securebits ||
	    a->userns != b->userns)
		return EV_CAP_CHANGE;
	return 0; /* keyrings and the like */
}

static __always_inline int creds_fill(void *ctx, struct rec *r, const struct process_creds *from,
				      const struct process_creds *to)
{
	struct ev_creds *e;

	if (!r)
		return 0;
	e = rec_body(r);
	e->head.uid = to->uid;
	e->head.gid = to->gid;
	e->from = *from;
	e->to = *to;
	e->gained = to->effective & ~from->effective;
	e->lost = from->effective & ~to->effective;
	rec_stacks(ctx, r);
	return rec_send(r);
}

static __always_inline int creds_send(void *ctx, const struct process_creds *from, const struct process_creds *to)
{
	__u16 kind = creds_kind(from, to);

	if (kind == EV_UID_CHANGE)
		return creds_fill(ctx, rec_open(EV_UID_CHANGE, EV_CRITICAL, sizeof(struct ev_creds)), from, to);
	if (kind == EV_GID_CHANGE)
		return creds_fill(ctx, rec_open(EV_GID_CHANGE, EV_CRITICAL, sizeof(struct ev_creds)), from, to);
	if (kind == EV_CAP_CHANGE)
		return creds_fill(ctx, rec_open(EV_CAP_CHANGE, EV_CRITICAL, sizeof(struct ev_creds)), from, to);
	return 0;
}

/* Whoever asks for it, a system call or an exploit, new credentials pass here. An exec has its own record. */
static __always_inline int creds_commit(void *ctx, const struct cred *new)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct process_creds from = {}, to = {};

	if (BPF_CORE_READ_BITFIELD_PROBED(task, in_execve) || !hook_enter(HOOK_CREDENTIALS))
		return 0;
	creds_read(&from, task->real_cred);
	creds_read(&to, new);
	return creds_send(ctx, &from, &to);
}

SEC("fentry/commit_creds")
int BPF_PROG(creds_fentry, struct cred *new)
{
	return creds_commit(ctx, new);
}

SEC("kprobe/commit_creds")
int creds_kprobe(struct pt_regs *ctx)
{
	return creds_commit(ctx, (const struct cred *)PROBED_ARG1(ctx));
}

static __always_inline int creds_enter(void)
{
	struct process_before *b;
	struct task_struct *task;

	if (!hook_enter(HOOK_CREDENTIALS))
		return 0;
	task = bpf_get_current_task_btf();
	b = before_of(task, true);
	if (!b)
		return 0;
	creds_read(&b->creds, task->real_cred);
	b->has_creds = 1;
	return 0;
}

/* In scope is what the first half has kept something of. */
static __always_inline int creds_exit(void *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct process_before *b = before_of(task, false);
	struct process_creds from, to = {};

	if (!b || !b->has_creds)
		return 0;
	b->has_creds = 0;
	from = b->creds;
	creds_read(&to, task->real_cred);
	return creds_send(ctx, &from, &to);
}

#define CREDS_SYSCALL(name)                                                                                            \
	SEC("tp/syscalls/sys_enter_" #name)                                                                            \
	int creds_enter_##name(void *ctx)                                                                              \
	{                                                                                                              \
		return creds_enter();                                                                                  \
	}                                                                                                              \
	SEC("tp/syscalls/sys_exit_" #name)                                                                             \
	int creds_exit_##name(void *ctx)                                                                               \
	{                                                                                                              \
		return creds_exit(ctx);                                                                                \
	}
CREDS_SYSCALL(setuid)
CREDS_SYSCALL(setgid)
CREDS_SYSCALL(setreuid)
CREDS_SYSCALL(setregid)
CREDS_SYSCALL(setresuid)
CREDS_SYSCALL(setresgid)
CREDS_SYSCALL(setfsuid)
CREDS_SYSCALL(setfsgid)
CREDS_SYSCALL(capset)
CREDS_SYSCALL(prctl)
CREDS_SYSCALL(unshare)
CREDS_SYSCALL(setns)

/* ---- namespaces ---------------------------------------------------------------------------------- */

static __always_inline __u16 namespaces_changed(const struct process_namespaces *a, const struct process_namespaces *b)
{
	return (__u16)((a->mnt != b->mnt ? NAMESPACE_MNT : 0) | (a->pid != b->pid ? NAMESPACE_PID : 0) |
		       (a->net != b->net ? NAMESPACE_NET : 0) | (a->uts != b->uts ? NAMESPACE_UTS : 0) |
		       (a->ipc != b->ipc ? NAMESPACE_IPC : 0) | (a->cgroup != b->cgroup ? NAMESPACE_CGROUP : 0) |
		       (a->time != b->time ? NAMESPACE_TIME : 0) | (a->user != b->user ? NAMESPACE_USER : 0));
}

static __always_inline int namespace_send(void *ctx, struct task_struct *subject, __u16 how,
					  const struct process_namespaces *from, const struct process_namespaces *to)
{
	__u16 changed = namespaces_changed(from, to);
	struct ev_namespace *e;
	struct rec *r;

	if (!changed)
		return 0;
	r = rec_open(EV_NAMESPACE, EV_CRITICAL, sizeof(*e));
	if (!r)
		return 0;
	e = rec_body(r);
	e->subject_pid = (__u32)subject->tgid;
	e->subject_start_ns = subject->group_leader->start_boottime;
	e->how = how;
	e->changed = changed;
	e->from = *from;
	e->to = *to;
	rec_stacks(ctx, r);
	return rec_send(r);
}

enum {
	CLONE_NEW_ANY = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000 | 0x80
};

SEC("tp_btf/task_newtask")
int BPF_PROG(namespace_clone, struct task_struct *child, unsigned long clone_flags)
{
	struct process_namespaces from = {}, to = {};
	struct task_struct *task;

	if (!(clone_flags & CLONE_NEW_ANY) || !hook_enter(HOOK_NAMESPACE))
		return 0;
	task = bpf_get_current_task_btf();
	namespaces_read(&from, task->nsproxy, task->real_cred);
	namespaces_read(&to, child->nsproxy, child->real_cred);
	return namespace_send(ctx, child, NAMESPACE_CLONE, &from, &to);
}

/* All but the user namespace, which comes with credentials. An exiting task gives its up: `new` is NULL then. */
static __always_inline int namespace_switch(void *ctx, struct nsproxy *new)
{
	struct process_namespaces from = {}, to = {};
	struct task_struct *task;

	if (!new || !hook_enter(HOOK_NAMESPACE))
		return 0;
	task = bpf_get_current_task_btf();
	namespaces_read(&from, task->nsproxy, task->real_cred);
	namespaces_read(&to, new, task->real_cred);
	return namespace_send(ctx, task, is_setns(current_syscall()) ? NAMESPACE_SETNS : NAMESPACE_UNSHARE, &from, &to);
}

static __always_inline int namespace_commit(void *ctx, const struct cred *new)
{
	struct process_namespaces from = {}, to = {};
	struct task_struct *task = bpf_get_current_task_btf();

	if (BPF_CORE_READ(new, user_ns) == BPF_CORE_READ(task, real_cred, user_ns) || !hook_enter(HOOK_NAMESPACE))
		return 0;
	namespaces_read(&from, task->nsproxy, task->real_cred);
	namespaces_read(&to, task->nsproxy, new);
	return namespace_send(ctx, task, is_setns(current_syscall()) ? NAMESPACE_SETNS : NAMESPACE_UNSHARE, &from, &to);
}

SEC("fentry/switch_task_namespaces")
int BPF_PROG(namespace_fentry, struct task_struct *task, struct nsproxy *new)
{
	return namespace_switch(ctx, new);
}

SEC("fentry/commit_creds")
int BPF_PROG(namespace_user_fentry, struct cred *new)
{
	return namespace_commit(ctx, new);
}

SEC("kprobe/switch_task_namespaces")
int namespace_kprobe(struct pt_regs *ctx)
{
	return namespace_switch(ctx, (struct nsproxy *)PROBED_ARG2(ctx));
}

SEC("kprobe/commit_creds")
int namespace_user_kprobe(struct pt_regs *ctx)
{
	return namespace_commit(ctx, (const struct cred *)PROBED_ARG1(ctx));
}

static __always_inline int namespace_enter(void)
{
	struct process_before *b;
	struct task_struct *task;

	if (!hook_enter(HOOK_NAMESPACE))
		return 0;
	task = bpf_get_current_task_btf();
	b = before_of(task, true);
	if (!b)
		return 0;
	namespaces_read(&b->ns, task->nsproxy, task->real_cred);
	b->has_ns = 1;
	return 0;
}

static __always_inline int namespace_exit(void *ctx, __u16 how)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct process_before *b = before_of(task, false);
	struct process_namespaces from, to = {};

	if (!b || !b->has_ns)
		return 0;
	b->has_ns = 0;
	from = b->ns;
	namespaces_read(&to, task->nsproxy, task->real_cred);
	return namespace_send(ctx, task, how, &from, &to);
}

SEC("tp/syscalls/sys_enter_unshare")
int namespace_enter_unshare(void *ctx)
{
	return namespace_enter();
}

SEC("tp/syscalls/sys_exit_unshare")
int namespace_exit_unshare(void *ctx)
{
	return namespace_exit(ctx, NAMESPACE_UNSHARE);
}

SEC("tp/syscalls/sys_enter_setns")
int namespace_enter_setns(void *ctx)
{
	return namespace_enter();
}

SEC("tp/syscalls/sys_exit_setns")
int namespace_exit_setns(void *ctx)
{
	return namespace_exit(ctx, NAMESPACE_SETNS);
}

/* ---- sessions -------------------------------------------------------------------------------------- */

static __always_inline int session_send(void *ctx, long ret)
{
	struct task_struct *task;
	struct ev_session *e;
	struct rec *r;

	if (!hook_enter(HOOK_SESSION) || ret < 0)
		return 0;
	r = rec_open(EV_SESSION, EV_CRITICAL, sizeof(*e));
	if (!r)
		return 0;
	task = bpf_get_current_task_btf();
	e = rec_body(r);
	e->sid = pid_number(task->signal->pids[PIDTYPE_SID]);
	rec_stacks(ctx, r);
	return rec_send(r);
}

SEC("fexit/ksys_setsid")
int BPF_PROG(session_fexit, int ret)
{
	return session_send(ctx, ret);
}

SEC("kretprobe/ksys_setsid")
int session_kretprobe(struct pt_regs *ctx)
{
	return session_send(ctx, (int)PROBED_RET(ctx));
}

SEC("tp/syscalls/sys_exit_setsid")
int session_exit(struct sys_exit_ctx *ctx)
{
	return session_send(ctx, ctx->ret);
}

/* ---- reaching into another process ---------------------------------------------------------------- */

static __always_inline int access_fill(void *ctx, struct rec *r, __u32 operation, struct task_struct *target,
				       __u32 number, long ret)
{
	struct ev_access *e;

	if (!r)
		return 0;
	e = rec_body(r);
	e->operation = operation;
	e->error = ret < 0 ? (__s32)-ret : 0;
	e->target_ns_pid = number;
	if (target) {
		e->target_pid = (__u32)BPF_CORE_READ(target, tgid);
		e->target_tid = (__u32)BPF_CORE_READ(target, pid);
		e->target_start_ns = BPF_CORE_READ(target, group_leader, start_boottime);
		e->target_uid = BPF_CORE_READ(target, real_cred, uid.val);
		(void)bpf_core_read(e->target_comm, sizeof(e->target_comm), &target->comm);
	}
	rec_stacks(ctx, r);
	return rec_send(r);
}

/* Attaching is rare and telling. A debugger may read memory a hundred thousand times a second. */
static __always_inline int ptrace_send(void *ctx, __u32 operation, struct task_struct *target, __u32 number, long ret)
{
	return access_fill(ctx, rec_open(EV_PTRACE, EV_CRITICAL, sizeof(struct ev_access)), operation, target, number,
			   ret);
}

static __always_inline int vm_send(void *ctx, __u32 operation, struct task_struct *target, __u32 number, long ret)
{
	return access_fill(ctx, rec_open(EV_VM_ACCESS, EV_NORMAL, sizeof(struct ev_access)), operation, target, number,
			   ret);
}

enum { MODE_ATTACH = 0x02, MODE_REALCREDS = 0x10 };

/*
 * The one check that all of them pass. Of those with the right to attach by the caller's real
 * credentials, what is neither of the others is ptrace; /proc asks by file credentials.
 */
static __always_inline __u32 operation_of(unsigned int mode)
{
	int nr;

	if ((mode & (MODE_ATTACH | MODE_REALCREDS)) != (MODE_ATTACH | MODE_REALCREDS))
		return 0;
	nr = current_syscall();
	if (is_vm_read(nr))
		return ACCESS_VM_READ;
	if (is_vm_write(nr))
		return ACCESS_VM_WRITE;
	return nr == NR_PIDFD_GETFD ? ACCESS_TAKE_FD : ACCESS_ATTACH;
}

static __always_inline int ptrace_checked(void *ctx, struct task_struct *target, unsigned int mode, int ret)
{
	if (operation_of(mode) != ACCESS_ATTACH || !hook_enter(HOOK_PTRACE))
		return 0;
	return ptrace_send(ctx, ACCESS_ATTACH, target, pid_seen_by(target, bpf_get_current_task_btf()), ret);
}

static __always_inline int traceme_checked(void *ctx, struct task_struct *parent, int ret)
{
	if (!hook_enter(HOOK_PTRACE))
		return 0;
	return ptrace_send(ctx, ACCESS_TRACEME, parent, pid_seen_by(parent, bpf_get_current_task_btf()), ret);
}

static __always_inline int vm_checked(void *ctx, struct task_struct *target, unsigned int mode, int ret)
{
	__u32 operation = operation_of(mode);

	if (!operation || operation == ACCESS_ATTACH || !hook_enter(HOOK_VM_ACCESS))
		return 0;
	return vm_send(ctx, operation, target, pid_seen_by(target, bpf_get_current_task_btf()), ret);
}

SEC("fexit/security_ptrace_access_check")
int BPF_PROG(ptrace_fexit, struct task_struct *target, unsigned int mode, int ret)
{
	return ptrace_checked(ctx, target, mode, ret);
}

SEC("fexit/security_ptrace_traceme")
int BPF_PROG(traceme_fexit, struct task_struct *parent, int ret)
{
	return traceme_checked(ctx, parent, ret);
}

SEC("fexit/security_ptrace_access_check")
int BPF_PROG(vm_fexit, struct task_struct *target, unsigned int mode, int ret)
{
	return vm_checked(ctx, target, mode, ret);
}

SEC("kprobe/security_ptrace_access_check")
int ptrace_kprobe(struct pt_regs *ctx)
{
	return ptrace_checked(ctx, (struct task_struct *)PROBED_ARG1(ctx), (unsigned int)PROBED_ARG2(ctx), 0);
}

SEC("kprobe/security_ptrace_traceme")
int traceme_kprobe(struct pt_regs *ctx)
{
	return traceme_checked(ctx, (struct task_struct *)PROBED_ARG1(ctx), 0);
}

SEC("kprobe/security_ptrace_access_check")
int vm_kprobe(struct pt_regs *ctx)
{
	return vm_checked(ctx, (struct task_struct *)PROBED_ARG1(ctx), (unsigned int)PROBED_ARG2(ctx), 0);
}

/* The tracee that joined last, when it is the one that `number` names. */
static __always_inline struct task_struct *newest_tracee(struct task_struct *task, __u32 number)
{
	struct list_head *head = (void *)((char *)task + bpf_core_field_offset(struct task_struct, ptraced));
	struct list_head *first = BPF_CORE_READ(task, ptraced.next);
	struct task_struct *target;

	if (!first || first == head)
		return NULL;
	target = (void *)((char *)first - bpf_core_field_offset(struct task_struct, ptrace_entry));
	return pid_seen_by(target, task) == number ? target : NULL;
}

enum { REQUEST_TRACEME = 0, REQUEST_ATTACH = 16, REQUEST_SEIZE = 0x4206 };

SEC("tp/syscalls/sys_exit_ptrace")
int ptrace_exit(struct sys_exit_ctx *ctx)
{
	struct pt_regs *regs = current_regs();
	__u64 request = ARG1(regs);
	__u32 number = (__u32)ARG2(regs);
	struct task_struct *task, *target = NULL;

	if ((request != REQUEST_TRACEME && request != REQUEST_ATTACH && request != REQUEST_SEIZE) ||
	    !hook_enter(HOOK_PTRACE))
		return 0;
	task = bpf_get_current_task_btf();
	if (request == REQUEST_TRACEME) {
		target = task->real_parent;
		return ptrace_send(ctx, ACCESS_TRACEME, target, pid_seen_by(target, task), ctx->ret);
	}
	if (!ctx->ret)
		target = newest_tracee(task, number);
	return ptrace_send(ctx, ACCESS_ATTACH, target, number, ctx->ret);
}

static __always_inline int vm_exit(struct sys_exit_ctx *ctx, __u32 operation)
{
	struct task_struct *target;
	__u32 number;

	if (!hook_enter(HOOK_VM_ACCESS))
		return 0;
	number = (__u32)ARG1(current_regs());
	if (number == thread_ns_pid(bpf_get_current_task_btf())) /* itself */
		return 0;
	if (!bpf_task_from_vpid)
		return vm_send(ctx, operation, NULL, number, ctx->ret);
	target = bpf_task_from_vpid((__s32)number);
	(void)vm_send(ctx, operation, target, number, ctx->ret);
	if (target)
		bpf_task_release(target);
	return 0;
}

SEC("tp/syscalls/sys_exit_process_vm_readv")
int vm_exit_readv(struct sys_exit_ctx *ctx)
{
	return vm_exit(ctx, ACCESS_VM_READ);
}

SEC("tp/syscalls/sys_exit_process_vm_writev")
int vm_exit_writev(struct sys_exit_ctx *ctx)
{
	return vm_exit(ctx, ACCESS_VM_WRITE);
}

/* ---- signals ---------------------------------------------------------------------------------------- */

enum { CODE_USER = 0, CODE_QUEUE = -1, CODE_TKILL = -6 };

/* Did a process ask for it? A caller of rt_sigqueueinfo may write a code that timers use. */
static __always_inline bool is_sent(int code)
{
	return code == CODE_USER || code == CODE_QUEUE || code == CODE_TKILL ||
	       (code < 0 && is_sigqueue(current_syscall()));
}

SEC("tp_btf/signal_generate")
int BPF_PROG(signal_tp, int sig, struct kernel_siginfo *info, struct task_struct *target, int group, int result)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct ev_signal *e;
	struct rec *r;
	int code;

	/* Two addresses are no addresses: signals of the kernel itself. */
	if ((unsigned long)info <= 1 || target->tgid == (int)tgid)
		return 0;
	code = BPF_CORE_READ(info, si_code);
	if (!is_sent(code) || !hook_enter(HOOK_SIGNAL))
		return 0;
	if (!(config.signals >> ((sig - 1) & 63) & 1))
		return rec_refuse(EV_SIGNAL);
	r = rec_open(EV_SIGNAL, EV_NORMAL, sizeof(*e));
	if (!r)
		return 0;
	e = rec_body(r);
	e->target_pid = (__u32)target->tgid;
	e->target_tid = (__u32)target->pid;
	e->target_start_ns = target->group_leader->start_boottime;
	e->target_uid = target->real_cred->uid.val;
	(void)bpf_probe_read_kernel(e->target_comm, sizeof(e->target_comm), target->comm);
	e->signal = sig;
	e->code = code;
	e->result = (__u8)result;
	e->to_thread = !group;
	rec_stacks(ctx, r);
	return rec_send(r);
}
