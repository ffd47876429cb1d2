/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file - user side: describes the records of files and the hooks that make them, and turns
 * the patterns of the options into rows of the kernel's maps.
 */
#include <bpf/bpf.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>
#include "base/err.h"
#include "base/mem.h"
#include "sensors/file/file.event.h"
#include "sensors/file/file.map.h"
#include "sensors/sensor.h"

/* ---- the records ---------------------------------------------------------------------------- */

static const struct field_name types[] = {
	{ FILE_REGULAR, "file" }, { FILE_DIR, "dir" },   { FILE_SYMLINK, "symlink" }, { FILE_CHAR, "char" },
	{ FILE_BLOCK, "block" },  { FILE_FIFO, "fifo" }, { FILE_SOCKET, "socket" },   { 0, NULL },
};

static const struct field_name sources[] = {
	{ FILE_FROM_KERNEL, "kernel" },
	{ FILE_FROM_ARGS, "arguments" },
	{ 0, NULL },
};

static const struct field_name open_flags[] = {
	{ O_WRONLY, "O_WRONLY" },
	{ O_RDWR, "O_RDWR" },
	{ O_CREAT, "O_CREAT" },
	{ O_EXCL, "O_EXCL" },
	{ O_TRUNC, "O_TRUNC" },
	{ O_APPEND, "O_APPEND" },
	{ O_NONBLOCK, "O_NONBLOCK" },
	{ O_DSYNC, "O_DSYNC" },
	{ O_DIRECT, "O_DIRECT" },
	{ O_DIRECTORY, "O_DIRECTORY" },
	{ O_NOFOLLOW, "O_NOFOLLOW" },
	{ O_NOATIME, "O_NOATIME" },
	{ O_CLOEXEC, "O_CLOEXEC" },
	{ O_TMPFILE & ~O_DIRECTORY, "O_TMPFILE" },
	{ 0, NULL },
};

static const struct field_name rename_flags[] = {
	{ 1, "RENAME_NOREPLACE" },
	{ 2, "RENAME_EXCHANGE" },
	{ 4, "RENAME_WHITEOUT" },
	{ 0, NULL },
};

static const struct field_name mount_flags[] = {
	{ MS_RDONLY, "MS_RDONLY" },
	{ MS_NOSUID, "MS_NOSUID" },
	{ MS_NODEV, "MS_NODEV" },
	{ MS_NOEXEC, "MS_NOEXEC" },
	{ MS_SYNCHRONOUS, "MS_SYNCHRONOUS" },
	{ MS_REMOUNT, "MS_REMOUNT" },
	{ MS_NOATIME, "MS_NOATIME" },
	{ MS_NODIRATIME, "MS_NODIRATIME" },
	{ MS_BIND, "MS_BIND" },
	{ MS_MOVE, "MS_MOVE" },
	{ MS_REC, "MS_REC" },
	{ MS_SILENT, "MS_SILENT" },
	{ MS_UNBINDABLE, "MS_UNBINDABLE" },
	{ MS_PRIVATE, "MS_PRIVATE" },
	{ MS_SLAVE, "MS_SLAVE" },
	{ MS_SHARED, "MS_SHARED" },
	{ MS_RELATIME, "MS_RELATIME" },
	{ MS_STRICTATIME, "MS_STRICTATIME" },
	{ 0, NULL },
};

static const struct field_name umount_flags[] = {
	{ MNT_FORCE, "MNT_FORCE" },
	{ MNT_DETACH, "MNT_DETACH" },
	{ MNT_EXPIRE, "MNT_EXPIRE" },
	{ UMOUNT_NOFOLLOW, "UMOUNT_NOFOLLOW" },
	{ 0, NULL },
};

static const struct field_name matches[] = {
	{ FILE_MATCH_PATH, "path" },
	{ FILE_MATCH_INODE, "inode" },
	{ 0, NULL },
};

static const struct field_name xattr_ops[] = {
	{ FILE_XATTR_SET, "set" },
	{ FILE_XATTR_REMOVE, "remove" },
	{ 0, NULL },
};

#define FILE_FIELDS(s)                                                                                                 \
	FIELD(s, f.path, "file.path", FT_STR, "full path, as the process sees it"),                                    \
		FIELD(s, f.node.type, "file.type", FT_ENUM, "what it is", .names = types, .zero_is_absent = true),     \
		FIELD(s, f.node.inode, "file.inode", FT_U64, "inode", .zero_is_absent = true),                         \
		FIELD(s, f.node.dev, "file.Ext.device", FT_HEX, "device of its file system: major << 20 | minor",      \
		      .zero_is_absent = true),                                                                         \
		FIELD(s, f.node.real_inode, "file.Ext.overlay.inode", FT_U64,                                          \
		      "on an overlay: its inode in the upper layer", .zero_is_absent = true),                          \
		FIELD(s, f.node.real_dev, "file.Ext.overlay.device", FT_HEX, "on an overlay: device of that inode",    \
		      .zero_is_absent = true),                                                                         \
		FIELD(s, f.node.size, "file.size", FT_U64, "bytes in it", .zero_is_absent = true),                     \
		FIELD(s, f.node.mode, "file.mode", FT_OCTAL, "permissions", .zero_is_absent = true),                   \
		FIELD(s, f.node.uid, "file.uid", FT_U32, "owner; 4294967295: not known"),                              \
		FIELD(s, f.node.gid, "file.gid", FT_U32, "group; 4294967295: not known"),                              \
		FIELD(s, f.node.nlink, "file.Ext.links", FT_U32, "names that it has; of a removed one, before",        \
		      .zero_is_absent = true),                                                                         \
		FIELD(s, f.mntns, "process.namespace.mnt", FT_U32, "mount namespace of the process"),                  \
		FIELD(s, f.source, "file.Ext.path_source", FT_ENUM,                                                    \
		      "\"kernel\": of the kernel's own object; \"arguments\": what the process wrote",                 \
		      .names = sources)

static const struct field open_fields[] = {
	FILE_FIELDS(ev_file_open),
	FIELD(ev_file_open, flags, "file.Ext.open.flags", FT_FLAGS, "how it was opened", .names = open_flags),
	FIELD(ev_file_open, created, "file.Ext.open.created", FT_BOOL, "did this open create it?"),
};

static const struct field sensitive_fields[] = {
	FILE_FIELDS(ev_file_sensitive),
	FIELD(ev_file_sensitive, flags, "file.Ext.open.flags", FT_FLAGS, "how it was opened; none: for reading",
	      .names = open_flags),
	FIELD(ev_file_sensitive, matched, "file.Ext.matched", FT_ENUM,
	      "\"path\": its path is listed; \"inode\": it is another name of a listed file", .names = matches),
};

static const struct field close_fields[] = { FILE_FIELDS(ev_file_close) };

static const struct field rename_fields[] = {
	FILE_FIELDS(ev_file_rename),
	FIELD(ev_file_rename, old_path, "file.Ext.original.path", FT_STR, "path before"),
	FIELD(ev_file_rename, replaced_inode, "file.Ext.replaced.inode", FT_U64,
	      "inode of the file that had the new path before", .zero_is_absent = true),
	FIELD(ev_file_rename, flags, "file.Ext.rename.flags", FT_FLAGS, "how", .names = rename_flags),
};

static const struct field unlink_fields[] = { FILE_FIELDS(ev_file_unlink) };

static const struct field link_fields[] = {
	FILE_FIELDS(ev_file_link),
	FIELD(ev_file_link, old_path, "file.Ext.original.path", FT_STR, "path of the name that it had already"),
};

static const struct field symlink_fields[] = {
	FILE_FIELDS(ev_file_symlink),
	FIELD(ev_file_symlink, target, "file.target_path", FT_STR, "what the link says"),
};

static const struct field mkdir_fields[] = { FILE_FIELDS(ev_file_mkdir) };

static const struct field mknod_fields[] = {
	FILE_FIELDS(ev_file_mknod),
	FIELD(ev_file_mknod, rdev, "file.Ext.node_device", FT_HEX, "device that a node leads to: major << 20 | minor",
	      .zero_is_absent = true),
};

static const struct field chmod_fields[] = {
	FILE_FIELDS(ev_file_chmod),
	FIELD(ev_file_chmod, old_mode, "file.Ext.original.mode", FT_OCTAL, "permissions before",
	      .zero_is_absent = true),
};

static const struct field chown_fields[] = {
	FILE_FIELDS(ev_file_chown),
	FIELD(ev_file_chown, old_uid, "file.Ext.original.uid", FT_U32, "owner before; 4294967295: not known"),
	FIELD(ev_file_chown, old_gid, "file.Ext.original.gid", FT_U32, "group before; 4294967295: not known"),
};

static const struct field xattr_fields[] = {
	FILE_FIELDS(ev_file_xattr),
	FIELD(ev_file_xattr, op, "file.Ext.xattr.operation", FT_ENUM, "set or removed", .names = xattr_ops),
	FIELD(ev_file_xattr, name, "file.Ext.xattr.name", FT_STR, "attribute"),
};

static const struct field truncate_fields[] = {
	FILE_FIELDS(ev_file_truncate),
	FIELD(ev_file_truncate, old_size, "file.Ext.original.size", FT_U64, "bytes in it before",
	      .zero_is_absent = true),
};

static const struct field mount_fields[] = {
	FILE_FIELDS(ev_file_mount),
	FIELD(ev_file_mount, origin, "file.Ext.mount.source", FT_STR, "device or folder that is mounted there"),
	FIELD(ev_file_mount, fs, "file.Ext.mount.type", FT_STR, "kind of file system"),
	FIELD(ev_file_mount, flags, "file.Ext.mount.flags", FT_FLAGS, "how", .names = mount_flags),
	FIELD(ev_file_mount, moved, "file.Ext.mount.moved", FT_U32, "1: put there by move_mount",
	      .zero_is_absent = true),
};

static const struct field umount_fields[] = {
	FILE_FIELDS(ev_file_umount),
	FIELD(ev_file_umount, origin, "file.Ext.mount.source", FT_STR, "device that was mounted there"),
	FIELD(ev_file_umount, flags, "file.Ext.umount.flags", FT_FLAGS, "how", .names = umount_flags),
};

#define KIND(id, n, cls, t, a, s)                                                                                      \
	{ id, "file." #n, "ev_file_" #n, sizeof(struct ev_file_##n), cls, "file", t,                                   \
	  a,  s,          n##_fields,    countof(n##_fields) }

static const struct event_kind kinds[] = {
	KIND(EV_FILE_OPEN, open, EV_BULK, "access", "open", "a file was opened for writing, or created"),
	KIND(EV_FILE_SENSITIVE, sensitive, EV_CRITICAL, "access", "open-sensitive",
	     "a file of the sensitive list was opened"),
	KIND(EV_FILE_CLOSE, close, EV_BULK, "change", "close", "a file that was open for writing was closed for good"),
	KIND(EV_FILE_RENAME, rename, EV_NORMAL, "change", "rename", "a file got another path"),
	KIND(EV_FILE_UNLINK, unlink, EV_NORMAL, "deletion", "unlink", "a name of a file, or a folder, was removed"),
	KIND(EV_FILE_LINK, link, EV_NORMAL, "creation", "link", "a file got one more name"),
	KIND(EV_FILE_SYMLINK, symlink, EV_NORMAL, "creation", "symlink", "a symbolic link was made"),
	KIND(EV_FILE_MKDIR, mkdir, EV_NORMAL, "creation", "mkdir", "a folder was made"),
	KIND(EV_FILE_MKNOD, mknod, EV_NORMAL, "creation", "mknod",
	     "a device node, pipe, socket or file was made by mknod"),
	KIND(EV_FILE_CHMOD, chmod, EV_NORMAL, "change", "chmod", "permissions were set"),
	KIND(EV_FILE_CHOWN, chown, EV_NORMAL, "change", "chown", "owner or group was set"),
	KIND(EV_FILE_XATTR, xattr, EV_NORMAL, "change", "xattr", "an extended attribute was set or removed"),
	KIND(EV_FILE_TRUNCATE, truncate, EV_NORMAL, "change", "truncate", "a file was given a size"),
	KIND(EV_FILE_MOUNT, mount, EV_CRITICAL, "change", "mount", "something was mounted, or a mount was changed"),
	KIND(EV_FILE_UMOUNT, umount, EV_CRITICAL, "change", "umount", "something was unmounted"),
};

/* ---- the hooks -------------------------------------------------------------------------------- */

#define NOT_SEEN "operations of io_uring and of 32-bit programs are not seen"
#define RACED                                                                                                          \
	NOT_SEEN "; paths are read from user memory, so another thread can change them in between, and \"..\" and "    \
		 "symlinks in them are not resolved"

static const struct hook hooks[] = {
	[HOOK_OPEN] = { "open",
			"files opened for writing or created, and sensitive ones opened at all",
			{ { .progs = { "open_fx", "?open_root_fx" } },
			  { .progs = { "?openat_sx", "?open_sx", "?openat2_sx", "?creat_sx", "?open_by_handle_at_sx" },
			    .cannot = NOT_SEEN "; a descriptor that another thread closes or replaces before open "
					       "returns is taken for what it leads to then" } } },
	[HOOK_CLOSE] = { "close",
			 "the last close of a file that was open for writing",
			 { { .progs = { "close_fe" },
			     .cannot = "a file that only kernel threads still hold is closed in their name" },
			   { .progs = { "close_release_fe" },
			     .cannot = "a file that only kernel threads still hold is closed in their name" },
			   { .progs = { "close_se", "?dup2_se", "?dup3_se", "?close_range_se", "close_exit_tp" },
			     .cannot = NOT_SEEN "; missed are files that exec closes, that were last held by a mapping "
						"or a message in flight, that two threads close at once, and "
						"descriptors above the 1024th of a process that ends" } } },
	[HOOK_RENAME] = { "rename",
			  "renamed files",
			  { { .progs = { "rename_fe", "rename_fx" } },
			    { .progs = { "?renameat2_sx", "?renameat_sx", "?rename_sx" }, .cannot = RACED } } },
	[HOOK_UNLINK] = { "unlink",
			  "removed names and folders",
			  { { .progs = { "unlink_fe", "unlink_fx", "rmdir_fe", "rmdir_fx" } },
			    { .progs = { "?unlinkat_sx", "?unlink_sx", "?rmdir_sx" }, .cannot = RACED } } },
	[HOOK_LINK] = { "link",
			"new hard and symbolic links",
			{ { .progs = { "link_fe", "link_fx", "symlink_fe", "symlink_fx" } },
			  { .progs = { "?linkat_sx", "?link_sx", "?symlinkat_sx", "?symlink_sx" },
			    .cannot = RACED } } },
	[HOOK_MKDIR] = { "mkdir",
			 "new folders and nodes",
			 { { .progs = { "mkdir_fe", "mkdir_fx", "mknod_fe", "mknod_fx" } },
			   { .progs = { "?mkdirat_sx", "?mkdir_sx", "?mknodat_sx", "?mknod_sx" }, .cannot = RACED } } },
	[HOOK_CHMOD] = { "chmod",
			 "changed permissions",
			 { { .progs = { "chmod_fe", "chmod_fx" } },
			   { .progs = { "?fchmodat_sx", "?chmod_sx", "?fchmod_sx", "?fchmodat2_sx" },
			     .cannot = RACED "; the permissions before are not known" } } },
	[HOOK_CHOWN] = { "chown",
			 "changed owners",
			 { { .progs = { "chown_fe", "chown_fx" } },
			   { .progs = { "?fchownat_sx", "?chown_sx", "?lchown_sx", "?fchown_sx" },
			     .cannot = RACED "; the owner before is not known" } } },
	[HOOK_XATTR] = { "xattr",
			 "changed extended attributes",
			 { { .progs = { "setxattr_fx", "removexattr_fx", "want_write_fe", "want_write_file_fe",
					"drop_write_fe", "drop_write_file_fe", "?setacl_fx", "?removeacl_fx" } },
			   { .progs = { "?setxattr_sx", "?lsetxattr_sx", "?fsetxattr_sx", "?setxattrat_sx",
					"?removexattr_sx", "?lremovexattr_sx", "?fremovexattr_sx",
					"?removexattrat_sx" },
			     .cannot = RACED } } },
	[HOOK_TRUNCATE] = { "truncate",
			    "files given a size; not O_TRUNC, which open reports",
			    { { .progs = { "truncate_fx", "?truncate_fe", "?ftruncate_fe" } },
			      { .progs = { "?truncate_sx", "?ftruncate_sx" },
				.cannot = RACED "; the size before is not known" } } },
	[HOOK_MOUNT] = { "mount",
			 "mounts and unmounts",
			 { { .progs = { "mount_fx", "umount_fe", "umount_fx", "?move_mount_fe", "?move_mount_fx" } },
			   { .progs = { "?mount_sx", "?umount_sx", "?move_mount_sx" }, .cannot = RACED } } },
};
_Static_assert(countof(hooks) == FILE_HOOK_COUNT, "a row for each hook");

/* ---- the options ------------------------------------------------------------------------------- */

struct file_options {
	bool open, close, rename, unlink, link, mkdir, chmod, chown, xattr, truncate, mount;
	bool pseudo, sensitive_by_inode;
	struct option_list sensitive, include, exclude;
};

#define SENSITIVE_DEFAULT                                                                                              \
	"/etc/shadow, /etc/shadow-, /etc/gshadow, /etc/gshadow-, /etc/sudoers, /etc/sudoers.d/, "                      \
	"/etc/security/opasswd, /etc/krb5.keytab, /etc/ssh/ssh_host_*, /etc/kubernetes/pki/, "                         \
	"/etc/kubernetes/admin.conf, /var/lib/kubelet/pki/, /root/.ssh/, /home/*/.ssh/, /root/.gnupg/, "               \
	"/home/*/.gnupg/, /root/.aws/, /home/*/.aws/, /root/.kube/, /home/*/.kube/, /root/.docker/config.json, "       \
	"/home/*/.docker/config.json, /root/.netrc, /home/*/.netrc"

#define PATTERNS "ends in /: all below; ends in *: all that begin so; one * for a whole folder name"

/* "a/b", "a/", "a*", and one folder of any name in the middle: "/home/<any>/.ssh". */
static int check_pattern(const char *pattern)
{
	const char *star = strchr(pattern, '*'), *rest = star ? star + 1 : "";

	if (strlen(pattern) > FILE_PATTERN_MAX)
		return err_new(-EINVAL, "\"%s\" is longer than %d bytes", pattern, FILE_PATTERN_MAX);
	if (*rest &&
	    (star == pattern || star[-1] != '/' || *rest != '/' || (strchr(rest, '*') && strchr(rest, '*')[1])))
		return err_new(-EINVAL, "\"%s\": a * stands at the end, or once for one whole folder name", pattern);
	return 0;
}

static const struct option options[] = {
	OPTION(file_options, open, OPT_BOOL, "true", "report files opened for writing, or created"),
	OPTION(file_options, close, OPT_BOOL, "true", "report the last close of files opened for writing"),
	OPTION(file_options, rename, OPT_BOOL, "true", "report renames"),
	OPTION(file_options, unlink, OPT_BOOL, "true", "report removed files and folders"),
	OPTION(file_options, link, OPT_BOOL, "true", "report new hard and symbolic links"),
	OPTION(file_options, mkdir, OPT_BOOL, "true", "report new folders, device nodes and pipes"),
	OPTION(file_options, chmod, OPT_BOOL, "true", "report changed permissions"),
	OPTION(file_options, chown, OPT_BOOL, "true", "report changed owners"),
	OPTION(file_options, xattr, OPT_BOOL, "true", "report changed extended attributes"),
	OPTION(file_options, truncate, OPT_BOOL, "true", "report truncated files"),
	OPTION(file_options, mount, OPT_BOOL, "true", "report mounts and unmounts"),
	OPTION(file_options, sensitive, OPT_PATHS, SENSITIVE_DEFAULT, "files whose every open is reported; " PATTERNS,
	       .max = FILE_PATTERNS_MAX, .check = check_pattern),
	OPTION(file_options, sensitive_by_inode, OPT_BOOL, "true",
	       "know the sensitive files that exist at start by their inode too, under any other name"),
	OPTION(file_options, exclude, OPT_PATHS, "",
	       "paths that are not reported; the longest match of include and "
	       "exclude decides; " PATTERNS,
	       .max = FILE_PATTERNS_MAX, .check = check_pattern),
	OPTION(file_options, include, OPT_PATHS, "/proc/sys/, /proc/sysrq-trigger, /sys/kernel/uevent_helper",
	       "paths that are reported although exclude or pseudo leave them out; " PATTERNS, .max = FILE_PATTERNS_MAX,
	       .check = check_pattern),
	OPTION(file_options, pseudo, OPT_BOOL, "false",
	       "report files of proc, sysfs, cgroup and other file systems that hold no data"),
};

/* ---- patterns become rows ------------------------------------------------------------------------ */

enum { ROWS_MAX = FILE_PATTERNS_MAX * 4 };

/* A map as it is going to be. */
struct rows {
	struct {
		struct file_key key;
		struct file_row row;
	} at[ROWS_MAX];
	size_t n;
	__u8 n_groups;
};

static size_t key_bytes(const struct file_key *k)
{
	return k->bits / 8 - 1;
}

static struct file_row *row_of(struct rows *rows, __u8 group, const char *text, size_t n)
{
	struct file_key *k;

	for (size_t i = 0; i < rows->n; i++) {
		k = &rows->at[i].key;
		if (k->group == group && key_bytes(k) == n && !memcmp(k->text, text, n))
			return &rows->at[i].row;
	}
	if (rows->n == ROWS_MAX)
		return NULL;
	k = &rows->at[rows->n].key;
	k->group = group;
	k->bits = (__u32)(n + 1) * 8;
	memcpy(k->text, text, n);
	return &rows->at[rows->n++].row;
}

/* How much of a pattern the kernel compares: a whole path with its NUL, a prefix without its star. */
static size_t compared(const char *text)
{
	size_t n = strlen(text);

	if (n && text[n - 1] == '*')
		return n - 1;
	return n && text[n - 1] == '/' ? n : n + 1;
}

static int add_pattern(struct rows *rows, const char *pattern, enum file_verdict verdict)
{
	const char *star = strchr(pattern, '*'), *rest = star ? star + 1 : NULL;
	struct file_row *row;
	__u8 group = 0;

	if (star && *rest) {
		row = row_of(rows, 0, pattern, (size_t)(star - pattern));
		if (row && !row->group) {
			if (rows->n_groups == FILE_GROUPS_MAX)
				return err_new(-E2BIG, "\"%s\": more than %d folders with a * below", pattern,
					       FILE_GROUPS_MAX);
			row->group = ++rows->n_groups;
			row->skip = (__u16)(star - pattern);
		}
		if (!row)
			return err_new(-E2BIG, "more than %d rows", ROWS_MAX);
		group = row->group;
		pattern = rest;
	}
	row = row_of(rows, group, pattern, compared(pattern));
	if (!row)
		return err_new(-E2BIG, "more than %d rows", ROWS_MAX);
	row->verdict = verdict;
	return 0;
}

static bool is_below(const struct file_key *k, const struct file_key *base)
{
	size_t n = key_bytes(base);

	return k != base && !k->group && !base->group && key_bytes(k) >= n && !memcmp(k->text, base->text, n);
}

/* A row that only leads on says for the rest what the longest shorter row says. */
static void inherit_verdict(struct rows *rows, size_t i)
{
	size_t longest = 0;

	for (size_t j = 0; j < rows->n; j++) {
		size_t n = key_bytes(&rows->at[j].key);

		if (!is_below(&rows->at[i].key, &rows->at[j].key) || rows->at[j].row.verdict == FILE_NONE ||
		    n < longest)
			continue;
		longest = n;
		rows->at[i].row.verdict = rows->at[j].row.verdict;
	}
}

/*
 * The kernel finds the longest row only. A longer one than "/home/" of "/home/<any>/.ssh" hides it, so
 * it has to lead there too; and "/home/" hides shorter ones.
 */
static int join_rows(struct rows *rows)
{
	for (size_t i = 0; i < rows->n; i++) {
		const struct file_key *base = &rows->at[i].key;

		if (!rows->at[i].row.group || rows->at[i].row.skip != key_bytes(base))
			continue;
		if (rows->at[i].row.verdict == FILE_NONE)
			inherit_verdict(rows, i);
		for (size_t j = 0; j < rows->n; j++) {
			const struct file_key *k = &rows->at[j].key;

			if (!is_below(k, base))
				continue;
			if (rows->at[j].row.group)
				return err_new(-EINVAL, "\"%.*s*\" and \"%.*s*\" cannot be listed together",
					       (int)key_bytes(base), (const char *)base->text, (int)key_bytes(k),
					       (const char *)k->text);
			rows->at[j].row.group = rows->at[i].row.group;
			rows->at[j].row.skip = rows->at[i].row.skip;
		}
	}
	return 0;
}

static int add_list(struct rows *rows, const struct option_list *list, enum file_verdict verdict)
{
	int r = 0;

	for (size_t i = 0; i < list->n && r == 0; i++)
		r = add_pattern(rows, list->items[i], verdict);
	return r;
}

/* Rows for the sensitive files, and for what is excluded and included. On an error, the option that it is about. */
static int make_rows(const struct file_options *o, struct rows *sensitive, struct rows *rules, const char **ret_option)
{
	int r;

	*ret_option = "sensitive";
	r = add_list(sensitive, &o->sensitive, FILE_HIT);
	if (r == 0)
		r = join_rows(sensitive);
	if (r < 0)
		return r;
	*ret_option = "exclude";
	r = add_list(rules, &o->exclude, FILE_EXCLUDE);
	if (r < 0)
		return r;
	*ret_option = "include";
	r = add_list(rules, &o->include, FILE_INCLUDE);
	if (r < 0)
		return r;
	if (o->exclude.n) /* which of both it is cannot be told; this one has no default */
		*ret_option = "exclude";
	return join_rows(rules);
}

static int file_check(const void *opts, const char **ret_option)
{
	auto_free struct rows *rows = calloc(2, sizeof(*rows));

	return rows ? make_rows(opts, &rows[0], &rows[1], ret_option) : err_new(-ENOMEM, "no memory for path patterns");
}

static int put_rows(const struct object *obj, const char *map, const struct rows *rows)
{
	int fd = object_map_fd(obj, map);

	for (size_t i = 0; i < rows->n; i++)
		if (bpf_map_update_elem(fd, &rows->at[i].key, &rows->at[i].row, BPF_ANY))
			return err_sys(errno, "fill the map %s", map);
	return 0;
}

/* A file that is a symlink, or not there, has no inode worth keeping. */
static int put_inode(int fd, const char *pattern)
{
	struct file_inode_key key = { 0 };
	struct stat st;
	__u32 one = 1;
	size_t n = strlen(pattern);

	if (strchr(pattern, '*') || !n || pattern[n - 1] == '/' || lstat(pattern, &st) || !S_ISREG(st.st_mode))
		return 0;
	key.inode = st.st_ino;
	key.dev = major(st.st_dev) << 20 | minor(st.st_dev);
	if (bpf_map_update_elem(fd, &key, &one, BPF_ANY))
		return err_sys(errno, "remember the inode of %s", pattern);
	return 0;
}

static int file_fill(struct object *obj, const void *opts)
{
	const struct file_options *o = opts;
	auto_free struct rows *rows = calloc(2, sizeof(*rows));
	const char *option;
	int r;

	if (!rows)
		return err_new(-ENOMEM, "no memory for path patterns");
	r = make_rows(o, &rows[0], &rows[1], &option);
	if (r < 0)
		return err_wrap(r, "option %s", option);
	r = put_rows(obj, "sensitive", &rows[0]);
	if (r < 0)
		return r;
	r = put_rows(obj, "rules", &rows[1]);
	for (size_t i = 0; r == 0 && o->sensitive_by_inode && i < o->sensitive.n; i++)
		r = put_inode(object_map_fd(obj, "sensitive_inodes"), o->sensitive.items[i]);
	return r;
}

static int file_prepare(struct object *obj, const void *opts)
{
	const struct file_options *o = opts;
	const struct file_config config = {
		.writes = o->open,
		.sensitive = o->sensitive.n > 0,
		.inodes = o->sensitive.n > 0 && o->sensitive_by_inode,
		.rules = o->include.n + o->exclude.n > 0,
		.pseudo = o->pseudo,
	};
	const bool wanted[FILE_HOOK_COUNT] = {
		[HOOK_OPEN] = o->open || o->sensitive.n > 0,
		[HOOK_CLOSE] = o->close,
		[HOOK_RENAME] = o->rename,
		[HOOK_UNLINK] = o->unlink,
		[HOOK_LINK] = o->link,
		[HOOK_MKDIR] = o->mkdir,
		[HOOK_CHMOD] = o->chmod,
		[HOOK_CHOWN] = o->chown,
		[HOOK_XATTR] = o->xattr,
		[HOOK_TRUNCATE] = o->truncate,
		[HOOK_MOUNT] = o->mount,
	};

	for (size_t h = 0; h < FILE_HOOK_COUNT; h++)
		if (!wanted[h])
			object_hook_off(obj, h);
	return object_set_const(obj, "config", &config, sizeof(config));
}

/* ---- making the hooks fire -------------------------------------------------------------------------- */

/* In a child with mounts of its own: nobody else sees them, and they go when it ends. */
static int exercise_mount(const char *dir)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
			_exit(2);
		_exit(mount("tmpfs", dir, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=4k") || umount(dir));
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) == 2)
		return -EOPNOTSUPP;
	return WEXITSTATUS(status) ? -EIO : 0;
}

static int exercise_in(size_t hook, const char *dir)
{
	char a[64], b[64];
	auto_close int fd = -1;
	int r = 0;

	(void)snprintf(a, sizeof(a), "%s/a", dir);
	(void)snprintf(b, sizeof(b), "%s/b", dir);
	if (hook == HOOK_MKDIR)
		r = mkdir(a, 0700);
	else if (hook == HOOK_MOUNT)
		return exercise_mount(dir);
	else
		fd = open(a, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (r || (fd < 0 && hook != HOOK_MKDIR))
		return -errno;
	switch (hook) {
	case HOOK_CLOSE:
		r = close(take_fd(fd));
		break;
	case HOOK_RENAME:
		r = rename(a, b);
		break;
	case HOOK_LINK:
		r = link(a, b);
		break;
	case HOOK_CHMOD:
		r = fchmod(fd, 0640);
		break;
	case HOOK_CHOWN:
		r = fchown(fd, geteuid(), getegid());
		break;
	case HOOK_XATTR:
		if (fsetxattr(fd, "trusted.shrike", "1", 1, 0))
			r = errno == EOPNOTSUPP ? -EOPNOTSUPP : -errno;
		break;
	case HOOK_TRUNCATE:
		r = ftruncate(fd, 1);
		break;
	default: /* open is done, and unlink is to come */
		break;
	}
	if (r == -1)
		r = -errno;
	(void)unlink(a);
	(void)unlink(b);
	(void)rmdir(a);
	return r;
}

static int file_exercise(size_t hook)
{
	char dir[] = "/tmp/shrike-XXXXXX";
	int r;

	if (hook >= FILE_HOOK_COUNT)
		return -EOPNOTSUPP;
	if (!mkdtemp(dir))
		return -errno;
	r = exercise_in(hook, dir);
	(void)rmdir(dir);
	return r;
}

extern const struct bpf_image image_file;

const struct sensor sensor_file = {
	.name = "file",
	.summary = "files written, created, renamed, removed, changed, and sensitive ones read",
	.byte = EV_FILE,
	.kinds = kinds,
	.n_kinds = countof(kinds),
	.hooks = hooks,
	.n_hooks = countof(hooks),
	.options = options,
	.n_options = countof(options),
	.options_size = sizeof(struct file_options),
	.image = &image_file,
	.check = file_check,
	.prepare = file_prepare,
	.fill = file_fill,
	.exercise = file_exercise,
};
