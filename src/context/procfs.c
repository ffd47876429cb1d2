/* SPDX-License-Identifier: Apache-2.0 */
#include "context/procfs.h"
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include "base/err.h"
#include "base/mem.h"

enum { FOLDERS_MAX = 65536, FOLDER_DEPTH_MAX = 32, KTHREAD = 0x00200000 };

static ssize_t read_all(const char *path, char *to, size_t size)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t used = 0;
	ssize_t got;

	if (fd < 0)
		return -errno;
	while (used < size && (got = read(fd, to + used, size - used)) != 0) {
		if (got < 0)
			return -errno;
		used += (size_t)got;
	}
	return (ssize_t)used;
}

static bool number(const char **at, const char *end, uint64_t *ret_v)
{
	const char *p = *at;
	uint64_t v = 0;
	bool minus;

	while (p < end && *p == ' ')
		p++;
	minus = p < end && *p == '-';
	p += minus;
	if (p == end || *p < '0' || *p > '9')
		return false;
	for (; p < end && *p >= '0' && *p <= '9'; p++)
		v = v * 10 + (uint64_t)(*p - '0');
	*ret_v = minus ? 0 - v : v;
	*at = p;
	return true;
}

int proc_stat_parse(const char *line, size_t n, struct proc_stat *ret_stat)
{
	enum { PPID = 4, PGRP = 5, SESSION = 6, FLAGS = 9, START = 22 };
	const char *open = memchr(line, '(', n), *close = memrchr(line, ')', n), *end = line + n;
	struct proc_stat st = { 0 };
	uint64_t v[START + 1] = { 0 };
	size_t len;

	/* The name between the brackets may hold anything, brackets included: the last one closes. */
	if (!open || !close || close < open || end - close < 4)
		return err_new(-EBADMSG, "no line of /proc/PID/stat");
	len = (size_t)(close - open - 1);
	memcpy(st.comm, open + 1, len < sizeof(st.comm) - 1 ? len : sizeof(st.comm) - 1);
	st.dead = close[2] == 'Z' || close[2] == 'X' || close[2] == 'x';
	line = close + 3;
	for (int i = PPID; i <= START; i++)
		if (!number(&line, end, &v[i]))
			return err_new(-EBADMSG, "no line of /proc/PID/stat");
	st.ppid = (uint32_t)v[PPID];
	st.pgrp = (uint32_t)v[PGRP];
	st.session = (uint32_t)v[SESSION];
	st.kthread = v[FLAGS] & KTHREAD;
	st.start_ticks = v[START];
	*ret_stat = st;
	return 0;
}

int proc_stat(uint32_t pid, struct proc_stat *ret_stat)
{
	char path[64], line[1024];
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/%u/stat", pid);
	n = read_all(path, line, sizeof(line));
	if (n <= 0)
		return -ESRCH;
	return proc_stat_parse(line, (size_t)n, ret_stat);
}

size_t proc_args(uint32_t pid, struct buf *out, bool *ret_truncated)
{
	char path[64], args[PROC_ARGS_MAX + 1];
	ssize_t n;

	*ret_truncated = false;
	(void)snprintf(path, sizeof(path), "/proc/%u/cmdline", pid);
	n = read_all(path, args, sizeof(args));
	if (n > PROC_ARGS_MAX) {
		*ret_truncated = true;
		n = PROC_ARGS_MAX;
	}
	/* Who rewrites its arguments may leave any number of NULs behind. */
	while (n > 0 && !args[n - 1])
		n--;
	if (n <= 0)
		return 0;
	buf_add(out, args, (size_t)n);
	return (size_t)n;
}

/* Appends what the link says as a string of the record. */
static void add_link(struct buf *out, uint32_t pid, const char *name, size_t member)
{
	char path[64], to[EV_STR_MAX];
	struct ev_str s;
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/%u/%s", pid, name);
	n = readlink(path, to, sizeof(to) - 1);
	if (n <= 0)
		return;
	s = (struct ev_str) { .off = (uint16_t)out->len, .len = (uint16_t)n };
	buf_add(out, to, (size_t)n);
	buf_char(out, 0);
	if (!out->failed)
		memcpy(out->data + member, &s, sizeof(s));
}

static void add_args(struct buf *out, uint32_t pid)
{
	struct ev_str s = { .off = (uint16_t)out->len };
	struct ev_known *k;
	bool truncated;

	s.len = (uint16_t)proc_args(pid, out, &truncated);
	if (!s.len)
		return;
	buf_char(out, 0);
	if (out->failed)
		return;
	k = (struct ev_known *)out->data;
	k->args = s;
	if (truncated)
		k->head.flags |= EV_F_TRUNCATED;
}

static uint32_t ns_of(uint32_t pid, const char *name)
{
	char path[64];
	struct stat st;

	(void)snprintf(path, sizeof(path), "/proc/%u/ns/%s", pid, name);
	return stat(path, &st) ? 0 : (uint32_t)st.st_ino;
}

static void fill(struct ev_known *k, uint32_t pid, const struct proc_stat *st)
{
	char path[64];
	struct stat file;

	k->parent_pid = st->ppid;
	k->group_pid = st->pgrp;
	k->session_pid = st->session;
	k->traits |= st->kthread ? KNOWN_KTHREAD : 0;
	(void)snprintf(path, sizeof(path), "/proc/%u/exe", pid);
	if (!stat(path, &file)) {
		k->inode = file.st_ino;
		k->dev = major(file.st_dev) << 20 | minor(file.st_dev);
		k->mode = (uint16_t)file.st_mode;
	}
	k->mntns = ns_of(pid, "mnt");
	k->pidns = ns_of(pid, "pid");
}

/* Of a head that the kernel did not write: who it is. */
static void fill_head(struct ev_head *h, uint32_t pid, uint64_t start_ns, const struct proc_stat *st)
{
	char path[64];
	struct stat dir;

	h->pid = h->tid = pid;
	h->start_ns = start_ns;
	h->netns = ns_of(pid, "net");
	memcpy(h->comm, st->comm, sizeof(h->comm));
	(void)snprintf(path, sizeof(path), "/proc/%u", pid);
	if (!stat(path, &dir)) {
		h->uid = dir.st_uid;
		h->gid = dir.st_gid;
	}
}

int proc_known(uint32_t pid, uint64_t start_ns, const struct ev_head *base, struct buf *out)
{
	struct ev_known k = { 0 };
	struct proc_stat st, after;

	if (proc_stat(pid, &st) < 0 || st.dead || (start_ns && st.start_ticks != start_ns / PROC_TICK_NS))
		return -ESRCH;
	if (base)
		k.head = *base;
	else
		fill_head(&k.head, pid, start_ns ?: st.start_ticks * PROC_TICK_NS, &st);
	k.head.id = EV_KNOWN;
	k.head.class = EV_NORMAL;
	k.head.flags = base ? EV_F_LATE : EV_F_SEEDED;
	k.head.kstack = k.head.ustack = (struct ev_str) { 0 };
	k.traits = start_ns ? 0 : KNOWN_TICKS;
	fill(&k, pid, &st);

	buf_clear(out);
	buf_add(out, &k, sizeof(k));
	if (!st.kthread) {
		add_link(out, pid, "exe", offsetof(struct ev_known, exe));
		add_link(out, pid, "cwd", offsetof(struct ev_known, cwd));
		add_args(out, pid);
	}
	if (out->failed)
		return -ENOSPC;
	((struct ev_known *)out->data)->head.len = (uint16_t)out->len;
	return proc_stat(pid, &after) < 0 || after.start_ticks != st.start_ticks ? -ESRCH : 0;
}

/* ---- which ------------------------------------------------------------------------------------------ */

struct pids {
	uint32_t *p;
	size_t n, cap, folders;
};

static int add_pid(struct pids *s, uint32_t pid)
{
	if (s->n == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 1024;
		uint32_t *p;

		if (s->n >= PROC_PIDS_MAX)
			return -ENOSPC;
		p = realloc(s->p, cap * sizeof(*p));
		if (!p)
			return err_new(-ENOMEM, "no memory for the list of processes");
		s->p = p;
		s->cap = cap;
	}
	s->p[s->n++] = pid;
	return 0;
}

/* The processes of a cgroup, then those of the cgroups below. */
static int add_cgroup(struct pids *s, const char *path, int depth)
{
	char below[PATH_MAX + 256];
	auto_file FILE *procs = NULL;
	auto_dir DIR *dir = NULL;
	unsigned pid;
	int r;

	if (depth > FOLDER_DEPTH_MAX || ++s->folders > FOLDERS_MAX)
		return 0;
	(void)snprintf(below, sizeof(below), "%s/cgroup.procs", path);
	procs = fopen(below, "re");
	while (procs && fscanf(procs, "%u", &pid) == 1) {
		r = add_pid(s, pid);
		if (r < 0)
			return r;
	}
	dir = opendir(path);
	for (struct dirent *d; dir && (d = readdir(dir));) {
		if (d->d_type != DT_DIR || d->d_name[0] == '.')
			continue;
		if (snprintf(below, sizeof(below), "%s/%s", path, d->d_name) >= PATH_MAX)
			continue;
		r = add_cgroup(s, below, depth + 1);
		if (r < 0)
			return r;
	}
	return 0;
}

static int add_host(struct pids *s, const struct scope *scope)
{
	auto_dir DIR *dir = opendir("/proc");

	if (!dir)
		return err_sys(errno, "open /proc");
	for (struct dirent *d; (d = readdir(dir));) {
		unsigned pid;
		int r;

		if (d->d_name[0] < '1' || d->d_name[0] > '9' || sscanf(d->d_name, "%u", &pid) != 1)
			continue;
		if (scope && scope->kind == SCOPE_NETNS && ns_of(pid, "net") != scope->netns)
			continue;
		r = add_pid(s, pid);
		if (r < 0)
			return r;
	}
	return 0;
}

int proc_pids(const struct scope *scope, uint32_t **ret_pids, size_t *ret_n)
{
	struct pids s = { 0 };
	int r;

	if (scope && scope->kind == SCOPE_CGROUP) {
		char link[64], path[PATH_MAX];
		ssize_t n;

		(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", scope->cgroup_fd);
		n = readlink(link, path, sizeof(path) - 1);
		if (n < 0)
			return err_sys(errno, "find the cgroup of the scope");
		path[n] = 0;
		r = add_cgroup(&s, path, 0);
	} else {
		r = add_host(&s, scope);
	}
	/* As many as there is room for. */
	if (r < 0 && r != -ENOSPC) {
		free(s.p);
		return r;
	}
	*ret_pids = s.p;
	*ret_n = s.n;
	return 0;
}
