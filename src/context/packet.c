/* SPDX-License-Identifier: Apache-2.0 */
#include "context/packet.h"
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

enum { ETHER_IPV4 = 0x0800, ETHER_IPV6 = 0x86dd, ETHER_VLAN = 0x8100, ETHER_QINQ = 0x88a8, ETHER_QINQ_OLD = 0x9100 };

/* What is left of the packet. */
struct cursor {
	const unsigned char *p;
	size_t n;
};

static bool skip(struct cursor *c, size_t n)
{
	if (n > c->n)
		return false;
	c->p += n;
	c->n -= n;
	return true;
}

static __u16 get16(const unsigned char *p)
{
	return (__u16)(p[0] << 8 | p[1]);
}

/* Past a header of `size` bytes that names what comes at `at`. */
static __u16 type_at(struct cursor *c, size_t at, size_t size)
{
	const unsigned char *p = c->p;

	return skip(c, size) ? get16(p + at) : 0;
}

static __u16 read_tags(struct cursor *c, __u16 type)
{
	for (int i = 0; i < PACKET_TAGS_MAX; i++) {
		if (type != ETHER_VLAN && type != ETHER_QINQ && type != ETHER_QINQ_OLD)
			break;
		type = type_at(c, 2, 4);
	}
	return type;
}

static __u16 type_of_ip(const struct cursor *c)
{
	unsigned version = c->n ? c->p[0] >> 4 : 0;

	return version == 4 ? ETHER_IPV4 : version == 6 ? ETHER_IPV6 : 0;
}

static __u16 read_link(struct cursor *c, unsigned link_type)
{
	switch (link_type) {
	case LINK_ETHERNET:
		return read_tags(c, type_at(c, 12, 14));
	case LINK_SLL:
		return read_tags(c, type_at(c, 14, 16));
	case LINK_SLL2:
		return read_tags(c, type_at(c, 0, 20));
	case LINK_NULL:
	case LINK_LOOP:
		/* The family in the numbers and byte order of whatever system it was: the packet says it itself. */
		return skip(c, 4) ? type_of_ip(c) : 0;
	case LINK_RAW:
	case LINK_RAW_BSD:
	case LINK_RAW_OPENBSD:
	case LINK_IPV4:
	case LINK_IPV6:
		return type_of_ip(c);
	default:
		return 0;
	}
}

static void read_transport(struct ev_packet *packet, const struct cursor *c)
{
	__u8 transport = packet->flow.transport;

	if (packet->is_fragment || c->n < 4)
		return;
	if (transport != IPPROTO_TCP && transport != IPPROTO_UDP && transport != IPPROTO_SCTP &&
	    transport != IPPROTO_UDPLITE)
		return;
	packet->flow.source_port = get16(c->p);
	packet->flow.destination_port = get16(c->p + 2);
	if (transport == IPPROTO_TCP && c->n >= 14)
		packet->tcp_flags = c->p[13];
}

static void map_ipv4(const unsigned char *p, struct ev_addr *ret_addr)
{
	ret_addr->bytes[10] = ret_addr->bytes[11] = 0xff;
	memcpy(ret_addr->bytes + 12, p, 4);
}

static void read_ipv4(struct ev_packet *packet, struct cursor c)
{
	const unsigned char *p = c.p;
	size_t header;

	if (c.n < 20 || p[0] >> 4 != 4)
		return;
	header = (p[0] & 15U) * 4;
	packet->flow.family = 4;
	packet->flow.transport = p[9];
	packet->is_fragment = (get16(p + 6) & 0x1fff) != 0;
	map_ipv4(p + 12, &packet->flow.source);
	map_ipv4(p + 16, &packet->flow.destination);
	if (header >= 20 && skip(&c, header))
		read_transport(packet, &c);
}

/* Past the headers between the packet's own and its transport's. False: there is none to be read. */
static bool read_extensions(struct ev_packet *packet, struct cursor *c, __u8 next)
{
	for (int i = 0; i <= PACKET_EXTENSIONS_MAX; i++) {
		const unsigned char *p = c->p;

		packet->flow.transport = next;
		if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_FRAGMENT &&
		    next != IPPROTO_DSTOPTS)
			return true;
		if (c->n < 8)
			return false;
		next = p[0];
		if (packet->flow.transport == IPPROTO_FRAGMENT)
			packet->is_fragment = (get16(p + 2) & 0xfff8) != 0;
		if (!skip(c, packet->flow.transport == IPPROTO_FRAGMENT ? 8 : 8 + 8U * p[1]))
			return false;
		if (packet->is_fragment) {
			packet->flow.transport = next;
			return false;
		}
	}
	return false;
}

static void read_ipv6(struct ev_packet *packet, struct cursor c)
{
	const unsigned char *p = c.p;

	if (c.n < 40 || p[0] >> 4 != 6)
		return;
	packet->flow.family = 6;
	memcpy(&packet->flow.source, p + 8, 16);
	memcpy(&packet->flow.destination, p + 24, 16);
	(void)skip(&c, 40);
	if (read_extensions(packet, &c, p[6]))
		read_transport(packet, &c);
}

void packet_read(struct ev_packet *packet, const unsigned char *bytes, size_t n)
{
	struct cursor c = { bytes, n };

	packet->flow = (struct ev_flow) { 0 };
	packet->tcp_flags = 0;
	packet->is_fragment = 0;
	packet->ethertype = read_link(&c, packet->link_type);
	if (packet->ethertype == ETHER_IPV4)
		read_ipv4(packet, c);
	else if (packet->ethertype == ETHER_IPV6)
		read_ipv6(packet, c);
}
