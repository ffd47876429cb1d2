/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * flow - between whom: the part that all records of connections and packets share.
 *
 * The source is the side that began (connected, or sent the packet), the destination the
 * other, as in ECS; `direction` says which of them is this host's process. Both sides include
 * this; the user side gets the rows of the field table with it.
 */
#pragma once
#include "event/abi.h"

enum flow_direction { FLOW_UNKNOWN, FLOW_EGRESS, FLOW_INGRESS };

struct ev_flow {
	struct ev_addr source, destination;
	__u64 cookie; /* of the socket: the same number in all records of a connection; 0: not known */
	__u16 source_port, destination_port;
	__u8 transport; /* IPPROTO_... */
	__u8 family;    /* 4 or 6, of the packets: a mapped address on an IPv6 socket is 4 */
	__u8 direction; /* enum flow_direction */
	__u8 pad;
};
_Static_assert(sizeof(struct ev_flow) == 48, "ev_flow");

#ifndef __bpf__
#include "event/event.h"

static const struct field_name flow_transports[] __attribute__((unused)) = {
	{ 1, "icmp" }, { 2, "igmp" },   { 6, "tcp" },    { 17, "udp" },      { 47, "gre" },  { 50, "esp" },
	{ 51, "ah" },  { 58, "icmp6" }, { 132, "sctp" }, { 136, "udplite" }, { 255, "raw" }, { 0, NULL },
};
static const struct field_name flow_families[] __attribute__((unused)) = { { 4, "ipv4" }, { 6, "ipv6" }, { 0, NULL } };
static const struct field_name flow_directions[] __attribute__((unused)) = {
	{ FLOW_EGRESS, "egress" },
	{ FLOW_INGRESS, "ingress" },
	{ 0, NULL },
};

/* The rows for a struct whose member `flow` is an ev_flow. */
#define FLOW_FIELDS(s)                                                                                                 \
	FIELD(s, flow.source, "source.ip", FT_ADDR, "address of the side that began", .zero_is_absent = true),         \
		FIELD(s, flow.source_port, "source.port", FT_U16, "its port", .zero_is_absent = true),                 \
		FIELD(s, flow.destination, "destination.ip", FT_ADDR, "address of the other side"),                    \
		FIELD(s, flow.destination_port, "destination.port", FT_U16, "its port", .zero_is_absent = true),       \
		FIELD(s, flow.transport, "network.transport", FT_ENUM, "protocol above IP", .names = flow_transports,  \
		      .zero_is_absent = true),                                                                         \
		FIELD(s, flow.family, "network.type", FT_ENUM, "protocol of the packets", .names = flow_families,      \
		      .zero_is_absent = true),                                                                         \
		FIELD(s, flow.direction, "network.direction", FT_ENUM,                                                 \
		      "egress: this host's process is the source; ingress: it is the destination",                     \
		      .names = flow_directions, .zero_is_absent = true),                                               \
		FIELD(s, flow.cookie, "network.socket_cookie", FT_U64,                                                 \
		      "number of the socket, the same in all its records until the host restarts",                     \
		      .zero_is_absent = true)
#endif
