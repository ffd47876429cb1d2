// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * kernel - kernel side.
 *
 * Everything is read from the kernel's own objects (modules, programs, maps, files, requests that
 * it has copied in); of a system call only the registers are used. Nothing is refused.
 * Loss: a full ring is counted; io_uring operations have a budget, the rest has none, being rare.
 */
#include "bpf/path.bpf.h"
#include "bpf/syscall.bpf.h"
#include "sensors/kernel/kernel.event.h"
#include "sensors/kernel/kernel.map.h"

const volatile struct kernel_config config;

KEEP_BTF(ev_module);
KEEP_BTF(ev_module_request);
KEEP_BTF(ev_kernel_read);
KEEP_BTF(ev_bpf_prog);
KEEP_BTF(ev_bpf_map);
KEEP_BTF(ev_bpf_link);
KEEP_BTF(ev_ioring_create);
KEEP_BTF(ev_ioring_op);
KEEP_BTF(ev_sysctl_write);

/* ---- modules ------------------------------------------------------------------------------ */

static __always_inline int send_module(void *ctx, __u16 id, struct module *mod)
{
	struct rec *r = rec_open(id, EV_CRITICAL, sizeof(struct ev_module));
	struct ev_module *e;

	if (!r)
		return 0;
	e = rec_body(r);
	e->taints = BPF_CORE_READ(mod, taints);
	rec_kstr(r, &e->name, mod->name, 64);
	rec_kstr(r, &e->version, BPF_CORE_READ(mod, version), 256);
	rec_kstr(r, &e->srcversion, BPF_CORE_READ(mod, srcversion), 256);
	rec_stacks(ctx, r);
	return rec_send(r);
}

SEC("tp_btf/module_load")
int BPF_PROG(module_load_tp, struct module *mod)
{
	return hook_enter(HOOK_MODULE_LOAD) ? send_module(ctx, EV_MODULE_LOAD, mod) : 0;
}

SEC("tp_btf/module_free")
int BPF_PROG(module_free_tp, struct module *mod)
{
	return hook_enter(HOOK_MODULE_FREE) ? send_module(ctx, EV_MODULE_FREE, mod) : 0;
}

static __always_inline int on_module_request(void *ctx, const char *name)
{
	struct ev_module_request *e;
	struct rec *r;

	if (!hook_enter(HOOK_MODULE_REQUEST))
		return 0;
	r = rec_open(EV_MODULE_REQUEST, EV_CRITICAL, sizeof(*e));
	if (!r)
		return 0;
	e = rec_body(r);
	rec_kstr(r, &e->name, name, 256);
	rec_stacks(ctx, r);
	return rec_send(r);
}

SEC("lsm/kernel_module_request")
int BPF_PROG(module_request_lsm, char *name)
{
	return on_module_request(ctx, name);
}

SEC("tp_btf/module_request")
int BPF_PROG(module_request_tp, char *name)
{
	return on_module_request(ctx, name);
}

/* ---- what the kernel reads in --------------------------------------------------------------- */

/* The kernel's numbers are not fixed. */
#define IS(value, type, name) (bpf_core_enum_value_exists(type, name) && (value) == bpf_core_enum_value(type, name))

static __always_inline __u16 what_is_read(__u32 id)
{
	if (IS(id, enum kernel_read_file_id, READING_MODULE) ||
	    IS(id, enum kernel_read_file_id, READING_MODULE_COMPRESSED))
		return KERNEL_READ_MODULE;
	if (IS(id, enum kernel_read_file_id, READING_FIRMWARE))
		return KERNEL_READ_FIRMWARE;
	if (IS(id, enum kernel_read_file_id, READING_KEXEC_IMAGE))
		return KERNEL_READ_KEXEC_IMAGE;
	if (IS(id, enum kernel_read_file_id, READING_KEXEC_INITRAMFS))
		return KERNEL_READ_KEXEC_INITRD;
	if (IS(id, enum kernel_read_file_id, READING_POLICY))
		return KERNEL_READ_POLICY;
	if (IS(id, enum kernel_read_file_id, READING_X509_CERTIFICATE))
		return KERNEL_READ_CERTIFICATE;
	return KERNEL_READ_UNKNOWN;
}

static __always_inline __u16 what_is_loaded(__u32 id)
{
	if (IS(id, enum kernel_load_data_id, LOADING_MODULE))
		return KERNEL_READ_MODULE;
	if (IS(id, enum kernel_load_data_id, LOADING_FIRMWARE))
		return KERNEL_READ_FIRMWARE;
	if (IS(id, enum kernel_load_data_id, LOADING_KEXEC_IMAGE))
		return KERNEL_READ_KEXEC_IMAGE;
	if (IS(id, enum kernel_load_data_id, LOADING_KEXEC_INITRAMFS))
		return KERNEL_READ_KEXEC_INITRD;
	if (IS(id, enum kernel_load_data_id, LOADING_POLICY))
		return KERNEL_READ_POLICY;
	if (IS(id, enum kernel_load_data_id, LOADING_X509_CERTIFICATE))
		return KERNEL_READ_CERTIFICATE;
	return KERNEL_READ_UNKNOWN;
}

static __always_inline int on_read(void *ctx, __u16 what, __u16 from, struct file *file)
{
	struct ev_kernel_read *e;
	struct rec *r;

	if (!hook_enter(HOOK_READ))
		return 0;
	r = rec_open(EV_KERNEL_READ, EV_CRITICAL, sizeof(*e));
	if (!r)
		return 0;
	e = rec_body(r);
	e->what = what;
	e->from = from;
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

SEC("lsm/kernel_read_file")
int BPF_PROG(read_file_lsm, struct file *file, __u32 id)
{
	return on_read(ctx, what_is_read(id), KERNEL_FROM_FILE, file);
}

SEC("lsm/kernel_load_data")
int BPF_PROG(load_data_lsm, __u32 id)
{
	return on_read(ctx, what_is_loaded(id), KERNEL_FROM_MEMORY, NULL);
}

SEC("fexit/security_kernel_read_file")
int BPF_PROG(read_file_fexit, struct file *file, __u32 id)
{
	return on_read(ctx, what_is_read(id), KERNEL_FROM_FILE, file);
}

SEC("fexit/security_kernel_load_data")
int BPF_PROG(load_data_fexit, __u32 id)
{
	return on_read(ctx, what_is_loaded(id), KERNEL_FROM_MEMORY, NULL);
}

SEC("tp/syscalls/sys_enter_finit_module")
int finit_module_enter(struct sys_enter *ctx)
{
	return on_read(ctx, KERNEL_READ_MODULE, KERNEL_FROM_FILE,
		       file_of_fd(bpf_get_current_task_btf(), (int)ctx->args[0]));
}

SEC("tp/syscalls/sys_enter_init_module")
int init_module_enter(struct sys_enter *ctx)
{
	return on_read(ctx, KERNEL_READ_MODULE, KERNEL_FROM_MEMORY, NULL);
}

SEC("tp/syscalls/sys_enter_kexec_file_load")
int kexec_file_load_enter(struct sys_enter *ctx)
{
	return on_read(ctx, KERNEL_READ_KEXEC_IMAGE, KERNEL_FROM_FILE,
		       file_of_fd(bpf_get_current_task_btf(), (int)ctx->args[0]));
}

SEC("tp/syscalls/sys_enter_kexec_load")
int kexec_load_enter(struct sys_enter *ctx)
{
	return on_read(ctx, KERNEL_READ_KEXEC_IMAGE, KERNEL_FROM_MEMORY, NULL);
}

/* ---- BPF ------------------------------------------------------------------------------------- */

static __always_inline __u32 bpf_cmd(void)
{
	return (__u32)sys_arg(bpf_get_current_task_btf(), 0);
}

static __always_inline int on_bpf_prog(void *ctx, struct bpf_prog *prog)
{
	struct bpf_prog_aux *aux = BPF_CORE_READ(prog, aux);
	struct ev_bpf_prog *e;
	struct rec *r;

	if (!hook_enter(HOOK_BPF))
		return 0;
	r = rec_open(EV_BPF_PROG, EV_CRITICAL, sizeof(*e));
	if (!r)
		return 0;
	e = rec_body(r);
	e->cmd = bpf_cmd();
	e->id = BPF_CORE_READ(aux, id);
	e->type = BPF_CORE_READ(prog, type);
	e->attach_type = BPF_CORE_READ(prog, expected_attach_type);
	e->insns = BPF_CORE_READ(prog, len);
	rec_kstr(r, &e->name, aux->name, 16);
	rec_kstr(r, &e->target, BPF_CORE_READ(aux, attach_func_name), 256);
	rec_kbytes(r, &e->tag, prog->tag, 8, 8);
	rec_stacks(ctx, r);
	return rec_send(r);
}

static __always_inline int on_bpf_map(void *ctx, struct bpf_map *map)
{
	struct ev_bpf_map *e;
	struct rec *r;

	if (!hook_enter(HOOK_BPF))
		return 0;
	r = rec_open(EV_BPF_MAP, EV_CRITICAL, sizeof(*e));
	if (!r)
		return 0;
	e = rec_body(r);
	e->cmd = bpf_cmd();
	e->id = BPF_CORE_READ(map, id);
	e->type = BPF_CORE_READ(map, map_type);
	e->flags = BPF_CORE_READ(map, map_flags);
	e->key_size = BPF_CORE_READ(map, key_size);
	e->value_size = BPF_CORE_READ(map, value_size);
	e->max_entries = BPF_CORE_READ(map, max_entries);
	rec_kstr(r, &e->name, map->name, 16);
	rec_stacks(ctx, r);
	return rec_send(r);
}

static __always_inline int on_bpf_link(void *ctx, struct bpf_link *link)
{
	struct bpf_prog_aux *aux = BPF_CORE_READ(link, prog, aux);
	struct ev_bpf_link *e;
	struct rec *r;

	if (!hook_enter(HOOK_BPF))
		return 0;
	r = rec_open(EV_BPF_LINK, EV_CRITICAL, sizeof(*e));
	if (!r)
		return 0;
	e = rec_body(r);
	e->cmd = bpf_cmd();
	e->id = BPF_CORE_READ(link, id);
	e->type = BPF_CORE_READ(link, type);
	if (aux) {
		e->prog_id = BPF_CORE_READ(aux, id);
		rec_kstr(r, &e->prog_name, aux->name, 16);
	}
	rec_stacks(ctx, r);
	return rec_send(r);
}

/* Asked when a descriptor of a program or map is made, whichever command made it. */
SEC("lsm/bpf_prog")
int BPF_PROG(bpf_prog_lsm, struct bpf_prog *prog)
{
	return on_bpf_prog(ctx, prog);
}

SEC("lsm/bpf_map")
int BPF_PROG(bpf_map_lsm, struct bpf_map *map)
{
	return on_bpf_map(ctx, map);
}

SEC("fexit/security_bpf_prog")
int BPF_PROG(bpf_prog_fexit, struct bpf_prog *prog)
{
	return on_bpf_prog(ctx, prog);
}

SEC("fexit/security_bpf_map")
int BPF_PROG(bpf_map_fexit, struct bpf_map *map)
{
	return on_bpf_map(ctx, map);
}

/* No security hook knows links. */
SEC("fexit/bpf_link_settle")
int BPF_PROG(bpf_link_fexit, struct bpf_link_primer *primer)
{
	return on_bpf_link(ctx, primer->link);
}

SEC("tp/syscalls/sys_exit_bpf")
int bpf_exit(struct sys_exit *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u32 cmd = bpf_cmd();
	const unsigned char *name_at;
	struct file *file;
	char name[9] = {};
	void *object;

	if (cmd != BPF_MAP_CREATE && cmd != BPF_PROG_LOAD && cmd != BPF_OBJ_GET && cmd != BPF_PROG_GET_FD_BY_ID &&
	    cmd != BPF_MAP_GET_FD_BY_ID && cmd != BPF_RAW_TRACEPOINT_OPEN && cmd != BPF_LINK_CREATE &&
	    cmd != BPF_LINK_GET_FD_BY_ID)
		return 0;
	file = ctx->ret < 0 ? NULL : file_of_fd(task, ctx->ret);
	if (!file)
		return 0;
	/* The file says what it stands for, not the command: the descriptor may be another's by now. */
	name_at = BPF_CORE_READ(file, f_path.dentry, d_name.name);
	object = BPF_CORE_READ(file, private_data);
	(void)bpf_probe_read_kernel_str(name, sizeof(name), name_at);
	if (name[0] != 'b' || name[1] != 'p' || name[2] != 'f' || (name[3] != '-' && name[3] != '_'))
		return 0;
	if (name[4] == 'p' && name[5] == 'r')
		return on_bpf_prog(ctx, object);
	if (name[4] == 'm' && name[5] == 'a')
		return on_bpf_map(ctx, object);
	if (name[4] == 'l' && name[5] == 'i')
		return on_bpf_link(ctx, object);
	return 0;
}

/* ---- io_uring --------------------------------------------------------------------------------- */

SEC("tp_btf/io_uring_create")
int BPF_PROG(ioring_create_tp, int fd, void *ring, __u32 sq_entries, __u32 cq_entries, __u32 flags)
{
	struct ev_ioring_create *e;
	struct rec *r;

	if (!hook_enter(HOOK_IORING_CREATE))
		return 0;
	r = rec_open(EV_IORING_CREATE, EV_CRITICAL, sizeof(*e));
	if (!r)
		return 0;
	e = rec_body(r);
	e->sq_entries = sq_entries;
	e->cq_entries = cq_entries;
	e->flags = flags;
	rec_stacks(ctx, r);
	return rec_send(r);
}

enum {
	OP_OPENAT = 18,
	OP_OPENAT2 = 28,
	OP_RENAMEAT = 35,
	OP_UNLINKAT = 36,
	OP_MKDIRAT = 37,
	OP_SYMLINKAT = 38,
	OP_LINKAT = 39,
	OP_SOCKET = 45,
	REQ_FIXED_FILE = 1,
	SETUP_SQPOLL = 2,
};

static __always_inline const char *name_of(struct filename *filename)
{
	return BPF_CORE_READ(filename, name);
}

/* The kernel has copied the paths in by now: they are what it will act on. */
static __always_inline void op_paths(struct rec *r, struct ev_ioring_op *e, void *own)
{
	struct filename *old_name = NULL, *new_name = NULL;

	switch (e->opcode) {
	case OP_OPENAT:
	case OP_OPENAT2: {
		struct io_open *o = own;

		e->fd = BPF_CORE_READ(o, dfd);
		old_name = BPF_CORE_READ(o, filename);
		break;
	}
	case OP_UNLINKAT: {
		struct io_unlink *u = own;

		e->fd = BPF_CORE_READ(u, dfd);
		old_name = BPF_CORE_READ(u, filename);
		break;
	}
	case OP_MKDIRAT: {
		struct io_mkdir *m = own;

		e->fd = BPF_CORE_READ(m, dfd);
		old_name = BPF_CORE_READ(m, filename);
		break;
	}
	case OP_RENAMEAT: {
		struct io_rename *n = own;

		e->fd = BPF_CORE_READ(n, old_dfd);
		old_name = BPF_CORE_READ(n, oldpath);
		new_name = BPF_CORE_READ(n, newpath);
		break;
	}
	case OP_LINKAT:
	case OP_SYMLINKAT: {
		struct io_link *l = own;

		e->fd = e->opcode == OP_LINKAT ? BPF_CORE_READ(l, old_dfd) : BPF_CORE_READ(l, new_dfd);
		old_name = BPF_CORE_READ(l, oldpath);
		new_name = BPF_CORE_READ(l, newpath);
		break;
	}
	}
	if (old_name)
		rec_kstr(r, &e->path, name_of(old_name), EV_STR_MAX);
	if (new_name)
		rec_kstr(r, &e->new_path, name_of(new_name), EV_STR_MAX);
}

/* Paths that stand elsewhere in a future kernel are left out, rather than the record. */
static __always_inline bool knows_paths(void)
{
	return bpf_core_field_exists(struct io_open, filename) && bpf_core_field_exists(struct io_unlink, filename) &&
	       bpf_core_field_exists(struct io_mkdir, filename) && bpf_core_field_exists(struct io_rename, newpath) &&
	       bpf_core_field_exists(struct io_link, newpath);
}

struct io_kiocb___flags {
	__u64 flags;
} __attribute__((preserve_access_index));

static __always_inline bool op_is_wanted(__u8 opcode)
{
	__u64 op = opcode;

	return in_range(&op, 0, IORING_OPS_MAX - 1) && config.ioring_ops[op];
}

static __always_inline int on_ioring_op(void *ctx, struct io_kiocb *req)
{
	struct io_kiocb___flags *with_flags = (void *)req;
	__u8 opcode = BPF_CORE_READ(req, opcode);
	struct ev_ioring_op *e;
	struct rec *r;

	/* What the agent does to try the hook counts, whatever the options say. */
	if (!op_is_wanted(opcode) && !task_is_agent(bpf_get_current_task_btf()))
		return 0;
	if (!hook_enter(HOOK_IORING_OP))
		return 0;
	r = rec_open(EV_IORING_OP, EV_BULK, sizeof(*e));
	if (!r)
		return 0;
	e = rec_body(r);
	e->opcode = opcode;
	e->fd = opcode == OP_SOCKET ? -1 : BPF_CORE_READ(req, cqe.fd);
	if (BPF_CORE_READ_BITFIELD_PROBED(with_flags, flags) & REQ_FIXED_FILE)
		e->traits |= IORING_FIXED_FILE;
	if (BPF_CORE_READ(req, ctx, flags) & SETUP_SQPOLL)
		e->traits |= IORING_SQPOLL;
	if (knows_paths())
		op_paths(r, e, req);
	rec_stacks(ctx, r);
	return rec_send(r);
}

SEC("tp_btf/io_uring_submit_req")
int BPF_PROG(ioring_req_tp, struct io_kiocb *req)
{
	return on_ioring_op(ctx, req);
}

/* Until 6.2. */
SEC("tp_btf/io_uring_submit_sqe")
int BPF_PROG(ioring_sqe_tp, struct io_kiocb *req)
{
	return on_ioring_op(ctx, req);
}

/* ---- sysctl ------------------------------------------------------------------------------------ */

/* Books what a helper wrote to the end of the record, without the newline that people write. */
static __always_inline void take_value(struct rec *r, struct ev_str *s, __u8 *to, long got, __u32 max)
{
	__u64 n = (__u64)got;

	if (got == -7 /* E2BIG: cut, and NUL-terminated */) {
		rec_mark(r, EV_F_TRUNCATED);
		n = max - 1;
	} else if (got < 0) {
		return;
	}
	if (!in_range(&n, 1, max - 1))
		return;
	if (to[n - 1] == '\n')
		n--;
	to[n & (SYSCTL_VALUE_MAX - 1)] = 0;
	if (n)
		rec_take(r, s, n + 1, true);
}

/* Runs for reads too. 1: go on. */
SEC("cgroup/sysctl")
int sysctl_cgroup(struct bpf_sysctl *ctx)
{
	struct ev_sysctl_write *e;
	struct rec *r;
	__u8 *to;

	if (!ctx->write || !hook_enter_cgroup(HOOK_SYSCTL))
		return 1;
	r = rec_open(EV_SYSCTL_WRITE, EV_CRITICAL, sizeof(*e));
	if (!r)
		return 1;
	e = rec_body(r);
	to = rec_room(r, SYSCTL_NAME_MAX);
	if (to)
		take_value(r, &e->name, to, bpf_sysctl_get_name(ctx, (char *)to, SYSCTL_NAME_MAX, 0), SYSCTL_NAME_MAX);
	to = rec_room(r, SYSCTL_VALUE_MAX);
	if (to)
		take_value(r, &e->value, to, bpf_sysctl_get_new_value(ctx, (char *)to, SYSCTL_VALUE_MAX),
			   SYSCTL_VALUE_MAX);
	to = rec_room(r, SYSCTL_VALUE_MAX);
	if (to)
		take_value(r, &e->before, to, bpf_sysctl_get_current_value(ctx, (char *)to, SYSCTL_VALUE_MAX),
			   SYSCTL_VALUE_MAX);
	(void)rec_send(r);
	return 1;
}
