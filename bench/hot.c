/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/hot.h"
#include <string.h>
#include "sensors/process/process.event.h"

static struct {
	struct ev_exec exec;
	char text[512];
} rec;

static void put(struct ev_str *s, size_t *at, const char *p, size_t n)
{
	memcpy(rec.text + *at, p, n);
	*s = (struct ev_str) { (__u16)((size_t)(rec.text - (char *)&rec) + *at), (__u16)n };
	*at += n + 1;
}

struct event hot_exec(void)
{
	size_t at = 0;

	rec.exec.head = (struct ev_head) {
		.time_ns = 123456789012345,
		.id = EV_EXEC,
		.len = sizeof(rec),
		.cgroup_id = 4711,
		.start_ns = 123456780000000,
		.pid = 4242,
		.tid = 4242,
		.uid = 1000,
		.gid = 1000,
		.netns = 4026531840,
		.ns_pid = 4242,
		.comm = "cc",
	};
	put(&rec.exec.exe, &at, "/usr/bin/x86_64-linux-gnu-gcc-12", 32);
	put(&rec.exec.filename, &at, "/usr/bin/cc", 11);
	put(&rec.exec.cwd, &at, "/home/someone/code/shrike", 25);
	put(&rec.exec.args, &at, "/usr/bin/cc\0-O2\0-g\0-Wall\0-c\0src/event/event.c\0-o\0event.o", 57);
	return (struct event) { .rec = &rec.exec.head, .kind = event_check(&rec, sizeof(rec)) };
}
