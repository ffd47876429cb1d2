/* SPDX-License-Identifier: Apache-2.0 */
/* The arithmetic of `shrike top`, and its screen on a terminal of our own. */
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include "base/err.h"
#include "base/test.h"
#include "cli/client.h"
#include "cli/fake_agent.h"
#include "cli/top_model.h"

enum { TEXT_MAX = 1 << 20, PATIENCE_MS = 5000 };

#define AGENT(on)                                                                                                      \
	"\"agent\":{\"pid\":7,\"version\":\"9.9\",\"uptime_s\":61,\"scope\":\"host\",\"rss_bytes\":2097152,\"cpu_"     \
	"ms\":1000,\"statistics\":" on "}"
#define HOOK(name, fired, runs, ns)                                                                                    \
	"{\"name\":\"" name "\",\"state\":\"attached\",\"via\":\"tp_btf\",\"fired\":" #fired ",\"run_count\":" #runs   \
	",\"run_ns\":" #ns ",\"misses\":2}"
#define KIND(seen, sent, lost)                                                                                         \
	"{\"name\":\"a.b\",\"class\":\"critical\",\"seen\":" #seen ",\"sent\":" #sent ",\"lost_ring\":" #lost "}"
#define STATUS(on, hooks, kinds)                                                                                       \
	"{\"ok\":true," AGENT(on) ",\"sensors\":[{\"name\":\"s\\u001b\",\"state\":\"running\",\"hooks\":[" hooks       \
				  "],\"kinds\":[" kinds "]}],"                                                         \
				  "\"rings\":[{\"name\":\"critical\",\"bytes\":1048576,\"used\":524288}]}"

static void read_sample(const char *json, int64_t at_ns, const struct top_sample *before, struct top_sample *s)
{
	const struct json_node *root;
	auto_json struct json_doc doc = { 0 };

	json_init(&doc, &client_json_limits);
	require_ok(json_parse(&doc, json, strlen(json), &root));
	require_ok(top_read(root, at_ns, before, s));
}

static const struct top_hook *hook(const struct top_sample *s, const char *name)
{
	static const struct top_hook none;

	for (size_t i = 0; i < s->n_hooks; i++)
		if (!strcmp(s->hooks[i].hook, name))
			return &s->hooks[i];
	test_fail(T_HERE, "no hook %s", name);
	return &none;
}

TEST(two_looks_make_rates)
{
	struct top_sample first = { 0 }, second = { 0 };

	read_sample(STATUS("true", HOOK("a", 100, 1000, 50000) "," HOOK("b", 500, 500, 500), KIND(10, 9, 1)), 0, NULL,
		    &first);
	/* The order has changed, b was started anew, c is new, and two seconds have gone by. */
	read_sample(STATUS("true", HOOK("c", 10, 0, 0) "," HOOK("b", 40, 40, 40) "," HOOK("a", 300, 3000, 20050000),
			   KIND(30, 20, 10)),
		    2000000000, &first, &second);
	check_int(hook(&second, "a")->fired_s, 100);
	check_int(hook(&second, "a")->runs_s, 1000);
	check_int(hook(&second, "a")->ns_run, 10000);
	check_int(hook(&second, "a")->cpu_percent, 1);
	check_int(hook(&second, "b")->fired_s, 20);
	check_int(hook(&second, "c")->fired_s, 5);
	check_int(hook(&second, "c")->ns_run, 0);
	check_int(second.seen_s, 10);
	check_int(second.lost_s * 2, 9);
	top_clear(&first);
	top_clear(&second);
}

TEST(rows_come_in_the_order_that_was_asked_for)
{
	static const struct {
		const char *name;
		enum top_sort sort;
		const char *order;
	} rows[] = {
		{ "cpu", TOP_BY_CPU, "bca" },
		{ "events", TOP_BY_EVENTS, "acb" },
		{ "cost", TOP_BY_COST, "cba" },
		{ "name", TOP_BY_NAME, "abc" },
	};
	struct top_sample first = { 0 }, second = { 0 };
	auto_buf struct buf out = { 0 };
	size_t title;

	buf_init(&out, TEXT_MAX);
	read_sample(STATUS("true", HOOK("a", 0, 0, 0) "," HOOK("b", 0, 0, 0) "," HOOK("c", 0, 0, 0), ""), 0, NULL,
		    &first);
	read_sample(STATUS("true", HOOK("a", 9, 10, 100) "," HOOK("b", 1, 100, 9000) "," HOOK("c", 5, 10, 1000), ""),
		    1000000000, &first, &second);
	for_each_row (r, rows) {
		const struct top_look look = { .sort = r->sort };

		buf_clear(&out);
		top_render(&second, &look, &out, &title);
		for (size_t i = 0; i < 3; i++)
			check_int(second.hooks[i].hook[0], r->order[i]);
	}
	check_has(buf_text(&out), "CPU 0.0%, memory 2.0 MiB, 1 sensor\n");
	check_has(buf_text(&out), "rings: critical 50% of 1.0 MiB\n");
	/* What a sensor is called cannot write to the terminal either. */
	check_has(buf_text(&out), "s\\x1b");
	top_clear(&first);
	top_clear(&second);
}

TEST(run_times_that_are_not_measured_are_said_to_be)
{
	struct top_sample s = { 0 };
	const struct top_look look = { 0 };
	auto_buf struct buf out = { 0 };
	size_t title;

	buf_init(&out, TEXT_MAX);
	read_sample(STATUS("false", HOOK("a", 1, 2, 3), KIND(1, 1, 0)), 0, NULL, &s);
	top_render(&s, &look, &out, &title);
	check_has(buf_text(&out), "run times are not measured");
	check_has(buf_text(&out), "s\\x1b   a              0       -       -     -       2  tp_btf\n");
	top_clear(&s);
}

TEST(an_answer_without_anything_in_it_is_shown)
{
	static const struct {
		const char *name, *json;
	} rows[] = {
		{ "empty", "{}" },
		{ "other types", "{\"agent\":[],\"sensors\":{},\"rings\":7,\"bus\":\"x\"}" },
		{ "other types within", "{\"agent\":{\"pid\":\"x\"},\"sensors\":[1,{\"hooks\":[null,{\"state\":"
					"\"attached\"}],\"kinds\":[[]]}],\"rings\":[2]}" },
		{ "negative", "{\"agent\":{\"pid\":-1,\"uptime_s\":-5},\"sensors\":[{\"hooks\":[{\"state\":"
			      "\"attached\",\"fired\":-1}]}]}" },
	};
	auto_buf struct buf out = { 0 };

	buf_init(&out, TEXT_MAX);
	for_each_row (r, rows) {
		struct top_sample s = { 0 };
		const struct top_look look = { 0 };
		size_t title;

		buf_clear(&out);
		read_sample(r->json, 0, NULL, &s);
		top_render(&s, &look, &out, &title);
		check(out.len > 0);
		top_clear(&s);
	}
}

/* ---- the screen ------------------------------------------------------------------------------------------ */

/* Reads what the terminal shows until `want` came, or for five seconds. */
static bool shows(int fd, struct buf *seen, const char *want)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char block[4096];
	ssize_t n;

	for (int tries = 0; tries < 50 && !strstr(buf_text(seen), want); tries++) {
		if (poll(&p, 1, 100) <= 0)
			continue;
		n = read(fd, block, sizeof(block));
		if (n <= 0)
			break;
		for (ssize_t i = 0; i < n; i++)
			if (block[i])
				buf_char(seen, block[i]);
	}
	return strstr(buf_text(seen), want);
}

static int run_on_terminal(const char *path)
{
	char *argv[] = { (char[]) { "shrike" }, (char[]) { "top" },     (char[]) { "--socket" },
			 strdup(path),          (char[]) { "-i100ms" }, NULL };
	struct cli cli = {
		.out = stdout, .err = stderr, .is_terminal = true, .stop_fd = -1, .patience_ms = PATIENCE_MS
	};

	(void)setenv("TERM", "xterm", 1);
	return (int)cli_main(&cli, argv);
}

struct screen {
	int fd;
	pid_t pid;
	char dir[32], path[64];
	struct fake_agent *agent;
	struct buf seen;
	struct termios before;
};

static bool screen_open(struct screen *s)
{
	static const char answers[] = "<\n> {\"ok\":true}\n";
	static const struct winsize size = { .ws_row = 24, .ws_col = 80 };
	auto_buf struct buf script = { 0 };

	buf_init(&script, TEXT_MAX);
	buf_init(&s->seen, TEXT_MAX);
	buf_str(&script, answers);
	for (int i = 0; i < 100; i++)
		buf_printf(&script, "<\n> %s\n", STATUS("true", HOOK("first-hook", 1, 2, 3), KIND(1, 1, 0)));
	(void)snprintf(s->dir, sizeof(s->dir), "/tmp/shrike-top-XXXXXX");
	if (!mkdtemp(s->dir))
		return false;
	(void)snprintf(s->path, sizeof(s->path), "%s/sock", s->dir);
	if (fake_agent_start(s->path, buf_text(&script), -1, &s->agent) < 0)
		return false;
	s->pid = forkpty(&s->fd, NULL, NULL, &size);
	if (s->pid == 0)
		_exit(run_on_terminal(s->path));
	return s->pid > 0;
}

static int screen_close(struct screen *s)
{
	int status = -1;

	/* What is left to read must be read, or the other side cannot end. */
	(void)shows(s->fd, &s->seen, "\033[?1049l");
	for (int tries = 0; tries < 100 && waitpid(s->pid, &status, WNOHANG) == 0; tries++)
		(void)usleep(50000);
	(void)kill(s->pid, SIGKILL);
	(void)waitpid(s->pid, NULL, 0);
	free(fake_agent_stop(s->agent));
	(void)close(s->fd);
	(void)unlink(s->path);
	(void)rmdir(s->dir);
	return status;
}

static void ends_well(struct screen *s)
{
	int status = screen_close(s);

	check(WIFEXITED(status));
	check_int(WEXITSTATUS(status), 0);
	check_has(buf_text(&s->seen), "\033[?1049l"); /* the screen of before is back */
	buf_free(&s->seen);
}

TEST(the_screen_takes_keys_and_gives_the_terminal_back)
{
	struct screen s = { 0 };

	require(screen_open(&s));
	check(shows(s.fd, &s.seen, "first-hook"));
	check(shows(s.fd, &s.seen, "q end"));
	check_has(buf_text(&s.seen), "\033[?1049h"); /* a screen of its own */
	check_int(write(s.fd, "p", 1), 1);
	check(shows(s.fd, &s.seen, "[paused]"));
	check_int(write(s.fd, "h", 1), 1);
	check(shows(s.fd, &s.seen, "runs that the kernel left out"));
	check_int(write(s.fd, "q", 1), 1);
	ends_well(&s);
}

TEST(a_signal_gives_the_terminal_back_too)
{
	struct screen s = { 0 };

	require(screen_open(&s));
	check(shows(s.fd, &s.seen, "first-hook"));
	check_int(kill(s.pid, SIGTERM), 0);
	ends_well(&s);
}

TEST(the_screen_follows_the_size_of_the_terminal)
{
	static const struct winsize sizes[] = { { .ws_row = 3, .ws_col = 20 },
						{ .ws_row = 1, .ws_col = 1 },
						{ .ws_row = 50, .ws_col = 200 } };
	struct screen s = { 0 };

	require(screen_open(&s));
	check(shows(s.fd, &s.seen, "first-hook"));
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		buf_clear(&s.seen);
		check_int(ioctl(s.fd, TIOCSWINSZ, &sizes[i]), 0);
		check(shows(s.fd, &s.seen, "s"));
	}
	check(shows(s.fd, &s.seen, "first-hook"));
	check_int(write(s.fd, "q", 1), 1);
	ends_well(&s);
}
