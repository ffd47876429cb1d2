/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* flood.event - records without a meaning, for tests and benchmarks of the way that records take. */
#pragma once
#include "event/abi.h"

enum {
	EV_FLOOD = 0xfc, /* the bytes above are those of event tests */
	EV_FLOOD_CRITICAL = EV_ID(EV_FLOOD, 1),
	EV_FLOOD_BULK = EV_ID(EV_FLOOD, 2),
};

/* 128 bytes, as long as a short record of a real sensor. */
struct ev_flood {
	struct ev_head head;
	__u64 serial;
	__u64 fill[5];
};

/* What one run of the program is told. */
struct flood_order {
	__u32 critical; /* records of each class */
	__u32 bulk;
};
