/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs against a real agent: what they show is what happened, and nothing of what is outside of the scope. */
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include "base/err.h"
#include "base/mem.h"
#include "base/test.h"
#include "context/file_hash.h"
#include "store/alerts.h"
#include "tests/e2e/e2e.h"

/* The other sensors cost seconds of loading and nothing here asks for them. */
static const char *const lean = "sensors:\n"
				"  file: { enabled: false }\n"
				"  net: { enabled: false }\n"
				"  drop: { enabled: false }\n"
				"  memory: { enabled: false }\n"
				"  kernel: { enabled: false }\n";

static int run_true(const struct sandbox *sb, void *arg)
{
	static char name[] = "true";
	char *const argv[] = { name, NULL }, *const envp[] = { NULL };
	int status, bad = 0;
	pid_t pid;

	(void)sb;
	for (int i = *(int *)arg; i > 0; i--)
		bad += posix_spawn(&pid, "/bin/true", NULL, NULL, argv, envp) || waitpid(pid, &status, 0) != pid ||
		       status;
	return bad;
}

/* `shrike ARGS...` must end with `code` and say `part`. */
static void says(const struct e2e *a, const char *const *args, int code, const char *part)
{
	auto_buf struct buf out;

	buf_init(&out, 4 << 20);
	test_row = args[1] ? args[1] : args[0];
	check_int(e2e_shrike(a, &out, args), code);
	check_has(buf_text(&out), part);
	test_row = NULL;
}
#define SAYS(a, code, part, ...) says(a, (const char *const[]) { __VA_ARGS__, NULL }, code, part)

/* What the agent itself runs: the binary under test. */
static void says_hash_of(const struct e2e *a)
{
	unsigned char digest[SHA256_SIZE];
	char hex[SHA256_HEX_SIZE], pid[16];
	AUTO(file_hash) hashes = NULL;

	require_ok(file_hash_open(NULL, &hashes));
	require_ok(file_hash_path(hashes, e2e_binary(), digest));
	sha256_hex(digest, hex);
	(void)snprintf(pid, sizeof(pid), "%d", (int)a->pid);
	SAYS(a, 0, hex, "hash", pid);
	SAYS(a, 2, "is no pid", "hash", "0");
}

/* How many events of a kind the agent still holds, once it holds `want`: they come in a moment. */
static long held(const struct e2e *a, const char *kind, long want)
{
	long n = -1;

	for (int i = 0; i < 50 && n != want; i++) {
		auto_buf struct buf out;
		const char *at;

		buf_init(&out, 4 << 20);
		if (i)
			(void)usleep(100000);
		n = 0;
		if (e2e_shrike(a, &out,
			       (const char *const[]) { "events", "--no-follow", "-o", "json", "-k", kind, NULL }))
			return -1;
		for (at = buf_text(&out); (at = strchr(at, '\n')); at++)
			n++;
	}
	return n;
}

static long number_of(const char *json, const char *name)
{
	const char *at = json ? strstr(json, name) : NULL;

	return at ? strtol(at + strlen(name), NULL, 10) : -1;
}

TEST(events_status_and_sensor_tell_and_change_a_running_agent)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_agent struct e2e a = { 0 };
	int five = 5, three = 3;

	if (!sandbox_open(&sb, SANDBOX_PLAIN))
		return;
	e2e_config(&a, &sb, lean);
	if (!e2e_start(&a, &sb, NULL))
		return;
	SAYS(&a, 0, "process", "status");
	SAYS(&a, 0, "\"state\":\"running\"", "status", "-o", "json");

	says_hash_of(&a);

	/* Out of scope: not one record, and not one that was seen and left out. */
	check_int(outside_run(&sb, run_true, &five), 0);
	check_int(sandbox_run(&sb, run_true, &three), 0);
	check_int(held(&a, "process.exec", 3), 3);
	check_int(held(&a, "process.exit", 5), 5); /* and the two processes that started them */
	auto_buf struct buf answer;

	buf_init(&answer, 4 << 20);
	require(e2e_ask(&a, "{\"cmd\":\"status\"}", &answer));
	check_int(number_of(strstr(buf_text(&answer), "\"process.exec\""), "\"seen\":"), 3);
	check_int(number_of(strstr(buf_text(&answer), "\"process.exec\""), "\"sent\":"), 3);

	SAYS(&a, 0, "process.exec", "events", "--no-follow", "--count");
	SAYS(&a, 0, "true", "events", "--no-follow", "--kind", "process.exec", "--limit", "1");
	SAYS(&a, 2, "did you mean", "events", "--no-follow", "--kind", "proces.exec");

	/* Off is off, on is on, and what is refused changes nothing. */
	SAYS(&a, 0, "process", "sensor", "off", "process");
	check_int(sandbox_run(&sb, run_true, &five), 0);
	SAYS(&a, 0, "process", "sensor", "on", "process");
	check_int(sandbox_run(&sb, run_true, &three), 0);
	check_int(held(&a, "process.exec", 6), 6);
	SAYS(&a, 0, "args_max", "sensor", "set", "process", "args_max=128");
	SAYS(&a, 2, "args_max", "sensor", "set", "process", "args_mx=128");
	SAYS(&a, 2, "nosuch", "sensor", "off", "nosuch");
	require(e2e_ask(&a, "{\"cmd\":\"status\"}", &answer));
	check_int(number_of(buf_text(&answer), "\"reloads\":"), 3);
	check_int(e2e_stop(&a, SIGINT), 0);
}

TEST(an_operator_may_change_the_same_thing_for_ever)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_agent struct e2e a = { 0 };
	auto_buf struct buf answer;
	char request[128];

	buf_init(&answer, 1 << 20);
	if (!sandbox_open(&sb, SANDBOX_PLAIN))
		return;
	e2e_config(&a, &sb, lean);
	if (!e2e_start(&a, &sb, NULL))
		return;
	/* Of a sensor that is off, so that nothing is loaded each time. */
	for (int i = 0; i < 300; i++) {
		(void)snprintf(request, sizeof(request),
			       "{\"cmd\":\"set\",\"sensor\":\"memory\",\"options\":{\"growth\":\"%s\"}}",
			       i % 2 ? "1MiB" : "2MiB");
		require(e2e_ask(&a, request, &answer));
		require(strstr(buf_text(&answer), "\"ok\":true"));
	}
	check_int(e2e_stop(&a, SIGTERM), 0);
}

/* By the name: where it is one of busybox's, the file has another. */
static void write_rule(const char *path, const char *name)
{
	auto_file FILE *f = fopen(path, "we");

	require(f != NULL);
	(void)fprintf(f,
		      "{\"id\":\"r\",\"query\":\"process where event.action == \\\"exec\\\" and process.name == "
		      "\\\"%s\\\"\"}\n",
		      name);
}

/* Waits until the engines have found so many; says what they found. */
static long findings(const struct e2e *a, long want)
{
	long n = -1;

	for (int i = 0; i < 100 && n != want; i++) {
		auto_buf struct buf answer = { .max = 4 << 20 };
		const char *at;

		(void)usleep(i ? 50000 : 0);
		if (!e2e_ask(a, "{\"cmd\":\"status\"}", &answer))
			return -1;
		at = strstr(buf_text(&answer), "\"findings\":");
		n = at ? strtol(at + strlen("\"findings\":"), NULL, 10) : -1;
	}
	return n;
}

static int alerts_in(const struct sandbox *sb, const char *name)
{
	char path[PATH_MAX];
	auto_file FILE *f = NULL;
	auto_free char *line = NULL;
	size_t room = 0;
	int n = 0;

	(void)snprintf(path, sizeof(path), "%s/%s", sb->dir, name);
	f = fopen(path, "re");
	while (f && getline(&line, &room, f) > 0)
		n += strstr(line, "\"event\":{\"kind\":\"alert\"") && strstr(line, "\"ancestry\":[{");
	return n;
}

TEST(rules_run_on_what_happens_and_are_taken_anew_with_the_configuration)
{
	AUTO(alerts) store = NULL;
	uint64_t n = 0;
	auto_sandbox struct sandbox sb = { 0 };
	auto_agent struct e2e a = { 0 };
	auto_buf struct buf answer = { .max = 1 << 20 };
	char rules[128], config[1024];
	int three = 3;

	if (!sandbox_open(&sb, SANDBOX_PLAIN))
		return;
	(void)snprintf(rules, sizeof(rules), "%s/rules.ndjson", sb.dir);
	(void)snprintf(config, sizeof(config), "%sengines:\n  detect: { rules: %s }\n", lean, rules);
	write_rule(rules, "false");
	e2e_config(&a, &sb, config);
	if (!e2e_start(&a, &sb, NULL))
		return;
	check_int(sandbox_run(&sb, run_true, &three), 0);
	check_int(held(&a, "process.exec", 3), 3);
	check_int(findings(&a, 0), 0);
	write_rule(rules, "true");
	require(e2e_ask(&a, "{\"cmd\":\"reload\"}", &answer));
	check_has(buf_text(&answer), "\"ok\":true");
	check_int(sandbox_run(&sb, run_true, &three), 0);
	check_int(findings(&a, 3), 3);
	/* What cannot be read is refused, and the old ones run on. */
	write_rule(rules, "\\q");
	require(e2e_ask(&a, "{\"cmd\":\"reload\"}", &answer));
	check_has(buf_text(&answer), "\"ok\":false");
	check_has(buf_text(&answer), "rules.ndjson:1");
	check_int(sandbox_run(&sb, run_true, &three), 0);
	check_int(findings(&a, 6), 6);
	require(e2e_ask(&a, "{\"cmd\":\"status\"}", &answer));
	check_has(buf_text(&answer), "\"alerts\":{\"found\":6,\"excepted\":0,\"folded\":0,\"told\":6,");
	check_int(e2e_stop(&a, SIGTERM), 0);
	check_has(buf_text(&a.said), "a rule matched rule=\"r\" severity=50");
	/* Each is in the log and in the store once it has ended. */
	check_int(alerts_in(&sb, "alerts.jsonl"), 6);
	(void)snprintf(config, sizeof(config), "%s/alerts.db", sb.dir);
	require_ok(alerts_open(&(struct alerts_options) { .path = config }, &store));
	check_int(alerts_count(store, &(struct alerts_filter) { .rule = "r" }, &n), 0);
	check_int(n, 6);
}

TEST(a_reload_under_load_loses_no_event)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_agent struct e2e a = { 0 };
	auto_buf struct buf answer = { .max = 1 << 20 };
	char rules[128], config[1024];
	int runs = getenv("GUEST_LABEL") ? 100 : 500, status = 0, reloads = 0;
	pid_t pid;

	if (!sandbox_open(&sb, SANDBOX_PLAIN))
		return;
	(void)snprintf(rules, sizeof(rules), "%s/rules.ndjson", sb.dir);
	(void)snprintf(config, sizeof(config), "%sengines:\n  detect: { rules: %s }\n", lean, rules);
	write_rule(rules, "true");
	e2e_config(&a, &sb, config);
	if (!e2e_start(&a, &sb, NULL))
		return;
	pid = sandbox_spawn(&sb, run_true, &runs);
	for (; pid > 0 && waitpid(pid, &status, WNOHANG) == 0; reloads++) {
		require(e2e_ask(&a, "{\"cmd\":\"reload\"}", &answer));
		check_has(buf_text(&answer), "\"ok\":true");
	}
	check_int(status, 0);
	check(reloads > 0);
	check_int(findings(&a, runs), runs);
	check_int(e2e_stop(&a, SIGTERM), 0);
}

TEST(check_says_what_the_agent_would_say)
{
	auto_sandbox struct sandbox sb = { 0 };
	struct e2e a = { 0 }; /* runs none */

	if (!sandbox_open(&sb, SANDBOX_PLAIN))
		return;
	e2e_config(&a, &sb, lean);
	SAYS(&a, 0, "", "check", "--config", a.config);
	e2e_config(&a, &sb, "sensors:\n  proces: { enabled: false }\n");
	SAYS(&a, 1, "shrike.yaml:2:", "check", "--config", a.config);
	SAYS(&a, 1, "process", "check", "--config", a.config);
	SAYS(&a, 1, "/no/such", "check", "--config", "/no/such");
}
