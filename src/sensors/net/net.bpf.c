// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * net - kernel side.
 *
 * Hooks: one tracepoint, inet_sock_set_state, tells the life of every TCP socket; it fires in
 * the caller's context for connect() and listen(), and in interrupts for the rest, where the
 * mark on the socket (sock.bpf.h) says whose it is. All that is read lies in the kernel's own
 * sockets and packets; nothing comes from user memory.
 * Cost: one storage lookup a state change, three to four changes a connection; a datagram
 * costs one hash lookup after the first of its flow.
 * Loss: a full ring or a spent budget is counted; a flow table that is full forgets the oldest
 * flow, which is then recorded as new. Nothing here denies or delays.
 */
#include "bpf/skb.bpf.h"
#include "bpf/sock.bpf.h"
#include "bpf/syscall.bpf.h"
#include <bpf/bpf_endian.h>
#include "sensors/net/net.event.h"
#include "sensors/net/net.map.h"

const volatile struct net_config config = { .udp_idle_ns = 60000000000, .listen = 1, .loopback = 1 };

KEEP_BTF(ev_net_connect);
KEEP_BTF(ev_net_accept);
KEEP_BTF(ev_net_listen);
KEEP_BTF(ev_net_bind);
KEEP_BTF(ev_net_close);
KEEP_BTF(ev_net_retransmit);
KEEP_BTF(ev_net_reset);
KEEP_BTF(ev_net_udp);
KEEP_BTF(ev_net_unix);

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct udp_key);
	__type(value, struct udp_flow);
} udp_flows SEC(".maps");

/* By thread; only for the variant of HOOK_CONNECT_REFUSED that needs it. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, NET_ATTEMPTS_MAX);
	__type(key, __u64);
	__type(value, struct net_attempt);
} attempts SEC(".maps");

/*
 * By socket cookie: who accepted, where the variant of HOOK_ACCEPT holds a socket that the
 * verifier does not let it write a mark on.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, NET_ACCEPTED_MAX);
	__type(key, __u64);
	__type(value, struct ev_head);
} accepted SEC(".maps");

/* ---- addresses -------------------------------------------------------------------------- */

static __always_inline bool family_is_ip(__u16 family)
{
	return family == KERNEL_AF_INET || family == KERNEL_AF_INET6;
}

static __always_inline bool addr_is_v4(const struct ev_addr *a)
{
	const __u32 *w = (const __u32 *)a->bytes;

	return !w[0] && !w[1] && w[2] == bpf_htonl(0xffff);
}

static __always_inline bool addr_is_loopback(const struct ev_addr *a)
{
	const __u32 *w = (const __u32 *)a->bytes;

	if (addr_is_v4(a))
		return a->bytes[12] == 127;
	return !w[0] && !w[1] && !w[2] && w[3] == bpf_htonl(1);
}

/* Is this talk of the host with itself, which the configuration leaves out? */
static __always_inline bool flow_is_unwanted(const struct ev_flow *f)
{
	return !config.loopback && (addr_is_loopback(&f->destination) || addr_is_loopback(&f->source));
}

static __always_inline void sock_local(const struct sock *sk, struct ev_addr *a, __u16 *port)
{
	/* skc_num is gone when a connection closes, inet_sport is not there before the port is taken. */
	__u16 sport = BPF_CORE_READ((const struct inet_sock *)sk, inet_sport);

	*port = sport ? __builtin_bswap16(sport) : BPF_CORE_READ(sk, __sk_common.skc_num);
	if (BPF_CORE_READ(sk, __sk_common.skc_family) == KERNEL_AF_INET)
		addr_map_v4(a, BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr));
	else
		BPF_CORE_READ_INTO(&a->bytes, sk, __sk_common.skc_v6_rcv_saddr);
}

static __always_inline void sock_remote(const struct sock *sk, struct ev_addr *a, __u16 *port)
{
	__u16 dport = BPF_CORE_READ(sk, __sk_common.skc_dport);

	*port = __builtin_bswap16(dport);
	if (BPF_CORE_READ(sk, __sk_common.skc_family) == KERNEL_AF_INET)
		addr_map_v4(a, BPF_CORE_READ(sk, __sk_common.skc_daddr));
	else
		BPF_CORE_READ_INTO(&a->bytes, sk, __sk_common.skc_v6_daddr);
}

/* `f` must be zeroed. */
static __always_inline void flow_of_sock(const struct sock *sk, __u8 direction, struct ev_flow *f)
{
	if (direction == FLOW_INGRESS) {
		sock_local(sk, &f->destination, &f->destination_port);
		sock_remote(sk, &f->source, &f->source_port);
	} else {
		sock_local(sk, &f->source, &f->source_port);
		sock_remote(sk, &f->destination, &f->destination_port);
	}
	f->direction = direction;
	f->transport = (__u8)BPF_CORE_READ(sk, sk_protocol);
	f->family = addr_is_v4(&f->source) || addr_is_v4(&f->destination) ? 4 : 6;
	f->cookie = (__u64)BPF_CORE_READ(sk, __sk_common.skc_cookie.counter);
}

/* Of a connection that has not begun: from where it would come. */
static __always_inline void flow_local_of(const struct sock *sk, struct ev_flow *f)
{
	sock_local(sk, &f->source, &f->source_port);
	f->direction = FLOW_EGRESS;
	f->transport = KERNEL_IPPROTO_TCP;
	f->family = addr_is_v4(&f->destination) ? 4 : 6;
	f->cookie = (__u64)BPF_CORE_READ(sk, __sk_common.skc_cookie.counter);
}

static __always_inline __u8 mark_direction(const struct sock_mark *m)
{
	if (!m)
		return FLOW_UNKNOWN;
	if (m->flags & SOCK_MARK_PASSIVE)
		return FLOW_INGRESS;
	return m->flags & SOCK_MARK_OLDER ? FLOW_UNKNOWN : FLOW_EGRESS;
}

/* ---- marks -------------------------------------------------------------------------------- */

/* Zeroed when new; never NULL but when memory has run out. */
static __always_inline struct sock_mark *mark_make(struct sock *sk)
{
	return bpf_sk_storage_get(&sock_marks, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
}

static __always_inline struct sock_mark *mark_of(struct sock *sk)
{
	return bpf_sk_storage_get(&sock_marks, sk, NULL, 0);
}

static __always_inline bool current_is_agent(void)
{
	return task_is_agent(bpf_get_current_task_btf());
}

/* The agent's sockets are marked too, so that what befalls them later is known to be its own. */
static __always_inline void mark_for_agent(struct sock *sk)
{
	struct sock_mark *m = current_is_agent() ? mark_make(sk) : NULL;

	if (m)
		m->flags |= SOCK_MARK_AGENT;
}

/* Takes the owner that accept() left for the socket, if one waits. */
static __always_inline void mark_settle(struct sock_mark *m)
{
	__u64 cookie = m->cookie;
	struct ev_head *owner;

	if (!(m->flags & SOCK_MARK_INHERITED))
		return;
	owner = bpf_map_lookup_elem(&accepted, &cookie);
	if (!owner)
		return;
	m->owner = *owner;
	m->flags &= ~(__u32)SOCK_MARK_INHERITED;
	(void)bpf_map_delete_elem(&accepted, &cookie);
}

/*
 * Sockets that were there before: read once, when all else is attached. Of several processes that share one, the first
 * in the order of pids is taken for its owner. A listener's mark goes on to the connections that it takes from now on.
 */
SEC("iter/task_file")
int older_iter(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct sock_mark *m;
	struct socket *socket;
	struct sock *sk;
	bool ours;

	if (!task || !file)
		return 0;
	ours = task_is_agent(task);
	if (!ours && !scope_has(task->cgroups->dfl_cgrp, task->nsproxy->net_ns->ns.inum))
		return 0;
	socket = bpf_sock_from_file(file);
	sk = socket ? socket->sk : NULL;
	if (!sk || !family_is_ip(sk->__sk_common.skc_family) || mark_of(sk))
		return 0;
	m = mark_make(sk);
	if (!m)
		return 0;
	head_fill(&m->owner, task);
	m->cookie = bpf_get_socket_cookie(sk);
	m->flags = SOCK_MARK_OLDER | (ours ? SOCK_MARK_AGENT : 0);
	hook_count(HOOK_OLDER, ours);
	return 0;
}

/* ---- TCP: connections and listeners ------------------------------------------------------- */

static __always_inline int tcp_connecting(struct sock *sk)
{
	__u64 thread = bpf_get_current_pid_tgid();
	struct sock_mark *m;

	(void)bpf_map_delete_elem(&attempts, &thread);
	if (!hook_enter(HOOK_TCP)) {
		mark_for_agent(sk);
		return 0;
	}
	m = mark_make(sk);
	if (!m)
		return 0;
	head_save(&m->owner);
	m->flags = SOCK_MARK_CONNECTING;
	m->since_ns = bpf_ktime_get_boot_ns();
	m->cookie = bpf_get_socket_cookie(sk);
	return 0;
}

/* In the context of whoever was interrupted, or of the process where the outcome was known at once. */
static __always_inline int tcp_connect_ended(struct sock *sk, struct sock_mark *m, __u8 outcome)
{
	struct ev_flow flow = {};
	struct ev_net_connect *e;
	__u64 since = m ? m->since_ns : 0;
	struct rec *r;

	if (m) {
		m->flags = (m->flags & SOCK_MARK_AGENT) |
			   (outcome == NET_SUCCESS ? SOCK_MARK_ESTABLISHED : SOCK_MARK_TOLD);
		m->since_ns = bpf_ktime_get_boot_ns();
	}
	if (!hook_enter_sock(HOOK_TCP, sk, m))
		return 0;
	flow_of_sock(sk, FLOW_EGRESS, &flow);
	if (flow_is_unwanted(&flow))
		return rec_refuse(EV_NET_CONNECT);
	r = rec_open_sock(EV_NET_CONNECT, EV_NORMAL, sizeof(*e), sk, m);
	if (!r)
		return 0;
	e = rec_body(r);
	e->flow = flow;
	e->outcome = outcome;
	if (outcome == NET_FAILURE)
		e->error = sk->sk_err;
	if (since)
		e->duration_ns = e->head.time_ns - since;
	return rec_send(r);
}

/* The new socket of a connection that a peer makes; addresses are not yet in place. */
static __always_inline int tcp_passive_begin(struct sock *sk)
{
	struct sock_mark *m = mark_of(sk);

	if (!m || m->flags & SOCK_MARK_CONNECTING) /* both sides called connect() at once */
		return 0;
	m->flags = (m->flags & SOCK_MARK_AGENT) | SOCK_MARK_PASSIVE | SOCK_MARK_INHERITED;
	m->since_ns = 0;
	m->cookie = 0;
	return 0;
}

static __always_inline int tcp_passive_established(struct sock *sk, struct sock_mark *m)
{
	if (!m) {
		if (!scope_has(sock_cgroup(sk), sock_netns(sk)))
			return 0;
		m = mark_make(sk);
		if (!m)
			return 0;
		sock_owner_guess(sk, &m->owner);
		m->flags = SOCK_MARK_INHERITED;
	}
	m->flags |= SOCK_MARK_PASSIVE | SOCK_MARK_ESTABLISHED;
	m->since_ns = bpf_ktime_get_boot_ns();
	m->cookie = bpf_get_socket_cookie(sk);
	return 0;
}

static __always_inline bool tcp_fin_received(const struct sock *sk)
{
	return sk->__sk_common.skc_flags & 1UL << bpf_core_enum_value(enum sock_flags, SOCK_DONE);
}

static __always_inline int tcp_closed(struct sock *sk, struct sock_mark *m, int old)
{
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);
	struct ev_flow flow = {};
	struct ev_net_close *e;
	__u64 sent, received;
	struct rec *r;

	if (!tp || !hook_enter_sock(HOOK_TCP, sk, m))
		return 0;
	if (m)
		mark_settle(m);
	flow_of_sock(sk, mark_direction(m), &flow);
	if (flow_is_unwanted(&flow))
		return rec_refuse(EV_NET_CLOSE);
	r = rec_open_sock(EV_NET_CLOSE, EV_NORMAL, sizeof(*e), sk, m);
	if (!r)
		return 0;
	e = rec_body(r);
	e->flow = flow;
	if (m && m->since_ns)
		e->duration_ns = e->head.time_ns - m->since_ns;
	/* The kernel's bytes_acked counts SYN and FIN as bytes, its bytes_received the FIN: ours are payload. */
	sent = tp->bytes_sent - tp->bytes_retrans;
	received = tp->bytes_received - (tp->bytes_received && tcp_fin_received(sk) ? 1 : 0);
	if (flow.direction == FLOW_INGRESS) {
		e->source_bytes = received;
		e->source_packets = tp->segs_in;
		e->destination_bytes = sent;
		e->destination_packets = tp->segs_out;
	} else {
		e->source_bytes = sent;
		e->source_packets = tp->segs_out;
		e->destination_bytes = received;
		e->destination_packets = tp->segs_in;
	}
	e->rtt_us = tp->srtt_us >> 3;
	e->retransmits = tp->total_retrans;
	e->error = sk->sk_err;
	e->state = (__u8)old;
	return rec_send(r);
}

static __always_inline int tcp_listening(void *ctx, struct sock *sk)
{
	struct ev_net_listen *e;
	struct ev_flow flow = {};
	struct sock_mark *m;
	struct rec *r;

	if (!hook_enter(HOOK_TCP)) {
		mark_for_agent(sk);
		return 0;
	}
	m = mark_make(sk);
	if (m) {
		head_save(&m->owner);
		m->flags = 0;
		m->cookie = bpf_get_socket_cookie(sk);
	}
	flow_of_sock(sk, FLOW_INGRESS, &flow);
	/* Nobody has connected: there is no source. */
	__builtin_memset(&flow.source, 0, sizeof(flow.source));
	if (!config.listen || flow_is_unwanted(&flow))
		return rec_refuse(EV_NET_LISTEN);
	r = rec_open(EV_NET_LISTEN, EV_NORMAL, sizeof(*e));
	if (!r)
		return 0;
	e = rec_body(r);
	e->flow = flow;
	e->backlog = sk->sk_max_ack_backlog;
	rec_stacks(ctx, r);
	return rec_send(r);
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(state_tp, struct sock *sk, int old, int new)
{
	struct sock_mark *m;

	if (sk->sk_protocol != KERNEL_IPPROTO_TCP) /* MPTCP, SCTP and DCCP come by as well */
		return 0;
	switch (new) {
	case KERNEL_TCP_SYN_SENT:
		return tcp_connecting(sk);
	case KERNEL_TCP_LISTEN:
		return tcp_listening(ctx, sk);
	case KERNEL_TCP_SYN_RECV:
		return tcp_passive_begin(sk);
	case KERNEL_TCP_ESTABLISHED:
		m = mark_of(sk);
		if (old == KERNEL_TCP_SYN_SENT || (m && m->flags & SOCK_MARK_CONNECTING))
			return tcp_connect_ended(sk, m, NET_SUCCESS);
		return tcp_passive_established(sk, m);
	case KERNEL_TCP_CLOSE:
		m = mark_of(sk);
		if (old == KERNEL_TCP_SYN_SENT || (m && m->flags & SOCK_MARK_CONNECTING))
			return tcp_connect_ended(sk, m, NET_FAILURE);
		if (old != KERNEL_TCP_LISTEN && old != KERNEL_TCP_SYN_RECV && old != KERNEL_TCP_CLOSE)
			return tcp_closed(sk, m, old);
	}
	return 0;
}

/* ---- connect() refused before a SYN was sent: no route, no port, a denial --------------------- */

static __always_inline int connect_refused(void *ctx, const struct ev_flow *flow, long error, __u64 since_ns)
{
	struct ev_net_connect *e;
	struct rec *r;

	if (flow_is_unwanted(flow))
		return rec_refuse(EV_NET_CONNECT);
	r = rec_open(EV_NET_CONNECT, EV_NORMAL, sizeof(*e));
	if (!r)
		return 0;
	e = rec_body(r);
	e->flow = *flow;
	e->outcome = NET_FAILURE;
	e->error = (__s32)-error;
	if (since_ns)
		e->duration_ns = e->head.time_ns - since_ns;
	rec_stacks(ctx, r);
	return rec_send(r);
}

/* Does the error say that no connection was tried, and is not yet told by another record? */
static __always_inline bool connect_error_tells(long error)
{
	return error < 0 && error != -115 /* EINPROGRESS */ && error != -114 /* EALREADY */ &&
	       error != -106 /* EISCONN */ && error != -4 /* EINTR */ && error > -512;
}

/* The address that connect() got, as copied into the kernel. */
static __always_inline bool sockaddr_read(const void *addr, struct ev_addr *a, __u16 *port)
{
	__u8 b[24] = {};
	__u32 v4;

	if (bpf_probe_read_kernel(b, 8, addr))
		return false;
	*port = (__u16)(b[2] << 8 | b[3]);
	if (b[0] == KERNEL_AF_INET) {
		__builtin_memcpy(&v4, b + 4, 4);
		addr_map_v4(a, v4);
		return true;
	}
	if (b[0] != KERNEL_AF_INET6 || bpf_probe_read_kernel(b, 24, addr))
		return false;
	__builtin_memcpy(a->bytes, b + 8, 16);
	return true;
}

SEC("fexit/__inet_stream_connect")
int BPF_PROG(connect_fexit, struct socket *sock, void *addr, int addr_len, int flags, int is_sendmsg, int ret)
{
	struct sock *sk = sock->sk;
	struct ev_flow flow = {};
	struct sock_mark *m;
	__u32 told;

	if (!connect_error_tells(ret) || sk->sk_protocol != KERNEL_IPPROTO_TCP || addr_len < 8 ||
	    !hook_enter(HOOK_CONNECT_REFUSED))
		return 0;
	m = mark_of(sk);
	told = m ? m->flags & (SOCK_MARK_TOLD | SOCK_MARK_CONNECTING | SOCK_MARK_ESTABLISHED) : 0;
	if (m)
		m->flags &= ~(__u32)SOCK_MARK_TOLD;
	if (told || !sockaddr_read(addr, &flow.destination, &flow.destination_port))
		return 0;
	flow_local_of(sk, &flow);
	return connect_refused(ctx, &flow, ret, 0);
}

/* cgroup/connect runs before anything is decided: it notes the attempt, connect()'s return tells how it went. */
static __always_inline int attempt_note(struct bpf_sock_addr *ctx, const struct ev_addr *to, __u8 family)
{
	__u64 thread = bpf_get_current_pid_tgid();
	struct net_attempt a = { .since_ns = bpf_ktime_get_boot_ns(), .family = family, .destination = *to };

	if (ctx->type != KERNEL_SOCK_STREAM || ctx->protocol != KERNEL_IPPROTO_TCP)
		return 1;
	a.port = __builtin_bswap16((__u16)ctx->user_port);
	a.cookie = bpf_get_socket_cookie(ctx);
	(void)bpf_map_update_elem(&attempts, &thread, &a, BPF_ANY);
	return 1;
}

SEC("cgroup/connect4")
int connect_cg4(struct bpf_sock_addr *ctx)
{
	struct ev_addr to;

	addr_map_v4(&to, ctx->user_ip4);
	return attempt_note(ctx, &to, 4);
}

SEC("cgroup/connect6")
int connect_cg6(struct bpf_sock_addr *ctx)
{
	__u32 w[4] = { ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3] };
	struct ev_addr to;

	__builtin_memcpy(to.bytes, w, sizeof(to.bytes));
	return attempt_note(ctx, &to, addr_is_v4(&to) ? 4 : 6);
}

SEC("tp/syscalls/sys_exit_connect")
int connect_exit(struct sys_exit *ctx)
{
	__u64 thread = bpf_get_current_pid_tgid();
	struct net_attempt *found, a;
	struct ev_flow flow = {};

	found = bpf_map_lookup_elem(&attempts, &thread);
	if (!found)
		return 0;
	a = *found;
	(void)bpf_map_delete_elem(&attempts, &thread);
	if (!connect_error_tells(ctx->ret) || !hook_enter(HOOK_CONNECT_REFUSED))
		return 0;
	flow.destination = a.destination;
	flow.destination_port = a.port;
	flow.cookie = a.cookie;
	flow.family = a.family;
	flow.direction = FLOW_EGRESS;
	flow.transport = KERNEL_IPPROTO_TCP;
	return connect_refused(ctx, &flow, ctx->ret, a.since_ns);
}

/* ---- accept ----------------------------------------------------------------------------------- */

static __always_inline int accept_tell(void *ctx, const struct sock *sk)
{
	struct ev_net_accept *e;
	struct ev_flow flow = {};
	struct rec *r;

	flow_of_sock(sk, FLOW_INGRESS, &flow);
	if (flow_is_unwanted(&flow))
		return rec_refuse(EV_NET_ACCEPT);
	r = rec_open(EV_NET_ACCEPT, EV_NORMAL, sizeof(*e));
	if (!r)
		return 0;
	e = rec_body(r);
	e->flow = flow;
	rec_stacks(ctx, r);
	return rec_send(r);
}

static __always_inline int accept_fexit(void *ctx, struct sock *child)
{
	struct sock_mark *m;

	if (!child || child->sk_protocol != KERNEL_IPPROTO_TCP)
		return 0;
	if (!hook_enter(HOOK_ACCEPT)) {
		mark_for_agent(child);
		return 0;
	}
	m = mark_make(child);
	if (m) {
		head_save(&m->owner);
		m->flags = (m->flags & ~(__u32)SOCK_MARK_INHERITED) | SOCK_MARK_PASSIVE;
	}
	return accept_tell(ctx, child);
}

/* Since 6.10. */
SEC("fexit/inet_csk_accept")
int BPF_PROG(accept_fexit_arg, struct sock *listener, void *arg, struct sock *child)
{
	return accept_fexit(ctx, child);
}

SEC("fexit/inet_csk_accept")
int BPF_PROG(accept_fexit_args, struct sock *listener, int flags, int *err, bool kern, struct sock *child)
{
	return accept_fexit(ctx, child);
}

/* The socket behind a descriptor; the kernel's own objects, though the number is the process's. */
static __always_inline const struct sock *sock_of_fd(long fd)
{
	struct file *file = file_of_fd(bpf_get_current_task_btf(), fd);
	struct socket *sock = BPF_CORE_READ(file, private_data);

	/* Not every file is a socket's: a socket knows its file. */
	return file && sock && BPF_CORE_READ(sock, file) == file ? BPF_CORE_READ(sock, sk) : NULL;
}

static __always_inline int accept_returned(struct sys_exit *ctx)
{
	const struct sock *sk;
	struct ev_head owner = {};
	__u64 cookie;
	__u16 family;

	if (ctx->ret < 0 || !hook_enter(HOOK_ACCEPT))
		return 0;
	sk = sock_of_fd(ctx->ret);
	if (!sk)
		return 0;
	family = BPF_CORE_READ(sk, __sk_common.skc_family);
	if (!family_is_ip(family) || BPF_CORE_READ(sk, sk_protocol) != KERNEL_IPPROTO_TCP)
		return 0;
	cookie = (__u64)BPF_CORE_READ(sk, __sk_common.skc_cookie.counter);
	head_save(&owner);
	if (cookie)
		(void)bpf_map_update_elem(&accepted, &cookie, &owner, BPF_ANY);
	return accept_tell(ctx, sk);
}

SEC("tp/syscalls/sys_exit_accept")
int accept_exit(struct sys_exit *ctx)
{
	return accept_returned(ctx);
}

SEC("tp/syscalls/sys_exit_accept4")
int accept4_exit(struct sys_exit *ctx)
{
	return accept_returned(ctx);
}

/* When nothing tells of accept(): the connection is there, and the listener's process will be the one to take it. */
SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(accept_state_tp, struct sock *sk, int old, int new)
{
	struct ev_net_accept *e;
	struct ev_flow flow = {};
	struct sock_mark *m;
	struct rec *r;

	if (new != KERNEL_TCP_ESTABLISHED || old != KERNEL_TCP_SYN_RECV || sk->sk_protocol != KERNEL_IPPROTO_TCP)
		return 0;
	m = mark_of(sk);
	if ((m && !(m->flags & SOCK_MARK_PASSIVE)) || !hook_enter_sock(HOOK_ACCEPT, sk, m))
		return 0;
	flow_of_sock(sk, FLOW_INGRESS, &flow);
	if (flow_is_unwanted(&flow))
		return rec_refuse(EV_NET_ACCEPT);
	r = rec_open_sock(EV_NET_ACCEPT, EV_NORMAL, sizeof(*e), sk, m);
	if (!r)
		return 0;
	e = rec_body(r);
	e->flow = flow;
	return rec_send(r);
}

/* ---- bind --------------------------------------------------------------------------------------- */

static __always_inline int bind_tell(void *ctx, bool stacks, const struct ev_flow *flow, int error)
{
	struct ev_net_bind *e;
	struct rec *r;

	if (flow_is_unwanted(flow))
		return rec_refuse(EV_NET_BIND);
	r = rec_open(EV_NET_BIND, EV_NORMAL, sizeof(*e));
	if (!r)
		return 0;
	e = rec_body(r);
	e->flow = *flow;
	e->error = -error;
	e->outcome = error ? NET_FAILURE : NET_SUCCESS;
	if (stacks)
		rec_stacks(ctx, r);
	return rec_send(r);
}

static __always_inline int bind_returned(void *ctx, struct sock *sk, void *addr, int addr_len, int ret)
{
	struct ev_flow flow = {};

	if (addr_len < 8 || !hook_enter(HOOK_BIND))
		return 0;
	flow_of_sock(sk, FLOW_INGRESS, &flow);
	__builtin_memset(&flow.source, 0, sizeof(flow.source));
	flow.source_port = 0;
	/* Where it failed, the socket has no address; what was asked for stands in the argument. */
	if (ret && !sockaddr_read(addr, &flow.destination, &flow.destination_port))
		return 0;
	return bind_tell(ctx, true, &flow, ret);
}

SEC("fexit/__inet_bind")
int BPF_PROG(bind4_fexit, struct sock *sk, void *addr, int addr_len, __u32 flags, int ret)
{
	return bind_returned(ctx, sk, addr, addr_len, ret);
}

SEC("fexit/__inet6_bind")
int BPF_PROG(bind6_fexit, struct sock *sk, void *addr, int addr_len, __u32 flags, int ret)
{
	return bind_returned(ctx, sk, addr, addr_len, ret);
}

static __always_inline int bind_done(struct bpf_sock *ctx, const struct ev_addr *at, __u8 family)
{
	struct ev_flow flow = {
		.destination = *at,
		.destination_port = (__u16)ctx->src_port,
		.transport = (__u8)ctx->protocol,
		.family = family,
		.direction = FLOW_INGRESS,
	};

	if (!hook_enter_cgroup(HOOK_BIND))
		return 1;
	flow.cookie = bpf_get_socket_cookie(ctx);
	(void)bind_tell(ctx, false, &flow, 0);
	return 1;
}

SEC("cgroup/post_bind4")
int bind_cg4(struct bpf_sock *ctx)
{
	struct ev_addr at;

	addr_map_v4(&at, ctx->src_ip4);
	return bind_done(ctx, &at, 4);
}

SEC("cgroup/post_bind6")
int bind_cg6(struct bpf_sock *ctx)
{
	__u32 w[4] = { ctx->src_ip6[0], ctx->src_ip6[1], ctx->src_ip6[2], ctx->src_ip6[3] };
	struct ev_addr at;

	__builtin_memcpy(at.bytes, w, sizeof(at.bytes));
	return bind_done(ctx, &at, addr_is_v4(&at) ? 4 : 6);
}

/* ---- retransmissions and resets ------------------------------------------------------------------- */

SEC("tp_btf/tcp_retransmit_skb")
int BPF_PROG(retransmit_tp, struct sock *sk, struct sk_buff *skb)
{
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);
	struct ev_net_retransmit *e;
	struct ev_flow flow = {};
	struct sock_mark *m;
	struct rec *r;

	if (!tp)
		return 0;
	m = mark_of(sk);
	if (!hook_enter_sock(HOOK_RETRANSMIT, sk, m))
		return 0;
	flow_of_sock(sk, mark_direction(m), &flow);
	if (flow_is_unwanted(&flow))
		return rec_refuse(EV_NET_RETRANSMIT);
	r = rec_open_sock(EV_NET_RETRANSMIT, EV_BULK, sizeof(*e), sk, m);
	if (!r)
		return 0;
	e = rec_body(r);
	e->flow = flow;
	e->retransmits = tp->total_retrans;
	e->rtt_us = tp->srtt_us >> 3;
	e->state = sk->__sk_common.skc_state;
	rec_stacks(ctx, r);
	return rec_send(r);
}

static __always_inline int reset_of_sock(void *ctx, struct sock *sk, __u8 way)
{
	struct sock_mark *m = mark_of(sk);
	struct ev_net_reset *e;
	struct ev_flow flow = {};
	struct rec *r;

	if (!hook_enter_sock(HOOK_RESET, sk, m))
		return 0;
	flow_of_sock(sk, mark_direction(m), &flow);
	if (flow_is_unwanted(&flow))
		return rec_refuse(EV_NET_RESET);
	r = rec_open_sock(EV_NET_RESET, EV_BULK, sizeof(*e), sk, m);
	if (!r)
		return 0;
	e = rec_body(r);
	e->flow = flow;
	e->way = way;
	e->state = sk->__sk_common.skc_state;
	rec_stacks(ctx, r);
	return rec_send(r);
}

SEC("tp_btf/tcp_receive_reset")
int BPF_PROG(reset_received_tp, struct sock *sk)
{
	return reset_of_sock(ctx, sk, NET_RESET_RECEIVED);
}

/* The answer to a packet that no connection wants: `skb` is that packet, its source the other side. */
static __always_inline int reset_of_packet(void *ctx, const struct sk_buff *skb)
{
	struct ev_head nobody = {};
	struct skb_view v = {};
	struct ev_net_reset *e;
	struct rec *r;

	owner_unknown(&nobody, BPF_CORE_READ(skb, dev, nd_net.net, ns.inum));
	if (!hook_enter_for(HOOK_RESET, NULL, nobody.netns) || !skb_read_kernel(skb, &v))
		return 0;
	if (!config.loopback && (addr_is_loopback(&v.source) || addr_is_loopback(&v.destination)))
		return rec_refuse(EV_NET_RESET);
	r = rec_open_for(EV_NET_RESET, EV_BULK, sizeof(*e), &nobody);
	if (!r)
		return 0;
	e = rec_body(r);
	e->flow.source = v.source;
	e->flow.source_port = v.source_port;
	e->flow.destination = v.destination;
	e->flow.destination_port = v.destination_port;
	e->flow.family = v.family;
	e->flow.transport = v.transport;
	e->flow.direction = FLOW_INGRESS;
	e->way = NET_RESET_SENT;
	rec_stacks(ctx, r);
	return rec_send(r);
}

SEC("tp_btf/tcp_send_reset")
int BPF_PROG(reset_sent_tp, struct sock *sk, struct sk_buff *skb)
{
	if (sk && sock_is_full(sk) && sk->__sk_common.skc_state != KERNEL_TCP_LISTEN)
		return reset_of_sock(ctx, sk, NET_RESET_SENT);
	return skb ? reset_of_packet(ctx, skb) : 0;
}

/* ---- UDP ------------------------------------------------------------------------------------------ */

/* Is this the first datagram of its flow this way? *ret_reply: the flow began the other way. */
static __always_inline bool udp_is_first(const struct udp_key *key, __u32 way, __u8 *ret_reply)
{
	__u64 now = bpf_ktime_get_boot_ns();
	struct udp_flow *f = bpf_map_lookup_elem(&udp_flows, key);
	__u64 last;

	if (!f || now - f->last_ns > config.udp_idle_ns) {
		struct udp_flow new = { .last_ns = now, .ways = 1U << way, .first = way };

		*ret_reply = 0;
		(void)bpf_map_update_elem(&udp_flows, key, &new, BPF_ANY);
		return true;
	}
	last = f->last_ns;
	if (now - last > 1000000) /* a write for each datagram would have CPUs fight for the line */
		f->last_ns = now;
	if (f->ways & 1U << way)
		return false;
	*ret_reply = f->first != way;
	return !(__sync_fetch_and_or(&f->ways, 1U << way) & 1U << way);
}

static __always_inline bool udp_flow_of(const struct skb_view *v, __u8 way, __u64 cookie, struct ev_flow *f,
					__u8 *ret_reply)
{
	struct udp_key key = { .cookie = cookie };

	f->source = v->source;
	f->source_port = v->source_port;
	f->destination = v->destination;
	f->destination_port = v->destination_port;
	f->family = v->family;
	f->transport = v->transport;
	f->direction = way;
	f->cookie = cookie;
	key.remote = way == FLOW_EGRESS ? v->destination : v->source;
	key.remote_port = way == FLOW_EGRESS ? v->destination_port : v->source_port;
	return udp_is_first(&key, way, ret_reply);
}

static __always_inline int udp_send_rec(struct rec *r, const struct ev_flow *flow, __u32 bytes, __u8 reply)
{
	struct ev_net_udp *e;

	if (!r)
		return 0;
	e = rec_body(r);
	e->flow = *flow;
	e->bytes = bytes;
	e->reply = reply;
	return rec_send(r);
}

/* In the context of the process that sends or receives. */
static __always_inline int udp_datagram(struct sock *sk, struct sk_buff *skb, __u8 way)
{
	struct skb_view v = {};
	struct ev_flow flow = {};
	__u8 reply = 0;

	if (!hook_enter(HOOK_UDP) || !skb_read_kernel(skb, &v) || v.transport != KERNEL_IPPROTO_UDP)
		return 0;
	if (!udp_flow_of(&v, way, bpf_get_socket_cookie(sk), &flow, &reply))
		return 0;
	if (flow_is_unwanted(&flow))
		return rec_refuse(EV_NET_UDP);
	return udp_send_rec(rec_open(EV_NET_UDP, EV_NORMAL, sizeof(struct ev_net_udp)), &flow, v.payload_len, reply);
}

static __always_inline int udp_sent(struct sk_buff *skb)
{
	struct sock *sk = skb->sk;

	if (!sk || sk->sk_protocol != KERNEL_IPPROTO_UDP)
		return 0;
	return udp_datagram(sk, skb, FLOW_EGRESS);
}

SEC("fentry/ip_send_skb")
int BPF_PROG(udp_send4_fentry, struct net *net, struct sk_buff *skb)
{
	return udp_sent(skb);
}

SEC("fentry/ip6_send_skb")
int BPF_PROG(udp_send6_fentry, struct sk_buff *skb)
{
	return udp_sent(skb);
}

SEC("fentry/skb_consume_udp")
int BPF_PROG(udp_receive_fentry, struct sock *sk, struct sk_buff *skb, int len)
{
	if (len < 0)
		return 0;
	return udp_datagram(sk, skb, FLOW_INGRESS);
}

/* A pointer that the verifier guards, as a number to read through: cgroup programs may not walk sockets. */
static __always_inline const struct sock *sock_plain(void *guarded)
{
	void *slot = guarded;
	const struct sock *sk = NULL;

	(void)bpf_probe_read_kernel(&sk, sizeof(sk), &slot);
	return sk;
}

static __always_inline bool skb_is_udp(struct __sk_buff *skb)
{
	__u8 *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;

	if (data + 20 > end)
		return false;
	/* IPv6 with extension headers before UDP is read in full further on. */
	return data[0] >> 4 == 4 ? data[9] == KERNEL_IPPROTO_UDP
				 : data[6] == KERNEL_IPPROTO_UDP || data[6] == 0 || data[6] == 43 || data[6] == 44 ||
					   data[6] == 60;
}

static __always_inline int udp_packet(struct __sk_buff *skb, __u8 way)
{
	struct bpf_sock *guarded = skb->sk, *full;
	struct sock_mark *m;
	struct skb_view v = {};
	struct ev_flow flow = {};
	const struct sock *sk;
	__u8 reply = 0;

	full = guarded ? bpf_sk_fullsock(guarded) : NULL;
	if (!full)
		return 1;
	m = bpf_sk_storage_get(&sock_marks, full, NULL, 0);
	sk = sock_plain(full);
	if (way == FLOW_EGRESS ? !hook_enter_cgroup(HOOK_UDP) : !hook_enter_sock(HOOK_UDP, sk, m))
		return 1;
	if (!skb_read_ctx(skb, &v) || v.transport != KERNEL_IPPROTO_UDP)
		return 1;
	if (!udp_flow_of(&v, way, bpf_get_socket_cookie(skb), &flow, &reply))
		return 1;
	if (flow_is_unwanted(&flow)) {
		(void)rec_refuse(EV_NET_UDP);
		return 1;
	}
	if (way == FLOW_EGRESS)
		(void)udp_send_rec(rec_open(EV_NET_UDP, EV_NORMAL, sizeof(struct ev_net_udp)), &flow, v.payload_len,
				   reply);
	else
		(void)udp_send_rec(rec_open_sock(EV_NET_UDP, EV_NORMAL, sizeof(struct ev_net_udp), sk, m), &flow,
				   v.payload_len, reply);
	return 1;
}

SEC("cgroup_skb/egress")
int udp_egress(struct __sk_buff *skb)
{
	return skb_is_udp(skb) ? udp_packet(skb, FLOW_EGRESS) : 1;
}

SEC("cgroup_skb/ingress")
int udp_ingress(struct __sk_buff *skb)
{
	return skb_is_udp(skb) ? udp_packet(skb, FLOW_INGRESS) : 1;
}

/* Who made the socket: what a datagram that arrives in an interrupt is put down to. */
SEC("cgroup/sock_create")
int owner_create(struct bpf_sock *ctx)
{
	struct sock_mark *m;
	bool ours;

	if (ctx->type == KERNEL_SOCK_STREAM) /* connect(), listen() and accept() mark these */
		return 1;
	ours = hook_enter_cgroup(HOOK_OWNER);
	if (!ours && !current_is_agent())
		return 1;
	m = bpf_sk_storage_get(&sock_marks, ctx, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!m)
		return 1;
	if (ours)
		head_save(&m->owner);
	else
		m->flags = SOCK_MARK_AGENT;
	return 1;
}

/* ---- unix sockets ----------------------------------------------------------------------------------- */

/* Appends the name in a sockaddr_un of `len` bytes; an abstract one begins with '@'. */
static __always_inline void rec_sun_path(struct rec *r, struct ev_str *s, const void *sun, __u32 len)
{
	__u64 n = len - 2;
	__u8 *to = rec_room(r, 128);
	long got;

	if (!to || !in_range(&n, 1, 108) || bpf_probe_read_kernel(to, n, (const char *)sun + 2))
		return;
	if (!to[0]) {
		to[0] = '@';
		to[n] = 0;
		rec_take(r, s, n + 1, true);
		return;
	}
	got = bpf_probe_read_kernel_str(to, n + 1, (const char *)sun + 2);
	if (got > 1)
		rec_take(r, s, (__u32)got, true);
}

static __always_inline int unix_tell(void *ctx, bool stacks, const struct sock *sk, const void *sun, int len,
				     __u8 action, int error)
{
	struct ev_net_unix *e;
	struct rec *r;

	r = rec_open(EV_NET_UNIX, EV_NORMAL, sizeof(*e));
	if (!r)
		return 0;
	e = rec_body(r);
	e->action = action;
	e->error = -error;
	e->outcome = error ? NET_FAILURE : NET_SUCCESS;
	if (sk) {
		e->type = BPF_CORE_READ(sk, sk_type);
		if (action == NET_UNIX_CONNECT && !error)
			e->peer_pid = (__u32)BPF_CORE_READ(sk, sk_peer_pid, numbers[0].nr);
	}
	rec_sun_path(r, &e->path, sun, (__u32)len);
	if (stacks)
		rec_stacks(ctx, r);
	return rec_send(r);
}

SEC("fexit/unix_stream_connect")
int BPF_PROG(unix_stream_fexit, struct socket *sock, void *addr, int len, int flags, int ret)
{
	return hook_enter(HOOK_UNIX_CONNECT) ? unix_tell(ctx, true, sock->sk, addr, len, NET_UNIX_CONNECT, ret) : 0;
}

SEC("fexit/unix_dgram_connect")
int BPF_PROG(unix_dgram_fexit, struct socket *sock, void *addr, int len, int flags, int ret)
{
	return hook_enter(HOOK_UNIX_CONNECT) ? unix_tell(ctx, true, sock->sk, addr, len, NET_UNIX_CONNECT, ret) : 0;
}

SEC("fexit/unix_bind")
int BPF_PROG(unix_bind_fexit, struct socket *sock, void *addr, int len, int ret)
{
	return hook_enter(HOOK_UNIX_BIND) ? unix_tell(ctx, true, sock->sk, addr, len, NET_UNIX_BIND, ret) : 0;
}

void *bpf_cast_to_kern_ctx(void *ctx) __ksym __weak;

/* Since 6.7. Before the kernel decides: it says what was tried. libbpf 1.1 does not know the section: see prepare. */
SEC("cgroup/connect_unix")
int unix_connect_cg(struct bpf_sock_addr *ctx)
{
	struct bpf_sock_addr_kern *k;

	if (!hook_enter_cgroup(HOOK_UNIX_CONNECT))
		return 1;
	k = bpf_cast_to_kern_ctx(ctx);
	(void)unix_tell(ctx, false, k->sk, k->uaddr, (int)k->uaddrlen, NET_UNIX_CONNECT, 0);
	return 1;
}

/* After a call that succeeded: the name that the kernel gave the socket, or that of its peer. */
static __always_inline int unix_returned(struct sys_exit *ctx, __u8 action)
{
	const struct sock *sk = sock_of_fd((int)sys_arg(bpf_get_current_task_btf(), 0));
	const struct unix_sock *named = (const struct unix_sock *)sk;
	struct unix_address *name;

	if (!sk || BPF_CORE_READ(sk, __sk_common.skc_family) != KERNEL_AF_UNIX)
		return 0;
	if (action == NET_UNIX_CONNECT)
		named = (const struct unix_sock *)BPF_CORE_READ(named, peer);
	name = BPF_CORE_READ(named, addr);
	if (!name)
		return 0;
	return unix_tell(ctx, true, sk, (const char *)name + bpf_core_field_offset(struct unix_address, name),
			 BPF_CORE_READ(name, len), action, 0);
}

SEC("tp/syscalls/sys_exit_connect")
int unix_connect_exit(struct sys_exit *ctx)
{
	return !ctx->ret && hook_enter(HOOK_UNIX_CONNECT) ? unix_returned(ctx, NET_UNIX_CONNECT) : 0;
}

SEC("tp/syscalls/sys_exit_bind")
int unix_bind_exit(struct sys_exit *ctx)
{
	return !ctx->ret && hook_enter(HOOK_UNIX_BIND) ? unix_returned(ctx, NET_UNIX_BIND) : 0;
}
