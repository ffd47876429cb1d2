/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sandbox/flood.h"
#include <bpf/bpf.h>
#include "base/err.h"
#include "base/mem.h"

static const struct field fields[] = {
	FIELD(ev_flood, serial, "flood.serial", FT_U64, "how many of its class came before it in this run"),
};

static const struct event_kind kinds[] = {
	{ EV_FLOOD_CRITICAL, "flood.critical", "ev_flood", sizeof(struct ev_flood), EV_CRITICAL, "process", "info",
	  "flood", "a critical record of a test", fields, countof(fields) },
	{ EV_FLOOD_BULK, "flood.bulk", "ev_flood", sizeof(struct ev_flood), EV_BULK, "process", "info", "flood",
	  "a bulk record of a test", fields, countof(fields) },
};

static const struct hook hooks[] = {
	{ "flood", "runs when it is told to", { { .progs = { "flood" } } } },
};

extern const struct bpf_image image_flood;

const struct sensor sensor_flood = {
	.name = "flood",
	.summary = "records without a meaning",
	.byte = EV_FLOOD,
	.kinds = kinds,
	.n_kinds = countof(kinds),
	.hooks = hooks,
	.n_hooks = countof(hooks),
	.image = &image_flood,
};

int flood_run(struct object *obj, __u32 critical, __u32 bulk)
{
	const struct bpf_program *prog = bpf_object__find_program_by_name(object_libbpf(obj), "flood");
	struct flood_order order = { .critical = critical, .bulk = bulk };
	LIBBPF_OPTS(bpf_test_run_opts, o, .ctx_in = &order, .ctx_size_in = sizeof(order));

	if (bpf_prog_test_run_opts(bpf_program__fd(prog), &o))
		return err_sys(errno, "run the flood");
	return 0;
}
