/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* packet.event - a packet with its bytes, from a capture. Of no process, and seen from neither side. */
#pragma once
#include "event/abi.h"
#include "event/flow.h"

enum {
	EV_CAPTURE = 0xf1,
	EV_PACKET_CAPTURED = EV_ID(EV_CAPTURE, 1),
};

struct ev_packet {
	struct ev_head head;
	struct ev_flow flow; /* all 0: no IP packet */
	__u32 bytes;         /* on the wire */
	__u32 interface;     /* of the capture, from 0 */
	__u16 link_type;     /* of the capture's file: LINKTYPE_... */
	__u16 ethertype;     /* 0: not known */
	__u8 tcp_flags;
	__u8 is_fragment; /* and not the first: it has no ports */
	__u16 pad;
	struct ev_str data; /* from the link's header on, as much as was captured */
	__u32 pad2;
};
_Static_assert(sizeof(struct ev_packet) == 152, "ev_packet");
