/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* net.event - the records of sockets: who talks to whom, who listens, how it ended. */
#pragma once
#include "event/abi.h"
#include "event/flow.h"

enum {
	EV_NET = 0x03,
	EV_NET_CONNECT = EV_ID(EV_NET, 1),
	EV_NET_ACCEPT = EV_ID(EV_NET, 2),
	EV_NET_LISTEN = EV_ID(EV_NET, 3),
	EV_NET_BIND = EV_ID(EV_NET, 4),
	EV_NET_CLOSE = EV_ID(EV_NET, 5),
	EV_NET_RETRANSMIT = EV_ID(EV_NET, 6),
	EV_NET_RESET = EV_ID(EV_NET, 7),
	EV_NET_UDP = EV_ID(EV_NET, 8),
	EV_NET_UNIX = EV_ID(EV_NET, 9),
};

enum net_outcome { NET_SUCCESS = 1, NET_FAILURE = 2 };
enum net_reset { NET_RESET_SENT = 1, NET_RESET_RECEIVED = 2 };
enum net_unix_action { NET_UNIX_CONNECT = 1, NET_UNIX_BIND = 2 };

/* Once the outcome is known. The head is of the process that called connect(). */
struct ev_net_connect {
	struct ev_head head;
	struct ev_flow flow;
	__u64 duration_ns; /* from the SYN to the outcome */
	__s32 error;       /* 0 with NET_FAILURE: given up by the process */
	__u8 outcome;      /* enum net_outcome */
	__u8 pad[3];
};

struct ev_net_accept {
	struct ev_head head;
	struct ev_flow flow;
};

/* The address stands in flow.destination: where others will connect to. */
struct ev_net_listen {
	struct ev_head head;
	struct ev_flow flow;
	__u32 backlog;
	__u32 pad;
};

struct ev_net_bind {
	struct ev_head head;
	struct ev_flow flow;
	__s32 error;
	__u8 outcome; /* enum net_outcome */
	__u8 pad[3];
};

/* The head is of the socket's owner, whoever closed it last. */
struct ev_net_close {
	struct ev_head head;
	struct ev_flow flow;
	__u64 duration_ns;                         /* established to closed; 0: established before the agent looked */
	__u64 source_bytes, destination_bytes;     /* payload that each sent, without what was sent again */
	__u32 source_packets, destination_packets; /* segments */
	__u32 rtt_us;                              /* smoothed round trip */
	__u32 retransmits;                         /* segments that we sent again */
	__s32 error;
	__u8 state; /* TCP state before */
	__u8 pad[3];
};

struct ev_net_retransmit {
	struct ev_head head;
	struct ev_flow flow;
	__u32 retransmits; /* of this connection, before this one */
	__u32 rtt_us;
	__u8 state;
	__u8 pad[7];
};

struct ev_net_reset {
	struct ev_head head;
	struct ev_flow flow;
	__u8 way;   /* enum net_reset */
	__u8 state; /* 0: no socket had the port */
	__u8 pad[6];
};

/* The first datagram of a flow each way. */
struct ev_net_udp {
	struct ev_head head;
	struct ev_flow flow; /* the source sent this datagram */
	__u32 bytes;         /* payload of the datagram */
	__u8 reply;          /* the flow began the other way */
	__u8 pad[3];
};

struct ev_net_unix {
	struct ev_head head;
	struct ev_str path; /* abstract names begin with '@' */
	__s32 error;
	__u16 type;   /* SOCK_STREAM ... */
	__u8 action;  /* enum net_unix_action */
	__u8 outcome; /* enum net_outcome */
	__u32 peer_pid;
};
