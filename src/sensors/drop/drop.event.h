/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* drop.event - the record of a packet that the kernel threw away. */
#pragma once
#include "event/abi.h"
#include "event/flow.h"

enum {
	EV_DROP = 0x04,
	EV_DROP_PACKET = EV_ID(EV_DROP, 1),
};

/* The head is of the process whose socket sent it or should have got it, where that is known. */
struct ev_drop {
	struct ev_head head;
	struct ev_flow flow; /* the packet's own ends; all 0: not an IP packet */
	__u64 location;      /* address in the kernel's code */
	__u32 reason;        /* this kernel's number */
	__u32 bytes;         /* of the packet, from where the kernel stood in it */
	__u32 ifindex;       /* 0: not known */
	char device[16];
	__u16 ethertype;
	__u16 vlan; /* 0: untagged */
	__u8 icmp_type, icmp_code;
	__u8 tcp_flags;
	__u8 pad;
	struct ev_str reason_name; /* numbers differ between kernels, names do not */
};
