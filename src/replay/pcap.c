/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/pcap.h"
#include <string.h>
#include "base/clock.h"
#include "base/err.h"

enum {
	BLOCK_SECTION = 0x0a0d0d0a,
	BLOCK_INTERFACE = 1,
	BLOCK_PACKET_OLD = 2,
	BLOCK_PACKET_SIMPLE = 3,
	BLOCK_PACKET = 6,
	ORDER_MAGIC = 0x1a2b3c4d,
	OPTION_RESOLUTION = 9,
	OPTION_OFFSET = 14,
	OPTIONS_MAX = 256,
};
static const uint32_t magic_us = 0xa1b2c3d4, magic_ns = 0xa1b23c4d;

struct interface {
	uint32_t link_type, snap;
	uint8_t resolution; /* as the file says it: 10 to the minus, or with the top bit 2 to the minus */
	int64_t offset_s;
};

struct pcap {
	FILE *file;
	uint64_t at, torn;
	bool swapped, is_ng;
	struct interface *interfaces;
	size_t n_interfaces;
	unsigned char *bytes;
	size_t cap;
};

static uint32_t swap32(uint32_t v)
{
	return __builtin_bswap32(v);
}

static uint32_t get32(const struct pcap *p, const unsigned char *from)
{
	uint32_t v;

	memcpy(&v, from, sizeof(v));
	return p->swapped ? swap32(v) : v;
}

static uint16_t get16(const struct pcap *p, const unsigned char *from)
{
	uint16_t v;

	memcpy(&v, from, sizeof(v));
	return p->swapped ? __builtin_bswap16(v) : v;
}

/* 1: all of it; 0: the file ends here, or within. */
static int get(struct pcap *p, void *to, size_t n)
{
	size_t got = fread_unlocked(to, 1, n, p->file);

	if (got < n && ferror(p->file))
		return err_sys(errno ?: EIO, "read at byte %llu", (unsigned long long)p->at);
	p->at += got;
	if (got == n)
		return 1;
	p->torn += got;
	return 0;
}

static int make_room(struct pcap *p, size_t n)
{
	unsigned char *bytes;

	if (n <= p->cap)
		return 0;
	bytes = realloc(p->bytes, n);
	if (!bytes)
		return err_new(-ENOMEM, "no memory for a packet of %zu bytes", n);
	p->bytes = bytes;
	p->cap = n;
	return 0;
}

static int broken(const struct pcap *p, const char *what)
{
	return err_new(-EINVAL, "byte %llu: %s", (unsigned long long)p->at, what);
}

static int add_interface(struct pcap *p, const struct interface *add)
{
	struct interface *list;

	if (p->n_interfaces == PCAP_INTERFACES_MAX)
		return broken(p, "more interfaces than a capture may have");
	list = realloc(p->interfaces, (p->n_interfaces + 1) * sizeof(*list));
	if (!list)
		return err_new(-ENOMEM, "no memory for an interface");
	p->interfaces = list;
	p->interfaces[p->n_interfaces++] = *add;
	return 0;
}

/* ---- pcap ------------------------------------------------------------------------------------- */

static int open_old(struct pcap *p, uint32_t magic)
{
	unsigned char rest[20];
	struct interface one = { 0 };
	int r;

	p->swapped = magic != magic_us && magic != magic_ns;
	one.resolution = (p->swapped ? swap32(magic) : magic) == magic_ns ? 9 : 6;
	r = get(p, rest, sizeof(rest));
	if (r <= 0)
		return r < 0 ? r : broken(p, "the file ends in its header");
	if (get16(p, rest) != 2)
		return err_new(-EINVAL, "a capture of version %u, and only 2 is known", get16(p, rest));
	one.snap = PCAP_PACKET_MAX;
	one.link_type = get32(p, rest + 16) & 0x0fffffff; /* the bits above say something of checksums */
	return add_interface(p, &one);
}

static int next_old(struct pcap *p, struct pcap_packet *ret_packet)
{
	unsigned char head[16];
	uint64_t fraction;
	uint32_t n;
	int r = get(p, head, sizeof(head));

	if (r <= 0)
		return r;
	n = get32(p, head + 8);
	if (n > PCAP_PACKET_MAX)
		return broken(p, "a packet that is longer than packets are");
	r = make_room(p, n);
	if (r == 0)
		r = get(p, p->bytes, n);
	if (r <= 0) {
		p->torn += r == 0 ? sizeof(head) : 0;
		return r;
	}
	fraction = get32(p, head + 4);
	*ret_packet = (struct pcap_packet) {
		.wall_ns = (int64_t)get32(p, head) * (int64_t)NS_PER_S +
			   (int64_t)(p->interfaces[0].resolution == 9 ? fraction : fraction * NS_PER_US),
		.link_type = p->interfaces[0].link_type,
		.length = get32(p, head + 12),
		.n = n,
		.bytes = p->bytes,
	};
	return 1;
}

/* ---- pcapng ------------------------------------------------------------------------------------ */

/* The rest of a block, of which the first `taken` bytes were read; its last four say its length again. */
static int take_rest(struct pcap *p, uint32_t length, uint32_t taken)
{
	size_t rest = length - taken;
	int r;

	if (length < taken + 4 || length % 4 || length > PCAP_BLOCK_MAX)
		return broken(p, "a block of a length that blocks do not have");
	r = make_room(p, rest);
	if (r == 0)
		r = get(p, p->bytes, rest);
	if (r <= 0) {
		p->torn += r == 0 ? taken : 0;
		return r;
	}
	return get32(p, p->bytes + rest - 4) == length ? 1 : broken(p, "a block whose two lengths differ");
}

/* `length` as it stands in the file: the byte order comes behind it. */
static int begin_section(struct pcap *p, uint32_t length)
{
	uint32_t order;
	int r = get(p, &order, sizeof(order));

	if (r <= 0) {
		p->torn += r == 0 ? 8 : 0;
		return r;
	}
	if (order != ORDER_MAGIC && swap32(order) != ORDER_MAGIC)
		return broken(p, "a section without a byte order");
	p->swapped = order != ORDER_MAGIC;
	length = p->swapped ? swap32(length) : length;
	if (length < 28)
		return broken(p, "a block of a length that blocks do not have");
	r = take_rest(p, length, 12);
	if (r <= 0)
		return r;
	if (get16(p, p->bytes) != 1)
		return err_new(-EINVAL, "a capture of version %u, and only 1 is known", get16(p, p->bytes));
	p->n_interfaces = 0;
	return 1;
}

/* `n` bytes of the block's own. */
static int begin_interface(struct pcap *p, size_t n)
{
	struct interface one = { .resolution = 6 };
	size_t at = 8;

	if (n < 8)
		return broken(p, "an interface that is cut");
	one.link_type = get16(p, p->bytes);
	one.snap = get32(p, p->bytes + 4);
	for (int i = 0; i < OPTIONS_MAX && at + 4 <= n; i++) {
		uint16_t code = get16(p, p->bytes + at), len = get16(p, p->bytes + at + 2);
		const unsigned char *value = p->bytes + at + 4;

		at += 4 + (len + 3U) / 4 * 4;
		if (!code || at > n)
			break;
		if (code == OPTION_RESOLUTION && len == 1)
			one.resolution = value[0];
		if (code == OPTION_OFFSET && len == 8) {
			uint64_t v;

			memcpy(&v, value, sizeof(v));
			one.offset_s = (int64_t)(p->swapped ? __builtin_bswap64(v) : v);
		}
	}
	return add_interface(p, &one);
}

/* False: no time that there could be. */
static bool time_of(const struct interface *in, uint64_t units, int64_t *ret_ns)
{
	unsigned digits = in->resolution & 0x7f;
	__int128 ns;

	if (in->resolution & 0x80) {
		if (digits > 63)
			return false;
		ns = ((__int128)units * NS_PER_S) >> digits;
	} else {
		if (digits > 18)
			return false;
		ns = units;
		for (; digits < 9; digits++)
			ns *= 10;
		for (; digits > 9; digits--)
			ns /= 10;
	}
	ns += (__int128)in->offset_s * NS_PER_S;
	*ret_ns = (int64_t)ns;
	return ns >= INT64_MIN && ns <= INT64_MAX;
}

/* A packet with `head` bytes before its own, in a block of `n`. */
static int take_packet(struct pcap *p, size_t n, size_t head, uint32_t interface, uint32_t captured, uint64_t units,
		       struct pcap_packet *ret_packet)
{
	if (interface >= p->n_interfaces)
		return broken(p, "a packet of an interface that there is not");
	if (captured > PCAP_PACKET_MAX)
		return broken(p, "a packet that is longer than packets are");
	if (captured > n - head)
		return broken(p, "a packet that is longer than its block");
	if (!time_of(&p->interfaces[interface], units, &ret_packet->wall_ns))
		return broken(p, "a packet of a time that there is not");
	ret_packet->interface = interface;
	ret_packet->link_type = p->interfaces[interface].link_type;
	ret_packet->n = captured;
	ret_packet->bytes = p->bytes + head;
	return 1;
}

static int packet_of(struct pcap *p, uint32_t type, size_t n, struct pcap_packet *ret_packet)
{
	const unsigned char *b = p->bytes;
	uint32_t snap;

	if (type == BLOCK_PACKET_SIMPLE) {
		if (n < 4 || !p->n_interfaces)
			return broken(p, "a packet that is cut, or without an interface");
		*ret_packet = (struct pcap_packet) { .length = get32(p, b) };
		snap = p->interfaces[0].snap;
		/* How much of it was captured is not said. */
		if (ret_packet->length < n - 4)
			n = 4 + ret_packet->length;
		if (snap && snap < n - 4)
			n = 4 + snap;
		return take_packet(p, n, 4, 0, (uint32_t)(n - 4), 0, ret_packet);
	}
	if (n < 20)
		return broken(p, "a packet that is cut");
	*ret_packet = (struct pcap_packet) { .length = get32(p, b + 16) };
	return take_packet(p, n, 20, type == BLOCK_PACKET_OLD ? get16(p, b) : get32(p, b), get32(p, b + 12),
			   (uint64_t)get32(p, b + 4) << 32 | get32(p, b + 8), ret_packet);
}

/* One block. 2: it held no packet. */
static int next_block(struct pcap *p, struct pcap_packet *ret_packet)
{
	unsigned char head[8];
	uint32_t type, length;
	int r = get(p, head, sizeof(head));

	if (r <= 0)
		return r;
	type = get32(p, head);
	if (type == BLOCK_SECTION || type == swap32(BLOCK_SECTION)) {
		memcpy(&length, head + 4, sizeof(length));
		r = begin_section(p, length);
		return r == 1 ? 2 : r;
	}
	length = get32(p, head + 4);
	r = take_rest(p, length, 8);
	if (r <= 0)
		return r;
	if (type == BLOCK_INTERFACE) {
		r = begin_interface(p, length - 12);
		return r < 0 ? r : 2;
	}
	if (type == BLOCK_PACKET || type == BLOCK_PACKET_OLD || type == BLOCK_PACKET_SIMPLE)
		return packet_of(p, type, length - 12, ret_packet);
	return 2;
}

/* ---- both ---------------------------------------------------------------------------------------- */

static bool is_old(uint32_t magic)
{
	return magic == magic_us || magic == magic_ns || swap32(magic) == magic_us || swap32(magic) == magic_ns;
}

bool pcap_is(const unsigned char *bytes, size_t n)
{
	uint32_t magic;

	if (n < sizeof(magic))
		return false;
	memcpy(&magic, bytes, sizeof(magic));
	return is_old(magic) || magic == BLOCK_SECTION;
}

int pcap_open(FILE *file, struct pcap **ret_pcap)
{
	AUTO(pcap) p = calloc(1, sizeof(*p));
	uint32_t magic = 0;
	int r;

	if (!p) {
		(void)fclose(file);
		return err_new(-ENOMEM, "no memory for a capture");
	}
	p->file = file;
	r = get(p, &magic, sizeof(magic));
	if (r < 0)
		return r;
	if (is_old(magic)) {
		r = open_old(p, magic);
	} else if (magic == BLOCK_SECTION) {
		uint32_t length = 0;

		p->is_ng = true;
		r = get(p, &length, sizeof(length));
		if (r == 1)
			r = begin_section(p, length);
		if (r == 0)
			r = broken(p, "the file ends in its header");
	} else {
		r = err_new(-EINVAL, "neither a pcap nor a pcapng file");
	}
	if (r < 0)
		return r;
	*ret_pcap = take(p);
	return 0;
}

void pcap_free(struct pcap *p)
{
	if (!p)
		return;
	(void)fclose(p->file);
	free(p->interfaces);
	free(p->bytes);
	free(p);
}

int pcap_next(struct pcap *p, struct pcap_packet *ret_packet)
{
	int r;

	if (!p->is_ng)
		return next_old(p, ret_packet);
	do
		r = next_block(p, ret_packet);
	while (r == 2);
	return r;
}

uint64_t pcap_torn(const struct pcap *p)
{
	return p->torn;
}
