/* SPDX-License-Identifier: Apache-2.0 */
/* kernel - user side: describes the records of what changes the kernel, and the hooks that make them. */
#include <bpf/bpf.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/err.h"
#include "base/mem.h"
#include "bpf/kernel_probe.h"
#include "sensors/kernel/kernel.event.h"
#include "sensors/kernel/kernel.map.h"
#include "sensors/kernel/kernel_names.h"
#include "sensors/sensor.h"

/* ---- fields -------------------------------------------------------------------------------- */

static const struct field_name taints[] = {
	{ 1 << 0, "proprietary" }, { 1 << 1, "forced" },     { 1 << 10, "staging" }, { 1 << 12, "out-of-tree" },
	{ 1 << 13, "unsigned" },   { 1 << 15, "livepatch" }, { 1 << 18, "test" },    { 0, NULL },
};

/* Not its parameters: by the time that the kernel tells, it has cut them up where they stood. */
static const struct field module_fields[] = {
	FIELD(ev_module, name, "kernel.module.name", FT_STR, "name of the module"),
	FIELD(ev_module, version, "kernel.module.version", FT_STR, "version that it claims"),
	FIELD(ev_module, srcversion, "kernel.module.srcversion", FT_STR, "checksum of its source"),
	FIELD(ev_module, taints, "kernel.module.taints", FT_FLAGS, "what it makes the kernel distrust",
	      .names = taints),
};

static const struct field module_request_fields[] = {
	FIELD(ev_module_request, name, "kernel.module.name", FT_STR, "name or alias that the kernel asks for"),
};

static const struct field_name read_whats[] = {
	{ KERNEL_READ_UNKNOWN, "unknown" },
	{ KERNEL_READ_FIRMWARE, "firmware" },
	{ KERNEL_READ_MODULE, "module" },
	{ KERNEL_READ_KEXEC_IMAGE, "kexec-image" },
	{ KERNEL_READ_KEXEC_INITRD, "kexec-initrd" },
	{ KERNEL_READ_POLICY, "policy" },
	{ KERNEL_READ_CERTIFICATE, "certificate" },
	{ 0, NULL },
};

static const struct field_name read_froms[] = {
	{ KERNEL_FROM_FILE, "file" },
	{ KERNEL_FROM_MEMORY, "memory" },
	{ 0, NULL },
};

static const struct field read_fields[] = {
	FIELD(ev_kernel_read, what, "kernel.read.what", FT_ENUM, "what the kernel takes in", .names = read_whats),
	FIELD(ev_kernel_read, from, "kernel.read.from", FT_ENUM, "where from: memory leaves no file to look at",
	      .names = read_froms),
	FIELD(ev_kernel_read, file, "file.path", FT_STR, "the file"),
	FIELD(ev_kernel_read, inode, "file.inode", FT_U64, "inode of the file", .zero_is_absent = true),
	FIELD(ev_kernel_read, dev, "file.device", FT_HEX, "device of the file", .zero_is_absent = true),
};

static const struct field bpf_prog_fields[] = {
	FIELD(ev_bpf_prog, cmd, "kernel.bpf.command", FT_ENUM, "loaded, or opened by id or path", .names = bpf_cmds),
	FIELD(ev_bpf_prog, id, "kernel.bpf.prog.id", FT_U32, "id of the program"),
	FIELD(ev_bpf_prog, name, "kernel.bpf.prog.name", FT_STR, "name given to it"),
	FIELD(ev_bpf_prog, type, "kernel.bpf.prog.type", FT_ENUM, "type", .names = bpf_prog_types),
	FIELD(ev_bpf_prog, attach_type, "kernel.bpf.prog.attach_type", FT_ENUM,
	      "where it is meant to go; means something for some types only", .names = bpf_attach_types),
	FIELD(ev_bpf_prog, target, "kernel.bpf.prog.target", FT_STR, "kernel function or hook that it is made for"),
	FIELD(ev_bpf_prog, insns, "kernel.bpf.prog.instructions", FT_U32, "length"),
	FIELD(ev_bpf_prog, tag, "kernel.bpf.prog.tag", FT_BYTES, "checksum of its instructions"),
};

static const struct field bpf_map_fields[] = {
	FIELD(ev_bpf_map, cmd, "kernel.bpf.command", FT_ENUM, "made, or opened by id or path", .names = bpf_cmds),
	FIELD(ev_bpf_map, id, "kernel.bpf.map.id", FT_U32, "id of the map"),
	FIELD(ev_bpf_map, name, "kernel.bpf.map.name", FT_STR, "name given to it"),
	FIELD(ev_bpf_map, type, "kernel.bpf.map.type", FT_ENUM, "type", .names = bpf_map_types),
	FIELD(ev_bpf_map, flags, "kernel.bpf.map.flags", FT_HEX, "flags", .zero_is_absent = true),
	FIELD(ev_bpf_map, key_size, "kernel.bpf.map.key_size", FT_U32, "bytes of a key"),
	FIELD(ev_bpf_map, value_size, "kernel.bpf.map.value_size", FT_U32, "bytes of a value"),
	FIELD(ev_bpf_map, max_entries, "kernel.bpf.map.max_entries", FT_U32, "most entries"),
};

static const struct field bpf_link_fields[] = {
	FIELD(ev_bpf_link, cmd, "kernel.bpf.command", FT_ENUM, "made, or opened by id or path", .names = bpf_cmds),
	FIELD(ev_bpf_link, id, "kernel.bpf.link.id", FT_U32, "id of the link"),
	FIELD(ev_bpf_link, type, "kernel.bpf.link.type", FT_ENUM, "type", .names = bpf_link_types),
	FIELD(ev_bpf_link, prog_id, "kernel.bpf.prog.id", FT_U32, "id of the program that it attaches",
	      .zero_is_absent = true),
	FIELD(ev_bpf_link, prog_name, "kernel.bpf.prog.name", FT_STR, "name of that program"),
};

static const struct field_name ring_flags[] = {
	{ 1 << 0, "iopoll" },
	{ 1 << 1, "sqpoll" },
	{ 1 << 2, "sq-aff" },
	{ 1 << 3, "cqsize" },
	{ 1 << 4, "clamp" },
	{ 1 << 5, "attach-wq" },
	{ 1 << 6, "r-disabled" },
	{ 1 << 7, "submit-all" },
	{ 1 << 8, "coop-taskrun" },
	{ 1 << 9, "taskrun-flag" },
	{ 1 << 10, "sqe128" },
	{ 1 << 11, "cqe32" },
	{ 1 << 12, "single-issuer" },
	{ 1 << 13, "defer-taskrun" },
	{ 1 << 14, "no-mmap" },
	{ 1 << 15, "registered-fd-only" },
	{ 1 << 16, "no-sqarray" },
	{ 1 << 17, "hybrid-iopoll" },
	{ 0, NULL },
};

static const struct field ring_fields[] = {
	FIELD(ev_ioring_create, sq_entries, "process.io_uring.sq_entries", FT_U32, "length of the submission queue"),
	FIELD(ev_ioring_create, cq_entries, "process.io_uring.cq_entries", FT_U32, "length of the completion queue"),
	FIELD(ev_ioring_create, flags, "process.io_uring.flags", FT_FLAGS, "flags given to io_uring_setup",
	      .names = ring_flags),
};

static const struct field_name op_traits[] = {
	{ IORING_FIXED_FILE, "fixed-file" },
	{ IORING_SQPOLL, "sqpoll" },
	{ 0, NULL },
};

static const struct field op_fields[] = {
	FIELD(ev_ioring_op, opcode, "process.io_uring.operation", FT_ENUM, "what is asked for", .names = ioring_ops),
	FIELD(ev_ioring_op, fd, "process.io_uring.fd", FT_I32,
	      "descriptor (or index of a registered file) that it is about, or that a path starts from; -1: none"),
	FIELD(ev_ioring_op, path, "process.io_uring.path", FT_STR, "path as given: not resolved"),
	FIELD(ev_ioring_op, new_path, "process.io_uring.new_path", FT_STR, "the second path, of renames and links"),
	FIELD(ev_ioring_op, traits, "process.io_uring.traits", FT_FLAGS, "how it was asked for", .names = op_traits),
};

static const struct field sysctl_fields[] = {
	FIELD(ev_sysctl_write, name, "kernel.sysctl.name", FT_STR, "path below /proc/sys"),
	FIELD(ev_sysctl_write, value, "kernel.sysctl.value", FT_STR, "value as written"),
	FIELD(ev_sysctl_write, before, "kernel.sysctl.previous", FT_STR, "value until now"),
};

#define KIND(id, name, s, class, category, type, action, summary, fields)                                              \
	{ id, name, #s, sizeof(struct s), class, category, type, action, summary, fields, countof(fields) }

static const struct event_kind kinds[] = {
	KIND(EV_MODULE_LOAD, "kernel.module_load", ev_module, EV_CRITICAL, "driver", "start", "module-load",
	     "a kernel module was loaded", module_fields),
	KIND(EV_MODULE_FREE, "kernel.module_free", ev_module, EV_CRITICAL, "driver", "end", "module-free",
	     "a kernel module was removed", module_fields),
	KIND(EV_MODULE_REQUEST, "kernel.module_request", ev_module_request, EV_CRITICAL, "driver", "info",
	     "module-request", "what a process did made the kernel ask for a module", module_request_fields),
	KIND(EV_KERNEL_READ, "kernel.read", ev_kernel_read, EV_CRITICAL, "driver", "info", "kernel-read",
	     "the kernel takes in a module, a kernel to boot, firmware or a policy", read_fields),
	KIND(EV_BPF_PROG, "kernel.bpf_prog", ev_bpf_prog, EV_CRITICAL, "driver", "start", "bpf-prog",
	     "a BPF program was loaded or opened", bpf_prog_fields),
	KIND(EV_BPF_MAP, "kernel.bpf_map", ev_bpf_map, EV_CRITICAL, "driver", "info", "bpf-map",
	     "a BPF map was made or opened", bpf_map_fields),
	KIND(EV_BPF_LINK, "kernel.bpf_link", ev_bpf_link, EV_CRITICAL, "driver", "start", "bpf-link",
	     "a BPF program was attached", bpf_link_fields),
	KIND(EV_IORING_CREATE, "kernel.io_uring_create", ev_ioring_create, EV_CRITICAL, "process", "info",
	     "io-uring-create", "a process can now act without system calls", ring_fields),
	KIND(EV_IORING_OP, "kernel.io_uring_op", ev_ioring_op, EV_BULK, "process", "info", "io-uring-op",
	     "a process acts on files or sockets without a system call", op_fields),
	KIND(EV_SYSCTL_WRITE, "kernel.sysctl_write", ev_sysctl_write, EV_CRITICAL, "configuration", "change",
	     "sysctl-write", "a setting of the kernel is written", sysctl_fields),
};

/* ---- hooks ---------------------------------------------------------------------------------- */

static const struct hook hooks[] = {
	[HOOK_MODULE_LOAD] = { "module-load", "a module loaded", { { .progs = { "module_load_tp" } } } },
	[HOOK_MODULE_FREE] = { "module-free", "a module removed", { { .progs = { "module_free_tp" } } } },
	[HOOK_MODULE_REQUEST] = { "module-request",
				  "a module that the kernel asks for",
				  { { .progs = { "module_request_lsm" } }, { .progs = { "module_request_tp" } } } },
	[HOOK_READ] = { "read",
			"what the kernel takes in: modules, kernels to boot, firmware, policies",
			{ { .progs = { "read_file_lsm", "load_data_lsm" } },
			  { .progs = { "read_file_fexit", "load_data_fexit" } },
			  { .progs = { "?finit_module_enter", "?init_module_enter", "?kexec_file_load_enter",
				       "?kexec_load_enter" },
			    .cannot =
				    "firmware and policies are not seen, nor 32-bit processes; a call that is refused "
				    "is recorded too; another thread may change the descriptor" } } },
	[HOOK_BPF] = { "bpf",
		       "BPF programs, maps and links made by others",
		       { { .progs = { "bpf_prog_lsm", "bpf_map_lsm", "bpf_link_fexit" },
			   .cannot = "links that are opened, not made, are not seen" },
			 { .progs = { "bpf_prog_fexit", "bpf_map_fexit", "bpf_link_fexit" },
			   .cannot = "links that are opened, not made, are not seen" },
			 { .progs = { "bpf_exit" },
			   .cannot = "another thread may close the descriptor before it is looked at; 32-bit processes "
				     "are not seen" } } },
	[HOOK_IORING_CREATE] = { "io-uring-create", "an io_uring made", { { .progs = { "ioring_create_tp" } } } },
	[HOOK_IORING_OP] = { "io-uring-op",
			     "operations handed to an io_uring",
			     { { .progs = { "ioring_req_tp" } }, { .progs = { "ioring_sqe_tp" } } } },
	[HOOK_SYSCTL] = { "sysctl",
			  "a sysctl written",
			  { { .progs = { "sysctl_cgroup" },
			      .cannot = "a value that the kernel then finds wrong is recorded too" } } },
};
_Static_assert(countof(hooks) == KERNEL_HOOK_COUNT, "a row for each hook");

/* ---- options -------------------------------------------------------------------------------- */

struct kernel_options {
	struct option_list io_uring_operations;
};

static int operation_of(const char *name, unsigned *ret_op)
{
	char *end;
	unsigned long n;

	for (const struct field_name *op = ioring_ops; op->name; op++)
		if (!strcmp(op->name, name)) {
			*ret_op = (unsigned)op->value;
			return 0;
		}
	n = strtoul(name, &end, 10);
	if (*end || end == name || n >= IORING_OPS_MAX)
		return err_new(-EINVAL,
			       "\"%s\" is no io_uring operation: write a name such as openat, or a number below %d",
			       name, IORING_OPS_MAX);
	*ret_op = (unsigned)n;
	return 0;
}

static int check_operation(const char *name)
{
	unsigned op;

	return operation_of(name, &op);
}

static const struct option options[] = {
	OPTION(kernel_options, io_uring_operations, OPT_STRS,
	       "openat, openat2, renameat, unlinkat, mkdirat, symlinkat, linkat, setxattr, fsetxattr, ftruncate, "
	       "socket, connect, accept, bind, listen, sendmsg, sendmsg-zc, uring-cmd",
	       "io_uring operations to record, by name or number: those that take the place of system calls worth "
	       "seeing",
	       .max = IORING_OPS_MAX, .check = check_operation),
};

static bool kernel_has_modules(void)
{
	return access("/proc/modules", F_OK) == 0;
}

static int kernel_prepare(struct object *obj, const void *opts)
{
	const struct kernel_options *o = opts;
	struct kernel_config config = { 0 };
	const char *why;
	unsigned op;

	for (size_t i = 0; i < o->io_uring_operations.n; i++) {
		if (operation_of(o->io_uring_operations.items[i], &op) == 0) /* the row's check took it */
			config.ioring_ops[op] = 1;
	}
	if (!o->io_uring_operations.n)
		object_hook_off(obj, HOOK_IORING_OP);
	/* A kernel that is built without these has nothing to watch there: that is no failure. */
	if (!kernel_has_modules()) {
		object_hook_off(obj, HOOK_MODULE_LOAD);
		object_hook_off(obj, HOOK_MODULE_FREE);
		object_hook_off(obj, HOOK_MODULE_REQUEST);
	}
	if (!kernel_has_modules() && access("/sys/kernel/kexec_loaded", F_OK) && !kernel_has_lsm(&why) &&
	    !kernel_has_fentry(&why))
		object_hook_off(obj, HOOK_READ);
	if (!kernel_has_tracepoint_btf("io_uring_create")) {
		object_hook_off(obj, HOOK_IORING_CREATE);
		object_hook_off(obj, HOOK_IORING_OP);
	}
	return object_set_const(obj, "config", &config, sizeof(config));
}

/* ---- exercise ------------------------------------------------------------------------------- */

/* r0 = 0; exit: a filter that is attached to nothing. */
static int exercise_bpf(void)
{
	static const struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	auto_close int fd =
		bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, "shrike_exercise", "GPL", insns, countof(insns), NULL);

	return fd < 0 ? err_sys(errno, "load a BPF program") : 0;
}

/* Through a ring of one entry, which is gone afterwards, tries to open what cannot exist: nothing is left open. */
static int exercise_ring(bool submit)
{
	struct io_uring_params p = { 0 };
	auto_close int ring = (int)syscall(SYS_io_uring_setup, 1, &p);
	size_t page = (size_t)sysconf(_SC_PAGESIZE), size = p.sq_off.array + p.sq_entries * sizeof(__u32);
	struct io_uring_sqe *sqe;
	char *sq;
	int r;

	/* Distributions and administrators switch io_uring off. */
	if (ring < 0)
		return -EOPNOTSUPP;
	if (!submit)
		return 0;
	size = (size + page - 1) & ~(page - 1);
	sq = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQ_RING);
	sqe = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQES);
	if (sq == MAP_FAILED || sqe == MAP_FAILED) {
		r = err_sys(errno, "map an io_uring");
	} else {
		sqe->opcode = IORING_OP_OPENAT;
		sqe->fd = AT_FDCWD;
		sqe->addr = (__u64)(uintptr_t)"/dev/null/none";
		sqe->open_flags = O_RDONLY | O_CLOEXEC;
		*(__u32 *)(void *)(sq + p.sq_off.array) = 0;
		__atomic_store_n((__u32 *)(void *)(sq + p.sq_off.tail), 1, __ATOMIC_RELEASE);
		r = syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) == 1 ? 0 : -EOPNOTSUPP;
	}
	if (sqe != MAP_FAILED)
		(void)munmap(sqe, page);
	if (sq != MAP_FAILED)
		(void)munmap(sq, size);
	return r;
}

/* Writes a setting as it stands, in a network namespace that is made for it and goes with the child. */
static int write_own_sysctl(void)
{
	static const char path[] = "/proc/sys/net/ipv4/ip_default_ttl";
	char value[32];
	ssize_t n;
	int fd;

	if (syscall(SYS_unshare, CLONE_NEWNET))
		return 1;
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return 2;
	n = read(fd, value, sizeof(value));
	return n <= 0 || pwrite(fd, value, (size_t)n, 0) != n;
}

/* _Fork: other threads of the agent may hold locks of the C library. */
static int exercise_sysctl(void)
{
	int status = 0;
	pid_t pid = _Fork();

	if (pid < 0)
		return -EOPNOTSUPP;
	if (pid == 0)
		_exit(write_own_sysctl());
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -EOPNOTSUPP;
	return WIFEXITED(status) && !WEXITSTATUS(status) ? 0 : -EOPNOTSUPP;
}

static int kernel_exercise(size_t hook)
{
	switch (hook) {
	case HOOK_BPF:
		return exercise_bpf();
	case HOOK_IORING_CREATE:
		return exercise_ring(false);
	case HOOK_IORING_OP:
		return exercise_ring(true);
	case HOOK_SYSCTL:
		return exercise_sysctl();
	}
	/* To load a module, or a kernel to boot, is never harmless; to ask for one starts modprobe as root. */
	return -EOPNOTSUPP;
}

extern const struct bpf_image image_kernel;

const struct sensor sensor_kernel = {
	.name = "kernel",
	.summary = "what changes the kernel, and what walks around its system calls",
	.byte = EV_KERNEL,
	.kinds = kinds,
	.n_kinds = countof(kinds),
	.hooks = hooks,
	.n_hooks = countof(hooks),
	.options = options,
	.n_options = countof(options),
	.options_size = sizeof(struct kernel_options),
	.image = &image_kernel,
	.prepare = kernel_prepare,
	.exercise = kernel_exercise,
};
