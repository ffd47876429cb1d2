/* SPDX-License-Identifier: Apache-2.0 */
/* json - how fast event lines are read. */
#include <stdio.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"

static const char line[] =
	"{\"@timestamp\":\"2024-05-06T07:08:09.123456789Z\",\"event\":{\"action\":\"exec\",\"category\":[\"process\"],"
	"\"dataset\":\"process.exec\",\"kind\":\"event\",\"module\":\"process\",\"type\":[\"start\"]},\"group\":{"
	"\"id\":1000},"
	"\"process\":{\"args\":[\"/usr/bin/cc\",\"-O2\",\"-g\",\"-Wall\",\"-c\",\"src/event/"
	"event.c\",\"-o\",\"event.o\"],"
	"\"args_count\":8,\"exec\":{\"device\":\"0x801\",\"filename\":\"/usr/bin/"
	"cc\",\"inode\":1310740,\"mode\":\"0100755\","
	"\"traits\":[]},\"executable\":\"/usr/bin/"
	"x86_64-linux-gnu-gcc-12\",\"name\":\"cc\",\"namespace\":{\"mnt\":4026531841,"
	"\"net\":4026531840,\"pid\":4026531836},\"ns_pid\":4242,\"parent\":{\"pid\":4200,\"start\":"
	"\"2024-05-06T07:08:09.000000001Z\"},\"pid\":4242,\"start\":\"2024-05-06T07:08:09.120000000Z\",\"thread\":{"
	"\"id\":4242},"
	"\"working_directory\":\"/home/someone/code/"
	"shrike\"},\"user\":{\"id\":1000},\"shrike\":{\"boot_ns\":123456789012345,"
	"\"class\":\"critical\",\"cpu\":1}}";

int main(void)
{
	static const struct json_limits limits = { .len_max = 1 << 20, .nodes_max = 1 << 16, .depth_max = 64 };
	auto_json struct json_doc doc;
	const struct json_node *root;
	double best = 0;

	json_init(&doc, &limits);
	for (int round = 0; round < 20; round++) {
		uint64_t began = clock_boot_ns();
		double rate;

		for (int i = 0; i < 20000; i++)
			if (json_parse(&doc, line, sizeof(line) - 1, &root)) {
				err_print(stderr);
				return 1;
			}
		rate = 20000.0 * (sizeof(line) - 1) / ((double)(clock_boot_ns() - began) / 1e3);
		best = rate > best ? rate : best;
	}
	printf("{\"name\":\"json.parse\",\"value\":%.0f,\"unit\":\"MB/s\"}\n", best);
	return 0;
}
