/* SPDX-License-Identifier: Apache-2.0 */
#include "store/segment/test_records.h"
#include <string.h>
#include "base/hash.h"
#include "base/mem.h"
#include "base/test.h"
#include "context/context.h"

static const struct field test_fields[] = {
	FIELD(test_body, number, "test.number", FT_U64, "which record this is"),
	FIELD(test_body, small, "test.small", FT_U32, "a small number"),
	FIELD(test_body, text, "test.text", FT_STR, "some text"),
};

static const struct event_kind test_kinds[] = {
	{ EV_TEST, "storetest.short", "test_body", sizeof(struct test_body), EV_NORMAL, "process", "info", "test",
	  "a record of a test", test_fields, countof(test_fields) },
	{ EV_TEST_LONG, "storetest.long", "test_body", sizeof(struct test_body), EV_BULK, "process", "info", "test",
	  "a long record of a test", test_fields, countof(test_fields) },
};

void test_kinds_register(void)
{
	for (size_t i = 0; i < context_n_kinds; i++)
		check_int(event_kind_register(&context_kinds[i]), 0);
	for (size_t i = 0; i < countof(test_kinds); i++)
		check_int(event_kind_register(&test_kinds[i]), 0);
}

void test_record_make(struct test_record *r, __u64 number)
{
	__u64 v = hash_u64(number, 5), who = v % 40;
	size_t text = v % 97 == 0 ? TEST_TEXT_MAX : (v >> 8) % 60;

	memset(r, 0, sizeof(*r));
	r->head.time_ns = 1000000000 + number * 1000 - (v % 50 == 0 ? 300 : 0);
	r->head.id = v % 97 == 0 ? EV_TEST_LONG : EV_TEST;
	r->head.class = v % 97 == 0 ? EV_BULK : EV_NORMAL;
	r->head.flags = v % 31 == 0 ? EV_F_TRUNCATED : 0;
	r->head.cpu = (__u16)(v % 300);
	r->head.pid = (__u32)(1000 + who);
	r->head.tid = (__u32)(1000 + who + v % 2);
	r->head.start_ns = 1000 + who;
	r->head.cgroup_id = 50 + who % 3;
	r->head.uid = who % 2 ? 1000 : 0;
	(void)snprintf(r->head.comm, sizeof(r->head.comm), "proc-%u", (unsigned)(who % 7));
	r->body.number = number;
	r->body.small = (__u32)(v % 1000);
	r->body.odd = (__u16)v;
	r->body.end = (__u16)number;
	r->body.text.off = sizeof(struct test_body);
	r->body.text.len = (__u16)text;
	for (size_t i = 0; i < text; i++)
		r->bytes[sizeof(struct test_body) + i] = (unsigned char)('a' + hash_u64(i, v % 20) % 26);
	r->head.len = (__u16)(sizeof(struct test_body) + text + 1);
}
