/* SPDX-License-Identifier: Apache-2.0 */
/* Processes that the test starts in its sandbox, as the sensor recorded them. */
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>
#include "base/err.h"
#include "base/mem.h"
#include "base/test.h"
#include "config/option.h"
#include "sensors/process/process.event.h"
#include "sensors/process/process.map.h"
#include "tests/sandbox/observe.h"

extern const struct sensor sensor_process;

enum { NOBODY = 65534, VARIANTS = 3 };

/* What the one who acts tells the test. */
struct told {
	pid_t pid, other;
	int status;
	unsigned uts, users;
};
static struct told *told;

static bool tell(void)
{
	if (!told)
		told = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	*told = (struct told) { 0 };
	return told != MAP_FAILED;
}

/*
 * The options as YAML would set them: without the observations that a test does not look at, for the kernel takes
 * long to detach from system calls, and with one option set.
 */
static const void *only(const char *name, const char *value)
{
	static const char *const others[] = { "credentials", "namespaces", "sessions", "ptrace", "memory_access" };
	static char options[4096] __attribute__((aligned(8)));
	bool known = false;

	options_clear(sensor_process.options, sensor_process.n_options, options);
	memset(options, 0, sizeof(options));
	if (option_defaults(sensor_process.options, sensor_process.n_options, options) < 0)
		test_fail(T_HERE, "%s", err_trail());
	for (size_t i = 0; i < sensor_process.n_options; i++) {
		const struct option *row = &sensor_process.options[i];
		bool named = name && !strcmp(row->name, name);
		int r = 0;

		for (size_t k = 0; k < countof(others); k++)
			if (!strcmp(row->name, others[k]))
				r = option_set(row, "false", options);
		if (r == 0 && named)
			r = row->type == OPT_STRS ? option_set_list(row, &value, 1, options)
						  : option_set(row, value, options);
		if (r < 0)
			test_fail(T_HERE, "%s", err_trail());
		known |= named;
	}
	check(known || !name);
	return options;
}

static const void *of_pid(const struct observer *ob, __u16 id, pid_t pid)
{
	for (size_t i = 0; i < ob->n; i++)
		if (ob->records[i]->id == id && ob->records[i]->pid == (__u32)pid)
			return ob->records[i];
	return NULL;
}

static size_t count_of_pid(const struct observer *ob, __u16 id, pid_t pid)
{
	size_t n = 0;

	for (size_t i = 0; i < ob->n; i++)
		n += ob->records[i]->id == id && ob->records[i]->pid == (__u32)pid;
	return n;
}

static bool copy_to_fd(const char *from, int to)
{
	auto_close int fd = open(from, O_RDONLY | O_CLOEXEC);
	char bytes[65536];
	ssize_t n;

	while (fd >= 0 && (n = read(fd, bytes, sizeof(bytes))) > 0)
		if (write(to, bytes, (size_t)n) != n)
			return false;
	return fd >= 0;
}

/* A program in the sandbox's folder that nobody may reach by name elsewhere. */
static bool program_at(char *ret_path, size_t size, const struct sandbox *sb, const char *name, mode_t mode)
{
	auto_close int fd = -1;

	(void)snprintf(ret_path, size, "%s/%s", sb->dir, name);
	fd = open(ret_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
	return fd >= 0 && copy_to_fd("/bin/true", fd) && !fchmod(fd, mode) && !chmod(sb->dir, 0755);
}

/* ---- exec and exit --------------------------------------------------------------------------------- */

static int exec_sh(const struct sandbox *sb, void *arg)
{
	(void)arg;
	if (chdir(sb->dir))
		return 99;
	(void)execl("/bin/sh", "sh", "-c", "exit 7", "extra", NULL);
	return 98;
}

TEST(exec_and_exit_are_recorded)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };
	const struct ev_exec *exec;
	const struct ev_exit *exit;
	struct stat st;

	if (!sandbox_open(&sb, SANDBOX_PLAIN) || !observe_open(&ob, &sb, &sensor_process, only(NULL, NULL)))
		return;
	check_int(sandbox_run(&sb, exec_sh, NULL), 7);
	observe_drain(&ob);
	observe_check_books(&ob);

	exec = observe_find(&ob, EV_EXEC, 0);
	require(exec != NULL);
	check_str(observe_str(exec, exec->filename), "/bin/sh");
	check_has(observe_str(exec, exec->exe), "/bin/");
	check_str(observe_str(exec, exec->cwd), sb.dir);
	check_int(exec->argc, 4);
	check_int(exec->args.len, strlen("sh -c exit 7 extra"));
	check(!memcmp(observe_str(exec, exec->args), "sh\0-c\0exit 7\0extra", exec->args.len + 1U));
	check_int(exec->head.uid, getuid());
	check_int(exec->head.flags & EV_F_TRUNCATED, 0);
	require(!stat("/bin/sh", &st));
	check_int(exec->inode, st.st_ino);
	check_int(exec->mode, st.st_mode);
	check_int(exec->file_uid, st.st_uid);
	check_int(exec->traits, 0);
	check_int(exec->sid, getsid(0));
	check_int(exec->pgid, getpgid(0));
	check_int(exec->euid, geteuid());
	check_int(exec->old_euid, geteuid());
	check_int(exec->cap_gained, 0);
	check_int(exec->from_tid, 0);
	check(!stat("/proc/self/ns/mnt", &st) && exec->mntns == st.st_ino);
	check(!stat("/proc/self/ns/pid", &st) && exec->pidns == st.st_ino);

	exit = observe_find(&ob, EV_EXIT, 0);
	require(exit != NULL);
	check_int(exit->code, 7);
	check_int(exit->signal, 0);
	check_int(exit->core_dumped, 0);
	check_int(exit->head.pid, exec->head.pid);
	check(exit->head.start_ns == exec->head.start_ns);
	check(exit->run_ns > 0 && exit->run_ns < 60000000000ULL);
}

TEST(what_others_do_leaves_no_record)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };

	if (!sandbox_open(&sb, SANDBOX_PLAIN) || !observe_open(&ob, &sb, &sensor_process, only(NULL, NULL)))
		return;
	check_int(outside_run(&sb, exec_sh, NULL), 7);
	observe_drain(&ob);
	check_int(ob.n, 0);
}

struct args_row {
	const char *name;
	char *argv[4];
	int n;
	__u32 argc;
	unsigned len; /* of the list as recorded */
	bool truncated;
};

static int exec_args(const struct sandbox *sb, void *arg)
{
	struct args_row *row = arg;
	static char *const empty[] = { NULL };

	(void)sb;
	/* Where /bin/true is one of many names of one program, that complains of names that it does not know. */
	(void)close(STDERR_FILENO);
	(void)execve("/bin/true", row->n ? row->argv : empty, empty);
	return 98;
}

TEST(arguments_are_kept_up_to_the_bound_and_counted_beyond)
{
	static char a[] = "a", none[] = "", raw[] = "\xff\xfe\x01\xc3(";
	static char x61[62], x62[63]; /* with "a" and the NULs: 64 and 65 bytes */
	static struct args_row rows[] = {
		{ "exactly the bound", { a, x61 }, 2, 2, 63, false },
		{ "one more", { a, x62 }, 2, 2, 64, true },
		{ "the last one cut off whole", { a, x61, a }, 3, 3, 63, true },
		{ "empty strings", { none, none, a }, 3, 3, 3, false },
		{ "none at all: the kernel adds an empty one", { NULL }, 0, 1, 0, false },
		{ "not UTF-8", { a, raw }, 2, 2, 7, false },
	};

	memset(x61, 'x', 61);
	memset(x62, 'x', 62);
	for_each_row (row, rows) {
		auto_sandbox struct sandbox sb = { 0 };
		auto_observer struct observer ob = { 0 };
		const struct ev_exec *e;

		if (!sandbox_open(&sb, SANDBOX_PLAIN) ||
		    !observe_open(&ob, &sb, &sensor_process, only("args_max", "64")))
			return;
		check(sandbox_run(&sb, exec_args, row) != 98);
		observe_drain(&ob);
		e = observe_find(&ob, EV_EXEC, 0);
		require(e != NULL);
		check_int(e->argc, row->argc);
		check(e->args.off != 0);
		check_int(e->args.len, row->len);
		check_int(!!(e->head.flags & EV_F_TRUNCATED), row->truncated);
		if (row->argv[1] == raw)
			check(!memcmp(observe_str(e, e->args), "a\0\xff\xfe\x01\xc3(", 8));
	}
}

static int exec_script(const struct sandbox *sb, void *arg)
{
	static const char text[] = "#!/bin/sh\nexit 4\n";
	auto_close int fd = -1;

	(void)arg;
	if (chdir(sb->dir) || (fd = open("script", O_WRONLY | O_CREAT | O_CLOEXEC, 0700)) < 0 ||
	    write(fd, text, sizeof(text) - 1) != sizeof(text) - 1)
		return 99;
	fd_closep(&fd);
	(void)execl("./script", "script", "one", NULL);
	return 98;
}

TEST(a_script_names_itself_and_its_interpreter)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };
	const struct ev_exec *e;

	if (!sandbox_open(&sb, SANDBOX_PLAIN) || !observe_open(&ob, &sb, &sensor_process, only(NULL, NULL)))
		return;
	check_int(sandbox_run(&sb, exec_script, NULL), 4);
	observe_drain(&ob);
	observe_check_books(&ob);
	check_int(observe_count(&ob, EV_EXEC), 1);
	e = observe_find(&ob, EV_EXEC, 0);
	require(e != NULL);
	check_str(observe_str(e, e->filename), "./script");
	check_str(observe_str(e, e->interp), "/bin/sh");
	check_has(observe_str(e, e->exe), "/bin/");
	check_int(e->argc, 3);
	check(!memcmp(observe_str(e, e->args), "/bin/sh\0./script\0one", 21));
}

/* How the file that runs is held. */
enum held { HELD_MEMFD, HELD_DELETED, HELD_NAMED_MEMFD };

static int exec_held(const struct sandbox *sb, void *arg)
{
	enum held how = *(enum held *)arg;
	static char name[] = "true";
	char *const argv[] = { name, NULL }, *const envp[] = { NULL };
	char path[PATH_MAX];
	int fd;

	if (how == HELD_MEMFD) {
		fd = memfd_create("payload", MFD_CLOEXEC);
		if (fd < 0 || !copy_to_fd("/bin/true", fd))
			return 99;
	} else {
		if (!program_at(path, sizeof(path), sb, how == HELD_DELETED ? "gone" : "memfd:fake", 0755))
			return 99;
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (how == HELD_DELETED && unlink(path))
			return 97;
	}
	(void)fexecve(fd, argv, envp);
	return 98;
}

TEST(a_file_without_a_name_is_told)
{
	static struct {
		const char *name;
		enum held how;
		__u16 traits;
		const char *exe;
	} rows[] = {
		{ "memfd", HELD_MEMFD, EXEC_MEMFD, "memfd:payload" },
		{ "deleted", HELD_DELETED, EXEC_DELETED, "/gone" },
		{ "a file that only calls itself memfd", HELD_NAMED_MEMFD, 0, "/memfd:fake" },
	};

	for_each_row (row, rows) {
		auto_sandbox struct sandbox sb = { 0 };
		auto_observer struct observer ob = { 0 };
		const struct ev_exec *e;

		if (!sandbox_open(&sb, SANDBOX_PLAIN) || !observe_open(&ob, &sb, &sensor_process, only(NULL, NULL)))
			return;
		check_int(sandbox_run(&sb, exec_held, &row->how), 0);
		observe_drain(&ob);
		observe_check_books(&ob);
		e = observe_find(&ob, EV_EXEC, 0);
		require(e != NULL);
		check_int(e->traits, row->traits);
		check_has(observe_str(e, e->exe), row->exe);
		check_has(observe_str(e, e->filename), "/dev/fd/");
	}
}

static int exec_as_nobody(const struct sandbox *sb, void *arg)
{
	(void)sb;
	if (syscall(SYS_setresgid, NOBODY, NOBODY, NOBODY) || syscall(SYS_setresuid, NOBODY, NOBODY, NOBODY))
		return 99;
	(void)execl(arg, "true", NULL);
	return 98;
}

TEST(an_exec_that_gains_rights_is_told)
{
	enum { NET_RAW = 13 };
	struct vfs_cap_data caps = {
		.magic_etc = VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE,
		.data[0].permitted = 1U << NET_RAW,
	};
	static struct {
		const char *name;
		mode_t mode;
		bool caps;
		__u16 traits;
		__u32 euid;
	} rows[] = {
		{ "plain", 0755, false, 0, NOBODY },
		{ "setuid root", 04755, false, EXEC_SETUID | EXEC_PRIVILEGED, 0 },
		{ "setgid root", 02755, false, EXEC_SETGID | EXEC_PRIVILEGED, NOBODY },
		{ "file capabilities", 0755, true, EXEC_PRIVILEGED, NOBODY },
	};

	for_each_row (row, rows) {
		auto_sandbox struct sandbox sb = { 0 };
		auto_observer struct observer ob = { 0 };
		char path[PATH_MAX];
		const struct ev_exec *e;

		if (!sandbox_open(&sb, SANDBOX_PLAIN) || !observe_open(&ob, &sb, &sensor_process, only(NULL, NULL)))
			return;
		require(program_at(path, sizeof(path), &sb, "gain", row->mode));
		require(!row->caps || !setxattr(path, "security.capability", &caps, XATTR_CAPS_SZ_2, 0));
		check_int(sandbox_run(&sb, exec_as_nobody, path), 0);
		observe_drain(&ob);
		observe_check_books(&ob);
		e = observe_find(&ob, EV_EXEC, 0);
		require(e != NULL);
		check_int(e->traits, row->traits);
		check_int(e->old_euid, NOBODY);
		check_int(e->euid, row->euid);
		check_int(e->head.uid, NOBODY);
		check_int(e->old_egid, NOBODY);
		check_int(e->egid, row->mode & 02000 ? 0 : NOBODY);
		check_int(e->cap_gained != 0, row->caps || row->mode & 04000);
		if (row->caps)
			check_int(e->cap_gained, 1 << NET_RAW);
	}
}

TEST(old_credentials_are_known_by_each_variant)
{
	unsigned tried = 0;

	for (unsigned v = 0; v < VARIANTS; v++) {
		auto_sandbox struct sandbox sb = { 0 };
		auto_observer struct observer ob = { 0 };
		char path[PATH_MAX];
		const struct ev_exec *e;

		if (!sandbox_open(&sb, SANDBOX_PLAIN))
			return;
		if (!observe_open_variant(&ob, &sb, &sensor_process, only(NULL, NULL), "exec-credentials", v))
			continue;
		tried++;
		require(program_at(path, sizeof(path), &sb, "gain", 04755));
		check_int(sandbox_run(&sb, exec_as_nobody, path), 0);
		observe_drain(&ob);
		e = observe_find(&ob, EV_EXEC, 0);
		require(e != NULL);
		check_int(e->old_euid, NOBODY);
		check_int(e->euid, 0);
	}
	check(tried > 0);
}

static void *exec_in_thread(void *arg)
{
	(void)execl("/bin/true", "true", NULL);
	return arg;
}

static void *sleep_in_thread(void *arg)
{
	(void)pause();
	return arg;
}

static int thread_execs(const struct sandbox *sb, void *arg)
{
	pthread_t a, b;

	(void)sb;
	(void)arg;
	told->pid = getpid();
	if (pthread_create(&a, NULL, sleep_in_thread, NULL) || pthread_create(&b, NULL, exec_in_thread, NULL))
		return 99;
	(void)pause();
	return 98;
}

TEST(an_exec_by_a_thread_keeps_the_identity_of_its_process)
{
	unsigned tried = 0;

	for (unsigned v = 0; v < VARIANTS; v++) {
		auto_sandbox struct sandbox sb = { 0 };
		auto_observer struct observer ob = { 0 };
		const struct ev_exec *e;
		const struct ev_exit *x;

		if (!tell() || !sandbox_open(&sb, SANDBOX_PLAIN))
			return;
		if (!observe_open_variant(&ob, &sb, &sensor_process, only(NULL, NULL), "exec-credentials", v))
			continue;
		tried++;
		check_int(sandbox_run(&sb, thread_execs, NULL), 0);
		observe_drain(&ob);
		observe_check_books(&ob);
		check_int(observe_count(&ob, EV_EXEC), 1);
		check_int(observe_count(&ob, EV_EXIT), 1);
		e = observe_find(&ob, EV_EXEC, 0);
		x = observe_find(&ob, EV_EXIT, 0);
		require(e != NULL && x != NULL);
		check_int(e->head.pid, told->pid);
		check_int(e->head.tid, told->pid);
		check(e->from_tid != 0 && e->from_tid != e->head.pid);
		check(e->head.start_ns == x->head.start_ns && e->head.start_ns < e->head.time_ns);
		check_int(e->old_euid, geteuid());
	}
	check(tried > 0);
}

/* ---- exit: each way to end, compared with what wait() says ------------------------------------------ */

static void *exit_group_in_thread(void *arg)
{
	_exit(9);
	return arg;
}

static void *exit_late_in_thread(void *arg)
{
	(void)arg;
	(void)usleep(20000);
	(void)syscall(SYS_exit, 5);
	return NULL;
}

static void end_group(void)
{
	pthread_t t;

	(void)pthread_create(&t, NULL, sleep_in_thread, NULL);
	(void)pthread_create(&t, NULL, exit_group_in_thread, NULL);
	(void)pause();
}

static void end_first_thread_first(void)
{
	pthread_t t;

	(void)pthread_create(&t, NULL, exit_late_in_thread, NULL);
	(void)syscall(SYS_exit, 3);
}

static void end_all_at_once(void)
{
	pthread_t t;

	for (int i = 0; i < 8; i++)
		(void)pthread_create(&t, NULL, exit_late_in_thread, NULL);
	(void)usleep(20000);
	(void)syscall(SYS_exit, 3);
}

static void end_killed(void)
{
	(void)raise(SIGKILL);
}

static void end_aborted(void)
{
	struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };

	(void)setrlimit(RLIMIT_CORE, &all);
	(void)signal(SIGABRT, SIG_DFL);
	(void)raise(SIGABRT);
}

static void end_with_0(void)
{
	_exit(0);
}

static int end_in_child(const struct sandbox *sb, void *arg)
{
	void (*end)(void) = *(void (**)(void))arg;
	pid_t pid;

	if (chdir(sb->dir))
		return 99;
	pid = fork();
	if (pid == 0) {
		end();
		for (;;)
			(void)pause();
	}
	told->pid = pid;
	return waitpid(pid, &told->status, 0) == pid ? 0 : 97;
}

TEST(an_exit_says_what_wait_will)
{
	enum { ANY = 256 };
	static struct {
		const char *name;
		void (*end)(void);
		unsigned code, signal;
	} rows[] = {
		{ "code 0", end_with_0, 0, 0 },
		{ "a thread ends the group", end_group, 9, 0 },
		{ "the first thread ends before the last", end_first_thread_first, 5, 0 },
		{ "nine threads end at once", end_all_at_once, ANY, 0 },
		{ "kill -9", end_killed, 0, SIGKILL },
		{ "abort", end_aborted, 0, SIGABRT },
	};

	for_each_row (row, rows) {
		auto_sandbox struct sandbox sb = { 0 };
		auto_observer struct observer ob = { 0 };
		const struct ev_exit *e;

		if (!tell() || !sandbox_open(&sb, SANDBOX_PLAIN) ||
		    !observe_open(&ob, &sb, &sensor_process, only(NULL, NULL)))
			return;
		check_int(sandbox_run(&sb, end_in_child, &row->end), 0);
		observe_drain(&ob);
		observe_check_books(&ob);
		check_int(count_of_pid(&ob, EV_EXIT, told->pid), 1);
		e = of_pid(&ob, EV_EXIT, told->pid);
		require(e != NULL);
		check_int(e->code, row->code == ANY ? e->code : row->code);
		check_int(e->signal, row->signal);
		check_int(e->code, WIFEXITED(told->status) ? WEXITSTATUS(told->status) : 0);
		check_int(e->signal, WIFSIGNALED(told->status) ? WTERMSIG(told->status) : 0);
		check_int(e->core_dumped, WIFSIGNALED(told->status) && WCOREDUMP(told->status));
	}
}

static int use_memory(const struct sandbox *sb, void *arg)
{
	size_t size = 64 << 20;
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct rusage ru;

	(void)sb;
	(void)arg;
	if (p == MAP_FAILED)
		return 99;
	memset(p, 1, size);
	if (munmap(p, size) || getrusage(RUSAGE_SELF, &ru))
		return 98;
	told->other = (pid_t)ru.ru_maxrss;
	return 0;
}

TEST(the_most_memory_is_in_bytes_and_remembers_what_was_freed)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };
	const struct ev_exit *e;

	if (!tell() || !sandbox_open(&sb, SANDBOX_PLAIN) || !observe_open(&ob, &sb, &sensor_process, only(NULL, NULL)))
		return;
	check_int(sandbox_run(&sb, use_memory, NULL), 0);
	observe_drain(&ob);
	e = observe_find(&ob, EV_EXIT, 0);
	require(e != NULL);
	check(e->max_rss_bytes >= 64ULL << 20);
	/* The kernel counts pages of a CPU in batches, so two looks may differ a little. */
	check(llabs((long long)e->max_rss_bytes - (long long)told->other * 1024) < 4 << 20);
}

/* ---- fork ------------------------------------------------------------------------------------------- */

static pid_t clone_with(unsigned long flags)
{
#if defined(__x86_64__)
	return (pid_t)syscall(SYS_clone, flags | SIGCHLD, NULL, NULL, NULL, 0UL);
#else
	return (pid_t)syscall(SYS_clone, flags | SIGCHLD, NULL, NULL, 0UL, NULL);
#endif
}

static int clone_into_namespaces(const struct sandbox *sb, void *arg)
{
	pid_t pid;

	(void)sb;
	(void)arg;
	told->other = getpid();
	pid = clone_with(CLONE_NEWPID | CLONE_NEWUTS);
	if (pid == 0)
		_exit(getpid() == 1 ? 0 : 1);
	told->pid = pid;
	return waitpid(pid, &told->status, 0) == pid ? WEXITSTATUS(told->status) : 97;
}

TEST(fork_is_recorded_by_each_variant)
{
	unsigned tried = 0;

	for (unsigned v = 0; v < VARIANTS; v++) {
		auto_sandbox struct sandbox sb = { 0 };
		auto_observer struct observer ob = { 0 };
		const struct ev_namespace *n;
		const struct ev_exit *x;
		const struct ev_fork *e;

		if (!tell() || !sandbox_open(&sb, SANDBOX_PLAIN))
			return;
		if (!observe_open_variant(&ob, &sb, &sensor_process, only("namespaces", "true"), "fork", v))
			continue;
		tried++;
		check_int(sandbox_run(&sb, clone_into_namespaces, NULL), 0);
		observe_drain(&ob);
		observe_check_books(&ob);
		e = of_pid(&ob, EV_FORK, told->other);
		x = of_pid(&ob, EV_EXIT, told->pid);
		require(e != NULL && x != NULL);
		check_int(e->child_pid, told->pid);
		check_int(e->child_ns_pid, 1);
		check_int(e->parent_pid, told->other);
		check(e->parent_start_ns == e->head.start_ns);
		check_int(e->clone_flags & (CLONE_NEWPID | CLONE_NEWUTS), v ? 0 : CLONE_NEWPID | CLONE_NEWUTS);
		check(e->child_start_ns == x->head.start_ns);
		check_int(x->head.ns_pid, 1);
		check_int(e->child_cgroup_id, e->head.cgroup_id);

		n = of_pid(&ob, EV_NAMESPACE, told->other);
		require(n != NULL);
		check_int(n->how, NAMESPACE_CLONE);
		check_int(n->changed, NAMESPACE_PID | NAMESPACE_UTS);
		check_int(n->subject_pid, told->pid);
		check(n->subject_start_ns == e->child_start_ns);
	}
	check_int(tried, 2);
}

static void *do_nothing(void *arg)
{
	return arg;
}

static int make_thread(const struct sandbox *sb, void *arg)
{
	pthread_t t;

	(void)sb;
	(void)arg;
	return pthread_create(&t, NULL, do_nothing, NULL) || pthread_join(t, NULL) ? 99 : 0;
}

TEST(threads_are_no_processes_and_recorded_only_when_asked_for)
{
	static struct {
		const char *name, *value;
		size_t threads;
	} rows[] = { { "off", "false", 0 }, { "on", "true", 1 } };

	for_each_row (row, rows) {
		auto_sandbox struct sandbox sb = { 0 };
		auto_observer struct observer ob = { 0 };

		if (!sandbox_open(&sb, SANDBOX_PLAIN) ||
		    !observe_open(&ob, &sb, &sensor_process, only("threads", row->value)))
			return;
		check_int(sandbox_run(&sb, make_thread, NULL), 0);
		observe_drain(&ob);
		check_int(observe_count(&ob, EV_FORK), 0);
		check_int(observe_count(&ob, EV_EXIT), 1);
		check_int(observe_count(&ob, EV_THREAD), row->threads);
	}
}

enum { PAIRS = 100 };

/* Ends when told to. */
static int end_at_once(void *arg)
{
	while (!*(volatile int *)arg)
		;
	return 0;
}

/*
 * The first thread is on its way out, with a list of locks to look through (a node that leads to itself, which
 * the kernel follows for as long as it follows any), while the other one goes.
 */
static _Noreturn void end_together(void)
{
	static char stack[64 << 10] __attribute__((aligned(16)));
	static struct robust_list node = { &node };
	static struct robust_list_head locks = { .list = { &node }, .futex_offset = 0 };
	static volatile int go;

	if (clone(end_at_once, stack + sizeof(stack),
		  CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM, (void *)&go) < 0 ||
	    syscall(SYS_set_robust_list, &locks, sizeof(locks)))
		_exit(99);
	(void)usleep(200); /* until it runs */
	go = 1;
	syscall(SYS_exit, 0);
	_exit(99);
}

static int make_pairs(const struct sandbox *sb, void *arg)
{
	int status;

	(void)sb;
	(void)arg;
	for (int i = 0; i < PAIRS; i++) {
		pid_t pid = fork();

		if (pid == 0)
			end_together();
		if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
			return 1;
	}
	return 0;
}

TEST(a_process_whose_threads_end_together_ends_once)
{
	unsigned tried = 0;

	for (unsigned variant = 0; variant < 2; variant++) {
		auto_sandbox struct sandbox sb = { 0 };
		auto_observer struct observer ob = { 0 };

		if (!sandbox_open(&sb, SANDBOX_PLAIN))
			return;
		if (!observe_open_variant(&ob, &sb, &sensor_process, only(NULL, NULL), "exit", variant))
			continue;
		tried++;
		check_int(sandbox_run(&sb, make_pairs, NULL), 0);
		observe_drain(&ob);
		check_int(observe_count(&ob, EV_EXIT), PAIRS + 1);
	}
	check(tried > 0);
}

/* An emulated processor takes 30 ms for each. */
static int burst_size(void)
{
	return getenv("GUEST_LABEL") ? 500 : 10000;
}

static int make_burst(const struct sandbox *sb, void *arg)
{
	static char name[] = "true";
	char *const argv[] = { name, NULL }, *const envp[] = { NULL };
	const int n = burst_size();
	int status, bad = 0;
	pid_t pid;

	(void)sb;
	(void)arg;
	for (int i = 0; i < n; i++)
		bad += posix_spawn(&pid, "/bin/true", NULL, NULL, argv, envp) || waitpid(pid, &status, 0) != pid ||
		       status;
	return bad ? 1 : 0;
}

static int by_identity(const void *a, const void *b)
{
	const struct ev_head *x = *(struct ev_head *const *)a, *y = *(struct ev_head *const *)b;

	if (x->pid != y->pid)
		return x->pid < y->pid ? -1 : 1;
	if (x->start_ns != y->start_ns)
		return x->start_ns < y->start_ns ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

TEST(of_a_burst_of_processes_none_is_missing)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };
	const int n = burst_size();
	size_t pairs = 0;
	int status = -1;
	pid_t pid;

	if (!sandbox_open(&sb, SANDBOX_PLAIN) || !observe_open(&ob, &sb, &sensor_process, only(NULL, NULL)))
		return;
	pid = sandbox_spawn(&sb, make_burst, NULL);
	while (pid > 0 && waitpid(pid, &status, WNOHANG) == 0) {
		observe_drain(&ob);
		(void)usleep(20000);
	}
	check_int(status, 0);
	observe_drain(&ob);
	observe_check_books(&ob);
	check_int(observe_count(&ob, EV_FORK), n);
	check_int(observe_count(&ob, EV_EXEC), n);
	check_int(observe_count(&ob, EV_EXIT), n + 1);

	/* Pids may be used again: with the start time each is one process, that ran one program and ended once. */
	qsort(ob.records, ob.n, sizeof(*ob.records), by_identity);
	for (size_t i = 0; i + 1 < ob.n; i++) {
		const struct ev_head *exec = ob.records[i], *exit = ob.records[i + 1];

		pairs += exec->id == EV_EXEC && exit->id == EV_EXIT && exec->pid == exit->pid &&
			 exec->start_ns == exit->start_ns;
	}
	check_int(pairs, n);
}

/* ---- credentials ---------------------------------------------------------------------------------------- */

static int change_nothing(void)
{
	return syscall(SYS_setresuid, -1, -1, -1) || syscall(SYS_setgid, getgid());
}

static int change_user(void)
{
	return (int)syscall(SYS_setresuid, -1, NOBODY, -1);
}

static int change_group(void)
{
	return (int)syscall(SYS_setregid, -1, NOBODY);
}

static int drop_boot(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct caps[2];

	if (syscall(SYS_capget, &head, caps))
		return 99;
	caps[0].effective &= ~(1U << CAP_SYS_BOOT);
	return (int)syscall(SYS_capset, &head, caps);
}

static int enter_userns(void)
{
	return (int)syscall(SYS_unshare, CLONE_NEWUSER);
}

static int call(const struct sandbox *sb, void *arg)
{
	int (*act)(void) = *(int (**)(void))arg;

	(void)sb;
	told->pid = getpid();
	return act() ? 99 : 0;
}

TEST(changes_of_credentials_are_recorded_by_each_variant)
{
	static struct {
		const char *name;
		int (*act)(void);
		__u16 kind;
	} rows[] = {
		{ "nothing", change_nothing, 0 },
		{ "effective user", change_user, EV_UID_CHANGE },
		{ "effective group", change_group, EV_GID_CHANGE },
		{ "capability", drop_boot, EV_CAP_CHANGE },
		{ "user namespace", enter_userns, EV_CAP_CHANGE },
	};
	unsigned tried = 0;

	for (unsigned v = 0; v < VARIANTS; v++) {
		auto_sandbox struct sandbox sb = { 0 };
		auto_observer struct observer ob = { 0 };
		size_t records = 0;

		if (!tell() || !sandbox_open(&sb, SANDBOX_PLAIN))
			return;
		if (!observe_open_variant(&ob, &sb, &sensor_process, only("credentials", "true"), "credentials", v))
			continue;
		tried++;
		for_each_row (row, rows) {
			const struct ev_creds *e;

			check_int(sandbox_run(&sb, call, &row->act), 0);
			observe_drain(&ob);
			records += row->kind != 0;
			check_int(observe_count(&ob, EV_UID_CHANGE) + observe_count(&ob, EV_GID_CHANGE) +
					  observe_count(&ob, EV_CAP_CHANGE),
				  records);
			if (!row->kind)
				continue;
			e = of_pid(&ob, row->kind, told->pid);
			require(e != NULL);
			check_int(e->from.euid, 0);
			check_int(e->to.euid, row->act == change_user ? NOBODY : 0);
			check_int(e->to.uid, 0);
			check_int(e->head.uid, 0);
			check_int(e->to.egid, row->act == change_group ? NOBODY : 0);
			check_int(e->to.userns != e->from.userns, row->act == enter_userns);
			if (row->act == drop_boot) {
				check(e->lost == 1ULL << CAP_SYS_BOOT && !e->gained);
				check(e->to.permitted == e->from.permitted);
			}
			if (row->act == change_user)
				check(e->from.effective && !e->to.effective && e->lost == e->from.effective);
		}
		observe_check_books(&ob);
	}
	check(tried > 0);
}

/* ---- namespaces -------------------------------------------------------------------------------------------- */

static int unshare_and_return(void)
{
	auto_close int uts = open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC);

	return uts < 0 || unshare(CLONE_NEWUTS | CLONE_NEWIPC) || setns(uts, CLONE_NEWUTS);
}

TEST(namespaces_are_recorded_by_each_variant)
{
	int (*act)(void) = unshare_and_return, (*user)(void) = enter_userns;
	unsigned tried = 0;

	for (unsigned v = 0; v < VARIANTS; v++) {
		auto_sandbox struct sandbox sb = { 0 };
		auto_observer struct observer ob = { 0 };
		const struct ev_namespace *e;

		if (!tell() || !sandbox_open(&sb, SANDBOX_PLAIN))
			return;
		if (!observe_open_variant(&ob, &sb, &sensor_process, only("namespaces", "true"), "namespace", v))
			continue;
		tried++;
		check_int(sandbox_run(&sb, call, &act), 0);
		check_int(sandbox_run(&sb, call, &user), 0);
		observe_drain(&ob);
		observe_check_books(&ob);
		check_int(observe_count(&ob, EV_NAMESPACE), 3);
		e = observe_find(&ob, EV_NAMESPACE, 0);
		require(e != NULL);
		check_int(e->how, NAMESPACE_UNSHARE);
		check_int(e->changed, NAMESPACE_UTS | NAMESPACE_IPC);
		check_int(e->subject_pid, e->head.pid);
		check(e->subject_start_ns == e->head.start_ns);
		check(e->from.uts != e->to.uts && e->from.mnt == e->to.mnt && e->from.mnt);
		e = observe_find(&ob, EV_NAMESPACE, 1);
		require(e != NULL);
		check_int(e->how, NAMESPACE_SETNS);
		check_int(e->changed, NAMESPACE_UTS);
		e = observe_find(&ob, EV_NAMESPACE, 2);
		require(e != NULL);
		check_int(e->how, NAMESPACE_UNSHARE);
		check_int(e->changed, NAMESPACE_USER);
	}
	check(tried > 0);
}

static int new_session(void)
{
	return setsid() < 0;
}

TEST(sessions_are_recorded_by_each_variant)
{
	int (*act)(void) = new_session;
	unsigned tried = 0;

	for (unsigned v = 0; v < VARIANTS; v++) {
		auto_sandbox struct sandbox sb = { 0 };
		auto_observer struct observer ob = { 0 };
		const struct ev_session *e;

		if (!tell() || !sandbox_open(&sb, SANDBOX_PLAIN))
			return;
		if (!observe_open_variant(&ob, &sb, &sensor_process, only("sessions", "true"), "session", v))
			continue;
		tried++;
		check_int(sandbox_run(&sb, call, &act), 0);
		observe_drain(&ob);
		observe_check_books(&ob);
		e = observe_find(&ob, EV_SESSION, 0);
		require(e != NULL);
		check_int(e->sid, told->pid);
		check_int(e->head.pid, told->pid);
	}
	check(tried > 0);
}

/* ---- one process and another ------------------------------------------------------------------------------------ */

static pid_t make_victim(void)
{
	pid_t pid = fork();

	if (pid == 0)
		for (;;)
			(void)pause();
	told->other = pid;
	return pid;
}

static int end_victim(pid_t pid)
{
	int status;

	(void)kill(pid, SIGKILL);
	return waitpid(pid, &status, 0) == pid ? 0 : 97;
}

static int attach(void)
{
	pid_t victim = make_victim();

	if (ptrace(PTRACE_SEIZE, victim, NULL, NULL))
		return 99;
	return end_victim(victim);
}

static int traceme(void)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(ptrace(PTRACE_TRACEME, 0, NULL, NULL) ? 1 : 0);
	told->other = pid;
	return waitpid(pid, &status, 0) != pid || status != 0;
}

TEST(tracing_is_recorded_by_each_variant)
{
	int (*act)(void) = attach, (*me)(void) = traceme;
	unsigned tried = 0;

	for (unsigned v = 0; v < VARIANTS; v++) {
		auto_sandbox struct sandbox sb = { 0 };
		auto_observer struct observer ob = { 0 };
		const struct ev_access *e;
		const struct ev_exit *x;

		if (!tell() || !sandbox_open(&sb, SANDBOX_PLAIN))
			return;
		if (!observe_open_variant(&ob, &sb, &sensor_process, only("ptrace", "true"), "ptrace", v))
			continue;
		tried++;
		check_int(sandbox_run(&sb, call, &act), 0);
		observe_drain(&ob);
		observe_check_books(&ob);
		check_int(observe_count(&ob, EV_PTRACE), 1);
		check_int(observe_count(&ob, EV_VM_ACCESS), 0);
		e = of_pid(&ob, EV_PTRACE, told->pid);
		x = of_pid(&ob, EV_EXIT, told->other);
		require(e != NULL && x != NULL);
		check_int(e->operation, ACCESS_ATTACH);
		check_int(e->target_pid, told->other);
		check_int(e->target_tid, told->other);
		check_int(e->target_ns_pid, told->other);
		check(e->target_start_ns == x->head.start_ns);
		check_int(e->error, 0);
		check_str(e->target_comm, e->head.comm);

		check_int(sandbox_run(&sb, call, &me), 0);
		observe_drain(&ob);
		e = of_pid(&ob, EV_PTRACE, told->other);
		require(e != NULL);
		check_int(e->operation, ACCESS_TRACEME);
		check_int(e->target_pid, told->pid);
	}
	check(tried > 0);
}

static int read_and_write_memory(void)
{
	static char theirs = 1;
	char ours = 0;
	struct iovec a = { &ours, 1 }, b = { &theirs, 1 };
	pid_t victim = make_victim();

	if (process_vm_readv(victim, &a, 1, &b, 1, 0) != 1 || process_vm_writev(victim, &a, 1, &b, 1, 0) != 1 ||
	    process_vm_readv(getpid(), &a, 1, &b, 1, 0) != 1)
		return 99;
	return end_victim(victim);
}

TEST(memory_access_is_recorded_by_each_variant)
{
	int (*act)(void) = read_and_write_memory;
	unsigned tried = 0;

	for (unsigned v = 0; v < VARIANTS; v++) {
		auto_sandbox struct sandbox sb = { 0 };
		auto_observer struct observer ob = { 0 };
		const struct ev_access *e;

		if (!tell() || !sandbox_open(&sb, SANDBOX_PLAIN))
			return;
		if (!observe_open_variant(&ob, &sb, &sensor_process, only("memory_access", "true"), "memory-access", v))
			continue;
		tried++;
		check_int(sandbox_run(&sb, call, &act), 0);
		observe_drain(&ob);
		observe_check_books(&ob);
		check_int(observe_count(&ob, EV_VM_ACCESS), 2); /* its own memory is its own business */
		check_int(observe_count(&ob, EV_PTRACE), 0);
		for (size_t i = 0; i < 2; i++) {
			e = observe_find(&ob, EV_VM_ACCESS, i);
			require(e != NULL);
			check_int(e->operation, i ? ACCESS_VM_WRITE : ACCESS_VM_READ);
			check_int(e->target_ns_pid, told->other);
			check_int(e->error, 0);
			/* The last variant of an older kernel knows the number only. */
			if (v < 2 || e->target_pid)
				check_int(e->target_pid, told->other);
		}
	}
	check(tried > 0);
}

static int send_signals(void)
{
	siginfo_t forged = { .si_code = SI_MESGQ };
	pid_t victim = make_victim();
	union sigval nothing = { 0 };

	(void)signal(SIGTERM, SIG_IGN);
	(void)kill(getpid(), SIGTERM);
	(void)kill(victim, 0);
	(void)kill(victim, SIGURG);
	(void)sigqueue(victim, SIGCONT, nothing);
	(void)syscall(SYS_rt_sigqueueinfo, victim, SIGHUP, &forged);
	return end_victim(victim);
}

TEST(signals_to_others_are_recorded_when_listed)
{
	static const struct {
		int signal, code;
	} want[] = { { SIGCONT, SI_QUEUE }, { SIGHUP, SI_MESGQ }, { SIGKILL, SI_USER } };
	int (*act)(void) = send_signals;
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };
	struct ev_counts c;

	if (!tell() || !sandbox_open(&sb, SANDBOX_PLAIN) || !observe_open(&ob, &sb, &sensor_process, only(NULL, NULL)))
		return;
	check_int(sandbox_run(&sb, call, &act), 0);
	observe_drain(&ob);
	observe_check_books(&ob);
	check_int(observe_count(&ob, EV_SIGNAL), countof(want));
	for (size_t i = 0; i < countof(want); i++) {
		const struct ev_signal *e = observe_find(&ob, EV_SIGNAL, i);

		require(e != NULL);
		check_int(e->head.pid, told->pid);
		check_int(e->target_pid, told->other);
		check_int(e->signal, want[i].signal);
		check_int(e->code, want[i].code);
		check_int(e->to_thread, 0);
	}
	require_ok(object_counts(ob.object, EV_ID_NUMBER(EV_SIGNAL), &c));
	check_int(c.filtered, 1); /* SIGURG */
}

TEST(the_list_of_signals_is_checked)
{
	static const struct {
		const char *name, *text;
		bool ok;
	} rows[] = {
		{ "name", "KILL", true },     { "long name", "SIGKILL", true }, { "small letters", "term", true },
		{ "number", "64", true },     { "all", "all", true },           { "zero", "0", false },
		{ "too large", "65", false }, { "no signal", "KILLER", false },
	};
	const struct option *signals = NULL;

	for (size_t i = 0; i < sensor_process.n_options; i++)
		if (!strcmp(sensor_process.options[i].name, "signals"))
			signals = &sensor_process.options[i];
	require(signals != NULL);
	for_each_row (row, rows) {
		check_int(option_check_item(signals, row->text), row->ok ? 0 : -EINVAL);
		if (!row->ok)
			check_has(err_trail(), row->text);
	}
}

static int exec_refused(const struct sandbox *sb, void *arg)
{
	char path[PATH_MAX];
	auto_close int fd = -1;

	(void)arg;
	(void)snprintf(path, sizeof(path), "%s/noexec", sb->dir);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
	if (fd < 0 || write(fd, "no program", 10) != 10)
		return 99;
	fd_closep(&fd);
	(void)execl("/nowhere/at/all", "x", NULL);
	(void)execl(path, "x", NULL);
	return errno == ENOEXEC ? 0 : 98;
}

TEST(a_refused_exec_is_recorded_where_the_kernel_lets_us)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };
	const struct ev_exec_failed *e;

	if (!sandbox_open(&sb, SANDBOX_PLAIN) || !observe_open(&ob, &sb, &sensor_process, only(NULL, NULL)))
		return;
	if (!observe_via(&ob, "exec-failed"))
		skip("hook-unavailable");
	check_int(sandbox_run(&sb, exec_refused, NULL), 0);
	observe_drain(&ob);
	observe_check_books(&ob);
	check_int(observe_count(&ob, EV_EXEC), 0);
	check_int(observe_count(&ob, EV_EXEC_FAILED), 1);
	e = observe_find(&ob, EV_EXEC_FAILED, 0);
	require(e != NULL);
	check_int(e->error, ENOEXEC);
	check_has(observe_str(e, e->filename), "/noexec");
	check_has(observe_str(e, e->exe), "/noexec");
}

/* ---- canaries ---------------------------------------------------------------------------------------------------- */

TEST(each_hook_can_be_told_from_a_deaf_one)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };

	if (!sandbox_open(&sb, SANDBOX_PLAIN) || !observe_open(&ob, &sb, &sensor_process, only("threads", "true")))
		return;
	for (size_t h = 0; h < sensor_process.n_hooks; h++) {
		struct ev_hook_counts was, now;

		test_row = sensor_process.hooks[h].name;
		if (ob.states[h].status != HOOK_ATTACHED || h == HOOK_EXEC_FAILED)
			continue;
		require_ok(object_hook_counts(ob.object, (unsigned)h, &was));
		check_int(sensor_process.exercise(h), 0);
		require_ok(object_hook_counts(ob.object, (unsigned)h, &now));
		check(now.canary > was.canary);
		check_int(now.fired, was.fired);
	}
	test_row = NULL;
	check_int(sensor_process.exercise(HOOK_EXEC_FAILED), -EOPNOTSUPP);
	observe_drain(&ob);
	check_int(ob.n, 0);
}

/* In a mount namespace of its own, as in a container image that holds one program. */
static int exercise_without_programs(const struct sandbox *sb, void *arg)
{
	static const char *const folders[] = { "/bin", "/usr/bin" };

	(void)sb;
	(void)arg;
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return 99;
	for (size_t i = 0; i < countof(folders); i++)
		(void)mount("none", folders[i], "tmpfs", 0, NULL);
	if (!access("/bin/true", F_OK) || !access("/usr/bin/true", F_OK))
		return 98;
	return sensor_process.exercise(HOOK_EXEC) ? 1 : 0;
}

TEST(exec_is_exercised_on_a_host_without_programs)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };
	const struct ev_exec *e;

	if (!sandbox_open(&sb, SANDBOX_PLAIN) || !observe_open(&ob, &sb, &sensor_process, only(NULL, NULL)))
		return;
	check_int(sandbox_run(&sb, exercise_without_programs, NULL), 0);
	observe_drain(&ob);
	e = observe_find(&ob, EV_EXEC, 0);
	require(e != NULL);
	check_int(e->traits, EXEC_MEMFD);
	check_int(observe_count(&ob, EV_EXIT), 2);
}
