/* SPDX-License-Identifier: Apache-2.0 */
#include "match/cidr.h"
#include <string.h>
#include "base/err.h"
#include "base/ip.h"

struct range {
	uint8_t first[16], last[16];
};

struct cidr_set {
	size_t n;
	struct range ranges[];
};

void cidr_set_free(struct cidr_set *set)
{
	free(set);
}

static bool parse_bits(const char *p, size_t n, unsigned max, unsigned *ret_bits)
{
	unsigned v = 0;

	if (!n || n > 3)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (p[i] < '0' || p[i] > '9')
			return false;
		v = v * 10 + (unsigned)(p[i] - '0');
	}
	*ret_bits = v + 128 - max;
	return v <= max;
}

bool cidr_parse(struct str text, uint8_t ret_first[16], uint8_t ret_last[16])
{
	const char *slash = text.n ? memchr(text.p, '/', text.n) : NULL;
	size_t n = slash ? (size_t)(slash - text.p) : text.n;
	unsigned bits = 128;

	if (!ip_parse(text.p, n, ret_first))
		return false;
	if (slash && !parse_bits(slash + 1, text.n - n - 1, memchr(text.p, ':', n) ? 128 : 32, &bits))
		return false;
	memcpy(ret_last, ret_first, 16);
	for (unsigned i = 0; i < 16; i++) {
		unsigned kept = bits > 8 * i ? bits - 8 * i : 0;
		uint8_t host = kept >= 8 ? 0 : (uint8_t)(0xff >> kept);

		ret_first[i] &= (uint8_t)~host;
		ret_last[i] |= host;
	}
	return true;
}

static int by_first(const void *a, const void *b)
{
	return memcmp(((const struct range *)a)->first, ((const struct range *)b)->first, 16);
}

int cidr_set_build(const struct str *blocks, size_t n, struct cidr_set **ret_set)
{
	AUTO(cidr_set) set = NULL;
	size_t used = 0;

	if (n > CIDR_BLOCKS_MAX)
		return err_new(-E2BIG, "more than %d blocks of addresses", CIDR_BLOCKS_MAX);
	set = calloc(1, sizeof(*set) + n * sizeof(set->ranges[0]));
	if (!set)
		return err_new(-ENOMEM, "no memory for addresses");
	for (size_t i = 0; i < n; i++)
		if (!cidr_parse(blocks[i], set->ranges[i].first, set->ranges[i].last))
			return err_new(-EINVAL, "\"%.*s\" is no block of addresses: write 10.0.0.0/8, fd00::/8 or ::1",
				       (int)(blocks[i].n > 64 ? 64 : blocks[i].n), blocks[i].p);
	qsort(set->ranges, n, sizeof(set->ranges[0]), by_first);
	for (size_t i = 0; i < n; i++) {
		struct range *last = used ? &set->ranges[used - 1] : NULL;

		if (!last || memcmp(set->ranges[i].first, last->last, 16) > 0)
			set->ranges[used++] = set->ranges[i];
		else if (memcmp(set->ranges[i].last, last->last, 16) > 0)
			memcpy(last->last, set->ranges[i].last, 16);
	}
	set->n = used;
	*ret_set = take(set);
	return 0;
}

bool cidr_set_has(const struct cidr_set *set, const uint8_t address[16])
{
	size_t low = 0, high = set->n;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (memcmp(set->ranges[middle].last, address, 16) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < set->n && memcmp(set->ranges[low].first, address, 16) <= 0;
}
