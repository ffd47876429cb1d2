/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/talk.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include "agent/control.h"
#include "base/json.h"

int talk_send(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t k = send(fd, p, n, MSG_NOSIGNAL);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return -EPIPE;
		p += k;
		n -= (size_t)k;
	}
	return 0;
}

int talk_error(int fd, const char *text)
{
	auto_buf struct buf out = { .max = CONTROL_ANSWER_MAX };

	buf_str(&out, "{\"ok\":false,\"error\":");
	json_write_str(&out, text, strlen(text));
	buf_str(&out, "}\n");
	return talk_send(fd, buf_text(&out), out.len);
}

int talk_ok(int fd)
{
	return talk_send(fd, "{\"ok\":true}\n", 12);
}

bool talk_has_hung_up(int fd)
{
	char byte;
	ssize_t n = recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK);

	return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}
