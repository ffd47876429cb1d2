/* SPDX-License-Identifier: Apache-2.0 */
/* Names for addresses of this process, of another, of the kernel; and stacks as sensors record them. */
#include "bpf/symbols.h"
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include "base/err.h"
#include "base/test.h"
#include "sensors/memory/memory.event.h"
#include "tests/sandbox/observe.h"

extern const struct sensor sensor_memory;

/* Of one address, exact; the text is good until the next call. */
static const char *name_of(struct symbols *s, const struct symbols_owner *owner, uintptr_t addr)
{
	static char text[1024];
	auto_buf struct buf out;
	__u64 at = addr;

	buf_init(&out, sizeof(text));
	(void)symbols_resolve(s, owner, &at, 1, true, &out);
	check_int(out.len, strlen(buf_text(&out)) + 1);
	(void)snprintf(text, sizeof(text), "%s", buf_text(&out));
	return text;
}

static const char *raw(uintptr_t addr)
{
	static char text[32];

	(void)snprintf(text, sizeof(text), "0x%llx", (unsigned long long)addr);
	return text;
}

__attribute__((noinline)) static int a_function_of_the_test(int x)
{
	asm volatile("" : "+r"(x));
	return x + 1;
}

TEST(functions_of_a_process_have_names)
{
	const struct symbols_owner self = { .pid = (__u32)getpid() };
	AUTO(symbols) s = NULL;
	struct symbols_stats stats;
	void *anon;

	require_ok(symbols_open(&s));
	check_str(name_of(s, &self, (uintptr_t)a_function_of_the_test), "a_function_of_the_test+0x0 (unit)");
	check_str(name_of(s, &self, (uintptr_t)a_function_of_the_test + 1), "a_function_of_the_test+0x1 (unit)");
	check_str(name_of(s, &self, (uintptr_t)dlsym(RTLD_DEFAULT, "getenv")), "getenv+0x0 (libc.so.6)");
	symbols_stats(s, &stats);
	check_int(stats.files_read, 2);
	check_int(stats.cache_hits, 1);
	/* The file is known, the function is not: data of the program. */
	check_has(name_of(s, &self, (uintptr_t)&sensor_memory), "(unit+0x");

	anon = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	check_str(name_of(s, &self, (uintptr_t)anon), raw((uintptr_t)anon));
	(void)munmap(anon, 4096);
	check_str(name_of(s, &self, (uintptr_t)anon), raw((uintptr_t)anon));
	check_str(name_of(s, &self, 0), "0x0");
}

TEST(a_process_that_is_gone_or_another_leaves_the_address)
{
	const uintptr_t addr = (uintptr_t)a_function_of_the_test;
	struct symbols_owner child = { 0 }, self = { .pid = (__u32)getpid(), .start_ns = 1 };
	AUTO(symbols) s = NULL;
	pid_t pid;

	require_ok(symbols_open(&s));
	check_str(name_of(s, &self, addr), raw(addr));

	(void)fflush(NULL);
	pid = fork();
	if (pid == 0) {
		(void)pause();
		_exit(0);
	}
	child.pid = (__u32)pid;
	check_has(name_of(s, &child, addr), "a_function_of_the_test+0x0");
	check_int(kill(pid, SIGKILL), 0);
	check_int(waitpid(pid, NULL, 0), pid);
	check_str(name_of(s, &child, addr), raw(addr));
}

TEST(a_return_address_belongs_to_the_call_before_it)
{
	const struct symbols_owner self = { .pid = (__u32)getpid() };
	const uintptr_t addr = (uintptr_t)a_function_of_the_test;
	const __u64 addrs[] = { addr, addr, addr + 1 };
	auto_buf struct buf out;
	AUTO(symbols) s = NULL;
	const char *at;

	buf_init(&out, 4096);
	require_ok(symbols_open(&s));
	(void)symbols_resolve(s, &self, addrs, 3, true, &out);
	at = buf_text(&out);
	check_has(at, "a_function_of_the_test+0x0");
	at += strlen(at) + 1;
	check(strstr(at, "a_function_of_the_test") == NULL);
	at += strlen(at) + 1;
	check_has(at, "a_function_of_the_test+0x1");
}

/* The path of a library that this process has loaded. */
static bool library_path(const char *part, char *ret_path, size_t size)
{
	auto_file FILE *f = fopen("/proc/self/maps", "re");
	char line[512];

	while (f && fgets(line, sizeof(line), f)) {
		const char *path = strchr(line, '/');

		if (path && strstr(path, part)) {
			(void)snprintf(ret_path, size, "%.*s", (int)strcspn(path, "\n"), path);
			return true;
		}
	}
	return false;
}

static bool copy_file(const char *from, const char *to)
{
	auto_close int in = open(from, O_RDONLY | O_CLOEXEC),
		       out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	char bytes[65536];
	ssize_t n;

	while ((n = read(in, bytes, sizeof(bytes))) > 0)
		if (write(out, bytes, (size_t)n) != n)
			return false;
	return n == 0 && out >= 0;
}

TEST(a_library_that_was_deleted_has_names_still)
{
	const struct symbols_owner self = { .pid = (__u32)getpid() };
	char from[512], to[] = "/tmp/shrike-test-XXXXXX";
	AUTO(symbols) s = NULL;
	void *handle, *f;

	if (geteuid() != 0)
		skip("needs-root");
	require(library_path("/libz.so", from, sizeof(from)));
	require(mkstemp(to) >= 0 && !unlink(to));
	require(copy_file(from, to));
	handle = dlopen(to, RTLD_NOW | RTLD_LOCAL);
	check_int(unlink(to), 0);
	require(handle != NULL);
	f = dlsym(handle, "zlibVersion");
	require_ok(symbols_open(&s));
	check_has(name_of(s, &self, (uintptr_t)f), "zlibVersion+0x0 (shrike-test-");
	check_has(name_of(s, &self, (uintptr_t)f), "(deleted))");
	(void)dlclose(handle);
}

TEST(functions_of_the_kernel_have_names)
{
	auto_file FILE *f = fopen("/proc/kallsyms", "re");
	unsigned long long addr = 0;
	AUTO(symbols) s = NULL;
	char line[512], name[256], type;
	const char *why;

	if (geteuid() != 0)
		skip("needs-root");
	require(f != NULL);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%llx %c %255s", &addr, &type, name) == 3 && !strcmp(name, "vfs_read"))
			break;
	require_ok(symbols_open(&s));
	why = symbols_kernel_why(s);
	if (why)
		skip("kernel-addresses-hidden");
	check_str(name_of(s, NULL, addr), "vfs_read+0x0");
	check_str(name_of(s, NULL, addr + 4), "vfs_read+0x4");
	check_str(name_of(s, NULL, 4096), "0x1000");
}

/* ---- recorded stacks --------------------------------------------------------------------------- */

__attribute__((noinline)) static long map_code_here(void)
{
#if defined(__x86_64__)
	register long flags asm("r10") = MAP_PRIVATE | MAP_ANONYMOUS, fd asm("r8") = -1, off asm("r9") = 0;
	long r;

	asm volatile("syscall"
		     : "=a"(r)
		     : "a"(SYS_mmap), "D"(0), "S"(4096), "d"(PROT_READ | PROT_EXEC), "r"(flags), "r"(fd), "r"(off)
		     : "rcx", "r11", "memory");
	return r;
#else
	return syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
#endif
}

static int map_code_and_wait(const struct sandbox *sb, void *arg)
{
	const int *fds = arg;
	char c;

	(void)sb;
	return map_code_here() < 0 || read(fds[0], &c, 1) != 1;
}

static bool any_has(const struct buf *texts, const char *part)
{
	for (const char *at = texts->data; at && at < texts->data + texts->len; at += strlen(at) + 1)
		if (strstr(at, part))
			return true;
	return false;
}

/* The syscalls tracepoints of old kernels hand over the registers of the process, which has no kernel stack. */
static bool may_lack_kernel_stack(const struct observer *ob)
{
	return !strcmp(observe_via(ob, "map"), "tp");
}

static void check_stacks(unsigned variant)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };
	AUTO(symbols) s = NULL;
	const struct ev_mem_exec *e = NULL;
	struct symbols_owner owner;
	auto_buf struct buf kernel, user;
	int fds[2], named;
	pid_t pid;

	buf_init(&kernel, 65536);
	buf_init(&user, 65536);
	if (!sandbox_open(&sb, SANDBOX_PLAIN) ||
	    !observe_open_stacks(&ob, &sb, &sensor_memory, "map", variant, STACK_KERNEL | STACK_USER))
		return;
	require_ok(symbols_open(&s));
	require(!pipe2(fds, O_CLOEXEC));
	pid = sandbox_spawn(&sb, map_code_and_wait, fds);
	for (int i = 0; i < 500 && !e; i++) {
		(void)usleep(10000);
		observe_drain(&ob);
		e = observe_find(&ob, EV_MEM_MAP, 0);
	}
	test_row = observe_via(&ob, "map");
	if (e) {
		/* Looked up while it lives. */
		owner = (struct symbols_owner) { e->head.pid, e->head.start_ns };
		check_int(e->head.kstack.len % 8, 0);
		check_int(e->head.ustack.len % 8, 0);
		check_int(e->head.kstack.off % 8, 0);
		check_int(e->head.ustack.off % 8, 0);
		check(e->head.kstack.len >= 3 * 8 || may_lack_kernel_stack(&ob));
		check(e->head.ustack.len >= 8);
		named = symbols_resolve(s, NULL, (const __u64 *)(const void *)((const char *)e + e->head.kstack.off),
					e->head.kstack.len / 8, false, &kernel);
		check(named >= 2 || !e->head.kstack.off);
		named = symbols_resolve(s, &owner, (const __u64 *)(const void *)((const char *)e + e->head.ustack.off),
					e->head.ustack.len / 8, true, &user);
		check(named >= 1);
#if defined(__x86_64__)
		check(any_has(&kernel, "do_syscall_64+0x") || !e->head.kstack.off);
		check(any_has(&user, "map_code_here+0x"));
		check(any_has(&user, "(unit)"));
#endif
	}
	check(write(fds[1], "", 1) == 1);
	check(waitpid(pid, NULL, 0) == pid);
	(void)close(fds[0]);
	(void)close(fds[1]);
	require(e != NULL);
	check_int(e->head.flags & EV_F_TRUNCATED, 0);
	observe_check_books(&ob);
}

TEST(stacks_are_recorded_and_named)
{
	for (unsigned variant = 0; variant < 3; variant++)
		check_stacks(variant);
}

TEST(stacks_that_nobody_asked_for_are_not_recorded)
{
	static const struct {
		const char *name;
		__u8 stacks;
	} rows[] = {
		{ "none", 0 },
		{ "kernel", STACK_KERNEL },
		{ "user", STACK_USER },
	};

	for_each_row (r, rows)
		for (unsigned variant = 0; variant < 3; variant++) {
			auto_sandbox struct sandbox sb = { 0 };
			auto_observer struct observer ob = { 0 };
			const struct ev_mem_exec *e;
			int fds[2];

			if (!sandbox_open(&sb, SANDBOX_PLAIN))
				return;
			if (!observe_open_stacks(&ob, &sb, &sensor_memory, "map", variant, r->stacks))
				continue;
			require(!pipe2(fds, O_CLOEXEC));
			check(write(fds[1], "", 1) == 1);
			check_int(sandbox_run(&sb, map_code_and_wait, fds), 0);
			(void)close(fds[0]);
			(void)close(fds[1]);
			observe_drain(&ob);
			e = observe_find(&ob, EV_MEM_MAP, 0);
			require(e != NULL);
			test_row = observe_via(&ob, "map");
			if (!(r->stacks & STACK_KERNEL) || !may_lack_kernel_stack(&ob))
				check_int(e->head.kstack.off != 0, (r->stacks & STACK_KERNEL) != 0);
			check_int(e->head.ustack.off != 0, (r->stacks & STACK_USER) != 0);
		}
}
