/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that a child makes executable in its sandbox, each way there is, as the sensor recorded it. */
#include <alloca.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/err.h"
#include "base/mem.h"
#include "base/test.h"
#include "config/option.h"
#include "sensors/memory/memory.event.h"
#include "tests/sandbox/observe.h"

extern const struct sensor sensor_memory;

enum { PAGE = 4096, RW = PROT_READ | PROT_WRITE, RX = PROT_READ | PROT_EXEC, RWX = RW | PROT_EXEC };

static void *map_anon(size_t size, int prot)
{
	void *p = mmap(NULL, size, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static int file_in(const struct sandbox *sb, const char *name)
{
	char path[128], bytes[PAGE] = { 1 };
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", sb->dir, name);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0755);
	if (fd < 0 || write(fd, bytes, PAGE) != PAGE)
		_exit(90);
	return fd;
}

static int write_then_exec(const struct sandbox *sb, void *arg)
{
	char *p = map_anon(2 * PAGE, RW);

	(void)sb;
	(void)arg;
	p[0] = (char)0xc3;
	return !p || mprotect(p, PAGE, RX);
}

static int write_hide_then_exec(const struct sandbox *sb, void *arg)
{
	char *p = map_anon(PAGE, RW);

	(void)sb;
	(void)arg;
	p[0] = (char)0xc3;
	return mprotect(p, PAGE, PROT_READ) || mprotect(p, PAGE, RX);
}

static int exec_gains_write(const struct sandbox *sb, void *arg)
{
	auto_close int fd = file_in(sb, "code");
	void *p = mmap(NULL, PAGE, RX, MAP_PRIVATE, fd, 0);

	(void)arg;
	return mprotect(p, PAGE, RWX);
}

static int file_written_then_exec(const struct sandbox *sb, void *arg)
{
	auto_close int fd = file_in(sb, "code");
	volatile char *p = mmap(NULL, PAGE, RW, MAP_PRIVATE, fd, 0);

	(void)arg;
	p[0] = 7;
	return mprotect((void *)(uintptr_t)p, PAGE, PROT_READ) || mprotect((void *)(uintptr_t)p, PAGE, RX);
}

static int stack_exec(const struct sandbox *sb, void *arg)
{
	uintptr_t here = (uintptr_t)__builtin_frame_address(0) & ~(uintptr_t)(PAGE - 1);

	(void)sb;
	(void)arg;
	return mprotect((void *)here, PAGE, RWX);
}

static int heap_exec(const struct sandbox *sb, void *arg)
{
	char *top = sbrk(4 * PAGE);
	uintptr_t page = ((uintptr_t)top + PAGE) & ~(uintptr_t)(PAGE - 1);

	(void)sb;
	(void)arg;
	return mprotect((void *)page, PAGE, RX);
}

static int shared_file_exec(const struct sandbox *sb, void *arg)
{
	auto_close int fd = file_in(sb, "code");
	void *p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);

	(void)arg;
	return mprotect(p, PAGE, RX);
}

static int key_exec(const struct sandbox *sb, void *arg)
{
	void *p = map_anon(PAGE, RW);

	(void)sb;
	(void)arg;
	return pkey_mprotect(p, PAGE, RX, -1);
}

struct protect_row {
	const char *name;
	int (*act)(const struct sandbox *sb, void *arg);
	int kind, traits, prot, before;
};

static void check_protect(const struct protect_row *r, unsigned variant)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };
	const struct ev_mem_exec *e;

	if (!sandbox_open(&sb, SANDBOX_PLAIN) ||
	    !observe_open_variant(&ob, &sb, &sensor_memory, NULL, "protect", variant))
		return;
	check_int(sandbox_run(&sb, r->act, NULL), 0);
	observe_drain(&ob);
	check_int(observe_count(&ob, EV_MEM_PROTECT), 1);
	check_int(observe_count(&ob, EV_MEM_MAP), 0);
	e = observe_find(&ob, EV_MEM_PROTECT, 0);
	require(e != NULL);
	check_int(e->kind, r->kind);
	check_int(e->traits, r->traits);
	check_int(e->prot, r->prot);
	check_int(e->prot_before, r->before);
	check_int(e->size, PAGE);
	check_int(e->addr % PAGE, 0);
	check(e->addr != 0);
	check_int(e->file.len > 0, r->kind == MEM_KIND_FILE);
	if (r->kind == MEM_KIND_FILE) {
		check_has(observe_str(e, e->file), sb.dir);
		check(e->inode != 0);
	}
}

TEST(protect_says_what_became_code)
{
	static const struct protect_row rows[] = {
		{ "W, then X", write_then_exec, MEM_KIND_ANONYMOUS, MEM_WAS_WRITABLE, RX, RW },
		{ "W, then R, then X", write_hide_then_exec, MEM_KIND_ANONYMOUS, 0, RX, PROT_READ },
		{ "X gains W", exec_gains_write, MEM_KIND_FILE, MEM_WRITE_EXEC, RWX, RX },
		{ "file pages changed, then X", file_written_then_exec, MEM_KIND_FILE, MEM_WRITTEN, RX, PROT_READ },
		{ "stack", stack_exec, MEM_KIND_STACK, MEM_WAS_WRITABLE | MEM_WRITE_EXEC, RWX, RW },
		{ "heap", heap_exec, MEM_KIND_HEAP, MEM_WAS_WRITABLE, RX, RW },
		{ "shared file", shared_file_exec, MEM_KIND_FILE, MEM_SHARED_WRITABLE, RX, PROT_READ },
		{ "with a key", key_exec, MEM_KIND_ANONYMOUS, MEM_WAS_WRITABLE, RX, RW },
	};

	for_each_row (r, rows)
		for (unsigned variant = 0; variant < 3; variant++)
			check_protect(r, variant);
}

static int map_exec(const struct sandbox *sb, void *arg)
{
	(void)sb;
	(void)arg;
	return !map_anon(3 * PAGE - 100, RX);
}

static int map_write_exec(const struct sandbox *sb, void *arg)
{
	(void)sb;
	(void)arg;
	return !map_anon(3 * PAGE, RWX);
}

static int map_file_write_exec(const struct sandbox *sb, void *arg)
{
	auto_close int fd = file_in(sb, "code");

	(void)arg;
	return mmap(NULL, 3 * PAGE, RWX, MAP_PRIVATE, fd, 0) == MAP_FAILED;
}

static int map_memfd_exec(const struct sandbox *sb, void *arg)
{
	auto_close int fd = memfd_create("payload", MFD_CLOEXEC);

	(void)sb;
	(void)arg;
	return ftruncate(fd, 3 * PAGE) || mmap(NULL, 3 * PAGE, RX, MAP_PRIVATE, fd, 0) == MAP_FAILED;
}

static int map_deleted_exec(const struct sandbox *sb, void *arg)
{
	auto_close int fd = file_in(sb, "gone");
	char path[128];

	(void)arg;
	(void)snprintf(path, sizeof(path), "%s/gone", sb->dir);
	return unlink(path) || mmap(NULL, 3 * PAGE, RX, MAP_PRIVATE, fd, 0) == MAP_FAILED;
}

static int map_shared_exec(const struct sandbox *sb, void *arg)
{
	auto_close int fd = file_in(sb, "code");

	(void)arg;
	return mmap(NULL, 3 * PAGE, RX, MAP_SHARED, fd, 0) == MAP_FAILED;
}

static int map_zero_exec(const struct sandbox *sb, void *arg)
{
	auto_close int fd = open("/dev/zero", O_RDWR | O_CLOEXEC);

	(void)sb;
	(void)arg;
	return mmap(NULL, 3 * PAGE, RX, MAP_PRIVATE, fd, 0) == MAP_FAILED;
}

struct map_row {
	const char *name;
	int (*act)(const struct sandbox *sb, void *arg);
	int kind, traits, prot;
};

static void check_map(const struct map_row *r, unsigned variant)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };
	const struct ev_mem_exec *e;

	if (!sandbox_open(&sb, SANDBOX_PLAIN) || !observe_open_variant(&ob, &sb, &sensor_memory, NULL, "map", variant))
		return;
	check_int(sandbox_run(&sb, r->act, NULL), 0);
	observe_drain(&ob);
	check_int(observe_count(&ob, EV_MEM_MAP), 1);
	check_int(observe_count(&ob, EV_MEM_PROTECT), 0);
	e = observe_find(&ob, EV_MEM_MAP, 0);
	require(e != NULL);
	check_int(e->kind, r->kind);
	check_int(e->traits, r->traits);
	check_int(e->prot, r->prot);
	check_int(e->map_flags & (MAP_PRIVATE | MAP_SHARED),
		  r->traits & MEM_SHARED_WRITABLE ? MAP_SHARED : MAP_PRIVATE);
	if (strcmp(observe_via(&ob, "map"), "lsm") != 0) {
		check_int(e->size, 3 * PAGE);
		check(e->addr != 0);
	}
	check_int(e->file.len > 0, r->kind == MEM_KIND_FILE);
}

TEST(map_says_what_code_comes_from_no_plain_file)
{
	static const struct map_row rows[] = {
		{ "anonymous", map_exec, MEM_KIND_ANONYMOUS, 0, RX },
		{ "anonymous, W and X at once", map_write_exec, MEM_KIND_ANONYMOUS, MEM_WRITE_EXEC, RWX },
		{ "file, W and X at once", map_file_write_exec, MEM_KIND_FILE, MEM_WRITE_EXEC, RWX },
		{ "memfd", map_memfd_exec, MEM_KIND_FILE, MEM_MEMFD, RX },
		{ "deleted file", map_deleted_exec, MEM_KIND_FILE, MEM_DELETED, RX },
		{ "shared file open for writing", map_shared_exec, MEM_KIND_FILE, MEM_SHARED_WRITABLE, RX },
	};

	for_each_row (r, rows)
		for (unsigned variant = 0; variant < 3; variant++)
			check_map(r, variant);
}

/* The variants differ in what they call it: private memory of the device, or plain anonymous memory. */
TEST(code_in_private_memory_of_dev_zero_is_recorded)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };

	if (!sandbox_open(&sb, SANDBOX_PLAIN) || !observe_open(&ob, &sb, &sensor_memory, NULL))
		return;
	check_int(sandbox_run(&sb, map_zero_exec, NULL), 0);
	observe_drain(&ob);
	check_int(observe_count(&ob, EV_MEM_MAP), 1);
}

static int innocent(const struct sandbox *sb, void *arg)
{
	auto_close int fd = file_in(sb, "library");
	auto_close int ro = -1;
	char path[128];
	void *p;

	(void)arg;
	(void)snprintf(path, sizeof(path), "%s/library", sb->dir);
	ro = open(path, O_RDONLY | O_CLOEXEC);
	/* What a dynamic linker does. */
	if (mmap(NULL, PAGE, RX, MAP_PRIVATE, fd, 0) == MAP_FAILED)
		return 1;
	p = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED || mprotect(p, PAGE, RX))
		return 2;
	if (mmap(NULL, PAGE, RX, MAP_SHARED, ro, 0) == MAP_FAILED)
		return 3;
	p = map_anon(PAGE, RW);
	if (!p || mprotect(p, PAGE, PROT_READ) || mprotect(p, PAGE, PROT_NONE))
		return 4;
	/* Refused by the kernel: nothing happened. */
	if (mmap((void *)1, PAGE, RX, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED)
		return 5;
	(void)execl("/bin/true", "true", NULL);
	return 6;
}

TEST(plain_code_of_files_and_plain_data_are_not_recorded)
{
	static const char *const hooks[] = { "protect", "map" };

	for (unsigned i = 0; i < 2 * 3; i++) {
		auto_sandbox struct sandbox sb = { 0 };
		auto_observer struct observer ob = { 0 };

		if (!sandbox_open(&sb, SANDBOX_PLAIN))
			return;
		if (!observe_open_variant(&ob, &sb, &sensor_memory, NULL, hooks[i / 3], i % 3))
			continue;
		check_int(sandbox_run(&sb, innocent, NULL), 0);
		observe_drain(&ob);
		/* Of mmap the LSM hook is asked before the kernel finds the address bad. */
		check_int(ob.n, !strcmp(observe_via(&ob, "map"), "lsm"));
		observe_check_books(&ob);
	}
}

TEST(memory_of_others_leaves_no_record)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };

	if (!sandbox_open(&sb, SANDBOX_PLAIN) || !observe_open(&ob, &sb, &sensor_memory, NULL))
		return;
	check_int(outside_run(&sb, write_then_exec, NULL), 0);
	check_int(outside_run(&sb, map_exec, NULL), 0);
	check_int(outside_run(&sb, map_memfd_exec, NULL), 0);
	observe_drain(&ob);
	check_int(ob.n, 0);
}

static int jit(const struct sandbox *sb, void *arg)
{
	char *p = map_anon(64 * PAGE, RW);

	(void)sb;
	(void)arg;
	for (int i = 0; i < 64; i++) {
		p[i * PAGE] = (char)0xc3;
		if (mprotect(p + (ptrdiff_t)i * PAGE, PAGE, RX))
			return 1;
	}
	/* Patching its code: each time around it is writable, then code again. */
	for (int i = 0; i < 10; i++)
		if (mprotect(p, PAGE, RW) || mprotect(p, PAGE, RX))
			return 2;
	return 0;
}

TEST(each_page_of_a_jit_is_recorded)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };

	if (!sandbox_open(&sb, SANDBOX_PLAIN) || !observe_open(&ob, &sb, &sensor_memory, NULL))
		return;
	check_int(sandbox_run(&sb, jit, NULL), 0);
	observe_drain(&ob);
	check_int(observe_count(&ob, EV_MEM_PROTECT), 74);
	observe_check_books(&ob);
}

struct memory_options {
	struct option_list ignore_executables;
	uint64_t growth;
};

TEST(an_ignored_program_is_counted_and_not_recorded)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };
	char self[256] = { 0 };
	char *items[] = { self };
	struct memory_options options = { .ignore_executables = { items, 1 } };
	struct ev_counts c;

	check(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
	if (!sandbox_open(&sb, SANDBOX_PLAIN) || !observe_open(&ob, &sb, &sensor_memory, &options))
		return;
	check_int(sandbox_run(&sb, jit, NULL), 0);
	observe_drain(&ob);
	check_int(ob.n, 0);
	require_ok(object_counts(ob.object, EV_ID_NUMBER(EV_MEM_PROTECT), &c));
	check_int(c.seen, 74);
	check_int(c.filtered, 74);
}

static int make_memfds(const struct sandbox *sb, void *arg)
{
	auto_close int a = memfd_create("first one", MFD_CLOEXEC), b = memfd_create("", MFD_ALLOW_SEALING);

	(void)sb;
	(void)arg;
	return a < 0 || b < 0 || memfd_create(NULL, 0) != -1;
}

static void check_memfd(unsigned variant)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };
	const struct ev_mem_fd *e;

	if (!sandbox_open(&sb, SANDBOX_PLAIN) ||
	    !observe_open_variant(&ob, &sb, &sensor_memory, NULL, "memfd", variant))
		return;
	check_int(sandbox_run(&sb, make_memfds, NULL), 0);
	observe_drain(&ob);
	check_int(observe_count(&ob, EV_MEM_FD), 2);
	e = observe_find(&ob, EV_MEM_FD, 0);
	require(e != NULL);
	check_str(observe_str(e, e->name), "first one");
	check_int(e->flags, MFD_CLOEXEC);
	check_int(e->mode & 0777, 0777);
	check(e->inode != 0);
	e = observe_find(&ob, EV_MEM_FD, 1);
	require(e != NULL);
	check_str(observe_str(e, e->name), "");
	check_int(e->flags, MFD_ALLOW_SEALING);
	observe_check_books(&ob);
}

TEST(memfds_are_recorded_by_the_name_that_the_kernel_took)
{
	for (unsigned variant = 0; variant < 2; variant++)
		check_memfd(variant);
}

static int grow(const struct sandbox *sb, void *arg)
{
	(void)sb;
	(void)arg;
	for (int i = 0; i < 64; i++)
		if (!map_anon(1 << 20, RW))
			return 1;
	for (int i = 0; i < 16; i++)
		if (sbrk(1 << 20) == (void *)-1)
			return 2;
	/* Churn is not growth. */
	for (int i = 0; i < 100; i++) {
		void *p = map_anon(1 << 20, RW);

		if (!p || munmap(p, 1 << 20))
			return 3;
	}
	return 0;
}

static void check_growth(unsigned variant)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };
	struct memory_options options = { .growth = 16 << 20 };
	const struct ev_mem_growth *e;

	if (!sandbox_open(&sb, SANDBOX_PLAIN) ||
	    !observe_open_variant(&ob, &sb, &sensor_memory, &options, "growth", variant))
		return;
	check_int(sandbox_run(&sb, grow, NULL), 0);
	observe_drain(&ob);
	check_int(observe_count(&ob, EV_MEM_GROWTH), 5);
	for (size_t i = 0; i < 4; i++) {
		e = observe_find(&ob, EV_MEM_GROWTH, i);
		require(e != NULL);
		check_int(e->grown_bytes, 16 << 20);
		check_int(e->mapped_bytes, 16 << 20);
		check_int(e->mmap_calls, 16);
		check(e->total_bytes > e->grown_bytes);
	}
	e = observe_find(&ob, EV_MEM_GROWTH, 4);
	require(e != NULL);
	check_int(e->mmap_calls, 0);
	check(e->brk_calls >= 16);
	observe_check_books(&ob);
}

TEST(growth_is_recorded_in_steps)
{
	for (unsigned variant = 0; variant < 2; variant++)
		check_growth(variant);
}

TEST(every_memory_hook_can_be_exercised)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };
	struct memory_options options = { .growth = 1ULL << 40 };

	if (!sandbox_open(&sb, SANDBOX_PLAIN) || !observe_open(&ob, &sb, &sensor_memory, &options))
		return;
	for (size_t h = 0; h < sensor_memory.n_hooks; h++) {
		struct ev_hook_counts before, after;

		test_row = sensor_memory.hooks[h].name;
		require_ok(object_hook_counts(ob.object, (unsigned)h, &before));
		check_int(sensor_memory.exercise(h), 0);
		require_ok(object_hook_counts(ob.object, (unsigned)h, &after));
		check(after.canary > before.canary);
		check_int(after.fired, 0);
	}
	test_row = NULL;
	observe_drain(&ob);
	check_int(ob.n, 0);
}
