// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * file - kernel side.
 *
 * Hooks, best first:
 *	fexit of the VFS functions: they say what happened, not what was tried, whoever called
 *	(system call, io_uring, 32-bit programs). Those functions know no mount, which a path needs, so
 *	an fentry of the security_path_* function before keeps it for the task until the end.
 *	System call tracepoints, where the kernel refuses the others. They fire at the exit and see
 *	successful calls only. Descriptors lead to kernel objects. Paths are in user memory: they are
 *	read after the kernel read them, so another thread may have changed them in between.
 * Loss: a full ring, a spent budget and a failed allocation are counted; nothing here waits.
 * Cost: a path walk for each record, and for each open while there is a `sensitive` list.
 */
#include "bpf/path.bpf.h"
#include "sensors/file/file.event.h"
#include "sensors/file/file.map.h"

const volatile struct file_config config = { .writes = 1 };

KEEP_BTF(ev_file_open);
KEEP_BTF(ev_file_sensitive);
KEEP_BTF(ev_file_close);
KEEP_BTF(ev_file_rename);
KEEP_BTF(ev_file_unlink);
KEEP_BTF(ev_file_link);
KEEP_BTF(ev_file_symlink);
KEEP_BTF(ev_file_mkdir);
KEEP_BTF(ev_file_mknod);
KEEP_BTF(ev_file_chmod);
KEEP_BTF(ev_file_chown);
KEEP_BTF(ev_file_xattr);
KEEP_BTF(ev_file_truncate);
KEEP_BTF(ev_file_mount);
KEEP_BTF(ev_file_umount);

enum {
	K_FMODE_READ = 0x1,
	K_FMODE_WRITE = 0x2,
	K_FMODE_PATH = 0x4000,
	K_FMODE_OPENED = 0x80000,
	K_FMODE_CREATED = 0x100000,
	K_FMODE_NOACCOUNT = 0x20000000, /* the kernel's own: what an overlay opens below itself */
	K_ATTR_MODE = 1 << 0,
	K_ATTR_UID = 1 << 1,
	K_ATTR_GID = 1 << 2,
	K_ATTR_SIZE = 1 << 3,
	K_ATTR_OPEN = 1 << 15,
	K_O_WRONLY = 01,
	K_O_CREAT = 0100,
	K_O_TRUNC = 01000,
	K_AT_FDCWD = -100,
	K_AT_REMOVEDIR = 0x200,
	K_CLOSE_RANGE_CLOEXEC = 4,
	OVERLAY_MAGIC = 0x794c7630,
	EXIT_FDS_MAX = 1024, /* descriptors looked at when a process ends */
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, FILE_PATTERNS_MAX * 2);
	__type(key, struct file_key);
	__type(value, struct file_row);
} sensitive SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, FILE_PATTERNS_MAX * 4);
	__type(key, struct file_key);
	__type(value, struct file_row);
} rules SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, FILE_INODES_MAX);
	__type(key, struct file_inode_key);
	__type(value, __u32);
} sensitive_inodes SEC(".maps");

/* ---- what a file is ------------------------------------------------------------------------- */

static __noinline void node_fill(struct ev_file_node *n, struct inode *inode)
{
	struct super_block *sb = BPF_CORE_READ(inode, i_sb);
	__u16 mode = BPF_CORE_READ(inode, i_mode);

	n->inode = BPF_CORE_READ(inode, i_ino);
	n->size = (__u64)BPF_CORE_READ(inode, i_size);
	n->dev = BPF_CORE_READ(sb, s_dev);
	n->uid = BPF_CORE_READ(inode, i_uid.val);
	n->gid = BPF_CORE_READ(inode, i_gid.val);
	n->nlink = BPF_CORE_READ(inode, i_nlink);
	n->mode = mode & 07777;
	n->type = mode >> 12;
	if (bpf_core_type_exists(struct ovl_inode) && BPF_CORE_READ(sb, s_magic) == OVERLAY_MAGIC) {
		struct ovl_inode *ovl = (void *)((char *)inode - bpf_core_field_offset(struct ovl_inode, vfs_inode));
		struct inode *real = BPF_CORE_READ(ovl, __upperdentry, d_inode);

		n->real_inode = BPF_CORE_READ(real, i_ino);
		n->real_dev = BPF_CORE_READ(real, i_sb, s_dev);
	}
}

/* File systems that hold no data, only views of the kernel. */
static __always_inline bool is_pseudo(unsigned long magic)
{
	switch (magic) {
	case 0x9fa0:     /* proc */
	case 0x62656572: /* sysfs */
	case 0x63677270: /* cgroup2 */
	case 0x27e0eb:   /* cgroup */
	case 0x1cd1:     /* devpts */
	case 0x64626720: /* debugfs */
	case 0x74726163: /* tracefs */
	case 0x73636673: /* securityfs */
	case 0x6e736673: /* nsfs */
	case 0xf97cff8c: /* selinuxfs */
		return true;
	}
	return false;
}

/* /dev/null, zero, full, random, urandom, and terminals: written all the time, and nothing stays. */
static __always_inline bool is_dull_device(__u32 rdev)
{
	__u32 major = rdev >> 20, minor = rdev & 0xfffff;

	return (major == 1 && (minor == 3 || minor == 5 || minor >= 7)) || major == 4 || major == 5 ||
	       (major >= 136 && major <= 143);
}

static __always_inline unsigned long magic_of(struct inode *inode)
{
	return BPF_CORE_READ(inode, i_sb, s_magic);
}

/* ---- which paths are wanted ------------------------------------------------------------------- */

/* Room that no string uses: a string is appended where it ends at most here. */
static __always_inline struct file_key *key_of(struct rec *r)
{
	return (struct file_key *)(r->data + EV_LEN_MAX);
}

static __always_inline struct file_row *row_for(void *map, struct file_key *key, __u8 group, const void *text,
						__u32 len)
{
	if (len > FILE_KEY_MAX - 2)
		len = FILE_KEY_MAX - 2;
	if (bpf_probe_read_kernel(key->text, sizeof(key->text), text))
		return NULL;
	key->group = group;
	key->bits = (len + 2) * 8; /* the group, and the NUL of a path that is whole */
	return bpf_map_lookup_elem(map, key);
}

/* What the longest row says that fits the path; `text` ends in a NUL. */
static __always_inline __u8 path_verdict(struct rec *r, void *map, const __u8 *text, __u32 len)
{
	struct file_key *key = key_of(r);
	struct file_row *row = row_for(map, key, 0, text, len);
	__u32 at, end = 0;

	if (!row)
		return FILE_NONE;
	if (!row->group)
		return row->verdict;
	at = row->skip;
	for (__u32 i = 0; i < FILE_KEY_MAX - 1; i++) {
		__u32 here = at + i;

		if (here >= FILE_KEY_MAX - 2 || !key->text[here & (FILE_KEY_MAX - 1)])
			break;
		if (key->text[here & (FILE_KEY_MAX - 1)] == '/') {
			end = here;
			break;
		}
	}
	if (end > at && end < len) {
		__u8 verdict = row->verdict;

		row = row_for(map, key, row->group, text + end, len - end);
		return row && row->verdict ? row->verdict : verdict;
	}
	return row->verdict;
}

static __always_inline __u8 str_verdict(struct rec *r, void *map, const struct ev_str *s)
{
	return path_verdict(r, map, r->data + s->off, s->len);
}

/* Is a record with this path wanted? `pseudo`: the file is of a pseudo file system. */
static __noinline bool path_wanted(struct rec *r, const struct ev_str *s, bool pseudo)
{
	__u8 verdict = config.rules ? str_verdict(r, &rules, s) : FILE_NONE;

	if (verdict == FILE_NONE)
		return !pseudo || config.pseudo;
	return verdict == FILE_INCLUDE;
}

/* ---- building records -------------------------------------------------------------------------- */

/* The largest of the records: what is common to all programs is one function, not a copy in each. */
enum { BODY_MAX = sizeof(struct ev_file_mount) };

static __noinline struct rec *open_normal(__u16 id, __u32 size)
{
	struct rec *r = rec_open(id, EV_NORMAL, BODY_MAX);

	if (r)
		r->pos = size;
	return r;
}

static __noinline struct rec *open_bulk(__u16 id, __u32 size)
{
	struct rec *r = rec_open(id, EV_BULK, BODY_MAX);

	if (r)
		r->pos = size;
	return r;
}

static __noinline struct rec *open_critical(__u16 id, __u32 size)
{
	struct rec *r = rec_open(id, EV_CRITICAL, BODY_MAX);

	if (r)
		r->pos = size;
	return r;
}

static __noinline void put_dentry(struct rec *r, struct ev_str *s, struct dentry *dentry, struct vfsmount *mnt)
{
	rec_dentry(r, s, dentry, mnt);
}

static __noinline void put_path(struct rec *r, struct ev_str *s, struct path *path)
{
	put_dentry(r, s, BPF_CORE_READ(path, dentry), BPF_CORE_READ(path, mnt));
}

static __noinline void put_kstr(struct rec *r, struct ev_str *s, const void *text)
{
	rec_kstr(r, s, text, EV_STR_MAX);
}

static __always_inline struct ev_file *begin(struct rec *r, __u32 source)
{
	struct ev_file *f = rec_body(r);
	struct task_struct *task = bpf_get_current_task_btf();

	f->mntns = task->nsproxy->mnt_ns->ns.inum;
	f->source = source;
	return f;
}

static __noinline int finish(void *ctx, struct rec *r, bool wanted)
{
	if (!wanted)
		return rec_drop(r, true);
	rec_stacks(ctx, r);
	return rec_send(r);
}

/* An index into rec.data that every verifier believes: the room beyond EV_LEN_MAX takes what is one too far. */
enum { DATA_MASK = 0x7fff };
_Static_assert(DATA_MASK >= EV_LEN_MAX && DATA_MASK + EV_STR_MAX <= sizeof(((struct rec *)0)->data), "within data");

/* Makes room for "/name" after the string that was appended last. */
static __always_inline __u8 *append_room(struct rec *r, struct ev_str *s, __u32 max)
{
	__u32 at = (__u32)s->off + s->len;

	if (!s->off || at > EV_LEN_MAX - max - 1) {
		rec_mark(r, EV_F_TRUNCATED);
		return NULL;
	}
	if (r->data[(at - 1) & DATA_MASK] != '/') { /* only the root ends in one */
		r->data[at & DATA_MASK] = '/';
		s->len++;
		at++;
	}
	return r->data + (at & DATA_MASK);
}

/* `n` is what was written, NUL included. */
static __always_inline void append_take(struct rec *r, struct ev_str *s, long n, __u32 max)
{
	__u32 at = (__u32)s->off + s->len;

	if (n < 1 || n >= (long)max)
		rec_mark(r, EV_F_TRUNCATED);
	if (n < 1 || n > (long)max) { /* nothing could be read: the string ends in its slash */
		r->data[at & DATA_MASK] = 0;
		n = 1;
	}
	s->len += (__u16)(n - 1);
	r->pos = at + (__u32)n;
}

static __always_inline void append_kstr(struct rec *r, struct ev_str *s, const void *name)
{
	__u8 *to = append_room(r, s, 256);

	if (to)
		append_take(r, s, bpf_probe_read_kernel_str(to, 256, name), 256);
}

static __always_inline void append_ustr(struct rec *r, struct ev_str *s, const void *name)
{
	__u8 *to = append_room(r, s, EV_STR_MAX);

	if (to)
		append_take(r, s, bpf_probe_read_user_str(to, EV_STR_MAX, name), EV_STR_MAX);
}

/* ---- open ------------------------------------------------------------------------------------------ */

static __always_inline __u32 inode_listed(struct inode *inode)
{
	struct file_inode_key key = {};

	if (!config.inodes)
		return 0;
	key.inode = BPF_CORE_READ(inode, i_ino);
	key.dev = BPF_CORE_READ(inode, i_sb, s_dev);
	return bpf_map_lookup_elem(&sensitive_inodes, &key) ? FILE_MATCH_INODE : 0;
}

/* For files of which no record is being made. Where no scratch is free, the path is not known to match. */
static __noinline __u32 path_listed(struct file *file)
{
	struct rec *r;
	__u32 start, hit = 0;

	if (!config.sensitive)
		return 0;
	r = rec_slot();
	if (!r)
		return 0;
	start = path_build(r, BPF_CORE_READ(file, f_path.dentry), BPF_CORE_READ(file, f_path.mnt));
	start &= EV_STR_MAX - 1;
	if (path_verdict(r, &sensitive, r->path + start, EV_STR_MAX - 1 - start) == FILE_HIT)
		hit = FILE_MATCH_PATH;
	(void)__sync_lock_test_and_set(&r->busy, 0);
	return hit;
}

static __noinline int open_record(void *ctx, struct file *file, __u32 flags)
{
	struct inode *inode = BPF_CORE_READ(file, f_inode);
	struct ev_file_open *e;
	struct rec *r;
	__u32 hit = 0;

	r = open_bulk(EV_FILE_OPEN, sizeof(*e));
	if (!r)
		return path_listed(file);
	e = (void *)begin(r, FILE_FROM_KERNEL);
	node_fill(&e->f.node, inode);
	e->flags = flags;
	e->created = (BPF_CORE_READ(file, f_mode) & K_FMODE_CREATED) != 0;
	put_path(r, &e->f.path, &file->f_path);
	if (config.sensitive && str_verdict(r, &sensitive, &e->f.path) == FILE_HIT)
		hit = FILE_MATCH_PATH;
	finish(ctx, r, path_wanted(r, &e->f.path, is_pseudo(magic_of(inode))));
	return hit;
}

static __noinline int sensitive_record(void *ctx, struct file *file, __u32 flags, __u32 matched)
{
	struct ev_file_sensitive *e;
	struct rec *r = open_critical(EV_FILE_SENSITIVE, sizeof(*e));

	if (!r)
		return 0;
	e = (void *)begin(r, FILE_FROM_KERNEL);
	node_fill(&e->f.node, BPF_CORE_READ(file, f_inode));
	e->flags = flags;
	put_path(r, &e->f.path, &file->f_path);
	e->matched = str_verdict(r, &sensitive, &e->f.path) == FILE_HIT ? FILE_MATCH_PATH : matched;
	return finish(ctx, r, true);
}

/*
 * A mount that is in no namespace by nature: of pipes, sockets and memfds, and what an overlay uses
 * below itself. One that was unmounted while in use is in none either, but has NULL there.
 */
static __always_inline bool is_internal(struct vfsmount *mnt)
{
	struct mount *m = mount_of(mnt);

	return (unsigned long)BPF_CORE_READ(m, mnt_ns) >= (unsigned long)-4095L;
}

/* A regular file or a device that somebody could name? */
static __always_inline bool is_file(struct file *file, struct inode *inode)
{
	__u16 type = BPF_CORE_READ(inode, i_mode) >> 12;

	return (type == FILE_REGULAR || type == FILE_BLOCK || type == FILE_CHAR) &&
	       !is_internal(BPF_CORE_READ(file, f_path.mnt));
}

static __always_inline bool is_dull(struct inode *inode)
{
	return BPF_CORE_READ(inode, i_mode) >> 12 == FILE_CHAR && is_dull_device(BPF_CORE_READ(inode, i_rdev));
}

static __always_inline int opened(void *ctx, struct file *file, __u32 flags)
{
	__u32 mode = BPF_CORE_READ(file, f_mode), hit;
	struct inode *inode = BPF_CORE_READ(file, f_inode);

	if (mode & (K_FMODE_PATH | K_FMODE_NOACCOUNT) || !is_file(file, inode))
		return 0;
	hit = inode_listed(inode);
	if (config.writes && mode & (K_FMODE_WRITE | K_FMODE_CREATED)) {
		if (is_dull(inode))
			rec_refuse(EV_FILE_OPEN);
		else
			hit = open_record(ctx, file, flags) ?: hit;
	} else if (!hit) {
		hit = path_listed(file);
	}
	if (hit)
		sensitive_record(ctx, file, flags, hit);
	return 0;
}

static __always_inline bool is_error(const void *p)
{
	return !p || (unsigned long)p >= (unsigned long)-4095L;
}

/*
 * Did the function that an fexit program follows succeed? Asked by helper, because the result stands
 * after the arguments and newer kernels have added some. An int leaves noise in the upper half; since
 * 6.15 vfs_mkdir() returns a dentry.
 */
static __always_inline bool succeeded(void *ctx)
{
	__u64 ret = 0;

	return !bpf_get_func_ret(ctx, &ret) && (!(__u32)ret || (ret > 0xffff000000000000 && ret < (__u64)-4095L));
}

SEC("fexit/do_filp_open")
int BPF_PROG(open_fx, int dfd, void *name, const struct open_flags *op, struct file *file)
{
	if (is_error(file) || !hook_enter(HOOK_OPEN))
		return 0;
	return opened(ctx, file, (__u32)BPF_CORE_READ(op, open_flag));
}

SEC("fexit/do_file_open_root")
int BPF_PROG(open_root_fx, const struct path *root, const char *name, const struct open_flags *op, struct file *file)
{
	if (is_error(file) || !hook_enter(HOOK_OPEN))
		return 0;
	return opened(ctx, file, (__u32)BPF_CORE_READ(op, open_flag));
}

/* ---- close ------------------------------------------------------------------------------------------ */

static __always_inline int closed(void *ctx, struct file *file)
{
	struct inode *inode = BPF_CORE_READ(file, f_inode);
	struct ev_file_close *e;
	struct rec *r;

	if (is_dull(inode))
		return rec_refuse(EV_FILE_CLOSE);
	r = open_bulk(EV_FILE_CLOSE, sizeof(*e));
	if (!r)
		return 0;
	e = (void *)begin(r, FILE_FROM_KERNEL);
	node_fill(&e->f.node, inode);
	put_path(r, &e->f.path, &file->f_path);
	bool wanted = path_wanted(r, &e->f.path, is_pseudo(magic_of(inode)));

	if (!ctx) /* there are no stacks where a process ends */
		return wanted ? rec_send(r) : rec_drop(r, true);
	return finish(ctx, r, wanted);
}

static __always_inline bool is_written(struct file *file)
{
	__u32 mode = BPF_CORE_READ(file, f_mode);

	return mode & K_FMODE_WRITE && mode & K_FMODE_OPENED && !(mode & K_FMODE_NOACCOUNT) &&
	       is_file(file, BPF_CORE_READ(file, f_inode));
}

SEC("fentry/__fput")
int BPF_PROG(close_fe, struct file *file)
{
	if (!is_written(file) || !hook_enter(HOOK_CLOSE))
		return 0;
	return closed(ctx, file);
}

SEC("fentry/security_file_release")
int BPF_PROG(close_release_fe, struct file *file)
{
	if (!is_written(file) || !hook_enter(HOOK_CLOSE))
		return 0;
	return closed(ctx, file);
}

/* ---- what is known of an operation between its two programs ---------------------------------------------- */

enum pending_op {
	PENDING_NONE,
	PENDING_RENAME,
	PENDING_UNLINK,
	PENDING_LINK,
	PENDING_SYMLINK,
	PENDING_MKDIR,
	PENDING_MKNOD,
	PENDING_CHMOD,
	PENDING_CHOWN,
	PENDING_TRUNCATE,
	PENDING_UMOUNT,
	PENDING_MOVE_MOUNT,
};

/*
 * One a task. What never reaches its second program (somebody denied it) is overwritten by the
 * task's next, and can be taken for no other: operation and dentry must agree.
 */
struct pending {
	__u32 op;
	__u32 name_len;
	__u64 dentry, mnt; /* of the name that is made, changed or removed */
	__u64 other;       /* rename: the old folder; link: the old name */
	__u64 replaced_inode;
	__u64 want_mnt; /* the mount that the task is going to write to */
	struct ev_file_node node;
	char name[256]; /* rename: the old one; umount: of the device */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct pending);
} pendings SEC(".maps");

static __always_inline struct pending *pending_of_current(bool make)
{
	return bpf_task_storage_get(&pendings, bpf_get_current_task_btf(), NULL,
				    make ? BPF_LOCAL_STORAGE_GET_F_CREATE : 0);
}

/* Books an event that is lost because no memory was free to remember it. */
static __always_inline void pending_failed(__u16 id)
{
	__u32 number = EV_ID_NUMBER(id);
	struct ev_counts *c = bpf_map_lookup_elem(&counts, &number);

	if (!c)
		return;
	count(c, seen);
	count(c, error);
}

static __always_inline struct pending *pend(__u16 id, __u32 op, struct dentry *dentry, struct vfsmount *mnt)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pending *p;

	if (task_is_agent(task) || !task_in_scope(task))
		return NULL;
	p = pending_of_current(true);
	if (!p) {
		pending_failed(id);
		return NULL;
	}
	p->op = op;
	p->dentry = (__u64)dentry;
	p->mnt = (__u64)mnt;
	__builtin_memset(&p->node, 0, sizeof(p->node));
	return p;
}

static __always_inline struct pending *pending_take(__u32 op, const void *dentry)
{
	struct pending *p = pending_of_current(false);

	if (!p || p->op != op || p->dentry != (__u64)dentry)
		return NULL;
	p->op = PENDING_NONE;
	return p;
}

static __always_inline bool pending_wanted(struct rec *r, struct ev_file *f, struct dentry *dentry)
{
	return path_wanted(r, &f->path, is_pseudo(BPF_CORE_READ(dentry, d_sb, s_magic)));
}

/* ---- rename ----------------------------------------------------------------------------------------------- */

SEC("fentry/security_path_rename")
int BPF_PROG(rename_fe, const struct path *old_dir, struct dentry *old_dentry, const struct path *new_dir,
	     struct dentry *new_dentry)
{
	struct pending *p = pend(EV_FILE_RENAME, PENDING_RENAME, old_dentry, BPF_CORE_READ(new_dir, mnt));

	if (!p)
		return 0;
	p->other = (__u64)BPF_CORE_READ(old_dir, dentry);
	p->replaced_inode = BPF_CORE_READ(new_dentry, d_inode, i_ino);
	(void)bpf_probe_read_kernel_str(p->name, sizeof(p->name), BPF_CORE_READ(old_dentry, d_name.name));
	return 0;
}

SEC("fexit/vfs_rename")
int BPF_PROG(rename_fx, struct renamedata *rd)
{
	struct dentry *dentry = BPF_CORE_READ(rd, old_dentry);
	struct ev_file_rename *e;
	struct vfsmount *mnt;
	struct pending *p;
	struct rec *r;

	if (!succeeded(ctx) || !hook_enter(HOOK_RENAME))
		return 0;
	p = pending_take(PENDING_RENAME, dentry);
	if (!p)
		return 0;
	r = open_normal(EV_FILE_RENAME, sizeof(*e));
	if (!r)
		return 0;
	e = (void *)begin(r, FILE_FROM_KERNEL);
	mnt = (struct vfsmount *)p->mnt;
	e->flags = BPF_CORE_READ(rd, flags);
	e->replaced_inode = p->replaced_inode;
	node_fill(&e->f.node, BPF_CORE_READ(dentry, d_inode));
	put_dentry(r, &e->f.path, dentry, mnt); /* it has its new place by now */
	put_dentry(r, &e->old_path, (struct dentry *)p->other, mnt);
	append_kstr(r, &e->old_path, p->name);
	return finish(ctx, r, pending_wanted(r, &e->f, dentry) || path_wanted(r, &e->old_path, false));
}

/* ---- unlink, rmdir ------------------------------------------------------------------------------------------ */

static __always_inline int unlink_pend(const struct path *dir, struct dentry *dentry)
{
	struct pending *p = pend(EV_FILE_UNLINK, PENDING_UNLINK, dentry, BPF_CORE_READ(dir, mnt));

	if (p) /* when it is gone, so may be its inode */
		node_fill(&p->node, BPF_CORE_READ(dentry, d_inode));
	return 0;
}

static __always_inline int unlinked(void *ctx, struct dentry *dentry)
{
	struct ev_file_unlink *e;
	struct pending *p = pending_take(PENDING_UNLINK, dentry);
	struct rec *r;

	if (!p)
		return 0;
	r = open_normal(EV_FILE_UNLINK, sizeof(*e));
	if (!r)
		return 0;
	e = (void *)begin(r, FILE_FROM_KERNEL);
	e->f.node = p->node;
	put_dentry(r, &e->f.path, dentry, (struct vfsmount *)p->mnt);
	return finish(ctx, r, pending_wanted(r, &e->f, dentry));
}

SEC("fentry/security_path_unlink")
int BPF_PROG(unlink_fe, const struct path *dir, struct dentry *dentry)
{
	return unlink_pend(dir, dentry);
}

SEC("fentry/security_path_rmdir")
int BPF_PROG(rmdir_fe, const struct path *dir, struct dentry *dentry)
{
	return unlink_pend(dir, dentry);
}

SEC("fexit/vfs_unlink")
int BPF_PROG(unlink_fx, void *idmap, struct inode *dir, struct dentry *dentry)
{
	return !succeeded(ctx) || !hook_enter(HOOK_UNLINK) ? 0 : unlinked(ctx, dentry);
}

SEC("fexit/vfs_rmdir")
int BPF_PROG(rmdir_fx, void *idmap, struct inode *dir, struct dentry *dentry)
{
	return !succeeded(ctx) || !hook_enter(HOOK_UNLINK) ? 0 : unlinked(ctx, dentry);
}

/* ---- link, symlink -------------------------------------------------------------------------------------------- */

SEC("fentry/security_path_link")
int BPF_PROG(link_fe, struct dentry *old_dentry, const struct path *new_dir, struct dentry *new_dentry)
{
	(void)pend(EV_FILE_LINK, PENDING_LINK, new_dentry, BPF_CORE_READ(new_dir, mnt));
	return 0;
}

SEC("fexit/vfs_link")
int BPF_PROG(link_fx, struct dentry *old_dentry, void *idmap, struct inode *dir, struct dentry *new_dentry)
{
	struct ev_file_link *e;
	struct pending *p;
	struct rec *r;

	if (!succeeded(ctx) || !hook_enter(HOOK_LINK))
		return 0;
	p = pending_take(PENDING_LINK, new_dentry);
	if (!p)
		return 0;
	r = open_normal(EV_FILE_LINK, sizeof(*e));
	if (!r)
		return 0;
	e = (void *)begin(r, FILE_FROM_KERNEL);
	node_fill(&e->f.node, BPF_CORE_READ(old_dentry, d_inode));
	put_dentry(r, &e->f.path, new_dentry, (struct vfsmount *)p->mnt);
	put_dentry(r, &e->old_path, old_dentry, (struct vfsmount *)p->mnt);
	return finish(ctx, r, pending_wanted(r, &e->f, old_dentry) || path_wanted(r, &e->old_path, false));
}

SEC("fentry/security_path_symlink")
int BPF_PROG(symlink_fe, const struct path *dir, struct dentry *dentry)
{
	(void)pend(EV_FILE_SYMLINK, PENDING_SYMLINK, dentry, BPF_CORE_READ(dir, mnt));
	return 0;
}

SEC("fexit/vfs_symlink")
int BPF_PROG(symlink_fx, void *idmap, struct inode *dir, struct dentry *dentry, const char *target)
{
	struct ev_file_symlink *e;
	struct pending *p;
	struct rec *r;

	if (!succeeded(ctx) || !hook_enter(HOOK_LINK))
		return 0;
	p = pending_take(PENDING_SYMLINK, dentry);
	if (!p)
		return 0;
	r = open_normal(EV_FILE_SYMLINK, sizeof(*e));
	if (!r)
		return 0;
	e = (void *)begin(r, FILE_FROM_KERNEL);
	node_fill(&e->f.node, BPF_CORE_READ(dentry, d_inode));
	put_dentry(r, &e->f.path, dentry, (struct vfsmount *)p->mnt);
	put_kstr(r, &e->target, target);
	return finish(ctx, r, pending_wanted(r, &e->f, dentry));
}

/* ---- mkdir, mknod ----------------------------------------------------------------------------------------------- */

SEC("fentry/security_path_mkdir")
int BPF_PROG(mkdir_fe, const struct path *dir, struct dentry *dentry)
{
	(void)pend(EV_FILE_MKDIR, PENDING_MKDIR, dentry, BPF_CORE_READ(dir, mnt));
	return 0;
}

SEC("fexit/vfs_mkdir")
int BPF_PROG(mkdir_fx, void *idmap, struct inode *dir, struct dentry *dentry)
{
	struct ev_file_mkdir *e;
	struct pending *p;
	struct rec *r;

	if (!succeeded(ctx) || !hook_enter(HOOK_MKDIR))
		return 0;
	p = pending_take(PENDING_MKDIR, dentry);
	if (!p)
		return 0;
	r = open_normal(EV_FILE_MKDIR, sizeof(*e));
	if (!r)
		return 0;
	e = (void *)begin(r, FILE_FROM_KERNEL);
	node_fill(&e->f.node, BPF_CORE_READ(dentry, d_inode));
	put_dentry(r, &e->f.path, dentry, (struct vfsmount *)p->mnt);
	return finish(ctx, r, pending_wanted(r, &e->f, dentry));
}

/* An open that creates passes here too; what it leaves is overwritten by the task's next. */
SEC("fentry/security_path_mknod")
int BPF_PROG(mknod_fe, const struct path *dir, struct dentry *dentry)
{
	(void)pend(EV_FILE_MKNOD, PENDING_MKNOD, dentry, BPF_CORE_READ(dir, mnt));
	return 0;
}

SEC("fexit/vfs_mknod")
int BPF_PROG(mknod_fx, void *idmap, struct inode *dir, struct dentry *dentry, __u16 mode, __u32 dev)
{
	struct ev_file_mknod *e;
	struct pending *p;
	struct rec *r;

	if (!succeeded(ctx) || !hook_enter(HOOK_MKDIR))
		return 0;
	p = pending_take(PENDING_MKNOD, dentry);
	if (!p)
		return 0;
	r = open_normal(EV_FILE_MKNOD, sizeof(*e));
	if (!r)
		return 0;
	e = (void *)begin(r, FILE_FROM_KERNEL);
	node_fill(&e->f.node, BPF_CORE_READ(dentry, d_inode));
	e->rdev = dev;
	put_dentry(r, &e->f.path, dentry, (struct vfsmount *)p->mnt);
	return finish(ctx, r, pending_wanted(r, &e->f, dentry));
}

/* ---- chmod, chown, truncate: all end in notify_change()
 * --------------------------------------------------------------- */

static __always_inline int attr_pend(__u16 id, __u32 op, const struct path *path)
{
	struct dentry *dentry = BPF_CORE_READ(path, dentry);
	struct pending *p = pend(id, op, dentry, BPF_CORE_READ(path, mnt));

	if (p) /* as it is before */
		node_fill(&p->node, BPF_CORE_READ(dentry, d_inode));
	return 0;
}

SEC("fentry/security_path_chmod")
int BPF_PROG(chmod_fe, const struct path *path)
{
	return attr_pend(EV_FILE_CHMOD, PENDING_CHMOD, path);
}

SEC("fexit/notify_change")
int BPF_PROG(chmod_fx, void *idmap, struct dentry *dentry, struct iattr *attr)
{
	struct ev_file_chmod *e;
	struct pending *p;
	struct rec *r;

	if (!succeeded(ctx) || !(BPF_CORE_READ(attr, ia_valid) & K_ATTR_MODE) || !hook_enter(HOOK_CHMOD))
		return 0;
	p = pending_take(PENDING_CHMOD, dentry);
	if (!p)
		return 0;
	r = open_normal(EV_FILE_CHMOD, sizeof(*e));
	if (!r)
		return 0;
	e = (void *)begin(r, FILE_FROM_KERNEL);
	node_fill(&e->f.node, BPF_CORE_READ(dentry, d_inode));
	e->old_mode = p->node.mode;
	put_dentry(r, &e->f.path, dentry, (struct vfsmount *)p->mnt);
	return finish(ctx, r, pending_wanted(r, &e->f, dentry));
}

SEC("fentry/security_path_chown")
int BPF_PROG(chown_fe, const struct path *path)
{
	return attr_pend(EV_FILE_CHOWN, PENDING_CHOWN, path);
}

SEC("fexit/notify_change")
int BPF_PROG(chown_fx, void *idmap, struct dentry *dentry, struct iattr *attr)
{
	struct ev_file_chown *e;
	struct pending *p;
	struct rec *r;

	if (!succeeded(ctx) || !(BPF_CORE_READ(attr, ia_valid) & (K_ATTR_UID | K_ATTR_GID)) || !hook_enter(HOOK_CHOWN))
		return 0;
	p = pending_take(PENDING_CHOWN, dentry);
	if (!p)
		return 0;
	r = open_normal(EV_FILE_CHOWN, sizeof(*e));
	if (!r)
		return 0;
	e = (void *)begin(r, FILE_FROM_KERNEL);
	node_fill(&e->f.node, BPF_CORE_READ(dentry, d_inode));
	e->old_uid = p->node.uid;
	e->old_gid = p->node.gid;
	put_dentry(r, &e->f.path, dentry, (struct vfsmount *)p->mnt);
	return finish(ctx, r, pending_wanted(r, &e->f, dentry));
}

SEC("fentry/security_path_truncate")
int BPF_PROG(truncate_fe, const struct path *path)
{
	return attr_pend(EV_FILE_TRUNCATE, PENDING_TRUNCATE, path);
}

SEC("fentry/security_file_truncate")
int BPF_PROG(ftruncate_fe, struct file *file)
{
	return attr_pend(EV_FILE_TRUNCATE, PENDING_TRUNCATE, &file->f_path);
}

/* O_TRUNC is a flag of the open's record and makes none of its own. */
SEC("fexit/notify_change")
int BPF_PROG(truncate_fx, void *idmap, struct dentry *dentry, struct iattr *attr)
{
	__u32 valid = BPF_CORE_READ(attr, ia_valid);
	struct ev_file_truncate *e;
	struct pending *p;
	struct rec *r;

	if (!succeeded(ctx) || !(valid & K_ATTR_SIZE) || valid & K_ATTR_OPEN || !hook_enter(HOOK_TRUNCATE))
		return 0;
	p = pending_take(PENDING_TRUNCATE, dentry);
	if (!p)
		return 0;
	r = open_normal(EV_FILE_TRUNCATE, sizeof(*e));
	if (!r)
		return 0;
	e = (void *)begin(r, FILE_FROM_KERNEL);
	node_fill(&e->f.node, BPF_CORE_READ(dentry, d_inode));
	e->old_size = p->node.size;
	put_dentry(r, &e->f.path, dentry, (struct vfsmount *)p->mnt);
	return finish(ctx, r, pending_wanted(r, &e->f, dentry));
}

/* ---- extended attributes
 * ------------------------------------------------------------------------------------------------ */

/*
 * No hook with a mount says what is done to attributes, but the task asks its mount for the right to
 * write just before. What an overlay does below itself asks mounts that are in no namespace.
 */
static __always_inline int want_write(struct vfsmount *mnt)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pending *p;

	if (task_is_agent(task) || !task_in_scope(task) || is_internal(mnt))
		return 0;
	p = pending_of_current(true);
	if (p)
		p->want_mnt = (__u64)mnt;
	return 0;
}

SEC("fentry/mnt_want_write")
int BPF_PROG(want_write_fe, struct vfsmount *mnt)
{
	return want_write(mnt);
}

SEC("fentry/mnt_want_write_file")
int BPF_PROG(want_write_file_fe, struct file *file)
{
	return want_write(BPF_CORE_READ(file, f_path.mnt));
}

/* The right is given back: what the kernel does to attributes from now on is its own business. */
static __always_inline int drop_write(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pending *p;

	if (task_is_agent(task) || !task_in_scope(task))
		return 0;
	p = pending_of_current(false);
	if (p)
		p->want_mnt = 0;
	return 0;
}

SEC("fentry/mnt_drop_write")
int BPF_PROG(drop_write_fe, struct vfsmount *mnt)
{
	return is_internal(mnt) ? 0 : drop_write();
}

SEC("fentry/mnt_drop_write_file")
int BPF_PROG(drop_write_file_fe, struct file *file)
{
	struct vfsmount *mnt = BPF_CORE_READ(file, f_path.mnt);

	return is_internal(mnt) ? 0 : drop_write();
}

static __always_inline int xattr_changed(void *ctx, struct dentry *dentry, const char *name, __u32 op)
{
	struct ev_file_xattr *e;
	struct vfsmount *mnt;
	struct pending *p;
	struct rec *r;

	if (!hook_enter(HOOK_XATTR))
		return 0;
	p = pending_of_current(false);
	mnt = p ? (struct vfsmount *)p->want_mnt : NULL;
	if (!mnt || BPF_CORE_READ(mnt, mnt_sb) != BPF_CORE_READ(dentry, d_sb))
		return 0;
	r = open_normal(EV_FILE_XATTR, sizeof(*e));
	if (!r)
		return 0;
	e = (void *)begin(r, FILE_FROM_KERNEL);
	node_fill(&e->f.node, BPF_CORE_READ(dentry, d_inode));
	e->op = op;
	put_dentry(r, &e->f.path, dentry, mnt);
	put_kstr(r, &e->name, name);
	return finish(ctx, r, pending_wanted(r, &e->f, dentry));
}

SEC("fexit/vfs_setxattr")
int BPF_PROG(setxattr_fx, void *idmap, struct dentry *dentry, const char *name, const void *value)
{
	return !succeeded(ctx) ? 0 : xattr_changed(ctx, dentry, name, FILE_XATTR_SET);
}

SEC("fexit/vfs_removexattr")
int BPF_PROG(removexattr_fx, void *idmap, struct dentry *dentry, const char *name)
{
	return !succeeded(ctx) ? 0 : xattr_changed(ctx, dentry, name, FILE_XATTR_REMOVE);
}

/* Since 6.2 access control lists have a way of their own. */
SEC("fexit/vfs_set_acl")
int BPF_PROG(setacl_fx, void *idmap, struct dentry *dentry, const char *name, void *acl)
{
	return !succeeded(ctx) ? 0 : xattr_changed(ctx, dentry, name, FILE_XATTR_SET);
}

SEC("fexit/vfs_remove_acl")
int BPF_PROG(removeacl_fx, void *idmap, struct dentry *dentry, const char *name)
{
	return !succeeded(ctx) ? 0 : xattr_changed(ctx, dentry, name, FILE_XATTR_REMOVE);
}

/* ---- mount, umount
 * ----------------------------------------------------------------------------------------------------------- */

SEC("fexit/path_mount")
int BPF_PROG(mount_fx, const char *origin, struct path *path, const char *fs, unsigned long flags)
{
	struct ev_file_mount *e;
	struct rec *r;

	if (!succeeded(ctx) || !hook_enter(HOOK_MOUNT))
		return 0;
	r = open_critical(EV_FILE_MOUNT, sizeof(*e));
	if (!r)
		return 0;
	e = (void *)begin(r, FILE_FROM_KERNEL);
	node_fill(&e->f.node, BPF_CORE_READ(path, dentry, d_inode));
	e->flags = flags;
	put_path(r, &e->f.path, path);
	put_kstr(r, &e->origin, origin);
	put_kstr(r, &e->fs, fs);
	return finish(ctx, r, true);
}

SEC("fentry/security_move_mount")
int BPF_PROG(move_mount_fe, const struct path *from, const struct path *to)
{
	(void)pend(EV_FILE_MOUNT, PENDING_MOVE_MOUNT, BPF_CORE_READ(from, dentry), BPF_CORE_READ(from, mnt));
	return 0;
}

SEC("fexit/do_move_mount")
int BPF_PROG(move_mount_fx, struct path *from, struct path *to)
{
	struct dentry *dentry = BPF_CORE_READ(from, dentry);
	struct super_block *sb = BPF_CORE_READ(dentry, d_sb);
	struct ev_file_mount *e;
	struct pending *p;
	struct mount *m;
	struct rec *r;

	if (!succeeded(ctx) || !hook_enter(HOOK_MOUNT))
		return 0;
	p = pending_take(PENDING_MOVE_MOUNT, dentry); /* mount() with MS_MOVE has a record already */
	if (!p)
		return 0;
	r = open_critical(EV_FILE_MOUNT, sizeof(*e));
	if (!r)
		return 0;
	e = (void *)begin(r, FILE_FROM_KERNEL);
	node_fill(&e->f.node, BPF_CORE_READ(dentry, d_inode));
	e->moved = 1;
	put_path(r, &e->f.path, to);
	m = mount_of((struct vfsmount *)p->mnt);
	put_kstr(r, &e->origin, BPF_CORE_READ(m, mnt_devname));
	put_kstr(r, &e->fs, BPF_CORE_READ(sb, s_type, name));
	return finish(ctx, r, true);
}

SEC("fentry/path_umount")
int BPF_PROG(umount_fe, struct path *path, int flags)
{
	struct mount *m = mount_of(BPF_CORE_READ(path, mnt)), *parent = BPF_CORE_READ(m, mnt_parent);
	struct pending *p;

	p = pend(EV_FILE_UMOUNT, PENDING_UMOUNT, BPF_CORE_READ(m, mnt_mountpoint),
		 (struct vfsmount *)((char *)parent + bpf_core_field_offset(struct mount, mnt)));
	if (!p)
		return 0;
	node_fill(&p->node, BPF_CORE_READ(m, mnt.mnt_root, d_inode));
	(void)bpf_probe_read_kernel_str(p->name, sizeof(p->name), BPF_CORE_READ(m, mnt_devname));
	return 0;
}

SEC("fexit/path_umount")
int BPF_PROG(umount_fx, struct path *path, int flags)
{
	struct pending *p = pending_of_current(false);
	struct ev_file_umount *e;
	struct rec *r;

	if (!succeeded(ctx) || !hook_enter(HOOK_MOUNT) || !p || p->op != PENDING_UMOUNT)
		return 0;
	p->op = PENDING_NONE;
	r = open_critical(EV_FILE_UMOUNT, sizeof(*e));
	if (!r)
		return 0;
	e = (void *)begin(r, FILE_FROM_KERNEL);
	e->f.node = p->node;
	e->flags = (__u32)flags;
	put_dentry(r, &e->f.path, (struct dentry *)p->dentry, (struct vfsmount *)p->mnt);
	put_kstr(r, &e->origin, p->name);
	return finish(ctx, r, true);
}

/* ---- the last variant: system calls
 * ------------------------------------------------------------------------------------------- */

struct sys_enter_ctx {
	__u64 common;
	__s64 number;
	__u64 args[6];
};

struct sys_exit_ctx {
	__u64 common;
	__s64 number;
	__s64 ret;
};

/*
 * An argument of the system call that current is leaving. The kernel keeps the registers for the way
 * back, so an exit program needs no enter program beside it.
 */
static __always_inline __u64 sys_arg(__u32 i)
{
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());

#if defined(__TARGET_ARCH_arm64)
	return i == 0   ? BPF_CORE_READ(regs, orig_x0)
	       : i == 1 ? BPF_CORE_READ(regs, regs[1])
	       : i == 2 ? BPF_CORE_READ(regs, regs[2])
	       : i == 3 ? BPF_CORE_READ(regs, regs[3])
			: BPF_CORE_READ(regs, regs[4]);
#else
	return i == 0   ? BPF_CORE_READ(regs, di)
	       : i == 1 ? BPF_CORE_READ(regs, si)
	       : i == 2 ? BPF_CORE_READ(regs, dx)
	       : i == 3 ? BPF_CORE_READ(regs, r10)
			: BPF_CORE_READ(regs, r8);
#endif
}

static __always_inline struct file *file_of_fd(struct task_struct *task, __u64 fd)
{
	struct fdtable *fdt = BPF_CORE_READ(task, files, fdt);
	struct file **files, *file = NULL;

	if (!fdt || (__u32)fd >= BPF_CORE_READ(fdt, max_fds))
		return NULL;
	files = BPF_CORE_READ(fdt, fd);
	(void)bpf_probe_read_kernel(&file, sizeof(file), files + (__u32)fd);
	return file;
}

/* Appends a path as the process gave it, after the folder that it is relative to. */
static __noinline void rec_upath(struct rec *r, struct ev_str *s, int folder_fd, __u64 user)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct file *folder;
	char first = 0;

	(void)bpf_probe_read_user(&first, sizeof(first), (void *)user);
	if (first == '/') {
		rec_ustr(r, s, (void *)user, EV_STR_MAX);
		return;
	}
	folder = folder_fd == K_AT_FDCWD ? NULL : file_of_fd(task, (__u32)folder_fd);
	if (folder)
		put_path(r, s, &folder->f_path);
	else
		put_path(r, s, &task->fs->pwd);
	if (first)
		append_ustr(r, s, (void *)user);
}

static __always_inline struct ev_file *begin_args(struct rec *r, __u8 type)
{
	struct ev_file *f = begin(r, FILE_FROM_ARGS);

	f->node.uid = f->node.gid = (__u32)-1;
	f->node.type = type;
	return f;
}

static __always_inline struct ev_file *begin_file(struct rec *r, struct file *file)
{
	struct ev_file *f = begin(r, FILE_FROM_KERNEL);

	node_fill(&f->node, BPF_CORE_READ(file, f_inode));
	put_path(r, &f->path, &file->f_path);
	return f;
}

static __always_inline int finish_file(void *ctx, struct rec *r, struct ev_file *f, struct file *file)
{
	bool pseudo = file && is_pseudo(magic_of(BPF_CORE_READ(file, f_inode)));

	return finish(ctx, r, path_wanted(r, &f->path, pseudo));
}

#define ON_EXIT(call, hook, body)                                                                                      \
	SEC("tp/syscalls/sys_exit_" #call) int call##_sx(struct sys_exit_ctx *ctx)                                     \
	{                                                                                                              \
		return ctx->ret < 0 || !hook_enter(hook) ? 0 : (body);                                                 \
	}

static __always_inline int sys_opened(struct sys_exit_ctx *ctx, __u32 flags)
{
	struct file *file = file_of_fd(bpf_get_current_task_btf(), (__u64)ctx->ret);

	return file ? opened(ctx, file, flags) : 0;
}

static __always_inline __u32 openat2_flags(void)
{
	__u64 flags = 0;

	(void)bpf_probe_read_user(&flags, sizeof(flags), (void *)sys_arg(2));
	return (__u32)flags;
}

ON_EXIT(open, HOOK_OPEN, sys_opened(ctx, (__u32)sys_arg(1)))
ON_EXIT(creat, HOOK_OPEN, sys_opened(ctx, K_O_CREAT | K_O_WRONLY | K_O_TRUNC))
ON_EXIT(openat, HOOK_OPEN, sys_opened(ctx, (__u32)sys_arg(2)))
ON_EXIT(openat2, HOOK_OPEN, sys_opened(ctx, openat2_flags()))
ON_EXIT(open_by_handle_at, HOOK_OPEN, sys_opened(ctx, (__u32)sys_arg(2)))

/* A descriptor is about to go: is it the last that leads to its file? */
static __always_inline bool is_last(struct file *file)
{
	struct file___f_ref *since = (void *)file;
	struct file___f_count *before = (void *)file;

	if (bpf_core_field_exists(since->f_ref))
		return BPF_CORE_READ(since, f_ref.refcnt.counter) == 0;
	return BPF_CORE_READ(before, f_count.counter) == 1;
}

static __always_inline int sys_closing(void *ctx, struct file *file)
{
	if (!file || !is_written(file) || !is_last(file) || !hook_enter(HOOK_CLOSE))
		return 0;
	return closed(ctx, file);
}

SEC("tp/syscalls/sys_enter_close") int close_se(struct sys_enter_ctx *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();

	return task_matters(task) ? sys_closing(ctx, file_of_fd(task, ctx->args[0])) : 0;
}

static __always_inline int sys_replacing(struct sys_enter_ctx *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();

	if (!task_matters(task) || ctx->args[0] == ctx->args[1] || !file_of_fd(task, ctx->args[0]))
		return 0;
	return sys_closing(ctx, file_of_fd(task, ctx->args[1]));
}

SEC("tp/syscalls/sys_enter_dup2") int dup2_se(struct sys_enter_ctx *ctx)
{
	return sys_replacing(ctx);
}

SEC("tp/syscalls/sys_enter_dup3") int dup3_se(struct sys_enter_ctx *ctx)
{
	return sys_replacing(ctx);
}

struct fd_walk {
	__u64 first;
};

static long fd_step(__u32 i, void *ctx)
{
	struct fd_walk *w = ctx;

	(void)sys_closing(NULL, file_of_fd(bpf_get_current_task_btf(), w->first + i));
	return 0;
}

static __always_inline void closing_all(__u64 first, __u64 last)
{
	__u64 max = BPF_CORE_READ(bpf_get_current_task_btf(), files, fdt, max_fds);
	struct fd_walk w = { .first = first };

	if (last >= max)
		last = max - 1;
	if (!max || first > last)
		return;
	last -= first;
	bpf_loop(last < EXIT_FDS_MAX ? (__u32)last + 1 : EXIT_FDS_MAX, fd_step, &w, 0);
}

SEC("tp/syscalls/sys_enter_close_range") int close_range_se(struct sys_enter_ctx *ctx)
{
	if (!(ctx->args[2] & K_CLOSE_RANGE_CLOEXEC) && task_in_scope(bpf_get_current_task_btf()))
		closing_all((__u32)ctx->args[0], (__u32)ctx->args[1]);
	return 0;
}

/* The descriptors of a process that ends are closed right after this. */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(close_exit_tp, struct task_struct *task)
{
	if (task->files && task->files->count.counter == 1 && task_in_scope(task))
		closing_all(0, EXIT_FDS_MAX - 1);
	return 0;
}

static __always_inline int sys_renamed(void *ctx, int old_fd, __u64 old, int new_fd, __u64 new, __u32 flags)
{
	struct rec *r = open_normal(EV_FILE_RENAME, sizeof(struct ev_file_rename));
	struct ev_file_rename *e;

	if (!r)
		return 0;
	e = (void *)begin_args(r, 0);
	e->flags = flags;
	rec_upath(r, &e->f.path, new_fd, new);
	rec_upath(r, &e->old_path, old_fd, old);
	return finish(ctx, r, path_wanted(r, &e->f.path, false) || path_wanted(r, &e->old_path, false));
}

#define FD(i) ((int)sys_arg(i))
ON_EXIT(rename, HOOK_RENAME, sys_renamed(ctx, K_AT_FDCWD, sys_arg(0), K_AT_FDCWD, sys_arg(1), 0))
ON_EXIT(renameat, HOOK_RENAME, sys_renamed(ctx, FD(0), sys_arg(1), FD(2), sys_arg(3), 0))
ON_EXIT(renameat2, HOOK_RENAME, sys_renamed(ctx, FD(0), sys_arg(1), FD(2), sys_arg(3), (__u32)sys_arg(4)))

static __noinline int sys_unlinked(void *ctx, int fd, __u64 path, __u32 type)
{
	struct rec *r = open_normal(EV_FILE_UNLINK, sizeof(struct ev_file_unlink));
	struct ev_file *f;

	if (!r)
		return 0;
	f = begin_args(r, (__u8)type);
	rec_upath(r, &f->path, fd, path);
	return finish_file(ctx, r, f, NULL);
}

ON_EXIT(unlink, HOOK_UNLINK, sys_unlinked(ctx, K_AT_FDCWD, sys_arg(0), 0))
ON_EXIT(unlinkat, HOOK_UNLINK, sys_unlinked(ctx, FD(0), sys_arg(1), sys_arg(2) & K_AT_REMOVEDIR ? FILE_DIR : 0))
ON_EXIT(rmdir, HOOK_UNLINK, sys_unlinked(ctx, K_AT_FDCWD, sys_arg(0), FILE_DIR))

static __noinline int sys_linked(void *ctx, int old_fd, __u64 old, int new_fd, __u64 new)
{
	struct rec *r = open_normal(EV_FILE_LINK, sizeof(struct ev_file_link));
	struct ev_file_link *e;

	if (!r)
		return 0;
	e = (void *)begin_args(r, 0);
	rec_upath(r, &e->f.path, new_fd, new);
	rec_upath(r, &e->old_path, old_fd, old);
	return finish(ctx, r, path_wanted(r, &e->f.path, false) || path_wanted(r, &e->old_path, false));
}

static __noinline int sys_symlinked(void *ctx, __u64 target, int fd, __u64 path)
{
	struct rec *r = open_normal(EV_FILE_SYMLINK, sizeof(struct ev_file_symlink));
	struct ev_file_symlink *e;

	if (!r)
		return 0;
	e = (void *)begin_args(r, FILE_SYMLINK);
	rec_upath(r, &e->f.path, fd, path);
	rec_ustr(r, &e->target, (void *)target, EV_STR_MAX);
	return finish_file(ctx, r, &e->f, NULL);
}

ON_EXIT(link, HOOK_LINK, sys_linked(ctx, K_AT_FDCWD, sys_arg(0), K_AT_FDCWD, sys_arg(1)))
ON_EXIT(linkat, HOOK_LINK, sys_linked(ctx, FD(0), sys_arg(1), FD(2), sys_arg(3)))
ON_EXIT(symlink, HOOK_LINK, sys_symlinked(ctx, sys_arg(0), K_AT_FDCWD, sys_arg(1)))
ON_EXIT(symlinkat, HOOK_LINK, sys_symlinked(ctx, sys_arg(0), FD(1), sys_arg(2)))

static __noinline int sys_made_dir(void *ctx, int fd, __u64 path)
{
	struct rec *r = open_normal(EV_FILE_MKDIR, sizeof(struct ev_file_mkdir));
	struct ev_file *f;

	if (!r)
		return 0;
	f = begin_args(r, FILE_DIR);
	rec_upath(r, &f->path, fd, path);
	return finish_file(ctx, r, f, NULL);
}

/* A device number as processes write it: 12 bits of major amid 20 of minor. */
static __always_inline __u32 kernel_dev(__u32 dev)
{
	return (dev >> 8 & 0xfff) << 20 | (dev & 0xff) | (dev >> 12 & 0xfff00);
}

static __noinline int sys_made_node(void *ctx, int fd, __u64 path, __u32 mode, __u32 dev)
{
	struct rec *r = open_normal(EV_FILE_MKNOD, sizeof(struct ev_file_mknod));
	__u8 type = mode >> 12 & 15;
	struct ev_file_mknod *e;

	if (!r)
		return 0;
	e = (void *)begin_args(r, type ?: FILE_REGULAR);
	e->rdev = type == FILE_CHAR || type == FILE_BLOCK ? kernel_dev(dev) : 0;
	rec_upath(r, &e->f.path, fd, path);
	return finish_file(ctx, r, &e->f, NULL);
}

ON_EXIT(mkdir, HOOK_MKDIR, sys_made_dir(ctx, K_AT_FDCWD, sys_arg(0)))
ON_EXIT(mkdirat, HOOK_MKDIR, sys_made_dir(ctx, FD(0), sys_arg(1)))
ON_EXIT(mknod, HOOK_MKDIR, sys_made_node(ctx, K_AT_FDCWD, sys_arg(0), (__u32)sys_arg(1), (__u32)sys_arg(2)))
ON_EXIT(mknodat, HOOK_MKDIR, sys_made_node(ctx, FD(0), sys_arg(1), (__u32)sys_arg(2), (__u32)sys_arg(3)))

/* Attributes are changed by path, or by descriptor, which leads to a kernel object. */
static __noinline int sys_chmod(void *ctx, int fd, __u64 path, __u32 mode)
{
	struct rec *r = open_normal(EV_FILE_CHMOD, sizeof(struct ev_file_chmod));
	struct ev_file *f;

	if (!r)
		return 0;
	f = begin_args(r, 0);
	f->node.mode = mode & 07777;
	rec_upath(r, &f->path, fd, path);
	return finish_file(ctx, r, f, NULL);
}

static __noinline int sys_fchmod(void *ctx, __u64 fd)
{
	struct file *file = file_of_fd(bpf_get_current_task_btf(), fd);
	struct rec *r = file ? open_normal(EV_FILE_CHMOD, sizeof(struct ev_file_chmod)) : NULL;

	return r ? finish_file(ctx, r, begin_file(r, file), file) : 0;
}

ON_EXIT(chmod, HOOK_CHMOD, sys_chmod(ctx, K_AT_FDCWD, sys_arg(0), (__u32)sys_arg(1)))
ON_EXIT(fchmodat, HOOK_CHMOD, sys_chmod(ctx, FD(0), sys_arg(1), (__u32)sys_arg(2)))
ON_EXIT(fchmodat2, HOOK_CHMOD, sys_chmod(ctx, FD(0), sys_arg(1), (__u32)sys_arg(2)))
ON_EXIT(fchmod, HOOK_CHMOD, sys_fchmod(ctx, sys_arg(0)))

static __noinline int sys_chown(void *ctx, int fd, __u64 path, __u32 uid, __u32 gid)
{
	struct rec *r = open_normal(EV_FILE_CHOWN, sizeof(struct ev_file_chown));
	struct ev_file_chown *e;

	if (!r)
		return 0;
	e = (void *)begin_args(r, 0);
	e->f.node.uid = uid;
	e->f.node.gid = gid;
	e->old_uid = e->old_gid = (__u32)-1;
	rec_upath(r, &e->f.path, fd, path);
	return finish_file(ctx, r, &e->f, NULL);
}

static __noinline int sys_fchown(void *ctx, __u64 fd)
{
	struct file *file = file_of_fd(bpf_get_current_task_btf(), fd);
	struct rec *r = file ? open_normal(EV_FILE_CHOWN, sizeof(struct ev_file_chown)) : NULL;
	struct ev_file_chown *e;

	if (!r)
		return 0;
	e = (void *)begin_file(r, file);
	e->old_uid = e->old_gid = (__u32)-1;
	return finish_file(ctx, r, &e->f, file);
}

ON_EXIT(chown, HOOK_CHOWN, sys_chown(ctx, K_AT_FDCWD, sys_arg(0), (__u32)sys_arg(1), (__u32)sys_arg(2)))
ON_EXIT(lchown, HOOK_CHOWN, sys_chown(ctx, K_AT_FDCWD, sys_arg(0), (__u32)sys_arg(1), (__u32)sys_arg(2)))
ON_EXIT(fchownat, HOOK_CHOWN, sys_chown(ctx, FD(0), sys_arg(1), (__u32)sys_arg(2), (__u32)sys_arg(3)))
ON_EXIT(fchown, HOOK_CHOWN, sys_fchown(ctx, sys_arg(0)))

static __noinline int sys_xattr(void *ctx, int fd, __u64 path, __u64 name, __u32 op)
{
	struct rec *r = open_normal(EV_FILE_XATTR, sizeof(struct ev_file_xattr));
	struct ev_file_xattr *e;

	if (!r)
		return 0;
	e = (void *)begin_args(r, 0);
	e->op = op;
	rec_upath(r, &e->f.path, fd, path);
	rec_ustr(r, &e->name, (void *)name, 256);
	return finish_file(ctx, r, &e->f, NULL);
}

static __noinline int sys_fxattr(void *ctx, __u64 fd, __u64 name, __u32 op)
{
	struct file *file = file_of_fd(bpf_get_current_task_btf(), fd);
	struct rec *r = file ? open_normal(EV_FILE_XATTR, sizeof(struct ev_file_xattr)) : NULL;
	struct ev_file_xattr *e;

	if (!r)
		return 0;
	e = (void *)begin_file(r, file);
	e->op = op;
	rec_ustr(r, &e->name, (void *)name, 256);
	return finish_file(ctx, r, &e->f, file);
}

#define SET    FILE_XATTR_SET
#define REMOVE FILE_XATTR_REMOVE
ON_EXIT(setxattr, HOOK_XATTR, sys_xattr(ctx, K_AT_FDCWD, sys_arg(0), sys_arg(1), SET))
ON_EXIT(lsetxattr, HOOK_XATTR, sys_xattr(ctx, K_AT_FDCWD, sys_arg(0), sys_arg(1), SET))
ON_EXIT(fsetxattr, HOOK_XATTR, sys_fxattr(ctx, sys_arg(0), sys_arg(1), SET))
ON_EXIT(setxattrat, HOOK_XATTR, sys_xattr(ctx, FD(0), sys_arg(1), sys_arg(3), SET))
ON_EXIT(removexattr, HOOK_XATTR, sys_xattr(ctx, K_AT_FDCWD, sys_arg(0), sys_arg(1), REMOVE))
ON_EXIT(lremovexattr, HOOK_XATTR, sys_xattr(ctx, K_AT_FDCWD, sys_arg(0), sys_arg(1), REMOVE))
ON_EXIT(fremovexattr, HOOK_XATTR, sys_fxattr(ctx, sys_arg(0), sys_arg(1), REMOVE))
ON_EXIT(removexattrat, HOOK_XATTR, sys_xattr(ctx, FD(0), sys_arg(1), sys_arg(3), REMOVE))

static __noinline int sys_truncate(void *ctx, __u64 path, __u64 size)
{
	struct rec *r = open_normal(EV_FILE_TRUNCATE, sizeof(struct ev_file_truncate));
	struct ev_file *f;

	if (!r)
		return 0;
	f = begin_args(r, FILE_REGULAR);
	f->node.size = size;
	rec_upath(r, &f->path, K_AT_FDCWD, path);
	return finish_file(ctx, r, f, NULL);
}

static __noinline int sys_ftruncate(void *ctx, __u64 fd)
{
	struct file *file = file_of_fd(bpf_get_current_task_btf(), fd);
	struct rec *r = NULL;

	if (file && is_file(file, BPF_CORE_READ(file, f_inode)))
		r = open_normal(EV_FILE_TRUNCATE, sizeof(struct ev_file_truncate));
	return r ? finish_file(ctx, r, begin_file(r, file), file) : 0;
}

ON_EXIT(truncate, HOOK_TRUNCATE, sys_truncate(ctx, sys_arg(0), sys_arg(1)))
ON_EXIT(ftruncate, HOOK_TRUNCATE, sys_ftruncate(ctx, sys_arg(0)))

static __noinline int sys_mounted(void *ctx)
{
	struct rec *r = open_critical(EV_FILE_MOUNT, sizeof(struct ev_file_mount));
	struct ev_file_mount *e;

	if (!r)
		return 0;
	e = (void *)begin_args(r, 0);
	e->flags = sys_arg(3);
	rec_upath(r, &e->f.path, K_AT_FDCWD, sys_arg(1));
	rec_ustr(r, &e->origin, (void *)sys_arg(0), EV_STR_MAX);
	rec_ustr(r, &e->fs, (void *)sys_arg(2), 256);
	return finish(ctx, r, true);
}

static __noinline int sys_moved_mount(void *ctx)
{
	struct rec *r = open_critical(EV_FILE_MOUNT, sizeof(struct ev_file_mount));
	struct ev_file_mount *e;

	if (!r)
		return 0;
	e = (void *)begin_args(r, 0);
	e->moved = 1;
	rec_upath(r, &e->f.path, (int)sys_arg(2), sys_arg(3));
	rec_ustr(r, &e->origin, (void *)sys_arg(1), EV_STR_MAX);
	return finish(ctx, r, true);
}

static __noinline int sys_umounted(void *ctx)
{
	struct rec *r = open_critical(EV_FILE_UMOUNT, sizeof(struct ev_file_umount));
	struct ev_file_umount *e;

	if (!r)
		return 0;
	e = (void *)begin_args(r, 0);
	e->flags = (__u32)sys_arg(1);
	rec_upath(r, &e->f.path, K_AT_FDCWD, sys_arg(0));
	return finish(ctx, r, true);
}

ON_EXIT(mount, HOOK_MOUNT, sys_mounted(ctx))
ON_EXIT(move_mount, HOOK_MOUNT, sys_moved_mount(ctx))
ON_EXIT(umount, HOOK_MOUNT, sys_umounted(ctx))
