/* SPDX-License-Identifier: Apache-2.0 */
#include "bpf/kernel_probe.h"
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>
#include "base/err.h"
#include "base/mem.h"

static struct btf *known_btf;

static struct btf *kernel_btf(void)
{
	if (!known_btf)
		known_btf = btf__load_vmlinux_btf();
	return known_btf;
}

void kernel_forget(void)
{
	btf__free(take(known_btf));
}

/* Loads `return 0` as a program of the kind. 0 or -errno. */
static int try_load(enum bpf_prog_type type, enum bpf_attach_type attach, const char *target)
{
	/* r0 = 0; exit */
	static const struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, o, .expected_attach_type = attach);
	auto_close int fd = -1;

	if (target) {
		int id = kernel_btf() ? btf__find_by_name_kind(kernel_btf(), target, BTF_KIND_FUNC) : -ENOENT;

		if (id < 0)
			return -ENOENT;
		o.attach_btf_id = (__u32)id;
	}
	fd = bpf_prog_load(type, "shrike_probe", "GPL", insns, countof(insns), &o);
	return fd < 0 ? -errno : 0;
}

enum answer { UNKNOWN, YES, NO };

struct probe {
	enum answer answer;
	char why[128];
};

static bool ask(struct probe *p, const char *what, enum bpf_prog_type type, enum bpf_attach_type attach,
		const char *target, const char **ret_why)
{
	if (p->answer == UNKNOWN) {
		int r = try_load(type, attach, target);

		p->answer = r == 0 ? YES : NO;
		(void)snprintf(p->why, sizeof(p->why), "this kernel refuses %s programs (%s)", what, strerror(-r));
	}
	if (p->answer == NO)
		*ret_why = p->why;
	return p->answer == YES;
}

bool kernel_has_lsm(const char **ret_why)
{
	static struct probe p;

	return ask(&p, "LSM", BPF_PROG_TYPE_LSM, BPF_LSM_MAC, "bpf_lsm_file_open", ret_why);
}

bool kernel_has_fentry(const char **ret_why)
{
	static struct probe p;

	return ask(&p, "fentry", BPF_PROG_TYPE_TRACING, BPF_TRACE_FENTRY, "commit_creds", ret_why);
}

bool kernel_has_kprobe(const char **ret_why)
{
	static enum answer answer;

	if (answer == UNKNOWN)
		answer = access("/sys/bus/event_source/devices/kprobe", F_OK) == 0 ? YES : NO;
	if (answer == NO)
		*ret_why = "this kernel is built without kprobes";
	return answer == YES;
}

bool kernel_has_func(const char *name)
{
	return kernel_btf() && btf__find_by_name_kind(kernel_btf(), name, BTF_KIND_FUNC) > 0;
}

bool kernel_has_tracepoint_btf(const char *name)
{
	char type[160];

	(void)snprintf(type, sizeof(type), "btf_trace_%s", name);
	return kernel_btf() && btf__find_by_name_kind(kernel_btf(), type, BTF_KIND_TYPEDEF) > 0;
}

int kernel_func_args(const char *name)
{
	int id = kernel_btf() ? btf__find_by_name_kind(kernel_btf(), name, BTF_KIND_FUNC) : -1;
	const struct btf_type *t;

	if (id < 0)
		return -1;
	t = btf__type_by_id(kernel_btf(), (__u32)id);
	return btf_vlen(btf__type_by_id(kernel_btf(), t->type));
}

int kernel_tracepoint_args(const char *name)
{
	const struct btf_type *t;
	char type[160];
	int id;

	(void)snprintf(type, sizeof(type), "btf_trace_%s", name);
	id = kernel_btf() ? btf__find_by_name_kind(kernel_btf(), type, BTF_KIND_TYPEDEF) : -1;
	if (id < 0)
		return -1;
	t = btf__type_by_id(kernel_btf(), (__u32)id);
	while (btf_is_typedef(t) || btf_is_ptr(t))
		t = btf__type_by_id(kernel_btf(), t->type);
	/* The first one is the kernel's own. */
	return btf_is_func_proto(t) && btf_vlen(t) ? btf_vlen(t) - 1 : -1;
}

bool kernel_has_member(const char *type, const char *member)
{
	int id = kernel_btf() ? btf__find_by_name_kind(kernel_btf(), type, BTF_KIND_STRUCT) : -1;
	const struct btf_type *t;
	const struct btf_member *m;

	if (id < 0)
		return false;
	t = btf__type_by_id(kernel_btf(), (__u32)id);
	m = btf_members(t);
	for (unsigned i = 0; i < btf_vlen(t); i++, m++)
		if (!strcmp(btf__name_by_offset(kernel_btf(), m->name_off), member))
			return true;
	return false;
}

int kernel_tgid(__u32 *ret_tgid)
{
	/* return bpf_get_current_pid_tgid() >> 32 */
	static const struct bpf_insn insns[] = {
		{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_get_current_pid_tgid },
		{ .code = BPF_ALU64 | BPF_RSH | BPF_K, .dst_reg = BPF_REG_0, .imm = 32 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	/* A program of this kind runs in whoever asks for it; the kernel makes them sleepable alone. */
	LIBBPF_OPTS(bpf_prog_load_opts, o, .prog_flags = BPF_F_SLEEPABLE);
	LIBBPF_OPTS(bpf_test_run_opts, run);
	auto_close int fd = bpf_prog_load(BPF_PROG_TYPE_SYSCALL, "shrike_tgid", "GPL", insns, countof(insns), &o);

	if (fd < 0)
		return err_sys(errno, "load the program that asks for our pid");
	if (bpf_prog_test_run_opts(fd, &run))
		return err_sys(errno, "ask the kernel for our pid");
	*ret_tgid = run.retval;
	return 0;
}

int kernel_check(void)
{
	struct utsname u;
	unsigned major = 0, minor = 0;
	int r;

	(void)uname(&u);
	if (sscanf(u.release, "%u.%u", &major, &minor) == 2 && (major < 6 || (major == 6 && minor < 1)))
		return err_new(-ENOTSUP, "Linux %s is too old: Shrike needs 6.1 or newer", u.release);
	r = try_load(BPF_PROG_TYPE_SOCKET_FILTER, 0, NULL);
	if (r == -EPERM || r == -EACCES)
		return err_new(r, "not allowed to load BPF programs: run as root (needed: CAP_BPF, CAP_PERFMON, "
				  "CAP_SYS_ADMIN, CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH, CAP_NET_ADMIN)");
	if (r == -ENOSYS)
		return err_new(r, "Linux %s is built without BPF", u.release);
	if (r < 0)
		return err_sys(-r, "load a first BPF program");
	if (!kernel_btf())
		return err_new(-ENOTSUP, "no BTF in /sys/kernel/btf/vmlinux: a kernel built with "
					 "CONFIG_DEBUG_INFO_BTF=y is needed (Debian's and Ubuntu's are)");
	return 0;
}
