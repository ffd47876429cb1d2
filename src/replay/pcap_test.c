/* SPDX-License-Identifier: Apache-2.0 */
/* Captures made here byte by byte, in both formats and byte orders, whole and broken; and what packets say. */
#include "replay/pcap.h"
#include <arpa/inet.h>
#include <string.h>
#include "base/buf.h"
#include "base/err.h"
#include "base/ip.h"
#include "base/test.h"
#include "context/packet.h"

static bool big; /* the byte order that is written */

static void put32(struct buf *b, uint32_t v)
{
	v = big ? htonl(v) : v;
	buf_add(b, &v, sizeof(v));
}

static void put16(struct buf *b, uint16_t v)
{
	v = big ? htons(v) : v;
	buf_add(b, &v, sizeof(v));
}

static void old_head(struct buf *b, uint32_t magic, uint16_t version, uint32_t link_type)
{
	put32(b, magic);
	put16(b, version);
	put16(b, 4);
	put32(b, 0);
	put32(b, 0);
	put32(b, 65535);
	put32(b, link_type);
}

static void old_packet(struct buf *b, uint32_t s, uint32_t fraction, const char *bytes, uint32_t n, uint32_t length)
{
	put32(b, s);
	put32(b, fraction);
	put32(b, n);
	put32(b, length);
	buf_add(b, bytes, n);
}

static void block(struct buf *b, uint32_t type, const struct buf *body)
{
	static const char zeros[4];
	uint32_t pad = -(uint32_t)body->len % 4, length = (uint32_t)body->len + pad + 12;

	put32(b, type);
	put32(b, length);
	buf_add(b, buf_text(body), body->len);
	buf_add(b, zeros, pad);
	put32(b, length);
}

static void section(struct buf *b)
{
	auto_buf struct buf body = { .max = 64 };

	put32(&body, 0x1a2b3c4d);
	put16(&body, 1);
	put16(&body, 0);
	put32(&body, 0xffffffff);
	put32(&body, 0xffffffff);
	block(b, 0x0a0d0d0a, &body);
}

/* resolution 0: not said. */
static void interface(struct buf *b, uint16_t link_type, uint8_t resolution)
{
	auto_buf struct buf body = { .max = 64 };

	put16(&body, link_type);
	put16(&body, 0);
	put32(&body, 65535);
	if (resolution) {
		put16(&body, 9);
		put16(&body, 1);
		buf_char(&body, (char)resolution);
		buf_add(&body, "\0\0\0", 3);
		put32(&body, 0);
	}
	block(b, 1, &body);
}

static void packet(struct buf *b, uint32_t of, uint64_t units, const char *bytes, uint32_t n, uint32_t said)
{
	auto_buf struct buf body = { .max = 1024 };

	put32(&body, of);
	put32(&body, (uint32_t)(units >> 32));
	put32(&body, (uint32_t)units);
	put32(&body, said);
	put32(&body, n + 100);
	buf_add(&body, bytes, n);
	block(b, 6, &body);
}

static int open_bytes(const struct buf *b, size_t n, struct pcap **ret_pcap)
{
	FILE *f = n ? fmemopen((void *)(uintptr_t)b->data, n, "r") : fopen("/dev/null", "r");

	return f ? pcap_open(f, ret_pcap) : -ENOMEM;
}

static const int64_t noon_ns = 1715000000000000000;
static const uint32_t noon_s = 1715000000;

TEST(a_pcap_of_any_make_is_read)
{
	static const struct {
		const char *name;
		uint32_t magic;
		bool big;
		uint32_t fraction;
	} rows[] = {
		{ "microseconds", 0xa1b2c3d4, false, 123456 },
		{ "microseconds, the other byte order", 0xa1b2c3d4, true, 123456 },
		{ "nanoseconds", 0xa1b23c4d, false, 123456000 },
		{ "nanoseconds, the other byte order", 0xa1b23c4d, true, 123456000 },
	};

	for_each_row (r, rows) {
		auto_buf struct buf b = { .max = 4096 };
		AUTO(pcap) p = NULL;
		struct pcap_packet got;

		big = r->big;
		old_head(&b, r->magic, 2, LINK_ETHERNET);
		old_packet(&b, noon_s, r->fraction, "first", 5, 5);
		old_packet(&b, noon_s + 1, 0, "", 0, 60);
		check(pcap_is((const unsigned char *)b.data, b.len));
		require_ok(open_bytes(&b, b.len, &p));
		require(pcap_next(p, &got) == 1);
		check_int(got.wall_ns, noon_ns + 123456000);
		check_int(got.link_type, LINK_ETHERNET);
		check(got.n == 5 && got.length == 5 && !memcmp(got.bytes, "first", 5));
		require(pcap_next(p, &got) == 1);
		check(got.n == 0 && got.length == 60);
		check_int(pcap_next(p, &got), 0);
		check_int(pcap_torn(p), 0);
	}
	big = false;
}

TEST(a_pcapng_of_several_sections_and_interfaces_is_read)
{
	auto_buf struct buf b = { .max = 8192 }, other = { .max = 64 };
	AUTO(pcap) p = NULL;
	struct pcap_packet got;

	section(&b);
	interface(&b, LINK_ETHERNET, 0);
	interface(&b, LINK_RAW, 9);
	put32(&other, 7);
	block(&b, 5, &other); /* statistics: passed over */
	packet(&b, 0, (uint64_t)noon_s * 1000000 + 7, "one", 3, 3);
	packet(&b, 1, (uint64_t)noon_ns + 9, "three", 5, 5);
	big = true;
	section(&b);
	interface(&b, LINK_SLL, 0x80 | 10);
	packet(&b, 0, (uint64_t)noon_s * 1024 + 512, "swapped", 7, 7);
	big = false;
	require_ok(open_bytes(&b, b.len, &p));
	require(pcap_next(p, &got) == 1);
	check_int(got.wall_ns, noon_ns + 7000);
	check(got.n == 3 && got.length == 103 && got.interface == 0 && got.link_type == LINK_ETHERNET);
	require(pcap_next(p, &got) == 1);
	check_int(got.wall_ns, noon_ns + 9);
	check(got.n == 5 && got.interface == 1 && got.link_type == LINK_RAW && !memcmp(got.bytes, "three", 5));
	require(pcap_next(p, &got) == 1);
	check_int(got.wall_ns, noon_ns + 500000000);
	check(got.n == 7 && got.interface == 0 && got.link_type == LINK_SLL);
	check_int(pcap_next(p, &got), 0);
}

static void make_old(struct buf *b)
{
	old_head(b, 0xa1b2c3d4, 2, LINK_ETHERNET);
	old_packet(b, noon_s, 1, "first", 5, 5);
	old_packet(b, noon_s, 2, "second", 6, 6);
}

static void make_ng(struct buf *b)
{
	section(b);
	interface(b, LINK_ETHERNET, 6);
	packet(b, 0, (uint64_t)noon_s * 1000000, "first", 5, 5);
	packet(b, 0, (uint64_t)noon_s * 1000000, "second", 6, 6);
}

/* Cut at every byte: all packets before the cut are there, and the rest is told. */
TEST(a_capture_that_is_cut_ends_before_its_torn_packet)
{
	static const struct {
		const char *name;
		void (*make)(struct buf *b);
		size_t head, first, second;
	} rows[] = {
		{ "pcap", make_old, 24, 24 + 21, 24 + 21 + 22 },
		{ "pcapng", make_ng, 28, 28 + 32 + 40, 28 + 32 + 40 + 40 },
	};

	for_each_row (r, rows) {
		auto_buf struct buf b = { .max = 4096 };

		r->make(&b);
		check_int(b.len, r->second);
		for (size_t n = 0; n <= b.len; n++) {
			AUTO(pcap) p = NULL;
			struct pcap_packet got;
			int opened = open_bytes(&b, n, &p), packets = 0, last;

			check((opened == 0) == (n >= r->head));
			if (opened < 0)
				continue;
			while ((last = pcap_next(p, &got)) == 1)
				packets++;
			check_int(last, 0);
			check_int(packets, (n >= r->first) + (n >= r->second));
			if (n == r->first + 3)
				check_int(pcap_torn(p), 3);
			if (n == r->second - 1)
				check_int(pcap_torn(p), r->second - 1 - r->first);
		}
	}
}

static void old_version(struct buf *b)
{
	old_head(b, 0xa1b2c3d4, 3, LINK_ETHERNET);
}

static void old_long(struct buf *b)
{
	old_head(b, 0xa1b2c3d4, 2, LINK_ETHERNET);
	put32(b, 0);
	put32(b, 0);
	put32(b, PCAP_PACKET_MAX + 1);
	put32(b, 0);
}

static void no_capture(struct buf *b)
{
	buf_str(b, "{\"a\":1}");
}

static void ng_interface(struct buf *b)
{
	section(b);
	interface(b, 1, 0);
	packet(b, 1, 0, "x", 1, 1);
}

static void ng_said(struct buf *b)
{
	section(b);
	interface(b, 1, 0);
	packet(b, 0, 0, "x", 1, 5);
}

static void ng_lengths(struct buf *b)
{
	section(b);
	put32(b, 5);
	put32(b, 16);
	put32(b, 0);
	put32(b, 20);
}

static void ng_short(struct buf *b)
{
	section(b);
	put32(b, 5);
	put32(b, 8);
	put32(b, 8);
}

static void ng_huge(struct buf *b)
{
	section(b);
	put32(b, 5);
	put32(b, 0xfffffff0);
}

static void ng_order(struct buf *b)
{
	put32(b, 0x0a0d0d0a);
	put32(b, 28);
	put32(b, 0x11223344);
	for (int i = 0; i < 4; i++)
		put32(b, 28);
}

static void ng_time(struct buf *b)
{
	section(b);
	interface(b, 1, 1);
	packet(b, 0, UINT64_MAX, "x", 1, 1);
}

static void ng_interfaces(struct buf *b)
{
	section(b);
	for (int i = 0; i <= PCAP_INTERFACES_MAX; i++)
		interface(b, 1, 0);
}

TEST(what_no_tool_wrote_is_refused)
{
	static const struct {
		const char *name;
		void (*make)(struct buf *b);
		const char *says;
	} rows[] = {
		{ "another version", old_version, "version 3" },
		{ "a packet that is too long", old_long, "longer than packets are" },
		{ "something else", no_capture, "neither a pcap" },
		{ "an interface that there is not", ng_interface, "of an interface" },
		{ "longer than its block", ng_said, "longer than its block" },
		{ "two lengths", ng_lengths, "two lengths differ" },
		{ "a block of nothing", ng_short, "of a length" },
		{ "a block of 4 GB", ng_huge, "of a length" },
		{ "no byte order", ng_order, "byte order" },
		{ "a time in the far future", ng_time, "of a time" },
		{ "too many interfaces", ng_interfaces, "more interfaces" },
	};

	for_each_row (r, rows) {
		auto_buf struct buf b = { .max = 1 << 20 };
		AUTO(pcap) p = NULL;
		struct pcap_packet got;
		int result;

		r->make(&b);
		result = open_bytes(&b, b.len, &p);
		while (result == 0 && (result = pcap_next(p, &got)) == 1)
			result = 0;
		check_int(result, -EINVAL);
		check_has(err_trail(), r->says);
	}
}

/* ---- what a packet says ------------------------------------------------------------------------ */

#define ETHER    "\x02\0\0\0\0\1\x02\0\0\0\0\2"
#define V4(more) "\x45\0\0\x28\0\0" more "\x40\x06\0\0\x0a\0\0\1\x0a\0\0\2"
#define V6(next)                                                                                                       \
	"\x60\0\0\0\0\x14" next "\x40"                                                                                 \
	"\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1"                                                                           \
	"\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\2"
#define TCP "\x1f\x90\0\x50\0\0\0\0\0\0\0\0\x50\x12\0\0\0\0\0\0"

TEST(a_packet_says_between_whom_it_goes)
{
	static const struct {
		const char *name;
		unsigned link;
		const char *bytes;
		size_t n;
		const char *source;
		int sport, dport, transport, flags;
		bool fragment;
	} rows[] = {
#define BYTES(s) s, sizeof(s) - 1
		{ "tcp", LINK_ETHERNET, BYTES(ETHER "\x08\0" V4("\0\0") TCP), "10.0.0.1", 8080, 80, 6, 0x12 },
		{ "in two vlans", LINK_ETHERNET, BYTES(ETHER "\x88\xa8\0\1\x81\0\0\2\x08\0" V4("\0\0") TCP), "10.0.0.1",
		  8080, 80, 6, 0x12 },
		{ "raw", LINK_RAW, BYTES(V4("\0\0") TCP), "10.0.0.1", 8080, 80, 6, 0x12 },
		{ "cooked", LINK_SLL, BYTES("\0\0\0\1\0\6\1\2\3\4\5\6\0\0\x08\0" V4("\0\0") TCP), "10.0.0.1", 8080, 80,
		  6, 0x12 },
		{ "loopback", LINK_NULL, BYTES("\2\0\0\0" V4("\0\0") TCP), "10.0.0.1", 8080, 80, 6, 0x12 },
		{ "a later fragment", LINK_RAW, BYTES(V4("\0\5") TCP), "10.0.0.1", 0, 0, 6, 0, true },
		{ "IPv6", LINK_RAW, BYTES(V6("\x06") TCP), "fd00::1", 8080, 80, 6, 0x12 },
		{ "IPv6 with options", LINK_RAW, BYTES(V6("\0") "\x06\0\0\0\0\0\0\0" TCP), "fd00::1", 8080, 80, 6,
		  0x12 },
		{ "IPv6, a later fragment", LINK_RAW, BYTES(V6("\x2c") "\x06\0\0\x08\0\0\0\1" TCP), "fd00::1", 0, 0, 6,
		  0, true },
		{ "cut in its ports", LINK_RAW, BYTES(V4("\0\0") "\x1f\x90\0"), "10.0.0.1", 0, 0, 6, 0 },
		{ "cut in its addresses", LINK_RAW, BYTES("\x45\0\0\x28"), "::", 0, 0, 0, 0 },
		{ "options that go beyond it", LINK_RAW, BYTES(V6("\0") "\x06\xff\0\0\0\0\0\0" TCP), "fd00::1", 0, 0, 0,
		  0 },
		{ "arp", LINK_ETHERNET, BYTES(ETHER "\x08\x06\0\1"), "::", 0, 0, 0, 0 },
		{ "a link that nobody knows", 147, BYTES(V4("\0\0") TCP), "::", 0, 0, 0, 0 },
		{ "nothing", LINK_ETHERNET, "", 0, "::", 0, 0, 0, 0 },
	};

	for_each_row (r, rows) {
		struct ev_packet e = { .link_type = (__u16)r->link };
		unsigned char want[16];

		packet_read(&e, (const unsigned char *)r->bytes, r->n);
		require(ip_parse(r->source, strlen(r->source), want));
		check(!memcmp(&e.flow.source, want, 16));
		check_int(e.flow.source_port, r->sport);
		check_int(e.flow.destination_port, r->dport);
		check_int(e.flow.transport, r->transport);
		check_int(e.tcp_flags, r->flags);
		check_int(e.is_fragment, r->fragment);
	}
}
