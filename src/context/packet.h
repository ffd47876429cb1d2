/* SPDX-License-Identifier: Apache-2.0 */
/*
 * packet - between whom a packet goes, from its bytes.
 *
 * Reads Ethernet, Linux cooked, loopback and raw IP headers, up to PACKET_TAGS_MAX VLAN tags and
 * PACKET_EXTENSIONS_MAX headers of IPv6. What is cut or makes no sense is left zero: a packet of
 * a stranger is never an error.
 */
#pragma once
#include <stddef.h>
#include "context/packet.event.h"

enum { PACKET_TAGS_MAX = 4, PACKET_EXTENSIONS_MAX = 8 };

/* Of the files of tcpdump. */
enum link_type {
	LINK_NULL = 0,
	LINK_ETHERNET = 1,
	LINK_RAW_BSD = 12,
	LINK_RAW_OPENBSD = 14,
	LINK_RAW = 101,
	LINK_LOOP = 108,
	LINK_SLL = 113,
	LINK_IPV4 = 228,
	LINK_IPV6 = 229,
	LINK_SLL2 = 276,
};

/* Fills flow, ethertype, tcp_flags and is_fragment of *packet, whose link_type is set. */
void packet_read(struct ev_packet *packet, const unsigned char *bytes, size_t n);
