/* SPDX-License-Identifier: Apache-2.0 */
/* fake_agent - for tests: answers on a socket as a script says, in a thread; and verbs run with their output caught. */
#pragma once
#include "cli/cli.h"

struct fake_agent;

/*
 * One step a line:
 *   <            wait for a line of a request, and keep it
 *   > TEXT       send a line; "\xNN" in it is a byte
 *   >> TEXT      send it without its end
 *   giant N      send N bytes of one line
 *   sleep MS
 *   stop         make cli->stop_fd readable
 *   close        close the connection
 * After the last step the connection stays until the other side closes it. Serves one connection.
 */
int fake_agent_start(const char *path, const char *script, int stop_fd, struct fake_agent **ret_agent);
/* Ends it; the requests that it got, one a line, belong to the caller. */
char *fake_agent_stop(struct fake_agent *agent);

struct ran {
	enum exit_code code;
	char *out, *err;
};
/* argv[0] included, NULL-terminated. */
struct ran cli_ran(struct cli *cli, const char *const *argv);
void ran_free(struct ran *ran);
#define auto_ran __attribute__((cleanup(ran_free)))
