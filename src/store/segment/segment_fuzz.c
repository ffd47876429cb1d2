/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a recording. The first byte says as what: 0 a whole file; else as the two parts of a block before they
 * are compressed and summed, so that the fuzzer need not guess sums: records u16, size of the heads u16, heads, bodies.
 */
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zstd.h>
#include "base/crc.h"
#include "base/err.h"
#include "context/context.h"
#include "event/fuzz_kinds.h"
#include "store/segment/segment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static __u64 sink;

static void read_file(const uint8_t *data, size_t size)
{
	const struct store_query_spec spec = { .with_known = true, .with_context = size % 2 };
	auto_close int fd = memfd_create("fuzz", MFD_CLOEXEC);
	AUTO(store) store = NULL;
	AUTO(store_query) q = NULL;
	struct store_summary sum;
	const struct ev_head *rec;
	char path[32];

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		return;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (store_open(path, &store) < 0)
		return;
	store_summary(store, &sum);
	if (store_query_open(store, &spec, &q) < 0)
		abort();
	while (store_query_next(q, &rec) > 0) {
		if (!event_check(rec, rec->len))
			abort();
		sink += rec->len;
	}
}

static size_t pack(const uint8_t *data, size_t size, unsigned char *to, size_t room, __u32 *ret_raw, __u32 *ret_size,
		   __u32 *ret_sum)
{
	size_t n = ZSTD_compress(to, room, data, size, 1);

	if (ZSTD_isError(n))
		abort();
	*ret_raw = (__u32)size;
	*ret_size = (__u32)n;
	*ret_sum = crc32c(to, n);
	return n;
}

static void read_block(const uint8_t *data, size_t size)
{
	static unsigned char packed[2][1 << 17];
	static alignas(8) unsigned char rec[EV_LEN_MAX], wide[EV_LEN_MAX];
	static struct block *b;
	struct block_head head = { .magic = BLOCK_MAGIC };
	uint16_t records, heads;

	if (!b && block_open(&b) < 0)
		abort();
	if (size < 4 || size > 60000)
		return;
	memcpy(&records, data, 2);
	memcpy(&heads, data + 2, 2);
	data += 4;
	size -= 4;
	head.records = 1 + records % BLOCK_RECORDS;
	if (heads > size)
		return;
	(void)pack(data, heads, packed[0], sizeof(packed[0]), &head.heads_raw, &head.heads_size, &head.heads_sum);
	(void)pack(data + heads, size - heads, packed[1], sizeof(packed[1]), &head.bodies_raw, &head.bodies_size,
		   &head.bodies_sum);
	if (block_read_heads(b, &head, packed[0]) < 0 || block_read_bodies(b, packed[1]) < 0)
		return;
	for (unsigned i = 0; i < head.records; i++) {
		size_t len = block_record(b, i, (struct ev_head *)(void *)rec);

		if (len < sizeof(struct ev_head) || len > EV_LEN_MAX)
			abort();
		sink += event_widen(rec, len, b->kinds[b->kind[i]].fixed, wide) != NULL;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!event_kind_at(0)) {
		fuzz_kinds_register();
		for (size_t i = 0; i < context_n_kinds; i++)
			(void)event_kind_register(&context_kinds[i]);
	}
	if (!size)
		return 0;
	err_clear();
	if (data[0])
		read_block(data + 1, size - 1);
	else
		read_file(data + 1, size - 1);
	return 0;
}
