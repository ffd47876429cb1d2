/* SPDX-License-Identifier: Apache-2.0 */
/*
 * e2e - the real agent, as a process of its own, watching a sandbox.
 *
 *	auto_sandbox struct sandbox sb = { 0 };
 *	auto_agent struct e2e a;
 *	if (!sandbox_open(&sb, SANDBOX_PLAIN) || !e2e_start(&a, &sb, NULL))
 *		return;
 *	... sandbox_run(), e2e_ask(), e2e_shrike() ...
 *	check_int(e2e_stop(&a, SIGINT), 0);
 */
#pragma once
#include <signal.h>
#include "base/buf.h"
#include "tests/sandbox/sandbox.h"

struct e2e {
	pid_t pid;
	char socket[128];
	char config[128]; /* a file that the test may write before e2e_start(); passed with --config */
	struct buf said;  /* stderr so far */
	int err_fd;
};

/* A configuration for e2e_start(); call before it. */
void e2e_config(struct e2e *a, const struct sandbox *sb, const char *yaml);
/* Starts `shrike run` scoped to the sandbox and waits until its socket answers. `extra`: further arguments,
 * NULL-terminated, or NULL. */
bool e2e_start(struct e2e *a, const struct sandbox *sb, const char *const *extra);
/* Starts it and waits for its end: for what must be refused. Returns the exit code; its words are in a->said. */
int e2e_run_to_end(struct e2e *a, const struct sandbox *sb, const char *const *extra);
/* Sends the signal, waits for the end; the exit code, or -signal. */
int e2e_stop(struct e2e *a, int signal);
void e2e_close(struct e2e *a);
#define auto_agent __attribute__((cleanup(e2e_close)))

/* One request, one answer line (without its newline). False: the test has failed. */
bool e2e_ask(const struct e2e *a, const char *request, struct buf *answer);
/* Runs `shrike ARGS... --socket <this agent's>` with a time limit; exit code, output in `out`. */
int e2e_shrike(const struct e2e *a, struct buf *out, const char *const *args);
/* For sandbox_run(): runs /bin/true with one argument, one after the other. 0: all ended well. */
struct e2e_runs {
	int n;
	const char *argument;
};
int e2e_run_true(const struct sandbox *sb, void *runs);
/* Path of the binary under test: beside the program that asks, or in the folder above. */
const char *e2e_binary(void);
