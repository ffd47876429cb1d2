/* SPDX-License-Identifier: Apache-2.0 */
/* memory - user side: describes the records of memory that becomes code, and the hooks that make them. */
#include <bpf/bpf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include "base/err.h"
#include "base/mem.h"
#include "sensors/memory/memory.event.h"
#include "sensors/memory/memory.map.h"
#include "sensors/sensor.h"

static const struct field_name prot_bits[] = {
	{ PROT_READ, "read" },
	{ PROT_WRITE, "write" },
	{ PROT_EXEC, "exec" },
	{ 0, NULL },
};

static const struct field_name map_bits[] = {
	{ MAP_SHARED, "shared" },
	{ MAP_PRIVATE, "private" },
	{ MAP_FIXED, "fixed" },
	{ 0x20, "anonymous" },
	{ 0x40, "32bit" },
	{ 0x100, "growsdown" },
	{ 0x2000, "locked" },
	{ 0x4000, "noreserve" },
	{ 0x8000, "populate" },
	{ 0x10000, "nonblock" },
	{ 0x20000, "stack" },
	{ 0x40000, "hugetlb" },
	{ 0x80000, "sync" },
	{ 0x100000, "fixed-replace" },
	{ 0, NULL },
};

static const struct field_name kind_names[] = {
	{ MEM_KIND_UNKNOWN, "unknown" }, { MEM_KIND_ANONYMOUS, "anonymous" }, { MEM_KIND_HEAP, "heap" },
	{ MEM_KIND_STACK, "stack" },     { MEM_KIND_FILE, "file" },           { 0, NULL },
};

static const struct field_name trait_bits[] = {
	{ MEM_WAS_WRITABLE, "was-writable" },
	{ MEM_WRITE_EXEC, "write-exec" },
	{ MEM_WRITTEN, "written" },
	{ MEM_SHARED_WRITABLE, "shared-writable" },
	{ MEM_MEMFD, "memfd" },
	{ MEM_DELETED, "deleted" },
	{ MEM_DEVICE, "device" },
	{ 0, NULL },
};

static const struct field_name memfd_bits[] = {
	{ 1, "cloexec" }, { 2, "allow-sealing" }, { 4, "hugetlb" }, { 8, "noexec-seal" }, { 16, "exec" }, { 0, NULL },
};

#define COMMON_FIELDS                                                                                                  \
	FIELD(ev_mem_exec, addr, "process.memory.address", FT_HEX, "where it begins; not every hook knows",            \
	      .zero_is_absent = true),                                                                                 \
		FIELD(ev_mem_exec, size, "process.memory.size", FT_U64, "bytes", .zero_is_absent = true),              \
		FIELD(ev_mem_exec, kind, "process.memory.kind", FT_ENUM, "what is mapped there", .names = kind_names), \
		FIELD(ev_mem_exec, traits, "process.memory.traits", FT_FLAGS, "what makes it telling",                 \
		      .names = trait_bits),                                                                            \
		FIELD(ev_mem_exec, prot, "process.memory.protection", FT_FLAGS, "what is allowed now",                 \
		      .names = prot_bits),                                                                             \
		FIELD(ev_mem_exec, file, "file.path", FT_STR, "the mapped file"),                                      \
		FIELD(ev_mem_exec, inode, "file.inode", FT_U64, "inode of the file", .zero_is_absent = true),          \
		FIELD(ev_mem_exec, dev, "file.device", FT_HEX, "device of the file", .zero_is_absent = true)

static const struct field protect_fields[] = {
	COMMON_FIELDS,
	FIELD(ev_mem_exec, prot_before, "process.memory.protection_before", FT_FLAGS, "what was allowed until now",
	      .names = prot_bits),
};

static const struct field map_fields[] = {
	COMMON_FIELDS,
	FIELD(ev_mem_exec, map_flags, "process.memory.flags", FT_FLAGS, "flags given to mmap", .names = map_bits),
};

static const struct field memfd_fields[] = {
	FIELD(ev_mem_fd, name, "file.name", FT_STR, "the name given to it, which means nothing to the kernel"),
	FIELD(ev_mem_fd, inode, "file.inode", FT_U64, "inode"),
	FIELD(ev_mem_fd, mode, "file.mode", FT_OCTAL, "mode: without x bits it cannot be executed"),
	FIELD(ev_mem_fd, flags, "process.memory.memfd_flags", FT_FLAGS, "flags given to memfd_create",
	      .names = memfd_bits),
};

static const struct field growth_fields[] = {
	FIELD(ev_mem_growth, grown_bytes, "process.memory.grown", FT_U64, "net growth since the last record"),
	FIELD(ev_mem_growth, mapped_bytes, "process.memory.mapped", FT_U64, "gross: the sum of the lengths mapped"),
	FIELD(ev_mem_growth, total_bytes, "process.memory.total", FT_U64, "address space now"),
	FIELD(ev_mem_growth, interval_ns, "event.duration", FT_DURATION, "how long that took"),
	FIELD(ev_mem_growth, mmap_calls, "process.memory.mmap_calls", FT_U32, "calls of mmap in that time"),
	FIELD(ev_mem_growth, brk_calls, "process.memory.brk_calls", FT_U32, "calls of brk in that time"),
};

static const struct event_kind kinds[] = {
	{ EV_MEM_PROTECT, "memory.protect", "ev_mem_exec", sizeof(struct ev_mem_exec), EV_NORMAL, "process", "change",
	  "memory-protect", "memory that was not code became executable", protect_fields, countof(protect_fields) },
	{ EV_MEM_MAP, "memory.map", "ev_mem_exec", sizeof(struct ev_mem_exec), EV_NORMAL, "process", "change",
	  "memory-map", "executable memory was mapped that is no plain file", map_fields, countof(map_fields) },
	{ EV_MEM_FD, "memory.memfd", "ev_mem_fd", sizeof(struct ev_mem_fd), EV_NORMAL, "process", "info",
	  "memfd-create", "a file that exists only in memory was made", memfd_fields, countof(memfd_fields) },
	{ EV_MEM_GROWTH, "memory.growth", "ev_mem_growth", sizeof(struct ev_mem_growth), EV_NORMAL, "process", "info",
	  "memory-growth", "a process has grown by the configured step", growth_fields, countof(growth_fields) },
};

#define NOT_32BIT "32-bit processes are not seen"

static const struct hook hooks[] = {
	[HOOK_PROTECT] = {
		"protect", "memory made executable by mprotect",
		{ { .progs = { "protect_lsm" } },
		  { .progs = { "protect_fexit" } },
		  { .progs = { "protect_enter", "protect_exit", "?protect_key_enter", "?protect_key_exit" },
		    .cannot = "between the look at the mapping and the change another thread may change it; of a "
			      "range over several mappings four are looked at; " NOT_32BIT } },
	},
	[HOOK_MAP] = {
		"map", "executable memory mapped by mmap",
		{ { .progs = { "map_fexit" }, .cannot = "shmat(SHM_EXEC) and remap_file_pages are not seen" },
		  { .progs = { "map_lsm" },
		    .cannot = "address and size are not known; a call that fails afterwards is recorded too" },
		  { .progs = { "map_exit" },
		    .cannot = "another thread may unmap it before the look at the mapping; what exec maps and shmat "
			      "are not seen; " NOT_32BIT } },
	},
	[HOOK_MEMFD] = {
		"memfd", "files that exist only in memory",
		{ { .progs = { "memfd_fexit", "?memfd_huge_fexit" } },
		  { .progs = { "memfd_exit" },
		    .cannot = "another thread may close the descriptor before it is looked at; " NOT_32BIT } },
	},
	[HOOK_GROWTH] = {
		"growth", "processes that take more and more memory",
		{ { .progs = { "growth_map_fexit", "growth_brk_fexit" } },
		  { .progs = { "growth_map_exit", "growth_brk_exit" }, .cannot = NOT_32BIT } },
	},
};
_Static_assert(countof(hooks) == MEMORY_HOOK_COUNT, "a row for each hook");

struct memory_options {
	struct option_list ignore_executables;
	uint64_t growth;
};

static const struct option options[] = {
	OPTION(memory_options, ignore_executables, OPT_PATHS, "",
	       "programs whose executable memory makes no record: compilers at run time (JIT)",
	       .max = MEMORY_IGNORED_MAX),
	OPTION(memory_options, growth, OPT_BYTES, "0", "record a process each time it has grown by so much; 0: never",
	       .max = 1ULL << 50),
};

static int memory_prepare(struct object *obj, const void *opts)
{
	const struct memory_options *o = opts;
	const struct memory_config config = {
		.growth_bytes = o->growth,
		.page_bytes = (__u32)sysconf(_SC_PAGESIZE),
		.n_ignored = (__u32)o->ignore_executables.n,
	};

	if (!o->growth)
		object_hook_off(obj, HOOK_GROWTH);
	return object_set_const(obj, "config", &config, sizeof(config));
}

/* A program is known by its inode: renamed copies of it, and what replaces it later, are not ignored. */
static int memory_fill(struct object *obj, const void *opts)
{
	const struct memory_options *o = opts;
	int fd = object_map_fd(obj, "ignored");

	for (size_t i = 0; i < o->ignore_executables.n; i++) {
		struct file_key key = { 0 };
		__u32 one = 1;
		struct stat st;

		/* One that is not installed makes no noise. */
		if (stat(o->ignore_executables.items[i], &st))
			continue;
		key.inode = st.st_ino;
		key.dev = major(st.st_dev) << 20 | minor(st.st_dev);
		if (bpf_map_update_elem(fd, &key, &one, BPF_ANY))
			return err_sys(errno, "ignore %s", o->ignore_executables.items[i]);
	}
	return 0;
}

static int exercise_protect(size_t page)
{
	void *p = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int r = 0;

	if (p == MAP_FAILED)
		return err_sys(errno, "map a page");
	if (mprotect(p, page, PROT_READ | PROT_EXEC))
		r = err_sys(errno, "make a page executable");
	(void)munmap(p, page);
	return r;
}

static int exercise_map(size_t page)
{
	void *p = mmap(NULL, page, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return err_sys(errno, "map an executable page");
	(void)munmap(p, page);
	return 0;
}

static int memory_exercise(size_t hook)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	auto_close int fd = -1;
	void *p;

	switch (hook) {
	case HOOK_PROTECT:
		return exercise_protect(page);
	case HOOK_MAP:
		return exercise_map(page);
	case HOOK_MEMFD:
		fd = memfd_create("shrike-exercise", MFD_CLOEXEC);
		return fd < 0 ? err_sys(errno, "make a memfd") : 0;
	case HOOK_GROWTH:
		p = mmap(NULL, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p == MAP_FAILED)
			return err_sys(errno, "map a page");
		(void)munmap(p, page);
		return 0;
	}
	return -EOPNOTSUPP;
}

extern const struct bpf_image image_memory;

const struct sensor sensor_memory = {
	.name = "memory",
	.summary = "memory that becomes code, files that exist only in memory, processes that grow",
	.byte = EV_MEMORY,
	.kinds = kinds,
	.n_kinds = countof(kinds),
	.hooks = hooks,
	.n_hooks = countof(hooks),
	.options = options,
	.n_options = countof(options),
	.options_size = sizeof(struct memory_options),
	.image = &image_memory,
	.prepare = memory_prepare,
	.fill = memory_fill,
	.exercise = memory_exercise,
};
