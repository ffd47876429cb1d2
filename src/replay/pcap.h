/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pcap - the packets of a capture, from a file of tcpdump's (pcap) or of Wireshark's (pcapng).
 *
 * Either byte order, times to the microsecond or nanosecond, several sections and interfaces.
 * A stranger's file: lengths have named bounds, what is broken is an error that says where, and
 * a file that ends in the middle of a packet ends before it, told by torn_bytes.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include "base/mem.h"

enum {
	PCAP_PACKET_MAX = 256 << 10,
	PCAP_BLOCK_MAX = 16 << 20,  /* of pcapng */
	PCAP_INTERFACES_MAX = 1024, /* of one section */
};

struct pcap_packet {
	int64_t wall_ns;
	uint32_t interface, link_type;
	uint32_t length; /* on the wire */
	uint32_t n;
	const unsigned char *bytes; /* until the next call */
};

struct pcap;
/* Do these first bytes of a file begin a capture? */
bool pcap_is(const unsigned char *bytes, size_t n);
/* Takes the file, also when it fails: -EINVAL, with a trail. */
int pcap_open(FILE *file, struct pcap **ret_pcap);
void pcap_free(struct pcap *p);
DEFINE_AUTO(pcap)
/* 1 and a packet; 0 at the end; -EINVAL, with a trail, where the file makes no sense. */
int pcap_next(struct pcap *p, struct pcap_packet *ret_packet);
/* Bytes of a packet or block at the end that is not whole. */
uint64_t pcap_torn(const struct pcap *p);
