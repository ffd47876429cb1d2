/* SPDX-License-Identifier: Apache-2.0 */
#include "base/peer.h"
#include <errno.h>
#include "base/mem.h"

bool peer_in_group(int fd, const struct ucred *peer, gid_t group)
{
	auto_free gid_t *groups = NULL;
	socklen_t len = 0;

	if (group == (gid_t)-1)
		return false;
	if (peer->gid == group)
		return true;
	/* The first call says how much room is wanted. */
	if (!getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &len) || errno != ERANGE)
		return false;
	groups = malloc(len);
	if (!groups || getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len))
		return false;
	for (size_t i = 0; i < len / sizeof(*groups); i++)
		if (groups[i] == group)
			return true;
	return false;
}
