// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * drop - kernel side.
 *
 * Hook: kfree_skb is where the kernel gives up on a packet; a packet that reached its reader
 * goes through consume_skb and is not seen here. Runs in whatever was interrupted: the socket's
 * mark says whose packet it was.
 * Cost: one array lookup for a reason that is left out; some 240 ns for a record.
 * Loss: class bulk, budgeted for each cgroup (one budget for all packets without a socket).
 */
#include "bpf/skb.bpf.h"
#include "bpf/sock.bpf.h"
#include "sensors/drop/drop.event.h"
#include "sensors/drop/drop.map.h"

const volatile struct drop_config config = { .loopback = 1 };

KEEP_BTF(ev_drop);

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, DROP_REASONS_MAX);
	__type(key, __u32);
	__type(value, struct drop_reason);
} reasons SEC(".maps");

enum { LOOPBACK_IFINDEX = 1 }; /* in every network namespace */

/*
 * The device, or NULL. Where a packet waits in a UDP socket's queue the kernel keeps other things
 * in its place, which do not look like an address.
 */
static __always_inline struct net_device *skb_device(const struct sk_buff *skb)
{
	struct net_device *dev = BPF_CORE_READ(skb, dev);

	return (unsigned long)dev >> 56 == 0xff ? dev : NULL;
}

/*
 * A datagram that its own socket sends is dropped, if at all before it leaves, in the sender's
 * context; an interrupt does not send for a user's UDP socket.
 */
static __always_inline bool sent_by_current(const struct sock *sk, bool outgoing)
{
	return outgoing && BPF_CORE_READ(sk, sk_protocol) == KERNEL_IPPROTO_UDP;
}

static __always_inline void rec_reason_name(struct rec *r, struct ev_str *s, const struct drop_reason *reason)
{
	if (reason && reason->name[0])
		rec_kstr(r, s, reason->name, DROP_NAME_MAX);
}

static __always_inline struct rec *drop_open(const struct sock *sk, const struct sock_mark *mark, bool outgoing,
					     __u32 netns)
{
	struct ev_head nobody = {};

	if (sk && !mark && sent_by_current(sk, outgoing))
		return rec_open(EV_DROP_PACKET, EV_BULK, sizeof(struct ev_drop));
	if (sk)
		return rec_open_sock(EV_DROP_PACKET, EV_BULK, sizeof(struct ev_drop), sk, mark);
	owner_unknown(&nobody, netns);
	return rec_open_for(EV_DROP_PACKET, EV_BULK, sizeof(struct ev_drop), &nobody);
}

static __always_inline int dropped(void *ctx, struct sk_buff *skb, void *location, __u32 number, struct sock *sk)
{
	struct net_device *dev = skb_device(skb);
	__u32 ifindex = dev ? BPF_CORE_READ(dev, ifindex) : (__u32)skb->skb_iif, netns = 0;
	bool outgoing = !skb->skb_iif;
	struct sock_mark *mark = NULL;
	struct drop_reason *reason;
	struct skb_view v = {};
	struct ev_drop *e;
	struct rec *r;

	if (sk && !sock_is_full(sk))
		sk = NULL;
	if (sk)
		mark = bpf_sk_storage_get(&sock_marks, sk, NULL, 0);
	else if (dev && core.scope != SCOPE_CGROUP) /* where a packet of no socket is nobody's */
		netns = BPF_CORE_READ(dev, nd_net.net, ns.inum);
	/* What happens on the loopback device in the agent's own time is its exercise. */
	if (ifindex == LOOPBACK_IFINDEX && task_is_agent(bpf_get_current_task_btf())) {
		hook_count(HOOK_DROP, true);
		return 0;
	}
	if (sk ? !hook_enter_sock(HOOK_DROP, sk, mark) : !hook_enter_for(HOOK_DROP, NULL, netns))
		return 0;
	/* From here on it is ours: most packets that are dropped are not, and should cost little. */
	reason = bpf_map_lookup_elem(&reasons, &number);
	if ((reason && reason->ignored) || (!config.loopback && ifindex == LOOPBACK_IFINDEX))
		return rec_refuse(EV_DROP_PACKET);
	/* Buffers of netlink and unix sockets are no packets. */
	if (!skb_read_kernel(skb, &v) && (!skb->protocol || !ifindex))
		return rec_refuse(EV_DROP_PACKET);
	r = drop_open(sk, mark, outgoing, netns);
	if (!r)
		return 0;
	e = rec_body(r);
	e->flow.source = v.source;
	e->flow.destination = v.destination;
	e->flow.source_port = v.source_port;
	e->flow.destination_port = v.destination_port;
	e->flow.transport = v.transport;
	e->flow.family = v.family;
	e->flow.direction = outgoing ? FLOW_EGRESS : FLOW_INGRESS;
	if (sk)
		e->flow.cookie = (__u64)BPF_CORE_READ(sk, __sk_common.skc_cookie.counter);
	e->location = (__u64)location;
	e->reason = number;
	e->bytes = skb->len;
	e->ifindex = ifindex;
	if (dev)
		BPF_CORE_READ_STR_INTO(&e->device, dev, name);
	e->ethertype = __builtin_bswap16(skb->protocol);
	e->vlan = v.vlan ? v.vlan : skb->vlan_tci & 0xfff;
	e->icmp_type = v.icmp_type;
	e->icmp_code = v.icmp_code;
	e->tcp_flags = v.tcp_flags;
	rec_reason_name(r, &e->reason_name, reason);
	rec_stacks(ctx, r);
	return rec_send(r);
}

/* Since 6.11 the tracepoint names the socket that was to receive. */
SEC("tp_btf/kfree_skb")
int BPF_PROG(drop_tp_socket, struct sk_buff *skb, void *location, __u32 reason, struct sock *rx)
{
	return dropped(ctx, skb, location, reason, rx ? rx : skb->sk);
}

SEC("tp_btf/kfree_skb")
int BPF_PROG(drop_tp, struct sk_buff *skb, void *location, __u32 reason)
{
	return dropped(ctx, skb, location, reason, skb->sk);
}
