/* SPDX-License-Identifier: Apache-2.0 */
/* Files that the test makes, changes and removes in its sandbox, as the sensor recorded them. */
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/io_uring.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>
#include "base/err.h"
#include "base/mem.h"
#include "base/test.h"
#include "config/option.h"
#include "sensors/file/file.event.h"
#include "tests/sandbox/observe.h"

extern const struct sensor sensor_file;

/* ---- options of a test -------------------------------------------------------------------------- */

static char options[1024] __attribute__((aligned(8)));

static bool options_start(void)
{
	options_clear(sensor_file.options, sensor_file.n_options, options);
	memset(options, 0, sizeof(options));
	if (option_defaults(sensor_file.options, sensor_file.n_options, options) == 0)
		return true;
	test_fail(T_HERE, "%s", err_trail());
	return false;
}

static void options_set(const char *name, const char *text)
{
	for (size_t i = 0; i < sensor_file.n_options; i++)
		if (!strcmp(sensor_file.options[i].name, name)) {
			require_ok(option_set(&sensor_file.options[i], text, options));
			return;
		}
	test_fail(T_HERE, "no option %s", name);
}

/* Only the hooks that a test looks at: loading all of them takes a while. */
static bool options_only(const char *a, const char *b)
{
	static const char *const all[] = { "open",  "close", "rename", "unlink",   "link", "mkdir",
					   "chmod", "chown", "xattr",  "truncate", "mount" };

	if (!options_start())
		return false;
	for (size_t i = 0; i < countof(all); i++)
		if (strcmp(all[i], a) != 0 && (!b || strcmp(all[i], b) != 0))
			options_set(all[i], "false");
	options_set("sensitive", "");
	return true;
}

/* Are paths those of kernel objects here, and io_uring seen? */
static bool has_truth(const struct observer *ob, const char *hook)
{
	const char *via = observe_via(ob, hook);

	return via && (!strcmp(via, "fexit") || !strcmp(via, "fentry"));
}

/* ---- what a record says ---------------------------------------------------------------------------- */

static const char *path_of(const void *rec)
{
	return rec ? observe_str(rec, ((const struct ev_file *)rec)->path) : "(no record)";
}

/* The record of a kind whose path ends so. */
static const void *find_path(const struct observer *ob, __u16 id, const char *end)
{
	const struct ev_file *f;

	for (size_t i = 0; (f = observe_find(ob, id, i)); i++) {
		const char *path = path_of(f);
		size_t n = strlen(path), m = strlen(end);

		if (n >= m && !strcmp(path + n - m, end))
			return f;
	}
	return NULL;
}

static size_t count_path(const struct observer *ob, __u16 id, const char *end)
{
	const struct ev_file *f;
	size_t hits = 0;

	for (size_t i = 0; (f = observe_find(ob, id, i)); i++) {
		const char *path = path_of(f);
		size_t n = strlen(path), m = strlen(end);

		hits += n >= m && !strcmp(path + n - m, end);
	}
	return hits;
}

/* ---- open and close ------------------------------------------------------------------------------- */

#define must(e)                                                                                                        \
	do {                                                                                                           \
		if (!(e))                                                                                              \
			return __LINE__ % 100 + 1;                                                                     \
	} while (0)

static int opens(const struct sandbox *sb, void *arg)
{
	struct open_how how = { .flags = O_CREAT | O_EXCL | O_WRONLY, .mode = 0600 };
	char name[256];
	int dir, fd, other;

	(void)arg;
	must(!chdir(sb->dir));
	dir = open(".", O_RDONLY | O_DIRECTORY);
	must(dir >= 0);

	fd = open("plain", O_CREAT | O_EXCL | O_WRONLY, 0640);
	must(fd >= 0 && write(fd, "hello", 5) == 5 && !close(fd));
	fd = open("plain", O_WRONLY | O_APPEND);
	must(fd >= 0 && !close(fd));
	fd = open("plain", O_RDONLY);
	must(fd >= 0 && !close(fd));
	must(open("plain", O_CREAT | O_EXCL | O_WRONLY, 0640) < 0);
	must(open("missing/x", O_CREAT | O_WRONLY, 0640) < 0);

	fd = openat(dir, "./relative", O_CREAT | O_RDWR, 0600);
	must(fd >= 0 && !close(fd));
	fd = (int)syscall(SYS_openat2, dir, "openat2", &how, sizeof(how));
	must(fd >= 0 && !close(fd));
	fd = creat("creat", 0600);
	must(fd >= 0 && !close(fd));

	must(!symlink("plain", "sym"));
	fd = open("sym", O_WRONLY | O_TRUNC);
	must(fd >= 0 && !close(fd));

	/* O_TMPFILE is refused by some file systems. */
	fd = open(".", O_TMPFILE | O_RDWR, 0600);
	if (fd >= 0)
		must(!close(fd));

	memset(name, 'n', 255);
	name[255] = 0;
	fd = creat(name, 0600);
	must(fd >= 0 && !close(fd));
	fd = creat("bytes\xff\x80\n", 0600);
	must(fd >= 0 && !close(fd));

	/* Only the last of two descriptors closes the file. */
	fd = creat("dup", 0600);
	other = dup(fd);
	must(fd >= 0 && other >= 0 && !close(fd) && write(other, "123", 3) == 3 && !close(other));

	/* Removed while it is open. */
	fd = creat("gone", 0600);
	must(fd >= 0 && !unlink("gone") && !close(fd));

	/* Replaced by dup2. */
	fd = creat("replaced", 0600);
	must(fd >= 0 && dup2(dir, fd) == fd && !close(fd));

	/* Left to the end of the process. */
	fd = creat("left", 0600);
	must(fd >= 0 && write(fd, "12", 2) == 2);

	/* Neither has a name that anybody could open. */
	must(memfd_create("memory", 0) >= 0);
	must(!pipe((int[2]) { 0 }));
	must(socket(AF_UNIX, SOCK_STREAM, 0) >= 0);

	/* Read, or known to keep nothing. */
	fd = open("/dev/null", O_WRONLY);
	must(fd >= 0 && !close(fd));
	return 0;
}

TEST(opens_for_writing_and_last_closes_are_recorded)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };
	const struct ev_file_open *e;
	const struct ev_file_close *c;
	char full[512], name[300];
	struct ev_counts counts;
	struct stat st;

	if (!options_only("open", "close") || !sandbox_open(&sb, SANDBOX_PLAIN) ||
	    !observe_open(&ob, &sb, &sensor_file, options))
		return;
	check_int(sandbox_run(&sb, opens, NULL), 0);
	observe_drain(&ob);
	observe_check_books(&ob);

	(void)snprintf(full, sizeof(full), "%s/plain", sb.dir);
	e = observe_find(&ob, EV_FILE_OPEN, 0);
	require(e != NULL);
	check_str(path_of(e), full);
	check_int(e->flags & (O_CREAT | O_EXCL | O_ACCMODE), O_CREAT | O_EXCL | O_WRONLY);
	check_int(e->created, 1);
	check_int(e->f.node.mode, 0640);
	check_int(e->f.node.type, FILE_REGULAR);
	check_int(e->f.node.nlink, 1);
	check_int(e->f.source, FILE_FROM_KERNEL);
	check(e->f.mntns != 0);
	require(!stat(full, &st));
	check_int(e->f.node.inode, st.st_ino);
	check_int(e->f.node.dev, major(st.st_dev) << 20 | minor(st.st_dev));
	check_int(e->f.node.uid, st.st_uid);

	c = observe_find(&ob, EV_FILE_CLOSE, 0);
	require(c != NULL);
	check_str(path_of(c), full);
	check_int(c->f.node.size, 5);
	check_int(c->f.node.inode, st.st_ino);

	e = observe_find(&ob, EV_FILE_OPEN, 1);
	require(e != NULL);
	check_int(e->created, 0);
	check_int(e->flags & (O_APPEND | O_ACCMODE), O_APPEND | O_WRONLY);

	/* Twice by its name and once through the symlink; never for reading, never where it failed. */
	check_int(count_path(&ob, EV_FILE_OPEN, "/plain"), 3);
	check_int(count_path(&ob, EV_FILE_OPEN, "/missing/x"), 0);
	check_int(count_path(&ob, EV_FILE_CLOSE, "/plain"), 3);
	check_int(count_path(&ob, EV_FILE_OPEN, "/sym"), 0);

	(void)snprintf(full, sizeof(full), "%s/relative", sb.dir);
	check_str(path_of(find_path(&ob, EV_FILE_OPEN, "relative")), full);
	e = find_path(&ob, EV_FILE_OPEN, "/openat2");
	require(e != NULL);
	check_int(e->flags & (O_CREAT | O_EXCL), O_CREAT | O_EXCL);
	check_int(e->created, 1);
	e = find_path(&ob, EV_FILE_OPEN, "/creat");
	require(e != NULL);
	check_int(e->flags & (O_CREAT | O_TRUNC | O_ACCMODE), O_CREAT | O_TRUNC | O_WRONLY);

	(void)snprintf(name, sizeof(name), "/%0255d", 0);
	memset(name + 1, 'n', 255);
	check(find_path(&ob, EV_FILE_OPEN, name) != NULL);
	check(find_path(&ob, EV_FILE_OPEN, "/bytes\xff\x80\n") != NULL);

	check_int(count_path(&ob, EV_FILE_CLOSE, "/dup"), 1);
	c = find_path(&ob, EV_FILE_CLOSE, "/dup");
	check(c && c->f.node.size == 3);
	c = find_path(&ob, EV_FILE_CLOSE, "/gone");
	check(c && c->f.node.nlink == 0);
	check_int(count_path(&ob, EV_FILE_CLOSE, "/replaced"), 1);
	check_int(count_path(&ob, EV_FILE_CLOSE, "/left"), 1);
	c = find_path(&ob, EV_FILE_CLOSE, "/left");
	check(c && c->f.node.size == 2);

	check(!find_path(&ob, EV_FILE_CLOSE, "memory"));
	check(!find_path(&ob, EV_FILE_OPEN, "/dev/null"));
	require_ok(object_counts(ob.object, EV_ID_NUMBER(EV_FILE_OPEN), &counts));
	check(counts.filtered > 0); /* /dev/null */
	check_int(observe_count(&ob, EV_FILE_OPEN), observe_count(&ob, EV_FILE_CLOSE));
}

static int open_tmpfile(const struct sandbox *sb, void *arg)
{
	(void)arg;
	return open(sb->dir, O_TMPFILE | O_RDWR, 0600) < 0;
}

TEST(a_file_without_a_name_is_recorded)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };
	const struct ev_file_open *e;

	if (!options_only("open", NULL) || !sandbox_open(&sb, SANDBOX_PLAIN) ||
	    !observe_open(&ob, &sb, &sensor_file, options))
		return;
	check_int(sandbox_run(&sb, open_tmpfile, NULL), 0);
	observe_drain(&ob);
	e = observe_find(&ob, EV_FILE_OPEN, 0);
	require(e != NULL);
	check_int(e->flags & O_TMPFILE, O_TMPFILE);
	check_int(e->f.node.nlink, 0);
	check_has(path_of(e), sb.dir);
	check_int(observe_count(&ob, EV_FILE_CLOSE), 0); /* not asked for */
}

static int map_and_write(const struct sandbox *sb, void *arg)
{
	char *map;
	int fd;

	(void)arg;
	must(!chdir(sb->dir));
	fd = open("mapped", O_CREAT | O_RDWR, 0600);
	must(fd >= 0 && !ftruncate(fd, 4096));
	map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	must(map != MAP_FAILED && !close(fd));
	map[0] = 1;
	return munmap(map, 4096) ? 1 : 0;
}

TEST(a_file_closes_when_its_last_mapping_goes)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };

	if (!options_only("close", NULL) || !sandbox_open(&sb, SANDBOX_PLAIN) ||
	    !observe_open(&ob, &sb, &sensor_file, options))
		return;
	check_int(sandbox_run(&sb, map_and_write, NULL), 0);
	observe_drain(&ob);
	/* The system call variant does not see it: so it says. */
	check_int(count_path(&ob, EV_FILE_CLOSE, "/mapped"), has_truth(&ob, "close") ? 1 : 0);
}

/* ---- everything else that changes files ---------------------------------------------------------------- */

static int changes(const struct sandbox *sb, void *arg)
{
	char a[200], b[200];
	int dir, fd;

	(void)arg;
	must(!chdir(sb->dir));
	must(!mkdir("d", 0751) && !mkdir("d/sub", 0700));
	must(mkdir("d", 0700) < 0);
	dir = open("d", O_RDONLY | O_DIRECTORY);
	must(dir >= 0);
	fd = open("d/one", O_CREAT | O_RDWR, 0644);
	must(fd >= 0 && write(fd, "0123456789", 10) == 10);
	must(close(creat("d/two", 0600)) == 0);

	must(!mknodat(dir, "fifo", S_IFIFO | 0600, 0));
	must(!mknod("d/null", S_IFCHR | 0600, makedev(1, 3)));

	must(!fchmod(fd, 0755));
	must(!fchmodat(dir, "one", 04711, 0));
	must(chmod("d/missing", 0700) < 0);
	must(!fchown(fd, 12, 34));
	must(!lchown("d/one", 56, (gid_t)-1));

	must(!ftruncate(fd, 4));
	must(!truncate("d/one", 3));
	must(truncate("d/missing", 3) < 0);
	must(!close(open("d/two", O_WRONLY | O_TRUNC)));

	must(!fsetxattr(fd, "trusted.shrike", "v", 1, 0));
	must(!removexattr("d/one", "trusted.shrike"));
	must(removexattr("d/one", "trusted.shrike") < 0);

	must(!linkat(dir, "one", dir, "hard", 0));
	must(!symlink("../some/where", "d/soft"));
	must(link("d/missing", "d/x") < 0);

	(void)snprintf(a, sizeof(a), "%s/d/one", sb->dir);
	(void)snprintf(b, sizeof(b), "%s/d/three", sb->dir);
	must(!rename(a, b));
	must(!renameat(dir, "three", AT_FDCWD, "d/two"));
	must(!syscall(SYS_renameat2, dir, "two", dir, "sub", RENAME_EXCHANGE));
	must(rename("d/missing", "d/x") < 0);
	must(syscall(SYS_renameat2, dir, "two", dir, "sub", RENAME_NOREPLACE) < 0);

	must(!unlink("d/hard"));
	must(unlink("d/hard") < 0);
	must(!unlinkat(dir, "two", AT_REMOVEDIR));
	must(!unlinkat(dir, "sub", 0));
	must(rmdir("d") < 0);
	must(!unlink("d/fifo") && !unlink("d/null") && !unlink("d/soft") && !rmdir("d"));
	return 0;
}

static char *under(const struct sandbox *sb, const char *rest)
{
	static char text[4][512];
	static int at;

	at = (at + 1) % 4;
	(void)snprintf(text[at], sizeof(text[at]), "%s%s", sb->dir, rest);
	return text[at];
}

static void check_renames(const struct observer *ob, const struct sandbox *sb)
{
	const struct ev_file_rename *e = observe_find(ob, EV_FILE_RENAME, 0);
	bool truth = has_truth(ob, "rename");

	check_int(observe_count(ob, EV_FILE_RENAME), 3);
	require(e != NULL);
	check_str(observe_str(e, e->old_path), under(sb, "/d/one"));
	check_str(path_of(e), under(sb, "/d/three"));
	check_int(e->f.node.type, truth ? FILE_REGULAR : 0);
	check_int(e->f.source, truth ? FILE_FROM_KERNEL : FILE_FROM_ARGS);
	check_int(e->replaced_inode, 0);

	e = observe_find(ob, EV_FILE_RENAME, 1);
	require(e != NULL);
	check_str(observe_str(e, e->old_path), under(sb, "/d/three"));
	check_str(path_of(e), under(sb, "/d/two"));
	check_int(e->replaced_inode != 0, truth);

	e = observe_find(ob, EV_FILE_RENAME, 2);
	require(e != NULL);
	check_str(observe_str(e, e->old_path), under(sb, "/d/two"));
	check_str(path_of(e), under(sb, "/d/sub"));
	check_int(e->flags, RENAME_EXCHANGE);
}

static void check_removals(const struct observer *ob, const struct sandbox *sb)
{
	static const struct {
		const char *name;
		int type;
	} rows[] = {
		{ "/d/hard", FILE_REGULAR }, { "/d/two", FILE_DIR },   { "/d/sub", FILE_REGULAR },
		{ "/d/fifo", FILE_FIFO },    { "/d/null", FILE_CHAR }, { "/d/soft", FILE_SYMLINK },
		{ "/d", FILE_DIR },
	};
	bool truth = has_truth(ob, "unlink");

	check_int(observe_count(ob, EV_FILE_UNLINK), countof(rows));
	for_each_row (r, rows) {
		const struct ev_file_unlink *e = find_path(ob, EV_FILE_UNLINK, r->name);

		require(e != NULL);
		check_str(path_of(e), under(sb, r->name));
		check_int(e->f.node.type, truth || r->type == FILE_DIR ? r->type : 0);
		check_int(e->f.node.inode != 0, truth);
		if (truth && r->type == FILE_REGULAR)
			check_int(e->f.node.nlink, r == rows ? 2 : 1);
	}
}

static void check_attributes(const struct observer *ob, const struct sandbox *sb)
{
	bool truth = has_truth(ob, "chmod");
	const struct ev_file_chmod *m;
	const struct ev_file_chown *o;
	const struct ev_file_xattr *x;
	const struct ev_file_truncate *t;

	check_int(observe_count(ob, EV_FILE_CHMOD), 2);
	m = observe_find(ob, EV_FILE_CHMOD, 0);
	require(m != NULL);
	check_str(path_of(m), under(sb, "/d/one"));
	check_int(m->f.node.mode, 0755);
	check_int(m->old_mode, truth ? 0644 : 0);
	m = observe_find(ob, EV_FILE_CHMOD, 1);
	require(m != NULL);
	check_str(path_of(m), under(sb, "/d/one"));
	check_int(m->f.node.mode, 04711);
	check_int(m->old_mode, truth ? 0755 : 0);

	check_int(observe_count(ob, EV_FILE_CHOWN), 2);
	o = observe_find(ob, EV_FILE_CHOWN, 0);
	require(o != NULL);
	check_str(path_of(o), under(sb, "/d/one"));
	check_int(o->f.node.uid, 12);
	check_int(o->f.node.gid, 34);
	check_int(o->old_uid, truth ? 0 : (__u32)-1);
	o = observe_find(ob, EV_FILE_CHOWN, 1);
	require(o != NULL);
	check_int(o->f.node.uid, 56);
	check_int(o->f.node.gid, truth ? 34 : (__u32)-1);
	check_int(o->old_uid, truth ? 12 : (__u32)-1);

	check_int(observe_count(ob, EV_FILE_TRUNCATE), 2);
	t = observe_find(ob, EV_FILE_TRUNCATE, 0);
	require(t != NULL);
	check_str(path_of(t), under(sb, "/d/one"));
	check_int(t->f.node.size, 4);
	check_int(t->old_size, truth ? 10 : 0);
	t = observe_find(ob, EV_FILE_TRUNCATE, 1);
	require(t != NULL);
	check_str(path_of(t), under(sb, "/d/one"));
	check_int(t->f.node.size, 3);

	check_int(observe_count(ob, EV_FILE_XATTR), 2);
	x = observe_find(ob, EV_FILE_XATTR, 0);
	require(x != NULL);
	check_str(path_of(x), under(sb, "/d/one"));
	check_str(observe_str(x, x->name), "trusted.shrike");
	check_int(x->op, FILE_XATTR_SET);
	x = observe_find(ob, EV_FILE_XATTR, 1);
	require(x != NULL);
	check_str(path_of(x), under(sb, "/d/one"));
	check_int(x->op, FILE_XATTR_REMOVE);
}

static void check_made(const struct observer *ob, const struct sandbox *sb)
{
	bool truth = has_truth(ob, "link");
	const struct ev_file_symlink *s;
	const struct ev_file_mknod *n;
	const struct ev_file_mkdir *d;
	const struct ev_file_link *l;

	check_int(observe_count(ob, EV_FILE_MKDIR), 2);
	d = observe_find(ob, EV_FILE_MKDIR, 0);
	require(d != NULL);
	check_str(path_of(d), under(sb, "/d"));
	check_int(d->f.node.type, FILE_DIR);
	check_int(d->f.node.mode, truth ? 0751 : 0);

	check_int(observe_count(ob, EV_FILE_MKNOD), 2);
	n = find_path(ob, EV_FILE_MKNOD, "/d/fifo");
	require(n != NULL);
	check_int(n->f.node.type, FILE_FIFO);
	n = find_path(ob, EV_FILE_MKNOD, "/d/null");
	require(n != NULL);
	check_int(n->f.node.type, FILE_CHAR);
	check_int(n->rdev, 1 << 20 | 3);

	check_int(observe_count(ob, EV_FILE_LINK), 1);
	l = observe_find(ob, EV_FILE_LINK, 0);
	require(l != NULL);
	check_str(path_of(l), under(sb, "/d/hard"));
	check_str(observe_str(l, l->old_path), under(sb, "/d/one"));
	check_int(l->f.node.nlink, truth ? 2 : 0);

	check_int(observe_count(ob, EV_FILE_SYMLINK), 1);
	s = observe_find(ob, EV_FILE_SYMLINK, 0);
	require(s != NULL);
	check_str(path_of(s), under(sb, "/d/soft"));
	check_str(observe_str(s, s->target), "../some/where");
}

TEST(changes_are_recorded_and_failed_ones_are_not)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };

	if (!options_start() || !sandbox_open(&sb, SANDBOX_PLAIN) || !observe_open(&ob, &sb, &sensor_file, options))
		return;
	check_int(sandbox_run(&sb, changes, NULL), 0);
	observe_drain(&ob);
	observe_check_books(&ob);
	check_made(&ob, &sb);
	check_attributes(&ob, &sb);
	check_renames(&ob, &sb);
	check_removals(&ob, &sb);
	check_int(observe_count(&ob, EV_FILE_MOUNT), 0);
}

TEST(what_others_do_with_files_leaves_no_record)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };

	if (!options_start() || !sandbox_open(&sb, SANDBOX_PLAIN) || !observe_open(&ob, &sb, &sensor_file, options))
		return;
	check_int(outside_run(&sb, changes, NULL), 0);
	check_int(outside_run(&sb, opens, NULL), 0);
	observe_drain(&ob);
	check_int(ob.n, 0);
}

/* ---- mounts, and paths through them --------------------------------------------------------------------- */

static int own_mounts(void)
{
	return unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
}

static int mounts(const struct sandbox *sb, void *arg)
{
	int fs, fd;

	(void)arg;
	must(!own_mounts() && !chdir(sb->dir));
	must(!mkdir("m", 0755) && !mkdir("bound", 0755) && !mkdir("new", 0755));
	must(!mount("shrike-test", "m", "tmpfs", MS_NOSUID | MS_NOEXEC, "size=64k"));
	must(close(creat("m/in", 0600)) == 0);
	must(!mount("m", "bound", NULL, MS_BIND, NULL));
	must(mount("m", "missing", NULL, MS_BIND, NULL) < 0);
	fd = open("bound/in", O_WRONLY);
	must(fd >= 0);
	must(umount("bound") < 0); /* busy */
	must(!umount2("bound", MNT_DETACH));
	must(!close(fd));
	must(!umount("m"));

	fs = (int)syscall(SYS_fsopen, "tmpfs", 0);
	must(fs >= 0 && !syscall(SYS_fsconfig, fs, 6 /* FSCONFIG_CMD_CREATE */, NULL, NULL, 0));
	fd = (int)syscall(SYS_fsmount, fs, 0, 0);
	must(fd >= 0 && !syscall(SYS_move_mount, fd, "", AT_FDCWD, "new", 4 /* MOVE_MOUNT_F_EMPTY_PATH */));
	must(!close(fd) && !close(fs));
	return umount("new") ? 1 : 0;
}

TEST(mounts_are_recorded)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };
	const struct ev_file_umount *u;
	const struct ev_file_mount *m;
	bool truth;

	if (!options_only("mount", "open") || !sandbox_open(&sb, SANDBOX_PLAIN) ||
	    !observe_open(&ob, &sb, &sensor_file, options))
		return;
	check_int(sandbox_run(&sb, mounts, NULL), 0);
	observe_drain(&ob);
	observe_check_books(&ob);
	truth = has_truth(&ob, "mount");

	/* The first is the one that makes the namespace private. */
	check_int(observe_count(&ob, EV_FILE_MOUNT), 4);
	m = observe_find(&ob, EV_FILE_MOUNT, 0);
	require(m != NULL);
	check_str(path_of(m), "/");
	check_int(m->flags, MS_REC | MS_PRIVATE);
	m = observe_find(&ob, EV_FILE_MOUNT, 1);
	require(m != NULL);
	check_str(path_of(m), under(&sb, "/m"));
	check_str(observe_str(m, m->origin), "shrike-test");
	check_str(observe_str(m, m->fs), "tmpfs");
	check_int(m->flags, MS_NOSUID | MS_NOEXEC);
	m = observe_find(&ob, EV_FILE_MOUNT, 2);
	require(m != NULL);
	check_str(path_of(m), under(&sb, "/bound"));
	check_int(m->flags, MS_BIND);
	m = observe_find(&ob, EV_FILE_MOUNT, 3);
	require(m != NULL);
	check_str(path_of(m), under(&sb, "/new"));
	check_int(m->moved, 1);
	if (truth)
		check_str(observe_str(m, m->fs), "tmpfs");

	check_int(observe_count(&ob, EV_FILE_UMOUNT), 3);
	u = observe_find(&ob, EV_FILE_UMOUNT, 0);
	require(u != NULL);
	check_str(path_of(u), under(&sb, "/bound"));
	check_int(u->flags, MNT_DETACH);
	u = observe_find(&ob, EV_FILE_UMOUNT, 1);
	require(u != NULL);
	check_str(path_of(u), under(&sb, "/m"));
	if (truth)
		check_str(observe_str(u, u->origin), "shrike-test");
	u = observe_find(&ob, EV_FILE_UMOUNT, 2);
	require(u != NULL);
	check_str(path_of(u), under(&sb, "/new"));

	check(find_path(&ob, EV_FILE_OPEN, under(&sb, "/m/in")) != NULL);
	check(find_path(&ob, EV_FILE_OPEN, under(&sb, "/bound/in")) != NULL);
}

static int in_own_root(const struct sandbox *sb, void *arg)
{
	int fd;

	(void)arg;
	must(!own_mounts() && !chdir(sb->dir));
	must(!mkdir("root", 0755) && !mount("r", "root", "tmpfs", 0, "size=64k"));
	must(!chroot("root") && !chdir("/"));
	must(!mkdir("etc", 0755) && !mkdir("/etc/deep", 0755));
	fd = creat("/etc/passwd", 0600);
	must(fd >= 0 && !close(fd));
	must(!chdir("etc/deep"));
	fd = creat("../up", 0600);
	must(fd >= 0 && !close(fd));
	must(!rename("/etc/up", "../moved"));
	return unlink("../moved") ? 1 : 0;
}

TEST(a_process_with_a_root_of_its_own_sees_its_own_paths)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };
	const struct ev_file_rename *e;
	const struct ev_file *f;
	bool truth;

	if (!options_start() || !sandbox_open(&sb, SANDBOX_PLAIN) || !observe_open(&ob, &sb, &sensor_file, options))
		return;
	check_int(sandbox_run(&sb, in_own_root, NULL), 0);
	observe_drain(&ob);
	observe_check_books(&ob);
	truth = has_truth(&ob, "rename");
	check_str(path_of(observe_find(&ob, EV_FILE_OPEN, 0)), "/etc/passwd");
	check_str(path_of(observe_find(&ob, EV_FILE_CLOSE, 0)), "/etc/passwd");
	check_str(path_of(observe_find(&ob, EV_FILE_OPEN, 1)), "/etc/up");
	check_str(path_of(observe_find(&ob, EV_FILE_MKDIR, 2)), "/etc/deep");
	e = observe_find(&ob, EV_FILE_RENAME, 0);
	require(e != NULL);
	check_str(observe_str(e, e->old_path), "/etc/up");
	check_str(path_of(e), truth ? "/etc/moved" : "/etc/deep/../moved");
	f = observe_find(&ob, EV_FILE_UNLINK, 0);
	check_str(path_of(f), truth ? "/etc/moved" : "/etc/deep/../moved");
}

static bool make_file(const struct sandbox *sb, const char *name)
{
	int fd = creat(under(sb, name), 0600);

	return fd >= 0 && !close(fd);
}

static int mount_overlay(const struct sandbox *sb, void *arg)
{
	(void)arg;
	must(!own_mounts() && !chdir(sb->dir));
	return mount("o", "all", "overlay", 0, "lowerdir=low,upperdir=up,workdir=work") ? 200 : 0;
}

static int on_overlay(const struct sandbox *sb, void *arg)
{
	int fd = mount_overlay(sb, arg);

	if (fd)
		return fd;
	fd = open("all/old", O_WRONLY | O_APPEND);
	must(fd >= 0 && write(fd, "new", 3) == 3 && !close(fd));
	must(close(creat("all/fresh", 0600)) == 0);
	must(!chmod("all/old", 0640));
	must(!rename("all/fresh", "all/fresher"));
	must(!unlink("all/dead"));
	must(!setxattr("all/old", "trusted.shrike", "v", 1, 0));
	return 0;
}

TEST(an_overlay_is_recorded_once_and_as_the_process_sees_it)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };
	const struct ev_file_rename *e;
	const struct ev_file_open *o;
	struct stat st;

	if (!options_start() || !sandbox_open(&sb, SANDBOX_PLAIN))
		return;
	require(!mkdir(under(&sb, "/low"), 0755) && !mkdir(under(&sb, "/up"), 0755));
	require(!mkdir(under(&sb, "/work"), 0755) && !mkdir(under(&sb, "/all"), 0755));
	require(make_file(&sb, "/low/old") && make_file(&sb, "/low/dead"));
	/* Where it is a module, it has to be there when the sensor starts: its types are looked up then. */
	if (outside_run(&sb, mount_overlay, NULL) == 200)
		skip("no-overlay");
	if (!observe_open(&ob, &sb, &sensor_file, options))
		return;
	check_int(sandbox_run(&sb, on_overlay, NULL), 0);
	observe_drain(&ob);
	observe_check_books(&ob);

	/* What is done below, to the layers, is the kernel's own business. */
	check_int(observe_count(&ob, EV_FILE_OPEN), 2);
	check_int(observe_count(&ob, EV_FILE_CLOSE), 2);
	check_int(observe_count(&ob, EV_FILE_CHMOD), 1);
	check_int(observe_count(&ob, EV_FILE_RENAME), 1);
	check_int(observe_count(&ob, EV_FILE_UNLINK), 1);
	check_int(observe_count(&ob, EV_FILE_XATTR), 1);
	o = find_path(&ob, EV_FILE_OPEN, under(&sb, "/all/old"));
	require(o != NULL);
	require(!stat(under(&sb, "/up/old"), &st));
	check_int(o->f.node.real_inode, st.st_ino);
	check_int(o->f.node.real_dev, major(st.st_dev) << 20 | minor(st.st_dev));
	check(find_path(&ob, EV_FILE_CLOSE, under(&sb, "/all/old")) != NULL);
	check_str(path_of(observe_find(&ob, EV_FILE_CHMOD, 0)), under(&sb, "/all/old"));
	check_str(path_of(observe_find(&ob, EV_FILE_UNLINK, 0)), under(&sb, "/all/dead"));
	check_str(path_of(observe_find(&ob, EV_FILE_XATTR, 0)), under(&sb, "/all/old"));
	e = observe_find(&ob, EV_FILE_RENAME, 0);
	require(e != NULL);
	check_str(observe_str(e, e->old_path), under(&sb, "/all/fresh"));
	check_str(path_of(e), under(&sb, "/all/fresher"));
}

static int deep(const struct sandbox *sb, void *arg)
{
	(void)arg;
	must(!chdir(sb->dir));
	for (int i = 0; i < 120; i++)
		must(!mkdir("d", 0755) && !chdir("d"));
	must(close(creat("bottom", 0600)) == 0);
	must(!unlink("bottom"));
	for (int i = 0; i < 120; i++)
		must(!chdir("..") && !rmdir("d"));
	return 0;
}

TEST(a_path_that_is_too_deep_keeps_its_end_and_says_so)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };
	const struct ev_file *f;

	if (!options_only("open", "unlink") || !sandbox_open(&sb, SANDBOX_PLAIN))
		return;
	options_set("exclude", "/d/");
	if (!observe_open(&ob, &sb, &sensor_file, options))
		return;
	check_int(sandbox_run(&sb, deep, NULL), 0);
	observe_drain(&ob);
	observe_check_books(&ob);
	f = find_path(&ob, EV_FILE_OPEN, "d/d/d/bottom");
	require(f != NULL);
	check_int(f->head.flags & EV_F_TRUNCATED, EV_F_TRUNCATED);
	check(path_of(f)[0] == 'd');
	f = find_path(&ob, EV_FILE_UNLINK, "d/d/d/bottom");
	require(f != NULL);
	check_int(f->head.flags & EV_F_TRUNCATED, EV_F_TRUNCATED);
}

/* ---- which paths -------------------------------------------------------------------------------------------- */

static int reads(const struct sandbox *sb, void *arg)
{
	static const char *const names[] = { "secret",        "secret2",         "key",  "keys/deep/id",
					     "keyring",       "home/al/.ssh/id", "hard", "prefix1",
					     "home/al/notes", "home/.ssh/id",    "plain" };

	(void)arg;
	must(!chdir(sb->dir));
	for (size_t i = 0; i < countof(names); i++) {
		int fd = open(names[i], O_RDONLY);

		must(fd >= 0 && !close(fd));
	}
	must(open("keys/missing", O_RDONLY) < 0);
	must(!close(open("secret", O_PATH)));
	must(!close(open("secret", O_RDWR)));
	return 0;
}

static bool make_secrets(const struct sandbox *sb)
{
	static const char *const dirs[] = { "/keys", "/keys/deep", "/home", "/home/al", "/home/al/.ssh", "/home/.ssh" };
	static const char *const files[] = { "/secret",       "/secret2",       "/key",
					     "/keys/deep/id", "/keyring",       "/home/al/.ssh/id",
					     "/prefix1",      "/home/al/notes", "/home/.ssh/id",
					     "/plain" };

	for (size_t i = 0; i < countof(dirs); i++)
		if (mkdir(under(sb, dirs[i]), 0755))
			return false;
	for (size_t i = 0; i < countof(files); i++)
		if (!make_file(sb, files[i]))
			return false;
	return !link(under(sb, "/secret"), under(sb, "/hard"));
}

TEST(sensitive_files_are_reported_when_read)
{
	static const struct {
		const char *name;
		size_t count;
		__u32 matched;
	} rows[] = {
		{ "/secret", 2, FILE_MATCH_PATH },
		{ "/secret2", 0, 0 },
		{ "/key", 0, 0 },
		{ "/keys/deep/id", 1, FILE_MATCH_PATH },
		{ "/keyring", 0, 0 },
		{ "/home/al/.ssh/id", 1, FILE_MATCH_PATH },
		{ "/home/al/notes", 0, 0 },
		{ "/home/.ssh/id", 0, 0 },
		{ "/hard", 1, FILE_MATCH_INODE },
		{ "/prefix1", 1, FILE_MATCH_PATH },
		{ "/plain", 0, 0 },
	};
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };
	char list[512];

	if (!options_only("open", NULL) || !sandbox_open(&sb, SANDBOX_PLAIN))
		return;
	require(make_secrets(&sb));
	(void)snprintf(list, sizeof(list), "%s/secret, %s/keys/, %s/home/*/.ssh/, %s/pre*", sb.dir, sb.dir, sb.dir,
		       sb.dir);
	options_set("sensitive", list);
	if (!observe_open(&ob, &sb, &sensor_file, options))
		return;
	check_int(sandbox_run(&sb, reads, NULL), 0);
	observe_drain(&ob);
	observe_check_books(&ob);
	for_each_row (r, rows) {
		const struct ev_file_sensitive *e = find_path(&ob, EV_FILE_SENSITIVE, under(&sb, r->name));

		check_int(count_path(&ob, EV_FILE_SENSITIVE, under(&sb, r->name)), r->count);
		check_int(e ? e->matched : 0, r->matched);
	}
	/* The one that was opened for writing as well is in both. */
	check_int(observe_count(&ob, EV_FILE_OPEN), 1);
}

static int writes(const struct sandbox *sb, void *arg)
{
	static const char *const names[] = {
		"a/x", "a/b/x", "a/b/c/x", "ab", "users/al/cache/x", "users/al/x", "a/w/x"
	};

	(void)arg;
	must(!chdir(sb->dir));
	must(!mkdir("a", 0755) && !mkdir("a/b", 0755) && !mkdir("a/b/c", 0755) && !mkdir("users", 0755) &&
	     !mkdir("a/w", 0755));
	must(!mkdir("users/al", 0755) && !mkdir("users/al/cache", 0755));
	for (size_t i = 0; i < countof(names); i++)
		must(close(creat(names[i], 0600)) == 0);
	must(!rename("a/x", "a/y"));
	must(!rename("a/y", "out"));
	return 0;
}

TEST(the_longest_pattern_decides)
{
	static const struct {
		const char *name;
		size_t count;
	} rows[] = {
		{ "/a/x", 0 },        { "/a/b/x", 1 }, { "/a/b/c/x", 0 }, { "/ab", 1 }, { "/users/al/cache/x", 0 },
		{ "/users/al/x", 1 }, { "/a/w/x", 0 },
	};
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };
	struct ev_counts counts;
	char list[512];

	if (!options_only("open", "rename") || !sandbox_open(&sb, SANDBOX_PLAIN))
		return;
	(void)snprintf(list, sizeof(list), "%s/a/, %s/a/b/c/, %s/users/*/cache/, %s/a/w/*/z", sb.dir, sb.dir, sb.dir,
		       sb.dir);
	options_set("exclude", list);
	options_set("include", under(&sb, "/a/b/"));
	if (!observe_open(&ob, &sb, &sensor_file, options))
		return;
	check_int(sandbox_run(&sb, writes, NULL), 0);
	observe_drain(&ob);
	observe_check_books(&ob);
	for_each_row (r, rows)
		check_int(count_path(&ob, EV_FILE_OPEN, under(&sb, r->name)), r->count);
	require_ok(object_counts(ob.object, EV_ID_NUMBER(EV_FILE_OPEN), &counts));
	check_int(counts.filtered, 4);
	/* Out of the excluded folder, but not within it. */
	check_int(observe_count(&ob, EV_FILE_RENAME), 1);
}

static int write_comm(const struct sandbox *sb, void *arg)
{
	int fd = open("/proc/self/comm", O_WRONLY);

	(void)sb;
	(void)arg;
	must(fd >= 0 && !close(fd));
	fd = open("/proc/sys/kernel/core_pattern", O_WRONLY);
	must(fd >= 0 && !close(fd));
	return 0;
}

TEST(views_of_the_kernel_are_left_out_unless_included)
{
	auto_sandbox struct sandbox sb = { 0 };

	if (!options_only("open", NULL) || !sandbox_open(&sb, SANDBOX_PLAIN))
		return;
	for (int pseudo = 0; pseudo < 2; pseudo++) {
		auto_observer struct observer ob = { 0 };

		options_set("pseudo", pseudo ? "true" : "false");
		if (!observe_open(&ob, &sb, &sensor_file, options))
			return;
		check_int(sandbox_run(&sb, write_comm, NULL), 0);
		observe_drain(&ob);
		observe_check_books(&ob);
		check_int(count_path(&ob, EV_FILE_OPEN, "/comm"), (size_t)pseudo);
		check_int(count_path(&ob, EV_FILE_OPEN, "/proc/sys/kernel/core_pattern"), 1);
	}
}

TEST(patterns_that_cannot_be_kept_are_refused)
{
	static const struct {
		const char *name, *text, *says;
	} rows[] = {
		{ "part of a name", "/home/a*/x", "once for one whole folder name" },
		{ "two folders", "/home/*/x/*/y", "once for one whole folder name" },
		{ "star then star", "/home/*/.ssh/*/", "once for one whole folder name" },
	};
	const struct option *row = NULL;
	const char *option = NULL;
	char longer[256];

	for (size_t i = 0; i < sensor_file.n_options; i++)
		if (!strcmp(sensor_file.options[i].name, "sensitive"))
			row = &sensor_file.options[i];
	require(row && options_start());
	for_each_row (r, rows) {
		check_int(option_check_item(row, r->text), -EINVAL);
		check_has(err_trail(), r->says);
	}
	memset(longer, 'x', sizeof(longer));
	longer[0] = '/';
	longer[255] = 0;
	check_int(option_check_item(row, longer), -EINVAL);
	check_has(err_trail(), "longer than 254 bytes");

	options_set("sensitive", "/home/*/.ssh/, /home/al/*/x");
	check_int((sensor_file.check)(options, &option), -EINVAL); /* not the macro */
	check_has(err_trail(), "cannot be listed together");
	check_str(option, "sensitive");
	(void)options_start();
}

/* ---- system calls as the last resort ------------------------------------------------------------------------- */

TEST(no_program_sits_at_system_calls_where_that_is_not_wanted)
{
	const struct core_options core = { .ring_bytes = { 1 << 16, 1 << 16, 1 << 16 }, .no_syscall_hooks = true };
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };
	struct bpf_program *p;

	if (!sandbox_open(&sb, SANDBOX_PLAIN) || !observe_open_with(&ob, &sb, &sensor_file, NULL, &core))
		return;
	bpf_object__for_each_program (p, object_libbpf(ob.object))
		check(bpf_program__fd(p) < 0 || strncmp(bpf_program__section_name(p), "tp/syscalls/", 12) != 0);
	for (size_t i = 0; i < sensor_file.n_hooks; i++) {
		check(ob.states[i].status != HOOK_FAILED);
		if (strstr(ob.states[i].why, "syscall_hooks is false") && ob.states[i].status != HOOK_ATTACHED)
			check_int(ob.states[i].status, HOOK_OFF);
	}
}

/* ---- io_uring --------------------------------------------------------------------------------------------------- */

/* One operation through a ring of its own, by the bare system calls: 0, -errno, or 1 where there is no io_uring. */
static int ring_one(const struct io_uring_sqe *sqe)
{
	struct io_uring_params p = { 0 };
	int ring = (int)syscall(SYS_io_uring_setup, 2, &p), result;
	struct io_uring_sqe *sqes;
	size_t bytes;
	char *map;

	if (ring < 0)
		return 1;
	bytes = p.sq_off.array + p.sq_entries * sizeof(__u32);
	if (bytes < p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe))
		bytes = p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe);
	map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQ_RING);
	sqes = mmap(NULL, p.sq_entries * sizeof(*sqes), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring,
		    IORING_OFF_SQES);
	if (map == MAP_FAILED || sqes == MAP_FAILED || !(p.features & IORING_FEAT_SINGLE_MMAP))
		return -EIO;
	sqes[0] = *sqe;
	*(__u32 *)(void *)(map + p.sq_off.array) = 0;
	__atomic_store_n((__u32 *)(void *)(map + p.sq_off.tail), 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) != 1)
		return -EIO;
	result = ((struct io_uring_cqe *)(void *)(map + p.cq_off.cqes))->res;
	(void)munmap(map, bytes);
	(void)munmap(sqes, p.sq_entries * sizeof(*sqes));
	(void)close(ring);
	return result < 0 ? result : 0;
}

static int through_io_uring(const struct sandbox *sb, void *arg)
{
	char from[200], to[200];
	int r;

	(void)arg;
	(void)snprintf(from, sizeof(from), "%s/ringed", sb->dir);
	(void)snprintf(to, sizeof(to), "%s/renamed", sb->dir);
	r = ring_one(&(struct io_uring_sqe) { .opcode = IORING_OP_OPENAT,
					      .fd = AT_FDCWD,
					      .addr = (__u64)(uintptr_t)from,
					      .len = 0600,
					      .open_flags = O_CREAT | O_WRONLY });
	if (r == 1)
		return 200;
	must(r == 0);
	must(!ring_one(&(struct io_uring_sqe) { .opcode = IORING_OP_RENAMEAT,
						.fd = AT_FDCWD,
						.addr = (__u64)(uintptr_t)from,
						.len = (__u32)AT_FDCWD,
						.addr2 = (__u64)(uintptr_t)to }));
	must(!ring_one(
		&(struct io_uring_sqe) { .opcode = IORING_OP_UNLINKAT, .fd = AT_FDCWD, .addr = (__u64)(uintptr_t)to }));
	return 0;
}

TEST(what_io_uring_does_is_recorded_where_the_hooks_allow)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };
	const struct ev_file_open *e;
	bool truth;
	int status;

	if (!options_start() || !sandbox_open(&sb, SANDBOX_PLAIN) || !observe_open(&ob, &sb, &sensor_file, options))
		return;
	status = sandbox_run(&sb, through_io_uring, NULL);
	if (status == 200)
		skip("no-io-uring");
	check_int(status, 0);
	observe_drain(&ob);
	observe_check_books(&ob);
	truth = has_truth(&ob, "open");

	/* The system call variants do not see it: so they say. */
	check_int(count_path(&ob, EV_FILE_OPEN, "/ringed"), truth);
	check_int(count_path(&ob, EV_FILE_RENAME, "/renamed"), truth);
	check_int(count_path(&ob, EV_FILE_UNLINK, "/renamed"), truth);
	e = find_path(&ob, EV_FILE_OPEN, "/ringed");
	check(!truth || (e && e->created));
}

/* ---- canaries ------------------------------------------------------------------------------------------------------
 */

TEST(every_hook_of_files_can_be_made_to_fire)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };

	if (!options_start() || !sandbox_open(&sb, SANDBOX_PLAIN) || !observe_open(&ob, &sb, &sensor_file, options))
		return;
	for (size_t h = 0; h < sensor_file.n_hooks; h++) {
		struct ev_hook_counts before, after;

		test_row = sensor_file.hooks[h].name;
		require_ok(object_hook_counts(ob.object, (unsigned)h, &before));
		check_int(sensor_file.exercise(h), 0);
		require_ok(object_hook_counts(ob.object, (unsigned)h, &after));
		check(after.canary > before.canary);
	}
	test_row = NULL;
	observe_drain(&ob);
	check_int(ob.n, 0);
}
