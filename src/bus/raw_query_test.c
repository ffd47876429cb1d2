/* SPDX-License-Identifier: Apache-2.0 */
/* The ring and a recording of the same records give the same answers. */
#include "bus/raw_query.h"
#include <stdio.h>
#include <string.h>
#include "base/err.h"
#include "base/test.h"
#include "store/segment/test_records.h"

enum { RECORDS = 6000 };

struct both {
	struct raw_ring *ring;
	struct store *store;
	struct store_origin origin;
	char path[64];
};

/* The ring holds them all, and so does the file. A process of a tree of its own begins it. */
static bool fill(struct both *b)
{
	const struct store_writer_options options = { .path = b->path, .single_file = true };
	AUTO(store_writer) w = NULL;
	struct test_record rec;

	test_kinds_register();
	store_origin_here(&b->origin);
	(void)snprintf(b->path, sizeof(b->path), "/tmp/shrike-raw-query.%d", (int)getpid());
	(void)unlink(b->path);
	if (raw_ring_open(4 << 20, &b->ring) < 0 || store_writer_open(&options, &w) < 0 ||
	    store_writer_begin(w, &b->origin, NULL, 0) < 0)
		return false;
	for (__u64 i = 0; i < RECORDS; i++) {
		test_record_make(&rec, i);
		raw_ring_put(b->ring, &rec.head);
		if (store_writer_put(w, &rec.head) < 0)
			return false;
	}
	store_writer_free(take(w));
	return store_open(b->path, &b->store) == 0;
}

static void clear(struct both *b)
{
	store_free(b->store);
	raw_ring_free(b->ring);
	(void)unlink(b->path);
}

static const __u64 base_ns = 1000000000;

TEST(the_ring_and_a_recording_answer_alike)
{
	static const char *const longs[] = { "storetest.long" };
	static const struct {
		const char *name;
		__u64 from, to; /* records' times */
		struct filter_spec filter;
		__u64 limit;
		bool with_context;
	} rows[] = {
		{ .name = "everything" },
		{ .name = "a range", .from = 100, .to = 300 },
		{ .name = "up to a time", .to = 1 },
		{ .name = "one process", .filter = { .pid = 1007 } },
		{ .name = "one process for a while", .from = 1000, .to = 1500, .filter = { .pid = 1007 } },
		{ .name = "nobody", .filter = { .pid = 77 } },
		{ .name = "a process and below", .filter = { .pid = 1007, .descendants = true } },
		{ .name = "a name", .filter = { .comm = "proc-3" } },
		{ .name = "no such name", .filter = { .comm = "proc-9" } },
		{ .name = "a kind", .filter = { .kinds = longs, .n_kinds = 1 } },
		{ .name = "a condition", .filter = { .expr = "test.small < 100 and process.pid > 1010" } },
		{ .name = "a limit", .filter = { .pid = 1007 }, .limit = 7 },
		{ .name = "with the context", .filter = { .comm = "proc-3" }, .with_context = true },
	};
	struct both b = { 0 };

	require(fill(&b));
	for_each_row (r, rows) {
		const __s64 zero = b.origin.wall_minus_boot_ns + (__s64)base_ns;
		const struct store_query_spec spec = {
			.from_ns = r->from ? zero + (__s64)r->from * 1000 : 0,
			.to_ns = r->to ? zero + (__s64)r->to * 1000 : 0,
			.filter = r->filter,
			.limit = r->limit,
			.with_context = r->with_context,
		};
		AUTO(store_query) ring = NULL;
		AUTO(store_query) disk = NULL;
		const struct ev_head *x, *y;
		__u64 n = 0;
		int rx, ry;

		require_ok(raw_query_open(b.ring, &b.origin, NULL, 0, &spec, &ring));
		require_ok(store_query_open(b.store, &spec, &disk));
		for (;; n++) {
			rx = store_query_next(ring, &x);
			ry = store_query_next(disk, &y);
			check_int(rx, ry);
			if (rx <= 0 || ry <= 0)
				break;
			if (x->len != y->len || memcmp(x, y, x->len) != 0)
				test_fail(T_HERE, "answer %llu differs", n);
		}
		check(n > 0 || strstr(r->name, "no") == r->name);
		check(n < RECORDS || !strcmp(r->name, "everything"));
		if (r->limit)
			check_int(n, r->limit);
	}
	clear(&b);
}

TEST(pages_of_both_make_the_whole)
{
	struct both b = { 0 };

	require(fill(&b));
	for (int disk = 0; disk < 2; disk++) {
		char cursor[STORE_CURSOR_MAX] = "";
		__u64 paged = 0, whole = 0;
		struct store_query_spec spec = { .filter = { .comm = "proc-3" } };
		AUTO(store_query) all = NULL;
		int r = 1;

		require_ok(disk ? store_query_open(b.store, &spec, &all)
				: raw_query_open(b.ring, &b.origin, NULL, 0, &spec, &all));
		spec.limit = 100;
		spec.cursor = cursor;
		while (r > 0) {
			AUTO(store_query) page = NULL;
			const struct ev_head *x, *y;

			require_ok(disk ? store_query_open(b.store, &spec, &page)
					: raw_query_open(b.ring, &b.origin, NULL, 0, &spec, &page));
			while ((r = store_query_next(page, &x)) > 0) {
				paged++;
				require(store_query_next(all, &y) == 1);
				check(x->len == y->len && !memcmp(x, y, x->len));
			}
			store_query_cursor(page, cursor);
			require(paged <= RECORDS);
			r = paged % 100 == 0 && paged > whole;
			whole = paged;
		}
		require_ok(store_query_count(all, &whole));
		check_int(whole, 0);
		check(paged > 100);
	}
	clear(&b);
}

TEST(cursors_of_others_are_refused)
{
	static const struct {
		const char *name, *cursor;
		bool ring;
	} rows[] = {
		{ "a word", "abc", true },
		{ "of a recording", "s0-0-0", true },
		{ "with more behind it", "r12;", true },
		{ "of a record to come", "rffffffff", true },
		{ "a word", "abc", false },
		{ "of the ring", "r12", false },
		{ "a row that no block has", "s1-1-1001", false },
	};
	struct both b = { 0 };

	require(fill(&b));
	for_each_row (r, rows) {
		const struct store_query_spec spec = { .cursor = r->cursor };
		struct store_query *q;

		check_int(r->ring ? raw_query_open(b.ring, &b.origin, NULL, 0, &spec, &q)
				  : store_query_open(b.store, &spec, &q),
			  -EINVAL);
	}
	clear(&b);
}
