/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * process.event - the records of processes: how they begin, what they become, what they may
 * do, whom they touch, how they end.
 */
#pragma once
#include "event/abi.h"

enum {
	EV_PROCESS = 0x01,
	EV_FORK = EV_ID(EV_PROCESS, 1),
	EV_EXEC = EV_ID(EV_PROCESS, 2),
	EV_EXIT = EV_ID(EV_PROCESS, 3),
	EV_THREAD = EV_ID(EV_PROCESS, 4),
	EV_UID_CHANGE = EV_ID(EV_PROCESS, 5),
	EV_GID_CHANGE = EV_ID(EV_PROCESS, 6),
	EV_CAP_CHANGE = EV_ID(EV_PROCESS, 7),
	EV_NAMESPACE = EV_ID(EV_PROCESS, 8),
	EV_SESSION = EV_ID(EV_PROCESS, 9),
	EV_PTRACE = EV_ID(EV_PROCESS, 10),
	EV_VM_ACCESS = EV_ID(EV_PROCESS, 11),
	EV_SIGNAL = EV_ID(EV_PROCESS, 12),
	EV_EXEC_FAILED = EV_ID(EV_PROCESS, 13),
};

/* The head is of the process that called fork; with CLONE_PARENT the child's parent is another. */
struct ev_fork {
	struct ev_head head;
	__u64 child_start_ns;
	__u32 child_pid, child_ns_pid;
	__u64 clone_flags;
	__u64 child_cgroup_id;
	__u64 parent_start_ns;
	__u32 parent_pid, pad;
};
_Static_assert(sizeof(struct ev_fork) == 128, "ev_fork");

struct ev_exec {
	struct ev_head head;
	__u64 inode;
	__u64 parent_start_ns;
	__u32 parent_pid;
	__u32 dev;
	__u16 mode;
	__u16 traits; /* enum exec_trait */
	__u32 argc;
	__u32 mntns, pidns;
	struct ev_str exe;      /* of the file that runs now */
	struct ev_str filename; /* as given to execve */
	struct ev_str interp;   /* where a script named one */
	struct ev_str cwd;
	struct ev_str args;
	__u32 file_uid, file_gid;
	__u32 sid, pgid;
	__u32 tty_major, tty_minor;
	__u32 from_tid; /* the thread that called exec, where it was not the first of its process */
	__u32 euid, egid;
	/* Of before; -1: not known. */
	__s64 old_euid, old_egid;
	__u64 cap_effective, cap_permitted;
	__u64 cap_gained; /* in the permitted set */
	__u8 has_tty;
	__u8 pad[7];
};
_Static_assert(sizeof(struct ev_exec) == 224, "ev_exec");

enum exec_trait {
	EXEC_MEMFD = 1 << 0,
	EXEC_DELETED = 1 << 1,
	EXEC_SETUID = 1 << 2,
	EXEC_SETGID = 1 << 3,
	EXEC_PRIVILEGED = 1 << 4, /* the kernel treats the start as one that gained rights (AT_SECURE) */
};

struct ev_exit {
	struct ev_head head;
	__u64 run_ns;
	__u64 max_rss_bytes;
	__u32 code, signal;
	__u8 core_dumped;
	__u8 pad[7];
};
_Static_assert(sizeof(struct ev_exit) == 112, "ev_exit");

struct ev_thread {
	struct ev_head head;
	__u32 child_tid, child_ns_tid;
	__u64 clone_flags;
};
_Static_assert(sizeof(struct ev_thread) == 96, "ev_thread");

struct process_creds {
	__u64 permitted, effective, inheritable, bounding, ambient;
	__u32 uid, euid, suid, fsuid;
	__u32 gid, egid, sgid, fsgid;
	__u32 userns, securebits;
};
_Static_assert(sizeof(struct process_creds) == 80, "process_creds");

/* One change is one record: a user id before a group id before a capability says which kind. The head has the new ids.
 */
struct ev_creds {
	struct ev_head head;
	struct process_creds from, to;
	__u64 gained, lost; /* in the effective set */
};
_Static_assert(sizeof(struct ev_creds) == 256, "ev_creds");

struct process_namespaces {
	__u32 mnt, pid, net, uts, ipc, cgroup, time, user; /* pid and time: those of children */
};

struct ev_namespace {
	struct ev_head head;
	__u64 subject_start_ns;
	__u32 subject_pid; /* whose they are: the child of a clone, else who acts */
	__u16 how;         /* enum namespace_how */
	__u16 changed;     /* enum namespace_bit */
	struct process_namespaces from, to;
};
_Static_assert(sizeof(struct ev_namespace) == 160, "ev_namespace");

enum namespace_how { NAMESPACE_CLONE = 1, NAMESPACE_UNSHARE, NAMESPACE_SETNS };

enum namespace_bit {
	NAMESPACE_MNT = 1 << 0,
	NAMESPACE_PID = 1 << 1,
	NAMESPACE_NET = 1 << 2,
	NAMESPACE_UTS = 1 << 3,
	NAMESPACE_IPC = 1 << 4,
	NAMESPACE_CGROUP = 1 << 5,
	NAMESPACE_TIME = 1 << 6,
	NAMESPACE_USER = 1 << 7,
};

struct ev_session {
	struct ev_head head;
	__u32 sid, pad;
};
_Static_assert(sizeof(struct ev_session) == 88, "ev_session");

/* Of EV_PTRACE and EV_VM_ACCESS. */
struct ev_access {
	struct ev_head head;
	__u64 target_start_ns;
	/* 0: only its number in the namespace of who acts is known */
	__u32 target_pid;
	__u32 target_tid;
	__u32 target_ns_pid;
	__s32 error; /* positive errno of a refusal */
	__u32 operation;
	__u32 target_uid;
	char target_comm[16];
};
_Static_assert(sizeof(struct ev_access) == 128, "ev_access");

enum access_operation {
	ACCESS_ATTACH = 1,
	ACCESS_TRACEME, /* the target is the parent, which is to trace who acts */
	ACCESS_VM_READ,
	ACCESS_VM_WRITE,
	ACCESS_TAKE_FD, /* pidfd_getfd */
};

struct ev_signal {
	struct ev_head head;
	__u64 target_start_ns;
	__u32 target_pid, target_tid;
	__u32 target_uid;
	__s32 signal;
	__s32 code;  /* si_code */
	__u8 result; /* enum signal_result */
	__u8 to_thread;
	__u16 pad;
	char target_comm[16];
};
_Static_assert(sizeof(struct ev_signal) == 128, "ev_signal");

/* As the kernel numbers them. */
enum signal_result {
	SIGNAL_DELIVERED,
	SIGNAL_IGNORED,
	SIGNAL_ALREADY_PENDING,
	SIGNAL_OVERFLOW_FAIL,
	SIGNAL_LOSE_INFO,
};

struct ev_exec_failed {
	struct ev_head head;
	struct ev_str filename, exe;
	__s32 error;
	__u32 pad;
};
_Static_assert(sizeof(struct ev_exec_failed) == 96, "ev_exec_failed");
