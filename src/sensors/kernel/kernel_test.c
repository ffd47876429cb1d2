/* SPDX-License-Identifier: Apache-2.0 */
/* What a child in the sandbox does to the kernel, and past its system calls, as the sensor recorded it. */
#include <bpf/bpf.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/kexec.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/err.h"
#include "base/mem.h"
#include "base/test.h"
#include "config/option.h"
#include "sensors/kernel/kernel.event.h"
#include "tests/sandbox/observe.h"

extern const struct sensor sensor_kernel;

/* ---- BPF ------------------------------------------------------------------------------------ */

static const struct bpf_insn return_0[] = {
	{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
	{ .code = BPF_JMP | BPF_EXIT },
};

static __u32 id_of(int fd)
{
	struct bpf_prog_info info = { 0 };
	__u32 len = sizeof(info);

	return bpf_obj_get_info_by_fd(fd, &info, &len) ? 0 : info.id;
}

static int use_bpf(const struct sandbox *sb, void *arg)
{
	LIBBPF_OPTS(bpf_prog_load_opts, o, .expected_attach_type = BPF_CGROUP_INET_INGRESS);
	auto_close int cgroup = open(sb->cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_close int prog = -1, map = -1, link = -1, again = -1, tp = -1;

	(void)arg;
	prog = bpf_prog_load(BPF_PROG_TYPE_CGROUP_SKB, "test_prog", "GPL", return_0, countof(return_0), &o);
	map = bpf_map_create(BPF_MAP_TYPE_HASH, "test_map", 4, 8, 16, NULL);
	if (prog < 0 || map < 0 || cgroup < 0)
		return 1;
	link = bpf_link_create(prog, cgroup, BPF_CGROUP_INET_INGRESS, NULL);
	if (link < 0)
		return 2;
	again = bpf_prog_get_fd_by_id(id_of(prog));
	if (again < 0)
		return 3;
	/* Commands that make nothing. */
	if (bpf_map_update_elem(map, &(__u32) { 1 }, &(__u64) { 2 }, BPF_ANY))
		return 4;
	/* Refused: no record. */
	if (bpf_prog_load(BPF_PROG_TYPE_CGROUP_SKB, "bad", "GPL", return_0, 1, &o) >= 0)
		return 5;
	return 0;
}

static void check_bpf(unsigned variant)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };
	const struct ev_bpf_prog *prog, *again;
	const struct ev_bpf_map *map;
	const struct ev_bpf_link *link;

	if (!sandbox_open(&sb, SANDBOX_PLAIN) || !observe_open_variant(&ob, &sb, &sensor_kernel, NULL, "bpf", variant))
		return;
	check_int(sandbox_run(&sb, use_bpf, NULL), 0);
	observe_drain(&ob);
	observe_check_books(&ob);
	check_int(observe_count(&ob, EV_BPF_PROG), 2);
	check_int(observe_count(&ob, EV_BPF_MAP), 1);
	check_int(observe_count(&ob, EV_BPF_LINK), 1);

	prog = observe_find(&ob, EV_BPF_PROG, 0);
	require(prog != NULL);
	check_int(prog->cmd, BPF_PROG_LOAD);
	check_str(observe_str(prog, prog->name), "test_prog");
	check_int(prog->type, BPF_PROG_TYPE_CGROUP_SKB);
	check_int(prog->attach_type, BPF_CGROUP_INET_INGRESS);
	check_int(prog->insns, 2);
	check_int(prog->tag.len, 8);
	check(prog->id != 0);
	check_int(prog->target.len, 0);

	again = observe_find(&ob, EV_BPF_PROG, 1);
	require(again != NULL);
	check_int(again->cmd, BPF_PROG_GET_FD_BY_ID);
	check_int(again->id, prog->id);

	map = observe_find(&ob, EV_BPF_MAP, 0);
	require(map != NULL);
	check_str(observe_str(map, map->name), "test_map");
	check_int(map->type, BPF_MAP_TYPE_HASH);
	check_int(map->key_size, 4);
	check_int(map->value_size, 8);
	check_int(map->max_entries, 16);
	check(map->id != 0);

	link = observe_find(&ob, EV_BPF_LINK, 0);
	require(link != NULL);
	check_int(link->cmd, BPF_LINK_CREATE);
	check_int(link->type, BPF_LINK_TYPE_CGROUP);
	check_int(link->prog_id, prog->id);
	check_str(observe_str(link, link->prog_name), "test_prog");
	check(link->id != 0);
}

TEST(bpf_objects_of_others_are_recorded)
{
	for (unsigned variant = 0; variant < 3; variant++)
		check_bpf(variant);
}

TEST(what_others_do_to_the_kernel_leaves_no_record)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };

	if (!sandbox_open(&sb, SANDBOX_PLAIN) || !observe_open(&ob, &sb, &sensor_kernel, NULL))
		return;
	check_int(outside_run(&sb, use_bpf, NULL), 0);
	observe_drain(&ob);
	check_int(ob.n, 0);
}

/* ---- io_uring --------------------------------------------------------------------------------- */

struct test_ring {
	int fd;
	struct io_uring_params p;
	char *sq, *cq;
	struct io_uring_sqe *sqes;
	__u32 tail;
};

static void ring_make(struct test_ring *r, __u32 flags)
{
	*r = (struct test_ring) { .p.flags = flags };
	r->fd = (int)syscall(SYS_io_uring_setup, 4, &r->p);
	if (r->fd < 0)
		_exit(70);
	r->sq = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, IORING_OFF_SQ_RING);
	r->cq = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, IORING_OFF_CQ_RING);
	r->sqes = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, IORING_OFF_SQES);
	if (r->sq == MAP_FAILED || r->cq == MAP_FAILED || r->sqes == MAP_FAILED)
		_exit(71);
}

/* Does one request and returns its result. */
static int ring_do(struct test_ring *r, const struct io_uring_sqe *sqe)
{
	__u32 mask = *(__u32 *)(void *)(r->sq + r->p.sq_off.ring_mask), at = r->tail & mask, *head;
	const struct io_uring_cqe *cqes = (void *)(r->cq + r->p.cq_off.cqes);
	int result;

	r->sqes[at] = *sqe;
	((__u32 *)(void *)(r->sq + r->p.sq_off.array))[at] = at;
	__atomic_store_n((__u32 *)(void *)(r->sq + r->p.sq_off.tail), ++r->tail, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, r->fd, 1, 1, IORING_ENTER_GETEVENTS | IORING_ENTER_SQ_WAKEUP, NULL, 0) < 0)
		_exit(72);
	head = (__u32 *)(void *)(r->cq + r->p.cq_off.head);
	result = cqes[*head & *(__u32 *)(void *)(r->cq + r->p.cq_off.ring_mask)].res;
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	return result;
}

static int use_ring(const struct sandbox *sb, void *arg)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons(9),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	auto_close int sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char a[128], b[128];
	struct test_ring r;
	int fd;

	(void)snprintf(a, sizeof(a), "%s/by-ring", sb->dir);
	(void)snprintf(b, sizeof(b), "%s/renamed", sb->dir);
	ring_make(&r, *(const __u32 *)arg);
	fd = ring_do(&r, &(struct io_uring_sqe) { .opcode = IORING_OP_OPENAT,
						  .fd = AT_FDCWD,
						  .addr = (uintptr_t)a,
						  .open_flags = O_CREAT | O_WRONLY,
						  .len = 0600 });
	if (fd < 0 || close(fd))
		return 1;
	if (ring_do(&r, &(struct io_uring_sqe) { .opcode = IORING_OP_NOP }))
		return 2;
	if (ring_do(&r, &(struct io_uring_sqe) { .opcode = IORING_OP_RENAMEAT,
						 .fd = AT_FDCWD,
						 .addr = (uintptr_t)a,
						 .len = (__u32)AT_FDCWD,
						 .addr2 = (uintptr_t)b }))
		return 3;
	if (ring_do(&r, &(struct io_uring_sqe) { .opcode = IORING_OP_UNLINKAT, .fd = AT_FDCWD, .addr = (uintptr_t)b }))
		return 4;
	/* Nobody listens: what matters is that it was tried. */
	if (ring_do(&r,
		    &(struct io_uring_sqe) {
			    .opcode = IORING_OP_CONNECT, .fd = sock, .addr = (uintptr_t)&to, .off = sizeof(to) }) !=
	    -ECONNREFUSED)
		return 5;
	return 0;
}

static void check_ring(__u32 flags)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };
	const int traits = flags & IORING_SETUP_SQPOLL ? IORING_SQPOLL : 0;
	const struct ev_ioring_create *ring;
	const struct ev_ioring_op *op;
	int status;

	if (!sandbox_open(&sb, SANDBOX_NET) || !observe_open(&ob, &sb, &sensor_kernel, NULL))
		return;
	status = sandbox_run(&sb, use_ring, &flags);
	if (status == 70)
		skip("no-io-uring");
	check_int(status, 0);
	observe_drain(&ob);
	observe_check_books(&ob);
	check_int(observe_count(&ob, EV_IORING_CREATE), 1);
	check_int(observe_count(&ob, EV_IORING_OP), 4);

	ring = observe_find(&ob, EV_IORING_CREATE, 0);
	require(ring != NULL);
	check_int(ring->sq_entries, 4);
	check_int(ring->cq_entries, 8);
	check_int(ring->flags & flags, flags);

	op = observe_find(&ob, EV_IORING_OP, 0);
	require(op != NULL);
	check_int(op->opcode, IORING_OP_OPENAT);
	check_int(op->fd, AT_FDCWD);
	check_int(op->traits, traits);
	check_int(op->head.pid, ring->head.pid);
	check_has(observe_str(op, op->path), "/by-ring");
	check_int(op->new_path.len, 0);

	op = observe_find(&ob, EV_IORING_OP, 1);
	require(op != NULL);
	check_int(op->opcode, IORING_OP_RENAMEAT);
	check_has(observe_str(op, op->path), "/by-ring");
	check_has(observe_str(op, op->new_path), "/renamed");

	op = observe_find(&ob, EV_IORING_OP, 2);
	require(op != NULL);
	check_int(op->opcode, IORING_OP_UNLINKAT);
	check_has(observe_str(op, op->path), "/renamed");

	op = observe_find(&ob, EV_IORING_OP, 3);
	require(op != NULL);
	check_int(op->opcode, IORING_OP_CONNECT);
	check(op->fd >= 0);
	check_int(op->path.len, 0);
}

TEST(io_uring_and_what_it_does_are_recorded)
{
	check_ring(0);
}

TEST(an_io_uring_with_a_kernel_thread_is_recorded_as_its_owner)
{
	check_ring(IORING_SETUP_SQPOLL);
}

struct kernel_options {
	struct option_list io_uring_operations;
};

TEST(io_uring_operations_are_chosen_by_name_or_number)
{
	static const struct {
		const char *name;
		const char *items[2];
		size_t n;
		int want;
	} rows[] = {
		{ "none", { NULL }, 0, 0 },
		{ "one name", { "unlinkat" }, 1, 1 },
		{ "name and number", { "nop", "16" }, 2, 2 },
	};

	for_each_row (r, rows) {
		auto_sandbox struct sandbox sb = { 0 };
		auto_observer struct observer ob = { 0 };
		struct kernel_options options = { { (char **)(uintptr_t)r->items, r->n } };
		__u32 flags = 0;
		int status;

		if (!sandbox_open(&sb, SANDBOX_NET) || !observe_open(&ob, &sb, &sensor_kernel, &options))
			return;
		status = sandbox_run(&sb, use_ring, &flags);
		if (status == 70)
			skip("no-io-uring");
		check_int(status, 0);
		observe_drain(&ob);
		check_int(observe_count(&ob, EV_IORING_OP), r->want);
	}
}

/* ---- sysctl ------------------------------------------------------------------------------------ */

static int write_sysctl(const struct sandbox *sb, void *arg)
{
	auto_close int fd = open("/proc/sys/net/ipv4/ip_default_ttl", O_RDWR | O_CLOEXEC);
	char now[16];

	(void)sb;
	(void)arg;
	/* Reading is no record. */
	if (fd < 0 || pread(fd, now, sizeof(now), 0) <= 0)
		return 1;
	if (pwrite(fd, "77\n", 3, 0) != 3)
		return 2;
	return pwrite(fd, "78", 2, 0) != 2;
}

TEST(sysctl_writes_are_recorded_with_both_values)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };
	const struct ev_sysctl_write *e;

	if (!sandbox_open(&sb, SANDBOX_NET) || !observe_open(&ob, &sb, &sensor_kernel, NULL))
		return;
	check_int(sandbox_run(&sb, write_sysctl, NULL), 0);
	observe_drain(&ob);
	observe_check_books(&ob);
	check_int(observe_count(&ob, EV_SYSCTL_WRITE), 2);
	e = observe_find(&ob, EV_SYSCTL_WRITE, 0);
	require(e != NULL);
	check_str(observe_str(e, e->name), "net/ipv4/ip_default_ttl");
	check_str(observe_str(e, e->value), "77");
	check_str(observe_str(e, e->before), "64");
	e = observe_find(&ob, EV_SYSCTL_WRITE, 1);
	require(e != NULL);
	check_str(observe_str(e, e->value), "78");
	check_str(observe_str(e, e->before), "77");
}

/* ---- modules and kexec ------------------------------------------------------------------------- */

static int load_and_remove_dummy(const struct sandbox *sb, void *arg)
{
	(void)sb;
	(void)arg;
	return system("modprobe dummy numdummies=0 && modprobe -r dummy") != 0;
}

static void check_modules(unsigned read_variant)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };
	const struct ev_module *load, *gone;
	const struct ev_kernel_read *read;

	if (!sandbox_open(&sb, SANDBOX_PLAIN) ||
	    !observe_open_variant(&ob, &sb, &sensor_kernel, NULL, "read", read_variant))
		return;
	check_int(sandbox_run(&sb, load_and_remove_dummy, NULL), 0);
	observe_drain(&ob);
	observe_check_books(&ob);
	check_int(observe_count(&ob, EV_MODULE_LOAD), 1);
	load = observe_find(&ob, EV_MODULE_LOAD, 0);
	require(load != NULL);
	check_str(observe_str(load, load->name), "dummy");
	gone = observe_find(&ob, EV_MODULE_FREE, 0);
	require(gone != NULL);
	check_str(observe_str(gone, gone->name), "dummy");
	read = observe_find(&ob, EV_KERNEL_READ, 0);
	require(read != NULL);
	check_int(read->what, KERNEL_READ_MODULE);
	if (read->from == KERNEL_FROM_FILE) {
		check_has(observe_str(read, read->file), "/dummy.ko");
		check(read->inode != 0);
	}
}

TEST(modules_are_recorded)
{
	if (access("/proc/modules", F_OK))
		skip("no-modules");
	for (unsigned variant = 0; variant < 3; variant++)
		check_modules(variant);
}

static int want_missing_module(const struct sandbox *sb, void *arg)
{
	(void)sb;
	(void)arg;
	/* AF_ASH: there has never been a module for it. */
	return socket(18, SOCK_STREAM, 0) >= 0;
}

TEST(requests_for_modules_are_recorded)
{
	if (access("/proc/modules", F_OK))
		skip("no-modules");
	for (unsigned variant = 0; variant < 2; variant++) {
		auto_sandbox struct sandbox sb = { 0 };
		auto_observer struct observer ob = { 0 };
		const struct ev_module_request *e;

		if (!sandbox_open(&sb, SANDBOX_PLAIN))
			return;
		if (!observe_open_variant(&ob, &sb, &sensor_kernel, NULL, "module-request", variant))
			continue;
		check_int(sandbox_run(&sb, want_missing_module, NULL), 0);
		observe_drain(&ob);
		e = observe_find(&ob, EV_MODULE_REQUEST, 0);
		require(e != NULL);
		check_str(observe_str(e, e->name), "net-pf-18");
	}
}

/* With flags that no kernel knows: looked at, found wrong, nothing loaded. */
static int try_kexec(const struct sandbox *sb, void *arg)
{
	(void)sb;
	(void)arg;
	return syscall(SYS_kexec_load, 0, 0, NULL, 0x4000) != -1;
}

TEST(a_try_to_load_another_kernel_is_recorded)
{
	if (!getenv("GUEST_LABEL"))
		skip("only-in-guest");
	for (unsigned variant = 0; variant < 3; variant++) {
		auto_sandbox struct sandbox sb = { 0 };
		auto_observer struct observer ob = { 0 };
		const struct ev_kernel_read *e;

		if (!sandbox_open(&sb, SANDBOX_PLAIN))
			return;
		if (!observe_open_variant(&ob, &sb, &sensor_kernel, NULL, "read", variant))
			continue;
		check_int(sandbox_run(&sb, try_kexec, NULL), 0);
		observe_drain(&ob);
		e = observe_find(&ob, EV_KERNEL_READ, 0);
		require(e != NULL);
		check_int(e->what, KERNEL_READ_KEXEC_IMAGE);
		check_int(e->from, KERNEL_FROM_MEMORY);
	}
}

/* ---- exercise ------------------------------------------------------------------------------------ */

TEST(every_kernel_hook_that_can_be_is_exercised)
{
	static const char *const cannot[] = { "module-load", "module-free", "module-request", "read", "sysctl" };
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };
	struct stat before, after;

	if (!sandbox_open(&sb, SANDBOX_PLAIN) || !observe_open(&ob, &sb, &sensor_kernel, NULL))
		return;
	check_int(stat("/proc/self/fd", &before), 0);
	for (size_t h = 0; h < sensor_kernel.n_hooks; h++) {
		const char *name = sensor_kernel.hooks[h].name;
		struct ev_hook_counts c;
		bool fires = true;
		int r = sensor_kernel.exercise(h);

		test_row = name;
		for (size_t i = 0; i < countof(cannot); i++)
			fires &= strcmp(cannot[i], name) != 0;
		/* A cgroup program does not run for the agent, which is outside the sandbox. */
		if (!strcmp(name, "sysctl"))
			check_int(r, 0);
		if (!fires || ob.states[h].status != HOOK_ATTACHED)
			continue;
		check_int(r, 0);
		require_ok(object_hook_counts(ob.object, (unsigned)h, &c));
		check(c.canary > 0);
		check_int(c.fired, 0);
	}
	test_row = NULL;
	check_int(stat("/proc/self/fd", &after), 0);
	check_int(after.st_size, before.st_size);
	observe_drain(&ob);
	check_int(ob.n, 0);
}
