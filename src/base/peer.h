/* SPDX-License-Identifier: Apache-2.0 */
/* peer - who is at the other end of a unix socket, as the kernel kept it when the peer connected. */
#pragma once
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>

/* Is the peer of the socket a member of the group? Looking its pid up would ask whoever has that pid by now. */
bool peer_in_group(int fd, const struct ucred *peer, gid_t group);
