/* SPDX-License-Identifier: Apache-2.0 */
/* main - the world as the verbs get it. */
#include <locale.h>
#include <signal.h>
#include <string.h>
#include "cli/cli.h"

/* See no-color.org: set and not empty means no. */
static bool wants_color(void)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return !(no && no[0]) && term && strcmp(term, "dumb") != 0;
}

int main(int argc, char **argv)
{
	struct cli cli = { .out = stdout, .err = stderr, .stop_fd = -1, .patience_ms = CLI_PATIENCE_MS };

	(void)argc;
	(void)setlocale(LC_ALL, "");
	/* A reader that closes its end is noticed where we write. */
	(void)signal(SIGPIPE, SIG_IGN);
	cli.is_terminal = isatty(STDOUT_FILENO) == 1;
	cli.color = cli.is_terminal && wants_color();
	return (int)cli_main(&cli, argv);
}
