/* SPDX-License-Identifier: Apache-2.0 */
/* talk - answers on the control socket: for the files that serve its requests. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Who asks. */
struct talk_peer {
	int fd;
	uid_t uid;
	pid_t pid;
	const _Atomic bool *stop; /* the agent ends */
};

/* All of it; -EPIPE: the client has gone, or takes too long. */
int talk_send(int fd, const char *p, size_t n);
/* {"ok":true} and {"ok":false,"error":"..."} */
int talk_ok(int fd);
int talk_error(int fd, const char *text);
bool talk_has_hung_up(int fd);
