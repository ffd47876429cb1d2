/* SPDX-License-Identifier: Apache-2.0 */
/*
 * top - what the agent's programs cost, live.
 *
 * On a terminal a screen that keys work on; else, or with --once, plain tables. The kernel
 * measures run times for as long as this connection lives, and no longer.
 */
#include <ncurses.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>
#include "agent/control.h"
#include "base/err.h"
#include "cli/client.h"
#include "cli/text.h"
#include "cli/top_model.h"

enum { TEXT_MAX = 1 << 20 };

struct top_options {
	uint64_t interval_ns, count;
	uint32_t sort;
	bool once;
	char *socket;
};

static const struct verb_option options[] = {
	VERB_OPTION(top_options, interval_ns, "interval", 'i', "TIME", OPT_DURATION, "1s", "between two looks",
		    .min = 100000000, .max = 3600000000000),
	VERB_OPTION(top_options, sort, "sort", 's', "COLUMN", OPT_ENUM, "cpu", "what the rows are ordered by",
		    .names = top_sort_names),
	VERB_FLAG(top_options, once, "once", '1', "one plain table, after one interval"),
	VERB_OPTION(top_options, count, "count", 'n', "N", OPT_U64, "0", "end after N tables"),
	OPTION_SOCKET(top_options),
};

struct top {
	struct cli *cli;
	const struct top_options *o;
	struct client *client;
	struct json_doc doc;
	struct top_sample sample; /* the newest */
	struct top_look look;
	struct buf text;
	bool help;
};

static int64_t now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Asks how things are. EXIT_OK with *ret_result CLIENT_LINE, or what there is to say in *ret_result. */
static enum client_result look_again(struct top *top)
{
	static const char request[] = "{\"cmd\":\"status\"}";
	const struct json_node *answer;
	struct top_sample fresh;
	enum client_result result;
	struct str line;

	if (client_send(top->client, request, sizeof(request) - 1) < 0)
		return CLIENT_FAILED;
	result = client_line(top->client, top->cli->patience_ms, &line);
	if (result != CLIENT_LINE)
		return result;
	if (json_parse(&top->doc, line.p, line.n, &answer) < 0)
		return CLIENT_FAILED;
	if (!node_bool(answer, "ok")) {
		(void)err_new(-EPROTO, "the agent says: %s", node_text(answer, "error"));
		return CLIENT_FAILED;
	}
	if (top_read(answer, now_ns(), top->sample.hooks ? &top->sample : NULL, &fresh) < 0)
		return CLIENT_FAILED;
	top_clear(&top->sample);
	top->sample = fresh;
	return CLIENT_LINE;
}

/* ---- plain ------------------------------------------------------------------------------------ */

/* True: the time has passed; false: the user, or whoever reads us, has had enough. */
static bool wait_until(struct top *top, int64_t until_ns)
{
	struct pollfd fd = { .fd = top->cli->stop_fd, .events = POLLIN };

	for (;;) {
		int64_t left_ms = (until_ns - now_ns() + 999999) / 1000000;

		if (left_ms <= 0)
			return true;
		if (poll(&fd, 1, (int)left_ms) > 0)
			return false;
	}
}

static enum client_result plain(struct top *top)
{
	uint64_t tables = top->o->once ? 1 : top->o->count;
	enum client_result result = look_again(top);

	for (uint64_t n = 0; result == CLIENT_LINE && (!tables || n < tables); n++) {
		size_t title;

		if (!wait_until(top, top->sample.at_ns + (int64_t)top->o->interval_ns))
			return CLIENT_STOPPED;
		result = look_again(top);
		if (result != CLIENT_LINE)
			break;
		buf_clear(&top->text);
		if (n)
			buf_char(&top->text, '\n');
		top_render(&top->sample, &top->look, &top->text, &title);
		if (!cli_write(top->cli, &top->text) || !cli_flush(top->cli))
			return CLIENT_UNREAD;
	}
	return result;
}

/* ---- the screen --------------------------------------------------------------------------------- */

static const char help_text[] = "\n"
				"  c  order by CPU            q  end\n"
				"  e  order by events/s       p  pause, and go on\n"
				"  n  order by ns per run     h  this text, and back\n"
				"  s  order by sensor and hook\n"
				"\n"
				"  EVENTS/S  times that the hook fired within the scope\n"
				"  RUNS/S    times that its programs ran, also outside the scope\n"
				"  NS/RUN    what one run takes\n"
				"  CPU%      of one processor, in the programs of this hook\n"
				"  MISSES    runs that the kernel left out, since the start\n";

/* As much of a line as the screen is wide. */
static size_t clip(const char *line, size_t n, size_t columns)
{
	while (n && text_width(line, n) > columns)
		n--;
	/* Not within a character. */
	while (n && ((unsigned char)line[n] & 0xc0) == 0x80)
		n--;
	return n;
}

static void draw(struct top *top)
{
	size_t title = SIZE_MAX, row = 0;
	int height, width;

	getmaxyx(stdscr, height, width);
	buf_clear(&top->text);
	top_render(&top->sample, &top->look, &top->text, &title);
	(void)erase();
	for (const char *p = top->help ? help_text : buf_text(&top->text); *p && (int)row < height; row++) {
		size_t n = strcspn(p, "\n");
		bool is_title = row == title && !top->help;

		if (is_title)
			(void)attron(A_REVERSE);
		(void)mvaddnstr((int)row, 0, p, (int)clip(p, n, (size_t)width));
		if (is_title)
			(void)attroff(A_REVERSE);
		p += n + (p[n] == '\n');
	}
	if (!top->help && height > 1 && (int)row < height)
		(void)mvaddnstr(height - 1, 0, "q end  p pause  h help  order: c cpu  e events  n ns/run  s name",
				width);
	(void)refresh();
}

/* False: end. */
static bool take_key(struct top *top, int key)
{
	switch (key) {
	case 'q':
	case 'Q':
		return false;
	case 'p':
	case ' ':
		top->look.paused = !top->look.paused;
		break;
	case 'h':
	case '?':
		top->help = !top->help;
		break;
	case 'c':
		top->look.sort = TOP_BY_CPU;
		break;
	case 'e':
		top->look.sort = TOP_BY_EVENTS;
		break;
	case 'n':
		top->look.sort = TOP_BY_COST;
		break;
	case 's':
		top->look.sort = TOP_BY_NAME;
		break;
	default: /* KEY_RESIZE too: it is drawn anew */
		break;
	}
	return true;
}

/* Keys until it is time to look again. */
static enum client_result serve_keys(struct top *top, int64_t until_ns)
{
	struct pollfd fds[] = {
		{ .fd = STDIN_FILENO, .events = POLLIN },
		{ .fd = top->cli->stop_fd, .events = POLLIN },
	};

	for (;;) {
		int64_t left_ms = (until_ns - now_ns() + 999999) / 1000000;
		int key;

		if (left_ms <= 0)
			return CLIENT_LINE;
		/* EINTR: the size has changed, which getch tells as a key. */
		if (poll(fds, countof(fds), (int)left_ms) < 0 && errno != EINTR)
			return CLIENT_STOPPED;
		if (fds[1].revents || fds[0].revents & (POLLHUP | POLLERR | POLLNVAL))
			return CLIENT_STOPPED;
		while ((key = getch()) != ERR) {
			if (!take_key(top, key))
				return CLIENT_STOPPED;
			draw(top);
		}
	}
}

static enum client_result screen(struct top *top)
{
	enum client_result result = look_again(top);
	uint64_t drawn = 0;

	while (result == CLIENT_LINE) {
		draw(top);
		result = serve_keys(top, now_ns() + (int64_t)top->o->interval_ns);
		if (result == CLIENT_LINE && !top->look.paused)
			result = look_again(top);
		if (top->o->count && ++drawn > top->o->count)
			return CLIENT_STOPPED;
	}
	return result;
}

static enum client_result on_terminal(struct top *top)
{
	SCREEN *terminal = newterm(NULL, top->cli->out, stdin);
	enum client_result result;

	/* A terminal that nobody knows gets plain tables. */
	if (!terminal)
		return plain(top);
	(void)cbreak();
	(void)noecho();
	(void)nodelay(stdscr, TRUE);
	(void)keypad(stdscr, TRUE);
	(void)curs_set(0);
	result = screen(top);
	(void)endwin();
	delscreen(terminal);
	return result;
}

/* ---- the verb --------------------------------------------------------------------------------------- */

static enum exit_code run_on(struct top *top)
{
	const struct json_node *answer;
	enum client_result result;
	enum exit_code code;

	/* Without it all is shown but the run times, and the first lines say so. */
	code = client_ask(top->cli, top->client, "{\"cmd\":\"statistics\",\"on\":true}", &top->doc, &answer, NULL);
	if (code == EXIT_NO_AGENT)
		return code;
	if (top->cli->is_terminal && isatty(STDIN_FILENO) && !top->o->once)
		result = on_terminal(top);
	else
		result = plain(top);
	if (result == CLIENT_LINE || result == CLIENT_STOPPED || result == CLIENT_UNREAD)
		return EXIT_OK;
	return client_gone(top->cli, result);
}

static enum exit_code run(struct cli *cli, const void *opts, char **args, size_t n_args)
{
	const struct top_options *o = opts;
	struct top top = { .cli = cli, .o = o, .look = { .sort = o->sort } };
	AUTO(client) client = NULL;
	enum exit_code code;

	if (n_args)
		return cli_misused(cli, &verb_top, "\"%s\" is one word too many", args[0]);
	(void)cli_stop_fd(cli);
	code = client_open(cli, o->socket, &client);
	if (code != EXIT_OK)
		return code;
	top.client = client;
	json_init(&top.doc, &client_json_limits);
	buf_init(&top.text, TEXT_MAX);
	code = run_on(&top);
	buf_free(&top.text);
	json_free(&top.doc);
	top_clear(&top.sample);
	return code;
}

static const struct verb_example examples[] = {
	{ "shrike top", "live, until q" },
	{ "shrike top --once --interval 10s", "one table of the next ten seconds" },
};

const struct verb verb_top = {
	.name = "top",
	.summary = "what the agent's programs cost, live",
	.about = "Shows each hook with its events a second, the time that one run takes and the share of a processor, "
		 "how full the rings are and what is lost. Where stdout is no terminal it prints tables. While it "
		 "runs the kernel measures run times, which costs each run some tens of nanoseconds.\n\n"
		 "Keys: q ends, p pauses, h helps; c, e, n and s order the rows by CPU, events, ns per run and name.",
	.options = options,
	.n_options = countof(options),
	.options_size = sizeof(struct top_options),
	.examples = examples,
	.n_examples = countof(examples),
	.run = run,
};
