/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * sock.bpf - whose socket is this? Most of what happens to a socket happens in an interrupt,
 * where `current` is whoever was disturbed.
 *
 * The owner is written down with the socket (socket storage, one map that all objects share)
 * when a process makes, connects, listens on or accepts it; the kernel frees it with the
 * socket, and hands a listener's to the connections it takes. The net sensor writes, everybody
 * reads. No mark: nobody watched when it was made, and no process had it open when the sensor began; then only its
 * cgroup and network namespace are known.
 */
#pragma once
#include "bpf/core.bpf.h"
#include "bpf/sock.map.h"

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, struct sock_mark);
} sock_marks SEC(".maps");

static __always_inline struct cgroup *sock_cgroup(const struct sock *sk)
{
	return BPF_CORE_READ(sk, sk_cgrp_data.cgroup);
}

static __always_inline __u32 sock_netns(const struct sock *sk)
{
	return BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
}

/* Request and time-wait sockets are only the first part of a socket: no storage, no cgroup. */
static __always_inline bool sock_is_full(const struct sock *sk)
{
	__u8 state = BPF_CORE_READ(sk, __sk_common.skc_state);

	return state != KERNEL_TCP_TIME_WAIT && state != KERNEL_TCP_NEW_SYN_RECV;
}

/* `owner` zeroed. No process, and a user that is not taken for root. */
static __always_inline void owner_unknown(struct ev_head *owner, __u32 netns)
{
	owner->uid = owner->gid = ~0U;
	owner->netns = netns;
}

/* What is known of the owner of a socket without a mark. */
static __always_inline void sock_owner_guess(const struct sock *sk, struct ev_head *owner)
{
	owner_unknown(owner, sock_netns(sk));
	owner->uid = BPF_CORE_READ(sk, sk_uid.val);
	owner->cgroup_id = BPF_CORE_READ(sk, sk_cgrp_data.cgroup, kn, id);
}

/* scope_has() that reads of the socket only what the scope asks for: out of scope, reading is all the cost. */
static __always_inline bool scope_has_sock(const struct sock *sk)
{
	if (core.scope == SCOPE_CGROUP)
		return scope_has(sock_cgroup(sk), 0);
	return core.scope != SCOPE_NETNS || scope_has(NULL, sock_netns(sk));
}

/* The first line for a full socket in whatever context: scope, canary and books, as hook_enter(). */
static __always_inline bool hook_enter_sock(__u32 hook, const struct sock *sk, const struct sock_mark *mark)
{
	if (!mark && !scope_has_sock(sk))
		return false;
	if (!mark) {
		hook_count(hook, false);
		return true;
	}
	hook_count(hook, mark->flags & SOCK_MARK_AGENT);
	return !(mark->flags & SOCK_MARK_AGENT);
}

/* rec_open_for() the owner of the socket. */
static __always_inline struct rec *rec_open_sock(__u16 id, __u32 class, __u32 size, const struct sock *sk,
						 const struct sock_mark *mark)
{
	struct ev_head guess = {};

	if (mark)
		return rec_open_for(id, class, size, &mark->owner);
	sock_owner_guess(sk, &guess);
	return rec_open_for(id, class, size, &guess);
}
