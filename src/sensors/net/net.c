/* SPDX-License-Identifier: Apache-2.0 */
/* net - user side: describes the records of sockets, the hooks that make them, and makes the hooks fire. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include "base/err.h"
#include "base/mem.h"
#include "bpf/kernel_probe.h"
#include "sensors/net/net.event.h"
#include "sensors/net/net.map.h"
#include "sensors/sensor.h"

static const struct field_name outcomes[] = { { NET_SUCCESS, "success" }, { NET_FAILURE, "failure" }, { 0, NULL } };

/* The kernel's names, in small letters. */
static const struct field_name tcp_states[] = {
	{ 1, "established" }, { 2, "syn_sent" },      { 3, "syn_recv" },   { 4, "fin_wait1" }, { 5, "fin_wait2" },
	{ 6, "time_wait" },   { 7, "close" },         { 8, "close_wait" }, { 9, "last_ack" },  { 10, "listen" },
	{ 11, "closing" },    { 12, "new_syn_recv" }, { 0, NULL },
};

static const struct field_name resets[] = { { NET_RESET_SENT, "sent" },
					    { NET_RESET_RECEIVED, "received" },
					    { 0, NULL } };

static const struct field_name unix_actions[] = { { NET_UNIX_CONNECT, "connect" },
						  { NET_UNIX_BIND, "bind" },
						  { 0, NULL } };

static const struct field_name socket_types[] = {
	{ SOCK_STREAM, "stream" }, { SOCK_DGRAM, "dgram" }, { SOCK_SEQPACKET, "seqpacket" }, { 0, NULL }
};

static const struct field connect_fields[] = {
	FLOW_FIELDS(ev_net_connect),
	FIELD(ev_net_connect, outcome, "event.outcome", FT_ENUM, "success or failure", .names = outcomes),
	FIELD(ev_net_connect, error, "error.code", FT_ERRNO,
	      "why it failed; absent from a failure: the process gave up before there was an answer",
	      .zero_is_absent = true),
	FIELD(ev_net_connect, duration_ns, "event.duration", FT_DURATION, "from the first packet to the outcome",
	      .zero_is_absent = true),
};

static const struct field accept_fields[] = { FLOW_FIELDS(ev_net_accept) };

static const struct field listen_fields[] = {
	FLOW_FIELDS(ev_net_listen),
	FIELD(ev_net_listen, backlog, "network.listen.backlog", FT_U32, "connections that may wait to be accepted"),
};

static const struct field bind_fields[] = {
	FLOW_FIELDS(ev_net_bind),
	FIELD(ev_net_bind, outcome, "event.outcome", FT_ENUM, "success or failure", .names = outcomes),
	FIELD(ev_net_bind, error, "error.code", FT_ERRNO, "why it failed", .zero_is_absent = true),
};

static const struct field close_fields[] = {
	FLOW_FIELDS(ev_net_close),
	FIELD(ev_net_close, source_bytes, "source.bytes", FT_U64, "payload that the source sent, each byte once"),
	FIELD(ev_net_close, destination_bytes, "destination.bytes", FT_U64,
	      "payload that the destination sent, each byte once"),
	FIELD(ev_net_close, source_packets, "source.packets", FT_U32, "segments that the source sent"),
	FIELD(ev_net_close, destination_packets, "destination.packets", FT_U32, "segments that the destination sent"),
	FIELD(ev_net_close, duration_ns, "event.duration", FT_DURATION, "from established to closed",
	      .zero_is_absent = true),
	FIELD(ev_net_close, rtt_us, "network.tcp.rtt_us", FT_U32, "smoothed round trip time, microseconds"),
	FIELD(ev_net_close, retransmits, "network.tcp.retransmits", FT_U32, "segments that this side sent again"),
	FIELD(ev_net_close, state, "network.tcp.state", FT_ENUM, "state that it closed from", .names = tcp_states),
	FIELD(ev_net_close, error, "error.code", FT_ERRNO, "what broke it", .zero_is_absent = true),
};

static const struct field retransmit_fields[] = {
	FLOW_FIELDS(ev_net_retransmit),
	FIELD(ev_net_retransmit, retransmits, "network.tcp.retransmits", FT_U32,
	      "segments of the connection sent again before this one"),
	FIELD(ev_net_retransmit, rtt_us, "network.tcp.rtt_us", FT_U32, "smoothed round trip time, microseconds"),
	FIELD(ev_net_retransmit, state, "network.tcp.state", FT_ENUM, "state of the connection", .names = tcp_states),
};

static const struct field reset_fields[] = {
	FLOW_FIELDS(ev_net_reset),
	FIELD(ev_net_reset, way, "network.tcp.reset", FT_ENUM, "sent by this host, or received", .names = resets),
	FIELD(ev_net_reset, state, "network.tcp.state", FT_ENUM, "state of the connection; absent: there was none",
	      .names = tcp_states, .zero_is_absent = true),
};

static const struct field udp_fields[] = {
	FLOW_FIELDS(ev_net_udp),
	FIELD(ev_net_udp, bytes, "source.bytes", FT_U32, "payload of the first datagram"),
	FIELD(ev_net_udp, reply, "network.reply", FT_BOOL, "the other side began the flow"),
};

static const struct field unix_fields[] = {
	FIELD(ev_net_unix, path, "network.unix.path", FT_STR, "name of the socket; an abstract one begins with @"),
	FIELD(ev_net_unix, action, "network.unix.action", FT_ENUM, "connect or bind", .names = unix_actions),
	FIELD(ev_net_unix, type, "network.unix.type", FT_ENUM, "kind of socket", .names = socket_types),
	FIELD(ev_net_unix, peer_pid, "network.unix.peer_pid", FT_U32, "process that listens", .zero_is_absent = true),
	FIELD(ev_net_unix, outcome, "event.outcome", FT_ENUM, "success or failure", .names = outcomes),
	FIELD(ev_net_unix, error, "error.code", FT_ERRNO, "why it failed", .zero_is_absent = true),
};

#define KIND(ID, name, s, class, type, action, summary, fields)                                                        \
	{ ID, name, #s, sizeof(struct s), class, "network", type, action, summary, fields, countof(fields) }

static const struct event_kind kinds[] = {
	KIND(EV_NET_CONNECT, "net.connect", ev_net_connect, EV_NORMAL, "start", "connect",
	     "a process connected to a TCP port, or failed to", connect_fields),
	KIND(EV_NET_ACCEPT, "net.accept", ev_net_accept, EV_NORMAL, "start", "accept",
	     "a process took a TCP connection that a peer had made", accept_fields),
	KIND(EV_NET_LISTEN, "net.listen", ev_net_listen, EV_NORMAL, "start", "listen",
	     "a process began to listen on a TCP port", listen_fields),
	KIND(EV_NET_BIND, "net.bind", ev_net_bind, EV_NORMAL, "info", "bind", "a process gave a socket a local address",
	     bind_fields),
	KIND(EV_NET_CLOSE, "net.close", ev_net_close, EV_NORMAL, "end", "close", "a TCP connection ended",
	     close_fields),
	KIND(EV_NET_RETRANSMIT, "net.retransmit", ev_net_retransmit, EV_BULK, "info", "retransmit",
	     "a TCP segment was sent again", retransmit_fields),
	KIND(EV_NET_RESET, "net.reset", ev_net_reset, EV_BULK, "info", "reset", "a TCP reset was sent or received",
	     reset_fields),
	KIND(EV_NET_UDP, "net.udp", ev_net_udp, EV_NORMAL, "connection", "udp-flow",
	     "the first datagram of a UDP flow, once each way", udp_fields),
	KIND(EV_NET_UNIX, "net.unix", ev_net_unix, EV_NORMAL, "connection", "unix-socket",
	     "a process connected to a unix socket, or gave one its name", unix_fields),
};

/* Since 6.10 inet_csk_accept() takes a struct; before, its members. */
static bool accept_takes_struct(void)
{
	return kernel_has_member("proto_accept_arg", "kern");
}

static bool accept_takes_members(void)
{
	return !accept_takes_struct();
}

static const char syscall_cost[] = "io_uring is not seen, and every system call of the host takes some 80 ns longer";

static const char unix_syscall_cost[] =
	"a call that fails is not seen; io_uring is not seen, and every system call of the "
	"host takes some 80 ns longer";

static const struct hook hooks[] = {
	[HOOK_TCP] = { "tcp",
		       "TCP connections: made, failed, closed; and listeners",
		       { { .progs = { "state_tp" }, .cannot = "a listener that was not bound shows no port" } } },
	[HOOK_CONNECT_REFUSED] = { "connect-refused",
				   "a connect() that failed before a packet was sent: no route, denied",
				   { { .progs = { "connect_fexit" } },
				     { .progs = { "connect_exit", "connect_cg4", "connect_cg6" },
				       .cannot = syscall_cost } } },
	[HOOK_ACCEPT] = { "accept",
			  "a TCP connection taken by a process",
			  { { .progs = { "accept_fexit_arg" }, .possible = accept_takes_struct },
			    { .progs = { "accept_fexit_args" }, .possible = accept_takes_members },
			    { .progs = { "accept_exit", "accept4_exit" }, .cannot = syscall_cost },
			    { .progs = { "accept_state_tp" },
			      .cannot = "the record names the process that listens, which another may accept for, and "
					"comes when the "
					"connection is there, accepted or not" } } },
	[HOOK_BIND] = { "bind",
			"an address given to a socket",
			{ { .progs = { "bind4_fexit", "?bind6_fexit" } },
			  { .progs = { "bind_cg4", "bind_cg6" }, .cannot = "a bind() that fails is not seen" } } },
	[HOOK_RETRANSMIT] = { "retransmit", "a TCP segment sent again", { { .progs = { "retransmit_tp" } } } },
	[HOOK_RESET] = { "reset",
			 "a TCP reset",
			 { { .progs = { "reset_sent_tp", "reset_received_tp" },
			     .cannot =
				     "kernels before 6.10 do not tell of resets sent for a port that nobody has" } } },
	[HOOK_UDP] = { "udp",
		       "the first datagram of a UDP flow, each way",
		       { { .progs = { "udp_send4_fentry", "?udp_send6_fentry", "udp_receive_fentry" } },
			 { .progs = { "udp_egress", "udp_ingress" },
			   .cannot = "what arrives is put down to the process that made the socket, read or not" } } },
	[HOOK_OWNER] = { "socket-owner", "who makes a socket that is not TCP", { { .progs = { "owner_create" } } } },
	[HOOK_UNIX_CONNECT] = { "unix-connect",
				"a connection to a unix socket",
				{ { .progs = { "unix_stream_fexit", "?unix_dgram_fexit" } },
				  { .progs = { "unix_connect_cg" },
				    .cannot = "it tells what was tried, not how it went" },
				  { .progs = { "unix_connect_exit" }, .cannot = unix_syscall_cost } } },
	[HOOK_UNIX_BIND] = { "unix-bind",
			     "a name given to a unix socket",
			     { { .progs = { "unix_bind_fexit" } },
			       { .progs = { "unix_bind_exit" }, .cannot = unix_syscall_cost } } },
	[HOOK_OLDER] = { "older-sockets",
			 "whose the sockets are that are older than the agent, looked up once",
			 { { .progs = { "older_iter" },
			     .cannot = "of several processes that share a socket, the first is named" } },
			 .extra = true },
};
_Static_assert(countof(hooks) == NET_HOOK_COUNT, "a row for each hook");

struct net_options {
	bool listen, bind, udp, unix_sockets, loopback, early_failures;
	uint32_t udp_flows;
	uint64_t udp_idle;
};

static const struct option options[] = {
	OPTION(net_options, listen, OPT_BOOL, "true", "record listeners"),
	OPTION(net_options, bind, OPT_BOOL, "true", "record addresses given to sockets"),
	OPTION(net_options, udp, OPT_BOOL, "true", "record UDP flows"),
	OPTION(net_options, unix_sockets, OPT_BOOL, "false",
	       "record connections to unix sockets and names given to them"),
	OPTION(net_options, loopback, OPT_BOOL, "true",
	       "record what the host says to itself (127.0.0.0/8 and ::1), too"),
	OPTION(net_options, early_failures, OPT_BOOL, "true",
	       "record calls of connect() that fail before a packet is sent"),
	OPTION(net_options, udp_flows, OPT_U32, "16384",
	       "UDP flows remembered; a flow that was forgotten is recorded again", .min = 64, .max = 1048576,
	       .unit = "flows"),
	OPTION(net_options, udp_idle, OPT_DURATION, "60s", "silence after which a UDP flow counts as a new one",
	       .min = 1000000000),
};

/* libbpf 1.1 does not know the section; the kernel's numbers are what they are. */
static void unix_connect_type(struct object *obj)
{
	enum { CGROUP_UNIX_CONNECT = 49 };
	struct bpf_program *p = bpf_object__find_program_by_name(object_libbpf(obj), "unix_connect_cg");

	if (!p)
		return;
	(void)bpf_program__set_type(p, BPF_PROG_TYPE_CGROUP_SOCK_ADDR);
	(void)bpf_program__set_expected_attach_type(p, (enum bpf_attach_type)CGROUP_UNIX_CONNECT);
}

static int net_prepare(struct object *obj, const void *opts)
{
	const struct net_options *o = opts;
	const struct net_config config = {
		.udp_idle_ns = o->udp_idle,
		.listen = o->listen,
		.loopback = o->loopback,
	};
	struct bpf_map *flows = bpf_object__find_map_by_name(object_libbpf(obj), "udp_flows");
	int r;

	unix_connect_type(obj);
	if (!o->bind)
		object_hook_off(obj, HOOK_BIND);
	if (!o->udp) {
		object_hook_off(obj, HOOK_UDP);
		object_hook_off(obj, HOOK_OWNER);
	}
	if (!o->early_failures)
		object_hook_off(obj, HOOK_CONNECT_REFUSED);
	if (!o->unix_sockets) {
		object_hook_off(obj, HOOK_UNIX_CONNECT);
		object_hook_off(obj, HOOK_UNIX_BIND);
	}
	r = flows ? bpf_map__set_max_entries(flows, o->udp ? o->udp_flows : 1) : -ENOENT;
	if (r < 0)
		return err_sys(-r, "size the table of UDP flows");
	return object_set_const(obj, "config", &config, sizeof(config));
}

/* ---- exercise: talks to itself on 127.0.0.1 ---------------------------------------------------------- */

enum { EXERCISE_WAIT_MS = 200 };

static int loopback_bound(int type, int *ret_fd, struct sockaddr_in *ret_at)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(at);
	auto_close int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&at, len) || getsockname(fd, (struct sockaddr *)&at, &len))
		return err_sys(errno, "bind a socket to 127.0.0.1");
	*ret_at = at;
	*ret_fd = take_fd(fd);
	return 0;
}

static void wait_readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	(void)poll(&p, 1, EXERCISE_WAIT_MS);
}

/* A whole connection: listen, connect, accept, close; with SO_LINGER 0 it ends in a reset. */
static int exercise_tcp(bool reset)
{
	const struct linger hard = { .l_onoff = 1 };
	auto_close int listener = -1, client = -1, server = -1;
	struct sockaddr_in at;
	int r = loopback_bound(SOCK_STREAM, &listener, &at);

	if (r < 0)
		return r;
	client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listen(listener, 1) || client < 0 || connect(client, (struct sockaddr *)&at, sizeof(at)))
		return err_sys(errno, "connect to an own port of 127.0.0.1");
	wait_readable(listener);
	server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (server < 0)
		return err_sys(errno, "accept an own connection");
	if (reset && setsockopt(server, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)))
		return err_sys(errno, "have an own connection end in a reset");
	return 0;
}

/* A broadcast address refuses a TCP connection without a packet. */
static int exercise_refused(void)
{
	struct sockaddr_in nowhere = { .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = INADDR_NONE };
	auto_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return err_sys(errno, "make a socket");
	return connect(fd, (struct sockaddr *)&nowhere, sizeof(nowhere)) && errno != EINPROGRESS ? 0 : -EOPNOTSUPP;
}

static int exercise_udp(void)
{
	auto_close int fd = -1;
	struct sockaddr_in at;
	char byte = 0;
	int r = loopback_bound(SOCK_DGRAM, &fd, &at);

	if (r < 0)
		return r;
	if (sendto(fd, &byte, 1, 0, (struct sockaddr *)&at, sizeof(at)) != 1)
		return err_sys(errno, "send a datagram to ourselves");
	wait_readable(fd);
	return recv(fd, &byte, 1, 0) == 1 ? 0 : err_sys(errno, "receive a datagram from ourselves");
}

/* An abstract name that the kernel chooses leaves nothing behind. */
static int exercise_unix(void)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	socklen_t len = sizeof(at);
	auto_close int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	auto_close int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (listener < 0 || client < 0 || bind(listener, (struct sockaddr *)&at, sizeof(at.sun_family)) ||
	    getsockname(listener, (struct sockaddr *)&at, &len) || listen(listener, 1) ||
	    connect(client, (struct sockaddr *)&at, len))
		return err_sys(errno, "connect to an own unix socket");
	return 0;
}

static int net_exercise(size_t hook)
{
	switch (hook) {
	case HOOK_TCP:
	case HOOK_ACCEPT:
	case HOOK_BIND:
		return exercise_tcp(false);
	case HOOK_RESET:
		return exercise_tcp(true);
	case HOOK_CONNECT_REFUSED:
		return exercise_refused();
	case HOOK_UDP:
	case HOOK_OWNER:
		return exercise_udp();
	case HOOK_UNIX_CONNECT:
	case HOOK_UNIX_BIND:
		return exercise_unix();
	}
	/* A retransmission wants a packet lost; what is looked up once does not fire again. */
	return -EOPNOTSUPP;
}

extern const struct bpf_image image_net;

const struct sensor sensor_net = {
	.name = "net",
	.summary = "who talks to whom: TCP connections, listeners, UDP flows, unix sockets",
	.byte = EV_NET,
	.kinds = kinds,
	.n_kinds = countof(kinds),
	.hooks = hooks,
	.n_hooks = countof(hooks),
	.options = options,
	.n_options = countof(options),
	.options_size = sizeof(struct net_options),
	.image = &image_net,
	.prepare = net_prepare,
	.exercise = net_exercise,
};
