/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include "base/err.h"
#include "cli/help.h"
#include "base/nearest.h"
#include "cli/text.h"

enum { SAY_MAX = 64 << 10, PROBLEM_MAX = 4096 };

const struct verb *const verb_table[] = {
	&verb_run,    &verb_events,  &verb_alerts,     &verb_query,  &verb_status, &verb_top,     &verb_check,
	&verb_sensor, &verb_reload,  &verb_record,     &verb_replay, &verb_rules,  &verb_convert, &verb_hash,
	&verb_token,  &verb_version, &verb_completion, &verb_help,   NULL,
};

const struct exit_row exit_codes[] = {
	{ EXIT_OK, "It did what was asked." },
	{ EXIT_NO, "The answer is no, nothing was found, or something failed and was said on stderr." },
	{ EXIT_USAGE, "It was called wrongly; nothing was done." },
	{ EXIT_NO_AGENT,
	  "No agent could be talked to: none runs there, it went away, or it does not let this user in." },
};
const size_t exit_codes_n = countof(exit_codes);

const char *const output_names[] = { [OUTPUT_TABLE] = "table", [OUTPUT_JSON] = "json", NULL };

const struct verb *verb_find(const char *name)
{
	for (const struct verb *const *v = verb_table; *v; v++)
		if (!strcmp((*v)->name, name))
			return *v;
	return NULL;
}

/* ---- saying things ------------------------------------------------------------------- */

static void say(struct cli *cli, const char *fmt, va_list ap)
{
	auto_buf struct buf raw = { 0 }, line = { 0 };

	buf_init(&raw, SAY_MAX);
	buf_init(&line, SAY_MAX * 4);
	buf_vprintf(&raw, fmt, ap);
	/* Our own line breaks stay; what is put in between them is made safe. */
	for (const char *p = buf_text(&raw), *end = p + raw.len; p < end;) {
		size_t n = strcspn(p, "\n");

		text_safe(&line, p, n);
		p += n;
		if (p < end) {
			buf_char(&line, '\n');
			p++;
		}
	}
	(void)fflush(cli->out);
	(void)fprintf(cli->err, "shrike: %s\n", buf_text(&line));
}

void cli_say(struct cli *cli, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(cli, fmt, ap);
	va_end(ap);
}

enum exit_code cli_failed(struct cli *cli)
{
	cli_say(cli, "%s", err_trail());
	return EXIT_NO;
}

enum exit_code cli_misused(struct cli *cli, const struct verb *verb, const char *fmt, ...)
{
	auto_buf struct buf problem = { 0 };
	va_list ap;

	buf_init(&problem, PROBLEM_MAX);
	va_start(ap, fmt);
	buf_vprintf(&problem, fmt, ap);
	va_end(ap);
	cli_say(cli, "%s: %s", verb->name, buf_text(&problem));
	(void)fprintf(cli->err, "`shrike %s --help` tells how it is called.\n", verb->name);
	return EXIT_USAGE;
}

static bool wrote(struct cli *cli, bool good)
{
	if (!good && !cli->write_error)
		cli->write_error = errno ? errno : EIO;
	return good;
}

bool cli_write(struct cli *cli, const struct buf *b)
{
	return wrote(cli, fwrite(buf_text(b), 1, b->len, cli->out) == b->len);
}

bool cli_flush(struct cli *cli)
{
	return wrote(cli, fflush(cli->out) == 0 && !ferror(cli->out));
}

int cli_stop_fd(struct cli *cli)
{
	sigset_t set;

	if (cli->stop_fd >= 0)
		return cli->stop_fd;
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, NULL) == 0)
		cli->stop_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return cli->stop_fd;
}

/* ---- picking the verb ---------------------------------------------------------------- */

enum exit_code verb_unknown(struct cli *cli, const char *name)
{
	struct nearest near = { .word = name };

	for (const struct verb *const *v = verb_table; *v; v++)
		nearest_offer(&near, (*v)->name);
	if (near.best)
		cli_say(cli, "there is no verb \"%s\"; did you mean \"%s\"?", name, near.best);
	else
		cli_say(cli, "there is no verb \"%s\"", name);
	(void)fprintf(cli->err, "`shrike help` lists them.\n");
	return EXIT_USAGE;
}

static enum exit_code print(struct cli *cli, void (*make)(const struct verb *verb, struct buf *out),
			    const struct verb *verb)
{
	auto_buf struct buf out = { 0 };

	buf_init(&out, HELP_MAX);
	make(verb, &out);
	(void)cli_write(cli, &out);
	return EXIT_OK;
}

static enum exit_code run_verb(struct cli *cli, const struct verb *verb, char **argv)
{
	auto_free void *options = calloc(1, verb->options_size + 1);
	auto_buf struct buf problem = { 0 };
	enum exit_code code = EXIT_NO;
	char **rest;
	size_t n;

	buf_init(&problem, PROBLEM_MAX);
	if (!options) {
		cli_say(cli, "out of memory");
		return EXIT_NO;
	}
	switch (args_parse(verb, argv, options, &rest, &n, &problem)) {
	case ARGS_HELP:
		code = print(cli, help_verb, verb);
		break;
	case ARGS_WRONG:
		code = cli_misused(cli, verb, "%s", buf_text(&problem));
		break;
	case ARGS_OK:
		code = verb->run(cli, options, rest, n);
		break;
	}
	for (size_t i = 0; i < verb->n_options; i++)
		options_clear(&verb->options[i].value, 1, options);
	return code;
}

static enum exit_code pick(struct cli *cli, char **argv)
{
	const char *name = argv[0] ? argv[1] : NULL;
	const struct verb *verb;

	if (!name) {
		(void)print(cli, help_overview, NULL);
		return EXIT_USAGE;
	}
	if (!strcmp(name, "--help") || !strcmp(name, "-h"))
		name = "help";
	else if (!strcmp(name, "--version") || !strcmp(name, "-V"))
		name = "version";
	if (name[0] == '-') {
		cli_say(cli, "a verb comes first, options follow it: shrike VERB %s", name);
		(void)fprintf(cli->err, "`shrike help` lists the verbs.\n");
		return EXIT_USAGE;
	}
	verb = verb_find(name);
	return verb ? run_verb(cli, verb, argv + 2) : verb_unknown(cli, name);
}

enum exit_code cli_main(struct cli *cli, char **argv)
{
	enum exit_code code = pick(cli, argv);

	/* Whoever reads us may stop when it has seen enough: that is no failure. */
	if (cli_flush(cli) || cli->write_error == EPIPE)
		return code;
	(void)fprintf(cli->err, "shrike: cannot write the output: %s\n", strerror(cli->write_error));
	return code == EXIT_OK ? EXIT_NO : code;
}
