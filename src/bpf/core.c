/* SPDX-License-Identifier: Apache-2.0 */
#include "bpf/core.h"
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <mntent.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>
#include "base/err.h"
#include "bpf/kernel_probe.h"
#include "bpf/sock.map.h"

/* Short enough that a burst is noticed at once, long enough that a window opens rarely. */
static const __u64 budget_window_ns = 100000000;

const char *cgroup_mount(void)
{
	static char dir[PATH_MAX];
	FILE *mounts;
	struct mntent *m;

	if (dir[0])
		return dir;
	mounts = setmntent("/proc/self/mounts", "re");
	if (!mounts)
		return NULL;
	while ((m = getmntent(mounts)))
		if (!strcmp(m->mnt_type, "cgroup2")) {
			(void)snprintf(dir, sizeof(dir), "%s", m->mnt_dir);
			break;
		}
	(void)endmntent(mounts);
	return dir[0] ? dir : NULL;
}

/* Of the hierarchy's true root; in a cgroup namespace, the mount begins elsewhere. */
enum { CGROUP_ROOT_ID = 1 };

/* The id of a cgroup is the number in its file handle: what the kernel calls kn->id. */
static int cgroup_id_of(const char *path, __u64 *ret_id)
{
	struct {
		struct file_handle head;
		__u64 id;
	} handle = { .head = { .handle_bytes = sizeof(__u64) } };
	int mount_id;

	if (name_to_handle_at(AT_FDCWD, path, &handle.head, &mount_id, 0))
		return err_sys(errno, "read the id of cgroup %s", path);
	memcpy(ret_id, handle.head.f_handle, sizeof(*ret_id));
	return 0;
}

static bool is_below(const char *path, const char *mount)
{
	size_t n = strlen(mount);

	return !strncmp(path, mount, n) && (!path[n] || path[n] == '/');
}

static int scope_parse_cgroup(const char *path, struct scope *s)
{
	char full[PATH_MAX], real[PATH_MAX];
	const char *mount = cgroup_mount(), *below;
	struct statfs fs;
	__u64 root_id = 0;
	int r;

	if (!mount)
		return err_new(-ENOTSUP,
			       "a cgroup scope needs the unified (v2) cgroup hierarchy, which is not mounted");
	/* Both spellings are met: the folder, and the path below the mount as /proc/PID/cgroup prints it. */
	if (is_below(path, mount))
		(void)snprintf(full, sizeof(full), "%s", path);
	else
		(void)snprintf(full, sizeof(full), "%s/%s", mount, path[0] == '/' ? path + 1 : path);
	if (!realpath(full, real))
		return err_sys(errno, "no such cgroup: %s", full);
	/* Another file system, or what lies beside the mount, has numbers that mean nothing to the programs. */
	if (!is_below(real, mount) || statfs(real, &fs) || fs.f_type != CGROUP2_SUPER_MAGIC)
		return err_new(-EINVAL, "no such cgroup: %s is not in the unified hierarchy at %s", real, mount);
	below = real + strlen(mount);
	for (const char *c = below; *c; c++)
		s->cgroup_level += c[0] == '/' && c[1];

	r = cgroup_id_of(mount, &root_id);
	if (r == 0)
		r = cgroup_id_of(real, &s->cgroup_id);
	if (r < 0)
		return r;
	s->level_is_least = root_id != CGROUP_ROOT_ID;
	s->cgroup_fd = open(real, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->cgroup_fd < 0)
		return err_sys(errno, "open cgroup %s", real);
	return 0;
}

static int scope_parse_netns(const char *name, struct scope *s)
{
	char path[PATH_MAX];
	auto_close int fd = -1;
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s%s", name[0] == '/' ? "" : "/run/netns/", name);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st))
		return err_sys(errno, "no such network namespace: %s", path);
	/* The number of an ordinary file would be a namespace that nobody is in. */
	if (ioctl(fd, NS_GET_NSTYPE) != CLONE_NEWNET)
		return err_new(-EINVAL, "no such network namespace: %s is something else", path);
	s->netns = (__u32)st.st_ino;
	s->netns_fd = take_fd(fd);
	return 0;
}

int scope_parse(const char *text, struct scope *ret_scope)
{
	struct scope s = SCOPE_NONE;
	int r = 0;

	if (strlen(text) >= sizeof(s.text))
		return err_new(-EINVAL, "scope is longer than %zu bytes", sizeof(s.text) - 1);
	(void)snprintf(s.text, sizeof(s.text), "%s", text);
	if (!strcmp(text, "host")) {
		s.kind = SCOPE_HOST;
	} else if (!strncmp(text, "cgroup:", 7) && text[7]) {
		s.kind = SCOPE_CGROUP;
		r = scope_parse_cgroup(text + 7, &s);
	} else if (!strncmp(text, "netns:", 6) && text[6]) {
		s.kind = SCOPE_NETNS;
		r = scope_parse_netns(text + 6, &s);
	} else {
		return err_new(-EINVAL, "scope \"%s\" is none of: host, cgroup:PATH, netns:NAME", text);
	}
	if (r < 0)
		return r;
	*ret_scope = s;
	return 0;
}

void scope_close(struct scope *scope)
{
	fd_closep(&scope->cgroup_fd);
	fd_closep(&scope->netns_fd);
}

void bpf_core_free(struct bpf_core *core)
{
	if (!core)
		return;
	if (core->reader)
		(void)munmap(core->reader, (size_t)sysconf(_SC_PAGESIZE));
	for (int i = 0; i < RING_COUNT; i++)
		fd_closep(&core->ring_fd[i]);
	fd_closep(&core->scratch_fd);
	fd_closep(&core->budgets_fd);
	fd_closep(&core->reader_fd);
	fd_closep(&core->scope_fd);
	fd_closep(&core->sock_marks_fd);
	free(core);
}

static int make_map(enum bpf_map_type type, const char *name, size_t key, size_t value, size_t entries, __u32 flags,
		    int *ret_fd)
{
	LIBBPF_OPTS(bpf_map_create_opts, o, .map_flags = flags);
	int fd = bpf_map_create(type, name, (__u32)key, (__u32)value, (__u32)entries, &o);

	if (fd < 0)
		return err_sys(-fd, "make the BPF map %s", name);
	*ret_fd = fd;
	return 0;
}

/* Socket storage is the one map that the kernel makes only with BTF for its key and value. */
static int make_sock_marks(int *ret_fd)
{
	struct btf *btf = btf__new_empty();
	LIBBPF_OPTS(bpf_map_create_opts, o, .map_flags = BPF_F_NO_PREALLOC | BPF_F_CLONE);
	int key, byte, fd;

	if (!btf)
		return err_sys(errno, "make BTF for the map sock_marks");
	key = btf__add_int(btf, "int", 4, BTF_INT_SIGNED);
	byte = btf__add_int(btf, "char", 1, BTF_INT_CHAR);
	o.btf_key_type_id = (__u32)key;
	o.btf_value_type_id = (__u32)btf__add_array(btf, key, byte, sizeof(struct sock_mark));
	if (btf__load_into_kernel(btf)) {
		int e = errno;

		btf__free(btf);
		return err_sys(e, "load BTF for the map sock_marks");
	}
	o.btf_fd = (__u32)btf__fd(btf);
	fd = bpf_map_create(BPF_MAP_TYPE_SK_STORAGE, "sock_marks", 4, sizeof(struct sock_mark), 0, &o);
	btf__free(btf);
	if (fd < 0)
		return err_sys(-fd, "make the BPF map sock_marks");
	*ret_fd = fd;
	return 0;
}

static size_t ring_round(size_t bytes)
{
	size_t size = (size_t)sysconf(_SC_PAGESIZE);

	while (size < bytes)
		size *= 2;
	return size;
}

static int make_maps(struct bpf_core *c)
{
	static const char *const names[RING_COUNT] = { "ring_critical", "ring_bulk", "ring_packet" };
	size_t cpus = (size_t)libbpf_num_possible_cpus();
	int r;

	for (int i = 0; i < RING_COUNT; i++) {
		r = make_map(BPF_MAP_TYPE_RINGBUF, names[i], 0, 0, c->ring_bytes[i], 0, &c->ring_fd[i]);
		if (r < 0)
			return r;
	}
	r = make_map(BPF_MAP_TYPE_ARRAY, "scratch", 4, sizeof(struct rec), cpus * REC_SLOTS, 0, &c->scratch_fd);
	if (r < 0)
		return r;
	r = make_map(BPF_MAP_TYPE_LRU_HASH, "budgets", sizeof(struct budget_key), sizeof(struct budget),
		     BUDGET_CGROUPS_MAX, 0, &c->budgets_fd);
	if (r < 0)
		return r;
	r = make_map(BPF_MAP_TYPE_CGROUP_ARRAY, "scope_cgroup", 4, 4, 1, 0, &c->scope_fd);
	if (r < 0)
		return r;
	r = make_map(BPF_MAP_TYPE_ARRAY, "reader", 4, sizeof(struct reader_state), 1, BPF_F_MMAPABLE, &c->reader_fd);
	if (r < 0)
		return r;
	return make_sock_marks(&c->sock_marks_fd);
}

/* 0 stays 0, which is no bound; a bound too small for a window becomes one record. */
static __u32 budget_of_window(__u32 per_s)
{
	__u64 n = (__u64)per_s * budget_window_ns / 1000000000;

	return per_s && !n ? 1 : (__u32)n;
}

int bpf_core_open(const struct core_options *options, const struct scope *scope, struct bpf_core **ret_core)
{
	AUTO(bpf_core) c = NULL;
	__u32 zero = 0;
	void *page;
	int r;

	c = calloc(1, sizeof(*c));
	if (!c)
		return err_new(-ENOMEM, "no memory for the BPF core");
	for (int i = 0; i < RING_COUNT; i++) {
		c->ring_fd[i] = -1;
		c->ring_bytes[i] = ring_round(options->ring_bytes[i]);
		c->config.wake_bytes[i] = c->ring_bytes[i] / 4;
	}
	c->scratch_fd = c->budgets_fd = c->reader_fd = c->scope_fd = c->sock_marks_fd = -1;
	c->scope = scope;
	c->no_syscall_hooks = options->no_syscall_hooks;

	r = make_maps(c);
	if (r < 0)
		return r;

	page = mmap(NULL, (size_t)sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE, MAP_SHARED, c->reader_fd, 0);
	if (page == MAP_FAILED)
		return err_sys(errno, "map the reader's state");
	c->reader = page;

	if (scope->kind == SCOPE_CGROUP && bpf_map_update_elem(c->scope_fd, &zero, &scope->cgroup_fd, BPF_ANY))
		return err_sys(errno, "set the cgroup of the scope");

	c->config.scope = scope->kind;
	c->config.scope_level = scope->cgroup_level;
	c->config.scope_level_is_least = scope->level_is_least;
	c->config.scope_cgroup_id = scope->cgroup_id;
	c->config.scope_netns = scope->netns;
	r = kernel_tgid(&c->config.agent_tgid);
	if (r < 0)
		return r;
	c->config.budget_window_ns = budget_window_ns;
	for (int i = 0; i < EV_CLASS_COUNT; i++)
		c->config.budget[i] = budget_of_window(options->budget_per_s[i]);
	*ret_core = take(c);
	return 0;
}
