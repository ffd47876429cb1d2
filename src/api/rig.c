/* SPDX-License-Identifier: Apache-2.0 */
#include "api/rig.h"
#include <string.h>
#include "base/clock.h"
#include "base/err.h"

enum { GOT_MAX = 64 << 20, TURNS_MAX = 100000 };

static int take_tokens(struct rig *r, const char *tokens, enum role anonymous)
{
	char path[] = "/tmp/shrike-rig-XXXXXX";
	struct access_options options = { .path = "", .anonymous = anonymous, .streams = 4 };
	auto_close int fd = -1;
	int got;

	if (!tokens)
		return access_open(&options, &r->api.access);
	fd = mkstemp(path);
	options.path = path;
	if (fd < 0 || write(fd, tokens, strlen(tokens)) != (ssize_t)strlen(tokens))
		return err_sys(errno, "write tokens for a test");
	got = access_open(&options, &r->api.access);
	(void)unlink(path);
	return got;
}

bool rig_open(struct rig *r, const struct route_table *table, enum role anonymous, const char *tokens)
{
	*r = (struct rig) { .api = { .tcp_fd = -1, .unix_fd = -1 } };
	r->api.settings = (struct api_settings) {
		.connections = 10,
		.streams = 4,
		.head_bytes = 4096,
		.head_timeout_ns = 10 * NS_PER_S,
		.body_timeout_ns = 30 * NS_PER_S,
		.idle_timeout_ns = 120 * NS_PER_S,
		.stall_timeout_ns = 120 * NS_PER_S,
	};
	r->api.tables[r->api.n_tables++] = (struct route_table) { api_routes, api_n_routes, &r->api };
	if (table)
		r->api.tables[r->api.n_tables++] = *table;
	buf_init(&r->got, GOT_MAX);
	r->open = true;
	if (take_tokens(r, tokens, anonymous) < 0 || loop_init(&r->loop, &r->api) < 0)
		return false;
	rig_reconnect(r);
	return true;
}

void rig_reconnect(struct rig *r)
{
	const struct peer peer = { .text = "192.0.2.1:4711" };

	if (r->conn.api)
		conn_clear(&r->conn);
	conn_init(&r->conn, &r->api, &r->loop, &peer);
	buf_clear(&r->got);
	r->over = false;
}

void rig_close(struct rig *r)
{
	if (!r->open)
		return;
	work_free(take(r->api.work));
	if (r->conn.api)
		conn_clear(&r->conn);
	loop_clear(&r->loop);
	access_free(r->api.access);
	buf_free(&r->got);
	r->open = false;
}

void rig_run(struct rig *r)
{
	loop_take_woken(&r->loop);
	loop_take_timed(&r->loop);
	for (unsigned i = 0; i < TURNS_MAX && !conn_is_over(&r->conn); i++) {
		size_t n;

		r->loop.kicked = NULL;
		r->conn.kicked = false;
		conn_fill(&r->conn);
		n = conn_pending(&r->conn);
		if (!n)
			break;
		buf_add(&r->got, r->conn.out.data + r->conn.out_at, n);
		conn_sent(&r->conn, n);
	}
	r->over = conn_is_over(&r->conn);
}

void rig_feed(struct rig *r, const char *bytes, size_t n)
{
	conn_feed(&r->conn, bytes, n);
	rig_run(r);
}

void rig_say(struct rig *r, const char *text)
{
	rig_feed(r, text, strlen(text));
}

void rig_wait(struct rig *r, uint64_t ns)
{
	r->loop.now_ns += ns;
	conn_check_time(&r->conn, r->loop.now_ns);
	rig_run(r);
}
