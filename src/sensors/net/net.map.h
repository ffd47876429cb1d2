/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* net.map - what net.c sets and net.bpf.c reads. */
#pragma once
#include "event/abi.h"

/* Rows of the descriptor's hooks. */
enum net_hook {
	HOOK_TCP,
	HOOK_CONNECT_REFUSED,
	HOOK_ACCEPT,
	HOOK_BIND,
	HOOK_RETRANSMIT,
	HOOK_RESET,
	HOOK_UDP,
	HOOK_OWNER,
	HOOK_UNIX_CONNECT,
	HOOK_UNIX_BIND,
	HOOK_OLDER, /* the last: what is made while the others attach has its mark by then */
	NET_HOOK_COUNT
};

enum {
	NET_ATTEMPTS_MAX = 1024, /* connect() calls under way at once, for the variant that needs to know */
	NET_ACCEPTED_MAX = 4096, /* accepted sockets whose new owner waits to be read */
};

struct net_config {
	__u64 udp_idle_ns; /* a flow that was silent for so long begins anew */
	__u8 listen, loopback;
	__u8 pad[6];
};

/* One side of a UDP socket's talk: the cookie says which socket, so the local address need not. */
struct udp_key {
	struct ev_addr remote;
	__u64 cookie;
	__u16 remote_port;
	__u16 pad[3];
};

struct udp_flow {
	__u64 last_ns;
	__u32 ways;  /* bits of enum flow_direction: recorded */
	__u32 first; /* enum flow_direction */
};

/* A connect() under way, by thread. */
struct net_attempt {
	struct ev_addr destination;
	__u64 cookie, since_ns;
	__u16 port;
	__u8 family, pad[5];
};
