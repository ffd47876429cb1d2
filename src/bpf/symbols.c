/* SPDX-License-Identifier: Apache-2.0 */
#include "bpf/symbols.h"
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>
#include "base/err.h"
#include "bpf/elf_symbols.h"

enum { RELOAD_S = 60, PATH_SHOWN_MAX = 255 };

/* A function of the kernel. */
struct ksym {
	__u64 addr;
	__u32 name, module; /* offsets into the names; module 0: the kernel proper */
};

/* A file whose functions are known (symbols NULL: it has been looked at and has none). */
struct file {
	dev_t dev;
	ino_t ino;
	struct timespec changed;
	struct elf_symbols *symbols;
	__u64 used; /* the clock of uses */
};

struct symbols {
	struct ksym *ksyms;
	size_t n_ksyms;
	struct buf knames;
	time_t loaded_s;
	bool loaded;
	char why[128];
	struct file files[SYMBOLS_FILES_MAX];
	size_t n_files, files_bytes;
	__u64 uses;
	struct symbols_stats stats;
};

int symbols_open(struct symbols **ret_symbols)
{
	struct symbols *s = calloc(1, sizeof(*s));

	if (!s)
		return err_new(-ENOMEM, "no memory for symbols");
	buf_init(&s->knames, SYMBOLS_KERNEL_BYTES);
	*ret_symbols = s;
	return 0;
}

void symbols_free(struct symbols *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n_files; i++)
		elf_symbols_free(s->files[i].symbols);
	free(s->ksyms);
	buf_free(&s->knames);
	free(s);
}

void symbols_stats(const struct symbols *s, struct symbols_stats *ret_stats)
{
	*ret_stats = s->stats;
}

/* ---- the kernel ------------------------------------------------------------------------------ */

static int ksym_by_address(const void *a, const void *b)
{
	const struct ksym *x = a, *y = b;

	if (x->addr != y->addr)
		return x->addr < y->addr ? -1 : 1;
	/* Of aliases, the last that the kernel lists: section marks come before functions. */
	return x->name < y->name ? 1 : -1;
}

/* "ffffffff81000000 T _stext", of modules with "\t[name]" behind it. */
static bool parse_ksym(struct symbols *s, char *line, struct ksym *ret_sym)
{
	char *at, *name, *module;

	ret_sym->addr = strtoull(line, &at, 16);
	if (at == line || at[0] != ' ' || !strchr("tTwW", at[1]) || at[2] != ' ')
		return false;
	name = at + 3;
	name[strcspn(name, "\n")] = 0;
	module = strchr(name, '\t');
	if (module)
		*module++ = 0;
	ret_sym->name = (__u32)s->knames.len;
	buf_add(&s->knames, name, strlen(name) + 1);
	ret_sym->module = module ? (__u32)s->knames.len : 0;
	if (module)
		buf_add(&s->knames, module, strlen(module) + 1);
	return !s->knames.failed;
}

static void load_kernel(struct symbols *s)
{
	auto_file FILE *f = fopen("/proc/kallsyms", "re");
	size_t cap = 0;
	char line[1024];
	bool any_address = false;

	s->loaded = true;
	s->stats.kernel_loads++;
	s->n_ksyms = 0;
	s->why[0] = 0;
	buf_clear(&s->knames);
	buf_add(&s->knames, "", 1); /* offset 0 means: no module */
	if (!f) {
		(void)snprintf(s->why, sizeof(s->why), "/proc/kallsyms cannot be read: %s", strerror(errno));
		return;
	}
	while (s->n_ksyms < SYMBOLS_KERNEL_MAX && fgets(line, sizeof(line), f)) {
		if (s->n_ksyms == cap) {
			size_t more = cap ? cap * 2 : 1 << 16;
			struct ksym *grown = realloc(s->ksyms, more * sizeof(*grown));

			if (!grown)
				break;
			s->ksyms = grown;
			cap = more;
		}
		if (!parse_ksym(s, line, &s->ksyms[s->n_ksyms]))
			continue;
		any_address |= s->ksyms[s->n_ksyms].addr != 0;
		s->n_ksyms++;
	}
	if (!any_address) {
		s->n_ksyms = 0;
		(void)snprintf(s->why, sizeof(s->why),
			       "the kernel hides its addresses (kernel.kptr_restrict, or no CAP_SYSLOG)");
		return;
	}
	qsort(s->ksyms, s->n_ksyms, sizeof(*s->ksyms), ksym_by_address);
}

static const struct ksym *find_ksym(const struct symbols *s, __u64 addr)
{
	size_t low = 0, high = s->n_ksyms;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (s->ksyms[mid].addr <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	if (!low || addr - s->ksyms[low - 1].addr >= SYMBOLS_KERNEL_REACH)
		return NULL;
	low--;
	while (low && s->ksyms[low - 1].addr == s->ksyms[low].addr)
		low--;
	return &s->ksyms[low];
}

static time_t now_s(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

static const struct ksym *kernel_function(struct symbols *s, __u64 addr)
{
	const struct ksym *found;

	if (!s->loaded) {
		load_kernel(s);
		s->loaded_s = now_s();
	}
	found = find_ksym(s, addr);
	/* A module or program that was loaded since; not asked for again and again. */
	if (!found && !s->why[0] && now_s() - s->loaded_s >= RELOAD_S) {
		load_kernel(s);
		s->loaded_s = now_s();
		found = find_ksym(s, addr);
	}
	return found;
}

const char *symbols_kernel_why(struct symbols *s)
{
	(void)kernel_function(s, 0);
	return s->why[0] ? s->why : NULL;
}

/* `addr` as recorded; `inside` is an address of the instruction that it stands for. */
static bool put_kernel(struct symbols *s, __u64 addr, __u64 inside, struct buf *out)
{
	const struct ksym *f = kernel_function(s, inside);

	if (!f) {
		buf_printf(out, "0x%llx", (unsigned long long)addr);
		return false;
	}
	buf_printf(out, "%s+0x%llx", s->knames.data + f->name, (unsigned long long)(addr - f->addr));
	if (f->module)
		buf_printf(out, " %s", s->knames.data + f->module);
	return true;
}

/* ---- processes: what is mapped where ----------------------------------------------------------- */

/* Fills `out` with a file of /proc, up to its limit. */
static bool read_proc(__u32 pid, const char *name, struct buf *out)
{
	char path[64], chunk[4096];
	auto_close int fd = -1;
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/%u/%s", pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	while ((n = read(fd, chunk, sizeof(chunk))) > 0 && !out->failed)
		buf_add(out, chunk, (size_t)n);
	return out->len > 0;
}

/* Is the process that has this pid now the one that was recorded? */
static bool is_owner(const struct symbols_owner *owner)
{
	auto_buf struct buf stat;
	unsigned long long ticks;
	const char *at;

	buf_init(&stat, 4096);
	if (!owner->start_ns)
		return true;
	if (!read_proc(owner->pid, "stat", &stat))
		return false;
	at = strrchr(buf_text(&stat), ')'); /* what stands before may hold anything */
	if (!at || sscanf(at, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
			  &ticks) != 1)
		return false;
	return ticks == owner->start_ns / (1000000000ULL / (unsigned long long)sysconf(_SC_CLK_TCK));
}

struct mapping {
	__u64 start, end, off;
	unsigned major, minor;
	__u64 inode;
	const char *path; /* in the line; its end is not */
	size_t path_len;
};

/* The mapping that holds `addr`, of the text of /proc/PID/maps. */
static bool find_mapping(const char *maps, __u64 addr, struct mapping *ret_map)
{
	for (const char *line = maps, *next; *line; line = next) {
		struct mapping m = { 0 };
		int used = 0;
		size_t len = strcspn(line, "\n");
		char *at;

		next = line + len + (line[len] == '\n');
		m.start = strtoull(line, &at, 16);
		m.end = *at == '-' ? strtoull(at + 1, &at, 16) : 0;
		if (addr < m.start || addr >= m.end)
			continue;
		if (sscanf(at, " %*4s %" SCNx64 " %x:%x %" SCNu64 "%n", (uint64_t *)&m.off, &m.major, &m.minor,
			   (uint64_t *)&m.inode, &used) != 4)
			return false;
		m.path = at + used;
		while (*m.path == ' ')
			m.path++;
		m.path_len = (size_t)(line + len - m.path);
		*ret_map = m;
		return true;
	}
	return false;
}

/* May a file of this device be opened? Not where somebody else decides when, and whether, it answers. */
static bool device_is_local(const char *mountinfo, unsigned major, unsigned minor)
{
	static const char *const local[] = { "ext4",     "ext3",     "ext2",  "xfs",    "btrfs",
					     "overlay",  "tmpfs",    "ramfs", "f2fs",   "erofs",
					     "squashfs", "bcachefs", "zfs",   "rootfs", "vfat" };

	for (const char *line = mountinfo, *next; *line; line = next) {
		size_t len = strcspn(line, "\n");
		unsigned a, b;
		char type[32];
		const char *dash;

		next = line + len + (line[len] == '\n');
		if (sscanf(line, "%*d %*d %u:%u", &a, &b) != 2 || a != major || b != minor)
			continue;
		dash = memmem(line, len, " - ", 3);
		if (!dash || sscanf(dash, " - %31s", type) != 1)
			continue;
		for (size_t i = 0; i < countof(local); i++)
			if (!strcmp(type, local[i]))
				return true;
		return false;
	}
	return false;
}

/* ---- processes: the functions of files ----------------------------------------------------------- */

/* Opens what is mapped, even if it was deleted or belongs to a container; regular files only. */
static int open_mapped(__u32 pid, const struct mapping *m, struct stat *ret_stat)
{
	auto_close int path_fd = -1;
	char path[128];

	(void)snprintf(path, sizeof(path), "/proc/%u/map_files/%llx-%llx", pid, (unsigned long long)m->start,
		       (unsigned long long)m->end);
	/* Opening a device would already be doing something. */
	path_fd = open(path, O_PATH | O_CLOEXEC);
	if (path_fd < 0 || fstat(path_fd, ret_stat) || !S_ISREG(ret_stat->st_mode))
		return -1;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", path_fd);
	return open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

static size_t file_bytes(const struct file *f)
{
	return f->symbols ? elf_symbols_bytes(f->symbols) : 0;
}

static void forget_oldest(struct symbols *s)
{
	size_t oldest = 0;

	for (size_t i = 1; i < s->n_files; i++)
		if (s->files[i].used < s->files[oldest].used)
			oldest = i;
	s->files_bytes -= file_bytes(&s->files[oldest]);
	elf_symbols_free(s->files[oldest].symbols);
	s->files[oldest] = s->files[--s->n_files];
	s->stats.evicted++;
}

static bool same_file(const struct file *f, const struct stat *st)
{
	return f->dev == st->st_dev && f->ino == st->st_ino && f->changed.tv_sec == st->st_mtim.tv_sec &&
	       f->changed.tv_nsec == st->st_mtim.tv_nsec;
}

static const struct elf_symbols *functions_of(struct symbols *s, int fd, const struct stat *st)
{
	const struct elf_source source = { .fd = fd, .size = (size_t)st->st_size };
	struct file f = { .dev = st->st_dev, .ino = st->st_ino, .changed = st->st_mtim, .used = ++s->uses };

	for (size_t i = 0; i < s->n_files; i++)
		if (same_file(&s->files[i], st)) {
			s->files[i].used = s->uses;
			s->stats.cache_hits++;
			return s->files[i].symbols;
		}
	/* What cannot be read is remembered too, and not tried each time. */
	(void)elf_symbols_read(&source, &f.symbols);
	s->stats.files_read++;
	while (s->n_files && (s->n_files == SYMBOLS_FILES_MAX || s->files_bytes + file_bytes(&f) > SYMBOLS_FILES_BYTES))
		forget_oldest(s);
	s->files_bytes += file_bytes(&f);
	s->files[s->n_files++] = f;
	return f.symbols;
}

/* The last part of the path, printable. */
static void put_file_name(const struct mapping *m, struct buf *out)
{
	const char *name = memrchr(m->path, '/', m->path_len);
	size_t n;

	name = name ? name + 1 : m->path;
	n = (size_t)(m->path + m->path_len - name);
	if (n > PATH_SHOWN_MAX)
		n = PATH_SHOWN_MAX;
	for (size_t i = 0; i < n; i++)
		buf_char(out, name[i] >= ' ' && name[i] <= '~' ? name[i] : '?');
}

static bool put_mapped(struct symbols *s, __u32 pid, const struct mapping *m, bool local, __u64 addr, __u64 inside,
		       struct buf *out)
{
	const struct elf_symbols *functions = NULL;
	__u64 file_off = inside - m->start + m->off, in_function, shown = addr - m->start + m->off;
	const char *function = NULL;
	auto_close int fd = -1;
	uint64_t at = 0, found_at = 0;
	struct stat st;

	if (local)
		fd = open_mapped(pid, m, &st);
	if (fd >= 0)
		functions = functions_of(s, fd, &st);
	else
		s->stats.files_refused++;
	if (functions && elf_symbols_addr(functions, file_off, &at)) {
		function = elf_symbols_find(functions, at, &found_at);
		shown = at + (addr - inside);
	}
	in_function = found_at + (addr - inside);
	if (function) {
		buf_printf(out, "%s+0x%llx (", function, (unsigned long long)in_function);
		put_file_name(m, out);
		buf_char(out, ')');
		return true;
	}
	buf_char(out, '(');
	put_file_name(m, out);
	buf_printf(out, "+0x%llx)", (unsigned long long)shown);
	return false;
}

static bool put_user(struct symbols *s, const struct symbols_owner *owner, const char *maps, const char *mounts,
		     __u64 addr, __u64 inside, struct buf *out)
{
	struct mapping m;

	if (!find_mapping(maps, inside, &m) || !m.path_len || (!m.inode && m.path[0] != '[')) {
		buf_printf(out, "0x%llx", (unsigned long long)addr);
		return false;
	}
	/* "[vdso]", "[stack]": no file, but a name. */
	return put_mapped(s, owner->pid, &m, m.inode && device_is_local(mounts, m.major, m.minor), addr, inside, out);
}

/* ---- all together ---------------------------------------------------------------------------------- */

int symbols_resolve(struct symbols *s, const struct symbols_owner *owner, const __u64 *addrs, size_t n,
		    bool exact_first, struct buf *out)
{
	auto_buf struct buf maps, mounts;
	int named = 0;

	buf_init(&maps, SYMBOLS_MAPS_BYTES);
	buf_init(&mounts, SYMBOLS_MAPS_BYTES);
	/* The mappings are read first: should the pid change hands in between, the question after it says so. */
	if (owner &&
	    !(read_proc(owner->pid, "maps", &maps) && read_proc(owner->pid, "mountinfo", &mounts) && is_owner(owner)))
		buf_clear(&maps);
	for (size_t i = 0; i < n; i++) {
		/* A return address is that of the next instruction: of the next function, after a call that never
		 * returns. */
		__u64 inside = addrs[i] && (i || !exact_first) ? addrs[i] - 1 : addrs[i];

		if (owner)
			named += put_user(s, owner, buf_text(&maps), buf_text(&mounts), addrs[i], inside, out);
		else
			named += put_kernel(s, addrs[i], inside, out);
		buf_add(out, "", 1);
	}
	return named;
}
