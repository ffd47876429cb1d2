/* SPDX-License-Identifier: Apache-2.0 */
/* file_hash: of files that stay, change and are replaced, and of processes that are and are not who they were. */
#include "context/file_hash.h"
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include "base/err.h"
#include "base/test.h"
#include "context/procfs.h"
#include "context/text.h"

#define HEX_ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define HEX_XYZ "3608bca1e44ea6c4d268eb6db02260269892c0b42b86bbf1e77a6fa16c3c9282"

struct place {
	char dir[64], a[80], b[80];
	struct file_hash *h;
};

static void place_close(struct place *p)
{
	file_hash_free(p->h);
	(void)unlink(p->a);
	(void)unlink(p->b);
	check_int(rmdir(p->dir), 0);
}
#define auto_place __attribute__((cleanup(place_close)))

static bool place_open(struct place *p, const struct file_hash_limits *limits)
{
	*p = (struct place) { .dir = "/tmp/shrike-hash-XXXXXX" };
	if (!mkdtemp(p->dir) || file_hash_open(limits, &p->h) < 0) {
		test_fail(T_HERE, "make a folder and a cache");
		return false;
	}
	(void)snprintf(p->a, sizeof(p->a), "%s/a", p->dir);
	(void)snprintf(p->b, sizeof(p->b), "%s/b", p->dir);
	return true;
}

static void write_file(const char *path, const char *text)
{
	auto_file FILE *f = fopen(path, "we");

	if (!f || fputs(text, f) < 0)
		test_fail(T_HERE, "write %s", path);
}

static void settle(void)
{
	(void)usleep(FILE_HASH_SETTLE_NS / 1000 * 3 / 2);
}

static const char *hex_of_path(struct place *p, const char *path)
{
	static char hex[SHA256_HEX_SIZE];
	unsigned char digest[SHA256_SIZE];

	if (file_hash_path(p->h, path, digest) < 0)
		return err_trail();
	sha256_hex(digest, hex);
	return hex;
}

static void check_stats(struct place *p, uint64_t hits, uint64_t misses, uint64_t refused)
{
	struct file_hash_stats st;

	file_hash_stats(p->h, &st);
	check_int(st.hits, hits);
	check_int(st.misses, misses);
	check_int(st.refused, refused);
}

TEST(a_file_is_read_once)
{
	auto_place struct place p;

	require(place_open(&p, NULL));
	write_file(p.a, "abc");
	settle();
	check_str(hex_of_path(&p, p.a), HEX_ABC);
	check_str(hex_of_path(&p, p.a), HEX_ABC);
	check_int(symlink(p.a, p.b), 0);
	check_str(hex_of_path(&p, p.b), HEX_ABC);
	check_stats(&p, 2, 1, 0);
}

TEST(a_file_that_was_just_written_is_not_kept)
{
	auto_place struct place p;

	require(place_open(&p, NULL));
	for (int i = 0; i < 20; i++) {
		write_file(p.a, i % 2 ? "abc" : "xyz");
		check_str(hex_of_path(&p, p.a), i % 2 ? HEX_ABC : HEX_XYZ);
	}
}

TEST(a_changed_file_is_read_again_even_when_its_modification_time_is_set_back)
{
	auto_place struct place p;
	struct stat st;

	require(place_open(&p, NULL));
	write_file(p.a, "abc");
	settle();
	check_str(hex_of_path(&p, p.a), HEX_ABC);
	check_int(stat(p.a, &st), 0);
	write_file(p.a, "xyz");
	check_int(utimensat(AT_FDCWD, p.a, (struct timespec[]) { st.st_atim, st.st_mtim }, 0), 0);
	check_str(hex_of_path(&p, p.a), HEX_XYZ);
	check_stats(&p, 0, 2, 0);
}

TEST(a_replaced_file_is_another)
{
	auto_place struct place p;

	require(place_open(&p, NULL));
	write_file(p.a, "abc");
	write_file(p.b, "xyz");
	settle();
	check_str(hex_of_path(&p, p.a), HEX_ABC);
	check_int(rename(p.b, p.a), 0);
	check_str(hex_of_path(&p, p.a), HEX_XYZ);
}

TEST(what_was_asked_for_the_longest_ago_makes_room)
{
	static const struct file_hash_limits two = { .kept = 2 };
	auto_place struct place p;
	struct file_hash_stats st;
	char c[96];

	require(place_open(&p, &two));
	(void)snprintf(c, sizeof(c), "%s/c", p.dir);
	write_file(p.a, "abc");
	write_file(p.b, "xyz");
	write_file(c, "abc");
	settle();
	(void)hex_of_path(&p, p.a);
	(void)hex_of_path(&p, p.b);
	(void)hex_of_path(&p, p.a); /* hit: b is the oldest now */
	(void)hex_of_path(&p, c);   /* b goes */
	(void)hex_of_path(&p, p.a); /* hit */
	(void)hex_of_path(&p, p.b); /* read again; c goes */
	check_stats(&p, 2, 4, 0);
	file_hash_stats(p.h, &st);
	check_int(st.evicted, 2);
	check_int(st.kept, 2);
	(void)unlink(c);
}

TEST(files_beyond_the_bound_are_refused)
{
	static const struct file_hash_limits three = { .size_bytes = 3 };
	auto_place struct place p;
	unsigned char digest[SHA256_SIZE];

	require(place_open(&p, &three));
	write_file(p.a, "abc");
	write_file(p.b, "abcd");
	check_str(hex_of_path(&p, p.a), HEX_ABC);
	check_int(file_hash_path(p.h, p.b, digest), -EFBIG);
	check_stats(&p, 0, 1, 1);
}

TEST(only_regular_files_are_opened)
{
	auto_place struct place p;
	unsigned char digest[SHA256_SIZE];

	require(place_open(&p, NULL));
	check_int(mkfifo(p.a, 0600), 0);
	check_int(file_hash_path(p.h, p.a, digest), -EINVAL);
	check_int(file_hash_path(p.h, p.dir, digest), -EINVAL);
	check_int(file_hash_path(p.h, "/dev/null", digest), -EINVAL);
	check_int(file_hash_path(p.h, p.b, digest), -ENOENT);
	check_stats(&p, 0, 0, 4);
}

/* ---- processes ------------------------------------------------------------------------------------- */

/* A process as the context would know it, of what runs at this pid. */
static const struct process *known(pid_t pid, uint64_t later_ns, uint64_t other_inode)
{
	struct process *p = process_new();
	struct program_parts parts = { 0 };
	struct proc_stat ps = { 0 };
	struct stat st = { 0 };
	char exe[64];

	(void)snprintf(exe, sizeof(exe), "/proc/%d/exe", (int)pid);
	check_int(stat(exe, &st), 0);
	check_int(proc_stat((uint32_t)pid, &ps), 0);
	parts.dev = major(st.st_dev) << 20 | minor(st.st_dev);
	parts.inode = st.st_ino + other_inode;
	p->pid = (uint32_t)pid;
	p->start_ns = ps.start_ticks * PROC_TICK_NS + 1234567 + later_ns;
	p->program = program_new(&parts);
	return p;
}

static int hash_known(struct place *p, const struct process *who, const char **ret_hex)
{
	static char hex[SHA256_HEX_SIZE];
	unsigned char digest[SHA256_SIZE] = { 0 };
	int r = file_hash_process(p->h, who, digest);

	sha256_hex(digest, hex);
	*ret_hex = hex;
	return r;
}

TEST(the_program_of_a_process_is_known_by_its_file)
{
	static const struct {
		const char *name;
		uint64_t later_ns, other_inode;
		int want;
	} rows[] = {
		{ "the same", 0, 0, 0 },
		{ "the pid was used again", 1000000000, 0, -ESRCH },
		{ "another file runs by now", 0, 1, -ESTALE },
	};
	auto_place struct place p;

	require(place_open(&p, NULL));
	for_each_row (r, rows) {
		const struct process *who = known(getpid(), r->later_ns, r->other_inode);
		const char *hex;

		check_int(hash_known(&p, who, &hex), r->want);
		if (!r->want)
			check_str(hex_of_path(&p, "/proc/self/exe"), hex);
		process_unref(who);
	}
}

TEST(a_process_whose_program_is_not_known_is_refused)
{
	auto_place struct place p;
	struct process *who = process_new();
	const char *hex;

	require(place_open(&p, NULL));
	who->pid = (uint32_t)getpid();
	check_int(hash_known(&p, who, &hex), -ENODATA);
	process_unref(who);
}

/* Runs the file with an argument that makes it wait; back once it does. */
static pid_t run_copy(const char *path)
{
	int done[2];
	char byte;
	pid_t pid;

	if (pipe2(done, O_CLOEXEC))
		return -1;
	pid = fork();
	if (pid == 0) {
		(void)execl(path, "sleep", "60", (char *)NULL);
		_exit(127);
	}
	(void)close(done[1]);
	(void)!read(done[0], &byte, 1); /* ends when exec has closed the other end */
	(void)close(done[0]);
	return pid;
}

static bool copy_file(const char *from, const char *to)
{
	auto_close int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
	char chunk[65536];
	ssize_t n = -1;

	while (in >= 0 && out >= 0 && (n = read(in, chunk, sizeof(chunk))) > 0)
		if (write(out, chunk, (size_t)n) != n)
			return false;
	return n == 0;
}

TEST(what_runs_is_read_though_its_path_has_another_file_or_none)
{
	auto_place struct place p;
	unsigned char digest[SHA256_SIZE];
	const struct process *who;
	char want[SHA256_HEX_SIZE], path[PATH_MAX], deleted[128];
	const char *hex;
	pid_t pid;

	require(place_open(&p, NULL));
	require(copy_file("/bin/sleep", p.a));
	(void)snprintf(want, sizeof(want), "%s", hex_of_path(&p, "/bin/sleep"));
	pid = run_copy(p.a);
	require(pid > 0);
	who = known(pid, 0, 0);
	write_file(p.b, "xyz");
	check_int(rename(p.b, p.a), 0);
	check_int(hash_known(&p, who, &hex), 0);
	check_str(hex, want);
	check_int(file_hash_pid(p.h, (uint32_t)pid, digest, path, sizeof(path)), 0);
	(void)snprintf(deleted, sizeof(deleted), "%s (deleted)", p.a);
	check_str(path, deleted);
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	check_int(hash_known(&p, who, &hex), -ESRCH);
	check_int(file_hash_pid(p.h, (uint32_t)pid, digest, NULL, 0), -ESRCH);
	process_unref(who);
}

TEST(a_process_that_has_ended_but_is_not_waited_for_has_no_program)
{
	auto_place struct place p;
	unsigned char digest[SHA256_SIZE];
	siginfo_t info;
	pid_t pid;

	require(place_open(&p, NULL));
	pid = fork();
	if (pid == 0)
		_exit(0);
	check_int(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	check_int(file_hash_pid(p.h, (uint32_t)pid, digest, NULL, 0), -ESRCH);
	(void)waitpid(pid, NULL, 0);
}

/* ---- threads --------------------------------------------------------------------------------------- */

enum { THREADS = 4, ROUNDS = 200 };

static void *ask_often(void *arg)
{
	struct place *p = arg;
	unsigned char digest[SHA256_SIZE];
	char hex[SHA256_HEX_SIZE];
	long wrong = 0;

	for (int i = 0; i < ROUNDS; i++) {
		bool first = i % 3;

		wrong += file_hash_path(p->h, first ? p->a : p->b, digest) < 0;
		sha256_hex(digest, hex);
		wrong += strcmp(hex, first ? HEX_ABC : HEX_XYZ) != 0;
	}
	return (void *)wrong;
}

TEST(several_threads_may_ask_at_once)
{
	static const struct file_hash_limits one = { .kept = 1 };
	auto_place struct place p;
	struct file_hash_stats st;
	pthread_t threads[THREADS];

	require(place_open(&p, &one));
	write_file(p.a, "abc");
	write_file(p.b, "xyz");
	settle();
	for (int i = 0; i < THREADS; i++)
		check_int(pthread_create(&threads[i], NULL, ask_often, &p), 0);
	for (int i = 0; i < THREADS; i++) {
		void *wrong = NULL;

		check_int(pthread_join(threads[i], &wrong), 0);
		check(!wrong);
	}
	file_hash_stats(p.h, &st);
	check_int(st.hits + st.misses, THREADS * ROUNDS);
	check_int(st.kept, 1);
}
