/* SPDX-License-Identifier: Apache-2.0 */
/* test_records - records for tests of recordings: the same number makes the same record. */
#pragma once
#include "event/event.h"

enum { EV_TEST = EV_ID(0x7e, 1), EV_TEST_LONG = EV_ID(0x7e, 2), TEST_TEXT_MAX = 3000 };

struct test_body {
	struct ev_head head;
	__u64 number;
	__u32 small;
	__u16 odd;
	struct ev_str text;
	__u16 end; /* the fixed part is no whole number of words */
};

struct test_record {
	union {
		struct ev_head head;
		struct test_body body;
		unsigned char bytes[sizeof(struct test_body) + TEST_TEXT_MAX + 8];
	};
};

void test_kinds_register(void);

/* Some 40 processes, two kinds, times that mostly rise. */
void test_record_make(struct test_record *r, __u64 number);
