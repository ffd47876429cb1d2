/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * core.bpf - the kernel side that every sensor builds on: scope, books, budgets, and
 * building one variable-length record.
 *
 *	if (!hook_enter(HOOK_EXEC))		// scope, canary, hook counter
 *		return 0;
 *	struct rec *r = rec_open(EV_EXEC, EV_CRITICAL, sizeof(struct ev_exec));
 *	if (!r)					// counted why
 *		return 0;
 *	struct ev_exec *e = rec_body(r);
 *	e->argc = ...;
 *	rec_kstr(r, &e->path, bprm->filename, EV_STR_MAX);
 *	rec_stacks(ctx, r);
 *	return rec_send(r);
 *
 * Records are built in scratch memory and copied to a ring whole, because a ring can only
 * reserve sizes known at load. Every rec_open() that hands out a record is followed by
 * exactly one rec_send() or rec_drop() on every path.
 *
 * The books always add up: seen = sent + filtered + lost_ring + lost_budget + error. They are
 * per CPU and still added to atomically: a program may be preempted by itself on its CPU.
 */
#pragma once
#include "bpf/kernel.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "bpf/core.map.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

const volatile struct core_config core;

/* clang drops the type of a record from BTF unless a global names it; the field-table test needs it. */
#define KEEP_BTF(s) const struct s *keep_btf_##s __attribute__((unused))

/* The agent makes the maps of this block once and every object uses them; their sizes are set there. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} ring_critical SEC(".maps"), ring_bulk SEC(".maps"), ring_packet SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, REC_SLOTS);
	__type(key, __u32);
	__type(value, struct rec);
} scratch SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, BUDGET_CGROUPS_MAX);
	__type(key, struct budget_key);
	__type(value, struct budget);
} budgets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct reader_state);
} reader SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} scope_cgroup SEC(".maps");

/* From here on: one of each an object. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, EV_KIND_MAX);
	__type(key, __u32);
	__type(value, struct ev_counts);
} counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, EV_HOOK_MAX);
	__type(key, __u32);
	__type(value, struct ev_hook_counts);
} hook_counts SEC(".maps");

#define count(c, member) ((void)__sync_fetch_and_add(&(c)->member, 1))

/*
 * True where low <= *n <= high, in a form that every verifier follows: left to itself, the compiler
 * folds two comparisons into one and then uses a register that never went through it.
 */
static __always_inline bool in_range(__u64 *n, __u64 low, __u64 high)
{
	__u64 above = *n - low;

	asm volatile("" : "+r"(above));
	if (above > high - low)
		return false;
	*n = above + low;
	return true;
}

/* ---- scope --------------------------------------------------------------------------- */

static __always_inline bool task_is_agent(struct task_struct *task)
{
	return task->tgid == (int)core.agent_tgid || task->real_parent->tgid == (int)core.agent_tgid;
}

/* Is this cgroup (of a socket, or of a task that is not current) the scope's or below? */
static __always_inline bool cgroup_in_scope(struct cgroup *cg)
{
	struct cgroup *at;
	int level;

	if (bpf_probe_read_kernel(&level, sizeof(level), &cg->level) || level < (int)core.scope_level)
		return false;
	/* As a rule this runs once. Where the agent cannot see how deep its cgroup lies, it has to be looked for. */
	for (int i = 0; i < CGROUP_DEPTH_MAX; i++) {
		int depth = (int)core.scope_level + i;

		if (depth > level || bpf_probe_read_kernel(&at, sizeof(at), &cg->ancestors[depth]))
			return false;
		if (BPF_CORE_READ(at, kn, id) == core.scope_cgroup_id)
			return true;
		if (!core.scope_level_is_least)
			return false;
	}
	return false;
}

/* Decides for something that was not done by `current`: pass what is known of its cgroup and netns. */
static __always_inline bool scope_has(struct cgroup *cg, __u32 netns)
{
	if (core.scope == SCOPE_CGROUP)
		return cg && cgroup_in_scope(cg);
	if (core.scope == SCOPE_NETNS)
		return netns == core.scope_netns;
	return true;
}

static __always_inline void hook_count(__u32 hook, bool canary)
{
	struct ev_hook_counts *c = bpf_map_lookup_elem(&hook_counts, &hook);

	if (!c)
		return;
	if (canary)
		count(c, canary);
	else
		count(c, fired);
}

/* Is `current` in the scope? Counts nothing: for the first of two programs that make one hook. */
static __always_inline bool task_in_scope(struct task_struct *task)
{
	if (core.scope == SCOPE_CGROUP && bpf_current_task_under_cgroup(&scope_cgroup, 0) != 1)
		return false;
	return core.scope != SCOPE_NETNS || task->nsproxy->net_ns->ns.inum == core.scope_netns;
}

/*
 * Would hook_enter() count anything? Counts nothing itself: for programs that have much to look at before they know
 * whether the hook fires at all. Where all the host is the scope, the answer is always yes, and costs nothing.
 */
static __always_inline bool task_matters(struct task_struct *task)
{
	return core.scope == SCOPE_HOST || task_is_agent(task) || task_in_scope(task);
}

/*
 * The first line of every program that runs in the context of who acts. False: say nothing
 * (outside the scope, or the agent itself, whose doings count as canaries).
 */
static __always_inline bool hook_enter(__u32 hook)
{
	struct task_struct *task = bpf_get_current_task_btf();

	if (task_is_agent(task)) {
		hook_count(hook, true);
		return false;
	}
	if (!task_in_scope(task))
		return false;
	hook_count(hook, false);
	return true;
}

/*
 * The same for cgroup programs in the context of who acts: the kernel runs them for the scope's
 * cgroup and below only, and many kernels have no helper to ask there.
 */
static __always_inline bool hook_enter_cgroup(__u32 hook)
{
	struct task_struct *task = bpf_get_current_task_btf();

	if (task_is_agent(task)) {
		hook_count(hook, true);
		return false;
	}
	if (core.scope == SCOPE_NETNS && task->nsproxy->net_ns->ns.inum != core.scope_netns)
		return false;
	hook_count(hook, false);
	return true;
}

/* The same for programs that run wherever the kernel happens to be (softirq): the caller knows whose it is. */
static __always_inline bool hook_enter_for(__u32 hook, struct cgroup *cg, __u32 netns)
{
	if (!scope_has(cg, netns))
		return false;
	hook_count(hook, false);
	return true;
}

/* ---- budgets -------------------------------------------------------------------------- */

static __always_inline bool budget_take(__u32 class, __u64 cgroup_id, __u64 now_ns)
{
	struct budget_key key = { .cgroup_id = cgroup_id, .class = class };
	struct budget *b, first = { .window_start_ns = now_ns, .used = 1 };
	__u64 start;

	if (class >= EV_CLASS_COUNT || !core.budget[class])
		return true;
	b = bpf_map_lookup_elem(&budgets, &key);
	if (!b) {
		(void)bpf_map_update_elem(&budgets, &key, &first, BPF_NOEXIST);
		return true;
	}
	start = b->window_start_ns;
	/* Of the CPUs that see the window end, one opens the next. */
	if (now_ns - start >= core.budget_window_ns &&
	    __sync_val_compare_and_swap(&b->window_start_ns, start, now_ns) == start) {
		b->used = 1;
		return true;
	}
	return __sync_fetch_and_add(&b->used, 1) < core.budget[class];
}

/* ---- records --------------------------------------------------------------------------- */

static __always_inline __u32 task_ns_pid(struct task_struct *task)
{
	struct pid *pid = task->signal->pids[PIDTYPE_TGID];
	unsigned int level = pid->level;
	int nr = 0;

	(void)bpf_probe_read_kernel(&nr, sizeof(nr), &pid->numbers[level & 31].nr);
	return (__u32)nr;
}

static __always_inline void head_fill(struct ev_head *h, struct task_struct *task)
{
	h->cgroup_id = task->cgroups->dfl_cgrp->kn->id;
	h->start_ns = task->group_leader->start_boottime;
	h->pid = (__u32)task->tgid;
	h->tid = (__u32)task->pid;
	h->uid = task->cred->uid.val;
	h->gid = task->cred->gid.val;
	h->netns = task->nsproxy->net_ns->ns.inum;
	h->ns_pid = task_ns_pid(task);
	(void)bpf_probe_read_kernel(h->comm, sizeof(h->comm), task->comm);
}

static __always_inline struct rec *rec_slot(void)
{
	__u32 first = bpf_get_smp_processor_id() * REC_SLOTS;

#pragma unroll
	for (__u32 i = 0; i < REC_SLOTS; i++) {
		__u32 at = first + i;
		struct rec *r = bpf_map_lookup_elem(&scratch, &at);

		if (r && !__sync_val_compare_and_swap(&r->busy, 0, 1)) {
			r->slot = at;
			return r;
		}
	}
	return NULL;
}

/* Books a record and finds room for it: rec_open() without who acts. */
static __always_inline struct rec *rec_begin(__u16 id, __u32 class, __u32 size, __u64 cgroup_id)
{
	__u32 number = EV_ID_NUMBER(id);
	struct ev_counts *c = bpf_map_lookup_elem(&counts, &number);
	__u64 now_ns = bpf_ktime_get_boot_ns();
	struct ev_head *h;
	struct rec *r;

	if (!c)
		return NULL;
	count(c, seen);
	if (class != EV_CRITICAL && !budget_take(class, cgroup_id, now_ns)) {
		count(c, lost_budget);
		return NULL;
	}
	r = rec_slot();
	if (!r) {
		count(c, error);
		return NULL;
	}
	r->number = number;
	r->class = class;
	r->pos = size;
	__builtin_memset(r->data, 0, size);
	h = (struct ev_head *)r->data;
	h->time_ns = now_ns;
	h->id = id;
	h->cpu = (__u16)bpf_get_smp_processor_id();
	h->class = (__u8) class;
	return r;
}

/*
 * Starts a record whose fixed part has `size` bytes, zeroed, with its head filled for the
 * current task. NULL when the budget is spent or no scratch is free: both are counted.
 * `class` and `size` are constants.
 */
static __always_inline struct rec *rec_open(__u16 id, __u32 class, __u32 size)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct rec *r = rec_begin(id, class, size, task->cgroups->dfl_cgrp->kn->id);

	if (r)
		head_fill((struct ev_head *)r->data, task);
	return r;
}

/* Keeps who acts, for records that are made later, when somebody else (an interrupt) runs. */
static __always_inline void head_save(struct ev_head *owner)
{
	head_fill(owner, bpf_get_current_task_btf());
}

/* rec_open() for what `current` did not do: the head says what head_save() kept. */
static __always_inline struct rec *rec_open_for(__u16 id, __u32 class, __u32 size, const struct ev_head *owner)
{
	struct rec *r = rec_begin(id, class, size, owner->cgroup_id);
	struct ev_head *h;

	if (!r)
		return NULL;
	h = (struct ev_head *)r->data;
	h->cgroup_id = owner->cgroup_id;
	h->start_ns = owner->start_ns;
	h->pid = owner->pid;
	h->tid = owner->tid;
	h->uid = owner->uid;
	h->gid = owner->gid;
	h->netns = owner->netns;
	h->ns_pid = owner->ns_pid;
	__builtin_memcpy(h->comm, owner->comm, sizeof(h->comm));
	return r;
}

/* Books a record that an option leaves out, before any work is spent on it. Always returns 0. */
static __always_inline int rec_refuse(__u16 id)
{
	__u32 number = EV_ID_NUMBER(id);
	struct ev_counts *c = bpf_map_lookup_elem(&counts, &number);

	if (!c)
		return 0;
	count(c, seen);
	count(c, filtered);
	return 0;
}

static __always_inline void *rec_body(struct rec *r)
{
	return r->data;
}

static __always_inline void rec_mark(struct rec *r, __u8 flag)
{
	((struct ev_head *)r->data)->flags |= flag;
}

/* Gives the record back unsent. Where nothing is wrong with it, `filtered` says that a filter refused it. */
static __always_inline int rec_drop(struct rec *r, bool filtered)
{
	struct ev_counts *c = bpf_map_lookup_elem(&counts, &r->number);

	if (c && filtered)
		count(c, filtered);
	else if (c)
		count(c, error);
	(void)__sync_lock_test_and_set(&r->busy, 0);
	return 0;
}

static __always_inline void *rec_ring(__u32 class)
{
	return class == EV_CRITICAL ? (void *)&ring_critical
	       : class == EV_PACKET ? (void *)&ring_packet
				    : (void *)&ring_bulk;
}

/*
 * A reader that is not asleep looks again within milliseconds, and waking it is an interrupt: microseconds, paid by
 * whoever is being watched. So only a sleeping one is woken, and who does it says so, that it is done once.
 *
 * After the record is in the ring, never before: the reader says that it sleeps and then looks at the ring once more,
 * so either it finds the record or we find it asleep. What wakes it is an entry of its own, thrown away at once. (Where
 * that finds no room, the reader has something to read and does not sleep.)
 */
static __always_inline void ring_wake(__u32 class)
{
	__u32 zero = 0, ring = class == EV_PACKET ? RING_PACKET : RING_BULK;
	struct reader_state *state = bpf_map_lookup_elem(&reader, &zero);
	void *nothing;

	if (!state || !*(volatile __u32 *)&state->sleeping)
		return;
	if (class != EV_CRITICAL && bpf_ringbuf_query(rec_ring(class), BPF_RB_AVAIL_DATA) <= core.wake_bytes[ring])
		return;
	state->sleeping = 0;
	nothing = bpf_ringbuf_reserve(rec_ring(class), sizeof(__u64), 0);
	if (nothing)
		bpf_ringbuf_discard(nothing, BPF_RB_FORCE_WAKEUP);
}

/* Sends the record. `class` is the constant that rec_open() got. Always returns 0. */
static __always_inline int rec_send_class(struct rec *r, __u32 class)
{
	struct ev_counts *c = bpf_map_lookup_elem(&counts, &r->number);
	__u64 len = r->pos;

	if (!c || !in_range(&len, sizeof(struct ev_head), EV_LEN_MAX))
		return rec_drop(r, false);
	((struct ev_head *)r->data)->len = (__u16)len;
	if (bpf_ringbuf_output(rec_ring(class), r->data, len, BPF_RB_NO_WAKEUP))
		count(c, lost_ring);
	else
		count(c, sent);
	(void)__sync_lock_test_and_set(&r->busy, 0);
	ring_wake(class);
	return 0;
}

/* Ring maps must be constants to the verifier, so the class is branched on, not looked up. */
static __always_inline int rec_send(struct rec *r)
{
	if (r->class == EV_CRITICAL)
		return rec_send_class(r, EV_CRITICAL);
	if (r->class == EV_PACKET)
		return rec_send_class(r, EV_PACKET);
	return rec_send_class(r, EV_BULK);
}

/* ---- strings --------------------------------------------------------------------------- */

/* Where the next string goes, or NULL when the record is full (it is marked then). */
static __always_inline __u8 *rec_room(struct rec *r, __u32 max)
{
	__u32 pos = r->pos;

	if (pos > EV_LEN_MAX - max) {
		rec_mark(r, EV_F_TRUNCATED);
		return NULL;
	}
	return r->data + pos;
}

/* Books `n` bytes (NUL included where `nul`) that stand at the end as the string `s`. */
static __always_inline void rec_take(struct rec *r, struct ev_str *s, __u32 n, bool nul)
{
	s->off = (__u16)r->pos;
	s->len = (__u16)(nul ? n - 1 : n);
	r->pos += n;
}

/* Appends a NUL-terminated kernel string; `max` is a constant of at most EV_STR_MAX. */
static __always_inline void rec_kstr(struct rec *r, struct ev_str *s, const void *kernel, __u32 max)
{
	__u8 *to = rec_room(r, max);
	long n;

	if (!to)
		return;
	n = bpf_probe_read_kernel_str(to, max, kernel);
	if (n <= 1)
		return;
	if (n == (long)max)
		rec_mark(r, EV_F_TRUNCATED);
	rec_take(r, s, (__u32)n, true);
}

/* The same from user memory, which its owner can change at any time: say so in the hook's `cannot`. */
static __always_inline void rec_ustr(struct rec *r, struct ev_str *s, const void *user, __u32 max)
{
	__u8 *to = rec_room(r, max);
	long n;

	if (!to)
		return;
	n = bpf_probe_read_user_str(to, max, user);
	if (n <= 1)
		return;
	if (n == (long)max)
		rec_mark(r, EV_F_TRUNCATED);
	rec_take(r, s, (__u32)n, true);
}

/* Appends `n` bytes of kernel memory, cut at the constant `max`. */
static __always_inline void rec_kbytes(struct rec *r, struct ev_str *s, const void *kernel, __u32 n, __u32 max)
{
	__u64 kept = n > max ? max : n;
	__u8 *to = rec_room(r, max);

	if (n > max)
		rec_mark(r, EV_F_TRUNCATED);
	if (to && in_range(&kept, 1, max) && bpf_probe_read_kernel(to, kept, kernel) == 0)
		rec_take(r, s, kept, false);
}

/* Appends a block of NUL-separated user strings, cut at the constant `max`, ending in a NUL of its own. */
static __always_inline void rec_ustrs(struct rec *r, struct ev_str *s, const void *user, __u32 n, __u32 max)
{
	__u64 kept = n > max ? max : n;
	__u8 *to = rec_room(r, max + 1);

	if (n > max)
		rec_mark(r, EV_F_TRUNCATED);
	if (!to || !in_range(&kept, 1, max))
		return;
	if (bpf_probe_read_user(to, kept, user)) {
		rec_mark(r, EV_F_TRUNCATED);
		return;
	}
	if (to[kept - 1]) {
		to[kept] = 0;
		kept++;
	}
	rec_take(r, s, kept, true);
}

/* ---- stacks ----------------------------------------------------------------------------- */

static __always_inline void rec_stack(void *ctx, struct rec *r, struct ev_str *s, __u64 flags)
{
	__u32 max = EV_STACK_MAX * sizeof(__u64);
	__u8 *to = rec_room(r, EV_STACK_MAX * sizeof(__u64) + 8);
	long n;

	if (!to)
		return;
	/* Addresses stand aligned; the gap before them must not carry what an older record left there. */
	__builtin_memset(to, 0, 8);
	r->pos = (r->pos + 7) & ~7U;
	to = rec_room(r, EV_STACK_MAX * sizeof(__u64));
	if (!to)
		return;
	n = bpf_get_stack(ctx, to, max, flags);
	if (n > 0)
		rec_take(r, s, (__u32)n, false);
}

/*
 * Adds the stacks that the configuration asks for of this kind. Not for cgroup programs: they have
 * none. On kernels as old as 6.1 the syscalls tracepoints have no kernel stack. User stacks follow
 * frame pointers: code that was built without them gives its innermost address and little more.
 */
static __always_inline void rec_stacks(void *ctx, struct rec *r)
{
	struct ev_head *h = (struct ev_head *)r->data;
	__u8 want = core.stacks[r->number & (EV_KIND_MAX - 1)];

	if (want & STACK_KERNEL)
		rec_stack(ctx, r, &h->kstack, 0);
	if (want & STACK_USER)
		rec_stack(ctx, r, &h->ustack, BPF_F_USER_STACK);
}
