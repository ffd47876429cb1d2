/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * kernel - the few kernel types that our programs look into.
 *
 * Only the members that are read stand here; CO-RE finds their real offsets at load, so one
 * header serves every kernel version and both architectures, and a build needs no BTF of
 * its host. Add a member when a program needs it; never copy a whole struct.
 * A member that exists only on some kernels goes into a `struct name___since` flavour and is
 * read behind bpf_core_field_exists().
 */
#pragma once
#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	int counter;
} atomic_t;

typedef struct {
	__u32 val;
} kuid_t;

typedef struct {
	__u32 val;
} kgid_t;

struct ns_common {
	__u32 inum;
};

struct net {
	struct ns_common ns;
	__u64 net_cookie;
};

struct mnt_namespace {
	struct ns_common ns;
};

struct pid_namespace {
	struct ns_common ns;
};

struct uts_namespace {
	struct ns_common ns;
};

struct ipc_namespace {
	struct ns_common ns;
};

struct cgroup_namespace {
	struct ns_common ns;
};

struct user_namespace {
	struct ns_common ns;
};

struct time_namespace {
	struct ns_common ns;
};

struct nsproxy {
	struct uts_namespace *uts_ns;
	struct ipc_namespace *ipc_ns;
	struct mnt_namespace *mnt_ns;
	struct pid_namespace *pid_ns_for_children;
	struct net *net_ns;
	struct time_namespace *time_ns_for_children;
	struct cgroup_namespace *cgroup_ns;
};

/* Whole: an array of these is indexed, and its stride is not relocated. */
struct upid {
	int nr;
	struct pid_namespace *ns;
};

struct pid {
	unsigned int level;
	struct upid numbers[1];
};

struct kernfs_node {
	__u64 id;
	const char *name;
};

struct cgroup {
	int level;
	struct kernfs_node *kn;
	struct cgroup *ancestors[1];
};

struct css_set {
	struct cgroup *dfl_cgrp;
};

typedef struct {
	__u64 val;
} kernel_cap_t;

struct cred {
	kuid_t uid, suid, euid, fsuid;
	kgid_t gid, sgid, egid, fsgid;
	unsigned int securebits;
	kernel_cap_t cap_inheritable, cap_permitted, cap_effective, cap_bset, cap_ambient;
	struct user_namespace *user_ns;
};

struct qstr {
	__u32 len;
	const unsigned char *name;
};

struct file_system_type {
	const char *name;
};

struct super_block {
	__u32 s_dev;
	unsigned long s_flags;
	unsigned long s_magic;
	struct file_system_type *s_type;
};

struct inode {
	__u16 i_mode;
	kuid_t i_uid;
	kgid_t i_gid;
	unsigned int i_nlink;
	__u32 i_rdev;
	unsigned long i_ino;
	long long i_size;
	struct super_block *i_sb;
};

struct hlist_bl_node {
	struct hlist_bl_node **pprev;
};

struct dentry {
	unsigned int d_flags;
	struct hlist_bl_node d_hash;
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
	struct super_block *d_sb;
};

struct vfsmount {
	struct dentry *mnt_root;
	struct super_block *mnt_sb;
	int mnt_flags;
};

struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
	struct mnt_namespace *mnt_ns;
	const char *mnt_devname;
};

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};

struct file {
	void *private_data;
	struct path f_path;
	struct inode *f_inode;
	unsigned int f_flags;
	unsigned int f_mode;
	long long f_pos;
};

/* Until 6.12; since then `f_ref`, which counts from 0. */
struct file___f_count {
	struct {
		long long counter;
	} f_count;
};

struct file___f_ref {
	struct {
		struct {
			long long counter;
		} refcnt;
	} f_ref;
};

struct open_flags {
	int open_flag;
};

struct renamedata {
	struct dentry *old_dentry, *new_dentry;
	unsigned int flags;
};

struct iattr {
	unsigned int ia_valid;
	kuid_t ia_uid;
	kgid_t ia_gid;
};

/* Overlay file systems: a module on many kernels, so look behind bpf_core_type_exists(). */
struct ovl_inode {
	struct inode vfs_inode;
	struct dentry *__upperdentry;
};

struct fs_struct {
	struct path root, pwd;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	atomic_t count;
	struct fdtable *fdt;
};

struct vm_operations_struct {
	void *fault;
};

struct anon_vma {
	unsigned long num_children;
};

struct vm_area_struct {
	unsigned long vm_start, vm_end, vm_flags, vm_pgoff;
	struct mm_struct *vm_mm;
	struct anon_vma *anon_vma;
	const struct vm_operations_struct *vm_ops;
	struct file *vm_file;
};

struct mm_struct {
	struct file *exe_file;
	unsigned long total_vm, start_brk, brk, start_stack;
	unsigned long arg_start, arg_end, env_start, env_end;
	unsigned long hiwater_rss;
};

struct tty_driver {
	int major, minor_start;
};

struct tty_struct {
	int index;
	struct tty_driver *driver;
};

struct signal_struct {
	atomic_t live;
	int nr_threads;
	int group_exit_code;
	unsigned long maxrss;
	struct pid *pids[4];
	struct tty_struct *tty;
};

struct kernel_siginfo {
	int si_code;
};

struct list_head {
	struct list_head *next, *prev;
};

struct task_struct {
	int pid, tgid;
	int exit_code;
	unsigned int flags;
	unsigned int in_execve : 1;
	unsigned int personality;
	__u64 start_boottime;
	struct task_struct *real_parent, *group_leader;
	struct list_head ptraced, ptrace_entry;
	struct signal_struct *signal;
	struct nsproxy *nsproxy;
	struct css_set *cgroups;
	const struct cred *cred, *real_cred;
	struct mm_struct *mm;
	struct fs_struct *fs;
	struct files_struct *files;
	struct pid *thread_pid;
	char comm[16];
};

struct seq_file {
	unsigned long count;
};

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	unsigned int fd;
	struct file *file;
};

struct linux_binprm {
	struct file *file, *executable;
	const char *filename, *interp;
	int argc, envc;
	const struct cred *cred;
	unsigned int secureexec : 1;
};

/* The registers that a system call was entered with, as the kernel keeps them. */
#if defined(__TARGET_ARCH_x86)
struct pt_regs {
	unsigned long di, si, dx, r10, r8, r9, ax, orig_ax;
};
#elif defined(__TARGET_ARCH_arm64)
struct pt_regs {
	unsigned long regs[31];
	unsigned long orig_x0;
	int syscallno;
};
#endif

typedef struct {
	struct net *net;
} possible_net_t;

typedef struct {
	__s64 counter;
} atomic64_t;

struct in6_addr {
	union {
		__u8 u6_addr8[16];
	} in6_u;
};

struct sock_cgroup_data {
	struct cgroup *cgroup;
};

struct sock_common {
	unsigned short skc_family;
	volatile unsigned char skc_state;
	__be32 skc_daddr, skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	int skc_bound_dev_if;
	unsigned long skc_flags;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr, skc_v6_rcv_saddr;
	atomic64_t skc_cookie;
};

struct sock {
	struct sock_common __sk_common;
	int sk_err, sk_err_soft;
	__u16 sk_type, sk_protocol;
	__u32 sk_max_ack_backlog;
	kuid_t sk_uid;
	struct pid *sk_peer_pid;
	struct socket *sk_socket;
	struct sock_cgroup_data sk_cgrp_data;
};

struct socket {
	short type;
	struct file *file;
	struct sock *sk;
};

struct inet_sock {
	struct sock sk;
	__be32 inet_saddr;
	__be16 inet_sport;
};

struct inet_connection_sock {
	struct inet_sock icsk_inet;
};

struct tcp_sock {
	struct inet_connection_sock inet_conn;
	__u64 bytes_received, bytes_acked, bytes_sent, bytes_retrans;
	__u32 segs_in, segs_out, srtt_us, total_retrans;
};

struct net_device {
	int ifindex;
	char name[16];
	possible_net_t nd_net;
};

struct sk_buff {
	struct net_device *dev;
	struct sock *sk;
	unsigned int len;
	int skb_iif;
	__be16 protocol;
	__u16 vlan_tci;
	__u16 transport_header, network_header, mac_header;
	unsigned char *head, *data;
	unsigned int end;
};

struct sockaddr_un {
	unsigned short sun_family;
};

struct unix_address {
	int len;
	struct sockaddr_un name[1]; /* `len` bytes of it */
};

struct unix_sock {
	struct sock sk;
	struct unix_address *addr;
	struct sock *peer;
};

struct bpf_sock_addr_kern {
	struct sock *sk;
	void *uaddr;
	__u32 uaddrlen;
};

/* ---- modules, kexec, firmware */

struct module {
	char name[56];
	const char *version, *srcversion;
	unsigned long taints;
};

enum kernel_read_file_id {
	READING_FIRMWARE = 1,
	READING_MODULE,
	READING_KEXEC_IMAGE,
	READING_KEXEC_INITRAMFS,
	READING_POLICY,
	READING_X509_CERTIFICATE,
	READING_MODULE_COMPRESSED,
};

enum kernel_load_data_id {
	LOADING_FIRMWARE = 1,
	LOADING_MODULE,
	LOADING_KEXEC_IMAGE,
	LOADING_KEXEC_INITRAMFS,
	LOADING_POLICY,
	LOADING_X509_CERTIFICATE,
};

/* ---- BPF objects */

struct bpf_prog_aux {
	__u32 id;
	const char *attach_func_name;
	char name[16];
};

struct bpf_prog {
	enum bpf_prog_type type;
	enum bpf_attach_type expected_attach_type;
	__u32 len;
	__u8 tag[8];
	struct bpf_prog_aux *aux;
};

struct bpf_map {
	enum bpf_map_type map_type;
	__u32 key_size, value_size, max_entries, map_flags, id;
	char name[16];
};

struct bpf_link {
	__u32 id;
	enum bpf_link_type type;
	struct bpf_prog *prog;
};

struct bpf_link_primer {
	struct bpf_link *link;
};

/* ---- io_uring */

struct io_ring_ctx {
	unsigned int flags;
};

struct io_cqe {
	int fd;
};

struct io_kiocb {
	struct file *file;
	__u8 opcode;
	struct io_cqe cqe;
	struct io_ring_ctx *ctx;
};

struct filename {
	const char *name;
};

/* What a request's own part begins with: at its first byte, where `file` is too. */
struct io_open {
	int dfd;
	struct filename *filename;
};

struct io_unlink {
	int dfd;
	struct filename *filename;
};

struct io_mkdir {
	int dfd;
	struct filename *filename;
};

struct io_rename {
	int old_dfd, new_dfd;
	struct filename *oldpath, *newpath;
};

struct io_link {
	int old_dfd, new_dfd;
	struct filename *oldpath, *newpath;
};

#pragma clang attribute pop

enum { PIDTYPE_PID, PIDTYPE_TGID, PIDTYPE_PGID, PIDTYPE_SID };
enum sock_flags { SOCK_DONE = 1 };
enum { KERNEL_AF_UNIX = 1, KERNEL_AF_INET = 2, KERNEL_AF_INET6 = 10 };
enum { KERNEL_SOCK_STREAM = 1, KERNEL_SOCK_DGRAM = 2 };
enum { KERNEL_IPPROTO_TCP = 6, KERNEL_IPPROTO_UDP = 17 };
enum {
	KERNEL_TCP_ESTABLISHED = 1,
	KERNEL_TCP_SYN_SENT,
	KERNEL_TCP_SYN_RECV,
	KERNEL_TCP_FIN_WAIT1,
	KERNEL_TCP_FIN_WAIT2,
	KERNEL_TCP_TIME_WAIT,
	KERNEL_TCP_CLOSE,
	KERNEL_TCP_CLOSE_WAIT,
	KERNEL_TCP_LAST_ACK,
	KERNEL_TCP_LISTEN,
	KERNEL_TCP_CLOSING,
	KERNEL_TCP_NEW_SYN_RECV,
};
/* vma->vm_flags; the first three are PROT_* too */
enum { VM_READ = 1, VM_WRITE = 2, VM_EXEC = 4, VM_SHARED = 8, VM_MAYWRITE = 0x20, VM_GROWSDOWN = 0x100 };
enum { TASK_KTHREAD = 0x00200000 }; /* of task_struct.flags */
enum { KERNEL_S_ISUID = 04000, KERNEL_S_ISGID = 02000 };
enum { KERNEL_MNT_INTERNAL = 0x4000 };

typedef int pid_t;
