/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox - the one place where tests act: a cgroup of their own, and where asked for a
 * network namespace with a veth pair.
 *
 * Everything that a test records is what its own children did in here; nothing of the rest
 * of the machine is seen. sandbox_close() removes it all and fails the test if it cannot.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct sandbox {
	char cgroup[256]; /* folder */
	char scope[300];  /* "cgroup:<folder>" */
	char dir[64];     /* scratch folder on a real file system, removed at the end */
	char netns[32];   /* name, "" without */
	char netns_peer[32];
};

enum sandbox_want { SANDBOX_PLAIN, SANDBOX_NET };

/* False, with the test skipped (row "needs-root"), where this may not be done. */
bool sandbox_open(struct sandbox *sb, enum sandbox_want want);
void sandbox_close(struct sandbox *sb);
/* Zeroed where it is declared: a test that leaves before the sandbox is open has nothing to close. */
#define auto_sandbox __attribute__((cleanup(sandbox_close)))

/* Runs fn in a child inside the cgroup (and netns) and waits; returns its exit status, or -signal. */
int sandbox_run(const struct sandbox *sb, int (*fn)(const struct sandbox *sb, void *arg), void *arg);
/* The same, without waiting: the pid. */
pid_t sandbox_spawn(const struct sandbox *sb, int (*fn)(const struct sandbox *sb, void *arg), void *arg);
/* The same in a child that is NOT in the cgroup: for tests that nothing outside the scope is seen. */
int outside_run(const struct sandbox *sb, int (*fn)(const struct sandbox *sb, void *arg), void *arg);
