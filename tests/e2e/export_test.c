/* SPDX-License-Identifier: Apache-2.0 */
/* The export of a real agent, read by a stock gRPC client over the unix socket. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/mem.h"
#include "base/test.h"
#include "tests/e2e/e2e.h"
#include "tests/export/fixture.h"

enum { OUT_MAX = 1 << 20, TRIES_MAX = 100 };

/* A shell that starts two programs: its descendants. */
static int shell(const struct sandbox *sb, void *arg)
{
	pid_t *ret_pid = arg;
	pid_t pid = fork();
	int status;

	(void)sb;
	if (pid == 0) {
		(void)execl("/bin/sh", "sh", "-c", "/bin/true; /bin/sh -c '/bin/echo >/dev/null'; :", NULL);
		_exit(1);
	}
	*ret_pid = pid;
	return pid < 0 || waitpid(pid, &status, 0) != pid || status;
}

/* Asks until it says something: the API opens a little later than the agent says that it runs. */
static bool ask(const char *socket, struct buf *out, const char *words)
{
	for (unsigned i = 0; i < TRIES_MAX; i++) {
		buf_clear(out);
		if (access(socket, F_OK) == 0) {
			(void)export_run(out,
					 "timeout 30 /usr/bin/python3 " SHRIKE_SOURCE_DIR
					 "/tests/export/client.py unix:%s %s",
					 socket, words);
			return true;
		}
		(void)usleep(20000);
	}
	return false;
}

TEST(what_a_process_did_comes_out_of_the_api)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_agent struct e2e a = { 0 };
	auto_buf struct buf out = { .max = OUT_MAX };
	char socket[160], sets[3][224], words[512], want[128];
	const char *const args[] = { "--set", "api.enabled=true", "--set", sets[0], "--set", sets[1], "--set", sets[2],
				     "--set", "api.listen=",      NULL };
	pid_t *pid = mmap(NULL, sizeof(*pid), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (system("/usr/bin/python3 -c 'import grpc, google.protobuf' >/dev/null 2>&1") != 0)
		skip("no-grpcio");
	require(pid != MAP_FAILED);
	if (!sandbox_open(&sb, SANDBOX_PLAIN))
		return;
	(void)snprintf(socket, sizeof(socket), "%s/api.sock", sb.dir);
	(void)snprintf(sets[0], sizeof(sets[0]), "api.socket=%s", socket);
	(void)snprintf(sets[1], sizeof(sets[1]), "api.tokens=%s/tokens", sb.dir);
	(void)snprintf(sets[2], sizeof(sets[2]), "api.audit=%s/audit.log", sb.dir);
	e2e_config(&a, &sb,
		   "sensors:\n  file: {enabled: false}\n  net: {enabled: false}\n  drop: {enabled: false}\n"
		   "  memory: {enabled: false}\n  kernel: {enabled: false}\n");
	if (!e2e_start(&a, &sb, args))
		return;
	check_int(sandbox_run(&sb, shell, pid), 0);
	(void)usleep(100000);

	(void)snprintf(words, sizeof(words),
		       "stream '{\"start\":1,\"filter\":{\"types\":[\"process.exec\"],\"path\":\"/usr/bin/true\"}}' 1");
	require(ask(socket, &out, words));
	check_has(buf_text(&out), "process_exec ");
	check_has(buf_text(&out), " true 0 0\n");

	/* The shell was not there when the agent began: the stream's context learns of it from the ring. */
	(void)snprintf(
		words, sizeof(words),
		"stream '{\"start\":1,\"filter\":{\"types\":[\"process.exec\"],\"path\":\"/usr/bin/echo\",\"pid\":%d,"
		"\"descendants\":true}}' 1",
		(int)*pid);
	check(ask(socket, &out, words));
	check_has(buf_text(&out), " echo 0 0\n");

	check(ask(socket, &out, "query '{\"filter\":{\"types\":[\"process.exec\"],\"path\":\"/usr/bin/echo\"}}'"));
	check_has(buf_text(&out), " echo 0 0\ncount 1 more False\n");
	check(ask(socket, &out, "metrics"));
	(void)snprintf(want, sizeof(want), "process.exec=");
	check_has(buf_text(&out), want);
	check(ask(socket, &out, "health"));
	check_has(buf_text(&out), "0801 0801\n");
}
