// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * memory - kernel side.
 *
 * What counts is what the memory is, not what was asked for: of mprotect the mapping's own flags
 * say whether it was writable, whether a private file page was changed (it has an anon_vma), and
 * what stands behind it. Code of programs and libraries, mapped from files and never written,
 * makes no record.
 *
 * Loss: a full ring and a spent budget are counted. Nothing here blocks or refuses anything.
 * Cost: an mmap or mprotect that does not ask for execution leaves after one comparison.
 */
#include "bpf/path.bpf.h"
#include "bpf/syscall.bpf.h"
#include "sensors/memory/memory.event.h"
#include "sensors/memory/memory.map.h"

const volatile struct memory_config config;

KEEP_BTF(ev_mem_exec);
KEEP_BTF(ev_mem_fd);
KEEP_BTF(ev_mem_growth);

enum {
	MAP_SHARED_BIT = 1, /* also of MAP_SHARED_VALIDATE */
	MAP_ANONYMOUS_BIT = 0x20,
	READ_IMPLIES_EXEC_BIT = 0x400000,
	SHM_EXEC_BIT = 0100000,
	FMODE_WRITE_BIT = 2,
	MODE_TYPE = 0170000,
	MODE_CHARDEV = 0020000,
	VMAS_MAX = 4, /* mappings of one mprotect that the tracepoint variant looks at */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MEMORY_IGNORED_MAX);
	__type(key, struct file_key);
	__type(value, __u32);
} ignored SEC(".maps");

/* What an mprotect under way will change, by thread. */
struct pending {
	__u64 addr, size;
	__u64 next;      /* where the next mapping begins */
	__u32 before;    /* VM_* of its mappings, or-ed */
	__u32 was_plain; /* some of them was not executable */
	__u16 prot, kind, traits, pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MEMORY_PENDING_MAX);
	__type(key, __u64);
	__type(value, struct pending);
} pending_calls SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MEMORY_GROWING_MAX);
	__type(key, __u32);
	__type(value, struct growth);
} growing SEC(".maps");

/* ---- what is it ------------------------------------------------------------------------- */

/* May this program make code? By its file: a name would be anybody's to take. */
static __always_inline bool exe_ignored(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct file_key key = {};
	struct inode *inode;

	if (!config.n_ignored)
		return false;
	inode = BPF_CORE_READ(task, mm, exe_file, f_inode);
	key.inode = BPF_CORE_READ(inode, i_ino);
	key.dev = BPF_CORE_READ(inode, i_sb, s_dev);
	return bpf_map_lookup_elem(&ignored, &key) != NULL;
}

static __always_inline bool name_is_memfd(struct dentry *dentry)
{
	const unsigned char *name = BPF_CORE_READ(dentry, d_name.name);
	char head[8] = {};

	(void)bpf_probe_read_kernel(head, 6, name);
	return head[0] == 'm' && head[1] == 'e' && head[2] == 'm' && head[3] == 'f' && head[4] == 'd' && head[5] == ':';
}

/* What is unusual about code from this file. */
static __always_inline __u16 file_traits(struct file *file)
{
	struct inode *inode = BPF_CORE_READ(file, f_inode);
	__u16 traits = 0;

	if ((BPF_CORE_READ(inode, i_mode) & MODE_TYPE) == MODE_CHARDEV)
		return MEM_DEVICE;
	if (!BPF_CORE_READ(inode, i_nlink))
		traits |= name_is_memfd(BPF_CORE_READ(file, f_path.dentry)) ? MEM_MEMFD : MEM_DELETED;
	return traits;
}

static __always_inline __u16 vma_kind(struct vm_area_struct *vma)
{
	struct mm_struct *mm = vma->vm_mm;

	if (vma->vm_flags & VM_GROWSDOWN || (vma->vm_start <= mm->start_stack && vma->vm_end >= mm->start_stack))
		return MEM_KIND_STACK;
	if (vma->vm_file && vma->vm_ops)
		return MEM_KIND_FILE;
	if (vma->vm_start < mm->brk && vma->vm_end > mm->start_brk)
		return MEM_KIND_HEAP;
	return MEM_KIND_ANONYMOUS;
}

static __always_inline __u16 vma_traits(struct vm_area_struct *vma)
{
	__u64 flags = vma->vm_flags;
	__u16 traits = 0;

	if (flags & VM_WRITE)
		traits |= MEM_WAS_WRITABLE;
	if (!vma->vm_file)
		return traits;
	if (flags & VM_SHARED && flags & VM_MAYWRITE)
		traits |= MEM_SHARED_WRITABLE;
	else if (vma->vm_ops && vma->anon_vma)
		traits |= MEM_WRITTEN;
	return traits | file_traits(vma->vm_file);
}

/* Is code there worth a record? All but that of files as they lie on disk. */
static __always_inline bool is_telling(__u16 kind, __u16 traits)
{
	return kind != MEM_KIND_FILE || traits;
}

struct made_exec {
	__u16 id;
	__u16 prot, prot_before, kind, traits;
	__u32 map_flags;
	__u64 addr, size;
	struct file *file; /* NULL but of MEM_KIND_FILE */
};

static __always_inline int send_exec(void *ctx, const struct made_exec *m)
{
	struct file *file = m->file;
	struct ev_mem_exec *e;
	struct rec *r;

	if (exe_ignored())
		return rec_refuse(m->id);
	r = rec_open(m->id, EV_NORMAL, sizeof(*e));
	if (!r)
		return 0;
	e = rec_body(r);
	e->addr = m->addr;
	e->size = m->size;
	e->prot = m->prot;
	e->prot_before = m->prot_before;
	e->map_flags = m->map_flags;
	e->kind = m->kind;
	e->traits = m->traits;
	if (file) {
		struct inode *inode = BPF_CORE_READ(file, f_inode);
		struct dentry *dentry = BPF_CORE_READ(file, f_path.dentry);
		struct vfsmount *mnt = BPF_CORE_READ(file, f_path.mnt);

		e->inode = BPF_CORE_READ(inode, i_ino);
		e->dev = BPF_CORE_READ(inode, i_sb, s_dev);
		rec_dentry(r, &e->file, dentry, mnt);
	}
	rec_stacks(ctx, r);
	return rec_send(r);
}

/* ---- mprotect --------------------------------------------------------------------------- */

/* Does this change make the mapping executable, or executable code writable? */
static __always_inline bool turns_exec(__u64 before, __u64 prot)
{
	if (!(prot & VM_EXEC))
		return false;
	return !(before & VM_EXEC) || (prot & VM_WRITE && !(before & VM_WRITE));
}

/* The part of the mapping that was asked for; the whole of it where the registers do not tell. */
static __always_inline void clip(struct vm_area_struct *vma, __u64 *addr, __u64 *size)
{
	__u64 page_mask = ~((__u64)config.page_bytes - 1);
	struct task_struct *task = bpf_get_current_task_btf();
	__u64 start = sys_arg(task, 0), end = start + sys_arg(task, 1);
	__u64 vm_start = vma->vm_start, vm_end = vma->vm_end;

	end = (end + config.page_bytes - 1) & page_mask;
	if (start < vm_start)
		start = vm_start;
	if (end > vm_end)
		end = vm_end;
	if (start >= end) {
		start = vm_start;
		end = vm_end;
	}
	*addr = start;
	*size = end - start;
}

static __always_inline int on_protect(void *ctx, struct vm_area_struct *vma, __u64 prot)
{
	struct made_exec m = { .id = EV_MEM_PROTECT };
	__u64 before = vma->vm_flags;

	if (!turns_exec(before, prot))
		return 0;
	m.kind = vma_kind(vma);
	m.traits = vma_traits(vma);
	if (prot & VM_WRITE)
		m.traits |= MEM_WRITE_EXEC;
	if (!is_telling(m.kind, m.traits) || !hook_enter(HOOK_PROTECT))
		return 0;
	m.prot = prot & 7;
	m.prot_before = before & 7;
	m.file = m.kind == MEM_KIND_FILE ? vma->vm_file : NULL;
	clip(vma, &m.addr, &m.size);
	return send_exec(ctx, &m);
}

SEC("lsm/file_mprotect")
int BPF_PROG(protect_lsm, struct vm_area_struct *vma, unsigned long reqprot, unsigned long prot)
{
	return on_protect(ctx, vma, prot);
}

SEC("fexit/security_file_mprotect")
int BPF_PROG(protect_fexit, struct vm_area_struct *vma, unsigned long reqprot, unsigned long prot, int ret)
{
	return ret ? 0 : on_protect(ctx, vma, prot);
}

/* The tracepoint variant finds the mappings by address: before the call what they are, after it what they became. */
static long look_before(struct task_struct *task, struct vm_area_struct *vma, void *data)
{
	struct pending *p = data;

	p->next = vma->vm_end;
	p->before |= vma->vm_flags & 7;
	if (!(vma->vm_flags & VM_EXEC))
		p->was_plain = 1;
	p->traits |= vma_traits(vma);
	if (p->kind == MEM_KIND_UNKNOWN || p->kind == MEM_KIND_FILE)
		p->kind = vma_kind(vma);
	return 0;
}

struct found {
	__u64 flags;
	struct file *file;
	__u16 kind, traits;
	__u32 pad;
};

static long look_after(struct task_struct *task, struct vm_area_struct *vma, void *data)
{
	struct found *f = data;

	f->flags = vma->vm_flags;
	f->kind = vma_kind(vma);
	f->traits = vma_traits(vma);
	f->file = f->kind == MEM_KIND_FILE ? vma->vm_file : NULL;
	return 0;
}

static __always_inline int protect_begins(struct sys_enter *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u64 thread = bpf_get_current_pid_tgid();
	struct pending p = {
		.addr = ctx->args[0], .size = ctx->args[1], .next = ctx->args[0], .prot = ctx->args[2] & 7
	};

	if (task->personality & READ_IMPLIES_EXEC_BIT && p.prot & VM_READ)
		p.prot |= VM_EXEC;
	if (!(p.prot & VM_EXEC))
		return 0;
	for (int i = 0; i < VMAS_MAX; i++)
		if (p.next < p.addr + p.size && bpf_find_vma(task, p.next, look_before, &p, 0))
			break;
	if (!p.was_plain && !(p.prot & VM_WRITE && !(p.before & VM_WRITE)))
		return 0;
	if (p.prot & VM_WRITE)
		p.traits |= MEM_WRITE_EXEC;
	if (!is_telling(p.kind, p.traits) || !hook_enter(HOOK_PROTECT))
		return 0;
	(void)bpf_map_update_elem(&pending_calls, &thread, &p, BPF_ANY);
	return 0;
}

static __always_inline int protect_ends(struct sys_exit *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u64 thread = bpf_get_current_pid_tgid();
	struct pending *p = bpf_map_lookup_elem(&pending_calls, &thread);
	struct made_exec m = { .id = EV_MEM_PROTECT };
	struct found f = {};

	if (!p)
		return 0;
	m.addr = p->addr;
	m.size = (p->size + config.page_bytes - 1) & ~((__u64)config.page_bytes - 1);
	m.prot = p->prot;
	m.prot_before = p->before;
	m.kind = p->kind;
	m.traits = p->traits;
	(void)bpf_map_delete_elem(&pending_calls, &thread);
	if (ctx->ret)
		return 0;
	(void)bpf_find_vma(task, m.addr, look_after, &f, 0);
	if (m.kind == MEM_KIND_FILE)
		m.file = f.file;
	return send_exec(ctx, &m);
}

SEC("tp/syscalls/sys_enter_mprotect")
int protect_enter(struct sys_enter *ctx)
{
	return protect_begins(ctx);
}

SEC("tp/syscalls/sys_exit_mprotect")
int protect_exit(struct sys_exit *ctx)
{
	return protect_ends(ctx);
}

SEC("tp/syscalls/sys_enter_pkey_mprotect")
int protect_key_enter(struct sys_enter *ctx)
{
	return protect_begins(ctx);
}

SEC("tp/syscalls/sys_exit_pkey_mprotect")
int protect_key_exit(struct sys_exit *ctx)
{
	return protect_ends(ctx);
}

/* ---- mmap ------------------------------------------------------------------------------- */

static __always_inline __u16 map_traits(struct file *file, __u64 prot, __u64 flags)
{
	__u16 traits = prot & VM_WRITE ? MEM_WRITE_EXEC : 0;

	if (!file || flags & MAP_ANONYMOUS_BIT)
		return traits;
	if (flags & MAP_SHARED_BIT && BPF_CORE_READ(file, f_mode) & FMODE_WRITE_BIT)
		traits |= MEM_SHARED_WRITABLE;
	return traits | file_traits(file);
}

static __always_inline int on_map(void *ctx, struct file *file, __u64 prot, __u64 flags, __u64 addr, __u64 size)
{
	struct made_exec m = { .id = EV_MEM_MAP };

	/* Anonymous huge pages have a file of the kernel's own. */
	m.kind = file && !(flags & MAP_ANONYMOUS_BIT) ? MEM_KIND_FILE : MEM_KIND_ANONYMOUS;
	m.traits = map_traits(file, prot, flags);
	if (!is_telling(m.kind, m.traits) || !hook_enter(HOOK_MAP))
		return 0;
	m.prot = prot & 7;
	m.map_flags = flags;
	m.addr = addr;
	m.size = size;
	m.file = m.kind == MEM_KIND_FILE ? file : NULL;
	return send_exec(ctx, &m);
}

static __always_inline __u64 prot_meant(__u64 prot)
{
	struct task_struct *task = bpf_get_current_task_btf();

	if (prot & VM_READ && task->personality & READ_IMPLIES_EXEC_BIT)
		prot |= VM_EXEC;
	return prot;
}

static __always_inline bool is_error(__u64 addr)
{
	return addr > (__u64)-4096;
}

static __always_inline __u64 whole_pages(__u64 size)
{
	return (size + config.page_bytes - 1) & ~((__u64)config.page_bytes - 1);
}

SEC("fexit/vm_mmap_pgoff")
int BPF_PROG(map_fexit, struct file *file, unsigned long addr, unsigned long len, unsigned long prot,
	     unsigned long flags, unsigned long pgoff, unsigned long ret)
{
	prot = prot_meant(prot);
	if (!(prot & VM_EXEC) || is_error(ret))
		return 0;
	return on_map(ctx, file, prot, flags, ret, whole_pages(len));
}

/* The mapping does not exist yet: no address; and its length is not among the hook's arguments. */
SEC("lsm/mmap_file")
int BPF_PROG(map_lsm, struct file *file, unsigned long reqprot, unsigned long prot, unsigned long flags)
{
	return prot & VM_EXEC ? on_map(ctx, file, prot, flags, 0, 0) : 0;
}

SEC("tp/syscalls/sys_exit_mmap")
int map_exit(struct sys_exit *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u64 prot = prot_meant(sys_arg(task, 2)), flags = sys_arg(task, 3);
	struct found f = {};

	if (!(prot & VM_EXEC) || is_error(ctx->ret))
		return 0;
	if (bpf_find_vma(task, ctx->ret, look_after, &f, 0))
		f.file = NULL;
	else if (!f.file && !(flags & MAP_ANONYMOUS_BIT))
		flags |= MAP_ANONYMOUS_BIT; /* private memory of /dev/zero */
	return on_map(ctx, f.file, prot, flags, ctx->ret, whole_pages(sys_arg(task, 1)));
}

/* ---- memfd ------------------------------------------------------------------------------- */

static __always_inline int on_memfd(void *ctx, struct file *file)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct dentry *dentry = BPF_CORE_READ(file, f_path.dentry);
	struct inode *inode = BPF_CORE_READ(file, f_inode);
	struct ev_mem_fd *e;
	struct rec *r;

	/* The kernel makes such files for itself too. */
	if (!name_is_memfd(dentry) || !hook_enter(HOOK_MEMFD))
		return 0;
	r = rec_open(EV_MEM_FD, EV_NORMAL, sizeof(*e));
	if (!r)
		return 0;
	e = rec_body(r);
	e->inode = BPF_CORE_READ(inode, i_ino);
	e->mode = BPF_CORE_READ(inode, i_mode);
	e->flags = sys_arg(task, 1);
	rec_kstr(r, &e->name, BPF_CORE_READ(dentry, d_name.name) + sizeof("memfd:") - 1, EV_STR_MAX);
	rec_stacks(ctx, r);
	return rec_send(r);
}

SEC("fexit/shmem_file_setup")
int BPF_PROG(memfd_fexit, const char *name, long long size, unsigned long flags, struct file *ret)
{
	return is_error((__u64)ret) ? 0 : on_memfd(ctx, ret);
}

SEC("fexit/hugetlb_file_setup")
int memfd_huge_fexit(__u64 *ctx)
{
	__u64 ret = 0;

	/* Its arguments differ between kernels. */
	if (bpf_get_func_ret(ctx, &ret) || is_error(ret))
		return 0;
	return on_memfd(ctx, (struct file *)ret);
}

SEC("tp/syscalls/sys_exit_memfd_create")
int memfd_exit(struct sys_exit *ctx)
{
	struct file *file = file_of_fd(bpf_get_current_task_btf(), ctx->ret);

	return file ? on_memfd(ctx, file) : 0;
}

/* ---- growth ------------------------------------------------------------------------------ */

static __always_inline struct growth *growth_of(struct task_struct *task, __u64 total_pages, __u64 now_ns)
{
	struct growth first = {
		.start_ns = task->group_leader->start_boottime,
		.base_pages = total_pages,
		.since_ns = now_ns,
	};
	__u32 pid = (__u32)task->tgid;
	struct growth *g = bpf_map_lookup_elem(&growing, &pid);

	if (g && g->start_ns == first.start_ns)
		return g;
	(void)bpf_map_update_elem(&growing, &pid, &first, BPF_ANY);
	return bpf_map_lookup_elem(&growing, &pid);
}

static __always_inline int on_growth(void *ctx, __u64 mapped_bytes)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u64 now_ns = bpf_ktime_get_boot_ns(), total, base;
	struct ev_mem_growth *e;
	struct growth *g;
	struct rec *r;

	if (!task->mm || !hook_enter(HOOK_GROWTH))
		return 0;
	total = task->mm->total_vm;
	g = growth_of(task, total - mapped_bytes / config.page_bytes, now_ns);
	if (!g)
		return 0;
	if (mapped_bytes)
		__sync_fetch_and_add(&g->mmap_calls, 1);
	else
		__sync_fetch_and_add(&g->brk_calls, 1);
	__sync_fetch_and_add(&g->mapped_bytes, mapped_bytes);
	base = g->base_pages;
	if (total < base) { /* it has shrunk: growth counts from here */
		g->base_pages = total;
		return 0;
	}
	if ((total - base) * config.page_bytes < config.growth_bytes)
		return 0;
	/* Of the threads that see the step taken, one tells. */
	if (__sync_val_compare_and_swap(&g->base_pages, base, total) != base)
		return 0;
	r = rec_open(EV_MEM_GROWTH, EV_NORMAL, sizeof(*e));
	if (!r)
		return 0;
	e = rec_body(r);
	e->grown_bytes = (total - base) * config.page_bytes;
	e->total_bytes = total * config.page_bytes;
	e->mapped_bytes = g->mapped_bytes;
	e->interval_ns = now_ns - g->since_ns;
	e->mmap_calls = g->mmap_calls;
	e->brk_calls = g->brk_calls;
	g->mapped_bytes = 0;
	g->mmap_calls = g->brk_calls = 0;
	g->since_ns = now_ns;
	rec_stacks(ctx, r);
	return rec_send(r);
}

SEC("fexit/vm_mmap_pgoff")
int BPF_PROG(growth_map_fexit, struct file *file, unsigned long addr, unsigned long len, unsigned long prot,
	     unsigned long flags, unsigned long pgoff, unsigned long ret)
{
	return is_error(ret) ? 0 : on_growth(ctx, whole_pages(len));
}

SEC("fexit/" SYSCALL_FUNC("brk"))
int growth_brk_fexit(__u64 *ctx)
{
	return on_growth(ctx, 0);
}

SEC("tp/syscalls/sys_exit_mmap")
int growth_map_exit(struct sys_exit *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();

	return is_error(ctx->ret) ? 0 : on_growth(ctx, whole_pages(sys_arg(task, 1)));
}

SEC("tp/syscalls/sys_exit_brk")
int growth_brk_exit(struct sys_exit *ctx)
{
	return on_growth(ctx, 0);
}
