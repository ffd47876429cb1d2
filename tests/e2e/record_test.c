/* SPDX-License-Identifier: Apache-2.0 */
/* What the running agent records, into its folder and for a client, is what happened in the sandbox. */
#include <dirent.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/err.h"
#include "base/test.h"
#include "tests/e2e/e2e.h"

enum { RUNS = 20 };

static int count(const char *text, const char *part)
{
	int n = 0;

	for (; (text = strstr(text, part)); text += strlen(part))
		n++;
	return n;
}

/* The recording as lines of JSON. */
static void convert(const char *path, struct buf *out)
{
	char command[1024], bytes[4096];
	FILE *pipe;
	size_t n;

	(void)snprintf(command, sizeof(command), "'%s' convert --context '%s'", e2e_binary(), path);
	buf_clear(out);
	pipe = popen(command, "re");
	require(pipe != NULL);
	while ((n = fread(bytes, 1, sizeof(bytes), pipe)) > 0)
		buf_add(out, bytes, n);
	check_int(pclose(pipe), 0);
}

static void remove_folder(const char *path)
{
	DIR *dir = opendir(path);
	const struct dirent *e;

	while (dir && (e = readdir(dir)))
		if (e->d_name[0] != '.')
			(void)unlinkat(dirfd(dir), e->d_name, 0);
	if (dir)
		(void)closedir(dir);
	(void)rmdir(path);
}

TEST(the_agent_records_what_happens_and_shows_what_it_recorded)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_agent struct e2e a = { 0 };
	auto_buf struct buf out = { .max = 64 << 20 };
	char folder[128], set[160];
	const char *extra[] = { "--set", "record.enabled=true", "--set", set, NULL };

	if (!sandbox_open(&sb, SANDBOX_PLAIN))
		return;
	(void)snprintf(folder, sizeof(folder), "%s/recording", sb.dir);
	(void)snprintf(set, sizeof(set), "record.folder=%s", folder);
	if (!e2e_start(&a, &sb, extra))
		return;
	check_int(sandbox_run(&sb, e2e_run_true, &(struct e2e_runs) { RUNS, "recorded" }), 0);
	require(e2e_ask(&a, "{\"cmd\":\"status\"}", &out));
	check_has(buf_text(&out), "\"record\":{\"folder\":");
	check_has(buf_text(&out), "\"raw\":{\"capacity\":16777216,");
	check_has(buf_text(&out), "{\"name\":\"record\",\"cursor\":");
	/* What was in the rings at the end is recorded, too. */
	check_int(e2e_stop(&a, SIGTERM), 0);
	convert(folder, &out);
	check_int(count(buf_text(&out), "\"dataset\":\"process.exec\""), RUNS);
	check(count(buf_text(&out), "\"args\":[\"true\",\"recorded\"]") >= RUNS);
	check_int(count(buf_text(&out), "{\"shrike\":{\"recording\":{\"lost\":"), 0);
	check_has(buf_text(&out), "{\"shrike\":{\"recording\":{\"boot_id\":\"");
	remove_folder(folder);
}

struct recording {
	const struct e2e *agent;
	const char *file;
};

/* Outside of the sandbox: the client is not what is watched. */
static int record(const struct sandbox *sb, void *arg)
{
	const struct recording *r = arg;

	(void)sb;
	(void)execl(e2e_binary(), "shrike", "record", "-o", r->file, "--kind", "process.exec", "--limit", "5", "--for",
		    "20s", "--socket", r->agent->socket, NULL);
	return 127;
}

TEST(a_client_records_what_it_asks_for)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_agent struct e2e a = { 0 };
	auto_buf struct buf out = { .max = 64 << 20 };
	char file[128];
	int status;
	pid_t pid;

	if (!sandbox_open(&sb, SANDBOX_PLAIN) || !e2e_start(&a, &sb, NULL))
		return;
	(void)snprintf(file, sizeof(file), "%s/capture", sb.dir);
	pid = fork();
	if (pid == 0)
		_exit(record(&sb, &(struct recording) { &a, file }));
	require(pid > 0);
	/* It has begun when the agent has a reader for it. */
	for (int i = 0; i < 100 && !strstr(buf_text(&out), "\"name\":\"capture\""); i++) {
		(void)usleep(50000);
		buf_clear(&out);
		require(e2e_ask(&a, "{\"cmd\":\"status\"}", &out));
	}
	check_int(sandbox_run(&sb, e2e_run_true, &(struct e2e_runs) { RUNS, "recorded" }), 0);
	require(waitpid(pid, &status, 0) == pid);
	check_int(status, 0);
	convert(file, &out);
	check_int(count(buf_text(&out), "\"dataset\":\"process.exec\""), 5);
	check_int(count(buf_text(&out), "\"dataset\":\"process.exit\""), 0);
	(void)unlink(file);
	check_int(e2e_stop(&a, SIGTERM), 0);
}
