/* SPDX-License-Identifier: Apache-2.0 */
/* What processes in a network of the test's own said to each other, as the sensor recorded it. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/err.h"
#include "base/mem.h"
#include "base/test.h"
#include "bpf/kernel_probe.h"
#include "sensors/net/net.event.h"
#include "sensors/net/net.map.h"
#include "tests/sandbox/observe.h"

extern const struct sensor sensor_net;

/* What a child tells the test, through memory that both see. */
struct told {
	int pid, worker;
	uint16_t port, client_port;
};

static struct told *told_new(void)
{
	void *p = mmap(NULL, sizeof(struct told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static void told_free(struct told **t)
{
	if (*t)
		(void)munmap(*t, sizeof(**t));
}
#define auto_told __attribute__((cleanup(told_free)))

/* ---- sockets, as a child uses them: any failure ends it with the line's number ------------------ */

#define must(e)                                                                                                        \
	do {                                                                                                           \
		if (!(e)) {                                                                                            \
			fprintf(stderr, "    line %d: %s: %s\n", __LINE__, #e, strerror(errno));                       \
			_exit(97);                                                                                     \
		}                                                                                                      \
	} while (0)

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static socklen_t address(const char *text, uint16_t port, union address *a)
{
	memset(a, 0, sizeof(*a));
	if (inet_pton(AF_INET, text, &a->v4.sin_addr) == 1) {
		a->v4.sin_family = AF_INET;
		a->v4.sin_port = htons(port);
		return sizeof(a->v4);
	}
	must(inet_pton(AF_INET6, text, &a->v6.sin6_addr) == 1);
	a->v6.sin6_family = AF_INET6;
	a->v6.sin6_port = htons(port);
	return sizeof(a->v6);
}

static uint16_t port_of(int fd)
{
	union address a;
	socklen_t len = sizeof(a);

	must(!getsockname(fd, &a.any, &len));
	return ntohs(a.any.sa_family == AF_INET ? a.v4.sin_port : a.v6.sin6_port);
}

static int bound(const char *at, int type)
{
	union address a;
	socklen_t len = address(at, 0, &a);
	int fd = socket(a.any.sa_family, type | SOCK_CLOEXEC, 0);

	must(fd >= 0 && !bind(fd, &a.any, len));
	return fd;
}

static int listening(const char *at, uint16_t *ret_port)
{
	int fd = bound(at, SOCK_STREAM);

	must(!listen(fd, 5));
	*ret_port = port_of(fd);
	return fd;
}

/* Connects; 0 or -errno. */
static int try_connect(const char *to, uint16_t port, int flags, int *ret_fd)
{
	union address a;
	socklen_t len = address(to, port, &a);
	int fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | flags, 0), one = 1;

	must(fd >= 0);
	(void)setsockopt(fd, IPPROTO_TCP, TCP_SYNCNT, &one, sizeof(one));
	*ret_fd = fd;
	return connect(fd, &a.any, len) ? -errno : 0;
}

static int connected(const char *to, uint16_t port)
{
	int fd;

	must(try_connect(to, port, 0, &fd) == 0);
	return fd;
}

static int accepted(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	must(fd >= 0);
	return fd;
}

static void say(int fd, size_t n)
{
	static const char bytes[8192];

	must(write(fd, bytes, n) == (ssize_t)n);
}

static void hear(int fd, size_t n)
{
	char bytes[8192];

	for (ssize_t got; n; n -= (size_t)got) {
		got = read(fd, bytes, n);
		must(got > 0);
	}
}

/* Until the other side has closed. */
static void hear_end(int fd)
{
	char byte;

	must(read(fd, &byte, 1) == 0);
}

/* Interrupts do the rest of the work a moment later. */
static void settle(void)
{
	(void)usleep(30000);
}

static void enter_peer(const struct sandbox *sb)
{
	char path[64];
	int fd;

	(void)snprintf(path, sizeof(path), "/run/netns/%s", sb->netns_peer);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	must(fd >= 0 && !setns(fd, CLONE_NEWNET));
	(void)close(fd);
}

/* ---- what a record says ----------------------------------------------------------------------------- */

static const char *ip_text(const struct ev_addr *a)
{
	static char text[4][INET6_ADDRSTRLEN];
	static int at;

	at = (at + 1) % 4;
	if (IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)(const void *)a->bytes))
		(void)inet_ntop(AF_INET, a->bytes + 12, text[at], sizeof(text[at]));
	else
		(void)inet_ntop(AF_INET6, a->bytes, text[at], sizeof(text[at]));
	return text[at];
}

static void check_ends(const struct ev_flow *f, const char *source, const char *destination, uint16_t port, int family)
{
	check_str(ip_text(&f->source), source);
	check_str(ip_text(&f->destination), destination);
	check_int(f->destination_port, port);
	check_int(f->family, family);
}

/* The nth record of a kind that goes this way, or NULL. */
static const void *find_way(const struct observer *ob, __u16 id, int direction, size_t nth)
{
	const struct ev_net_accept *e; /* all of them have head and flow at the same place */

	for (size_t i = 0; (e = observe_find(ob, id, i)); i++)
		if (e->flow.direction == direction && !nth--)
			return e;
	return NULL;
}

/* The first, as soon as it is there: a connection ends in its own time, which on a busy machine is long. */
static const void *await_way(struct observer *ob, __u16 id, int direction)
{
	const void *e = find_way(ob, id, direction, 0);

	for (int i = 0; !e && i < 500; i++) {
		(void)usleep(10000);
		observe_drain(ob);
		e = find_way(ob, id, direction, 0);
	}
	return e;
}

/* The sensor, or one that lacks some variants. */
static const struct sensor *observed = &sensor_net;

static bool observe_net(struct observer *ob, const struct sandbox *sb, const char *option, const char *value)
{
	static char options[256] __attribute__((aligned(8)));

	memset(options, 0, sizeof(options));
	if (option_defaults(sensor_net.options, sensor_net.n_options, options) < 0) {
		test_fail(T_HERE, "%s", err_trail());
		return false;
	}
	for (size_t i = 0; i < sensor_net.n_options; i++)
		if (option && !strcmp(sensor_net.options[i].name, option) &&
		    option_set(&sensor_net.options[i], value, options) < 0) {
			test_fail(T_HERE, "%s", err_trail());
			return false;
		}
	return observe_open(ob, sb, observed, options);
}

/* ---- TCP ---------------------------------------------------------------------------------------------- */

struct talk {
	const char *name, *listen, *connect;
	const char *client_ip, *server_ip; /* as recorded */
	int family;
	struct told *told;
};

/* 1000 bytes there, 5000 back; the client closes first. */
static int talk(const struct sandbox *sb, void *arg)
{
	const struct talk *t = arg;
	int listener, client, server;

	(void)sb;
	t->told->pid = getpid();
	listener = listening(t->listen, &t->told->port);
	client = connected(t->connect, t->told->port);
	t->told->client_port = port_of(client);
	server = accepted(listener);
	say(client, 1000);
	hear(server, 1000);
	say(server, 5000);
	hear(client, 5000);
	(void)close(client);
	hear_end(server);
	(void)close(server);
	(void)close(listener);
	settle();
	return 0;
}

static void check_close(const struct ev_net_close *e, const struct talk *t)
{
	require(e != NULL);
	check_ends(&e->flow, t->client_ip, t->server_ip, t->told->port, t->family);
	check_int(e->flow.source_port, t->told->client_port);
	check_int(e->source_bytes, 1000);
	check_int(e->destination_bytes, 5000);
	check(e->source_packets >= 3 && e->destination_packets >= 2);
	check(e->duration_ns > 0 && e->duration_ns < 10000000000ULL);
	check(e->rtt_us > 0);
	check_int(e->retransmits, 0);
	check_int(e->error, 0);
	check_int(e->head.pid, t->told->pid);
}

static void check_talk(struct observer *ob, const struct talk *t)
{
	const struct ev_net_connect *c = observe_find(ob, EV_NET_CONNECT, 0);
	const struct ev_net_accept *a = observe_find(ob, EV_NET_ACCEPT, 0);
	const struct ev_net_listen *l = observe_find(ob, EV_NET_LISTEN, 0);
	const struct ev_net_bind *b = observe_find(ob, EV_NET_BIND, 0);

	require(c && a && l && b);
	check_close(await_way(ob, EV_NET_CLOSE, FLOW_EGRESS), t);
	check_close(await_way(ob, EV_NET_CLOSE, FLOW_INGRESS), t);
	check_int(observe_count(ob, EV_NET_CONNECT), 1);
	check_int(observe_count(ob, EV_NET_ACCEPT), 1);
	check_int(observe_count(ob, EV_NET_CLOSE), 2);
	check_int(observe_count(ob, EV_NET_RESET), 0);

	check_ends(&c->flow, t->client_ip, t->server_ip, t->told->port, t->family);
	check_int(c->flow.source_port, t->told->client_port);
	check_int(c->flow.transport, IPPROTO_TCP);
	check_int(c->flow.direction, FLOW_EGRESS);
	check_int(c->outcome, NET_SUCCESS);
	check_int(c->error, 0);
	check(c->duration_ns > 0);
	check_int(c->head.pid, t->told->pid);

	check_ends(&a->flow, t->client_ip, t->server_ip, t->told->port, t->family);
	check_int(a->flow.source_port, t->told->client_port);
	check_int(a->flow.direction, FLOW_INGRESS);
	check_int(a->head.pid, t->told->pid);

	check_ends(&l->flow, "::", t->listen, t->told->port, strchr(t->listen, ':') ? 6 : 4);
	check_int(l->backlog, 5);
	check_ends(&b->flow, "::", t->listen, t->told->port, strchr(t->listen, ':') ? 6 : 4);
	check_int(b->outcome, NET_SUCCESS);

	c = find_way(ob, EV_NET_CLOSE, FLOW_EGRESS, 0);
	check(c && c->flow.cookie && c->flow.cookie != a->flow.cookie);
}

TEST(a_tcp_connection_is_recorded_from_both_its_ends)
{
	static const struct talk rows[] = {
		{ "loopback v4", "127.0.0.1", "127.0.0.1", "127.0.0.1", "127.0.0.1", 4, NULL },
		{ "loopback v6", "::1", "::1", "::1", "::1", 6, NULL },
		{ "own address v4", "10.211.0.1", "10.211.0.1", "10.211.0.1", "10.211.0.1", 4, NULL },
		{ "own address v6", "fd5a::1", "fd5a::1", "fd5a::1", "fd5a::1", 6, NULL },
		{ "any v4", "0.0.0.0", "10.211.0.1", "10.211.0.1", "10.211.0.1", 4, NULL },
		{ "dual stack listener", "::", "10.211.0.1", "10.211.0.1", "10.211.0.1", 4, NULL },
		{ "v4 from a v6 socket", "10.211.0.1", "::ffff:10.211.0.1", "10.211.0.1", "10.211.0.1", 4, NULL },
	};
	auto_told struct told *told = told_new();
	auto_sandbox struct sandbox sb = { 0 };

	require(told != NULL);
	if (!sandbox_open(&sb, SANDBOX_NET))
		return;
	for_each_row (r, rows) {
		auto_observer struct observer ob = { 0 };
		struct talk t = *r;

		t.told = told;
		if (!observe_net(&ob, &sb, NULL, NULL))
			return;
		check_int(sandbox_run(&sb, talk, &t), 0);
		observe_drain(&ob);
		check_talk(&ob, &t);
		observe_check_books(&ob);
		test_row = NULL;
	}
}

static int refused(const struct sandbox *sb, void *arg)
{
	struct told *t = arg;
	int fd, r;

	(void)sb;
	t->port = 1;
	r = try_connect("10.211.0.2", 1, 0, &fd);
	(void)close(fd);
	settle();
	return -r;
}

TEST(a_refused_connect_says_so)
{
	auto_told struct told *told = told_new();
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };
	const struct ev_net_connect *c;
	const struct ev_net_reset *reset;

	if (!sandbox_open(&sb, SANDBOX_NET) || !observe_net(&ob, &sb, NULL, NULL))
		return;
	check_int(sandbox_run(&sb, refused, told), ECONNREFUSED);
	observe_drain(&ob);
	observe_check_books(&ob);
	check_int(observe_count(&ob, EV_NET_CONNECT), 1);
	check_int(observe_count(&ob, EV_NET_CLOSE), 0);
	c = observe_find(&ob, EV_NET_CONNECT, 0);
	require(c != NULL);
	check_int(c->outcome, NET_FAILURE);
	check_int(c->error, ECONNREFUSED);
	check_ends(&c->flow, "10.211.0.1", "10.211.0.2", 1, 4);
	check(c->flow.source_port != 0);
	reset = observe_find(&ob, EV_NET_RESET, 0);
	require(reset != NULL);
	check_int(reset->way, NET_RESET_RECEIVED);
	check_int(reset->head.pid, c->head.pid);
}

static int reach_nowhere(const struct sandbox *sb, void *arg)
{
	int fd, r;

	(void)sb;
	r = try_connect(arg, 80, 0, &fd);
	(void)close(fd);
	settle();
	return -r;
}

TEST(a_connect_without_a_route_is_recorded_though_no_packet_left)
{
	static char v4[] = "192.0.2.1", v6[] = "2001:db8::1";
	static const struct {
		const char *name;
		char *to;
		int family;
	} rows[] = { { "v4", v4, 4 }, { "v6", v6, 6 } };
	auto_sandbox struct sandbox sb = { 0 };

	if (!sandbox_open(&sb, SANDBOX_NET))
		return;
	for_each_row (r, rows) {
		auto_observer struct observer ob = { 0 };
		const struct ev_net_connect *c;

		if (!observe_net(&ob, &sb, NULL, NULL))
			return;
		check_int(sandbox_run(&sb, reach_nowhere, r->to), ENETUNREACH);
		observe_drain(&ob);
		check_int(observe_count(&ob, EV_NET_CONNECT), 1);
		c = observe_find(&ob, EV_NET_CONNECT, 0);
		require(c != NULL);
		check_int(c->outcome, NET_FAILURE);
		check_int(c->error, ENETUNREACH);
		check_str(ip_text(&c->flow.destination), r->to);
		check_int(c->flow.destination_port, 80);
		check_int(c->flow.family, r->family);
		check(c->head.pid != 0);
		observe_check_books(&ob);
		test_row = NULL;
	}
}

/* Whether the peer can answer: its packets to us vanish while the route stands. */
static void peer_is_mute(const struct sandbox *sb, bool mute)
{
	char cmd[128];

	(void)snprintf(cmd, sizeof(cmd), "ip -n %s route %s blackhole 10.211.0.1/32", sb->netns_peer,
		       mute ? "add" : "del");
	must(system(cmd) == 0);
}

static int timed_out(const struct sandbox *sb, void *arg)
{
	int fd, r;

	peer_is_mute(sb, true);
	r = try_connect("10.211.0.2", 81, 0, &fd);
	(void)close(fd);
	(void)arg;
	settle();
	return -r;
}

TEST(a_connect_that_gets_no_answer_is_sent_again_and_times_out)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };
	const struct ev_net_connect *c;
	const struct ev_net_retransmit *again;

	if (!sandbox_open(&sb, SANDBOX_NET) || !observe_net(&ob, &sb, NULL, NULL))
		return;
	check_int(sandbox_run(&sb, timed_out, NULL), ETIMEDOUT);
	observe_drain(&ob);
	observe_check_books(&ob);
	check_int(observe_count(&ob, EV_NET_CONNECT), 1);
	c = observe_find(&ob, EV_NET_CONNECT, 0);
	require(c != NULL);
	check_int(c->outcome, NET_FAILURE);
	check_int(c->error, ETIMEDOUT);
	check(c->duration_ns > 900000000);
	again = observe_find(&ob, EV_NET_RETRANSMIT, 0);
	require(again != NULL);
	check_int(again->state, 2); /* SYN_SENT */
	check_int(again->head.pid, c->head.pid);
	check_ends(&again->flow, "10.211.0.1", "10.211.0.2", 81, 4);
}

static int gives_up(const struct sandbox *sb, void *arg)
{
	int fd;

	(void)arg;
	peer_is_mute(sb, true);
	must(try_connect("10.211.0.2", 81, SOCK_NONBLOCK, &fd) == -EINPROGRESS);
	(void)close(fd);
	settle();
	return 0;
}

TEST(a_connect_that_its_process_gave_up_has_no_errno)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };
	const struct ev_net_connect *c;

	if (!sandbox_open(&sb, SANDBOX_NET) || !observe_net(&ob, &sb, NULL, NULL))
		return;
	check_int(sandbox_run(&sb, gives_up, NULL), 0);
	observe_drain(&ob);
	check_int(observe_count(&ob, EV_NET_CONNECT), 1);
	c = observe_find(&ob, EV_NET_CONNECT, 0);
	require(c != NULL);
	check_int(c->outcome, NET_FAILURE);
	check_int(c->error, 0);
	check_int(c->flow.destination_port, 81);
}

/* The listener is in the other network, outside the scope: only our end is recorded. */
static int across(const struct sandbox *sb, void *arg)
{
	struct told *t = arg;
	int fd, ready[2], go[2], status;
	char byte = 0;
	pid_t pid;

	must(!pipe(ready) && !pipe(go));
	pid = fork();
	must(pid >= 0);
	if (!pid) {
		int listener, server;

		enter_peer(sb);
		listener = listening("10.211.0.2", &t->port);
		must(write(ready[1], &byte, 1) == 1);
		server = accepted(listener);
		hear(server, 300);
		hear_end(server);
		_exit(0);
	}
	must(read(ready[0], &byte, 1) == 1);
	must(try_connect("10.211.0.2", t->port, SOCK_NONBLOCK, &fd) == -EINPROGRESS);
	settle();
	peer_is_mute(sb, true);
	say(fd, 100);
	(void)usleep(400000);
	peer_is_mute(sb, false);
	say(fd, 200);
	(void)usleep(600000);
	(void)close(fd);
	must(waitpid(pid, &status, 0) == pid && status == 0);
	settle();
	return 0;
}

TEST(a_segment_that_is_not_acknowledged_is_recorded_when_sent_again)
{
	auto_told struct told *told = told_new();
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };
	const struct ev_net_connect *c;
	const struct ev_net_retransmit *again;
	const struct ev_net_close *end;

	if (!sandbox_open(&sb, SANDBOX_NET) || !observe_net(&ob, &sb, NULL, NULL))
		return;
	check_int(sandbox_run(&sb, across, told), 0);
	observe_drain(&ob);
	c = observe_find(&ob, EV_NET_CONNECT, 0);
	again = observe_find(&ob, EV_NET_RETRANSMIT, 0);
	end = await_way(&ob, EV_NET_CLOSE, FLOW_EGRESS);
	require(c && again && end);
	check_int(c->outcome, NET_SUCCESS);
	check_int(again->state, 1); /* ESTABLISHED */
	check_ends(&again->flow, "10.211.0.1", "10.211.0.2", told->port, 4);
	check(end->retransmits > 0);
	check_int(end->source_bytes, 300);
	check_int(end->destination_bytes, 0);
	check(end->flow.cookie == c->flow.cookie && again->flow.cookie == c->flow.cookie);
	observe_check_books(&ob);
}

static int reset_hard(const struct sandbox *sb, void *arg)
{
	const struct linger hard = { .l_onoff = 1 };
	struct told *t = arg;
	int listener = listening("127.0.0.1", &t->port), client = connected("127.0.0.1", t->port),
	    server = accepted(listener);
	char byte;

	(void)sb;
	must(!setsockopt(client, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)));
	(void)close(client);
	settle();
	return read(server, &byte, 1) < 0 ? errno : 0;
}

TEST(a_reset_is_recorded_where_it_is_sent_and_where_it_arrives)
{
	auto_told struct told *told = told_new();
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };
	const struct ev_net_reset *sent = NULL, *got = NULL, *e;
	const struct ev_net_close *end;

	if (!sandbox_open(&sb, SANDBOX_NET) || !observe_net(&ob, &sb, NULL, NULL))
		return;
	check_int(sandbox_run(&sb, reset_hard, told), ECONNRESET);
	check_int(observe_await(&ob, EV_NET_RESET, 2), 2);
	observe_check_books(&ob);
	for (size_t i = 0; (e = observe_find(&ob, EV_NET_RESET, i)); i++)
		if (e->way == NET_RESET_SENT)
			sent = e;
		else
			got = e;
	require(sent && got);
	check_int(sent->flow.direction, FLOW_EGRESS);
	check_int(got->flow.direction, FLOW_INGRESS);
	check_ends(&sent->flow, "127.0.0.1", "127.0.0.1", told->port, 4);
	check_ends(&got->flow, "127.0.0.1", "127.0.0.1", told->port, 4);
	check_int(got->state, 1);
	end = await_way(&ob, EV_NET_CLOSE, FLOW_INGRESS);
	require(end != NULL);
	check_int(end->error, ECONNRESET);
}

/* ---- whose socket it is ------------------------------------------------------------------------------- */

static int prefork(const struct sandbox *sb, void *arg)
{
	struct told *t = arg;
	int listener = listening("127.0.0.1", &t->port), client, status;
	pid_t pid;

	(void)sb;
	t->pid = getpid();
	pid = fork();
	must(pid >= 0);
	if (!pid) {
		int server = accepted(listener);

		t->worker = getpid();
		hear_end(server);
		(void)close(server);
		_exit(0);
	}
	client = connected("127.0.0.1", t->port);
	settle();
	(void)close(client);
	must(waitpid(pid, &status, 0) == pid && status == 0);
	settle();
	return 0;
}

TEST(a_connection_belongs_to_the_worker_that_accepted_it)
{
	auto_told struct told *told = told_new();
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };
	const struct ev_net_accept *a;
	const struct ev_net_close *end;

	if (!sandbox_open(&sb, SANDBOX_NET) || !observe_net(&ob, &sb, NULL, NULL))
		return;
	check_int(sandbox_run(&sb, prefork, told), 0);
	observe_drain(&ob);
	a = observe_find(&ob, EV_NET_ACCEPT, 0);
	end = await_way(&ob, EV_NET_CLOSE, FLOW_INGRESS);
	require(a && end);
	check_int(a->head.pid, told->worker);
	check_int(end->head.pid, told->worker);
	end = await_way(&ob, EV_NET_CLOSE, FLOW_EGRESS);
	require(end != NULL);
	check_int(end->head.pid, told->pid);
}

static int inherited(const struct sandbox *sb, void *arg)
{
	struct told *t = arg;
	int listener = listening("127.0.0.1", &t->port), client = connected("127.0.0.1", t->port),
	    server = accepted(listener), status;
	pid_t pid;

	(void)sb;
	t->pid = getpid();
	pid = fork();
	must(pid >= 0);
	if (!pid) {
		(void)usleep(100000);
		say(client, 10);
		_exit(0);
	}
	(void)close(client);
	must(waitpid(pid, &status, 0) == pid && status == 0);
	hear(server, 10);
	hear_end(server);
	settle();
	return 0;
}

TEST(a_socket_that_a_child_inherited_ends_once_when_the_last_lets_go)
{
	auto_told struct told *told = told_new();
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };
	const struct ev_net_close *end;

	if (!sandbox_open(&sb, SANDBOX_NET) || !observe_net(&ob, &sb, NULL, NULL))
		return;
	check_int(sandbox_run(&sb, inherited, told), 0);
	observe_drain(&ob);
	end = await_way(&ob, EV_NET_CLOSE, FLOW_EGRESS);
	require(end != NULL);
	check(!find_way(&ob, EV_NET_CLOSE, FLOW_EGRESS, 1));
	check_int(end->source_bytes, 10);
	check(end->duration_ns > 90000000);
	check_int(end->head.pid, told->pid);
}

/* Waits (5 s at most) until the other process has set it. */
static bool wait_set(volatile int *flag)
{
	for (int i = 0; i < 500 && !*flag; i++)
		(void)usleep(10000);
	return *flag;
}

static int older(const struct sandbox *sb, void *arg)
{
	struct told *t = arg;
	int listener = listening("127.0.0.1", &t->port), client = connected("127.0.0.1", t->port),
	    server = accepted(listener);

	(void)sb;
	say(client, 70);
	t->pid = getpid();
	must(wait_set(&t->worker));
	say(client, 7);
	(void)close(client);
	hear(server, 77);
	hear_end(server);
	settle();
	return 0;
}

TEST(of_a_connection_older_than_the_sensor_the_end_and_the_process_are_told)
{
	auto_told struct told *told = told_new();
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };
	const struct ev_net_close *end;
	int status;
	pid_t pid;

	require(told != NULL);
	if (!sandbox_open(&sb, SANDBOX_NET))
		return;
	pid = sandbox_spawn(&sb, older, told);
	check(wait_set(&told->pid));
	check(observe_net(&ob, &sb, NULL, NULL));
	told->worker = 1;
	check(waitpid(pid, &status, 0) == pid && status == 0);
	if (!ob.object)
		return;
	check_int(observe_await(&ob, EV_NET_CLOSE, 2), 2);
	end = observe_find(&ob, EV_NET_CLOSE, 0);
	require(end != NULL);
	check_int(end->flow.direction, FLOW_UNKNOWN);
	check_int(end->source_bytes + end->destination_bytes, 77);
	check_int(end->duration_ns, 0);
	check_int(end->head.pid, observe_via(&ob, "older-sockets") ? told->pid : 0);
	check_int(end->head.uid, getuid());
	check(end->head.cgroup_id != 0 && end->head.netns != 0);
}

/* ---- UDP ------------------------------------------------------------------------------------------------ */

struct datagrams {
	const char *name, *at, *to;
	const char *ip; /* as recorded */
	int family;
	bool connected;
	struct told *told;
};

/* Three there, two back. */
static int datagrams(const struct sandbox *sb, void *arg)
{
	const struct datagrams *d = arg;
	int server = bound(d->at, SOCK_DGRAM), client;
	union address to, from;
	socklen_t len;
	char bytes[64] = { 0 };

	(void)sb;
	d->told->pid = getpid();
	d->told->port = port_of(server);
	len = address(d->to, d->told->port, &to);
	client = socket(to.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	must(client >= 0);
	if (d->connected)
		must(!connect(client, &to.any, len));
	for (int i = 0; i < 3; i++)
		must((d->connected ? send(client, bytes, 10, 0) : sendto(client, bytes, 10, 0, &to.any, len)) == 10);
	for (int i = 0; i < 3; i++) {
		len = sizeof(from);
		must(recvfrom(server, bytes, sizeof(bytes), 0, &from.any, &len) == 10);
	}
	for (int i = 0; i < 2; i++)
		must(sendto(server, bytes, 20, 0, &from.any, len) == 20);
	for (int i = 0; i < 2; i++)
		must(recv(client, bytes, sizeof(bytes), 0) == 20);
	d->told->client_port = port_of(client);
	settle();
	return 0;
}

static const struct ev_net_udp *find_udp(const struct observer *ob, int direction, bool reply)
{
	const struct ev_net_udp *e;

	for (size_t i = 0; (e = observe_find(ob, EV_NET_UDP, i)); i++)
		if (e->flow.direction == direction && e->reply == reply)
			return e;
	return NULL;
}

static void check_udp(const struct ev_net_udp *e, const struct datagrams *d, bool reply)
{
	require(e != NULL);
	check_str(ip_text(&e->flow.source), d->ip);
	check_str(ip_text(&e->flow.destination), d->ip);
	check_int(e->flow.source_port, reply ? d->told->port : d->told->client_port);
	check_int(e->flow.destination_port, reply ? d->told->client_port : d->told->port);
	check_int(e->flow.family, d->family);
	check_int(e->flow.transport, IPPROTO_UDP);
	check_int(e->bytes, reply ? 20 : 10);
	check_int(e->head.pid, d->told->pid);
}

TEST(a_udp_flow_is_recorded_once_each_way_at_each_end)
{
	static const struct datagrams rows[] = {
		{ "v4", "127.0.0.1", "127.0.0.1", "127.0.0.1", 4, false, NULL },
		{ "v4 connected", "10.211.0.1", "10.211.0.1", "10.211.0.1", 4, true, NULL },
		{ "v6", "::1", "::1", "::1", 6, false, NULL },
		{ "v6 connected", "fd5a::1", "fd5a::1", "fd5a::1", 6, true, NULL },
		{ "dual stack server", "::", "10.211.0.1", "10.211.0.1", 4, false, NULL },
		{ "v4 from a v6 socket", "10.211.0.1", "::ffff:10.211.0.1", "10.211.0.1", 4, true, NULL },
	};
	auto_told struct told *told = told_new();
	auto_sandbox struct sandbox sb = { 0 };

	require(told != NULL);
	if (!sandbox_open(&sb, SANDBOX_NET))
		return;
	for_each_row (r, rows) {
		auto_observer struct observer ob = { 0 };
		struct datagrams d = *r;

		d.told = told;
		if (!observe_net(&ob, &sb, NULL, NULL))
			return;
		check_int(sandbox_run(&sb, datagrams, &d), 0);
		observe_drain(&ob);
		check_int(observe_count(&ob, EV_NET_UDP), 4);
		check_int(observe_count(&ob, EV_NET_CONNECT), 0);
		check_udp(find_udp(&ob, FLOW_EGRESS, false), &d, false);
		check_udp(find_udp(&ob, FLOW_INGRESS, false), &d, false);
		check_udp(find_udp(&ob, FLOW_EGRESS, true), &d, true);
		check_udp(find_udp(&ob, FLOW_INGRESS, true), &d, true);
		observe_check_books(&ob);
		test_row = NULL;
	}
}

/* ---- scope and options -------------------------------------------------------------------------------- */

static int talk_of_all_kinds(const struct sandbox *sb, void *arg)
{
	struct talk t = { .listen = "127.0.0.1", .connect = "127.0.0.1", .told = arg };
	struct datagrams d = { .at = "127.0.0.1", .to = "127.0.0.1", .told = arg };

	(void)talk(sb, &t);
	(void)datagrams(sb, &d);
	(void)reset_hard(sb, arg);
	(void)refused(sb, arg);
	(void)reach_nowhere(sb, (char[]) { "192.0.2.1" });
	return 0;
}

static int talk_in_peer(const struct sandbox *sb, void *arg)
{
	struct talk t = { .listen = "127.0.0.1", .connect = "127.0.0.1", .told = arg };
	struct datagrams d = { .at = "127.0.0.1", .to = "127.0.0.1", .told = arg };

	enter_peer(sb);
	(void)talk(sb, &t);
	(void)datagrams(sb, &d);
	return 0;
}

TEST(what_others_say_leaves_no_record)
{
	auto_told struct told *told = told_new();
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };

	if (!sandbox_open(&sb, SANDBOX_NET) || !observe_net(&ob, &sb, "unix_sockets", "true"))
		return;
	check_int(outside_run(&sb, talk_of_all_kinds, told), 0);
	observe_drain(&ob);
	check_int(ob.n, 0);
}

static int accepts_seen(const struct sandbox *sb, struct told *told)
{
	auto_observer struct observer ob = { 0 };

	if (!observe_net(&ob, sb, NULL, NULL) || !ob.scope.level_is_least)
		return 92;
	if (sandbox_run(sb, talk_of_all_kinds, told) || outside_run(sb, talk_of_all_kinds, told))
		return 93;
	observe_drain(&ob);
	return (int)observe_count(&ob, EV_NET_ACCEPT);
}

/*
 * In a cgroup namespace: watches a cgroup that lies deeper than its path says. What only the socket can tell (a
 * connection is accepted while nobody runs) is found by how deep that is.
 */
static int accepts_seen_from_within(const struct sandbox *sb, void *told)
{
	const char *mount_at = cgroup_mount();
	struct sandbox inner = *sb;
	int seen;

	if (unshare(CLONE_NEWCGROUP | CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    umount2(mount_at, MNT_DETACH) || mount("cgroup2", mount_at, "cgroup2", 0, NULL))
		return 90;
	(void)snprintf(inner.cgroup, sizeof(inner.cgroup), "%s/inner", mount_at);
	(void)snprintf(inner.scope, sizeof(inner.scope), "cgroup:/inner");
	if (mkdir(inner.cgroup, 0755))
		return 91;
	seen = accepts_seen(&inner, told);
	return rmdir(inner.cgroup) ? 94 : seen;
}

TEST(from_within_a_cgroup_namespace_a_cgroup_is_a_scope)
{
	auto_told struct told *told = told_new();
	auto_sandbox struct sandbox sb = { 0 };

	if (sandbox_open(&sb, SANDBOX_NET))
		check_int(sandbox_run(&sb, accepts_seen_from_within, told), 2);
}

TEST(a_network_namespace_is_a_scope)
{
	auto_told struct told *told = told_new();
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };

	if (!sandbox_open(&sb, SANDBOX_NET))
		return;
	(void)snprintf(sb.scope, sizeof(sb.scope), "netns:%s", sb.netns);
	if (!observe_net(&ob, &sb, NULL, NULL))
		return;
	check_int(outside_run(&sb, talk_in_peer, told), 0);
	observe_drain(&ob);
	check_int(ob.n, 0);
	check_int(outside_run(&sb, talk_of_all_kinds, told), 0);
	observe_drain(&ob);
	check(observe_count(&ob, EV_NET_CONNECT) >= 3);
	check_int(observe_count(&ob, EV_NET_ACCEPT), 2);
	check_int(observe_count(&ob, EV_NET_UDP), 4);
	check(observe_await(&ob, EV_NET_RESET, 3) >= 3);
	observe_check_books(&ob);
}

TEST(options_leave_out_what_is_not_wanted)
{
	static const struct {
		const char *name, *option;
		__u16 gone, stays;
	} rows[] = {
		{ "listen", "listen", EV_NET_LISTEN, EV_NET_BIND },
		{ "bind", "bind", EV_NET_BIND, EV_NET_LISTEN },
		{ "udp", "udp", EV_NET_UDP, EV_NET_CONNECT },
		{ "loopback", "loopback", EV_NET_ACCEPT, EV_NET_CONNECT },
	};
	auto_told struct told *told = told_new();
	auto_sandbox struct sandbox sb = { 0 };

	if (!sandbox_open(&sb, SANDBOX_NET))
		return;
	for_each_row (r, rows) {
		auto_observer struct observer ob = { 0 };

		if (!observe_net(&ob, &sb, r->option, "false"))
			return;
		check_int(sandbox_run(&sb, talk_of_all_kinds, told), 0);
		observe_drain(&ob);
		check_int(observe_count(&ob, r->gone), 0);
		check(observe_count(&ob, r->stays) > 0);
		observe_check_books(&ob);
		test_row = NULL;
	}
}

/* ---- unix sockets ------------------------------------------------------------------------------------------ */

struct unix_name {
	const char *name, *path; /* '@' stands for the NUL of an abstract name; '/' begins a path in the sandbox */
};

static int unix_talk(const struct sandbox *sb, void *arg)
{
	const struct unix_name *u = arg;
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);
	socklen_t len;

	must(listener >= 0 && client >= 0);
	(void)snprintf(at.sun_path, sizeof(at.sun_path), "%s%s", u->path[0] == '/' ? sb->dir : "", u->path);
	len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(at.sun_path));
	if (at.sun_path[0] == '@')
		at.sun_path[0] = 0;
	must(!bind(listener, (struct sockaddr *)&at, len) && !listen(listener, 1));
	must(!connect(client, (struct sockaddr *)&at, len));
	return 0;
}

static const struct ev_net_unix *find_unix(const struct observer *ob, int action)
{
	const struct ev_net_unix *e;

	for (size_t i = 0; (e = observe_find(ob, EV_NET_UNIX, i)); i++)
		if (e->action == action)
			return e;
	return NULL;
}

TEST(unix_sockets_are_recorded_by_name_where_asked_for)
{
	static const struct unix_name rows[] = {
		{ "path", "/s" },
		{ "abstract", "@shrike-test-abstract" },
	};
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer silent = { 0 };

	if (!sandbox_open(&sb, SANDBOX_PLAIN) || !observe_net(&silent, &sb, NULL, NULL))
		return;
	for_each_row (r, rows) {
		auto_observer struct observer ob = { 0 };
		const struct ev_net_unix *c, *b;
		struct unix_name u = *r;
		char want[128];

		if (!observe_net(&ob, &sb, "unix_sockets", "true"))
			return;
		check_int(sandbox_run(&sb, unix_talk, &u), 0);
		observe_drain(&ob);
		c = find_unix(&ob, NET_UNIX_CONNECT);
		b = find_unix(&ob, NET_UNIX_BIND);
		require(c && b);
		(void)snprintf(want, sizeof(want), "%s%s", u.path[0] == '/' ? sb.dir : "", u.path);
		check_str(observe_str(c, c->path), want);
		check_str(observe_str(b, b->path), want);
		check_int(c->type, SOCK_STREAM);
		check_int(c->outcome, NET_SUCCESS);
		check_int(b->head.pid, c->head.pid);
		observe_check_books(&ob);
		test_row = NULL;
	}
	observe_drain(&silent);
	check_int(observe_count(&silent, EV_NET_UNIX), 0);
}

/* ---- the agent's own -------------------------------------------------------------------------------------- */

TEST(what_the_agent_does_to_itself_is_a_canary_and_no_record)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };

	if (!sandbox_open(&sb, SANDBOX_PLAIN) || !observe_net(&ob, &sb, "unix_sockets", "true"))
		return;
	for (size_t h = 0; h < NET_HOOK_COUNT; h++) {
		const char *via = observe_via(&ob, sensor_net.hooks[h].name);
		struct ev_hook_counts c;
		int r = sensor_net.exercise(h);

		test_row = sensor_net.hooks[h].name;
		check(r == 0 || r == -EOPNOTSUPP);
		settle();
		require_ok(object_hook_counts(ob.object, (unsigned)h, &c));
		check_int(c.fired, 0);
		/* Programs of the sandbox's cgroup do not run for the agent, which is not in it; one variant leans on
		 * them. */
		if (r == 0 && via && strncmp(via, "cgroup", 6) != 0 &&
		    (h != HOOK_CONNECT_REFUSED || !strcmp(via, "fexit")))
			check(c.canary > 0);
	}
	test_row = NULL;
	observe_drain(&ob);
	check_int(ob.n, 0);
}

/* ---- the variants that this kernel has better ones for ------------------------------------------------------ */

static bool is_last(const struct hook *h, int v)
{
	return v + 1 == HOOK_VARIANT_MAX || !h->variants[v + 1].progs[0];
}

static bool keep_without_fexit(const struct hook *h, int v)
{
	return !strstr(h->variants[v].progs[0], "fexit");
}

static bool keep_without_fentry(const struct hook *h, int v)
{
	return !strstr(h->variants[v].progs[0], "fentry");
}

static bool keep_last_of_accept(const struct hook *h, int v)
{
	return strcmp(h->name, "accept") != 0 || is_last(h, v);
}

static bool keep_last_of_unix(const struct hook *h, int v)
{
	return strncmp(h->name, "unix", 4) != 0 || is_last(h, v);
}

/* Runs `fn` with a sensor that has only the variants to keep. */
static void with_variants(bool (*keep)(const struct hook *h, int v), void (*fn)(void))
{
	static struct hook hooks[NET_HOOK_COUNT];
	static struct sensor sensor;

	memset(hooks, 0, sizeof(hooks));
	for (size_t h = 0; h < NET_HOOK_COUNT; h++) {
		const struct hook *all = &sensor_net.hooks[h];
		size_t n = 0;

		hooks[h].name = all->name;
		hooks[h].summary = all->summary;
		for (int v = 0; v < HOOK_VARIANT_MAX && all->variants[v].progs[0]; v++)
			if (keep(all, v))
				hooks[h].variants[n++] = all->variants[v];
	}
	sensor = sensor_net;
	sensor.hooks = hooks;
	observed = &sensor;
	fn();
	observed = &sensor_net;
}

static void everything(void)
{
	test_a_tcp_connection_is_recorded_from_both_its_ends();
	test_a_connect_without_a_route_is_recorded_though_no_packet_left();
	test_a_connection_belongs_to_the_worker_that_accepted_it();
	test_a_network_namespace_is_a_scope();
	test_what_others_say_leaves_no_record();
	test_what_the_agent_does_to_itself_is_a_canary_and_no_record();
}

TEST(kernels_that_refuse_trampolines_tell_the_same)
{
	const char *why;

	if (!kernel_has_fentry(&why)) /* then all the tests above have shown it */
		return;
	with_variants(keep_without_fexit, everything);
	with_variants(keep_without_fentry, test_a_udp_flow_is_recorded_once_each_way_at_each_end);
}

static void accept_by_state(void)
{
	auto_told struct told *told = told_new();
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };
	const struct ev_net_accept *a;

	if (!sandbox_open(&sb, SANDBOX_NET) || !observe_net(&ob, &sb, NULL, NULL))
		return;
	check_str(observe_via(&ob, "accept"), "tp_btf");
	check_int(sandbox_run(&sb, prefork, told), 0);
	observe_drain(&ob);
	a = observe_find(&ob, EV_NET_ACCEPT, 0);
	require(a != NULL);
	check_int(observe_count(&ob, EV_NET_ACCEPT), 1);
	check_int(a->head.pid, told->pid);
	check_ends(&a->flow, "127.0.0.1", "127.0.0.1", told->port, 4);
	observe_check_books(&ob);
}

TEST(where_nothing_tells_of_accept_the_listener_s_process_stands_in)
{
	with_variants(keep_last_of_accept, accept_by_state);
}

TEST(the_return_of_a_call_tells_of_unix_sockets_too)
{
	with_variants(keep_last_of_unix, test_unix_sockets_are_recorded_by_name_where_asked_for);
}
