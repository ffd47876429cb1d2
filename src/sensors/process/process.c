/* SPDX-License-Identifier: Apache-2.0 */
/* process - user side: describes the records of processes and the hooks that make them. */
#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include "base/err.h"
#include "base/mem.h"
#include "bpf/kernel_probe.h"
#include "sensors/process/process.event.h"
#include "sensors/process/process.map.h"
#include "sensors/sensor.h"

/* ---- records --------------------------------------------------------------------------------- */

static const struct field fork_fields[] = {
	FIELD(ev_fork, child_pid, "process.child.pid", FT_U32, "the new process"),
	FIELD(ev_fork, child_ns_pid, "process.child.ns_pid", FT_U32, "its number in its own pid namespace"),
	FIELD(ev_fork, child_start_ns, "process.child.start", FT_TIME, "when it began: with the pid, its identity"),
	FIELD(ev_fork, child_cgroup_id, "process.child.cgroup.id", FT_U64, "cgroup that it begins in"),
	FIELD(ev_fork, parent_pid, "process.child.parent.pid", FT_U32, "its parent: who forked, but for CLONE_PARENT"),
	FIELD(ev_fork, parent_start_ns, "process.child.parent.start", FT_TIME, "when its parent began"),
	FIELD(ev_fork, clone_flags, "process.clone_flags", FT_HEX, "flags given to clone", .zero_is_absent = true),
};

static const struct field thread_fields[] = {
	FIELD(ev_thread, child_tid, "process.child.thread.id", FT_U32, "the new thread"),
	FIELD(ev_thread, child_ns_tid, "process.child.thread.ns_id", FT_U32, "its number in its own pid namespace"),
	FIELD(ev_thread, clone_flags, "process.clone_flags", FT_HEX, "flags given to clone"),
};

static const struct field_name exec_traits[] = {
	{ EXEC_MEMFD, "memfd" },   { EXEC_DELETED, "deleted" },       { EXEC_SETUID, "setuid" },
	{ EXEC_SETGID, "setgid" }, { EXEC_PRIVILEGED, "privileged" }, { 0, NULL },
};

static const struct field_name capabilities[] = {
	{ 1ULL << 0, "CAP_CHOWN" },
	{ 1ULL << 1, "CAP_DAC_OVERRIDE" },
	{ 1ULL << 2, "CAP_DAC_READ_SEARCH" },
	{ 1ULL << 3, "CAP_FOWNER" },
	{ 1ULL << 4, "CAP_FSETID" },
	{ 1ULL << 5, "CAP_KILL" },
	{ 1ULL << 6, "CAP_SETGID" },
	{ 1ULL << 7, "CAP_SETUID" },
	{ 1ULL << 8, "CAP_SETPCAP" },
	{ 1ULL << 9, "CAP_LINUX_IMMUTABLE" },
	{ 1ULL << 10, "CAP_NET_BIND_SERVICE" },
	{ 1ULL << 11, "CAP_NET_BROADCAST" },
	{ 1ULL << 12, "CAP_NET_ADMIN" },
	{ 1ULL << 13, "CAP_NET_RAW" },
	{ 1ULL << 14, "CAP_IPC_LOCK" },
	{ 1ULL << 15, "CAP_IPC_OWNER" },
	{ 1ULL << 16, "CAP_SYS_MODULE" },
	{ 1ULL << 17, "CAP_SYS_RAWIO" },
	{ 1ULL << 18, "CAP_SYS_CHROOT" },
	{ 1ULL << 19, "CAP_SYS_PTRACE" },
	{ 1ULL << 20, "CAP_SYS_PACCT" },
	{ 1ULL << 21, "CAP_SYS_ADMIN" },
	{ 1ULL << 22, "CAP_SYS_BOOT" },
	{ 1ULL << 23, "CAP_SYS_NICE" },
	{ 1ULL << 24, "CAP_SYS_RESOURCE" },
	{ 1ULL << 25, "CAP_SYS_TIME" },
	{ 1ULL << 26, "CAP_SYS_TTY_CONFIG" },
	{ 1ULL << 27, "CAP_MKNOD" },
	{ 1ULL << 28, "CAP_LEASE" },
	{ 1ULL << 29, "CAP_AUDIT_WRITE" },
	{ 1ULL << 30, "CAP_AUDIT_CONTROL" },
	{ 1ULL << 31, "CAP_SETFCAP" },
	{ 1ULL << 32, "CAP_MAC_OVERRIDE" },
	{ 1ULL << 33, "CAP_MAC_ADMIN" },
	{ 1ULL << 34, "CAP_SYSLOG" },
	{ 1ULL << 35, "CAP_WAKE_ALARM" },
	{ 1ULL << 36, "CAP_BLOCK_SUSPEND" },
	{ 1ULL << 37, "CAP_AUDIT_READ" },
	{ 1ULL << 38, "CAP_PERFMON" },
	{ 1ULL << 39, "CAP_BPF" },
	{ 1ULL << 40, "CAP_CHECKPOINT_RESTORE" },
	{ 0, NULL },
};

static const struct field exec_fields[] = {
	FIELD(ev_exec, exe, "process.executable", FT_STR,
	      "path of the file that runs now, as the process sees it; of a script, its interpreter"),
	FIELD(ev_exec, filename, "process.exec.filename", FT_STR,
	      "path as given to execve; /dev/fd/N for one given by number"),
	FIELD(ev_exec, interp, "process.exec.interpreter", FT_STR, "interpreter that a script named"),
	FIELD(ev_exec, cwd, "process.working_directory", FT_STR, "working directory"),
	FIELD(ev_exec, args, "process.args", FT_STRS, "arguments, the first being the program's name"),
	FIELD(ev_exec, argc, "process.args_count", FT_U32, "number of arguments, also of those cut off"),
	FIELD(ev_exec, parent_pid, "process.parent.pid", FT_U32, "parent"),
	FIELD(ev_exec, parent_start_ns, "process.parent.start", FT_TIME, "when the parent began"),
	FIELD(ev_exec, inode, "process.exec.inode", FT_U64, "inode of the file"),
	FIELD(ev_exec, dev, "process.exec.device", FT_HEX, "device of the file"),
	FIELD(ev_exec, mode, "process.exec.mode", FT_OCTAL, "mode of the file"),
	FIELD(ev_exec, file_uid, "process.exec.uid", FT_U32, "owner of the file"),
	FIELD(ev_exec, file_gid, "process.exec.gid", FT_U32, "group of the file"),
	FIELD(ev_exec, traits, "process.exec.traits", FT_FLAGS,
	      "what is unusual about the file or the start; privileged: the kernel saw rights gained",
	      .names = exec_traits),
	FIELD(ev_exec, euid, "user.effective.id", FT_U32, "effective user now"),
	FIELD(ev_exec, egid, "user.effective.group.id", FT_U32, "effective group now"),
	FIELD(ev_exec, old_euid, "process.previous.user.id", FT_I64, "effective user before the exec; -1: not known"),
	FIELD(ev_exec, old_egid, "process.previous.group.id", FT_I64, "effective group before the exec; -1: not known"),
	FIELD(ev_exec, cap_effective, "process.thread.capabilities.effective", FT_FLAGS, "capabilities in force",
	      .names = capabilities),
	FIELD(ev_exec, cap_permitted, "process.thread.capabilities.permitted", FT_FLAGS,
	      "capabilities that it may put in force", .names = capabilities),
	FIELD(ev_exec, cap_gained, "process.capabilities.gained", FT_FLAGS,
	      "permitted capabilities that the exec added: of a setuid program, or set on the file",
	      .names = capabilities, .zero_is_absent = true),
	FIELD(ev_exec, sid, "process.session_leader.pid", FT_U32, "session"),
	FIELD(ev_exec, pgid, "process.group_leader.pid", FT_U32, "process group"),
	FIELD(ev_exec, has_tty, "process.interactive", FT_BOOL, "has a controlling terminal"),
	FIELD(ev_exec, tty_major, "process.tty.char_device.major", FT_U32, "major number of its terminal",
	      .zero_is_absent = true),
	FIELD(ev_exec, tty_minor, "process.tty.char_device.minor", FT_U32,
	      "minor number of its terminal; absent for 0, and without a terminal", .zero_is_absent = true),
	FIELD(ev_exec, from_tid, "process.exec.thread", FT_U32,
	      "thread that called exec, where not the first of its process", .zero_is_absent = true),
	FIELD(ev_exec, mntns, "process.namespace.mnt", FT_U32, "mount namespace"),
	FIELD(ev_exec, pidns, "process.namespace.pid", FT_U32, "pid namespace"),
};

static const struct field exec_failed_fields[] = {
	FIELD(ev_exec_failed, filename, "process.exec.filename", FT_STR, "path as given to execve"),
	FIELD(ev_exec_failed, exe, "process.exec.executable", FT_STR, "path of the file, where it could be opened"),
	FIELD(ev_exec_failed, error, "error.code", FT_ERRNO, "why"),
};

static const struct field exit_fields[] = {
	FIELD(ev_exit, code, "process.exit_code", FT_U32, "exit code"),
	FIELD(ev_exit, signal, "process.exit_signal", FT_U32, "signal that ended it", .zero_is_absent = true),
	FIELD(ev_exit, core_dumped, "process.core_dumped", FT_BOOL, "left a core dump"),
	FIELD(ev_exit, run_ns, "event.duration", FT_DURATION, "how long it ran"),
	FIELD(ev_exit, max_rss_bytes, "process.memory.max_rss", FT_U64,
	      "most memory that it held, in bytes, as getrusage counts: also of what it was before an exec"),
};

static const struct field creds_fields[] = {
	FIELD(ev_creds, to.uid, "process.real_user.id", FT_U32, "real user now"),
	FIELD(ev_creds, to.euid, "user.effective.id", FT_U32, "effective user now"),
	FIELD(ev_creds, to.suid, "process.saved_user.id", FT_U32, "saved user now"),
	FIELD(ev_creds, to.fsuid, "process.fs_user.id", FT_U32, "user for file access now"),
	FIELD(ev_creds, to.gid, "process.real_group.id", FT_U32, "real group now"),
	FIELD(ev_creds, to.egid, "user.effective.group.id", FT_U32, "effective group now"),
	FIELD(ev_creds, to.sgid, "process.saved_group.id", FT_U32, "saved group now"),
	FIELD(ev_creds, to.fsgid, "process.fs_group.id", FT_U32, "group for file access now"),
	FIELD(ev_creds, from.uid, "process.previous.real_user.id", FT_U32, "real user before"),
	FIELD(ev_creds, from.euid, "process.previous.user.id", FT_U32, "effective user before"),
	FIELD(ev_creds, from.suid, "process.previous.saved_user.id", FT_U32, "saved user before"),
	FIELD(ev_creds, from.fsuid, "process.previous.fs_user.id", FT_U32, "user for file access before"),
	FIELD(ev_creds, from.gid, "process.previous.real_group.id", FT_U32, "real group before"),
	FIELD(ev_creds, from.egid, "process.previous.group.id", FT_U32, "effective group before"),
	FIELD(ev_creds, from.sgid, "process.previous.saved_group.id", FT_U32, "saved group before"),
	FIELD(ev_creds, from.fsgid, "process.previous.fs_group.id", FT_U32, "group for file access before"),
	FIELD(ev_creds, to.effective, "process.thread.capabilities.effective", FT_FLAGS, "capabilities in force now",
	      .names = capabilities),
	FIELD(ev_creds, to.permitted, "process.thread.capabilities.permitted", FT_FLAGS,
	      "capabilities that it may put in force now", .names = capabilities),
	FIELD(ev_creds, to.inheritable, "process.capabilities.inheritable", FT_FLAGS,
	      "capabilities that an exec may keep", .names = capabilities, .zero_is_absent = true),
	FIELD(ev_creds, to.ambient, "process.capabilities.ambient", FT_FLAGS, "capabilities that every exec keeps",
	      .names = capabilities, .zero_is_absent = true),
	FIELD(ev_creds, to.bounding, "process.capabilities.bounding", FT_FLAGS, "capabilities that an exec may give",
	      .names = capabilities),
	FIELD(ev_creds, from.effective, "process.previous.capabilities.effective", FT_FLAGS,
	      "capabilities in force before", .names = capabilities),
	FIELD(ev_creds, from.permitted, "process.previous.capabilities.permitted", FT_FLAGS,
	      "capabilities that it might put in force before", .names = capabilities),
	FIELD(ev_creds, gained, "process.capabilities.gained", FT_FLAGS, "effective capabilities that it got",
	      .names = capabilities, .zero_is_absent = true),
	FIELD(ev_creds, lost, "process.capabilities.lost", FT_FLAGS, "effective capabilities that it gave up",
	      .names = capabilities, .zero_is_absent = true),
	FIELD(ev_creds, to.securebits, "process.securebits", FT_HEX, "securebits now", .zero_is_absent = true),
	FIELD(ev_creds, to.userns, "process.namespace.user", FT_U32, "user namespace that these count in now"),
	FIELD(ev_creds, from.userns, "process.previous.namespace.user", FT_U32, "user namespace before"),
};

static const struct field_name namespace_hows[] = {
	{ NAMESPACE_CLONE, "clone" },
	{ NAMESPACE_UNSHARE, "unshare" },
	{ NAMESPACE_SETNS, "setns" },
	{ 0, NULL },
};

static const struct field_name namespace_bits[] = {
	{ NAMESPACE_MNT, "mnt" },   { NAMESPACE_PID, "pid" },   { NAMESPACE_NET, "net" },
	{ NAMESPACE_UTS, "uts" },   { NAMESPACE_IPC, "ipc" },   { NAMESPACE_CGROUP, "cgroup" },
	{ NAMESPACE_TIME, "time" }, { NAMESPACE_USER, "user" }, { 0, NULL },
};

static const struct field namespace_fields[] = {
	FIELD(ev_namespace, subject_pid, "process.target.pid", FT_U32,
	      "whose they are: the child of a clone, else who acts"),
	FIELD(ev_namespace, subject_start_ns, "process.target.start", FT_TIME, "when that process began"),
	FIELD(ev_namespace, how, "process.namespace.change", FT_ENUM, "how they changed", .names = namespace_hows),
	FIELD(ev_namespace, changed, "process.namespace.changed", FT_FLAGS, "which ones are others now",
	      .names = namespace_bits),
	FIELD(ev_namespace, to.mnt, "process.target.namespace.mnt", FT_U32, "mount namespace now"),
	FIELD(ev_namespace, to.pid, "process.target.namespace.pid", FT_U32, "pid, for children namespace now"),
	FIELD(ev_namespace, to.net, "process.target.namespace.net", FT_U32, "network namespace now"),
	FIELD(ev_namespace, to.uts, "process.target.namespace.uts", FT_U32, "host name namespace now"),
	FIELD(ev_namespace, to.ipc, "process.target.namespace.ipc", FT_U32, "IPC namespace now"),
	FIELD(ev_namespace, to.cgroup, "process.target.namespace.cgroup", FT_U32, "cgroup namespace now"),
	FIELD(ev_namespace, to.time, "process.target.namespace.time", FT_U32, "time, for children namespace now"),
	FIELD(ev_namespace, to.user, "process.target.namespace.user", FT_U32, "user namespace now"),
	FIELD(ev_namespace, from.mnt, "process.previous.namespace.mnt", FT_U32, "mount namespace before"),
	FIELD(ev_namespace, from.pid, "process.previous.namespace.pid", FT_U32, "pid, for children namespace before"),
	FIELD(ev_namespace, from.net, "process.previous.namespace.net", FT_U32, "network namespace before"),
	FIELD(ev_namespace, from.uts, "process.previous.namespace.uts", FT_U32, "host name namespace before"),
	FIELD(ev_namespace, from.ipc, "process.previous.namespace.ipc", FT_U32, "IPC namespace before"),
	FIELD(ev_namespace, from.cgroup, "process.previous.namespace.cgroup", FT_U32, "cgroup namespace before"),
	FIELD(ev_namespace, from.time, "process.previous.namespace.time", FT_U32,
	      "time, for children namespace before"),
	FIELD(ev_namespace, from.user, "process.previous.namespace.user", FT_U32, "user namespace before"),
};

static const struct field session_fields[] = {
	FIELD(ev_session, sid, "process.session_leader.pid", FT_U32, "the session that it made and leads"),
};

static const struct field_name access_operations[] = {
	{ ACCESS_ATTACH, "attach" },         { ACCESS_TRACEME, "traceme" }, { ACCESS_VM_READ, "memory-read" },
	{ ACCESS_VM_WRITE, "memory-write" }, { ACCESS_TAKE_FD, "take-fd" }, { 0, NULL },
};

static const struct field access_fields[] = {
	FIELD(ev_access, operation, "process.access.operation", FT_ENUM,
	      "what was asked for; traceme: that the target, its parent, trace it", .names = access_operations),
	FIELD(ev_access, target_pid, "process.target.pid", FT_U32, "the other process", .zero_is_absent = true),
	FIELD(ev_access, target_tid, "process.target.thread.id", FT_U32, "the thread of it that was named",
	      .zero_is_absent = true),
	FIELD(ev_access, target_ns_pid, "process.target.ns_pid", FT_U32, "its number as who acts writes it",
	      .zero_is_absent = true),
	FIELD(ev_access, target_start_ns, "process.target.start", FT_TIME, "when it began", .zero_is_absent = true),
	FIELD(ev_access, target_comm, "process.target.name", FT_CHARS, "its name", .zero_is_absent = true),
	FIELD(ev_access, target_uid, "process.target.user.id", FT_U32, "its real user"),
	FIELD(ev_access, error, "error.code", FT_ERRNO, "why it was refused", .zero_is_absent = true),
};

static const struct field_name signal_names[] = {
	{ 1, "SIGHUP" },     { 2, "SIGINT" },   { 3, "SIGQUIT" },   { 4, "SIGILL" },   { 5, "SIGTRAP" },
	{ 6, "SIGABRT" },    { 7, "SIGBUS" },   { 8, "SIGFPE" },    { 9, "SIGKILL" },  { 10, "SIGUSR1" },
	{ 11, "SIGSEGV" },   { 12, "SIGUSR2" }, { 13, "SIGPIPE" },  { 14, "SIGALRM" }, { 15, "SIGTERM" },
	{ 16, "SIGSTKFLT" }, { 17, "SIGCHLD" }, { 18, "SIGCONT" },  { 19, "SIGSTOP" }, { 20, "SIGTSTP" },
	{ 21, "SIGTTIN" },   { 22, "SIGTTOU" }, { 23, "SIGURG" },   { 24, "SIGXCPU" }, { 25, "SIGXFSZ" },
	{ 26, "SIGVTALRM" }, { 27, "SIGPROF" }, { 28, "SIGWINCH" }, { 29, "SIGIO" },   { 30, "SIGPWR" },
	{ 31, "SIGSYS" },    { 0, NULL },
};

static const struct field_name signal_results[] = {
	{ SIGNAL_DELIVERED, "delivered" },
	{ SIGNAL_IGNORED, "ignored" },
	{ SIGNAL_ALREADY_PENDING, "already-pending" },
	{ SIGNAL_OVERFLOW_FAIL, "overflow" },
	{ SIGNAL_LOSE_INFO, "delivered-without-details" },
	{ 0, NULL },
};

static const struct field signal_fields[] = {
	FIELD(ev_signal, signal, "process.signal.number", FT_I32, "signal"),
	FIELD(ev_signal, signal, "process.signal.name", FT_ENUM, "signal by name", .names = signal_names),
	FIELD(ev_signal, code, "process.signal.code", FT_I32, "how it was sent: 0 kill, -1 sigqueue, -6 tgkill"),
	FIELD(ev_signal, result, "process.signal.result", FT_ENUM, "what became of it", .names = signal_results),
	FIELD(ev_signal, to_thread, "process.signal.to_thread", FT_BOOL, "sent to one thread, not to the process"),
	FIELD(ev_signal, target_pid, "process.target.pid", FT_U32, "who got it"),
	FIELD(ev_signal, target_tid, "process.target.thread.id", FT_U32, "the thread of it that was named"),
	FIELD(ev_signal, target_start_ns, "process.target.start", FT_TIME, "when that process began"),
	FIELD(ev_signal, target_comm, "process.target.name", FT_CHARS, "its name"),
	FIELD(ev_signal, target_uid, "process.target.user.id", FT_U32, "its real user"),
};

#define KIND(id_, name_, struct_, class_, type_, action_, summary_, fields_)                                           \
	{ .id = (id_),                                                                                                 \
	  .name = (name_),                                                                                             \
	  .struct_name = #struct_,                                                                                     \
	  .size = sizeof(struct struct_),                                                                              \
	  .class = (class_),                                                                                           \
	  .category = "process",                                                                                       \
	  .type = (type_),                                                                                             \
	  .action = (action_),                                                                                         \
	  .summary = (summary_),                                                                                       \
	  .fields = (fields_),                                                                                         \
	  .n_fields = countof(fields_) }

/*
 * What says who a process is and what it may do is critical. What one process can make a hundred thousand of in a
 * second without ending any other (threads, signals, memory reads, refused execs) has a budget.
 */
static const struct event_kind kinds[] = {
	KIND(EV_FORK, "process.fork", ev_fork, EV_CRITICAL, "start", "fork", "a process made another", fork_fields),
	KIND(EV_EXEC, "process.exec", ev_exec, EV_CRITICAL, "start", "exec", "a process became another program",
	     exec_fields),
	KIND(EV_EXIT, "process.exit", ev_exit, EV_CRITICAL, "end", "exit", "a process ended", exit_fields),
	KIND(EV_THREAD, "process.thread", ev_thread, EV_NORMAL, "start", "thread", "a process made a thread",
	     thread_fields),
	KIND(EV_UID_CHANGE, "process.uid_change", ev_creds, EV_CRITICAL, "change", "uid_change",
	     "a thread changed its user", creds_fields),
	KIND(EV_GID_CHANGE, "process.gid_change", ev_creds, EV_CRITICAL, "change", "gid_change",
	     "a thread changed its group, and not its user", creds_fields),
	KIND(EV_CAP_CHANGE, "process.capability_change", ev_creds, EV_CRITICAL, "change", "capability_change",
	     "a thread changed its capabilities, securebits or user namespace, and no user or group", creds_fields),
	KIND(EV_NAMESPACE, "process.namespace", ev_namespace, EV_CRITICAL, "change", "namespace_change",
	     "a process made or entered a namespace", namespace_fields),
	KIND(EV_SESSION, "process.session", ev_session, EV_CRITICAL, "change", "session_id_change",
	     "a process made a session of its own", session_fields),
	KIND(EV_PTRACE, "process.ptrace", ev_access, EV_CRITICAL, "access", "ptrace",
	     "a process attached to another as its tracer, or tried", access_fields),
	KIND(EV_VM_ACCESS, "process.access", ev_access, EV_NORMAL, "access", "process_access",
	     "a process read or wrote the memory of another, took a file descriptor from it, or tried", access_fields),
	KIND(EV_SIGNAL, "process.signal", ev_signal, EV_NORMAL, "info", "signal", "a process sent a signal to another",
	     signal_fields),
	KIND(EV_EXEC_FAILED, "process.exec_failed", ev_exec_failed, EV_NORMAL, "info", "exec_failed",
	     "a process tried to become another program and could not", exec_failed_fields),
};

/* ---- hooks ------------------------------------------------------------------------------------ */

static bool exit_says_who_was_last(void)
{
	return kernel_tracepoint_args("sched_process_exit") == 2;
}

static bool exec_takes_one(void)
{
	return kernel_func_args("bprm_execve") == 1;
}

static bool exec_takes_four(void)
{
	return kernel_func_args("bprm_execve") == 4;
}

#define SLOW "slows every system call of the host by about 80 ns; 32-bit programs are not seen"

/*
 * No LSM variants: they need the same trampolines as fexit, and see neither what another module has refused nor the
 * result.
 */
static const struct hook hooks[] = {
	[HOOK_FORK] = { "fork",
			"a new process",
			{ { .progs = { "fork_newtask" } },
			  { .progs = { "fork_sched" }, .cannot = "gives no clone flags" } } },
	[HOOK_EXEC] = { "exec", "a new program", { { .progs = { "exec_tp" } } } },
	[HOOK_EXIT] = { "exit",
			"the end of a process",
			{ { .progs = { "exit_dead" }, .possible = exit_says_who_was_last },
			  { .progs = { "exit_live" },
			    .cannot = "where two threads end at the same instant, the largest memory may be that of "
				      "before the last exec" } } },
	[HOOK_EXEC_CREDS] = { "exec-credentials",
			      "the credentials before an exec, which its record compares with",
			      { { .progs = { "exec_creds_prepare" } }, { .progs = { "exec_creds_rename" } } } },
	[HOOK_THREAD] = { "thread", "a new thread", { { .progs = { "thread_newtask" } } } },
	[HOOK_CREDENTIALS] = { "credentials",
			       "other user or group ids, capabilities, securebits",
			       { { .progs = { "creds_fentry" } },
				 { .progs = { "creds_kprobe" } },
				 { .progs = { "creds_enter_setuid",   "creds_exit_setuid",     "creds_enter_setgid",
					      "creds_exit_setgid",    "creds_enter_setreuid",  "creds_exit_setreuid",
					      "creds_enter_setregid", "creds_exit_setregid",   "creds_enter_setresuid",
					      "creds_exit_setresuid", "creds_enter_setresgid", "creds_exit_setresgid",
					      "creds_enter_setfsuid", "creds_exit_setfsuid",   "creds_enter_setfsgid",
					      "creds_exit_setfsgid",  "creds_enter_capset",    "creds_exit_capset",
					      "creds_enter_prctl",    "creds_exit_prctl",      "creds_enter_unshare",
					      "creds_exit_unshare",   "creds_enter_setns",     "creds_exit_setns" },
				   .cannot = SLOW "; a change outside the system calls made for it (an exploit of the "
						  "kernel) is not seen" } } },
	[HOOK_NAMESPACE] = { "namespace",
			     "other namespaces: by clone, unshare or setns",
			     { { .progs = { "namespace_fentry", "namespace_user_fentry", "namespace_clone" } },
			       { .progs = { "namespace_kprobe", "namespace_user_kprobe", "namespace_clone" } },
			       { .progs = { "namespace_enter_unshare", "namespace_exit_unshare",
					    "namespace_enter_setns", "namespace_exit_setns", "namespace_clone" },
				 .cannot = SLOW ", but for clone" } } },
	[HOOK_SESSION] = { "session",
			   "a new session",
			   { { .progs = { "session_fexit" } },
			     { .progs = { "session_kretprobe" } },
			     { .progs = { "session_exit" }, .cannot = SLOW } } },
	[HOOK_PTRACE] = { "ptrace",
			  "one process attaches to another",
			  { { .progs = { "ptrace_fexit", "traceme_fexit" },
			      .cannot = "what the plain permission check refuses, before any security module, is not "
					"seen" },
			    { .progs = { "ptrace_kprobe", "traceme_kprobe" },
			      .cannot = "what the plain permission check refuses is not seen; what a security module "
					"refuses is not told from what succeeds" },
			    { .progs = { "ptrace_exit" },
			      .cannot =
				      SLOW "; a refused target, or one that has ended at once, is known by its number "
					   "only" } } },
	[HOOK_VM_ACCESS] = { "memory-access",
			     "one process reads or writes the memory of another, or takes its file descriptors",
			     { { .progs = { "vm_fexit" },
				 .cannot = "what the plain permission check refuses, before any security module, is "
					   "not seen" },
			       { .progs = { "vm_kprobe" },
				 .cannot =
					 "what the plain permission check refuses is not seen; what a security module "
					 "refuses is not told from what succeeds" },
			       { .progs = { "vm_exit_readv", "vm_exit_writev" },
				 .cannot =
					 SLOW "; file descriptors taken are not seen; before Linux 6.14 the target is "
					      "known by its number only" } } },
	[HOOK_SIGNAL] = { "signal", "a signal from one process to another", { { .progs = { "signal_tp" } } } },
	[HOOK_EXEC_FAILED] = { "exec-failed",
			       "an exec that was refused",
			       { { .progs = { "exec_failed_fexit" }, .possible = exec_takes_one },
				 { .progs = { "exec_failed_fexit4" }, .possible = exec_takes_four } },
			       .extra = true },
};
_Static_assert(countof(hooks) == PROCESS_HOOK_COUNT, "a row for each hook");

/* ---- options ------------------------------------------------------------------------------------ */

struct process_options {
	uint32_t args_max;
	bool threads, credentials, namespaces, sessions, ptrace, memory_access, exec_failed;
	struct option_list signals;
};

/* "KILL", "SIGKILL", "9" or "all" -> bits of signals. */
static int signal_bits(const char *text, __u64 *ret_bits)
{
	const char *name = strncasecmp(text, "SIG", 3) ? text : text + 3;
	char *end;
	long n = strtol(text, &end, 10);

	if (!strcasecmp(text, "all")) {
		*ret_bits = ~0ULL;
		return 0;
	}
	if (end != text && !*end && n >= 1 && n <= 64) {
		*ret_bits = 1ULL << (n - 1);
		return 0;
	}
	for (int i = 0; signal_names[i].name; i++)
		if (!strcasecmp(signal_names[i].name + 3, name)) {
			*ret_bits = 1ULL << (signal_names[i].value - 1);
			return 0;
		}
	return err_new(-EINVAL, "\"%s\" is neither a signal's name, nor a number from 1 to 64, nor all", text);
}

static int check_signal(const char *text)
{
	__u64 bits;

	return signal_bits(text, &bits);
}

static const struct option options[] = {
	OPTION(process_options, args_max, OPT_U32, "4096", "bytes of arguments that an exec record keeps", .min = 64,
	       .max = PROCESS_ARGS_MAX, .unit = "bytes"),
	OPTION(process_options, threads, OPT_BOOL, "false", "record new threads"),
	OPTION(process_options, credentials, OPT_BOOL, "true", "record changes of user, group and capabilities"),
	OPTION(process_options, namespaces, OPT_BOOL, "true", "record new and entered namespaces"),
	OPTION(process_options, sessions, OPT_BOOL, "true", "record new sessions (setsid)"),
	OPTION(process_options, ptrace, OPT_BOOL, "true", "record who attaches to whom as a tracer"),
	OPTION(process_options, memory_access, OPT_BOOL, "true",
	       "record process_vm_readv, process_vm_writev and pidfd_getfd"),
	OPTION(process_options, exec_failed, OPT_BOOL, "true",
	       "record refused execs, where the kernel lets us see them"),
	OPTION(process_options, signals, OPT_STRS, "HUP, INT, QUIT, ABRT, KILL, SEGV, TERM, STOP, TSTP, CONT",
	       "signals recorded when one process sends them to another: names, numbers, or all; an empty list records "
	       "none",
	       .max = 64, .check = check_signal),
};

static int process_prepare(struct object *obj, const void *opts)
{
	const struct process_options *o = opts;
	struct process_config config = { .args_max = o->args_max, .page_size = (__u32)sysconf(_SC_PAGESIZE) };
	const struct {
		bool on;
		enum process_hook hook;
	} switches[] = {
		{ o->threads, HOOK_THREAD },          { o->credentials, HOOK_CREDENTIALS },
		{ o->namespaces, HOOK_NAMESPACE },    { o->sessions, HOOK_SESSION },
		{ o->ptrace, HOOK_PTRACE },           { o->memory_access, HOOK_VM_ACCESS },
		{ o->exec_failed, HOOK_EXEC_FAILED }, { o->signals.n > 0, HOOK_SIGNAL },
	};

	for (size_t i = 0; i < o->signals.n; i++) {
		__u64 bits = 0;
		(void)signal_bits(o->signals.items[i], &bits); /* the row's check took it */
		config.signals |= bits;
	}
	for (size_t i = 0; i < countof(switches); i++)
		if (!switches[i].on)
			object_hook_off(obj, switches[i].hook);
	return object_set_const(obj, "config", &config, sizeof(config));
}

/* ---- canaries ------------------------------------------------------------------------------------- */

/* The smallest program that ends well, for a host without /bin/true: an ELF head, one segment, exit(0). */
static int tiny_program(void)
{
#if defined(__x86_64__)
	static const unsigned char code[] = { 0x31, 0xff, 0x6a, 0x3c, 0x58, 0x0f, 0x05 };
	enum { MACHINE = 62 };
#elif defined(__aarch64__)
	static const unsigned char code[] = { 0x00, 0x00, 0x80, 0xd2, 0xa8, 0x0b, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4 };
	enum { MACHINE = 183 };
#endif
	enum { AT = 0x400000, HEAD = 64, SEGMENT = 56 };
	struct {
		unsigned char ident[16];
		__u16 type, machine;
		__u32 version;
		__u64 entry, phoff, shoff;
		__u32 flags;
		__u16 ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
		__u32 p_type, p_flags;
		__u64 p_offset, p_vaddr, p_paddr, p_filesz, p_memsz, p_align;
		unsigned char text[16];
	} elf = {
		.ident = { 0x7f, 'E', 'L', 'F', 2, 1, 1 },
		.type = 2,
		.machine = MACHINE,
		.version = 1,
		.entry = AT + HEAD + SEGMENT,
		.phoff = HEAD,
		.ehsize = HEAD,
		.phentsize = SEGMENT,
		.phnum = 1,
		.p_type = 1,
		.p_flags = 5,
		.p_vaddr = AT,
		.p_paddr = AT,
		.p_filesz = sizeof(elf),
		.p_memsz = sizeof(elf),
		.p_align = 0x10000,
	};
	auto_close int fd = memfd_create("shrike-canary", MFD_CLOEXEC);

	_Static_assert(sizeof(elf) == HEAD + SEGMENT + 16, "an ELF head and one segment");
	memcpy(elf.text, code, sizeof(code));
	if (fd < 0 || write(fd, &elf, sizeof(elf)) != sizeof(elf))
		return -1;
	return take_fd(fd);
}

static int wait_for(pid_t pid)
{
	int status, r;

	do
		r = waitpid(pid, &status, 0);
	while (r < 0 && errno == EINTR);
	return r == pid ? 0 : -EOPNOTSUPP;
}

/* Never our own program: it must not run twice. */
static int exercise_exec(void)
{
	static char name[] = "true";
	char *const argv[] = { name, NULL }, *const envp[] = { NULL };
	static const char *const paths[] = { "/bin/true", "/usr/bin/true" };
	auto_close int fd = -1;
	char by_fd[32];
	pid_t pid;

	for (size_t i = 0; i < countof(paths); i++)
		if (!access(paths[i], X_OK) && !posix_spawn(&pid, paths[i], NULL, NULL, argv, envp))
			return wait_for(pid);
	fd = tiny_program();
	(void)snprintf(by_fd, sizeof(by_fd), "/proc/self/fd/%d", fd);
	if (fd < 0 || posix_spawn(&pid, by_fd, NULL, NULL, argv, envp))
		return -EOPNOTSUPP;
	return wait_for(pid);
}

static void *end_at_once(void *arg)
{
	return arg;
}

static int exercise_thread(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, end_at_once, NULL))
		return -EOPNOTSUPP;
	(void)pthread_join(thread, NULL);
	return 0;
}

/* Gives up one capability that it does not need: nothing else about it changes. */
static int lower_credentials(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct caps[2];
	__u32 lowest;

	if (syscall(SYS_capget, &head, caps) || !caps[0].effective)
		return 1;
	lowest = caps[0].effective & -caps[0].effective;
	caps[0].effective &= ~lowest;
	return syscall(SYS_capset, &head, caps) != 0;
}

static int new_namespace(void)
{
	return syscall(SYS_unshare, CLONE_NEWUTS) && syscall(SYS_unshare, CLONE_NEWUSER);
}

static int new_session(void)
{
	return syscall(SYS_setsid) < 0;
}

static int be_traced(void)
{
	return syscall(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0) < 0;
}

/*
 * In a child that does one system call and ends. _Fork, and calls past the C library: other threads of the agent
 * may hold its locks, and the library would tell them of new credentials.
 */
static int exercise_in_child(int (*act)(void))
{
	int status = 0;
	pid_t pid = _Fork();

	if (pid < 0)
		return -EOPNOTSUPP;
	if (pid == 0)
		_exit(act());
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -EOPNOTSUPP;
	return WIFEXITED(status) && !WEXITSTATUS(status) ? 0 : -EOPNOTSUPP;
}

/* Acts on a child that does nothing, and ends it. */
static int exercise_on_child(bool read_memory)
{
	static char theirs = 1;
	char ours = 0;
	struct iovec to = { &ours, 1 }, from = { &theirs, 1 };
	pid_t pid = _Fork();
	int r = 0;

	if (pid < 0)
		return -EOPNOTSUPP;
	if (pid == 0)
		for (;;)
			(void)pause();
	if (read_memory && process_vm_readv(pid, &to, 1, &from, 1, 0) != 1)
		r = -EOPNOTSUPP;
	(void)kill(pid, SIGKILL);
	return wait_for(pid) < 0 ? -EOPNOTSUPP : r;
}

static int process_exercise(size_t hook)
{
	switch (hook) {
	case HOOK_FORK:
	case HOOK_EXEC:
	case HOOK_EXIT:
	case HOOK_EXEC_CREDS:
		return exercise_exec();
	case HOOK_THREAD:
		return exercise_thread();
	case HOOK_CREDENTIALS:
		return exercise_in_child(lower_credentials);
	case HOOK_NAMESPACE:
		return exercise_in_child(new_namespace);
	case HOOK_SESSION:
		return exercise_in_child(new_session);
	case HOOK_PTRACE:
		return exercise_in_child(be_traced);
	case HOOK_VM_ACCESS:
		return exercise_on_child(true);
	case HOOK_SIGNAL:
		return exercise_on_child(false);
	default:
		return -EOPNOTSUPP;
	}
}

extern const struct bpf_image image_process;

const struct sensor sensor_process = {
	.name = "process",
	.summary = "how processes begin, what they become, what they may do, whom they touch, how they end",
	.byte = EV_PROCESS,
	.kinds = kinds,
	.n_kinds = countof(kinds),
	.hooks = hooks,
	.n_hooks = countof(hooks),
	.options = options,
	.n_options = countof(options),
	.options_size = sizeof(struct process_options),
	.image = &image_process,
	.prepare = process_prepare,
	.exercise = process_exercise,
};
