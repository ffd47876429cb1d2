/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * skb.bpf - from whom to whom a packet goes, read from its own bytes.
 *
 * skb_read_kernel() is for programs that hold the kernel's sk_buff, skb_read_ctx() for cgroup
 * programs, whose packet begins at its IP header. Both stay inside the linear part and give up
 * (false, or ports of 0) on what they cannot read: a later fragment, a cut header, more than
 * SKB_EXT_MAX extension headers, more than two VLAN tags.
 */
#pragma once
#include "bpf/core.bpf.h"
#include "event/flow.h"

enum { SKB_EXT_MAX = 6 };
enum {
	ETHERTYPE_IP = 0x0800,
	ETHERTYPE_ARP = 0x0806,
	ETHERTYPE_VLAN = 0x8100,
	ETHERTYPE_IPV6 = 0x86dd,
	ETHERTYPE_QINQ = 0x88a8,
};

struct skb_view {
	struct ev_addr source, destination;
	__u32 payload_len; /* of UDP; else 0 */
	__u16 source_port, destination_port;
	__u16 vlan; /* id of the outermost tag, 0: none */
	__u8 family, transport;
	__u8 icmp_type, icmp_code;
	__u8 tcp_flags;
	__u8 pad;
};

/* Where the bytes come from: a context, or memory of which `room` bytes are the packet's. */
struct skb_bytes {
	struct __sk_buff *ctx;
	const __u8 *at;
	__u32 room;
};

static __always_inline bool skb_bytes_read(const struct skb_bytes *b, __u32 off, void *to, __u32 n)
{
	if (b->ctx)
		return bpf_skb_load_bytes(b->ctx, off, to, n) == 0;
	return off + n <= b->room && bpf_probe_read_kernel(to, n, b->at + off) == 0;
}

/* The transport header, at `off`. What cannot be read stays 0. */
static __always_inline void skb_read_transport(const struct skb_bytes *b, __u32 off, struct skb_view *v)
{
	__u8 h[8] = {};
	__u32 len;

	switch (v->transport) {
	case KERNEL_IPPROTO_TCP:
		(void)skb_bytes_read(b, off + 13, &v->tcp_flags, 1);
		/* fall through */
	case KERNEL_IPPROTO_UDP:
	case 132: /* SCTP */
	case 136: /* UDP-Lite */
		if (!skb_bytes_read(b, off, h, sizeof(h)))
			return;
		v->source_port = (__u16)(h[0] << 8 | h[1]);
		v->destination_port = (__u16)(h[2] << 8 | h[3]);
		len = (__u32)(h[4] << 8 | h[5]);
		if (v->transport == KERNEL_IPPROTO_UDP && len >= 8)
			v->payload_len = len - 8;
		return;
	case 1:  /* ICMP */
	case 58: /* ICMPv6 */
		if (!skb_bytes_read(b, off, h, 2))
			return;
		v->icmp_type = h[0];
		v->icmp_code = h[1];
	}
}

static __always_inline void addr_map_v4(struct ev_addr *a, __u32 addr_be)
{
	__builtin_memset(a->bytes, 0, 10);
	a->bytes[10] = a->bytes[11] = 0xff;
	__builtin_memcpy(a->bytes + 12, &addr_be, 4);
}

static __always_inline bool skb_read_v4(const struct skb_bytes *b, __u32 off, struct skb_view *v)
{
	__u8 h[20];
	__u32 addr;

	if (!skb_bytes_read(b, off, h, sizeof(h)) || h[0] >> 4 != 4)
		return false;
	v->family = 4;
	v->transport = h[9];
	__builtin_memcpy(&addr, h + 12, 4);
	addr_map_v4(&v->source, addr);
	__builtin_memcpy(&addr, h + 16, 4);
	addr_map_v4(&v->destination, addr);
	if (!(h[6] & 0x1f) && !h[7]) /* later fragments have no transport header */
		skb_read_transport(b, off + (h[0] & 15) * 4U, v);
	return true;
}

static __always_inline bool skb_read_v6(const struct skb_bytes *b, __u32 off, struct skb_view *v)
{
	__u8 h[40], next, ext[8];

	if (!skb_bytes_read(b, off, h, sizeof(h)) || h[0] >> 4 != 6)
		return false;
	v->family = 6;
	__builtin_memcpy(v->source.bytes, h + 8, 16);
	__builtin_memcpy(v->destination.bytes, h + 24, 16);
	next = h[6];
	off += 40;
#pragma unroll
	for (int i = 0; i < SKB_EXT_MAX; i++) {
		/* Hop-by-hop, routing, destination options, fragment. */
		if (next != 0 && next != 43 && next != 60 && next != 44)
			break;
		if (!skb_bytes_read(b, off, ext, sizeof(ext)))
			return true;
		if (next == 44 && (ext[2] || ext[3] & 0xf8)) {
			v->transport = ext[0];
			return true;
		}
		off += next == 44 ? 8 : (ext[1] + 1U) * 8;
		next = ext[0];
	}
	v->transport = next;
	skb_read_transport(b, off, v);
	return true;
}

static __always_inline bool skb_read(const struct skb_bytes *b, __u32 off, __u16 ethertype, struct skb_view *v)
{
	__u8 tag[4];

#pragma unroll
	for (int i = 0; i < 2; i++) {
		if (ethertype != ETHERTYPE_VLAN && ethertype != ETHERTYPE_QINQ)
			break;
		if (!skb_bytes_read(b, off, tag, sizeof(tag)))
			return false;
		if (!v->vlan)
			v->vlan = (__u16)((tag[0] & 15) << 8 | tag[1]);
		ethertype = (__u16)(tag[2] << 8 | tag[3]);
		off += 4;
	}
	if (ethertype == ETHERTYPE_IP)
		return skb_read_v4(b, off, v);
	if (ethertype == ETHERTYPE_IPV6)
		return skb_read_v6(b, off, v);
	return false;
}

/* `v` must be zeroed. False: not an IP packet, or not one that can be read. */
static __always_inline bool skb_read_kernel(const struct sk_buff *skb, struct skb_view *v)
{
	__u16 at = BPF_CORE_READ(skb, network_header), mac = BPF_CORE_READ(skb, mac_header);
	__u16 type = __builtin_bswap16(BPF_CORE_READ(skb, protocol));
	__u32 end = BPF_CORE_READ(skb, end);
	struct skb_bytes b = { .at = BPF_CORE_READ(skb, head) };
	__u8 first = 0;

	/* Of a tagged packet the network header is before or behind the tag, as it comes; the frame's start is sure. */
	if ((type == ETHERTYPE_VLAN || type == ETHERTYPE_QINQ) && mac < at)
		at = mac + 14;
	if (!b.at || at >= end)
		return false;
	b.at += at;
	b.room = end - at;
	if (type)
		return skb_read(&b, 0, type, v);
	/* A packet of this host gets its protocol late, but it has its header. */
	if (!at || !skb_bytes_read(&b, 0, &first, 1))
		return false;
	return first >> 4 == 4 ? skb_read_v4(&b, 0, v) : skb_read_v6(&b, 0, v);
}

static __always_inline bool skb_read_ctx(struct __sk_buff *skb, struct skb_view *v)
{
	struct skb_bytes b = { .ctx = skb };

	return skb_read(&b, 0, __builtin_bswap16((__u16)skb->protocol), v);
}
