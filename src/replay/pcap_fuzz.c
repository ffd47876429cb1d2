/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a capture: bounded, and what it hands out may be read. */
#include <stdlib.h>
#include <string.h>
#include "context/packet.h"
#include "replay/pcap.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	FILE *f = size ? fmemopen((void *)(uintptr_t)data, size, "r") : NULL;
	struct pcap_packet packet;
	AUTO(pcap) p = NULL;
	uint64_t sum = 0;

	if (!f || pcap_open(f, &p) < 0)
		return 0;
	for (size_t i = 0; i <= size && pcap_next(p, &packet) == 1; i++) {
		struct ev_packet e = { .link_type = (__u16)packet.link_type };
		/* A copy of its own, so that reading past its end is seen. */
		auto_free unsigned char *bytes = malloc(packet.n + 1);

		if (packet.n > size || !bytes)
			abort();
		memcpy(bytes, packet.bytes, packet.n);
		packet_read(&e, bytes, packet.n);
		if (packet.n)
			sum += bytes[packet.n - 1] + e.flow.source_port;
	}
	return sum == UINT64_MAX ? 1 : 0;
}
