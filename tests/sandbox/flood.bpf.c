// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * flood - sends as many records as it is told, through the code that every sensor uses.
 *
 * Run on demand (BPF_PROG_TEST_RUN), attached to nothing. Bulk comes first, then critical.
 */
#include "bpf/core.bpf.h"
#include "tests/sandbox/flood.event.h"

KEEP_BTF(ev_flood);

static long send_bulk(__u32 i, void *ctx)
{
	struct rec *r = rec_open(EV_FLOOD_BULK, EV_BULK, sizeof(struct ev_flood));

	if (r) {
		((struct ev_flood *)rec_body(r))->serial = i;
		(void)rec_send(r);
	}
	return 0;
}

static long send_critical(__u32 i, void *ctx)
{
	struct rec *r = rec_open(EV_FLOOD_CRITICAL, EV_CRITICAL, sizeof(struct ev_flood));

	if (r) {
		((struct ev_flood *)rec_body(r))->serial = i;
		(void)rec_send(r);
	}
	return 0;
}

SEC("syscall")
int flood(struct flood_order *order)
{
	__u32 critical = order->critical, bulk = order->bulk;

	bpf_loop(bulk, send_bulk, NULL, 0);
	bpf_loop(critical, send_critical, NULL, 0);
	return 0;
}
