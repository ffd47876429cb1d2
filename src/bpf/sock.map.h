/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* sock.map - what is kept with a socket: whose it is, and how far its connection has come. */
#pragma once
#include "event/abi.h"

enum sock_flag {
	SOCK_MARK_AGENT = 1 << 0,       /* the agent's own: canaries, never records */
	SOCK_MARK_CONNECTING = 1 << 1,  /* a SYN was sent, no answer yet */
	SOCK_MARK_ESTABLISHED = 1 << 2, /* since since_ns */
	SOCK_MARK_PASSIVE = 1 << 3,     /* the peer connected to us */
	SOCK_MARK_INHERITED = 1 << 4,   /* `owner` is the listener's: accept() was not seen yet */
	SOCK_MARK_TOLD = 1 << 5,        /* the outcome of the last connect() is recorded */
	SOCK_MARK_OLDER = 1 << 6,       /* found when the sensor began: who began its connection is not known */
};

struct sock_mark {
	struct ev_head owner; /* only who: what head_save() fills */
	__u64 since_ns;
	__u64 cookie;
	__u32 flags; /* enum sock_flag */
	__u32 pad;
};
