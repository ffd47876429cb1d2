/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket against those who write nonsense, or may not ask. None of these requests reaches an agent. */
#include "agent/control.h"
#include <grp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/err.h"
#include "base/test.h"
#include "context/file_hash.h"

enum { ANSWER_MS = 10000, NOBODY = 65534 };

struct stage {
	char dir[64], path[96];
	struct control *control;
};

static void stage_close(struct stage *s)
{
	control_free(s->control);
	if (s->path[0])
		check(access(s->path, F_OK) != 0);
	if (s->dir[0])
		check_int(rmdir(s->dir), 0);
}
#define auto_stage __attribute__((cleanup(stage_close)))

static bool stage_open(struct stage *s, const char *group)
{
	*s = (struct stage) { .dir = "/tmp/shrike-control-XXXXXX" };
	if (!mkdtemp(s->dir)) {
		s->dir[0] = 0;
		test_fail(T_HERE, "make a folder");
		return false;
	}
	(void)chmod(s->dir, 0755);
	(void)snprintf(s->path, sizeof(s->path), "%s/sock", s->dir);
	if (control_open(NULL, s->path, group, &s->control) < 0) {
		test_fail(T_HERE, "%s", err_trail());
		return false;
	}
	return true;
}

static int dial(const struct stage *s)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", s->path);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

/* One line, without its end; "" when the other side has closed. */
static const char *hear(int fd)
{
	static char line[4096];
	size_t n = 0;

	while (n < sizeof(line) - 1) {
		struct pollfd p = { .fd = fd, .events = POLLIN };

		if (poll(&p, 1, ANSWER_MS) < 1 || recv(fd, line + n, 1, 0) != 1 || line[n] == '\n')
			break;
		n++;
	}
	line[n] = 0;
	return line;
}

static const char *ask(int fd, const char *bytes, size_t n)
{
	return send(fd, bytes, n, MSG_NOSIGNAL) == (ssize_t)n ? hear(fd) : "";
}

static const char *ask_text(int fd, const char *text)
{
	return ask(fd, text, strlen(text));
}

TEST(nonsense_gets_an_error_and_the_connection_goes_on)
{
	static const struct {
		const char *name, *text;
		size_t n;
	} rows[] = {
#define ROW(name, text) { name, text "\n", sizeof(text) }
		ROW("nothing", ""),
		ROW("no JSON", "hello"),
		ROW("half of an object", "{\"cmd\":"),
		ROW("no object", "[1,2]"),
		ROW("a number", "7"),
		ROW("no cmd", "{\"comand\":\"status\"}"),
		ROW("cmd is no text", "{\"cmd\":{\"cmd\":1}}"),
		ROW("unknown command", "{\"cmd\":\"destroy\"}"),
		ROW("a filter that is none", "{\"cmd\":\"events\",\"filter\":7}"),
		ROW("a condition that is none", "{\"cmd\":\"events\",\"filter\":{\"pit\":7}}"),
		ROW("a pid that is a text", "{\"cmd\":\"events\",\"filter\":{\"pid\":\"7\"}}"),
		ROW("a pid that is too large", "{\"cmd\":\"events\",\"filter\":{\"pid\":4294967297}}"),
		ROW("an expression that is none", "{\"cmd\":\"events\",\"filter\":{\"expr\":\"process.pid ==\"}}"),
		ROW("kinds that are none", "{\"cmd\":\"events\",\"filter\":{\"kinds\":[1]}}"),
		ROW("a hash of nobody", "{\"cmd\":\"hash\"}"),
		ROW("a hash of a pid that is a text", "{\"cmd\":\"hash\",\"pid\":\"1\"}"),
		ROW("a hash of pid 0", "{\"cmd\":\"hash\",\"pid\":0}"),
		ROW("a hash of a pid that is too large", "{\"cmd\":\"hash\",\"pid\":4294967297}"),
		ROW("NUL bytes", "\0\0\0{\"cmd\"\0}"),
		ROW("not UTF-8", "\xff\xfe\x80"),
		ROW("deep", "[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]"),
#undef ROW
	};
	auto_stage struct stage s;
	auto_close int fd = -1;

	require(stage_open(&s, NULL));
	fd = dial(&s);
	require(fd >= 0);
	for_each_row (r, rows)
		check_has(ask(fd, r->text, r->n), "{\"ok\":false,\"error\":\"");
}

TEST(the_digest_of_what_a_process_runs_is_told)
{
	unsigned char digest[SHA256_SIZE];
	AUTO(file_hash) hashes = NULL;
	auto_stage struct stage s;
	auto_close int fd = -1;
	char request[64], exe[512], want[1024], hex[SHA256_HEX_SIZE];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	require(n > 0);
	exe[n] = 0;
	require_ok(file_hash_open(NULL, &hashes));
	require_ok(file_hash_path(hashes, "/proc/self/exe", digest));
	sha256_hex(digest, hex);
	require(stage_open(&s, NULL));
	fd = dial(&s);
	require(fd >= 0);
	n = snprintf(request, sizeof(request), "{\"cmd\":\"hash\",\"pid\":%d}\n", (int)getpid());
	(void)snprintf(want, sizeof(want), "{\"ok\":true,\"sha256\":\"%s\",\"path\":\"%s\"}", hex, exe);
	check_str(ask(fd, request, (size_t)n), want);
}

TEST(a_request_may_come_in_pieces_and_several_at_once)
{
	auto_stage struct stage s;
	auto_close int fd = -1;

	require(stage_open(&s, NULL));
	fd = dial(&s);
	require(fd >= 0);
	for (const char *at = "{\"cmd\":\"no"; *at; at++) {
		check_int(send(fd, at, 1, MSG_NOSIGNAL), 1);
		(void)usleep(1000);
	}
	check_has(ask_text(fd, "ne\"}\n{\"cmd\":1}\n{\"c"), "unknown command");
	check_has(hear(fd), "a request is an object");
	check_has(ask_text(fd, "md\":\"x\"}\n"), "unknown command");
}

TEST(a_line_without_an_end_is_refused_at_its_bound)
{
	static char giant[CONTROL_LINE_MAX];
	auto_stage struct stage s;
	auto_close int fd = -1;

	memset(giant, 'a', sizeof(giant));
	require(stage_open(&s, NULL));
	fd = dial(&s);
	require(fd >= 0);
	check_has(ask(fd, giant, sizeof(giant)), "longer than 64 KiB");
	check_str(hear(fd), "");
}

TEST(more_clients_than_there_are_places_are_told_and_places_come_back)
{
	auto_stage struct stage s;
	int fds[CONTROL_CLIENTS_MAX], more;

	require(stage_open(&s, NULL));
	for (int i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		fds[i] = dial(&s);
		require(fds[i] >= 0);
		check_has(ask_text(fds[i], "1\n"), "\"ok\":false"); /* it has its place now */
	}
	more = dial(&s);
	check_has(hear(more), "too many connections");
	(void)close(more);
	for (int i = 0; i < CONTROL_CLIENTS_MAX; i++)
		(void)close(fds[i]);
	for (int i = 0; i < 500; i++) {
		auto_close int fd = dial(&s);

		if (strstr(ask_text(fd, "1\n"), "a request is an object"))
			return;
		(void)usleep(10000);
	}
	test_fail(T_HERE, "no place came back");
}

/* In a child: as this user and group, what does the socket say? 'r' may read, 'w' may change, '-' neither. */
static char may(const struct stage *s, uid_t uid, gid_t gid, gid_t extra)
{
	int status;
	pid_t pid;

	(void)fflush(NULL);
	pid = fork();
	if (pid == 0) {
		const char *answer;
		int fd;

		if (setgroups(1, &extra) || setgid(gid) || setuid(uid))
			_exit('?');
		fd = dial(s);
		answer = fd < 0 ? "" : ask_text(fd, "{\"cmd\":\"off\",\"sensor\":7}\n{\"cmd\":1}\n");
		if (strstr(answer, "there is no sensor"))
			_exit('w');
		if (!strstr(answer, "only root and the agent's user"))
			_exit('-');
		(void)hear(fd); /* the answer to the second request */
		/* What a process runs is a file that this user may not be allowed to read. */
		answer = ask_text(fd, "{\"cmd\":\"hash\",\"pid\":1}\n");
		_exit(strstr(answer, "only root and the agent's user") ? 'r' : 'h');
	}
	(void)waitpid(pid, &status, 0);
	return WIFEXITED(status) ? (char)WEXITSTATUS(status) : '!';
}

TEST(who_may_ask_is_decided_by_credentials)
{
	static const struct {
		const char *name;
		uid_t uid;
		gid_t gid, extra;
		bool open; /* the socket's mode lets everybody connect */
		char want;
	} rows[] = {
		{ "root", 0, 0, 0, false, 'w' },
		{ "a stranger", 1234, 1234, 1234, false, '-' },
		{ "a stranger at an open socket", 1234, 1234, 1234, true, '-' },
		{ "of the group", 1234, NOBODY, 1234, false, 'r' },
		{ "of the group, among others", 1234, 1234, NOBODY, false, 'r' },
	};
	auto_stage struct stage s;
	struct group *g = getgrgid(NOBODY);

	if (geteuid() != 0)
		skip("needs-root");
	require(g != NULL);
	require(stage_open(&s, g->gr_name));
	for_each_row (r, rows) {
		(void)chmod(s.path, r->open ? 0666 : 0660);
		check_int(may(&s, r->uid, r->gid, r->extra), r->want);
	}
}

TEST(a_place_that_cannot_be_listened_at_is_refused_and_left_as_it_was)
{
	struct control *more = NULL;
	auto_stage struct stage s;
	char path[256], longer[256];

	require(stage_open(&s, NULL));
	memset(longer, 'a', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = 0;
	check_int(control_check(s.path, NULL), -EADDRINUSE);
	check_int(control_open(NULL, s.path, NULL, &more), -EADDRINUSE);
	check_int(control_check(longer, NULL), -ENAMETOOLONG);
	check_int(control_check(s.dir, NULL), -EEXIST);
	(void)snprintf(path, sizeof(path), "%s/other", s.dir);
	check_int(control_check(path, "no-such-group-here"), -ENOENT);
	check_int(control_check(path, NULL), 0);
	/* A folder is made where one is missing, but not two, and goes again. */
	(void)snprintf(path, sizeof(path), "%s/a/b/sock", s.dir);
	check(control_open(NULL, path, NULL, &more) < 0);
	(void)snprintf(path, sizeof(path), "%s/a/sock", s.dir);
	require_ok(control_open(NULL, path, NULL, &more));
	check_int(access(path, F_OK), 0);
	control_free(more);
	(void)snprintf(path, sizeof(path), "%s/a", s.dir);
	check(access(path, F_OK) != 0);
	check_int(access(s.path, F_OK), 0);
}

TEST(a_socket_that_another_has_put_in_its_place_is_left_alone)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	auto_stage struct stage s;
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	require(stage_open(&s, NULL));
	require(!unlink(s.path));
	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", s.path);
	require(!bind(fd, (struct sockaddr *)&addr, sizeof(addr)));
	control_free(s.control);
	s.control = NULL;
	check_int(access(s.path, F_OK), 0);
	(void)unlink(s.path);
}
